/*
 * The single records of a batch, read as Apache Kafka reads them: what it would refuse is refused
 * for the same reason, and what it takes is taken, odd as it may be.
 *
 * Kafka reads in two ways. Where it keeps the records in hand, the fields of a record must fill
 * its length exactly. Compressed records that stay as they are it only skips through: there the
 * length of a record is not looked at, and its fields follow one another to the end of the batch.
 * Both take any negative length for null, and any varint of up to five (ten) bytes.
 */
#pragma once

#include "record_batch.h"

/* What a topic demands of the batches that clients send to it. */
struct produce_rules {
    int codec;        /* that they are stored with; -1: as they come */
    bool keys;        /* every record has one: the topic is compacted */
    bool append_time; /* timestamps are those of the append */
    int64_t now_ms;
    int64_t before_ms, after_ms; /* how far from now a timestamp may be */
};

enum produce_fault_kind {
    PRODUCE_FAULT_KEY,       /* none, in a compacted topic */
    PRODUCE_FAULT_TIME,      /* too far from now */
    PRODUCE_FAULT_TIME_TYPE, /* the client claims that the broker gave it */
};

/* One record that breaks a rule. */
struct produce_fault {
    enum produce_fault_kind kind;
    int32_t index;
    int64_t offset, timestamp_ms;
    int32_t key_bytes, value_bytes; /* negative: null */
};

/* More of them are counted, but not kept: a client chooses how many there are. */
enum { PRODUCE_FAULTS_MAX = 1000 };

/* What the records of a batch are like. */
struct produce_report {
    struct produce_fault *faults;
    int32_t kept;             /* of @faults */
    int32_t count;            /* of all faults */
    bool late;                /* some fault is about a time */
    bool in_order;            /* offsets are 0, 1, 2 and so on from the base offset */
    bool ran_out;             /* it failed where the bytes ended */
    bool negative;            /* some timestamp is below -1, which no batch made anew can have */
    int64_t max_timestamp_ms; /* -1: no record has one */
};
#define PRODUCE_REPORT_EMPTY                                                                       \
    (struct produce_report) {                                                                      \
        .in_order = true, .max_timestamp_ms = -1,                                                  \
    }
void produce_report_deinit(struct produce_report *report);

/* One record on the way through a batch. */
struct produce_record {
    int64_t timestamp_ms, offset; /* of the batch's base offset */
    int32_t key_bytes, value_bytes;
    struct span fields; /* from the length of its key to its end, as they came */
};
struct produce_reader {
    const struct record_batch *batch;
    struct span records; /* inflated, where they were compressed */
    bool skips;          /* the second of the two ways */
    size_t at;
    int32_t index;
    bool ran_out; /* it failed where the bytes ended */
};

/**
 * produce_reader_next() - the next record
 * Return: 1; 0 behind the last one, which is where the bytes end; BROKER_E_INVALID_RECORD;
 * BROKER_E_MALFORMED for a length of too many bytes, which is an error of its own where Kafka reads
 * records that are not compressed.
 */
int produce_reader_next(struct produce_reader *reader, struct produce_record *ret_record);

/** produce_fields_room() - bytes that produce_fields_write() may need at the most */
size_t produce_fields_room(const struct produce_record *record);

/**
 * produce_fields_write() - the fields of a record that was read, in their usual form
 * @out: as much room as produce_fields_room() says
 * Null is told by -1, no varint is longer than it need be, and keys of headers are UTF-8, with
 * U+FFFD for what was none. Return: the bytes written.
 */
size_t produce_fields_write(const struct produce_record *record, uint8_t *out);

/** produce_time_is_off() - a timestamp that @rules forbid, by Kafka's arithmetic, which wraps */
bool produce_time_is_off(const struct produce_rules *rules, int64_t timestamp_ms);

/**
 * produce_records_check() - all records of a batch
 * @skips:      they are compressed and stay as they are
 * @ret_report: filled in also where it fails; the caller's to deinit
 *
 * Thread: any. Return: 0, whatever faults there are; BROKER_E_INVALID_RECORD or BROKER_E_MALFORMED
 * for bytes that are not as many records as the header says; -ENOMEM.
 */
int produce_records_check(const struct produce_rules *rules, const struct record_batch *batch,
                          struct span records, bool skips, struct produce_report *ret_report);
