/*
 * The store port: queues and threads in front of an engine.
 *
 * One writer thread takes all write jobs that wait as one group. Reader threads share one queue; a
 * thread takes several read jobs at once. Bounds count jobs from store_write() to done(), so a
 * caller sees the bound before memory grows, whatever the worker behind it has already taken.
 *
 * Closing goes in one order: readers stop, then the writer gets a last job, which closes the
 * engine on its thread, then it stops and the store is freed on the loop.
 */
#include "engine.h"
#include "url.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    QUEUE_MAX_DEFAULT = 4096,
    READERS_DEFAULT = 2,
    WRITE_BATCH = 256,
    READ_BATCH = 64,
    OUTBOX_MAX_DEFAULT = 1000000,
};

static char say_text[768];

void store_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(say_text, sizeof say_text, format, args);
    va_end(args);
}

void store_note_error(struct store *store, const char *text) {
    pthread_mutex_lock(&store->error_mutex);
    snprintf(store->last_error, sizeof store->last_error, "%s", text);
    pthread_mutex_unlock(&store->error_mutex);
}

void store_fail(struct store *store) {
    __atomic_store_n(&store->failed, true, __ATOMIC_RELEASE);
}

static bool has_failed(const struct store *store) {
    return __atomic_load_n(&store->failed, __ATOMIC_ACQUIRE);
}

/* ---- threads ---- */

static struct store_job *job_of(struct list *link) {
    return container_of(link, struct store_job, work.link);
}

static void fail_all(struct list *works, int status) {
    list_for_each(link, works) {
        job_of(link)->status = status;
    }
}

static void complete_all(struct worker *worker, struct list *works) {
    struct list *link;
    while ((link = list_pop_front(works))) {
        worker_complete(worker, &job_of(link)->work);
    }
}

static void run_writes(void *userdata, struct list *works) {
    struct store *store = userdata;
    bool closing = false;
    list_for_each_safe(link, works) {
        if (link == &store->closing_work.link) {
            list_remove(link);
            closing = true;
        }
    }
    if (has_failed(store)) {
        fail_all(works, STORE_E_FAILED);
    } else if (!list_empty(works)) {
        __atomic_add_fetch(&store->write_groups, 1, __ATOMIC_RELAXED);
        if (store->engine->ops->write_group(store->engine, works) && !closing) {
            /* Nobody who waits for an answer waits for housekeeping too. */
            complete_all(store->writer, works);
            store->engine->ops->maintain(store->engine);
        }
    }
    if (closing) {
        store->engine->ops->close(store->engine, has_failed(store));
        store->engine = NULL;
        worker_complete(store->writer, &store->closing_work);
    }
}

static void run_reads(void *userdata, struct list *works) {
    struct store *store = userdata;
    store->engine->ops->read_group(store->engine, works);
}

/* ---- opening and closing ---- */

static int start_threads(struct store *store, const struct store_config *config) {
    struct worker_config writer = {
        .name = "store-writer",
        .threads = 1,
        .queue_max = store->write_max + 1, /* the closing job always fits */
        .batch_max = WRITE_BATCH,
        .run_batch = run_writes,
        .userdata = store,
    };
    struct worker_config readers = {
        .name = "store-reader",
        .threads = config->reader_threads ? config->reader_threads : READERS_DEFAULT,
        .queue_max = store->read_max,
        .batch_max = READ_BATCH,
        .run_batch = run_reads,
        .userdata = store,
    };
    int r = worker_new(config->work, config->loop, &writer, &store->writer);
    if (r == 0) {
        r = worker_new(config->work, config->loop, &readers, &store->readers);
    }
    return r == 0 ? 0 : err_trace(r);
}

static void free_store(struct store *store) {
    pthread_mutex_destroy(&store->error_mutex);
    free(store);
}

int store_open(const struct store_config *config, struct store **ret_store,
               const char **ret_message) {
    const struct store_engine_ops *ops = NULL;
    const char *location = NULL;
    struct store *store;
    int r;

    *ret_message = say_text;
    store_say("DATABASE_URL=%s: the database could not be opened", config->url);
    r = store_url_parse(config->url, &ops, &location);
    if (r != 0) {
        return err_trace(r);
    }
    store = calloc(1, sizeof *store);
    if (!store) {
        return err_origin(-ENOMEM);
    }
    store->loop = config->loop;
    store->clock = config->clock;
    store->random = config->random;
    store->write_max = config->write_queue_max ? config->write_queue_max : QUEUE_MAX_DEFAULT;
    store->read_max = config->read_queue_max ? config->read_queue_max : QUEUE_MAX_DEFAULT;
    store->on_full = config->on_full;
    store->on_full_userdata = config->on_full_userdata;
    store->wal_bytes_max = config->wal_bytes_max;
    store->outbox_max = config->outbox_rows_max ? config->outbox_rows_max : OUTBOX_MAX_DEFAULT;
    pthread_mutex_init(&store->error_mutex, NULL);
    r = ops->open(store, config, location, &store->engine);
    if (r != 0) {
        free_store(store);
        return err_trace(r);
    }
    r = start_threads(store, config);
    if (r != 0) {
        store_say("the threads of the database could not be started: %s", err_text(r));
        ops->close(store->engine, false);
        /* A worker that did start ends by itself; it has no job and never touches the store. */
        if (store->writer) {
            worker_stop(store->writer, NULL, NULL);
        }
        free_store(store);
        return err_trace(r);
    }
    *ret_store = store;
    *ret_message = NULL;
    return 0;
}

static void on_writer_stopped(void *userdata) {
    struct store *store = userdata;
    void (*on_closed)(void *) = store->on_closed;
    void *closed_userdata = store->closed_userdata;
    free_store(store);
    if (on_closed) {
        on_closed(closed_userdata);
    }
}

static void on_readers_stopped(void *userdata) {
    struct store *store = userdata;
    worker_submit(store->writer, &store->closing_work);
    worker_stop(store->writer, on_writer_stopped, store);
}

void store_close(struct store *store, void (*on_closed)(void *userdata), void *userdata) {
    if (!store) {
        if (on_closed) {
            on_closed(userdata);
        }
        return;
    }
    if (store->closing) {
        return;
    }
    store->closing = true;
    store->on_closed = on_closed;
    store->closed_userdata = userdata;
    worker_stop(store->readers, on_readers_stopped, store);
}

void store_set_full(struct store *store, bool full) {
    store->full = full;
}

const struct uuid *store_uuid(const struct store *store) {
    return &store->uuid;
}

/* ---- jobs ---- */

static void on_job_done(struct work *work) {
    struct store_job *job = container_of(work, struct store_job, work);
    struct store *store = job->store;
    bool added = job->added_outbox && job->status == 0;
    bool full = job->status == STORE_E_FULL;

    if (job->write) {
        store->write_pending--;
    } else {
        store->read_pending--;
    }
    job->done(job, job->status); /* may free the job */
    if (full && store->on_full) {
        store->on_full(store->on_full_userdata);
    }
    if (added && store->on_outbox) {
        store->on_outbox(store->outbox_userdata);
    }
}

static int submit(struct store *store, struct store_job *job, bool write) {
    struct worker *worker = write ? store->writer : store->readers;
    unsigned *pending = write ? &store->write_pending : &store->read_pending;
    int r;

    if (store->closing) {
        return err_origin(WORK_E_STOPPED);
    }
    if (write && has_failed(store)) {
        return err_origin(STORE_E_FAILED);
    }
    if (write && job->grows && store->full) {
        store->refused_jobs++;
        return err_origin(STORE_E_FULL);
    }
    if (*pending >= (write ? store->write_max : store->read_max)) {
        store->refused_jobs++;
        return err_origin(STORE_E_BUSY);
    }
    job->work.run = NULL;
    job->work.done = on_job_done;
    job->store = store;
    job->status = 0;
    job->write = write;
    job->added_outbox = false;
    r = worker_submit(worker, &job->work);
    if (r != 0) {
        store->refused_jobs++;
        return err_trace(r == WORK_E_FULL ? STORE_E_BUSY : r);
    }
    (*pending)++;
    if (write) {
        store->write_jobs++;
    } else {
        store->read_jobs++;
    }
    return 0;
}

int store_write(struct store *store, struct store_job *job) {
    return submit(store, job, true);
}

int store_read(struct store *store, struct store_job *job) {
    return submit(store, job, false);
}

static int run_op_body(struct store_tx *tx, struct store_job *job) {
    struct store_op_job *op_job = container_of(job, struct store_op_job, job);
    return op_job->body(tx, op_job->op);
}

static void on_op_done(struct store_job *job, int status) {
    struct store_op_job *op_job = container_of(job, struct store_op_job, job);
    op_resume(op_job->op, op_job->keep_status && status > 0 ? 0 : status);
}

static int op_wait_store(struct op *op, struct store *store, struct store_op_job *job,
                         int (*body)(struct store_tx *tx, struct op *op), bool write) {
    int r;
    job->op = op;
    job->body = body;
    job->job.body = run_op_body;
    job->job.done = on_op_done;
    r = submit(store, &job->job, write);
    /* No cancel hook: a transaction that has begun ends, and the operation with it. */
    return r == 0 ? op_wait(op, NULL) : err_trace(r);
}

int op_wait_store_write(struct op *op, struct store *store, struct store_op_job *job,
                        int (*body)(struct store_tx *tx, struct op *op)) {
    return op_wait_store(op, store, job, body, true);
}

int op_wait_store_read(struct op *op, struct store *store, struct store_op_job *job,
                       int (*body)(struct store_tx *tx, struct op *op)) {
    return op_wait_store(op, store, job, body, false);
}

void store_on_outbox(struct store *store, void (*on_outbox)(void *userdata), void *userdata) {
    store->on_outbox = on_outbox;
    store->outbox_userdata = userdata;
}

void store_stats(const struct store *store, struct store_stats *ret_stats) {
    struct store *self = (struct store *)(uintptr_t)store;
    *ret_stats = (struct store_stats){
        .write_jobs = store->write_jobs,
        .write_groups = __atomic_load_n(&store->write_groups, __ATOMIC_RELAXED),
        .read_jobs = store->read_jobs,
        .refused_jobs = store->refused_jobs,
        .failed_groups = __atomic_load_n(&store->failed_groups, __ATOMIC_RELAXED),
        .write_queued = store->write_pending,
        .read_queued = store->read_pending,
        .outbox_rows = __atomic_load_n(&store->outbox_rows, __ATOMIC_RELAXED),
        .failed = has_failed(store),
    };
    pthread_mutex_lock(&self->error_mutex);
    snprintf(ret_stats->last_error, sizeof ret_stats->last_error, "%s", store->last_error);
    pthread_mutex_unlock(&self->error_mutex);
}

/* ---- statements ---- */

int store_prepare(struct store_tx *tx, const char *sql, struct store_stmt **ret_stmt) {
    return tx->ops->prepare(tx, sql, ret_stmt);
}

void store_bind_int(struct store_stmt *stmt, int parameter, int64_t value) {
    stmt->ops->bind(stmt, parameter, &(struct store_value){.type = STORE_INT, .integer = value});
}

static void bind_bytes(struct store_stmt *stmt, int parameter, enum store_type type,
                       struct span bytes) {
    struct store_value value = {.type = bytes.data ? type : STORE_NULL, .bytes = bytes};
    stmt->ops->bind(stmt, parameter, &value);
}

void store_bind_text(struct store_stmt *stmt, int parameter, struct span value) {
    bind_bytes(stmt, parameter, STORE_TEXT, value);
}

void store_bind_blob(struct store_stmt *stmt, int parameter, struct span value) {
    bind_bytes(stmt, parameter, STORE_BLOB, value);
}

void store_bind_null(struct store_stmt *stmt, int parameter) {
    bind_bytes(stmt, parameter, STORE_NULL, SPAN_NULL);
}

int store_step(struct store_stmt *stmt) {
    return stmt->ops->step(stmt);
}

int64_t store_column_int(struct store_stmt *stmt, int column) {
    return stmt->ops->column_int(stmt, column);
}

bool store_column_is_null(struct store_stmt *stmt, int column) {
    return stmt->ops->column_is_null(stmt, column);
}

struct span store_column_text(struct store_stmt *stmt, int column) {
    return stmt->ops->column_bytes(stmt, column, true);
}

struct span store_column_blob(struct store_stmt *stmt, int column) {
    return stmt->ops->column_bytes(stmt, column, false);
}

int store_run(struct store_stmt *stmt, int64_t *ret_changes) {
    int r;
    do {
        r = stmt->ops->step(stmt);
    } while (r == STORE_ROW);
    if (r == 0 && ret_changes) {
        *ret_changes = stmt->ops->changes(stmt);
    }
    return r;
}

int store_last_id(struct store_tx *tx, const char *table, int64_t *ret_id) {
    return tx->ops->last_id(tx, table, ret_id);
}

int store_raise_id(struct store_tx *tx, const char *table, int64_t id) {
    return tx->ops->raise_id(tx, table, id);
}
