/*
 * The relay: outbox rows become records of the topic log, in id order, each exactly once.
 *
 * A start, and a look at the log after an unknown outcome, is FINDING (the cursor), CHECKING (is
 * the database as far?), and if it is not SCANNING (ids in the log) and RAISING.
 *
 *                 cursor read         rows read           appended
 *     FINDING ──────────────► READING ─────────► APPENDING ─────────► READING ...
 *        ▲                      ▲  │ none                │ log full: the same rows again
 *        │                 wake │  ▼                     ▼
 *        │                      IDLE                  WAITING (back-off)
 *        └─────────────────────────────────────────────┘ outcome unknown: ask the log
 *
 * What makes it exactly once: the records of some rows and the cursor record that names the last of
 * these rows are one append, so the log holds both or neither. Rows are read above the cursor only.
 * Deleting rows is housekeeping: a crash before it leaves rows that nobody reads again.
 *
 * The cursor leads the outbox when the database was restored from an older copy, or when damage in
 * the first frame of its WAL made SQLite drop what it had committed. New rows must not take ids
 * that the log has seen: outbox rows would be skipped, users' ids would name two people. So the ids
 * are raised before anything is written.
 */
#include "engine.h"
#include "outbox_table.h"
#include "records.h"
#include "relay_cursor.h"
#include "relay_ids.h"

#include <errno.h>
#include <eventbox/loop/timer.h>
#include <eventbox/store/relay.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BATCH_ROWS_DEFAULT = 256,
    BATCH_BYTES = 1 << 20,
    ARENA_BYTES_MAX = 32 << 20, /* a batch: rows, decoded records, headers, copies */
    BACKOFF_FIRST_MS = 50,
    BACKOFF_LAST_MS = 5000,
    ERRORS_PER_REPORT = 12, /* one line a minute while it lasts */
    REMOVE_ROWS = 1024,     /* published rows that are deleted at once ... */
    REMOVE_AFTER_MS = 1000, /* ... or after this time */
};

static const char ORIGIN_HEADER[] = "eventbox-origin";
static const char TRACE_HEADER[] = "traceparent";

enum relay_state { FINDING, CHECKING, SCANNING, RAISING, IDLE, READING, APPENDING, WAITING };

struct relay {
    struct relay_config config;
    enum relay_state state;
    bool woken; /* rows were added while we were busy */
    bool draining, orphaned, finished;
    bool started;
    void (*on_started)(void *userdata, int status);
    void *started_userdata;
    void (*on_drained)(void *userdata);
    void *drained_userdata;

    struct loop_task task; /* begins, and ends, outside of the caller's stack */
    struct timer retry_timer, remove_timer, deadline_timer;
    int64_t backoff_ms;
    unsigned failures; /* in a row */

    char origin[UUID_TEXT_SIZE];
    struct relay_cursor cursor_reader;
    struct relay_ids id_reader;
    int64_t last_outbox_id; /* that the database ever gave out */
    int64_t cursor;         /* rows up to here are in the log */
    int64_t removed;        /* rows up to here are deleted */

    /* The batch in hand. */
    size_t rows_max;
    struct arena arena;
    struct outbox_row *rows;
    size_t row_count;
    bool more;
    size_t *first_record; /* of each row, in offsets */
    const char **first_topic;
    int64_t *offsets;
    struct topic_append append;

    struct store_job job; /* reads and raises */
    struct store_job remove_job;
    int64_t remove_through;
    bool removing;

    int64_t oldest_created_ms; /* of the rows that wait; 0: none as far as we know */
    struct relay_stats stats;
};

static void read_rows(struct relay *relay);
static void remove_rows(struct relay *relay);
static void find_cursor(struct relay *relay);

/* ---- ending ---- */

static bool is_busy(const struct relay *relay) {
    return relay->removing || relay->state <= RAISING || relay->state == READING ||
           relay->state == APPENDING;
}

static void free_relay(struct relay *relay) {
    timer_stop(&relay->retry_timer);
    timer_stop(&relay->remove_timer);
    timer_stop(&relay->deadline_timer);
    arena_deinit(&relay->arena);
    free(relay);
}

static void on_finish(struct loop_task *task) {
    struct relay *relay = container_of(task, struct relay, task);
    void (*on_drained)(void *) = relay->on_drained;
    void *userdata = relay->drained_userdata;
    if (is_busy(relay)) {
        /* The deadline has passed with something under way: whatever ends it frees the relay. */
        relay->orphaned = true;
    } else {
        free_relay(relay);
    }
    if (on_drained) {
        on_drained(userdata);
    }
}

static void finish(struct relay *relay) {
    if (!relay->finished) {
        relay->finished = true;
        store_on_outbox(relay->config.store, NULL, NULL);
        relay->task.run = on_finish;
        loop_defer(relay->config.loop, &relay->task);
    }
}

/* True when a completion has nothing left to do; the last one frees an orphan. */
static bool is_over(struct relay *relay) {
    if (relay->orphaned && !is_busy(relay)) {
        free_relay(relay);
        return true;
    }
    return relay->finished;
}

static void on_deadline(struct timer *timer) {
    finish(container_of(timer, struct relay, deadline_timer));
}

void relay_drain(struct relay *relay, int64_t deadline_ms, void (*drained)(void *userdata),
                 void *userdata) {
    if (!relay) {
        if (drained) {
            drained(userdata);
        }
        return;
    }
    if (relay->draining) {
        return;
    }
    relay->draining = true;
    relay->on_drained = drained;
    relay->drained_userdata = userdata;
    timer_start_ms(&relay->deadline_timer, deadline_ms);
    if (relay->state == IDLE) {
        read_rows(relay);
    }
}

/* ---- failures ---- */

static void on_retry(struct timer *timer) {
    read_rows(container_of(timer, struct relay, retry_timer));
}

static void on_find_again(struct timer *timer) {
    find_cursor(container_of(timer, struct relay, retry_timer));
}

static void report(struct relay *relay, int status, const char *what) {
    char text[200];
    relay->stats.errors++;
    relay->stats.failed = true;
    if (relay->failures++ % ERRORS_PER_REPORT == 0 && relay->config.on_error) {
        snprintf(text, sizeof text, "%s: %s; outbox rows above %" PRId64 " wait", what,
                 err_text(status), relay->cursor);
        relay->config.on_error(relay->config.userdata, status, text);
    }
}

static void wait_and(struct relay *relay, void (*fire)(struct timer *timer)) {
    relay->state = WAITING;
    relay->backoff_ms = relay->backoff_ms == 0
                            ? BACKOFF_FIRST_MS
                            : MIN(relay->backoff_ms * 2, (int64_t)BACKOFF_LAST_MS);
    relay->retry_timer.fire = fire;
    timer_start_ms(&relay->retry_timer, relay->backoff_ms);
}

static void recovered(struct relay *relay) {
    relay->failures = 0;
    relay->backoff_ms = 0;
    relay->stats.failed = false;
}

static void drop_batch(struct relay *relay) {
    relay->row_count = 0;
    relay->rows = NULL;
    arena_deinit(&relay->arena);
}

/* ---- appending ---- */

static size_t copies_of(const struct relay *relay, const struct topic_record *record) {
    return relay->config.copy_notifications && strcmp(record->topic, "notification") == 0 ? 2 : 1;
}

/* The record's own headers, then ours. */
static int add_headers(struct relay *relay, const struct outbox_row *row,
                       struct topic_record *record) {
    struct topic_header *headers =
        arena_alloc(&relay->arena, (record->header_count + 2) * sizeof *headers);
    size_t count = record->header_count;

    if (!headers) {
        return err_origin(-ENOMEM);
    }
    if (count > 0) {
        memcpy(headers, record->headers, count * sizeof *headers);
    }
    headers[count++] = (struct topic_header){span_text(ORIGIN_HEADER), span_text(relay->origin)};
    if (row->has_trace) {
        char text[TRACE_PARENT_SIZE];
        trace_format(&row->trace, text);
        char *copy = arena_dup(&relay->arena, text, sizeof text - 1);
        if (!copy) {
            return err_origin(-ENOMEM);
        }
        headers[count++] =
            (struct topic_header){span_text(TRACE_HEADER), span_of(copy, sizeof text - 1)};
    }
    record->headers = headers;
    record->header_count = count;
    if (record->timestamp_ms == 0) {
        record->timestamp_ms = row->created_ms;
    }
    return 0;
}

struct row_records {
    struct topic_record *records;
    size_t count;
};

/* Decodes all rows; *ret_total is what the append will hold, copies and cursor included. */
static int decode_rows(struct relay *relay, struct row_records *decoded, size_t *ret_total) {
    size_t total = 1;
    for (size_t i = 0; i < relay->row_count; i++) {
        const struct outbox_row *row = &relay->rows[i];
        int r = records_decode(row->records, &relay->arena, &decoded[i].records, &decoded[i].count);
        for (size_t n = 0; r == 0 && n < decoded[i].count; n++) {
            r = add_headers(relay, row, &decoded[i].records[n]);
            total += copies_of(relay, &decoded[i].records[n]);
        }
        if (r != 0) {
            return err_trace(r);
        }
    }
    *ret_total = total;
    return 0;
}

static int build_append(struct relay *relay) {
    size_t total = 0, at = 0;
    struct arena *arena = &relay->arena;
    struct row_records *decoded = arena_alloc(arena, relay->row_count * sizeof *decoded);
    relay->first_record = arena_alloc(arena, relay->row_count * sizeof *relay->first_record);
    relay->first_topic = arena_alloc(arena, relay->row_count * sizeof *relay->first_topic);
    char *cursor_text = arena_printf(arena, "%" PRId64, relay->rows[relay->row_count - 1].id);
    if (!decoded || !relay->first_record || !relay->first_topic || !cursor_text) {
        return err_origin(-ENOMEM);
    }
    int r = decode_rows(relay, decoded, &total);
    if (r != 0) {
        return err_trace(r);
    }
    struct topic_record *records = arena_alloc(arena, total * sizeof *records);
    relay->offsets = arena_alloc(arena, total * sizeof *relay->offsets);
    if (!records || !relay->offsets) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < relay->row_count; i++) {
        relay->first_record[i] = at;
        relay->first_topic[i] = decoded[i].count > 0 ? decoded[i].records[0].topic : NULL;
        for (size_t n = 0; n < decoded[i].count; n++) {
            const struct topic_record *record = &decoded[i].records[n];
            records[at++] = *record;
            if (copies_of(relay, record) > 1) {
                records[at] = *record;
                records[at++].topic = "notifications";
            }
        }
    }
    records[at++] = (struct topic_record){
        .topic = RELAY_CURSOR_TOPIC,
        .partition = 0,
        .key = span_text(relay->origin),
        .value = span_text(cursor_text),
    };
    relay->append.records = records;
    relay->append.record_count = at;
    relay->append.ret_offsets = relay->offsets;
    return 0;
}

static void on_published(struct relay *relay) {
    for (size_t i = 0; i < relay->row_count; i++) {
        const struct outbox_row *row = &relay->rows[i];
        if (relay->config.on_published && relay->first_topic[i]) {
            relay->config.on_published(relay->config.userdata, row->has_trace ? &row->trace : NULL,
                                       relay->first_topic[i],
                                       relay->offsets[relay->first_record[i]]);
        }
    }
    relay->cursor = relay->rows[relay->row_count - 1].id;
    relay->stats.published_rows += relay->row_count;
    relay->stats.published_records += relay->append.record_count - 1;
    relay->rows_max = relay->config.batch_rows;
    bool more = relay->more;
    drop_batch(relay);
    recovered(relay);
    if (relay->cursor - relay->removed >= REMOVE_ROWS) {
        remove_rows(relay);
    } else if (!timer_running(&relay->remove_timer)) {
        timer_start_ms(&relay->remove_timer, REMOVE_AFTER_MS);
    }
    relay->oldest_created_ms = 0;
    relay->woken |= more;
    relay->state = IDLE;
    if (relay->woken || relay->draining) {
        read_rows(relay);
    }
}

/* Nothing was appended; @status says why. */
static void on_refused(struct relay *relay, int status) {
    if (status == TOPIC_E_TOO_LARGE && relay->row_count > 1) {
        relay->rows_max = relay->row_count / 2;
        drop_batch(relay);
        read_rows(relay);
        return;
    }
    report(relay, status, "events could not be appended to the topic log");
    /* The arena holds one attempt; the rows are read anew for the next. */
    drop_batch(relay);
    wait_and(relay, on_retry);
}

static void on_appended(struct topic_append *append, int status) {
    struct relay *relay = container_of(append, struct relay, append);
    relay->state = IDLE;
    if (is_over(relay)) {
        return;
    }
    if (status == 0) {
        on_published(relay);
    } else if (status == TOPIC_E_FULL) {
        on_refused(relay, status);
    } else {
        /* It may be in the log all the same: the cursor there knows. */
        report(relay, status, "the outcome of an append is unknown");
        drop_batch(relay);
        wait_and(relay, on_find_again);
    }
}

static void append_rows(struct relay *relay) {
    relay->state = APPENDING;
    relay->append.done = on_appended;
    int r = build_append(relay);
    if (r == 0) {
        r = topic_append(relay->config.topics, &relay->append);
    }
    if (r != 0) {
        on_refused(relay, r);
    }
}

/* ---- reading and removing rows ---- */

static int read_body(struct store_tx *tx, struct store_job *job) {
    struct relay *relay = container_of(job, struct relay, job);
    arena_deinit(&relay->arena);
    relay->row_count = 0;
    return outbox_read(tx, relay->cursor, relay->rows_max, BATCH_BYTES, &relay->arena, &relay->rows,
                       &relay->row_count, &relay->more);
}

static void on_empty(struct relay *relay) {
    relay->state = IDLE;
    if (relay->woken) {
        read_rows(relay);
    } else if (relay->draining && relay->cursor > relay->removed) {
        remove_rows(relay); /* goes on in on_removed() */
    } else if (relay->draining && !relay->removing) {
        finish(relay);
    }
}

static void on_read(struct store_job *job, int status) {
    struct relay *relay = container_of(job, struct relay, job);
    relay->state = IDLE;
    if (is_over(relay)) {
        return;
    }
    if (status != 0) {
        report(relay, status, "the outbox could not be read");
        drop_batch(relay);
        wait_and(relay, on_retry);
    } else if (relay->row_count == 0) {
        drop_batch(relay);
        recovered(relay);
        relay->oldest_created_ms = 0;
        on_empty(relay);
    } else {
        relay->oldest_created_ms = relay->rows[0].created_ms;
        append_rows(relay);
    }
}

static void read_rows(struct relay *relay) {
    relay->woken = false;
    relay->state = READING;
    relay->job.body = read_body;
    relay->job.done = on_read;
    int r = store_read(relay->config.store, &relay->job);
    if (r != 0) {
        report(relay, r, "the outbox could not be read");
        wait_and(relay, on_retry);
    }
}

static void on_wake(void *userdata) {
    struct relay *relay = userdata;
    relay->woken = true;
    if (relay->state == IDLE && relay->started) {
        read_rows(relay);
    }
}

static int remove_body(struct store_tx *tx, struct store_job *job) {
    return outbox_remove(tx, container_of(job, struct relay, remove_job)->remove_through);
}

static void on_removed(struct store_job *job, int status) {
    struct relay *relay = container_of(job, struct relay, remove_job);
    relay->removing = false;
    if (is_over(relay)) {
        return;
    }
    if (status == 0) {
        relay->removed = relay->remove_through;
        if (relay->removed < relay->cursor) {
            timer_start_ms(&relay->remove_timer, REMOVE_AFTER_MS);
        }
    } else {
        timer_start_ms(&relay->remove_timer, BACKOFF_LAST_MS); /* nothing is lost by waiting */
    }
    if (relay->draining && relay->state == IDLE) {
        if (status == 0) {
            on_empty(relay);
        } else {
            finish(relay); /* the next start removes them */
        }
    }
}

static void remove_rows(struct relay *relay) {
    if (relay->removing) {
        return;
    }
    timer_stop(&relay->remove_timer);
    relay->remove_through = relay->cursor;
    relay->remove_job.body = remove_body;
    relay->remove_job.done = on_removed;
    relay->removing = true;
    int r = store_write(relay->config.store, &relay->remove_job);
    if (r != 0) {
        relay->removing = false;
        timer_start_ms(&relay->remove_timer, BACKOFF_LAST_MS);
        if (relay->draining && relay->state == IDLE) {
            finish(relay);
        }
    }
}

static void on_remove_due(struct timer *timer) {
    remove_rows(container_of(timer, struct relay, remove_timer));
}

/* ---- starting ---- */

/* All in one transaction: a crash in between must find the database still behind. */
static int raise_body(struct store_tx *tx, struct store_job *job) {
    struct relay *relay = container_of(job, struct relay, job);
    int r = store_raise_id(tx, "outbox", relay->cursor);
    for (size_t i = 0; i < relay->config.id_source_count && r == 0; i++) {
        r = store_raise_id(tx, relay->config.id_sources[i].table, relay->id_reader.largest[i]);
    }
    return r == 0 ? outbox_remove(tx, relay->cursor) : err_trace(r);
}

static int check_body(struct store_tx *tx, struct store_job *job) {
    struct relay *relay = container_of(job, struct relay, job);
    return store_last_id(tx, "outbox", &relay->last_outbox_id);
}

static void start_failed(struct relay *relay, int status) {
    void (*on_started)(void *, int) = relay->on_started;
    void (*on_drained)(void *) = relay->on_drained;
    void *userdata = relay->started_userdata, *drained_userdata = relay->drained_userdata;
    store_on_outbox(relay->config.store, NULL, NULL);
    free_relay(relay);
    on_started(userdata, status);
    if (on_drained) {
        on_drained(drained_userdata);
    }
}

/* One of the steps of a start, or of a look at the log's cursor later on, has failed. */
static void find_failed(struct relay *relay, int status, const char *what) {
    relay->state = IDLE;
    if (!relay->started) {
        start_failed(relay, status);
    } else {
        report(relay, status, what);
        wait_and(relay, on_find_again);
    }
}

static void found(struct relay *relay) {
    if (!relay->started) {
        relay->started = true;
        relay->on_started(relay->started_userdata, 0);
    }
    if (relay->cursor > relay->removed) {
        timer_start_ms(&relay->remove_timer, REMOVE_AFTER_MS); /* what a crash has left */
    }
    if (relay->state == IDLE) { /* the callback may have begun to drain */
        read_rows(relay);
    }
}

static void on_raised(struct store_job *job, int status) {
    struct relay *relay = container_of(job, struct relay, job);
    relay->state = IDLE;
    if (is_over(relay)) {
        return;
    }
    if (status != 0) {
        find_failed(relay, status, "ids of the database could not be raised");
        return;
    }
    relay->removed = relay->cursor;
    if (relay->config.on_behind) {
        relay->config.on_behind(relay->config.userdata, relay->last_outbox_id, relay->cursor);
    }
    found(relay);
}

static void on_ids(struct relay_ids *ids, int status) {
    struct relay *relay = container_of(ids, struct relay, id_reader);
    relay->state = IDLE;
    if (is_over(relay)) {
        return;
    }
    if (status == 0) {
        relay->state = RAISING;
        relay->job.body = raise_body;
        relay->job.done = on_raised;
        status = store_write(relay->config.store, &relay->job);
    }
    if (status != 0) {
        find_failed(relay, status, "the ids in the log could not be read");
    }
}

static void on_checked(struct store_job *job, int status) {
    struct relay *relay = container_of(job, struct relay, job);
    relay->state = IDLE;
    if (is_over(relay)) {
        return;
    }
    if (status != 0) {
        find_failed(relay, status, "the outbox could not be read");
    } else if (relay->last_outbox_id >= relay->cursor) {
        found(relay);
    } else {
        relay->state = SCANNING;
        relay->id_reader.done = on_ids;
        relay_ids_read(&relay->id_reader);
    }
}

static void on_cursor(struct relay_cursor *cursor, int status, int64_t id) {
    struct relay *relay = container_of(cursor, struct relay, cursor_reader);
    relay->state = IDLE;
    if (is_over(relay)) {
        return;
    }
    if (status == 0) {
        relay->cursor = id;
        relay->state = CHECKING;
        relay->job.body = check_body;
        relay->job.done = on_checked;
        status = store_read(relay->config.store, &relay->job);
    }
    if (status != 0) {
        find_failed(relay, status, "the relay's cursor could not be read");
    }
}

static void find_cursor(struct relay *relay) {
    relay->state = FINDING;
    relay->cursor_reader.done = on_cursor;
    relay_cursor_read(&relay->cursor_reader);
}

static void on_begin(struct loop_task *task) {
    find_cursor(container_of(task, struct relay, task));
}

int relay_start(const struct relay_config *config, void (*started)(void *userdata, int status),
                void *userdata, struct relay **ret_relay) {
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay) {
        return err_origin(-ENOMEM);
    }
    relay->config = *config;
    if (relay->config.batch_rows == 0) {
        relay->config.batch_rows = BATCH_ROWS_DEFAULT;
    }
    relay->rows_max = relay->config.batch_rows;
    relay->on_started = started;
    relay->started_userdata = userdata;
    arena_init(&relay->arena, ARENA_BYTES_MAX);
    timer_init(&relay->retry_timer, config->loop, on_retry);
    timer_init(&relay->remove_timer, config->loop, on_remove_due);
    timer_init(&relay->deadline_timer, config->loop, on_deadline);
    uuid_format(store_uuid(config->store), relay->origin);
    relay->cursor_reader.topics = config->topics;
    relay->cursor_reader.loop = config->loop;
    relay->id_reader.topics = config->topics;
    relay->id_reader.loop = config->loop;
    relay->id_reader.origin = relay->origin;
    relay->id_reader.sources = config->id_sources;
    relay->id_reader.source_count = MIN(config->id_source_count, (size_t)RELAY_ID_SOURCES_MAX);
    relay->config.id_source_count = relay->id_reader.source_count;
    memcpy(relay->cursor_reader.key, relay->origin, sizeof relay->origin);
    store_on_outbox(config->store, on_wake, relay);
    relay->state = FINDING;
    relay->task.run = on_begin;
    loop_defer(config->loop, &relay->task);
    *ret_relay = relay;
    return 0;
}

void relay_stats(const struct relay *relay, struct relay_stats *ret_stats) {
    *ret_stats = relay->stats;
    ret_stats->last_id = relay->cursor;
    ret_stats->oldest_ns = 0;
    if (relay->oldest_created_ms > 0) {
        ret_stats->oldest_ns =
            clock_wall_ns(relay->config.store->clock) - relay->oldest_created_ms * NS_PER_MS;
    }
}
