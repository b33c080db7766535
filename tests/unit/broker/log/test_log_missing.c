/*
 * What somebody took away or put in the wrong place: told as a loss where acknowledged batches may
 * have been in it, and no offset is given out twice; else nothing is told. Where the start is
 * refused it names the path.
 */
#include "log_fixture.h"

#include <errno.h>
#include <eventbox/loop/disk_sim.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BEFORE = 6, BEHIND = 6 };

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = 300,
                               .tag = n * 16,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

/* BEFORE batches that a checkpoint covers, and behind it so many that only the journal has. */
static void fill(struct fixture *f, uint64_t behind) {
    fixture_init(f, 31);
    assert_int_equal(fixture_start(f), 0);
    struct partition *partition = fixture_topic(f, "t", 1, NULL)->partitions[0];
    for (uint64_t n = 0; n < BEFORE + behind; n++) {
        if (n == BEFORE) {
            fixture_until(f, f->log->newest_sequence == f->log->durable_sequence);
        }
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition, &spec), n * 2);
    }
    if (behind == 0) {
        fixture_until(f, f->log->newest_sequence == f->log->durable_sequence);
    }
}

enum way { UNLINKED, ALL_UNLINKED, FOLDER_GONE, EMPTIED, MADE_A_FOLDER, WAYS };

static void take_away(struct fixture *f, enum way way) {
    char name[JOURNAL_NAME_SIZE];
    struct disk_file *file;
    journal_name(0, name);
    if (way == EMPTIED) {
        assert_int_equal(disk_open(f->disk, name, DISK_WRITE, &file), 0);
        assert_int_equal(disk_truncate(file, 0), 0);
        disk_close(file);
        return;
    }
    assert_int_equal(disk_unlink(f->disk, name), 0);
    for (uint32_t id = 1; way != UNLINKED && way != MADE_A_FOLDER && id < 10; id++) {
        journal_name(id, name);
        (void)disk_unlink(f->disk, name);
    }
    if (way == FOLDER_GONE) {
        int r = disk_unlink(f->disk, "journal/clean");
        assert_true(r == 0 || r == DISK_E_NOT_FOUND);
        assert_int_equal(disk_rmdir(f->disk, "journal"), 0);
    }
    for (uint32_t id = 0; way == MADE_A_FOLDER && id < 5; id++) { /* the next name is taken, too */
        journal_name(id, name);
        int r = disk_mkdir(f->disk, name);
        assert_true(r == 0 || (id > 0 && r == DISK_E_EXISTS));
    }
}

static void test_log_missing__journal_file_behind_a_checkpoint_is_told(void **state) {
    for (enum way way = 0; way < WAYS; way++) {
        struct fixture f;
        fill(&f, BEHIND);
        assert_int_equal(f.log->current->id, 0);
        fixture_crash(&f, false);
        take_away(&f, way);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
        struct partition *partition = fixture_partition(&f, "t", 0);
        assert_int_equal(partition->leader_epoch, 1);
        assert_true(partition->log_end_offset == INT64_C(1) << 32);
        unsigned told = f.events[TOPIC_LOG_DAMAGED];
        fixture_crash(&f, way % 2); /* told once: the state says it now */
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], told);
        struct batch_spec spec = spec_of(100);
        partition = fixture_partition(&f, "t", 0);
        assert_true(fixture_append(&f, partition, &spec) == INT64_C(1) << 32);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* The start that finds it is cut before its checkpoint: then the next one tells it, too. */
static void test_log_missing__is_told_until_a_checkpoint_says_it(void **state) {
    unsigned cuts = 0;
    for (uint64_t call = 1;; call++) {
        struct fixture f;
        fill(&f, BEHIND);
        fixture_crash(&f, false);
        take_away(&f, FOLDER_GONE);
        assert_int_equal(disk_sync_dir(f.disk, "."), 0);
        disk_sim_cut_at(f.disk, disk_sim_calls(f.disk) + call);
        (void)fixture_start(&f);
        bool cut = disk_sim_is_cut(f.disk);
        fixture_crash(&f, cut);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(fixture_partition(&f, "t", 0)->log_end_offset == INT64_C(1) << 32);
        fixture_stop(&f);
        fixture_deinit(&f);
        cuts += cut;
        if (!cut) {
            break;
        }
    }
    assert_true(cuts > 10);
}

/* Nothing can be behind the checkpoint of a clean stop, and its marker says that it was one. */
static void test_log_missing__journal_file_of_a_clean_stop_is_no_loss(void **state) {
    struct fixture f;
    fill(&f, BEHIND);
    fixture_stop(&f);
    take_away(&f, UNLINKED);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        struct batch_spec spec = spec_of(100 + round);
        int64_t next = (BEFORE + BEHIND + round) * 2;
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), next);
        fixture_crash(&f, round % 2);
    }
    fixture_deinit(&f);
}

/* Nor is a file that was cut short, also not by the start after that. */
static void test_log_missing__journal_file_cut_after_a_clean_stop_is_no_loss(void **state) {
    struct fixture f;
    struct disk_file *file;
    char name[JOURNAL_NAME_SIZE];
    uint64_t n = 0;
    fixture_init(&f, 32);
    f.limits.journal_first_bytes = 2 * FRAME_ALIGN;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    while (f.log->current->id == 0) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, partition, &spec), n++ * 2);
    }
    fixture_stop(&f);
    journal_name(0, name);
    assert_int_equal(disk_open(f.disk, name, DISK_WRITE, &file), 0);
    assert_int_equal(disk_truncate(file, 0), 0);
    disk_close(file);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_MENDED], 1);
    struct batch_spec spec = spec_of(n);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), n++ * 2);
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    spec = spec_of(n);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), n * 2);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Before the first segment is written nothing but the journal has what was acknowledged. */
static void test_log_missing__all_that_there_was_is_told(void **state) {
    static const enum way ways[] = {UNLINKED, EMPTIED};
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        struct fixture f;
        struct batch_spec spec = spec_of(0);
        fixture_init(&f, 33);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_append(&f, fixture_topic(&f, "t", 1, NULL)->partitions[0], &spec),
                         0);
        fixture_crash(&f, false);
        assert_int_equal(disk_rmdir(f.disk, "topics"), 0); /* it is empty */
        assert_int_equal(disk_sim_corrupt(f.disk, "checkpoint.0", 70, 1, 1), 0);
        take_away(&f, ways[i]);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
        unsigned told = f.events[TOPIC_LOG_DAMAGED];
        assert_null(topic_log_find(f.log, SPAN_LITERAL("t")));
        assert_int_equal(fixture_append(&f, fixture_topic(&f, "t", 1, NULL)->partitions[0], &spec),
                         0); /* of another topic: its id is a new one */
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], told);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_missing__folder_in_the_place_of_a_segment_is_told_by_a_read(void **state) {
    static const char path[] = "topics/1-0/00000000000000000000.log";
    struct fixture f;
    uint8_t *data = NULL;
    fill(&f, 0);
    fixture_stop(&f);
    assert_int_equal(disk_rename(f.disk, path, "aside"), 0);
    assert_int_equal(disk_mkdir(f.disk, path), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(fixture_read(&f, fixture_partition(&f, "t", 0), 0, 1000, &data), -EISDIR);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 1);
    assert_non_null(strstr(f.last_event, "t-0: the disk cannot read the batch at offset 0: "));
    fixture_crash(&f, false);
    fixture_deinit(&f);
}

static void test_log_missing__misplaced_folder_or_file_is_named(void **state) {
    static const struct {
        const char *path;
        bool folder; /* is put there */
    } cases[] = {{"checkpoint.0", true}, {"checkpoint.1", true}, {"journal/clean", true},
                 {"journal", false},     {"topics", false},      {"topics/1-0", false}};
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f;
        struct disk_file *file;
        const char *path = cases[i].path;
        fill(&f, BEHIND);
        fixture_crash(&f, false);
        int r = disk_rename(f.disk, path, "aside");
        assert_true(r == 0 || r == DISK_E_NOT_FOUND);
        if (cases[i].folder) {
            assert_int_equal(disk_mkdir(f.disk, path), 0);
        } else {
            assert_int_equal(disk_open(f.disk, path, DISK_WRITE | DISK_CREATE, &file), 0);
            disk_close(file);
        }
        r = fixture_start(&f);
        assert_int_equal(r, cases[i].folder ? -EISDIR : -ENOTDIR);
        assert_int_equal(strncmp(f.last_event, path, strlen(path)), 0);
        assert_int_equal(f.events[TOPIC_LOG_FAILED], 1);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* A start has no use for it; whoever does names the segment. */
static void test_log_missing__folder_in_the_place_of_an_index_is_named(void **state) {
    static const char path[] = "topics/1-0/00000000000000000000.index";
    struct fixture f;
    struct batch_spec spec = spec_of(100);
    fill(&f, BEHIND);
    fixture_crash(&f, false);
    assert_int_equal(disk_rename(f.disk, path, "aside"), DISK_E_NOT_FOUND);
    assert_int_equal(disk_mkdir(f.disk, path), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec),
                     (BEFORE + BEHIND) * 2);
    f.expect_failures = true;
    fixture_until(&f, topic_log_failed(f.log));
    assert_int_equal(f.events[TOPIC_LOG_FAILED], 1);
    assert_non_null(strstr(f.last_event, "topics/1-0/00000000000000000000.log or its indexes"));
    fixture_crash(&f, false);
    assert_int_equal(disk_rmdir(f.disk, path), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, (BEFORE + BEHIND + 1) * 2);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_missing__journal_file_behind_a_checkpoint_is_told),
        cmocka_unit_test(test_log_missing__is_told_until_a_checkpoint_says_it),
        cmocka_unit_test(test_log_missing__journal_file_of_a_clean_stop_is_no_loss),
        cmocka_unit_test(test_log_missing__journal_file_cut_after_a_clean_stop_is_no_loss),
        cmocka_unit_test(test_log_missing__all_that_there_was_is_told),
        cmocka_unit_test(test_log_missing__folder_in_the_place_of_a_segment_is_told_by_a_read),
        cmocka_unit_test(test_log_missing__misplaced_folder_or_file_is_named),
        cmocka_unit_test(test_log_missing__folder_in_the_place_of_an_index_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
