/*
 * Data folders of every format that was ever written, from tests/golden/log (build.py there says
 * what is in them), and of one that is not known yet.
 */
#include "checkpoint/log_keeper.h"
#include "compaction/compact.h"
#include "compaction/swap.h"
#include "fields.h"
#include "log_fixture.h"
#include "producers/producer_snapshot.h"
#include "retention/removal.h"
#include "scrub/scrub.h"
#include "topics/registry.h"

#include <ctype.h>
#include <eventbox/base/crc32c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *golden_path;

enum { FILE_BYTES = 16384 };

/* Reads NAME.hex: lines of comment, lines of hex. The rest is zeros. */
static size_t read_hex(const char *name, uint8_t out[FILE_BYTES]) {
    char path[300], line[200];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s.hex", golden_path, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    memset(out, 0, FILE_BYTES);
    while (fgets(line, sizeof line, file)) {
        for (const char *c = line; *line != '#' && isxdigit((unsigned char)*c); c += 3) {
            out[size++] = (uint8_t)strtoul(c, NULL, 16);
        }
    }
    fclose(file);
    return size;
}

static void put_bytes(struct fixture *f, const char *path, const uint8_t *bytes, size_t size) {
    struct disk_file *file = NULL;
    assert_int_equal(disk_open(f->disk, path, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file), 0);
    assert_int_equal(disk_pwrite(file, bytes, size, 0), 0);
    disk_close(file);
}

static void put_file(struct fixture *f, const char *path, const char *name, size_t size) {
    uint8_t bytes[FILE_BYTES];
    size_t real = read_hex(name, bytes);
    put_bytes(f, path, bytes, MAX(real, size));
}

/* A file of the journal as version 2 has it: the frame, zeros, the end mark. */
static void put_marked_journal(struct fixture *f, const char *frame) {
    uint8_t bytes[FILE_BYTES], mark[FILE_BYTES];
    read_hex(frame, bytes);
    size_t size = read_hex("journal-end-1", mark);
    memcpy(bytes + FILE_BYTES - FRAME_ALIGN, mark, size);
    put_bytes(f, "journal/00000000", bytes, FILE_BYTES);
}

static void put_folder(struct fixture *f, const char *checkpoint) {
    fixture_init(f, 91);
    assert_int_equal(disk_mkdir(f->disk, "journal"), 0);
    assert_int_equal(disk_mkdir(f->disk, "topics"), 0);
    assert_int_equal(disk_mkdir(f->disk, "topics/1-0"), 0);
    put_file(f, "checkpoint.0", checkpoint, 0);
    put_file(f, "journal/00000000", "frame-1", FILE_BYTES);
    put_file(f, "topics/1-0/00000000000000000000.log", "segment", 0);
    put_file(f, "topics/1-0/00000000000000000000.index", "index-1", 0);
    put_file(f, "topics/1-0/00000000000000000000.timeindex", "timeindex-1", 0);
}

static void check_content(struct fixture *f, int64_t end) {
    struct partition *partition = fixture_partition(f, "golden", 0);
    assert_non_null(partition);
    assert_int_equal(partition->high_watermark, end);
    assert_string_equal(topic_config_text(&partition->topic->config, TOPIC_SEGMENT_BYTES), "5000");
    for (int64_t offset = 0; offset < end; offset++) {
        uint8_t *data = NULL;
        ssize_t size = fixture_read(f, partition, offset, 1, &data);
        assert_true(size > 0);
        struct record_iterator it;
        struct record record;
        static const char *const values[] = {"one", "two", "three"};
        assert_int_equal(record_iterator_init(&it, span_of(data, (size_t)size)), 0);
        do {
            assert_int_equal(record_iterator_next(&it, &record), 1);
        } while (record.offset < offset);
        assert_true(span_equal(record.value, span_text(values[offset])));
        record_iterator_deinit(&it);
        free(data);
    }
    assert_int_equal(f->events[TOPIC_LOG_DAMAGED], 0);
    const struct producer_batch *original;
    const struct producers *producers = log_partition_of(partition)->producers;
    assert_int_equal(producer_check(producers, 7, 0, 0, 1, &original), 0);
    assert_non_null(original);
    assert_int_equal(original->base_offset, 0);
}

static void test_log_golden__every_checkpoint_is_read(void **state) {
    static const char *const names[] = {"checkpoint-1", "checkpoint-2", "checkpoint-3",
                                        "checkpoint-4"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct fixture f;
        put_folder(&f, names[i]);
        assert_int_equal(fixture_start(&f), 0);
        check_content(&f, 3); /* with the frame behind it */
        const struct log_partition *partition =
            log_partition_of(fixture_partition(&f, "golden", 0));
        assert_true(partition->segments[0].created_ms >= INT64_C(1700000000000));
        assert_int_equal(f.log->next_number, 10);
        assert_null(topic_log_find(f.log, SPAN_LITERAL("gone")));
        /* Its one removal, a topic of four partitions, is carried out. */
        fixture_until(&f, f.log->removal_count == 0);
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        check_content(&f, 3);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_golden__every_frame_is_read(void **state) {
    for (unsigned version = 1; version <= 2; version++) {
        struct fixture f;
        put_folder(&f, "checkpoint-3");
        if (version == 2) {
            put_marked_journal(&f, "frame-2");
        }
        for (unsigned starts = 0; starts < 3; starts++) {
            assert_int_equal(fixture_start(&f), 0);
            check_content(&f, 3);
            /* What is written from now on does not go behind a frame of version 1. */
            assert_true(f.log->current->marked && (version == 2 || f.log->current->id > 0));
            fixture_crash(&f, starts == 1);
        }
        fixture_deinit(&f);
    }
}

/* What a frame says of the newest checkpoint: older ones say nothing. Written as it is read. */
static void test_log_golden__frame_tells_what_was_covered(void **state) {
    uint8_t bytes[FILE_BYTES], again[FRAME_HEADER_BYTES];
    struct frame_header header;
    read_hex("frame-2", bytes);
    assert_true(frame_header_read(bytes, NULL, &header));
    assert_int_equal(header.covered_through, 0);
    read_hex("frame-2-covering", bytes);
    assert_true(frame_header_read(bytes, NULL, &header));
    assert_int_equal(header.covered_through, 2);
    frame_header_write(again, &header);
    assert_memory_equal(again, bytes, sizeof again);
    bytes[56] ^= 3; /* a hint that is not whole is none, and costs no frame */
    assert_true(frame_header_read(bytes, NULL, &header));
    assert_int_equal(header.covered_through, 0);
}

/* A journal file of version 1 goes as soon as it is not needed, so no checkpoint may say that the
 * next frames stand in it: it would look as if it had been taken away. */
static void assert_none_names(struct fixture *f, uint32_t id) {
    for (unsigned slot = 0; slot < 2; slot++) {
        struct checkpoint_header header;
        struct text image;
        text_init(&image);
        assert_int_equal(checkpoint_read(f->disk, slot, &header, &image), 0);
        assert_int_not_equal(get_le32(image.data + CHECKPOINT_HEADER_BYTES), id);
        text_deinit(&image);
    }
}

static void test_log_golden__every_marker_of_a_clean_stop_is_read(void **state) {
    static const char *const names[] = {"clean-0", "clean-1"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct fixture f;
        put_folder(&f, "checkpoint-3");
        put_file(&f, "journal/clean", names[i], 64);
        assert_int_equal(fixture_start(&f), 0);
        check_content(&f, 2); /* it says that there is no frame behind */
        assert_none_names(&f, 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* Its first @size bytes; @whole: and no more. */
static void assert_bytes(struct fixture *f, const char *path, const uint8_t *golden, size_t size,
                         bool whole) {
    uint8_t bytes[FILE_BYTES];
    struct disk_file *file = NULL;
    size_t got = 0;
    assert_int_equal(disk_open(f->disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_pread(file, bytes, whole ? sizeof bytes : size, 0, &got), 0);
    disk_close(file);
    assert_int_equal(got, size);
    assert_memory_equal(bytes, golden, size);
}

static void assert_file(struct fixture *f, const uint8_t *golden, size_t size) {
    assert_bytes(f, "checkpoint.0", golden, size, false);
}

/* What this version writes is what build.py, which knows the words of the format alone, writes: a
 * full one, and an increment with a changed topic, a changed partition and a topic that is gone. */
static void test_log_golden__the_newest_checkpoint_is_what_we_write(void **state) {
    struct fixture f;
    struct checkpoint_chain chain;
    uint8_t bytes[FILE_BYTES];
    size_t size = read_hex("checkpoint-4", bytes);
    size_t full = CHECKPOINT_HEADER_BYTES + (size_t)get_le64(bytes + 32);
    fixture_init(&f, 92);
    fixture_open(&f);
    uint32_t file_id;
    uint64_t position;
    assert_int_equal(checkpoint_decode(f.log, span_of(bytes, full), &file_id, &position), 0);
    struct journal_file *file = calloc(1, sizeof *file);
    file->size = FILE_BYTES;
    f.log->files[f.log->file_count++] = f.log->current = file;
    memcpy(f.log->journal_uuid.bytes, bytes + 8, sizeof f.log->journal_uuid.bytes);
    assert_int_equal(checkpoint_encode_all(f.log), 0);
    assert_int_equal(
        checkpoint_write(f.disk, 0, &f.log->journal_uuid, 1, &f.log->checkpoint.body, &chain), 0);
    assert_file(&f, bytes, full);
    assert_int_equal(chain.end, full);
    checkpoint_taken(f.log, &chain);
    f.log->next_slot = 0; /* the same file once more */

    struct log_topic *topic = registry_by_number(f.log, 1);
    checkpoint_topic_changes(f.log, topic);
    checkpoint_changes(f.log, topic_partition(topic, 0));
    checkpoint_topic_goes(f.log, registry_by_number(f.log, 2));
    assert_int_equal(checkpoint_decode(f.log, span_of(bytes, size), &file_id, &position), 0);
    checkpoint_encode_begin(f.log, false);
    assert_int_equal(checkpoint_encode_some(f.log, 100, 1 << 20), 0);
    assert_false(f.log->checkpoint.encoding);
    assert_int_equal(
        checkpoint_append(f.disk, 0, &f.log->journal_uuid, 2, &f.log->checkpoint.body, &chain), 0);
    assert_file(&f, bytes, size);
    assert_int_equal(chain.end, size);
    fixture_deinit(&f);
}

static void make_newer(uint8_t *bytes, size_t crc_at) {
    put_le16(bytes + 4, 99);
    put_le32(bytes + crc_at, crc32c(0, bytes, crc_at));
}

static void refuse(struct fixture *f, const char *words) {
    assert_int_equal(fixture_start(f), BROKER_E_NEWER);
    assert_int_equal(f->events[TOPIC_LOG_FAILED], 1);
    assert_non_null(strstr(f->last_event, words));
    assert_non_null(strstr(f->last_event, "newer eventbox"));
    fixture_deinit(f);
}

static void test_log_golden__newer_ones_are_refused_in_one_line(void **state) {
    struct fixture f;
    uint8_t bytes[FILE_BYTES];
    uint8_t mark[FILE_BYTES];
    put_folder(&f, "checkpoint-4");
    size_t size = read_hex("checkpoint-4", bytes);
    make_newer(bytes, 44);
    put_bytes(&f, "checkpoint.1", bytes, size);
    refuse(&f, "checkpoint.1 has format 99");

    put_folder(&f, "checkpoint-3");
    read_hex("frame-1", bytes);
    make_newer(bytes, 52);
    put_bytes(&f, "journal/00000000", bytes, FILE_BYTES);
    refuse(&f, "journal file 00000000");

    put_folder(&f, "checkpoint-3");
    size = read_hex("journal-end-1", mark);
    make_newer(mark, 16);
    memset(bytes, 0, FILE_BYTES);
    memcpy(bytes + FILE_BYTES - FRAME_ALIGN, mark, size);
    put_bytes(&f, "journal/00000000", bytes, FILE_BYTES);
    refuse(&f, "journal file 00000000");

    put_folder(&f, "checkpoint-3");
    read_hex("clean-1", bytes);
    make_newer(bytes, 32);
    put_bytes(&f, "journal/clean", bytes, 64);
    refuse(&f, "journal/clean");
}

/* Indexes are hints: of a newer format they are made anew. */
static void test_log_golden__newer_indexes_are_made_anew(void **state) {
    struct fixture f;
    uint8_t bytes[FILE_BYTES];
    put_folder(&f, "checkpoint-3");
    size_t size = read_hex("index-1", bytes);
    put_le16(bytes + 4, 99);
    put_bytes(&f, "topics/1-0/00000000000000000000.index", bytes, size);
    assert_int_equal(fixture_start(&f), 0);
    check_content(&f, 3);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Of producers: read, and written again byte for byte; of a newer format it is no answer. */
static void test_log_golden__every_snapshot_is_read(void **state) {
    struct fixture f;
    struct segment_id at = {1, 0, 2};
    uint8_t bytes[FILE_BYTES];
    struct producers *producers = NULL;
    const struct producer_batch *original;
    struct text again;
    text_init(&again);
    put_folder(&f, "checkpoint-3");
    put_file(&f, "topics/1-0/00000000000000000002.snapshot", "snapshot-1", 0);
    assert_int_equal(producer_snapshot_read(f.disk, &at, &producers), 0);
    assert_int_equal(producer_check(producers, 7, 0, 0, 1, &original), 0);
    assert_non_null(original);
    assert_int_equal(original->base_offset, 0);
    assert_int_equal(producer_snapshot_encode(producers, &at, &again), 1);
    size_t size = read_hex("snapshot-1", bytes);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.data, bytes, size);
    text_deinit(&again);
    producers_free(producers);
    make_newer(bytes, 44);
    put_bytes(&f, "topics/1-0/00000000000000000002.snapshot", bytes, size);
    assert_int_equal(producer_snapshot_read(f.disk, &at, &producers), BROKER_E_NEWER);
    fixture_deinit(&f);
}

static void seek(struct fixture *f, const struct segment_target *target, uint64_t position) {
    struct segment_id id = {1, 0, 0};
    struct segment_cursor cursor;
    struct disk_file *log;
    uint64_t size;
    bool wrong;
    assert_int_equal(disk_open(f->disk, "topics/1-0/00000000000000000000.log", DISK_READ, &log), 0);
    assert_int_equal(disk_size(log, &size), 0);
    assert_int_equal(segment_seek(f->disk, log, &id, target, size, &cursor, &wrong), 0);
    assert_false(wrong);
    assert_int_equal(cursor.position, position);
    disk_close(log);
}

/* A reader would make indexes anew without a word: these are believed, and are what we write. */
static void test_log_golden__indexes_are_believed_and_are_what_we_write(void **state) {
    static const char *const names[][2] = {{"index-1-long", "index"},
                                           {"timeindex-1-long", "timeindex"}};
    static const char stem[] = "topics/1-0/00000000000000000000.";
    struct fixture f;
    uint8_t log[FILE_BYTES], bytes[FILE_BYTES];
    char path[SEGMENT_NAME_SIZE];
    put_folder(&f, "checkpoint-3");
    put_file(&f, "topics/1-0/00000000000000000000.log", "segment-long", 0);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s%s", stem, names[i][1]);
        put_file(&f, path, names[i][0], 0);
    }
    read_hex("segment-long", log);
    uint64_t second = 12 + get_be32(log + 8);
    seek(&f, &(struct segment_target){.offset = 0}, 0);
    seek(&f, &(struct segment_target){.offset = 1}, second);
    seek(&f, &(struct segment_target){.offset = -1, .timestamp_ms = 1700000000000}, 0);
    seek(&f, &(struct segment_target){.offset = -1, .timestamp_ms = 1700000000001}, second);

    struct segment_writer *writer;
    struct segment_file *file;
    const struct segment_id id = {1, 0, 0};
    const struct segment_piece pieces[] = {
        {span_of(log, second), 0, 0, 1700000000000},
        {span_of(log + second, 12 + get_be32(log + second + 8)), second, 1, 1700000000000}};
    for (unsigned kind = 0; kind < SEGMENT_KINDS; kind++) {
        segment_name(&id, (enum segment_kind)kind, path);
        assert_int_equal(disk_unlink(f.disk, path), 0);
    }
    assert_int_equal(segment_writer_new(f.disk, 4, &writer), 0);
    assert_int_equal(segment_writer_write(writer, &id, pieces, 2, &file), 0);
    assert_int_equal(segment_writer_flush_indexes(writer), 0);
    segment_file_unref(file);
    segment_writer_free(writer);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s%s", stem, names[i][1]);
        size_t size = read_hex(names[i][0], bytes);
        assert_bytes(&f, path, bytes, size, true);
    }
    fixture_deinit(&f);
}

/* What "golden" is in every log of the registry. */
static void check_numbers(struct fixture *f) {
    const struct topic *topic = topic_log_find(f->log, SPAN_LITERAL("golden"));
    assert_non_null(topic);
    assert_int_equal(topic->number, 1);
    assert_int_equal(topic->id.bytes[0], 32);
    assert_int_equal(topic->partition_count, 3);
    assert_string_equal(topic_config_text(&topic->config, TOPIC_SEGMENT_BYTES), "5000");
    assert_int_equal(topic->partitions[0]->log_start_offset, 1);
    assert_int_equal(topic->partitions[0]->high_watermark, 3);
}

/* Its records stand in its segments for as long as there are topics: a start without checkpoints
 * reads them, whoever wrote them. */
static void test_log_golden__every_record_of_the_registry_is_read(void **state) {
    struct fixture f;
    fixture_init(&f, 93);
    f.expect_failures = true;
    assert_int_equal(disk_mkdir(f.disk, "journal"), 0);
    assert_int_equal(disk_mkdir(f.disk, "topics"), 0);
    assert_int_equal(disk_mkdir(f.disk, "topics/0-0"), 0);
    assert_int_equal(disk_mkdir(f.disk, "topics/1-0"), 0);
    put_file(&f, "topics/0-0/00000000000000000000.log", "registry-1", 0);
    put_file(&f, "topics/1-0/00000000000000000000.log", "segment", 0);
    put_marked_journal(&f, "frame-2-covering"); /* without any frame something would be lost */
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    check_numbers(&f);
    assert_null(topic_log_find(f.log, SPAN_LITERAL("gone")));
    int64_t id;
    assert_int_equal(topic_log_producer_id(f.log, &id), 0);
    assert_int_equal(id, 1000);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The value of the one record of a batch in @bytes; the bytes behind the batch. */
static struct span only_record(const uint8_t **bytes) {
    size_t size = 12 + get_be32(*bytes + 8);
    struct record_iterator it;
    struct record record;
    assert_int_equal(record_iterator_init(&it, span_of(*bytes, size)), 0);
    assert_int_equal(record_iterator_next(&it, &record), 1);
    record_iterator_deinit(&it); /* the value is not compressed: it lies in @bytes */
    *bytes += size;
    return record.value;
}

/* What the log writes of its state is @golden, but for the producer ids that the start has set
 * aside. */
static void assert_same_state(struct fixture *f, struct span golden) {
    uint8_t expected[FILE_BYTES];
    struct partition *registry = fixture_partition(f, "__eventbox_registry", 0);
    int64_t offset = registry->log_end_offset;
    uint8_t *data = NULL;
    f->log->registry_state.wanted = true;
    registry_state_maybe(f->log);
    assert_int_equal(registry->log_end_offset, offset + 1);
    fixture_until(f, registry->high_watermark == offset + 1);
    assert_true(fixture_read(f, registry, offset, 1, &data) > 0);
    memcpy(expected, golden.data, golden.size);
    assert_int_equal(get_le64(expected + 6), 1000);
    put_le64(expected + 6, (uint64_t)f->log->producer_reserved_end);
    const uint8_t *at = data;
    assert_true(span_equal(only_record(&at), span_of(expected, golden.size)));
    free(data);
}

static void assert_same_swap(struct span golden) {
    const uint8_t *bytes = golden.data;
    struct fields in = fields_of(span_of(bytes + 2, golden.size - 2));
    struct swap *swap;
    struct text again;
    assert_int_equal(bytes[0], REGISTRY_SEGMENTS_SWAPPED);
    assert_int_equal(swap_decode(&in, &swap), 0);
    assert_int_equal(swap->run, 5);
    assert_int_equal(swap->cleaned_to, 2);
    assert_true(swap->tombstones_due_ms == INT64_C(1700000007000));
    assert_int_equal(swap->target_count, 1);
    assert_true(swap->targets[0].max_timestamp_ms == INT64_C(1700000000000));
    registry_record_begin(&again, REGISTRY_SEGMENTS_SWAPPED);
    swap_encode(&again, swap);
    assert_true(span_equal(span_of(again.data, again.size), golden));
    text_deinit(&again);
    swap_free(swap);
}

static void put_swapped_segments(struct fixture *f) {
    const struct segment_id id = {1, 0, 0};
    uint8_t bytes[FILE_BYTES];
    char cleaned[COMPACT_NAME_SIZE];
    size_t size = read_hex("segment-long", bytes), second = 12 + get_be32(bytes + 8);
    compact_name(&id, SEGMENT_LOG, 5, cleaned);
    assert_string_equal(cleaned, "topics/1-0/00000000000000000000.log.5.cleaned");
    put_file(f, cleaned, "segment", 0);
    put_bytes(f, "topics/1-0/00000000000000000000.log", bytes, second);
    put_bytes(f, "topics/1-0/00000000000000000001.log", bytes + second, size - second);
}

/* The state and a swap, as a start without checkpoints takes them; written as they are read. */
static void test_log_golden__state_of_the_registry_and_swap_are_read(void **state) {
    struct fixture f;
    uint8_t bytes[FILE_BYTES];
    const uint8_t *at = bytes;
    fixture_init(&f, 95);
    f.expect_failures = true;
    assert_int_equal(disk_mkdir(f.disk, "journal"), 0);
    assert_int_equal(disk_mkdir(f.disk, "topics"), 0);
    assert_int_equal(disk_mkdir(f.disk, "topics/0-0"), 0);
    assert_int_equal(disk_mkdir(f.disk, "topics/1-0"), 0);
    put_file(&f, "topics/0-0/00000000000000000000.log", "registry-state-1", 0);
    put_swapped_segments(&f);
    put_marked_journal(&f, "frame-2-rolled");
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);

    check_numbers(&f);
    const struct log_partition *partition = log_partition_of(fixture_partition(&f, "golden", 0));
    assert_int_equal(partition->cleaned_to, 2);
    assert_true(partition->tombstones_due_ms == INT64_C(1700000007000));
    assert_int_equal(partition->segment_count, 2); /* the one at 2 is of the frame */
    assert_false(fixture_has_file(&f, 1, 0, 1, SEGMENT_LOG));
    size_t size = read_hex("segment", bytes);
    assert_bytes(&f, "topics/1-0/00000000000000000000.log", bytes, size, true);
    assert_int_equal(f.log->removal_count, 1);
    assert_int_equal(f.log->removals[0].number, 9);
    assert_int_equal(f.log->removals[0].partition_count, 4);
    int64_t id;
    assert_int_equal(topic_log_producer_id(f.log, &id), 0);
    assert_int_equal(id, 1000);

    read_hex("registry-state-1", bytes);
    assert_same_state(&f, only_record(&at));
    assert_same_swap(only_record(&at));
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_golden__the_place_of_the_scrub_is_read(void **state) {
    struct fixture f;
    struct uuid journal;
    struct scrub_place place;
    uint8_t bytes[FILE_BYTES];
    fixture_init(&f, 94);
    size_t size = read_hex("scrub-1", bytes);
    put_bytes(&f, "scrub", bytes, size);
    memcpy(journal.bytes, bytes + 8, sizeof journal.bytes);
    scrub_place_read(f.disk, &journal, &place);
    assert_true(place.under_way);
    assert_int_equal(place.topic, 1);
    assert_int_equal(place.base_offset, 2);
    assert_int_equal(place.began_ms, 1700000000000);
    assert_int_equal(place.ended_ms, 1699999995000);
    assert_int_equal(scrub_place_write(f.disk, &journal, &place), 0);
    assert_bytes(&f, "scrub", bytes, size, true);
    fixture_deinit(&f);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_golden__every_checkpoint_is_read),
        cmocka_unit_test(test_log_golden__every_frame_is_read),
        cmocka_unit_test(test_log_golden__frame_tells_what_was_covered),
        cmocka_unit_test(test_log_golden__every_marker_of_a_clean_stop_is_read),
        cmocka_unit_test(test_log_golden__the_newest_checkpoint_is_what_we_write),
        cmocka_unit_test(test_log_golden__newer_ones_are_refused_in_one_line),
        cmocka_unit_test(test_log_golden__newer_indexes_are_made_anew),
        cmocka_unit_test(test_log_golden__every_snapshot_is_read),
        cmocka_unit_test(test_log_golden__indexes_are_believed_and_are_what_we_write),
        cmocka_unit_test(test_log_golden__every_record_of_the_registry_is_read),
        cmocka_unit_test(test_log_golden__state_of_the_registry_and_swap_are_read),
        cmocka_unit_test(test_log_golden__the_place_of_the_scrub_is_read),
    };
    assert(argc == 2);
    golden_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
