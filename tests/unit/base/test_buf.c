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
    uint8_t *first = bufs[0]->data;
    for (size_t i = 0; i < 12; i++) {
        buf_unref(bufs[i]);
        assert_true(buf_kept_bytes() > 0 && buf_kept_bytes() <= KEPT_MAX);
    }
    assert_true(buf_kept_bytes() > KEPT_MAX - LARGE);
    struct buf *again = buf_new(LARGE - 200);
    assert_ptr_equal(again->data, first);
    buf_unref(again);
    buf_trim();
    assert_int_equal(buf_kept_bytes(), 0);
}

static void test_buf_new__a_large_one_goes_where_smaller_neighbours_were(void **state) {
    struct buf *bufs[4];

    buf_trim();
    for (size_t i = 0; i < 4; i++) {
        bufs[i] = buf_new(LARGE - 100);
    }
    uint8_t *second = bufs[1]->data;
    buf_unref(bufs[2]); /* in no order */
    buf_unref(bufs[1]);
    size_t kept = buf_kept_bytes();
    struct buf *both = buf_new(2 * LARGE - 100);
    assert_ptr_equal(both->data, second);
    assert_int_equal(buf_kept_bytes(), kept - 2 * LARGE);
    buf_unref(both);
    buf_unref(bufs[0]);
    buf_unref(bufs[3]);
    buf_trim();
}

/* What is kept never adds to the most that was in use at once. */
static void test_buf_new__what_it_takes_anew_goes_from_what_is_kept(void **state) {
    struct buf *bufs[7];

    buf_trim();
    for (size_t i = 0; i < 7; i++) {
        bufs[i] = buf_new(LARGE - 100);
    }
    for (size_t i = 0; i < 7; i += 2) {
        buf_unref(bufs[i]); /* four holes */
    }
    assert_int_equal(buf_kept_bytes(), 4 * LARGE);
    struct buf *larger = buf_new(3 * LARGE - 100); /* one of them, and what lies behind it */
    assert_ptr_equal(larger->data, bufs[5]->data + LARGE);
    assert_int_equal(buf_kept_bytes(), LARGE);
    memset(larger->data, 1, larger->size);
    for (size_t i = 1; i < 7; i += 2) {
        memset(bufs[i]->data, 2, bufs[i]->size);
        buf_unref(bufs[i]);
    }
    assert_int_equal(larger->data[0] + larger->data[larger->size - 1], 2);
    buf_unref(larger);
    buf_trim();
    assert_int_equal(buf_kept_bytes(), 0);
}

static void test_buf_new__more_than_the_range_of_large_ones_has_a_mapping_of_its_own(void **state) {
    struct buf *bufs[40];
    const size_t size = 16 * LARGE; /* untouched but for the ends: 40 of them are 640 MiB */

    for (size_t i = 0; i < 40; i++) {
        bufs[i] = buf_new(size);
        assert_non_null(bufs[i]);
        bufs[i]->data[0] = bufs[i]->data[size - 1] = (uint8_t)i;
    }
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(bufs[i]->data[0], i);
        assert_int_equal(bufs[i]->data[size - 1], i);
        buf_unref(bufs[i]);
        assert_true(buf_kept_bytes() <= KEPT_MAX);
    }
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
        cmocka_unit_test(test_buf_new__a_large_one_goes_where_smaller_neighbours_were),
        cmocka_unit_test(test_buf_new__what_it_takes_anew_goes_from_what_is_kept),
        cmocka_unit_test(test_buf_new__more_than_the_range_of_large_ones_has_a_mapping_of_its_own),
        cmocka_unit_test(test_buf_new__large_ones_of_several_threads_are_apart),
        cmocka_unit_test(test_buf_ref__counts_across_threads),
        cmocka_unit_test(test_slice_of__points_into_the_buf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
