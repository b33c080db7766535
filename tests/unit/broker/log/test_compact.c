/* The rules of compaction, on segments written by hand. Without a word a run sees all keys at once.
 */
#include "compact_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T0 INT64_C(1700000000000)
#define RECORDS(...)                                                                               \
    .records = (const struct test_record[]){__VA_ARGS__},                                          \
    .count = sizeof((const struct test_record[]){__VA_ARGS__}) / sizeof(struct test_record)

static void expect(const struct compact_fixture *f, unsigned i, int64_t offset, const char *key,
                   const char *value) {
    assert_in_range(i, 0, f->seen_count - 1);
    assert_false(f->seen[i].empty);
    assert_int_equal(f->seen[i].offset, offset);
    assert_string_equal(f->seen[i].key, key);
    assert_string_equal(f->seen[i].value, value);
}

/* Two segments; the keys of the second supersede one in the middle of the first's first batch. */
static void write_two(struct compact_fixture *f, uint16_t attributes) {
    const struct test_batch first[] = {
        {.base_offset = 0,
         .attributes = attributes,
         .producer_id = 9,
         .epoch = 2,
         .sequence = 40,
         .append_time_ms = T0 + 77,
         RECORDS({"a", "1", T0}, {"b", "2", T0 + 9}, {"c", "3", T0 + 5})},
        {.base_offset = 3, .attributes = attributes, RECORDS({"b", "4", T0 + 20})},
    };
    const struct test_batch second[] = {
        {.base_offset = 4, .attributes = attributes, RECORDS({"b", "5", T0 + 30})},
        {.base_offset = 5, .attributes = attributes, RECORDS({"d", "6", T0 + 40})},
    };
    compact_fixture_segment(f, 0, 4, first, 2);
    compact_fixture_segment(f, 4, 6, second, 2);
}

static void test_compact__keeps_the_last_record_of_each_key__G61(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    write_two(&f, 0);
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 4);
    expect(&f, 0, 0, "a", "1");
    expect(&f, 1, 2, "c", "3");
    expect(&f, 2, 4, "b", "5");
    expect(&f, 3, 5, "d", "6");
    assert_int_equal(f.result.records_removed, 2);
    assert_int_equal(f.result.records_read, 6);
    assert_int_equal(f.result.cleaned_to, 6);
    assert_int_equal(f.result.keys, 4);
    assert_true(f.result.bytes_after < f.result.bytes_before);
    /* Another run has nothing to do, and the second segment never had. */
    assert_int_equal(f.result.target_count, 1);
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.result.target_count, 0);
    assert_int_equal(f.result.records_removed, 0);
    compact_fixture_deinit(&f);
}

static void test_compact__offsets_and_producer_fields_stay__G61(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    write_two(&f, 0);
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    const struct record_batch *batch = &f.seen[0].batch;
    assert_int_equal(batch->base_offset, 0);
    assert_int_equal(batch->last_offset_delta, 2);
    assert_int_equal(batch->record_count, 2);
    assert_int_equal(batch->leader_epoch, 3);
    assert_int_equal(batch->producer_id, 9);
    assert_int_equal(batch->producer_epoch, 2);
    assert_int_equal(batch->base_sequence, 40);
    assert_int_equal(batch->base_timestamp_ms, T0);
    assert_int_equal(batch->max_timestamp_ms, T0 + 5); /* the largest is gone */
    assert_int_equal(f.seen[0].timestamp_ms, T0);
    assert_int_equal(f.seen[1].timestamp_ms, T0 + 5);
    assert_int_equal(f.seen[1].header_count, 1);
    compact_fixture_deinit(&f);
}

static void test_compact__append_time_stays(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    write_two(&f, RECORD_BATCH_LOG_APPEND_TIME);
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    assert_int_equal(f.seen[0].batch.record_count, 2);
    assert_int_equal(f.seen[0].batch.attributes, RECORD_BATCH_LOG_APPEND_TIME);
    assert_int_equal(f.seen[0].batch.max_timestamp_ms, T0 + 77);
    assert_int_equal(f.seen[1].timestamp_ms, T0 + 77);
    compact_fixture_deinit(&f);
}

static void test_compact__compressed_batches_keep_their_codec(void **state) {
    for (uint16_t codec = 1; codec <= 4; codec++) {
        struct compact_fixture f;
        compact_fixture_init(&f);
        write_two(&f, codec);
        assert_int_equal(compact_fixture_run(&f), 0);
        compact_fixture_read(&f);
        assert_int_equal(f.seen_count, 4);
        expect(&f, 0, 0, "a", "1");
        expect(&f, 1, 2, "c", "3");
        assert_int_equal(f.seen[0].batch.attributes, codec);
        assert_int_equal(f.seen[1].header_count, 1);
        compact_fixture_deinit(&f);
    }
}

static void test_compact__records_without_key_go(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    const struct test_batch batches[] = {
        {.base_offset = 0, RECORDS({NULL, "1", T0}, {"", "2", T0})},
        {.base_offset = 2, RECORDS({"", "3", T0})},
    };
    compact_fixture_segment(&f, 0, 3, batches, 2);
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 1);
    expect(&f, 0, 2, "", "3"); /* an empty key is a key */
    compact_fixture_deinit(&f);
}

/* ---- tombstones: KIP-534 ---- */

static void write_tombstone(struct compact_fixture *f, uint16_t attributes) {
    const struct test_batch batches[] = {
        {.base_offset = 0, .attributes = attributes, RECORDS({"a", "1", T0}, {"b", "2", T0 + 1})},
        {.base_offset = 2,
         .attributes = attributes,
         .append_time_ms = T0 + 50,
         RECORDS({"a", NULL, T0 + 2}, {"c", "3", T0 + 3})},
        {.base_offset = 4, .attributes = attributes, RECORDS({"d", "4", T0 + 4})},
    };
    compact_fixture_segment(f, 0, 5, batches, 3);
}

static void check_horizon(const struct compact_fixture *f, unsigned at, int64_t horizon_ms) {
    expect(f, at, 2, "a", "");
    assert_true(f->seen[at].tombstone);
    assert_true(f->seen[at].batch.attributes & RECORD_BATCH_DELETE_HORIZON);
    assert_int_equal(f->seen[at].batch.base_timestamp_ms, horizon_ms);
    assert_int_equal(f->seen[at].batch.max_timestamp_ms, T0 + 3);
    assert_int_equal(f->seen[at].timestamp_ms, T0 + 2);
    assert_int_equal(f->seen[at + 1].timestamp_ms, T0 + 3);
    assert_int_equal(f->result.tombstones_due_ms, horizon_ms);
}

static void test_compact__tombstones_go_when_their_horizon_has_passed__G61(void **state) {
    for (uint16_t codec = 0; codec <= 4; codec++) {
        struct compact_fixture f;
        compact_fixture_init(&f);
        write_tombstone(&f, codec);
        int64_t horizon_ms = f.plan.now_ms + 1000;
        assert_int_equal(compact_fixture_run(&f), 0);
        compact_fixture_read(&f);
        assert_int_equal(f.seen_count, 4); /* b, the tombstone, c, d */
        check_horizon(&f, 1, horizon_ms);
        /* Runs before that change nothing, whatever delete.retention.ms is by then. */
        f.plan.now_ms = horizon_ms - 1;
        f.plan.delete_retention_ms = 5000;
        assert_int_equal(compact_fixture_run(&f), 0);
        assert_int_equal(f.result.target_count, 0);
        compact_fixture_read(&f);
        check_horizon(&f, 1, horizon_ms);
        f.plan.now_ms = horizon_ms;
        assert_int_equal(compact_fixture_run(&f), 0);
        compact_fixture_read(&f);
        assert_int_equal(f.seen_count, 3);
        expect(&f, 0, 1, "b", "2");
        expect(&f, 1, 3, "c", "3");
        assert_int_equal(f.seen[1].timestamp_ms, T0 + 3);
        assert_int_equal(f.seen[1].batch.base_offset, 2);
        expect(&f, 2, 4, "d", "4");
        assert_int_equal(f.result.tombstones_due_ms, INT64_MAX);
        compact_fixture_deinit(&f);
    }
}

static void test_compact__a_tombstone_with_append_time_keeps_it(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    write_tombstone(&f, RECORD_BATCH_LOG_APPEND_TIME);
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    expect(&f, 1, 2, "a", "");
    assert_true(f.seen[1].batch.attributes & RECORD_BATCH_LOG_APPEND_TIME);
    assert_true(f.seen[1].batch.attributes & RECORD_BATCH_DELETE_HORIZON);
    assert_int_equal(f.seen[1].timestamp_ms, T0 + 50);
    compact_fixture_deinit(&f);
}

/* ---- batches that stay without records ---- */

static void test_compact__last_batch_of_a_live_producer_stays_empty__G61(void **state) {
    for (int live = 0; live < 2; live++) {
        struct compact_fixture f;
        compact_fixture_init(&f);
        const struct compact_producer producers[] = {{5, 100}, {9, 1}, {12, 0}};
        const struct test_batch batches[] = {
            {.base_offset = 0,
             .attributes = 3,
             .producer_id = 9,
             .epoch = 4,
             .sequence = 70,
             RECORDS({"a", "1", T0}, {"b", "2", T0 + 8})},
            {.base_offset = 2, RECORDS({"a", "3", T0}, {"b", "4", T0})},
        };
        compact_fixture_segment(&f, 0, 4, batches, 2);
        f.plan.producers = producers;
        f.plan.producer_count = live ? 3 : 1;
        assert_int_equal(compact_fixture_run(&f), 0);
        compact_fixture_read(&f);
        assert_int_equal(f.seen_count, 2 + live);
        if (live) {
            const struct record_batch *batch = &f.seen[0].batch;
            assert_true(f.seen[0].empty);
            assert_int_equal(batch->base_offset, 0);
            assert_int_equal(batch->last_offset_delta, 1);
            assert_int_equal(batch->producer_id, 9);
            assert_int_equal(batch->producer_epoch, 4);
            assert_int_equal(batch->base_sequence, 70);
            assert_int_equal(batch->attributes, 0);
            assert_int_equal(batch->total_bytes, RECORD_BATCH_HEADER_BYTES);
            assert_int_equal(batch->max_timestamp_ms, T0 + 8);
            /* When the producer is gone, it goes. */
            f.plan.producer_count = 1;
            assert_int_equal(compact_fixture_run(&f), 0);
            compact_fixture_read(&f);
            assert_int_equal(f.seen_count, 2);
        }
        compact_fixture_deinit(&f);
    }
}

static void test_compact__last_batch_of_the_range_stays_empty(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    const struct test_batch batches[] = {
        {.base_offset = 0, RECORDS({"a", "1", T0})},
        {.base_offset = 1, RECORDS({NULL, "2", T0}, {NULL, "3", T0})},
    };
    compact_fixture_segment(&f, 0, 3, batches, 2);
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 2);
    expect(&f, 0, 0, "a", "1");
    assert_true(f.seen[1].empty);
    assert_int_equal(f.seen[1].batch.base_offset + f.seen[1].batch.last_offset_delta, 2);
    compact_fixture_deinit(&f);
}

/* ---- transactions ---- */

#define TXN    RECORD_BATCH_TRANSACTIONAL
#define MARKER (RECORD_BATCH_TRANSACTIONAL | RECORD_BATCH_CONTROL)
/* Key of a marker: version 0, type 0 (abort) or 1 (commit). As text it would end at its zeros, so
 * these are written over a key of four letters. */
static void make_marker(struct compact_fixture *f, int64_t segment, uint64_t position, char type);

static void write_txns(struct compact_fixture *f) {
    const struct test_batch batches[] = {
        {.base_offset = 0, RECORDS({"a", "committed before", T0})},
        {.base_offset = 1, .attributes = TXN, .producer_id = 9, RECORDS({"a", "aborted", T0})},
        {.base_offset = 2, .attributes = MARKER, .producer_id = 9, RECORDS({"mark", "x", T0})},
        {.base_offset = 3, .attributes = TXN, .producer_id = 9, RECORDS({"b", "committed", T0})},
        {.base_offset = 4, .attributes = MARKER, .producer_id = 9, RECORDS({"mark", "x", T0})},
        {.base_offset = 5, RECORDS({"c", "end", T0})},
    };
    uint64_t at[6], position = 0;
    for (unsigned i = 0; i < 6; i++) {
        struct buf *buf = compact_fixture_batch(&batches[i]);
        at[i] = position;
        position += buf->size;
        buf_unref(buf);
    }
    compact_fixture_segment(f, 0, 6, batches, 6);
    make_marker(f, 0, at[2], 0);
    make_marker(f, 0, at[4], 1);
}

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

static void make_marker(struct compact_fixture *f, int64_t segment, uint64_t position, char type) {
    struct segment_id id = {TEST_TOPIC, 0, segment};
    char name[SEGMENT_NAME_SIZE];
    struct disk_file *file;
    uint8_t data[200];
    size_t got;
    segment_name(&id, SEGMENT_LOG, name);
    assert_int_equal(disk_open(f->disk, name, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, data, sizeof data, position, &got), 0);
    size_t size = get_be32(data + 8) + 12;
    for (size_t i = 61; i + 4 < size; i++) {
        if (memcmp(data + i, "mark", 4) == 0) {
            memset(data + i, 0, 4);
            data[i + 3] = (uint8_t)type;
        }
    }
    put_be32(data + 17, crc32c(0, data + 21, size - 21));
    assert_int_equal(disk_pwrite(file, data, size, position), 0);
    disk_close(file);
}

static void test_compact__aborted_batches_lose_their_records_markers_later__G61(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    const struct compact_aborted aborted[] = {{9, 1, 2}};
    write_txns(&f);
    f.plan.aborted = aborted;
    f.plan.aborted_count = 1;
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    /* The aborted value did not supersede the one before; both markers are there as they were. */
    assert_int_equal(f.seen_count, 5);
    expect(&f, 0, 0, "a", "committed before");
    assert_int_equal(f.seen[1].offset, 2);
    assert_false(f.seen[1].batch.attributes & RECORD_BATCH_DELETE_HORIZON);
    expect(&f, 2, 3, "b", "committed");
    assert_int_equal(f.seen[3].offset, 4);
    /* Nothing of the aborted one is left: its marker gets a horizon, and goes after it. */
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 5);
    assert_true(f.seen[1].batch.attributes & RECORD_BATCH_DELETE_HORIZON);
    assert_false(f.seen[3].batch.attributes & RECORD_BATCH_DELETE_HORIZON);
    f.plan.now_ms += 1000;
    assert_int_equal(compact_fixture_run(&f), 0);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 4);
    expect(&f, 0, 0, "a", "committed before");
    expect(&f, 1, 3, "b", "committed");
    assert_int_equal(f.seen[2].offset, 4); /* the commit marker: its batch is there */
    compact_fixture_deinit(&f);
}

static void test_compact__an_abort_that_nobody_knows_of_keeps_batches_and_marker(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    write_txns(&f);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(compact_fixture_run(&f), 0);
        f.plan.now_ms += 5000;
        compact_fixture_read(&f);
        assert_int_equal(f.seen_count, 5);
        expect(&f, 0, 1, "a", "aborted");
        assert_int_equal(f.seen[1].offset, 2);
        assert_int_equal(f.seen[3].offset, 4);
    }
    compact_fixture_deinit(&f);
}

/* ---- ranges, merging ---- */

static void test_compact__goes_as_far_as_the_map_holds(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    f.plan.memory_bytes = 5 * 24; /* four keys */
    const struct test_batch batches[] = {
        {.base_offset = 0, RECORDS({"a", "1", T0}, {"a", "2", T0}, {"b", "3", T0}, {"c", "4", T0})},
        {.base_offset = 4, RECORDS({"d", "5", T0}, {"a", "6", T0}, {"e", "7", T0}, {"b", "8", T0})},
    };
    compact_fixture_segment(&f, 0, 8, batches, 2);
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.result.cleaned_to, 6);
    assert_int_equal(f.result.keys, 4);
    assert_in_range(f.result.key_bytes, 1, 5 * 24);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 6); /* what is behind stays, e and the second b too */
    expect(&f, 0, 2, "b", "3");
    expect(&f, 3, 5, "a", "6");
    expect(&f, 5, 7, "b", "8");
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.result.cleaned_to, 8);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 5);
    expect(&f, 0, 3, "c", "4");
    compact_fixture_deinit(&f);
}

/* A tombstone behind the range has not done its work yet: what it deletes is still there. */
static void test_compact__a_tombstone_behind_the_range_stays_past_its_horizon(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    f.plan.memory_bytes = 1; /* one key */
    const struct test_batch batches[] = {
        {.base_offset = 0, RECORDS({"a", "1", T0}, {"b", "2", T0}, {"c", "3", T0})},
        {.base_offset = 3, RECORDS({"a", NULL, T0}, {NULL, "5", T0})},
    };
    compact_fixture_segment(&f, 0, 5, batches, 2);
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.result.cleaned_to, 1);
    f.plan.now_ms += 5000;
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.result.cleaned_to, 2);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 5);
    expect(&f, 0, 0, "a", "1");
    assert_true(f.seen[3].tombstone);
    while (f.plan.dirty_from < 5) {
        assert_int_equal(compact_fixture_run(&f), 0);
    }
    compact_fixture_read(&f);
    expect(&f, 0, 1, "b", "2");
    compact_fixture_deinit(&f);
}

static void write_small_ones(struct compact_fixture *f, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        const struct test_batch batch = {.base_offset = i * 10, RECORDS({key, "v", T0 + i})};
        compact_fixture_segment(f, i * 10, i * 10 + 10, &batch, 1);
    }
}

static void test_compact__merges_neighbours_up_to_segment_bytes(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    write_small_ones(&f, 7);
    f.plan.segment_bytes = 3 * f.sources[0].bytes + 1;
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.plan.source_count, 3);
    assert_int_equal(f.sources[0].base_offset, 0);
    assert_int_equal(f.sources[1].base_offset, 30);
    assert_int_equal(f.sources[2].base_offset, 60);
    assert_int_equal(f.result.target_count, 2); /* the last one is alone */
    assert_int_equal(f.result.targets[0].max_timestamp_ms, T0 + 2);
    compact_fixture_read(&f);
    assert_int_equal(f.seen_count, 7);
    expect(&f, 6, 60, "k6", "v");
    compact_fixture_deinit(&f);
}

static void test_compact__never_merges_beyond_32_bits_of_offsets(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    int64_t far = INT64_C(1) << 31;
    const struct test_batch near_one = {.base_offset = 0, RECORDS({"a", "1", T0})};
    const struct test_batch far_one = {.base_offset = far, RECORDS({"b", "2", T0})};
    compact_fixture_segment(&f, 0, far, &near_one, 1);
    compact_fixture_segment(&f, far, far + 1, &far_one, 1);
    f.plan.segment_bytes = 1 << 20;
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.plan.source_count, 2);
    compact_fixture_deinit(&f);
}

static void test_compact__indexes_lead_to_every_batch(void **state) {
    struct compact_fixture f;
    compact_fixture_init(&f);
    char value[64];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    struct test_batch *batches = calloc(400, sizeof *batches);
    struct test_record *records = calloc(400, sizeof *records);
    char(*keys)[8] = calloc(400, sizeof *keys);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i % 3 == 0 ? i : i - 1);
        records[i] = (struct test_record){keys[i], value, T0 + i};
        batches[i] = (struct test_batch){.base_offset = i, .count = 1, .records = &records[i]};
    }
    compact_fixture_segment(&f, 0, 200, batches, 200);
    compact_fixture_segment(&f, 200, 400, batches + 200, 200);
    f.plan.segment_bytes = 1 << 20;
    assert_int_equal(compact_fixture_run(&f), 0);
    assert_int_equal(f.plan.source_count, 1);
    compact_fixture_read(&f);
    struct segment_id id = {TEST_TOPIC, 0, 0};
    char name[SEGMENT_NAME_SIZE];
    struct disk_file *file;
    segment_name(&id, SEGMENT_LOG, name);
    assert_int_equal(disk_open(f.disk, name, DISK_READ, &file), 0);
    uint64_t farthest = 0;
    for (unsigned i = 0; i < f.seen_count; i++) {
        struct segment_target by_offset = {.offset = f.seen[i].offset};
        struct segment_target by_time = {.offset = -1, .timestamp_ms = f.seen[i].timestamp_ms};
        struct segment_cursor cursor;
        bool wrong;
        assert_int_equal(
            segment_seek(f.disk, file, &id, &by_offset, f.sources[0].bytes, &cursor, &wrong), 0);
        assert_false(wrong);
        assert_true(cursor.offset <= f.seen[i].offset);
        farthest = cursor.position;
        assert_int_equal(
            segment_seek(f.disk, file, &id, &by_time, f.sources[0].bytes, &cursor, &wrong), 0);
        assert_false(wrong);
        assert_true(cursor.offset <= f.seen[i].offset);
    }
    assert_true(farthest > f.sources[0].bytes - 5000);
    disk_close(file);
    free(batches);
    free(records);
    free(keys);
    compact_fixture_deinit(&f);
}

/* ---- when it cannot ---- */

static void test_compact__damage_ends_the_run_and_is_told(void **state) {
    for (unsigned which = 0; which < 2; which++) {
        struct compact_fixture f;
        char name[SEGMENT_NAME_SIZE];
        compact_fixture_init(&f);
        write_two(&f, 0);
        struct segment_id id = {TEST_TOPIC, 0, f.sources[which].base_offset};
        segment_name(&id, SEGMENT_LOG, name);
        assert_int_equal(disk_sim_corrupt(f.disk, name, f.sources[which].bytes - 3, 1, 5), 0);
        assert_int_equal(compact_fixture_run(&f), BROKER_E_CORRUPT);
        assert_int_equal(f.result.damaged_source, which);
        assert_int_equal(f.result.damaged_offset, which == 0 ? 3 : 5);
        assert_int_equal(compact_fixture_files(&f), 0);
        /* The segments before it can be compacted all the same. */
        f.plan.source_count = which;
        if (which > 0) {
            assert_int_equal(compact_fixture_run(&f), 0);
            assert_int_equal(f.result.records_removed, 1);
        }
        compact_fixture_deinit(&f);
    }
}

static bool pace_until(void *userdata, uint64_t bytes) {
    return (*(int *)userdata)-- > 0;
}

static void test_compact__stops_when_told_and_leaves_nothing(void **state) {
    bool finished = false;
    for (int allowed = 0; !finished; allowed++) {
        struct compact_fixture f;
        int left = allowed;
        compact_fixture_init(&f);
        write_two(&f, 0);
        f.plan.pace = pace_until;
        f.plan.userdata = &left;
        int r = compact_fixture_run(&f);
        finished = r == 0;
        assert_true(finished || r == -ECANCELED);
        assert_int_equal(compact_fixture_files(&f), 0);
        compact_fixture_deinit(&f);
        assert_in_range(allowed, 0, 50);
    }
}

/* Each call fails in turn; the sources are never touched and nothing is left behind. */
static void fail_each(int error, int error_too) {
    bool finished = false;
    for (uint64_t call = 1; !finished; call++) {
        struct compact_fixture f;
        compact_fixture_init(&f);
        write_two(&f, 0);
        disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + call, error);
        uint64_t before = disk_sim_calls(f.disk);
        int r = compact_run(&f.plan, &f.result);
        finished = disk_sim_calls(f.disk) < before + call;
        if (finished) {
            assert_int_equal(r, 0);
        } else {
            assert_true(r == error || r == error_too);
            assert_int_equal(compact_fixture_files(&f), 0);
        }
        disk_sim_fail_at(f.disk, 0, 0);
        compact_fixture_read(&f);
        assert_int_equal(f.seen_count, 6);
        compact_fixture_deinit(&f);
    }
}

static void test_compact__failure_of_any_call_changes_nothing(void **state) {
    fail_each(-EIO, -EIO);
}

static void test_compact__full_disk_at_any_call_changes_nothing(void **state) {
    fail_each(DISK_E_FULL, DISK_E_FULL);
}

/* ---- against a plain model ---- */

enum { MODEL_KEYS = 12, MODEL_OFFSETS = 300 };

struct model_record {
    char key[8], value[16];
    bool tombstone, exists;
    int64_t timestamp_ms;
};

static void write_random(struct compact_fixture *f, struct model_record *model,
                         struct random *random) {
    int64_t offset = 0;
    while (offset + 40 < MODEL_OFFSETS) {
        struct test_batch batches[8];
        struct test_record records[40];
        int64_t base = offset;
        unsigned used = 0;
        unsigned count = 1 + (unsigned)random_below(random, 8);
        for (unsigned b = 0; b < count; b++) {
            unsigned n = 1 + (unsigned)random_below(random, 5);
            batches[b] = (struct test_batch){.base_offset = offset,
                                             .count = n,
                                             .records = &records[used],
                                             .attributes = (uint16_t)random_below(random, 5)};
            for (unsigned i = 0; i < n; i++, offset++) {
                struct model_record *record = &model[offset];
                record->exists = true;
                record->tombstone = random_below(random, 5) == 0;
                record->timestamp_ms = T0 + (int64_t)random_below(random, 1000);
                snprintf(record->key, sizeof record->key, "k%u",
                         (unsigned)random_below(random, MODEL_KEYS));
                snprintf(record->value, sizeof record->value, "%d", (int)offset);
                records[used++] = (struct test_record){
                    record->key, record->tombstone ? NULL : record->value, record->timestamp_ms};
            }
        }
        offset += (int64_t)random_below(random, 2) * 3; /* a gap */
        compact_fixture_segment(f, base, offset, batches, count);
    }
}

/* What is there was written, in order; below @cleaned_to only the last of each key, all of them;
 * tombstones may be gone when they may. */
static void check_model(const struct compact_fixture *f, const struct model_record *model,
                        bool tombstones_may_go) {
    bool there[MODEL_OFFSETS] = {0};
    int64_t before = -1;
    for (unsigned i = 0; i < f->seen_count; i++) {
        const struct seen_record *seen = &f->seen[i];
        if (seen->empty) {
            continue;
        }
        const struct model_record *record = &model[seen->offset];
        assert_true(seen->offset > before && record->exists);
        before = seen->offset;
        assert_string_equal(seen->key, record->key);
        assert_string_equal(seen->value, record->tombstone ? "" : record->value);
        assert_int_equal(seen->timestamp_ms, record->timestamp_ms);
        there[seen->offset] = true;
    }
    for (int64_t offset = 0; offset < MODEL_OFFSETS; offset++) {
        bool superseded = false;
        if (!model[offset].exists) {
            continue;
        }
        for (int64_t later = offset + 1; later < f->plan.dirty_from; later++) {
            superseded |= model[later].exists && strcmp(model[later].key, model[offset].key) == 0;
        }
        if (superseded) {
            assert_false(there[offset]);
        } else if (!model[offset].tombstone || !tombstones_may_go) {
            assert_true(there[offset]);
        }
    }
}

static void test_compact__random_logs_agree_with_a_model(void **state) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct compact_fixture f;
        struct random_seeded random;
        struct model_record *model = calloc(MODEL_OFFSETS, sizeof *model);
        compact_fixture_init(&f);
        random_seeded_init(&random, seed);
        write_random(&f, model, &random.random);
        f.plan.memory_bytes = 24 * (4 + random_below(&random.random, 20));
        f.plan.segment_bytes = 200 << random_below(&random.random, 6);
        uint32_t all = f.plan.source_count;
        for (unsigned runs = 0; runs < 300 && f.plan.dirty_from < f.sources[all - 1].end_offset;
             runs++) {
            f.plan.run++;
            assert_int_equal(compact_fixture_run(&f), 0);
            all = f.plan.source_count;
            compact_fixture_read(&f);
            check_model(&f, model, false);
        }
        assert_int_equal(f.plan.dirty_from, f.sources[all - 1].end_offset);
        f.plan.now_ms += 1000;
        assert_int_equal(compact_fixture_run(&f), 0);
        compact_fixture_read(&f);
        check_model(&f, model, true);
        for (unsigned i = 0; i < f.seen_count; i++) {
            assert_false(f.seen[i].tombstone);
        }
        free(model);
        compact_fixture_deinit(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact__keeps_the_last_record_of_each_key__G61),
        cmocka_unit_test(test_compact__offsets_and_producer_fields_stay__G61),
        cmocka_unit_test(test_compact__append_time_stays),
        cmocka_unit_test(test_compact__compressed_batches_keep_their_codec),
        cmocka_unit_test(test_compact__records_without_key_go),
        cmocka_unit_test(test_compact__tombstones_go_when_their_horizon_has_passed__G61),
        cmocka_unit_test(test_compact__a_tombstone_with_append_time_keeps_it),
        cmocka_unit_test(test_compact__last_batch_of_a_live_producer_stays_empty__G61),
        cmocka_unit_test(test_compact__last_batch_of_the_range_stays_empty),
        cmocka_unit_test(test_compact__aborted_batches_lose_their_records_markers_later__G61),
        cmocka_unit_test(test_compact__an_abort_that_nobody_knows_of_keeps_batches_and_marker),
        cmocka_unit_test(test_compact__goes_as_far_as_the_map_holds),
        cmocka_unit_test(test_compact__a_tombstone_behind_the_range_stays_past_its_horizon),
        cmocka_unit_test(test_compact__merges_neighbours_up_to_segment_bytes),
        cmocka_unit_test(test_compact__never_merges_beyond_32_bits_of_offsets),
        cmocka_unit_test(test_compact__indexes_lead_to_every_batch),
        cmocka_unit_test(test_compact__damage_ends_the_run_and_is_told),
        cmocka_unit_test(test_compact__stops_when_told_and_leaves_nothing),
        cmocka_unit_test(test_compact__failure_of_any_call_changes_nothing),
        cmocka_unit_test(test_compact__full_disk_at_any_call_changes_nothing),
        cmocka_unit_test(test_compact__random_logs_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
