/* Produce requests with several partitions: what refuses one of them, and what refuses them all. */
#include "harness.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

enum { PRODUCE = 0, TOPICS_MAX = 4, PARTITIONS_MAX = 4 };

static struct harness h;

static int setup(void **state) {
    harness_init(&h);
    harness_topic(&h, "a", 3);
    harness_topic(&h, "b", 1);
    return 0;
}

static int teardown(void **state) {
    harness_deinit(&h);
    return 0;
}

/* ---- requests of any shape ---- */

struct asked {
    struct produce_request body;
    struct produce_request_topic topics[TOPICS_MAX];
    struct produce_request_partition partitions[TOPICS_MAX][PARTITIONS_MAX];
    struct call call;
    struct produce_response *answer;
};

static void begin(struct asked *asked) {
    kafka_init(&kafka_produce_request_type, &asked->body, 1);
    kafka_init(&kafka_produce_request_topic_type, asked->topics, TOPICS_MAX);
    for (size_t i = 0; i < TOPICS_MAX; i++) {
        kafka_init(&kafka_produce_request_partition_type, asked->partitions[i], PARTITIONS_MAX);
    }
    asked->body.acks = -1;
    asked->body.topic_data = asked->topics;
}

static void add_topic(struct asked *asked, const char *name) {
    struct produce_request_topic *topic = &asked->topics[asked->body.topic_data_count];

    topic->name = span_text(name);
    topic->partition_data = asked->partitions[asked->body.topic_data_count++];
}

/* To the last topic that was added. */
static void add(struct asked *asked, int32_t index, const struct buf *batch) {
    struct produce_request_topic *topic = &asked->topics[asked->body.topic_data_count - 1];
    struct produce_request_partition *row = &topic->partition_data[topic->partition_data_count++];

    row->index = index;
    row->records.span = batch ? span_of(batch->data, batch->size) : SPAN_NULL;
}

static struct produce_response *ask(struct asked *asked, int16_t version) {
    call_start(&h, &asked->call, PRODUCE, version, &asked->body);
    return call_wait(&h, &asked->call);
}

static const struct produce_response_partition *row_of(const struct produce_response *answer,
                                                       int32_t topic, int32_t index) {
    const struct produce_response_topic *rows = &answer->responses[topic];

    assert_true(topic < answer->responses_count);
    for (int32_t i = 0; i < rows->partition_responses_count; i++) {
        if (rows->partition_responses[i].index == index) {
            return &rows->partition_responses[i];
        }
    }
    fail_msg("no row for %d", index);
    return NULL;
}

/* Asks for partitions 0 and 1 of topic a, and gives the errors back. */
static void ask_pair(int16_t version, const char *id, const struct buf *first,
                     const struct buf *second, int16_t ret_errors[2]) {
    const struct produce_response *answer;
    struct asked asked;

    begin(&asked);
    asked.body.transactional_id = id ? span_text(id) : SPAN_NULL;
    add_topic(&asked, "a");
    add(&asked, 0, first);
    add(&asked, 1, second);
    answer = ask(&asked, version);
    ret_errors[0] = row_of(answer, 0, 0)->error_code;
    ret_errors[1] = row_of(answer, 0, 1)->error_code;
    call_end(&asked.call);
}

#define ASSERT_PAIR(version, id, first, second, error_0, error_1)                                  \
    do {                                                                                           \
        int16_t errors[2];                                                                         \
        ask_pair(version, id, first, second, errors);                                              \
        assert_int_equal(errors[0], error_0);                                                      \
        assert_int_equal(errors[1], error_1);                                                      \
    } while (0)

static struct buf *of_a_transaction(int64_t producer_id, int16_t epoch) {
    struct buf *batch = batch_with(21, RECORD_BATCH_TRANSACTIONAL, 2);

    put_be64(batch->data + 43, (uint64_t)producer_id);
    put_be16(batch->data + 51, (uint16_t)epoch);
    put_be32(batch->data + 53, 0);
    put_be32(batch->data + 17, crc32c(0, batch->data + 21, batch->size - 21));
    return batch;
}

static int64_t end_of(const char *topic, int32_t index) {
    return topic_log_find(h.log, span_text(topic))->partitions[index]->log_end_offset;
}

/* ---- rows ---- */

static void test_produce_request__has_one_row_for_a_topic_that_is_named_twice(void **state) {
    _cleanup_(buf_unrefp) struct buf *one = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *two = batch_new(2, 1000);
    _cleanup_(buf_unrefp) struct buf *other = batch_new(1, 1000);
    const struct produce_response *answer;
    struct asked asked;

    begin(&asked);
    add_topic(&asked, "a");
    add(&asked, 0, one);
    add_topic(&asked, "b");
    add(&asked, 0, other);
    add_topic(&asked, "a");
    add(&asked, 1, two);
    add_topic(&asked, "none");
    answer = ask(&asked, 9);
    assert_int_equal(answer->responses_count, 2); /* none for a topic without partitions */
    assert_int_equal(answer->responses[0].partition_responses_count, 2);
    assert_int_equal(row_of(answer, 0, 0)->error_code, 0);
    assert_int_equal(row_of(answer, 0, 1)->error_code, 0);
    assert_int_equal(row_of(answer, 1, 0)->error_code, 0);
    call_end(&asked.call);
    assert_int_equal(end_of("a", 1), 2);
}

static void test_produce_request__counts_the_last_batch_across_topics(void **state) {
    _cleanup_(buf_unrefp) struct buf *one = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *three = batch_new(3, 1000);
    const struct produce_response *answer;
    struct asked asked;

    begin(&asked);
    add_topic(&asked, "a");
    add(&asked, 0, one);
    add_topic(&asked, "a");
    add(&asked, 0, three);
    answer = ask(&asked, 9);
    assert_int_equal(answer->responses_count, 1);
    assert_int_equal(answer->responses[0].partition_responses_count, 1);
    call_end(&asked.call);
    assert_int_equal(end_of("a", 0), 3);
}

/* The last good one is appended, the last bad one is told. */
static void test_produce_request__tells_the_bad_one_of_a_partition_named_twice(void **state) {
    _cleanup_(buf_unrefp) struct buf *one = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *three = batch_new(3, 1000);
    _cleanup_(buf_unrefp) struct buf *old = batch_with(16, 1, 1); /* magic 1 */
    _cleanup_(buf_unrefp) struct buf *damaged = batch_new(1, 1000);
    const struct {
        const struct buf *named[3];
        int16_t error;
        int64_t appended;
    } rows[] = {
        {{one, old, NULL}, KAFKA_INVALID_RECORD, 1},
        {{old, one, NULL}, KAFKA_INVALID_RECORD, 1},
        {{one, old, three}, KAFKA_INVALID_RECORD, 3},
        {{three, old, old}, KAFKA_INVALID_RECORD, 3},
        {{old, three, one}, KAFKA_INVALID_RECORD, 1},
        {{one, damaged, NULL}, KAFKA_CORRUPT_MESSAGE, 0}, /* which is found out too late for that */
        {{old, damaged, NULL}, KAFKA_INVALID_RECORD, 0},
    };
    const struct produce_response *answer;
    struct asked asked;
    int64_t end = 0;

    damaged->data[damaged->size - 1] ^= 1;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        begin(&asked);
        add_topic(&asked, "a");
        for (size_t p = 0; p < 3 && rows[i].named[p]; p++) {
            add(&asked, 0, rows[i].named[p]);
        }
        answer = ask(&asked, 9);
        assert_int_equal(answer->responses[0].partition_responses_count, 1);
        assert_int_equal(row_of(answer, 0, 0)->error_code, rows[i].error);
        assert_int_equal(row_of(answer, 0, 0)->base_offset, -1);
        call_end(&asked.call);
        end += rows[i].appended;
        assert_int_equal(end_of("a", 0), end);
    }
}

/* ---- what refuses all of it ---- */

static void test_produce_request__is_refused_whole_for_a_head_of_nothing_G37(void **state) {
    _cleanup_(buf_unrefp) struct buf *good = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *strange = batch_new(1, 1000);
    const struct produce_response *answer;
    struct asked asked;

    strange->data[16] = 9;
    begin(&asked);
    add_topic(&asked, "none"); /* whether there is such a topic does not matter */
    add(&asked, 0, strange);
    add_topic(&asked, "a");
    add(&asked, 0, good);
    answer = ask(&asked, 9);
    assert_int_equal(row_of(answer, 0, 0)->error_code, KAFKA_CORRUPT_MESSAGE);
    assert_int_equal(row_of(answer, 1, 0)->error_code, KAFKA_CORRUPT_MESSAGE);
    assert_true(span_equal(row_of(answer, 1, 0)->error_message,
                           SPAN_LITERAL("Invalid magic found in record: 9")));
    call_end(&asked.call);
    assert_int_equal(end_of("a", 0), 0);
}

static void test_produce_request__is_refused_whole_for_what_kafka_does_not_expect(void **state) {
    _cleanup_(buf_unrefp) struct buf *good = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *codec = batch_with(21, 6, 2);
    _cleanup_(buf_unrefp) struct buf *little = buf_new(50);

    ASSERT_PAIR(6, NULL, codec, good, KAFKA_UNKNOWN_SERVER_ERROR, KAFKA_UNKNOWN_SERVER_ERROR);
    memcpy(little->data, good->data, little->size);
    put_be32(little->data + 8, (uint32_t)little->size - 12);
    ASSERT_PAIR(9, NULL, little, good, KAFKA_UNKNOWN_SERVER_ERROR, KAFKA_UNKNOWN_SERVER_ERROR);
    assert_int_equal(end_of("a", 1), 0);
    ASSERT_PAIR(9, NULL, codec, good, KAFKA_UNKNOWN_SERVER_ERROR, 0); /* since version 7 its own */
}

/* ---- transactions, of which there are none yet ---- */

static void test_produce_request__knows_no_transaction(void **state) {
    _cleanup_(buf_unrefp) struct buf *good = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *claimed = of_a_transaction(-1, -1);
    _cleanup_(buf_unrefp) struct buf *one = of_a_transaction(5, 0);
    _cleanup_(buf_unrefp) struct buf *next = of_a_transaction(5, 1);

    ASSERT_PAIR(9, NULL, one, good, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    ASSERT_PAIR(9, "id", one, good, KAFKA_INVALID_PRODUCER_ID_MAPPING, 0);
    ASSERT_PAIR(9, "", one, good, KAFKA_INVALID_REQUEST, 0);
    ASSERT_PAIR(9, "id", one, next, KAFKA_INVALID_PRODUCER_ID_MAPPING,
                KAFKA_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(end_of("a", 0), 0);
    ASSERT_PAIR(9, "id", claimed, good, 0, 0); /* without a producer it is of none */
    assert_int_equal(end_of("a", 0), 2);
}

static void test_produce_request__looks_at_acks_after_the_batches(void **state) {
    _cleanup_(buf_unrefp) struct buf *good = batch_new(1, 1000);
    _cleanup_(buf_unrefp) struct buf *old = batch_with(16, 1, 1);
    const struct produce_response *answer;
    struct asked asked;

    begin(&asked);
    asked.body.acks = 2;
    add_topic(&asked, "a");
    add(&asked, 9, good);
    add(&asked, 0, old);
    add(&asked, 1, good);
    add(&asked, 2, NULL);
    answer = ask(&asked, 9);
    assert_int_equal(row_of(answer, 0, 9)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(row_of(answer, 0, 0)->error_code, KAFKA_INVALID_RECORD);
    assert_int_equal(row_of(answer, 0, 1)->error_code, KAFKA_INVALID_REQUIRED_ACKS);
    assert_int_equal(row_of(answer, 0, 2)->error_code, KAFKA_INVALID_RECORD);
    call_end(&asked.call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_produce_request__has_one_row_for_a_topic_that_is_named_twice),
        TEST(test_produce_request__counts_the_last_batch_across_topics),
        TEST(test_produce_request__tells_the_bad_one_of_a_partition_named_twice),
        TEST(test_produce_request__is_refused_whole_for_a_head_of_nothing_G37),
        TEST(test_produce_request__is_refused_whole_for_what_kafka_does_not_expect),
        TEST(test_produce_request__knows_no_transaction),
        TEST(test_produce_request__looks_at_acks_after_the_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
