/*
 * Input: one byte of choices, then a record batch. Bit 0: length and CRC are made right first,
 * since no chance meets a CRC-32C. Bit 1: the records are taken for plain ones and compressed with
 * the batch's codec, since no chance writes a good stream either; bit 2 repeats them until they are
 * large, which compresses well: a bomb.
 *
 * Whatever comes: a walk stays inside the batch, nothing inflates beyond its limit, what is read
 * can be built again and reads the same, and what we change in place leaves a batch that is whole.
 */
#include "codec.h"
#include "record_batch.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    CHOICE_MAKE_RIGHT = 1,
    CHOICE_COMPRESS = 2,
    CHOICE_REPEAT = 4,

    AT_LENGTH = 8,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,

    LIMIT_BYTES = 48 << 10, /* of what this target lets inflate */
    HEADERS_MAX = 64,       /* per record that is built again */
};

static void require(bool condition) {
    if (!condition) {
        abort();
    }
}

static bool inside(struct span part, struct span whole) {
    uintptr_t at = (uintptr_t)part.data;
    uintptr_t start = (uintptr_t)whole.data;

    return !part.data || (at >= start && at + part.size <= start + whole.size);
}

/* ---- the input ---- */

static void make_right(struct text *batch) {
    uint8_t *out = (uint8_t *)batch->data;

    put_be32(out + AT_LENGTH, (uint32_t)(batch->size - RECORD_BATCH_OVERHEAD_BYTES));
    put_be32(out + AT_CRC, crc32c(0, out + AT_ATTRIBUTES, batch->size - AT_ATTRIBUTES));
}

static void compress(struct text *batch, struct span records, bool repeat) {
    unsigned codec = get_be16((uint8_t *)batch->data + AT_ATTRIBUTES) & RECORD_BATCH_CODEC_MASK;
    struct buf *back = NULL;
    struct text plain;
    int r;

    text_init(&plain);
    do {
        text_append(&plain, records.data, records.size);
    } while (repeat && records.size && plain.size <= LIMIT_BYTES);
    if (codec <= RECORD_CODEC_ZSTD) {
        require(codec_deflate((enum record_codec)codec, text_span(&plain), batch) == 0);
        records = span_of(batch->data + RECORD_BATCH_HEADER_BYTES,
                          batch->size - RECORD_BATCH_HEADER_BYTES);
        r = codec_inflate((enum record_codec)codec, records, LIMIT_BYTES, &back);
        require(r == (plain.size <= LIMIT_BYTES ? 0 : TOPIC_E_TOO_LARGE));
        require(r || span_equal(span_of(back->data, back->size), text_span(&plain)));
        buf_unref(back);
    }
    text_deinit(&plain);
}

/* ---- the checks ---- */

static size_t check_headers(const struct record *record, struct span whole,
                            struct record_header *headers) {
    struct record_header header;
    size_t position = 0;
    size_t count = 0;

    while (record_header_next(record, &position, &header) == 1) {
        require(position <= record->headers_size);
        require(header.key.data && inside(header.key, whole) && inside(header.value, whole));
        if (count < HEADERS_MAX) {
            headers[count++] = header;
        }
    }
    return count;
}

/* Walks the batch; gives every record to @builder too. */
static int walk(struct span batch, struct record_batch_builder *builder) {
    struct record_header headers[HEADERS_MAX];
    struct record_iterator it;
    struct record record;
    int32_t count = 0;
    int r = record_iterator_init(&it, batch);

    require(r == 0 || r == BROKER_E_CORRUPT);
    while (r == 0 && (r = record_iterator_next(&it, &record)) == 1) {
        struct span encoded = span_of(record.headers, record.headers_size);
        size_t header_count;

        require(++count <= it.batch.record_count);
        require(inside(record.key, it.records) && inside(record.value, it.records) &&
                inside(encoded, it.records));
        header_count = check_headers(&record, it.records, headers);
        record_batch_builder_add(builder, record.timestamp_ms, record.key, record.value, headers,
                                 header_count);
        r = 0;
    }
    require(r == 0 || r == BROKER_E_CORRUPT);
    record_iterator_deinit(&it);
    return r;
}

static void check_builder(struct record_batch_builder *builder) {
    struct buf *built = record_batch_builder_finish(builder, 0);
    struct record_batch_builder again;
    struct buf *second;
    struct span bytes;

    if (!built) {
        return;
    }
    bytes = span_of(built->data, built->size);
    require(record_batch_check_crc(bytes));
    record_batch_builder_init(&again);
    require(walk(bytes, &again) == 0);
    second = record_batch_builder_finish(&again, 0);
    require(second && span_equal(span_of(second->data, second->size), bytes));
    buf_unref(second);
    buf_unref(built);
}

static void check_changes(struct text *text, bool whole) {
    struct record_batch batch;

    if (record_batch_parse(text_span(text), &batch)) {
        return;
    }
    require(batch.total_bytes <= text->size && inside(batch.records, text_span(text)));
    if (whole) {
        record_batch_assign((uint8_t *)text->data, 77, 5);
        require(record_batch_check_crc(text_span(text)));
    }
    record_batch_set_append_time((uint8_t *)text->data, batch.total_bytes, 1234);
    require(record_batch_check_crc(span_of(text->data, batch.total_bytes)));
    require(record_batch_parse(text_span(text), &batch) == 0);
    require(batch.max_timestamp_ms == 1234 && batch.attributes & RECORD_BATCH_LOG_APPEND_TIME);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct record_batch_builder builder;
    struct text batch;
    bool whole;

    if (size < 1 + RECORD_BATCH_HEADER_BYTES) {
        return 0;
    }
    text_init(&batch);
    text_append(&batch, data + 1, RECORD_BATCH_HEADER_BYTES);
    if (data[0] & CHOICE_COMPRESS) {
        compress(
            &batch,
            span_of(data + 1 + RECORD_BATCH_HEADER_BYTES, size - 1 - RECORD_BATCH_HEADER_BYTES),
            data[0] & CHOICE_REPEAT);
    } else {
        text_append(&batch, data + 1 + RECORD_BATCH_HEADER_BYTES,
                    size - 1 - RECORD_BATCH_HEADER_BYTES);
    }
    whole = data[0] & CHOICE_MAKE_RIGHT;
    if (whole) {
        make_right(&batch);
        require(record_batch_check_crc(text_span(&batch)));
    }
    record_batch_builder_init(&builder);
    walk(text_span(&batch), &builder);
    check_builder(&builder);
    record_batch_builder_deinit(&builder);
    check_changes(&batch, whole);
    text_deinit(&batch);
    return 0;
}
