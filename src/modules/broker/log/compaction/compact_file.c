/* Reading the sources of a compaction, writing what comes out of it. */
#include "compact_private.h"
#include "segment/segment_resync.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_BYTES = 256 << 10,
    WRITE_BYTES = 256 << 10,
    SYNC_BYTES = 8 << 20, /* written between syncs, so that no burst of them delays others */
};

static int pace(const struct compact_plan *plan, uint64_t bytes) {
    return !plan->pace || plan->pace(plan->userdata, bytes) ? 0 : -ECANCELED;
}

void compact_name(const struct segment_id *id, enum segment_kind kind, uint64_t run,
                  char out[COMPACT_NAME_SIZE]) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(id, kind, name);
    snprintf(out, COMPACT_NAME_SIZE, "%s.%" PRIu64 ".cleaned", name, run);
}

/* ---- reading ---- */

int compact_reader_open(struct compact_reader *reader, uint32_t source) {
    const struct compact_plan *plan = reader->plan;
    const struct compact_source *from = &plan->sources[source];
    struct segment_id id = {plan->topic, plan->partition, from->base_offset};
    char name[SEGMENT_NAME_SIZE];
    segment_name(&id, SEGMENT_LOG, name);
    reader->source = source;
    reader->position = 0;
    reader->end = from->bytes;
    reader->next_offset = from->base_offset;
    reader->begin = reader->bytes = 0;
    int r = disk_open(plan->disk, name, DISK_READ, &reader->file);
    if (r == DISK_E_NOT_FOUND) {
        reader->result->damaged_source = source;
        reader->result->damaged_offset = from->base_offset;
        return BROKER_E_CORRUPT;
    }
    return r ? err_trace(r) : 0;
}

void compact_reader_close(struct compact_reader *reader) {
    disk_close(reader->file);
    reader->file = NULL;
}

void compact_reader_deinit(struct compact_reader *reader) {
    compact_reader_close(reader);
    free(reader->buffer);
    reader->buffer = NULL;
    reader->capacity = 0;
}

/* Brings at least @want bytes from the position on into the buffer, if the file has them. */
static int fill(struct compact_reader *reader, size_t want) {
    if (reader->bytes >= want) {
        return 0;
    }
    if (want > reader->capacity) {
        size_t capacity = MAX(want, (size_t)READ_BYTES);
        uint8_t *grown = malloc(capacity);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        if (reader->bytes > 0) {
            memcpy(grown, reader->buffer + reader->begin, reader->bytes);
        }
        free(reader->buffer);
        reader->buffer = grown;
        reader->capacity = capacity;
    } else {
        memmove(reader->buffer, reader->buffer + reader->begin, reader->bytes);
    }
    reader->begin = 0;
    uint64_t from = reader->position + reader->bytes;
    uint64_t left = reader->end > from ? reader->end - from : 0;
    size_t size = (size_t)MIN((uint64_t)(reader->capacity - reader->bytes), left), got = 0;
    int r = disk_pread(reader->file, reader->buffer + reader->bytes, size, from, &got);
    if (r) {
        return err_trace(r);
    }
    reader->bytes += got;
    reader->result->bytes_read += got;
    return pace(reader->plan, got);
}

static int damaged(struct compact_reader *reader) {
    reader->result->damaged_source = reader->source;
    reader->result->damaged_offset = reader->next_offset;
    return BROKER_E_CORRUPT;
}

int compact_reader_next(struct compact_reader *reader, struct span *ret_data,
                        struct record_batch *ret_batch) {
    if (reader->position >= reader->end) {
        return 0;
    }
    int r = fill(reader, RECORD_BATCH_HEADER_BYTES);
    if (r) {
        return r;
    }
    const uint8_t *at = reader->buffer + reader->begin;
    if (reader->bytes < RECORD_BATCH_HEADER_BYTES ||
        segment_header(at, reader->position, reader->end, ret_batch)) {
        return damaged(reader);
    }
    size_t size = ret_batch->total_bytes;
    if (size > reader->capacity && size > SEGMENT_BATCH_TRUSTED_BYTES) {
        r = segment_batch_check(reader->file, reader->position, reader->end, ret_batch);
    }
    if (r) {
        return r == BROKER_E_CORRUPT ? damaged(reader) : r;
    }
    r = fill(reader, size);
    if (r) {
        return r;
    }
    struct span data = span_of(reader->buffer + reader->begin, size);
    if (reader->bytes < size || record_batch_parse(data, ret_batch) ||
        !record_batch_check_crc(data) || ret_batch->base_offset < reader->next_offset) {
        return damaged(reader);
    }
    reader->begin += size;
    reader->bytes -= size;
    reader->position += size;
    reader->next_offset = record_batch_end(ret_batch);
    *ret_data = data;
    return 1;
}

/* ---- writing ---- */

int compact_writer_open(struct compact_writer *writer, const struct compact_plan *plan,
                        struct compact_target *target) {
    struct segment_id id = {plan->topic, plan->partition, target->base_offset};
    *writer = (struct compact_writer){.plan = plan, .target = target, .empty_timestamp_ms = -1};
    writer->indexer = (struct segment_indexer){target->base_offset, 0, 0, -1};
    for (unsigned kind = 0; kind < ARRAY_SIZE(writer->files); kind++) {
        char name[COMPACT_NAME_SIZE];
        text_init(&writer->pending[kind]);
        compact_name(&id, (enum segment_kind)kind, plan->run, name);
        int r = disk_open(plan->disk, name, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE,
                          &writer->files[kind]);
        if (r) {
            return err_trace(r);
        }
        if (kind != SEGMENT_LOG) {
            uint8_t header[INDEX_HEADER_BYTES];
            segment_index_header((enum segment_kind)kind, header);
            text_append(&writer->pending[kind], header, sizeof header);
        }
    }
    return 0;
}

static int flush(struct compact_writer *writer, unsigned kind) {
    struct text *pending = &writer->pending[kind];
    if (text_failed(pending)) {
        return err_origin(-ENOMEM);
    }
    if (pending->size == 0) {
        return 0;
    }
    size_t size = pending->size;
    int r = disk_pwrite(writer->files[kind], pending->data, size, writer->written[kind]);
    if (r) {
        return err_trace(r);
    }
    writer->written[kind] += size;
    text_clear(pending);
    writer->unsynced_bytes += size;
    if (writer->unsynced_bytes >= SYNC_BYTES) {
        writer->unsynced_bytes = 0;
        r = disk_sync(writer->files[kind]);
    }
    return r ? err_trace(r) : pace(writer->plan, size);
}

int compact_writer_add(struct compact_writer *writer, struct span data,
                       const struct record_batch *batch) {
    uint8_t index_entry[INDEX_ENTRY_BYTES], time_entry[TIME_ENTRY_BYTES];
    uint64_t position = writer->target->bytes;
    int64_t offset = batch->base_offset + batch->last_offset_delta;
    if (position + data.size > UINT32_MAX || offset - writer->target->base_offset > INT32_MAX) {
        return err_origin(-EFBIG);
    }
    if (segment_indexer_pass(&writer->indexer, batch->base_offset, position, data.size,
                             batch->max_timestamp_ms, index_entry, time_entry)) {
        text_append(&writer->pending[SEGMENT_INDEX], index_entry, sizeof index_entry);
        text_append(&writer->pending[SEGMENT_TIMEINDEX], time_entry, sizeof time_entry);
    }
    text_append(&writer->pending[SEGMENT_LOG], data.data, data.size);
    writer->target->bytes += data.size;
    if (batch->record_count > 0) {
        writer->target->max_timestamp_ms =
            MAX(writer->target->max_timestamp_ms, batch->max_timestamp_ms);
    } else {
        writer->empty_timestamp_ms = MAX(writer->empty_timestamp_ms, batch->max_timestamp_ms);
    }
    for (unsigned kind = 0; kind < ARRAY_SIZE(writer->files); kind++) {
        if (writer->pending[kind].size >= WRITE_BYTES || text_failed(&writer->pending[kind])) {
            int r = flush(writer, kind);
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

int compact_writer_finish(struct compact_writer *writer) {
    int r = 0;
    for (unsigned kind = 0; kind < ARRAY_SIZE(writer->files) && !r; kind++) {
        r = flush(writer, kind);
        if (!r) {
            r = disk_sync(writer->files[kind]);
        }
    }
    if (writer->target->max_timestamp_ms < 0) {
        writer->target->max_timestamp_ms = writer->empty_timestamp_ms;
    }
    return r ? err_trace(r) : 0;
}

void compact_writer_deinit(struct compact_writer *writer) {
    for (unsigned kind = 0; kind < ARRAY_SIZE(writer->files); kind++) {
        disk_close(writer->files[kind]);
        writer->files[kind] = NULL;
        text_deinit(&writer->pending[kind]);
    }
}
