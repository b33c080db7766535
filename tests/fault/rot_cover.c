#include "rot_cover.h"

#include <string.h>

static bool has_changed(const struct rot_cover *cover, size_t from, size_t bytes) {
    size_t to = MIN(from + bytes, cover->before_bytes);
    return from < to && (to > cover->after_bytes ||
                         memcmp(cover->before + from, cover->after + from, to - from) != 0);
}

static struct model_topic *topic_numbered(struct model *model, uint32_t number) {
    /* As they were created, and none of these is refused. */
    return number > 0 && number <= model->topic_count ? model->topics[number - 1] : NULL;
}

static struct model_batch *find(struct model *model, uint32_t number, int32_t at, int64_t offset) {
    struct model_topic *topic = topic_numbered(model, number);
    for (size_t i = 0; topic && at < topic->partition_count && i < topic->partitions[at].count;
         i++) {
        if (topic->partitions[at].batches[i].offset == offset) {
            return &topic->partitions[at].batches[i];
        }
    }
    return NULL; /* of the registry, or an unfinished one */
}

static void mark_segment(const struct rot_cover *cover, uint32_t number, int32_t at) {
    struct record_batch batch;
    for (size_t position = 0; position + RECORD_BATCH_HEADER_BYTES <= cover->before_bytes;
         position += batch.total_bytes) {
        if (segment_header(cover->before + position, position, cover->before_bytes, &batch) ||
            !record_batch_check_crc(span_of(cover->before + position, batch.total_bytes))) {
            batch.total_bytes = 1; /* what a power cut took before, with such behind it */
            continue;
        }
        struct model_batch *known = find(cover->model, number, at, batch.base_offset);
        if (known) {
            known->may_cost |= has_changed(cover, position, batch.total_bytes);
        }
    }
}

static void mark_frame(const struct rot_cover *cover, size_t position,
                       const struct frame_header *header) {
    size_t body = position + FRAME_HEADER_BYTES;
    bool whole = has_changed(cover, position, FRAME_HEADER_BYTES);
    bool any = whole || has_changed(cover, body, header->body_bytes);
    for (uint32_t i = 0; any && i < header->entry_count; i++) {
        size_t at = body + (size_t)i * FRAME_ENTRY_BYTES;
        struct frame_entry entry;
        frame_entry_read(cover->before + at, &entry);
        struct model_batch *batch =
            find(cover->model, entry.topic, entry.partition, entry.base_offset);
        if (batch) {
            batch->frame_hit = true;
            batch->header_hit |= whole;
            batch->may_cost |= whole || has_changed(cover, at, FRAME_ENTRY_BYTES) ||
                               has_changed(cover, body + entry.body_offset, entry.bytes);
        }
    }
}

static void mark_journal(const struct rot_cover *cover) {
    size_t position = 0;
    while (position + FRAME_ALIGN <= cover->before_bytes) {
        struct frame_header header;
        const uint8_t *at = cover->before + position;
        if (!frame_header_read(at, NULL, &header) ||
            position + FRAME_HEADER_BYTES + header.body_bytes > cover->before_bytes ||
            !frame_body_valid(&header, at + FRAME_HEADER_BYTES)) {
            position += FRAME_ALIGN;
            continue;
        }
        mark_frame(cover, position, &header);
        position += frame_bytes_of_body(header.body_bytes);
    }
}

void rot_cover_mark(const struct rot_cover *cover, const char *path) {
    unsigned number;
    int at, end = 0;
    if (strncmp(path, "journal/", 8) == 0 && strcmp(path, "journal/clean") != 0) {
        mark_journal(cover);
    } else if (sscanf(path, "topics/%u-%d/%*20[0-9].log%n", &number, &at, &end) == 2 && end > 0) {
        mark_segment(cover, number, at);
    }
}

/* ---- copies ---- */

struct copies {
    struct model *model;
    uint32_t number;
    int32_t at;
    char folder[SEGMENT_NAME_SIZE];
};

static void look_for(struct model_batch *batch, const uint8_t *data, size_t size) {
    struct buf *expected = fixture_batch(&batch->spec);
    put_be64(expected->data, (uint64_t)batch->offset);
    put_be32(expected->data + RECORD_BATCH_AT_LEADER_EPOCH, 0);
    batch->has_copy |= memmem(data, size, expected->data, expected->size) != NULL;
    buf_unref(expected);
}

static int look_at(void *userdata, const char *name, bool is_dir) {
    struct copies *copies = userdata;
    struct disk_file *file = NULL;
    enum segment_kind kind;
    int64_t base;
    uint64_t size = 0;
    size_t got = 0;
    char path[2 * SEGMENT_NAME_SIZE];
    if (is_dir || !segment_name_parse(name, &kind, &base) || kind != SEGMENT_LOG) {
        return 0;
    }
    snprintf(path, sizeof path, "%s/%.60s", copies->folder, name);
    assert(disk_open(copies->model->f->disk, path, DISK_READ, &file) == 0);
    assert(disk_size(file, &size) == 0);
    uint8_t *data = malloc(size + 1);
    assert(disk_pread(file, data, size, 0, &got) == 0);
    struct model_partition *partition =
        &copies->model->topics[copies->number - 1]->partitions[copies->at];
    for (size_t i = 0; i < partition->count; i++) {
        look_for(&partition->batches[i], data, got);
    }
    free(data);
    disk_close(file);
    return 0;
}

void rot_cover_copies(struct model *model) {
    for (unsigned t = 0; t < model->topic_count; t++) {
        for (int32_t i = 0; i < model->topics[t]->partition_count; i++) {
            struct copies copies = {.model = model, .number = t + 1, .at = i};
            segment_folder(copies.number, i, copies.folder);
            (void)disk_list(model->f->disk, copies.folder, look_at, &copies);
        }
    }
}
