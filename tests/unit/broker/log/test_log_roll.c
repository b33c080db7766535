/* When a segment is full: bytes, age, range of offsets; and the time index whatever clocks do. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS      INT64_C(3600000)
#define YEAR_2100_MS INT64_C(4102444800000)
#define START_MS     INT64_C(1700000000000) /* of the fixture's clock */

static struct partition *start(struct fixture *f, uint64_t seed, const char *config,
                               const char *value) {
    const struct topic_config_entry configs[] = {{config, value}, {0}};
    fixture_init(f, seed);
    assert_int_equal(fixture_start(f), 0);
    return fixture_topic(f, "t", 1, configs)->partitions[0];
}

static int64_t append_at(struct fixture *f, struct partition *partition, int64_t timestamp_ms) {
    struct batch_spec spec = {.records = 1,
                              .value_bytes = 100,
                              .tag = (uint64_t)timestamp_ms,
                              .timestamp_ms = timestamp_ms,
                              .producer_id = -1};
    return fixture_append(f, partition, &spec);
}

static uint32_t segments(const struct partition *partition) {
    return ((const struct log_partition *)partition)->segment_count;
}

static void end(struct fixture *f) {
    fixture_stop(f);
    fixture_deinit(f);
}

static void test_log_roll__by_timestamps_of_the_batches(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 71, "segment.ms", "3600000");
    append_at(&f, partition, START_MS - 10 * HOUR_MS); /* history is copied in */
    append_at(&f, partition, START_MS - 9 * HOUR_MS);
    assert_int_equal(segments(partition), 1); /* exactly an hour is not more than one */
    append_at(&f, partition, START_MS - 9 * HOUR_MS + 1);
    assert_int_equal(segments(partition), 2);
    append_at(&f, partition, START_MS - 8 * HOUR_MS + 2);
    assert_int_equal(segments(partition), 3);
    end(&f);
}

/* Whatever segment.ms allows; and in a compacted topic alone. */
static void test_log_roll__by_max_compaction_lag(void **state) {
    static const struct topic_config_entry configs[] = {
        {"max.compaction.lag.ms", "3600000"}, {"cleanup.policy", "compact"}, {0}};
    struct fixture f;
    struct partition *plain = start(&f, 70, "max.compaction.lag.ms", "3600000");
    struct partition *compacted = fixture_topic(&f, "c", 1, configs)->partitions[0];
    for (unsigned i = 0; i < 2; i++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 100,
                                  .timestamp_ms = START_MS - 10 * HOUR_MS + i * (HOUR_MS + 1),
                                  .producer_id = -1,
                                  .keys = 1};
        assert_int_equal(fixture_append(&f, plain, &spec), i);
        assert_int_equal(fixture_append(&f, compacted, &spec), i);
    }
    assert_int_equal(segments(plain), 1);
    assert_int_equal(segments(compacted), 2);
    end(&f);
}

static void test_log_roll__by_our_clock_when_theirs_goes_backwards_g33(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 72, "segment.ms", "3600000");
    append_at(&f, partition, START_MS);
    clock_manual_advance(&f.clock, HOUR_MS / 2 * NS_PER_MS);
    append_at(&f, partition, START_MS - 5 * HOUR_MS);
    assert_int_equal(segments(partition), 1);
    clock_manual_advance(&f.clock, (HOUR_MS / 2 + 1000) * NS_PER_MS);
    append_at(&f, partition, START_MS - 6 * HOUR_MS);
    assert_int_equal(segments(partition), 2);
    end(&f);
}

static void test_log_roll__year_2100_counts_as_now_g38(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 73, "segment.ms", "3600000");
    append_at(&f, partition, START_MS);
    append_at(&f, partition, YEAR_2100_MS);
    append_at(&f, partition, START_MS);
    assert_int_equal(segments(partition), 1); /* it does not roll */
    clock_manual_advance(&f.clock, (HOUR_MS + 1000) * NS_PER_MS);
    append_at(&f, partition, YEAR_2100_MS);
    assert_int_equal(segments(partition), 2);
    clock_manual_advance(&f.clock, (HOUR_MS + 1000) * NS_PER_MS);
    append_at(&f, partition, START_MS + 2 * HOUR_MS);
    assert_int_equal(segments(partition), 3); /* nor keep one from rolling that it has begun */
    end(&f);
}

static void test_log_roll__age_is_known_after_a_restart(void **state) {
    for (unsigned kind = 0; kind < 2; kind++) {
        struct fixture f;
        struct partition *partition = start(&f, 74, "segment.ms", "3600000");
        append_at(&f, partition, -1);
        fixture_run_ms(&f, 30000);
        if (kind == 0) {
            fixture_stop(&f);
        } else {
            fixture_crash(&f, true); /* the checkpoint has it */
        }
        clock_manual_advance(&f.clock, (HOUR_MS - 29000) * NS_PER_MS);
        assert_int_equal(fixture_start(&f), 0);
        partition = fixture_partition(&f, "t", 0);
        append_at(&f, partition, -1);
        assert_int_equal(segments(partition), 2);
        end(&f);
    }
}

/* An index holds 32 bits less the base, and Kafka's readers take no more either. */
static void test_log_roll__by_range_of_offsets(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 75, "segment.ms", "3600000");
    append_at(&f, partition, START_MS);
    partition->log_end_offset = partition->high_watermark = INT32_MAX - 1; /* a gap of damage */
    append_at(&f, partition, START_MS);
    append_at(&f, partition, START_MS);
    assert_int_equal(segments(partition), 1);
    append_at(&f, partition, START_MS);
    assert_int_equal(segments(partition), 2);
    assert_int_equal(log_partition_of(partition)->segments[1].base_offset, (int64_t)INT32_MAX + 1);
    end(&f);
}

static void test_log_roll__by_bytes(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 76, "segment.bytes", "400");
    for (int64_t i = 0; i < 8; i++) {
        append_at(&f, partition, START_MS);
        const struct log_partition *log = log_partition_of(partition);
        assert_true(log->segments[log->segment_count - 1].bytes <= 400);
    }
    assert_int_equal(segments(partition), 4);
    end(&f);
}

/* Timestamps that fall, rise and leap: what is found is the first at or after, by a plain walk. */
static void test_log_roll__lookup_by_time_with_wild_clocks_g33_g38(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 77, "segment.bytes", "12000");
    int64_t times[300];
    for (unsigned i = 0; i < 300; i++) {
        times[i] = i == 100 ? YEAR_2100_MS : START_MS + (int64_t)((i * 7919) % 300) * 1000;
        assert_int_equal(append_at(&f, partition, times[i]), i);
    }
    for (unsigned round = 0; round < 3; round++) {
        int64_t log_start = round == 2 ? 101 : 0;
        for (int64_t t = START_MS - 1000; t < START_MS + 302000; t += 6500) {
            int64_t expected = -1;
            for (int64_t i = log_start; i < 300 && expected < 0; i++) {
                expected = times[i] >= t ? i : -1;
            }
            assert_int_equal(fixture_lookup(&f, partition, t), expected);
        }
        /* Below the start in the last round, and told all the same: its segment is there. */
        assert_int_equal(fixture_lookup(&f, partition, -3), 100);
        fixture_run_ms(&f, 3000); /* from the files now */
        if (round == 1) {
            assert_int_equal(fixture_delete_records(&f, partition, 101), 0);
        }
    }
    end(&f);
}

static void test_log_roll__lookup_passes_over_records_below_the_start(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 78, "segment.ms", "3600000");
    struct batch_spec spec = {
        .records = 4, .value_bytes = 100, .timestamp_ms = START_MS, .producer_id = -1};
    assert_int_equal(fixture_append(&f, partition, &spec), 0);
    assert_int_equal(fixture_delete_records(&f, partition, 2), 0);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(fixture_lookup(&f, partition, START_MS), 2);
        assert_int_equal(fixture_lookup(&f, partition, START_MS + 3), 3);
        assert_int_equal(fixture_lookup(&f, partition, -3), 3);
        assert_int_equal(fixture_lookup(&f, partition, START_MS + 4), -1);
        fixture_run_ms(&f, 3000); /* from the file now */
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_roll__by_timestamps_of_the_batches),
        cmocka_unit_test(test_log_roll__by_max_compaction_lag),
        cmocka_unit_test(test_log_roll__by_our_clock_when_theirs_goes_backwards_g33),
        cmocka_unit_test(test_log_roll__year_2100_counts_as_now_g38),
        cmocka_unit_test(test_log_roll__age_is_known_after_a_restart),
        cmocka_unit_test(test_log_roll__by_range_of_offsets),
        cmocka_unit_test(test_log_roll__by_bytes),
        cmocka_unit_test(test_log_roll__lookup_by_time_with_wild_clocks_g33_g38),
        cmocka_unit_test(test_log_roll__lookup_passes_over_records_below_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
