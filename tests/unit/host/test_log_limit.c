#include "support.h"

#include <eventbox/host/log_limit.h>

struct bench {
    struct log_limit limit;
    unsigned tells;
    uint64_t untold;
};

static void tell(struct log_limit *limit, uint64_t untold, int64_t seconds) {
    struct bench *bench = container_of(limit, struct bench, limit);
    assert_int_equal(seconds, LOG_LIMIT_WINDOW_S);
    bench->tells++;
    bench->untold += untold;
}

static unsigned take(struct bench *bench, unsigned count) {
    unsigned taken = 0;
    for (unsigned i = 0; i < count; i++) {
        taken += log_limit_take(&bench->limit);
    }
    return taken;
}

static void test_log_limit__counts_what_a_window_has_no_line_for(void **state) {
    (void)state;
    struct clock_manual clock;
    struct loop *loop;
    struct bench bench = {0};
    clock_manual_init(&clock, 0);
    assert_int_equal(loop_new_simulated(&clock.clock, &loop), 0);
    log_limit_init(&bench.limit, loop, tell);
    assert_int_equal(take(&bench, LOG_LIMIT_LINES + 7), LOG_LIMIT_LINES);
    assert_int_equal(bench.tells, 0);
    clock_manual_advance(&clock, (LOG_LIMIT_WINDOW_S + 1) * NS_PER_SEC);
    assert_true(loop_step(loop));
    assert_int_equal(bench.tells, 1);
    assert_int_equal(bench.untold, 7);
    /* A window that told all of its lines needs none that sums up, nor does the next. */
    assert_int_equal(take(&bench, 3), 3);
    clock_manual_advance(&clock, (LOG_LIMIT_WINDOW_S + 1) * NS_PER_SEC);
    assert_true(loop_step(loop));
    assert_int_equal(bench.tells, 1);
    assert_int_equal(take(&bench, LOG_LIMIT_LINES + 1), LOG_LIMIT_LINES);
    log_limit_stop(&bench.limit);
    assert_int_equal(bench.untold, 8);
    log_limit_stop(&bench.limit);
    assert_int_equal(bench.tells, 2);
    loop_free(loop);
}

static void test_log_limit_stop__is_harmless_on_zeros(void **state) {
    (void)state;
    struct log_limit limit = {0};
    log_limit_stop(&limit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_limit__counts_what_a_window_has_no_line_for),
        cmocka_unit_test(test_log_limit_stop__is_harmless_on_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
