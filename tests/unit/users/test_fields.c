/* What the body rows say about a value: their own checks, without the parser around them. */
#include "users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct body_row *row(const struct body_row *rows, const char *name) {
    for (; rows->name; rows++) {
        if (!strcmp(rows->name, name)) {
            return rows;
        }
    }
    fail_msg("no row %s", name);
    return NULL;
}

static bool good(const char *name, const char *value) {
    const struct body_row *found = row(user_create_rows, name);
    struct body_string field = {.data = value, .size = strlen(value), .present = true};
    return !found->check(found, &field);
}

static void test_rows__username_is_plain_ascii(void **state) {
    assert_true(good("username", "john_doe"));
    assert_true(good("username", "9.a-b"));
    assert_false(good("username", "_john"));
    assert_false(good("username", ".john"));
    assert_false(good("username", "john doe"));
    assert_false(good("username", "john@doe"));
    assert_false(good("username", "j\xc3\xb6hn")); /* ö */
    assert_false(good("username", "\xe2\x84\xaa"
                                  "elvin")); /* Kelvin sign, folds to k */
    assert_false(good("username", "john\n"));
}

static void test_rows__full_name_has_nothing_hidden(void **state) {
    assert_true(good("full_name", "John Doe"));
    assert_true(good("full_name", "J\xc3\xb6rg \xe5\xb1\xb1\xe7\x94\xb0 \xf0\x9f\x98\x80"));
    assert_false(good("full_name", "John\x07"));
    assert_false(good("full_name", "John\x7f"));
    assert_false(good("full_name", "John\xc2\x85")); /* NEL */
    assert_false(good("full_name", "\xe2\x80\xae"
                                   "eoD"));           /* right-to-left override */
    assert_false(good("full_name", "\xe2\x81\xa6x")); /* isolate */
}

static void test_rows__password_is_secret_and_counts_bytes(void **state) {
    const struct body_row *password = row(user_create_rows, "password");
    assert_true(password->flags & BODY_SECRET);
    assert_true(password->flags & BODY_BYTES);
    assert_int_equal(password->min, 8);
    assert_int_equal(password->max, 256);
    assert_true(row(login_rows, "password")->flags & BODY_SECRET);
    assert_true(row(user_update_rows, "password")->flags & BODY_SECRET);
    assert_false(row(user_update_rows, "password")->flags & BODY_REQUIRED);
}

static void test_rows__only_create_has_defaults(void **state) {
    assert_string_equal(row(user_create_rows, "role")->default_json, "\"user\"");
    for (const struct body_row *each = user_update_rows; each->name; each++) {
        assert_null(each->default_json);
    }
}

static void test_fields_trim__removes_spaces_at_both_ends(void **state) {
    assert_true(span_equal(fields_trim(SPAN_LITERAL("  John Doe ")), SPAN_LITERAL("John Doe")));
    assert_int_equal(fields_trim(SPAN_LITERAL("   ")).size, 0);
}

static void test_fields_password_problem__names_what_it_resembles(void **state) {
    struct span name = SPAN_LITERAL("john_doe"), email = SPAN_LITERAL("jdoe77@example.com");
    assert_null(fields_password_problem(SPAN_LITERAL("SecurePass123"), name, email));
    assert_non_null(
        strstr(fields_password_problem(SPAN_LITERAL("John_Doe1"), name, email), "username"));
    assert_non_null(
        strstr(fields_password_problem(SPAN_LITERAL("xxJDOE77xx"), name, email), "email"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows__username_is_plain_ascii),
        cmocka_unit_test(test_rows__full_name_has_nothing_hidden),
        cmocka_unit_test(test_rows__password_is_secret_and_counts_bytes),
        cmocka_unit_test(test_rows__only_create_has_defaults),
        cmocka_unit_test(test_fields_trim__removes_spaces_at_both_ends),
        cmocka_unit_test(test_fields_password_problem__names_what_it_resembles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
