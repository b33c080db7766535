/* eventbox [OPTION]... [COMMAND [ARGUMENT]...] */
#include "cli.h"

#include "options.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static const struct cli_command commands[] = {
    {"run", "", 0, false, "start the server; what happens without a command", cli_run_server},
    {"conf print", "", 0, false, "print every setting: names, range, default, what is in force",
     cli_conf_print},
    {"conf check", "FILE", 1, false, "tell every mistake in a configuration file", cli_conf_check},
    {"health", "", 0, false, "ask the running server whether all of it works; exit code 0 or 1",
     cli_health},
    {"version", "", 0, false, "print the version", cli_version},
    {"help", "", 0, false, "print this page", cli_help},
};

/* ---- what is asked for ---- */

/* How many words @words has when all of them stand at @argv; 0: they do not. */
static int match_words(const char *words, int argc, char **argv) {
    int count = 0;
    while (*words && count < argc) {
        size_t size = strcspn(words, " ");
        if (strlen(argv[count]) != size || memcmp(argv[count], words, size) != 0) {
            return 0;
        }
        count++;
        words += size;
        words += *words == ' ';
    }
    return *words ? 0 : count;
}

/* The command whose words stand at @argv, NULL if none; *ret_words is how many they are. */
static const struct cli_command *find_command(int argc, char **argv, int *ret_words) {
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        *ret_words = match_words(commands[i].words, argc, argv);
        if (*ret_words > 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* The same among the commands of modules. */
static const struct module_command *find_module_command(const struct cli *cli, int argc,
                                                        char **argv, int *ret_words) {
    for (size_t i = 0; i < cli->module_count; i++) {
        const struct module_command *command = cli->modules[i]->commands;
        for (; command && command->words; command++) {
            *ret_words = match_words(command->words, argc, argv);
            if (*ret_words > 0) {
                return command;
            }
        }
    }
    return NULL;
}

/* The whole command line, read once for its options and its command. */
struct invocation {
    struct options options;
    const struct cli_command *command;
    const struct module_command *module_command; /* instead of @command */
    int argc;                                    /* from the last word of the command on */
    char **argv;
    char mistake[320];
};

static void check_operands(struct invocation *call, int first) {
    const struct cli_command *command = call->command;
    int count = call->argc - first;
    if (call->module_command) {
        if (count > 0) {
            snprintf(call->mistake, sizeof call->mistake,
                     "%.100s: not understood here; `eventbox %s` takes options only",
                     call->argv[first], call->module_command->words);
        }
    } else if (count < command->operand_count) {
        snprintf(call->mistake, sizeof call->mistake, "%s: %s is missing", command->words,
                 command->operands);
    } else if (count > command->operand_count) {
        snprintf(call->mistake, sizeof call->mistake, "%.100s: not understood here; %s takes %s",
                 call->argv[first + command->operand_count], command->words,
                 command->operand_count ? command->operands : "options only");
    }
    call->argv += first - 1;
    call->argc -= first - 1;
}

static void read_command_line(struct invocation *call, const struct cli *cli, struct conf *conf,
                              int argc, char **argv) {
    int words = 0;
    int first = options_parse(&call->options, conf, argc, argv);
    call->argc = argc;
    call->argv = argv;
    call->command = &commands[0];
    if (call->options.mistake[0]) {
        snprintf(call->mistake, sizeof call->mistake, "%s", call->options.mistake);
        return;
    }
    if (first == argc) {
        return;
    }
    call->command = find_command(argc - first, argv + first, &words);
    if (!call->command) {
        call->module_command = find_module_command(cli, argc - first, argv + first, &words);
        call->options.rows = call->module_command ? call->module_command->options : NULL;
    }
    if (!call->command && !call->module_command) {
        snprintf(call->mistake, sizeof call->mistake,
                 "%.100s: unknown command; `eventbox --help` lists them", argv[first]);
        return;
    }
    call->argc = argc - first - words + 1;
    call->argv = argv + first + words - 1;
    if (!call->command || !call->command->own_options) {
        first = options_parse(&call->options, conf, call->argc, call->argv);
        snprintf(call->mistake, sizeof call->mistake, "%s", call->options.mistake);
        if (!call->mistake[0]) {
            check_operands(call, first);
        }
    }
}

static void read_sources(const struct options *options, struct conf *conf) {
    if (options->conf_path) {
        conf_read_file(conf, options->conf_path);
    }
    for (size_t i = 0; i < options->env_file_count; i++) {
        char section[64];
        const char *equals = strchr(options->env_files[i], '=');
        snprintf(section, sizeof section, "%.*s", (int)(equals - options->env_files[i]),
                 options->env_files[i]);
        conf_read_env_file(conf, section, equals + 1);
    }
    conf_read_environment(conf, environ);
    conf_finish(conf);
}

struct conf *cli_read_settings(struct cli *cli) {
    struct invocation call = {0};
    struct conf *conf = NULL;
    if (host_conf_new(cli->modules, cli->module_count, &conf)) {
        return NULL;
    }
    read_command_line(&call, cli, conf, cli->argc, cli->argv);
    read_sources(&call.options, conf);
    return conf;
}

/* ---- commands ---- */

static void print_lines(const char *lines, const char *before) {
    while (*lines) {
        size_t size = strcspn(lines, "\n");
        fprintf(stderr, "eventbox: %s%.*s\n", before, (int)size, lines);
        lines += size + (lines[size] == '\n');
    }
}

static struct conf *reread(void *userdata) {
    return cli_read_settings(userdata);
}

int cli_run_server(struct cli *cli, int argc, char **argv) {
    struct host_config config = {
        .modules = cli->modules,
        .module_count = cli->module_count,
        .conf = cli->conf,
        .reread = reread,
        .userdata = cli,
        .banner = cli->banner,
    };
    return host_run(&config);
}

int cli_conf_print(struct cli *cli, int argc, char **argv) {
    conf_print(cli->conf, stdout);
    return fflush(stdout) ? 1 : 0;
}

int cli_conf_check(struct cli *cli, int argc, char **argv) {
    struct conf *conf = NULL;
    if (host_conf_new(cli->modules, cli->module_count, &conf)) {
        return 1;
    }
    conf_read_file(conf, argv[1]);
    conf_finish(conf);
    const char *mistakes = conf_mistakes(conf);
    fputs(mistakes, stderr);
    int exit_code = mistakes[0] ? EXIT_USAGE : 0;
    if (!exit_code) {
        printf("%s: no mistakes\n", argv[1]);
    }
    conf_free(conf);
    return exit_code;
}

static int run_module_command(struct cli *cli, const struct module_command *command,
                              const char *const *values) {
    struct module_command_call call = {.data_path =
                                           conf_text(cli->conf, CONF_HOST_SECTION, "data")};
    memcpy(call.values, values, sizeof call.values);
    int refused = host_folder_check(call.data_path);
    return refused ? refused : command->run(&call);
}

int cli_version(struct cli *cli, int argc, char **argv) {
    printf("eventbox %s\n", EVENTBOX_VERSION);
    return 0;
}

int cli_help(struct cli *cli, int argc, char **argv) {
    printf("eventbox %s: users, notifications, a Kafka-compatible broker and structured logs in "
           "one process\n\n"
           "Usage: eventbox [OPTION]... [COMMAND]\n\nCommands:\n",
           EVENTBOX_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        char words[64];
        snprintf(words, sizeof words, "%s %s", commands[i].words, commands[i].operands);
        printf("  %-20s %s\n", words, commands[i].summary);
    }
    for (size_t i = 0; i < cli->module_count; i++) {
        const struct module_command *command = cli->modules[i]->commands;
        for (; command && command->words; command++) {
            printf("  %-20s %s\n", command->words, command->summary);
        }
    }
    printf(
        "\nOptions:\n"
        "  -c, --conf FILE      read settings from FILE\n"
        "      --env users=FILE read the original's .env file for one service (also notify=)\n"
        "      --banner         print the start-up screen even when this is no terminal\n"
        "  -V, --version        print the version\n"
        "  -h, --help           print this page\n"
        "      --NAME VALUE     any setting of `eventbox conf print`, for instance\n"
        "                         --data DIR  --users.port 8080  --modules broker  --insecure\n\n"
        "In the environment a setting has an EVENTBOX_ name: EVENTBOX_USERS_PORT=8080.\n"
        "Precedence: command line, environment, .env files, file, default.\n");
    return fflush(stdout) ? 1 : 0;
}

/* `eventbox log dump --help`: what this command has beside the settings. */
static int print_command_help(const struct module_command *command) {
    printf("Usage: eventbox %s [OPTION]...\n\n%s\n\nOptions:\n", command->words, command->summary);
    for (const struct module_command_option *row = command->options; row && row->name; row++) {
        char name[64];
        snprintf(name, sizeof name, "--%s %s", row->name, row->argument ? row->argument : "");
        printf("  %-20s %s\n", name, row->doc);
    }
    printf("  --data DIR           the data folder; any other setting is understood too\n");
    return fflush(stdout) ? 1 : 0;
}

/* ---- main ---- */

/* Mistakes end everything, save what is asked for to get help. */
static int run_command(struct cli *cli, const struct invocation *call) {
    bool checks_itself = call->command && call->command->run == cli_conf_check;
    const char *mistakes = conf_mistakes(cli->conf);
    if (mistakes[0] && !checks_itself) {
        print_lines(mistakes, "");
        return EXIT_USAGE;
    }
    print_lines(conf_warnings(cli->conf), "warning: ");
    if (call->module_command) {
        return run_module_command(cli, call->module_command, call->options.values);
    }
    return call->command->run(cli, call->argc, call->argv);
}

int cli_main(int argc, char **argv, const struct module *const *modules, size_t module_count) {
    struct invocation call = {0};
    struct cli cli = {.argc = argc, .argv = argv, .modules = modules, .module_count = module_count};
    if (host_conf_new(modules, module_count, &cli.conf)) {
        fprintf(stderr, "eventbox: out of memory\n");
        return 1;
    }
    int exit_code;
    read_command_line(&call, &cli, cli.conf, argc, argv);
    cli.banner = call.options.banner;
    if (call.options.help || call.options.version) {
        exit_code = !call.options.help    ? cli_version(&cli, 0, NULL)
                    : call.module_command ? print_command_help(call.module_command)
                                          : cli_help(&cli, 0, NULL);
    } else if (call.mistake[0]) {
        print_lines(call.mistake, "");
        exit_code = EXIT_USAGE;
    } else {
        read_sources(&call.options, cli.conf);
        exit_code = run_command(&cli, &call);
    }
    conf_free(cli.conf);
    return exit_code;
}
