/*
 * What one log line costs the loop: ten fields into the console sink, JSON, in ns. Batches are
 * timed and the median printed; the thread that writes them to /dev/null has its time between
 * batches.
 */
#include "console.h"

#include <eventbox/loop/loop.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 200, BATCHES = 2001 };

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static int compare(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void emit(struct logger *logger, int64_t i) {
    log_emit(logger, LOG_USERS_CREATED, NULL, LOG_INT("user_id", i),
             LOG_TEXT("username", "first.last"), LOG_TEXT("email", "first.last@example.com"),
             LOG_TEXT("role", "user"), LOG_INT("duration_us", 12345), LOG_INT("status", 201),
             LOG_TEXT("peer", "127.0.0.1:54321"), LOG_TEXT("method", "POST"),
             LOG_TEXT("path", "/users/"), LOG_BOOL("again", false));
}

static void on_flushed(void *userdata) {
    loop_stop(userdata);
}

int main(void) {
    static int64_t took[BATCHES];
    struct loop *loop;
    struct console *console;
    struct log log;
    struct logger logger = {.log = &log, .service = "user-service"};
    if (loop_new(clock_system(), &loop)) {
        return 1;
    }
    struct console_config config = {.loop = loop,
                                    .work = work_port_threads(),
                                    .clock = clock_system(),
                                    .fd = open("/dev/null", O_WRONLY),
                                    .format = CONSOLE_JSON,
                                    .buffer_bytes = 1 << 20};
    if (console_new(&config, &console)) {
        return 1;
    }
    log_init(&log, clock_system(), LOG_LEVEL_INFO);
    log_add_sink(&log, console_sink(console));
    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t begin = now_ns();
        for (int i = 0; i < BATCH; i++) {
            emit(&logger, i);
        }
        took[batch] = now_ns() - begin;
        log_flush(&log, 1000, on_flushed, loop);
        loop_run(loop);
    }
    qsort(took, BATCHES, sizeof took[0], compare);
    printf("a log call with 10 fields into the console: %.0f ns (fastest %.0f)\n",
           (double)took[BATCHES / 2] / BATCH, (double)took[0] / BATCH);
    return 0;
}
