#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/varint.h>
#include <string.h>

static void test_varint_u64__has_the_known_bytes(void **state) {
    static const struct {
        uint64_t value;
        size_t size;
        const char *bytes;
    } cases[] = {
        {0, 1, "\x00"},
        {1, 1, "\x01"},
        {127, 1, "\x7f"},
        {128, 2, "\x80\x01"},
        {300, 2, "\xac\x02"},
        {16383, 2, "\xff\x7f"},
        {16384, 3, "\x80\x80\x01"},
        {UINT32_MAX, 5, "\xff\xff\xff\xff\x0f"},
        {UINT64_MAX, 10, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[VARINT_MAX_BYTES];
        uint64_t value = 1234;
        assert_int_equal(varint_put_u64(bytes, cases[i].value), cases[i].size);
        assert_memory_equal(bytes, cases[i].bytes, cases[i].size);
        assert_int_equal(varint_size_u64(cases[i].value), cases[i].size);
        assert_int_equal(varint_get_u64(bytes, cases[i].size, &value), cases[i].size);
        assert_true(value == cases[i].value);
        for (size_t cut = 0; cut < cases[i].size; cut++) {
            assert_int_equal(varint_get_u64(bytes, cut, &value), 0);
        }
    }
}

static void test_varint_i64__is_zigzag(void **state) {
    static const struct {
        int64_t value;
        uint64_t encoded;
    } cases[] = {
        {0, 0},
        {-1, 1},
        {1, 2},
        {-2, 3},
        {63, 126},
        {-64, 127},
        {INT64_MAX, UINT64_MAX - 1},
        {INT64_MIN, UINT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[VARINT_MAX_BYTES];
        size_t size = varint_put_i64(bytes, cases[i].value);
        uint64_t encoded;
        int64_t value;
        assert_int_equal(size, varint_size_i64(cases[i].value));
        assert_int_equal(varint_get_u64(bytes, size, &encoded), size);
        assert_true(encoded == cases[i].encoded);
        assert_int_equal(varint_get_i64(bytes, size, &value), size);
        assert_true(value == cases[i].value);
    }
}

static void test_varint_get__refuses_values_that_are_too_wide(void **state) {
    static const uint8_t too_long[11] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                         0x80, 0x80, 0x80, 0x80, 0};
    static const uint8_t bit_64[10] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2};
    static const uint8_t bit_32[5] = {0x80, 0x80, 0x80, 0x80, 0x10};
    static const uint8_t padded[6] = {0x80, 0x80, 0x80, 0x80, 0x80, 0};
    uint64_t u64;
    uint32_t u32;
    int32_t i32;

    assert_int_equal(varint_get_u64(too_long, sizeof too_long, &u64), 0);
    assert_int_equal(varint_get_u64(bit_64, sizeof bit_64, &u64), 0);
    assert_int_equal(varint_get_u32(bit_32, sizeof bit_32, &u32), 0);
    assert_int_equal(varint_get_i32(bit_32, sizeof bit_32, &i32), 0);
    assert_int_equal(varint_get_u32(padded, sizeof padded, &u32), 0);
}

static void test_varint_i32__reaches_both_ends(void **state) {
    static const int32_t values[] = {INT32_MIN, -1, 0, INT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        uint8_t bytes[VARINT_MAX_BYTES];
        size_t size = varint_put_i64(bytes, values[i]);
        int32_t value;
        assert_int_equal(varint_get_i32(bytes, size, &value), size);
        assert_int_equal(value, values[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varint_u64__has_the_known_bytes),
        cmocka_unit_test(test_varint_i64__is_zigzag),
        cmocka_unit_test(test_varint_get__refuses_values_that_are_too_wide),
        cmocka_unit_test(test_varint_i32__reaches_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
