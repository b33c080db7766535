/* Notifications and deliveries: how they get into the store, and how they look as JSON. */
#include "notify.h"

#include <errno.h>

static int insert_notification(struct store_tx *tx, const struct notification_new *notification,
                               int64_t *ret_id) {
    char traceparent[TRACE_PARENT_SIZE] = "";
    struct store_stmt *stmt;
    int status = store_prepare(
        tx,
        "INSERT INTO notify_notification (kind, channel, source, event_id, user_id, subject, "
        "message,"
        " dedupe_key, traceparent, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        " ON CONFLICT DO NOTHING RETURNING id",
        &stmt);
    *ret_id = 0;
    if (status) {
        return err_trace(status);
    }
    if (notification->trace) {
        trace_format(notification->trace, traceparent);
    }
    store_bind_text(stmt, 1, span_text(notification->kind));
    store_bind_text(stmt, 2, span_text(channel_names[notification->channel]));
    store_bind_text(stmt, 3, notification->source);
    store_bind_text(stmt, 4, notification->event_id);
    if (notification->has_user_id) {
        store_bind_int(stmt, 5, notification->user_id);
    } else {
        store_bind_null(stmt, 5);
    }
    store_bind_text(stmt, 6, notification->subject);
    store_bind_text(stmt, 7, notification->message);
    store_bind_text(stmt, 8, notification->dedupe_key);
    store_bind_text(stmt, 9, notification->trace ? span_text(traceparent) : SPAN_NULL);
    store_bind_int(stmt, 10, notification->now_ms);
    status = store_step(stmt);
    if (status != STORE_ROW) {
        return err_trace(status);
    }
    *ret_id = store_column_int(stmt, 0);
    return err_trace(store_run(stmt, NULL));
}

static int insert_delivery(struct store_tx *tx, const struct notification_new *notification,
                           int64_t id) {
    bool done = notification->provider->same_transaction;
    struct store_stmt *stmt;
    int status = store_prepare(
        tx,
        "INSERT INTO notify_delivery (notification_id, channel, address, state, provider, attempts,"
        " fence, next_at, reason, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $7)",
        &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, id);
    store_bind_text(stmt, 2, span_text(channel_names[notification->channel]));
    store_bind_text(stmt, 3, notification->address);
    store_bind_text(stmt, 4,
                    span_text(delivery_state_names[done ? DELIVERY_SENT : DELIVERY_QUEUED]));
    store_bind_text(stmt, 5, span_text(notification->provider->name));
    store_bind_int(stmt, 6, done ? 1 : 0);
    store_bind_int(stmt, 7, notification->now_ms);
    store_bind_text(stmt, 8, span_text(notification->reason));
    return err_trace(store_run(stmt, NULL));
}

int notification_insert(struct store_tx *tx, const struct notification_new *notification,
                        int64_t *ret_id) {
    int status = insert_notification(tx, notification, ret_id);
    if (status || !*ret_id) {
        return err_trace(status);
    }
    return err_trace(insert_delivery(tx, notification, *ret_id));
}

/* ---- JSON ---- */

static void write_time(struct text *out, const char *name, int64_t wall_ms) {
    char time[CLOCK_RFC3339_SIZE];
    size_t size = clock_format_rfc3339(wall_ms * NS_PER_MS, 3, time);
    json_write_string(out, name, span_of(time, size));
}

static void write_text(struct text *out, const char *name, struct store_stmt *stmt, int column) {
    struct span text = store_column_text(stmt, column);
    if (text.data) {
        json_write_string(out, name, text);
    } else {
        json_write_null(out, name);
    }
}

static void write_id(struct text *out, const char *name, struct store_stmt *stmt, int column) {
    if (store_column_is_null(stmt, column)) {
        json_write_null(out, name);
    } else {
        json_write_int(out, name, store_column_int(stmt, column));
    }
}

/* The state of the notification is that of its delivery (of the first, should there be several). */
static int write_deliveries(struct store_tx *tx, int64_t id, struct span trace_id,
                            struct text *out) {
    struct store_stmt *stmt;
    bool first = true;
    int status = store_prepare(
        tx,
        "SELECT id, channel, address, state, provider, attempts, reason, provider_message_id,"
        " updated_at FROM notify_delivery WHERE notification_id = $1 ORDER BY id",
        &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, id);
    while ((status = store_step(stmt)) == STORE_ROW) {
        if (first) {
            write_text(out, "state", stmt, 3);
            write_text(out, "reason", stmt, 6);
            json_write_array(out, "deliveries");
            first = false;
        }
        json_write_object(out, NULL);
        json_write_int(out, "id", store_column_int(stmt, 0));
        write_text(out, "channel", stmt, 1);
        write_text(out, "address", stmt, 2);
        write_text(out, "state", stmt, 3);
        write_text(out, "provider", stmt, 4);
        json_write_int(out, "attempts", store_column_int(stmt, 5));
        write_text(out, "reason", stmt, 6);
        write_text(out, "provider_message_id", stmt, 7);
        if (trace_id.data) {
            json_write_string(out, "trace_id", trace_id);
        } else {
            json_write_null(out, "trace_id");
        }
        write_time(out, "updated_at", store_column_int(stmt, 8));
        json_write_object_end(out);
    }
    if (!first) {
        json_write_array_end(out);
    }
    return err_trace(status);
}

#define NOTIFICATION_COLUMNS                                                                       \
    "n.id, n.channel, n.kind, n.user_id, n.subject, n.message, n.source, n.event_id, "             \
    "n.traceparent,"                                                                               \
    " n.created_at"

enum { TRACE_ID_AT = 3, TRACE_ID_CHARS = 32 }; /* in "00-<trace id>-<span id>-01" */

static int write_notification(struct store_tx *tx, struct store_stmt *stmt, struct text *out) {
    struct span traceparent = store_column_text(stmt, 8), trace_id = SPAN_NULL;
    char trace_text[TRACE_ID_CHARS];
    int64_t id = store_column_int(stmt, 0);
    if (traceparent.size >= TRACE_ID_AT + TRACE_ID_CHARS) {
        memcpy(trace_text, (const char *)traceparent.data + TRACE_ID_AT, TRACE_ID_CHARS);
        trace_id = span_of(trace_text, TRACE_ID_CHARS);
    }
    json_write_object(out, NULL);
    json_write_int(out, "id", id);
    write_text(out, "type", stmt, 1);
    write_text(out, "kind", stmt, 2);
    write_id(out, "user_id", stmt, 3);
    write_text(out, "subject", stmt, 4);
    write_text(out, "message", stmt, 5);
    write_text(out, "source", stmt, 6);
    write_text(out, "event_id", stmt, 7);
    if (trace_id.data) {
        json_write_string(out, "trace_id", trace_id);
    } else {
        json_write_null(out, "trace_id");
    }
    write_time(out, "created_at", store_column_int(stmt, 9));
    int status = write_deliveries(tx, id, trace_id, out);
    json_write_object_end(out);
    return err_trace(status);
}

int notification_write_json(struct store_tx *tx, int64_t id, struct text *out) {
    struct store_stmt *stmt;
    int status = store_prepare(
        tx, "SELECT " NOTIFICATION_COLUMNS " FROM notify_notification n WHERE n.id = $1", &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, id);
    status = store_step(stmt);
    if (status != STORE_ROW) {
        return status ? err_trace(status) : NOTIFY_E_NOT_FOUND;
    }
    return err_trace(write_notification(tx, stmt, out));
}

/*
 * Three statements for one question, so that each filter that can leave out most rows walks an
 * index from the newest end: $1 cursor, $2 state, $3 channel, $4 user, $5 rows.
 */
static int prepare_list(struct store_tx *tx, const struct notification_query *query,
                        struct store_stmt **ret_stmt) {
#define FROM_BY_STATE                                                                              \
    " FROM notify_delivery d JOIN notify_notification n ON n.id = d.notification_id"               \
    " WHERE d.state = $2 AND d.notification_id < $1 AND ($3 IS NULL OR n.channel = $3)"            \
    " AND ($4 IS NULL OR n.user_id = $4) ORDER BY d.notification_id DESC LIMIT $5"
#define FROM_BY_USER                                                                               \
    " FROM notify_notification n WHERE n.user_id = $4 AND n.id < $1 AND $2 IS NULL"                \
    " AND ($3 IS NULL OR n.channel = $3) ORDER BY n.id DESC LIMIT $5"
#define FROM_ALL                                                                                   \
    " FROM notify_notification n WHERE n.id < $1 AND $2 IS NULL AND $4 IS NULL"                    \
    " AND ($3 IS NULL OR n.channel = $3) ORDER BY n.id DESC LIMIT $5"
    if (query->state.present) {
        return store_prepare(tx, "SELECT " NOTIFICATION_COLUMNS FROM_BY_STATE, ret_stmt);
    }
    if (query->user_id.present) {
        return store_prepare(tx, "SELECT " NOTIFICATION_COLUMNS FROM_BY_USER, ret_stmt);
    }
    return store_prepare(tx, "SELECT " NOTIFICATION_COLUMNS FROM_ALL, ret_stmt);
#undef FROM_BY_STATE
#undef FROM_BY_USER
#undef FROM_ALL
}

static void bind_list(struct store_stmt *stmt, const struct notification_query *query) {
    store_bind_int(stmt, 1, query->cursor.present ? query->cursor.value : INT64_MAX);
    store_bind_text(stmt, 2,
                    query->state.present ? span_text(delivery_state_names[query->state.value])
                                         : SPAN_NULL);
    store_bind_text(stmt, 3,
                    query->channel.present ? span_text(channel_names[query->channel.value])
                                           : SPAN_NULL);
    if (query->user_id.present) {
        store_bind_int(stmt, 4, query->user_id.value);
    } else {
        store_bind_null(stmt, 4);
    }
    store_bind_int(stmt, 5, query->limit.value + 1);
}

int notification_write_list(struct store_tx *tx, const struct notification_query *query,
                            struct text *out, int64_t *ret_next_cursor) {
    struct store_stmt *stmt;
    int64_t count = 0, last_id = 0;
    *ret_next_cursor = 0;
    int status = prepare_list(tx, query, &stmt);
    if (status) {
        return err_trace(status);
    }
    bind_list(stmt, query);
    json_write_array(out, NULL);
    while ((status = store_step(stmt)) == STORE_ROW) {
        /* One row more than asked for tells whether there is a next page. */
        if (count++ == query->limit.value) {
            *ret_next_cursor = last_id;
            continue;
        }
        last_id = store_column_int(stmt, 0);
        int written = write_notification(tx, stmt, out);
        if (written) {
            return err_trace(written);
        }
    }
    json_write_array_end(out);
    return status ? err_trace(status) : text_failed(out) ? err_origin(-ENOMEM) : 0;
}
