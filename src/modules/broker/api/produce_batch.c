/*
 * The rules of Produce for record batches, in Kafka's order, so that a batch with several faults is
 * refused for the same one; with a text where Kafka has one, and in its words.
 *
 * Records that are not compressed are walked field by field: what no consumer could read must not
 * be stored. Compressed ones are opened only where a config of the topic demands it.
 */
#include "produce_batch.h"

#include "codec.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/varint.h>

enum {
    VERSION_ZSTD = 7,
    MAGIC_NOW = 2,
    AT_BASE_OFFSET = 0,
    AT_LENGTH = 8,
    AT_MAGIC = 16,
    AT_ATTRIBUTES = 21,
    AT_LAST_OFFSET_DELTA = 23,
    AT_RECORD_COUNT = 57,
    UP_TO_LENGTH = 12,
    UP_TO_MAGIC = 17,
    LENGTH_LEAST = 14, /* of a message of magic 0, the shortest that ever was */
    RECORD_LEAST_BYTES = 7,
    RECORD_ERRORS_MAX = 1000,
};

/* ---- finding it ---- */

/* The next batch or message of any magic; *ret_size 0 where none can begin. */
static int16_t next_entry(const uint8_t *data, size_t size, size_t *ret_size) {
    int32_t length;

    *ret_size = 0;
    if (size < UP_TO_LENGTH) {
        return 0;
    }
    length = (int32_t)get_be32(data + AT_LENGTH);
    if (length < LENGTH_LEAST) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    if (size < UP_TO_MAGIC) {
        return 0;
    }
    if (data[AT_MAGIC] > MAGIC_NOW) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    if ((size_t)length <= size - UP_TO_LENGTH) {
        *ret_size = (size_t)length + UP_TO_LENGTH;
    }
    return 0;
}

/* Why nothing can begin at @data. */
static const char *entry_fault(struct arena *arena, const uint8_t *data) {
    int32_t length = (int32_t)get_be32(data + AT_LENGTH);

    return length < LENGTH_LEAST
               ? arena_printf(arena, "Record size %d is less than the minimum record overhead (%d)",
                              length, LENGTH_LEAST)
               : arena_printf(arena, "Invalid magic found in record: %d", (int8_t)data[AT_MAGIC]);
}

static int codec_of(const uint8_t *data) {
    return get_be16(data + AT_ATTRIBUTES) & RECORD_BATCH_CODEC_MASK;
}

int16_t produce_batch_find(const struct kafka_request *request, struct span bytes,
                           struct span *ret_batch, const char **ret_message) {
    const uint8_t *data = bytes.data;
    size_t size;
    size_t more;
    int16_t error = next_entry(data, bytes.size, &size);

    *ret_message = NULL;
    if (error) {
        *ret_message = entry_fault(request->arena, data);
        return error;
    }
    if (size == 0 || data[AT_MAGIC] != MAGIC_NOW) {
        return KAFKA_INVALID_RECORD;
    }
    if (size >= RECORD_BATCH_HEADER_BYTES && request->version < VERSION_ZSTD &&
        codec_of(data) == RECORD_CODEC_ZSTD) {
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    }
    error = next_entry(data + size, bytes.size - size, &more);
    if (error) {
        *ret_message = entry_fault(request->arena, data + size);
        return error;
    }
    if (more) { /* exactly one a request */
        return KAFKA_INVALID_RECORD;
    }
    *ret_batch = span_of(data, size);
    return 0;
}

bool produce_batch_is_transactional(struct span bytes) {
    const uint8_t *data = bytes.data;

    return bytes.size >= RECORD_BATCH_HEADER_BYTES && data[AT_MAGIC] == MAGIC_NOW &&
           get_be16(data + AT_ATTRIBUTES) & RECORD_BATCH_TRANSACTIONAL;
}

/* ---- its records ---- */

/* A cursor over varints; at its end once something did not fit. */
struct fields {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static void skip(struct fields *in, size_t size) {
    if (size > in->left) {
        in->failed = true;
        size = in->left;
    }
    in->at += size;
    in->left -= size;
}

/* The usual ones have one or two bytes: a record has seven, and there are millions of records. */
static int32_t take_i32(struct fields *in) {
    int32_t value = 0;
    size_t n;

    if (in->left >= 2 && !(in->at[0] & in->at[1] & 0x80)) {
        bool longer = in->at[0] & 0x80;
        uint32_t raw = (in->at[0] & 0x7fu) | (longer ? (uint32_t)in->at[1] << 7 : 0);

        in->at += 1 + longer;
        in->left -= 1u + longer;
        return (int32_t)(raw >> 1) ^ -(int32_t)(raw & 1);
    }
    n = varint_get_i32(in->at, in->left, &value);
    in->failed |= n == 0;
    skip(in, n);
    return value;
}

static void skip_i64(struct fields *in) {
    uint64_t value;
    size_t n = in->left > 0 && in->at[0] < 0x80
                   ? 1
                   : varint_get_u64(in->at, in->left, &value); /* zigzag or not is one length */

    in->failed |= n == 0;
    skip(in, n);
}

/* A key, a value or a part of a header behind its length; null only where @nullable. */
static void skip_bytes(struct fields *in, bool nullable) {
    int32_t size = take_i32(in);

    if (size >= 0) {
        skip(in, (size_t)size);
    } else {
        in->failed |= !nullable || size != -1;
    }
}

/* One record, which takes all of @in. */
static bool record_holds(struct fields in) {
    int32_t headers;

    skip(&in, 1);  /* attributes */
    skip_i64(&in); /* timestamp delta */
    (void)take_i32(&in);
    skip_bytes(&in, true);
    skip_bytes(&in, true);
    headers = take_i32(&in);
    in.failed |= headers < 0;
    for (int32_t i = 0; i < headers && !in.failed; i++) {
        skip_bytes(&in, false);
        skip_bytes(&in, true);
    }
    return !in.failed && in.left == 0;
}

/* As many records as the header says, each with its fields, and nothing behind them. */
static bool records_hold(const struct record_batch *batch) {
    struct fields in = {batch->records.data, batch->records.size, false};

    for (int32_t i = 0; i < batch->record_count; i++) {
        int32_t length = take_i32(&in);

        if (in.failed || length < RECORD_LEAST_BYTES - 1 || (size_t)length > in.left ||
            !record_holds((struct fields){in.at, (size_t)length, false})) {
            return false;
        }
        skip(&in, (size_t)length);
    }
    return in.left == 0;
}

static const char *keyless(const struct kafka_request *request, const struct topic *topic,
                           const struct produce_response_partition *row) {
    return arena_printf(request->arena,
                        "Compacted topic cannot accept message without key in topic partition "
                        "%s-%d",
                        topic->name, row->index);
}

static void add_record_error(struct kafka_request *request, struct produce_response_partition *row,
                             int32_t index, const char *message) {
    if (!row->record_errors) {
        row->record_errors =
            KAFKA_NEW(request->arena, produce_response_record_error, RECORD_ERRORS_MAX);
    }
    if (row->record_errors && row->record_errors_count < RECORD_ERRORS_MAX) {
        row->record_errors[row->record_errors_count++] = (struct produce_response_record_error){
            .batch_index = index, .batch_index_error_message = span_text(message)};
    }
}

/* The text for the batch quotes the first three of its records. */
static const char *rejected(const struct kafka_request *request,
                            const struct produce_response_partition *row, const char *message) {
    struct text quoted;
    const char *out;

    text_init(&quoted);
    for (int32_t i = 0; i < MIN(row->record_errors_count, 3); i++) {
        text_printf(&quoted, "%sRecordError(batchIndex=%d, message='%s')", i ? ", " : "",
                    row->record_errors[i].batch_index, message);
    }
    out = text_failed(&quoted)
              ? NULL
              : arena_printf(request->arena,
                             "One or more records have been rejected due to %d record errors in "
                             "total, and only showing the first three errors at most: [%s]",
                             row->record_errors_count, quoted.data);
    text_deinit(&quoted);
    return out;
}

/* What only a key-less record of a compacted topic can be refused for needs a look inside. */
static int16_t check_keys(struct span bytes, struct kafka_request *request,
                          const struct topic *topic, struct produce_response_partition *row,
                          const char **ret_message) {
    struct record_iterator it;
    struct record record;
    const char *message = NULL;
    int r = record_iterator_init(&it, bytes);

    for (int32_t i = 0; r == 0 && i < it.batch.record_count; i++) {
        r = record_iterator_next(&it, &record) == 1 ? 0 : BROKER_E_CORRUPT;
        if (r == 0 && !record.key.data) {
            message = message ? message : keyless(request, topic, row);
            add_record_error(request, row, i, message);
        }
    }
    record_iterator_deinit(&it);
    if (r) {
        return KAFKA_INVALID_RECORD;
    }
    if (row->record_errors_count > 0) {
        *ret_message = rejected(request, row, message);
        return KAFKA_INVALID_RECORD;
    }
    return 0;
}

/* ---- its header ---- */

/* A batch that came damaged is another matter than one that was made wrong: it may be sent again.
 */
static int16_t wrong(struct span bytes) {
    return record_batch_check_crc(bytes) ? KAFKA_INVALID_RECORD : KAFKA_CORRUPT_MESSAGE;
}

static int16_t check_header(struct span bytes) {
    const uint8_t *data = bytes.data;
    int32_t last_delta = (int32_t)get_be32(data + AT_LAST_OFFSET_DELTA);
    int32_t count = (int32_t)get_be32(data + AT_RECORD_COUNT);
    size_t room = bytes.size - RECORD_BATCH_HEADER_BYTES;

    if (get_be64(data + AT_BASE_OFFSET) != 0) { /* which is the broker's to say */
        return KAFKA_INVALID_RECORD;
    }
    if (count <= 0 || count - 1 != last_delta ||
        (codec_of(data) == RECORD_CODEC_NONE && (size_t)count > room / RECORD_LEAST_BYTES)) {
        return wrong(bytes);
    }
    if (get_be16(data + AT_ATTRIBUTES) & RECORD_BATCH_CONTROL) { /* the broker's own */
        return wrong(bytes);
    }
    return 0;
}

int16_t produce_batch_check(struct kafka_request *request, const struct topic *topic,
                            struct span bytes, struct record_batch *ret_batch,
                            struct produce_response_partition *row, const char **ret_message) {
    const struct broker *broker = request->userdata;
    int codec;
    int16_t error;

    *ret_message = NULL;
    if (bytes.size < RECORD_BATCH_HEADER_BYTES) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    error = check_header(bytes);
    if (error) {
        return error;
    }
    if (record_batch_parse(bytes, ret_batch)) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    codec = ret_batch->attributes & RECORD_BATCH_CODEC_MASK;
    if (codec > RECORD_CODEC_ZSTD) { /* nobody knows it */
        return request->version < VERSION_ZSTD ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_CORRUPT_MESSAGE;
    }
    if (codec == RECORD_CODEC_NONE && !records_hold(ret_batch)) {
        return wrong(bytes);
    }
    /* Without a producer id the rest means nothing: kafkajs writes epoch and sequence 0 there. */
    if (ret_batch->producer_id >= 0 && ret_batch->base_sequence < 0) {
        return wrong(bytes);
    }
    if (ret_batch->producer_id >= 0 && ret_batch->producer_epoch < 0) {
        return record_batch_check_crc(bytes) ? KAFKA_INVALID_PRODUCER_EPOCH : KAFKA_CORRUPT_MESSAGE;
    }
    return topic_config_compacts(broker->log, topic)
               ? check_keys(bytes, request, topic, row, ret_message)
               : 0;
}
