/* Starts on a full disk: they begin, nothing is missing later, and no answer that left before its
 * sync is given out again in its epoch. */
#include "log_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct topic_config_entry early_answers[] = {{"flush.ms", "1000"}, {0}};

static struct batch_spec spec_of(size_t value_bytes) {
    return (struct batch_spec){
        .records = 1, .value_bytes = value_bytes, .timestamp_ms = 1700000000000, .producer_id = -1};
}

/* ---- a disk that has no room to open some files for writing ---- */

static struct {
    struct disk_ops ops;
    const struct disk_ops *below;
    const char *prefix; /* of their paths; NULL: there is room */
} refusing;

static int refusing_open(struct disk *disk, const char *path, unsigned flags,
                         struct disk_file **ret_file) {
    const char *prefix = refusing.prefix;
    if (prefix && strncmp(path, prefix, strlen(prefix)) == 0 &&
        (flags & (prefix[0] == 't' ? DISK_WRITE : DISK_CREATE))) {
        return DISK_E_FULL;
    }
    return refusing.below->open(disk, path, flags, ret_file);
}

static void refuse(struct fixture *f, const char *prefix) {
    refusing.prefix = prefix;
    refusing.below = f->disk->ops;
    refusing.ops = *refusing.below;
    refusing.ops.open = refusing_open;
    f->disk->ops = &refusing.ops;
}

/* The life before has made the file of a segment, for a write that had no room. */
static void test_log_full_start__what_is_written_later_outlives_a_power_cut(void **state) {
    for (unsigned seed = 1; seed <= 30; seed++) {
        struct fixture f;
        struct batch_spec spec = spec_of(3000);
        uint8_t *data = NULL;
        fixture_init(&f, seed);
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
        fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
        fixture_limit_room(&f, 0);
        assert_int_equal(fixture_append(&f, partition, &spec), 0);
        fixture_until(&f, f.log->disk_full);
        fixture_crash(&f, false);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(f.log->tail_cost > 0);
        disk_sim_limit(f.disk, 0);
        fixture_until(&f, f.log->unwritten_count == 0 &&
                              f.log->newest_sequence == f.log->durable_sequence);
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        fixture_forget_memory(&f);
        assert_true(fixture_read(&f, fixture_partition(&f, "t", 0), 0, 1, &data) > 3000);
        free(data);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* More behind the checkpoint than memory should hold: there is no other place for it. */
static void test_log_full_start__begins_with_more_than_the_tail_may_hold(void **state) {
    enum { BATCHES = 30 };
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct fixture f;
        struct batch_spec spec = spec_of(20000);
        fixture_init(&f, seed);
        f.limits.tail_bytes = KIB(64);
        f.limits.checkpoint_ms = 1000000;
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
        for (unsigned n = 0; n < BATCHES; n++) {
            assert_int_equal(fixture_append(&f, partition, &spec), n);
        }
        fixture_until(&f, f.log->unwritten_count == 0);
        fixture_crash(&f, true); /* takes the segment, which no checkpoint covers */
        fixture_limit_room(&f, 1000);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, BATCHES);
        disk_sim_limit(f.disk, 0);
        fixture_until(&f, f.log->unwritten_count == 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* Each start costs a frame, and no checkpoint frees a file of the journal. */
static void test_log_full_start__begins_with_a_journal_at_its_limit(void **state) {
    struct fixture f;
    struct batch_spec spec = spec_of(3000);
    unsigned pressed = 0;
    fixture_init(&f, 1);
    f.limits.journal_first_bytes = KIB(16);
    f.limits.journal_max_bytes = KIB(128);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    assert_int_equal(fixture_append(&f, partition, &spec), 0);
    for (unsigned kills = 0; kills < 60; kills++) {
        fixture_crash(&f, false);
        refuse(&f, "topics/");
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, 1);
        pressed += f.log->journal_pressed;
    }
    assert_true(pressed > 10);
    refusing.prefix = NULL;
    fixture_until(&f,
                  f.log->unwritten_count == 0 && f.log->newest_sequence == f.log->durable_sequence);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* ---- flush.ms ---- */

static void test_log_full_start__goes_on_with_room_for_one_of_two_checkpoints(void **state) {
    struct fixture f;
    struct batch_spec spec = spec_of(300);
    fixture_init(&f, 3);
    assert_int_equal(fixture_start(&f), 0);
    fixture_topic(&f, "early", 1, early_answers);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "early", 0), &spec), 0);
    fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence &&
                          f.log->submits_in_flight == 0);
    const char *slot = f.log->next_slot ? "checkpoint.0" : "checkpoint.1"; /* the newest one's */
    fixture_crash(&f, false);
    refuse(&f, slot);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.log->early_waits);
    assert_int_equal(fixture_partition(&f, "early", 0)->leader_epoch, 1);
    refusing.prefix = NULL;
    fixture_until(&f, !f.log->early_waits);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void on_started(void *userdata, int status) {
    ((struct fixture *)userdata)->start_status = status;
    ((struct fixture *)userdata)->started = true;
}

/* Where the first checkpoint behind the start is of the frame that it has ended at, so is the one
 * before, and nobody can tell which is newer. */
static void test_log_full_start__two_checkpoints_of_one_frame_say_no_epoch(void **state) {
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct fixture f;
        struct one one = {0};
        struct batch_spec spec = spec_of(300);
        fixture_init(&f, seed);
        assert_int_equal(fixture_start(&f), 0);
        fixture_topic(&f, "early", 1, early_answers);
        struct topic *gone = fixture_topic(&f, "gone", 1, NULL);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "early", 0), &spec), 0);
        fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
        assert_int_equal(fixture_delete(&f, gone), 0); /* removals wait for a checkpoint */
        fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
        fixture_crash(&f, false);
        refuse(&f, "checkpoint.");
        fixture_open(&f);
        topic_log_set_room(f.log, TOPIC_LOG_ROOM_LOW);
        topic_log_start(f.log, on_started, &f);
        fixture_until(&f, f.started);
        assert_int_equal(f.start_status, 0);
        fixture_run_ms(&f, 3000);
        refusing.prefix = NULL;
        fixture_until(&f, !f.log->early_waits);
        struct partition *partition = fixture_partition(&f, "early", 0);
        int32_t epoch = partition->leader_epoch;
        assert_int_equal(one_start(&f, &one, partition, &spec), 0);
        fixture_until(&f, one.done);
        fixture_crash(&f, true);
        one_free(&one);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(fixture_partition(&f, "early", 0)->leader_epoch > epoch);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_full_start__what_is_written_later_outlives_a_power_cut),
        cmocka_unit_test(test_log_full_start__begins_with_more_than_the_tail_may_hold),
        cmocka_unit_test(test_log_full_start__begins_with_a_journal_at_its_limit),
        cmocka_unit_test(test_log_full_start__goes_on_with_room_for_one_of_two_checkpoints),
        cmocka_unit_test(test_log_full_start__two_checkpoints_of_one_frame_say_no_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
