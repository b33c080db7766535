#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/json.h>
#include <math.h>

static void test_json_write__places_commas(void **state) {
    struct text out;

    text_init(&out);
    json_write_object(&out, NULL);
    json_write_int(&out, "int", -7);
    json_write_array(&out, "list");
    json_write_bool(&out, NULL, true);
    json_write_bool(&out, NULL, false);
    json_write_null(&out, NULL);
    json_write_array(&out, NULL);
    json_write_array_end(&out);
    json_write_object(&out, NULL);
    json_write_object_end(&out);
    json_write_string(&out, NULL, SPAN_LITERAL("[,"));
    json_write_double(&out, NULL, 1e300);
    json_write_array_end(&out);
    json_write_raw(&out, "raw", SPAN_LITERAL("{\"x\": 1}\n"));
    json_write_string(&out, "empty", SPAN_NULL);
    json_write_object_end(&out);
    assert_string_equal(out.data, "{\"int\":-7,\"list\":[true,false,null,[],{},\"[,\",1e+300],"
                                  "\"raw\":{\"x\": 1},\"empty\":\"\"}");
    text_append_char(&out, '\n'); /* the next document of a stream */
    json_write_object(&out, NULL);
    assert_string_equal(out.data + out.size - 2, "\n{");
    text_deinit(&out);
}

static void test_json_write_string__escapes_as_python(void **state) {
    static const struct {
        struct span in;
        const char *out;
    } cases[] = {
        {{"plain", 5}, "\"plain\""},
        {{"\"\\/", 3}, "\"\\\"\\\\/\""},
        {{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
        {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001f\x7f\""},
        {{"\xc3\xa9\xe2\x80\xa8", 5}, "\"\xc3\xa9\xe2\x80\xa8\""},
        {{"a\xff\"b", 4}, "\"a\xef\xbf\xbd\\\"b\""},
        {{"\xed\xa0\x80", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct text out;
        text_init(&out);
        json_write_string(&out, NULL, cases[i].in);
        assert_string_equal(out.data, cases[i].out);
        text_deinit(&out);
    }
}

static void test_json_write_double__is_short_and_exact(void **state) {
    static const struct {
        double in;
        const char *out;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {1e-5, "1e-05"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct text out;
        text_init(&out);
        json_write_double(&out, NULL, cases[i].in);
        assert_string_equal(out.data, cases[i].out);
        text_deinit(&out);
    }
}

static void test_json_write__escapes_names(void **state) {
    struct text out;

    text_init(&out);
    json_write_int(&out, "a\"b\n", 1);
    assert_string_equal(out.data, "\"a\\\"b\\n\":1");
    text_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_write__places_commas),
        cmocka_unit_test(test_json_write_string__escapes_as_python),
        cmocka_unit_test(test_json_write_double__is_short_and_exact),
        cmocka_unit_test(test_json_write__escapes_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
