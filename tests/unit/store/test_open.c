#include "support.h"

#include <dirent.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct fixture f;

static int setup(void **state) {
    fixture_init(&f);
    return 0;
}

static int teardown(void **state) {
    fixture_deinit(&f);
    return 0;
}

static int entries_of(const char *folder) {
    int count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count;
}

static size_t read_file(const char *path, char *out, size_t size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t got = fread(out, 1, size, file);
    fclose(file);
    return got;
}

static void exec_sql(const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void assert_left_untouched(void) {
    static char before[64 * 1024], after[64 * 1024];
    struct stat stat_before, stat_after;
    size_t size = read_file(f.path, before, sizeof before);
    stat(f.path, &stat_before);
    assert_int_equal(fixture_open(&f), STORE_E_FOREIGN);
    assert_non_null(strstr(f.message, f.path));
    assert_null(strchr(f.message, '\n'));
    assert_int_equal(read_file(f.path, after, sizeof after), size);
    assert_memory_equal(before, after, size);
    stat(f.path, &stat_after);
    assert_int_equal(stat_before.st_mtime, stat_after.st_mtime);
    assert_int_equal(entries_of(f.folder), 1);
}

static void test_store_open__leaves_a_foreign_database_untouched(void **state) {
    exec_sql("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, "
             "'x')");
    assert_left_untouched();
}

static void test_store_open__leaves_a_foreign_wal_database_untouched(void **state) {
    exec_sql("PRAGMA journal_mode = WAL; CREATE TABLE users (id INTEGER PRIMARY KEY)");
    assert_left_untouched();
}

static void test_store_open__leaves_another_file_untouched(void **state) {
    FILE *file = fopen(f.path, "w");
    fputs("a diary", file);
    fclose(file);
    assert_left_untouched();
}

static void test_store_open__refuses_a_newer_format(void **state) {
    assert_int_equal(fixture_open(&f), 0);
    fixture_close(&f);
    exec_sql("PRAGMA user_version = 2");
    assert_int_equal(fixture_open(&f), STORE_E_NEWER);
    assert_non_null(strstr(f.message, f.path));
}

static void test_store_open__refuses_a_migration_of_a_newer_version(void **state) {
    assert_int_equal(fixture_open(&f), 0);
    fixture_close(&f);
    exec_sql("INSERT INTO eventbox_migrations VALUES ('test', 2, 'x', 0)");
    assert_int_equal(fixture_open(&f), STORE_E_NEWER);
    assert_non_null(strstr(f.message, "migration 2 of test"));
}

static void test_store_open__refuses_a_changed_migration(void **state) {
    static const struct store_migration changed[] = {
        {1, "CREATE TABLE test_notes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)"},
        {0},
    };
    assert_int_equal(fixture_open(&f), 0);
    fixture_close(&f);
    f.sets[1].migrations = changed;
    assert_int_equal(fixture_open(&f), STORE_E_NEWER);
    assert_non_null(strstr(f.message, "migration 1 of test"));
}

static int use_second(struct store_tx *tx, struct test_job *job) {
    struct store_stmt *stmt = NULL;
    int r = store_prepare(tx, "INSERT INTO test_notes (name, more) VALUES ('a', 'b')", &stmt);
    return r == 0 ? store_run(stmt, NULL) : r;
}

static void test_store_open__applies_what_is_missing(void **state) {
    static const struct store_migration two[] = {
        {1, "CREATE TABLE test_notes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)"},
        {2, "ALTER TABLE test_notes ADD COLUMN more TEXT; CREATE INDEX test_more ON test_notes "
            "(more)"},
        {0},
    };
    assert_int_equal(fixture_open(&f), 0);
    struct uuid uuid = *store_uuid(f.store);
    fixture_close(&f);
    f.sets[1].migrations = two;
    for (int i = 0; i < 2; i++) { /* the second time nothing is left to do */
        assert_int_equal(fixture_open(&f), 0);
        assert_memory_equal(&uuid, store_uuid(f.store), sizeof uuid);
        assert_int_equal(fixture_write(&f, use_second, NULL), i == 0 ? 0 : STORE_E_UNIQUE);
        fixture_close(&f);
    }
}

static void test_store_open__a_failing_migration_leaves_the_database_as_it_was(void **state) {
    static const struct store_migration broken[] = {
        {1, "CREATE TABLE test_notes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)"},
        {2, "CREATE TABLE test_more (id INTEGER); SELEC"},
        {0},
    };
    assert_int_equal(fixture_open(&f), 0);
    fixture_close(&f);
    f.sets[1].migrations = broken;
    assert_int_equal(fixture_open(&f), -EINVAL);
    assert_non_null(strstr(f.message, "migration 2 of test"));
    f.sets[1].migrations = note_migrations;
    assert_int_equal(fixture_open(&f), 0);
}

static void test_store_open__a_failing_migration_makes_no_new_file(void **state) {
    static const struct store_migration broken[] = {{1, "SELEC"}, {0}};
    f.sets[1].migrations = broken;
    assert_int_equal(fixture_open(&f), -EINVAL);
    assert_int_equal(entries_of(f.folder), 0);
}

static void test_store_open__takes_an_empty_file_as_new(void **state) {
    fclose(fopen(f.path, "w"));
    assert_int_equal(fixture_open(&f), 0);
}

static void test_store_open__refuses_a_wal_without_its_database(void **state) {
    char wal[160];
    snprintf(wal, sizeof wal, "%s-wal", f.path);
    FILE *file = fopen(wal, "w");
    fputs("pages", file);
    fclose(file);
    assert_int_equal(fixture_open(&f), STORE_E_FOREIGN);
    assert_non_null(strstr(f.message, wal));
    assert_int_equal(entries_of(f.folder), 1);
}

static void test_store_open__refuses_a_file_in_use(void **state) {
    assert_int_equal(fixture_open(&f), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *second = NULL;
        const char *message = NULL;
        int r = store_open(&f.config, &second, &message);
        _exit(r == -EWOULDBLOCK && strstr(message, "in use") ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void test_store_open__says_what_is_wrong_with_a_url(void **state) {
    static const struct {
        const char *url, *said;
        int code;
    } rows[] = {
        {"postgresql://u:secret@h/db",
         "DATABASE_URL=postgresql://…: PostgreSQL is not built into this version yet; use "
         "sqlite:///path",
         CONF_E_VALUE},
        {"postgres://h/db", "PostgreSQL is not built", CONF_E_VALUE},
        {"postgresql+asyncpg://h/db", "PostgreSQL is not built", CONF_E_VALUE},
        {"mysql://h/db", "mysql", CONF_E_VALUE},
        {"sqlite://x.db", "third slash", CONF_E_VALUE},
        {"sqlite://", "third slash", CONF_E_VALUE},
        {"sqlite:///:memory:", "in memory", CONF_E_VALUE},
        {"sqlite:///x.db?mode=ro", "options", CONF_E_VALUE},
        {"sqlite:////no/such/folder/x.db", "/no/such/folder", -ENOENT},
        {"sqlite:////dev/null", "not a regular file", STORE_E_FOREIGN},
        {"sqlite:////tmp", "not a regular file", STORE_E_FOREIGN},
        {"/no/such/x.db", "/no/such", -ENOENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        f.config.url = rows[i].url;
        assert_int_equal(fixture_open(&f), rows[i].code);
        assert_non_null(strstr(f.message, rows[i].said));
        assert_null(strchr(f.message, '\n'));
        assert_null(strstr(f.message, "secret"));
    }
}

static void test_store_open__knows_relative_and_plain_paths(void **state) {
    assert_int_equal(chdir(f.folder), 0);
    static const char *const urls[] = {"sqlite:///./x.db", "sqlite:///x.db", "x.db", "./x.db",
                                       "sqlite+aiosqlite:///./x.db"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        f.config.url = urls[i];
        assert_int_equal(fixture_open(&f), 0);
        fixture_close(&f);
        assert_int_equal(entries_of(f.folder), 1);
    }
    assert_int_equal(chdir("/"), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_store_open__leaves_a_foreign_database_untouched),
        TEST(test_store_open__leaves_a_foreign_wal_database_untouched),
        TEST(test_store_open__leaves_another_file_untouched),
        TEST(test_store_open__refuses_a_newer_format),
        TEST(test_store_open__refuses_a_migration_of_a_newer_version),
        TEST(test_store_open__refuses_a_changed_migration),
        TEST(test_store_open__applies_what_is_missing),
        TEST(test_store_open__a_failing_migration_leaves_the_database_as_it_was),
        TEST(test_store_open__a_failing_migration_makes_no_new_file),
        TEST(test_store_open__takes_an_empty_file_as_new),
        TEST(test_store_open__refuses_a_wal_without_its_database),
        TEST(test_store_open__refuses_a_file_in_use),
        TEST(test_store_open__says_what_is_wrong_with_a_url),
        TEST(test_store_open__knows_relative_and_plain_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
