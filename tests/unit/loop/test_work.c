#include "support.h"

#include <eventbox/loop/work.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct job {
    struct work work;
    int id;
    int ran;
    int done;
};

static struct loop *loop;
static struct random_seeded seeded;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int done_count, stopped_count, silent_count;
static int batch_sizes[256];
static int batch_count;
static struct worker *completing_worker;

static void run(struct work *work) {
    container_of(work, struct job, work)->ran++;
}

static void run_behind_gate(struct work *work) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    run(work);
}

static void run_silent(struct work *work) {
    __atomic_add_fetch(&silent_count, 1, __ATOMIC_RELAXED);
    free(container_of(work, struct job, work));
}

static void done(struct work *work) {
    container_of(work, struct job, work)->done++;
    done_count++;
}

static void on_stopped(void *userdata) {
    (void)userdata;
    stopped_count++;
}

static void run_batch(void *userdata, struct list *works) {
    (void)userdata;
    int size = 0;
    list_for_each(link, works) {
        run(list_entry(link, struct work, link));
        size++;
    }
    batch_sizes[batch_count++] = size;
}

/* Takes every job off the list and completes it itself. */
static void run_batch_completing(void *userdata, struct list *works) {
    (void)userdata;
    struct list *link;
    while ((link = list_pop_front(works))) {
        struct work *work = list_entry(link, struct work, link);
        run(work);
        worker_complete(completing_worker, work);
    }
}

static int setup(void **state) {
    (void)state;
    done_count = stopped_count = silent_count = batch_count = 0;
    random_seeded_init(&seeded, 3);
    return loop_new(clock_system(), &loop);
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static struct worker *make(struct work_port *port, const struct worker_config *config) {
    struct worker *worker;
    assert_int_equal(worker_new(port, loop, config, &worker), 0);
    return worker;
}

static void test_worker__runs_every_job_and_calls_done_on_the_loop(void **state) {
    (void)state;
    struct worker_config config = {.name = "many", .threads = 4, .queue_max = 1000, .nice = 1};
    struct worker *worker = make(work_port_threads(), &config);
    struct job jobs[500] = {0};
    for (int i = 0; i < 500; i++) {
        jobs[i].work = (struct work){.run = run, .done = done};
        assert_int_equal(worker_submit(worker, &jobs[i].work), 0);
    }
    loop_run(loop); /* ends because no job is left */
    for (int i = 0; i < 500; i++) {
        assert_int_equal(jobs[i].ran, 1);
        assert_int_equal(jobs[i].done, 1);
    }
    struct worker_stats stats;
    worker_stats(worker, &stats);
    assert_int_equal(stats.submitted_count, 500);
    assert_int_equal(stats.completed_count, 500);
    assert_int_equal(stats.queued, 0);
    worker_stop(worker, on_stopped, NULL);
    worker_stop(worker, on_stopped, NULL);
    loop_run(loop);
    assert_int_equal(stopped_count, 1);
}

/* Of the calling thread; 0: this kernel has no such thing. sched_setattr(2). */
static uint64_t slice_ns(void) {
    uint64_t scheduling[6] = {0};
    const unsigned none = 0;
    long r = syscall(SYS_sched_getattr, 0, scheduling, (unsigned)sizeof scheduling, none);
    return r == 0 ? scheduling[3] : 0;
}

struct slice_job {
    struct job job;
    uint64_t slice_ns;
    int niceness;
};

static void look_at_slice(struct work *work) {
    struct slice_job *job = container_of(work, struct slice_job, job.work);
    job->slice_ns = slice_ns();
    job->niceness = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
}

static void test_worker__asks_for_short_turns(void **state) {
    (void)state;
    struct worker_config config = {
        .name = "short", .threads = 1, .queue_max = 1, .nice = 2, .slice_us = 300};
    if (slice_ns() == 0) {
        skip(); /* Linux before 6.12 */
    }
    assert_true(slice_ns() != 300000);
    struct worker *worker = make(work_port_threads(), &config);
    struct slice_job job = {.job.work = {.run = look_at_slice, .done = done}};
    assert_int_equal(worker_submit(worker, &job.job.work), 0);
    loop_run(loop);
    assert_int_equal(job.slice_ns, 300000);
    assert_int_equal(job.niceness, MIN(19, getpriority(PRIO_PROCESS, 0) + 2));
    worker_stop(worker, on_stopped, NULL);
    loop_run(loop);
}

static void test_worker_submit__refuses_beyond_the_bound(void **state) {
    (void)state;
    struct worker_config config = {.name = "bound", .threads = 1, .queue_max = 3};
    struct worker *worker = make(work_port_threads(), &config);
    struct job jobs[10] = {0};
    int accepted = 0, refused = 0;
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 10; i++) {
        jobs[i].work = (struct work){.run = run_behind_gate, .done = done};
        int r = worker_submit(worker, &jobs[i].work);
        assert_true(r == 0 || r == WORK_E_FULL);
        accepted += r == 0;
        refused += r == WORK_E_FULL;
    }
    pthread_mutex_unlock(&gate);
    assert_true(accepted == 3 || accepted == 4); /* one may run already */
    struct worker_stats stats;
    worker_stats(worker, &stats);
    assert_int_equal(stats.refused_count, refused);
    loop_run(loop);
    assert_int_equal(done_count, accepted);
    worker_stop(worker, on_stopped, NULL);
    loop_run(loop);
}

static void test_worker__takes_waiting_jobs_as_one_batch(void **state) {
    (void)state;
    struct worker_config config = {
        .name = "batch", .threads = 1, .queue_max = 100, .batch_max = 8, .run_batch = run_batch};
    struct worker *worker = make(work_port_threads(), &config);
    struct job jobs[33] = {0};
    for (int i = 0; i < 33; i++) {
        jobs[i].work = (struct work){.done = done};
        assert_int_equal(worker_submit(worker, &jobs[i].work), 0);
    }
    loop_run(loop);
    int sum = 0;
    for (int i = 0; i < batch_count; i++) {
        assert_in_range(batch_sizes[i], 1, 8);
        sum += batch_sizes[i];
    }
    assert_int_equal(sum, 33);
    assert_int_equal(done_count, 33);
    worker_stop(worker, on_stopped, NULL);
    loop_run(loop);
}

static void test_worker_complete__of_unlinked_jobs(void **state) {
    (void)state;
    struct worker_config config = {.name = "later",
                                   .threads = 1,
                                   .queue_max = 100,
                                   .batch_max = 8,
                                   .run_batch = run_batch_completing};
    struct worker *worker = completing_worker = make(work_port_threads(), &config);
    struct job jobs[20] = {0};
    for (int i = 0; i < 20; i++) {
        jobs[i].work = (struct work){.done = done};
        assert_int_equal(worker_submit(worker, &jobs[i].work), 0);
    }
    worker_stop(worker, on_stopped, NULL);
    assert_int_equal(worker_submit(worker, &jobs[0].work), WORK_E_STOPPED);
    loop_run(loop);
    assert_int_equal(done_count, 20);
    assert_int_equal(stopped_count, 1);
}

static void test_worker__silent_jobs_may_free_themselves(void **state) {
    (void)state;
    struct worker_config config = {.name = "silent", .threads = 2, .queue_max = 100};
    struct worker *worker = make(work_port_threads(), &config);
    for (int i = 0; i < 50; i++) {
        struct job *job = calloc(1, sizeof *job);
        job->work.run = run_silent;
        assert_int_equal(worker_submit(worker, &job->work), 0);
    }
    worker_stop(worker, on_stopped, NULL);
    loop_run(loop);
    assert_int_equal(silent_count, 50);
    assert_int_equal(stopped_count, 1);
}

static void stop_from_done(struct work *work) {
    done(work);
    worker_stop(completing_worker, on_stopped, NULL);
}

static void test_worker_stop__from_done(void **state) {
    (void)state;
    struct worker_config config = {.name = "self", .threads = 2, .queue_max = 10};
    completing_worker = make(work_port_threads(), &config);
    struct job jobs[3] = {0};
    for (int i = 0; i < 3; i++) {
        jobs[i].work = (struct work){.run = run, .done = stop_from_done};
        assert_int_equal(worker_submit(completing_worker, &jobs[i].work), 0);
    }
    loop_run(loop);
    assert_int_equal(done_count, 3);
    assert_int_equal(stopped_count, 1);
}

static void test_work_sim__runs_in_line_by_seed(void **state) {
    (void)state;
    struct work_port *port = work_port_sim_new(&seeded.random);
    struct worker_config config = {
        .name = "sim", .threads = 1, .queue_max = 40, .batch_max = 8, .run_batch = run_batch};
    struct worker *worker = make(port, &config);
    struct job jobs[41] = {0};
    for (int i = 0; i < 41; i++) {
        jobs[i].work = (struct work){.done = done};
        assert_int_equal(worker_submit(worker, &jobs[i].work), i < 40 ? 0 : WORK_E_FULL);
    }
    worker_stop(worker, on_stopped, NULL);
    while (work_sim_step(port)) {
        loop_step(loop);
    }
    loop_step(loop);
    assert_int_equal(done_count, 40);
    assert_true(batch_count > 5 && batch_count < 40);
    assert_int_equal(stopped_count, 1);
    work_sim_abandon(port);
}

static void test_work_sim_abandon__calls_nothing(void **state) {
    (void)state;
    struct work_port *port = work_port_sim_new(&seeded.random);
    struct worker_config config = {.name = "sim", .threads = 2, .queue_max = 40, .batch_max = 1};
    struct worker *worker = make(port, &config);
    struct job *jobs = calloc(3, sizeof *jobs);
    for (int i = 0; i < 3; i++) {
        jobs[i].work = (struct work){.run = run, .done = done};
        assert_int_equal(worker_submit(worker, &jobs[i].work), 0);
    }
    assert_true(work_sim_step(port)); /* its done() is posted and must not come */
    work_sim_abandon(port);
    free(jobs);
    loop_step(loop);
    assert_int_equal(done_count, 0);
    assert_int_equal(stopped_count, 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_worker__runs_every_job_and_calls_done_on_the_loop),
        T(test_worker__asks_for_short_turns),
        T(test_worker_submit__refuses_beyond_the_bound),
        T(test_worker__takes_waiting_jobs_as_one_batch),
        T(test_worker_complete__of_unlinked_jobs),
        T(test_worker__silent_jobs_may_free_themselves),
        T(test_worker_stop__from_done),
        T(test_work_sim__runs_in_line_by_seed),
        T(test_work_sim_abandon__calls_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
