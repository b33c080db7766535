#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/random.h>
#include <string.h>

static void test_random_seeded__repeats_itself(void **state) {
    struct random_seeded a, b, c;
    uint8_t x[100], y[100], z[100];

    random_seeded_init(&a, 42);
    random_seeded_init(&b, 42);
    random_seeded_init(&c, 43);
    random_fill(&a.random, x, sizeof x);
    random_fill(&b.random, y, sizeof y);
    random_fill(&c.random, z, sizeof z);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_not_equal(x, z, sizeof x);
}

/* From state 1, 2, 3, 4 by hand: rotl(2 * 5, 7) * 9 = 11520, then state[1] is 0. */
static void test_random_seeded__is_xoshiro256(void **state) {
    struct random_seeded seeded;

    random_seeded_init(&seeded, 0);
    for (uint64_t i = 0; i < 4; i++) {
        seeded.state[i] = i + 1;
    }
    assert_int_equal(random_u64(&seeded.random), 11520);
    assert_int_equal(random_u64(&seeded.random), 0);
    assert_int_equal(random_u64(&seeded.random), 1509978240);
}

static void test_random_below__stays_below_and_reaches_all(void **state) {
    struct random_seeded seeded;
    unsigned seen[10] = {0};

    random_seeded_init(&seeded, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t value = random_below(&seeded.random, 10);
        assert_true(value < 10);
        seen[value]++;
    }
    for (size_t i = 0; i < 10; i++) {
        assert_in_range(seen[i], 800, 1200);
    }
    assert_int_equal(random_below(&seeded.random, 1), 0);
    assert_true(random_below(&seeded.random, UINT64_MAX) < UINT64_MAX);
    assert_true(random_below(&seeded.random, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
}

static void test_random_system__gives_no_bytes_twice(void **state) {
    static uint64_t values[500];
    uint8_t large[1000] = {0};
    static const uint8_t zeros[100];

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        values[i] = random_u64(random_system());
        assert_true((uint32_t)values[i] != 0 && values[i] >> 32 != 0); /* what is wiped is gone */
        for (size_t k = 0; k < i; k++) {
            assert_true(values[k] != values[i]);
        }
    }
    random_fill(random_system(), large, sizeof large);
    for (size_t i = 0; i < sizeof large; i += sizeof zeros) {
        assert_memory_not_equal(large + i, zeros, sizeof zeros);
    }
    random_fill(random_system(), large, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_seeded__repeats_itself),
        cmocka_unit_test(test_random_seeded__is_xoshiro256),
        cmocka_unit_test(test_random_below__stays_below_and_reaches_all),
        cmocka_unit_test(test_random_system__gives_no_bytes_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
