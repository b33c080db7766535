#include "sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATEMENTS_MAX = SQLITE_CONN_STATEMENTS * 3 / 4,
    READER_BUSY_MS = 1000, /* a reader that meets the WAL's own short locks */
};
static const int64_t HEAP_BYTES_MAX = INT64_C(256) << 20;

struct sqlite_stmt {
    struct store_stmt stmt;
    struct list active; /* in sqlite_conn.active */
    struct sqlite_conn *conn;
    sqlite3_stmt *raw;
    const char *address; /* the literal */
    int bind_rc;         /* first failure of a bind, told by the step */
    char sql[];          /* what stood at the address when it was prepared */
};

/* ---- opening ---- */

/* Nothing in a database may make SQLite do what we never ask for. */
static void set_limits(sqlite3 *db) {
    static const struct {
        int id, value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, 4 << 20},           {SQLITE_LIMIT_SQL_LENGTH, 64 << 10},
        {SQLITE_LIMIT_EXPR_DEPTH, 100},           {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 100},      {SQLITE_LIMIT_COLUMN, 100},
        {SQLITE_LIMIT_COMPOUND_SELECT, 20},       {SQLITE_LIMIT_TRIGGER_DEPTH, 10},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000}, {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        sqlite3_limit(db, limits[i].id, limits[i].value);
    }
}

static int set_switches(sqlite3 *db, enum sqlite_conn_role role) {
    static const struct {
        int id, value;
    } switches[] = {
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
        int value = -1, rc;
        if (switches[i].id == SQLITE_DBCONFIG_DEFENSIVE && role == SQLITE_CONN_BUILDER) {
            continue; /* a file without a name needs no journal */
        }
        rc = sqlite3_db_config(db, switches[i].id, switches[i].value, &value);
        if (rc != SQLITE_OK || value != switches[i].value) {
            return SQLITE_MISUSE;
        }
    }
    return SQLITE_OK;
}

/* Sets a pragma and reads it back: a typo or another build would be silent otherwise. */
static int check_pragma(struct sqlite_conn *conn, const char *set, const char *get,
                        const char *wanted) {
    sqlite3_stmt *raw = NULL;
    int rc = set ? sqlite_conn_exec(conn, set) : SQLITE_OK;

    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v2(conn->db, get, -1, &raw, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(raw);
        if (rc == SQLITE_ROW) {
            const char *got = (const char *)sqlite3_column_text(raw, 0);
            rc = got && strcmp(got, wanted) == 0 ? SQLITE_OK : SQLITE_MISUSE;
        }
    }
    sqlite3_finalize(raw);
    return rc;
}

static int set_pragmas(struct sqlite_conn *conn, enum sqlite_conn_role role) {
    int rc;
    switch (role) {
    case SQLITE_CONN_BUILDER:
        return sqlite_conn_exec(conn, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                                      "PRAGMA temp_store = MEMORY;");
    case SQLITE_CONN_READER:
        sqlite3_busy_timeout(conn->db, READER_BUSY_MS);
        rc = sqlite_conn_exec(conn, "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024;"
                                    "PRAGMA cell_size_check = ON; PRAGMA query_only = ON;");
        return rc == SQLITE_OK ? check_pragma(conn, NULL, "PRAGMA journal_mode", "wal") : rc;
    case SQLITE_CONN_WRITER:
        break;
    }
    rc = check_pragma(conn, "PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal");
    rc = rc != SQLITE_OK
             ? rc
             : check_pragma(conn, "PRAGMA synchronous = FULL", "PRAGMA synchronous", "2");
    rc = rc != SQLITE_OK ? rc : check_pragma(conn, NULL, "PRAGMA foreign_keys", "1");
    /* Checkpoints run after a group is answered, not inside its commit: sqlite_maintain(). */
    return rc != SQLITE_OK ? rc
                           : sqlite_conn_exec(conn, "PRAGMA wal_autocheckpoint = 0;"
                                                    "PRAGMA journal_size_limit = 16777216;"
                                                    "PRAGMA cell_size_check = ON;"
                                                    "PRAGMA temp_store = MEMORY;"
                                                    "PRAGMA cache_size = -2048;");
}

static int on_wal(void *userdata, sqlite3 *db, const char *schema, int pages) {
    struct sqlite_conn *conn = userdata;
    conn->wal_pages = pages;
    return SQLITE_OK;
}

int sqlite_conn_open(struct store *store, const char *path, enum sqlite_conn_role role,
                     struct sqlite_conn **ret_conn) {
    int flags = role == SQLITE_CONN_READER    ? SQLITE_OPEN_READONLY
                : role == SQLITE_CONN_BUILDER ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                              : SQLITE_OPEN_READWRITE;
    struct sqlite_conn *conn = calloc(1, sizeof *conn);
    int r, rc;

    if (!conn) {
        return err_origin(-ENOMEM);
    }
    conn->store = store;
    list_init(&conn->active);
    sqlite3_hard_heap_limit64(HEAP_BYTES_MAX); /* of the process; the same each time */
    rc =
        sqlite3_open_v2(path, &conn->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK) {
        set_limits(conn->db);
        rc = set_switches(conn->db, role);
    }
    if (rc == SQLITE_OK) {
        rc = set_pragmas(conn, role);
    }
    if (rc != SQLITE_OK) {
        r = sqlite_conn_error(conn, rc);
        store_say("the database file %s could not be opened: %s (SQLite code %d); %s", path,
                  conn->db ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc), rc,
                  sqlite_conn_is_full(conn, rc) ? "free some space"
                                                : "check the file and its folder");
        sqlite_conn_close(conn);
        return err_trace(r);
    }
    if (role == SQLITE_CONN_WRITER) {
        sqlite3_wal_hook(conn->db, on_wal, conn);
    }
    *ret_conn = conn;
    return 0;
}

void sqlite_conn_close(struct sqlite_conn *conn) {
    if (!conn) {
        return;
    }
    for (size_t i = 0; i < SQLITE_CONN_STATEMENTS; i++) {
        if (conn->statements[i]) {
            sqlite3_finalize(conn->statements[i]->raw);
            free(conn->statements[i]);
        }
    }
    sqlite3_close_v2(conn->db);
    free(conn);
}

int sqlite_conn_exec(struct sqlite_conn *conn, const char *sql) {
    return sqlite3_exec(conn->db, sql, NULL, NULL, NULL);
}

/* ---- errors ---- */

bool sqlite_conn_is_full(struct sqlite_conn *conn, int rc) {
    if ((rc & 0xff) == SQLITE_FULL) {
        return true;
    }
    /* A quota, and the shared memory of the WAL, come as I/O errors. A failed sync never counts:
     * what it lost is lost. */
    int error = conn->db ? sqlite3_system_errno(conn->db) : 0;
    return (rc & 0xff) == SQLITE_IOERR && rc != SQLITE_IOERR_FSYNC &&
           rc != SQLITE_IOERR_DIR_FSYNC && (error == ENOSPC || error == EDQUOT);
}

int sqlite_conn_error(struct sqlite_conn *conn, int rc) {
    char text[160];
    int r;

    if (sqlite_conn_is_full(conn, rc)) {
        return err_origin(STORE_E_FULL);
    }
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
            rc == SQLITE_CONSTRAINT_ROWID) {
            return err_origin(STORE_E_UNIQUE);
        }
        r = -EINVAL;
        break;
    case SQLITE_IOERR:
        r = -EIO;
        break;
    case SQLITE_NOMEM:
        r = -ENOMEM;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        r = -EBADMSG;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        r = -EBUSY;
        break;
    case SQLITE_READONLY:
        r = -EROFS;
        break;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        r = -EACCES;
        break;
    case SQLITE_TOOBIG:
        r = -EFBIG;
        break;
    default:
        r = -EINVAL;
    }
    snprintf(text, sizeof text, "%s (SQLite code %d)",
             conn->db ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc), rc);
    store_note_error(conn->store, text);
    return err_origin(r);
}

/* ---- statements ---- */

static size_t slot_of(const char *address) {
    return (size_t)(((uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15)) >> 32) %
           SQLITE_CONN_STATEMENTS;
}

/* "$1" would be a name to SQLite, numbered by its first appearance; "?1" is parameter 1. */
static void rewrite_parameters(const char *sql, char *out) {
    char quote = '\0';
    for (; *sql != '\0'; sql++) {
        if (quote != '\0') {
            quote = *sql == quote ? '\0' : quote;
        } else if (*sql == '\'' || *sql == '"') {
            quote = *sql;
        }
        *out++ = quote == '\0' && *sql == '$' ? '?' : *sql;
    }
    *out = '\0';
}

static int make_stmt(struct sqlite_conn *conn, const char *sql, struct sqlite_stmt **ret_stmt) {
    size_t size = strlen(sql) + 1;
    struct sqlite_stmt *stmt = calloc(1, sizeof *stmt + size);
    char *text = malloc(size);
    int rc, r = 0;

    if (!stmt || !text) {
        free(stmt);
        free(text);
        return err_origin(-ENOMEM);
    }
    memcpy(stmt->sql, sql, size);
    rewrite_parameters(sql, text);
    rc = sqlite3_prepare_v3(conn->db, text, (int)size, SQLITE_PREPARE_PERSISTENT, &stmt->raw, NULL);
    free(text);
    if (rc != SQLITE_OK) {
        r = sqlite_conn_error(conn, rc);
        free(stmt);
        return err_trace(r);
    }
    stmt->stmt.ops = sqlite_ops();
    stmt->conn = conn;
    stmt->address = sql;
    *ret_stmt = stmt;
    return 0;
}

static void free_stmt(struct sqlite_stmt *stmt) {
    list_remove(&stmt->active);
    sqlite3_finalize(stmt->raw);
    free(stmt);
}

int sqlite_conn_prepare(struct sqlite_conn *conn, const char *sql, struct sqlite_stmt **ret_stmt) {
    size_t slot = slot_of(sql);
    struct sqlite_stmt *stmt;
    int r;

    while (conn->statements[slot] && conn->statements[slot]->address != sql) {
        slot = (slot + 1) % SQLITE_CONN_STATEMENTS;
    }
    stmt = conn->statements[slot];
    if (stmt && strcmp(stmt->sql, sql) == 0) {
        sqlite3_reset(stmt->raw);
        sqlite3_clear_bindings(stmt->raw);
    } else {
        struct sqlite_stmt *fresh = NULL;
        if (!stmt && conn->statement_count >= STATEMENTS_MAX) {
            store_note_error(conn->store, "too many different statements: SQL must be literals");
            return err_origin(-E2BIG);
        }
        r = make_stmt(conn, sql, &fresh);
        if (r != 0) {
            return err_trace(r);
        }
        if (stmt) {
            free_stmt(stmt); /* the memory of the text was used again for another */
        } else {
            conn->statement_count++;
        }
        conn->statements[slot] = stmt = fresh;
    }
    stmt->bind_rc = SQLITE_OK;
    if (!list_linked(&stmt->active)) {
        list_push_back(&conn->active, &stmt->active);
    }
    *ret_stmt = stmt;
    return 0;
}

void sqlite_conn_reset(struct sqlite_conn *conn) {
    struct list *link;
    while ((link = list_pop_front(&conn->active))) {
        struct sqlite_stmt *stmt = list_entry(link, struct sqlite_stmt, active);
        sqlite3_reset(stmt->raw);
        sqlite3_clear_bindings(stmt->raw);
    }
}

static struct sqlite_stmt *stmt_of(struct store_stmt *stmt) {
    return container_of(stmt, struct sqlite_stmt, stmt);
}

int sqlite_prepare(struct store_tx *tx, const char *sql, struct store_stmt **ret_stmt) {
    struct sqlite_conn *conn = container_of(tx, struct sqlite_tx, tx)->conn;
    struct sqlite_stmt *stmt = NULL;
    int r = sqlite_conn_prepare(conn, sql, &stmt);
    if (r != 0) {
        return err_trace(r);
    }
    *ret_stmt = &stmt->stmt;
    return 0;
}

void sqlite_bind(struct store_stmt *stmt, int parameter, const struct store_value *value) {
    struct sqlite_stmt *self = stmt_of(stmt);
    int rc = SQLITE_OK;

    switch (value->type) {
    case STORE_NULL:
        rc = sqlite3_bind_null(self->raw, parameter);
        break;
    case STORE_INT:
        rc = sqlite3_bind_int64(self->raw, parameter, value->integer);
        break;
    case STORE_TEXT:
        rc = sqlite3_bind_text64(self->raw, parameter, value->bytes.data, value->bytes.size,
                                 SQLITE_STATIC, SQLITE_UTF8);
        break;
    case STORE_BLOB:
        rc = sqlite3_bind_blob64(self->raw, parameter, value->bytes.data, value->bytes.size,
                                 SQLITE_STATIC);
        break;
    }
    if (self->bind_rc == SQLITE_OK) {
        self->bind_rc = rc;
    }
}

int sqlite_step(struct store_stmt *stmt) {
    struct sqlite_stmt *self = stmt_of(stmt);
    int rc = self->bind_rc != SQLITE_OK ? self->bind_rc : sqlite3_step(self->raw);
    int r = 0;

    if (rc == SQLITE_ROW) {
        return STORE_ROW;
    }
    if (rc != SQLITE_DONE) {
        int primary = rc & 0xff;
        if (self->conn->trouble == 0 &&
            (primary == SQLITE_FULL || primary == SQLITE_IOERR || primary == SQLITE_NOMEM)) {
            self->conn->trouble = rc;
        }
        r = sqlite_conn_error(self->conn, rc);
    }
    sqlite3_reset(self->raw); /* at its end: may be bound and stepped again */
    return r;
}

int64_t sqlite_column_int(struct store_stmt *stmt, int column) {
    return sqlite3_column_int64(stmt_of(stmt)->raw, column);
}

bool sqlite_column_is_null(struct store_stmt *stmt, int column) {
    return sqlite3_column_type(stmt_of(stmt)->raw, column) == SQLITE_NULL;
}

struct span sqlite_column_bytes(struct store_stmt *stmt, int column, bool text) {
    sqlite3_stmt *raw = stmt_of(stmt)->raw;
    const void *data;

    if (sqlite3_column_type(raw, column) == SQLITE_NULL) {
        return SPAN_NULL;
    }
    data = text ? (const void *)sqlite3_column_text(raw, column) : sqlite3_column_blob(raw, column);
    return span_of(data ? data : "", (size_t)sqlite3_column_bytes(raw, column));
}

int64_t sqlite_changes(struct store_stmt *stmt) {
    return sqlite3_changes64(stmt_of(stmt)->conn->db);
}
