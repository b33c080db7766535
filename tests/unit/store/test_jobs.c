#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static struct fixture f;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static int setup(void **state) {
    fixture_init(&f);
    f.config.write_queue_max = 8;
    f.config.read_queue_max = 8;
    assert_int_equal(fixture_open(&f), 0);
    return 0;
}

static int teardown(void **state) {
    fixture_deinit(&f);
    return 0;
}

static int wait_at_gate(struct store_tx *tx, struct test_job *job) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return 0;
}

/* Holds the writer with a first job, so that all of @jobs become one group. */
static void write_as_one_group(struct test_job *jobs, size_t count) {
    struct test_job first;
    test_job_init(&first, wait_at_gate);
    pthread_mutex_lock(&gate);
    assert_int_equal(store_write(f.store, &first.job), 0);
    struct store_stats stats;
    do {
        store_stats(f.store, &stats);
    } while (stats.write_groups == 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(store_write(f.store, &jobs[i].job), 0);
    }
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < count; i++) {
        fixture_wait(&f, &jobs[i].done);
    }
}

static void test_store_write__commits_what_waits_as_one_group(void **state) {
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct test_job jobs[5];
    for (size_t i = 0; i < 5; i++) {
        test_job_init(&jobs[i], insert_note);
        jobs[i].name = names[i];
    }
    write_as_one_group(jobs, 5);
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_int_equal(stats.write_groups, 2);
    assert_int_equal(stats.write_jobs, 6);
    int64_t count = 0;
    assert_int_equal(fixture_read(&f, count_notes, &count), 0);
    assert_int_equal(count, 5);
}

static int insert_then_refuse(struct store_tx *tx, struct test_job *job) {
    assert_int_equal(insert_note(tx, job), 0);
    return USERS_E_EXISTS;
}

static void test_store_write__a_failing_body_takes_back_its_own_changes_only(void **state) {
    struct test_job jobs[3];
    test_job_init(&jobs[0], insert_note);
    jobs[0].name = "kept before";
    test_job_init(&jobs[1], insert_then_refuse);
    jobs[1].name = "taken back";
    test_job_init(&jobs[2], insert_note);
    jobs[2].name = "kept after";
    write_as_one_group(jobs, 3);
    assert_int_equal(jobs[0].status, 0);
    assert_int_equal(jobs[1].status, USERS_E_EXISTS);
    assert_int_equal(jobs[2].status, 0);
    int64_t count = 0;
    assert_int_equal(fixture_read(&f, count_notes, &count), 0);
    assert_int_equal(count, 2);
}

static void test_store_step__tells_a_unique_violation(void **state) {
    struct test_job jobs[3];
    for (size_t i = 0; i < 3; i++) {
        test_job_init(&jobs[i], insert_note);
        jobs[i].name = i == 2 ? "other" : "same";
    }
    write_as_one_group(jobs, 3);
    assert_int_equal(jobs[0].status, 0);
    assert_int_equal(jobs[1].status, STORE_E_UNIQUE);
    assert_int_equal(jobs[2].status, 0);
}

static void test_store_read__sees_every_acknowledged_write(void **state) {
    for (int i = 0; i < 200; i++) {
        char name[16];
        struct test_job write, read;
        snprintf(name, sizeof name, "n%d", i);
        test_job_init(&write, insert_note);
        test_job_init(&read, count_notes);
        write.name = name;
        write.next_on_done = &read;
        assert_int_equal(store_write(f.store, &write.job), 0);
        fixture_wait(&f, &read.done);
        assert_int_equal(read.value, i + 1);
    }
}

static void test_store_read__cannot_write(void **state) {
    struct test_job job;
    test_job_init(&job, insert_note);
    job.name = "x";
    assert_int_equal(store_read(f.store, &job.job), 0);
    fixture_wait(&f, &job.done);
    assert_true(job.status < 0);
}

static void test_store_write__refuses_beyond_its_bound(void **state) {
    struct test_job jobs[9];
    pthread_mutex_lock(&gate);
    for (size_t i = 0; i < 9; i++) {
        test_job_init(&jobs[i], wait_at_gate);
        assert_int_equal(store_write(f.store, &jobs[i].job), i < 8 ? 0 : STORE_E_BUSY);
    }
    pthread_mutex_unlock(&gate);
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_int_equal(stats.refused_jobs, 1);
    assert_int_equal(stats.write_queued, 8);
    for (size_t i = 0; i < 8; i++) {
        fixture_wait(&f, &jobs[i].done);
    }
    store_stats(f.store, &stats);
    assert_int_equal(stats.write_queued, 0);
}

static int bind_everything(struct store_tx *tx, struct test_job *job) {
    struct store_stmt *stmt = NULL;
    assert_int_equal(store_prepare(tx, "SELECT $2, $1, $3, '$1', $2", &stmt), 0);
    store_bind_text(stmt, 1, SPAN_LITERAL("one"));
    store_bind_int(stmt, 2, 2);
    store_bind_blob(stmt, 3, SPAN_NULL);
    assert_int_equal(store_step(stmt), STORE_ROW);
    assert_int_equal(store_column_int(stmt, 0), 2);
    assert_true(span_equal(store_column_text(stmt, 1), SPAN_LITERAL("one")));
    assert_true(store_column_is_null(stmt, 2));
    assert_null(store_column_blob(stmt, 2).data);
    assert_true(span_equal(store_column_text(stmt, 3), SPAN_LITERAL("$1")));
    assert_int_equal(store_column_int(stmt, 4), 2);
    assert_int_equal(store_step(stmt), 0);
    /* The same address with another text, as a buffer that is used again. */
    static char text[32] = "SELECT 1";
    assert_int_equal(store_prepare(tx, text, &stmt), 0);
    assert_int_equal(store_step(stmt), STORE_ROW);
    snprintf(text, sizeof text, "SELECT 7");
    assert_int_equal(store_prepare(tx, text, &stmt), 0);
    assert_int_equal(store_step(stmt), STORE_ROW);
    assert_int_equal(store_column_int(stmt, 0), 7);
    /* A parameter that does not exist. */
    store_bind_int(stmt, 5, 1);
    assert_true(store_step(stmt) < 0);
    return 0;
}

static void test_store_prepare__numbers_parameters_as_written(void **state) {
    assert_int_equal(fixture_read(&f, bind_everything, NULL), 0);
}

static void test_store_close__finishes_what_is_queued_and_keeps_it(void **state) {
    struct test_job jobs[4];
    static const char *const names[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        test_job_init(&jobs[i], insert_note);
        jobs[i].name = names[i];
        assert_int_equal(store_write(f.store, &jobs[i].job), 0);
    }
    fixture_close(&f);
    for (size_t i = 0; i < 4; i++) {
        assert_true(jobs[i].done);
        assert_int_equal(jobs[i].status, 0);
    }
    char wal[160];
    snprintf(wal, sizeof wal, "%s-wal", f.path);
    assert_int_equal(access(wal, F_OK), -1);
    assert_int_equal(fixture_open(&f), 0);
    int64_t count = 0;
    assert_int_equal(fixture_read(&f, count_notes, &count), 0);
    assert_int_equal(count, 4);
}

struct test_op {
    struct op op;
    struct store_op_job job;
    int finished;
    int seen;
};

static int op_body(struct store_tx *tx, struct op *op) {
    return USERS_E_NOT_FOUND;
}

static int step_write(struct op *op) {
    struct test_op *self = container_of(op, struct test_op, op);
    return op_wait_store_write(op, f.store, &self->job, op_body);
}

static int step_look(struct op *op) {
    struct test_op *self = container_of(op, struct test_op, op);
    self->seen = self->job.job.status;
    return OP_DONE;
}

static void on_finish(struct op *op, int status) {
    container_of(op, struct test_op, op)->finished = status == 0 ? 1 : status;
}

static void test_op_wait_store__fails_or_keeps_a_positive_result(void **state) {
    static const struct op_step steps[] = {{"write", step_write}, {"look", step_look}, {0}};
    struct test_op op = {0};
    op_start(&op.op, f.loop, "test", steps, on_finish);
    while (op.finished == 0) {
        fixture_turn(&f);
    }
    assert_int_equal(op.finished, USERS_E_NOT_FOUND);
    op = (struct test_op){.job.keep_status = true};
    op_start(&op.op, f.loop, "test", steps, on_finish);
    while (op.finished == 0) {
        fixture_turn(&f);
    }
    assert_int_equal(op.finished, 1);
    assert_int_equal(op.seen, USERS_E_NOT_FOUND);
}

static int insert_large(struct store_tx *tx, struct test_job *job) {
    static char large[256 * 1024];
    memset(large, 'x', sizeof large);
    struct store_stmt *stmt = NULL;
    int r = store_prepare(tx, "INSERT INTO test_notes (name) VALUES ($1 || $2)", &stmt);
    if (r == 0) {
        store_bind_text(stmt, 1, span_of(large, sizeof large));
        store_bind_int(stmt, 2, job->value);
        r = store_run(stmt, NULL);
    }
    return r;
}

static void test_store_write__checkpoints_keep_the_wal_small(void **state) {
    for (int64_t i = 0; i < 200; i++) {
        assert_int_equal(fixture_write(&f, insert_large, &i), 0);
    }
    char wal[160];
    snprintf(wal, sizeof wal, "%s-wal", f.path);
    FILE *file = fopen(wal, "r");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    assert_true(ftell(file) < 17 << 20); /* 50 MiB were written */
    fclose(file);
}

static int limit_pages(struct store_tx *tx, struct test_job *job) {
    struct store_stmt *stmt = NULL;
    static const char *const sql[] = {"PRAGMA max_page_count = 40",
                                      "PRAGMA max_page_count = 100000"};
    int r = store_prepare(tx, sql[job->value], &stmt);
    return r == 0 ? store_run(stmt, NULL) : r;
}

static void test_store_write__a_full_disk_fails_the_group_and_not_the_store(void **state) {
    int64_t limited = 0, unlimited = 1, count = -1;
    assert_int_equal(fixture_write(&f, limit_pages, &limited), 0);
    struct test_job jobs[3];
    test_job_init(&jobs[0], insert_note);
    jobs[0].name = "small";
    test_job_init(&jobs[1], insert_large);
    test_job_init(&jobs[2], insert_note);
    jobs[2].name = "small too";
    write_as_one_group(jobs, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].status, STORE_E_FULL);
    }
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_false(stats.failed);
    assert_int_equal(stats.failed_groups, 1);
    assert_int_equal(fixture_read(&f, count_notes, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(fixture_write(&f, limit_pages, &unlimited), 0);
    assert_int_equal(fixture_write(&f, insert_large, &limited), 0);
}

/* A limit of the file's size makes the kernel refuse a write with EFBIG: not a full disk. */
static void test_store_write__an_io_error_ends_writing_but_not_reading(void **state) {
    struct rlimit before, small = {.rlim_cur = 64 * 1024};
    int64_t zero = 0, count = -1;
    struct test_job job;
    test_job_init(&job, insert_note);
    job.name = "before";
    assert_int_equal(store_write(f.store, &job.job), 0);
    fixture_wait(&f, &job.done);
    assert_int_equal(job.status, 0);

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    int status = fixture_write(&f, insert_large, &zero);
    setrlimit(RLIMIT_FSIZE, &before);

    assert_int_equal(status, STORE_E_UNKNOWN_OUTCOME);
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_true(stats.failed);
    assert_true(stats.last_error[0] != '\0');
    assert_int_equal(store_write(f.store, &job.job), STORE_E_FAILED);
    assert_int_equal(fixture_read(&f, count_notes, &count), 0);
    assert_int_equal(count, 1);
    fixture_close(&f); /* a restart reads what is there and goes on */
    assert_int_equal(fixture_open(&f), 0);
    assert_int_equal(fixture_read(&f, count_notes, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(fixture_write(&f, insert_large, &zero), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_store_write__commits_what_waits_as_one_group),
        TEST(test_store_write__a_failing_body_takes_back_its_own_changes_only),
        TEST(test_store_step__tells_a_unique_violation),
        TEST(test_store_read__sees_every_acknowledged_write),
        TEST(test_store_read__cannot_write),
        TEST(test_store_write__refuses_beyond_its_bound),
        TEST(test_store_prepare__numbers_parameters_as_written),
        TEST(test_store_close__finishes_what_is_queued_and_keeps_it),
        TEST(test_op_wait_store__fails_or_keeps_a_positive_result),
        TEST(test_store_write__checkpoints_keep_the_wal_small),
        TEST(test_store_write__a_full_disk_fails_the_group_and_not_the_store),
        TEST(test_store_write__an_io_error_ends_writing_but_not_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
