/* Ten thousand partitions on real files: descriptors stay bounded, and everything is readable, also
 * after a restart. */
#include "log_private.h"

#include <dirent.h>
#include <eventbox/loop/op.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { PARTITIONS = 10000, ROUNDS = 2, IN_FLIGHT = 2000, OPEN_FILES = 64, OTHER_FILES = 48 };
enum { READS = 500 }; /* partitions that are read, far apart */

struct item {
    struct append append;
    struct append_part part;
    struct run *run;
    struct list link;
};

struct run {
    struct loop *loop;
    struct disk *disk;
    struct topic_log *log;
    struct topic *topic;
    struct topic_log_request request;
    struct item items[IN_FLIGHT];
    struct list idle;
    unsigned started, finished, reads;
    struct partition_read read;
    int most_files;
    struct timer timer;
};

static int open_files(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count - 3; /* ".", ".." and the folder itself */
}

static void look(struct run *run) {
    run->most_files = MAX(run->most_files, open_files());
}

static void on_event(void *userdata, enum topic_log_event event, const char *text) {
    if (event == TOPIC_LOG_FAILED || event == TOPIC_LOG_DAMAGED) {
        fail_msg("%s", text);
    }
}

static void on_stopped(void *userdata) {
    struct run *run = userdata;
    loop_stop(run->loop);
}

/* ---- reading first batches ---- */

static void read_next(struct run *run);

static void take_read(struct run *run) {
    assert_true(run->read.bytes > 0);
    partition_read_release(&run->read);
    if (++run->reads % 50 == 0) {
        look(run);
    }
}

static void on_read(struct partition_read *read, int status) {
    struct run *run = container_of(read, struct run, read);
    assert_int_equal(status, 0);
    take_read(run);
    read_next(run);
}

static void read_next(struct run *run) {
    while (run->reads < READS) {
        run->read.partition = run->topic->partitions[run->reads * (PARTITIONS / READS)];
        run->read.offset = 0;
        run->read.max_bytes = 100000;
        run->read.min_one_batch = true;
        run->read.done = on_read;
        int r = partition_read(run->log, &run->read);
        if (r == OP_WAIT) {
            return;
        }
        assert_int_equal(r, 0);
        take_read(run);
    }
    topic_log_stop(run->log, on_stopped, run);
}

/* ---- writing in turns ---- */

static void append_more(struct run *run);

static void on_written(struct timer *timer) {
    struct run *run = container_of(timer, struct run, timer);
    look(run);
    if (run->log->unwritten_count > 0) {
        timer_start_ms(timer, 20);
    } else {
        read_next(run);
    }
}

static void on_append(struct append *append, int status) {
    struct item *item = container_of(append, struct item, append);
    struct run *run = item->run;
    assert_int_equal(status, 0);
    buf_unref(item->part.batch.buf);
    list_push_back(&run->idle, &item->link);
    if (++run->finished % 1000 == 0) {
        look(run);
    }
    if (run->finished == PARTITIONS * ROUNDS) {
        timer_start_ms(&run->timer, 20);
    } else {
        append_more(run);
    }
}

static void append_more(struct run *run) {
    while (run->started < PARTITIONS * ROUNDS && !list_empty(&run->idle)) {
        struct item *item = list_entry(list_pop_front(&run->idle), struct item, link);
        struct record_batch_builder builder;
        record_batch_builder_init(&builder);
        record_batch_builder_add(&builder, 1700000000000, SPAN_NULL, SPAN_LITERAL("value"), NULL,
                                 0);
        struct buf *buf = record_batch_builder_finish(&builder, 0);
        *item = (struct item){
            .append = {.class = APPEND_CLIENT,
                       .parts = &item->part,
                       .part_count = 1,
                       .done = on_append},
            .part = {.partition = run->topic->partitions[run->started++ % PARTITIONS],
                     .batch = slice_of(buf, 0, buf->size)},
            .run = run,
        };
        assert_int_equal(topic_log_append(run->log, &item->append), 0);
    }
}

static void on_created(struct topic_log_request *request, int status) {
    struct run *run = container_of(request, struct run, request);
    assert_int_equal(status, 0);
    run->topic = request->topic;
    append_more(run);
}

static void on_started(void *userdata, int status) {
    struct run *run = userdata;
    struct topic_spec spec = {.name = SPAN_LITERAL("t"), .partition_count = PARTITIONS};
    assert_int_equal(status, 0);
    run->topic = topic_log_find(run->log, spec.name);
    if (run->topic) {
        read_next(run);
        return;
    }
    run->request.done = on_created;
    assert_int_equal(topic_log_create(run->log, &spec, &run->request), 0);
}

static void run_once(struct run *run, const char *root) {
    assert_int_equal(loop_new(clock_system(), &run->loop), 0);
    assert_int_equal(disk_system_new(root, &run->disk), 0);
    struct topic_log_config config = {
        .loop = run->loop,
        .work = work_port_threads(),
        .disk = run->disk,
        .clock = clock_system(),
        .random = random_system(),
        .limits = TOPIC_LOG_LIMITS_DEFAULT,
        .on_event = on_event,
        .userdata = run,
    };
    config.limits.open_files_max = OPEN_FILES;
    config.limits.tail_bytes = MIB(1);
    list_init(&run->idle);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        list_push_back(&run->idle, &run->items[i].link);
    }
    assert_int_equal(topic_log_new(&config, &run->log), 0);
    timer_init(&run->timer, run->loop, on_written);
    topic_log_start(run->log, on_started, run);
    loop_run(run->loop);
    timer_stop(&run->timer);
    topic_log_free(run->log);
    loop_free(run->loop);
    disk_free(run->disk);
}

static void test_log_scale__descriptors_stay_bounded_with_10000_partitions(void **state) {
    /* In memory where that is to be had: what is counted does not depend on the disk. */
    char root[40];
    snprintf(root, sizeof root, "%s/test_log_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(root));
    struct run *run = calloc(1, sizeof *run);
    run_once(run, root);
    assert_int_equal(run->finished, PARTITIONS * ROUNDS);
    assert_int_equal(run->reads, READS);
    assert_in_range(run->most_files, 10, OPEN_FILES + OTHER_FILES);
    free(run);
    run = calloc(1, sizeof *run);
    run_once(run, root); /* all of it from the files */
    assert_int_equal(run->reads, READS);
    assert_in_range(run->most_files, 10, OPEN_FILES + OTHER_FILES);
    free(run);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_scale__descriptors_stay_bounded_with_10000_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
