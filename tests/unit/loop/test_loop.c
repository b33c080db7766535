#include "support.h"

#include <eventbox/loop/timer.h>
#include <eventbox/loop/topic.h>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct probe {
    struct loop_task task;
    int id;
    int again; /* posts or defers itself so many times more */
    bool defers;
};

static struct loop *loop;
static struct clock_manual manual;
static int ran[256];
static int ran_count;

static void on_run(struct loop_task *task) {
    struct probe *probe = container_of(task, struct probe, task);
    ran[ran_count++] = probe->id;
    if (probe->again > 0) {
        probe->again--;
        if (probe->defers) {
            loop_defer(loop, task);
        } else {
            loop_post(loop, task);
        }
    }
}

static int setup(void **state) {
    (void)state;
    ran_count = 0;
    return loop_new(clock_system(), &loop);
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static void test_loop_post__runs_once_in_order_although_posted_twice(void **state) {
    (void)state;
    struct probe a = {.task.run = on_run, .id = 1}, b = {.task.run = on_run, .id = 2};
    loop_post(loop, &a.task);
    loop_post(loop, &b.task);
    loop_post(loop, &a.task);
    loop_run(loop); /* returns: nothing is left to wait for */
    assert_int_equal(ran_count, 2);
    assert_int_equal(ran[0], 1);
    assert_int_equal(ran[1], 2);
}

static void test_loop_post__from_the_task_itself(void **state) {
    (void)state;
    struct probe a = {.task.run = on_run, .id = 1, .again = 100};
    struct probe b = {.task.run = on_run, .id = 2, .again = 100, .defers = true};
    loop_post(loop, &a.task);
    loop_defer(loop, &b.task);
    loop_run(loop);
    assert_int_equal(ran_count, 202);
}

static void test_loop_defer__may_be_taken_back(void **state) {
    (void)state;
    struct probe a = {.task.run = on_run, .id = 1}, b = {.task.run = on_run, .id = 2};
    loop_defer(loop, &a.task);
    loop_defer(loop, &b.task);
    list_remove(&a.task.link);
    assert_true(loop_step(loop));
    assert_false(loop_step(loop));
    assert_int_equal(ran_count, 1);
    assert_int_equal(ran[0], 2);
}

static struct probe from_thread[100];

static void stop_last(struct loop_task *task) {
    on_run(task);
    if (ran_count == 100) {
        loop_stop(loop);
    }
}

static void *post_all(void *userdata) {
    (void)userdata;
    for (int i = 0; i < 100; i++) {
        from_thread[i] = (struct probe){.task.run = stop_last, .id = i};
        loop_post(loop, &from_thread[i].task);
        if (i % 10 == 0) {
            usleep(100);
        }
    }
    return NULL;
}

static void on_never(struct timer *timer) {
    (void)timer;
    fail();
}

static void test_loop_post__from_another_thread_wakes_the_loop(void **state) {
    (void)state;
    pthread_t thread;
    struct timer far; /* something to wait for */
    timer_init(&far, loop, on_never);
    timer_start_ms(&far, 100000);
    assert_int_equal(pthread_create(&thread, NULL, post_all, NULL), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
    timer_stop(&far);
    assert_int_equal(ran_count, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ran[i], i);
    }
}

static void stop_now(struct loop_task *task) {
    on_run(task);
    loop_stop(loop);
}

static void test_loop_stop__before_anything_began(void **state) {
    (void)state;
    struct probe stop = {.task.run = stop_now};
    struct timer far;
    timer_init(&far, loop, on_never);
    timer_start_ms(&far, 100000);
    loop_post(loop, &stop.task);
    loop_run(loop);
    assert_int_equal(ran_count, 1);
    timer_stop(&far);
    /* loop_free() still closes everything */
}

static int signals;

static void on_signal(void *userdata, int signum) {
    (void)userdata;
    signals += signum;
    loop_stop(loop);
}

static void test_loop_signal__arrives_as_an_event(void **state) {
    (void)state;
    struct loop_signal *handle;
    struct timer far;
    signals = 0;
    timer_init(&far, loop, on_never);
    timer_start_ms(&far, 100000);
    assert_int_equal(loop_signal_start(loop, SIGUSR1, on_signal, NULL, &handle), 0);
    raise(SIGUSR1);
    loop_run(loop);
    assert_int_equal(signals, SIGUSR1);
    loop_signal_stop(handle);
    loop_signal_stop(NULL);
    timer_stop(&far);
}

static void test_loop_new__ignores_sigpipe(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    close(fds[1]);
}

static void test_loop_now_ns__stands_still_within_a_turn(void **state) {
    (void)state;
    struct loop *simulated;
    clock_manual_init(&manual, 0);
    assert_int_equal(loop_new_simulated(&manual.clock, &simulated), 0);
    int64_t before = loop_now_ns(simulated);
    clock_manual_advance(&manual, NS_PER_SEC);
    assert_true(loop_now_ns(simulated) == before);
    loop_step(simulated);
    assert_true(loop_now_ns(simulated) == before + NS_PER_SEC);
    loop_free(simulated);
}

static void test_loop_free__of_a_simulation_runs_nothing(void **state) {
    (void)state;
    struct loop *simulated;
    struct probe task = {.task.run = on_run};
    struct timer timer;
    assert_int_equal(loop_new_simulated(&manual.clock, &simulated), 0);
    loop_post(simulated, &task.task);
    timer_init(&timer, simulated, on_never);
    timer_start(&timer, 0);
    loop_free(simulated);
    assert_int_equal(ran_count, 0);
}

/* ---- the topic port's wrappers ---- */

static char called[128];

static int port_append(struct topic_port *port, struct topic_append *append) {
    (void)port;
    (void)append;
    strcat(called, "append ");
    return TOPIC_E_FULL;
}

static int port_subscribe(struct topic_port *port, const struct topic_subscription_config *config,
                          struct topic_subscription **ret_subscription) {
    static struct topic_subscription subscription;
    (void)config;
    subscription.port = port;
    *ret_subscription = &subscription;
    strcat(called, "subscribe ");
    return 0;
}

static void port_next(struct topic_subscription *subscription, int64_t offset) {
    (void)subscription;
    strcat(called, offset == 42 ? "next " : "? ");
}

static void port_unsubscribe(struct topic_subscription *subscription) {
    (void)subscription;
    strcat(called, "unsubscribe ");
}

static void test_topic__wrappers_find_the_port(void **state) {
    (void)state;
    static const struct topic_port_ops ops = {.append = port_append,
                                              .subscribe = port_subscribe,
                                              .next = port_next,
                                              .unsubscribe = port_unsubscribe};
    struct topic_port port = {&ops};
    struct topic_append append = {0};
    struct topic_subscription_config config = {0};
    struct topic_subscription *subscription;
    called[0] = '\0';
    assert_int_equal(topic_append(&port, &append), TOPIC_E_FULL);
    assert_int_equal(topic_subscribe(&port, &config, &subscription), 0);
    topic_subscription_next(subscription, 42);
    topic_unsubscribe(subscription);
    topic_unsubscribe(NULL);
    assert_string_equal(called, "append subscribe next unsubscribe ");
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_loop_post__runs_once_in_order_although_posted_twice),
        T(test_loop_post__from_the_task_itself),
        T(test_loop_defer__may_be_taken_back),
        T(test_loop_post__from_another_thread_wakes_the_loop),
        T(test_loop_stop__before_anything_began),
        T(test_loop_signal__arrives_as_an_event),
        T(test_loop_new__ignores_sigpipe),
        T(test_loop_now_ns__stands_still_within_a_turn),
        T(test_loop_free__of_a_simulation_runs_nothing),
        T(test_topic__wrappers_find_the_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
