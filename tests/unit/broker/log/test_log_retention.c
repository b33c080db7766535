/* Retention by time and size, what holds it, what it leaves alone (G38, G52, G60). */
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
    const struct topic_config_entry configs[] = {{config, value}, {"segment.bytes", "600"}, {0}};
    fixture_init(f, seed);
    f->limits.retention_check_ms = 1000;
    assert_int_equal(fixture_start(f), 0);
    return fixture_topic(f, "t", 1, configs)->partitions[0];
}

static int64_t append_at(struct fixture *f, struct partition *partition, int64_t timestamp_ms) {
    struct batch_spec spec = {.records = 1,
                              .value_bytes = 200,
                              .tag = (uint64_t)timestamp_ms,
                              .timestamp_ms = timestamp_ms,
                              .producer_id = -1};
    return fixture_append(f, partition, &spec);
}

static void set_clock(struct fixture *f, int64_t wall_ms) {
    clock_manual_advance(&f->clock,
                         wall_ms * NS_PER_MS - clock_wall_ms(&f->clock.clock) * NS_PER_MS);
}

/* Two batches a segment, a minute apart: bases 0, 2, 4, ... */
static void fill(struct fixture *f, struct partition *partition, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        set_clock(f, MAX(START_MS + i * 60000, clock_wall_ms(&f->clock.clock)));
        append_at(f, partition, START_MS + i * 60000);
    }
    assert_int_equal(log_partition_of(partition)->segment_count, (count + 1) / 2);
}

static ssize_t try_read(struct fixture *f, struct partition *partition, int64_t offset) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, partition, offset, 1, &data);
    if (size >= 0) {
        free(data);
    }
    return size;
}

static void end(struct fixture *f) {
    fixture_stop(f);
    fixture_deinit(f);
}

static void test_log_retention__whole_segments_go_by_time_g60(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 81, "retention.ms", "3600000");
    fill(&f, partition, 20);
    /* Of segment 4 the newest record, number 9, is just an hour old. */
    set_clock(&f, START_MS + 9 * 60000 + HOUR_MS - 2000);
    fixture_run_ms(&f, 1500);
    assert_int_equal(partition->log_start_offset, 8);
    fixture_run_ms(&f, 3000);
    assert_int_equal(partition->log_start_offset, 10);
    assert_int_equal(try_read(&f, partition, 9), -TOPIC_E_OUT_OF_RANGE);
    assert_true(try_read(&f, partition, 10) > 0);
    fixture_until(&f, f.log->removal_count == 0);
    for (int64_t base = 0; base < 20; base += 2) {
        assert_int_equal(fixture_has_file(&f, partition->topic->number, 0, base, SEGMENT_LOG),
                         base >= 10);
    }
    struct topic_log_stats stats;
    topic_log_stats(f.log, &stats);
    assert_int_equal(stats.segments_removed, 5);
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    partition = fixture_partition(&f, "t", 0);
    assert_int_equal(partition->log_start_offset, 10);
    assert_true(try_read(&f, partition, 10) > 0);
    end(&f);
}

/* The clock is set ten years ahead, and right again; or it stays so. */
static void test_log_retention__a_clock_that_jumps_ahead_is_believed_after_a_day(void **state) {
    const int64_t ten_years_ns = 10 * 365 * 24 * HOUR_MS * NS_PER_MS;
    struct fixture f;
    struct partition *partition = start(&f, 80, "retention.ms", "7200000");
    fill(&f, partition, 20);
    f.clock.wall_ns += ten_years_ns;
    fixture_run_ms(&f, 60000);
    assert_int_equal(partition->log_start_offset, 0);
    assert_int_equal(f.events[TOPIC_LOG_HELD], 1);
    f.clock.wall_ns -= ten_years_ns;
    fixture_run_ms(&f, 60000);
    assert_int_equal(partition->log_start_offset, 0);
    f.clock.wall_ns += ten_years_ns;
    fixture_run_ms(&f, 60000);
    assert_int_equal(f.events[TOPIC_LOG_HELD], 2); /* told of each */
    clock_manual_advance(&f.clock, 1 * HOUR_MS * NS_PER_MS);
    fixture_run_ms(&f, 60000);
    assert_int_equal(partition->log_start_offset, 0); /* not two hours old by the other clock */
    clock_manual_advance(&f.clock, 1 * HOUR_MS * NS_PER_MS);
    fixture_run_ms(&f, 60000);
    assert_int_equal(partition->log_start_offset, 20); /* now they are */
    append_at(&f, partition, -1);
    clock_manual_advance(&f.clock, 20 * HOUR_MS * NS_PER_MS);
    fixture_run_ms(&f, 60000);
    assert_int_equal(partition->log_start_offset,
                     20); /* appended ten years later than that clock */
    clock_manual_advance(&f.clock, 3 * HOUR_MS * NS_PER_MS);
    fixture_run_ms(&f, 60000);
    assert_int_equal(partition->log_start_offset, 21); /* a day: believed */
    end(&f);
}

static void test_log_retention__active_segment_goes_only_with_all_g60(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 82, "retention.ms", "3600000");
    fill(&f, partition, 5); /* the last segment is half full */
    set_clock(&f, START_MS + 5 * 60000 + HOUR_MS);
    fixture_until(&f, partition->log_start_offset == 5);
    assert_int_equal(log_partition_of(partition)->segment_count, 0);
    assert_int_equal(partition->high_watermark, 5);
    int64_t now_ms = clock_wall_ms(&f.clock.clock);
    assert_int_equal(append_at(&f, partition, now_ms), 5);
    assert_int_equal(log_partition_of(partition)->segments[0].base_offset, 5);
    fixture_run_ms(&f, 60000);
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    partition = fixture_partition(&f, "t", 0);
    assert_int_equal(partition->log_start_offset, 5);
    assert_true(try_read(&f, partition, 5) > 0);
    end(&f);
}

static void test_log_retention__segment_with_appends_under_way_stays(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 83, "retention.ms", "3600000");
    fill(&f, partition, 5);
    set_clock(&f, START_MS + 5 * 60000 + HOUR_MS);
    struct batch_spec spec = {
        .records = 1, .value_bytes = 200, .timestamp_ms = START_MS, .producer_id = -1};
    struct one one;
    assert_int_equal(one_start(&f, &one, partition, &spec), 0);
    assert_int_equal(partition->log_end_offset, 6);
    topic_log_retain(f.log);
    while (loop_step(f.loop)) { /* without the log's threads: nothing becomes durable */
    }
    assert_int_equal(log_partition_of(partition)->start_moves_under_way, 1);
    assert_false(log_partition_of(partition)->roll_next);
    fixture_until(&f, one.done);
    assert_int_equal(one.status, 0);
    one_free(&one);
    fixture_until(&f, partition->log_start_offset == 4);
    assert_true(try_read(&f, partition, 5) > 0);
    end(&f);
}

static void test_log_retention__by_size_leaves_at_least_so_much(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 84, "retention.bytes", "2000");
    for (unsigned i = 0; i < 20; i++) {
        append_at(&f, partition, START_MS);
    }
    fixture_run_ms(&f, 5000);
    const struct log_partition *log = log_partition_of(partition);
    uint64_t total = 0;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        total += log->segments[i].bytes;
    }
    assert_true(total >= 2000 && total < 2000 + log->segments[0].bytes);
    assert_int_equal(partition->log_start_offset, log->segments[0].base_offset);
    assert_true(partition->log_start_offset > 0);
    end(&f);
}

static void test_log_retention__year_2100_does_not_pin_g38(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 85, "retention.ms", "3600000");
    append_at(&f, partition, YEAR_2100_MS);
    append_at(&f, partition, START_MS);
    append_at(&f, partition, START_MS);
    fixture_run_ms(&f, 30000);
    fixture_crash(&f, true); /* the time of the append is in the checkpoint */
    set_clock(&f, START_MS + HOUR_MS - 30000);
    assert_int_equal(fixture_start(&f), 0);
    partition = fixture_partition(&f, "t", 0);
    fixture_run_ms(&f, 5000);
    assert_int_equal(partition->log_start_offset, 0);
    set_clock(&f, START_MS + HOUR_MS + 30000);
    fixture_until(&f, partition->log_start_offset == 3);
    end(&f);
}

static void test_log_retention__unlimited_and_compacted_topics_stay(void **state) {
    static const char *const configs[][2] = {{"retention.ms", "-1"}, {"cleanup.policy", "compact"}};
    for (unsigned i = 0; i < 2; i++) {
        struct fixture f;
        struct partition *partition = start(&f, 86, configs[i][0], configs[i][1]);
        fill(&f, partition, 6);
        set_clock(&f, START_MS + 10000 * HOUR_MS);
        fixture_run_ms(&f, 5000);
        assert_int_equal(partition->log_start_offset, 0);
        end(&f);
    }
}

static void test_log_retention__guard_holds_and_is_named(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 87, "retention.ms", "3600000");
    struct topic_log_holder holder;
    fill(&f, partition, 20);
    assert_int_equal(partition_guard(f.log, partition, "notify", 5), 0);
    assert_int_equal(partition_guard(f.log, partition, "other", 12), 0);
    assert_false(topic_log_holder(f.log, &holder));
    set_clock(&f, START_MS + 10 * HOUR_MS);
    fixture_run_ms(&f, 10000);
    assert_int_equal(partition->log_start_offset, 4); /* the segment that it is in stays */
    assert_true(try_read(&f, partition, 5) > 0);
    assert_int_equal(f.events[TOPIC_LOG_HELD], 1); /* told once */
    assert_non_null(strstr(f.last_event, "notify has read to offset 5 of 20"));
    assert_true(topic_log_holder(f.log, &holder));
    assert_string_equal(holder.consumer, "notify");
    assert_ptr_equal(holder.partition, partition);
    assert_int_equal(holder.offset, 5);
    struct topic_log_stats stats;
    topic_log_stats(f.log, &stats);
    assert_int_equal(stats.held_bytes, holder.bytes);
    assert_true(holder.bytes > 0);
    assert_int_equal(partition_guard(f.log, partition, "notify", 20), 0);
    fixture_run_ms(&f, 3000);
    assert_int_equal(partition->log_start_offset, 12);
    assert_int_equal(f.events[TOPIC_LOG_HELD], 1);
    assert_int_equal(partition_guard(f.log, partition, "other", INT64_MAX), 0);
    fixture_run_ms(&f, 3000);
    assert_int_equal(partition->log_start_offset, 20);
    assert_false(topic_log_holder(f.log, &holder));
    topic_log_stats(f.log, &stats);
    assert_int_equal(stats.held_bytes, 0);
    end(&f);
}

/* A consumer of this run holds the log before it has begun to read, and while it begins again. */
static void test_log_retention__standing_guard_outlives_its_subscription(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 88, "retention.ms", "3600000");
    fill(&f, partition, 20);
    assert_int_equal(partition_guard_standing(f.log, partition, "notify"), 0);
    set_clock(&f, START_MS + 10 * HOUR_MS);
    fixture_run_ms(&f, 5000);
    assert_int_equal(partition->log_start_offset, 0);
    assert_int_equal(partition_guard(f.log, partition, "notify", 8), 0);
    assert_int_equal(partition_guard(f.log, partition, "notify", INT64_MAX), 0);
    fixture_run_ms(&f, 5000);
    assert_int_equal(partition->log_start_offset, 8);
    assert_true(try_read(&f, partition, 8) > 0);
    end(&f);
}

static void test_log_retention__producers_outlive_their_records_g52_g60(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 89, "retention.ms", "3600000");
    int64_t id;
    assert_int_equal(topic_log_producer_id(f.log, &id), 0);
    struct batch_spec spec = {.records = 1,
                              .value_bytes = 200,
                              .timestamp_ms = START_MS,
                              .producer_id = id,
                              .sequence = 0};
    for (int32_t i = 0; i < 7; i++) {
        spec.sequence = i;
        assert_int_equal(fixture_append(&f, partition, &spec), i);
    }
    set_clock(&f, START_MS + 2 * HOUR_MS);
    fixture_until(&f, partition->log_start_offset == 7);
    for (unsigned round = 0; round < 3; round++) {
        partition = fixture_partition(&f, "t", 0);
        spec.sequence = 3; /* of the window of five, though its record is gone */
        assert_int_equal(fixture_append(&f, partition, &spec), 3);
        spec.sequence = 9;
        assert_int_equal(fixture_append(&f, partition, &spec), -BROKER_E_SEQUENCE);
        fixture_run_ms(&f, round * 30000);
        if (round == 0) {
            fixture_crash(&f, true);
        } else {
            fixture_stop(&f);
        }
        assert_int_equal(fixture_start(&f), 0);
    }
    partition = fixture_partition(&f, "t", 0);
    spec.sequence = 7;
    assert_int_equal(fixture_append(&f, partition, &spec), 7);
    end(&f);
}

/* A producer of no transaction goes after a time of its own; one that is still at work stays. */
static void test_log_retention__idle_producers_go_by_their_own_time_g54(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 91, "retention.ms", "-1");
    struct batch_spec spec = {.records = 1, .value_bytes = 20, .timestamp_ms = START_MS};
    int64_t idle, busy;
    int64_t offset = 0;

    assert_int_equal(topic_log_producer_id(f.log, &idle), 0);
    assert_int_equal(topic_log_producer_id(f.log, &busy), 0);
    for (int32_t sequence = 0; sequence < 2; sequence++) {
        spec.producer_id = idle;
        spec.sequence = sequence;
        assert_int_equal(fixture_append(&f, partition, &spec), offset++);
    }
    for (int32_t hour = 0; hour <= 24; hour++) {
        set_clock(&f, START_MS + hour * HOUR_MS + HOUR_MS / 2);
        fixture_run_ms(&f, 30000);
        spec.producer_id = busy;
        spec.sequence = hour;
        assert_int_equal(fixture_append(&f, partition, &spec), offset++);
        if (hour == 23) {
            spec.producer_id = idle;
            spec.sequence = 1; /* it is known yet: this was its last one */
            assert_int_equal(fixture_append(&f, partition, &spec), 1);
        }
    }
    spec.sequence = 99;
    assert_int_equal(fixture_append(&f, partition, &spec), -BROKER_E_SEQUENCE);
    spec.producer_id = idle;
    assert_int_equal(fixture_append(&f, partition, &spec), offset); /* it may begin anywhere */
    end(&f);
}

/* Nobody writes, so nothing else has the log look at its producers. */
static void test_log_retention__idle_producers_of_a_quiet_log_go_g54(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 92, "retention.ms", "-1");
    struct batch_spec spec = {.records = 1, .value_bytes = 20, .timestamp_ms = START_MS};
    assert_int_equal(topic_log_producer_id(f.log, &spec.producer_id), 0);
    assert_int_equal(fixture_append(&f, partition, &spec), 0);
    for (int32_t hour = 0; hour <= 24; hour++) {
        assert_int_equal(f.log->producers.count, 1);
        set_clock(&f, START_MS + hour * HOUR_MS + HOUR_MS / 2);
        fixture_run_ms(&f, 30000);
    }
    fixture_run_ms(&f, PRODUCER_SWEEP_MS);
    assert_int_equal(f.log->producers.count, 0);
    end(&f);
}

static void test_log_retention__rolled_segment_below_the_start_goes_later(void **state) {
    struct fixture f;
    struct partition *partition = start(&f, 90, "retention.ms", "-1");
    fill(&f, partition, 5);
    struct batch_spec spec = {
        .records = 1, .value_bytes = 200, .timestamp_ms = START_MS, .producer_id = -1};
    struct one one;
    assert_int_equal(one_start(&f, &one, partition, &spec), 0); /* keeps the segment from rolling */
    assert_int_equal(fixture_delete_records(&f, partition, 5), 0);
    fixture_until(&f, one.done);
    one_free(&one);
    assert_int_equal(log_partition_of(partition)->segments[0].base_offset, 4);
    assert_int_equal(fixture_delete_records(&f, partition, 6), 0);
    assert_int_equal(append_at(&f, partition, START_MS), 6);
    fixture_until(&f, log_partition_of(partition)->segments[0].base_offset == 6);
    assert_int_equal(partition->log_start_offset, 6);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_retention__whole_segments_go_by_time_g60),
        cmocka_unit_test(test_log_retention__a_clock_that_jumps_ahead_is_believed_after_a_day),
        cmocka_unit_test(test_log_retention__active_segment_goes_only_with_all_g60),
        cmocka_unit_test(test_log_retention__segment_with_appends_under_way_stays),
        cmocka_unit_test(test_log_retention__by_size_leaves_at_least_so_much),
        cmocka_unit_test(test_log_retention__year_2100_does_not_pin_g38),
        cmocka_unit_test(test_log_retention__unlimited_and_compacted_topics_stay),
        cmocka_unit_test(test_log_retention__guard_holds_and_is_named),
        cmocka_unit_test(test_log_retention__standing_guard_outlives_its_subscription),
        cmocka_unit_test(test_log_retention__producers_outlive_their_records_g52_g60),
        cmocka_unit_test(test_log_retention__idle_producers_go_by_their_own_time_g54),
        cmocka_unit_test(test_log_retention__idle_producers_of_a_quiet_log_go_g54),
        cmocka_unit_test(test_log_retention__rolled_segment_below_the_start_goes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
