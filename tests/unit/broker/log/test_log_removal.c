/* Files that nothing names any more: soon gone where the disk needs it, and what an unlink that
 * fails costs. */
#include "append/tail.h"
#include "log_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { NEVER_MS = 1000000000, TRIES = 8 };

static void begin(struct fixture *f, uint64_t seed) {
    static const struct topic_config_entry configs[] = {{"segment.bytes", "600"}, {0}};
    fixture_init(f, seed);
    f->limits.checkpoint_ms = NEVER_MS; /* none unless something asks for it */
    f->limits.cleaner_ms = 0;
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 2, configs);
    for (uint64_t n = 0; n < 20; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 200,
                                  .tag = n + 1,
                                  .timestamp_ms = 1700000000000,
                                  .producer_id = -1};
        assert_int_equal(fixture_append(f, topic->partitions[n % 2], &spec), n / 2);
    }
    fixture_until(f, f->log->unwritten_count == 0);
}

static bool has_folder(struct fixture *f, const char *path) {
    return disk_mkdir(f->disk, path) == DISK_E_EXISTS;
}

static void test_log_removal__deleted_topic_makes_room_soon_when_the_disk_is_low(void **state) {
    static const enum topic_log_room rooms[] = {TOPIC_LOG_ROOM_LOW, TOPIC_LOG_ROOM_FULL};
    for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
        struct fixture f;
        begin(&f, 61);
        assert_int_equal(fixture_delete(&f, topic_log_find(f.log, SPAN_LITERAL("t"))), 0);
        fixture_run_ms(&f, 20000);
        assert_int_equal(f.log->removal_count, 1); /* with room enough it can wait */
        assert_true(has_folder(&f, "topics/1-0"));
        topic_log_set_room(f.log, rooms[i]);
        fixture_until(&f, f.log->removal_count == 0);
        assert_false(has_folder(&f, "topics/1-0"));
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_removal__and_when_it_is_low_already(void **state) {
    struct fixture f;
    begin(&f, 62);
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_FULL);
    uint64_t checkpoints = f.log->stats.checkpoints;
    assert_int_equal(fixture_delete(&f, topic_log_find(f.log, SPAN_LITERAL("t"))), 0);
    fixture_until(&f, f.log->removal_count == 0);
    assert_false(has_folder(&f, "topics/1-1"));
    fixture_run_ms(&f, 5000);
    assert_int_equal(f.log->stats.checkpoints, checkpoints + 2); /* and no more than it takes */
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The next unlink of the cleaner fails. */
static void fail_next(struct fixture *f) {
    uint64_t failed = f->log->stats.removals_failed;
    fixture_until(f, f->log->removing);
    disk_sim_fail_at(f->disk, disk_sim_calls(f->disk) + 1, -EIO);
    fixture_until(f, f->log->stats.removals_failed > failed);
    disk_sim_fail_at(f->disk, 0, 0);
}

static void test_log_removal__failed_unlink_is_tried_again(void **state) {
    struct fixture f;
    begin(&f, 63);
    struct topic *topic = topic_log_find(f.log, SPAN_LITERAL("t"));
    assert_int_equal(fixture_delete_records(&f, topic->partitions[0], 4), 0);
    assert_int_equal(fixture_delete_records(&f, topic->partitions[1], 4), 0);
    uint32_t count = f.log->removal_count;
    assert_int_equal(count, 4); /* two segments each */
    f.limits.checkpoint_ms = 0;
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_LOW);
    fail_next(&f);
    /* It stands in nobody's way: the other partition's are gone in the same turn. */
    assert_int_equal(f.log->removal_count, 2);
    assert_true(fixture_has_file(&f, topic->number, 0, 0, SEGMENT_LOG));
    assert_false(fixture_has_file(&f, topic->number, 1, 0, SEGMENT_LOG));
    assert_int_equal(f.log->stats.removals_failed, 2);
    fixture_until(&f, f.log->removal_count == 0);
    assert_false(fixture_has_file(&f, topic->number, 0, 0, SEGMENT_LOG));
    assert_false(f.log->failed);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_removal__unlink_that_keeps_failing_is_left_to_the_next_start(void **state) {
    struct fixture f;
    begin(&f, 64);
    uint32_t number = topic_log_find(f.log, SPAN_LITERAL("t"))->number;
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_LOW);
    assert_int_equal(fixture_delete(&f, topic_log_find(f.log, SPAN_LITERAL("t"))), 0);
    for (unsigned n = 0; n < TRIES; n++) {
        assert_false(n > 0 && f.log->removing); /* not at once */
        fail_next(&f);
    }
    assert_int_equal(f.log->removal_count, 1);
    assert_non_null(strstr(f.last_event, "the next start tries again"));
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_OK);
    fixture_run_ms(&f, 600000);
    assert_int_equal(f.log->stats.removals_failed, TRIES);
    assert_false(timer_running(&f.log->tick)); /* nothing is waited for */
    assert_true(fixture_has_file(&f, number, 0, 0, SEGMENT_LOG));
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    fixture_until(&f, f.log->removal_count == 0);
    assert_false(fixture_has_file(&f, number, 0, 0, SEGMENT_LOG));
    fixture_stop(&f);
    fixture_deinit(&f);
}

/*
 * Entries of its indexes wait in memory when a segment goes with all of the log; the next batch
 * begins another one, and theirs are due. Each seed has it come at another moment.
 */
static void test_log_removal__no_index_is_made_again_behind_its_segment(void **state) {
    struct batch_spec spec = {.records = 1,
                              .value_bytes = 6000,
                              .tag = 1,
                              .timestamp_ms = 1700000000000,
                              .producer_id = -1};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fixture f;
        struct one one;
        fixture_init(&f, seed);
        f.limits.cleaner_ms = 0;
        assert_int_equal(fixture_start(&f), 0);
        struct topic *topic = fixture_topic(&f, "t", 1, NULL);
        const uint32_t number = topic->number;
        for (int64_t n = 0; n < 3; n++) {
            assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), n);
        }
        fixture_until(&f, f.log->unwritten_count == 0);
        assert_false(fixture_has_file(&f, number, 0, 0, SEGMENT_INDEX)); /* they wait */
        assert_int_equal(fixture_delete_records(&f, topic->partitions[0], 3), 0);
        topic_log_set_room(f.log, TOPIC_LOG_ROOM_LOW);
        for (uint64_t steps = seed; steps > 0 && !f.log->removing; steps--) {
            fixture_step(&f);
        }
        assert_int_equal(one_start(&f, &one, topic->partitions[0], &spec), 0);
        fixture_until(&f, one.done && (f.log->removing || f.log->removal_count == 0));
        tail_flush(f.log, true);
        fixture_until(&f, f.log->removal_count == 0 && f.log->unwritten_count == 0);
        assert_int_equal(one.status, 0);
        one_free(&one);
        fixture_stop(&f);
        assert_false(fixture_has_file(&f, number, 0, 0, SEGMENT_INDEX));
        assert_false(fixture_has_file(&f, number, 0, 0, SEGMENT_TIMEINDEX));
        fixture_deinit(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_removal__deleted_topic_makes_room_soon_when_the_disk_is_low),
        cmocka_unit_test(test_log_removal__and_when_it_is_low_already),
        cmocka_unit_test(test_log_removal__failed_unlink_is_tried_again),
        cmocka_unit_test(test_log_removal__unlink_that_keeps_failing_is_left_to_the_next_start),
        cmocka_unit_test(test_log_removal__no_index_is_made_again_behind_its_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
