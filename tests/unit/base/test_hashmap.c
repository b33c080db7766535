#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/hashmap.h>
#include <eventbox/base/random.h>
#include <stdio.h>

enum { NAMES = 400 };

struct entry {
    char name[8];
    bool present;
};

/* Random operations against an array that knows the truth. */
static void test_hashmap__behaves_as_its_model(void **state) {
    static struct entry entries[NAMES];
    struct random_seeded seeded;
    struct hashmap map;
    size_t count = 0;

    random_seeded_init(&seeded, 7);
    hashmap_init(&map, 1, 2);
    for (int i = 0; i < NAMES; i++) {
        snprintf(entries[i].name, sizeof entries[i].name, "n%d", i);
    }
    for (int step = 0; step < 60000; step++) {
        /* Phases of growing and of shrinking, so that tombstones pile up. */
        struct entry *entry = &entries[random_below(&seeded.random, NAMES)];
        bool put = random_below(&seeded.random, 10) < (step / 5000 % 2 ? 2U : 8U);
        struct span name = span_text(entry->name);
        if (put) {
            void *old;
            assert_int_equal(hashmap_put(&map, name, entry, &old), 0);
            assert_ptr_equal(old, entry->present ? entry : NULL);
        } else {
            assert_ptr_equal(hashmap_remove(&map, name), entry->present ? entry : NULL);
        }
        count = count + (put && !entry->present) - (!put && entry->present);
        entry->present = put;
        assert_int_equal(map.count, count);
        entry = &entries[random_below(&seeded.random, NAMES)];
        assert_ptr_equal(hashmap_find(&map, span_text(entry->name)), entry->present ? entry : NULL);
    }
    assert_true(map.capacity <= 1024); /* removed ones do not make it grow */
    hashmap_deinit(&map);
}

static void test_hashmap__empty_knows_nothing(void **state) {
    struct hashmap map;
    size_t position = 0;

    hashmap_init(&map, 0, 0);
    assert_null(hashmap_find(&map, SPAN_LITERAL("x")));
    assert_null(hashmap_remove(&map, SPAN_LITERAL("x")));
    assert_null(hashmap_next(&map, &position));
    hashmap_deinit(&map);
}

static void test_hashmap__compares_all_bytes_of_a_key(void **state) {
    struct hashmap map;
    int a, b, c;

    hashmap_init(&map, 3, 4);
    assert_int_equal(hashmap_put(&map, span_of("k\0a", 3), &a, NULL), 0);
    assert_int_equal(hashmap_put(&map, span_of("k\0b", 3), &b, NULL), 0);
    assert_int_equal(hashmap_put(&map, SPAN_NULL, &c, NULL), 0);
    assert_ptr_equal(hashmap_find(&map, span_of("k\0a", 3)), &a);
    assert_ptr_equal(hashmap_find(&map, span_of("k\0b", 3)), &b);
    assert_ptr_equal(hashmap_find(&map, span_of("", 0)), &c);
    assert_null(hashmap_find(&map, span_of("k", 1)));
    hashmap_deinit(&map);
}

/* The key lives in the value: after a replacement the old value may be freed. */
static void test_hashmap_put__borrows_the_key_of_the_new_value(void **state) {
    char old_key[] = "key";
    char new_key[] = "key";
    struct hashmap map;
    void *old;

    hashmap_init(&map, 3, 4);
    assert_int_equal(hashmap_put(&map, span_text(old_key), old_key, NULL), 0);
    assert_int_equal(hashmap_put(&map, span_text(new_key), new_key, &old), 0);
    assert_ptr_equal(old, old_key);
    old_key[0] = '?';
    assert_ptr_equal(hashmap_find(&map, SPAN_LITERAL("key")), new_key);
    hashmap_deinit(&map);
}

static void test_hashmap_next__visits_each_once_while_removing(void **state) {
    static struct entry entries[NAMES];
    struct hashmap map;
    struct entry *entry;
    size_t position = 0;
    size_t visited = 0;

    hashmap_init(&map, 5, 6);
    for (int i = 0; i < NAMES; i++) {
        snprintf(entries[i].name, sizeof entries[i].name, "m%d", i);
        entries[i].present = true;
        assert_int_equal(hashmap_put(&map, span_text(entries[i].name), &entries[i], NULL), 0);
    }
    while ((entry = hashmap_next(&map, &position))) {
        assert_true(entry->present);
        entry->present = false;
        visited++;
        assert_ptr_equal(hashmap_remove(&map, span_text(entry->name)), entry);
    }
    assert_int_equal(visited, NAMES);
    assert_int_equal(map.count, 0);
    hashmap_deinit(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashmap__behaves_as_its_model),
        cmocka_unit_test(test_hashmap__empty_knows_nothing),
        cmocka_unit_test(test_hashmap__compares_all_bytes_of_a_key),
        cmocka_unit_test(test_hashmap_put__borrows_the_key_of_the_new_value),
        cmocka_unit_test(test_hashmap_next__visits_each_once_while_removing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
