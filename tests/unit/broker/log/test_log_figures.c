/* The figures of the log: each counts what it says, held against what was done. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { VALUE_BYTES = 2000 };

static struct topic_log_stats stats_of(struct fixture *f) {
    struct topic_log_stats stats;
    topic_log_stats(f->log, &stats);
    return stats;
}

static struct batch_spec spec_of(uint64_t tag) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = VALUE_BYTES,
                               .tag = tag,
                               .timestamp_ms = 1700000000000,
                               .producer_id = -1};
}

static size_t bytes_of(const struct batch_spec *spec) {
    struct buf *buf = fixture_batch(spec);
    size_t size = buf->size;
    buf_unref(buf);
    return size;
}

static size_t read_at(struct fixture *f, int64_t offset) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, fixture_partition(f, "t", 0), offset, 1, &data);
    assert_true(size > 0);
    free(data);
    return (size_t)size;
}

struct unit {
    struct append append;
    bool done;
};

static void on_unit(struct append *append, int status) {
    assert_int_equal(status, 0);
    container_of(append, struct unit, append)->done = true;
}

static void test_log_figures__appends_are_batches_and_duplicates_are_none(void **state) {
    struct fixture f;
    fixture_init(&f, 51);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 2, NULL);
    struct topic_log_stats before = stats_of(&f);

    struct batch_spec spec = spec_of(1);
    spec.producer_id = 77;
    assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 0);
    assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 0);
    struct topic_log_stats after = stats_of(&f);
    assert_int_equal(after.appends - before.appends, 1);
    assert_int_equal(after.append_bytes - before.append_bytes, bytes_of(&spec));
    assert_int_equal(after.duplicates - before.duplicates, 1);
    assert_int_equal(after.frames - before.frames, 1); /* a duplicate alone needs none */
    assert_int_equal(after.frame_bytes - before.frame_bytes, frame_bytes(1, bytes_of(&spec)));
    assert_int_equal(after.queued_appends, 0);
    assert_int_equal(after.queued_bytes, 0);

    /* One unit of two batches: two appends, one frame. */
    struct batch_spec specs[2] = {spec_of(2), spec_of(3)};
    struct append_part parts[2];
    for (unsigned i = 0; i < 2; i++) {
        struct buf *buf = fixture_batch(&specs[i]);
        parts[i] = (struct append_part){.partition = topic->partitions[i],
                                        .batch = slice_of(buf, 0, buf->size)};
    }
    struct unit unit = {
        .append = {.class = APPEND_CLIENT, .parts = parts, .part_count = 2, .done = on_unit}};
    before = after;
    assert_int_equal(topic_log_append(f.log, &unit.append), 0);
    assert_int_equal(stats_of(&f).queued_appends, 1);
    assert_int_equal(stats_of(&f).queued_bytes, bytes_of(&specs[0]) + bytes_of(&specs[1]));
    fixture_until(&f, unit.done);
    after = stats_of(&f);
    assert_int_equal(after.appends - before.appends, 2);
    assert_int_equal(after.frames - before.frames, 1);
    for (unsigned i = 0; i < 2; i++) {
        buf_unref(parts[i].batch.buf);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_figures__reads_and_bytes_by_source(void **state) {
    struct fixture f;
    fixture_init(&f, 52);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    struct batch_spec spec = spec_of(1);
    assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 0);
    struct topic_log_stats before = stats_of(&f);
    size_t size = read_at(&f, 0);
    assert_int_equal(size, bytes_of(&spec));
    struct topic_log_stats after = stats_of(&f);
    assert_int_equal(after.reads_memory - before.reads_memory, 1);
    assert_int_equal(after.read_bytes_memory - before.read_bytes_memory, size);
    assert_int_equal(after.read_bytes_disk, before.read_bytes_disk);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0); /* memory has nothing of it now */
    before = stats_of(&f);
    assert_int_equal(read_at(&f, 0), size);
    after = stats_of(&f);
    assert_int_equal(after.reads_disk - before.reads_disk, 1);
    assert_int_equal(after.read_bytes_disk - before.read_bytes_disk, size);
    assert_int_equal(after.read_bytes_memory, before.read_bytes_memory);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_figures__segments_and_journal_are_those_that_are_there(void **state) {
    const struct topic_config_entry configs[] = {{"segment.bytes", "5000"}, {0}};
    struct fixture f;
    fixture_init(&f, 53);
    f.limits.checkpoint_ms = 1000000; /* none before the stop */
    assert_int_equal(fixture_start(&f), 0);
    fixture_run_ms(&f, 3000); /* that of the start is written */
    struct topic *topic = fixture_topic(&f, "t", 1, configs);
    struct topic_log_stats before = stats_of(&f);
    for (uint64_t n = 0; n < 6; n++) { /* one a segment: two would be 8 KiB */
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 2 * n);
    }
    struct topic_log_stats after = stats_of(&f);
    assert_int_equal(after.segments - before.segments, 6);
    assert_int_equal(after.topics, before.topics);
    assert_int_equal(after.journal_bytes_in_use - before.journal_bytes_in_use,
                     after.frame_bytes - before.frame_bytes);
    assert_int_equal(after.frames - before.frames, 6);
    assert_int_equal(fixture_delete_records(&f, topic->partitions[0], 8), 0);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    topic_log_retain(f.log);
    fixture_until(&f, stats_of(&f).segments == before.segments + 2);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_figures__appends_are_batches_and_duplicates_are_none),
        cmocka_unit_test(test_log_figures__reads_and_bytes_by_source),
        cmocka_unit_test(test_log_figures__segments_and_journal_are_those_that_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
