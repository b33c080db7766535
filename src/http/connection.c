/*
 * One connection. An idle one owns nothing but its struct: bytes are read into the loop's scratch
 * buffer and consumed at once; what cannot be consumed - part of a head, or requests behind too
 * many unanswered ones - is held in memory of its own until it can.
 *
 *   HEAD --head complete--> BODY --message complete--> HEAD
 *     \-- framing error, limit, "close" -------------> CLOSING, behind the last answer
 *
 * Deadlines are one lazy timer: moving a deadline back costs a store, the timer finds out when it
 * fires.
 */
#include "exchange.h"

#include <eventbox/base/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void connection_settle(struct http_connection *c);

/* Frees the memory as soon as the socket has closed and nothing of this file is on the stack. */
static void connection_release(struct http_connection *c) {
    if (!c->conn && !c->busy) {
        struct http_server *server = c->server;
        free(c);
        server_connection_gone(server);
    }
}

static bool blocked(const struct http_connection *c) {
    return c->request_count >= c->server->limits.pipelined_requests ||
           conn_unsent_bytes(c->conn) > UNSENT_BYTES_MAX;
}

static bool reading(const struct http_connection *c) {
    return c->conn && (c->phase == CONNECTION_HEAD || c->phase == CONNECTION_BODY);
}

/* Deadlines. */

static void deadline_set(struct http_connection *c, enum connection_deadline kind) {
    const struct http_limits *limits = &c->server->limits;
    const int64_t delays_ms[] = {
        [DEADLINE_NONE] = 0,
        [DEADLINE_IDLE] = limits->idle_ms,
        [DEADLINE_HEAD] = limits->head_ms,
        [DEADLINE_BODY] = limits->body_ms,
    };
    if (kind == c->deadline && kind != DEADLINE_IDLE) {
        return; /* it counts from its beginning, not from the last byte */
    }
    c->deadline = kind;
    c->deadline_ns = 0;
    if (kind != DEADLINE_NONE && delays_ms[kind] > 0) {
        c->deadline_ns = loop_now_ns(c->server->loop) + delays_ms[kind] * NS_PER_MS;
        if (!timer_running(&c->timer) || c->timer.due_ns > c->deadline_ns) {
            timer_start(&c->timer, delays_ms[kind] * NS_PER_MS);
        }
    }
}

static void deadline_update(struct http_connection *c) {
    if (!c->conn || c->phase == CONNECTION_CLOSING) {
        deadline_set(c, DEADLINE_NONE); /* the connection's own write deadline goes on */
    } else if (c->paused) {
        deadline_set(c, DEADLINE_NONE);
    } else if (c->phase == CONNECTION_BODY) {
        deadline_set(c, DEADLINE_BODY);
    } else if (c->held.size) {
        deadline_set(c, DEADLINE_HEAD);
    } else {
        deadline_set(c, list_empty(&c->requests) ? DEADLINE_IDLE : DEADLINE_NONE);
    }
}

/* Answers. */

static void drop_requests(struct http_connection *c) {
    struct list *link;
    c->incoming = NULL;
    while ((link = list_pop_front(&c->requests))) {
        struct http_request *request = list_entry(link, struct http_request, link);
        c->request_count--;
        if (request->dispatched) {
            request_abandon(request);
        } else {
            request_free(request); /* its body was still coming */
        }
    }
}

static void note_answer(struct http_request *request) {
    const struct http_service *service = request->server->service;
    if (request->head_valid && service->on_answer) {
        int64_t now_ns = clock_mono_ns(loop_clock(request->server->loop));
        service->on_answer(service->common_userdata, request, request->response.status,
                           now_ns - request->started_ns);
    }
}

/* Writes the answers that are complete, in order. */
static void flush(struct http_connection *c) {
    while (c->conn && !list_empty(&c->requests)) {
        struct http_request *request = list_entry(c->requests.next, struct http_request, link);
        if (!request_complete(request)) {
            return;
        }
        request->close |= c->server->stopping && c->request_count == 1;
        bool last = request->close;
        list_remove(&request->link);
        c->request_count--;
        c->incoming = c->incoming == request ? NULL : c->incoming;
        response_write(request);
        note_answer(request);
        request_free(request);
        if (last && c->conn) {
            c->phase = CONNECTION_CLOSING;
            conn_close_after_write(
                c->conn); /* reads on for a moment, so that no reset overtakes the answer */
            drop_requests(c);
            return;
        }
    }
}

void connection_answered(struct http_request *request) {
    struct http_connection *c = request->connection;
    if (c->busy) {
        return; /* the frame that is on the stack will see to it */
    }
    connection_settle(c);
}

/* Input. */

/* No byte behind this request is looked at any more. */
static void stop_reading(struct http_connection *c) {
    c->phase = CONNECTION_CLOSING;
    text_deinit(&c->held);
    c->scan = (struct guard_scan){0};
}

/* A framing error or a limit: answered in its turn, then the connection ends. */
static void reject(struct http_connection *c, struct http_request *request, int code) {
    const struct http_service *service = c->server->service;
    c->server->stats.rejected++;
    if (service->on_reject) {
        service->on_reject(service->common_userdata, c->peer, code);
    }
    stop_reading(c);
    request->close = true;
    request->dispatched = true;
    request->handling = true; /* flush() takes it up, once, from the frame that is on the stack */
    problem_respond(request, code, NULL);
    request->handling = false;
}

static struct http_request *begin_request(struct http_connection *c) {
    struct http_request *request = request_new(c->server, c);
    if (!request) {
        conn_close(c->conn);
        return NULL;
    }
    if (!c->peer[0]) { /* asked for once; gone when the socket is */
        snprintf(c->peer, sizeof c->peer, "%s", conn_peer_address(c->conn));
    }
    list_push_back(&c->requests, &request->link);
    c->request_count++;
    return request;
}

static void reject_head(struct http_connection *c, int code) {
    struct http_request *request = begin_request(c);
    if (request) {
        request_head(request, "", 0);
        reject(c, request, code);
    }
}

static void dispatch(struct http_connection *c, struct http_request *request) {
    c->phase = CONNECTION_HEAD;
    c->incoming = NULL;
    if (request->close) {
        stop_reading(c);
    }
    request->dispatched = true;
    request_dispatch(request);
}

/* Begins with what follows a head: the body, or nothing. */
static void begin_body(struct http_connection *c, struct http_request *request) {
    if (request->early_code == HTTP_E_TOO_LARGE) {
        reject(c, request, HTTP_E_TOO_LARGE);
    } else if (c->parser.message_complete) {
        dispatch(c, request);
    } else if (request->early_code &&
               (request->head.expect_continue || request->head.expect_other)) {
        request->close = true;
        dispatch(c, request);
    } else {
        c->phase = CONNECTION_BODY;
        c->incoming = request;
        if (request->head.expect_continue && request->head.minor == 1 && c->request_count == 1) {
            response_continue(c);
        }
    }
}

static void take_head(struct http_connection *c, const char *head, size_t size) {
    struct http_request *request = begin_request(c);
    if (!request) {
        return;
    }
    int code = request_head(request, head, size);
    if (!code) {
        code = parser_begin(&c->parser, &request->head, request_content, request);
    }
    if (code) {
        reject(c, request, code);
        return;
    }
    request_plan(request);
    begin_body(c, request);
}

/* Looks at a head that may not be complete. Returns the bytes used. */
static size_t parse_head(struct http_connection *c, const char *data, size_t size) {
    const struct http_limits *limits = &c->server->limits;
    if (!c->scan.at && data[0] == '\r') {
        /* RFC 9112 2.2: an empty line before a request is skipped. */
        if (size >= 2 && data[1] == '\n') {
            return 2;
        }
        if (size == 1) {
            return 0;
        }
    }
    if (guard_scan_feed(&c->scan, data, size)) {
        reject_head(c, HTTP_E_BAD_REQUEST);
        return size;
    }
    size_t head_size = c->scan.at;
    if (head_size > limits->head_bytes) {
        bool in_target = !c->scan.first_line_done;
        reject_head(c, in_target ? HTTP_E_URI_TOO_LONG : HTTP_E_HEAD_TOO_LARGE);
        return size;
    }
    if (!c->scan.complete) {
        return 0;
    }
    c->scan = (struct guard_scan){0};
    take_head(c, data, head_size);
    return head_size;
}

static size_t parse_body(struct http_connection *c, const char *data, size_t size) {
    struct http_request *request = c->incoming;
    size_t used = 0;
    int code = parser_feed(&c->parser, data, size, &used);
    if (code) {
        reject(c, request, code);
        return size;
    }
    if (c->parser.message_complete) {
        dispatch(c, request);
    }
    return used;
}

/* Consumes what can be consumed now. Returns how much that was; the rest is to be held. */
static size_t parse(struct http_connection *c, const char *data, size_t size) {
    size_t at = 0;
    while (at < size && reading(c) && (c->phase == CONNECTION_BODY || !blocked(c))) {
        size_t used = c->phase == CONNECTION_HEAD ? parse_head(c, data + at, size - at)
                                                  : parse_body(c, data + at, size - at);
        flush(c);
        if (!used) {
            break;
        }
        at += used;
    }
    return reading(c) ? at : size;
}

static void hold(struct http_connection *c, const char *data, size_t size) {
    text_append(&c->held, data, size);
    if (text_failed(&c->held)) {
        conn_close(c->conn);
    }
}

/* Goes on with held input, as far as answers make room. */
static void parse_held(struct http_connection *c) {
    if (!c->held.size || !reading(c)) {
        return;
    }
    struct text held = c->held; /* stop_reading() frees what the connection holds */
    text_init(&c->held);
    size_t used = parse(c, held.data, held.size);
    if (!reading(c) || used == held.size) {
        text_deinit(&held);
        return;
    }
    memmove(held.data, held.data + used, held.size - used);
    held.size -= used;
    c->held = held;
}

static void pause_update(struct http_connection *c) {
    if (!reading(c)) {
        return;
    }
    bool pause = c->phase == CONNECTION_HEAD && blocked(c);
    if (pause != c->paused) {
        c->paused = pause;
        if (pause) {
            conn_pause_reading(c->conn);
        } else {
            conn_resume_reading(c->conn);
        }
    }
}

/* Brings everything up to date after anything has happened. */
static void connection_settle(struct http_connection *c) {
    c->busy++;
    flush(c);
    if (c->held.size && reading(c) && !blocked(c)) {
        parse_held(c);
    }
    if (c->conn && c->server->stopping && c->phase == CONNECTION_HEAD && list_empty(&c->requests)) {
        stop_reading(c);
        conn_close(c->conn);
    }
    if (c->conn) {
        pause_update(c);
        deadline_update(c);
    }
    c->busy--;
    connection_release(c);
}

static void *on_space(struct conn *conn, size_t *ret_size) {
    struct http_connection *c = conn_userdata(conn);
    return loop_scratch(c->server->loop, ret_size);
}

static int on_bytes(struct conn *conn, size_t size) {
    struct http_connection *c = conn_userdata(conn);
    size_t scratch_size;
    const char *data = loop_scratch(c->server->loop, &scratch_size);
    c->server->stats.bytes_in += size;
    if (!reading(c)) {
        return 0; /* answered and closing: thrown away */
    }
    c->busy++;
    if (c->held.size) {
        hold(c, data, size);
        parse_held(c);
    } else {
        size_t used = parse(c, data, size);
        if (used < size) {
            hold(c, data + used, size - used);
        }
    }
    c->busy--;
    connection_settle(c);
    return 0;
}

static void on_drained(struct conn *conn) {
    struct http_connection *c = conn_userdata(conn);
    if (c->paused) {
        connection_settle(c);
    }
}

static void on_close(struct conn *conn, int reason) {
    struct http_connection *c = conn_userdata(conn);
    c->busy++;
    drop_requests(c);
    c->conn = NULL;
    timer_stop(&c->timer);
    text_deinit(&c->held);
    list_remove(&c->link);
    c->server->stats.connections_now--;
    c->busy--;
    connection_release(c);
}

static void on_deadline(struct timer *timer) {
    struct http_connection *c = container_of(timer, struct http_connection, timer);
    int64_t left_ns = c->deadline_ns - loop_now_ns(c->server->loop);
    if (!c->deadline_ns) {
        return;
    }
    if (left_ns > 0) {
        timer_start(timer, left_ns);
        return;
    }
    c->busy++;
    if (c->deadline == DEADLINE_HEAD) {
        reject_head(c, HTTP_E_TIMEOUT);
    } else if (c->deadline == DEADLINE_BODY && c->incoming) {
        struct http_request *request = c->incoming;
        reject(c, request, HTTP_E_TIMEOUT);
    } else {
        conn_close(c->conn);
    }
    c->busy--;
    connection_settle(c);
}

int connection_accept(struct http_server *server, int fd) {
    static const struct conn_events events = {
        .on_space = on_space, .on_bytes = on_bytes, .on_drained = on_drained, .on_close = on_close};
    static const struct conn_config config = {.write_high_bytes = MIB(1)};
    if (server->stats.connections_now >= server->limits.connections) {
        server->stats.connections_refused++;
        return err_origin(HTTP_E_UNAVAILABLE);
    }
    struct http_connection *c = calloc(1, sizeof *c);
    if (!c) {
        return err_origin(HTTP_E_UNAVAILABLE);
    }
    c->server = server;
    list_init(&c->requests);
    timer_init(&c->timer, server->loop, on_deadline);
    int rc = conn_new(server->loop, fd, &config, &events, c, &c->conn);
    if (rc) {
        free(c);
        return err_trace(rc);
    }
    c->loopback = conn_peer_is_loopback(c->conn);
    list_push_back(&server->connections, &c->link);
    server->stats.connections_opened++;
    server->stats.connections_now++;
    deadline_update(c);
    return 0;
}

void connection_drain(struct http_connection *c) {
    connection_settle(c);
}
