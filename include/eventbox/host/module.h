/*
 * A module is a descriptor: reading its tables answers "what is this". One exported symbol,
 * `const struct module NAME_module`, and a row in tbl/modules.h. Modules include
 * <eventbox/...> and their own folder, nothing else; they know each other through ports and topics.
 *
 * Life: the host allocates state_size zeroed bytes, fills the config fields, calls check() and
 * init() (no I/O),
 * makes the declared topics, starts modules in the order of `requires`, opens the HTTP service when
 * start() has completed, and stops everything in reverse. A module that requires nothing starts
 * before the database is open and the topics are made, so that slow starts overlap.
 */
#pragma once

#include <eventbox/base/clock.h>
#include <eventbox/base/random.h>
#include <eventbox/host/conf.h>
#include <eventbox/host/log.h>
#include <eventbox/host/metric.h>
#include <eventbox/host/space.h>
#include <eventbox/http/client.h>
#include <eventbox/http/route.h>
#include <eventbox/loop/disk.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/topic.h>
#include <eventbox/loop/work.h>
#include <eventbox/store/outbox.h>
#include <eventbox/store/store.h>

enum { MODULE_ABI = 1 };

struct host;

/* What a module may use. Filled before init(); ports that the module does not require may be NULL.
 */
struct module_context {
    struct host *host;
    struct loop *loop;
    struct clock *clock;
    struct random *random;
    struct work_port *work;
    struct disk *disk;         /* the data folder */
    struct space *space;       /* room on its disk */
    struct store *store;       /* "store" */
    struct topic_port *topics; /* "topics"; NULL in the module that provides it */
    struct logger *log;        /* bound to the module's service name */
    struct metric *metrics;    /* one for each row of the module's table */
    const char *cluster_id;    /* 22 characters, of the data folder */
    const char *data_path;     /* absolute, for messages */
    bool insecure;             /* listeners off loopback are allowed */
    int64_t drain_ms;          /* deadline of stop() */
};

enum module_health_state {
    MODULE_OK,
    MODULE_STARTING,
    MODULE_BEHIND,
    MODULE_DRAINING,
    MODULE_FAILED
};
struct module_health {
    enum module_health_state state;
    char detail[200]; /* names the part: "consumer of users.events is 1200 records behind" */
};

/* The HTTP service of a module; its settings `host` and `port` are conf rows of the module. */
struct module_http {
    const char *service; /* "user-service" */
    const char *title;
    const struct http_route *routes;
    const struct http_schema *schemas;
    size_t host_offset,
        port_offset; /* of the char * and the int64_t in the state; 0, 0: no service. Once it
                        listens the latter is the port in use, where the setting was 0 too. */
};

/*
 * A command of the command line that belongs to a module: `eventbox log verify`. It runs instead of
 * the server, in a process without a loop; what it may touch is its own part of the data folder.
 */
struct module_command_option {
    const char *name;     /* "topic": --topic; NULL ends a table */
    const char *argument; /* "NAME"; NULL: a switch */
    const char *doc;
};
enum { MODULE_COMMAND_OPTIONS_MAX = 16 };
struct module_command_call {
    const char *data_path; /* the folder as the settings name it; it may not be there */
    /* One value for each row of the options; "" for a switch, NULL: not given. */
    const char *values[MODULE_COMMAND_OPTIONS_MAX];
};
struct module_command {
    const char *words; /* "log verify"; NULL ends a table */
    const char *summary;
    const struct module_command_option *options;
    int (*run)(const struct module_command_call *call); /* the exit code; 2: cannot be done */
};

typedef void (*module_done_fn)(void *userdata, int status);

struct module {
    unsigned abi;        /* MODULE_ABI */
    const char *name;    /* "users": section of the configuration, prefix of tables */
    const char *service; /* "user-service": service of log lines */
    const char *summary;
    const char *const *requires; /* names of ports: "store", "topics"; ends with NULL; NULL: none */
    const char *const *provides;
    const struct conf_row *conf;
    const struct metric_row *metrics;
    const struct topic_declaration *topics;
    const struct store_migration *migrations;
    const struct module_command *commands;
    struct module_http http;
    size_t state_size;

    /* Optional: do the settings fit together? @settings is a state with nothing but its config
     * fields filled: before init(), and before a SIGHUP's values act. @ret_message: one line for
     * the operator. Return: 0 or CONF_E_VALUE. */
    int (*check)(const void *settings, const char **ret_message);
    /* Optional: the setting that leaves this module nothing to do, "fluent.enabled = no"; NULL: it
     * has work. Called when the config fields are filled, before init(). */
    const char *(*idle)(const void *settings);
    /* Keep @context, check what needs it; no I/O. @ret_message as above. */
    int (*init)(void *state, const struct module_context *context, const char **ret_message);
    /* Begin to work; done(userdata, status) once, maybe before the return. @ret_message as above on
     * failure. */
    void (*start)(void *state, module_done_fn done, void *userdata);
    /* Finish what is in flight within drain_ms, then done; idempotent; also after a failed start.
     */
    void (*stop)(void *state, module_done_fn done, void *userdata);
    void (*fini)(void *state); /* optional: free what init() took */
    void (*health)(void *state, struct module_health *ret_health); /* optional */
    void (*reload)(void *state);  /* optional: reloadable settings have new values */
    void (*collect)(void *state); /* optional: bring gauges up to date before /metrics is printed */
    /* Of the module that provides "topics"; valid from init() on. */
    struct topic_port *(*topic_port)(void *state);
    /* Of a module that provides "log_sink"; valid from init() until stop() is done. */
    struct log_sink *(*log_sink)(void *state);
    /* Why start() failed, one line with thing, value and remedy; optional. */
    const char *(*failure)(void *state);
    /* Optional: lines "label\ttext\n" for the start-up screen: addresses, how mail leaves. Lines
     * with the label "try" are commands to try next. Called after start(). */
    void (*describe)(void *state, struct text *out);
};
