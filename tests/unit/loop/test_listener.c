#include "support.h"

#include <eventbox/loop/listener.h>
#include <eventbox/loop/watch.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct listener *listener;
static int accepted[256];
static int accepted_count;
static int accept_result;
static bool close_on_accept;

static int on_accept(void *userdata, int fd) {
    (void)userdata;
    accepted[accepted_count++] = fd;
    if (close_on_accept) {
        listener_close(listener);
    }
    return accept_result;
}

static int setup(void **state) {
    (void)state;
    accepted_count = accept_result = 0;
    close_on_accept = false;
    listener = NULL;
    return loop_new(clock_system(), &loop);
}

static int teardown(void **state) {
    (void)state;
    if (!close_on_accept) {
        listener_close(listener);
    }
    for (int i = 0; accept_result == 0 && i < accepted_count; i++) {
        close(accepted[i]);
    }
    loop_run(loop);
    loop_free(loop);
    return 0;
}

static int connect_to(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void open_on(const char *host, uint16_t port) {
    struct listener_config config = {.host = host, .port = port};
    assert_int_equal(listener_open(loop, &config, on_accept, NULL, &listener), 0);
}

static void test_listener__accepts_non_blocking_sockets(void **state) {
    (void)state;
    int clients[100];
    open_on("localhost", 0);
    assert_true(listener_port(listener) != 0);
    for (int i = 0; i < 100; i++) {
        clients[i] = connect_to(listener_port(listener));
    }
    RUN_UNTIL(accepted_count == 100);
    assert_true(fcntl(accepted[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(accepted[0], F_GETFD) & FD_CLOEXEC);
    for (int i = 0; i < 100; i++) {
        close(clients[i]);
    }
}

static void test_listener__closes_what_is_refused(void **state) {
    (void)state;
    char byte;
    accept_result = HTTP_E_UNAVAILABLE;
    open_on("127.0.0.1", 0);
    int client = connect_to(listener_port(listener));
    RUN_UNTIL(accepted_count == 1);
    assert_int_equal(read(client, &byte, 1), 0);
    close(client);
}

static void test_listener_open__tells_why_not(void **state) {
    (void)state;
    struct listener *second = NULL;
    open_on("127.0.0.1", 0);
    struct listener_config busy = {.host = "127.0.0.1", .port = listener_port(listener)};
    assert_int_equal(listener_open(loop, &busy, on_accept, NULL, &second), -EADDRINUSE);
    struct listener_config foreign = {.host = "192.0.2.1"};
    assert_int_equal(listener_open(loop, &foreign, on_accept, NULL, &second), -EADDRNOTAVAIL);
    assert_null(second);
}

static void test_listener_close__from_accept(void **state) {
    (void)state;
    close_on_accept = true;
    open_on("127.0.0.1", 0);
    int a = connect_to(listener_port(listener)), b = connect_to(listener_port(listener));
    RUN_UNTIL(accepted_count == 1);
    loop_step(loop);
    assert_int_equal(accepted_count, 1);
    close(a);
    close(b);
}

/* With no descriptor left a new connection is closed, and the loop does not spin. */
static void test_listener__turns_away_without_descriptors(void **state) {
    (void)state;
    struct rlimit before, tight;
    char byte;
    open_on("127.0.0.1", 0);
    int client = connect_to(listener_port(listener));
    int next = dup(client);
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &tight);
    RUN_UNTIL(recv(client, &byte, 1, MSG_DONTWAIT) == 0);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(accepted_count, 0);
    close(client);
    client = connect_to(listener_port(listener)); /* and goes on afterwards */
    RUN_UNTIL(accepted_count == 1);
    close(client);
}

static void test_listener_is_loopback__of_hosts(void **state) {
    (void)state;
    const char *loopback[] = {"localhost", "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"};
    const char *other[] = {"0.0.0.0", "::", "192.168.1.1", "example.org", "", "fe80::1"};
    for (size_t i = 0; i < ARRAY_SIZE(loopback); i++) {
        assert_true(listener_is_loopback(loopback[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
        assert_false(listener_is_loopback(other[i]));
    }
}

static int watch_events_seen, watch_calls;

static void on_ready(void *userdata, int fd, int events) {
    (void)userdata;
    (void)fd;
    watch_events_seen |= events;
    watch_calls++;
}

static void test_watch__reports_readiness_until_stopped(void **state) {
    (void)state;
    int fds[2];
    struct watch *watch;
    watch_events_seen = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(watch_start(loop, fds[0], WATCH_READ, on_ready, NULL, &watch), 0);
    loop_step(loop);
    assert_int_equal(watch_events_seen, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    RUN_UNTIL(watch_events_seen == WATCH_READ);
    assert_int_equal(watch_change(watch, WATCH_WRITE), 0);
    watch_events_seen = 0;
    RUN_UNTIL(watch_events_seen == WATCH_WRITE);
    assert_int_equal(watch_change(watch, 0), 0);
    watch_calls = 0;
    loop_step(loop);
    loop_step(loop);
    assert_int_equal(watch_calls, 0);
    watch_stop(watch);
    watch_stop(NULL);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_listener__accepts_non_blocking_sockets),
        T(test_listener__closes_what_is_refused),
        T(test_listener_open__tells_why_not),
        T(test_listener_close__from_accept),
        T(test_listener__turns_away_without_descriptors),
        T(test_listener_is_loopback__of_hosts),
        T(test_watch__reports_readiness_until_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
