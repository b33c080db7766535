/* Lookups by time, also over rot: whatever it hits in indexes and headers, no record that is asked
 * for is passed over in silence, since a consumer would begin behind it. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 60, VALUE_BYTES = 1000, STEP_MS = 1000 };
#define FIRST_MS INT64_C(1700000000000)

static void fill(struct fixture *f) {
    fixture_init(f, 23);
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 1, NULL);
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = VALUE_BYTES,
                                  .tag = n,
                                  .timestamp_ms = FIRST_MS + (int64_t)n * STEP_MS,
                                  .producer_id = -1};
        assert_int_equal(fixture_append(f, partition_get(topic, 0), &spec), n);
    }
    fixture_stop(f);
}

static void test_log_lookup__finds_first_record_at_or_after_a_time(void **state) {
    static const struct {
        int64_t ms, offset;
    } times[] = {{0, 0}, {1, 1}, {2, 2}, {7, 5}, {10, 7}, {11, -1}};
    struct fixture f;
    fixture_init(&f, 11);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    for (int64_t n = 0; n < 4; n++) { /* two records each, one ms apart */
        struct batch_spec spec = {
            .records = 2, .value_bytes = 10, .timestamp_ms = FIRST_MS + n * 3, .producer_id = -1};
        assert_int_equal(fixture_append(&f, partition, &spec), n * 2);
    }
    for (unsigned round = 0; round < 3; round++) {
        partition = fixture_partition(&f, "t", 0);
        for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
            assert_int_equal(fixture_lookup(&f, partition, FIRST_MS + times[i].ms),
                             times[i].offset);
        }
        assert_int_equal(fixture_lookup(&f, partition, 0), 0);
        assert_int_equal(fixture_lookup(&f, partition, -3), 7); /* the largest */
        if (round == 0) {
            fixture_run_ms(&f, 3000);
        } else {
            fixture_stop(&f);
            assert_int_equal(fixture_start(&f), 0);
        }
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* ---- rot ---- */

static uint64_t size_of(struct fixture *f, enum segment_kind kind) {
    struct segment_id id = {1, 0, 0};
    struct disk_file *file = NULL;
    char path[SEGMENT_NAME_SIZE];
    uint64_t size;
    segment_name(&id, kind, path);
    assert_int_equal(disk_open(f->disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_size(file, &size), 0);
    disk_close(file);
    return size;
}

/* Each record by its time; where a batch is @damaged the error is right as well. */
static void look_up_each(struct fixture *f, bool damaged) {
    assert_int_equal(fixture_start(f), 0);
    for (int64_t n = 0; n < BATCHES; n += 3) {
        int64_t offset =
            fixture_lookup(f, fixture_partition(f, "t", 0), FIRST_MS + n * STEP_MS - 1);
        if (offset != n && !(damaged && offset == -BROKER_E_CORRUPT)) {
            fail_msg("the record at offset %d is passed over: %d", (int)n, (int)offset);
        }
    }
    fixture_stop(f);
}

static void test_log_lookup__a_wrong_index_passes_no_record_over(void **state) {
    static const enum segment_kind kinds[] = {SEGMENT_TIMEINDEX, SEGMENT_INDEX};
    struct fixture f;
    fill(&f);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        uint64_t size = size_of(&f, kinds[i]);
        assert_true(size > INDEX_HEADER_BYTES + 8 * TIME_ENTRY_BYTES);
        for (uint64_t at = INDEX_HEADER_BYTES; at < size; at++) {
            uint8_t byte = fixture_flip(&f, kinds[i], at, at * 5 % 8);
            look_up_each(&f, false);
            fixture_put_byte(&f, kinds[i], at, byte);
        }
    }
    fixture_deinit(&f);
}

static void test_log_lookup__a_wrong_time_index_is_made_anew(void **state) {
    struct fixture f;
    fill(&f);
    uint64_t at = INDEX_HEADER_BYTES + 5 * TIME_ENTRY_BYTES + 7; /* below 0 */
    uint8_t byte = fixture_flip(&f, SEGMENT_TIMEINDEX, at, 7);
    assert_int_equal(fixture_start(&f), 0);
    for (int64_t n = 0; n < BATCHES; n++) {
        (void)fixture_lookup(&f, fixture_partition(&f, "t", 0), FIRST_MS + n * STEP_MS);
    }
    fixture_run_ms(&f, 500);
    assert_int_equal(fixture_put_byte(&f, SEGMENT_TIMEINDEX, at, byte), byte);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The largest timestamp of a batch, which its checksum covers. */
static void test_log_lookup__a_wrong_header_passes_no_record_over(void **state) {
    struct fixture f;
    fill(&f);
    uint64_t bytes = size_of(&f, SEGMENT_LOG) / BATCHES;
    for (unsigned at = RECORD_BATCH_AT_MAX_TIMESTAMP; at < RECORD_BATCH_AT_PRODUCER_ID; at++) {
        for (uint64_t n = 6; n < 40; n += 9) {
            uint8_t byte = fixture_flip(&f, SEGMENT_LOG, n * bytes + at, at % 8);
            look_up_each(&f, true);
            fixture_put_byte(&f, SEGMENT_LOG, n * bytes + at, byte);
        }
    }
    fixture_deinit(&f);
}

/*
 * The same, where the indexes are made anew from such a batch, by a reader or before the next
 * append: entries behind it must not say that all before them is older.
 */
static void test_log_lookup__an_index_made_from_a_wrong_header_passes_no_record_over(void **state) {
    for (unsigned appends = 0; appends < 2; appends++) {
        struct fixture f;
        fill(&f);
        uint64_t bytes = size_of(&f, SEGMENT_LOG) / BATCHES;
        /* The last one before an entry (one for four); smaller, since in 2023 this byte is 1. */
        (void)fixture_flip(&f, SEGMENT_LOG, 27 * bytes + RECORD_BATCH_AT_MAX_TIMESTAMP + 2, 0);
        (void)fixture_flip(&f, SEGMENT_TIMEINDEX, 0, 0);
        (void)fixture_flip(&f, SEGMENT_INDEX, 0, 0);
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = fixture_partition(&f, "t", 0);
        if (appends) {
            struct batch_spec spec = {.records = 1,
                                      .value_bytes = VALUE_BYTES,
                                      .tag = BATCHES,
                                      .timestamp_ms = FIRST_MS + BATCHES * INT64_C(1000),
                                      .producer_id = -1};
            assert_int_equal(fixture_append(&f, partition, &spec), BATCHES);
        } else {
            (void)fixture_lookup(&f, partition, FIRST_MS);
        }
        fixture_run_ms(&f, 3000);
        fixture_stop(&f);
        assert_true(size_of(&f, SEGMENT_TIMEINDEX) > INDEX_HEADER_BYTES + 8 * TIME_ENTRY_BYTES);
        look_up_each(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        partition = fixture_partition(&f, "t", 0);
        assert_int_equal(fixture_lookup(&f, partition, FIRST_MS + 6 * STEP_MS), 6);
        assert_int_equal(fixture_lookup(&f, partition, FIRST_MS + 27 * STEP_MS), -BROKER_E_CORRUPT);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

struct waiting {
    struct partition_lookup lookup;
    bool done;
};

static void on_lookup(struct partition_lookup *lookup, int status) {
    struct waiting *waiting = container_of(lookup, struct waiting, lookup);
    assert_int_equal(status, 0);
    waiting->done = true;
}

/*
 * The largest timestamp, while two closed segments claim more than they have, as compaction leaves
 * them, and an append raises the claim of the active one to between both, @steps after the
 * question.
 */
static int64_t largest_ms_while_it_grows(unsigned steps) {
    const struct topic_config_entry small[] = {{"segment.bytes", "1200"}, {0}};
    struct waiting waiting = {.lookup = {.timestamp_ms = -3 /* the largest */, .done = on_lookup}};
    struct fixture f;
    struct batch_spec spec = {
        .records = 1, .value_bytes = VALUE_BYTES, .timestamp_ms = FIRST_MS, .producer_id = -1};
    fixture_init(&f, 24);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, small)->partitions[0];
    for (int64_t n = 0; n < 3; n++) {
        spec.timestamp_ms = FIRST_MS + n;
        assert_int_equal(fixture_append(&f, partition, &spec), n);
    }
    struct log_partition *state = log_partition_of(partition);
    assert_int_equal(state->segment_count, 3);
    state->segments[0].max_timestamp_ms = FIRST_MS + 9000;
    state->segments[1].max_timestamp_ms = FIRST_MS + 7000;
    state->roll_next = false;
    fixture_forget_memory(&f);
    waiting.lookup.partition = partition;
    assert_int_equal(partition_lookup(f.log, &waiting.lookup), OP_WAIT);
    for (unsigned n = 0; n < steps && !waiting.done; n++) {
        fixture_step(&f);
    }
    spec.timestamp_ms = FIRST_MS + 8000;
    spec.value_bytes = 10;
    assert_int_equal(fixture_append(&f, partition, &spec), 3);
    fixture_until(&f, waiting.done);
    assert_int_equal(state->segment_count, 3);
    fixture_stop(&f);
    fixture_deinit(&f);
    return waiting.lookup.ret_timestamp_ms;
}

static void test_log_lookup__largest_is_found_while_a_segment_grows(void **state) {
    unsigned before = 0;
    for (unsigned steps = 0; steps < 20; steps++) {
        int64_t ms = largest_ms_while_it_grows(steps) - FIRST_MS;
        assert_true(ms == 2 || ms == 8000);
        before += ms == 2;
    }
    assert_in_range(before, 1, 19); /* the append came before it and behind it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_lookup__finds_first_record_at_or_after_a_time),
        cmocka_unit_test(test_log_lookup__a_wrong_index_passes_no_record_over),
        cmocka_unit_test(test_log_lookup__a_wrong_time_index_is_made_anew),
        cmocka_unit_test(test_log_lookup__a_wrong_header_passes_no_record_over),
        cmocka_unit_test(test_log_lookup__an_index_made_from_a_wrong_header_passes_no_record_over),
        cmocka_unit_test(test_log_lookup__largest_is_found_while_a_segment_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
