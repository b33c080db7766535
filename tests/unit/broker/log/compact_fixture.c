#include "compact_fixture.h"
#include "codec.h"

#include <assert.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <stdlib.h>
#include <string.h>

void compact_fixture_init(struct compact_fixture *f) {
    memset(f, 0, sizeof *f);
    char folder[SEGMENT_NAME_SIZE];
    segment_folder(TEST_TOPIC, 0, folder);
    assert(disk_sim_new(1, &f->disk) == 0);
    assert(disk_mkdir(f->disk, "topics") == 0);
    assert(disk_mkdir(f->disk, folder) == 0);
    f->plan = (struct compact_plan){
        .disk = f->disk,
        .topic = TEST_TOPIC,
        .run = 0xabc,
        .sources = f->sources,
        .segment_bytes = 1, /* nothing is merged unless a test wants it */
        .memory_bytes = 1 << 20,
        .now_ms = 2000000000000,
        .delete_retention_ms = 1000,
    };
}

void compact_fixture_deinit(struct compact_fixture *f) {
    compact_result_deinit(&f->result);
    disk_free(f->disk);
}

/* ---- writing ---- */

struct buf *compact_fixture_batch(const struct test_batch *spec) {
    struct record_batch_builder builder;
    struct record_header header = {SPAN_LITERAL("h"), SPAN_LITERAL("1")};
    struct text out;
    record_batch_builder_init(&builder);
    for (unsigned i = 0; i < spec->count; i++) {
        const struct test_record *record = &spec->records[i];
        record_batch_builder_add(&builder, record->timestamp_ms,
                                 record->key ? span_text(record->key) : SPAN_NULL,
                                 record->value ? span_text(record->value) : SPAN_NULL, &header, 1);
    }
    struct buf *plain = record_batch_builder_finish(&builder, (int16_t)spec->attributes);
    record_batch_builder_deinit(&builder);
    text_init(&out);
    text_append(&out, plain->data, RECORD_BATCH_HEADER_BYTES);
    assert(codec_deflate((enum record_codec)(spec->attributes & RECORD_BATCH_CODEC_MASK),
                         span_of(plain->data + RECORD_BATCH_HEADER_BYTES,
                                 plain->size - RECORD_BATCH_HEADER_BYTES),
                         &out) == 0);
    buf_unref(plain);
    uint8_t *data = (uint8_t *)out.data;
    put_be32(data + 8, (uint32_t)out.size - 12);
    record_batch_assign(data, spec->base_offset, 3);
    if (spec->producer_id > 0) {
        put_be64(data + 43, (uint64_t)spec->producer_id);
        put_be16(data + 51, (uint16_t)spec->epoch);
        put_be32(data + 53, (uint32_t)spec->sequence);
    }
    if (spec->attributes & RECORD_BATCH_LOG_APPEND_TIME) {
        put_be64(data + 35, (uint64_t)spec->append_time_ms);
    }
    put_be32(data + 17, crc32c(0, data + 21, out.size - 21));
    struct buf *buf = text_steal_buf(&out);
    text_deinit(&out);
    return buf;
}

void compact_fixture_segment(struct compact_fixture *f, int64_t base_offset, int64_t end,
                             const struct test_batch *batches, unsigned count) {
    struct segment_id id = {TEST_TOPIC, 0, base_offset};
    char name[SEGMENT_NAME_SIZE];
    struct disk_file *file;
    uint64_t position = 0;
    segment_name(&id, SEGMENT_LOG, name);
    assert(disk_open(f->disk, name, DISK_WRITE | DISK_CREATE, &file) == 0);
    for (unsigned i = 0; i < count; i++) {
        struct buf *buf = compact_fixture_batch(&batches[i]);
        assert(disk_pwrite(file, buf->data, buf->size, position) == 0);
        position += buf->size;
        buf_unref(buf);
    }
    disk_close(file);
    f->sources[f->plan.source_count++] = (struct compact_source){base_offset, end, position};
}

/* ---- running ---- */

static void take_over(struct compact_fixture *f, const struct compact_target *target) {
    struct segment_id id = {TEST_TOPIC, 0, target->base_offset};
    for (unsigned kind = SEGMENT_LOG; kind <= SEGMENT_TIMEINDEX; kind++) {
        char from[COMPACT_NAME_SIZE], to[SEGMENT_NAME_SIZE];
        compact_name(&id, (enum segment_kind)kind, f->plan.run, from);
        segment_name(&id, (enum segment_kind)kind, to);
        assert(disk_rename(f->disk, from, to) == 0);
    }
}

int compact_fixture_run(struct compact_fixture *f) {
    compact_result_deinit(&f->result);
    int r = compact_run(&f->plan, &f->result);
    if (r) {
        return r;
    }
    for (uint32_t t = f->result.target_count; t-- > 0;) {
        const struct compact_target *target = &f->result.targets[t];
        struct compact_source *first = &f->sources[target->first_source];
        uint32_t behind = target->first_source + target->source_count;
        take_over(f, target);
        first->end_offset = f->sources[behind - 1].end_offset;
        first->bytes = target->bytes;
        memmove(first + 1, f->sources + behind, (f->plan.source_count - behind) * sizeof *first);
        f->plan.source_count -= target->source_count - 1;
    }
    f->plan.dirty_from = f->result.cleaned_to;
    return 0;
}

/* ---- reading ---- */

static void copy_text(char *out, size_t size, struct span text) {
    assert(text.size < size);
    if (text.size > 0) {
        memcpy(out, text.data, text.size);
    }
    out[text.size] = 0;
}

static void see_batch(struct compact_fixture *f, struct span data) {
    struct record_iterator it;
    struct record record;
    int r;
    assert(record_batch_check_crc(data));
    assert(record_iterator_init(&it, data) == 0);
    if (it.batch.record_count == 0) {
        f->seen[f->seen_count++] =
            (struct seen_record){.empty = true, .offset = -1, .batch = it.batch};
    }
    while ((r = record_iterator_next(&it, &record)) == 1) {
        struct seen_record *seen = &f->seen[f->seen_count++];
        assert(f->seen_count <= TEST_RECORDS_MAX);
        *seen = (struct seen_record){.offset = record.offset,
                                     .timestamp_ms = record.timestamp_ms,
                                     .tombstone = !record.value.data,
                                     .batch = it.batch,
                                     .header_count = record.header_count};
        copy_text(seen->key, sizeof seen->key, record.key);
        copy_text(seen->value, sizeof seen->value, record.value);
    }
    assert(r == 0);
    record_iterator_deinit(&it);
}

void compact_fixture_read(struct compact_fixture *f) {
    f->seen_count = 0;
    for (uint32_t i = 0; i < f->plan.source_count; i++) {
        struct segment_id id = {TEST_TOPIC, 0, f->sources[i].base_offset};
        char name[SEGMENT_NAME_SIZE];
        struct disk_file *file;
        uint64_t size;
        size_t got;
        segment_name(&id, SEGMENT_LOG, name);
        assert(disk_open(f->disk, name, DISK_READ, &file) == 0);
        assert(disk_size(file, &size) == 0 && size == f->sources[i].bytes);
        uint8_t *data = malloc(size + 1);
        assert(disk_pread(file, data, size, 0, &got) == 0 && got == size);
        disk_close(file);
        for (size_t at = 0; at < size;) {
            size_t bytes = get_be32(data + at + 8) + 12;
            see_batch(f, span_of(data + at, bytes));
            at += bytes;
        }
        free(data);
    }
}

static int count_cleaned(void *userdata, const char *name, bool is_dir) {
    const char *end = strrchr(name, '.');
    *(unsigned *)userdata += end && strcmp(end, ".cleaned") == 0;
    return 0;
}

unsigned compact_fixture_files(struct compact_fixture *f) {
    char folder[SEGMENT_NAME_SIZE];
    unsigned count = 0;
    segment_folder(TEST_TOPIC, 0, folder);
    assert(disk_list(f->disk, folder, count_cleaned, &count) == 0);
    return count;
}
