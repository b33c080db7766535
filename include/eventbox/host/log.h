/*
 * Structured log lines. The call encodes typed fields on the loop into each sink's own chunk before
 * it returns and never blocks, allocates per line or waits for a file: sinks write on threads with
 * bounded queues. Events are rows of tbl/log_events.h. Libraries report, modules log.
 */
#pragma once

#include <eventbox/base/clock.h>
#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>
#include <eventbox/base/trace.h>

enum log_level {
    LOG_LEVEL_TRACE,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_FATAL
};

enum log_event {
#define LOG_EVENT(symbol, level, action, message) symbol,
#include <eventbox/tbl/log_events.h>
#undef LOG_EVENT
    LOG_EVENT_COUNT,
};

struct log_event_row {
    enum log_level level;
    const char *action;  /* the record's `action` */
    const char *message; /* for people */
};
const struct log_event_row *log_event_row_get(enum log_event event);
const char *log_level_name(enum log_level level); /* "INFO" */

enum log_field_type { LOG_FIELD_INT, LOG_FIELD_TEXT, LOG_FIELD_BOOL, LOG_FIELD_DOUBLE };

struct log_field {
    const char *name;
    enum log_field_type type;
    union {
        int64_t integer;
        struct span text; /* cleaned to UTF-8 and cut at 4 KiB by the sinks */
        bool boolean;
        double number;
    };
};
#define LOG_INT(field, value)                                                                      \
    ((struct log_field){.name = (field), .type = LOG_FIELD_INT, .integer = (value)})
#define LOG_TEXT(field, value)                                                                     \
    ((struct log_field){.name = (field), .type = LOG_FIELD_TEXT, .text = span_text(value)})
#define LOG_SPAN(field, value)                                                                     \
    ((struct log_field){.name = (field), .type = LOG_FIELD_TEXT, .text = (value)})
#define LOG_BOOL(field, value)                                                                     \
    ((struct log_field){.name = (field), .type = LOG_FIELD_BOOL, .boolean = (value)})
#define LOG_DOUBLE(field, value)                                                                   \
    ((struct log_field){.name = (field), .type = LOG_FIELD_DOUBLE, .number = (value)})

/* One line, as sinks get it: borrowed until encode() returns. */
struct log_record {
    int64_t wall_ns;
    enum log_level level;
    const char *service; /* "user-service", "notification-service", "broker", "eventbox": also the
                            Fluentd tag */
    const char *action;
    const char *message;
    const struct trace *trace; /* NULL: none */
    bool has_user_id;
    int64_t user_id;
    const struct log_field *details; /* the record's `details` map */
    size_t detail_count;
};

/*
 * The original's record has `user_id` at the top and everything else in `details`: a field named
 * "user_id" of type LOG_FIELD_INT is lifted out by log_write().
 */
struct logger; /* bound to one service name */

/** log_write() - one line to every sink, unless its level is below the logger's */
void log_write(struct logger *logger, enum log_event event, const struct trace *trace,
               const struct log_field *fields, size_t field_count);
/** log_enabled() - whether a line of @level is written at all */
bool log_enabled(const struct logger *logger, enum log_level level);

/*
 * log_emit(logger, LOG_USERS_CREATED, trace, LOG_INT("user_id", 1)): the level is checked before
 * the fields are evaluated.
 */
#define log_emit(logger, event, trace, ...)                                                        \
    do {                                                                                           \
        if (log_enabled((logger), log_event_row_get(event)->level)) {                              \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_write((logger), (event), (trace), log_fields_,                                     \
                      sizeof log_fields_ / sizeof(struct log_field));                              \
        }                                                                                          \
    } while (0)

/* A sink: console (host), Fluentd forward (modules/fluent). All calls on the loop. */
struct log_sink {
    const struct log_sink_ops *ops;
};
struct log_sink_ops {
    const char *name;
    /* Into the sink's memory; drops with a counter when that is full. */
    void (*encode)(struct log_sink *sink, const struct log_record *record);
    /* Send what is there, then call @flushed; within @deadline_ms. */
    void (*flush)(struct log_sink *sink, int64_t deadline_ms, void (*flushed)(void *userdata),
                  void *userdata);
};
