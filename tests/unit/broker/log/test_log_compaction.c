/* Compaction in the running log: when it runs, the swap, what readers see meanwhile. The rules of
 * what is kept are tests of the engine (test_compact.c). */
#include "checkpoint/log_keeper.h"
#include "log_fixture.h"

#include <errno.h>
#include <eventbox/loop/disk_sim.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 5 };

static const struct topic_config_entry compacted[] = {
    {"cleanup.policy", "compact"},
    {"segment.bytes", "600"},
    {0},
};

static void begin(struct fixture *f, uint64_t seed) {
    fixture_init(f, seed);
    f->limits.checkpoint_ms = 200;
    f->limits.cleaner_ms = 100;
    f->limits.tail_bytes = 2000; /* reads come from files */
    assert_int_equal(fixture_start(f), 0);
}

/* @count records, one a batch; the value of offset n begins with n. */
static void append_some(struct fixture *f, struct partition *partition, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 10 + (size_t)(partition->log_end_offset *
                                                               partition->log_end_offset % 23),
                                  .tag = (uint64_t)partition->log_end_offset,
                                  .timestamp_ms = 1700000000000,
                                  .producer_id = -1,
                                  .keys = KEYS};
        assert_int_equal(fixture_append(f, partition, &spec), spec.tag);
    }
}

/* Reads from @offset to the end; how many records there are. Of each key the last must be there. */
static unsigned read_all(struct fixture *f, struct partition *partition, int64_t offset) {
    unsigned count = 0;
    int64_t last[KEYS];
    memset(last, -1, sizeof last);
    while (offset < partition->high_watermark) {
        uint8_t *data;
        ssize_t size = fixture_read(f, partition, offset, 3000, &data);
        if (size <= 0) {
            fail_msg("reading at %lld answers %zd", (long long)offset, size);
        }
        for (size_t at = 0; at < (size_t)size;) {
            struct record_iterator it;
            struct record record;
            size_t bytes = get_be32(data + at + 8) + 12;
            assert_int_equal(record_iterator_init(&it, span_of(data + at, bytes)), 0);
            while (record_iterator_next(&it, &record) == 1) {
                uint64_t tag;
                memcpy(&tag, record.value.data, sizeof tag);
                assert_int_equal(tag, record.offset);
                assert_true(record.offset >= offset);
                last[record.offset % KEYS] = record.offset;
                count++;
            }
            offset = it.batch.base_offset + it.batch.last_offset_delta + 1;
            record_iterator_deinit(&it);
            at += bytes;
        }
        free(data);
    }
    for (int64_t key = 0; key < KEYS; key++) {
        int64_t end = partition->high_watermark;
        assert_int_equal(last[key], end - 1 - (end - 1 - key) % KEYS);
    }
    return count;
}

static uint32_t segments(struct partition *partition) {
    return log_partition_of(partition)->segment_count;
}

/* Until nothing is dirty enough any more; less than half of what is there may still be. */
static void settle(struct fixture *f) {
    fixture_run_ms(f, 5000);
    fixture_until(f, !f->log->cleaner.busy);
}

static void test_log_compaction__leaves_the_last_record_of_each_key(void **state) {
    struct fixture f;
    begin(&f, 61);
    struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
    append_some(&f, partition, 100);
    settle(&f);
    assert_in_range(read_all(&f, partition, 0), KEYS, 25);
    struct topic_log_stats stats;
    topic_log_stats(f.log, &stats);
    assert_true(stats.compactions > 0);
    assert_true(stats.compaction_records_removed >= 70);
    assert_true(stats.compaction_bytes_after < stats.compaction_bytes_before / 2);
    assert_true(stats.compaction_map_bytes > 0);
    /* It goes on, and old files are gone. */
    append_some(&f, partition, 50);
    settle(&f);
    assert_in_range(read_all(&f, partition, 0), KEYS, 25);
    assert_false(fixture_has_file(&f, partition->topic->number, 0, 5, SEGMENT_LOG));
    /* After a clean stop, after a kill, and without power. */
    for (unsigned end = 0; end < 3; end++) {
        if (end == 0) {
            fixture_stop(&f);
        } else {
            fixture_crash(&f, end == 2);
        }
        assert_int_equal(fixture_start(&f), 0);
        partition = fixture_partition(&f, "t", 0);
        assert_int_equal(partition->log_end_offset, 150);
        assert_in_range(read_all(&f, partition, 0), KEYS, 25);
        assert_true(log_partition_of(partition)->cleaned_to >= 100);
    }
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Each read sees what was written or what is left of it, at whatever moment of a swap it comes. */
static void test_log_compaction__reads_and_lookups_go_on_meanwhile(void **state) {
    for (uint64_t seed = 70; seed < 80; seed++) {
        struct fixture f;
        begin(&f, seed);
        struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
        for (unsigned round = 0; round < 6; round++) {
            append_some(&f, partition, 30);
            for (unsigned i = 0; i < 20; i++) {
                (void)read_all(&f, partition, 0);
                fixture_run_ms(&f, 100); /* the cleaner looks again, in the middle of the reads */
            }
        }
        settle(&f);
        assert_true(log_partition_of(partition)->swap_count > 1);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* What memory held of the old segments would go on being read. */
static void test_log_compaction__memory_forgets_what_is_superseded(void **state) {
    struct fixture f;
    begin(&f, 68);
    f.log->limits.tail_bytes = MIB(8);
    struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
    append_some(&f, partition, 60);
    settle(&f);
    assert_in_range(read_all(&f, partition, 0), KEYS, 25);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static int find_cleaned(void *userdata, const char *name, bool is_dir) {
    const char *end = strrchr(name, '.');
    return end && strcmp(end, ".cleaned") == 0;
}

static bool has_new_files(struct fixture *f, struct partition *partition) {
    char folder[SEGMENT_NAME_SIZE];
    segment_folder(partition->topic->number, 0, folder);
    return disk_list(f->disk, folder, find_cleaned, NULL) == 1;
}

/* From its frame on the list has the new segments: a checkpoint before the renames must name them.
 */
static void test_log_compaction__a_checkpoint_amid_a_swap_lets_a_start_finish_it(void **state) {
    unsigned amid = 0;
    for (uint64_t seed = 100; seed < 180; seed++) {
        struct fixture f;
        begin(&f, seed);
        struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
        append_some(&f, partition, 60);
        fixture_until(&f, f.log->swap && !f.log->checkpoint.under_way && !f.log->mid_frame);
        uint64_t sequence = f.log->durable_sequence;
        checkpoint_begin(f.log, false);
        while (f.log->swap && f.log->newest_sequence < sequence) {
            fixture_step(&f);
        }
        amid += f.log->newest_sequence >= sequence && f.log->swap && has_new_files(&f, partition);
        fixture_crash(&f, seed % 2);
        assert_int_equal(fixture_start(&f), 0);
        (void)read_all(&f, fixture_partition(&f, "t", 0), 0);
        settle(&f);
        assert_in_range(read_all(&f, fixture_partition(&f, "t", 0), 0), KEYS, 25);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
    assert_true(amid > 0);
}

/* New files have their names, old ones without a successor are to go: a kill there is no damage. */
static void test_log_compaction__verify_notes_what_a_kill_left_of_a_swap(void **state) {
    unsigned noted = 0;
    for (uint64_t call = 1; call < 80 && noted == 0; call++) {
        struct fixture f;
        begin(&f, 181);
        struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
        append_some(&f, partition, 60);
        settle(&f); /* what is left of these is joined by the next run */
        append_some(&f, partition, 60);
        fixture_until(&f, f.log->swap && has_new_files(&f, partition));
        disk_sim_cut_at(f.disk, disk_sim_calls(f.disk) + call);
        while (f.log->swap && !disk_sim_is_cut(f.disk)) {
            fixture_step(&f);
        }
        bool unlinking = disk_sim_is_cut(f.disk) &&
                         strncmp(disk_sim_last_call(f.disk), "unlink topics/", 14) == 0;
        fixture_crash(&f, false);
        if (unlinking) {
            assert_int_equal(fixture_findings(&f, FINDING_MENDS), 0);
            assert_true(fixture_findings(&f, FINDING_NOTE) > 0);
            noted++;
        }
        fixture_deinit(&f);
    }
    assert_int_equal(noted, 1);
}

/* Without any checkpoint the folders are read; the records of swaps long done change nothing. */
static void test_log_compaction__survives_the_loss_of_both_checkpoints(void **state) {
    for (uint64_t seed = 200; seed < 210; seed++) {
        struct fixture f;
        begin(&f, seed);
        struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
        append_some(&f, partition, 60);
        settle(&f);
        append_some(&f, partition, 60);
        fixture_crash(&f, seed % 2);
        assert_int_equal(disk_sim_corrupt(f.disk, "checkpoint.0", 0, 64, seed), 0);
        assert_int_equal(disk_sim_corrupt(f.disk, "checkpoint.1", 0, 64, seed), 0);
        assert_int_equal(fixture_start(&f), 0);
        partition = fixture_partition(&f, "t", 0);
        assert_int_equal(partition->log_end_offset, 120);
        (void)read_all(&f, partition, 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_compaction__a_guard_never_yields(void **state) {
    struct fixture f;
    begin(&f, 62);
    struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
    assert_int_equal(partition_guard(f.log, partition, "reader", 50), 0);
    append_some(&f, partition, 100);
    fixture_until(&f, f.log->stats.compactions > 0 && !f.log->swap);
    fixture_run_ms(&f, 3000);
    assert_in_range(read_all(&f, partition, 0), 50 + KEYS, 60 + KEYS); /* and what ends a segment */
    assert_true(log_partition_of(partition)->cleaned_to <= 50);
    assert_int_equal(partition_guard(f.log, partition, "reader", INT64_MAX), 0);
    settle(&f);
    assert_in_range(read_all(&f, partition, 0), KEYS, 25);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_compaction__waits_for_min_compaction_lag(void **state) {
    static const struct topic_config_entry configs[] = {{"cleanup.policy", "compact"},
                                                        {"segment.bytes", "600"},
                                                        {"min.compaction.lag.ms", "3600000"},
                                                        {0}};
    struct fixture f;
    begin(&f, 63);
    struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
    append_some(&f, partition, 50);
    fixture_run_ms(&f, 60000);
    assert_true(clock_wall_ms(&f.clock.clock) - 1700000000000 < 3600000);
    assert_int_equal(f.log->stats.compactions, 0);
    fixture_run_ms(&f, 3600000);
    assert_true(f.log->stats.compactions > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* A ratio that is never reached, and a lag that forces. */
static void test_log_compaction__max_compaction_lag_forces_it(void **state) {
    static const struct topic_config_entry configs[] = {{"cleanup.policy", "compact"},
                                                        {"segment.bytes", "600"},
                                                        {"min.cleanable.dirty.ratio", "1.0"},
                                                        {"max.compaction.lag.ms", "30000"},
                                                        {0}};
    struct fixture f;
    begin(&f, 64);
    struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
    append_some(&f, partition, 50);
    fixture_run_ms(&f, 10000);
    assert_int_equal(f.log->stats.compactions, 0);
    fixture_run_ms(&f, 30000);
    assert_true(f.log->stats.compactions > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Nothing more is written, the segment is far from full: it is closed for compaction all the same,
 * and what comes later begins another, after whatever kind of end. */
static void test_log_compaction__max_compaction_lag_closes_an_idle_segment(void **state) {
    static const struct topic_config_entry configs[] = {
        {"cleanup.policy", "compact"}, {"max.compaction.lag.ms", "30000"}, {0}};
    for (unsigned end = 0; end < 4; end++) {
        struct fixture f;
        begin(&f, 300 + end);
        struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
        append_some(&f, partition, 50);
        fixture_run_ms(&f, 20000);
        assert_int_equal(f.log->stats.compactions, 0);
        fixture_until(&f, f.log->stats.compactions > 0 && !f.log->cleaner.busy);
        assert_int_equal(segments(partition), 1);
        assert_int_equal(log_partition_of(partition)->cleaned_to, 50);
        assert_int_equal(read_all(&f, partition, 0), KEYS);
        if (end == 1) {
            fixture_stop(&f);
        } else if (end > 1) {
            fixture_crash(&f, end == 3);
        }
        assert_true(end == 0 || fixture_start(&f) == 0);
        partition = fixture_partition(&f, "t", 0);
        assert_int_equal(read_all(&f, partition, 0), KEYS);
        append_some(&f, partition, 10);
        assert_int_equal(segments(partition), 2);
        assert_int_equal(log_partition_of(partition)->segments[1].base_offset, 50);
        assert_int_equal(read_all(&f, partition, 0), KEYS + 10);
        uint64_t before = f.log->stats.compactions;
        fixture_until(&f, f.log->stats.compactions > before && !f.log->cleaner.busy);
        assert_int_equal(read_all(&f, partition, 0), KEYS);
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(read_all(&f, fixture_partition(&f, "t", 0), 0), KEYS);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* Appends come all the time between the choice of an idle segment and its swap, and the log is
 * killed at any moment after it. */
static void test_log_compaction__a_closed_segment_is_not_written_to(void **state) {
    static const struct topic_config_entry configs[] = {
        {"cleanup.policy", "compact"}, {"max.compaction.lag.ms", "2000"}, {0}};
    for (uint64_t seed = 400; seed < 440; seed++) {
        struct fixture f;
        begin(&f, seed);
        struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
        for (unsigned round = 0; round < 4; round++) {
            append_some(&f, partition, 20);
            fixture_until(&f, f.log->cleaner.busy);
            append_some(&f, partition, 1 + seed % 7);
            (void)read_all(&f, partition, 0);
        }
        for (uint64_t step = 0; step < seed % 11 * 20; step++) {
            fixture_step(&f);
        }
        int64_t log_end = partition->high_watermark;
        fixture_crash(&f, seed % 2);
        assert_int_equal(fixture_start(&f), 0);
        partition = fixture_partition(&f, "t", 0);
        assert_int_equal(partition->high_watermark, log_end);
        (void)read_all(&f, partition, 0);
        append_some(&f, partition, 5);
        (void)read_all(&f, partition, 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* The cleaner looks at a moment when a batch is on its way to the idle segment. */
static void test_log_compaction__a_segment_with_appends_under_way_is_not_closed(void **state) {
    static const struct topic_config_entry configs[] = {
        {"cleanup.policy", "compact"}, {"max.compaction.lag.ms", "2000"}, {0}};
    for (uint64_t seed = 500; seed < 510; seed++) {
        struct fixture f;
        struct one one;
        begin(&f, seed);
        struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
        append_some(&f, partition, 20);
        const struct log_partition *mine = log_partition_of(partition);
        fixture_until(&f, f.log->older_sequence >= mine->segments[0].last_sequence);
        assert_false(f.log->cleaner.busy);
        clock_manual_advance(&f.clock, 150 * NS_PER_MS);
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 10,
                                  .tag = 20,
                                  .timestamp_ms = 1700000000000,
                                  .producer_id = -1,
                                  .keys = KEYS};
        assert_int_equal(one_start(&f, &one, partition, &spec), 0);
        while (loop_step(f.loop)) { /* without the log's threads: it is not durable */
        }
        assert_false(one.done || f.log->cleaner.busy);
        fixture_until(&f, one.done);
        assert_int_equal(one.status, 0);
        one_free(&one);
        fixture_until(&f, f.log->stats.compactions > 0 && !f.log->cleaner.busy);
        (void)read_all(&f, partition, 0);
        fixture_stop(&f);
        assert_int_equal(fixture_start(&f), 0);
        (void)read_all(&f, fixture_partition(&f, "t", 0), 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* Where the frame of the swap is replayed, the next batch does not go where the old segment ended.
 */
static void test_log_compaction__a_start_does_not_append_behind_what_was_replaced(void **state) {
    static const struct topic_config_entry configs[] = {{"cleanup.policy", "compact"}, {0}};
    struct fixture f;
    begin(&f, 520);
    struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
    assert_int_equal(
        topic_log_set_default(f.log, TOPIC_MAX_COMPACTION_LAG_MS, SPAN_LITERAL("2000")), 0);
    append_some(&f, partition, 20);
    fixture_until(&f, f.log->cleaner.busy);
    f.log->limits.checkpoint_ms = INT64_MAX / 2;
    fixture_until(&f, !f.log->cleaner.busy);
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0); /* no age makes the segment end now */
    partition = fixture_partition(&f, "t", 0);
    append_some(&f, partition, 5);
    fixture_run_ms(&f, 3000);
    assert_int_equal(segments(partition), 2);
    assert_int_equal(read_all(&f, partition, 0), KEYS + 5);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_compaction__damage_is_told_once_and_nothing_is_touched(void **state) {
    struct fixture f;
    char name[SEGMENT_NAME_SIZE];
    begin(&f, 65);
    struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
    assert_int_equal(partition_guard(f.log, partition, "reader", 0), 0);
    append_some(&f, partition, 60);
    fixture_run_ms(&f, 3000);
    uint32_t before = segments(partition);
    struct segment_id id = {partition->topic->number, 0,
                            log_partition_of(partition)->segments[3].base_offset};
    segment_name(&id, SEGMENT_LOG, name);
    assert_int_equal(disk_sim_corrupt(f.disk, name, 100, 1, 9), 0);
    assert_int_equal(partition_guard(f.log, partition, "reader", INT64_MAX), 0);
    fixture_until(&f, f.events[TOPIC_LOG_DAMAGED] > 0);
    fixture_run_ms(&f, 5000);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 1);
    assert_in_range(segments(partition), before - 2, before); /* the three before it, at most */
    assert_int_equal(log_partition_of(partition)->segments[segments(partition) - before + 3].bytes,
                     log_partition_of(partition)->segments[segments(partition) - before + 3].bytes);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_compaction__other_topics_and_the_registry_are_left_alone(void **state) {
    static const struct topic_config_entry configs[] = {{"segment.bytes", "600"}, {0}};
    struct fixture f;
    begin(&f, 66);
    struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
    append_some(&f, partition, 50);
    uint32_t before = segments(partition);
    fixture_run_ms(&f, 5000);
    assert_int_equal(segments(partition), before);
    assert_int_equal(f.log->stats.compactions, 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* A start that finds files of a run which a kill has ended. */
/* A swap whose renaming fails leaves names and memory at odds until the next start, which finishes
 * it. Until then reads of that partition fail; nobody is told that his records are damaged. */
static void test_log_compaction__a_failed_rename_is_no_damage(void **state) {
    unsigned broken = 0;
    for (uint64_t call = 1; call < 400 && broken < 3; call++) {
        struct fixture f;
        begin(&f, 66);
        struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
        append_some(&f, partition, 60);
        f.expect_failures = true;
        disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + call, -EIO);
        fixture_run_ms(&f, 3000);
        disk_sim_fail_at(f.disk, 0, 0);
        for (int64_t offset = 0; offset < 60; offset++) {
            uint8_t *data;
            ssize_t size = fixture_read(&f, partition, offset, 200, &data);
            assert_int_not_equal(size, -BROKER_E_CORRUPT);
            assert_true(size > 0 || log_partition_of(partition)->swap_broken);
            if (size > 0) {
                free(data);
            }
        }
        broken += log_partition_of(partition)->swap_broken;
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_crash(&f, call % 2 == 0);
        assert_int_equal(fixture_start(&f), 0);
        (void)read_all(&f, fixture_partition(&f, "t", 0), 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
    assert_int_equal(broken, 3);
}

static void test_log_compaction__leftovers_are_swept_away(void **state) {
    struct fixture f;
    char name[SEGMENT_NAME_SIZE + 32], folder[SEGMENT_NAME_SIZE];
    begin(&f, 67);
    struct partition *partition = fixture_topic(&f, "t", 1, compacted)->partitions[0];
    append_some(&f, partition, 30);
    fixture_run_ms(&f, 3000);
    struct segment_id id = {partition->topic->number, 0, 0};
    segment_name(&id, SEGMENT_LOG, name);
    strcat(name, ".ffff.cleaned");
    struct disk_file *file;
    assert_int_equal(disk_open(f.disk, name, DISK_WRITE | DISK_CREATE, &file), 0);
    disk_close(file);
    segment_folder(id.topic, 0, folder);
    assert_int_equal(disk_sync_dir(f.disk, folder), 0);
    fixture_crash(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    fixture_run_ms(&f, 1000);
    assert_int_equal(disk_open(f.disk, name, DISK_READ, &file), DISK_E_NOT_FOUND);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_compaction__leaves_the_last_record_of_each_key),
        cmocka_unit_test(test_log_compaction__reads_and_lookups_go_on_meanwhile),
        cmocka_unit_test(test_log_compaction__memory_forgets_what_is_superseded),
        cmocka_unit_test(test_log_compaction__a_checkpoint_amid_a_swap_lets_a_start_finish_it),
        cmocka_unit_test(test_log_compaction__verify_notes_what_a_kill_left_of_a_swap),
        cmocka_unit_test(test_log_compaction__survives_the_loss_of_both_checkpoints),
        cmocka_unit_test(test_log_compaction__a_guard_never_yields),
        cmocka_unit_test(test_log_compaction__waits_for_min_compaction_lag),
        cmocka_unit_test(test_log_compaction__max_compaction_lag_forces_it),
        cmocka_unit_test(test_log_compaction__max_compaction_lag_closes_an_idle_segment),
        cmocka_unit_test(test_log_compaction__a_closed_segment_is_not_written_to),
        cmocka_unit_test(test_log_compaction__a_segment_with_appends_under_way_is_not_closed),
        cmocka_unit_test(test_log_compaction__a_start_does_not_append_behind_what_was_replaced),
        cmocka_unit_test(test_log_compaction__damage_is_told_once_and_nothing_is_touched),
        cmocka_unit_test(test_log_compaction__other_topics_and_the_registry_are_left_alone),
        cmocka_unit_test(test_log_compaction__a_failed_rename_is_no_damage),
        cmocka_unit_test(test_log_compaction__leftovers_are_swept_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
