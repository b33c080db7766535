/* Bytes and files of producer snapshots; the essay is in producer_snapshot.h. */
#include "producer_snapshot.h"
#include "fields.h"

#include <errno.h>
#include <eventbox/base/crc32c.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HEADER_CRC_AT = 44,
    PRODUCER_BYTES = 17, /* without its batches */
    BATCH_BYTES = 22,
    FILE_BYTES_MAX = 256 << 20, /* some million producers: a larger one is not believed */
    DROP_AT_ONCE = 64,
};

/* ---- bytes ---- */

/* Made in one piece: a roll encodes all of a partition in one turn of the loop. */
static bool encode_producer(const struct producer *producer, int64_t end, struct text *out) {
    uint8_t bytes[PRODUCER_BYTES + PRODUCER_WINDOW * BATCH_BYTES], *at = bytes + PRODUCER_BYTES;
    unsigned first, count;
    producer_durable(producer, end, &first, &count);
    if (count == 0) {
        return false;
    }
    put_le64(bytes, (uint64_t)producer->id);
    put_le64(bytes + 8, (uint64_t)producer->last_ms);
    bytes[16] = (uint8_t)count;
    for (unsigned i = first; i < first + count; i++, at += BATCH_BYTES) {
        const struct producer_batch *batch = &producer->batches[i];
        put_le16(at, (uint16_t)batch->epoch);
        put_le32(at + 2, (uint32_t)batch->base_sequence);
        put_le32(at + 6, (uint32_t)batch->last_sequence);
        put_le64(at + 10, (uint64_t)batch->base_offset);
        put_le32(at + 18, (uint32_t)batch->last_offset_delta);
    }
    text_append(out, bytes, (size_t)(at - bytes));
    return true;
}

int producers_encode(const struct producers *producers, int64_t end, struct text *out) {
    int count = 0;
    size_t count_at = out->size, position = 0;
    const struct producer *producer;
    fields_put(out, 0, 4);
    while (producers && (producer = hashmap_next(&producers->map, &position)) != NULL) {
        count += encode_producer(producer, end, out);
    }
    if (!text_failed(out)) {
        put_le32(out->data + count_at, (uint32_t)count);
    }
    return count;
}

static void write_header(const struct segment_id *at, struct text *file) {
    uint8_t *header = (uint8_t *)file->data;
    const uint8_t *body = header + PRODUCER_SNAPSHOT_HEADER_BYTES;
    size_t body_bytes = file->size - PRODUCER_SNAPSHOT_HEADER_BYTES;
    put_le32(header, PRODUCER_SNAPSHOT_MAGIC);
    put_le16(header + 4, PRODUCER_SNAPSHOT_VERSION);
    put_le32(header + 8, at->topic);
    put_le32(header + 12, (uint32_t)at->partition);
    put_le64(header + 16, (uint64_t)at->base_offset);
    put_le64(header + 24, body_bytes);
    put_le32(header + 32, crc32c(0, body, body_bytes));
    put_le32(header + HEADER_CRC_AT, crc32c(0, header, HEADER_CRC_AT));
}

int producer_snapshot_encode(const struct producers *producers, const struct segment_id *at,
                             struct text *out) {
    static const uint8_t zeros[PRODUCER_SNAPSHOT_HEADER_BYTES];
    text_append(out, zeros, sizeof zeros);
    int count = producers_encode(producers, at->base_offset, out);
    if (text_failed(out)) {
        return err_origin(-ENOMEM);
    }
    write_header(at, out);
    return count;
}

static bool decode_batch(struct fields *in, struct producer_batch *ret_batch) {
    ret_batch->epoch = (int16_t)fields_get(in, 2);
    ret_batch->base_sequence = (int32_t)fields_get(in, 4);
    ret_batch->last_sequence = (int32_t)fields_get(in, 4);
    ret_batch->base_offset = (int64_t)fields_get(in, 8);
    ret_batch->last_offset_delta = (int32_t)fields_get(in, 4);
    return !in->failed && ret_batch->base_offset >= 0 && ret_batch->last_offset_delta >= 0;
}

int producers_decode(struct fields *in, int64_t end, struct producer_limit *limit,
                     struct producers **producers) {
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0; n--) {
        int64_t id = (int64_t)fields_get(in, 8);
        int64_t last_ms = (int64_t)fields_get(in, 8);
        unsigned count = (unsigned)fields_get(in, 1);
        if (in->failed || count == 0 || count > PRODUCER_WINDOW) {
            return err_origin(BROKER_E_CORRUPT);
        }
        for (; count > 0; count--) {
            struct producer_batch batch;
            if (!decode_batch(in, &batch) || batch.base_offset >= end) {
                return err_origin(BROKER_E_CORRUPT);
            }
            int r = producer_push(producers, limit, id, &batch, end, last_ms);
            if (r) {
                return err_trace(r);
            }
        }
    }
    return in->failed ? err_origin(BROKER_E_CORRUPT) : 0;
}

static int decode(struct span file, const struct segment_id *at, struct producers **producers) {
    const uint8_t *header = file.data;
    if (file.size < PRODUCER_SNAPSHOT_HEADER_BYTES || get_le32(header) != PRODUCER_SNAPSHOT_MAGIC ||
        get_le32(header + HEADER_CRC_AT) != crc32c(0, header, HEADER_CRC_AT) ||
        get_le16(header + 4) == 0) {
        return BROKER_E_CORRUPT;
    }
    if (get_le16(header + 4) > PRODUCER_SNAPSHOT_VERSION) {
        return BROKER_E_NEWER;
    }
    const uint8_t *body = header + PRODUCER_SNAPSHOT_HEADER_BYTES;
    size_t body_bytes = file.size - PRODUCER_SNAPSHOT_HEADER_BYTES;
    if (get_le32(header + 8) != at->topic || get_le32(header + 12) != (uint32_t)at->partition ||
        get_le64(header + 16) != (uint64_t)at->base_offset || get_le64(header + 24) != body_bytes ||
        get_le32(header + 32) != crc32c(0, body, body_bytes)) {
        return BROKER_E_CORRUPT;
    }
    struct fields in = fields_of(span_of(body, body_bytes));
    int r = producers_decode(&in, at->base_offset, NULL, producers);
    return r ? r : in.at != in.end ? BROKER_E_CORRUPT : 0;
}

/* ---- files ---- */

int producer_snapshot_read(struct disk *disk, const struct segment_id *at,
                           struct producers **ret_producers) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    size_t got = 0;
    segment_name(at, SEGMENT_SNAPSHOT, name);
    int r = disk_open(disk, name, DISK_READ, &file);
    if (r || (r = disk_size(file, &size)) != 0) {
        return r;
    }
    if (size > FILE_BYTES_MAX) {
        return BROKER_E_CORRUPT;
    }
    uint8_t *bytes = malloc(MAX((size_t)size, (size_t)1));
    if (!bytes) {
        return err_origin(-ENOMEM);
    }
    struct producers *producers = NULL;
    r = disk_pread(file, bytes, (size_t)size, 0, &got);
    if (!r) {
        r = decode(span_of(bytes, got), at, &producers);
    }
    free(bytes);
    if (r) {
        producers_free(producers);
        return r;
    }
    *ret_producers = producers;
    return 0;
}

bool producer_snapshot_unfinished(struct disk *disk, const struct segment_id *at) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    uint8_t header[PRODUCER_SNAPSHOT_HEADER_BYTES];
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    size_t got = 0;
    segment_name(at, SEGMENT_SNAPSHOT, name);
    int r = disk_open(disk, name, DISK_READ, &file);
    if (r || disk_size(file, &size) || disk_pread(file, header, sizeof header, 0, &got)) {
        return false;
    }
    return got < sizeof header ||
           (get_le32(header + HEADER_CRC_AT) == crc32c(0, header, HEADER_CRC_AT) &&
            size - sizeof header < get_le64(header + 24));
}

bool producer_snapshot_name_parse(const char *name, int64_t *ret_offset) {
    enum segment_kind kind;
    return segment_name_parse(name, &kind, ret_offset) && kind == SEGMENT_SNAPSHOT;
}

struct newest {
    int64_t *offsets;
    int64_t through;
    int count;
};

static int collect_newest(void *userdata, const char *name, bool is_dir) {
    struct newest *newest = userdata;
    int64_t offset;
    if (is_dir || !producer_snapshot_name_parse(name, &offset) || offset > newest->through) {
        return 0;
    }
    int at = newest->count;
    if (at == PRODUCER_SNAPSHOTS_KEPT) {
        if (offset <= newest->offsets[0]) {
            return 0;
        }
        at--;
        memmove(newest->offsets, newest->offsets + 1, (size_t)at * sizeof *newest->offsets);
    } else {
        newest->count++;
    }
    for (; at > 0 && newest->offsets[at - 1] > offset; at--) {
        newest->offsets[at] = newest->offsets[at - 1];
    }
    newest->offsets[at] = offset;
    return 0;
}

int producer_snapshot_list(struct disk *disk, const struct segment_id *partition, int64_t through,
                           int64_t *ret_offsets) {
    char folder[SEGMENT_NAME_SIZE];
    struct newest newest = {.offsets = ret_offsets, .through = through};
    segment_folder(partition->topic, partition->partition, folder);
    int r = disk_list(disk, folder, collect_newest, &newest);
    return r && r != DISK_E_NOT_FOUND ? r : newest.count;
}

struct dropped {
    int64_t offsets[DROP_AT_ONCE];
    unsigned count;
    int64_t from, to;
};

static int collect_dropped(void *userdata, const char *name, bool is_dir) {
    struct dropped *dropped = userdata;
    int64_t offset;
    if (!is_dir && producer_snapshot_name_parse(name, &offset) && offset >= dropped->from &&
        offset <= dropped->to) {
        dropped->offsets[dropped->count++] = offset;
    }
    return dropped->count == DROP_AT_ONCE;
}

int producer_snapshot_drop(struct disk *disk, const struct segment_id *partition, int64_t from,
                           int64_t to) {
    char folder[SEGMENT_NAME_SIZE];
    struct dropped dropped = {.from = from, .to = to};
    segment_folder(partition->topic, partition->partition, folder);
    do {
        dropped.count = 0;
        int r = disk_list(disk, folder, collect_dropped, &dropped);
        if (r != 0 && r != 1) {
            return r == DISK_E_NOT_FOUND ? 0 : r;
        }
        for (unsigned i = 0; i < dropped.count; i++) {
            struct segment_id id = *partition;
            char name[SEGMENT_NAME_SIZE];
            id.base_offset = dropped.offsets[i];
            segment_name(&id, SEGMENT_SNAPSHOT, name);
            r = disk_unlink(disk, name);
            if (r && r != DISK_E_NOT_FOUND) {
                return r;
            }
        }
    } while (dropped.count == DROP_AT_ONCE);
    return 0;
}

/* Behind @at nothing was ever durable when it was written: what is there is of a life before. */
static int drop_others(struct disk *disk, const struct segment_id *at) {
    int64_t kept[PRODUCER_SNAPSHOTS_KEPT];
    int count = producer_snapshot_list(disk, at, at->base_offset, kept);
    int r = count < 0 ? count : 0;
    if (!r && count == PRODUCER_SNAPSHOTS_KEPT) {
        r = producer_snapshot_drop(disk, at, 0, kept[0] - 1);
    }
    return r ? r : producer_snapshot_drop(disk, at, at->base_offset + 1, INT64_MAX);
}

int producer_snapshot_write(struct disk *disk, const struct segment_id *at, struct span bytes) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    segment_name(at, SEGMENT_SNAPSHOT, name);
    int r = disk_open(disk, name, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    if (!r) {
        r = disk_pwrite(file, bytes.data, bytes.size, 0);
    }
    return r ? r : drop_others(disk, at);
}
