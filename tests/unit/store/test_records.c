#include "support.h"

#include <records.h>

static void test_records__come_back_as_they_went_in(void **state) {
    struct topic_header headers[] = {
        {SPAN_LITERAL("a"), SPAN_LITERAL("1")},
        {SPAN_LITERAL("empty"), SPAN_LITERAL("")},
        {SPAN_LITERAL("null"), SPAN_NULL},
    };
    struct topic_record in[] = {
        {.topic = "t", .partition = -1, .key = SPAN_LITERAL("k"), .value = SPAN_LITERAL("v")},
        {.topic = "tombstone",
         .partition = 7,
         .key = SPAN_LITERAL(""),
         .timestamp_ms = 1700000000000,
         .headers = headers,
         .header_count = 3},
    };
    struct text bytes = {0};
    struct arena arena;
    struct topic_record *out = NULL;
    size_t count = 0;
    arena_init(&arena, KIB(64));
    records_encode(in, 2, &bytes);
    assert_int_equal(records_decode(text_span(&bytes), &arena, &out, &count), 0);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(out[i].topic, in[i].topic);
        assert_int_equal(out[i].partition, in[i].partition);
        assert_int_equal(out[i].timestamp_ms, in[i].timestamp_ms);
        assert_true(span_equal(out[i].key, in[i].key));
        assert_true(span_equal(out[i].value, in[i].value));
        assert_int_equal(out[i].header_count, in[i].header_count);
    }
    assert_null(out[1].value.data);
    assert_non_null(out[1].key.data);
    assert_true(span_equal(out[1].headers[0].value, SPAN_LITERAL("1")));
    assert_non_null(out[1].headers[1].value.data);
    assert_null(out[1].headers[2].value.data);

    /* Cut anywhere, or with a byte more, they are damaged and nothing else happens. */
    for (size_t size = 0; size < bytes.size; size++) {
        void *copy = malloc(size + 1); /* of exact size, for the sanitizer */
        memcpy(copy, bytes.data, size);
        assert_int_equal(records_decode(span_of(copy, size), &arena, &out, &count), -EBADMSG);
        free(copy);
    }
    text_append_char(&bytes, 0);
    assert_int_equal(records_decode(text_span(&bytes), &arena, &out, &count), -EBADMSG);
    text_deinit(&bytes);
    arena_deinit(&arena);
}

static void test_records__sizes_are_checked_before_memory_is_asked_for(void **state) {
    static const uint8_t rows[][12] = {
        {1, 0xff, 0xff, 0xff, 0xff, 0x0f},                  /* four billion records */
        {1, 1, 1, 't', 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f}, /* headers */
        {1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f},               /* a topic */
        {2, 0},                                             /* another version */
    };
    struct arena arena;
    struct topic_record *out = NULL;
    size_t count = 0;
    arena_init(&arena, KIB(4));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(records_decode(span_of(rows[i], sizeof rows[i]), &arena, &out, &count),
                         -EBADMSG);
    }
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records__come_back_as_they_went_in),
        cmocka_unit_test(test_records__sizes_are_checked_before_memory_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
