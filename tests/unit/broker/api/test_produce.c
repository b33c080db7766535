#include "harness.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

#include <stdlib.h>

enum { PRODUCE = 0 };

static struct harness h;

static int setup(void **state) {
    harness_init(&h);
    return 0;
}

static int teardown(void **state) {
    harness_deinit(&h);
    return 0;
}

/* A request for partition @index of topic "t". */
struct produce_args {
    struct produce_request body;
    struct produce_request_topic topic;
    struct produce_request_partition partition;
};

static void produce_args(struct produce_args *args, int16_t acks, int32_t index,
                         const struct buf *batch) {
    kafka_init(&kafka_produce_request_type, &args->body, 1);
    kafka_init(&kafka_produce_request_topic_type, &args->topic, 1);
    kafka_init(&kafka_produce_request_partition_type, &args->partition, 1);
    args->body.acks = acks;
    args->body.topic_data = &args->topic;
    args->body.topic_data_count = 1;
    args->topic.name = SPAN_LITERAL("t");
    args->topic.topic_id.bytes[0] = 0x77; /* the fake log's first id */
    args->topic.topic_id.bytes[15] = 1;
    args->topic.partition_data = &args->partition;
    args->topic.partition_data_count = 1;
    args->partition.index = index;
    args->partition.records.span = batch ? span_of(batch->data, batch->size) : SPAN_NULL;
}

static struct produce_response_partition produce(int16_t version, struct produce_args *args) {
    struct produce_response_partition row;
    struct produce_response *answer;
    struct call call;

    call_start(&h, &call, PRODUCE, version, &args->body);
    answer = call_wait(&h, &call);
    assert_int_equal(answer->responses_count, 1);
    row = answer->responses[0].partition_responses[0];
    call_end(&call);
    return row;
}

static int16_t produce_error(int16_t version, const struct buf *batch) {
    struct produce_args args;

    produce_args(&args, -1, 0, batch);
    return produce(version, &args).error_code;
}

static void test_produce__gives_offsets_in_every_version(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);

    for (int16_t version = 3; version <= 13; version++) {
        _cleanup_(buf_unrefp) struct buf *batch = batch_new(2, 1000);
        struct produce_response_partition row;
        struct produce_args args;

        produce_args(&args, version % 2 ? 1 : -1, 0, batch);
        row = produce(version, &args);
        assert_int_equal(row.error_code, 0);
        assert_int_equal(row.base_offset, 2 * (version - 3));
        assert_int_equal(row.log_append_time_ms, -1);
        assert_int_equal(row.log_start_offset, version >= 5 ? 0 : -1);
    }
    assert_int_equal(topic->partitions[0]->high_watermark, 22);
}

static void test_produce__answers_only_when_durable(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(1, 1000);
    struct produce_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    fake_log_hold(h.log, true);
    produce_args(&args, 1, 0, batch);
    call_start(&h, &call, PRODUCE, 7, &args.body);
    harness_turn(&h);
    assert_false(call.done);
    fake_log_release(h.log, 0);
    call_wait(&h, &call);
    call_end(&call);
}

static void test_produce__says_when_the_log_failed(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(1, 1000);
    struct produce_response *answer;
    struct produce_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    fake_log_hold(h.log, true);
    produce_args(&args, -1, 0, batch);
    call_start(&h, &call, PRODUCE, 9, &args.body);
    fake_log_release(h.log, TOPIC_E_FAILED);
    answer = call_wait(&h, &call);
    assert_int_equal(answer->responses[0].partition_responses[0].error_code, KAFKA_STORAGE_ERROR);
    assert_int_equal(answer->responses[0].partition_responses[0].base_offset, -1);
    call_end(&call);
}

static void test_produce__refuses_versions_below_3_by_error(void **state) {
    harness_topic(&h, "t", 1);
    for (int16_t version = 0; version < 3; version++) {
        assert_int_equal(produce_error(version, NULL), KAFKA_UNSUPPORTED_VERSION);
    }
}

static void test_produce__with_acks_0_has_no_answer(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(1, 1000);
    struct produce_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    produce_args(&args, 0, 0, batch);
    call_start(&h, &call, PRODUCE, 7, &args.body);
    harness_turn(&h);
    assert_true(call.silent);
    call_end(&call);
    produce_args(&args, 0, 9, batch); /* no such partition: the client learns it by the end */
    call_start(&h, &call, PRODUCE, 7, &args.body);
    harness_turn(&h);
    assert_true(call.closed);
    call_end(&call);
}

static void test_produce__refuses_unknown_places(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(1, 1000);
    struct produce_args args;
    struct topic *topic;

    assert_int_equal(produce_error(9, batch), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(produce_error(13, batch), KAFKA_UNKNOWN_TOPIC_ID);
    topic = harness_topic(&h, "t", 1);
    produce_args(&args, -1, 1, batch);
    assert_int_equal(produce(9, &args).error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    topic->internal = true;
    assert_int_equal(produce_error(9, batch), KAFKA_INVALID_TOPIC_EXCEPTION);
}

static void test_produce__refuses_wrong_acks_and_transactions(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(1, 1000);
    struct produce_args args;

    harness_topic(&h, "t", 1);
    produce_args(&args, 2, 0, batch);
    assert_int_equal(produce(9, &args).error_code, KAFKA_INVALID_REQUIRED_ACKS);
    produce_args(&args, -1, 0, batch);
    args.body.transactional_id = SPAN_LITERAL("tx"); /* the batch decides, as in Kafka */
    assert_int_equal(produce(9, &args).error_code, 0);
}

/* G34, G37: what Kafka refuses, by the same codes. */
static void test_produce__validates_the_batch_G34_G37(void **state) {
    static const struct {
        const char *what;
        size_t at;
        uint64_t value;
        size_t bytes;
        int16_t version, error;
    } rows[] = {
        {"magic 1", 16, 1, 1, 9, KAFKA_INVALID_RECORD},
        {"a control batch", 21, 32, 2, 9, KAFKA_INVALID_RECORD},
        {"magic 3", 16, 3, 1, 9, KAFKA_CORRUPT_MESSAGE},
        {"a transactional batch", 21, 16, 2, 9, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED},
        {"a base offset", 0, 100, 8, 9, KAFKA_INVALID_RECORD},
        {"no records", 57, 0, 4, 9, KAFKA_INVALID_RECORD},
        {"more records than there are", 57, 3, 4, 9, KAFKA_INVALID_RECORD},
        {"a record longer than the batch", 61, 200, 1, 9, KAFKA_INVALID_RECORD},
        {"a length below any message's", 8, 13, 4, 9, KAFKA_CORRUPT_MESSAGE},
        {"zstd before version 7", 21, 4, 2, 6, KAFKA_UNSUPPORTED_COMPRESSION_TYPE},
        {"an unknown codec", 21, 5, 2, 9, KAFKA_UNKNOWN_SERVER_ERROR},
        {"a gap in the offsets", 23, 5, 4, 9, KAFKA_INVALID_RECORD},
        {"an id without sequence", 43, 1, 8, 9, KAFKA_INVALID_RECORD},
        {"a sequence without id, as kafkajs has it", 53, 0, 4, 9, 0},
        {"a length beyond the bytes", 8, 100000, 4, 9, KAFKA_INVALID_RECORD},
    };
    struct topic *topic = harness_topic(&h, "t", 1);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(buf_unrefp) struct buf *batch =
            batch_with(rows[i].at, rows[i].value, rows[i].bytes);
        int16_t error = produce_error(rows[i].version, batch);

        if (error != rows[i].error) {
            fail_msg("%s: error %d", rows[i].what, error);
        }
    }
    assert_int_equal(topic->partitions[0]->log_end_offset, 2); /* of the one good row */
}

static void test_produce__refuses_a_wrong_crc_two_batches_and_none(void **state) {
    _cleanup_(buf_unrefp) struct buf *bad = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *length = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *one = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *two = buf_new(2 * one->size);

    harness_topic(&h, "t", 1);
    bad->data[bad->size - 2] ^= 1;
    length->data[61] ^= 2; /* the length of its record: damage all the same, not a wrong batch */
    memcpy(two->data, one->data, one->size);
    memcpy(two->data + one->size, one->data, one->size);
    assert_int_equal(produce_error(9, bad), KAFKA_CORRUPT_MESSAGE);
    assert_int_equal(produce_error(9, length), KAFKA_CORRUPT_MESSAGE);
    assert_int_equal(produce_error(9, two), KAFKA_INVALID_RECORD);
    assert_int_equal(produce_error(9, NULL), KAFKA_INVALID_RECORD);
}

static void test_produce__leaves_out_bytes_that_are_no_other_batch(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    _cleanup_(buf_unrefp) struct buf *one = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *more = buf_new(one->size + 11);

    memcpy(more->data, one->data, one->size);
    memset(more->data + one->size, 0xff, 11);
    assert_int_equal(produce_error(9, more), 0);
    assert_int_equal(topic->partitions[0]->log_end_offset, 1);
}

/* G39: Kafka tells where the log begins when it is the log that refused the batch. */
static void test_produce__tells_the_log_start_with_an_error_G39(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    _cleanup_(buf_unrefp) struct buf *control = batch_with(21, 32, 2);
    _cleanup_(buf_unrefp) struct buf *bad = batch_new(1, 1000);
    struct produce_response_partition row;
    struct produce_args args;

    topic->partitions[0]->log_start_offset = 7;
    produce_args(&args, -1, 0, control);
    row = produce(9, &args);
    assert_int_equal(row.error_code, KAFKA_INVALID_RECORD);
    assert_int_equal(row.log_start_offset, 7);
    assert_int_equal(row.base_offset, -1);
    bad->data[70] ^= 1;
    produce_args(&args, -1, 0, bad);
    row = produce(9, &args);
    assert_int_equal(row.error_code, KAFKA_CORRUPT_MESSAGE);
    assert_int_equal(row.log_start_offset, -1);
}

static void test_produce__counts_the_last_of_two_entries_for_a_partition(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    _cleanup_(buf_unrefp) struct buf *one = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *three = batch_new(3, 1000);
    struct produce_request_partition entries[40];
    struct produce_response *answer;
    struct produce_args args;
    struct call call;

    /* Few are compared by pairs, many by hashes. */
    for (int32_t count = 2; count <= 40; count += 38) {
        produce_args(&args, -1, 0, one);
        for (int32_t i = 0; i < count; i++) {
            entries[i] = args.partition;
            entries[i].index = i == count - 1 ? 0 : i;
        }
        entries[count - 1].records.span = span_of(three->data, three->size);
        args.topic.partition_data = entries;
        args.topic.partition_data_count = count;
        call_start(&h, &call, PRODUCE, 9, &args.body);
        answer = call_wait(&h, &call);
        assert_int_equal(answer->responses_count, 1);
        assert_int_equal(answer->responses[0].partition_responses_count, count - 1);
        call_end(&call);
    }
    assert_int_equal(topic->partitions[0]->log_end_offset, 6);
}

static void test_produce__answers_at_the_timeout_and_lets_the_append_go_on(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(1, 1000);
    struct produce_response *answer;
    struct produce_args args;
    struct call call;

    fake_log_hold(h.log, true);
    produce_args(&args, -1, 0, batch);
    args.body.timeout_ms = 3000;
    call_start(&h, &call, PRODUCE, 9, &args.body);
    clock_manual_advance(&h.clock, 2900 * NS_PER_MS);
    harness_turn(&h);
    assert_false(call.done);
    clock_manual_advance(&h.clock, 200 * NS_PER_MS);
    answer = call_wait(&h, &call);
    assert_int_equal(answer->responses[0].partition_responses[0].error_code,
                     KAFKA_REQUEST_TIMED_OUT);
    call_end(&call);
    fake_log_release(h.log, 0);
    assert_int_equal(topic->partitions[0]->high_watermark, 1);
    assert_int_equal(topic->refs, 0);
}

static void test_produce__waits_a_while_whatever_the_timeout(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(1, 1000);
    struct produce_args args;
    struct call call;

    harness_topic(&h, "t", 1);
    fake_log_hold(h.log, true);
    produce_args(&args, -1, 0, batch);
    args.body.timeout_ms = 0;
    call_start(&h, &call, PRODUCE, 9, &args.body);
    clock_manual_advance(&h.clock, 500 * NS_PER_MS);
    harness_turn(&h);
    assert_false(call.done);
    fake_log_release(h.log, 0);
    call_wait(&h, &call);
    call_end(&call);
}

static void test_produce__refuses_a_batch_that_is_too_large(void **state) {
    struct record_batch_builder builder;
    struct span value = {calloc(1, 1100000), 1100000};

    record_batch_builder_init(&builder);
    record_batch_builder_add(&builder, 1, SPAN_NULL, value, NULL, 0);
    _cleanup_(buf_unrefp) struct buf *batch = record_batch_builder_finish(&builder, 0);
    free((void *)(uintptr_t)value.data);
    harness_topic(&h, "t", 1);
    assert_int_equal(produce_error(9, batch), KAFKA_MESSAGE_TOO_LARGE);
}

static void test_produce__names_each_record_without_key_of_a_compacted_topic_G36(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(3, 1000);
    struct produce_response *answer;
    struct produce_args args;
    struct call call;

    assert_int_equal(topic_config_set(&harness_topic(&h, "t", 1)->config, TOPIC_CLEANUP_POLICY,
                                      SPAN_LITERAL("compact")),
                     0);
    produce_args(&args, -1, 0, batch);
    call_start(&h, &call, PRODUCE, 9, &args.body);
    answer = call_wait(&h, &call);
    assert_int_equal(answer->responses[0].partition_responses[0].error_code, KAFKA_INVALID_RECORD);
    assert_int_equal(answer->responses[0].partition_responses[0].record_errors_count, 3);
    assert_int_equal(answer->responses[0].partition_responses[0].record_errors[2].batch_index, 2);
    call_end(&call);
}

/* ---- batches that a config demands to look into ---- */

static void set_config(enum topic_config_key key, const char *value) {
    struct topic *topic = topic_log_find(h.log, SPAN_LITERAL("t"));

    assert_int_equal(topic_config_set(&topic->config, key, span_text(value)), 0);
}

static int codec_of_stored(int64_t offset) {
    struct partition_read read = {.partition =
                                      topic_log_find(h.log, SPAN_LITERAL("t"))->partitions[0],
                                  .offset = offset,
                                  .max_bytes = 1 << 20,
                                  .min_one_batch = true};
    struct record_batch batch;
    struct span bytes;

    assert_int_equal(partition_read(h.log, &read), 0);
    bytes = span_of(read.chunks[0].slice.data, read.chunks[0].slice.size);
    assert_int_equal(record_batch_parse(bytes, &batch), 0);
    assert_true(record_batch_check_crc(bytes));
    partition_read_release(&read);
    return batch.attributes & RECORD_BATCH_CODEC_MASK;
}

static void test_produce__refuses_records_too_far_from_our_clock(void **state) {
    int64_t now_ms = clock_wall_ms(h.broker.clock);
    _cleanup_(buf_unrefp) struct buf *late = batch_new(2, now_ms + 3600001);
    _cleanup_(buf_unrefp) struct buf *old = batch_new(2, now_ms - 5001);
    struct produce_response_partition row;
    struct produce_args args;

    harness_topic(&h, "t", 1);
    produce_args(&args, -1, 0, late);
    row = produce(9, &args);
    assert_int_equal(row.error_code, KAFKA_INVALID_TIMESTAMP);
    assert_int_equal(row.record_errors_count, 2);
    assert_int_equal(row.base_offset, -1);
    assert_int_equal(produce_error(9, old), 0);
    set_config(TOPIC_TIMESTAMP_BEFORE_MAX_MS, "5000");
    assert_int_equal(produce_error(9, old), KAFKA_INVALID_TIMESTAMP);
    set_config(TOPIC_TIMESTAMP_TYPE, "LogAppendTime"); /* then nobody minds */
    assert_int_equal(produce_error(9, old), 0);
}

/* The largest timestamp is told by the records, whatever the header says of it. */
static void test_produce__sets_the_header_right_G35(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_with(35, 5000, 8);
    struct partition_read read = {.max_bytes = 1 << 20, .min_one_batch = true};
    struct record_batch stored;
    struct span bytes;

    read.partition = harness_topic(&h, "t", 1)->partitions[0];
    batch->data[22] = RECORD_BATCH_LOG_APPEND_TIME; /* and that is not for a client to say */
    put_be32(batch->data + 17, crc32c(0, batch->data + 21, batch->size - 21));
    assert_int_equal(produce_error(9, batch), 0);
    assert_int_equal(partition_read(h.log, &read), 0);
    bytes = span_of(read.chunks[0].slice.data, read.chunks[0].slice.size);
    assert_int_equal(record_batch_parse(bytes, &stored), 0);
    assert_true(record_batch_check_crc(bytes));
    assert_int_equal(stored.attributes, 0);
    assert_int_equal(stored.max_timestamp_ms, 5000); /* by its claim, the time of all records */
    partition_read_release(&read);

    batch->data[22] = 0;
    batch->data[batch->size - 3] ^= 1; /* what came damaged is not made right */
    assert_int_equal(produce_error(9, batch), KAFKA_CORRUPT_MESSAGE);
}

static void test_produce__refuses_a_batch_beyond_a_segment(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(3, 1000);

    harness_topic(&h, "t", 1);
    set_config(TOPIC_SEGMENT_BYTES, "60");
    assert_int_equal(produce_error(9, batch), KAFKA_RECORD_LIST_TOO_LARGE);
}

/* A batch of records that are compressed, and what stands in their place. */
static struct buf *compressed(int codec, const void *records, size_t size) {
    _cleanup_(buf_unrefp) struct buf *plain = batch_new(1, 1000);
    struct buf *batch = buf_new(RECORD_BATCH_HEADER_BYTES + size);

    memcpy(batch->data, plain->data, RECORD_BATCH_HEADER_BYTES);
    memcpy(batch->data + RECORD_BATCH_HEADER_BYTES, records, size);
    put_be32(batch->data + 8, (uint32_t)(batch->size - RECORD_BATCH_OVERHEAD_BYTES));
    batch->data[22] = (uint8_t)codec;
    put_be32(batch->data + 17, crc32c(0, batch->data + 21, batch->size - 21));
    return batch;
}

/* Compressed records are the sender's word, except where a config demands that they are opened. */
static void test_produce__opens_compressed_batches_where_a_config_demands_it(void **state) {
    static const struct {
        enum topic_config_key key;
        const char *value;
    } demands[] = {{TOPIC_CLEANUP_POLICY, "compact"},
                   {TOPIC_COMPRESSION_TYPE, "gzip"},
                   {TOPIC_TIMESTAMP_BEFORE_MAX_MS, "5000"},
                   {TOPIC_TIMESTAMP_AFTER_MAX_MS, "5000"}};
    _cleanup_(buf_unrefp) struct buf *rubbish = compressed(4, "rubbish", 7);
    _cleanup_(buf_unrefp) struct buf *late = compressed(4, "rubbish", 7);
    struct topic *topic = harness_topic(&h, "t", 1);

    assert_int_equal(produce_error(9, rubbish), 0);
    for (size_t i = 0; i < ARRAY_SIZE(demands); i++) {
        set_config(demands[i].key, demands[i].value);
        assert_int_equal(produce_error(9, rubbish), KAFKA_UNKNOWN_SERVER_ERROR);
        topic_config_unset(&topic->config, demands[i].key);
    }
    set_config(TOPIC_TIMESTAMP_AFTER_MAX_MS, "9223372036854775807"); /* forbids nothing */
    assert_int_equal(produce_error(9, rubbish), 0);
    topic_config_unset(&topic->config, TOPIC_TIMESTAMP_AFTER_MAX_MS);
    /* By default the header's largest timestamp decides, or the first one. */
    for (size_t at = 27; at <= 35; at += 8) {
        put_be64(late->data + at, (uint64_t)clock_wall_ms(h.broker.clock) + 3600001);
        put_be32(late->data + 17, crc32c(0, late->data + 21, late->size - 21));
        assert_int_equal(produce_error(9, late), KAFKA_UNKNOWN_SERVER_ERROR);
        put_be64(late->data + at, 1000);
    }
    assert_int_equal(topic->partitions[0]->log_end_offset, 2);
}

static void test_produce__stores_by_the_codec_of_the_topic(void **state) {
    static const struct {
        const char *name;
        int codec;
    } rows[] = {{"gzip", 1}, {"snappy", 2}, {"lz4", 3}, {"zstd", 4}, {"uncompressed", 0}};

    harness_topic(&h, "t", 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(buf_unrefp) struct buf *batch = batch_new(3, 1000);

        set_config(TOPIC_COMPRESSION_TYPE, rows[i].name);
        assert_int_equal(produce_error(9, batch), 0);
        assert_int_equal(codec_of_stored((int64_t)i * 3), rows[i].codec);
    }
}

/* What is made anew would hide that it came damaged. */
static void test_produce__does_not_store_a_damaged_batch_anew(void **state) {
    _cleanup_(buf_unrefp) struct buf *batch = batch_new(3, 1000);

    harness_topic(&h, "t", 1);
    set_config(TOPIC_COMPRESSION_TYPE, "zstd");
    batch->data[batch->size - 2] ^= 1; /* in the last value */
    assert_int_equal(produce_error(9, batch), KAFKA_CORRUPT_MESSAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_produce__gives_offsets_in_every_version),
        TEST(test_produce__answers_only_when_durable),
        TEST(test_produce__says_when_the_log_failed),
        TEST(test_produce__refuses_records_too_far_from_our_clock),
        TEST(test_produce__sets_the_header_right_G35),
        TEST(test_produce__refuses_a_batch_beyond_a_segment),
        TEST(test_produce__opens_compressed_batches_where_a_config_demands_it),
        TEST(test_produce__stores_by_the_codec_of_the_topic),
        TEST(test_produce__does_not_store_a_damaged_batch_anew),
        TEST(test_produce__refuses_versions_below_3_by_error),
        TEST(test_produce__with_acks_0_has_no_answer),
        TEST(test_produce__refuses_unknown_places),
        TEST(test_produce__refuses_wrong_acks_and_transactions),
        TEST(test_produce__validates_the_batch_G34_G37),
        TEST(test_produce__refuses_a_wrong_crc_two_batches_and_none),
        TEST(test_produce__leaves_out_bytes_that_are_no_other_batch),
        TEST(test_produce__tells_the_log_start_with_an_error_G39),
        TEST(test_produce__counts_the_last_of_two_entries_for_a_partition),
        TEST(test_produce__answers_at_the_timeout_and_lets_the_append_go_on),
        TEST(test_produce__waits_a_while_whatever_the_timeout),
        TEST(test_produce__refuses_a_batch_that_is_too_large),
        TEST(test_produce__names_each_record_without_key_of_a_compacted_topic_G36),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
