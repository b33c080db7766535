/*
 * What an engine of the store implements, and what it may use of the port in store.c.
 *
 * The port owns the threads, the queues and their bounds; an engine owns connections and
 * transactions. Everything here but open() runs on the store's threads, never on the loop.
 */
#pragma once

#include <eventbox/store/store.h>
#include <pthread.h>

enum store_type { STORE_NULL, STORE_INT, STORE_TEXT, STORE_BLOB };

struct store_value {
    enum store_type type;
    int64_t integer;
    struct span bytes;
};

struct store_engine {
    const struct store_engine_ops *ops;
};

struct store_tx {
    const struct store_engine_ops *ops;
    struct store *store;
    bool writable;
    int64_t
        outbox_rows; /* as they will be if this transaction commits; put back when a body fails */
};

struct store_stmt {
    const struct store_engine_ops *ops;
};

struct store_engine_ops {
    const char *name;
    /* Opens and migrates the database at @location; sets store->uuid and store->outbox_rows.
     * Explains a failure with store_say(). */
    int (*open)(struct store *store, const struct store_config *config, const char *location,
                struct store_engine **ret_engine);
    /* Writer thread, when no other job runs any more. After a failure nothing is written. */
    void (*close)(struct store_engine *engine, bool failed);

    /* Runs @works (store_job.work.link) as one transaction, sets each job's status and
     * added_outbox. Returns true when maintain() is due, before which the jobs are completed. */
    bool (*write_group)(struct store_engine *engine, struct list *works);
    void (*maintain)(struct store_engine *engine);
    /* Any of the reader threads, several at once: one snapshot, taken now, for all of @works. */
    void (*read_group)(struct store_engine *engine, struct list *works);

    /* Statements: as in store.h. */
    int (*prepare)(struct store_tx *tx, const char *sql, struct store_stmt **ret_stmt);
    void (*bind)(struct store_stmt *stmt, int parameter, const struct store_value *value);
    int (*step)(struct store_stmt *stmt);
    int64_t (*column_int)(struct store_stmt *stmt, int column);
    bool (*column_is_null)(struct store_stmt *stmt, int column);
    struct span (*column_bytes)(struct store_stmt *stmt, int column, bool text);
    int64_t (*changes)(struct store_stmt *stmt);
    /* The largest id that @table ever gave out; 0: none. */
    int (*last_id)(struct store_tx *tx, const char *table, int64_t *ret_id);
    /* Ids of @table given out from now on are above @id. */
    int (*raise_id)(struct store_tx *tx, const char *table, int64_t id);
};

struct store {
    struct loop *loop;
    struct clock *clock;
    struct random *random;
    struct uuid uuid;
    struct store_engine *engine;
    struct worker *writer, *readers;
    unsigned write_max, read_max;
    int64_t outbox_max;

    /* Loop only. */
    unsigned write_pending, read_pending;
    uint64_t write_jobs, read_jobs, refused_jobs;
    bool closing, full;
    void (*on_full)(void *userdata);
    void *on_full_userdata;
    uint64_t wal_bytes_max;
    void (*on_closed)(void *userdata);
    void *closed_userdata;
    void (*on_outbox)(void *userdata); /* the relay's: rows were added and are durable */
    void *outbox_userdata;
    struct work closing_work; /* the writer's last job */

    /* Written by the writer, read by the loop: atomic. */
    int64_t outbox_rows;
    uint64_t write_groups, failed_groups;
    bool failed;

    pthread_mutex_t error_mutex;
    char last_error[160];
};

/** store_say() - the operator's line of a failed store_open(): static, before the loop runs */
void store_say(const char *format, ...) _printf_(1, 2);
/** store_note_error() - keep the engine's words for store_stats(). Thread: any */
void store_note_error(struct store *store, const char *text);
/** store_fail() - nothing is written until a restart. Thread: writer */
void store_fail(struct store *store);
/** store_on_outbox() - @on_outbox on the loop after each commit that added rows; NULL removes it */
void store_on_outbox(struct store *store, void (*on_outbox)(void *userdata), void *userdata);
/** store_last_id() - see store_engine_ops.last_id */
int store_last_id(struct store_tx *tx, const char *table, int64_t *ret_id);
/** store_raise_id() - see store_engine_ops.raise_id */
int store_raise_id(struct store_tx *tx, const char *table, int64_t id);

/** sqlite_ops() - the engine in sqlite/ */
const struct store_engine_ops *sqlite_ops(void);
