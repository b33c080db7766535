/* Frames, order and bad peers over real sockets on loopback. */
#include "connection_fixture.h"

#include <eventbox/base/bytes.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void test_connection__answers_api_versions_with_header_v0(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_api_versions(&out, 3, 77);
    send_text(fd, &out);
    _cleanup_(buf_unrefp) struct buf *answer = receive_answer(fd);
    assert_int_equal(get_be32(answer->data), 77);
    assert_int_equal(get_be16(answer->data + 4), 0); /* the error code, no byte of tags before it */
    /* a compact array of our rows and Heartbeat */
    assert_int_equal(answer->data[6], broker_handlers_count + 1 + 1);
    close(fd);
}

static void test_connection__answers_an_unknown_api_versions_in_version_0(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_frame(&out, 18, 99, 5, true, SPAN_LITERAL("whatever comes"));
    put_api_versions(&out, 0, 6);
    send_text(fd, &out);
    _cleanup_(buf_unrefp) struct buf *answer = receive_answer(fd);
    assert_int_equal(get_be32(answer->data), 5);
    assert_int_equal(get_be16(answer->data + 4), KAFKA_UNSUPPORTED_VERSION);
    assert_int_equal(get_be32(answer->data + 6), 1); /* a row, in an array of version 0: KIP-511 */
    assert_int_equal(get_be16(answer->data + 10), 18);
    assert_int_equal(get_be16(answer->data + 14), 4);
    expect_answer(fd, 6); /* the connection goes on */
    close(fd);
}

static void test_connection__takes_frames_in_any_pieces(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    for (int i = 0; i < 20; i++) {
        put_api_versions(&out, (int16_t)(i % 5), i);
    }
    for (size_t at = 0; at < out.size; at += 7) {
        send_all(fd, out.data + at, MIN((size_t)7, out.size - at));
        loop_step(loop);
    }
    text_deinit(&out);
    for (int i = 0; i < 20; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

static void test_connection__keeps_the_order_behind_a_parked_request(void **state) {
    struct text out = {0};
    uint8_t byte;
    int fd;

    start();
    fd = dial();
    put_api_versions(&out, 0, 1);
    put_heartbeat(&out, 2);
    put_api_versions(&out, 0, 3);
    put_heartbeat(&out, 4);
    put_api_versions(&out, 0, 5);
    send_text(fd, &out);
    expect_answer(fd, 1);
    RUN_UNTIL(parked_count == 2);
    release(parked[1]); /* too early: waits for the first */
    for (int i = 0; i < 10; i++) {
        loop_step(loop);
    }
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    release(parked[0]);
    for (int32_t id = 2; id <= 5; id++) {
        expect_answer(fd, id);
    }
    close(fd);
}

static void test_connection__tells_parked_handlers_that_the_peer_is_gone(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_heartbeat(&out, 1);
    put_api_versions(&out, 0, 2);
    put_heartbeat(&out, 3);
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 2);
    close(fd);
    RUN_UNTIL(gone_count == 2);
}

static void test_connection__goes_on_after_too_many_requests_in_flight(void **state) {
    struct text out = {0};
    int fd;

    config.limits.connection_requests = 3;
    start();
    fd = dial();
    put_heartbeat(&out, 1);
    for (int i = 2; i <= 200; i++) {
        put_api_versions(&out, 0, i);
    }
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 1);
    for (int i = 0; i < 20; i++) {
        loop_step(loop);
    }
    release(parked[0]);
    for (int i = 1; i <= 200; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

/* ---- large requests and answers ---- */

static void test_connection__says_what_the_peer_seems_to_speak(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, "HTTP"},
        {"\0\0\0\x0a\0\x11\0\1\0\0\0\1\xff\xff", 14, "wants SASL"},
        {"\xff\xff\xff\xff", 4, "frame of 4294967295 bytes"},
        {"\x06\x40\x00\x01", 4, "frame of 104857601 bytes"},
        {"\0\0\0\0", 4, "frame of 0 bytes"},
        {"\0\0\0\x0a\0\3\0\1\0\0\0\1\0\x50", 14, "header is damaged"},
        {"\0\0\0\x0a\0\x63\0\0\0\0\0\1\xff\xff", 14,
         "api key 99 version 0 of client '' is not served"},
        {"\0\0\0\x0a\0\3\0\x63\0\0\0\1\xff\xff", 14, "Metadata version 99"},
        {"\0\0\0\x0c\0\x63\0\0\0\0\0\1\0\2\n\x1b", 16, "of client '?\?' is not served"},
        {"\0\0\0\x0c\0\3\0\1\0\0\0\1\xff\xff\0\1", 16,
         "Metadata version 1 of client '' cannot be decoded"},
    };

    start();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char answer[300];
        int fd = dial();
        size_t got;

        last_event[0] = '\0';
        send_all(fd, rows[i].bytes, rows[i].size);
        got = receive(fd, (uint8_t *)answer, sizeof answer);
        assert_true(got < sizeof answer); /* ended */
        if (!strstr(last_event, rows[i].expected)) {
            fail_msg("'%s' lacks '%s'", last_event, rows[i].expected);
        }
        assert_int_equal(got > 0 && memcmp(answer, "HTTP/1.1 400", 12) == 0, i == 0);
        assert_int_equal(last_kind, KAFKA_SERVER_BAD_PEER);
        close(fd);
    }
}

static void test_connection__refuses_beyond_the_limit(void **state) {
    int fds[3];
    struct text out = {0};

    config.limits.connections_max = 2;
    start();
    for (int i = 0; i < 2; i++) {
        fds[i] = dial();
        put_api_versions(&out, 0, i);
        send_text(fds[i], &out);
        expect_answer(fds[i], i);
    }
    fds[2] = dial();
    expect_end(fds[2]);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
}

static void test_connection__ends_one_that_makes_no_progress(void **state) {
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;
    char name[64];
    int fd;

    config.limits.progress_ms = 20;
    start();
    fd = dial();
    send_all(fd, "\0\0\1", 3);
    expect_end(fd);
    assert_non_null(strstr(last_event, "no progress"));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &size), 0);
    snprintf(name, sizeof name, "127.0.0.1:%u", (unsigned)ntohs(own.sin_port));
    assert_string_equal(last_peer, name); /* its socket is closed by now */
    assert_int_equal(last_kind, KAFKA_SERVER_BAD_PEER);
    close(fd);
}

/* A Produce stalls, of 100 bytes, 40 KB and 16 MB. */
static void test_connection__names_a_client_whose_first_request_stalls(void **state) {
    config.limits.progress_ms = 20;
    start();
    for (uint32_t size = 100; size < 99 << 20; size *= 400) {
        uint8_t bytes[] = {0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff};
        int fd = dial();
        put_be32(bytes, size);
        send_all(fd, bytes, sizeof bytes);
        expect_end(fd);
        assert_int_equal(last_kind, KAFKA_SERVER_CLIENT_ENDED);
        close(fd);
    }
}

/* A client that has spoken Kafka is not told to be something else. */
static void test_connection__names_a_client_that_spoke_before(void **state) {
    struct api_versions_request body;
    struct text out = {0};
    int fd;

    config.limits.progress_ms = 20;
    start();
    fd = dial();
    kafka_init(&kafka_api_versions_request_type, &body, 1);
    put_request(&out, 18, 0, 7, &body);
    send_all(fd, out.data, out.size);
    expect_answer(fd, 7);
    send_all(fd, out.data, out.size - 1);
    expect_end(fd);
    assert_non_null(strstr(last_event, "no progress"));
    assert_int_equal(last_kind, KAFKA_SERVER_CLIENT_ENDED);
    close(fd);
    text_deinit(&out);
}

static void test_server_stop__lets_requests_in_flight_finish(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_heartbeat(&out, 1);
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 1);
    kafka_server_stop(server, 60000, on_stopped, NULL);
    for (int i = 0; i < 10; i++) {
        loop_step(loop);
    }
    assert_false(stopped);
    release(parked[0]);
    expect_answer(fd, 1);
    expect_end(fd);
    close(fd);
    RUN_UNTIL(stopped);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_connection__answers_api_versions_with_header_v0),
        TEST(test_connection__answers_an_unknown_api_versions_in_version_0),
        TEST(test_connection__takes_frames_in_any_pieces),
        TEST(test_connection__keeps_the_order_behind_a_parked_request),
        TEST(test_connection__tells_parked_handlers_that_the_peer_is_gone),
        TEST(test_connection__goes_on_after_too_many_requests_in_flight),
        TEST(test_connection__says_what_the_peer_seems_to_speak),
        TEST(test_connection__refuses_beyond_the_limit),
        TEST(test_connection__ends_one_that_makes_no_progress),
        TEST(test_connection__names_a_client_whose_first_request_stalls),
        TEST(test_connection__names_a_client_that_spoke_before),
        TEST(test_server_stop__lets_requests_in_flight_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
