#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/buf.h>
#include <pthread.h>
#include <string.h>

static void test_buf_copy__holds_the_bytes(void **state) {
    struct buf *buf = buf_copy("hello", 5);

    assert_int_equal(buf->size, 5);
    assert_int_equal(buf->capacity, 5);
    assert_memory_equal(buf->data, "hello", 5);
    buf_unref(buf);
    buf = buf_copy(NULL, 0);
    assert_int_equal(buf->size, 0);
    buf_unref(buf);
}

static void test_buf_new__refuses_sizes_that_overflow(void **state) {
    assert_null(buf_new(SIZE_MAX - 3));
}

static unsigned released;

static void count_release(struct buf *buf) {
    released++;
}

static void test_buf_unref__releases_foreign_memory_once(void **state) {
    struct buf buf = {.refs = 1, .release = count_release};

    released = 0;
    assert_ptr_equal(buf_ref(&buf), &buf);
    buf_unref(&buf);
    assert_int_equal(released, 0);
    buf_unref(&buf);
    assert_int_equal(released, 1);
    buf_unref(NULL);
}

static void *ref_and_unref(void *arg) {
    struct buf *buf = arg;
    for (int i = 0; i < 20000; i++) {
        buf_ref(buf);
        buf_unref(buf);
    }
    return NULL;
}

static void test_buf_ref__counts_across_threads(void **state) {
    struct buf *buf = buf_new(1);
    pthread_t threads[3];

    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, buf), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(buf->refs, 1);
    buf_unref(buf);
}

static void test_slice_of__points_into_the_buf(void **state) {
    struct buf *buf = buf_copy("hello", 5);
    struct slice slice = slice_of(buf, 1, 3);

    assert_memory_equal(slice.data, "ell", 3);
    assert_int_equal(slice.size, 3);
    buf_unref(buf);
}

enum { LARGE = 1 << 20, KEPT_MAX = 8 << 20 };

static void test_buf_new__large_ones_hold_what_is_written_to_their_ends(void **state) {
    for (size_t size = LARGE - 3; size < LARGE + 70000; size += 9001) {
        struct buf *buf = buf_new(size);

        assert_int_equal(buf->capacity, size);
        buf->data[0] = 1;
        buf->data[size - 1] = 2;
        assert_int_equal(buf->data[0] + buf->data[size - 1], 3);
        buf_unref(buf);
    }
}

static void test_buf_unref__keeps_large_memory_for_the_next_within_a_bound(void **state) {
    struct buf *bufs[12];

    buf_trim();
    assert_int_equal(buf_kept_bytes(), 0);
    for (size_t i = 0; i < 12; i++) {
        bufs[i] = buf_new(LARGE - 100);
    }
    uint8_t *last = bufs[11]->data;
    for (size_t i = 0; i < 12; i++) {
        buf_unref(bufs[i]);
        assert_true(buf_kept_bytes() > 0 && buf_kept_bytes() <= KEPT_MAX);
    }
    size_t kept = buf_kept_bytes();
    struct buf *again = buf_new(LARGE - 200);
    assert_ptr_equal(again->data, last);
    assert_true(buf_kept_bytes() < kept);
    kept = buf_kept_bytes();
    struct buf *larger = buf_new(4 * LARGE);           /* nothing that is kept fits it */
    assert_true(buf_kept_bytes() <= kept - 4 * LARGE); /* but it takes their place */
    assert_true(larger->data < last || larger->data >= last + LARGE);
    buf_unref(larger);
    buf_unref(again);
    buf_trim();
    assert_int_equal(buf_kept_bytes(), 0);
}

static void *churn(void *arg) {
    for (unsigned i = 0; i < 300; i++) {
        struct buf *buf = buf_new(200000 + i * 3001);

        memset(buf->data, (int)(uintptr_t)arg, buf->size);
        assert_int_equal(buf->data[buf->size / 2], (int)(uintptr_t)arg);
        buf_unref(buf);
    }
    return NULL;
}

static void test_buf_new__large_ones_of_several_threads_are_apart(void **state) {
    pthread_t threads[3];

    for (uintptr_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(buf_kept_bytes() <= KEPT_MAX);
    buf_trim();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_copy__holds_the_bytes),
        cmocka_unit_test(test_buf_new__refuses_sizes_that_overflow),
        cmocka_unit_test(test_buf_unref__releases_foreign_memory_once),
        cmocka_unit_test(test_buf_new__large_ones_hold_what_is_written_to_their_ends),
        cmocka_unit_test(test_buf_unref__keeps_large_memory_for_the_next_within_a_bound),
        cmocka_unit_test(test_buf_new__large_ones_of_several_threads_are_apart),
        cmocka_unit_test(test_buf_ref__counts_across_threads),
        cmocka_unit_test(test_slice_of__points_into_the_buf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
