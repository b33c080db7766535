/* A whole server: what leaves, in which order, when, and what it costs. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST "Host: a\r\n"

/* One request on a connection of its own. */
static void ask(struct rig *rig, struct peer *peer, const char *text) {
    peer_open(rig, peer);
    peer_send_str(rig, peer, text);
}

static void post(struct rig *rig, struct peer *peer, const char *path, const char *fields,
                 const char *body) {
    struct text text;
    text_init(&text);
    text_printf(&text, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n%s\r\n%s", path,
                strlen(body), fields, body);
    ask(rig, peer, text.data);
    text_deinit(&text);
}

#define JSON_TYPE "Content-Type: application/json\r\n"
#define VALID     "{\"username\":\"john\",\"email\":\"j@example.com\",\"password\":\"12345678\"}"

static void test_server__fields_of_an_answer(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer, "GET / HTTP/1.1\r\n" HOST "\r\n");
    assert_string_equal(peer_body(&peer), "{\"status\":\"ok\"}");
    static const char *const fields[] = {
        "HTTP/1.1 200 OK\r\n",
        "\r\ndate: Mon, 24 Nov 2025 16:00:00 GMT\r\n",
        "\r\nserver: eventbox\r\n",
        "\r\ncontent-type: application/json\r\n",
        "\r\ncontent-length: 15\r\n",
        "\r\ncache-control: no-store\r\n",
        "\r\nx-content-type-options: nosniff\r\n",
        "\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'\r\n",
        "\r\nreferrer-policy: no-referrer\r\n",
        "\r\ncross-origin-resource-policy: same-origin\r\n",
        "\r\nx-request-id: ",
        "\r\ntraceparent: 00-"};
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (!peer_has(&peer, fields[i])) {
            fail_msg("%s is not in %s", fields[i], peer.in.data);
        }
    }
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__ids_come_and_go(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer,
        "GET / HTTP/1.1\r\n" HOST "X-Request-Id: abc-1.2_3\r\n"
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
    assert_true(peer_has(&peer, "x-request-id: abc-1.2_3\r\n"));
    assert_true(peer_has(&peer, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-"));
    assert_false(peer_has(&peer, "b7ad6b7169203331"));
    peer_close(&rig, &peer);
    ask(&rig, &peer, "GET / HTTP/1.1\r\n" HOST "X-Request-Id: a b\r\ntraceparent: x\r\n\r\n");
    assert_false(peer_has(&peer, "x-request-id: a b"));
    /* without one, the id is the trace's */
    const char *id = strstr(peer.in.data, "x-request-id: ") + 14;
    const char *trace = strstr(peer.in.data, "traceparent: 00-") + 16;
    assert_memory_equal(id, trace, 32);
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__methods_and_paths(void **state) {
    static const struct {
        const char *line, *has, *body;
        int status;
    } cases[] = {
        {"GET /users HTTP/1.1", "", "{\"skip\":0,\"limit\":100,\"q\":\"\"}", 200},
        {"GET /users/?skip=5&limit=2&q=a%20b+c&skip=6 HTTP/1.1", "",
         "{\"skip\":6,\"limit\":2,\"q\":\"a b c\"}", 200},
        {"GET /users/?limit=0 HTTP/1.1", "x-error-code: validation\r\n",
         "{\"detail\":[{\"type\":\"greater_than_equal\",\"loc\":[\"query\",\"limit\"],\"msg\":"
         "\"Input should "
         "be greater than or equal to 1\",\"input\":\"0\",\"ctx\":{\"ge\":1}}]}",
         422},
        {"GET /users/%37/ HTTP/1.1", "", "{\"id\":7}", 200},
        {"GET /users/x HTTP/1.1", "",
         "{\"detail\":[{\"type\":\"int_parsing\",\"loc\":[\"path\",\"user_id\"],\"msg\":\"Input "
         "should be a "
         "valid integer, unable to parse string as an integer\",\"input\":\"x\"}]}",
         422},
        {"HEAD /users/7 HTTP/1.1", "content-length: 8\r\n", "", 200},
        {"DELETE /users/7 HTTP/1.1", "x-error-code: user_not_found\r\n",
         "{\"detail\":\"User not found\"}", 404},
        {"PATCH /users/7 HTTP/1.1", "allow: GET, DELETE, HEAD, OPTIONS\r\n",
         "{\"detail\":\"Method Not Allowed\"}", 405},
        {"GET /users/login HTTP/1.1", "allow: POST, OPTIONS\r\n",
         "{\"detail\":\"Method Not Allowed\"}", 405},
        {"OPTIONS /users/ HTTP/1.1", "allow: GET, POST, HEAD, OPTIONS\r\n", "", 204},
        {"GET /nowhere HTTP/1.1", "x-error-code: not_found\r\n", "{\"detail\":\"Not Found\"}", 404},
        {"POST /users/login HTTP/1.1", "www-authenticate: Bearer\r\n",
         "{\"detail\":\"Invalid credentials\"}", 401},
        {"GET /busy HTTP/1.1", "retry-after: 1\r\n",
         "{\"detail\":\"Too many passwords are being hashed, try again later\"}", 503},
    };
    struct rig rig;
    rig_start(&rig, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer;
        char text[256];
        snprintf(text, sizeof text, "%s\r\n" HOST "\r\n", cases[i].line);
        ask(&rig, &peer, text);
        if (peer_status(&peer, 0) != cases[i].status || !peer_has(&peer, cases[i].has) ||
            strcmp(peer_body(&peer), cases[i].body) != 0 || peer.closed) {
            fail_msg("%s: %s", cases[i].line, peer.in.data);
        }
        if (cases[i].status == 204) {
            assert_false(peer_has(&peer, "content-length"));
        }
        peer_close(&rig, &peer);
    }
    rig_stop(&rig);
}

static void test_server__bodies(void **state) {
    static const struct {
        const char *fields, *body, *answer;
        int status;
    } cases[] = {
        {JSON_TYPE, VALID, "{\"username\":\"john\",\"email\":\"j@example.com\",\"role\":1}", 201},
        {"Content-Type: Application/JSON ; charset=utf-8\r\n", VALID, "{\"username\":\"john\"",
         201},
        {"Content-Type: application/vnd.api+json\r\n", VALID, "{\"username\":\"john\"", 201},
        {JSON_TYPE, "",
         "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field "
         "required\",\"input\":null}]}",
         422},
        {JSON_TYPE, "{\"username\": }",
         "{\"detail\":[{\"type\":\"json_invalid\",\"loc\":[\"body\",13],\"msg\":\"JSON decode "
         "error\",\"input\":{},\"ctx\":{\"error\":\"Expecting value\"}}]}",
         422},
        {JSON_TYPE, "[1]",
         "{\"detail\":[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input "
         "should be a "
         "valid dictionary or object to extract fields from\",\"input\":null}]}",
         422},
        {JSON_TYPE, "\"{\\\"password\\\":\\\"12345678\\\"}\"",
         "{\"detail\":[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input "
         "should be a "
         "valid dictionary or object to extract fields from\",\"input\":null}]}",
         422},
        {JSON_TYPE, "{\"age\":1,\"age\":2}", "{\"detail\":[{\"type\":\"json_invalid\"", 422},
        {JSON_TYPE "Prefer: handling=strict\r\n", "{\"x\":1," VALID, "", 422},
        {"", VALID, "{\"detail\":[{\"type\":\"model_attributes_type\"", 422},
        {"Content-Type: text/plain\r\n", VALID,
         "{\"detail\":[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input "
         "should be a "
         "valid dictionary or object to extract fields from\",\"input\":null,\"ctx\":{\"reason\":"
         "\"Content-Type must be application/json\"}}]}",
         422},
        {"Content-Type: application/x-www-form-urlencoded\r\n", "a=b",
         "{\"detail\":[{\"type\":\"model_attributes_type\"", 422},
        {JSON_TYPE "Content-Encoding: gzip\r\n", VALID,
         "{\"detail\":\"The content type or encoding", 415},
    };
    struct rig rig;
    rig_start(&rig, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer;
        post(&rig, &peer, "/users/", cases[i].fields, cases[i].body);
        if (peer_status(&peer, 0) != cases[i].status ||
            strncmp(peer_body(&peer), cases[i].answer, strlen(cases[i].answer)) != 0 ||
            peer.closed) {
            fail_msg("%s%s: %s", cases[i].fields, cases[i].body, peer.in.data);
        }
        peer_close(&rig, &peer);
    }
    rig_stop(&rig);
}

static void test_server__problems_for_those_who_ask(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    post(&rig, &peer, "/users/",
         JSON_TYPE "X-Request-Id: r1\r\nAccept: application/problem+json\r\n", "{\"username\":1}");
    assert_true(peer_has(&peer, "content-type: application/problem+json\r\n"));
    assert_string_equal(
        peer_body(&peer),
        "{\"type\":\"urn:eventbox:problem:validation\",\"title\":\"The request is not "
        "valid\",\"status\":422,"
        "\"detail\":\"The request is not valid\",\"instance\":\"/users/\",\"code\":\"validation\","
        "\"request_id\":\"r1\",\"errors\":["
        "{\"pointer\":\"#/"
        "username\",\"loc\":[\"body\",\"username\"],\"type\":\"string_type\",\"msg\":\"Input "
        "should be a valid string\"},"
        "{\"pointer\":\"#/"
        "email\",\"loc\":[\"body\",\"email\"],\"type\":\"missing\",\"msg\":\"Field required\"},"
        "{\"pointer\":\"#/"
        "password\",\"loc\":[\"body\",\"password\"],\"type\":\"missing\",\"msg\":\"Field "
        "required\"}]}");
    peer_close(&rig, &peer);
    ask(&rig, &peer,
        "GET /x HTTP/1.1\r\n" HOST
        "Accept: application/json, application/problem+json;q=0.5\r\n\r\n");
    assert_string_equal(peer_body(&peer), "{\"detail\":\"Not Found\"}");
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__limits(void **state) {
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct rig rig;
    struct text long_target, many_fields, long_field;
    text_init(&long_target);
    text_init(&many_fields);
    text_init(&long_field);
    text_append_str(&long_target, "GET /");
    while (long_target.size < limits.target_bytes + 5) {
        text_append_char(&long_target, 'a');
    }
    text_append_str(&long_target, " HTTP/1.1\r\n" HOST "\r\n");
    text_append_str(&many_fields, "GET / HTTP/1.1\r\n" HOST);
    for (unsigned i = 0; i < limits.head_fields; i++) {
        text_printf(&many_fields, "X-%u: y\r\n", i);
    }
    text_append_str(&many_fields, "\r\n");
    text_append_str(&long_field, "GET / HTTP/1.1\r\n" HOST "X: ");
    while (long_field.size < 2 * limits.head_bytes) {
        text_append_char(&long_field, 'a');
    }
    const struct {
        const char *text;
        int status, code;
    } cases[] = {
        {long_target.data, 414, HTTP_E_URI_TOO_LONG},
        {many_fields.data, 431, HTTP_E_HEAD_TOO_LARGE},
        {long_field.data, 431, HTTP_E_HEAD_TOO_LARGE},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\nabc", 413, HTTP_E_TOO_LARGE},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10001\r\n", 0,
         0},
    };
    rig_start(&rig, &limits);
    for (size_t i = 0; i < ARRAY_SIZE(cases) - 1; i++) {
        struct peer peer;
        rig.last_reject = 0;
        ask(&rig, &peer, cases[i].text);
        assert_int_equal(peer_status(&peer, 0), cases[i].status);
        assert_true(peer.closed);
        assert_int_equal(rig.last_reject, cases[i].code);
        peer_close(&rig, &peer);
    }
    /* A chunked body is counted as it comes. */
    struct peer peer;
    static char chunk[0x10001];
    memset(chunk, 'x', sizeof chunk);
    ask(&rig, &peer, cases[4].text);
    assert_int_equal(peer_responses(&peer), 0);
    peer_send(&rig, &peer, chunk, sizeof chunk);
    assert_int_equal(peer_status(&peer, 0), 413);
    peer_close(&rig, &peer);
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    assert_int_equal(stats.rejected, 5);
    text_deinit(&long_target);
    text_deinit(&many_fields);
    text_deinit(&long_field);
    rig_stop(&rig);
}

static void test_server__counts_connections(void **state) {
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct http_server_stats stats;
    struct rig rig;
    struct peer first, second, third;
    limits.connections = 2;
    rig_start(&rig, &limits);
    ask(&rig, &first, "GET / HTTP/1.1\r\n" HOST "\r\n");
    peer_open(&rig, &second);
    ask(&rig, &third, "GET / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(peer_status(&first, 0), 200);
    assert_true(third.closed);
    assert_int_equal(third.in.size, 0);
    http_server_stats(rig.server, &stats);
    assert_int_equal(stats.connections_now, 2);
    assert_int_equal(stats.connections_opened, 2);
    assert_int_equal(stats.connections_refused, 1);
    peer_close(&rig, &first);
    peer_close(&rig, &second);
    peer_close(&rig, &third);
    http_server_stats(rig.server, &stats);
    assert_int_equal(stats.connections_now, 0);
    rig_stop(&rig);
}

static void test_server__deadlines(void **state) {
    static const struct {
        const char *text;
        int64_t ms;
        int status; /* 0: closed without a word */
    } cases[] = {
        {"", 60000, 0},
        {"GET / HTTP/1.1\r\n" HOST "\r\n", 60000, 200},
        {"GET / HTTP/1.1\r\nHo", 10000, 408},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab", 30000, 408},
    };
    struct rig rig;
    rig_start(&rig, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer;
        ask(&rig, &peer, cases[i].text);
        rig_advance(&rig, cases[i].ms - 1000);
        peer_receive(&rig, &peer);
        assert_false(peer.closed);
        rig_advance(&rig, 1001);
        peer_receive(&rig, &peer);
        assert_true(peer.closed);
        assert_int_equal(peer_status(&peer, 0), cases[i].status);
        peer_close(&rig, &peer);
    }
    rig_stop(&rig);
}

/* The deadline of a head counts from its first byte: one byte a second does not hold a place. */
static void test_server__slow_head_is_not_patience(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    peer_open(&rig, &peer);
    for (int i = 0; i < 11; i++) {
        peer_send_str(&rig, &peer, i ? "A" : "G");
        rig_advance(&rig, 1000);
        peer_receive(&rig, &peer);
    }
    assert_true(peer.closed);
    assert_int_equal(peer_status(&peer, 0), 408);
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__keep_alive_goes_on_after_idling(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    peer_open(&rig, &peer);
    for (unsigned i = 1; i <= 5; i++) {
        peer_send_str(&rig, &peer, "GET / HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(peer_responses(&peer), i);
        rig_advance(&rig, 40000);
        peer_receive(&rig, &peer);
        assert_false(peer.closed);
    }
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__answers_leave_in_order(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer,
        "GET /parked HTTP/1.1\r\n" HOST "\r\nGET /x HTTP/1.1\r\n" HOST
        "\r\nGET /parked HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(rig.parked_count, 2);
    assert_int_equal(peer.in.size, 0);
    http_respond_text(rig.parked[1], 200, "text/plain", SPAN_LITERAL("second"));
    peer_receive(&rig, &peer);
    assert_int_equal(peer.in.size, 0);
    http_respond_text(rig.parked[0], 202, "text/plain", SPAN_LITERAL("first"));
    peer_receive(&rig, &peer);
    assert_int_equal(peer_responses(&peer), 4);
    assert_int_equal(peer_status(&peer, 0), 202);
    assert_int_equal(peer_status(&peer, 1), 404);
    assert_int_equal(peer_status(&peer, 2), 200);
    assert_int_equal(peer_status(&peer, 3), 200);
    assert_int_equal(rig.answers, 4);
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__sixteen_unanswered_requests_at_most(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    peer_open(&rig, &peer);
    for (int i = 0; i < 20; i++) {
        peer_send_str(&rig, &peer, "GET /parked HTTP/1.1\r\n" HOST "\r\n");
    }
    assert_int_equal(rig.parked_count, 16);
    http_respond_empty(rig.parked[3], 204); /* not the first: its answer waits, and so do we */
    peer_receive(&rig, &peer);
    assert_int_equal(rig.parked_count, 16);
    http_respond_empty(rig.parked[0], 204);
    peer_receive(&rig, &peer);
    assert_int_equal(rig.parked_count, 17);
    for (unsigned i = 1; i < rig.parked_count; i++) {
        if (i != 3) {
            http_respond_empty(rig.parked[i], 204);
            peer_receive(&rig, &peer);
        }
    }
    assert_int_equal(rig.parked_count, 20);
    assert_int_equal(peer_responses(&peer), 20);
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__a_flood_of_requests_waits_for_its_reader(void **state) {
    enum { FLOOD = 60 }; /* of 300 KiB each */
    struct http_server_stats stats;
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    peer_open(&rig, &peer);
    struct text flood;
    text_init(&flood);
    for (int i = 0; i < FLOOD; i++) {
        text_append_str(&flood, "GET /large HTTP/1.1\r\n" HOST "\r\n");
    }
    assert_true(write(peer.fd, flood.data, flood.size) == (ssize_t)flood.size);
    rig_settle(&rig);
    http_server_stats(rig.server, &stats);
    assert_true(stats.requests < 16);
    static char bytes[1 << 16];
    while (stats.requests < FLOOD || read(peer.fd, bytes, sizeof bytes) > 0) {
        assert_true(read(peer.fd, bytes, sizeof bytes) != 0);
        rig_settle(&rig);
        http_server_stats(rig.server, &stats);
    }
    assert_int_equal(stats.requests, FLOOD);
    text_deinit(&flood);
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__expectations(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer,
        "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_string_equal(peer.in.data, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_send_str(&rig, &peer, "ab");
    assert_int_equal(peer_status(&peer, 1), 200);
    assert_false(peer.closed);
    peer_close(&rig, &peer);
    ask(&rig, &peer,
        "POST /x HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(peer_status(&peer, 0), 404);
    assert_true(peer.closed);
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__operations(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer, "GET /operation HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(peer.in.size, 0);
    op_resume(&rig.operation->op, 0);
    peer_receive(&rig, &peer);
    assert_string_equal(peer_body(&peer), "operated");
    peer_send_str(&rig, &peer, "GET /operation HTTP/1.1\r\n" HOST "\r\n");
    op_resume(&rig.operation->op, STORE_E_BUSY);
    peer_receive(&rig, &peer);
    assert_int_equal(peer_status(&peer, 1), 503);
    peer_send_str(&rig, &peer, "GET /operation HTTP/1.1\r\n" HOST "\r\n");
    op_resume(&rig.operation->op, -5);
    peer_receive(&rig, &peer);
    assert_int_equal(peer_status(&peer, 2), 500);
    assert_true(peer_has(&peer, "{\"detail\":\"Internal Server Error\"}"));
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void test_server__a_peer_that_leaves_cancels(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer, "GET /operation HTTP/1.1\r\n" HOST "\r\n");
    peer_close(&rig, &peer);
    assert_int_equal(rig.cancels, 1);
    /* A handler's answer to nobody is harmless. */
    ask(&rig, &peer, "GET /parked HTTP/1.1\r\n" HOST "\r\n");
    peer_close(&rig, &peer);
    http_respond_empty(rig.parked[0], 204);
    rig_settle(&rig);
    assert_int_equal(rig.server->requests_alive, 0);
    rig_stop(&rig);
}

static void test_server__idle_connections_have_no_buffers(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer, "GET / HTTP/1.1\r\n");
    struct http_connection *connection =
        list_entry(rig.server->connections.next, struct http_connection, link);
    assert_non_null(connection->held.data);
    peer_send_str(&rig, &peer, HOST "\r\n");
    assert_int_equal(peer_status(&peer, 0), 200);
    assert_null(connection->held.data);
    assert_int_equal(rig.server->requests_alive, 0);
    assert_true(sizeof *connection <= 640);
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

static void on_stopped(void *userdata) {
    ((struct rig *)userdata)->stopped = true;
}

static void test_server_stop__finishes_what_is_in_flight(void **state) {
    struct rig rig;
    struct peer idle, busy;
    rig_start(&rig, NULL);
    peer_open(&rig, &idle);
    ask(&rig, &busy, "GET /parked HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    http_server_stop(rig.server, 5000, on_stopped, &rig);
    peer_receive(&rig, &idle);
    assert_true(idle.closed);
    assert_false(rig.stopped);
    http_respond_empty(rig.parked[0], 204);
    peer_receive(&rig, &busy);
    assert_int_equal(peer_responses(&busy), 2);
    assert_true(peer_has(&busy, "connection: close\r\n"));
    assert_true(busy.closed);
    close(busy.fd);
    close(idle.fd);
    rig_settle(&rig);
    assert_true(rig.stopped);
    text_deinit(&busy.in);
    loop_free(rig.loop);
}

static void test_server_stop__deadline_ends_the_rest(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer, "GET /operation HTTP/1.1\r\n" HOST "\r\n");
    http_server_stop(rig.server, 5000, on_stopped, &rig);
    rig_settle(&rig);
    assert_false(rig.stopped);
    rig_advance(&rig, 5001);
    peer_receive(&rig, &peer);
    assert_true(peer.closed);
    assert_int_equal(rig.cancels, 1);
    assert_true(rig.stopped);
    close(peer.fd);
    loop_free(rig.loop);
}

static void test_server__describes_itself(void **state) {
    struct rig rig;
    struct peer peer;
    struct json *json = NULL;
    struct json_limits limits = {MIB(1), 64, 100000};
    rig_start(&rig, NULL);
    ask(&rig, &peer, "GET /openapi.json HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(json_parse(span_text(peer_body(&peer)), &limits, &json, NULL), 0);
    const struct json *paths = json_member(json, "paths");
    assert_non_null(json_member(json_member(paths, "/users/{user_id}"), "delete"));
    assert_null(json_member(paths, "/docs"));
    const struct json *post_users = json_member(json_member(paths, "/users/"), "post");
    assert_true(span_equal(json_string(json_member(post_users, "operationId")),
                           SPAN_LITERAL("users.create")));
    const struct json *content = json_member(json_member(post_users, "requestBody"), "content");
    const struct json *schema = json_member(json_member(content, "application/json"), "schema");
    const struct json *age = json_member(json_member(schema, "properties"), "age");
    assert_int_equal(json_int(json_member(age, "maximum")), 150);
    assert_int_equal(json_type_of(json_member(age, "type")), JSON_ARRAY);
    json_free(json);
    peer_close(&rig, &peer);
    static const char *const pages[] = {"/docs", "/redoc", "/docs.js", "/docs.css"};
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        char text[128];
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" HOST "\r\n", pages[i]);
        ask(&rig, &peer, text);
        assert_int_equal(peer_status(&peer, 0), 200);
        assert_true(peer_has(&peer, "script-src 'self'"));
        assert_false(peer_has(&peer, "default-src 'none'; frame-ancestors 'none'\r\n"));
        assert_false(peer_has(&peer, "://")); /* nothing comes from elsewhere */
        peer_close(&rig, &peer);
    }
    rig_stop(&rig);
}

static void test_server__a_line_break_in_a_field_is_dropped(void **state) {
    struct rig rig;
    struct peer peer;
    rig_start(&rig, NULL);
    ask(&rig, &peer, "GET /parked HTTP/1.1\r\n" HOST "\r\n");
    http_respond_header(rig.parked[0], "location", "/x\r\nset-cookie: a=b");
    http_respond_header(rig.parked[0], "etag", "\"u1.2\"");
    http_respond_header(rig.parked[0], "Cache-Control", "private, no-cache");
    http_respond_empty(rig.parked[0], 200);
    peer_receive(&rig, &peer);
    assert_false(peer_has(&peer, "set-cookie"));
    assert_true(peer_has(&peer, "etag: \"u1.2\"\r\n"));
    assert_false(peer_has(&peer, "no-store"));
    peer_close(&rig, &peer);
    rig_stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server__fields_of_an_answer),
        cmocka_unit_test(test_server__ids_come_and_go),
        cmocka_unit_test(test_server__methods_and_paths),
        cmocka_unit_test(test_server__bodies),
        cmocka_unit_test(test_server__problems_for_those_who_ask),
        cmocka_unit_test(test_server__limits),
        cmocka_unit_test(test_server__counts_connections),
        cmocka_unit_test(test_server__deadlines),
        cmocka_unit_test(test_server__slow_head_is_not_patience),
        cmocka_unit_test(test_server__keep_alive_goes_on_after_idling),
        cmocka_unit_test(test_server__answers_leave_in_order),
        cmocka_unit_test(test_server__sixteen_unanswered_requests_at_most),
        cmocka_unit_test(test_server__a_flood_of_requests_waits_for_its_reader),
        cmocka_unit_test(test_server__expectations),
        cmocka_unit_test(test_server__operations),
        cmocka_unit_test(test_server__a_peer_that_leaves_cancels),
        cmocka_unit_test(test_server__idle_connections_have_no_buffers),
        cmocka_unit_test(test_server_stop__finishes_what_is_in_flight),
        cmocka_unit_test(test_server_stop__deadline_ends_the_rest),
        cmocka_unit_test(test_server__describes_itself),
        cmocka_unit_test(test_server__a_line_break_in_a_field_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
