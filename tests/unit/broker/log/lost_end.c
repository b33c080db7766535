#include "lost_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct batch_spec lost_end_spec(uint64_t n) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = 300,
                               .tag = n * 16,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

void lost_end_fill(struct fixture *f) {
    fixture_init(f, 31);
    assert_int_equal(fixture_start(f), 0);
    struct partition *partition = fixture_topic(f, "t", 1, NULL)->partitions[0];
    for (uint64_t n = 0; n < BEFORE; n++) {
        struct batch_spec spec = lost_end_spec(n);
        assert_int_equal(fixture_append(f, partition, &spec), n * 2);
    }
    fixture_until(f, f->log->newest_sequence == f->log->durable_sequence);
}

uint64_t lost_end_batch_bytes(void) {
    struct batch_spec spec = lost_end_spec(0);
    struct buf *batch = fixture_batch(&spec);
    uint64_t bytes = batch->size;
    buf_unref(batch);
    return bytes;
}

void lost_end_rot_frame(struct fixture *f, uint32_t topic, int64_t offset, uint64_t from,
                        size_t bytes) {
    struct disk_file *file;
    struct frame_header header;
    uint8_t block[FRAME_ALIGN];
    uint64_t size = 0;
    unsigned found = 0;
    char name[JOURNAL_NAME_SIZE];
    journal_name(0, name);
    assert_int_equal(disk_open(f->disk, name, DISK_READ, &file), 0);
    assert_int_equal(disk_size(file, &size), 0);
    for (uint64_t at = 0; at < size; at += sizeof block) {
        struct frame_entry entry;
        size_t got = 0;
        assert_int_equal(disk_pread(file, block, sizeof block, at, &got), 0);
        if (!frame_header_read(block, NULL, &header)) {
            continue;
        }
        frame_entry_read(block + FRAME_HEADER_BYTES, &entry);
        if (entry.topic == topic && entry.base_offset == offset) {
            assert_int_equal(disk_sim_corrupt(f->disk, name, at + from, bytes, 1), 0);
            found++;
        }
    }
    disk_close(file);
    assert_int_equal(found, 1);
}

void lost_end_recycle(struct fixture *f, uint32_t topic, int64_t offset) {
    lost_end_rot_frame(f, topic, offset, 0, FRAME_HEADER_BYTES);
}

void lost_end_lose_checkpoints(struct fixture *f) {
    static const char *const names[] = {"checkpoint.0", "checkpoint.1"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct disk_file *file;
        assert_int_equal(disk_open(f->disk, names[i], DISK_WRITE | DISK_CREATE, &file), 0);
        assert_int_equal(disk_truncate(file, 70), 0); /* the header is there, not what it says */
        assert_int_equal(disk_sync(file), 0);
        disk_close(file);
    }
}

void lost_end_cut_segment(struct fixture *f, uint32_t topic, int64_t base, uint64_t bytes) {
    const struct segment_id id = {topic, 0, base};
    struct disk_file *file;
    char path[SEGMENT_NAME_SIZE];
    segment_name(&id, SEGMENT_LOG, path);
    assert_int_equal(disk_open(f->disk, path, DISK_WRITE, &file), 0);
    assert_int_equal(disk_truncate(file, bytes), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

void lost_end_lose(struct fixture *f, bool proven) {
    lost_end_fill(f);
    struct topic *other = fixture_topic(f, "u", 1, NULL);
    struct batch_spec spec = lost_end_spec(BEFORE);
    assert_int_equal(fixture_append(f, other->partitions[0], &spec), 0);
    if (proven) {
        assert_int_equal(fixture_append(f, fixture_partition(f, "t", 0), &spec), 2 * BEFORE);
    }
    fixture_crash(f, false);
    lost_end_lose_checkpoints(f);
    lost_end_recycle(f, 1, 2 * (BEFORE - 1));
    lost_end_recycle(f, 1, 2 * (BEFORE - 2));
    lost_end_cut_segment(f, 1, 0, 2 * lost_end_batch_bytes());
}

bool lost_end_reads(struct fixture *f, int64_t offset) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, fixture_partition(f, "t", 0), offset, 1, &data);
    bool there = size > 0 && (int64_t)get_be64(data) == offset;
    free(data);
    return there;
}

int64_t lost_end_append(struct fixture *f, const char *topic) {
    struct batch_spec spec = lost_end_spec(BEFORE);
    return fixture_append(f, fixture_partition(f, topic, 0), &spec);
}

int64_t lost_end_of(struct fixture *f) {
    return fixture_partition(f, "t", 0)->log_end_offset;
}

void lost_end_rot_segment(struct fixture *f, int64_t base, uint64_t at) {
    const struct segment_id id = {1, 0, base};
    char path[SEGMENT_NAME_SIZE];
    segment_name(&id, SEGMENT_LOG, path);
    assert_int_equal(disk_sim_corrupt(f->disk, path, at + 100, 8, 1), 0);
}

void lost_end_fill_rolled(struct fixture *f) {
    char bytes[16];
    snprintf(bytes, sizeof bytes, "%d", (int)(3 * lost_end_batch_bytes()));
    const struct topic_config_entry small[] = {{"segment.bytes", bytes}, {0}};
    fixture_init(f, 37);
    assert_int_equal(fixture_start(f), 0);
    struct partition *t = fixture_topic(f, "t", 1, small)->partitions[0];
    (void)fixture_topic(f, "u", 1, NULL);
    for (uint64_t n = 0; n < BEFORE; n++) {
        struct batch_spec spec = lost_end_spec(n);
        assert_int_equal(fixture_append(f, t, &spec), n * 2);
    }
    fixture_until(f, f->log->newest_sequence == f->log->durable_sequence);
    assert_true(fixture_has_file(f, 1, 0, 6, SEGMENT_LOG));
}

void lost_end_go_on(struct fixture *f, const char *topic) {
    for (unsigned n = 0; n < 3; n++) {
        assert_true(lost_end_append(f, topic) >= 0);
        fixture_until(f, f->log->newest_sequence == f->log->durable_sequence);
    }
}
