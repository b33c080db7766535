/* The command line: options made from the settings' rows, and a table of commands. */
#pragma once

#include <eventbox/cli.h>
#include <eventbox/host/host.h>

struct cli {
    int argc;
    char **argv;
    const struct module *const *modules; /* of this binary */
    size_t module_count;
    struct conf *conf; /* every setting, as file, environment and options have it */
    bool banner;
};

/* A row of the table in cli.c. Later commands are rows there and a function in a file of their own.
 */
struct cli_command {
    const char *words;    /* "conf print" */
    const char *operands; /* for --help: "FILE"; "": none */
    int operand_count;
    bool own_options; /* what follows the words is the command's to parse, settings included */
    const char *summary;
    int (*run)(struct cli *cli, int argc,
               char **argv); /* argv[0] is the last word; the exit code */
};

int cli_run_server(struct cli *cli, int argc, char **argv);
int cli_conf_print(struct cli *cli, int argc, char **argv);
int cli_conf_check(struct cli *cli, int argc, char **argv);
int cli_health(struct cli *cli, int argc, char **argv);
int cli_version(struct cli *cli, int argc, char **argv);
int cli_help(struct cli *cli, int argc, char **argv);

/**
 * cli_read_settings() - all settings anew: file, .env files, environment, options
 * Return: the conf, the caller's; its mistakes are in it. NULL without memory.
 */
struct conf *cli_read_settings(struct cli *cli);
