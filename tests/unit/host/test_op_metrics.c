#include "support.h"

#include "op_metrics.h"

#include <errno.h>
#include <eventbox/loop/op.h>

static struct clock_manual manual;
static struct loop *loop;

static int setup(void **state) {
    (void)state;
    clock_manual_init(&manual, 0);
    return loop_new_simulated(&manual.clock, &loop);
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static int step_sleep(struct op *op) {
    return op_wait_ms(op, 50);
}

static int step_fail(struct op *op) {
    (void)op;
    return -EIO;
}

static void on_finish(struct op *op, int status) {
    (void)op;
    (void)status;
}

static void run(const char *name, const struct op_step *steps) {
    struct op op = {0};
    op_start(&op, loop, name, steps, on_finish);
    clock_manual_advance(&manual, 60 * NS_PER_MS);
    loop_step(loop);
}

static void print(const struct metric_registry *registry, struct text *ret_text) {
    text_init(ret_text);
    metric_registry_print(registry, ret_text);
    text_append_char(ret_text, '\0');
}

static size_t count(const char *text, const char *part) {
    size_t found = 0;
    for (; (text = strstr(text, part)) != NULL; text++) {
        found++;
    }
    return found;
}

static void test_op_metrics__has_a_histogram_for_each_step(void **state) {
    (void)state;
    static const struct op_step steps[] = {{"sleep", step_sleep}, {"fail", step_fail}, {0}};
    char same_name[] = "box.open";
    struct metric_registry registry;
    struct op_metrics *metrics;
    struct text text;
    metric_registry_init(&registry);
    assert_int_equal(op_metrics_new(&registry, &metrics), 0);
    print(&registry, &text);
    assert_int_equal(count(text.data, "eventbox_op_step"), 0);
    text_deinit(&text);
    run("box.open", steps);
    run(same_name, steps); /* other bytes, the same text: one row */
    print(&registry, &text);
    assert_contains(text.data, "_count{op=\"box.open\",step=\"sleep\"} 2\n");
    assert_contains(text.data, "_sum{op=\"box.open\",step=\"sleep\"} 0.120000000\n");
    assert_contains(text.data, "_count{op=\"box.open\",step=\"fail\"} 2\n");
    assert_int_equal(count(text.data, "eventbox_op_step_seconds_count"), 2);
    text_deinit(&text);
    op_metrics_free(metrics);
}

static void test_op_metrics__is_bounded(void **state) {
    (void)state;
    static char names[OP_METRICS_MAX * 2][16];
    static const struct op_step steps[] = {{"only", step_fail}, {0}};
    struct metric_registry registry;
    struct op_metrics *metrics;
    struct text text;
    metric_registry_init(&registry);
    assert_int_equal(op_metrics_new(&registry, &metrics), 0);
    for (int times = 0; times < 2; times++) {
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
            snprintf(names[i], sizeof names[i], "op%zu", i);
            run(names[i], steps);
        }
    }
    print(&registry, &text);
    assert_int_equal(count(text.data, "eventbox_op_step_seconds_count"), OP_METRICS_MAX + 1);
    assert_contains(text.data, "_count{op=\"op0\",step=\"only\"} 2\n");
    char other[96];
    snprintf(other, sizeof other, "_count{op=\"other\",step=\"other\"} %d\n", OP_METRICS_MAX * 2);
    assert_contains(text.data, other);
    text_deinit(&text);
    op_metrics_free(metrics);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_op_metrics__has_a_histogram_for_each_step),
        T(test_op_metrics__is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
