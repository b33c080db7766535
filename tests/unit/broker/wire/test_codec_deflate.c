#include "codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const enum record_codec codecs[] = {
    RECORD_CODEC_NONE, RECORD_CODEC_GZIP, RECORD_CODEC_SNAPPY, RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD};

/* Half of it compresses, half of it does not; larger than a block of any codec. */
static uint8_t *sample(size_t size) {
    uint8_t *data = malloc(size + 1);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        data[i] = i % 1024 < 512 ? (uint8_t)(state >> 24) : 'a';
    }
    return data;
}

static void test_codec_deflate__comes_back_from_inflate(void **state) {
    static const size_t sizes[] = {0, 1, 100, 32768, 32769, 200000};
    for (size_t c = 0; c < ARRAY_SIZE(codecs); c++) {
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
            uint8_t *data = sample(sizes[s]);
            struct text out;
            _cleanup_(buf_unrefp) struct buf *back = NULL;
            text_init(&out);
            text_append_str(&out, "kept");
            assert_int_equal(codec_deflate(codecs[c], span_of(data, sizes[s]), &out), 0);
            assert_memory_equal(out.data, "kept", 4);
            assert_int_equal(
                codec_inflate(codecs[c], span_of(out.data + 4, out.size - 4), sizes[s] + 1, &back),
                0);
            assert_int_equal(back->size, sizes[s]);
            assert_memory_equal(back->data, data, sizes[s]);
            text_deinit(&out);
            free(data);
        }
    }
}

static void test_codec_deflate__makes_it_smaller(void **state) {
    uint8_t *data = sample(200000);
    for (size_t c = 1; c < ARRAY_SIZE(codecs); c++) {
        struct text out;
        text_init(&out);
        assert_int_equal(codec_deflate(codecs[c], span_of(data, 200000), &out), 0);
        assert_in_range(out.size, 1, 150000);
        text_deinit(&out);
    }
    free(data);
}

/* Java's clients read snappy with this header, and LZ4 with independent blocks. */
static void test_codec_deflate__frames_as_java_expects(void **state) {
    static const uint8_t snappy[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                       0,    0,   0,   1,   0,   0,   0,   1};
    static const uint8_t lz4[5] = {0x04, 0x22, 0x4d, 0x18, 0x60};
    static const uint8_t gzip[2] = {0x1f, 0x8b};
    struct text out;
    text_init(&out);
    assert_int_equal(codec_deflate(RECORD_CODEC_SNAPPY, SPAN_LITERAL("hello"), &out), 0);
    assert_memory_equal(out.data, snappy, sizeof snappy);
    text_clear(&out);
    assert_int_equal(codec_deflate(RECORD_CODEC_LZ4, SPAN_LITERAL("hello"), &out), 0);
    assert_memory_equal(out.data, lz4, sizeof lz4);
    text_clear(&out);
    assert_int_equal(codec_deflate(RECORD_CODEC_GZIP, SPAN_LITERAL("hello"), &out), 0);
    assert_memory_equal(out.data, gzip, sizeof gzip);
    assert_int_equal(codec_deflate((enum record_codec)5, SPAN_LITERAL("hello"), &out),
                     BROKER_E_CORRUPT);
    text_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codec_deflate__comes_back_from_inflate),
        cmocka_unit_test(test_codec_deflate__makes_it_smaller),
        cmocka_unit_test(test_codec_deflate__frames_as_java_expects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
