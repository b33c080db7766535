#include "record_batch.h"

#include "codec.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/varint.h>

#include <errno.h>

/* Length, attributes, two deltas, two lengths and the header count: one byte each at least. */
enum { RECORD_MIN_BYTES = 7, ATTRIBUTES_IN_USE = 0x7f };

int record_batch_parse(struct span data, struct record_batch *ret_batch) {
    const uint8_t *in = data.data;
    struct record_batch batch;
    size_t room;

    if (data.size < RECORD_BATCH_HEADER_BYTES || in[RECORD_BATCH_AT_MAGIC] != RECORD_BATCH_MAGIC) {
        return err_origin(BROKER_E_CORRUPT);
    }
    batch.base_offset = (int64_t)get_be64(in + RECORD_BATCH_AT_BASE_OFFSET);
    batch.length = (int32_t)get_be32(in + RECORD_BATCH_AT_LENGTH);
    if (batch.length < RECORD_BATCH_HEADER_BYTES - RECORD_BATCH_OVERHEAD_BYTES ||
        (size_t)batch.length > data.size - RECORD_BATCH_OVERHEAD_BYTES) {
        return err_origin(BROKER_E_CORRUPT);
    }
    batch.total_bytes = (size_t)batch.length + RECORD_BATCH_OVERHEAD_BYTES;
    batch.leader_epoch = (int32_t)get_be32(in + RECORD_BATCH_AT_LEADER_EPOCH);
    batch.crc = get_be32(in + RECORD_BATCH_AT_CRC);
    batch.attributes = (int16_t)get_be16(in + RECORD_BATCH_AT_ATTRIBUTES);
    batch.last_offset_delta = (int32_t)get_be32(in + RECORD_BATCH_AT_LAST_OFFSET_DELTA);
    batch.base_timestamp_ms = (int64_t)get_be64(in + RECORD_BATCH_AT_BASE_TIMESTAMP);
    batch.max_timestamp_ms = (int64_t)get_be64(in + RECORD_BATCH_AT_MAX_TIMESTAMP);
    batch.producer_id = (int64_t)get_be64(in + RECORD_BATCH_AT_PRODUCER_ID);
    batch.producer_epoch = (int16_t)get_be16(in + RECORD_BATCH_AT_PRODUCER_EPOCH);
    batch.base_sequence = (int32_t)get_be32(in + RECORD_BATCH_AT_BASE_SEQUENCE);
    batch.record_count = (int32_t)get_be32(in + RECORD_BATCH_AT_RECORD_COUNT);
    room = batch.total_bytes - RECORD_BATCH_HEADER_BYTES;
    batch.records = span_of(in + RECORD_BATCH_HEADER_BYTES, room);

    /* Compaction leaves fewer records than offsets, never more. */
    if (batch.record_count < 0 || batch.last_offset_delta < 0 ||
        batch.record_count - 1 > batch.last_offset_delta ||
        ((batch.attributes & RECORD_BATCH_CODEC_MASK) == 0 &&
         (size_t)batch.record_count > room / RECORD_MIN_BYTES)) {
        return err_origin(BROKER_E_CORRUPT);
    }
    *ret_batch = batch;
    return 0;
}

bool record_batch_check_crc(struct span batch) {
    const uint8_t *in = batch.data;

    return batch.size >= RECORD_BATCH_HEADER_BYTES &&
           crc32c(0, in + RECORD_BATCH_AT_ATTRIBUTES, batch.size - RECORD_BATCH_AT_ATTRIBUTES) ==
               get_be32(in + RECORD_BATCH_AT_CRC);
}

void record_batch_assign(uint8_t *batch, int64_t base_offset, int32_t leader_epoch) {
    put_be64(batch + RECORD_BATCH_AT_BASE_OFFSET, (uint64_t)base_offset);
    put_be32(batch + RECORD_BATCH_AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

/* What else may stand in the attributes means nothing, and is not kept once they are written. */
static void set_times(uint8_t *batch, size_t total_bytes, int type, int64_t max_timestamp_ms) {
    int attributes = get_be16(batch + RECORD_BATCH_AT_ATTRIBUTES) & ATTRIBUTES_IN_USE;

    attributes = (attributes & ~RECORD_BATCH_LOG_APPEND_TIME) | type;
    put_be16(batch + RECORD_BATCH_AT_ATTRIBUTES, (uint16_t)attributes);
    put_be64(batch + RECORD_BATCH_AT_MAX_TIMESTAMP, (uint64_t)max_timestamp_ms);
    put_be32(batch + RECORD_BATCH_AT_CRC, crc32c(0, batch + RECORD_BATCH_AT_ATTRIBUTES,
                                                 total_bytes - RECORD_BATCH_AT_ATTRIBUTES));
}

void record_batch_set_append_time(uint8_t *batch, size_t total_bytes, int64_t timestamp_ms) {
    set_times(batch, total_bytes, RECORD_BATCH_LOG_APPEND_TIME, timestamp_ms);
}

bool record_batch_has_create_time(const uint8_t *batch, int64_t max_timestamp_ms) {
    return !(get_be16(batch + RECORD_BATCH_AT_ATTRIBUTES) & RECORD_BATCH_LOG_APPEND_TIME) &&
           (int64_t)get_be64(batch + RECORD_BATCH_AT_MAX_TIMESTAMP) == max_timestamp_ms;
}

void record_batch_set_create_time(uint8_t *batch, size_t total_bytes, int64_t max_timestamp_ms) {
    set_times(batch, total_bytes, 0, max_timestamp_ms);
}

/* ---- iterator ---- */

int record_iterator_init(struct record_iterator *it, struct span batch) {
    int codec;
    int r;

    *it = (struct record_iterator){0};
    r = record_batch_parse(batch, &it->batch);
    if (r) {
        return err_trace(r);
    }
    it->records = it->batch.records;
    codec = it->batch.attributes & RECORD_BATCH_CODEC_MASK;
    if (codec == RECORD_CODEC_NONE) {
        return 0;
    }
    r = codec_inflate((enum record_codec)codec, it->records, CODEC_INFLATED_MAX_BYTES,
                      &it->inflated);
    if (r) { /* what was stored may be as large as it likes: nobody here can read it */
        return r == TOPIC_E_TOO_LARGE ? err_origin(BROKER_E_CORRUPT) : err_trace(r);
    }
    it->records = span_of(it->inflated->data, it->inflated->size);
    return 0;
}

/* A reader over one record; the first thing that does not fit makes it fail for good. */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static int64_t take_i64(struct cursor *in) {
    int64_t value = 0;
    size_t n = in->failed ? 0 : varint_get_i64(in->at, in->left, &value);

    in->failed = n == 0;
    in->at += n;
    in->left -= n;
    return value;
}

static int32_t take_i32(struct cursor *in) {
    int32_t value = 0;
    size_t n = in->failed ? 0 : varint_get_i32(in->at, in->left, &value);

    in->failed = n == 0;
    in->at += n;
    in->left -= n;
    return value;
}

/* Bytes with their length in front; -1 for null, and so is any other negative one for Kafka. */
static struct span take_bytes(struct cursor *in) {
    int32_t size = take_i32(in);
    struct span bytes = SPAN_NULL;

    if (in->failed || size < 0) {
        return bytes;
    }
    if ((size_t)size > in->left) {
        in->failed = true;
        return bytes;
    }
    bytes = span_of(in->at, (size_t)size);
    in->at += size;
    in->left -= (size_t)size;
    return bytes;
}

int record_iterator_next(struct record_iterator *it, struct record *ret_record) {
    const uint8_t *data = it->records.data;
    struct cursor in = {data + it->position, it->records.size - it->position, false};
    struct record record;
    size_t after;
    int32_t size;

    if (it->index == it->batch.record_count) {
        return it->position == it->records.size ? 0 : err_origin(BROKER_E_CORRUPT);
    }
    size = take_i32(&in);
    if (in.failed || size < RECORD_MIN_BYTES - 1 || (size_t)size > in.left) {
        return err_origin(BROKER_E_CORRUPT);
    }
    after = (size_t)(in.at - data) + (size_t)size;
    in = (struct cursor){in.at + 1, (size_t)size - 1,
                         false}; /* the attributes have no bits in use */
    record.timestamp_ms = record_timestamp(it->batch.base_timestamp_ms, take_i64(&in));
    record.offset = (int64_t)((uint64_t)it->batch.base_offset + (uint64_t)take_i32(&in));
    record.key = take_bytes(&in);
    record.value = take_bytes(&in);
    record.header_count = take_i32(&in);
    record.headers = in.at;
    record.headers_size = in.left;
    if (in.failed || record.header_count < 0 || (size_t)record.header_count > in.left / 2 ||
        (record.header_count == 0 && in.left != 0)) {
        return err_origin(BROKER_E_CORRUPT);
    }
    if (it->batch.attributes & RECORD_BATCH_LOG_APPEND_TIME) {
        record.timestamp_ms = it->batch.max_timestamp_ms;
    }
    it->position = after;
    it->index++;
    *ret_record = record;
    return 1;
}

void record_iterator_deinit(struct record_iterator *it) {
    buf_unref(it->inflated);
    it->inflated = NULL;
}

int record_batches_each(struct span batches, void (*each)(void *userdata, const struct record *),
                        void *userdata, int64_t *offset) {
    while (batches.size > 0) {
        struct record_iterator it;
        struct record record;
        int r = record_iterator_init(&it, batches);

        if (r) {
            return err_trace(r);
        }
        while ((r = record_iterator_next(&it, &record)) == 1) {
            each(userdata, &record);
        }
        *offset = record_batch_end(&it.batch);
        batches = span_of((const uint8_t *)batches.data + it.batch.total_bytes,
                          batches.size - it.batch.total_bytes);
        record_iterator_deinit(&it);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

int record_header_next(const struct record *record, size_t *position,
                       struct record_header *ret_header) {
    struct cursor in = {record->headers + *position, record->headers_size - *position, false};
    struct record_header header;

    if (in.left == 0) {
        return 0;
    }
    header.key = take_bytes(&in);
    header.value = take_bytes(&in);
    if (in.failed || !header.key.data) {
        return err_origin(BROKER_E_CORRUPT);
    }
    *position = (size_t)(in.at - record->headers);
    *ret_header = header;
    return 1;
}

/* ---- builder ---- */

void record_batch_builder_init(struct record_batch_builder *builder) {
    *builder = (struct record_batch_builder){0};
    text_init(&builder->text);
}

static size_t bytes_size(struct span bytes) {
    return bytes.data ? varint_size_i64((int64_t)bytes.size) + bytes.size : 1;
}

static uint8_t *put_bytes(uint8_t *out, struct span bytes) {
    out += varint_put_i64(out, bytes.data ? (int64_t)bytes.size : -1);
    if (bytes.size) {
        memcpy(out, bytes.data, bytes.size);
    }
    return out + bytes.size;
}

void record_batch_builder_add(struct record_batch_builder *builder, int64_t timestamp_ms,
                              struct span key, struct span value,
                              const struct record_header *headers, size_t header_count) {
    int64_t delta_ms;
    size_t size;
    uint8_t *start;
    uint8_t *out;

    if (builder->count == 0) {
        start = (uint8_t *)text_reserve(&builder->text, RECORD_BATCH_HEADER_BYTES);
        if (!start) {
            return;
        }
        memset(start, 0, RECORD_BATCH_HEADER_BYTES);
        builder->text.size += RECORD_BATCH_HEADER_BYTES;
        builder->base_timestamp_ms = builder->max_timestamp_ms = timestamp_ms;
    }
    delta_ms = record_timestamp_delta(builder->base_timestamp_ms, timestamp_ms);
    size = 1 + varint_size_i64(delta_ms) + varint_size_i64(builder->count) + bytes_size(key) +
           bytes_size(value) + varint_size_i64((int64_t)header_count);
    for (size_t i = 0; i < header_count; i++) {
        size += bytes_size(headers[i].key) + bytes_size(headers[i].value);
    }
    start = (uint8_t *)text_reserve(&builder->text, VARINT_MAX_BYTES + size);
    if (!start) {
        return;
    }
    out = start + varint_put_i64(start, (int64_t)size);
    *out++ = 0;
    out += varint_put_i64(out, delta_ms);
    out += varint_put_i64(out, builder->count);
    out = put_bytes(out, key);
    out = put_bytes(out, value);
    out += varint_put_i64(out, (int64_t)header_count);
    for (size_t i = 0; i < header_count; i++) {
        out = put_bytes(out, headers[i].key);
        out = put_bytes(out, headers[i].value);
    }
    builder->text.size += (size_t)(out - start);
    builder->max_timestamp_ms = MAX(builder->max_timestamp_ms, timestamp_ms);
    builder->count++;
}

struct buf *record_batch_builder_finish(struct record_batch_builder *builder, int16_t attributes) {
    struct text *text = &builder->text;
    struct buf *buf = NULL;
    uint8_t *out;

    if (builder->count > 0 && !text_failed(text)) {
        buf = text_steal_buf(text);
    }
    if (buf) {
        out = buf->data;
        put_be32(out + RECORD_BATCH_AT_LENGTH, (uint32_t)(buf->size - RECORD_BATCH_OVERHEAD_BYTES));
        out[RECORD_BATCH_AT_MAGIC] = RECORD_BATCH_MAGIC;
        put_be16(out + RECORD_BATCH_AT_ATTRIBUTES, (uint16_t)attributes);
        put_be32(out + RECORD_BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)(builder->count - 1));
        put_be64(out + RECORD_BATCH_AT_BASE_TIMESTAMP, (uint64_t)builder->base_timestamp_ms);
        put_be64(out + RECORD_BATCH_AT_MAX_TIMESTAMP, (uint64_t)builder->max_timestamp_ms);
        put_be64(out + RECORD_BATCH_AT_PRODUCER_ID, UINT64_MAX);
        put_be16(out + RECORD_BATCH_AT_PRODUCER_EPOCH, UINT16_MAX);
        put_be32(out + RECORD_BATCH_AT_BASE_SEQUENCE, UINT32_MAX);
        put_be32(out + RECORD_BATCH_AT_RECORD_COUNT, (uint32_t)builder->count);
        put_be32(out + RECORD_BATCH_AT_CRC, crc32c(0, out + RECORD_BATCH_AT_ATTRIBUTES,
                                                   buf->size - RECORD_BATCH_AT_ATTRIBUTES));
    }
    record_batch_builder_deinit(builder);
    record_batch_builder_init(builder);
    return buf;
}

void record_batch_builder_deinit(struct record_batch_builder *builder) {
    text_deinit(&builder->text);
}
