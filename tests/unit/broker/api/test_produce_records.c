/* How Produce reads single records; what the reading must agree with is Apache Kafka's. */
#include "codec.h"
#include "produce_records.h"
#include "produce_rewrite.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/varint.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

enum { NOW_MS = 1000000 };

static const struct produce_rules rules = {
    .codec = -1, .now_ms = NOW_MS, .before_ms = INT64_MAX, .after_ms = 1000};

/* ---- records by their bytes ---- */

struct made {
    uint8_t data[512];
    size_t size;
};

static void put(struct made *made, const void *data, size_t size) {
    memcpy(made->data + made->size, data, size);
    made->size += size;
}

static void put_varint(struct made *made, int64_t value) {
    made->size += varint_put_i64(made->data + made->size, value);
}

/* A record with these fields behind its deltas. */
static void put_record(struct made *made, int64_t time_delta, int32_t offset, const char *fields,
                       size_t fields_size) {
    struct made body = {0};

    put(&body, "", 1);
    put_varint(&body, time_delta);
    put_varint(&body, offset);
    put(&body, fields, fields_size);
    put_varint(made, (int64_t)body.size);
    put(made, body.data, body.size);
}

/* Key "k", value "v", no headers. */
#define GOOD "\2k\2v"
#define PUT(made, delta, offset, fields)                                                           \
    put_record(made, delta, offset, fields, sizeof(fields) /* with the zero at its end */)

static struct record_batch batch_of(int32_t count) {
    return (struct record_batch){.record_count = count,
                                 .base_timestamp_ms = NOW_MS,
                                 .max_timestamp_ms = NOW_MS,
                                 .producer_id = -1,
                                 .producer_epoch = -1,
                                 .base_sequence = -1};
}

static int check(const struct made *made, int32_t count, bool skips) {
    struct record_batch batch = batch_of(count);
    struct produce_report report;
    int r = produce_records_check(&rules, &batch, span_of(made->data, made->size), skips, &report);

    produce_report_deinit(&report);
    return r;
}

/* ---- what fits and what does not ---- */

static void test_produce_records__are_read_in_two_ways_as_kafka_does_G34(void **state) {
    static const struct {
        const char *what;
        const char *bytes;
        size_t size;
        int whole, skipped; /* results of the two ways */
    } rows[] = {
#define ROW(what, bytes, whole, skipped) {what, bytes, sizeof(bytes) - 1, whole, skipped}
        ROW("a good one", "\x10\0\0\0\2k\2v\0", 0, 0),
        ROW("null key and value", "\x0c\0\0\0\1\1\0", 0, 0),
        ROW("key of -5", "\x0e\0\0\0\x09\2v\0", 0, 0),
        ROW("value of -5", "\x0e\0\0\0\2k\x09\0", 0, 0),
        ROW("a long varint", "\x18\0\0\0\x82\x80\x80\x80\0k\2v\0", 0, 0),
        ROW("a varint of 35 bits", "\x18\0\0\0\x82\x80\x80\x80\x70k\2v\0", 0, 0),
        ROW("a varint of six bytes", "\x1a\0\0\0\x82\x80\x80\x80\x80\0k\2v\0", 87, 87),
        ROW("a header", "\x16\0\0\0\2k\2v\2\2h\0", 0, 0),
        ROW("a header of null", "\x16\0\0\0\2k\2v\2\2h\5", 0, 0),
        ROW("a header without key", "\x14\0\0\0\2k\2v\2\1\0", 87, 87),
        ROW("headers of -1", "\x10\0\0\0\2k\2v\1", 87, 87),
        ROW("a key beyond", "\x10\0\0\0\x64k\2v\0", 87, 87),
        ROW("longer than it says", "\x0e\0\0\0\2k\2v\0", 87, 0),
        ROW("shorter than it says", "\x12\0\0\0\2k\2v\0", 87, 0),
        ROW("a negative length", "\x01\0\0\0\2k\2v\0", 87, 0),
        ROW("a length without end", "\xff\xff\xff\xff\xff\xff", 42, 87),
        ROW("bytes behind it", "\x10\0\0\0\2k\2v\0\0", 87, 87),
        ROW("nothing", "", 87, 87),
#undef ROW
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct made made = {.size = rows[i].size};
        int got[2];

        memcpy(made.data, rows[i].bytes, rows[i].size);
        got[0] = check(&made, 1, false);
        got[1] = check(&made, 1, true);
        for (int way = 0; way < 2; way++) {
            int wanted = way ? rows[i].skipped : rows[i].whole;
            int code = wanted == 87   ? BROKER_E_INVALID_RECORD
                       : wanted == 42 ? BROKER_E_MALFORMED
                                      : 0;

            if (got[way] != code) {
                fail_msg("%s, %s: %d", rows[i].what, way ? "skipped" : "whole", got[way]);
            }
        }
    }
}

static uint64_t test_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* ---- the quick way and the way of all records ---- */

/* A varint, one byte at a time. False: it does not end before @end, or in @bytes_max bytes. */
static bool plain_varint(const uint8_t *data, size_t end, size_t *at, unsigned bytes_max,
                         int64_t *ret_value) {
    uint64_t raw = 0;
    for (unsigned i = 0; i < bytes_max && *at < end; i++) {
        uint8_t byte = data[(*at)++];
        raw |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            raw = bytes_max == 5 ? (uint32_t)raw : raw;
            *ret_value = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
            return true;
        }
    }
    return false;
}

static bool plain_skip(const uint8_t *data, size_t end, size_t *at, int64_t *ret_bytes) {
    if (!plain_varint(data, end, at, 5, ret_bytes)) {
        return false;
    }
    size_t bytes = *ret_bytes > 0 ? (size_t)*ret_bytes : 0;
    if (bytes > end - *at) {
        return false;
    }
    *at += bytes;
    return true;
}

/* What there is to know of a record with at most one header; false: it is not a right one. */
static bool plain_read(const uint8_t *data, size_t size, bool skips, struct produce_record *ret,
                       size_t *ret_end) {
    size_t at = 0, end = size, fields;
    int64_t length, time, offset, key, value, headers, ignored;
    if (!plain_varint(data, end, &at, 5, &length)) {
        return false;
    }
    if (!skips && (length < 0 || (size_t)length > size - at)) {
        return false;
    }
    end = skips ? size : at + (size_t)length;
    if (at++ >= end || !plain_varint(data, end, &at, 10, &time) ||
        !plain_varint(data, end, &at, 5, &offset)) {
        return false;
    }
    fields = at;
    if (!plain_skip(data, end, &at, &key) || !plain_skip(data, end, &at, &value) ||
        !plain_varint(data, end, &at, 5, &headers) || headers < 0) {
        return false;
    }
    for (int64_t i = 0; i < headers; i++) {
        if (!plain_skip(data, end, &at, &ignored) || ignored < 0 ||
            !plain_skip(data, end, &at, &ignored)) {
            return false;
        }
    }
    *ret = (struct produce_record){.timestamp_ms = (int64_t)((uint64_t)time + 1000),
                                   .offset = offset,
                                   .key_bytes = (int32_t)key,
                                   .value_bytes = (int32_t)value,
                                   .fields = span_of(data + fields, at - fields)};
    *ret_end = at;
    return skips || at == end;
}

static size_t put_some_varint(uint8_t *out, uint64_t *seed, int64_t value) {
    size_t n = varint_put_i64(out, value);
    if (test_random(seed) % 16 == 0) { /* longer than it need be */
        out[n - 1] |= 0x80;
        out[n++] = 0;
    }
    return n;
}

/* A record, now and then with wrong bytes. */
static size_t put_some_record(uint8_t *out, uint64_t *seed) {
    uint8_t body[700] = {0};
    size_t at = 1, n;
    at += put_some_varint(body + at, seed, (int64_t)(test_random(seed) % 300) - 10);
    at += put_some_varint(body + at, seed, (int64_t)(test_random(seed) % 200) - 2);
    for (unsigned i = 0; i < 2; i++) {
        int64_t bytes =
            (int64_t)(test_random(seed) % 4 ? test_random(seed) % 5 : test_random(seed) % 150) - 1;
        at += put_some_varint(body + at, seed, bytes);
        at += bytes > 0 ? (size_t)bytes : 0;
    }
    bool header = test_random(seed) % 8 == 0;
    at += put_some_varint(body + at, seed, header);
    if (header) {
        at += put_some_varint(body + at, seed, 2) + 2;
        at += put_some_varint(body + at, seed, -1);
    }
    if (test_random(seed) % 3 == 0) {
        body[test_random(seed) % at] = (uint8_t)test_random(seed);
    }
    n = put_some_varint(out, seed, (int64_t)at + (test_random(seed) % 16 ? 0 : 1));
    memcpy(out + n, body, at);
    return n + at;
}

static void test_produce_records__are_read_alike_the_quick_way_and_the_plain_one(void **state) {
    uint64_t seed = 7;
    unsigned right = 0, wrong = 0;
    for (unsigned i = 0; i < 60000; i++) {
        uint8_t made[720];
        size_t size = put_some_record(made, &seed), end = 0;
        size -= test_random(&seed) % 16 ? 0 : test_random(&seed) % size;
        uint8_t *data = malloc(size); /* of this size, so that a sanitizer sees its end */
        memcpy(data, made, size);
        struct record_batch batch = {.record_count = 1, .base_timestamp_ms = 1000};
        struct produce_record record, plain;
        bool skips = i % 2;
        struct produce_reader reader = {
            .batch = &batch, .records = span_of(data, size), .skips = skips};
        bool holds = plain_read(data, size, skips, &plain, &end);
        assert_int_equal(produce_reader_next(&reader, &record) == 1, holds);
        right += holds;
        wrong += !holds;
        if (holds) {
            assert_int_equal(reader.at, end);
            assert_int_equal(record.timestamp_ms, plain.timestamp_ms);
            assert_int_equal(record.offset, plain.offset);
            assert_int_equal(record.key_bytes, plain.key_bytes);
            assert_int_equal(record.value_bytes, plain.value_bytes);
            assert_ptr_equal(record.fields.data, plain.fields.data);
            assert_int_equal(record.fields.size, plain.fields.size);
        }
        free(data);
    }
    assert_in_range(right, 30000, 55000);
    assert_in_range(wrong, 5000, 30000);
}

static void test_produce_records__are_as_many_as_the_header_says(void **state) {
    struct made made = {0};

    PUT(&made, 0, 0, GOOD);
    PUT(&made, 0, 1, GOOD);
    assert_int_equal(check(&made, 2, false), 0);
    assert_int_equal(check(&made, 1, false), BROKER_E_INVALID_RECORD);
    assert_int_equal(check(&made, 3, false), BROKER_E_INVALID_RECORD);
    assert_int_equal(check(&made, 1, true), BROKER_E_INVALID_RECORD);
    assert_int_equal(check(&made, 3, true), BROKER_E_INVALID_RECORD);
}

/* Of a stream that breaks off it matters whether the records ended there or were wrong before. */
static void test_produce_records__tell_whether_their_bytes_ran_out(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        bool whole, skipped;
    } rows[] = {
#define ROW(bytes, whole, skipped) {bytes, sizeof(bytes) - 1, whole, skipped}
        ROW("", true, true),
        ROW("\x10\0\0\0\2k\2", true, true),
        ROW("\x10\0\0\0\2k", true, true),
        ROW("\xff\xff", true, true),
        ROW("\x10\0\0\0\2k\2v\1", false, false),     /* headers of -1 */
        ROW("\x10\0\0\0\x64k\2v\0", false, true),    /* a key beyond its record, or the end */
        ROW("\x0e\0\0\0\2k\2v\0", false, false),     /* a record beyond its length */
        ROW("\x10\0\0\0\2k\2v\2\1\0", false, false), /* bytes behind the last record */
#undef ROW
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct record_batch batch = batch_of(1);
        struct span bytes = span_of(rows[i].bytes, rows[i].size);
        struct produce_report report;

        produce_records_check(&rules, &batch, bytes, false, &report);
        if (report.ran_out != rows[i].whole) {
            fail_msg("row %zu, whole", i);
        }
        produce_records_check(&rules, &batch, bytes, true, &report);
        if (report.ran_out != rows[i].skipped) {
            fail_msg("row %zu, skipped", i);
        }
    }
}

static void test_produce_records__report_what_the_header_should_say(void **state) {
    struct record_batch batch = batch_of(3);
    struct produce_report report;
    struct made made = {0};

    PUT(&made, 0, 0, GOOD);
    PUT(&made, 7, 1, GOOD);
    PUT(&made, -NOW_MS - 2, 2, GOOD);
    assert_int_equal(
        produce_records_check(&rules, &batch, span_of(made.data, made.size), false, &report), 0);
    assert_int_equal(report.max_timestamp_ms, NOW_MS + 7);
    assert_true(report.negative && report.in_order && report.count == 0);
    produce_report_deinit(&report);

    made.size = 0;
    PUT(&made, 0, 0, GOOD);
    PUT(&made, 0, 0, GOOD);
    batch.record_count = 2;
    batch.base_timestamp_ms = -5;
    assert_int_equal(
        produce_records_check(&rules, &batch, span_of(made.data, made.size), false, &report), 0);
    assert_int_equal(report.max_timestamp_ms, -1);
    assert_true(report.negative && !report.in_order);
    produce_report_deinit(&report);
}

/* ---- the rules ---- */

static void test_produce_time_is_off__counts_as_java_does(void **state) {
    struct produce_rules limits = {.now_ms = NOW_MS, .before_ms = 500, .after_ms = 1000};

    assert_false(produce_time_is_off(&limits, NOW_MS - 500));
    assert_true(produce_time_is_off(&limits, NOW_MS - 501));
    assert_false(produce_time_is_off(&limits, NOW_MS + 1000));
    assert_true(produce_time_is_off(&limits, NOW_MS + 1001));
    /* Without a limit for the past only what is further away than a number can tell. */
    assert_false(produce_time_is_off(&rules, 0));
    assert_false(produce_time_is_off(&rules, -5));
    assert_true(produce_time_is_off(&rules, INT64_MIN));
    assert_true(produce_time_is_off(&rules, INT64_MIN + 5));
}

static struct produce_report report_of(const struct produce_rules *of, struct record_batch *batch,
                                       const struct made *made) {
    struct produce_report report;

    assert_int_equal(
        produce_records_check(of, batch, span_of(made->data, made->size), false, &report), 0);
    return report;
}

static void test_produce_records__name_each_fault_by_its_kind(void **state) {
    struct produce_rules compacted = rules;
    struct record_batch batch = batch_of(3);
    struct produce_report report;
    struct made made = {0};

    PUT(&made, 0, 0, "\1\2v"); /* no key */
    PUT(&made, 0, 1, GOOD);
    PUT(&made, 5000, 4, "\1\1"); /* no key, and late: the key is told */
    compacted.keys = true;
    report = report_of(&compacted, &batch, &made);
    assert_int_equal(report.count, 2);
    assert_false(report.late);
    assert_int_equal(report.faults[0].kind, PRODUCE_FAULT_KEY);
    assert_int_equal(report.faults[1].index, 2);
    produce_report_deinit(&report);

    report = report_of(&rules, &batch, &made);
    assert_int_equal(report.count, 1);
    assert_true(report.late);
    assert_int_equal(report.faults[0].kind, PRODUCE_FAULT_TIME);
    assert_int_equal(report.faults[0].offset, 4);
    assert_int_equal(report.faults[0].timestamp_ms, NOW_MS + 5000);
    produce_report_deinit(&report);
}

/* With CreateTime a client that claims LogAppendTime is only put right; with LogAppendTime, or
 * without any time, it is refused. */
static void test_produce_records__know_who_claims_the_brokers_time(void **state) {
    struct produce_rules stamped = rules;
    struct record_batch batch = batch_of(1);
    struct produce_report report;
    struct made made = {0};

    PUT(&made, 99999, 0, GOOD); /* which does not count: the header's largest is that of all */
    batch.attributes = RECORD_BATCH_LOG_APPEND_TIME;
    report = report_of(&rules, &batch, &made);
    assert_int_equal(report.count, 0);
    assert_int_equal(report.max_timestamp_ms, NOW_MS);
    stamped.append_time = true;
    report = report_of(&stamped, &batch, &made);
    assert_int_equal(report.count, 1);
    assert_int_equal(report.faults[0].kind, PRODUCE_FAULT_TIME_TYPE);
    produce_report_deinit(&report);
    batch.max_timestamp_ms = -1;
    report = report_of(&rules, &batch, &made);
    assert_int_equal(report.faults[0].kind, PRODUCE_FAULT_TIME_TYPE);
    produce_report_deinit(&report);
}

static void test_produce_records__keep_no_more_faults_than_there_is_room(void **state) {
    struct produce_rules compacted = rules;
    struct record_batch batch = batch_of(PRODUCE_FAULTS_MAX + 5);
    static uint8_t bytes[(PRODUCE_FAULTS_MAX + 5) * 7];
    struct produce_report report;

    for (size_t i = 0; i < sizeof bytes; i += 7) {
        memcpy(bytes + i, "\x0c\0\0\0\1\1\0", 7);
    }
    compacted.keys = true;
    assert_int_equal(
        produce_records_check(&compacted, &batch, span_of(bytes, sizeof bytes), false, &report), 0);
    assert_int_equal(report.count, PRODUCE_FAULTS_MAX + 5);
    assert_int_equal(report.kept, PRODUCE_FAULTS_MAX);
    assert_int_equal(report.faults[PRODUCE_FAULTS_MAX - 1].index, PRODUCE_FAULTS_MAX - 1);
    produce_report_deinit(&report);
}

/* ---- a batch made anew ---- */

static int rewrite(struct record_batch *batch, const struct made *made, struct buf **ret_batch) {
    static const uint8_t header[RECORD_BATCH_HEADER_BYTES] = {
        [16] = 2, [22] = 0xf1, [26] = 1, [43] = 0xff, [60] = 2};
    struct produce_rules plain = rules;
    struct produce_report report = report_of(&rules, batch, made);
    int r;

    plain.codec = RECORD_CODEC_NONE;
    r = produce_rewrite(&plain, batch, header, span_of(made->data, made->size), &report, ret_batch);
    produce_report_deinit(&report);
    return r;
}

static void test_produce_rewrite__gives_records_their_usual_form(void **state) {
    struct record_batch batch = batch_of(2);
    struct record_batch again;
    struct buf *buf = NULL;
    struct made made = {0};
    struct made wanted = {0};

    batch.attributes = RECORD_BATCH_TRANSACTIONAL | 0x40;
    batch.producer_id = 1;
    batch.producer_epoch = 0;
    batch.base_sequence = 0;
    /* Nulls of -5 and -4, and a varint that is longer than it need be. */
    put_record(&made, 100, 5, "\x09\x82\x80\x80\x80\x70v\2\2h\7", 11);
    PUT(&made, 90, 5, GOOD);
    put_record(&wanted, 0, 0, "\1\2v\2\2h\1", 7);
    PUT(&wanted, -10, 1, GOOD);
    assert_int_equal(rewrite(&batch, &made, &buf), 0);
    assert_int_equal(buf->size, RECORD_BATCH_HEADER_BYTES + wanted.size);
    assert_memory_equal(buf->data + RECORD_BATCH_HEADER_BYTES, wanted.data, wanted.size);
    assert_true(record_batch_check_crc(span_of(buf->data, buf->size)));
    assert_int_equal(record_batch_parse(span_of(buf->data, buf->size), &again), 0);
    assert_int_equal(again.attributes, RECORD_BATCH_TRANSACTIONAL);
    assert_int_equal(again.base_timestamp_ms, NOW_MS + 100);
    assert_int_equal(again.max_timestamp_ms, NOW_MS + 100);
    buf_unref(buf);
}

static void test_produce_rewrite__makes_keys_of_headers_utf8_as_kafka_does(void **state) {
    struct record_batch batch = batch_of(1);
    struct buf *buf = NULL;
    struct made made = {0};
    struct made wanted = {0};

    /* Three keys: two strange bytes and a letter, one that is good, one that ends in a letter. */
    put_record(&made, 0, 0,
               "\1\2v\6\6\xff\xfe"
               "a\2x\4\xc3\xa9\1\4\xe2\x82\0",
               18);
    put_record(&wanted, 0, 0,
               "\1\2v\6\x0e\xef\xbf\xbd\xef\xbf\xbd"
               "a\2x\4\xc3\xa9\1\6\xef\xbf\xbd\0",
               23);
    assert_int_equal(rewrite(&batch, &made, &buf), 0);
    assert_int_equal(buf->size, RECORD_BATCH_HEADER_BYTES + wanted.size);
    assert_memory_equal(buf->data + RECORD_BATCH_HEADER_BYTES, wanted.data, wanted.size);
    assert_true(record_batch_check_crc(span_of(buf->data, buf->size)));
    buf_unref(buf);
}

static void test_produce_rewrite__keeps_timestamps_further_apart_than_a_number_holds(void **state) {
    struct record_batch batch = batch_of(2);
    struct record_iterator it;
    struct record record;
    struct buf *buf = NULL;
    struct made made = {0};

    PUT(&made, -1 - NOW_MS, 0, GOOD);
    PUT(&made, INT64_MAX - NOW_MS, 1, GOOD);
    assert_int_equal(rewrite(&batch, &made, &buf), 0);
    assert_int_equal(record_iterator_init(&it, span_of(buf->data, buf->size)), 0);
    assert_int_equal(record_iterator_next(&it, &record), 1);
    assert_int_equal(record.timestamp_ms, -1);
    assert_int_equal(record_iterator_next(&it, &record), 1);
    assert_int_equal(record.timestamp_ms, INT64_MAX);
    record_iterator_deinit(&it);
    buf_unref(buf);
}

static void test_produce_rewrite__refuses_what_no_batch_of_kafkas_can_be(void **state) {
    struct record_batch batch = batch_of(1);
    struct buf *buf = NULL;
    struct made made = {0};

    PUT(&made, -NOW_MS - 5, 0, GOOD);
    assert_int_equal(rewrite(&batch, &made, &buf), BROKER_E_INVALID_RECORD);
    made.size = 0;
    PUT(&made, 0, 0, GOOD);
    batch.attributes = RECORD_BATCH_TRANSACTIONAL;
    assert_int_equal(rewrite(&batch, &made, &buf), BROKER_E_INVALID_RECORD);
    batch.attributes = 0;
    batch.producer_id = 5;
    assert_int_equal(rewrite(&batch, &made, &buf), BROKER_E_INVALID_RECORD);
    batch.producer_epoch = 0;
    assert_int_equal(rewrite(&batch, &made, &buf), BROKER_E_INVALID_RECORD);
    assert_null(buf);
    batch.base_sequence = 0;
    assert_int_equal(rewrite(&batch, &made, &buf), 0);
    buf_unref(buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_produce_records__are_read_in_two_ways_as_kafka_does_G34),
        cmocka_unit_test(test_produce_records__are_read_alike_the_quick_way_and_the_plain_one),
        cmocka_unit_test(test_produce_records__are_as_many_as_the_header_says),
        cmocka_unit_test(test_produce_records__tell_whether_their_bytes_ran_out),
        cmocka_unit_test(test_produce_records__report_what_the_header_should_say),
        cmocka_unit_test(test_produce_time_is_off__counts_as_java_does),
        cmocka_unit_test(test_produce_records__name_each_fault_by_its_kind),
        cmocka_unit_test(test_produce_records__know_who_claims_the_brokers_time),
        cmocka_unit_test(test_produce_records__keep_no_more_faults_than_there_is_room),
        cmocka_unit_test(test_produce_rewrite__gives_records_their_usual_form),
        cmocka_unit_test(test_produce_rewrite__makes_keys_of_headers_utf8_as_kafka_does),
        cmocka_unit_test(test_produce_rewrite__keeps_timestamps_further_apart_than_a_number_holds),
        cmocka_unit_test(test_produce_rewrite__refuses_what_no_batch_of_kafkas_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
