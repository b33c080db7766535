#include "codec_zstd.h"

#include "codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One frame of one block: 13 literals, two sequences, and the modes of their tables. */
static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x6e, 0x00, 0xbd, 0x00, 0x00, 0x68,
                                0xd8, 0x05, 0x00, 0x00, 0x00, 0x72, 0x6b, 0x65, 0x79, 0xd8, 0x04,
                                0x41, 0x00, 0x02, 0x01, 0x28, 0x38, 0x75, 0xcc, 0xd3, 0x1d, 0x01};
enum { AT_BLOCK = 7, AT_MODES = 25 };

/* A frame that may be skipped, and one with a raw block before a last, empty one. */
static const uint8_t skipped[] = {0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
static const uint8_t two_blocks[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x20,
                                     0x00, 0x00, 'g',  'o',  'o',  'd'};

static struct span joined(uint8_t *room, struct span first, struct span second) {
    memcpy(room, first.data, first.size);
    memcpy(room + first.size, second.data, second.size);
    return span_of(room, first.size + second.size);
}

static void test_codec_zstd_good_bytes__are_all_without_reserved_bits(void **state) {
    static const size_t sizes[] = {0, 1, 40, 300, 20000, 200000, 700000};
    uint8_t good[sizeof frame];

    memcpy(good, frame, sizeof frame);
    good[AT_MODES] = 0;
    assert_int_equal(codec_zstd_good_bytes(span_of(good, sizeof good)), sizeof good);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *data = malloc(sizes[i] + 1);
        struct text out;

        text_init(&out);
        for (size_t at = 0; at < sizes[i]; at++) {
            data[at] = (uint8_t)(at % 7 + at / 1000 * at % 251);
        }
        assert_int_equal(codec_deflate(RECORD_CODEC_ZSTD, span_of(data, sizes[i]), &out), 0);
        assert_int_equal(codec_zstd_good_bytes(span_of(out.data, out.size)), out.size);
        text_deinit(&out);
        free(data);
    }
}

static void test_codec_zstd_good_bytes__end_before_a_block_with_reserved_bits(void **state) {
    uint8_t room[200];
    struct span bad = span_of(frame, sizeof frame);
    struct span all;

    assert_int_equal(codec_zstd_good_bytes(bad), AT_BLOCK);
    all = joined(room, span_of(skipped, sizeof skipped), bad);
    assert_int_equal(codec_zstd_good_bytes(all), sizeof skipped + AT_BLOCK);
    /* Its block behind another one of the same frame. */
    all = joined(room, span_of(two_blocks, sizeof two_blocks),
                 span_of(frame + AT_BLOCK, sizeof frame - AT_BLOCK));
    assert_int_equal(codec_zstd_good_bytes(all), sizeof two_blocks);
}

static void test_codec_zstd_good_bytes__look_at_nothing_beyond_a_cut(void **state) {
    for (size_t size = 0; size < sizeof frame; size++) {
        uint8_t *cut = malloc(size + 1); /* so that a byte too many is seen */

        memcpy(cut, frame, size);
        assert_int_equal(codec_zstd_good_bytes(span_of(cut, size)), size);
        free(cut);
    }
}

static void test_codec_inflate__takes_reserved_bits_of_zstd_for_damage(void **state) {
    _cleanup_(buf_unrefp) struct buf *buf = NULL;
    uint8_t room[200];
    struct span all = joined(room, span_of(two_blocks, sizeof two_blocks),
                             span_of(frame + AT_BLOCK, sizeof frame - AT_BLOCK));

    assert_int_equal(codec_inflate(RECORD_CODEC_ZSTD, span_of(frame, sizeof frame), 1 << 20, &buf),
                     BROKER_E_CORRUPT);
    assert_null(buf);
    assert_int_equal(codec_inflate_part(RECORD_CODEC_ZSTD, all, 1 << 20, &buf), BROKER_E_CORRUPT);
    assert_int_equal(buf->size, 4);
    assert_memory_equal(buf->data, "good", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codec_zstd_good_bytes__are_all_without_reserved_bits),
        cmocka_unit_test(test_codec_zstd_good_bytes__end_before_a_block_with_reserved_bits),
        cmocka_unit_test(test_codec_zstd_good_bytes__look_at_nothing_beyond_a_cut),
        cmocka_unit_test(test_codec_inflate__takes_reserved_bits_of_zstd_for_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
