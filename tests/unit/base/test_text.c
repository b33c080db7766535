#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/text.h>

static void test_text_append__grows_and_stays_terminated(void **state) {
    struct text text;

    text_init(&text);
    for (int i = 0; i < 1000; i++) {
        text_append(&text, "ab", 2);
        text_append_char(&text, 'c');
        assert_int_equal(text.data[text.size], 0);
    }
    text_append(&text, NULL, 0);
    text_append_str(&text, "end");
    assert_int_equal(text.size, 3003);
    assert_memory_equal(text.data + 2997, "abcend", 7);
    text_deinit(&text);
    assert_null(text.data);
}

static void test_text_append_int__writes_the_extremes(void **state) {
    struct text text;

    text_init(&text);
    text_append_int(&text, 0);
    text_append_char(&text, ' ');
    text_append_int(&text, INT64_MIN);
    text_append_char(&text, ' ');
    text_append_int(&text, INT64_MAX);
    assert_string_equal(text.data, "0 -9223372036854775808 9223372036854775807");
    text_deinit(&text);
}

static void test_text_printf__formats_short_and_long(void **state) {
    struct text text;

    text_init(&text);
    for (int width = 1; width < 300; width++) {
        size_t before = text.size;
        text_printf(&text, "%*d", width, 7);
        assert_int_equal(text.size, before + (size_t)width);
        assert_int_equal(text.data[text.size - 1], '7');
        assert_int_equal(text.data[text.size], 0);
    }
    assert_false(text_failed(&text));
    text_deinit(&text);
}

static void test_text_reserve__leaves_room_behind_the_end(void **state) {
    struct text text;
    char *room;

    text_init(&text);
    text_append_str(&text, "x");
    room = text_reserve(&text, 500);
    memset(room, 'y', 500);
    text.size += 500;
    text_append_str(&text, "z");
    assert_int_equal(text.size, 502);
    assert_string_equal(text.data + 499, "yyz");
    text_deinit(&text);
}

static void test_text__failure_sticks(void **state) {
    struct text text;

    text_init(&text);
    text_append_str(&text, "kept");
    assert_null(text_reserve(&text, SIZE_MAX / 2));
    text_append_str(&text, "ignored");
    text_printf(&text, "%d", 1);
    assert_true(text_failed(&text));
    assert_string_equal(text.data, "kept");
    assert_null(text_steal_buf(&text));
    text_clear(&text);
    text_append_str(&text, "again");
    assert_false(text_failed(&text));
    assert_string_equal(text.data, "again");
    text_deinit(&text);
}

static void test_text_steal_buf__moves_the_bytes(void **state) {
    struct text text;
    struct buf *buf;
    char *data;

    text_init(&text);
    text_append_str(&text, "payload");
    data = text.data;
    buf = text_steal_buf(&text);
    assert_ptr_equal(buf->data, data);
    assert_int_equal(buf->size, 7);
    assert_null(text.data);
    buf_unref(buf);
    buf = text_steal_buf(&text);
    assert_int_equal(buf->size, 0);
    buf_unref(buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_append__grows_and_stays_terminated),
        cmocka_unit_test(test_text_append_int__writes_the_extremes),
        cmocka_unit_test(test_text_printf__formats_short_and_long),
        cmocka_unit_test(test_text_reserve__leaves_room_behind_the_end),
        cmocka_unit_test(test_text__failure_sticks),
        cmocka_unit_test(test_text_steal_buf__moves_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
