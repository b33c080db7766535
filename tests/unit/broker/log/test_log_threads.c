/* The topic log with real threads, a real loop and real files: the same promises, and what
 * simulation cannot show. */
#include "topic_log.h"

#include <eventbox/base/bytes.h>
#include <eventbox/loop/op.h>
#include <eventbox/loop/timer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { APPENDS = 2000, IN_FLIGHT = 100 };

struct run {
    struct loop *loop;
    struct disk *disk;
    struct topic_log *log;
    struct topic *topic;
    struct topic_log_request request;
    struct item {
        struct append append;
        struct append_part part;
        struct run *run;
        int64_t expected;
    } items[APPENDS];
    unsigned started, finished, first;
    struct partition_read read;
    int64_t read_offset;
    unsigned file_chunks, slices;
    bool reading_only;
};

static void on_event(void *userdata, enum topic_log_event event, const char *text) {
    if (event == TOPIC_LOG_FAILED || event == TOPIC_LOG_DAMAGED) {
        fail_msg("%s", text);
    }
}

static void on_stopped(void *userdata) {
    struct run *run = userdata;
    loop_stop(run->loop);
}

static void read_some(struct run *run);

static void take_read(struct run *run) {
    struct partition_read *read = &run->read;
    assert_true(read->bytes > 0);
    for (unsigned i = 0; i < read->chunk_count; i++) {
        struct read_chunk *chunk = &read->chunks[i];
        size_t at = 0;
        if (chunk->file) {
            run->file_chunks++;
            continue;
        }
        run->slices++;
        while (at < chunk->size) {
            assert_int_equal(get_be64(chunk->slice.data + at), run->read_offset);
            run->read_offset++;
            at += get_be32(chunk->slice.data + at + 8) + 12;
        }
    }
    bool file = read->chunk_count > 0 && read->chunks[0].file;
    partition_read_release(read);
    if (file) {
        run->read_offset = -1; /* its batches are the client's to look at */
    }
}

static void on_read(struct partition_read *read, int status) {
    struct run *run = container_of(read, struct run, read);
    assert_int_equal(status, 0);
    take_read(run);
    read_some(run);
}

static void read_some(struct run *run) {
    while (run->read_offset >= 0 && run->read_offset < run->topic->partitions[0]->high_watermark) {
        run->read.partition = run->topic->partitions[0];
        run->read.offset = run->read_offset;
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

static void append_more(struct run *run);

static void on_append(struct append *append, int status) {
    struct item *item = container_of(append, struct item, append);
    struct run *run = item->run;
    assert_int_equal(status, 0);
    assert_int_equal(item->part.base_offset, item->expected);
    buf_unref(item->part.batch.buf);
    if (++run->finished == APPENDS) {
        run->read_offset = 0;
        read_some(run);
    } else {
        append_more(run);
    }
}

static void append_more(struct run *run) {
    while (run->started < APPENDS && run->started - run->finished < IN_FLIGHT) {
        struct item *item = &run->items[run->started];
        struct record_batch_builder builder;
        char value[300];
        record_batch_builder_init(&builder);
        snprintf(value, sizeof value, "value %u", run->started);
        record_batch_builder_add(&builder, 1700000000000, SPAN_NULL, span_of(value, sizeof value),
                                 NULL, 0);
        struct buf *buf = record_batch_builder_finish(&builder, 0);
        item->run = run;
        item->expected = run->first + run->started++;
        item->part.partition = run->topic->partitions[0];
        item->part.batch = slice_of(buf, 0, buf->size);
        item->append.class = APPEND_CLIENT;
        item->append.parts = &item->part;
        item->append.part_count = 1;
        item->append.done = on_append;
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
    assert_int_equal(status, 0);
    run->topic = topic_log_find(run->log, SPAN_LITERAL("t"));
    if (run->topic) {
        run->read_offset = 0;
        read_some(run);
        return;
    }
    struct topic_spec spec = {.name = SPAN_LITERAL("t"), .partition_count = 1};
    run->request.done = on_created;
    assert_int_equal(topic_log_create(run->log, &spec, &run->request), 0);
}

static void run_once(struct run *run, const char *root, uint64_t tail_bytes) {
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
    config.limits.tail_bytes = tail_bytes;
    assert_int_equal(topic_log_new(&config, &run->log), 0);
    topic_log_start(run->log, on_started, run);
    loop_run(run->loop);
    topic_log_free(run->log);
    loop_free(run->loop);
    disk_free(run->disk);
}

static void test_log_threads__appends_reads_and_restarts(void **state) {
    char root[] = "/tmp/test_log_XXXXXX";
    assert_non_null(mkdtemp(root));
    struct run *run = calloc(1, sizeof *run);
    run_once(run, root, MIB(8));
    assert_int_equal(run->finished, APPENDS);
    assert_int_equal(run->read_offset, APPENDS);
    assert_true(run->slices > 0);
    free(run);
    run = calloc(1, sizeof *run);
    run_once(run, root, MIB(8)); /* the same data, from the files */
    assert_true(run->read_offset == APPENDS || run->file_chunks > 0);
    assert_int_equal(run->started, 0);
    free(run);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_threads__appends_reads_and_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
