/* Texts as Java counts them. */
#include "java_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_java_text__counts_utf16_units(void **state) {
    assert_int_equal(java_text_length(SPAN_LITERAL("")), 0);
    assert_int_equal(java_text_length(SPAN_LITERAL("abc")), 3);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xc3\xbc")), 1);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xe2\x82\xac")), 1);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xf0\x9f\x98\x80")), 2);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xff\x80")), 2);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xe2\x82")), 2); /* cut */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_java_text__counts_utf16_units),
        cmocka_unit_test(test_java_text__places_as_kafka_does),
        cmocka_unit_test(test_java_text__hashes_units_and_no_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
