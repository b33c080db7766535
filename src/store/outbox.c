#include "engine.h"
#include "outbox_table.h"
#include "records.h"

#include <errno.h>

enum { ROW_BYTES_MAX = 1 << 20 };

static const struct store_migration migrations[] = {
    {1, "CREATE TABLE outbox ("
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  trace TEXT,"
        "  created INTEGER NOT NULL,"
        "  records BLOB NOT NULL)"},
    {0},
};

const struct store_migration_set *outbox_migrations(void) {
    static const struct store_migration_set set = {.module = "store", .migrations = migrations};
    return &set;
}

static int insert(struct store_tx *tx, const char *trace, int64_t created_ms, struct span records,
                  int64_t *ret_id) {
    struct store_stmt *stmt = NULL;
    int r = store_prepare(
        tx, "INSERT INTO outbox (trace, created, records) VALUES ($1, $2, $3) RETURNING id", &stmt);
    if (r != 0) {
        return err_trace(r);
    }
    store_bind_text(stmt, 1, span_text(trace));
    store_bind_int(stmt, 2, created_ms);
    store_bind_blob(stmt, 3, records);
    r = store_step(stmt);
    if (r == STORE_ROW) {
        int64_t id = store_column_int(stmt, 0);
        r = store_run(stmt, NULL);
        if (r == 0) {
            tx->outbox_rows++;
            if (ret_id) {
                *ret_id = id;
            }
        }
    }
    return r == 0 ? 0 : err_trace(r);
}

#ifdef MUTANT_OUTBOX
/*
 * The mutant: a row is not part of the change's transaction, but of another one, a moment later. It
 * works until somebody kills the process in between, which is what the crash test has to notice.
 */
#include <eventbox/loop/timer.h>
#include <stdlib.h>
#include <string.h>

enum { LATE_MS = 50 };

struct late_row {
    struct store_job job;
    struct loop_task task;
    struct timer timer;
    struct store *store;
    int64_t created_ms;
    bool has_trace;
    char trace[TRACE_PARENT_SIZE];
    struct text records;
};

static void late_free(struct late_row *row) {
    text_deinit(&row->records);
    free(row);
}

static int late_body(struct store_tx *tx, struct store_job *job) {
    struct late_row *row = container_of(job, struct late_row, job);
    return insert(tx, row->has_trace ? row->trace : NULL, row->created_ms, text_span(&row->records),
                  NULL);
}

static void late_done(struct store_job *job, int status) {
    late_free(container_of(job, struct late_row, job));
}

static void late_fire(struct timer *timer) {
    struct late_row *row = container_of(timer, struct late_row, timer);
    row->job.body = late_body;
    row->job.done = late_done;
    if (store_write(row->store, &row->job) != 0) {
        late_free(row);
    }
}

static void late_post(struct loop_task *task) {
    struct late_row *row = container_of(task, struct late_row, task);
    timer_init(&row->timer, row->store->loop, late_fire);
    timer_start_ms(&row->timer, LATE_MS);
}

static int add_row(struct store_tx *tx, const char *trace, int64_t created_ms, struct text *records,
                   int64_t *ret_id) {
    struct late_row *row = calloc(1, sizeof *row);
    if (!row) {
        return err_origin(-ENOMEM);
    }
    row->task.run = late_post;
    row->store = tx->store;
    row->created_ms = created_ms;
    row->has_trace = trace != NULL;
    if (trace) {
        memcpy(row->trace, trace, sizeof row->trace);
    }
    row->records = *records;
    text_init(records);
    if (ret_id) {
        *ret_id = 0;
    }
    loop_post(row->store->loop, &row->task);
    return 0;
}
#else
static int add_row(struct store_tx *tx, const char *trace, int64_t created_ms, struct text *records,
                   int64_t *ret_id) {
    return insert(tx, trace, created_ms, text_span(records), ret_id);
}
#endif

int outbox_add(struct store_tx *tx, const struct trace *trace, const struct topic_record *records,
               size_t count, int64_t *ret_id) {
    char trace_text[TRACE_PARENT_SIZE];
    _cleanup_(text_deinit) struct text encoded = {0};

    if (tx->outbox_rows >= tx->store->outbox_max) {
        return err_origin(STORE_E_OUTBOX_FULL);
    }
    records_encode(records, count, &encoded);
    if (text_failed(&encoded)) {
        return err_origin(-ENOMEM);
    }
    if (encoded.size > ROW_BYTES_MAX) {
        return err_origin(TOPIC_E_TOO_LARGE);
    }
    if (trace && trace_is_zero(trace)) {
        trace = NULL;
    }
    if (trace) {
        trace_format(trace, trace_text);
    }
    return add_row(tx, trace ? trace_text : NULL, clock_wall_ms(tx->store->clock), &encoded,
                   ret_id);
}

/* ---- the relay's side ---- */

static int copy_row(struct store_stmt *stmt, struct arena *arena, struct outbox_row *row) {
    struct span trace = store_column_text(stmt, 1);
    struct span records = store_column_blob(stmt, 3);
    void *copy = arena_dup(arena, records.data, records.size);
    if (!copy) {
        return err_origin(-ENOMEM);
    }
    row->id = store_column_int(stmt, 0);
    row->has_trace = trace.data && trace_parse(trace, &row->trace);
    row->created_ms = store_column_int(stmt, 2);
    row->records = span_of(copy, records.size);
    return 0;
}

int outbox_read(struct store_tx *tx, int64_t after, size_t max, size_t bytes_max,
                struct arena *arena, struct outbox_row **ret_rows, size_t *ret_count,
                bool *ret_more) {
    struct outbox_row *rows = arena_alloc(arena, max * sizeof *rows);
    struct store_stmt *stmt = NULL;
    size_t count = 0, bytes = 0;
    int r;

    if (!rows) {
        return err_origin(-ENOMEM);
    }
    r = store_prepare(
        tx, "SELECT id, trace, created, records FROM outbox WHERE id > $1 ORDER BY id LIMIT $2",
        &stmt);
    if (r != 0) {
        return err_trace(r);
    }
    store_bind_int(stmt, 1, after);
    store_bind_int(stmt, 2, (int64_t)max);
    while (count < max && (count == 0 || bytes < bytes_max)) {
        r = store_step(stmt);
        if (r != STORE_ROW) {
            break;
        }
        r = copy_row(stmt, arena, &rows[count]);
        if (r != 0) {
            return err_trace(r);
        }
        bytes += rows[count++].records.size;
        r = STORE_ROW;
    }
    if (r != 0 && r != STORE_ROW) {
        return err_trace(r);
    }
    *ret_rows = rows;
    *ret_count = count;
    *ret_more = r == STORE_ROW;
    return 0;
}

int outbox_remove(struct store_tx *tx, int64_t through) {
    struct store_stmt *stmt = NULL;
    int64_t removed = 0;
    int r = store_prepare(tx, "DELETE FROM outbox WHERE id <= $1", &stmt);
    if (r == 0) {
        store_bind_int(stmt, 1, through);
        r = store_run(stmt, &removed);
    }
    if (r == 0) {
        tx->outbox_rows = MAX(tx->outbox_rows - removed, INT64_C(0));
        r = store_prepare(tx, "SELECT 1 FROM outbox LIMIT 1", &stmt);
    }
    if (r == 0) {
        r = store_step(stmt);
        if (r == 0) {
            tx->outbox_rows = 0; /* whatever the estimate at the start was */
        }
    }
    return r == 0 || r == STORE_ROW ? 0 : err_trace(r);
}
