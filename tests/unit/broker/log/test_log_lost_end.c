/*
 * Segments that have lost their end, or a file of them, together with frames that would have told
 * of it: no offset is given out twice, what is whole stays readable, and where nothing is lost
 * nothing is told.
 */
#include "lost_end.h"
#include "topics/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void start_behind_a_lost_end(bool proven) {
    struct fixture f;
    int64_t end = INT64_C(2) * (BEFORE + (proven ? 1 : 0));
    lost_end_lose(&f, proven);

    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    struct partition *partition = fixture_partition(&f, "t", 0);
    for (int64_t offset = 0; offset < end; offset += 2) {
        uint8_t *data = NULL;
        bool lost = offset >= 2 * (BEFORE - 2) && offset < 2 * BEFORE;
        ssize_t size = fixture_read(&f, partition, offset, 1, &data);
        assert_true(lost ? size == (proven ? -BROKER_E_CORRUPT : 0) : size > 0);
        free(data);
    }
    assert_true(partition->log_end_offset == (proven ? end : INT64_C(1) << 32));
    assert_int_equal(fixture_partition(&f, "u", 0)->log_end_offset, 2);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_lost_end__end_of_a_segment_gives_no_offset_out_again(void **state) {
    start_behind_a_lost_end(false);
    start_behind_a_lost_end(true);
}

/* What the start has put back must not pass for all that was there, whatever cuts it short. */
static void test_log_lost_end__is_told_until_a_checkpoint_says_it(void **state) {
    unsigned cuts = 0;
    for (uint64_t call = 1;; call++) {
        struct fixture f;
        lost_end_lose(&f, false);
        disk_sim_cut_at(f.disk, disk_sim_calls(f.disk) + call);
        (void)fixture_start(&f);
        bool cut = disk_sim_is_cut(f.disk);
        fixture_crash(&f, cut);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(fixture_partition(&f, "t", 0)->log_end_offset == INT64_C(1) << 32);
        assert_int_equal(fixture_partition(&f, "u", 0)->log_end_offset, 2);
        fixture_stop(&f);
        fixture_deinit(&f);
        cuts += cut;
        if (!cut) {
            break;
        }
    }
    assert_true(cuts > 50);
}

/* Nothing was appended since, so that no frame says where the partition goes on. */
static void test_log_lost_end__is_known_without_checkpoints_too(void **state) {
    struct batch_spec spec = lost_end_spec(BEFORE);
    struct fixture f;
    lost_end_lose(&f, false);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(fixture_start(&f), 0);
        assert_true(fixture_partition(&f, "t", 0)->log_end_offset == INT64_C(1) << 32);
        fixture_crash(&f, round % 2);
        lost_end_lose_checkpoints(&f);
    }
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_partition(&f, "t", 0);
    assert_true(fixture_append(&f, partition, &spec) == INT64_C(1) << 32);
    fixture_crash(&f, true);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    partition = fixture_partition(&f, "t", 0);
    assert_true(partition->log_end_offset == (INT64_C(1) << 32) + 2);
    uint8_t *data = NULL;
    assert_true(fixture_read(&f, partition, INT64_C(1) << 32, 1, &data) > 0);
    free(data);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The same of the registry: a topic with records must not be as if it had never been. */
static void test_log_lost_end__end_of_the_registry_refuses_the_start(void **state) {
    struct fixture f;
    lost_end_fill(&f);
    struct batch_spec spec = lost_end_spec(BEFORE);
    int64_t offset = topic_partition(f.log->registry, 0)->public.log_end_offset;
    struct topic *topic = fixture_topic(&f, "gone", 1, NULL);
    assert_int_equal(topic_partition(f.log->registry, 0)->public.log_end_offset, offset + 1);
    assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 0);
    fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 2 * BEFORE);
    fixture_crash(&f, false);
    lost_end_lose_checkpoints(&f);
    lost_end_recycle(&f, 0, offset);
    lost_end_recycle(&f, 2, 0);
    lost_end_cut_segment(&f, 0, 0, 0);

    f.expect_failures = true;
    for (unsigned n = 1; n <= 3; n++) { /* what the first one has put back is not taken for all */
        assert_int_equal(fixture_start(&f), BROKER_E_CORRUPT);
        assert_int_equal(f.events[TOPIC_LOG_FAILED], n);
        assert_non_null(strstr(f.last_event, "topics/2-0"));
        fixture_crash(&f, n % 2);
    }
    fixture_deinit(&f);
}

/* No frame says that a segment began behind the one that is gone: it is there all the same. */
static void test_log_lost_end__segment_costs_none_behind_it(void **state) {
    static const struct topic_config_entry small[] = {{"segment.bytes", "1400"}, {0}};
    struct fixture f;
    char name[JOURNAL_NAME_SIZE], path[SEGMENT_NAME_SIZE];
    struct disk_file *file;
    fixture_init(&f, 33);
    f.limits.checkpoint_ms = 100000;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, small)->partitions[0];
    for (uint64_t n = 0; n < BEFORE; n++) {
        struct batch_spec spec = lost_end_spec(n);
        assert_int_equal(fixture_append(&f, partition, &spec), n * 2);
    }
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    journal_name(0, name);
    assert_int_equal(disk_open(f.disk, name, DISK_WRITE, &file), 0);
    assert_int_equal(disk_truncate(file, 0), 0);
    disk_close(file);
    int64_t from = -1, to = -1;
    for (int64_t base = 1; base < INT64_C(2) * BEFORE && to < 0; base++) {
        bool there = fixture_has_file(&f, 1, 0, base, SEGMENT_LOG);
        to = there && from > 0 ? base : to;
        from = there && from < 0 ? base : from;
    }
    assert_true(from > 0 && to > from);
    const struct segment_id id = {1, 0, from};
    segment_name(&id, SEGMENT_LOG, path);
    assert_int_equal(disk_unlink(f.disk, path), 0);

    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    partition = fixture_partition(&f, "t", 0);
    for (int64_t offset = 0; offset < INT64_C(2) * BEFORE; offset += 2) {
        uint8_t *data = NULL;
        ssize_t size = fixture_read(&f, partition, offset, 1, &data);
        assert_true(offset < from || offset >= to ? size > 0 : size == -BROKER_E_CORRUPT);
        free(data);
    }
    assert_true(partition->log_end_offset == INT64_C(1) << 32);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The registry's state made its older segments go; an old frame still has a record of one. */
static void old_record(bool rot) {
    struct fixture f;
    lost_end_fill(&f);
    (void)fixture_topic(&f, "u", 1, NULL);
    struct log_partition *registry = topic_partition(f.log->registry, 0);
    int64_t offset = registry->public.log_end_offset;
    f.log->registry_state.wanted = true;
    registry_state_maybe(f.log);
    fixture_until(&f, registry->public.log_start_offset == offset);
    struct batch_spec spec = lost_end_spec(BEFORE);
    for (unsigned n = 0; n < 4; n++) {
        spec = lost_end_spec(BEFORE + n);
        assert_true(fixture_append(&f, fixture_partition(&f, "t", 0), &spec) >= 0);
        fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
        fixture_run_ms(&f, 3000);
    }
    assert_false(fixture_has_file(&f, 0, 0, 0, SEGMENT_LOG));
    assert_true(fixture_has_file(&f, 0, 0, offset, SEGMENT_LOG));
    spec = lost_end_spec(BEFORE + 4);
    assert_true(fixture_append(&f, fixture_partition(&f, "u", 0), &spec) >= 0);
    fixture_crash(&f, false);
    lost_end_lose_checkpoints(&f);
    lost_end_recycle(&f, 0, offset);
    if (rot) { /* of a batch that a frame has */
        const struct segment_id id = {1, 0, 0};
        char path[SEGMENT_NAME_SIZE];
        segment_name(&id, SEGMENT_LOG, path);
        assert_int_equal(disk_sim_corrupt(f.disk, path, lost_end_batch_bytes() + 100, 8, 1), 0);
    }
    assert_int_equal(fixture_start(&f), 0);
    registry = topic_partition(f.log->registry, 0);
    uint8_t *data = NULL;
    assert_true(fixture_read(&f, fixture_partition(&f, "t", 0), 2, 1, &data) > 0);
    assert_int_equal(get_be64(data), 2);
    assert_true(registry->public.log_end_offset < INT64_C(1) << 32);
    free(data);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_lost_end__removed_registry_segment_is_no_loss(void **state) {
    old_record(false);
}

static void test_log_lost_end__removed_registry_segment_costs_no_batch(void **state) {
    old_record(true);
}

/* Nothing was recycled; a bad frame gives its batch, the segment has zeros of it. */
static void test_log_lost_end__salvaged_batch_is_an_end(void **state) {
    struct fixture f;
    fixture_init(&f, 35);
    f.limits.checkpoint_ms = 100000;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *t = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    struct partition *u = fixture_topic(&f, "u", 1, NULL)->partitions[0];
    struct batch_spec spec = lost_end_spec(0);
    assert_int_equal(fixture_append(&f, t, &spec), 0);
    assert_int_equal(fixture_append(&f, u, &spec), 0);
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    lost_end_lose_checkpoints(&f);
    lost_end_rot_frame(&f, 1, 0, FRAME_HEADER_BYTES + 16, 1); /* the place in the segment */
    lost_end_cut_segment(&f, 1, 0, 0);
    lost_end_cut_segment(&f, 1, 0, lost_end_batch_bytes());
    assert_int_equal(fixture_start(&f), 0);
    t = fixture_partition(&f, "t", 0);
    uint8_t *data = NULL;
    assert_true(fixture_read(&f, t, 0, 1, &data) > 0);
    assert_int_equal(t->log_end_offset, 2);
    free(data);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* As above, and behind it a bad frame: the registry is raised for that, and still lacks records. */
static void test_log_lost_end__bad_frame_does_not_hide_the_registry(void **state) {
    struct fixture f;
    lost_end_fill(&f);
    struct batch_spec spec = lost_end_spec(BEFORE);
    int64_t offset = topic_partition(f.log->registry, 0)->public.log_end_offset;
    struct topic *topic = fixture_topic(&f, "gone", 1, NULL);
    assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 0);
    fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 2 * BEFORE);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 2 * BEFORE + 2);
    fixture_crash(&f, false);
    lost_end_lose_checkpoints(&f);
    lost_end_recycle(&f, 0, offset);
    lost_end_recycle(&f, 2, 0);
    lost_end_rot_frame(&f, 1, 2 * BEFORE, FRAME_HEADER_BYTES, 300);
    lost_end_cut_segment(&f, 0, 0, 0);
    f.expect_failures = true;
    assert_int_equal(fixture_start(&f), BROKER_E_CORRUPT);
    fixture_deinit(&f);
}

/* Frames are lost in which a segment began, and a later one removes records of it. */
static void test_log_lost_end__segment_is_found_behind_a_moved_log_start(void **state) {
    struct fixture f;
    char bytes[16];
    snprintf(bytes, sizeof bytes, "%d", (int)(4 * lost_end_batch_bytes()));
    const struct topic_config_entry small[] = {{"segment.bytes", bytes}, {0}};
    fixture_init(&f, 36);
    f.limits.checkpoint_ms = 100000;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *t = fixture_topic(&f, "t", 1, small)->partitions[0];
    for (uint64_t n = 0; n < 6; n++) {
        struct batch_spec spec = lost_end_spec(n);
        assert_int_equal(fixture_append(&f, t, &spec), n * 2);
    }
    fixture_run_ms(&f, 3000);
    assert_true(fixture_has_file(&f, 1, 0, 8, SEGMENT_LOG));
    assert_int_equal(fixture_delete_records(&f, t, 10), 0);
    struct batch_spec spec = lost_end_spec(6);
    assert_int_equal(fixture_append(&f, t, &spec), 12);
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    lost_end_recycle(&f, 1, 8);
    lost_end_recycle(&f, 1, 10);
    assert_int_equal(fixture_start(&f), 0);
    t = fixture_partition(&f, "t", 0);
    uint8_t *data = NULL;
    assert_true(fixture_read(&f, t, 10, 1, &data) > 0);
    free(data);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Rot in it, and a whole frame that has it. */
static void test_log_lost_end__first_batch_of_an_epoch_is_put_back(void **state) {
    struct fixture f;
    lost_end_fill(&f);
    f.limits.checkpoint_ms = 100000;
    fixture_crash(&f, true);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0); /* a new epoch, from 12 on */
    for (int64_t n = 0; n < 3; n++) {
        assert_int_equal(lost_end_append(&f, "t"), 2 * BEFORE + 2 * n);
    }
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    lost_end_rot_segment(&f, 0, BEFORE * lost_end_batch_bytes()); /* frames have it */
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_reads(&f, 2 * BEFORE));
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Without the registry's last records offsets may be missing anywhere, since a compaction may have
 * left them out. It leaves no bytes, though. */
static void test_log_lost_end__rot_is_told_where_offsets_may_be_left_out(void **state) {
    struct fixture f;
    char name[JOURNAL_NAME_SIZE];
    lost_end_fill(&f);
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    journal_name(0, name);
    assert_int_equal(disk_unlink(f.disk, name), 0);
    lost_end_lose_checkpoints(&f);
    lost_end_rot_segment(&f, 0, 2 * lost_end_batch_bytes());
    assert_int_equal(fixture_start(&f), 0);
    const struct log_partition *t = log_partition_of(fixture_partition(&f, "t", 0));
    assert_int_equal(t->damage_count, 1);
    assert_int_equal(t->damage[0].from, 4);
    assert_int_equal(t->damage[0].to, 6);
    assert_true(lost_end_reads(&f, 6));
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The batch at byte @at of the first segment says another base offset. */
static void claim(struct fixture *f, uint64_t at, int64_t offset) {
    struct disk_file *file;
    uint8_t bytes[8];
    char path[SEGMENT_NAME_SIZE];
    segment_name(&(struct segment_id){1, 0, 0}, SEGMENT_LOG, path);
    put_be64(bytes, (uint64_t)offset);
    assert_int_equal(disk_open(f->disk, path, DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, bytes, sizeof bytes, at), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

/* Of three batches that are gone one is whole but for its base offset, which no checksum covers: it
 * claims an offset of the one before them, too. */
static void test_log_lost_end__batch_with_offsets_of_another_is_not_believed(void **state) {
    uint64_t bytes = lost_end_batch_bytes();
    struct fixture f;
    uint8_t *data = NULL;
    lost_end_fill(&f);
    fixture_topic(&f, "u", 1, NULL);
    assert_int_equal(lost_end_append(&f, "u"), 0);
    fixture_crash(&f, false);
    for (int64_t offset = 2; offset < 8; offset += 2) {
        lost_end_recycle(&f, 1, offset);
    }
    lost_end_rot_segment(&f, 0, bytes);
    lost_end_rot_segment(&f, 0, 2 * bytes);
    claim(&f, 3 * bytes, 1);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    for (int64_t offset = 2; offset < 8; offset++) {
        assert_int_equal(fixture_read(&f, fixture_partition(&f, "t", 0), offset, 1, &data),
                         -BROKER_E_CORRUPT);
    }
    assert_true(lost_end_reads(&f, 0));
    assert_true(lost_end_reads(&f, 8));
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The next segment is gone, so that nothing agrees with the last batch of this one; what is before
 * it comes back from its frame. */
static void test_log_lost_end__last_batch_before_a_lost_segment_is_kept(void **state) {
    uint64_t bytes = lost_end_batch_bytes();
    const struct segment_id id = {1, 0, 6};
    struct fixture f;
    char path[SEGMENT_NAME_SIZE];
    snprintf(path, sizeof path, "%d", (int)(3 * bytes));
    const struct topic_config_entry small[] = {{"segment.bytes", path}, {0}};
    fixture_init(&f, 37);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *t = fixture_topic(&f, "t", 1, small)->partitions[0];
    for (uint64_t n = 0; n < 7; n++) {
        struct batch_spec spec = lost_end_spec(n);
        assert_int_equal(fixture_append(&f, t, &spec), n * 2);
    }
    fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
    assert_true(fixture_has_file(&f, 1, 0, 12, SEGMENT_LOG));
    fixture_crash(&f, false);
    for (int64_t offset = 4; offset < 12; offset += 2) {
        lost_end_recycle(&f, 1, offset);
    }
    segment_name(&id, SEGMENT_LOG, path);
    assert_int_equal(disk_unlink(f.disk, path), 0);
    lost_end_rot_segment(&f, 0, bytes);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    for (int64_t offset = 0; offset < 14; offset += 2) {
        assert_int_equal(lost_end_reads(&f, offset), offset < 6 || offset == 12);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* One says a base offset behind all others; what frames put back behind it is not written over. */
static void test_log_lost_end__goes_on_behind_all_that_is_put_back(void **state) {
    uint64_t bytes = lost_end_batch_bytes();
    struct fixture f;
    lost_end_fill(&f);
    fixture_crash(&f, false);
    claim(&f, (BEFORE - 2) * bytes, 24);
    lost_end_cut_segment(&f, 1, 0, (BEFORE - 1) * bytes);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_append(&f, "t") >= 2 * BEFORE);
    fixture_run_ms(&f, 3000);
    fixture_forget_memory(&f);
    for (int64_t offset = 0; offset < INT64_C(2) * BEFORE; offset += 2) {
        assert_true(lost_end_reads(&f, offset));
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The file has its whole length; the segment behind it is gone, and so are its frames. */
static void test_log_lost_end__rotten_last_batch_may_hide_a_lost_segment(void **state) {
    const struct segment_id id = {1, 0, 6};
    char path[SEGMENT_NAME_SIZE];
    struct fixture f;
    lost_end_fill_rolled(&f);
    lost_end_go_on(&f, "u");
    fixture_crash(&f, false);
    lost_end_lose_checkpoints(&f);
    for (int64_t offset = 6; offset < 12; offset += 2) {
        lost_end_recycle(&f, 1, offset);
    }
    lost_end_rot_segment(&f, 0, 2 * lost_end_batch_bytes());
    segment_name(&id, SEGMENT_LOG, path);
    assert_int_equal(disk_unlink(f.disk, path), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_reads(&f, 4));
    assert_true(lost_end_append(&f, "t") >= 12);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Nothing is damaged but the checkpoints: the segment gets a hole below the log start. */
static void test_log_lost_end__lookup_passes_what_is_below_the_log_start(void **state) {
    struct fixture f;
    fixture_init(&f, 38);
    f.limits.checkpoint_ms = 100000;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *t = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    for (uint64_t n = 0; n < BEFORE; n++) {
        struct batch_spec spec = lost_end_spec(n);
        assert_int_equal(fixture_append(&f, t, &spec), n * 2);
    }
    assert_int_equal(fixture_delete_records(&f, t, 9), 0);
    fixture_crash(&f, true);
    lost_end_lose_checkpoints(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(lost_end_reads(&f, 10));
    fixture_forget_memory(&f);
    assert_int_equal(fixture_lookup(&f, fixture_partition(&f, "t", 0), 1700000000004), 9);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_lost_end__end_of_a_segment_gives_no_offset_out_again),
        cmocka_unit_test(test_log_lost_end__is_told_until_a_checkpoint_says_it),
        cmocka_unit_test(test_log_lost_end__is_known_without_checkpoints_too),
        cmocka_unit_test(test_log_lost_end__end_of_the_registry_refuses_the_start),
        cmocka_unit_test(test_log_lost_end__segment_costs_none_behind_it),
        cmocka_unit_test(test_log_lost_end__removed_registry_segment_costs_no_batch),
        cmocka_unit_test(test_log_lost_end__removed_registry_segment_is_no_loss),
        cmocka_unit_test(test_log_lost_end__salvaged_batch_is_an_end),
        cmocka_unit_test(test_log_lost_end__bad_frame_does_not_hide_the_registry),
        cmocka_unit_test(test_log_lost_end__segment_is_found_behind_a_moved_log_start),
        cmocka_unit_test(test_log_lost_end__first_batch_of_an_epoch_is_put_back),
        cmocka_unit_test(test_log_lost_end__batch_with_offsets_of_another_is_not_believed),
        cmocka_unit_test(test_log_lost_end__last_batch_before_a_lost_segment_is_kept),
        cmocka_unit_test(test_log_lost_end__goes_on_behind_all_that_is_put_back),
        cmocka_unit_test(test_log_lost_end__rotten_last_batch_may_hide_a_lost_segment),
        cmocka_unit_test(test_log_lost_end__lookup_passes_what_is_below_the_log_start),
        cmocka_unit_test(test_log_lost_end__rot_is_told_where_offsets_may_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
