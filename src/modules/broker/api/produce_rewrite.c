#include "produce_rewrite.h"

#include "codec.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/text.h>
#include <eventbox/base/varint.h>

#include <errno.h>

enum {
    NO_PRODUCER_ID = -1,
    NO_PRODUCER_EPOCH = -1,
};

static bool can_be_made(const struct record_batch *batch, const struct produce_report *report) {
    if (report->negative ||
        (batch->attributes & RECORD_BATCH_TRANSACTIONAL && batch->producer_id == NO_PRODUCER_ID)) {
        return false;
    }
    return batch->producer_id == NO_PRODUCER_ID ||
           (batch->producer_epoch != NO_PRODUCER_EPOCH && batch->base_sequence >= 0);
}

/* @ret_base_ms: the first record's timestamp, which those of all others are counted from. */
static int write_records(const struct record_batch *batch, struct span records, struct text *out,
                         int64_t *ret_base_ms) {
    struct produce_reader reader = {.batch = batch, .records = records};
    struct produce_record record;
    int r;

    while ((r = produce_reader_next(&reader, &record)) == 1) {
        uint8_t prefix[1 + 2 * VARINT_MAX_BYTES];
        size_t n = 1;
        size_t fields;
        uint8_t *room;

        *ret_base_ms = reader.index == 1 ? record.timestamp_ms : *ret_base_ms;
        prefix[0] = 0; /* attributes */
        n += varint_put_i64(prefix + n, record_timestamp_delta(*ret_base_ms, record.timestamp_ms));
        n += varint_put_i64(prefix + n, reader.index - 1);
        room = (uint8_t *)text_reserve(out, VARINT_MAX_BYTES + n + produce_fields_room(&record));
        if (!room) {
            return err_origin(-ENOMEM);
        }
        /* Its length, which comes first, is known when the fields are written. */
        fields = produce_fields_write(&record, room + VARINT_MAX_BYTES + n);
        memcpy(room + varint_put_i64(room, (int64_t)(n + fields)), prefix, n);
        room += varint_size_i64((int64_t)(n + fields)) + n;
        memmove(room, (uint8_t *)out->data + out->size + VARINT_MAX_BYTES + n, fields);
        out->size += (size_t)(room - ((uint8_t *)out->data + out->size)) + fields;
    }
    return r;
}

static void write_header(struct text *out, const struct produce_rules *rules,
                         const struct record_batch *batch, int64_t base_ms,
                         const struct produce_report *report) {
    int attributes = rules->codec | (batch->attributes & RECORD_BATCH_TRANSACTIONAL);

    put_be32(out->data + RECORD_BATCH_AT_LENGTH,
             (uint32_t)(out->size - RECORD_BATCH_OVERHEAD_BYTES));
    put_be16(out->data + RECORD_BATCH_AT_ATTRIBUTES, (uint16_t)attributes);
    put_be64(out->data + RECORD_BATCH_AT_BASE_TIMESTAMP, (uint64_t)base_ms);
    put_be64(out->data + RECORD_BATCH_AT_MAX_TIMESTAMP, (uint64_t)report->max_timestamp_ms);
    put_be32(out->data + RECORD_BATCH_AT_CRC, crc32c(0, out->data + RECORD_BATCH_AT_ATTRIBUTES,
                                                     out->size - RECORD_BATCH_AT_ATTRIBUTES));
}

int produce_rewrite(const struct produce_rules *rules, const struct record_batch *batch,
                    const void *header, struct span records, const struct produce_report *report,
                    struct buf **ret_batch) {
    bool plain = rules->codec == RECORD_CODEC_NONE;
    struct text made;
    struct text out;
    int64_t base_ms = 0;
    int r;

    if (!can_be_made(batch, report)) {
        return BROKER_E_INVALID_RECORD;
    }
    text_init(&made);
    text_init(&out);
    text_append(&out, header, RECORD_BATCH_HEADER_BYTES);
    r = write_records(batch, records, plain ? &out : &made, &base_ms);
    if (!r && !plain && !text_failed(&made)) {
        r = codec_deflate((enum record_codec)rules->codec, text_span(&made), &out);
    }
    if (!r && !text_failed(&out) && !text_failed(&made)) {
        write_header(&out, rules, batch, base_ms, report);
        *ret_batch = text_steal_buf(&out);
        r = *ret_batch ? 0 : err_origin(-ENOMEM);
    } else if (!r) {
        r = err_origin(-ENOMEM);
    }
    text_deinit(&made);
    text_deinit(&out);
    return r;
}
