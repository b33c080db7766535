/*
 * Partitions that go on at a multiple of 2^32, since nobody knows what stood behind their end: that
 * is known to every later start, the next such place lies behind it, and it costs nothing else.
 */
#include "lost_end.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const int64_t jump = INT64_C(1) << 32;

static void drop_journal(struct fixture *f) {
    char name[JOURNAL_NAME_SIZE];
    for (uint32_t id = 0; id < 10; id++) {
        journal_name(id, name);
        (void)disk_unlink(f->disk, name);
    }
    assert_int_equal(disk_sync_dir(f->disk, "journal"), 0);
}

/* Behind rot a batch is believed although the next segment begins far behind it. */
static void test_log_open_end__rot_before_the_last_batch_does_not_cost_it(void **state) {
    struct fixture f;
    lost_end_lose(&f, false);
    assert_int_equal(fixture_start(&f), 0); /* 0 to 7 are put back; an empty segment at 2^32 */
    fixture_crash(&f, true);
    for (int64_t offset = 0; offset < 8; offset += 2) {
        lost_end_recycle(&f, 1, offset);
    }
    lost_end_rot_segment(&f, 0, 2 * lost_end_batch_bytes());
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_reads(&f, 6));
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* An empty segment that the disk refuses to look at is not taken for one with batches. */
static void test_log_open_end__is_known_when_the_disk_refuses_a_look(void **state) {
    for (uint64_t call = 1, failed = 1; failed; call++) {
        struct fixture f;
        lost_end_lose(&f, false);
        assert_int_equal(fixture_start(&f), 0);
        fixture_crash(&f, true);
        lost_end_lose_checkpoints(&f);
        f.expect_failures = true;
        disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + call, -EIO);
        int r = fixture_start(&f);
        failed = disk_sim_failed_call(f.disk)[0] != 0;
        assert_true(r || lost_end_of(&f) == jump);
        fixture_crash(&f, false);
        fixture_deinit(&f);
    }
}

static void test_log_open_end__second_loss_of_everything_goes_behind_the_first(void **state) {
    struct fixture f;
    lost_end_fill(&f);
    for (int64_t n = 1; n <= 2; n++) {
        fixture_crash(&f, false);
        drop_journal(&f);
        lost_end_lose_checkpoints(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(lost_end_append(&f, "t") == n * jump);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The empty segment had got a batch, of which nothing is left. */
static void test_log_open_end__frame_behind_it_is_lost(void **state) {
    struct fixture f;
    lost_end_lose(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_append(&f, "t") == jump);
    assert_int_equal(lost_end_append(&f, "u"), 2);
    fixture_crash(&f, false);
    lost_end_recycle(&f, 1, jump);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_of(&f) > jump);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_open_end__segment_behind_it_is_rotten(void **state) {
    struct fixture f;
    lost_end_lose(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_append(&f, "t") == jump);
    fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
    assert_int_equal(lost_end_append(&f, "u"), 2);
    fixture_crash(&f, false);
    lost_end_recycle(&f, 1, jump);
    lost_end_rot_segment(&f, jump, 0);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_of(&f) > jump);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_open_end__snapshot_from_behind_it_tells(void **state) {
    struct fixture f;
    struct batch_spec spec = lost_end_spec(BEFORE);
    lost_end_lose(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    spec.producer_id = 7;
    assert_true(fixture_append(&f, fixture_partition(&f, "t", 0), &spec) == jump);
    fixture_stop(&f); /* writes 4294967298.snapshot */
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(lost_end_append(&f, "u"), 2);
    fixture_crash(&f, false);
    lost_end_recycle(&f, 1, jump);
    lost_end_cut_segment(&f, 1, jump, 0);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_of(&f) > jump + 1);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* That one is from before, and the folder knows better. */
static void test_log_open_end__older_checkpoint_does_not_know_of_it(void **state) {
    struct fixture f;
    struct disk_file *file;
    lost_end_fill(&f);
    (void)fixture_topic(&f, "u", 1, NULL);
    assert_int_equal(lost_end_append(&f, "t"), 2 * BEFORE);
    assert_int_equal(lost_end_append(&f, "u"), 0);
    fixture_crash(&f, false);
    lost_end_recycle(&f, 1, 2 * BEFORE);
    assert_int_equal(fixture_start(&f), 0); /* raised, as checkpoint.0 says from now on */
    assert_true(lost_end_append(&f, "t") == jump);
    assert_int_equal(lost_end_append(&f, "u"), 2);
    fixture_crash(&f, false);
    lost_end_recycle(&f, 1, jump);
    assert_int_equal(disk_open(f.disk, "checkpoint.0", DISK_WRITE, &file), 0);
    assert_int_equal(disk_truncate(file, 70), 0);
    disk_close(file);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_of(&f) > jump);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Of a segment that was cut just between two batches the snapshot alone tells. */
static void test_log_open_end__snapshot_that_tells_goes_last(void **state) {
    for (uint64_t call = 1, cut = 1; cut; call++) {
        struct fixture f;
        fixture_init(&f, 31);
        assert_int_equal(fixture_start(&f), 0);
        (void)fixture_topic(&f, "t", 1, NULL);
        (void)fixture_topic(&f, "u", 1, NULL);
        uint64_t three = 0;
        for (uint64_t n = 0; n < BEFORE; n++) {
            struct batch_spec spec = lost_end_spec(n);
            spec.producer_id = 7;
            spec.sequence = (int32_t)n * 2;
            assert_true(fixture_append(&f, fixture_partition(&f, "t", 0), &spec) >= 0);
            struct buf *batch = fixture_batch(&spec);
            three += n < 3 ? batch->size : 0;
            buf_unref(batch);
        }
        fixture_stop(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(lost_end_append(&f, "u"), 0);
        fixture_crash(&f, false);
        for (int64_t offset = 0; offset < 2 * BEFORE; offset += 2) {
            lost_end_recycle(&f, 1, offset);
        }
        lost_end_cut_segment(&f, 1, 0,
                             three); /* just between two batches: 12.snapshot alone tells */
        lost_end_lose_checkpoints(&f);
        disk_sim_cut_at(f.disk, disk_sim_calls(f.disk) + call);
        (void)fixture_start(&f);
        cut = disk_sim_is_cut(f.disk);
        fixture_crash(&f, cut);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(lost_end_of(&f) == jump);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_open_end__few_files_left_do_not_refuse_the_start(void **state) {
    struct fixture f;
    char name[JOURNAL_NAME_SIZE];
    lost_end_fill(&f);
    fixture_crash(&f, false);
    journal_name(0, name);
    assert_int_equal(disk_unlink(f.disk, name), 0);
    disk_sim_limit_files(f.disk, 9);
    assert_int_equal(fixture_start(&f), 0);
    fixture_crash(&f, false);
    fixture_deinit(&f);
}

static void test_log_open_end__two_of_them_leave_no_orphan(void **state) {
    struct fixture f;
    lost_end_fill(&f);
    for (int64_t n = 1; n <= 2; n++) {
        fixture_crash(&f, false);
        drop_journal(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(lost_end_of(&f) == n * jump);
    }
    fixture_stop(&f);
    assert_int_equal(fixture_findings(&f, FINDING_NOTE),
                     0); /* topics/0-0 and 1-0/00000000004294967296.log */
    fixture_deinit(&f);
}

static void test_log_open_end__segment_with_bytes_at_the_log_end_is_told(void **state) {
    const struct segment_id id = {1, 0, 2 * BEFORE};
    struct fixture f;
    struct disk_file *file;
    char path[SEGMENT_NAME_SIZE];
    lost_end_fill(&f);
    fixture_stop(&f);
    segment_name(&id, SEGMENT_LOG, path);
    assert_int_equal(disk_open(f.disk, path, DISK_WRITE | DISK_CREATE, &file), 0);
    assert_int_equal(disk_pwrite(file, "abc", 3, 0), 0);
    disk_close(file);
    assert_int_equal(fixture_findings(&f, FINDING_NOTE), 1);
    fixture_deinit(&f);
}

static void test_log_open_end__offsets_left_out_are_no_loss(void **state) {
    struct fixture f;
    uint8_t *data = NULL;
    lost_end_lose(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_append(&f, "t") == jump);
    fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
    assert_true(fixture_read(&f, fixture_partition(&f, "t", 0), 8, 1, &data) > 0); /* led on */
    free(data);
    data = NULL;
    fixture_crash(&f, true);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(fixture_read(&f, fixture_partition(&f, "t", 0), 8, 1, &data) > 0);
    free(data);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* A frame that nobody can read has raised the partition. */
static void test_log_open_end__is_known_without_checkpoints(void **state) {
    struct batch_spec spec = lost_end_spec(BEFORE);
    struct fixture f;
    lost_end_fill(&f);
    struct topic *other = fixture_topic(&f, "u", 1, NULL);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 2 * BEFORE);
    assert_int_equal(fixture_append(&f, other->partitions[0], &spec), 0);
    fixture_crash(&f, false);
    lost_end_recycle(&f, 1, 2 * BEFORE);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_of(&f) == jump);
    for (unsigned n = 0; n < 3; n++) { /* frames that stand for all before them */
        assert_true(fixture_append(&f, fixture_partition(&f, "u", 0), &spec) >= 0);
        fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
    }
    fixture_crash(&f, true);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_of(&f) == jump);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* A frame that nobody can read was behind the end of "t", which went on, and has a batch there. */
static void go_on_elsewhere(struct fixture *f) {
    assert_int_equal(lost_end_append(f, "t"), 2 * BEFORE);
    assert_int_equal(lost_end_append(f, "u"), 0);
    (void)fixture_topic(f, "w", 1, NULL); /* proves the registry */
    fixture_crash(f, false);
    lost_end_recycle(f, 1, 2 * BEFORE);
    assert_int_equal(fixture_start(f), 0);
    assert_true(lost_end_append(f, "t") == jump);
    fixture_until(f, f->log->newest_sequence == f->log->durable_sequence);
    lost_end_go_on(f, "u");
    fixture_crash(f, false);
    lost_end_lose_checkpoints(f);
}

static void lose_segment(struct fixture *f, int64_t base) {
    const struct segment_id id = {1, 0, base};
    char path[SEGMENT_NAME_SIZE];
    segment_name(&id, SEGMENT_LOG, path);
    assert_int_equal(disk_unlink(f->disk, path), 0);
}

static void test_log_open_end__what_frames_have_before_it_is_put_back(void **state) {
    for (unsigned gone = 0; gone < 2; gone++) {
        struct fixture f;
        lost_end_fill_rolled(&f);
        go_on_elsewhere(&f);
        if (gone) {
            lose_segment(&f, 6);
        } else { /* just between two batches */
            lost_end_cut_segment(&f, 1, 6, lost_end_batch_bytes());
        }
        assert_int_equal(fixture_start(&f), 0);
        for (int64_t offset = 0; offset < INT64_C(2) * BEFORE; offset += 2) {
            assert_true(lost_end_reads(&f, offset));
        }
        assert_true(lost_end_reads(&f, jump));
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* No frame has them: told from where on nothing is known, and readers are led on. */
static void test_log_open_end__segment_lost_before_it_is_told(void **state) {
    struct fixture f;
    uint8_t *data = NULL;
    lost_end_fill_rolled(&f);
    go_on_elsewhere(&f);
    for (int64_t offset = 6; offset < 2 * BEFORE; offset += 2) {
        lost_end_recycle(&f, 1, offset);
    }
    lose_segment(&f, 6);
    assert_int_equal(fixture_start(&f), 0);
    assert_non_null(strstr(
        f.all_damage,
        "t partition 0: whether anything was lost from offset 6 on is not known; it goes on at"));
    assert_true(fixture_read(&f, fixture_partition(&f, "t", 0), 6, 1, &data) > 0);
    free(data);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_open_end__is_known_without_checkpoints),
        cmocka_unit_test(test_log_open_end__rot_before_the_last_batch_does_not_cost_it),
        cmocka_unit_test(test_log_open_end__is_known_when_the_disk_refuses_a_look),
        cmocka_unit_test(test_log_open_end__second_loss_of_everything_goes_behind_the_first),
        cmocka_unit_test(test_log_open_end__frame_behind_it_is_lost),
        cmocka_unit_test(test_log_open_end__segment_behind_it_is_rotten),
        cmocka_unit_test(test_log_open_end__snapshot_from_behind_it_tells),
        cmocka_unit_test(test_log_open_end__older_checkpoint_does_not_know_of_it),
        cmocka_unit_test(test_log_open_end__snapshot_that_tells_goes_last),
        cmocka_unit_test(test_log_open_end__few_files_left_do_not_refuse_the_start),
        cmocka_unit_test(test_log_open_end__two_of_them_leave_no_orphan),
        cmocka_unit_test(test_log_open_end__segment_with_bytes_at_the_log_end_is_told),
        cmocka_unit_test(test_log_open_end__offsets_left_out_are_no_loss),
        cmocka_unit_test(test_log_open_end__what_frames_have_before_it_is_put_back),
        cmocka_unit_test(test_log_open_end__segment_lost_before_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
