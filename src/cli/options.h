/* Options of the command line. */
#pragma once

#include "cli.h"

enum { OPTIONS_ENV_FILES_MAX = 8 };

/* What the options say beside settings, which go into the conf at once. */
struct options {
    const char *conf_path;
    const char *env_files[OPTIONS_ENV_FILES_MAX]; /* "users=FILE" */
    size_t env_file_count;
    bool help, version, banner;
    /* Of the command that was named, if it is a module's: rows, and a value for each. */
    const struct module_command_option *rows;
    const char *values[MODULE_COMMAND_OPTIONS_MAX];
    char mistake[256]; /* of the command line itself; "" when all is well */
};

/**
 * options_parse() - read options from argv[1] on into @options and @conf, up to the first operand
 * Return: index of the first operand; @options->mistake tells of what cannot be understood.
 */
int options_parse(struct options *options, struct conf *conf, int argc, char **argv);
