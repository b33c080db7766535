/*
 * The rules of Produce for the headers of record batches, in Kafka's order, so that a batch with
 * several faults is refused for the same one.
 */
#include "produce_batch.h"

#include "codec.h"

#include <eventbox/base/bytes.h>

enum {
    VERSION_ZSTD = 7,
    UP_TO_LENGTH = 12,
    UP_TO_MAGIC = 17,
    LENGTH_LEAST = 14, /* of a message of magic 0, the shortest that ever was */
    RECORD_LEAST_BYTES = 7,
    NO_PRODUCER = -1,
};

/* ---- finding it ---- */

/* The next batch or message of any magic; *ret_size 0 where none can begin. */
static int16_t next_entry(const uint8_t *data, size_t size, size_t *ret_size) {
    int32_t length;

    *ret_size = 0;
    if (size < UP_TO_LENGTH) {
        return 0;
    }
    length = (int32_t)get_be32(data + RECORD_BATCH_AT_LENGTH);
    if (length < LENGTH_LEAST) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    if (size < UP_TO_MAGIC) {
        return 0;
    }
    if (data[RECORD_BATCH_AT_MAGIC] > RECORD_BATCH_MAGIC) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    if ((size_t)length <= size - UP_TO_LENGTH) {
        *ret_size = (size_t)length + UP_TO_LENGTH;
    }
    return 0;
}

/* Why nothing can begin at @data. */
static const char *entry_fault(struct arena *arena, const uint8_t *data) {
    int32_t length = (int32_t)get_be32(data + RECORD_BATCH_AT_LENGTH);

    return length < LENGTH_LEAST
               ? arena_printf(arena, "Record size %d is less than the minimum record overhead (%d)",
                              length, LENGTH_LEAST)
               : arena_printf(arena, "Invalid magic found in record: %d",
                              (int8_t)data[RECORD_BATCH_AT_MAGIC]);
}

static int codec_of(const uint8_t *data) {
    return get_be16(data + RECORD_BATCH_AT_ATTRIBUTES) & RECORD_BATCH_CODEC_MASK;
}

int16_t produce_batch_peek(struct arena *arena, struct span bytes, struct produce_peek *ret_peek,
                           const char **ret_message) {
    const uint8_t *data = bytes.data;
    int16_t error = next_entry(data, bytes.size, &ret_peek->size);

    ret_peek->attributes = 0;
    ret_peek->producer_id = NO_PRODUCER;
    ret_peek->producer_epoch = NO_PRODUCER;
    if (error) {
        *ret_message = entry_fault(arena, data);
        return error;
    }
    if (ret_peek->size > 0 &&
        data[RECORD_BATCH_AT_MAGIC] == RECORD_BATCH_MAGIC) { /* 26 bytes are there at least */
        ret_peek->attributes = get_be16(data + RECORD_BATCH_AT_ATTRIBUTES);
    }
    if (ret_peek->size >= RECORD_BATCH_HEADER_BYTES &&
        data[RECORD_BATCH_AT_MAGIC] == RECORD_BATCH_MAGIC) {
        ret_peek->producer_id = (int64_t)get_be64(data + RECORD_BATCH_AT_PRODUCER_ID);
        ret_peek->producer_epoch = (int16_t)get_be16(data + RECORD_BATCH_AT_PRODUCER_EPOCH);
    }
    return 0;
}

int produce_peek_codec(const struct produce_peek *peek) {
    return peek->attributes & RECORD_BATCH_CODEC_MASK;
}

bool produce_peek_is_transactional(const struct produce_peek *peek) {
    return peek->attributes & RECORD_BATCH_TRANSACTIONAL;
}

int16_t produce_batch_find(int16_t version, struct span bytes, struct span *ret_batch) {
    const uint8_t *data = bytes.data;
    size_t size;
    size_t more;
    int16_t error = next_entry(data, bytes.size, &size);

    if (error) {
        return error;
    }
    if (size == 0 || data[RECORD_BATCH_AT_MAGIC] != RECORD_BATCH_MAGIC) {
        return KAFKA_INVALID_RECORD;
    }
    if (version < VERSION_ZSTD && codec_of(data) == RECORD_CODEC_ZSTD) {
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    }
    error = next_entry(data + size, bytes.size - size, &more);
    if (error) {
        return error;
    }
    if (more) { /* exactly one a request */
        return KAFKA_INVALID_RECORD;
    }
    *ret_batch = span_of(data, size);
    return 0;
}

/* ---- its header ---- */

static int16_t check_header(const uint8_t *data, size_t size) {
    int32_t last_delta = (int32_t)get_be32(data + RECORD_BATCH_AT_LAST_OFFSET_DELTA);
    int32_t count = (int32_t)get_be32(data + RECORD_BATCH_AT_RECORD_COUNT);
    int codec = codec_of(data);

    if (codec > RECORD_CODEC_ZSTD) { /* Kafka has no error for it */
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    if (count <= 0 || count - 1 != last_delta) {
        return KAFKA_INVALID_RECORD;
    }
    if (get_be16(data + RECORD_BATCH_AT_ATTRIBUTES) & RECORD_BATCH_CONTROL) { /* the broker's own */
        return KAFKA_INVALID_RECORD;
    }
    /* Without a producer id the rest means nothing: kafkajs writes epoch and sequence 0 there. */
    if ((int64_t)get_be64(data + RECORD_BATCH_AT_PRODUCER_ID) >= 0 &&
        (int32_t)get_be32(data + RECORD_BATCH_AT_BASE_SEQUENCE) < 0) {
        return KAFKA_INVALID_RECORD;
    }
    if (codec == RECORD_CODEC_NONE &&
        (size_t)count > (size - RECORD_BATCH_HEADER_BYTES) / RECORD_LEAST_BYTES) {
        return KAFKA_INVALID_RECORD;
    }
    return 0;
}

int16_t produce_batch_check(const struct broker *broker, const struct topic *topic,
                            struct span bytes, struct record_batch *ret_batch) {
    const uint8_t *data = bytes.data;
    int16_t error;

    if (get_be64(data + RECORD_BATCH_AT_BASE_OFFSET) != 0) { /* which is the broker's to say */
        return KAFKA_INVALID_RECORD;
    }
    if (bytes.size > (uint64_t)topic_config_int(broker->log, topic, TOPIC_MAX_MESSAGE_BYTES)) {
        return KAFKA_MESSAGE_TOO_LARGE;
    }
    if (bytes.size < RECORD_BATCH_HEADER_BYTES) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    error = check_header(data, bytes.size);
    if (error) {
        /* What came damaged is another matter than what was made wrong: it may be sent again. */
        return record_batch_check_crc(bytes) ? error : KAFKA_CORRUPT_MESSAGE;
    }
    return record_batch_parse(bytes, ret_batch) ? KAFKA_CORRUPT_MESSAGE : 0;
}
