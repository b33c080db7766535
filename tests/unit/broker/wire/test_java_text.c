/* Texts as Java counts them. */
#include "java_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_java_text__counts_utf16_units(void **state) {
    assert_int_equal(java_text_length(SPAN_LITERAL("")), 0);
    assert_int_equal(java_text_length(SPAN_LITERAL("abc")), 3);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xc3\xbc")), 1);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xe2\x82\xac")), 1);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xf0\x9f\x98\x80")), 2);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xff\x80")), 2);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xe2\x82")), 1); /* cut */
}

/* "polygenelubricants".hashCode() is Integer.MIN_VALUE. */
static void test_java_text__places_as_kafka_does(void **state) {
    assert_int_equal(java_text_place(SPAN_LITERAL("polygenelubricants"), 50), 0);
    assert_int_equal(java_text_place(SPAN_LITERAL("a"), 50), 97 % 50);
    assert_int_equal(java_text_place(SPAN_LITERAL("my-group"), 50), 12); /* hash -1906497762 */
    assert_int_equal(java_text_place(SPAN_LITERAL("\xc3\xbc"), 50), 0xfc % 50);
    assert_int_equal(java_text_place(SPAN_LITERAL("\xf0\x9f\x98\x80"), 50),
                     (31 * 0xd83d + 0xde00) % 50);
}

static void test_java_text__hashes_units_and_no_bytes(void **state) {
    assert_int_equal(java_text_hash(SPAN_LITERAL("")), 0);
    assert_int_equal(java_text_hash(SPAN_LITERAL("ab")), 31 * 'a' + 'b');
    assert_int_equal(java_text_hash(SPAN_LITERAL("a\xef\xbf\xbd")), 31 * 'a' + 0xfffd);
}

/* What a JDK 21 makes of these. */
static void test_java_text__cleans_as_java_does(void **state) {
    static const struct {
        struct span text;
        unsigned mistakes;
        const char *rest;
    } cases[] = {
        {SPAN_LITERAL("\xed\xa0\x80"), 1, ""},
        {SPAN_LITERAL("\xed\xa0\x80\xed\xbf\xbf!"), 2, "!"},
        {SPAN_LITERAL("\xed\xa0"), 1, ""},
        {SPAN_LITERAL("\xed\xa0z"), 1, "z"},
        {SPAN_LITERAL("\xedz"), 1, "z"},
        {SPAN_LITERAL("\xe2\x82z"), 1, "z"},
        {SPAN_LITERAL("\xe0\x80\x80z"), 3, "z"},
        {SPAN_LITERAL("\xf0\x9f\x98z"), 1, "z"},
        {SPAN_LITERAL("\xf0\x80\x80\x80"), 4, ""},
        {SPAN_LITERAL("\xf4\x90\x80\x80"), 4, ""},
        {SPAN_LITERAL("\xf5\x80\xc0z"), 3, "z"},
        {SPAN_LITERAL("\xc3\xc3\xa9"), 1, "\xc3\xa9"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[64];
        size_t used = java_text_clean(cases[i].text.data, cases[i].text.size, out);
        size_t rest = strlen(cases[i].rest);

        assert_int_equal(used, 3 * cases[i].mistakes + rest);
        assert_int_equal(java_text_length(cases[i].text),
                         java_text_length(span_of(out, used))); /* counted as it is read */
        assert_int_equal(java_text_hash(cases[i].text), java_text_hash(span_of(out, used)));
        assert_memory_equal(out, "\xef\xbf\xbd", 3);
        assert_memory_equal(out + used - rest, cases[i].rest, rest);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_java_text__counts_utf16_units),
        cmocka_unit_test(test_java_text__places_as_kafka_does),
        cmocka_unit_test(test_java_text__hashes_units_and_no_bytes),
        cmocka_unit_test(test_java_text__cleans_as_java_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
