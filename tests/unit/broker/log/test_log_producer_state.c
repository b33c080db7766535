/* The window of five batches a producer, beside batches that are not durable yet. */
#include "producers/producer_state.h"

#include <eventbox/base/error.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void push(struct producers **producers, int16_t epoch, int32_t sequence, int64_t offset,
                 int64_t durable_end) {
    struct producer_batch batch = {.base_offset = offset,
                                   .last_offset_delta = 9,
                                   .base_sequence = sequence,
                                   .last_sequence = producer_sequence_last(sequence, 10),
                                   .epoch = epoch};
    assert_int_equal(producer_push(producers, NULL, 7, &batch, durable_end, 0), 0);
}

/* The offset of the original, or the negated error; -1: neither, it may be appended. */
static int64_t ask(const struct producers *producers, int16_t epoch, int32_t sequence) {
    const struct producer_batch *original;
    int r = producer_check(producers, 7, epoch, sequence, producer_sequence_last(sequence, 10),
                           &original);
    return r ? -r : original ? original->base_offset : -1;
}

static void test_producer_state__takes_next_sequence_and_knows_five(void **state) {
    struct producers *producers = NULL;
    assert_int_equal(ask(producers, 3, 1234), -1); /* unknown: may start anywhere */
    for (int32_t i = 0; i < 8; i++) {
        push(&producers, 0, i * 10, i * 10, i * 10);
    }
    assert_int_equal(ask(producers, 0, 80), -1);
    assert_int_equal(ask(producers, 0, 90), -BROKER_E_SEQUENCE);
    for (int32_t i = 3; i < 8; i++) {
        assert_int_equal(ask(producers, 0, i * 10), i * 10);
    }
    assert_int_equal(ask(producers, 0, 10), -BROKER_E_SEQUENCE);
    assert_int_equal(ask(producers, 0, 75), -BROKER_E_SEQUENCE); /* overlaps, is not the same */
    producers_free(producers);
}

static void test_producer_state__epochs(void **state) {
    struct producers *producers = NULL;
    push(&producers, 4, 0, 0, 0);
    assert_int_equal(ask(producers, 3, 10), -BROKER_E_EPOCH);
    assert_int_equal(ask(producers, 5, 10), -BROKER_E_SEQUENCE);
    assert_int_equal(ask(producers, 5, 0), -1);
    push(&producers, 5, 0, 10, 0);
    assert_int_equal(ask(producers, 5, 0), 10); /* not the batch of epoch 4 */
    assert_int_equal(ask(producers, 4, 0), -BROKER_E_EPOCH);
    producers_free(producers);
}

/* Epoch -1 is that of a producer without one: Kafka finds duplicates of it, and else minds nothing.
 */
static void test_producer_state__takes_any_sequence_without_an_epoch(void **state) {
    struct producers *producers = NULL;
    assert_int_equal(ask(producers, -1, 0), -1);
    assert_int_equal(ask(producers, -2, 0), -BROKER_E_EPOCH);
    push(&producers, -1, 0, 0, 0);
    assert_int_equal(ask(producers, -1, 0), 0);
    assert_int_equal(ask(producers, -1, 70), -1);
    assert_int_equal(ask(producers, -2, 0), -BROKER_E_EPOCH);
    assert_int_equal(ask(producers, 0, 50), -1); /* its first epoch begins anywhere */
    push(&producers, 0, 50, 10, 0);
    assert_int_equal(ask(producers, 0, 70), -BROKER_E_SEQUENCE);
    assert_int_equal(ask(producers, -1, 0), -BROKER_E_EPOCH);
    producers_free(producers);
}

static void test_producer_state__sequence_wraps_to_zero(void **state) {
    struct producers *producers = NULL;
    assert_int_equal(producer_sequence_last(INT32_MAX - 4, 10), 4);
    assert_int_equal(producer_sequence_next(INT32_MAX), 0);
    push(&producers, 0, INT32_MAX - 9, 0, 0);
    assert_int_equal(ask(producers, 0, 0), -1);
    push(&producers, 0, 0, 10, 10);
    assert_int_equal(ask(producers, 0, INT32_MAX - 9), 0);
    producers_free(producers);
}

static void test_producer_state__durable_ones_stay_while_newer_are_in_flight(void **state) {
    struct producers *producers = NULL;
    for (int32_t i = 0; i < 30; i++) {
        push(&producers, 0, i * 10, i * 10, 50); /* durable up to the fifth */
    }
    int64_t id = 7;
    const struct producer *producer = hashmap_find(&producers->map, span_of(&id, sizeof id));
    unsigned first, count;
    producer_durable(producer, 50, &first, &count);
    assert_int_equal(count, 5);
    assert_int_equal(producer->batches[first].base_offset, 0);
    producer_durable(producer, 300, &first, &count);
    assert_int_equal(count, 5);
    assert_int_equal(producer->batches[first].base_offset, 250);
    producers_free(producers);
}

static void test_producer_state__expires_only_what_is_durable(void **state) {
    struct producers *producers = NULL;
    push(&producers, 0, 0, 100, 0);
    assert_int_equal(producers_expire(producers, 1000, 100), 0);
    assert_int_equal(producers_expire(producers, 1000, 110), 1);
    assert_int_equal(ask(producers, 0, 777), -1);
    producers_free(producers);
}

static void push_at(struct producers **producers, struct producer_limit *limit, int64_t id,
                    int64_t now_ms) {
    struct producer_batch batch = {.base_offset = now_ms};
    assert_int_equal(producer_push(producers, limit, id, &batch, INT64_MAX, now_ms), 0);
}

static bool knows(const struct producers *producers, int64_t id) {
    return producer_last_ms(producers, id) >= 0;
}

static void test_producer_state__the_one_silent_longest_gives_way(void **state) {
    struct producers *here = NULL, *there = NULL;
    struct producer_limit limit;
    producer_limit_init(&limit, 3);
    push_at(&here, &limit, 1, 10);
    push_at(&there, &limit, 2, 20);
    push_at(&here, &limit, 3, 30);
    push_at(&here, &limit, 1, 40); /* still at work */
    assert_int_equal(limit.count, 3);
    push_at(&here, &limit, 4, 50);
    assert_false(knows(there, 2)); /* in whatever partition */
    assert_true(knows(here, 1) && knows(here, 3) && knows(here, 4));
    push_at(&there, &limit, 2, 60); /* may come back */
    assert_false(knows(here, 3));
    assert_int_equal(limit.count, 3);
    assert_int_equal(limit.forgotten, 2);
    assert_int_equal(producers_expire(here, 45, INT64_MAX), 1);
    assert_int_equal(limit.count, 2);
    producers_free(here);
    producers_free(there);
    assert_int_equal(limit.count, 0);
    assert_true(list_empty(&limit.order));
}

static void test_producer_state__order_after_a_start_is_that_of_their_last_batch(void **state) {
    struct producers *read = NULL, *more = NULL;
    struct producer_limit limit;
    producer_limit_init(&limit, 3);
    push_at(&read, NULL, 1, 30);
    push_at(&read, NULL, 2, 10);
    push_at(&read, NULL, 3, 20);
    assert_int_equal(limit.count, 0);
    producers_adopt(read, &limit);
    producers_adopt(NULL, &limit);
    assert_int_equal(limit.count, 3);
    producer_limit_sort(&limit);
    push_at(&more, &limit, 4, 40);
    assert_false(knows(read, 2));
    push_at(&more, &limit, 5, 50);
    assert_false(knows(read, 3));
    assert_true(knows(read, 1));
    producers_free(read);
    producers_free(more);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producer_state__takes_next_sequence_and_knows_five),
        cmocka_unit_test(test_producer_state__epochs),
        cmocka_unit_test(test_producer_state__takes_any_sequence_without_an_epoch),
        cmocka_unit_test(test_producer_state__sequence_wraps_to_zero),
        cmocka_unit_test(test_producer_state__durable_ones_stay_while_newer_are_in_flight),
        cmocka_unit_test(test_producer_state__expires_only_what_is_durable),
        cmocka_unit_test(test_producer_state__the_one_silent_longest_gives_way),
        cmocka_unit_test(test_producer_state__order_after_a_start_is_that_of_their_last_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
