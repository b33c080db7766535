/* Entries of indexes that wait in memory: when they are written, and what is found again. */
#include "log_fixture.h"
#include "record_batch.h"
#include "segment/segment.h"

#include <eventbox/base/bytes.h>
#include <eventbox/loop/disk_sim.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { VALUE_BYTES = 2100, SMALL_BYTES = 20, PEAK_MS = 2000 };

struct writing {
    struct disk *disk;
    struct segment_writer *writer;
    struct segment_id id;
    uint64_t position;
    int64_t offset, peak_offset; /* the batch there has a later time than all others */
    size_t value_bytes;
    bool replay; /* as a start does */
};

static void begin(struct writing *w) {
    *w = (struct writing){.id = {7, 3, 0}, .peak_offset = -1, .value_bytes = VALUE_BYTES};
    assert_int_equal(disk_sim_new(1, &w->disk), 0);
    assert_int_equal(disk_mkdir(w->disk, "topics"), 0);
    assert_int_equal(segment_writer_new(w->disk, 2, &w->writer), 0);
}

static void end(struct writing *w) {
    segment_writer_free(w->writer);
    disk_free(w->disk);
}

/* A kill: what the writer knows is gone. */
static void forget_all(struct writing *w) {
    segment_writer_free(w->writer);
    assert_int_equal(segment_writer_new(w->disk, 2, &w->writer), 0);
}

static int try_write_at(struct writing *w, uint64_t position) {
    int64_t timestamp_ms = w->offset == w->peak_offset ? PEAK_MS : 1000 + w->offset;
    struct batch_spec spec = {.records = 2,
                              .value_bytes = w->value_bytes,
                              .timestamp_ms = timestamp_ms,
                              .producer_id = -1};
    struct buf *batch = fixture_batch(&spec);
    record_batch_assign(batch->data, w->offset, 0);
    struct segment_piece piece = {span_of(batch->data, batch->size), position, w->offset,
                                  timestamp_ms + 1};
    struct segment_file *file;
    int r = w->replay ? segment_writer_replay(w->writer, &w->id, true, &piece, 1, &file)
                      : segment_writer_write(w->writer, &w->id, &piece, 1, &file);
    if (r == 0) {
        segment_file_unref(file);
        w->position = position + batch->size;
        w->offset += 2;
    }
    buf_unref(batch);
    return r;
}

static void write_batch_at(struct writing *w, uint64_t position) {
    assert_int_equal(try_write_at(w, position), 0);
}

static void write_batches(struct writing *w, unsigned count) {
    while (count-- > 0) {
        write_batch_at(w, w->position);
    }
}

/* A start behind a kill: @count batches are in the segment. */
static void begin_replay(struct writing *w, unsigned count) {
    begin(w);
    write_batches(w, count);
    forget_all(w);
    w->replay = true;
}

/* Entries in the two index files, which must agree; the offset of the last one. */
static unsigned entries(struct writing *w, int64_t base_offset, uint32_t *ret_last) {
    uint64_t sizes[2] = {0};
    struct segment_id id = {w->id.topic, w->id.partition, base_offset};
    for (unsigned i = 0; i < 2; i++) {
        _cleanup_(disk_closep) struct disk_file *file = NULL;
        char name[SEGMENT_NAME_SIZE];
        uint8_t bytes[8];
        size_t got;
        segment_name(&id, i ? SEGMENT_TIMEINDEX : SEGMENT_INDEX, name);
        int r = disk_open(w->disk, name, DISK_READ, &file);
        if (r == DISK_E_NOT_FOUND) {
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(disk_size(file, &sizes[i]), 0);
        if (i == 0 && sizes[i] > INDEX_HEADER_BYTES && ret_last) {
            assert_int_equal(disk_pread(file, bytes, 8, sizes[i] - INDEX_ENTRY_BYTES, &got), 0);
            *ret_last = get_le32(bytes);
        }
    }
    unsigned count = sizes[0] ? (unsigned)((sizes[0] - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES) : 0;
    assert_int_equal(count, sizes[1] ? (sizes[1] - INDEX_HEADER_BYTES) / TIME_ENTRY_BYTES : 0);
    return count;
}

static void test_active_index__entries_wait_until_there_are_many(void **state) {
    struct writing w;
    uint32_t last = 0;
    begin(&w);
    write_batches(&w, 65); /* each is longer than the step: 64 entries */
    assert_int_equal(entries(&w, 0, NULL), 0);
    write_batches(&w, 1);
    assert_int_equal(entries(&w, 0, &last), 65);
    assert_int_equal(last, 130);
    write_batches(&w, 3);
    assert_int_equal(entries(&w, 0, NULL), 65);
    assert_int_equal(segment_writer_flush_index(w.writer, &w.id), 0);
    assert_int_equal(entries(&w, 0, &last), 68);
    assert_int_equal(last, 136);
    end(&w);
}

/* Where the entries of all partitions would take too much memory, sixteen of each wait. */
static void test_active_index__entries_of_many_partitions_take_bounded_memory(void **state) {
    struct writing w;
    begin(&w);
    for (int32_t partition = 0; partition < 2049; partition++) { /* 64 of 2,048 are the room */
        w.id.partition = partition;
        w.position = 0;
        w.offset = 0;
        write_batches(&w, 40);
        assert_int_equal(entries(&w, 0, NULL), partition < 2047 ? 0 : 34);
    }
    end(&w);
}

static void test_active_index__a_roll_and_a_gap_write_at_once(void **state) {
    struct writing w;
    uint32_t last = 0;
    begin(&w);
    write_batches(&w, 4);
    w.id.base_offset = w.offset;
    write_batch_at(&w, 0);
    assert_int_equal(entries(&w, 0, &last), 3);
    assert_int_equal(last, 6);
    write_batch_at(&w, w.position + 100); /* where a lost frame had something */
    assert_int_equal(entries(&w, w.id.base_offset, &last), 1);
    assert_int_equal(last, 2);
    end(&w);
}

static void test_active_index__a_kill_loses_none_for_good(void **state) {
    struct writing w;
    uint32_t last = 0;
    begin(&w);
    write_batches(&w, 100);
    unsigned on_disk = entries(&w, 0, NULL);
    assert_in_range(on_disk, 1, 98);
    forget_all(&w);
    write_batches(&w, 1);
    assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
    assert_int_equal(entries(&w, 0, &last), 100);
    assert_int_equal(last, 200);
    end(&w);
}

/* A start walks through thousands of partitions: not with two reads for each small batch. */
static void test_active_index__a_walk_reads_many_small_batches_at_once(void **state) {
    enum { BATCHES = 300, READS_MAX = 12 };
    struct writing w;
    begin(&w);
    w.value_bytes = SMALL_BYTES;
    write_batches(&w, BATCHES);
    assert_in_range(w.position, 5 * INDEX_STEP_BYTES, 16 * INDEX_STEP_BYTES);
    assert_int_equal(entries(&w, 0, NULL), 0);
    forget_all(&w);
    uint64_t calls = disk_sim_calls(w.disk);
    write_batches(&w, 1);
    assert_in_range(disk_sim_calls(w.disk) - calls, 1, READS_MAX);
    assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
    assert_true(entries(&w, 0, NULL) >= 5);
    end(&w);
}

/* A start has thousands of segments to write to: it opens no index and reads none. */
static void test_active_index__a_replay_leaves_entries_for_later(void **state) {
    struct writing w;
    uint32_t last = 0;
    begin_replay(&w, 100);
    unsigned on_disk = entries(&w, 0, NULL);
    uint64_t calls = disk_sim_calls(w.disk);
    write_batches(&w, 5);
    assert_int_equal(disk_sim_calls(w.disk) - calls, 1 + 5); /* one open */
    assert_int_equal(entries(&w, 0, NULL), on_disk);
    w.replay = false;
    write_batches(&w, 1);
    assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
    assert_int_equal(entries(&w, 0, &last), 105);
    assert_int_equal(last, 210);
    end(&w);
}

/* Where nobody writes to the partitions, some at a time, and the rest at a clean stop. */
static void test_active_index__what_a_replay_left_is_caught_up_with(void **state) {
    enum { LEFT = 5, AT_ONCE = 2 };
    struct segment_id failed;
    struct writing w;
    bool more;
    begin(&w);
    for (w.id.partition = 0; w.id.partition < LEFT; w.id.partition++) {
        w.position = 0;
        w.offset = 0;
        write_batches(&w, 10);
    }
    forget_all(&w);
    w.replay = true;
    uint64_t position = w.position;
    for (w.id.partition = 0; w.id.partition < LEFT; w.id.partition++) {
        w.position = position;
        w.offset = 20;
        write_batches(&w, 1);
    }
    for (unsigned round = 0; round <= LEFT / AT_ONCE; round++) {
        assert_int_equal(segment_writer_catch_up(w.writer, AT_ONCE, &more, &failed), 0);
        assert_int_equal(more, round < LEFT / AT_ONCE);
    }
    uint64_t calls = disk_sim_calls(w.disk);
    assert_int_equal(segment_writer_catch_up(w.writer, AT_ONCE, &more, &failed), 0);
    assert_int_equal(disk_sim_calls(w.disk), calls);
    assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
    for (w.id.partition = 0; w.id.partition < LEFT; w.id.partition++) {
        assert_int_equal(entries(&w, 0, NULL), 10);
    }
    end(&w);
}

/* What readers have to walk through is bounded: beyond 64 KiB the replay learns the index. */
static void test_active_index__a_replay_beyond_64_kib_makes_entries(void **state) {
    enum { MUCH = 40 };
    struct writing w;
    uint32_t last = 0;
    begin_replay(&w, 100);
    write_batches(&w, MUCH);
    assert_true(w.position / (100 + MUCH) * MUCH > KIB(64));
    assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
    assert_int_equal(entries(&w, 0, &last), 100 + MUCH - 1);
    assert_int_equal(last, 2 * (100 + MUCH - 1));
    end(&w);
}

static void test_active_index__a_roll_in_a_replay_makes_those_before_it(void **state) {
    struct writing w;
    uint32_t last = 0;
    begin_replay(&w, 100);
    write_batches(&w, 5);
    w.id.base_offset = w.offset;
    write_batch_at(&w, 0);
    assert_int_equal(entries(&w, 0, &last), 104);
    assert_int_equal(last, 208);
    end(&w);
}

/* The roll is tried again when there is room, and the segment before it is complete all the same.
 */
static void test_active_index__a_roll_behind_a_replay_may_be_refused(void **state) {
    bool ended = false;
    for (uint64_t call = 1; !ended; call++) {
        struct writing w;
        begin_replay(&w, 60);
        write_batches(&w, 5);
        int64_t base = w.id.base_offset = w.offset;
        disk_sim_fail_at(w.disk, disk_sim_calls(w.disk) + call, DISK_E_FULL);
        int r = try_write_at(&w, 0);
        ended = disk_sim_failed_call(w.disk)[0] == '\0';
        disk_sim_fail_at(w.disk, 0, 0);
        r = r ? try_write_at(&w, 0) : 0;
        assert_int_equal(r, 0);
        assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
        assert_int_equal(w.id.base_offset, base);
        if (strncmp(disk_sim_failed_call(w.disk), "pread ", 6) != 0) { /* else that is rot to it */
            assert_int_equal(entries(&w, 0, NULL), 64);
        }
        end(&w);
    }
}

/* Two files may be open; what is known of the indexes must outlive them. */
static void test_active_index__outlives_the_descriptor(void **state) {
    struct writing w;
    begin(&w);
    for (int32_t partition = 0; partition < 8; partition++) {
        w.id.partition = partition;
        w.position = 0;
        w.offset = 0;
        write_batches(&w, 2);
    }
    w.id.partition = 3; /* neither among the first nor the last: not open */
    uint64_t calls = disk_sim_calls(w.disk);
    write_batches(&w, 1);
    assert_int_equal(disk_sim_calls(w.disk) - calls, 2); /* open and write */
    assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
    assert_int_equal(entries(&w, 0, NULL), 2);
    end(&w);
}

static int64_t time_of_entry(struct writing *w, unsigned n) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint8_t bytes[8];
    size_t got;
    segment_name(&w->id, SEGMENT_TIMEINDEX, name);
    assert_int_equal(disk_open(w->disk, name, DISK_READ, &file), 0);
    assert_int_equal(disk_pread(file, bytes, 8, INDEX_HEADER_BYTES + n * TIME_ENTRY_BYTES, &got),
                     0);
    assert_int_equal(got, 8);
    return (int64_t)get_le64(bytes);
}

static void set_time_of_entry(struct writing *w, unsigned n, int64_t time_ms) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint8_t bytes[8];
    segment_name(&w->id, SEGMENT_TIMEINDEX, name);
    put_le64(bytes, (uint64_t)time_ms);
    assert_int_equal(disk_open(w->disk, name, DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, bytes, 8, INDEX_HEADER_BYTES + n * TIME_ENTRY_BYTES), 0);
    assert_int_equal(time_of_entry(w, n), time_ms);
}

/* Zeros over @size bytes of a file of the segment. */
static void zero(struct writing *w, enum segment_kind kind, uint64_t at, size_t size) {
    static const uint8_t zeros[64];
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    segment_name(&w->id, kind, name);
    assert_int_equal(disk_open(w->disk, name, DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, zeros, size, at), 0);
}

/* Where the last entries say nothing, those behind lead no lookup past anything. */
static void test_active_index__behind_lost_entries_nothing_is_older(void **state) {
    enum { BATCHES = 9, ENTRIES = BATCHES - 1 };
    for (unsigned headers = 0; headers < 2; headers++) {
        struct writing w;
        begin(&w);
        write_batches(&w, BATCHES);
        uint64_t batch_bytes = w.position / BATCHES;
        assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
        assert_int_equal(entries(&w, 0, NULL), ENTRIES);
        forget_all(&w);
        if (headers) { /* of the batch between the last two entries */
            zero(&w, SEGMENT_LOG, (ENTRIES - 1) * batch_bytes, 64);
        } else {
            zero(&w, SEGMENT_TIMEINDEX, INDEX_HEADER_BYTES + (ENTRIES - 2) * TIME_ENTRY_BYTES,
                 2 * TIME_ENTRY_BYTES);
        }
        write_batches(&w, 1);
        assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
        assert_int_equal(entries(&w, 0, NULL), ENTRIES + 1);
        assert_true(time_of_entry(&w, ENTRIES) == INT64_MAX);
        end(&w);
    }
}

/* Entries added behind one whose time rot has made smaller must not say so, too. */
static void test_active_index__a_rotten_time_is_not_handed_on(void **state) {
    enum { BATCHES = 9, ENTRIES = BATCHES - 1, MORE = 4 };
    for (unsigned rotten = 0; rotten < ENTRIES; rotten++) {
        for (unsigned peak = 0; peak <= rotten; peak++) {
            struct writing w;
            begin(&w);
            w.peak_offset = 2 * (int64_t)peak;
            write_batches(&w, BATCHES);
            assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
            assert_int_equal(entries(&w, 0, NULL), ENTRIES);
            assert_int_equal(time_of_entry(&w, rotten), PEAK_MS + 1);
            forget_all(&w);
            set_time_of_entry(&w, rotten, 20);
            write_batches(&w, MORE);
            assert_int_equal(segment_writer_flush_indexes(w.writer), 0);
            assert_int_equal(entries(&w, 0, NULL), ENTRIES + MORE);
            for (unsigned n = ENTRIES; n < ENTRIES + MORE; n++) {
                assert_int_equal(time_of_entry(&w, n), PEAK_MS + 1);
            }
            end(&w);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_active_index__entries_wait_until_there_are_many),
        cmocka_unit_test(test_active_index__entries_of_many_partitions_take_bounded_memory),
        cmocka_unit_test(test_active_index__a_roll_and_a_gap_write_at_once),
        cmocka_unit_test(test_active_index__a_kill_loses_none_for_good),
        cmocka_unit_test(test_active_index__a_replay_leaves_entries_for_later),
        cmocka_unit_test(test_active_index__a_replay_beyond_64_kib_makes_entries),
        cmocka_unit_test(test_active_index__a_roll_in_a_replay_makes_those_before_it),
        cmocka_unit_test(test_active_index__what_a_replay_left_is_caught_up_with),
        cmocka_unit_test(test_active_index__a_roll_behind_a_replay_may_be_refused),
        cmocka_unit_test(test_active_index__outlives_the_descriptor),
        cmocka_unit_test(test_active_index__a_rotten_time_is_not_handed_on),
        cmocka_unit_test(test_active_index__behind_lost_entries_nothing_is_older),
        cmocka_unit_test(test_active_index__a_walk_reads_many_small_batches_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
