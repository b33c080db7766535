/* What every test of store/ begins with: a folder, a loop, a store in it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <eventbox/base/clock.h>
#include <eventbox/base/error.h>
#include <eventbox/base/random.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/timer.h>
#include <eventbox/store/outbox.h>
#include <eventbox/store/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char folder[64];
    char path[128];
    char url[160];
    struct loop *loop;
    struct store *store;
    struct store_migration_set sets[3];
    struct store_config config;
    const char *message;
    bool closed;
};

static const struct store_migration note_migrations[] = {
    {1, "CREATE TABLE test_notes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)"},
    {0},
};

static inline _unused_ int fixture_open(struct fixture *f) {
    return store_open(&f->config, &f->store, &f->message);
}

static inline _unused_ void fixture_init(struct fixture *f) {
    memset(f, 0, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/eventbox-store-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/x.db", f->folder);
    snprintf(f->url, sizeof f->url, "sqlite:///%s", f->path);
    assert_int_equal(loop_new(clock_system(), &f->loop), 0);
    f->sets[0] = *outbox_migrations();
    f->sets[1] = (struct store_migration_set){"test", note_migrations};
    f->config = (struct store_config){
        .loop = f->loop,
        .work = work_port_threads(),
        .random = random_system(),
        .clock = clock_system(),
        .url = f->url,
        .migrations = f->sets,
        .migration_count = 2,
    };
}

/* One turn; unlike loop_run(), it does not wait for timers that are far away. */
static inline _unused_ void fixture_turn(struct fixture *f) {
    if (!loop_step(f->loop)) {
        usleep(100);
    }
}

static inline _unused_ void fixture_on_closed(void *userdata) {
    ((struct fixture *)userdata)->closed = true;
}

static inline _unused_ void fixture_close(struct fixture *f) {
    f->closed = false;
    store_close(f->store, fixture_on_closed, f);
    while (!f->closed) {
        fixture_turn(f);
    }
    f->store = NULL;
}

static inline _unused_ void fixture_deinit(struct fixture *f) {
    char command[128];
    if (f->store) {
        fixture_close(f);
    }
    loop_free(f->loop);
    snprintf(command, sizeof command, "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
}

/* A job whose body is a function of a test. */
struct test_job {
    struct store_job job;
    int (*body)(struct store_tx *tx, struct test_job *job);
    const char *name;
    int64_t value;
    int status;
    bool done;
    struct test_job *next_on_done; /* read right after the acknowledgement */
};

static inline _unused_ int test_job_body(struct store_tx *tx, struct store_job *job) {
    struct test_job *self = container_of(job, struct test_job, job);
    return self->body(tx, self);
}

static inline _unused_ void test_job_done(struct store_job *job, int status) {
    struct test_job *self = container_of(job, struct test_job, job);
    self->status = status;
    self->done = true;
    if (self->next_on_done) {
        assert_int_equal(store_read(job->store, &self->next_on_done->job), 0);
    }
}

static inline _unused_ void test_job_init(struct test_job *self,
                                          int (*body)(struct store_tx *, struct test_job *)) {
    *self = (struct test_job){.body = body, .status = -1};
    self->job.body = test_job_body;
    self->job.done = test_job_done;
}

static inline _unused_ void fixture_wait(struct fixture *f, const bool *flag) {
    while (!*flag) {
        fixture_turn(f);
    }
}

static inline _unused_ int fixture_write(struct fixture *f,
                                         int (*body)(struct store_tx *, struct test_job *),
                                         int64_t *value) {
    struct test_job job;
    test_job_init(&job, body);
    if (value) {
        job.value = *value;
    }
    assert_int_equal(store_write(f->store, &job.job), 0);
    fixture_wait(f, &job.done);
    if (value) {
        *value = job.value;
    }
    return job.status;
}

static inline _unused_ int
fixture_read(struct fixture *f, int (*body)(struct store_tx *, struct test_job *), int64_t *value) {
    struct test_job job;
    test_job_init(&job, body);
    assert_int_equal(store_read(f->store, &job.job), 0);
    fixture_wait(f, &job.done);
    if (value) {
        *value = job.value;
    }
    return job.status;
}

static inline _unused_ int insert_note(struct store_tx *tx, struct test_job *job) {
    struct store_stmt *stmt = NULL;
    int r = store_prepare(tx, "INSERT INTO test_notes (name) VALUES ($1)", &stmt);
    if (r != 0) {
        return r;
    }
    store_bind_text(stmt, 1, span_text(job->name));
    return store_run(stmt, NULL);
}

static inline _unused_ int count_notes(struct store_tx *tx, struct test_job *job) {
    struct store_stmt *stmt = NULL;
    int r = store_prepare(tx, "SELECT count(*) FROM test_notes", &stmt);
    if (r == 0) {
        r = store_step(stmt);
        job->value = r == STORE_ROW ? store_column_int(stmt, 0) : -1;
    }
    return r == STORE_ROW ? 0 : r;
}
