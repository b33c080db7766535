/*
 * Migrations: numbered per module, run once, recorded with the SHA-256 of their text, so that a
 * released one that somebody edits is noticed before it makes two kinds of databases.
 *
 * A new file gets all of them in the one transaction that makes it. An existing one gets what is
 * missing, each migration and its record in one transaction. A record above what this binary knows
 * means that a newer one wrote the file: refused.
 */
#include "sqlite.h"

#include <errno.h>
#include <eventbox/base/crypto.h>
#include <string.h>

enum { CHECKSUM_SIZE = 2 * SHA256_BYTES + 1 };

static const char own_tables[] = "CREATE TABLE eventbox_meta ("
                                 "  key TEXT PRIMARY KEY,"
                                 "  value TEXT NOT NULL);"
                                 "CREATE TABLE eventbox_migrations ("
                                 "  module TEXT NOT NULL,"
                                 "  number INTEGER NOT NULL,"
                                 "  checksum TEXT NOT NULL,"
                                 "  applied_ms INTEGER NOT NULL,"
                                 "  PRIMARY KEY (module, number));";

static void checksum_of(const struct store_migration *migration, char out[CHECKSUM_SIZE]) {
    uint8_t digest[SHA256_BYTES];
    crypto_sha256(span_text(migration->sql), digest);
    hex_encode(digest, sizeof digest, out);
}

static int apply(struct sqlite_conn *conn, const struct store_config *config, const char *path,
                 const char *module, const struct store_migration *migration) {
    char checksum[CHECKSUM_SIZE];
    struct sqlite_stmt *record = NULL;
    struct store_stmt *stmt;
    char *text = NULL;
    int rc = sqlite3_exec(conn->db, migration->sql, NULL, NULL, &text);

    if (rc != SQLITE_OK) {
        store_say("migration %d of %s failed on the database %s: %s; %s", migration->number, module,
                  path, text ? text : sqlite3_errstr(rc),
                  sqlite_conn_is_full(conn, rc) ? "free some space"
                                                : "the database is as it was before");
        sqlite3_free(text);
        return err_trace(sqlite_conn_error(conn, rc));
    }
    int r = sqlite_conn_prepare(conn,
                                "INSERT INTO eventbox_migrations (module, number, checksum, "
                                "applied_ms) VALUES ($1, $2, $3, $4)",
                                &record);
    if (r != 0) {
        return err_trace(r);
    }
    checksum_of(migration, checksum);
    stmt = (struct store_stmt *)record;
    store_bind_text(stmt, 1, span_text(module));
    store_bind_int(stmt, 2, migration->number);
    store_bind_text(stmt, 3, span_text(checksum));
    store_bind_int(stmt, 4, clock_wall_ms(config->clock));
    r = store_run(stmt, NULL);
    sqlite_conn_reset(conn);
    return r == 0 ? 0 : err_trace(err_fold(r));
}

static int put_meta(struct sqlite_conn *conn, const char *key, const char *value) {
    struct sqlite_stmt *stmt = NULL;
    int r =
        sqlite_conn_prepare(conn, "INSERT INTO eventbox_meta (key, value) VALUES ($1, $2)", &stmt);
    if (r == 0) {
        store_bind_text((struct store_stmt *)stmt, 1, span_text(key));
        store_bind_text((struct store_stmt *)stmt, 2, span_text(value));
        r = store_run((struct store_stmt *)stmt, NULL);
    }
    sqlite_conn_reset(conn);
    return r == 0 ? 0 : err_trace(r);
}

int sqlite_migrate_new(struct sqlite_conn *conn, const struct store_config *config,
                       const char *path) {
    char uuid_text[UUID_TEXT_SIZE];
    struct uuid uuid;
    int r = sqlite_conn_exec(conn, own_tables);

    if (r == SQLITE_OK) {
        r = sqlite_conn_exec(conn, "PRAGMA application_id = 0x65766278; PRAGMA user_version = 1;");
    }
    if (r != SQLITE_OK) {
        return err_trace(sqlite_conn_error(conn, r));
    }
    uuid_v4(config->random, &uuid);
    uuid_format(&uuid, uuid_text);
    r = put_meta(conn, "store_uuid", uuid_text);
    if (r != 0) {
        return err_trace(r);
    }
    for (size_t i = 0; i < config->migration_count; i++) {
        const struct store_migration_set *set = &config->migrations[i];
        for (const struct store_migration *m = set->migrations; m && m->number != 0; m++) {
            r = apply(conn, config, path, set->module, m);
            if (r != 0) {
                return err_trace(r);
            }
        }
    }
    return 0;
}

/* 0: to be applied; 1: applied with this text; negative or STORE_E_NEWER otherwise. */
static int look_up(struct sqlite_conn *conn, const char *path, const char *module,
                   const struct store_migration *migration) {
    char checksum[CHECKSUM_SIZE];
    struct sqlite_stmt *stmt = NULL;
    int r = sqlite_conn_prepare(
        conn, "SELECT checksum FROM eventbox_migrations WHERE module = $1 AND number = $2", &stmt);
    if (r != 0) {
        return err_trace(r);
    }
    store_bind_text((struct store_stmt *)stmt, 1, span_text(module));
    store_bind_int((struct store_stmt *)stmt, 2, migration->number);
    r = store_step((struct store_stmt *)stmt);
    if (r == STORE_ROW) {
        checksum_of(migration, checksum);
        if (!span_equal(store_column_text((struct store_stmt *)stmt, 0), span_text(checksum))) {
            store_say("migration %d of %s was applied to the database %s with another text than "
                      "this eventbox has; start the version that wrote the database",
                      migration->number, module, path);
            r = err_origin(STORE_E_NEWER);
        }
    }
    sqlite_conn_reset(conn);
    return r;
}

static int last_number(struct sqlite_conn *conn, const char *module, int64_t *ret_number) {
    struct sqlite_stmt *stmt = NULL;
    int r = sqlite_conn_prepare(
        conn, "SELECT coalesce(max(number), 0) FROM eventbox_migrations WHERE module = $1", &stmt);
    if (r != 0) {
        return err_trace(r);
    }
    store_bind_text((struct store_stmt *)stmt, 1, span_text(module));
    r = store_step((struct store_stmt *)stmt);
    if (r == STORE_ROW) {
        *ret_number = store_column_int((struct store_stmt *)stmt, 0);
        r = 0;
    }
    sqlite_conn_reset(conn);
    return r == 0 ? 0 : err_trace(r);
}

static int apply_alone(struct sqlite_conn *conn, const struct store_config *config,
                       const char *path, const char *module,
                       const struct store_migration *migration) {
    int rc = sqlite_conn_exec(conn, "BEGIN IMMEDIATE");
    int r = rc == SQLITE_OK ? apply(conn, config, path, module, migration)
                            : err_trace(sqlite_conn_error(conn, rc));
    if (r == 0) {
        rc = sqlite_conn_exec(conn, "COMMIT");
        if (rc != SQLITE_OK) {
            store_say("migration %d of %s could not be written to the database %s: %s",
                      migration->number, module, path, sqlite3_errmsg(conn->db));
            r = err_trace(sqlite_conn_error(conn, rc));
        }
    }
    if (!sqlite3_get_autocommit(conn->db)) {
        sqlite_conn_exec(conn, "ROLLBACK");
    }
    return r;
}

/* Refuses before the first change: a newer eventbox, or an edited migration. */
static int check_set(struct sqlite_conn *conn, const char *path,
                     const struct store_migration_set *set) {
    int64_t last = 0;
    int known = 0;
    int r = last_number(conn, set->module, &last);

    for (const struct store_migration *m = set->migrations; r >= 0 && m && m->number != 0; m++) {
        known = m->number;
        r = look_up(conn, path, set->module, m);
        if (r != 0 && r != STORE_ROW) {
            return err_trace(r);
        }
    }
    if (r < 0) {
        return err_trace(r);
    }
    if (last > known) {
        store_say("the database %s has migration %lld of %s, this eventbox knows up to %d; start "
                  "the newer eventbox that wrote it",
                  path, (long long)last, set->module, known);
        return err_origin(STORE_E_NEWER);
    }
    return 0;
}

static int apply_set(struct sqlite_conn *conn, const struct store_config *config, const char *path,
                     const struct store_migration_set *set) {
    for (const struct store_migration *m = set->migrations; m && m->number != 0; m++) {
        int r = look_up(conn, path, set->module, m);
        if (r == 0) {
            r = apply_alone(conn, config, path, set->module, m);
        } else if (r == STORE_ROW) {
            r = 0;
        }
        if (r != 0) {
            return err_trace(r);
        }
    }
    return 0;
}

int sqlite_migrate(struct sqlite_conn *conn, const struct store_config *config, const char *path) {
    for (size_t i = 0; i < config->migration_count; i++) {
        int r = check_set(conn, path, &config->migrations[i]);
        if (r != 0) {
            return err_trace(r);
        }
    }
    for (size_t i = 0; i < config->migration_count; i++) {
        int r = apply_set(conn, config, path, &config->migrations[i]);
        if (r != 0) {
            return err_trace(r);
        }
    }
    return 0;
}
