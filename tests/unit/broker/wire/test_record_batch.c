#include "codec.h"
#include "record_batch.h"

#include <eventbox/base/bytes.h>

/* cmocka wants these in front of its header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/*
 * A batch as a client writes it: one record, key "k", value "v", header h=1, at 1700000000000 ms.
 * record_batch.h gives the fields; the varints are zig-zag.
 */
static const uint8_t golden[] = {
    0,    0,    0,    0,    0,    0,    0,    0,    /* base offset */
    0,    0,    0,    62,                           /* length */
    0,    0,    0,    0,                            /* leader epoch */
    2,                                              /* magic */
    0x99, 0x03, 0x9d, 0x83,                         /* crc, filled in by the test */
    0,    0,                                        /* attributes */
    0,    0,    0,    0,                            /* last offset delta */
    0,    0,    0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, /* base timestamp */
    0,    0,    0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, /* max timestamp */
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* producer id */
    0xff, 0xff,                                     /* producer epoch */
    0xff, 0xff, 0xff, 0xff,                         /* base sequence */
    0,    0,    0,    1,                            /* record count */
    24,   0,    0,    0,                            /* length 12, attributes, deltas */
    2,    'k',  2,    'v',                          /* key, value */
    2,    2,    'h',  2,    '1',                    /* one header */
};

static struct buf *build_golden(void) {
    struct record_batch_builder builder;
    struct record_header header = {SPAN_LITERAL("h"), SPAN_LITERAL("1")};

    record_batch_builder_init(&builder);
    record_batch_builder_add(&builder, INT64_C(1700000000000), SPAN_LITERAL("k"), SPAN_LITERAL("v"),
                             &header, 1);
    return record_batch_builder_finish(&builder, 0);
}

static void test_record_batch_builder__writes_the_golden_bytes(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = build_golden();

    assert_non_null(batch);
    assert_int_equal(batch->size, sizeof golden);
    assert_memory_equal(batch->data, golden, 17);
    assert_memory_equal(batch->data + 21, golden + 21, sizeof golden - 21);
    assert_true(record_batch_check_crc(span_of(batch->data, batch->size)));
}

static void test_record_batch_parse__reads_every_field(void **state) {
    _cleanup_(buf_unrefp) struct buf *buf = build_golden();
    struct record_batch batch;

    record_batch_assign(buf->data, 4711, 3);
    assert_int_equal(record_batch_parse(span_of(buf->data, buf->size), &batch), 0);
    assert_int_equal(batch.base_offset, 4711);
    assert_int_equal(batch.leader_epoch, 3);
    assert_int_equal(batch.record_count, 1);
    assert_int_equal(batch.producer_id, -1);
    assert_int_equal(batch.producer_epoch, -1);
    assert_int_equal(batch.base_sequence, -1);
    assert_int_equal(batch.max_timestamp_ms, INT64_C(1700000000000));
    assert_int_equal(batch.total_bytes, buf->size);
    /* Offset and epoch lie outside the CRC. */
    assert_true(record_batch_check_crc(span_of(buf->data, buf->size)));
}

static void test_record_batch_parse__refuses(void **state) {
    static const struct {
        const char *what;
        size_t at;
        uint32_t value;
        size_t bytes;
    } rows[] = {
        {"magic 1", 16, 1, 1},
        {"a length below the header", 8, 48, 4},
        {"a length beyond the data", 8, 64, 4},
        {"a negative length", 8, 0xffffffff, 4},
        {"a negative record count", 57, 0xffffffff, 4},
        {"more records than offsets", 57, 2, 4},
        {"a negative last offset delta", 23, 0xffffffff, 4},
    };
    struct record_batch batch;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(buf_unrefp) struct buf *buf = build_golden();
        uint8_t value[4];

        put_be32(value, rows[i].value);
        memcpy(buf->data + rows[i].at, value + 4 - rows[i].bytes, rows[i].bytes);
        if (record_batch_parse(span_of(buf->data, buf->size), &batch) != BROKER_E_CORRUPT) {
            fail_msg("took %s", rows[i].what);
        }
    }
    for (size_t size = 0; size < sizeof golden; size++) {
        assert_int_equal(record_batch_parse(span_of(golden, size), &batch), BROKER_E_CORRUPT);
    }
}

static void test_record_batch_check_crc__sees_one_flipped_bit(void **state) {
    _cleanup_(buf_unrefp) struct buf *buf = build_golden();

    buf->data[buf->size - 1] ^= 1;
    assert_false(record_batch_check_crc(span_of(buf->data, buf->size)));
}

static void test_record_batch_set_append_time__keeps_the_crc_right(void **state) {
    _cleanup_(buf_unrefp) struct buf *buf = build_golden();
    struct record_iterator it;
    struct record record;

    record_batch_set_append_time(buf->data, buf->size, 42);
    assert_true(record_batch_check_crc(span_of(buf->data, buf->size)));
    assert_int_equal(record_iterator_init(&it, span_of(buf->data, buf->size)), 0);
    assert_int_equal(record_iterator_next(&it, &record), 1);
    assert_int_equal(record.timestamp_ms, 42);
    record_iterator_deinit(&it);
}

static void test_record_batch_set_create_time__takes_back_what_a_client_claims(void **state) {
    _cleanup_(buf_unrefp) struct buf *buf = build_golden();
    struct record_batch batch;

    record_batch_set_append_time(buf->data, buf->size, 42);
    buf->data[22] |= 0x90; /* of a transaction, and a bit that nobody uses */
    assert_false(record_batch_has_create_time(buf->data, 42));
    record_batch_set_create_time(buf->data, buf->size, 43);
    assert_true(record_batch_has_create_time(buf->data, 43));
    assert_false(record_batch_has_create_time(buf->data, 42));
    assert_true(record_batch_check_crc(span_of(buf->data, buf->size)));
    assert_int_equal(record_batch_parse(span_of(buf->data, buf->size), &batch), 0);
    assert_int_equal(batch.attributes, RECORD_BATCH_TRANSACTIONAL);
}

static void test_record_iterator__gives_back_what_was_added(void **state) {
    struct record_header headers[] = {{SPAN_LITERAL("a"), SPAN_NULL},
                                      {SPAN_LITERAL("b"), SPAN_LITERAL("")}};
    struct record_batch_builder builder;
    struct record_iterator it;
    struct record_header header;
    struct record record;
    size_t position = 0;

    record_batch_builder_init(&builder);
    record_batch_builder_add(&builder, 1000, SPAN_NULL, SPAN_LITERAL("first"), NULL, 0);
    record_batch_builder_add(&builder, 500, SPAN_LITERAL("key"), SPAN_NULL, headers, 2);
    _cleanup_(buf_unrefp) struct buf *buf = record_batch_builder_finish(&builder, 0);
    record_batch_assign(buf->data, 7, 0);

    assert_int_equal(record_iterator_init(&it, span_of(buf->data, buf->size)), 0);
    assert_int_equal(it.batch.max_timestamp_ms, 1000);
    assert_int_equal(record_iterator_next(&it, &record), 1);
    assert_int_equal(record.offset, 7);
    assert_int_equal(record.timestamp_ms, 1000);
    assert_null(record.key.data);
    assert_true(span_equal(record.value, SPAN_LITERAL("first")));
    assert_int_equal(record.header_count, 0);

    assert_int_equal(record_iterator_next(&it, &record), 1);
    assert_int_equal(record.offset, 8);
    assert_int_equal(record.timestamp_ms, 500);
    assert_true(span_equal(record.key, SPAN_LITERAL("key")));
    assert_null(record.value.data);
    assert_int_equal(record.header_count, 2);
    assert_int_equal(record_header_next(&record, &position, &header), 1);
    assert_true(span_equal(header.key, SPAN_LITERAL("a")));
    assert_null(header.value.data);
    assert_int_equal(record_header_next(&record, &position, &header), 1);
    assert_non_null(header.value.data);
    assert_int_equal(record_header_next(&record, &position, &header), 0);

    assert_int_equal(record_iterator_next(&it, &record), 0);
    record_iterator_deinit(&it);
}

static void
test_record_batch_builder__keeps_timestamps_further_apart_than_a_number_holds(void **state) {
    static const int64_t times_ms[] = {INT64_MIN, INT64_MAX, 0, INT64_MIN + 1, -1};
    struct record_batch_builder builder;
    struct record_iterator it;
    struct record record;

    record_batch_builder_init(&builder);
    for (size_t i = 0; i < ARRAY_SIZE(times_ms); i++) {
        record_batch_builder_add(&builder, times_ms[i], SPAN_NULL, SPAN_NULL, NULL, 0);
    }
    _cleanup_(buf_unrefp) struct buf *buf = record_batch_builder_finish(&builder, 0);
    assert_int_equal(record_iterator_init(&it, span_of(buf->data, buf->size)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(times_ms); i++) {
        assert_int_equal(record_iterator_next(&it, &record), 1);
        assert_int_equal(record.timestamp_ms, times_ms[i]);
    }
    record_iterator_deinit(&it);
}

struct heard {
    unsigned count;
    int64_t last_offset;
};

static void on_record(void *userdata, const struct record *record) {
    struct heard *heard = userdata;
    heard->count++;
    heard->last_offset = record->offset;
}

/* Three batches, of 1, 2 and 3 records, with offsets missing between them as after a compaction. */
static void test_record_batches_each__passes_all_records_and_tells_where_it_is(void **state) {
    uint8_t bytes[1000];
    size_t size = 0, ends[3];
    for (unsigned i = 0; i < 3; i++) {
        struct record_batch_builder builder;
        record_batch_builder_init(&builder);
        for (unsigned n = 0; n <= i; n++) {
            record_batch_builder_add(&builder, 1, SPAN_LITERAL("k"), SPAN_LITERAL("v"), NULL, 0);
        }
        _cleanup_(buf_unrefp) struct buf *buf = record_batch_builder_finish(&builder, 0);
        record_batch_assign(buf->data, 10 * (int64_t)i, 0);
        assert_in_range(size + buf->size, 0, sizeof bytes);
        memcpy(bytes + size, buf->data, buf->size);
        size += buf->size;
        ends[i] = size;
    }
    struct heard heard = {0};
    int64_t offset = -1;
    assert_int_equal(record_batches_each(span_of(bytes, size), on_record, &heard, &offset), 0);
    assert_int_equal(heard.count, 6);
    assert_int_equal(heard.last_offset, 22);
    assert_int_equal(offset, 23);

    /* The last record of the second batch is none: what is before it has been heard. */
    heard = (struct heard){0};
    bytes[ends[1] - 1] = 2; /* says that there is a header, and is the last byte */
    assert_int_equal(record_batches_each(span_of(bytes, size), on_record, &heard, &offset),
                     BROKER_E_CORRUPT);
    assert_int_equal(heard.count, 2);
    assert_int_equal(offset, 12);

    /* No batch at all behind the first: the offset is where it was to go on. */
    heard = (struct heard){0};
    assert_int_equal(record_batches_each(span_of(bytes, ends[0] + 10), on_record, &heard, &offset),
                     BROKER_E_CORRUPT);
    assert_int_equal(heard.count, 1);
    assert_int_equal(offset, 1);
}

static void test_record_iterator__survives_any_flipped_byte(void **state) {
    for (size_t at = 0; at < sizeof golden; at++) {
        for (unsigned value = 0; value < 256; value += 17) {
            _cleanup_(buf_unrefp) struct buf *buf = build_golden();
            struct record_iterator it;
            struct record record;
            int r;

            buf->data[at] = (uint8_t)value;
            if (record_iterator_init(&it, span_of(buf->data, buf->size)) != 0) {
                continue;
            }
            while ((r = record_iterator_next(&it, &record)) == 1) {
                struct record_header header;
                size_t position = 0;

                while (record_header_next(&record, &position, &header) == 1) {
                }
            }
            assert_true(r == 0 || r == BROKER_E_CORRUPT);
            record_iterator_deinit(&it);
        }
    }
}

/* "hello hello hello hello" by each compressor; the xerial form has the blocks' frame around it. */
static const char plain[] = "hello hello hello hello";
static const uint8_t by_gzip[] = {0x1f, 0x8b, 0x08, 0,    0,    0,    0,    0,    0x02, 0x03,
                                  0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57, 0xc8, 0x40, 0x27, 0x01,
                                  0xe3, 0x51, 0x3d, 0x8d, 0x17, 0,    0,    0};
static const uint8_t by_lz4[] = {
    0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7, 0x0f, 0,   0, 0, 0x68, 'h', 'e',  'l',  'l',  'o',
    ' ',  6,    0,    0x50, 'h',  'e',  'l',  'l',  'o', 0, 0, 0,    0,   0xf2, 0x6b, 0x94, 0x0b};
static const uint8_t by_zstd[] = {0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x65, 0,    0,
                                  0x30, 'h',  'e',  'l',  'l',  'o',  ' ',  0x01, 0,
                                  0x99, 0x4b, 0x11, 0x17, 0x5e, 0xae, 0x0d};
static const uint8_t by_snappy[] = {23, 0x14, 'h', 'e', 'l', 'l', 'o', ' ', 0x42, 6, 0};
static const uint8_t by_xerial[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y',  0, 0,  0,  0,
                                    1,    0,   0,   0,   1,   0,   0,    0, 11, 23, 0x14,
                                    'h',  'e', 'l', 'l', 'o', ' ', 0x42, 6, 0};

static const struct {
    enum record_codec codec;
    struct span in;
} samples[] = {
    {RECORD_CODEC_NONE, {plain, sizeof plain - 1}},
    {RECORD_CODEC_GZIP, {by_gzip, sizeof by_gzip}},
    {RECORD_CODEC_LZ4, {by_lz4, sizeof by_lz4}},
    {RECORD_CODEC_ZSTD, {by_zstd, sizeof by_zstd}},
    {RECORD_CODEC_SNAPPY, {by_snappy, sizeof by_snappy}},
    {RECORD_CODEC_SNAPPY, {by_xerial, sizeof by_xerial}},
};

static void test_codec_inflate__reads_each_codec(void **state) {
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        _cleanup_(buf_unrefp) struct buf *out = NULL;

        assert_int_equal(codec_inflate(samples[i].codec, samples[i].in, 1000, &out), 0);
        assert_int_equal(out->size, sizeof plain - 1);
        assert_memory_equal(out->data, plain, sizeof plain - 1);
    }
}

static void test_codec_inflate__stops_at_the_limit(void **state) {
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct buf *out = NULL;

        assert_int_equal(codec_inflate(samples[i].codec, samples[i].in, sizeof plain - 2, &out),
                         TOPIC_E_TOO_LARGE);
        assert_null(out);
    }
}

static void test_codec_inflate__gives_an_empty_buf_for_nothing(void **state) {
    static const uint8_t nothing[] = {0}; /* a snappy block of no bytes */
    _cleanup_(buf_unrefp) struct buf *out = NULL;

    assert_int_equal(codec_inflate(RECORD_CODEC_SNAPPY, span_of(nothing, 1), 1000, &out), 0);
    assert_int_equal(out->size, 0);
}

static void test_codec_inflate__refuses_a_truncated_input(void **state) {
    for (size_t i = 1; i < ARRAY_SIZE(samples); i++) {
        struct buf *out = NULL;

        for (size_t size = 1; size < samples[i].in.size; size++) {
            /* xerial's blocks may end early: then less comes out */
            if (codec_inflate(samples[i].codec, span_of(samples[i].in.data, size), 1000, &out) ==
                0) {
                assert_true(out->size < sizeof plain - 1);
                buf_unref(out);
            }
        }
    }
}

/* What each codec makes of @count copies of its sample and @tail. */
static int inflate_copies(size_t sample, unsigned count, const char *tail, struct buf **ret_buf) {
    struct span one = samples[sample].in;
    uint8_t bytes[256];
    size_t size = 0;

    for (unsigned i = 0; i < count; i++) {
        memcpy(bytes + size, one.data, one.size);
        size += one.size;
    }
    memcpy(bytes + size, tail, strlen(tail));
    size += strlen(tail);
    *ret_buf = NULL;
    return codec_inflate_part(samples[sample].codec, span_of(bytes, size), 1000, ret_buf);
}

/* As Java reads them: gzip members and xerial streams follow one another, an LZ4 frame is the end.
 */
static void test_codec_inflate__ends_where_kafkas_readers_end(void **state) {
    static const struct {
        size_t sample;
        unsigned copies, read;
        const char *tail;
        int code;
    } rows[] = {
        {1, 2, 2, "", 0},
        {1, 1, 1, "more of it", 0},
        {2, 2, 1, "", 0},
        {2, 1, 1, "more of it", 0},
        {3, 2, 2, "", 0},
        {3, 1, 1, "more of it", BROKER_E_CORRUPT},
        {5, 2, 2, "", 0},
        {5, 1, 1, "mor", 0},
        {5, 1, 1, "more", BROKER_E_CORRUPT},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(buf_unrefp) struct buf *out = NULL;

        if (inflate_copies(rows[i].sample, rows[i].copies, rows[i].tail, &out) != rows[i].code ||
            out->size != rows[i].read * (sizeof plain - 1)) {
            fail_msg("row %zu: %zu bytes", i, out ? out->size : 0);
        }
    }
    {
        _cleanup_(buf_unrefp) struct buf *out = NULL;

        assert_int_equal(codec_inflate(RECORD_CODEC_ZSTD, SPAN_LITERAL(""), 1000, &out), 0);
        assert_int_equal(out->size, 0);
    }
}

/* Java skips a flag that it does not know, and reads no zlib stream. */
static void test_codec_inflate__reads_the_head_of_gzip_as_java_does(void **state) {
    static const uint8_t by_zlib[] = {0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57,
                                      0xc8, 0x40, 0x27, 0x01, 0x68, 0x03, 0x08, 0xb1};
    static const struct {
        uint8_t flags;
        int code;
    } rows[] = {{0xe0, 0}, {0x21, 0}, {0xe2, BROKER_E_CORRUPT} /* and its checksum is wrong */};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(buf_unrefp) struct buf *out = NULL;
        uint8_t bytes[2 * sizeof by_gzip];

        memcpy(bytes, by_gzip, sizeof by_gzip);
        memcpy(bytes + sizeof by_gzip, by_gzip, sizeof by_gzip);
        bytes[3] = bytes[sizeof by_gzip + 3] = rows[i].flags;
        assert_int_equal(codec_inflate(RECORD_CODEC_GZIP, span_of(bytes, sizeof bytes), 1000, &out),
                         rows[i].code);
        assert_int_equal(out ? out->size : 0, rows[i].code ? 0 : 2 * (sizeof plain - 1));
    }
    {
        struct buf *out = NULL;

        assert_int_equal(
            codec_inflate(RECORD_CODEC_GZIP, span_of(by_zlib, sizeof by_zlib), 1000, &out),
            BROKER_E_CORRUPT);
        assert_null(out);
    }
}

/* As wide a window as Java's reader takes, and no wider. */
static void test_codec_inflate__takes_the_windows_of_zstd_that_java_takes(void **state) {
    uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0,   17 << 3, 5 << 3 | 1,
                       0,    0,    'h',  'e',  'l', 'l',     'o'};
    _cleanup_(buf_unrefp) struct buf *out = NULL;
    struct buf *none = NULL;

    assert_int_equal(codec_inflate(RECORD_CODEC_ZSTD, span_of(frame, sizeof frame), 1000, &out), 0);
    assert_int_equal(out->size, 5);
    frame[5] = 18 << 3;
    assert_int_equal(codec_inflate(RECORD_CODEC_ZSTD, span_of(frame, sizeof frame), 1000, &none),
                     BROKER_E_CORRUPT);
}

/* So Java's reader takes it: nothing was read, nothing is left. */
static void test_codec_inflate__ends_at_an_lz4_block_of_nothing(void **state) {
    static const uint8_t empty[] = {1, 0, 0, 0, 0}; /* one byte, a token for no literal */
    _cleanup_(buf_unrefp) struct buf *out = NULL;
    uint8_t bytes[sizeof by_lz4 - 8 + sizeof empty];

    memcpy(bytes, by_lz4, sizeof by_lz4 - 8); /* without its end and its check */
    memcpy(bytes + sizeof by_lz4 - 8, empty, sizeof empty);
    assert_int_equal(codec_inflate(RECORD_CODEC_LZ4, span_of(bytes, sizeof bytes), 1000, &out), 0);
    assert_int_equal(out->size, sizeof plain - 1);
}

/* Nor does Kafka look at what an LZ4 frame says of its content. */
static void test_codec_inflate__does_not_mind_the_checksum_of_an_lz4_frame(void **state) {
    _cleanup_(buf_unrefp) struct buf *out = NULL;
    uint8_t bytes[sizeof by_lz4];

    memcpy(bytes, by_lz4, sizeof bytes);
    bytes[sizeof bytes - 1] ^= 1;
    assert_int_equal(codec_inflate(RECORD_CODEC_LZ4, span_of(bytes, sizeof bytes), 1000, &out), 0);
    assert_int_equal(out->size, sizeof plain - 1);
}

static void test_codec_inflate_part__gives_what_comes_before_the_damage(void **state) {
    static const size_t pieces[] = {1, 5}; /* the check of gzip; the second of two xerial streams */

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        struct span one = samples[pieces[i]].in;
        _cleanup_(buf_unrefp) struct buf *out = NULL;
        uint8_t bytes[128];
        size_t size = one.size;

        memcpy(bytes, one.data, one.size);
        if (samples[pieces[i]].codec == RECORD_CODEC_SNAPPY) {
            memcpy(bytes + size, one.data, one.size);
            size += one.size;
            bytes[size - 2] = 0xff; /* a copy from before the beginning */
        } else {
            bytes[size - 2] ^= 0xff; /* in its check */
        }
        assert_int_equal(
            codec_inflate_part(samples[pieces[i]].codec, span_of(bytes, size), 1000, &out),
            BROKER_E_CORRUPT);
        assert_int_equal(out->size, sizeof plain - 1);
        assert_memory_equal(out->data, plain, sizeof plain - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_batch_builder__writes_the_golden_bytes),
        cmocka_unit_test(test_record_batch_parse__reads_every_field),
        cmocka_unit_test(test_record_batch_parse__refuses),
        cmocka_unit_test(test_record_batch_check_crc__sees_one_flipped_bit),
        cmocka_unit_test(test_record_batch_set_append_time__keeps_the_crc_right),
        cmocka_unit_test(test_record_batch_set_create_time__takes_back_what_a_client_claims),
        cmocka_unit_test(test_record_iterator__gives_back_what_was_added),
        cmocka_unit_test(
            test_record_batch_builder__keeps_timestamps_further_apart_than_a_number_holds),
        cmocka_unit_test(test_record_batches_each__passes_all_records_and_tells_where_it_is),
        cmocka_unit_test(test_record_iterator__survives_any_flipped_byte),
        cmocka_unit_test(test_codec_inflate__reads_each_codec),
        cmocka_unit_test(test_codec_inflate__stops_at_the_limit),
        cmocka_unit_test(test_codec_inflate__gives_an_empty_buf_for_nothing),
        cmocka_unit_test(test_codec_inflate__refuses_a_truncated_input),
        cmocka_unit_test(test_codec_inflate__ends_where_kafkas_readers_end),
        cmocka_unit_test(test_codec_inflate__reads_the_head_of_gzip_as_java_does),
        cmocka_unit_test(test_codec_inflate__takes_the_windows_of_zstd_that_java_takes),
        cmocka_unit_test(test_codec_inflate__ends_at_an_lz4_block_of_nothing),
        cmocka_unit_test(test_codec_inflate__does_not_mind_the_checksum_of_an_lz4_frame),
        cmocka_unit_test(test_codec_inflate_part__gives_what_comes_before_the_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
