#include "support.h"

#include <errno.h>
#include <eventbox/loop/op.h>

struct probe {
    struct op op;
    int finished_count;
    int status;
    int hook_count;
    int ran[8];
    int ran_count;
    int first_result;
    int work_result;
    struct worker *worker;
};

static struct clock_manual manual;
static struct random_seeded seeded;
static struct loop *loop;
static struct work_port *work;

static struct probe *probe_of(struct op *op) {
    return container_of(op, struct probe, op);
}

static void on_finish(struct op *op, int status) {
    probe_of(op)->finished_count++;
    probe_of(op)->status = status;
}

static void hook_count_only(struct op *op) {
    probe_of(op)->hook_count++;
}

static void hook_resume(struct op *op) {
    probe_of(op)->hook_count++;
    op_resume(op, 0);
}

static void note(struct op *op, int id) {
    probe_of(op)->ran[probe_of(op)->ran_count++] = id;
}

static int step_first(struct op *op) {
    note(op, 1);
    return probe_of(op)->first_result;
}

static int step_last(struct op *op) {
    note(op, 9);
    return OP_NEXT;
}

static int step_wait(struct op *op) {
    note(op, 2);
    return op_wait(op, hook_count_only);
}

static int step_wait_resuming_hook(struct op *op) {
    note(op, 3);
    return op_wait(op, hook_resume);
}

static int step_resume_before_return(struct op *op) {
    note(op, 4);
    op_resume(op, 0);
    assert_int_equal(probe_of(op)->finished_count, 0);
    assert_int_equal(probe_of(op)->ran_count, 1); /* the driver waits for the return */
    return op_wait(op, hook_count_only);
}

static int step_fail_before_return(struct op *op) {
    op_resume(op, -EIO);
    return op_wait(op, NULL);
}

static int step_cancel_itself(struct op *op) {
    note(op, 5);
    op_cancel(op, OP_E_CANCELED);
    return op_wait(op, hook_resume);
}

static int run_on_worker(struct op *op) {
    return probe_of(op)->work_result;
}

static int step_work(struct op *op) {
    return op_wait_work(op, probe_of(op)->worker, run_on_worker);
}

static int step_sleep(struct op *op) {
    return op_wait_ms(op, 50);
}

static const struct op_step steps_sync[] = {{"first", step_first}, {"last", step_last}, {0}};
static const struct op_step steps_wait[] = {{"wait", step_wait}, {"last", step_last}, {0}};
static const struct op_step steps_hook[] = {
    {"wait", step_wait_resuming_hook}, {"last", step_last}, {0}};
static const struct op_step steps_early[] = {
    {"early", step_resume_before_return}, {"last", step_last}, {0}};
static const struct op_step steps_early_fail[] = {
    {"early", step_fail_before_return}, {"last", step_last}, {0}};
static const struct op_step steps_cancel[] = {
    {"cancel", step_cancel_itself}, {"last", step_last}, {0}};
static const struct op_step steps_work[] = {{"work", step_work}, {"last", step_last}, {0}};
static const struct op_step steps_sleep[] = {{"sleep", step_sleep}, {"last", step_last}, {0}};
static const struct op_step steps_none[] = {{0}};

static int setup(void **state) {
    (void)state;
    clock_manual_init(&manual, 0);
    random_seeded_init(&seeded, 1);
    work = work_port_sim_new(&seeded.random);
    return loop_new_simulated(&manual.clock, &loop);
}

static int teardown(void **state) {
    (void)state;
    work_sim_abandon(work);
    loop_free(loop);
    return 0;
}

static void start(struct probe *probe, const struct op_step *steps) {
    op_start(&probe->op, loop, "test", steps, on_finish);
}

static void test_op__runs_steps_in_order_and_finishes_once(void **state) {
    (void)state;
    struct probe probe = {.first_result = OP_NEXT};
    start(&probe, steps_sync);
    assert_int_equal(probe.finished_count, 1);
    assert_int_equal(probe.status, 0);
    assert_int_equal(probe.ran_count, 2);
    assert_int_equal(probe.ran[1], 9);

    struct probe empty = {0};
    start(&empty, steps_none);
    assert_int_equal(empty.finished_count, 1);
}

static void test_op__done_skips_the_rest(void **state) {
    (void)state;
    struct probe probe = {.first_result = OP_DONE};
    start(&probe, steps_sync);
    assert_int_equal(probe.finished_count, 1);
    assert_int_equal(probe.status, 0);
    assert_int_equal(probe.ran_count, 1);
}

static void test_op__ends_with_the_error_of_a_step(void **state) {
    (void)state;
    int errors[] = {-EIO, WORK_E_FULL};
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        struct probe probe = {.first_result = errors[i]};
        start(&probe, steps_sync);
        assert_int_equal(probe.finished_count, 1);
        assert_int_equal(probe.status, errors[i]);
        assert_int_equal(probe.ran_count, 1);
    }
}

static void test_op_resume__goes_on_or_fails(void **state) {
    (void)state;
    struct probe good = {0}, bad = {0};
    start(&good, steps_wait);
    assert_int_equal(good.finished_count, 0);
    op_resume(&good.op, 0);
    assert_int_equal(good.finished_count, 1);
    assert_int_equal(good.status, 0);
    assert_int_equal(good.ran_count, 2);

    start(&bad, steps_wait);
    op_resume(&bad.op, TOPIC_E_FULL);
    assert_int_equal(bad.finished_count, 1);
    assert_int_equal(bad.status, TOPIC_E_FULL);
    assert_int_equal(bad.ran_count, 1);
}

static void test_op_resume__before_the_step_returns(void **state) {
    (void)state;
    struct probe probe = {0}, fails = {0};
    start(&probe, steps_early);
    assert_int_equal(probe.finished_count, 1);
    assert_int_equal(probe.status, 0);
    assert_int_equal(probe.ran_count, 2);
    start(&fails, steps_early_fail);
    assert_int_equal(fails.finished_count, 1);
    assert_int_equal(fails.status, -EIO);
}

static void test_op_cancel__waits_for_the_wait(void **state) {
    (void)state;
    struct probe probe = {0};
    start(&probe, steps_wait);
    op_cancel(&probe.op, OP_E_CANCELED);
    op_cancel(&probe.op, OP_E_DEADLINE);
    assert_int_equal(probe.hook_count, 1);
    assert_int_equal(probe.finished_count, 0); /* its memory is still in use elsewhere */
    op_resume(&probe.op, 0);
    assert_int_equal(probe.finished_count, 1);
    assert_int_equal(probe.status, OP_E_CANCELED);
    assert_int_equal(probe.ran_count, 1);
}

static void test_op_cancel__hook_may_complete_the_wait(void **state) {
    (void)state;
    struct probe probe = {0};
    start(&probe, steps_hook);
    op_cancel(&probe.op, OP_E_DEADLINE);
    assert_int_equal(probe.hook_count, 1);
    assert_int_equal(probe.finished_count, 1);
    assert_int_equal(probe.status, OP_E_DEADLINE);
}

static void test_op_cancel__inside_a_step_runs_the_hook_after_it(void **state) {
    (void)state;
    struct probe probe = {0};
    start(&probe, steps_cancel);
    assert_int_equal(probe.hook_count, 1);
    assert_int_equal(probe.finished_count, 1);
    assert_int_equal(probe.status, OP_E_CANCELED);
    assert_int_equal(probe.ran_count, 1);
}

static void test_op_wait_work__resumes_with_the_result(void **state) {
    (void)state;
    struct worker *worker;
    struct worker_config config = {.name = "w", .threads = 1, .queue_max = 1};
    assert_int_equal(worker_new(work, loop, &config, &worker), 0);
    int results[] = {0, -EIO, DISK_E_FULL};
    for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
        struct probe probe = {.worker = worker, .work_result = results[i]}, refused = probe;
        start(&probe, steps_work);
        start(&refused, steps_work);
        assert_int_equal(refused.finished_count, 1);
        assert_int_equal(refused.status, WORK_E_FULL);
        assert_int_equal(probe.finished_count, 0);
        assert_true(work_sim_step(work));
        assert_int_equal(probe.finished_count, 0); /* done() runs on the loop */
        assert_true(loop_step(loop));
        assert_int_equal(probe.finished_count, 1);
        assert_int_equal(probe.status, results[i]);
    }
}

static void test_op_wait_work__cancel_waits_for_the_job(void **state) {
    (void)state;
    struct worker *worker;
    struct worker_config config = {.name = "w", .threads = 1, .queue_max = 1};
    assert_int_equal(worker_new(work, loop, &config, &worker), 0);
    struct probe probe = {.worker = worker};
    start(&probe, steps_work);
    op_cancel(&probe.op, OP_E_CANCELED);
    assert_int_equal(probe.finished_count, 0);
    work_sim_step(work);
    loop_step(loop);
    assert_int_equal(probe.status, OP_E_CANCELED);
}

static void test_op_wait_ms__ends_by_time_or_cancel(void **state) {
    (void)state;
    struct probe slept = {0}, canceled = {0};
    start(&slept, steps_sleep);
    start(&canceled, steps_sleep);
    op_cancel(&canceled.op, OP_E_CANCELED);
    assert_int_equal(canceled.status, OP_E_CANCELED);
    assert_false(timer_running(&canceled.op.timer));
    clock_manual_advance(&manual, 50 * NS_PER_MS);
    loop_step(loop);
    assert_int_equal(slept.finished_count, 1);
    assert_int_equal(slept.status, 0);
}

static char observed[128];

static void observe(const struct op *op, const char *step, int64_t duration_ns, int result) {
    size_t used = strlen(observed);
    snprintf(observed + used, sizeof observed - used, "%s.%s %d %d;", op->name, step,
             (int)(duration_ns / NS_PER_MS), result);
}

static void test_op_set_observer__hears_of_each_step_once(void **state) {
    (void)state;
    struct probe slept = {0};
    observed[0] = '\0';
    op_set_observer(observe);
    start(&slept, steps_sleep);
    clock_manual_advance(&manual, 60 * NS_PER_MS);
    loop_step(loop);
    op_set_observer(NULL);
    assert_string_equal(observed, "test.sleep 60 0;test.last 0 0;");
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_op__runs_steps_in_order_and_finishes_once),
        T(test_op__done_skips_the_rest),
        T(test_op__ends_with_the_error_of_a_step),
        T(test_op_resume__goes_on_or_fails),
        T(test_op_resume__before_the_step_returns),
        T(test_op_cancel__waits_for_the_wait),
        T(test_op_cancel__hook_may_complete_the_wait),
        T(test_op_cancel__inside_a_step_runs_the_hook_after_it),
        T(test_op_wait_work__resumes_with_the_result),
        T(test_op_wait_work__cancel_waits_for_the_job),
        T(test_op_wait_ms__ends_by_time_or_cancel),
        T(test_op_set_observer__hears_of_each_step_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
