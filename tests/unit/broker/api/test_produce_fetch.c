#include "harness.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

#include <stdlib.h>

enum { PRODUCE = 0, FETCH = 1 };

static struct harness h;

static int setup(void **state) {
    harness_init(&h);
    return 0;
}

static int teardown(void **state) {
    harness_deinit(&h);
    return 0;
}

/* ---- Produce ---- */

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

/* Changes one field of a good batch and makes the CRC right again. */
static struct buf *batch_with(size_t at, uint64_t value, size_t bytes) {
    struct buf *batch = batch_new(2, 1000);
    uint8_t number[8];

    put_be64(number, value);
    memcpy(batch->data + at, number + 8 - bytes, bytes);
    put_be32(batch->data + 17, crc32c(0, batch->data + 21, batch->size - 21));
    return batch;
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
        {"an unknown codec", 21, 5, 2, 9, KAFKA_CORRUPT_MESSAGE},
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

/* ---- Fetch ---- */

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
    struct call call;

    fetch_args(&args, 0, 60000);
    call_start(&h, &call, FETCH, 12, &args.body);
    fake_log_hold(h.log, true);
    topic_log_delete(h.log, topic, &request);
    call_wait(&h, &call);
    assert_int_equal(first_row(&call)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    call_end(&call);
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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_produce__gives_offsets_in_every_version),
        TEST(test_produce__answers_only_when_durable),
        TEST(test_produce__says_when_the_log_failed),
        TEST(test_produce__refuses_records_too_far_from_our_clock),
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
