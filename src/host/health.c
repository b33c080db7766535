/*
 * What every HTTP service answers beside its own routes: / as in the original, /healthz (the
 * process lives), /readyz (all of its parts work), /metrics. And what is noted of every answer.
 */
#include "host_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { OUTBOX_BEHIND_MS = 30000 };

/* ---- figures of a service ---- */

enum {
    SERVICE_M_OTHER, /* 1xx and whatever else has no class of its own */
    SERVICE_M_2XX,
    SERVICE_M_3XX,
    SERVICE_M_4XX,
    SERVICE_M_5XX,
    SERVICE_M_DURATION,
    SERVICE_M_REJECTED,
    SERVICE_M_CONNECTIONS,
    SERVICE_M_OPENED,
    SERVICE_M_REFUSED,
    SERVICE_M_BYTES_IN,
    SERVICE_M_BYTES_OUT,
};

#define REQUESTS     "eventbox_http_requests_total"
#define REQUESTS_DOC "HTTP requests answered, by class of status."
static const struct metric_row service_metrics[] = {
    [SERVICE_M_OTHER] = {REQUESTS, METRIC_COUNTER, "class=\"other\"", REQUESTS_DOC},
    [SERVICE_M_2XX] = {REQUESTS, METRIC_COUNTER, "class=\"2xx\"", REQUESTS_DOC},
    [SERVICE_M_3XX] = {REQUESTS, METRIC_COUNTER, "class=\"3xx\"", REQUESTS_DOC},
    [SERVICE_M_4XX] = {REQUESTS, METRIC_COUNTER, "class=\"4xx\"", REQUESTS_DOC},
    [SERVICE_M_5XX] = {REQUESTS, METRIC_COUNTER, "class=\"5xx\"", REQUESTS_DOC},
    [SERVICE_M_DURATION] = {"eventbox_http_request_duration_seconds", METRIC_HISTOGRAM, NULL,
                            "From the last byte of a request's head to its answer."},
    [SERVICE_M_REJECTED] = {"eventbox_http_rejected_total", METRIC_COUNTER, NULL,
                            "Connections closed for a framing error or a limit."},
    [SERVICE_M_CONNECTIONS] = {"eventbox_http_connections", METRIC_GAUGE, NULL,
                               "Open connections."},
    [SERVICE_M_OPENED] = {"eventbox_http_connections_total", METRIC_COUNTER, NULL,
                          "Connections accepted."},
    [SERVICE_M_REFUSED] = {"eventbox_http_connections_refused_total", METRIC_COUNTER, NULL,
                           "Connections refused at the limit."},
    [SERVICE_M_BYTES_IN] = {"eventbox_http_received_bytes_total", METRIC_COUNTER, NULL,
                            "Bytes received."},
    [SERVICE_M_BYTES_OUT] = {"eventbox_http_sent_bytes_total", METRIC_COUNTER, NULL, "Bytes sent."},
    {0},
};

static void collect_service(void *userdata) {
    struct host_service *service = userdata;
    struct metric *metrics = service->metrics.metrics;
    struct http_server_stats stats = {0};
    if (service->server) {
        http_server_stats(service->server, &stats);
    }
    metric_set(&metrics[SERVICE_M_CONNECTIONS], (int64_t)stats.connections_now);
    metric_set(&metrics[SERVICE_M_OPENED], (int64_t)stats.connections_opened);
    metric_set(&metrics[SERVICE_M_REFUSED], (int64_t)stats.connections_refused);
    metric_set(&metrics[SERVICE_M_REJECTED], (int64_t)stats.rejected);
    metric_set(&metrics[SERVICE_M_BYTES_IN], (int64_t)stats.bytes_in);
    metric_set(&metrics[SERVICE_M_BYTES_OUT], (int64_t)stats.bytes_out);
}

static void on_answer(void *userdata, struct http_request *request, int status,
                      int64_t duration_ns) {
    struct host_module *module = userdata;
    struct metric *metrics = module->service.metrics.metrics;
    int class = status / 100;
    metric_inc(&metrics[class >= 2 && class <= 5 ? SERVICE_M_2XX + class - 2 : SERVICE_M_OTHER]);
    metric_observe_ns(&metrics[SERVICE_M_DURATION], duration_ns);
    log_emit(&module->logger, LOG_HTTP_REQUEST, http_request_trace(request),
             LOG_SPAN("method", http_request_method(request)),
             LOG_SPAN("path", http_request_path(request)), LOG_INT("status", status),
             LOG_INT("duration_us", duration_ns / 1000),
             LOG_TEXT("peer", http_request_peer(request)));
}

static void on_reject(void *userdata, const char *peer, int code) {
    struct host_module *module = userdata;
    if (log_limit_take(&module->service.rejects)) {
        log_emit(&module->logger, LOG_HTTP_REJECTED, NULL, LOG_TEXT("peer", peer),
                 LOG_TEXT("reason", error_row_get(code)->slug));
    }
}

void health_tell_rejects(struct log_limit *limit, uint64_t untold, int64_t seconds) {
    struct host_module *module = container_of(limit, struct host_module, service.rejects);
    log_emit(&module->logger, LOG_HTTP_REJECTED_MORE, NULL, LOG_INT("connections", (int64_t)untold),
             LOG_INT("seconds", seconds));
}

int health_service_init(struct host_module *module) {
    const struct module_http *http = &module->module->http;
    struct host_service *service = &module->service;
    service->http = (struct http_service){
        .name = http->service,
        .title = http->title,
        .version = EVENTBOX_VERSION,
        .routes = http->routes,
        .common_routes = health_routes,
        .schemas = http->schemas,
        .userdata = module->state,
        .common_userdata = module,
        .on_answer = on_answer,
        .on_reject = on_reject,
    };
    snprintf(service->labels, sizeof service->labels, "service=\"%s\"", http->service);
    int r = metric_set_init(&service->metrics, &module->host->metrics, service_metrics,
                            service->labels);
    service->metrics.collect = collect_service;
    service->metrics.userdata = service;
    return r;
}

/* ---- figures of the host ---- */

enum {
    HOST_M_READY,
    HOST_M_OUTBOX_ROWS,
    HOST_M_OUTBOX_AGE,
    HOST_M_RELAY_ROWS,
    HOST_M_RELAY_RECORDS,
    HOST_M_RELAY_ERRORS,
    HOST_M_STORE_WRITES,
    HOST_M_STORE_GROUPS,
    HOST_M_STORE_READS,
    HOST_M_STORE_REFUSED,
    HOST_M_STORE_FAILED,
    HOST_M_STORE_WRITE_QUEUE,
    HOST_M_STORE_READ_QUEUE,
    HOST_M_CONSOLE_LINES,
    HOST_M_CONSOLE_DROPPED,
    HOST_M_DISK_AVAILABLE,
    HOST_M_DISK_LOW_WATER,
    HOST_M_DISK_FILES,
    HOST_M_DISK_FILES_LOW_WATER,
    HOST_M_DISK_RESERVE,
    HOST_M_DISK_LOW,
    HOST_M_DISK_FULL,
    HOST_M_DISK_FULL_TIMES,
};

const struct metric_row health_host_metrics[] = {
    [HOST_M_READY] = {"eventbox_ready", METRIC_GAUGE, NULL, "1 when /readyz answers 200."},
    [HOST_M_OUTBOX_ROWS] = {"eventbox_outbox_rows", METRIC_GAUGE, NULL,
                            "Outbox rows waiting for the topic log."},
    [HOST_M_OUTBOX_AGE] = {"eventbox_outbox_oldest_milliseconds", METRIC_GAUGE, NULL,
                           "Age of the oldest waiting outbox row."},
    [HOST_M_RELAY_ROWS] = {"eventbox_relay_rows_total", METRIC_COUNTER, NULL,
                           "Outbox rows published."},
    [HOST_M_RELAY_RECORDS] = {"eventbox_relay_records_total", METRIC_COUNTER, NULL,
                              "Records published from the outbox."},
    [HOST_M_RELAY_ERRORS] = {"eventbox_relay_errors_total", METRIC_COUNTER, NULL,
                             "Appends of the relay that failed and were repeated."},
    [HOST_M_STORE_WRITES] = {"eventbox_store_writes_total", METRIC_COUNTER, NULL,
                             "Write transactions."},
    [HOST_M_STORE_GROUPS] = {"eventbox_store_groups_total", METRIC_COUNTER, NULL,
                             "Group commits: syncs of the database."},
    [HOST_M_STORE_READS] = {"eventbox_store_reads_total", METRIC_COUNTER, NULL, "Read jobs."},
    [HOST_M_STORE_REFUSED] = {"eventbox_store_refused_total", METRIC_COUNTER, NULL,
                              "Jobs refused because the queue was full."},
    [HOST_M_STORE_FAILED] = {"eventbox_store_failed_groups_total", METRIC_COUNTER, NULL,
                             "Group commits that failed."},
    [HOST_M_STORE_WRITE_QUEUE] = {"eventbox_store_queued", METRIC_GAUGE, "queue=\"write\"",
                                  "Jobs waiting for the database."},
    [HOST_M_STORE_READ_QUEUE] = {"eventbox_store_queued", METRIC_GAUGE, "queue=\"read\"",
                                 "Jobs waiting for the database."},
    [HOST_M_CONSOLE_LINES] = {"eventbox_console_lines_total", METRIC_COUNTER, NULL,
                              "Log lines shown on the console."},
    [HOST_M_CONSOLE_DROPPED] = {"eventbox_console_dropped_lines_total", METRIC_COUNTER, NULL,
                                "Log lines that the console was too slow for."},
    [HOST_M_DISK_AVAILABLE] = {"eventbox_disk_available_bytes", METRIC_GAUGE, NULL,
                               "Free bytes where the data lies, at the last look; what the reserve "
                               "holds is not among them."},
    [HOST_M_DISK_LOW_WATER] = {"eventbox_disk_low_water_bytes", METRIC_GAUGE, NULL,
                               "Below so many free bytes eventbox_disk_low is 1."},
    [HOST_M_DISK_FILES] = {"eventbox_disk_available_files", METRIC_GAUGE, NULL,
                           "Files (inodes) that can still be made where the data lies; 0, as the "
                           "next, where the file system has no bound."},
    [HOST_M_DISK_FILES_LOW_WATER] = {"eventbox_disk_low_water_files", METRIC_GAUGE, NULL,
                                     "With fewer files left eventbox_disk_low is 1."},
    [HOST_M_DISK_RESERVE] = {"eventbox_disk_reserve_bytes", METRIC_GAUGE, NULL,
                             "Bytes held back for a full disk; 0 while they are given up."},
    [HOST_M_DISK_LOW] = {"eventbox_disk_low", METRIC_GAUGE, NULL,
                         "1 while less than the low-water mark is free, of bytes or of files."},
    [HOST_M_DISK_FULL] = {"eventbox_disk_full", METRIC_GAUGE, NULL,
                          "1 while the disk is full and what adds is refused."},
    [HOST_M_DISK_FULL_TIMES] = {"eventbox_disk_full_total", METRIC_COUNTER, NULL,
                                "How often the disk was full."},
    {0},
};

static bool gather_parts(struct host *host, struct text *out);

static void collect_host(void *userdata) {
    struct host *host = userdata;
    struct metric *metrics = host->own_metrics.metrics;
    struct store_stats store = {0};
    struct relay_stats relay = {0};
    struct console_stats console = {0};
    if (host->store) {
        store_stats(host->store, &store);
    }
    if (host->relay_running) {
        relay_stats(host->relay, &relay);
    }
    struct space_stats space;
    console_stats(host->console, &console);
    space_stats(host->space, &space);
    const int64_t values[] = {
        [HOST_M_READY] = gather_parts(host, NULL),
        [HOST_M_OUTBOX_ROWS] = store.outbox_rows,
        [HOST_M_OUTBOX_AGE] = relay.oldest_ns / NS_PER_MS,
        [HOST_M_RELAY_ROWS] = (int64_t)relay.published_rows,
        [HOST_M_RELAY_RECORDS] = (int64_t)relay.published_records,
        [HOST_M_RELAY_ERRORS] = (int64_t)relay.errors,
        [HOST_M_STORE_WRITES] = (int64_t)store.write_jobs,
        [HOST_M_STORE_GROUPS] = (int64_t)store.write_groups,
        [HOST_M_STORE_READS] = (int64_t)store.read_jobs,
        [HOST_M_STORE_REFUSED] = (int64_t)store.refused_jobs,
        [HOST_M_STORE_FAILED] = (int64_t)store.failed_groups,
        [HOST_M_STORE_WRITE_QUEUE] = store.write_queued,
        [HOST_M_STORE_READ_QUEUE] = store.read_queued,
        [HOST_M_CONSOLE_LINES] = (int64_t)console.lines,
        [HOST_M_CONSOLE_DROPPED] = (int64_t)console.dropped_lines,
        [HOST_M_DISK_AVAILABLE] = (int64_t)space.available_bytes,
        [HOST_M_DISK_LOW_WATER] = (int64_t)space.low_bytes,
        [HOST_M_DISK_FILES] = (int64_t)space.available_files,
        [HOST_M_DISK_FILES_LOW_WATER] = (int64_t)space.low_files,
        [HOST_M_DISK_RESERVE] = space.reserve_held ? (int64_t)space.reserve_bytes : 0,
        [HOST_M_DISK_LOW] = space.state != SPACE_OK,
        [HOST_M_DISK_FULL] = space.state == SPACE_FULL,
        [HOST_M_DISK_FULL_TIMES] = (int64_t)space.full_times,
    };
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        metric_set(&metrics[i], values[i]);
    }
}

void health_space_changed(void *userdata, enum space_state state) {
    static const enum log_event lines[] = {
        [SPACE_OK] = LOG_HOST_DISK_AGAIN,
        [SPACE_LOW] = LOG_HOST_DISK_LOW,
        [SPACE_FULL] = LOG_HOST_DISK_FULL,
    };
    struct host *host = userdata;
    struct space_stats stats;
    space_stats(host->space, &stats);
    log_emit(&host->logger, lines[state], NULL, LOG_TEXT("data", host->data_path),
             LOG_INT("available_bytes", (int64_t)stats.available_bytes),
             LOG_INT("low_water_bytes", (int64_t)stats.low_bytes),
             LOG_INT("available_files", (int64_t)stats.available_files),
             LOG_INT("low_water_files", (int64_t)stats.low_files),
             LOG_INT("reserve_bytes", (int64_t)stats.reserve_bytes));
}

void health_init_metrics(struct host *host) {
    host->own_metrics.collect = collect_host;
    host->own_metrics.userdata = host;
}

/* ---- readiness ---- */

static const char *const state_names[] = {"ok", "starting", "behind", "draining", "failed"};

/* One part that is not well; @out may be NULL. */
static void write_part(struct text *out, const char *part, enum module_health_state state,
                       const char *detail) {
    if (!out) {
        return;
    }
    json_write_object(out, NULL);
    json_write_string(out, "part", span_text(part));
    json_write_string(out, "state", span_text(state_names[state]));
    json_write_string(out, "detail", span_text(detail));
    json_write_object_end(out);
}

static bool check_space(struct host *host, struct text *out) {
    struct space_stats stats;
    char detail[240], files[100] = "", files_wanted[40] = "";
    space_stats(host->space, &stats);
    if (stats.state != SPACE_FULL) {
        return true;
    }
    if (stats.full_files > 0) {
        snprintf(files, sizeof files, ", %" PRIu64 " files (inodes) left", stats.available_files);
        snprintf(files_wanted, sizeof files_wanted, " and %" PRIu64 " files", stats.full_files * 2);
    }
    snprintf(detail, sizeof detail,
             "the disk is full (%" PRIu64 " MiB free%s): what adds is refused, reads and deletes "
             "go on, and all of it does again with %" PRIu64 " MiB%s",
             stats.available_bytes >> 20, files, (stats.reserve_bytes + stats.full_bytes * 2) >> 20,
             files_wanted);
    write_part(out, "disk", MODULE_FAILED, detail);
    return false;
}

static bool check_store(struct host *host, struct text *out) {
    struct store_stats stats;
    if (!host->needs_store) {
        return true;
    }
    if (!host->store) {
        write_part(out, "store", MODULE_STARTING, "the database is being opened");
        return false;
    }
    store_stats(host->store, &stats);
    if (stats.failed) {
        write_part(out, "store", MODULE_FAILED,
                   "a write of the database failed; it takes no more until a restart");
    }
    return !stats.failed;
}

static bool check_relay(struct host *host, struct text *out) {
    struct relay_stats stats;
    char detail[160];
    if (!host->store || !host->topics || !host->relay_running) {
        return true; /* none is wanted, or the phase says it */
    }
    relay_stats(host->relay, &stats);
    if (stats.failed) {
        write_part(out, "relay", MODULE_FAILED, "events cannot be published until a restart");
        return false;
    }
    if (stats.oldest_ns / NS_PER_MS > OUTBOX_BEHIND_MS) {
        snprintf(detail, sizeof detail, "the oldest event has waited %" PRId64 " s in the outbox",
                 stats.oldest_ns / NS_PER_SEC);
        write_part(out, "relay", MODULE_BEHIND, detail);
        return false;
    }
    return true;
}

static bool check_module(struct host_module *module, struct text *out) {
    struct module_health health = {.state = MODULE_OK};
    if (module->phase == HOST_MODULE_FAILED) {
        health.state = MODULE_FAILED;
    } else if (module->phase < HOST_MODULE_STARTED) {
        health.state = MODULE_STARTING;
    } else if (module->phase == HOST_MODULE_STOPPED) {
        health.state = MODULE_DRAINING;
    } else if (module->module->health) {
        module->module->health(module->state, &health);
    }
    if (health.state != MODULE_OK) {
        health.detail[sizeof health.detail - 1] = '\0';
        write_part(out, module->module->name, health.state, health.detail);
    }
    return health.state == MODULE_OK;
}

/* True when every part is well; the others are written to @out, which may be NULL. */
static bool gather_parts(struct host *host, struct text *out) {
    bool ready = host->phase == HOST_READY;
    if (!ready) {
        write_part(out, "eventbox",
                   host->phase == HOST_STARTING ? MODULE_STARTING : MODULE_DRAINING,
                   host->phase == HOST_STARTING ? "starting" : "finishing what is in flight");
    }
    ready &= check_space(host, out);
    ready &= check_store(host, out);
    ready &= check_relay(host, out);
    for (size_t i = 0; i < host->module_count; i++) {
        ready &= check_module(&host->modules[i], out);
    }
    return ready;
}

/* ---- routes ---- */

static void handle_root(struct http_request *request) {
    struct host_module *module = http_request_userdata(request);
    struct text json;
    text_init(&json);
    json_write_object(&json, NULL);
    json_write_string(&json, "status", SPAN_LITERAL("ok"));
    json_write_string(&json, "service", span_text(module->module->http.service));
    json_write_string(&json, "version", SPAN_LITERAL(EVENTBOX_VERSION));
    json_write_object_end(&json);
    http_respond_json(request, 200, &json);
}

static void handle_healthz(struct http_request *request) {
    http_respond_static(request, 200, "application/json", SPAN_LITERAL("{\"status\":\"ok\"}"));
}

static void handle_readyz(struct http_request *request) {
    struct host_module *module = http_request_userdata(request);
    struct text parts, json;
    text_init(&parts);
    text_init(&json);
    json_write_array(&parts, NULL);
    bool ready = gather_parts(module->host, &parts);
    json_write_array_end(&parts);
    json_write_object(&json, NULL);
    json_write_string(&json, "status", span_text(ready ? "ready" : "unavailable"));
    if (!ready) {
        json_write_raw(&json, "parts", text_span(&parts));
        http_respond_header(request, "Retry-After", "1");
    }
    json_write_object_end(&json);
    text_deinit(&parts);
    http_respond_json(request, ready ? 200 : 503, &json);
}

static void handle_metrics(struct http_request *request) {
    struct host_module *module = http_request_userdata(request);
    struct text text;
    text_init(&text);
    metric_registry_print(&module->host->metrics, &text);
    if (text_failed(&text)) {
        http_respond_error(request, HTTP_E_UNAVAILABLE);
    } else {
        http_respond_text(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                          text_span(&text));
    }
    text_deinit(&text);
}

static const struct http_response_doc root_docs[] = {
    {200, "The service answers", NULL},
    {0},
};
static const struct http_response_doc ready_docs[] = {
    {200, "All parts work", NULL},
    {503, "Some part is failed, draining, starting or behind; the answer names it", NULL},
    {0},
};

const struct http_route health_routes[] = {
    {HTTP_GET, "/", .handle = handle_root, .op_name = "root", .responses = root_docs,
     .summary = "Name and version of the service", .tag = "operations"},
    {HTTP_GET, "/healthz", .handle = handle_healthz, .op_name = "healthz", .responses = root_docs,
     .summary = "Whether the process lives", .tag = "operations"},
    {HTTP_GET, "/readyz", .handle = handle_readyz, .op_name = "readyz", .responses = ready_docs,
     .summary = "Whether all parts work", .tag = "operations"},
    {HTTP_GET, "/metrics", .handle = handle_metrics, .op_name = "metrics", .responses = root_docs,
     .summary = "Figures in Prometheus text", .tag = "operations"},
    {0},
};
