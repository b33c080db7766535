#include "segment_resync.h"

#include <errno.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/error.h>
#include <stdlib.h>

enum {
    CHUNK_BYTES = 256 << 10,
    PIECE_BYTES = 64 << 10,
    BLOCK_BYTES = 4096, /* what a disk may write to the wrong place */
    BASE_OFFSET_BYTES = 8,
};

static int check_records(struct disk_file *file, uint64_t position,
                         const struct record_batch *batch, uint32_t crc) {
    uint64_t at = position + RECORD_BATCH_HEADER_BYTES, end = position + batch->total_bytes;
    size_t piece_bytes = (size_t)MIN((uint64_t)PIECE_BYTES, end - at), got = 0;
    uint8_t *piece = malloc(MAX(piece_bytes, (size_t)1));
    int r = piece ? 0 : err_origin(-ENOMEM);
    while (!r && at < end) {
        size_t want = (size_t)MIN((uint64_t)piece_bytes, end - at);
        r = disk_pread(file, piece, want, at, &got);
        if (!r && got < want) {
            r = BROKER_E_CORRUPT;
        }
        if (!r) {
            crc = crc32c(crc, piece, want);
            at += want;
        }
    }
    free(piece);
#ifdef MUTANT_SEGMENT_CRC
    return r;
#endif
    return r || crc == batch->crc ? r : BROKER_E_CORRUPT;
}

int segment_batch_check(struct disk_file *file, uint64_t position, uint64_t end,
                        struct record_batch *ret_batch) {
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    struct record_batch batch;
    size_t got = 0;
    if (end < position || end - position < sizeof header) {
        return BROKER_E_CORRUPT;
    }
    int r = disk_pread(file, header, sizeof header, position, &got);
    if (r) {
        return err_trace(r);
    }
    /* Of what it is given it looks at the header alone. */
    if (got < sizeof header || segment_header(header, position, end, &batch) ||
        record_batch_parse(span_of(header, batch.total_bytes), ret_batch)) {
        return BROKER_E_CORRUPT;
    }
    ret_batch->records = SPAN_NULL;
    return check_records(
        file, position, ret_batch,
        crc32c(0, header + RECORD_BATCH_AT_ATTRIBUTES, sizeof header - RECORD_BATCH_AT_ATTRIBUTES));
}

uint8_t *segment_batch_read(struct disk_file *file, uint64_t position, uint64_t end,
                            struct record_batch *ret_batch) {
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    size_t got = 0;
    if (end < position || end - position < sizeof header ||
        disk_pread(file, header, sizeof header, position, &got) || got < sizeof header ||
        segment_header(header, position, end, ret_batch) ||
        (ret_batch->total_bytes > SEGMENT_BATCH_TRUSTED_BYTES &&
         segment_batch_check(file, position, end, ret_batch))) {
        return NULL;
    }
    size_t bytes = ret_batch->total_bytes;
    uint8_t *data = malloc(bytes);
    if (!data || disk_pread(file, data, bytes, position, &got) || got < bytes ||
#ifndef MUTANT_SEGMENT_CRC
        !record_batch_check_crc(span_of(data, bytes)) ||
#endif
        record_batch_parse(span_of(data, bytes), ret_batch)) {
        free(data);
        return NULL;
    }
    return data;
}

static bool check(const struct segment_resync *in, uint64_t position,
                  struct record_batch *ret_batch) {
    *ret_batch = (struct record_batch){0};
    int r = segment_batch_check(in->file, position, in->end, ret_batch);
    if (in->checked_bytes) {
        *in->checked_bytes += ret_batch->total_bytes;
    }
    return r == 0;
}

static bool is_right(const struct segment_resync *in, uint64_t position) {
    struct record_batch batch;
    return check(in, position, &batch);
}

/* Whether the end of a batch and the base offset of what stands at @position, behind it, came to
 * the disk in one block. */
static bool share_a_block(uint64_t position) {
    uint64_t in_block = position % BLOCK_BYTES;
    return in_block > 0 && in_block + BASE_OFFSET_BYTES <= BLOCK_BYTES;
}

/*
 * Whether what comes behind @batch goes on where it ends. Behind it may be more rot. Lost offsets
 * explain a gap; but not in a start's search for strays (@all_wanted) where both sides of the gap
 * lie in one block: they were written so, and the base offset of @batch is wrong.
 */
static bool is_followed(const struct segment_resync *in, const struct record_batch *batch,
                        uint64_t position) {
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    struct batch_order order = *in->order;
    struct record_batch next;
    size_t got = 0;
    int64_t end = record_batch_end(batch);
    int64_t next_base = in->next_base;
    position += batch->total_bytes;
    if (position < in->end) {
        if (disk_pread(in->file, header, sizeof header, position, &got) || got < sizeof header ||
            segment_header(header, position, in->end, &next)) {
            return true;
        }
        next_base = next.base_offset;
        if (in->all_wanted && share_a_block(position)) {
            order.damage_count = 0;
        }
    }
    return next_base == end || next_base < 0 ||
           (next_base > end && batch_order_gap(&order, end, next_base));
}

/* Whether more than a block, or all that is left, follows from @cursor on without a mistake. */
static bool is_firm(const struct segment_resync *in, const struct segment_cursor *cursor) {
    struct segment_cursor at = *cursor;
    struct record_batch batch;
    while (at.position < in->end && at.position - cursor->position <= BLOCK_BYTES) {
        if (!check(in, at.position, &batch) || !batch_order_admits(in->order, at.offset, &batch)) {
            return false;
        }
        at.position += batch.total_bytes;
        at.offset = record_batch_end(&batch);
    }
    return true;
}

/* Whether all offsets of a batch are wanted. */
static bool is_all_wanted(const struct segment_resync *in, int64_t from, int64_t end) {
    for (uint32_t i = 0; i < in->wanted_count && from < end;) {
        bool has = in->wanted[i].from <= from && from < in->wanted[i].to;
        from = has ? in->wanted[i].to : from;
        i = has ? 0 : i + 1; /* they are in no order */
    }
    return from >= end;
}

static bool is_wanted(const struct segment_resync *in, const struct record_batch *batch) {
    int64_t from = batch->base_offset, end = record_batch_end(batch);
    bool wanted = in->wanted_count == 0 || (in->all_wanted && is_all_wanted(in, from, end));
    for (uint32_t i = 0; i < in->wanted_count && !wanted && !in->all_wanted; i++) {
        wanted = from < in->wanted[i].to && end > in->wanted[i].from;
    }
    return wanted;
}

static bool may_be(const struct segment_resync *in, const struct record_batch *batch,
                   int64_t least_offset) {
    return batch->base_offset >= least_offset && batch->base_offset <= in->most_offset &&
           batch->base_offset - in->base_offset <= INT32_MAX &&
           batch_order_epoch(in->order, batch->base_offset, batch->leader_epoch) &&
           is_wanted(in, batch);
}

/*
 * The first batch of a segment stands at its beginning, or where a block of it was moved to. What
 * claims to be that one elsewhere had its base offset, which no checksum covers, in what a power
 * cut has left as zeros.
 */
static bool may_begin(const struct segment_resync *in, const struct record_batch *batch,
                      uint64_t position) {
    return batch->base_offset != in->base_offset || position % BLOCK_BYTES == 0;
}

/* Whether a batch at or behind @least_offset stands at @position that can be believed. */
static bool stands(const struct segment_resync *in, uint64_t position, int64_t least_offset,
                   int64_t *ret_offset) {
    struct record_batch batch;
    bool holds = check(in, position, &batch) && may_be(in, &batch, least_offset) &&
                 may_begin(in, &batch, position) &&
                 (in->alone || is_followed(in, &batch, position));
    if (holds) {
        *ret_offset = batch.base_offset;
        holds = !in->firm || is_firm(in, &(struct segment_cursor){position, batch.base_offset});
    }
    return holds;
}

/* From @from byte by byte. */
static int search(const struct segment_resync *in, uint64_t from, uint64_t limit,
                  int64_t least_offset, struct segment_cursor *ret_cursor) {
    uint8_t *chunk = malloc(CHUNK_BYTES);
    int r = chunk ? BROKER_E_CORRUPT : err_origin(-ENOMEM);
    while (r == BROKER_E_CORRUPT && from < limit) {
        size_t got = 0, i = 0;
        int status =
            disk_pread(in->file, chunk, MIN((uint64_t)CHUNK_BYTES, limit - from), from, &got);
        if (status || got < RECORD_BATCH_HEADER_BYTES) {
            r = status ? err_trace(status) : r;
            break;
        }
        for (; i + RECORD_BATCH_HEADER_BYTES <= got; i++) {
            /* Most places are passed over by the byte that would be the magic. */
            struct record_batch batch;
            if (chunk[i + RECORD_BATCH_AT_MAGIC] == RECORD_BATCH_MAGIC &&
                segment_header(chunk + i, from + i, in->end, &batch) == 0 &&
                may_be(in, &batch, least_offset) &&
                stands(in, from + i, least_offset, &ret_cursor->offset)) {
                ret_cursor->position = from + i;
                r = 0;
                break;
            }
        }
        from += i;
    }
    free(chunk);
    return r;
}

static int next_standing(const struct segment_resync *in, const struct segment_cursor *before,
                         struct segment_cursor *cursor, uint64_t limit, int64_t *ret_least) {
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    struct record_batch batch;
    struct segment_cursor next = *cursor;
    uint64_t from = cursor->position + 1;
    size_t got = 0;
    if (before && !is_right(in, before->position)) {
        from = before->position + 1;
        next.offset = before->offset + 1; /* where it ends nobody knows */
    }
    int64_t least_offset = next.offset;
    *ret_least = least_offset;
    limit = MIN(in->end, from + limit);
    if (stands(in, cursor->position, least_offset, &next.offset)) {
        *cursor = next;
        return 0;
    }
    if (disk_pread(in->file, header, sizeof header, cursor->position, &got) == 0 &&
        got == sizeof header && segment_header(header, cursor->position, in->end, &batch) == 0 &&
        cursor->position + batch.total_bytes < limit &&
        stands(in, cursor->position + batch.total_bytes, least_offset, &next.offset)) {
        cursor->position += batch.total_bytes;
        cursor->offset = next.offset;
        return 0;
    }
    int r = search(in, from, limit, least_offset, &next);
    if (r == 0) {
        *cursor = next;
    }
    return r;
}

int segment_resync(const struct segment_resync *in, const struct segment_cursor *before,
                   struct segment_cursor *cursor, uint64_t limit) {
    int64_t least_offset;
    int r = next_standing(in, before, cursor, limit, &least_offset);
    if (r || in->firm || in->most_offset != INT64_MAX || cursor->offset <= least_offset ||
        is_firm(in, cursor)) {
        return r;
    }
    struct segment_resync firm = *in;
    struct segment_cursor lower;
    uint64_t from = cursor->position + 1;
    uint64_t to = MIN(in->end, from + MIN(limit, (uint64_t)SEGMENT_LOOK_BEHIND_BYTES));
    firm.firm = true;
    firm.most_offset = cursor->offset - 1;
    r = search(&firm, from, to, least_offset, &lower);
    if (in->checked_bytes) {
        *in->checked_bytes += to - from;
    }
    if (r == 0) {
        *cursor = lower;
    }
    return r < 0 ? r : 0;
}

int segment_stray(const struct segment_resync *in, uint64_t from, uint64_t limit,
                  struct segment_cursor *ret_cursor, int64_t *ret_end) {
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    struct record_batch batch;
    size_t got = 0;
    int r =
        search(in, from, MIN(limit, in->end), MAX(in->base_offset, in->least_offset), ret_cursor);
    r = r ? r : disk_pread(in->file, header, sizeof header, ret_cursor->position, &got);
    if (r) {
        return r;
    }
    if (got < sizeof header || segment_header(header, ret_cursor->position, in->end, &batch)) {
        return BROKER_E_CORRUPT;
    }
    *ret_end = record_batch_end(&batch);
    return 0;
}
