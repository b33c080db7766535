#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/clock.h>
#include <string.h>

static void test_clock_format_rfc3339__writes_each_precision(void **state) {
    static const struct {
        int64_t wall_ns;
        int digits;
        const char *text;
    } cases[] = {
        {0, 0, "1970-01-01T00:00:00Z"},
        {INT64_C(1795341600123456789), 0, "2026-11-22T10:00:00Z"},
        {INT64_C(1795341600123456789), 3, "2026-11-22T10:00:00.123Z"},
        {INT64_C(1795341600123456789), 6, "2026-11-22T10:00:00.123456Z"},
        {INT64_C(1795341600123456789), 9, "2026-11-22T10:00:00.123456789Z"},
        {INT64_C(1709164800000000001), 3, "2024-02-29T00:00:00.000Z"},
        {-1, 9, "1969-12-31T23:59:59.999999999Z"},
        {INT64_MAX, 9, "2262-04-11T23:47:16.854775807Z"},
        {INT64_MIN, 3, "1677-09-21T00:12:43.145Z"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[CLOCK_RFC3339_SIZE];
        size_t size = clock_format_rfc3339(cases[i].wall_ns, cases[i].digits, out);
        assert_string_equal(out, cases[i].text);
        assert_int_equal(size, strlen(cases[i].text));
    }
}

static void test_clock_manual__moves_only_by_hand(void **state) {
    struct clock_manual manual;
    struct clock *clock = &manual.clock;
    int64_t mono_ns;

    clock_manual_init(&manual, 5 * NS_PER_SEC);
    mono_ns = clock_mono_ns(clock);
    assert_true(mono_ns > 0);
    assert_int_equal(clock_wall_ms(clock), 5000);
    clock_manual_advance(&manual, 1500 * NS_PER_MS);
    assert_int_equal(clock_mono_ns(clock) - mono_ns, 1500 * NS_PER_MS);
    assert_int_equal(clock_wall_ms(clock), 6500);
}

static void test_clock_system__never_goes_back(void **state) {
    int64_t last = clock_mono_ns(clock_system());
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ns(clock_system());
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_wall_ns(clock_system()) > INT64_C(1700000000) * NS_PER_SEC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_format_rfc3339__writes_each_precision),
        cmocka_unit_test(test_clock_manual__moves_only_by_hand),
        cmocka_unit_test(test_clock_system__never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
