/*
 * Port: the database. SQLite now, PostgreSQL later. One database holds the tables of all modules,
 * prefixed by the module's name.
 *
 * A transaction's body is a C function that runs off the loop on the synchronous statement
 * interface below. It may run twice (a serialization failure, a retry inside a group), so it
 * touches nothing but the transaction and its own job: reset outputs at its beginning.
 *
 * Writes: one writer takes what is queued as one group, runs each body as a SAVEPOINT and commits
 * once with synchronous=FULL; done(0) means durable. Reads: reader threads begin a read transaction
 * after taking the job, so an answer never predates a commit acknowledged before the request.
 */
#pragma once

#include <eventbox/base/error.h>
#include <eventbox/base/list.h>
#include <eventbox/base/span.h>
#include <eventbox/base/uuid.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/op.h>
#include <eventbox/loop/work.h>

struct store;
struct store_tx;
struct store_stmt;

/* ---- opening ---- */

/* Numbered, forward only, run once, recorded with a checksum. A change of a released one is
 * refused. */
struct store_migration {
    int number;      /* 1, 2, ... within the module; 0 ends a table */
    const char *sql; /* one or more statements in the common subset of SQLite and PostgreSQL, and
                        INTEGER PRIMARY KEY AUTOINCREMENT for ids that are never given out twice */
};
struct store_migration_set {
    const char *module;
    const struct store_migration *migrations;
};

struct store_config {
    struct loop *loop;
    struct work_port *work;
    struct random *random;
    struct clock *clock;
    const char *url; /* "sqlite:///./x.db", "sqlite:////abs/x.db" or a plain path; relative to the
                        working directory */
    const struct store_migration_set *migrations;
    size_t migration_count;
    unsigned write_queue_max, read_queue_max; /* jobs not yet done; 0: 4,096 */
    unsigned reader_threads;                  /* 0: 2 */
    int64_t outbox_rows_max;                  /* outbox_add() refuses beyond; 0: 1,000,000 */
    uint64_t wal_bytes_max; /* beyond it readers are waited for; 0: 32 MiB, and never more */
    void (*on_full)(void *userdata); /* a job met a full disk; on the loop; optional */
    void *on_full_userdata;
};

/**
 * store_open() - open or make the database, check that it is ours, migrate. Before the loop runs.
 * @ret_message: one line for the operator on failure, naming file and remedy; static
 * Return: 0; STORE_E_FOREIGN (left untouched), STORE_E_NEWER; CONF_E_VALUE for a URL it cannot
 * serve; negative.
 */
int store_open(const struct store_config *config, struct store **ret_store,
               const char **ret_message);
/** store_close() - finish queued jobs, checkpoint the WAL, close; then @on_closed on the loop;
 * frees */
void store_close(struct store *store, void (*on_closed)(void *userdata), void *userdata);
/** store_set_full() - whether jobs that add are refused from now on */
void store_set_full(struct store *store, bool full);
/** store_uuid() - made with the database; tells a restored or foreign one from ours */
const struct uuid *store_uuid(const struct store *store);

/* ---- jobs ---- */

struct store_job {
    struct work work;
    int (*body)(struct store_tx *tx, struct store_job *job);
    void (*done)(struct store_job *job, int status); /* on the loop, exactly once */
    int status;
    bool grows;               /* in: it adds; refused with STORE_E_FULL while the disk is full */
    struct store *store;      /* private */
    bool write, added_outbox; /* private */
};

/**
 * store_write() - queue a write transaction
 * Return: 0, done() follows: 0 durable; what the body returned (rolled back);
 * STORE_E_UNKNOWN_OUTCOME (commit failed; the store has failed until a restart); STORE_E_FULL
 * (rolled back); STORE_E_FAILED. Nothing was queued: STORE_E_BUSY, STORE_E_FAILED, WORK_E_STOPPED
 * after store_close().
 */
int store_write(struct store *store, struct store_job *job);
/** store_read() - as above, on a snapshot taken after this call; writing fails. Goes on in a failed
 * store */
int store_read(struct store *store, struct store_job *job);

/* The same inside an operation: @body gets the op; its result resumes the op (positive codes fail
 * it). */
struct store_op_job {
    struct store_job job;
    struct op *op;
    int (*body)(struct store_tx *tx, struct op *op);
    bool
        keep_status; /* resume with 0 and leave a positive result in job.status for the next step */
};
int op_wait_store_write(struct op *op, struct store *store, struct store_op_job *job,
                        int (*body)(struct store_tx *tx, struct op *op));
int op_wait_store_read(struct op *op, struct store *store, struct store_op_job *job,
                       int (*body)(struct store_tx *tx, struct op *op));

/* ---- statements, inside a body only ---- */

/*
 * store_prepare() - the statement for @sql ("$1" parameters), cached per connection; reset and
 * unbound. @sql is a string literal: its address is the key. Constraint failures surface in
 * store_step() as STORE_E_UNIQUE.
 */
int store_prepare(struct store_tx *tx, const char *sql, struct store_stmt **ret_stmt);
void store_bind_int(struct store_stmt *stmt, int parameter, int64_t value); /* 1-based */
/* data NULL: NULL; borrowed until the statement is at its end, prepared again, or the body returns
 */
void store_bind_text(struct store_stmt *stmt, int parameter, struct span value);
void store_bind_blob(struct store_stmt *stmt, int parameter, struct span value);
void store_bind_null(struct store_stmt *stmt, int parameter);

enum { STORE_ROW = 1 };
/** store_step() - STORE_ROW, 0 at the end (bind and step again), STORE_E_UNIQUE, STORE_E_FULL,
 * negative */
int store_step(struct store_stmt *stmt);
int64_t store_column_int(struct store_stmt *stmt, int column); /* 0-based */
bool store_column_is_null(struct store_stmt *stmt, int column);
/** store_column_text(), store_column_blob() - borrowed until the next step; data NULL for NULL */
struct span store_column_text(struct store_stmt *stmt, int column);
struct span store_column_blob(struct store_stmt *stmt, int column);
/** store_run() - step to the end, no rows wanted; *ret_changes (may be NULL) rows changed */
int store_run(struct store_stmt *stmt, int64_t *ret_changes);

/* ---- figures ---- */

struct store_stats {
    uint64_t write_jobs, write_groups, read_jobs, refused_jobs, failed_groups;
    unsigned write_queued, read_queued;
    int64_t outbox_rows;  /* waiting for the relay */
    bool failed;          /* the database cannot be written until a restart */
    char last_error[160]; /* the engine's words for the last unexpected failure */
};
void store_stats(const struct store *store, struct store_stats *ret_stats);
