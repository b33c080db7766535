#include "support.h"

#include "console.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

/* A console on a pipe, in a loop of its own. */
struct fixture {
    struct loop *loop;
    struct console *console;
    struct log log;
    struct logger logger;
    int reader, writer;
    bool flushed, stopped;
};

static void make_fixture(struct fixture *fixture, size_t buffer_bytes) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    *fixture = (struct fixture){.reader = fds[0], .writer = fds[1]};
    fcntl(fixture->writer, F_SETPIPE_SZ, 4096);
    assert_int_equal(loop_new(clock_system(), &fixture->loop), 0);
    struct console_config config = {.loop = fixture->loop,
                                    .work = work_port_threads(),
                                    .clock = clock_system(),
                                    .fd = fixture->writer,
                                    .format = CONSOLE_AUTO,
                                    .buffer_bytes = buffer_bytes};
    assert_int_equal(console_new(&config, &fixture->console), 0);
    log_init(&fixture->log, clock_system(), LOG_LEVEL_INFO);
    log_add_sink(&fixture->log, console_sink(fixture->console));
    fixture->logger = (struct logger){.log = &fixture->log, .service = "test"};
}

static void on_stopped(void *userdata) {
    struct fixture *fixture = userdata;
    fixture->stopped = true;
    loop_stop(fixture->loop);
}

static void on_flushed(void *userdata) {
    struct fixture *fixture = userdata;
    fixture->flushed = true;
    loop_stop(fixture->loop);
}

static void close_fixture(struct fixture *fixture) {
    console_stop(fixture->console, on_stopped, fixture);
    loop_run(fixture->loop);
    assert_true(fixture->stopped);
    loop_free(fixture->loop);
    close(fixture->reader);
    close(fixture->writer);
}

static void test_console__writes_json_lines_where_there_is_no_terminal(void **state) {
    (void)state;
    struct fixture fixture;
    char text[2048];
    make_fixture(&fixture, 16384);
    log_emit(&fixture.logger, LOG_HOST_STARTED, NULL, LOG_INT("n", 1));
    log_emit(&fixture.logger, LOG_HOST_STARTED, NULL, LOG_INT("n", 2));
    log_flush(&fixture.log, 10000, on_flushed, &fixture);
    loop_run(fixture.loop);
    assert_true(fixture.flushed);
    ssize_t size = read(fixture.reader, text, sizeof text - 1);
    text[MAX(size, 0)] = '\0';
    assert_contains(text, "\"details\":{\"n\":1}");
    assert_contains(text, "\"details\":{\"n\":2}");
    close_fixture(&fixture);
}

/* Reads the pipe while the loop turns, until the line about dropped ones has come. */
static void read_until_drops_are_told(struct fixture *fixture, char *text, size_t size) {
    size_t used = 0;
    fcntl(fixture->reader, F_SETFL, O_NONBLOCK);
    while (!memmem(text, used, "log_dropped", 11) && used < size - 1) {
        struct pollfd poll_fd = {.fd = fixture->reader, .events = POLLIN};
        loop_step(fixture->loop);
        if (poll(&poll_fd, 1, 1) > 0) {
            ssize_t count = read(fixture->reader, text + used, size - 1 - used);
            used += count > 0 ? (size_t)count : 0;
        }
    }
    text[used] = '\0';
}

static void test_console__stalled_reader_costs_lines_and_never_time(void **state) {
    (void)state;
    struct fixture fixture;
    struct console_stats stats;
    static char text[65536];
    make_fixture(&fixture, 8192);
    /* The pipe holds 4 KiB, a buffer 8 KiB each: of 300 lines most find no room. */
    for (int i = 0; i < 300; i++) {
        log_emit(&fixture.logger, LOG_HOST_STARTED, NULL, LOG_INT("n", i));
    }
    log_flush(&fixture.log, 1, on_flushed, &fixture); /* gives up at its deadline */
    loop_run(fixture.loop);
    assert_true(fixture.flushed);
    console_stats(fixture.console, &stats);
    assert_true(stats.dropped_lines > 200);
    assert_true(stats.lines >= 300 - stats.dropped_lines);
    read_until_drops_are_told(&fixture, text, sizeof text);
    assert_contains(text, "{\"sink\":\"console\",\"count\":");
    close_fixture(&fixture);
}

static void test_console_stop__ends_though_nobody_reads(void **state) {
    (void)state;
    struct fixture fixture;
    make_fixture(&fixture, 16384);
    for (int i = 0; i < 100; i++) {
        log_emit(&fixture.logger, LOG_HOST_STARTED, NULL, LOG_INT("n", i));
    }
    close_fixture(&fixture);
}

static void test_console__closed_reader_is_no_failure(void **state) {
    (void)state;
    struct fixture fixture;
    signal(SIGPIPE, SIG_IGN);
    make_fixture(&fixture, 16384);
    close(fixture.reader);
    log_emit(&fixture.logger, LOG_HOST_STARTED, NULL);
    log_flush(&fixture.log, 10000, on_flushed, &fixture);
    loop_run(fixture.loop);
    assert_true(fixture.flushed);
    fixture.reader = open("/dev/null", O_RDONLY);
    close_fixture(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_console__writes_json_lines_where_there_is_no_terminal),
        cmocka_unit_test(test_console__stalled_reader_costs_lines_and_never_time),
        cmocka_unit_test(test_console_stop__ends_though_nobody_reads),
        cmocka_unit_test(test_console__closed_reader_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
