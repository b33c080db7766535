/*
 * What compaction leaves of one batch. Records are moved as bytes: their offset deltas stay right
 * because the base offset stays, their timestamp deltas unless the batch gets a delete horizon.
 */
#include "codec.h"
#include "compact_private.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/varint.h>

/* What is known of a batch before and while its records are looked at. */
struct sieve {
    const struct record_batch *batch;
    bool control, has_horizon;
    bool marker_spent;    /* nothing of its transaction is left */
    bool discard_records; /* of an aborted transaction, or a marker past its horizon */
    int32_t kept;
    bool tombstones;
    int64_t max_timestamp_ms; /* of what is kept */
};

static bool last_of_producer(const struct compact_plan *plan, const struct record_batch *batch) {
    int64_t last_offset = batch->base_offset + batch->last_offset_delta;
    uint32_t low = 0, high = plan->producer_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (plan->producers[middle].id < batch->producer_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return batch->producer_id >= 0 && low < plan->producer_count &&
           plan->producers[low].id == batch->producer_id &&
           plan->producers[low].last_offset == last_offset;
}

static bool keeps(const struct compact_filter *filter, const struct sieve *sieve,
                  const struct record *record) {
    if (sieve->control || record->offset >= filter->horizon) {
        return true;
    }
    if (!record->key.data || key_map_get(filter->map, record->key) > record->offset) {
        return false;
    }
    return record->value.data || !sieve->has_horizon ||
           filter->plan->now_ms < sieve->batch->base_timestamp_ms;
}

/* Appends the bytes of one record, its timestamp delta counted from @base_ms instead. */
static int put_shifted(struct text *out, const uint8_t *raw, size_t size, int64_t shift_ms) {
    int64_t delta_ms;
    int32_t length;
    size_t at = varint_get_i32(raw, size, &length);
    size_t delta_size = at ? varint_get_i64(raw + at + 1, size - at - 1, &delta_ms) : 0;
    if (delta_size == 0) {
        return err_origin(BROKER_E_CORRUPT);
    }
    delta_ms = (int64_t)((uint64_t)delta_ms + (uint64_t)shift_ms);
    size_t rest = at + 1 + delta_size;
    size_t body = 1 + varint_size_i64(delta_ms) + (size - rest);
    uint8_t *to = (uint8_t *)text_reserve(out, VARINT_MAX_BYTES + body);
    if (!to) {
        return err_origin(-ENOMEM);
    }
    uint8_t *start = to;
    to += varint_put_i64(to, (int64_t)body);
    *to++ = raw[at];
    to += varint_put_i64(to, delta_ms);
    memcpy(to, raw + rest, size - rest);
    out->size += (size_t)(to - start) + (size - rest);
    return 0;
}

/* Collects the kept records in @filter->records, shifted by @shift_ms. */
static int sift(struct compact_filter *filter, struct record_iterator *it, struct sieve *sieve,
                int64_t shift_ms) {
    struct record record;
    int r = 0;
    text_clear(&filter->records);
    sieve->kept = 0;
    sieve->tombstones = false;
    sieve->max_timestamp_ms = -1;
    it->position = 0;
    it->index = 0;
    for (;;) {
        const uint8_t *raw = (const uint8_t *)it->records.data + it->position;
        size_t before = it->position;
        int got = record_iterator_next(it, &record);
        if (got != 1) {
            return got;
        }
        if (sieve->discard_records || !keeps(filter, sieve, &record)) {
            continue;
        }
        sieve->kept++;
        sieve->tombstones |= !record.value.data;
        sieve->max_timestamp_ms = MAX(sieve->max_timestamp_ms, record.timestamp_ms);
        if (shift_ms != 0) {
            r = put_shifted(&filter->records, raw, it->position - before, shift_ms);
        } else {
            text_append(&filter->records, raw, it->position - before);
            r = text_failed(&filter->records) ? err_origin(-ENOMEM) : 0;
        }
        if (r) {
            return r;
        }
    }
}

/* Writes the batch with the records of @filter->records into @filter->out. */
static int write_batch(struct compact_filter *filter, struct span data, const struct sieve *sieve,
                       uint16_t attributes, int64_t base_timestamp_ms) {
    struct text *out = &filter->out;
    text_clear(out);
    text_append(out, data.data, RECORD_BATCH_HEADER_BYTES);
    int r = codec_deflate((enum record_codec)(attributes & RECORD_BATCH_CODEC_MASK),
                          text_span(&filter->records), out);
    if (r || text_failed(out)) {
        return r ? err_trace(r) : err_origin(-ENOMEM);
    }
    uint8_t *header = (uint8_t *)out->data;
    put_be32(header + RECORD_BATCH_AT_LENGTH, (uint32_t)(out->size - RECORD_BATCH_OVERHEAD_BYTES));
    put_be16(header + RECORD_BATCH_AT_ATTRIBUTES, attributes);
    put_be64(header + RECORD_BATCH_AT_BASE_TIMESTAMP, (uint64_t)base_timestamp_ms);
    if (sieve->kept > 0) { /* the same as before with LogAppendTime */
        put_be64(header + RECORD_BATCH_AT_MAX_TIMESTAMP, (uint64_t)sieve->max_timestamp_ms);
    }
    put_be32(header + RECORD_BATCH_AT_RECORD_COUNT, (uint32_t)sieve->kept);
    put_be32(header + RECORD_BATCH_AT_CRC, crc32c(0, header + RECORD_BATCH_AT_ATTRIBUTES,
                                                  out->size - RECORD_BATCH_AT_ATTRIBUTES));
    return 0;
}

/* No records: only what outlives them, uncompressed and without a horizon. */
static int write_empty(struct compact_filter *filter, struct span data, struct sieve *sieve) {
    uint16_t attributes = (uint16_t)sieve->batch->attributes;
    attributes &= (uint16_t) ~(RECORD_BATCH_CODEC_MASK | RECORD_BATCH_DELETE_HORIZON);
    text_clear(&filter->records);
    sieve->kept = 0;
    return write_batch(filter, data, sieve, attributes, -1);
}

static void note_due(struct compact_filter *filter, int64_t due_ms) {
    filter->result->tombstones_due_ms = MIN(filter->result->tombstones_due_ms, due_ms);
}

/* The batch keeps records: all of them, or it is written anew. */
static int keep_some(struct compact_filter *filter, struct span data, struct record_iterator *it,
                     struct sieve *sieve, enum compact_verdict *ret_verdict) {
    const struct record_batch *batch = sieve->batch;
    uint16_t attributes = (uint16_t)batch->attributes;
    int64_t base_ms = batch->base_timestamp_ms;
    bool needs_horizon = !sieve->has_horizon && (sieve->tombstones || sieve->marker_spent);
    if (sieve->has_horizon && (sieve->tombstones || sieve->marker_spent)) {
        note_due(filter, base_ms);
    }
    if (!needs_horizon && sieve->kept == batch->record_count) {
        *ret_verdict = COMPACT_KEPT;
        return 0;
    }
    *ret_verdict = COMPACT_CHANGED;
    if (needs_horizon) {
        int64_t horizon_ms = filter->plan->now_ms + filter->plan->delete_retention_ms;
        int r = sift(filter, it, sieve, (int64_t)((uint64_t)base_ms - (uint64_t)horizon_ms));
        if (r) {
            return r;
        }
        note_due(filter, horizon_ms);
        attributes |= RECORD_BATCH_DELETE_HORIZON;
        base_ms = horizon_ms;
    }
    return write_batch(filter, data, sieve, attributes, base_ms);
}

static int filter_records(struct compact_filter *filter, struct span data, struct sieve *sieve,
                          bool retain_empty, enum compact_verdict *ret_verdict) {
    struct record_iterator it;
    int r = record_iterator_init(&it, data);
    if (!r) {
        r = sift(filter, &it, sieve, 0);
    }
    if (!r && sieve->kept > 0) {
        r = keep_some(filter, data, &it, sieve, ret_verdict);
    } else if (!r && retain_empty) {
        *ret_verdict = sieve->batch->record_count == 0 ? COMPACT_KEPT : COMPACT_CHANGED;
        r = *ret_verdict == COMPACT_KEPT ? 0 : write_empty(filter, data, sieve);
    } else if (!r) {
        *ret_verdict = COMPACT_DROPPED;
    }
    record_iterator_deinit(&it);
    return r;
}

int compact_filter(struct compact_filter *filter, struct span data,
                   const struct record_batch *batch, bool discard, bool last,
                   enum compact_verdict *ret_verdict, struct span *ret_data) {
    struct sieve sieve = {
        .batch = batch,
        .control = batch->attributes & RECORD_BATCH_CONTROL,
        .has_horizon = batch->attributes & RECORD_BATCH_DELETE_HORIZON,
    };
    bool past = sieve.has_horizon && batch->base_timestamp_ms <= filter->plan->now_ms;
    sieve.marker_spent = sieve.control && discard;
    sieve.discard_records = discard && (!sieve.control || past);
    bool retain_empty = last || last_of_producer(filter->plan, batch);
    *ret_data = data;
    int r = 0;
    if (sieve.discard_records && !retain_empty) {
        *ret_verdict = COMPACT_DROPPED;
    } else {
        r = filter_records(filter, data, &sieve, retain_empty, ret_verdict);
    }
    if (r) {
        return r;
    }
    if (*ret_verdict == COMPACT_CHANGED) {
        *ret_data = text_span(&filter->out);
    }
    filter->result->records_read += (uint64_t)batch->record_count;
    filter->result->records_removed += (uint64_t)(batch->record_count - sieve.kept);
    return 0;
}

void compact_filter_deinit(struct compact_filter *filter) {
    text_deinit(&filter->records);
    text_deinit(&filter->out);
}
