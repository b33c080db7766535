/*
 * The host, inside. One struct for the process; the files beside this one are its verbs:
 *
 *   registry.c   which modules run, in which order, and their life
 *   folder.c     the data folder: lock, meta.json
 *   host.c       start and drain as operations, signals
 *   reload.c     SIGHUP
 *   health.c     routes that every HTTP service has, access lines, figures
 *   banner.c     the start-up screen
 */
#pragma once

#include "console.h"
#include "metric_internal.h"
#include "op_metrics.h"
#include "settings.h"
#include "space.h"

#include <eventbox/base/uuid.h>
#include <eventbox/host/host.h>
#include <eventbox/host/log_limit.h>
#include <eventbox/http/server.h>
#include <eventbox/loop/timer.h>
#include <eventbox/store/relay.h>

enum { HOST_MODULES_MAX = 16, HOST_FAILURE_MAX = 1024, HOST_SIGNALS = 3 };

enum host_phase { HOST_STARTING, HOST_READY, HOST_DRAINING };

struct host;

/* The HTTP service of a module, with the host's part of it. */
struct host_service {
    struct http_service http;
    struct http_server *server; /* NULL until the module has started */
    struct metric_set metrics;
    char labels[64];
    struct log_limit rejects; /* of the lines about connections that speak no HTTP */
};

enum host_module_phase {
    HOST_MODULE_IDLE,
    HOST_MODULE_INITIALIZED,
    HOST_MODULE_STARTING,
    HOST_MODULE_STARTED,
    HOST_MODULE_FAILED, /* start() failed; stop() is still called */
    HOST_MODULE_STOPPED,
};

struct host_module {
    struct host *host;
    const struct module *module;
    void *state;
    enum host_module_phase phase;
    struct module_context context;
    const struct conf_row
        *extra_rows; /* host_module_rows of one kind; NULL: the module has its own */
    struct host_module_settings settings;
    struct logger logger;
    struct metric_set metrics;
    struct host_service service;
    struct log_sink *log_sink;
};

struct host {
    const struct host_config *config;
    struct host_settings settings;
    enum host_phase phase;
    int exit_code;
    char failure[HOST_FAILURE_MAX]; /* the one line for the operator; "" while all is well */

    struct loop *loop;
    struct clock *clock;
    struct random *random;
    struct work_port *work;
    struct disk *disk;
    struct space *space;
    struct space_watcher space_watcher;
    int lock_fd;
    char *data_path;
    char cluster_id[UUID_BASE64_SIZE];
    struct uuid store_uuid; /* as meta.json has it; zero: none yet */

    struct log log;
    struct logger logger;
    struct console *console;
    struct metric_registry metrics;
    struct metric_set own_metrics;
    struct op_metrics *op_metrics;

    struct host_module modules[HOST_MODULES_MAX]; /* those that run, in the order of starting */
    size_t module_count;
    bool needs_store;
    struct store *store;
    struct topic_port *topics;
    struct relay_id_source id_sources[8];
    struct relay *relay; /* NULL until it runs */
    bool relay_running;

    struct op op;   /* starting, later draining */
    size_t pending; /* of a step: completions to wait for, and one for the step itself */
    int pending_status;
    size_t next_module;
    int64_t drain_end_ns;
    bool stop_wanted; /* a signal came; while starting it waits for the end of the start */
    int64_t stop_wanted_ns;
    struct timer drain_timer;
    struct loop_signal *signals[HOST_SIGNALS];
};

/** host_fail() - note the one line for the operator unless there is one; returns @code for `return`
 */
int host_fail(struct host *host, int code, const char *format, ...) _printf_(3, 4);

/* Completions of a step: host_pending_begin(), one host_pending_add() for each wait, and
 * host_pending_end() as the step's result; each completion calls host_pending_done(). */
void host_pending_begin(struct host *host);
void host_pending_add(struct host *host);
int host_pending_end(struct host *host);
void host_pending_done(struct host *host, int status);

/* registry.c */
int registry_choose(struct host *host);
int registry_allocate(struct host *host);
bool registry_is_early(const struct host_module *module); /* needs no port of another */
/** registry_init_module(), registry_start_module() - failures are noted by host_fail() */
int registry_init_module(struct host_module *module);
void registry_start_module(struct host_module *module); /* ends in host_pending_done() */
void registry_stop_module(struct host_module *module);  /* the same */
void registry_free(struct host *host);
void registry_apply_settings(struct host *host);
/** registry_check_settings() - whether the reloadable values of @fresh fit those in force; else
 * what is wrong with them, with the module's name before it, in @ret_why */
bool registry_check_settings(struct host *host, struct conf *fresh, struct text *ret_why);
int registry_check_idle(struct host *host); /* fails when no module has anything to do */

/* reload.c */
void reload_settings(struct host *host);

/* folder.c */
int folder_open(struct host *host);
int folder_note_store(
    struct host *host); /* write the store's uuid into meta.json if it has another */
void folder_close(struct host *host);

/* health.c */
extern const struct http_route health_routes[];
int health_service_init(struct host_module *module);
void health_init_metrics(struct host *host);
void health_tell_rejects(struct log_limit *limit, uint64_t untold, int64_t seconds);
extern const struct metric_row health_host_metrics[];

/** health_space_changed() - the line that tells of a disk that fills up, is full, or has room again
 */
void health_space_changed(void *userdata, enum space_state state);

/* banner.c */
void banner_print(struct host *host);
