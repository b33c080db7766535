/* The window of five batches a producer, beside batches that are not durable yet. */
#include "producer_state.h"

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
    assert_int_equal(producer_push(producers, 7, &batch, durable_end, 0), 0);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producer_state__takes_next_sequence_and_knows_five),
        cmocka_unit_test(test_producer_state__epochs),
        cmocka_unit_test(test_producer_state__takes_any_sequence_without_an_epoch),
        cmocka_unit_test(test_producer_state__sequence_wraps_to_zero),
        cmocka_unit_test(test_producer_state__durable_ones_stay_while_newer_are_in_flight),
        cmocka_unit_test(test_producer_state__expires_only_what_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
