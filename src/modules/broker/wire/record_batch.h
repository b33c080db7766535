/*
 * Record batch v2 (magic 2), the handwritten exception of the wire layer: header fields in place,
 * checks on produce, an iterator over records, a builder for our own records.
 *
 * Source: Kafka protocol guide, "Record Batch"; KIP-98.
 */
#pragma once

#include <eventbox/base/buf.h>
#include <eventbox/base/error.h>
#include <eventbox/base/text.h>

/* Where the fields of the header stand, for those who read or change one in place. */
enum {
    RECORD_BATCH_AT_BASE_OFFSET = 0,
    RECORD_BATCH_AT_LENGTH = 8,
    RECORD_BATCH_AT_LEADER_EPOCH = 12,
    RECORD_BATCH_AT_MAGIC = 16,
    RECORD_BATCH_AT_CRC = 17,
    RECORD_BATCH_AT_ATTRIBUTES = 21, /* the checksum covers what begins here */
    RECORD_BATCH_AT_LAST_OFFSET_DELTA = 23,
    RECORD_BATCH_AT_BASE_TIMESTAMP = 27,
    RECORD_BATCH_AT_MAX_TIMESTAMP = 35,
    RECORD_BATCH_AT_PRODUCER_ID = 43,
    RECORD_BATCH_AT_PRODUCER_EPOCH = 51,
    RECORD_BATCH_AT_BASE_SEQUENCE = 53,
    RECORD_BATCH_AT_RECORD_COUNT = 57,
    RECORD_BATCH_HEADER_BYTES = 61,
};

enum {
    RECORD_BATCH_MAGIC = 2,
    RECORD_BATCH_OVERHEAD_BYTES = 12, /* baseOffset and batchLength, not counted in batchLength */
    RECORD_BATCH_CODEC_MASK = 7,
    RECORD_BATCH_LOG_APPEND_TIME = 8,
    RECORD_BATCH_TRANSACTIONAL = 16,
    RECORD_BATCH_CONTROL = 32,
    RECORD_BATCH_DELETE_HORIZON = 64, /* the base timestamp is when tombstones may go (KIP-534) */
};

struct record_batch {
    int64_t base_offset;
    int32_t length; /* bytes after the length field */
    int32_t leader_epoch;
    uint32_t crc;
    int16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms, max_timestamp_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
    struct span records; /* compressed when the codec says so */
    size_t total_bytes;  /* header and records: length + 12 */
};

/**
 * record_batch_parse() - read the header of the batch at the start of @data
 * Return: 0; BROKER_E_CORRUPT for a wrong magic, a length below the header or beyond @data, counts
 * that contradict.
 */
int record_batch_parse(struct span data, struct record_batch *ret_batch);
/** record_batch_check_crc() - true when the CRC-32C over attributes..end matches */
bool record_batch_check_crc(struct span batch);
/** record_batch_assign() - write base offset and leader epoch in place (both outside the CRC) */
void record_batch_assign(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);
/** record_batch_set_append_time() - LogAppendTime: attribute bit 3, max timestamp, new CRC */
void record_batch_set_append_time(uint8_t *batch, size_t total_bytes, int64_t timestamp_ms);
/** record_batch_has_create_time() - CreateTime, and this is its largest timestamp */
bool record_batch_has_create_time(const uint8_t *batch, int64_t max_timestamp_ms);
/** record_batch_set_create_time() - the same for CreateTime as record_batch_set_append_time() */
void record_batch_set_create_time(uint8_t *batch, size_t total_bytes, int64_t max_timestamp_ms);

/** record_batch_end() - the offset behind its last record */
static inline int64_t record_batch_end(const struct record_batch *batch) {
    return batch->base_offset + batch->last_offset_delta + 1;
}

/** record_timestamp() - a record's own timestamp; whatever a header claims, it wraps as in Java */
static inline int64_t record_timestamp(int64_t base_ms, int64_t delta_ms) {
    return (int64_t)((uint64_t)base_ms + (uint64_t)delta_ms);
}
/** record_timestamp_delta() - what record_timestamp() gives @timestamp_ms back for */
static inline int64_t record_timestamp_delta(int64_t base_ms, int64_t timestamp_ms) {
    return (int64_t)((uint64_t)timestamp_ms - (uint64_t)base_ms);
}

struct record_header {
    struct span key, value; /* value.data NULL: null */
};
struct record {
    int64_t offset;
    int64_t timestamp_ms;
    struct span key, value; /* data NULL: null */
    const uint8_t *headers; /* encoded; walk with record_header_next() */
    size_t headers_size;
    int32_t header_count;
};

/* Iterates over the records of a batch; compressed ones are inflated first (codec.h, with limits).
 */
struct record_iterator {
    struct record_batch batch;
    struct span records; /* plain */
    size_t position;
    int32_t index;
    struct buf *inflated;
};
int record_iterator_init(struct record_iterator *it, struct span batch);
/** record_iterator_next() - 1 with *ret_record, 0 at the end, BROKER_E_CORRUPT */
int record_iterator_next(struct record_iterator *it, struct record *ret_record);
void record_iterator_deinit(struct record_iterator *it);
/**
 * record_batches_each() - call @each with every record of @batches, which are whole ones
 * @offset: becomes the end of each batch, also of one whose records end in a mistake
 * Return: 0; BROKER_E_CORRUPT and others as of the iterator.
 */
int record_batches_each(struct span batches, void (*each)(void *userdata, const struct record *),
                        void *userdata, int64_t *offset);
/** record_header_next() - 1 with *ret_header, 0 at the end, BROKER_E_CORRUPT; *position starts at 0
 */
int record_header_next(const struct record *record, size_t *position,
                       struct record_header *ret_header);

/* Builds one uncompressed batch of our own records. */
struct record_batch_builder {
    struct text text;
    int32_t count;
    int64_t base_timestamp_ms, max_timestamp_ms;
};
void record_batch_builder_init(struct record_batch_builder *builder);
void record_batch_builder_add(struct record_batch_builder *builder, int64_t timestamp_ms,
                              struct span key, struct span value,
                              const struct record_header *headers, size_t header_count);
/** record_batch_builder_finish() - the batch with base offset 0 and no producer; NULL without
 * memory; builder is empty afterwards */
struct buf *record_batch_builder_finish(struct record_batch_builder *builder, int16_t attributes);
void record_batch_builder_deinit(struct record_batch_builder *builder);
