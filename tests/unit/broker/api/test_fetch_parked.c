/* Many fetches that wait: what each costs while it does, and what wakes it. */
#include "fetch.h"
#include "harness.h"

#include <stdlib.h>

enum { FETCH = 1, FETCHES = 1000, PARKED_BYTES_MAX = 4096 };

struct fetch_args {
    struct fetch_request body;
    struct fetch_request_topic topic;
    struct fetch_request_partition partition;
};

static void fetch_args(struct fetch_args *args) {
    kafka_init(&kafka_fetch_request_type, &args->body, 1);
    kafka_init(&kafka_fetch_request_topic_type, &args->topic, 1);
    kafka_init(&kafka_fetch_request_partition_type, &args->partition, 1);
    args->body.max_wait_ms = 60000;
    args->body.min_bytes = 1;
    args->body.topics = &args->topic;
    args->body.topics_count = 1;
    args->topic.topic = SPAN_LITERAL("t");
    args->topic.partitions = &args->partition;
    args->topic.partitions_count = 1;
    args->partition.partition_max_bytes = 1 << 20;
}

/*
 * A thousand parked fetches: an arena each, bounded, no memory of answers, and no turn of the loop
 * for an append that is none of theirs. One that is answers all of them.
 */
static void test_fetch_parked__a_thousand_cost_an_arena_each_and_nothing_more(void **state) {
    struct harness h;
    struct fetch_args args;
    struct call *calls = calloc(FETCHES, sizeof *calls);
    harness_init(&h);
    harness_topic(&h, "t", 1);
    harness_topic(&h, "other", 1);
    fetch_args(&args);
    for (unsigned i = 0; i < FETCHES; i++) {
        call_start(&h, &calls[i], FETCH, 11, &args.body);
    }
    harness_turn(&h);
    assert_int_equal(h.broker.fetch_count, FETCHES);
    assert_int_equal(h.broker.answer_bytes, 0);
    size_t most = 0;
    for (unsigned i = 0; i < FETCHES; i++) {
        assert_false(calls[i].done);
        most = MAX(most, calls[i].arena.used_bytes);
    }
    assert_in_range(most, sizeof(struct fetch), PARKED_BYTES_MAX);
    uint64_t reads = fake_log_reads(h.log);
    for (unsigned n = 0; n < 100; n++) {
        append_records(&h, "other", 1, 1000);
    }
    assert_int_equal(fake_log_reads(h.log), reads);
    assert_int_equal(h.broker.fetch_count, FETCHES);
    append_records(&h, "t", 1, 1000);
    assert_int_equal(fake_log_reads(h.log), reads + FETCHES);
    assert_int_equal(h.broker.fetch_count, 0);
    for (unsigned i = 0; i < FETCHES; i++) {
        assert_true(calls[i].done);
        call_end(&calls[i]);
    }
    free(calls);
    harness_deinit(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch_parked__a_thousand_cost_an_arena_each_and_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
