/* Rot that a read or a lookup meets: set aside as the scrub does it, told once, no wider than it
 * is. */
#include "log_fixture.h"
#include "read/rot.h"

#include <errno.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define WEEK_MS  INT64_C(604800000)
#define START_MS INT64_C(1700000000000)

enum { BATCHES = 34, A_SEGMENT = 10, ACTIVE = 30 };

static size_t value_bytes = 200; /* a batch */

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = value_bytes,
                               .tag = n,
                               .timestamp_ms = START_MS + (int64_t)n,
                               .producer_id = -1};
}

static struct log_partition *partition_of(struct fixture *f) {
    return log_partition_of(fixture_partition(f, "t", 0));
}

/* Batches of one record, ten a segment, the last segment active, nothing of them in memory. */
static void begin(struct fixture *f, uint64_t seed, const char *cleanup_policy) {
    char segment_bytes[24];
    snprintf(segment_bytes, sizeof segment_bytes, "%zu", A_SEGMENT * (value_bytes + 80));
    const struct topic_config_entry configs[] = {{"segment.bytes", segment_bytes},
                                                 {"retention.ms", "-1"},
                                                 {"cleanup.policy", cleanup_policy},
                                                 {0}};
    fixture_init(f, seed);
    f->limits.scrub_interval_ms = WEEK_MS;
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 1, configs);
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, topic->partitions[0], &spec), n);
    }
    fixture_until(f, f->log->unwritten_count == 0 && !f->log->checkpoint.under_way &&
                         f->log->durable_sequence == f->log->newest_sequence);
    fixture_forget_memory(f);
    assert_int_equal(partition_of(f)->segments[3].base_offset, ACTIVE);
}

static void end(struct fixture *f) {
    fixture_stop(f);
    fixture_deinit(f);
}

static ssize_t try_read(struct fixture *f, int64_t offset, size_t max) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, &partition_of(f)->public, offset, max, &data);
    free(data);
    return size;
}

/* The same byte again makes it right again. */
static void flip(struct fixture *f, int64_t base_offset, unsigned index, uint64_t place) {
    struct disk_file *file;
    char path[SEGMENT_NAME_SIZE];
    uint8_t byte;
    size_t got;
    fixture_segment_path(f, base_offset, path);
    place += fixture_find_batch(f, path, index);
    assert_int_equal(disk_open(f->disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, &byte, 1, place, &got), 0);
    byte ^= 0x10;
    assert_int_equal(disk_pwrite(file, &byte, 1, place), 0);
    disk_close(file);
}

static void assert_mark(struct fixture *f, int64_t from, int64_t to) {
    const struct log_partition *partition = partition_of(f);
    assert_int_equal(partition->rot_count, 1);
    assert_int_equal(partition->rot[0].from, from);
    assert_int_equal(partition->rot[0].to, to);
    assert_int_equal(f->log->stats.scrub_damaged, 1);
    assert_int_equal(f->events[TOPIC_LOG_DAMAGED], 1);
}

static void assert_reads_all_but(struct fixture *f, int64_t from, int64_t to) {
    for (int64_t n = 0; n < BATCHES; n++) {
        ssize_t size = try_read(f, n, 1);
        assert_true(n >= from && n < to ? size == -BROKER_E_CORRUPT : size > 0);
    }
}

static void next_round(struct fixture *f) {
    int64_t before_s = f->log->stats.scrub_ended_s;
    clock_manual_advance(&f->clock, WEEK_MS * NS_PER_MS);
    fixture_until(f, f->log->stats.scrub_ended_s != before_s);
}

/* ---- what is set aside ---- */

static void test_rot__a_read_sets_it_aside_in_closed_and_active_segments(void **state) {
    /* In records, checksum, length, magic; in base offset and epoch, which no checksum covers. */
    static const unsigned places[] = {120, 18, 10, 16, 7, 15};
    static const struct {
        int64_t base;
        unsigned index, count;
    } where[] = {{A_SEGMENT, 3, 1}, {A_SEGMENT, 0, 1}, {A_SEGMENT, 9, 1},
                 {A_SEGMENT, 4, 2}, {ACTIVE, 1, 1},    {ACTIVE, 3, 1}};
    for (size_t i = 0; i < ARRAY_SIZE(places) * ARRAY_SIZE(where); i++) {
        struct fixture f;
        int64_t base = where[i % ARRAY_SIZE(where)].base;
        unsigned index = where[i % ARRAY_SIZE(where)].index;
        unsigned count = where[i % ARRAY_SIZE(where)].count;
        begin(&f, 11 + i, "delete");
        for (unsigned n = count; n-- > 0;) { /* the way to one leads past those before it */
            flip(&f, base, index + n, places[i / ARRAY_SIZE(where)]);
        }
        int64_t bad = base + index;
        assert_int_equal(try_read(&f, bad, 1), -BROKER_E_CORRUPT);
        assert_mark(&f, bad, bad + count);
        assert_non_null(strstr(f.last_event, "t-0: a read found offsets "));
        uint64_t reads = f.log->stats.reads_disk;
        assert_int_equal(try_read(&f, bad, 1), -BROKER_E_CORRUPT);
        assert_int_equal(f.log->stats.reads_disk, reads); /* known without a look, from no source */
        assert_reads_all_but(&f, bad, bad + count);
        next_round(&f); /* the scrub finds the same, and has nothing to tell */
        assert_mark(&f, bad, bad + count);
        assert_reads_all_but(&f, bad, bad + count);
        end(&f);
    }
}

/* Bytes that were right for a moment again do not answer: the mark is what counts in this run. */
static void test_rot__stays_aside_until_the_scrub_finds_it_right(void **state) {
    struct fixture f;
    begin(&f, 51, "delete");
    flip(&f, A_SEGMENT, 3, 100);
    assert_int_equal(try_read(&f, 13, 1), -BROKER_E_CORRUPT);
    flip(&f, A_SEGMENT, 3, 100);
    assert_int_equal(try_read(&f, 13, 1), -BROKER_E_CORRUPT);
    next_round(&f);
    assert_int_equal(partition_of(&f)->rot_count, 0);
    assert_int_equal(f.events[TOPIC_LOG_MENDED], 1);
    assert_reads_all_but(&f, 0, 0);
    end(&f);
}

static void test_rot__the_scrub_found_is_not_told_by_a_read(void **state) {
    struct fixture f;
    begin(&f, 52, "delete");
    flip(&f, A_SEGMENT, 3, 100);
    next_round(&f);
    assert_mark(&f, 13, 14);
    assert_reads_all_but(&f, 13, 14);
    assert_mark(&f, 13, 14);
    end(&f);
}

static void test_rot__a_read_that_ends_before_it_marks_nothing(void **state) {
    struct fixture f;
    begin(&f, 53, "delete");
    flip(&f, A_SEGMENT, 3, 100);
    ssize_t one = try_read(&f, 10, 1);
    assert_int_equal(try_read(&f, 10, 100000), 3 * one);
    assert_int_equal(partition_of(&f)->rot_count, 0);
    assert_int_equal(try_read(&f, 13, 100000), -BROKER_E_CORRUPT);
    assert_mark(&f, 13, 14);
    assert_int_equal(try_read(&f, 10, 100000), 3 * one);
    end(&f);
}

static void test_rot__a_lookup_by_time_sets_it_aside(void **state) {
    struct fixture f;
    begin(&f, 54, "delete");
    flip(&f, A_SEGMENT, 3, 100);
    assert_int_equal(fixture_lookup(&f, &partition_of(&f)->public, START_MS + 13),
                     -BROKER_E_CORRUPT);
    assert_mark(&f, 13, 14);
    assert_non_null(strstr(f.last_event, "a lookup by time found offsets 13 to 13"));
    assert_reads_all_but(&f, 13, 14);
    assert_mark(&f, 13, 14);
    end(&f);
}

static void test_rot__file_that_is_gone_is_all_set_aside(void **state) {
    for (unsigned lookup = 0; lookup < 2; lookup++) {
        struct fixture f;
        char path[SEGMENT_NAME_SIZE];
        begin(&f, 55, "delete");
        fixture_segment_path(&f, A_SEGMENT, path);
        assert_int_equal(disk_unlink(f.disk, path), 0);
        int64_t r = lookup ? fixture_lookup(&f, &partition_of(&f)->public, START_MS + 13)
                           : try_read(&f, 13, 1);
        assert_int_equal(r, -BROKER_E_CORRUPT);
        assert_mark(&f, A_SEGMENT, 2 * A_SEGMENT);
        assert_reads_all_but(&f, A_SEGMENT, 2 * A_SEGMENT);
        end(&f);
    }
}

/* Whole batches, all as large, in each other's place. */
static void exchange(struct fixture *f, const char *path, unsigned one, unsigned other) {
    uint64_t at[2] = {fixture_find_batch(f, path, one), fixture_find_batch(f, path, other)};
    size_t size = (size_t)(fixture_find_batch(f, path, 1) - fixture_find_batch(f, path, 0)), got;
    struct disk_file *file;
    uint8_t *data = malloc(2 * size);
    assert_non_null(data);
    assert_int_equal(disk_open(f->disk, path, DISK_READ | DISK_WRITE, &file), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(disk_pread(file, data + i * size, size, at[i], &got), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(disk_pwrite(file, data + i * size, size, at[1 - i]), 0);
    }
    disk_close(file);
    free(data);
}

/* 15 and 18 are right and stand in each other's place. A read does not believe them there, since
 * what follows does not agree; but a mark, as the scrub's, is for what no right batch has. */
static void test_rot__spares_right_batches_out_of_their_place(void **state) {
    struct fixture f;
    char path[SEGMENT_NAME_SIZE];
    begin(&f, 61, "delete");
    fixture_segment_path(&f, A_SEGMENT, path);
    exchange(&f, path, 5, 8);
    flip(&f, A_SEGMENT, 4, 100);
    assert_int_equal(try_read(&f, 14, 1), -BROKER_E_CORRUPT);
    assert_mark(&f, 14, 15);
    for (int64_t n = 0; n < BATCHES; n++) {
        ssize_t size = try_read(&f, n, 1);
        assert_true(size > 0 || n == 14 || n == 15 || n == 18);
    }
    assert_int_equal(partition_of(&f)->rot_count, 1);
    assert_int_equal(partition_of(&f)->rot[0].to, 15);
    end(&f);
}

/* 13 and 17 are right in each other's place: the one that a lookup meets is not the one it looks
 * for, which it has not met. */
static void test_rot__a_lookup_by_time_believes_none_out_of_its_place(void **state) {
    struct fixture f;
    char path[SEGMENT_NAME_SIZE];
    begin(&f, 62, "delete");
    fixture_segment_path(&f, A_SEGMENT, path);
    exchange(&f, path, 3, 7);
    struct partition *partition = &partition_of(&f)->public;
    assert_int_equal(fixture_lookup(&f, partition, START_MS + 13), -BROKER_E_CORRUPT);
    assert_int_equal(fixture_lookup(&f, partition, START_MS + 12), 12);
    assert_int_equal(fixture_lookup(&f, partition, START_MS + 20), 20);
    end(&f);
}

/* Where the damage ends may be out of sight: then it is no more than was asked for. Nor does a mark
 * hide what stands so far away that only the index leads there. */
static void test_rot__reaches_no_further_than_was_looked(void **state) {
    struct fixture f;
    struct offset_range range;
    char path[SEGMENT_NAME_SIZE];
    value_bytes = 5000; /* each has an entry */
    begin(&f, 62, "delete");
    struct batch_order order = batch_order_of(partition_of(&f));
    const struct segment_id id = {partition_of(&f)->topic->public.number, 0, A_SEGMENT};
    fixture_segment_path(&f, A_SEGMENT, path);
    uint64_t size = fixture_find_batch(&f, path, 1);
    struct segment_resync in = {.end = A_SEGMENT * size,
                                .base_offset = A_SEGMENT,
                                .next_base = 2 * A_SEGMENT,
                                .order = &order};
    for (unsigned n = 8; n-- > 4;) {
        flip(&f, A_SEGMENT, n, 100);
    }
    const struct segment_cursor lost = {4 * size, 14};
    assert_int_equal(disk_open(f.disk, path, DISK_READ, &in.file), 0);
    rot_find(f.disk, &id, &in, &lost, 15, MIB(4), &range);
    assert_int_equal(range.from, 14);
    assert_int_equal(range.to, 18);
    rot_find(f.disk, &id, &in, &lost, 15, size, &range);
    assert_int_equal(range.from, 14);
    assert_int_equal(range.to, 16);
    disk_close(in.file);
    value_bytes = 200;
    end(&f);
}

/* 15 stands before what is looked through, and the index leads a read of it there. */
static void test_rot__spares_what_the_index_leads_to(void **state) {
    struct fixture f;
    struct disk_file *index;
    struct offset_range range;
    char path[SEGMENT_NAME_SIZE], name[SEGMENT_NAME_SIZE];
    value_bytes = 5000; /* each has an entry */
    begin(&f, 64, "delete");
    struct batch_order order = batch_order_of(partition_of(&f));
    const struct segment_id id = {partition_of(&f)->topic->public.number, 0, A_SEGMENT};
    fixture_segment_path(&f, A_SEGMENT, path);
    segment_name(&id, SEGMENT_INDEX, name);
    uint64_t size = fixture_find_batch(&f, path, 1);
    exchange(&f, path, 1, 5);
    flip(&f, A_SEGMENT, 4, 100);
    assert_int_equal(disk_open(f.disk, name, DISK_READ | DISK_WRITE, &index), 0);
    uint8_t entry[INDEX_ENTRY_BYTES] = {0};
    size_t got = sizeof entry;
    uint64_t at = INDEX_HEADER_BYTES;
    for (; got == sizeof entry; at += sizeof entry) {
        assert_int_equal(disk_pread(index, entry, sizeof entry, at, &got), 0);
        if (got == sizeof entry && get_le32(entry) == 5) {
            assert_int_equal(get_le32(entry + 4), 5 * size);
            put_le32(entry + 4, (uint32_t)size);
            assert_int_equal(disk_pwrite(index, entry, sizeof entry, at), 0);
            break;
        }
    }
    assert_int_equal(got, sizeof entry);
    disk_close(index);
    struct segment_resync in = {.end = A_SEGMENT * size,
                                .base_offset = A_SEGMENT,
                                .next_base = 2 * A_SEGMENT,
                                .order = &order};
    const struct segment_cursor lost = {4 * size, 14};
    assert_int_equal(disk_open(f.disk, path, DISK_READ, &in.file), 0);
    rot_find(f.disk, &id, &in, &lost, 14, 5 * size / 2, &range);
    assert_int_equal(range.from, 14);
    assert_int_equal(range.to, 15);
    disk_close(in.file);
    value_bytes = 200;
    end(&f);
}

/* What is right when it is read again was torn, or the disk's whim. */
static void test_rot__right_when_read_again_is_none(void **state) {
    struct fixture f;
    struct offset_range range = {1, 2};
    char path[SEGMENT_NAME_SIZE];
    begin(&f, 63, "delete");
    struct batch_order order = batch_order_of(partition_of(&f));
    const struct segment_id id = {partition_of(&f)->topic->public.number, 0, A_SEGMENT};
    fixture_segment_path(&f, A_SEGMENT, path);
    struct segment_resync in = {.end = fixture_find_batch(&f, path, A_SEGMENT),
                                .base_offset = A_SEGMENT,
                                .next_base = 2 * A_SEGMENT,
                                .order = &order};
    const struct segment_cursor lost = {fixture_find_batch(&f, path, 4), 14};
    assert_int_equal(disk_open(f.disk, path, DISK_READ, &in.file), 0);
    rot_find(f.disk, &id, &in, &lost, 14, MIB(4), &range);
    assert_true(range.from >= range.to);
    disk_close(in.file);
    end(&f);
}

/* ---- what is not ---- */

/* The disk refuses to read: another try may succeed. */
static void test_rot__refusal_of_the_disk_is_none(void **state) {
    struct fixture f;
    begin(&f, 56, "delete");
    f.expect_failures = true;
    for (unsigned n = 1; n <= 40; n++) {
        disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + n, -EIO);
        ssize_t size = try_read(&f, 13, 1);
        assert_true(size > 0 || size == -EIO);
        disk_sim_fail_at(f.disk, 0, 0);
        fixture_forget_memory(&f);
    }
    assert_int_equal(partition_of(&f)->rot_count, 0);
    assert_int_equal(f.log->stats.scrub_damaged, 0);
    end(&f);
}

/* Of a file that the log no longer names nothing counts, whatever a job has seen in it. */
static void test_rot__in_a_file_that_the_log_no_longer_names_is_none(void **state) {
    struct fixture f;
    begin(&f, 57, "delete");
    struct log_partition *partition = partition_of(&f);
    const struct segment_id first = {partition->topic->public.number, 0, 0};
    const struct segment_id second = {partition->topic->public.number, 0, A_SEGMENT};
    assert_int_equal(fixture_delete_records(&f, &partition->public, 12), 0);
    assert_false(rot_met(f.log, partition, &first, (struct offset_range){3, 4}, "a read"));
    assert_int_equal(partition->rot_count, 0);
    partition->swap_broken = true;
    assert_false(rot_met(f.log, partition, &second, (struct offset_range){13, 14}, "a read"));
    partition->swap_broken = false;
    assert_int_equal(partition->rot_count, 0);
    assert_false(rot_met(f.log, partition, &second, (struct offset_range){0, 0}, "a read"));
    const struct segment_id merged = {partition->topic->public.number, 0, A_SEGMENT + 5};
    assert_false(rot_met(f.log, partition, &merged, (struct offset_range){16, 17}, "a read"));
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    assert_true(rot_met(f.log, partition, &second, (struct offset_range){10, 14}, "a read"));
    assert_mark(&f, 12, 14);
    assert_non_null(strstr(f.last_event, "offsets 12 to 13 "));
    assert_int_equal(fixture_delete_records(&f, &partition->public, 14), 0);
    assert_int_equal(partition->rot_count, 0); /* retention takes marks along */
    end(&f);
}

static void test_rot__beyond_the_bound_reads_find_it_by_themselves(void **state) {
    struct fixture f;
    begin(&f, 58, "delete");
    struct log_partition *partition = partition_of(&f);
    partition->rot = calloc(ROT_MARKS_MAX, sizeof *partition->rot);
    assert_non_null(partition->rot);
    for (uint32_t i = 0; i < ROT_MARKS_MAX; i++) {
        partition->rot[i] = (struct offset_range){1000 + i, 1001 + i};
    }
    partition->rot_count = ROT_MARKS_MAX;
    flip(&f, A_SEGMENT, 3, 100);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(try_read(&f, 13, 1), -BROKER_E_CORRUPT);
        assert_int_equal(partition->rot_count, ROT_MARKS_MAX);
        assert_int_equal(f.log->stats.scrub_damaged, 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 1);
    }
    assert_reads_all_but(&f, 13, 14);
    end(&f);
}

/* Half of what a range was found to be first: one mark, which grows. */
static void test_rot__ranges_that_overlap_are_one_mark(void **state) {
    struct fixture f;
    begin(&f, 59, "delete");
    flip(&f, A_SEGMENT, 3, 100);
    flip(&f, A_SEGMENT, 4, 100);
    assert_int_equal(try_read(&f, 14, 1), -BROKER_E_CORRUPT);
    assert_int_equal(try_read(&f, 13, 1), -BROKER_E_CORRUPT);
    assert_int_equal(partition_of(&f)->rot_count, 1);
    assert_reads_all_but(&f, 13, 15);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rot__a_read_sets_it_aside_in_closed_and_active_segments),
        cmocka_unit_test(test_rot__stays_aside_until_the_scrub_finds_it_right),
        cmocka_unit_test(test_rot__the_scrub_found_is_not_told_by_a_read),
        cmocka_unit_test(test_rot__a_read_that_ends_before_it_marks_nothing),
        cmocka_unit_test(test_rot__a_lookup_by_time_sets_it_aside),
        cmocka_unit_test(test_rot__file_that_is_gone_is_all_set_aside),
        cmocka_unit_test(test_rot__spares_right_batches_out_of_their_place),
        cmocka_unit_test(test_rot__a_lookup_by_time_believes_none_out_of_its_place),
        cmocka_unit_test(test_rot__reaches_no_further_than_was_looked),
        cmocka_unit_test(test_rot__spares_what_the_index_leads_to),
        cmocka_unit_test(test_rot__right_when_read_again_is_none),
        cmocka_unit_test(test_rot__refusal_of_the_disk_is_none),
        cmocka_unit_test(test_rot__in_a_file_that_the_log_no_longer_names_is_none),
        cmocka_unit_test(test_rot__beyond_the_bound_reads_find_it_by_themselves),
        cmocka_unit_test(test_rot__ranges_that_overlap_are_one_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
