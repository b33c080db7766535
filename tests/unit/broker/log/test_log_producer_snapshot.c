/* Snapshots of producers: when they are written, what stays of them, and the start that uses them.
 */
#include "log_fixture.h"
#include "producers/producer_snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { PRODUCER = 41, OTHER = 42 };

/* ---- bytes ---- */

static struct producers *some_producers(unsigned count) {
    struct producers *producers = NULL;
    for (unsigned n = 0; n < count; n++) {
        struct producer_batch batch = {.base_offset = n * 10,
                                       .last_offset_delta = 9,
                                       .base_sequence = (int32_t)n,
                                       .last_sequence = (int32_t)n + 9,
                                       .epoch = (int16_t)n};
        assert_int_equal(
            producer_push(&producers, NULL, PRODUCER + n % 3, &batch, INT64_MAX, 1000 + n), 0);
    }
    return producers;
}

static void put(struct disk *disk, const struct segment_id *at, const void *bytes, size_t size) {
    struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    segment_name(at, SEGMENT_SNAPSHOT, name);
    assert_int_equal(disk_open(disk, name, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file), 0);
    assert_int_equal(disk_pwrite(file, bytes, size, 0), 0);
    disk_close(file);
}

static struct disk *disk_with_folder(const struct segment_id *at) {
    struct disk *disk;
    char folder[SEGMENT_NAME_SIZE];
    assert_int_equal(disk_sim_new(1, &disk), 0);
    segment_folder(at->topic, at->partition, folder);
    assert_int_equal(disk_mkdir(disk, "topics"), 0);
    assert_int_equal(disk_mkdir(disk, folder), 0);
    return disk;
}

static void test_producer_snapshot__holds_the_window_as_of_its_offset(void **state) {
    struct segment_id at = {7, 3, 250};
    struct disk *disk = disk_with_folder(&at);
    struct producers *producers = some_producers(30), *back = NULL;
    struct text bytes;
    text_init(&bytes);
    assert_int_equal(producer_snapshot_encode(producers, &at, &bytes), 3);
    assert_int_equal(producer_snapshot_write(disk, &at, text_span(&bytes)), 0);
    assert_int_equal(producer_snapshot_read(disk, &at, &back), 0);
    for (unsigned n = 0; n < 30; n++) {
        const struct producer_batch *original;
        (void)producer_check(back, PRODUCER + n % 3, (int16_t)n, (int32_t)n, (int32_t)n + 9,
                             &original);
        /* Batches 25 to 29 lie behind it; of each producer the last five before it stay. */
        assert_true((original != NULL) == (n < 25 && n >= 22));
    }
    int64_t id = PRODUCER;
    const struct producer *producer = hashmap_find(&back->map, span_of(&id, sizeof id));
    assert_int_equal(producer->count, 5);
    assert_int_equal(producer->batches[0].base_offset, 120);
    assert_int_equal(producer->batches[4].base_offset, 240);
    text_deinit(&bytes);
    producers_free(producers);
    producers_free(back);
    disk_free(disk);
}

static void test_producer_snapshot__any_wrong_byte_and_any_cut_shows(void **state) {
    struct segment_id at = {7, 3, 250}, elsewhere = {7, 3, 251};
    struct disk *disk = disk_with_folder(&at);
    struct producers *producers = some_producers(6), *back = NULL;
    struct text bytes;
    text_init(&bytes);
    assert_int_equal(producer_snapshot_encode(producers, &at, &bytes), 3);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] = (char)(bytes.data[i] ^ 4);
        put(disk, &at, bytes.data, bytes.size);
        assert_int_equal(producer_snapshot_read(disk, &at, &back), BROKER_E_CORRUPT);
        bytes.data[i] = (char)(bytes.data[i] ^ 4);
        put(disk, &at, bytes.data, i);
        assert_int_equal(producer_snapshot_read(disk, &at, &back), BROKER_E_CORRUPT);
    }
    put(disk, &elsewhere, bytes.data, bytes.size);
    assert_int_equal(producer_snapshot_read(disk, &elsewhere, &back), BROKER_E_CORRUPT);
    put(disk, &at, bytes.data, bytes.size);
    assert_int_equal(producer_snapshot_read(disk, &at, &back), 0);
    text_deinit(&bytes);
    producers_free(producers);
    producers_free(back);
    disk_free(disk);
}

static void test_producer_snapshot__newest_two_stay(void **state) {
    struct segment_id at = {7, 3, 0};
    struct disk *disk = disk_with_folder(&at);
    int64_t offsets[PRODUCER_SNAPSHOTS_KEPT];
    put(disk, &(struct segment_id){7, 3, 900}, "x", 1); /* of a life whose log end was cut */
    for (int64_t offset = 0; offset <= 300; offset += 100) {
        at.base_offset = offset;
        assert_int_equal(producer_snapshot_write(disk, &at, SPAN_LITERAL("bytes")), 0);
    }
    assert_int_equal(producer_snapshot_list(disk, &at, INT64_MAX, offsets), 2);
    assert_int_equal(offsets[0], 200);
    assert_int_equal(offsets[1], 300);
    assert_int_equal(producer_snapshot_list(disk, &at, 250, offsets), 1);
    assert_int_equal(offsets[0], 200);
    for (int64_t offset = 0; offset <= 900; offset += 100) {
        struct producers *none = NULL;
        at.base_offset = offset;
        assert_int_equal(producer_snapshot_read(disk, &at, &none),
                         offset == 200 || offset == 300 ? BROKER_E_CORRUPT : DISK_E_NOT_FOUND);
    }
    disk_free(disk);
}

/* ---- in a log ---- */

static struct partition *start(struct fixture *f, uint64_t seed) {
    const struct topic_config_entry configs[] = {{"segment.bytes", "700"}, {0}};
    fixture_init(f, seed);
    f->limits.checkpoint_ms = 1000;
    assert_int_equal(fixture_start(f), 0);
    return fixture_topic(f, "t", 2, configs)->partitions[0];
}

/* One record of 200 bytes: two to a segment. */
static int64_t append(struct fixture *f, struct partition *partition, int64_t producer_id,
                      int32_t sequence) {
    struct batch_spec spec = {.records = 1,
                              .value_bytes = 200,
                              .tag = (uint64_t)sequence + 1,
                              .timestamp_ms = 1700000000000 + sequence,
                              .producer_id = producer_id,
                              .sequence = sequence};
    return fixture_append(f, partition, &spec);
}

static void fill(struct fixture *f, struct partition *partition, int32_t count) {
    for (int32_t n = 0; n < count; n++) {
        assert_int_equal(append(f, partition, PRODUCER, n), n);
    }
}

static bool has(struct fixture *f, const struct partition *partition, int64_t offset) {
    return fixture_has_file(f, partition->topic->number, partition->index, offset,
                            SEGMENT_SNAPSHOT);
}

static uint64_t written(const struct fixture *f) {
    struct topic_log_stats stats;
    topic_log_stats(f->log, &stats);
    return stats.snapshots_written;
}

static void lose_checkpoints(struct fixture *f) {
    (void)disk_sim_corrupt(f->disk, "checkpoint.0", 70, 8, 1);
    (void)disk_sim_corrupt(f->disk, "checkpoint.1", 70, 8, 1);
}

static void end(struct fixture *f) {
    fixture_stop(f);
    fixture_deinit(f);
}

static void test_log_producer_snapshot__written_at_rolls_and_at_a_stop(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 21);
    struct partition *without = partition->topic->partitions[1];
    for (int32_t n = 0; n < 7; n++) {
        assert_int_equal(append(&f, partition, PRODUCER, n), n);
        assert_int_equal(append(&f, without, -1, n), n);
    }
    fixture_until(&f, written(&f) == 3);
    assert_true(!has(&f, partition, 2) && has(&f, partition, 4) && has(&f, partition, 6));
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    partition = fixture_partition(&f, "t", 0);
    without = partition->topic->partitions[1];
    assert_true(!has(&f, partition, 4) && has(&f, partition, 6) && has(&f, partition, 7));
    for (int64_t offset = 0; offset < 8; offset++) {
        assert_false(has(&f, without, offset));
    }
    /* Nothing was appended since: nothing is written again. */
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(written(&f), 0);
    end(&f);
}

/* Nothing but a snapshot can know of batches that DeleteRecords has removed. */
static void test_log_producer_snapshot__tells_duplicates_without_checkpoint_g51(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 22);
    fill(&f, partition, 6);
    assert_int_equal(fixture_delete_records(&f, partition, 6), 0);
    fixture_until(&f, log_partition_of(partition)->segment_count == 0 && f.log->removal_count == 0);
    assert_false(fixture_has_file(&f, partition->topic->number, 0, 4, SEGMENT_LOG));
    fixture_stop(&f);
    lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    partition = fixture_partition(&f, "t", 0);
    assert_int_equal(partition->high_watermark, 6);
    for (int32_t n = 1; n < 6; n++) {
        assert_int_equal(append(&f, partition, PRODUCER, n), n);
    }
    assert_int_equal(append(&f, partition, PRODUCER, 7), -BROKER_E_SEQUENCE);
    assert_int_equal(append(&f, partition, PRODUCER, 6), 6);
    end(&f);
}

/* Without one the batches themselves do it, as far as they are there. */
static void test_log_producer_snapshot__batches_stand_in_for_a_bad_one_g51(void **state) {
    for (unsigned round = 0; round < 4; round++) {
        struct fixture f;
        struct partition *partition = start(&f, 23 + round);
        fill(&f, partition, 7);
        fixture_stop(&f);
        struct segment_id at = {1, 0, 7};
        char name[SEGMENT_NAME_SIZE];
        segment_name(&at, SEGMENT_SNAPSHOT, name);
        struct producers *producers = NULL;
        assert_int_equal(producer_snapshot_read(f.disk, &at, &producers), 0);
        producers_free(producers);
        if (round == 0) {
            assert_int_equal(producer_snapshot_drop(f.disk, &at, 0, INT64_MAX), 0);
        } else if (round == 1) {
            assert_int_equal(disk_sim_corrupt(f.disk, name, 60, 4, 1), 0);
        } else if (round == 2) {
            put(f.disk, &at, "EBPS", 4); /* torn */
        } else {
            /* Right in itself, and at odds with the batches: its log was cut and went on. */
            struct producers *others = NULL;
            struct producer_batch batch = {
                .base_offset = 5, .base_sequence = 9, .last_sequence = 9};
            struct text bytes;
            text_init(&bytes);
            assert_int_equal(producer_push(&others, NULL, PRODUCER, &batch, 7, 0), 0);
            assert_int_equal(producer_snapshot_encode(others, &at, &bytes), 1);
            put(f.disk, &at, bytes.data, bytes.size);
            text_deinit(&bytes);
            producers_free(others);
        }
        lose_checkpoints(&f);
        unsigned before = f.events[TOPIC_LOG_MENDED];
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(f.events[TOPIC_LOG_MENDED] - before, round == 0 ? 1 : 2);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0); /* nothing is lost */
        partition = fixture_partition(&f, "t", 0);
        for (int32_t n = 2; n < 7; n++) {
            assert_int_equal(append(&f, partition, PRODUCER, n), n);
        }
        assert_int_equal(append(&f, partition, PRODUCER, 8), -BROKER_E_SEQUENCE);
        assert_int_equal(append(&f, partition, PRODUCER, 7), 7);
        end(&f);
    }
}

/* Behind the snapshot come batches of segments, and of the journal alone. */
static void test_log_producer_snapshot__batches_behind_it_are_added(void **state) {
    for (unsigned round = 0; round < 2; round++) {
        struct fixture f;
        struct partition *partition = start(&f, 31 + round);
        fill(&f, partition, 5);
        assert_int_equal(append(&f, partition, OTHER, 0), 5);
        assert_int_equal(append(&f, partition, OTHER, 1), 6);
        fixture_until(&f, written(&f) == 3);
        assert_int_equal(fixture_delete_records(&f, partition, 5), 0);
        fixture_until(&f, f.log->removal_count == 0);
        for (int32_t n = 5; n < 8; n++) {
            assert_int_equal(append(&f, partition, PRODUCER, n), n + 2);
        }
        if (round == 0) {
            fixture_run_ms(&f, 5000);
        }
        fixture_crash(&f, round == 1);
        /* The one at offset 6 is left: those at rolls behind it were not made yet, or go. */
        struct segment_id at = {1, 0, 0};
        assert_int_equal(producer_snapshot_drop(f.disk, &at, 7, INT64_MAX), 0);
        lose_checkpoints(&f);
        assert_int_equal(fixture_start(&f), 0);
        partition = fixture_partition(&f, "t", 0);
        assert_int_equal(partition->high_watermark, 10);
        for (int32_t n = 3; n < 8; n++) {
            if (n < 5 && round == 1) {
                continue; /* a power cut may leave the snapshot short: then these are not known */
            }
            assert_int_equal(append(&f, partition, PRODUCER, n), n < 5 ? n : n + 2);
        }
        assert_int_equal(append(&f, partition, OTHER, 1), 6);
        assert_int_equal(append(&f, partition, PRODUCER, 9), -BROKER_E_SEQUENCE);
        end(&f);
    }
}

static void test_log_producer_snapshot__behind_the_log_end_is_told_and_removed(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 41);
    fill(&f, partition, 3);
    fixture_stop(&f);
    struct segment_id at = {1, 0, 90};
    put(f.disk, &at, "bytes", 5);
    lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    partition = fixture_partition(&f, "t", 0);
    assert_false(has(&f, partition, 90));
    assert_true(has(&f, partition, 3));
    assert_int_equal(append(&f, partition, PRODUCER, 2), 2);
    /* Somebody may have seen the offsets up to 90. */
    assert_true(append(&f, partition, PRODUCER, 3) == INT64_C(1) << 32);
    end(&f);
}

static void test_log_producer_snapshot__goes_with_segments_and_topic(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 42);
    uint32_t number = partition->topic->number;
    fill(&f, partition, 7);
    fixture_until(&f, written(&f) == 3);
    assert_int_equal(fixture_delete_records(&f, partition, 6), 0);
    fixture_until(&f, f.log->removal_count == 0);
    assert_true(!has(&f, partition, 4) && has(&f, partition, 6));
    assert_int_equal(fixture_delete(&f, partition->topic), 0);
    fixture_until(&f, f.log->removal_count == 0);
    assert_false(fixture_has_file(&f, number, 0, 6, SEGMENT_SNAPSHOT));
    end(&f);
}

/* A hint: the log goes on without it. */
static void test_log_producer_snapshot__a_disk_that_refuses_costs_only_the_snapshot(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 43);
    fill(&f, partition, 2);
    fixture_run_ms(&f, 3000);
    struct segment_id at = {1, 0, 2};
    char name[SEGMENT_NAME_SIZE];
    segment_name(&at, SEGMENT_SNAPSHOT, name);
    assert_int_equal(disk_mkdir(f.disk, name), 0); /* no file can take its name */
    struct topic_log_stats stats = {0};
    assert_int_equal(append(&f, partition, PRODUCER, 2), 2);
    fixture_until(&f, (topic_log_stats(f.log, &stats), stats.snapshots_dropped == 1));
    assert_int_equal(append(&f, partition, PRODUCER, 3), 3);
    assert_int_equal(f.events[TOPIC_LOG_FAILED], 0);
    assert_int_equal(disk_rmdir(f.disk, name), 0);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producer_snapshot__holds_the_window_as_of_its_offset),
        cmocka_unit_test(test_producer_snapshot__any_wrong_byte_and_any_cut_shows),
        cmocka_unit_test(test_producer_snapshot__newest_two_stay),
        cmocka_unit_test(test_log_producer_snapshot__written_at_rolls_and_at_a_stop),
        cmocka_unit_test(test_log_producer_snapshot__tells_duplicates_without_checkpoint_g51),
        cmocka_unit_test(test_log_producer_snapshot__batches_stand_in_for_a_bad_one_g51),
        cmocka_unit_test(test_log_producer_snapshot__batches_behind_it_are_added),
        cmocka_unit_test(test_log_producer_snapshot__behind_the_log_end_is_told_and_removed),
        cmocka_unit_test(test_log_producer_snapshot__goes_with_segments_and_topic),
        cmocka_unit_test(test_log_producer_snapshot__a_disk_that_refuses_costs_only_the_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
