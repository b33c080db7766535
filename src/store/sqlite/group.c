/*
 * Groups. The writer runs the bodies that wait as savepoints of one transaction and commits once:
 *
 *     BEGIN IMMEDIATE
 *       SAVEPOINT body   body 1   RELEASE body
 *       SAVEPOINT body   body 2   ROLLBACK TO body, RELEASE body   <- it returned an error
 *     COMMIT                                                       <- one sync for all
 *
 * A body that fails takes back its own changes and nobody else's. What fails the whole group:
 *
 *   disk full, before or in the commit   rolled back, nothing is there: STORE_E_FULL; the store
 * goes on no memory                            rolled back: -ENOMEM; the store goes on any other
 * I/O error                  the commit may be there after a restart: STORE_E_UNKNOWN_OUTCOME;
 * nothing is written any more
 *
 * SQLITE_FULL is a definite answer: the commit frame is the last thing written, and a frame cut
 * short does not match its checksum. A sync that fails is SQLITE_IOERR_FSYNC, whatever its errno.
 *
 * Readers take their jobs first and their snapshot after, so an answer never predates a commit that
 * was acknowledged before its request.
 */
#include "sqlite.h"

#include <errno.h>

enum {
    CHECKPOINT_PAGES = 1000, /* a WAL of 4 MiB */
    RESTART_PAGES = 8000,    /* readers have kept it from starting over: wait for them */
    PAGE_BYTES = 4096,
    RESTART_WAIT_MS = 100,
};

static struct sqlite_engine *engine_of(struct store_engine *engine) {
    return container_of(engine, struct sqlite_engine, engine);
}

static struct store_job *job_of(struct list *link) {
    return container_of(link, struct store_job, work.link);
}

static void roll_back(struct sqlite_conn *conn) {
    if (!sqlite3_get_autocommit(conn->db)) {
        sqlite_conn_exec(conn, "ROLLBACK");
    }
}

/* The short statements of a group are worth caching: they run for every body. */
static int run(struct sqlite_conn *conn, const char *sql) {
    struct sqlite_stmt *stmt = NULL;
    int r = sqlite_conn_prepare(conn, sql, &stmt);
    return r == 0 ? sqlite_step((struct store_stmt *)stmt) : r;
}

/* Returns 0 when the transaction goes on, whatever became of this body. */
static int run_body(struct sqlite_tx *tx, struct store_job *job) {
    struct sqlite_conn *conn = tx->conn;
    int64_t rows_before = tx->tx.outbox_rows;
    int r = run(conn, "SAVEPOINT body");

    if (r != 0) {
        job->status = r;
        return r;
    }
    job->status = job->body(&tx->tx, job);
    sqlite_conn_reset(conn);
    if (conn->trouble != 0 || sqlite3_get_autocommit(conn->db)) {
        return job->status != 0 ? job->status : err_origin(-EIO);
    }
    if (job->status != 0) {
        r = run(conn, "ROLLBACK TO body");
        tx->tx.outbox_rows = rows_before;
    }
    job->added_outbox = tx->tx.outbox_rows > rows_before;
    return r == 0 ? run(conn, "RELEASE body") : r;
}

/* What the group's jobs get to know, and whether anything may be written after it. */
static int classify(struct sqlite_engine *self, int rc) {
    if (sqlite_conn_is_full(self->writer, rc)) {
        return STORE_E_FULL;
    }
    if ((rc & 0xff) == SQLITE_NOMEM) {
        return -ENOMEM;
    }
    if ((rc & 0xff) == SQLITE_BUSY) { /* somebody else's tool holds the file; BEGIN fails so */
        return STORE_E_BUSY;
    }
    store_fail(self->store);
    return STORE_E_UNKNOWN_OUTCOME;
}

static void fail_group(struct sqlite_engine *self, struct list *works, int status) {
    __atomic_add_fetch(&self->store->failed_groups, 1, __ATOMIC_RELAXED);
    list_for_each(link, works) {
        struct store_job *job = job_of(link);
        job->added_outbox = false;
        if (job->status <= 0) { /* a body that was taken back by itself keeps its own answer */
            job->status = status;
        }
    }
}

bool sqlite_write_group(struct store_engine *engine, struct list *works) {
    struct sqlite_engine *self = engine_of(engine);
    struct sqlite_conn *conn = self->writer;
    struct sqlite_tx tx = {
        .tx = {.ops = engine->ops,
               .store = self->store,
               .writable = true,
               .outbox_rows = __atomic_load_n(&self->store->outbox_rows, __ATOMIC_RELAXED)},
        .conn = conn,
    };
    int rc, r;

    conn->trouble = 0;
    r = run(conn, "BEGIN IMMEDIATE");
    list_for_each(link, works) {
        if (r == 0) {
            r = run_body(&tx, job_of(link));
        }
    }
    sqlite_conn_reset(conn);
    if (r == 0) {
        r = run(conn, "COMMIT");
        sqlite_conn_reset(conn);
    }
    if (r == 0) {
        __atomic_store_n(&self->store->outbox_rows, tx.tx.outbox_rows, __ATOMIC_RELAXED);
        return conn->wal_pages >= self->checkpoint_pages;
    }
    rc = conn->trouble != 0 ? conn->trouble : sqlite3_extended_errcode(conn->db);
    r = classify(self, rc);
    roll_back(conn);
    fail_group(self, works, r);
    /* A checkpoint lets the WAL start over in the space that it has: deletes may go through. */
    return r == STORE_E_FULL && conn->wal_pages > 0;
}

/*
 * Checkpoint: moves the WAL's pages into the database, after the group has been answered. When no
 * reader stands in the WAL's middle, the next commit starts it over; where readers overlap for
 * long, it grows, until one checkpoint waits for them.
 */
int sqlite_wal_pages_max(const struct store *store) {
    uint64_t pages = store->wal_bytes_max / PAGE_BYTES;
    return pages > 0 && pages < RESTART_PAGES ? (int)pages : RESTART_PAGES;
}

void sqlite_maintain(struct store_engine *engine) {
    struct sqlite_engine *self = engine_of(engine);
    struct sqlite_conn *conn = self->writer;
    int pages_max = sqlite_wal_pages_max(self->store);
    bool restart = conn->wal_pages >= pages_max;
    int log_pages = 0, moved_pages = 0, rc;

    if (restart) {
        sqlite3_busy_timeout(conn->db, RESTART_WAIT_MS);
    }
    rc = sqlite3_wal_checkpoint_v2(conn->db, NULL,
                                   restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE,
                                   &log_pages, &moved_pages);
    sqlite3_busy_timeout(conn->db, 0);
    if ((rc & 0xff) == SQLITE_IOERR && !sqlite_conn_is_full(conn, rc)) {
        sqlite_conn_error(conn, rc);
        store_fail(self->store);
        return;
    }
    bool complete = rc == SQLITE_OK && moved_pages >= log_pages;
    self->checkpoint_pages =
        MIN(CHECKPOINT_PAGES, pages_max / 4) + (complete ? 0 : conn->wal_pages);
}

static struct sqlite_conn *take_reader(struct sqlite_engine *self) {
    pthread_mutex_lock(&self->mutex);
    struct list *link = list_pop_front(&self->idle_readers);
    pthread_mutex_unlock(&self->mutex);
    return container_of(link, struct sqlite_conn, link); /* as many as there are threads */
}

static void give_reader(struct sqlite_engine *self, struct sqlite_conn *conn) {
    pthread_mutex_lock(&self->mutex);
    list_push_front(&self->idle_readers, &conn->link); /* its cache is the warmest */
    pthread_mutex_unlock(&self->mutex);
}

void sqlite_read_group(struct store_engine *engine, struct list *works) {
    struct sqlite_engine *self = engine_of(engine);
    struct sqlite_conn *conn = take_reader(self);
    struct sqlite_tx tx = {
        .tx = {.ops = engine->ops, .store = self->store},
        .conn = conn,
    };
    int r;

    conn->trouble = 0;
    r = run(conn, "BEGIN"); /* the first statement takes the snapshot */
    list_for_each(link, works) {
        struct store_job *job = job_of(link);
        if (r == 0 && sqlite3_get_autocommit(conn->db)) {
            r = run(conn, "BEGIN"); /* an error has ended the transaction */
        }
        job->status = r == 0 ? job->body(&tx.tx, job) : r;
        sqlite_conn_reset(conn);
    }
    roll_back(conn); /* nothing was written; ends the snapshot */
    give_reader(self, conn);
}
