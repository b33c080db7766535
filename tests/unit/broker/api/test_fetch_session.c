/* Fetch sessions (KIP-227, G30): what the cache bounds, and whom it turns away. */
#include "harness.h"

#include "fetch_session.h"

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

/* ---- the cache ---- */

static const struct fetch_wanted wanted = {7, 0, -1, 1000};

static struct fetch_sessions *cache(unsigned slots, size_t bytes) {
    fetch_sessions_free(h.broker.sessions);
    assert_int_equal(fetch_sessions_new(h.loop, slots, bytes, &h.broker.sessions), 0);
    return h.broker.sessions;
}

/* Return: the id; 0 when the cache has no place for a session with @parts partitions of "t". */
static int32_t keep(struct fetch_sessions *sessions, int32_t parts) {
    struct fetch_session *session = fetch_session_new(sessions, false);
    int32_t id = 0;
    bool fits = true;

    for (int32_t i = 0; fits && i < parts; i++) {
        fits = fetch_session_put(sessions, session, SPAN_LITERAL("t"), NULL, i, &wanted) != NULL;
    }
    if (fits && fetch_session_keep(sessions, session)) {
        id = session->id;
    }
    fetch_session_unref(session);
    return id;
}

static struct fetch_session_stats stats_of(const struct fetch_sessions *sessions) {
    struct fetch_session_stats stats;

    fetch_sessions_stats(sessions, &stats);
    return stats;
}

static void pass_seconds(int64_t seconds) {
    clock_manual_advance(&h.clock, seconds * NS_PER_SEC);
    harness_turn(&h);
}

static void test_fetch_sessions__are_as_many_as_slots(void **state) {
    struct fetch_sessions *sessions = cache(2, MIB(1));
    int32_t a = keep(sessions, 1);
    int32_t b = keep(sessions, 1);

    assert_true(a > 0 && b > 0 && a != b);
    assert_int_equal(keep(sessions, 5), 0); /* nobody is old: larger is not enough */
    assert_non_null(fetch_session_find(sessions, a));
    assert_int_equal(stats_of(sessions).sessions, 2);
    assert_int_equal(stats_of(sessions).partitions, 2);
}

static void test_fetch_sessions__give_way_when_unused_for_two_minutes(void **state) {
    struct fetch_sessions *sessions = cache(2, MIB(1));
    int32_t a = keep(sessions, 9);
    int32_t b = keep(sessions, 9);
    int32_t c;

    pass_seconds(100);
    fetch_session_touch(sessions, fetch_session_find(sessions, a));
    pass_seconds(30);
    c = keep(sessions, 1);
    assert_true(c > 0);
    assert_null(fetch_session_find(sessions, b));
    assert_non_null(fetch_session_find(sessions, a));
    assert_int_equal(stats_of(sessions).evicted, 1);
}

static void test_fetch_sessions__give_way_to_larger_ones_when_old(void **state) {
    struct fetch_sessions *sessions = cache(2, MIB(1));
    int32_t large = keep(sessions, 9);
    int32_t small = keep(sessions, 3);

    pass_seconds(130);
    fetch_session_touch(sessions, fetch_session_find(sessions, large));
    fetch_session_touch(sessions, fetch_session_find(sessions, small));
    assert_int_equal(keep(sessions, 3), 0); /* as large is not larger */
    assert_true(keep(sessions, 4) > 0);
    assert_null(fetch_session_find(sessions, small));
    assert_non_null(fetch_session_find(sessions, large));
}

static void test_fetch_sessions__are_bounded_in_bytes(void **state) {
    struct fetch_sessions *sessions = cache(100, 64 << 10);
    int32_t id = keep(sessions, 100);
    struct fetch_session *session = fetch_session_find(sessions, id);
    int32_t more = 100;

    assert_true(id > 0);
    assert_int_equal(keep(sessions, 10000), 0);
    while (fetch_session_put(sessions, session, SPAN_LITERAL("t"), NULL, more, &wanted)) {
        assert_true(++more < 10000);
    }
    assert_true(more > 150);
    assert_int_equal(keep(sessions, 1), 0);
    fetch_session_drop(sessions, session);
    assert_true(keep(sessions, 100) > 0); /* what it held is free again */
    assert_int_equal(stats_of(sessions).partitions, 100);
}

static void test_fetch_session__forgets(void **state) {
    struct fetch_sessions *sessions = cache(10, MIB(1));
    struct fetch_session *session = fetch_session_new(sessions, false);
    size_t empty = session->bytes;
    struct fetch_session_part *part;

    part = fetch_session_put(sessions, session, SPAN_LITERAL("t"), NULL, 3, &wanted);
    assert_ptr_equal(fetch_session_put(sessions, session, SPAN_LITERAL("t"), NULL, 3, &wanted),
                     part);
    assert_int_equal(session->part_count, 1);
    fetch_session_forget(sessions, session, SPAN_LITERAL("t"), NULL, 4);
    fetch_session_forget(sessions, session, SPAN_LITERAL("u"), NULL, 3);
    assert_int_equal(session->part_count, 1);
    fetch_session_forget(sessions, session, SPAN_LITERAL("t"), NULL, 3);
    assert_int_equal(session->part_count, 0);
    assert_int_equal(session->topics.count, 0);
    assert_int_equal(session->bytes, empty);
    fetch_session_unref(session);
}

static void test_fetch_session__keeps_a_name_of_any_length(void **state) {
    struct fetch_sessions *sessions = cache(10, MIB(1));
    struct fetch_session *session = fetch_session_new(sessions, false);
    size_t empty = session->bytes;
    char name[1000];
    const struct fetch_session_topic *topic;

    memset(name, 'x', sizeof name);
    topic = fetch_session_put(sessions, session, span_of(name, 999), NULL, 0, &wanted)->key.topic;
    assert_non_null(fetch_session_put(sessions, session, span_of(name, 1000), NULL, 0, &wanted));
    assert_int_equal(session->topics.count, 2);
    assert_int_equal(topic->name_size, 999);
    assert_memory_equal(topic->name, name, 999);
    assert_true(session->bytes > empty + 1999);
    fetch_session_forget(sessions, session, span_of(name, 999), NULL, 0);
    fetch_session_forget(sessions, session, span_of(name, 1000), NULL, 0);
    assert_int_equal(session->bytes, empty);
    fetch_session_unref(session);
}

static void test_fetch_session__counts_its_epoch_around(void **state) {
    struct fetch_sessions *sessions = cache(10, MIB(1));
    struct fetch_session *session = fetch_session_find(sessions, keep(sessions, 1));

    assert_int_equal(session->epoch, 1);
    session->epoch = INT32_MAX;
    fetch_session_touch(sessions, session);
    assert_int_equal(session->epoch, 1);
}

/* ---- through the handler ---- */

static void start(struct call *call, int32_t session_id, int32_t epoch, int32_t wait_ms) {
    struct fetch_request_partition partition;
    struct fetch_request_topic topic;
    struct fetch_request body;

    kafka_init(&kafka_fetch_request_type, &body, 1);
    kafka_init(&kafka_fetch_request_topic_type, &topic, 1);
    kafka_init(&kafka_fetch_request_partition_type, &partition, 1);
    body.max_wait_ms = wait_ms;
    body.min_bytes = 1;
    body.session_id = session_id;
    body.session_epoch = epoch;
    body.topics = &topic;
    body.topics_count = epoch == 0;
    topic.topic = SPAN_LITERAL("t");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    partition.partition_max_bytes = 1 << 20;
    call_start(&h, call, FETCH, 11, &body);
}

static struct fetch_response *fetch(struct call *call, int32_t session_id, int32_t epoch) {
    start(call, session_id, epoch, 0);
    return call_wait(&h, call);
}

static void test_fetch__goes_on_without_a_session_where_there_is_no_place(void **state) {
    struct fetch_response *answer;
    struct call call;

    harness_topic(&h, "t", 1);
    append_records(&h, "t", 1, 1000);
    cache(1, 100); /* too few bytes for any */
    answer = fetch(&call, 0, 0);
    assert_int_equal(answer->error_code, 0);
    assert_int_equal(answer->session_id, 0);
    assert_true(answer->responses[0].partitions[0].records.span.size > 0);
    call_end(&call);
    fetch_sessions_free(h.broker.sessions);
    h.broker.sessions = NULL; /* switched off */
    answer = fetch(&call, 0, 0);
    assert_int_equal(answer->session_id, 0);
    call_end(&call);
    answer = fetch(&call, 5, 1);
    assert_int_equal(answer->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    call_end(&call);
}

/* The parts of a parked fetch may be gone from its session: it must not look at them. */
static void test_fetch__is_told_when_another_has_gone_on_with_its_session(void **state) {
    struct fetch_response *answer;
    struct call call;
    struct call parked;
    int32_t id;

    harness_topic(&h, "t", 1);
    answer = fetch(&call, 0, 0);
    id = answer->session_id;
    call_end(&call);
    start(&parked, id, 1, 500);
    harness_turn(&h);
    assert_false(parked.done);
    answer = fetch(&call, id, 2);
    assert_int_equal(answer->error_code, 0);
    call_end(&call);
    append_records(&h, "t", 1, 1000);
    answer = call_wait(&h, &parked);
    assert_int_equal(answer->error_code, KAFKA_INVALID_FETCH_SESSION_EPOCH);
    call_end(&parked);
}

static void test_fetch__survives_the_end_of_its_session(void **state) {
    struct fetch_response *answer;
    struct call call;
    struct call parked;
    int32_t id;

    harness_topic(&h, "t", 1);
    answer = fetch(&call, 0, 0);
    id = answer->session_id;
    call_end(&call);
    start(&parked, id, 1, 500);
    harness_turn(&h);
    fetch_session_drop(h.broker.sessions, fetch_session_find(h.broker.sessions, id));
    append_records(&h, "t", 1, 1000);
    answer = call_wait(&h, &parked);
    assert_int_equal(answer->error_code, 0);
    assert_int_equal(answer->responses_count, 1);
    call_end(&parked);
    answer = fetch(&call, id, 2);
    assert_int_equal(answer->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    call_end(&call);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_fetch_sessions__are_as_many_as_slots),
        TEST(test_fetch_sessions__give_way_when_unused_for_two_minutes),
        TEST(test_fetch_sessions__give_way_to_larger_ones_when_old),
        TEST(test_fetch_sessions__are_bounded_in_bytes),
        TEST(test_fetch_session__forgets),
        TEST(test_fetch_session__counts_its_epoch_around),
        TEST(test_fetch_session__keeps_a_name_of_any_length),
        TEST(test_fetch__goes_on_without_a_session_where_there_is_no_place),
        TEST(test_fetch__is_told_when_another_has_gone_on_with_its_session),
        TEST(test_fetch__survives_the_end_of_its_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
