#include "produce_records.h"

#include "java_text.h"

#include <eventbox/base/utf8.h>
#include <eventbox/base/varint.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NO_TIMESTAMP = -1, FAULTS_AT_FIRST = 16 };

/* ---- varints, as Java reads them: what is too much for the type is shifted out ---- */

/* A cursor over varints; failed for good once something did not fit. */
struct fields {
    const uint8_t *at;
    size_t left;
    bool failed;
    bool endless; /* failed at a varint that is longer than any */
    bool ran_out; /* failed for want of bytes */
};

static void skip(struct fields *in, size_t size) {
    if (size > in->left) {
        in->ran_out |= !in->failed;
        in->failed = true;
        size = in->left;
    }
    in->at += size;
    in->left -= size;
}

static uint64_t take_long_varint(struct fields *in, unsigned bytes_max) {
    uint64_t value = 0;
    unsigned i;

    for (i = 0; i < bytes_max && i < in->left; i++) {
        value |= (uint64_t)(in->at[i] & 0x7f) << (7 * i);
        if (in->at[i] < 0x80) {
            skip(in, i + 1);
            return value;
        }
    }
    in->endless |= !in->failed && i == bytes_max;
    in->ran_out |= !in->failed && i < bytes_max;
    in->failed = true;
    return 0;
}

/* The usual ones have one or two bytes: a record has seven, and there are millions of records. */
static int32_t take_i32(struct fields *in) {
    uint32_t raw;

    if (in->left >= 2 && !(in->at[0] & in->at[1] & 0x80)) {
        bool longer = in->at[0] & 0x80;

        raw = (in->at[0] & 0x7fu) | (longer ? (uint32_t)in->at[1] << 7 : 0);
        in->at += 1 + longer;
        in->left -= 1u + longer;
    } else {
        raw = (uint32_t)take_long_varint(in, 5);
    }
    return (int32_t)(raw >> 1) ^ -(int32_t)(raw & 1);
}

static int64_t take_i64(struct fields *in) {
    uint64_t raw;

    if (in->left > 0 && in->at[0] < 0x80) {
        raw = in->at[0];
        skip(in, 1);
    } else {
        raw = take_long_varint(in, 10);
    }
    return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

/* Bytes behind their length, which is returned; any negative one means null. */
static int32_t skip_bytes(struct fields *in) {
    int32_t size = take_i32(in);

    skip(in, size > 0 ? (size_t)size : 0);
    return size;
}

/* ---- one record ---- */

static void take_record(struct fields *in, const struct record_batch *batch,
                        struct produce_record *ret) {
    int32_t headers;

    skip(in, 1); /* attributes, of which no bit is in use */
    ret->timestamp_ms = record_timestamp(batch->base_timestamp_ms, take_i64(in));
    ret->offset = take_i32(in);
    ret->fields.data = in->at;
    ret->key_bytes = skip_bytes(in);
    ret->value_bytes = skip_bytes(in);
    headers = take_i32(in);
    in->failed |= headers < 0;
    for (int32_t i = 0; i < headers && !in->failed; i++) {
        in->failed |= skip_bytes(in) < 0; /* its key */
        (void)skip_bytes(in);
    }
    ret->fields.size = (size_t)(in->at - (const uint8_t *)ret->fields.data);
    if (batch->attributes & RECORD_BATCH_LOG_APPEND_TIME) {
        ret->timestamp_ms = batch->max_timestamp_ms;
    }
}

enum { FRONT_BYTES = 7, BACK_BYTES = 3 }; /* attributes to the key's length; the rest but value */

/* A varint of one or two bytes; @odd when it has more. */
static inline size_t take_short(const uint8_t *data, size_t at, uint32_t *ret_raw, uint32_t *odd) {
    uint32_t raw = data[at++];

    if (raw & 0x80) {
        uint32_t high = data[at++];

        *odd |= high & 0x80;
        raw = (raw & 0x7f) | high << 7;
    }
    *ret_raw = raw;
    return at;
}

static inline int32_t unzigzag(uint32_t raw) {
    return (int32_t)(raw >> 1) ^ -(int32_t)(raw & 1);
}

/*
 * Nearly every record: short varints, no headers, and fields that fill its length, so that both
 * ways of reading see the same in it. Return: its bytes; 0 for any other, which is for take_record.
 */
static size_t take_usual(const uint8_t *data, size_t left, const struct record_batch *batch,
                         struct produce_record *ret) {
    uint32_t length, delta, offset, key, value, odd = 0;
    size_t at, end, fields;

    if (left < 2) {
        return 0;
    }
    at = take_short(data, 0, &length, &odd);
    end = at + length / 2;
    if (odd || (length & 1) || length / 2 < FRONT_BYTES || end > left) {
        return 0;
    }
    at = take_short(data, at + 1, &delta, &odd);
    at = fields = take_short(data, at, &offset, &odd);
    at = take_short(data, at, &key, &odd);
    at += key & 1 ? 0 : key / 2;
    if (odd || at + BACK_BYTES > end) {
        return 0;
    }
    at = take_short(data, at, &value, &odd);
    at += value & 1 ? 0 : value / 2;
    if (odd || at + 1 != end || data[at] != 0) {
        return 0;
    }
    *ret = (struct produce_record){
        .timestamp_ms = batch->attributes & RECORD_BATCH_LOG_APPEND_TIME
                            ? batch->max_timestamp_ms
                            : record_timestamp(batch->base_timestamp_ms, unzigzag(delta)),
        .offset = unzigzag(offset),
        .key_bytes = unzigzag(key),
        .value_bytes = unzigzag(value),
        .fields = span_of(data + fields, end - fields),
    };
    return end;
}

int produce_reader_next(struct produce_reader *reader, struct produce_record *ret_record) {
    const uint8_t *data = reader->records.data;
    struct fields in = {data + reader->at, reader->records.size - reader->at};
    size_t usual;
    int32_t length;

    if (reader->index == reader->batch->record_count) {
        return in.left == 0 ? 0 : BROKER_E_INVALID_RECORD;
    }
    usual = take_usual(in.at, in.left, reader->batch, ret_record);
    if (usual > 0) {
        reader->ran_out = false;
        reader->at += usual;
        reader->index++;
        return 1;
    }
    length = take_i32(&in);
    if (!reader->skips) {
        if (in.endless) {
            return BROKER_E_MALFORMED;
        }
        reader->ran_out = in.ran_out || (length >= 0 && (size_t)length > in.left);
        if (in.failed || length < 0 || (size_t)length > in.left) {
            return BROKER_E_INVALID_RECORD;
        }
        in.left = (size_t)length;
    }
    take_record(&in, reader->batch, ret_record);
    if (in.failed || (!reader->skips && in.left > 0)) {
        reader->ran_out = reader->skips && in.ran_out;
        return BROKER_E_INVALID_RECORD;
    }
    reader->at = (size_t)(in.at - data);
    reader->index++;
    return 1;
}

static uint8_t *copy_bytes(struct fields *in, uint8_t *out) {
    int32_t size = take_i32(in);

    out += varint_put_i64(out, MAX(size, -1));
    if (size > 0) {
        memcpy(out, in->at, (size_t)size);
        skip(in, (size_t)size);
        out += size;
    }
    return out;
}

/* What the next bytes are, which are never null here; @in stays in front of them. */
static struct span peek_bytes(const struct fields *in) {
    struct fields ahead = *in;
    int32_t size = take_i32(&ahead);

    return span_of(ahead.at, (size_t)size);
}

/* Kafka takes the key of a header as text, and writes what it took. */
static uint8_t *copy_text(struct fields *in, uint8_t *out) {
    struct span key = peek_bytes(in);
    char *clean = (char *)out + VARINT_MAX_BYTES;
    size_t size;

    if (utf8_valid(key.data, key.size)) {
        return copy_bytes(in, out);
    }
    /* How long it becomes comes first, so it is written behind the longest length and moved. */
    size = java_text_clean(key.data, key.size, clean);
    out += varint_put_i64(out, (int64_t)size);
    memmove(out, clean, size);
    (void)skip_bytes(in);
    return out + size;
}

size_t produce_fields_room(const struct produce_record *record) {
    struct fields in = {record->fields.data, record->fields.size};
    size_t room = record->fields.size;
    int32_t headers;

    (void)skip_bytes(&in);
    (void)skip_bytes(&in);
    headers = take_i32(&in);
    for (int32_t i = 0; i < headers; i++) {
        struct span key = peek_bytes(&in);

        room += utf8_valid(key.data, key.size) ? 0 : VARINT_MAX_BYTES + 2 * key.size;
        (void)skip_bytes(&in);
        (void)skip_bytes(&in);
    }
    return room;
}

size_t produce_fields_write(const struct produce_record *record, uint8_t *out) {
    struct fields in = {record->fields.data, record->fields.size};
    uint8_t *at = out;
    int32_t headers;

    at = copy_bytes(&in, at); /* the key */
    at = copy_bytes(&in, at); /* the value */
    headers = take_i32(&in);
    at += varint_put_i64(at, headers);
    for (int32_t i = 0; i < headers; i++) {
        at = copy_text(&in, at);
        at = copy_bytes(&in, at);
    }
    return (size_t)(at - out);
}

/* ---- the rules ---- */

bool produce_time_is_off(const struct produce_rules *rules, int64_t timestamp_ms) {
    uint64_t since = (uint64_t)rules->now_ms - (uint64_t)timestamp_ms;

    return (int64_t)since > rules->before_ms || (int64_t)(0 - since) > rules->after_ms;
}

static bool breaks_a_rule(const struct produce_rules *rules, const struct record_batch *batch,
                          const struct produce_record *record, enum produce_fault_kind *ret_kind) {
    if (rules->keys && record->key_bytes < 0) {
        *ret_kind = PRODUCE_FAULT_KEY;
        return true;
    }
    if (!rules->append_time && record->timestamp_ms != NO_TIMESTAMP) {
        *ret_kind = PRODUCE_FAULT_TIME;
        return produce_time_is_off(rules, record->timestamp_ms);
    }
    *ret_kind = PRODUCE_FAULT_TIME_TYPE;
    return batch->attributes & RECORD_BATCH_LOG_APPEND_TIME;
}

static int keep_fault(struct produce_report *report, const struct produce_fault *fault) {
    int32_t n = report->kept;

    report->count++;
    report->late |= fault->kind != PRODUCE_FAULT_KEY;
    if (n == PRODUCE_FAULTS_MAX) {
        return 0;
    }
    if (n == 0 || (n >= FAULTS_AT_FIRST && (n & (n - 1)) == 0)) { /* twice as many each time */
        size_t room = MAX((size_t)n * 2, (size_t)FAULTS_AT_FIRST);
        void *grown = realloc(report->faults, room * sizeof *report->faults);

        if (!grown) {
            return err_origin(-ENOMEM);
        }
        report->faults = grown;
    }
    report->faults[report->kept++] = *fault;
    return 0;
}

int produce_records_check(const struct produce_rules *rules, const struct record_batch *batch,
                          struct span records, bool skips, struct produce_report *ret_report) {
    struct produce_reader reader = {.batch = batch, .records = records, .skips = skips};
    struct produce_report *report = ret_report;
    struct produce_record record;
    enum produce_fault_kind kind;
    int r;

    *report = PRODUCE_REPORT_EMPTY;
    while ((r = produce_reader_next(&reader, &record)) == 1) {
        int32_t index = reader.index - 1;

        report->in_order &= record.offset == index;
        report->negative |= record.timestamp_ms < NO_TIMESTAMP;
        report->max_timestamp_ms = MAX(report->max_timestamp_ms, record.timestamp_ms);
        if (breaks_a_rule(rules, batch, &record, &kind)) {
            struct produce_fault fault = {kind,
                                          index,
                                          record.offset,
                                          record.timestamp_ms,
                                          record.key_bytes,
                                          record.value_bytes};

            r = keep_fault(report, &fault);
            if (r) {
                return r;
            }
        }
    }
    report->ran_out = reader.ran_out;
    return r;
}

void produce_report_deinit(struct produce_report *report) {
    free(report->faults);
    report->faults = NULL;
}
