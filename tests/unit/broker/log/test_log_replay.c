/* What a start with many partitions costs: writes of their batches, syncs of their segments. */
#include "log_fixture.h"

#include <errno.h>
#include <eventbox/loop/disk_sim.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { PARTITIONS = 20, ROUNDS = 15, SMALL = 20, LARGE = 8000 };

/* ---- a disk that counts ---- */

static struct {
    struct disk_ops ops;
    const struct disk_ops *below;
    struct fixture *f;
    unsigned reads;
    unsigned writes, syncs; /* of segments; the latter also of all files at once */
    unsigned early_syncs;   /* while the start was not through */
    unsigned early_folders; /* made meanwhile */
} counted;

static int counting_pread(struct disk_file *file, void *data, size_t size, uint64_t offset,
                          size_t *ret_size) {
    counted.reads++;
    return counted.below->pread(file, data, size, offset, ret_size);
}

static int counting_pwritev(struct disk_file *file, const struct iovec *parts, int count,
                            uint64_t offset) {
    counted.writes++;
    return counted.below->pwritev(file, parts, count, offset);
}

static void count_sync(void) {
    counted.syncs++;
    counted.early_syncs += counted.f->log->state == LOG_RECOVERING;
}

static int counting_mkdir(struct disk *disk, const char *path) {
    int r = counted.below->mkdir(disk, path);
    counted.early_folders += r == 0 && counted.f->log->state == LOG_RECOVERING;
    return r;
}

static int counting_sync_dir(struct disk *disk, const char *path) {
    if (strncmp(path, "topics", 6) == 0) { /* behind a segment that is new */
        count_sync();
    }
    return counted.below->sync_dir(disk, path);
}

static int counting_syncfs(struct disk *disk) {
    count_sync();
    return counted.below->syncfs(disk);
}

static void count_calls(struct fixture *f) {
    memset(&counted, 0, sizeof counted);
    counted.f = f;
    counted.below = f->disk->ops;
    counted.ops = *counted.below;
    counted.ops.pread = counting_pread;
    counted.ops.pwritev = counting_pwritev;
    counted.ops.mkdir = counting_mkdir;
    counted.ops.sync_dir = counting_sync_dir;
    counted.ops.syncfs = counting_syncfs;
    f->disk->ops = &counted.ops;
}

/* ---- small batches in many partitions ---- */

/* A batch to each partition, round by round: so many frames. */
static void append_rounds(struct fixture *f, unsigned first, unsigned count, size_t value_bytes) {
    for (unsigned round = first; round < first + count; round++) {
        struct one ones[PARTITIONS] = {0};
        for (int32_t i = 0; i < PARTITIONS; i++) {
            struct batch_spec spec = {.records = 1,
                                      .value_bytes = value_bytes,
                                      .tag = round,
                                      .timestamp_ms = 1700000000000,
                                      .producer_id = -1};
            assert_int_equal(one_start(f, &ones[i], fixture_partition(f, "t", i), &spec), 0);
        }
        for (int32_t i = 0; i < PARTITIONS; i++) {
            fixture_until(f, ones[i].done);
            assert_int_equal(ones[i].status, 0);
            one_free(&ones[i]);
        }
    }
}

/* Killed, with ROUNDS frames that no checkpoint covers; @made: and segments for their batches. */
static void fill(struct fixture *f, uint64_t seed, size_t value_bytes, bool made) {
    fixture_init(f, seed);
    f->limits.open_files_max = 16;
    assert_int_equal(fixture_start(f), 0);
    fixture_topic(f, "t", PARTITIONS, NULL);
    append_rounds(f, 0, made, value_bytes);
    fixture_until(f, f->log->newest_sequence == f->log->durable_sequence);
    append_rounds(f, made, ROUNDS, value_bytes);
    fixture_crash(f, false);
}

static void expect_rounds(struct fixture *f, unsigned rounds) {
    fixture_forget_memory(f);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        struct partition *partition = fixture_partition(f, "t", i);
        assert_int_equal(partition->high_watermark, rounds);
        for (unsigned round = 0; round < rounds; round++) {
            uint8_t *data = NULL;
            assert_true(fixture_read(f, partition, round, 1, &data) > 0);
            assert_int_equal(get_be64(data), round);
            free(data);
        }
    }
    assert_int_equal(f->events[TOPIC_LOG_DAMAGED], 0);
}

static void test_log_replay__batches_of_many_frames_are_written_at_once(void **state) {
    static const struct {
        size_t value_bytes;
        uint64_t replay_bytes;
        unsigned least, most; /* writes */
    } cases[] = {
        {SMALL, MIB(24), PARTITIONS, PARTITIONS + 10},
        {SMALL, KIB(24), PARTITIONS * 2, PARTITIONS * ROUNDS / 2}, /* so many may wait */
        {SMALL, 1, PARTITIONS * ROUNDS, PARTITIONS * ROUNDS + 10},
        {LARGE, MIB(24), PARTITIONS, PARTITIONS + 10},
        {LARGE, MIB(1), PARTITIONS * 2, PARTITIONS * ROUNDS / 2}, /* so much fits */
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f;
        fill(&f, 61 + i, cases[i].value_bytes, true);
        f.limits.replay_bytes = cases[i].replay_bytes;
        count_calls(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_in_range(counted.writes, cases[i].least, cases[i].most);
        expect_rounds(&f, ROUNDS + 1);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* A frame of one small batch is 4 KiB, and a checkpoint may be 16,000 of them away. */
static void test_log_replay__small_frames_are_read_many_at_a_time(void **state) {
    enum { FRAMES = 300, READS_MAX = 40 };
    struct fixture f;
    fixture_init(&f, 81);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    for (unsigned n = 0; n < FRAMES; n++) {
        struct batch_spec spec = {.records = 1, .value_bytes = SMALL, .producer_id = -1};
        assert_int_equal(fixture_append(&f, partition, &spec), n);
    }
    fixture_crash(&f, false);
    count_calls(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_in_range(counted.reads, 1, READS_MAX);
    assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, FRAMES);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Nobody waits for the sync of all that: the journal has the batches until the checkpoint. */
static void test_log_replay__a_checkpoint_follows_the_start(void **state) {
    static const struct {
        bool made;         /* segments are there already */
        unsigned appended; /* rounds behind the start */
        bool checkpoint;   /* before the power cut; else nothing of the segments need be left */
    } cases[] = {{true, 0, false},  {true, 1, false},  {true, 0, true},  {true, 1, true},
                 {false, 0, false}, {false, 1, false}, {false, 0, true}, {false, 1, true}};
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned before = ROUNDS + cases[i].made, rounds = before + cases[i].appended;
        struct fixture f;
        fill(&f, 71 + i, SMALL, cases[i].made);
        count_calls(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(counted.early_syncs, 0);
        append_rounds(&f, before, cases[i].appended, SMALL);
        if (cases[i].checkpoint) {
            fixture_until(&f, f.log->newest_sequence >= f.log->recovered_sequence);
            assert_true(counted.syncs > 0);
        }
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        expect_rounds(&f, rounds);
        append_rounds(&f, rounds, 1, SMALL);
        fixture_stop(&f);
        assert_int_equal(fixture_start(&f), 0);
        expect_rounds(&f, rounds + 1);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* ---- segments that do not exist yet ---- */

enum { BATCH_COST = 500, TOUCHED = 4 }; /* so many files are opened before one sync is for all */

/* Who reads segments knows how much of each is there. */
static void expect_unwritten(struct fixture *f) {
    for (int32_t i = 0; i < PARTITIONS; i++) {
        const struct log_partition *partition = log_partition_of(fixture_partition(f, "t", i));
        bool there = fixture_has_file(f, partition->topic->public.number, i, 0, SEGMENT_LOG);
        assert_int_equal(partition->segments[0].written_bytes,
                         there ? partition->segments[0].bytes : 0);
    }
}

/* To make them is left to the run, as far as memory takes their batches. */
static void test_log_replay__new_folders_are_not_waited_for(void **state) {
    static const struct {
        uint64_t tail_bytes;
        unsigned least, most; /* folders made by the start */
    } cases[] = {
        {MIB(8), TOUCHED, TOUCHED + 2},
        {BATCH_COST * PARTITIONS * ROUNDS / 2, TOUCHED + 3, PARTITIONS - 3},
        {1, PARTITIONS, PARTITIONS},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f;
        fill(&f, 91 + i, SMALL, false);
        assert_int_equal(fixture_findings(&f, FINDING_MENDS), 0);
        f.limits.tail_bytes = cases[i].tail_bytes;
        f.limits.replay_bytes = KIB(64);
        count_calls(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_in_range(counted.early_folders, cases[i].least, cases[i].most);
        expect_unwritten(&f);
        assert_true(f.log->unwritten_cost <=
                    cases[i].tail_bytes + BATCH_COST * 2); /* of this run */
        expect_rounds(&f, ROUNDS);
        assert_int_equal(f.events[TOPIC_LOG_DISK_FULL], 0);
        fixture_crash(&f, i == 1);
        assert_int_equal(fixture_start(&f), 0);
        expect_rounds(&f, ROUNDS);
        fixture_until(&f, f.log->newest_sequence >= f.log->recovered_sequence);
        expect_rounds(&f, ROUNDS);
        fixture_stop(&f);
        assert_int_equal(fixture_findings(&f, FINDING_MENDS), 0);
        fixture_deinit(&f);
    }
}

/* Who looks from outside has no run to leave them to. */
static void test_log_replay__a_look_from_outside_leaves_no_folder_out(void **state) {
    enum { MANY = 100 };
    struct fixture f;
    fixture_init(&f, 97);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", MANY, NULL);
    for (int32_t i = 0; i < MANY; i++) {
        struct batch_spec spec = {.records = 1, .value_bytes = SMALL, .producer_id = -1};
        assert_int_equal(fixture_append(&f, topic->partitions[i], &spec), 0);
    }
    fixture_crash(&f, false);
    assert_false(fixture_has_file(&f, 1, MANY - 1, 0, SEGMENT_LOG));
    assert_int_equal(fixture_findings(&f, FINDING_NOTE), 0);
    count_calls(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_in_range(counted.early_folders, 1, MANY - 1); /* unlike a start */
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* What is behind the batches in the journal: it may be the topic's end, or that of what they hold.
 */
static void test_log_replay__records_behind_batches_without_a_segment(void **state) {
    enum { ANOTHER, CUT, DELETED, CASES };
    for (unsigned i = 0; i < CASES; i++) {
        struct fixture f;
        fixture_init(&f, 95 + i);
        f.limits.open_files_max = 16;
        assert_int_equal(fixture_start(&f), 0);
        struct topic *topic = fixture_topic(&f, "t", PARTITIONS, NULL);
        append_rounds(&f, 0, ROUNDS, SMALL);
        if (i == ANOTHER) {
            fixture_topic(&f, "another", PARTITIONS, NULL);
        } else if (i == CUT) {
            assert_int_equal(fixture_delete_records(&f, topic->partitions[7], ROUNDS - 1), 0);
        } else {
            assert_int_equal(fixture_delete(&f, topic), 0);
            fixture_topic(&f, "t", PARTITIONS, NULL);
        }
        append_rounds(&f, ROUNDS, 1, SMALL);
        fixture_crash(&f, false);
        f.limits.replay_bytes = KIB(16);
        count_calls(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(i == ANOTHER ? counted.early_folders <= TOUCHED + 2
                                 : counted.early_folders >= PARTITIONS);
        for (unsigned run = 0; run < 2; run++) {
            const struct partition *partition = fixture_partition(&f, "t", 7);
            assert_int_equal(partition->high_watermark, i == DELETED ? 1 : ROUNDS + 1);
            assert_int_equal(partition->log_start_offset, i == CUT ? ROUNDS - 1 : 0);
            if (i != DELETED) {
                uint8_t *data = NULL;
                assert_true(fixture_read(&f, fixture_partition(&f, "t", 7), ROUNDS, 1, &data) > 0);
                assert_int_equal(get_be64(data), ROUNDS);
                free(data);
            }
            assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
            fixture_stop(&f);
            assert_int_equal(fixture_findings(&f, FINDING_MENDS), 0);
            assert_int_equal(fixture_start(&f), 0);
        }
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* ---- what the page cache alone shows ---- */

/* A frame whose sync failed is whole for the start, which has nothing else that would stand for it
 * after a power cut. The producer sends it again, and is told that it is there. */
static void test_log_replay__a_frame_whose_sync_failed_is_written_again(void **state) {
    unsigned replayed = 0;
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct fixture f;
        struct one one = {0};
        const struct batch_spec spec = {.records = 1, .value_bytes = SMALL, .producer_id = 7};
        fixture_init(&f, seed);
        f.expect_failures = true;
        f.limits.open_files_max = seed % 3 == 0 ? 512 : 16;
        disk_sim_refuse_direct(f.disk, true);
        assert_int_equal(fixture_start(&f), 0);
        fixture_topic(&f, "t", PARTITIONS, NULL);
        fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
        append_rounds(&f, 0, 1, SMALL);
        disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + 2, -EIO);
        assert_int_equal(one_start(&f, &one, fixture_partition(&f, "t", 0), &spec), 0);
        fixture_until(&f, one.done);
        disk_sim_fail_at(f.disk, 0, 0);
        one_free(&one);
        fixture_crash(&f, false);
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = fixture_partition(&f, "t", 0);
        replayed += partition->high_watermark == 2;
        assert_int_equal(fixture_append(&f, partition, &spec), 1);
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        fixture_forget_memory(&f);
        uint8_t *data = NULL;
        assert_true(fixture_read(&f, fixture_partition(&f, "t", 0), 1, 1, &data) > 0);
        assert_int_equal(get_be64(data), 1);
        free(data);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
    assert_true(replayed > 10);
}

/* ---- entries of indexes ---- */

static uint64_t size_of_index(struct fixture *f) {
    struct segment_id id = {1, 0, 0};
    char name[SEGMENT_NAME_SIZE];
    struct disk_file *file = NULL;
    uint64_t size = 0;
    segment_name(&id, SEGMENT_INDEX, name);
    if (disk_open(f->disk, name, DISK_READ, &file) == 0) {
        assert_int_equal(disk_size(file, &size), 0);
    }
    disk_close(file);
    return size;
}

/* Each run is killed before its batch reaches a segment, and each start leaves it without entry. */
static void test_log_replay__entries_of_many_starts_are_made_in_time(void **state) {
    enum { KILLS = 30, VALUE_BYTES = 60000 };
    for (unsigned end = 0; end < 2; end++) {
        struct fixture f;
        fixture_init(&f, 9);
        assert_int_equal(fixture_start(&f), 0);
        fixture_topic(&f, "t", 1, NULL);
        for (unsigned n = 0; n < KILLS; n++) {
            struct batch_spec spec = {.records = 1, .value_bytes = VALUE_BYTES, .producer_id = -1};
            assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), n);
            fixture_crash(&f, false);
            assert_int_equal(fixture_start(&f), 0);
        }
        assert_int_equal(size_of_index(&f), 0);
        if (end == 0) {
            fixture_until(&f, !f.log->indexes.behind);
            assert_true(size_of_index(&f) > INDEX_HEADER_BYTES);
        }
        fixture_stop(&f);
        assert_int_equal(size_of_index(&f), INDEX_HEADER_BYTES + (KILLS - 1) * INDEX_ENTRY_BYTES);
        fixture_deinit(&f);
    }
}

/* Where frame @sequence stands in the first file of the journal. */
static uint64_t find_frame(struct fixture *f, uint64_t sequence) {
    struct frame_header header;
    struct disk_file *file;
    uint8_t bytes[FRAME_HEADER_BYTES];
    size_t got = 0;
    uint64_t at = 0;
    assert_int_equal(disk_open(f->disk, "journal/00000000", DISK_READ, &file), 0);
    for (;; at += FRAME_ALIGN) {
        assert_int_equal(disk_pread(file, bytes, sizeof bytes, at, &got), 0);
        assert_int_equal(got, sizeof bytes);
        if (frame_header_read(bytes, NULL, &header) && header.sequence == sequence) {
            break;
        }
    }
    disk_close(file);
    return at;
}

/* Also where no frame was whole: what is taken from a damaged one is left without entry, too. */
static void test_log_replay__entries_behind_a_damaged_frame_are_made_in_time(void **state) {
    struct batch_spec spec = {.records = 1, .value_bytes = 30000, .producer_id = -1};
    struct fixture f;
    fixture_init(&f, 10);
    assert_int_equal(fixture_start(&f), 0);
    fixture_topic(&f, "t", 1, NULL);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 0);
    fixture_crash(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    fixture_until(&f,
                  f.log->newest_sequence == f.log->durable_sequence); /* and forgets the index */
    fixture_crash(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    fixture_until(&f, f.log->newest_sequence == f.log->durable_sequence);
    uint64_t before = f.log->durable_sequence;
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 1);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 2);
    fixture_crash(&f, false);
    uint64_t entry = find_frame(&f, before + 1) + FRAME_HEADER_BYTES;
    uint64_t batch = find_frame(&f, before + 2) + FRAME_ALIGN;
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", entry + 8, 1, 1), 0);
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", batch, 10, 1), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_RECOVERED], 1); /* not told this time: none was whole */
    assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, 2);
    assert_true(f.log->indexes.behind);
    fixture_until(&f, !f.log->indexes.behind); /* made, and written with the next ones or the end */
    fixture_stop(&f);
    assert_int_equal(size_of_index(&f), INDEX_HEADER_BYTES + INDEX_ENTRY_BYTES);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_replay__batches_of_many_frames_are_written_at_once),
        cmocka_unit_test(test_log_replay__small_frames_are_read_many_at_a_time),
        cmocka_unit_test(test_log_replay__a_checkpoint_follows_the_start),
        cmocka_unit_test(test_log_replay__new_folders_are_not_waited_for),
        cmocka_unit_test(test_log_replay__a_look_from_outside_leaves_no_folder_out),
        cmocka_unit_test(test_log_replay__records_behind_batches_without_a_segment),
        cmocka_unit_test(test_log_replay__a_frame_whose_sync_failed_is_written_again),
        cmocka_unit_test(test_log_replay__entries_of_many_starts_are_made_in_time),
        cmocka_unit_test(test_log_replay__entries_behind_a_damaged_frame_are_made_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
