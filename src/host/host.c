/*
 * The life of the process: two operations and what happens between them.
 *
 *   start   modules that need nothing (their recovery runs on threads from here on) -> database
 *           -> topics -> relay -> modules that need ports -> ready
 *   drain   listeners -> modules that need ports -> relay -> logs -> the other modules -> database
 *           -> console
 *
 * Whatever fails while starting leaves one line for the operator, drains what has started, and ends
 * with exit code 2. A step that waits for several completions counts them (host_pending_*).
 */
#include "host_internal.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    EXIT_START = 2,
    DRAIN_GRACE_MS = 2000, /* beyond drain_ms, for closing what drained in the last moment */
    FLUSH_MS_MAX = 5000,
    SIGNAL_ECHO_MS = 25,
};

int host_fail(struct host *host, int code, const char *format, ...) {
    if (host->failure[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(host->failure, sizeof host->failure, format, arguments);
        va_end(arguments);
    }
    return code ? code : -EINVAL;
}

/* ---- completions of a step ---- */

void host_pending_begin(struct host *host) {
    host->pending = 1;
    host->pending_status = 0;
}

void host_pending_add(struct host *host) {
    host->pending++;
}

void host_pending_done(struct host *host, int status) {
    if (status && !host->pending_status) {
        host->pending_status = status;
    }
    if (--host->pending == 0) {
        op_resume(&host->op, host->pending_status);
    }
}

int host_pending_end(struct host *host) {
    host_pending_done(host, 0);
    return op_wait(&host->op, NULL);
}

static struct host *host_of(struct op *op) {
    return container_of(op, struct host, op);
}

/* ---- starting ---- */

static int step_start_early(struct op *op) {
    struct host *host = host_of(op);
    host_pending_begin(host);
    for (size_t i = 0; i < host->module_count; i++) {
        struct host_module *module = &host->modules[i];
        if (!registry_is_early(module)) {
            continue;
        }
        int r = registry_init_module(module);
        host_pending_add(host);
        if (r) {
            host_pending_done(host, r);
        } else {
            registry_start_module(module);
        }
    }
    return OP_NEXT; /* step_wait_early() ends the wait: the database is opened meanwhile */
}

static size_t gather_migrations(const struct host *host, struct store_migration_set *sets) {
    size_t count = 0;
    sets[count++] = *outbox_migrations();
    for (size_t i = 0; i < host->module_count; i++) {
        const struct module *module = host->modules[i].module;
        if (module->migrations) {
            sets[count++] = (struct store_migration_set){module->name, module->migrations};
        }
    }
    return count;
}

static void on_store_full(void *userdata) {
    space_met_full(((struct host *)userdata)->space);
}

static int open_store(struct host *host) {
    struct store_migration_set sets[1 + HOST_MODULES_MAX];
    const struct host_settings *settings = &host->settings;
    char default_url[4200];
    const char *message = NULL;
    snprintf(default_url, sizeof default_url, "sqlite:///%s/eventbox.db", host->data_path);
    bool named = settings->database_url[0] != '\0';
    struct store_config config = {
        .loop = host->loop,
        .work = host->work,
        .random = host->random,
        .clock = host->clock,
        .url = named ? settings->database_url : default_url,
        .migrations = sets,
        .migration_count = gather_migrations(host, sets),
        .write_queue_max = (unsigned)settings->store_write_queue,
        .read_queue_max = (unsigned)settings->store_read_queue,
        .reader_threads = (unsigned)settings->store_readers,
        .outbox_rows_max = settings->outbox_rows_max,
    };
    config.wal_bytes_max = space_reserve_bytes(host->space) / 2;
    config.on_full = on_store_full;
    config.on_full_userdata = host;
    int r = store_open(&config, &host->store, &message);
    if (r) {
        host->store = NULL;
        const char *where = conf_describe(host->config->conf, CONF_HOST_SECTION, "database_url");
        return host_fail(host, r, "%s%s%s", named ? where : "", named ? ": " : "",
                         message ? message : err_text(r));
    }
    store_set_full(host->store, space_state(host->space) == SPACE_FULL);
    return folder_note_store(host);
}

static int step_open_store(struct op *op) {
    struct host *host = host_of(op);
    host_pending_add(host);
    host_pending_done(host, host->needs_store && !host->pending_status ? open_store(host) : 0);
    return OP_NEXT;
}

static int step_wait_early(struct op *op) {
    return host_pending_end(host_of(op));
}

static void on_declared(void *userdata, int status) {
    struct host *host = userdata;
    if (status) {
        host_fail(host, status, "a topic could not be made: %s", err_text(status));
    }
    host_pending_done(host, status);
}

static int step_declare_topics(struct op *op) {
    struct host *host = host_of(op);
    host_pending_begin(host);
    for (size_t i = 0; host->topics && i < host->module_count; i++) {
        const struct topic_declaration *row = host->modules[i].module->topics;
        for (; row && row->name; row++) {
            host_pending_add(host);
            int r = topic_declare(host->topics, row, on_declared, host);
            if (r) {
                on_declared(host, r);
            }
        }
    }
    return host_pending_end(host);
}

static void on_relay_error(void *userdata, int status, const char *text) {
    struct host *host = userdata;
    log_emit(&host->logger, LOG_RELAY_ERROR, NULL, LOG_TEXT("error", error_row_get(status)->slug),
             LOG_TEXT("reason", text));
}

static void on_relay_behind(void *userdata, int64_t last_outbox_id, int64_t cursor) {
    struct host *host = userdata;
    log_emit(&host->logger, LOG_STORE_BEHIND, NULL, LOG_INT("database_event", last_outbox_id),
             LOG_INT("log_event", cursor),
             LOG_TEXT("remedy",
                      "what was committed after the database's last event is gone from it; "
                      "compare with topic users.snapshot, or restore a newer copy"));
}

/* What modules say about the keys of their topics. */
static size_t gather_id_sources(const struct host *host, struct relay_id_source *sources) {
    size_t count = 0;
    for (size_t i = 0; i < host->module_count; i++) {
        const struct topic_declaration *row = host->modules[i].module->topics;
        for (; row && row->name && count < ARRAY_SIZE(host->id_sources); row++) {
            if (row->id_table) {
                sources[count++] = (struct relay_id_source){row->name, row->id_table};
            }
        }
    }
    return count;
}

static void on_relay_published(void *userdata, const struct trace *trace, const char *topic,
                               int64_t offset) {
    struct host *host = userdata;
    log_emit(&host->logger, LOG_RELAY_PUBLISHED, trace, LOG_TEXT("topic", topic),
             LOG_INT("offset", offset));
}

static void on_relay_started(void *userdata, int status) {
    struct host *host = userdata;
    host->relay_running = status == 0;
    if (status) {
        host->relay = NULL; /* it has freed itself */
        host_fail(host, status, "the relay from the database to the topic log cannot start: %s",
                  err_text(status));
    }
    op_resume(&host->op, status);
}

static int step_start_relay(struct op *op) {
    struct host *host = host_of(op);
    if (!host->store || !host->topics) {
        return OP_NEXT;
    }
    struct relay_config config = {
        .loop = host->loop,
        .store = host->store,
        .topics = host->topics,
        .copy_notifications = host->settings.copy_notifications,
        .batch_rows = (size_t)host->settings.relay_batch_rows,
        .id_sources = host->id_sources,
        .id_source_count = gather_id_sources(host, host->id_sources),
        .on_behind = on_relay_behind,
        .on_error = on_relay_error,
        .on_published = on_relay_published,
        .userdata = host,
    };
    int r = relay_start(&config, on_relay_started, host, &host->relay);
    if (r) {
        host->relay = NULL;
        return host_fail(host, r, "the relay cannot start: %s", err_text(r));
    }
    return op_wait(op, NULL);
}

/* All at once: none of them requires another of them, or its provider would have come earlier. */
static int step_start_modules(struct op *op) {
    struct host *host = host_of(op);
    host_pending_begin(host);
    for (size_t i = 0; i < host->module_count && !host->pending_status; i++) {
        struct host_module *module = &host->modules[i];
        if (registry_is_early(module)) {
            continue;
        }
        int r = registry_init_module(module);
        host_pending_add(host);
        if (r) {
            host_pending_done(host, r);
        } else {
            registry_start_module(module);
        }
    }
    return host_pending_end(host);
}

static int step_announce(struct op *op) {
    struct host *host = host_of(op);
    host->phase = HOST_READY;
    log_emit(&host->logger, LOG_HOST_STARTED, NULL, LOG_TEXT("version", EVENTBOX_VERSION),
             LOG_TEXT("data", host->data_path), LOG_TEXT("cluster_id", host->cluster_id));
    if (host->config->banner || isatty(STDOUT_FILENO)) {
        banner_print(host);
    }
    return OP_NEXT;
}

static void on_space(struct space_watcher *watcher, enum space_state state) {
    struct host *host = container_of(watcher, struct host, space_watcher);
    if (host->store) {
        store_set_full(host->store, state == SPACE_FULL);
    }
}

/* Before anything is opened: what a full disk refuses is known to everyone from the start. */
static int step_watch_space(struct op *op) {
    struct host *host = host_of(op);
    host->space_watcher.changed = on_space;
    space_watch(host->space, &host->space_watcher);
    int r = space_start(host->space, host->loop, host->work);
    return r ? host_fail(host, r, "free space cannot be watched: %s", err_text(r)) : OP_NEXT;
}

static const struct op_step start_steps[] = {
    {"watch_space", step_watch_space},
    {"start_early", step_start_early},
    {"open_store", step_open_store},
    {"wait_early", step_wait_early},
    {"declare_topics", step_declare_topics},
    {"start_relay", step_start_relay},
    {"start_modules", step_start_modules},
    {"announce", step_announce},
    {0},
};

/* ---- draining ---- */

static int64_t drain_left_ms(const struct host *host) {
    int64_t left = host->drain_end_ns - clock_mono_ns(host->clock);
    return MAX(left / NS_PER_MS, 0);
}

static void on_server_stopped(void *userdata) {
    struct host_module *module = userdata;
    log_limit_stop(&module->service.rejects);
    module->service.server = NULL;
    host_pending_done(module->host, 0);
}

static int step_stop_listeners(struct op *op) {
    struct host *host = host_of(op);
    host_pending_begin(host);
    for (size_t i = 0; i < host->module_count; i++) {
        struct host_module *module = &host->modules[i];
        if (module->service.server) {
            host_pending_add(host);
            http_server_stop(module->service.server, drain_left_ms(host), on_server_stopped,
                             module);
        }
    }
    return host_pending_end(host);
}

static int stop_modules(struct host *host, bool early) {
    host_pending_begin(host);
    for (size_t i = host->module_count; i-- > 0;) {
        if (registry_is_early(&host->modules[i]) == early) {
            host_pending_add(host);
            registry_stop_module(&host->modules[i]);
        }
    }
    return host_pending_end(host);
}

static int step_stop_modules(struct op *op) {
    return stop_modules(host_of(op), false);
}

static void on_relay_drained(void *userdata) {
    struct host *host = userdata;
    host->relay = NULL;
    host->relay_running = false;
    op_resume(&host->op, 0);
}

static int step_drain_relay(struct op *op) {
    struct host *host = host_of(op);
    if (!host->relay) {
        return OP_NEXT;
    }
    relay_drain(host->relay, drain_left_ms(host), on_relay_drained, host);
    return op_wait(op, NULL);
}

static void on_logs_flushed(void *userdata) {
    op_resume(userdata, 0);
}

static int step_flush_logs(struct op *op) {
    struct host *host = host_of(op);
    log_flush(&host->log, MIN(drain_left_ms(host), (int64_t)FLUSH_MS_MAX), on_logs_flushed, op);
    return op_wait(op, NULL);
}

static int step_stop_early(struct op *op) {
    return stop_modules(host_of(op), true);
}

static void on_store_closed(void *userdata) {
    struct host *host = userdata;
    host->store = NULL;
    op_resume(&host->op, 0);
}

static int step_close_store(struct op *op) {
    struct host *host = host_of(op);
    if (!host->store) {
        return OP_NEXT;
    }
    store_close(host->store, on_store_closed, host);
    return op_wait(op, NULL);
}

static void on_space_stopped(void *userdata) {
    op_resume(userdata, 0);
}

static int step_stop_space(struct op *op) {
    struct host *host = host_of(op);
    space_unwatch(&host->space_watcher);
    space_stop(host->space, on_space_stopped, op);
    return op_wait(op, NULL);
}

static void on_console_stopped(void *userdata) {
    op_resume(userdata, 0);
}

static int step_stop_console(struct op *op) {
    struct host *host = host_of(op);
    log_emit(&host->logger, LOG_HOST_STOPPED, NULL);
    log_remove_sink(&host->log, console_sink(host->console));
    console_stop(host->console, on_console_stopped, op);
    host->console = NULL;
    return op_wait(op, NULL);
}

static const struct op_step drain_steps[] = {
    {"stop_listeners", step_stop_listeners},
    {"stop_modules", step_stop_modules},
    {"drain_relay", step_drain_relay},
    {"flush_logs", step_flush_logs},
    {"stop_early", step_stop_early},
    {"close_store", step_close_store},
    {"stop_space", step_stop_space},
    {"stop_console", step_stop_console},
    {0},
};

static void on_drained(struct op *op, int status) {
    struct host *host = host_of(op);
    timer_stop(&host->drain_timer);
    loop_stop(host->loop);
}

/* The last line, behind what the console still had: nobody has to look for it. */
static void say_failure(const struct host *host) {
    if (host->exit_code == EXIT_START) {
        fprintf(stderr, "eventbox: %s\n", host->failure);
    }
}

/* What has not ended by now never will. Everything acknowledged is on disk: leaving is safe. */
static void on_drain_deadline(struct timer *timer) {
    struct host *host = container_of(timer, struct host, drain_timer);
    fprintf(stderr, "eventbox: not drained within drain_ms at step %s; ending now\n",
            host->op.steps[host->op.step].name);
    say_failure(host);
    _exit(host->exit_code ? host->exit_code : 1);
}

static void drain(struct host *host) {
    int64_t drain_ms = host->settings.drain_ms;
    bool was_ready = host->phase == HOST_READY;
    host->phase = HOST_DRAINING;
    host->drain_end_ns = clock_mono_ns(host->clock) + drain_ms * NS_PER_MS;
    timer_start_ms(&host->drain_timer, drain_ms + DRAIN_GRACE_MS);
    if (was_ready) {
        log_emit(&host->logger, LOG_HOST_DRAINING, NULL, LOG_INT("deadline_ms", drain_ms));
    }
    host->op = (struct op){0};
    op_start(&host->op, host->loop, "host.drain", drain_steps, on_drained);
}

static void on_start_finished(struct op *op, int status) {
    struct host *host = host_of(op);
    if (status) {
        host_fail(host, status, "cannot start: %s", err_text(status));
        host->exit_code = EXIT_START;
    }
    if (status || host->stop_wanted) {
        drain(host);
    }
}

/* ---- signals ---- */

static void on_signal(void *userdata, int signum) {
    struct host *host = userdata;
    if (signum == SIGHUP) {
        if (host->phase == HOST_READY) {
            reload_settings(host);
        }
        return;
    }
    int64_t now_ns = clock_mono_ns(host->clock);
    if (host->phase == HOST_DRAINING || host->stop_wanted) {
        /* timeout(1) and others signal the process and its group: no second wish of anybody. */
        if (now_ns - host->stop_wanted_ns > SIGNAL_ECHO_MS * NS_PER_MS) {
            say_failure(host);
            _exit(128 + signum); /* the second one: at once */
        }
        return;
    }
    host->stop_wanted = true;
    host->stop_wanted_ns = now_ns;
    if (host->phase != HOST_READY) { /* a start that hangs has the same deadline */
        timer_start_ms(&host->drain_timer, host->settings.drain_ms + DRAIN_GRACE_MS);
    }
    if (host->phase == HOST_READY) {
        drain(host);
    }
}

static int start_signals(struct host *host) {
    static const int signums[HOST_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < HOST_SIGNALS; i++) {
        int r = loop_signal_start(host->loop, signums[i], on_signal, host, &host->signals[i]);
        if (r) {
            return host_fail(host, r, "signals cannot be watched: %s", err_text(r));
        }
    }
    return 0;
}

static void stop_signals(struct host *host) {
    for (size_t i = 0; i < HOST_SIGNALS; i++) {
        if (host->signals[i]) {
            loop_signal_stop(host->signals[i]);
        }
    }
}

/* ---- the process ---- */

static void prepare_process(void) {
    struct rlimit limit;
    umask(077);
    mallopt(M_ARENA_MAX, 2); /* an arena for each thread would cost more than it brings */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
#ifndef __SANITIZE_ADDRESS__   /* the leak check traces the process */
    prctl(PR_SET_DUMPABLE, 0); /* no secrets in core files */
#endif
}

static int open_console(struct host *host) {
    struct console_config config = {
        .loop = host->loop,
        .work = host->work,
        .clock = host->clock,
        .fd = STDOUT_FILENO,
        .format = (enum console_format)host->settings.log_format,
        .buffer_bytes = (size_t)host->settings.log_buffer_bytes,
    };
    log_init(&host->log, host->clock, (enum log_level)host->settings.log_level);
    host->logger = (struct logger){.log = &host->log, .service = "eventbox"};
    int r = console_new(&config, &host->console);
    if (r) {
        return host_fail(host, r, "the console cannot be opened: %s", err_text(r));
    }
    log_add_sink(&host->log, console_sink(host->console));
    return 0;
}

/* Everything that needs no waiting: what fails here leaves nothing running. */
static int prepare(struct host *host) {
    conf_apply(host->config->conf, CONF_HOST_SECTION, host_settings_rows, &host->settings);
    metric_registry_init(&host->metrics);
    int r = registry_choose(host);
    r = r ? r : folder_open(host);
    r = r ? r : metric_set_init(&host->own_metrics, &host->metrics, health_host_metrics, NULL);
    health_init_metrics(host);
    r = r ? r : op_metrics_new(&host->metrics, &host->op_metrics);
    r = r ? r : registry_allocate(host);
    r = r ? r : registry_check_idle(host);
    r = r ? r : loop_new(host->clock, &host->loop);
    if (r) {
        return host_fail(host, r, "cannot start: %s", err_text(r));
    }
    timer_init(&host->drain_timer, host->loop, on_drain_deadline);
    r = start_signals(host);
    return r ? r : open_console(host);
}

static void run(struct host *host) {
    log_emit(&host->logger, LOG_HOST_STARTING, NULL, LOG_TEXT("version", EVENTBOX_VERSION),
             LOG_TEXT("data", host->data_path));
    if (host->settings.insecure) {
        log_emit(&host->logger, LOG_HOST_INSECURE, NULL);
    }
    op_start(&host->op, host->loop, "host.start", start_steps, on_start_finished);
    loop_run(host->loop);
}

int host_run(const struct host_config *config) {
    struct host *host = calloc(1, sizeof *host);
    if (!host) {
        return 1;
    }
    host->config = config;
    host->lock_fd = -1;
    host->clock = clock_system();
    host->random = random_system();
    host->work = work_port_threads();
    prepare_process();
    if (prepare(host)) {
        host->exit_code = EXIT_START;
    } else {
        run(host);
    }
    say_failure(host);
    int exit_code = host->exit_code;
    registry_free(host);
    if (host->loop) {
        stop_signals(host);
        loop_free(host->loop);
    }
    op_metrics_free(host->op_metrics);
    metric_set_deinit(&host->own_metrics);
    folder_close(host);
    free(host);
    return exit_code;
}
