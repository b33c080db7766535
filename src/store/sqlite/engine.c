#include "sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct sqlite_engine *engine_of(struct store_engine *engine) {
    return container_of(engine, struct sqlite_engine, engine);
}

static void close_all(struct sqlite_engine *self) {
    struct list *link;
    while ((link = list_pop_front(&self->idle_readers))) {
        sqlite_conn_close(container_of(link, struct sqlite_conn, link));
    }
    /* The last one to close moves the WAL into the database and removes it. */
    sqlite_conn_close(self->writer);
    sqlite_file_release(&self->file);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

static void engine_close(struct store_engine *engine, bool failed) {
    struct sqlite_engine *self = engine_of(engine);
    if (failed) {
        /* What the disk refused once stays as it is for the next start to look at. */
        sqlite3_db_config(self->writer->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    close_all(self);
}

/* One value of one row; 0 and *ret_found false when there is none. */
static int query(struct sqlite_conn *conn, const char *sql, struct store_stmt **ret_stmt,
                 bool *ret_found) {
    struct sqlite_stmt *stmt = NULL;
    int r = sqlite_conn_prepare(conn, sql, &stmt);
    if (r != 0) {
        return err_trace(r);
    }
    r = sqlite_step((struct store_stmt *)stmt);
    if (r != 0 && r != STORE_ROW) {
        return err_trace(r);
    }
    *ret_found = r == STORE_ROW;
    *ret_stmt = (struct store_stmt *)stmt;
    return 0;
}

static int read_identity(struct sqlite_engine *self, struct uuid *ret_uuid) {
    struct store_stmt *stmt = NULL;
    char text[UUID_TEXT_SIZE] = "";
    bool found = false;
    int r = query(self->writer, "SELECT value FROM eventbox_meta WHERE key = 'store_uuid'", &stmt,
                  &found);

    if (r == 0 && found) {
        struct span value = sqlite_column_bytes(stmt, 0, true);
        if (value.size == sizeof text - 1) {
            memcpy(text, value.data, value.size);
        }
    }
    sqlite_conn_reset(self->writer);
    if (r != 0 || !uuid_parse(text, ret_uuid)) {
        store_say("the database file %s bears eventbox's mark but cannot be read: %s; restore it "
                  "from a backup",
                  self->file.path, r != 0 ? sqlite3_errmsg(self->writer->db) : "no store uuid");
        return err_origin(r != 0 ? r : STORE_E_FOREIGN);
    }
    return 0;
}

/*
 * Counting a million rows would read them all. Ids have no gaps but where the relay's cursor led
 * the outbox, so their distance is exact, or too large for a while.
 */
static int count_outbox(struct sqlite_engine *self, int64_t *ret_rows) {
    struct store_stmt *stmt = NULL;
    bool found = false;
    int r = query(self->writer, "SELECT 1 FROM sqlite_schema WHERE name = 'outbox'", &stmt, &found);

    *ret_rows = 0;
    if (r == 0 && found) {
        r = query(self->writer,
                  "SELECT coalesce((SELECT max(id) FROM outbox) - (SELECT min(id) FROM outbox) + 1,"
                  " 0)",
                  &stmt, &found);
        if (r == 0 && found) {
            *ret_rows = sqlite_column_int(stmt, 0);
        }
    }
    sqlite_conn_reset(self->writer);
    return r == 0 ? 0 : err_trace(r);
}

static int open_readers(struct sqlite_engine *self, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct sqlite_conn *conn = NULL;
        int r = sqlite_conn_open(self->store, self->file.path, SQLITE_CONN_READER, &conn);
        if (r != 0) {
            return err_trace(r);
        }
        list_push_back(&self->idle_readers, &conn->link);
    }
    return 0;
}

static int open_database(struct sqlite_engine *self, const struct store_config *config,
                         const char *location) {
    int r = sqlite_file_find(location, &self->file);
    if (r == 0 && self->file.absent) {
        r = sqlite_file_make(&self->file, self->store, config);
    }
    if (r == 0) {
        r = sqlite_conn_open(self->store, self->file.path, SQLITE_CONN_WRITER, &self->writer);
    }
    if (r == 0) {
        r = read_identity(self, &self->store->uuid);
    }
    if (r == 0 && !self->file.absent) {
        r = sqlite_migrate(self->writer, config, self->file.path);
    }
    if (r == 0) {
        r = count_outbox(self, &self->store->outbox_rows);
    }
    if (r == 0) {
        r = open_readers(self, config->reader_threads ? config->reader_threads : 2);
    }
    return r == 0 ? 0 : err_trace(r);
}

static int engine_open(struct store *store, const struct store_config *config, const char *location,
                       struct store_engine **ret_engine) {
    struct sqlite_engine *self = calloc(1, sizeof *self);
    int r;

    if (!self) {
        return err_origin(-ENOMEM);
    }
    self->engine.ops = sqlite_ops();
    self->store = store;
    self->file.lock_fd = -1;
    self->checkpoint_pages = MIN(1000, sqlite_wal_pages_max(store) / 4);
    list_init(&self->idle_readers);
    pthread_mutex_init(&self->mutex, NULL);
    r = open_database(self, config, location);
    if (r != 0) {
        close_all(self);
        return err_trace(r);
    }
    *ret_engine = &self->engine;
    return 0;
}

/* AUTOINCREMENT's memory is a table of its own; a row stands in it after the first insert. */
static int find_id(struct store_tx *tx, const char *table, bool *ret_found, int64_t *ret_id) {
    struct store_stmt *stmt = NULL;
    int r = sqlite_prepare(tx, "SELECT seq FROM sqlite_sequence WHERE name = $1", &stmt);
    if (r != 0) {
        return err_trace(r);
    }
    store_bind_text(stmt, 1, span_text(table));
    r = store_step(stmt);
    *ret_found = r == STORE_ROW;
    *ret_id = *ret_found ? store_column_int(stmt, 0) : 0;
    return *ret_found ? 0 : err_trace(r);
}

static int last_id(struct store_tx *tx, const char *table, int64_t *ret_id) {
    bool found = false;
    return err_trace(find_id(tx, table, &found, ret_id));
}

static int raise_id(struct store_tx *tx, const char *table, int64_t id) {
    struct store_stmt *stmt = NULL;
    bool found = false;
    int64_t last = 0;
    int r = find_id(tx, table, &found, &last);
    if (r != 0) {
        return err_trace(r);
    }
    if (found && last >= id) {
        return 0; /* nothing written, nothing to sync: the rule at a start */
    }
    r = sqlite_prepare(tx,
                       found ? "UPDATE sqlite_sequence SET seq = $2 WHERE name = $1"
                             : "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)",
                       &stmt);
    if (r == 0) {
        store_bind_text(stmt, 1, span_text(table));
        store_bind_int(stmt, 2, id);
        r = store_run(stmt, NULL);
    }
    return r == 0 ? 0 : err_trace(r);
}

const struct store_engine_ops *sqlite_ops(void) {
    static const struct store_engine_ops ops = {
        .name = "sqlite",
        .open = engine_open,
        .close = engine_close,
        .write_group = sqlite_write_group,
        .maintain = sqlite_maintain,
        .read_group = sqlite_read_group,
        .prepare = sqlite_prepare,
        .bind = sqlite_bind,
        .step = sqlite_step,
        .column_int = sqlite_column_int,
        .column_is_null = sqlite_column_is_null,
        .column_bytes = sqlite_column_bytes,
        .changes = sqlite_changes,
        .last_id = last_id,
        .raise_id = raise_id,
    };
    return &ops;
}
