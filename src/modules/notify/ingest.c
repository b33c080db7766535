/*
 * T1: what a batch of records asks for becomes rows, in one transaction with the consumer's offset.
 *
 * The offset is compared and swapped, so a consumer that has been overtaken changes nothing. The
 * inbox knows each event by its own id, so a record that is delivered again - after a restart of an
 * external cluster, or of a topic made anew - makes nothing twice. The offset moves over poison
 * records, too: they are set aside with their raw bytes, and nobody waits behind them.
 */
#include "notify.h"

#include <errno.h>

int consumer_position_body(struct store_tx *tx, struct store_job *job) {
    struct consumer_position *position = container_of(job, struct consumer_position, job);
    struct store_stmt *stmt;
    int status =
        store_prepare(tx,
                      "INSERT INTO notify_consumer (consumer_group, topic, partition_index,"
                      " topic_id, next_offset, updated_at) VALUES ('" NOTIFY_GROUP
                      "', $1, 0, $2, 0, $3) ON CONFLICT DO NOTHING",
                      &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, span_text(position->topic));
    store_bind_text(stmt, 2, span_text(position->topic_id));
    store_bind_int(stmt, 3, position->now_ms);
    status = store_run(stmt, NULL);
    if (!status) {
        /* A topic made anew begins at 0; records that retention took are skipped. */
        status = store_prepare(
            tx,
            "UPDATE notify_consumer SET next_offset = CASE WHEN topic_id <> $2 OR next_offset < $3"
            " THEN $3 ELSE next_offset END, topic_id = $2, updated_at = $4 WHERE consumer_group = "
            "'" NOTIFY_GROUP "' AND topic = $1 AND partition_index = 0 RETURNING next_offset",
            &stmt);
    }
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, span_text(position->topic));
    store_bind_text(stmt, 2, span_text(position->topic_id));
    store_bind_int(stmt, 3, position->log_start_offset);
    store_bind_int(stmt, 4, position->now_ms);
    status = store_step(stmt);
    if (status != STORE_ROW) {
        return status ? err_trace(status) : err_origin(-ESTALE);
    }
    position->next_offset = store_column_int(stmt, 0);
    return err_trace(store_run(stmt, NULL));
}

static int swap_offset(struct store_tx *tx, const struct ingest *ingest) {
    struct store_stmt *stmt;
    int64_t changes = 0;
    int status = store_prepare(tx,
                               "UPDATE notify_consumer SET next_offset = $1, updated_at = $2"
                               " WHERE consumer_group = '" NOTIFY_GROUP "' AND topic = $3"
                               " AND partition_index = 0 AND topic_id = $4 AND next_offset = $5",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, ingest->next_offset);
    store_bind_int(stmt, 2, ingest->now_ms);
    store_bind_text(stmt, 3, span_text(ingest->topic));
    store_bind_text(stmt, 4, span_text(ingest->topic_id));
    store_bind_int(stmt, 5, ingest->expected_offset);
    status = store_run(stmt, &changes);
    return status ? err_trace(status) : changes ? 0 : err_origin(-ESTALE);
}

static int set_aside(struct store_tx *tx, const struct ingest *ingest, struct event *event,
                     const char *error) {
    struct store_stmt *stmt;
    int status = store_prepare(tx,
                               "INSERT INTO notify_dead_letter (topic, topic_id, partition_index,"
                               " record_offset, record_key, headers, raw, error, created_at)"
                               " VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8)",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, span_text(ingest->topic));
    store_bind_text(stmt, 2, span_text(ingest->topic_id));
    store_bind_int(stmt, 3, event->offset);
    store_bind_blob(stmt, 4, event->key);
    store_bind_text(stmt, 5, event->headers);
    store_bind_blob(stmt, 6, event->value);
    store_bind_text(stmt, 7, span_text(error));
    store_bind_int(stmt, 8, ingest->now_ms);
    event->poisoned = true;
    return err_trace(store_run(stmt, NULL));
}

/* *ret_new is false for an event that the inbox knows, *ret_same tells whether its bytes are the
 * same. */
static int remember(struct store_tx *tx, const struct ingest *ingest, const struct event *event,
                    bool *ret_new, bool *ret_same) {
    struct store_stmt *stmt;
    int64_t changes = 0;
    int status = store_prepare(tx,
                               "INSERT INTO notify_inbox (source, event_id, topic, record_offset,"
                               " payload_sha256, weak, duplicates, seen_at)"
                               " VALUES ($1, $2, $3, $4, $5, $6, 0, $7) ON CONFLICT DO NOTHING",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, event->source);
    store_bind_text(stmt, 2, event->event_id);
    store_bind_text(stmt, 3, span_text(ingest->topic));
    store_bind_int(stmt, 4, event->offset);
    store_bind_blob(stmt, 5, span_of(event->digest, SHA256_BYTES));
    store_bind_int(stmt, 6, event->weak);
    store_bind_int(stmt, 7, ingest->now_ms);
    status = store_run(stmt, &changes);
    *ret_new = changes > 0;
    *ret_same = true;
    if (status || *ret_new) {
        return err_trace(status);
    }
    status = store_prepare(tx,
                           "UPDATE notify_inbox SET duplicates = duplicates + 1 WHERE source = $1"
                           " AND event_id = $2 AND payload_sha256 = $3",
                           &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, event->source);
    store_bind_text(stmt, 2, event->event_id);
    store_bind_blob(stmt, 3, span_of(event->digest, SHA256_BYTES));
    status = store_run(stmt, &changes);
    *ret_same = changes > 0;
    return err_trace(status);
}

static int notify_of(struct store_tx *tx, const struct ingest *ingest, struct event *event) {
    bool foreign = event->action == EVENT_FOREIGN;
    const struct notification_new notification = {
        .kind = foreign ? "foreign" : "welcome",
        .channel = CHANNEL_EMAIL,
        .source = event->source,
        .event_id = event->event_id,
        .has_user_id = event->has_user_id,
        .user_id = event->user_id,
        .address = event->address,
        .subject = event->subject,
        .message = event->message,
        .dedupe_key = event->dedupe_key,
        .trace = event->has_trace ? &event->trace : NULL,
        .provider = foreign ? &provider_mailbox : ingest->mail,
        .reason = foreign ? "written by another program: kept here and mailed to nobody" : NULL,
        .now_ms = ingest->now_ms,
    };
    return notification_insert(tx, &notification, &event->notification_id);
}

static int ingest_event(struct store_tx *tx, const struct ingest *ingest, struct event *event) {
    bool is_new, same;
    event->notification_id = 0;
    event->poisoned = false;
    if (event->action == EVENT_ADVANCE) {
        return 0;
    }
    int status = remember(tx, ingest, event, &is_new, &same);
    if (status) {
        return err_trace(status);
    }
    if (!is_new) {
        return same ? 0
                    : set_aside(tx, ingest, event, "the event's id was used with another content");
    }
    return event->action == EVENT_POISON ? set_aside(tx, ingest, event, event->error)
                                         : notify_of(tx, ingest, event);
}

int ingest_body(struct store_tx *tx, struct store_job *job) {
    struct ingest *ingest = container_of(job, struct ingest, job);
    int status = swap_offset(tx, ingest);
    for (size_t i = 0; !status && i < ingest->count; i++) {
        status = ingest_event(tx, ingest, &ingest->events[i]);
    }
    return err_trace(status);
}
