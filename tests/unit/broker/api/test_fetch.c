#include "harness.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

#include <stdlib.h>

enum { FETCH = 1 };

static struct harness h;

static int setup(void **state) {
    harness_init(&h);
    return 0;
}

static int teardown(void **state) {
    harness_deinit(&h);
    return 0;
}

struct fetch_args {
    struct fetch_request body;
    struct fetch_request_topic topic;
    struct fetch_request_partition partitions[2];
};

static void fetch_args(struct fetch_args *args, int64_t offset, int32_t max_wait_ms) {
    kafka_init(&kafka_fetch_request_type, &args->body, 1);
    kafka_init(&kafka_fetch_request_topic_type, &args->topic, 1);
    kafka_init(&kafka_fetch_request_partition_type, args->partitions, 2);
    args->body.max_wait_ms = max_wait_ms;
    args->body.min_bytes = 1;
    args->body.topics = &args->topic;
    args->body.topics_count = 1;
    args->topic.topic = SPAN_LITERAL("t");
    args->topic.topic_id.bytes[0] = 0x77;
    args->topic.topic_id.bytes[15] = 1;
    args->topic.partitions = args->partitions;
    args->topic.partitions_count = 1;
    args->partitions[0].fetch_offset = offset;
    args->partitions[0].partition_max_bytes = 1 << 20;
    args->partitions[1].partition = 1;
    args->partitions[1].partition_max_bytes = 1 << 20;
}

static struct fetch_response_partition *first_row(struct call *call) {
    struct fetch_response *answer = call->answer;

    assert_int_equal(answer->error_code, 0);
    return &answer->responses[0].partitions[0];
}

static int16_t fetch_error(int16_t version, struct fetch_args *args) {
    struct call call;
    int16_t error;

    call_start(&h, &call, FETCH, version, &args->body);
    call_wait(&h, &call);
    error = first_row(&call)->error_code;
    call_end(&call);
    return error;
}

static void on_marker(struct append *append, int status) {
    assert_int_equal(status, 0);
}

static void test_fetch__gives_records_in_every_version(void **state) {
    harness_topic(&h, "t", 1);
    append_records(&h, "t", 3, 1000);
    for (int16_t version = 4; version <= 18; version++) {
        struct fetch_response_partition *row;
        struct record_batch batch;
        struct fetch_args args;
        struct call call;

        fetch_args(&args, 1, 0);
        call_start(&h, &call, FETCH, version, &args.body);
        call_wait(&h, &call);
        row = first_row(&call);
        assert_int_equal(row->error_code, 0);
        assert_int_equal(row->high_watermark, 3);
        assert_int_equal(row->last_stable_offset, 3);
        assert_int_equal(row->aborted_transactions_count, -1);
        /* The batch that contains the offset, from its base. */
        assert_int_equal(record_batch_parse(row->records.span, &batch), 0);
        assert_int_equal(batch.base_offset, 0);
        assert_int_equal(batch.record_count, 3);
        call_end(&call);
    }
}

/* Clients skip a marker by its attributes and go on behind its offset; so they must see it. */
static void test_fetch__gives_control_batches_and_their_offsets_G29(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    struct buf *marker = batch_with(21, 0x30, 2); /* transactional, control */
    struct append_part part = {.partition = partition_get(topic, 0),
                               .batch = slice_of(marker, 0, marker->size)};
    struct append append = {.parts = &part, .part_count = 1, .done = on_marker};
    struct record_batch batch;
    struct fetch_args args;
    struct call call;
    struct span rest;

    append_records(&h, "t", 3, 1000);
    assert_int_equal(topic_log_append(h.log, &append), 0);
    buf_unref(marker);
    harness_turn(&h);
    append_records(&h, "t", 1, 1000);
    for (uint8_t level = 0; level <= 1; level++) {
        fetch_args(&args, 0, 0);
        args.body.isolation_level = (int8_t)level;
        call_start(&h, &call, FETCH, 12, &args.body);
        call_wait(&h, &call);
        rest = first_row(&call)->records.span;
        assert_int_equal(first_row(&call)->high_watermark, 6);
        for (int i = 0; i < 3; i++) {
            static const int64_t bases[] = {0, 3, 5};

            assert_int_equal(record_batch_parse(rest, &batch), 0);
            assert_int_equal(batch.base_offset, bases[i]);
            assert_int_equal(batch.attributes, i == 1 ? 0x30 : 0);
            rest = span_of((const uint8_t *)rest.data + batch.total_bytes,
                           rest.size - batch.total_bytes);
        }
        assert_int_equal(rest.size, 0);
        call_end(&call);
    }
}

static void test_fetch__parks_until_records_come(void **state) {
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 2);
    fetch_args(&args, 0, 500);
    args.topic.partitions_count = 2;
    call_start(&h, &call, FETCH, 11, &args.body);
    harness_turn(&h);
    assert_false(call.done);
    assert_int_equal(h.broker.fetch_count, 1);
    append_records(&h, "t", 1, 1000);
    call_wait(&h, &call);
    assert_true(first_row(&call)->records.span.size > 0);
    assert_int_equal(h.broker.fetch_count, 0);
    call_end(&call);
}

static void test_fetch__answers_empty_at_the_deadline(void **state) {
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    fetch_args(&args, 0, 500);
    call_start(&h, &call, FETCH, 11, &args.body);
    clock_manual_advance(&h.clock, 499 * NS_PER_MS);
    harness_turn(&h);
    assert_false(call.done);
    clock_manual_advance(&h.clock, 2 * NS_PER_MS);
    call_wait(&h, &call);
    assert_int_equal(first_row(&call)->error_code, 0);
    assert_int_equal(first_row(&call)->records.span.size, 0);
    assert_non_null(first_row(&call)->records.span.data);
    call_end(&call);
}

static void test_fetch__waits_for_min_bytes(void **state) {
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    append_records(&h, "t", 1, 1000); /* 75 bytes or so */
    fetch_args(&args, 0, 500);
    args.body.min_bytes = 100;
    call_start(&h, &call, FETCH, 11, &args.body);
    harness_turn(&h);
    assert_false(call.done);
    assert_int_equal(fake_log_leaks(h.log), 0); /* parked, it holds no data */
    append_records(&h, "t", 1, 1000);
    call_wait(&h, &call);
    assert_true(first_row(&call)->records.span.size >= 100);
    call_end(&call);
}

static void test_fetch__sends_the_first_batch_whatever_its_size(void **state) {
    struct fetch_args args;
    struct record_batch batch;
    struct call call;

    harness_topic(&h, "t", 1);
    append_records(&h, "t", 50, 1000);
    append_records(&h, "t", 50, 1000);
    fetch_args(&args, 0, 0);
    args.body.max_bytes = 1;
    args.partitions[0].partition_max_bytes = 1;
    call_start(&h, &call, FETCH, 11, &args.body);
    call_wait(&h, &call);
    assert_int_equal(record_batch_parse(first_row(&call)->records.span, &batch), 0);
    assert_int_equal(batch.total_bytes, first_row(&call)->records.span.size);
    call_end(&call);
}

/* Memory of answers is bounded over all peers: then each fetch gets a batch, and goes on. */
static void test_fetch__is_short_when_memory_of_answers_is_used_up(void **state) {
    struct record_batch batch;
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 2);
    append_records(&h, "t", 50, 1000);
    append_records(&h, "t", 50, 1000);
    for (int slow = 0; slow < 2; slow++) {
        h.broker.answer_bytes = h.broker.answer_bytes_max;
        fake_log_slow_reads(h.log, slow);
        fetch_args(&args, 0, 0);
        call_start(&h, &call, FETCH, 11, &args.body);
        harness_turn(&h);
        fake_log_read(h.log);
        call_wait(&h, &call);
        assert_int_equal(record_batch_parse(first_row(&call)->records.span, &batch), 0);
        assert_int_equal(batch.total_bytes, first_row(&call)->records.span.size);
        call_end(&call);
        assert_int_equal(h.broker.answer_bytes, h.broker.answer_bytes_max);
        h.broker.answer_bytes = 0;
    }
    fake_log_slow_reads(h.log, false);
}

static void test_fetch__checks_the_range(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    struct fetch_args args;
    struct call call;

    append_records(&h, "t", 5, 1000);
    topic->partitions[0]->log_start_offset = 2;
    fetch_args(&args, 5, 0); /* the end itself is valid and empty */
    assert_int_equal(fetch_error(11, &args), 0);
    fetch_args(&args, 1, 500);
    assert_int_equal(fetch_error(11, &args), KAFKA_OFFSET_OUT_OF_RANGE);
    fetch_args(&args, 6, 500);
    call_start(&h, &call, FETCH, 11, &args.body);
    call_wait(&h, &call);
    assert_int_equal(first_row(&call)->error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    assert_int_equal(first_row(&call)->high_watermark, -1);
    assert_int_equal(first_row(&call)->log_start_offset, -1);
    call_end(&call);
}

static void test_fetch__checks_the_leader_epoch(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    struct fetch_args args;

    topic->partitions[0]->leader_epoch = 3;
    fetch_args(&args, 0, 0);
    args.partitions[0].current_leader_epoch = 2;
    assert_int_equal(fetch_error(11, &args), KAFKA_FENCED_LEADER_EPOCH);
    args.partitions[0].current_leader_epoch = 4;
    assert_int_equal(fetch_error(11, &args), KAFKA_UNKNOWN_LEADER_EPOCH);
    args.partitions[0].current_leader_epoch = 3;
    assert_int_equal(fetch_error(11, &args), 0);
    args.partitions[0].current_leader_epoch = -1;
    assert_int_equal(fetch_error(11, &args), 0);
}

static void test_fetch__tells_a_diverging_epoch(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    struct fetch_args args;
    struct call call;

    append_records(&h, "t", 5, 1000);
    topic->partitions[0]->leader_epoch = 3;
    fetch_args(&args, 5, 500);
    args.partitions[0].last_fetched_epoch = 4; /* never was */
    call_start(&h, &call, FETCH, 12, &args.body);
    call_wait(&h, &call);
    assert_int_equal(first_row(&call)->error_code, 0);
    assert_int_equal(first_row(&call)->diverging_epoch.epoch, 3);
    assert_int_equal(first_row(&call)->diverging_epoch.end_offset, 5);
    assert_int_equal(first_row(&call)->records.span.size, 0);
    call_end(&call);
}

static void test_fetch__knows_topics_by_name_or_id(void **state) {
    struct fetch_args args;

    fetch_args(&args, 0, 500);
    assert_int_equal(fetch_error(12, &args), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(fetch_error(13, &args), KAFKA_UNKNOWN_TOPIC_ID);
    harness_topic(&h, "t", 1);
    fetch_args(&args, 0, 0);
    assert_int_equal(fetch_error(13, &args), 0);
    args.topic.topic_id.bytes[3] = 1; /* of another incarnation: never by name */
    assert_int_equal(fetch_error(13, &args), KAFKA_UNKNOWN_TOPIC_ID);
}

static void test_fetch__ends_when_the_topic_is_deleted(void **state) {
    struct topic_log_request request = {.done = NULL};
    struct topic *topic = harness_topic(&h, "t", 1);
    struct fetch_args args;
    struct call by_name, by_id;

    fetch_args(&args, 0, 60000);
    call_start(&h, &by_name, FETCH, 12, &args.body);
    call_start(&h, &by_id, FETCH, 13, &args.body);
    fake_log_hold(h.log, true);
    topic_log_delete(h.log, topic, &request);
    call_wait(&h, &by_name);
    call_wait(&h, &by_id);
    assert_int_equal(first_row(&by_name)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(first_row(&by_id)->error_code, KAFKA_UNKNOWN_TOPIC_ID);
    call_end(&by_name);
    call_end(&by_id);
    assert_int_equal(topic->refs, 0);
}

static void test_fetch__lists_no_aborted_transactions(void **state) {
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    fetch_args(&args, 0, 0);
    args.body.isolation_level = 1;
    call_start(&h, &call, FETCH, 11, &args.body);
    call_wait(&h, &call);
    assert_int_equal(first_row(&call)->aborted_transactions_count, 0); /* not null */
    call_end(&call);
}

static void test_fetch__takes_what_comes_while_it_reads_the_disk(void **state) {
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 2);
    append_records(&h, "t", 1, 1000);
    fake_log_slow_reads(h.log, true);
    fetch_args(&args, 0, 500);
    args.topic.partitions_count = 2;
    args.body.min_bytes = 100;
    call_start(&h, &call, FETCH, 11, &args.body);
    harness_turn(&h);
    append_records(&h, "t", 1, 1000); /* wakes it in the middle of the read */
    fake_log_slow_reads(h.log, false);
    fake_log_read(h.log);
    call_wait(&h, &call);
    assert_true(first_row(&call)->records.span.size >= 100);
    call_end(&call);
}

static void test_fetch__lets_go_when_the_peer_is_gone(void **state) {
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    fetch_args(&args, 0, 60000);
    call_start(&h, &call, FETCH, 11, &args.body);
    harness_turn(&h);
    call.request.gone = true;
    call.request.on_gone(&call.request);
    assert_true(call.silent);
    assert_int_equal(h.broker.fetch_count, 0);
    append_records(&h, "t", 1, 1000); /* wakes nobody */
    call_end(&call);

    append_records(&h, "t", 1, 1000);
    fake_log_slow_reads(h.log, true);
    call_start(&h, &call, FETCH, 11, &args.body);
    call.request.gone = true;
    call.request.on_gone(&call.request);
    assert_false(call.done); /* the reader still owns the memory */
    fake_log_read(h.log);
    assert_true(call.silent);
    call_end(&call);
}

static void test_fetch__is_answered_when_the_server_drains(void **state) {
    struct fetch_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    fetch_args(&args, 0, 60000);
    call_start(&h, &call, FETCH, 11, &args.body);
    fetch_drain(&h.broker);
    call_wait(&h, &call);
    call_end(&call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_fetch__gives_records_in_every_version),
        TEST(test_fetch__gives_control_batches_and_their_offsets_G29),
        TEST(test_fetch__parks_until_records_come),
        TEST(test_fetch__answers_empty_at_the_deadline),
        TEST(test_fetch__waits_for_min_bytes),
        TEST(test_fetch__sends_the_first_batch_whatever_its_size),
        TEST(test_fetch__is_short_when_memory_of_answers_is_used_up),
        TEST(test_fetch__checks_the_range),
        TEST(test_fetch__checks_the_leader_epoch),
        TEST(test_fetch__tells_a_diverging_epoch),
        TEST(test_fetch__knows_topics_by_name_or_id),
        TEST(test_fetch__ends_when_the_topic_is_deleted),
        TEST(test_fetch__lists_no_aborted_transactions),
        TEST(test_fetch__takes_what_comes_while_it_reads_the_disk),
        TEST(test_fetch__lets_go_when_the_peer_is_gone),
        TEST(test_fetch__is_answered_when_the_server_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
