/*
 * The host: one process from its settings to its exit code. For main and the command line; modules
 * see struct module_context instead.
 */
#pragma once

#include <eventbox/host/module.h>

struct host_config {
    const struct module *const *modules; /* of this binary, in the order of tbl/modules.h */
    size_t module_count;
    struct conf *conf; /* read and without mistakes; the caller's */
    /* For SIGHUP: the settings read anew from where they came; the host frees them. NULL: none. */
    struct conf *(*reread)(void *userdata);
    void *userdata;
    bool banner; /* the start-up screen on standard output, also when that is no terminal */
};

/** host_conf_new() - the settings of the host and of all @modules, at their defaults */
int host_conf_new(const struct module *const *modules, size_t module_count, struct conf **ret_conf);

/**
 * host_run() - start, run until a signal, drain
 * Return: exit code. 0: drained after a signal; 2: could not start, one line on standard error
 * names the thing, the value and the remedy; 1: a failure while running, or not drained in time.
 */
int host_run(const struct host_config *config);

/**
 * host_folder_check() - before a command reads the data folder at @path without a server
 * Return: exit code. 0; 2: a newer eventbox wrote it, one line on standard error says so. A folder
 * that is not there, or has no readable meta.json, is the command's to judge.
 */
int host_folder_check(const char *path);
