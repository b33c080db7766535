#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/utf8.h>
#include <string.h>

#define FFFD "\xef\xbf\xbd"

/* Text, valid bytes at its beginning, and what cleaning makes of it (NULL: the text itself). */
static const struct {
    const char *text;
    size_t prefix;
    const char *clean;
} cases[] = {
    {"", 0, NULL},
    {"plain", 5, NULL},
    {"long enough for the fast path \x7f", 31, NULL},
    {"long enough for the fast path \x80", 30, "long enough for the fast path " FFFD},
    {"\xc2\x80", 2, NULL},
    {"\xdf\xbf", 2, NULL},
    {"\xe0\xa0\x80", 3, NULL},
    {"\xed\x9f\xbf", 3, NULL},
    {"\xee\x80\x80", 3, NULL},
    {"\xef\xbf\xbf", 3, NULL},
    {"\xf0\x90\x80\x80", 4, NULL},
    {"\xf4\x8f\xbf\xbf", 4, NULL},
    {"\x80", 0, FFFD},
    {"\xbf", 0, FFFD},
    {"\xc0\x80", 0, FFFD FFFD},                   /* overlong NUL */
    {"\xc1\xbf", 0, FFFD FFFD},                   /* overlong */
    {"\xe0\x9f\xbf", 0, FFFD FFFD FFFD},          /* overlong */
    {"\xf0\x8f\xbf\xbf", 0, FFFD FFFD FFFD FFFD}, /* overlong */
    {"\xed\xa0\x80", 0, FFFD FFFD FFFD},          /* surrogate U+D800 */
    {"\xed\xbf\xbf", 0, FFFD FFFD FFFD},          /* surrogate U+DFFF */
    {"\xf4\x90\x80\x80", 0, FFFD FFFD FFFD FFFD}, /* U+110000 */
    {"\xf5\x80\x80\x80", 0, FFFD FFFD FFFD FFFD},
    {"\xff", 0, FFFD},
    {"a\xc3", 1, "a" FFFD},     /* cut */
    {"a\xe2\x82", 1, "a" FFFD}, /* cut: one mark for the beginning of a sequence */
    {"a\xf0\x9f\x98", 1, "a" FFFD},
    {"a\xe2\x82"
     "b",
     1, "a" FFFD "b"},
    {"a\xc3\xa9z\xff", 4, "a\xc3\xa9z" FFFD},
};

static void test_utf8_prefix__ends_at_the_first_mistake(void **state) {
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t size = strlen(cases[i].text);
        assert_int_equal(utf8_prefix(cases[i].text, size), cases[i].prefix);
        assert_int_equal(utf8_valid(cases[i].text, size), cases[i].prefix == size);
    }
}

static void test_utf8_clean__marks_each_invalid_sequence(void **state) {
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *expected = cases[i].clean ? cases[i].clean : cases[i].text;
        size_t size = strlen(cases[i].text);
        char out[128];
        size_t used = utf8_clean(cases[i].text, size, out);
        assert_true(used <= 3 * size);
        assert_int_equal(used, strlen(expected));
        assert_memory_equal(out, expected, used);
        assert_true(utf8_valid(out, used));
    }
}

/* Every two-byte string, against the rules written down once more. */
static void test_utf8_valid__agrees_with_the_rules_on_all_pairs(void **state) {
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            uint8_t pair[2] = {(uint8_t)a, (uint8_t)b};
            bool expected =
                (a < 0x80 && b < 0x80) || (a >= 0xc2 && a <= 0xdf && b >= 0x80 && b <= 0xbf);
            assert_int_equal(utf8_valid(pair, 2), expected);
        }
    }
}

static void test_utf8_count__counts_code_points(void **state) {
    assert_int_equal(utf8_count("", 0), 0);
    assert_int_equal(utf8_count("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10), 4);
}

static void test_utf8_cut__splits_no_code_point(void **state) {
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t limit = 0; limit < ARRAY_SIZE(expected); limit++) {
        assert_int_equal(utf8_cut(text, 10, limit), expected[limit]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_prefix__ends_at_the_first_mistake),
        cmocka_unit_test(test_utf8_clean__marks_each_invalid_sequence),
        cmocka_unit_test(test_utf8_valid__agrees_with_the_rules_on_all_pairs),
        cmocka_unit_test(test_utf8_count__counts_code_points),
        cmocka_unit_test(test_utf8_cut__splits_no_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
