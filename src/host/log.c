/* Log lines on their way from the call to the sinks: level, event row, user_id lifted to the top.
 */
#include "log_internal.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_FIELDS_MAX = 32 };

static const struct log_event_row event_rows[LOG_EVENT_COUNT] = {
#define LOG_EVENT(symbol, level, action, message) [symbol] = {level, action, message},
#include <eventbox/tbl/log_events.h>
#undef LOG_EVENT
};

const struct log_event_row *log_event_row_get(enum log_event event) {
    return &event_rows[event];
}

const char *log_level_name(enum log_level level) {
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    return names[level];
}

void log_init(struct log *log, struct clock *clock, enum log_level level) {
    *log = (struct log){.clock = clock, .level = level};
}

bool log_add_sink(struct log *log, struct log_sink *sink) {
    if (log->sink_count == LOG_SINKS_MAX) {
        return false;
    }
    log->sinks[log->sink_count++] = sink;
    return true;
}

void log_remove_sink(struct log *log, struct log_sink *sink) {
    for (size_t i = 0; i < log->sink_count; i++) {
        if (log->sinks[i] == sink) {
            log->sinks[i] = log->sinks[--log->sink_count];
            return;
        }
    }
}

bool log_enabled(const struct logger *logger, enum log_level level) {
    return level >= logger->log->level || (logger->debug && level >= LOG_LEVEL_DEBUG);
}

static bool is_user_id(const struct log_field *field) {
    return field->type == LOG_FIELD_INT && field->name[0] == 'u' &&
           strcmp(field->name, "user_id") == 0;
}

/* Takes the field user_id out of @fields: by moving the ends where it stands there, else by a copy.
 */
static void lift_user_id(struct log_record *record, const struct log_field *fields, size_t count,
                         struct log_field *room) {
    record->details = fields;
    record->detail_count = count;
    for (size_t i = 0; i < count; i++) {
        if (!is_user_id(&fields[i])) {
            continue;
        }
        record->has_user_id = true;
        record->user_id = fields[i].integer;
        record->detail_count = count - 1;
        if (i == 0) {
            record->details = fields + 1;
        } else if (i + 1 < count) {
            memcpy(room, fields, i * sizeof *fields);
            memcpy(room + i, fields + i + 1, (count - i - 1) * sizeof *fields);
            record->details = room;
        }
        return;
    }
}

void log_write(struct logger *logger, enum log_event event, const struct trace *trace,
               const struct log_field *fields, size_t field_count) {
    const struct log_event_row *row = &event_rows[event];
    struct log_field room[LOG_FIELDS_MAX];
    if (!log_enabled(logger, row->level)) {
        return;
    }
    struct log_record record = {
        .wall_ns = clock_wall_ns(logger->log->clock),
        .level = row->level,
        .service = logger->service,
        .action = row->action,
        .message = row->message,
        .trace = trace && !trace_is_zero(trace) ? trace : NULL,
    };
    lift_user_id(&record, fields, MIN(field_count, (size_t)LOG_FIELDS_MAX), room);
    for (size_t i = 0; i < logger->log->sink_count; i++) {
        struct log_sink *sink = logger->log->sinks[i];
        sink->ops->encode(sink, &record);
    }
}

/* ---- flush ---- */

struct log_flush {
    size_t waiting;
    void (*flushed)(void *userdata);
    void *userdata;
};

static void on_flushed(void *userdata) {
    struct log_flush *flush = userdata;
    if (--flush->waiting > 0) {
        return;
    }
    flush->flushed(flush->userdata);
    free(flush);
}

void log_flush(struct log *log, int64_t deadline_ms, void (*flushed)(void *userdata),
               void *userdata) {
    struct log_flush *flush = calloc(1, sizeof *flush);
    if (!flush) {
        flushed(userdata);
        return;
    }
    *flush = (struct log_flush){log->sink_count + 1, flushed, userdata};
    for (size_t i = 0; i < log->sink_count; i++) {
        log->sinks[i]->ops->flush(log->sinks[i], deadline_ms, on_flushed, flush);
    }
    on_flushed(flush); /* the one more, so that a sink that answers at once does not end it early */
}
