#include <eventbox/base/bytes.h>
#include <eventbox/base/siphash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The authors' vectors: key 00..0f, input 00, 01, 02 ... of the given length. */
static void test_siphash128__gives_the_published_values(void **state) {
    static const struct {
        size_t size;
        uint8_t hash[16];
    } rows[] = {
        {0,
         {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
          0x93}},
        {1,
         {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
          0x45}},
        {15,
         {0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf, 0xc3,
          0xd9}},
    };
    uint8_t key[16], input[16];
    for (uint8_t i = 0; i < 16; i++) {
        key[i] = input[i] = i;
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct siphash128 hash = siphash128(key, span_of(input, rows[i].size));
        assert_int_equal(hash.low, get_le64(rows[i].hash));
        assert_int_equal(hash.high, get_le64(rows[i].hash + 8));
    }
}

/* What Python 3.11 makes of the same bytes: its hash() is SipHash-1-3, under PYTHONHASHSEED=0 with
 * a key of zeros. And the first vector of Rust's standard library, whose key is 00..0f. */
static void test_siphash13__gives_the_values_of_python_and_rust(void **state) {
    static const struct {
        size_t size;
        uint64_t hash;
    } rows[] = {{1, UINT64_C(0x68a914128e01e473)},
                {7, UINT64_C(0x2f098ab0c751325a)},
                {8, UINT64_C(0xead411e67ebe2eea)},
                {15, UINT64_C(0xf30eb725bb91c9ea)}};
    static const uint64_t zeros[2],
        counting[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t input[16];
    for (uint8_t i = 0; i < 16; i++) {
        input[i] = i;
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(siphash13(zeros, span_of(input, rows[i].size)), rows[i].hash);
    }
    assert_int_equal(siphash13(counting, SPAN_LITERAL("")), UINT64_C(0xabac0158050fc4dc));
}

static void test_siphash128__depends_on_every_bit_of_key_and_input(void **state) {
    uint8_t key[16] = {0}, input[21] = {0};
    struct siphash128 first = siphash128(key, span_of(input, sizeof input));
    for (size_t bit = 0; bit < 8 * sizeof input; bit++) {
        input[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct siphash128 hash = siphash128(key, span_of(input, sizeof input));
        assert_true(hash.low != first.low && hash.high != first.high);
        input[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof key; bit++) {
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct siphash128 hash = siphash128(key, span_of(input, sizeof input));
        assert_true(hash.low != first.low && hash.high != first.high);
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash13__gives_the_values_of_python_and_rust),
        cmocka_unit_test(test_siphash128__gives_the_published_values),
        cmocka_unit_test(test_siphash128__depends_on_every_bit_of_key_and_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
