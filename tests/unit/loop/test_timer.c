#include "support.h"

#include <eventbox/loop/timer.h>

struct probe {
    struct timer timer;
    int id;
    int restarts;
};

static struct clock_manual manual;
static struct loop *loop;
static int fired[64];
static int fired_count;

static void on_fire(struct timer *timer) {
    struct probe *probe = container_of(timer, struct probe, timer);
    fired[fired_count++] = probe->id;
    if (probe->restarts > 0) {
        probe->restarts--;
        timer_start(timer, 0);
    }
}

static int setup(void **state) {
    (void)state;
    clock_manual_init(&manual, 0);
    fired_count = 0;
    return loop_new_simulated(&manual.clock, &loop);
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static void test_timer__fires_in_order_of_time_then_of_start(void **state) {
    (void)state;
    struct probe probes[] = {{.id = 30}, {.id = 10}, {.id = 20}, {.id = 21}, {.id = 22}};
    int64_t delays[] = {30, 10, 20, 20, 20};
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        timer_init(&probes[i].timer, loop, on_fire);
        timer_start_ms(&probes[i].timer, delays[i]);
    }
    assert_int_equal(loop_next_timer_ns(loop), manual.mono_ns + 10 * NS_PER_MS);
    clock_manual_advance(&manual, 9 * NS_PER_MS);
    assert_false(loop_step(loop));
    clock_manual_advance(&manual, 100 * NS_PER_MS);
    assert_true(loop_step(loop));
    int expected[] = {10, 20, 21, 22, 30};
    assert_int_equal(fired_count, 5);
    assert_memory_equal(fired, expected, sizeof expected);
    assert_int_equal(loop_next_timer_ns(loop), -1);
}

static void test_timer_start__with_zero_fires_in_the_next_turn(void **state) {
    (void)state;
    struct probe again = {.id = 1, .restarts = 2}, other = {.id = 2};
    timer_init(&again.timer, loop, on_fire);
    timer_init(&other.timer, loop, on_fire);
    timer_start(&again.timer, 0);
    timer_start(&other.timer, 0);
    loop_step(loop);
    assert_int_equal(fired_count, 2); /* both once, although the clock stands still */
    loop_step(loop);
    assert_int_equal(fired_count, 3);
    loop_step(loop);
    assert_int_equal(fired_count, 4);
    assert_false(loop_step(loop));
}

static void test_timer_start__moves_a_running_timer(void **state) {
    (void)state;
    struct probe a = {.id = 1}, b = {.id = 2};
    timer_init(&a.timer, loop, on_fire);
    timer_init(&b.timer, loop, on_fire);
    timer_start_ms(&a.timer, 10);
    timer_start_ms(&b.timer, 20);
    timer_start_ms(&a.timer, 30);
    clock_manual_advance(&manual, 20 * NS_PER_MS);
    loop_step(loop);
    assert_int_equal(fired_count, 1);
    assert_int_equal(fired[0], 2);
    assert_true(timer_running(&a.timer));
}

static void test_timer_stop__leaves_the_others_in_order(void **state) {
    (void)state;
    struct random_seeded random;
    random_seeded_init(&random, 7);
    for (int round = 0; round < 50; round++) {
        struct probe probes[40];
        fired_count = 0;
        for (int i = 0; i < 40; i++) {
            probes[i] = (struct probe){.id = (int)random_below(&random.random, 1000)};
            timer_init(&probes[i].timer, loop, on_fire);
            timer_start_ms(&probes[i].timer, probes[i].id);
        }
        int stopped = 0;
        for (int i = 0; i < 40; i += 3, stopped++) {
            timer_stop(&probes[i].timer);
            timer_stop(&probes[i].timer);
        }
        clock_manual_advance(&manual, NS_PER_SEC);
        loop_step(loop);
        assert_int_equal(fired_count, 40 - stopped);
        for (int i = 1; i < fired_count; i++) {
            assert_true(fired[i - 1] <= fired[i]);
        }
    }
}

static void test_timer__wakes_a_real_loop(void **state) {
    (void)state;
    struct loop *real;
    struct probe probe = {.id = 5, .restarts = 1};
    assert_int_equal(loop_new(clock_system(), &real), 0);
    timer_init(&probe.timer, real, on_fire);
    timer_start_ms(&probe.timer, 2);
    loop_run(real); /* ends when no timer runs any more */
    assert_int_equal(fired_count, 2);
    loop_free(real);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timer__fires_in_order_of_time_then_of_start, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_timer_start__with_zero_fires_in_the_next_turn, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_timer_start__moves_a_running_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_stop__leaves_the_others_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_timer__wakes_a_real_loop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
