/*
 * The SQLite engine's own pieces. One connection writes and checkpoints, used by the writer thread
 * alone: two connections that write or checkpoint at once can corrupt a WAL before SQLite 3.51.3.
 * Readers have a connection each, opened read-only.
 */
#pragma once

#include "engine.h"

#include <limits.h>
#include <sqlite3.h>

/* ---- file.c: whose file is it, and is it free ---- */

enum {
    SQLITE_FILE_APPLICATION_ID = 0x65766278, /* "evbx" */
    SQLITE_FILE_FORMAT = 1,                  /* PRAGMA user_version */
};

struct sqlite_file {
    char path[PATH_MAX]; /* absolute, links resolved */
    int lock_fd;         /* holds flock(2) on the file until the engine is closed; -1: none yet */
    bool absent;         /* nothing there, or an empty file: to be made */
};

/** sqlite_file_find() - look at @location without changing anything, then lock what is ours */
int sqlite_file_find(const char *location, struct sqlite_file *ret_file);
/** sqlite_file_make() - build the database beside its place, sync it and put it there, whole */
int sqlite_file_make(struct sqlite_file *file, struct store *store,
                     const struct store_config *config);
void sqlite_file_release(struct sqlite_file *file);

/* ---- conn.c: a connection and its statements ---- */

enum { SQLITE_CONN_STATEMENTS = 512 };

struct sqlite_stmt;

struct sqlite_conn {
    sqlite3 *db;
    struct store *store;
    struct sqlite_stmt *statements[SQLITE_CONN_STATEMENTS]; /* open addressing by address */
    unsigned statement_count;
    struct list active; /* prepared in the running body */
    int trouble;        /* FULL, IOERR or NOMEM that a statement of this transaction met */
    int wal_pages;      /* after the last commit */
    struct list link;   /* of idle readers */
};

enum sqlite_conn_role { SQLITE_CONN_BUILDER, SQLITE_CONN_WRITER, SQLITE_CONN_READER };

int sqlite_conn_open(struct store *store, const char *path, enum sqlite_conn_role role,
                     struct sqlite_conn **ret_conn);
void sqlite_conn_close(struct sqlite_conn *conn); /* accepts NULL */
/** sqlite_conn_exec() - fixed SQL of ours; the extended result code */
int sqlite_conn_exec(struct sqlite_conn *conn, const char *sql);
int sqlite_conn_prepare(struct sqlite_conn *conn, const char *sql, struct sqlite_stmt **ret_stmt);
/** sqlite_conn_reset() - end of a body: no statement keeps a snapshot or a borrowed pointer */
void sqlite_conn_reset(struct sqlite_conn *conn);
/** sqlite_conn_is_full() - @rc says that the disk, or the quota, is full */
bool sqlite_conn_is_full(struct sqlite_conn *conn, int rc);
/** sqlite_conn_error() - @rc as a code of ours; notes the unexpected ones */
int sqlite_conn_error(struct sqlite_conn *conn, int rc);

/* The statement half of store_engine_ops. A sqlite_tx is a store_tx of this engine. */
struct sqlite_tx {
    struct store_tx tx;
    struct sqlite_conn *conn;
};
int sqlite_prepare(struct store_tx *tx, const char *sql, struct store_stmt **ret_stmt);
void sqlite_bind(struct store_stmt *stmt, int parameter, const struct store_value *value);
int sqlite_step(struct store_stmt *stmt);
int64_t sqlite_column_int(struct store_stmt *stmt, int column);
bool sqlite_column_is_null(struct store_stmt *stmt, int column);
struct span sqlite_column_bytes(struct store_stmt *stmt, int column, bool text);
int64_t sqlite_changes(struct store_stmt *stmt);

/* ---- migrate.c ---- */

/** sqlite_migrate_new() - everything, in the transaction that the caller has begun */
int sqlite_migrate_new(struct sqlite_conn *conn, const struct store_config *config,
                       const char *path);
/** sqlite_migrate() - what is missing, each in its own transaction */
int sqlite_migrate(struct sqlite_conn *conn, const struct store_config *config, const char *path);

/* ---- engine.c, group.c ---- */

struct sqlite_engine {
    struct store_engine engine;
    struct store *store;
    struct sqlite_file file;
    struct sqlite_conn *writer;
    pthread_mutex_t mutex; /* guards idle_readers */
    struct list idle_readers;
    int checkpoint_pages; /* the next checkpoint is due at this size of the WAL */
};

bool sqlite_write_group(struct store_engine *engine, struct list *works);
void sqlite_read_group(struct store_engine *engine, struct list *works);
void sqlite_maintain(struct store_engine *engine);
/** sqlite_wal_pages_max() - beyond it a checkpoint waits for readers, so that the WAL starts over
 */
int sqlite_wal_pages_max(const struct store *store);
