/* Values against rows: the items are pydantic 2's, word for word. */
#include "support.h"

#include <string.h>

struct target {
    struct body_string username, email, password, note;
    struct body_int age, limit, role, active;
    struct body_object extra;
};

static const char *const roles[] = {"admin", "user", "guest", NULL};
static const char *const two[] = {"a", "b", NULL};

static const char *no_admin(const struct body_row *row, const void *field) {
    const struct body_string *value = field;
    return strcmp(value->data, "root") == 0 ? "this name is reserved" : NULL;
}

#define ROW(name_, type_, ...)                                                                     \
    { .name = #name_, .type = type_, .offset = offsetof(struct target, name_), __VA_ARGS__ }

static const struct body_row rows[] = {
    ROW(username, BODY_STRING, .flags = BODY_REQUIRED, .min = 3, .max = 5, .check = no_admin),
    ROW(email, BODY_EMAIL),
    ROW(password, BODY_STRING, .flags = BODY_SECRET | BODY_BYTES, .min = 8, .max = 10),
    ROW(note, BODY_STRING, .flags = BODY_NULLABLE, .min = 1),
    ROW(age, BODY_INT, .flags = BODY_NULLABLE, .min = 0, .max = 150),
    ROW(limit, BODY_INT, .min = 1, .default_json = "100"),
    ROW(role, BODY_ENUM, .choices = roles, .default_json = "\"user\""),
    ROW(active, BODY_BOOL),
    ROW(extra, BODY_OBJECT),
    {0},
};

/* The items for @body without the constant "username":"abc" that makes it valid otherwise. */
static void read_items(const char *body, struct target *target, struct arena *arena,
                       struct text *out, bool strict) {
    struct body_errors errors;
    struct json *json = NULL;
    struct json_limits limits = JSON_LIMITS_DEFAULT;
    memset(target, 0, sizeof *target);
    body_errors_init(&errors, arena);
    assert_int_equal(json_parse(span_text(body), &limits, &json, NULL), 0);
    rows_read_object(rows, json, target, &errors, strict);
    text_init(out);
    body_errors_write(&errors, out, NULL);
    json_free(json);
}

static void check(const char *member, const char *expected) {
    struct arena arena;
    struct target target;
    struct text out, body;
    arena_init(&arena, MIB(1));
    text_init(&body);
    const char *before = strstr(member, "\"username\"") ? "" : "\"username\":\"abc\",";
    text_printf(&body, "{%s%s}", before, member);
    read_items(body.data, &target, &arena, &out, false);
    assert_string_equal(out.data, expected);
    text_deinit(&out);
    text_deinit(&body);
    arena_deinit(&arena);
}

static const struct {
    const char *member, *expected;
} items[] = {
    {"\"username\":\"abc\"", "[]"},
    /* strings */
    {"\"username\":123", "[{\"type\":\"string_type\",\"loc\":[\"body\",\"username\"],\"msg\":"
                         "\"Input should be a valid "
                         "string\",\"input\":123}]"},
    {"\"username\":null", "[{\"type\":\"string_type\",\"loc\":[\"body\",\"username\"],\"msg\":"
                          "\"Input should be a valid "
                          "string\",\"input\":null}]"},
    {"\"username\":[\"abc\"]", "[{\"type\":\"string_type\",\"loc\":[\"body\",\"username\"],"
                               "\"msg\":\"Input should be a valid "
                               "string\",\"input\":null}]"},
    {"\"username\":\"ab\"",
     "[{\"type\":\"string_too_short\",\"loc\":[\"body\",\"username\"],\"msg\":\"String should "
     "have at "
     "least 3 characters\",\"input\":\"ab\",\"ctx\":{\"min_length\":3}}]"},
    {"\"username\":\"abcdef\"",
     "[{\"type\":\"string_too_long\",\"loc\":[\"body\",\"username\"],\"msg\":\"String should "
     "have at "
     "most 5 characters\",\"input\":\"abcdef\",\"ctx\":{\"max_length\":5}}]"},
    {"\"username\":\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\"",
     "[]"}, /* five characters, ten bytes */
    {"\"note\":\"\"", "[{\"type\":\"string_too_short\",\"loc\":[\"body\",\"note\"],\"msg\":"
                      "\"String should have at least "
                      "1 character\",\"input\":\"\",\"ctx\":{\"min_length\":1}}]"},
    {"\"note\":null", "[]"},
    {"\"username\":\"root\"", "[{\"type\":\"value_error\",\"loc\":[\"body\",\"username\"],"
                              "\"msg\":\"Value error, this name is "
                              "reserved\",\"input\":\"root\",\"ctx\":{\"error\":{}}}]"},
    /* secrets are never sent back, and count bytes */
    {"\"password\":\"hunter2\"",
     "[{\"type\":\"string_too_short\",\"loc\":[\"body\",\"password\"],\"msg\":\"String should "
     "have at "
     "least 8 characters\",\"input\":null,\"ctx\":{\"min_length\":8}}]"},
    {"\"password\":\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x\"",
     "[{\"type\":\"string_too_long\",\"loc\":[\"body\",\"password\"],\"msg\":\"String should "
     "have at "
     "most 10 bytes\",\"input\":null,\"ctx\":{\"max_length\":10}}]"},
    {"\"password\":12345678", "[{\"type\":\"string_type\",\"loc\":[\"body\",\"password\"],"
                              "\"msg\":\"Input should be a valid "
                              "string\",\"input\":null}]"},
    /* integers */
    {"\"age\":25", "[]"},
    {"\"age\":\"25\"", "[]"},
    {"\"age\":\" +025.00 \"", "[]"},
    {"\"age\":25.0", "[]"},
    {"\"age\":null", "[]"},
    {"\"age\":true",
     "[{\"type\":\"int_type\",\"loc\":[\"body\",\"age\"],\"msg\":\"Input should be a valid "
     "integer\",\"input\":true}]"},
    {"\"age\":{}",
     "[{\"type\":\"int_type\",\"loc\":[\"body\",\"age\"],\"msg\":\"Input should be a valid "
     "integer\",\"input\":null}]"},
    {"\"age\":25.5", "[{\"type\":\"int_from_float\",\"loc\":[\"body\",\"age\"],\"msg\":\"Input "
                     "should be a valid "
                     "integer, got a number with a fractional part\",\"input\":25.5}]"},
    {"\"age\":\"x\"", "[{\"type\":\"int_parsing\",\"loc\":[\"body\",\"age\"],\"msg\":\"Input "
                      "should be a valid integer, "
                      "unable to parse string as an integer\",\"input\":\"x\"}]"},
    {"\"age\":\"1e3\"", "[{\"type\":\"int_parsing\",\"loc\":[\"body\",\"age\"],\"msg\":\"Input "
                        "should be a valid integer, "
                        "unable to parse string as an integer\",\"input\":\"1e3\"}]"},
    {"\"age\":-1", "[{\"type\":\"greater_than_equal\",\"loc\":[\"body\",\"age\"],\"msg\":"
                   "\"Input should be greater "
                   "than or equal to 0\",\"input\":-1,\"ctx\":{\"ge\":0}}]"},
    {"\"age\":151", "[{\"type\":\"less_than_equal\",\"loc\":[\"body\",\"age\"],\"msg\":\"Input "
                    "should be less than or "
                    "equal to 150\",\"input\":151,\"ctx\":{\"le\":150}}]"},
    {"\"age\":\"99999999999999999999\"",
     "[{\"type\":\"less_than_equal\",\"loc\":[\"body\",\"age\"],\"msg\":\"Input should be less "
     "than or "
     "equal to 150\",\"input\":\"99999999999999999999\",\"ctx\":{\"le\":150}}]"},
    {"\"limit\":0", "[{\"type\":\"greater_than_equal\",\"loc\":[\"body\",\"limit\"],\"msg\":"
                    "\"Input should be greater "
                    "than or equal to 1\",\"input\":0,\"ctx\":{\"ge\":1}}]"},
    {"\"limit\":9223372036854775807", "[]"},
    {"\"limit\":\"9223372036854775808\"",
     "[{\"type\":\"int_parsing_size\",\"loc\":[\"body\",\"limit\"],\"msg\":\"Unable to parse "
     "input "
     "string as an integer, exceeded maximum size\",\"input\":\"9223372036854775808\"}]"},
    {"\"limit\":null",
     "[{\"type\":\"int_type\",\"loc\":[\"body\",\"limit\"],\"msg\":\"Input should be a valid "
     "integer\",\"input\":null}]"},
    /* choices */
    {"\"role\":\"admin\"", "[]"},
    {"\"role\":\"Admin\"",
     "[{\"type\":\"enum\",\"loc\":[\"body\",\"role\"],\"msg\":\"Input should be 'admin', "
     "'user' or "
     "'guest'\",\"input\":\"Admin\",\"ctx\":{\"expected\":\"'admin', 'user' or 'guest'\"}}]"},
    {"\"role\":1",
     "[{\"type\":\"enum\",\"loc\":[\"body\",\"role\"],\"msg\":\"Input should be 'admin', "
     "'user' or "
     "'guest'\",\"input\":1,\"ctx\":{\"expected\":\"'admin', 'user' or 'guest'\"}}]"},
    /* booleans */
    {"\"active\":true", "[]"},
    {"\"active\":\"YES\"", "[]"},
    {"\"active\":0", "[]"},
    {"\"active\":2", "[{\"type\":\"bool_parsing\",\"loc\":[\"body\",\"active\"],\"msg\":"
                     "\"Input should be a valid "
                     "boolean, unable to interpret input\",\"input\":2}]"},
    {"\"active\":null",
     "[{\"type\":\"bool_type\",\"loc\":[\"body\",\"active\"],\"msg\":\"Input should be a valid "
     "boolean\",\"input\":null}]"},
    /* objects */
    {"\"extra\":{\"a\":1}", "[]"},
    {"\"extra\":\"x\"",
     "[{\"type\":\"dict_type\",\"loc\":[\"body\",\"extra\"],\"msg\":\"Input should be a valid "
     "dictionary\",\"input\":\"x\"}]"},
    /* email */
    {"\"email\":\"john@example.com\"", "[]"},
    {"\"email\":\"john\"", "[{\"type\":\"value_error\",\"loc\":[\"body\",\"email\"],\"msg\":"
                           "\"value is not a valid email "
                           "address: An email address must have an "
                           "@-sign.\",\"input\":\"john\",\"ctx\":{\"reason\":\"An "
                           "email address must have an @-sign.\"}}]"},
    /* unknown members are ignored */
    {"\"unknown\":1", "[]"},
    /* two at once, in the order of the rows */
    {"\"age\":-1,\"email\":1",
     "[{\"type\":\"string_type\",\"loc\":[\"body\",\"email\"],\"msg\":\"Input should be a "
     "valid "
     "string\",\"input\":1},{\"type\":\"greater_than_equal\",\"loc\":[\"body\",\"age\"],"
     "\"msg\":\"Input "
     "should be greater than or equal to 0\",\"input\":-1,\"ctx\":{\"ge\":0}}]"},
};

static void test_rows_read_object__items(void **state) {
    for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
        check(items[i].member, items[i].expected);
    }
}

static void test_rows_read_object__missing_does_not_echo_the_body(void **state) {
    struct arena arena;
    struct target target;
    struct text out;
    arena_init(&arena, MIB(1));
    read_items("{\"password\":\"hunter2hunter\"}", &target, &arena, &out, false);
    assert_non_null(strstr(out.data,
                           "{\"type\":\"missing\",\"loc\":[\"body\",\"username\"],\"msg\":\"Field "
                           "required\",\"input\":null}"));
    assert_null(strstr(out.data, "hunter2"));
    text_deinit(&out);
    arena_deinit(&arena);
}

static void test_rows_read_object__stores(void **state) {
    struct arena arena;
    struct target target;
    struct text out;
    arena_init(&arena, MIB(1));
    read_items(
        "{\"username\":\"abc\",\"email\":\"John.Doe@EXAMPLE.Com\",\"age\":\"25\",\"note\":null,"
        "\"active\":\"off\"}",
        &target, &arena, &out, false);
    assert_string_equal(out.data, "[]");
    assert_string_equal(target.username.data, "abc");
    assert_int_equal(target.username.size, 3);
    assert_string_equal(target.email.data, "John.Doe@example.com");
    assert_int_equal(target.age.value, 25);
    assert_true(target.note.present && target.note.null);
    assert_true(target.active.present && !target.active.value);
    assert_int_equal(target.limit.value, 100); /* defaults */
    assert_int_equal(target.role.value, 1);
    assert_false(target.password.present);
    text_deinit(&out);
    arena_deinit(&arena);
}

static void test_rows_read_object__strict_forbids_unknown_members(void **state) {
    struct arena arena;
    struct target target;
    struct text out;
    arena_init(&arena, MIB(1));
    read_items("{\"username\":\"abc\",\"is_admin\":true}", &target, &arena, &out, true);
    assert_string_equal(out.data,
                        "[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"is_admin\"],\"msg\":"
                        "\"Extra inputs are not permitted\",\"input\":null}]");
    text_deinit(&out);
    arena_deinit(&arena);
}

static void test_rows_read_text__items(void **state) {
    static const struct body_row id =
        ROW(limit, BODY_INT, .flags = BODY_REQUIRED, .min = 1, .max = INT64_MAX);
    static const struct body_row choice = ROW(role, BODY_ENUM, .choices = two);
    static const struct {
        const struct body_row *row;
        const char *value, *type;
    } cases[] = {
        {&id, "1", NULL},
        {&id, "+1", NULL},
        {&id, "01", NULL},
        {&id, "9223372036854775807", NULL},
        {&id, "0", "greater_than_equal"},
        {&id, "-1", "greater_than_equal"},
        {&id, "-99999999999999999999", "greater_than_equal"},
        {&id, "9223372036854775808", "int_parsing_size"},
        {&id, "18446744073709551617", "int_parsing_size"},
        {&id, "1e3", "int_parsing"},
        {&id, "1.5", "int_parsing"},
        {&id, "0x1", "int_parsing"},
        {&id, "abc", "int_parsing"},
        {&id, "", "int_parsing"},
        {&id, "-", "int_parsing"},
        {&id, NULL, "missing"},
        {&choice, "b", NULL},
        {&choice, "c", "enum"},
        {&choice, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena;
        struct body_errors errors;
        struct target target = {0};
        arena_init(&arena, MIB(1));
        body_errors_init(&errors, &arena);
        rows_read_text(cases[i].row, "query", span_text(cases[i].value), &target, &errors);
        assert_int_equal(errors.count, cases[i].type ? 1 : 0);
        if (cases[i].type) {
            assert_string_equal(errors.first->type, cases[i].type);
        }
        arena_deinit(&arena);
    }
}

static void test_body_errors__are_bounded(void **state) {
    struct arena arena;
    struct body_errors errors;
    arena_init(&arena, MIB(1));
    body_errors_init(&errors, &arena);
    for (int i = 0; i < 1000; i++) {
        body_error_add(&errors, "body", "x", "missing", "Field required", NULL, SPAN_NULL);
    }
    assert_int_equal(errors.count, BODY_ERRORS_MAX);
    arena_deinit(&arena);
}

static void test_email_check__table(void **state) {
    static const struct {
        const char *email;
        bool valid;
    } cases[] = {
        {"a@b.co", true},
        {"first.last+tag@sub.example.com", true},
        {"!#$%&'*+-/=?^_`{|}~@example.com", true},
        {"1234567890123456789012345678901234567890123456789012345678901234@x.org", true},
        {"12345678901234567890123456789012345678901234567890123456789012345@x.org", false},
        {"", false},
        {"a", false},
        {"@b.co", false},
        {"a@", false},
        {"a@b", false},
        {"a@@b.co", false},
        {"a@b@c.co", false},
        {".a@b.co", false},
        {"a.@b.co", false},
        {"a..b@c.co", false},
        {"a b@c.co", false},
        {"\"a\"@c.co", false},
        {"a@.b.co", false},
        {"a@b.co.", false},
        {"a@b..co", false},
        {"a@-b.co", false},
        {"a@b-.co", false},
        {"a@b.co-", false},
        {"a@b_c.co", false},
        {"a@[127.0.0.1]", false},
        {"a@127.0.0.1", false},
        {"a@\xc3\xa4.de", false},
        {"\xc3\xa4@a.de", false},
        {"a\n@b.co", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *wrong = email_check(span_text(cases[i].email));
        if (!wrong != cases[i].valid) {
            fail_msg("%s: %s", cases[i].email, wrong ? wrong : "taken");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_read_object__items),
        cmocka_unit_test(test_rows_read_object__missing_does_not_echo_the_body),
        cmocka_unit_test(test_rows_read_object__stores),
        cmocka_unit_test(test_rows_read_object__strict_forbids_unknown_members),
        cmocka_unit_test(test_rows_read_text__items),
        cmocka_unit_test(test_body_errors__are_bounded),
        cmocka_unit_test(test_email_check__table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
