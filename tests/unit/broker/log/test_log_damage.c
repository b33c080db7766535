/* Rot in every kind of file: what it costs, that it is told, and that the rest stays readable. */
#include "log_fixture.h"
#include "topics/registry.h"

#include <eventbox/base/crc32c.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 12, VALUE_BYTES = 600 };

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = VALUE_BYTES,
                               .tag = UINT64_C(0x7a6f6e6500000000) + n * 16,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

/* Batches 0, 1, 2, ... on partitions 0, 1, 2, 0, ..., a frame each. */
static void fill(struct fixture *f) {
    fixture_init(f, 11);
    f->limits.checkpoint_ms = 100000;
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 3, NULL);
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition_get(topic, (int32_t)(n % 3)), &spec),
                         n / 3 * 2);
    }
}

static ssize_t read_batch(struct fixture *f, uint64_t n) {
    uint8_t *data = NULL;
    struct batch_spec spec = spec_of(n);
    struct partition *partition = fixture_partition(f, "t", (int32_t)(n % 3));
    ssize_t size = fixture_read(f, partition, (int64_t)(n / 3 * 2), 1, &data);
    if (size > 0) {
        struct buf *expected = fixture_batch(&spec);
        if ((int64_t)get_be64(data) != (int64_t)(n / 3 * 2) || (size_t)size != expected->size ||
            memcmp(data + 16, expected->data + 16, expected->size - 16) != 0) {
            size = 0;
        }
        buf_unref(expected);
    }
    if (data) {
        free(data);
    }
    return size;
}

/* Where the values of batch @n stand in a file. */
static uint64_t find_batch(struct fixture *f, const char *path, uint64_t n) {
    struct disk_file *file;
    uint64_t size, tag = spec_of(n).tag, found = UINT64_MAX;
    size_t got;
    assert_int_equal(disk_open(f->disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_size(file, &size), 0);
    uint8_t *data = malloc(size);
    assert_int_equal(disk_pread(file, data, size, 0, &got), 0);
    for (size_t i = 0; i + sizeof tag <= got && found == UINT64_MAX; i++) {
        found = memcmp(data + i, &tag, sizeof tag) == 0 ? i : found;
    }
    free(data);
    disk_close(file);
    assert_true(found != UINT64_MAX);
    return found;
}

static void test_log_damage__lost_batch_is_named_and_the_rest_stays(void **state) {
    struct fixture f;
    fill(&f);
    fixture_crash(&f, false);
    uint64_t at = find_batch(&f, "journal/00000000", 4);
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", at + 20, 10, 1), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    for (uint64_t n = 0; n < BATCHES; n++) {
        if (n == 4) {
            assert_int_equal(read_batch(&f, n), -BROKER_E_CORRUPT);
        } else {
            assert_true(read_batch(&f, n) > 0);
        }
    }
    /* Named by the frame's own entry and by later batches: nothing else has to move. */
    assert_int_equal(fixture_partition(&f, "t", 1)->log_end_offset, 8);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(read_batch(&f, 4), -BROKER_E_CORRUPT);
    assert_true(read_batch(&f, 7) > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Entry @index of the frame of batch @n, that of @base_offset, names another segment and place. */
static void move_entry(struct fixture *f, uint64_t n, unsigned index, int64_t base_offset,
                       int64_t segment_base, const uint64_t *position) {
    struct disk_file *file;
    struct frame_entry entry;
    uint8_t bytes[FRAME_ENTRY_BYTES];
    size_t got;
    uint64_t frame = find_batch(f, "journal/00000000", n) & ~(uint64_t)(FRAME_ALIGN - 1);
    uint64_t at = frame + FRAME_HEADER_BYTES + (uint64_t)index * FRAME_ENTRY_BYTES;
    assert_int_equal(disk_open(f->disk, "journal/00000000", DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, bytes, sizeof bytes, at, &got), 0);
    frame_entry_read(bytes, &entry);
    assert_int_equal(entry.base_offset, base_offset);
    entry.segment_base = segment_base;
    entry.position = position ? *position : entry.position;
    frame_entry_write(bytes, &entry);
    assert_int_equal(disk_pwrite(file, bytes, sizeof bytes, at), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

/* The segment that its entry names would begin with it, the position is behind the batch before. */
static void test_log_damage__batch_of_a_bad_frame_rolls_at_position_0_alone(void **state) {
    struct fixture f;
    fill(&f);
    fixture_crash(&f, false);
    move_entry(&f, 7, 0, 4, 4, NULL);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_MENDED] > 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    fixture_forget_memory(&f);
    for (uint64_t n = 0; n < BATCHES; n++) {
        assert_true(read_batch(&f, n) > 0);
    }
    assert_int_equal(log_partition_of(fixture_partition(&f, "t", 1))->segment_count, 1);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Neither the segment nor the position that its entry names is right: then it begins no segment. */
static void test_log_damage__batch_of_a_bad_frame_with_no_place_goes_on(void **state) {
    struct fixture f;
    fill(&f);
    fixture_crash(&f, false);
    move_entry(&f, 7, 0, 4, INT64_C(1) << 56, &(uint64_t){99});
    assert_int_equal(fixture_start(&f), 0);
    struct batch_spec spec = spec_of(100);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 1), &spec), 8);
    fixture_until(&f, f.log->unwritten_count == 0);
    fixture_forget_memory(&f);
    for (uint64_t n = 0; n < BATCHES; n++) {
        assert_true(read_batch(&f, n) > 0);
    }
    uint8_t *data = NULL;
    assert_true(fixture_read(&f, fixture_partition(&f, "t", 1), 8, 1, &data) > 0);
    free(data);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_damage__segment_copy_replaces_damaged_frame(void **state) {
    /* A frame in the middle, and the very last one, where rot cannot be told from a tear. */
    for (uint64_t n = 4; n < BATCHES; n += BATCHES - 1 - 4) {
        struct fixture f;
        fill(&f);
        fixture_run_ms(&f, 3000); /* in the segments, not yet in a checkpoint */
        fixture_crash(&f, true);
        uint64_t at = find_batch(&f, "journal/00000000", n);
        assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", at + 20, 10, 1), 0);
        assert_int_equal(fixture_start(&f), 0);
        for (uint64_t i = 0; i < BATCHES; i++) {
            /* A power cut may have taken an unsynced segment write; offsets stay unique then. */
            assert_true(read_batch(&f, i) > 0 || i == n);
        }
        fixture_stop(&f);
        fixture_deinit(&f);
        fill(&f);
        fixture_run_ms(&f, 3000);
        fixture_crash(&f, false);
        assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", at + 20, 10, 1), 0);
        assert_int_equal(fixture_start(&f), 0);
        for (uint64_t i = 0; i < BATCHES; i++) {
            assert_true(read_batch(&f, i) > 0);
        }
        struct batch_spec spec = spec_of(100);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 2), &spec), 8);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

enum { PAIRED_BATCHES = 12, IN_A_SEGMENT = 4, PAIR_ENTRIES = 2 };

static void lose_checkpoints(struct fixture *f) {
    (void)disk_sim_corrupt(f->disk, "checkpoint.0", 70, 8, 1);
    (void)disk_sim_corrupt(f->disk, "checkpoint.1", 70, 8, 1);
}

/* Batches of one partition, two to a frame but for the first @alone, four to a segment; all of them
 * in segments as well. */
static void fill_frames(struct fixture *f, uint64_t alone) {
    static const struct topic_config_entry configs[] = {{"segment.bytes", "6000"}, {NULL, NULL}};
    fixture_init(f, 14);
    f->limits.checkpoint_ms = 100000;
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 1, configs);
    for (uint64_t n = 0, count; n < PAIRED_BATCHES; n += count) {
        struct one pair[PAIR_ENTRIES];
        count = n < alone || n + 1 == PAIRED_BATCHES ? 1 : PAIR_ENTRIES;
        for (uint64_t i = 0; i < count; i++) {
            struct batch_spec spec = spec_of(n + i);
            assert_int_equal(one_start(f, &pair[i], partition_get(topic, 0), &spec), 0);
        }
        fixture_until(f, pair[0].done && pair[count - 1].done);
        assert_int_equal(pair[0].append.frame_sequence, pair[count - 1].append.frame_sequence);
        for (uint64_t i = 0; i < count; i++) {
            one_free(&pair[i]);
        }
    }
    fixture_run_ms(f, 3000);
    fixture_crash(f, false);
}

/* Batches 0 and 1, 2 and 3, ... in a frame; segment @gone is gone as both checkpoints are. */
static void fill_pairs(struct fixture *f, int64_t gone) {
    char path[SEGMENT_NAME_SIZE];
    fill_frames(f, 0);
    lose_checkpoints(f);
    segment_name(&(struct segment_id){1, 0, gone}, SEGMENT_LOG, path);
    assert_int_equal(disk_unlink(f->disk, path), 0);
}

static void spoil_in_segment(struct fixture *f, uint64_t n) {
    char path[SEGMENT_NAME_SIZE];
    const int64_t base = (int64_t)(n - n % IN_A_SEGMENT) * 2;
    segment_name(&(struct segment_id){1, 0, base}, SEGMENT_LOG, path);
    assert_int_equal(disk_sim_corrupt(f->disk, path, find_batch(f, path, n) + 20, 10, 1), 0);
}

static void spoil_in_journal(struct fixture *f, uint64_t n) {
    uint64_t at = find_batch(f, "journal/00000000", n);
    assert_int_equal(disk_sim_corrupt(f->disk, "journal/00000000", at + 20, 10, 1), 0);
}

/* The frame that has batch @n first, with all that it names. */
static void lose_frame(struct fixture *f, uint64_t n) {
    uint64_t at = find_batch(f, "journal/00000000", n) & ~(uint64_t)(FRAME_ALIGN - 1);
    assert_int_equal(disk_sim_corrupt(f->disk, "journal/00000000", at, 64, 1), 0);
}

static bool is_set_aside(struct fixture *f, uint64_t n) {
    const struct log_partition *partition = log_partition_of(fixture_partition(f, "t", 0));
    bool set_aside = false;
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        set_aside |= partition->damage[i].from <= (int64_t)n * 2 &&
                     (int64_t)n * 2 + 2 <= partition->damage[i].to;
    }
    return set_aside;
}

/* @lost: a bit for each batch that is. */
static void start_without(struct fixture *f, unsigned lost) {
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(fixture_start(f), 0);
        assert_true(round > 0 || f->events[TOPIC_LOG_DAMAGED] > 0);
        for (uint64_t n = 0; n < PAIRED_BATCHES; n++) {
            struct batch_spec spec = spec_of(n);
            struct buf *expected = fixture_batch(&spec);
            uint8_t *data = NULL;
            ssize_t size = fixture_read(f, fixture_partition(f, "t", 0), (int64_t)n * 2, 1, &data);
            if (lost >> n & 1) {
                assert_int_equal(size, -BROKER_E_CORRUPT);
                assert_true(is_set_aside(f, n));
            } else {
                assert_int_equal(size, expected->size);
                assert_int_equal(get_be64(data), n * 2);
                assert_memory_equal(data + 16, expected->data + 16, expected->size - 16);
                free(data);
            }
            buf_unref(expected);
        }
        fixture_stop(f);
    }
    fixture_deinit(f);
}

static void test_log_damage__right_batch_of_a_bad_frame_goes_back_between_lost_ones(void **state) {
    struct fixture f;
    /* What is behind it comes with a later frame. */
    fill_pairs(&f, 2 * IN_A_SEGMENT);
    spoil_in_journal(&f, 4);
    start_without(&f, 1u << 4);
    /* No frame that is whole names its segment: nothing proves the place, and nothing is there. */
    fill_pairs(&f, 2 * IN_A_SEGMENT);
    spoil_in_journal(&f, 4);
    spoil_in_journal(&f, 6);
    start_without(&f, 1u << 4 | 1u << 6);
}

/* What joins its place is lost or comes with a later frame; before that stands a right batch. */
static void test_log_damage__right_batch_of_a_bad_frame_goes_back_into_rot(void **state) {
    struct fixture f;
    fill_frames(&f, 1); /* 5 and 6 are in one frame */
    lose_checkpoints(&f);
    for (uint64_t n = 5; n <= 7; n++) {
        spoil_in_segment(&f, n);
    }
    spoil_in_journal(&f, 5);
    start_without(&f, 1u << 5);
}

/* What the entry says of the place is wrong: it is that of an older batch, which is lost. */
static void test_log_damage__right_batch_of_a_bad_frame_goes_before_no_older_one(void **state) {
    struct fixture f;
    struct batch_spec spec = spec_of(7);
    struct buf *batch = fixture_batch(&spec);
    fill_frames(&f, 0);
    lose_checkpoints(&f);
    spoil_in_segment(&f, 5);
    spoil_in_segment(&f, 7);
    spoil_in_journal(&f, 5);
    spoil_in_journal(&f, 6);
    move_entry(&f, 7, 1, 14, 2 * IN_A_SEGMENT, &(uint64_t){batch->size});
    buf_unref(batch);
    start_without(&f, 1u << 5 | 1u << 7);
}

/* A frame that is lost may have had the record of a compaction, which may leave gaps anywhere but
 * where batches of the journal stand. */
static void test_log_damage__right_batch_of_a_bad_frame_is_no_gap_of_a_compaction(void **state) {
    struct fixture f;
    fill_pairs(&f, 0);
    spoil_in_journal(&f, 0);
    lose_frame(&f, 2);
    start_without(&f, 1u << 0 | 1u << 2 | 1u << 3);
}

static void test_log_damage__wrong_place_in_a_bad_frame_costs_no_other_batch(void **state) {
    const struct {
        int64_t segment_base;
        uint64_t batches_before; /* in it */
    } places[] = {
        {8, 2},  /* that of the next batch */
        {8, 4},  /* behind those that follow it */
        {9, 1},  /* a segment within another */
        {0, 4},  /* behind the end of the one before */
        {16, 1}, /* in the one behind */
        {-1, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct fixture f;
        struct batch_spec spec = spec_of(5);
        struct buf *batch = fixture_batch(&spec);
        fill_pairs(&f, 2 * IN_A_SEGMENT);
        spoil_in_journal(&f, 4);
        move_entry(&f, 5, 1, 10, places[i].segment_base,
                   &(uint64_t){places[i].batches_before * batch->size});
        buf_unref(batch);
        start_without(&f, 1u << 4 | 1u << 5);
    }
}

/* Segments have what lost frames had, but for some: they are gone on with behind each such place.
 */
static void test_log_damage__segments_of_lost_frames_count_behind_each_hole(void **state) {
    struct fixture f;
    fill_frames(&f, 0);
    for (uint64_t n = 2; n < 8; n += PAIR_ENTRIES) {
        lose_frame(&f, n);
    }
    spoil_in_segment(&f, 3);
    spoil_in_segment(&f, 5); /* the one before it begins a segment */
    start_without(&f, 1u << 3 | 1u << 5);
}

/* Between two lost ones nothing proves a batch that begins no segment; those that lead to the end
 * of the file prove themselves. */
static void test_log_damage__last_batches_of_lost_frames_count_behind_two_holes(void **state) {
    enum { LAST = 12 };
    static const char path[] = "topics/1-0/00000000000000000000.log";
    struct fixture f;
    struct batch_spec spec = spec_of(LAST);
    fill(&f);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 8);
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    for (uint64_t n = 3; n <= LAST; n += 3) {
        lose_frame(&f, n);
    }
    for (uint64_t n = 3; n < LAST; n += 6) {
        assert_int_equal(disk_sim_corrupt(f.disk, path, find_batch(&f, path, n) + 20, 10, 1), 0);
    }
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(read_batch(&f, 3), -BROKER_E_CORRUPT);
    assert_int_equal(read_batch(&f, 9), -BROKER_E_CORRUPT);
    for (uint64_t n = 0; n <= LAST; n++) {
        assert_true(n == 3 || n == 6 || n == 9 || read_batch(&f, n) > 0);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* @checkpoints: they are there; without them epochs rise once more. */
static void lose_a_frame(bool checkpoints) {
    struct fixture f;
    int32_t epochs = checkpoints ? 1 : 2;
    fill(&f);
    fixture_crash(&f, false);
    if (!checkpoints) {
        (void)disk_sim_corrupt(f.disk, "checkpoint.0", 70, 8, 1);
        (void)disk_sim_corrupt(f.disk, "checkpoint.1", 70, 8, 1);
    }
    /* Batch 9 is the last of partition 0; the header of its frame stands at a multiple of 4 KiB. */
    uint64_t at = find_batch(&f, "journal/00000000", 9) & ~(uint64_t)4095;
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", at, 64, 1), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    assert_true(!checkpoints || strstr(f.last_damage, "topic t partition 0: "));
    assert_true(!checkpoints || strstr(f.last_damage, " lost from offset 6 on "));
    struct partition *partition = fixture_partition(&f, "t", 0);
    assert_int_equal(partition->leader_epoch, epochs);
    assert_true(partition->log_end_offset == INT64_C(1) << 32);
    assert_int_equal(fixture_partition(&f, "t", 1)->leader_epoch, epochs - 1);
    /* It may have had a record of the registry: ids and numbers that somebody knows. */
    assert_true(f.log->producer_durable_end >= INT64_C(1) << 32);
    assert_true(f.log->next_number > 1000);
    assert_int_equal(fixture_partition(&f, "t", 1)->log_end_offset, 8);
    for (uint64_t n = 0; n < BATCHES; n++) {
        assert_true(n == 9 || read_batch(&f, n) > 0);
    }
    struct batch_spec spec = spec_of(100);
    assert_true(fixture_append(&f, partition, &spec) == INT64_C(1) << 32);
    int32_t epoch;
    int64_t end;
    partition_epoch_end(f.log, partition, 0, &epoch, &end);
    assert_int_equal(epoch, 0);
    assert_true(end == INT64_C(1) << 32);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(fixture_partition(&f, "t", 0)->leader_epoch, epochs);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_damage__unreadable_frame_raises_epoch_and_offsets(void **state) {
    lose_a_frame(true);
    lose_a_frame(false);
}

/* The frame with the creation of "t" is lost. @in_segment: the registry's segment has it as well.
 */
static void lose_the_creation(bool in_segment) {
    struct fixture f;
    fill(&f);
    fixture_run_ms(&f, in_segment ? 3000 : 0);
    fixture_crash(&f, false);
    uint64_t first = find_batch(&f, "journal/00000000", 0) & ~(uint64_t)4095;
    assert_true(first >= 4096);
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", first - 4096, 64, 1), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    static const char *const names[] = {"one", "two", "three"};
    const char *name = in_segment ? "t" : "recovered-1";
    for (unsigned round = 0; round < 3; round++) {
        assert_true((fixture_partition(&f, "t", 0) != NULL) == in_segment);
        for (uint64_t n = 0; n < BATCHES; n++) {
            struct batch_spec spec = spec_of(n);
            struct buf *expected = fixture_batch(&spec);
            uint8_t *data = NULL;
            ssize_t size = fixture_read(&f, fixture_partition(&f, name, (int32_t)(n % 3)),
                                        (int64_t)(n / 3 * 2), 1, &data);
            assert_int_equal(size, expected->size);
            assert_memory_equal(data + 16, expected->data + 16, expected->size - 16);
            free(data);
            buf_unref(expected);
        }
        /* A change of the registry brings its whole state, which nothing else of it has. */
        assert_non_null(fixture_topic(&f, names[round], 1, NULL));
        fixture_run_ms(&f, 100);
        if (round == 2) {
            break;
        }
        fixture_stop(&f);
        if (round == 1) {
            (void)disk_sim_corrupt(f.disk, "checkpoint.0", 70, 8, 1);
            (void)disk_sim_corrupt(f.disk, "checkpoint.1", 70, 8, 1);
        }
        assert_int_equal(fixture_start(&f), 0);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_damage__records_outlive_the_frame_that_created_their_topic(void **state) {
    lose_the_creation(true);
    lose_the_creation(false);
}

/* The newest checkpoint knows nothing of "t", and the journal is gone: segments have all of it. */
static void test_log_damage__without_journal_segments_have_the_topic(void **state) {
    struct fixture f;
    fill(&f);
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    assert_int_equal(disk_unlink(f.disk, "journal/00000000"), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    assert_non_null(fixture_partition(&f, "t", 0));
    for (uint64_t n = 0; n < BATCHES; n++) {
        assert_true(read_batch(&f, n) > 0);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The batch of the registry in the frame at @at says that its record is of another version, with a
 * checksum that is right; the frame's is not any more. */
static void make_newer(struct fixture *f, uint64_t at) {
    uint8_t frame[FRAME_ALIGN];
    struct disk_file *file;
    struct frame_entry entry;
    struct record_iterator it;
    struct record record;
    size_t got;
    assert_int_equal(disk_open(f->disk, "journal/00000000", DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, frame, sizeof frame, at, &got), 0);
    frame_entry_read(frame + FRAME_HEADER_BYTES, &entry);
    assert_int_equal(entry.topic, 0);
    uint8_t *batch = frame + FRAME_HEADER_BYTES + entry.body_offset;
    assert_int_equal(record_iterator_init(&it, span_of(batch, entry.bytes)), 0);
    assert_int_equal(record_iterator_next(&it, &record), 1);
    uint64_t value = (uint64_t)((const uint8_t *)record.value.data - batch);
    record_iterator_deinit(&it);
    assert_int_equal(batch[value + 1], REGISTRY_VERSION);
    batch[value + 1]++;
    put_be32(batch + RECORD_BATCH_AT_CRC, crc32c(0, batch + RECORD_BATCH_AT_ATTRIBUTES,
                                                 entry.bytes - RECORD_BATCH_AT_ATTRIBUTES));
    assert_int_equal(disk_pwrite(file, frame, sizeof frame, at), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

/* Else a topic that only a newer version knows would be lost without a word. */
static void test_log_damage__a_newer_record_in_a_bad_frame_is_refused(void **state) {
    struct fixture f;
    fill(&f);
    fixture_crash(&f, false);
    make_newer(&f, (find_batch(&f, "journal/00000000", 0) & ~(uint64_t)4095) - 4096);
    f.expect_failures = true;
    assert_int_equal(fixture_start(&f), BROKER_E_NEWER);
    assert_int_equal(f.events[TOPIC_LOG_FAILED], 1);
    fixture_deinit(&f);
}

static void test_log_damage__one_checkpoint_is_enough(void **state) {
    for (unsigned slot = 0; slot < 2; slot++) {
        struct fixture f;
        fill(&f);
        fixture_stop(&f);
        assert_int_equal(fixture_start(&f), 0);
        struct batch_spec spec = spec_of(100);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 8);
        fixture_stop(&f);
        assert_int_equal(disk_sim_corrupt(f.disk, slot ? "checkpoint.1" : "checkpoint.0", 70, 8, 1),
                         0);
        assert_int_equal(fixture_start(&f), 0);
        for (uint64_t n = 0; n < BATCHES; n++) {
            assert_true(read_batch(&f, n) > 0);
        }
        assert_int_equal(fixture_partition(&f, "t", 0)->log_end_offset, 10);
        assert_int_equal(fixture_partition(&f, "t", 0)->leader_epoch, 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_damage__without_checkpoint_folders_are_read(void **state) {
    for (unsigned round = 0; round < 3; round++) {
        struct fixture f;
        fill(&f);
        if (round == 0) {
            fixture_stop(&f);
        } else {
            fixture_run_ms(&f, round == 1 ? 3000 : 0);
            fixture_crash(&f, round == 2);
        }
        (void)disk_sim_corrupt(f.disk, "checkpoint.0", 70, 8, 1);
        (void)disk_sim_corrupt(f.disk, "checkpoint.1", 70, 8, 1);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(f.events[TOPIC_LOG_MENDED] > 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0); /* nothing is lost */
        for (uint64_t n = 0; n < BATCHES; n++) {
            assert_true(read_batch(&f, n) > 0);
        }
        assert_int_equal(fixture_partition(&f, "t", 0)->leader_epoch, 1);
        struct batch_spec spec = spec_of(100);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 8);
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_partition(&f, "t", 0)->log_end_offset, 10);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

enum { SMALL_BATCHES = 40, SMALL_FILES = 8 };

/* A frame to a file, and more of them than files: the first ones are recycled. */
static void fill_small_files(struct fixture *f) {
    fixture_init(f, 13);
    f->limits.journal_first_bytes = FRAME_ALIGN;
    f->limits.journal_max_bytes = (uint64_t)SMALL_FILES * FRAME_ALIGN;
    f->limits.checkpoint_ms = 100000; /* only where the journal is full */
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 3, NULL);
    for (uint64_t n = 0; n < SMALL_BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition_get(topic, (int32_t)(n % 3)), &spec),
                         n / 3 * 2);
    }
    fixture_crash(f, true);
    (void)disk_sim_corrupt(f->disk, "checkpoint.0", 70, 8, 1);
    (void)disk_sim_corrupt(f->disk, "checkpoint.1", 70, 8, 1);
}

/* The frame in a file; 0: none. *@newest becomes that of the newest one met. */
static uint64_t frame_of(struct fixture *f, uint32_t id, struct frame_header *newest) {
    struct disk_file *file;
    struct frame_header header;
    uint8_t block[FRAME_ALIGN];
    char name[JOURNAL_NAME_SIZE];
    size_t got;
    journal_name(id, name);
    if (disk_open(f->disk, name, DISK_READ, &file)) {
        return 0;
    }
    assert_int_equal(disk_pread(file, block, sizeof block, 0, &got), 0);
    disk_close(file);
    if (got < sizeof block || !frame_header_read(block, NULL, &header)) {
        return 0;
    }
    if (header.sequence > newest->sequence) {
        *newest = header;
    }
    return header.sequence;
}

/* Starts without checkpoints and without the frame in file @id; what it was. */
static uint64_t lose_a_file_of(uint32_t id, const struct frame_header *newest) {
    struct fixture f;
    struct frame_header header = {.sequence = 0};
    char name[JOURNAL_NAME_SIZE];
    fill_small_files(&f);
    uint64_t lost = frame_of(&f, id, &header);
    journal_name(id, name);
    if (lost > 0) {
        assert_int_equal(disk_sim_corrupt(f.disk, name, 0, 64, 1), 0);
    }
    assert_int_equal(fixture_start(&f), 0);
    bool matters = lost > newest->covered_through && lost < newest->sequence;
    assert_true((f.events[TOPIC_LOG_DAMAGED] > 0) == matters);
    unsigned missing = 0;
    for (uint64_t n = 0; n < SMALL_BATCHES; n++) {
        missing += read_batch(&f, n) <= 0;
    }
    assert_true(missing <= (lost > newest->covered_through)); /* unless a segment has it */
    for (int32_t i = 0; i < 3; i++) {
        bool proven = !matters; /* or a later frame, a partition's each, says where it goes on */
        for (uint64_t sequence = lost + 1; sequence <= newest->sequence; sequence++) {
            proven |= (SMALL_BATCHES - 1 - (newest->sequence - sequence)) % 3 == (uint64_t)i;
        }
        int64_t end = fixture_partition(&f, "t", i)->log_end_offset;
        assert_true(proven ? end < 100 : end == INT64_C(1) << 32);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
    return lost;
}

static void test_log_damage__a_lost_frame_is_told_from_a_recycled_one(void **state) {
    struct fixture f;
    struct frame_header newest = {.sequence = 0};
    unsigned covered = 0, needed = 0;
    fill_small_files(&f);
    for (uint32_t id = 0; id < SMALL_FILES; id++) {
        (void)frame_of(&f, id, &newest);
    }
    fixture_deinit(&f);
    lose_a_file_of(SMALL_FILES, &newest); /* that is none of them */
    for (uint32_t id = 0; id < SMALL_FILES; id++) {
        uint64_t lost = lose_a_file_of(id, &newest);
        covered += lost > 0 && lost <= newest.covered_through;
        needed += lost > newest.covered_through && lost < newest.sequence;
    }
    assert_true(covered > 0 && needed > 2);
}

/* Removed by hand: nobody knows what the journal had that no segment has. */
static void test_log_damage__journal_and_checkpoints_gone_is_told_as_a_loss(void **state) {
    struct fixture f;
    fill(&f);
    fixture_stop(&f);
    assert_int_equal(disk_unlink(f.disk, "checkpoint.0"), 0);
    assert_int_equal(disk_unlink(f.disk, "checkpoint.1"), 0);
    for (uint32_t id = 0; id < JOURNAL_FILES_MAX; id++) {
        char name[JOURNAL_NAME_SIZE];
        journal_name(id, name);
        (void)disk_unlink(f.disk, name);
    }
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_MENDED], 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    for (uint64_t n = 0; n < BATCHES; n++) {
        assert_true(read_batch(&f, n) > 0);
    }
    for (int32_t i = 0; i < 3; i++) {
        struct batch_spec spec = spec_of(100);
        assert_true(fixture_append(&f, fixture_partition(&f, "t", i), &spec) == INT64_C(1) << 32);
    }
    assert_true(f.log->producer_durable_end >= INT64_C(1) << 32);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* One partition with many batches in its segment, none of them in memory. */
static void fill_segment(struct fixture *f, char path[SEGMENT_NAME_SIZE], enum segment_kind kind) {
    fixture_init(f, 12);
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 3, NULL);
    for (uint64_t n = 0; n < 60; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition_get(topic, (int32_t)(n % 3)), &spec),
                         n / 3 * 2);
    }
    struct segment_id id = {topic->number, 0, 0};
    segment_name(&id, kind, path);
    fixture_stop(f);
}

static void test_log_damage__rot_in_a_segment_costs_what_it_hit(void **state) {
    struct fixture f;
    char path[SEGMENT_NAME_SIZE];
    fill_segment(&f, path, SEGMENT_LOG);
    uint64_t at = find_batch(&f, path, 30);
    assert_int_equal(disk_sim_corrupt(f.disk, path, at + 20, 10, 1), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(read_batch(&f, 30), -BROKER_E_CORRUPT);
    for (uint64_t n = 0; n < 60; n++) {
        assert_true(n == 30 || read_batch(&f, n) > 0);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
    /* A header that is gone does not hide what follows. */
    fill_segment(&f, path, SEGMENT_LOG);
    assert_int_equal(disk_sim_corrupt(f.disk, path, at - 60, 40, 1), 0);
    assert_int_equal(fixture_start(&f), 0);
    unsigned lost = 0;
    for (uint64_t n = 0; n < 60; n += 3) {
        lost += read_batch(&f, n) <= 0;
    }
    assert_int_equal(lost, 1);
    assert_true(read_batch(&f, 57) > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Entries of a segment that is being written wait in memory; a reader that meets rot asks for them.
 */
static void test_log_damage__rot_has_waiting_entries_written(void **state) {
    struct fixture f;
    char path[SEGMENT_NAME_SIZE];
    fixture_init(&f, 13);
    f.limits.tail_bytes = 4096;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 3, NULL);
    for (uint64_t n = 0; n < 270; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, partition_get(topic, (int32_t)(n % 3)), &spec),
                         n / 3 * 2);
        if (n == 225) {
            fixture_run_ms(&f, 3000); /* more than sixteen entries: they are written */
        }
    }
    fixture_run_ms(&f, 3000);
    struct segment_id id = {topic->number, 0, 0};
    segment_name(&id, SEGMENT_LOG, path);
    uint64_t at = find_batch(&f, path, 240);
    assert_int_equal(disk_sim_corrupt(f.disk, path, at - 60, 40, 1), 0);
    assert_int_equal(read_batch(&f, 240), -BROKER_E_CORRUPT);
    assert_true(read_batch(&f, 255) >
                0); /* whose index entry still waits, and which lies behind it */
    fixture_run_ms(&f, 100);
    assert_true(read_batch(&f, 255) > 0);
    assert_true(read_batch(&f, 0) > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static size_t read_index(struct fixture *f, const char *path, uint8_t bytes[4096]) {
    struct disk_file *file;
    size_t got = 0;
    assert_int_equal(disk_open(f->disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_pread(file, bytes, 4096, 0, &got), 0);
    disk_close(file);
    return got;
}

static void test_log_damage__wrong_index_is_made_anew(void **state) {
    for (unsigned round = 0; round < 3; round++) {
        struct fixture f;
        char path[SEGMENT_NAME_SIZE];
        uint8_t before[4096], after[4096];
        fill_segment(&f, path, round == 2 ? SEGMENT_TIMEINDEX : SEGMENT_INDEX);
        size_t size = read_index(&f, path, before);
        assert_true(size > INDEX_HEADER_BYTES);
        if (round == 0) {
            assert_int_equal(disk_unlink(f.disk, path), 0);
        } else {
            assert_int_equal(disk_sim_corrupt(f.disk, path, 2, 30, 1), 0);
        }
        assert_int_equal(fixture_start(&f), 0);
        for (uint64_t n = 0; n < 60; n++) {
            assert_true(read_batch(&f, n) > 0);
        }
        (void)fixture_lookup(&f, fixture_partition(&f, "t", 0), 1700000000010);
        fixture_run_ms(&f, 2000);
        assert_int_equal(read_index(&f, path, after), size);
        assert_memory_equal(after, before, size);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* Ends a life in which files of a small journal were used again; then one checkpoint rots. */
static void lose_checkpoint(const char *checkpoint, uint64_t batches) {
    struct fixture f;
    fixture_init(&f, 12);
    f.limits.journal_first_bytes = 16384;
    f.limits.journal_max_bytes = 65536;
    f.limits.checkpoint_bytes = 16384;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 3, NULL);
    for (uint64_t n = 0; n < batches; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, partition_get(topic, (int32_t)(n % 3)), &spec),
                         n / 3 * 2);
    }
    struct topic_log_stats stats;
    topic_log_stats(f.log, &stats);
    assert_true(stats.frame_bytes > f.limits.journal_max_bytes);
    fixture_crash(&f, false);
    assert_int_equal(disk_sim_corrupt(f.disk, checkpoint, 0, 16, 1), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    for (uint64_t n = 0; n < batches; n++) {
        assert_true(read_batch(&f, n) > 0);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_damage__journal_files_wait_for_the_older_checkpoint(void **state) {
    for (uint64_t batches = 40; batches < 80; batches++) {
        lose_checkpoint("checkpoint.0", batches);
        lose_checkpoint("checkpoint.1", batches);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_damage__journal_files_wait_for_the_older_checkpoint),
        cmocka_unit_test(test_log_damage__lost_batch_is_named_and_the_rest_stays),
        cmocka_unit_test(test_log_damage__batch_of_a_bad_frame_rolls_at_position_0_alone),
        cmocka_unit_test(test_log_damage__batch_of_a_bad_frame_with_no_place_goes_on),
        cmocka_unit_test(test_log_damage__segment_copy_replaces_damaged_frame),
        cmocka_unit_test(test_log_damage__right_batch_of_a_bad_frame_goes_back_between_lost_ones),
        cmocka_unit_test(test_log_damage__right_batch_of_a_bad_frame_goes_back_into_rot),
        cmocka_unit_test(test_log_damage__right_batch_of_a_bad_frame_goes_before_no_older_one),
        cmocka_unit_test(test_log_damage__right_batch_of_a_bad_frame_is_no_gap_of_a_compaction),
        cmocka_unit_test(test_log_damage__wrong_place_in_a_bad_frame_costs_no_other_batch),
        cmocka_unit_test(test_log_damage__segments_of_lost_frames_count_behind_each_hole),
        cmocka_unit_test(test_log_damage__last_batches_of_lost_frames_count_behind_two_holes),
        cmocka_unit_test(test_log_damage__unreadable_frame_raises_epoch_and_offsets),
        cmocka_unit_test(test_log_damage__records_outlive_the_frame_that_created_their_topic),
        cmocka_unit_test(test_log_damage__without_journal_segments_have_the_topic),
        cmocka_unit_test(test_log_damage__a_newer_record_in_a_bad_frame_is_refused),
        cmocka_unit_test(test_log_damage__one_checkpoint_is_enough),
        cmocka_unit_test(test_log_damage__without_checkpoint_folders_are_read),
        cmocka_unit_test(test_log_damage__a_lost_frame_is_told_from_a_recycled_one),
        cmocka_unit_test(test_log_damage__journal_and_checkpoints_gone_is_told_as_a_loss),
        cmocka_unit_test(test_log_damage__rot_in_a_segment_costs_what_it_hit),
        cmocka_unit_test(test_log_damage__rot_has_waiting_entries_written),
        cmocka_unit_test(test_log_damage__wrong_index_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
