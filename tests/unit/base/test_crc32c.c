#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/random.h>
#include <string.h>

typedef uint32_t (*crc_fn)(uint32_t crc, const void *data, size_t size);
static const crc_fn versions[] = {crc32c, crc32c_portable};

/* RFC 3720 B.4, and the check value of the catalogues. */
static void test_crc32c__matches_the_rfc(void **state) {
    static const uint8_t iscsi_read[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2,    0, 0, 0, 0, 0, 0, 0,
    };
    uint8_t zeros[32], ones[32], up[32], down[32];

    memset(zeros, 0, sizeof zeros);
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < 32; i++) {
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        assert_int_equal(versions[i](0, zeros, 32), 0x8a9136aa);
        assert_int_equal(versions[i](0, ones, 32), 0x62a8ab43);
        assert_int_equal(versions[i](0, up, 32), 0x46dd794e);
        assert_int_equal(versions[i](0, down, 32), 0x113fdb5c);
        assert_int_equal(versions[i](0, iscsi_read, 48), 0xd9963a56);
        assert_int_equal(versions[i](0, "123456789", 9), 0xe3069283);
        assert_int_equal(versions[i](0, NULL, 0), 0);
    }
}

/* Bit by bit, as the definition says. */
static uint32_t slow(uint32_t crc, const uint8_t *in, size_t size) {
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= in[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

static void test_crc32c__all_versions_agree_on_every_short_length(void **state) {
    static uint8_t data[1100];
    struct random_seeded seeded;

    random_seeded_init(&seeded, 11);
    random_fill(&seeded.random, data, sizeof data);
    for (size_t size = 0; size < sizeof data; size++) {
        uint32_t expected = slow((uint32_t)size, data, size);
        assert_int_equal(crc32c((uint32_t)size, data, size), expected);
        assert_int_equal(crc32c_portable((uint32_t)size, data, size), expected);
    }
}

static void test_crc32c__all_versions_agree_on_random_ranges(void **state) {
    static uint8_t data[400000];
    struct random_seeded seeded;

    random_seeded_init(&seeded, 12);
    random_fill(&seeded.random, data, sizeof data);
    for (int i = 0; i < 500; i++) {
        size_t offset = random_below(&seeded.random, sizeof data);
        size_t size = random_below(&seeded.random, sizeof data - offset + 1);
        size_t part = random_below(&seeded.random, size + 1);
        uint32_t whole = crc32c(0, data + offset, size);
        assert_int_equal(whole, crc32c_portable(0, data + offset, size));
        assert_int_equal(whole,
                         crc32c(crc32c(0, data + offset, part), data + offset + part, size - part));
    }
}

static void test_crc32c_concat__is_that_of_both_ranges(void **state) {
    static uint8_t data[70000];
    struct random_seeded seeded;

    random_seeded_init(&seeded, 13);
    random_fill(&seeded.random, data, sizeof data);
    for (int i = 0; i < 500; i++) {
        size_t size = random_below(&seeded.random, sizeof data + 1);
        size_t part = i < 300 ? random_below(&seeded.random, size + 1) : i < 400 ? size : 0;
        assert_int_equal(
            crc32c_concat(crc32c(0, data, part), crc32c(0, data + part, size - part), size - part),
            slow(0, data, size));
    }
    assert_int_equal(crc32c_concat(0, 0, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c__matches_the_rfc),
        cmocka_unit_test(test_crc32c__all_versions_agree_on_every_short_length),
        cmocka_unit_test(test_crc32c__all_versions_agree_on_random_ranges),
        cmocka_unit_test(test_crc32c_concat__is_that_of_both_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
