#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <eventbox/base/error.h>
#include <string.h>

static void test_error_row_get__has_the_row_of_each_code(void **state) {
    assert_string_equal(error_row_get(JSON_E_INVALID)->symbol, "JSON_E_INVALID");
    assert_int_equal(error_row_get(JSON_E_INVALID)->http_status, 422);
    assert_string_equal(error_row_get(BROKER_E_CORRUPT)->symbol, "BROKER_E_CORRUPT");
    assert_true(error_row_get(WORK_E_FULL)->retriable);
    for (int code = ERROR_FIRST + 1; code < ERROR_END; code++) {
        assert_in_range(error_row_get(code)->http_status, 400, 599);
    }
}

static void test_error_row_get__answers_internal_for_everything_else(void **state) {
    static const int codes[] = {-EIO, -4095, 0, 1, ERROR_FIRST, ERROR_END, 1 << 30};
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        assert_int_equal(error_row_get(codes[i])->http_status, 500);
        assert_string_equal(error_row_get(codes[i])->slug, "internal");
    }
}

static void test_error_rows__have_slugs_of_their_own(void **state) {
    for (int a = ERROR_FIRST + 1; a < ERROR_END; a++) {
        for (int b = a + 1; b < ERROR_END; b++) {
            assert_string_not_equal(error_row_get(a)->slug, error_row_get(b)->slug);
        }
    }
}

static void test_err_text__speaks_to_people(void **state) {
    assert_string_equal(err_text(0), "success");
    assert_string_equal(err_text(-ENOSPC), "no space left on device");
    assert_string_equal(err_text(-4095), "error -4095");
    assert_string_equal(err_text(JSON_E_INVALID), "JSON decode error");
}

static int inner(int code) {
    return err_origin(code);
}

static int outer(int code) {
    return err_trace(inner(code));
}

static void test_err_trace__lists_birth_first(void **state) {
    char text[200];
    const char *first, *second;

    outer(-EPERM); /* an older failure is forgotten */
    assert_int_equal(outer(-EIO), -EIO);
    err_format_trace(text, sizeof text);
    assert_memory_equal(text, "-EIO test_error.c:", 18);
    first = strstr(text, "test_error.c:");
    second = strstr(text, " < test_error.c:");
    assert_non_null(second);
    assert_true(first < second);
    assert_null(strstr(second + 1, " < "));
}

static void test_err_fold__notes_the_unexpected_code(void **state) {
    char text[200];

    assert_int_equal(err_fold(inner(JSON_E_LIMIT)), -EPROTO);
    err_format_trace(text, sizeof text);
    assert_memory_equal(text, "-EPROTO ", 8);
    assert_non_null(strstr(text, "(was JSON_E_LIMIT)"));
    assert_int_equal(err_fold(inner(-EIO)), -EIO);
    assert_int_equal(err_fold(0), 0);
}

static void test_err_trace__success_leaves_no_frame(void **state) {
    char before[200], after[200];

    outer(-EIO);
    err_format_trace(before, sizeof before);
    assert_int_equal(outer(0), 0);
    err_format_trace(after, sizeof after);
    assert_string_equal(before, after);
}

static void test_err_trace__keeps_birth_and_end_of_a_long_climb(void **state) {
    char text[1000];
    char small[12];

    err_push_("dir/birth.c", 1, -EIO, true);
    for (int line = 2; line < 100; line++) {
        err_push_("dir/climb.c", line, -EIO, false);
    }
    err_format_trace(text, sizeof text);
    assert_memory_equal(text, "-EIO birth.c:1 < ... < climb.c:85", 33);
    assert_non_null(strstr(text, "climb.c:99"));
    assert_int_equal(err_format_trace(small, sizeof small), 11);
    assert_string_equal(small, "-EIO birth.");
    assert_int_equal(err_format_trace(NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_row_get__has_the_row_of_each_code),
        cmocka_unit_test(test_error_row_get__answers_internal_for_everything_else),
        cmocka_unit_test(test_error_rows__have_slugs_of_their_own),
        cmocka_unit_test(test_err_text__speaks_to_people),
        cmocka_unit_test(test_err_trace__lists_birth_first),
        cmocka_unit_test(test_err_fold__notes_the_unexpected_code),
        cmocka_unit_test(test_err_trace__success_leaves_no_frame),
        cmocka_unit_test(test_err_trace__keeps_birth_and_end_of_a_long_climb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
