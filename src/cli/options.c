/* getopt_long() with one long option for every setting. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Values above the characters of short options. */
enum { OPTION_ENV = 256, OPTION_BANNER, OPTION_SETTING, OPTION_COMMAND };

static const struct option own_options[] = {
    {"conf", required_argument, NULL, 'c'},       {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},          {"env", required_argument, NULL, OPTION_ENV},
    {"banner", no_argument, NULL, OPTION_BANNER},
};

static struct option *make_long_options(const struct options *options, const struct conf *conf) {
    const char *name;
    const struct conf_row *row;
    size_t count = 0, of_command = 0;
    while (conf_option_at(conf, count, &name, &row)) {
        count++;
    }
    while (options->rows && options->rows[of_command].name) {
        of_command++;
    }
    struct option *all = calloc(ARRAY_SIZE(own_options) + count + of_command + 1, sizeof *all);
    if (!all) {
        return NULL;
    }
    memcpy(all, own_options, sizeof own_options);
    for (size_t i = 0; i < of_command; i++) {
        const struct module_command_option *option = &options->rows[i];
        all[ARRAY_SIZE(own_options) + count + i] =
            (struct option){option->name, option->argument ? required_argument : no_argument, NULL,
                            OPTION_COMMAND + (int)i};
    }
    for (size_t i = 0; i < count; i++) {
        conf_option_at(conf, i, &name, &row);
        int argument = row->type == CONF_BOOL ? optional_argument : required_argument;
        all[ARRAY_SIZE(own_options) + i] = (struct option){name, argument, NULL, OPTION_SETTING};
    }
    return all;
}

static void report_unknown(struct options *options, const struct conf *conf, const char *text) {
    if (strncmp(text, "--", 2) != 0 || optopt) {
        snprintf(options->mistake, sizeof options->mistake,
                 "option %s: not understood; `eventbox --help` lists the short ones", text);
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)MIN(strcspn(text + 2, "="), sizeof name - 1),
             text + 2);
    const char *nearest = conf_nearest_option(conf, name);
    snprintf(options->mistake, sizeof options->mistake, "option --%s: unknown%s%s%s", name,
             nearest ? "; did you mean --" : "; `eventbox conf print` lists every setting",
             nearest ? nearest : "", nearest ? "?" : "");
}

static void take(struct options *options, struct conf *conf, const struct option *chosen,
                 int value) {
    switch (value) {
    case 'c':
        options->conf_path = optarg;
        break;
    case 'h':
        options->help = true;
        break;
    case 'V':
        options->version = true;
        break;
    case OPTION_BANNER:
        options->banner = true;
        break;
    case OPTION_ENV:
        if (!strchr(optarg, '=') || options->env_file_count == OPTIONS_ENV_FILES_MAX) {
            snprintf(options->mistake, sizeof options->mistake,
                     "option --env %.64s: write --env users=FILE or --env notify=FILE", optarg);
            break;
        }
        options->env_files[options->env_file_count++] = optarg;
        break;
    case OPTION_SETTING:
        conf_set_option(conf, chosen->name, optarg ? optarg : "yes");
        break;
    default:
        options->values[value - OPTION_COMMAND] = optarg ? optarg : "";
        break;
    }
}

/* `--insecure` alone means yes; `--fluent.enabled no` takes the next word, which getopt leaves
 * alone. */
static void take_word_of_bool(int argc, char **argv) {
    static const char *const words[] = {"yes", "no", "true", "false", "on", "off", "1", "0"};
    for (size_t i = 0; !optarg && optind < argc && i < ARRAY_SIZE(words); i++) {
        if (strcasecmp(argv[optind], words[i]) == 0) {
            optarg = argv[optind++];
        }
    }
}

int options_parse(struct options *options, struct conf *conf, int argc, char **argv) {
    struct option *all = make_long_options(options, conf);
    if (!all) {
        snprintf(options->mistake, sizeof options->mistake, "out of memory");
        return argc;
    }
    opterr = 0;
    optind = 0; /* starts getopt anew */
    int index = 0, value;
    /* "+" ends at the first operand, ":" tells a missing argument from an unknown option. */
    while (!options->mistake[0] && (value = getopt_long(argc, argv, "+:c:hV", all, &index)) != -1) {
        if (value == '?') {
            report_unknown(options, conf, argv[optind - 1]);
        } else if (value == ':') {
            snprintf(options->mistake, sizeof options->mistake,
                     "option %.100s: a value is missing; write %.100s VALUE", argv[optind - 1],
                     argv[optind - 1]);
        } else {
            if (value == OPTION_SETTING && all[index].has_arg == optional_argument) {
                take_word_of_bool(argc, argv);
            }
            take(options, conf, &all[index], value);
        }
    }
    free(all);
    return optind;
}
