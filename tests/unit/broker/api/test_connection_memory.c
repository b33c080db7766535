/* Large requests and answers over real sockets: whose memory they take, and who waits for it. */
#include "connection_fixture.h"

#include <eventbox/base/bytes.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void produce_and_fetch(bool files) {
    enum { SIZE = 900000, COUNT = 4 };
    uint8_t *value = malloc(SIZE);
    struct text out = {0};
    struct fetch_response answer;
    struct record_iterator it;
    struct record record;
    struct arena arena;
    size_t at = 0;
    int fd;

    for (size_t i = 0; i < SIZE; i++) {
        value[i] = (uint8_t)(i * 31 + i / 1000);
    }
    make_topic();
    fake_log_serve_files(log_, files);
    start();
    fd = dial();
    for (int i = 0; i < COUNT; i++) {
        put_produce(&out, i, value, SIZE);
    }
    put_api_versions(&out, 0, COUNT);
    send_text(fd, &out);
    for (int i = 0; i <= COUNT; i++) {
        expect_answer(fd, i);
    }
    put_fetch(&out, 50, 0);
    put_api_versions(&out, 0, 51);
    send_text(fd, &out);
    _cleanup_(buf_unrefp) struct buf *bytes = receive_answer(fd);
    expect_answer(fd, 51);
    assert_int_equal(fake_log_file_chunks(log_),
                     files ? COUNT : 0); /* what the log has, uncopied */
    arena_init(&arena, MIB(1));
    assert_int_equal(kafka_decode(&kafka_fetch_response_type, 11, false,
                                  span_of(bytes->data + 4, bytes->size - 4), &arena, &answer, NULL),
                     0);
    for (int i = 0; i < COUNT; i++) {
        struct span all = answer.responses[0].partitions[0].records.span;

        assert_int_equal(
            record_iterator_init(&it, span_of((const uint8_t *)all.data + at, all.size - at)), 0);
        assert_int_equal(record_iterator_next(&it, &record), 1);
        assert_int_equal(record.offset, i);
        assert_memory_equal(record.value.data, value, SIZE);
        at += it.batch.total_bytes;
        record_iterator_deinit(&it);
    }
    arena_deinit(&arena);
    free(value);
    close(fd);
}

static void test_connection__carries_large_batches_from_memory(void **state) {
    produce_and_fetch(false);
}

static void test_connection__carries_large_batches_from_files(void **state) {
    produce_and_fetch(true);
}

static void test_connection__serves_large_requests_beyond_the_account_in_turn(void **state) {
    enum { SIZE = 700000, CLIENTS = 5 };
    char *value = calloc(1, SIZE);
    int fds[CLIENTS];
    struct text out = {0};
    struct kafka_server_stats stats;
    size_t half;

    make_topic();
    config.limits.memory_bytes = 1000000;
    start();
    put_produce(&out, 9, value, SIZE);
    half = out.size / 2;
    for (int i = 0; i < CLIENTS;
         i++) { /* all begin, so that together they want more than there is */
        fds[i] = dial();
        send_all(fds[i], out.data, 200000);
    }
    for (int i = 0; i < 50; i++) {
        loop_step(loop);
    }
    kafka_server_stats(server, &stats);
    assert_true(stats.reserved_bytes <= 1000000 + SIZE + 1000);
    for (int i = CLIENTS - 1; i >= 0; i--) {
        send_all(fds[i], out.data + 200000, half - 200000);
    }
    for (int i = 0; i < CLIENTS; i++) {
        send_all(fds[i], out.data + half, out.size - half);
    }
    for (int i = 0; i < CLIENTS; i++) {
        expect_answer(fds[i], 9);
        close(fds[i]);
    }
    kafka_server_stats(server, &stats);
    assert_int_equal(stats.reserved_bytes, 0);
    assert_int_equal(stats.connections_starved, 0);
    text_deinit(&out);
    free(value);
}

/* Their memory is not what requests under way wait for. As much may be parked as may be under way.
 */
static void test_connection__requests_that_are_parked_hold_up_no_large_one(void **state) {
    enum { FETCH = 150000, PARKED = 4 };
    char *value = calloc(1, FETCH);
    struct text out = {0};
    struct kafka_server_stats stats;
    int fds[PARKED], late, producer;

    make_topic();
    config.limits.memory_bytes = PARKED * (FETCH + 1000);
    start();
    for (int i = 0; i < PARKED; i++) {
        fds[i] = dial();
        put_large_fetch(&out, i, 600000, FETCH);
        send_all(fds[i], out.data, out.size);
        text_clear(&out);
        RUN_UNTIL(stats_now().fetches_parked == (unsigned)i + 1);
    }
    kafka_server_stats(server, &stats);
    assert_int_equal(stats.reserved_bytes, 0);
    assert_true(stats.parked_bytes >= PARKED * FETCH);
    late = dial();
    put_large_fetch(&out, 8, 600000, FETCH);
    send_all(late, out.data, out.size);
    expect_answer(late, 8); /* at once, with nothing */
    text_clear(&out);
    producer = dial();
    put_produce(&out, 9, value, FETCH);
    send_all(producer, out.data, out.size);
    expect_answer(producer, 9);
    for (int i = 0; i < PARKED; i++) {
        expect_answer(fds[i], i);
        close(fds[i]);
    }
    close(late);
    close(producer);
    kafka_server_stats(server, &stats);
    assert_int_equal(stats.reserved_bytes + stats.parked_bytes, 0);
    text_deinit(&out);
    free(value);
}

/* One byte now and then is progress, as long as nobody waits for the memory that it holds. */
static void test_connection__lets_trickling_peers_go_when_others_wait(void **state) {
    enum { SIZE = 700000, TRICKLERS = 4 };
    static uint8_t start_of_frame[5000] = {0, 0x10, 0, 0, 0x7f}; /* 1 MiB announced, no API */
    char *value = calloc(1, SIZE);
    struct text out = {0};
    int tricklers[TRICKLERS];
    uint8_t length[4];
    ssize_t n = -1;
    int fd;

    make_topic();
    config.limits.memory_bytes = 600000;
    config.limits.progress_ms = 300;
    start();
    for (int i = 0; i < TRICKLERS; i++) {
        tricklers[i] = dial();
        send_all(tricklers[i], start_of_frame, sizeof start_of_frame);
        loop_step(loop);
    }
    fd = dial();
    put_produce(&out, 9, value, SIZE);
    for (size_t at = 0, turns = 0; n < 0; turns++) {
        assert_true(turns < 200000);
        for (int i = 0; i < TRICKLERS && turns % 100 == 0; i++) {
            send(tricklers[i], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        if (at < out.size) {
            ssize_t sent = send(fd, out.data + at, out.size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            at += sent > 0 ? (size_t)sent : 0;
        }
        if (!loop_step(loop)) {
            usleep(100);
        }
        n = recv(fd, length, 4, MSG_DONTWAIT);
    }
    assert_int_equal(n, 4);
    assert_non_null(strstr(last_event, "too slowly"));
    assert_int_equal(last_kind, KAFKA_SERVER_BAD_PEER); /* nobody knows what they wanted to say */
    for (int i = 0; i < TRICKLERS; i++) {
        close(tricklers[i]);
    }
    close(fd);
    text_deinit(&out);
    free(value);
}

/* Of two that wait the one that began first goes on, although it came to wait later: who stalls and
 * begins again never gets in front. */
static void test_connection__serves_the_older_of_two_starved_requests_first(void **state) {
    enum { SIZE = 700000, STEP = 262144, BEGUN = 100000, HELD = BEGUN - 4 + STEP };
    static uint8_t endless[300000] = {0, 0x20, 0, 0}; /* 2 MiB announced, and never sent */
    char *value = calloc(1, SIZE);
    struct text out = {0};
    uint8_t byte;
    int older, younger, stalled;

    make_topic();
    config.limits.memory_bytes = 2 * HELD; /* not a byte is left: who goes on needs the exemption */
    start();
    put_produce(&out, 9, value, SIZE);
    older = dial();
    send_all(older, out.data, BEGUN);
    RUN_UNTIL(stats_now().reserved_bytes == HELD);
    younger = dial();
    send_all(younger, out.data, BEGUN);
    RUN_UNTIL(stats_now().reserved_bytes == 2 * HELD);
    stalled = dial();
    send_all(stalled, endless, sizeof endless);
    RUN_UNTIL(stats_now().reserved_bytes > 3 * HELD);
    send_all(younger, out.data + BEGUN, out.size - BEGUN);
    RUN_UNTIL(stats_now().connections_starved == 1);
    send_all(older, out.data + BEGUN, out.size - BEGUN);
    RUN_UNTIL(stats_now().connections_starved == 2);
    close(stalled);
    RUN_UNTIL(recv(older, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1 ||
              recv(younger, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1);
    assert_int_equal(recv(older, &byte, 1, MSG_DONTWAIT | MSG_PEEK), 1);
    expect_answer(older, 9);
    expect_answer(younger, 9);
    close(older);
    close(younger);
    text_deinit(&out);
    free(value);
}

/* ---- answers that nobody reads ---- */

static void test_connection__handles_one_fetch_at_a_time(void **state) {
    struct kafka_server_stats stats;
    struct text out = {0};
    int fd;

    make_topic();
    start();
    fd = dial();
    for (int i = 0; i < 5; i++) {
        put_fetch(&out, i, 50);
    }
    put_api_versions(&out, 0, 5);
    send_text(fd, &out);
    RUN_UNTIL((kafka_server_stats(server, &stats), stats.fetches_parked > 0));
    for (int i = 0; i < 20; i++) {
        loop_step(loop);
        kafka_server_stats(server, &stats);
        assert_true(stats.fetches_parked <= 1);
    }
    for (int i = 0; i <= 5; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

static void test_connection__begins_nothing_while_answers_are_unread(void **state) {
    enum { SIZE = 900000, FETCHES = 40 };
    char *value = calloc(1, SIZE);
    struct kafka_server_stats stats;
    struct text out = {0};
    size_t most = 0;
    int fd;

    make_topic();
    start();
    fd = dial();
    for (int i = 0; i < 2; i++) {
        put_produce(&out, i, value, SIZE);
    }
    send_text(fd, &out);
    expect_answer(fd, 0);
    expect_answer(fd, 1);
    for (int i = 0; i < FETCHES; i++) {
        put_fetch(&out, i, 0);
    }
    send_text(fd, &out);
    for (int i = 0; i < 200; i++) {
        loop_step(loop);
        kafka_server_stats(server, &stats);
        most = MAX(most, stats.answer_bytes);
    }
    assert_true(most > SIZE);
    assert_true(most < 4 * SIZE + (8 << 20)); /* two batches a fetch, and what the socket took */
    for (int i = 0; i < FETCHES; i++) {
        expect_answer(fd, i);
    }
    RUN_UNTIL((kafka_server_stats(server, &stats), stats.answer_bytes == 0));
    close(fd);
    free(value);
}

static void test_connection__waits_where_answers_wait_for_their_turn(void **state) {
    struct text out = {0};
    unsigned handled;
    int fd;

    for (int i = 0; i < 40; i++) { /* so that Metadata of all is long */
        char name[200];
        struct topic_spec spec = {.partition_count = 200};
        static struct topic_log_request requests[40];

        snprintf(name, sizeof name, "a-topic-%d", i);
        spec.name = span_text(name);
        requests[i].done = on_topic;
        assert_int_equal(topic_log_create(log_, &spec, &requests[i]), 0);
    }
    config.limits.connection_requests = 100000;
    start();
    fd = dial();
    put_heartbeat(&out, 0); /* keeps the others back */
    for (int i = 1; i <= 60; i++) {
        struct metadata_request body;

        kafka_init(&kafka_metadata_request_type, &body, 1);
        body.topics_count = -1;
        put_request(&out, 3, 1, i, &body);
    }
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 1);
    for (int i = 0; i < 50; i++) {
        loop_step(loop);
    }
    handled = requests_in_flight();
    assert_true(handled > 2 && handled < 50);
    release(parked[0]);
    for (int i = 0; i <= 60; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

static void test_connection__gives_memory_back_when_a_peer_breaks_off(void **state) {
    uint8_t head[200000] = {0, 0x10, 0, 0}; /* 1 MiB announced */
    struct kafka_server_stats stats;
    int fd;

    start();
    fd = dial();
    send_all(fd, head, sizeof head);
    do {
        loop_step(loop);
        kafka_server_stats(server, &stats);
    } while (stats.reserved_bytes == 0);
    close(fd);
    RUN_UNTIL((kafka_server_stats(server, &stats), stats.connections == 0));
    assert_int_equal(stats.reserved_bytes, 0);
}

/* ---- bad peers ---- */

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_connection__carries_large_batches_from_memory),
        TEST(test_connection__carries_large_batches_from_files),
        TEST(test_connection__serves_large_requests_beyond_the_account_in_turn),
        TEST(test_connection__requests_that_are_parked_hold_up_no_large_one),
        TEST(test_connection__lets_trickling_peers_go_when_others_wait),
        TEST(test_connection__serves_the_older_of_two_starved_requests_first),
        TEST(test_connection__handles_one_fetch_at_a_time),
        TEST(test_connection__begins_nothing_while_answers_are_unread),
        TEST(test_connection__waits_where_answers_wait_for_their_turn),
        TEST(test_connection__gives_memory_back_when_a_peer_breaks_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
