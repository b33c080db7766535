#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/arena.h>

static void test_arena_alloc__is_zeroed_aligned_and_distinct(void **state) {
    struct arena arena;
    uint8_t *blocks[500];
    static const uint8_t zeros[700];

    arena_init(&arena, MIB(1));
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        size_t size = i * 7 % 600 + 1;
        blocks[i] = arena_alloc(&arena, size);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        assert_memory_equal(blocks[i], zeros, size);
        memset(blocks[i], (int)(i & 0xff), size);
    }
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        assert_int_equal(blocks[i][0], i & 0xff);
        assert_int_equal(blocks[i][i * 7 % 600], i & 0xff);
    }
    arena_deinit(&arena);
}

static void test_arena_alloc__stops_at_the_limit(void **state) {
    struct arena arena;
    size_t count = 0;

    arena_init(&arena, 10000);
    while (arena_alloc(&arena, 100)) {
        count++;
    }
    assert_in_range(count, 80, 100);
    assert_true(arena.used_bytes <= 10000);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_dup(&arena, "", SIZE_MAX));
    arena_deinit(&arena);
    assert_non_null(arena_alloc(&arena, 9000)); /* usable again, with the same limit */
    assert_null(arena_alloc(&arena, 9000));
    arena_deinit(&arena);
}

static void test_arena_alloc__keeps_filling_a_chunk_beside_large_blocks(void **state) {
    struct arena arena;
    char *first, *second;

    arena_init(&arena, MIB(1));
    first = arena_alloc(&arena, 16);
    assert_non_null(arena_alloc(&arena, 100000));
    second = arena_alloc(&arena, 16);
    assert_ptr_equal(second, first + 16);
    arena_deinit(&arena);
}

static void test_arena_deinit__accepts_zeroed(void **state) {
    struct arena arena = {0};
    arena_deinit(&arena);
    assert_null(arena_alloc(&arena, 1));
}

static void test_arena_dup__adds_a_zero_byte(void **state) {
    struct arena arena;

    arena_init(&arena, KIB(4));
    assert_memory_equal(arena_dup(&arena, "a\0b", 3), "a\0b", 4);
    assert_string_equal(arena_dup(&arena, NULL, 0), "");
    arena_deinit(&arena);
}

static void test_arena_printf__formats(void **state) {
    struct arena arena;

    arena_init(&arena, KIB(4));
    assert_string_equal(arena_printf(&arena, "%s-%d", "x", 7), "x-7");
    assert_null(arena_printf(&arena, "%5000d", 1));
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_alloc__is_zeroed_aligned_and_distinct),
        cmocka_unit_test(test_arena_alloc__stops_at_the_limit),
        cmocka_unit_test(test_arena_alloc__keeps_filling_a_chunk_beside_large_blocks),
        cmocka_unit_test(test_arena_deinit__accepts_zeroed),
        cmocka_unit_test(test_arena_dup__adds_a_zero_byte),
        cmocka_unit_test(test_arena_printf__formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
