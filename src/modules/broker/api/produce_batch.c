/*
 * The rules of Produce for record batches, in Kafka's order, so that a batch with several faults is
 * refused for the same one.
 *
 * Records that are not compressed are walked by their lengths: what no consumer could read must not
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

static int codec_of(const uint8_t *data) {
    return get_be16(data + AT_ATTRIBUTES) & RECORD_BATCH_CODEC_MASK;
}

int16_t produce_batch_find(int16_t version, struct span bytes, struct span *ret_batch,
                           const char **ret_message) {
    const uint8_t *data = bytes.data;
    size_t size;
    size_t more;
    int16_t error = next_entry(data, bytes.size, &size);

    *ret_message = error ? "This is no record batch." : NULL;
    if (error) {
        return error;
    }
    if (size == 0) {
        *ret_message = "There is no whole record batch.";
        return KAFKA_INVALID_RECORD;
    }
    if (data[AT_MAGIC] != MAGIC_NOW) {
        *ret_message = "Record batches must have magic 2.";
        return KAFKA_INVALID_RECORD;
    }
    if (size >= RECORD_BATCH_HEADER_BYTES && version < VERSION_ZSTD &&
        codec_of(data) == RECORD_CODEC_ZSTD) {
        *ret_message = "This version of Produce does not know zstd.";
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    }
    error = next_entry(data + size, bytes.size - size, &more);
    if (error) {
        return error;
    }
    if (more) {
        *ret_message = "A partition takes exactly one record batch a request.";
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

/* As many records as the header says, and nothing behind them. */
static bool lengths_fit(const struct record_batch *batch) {
    const uint8_t *at = batch->records.data;
    size_t left = batch->records.size;

    for (int32_t i = 0; i < batch->record_count; i++) {
        int32_t length;
        size_t n = varint_get_i32(at, left, &length);

        if (n == 0 || length < RECORD_LEAST_BYTES - 1 || (size_t)length > left - n) {
            return false;
        }
        at += n + (size_t)length;
        left -= n + (size_t)length;
    }
    return left == 0;
}

static void add_record_error(struct kafka_request *request, struct produce_response_partition *row,
                             int32_t index) {
    if (!row->record_errors) {
        row->record_errors =
            KAFKA_NEW(request->arena, produce_response_record_error, RECORD_ERRORS_MAX);
    }
    if (row->record_errors && row->record_errors_count < RECORD_ERRORS_MAX) {
        row->record_errors[row->record_errors_count++] = (struct produce_response_record_error){
            .batch_index = index,
            .batch_index_error_message =
                SPAN_LITERAL("A compacted topic takes no record without a key."),
        };
    }
}

/* What only a key-less record of a compacted topic can be refused for needs a look inside. */
static int16_t check_keys(struct span bytes, struct kafka_request *request,
                          struct produce_response_partition *row, const char **ret_message) {
    struct record_iterator it;
    struct record record;
    int r = record_iterator_init(&it, bytes);

    for (int32_t i = 0; r == 0 && i < it.batch.record_count; i++) {
        r = record_iterator_next(&it, &record) == 1 ? 0 : BROKER_E_CORRUPT;
        if (r == 0 && !record.key.data) {
            add_record_error(request, row, i);
        }
    }
    record_iterator_deinit(&it);
    if (r) {
        return KAFKA_INVALID_RECORD;
    }
    if (row->record_errors_count > 0) {
        *ret_message = "Some records have no key, which a compacted topic needs.";
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

static int16_t check_header(struct span bytes, const char **ret_message) {
    const uint8_t *data = bytes.data;
    int32_t last_delta = (int32_t)get_be32(data + AT_LAST_OFFSET_DELTA);
    int32_t count = (int32_t)get_be32(data + AT_RECORD_COUNT);
    size_t room = bytes.size - RECORD_BATCH_HEADER_BYTES;

    if (get_be64(data + AT_BASE_OFFSET) != 0) {
        *ret_message = "The base offset of a batch to append is 0.";
        return KAFKA_INVALID_RECORD;
    }
    if (count <= 0 || count - 1 != last_delta ||
        (codec_of(data) == RECORD_CODEC_NONE && (size_t)count > room / RECORD_LEAST_BYTES)) {
        *ret_message = "The batch's record count does not match its offsets or its size.";
        return wrong(bytes);
    }
    if (get_be16(data + AT_ATTRIBUTES) & RECORD_BATCH_CONTROL) {
        *ret_message = "Clients cannot write control batches.";
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
    error = check_header(bytes, ret_message);
    if (error) {
        return error;
    }
    if (record_batch_parse(bytes, ret_batch)) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    codec = ret_batch->attributes & RECORD_BATCH_CODEC_MASK;
    if (codec > RECORD_CODEC_ZSTD) {
        *ret_message = "Nobody knows the compression of the batch.";
        return request->version < VERSION_ZSTD ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_CORRUPT_MESSAGE;
    }
    if (codec == RECORD_CODEC_NONE && !lengths_fit(ret_batch)) {
        *ret_message = "The records of the batch do not fit their lengths.";
        return wrong(bytes);
    }
    /* Without a producer id the rest means nothing: kafkajs writes epoch and sequence 0 there. */
    if (ret_batch->producer_id >= 0 && ret_batch->base_sequence < 0) {
        *ret_message = "Producer id and sequence contradict one another.";
        return wrong(bytes);
    }
    if (ret_batch->producer_id >= 0 && ret_batch->producer_epoch < 0) {
        *ret_message = "The producer's epoch is older than any.";
        return record_batch_check_crc(bytes) ? KAFKA_INVALID_PRODUCER_EPOCH : KAFKA_CORRUPT_MESSAGE;
    }
    return topic_config_compacts(broker->log, topic) ? check_keys(bytes, request, row, ret_message)
                                                     : 0;
}
