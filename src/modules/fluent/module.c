/* Structured log lines to a Fluentd-compatible server: README.md. */
#include "client.h"

#include <eventbox/base/text.h>
#include <eventbox/host/log_limit.h>
#include <eventbox/host/module.h>
#include <inttypes.h>

struct fluent {
    /* Settings. */
    bool enabled;
    char *host;
    int64_t port;
    int64_t buffer_bytes, chunk_bytes;
    int64_t flush_ms, connect_timeout_ms, ack_timeout_ms;

    struct module_context context;
    struct log_sink sink;
    struct fluent_buffer buffer;
    struct fluent_client client;
    struct log_limit refusals; /* of the lines about them */
    bool running;
    bool muted;            /* our own diagnostics stay out of the pipeline they are about */
    bool told_unreachable; /* once until a connection stands again */
    int64_t told_connected_ns;
    uint64_t reported_by_level[FLUENT_LEVELS], reported; /* drops that were told */
    uint64_t events_by_level[FLUENT_LEVELS];
    module_done_fn stopped;
    void *stopped_userdata;
};

enum { STOP_MS_MAX = 1000 };

static const struct conf_row conf[] = {
    {"enabled", CONF_BOOL, offsetof(struct fluent, enabled), 0, "yes", 0, 0, NULL, NULL, NULL,
     "Send log lines to a Fluentd-compatible server. Without one nothing blocks."},
    {"host", CONF_STRING, offsetof(struct fluent, host), 0, "127.0.0.1", 0, 0, NULL, NULL, NULL,
     "Name or address of the forward server; looked up at every connect."},
    {"port", CONF_INT, offsetof(struct fluent, port), 0, "24224", 1, 65535, NULL, NULL, NULL,
     "Its TCP port."},
    {"buffer_bytes", CONF_SIZE, offsetof(struct fluent, buffer_bytes), 0, "64MiB", 1 << 20,
     INT64_C(4) << 30, NULL, "bytes", NULL,
     "Memory for lines that no server has acknowledged; beyond it the oldest are dropped and "
     "counted."},
    {"chunk_bytes", CONF_SIZE, offsetof(struct fluent, chunk_bytes), 0, "1MiB", 4096, 3 << 20, NULL,
     "bytes", NULL, "A chunk of this size is sent at once; Fluent Bit refuses above 6 MB."},
    {"flush_ms", CONF_DURATION, offsetof(struct fluent, flush_ms), 0, "1000", 1, 60000, NULL, "ms",
     NULL, "A line waits at most so long for more of its chunk."},
    {"connect_timeout_ms", CONF_DURATION, offsetof(struct fluent, connect_timeout_ms), 0, "3000",
     100, 60000, NULL, "ms", NULL, "Time to resolve and connect."},
    {"ack_timeout_ms", CONF_DURATION, offsetof(struct fluent, ack_timeout_ms), 0, "60000", 1000,
     600000, NULL, "ms", NULL,
     "Without an acknowledgement for so long the connection is made anew and chunks are sent "
     "again."},
    {0},
};

enum {
    M_EVENTS, /* FLUENT_LEVELS rows */
    M_DROPPED = M_EVENTS + FLUENT_LEVELS,
    M_OVERFLOWED = M_DROPPED + FLUENT_LEVELS,
    M_REFUSED, /* FLUENT_REFUSALS rows */
    M_ACKED = M_REFUSED + FLUENT_REFUSALS,
    M_PROBES_SENT,
    M_CHUNKS_SENT,
    M_CHUNKS_RESENT,
    M_CHUNKS_ACKED,
    M_CHUNKS_REFUSED,
    M_ACKS_UNKNOWN,
    M_ACK_TIMEOUTS,
    M_CONNECTS,
    M_CONNECT_FAILURES,
    M_PROTOCOL_ERRORS,
    M_BUFFER_BYTES,
    M_CONNECTED,
    M_ACK_SECONDS,
};

#define LEVEL_ROWS(name, doc)                                                                      \
    {name, METRIC_COUNTER, "level=\"trace\"", doc},                                                \
        {name, METRIC_COUNTER, "level=\"debug\"", doc},                                            \
        {name, METRIC_COUNTER, "level=\"info\"", doc},                                             \
        {name, METRIC_COUNTER, "level=\"warn\"", doc},                                             \
        {name, METRIC_COUNTER, "level=\"error\"", doc}, {                                          \
        name, METRIC_COUNTER, "level=\"fatal\"", doc                                               \
    }

#define REFUSAL_ROW(how)                                                                           \
    {                                                                                              \
        "eventbox_fluent_refused_total", METRIC_COUNTER, "reason=\"" how "\"",                     \
            "log lines given up because the server refused them, by how it did so"                 \
    }

static const struct metric_row metrics[] = {
    LEVEL_ROWS("eventbox_fluent_events_total", "log lines taken, by level"),
    LEVEL_ROWS("eventbox_fluent_dropped_total",
               "log lines dropped because the buffer was full or the server refused them"),
    {"eventbox_fluent_overflowed_total", METRIC_COUNTER, NULL,
     "log lines dropped because the buffer was full"},
    REFUSAL_ROW("closed"),
    REFUSAL_ROW("no_ack"),
    REFUSAL_ROW("negative"),
    REFUSAL_ROW("passed_over"),
    REFUSAL_ROW("nonsense"),
    {"eventbox_fluent_acked_total", METRIC_COUNTER, NULL, "log lines acknowledged"},
    {"eventbox_fluent_probes_sent_total", METRIC_COUNTER, NULL,
     "harmless lines sent to learn whether the server takes anything"},
    {"eventbox_fluent_chunks_sent_total", METRIC_COUNTER, NULL, "chunks sent, repeats included"},
    {"eventbox_fluent_chunks_resent_total", METRIC_COUNTER, NULL, "chunks sent again"},
    {"eventbox_fluent_chunks_acked_total", METRIC_COUNTER, NULL, "chunks acknowledged"},
    {"eventbox_fluent_chunks_refused_total", METRIC_COUNTER, NULL, "refusals of chunks"},
    {"eventbox_fluent_acks_unknown_total", METRIC_COUNTER, NULL,
     "acknowledgements of no known chunk"},
    {"eventbox_fluent_ack_timeouts_total", METRIC_COUNTER, NULL,
     "connections closed because no acknowledgement came"},
    {"eventbox_fluent_connects_total", METRIC_COUNTER, NULL, "connections made"},
    {"eventbox_fluent_connect_failures_total", METRIC_COUNTER, NULL, "attempts that failed"},
    {"eventbox_fluent_protocol_errors_total", METRIC_COUNTER, NULL,
     "connections closed because of an answer that is none"},
    {"eventbox_fluent_buffer_bytes", METRIC_GAUGE, NULL,
     "memory in bytes of lines not yet acknowledged"},
    {"eventbox_fluent_connected", METRIC_GAUGE, NULL, "1 while a connection stands"},
    {"eventbox_fluent_ack_seconds", METRIC_HISTOGRAM, NULL,
     "time from sending a chunk to its acknowledgement"},
    {0},
};
_Static_assert(ARRAY_SIZE(metrics) == M_ACK_SECONDS + 2, "rows and indexes are one");

/* ---- the sink ---- */

static void on_encode(struct log_sink *sink, const struct log_record *record) {
    struct fluent *self = container_of(sink, struct fluent, sink);
    if (!self->running || self->muted) {
        return;
    }
    self->events_by_level[record->level]++;
    fluent_client_added(&self->client, fluent_buffer_add(&self->buffer, record));
}

static void on_flush(struct log_sink *sink, int64_t deadline_ms, void (*flushed)(void *userdata),
                     void *userdata) {
    struct fluent *self = container_of(sink, struct fluent, sink);
    if (!self->running) {
        flushed(userdata);
        return;
    }
    fluent_client_drain(&self->client, deadline_ms, flushed, userdata);
}

static const struct log_sink_ops sink_ops = {"fluent", on_encode, on_flush};

static struct log_sink *sink_of(void *state) {
    return &((struct fluent *)state)->sink;
}

/* ---- what the client tells ---- */

static void on_connected(void *userdata) {
    struct fluent *self = userdata;
    if (!self->told_unreachable && self->told_connected_ns != 0) {
        return; /* a server that closes after each chunk is no news */
    }
    self->told_unreachable = false;
    self->told_connected_ns = loop_now_ns(self->context.loop);
    self->muted = true;
    log_emit(self->context.log, LOG_FLUENT_CONNECTED, NULL, LOG_TEXT("host", self->host),
             LOG_INT("port", self->port));
    self->muted = false;
}

static void on_disconnected(void *userdata, int reason) {
    struct fluent *self = userdata;
    /* A connection that ends is news only when the next attempt fails, and then once. */
    if (self->told_unreachable || self->client.failures < 2) {
        return;
    }
    self->told_unreachable = true;
    self->muted = true;
    log_emit(self->context.log, LOG_FLUENT_UNREACHABLE, NULL, LOG_TEXT("host", self->host),
             LOG_INT("port", self->port), LOG_TEXT("reason", err_text(reason)));
    self->muted = false;
}

/* One line after a recovery tells how many are missing; it goes to the server too. */
static void report_drops(struct fluent *self) {
    uint64_t count[FLUENT_LEVELS];
    if (self->buffer.dropped == self->reported) {
        return;
    }
    uint64_t total = self->buffer.dropped - self->reported;
    for (size_t i = 0; i < FLUENT_LEVELS; i++) {
        count[i] = self->buffer.dropped_by_level[i] - self->reported_by_level[i];
        self->reported_by_level[i] = self->buffer.dropped_by_level[i];
    }
    self->reported = self->buffer.dropped;
    log_emit(self->context.log, LOG_FLUENT_DROPPED, NULL, LOG_TEXT("sink", "fluent"),
             LOG_INT("dropped", (int64_t)total), LOG_INT("trace", (int64_t)count[LOG_LEVEL_TRACE]),
             LOG_INT("debug", (int64_t)count[LOG_LEVEL_DEBUG]),
             LOG_INT("info", (int64_t)count[LOG_LEVEL_INFO]),
             LOG_INT("warn", (int64_t)count[LOG_LEVEL_WARN]),
             LOG_INT("error", (int64_t)count[LOG_LEVEL_ERROR]),
             LOG_INT("fatal", (int64_t)count[LOG_LEVEL_FATAL]));
}

static void on_acked(void *userdata, int64_t duration_ns) {
    struct fluent *self = userdata;
    metric_observe_ns(&self->context.metrics[M_ACK_SECONDS], duration_ns);
    report_drops(self);
}

static void on_refused(void *userdata, const struct fluent_entry *line,
                       enum fluent_refusal refusal) {
    struct fluent *self = userdata;
    if (!log_limit_take(&self->refusals)) {
        return;
    }
    self->muted = true; /* a server that chokes on a line may choke on its name */
    log_emit(self->context.log, LOG_FLUENT_REFUSED, NULL, LOG_SPAN("of", line->service),
             LOG_SPAN("refused_action", line->action),
             LOG_TEXT("refused_level", log_level_name(line->level)),
             LOG_TEXT("reason", fluent_refusal_names[refusal]));
    self->muted = false;
}

static void tell_refusals(struct log_limit *limit, uint64_t untold, int64_t seconds) {
    struct fluent *self = container_of(limit, struct fluent, refusals);
    self->muted = true;
    log_emit(self->context.log, LOG_FLUENT_REFUSED_MORE, NULL, LOG_INT("lines", (int64_t)untold),
             LOG_INT("seconds", seconds));
    self->muted = false;
}

/* ---- life ---- */

static int check(const void *settings, const char **ret_message) {
    const struct fluent *self = settings;
    if (self->enabled && self->buffer_bytes < 2 * self->chunk_bytes) {
        *ret_message = "fluent.buffer_bytes is less than two chunks; raise it or lower "
                       "fluent.chunk_bytes";
        return err_origin(CONF_E_VALUE);
    }
    return 0;
}

static const char *idle(const void *settings) {
    return ((const struct fluent *)settings)->enabled ? NULL : "fluent.enabled = no";
}

static int init(void *state, const struct module_context *context, const char **ret_message) {
    struct fluent *self = state;
    self->context = *context;
    self->sink.ops = &sink_ops;
    fluent_buffer_init(&self->buffer, context->random, (size_t)self->buffer_bytes,
                       (size_t)self->chunk_bytes);
    struct fluent_client_config config = {
        .loop = context->loop,
        .clock = context->clock,
        .random = context->random,
        .host = self->host,
        .port = (uint16_t)self->port,
        .connect_timeout_ms = self->connect_timeout_ms,
        .ack_timeout_ms = self->ack_timeout_ms,
        .flush_ms = self->flush_ms,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_acked = on_acked,
        .on_refused = on_refused,
        .userdata = self,
    };
    fluent_client_init(&self->client, &self->buffer, &config);
    log_limit_init(&self->refusals, context->loop, tell_refusals);
    self->running = self->enabled; /* lines of the start are kept from here on */
    return 0;
}

static void start(void *state, module_done_fn done, void *userdata) {
    struct fluent *self = state;
    if (self->enabled) {
        fluent_client_start(&self->client);
    }
    done(userdata, 0); /* whether a server is there or not */
}

static void on_client_stopped(void *userdata) {
    struct fluent *self = userdata;
    self->stopped(self->stopped_userdata, 0);
}

static void on_drained(void *userdata) {
    struct fluent *self = userdata;
    self->running = false;
    log_limit_stop(&self->refusals);
    fluent_client_stop(&self->client, on_client_stopped, self);
}

static void stop(void *state, module_done_fn done, void *userdata) {
    struct fluent *self = state;
    if (!self->running) {
        done(userdata, 0);
        return;
    }
    self->stopped = done;
    self->stopped_userdata = userdata;
    /* The host has flushed the sinks already: what is left now are the last lines of the end, and a
     * server that did not acknowledge before will not now. */
    fluent_client_drain(&self->client, MIN(self->context.drain_ms, (int64_t)STOP_MS_MAX),
                        on_drained, self);
}

static void fini(void *state) {
    struct fluent *self = state;
    fluent_buffer_deinit(&self->buffer);
}

static void collect(void *state) {
    struct fluent *self = state;
    const struct fluent_client_stats *stats = &self->client.stats;
    struct metric *m = self->context.metrics;
    for (size_t i = 0; i < FLUENT_LEVELS; i++) {
        metric_set(&m[M_EVENTS + i], (int64_t)self->events_by_level[i]);
        metric_set(&m[M_DROPPED + i], (int64_t)self->buffer.dropped_by_level[i]);
    }
    metric_set(&m[M_ACKED], (int64_t)stats->events_acked);
    metric_set(&m[M_OVERFLOWED], (int64_t)self->buffer.overflowed);
    for (size_t i = 0; i < FLUENT_REFUSALS; i++) {
        metric_set(&m[M_REFUSED + i], (int64_t)stats->events_refused[i]);
    }
    metric_set(&m[M_PROBES_SENT], (int64_t)stats->probes_sent);
    metric_set(&m[M_CHUNKS_SENT], (int64_t)stats->chunks_sent);
    metric_set(&m[M_CHUNKS_RESENT], (int64_t)stats->chunks_resent);
    metric_set(&m[M_CHUNKS_ACKED], (int64_t)stats->chunks_acked);
    metric_set(&m[M_CHUNKS_REFUSED], (int64_t)stats->chunks_refused);
    metric_set(&m[M_ACKS_UNKNOWN], (int64_t)stats->acks_unknown);
    metric_set(&m[M_ACK_TIMEOUTS], (int64_t)stats->ack_timeouts);
    metric_set(&m[M_CONNECTS], (int64_t)stats->connects);
    metric_set(&m[M_CONNECT_FAILURES], (int64_t)stats->connect_failures);
    metric_set(&m[M_PROTOCOL_ERRORS], (int64_t)stats->protocol_errors);
    metric_set(&m[M_BUFFER_BYTES], (int64_t)self->buffer.bytes);
    metric_set(&m[M_CONNECTED], self->client.state == FLUENT_CONNECTED);
}

static void describe(void *state, struct text *out) {
    struct fluent *self = state;
    if (self->enabled) {
        text_printf(out, "logs\tto Fluentd at %s:%" PRId64 " when one listens there\n", self->host,
                    self->port);
    }
}

static const char *const provides[] = {"log_sink", NULL};

extern const struct module fluent_module;
const struct module fluent_module = {
    .abi = MODULE_ABI,
    .name = "fluent",
    .service = "eventbox",
    .summary = "log lines to a Fluentd-compatible server",
    .provides = provides,
    .conf = conf,
    .metrics = metrics,
    .state_size = sizeof(struct fluent),
    .check = check,
    .idle = idle,
    .init = init,
    .start = start,
    .stop = stop,
    .fini = fini,
    .collect = collect,
    .log_sink = sink_of,
    .describe = describe,
};
