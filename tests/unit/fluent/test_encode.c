/*
 * Golden bytes: forward protocol v1, "PackedForward Mode" and "EventTime Ext Format"; msgpack's
 * specification names the types.
 */
#include "support.h"

#include <buffer.h>
#include <math.h>

/* 2026-11-22T10:00:00.123456789Z */
static const int64_t wall_ns = INT64_C(1795341600123456789);

/* clang-format off */
static const uint8_t golden_record[] = {
    0x92,                                           /* array of 2: time, record */
    0xd7, 0x00,                                     /* fixext 8, type 0: EventTime */
    0x6b, 0x02, 0xbd, 0x20,                         /* seconds 1795341600 */
    0x07, 0x5b, 0xcd, 0x15,                         /* nanoseconds 123456789 */
    0x88,                                           /* map of 8 */
    0xa9, 't', 'i', 'm', 'e', 's', 't', 'a', 'm', 'p', /* fixstr 9 */
    0xb8, '2', '0', '2', '6', '-', '1', '1', '-', '2', '2', 'T', '1', '0', ':', '0', '0', ':', '0',
    '0', '.', '1', '2', '3', 'Z',                   /* fixstr 24 */
    0xa5, 'l', 'e', 'v', 'e', 'l',
    0xa4, 'I', 'N', 'F', 'O',
    0xa7, 's', 'e', 'r', 'v', 'i', 'c', 'e',
    0xac, 'u', 's', 'e', 'r', '-', 's', 'e', 'r', 'v', 'i', 'c', 'e',
    0xa6, 'a', 'c', 't', 'i', 'o', 'n',
    0xac, 'u', 's', 'e', 'r', '_', 'c', 'r', 'e', 'a', 't', 'e', 'd',
    0xa7, 'u', 's', 'e', 'r', '_', 'i', 'd',
    0x7b,                                           /* positive fixint 123 */
    0xa7, 'd', 'e', 't', 'a', 'i', 'l', 's',
    0x85,                                           /* map of 5 */
    0xa8, 'u', 's', 'e', 'r', 'n', 'a', 'm', 'e',
    0xa8, 'j', 'o', 'h', 'n', '_', 'd', 'o', 'e',
    0xa5, 'c', 'o', 'u', 'n', 't',
    0xd1, 0xfe, 0xd4,                               /* int 16: -300 */
    0xa2, 'o', 'k',
    0xc3,                                           /* true */
    0xa5, 'r', 'a', 't', 'i', 'o',
    0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0,             /* float 64: 0.5 */
    0xa3, 'n', 'a', 'n',
    0xc0,                                           /* NaN is nil */
    0xa8, 't', 'r', 'a', 'c', 'e', '_', 'i', 'd',
    0xd9, 0x20,                                     /* str 8 of 32 */
    '0', '1', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0',
    '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '2',
    0xa7, 'm', 'e', 's', 's', 'a', 'g', 'e',
    0xac, 'u', 's', 'e', 'r', ' ', 'c', 'r', 'e', 'a', 't', 'e', 'd',
};
/* clang-format on */

static struct log_record original_record(const struct log_field *fields, size_t count,
                                         const struct trace *trace) {
    return (struct log_record){
        .wall_ns = wall_ns,
        .level = LOG_LEVEL_INFO,
        .service = "user-service",
        .action = "user_created",
        .message = "user created",
        .trace = trace,
        .has_user_id = true,
        .user_id = 123,
        .details = fields,
        .detail_count = count,
    };
}

static size_t encode(const struct log_record *record, uint8_t *out) {
    struct encoder encoder;
    size_t limit = 0;
    size_t bound = encode_bound(record, &limit);
    encoder_init(&encoder);
    size_t size = encode_record(&encoder, record, limit, out);
    assert_true(size <= bound);
    return size;
}

static void test_encode_record__writes_the_originals_record(void **state) {
    const struct log_field fields[] = {
        LOG_TEXT("username", "john_doe"), LOG_INT("count", -300), LOG_BOOL("ok", true),
        LOG_DOUBLE("ratio", 0.5),         LOG_DOUBLE("nan", NAN),
    };
    const struct trace trace = {.trace_id = {1, [15] = 2}};
    struct log_record record = original_record(fields, ARRAY_SIZE(fields), &trace);
    uint8_t out[4096];
    size_t size = encode(&record, out);
    assert_int_equal(size, sizeof golden_record);
    assert_memory_equal(out, golden_record, size);
}

static void test_encode_record__leaves_out_what_is_absent(void **state) {
    struct log_record record = original_record(NULL, 0, NULL);
    uint8_t out[4096];
    record.has_user_id = false;
    record.message = NULL;
    size_t size = encode(&record, out);
    assert_int_equal(out[11], 0x85); /* map of 5 */
    /* details is a map even when it is empty, and the last member */
    assert_memory_equal(out + size - 9,
                        "\xa7"
                        "details"
                        "\x80",
                        9);
}

static void test_encode_record__cleans_and_cuts_text(void **state) {
    static char large[6000];
    memset(large, 0xff, sizeof large);
    const struct log_field fields[] = {
        LOG_SPAN("bad", SPAN_LITERAL("a\xff"
                                     "b")),
        LOG_SPAN("null", SPAN_NULL),
        LOG_SPAN("large", span_of(large, sizeof large)),
        LOG_DOUBLE("inf", -INFINITY),
    };
    struct log_record record = original_record(fields, ARRAY_SIZE(fields), NULL);
    static uint8_t out[32768];
    size_t size = encode(&record, out);
    assert_non_null(memmem(out, size,
                           "\xa3"
                           "bad"
                           "\xa5"
                           "a\xef\xbf\xbd"
                           "b",
                           10));
    assert_non_null(memmem(out, size, "\xa4null\xc0", 6));
    assert_non_null(memmem(out, size, "\xa3inf\xc0", 5));
    /* 4,095 bytes of U+FFFD: no sequence is cut in its middle. */
    assert_non_null(memmem(out, size, "\xa5large\xda\x0f\xff\xef\xbf\xbd", 12));
}

static void test_encode_record__keeps_text_of_every_length(void **state) {
    char text[80], name[80];
    uint8_t out[1024], expected[200];
    for (size_t size = 0; size < 70; size++) {
        for (int last = 0; last < 2; last++) {
            size_t at = 0, length = size;
            for (size_t i = 0; i < size; i++) {
                text[i] = (char)('a' + i % 26);
            }
            memcpy(name, text, size);
            name[size] = '\0';
            if (last == 1 && size >= 2) {
                memcpy(text + size - 2, "\xc3\xa9", 2); /* not ASCII, and valid */
            }
            struct log_field field = LOG_SPAN(name, span_of(text, size));
            struct log_record record = original_record(&field, 1, NULL);
            record.message = NULL;
            size_t got = encode(&record, out);
            size_t name_size = MIN(size, 64u);
            expected[at++] = 0x81;
            if (name_size > 31) {
                expected[at++] = 0xd9;
            }
            expected[at++] = (uint8_t)(name_size > 31 ? name_size : 0xa0 | name_size);
            memcpy(expected + at, name, name_size);
            at += name_size;
            if (length > 31) {
                expected[at++] = 0xd9;
            }
            expected[at++] = (uint8_t)(length > 31 ? length : 0xa0 | length);
            memcpy(expected + at, text, length);
            at += length;
            assert_memory_equal(out + got - at, expected, at);
        }
    }
}

static void test_encode_record__shortens_what_would_be_too_large(void **state) {
    static char large[4096];
    struct log_field fields[40];
    static uint8_t out[ENCODE_RECORD_BYTES_MAX];
    memset(large, 'x', sizeof large);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        fields[i] = LOG_SPAN("field", span_of(large, sizeof large));
    }
    struct log_record record = original_record(fields, ARRAY_SIZE(fields), NULL);
    size_t size = encode(&record, out);
    assert_true(size > 40 * ENCODE_SHORT_TEXT_BYTES_MAX &&
                size < 42 * (ENCODE_SHORT_TEXT_BYTES_MAX + 9));
}

static void test_fluent_buffer__a_sealed_chunk_is_a_packed_forward_message(void **state) {
    struct random_seeded seeded;
    struct fluent_buffer buffer;
    const struct log_field fields[] = {
        LOG_TEXT("username", "john_doe"), LOG_INT("count", -300), LOG_BOOL("ok", true),
        LOG_DOUBLE("ratio", 0.5),         LOG_DOUBLE("nan", NAN),
    };
    const struct trace trace = {.trace_id = {1, [15] = 2}};
    struct log_record record = original_record(fields, ARRAY_SIZE(fields), &trace);
    random_seeded_init(&seeded, 1);
    fluent_buffer_init(&buffer, &seeded.random, MIB(1), KIB(64));
    assert_false(fluent_buffer_add(&buffer, &record));
    assert_false(fluent_buffer_add(&buffer, &record));
    assert_null(fluent_buffer_take(&buffer));
    fluent_buffer_seal(&buffer);
    struct fluent_chunk *chunk = fluent_buffer_take(&buffer);
    const uint8_t *at = chunk->buf->data + chunk->start;
    static const uint8_t head[] = {0x93, /* array of 3 */
                                   0xac,
                                   'u',
                                   's',
                                   'e',
                                   'r',
                                   '-',
                                   's',
                                   'e',
                                   'r',
                                   'v',
                                   'i',
                                   'c',
                                   'e',
                                   0xc6,
                                   0,
                                   0, /* bin 32 */
                                   (2 * sizeof golden_record) >> 8,
                                   (2 * sizeof golden_record) & 0xff};
    assert_memory_equal(at, head, sizeof head);
    at += sizeof head;
    assert_memory_equal(at, golden_record, sizeof golden_record);
    assert_memory_equal(at + sizeof golden_record, golden_record, sizeof golden_record);
    at += 2 * sizeof golden_record;
    assert_memory_equal(at,
                        "\x82\xa5"
                        "chunk\xb8",
                        8); /* map of 2, fixstr 24 */
    assert_memory_equal(at + 8, chunk->id, 24);
    assert_memory_equal(chunk->id + 22, "==", 2);
    assert_memory_equal(at + 32,
                        "\xa4"
                        "size\x02",
                        6);
    assert_ptr_equal(at + 38, chunk->buf->data + chunk->end);
    fluent_buffer_release(&buffer, chunk);
    assert_int_equal(buffer.bytes, 0);
    fluent_buffer_deinit(&buffer);
}

static void test_fluent_buffer__drops_the_oldest_and_counts_by_level(void **state) {
    struct random_seeded seeded;
    struct fluent_buffer buffer;
    uint64_t added = 0, kept = 0;
    random_seeded_init(&seeded, 1);
    fluent_buffer_init(&buffer, &seeded.random, MIB(1), KIB(64));
    struct log_record record = original_record(NULL, 0, NULL);
    for (int64_t i = 0; i < 20000; i++) {
        record.level = i < 10000 ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
        record.user_id = i;
        fluent_buffer_add(&buffer, &record);
        added++;
        assert_true(buffer.bytes <= MIB(1));
    }
    fluent_buffer_seal(&buffer);
    for (struct fluent_chunk *chunk; (chunk = fluent_buffer_take(&buffer));) {
        kept += chunk->events;
        fluent_buffer_release(&buffer, chunk);
    }
    assert_true(buffer.dropped_by_level[LOG_LEVEL_DEBUG] == 10000); /* the oldest */
    assert_true(buffer.dropped > 10000);
    assert_int_equal(buffer.dropped, buffer.dropped_by_level[LOG_LEVEL_DEBUG] +
                                         buffer.dropped_by_level[LOG_LEVEL_ERROR]);
    assert_int_equal(kept + buffer.dropped, added);
    fluent_buffer_deinit(&buffer);
    assert_int_equal(buffer.bytes, 0);
}

static void test_fluent_buffer__more_services_than_tags_take_turns(void **state) {
    struct random_seeded seeded;
    struct fluent_buffer buffer;
    char names[20][16];
    uint64_t kept = 0;
    random_seeded_init(&seeded, 1);
    fluent_buffer_init(&buffer, &seeded.random, MIB(8), KIB(64));
    struct log_record record = original_record(NULL, 0, NULL);
    for (size_t i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "service-%zu", i);
        record.service = names[i];
        fluent_buffer_add(&buffer, &record);
    }
    fluent_buffer_seal(&buffer);
    for (struct fluent_chunk *chunk; (chunk = fluent_buffer_take(&buffer));) {
        kept += chunk->events;
        fluent_buffer_release(&buffer, chunk);
    }
    assert_int_equal(kept, 20);
    fluent_buffer_deinit(&buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_record__writes_the_originals_record),
        cmocka_unit_test(test_encode_record__leaves_out_what_is_absent),
        cmocka_unit_test(test_encode_record__cleans_and_cuts_text),
        cmocka_unit_test(test_encode_record__keeps_text_of_every_length),
        cmocka_unit_test(test_encode_record__shortens_what_would_be_too_large),
        cmocka_unit_test(test_fluent_buffer__a_sealed_chunk_is_a_packed_forward_message),
        cmocka_unit_test(test_fluent_buffer__drops_the_oldest_and_counts_by_level),
        cmocka_unit_test(test_fluent_buffer__more_services_than_tags_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
