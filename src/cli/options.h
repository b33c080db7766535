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
    char mistake[256]; /* of the command line itself; "" when all is well */
};

/**
 * options_parse() - read options from argv[1] on into @options and @conf, up to the first operand
 * Return: index of the first operand; @options->mistake tells of what cannot be understood.
 */
int options_parse(struct options *options, struct conf *conf, int argc, char **argv);
