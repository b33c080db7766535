#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/error.h>
#include <eventbox/base/json.h>
#include <stdio.h>

static const struct json_limits limits = {KIB(64), 32, 10000};

static struct json *parse(const char *text) {
    struct json *json = NULL;
    assert_int_equal(json_parse(span_text(text), &limits, &json, NULL), 0);
    assert_non_null(json);
    return json;
}

/* A text that is no JSON to us, and what is said about it. */
struct refusal {
    const char *text;
    size_t position;
    const char *message;
};

static struct json_error refuse(const struct refusal *wanted) {
    struct json *json = NULL;
    struct json_error error = {0};
    int r = json_parse(span_text(wanted->text), &limits, &json, &error);
    if (r != JSON_E_INVALID || error.position != wanted->position) {
        fail_msg("%s: %d at %zu", wanted->text, r, error.position);
    }
    assert_string_equal(error.text, wanted->message);
    assert_null(json);
    return error;
}

/* The places and words are those of CPython 3.11. */
static void test_json_parse__refuses_as_python_does(void **state) {
    static const struct refusal cases[] = {
        {"", 0, "Expecting value"},
        {"   ", 3, "Expecting value"},
        {"nul", 0, "Expecting value"},
        {"True", 0, "Expecting value"},
        {"-", 0, "Expecting value"},
        {"+1", 0, "Expecting value"},
        {".5", 0, "Expecting value"},
        {"'a'", 0, "Expecting value"},
        {"[", 1, "Expecting value"},
        {"[1,", 3, "Expecting value"},
        {"[1,]", 3, "Expecting value"},
        {"[,1]", 1, "Expecting value"},
        {"[1,,2]", 3, "Expecting value"},
        {"{\"a\":", 5, "Expecting value"},
        {"{\"a\":tru}", 5, "Expecting value"},
        {"{\"a\":}", 5, "Expecting value"},
        {"{", 1, "Expecting property name enclosed in double quotes"},
        {"{a:1}", 1, "Expecting property name enclosed in double quotes"},
        {"{1:2}", 1, "Expecting property name enclosed in double quotes"},
        {"{'a':1}", 1, "Expecting property name enclosed in double quotes"},
        {"{,}", 1, "Expecting property name enclosed in double quotes"},
        {"{\"a\":1,", 7, "Expecting property name enclosed in double quotes"},
        {"{\"a\":1,}", 7, "Expecting property name enclosed in double quotes"},
        {"{ \"a\":1 , }", 10, "Expecting property name enclosed in double quotes"},
        {"{\"a\"", 4, "Expecting ':' delimiter"},
        {"{\"a\" 1}", 5, "Expecting ':' delimiter"},
        {"{\"a\":1,\"b\"}", 10, "Expecting ':' delimiter"},
        {"{\"a\":1", 6, "Expecting ',' delimiter"},
        {"{\"a\":1 \"b\":2}", 7, "Expecting ',' delimiter"},
        {"{\"a\":1]", 6, "Expecting ',' delimiter"},
        {"{\"a\":01}", 6, "Expecting ',' delimiter"},
        {"[1", 2, "Expecting ',' delimiter"},
        {"[1 2]", 3, "Expecting ',' delimiter"},
        {"[1}", 2, "Expecting ',' delimiter"},
        {"[[]1]", 3, "Expecting ',' delimiter"},
        {"[{}{}]", 3, "Expecting ',' delimiter"},
        {"[[1]", 4, "Expecting ',' delimiter"},
        {"{\"a\":1} x", 8, "Extra data"},
        {"{}{}", 2, "Extra data"},
        {"[]]", 2, "Extra data"},
        {"007", 1, "Extra data"},
        {"-01", 2, "Extra data"},
        {"1.", 1, "Extra data"},
        {"1.e5", 1, "Extra data"},
        {"1e", 1, "Extra data"},
        {"1e+", 1, "Extra data"},
        {"0x10", 1, "Extra data"},
        {"1\f", 1, "Extra data"},
        {"\"abc", 0, "Unterminated string starting at"},
        {"[\"abc]", 1, "Unterminated string starting at"},
        {"\"\\", 0, "Unterminated string starting at"},
        {"\"a\x01\"", 2, "Invalid control character at"},
        {"\"a\nb\"", 2, "Invalid control character at"},
        {"{\"a\tb\":1}", 3, "Invalid control character at"},
        {"\"\\q\"", 1, "Invalid \\escape"},
        {"\"\\U0041\"", 1, "Invalid \\escape"},
        {"\"\\u12\"", 2, "Invalid \\uXXXX escape"},
        {"\"\\u12G4\"", 2, "Invalid \\uXXXX escape"},
        {"\"\\u1234", 2, "Invalid \\uXXXX escape"},
        {"\"\\ud83d\\uDZ00\"", 8, "Invalid \\uXXXX escape"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json_error error = refuse(&cases[i]);
        assert_int_equal(error.characters, cases[i].position);
    }
}

/* What Python or cJSON let through and we do not. */
static void test_json_parse__refuses_what_c_cannot_carry(void **state) {
    static const struct refusal cases[] = {
        {"{\"user\":\"admin\\u0000x\"}", 14, "Escape \\u0000 is not allowed"},
        {"{\"a\\u0000\":1}", 3, "Escape \\u0000 is not allowed"},
        {"\"\\ud800\"", 1, "Lone surrogate in \\uXXXX escape"},
        {"\"\\udc00\"", 1, "Lone surrogate in \\uXXXX escape"},
        {"\"\\ud800\\ud800\"", 1, "Lone surrogate in \\uXXXX escape"},
        {"\"\\ud800\\n\"", 1, "Lone surrogate in \\uXXXX escape"},
        {"\"\\ud800x\"", 1, "Lone surrogate in \\uXXXX escape"},
        {"NaN", 0, "Expecting value"},
        {"[Infinity]", 1, "Expecting value"},
        {"-Infinity", 0, "Expecting value"},
        {"[1, 1e999]", 4, "Number out of range"},
        {"-1e400", 0, "Number out of range"},
        {"\xef\xbb\xbf{}", 0, "Expecting value"},
        {"\"a\xc0\x80\"", 2, "Invalid UTF-8"},
        {"\"\xed\xa0\x80\"", 1, "Invalid UTF-8"},
        {"{\"a\":\"\xff\"}", 6, "Invalid UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        refuse(&cases[i]);
    }
}

static void test_json_parse__refuses_a_raw_zero_byte(void **state) {
    static const struct {
        struct span text;
        size_t position;
    } cases[] = {
        {{"{}\0", 3}, 2},     {{"\0", 1}, 0},     {{"\"a\0\"", 4}, 2},
        {{"\"\\\0\"", 4}, 1}, {{"[1,\0]", 5}, 3},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *json;
        struct json_error error;
        assert_int_equal(json_parse(cases[i].text, &limits, &json, &error), JSON_E_INVALID);
        assert_int_equal(error.position, cases[i].position);
    }
}

static void test_json_parse__counts_mistakes_in_code_points(void **state) {
    struct json_error error;
    struct json *json;

    assert_int_equal(
        json_parse(span_text("{\"\xc3\xa9\xf0\x9f\x98\x80\": x}"), &limits, &json, &error),
        JSON_E_INVALID);
    assert_int_equal(error.position, 11);
    assert_int_equal(error.characters, 7);
}

static void test_json_parse__reads_integers_exactly(void **state) {
    static const struct {
        const char *text;
        enum json_type type;
        int64_t integer;
    } cases[] = {
        {"0", JSON_INT, 0},
        {"-0", JSON_INT, 0},
        {"7", JSON_INT, 7},
        {" -12 ", JSON_INT, -12},
        {"9007199254740993", JSON_INT, INT64_C(9007199254740993)}, /* 2^53 + 1 */
        {"9223372036854775807", JSON_INT, INT64_MAX},
        {"-9223372036854775808", JSON_INT, INT64_MIN},
        {"9223372036854775808", JSON_DOUBLE, 0},
        {"-9223372036854775809", JSON_DOUBLE, 0},
        {"99999999999999999999999999", JSON_DOUBLE, 0},
        {"1.0", JSON_DOUBLE, 0},
        {"1e2", JSON_DOUBLE, 0},
        {"1E+2", JSON_DOUBLE, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *json = parse(cases[i].text);
        assert_int_equal(json_type_of(json), cases[i].type);
        if (cases[i].type == JSON_INT) {
            assert_true(json_int(json) == cases[i].integer);
            assert_true(json_double(json) == (double)cases[i].integer);
        }
        json_free(json);
    }
}

static void test_json_parse__keeps_numbers_in_their_places(void **state) {
    struct json *json = parse("{\"a\":[1,[2.5,{\"b\":3}],-4],\"c\":9007199254740993,\"d\":[]}");
    struct text out;

    text_init(&out);
    json_convert(json, &out);
    assert_string_equal(out.data, "{\"a\":[1,[2.5,{\"b\":3}],-4],\"c\":9007199254740993,\"d\":[]}");
    text_deinit(&out);
    json_free(json);
}

static void test_json_parse__unescapes_strings(void **state) {
    struct json *json =
        parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\xc3\xa9\x7f\"");

    assert_int_equal(json_type_of(json), JSON_STRING);
    assert_string_equal(json_string(json).data,
                        "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9\x7f");
    json_free(json);
}

static void test_json_parse__refuses_duplicate_names(void **state) {
    static const char *const texts[] = {
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"b\":2,\"\\u0061\":3}",
        "[{\"x\":{\"\":1,\"\":1}}]",
    };
    struct json *json = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(json_parse(span_text(texts[i]), &limits, &json, NULL),
                         JSON_E_DUPLICATE_KEY);
    }
    json_free(parse("{\"a\":1,\"A\":2,\"b\":{\"a\":3}}"));
}

static void test_json_parse__refuses_duplicates_among_many(void **state) {
    struct text text;
    struct json *json = NULL;

    text_init(&text);
    json_write_object(&text, NULL);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        json_write_int(&text, name, i);
    }
    json_write_object_end(&text);
    assert_int_equal(json_parse(text_span(&text), &limits, &json, NULL), 0);
    assert_int_equal(json_int(json_member(json, "n1999")), 1999);
    json_free(json);
    text.size--;
    json_write_null(&text, "n77");
    json_write_object_end(&text);
    assert_int_equal(json_parse(text_span(&text), &limits, &json, NULL), JSON_E_DUPLICATE_KEY);
    text_deinit(&text);
}

/* @count times @unit, in between a beginning and an end. */
static struct span repeat(struct text *text, const char *begin, const char *unit, unsigned count,
                          const char *end) {
    text_clear(text);
    text_append_str(text, begin);
    for (unsigned i = 0; i < count; i++) {
        text_append_str(text, unit);
    }
    text_append_str(text, end);
    return text_span(text);
}

static void test_json_parse__stops_at_each_limit(void **state) {
    struct json_limits deep = {MIB(4), 1000000, 1000000};
    struct json *json = NULL;
    struct text text;
    struct span span;

    text_init(&text);
    span = repeat(&text, "[", "0,", 9998, "0]"); /* with the array: 10,000 nodes */
    assert_int_equal(json_parse(span, &limits, &json, NULL), 0);
    json_free(json);
    span = repeat(&text, "[", "0,", 9999, "0]");
    assert_int_equal(json_parse(span, &limits, &json, NULL), JSON_E_LIMIT);
    span = repeat(&text, "\"", "x", KIB(64) - 2, "\"");
    assert_int_equal(json_parse(span, &limits, &json, NULL), 0);
    json_free(json);
    span = repeat(&text, "\"", "x", KIB(64) - 1, "\"");
    assert_int_equal(json_parse(span, &limits, &json, NULL), JSON_E_LIMIT);
    span = repeat(&text, "", "[", 1000000, "");
    assert_int_equal(json_parse(span, &deep, &json, NULL), JSON_E_LIMIT);
    span = repeat(&text, "", "1", JSON_NUMBER_MAX_BYTES, "");
    assert_int_equal(json_parse(span, &limits, &json, NULL), 0);
    json_free(json);
    span = repeat(&text, "", "1", JSON_NUMBER_MAX_BYTES + 1, "");
    assert_int_equal(json_parse(span, &limits, &json, NULL), JSON_E_LIMIT);
    text_deinit(&text);
}

static void test_json_parse__nests_up_to_the_depth(void **state) {
    static const unsigned depths[] = {1, 8, 9, 32, JSON_DEPTH_MAX};
    struct text text;

    text_init(&text);
    for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
        struct json_limits some = {MIB(1), depths[i], 100000};
        for (unsigned extra = 0; extra < 2; extra++) {
            struct json *json = NULL;
            text_clear(&text);
            for (unsigned level = 0; level < depths[i] + extra; level++) {
                text_append_str(&text, level % 3 ? "{\"a\":" : "[");
            }
            text_append_char(&text, '1');
            for (unsigned level = depths[i] + extra; level-- > 0;) {
                text_append_char(&text, level % 3 ? '}' : ']');
            }
            assert_int_equal(json_parse(text_span(&text), &some, &json, NULL),
                             extra ? JSON_E_LIMIT : 0);
            json_free(extra ? NULL : json);
        }
    }
    text_deinit(&text);
}

static void test_json_member__is_case_sensitive(void **state) {
    struct json *json = parse("{\"Admin\":true,\"list\":[1,\"two\",null],\"\":2}");
    const struct json *item;

    assert_null(json_member(json, "admin"));
    assert_true(json_bool(json_member(json, "Admin")));
    assert_int_equal(json_int(json_member(json, "")), 2);
    assert_null(json_member(json_member(json, "list"), "Admin"));
    assert_null(json_member(json_member(json, "Admin"), "Admin"));
    item = json_first(json_member(json, "list"));
    assert_int_equal(json_int(item), 1);
    item = json_next(item);
    assert_string_equal(json_string(item).data, "two");
    item = json_next(item);
    assert_int_equal(json_type_of(item), JSON_NULL);
    assert_null(json_next(item));
    assert_string_equal(json_name(json_first(json)).data, "Admin");
    assert_null(json_first(json_member(json, "Admin")));
    json_free(json);
}

static void test_json_free__accepts_null(void **state) {
    json_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_parse__refuses_as_python_does),
        cmocka_unit_test(test_json_parse__refuses_what_c_cannot_carry),
        cmocka_unit_test(test_json_parse__refuses_a_raw_zero_byte),
        cmocka_unit_test(test_json_parse__counts_mistakes_in_code_points),
        cmocka_unit_test(test_json_parse__reads_integers_exactly),
        cmocka_unit_test(test_json_parse__keeps_numbers_in_their_places),
        cmocka_unit_test(test_json_parse__unescapes_strings),
        cmocka_unit_test(test_json_parse__refuses_duplicate_names),
        cmocka_unit_test(test_json_parse__refuses_duplicates_among_many),
        cmocka_unit_test(test_json_parse__stops_at_each_limit),
        cmocka_unit_test(test_json_parse__nests_up_to_the_depth),
        cmocka_unit_test(test_json_member__is_case_sensitive),
        cmocka_unit_test(test_json_free__accepts_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
