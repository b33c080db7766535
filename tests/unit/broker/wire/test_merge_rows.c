/* Rows of one topic become one, where the first of them stands. */
#include "kafka_messages_all.h"
#include "merge_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct arena arena;

/* Topics "a" to "z"; row i has the partitions from[i] to from[i] + count[i] - 1. */
static struct list_offsets_response_topic *rows_of(const char *names, const int *from,
                                                   const int *counts) {
    int32_t count = (int32_t)strlen(names);
    struct list_offsets_response_topic *rows =
        KAFKA_NEW(&arena, list_offsets_response_topic, count);

    for (int32_t i = 0; i < count; i++) {
        rows[i].name = span_of(&names[i], 1);
        rows[i].partitions_count = counts[i];
        rows[i].partitions = KAFKA_NEW(&arena, list_offsets_response_partition, counts[i]);
        for (int32_t p = 0; p < counts[i]; p++) {
            rows[i].partitions[p].partition_index = from[i] + p;
        }
    }
    return rows;
}

static void assert_row(const struct list_offsets_response_topic *row, char name,
                       const char *partitions) {
    assert_true(span_equal(row->name, span_of(&name, 1)));
    assert_int_equal(row->partitions_count, strlen(partitions));
    for (int32_t p = 0; p < row->partitions_count; p++) {
        assert_int_equal(row->partitions[p].partition_index, partitions[p] - '0');
    }
}

static void test_merge_rows__puts_rows_of_one_name_behind_the_first(void **state) {
    static const int from[] = {0, 3, 5, 6, 7, 9};
    static const int counts[] = {2, 1, 1, 1, 2, 0};
    struct list_offsets_response_topic *rows = rows_of("abacba", from, counts);
    int32_t count = 6;

    assert_int_equal(MERGE_ROWS(&arena, rows, &count, name, partitions), 0);
    assert_int_equal(count, 3);
    assert_row(&rows[0], 'a', "015");
    assert_row(&rows[1], 'b', "378");
    assert_row(&rows[2], 'c', "6");
}

static void test_merge_rows__leaves_rows_that_differ(void **state) {
    static const int from[] = {0, 1, 2};
    static const int counts[] = {1, 1, 1};
    struct list_offsets_response_topic *rows = rows_of("abc", from, counts);
    const void *list = rows[1].partitions;
    int32_t count = 3;

    assert_int_equal(MERGE_ROWS(&arena, rows, &count, name, partitions), 0);
    assert_int_equal(count, 3);
    assert_row(&rows[2], 'c', "2");
    assert_ptr_equal(rows[1].partitions, list);
}

static void test_merge_rows__goes_by_ids_where_the_key_is_one(void **state) {
    struct offset_commit_response_topic *rows = KAFKA_NEW(&arena, offset_commit_response_topic, 3);
    int32_t count = 3;

    for (int i = 0; i < 3; i++) {
        rows[i].partitions = KAFKA_NEW(&arena, offset_commit_response_partition, 1);
        rows[i].partitions_count = 1;
        rows[i].topic_id.bytes[15] = i == 1 ? 1 : 2;
    }
    assert_int_equal(MERGE_ROWS(&arena, rows, &count, topic_id, partitions), 0);
    assert_int_equal(count, 2);
    assert_int_equal(rows[0].partitions_count, 2);
    assert_int_equal(rows[1].partitions_count, 1);
}

static void test_merge_rows__without_memory_leaves_the_rows_as_they_were(void **state) {
    static const int from[] = {0, 1};
    static const int counts[] = {1, 1};
    struct list_offsets_response_topic *rows = rows_of("aa", from, counts);
    int32_t count = 2;

    arena.limit_bytes = arena.used_bytes;
    assert_true(MERGE_ROWS(&arena, rows, &count, name, partitions) < 0);
    assert_int_equal(count, 2);
    assert_row(&rows[0], 'a', "0");
    assert_row(&rows[1], 'a', "1");
}

static int setup(void **state) {
    arena_init(&arena, MIB(1));
    return 0;
}

static int teardown(void **state) {
    arena_deinit(&arena);
    return 0;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_merge_rows__puts_rows_of_one_name_behind_the_first),
        TEST(test_merge_rows__leaves_rows_that_differ),
        TEST(test_merge_rows__goes_by_ids_where_the_key_is_one),
        TEST(test_merge_rows__without_memory_leaves_the_rows_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
