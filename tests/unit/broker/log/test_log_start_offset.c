/* Where a log begins: DeleteRecords (G60), what may be read, which files go and when. */
#include "log_fixture.h"
#include "retention/removal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 21, SEGMENTS = 11 };

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = 400,
                               .tag = n * 16,
                               .timestamp_ms = 1700000000000 + (int64_t)n * 1000,
                               .producer_id = -1};
}

/* BATCHES batches of two records, two batches a segment: bases 0, 4, 8, ... 40; the last is half
 * full. */
static struct partition *fill(struct fixture *f, uint64_t seed) {
    static const struct topic_config_entry configs[] = {{"segment.bytes", "2000"}, {0}};
    fixture_init(f, seed);
    assert_int_equal(fixture_start(f), 0);
    struct partition *partition = fixture_topic(f, "t", 1, configs)->partitions[0];
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition, &spec), n * 2);
    }
    assert_int_equal(log_partition_of(partition)->segment_count, SEGMENTS);
    return partition;
}

static ssize_t try_read(struct fixture *f, struct partition *partition, int64_t offset) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, partition, offset, 1, &data);
    assert_true(size <= 0 || (int64_t)get_be64(data) == offset / 2 * 2);
    if (size >= 0) {
        free(data);
    }
    return size;
}

static void test_log_start_offset__delete_records_moves_it_to_any_offset_g60(void **state) {
    struct fixture f;
    struct partition *partition = fill(&f, 41);
    assert_int_equal(fixture_delete_records(&f, partition, 7), 0);
    assert_int_equal(partition->log_start_offset, 7);
    assert_int_equal(log_partition_of(partition)->segments[0].base_offset, 4);
    assert_int_equal(try_read(&f, partition, 6), -TOPIC_E_OUT_OF_RANGE);
    assert_true(try_read(&f, partition, 7) > 0); /* the batch that holds it, whole */
    assert_int_equal(fixture_delete_records(&f, partition, 3), 0); /* never back */
    assert_int_equal(partition->log_start_offset, 7);
    assert_int_equal(fixture_delete_records(&f, partition, BATCHES * 2 + 1), TOPIC_E_OUT_OF_RANGE);
    assert_int_equal(fixture_delete_records(&f, partition, -2), TOPIC_E_OUT_OF_RANGE);
    assert_int_equal(fixture_delete_records(&f, partition, -1), 0);
    assert_int_equal(partition->log_start_offset, BATCHES * 2);
    assert_int_equal(log_partition_of(partition)->segment_count, 0);
    assert_int_equal(try_read(&f, partition, BATCHES * 2), 0);
    struct batch_spec spec = spec_of(BATCHES);
    assert_int_equal(fixture_append(&f, partition, &spec), BATCHES * 2);
    assert_int_equal(log_partition_of(partition)->segments[0].base_offset, BATCHES * 2);
    assert_true(try_read(&f, partition, BATCHES * 2) > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_start_offset__survives_every_end(void **state) {
    for (unsigned end = 0; end < 12; end++) {
        struct fixture f;
        struct partition *partition = fill(&f, 50 + end);
        fixture_run_ms(&f, end % 3 == 1 ? 30000 : 0);
        int64_t offset = end < 4 ? 13 : BATCHES * 2;
        assert_int_equal(fixture_delete_records(&f, partition, offset), 0);
        if (end % 2 == 0) {
            struct batch_spec spec = spec_of(BATCHES);
            assert_int_equal(fixture_append(&f, partition, &spec), BATCHES * 2);
        }
        fixture_run_ms(&f, end % 3 == 2 ? 60000 : 0);
        for (unsigned round = 0; round < (end < 8 ? 1 : 2); round++) {
            if (end % 3 == 0) {
                fixture_stop(&f);
            } else {
                fixture_crash(&f, end % 3 == 1);
            }
            assert_int_equal(fixture_start(&f), 0);
            partition = fixture_partition(&f, "t", 0);
            assert_int_equal(partition->log_start_offset, offset);
            int64_t log_end = BATCHES * 2 + (end % 2 == 0 ? 2 : 0);
            assert_int_equal(partition->high_watermark, log_end);
            assert_int_equal(try_read(&f, partition, offset - 1), -TOPIC_E_OUT_OF_RANGE);
            for (int64_t o = offset; o < log_end; o++) {
                assert_true(try_read(&f, partition, o) > 0);
            }
        }
        struct batch_spec spec = spec_of(100);
        int64_t at = partition->log_end_offset;
        assert_int_equal(fixture_append(&f, partition, &spec), at);
        fixture_run_ms(&f, 60000); /* whatever is to be removed is removed */
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(try_read(&f, fixture_partition(&f, "t", 0), at) > 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_start_offset__files_go_when_the_older_checkpoint_covers_it(void **state) {
    struct fixture f;
    struct partition *partition = fill(&f, 42);
    fixture_run_ms(&f, 30000); /* written and checkpointed */
    uint32_t number = partition->topic->number;
    assert_int_equal(fixture_delete_records(&f, partition, 13), 0);
    uint64_t sequence = f.log->removals[0].sequence;
    assert_int_equal(f.log->removal_count, 3);
    while (f.log->older_sequence < sequence) {
        assert_true(fixture_has_file(&f, number, 0, 0, SEGMENT_LOG));
        assert_true(fixture_has_file(&f, number, 0, 8, SEGMENT_LOG));
        fixture_step(&f);
    }
    fixture_until(&f, f.log->removal_count == 0);
    for (int64_t base = 0; base < BATCHES * 2; base += 4) {
        assert_int_equal(fixture_has_file(&f, number, 0, base, SEGMENT_LOG), base >= 12);
    }
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(try_read(&f, fixture_partition(&f, "t", 0), 13) > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* What has left the list of removals must be gone for good: nobody would look for it again. */
static void test_log_start_offset__a_power_cut_brings_no_file_back(void **state) {
    for (unsigned seed = 0; seed < 6; seed++) {
        struct fixture f;
        struct partition *partition = fill(&f, 60 + seed);
        fixture_run_ms(&f, 30000);
        uint32_t number = partition->topic->number;
        assert_int_equal(fixture_delete_records(&f, partition, 41), 0);
        fixture_until(&f, f.log->removal_count == 0);
        fixture_crash(&f, true);
        for (int64_t base = 0; base < 40; base += 4) {
            assert_false(fixture_has_file(&f, number, 0, base, SEGMENT_LOG));
        }
        assert_true(fixture_has_file(&f, number, 0, 40, SEGMENT_LOG));
        fixture_deinit(&f);
    }
}

static void test_log_start_offset__removal_goes_on_after_a_restart(void **state) {
    struct fixture f;
    struct partition *partition = fill(&f, 43);
    fixture_run_ms(&f, 30000);
    f.log->limits.checkpoint_ms = 1000000; /* only that of the stop */
    uint32_t number = partition->topic->number;
    assert_int_equal(fixture_delete_records(&f, partition, -1), 0);
    assert_int_equal(f.log->removal_count, SEGMENTS);
    fixture_stop(&f);
    assert_true(fixture_has_file(&f, number, 0, 0, SEGMENT_LOG));
    assert_int_equal(fixture_start(&f), 0);
    fixture_until(&f, f.log->removal_count == 0);
    for (int64_t base = 0; base < BATCHES * 2; base += 4) {
        assert_false(fixture_has_file(&f, number, 0, base, SEGMENT_LOG));
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_start_offset__guard_of_a_consumer_does_not_yield(void **state) {
    struct fixture f;
    struct partition *partition = fill(&f, 44);
    assert_int_equal(partition_guard(f.log, partition, "notify", 9), 0);
    assert_int_equal(partition_guard(f.log, partition, "relay", 20), 0);
    assert_int_equal(fixture_delete_records(&f, partition, 10), BROKER_E_POLICY);
    assert_int_equal(fixture_delete_records(&f, partition, -1), BROKER_E_POLICY);
    assert_int_equal(partition->log_start_offset, 0);
    assert_int_equal(fixture_delete_records(&f, partition, 9), 0);
    assert_int_equal(partition_guard(f.log, partition, "notify", INT64_MAX), 0);
    assert_int_equal(fixture_delete_records(&f, partition, 20), 0);
    assert_int_equal(partition->log_start_offset, 20);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_start_offset__compacted_topics_refuse(void **state) {
    struct fixture f;
    static const struct topic_config_entry configs[] = {{"cleanup.policy", "compact"}, {0}};
    fixture_init(&f, 45);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, configs)->partitions[0];
    assert_int_equal(fixture_delete_records(&f, partition, -1), BROKER_E_POLICY);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The registry tells it as well: no checkpoint is left, every folder is read. */
static void test_log_start_offset__survives_the_loss_of_both_checkpoints(void **state) {
    for (unsigned round = 0; round < 2; round++) {
        struct fixture f;
        struct partition *partition = fill(&f, 46 + round);
        assert_int_equal(fixture_delete_records(&f, partition, 13), 0);
        fixture_run_ms(&f, round * 60000); /* the files are there, or gone */
        fixture_crash(&f, false);
        disk_sim_corrupt(f.disk, "checkpoint.0", 50, 4, 1);
        disk_sim_corrupt(f.disk, "checkpoint.1", 50, 4, 2);
        disk_sim_corrupt(f.disk, "checkpoint.0", 5, 4, 1);
        disk_sim_corrupt(f.disk, "checkpoint.1", 5, 4, 2);
        assert_int_equal(fixture_start(&f), 0);
        partition = fixture_partition(&f, "t", 0);
        assert_int_equal(partition->leader_epoch, 1); /* it was such a start */
        assert_int_equal(partition->log_start_offset, 13);
        assert_int_equal(partition->high_watermark, BATCHES * 2);
        for (int64_t o = 13; o < BATCHES * 2; o++) {
            assert_true(try_read(&f, partition, o) > 0);
        }
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_start_offset__delete_records_moves_it_to_any_offset_g60),
        cmocka_unit_test(test_log_start_offset__survives_every_end),
        cmocka_unit_test(test_log_start_offset__files_go_when_the_older_checkpoint_covers_it),
        cmocka_unit_test(test_log_start_offset__a_power_cut_brings_no_file_back),
        cmocka_unit_test(test_log_start_offset__removal_goes_on_after_a_restart),
        cmocka_unit_test(test_log_start_offset__guard_of_a_consumer_does_not_yield),
        cmocka_unit_test(test_log_start_offset__compacted_topics_refuse),
        cmocka_unit_test(test_log_start_offset__survives_the_loss_of_both_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
