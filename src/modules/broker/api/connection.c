/*
 * One Kafka connection.
 *
 * What one connection may hold is bounded: requests in flight and their bytes, answers that its
 * peer does not read (beyond UNSENT_MAX_BYTES nothing more is begun), and one Fetch at a time, as
 * in Kafka, since each may collect as much as a peer asks for. Frames beyond these limits wait in
 * `held`, and the socket is not read.
 *
 * Receiving. A frame is a length of four bytes and that many bytes. Small frames are taken from the
 * loop's scratch buffer, several at a time, each copied into a buf of its own, which the request
 * keeps and whose record batches the log keeps without another copy where they are not small. What
 * is left of an incomplete small frame waits in `held`. A larger frame is the business of
 * large_frame.c.
 *
 * Answering. Requests stand in `requests` in the order of arrival. An answer leaves when all before
 * it have left (clients match answers by order); one that is ready too early waits, encoded.
 *
 * Closing. on_close() ends the connection; the struct lives until its last request is answered.
 */
#include "connection_private.h"

#include <eventbox/base/bytes.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FRAME_SMALL_BYTES = 16 << 10, /* incomplete frames up to this wait in `held` */
    COPY_MAX_BYTES = 16 << 10,    /* answers up to this are copied into the connection's queue */
    HEADER_BYTES = 4,
    UNSENT_MAX_BYTES = 1 << 20,
    KEY_FETCH = 1,
};

static int respond(struct kafka_request *public, const void *body);
static int respond_encoded(struct kafka_request *public, struct span body);
static void respond_none(struct kafka_request *public);
static void close_request(struct kafka_request *public, const char *reason);
static bool park(struct kafka_request *public);

static const struct kafka_request_ops request_ops = {
    .respond = respond,
    .respond_encoded = respond_encoded,
    .respond_none = respond_none,
    .close = close_request,
    .park = park,
};

/* "127.0.0.1:51234" or "[::1]:51234", even once closed; static until the next call. */
static const char *peer_address(const struct kafka_conn *c) {
    static char text[CONN_HOST_SIZE + sizeof "[]:65535"];

    snprintf(text, sizeof text, strchr(c->peer_host, ':') ? "[%s]:%u" : "%s:%u", c->peer_host,
             (unsigned)c->peer_port);
    return text;
}

/* ---- closing ---- */

static void free_if_done(struct kafka_conn *c) {
    struct kafka_server *server = c->server;

    if (c->conn || c->busy || c->resume_posted || !list_empty(&c->requests)) {
        return;
    }
    free(c->held);
    free(c);
    server_check_stopped(server);
}

void kafka_conn_close_soon(struct kafka_conn *c) {
    if (!c->closing && c->conn) {
        c->closing = true;
        conn_close_after_write(c->conn);
    }
}

static void finish_request(struct kafka_conn *c, struct api_request *request) {
    list_remove(&request->order);
    c->request_count--;
    c->inflight_bytes -= request->frame_bytes;
    c->fetch_count -= request->is_fetch;
    c->waiting_bytes -= request->waiting_bytes;
    api_request_free(c->server, request);
}

/* What was queued has left, or never will. */
static void forget_answers(struct kafka_conn *c) {
    c->server->broker.answer_bytes -= c->answer_bytes;
    c->answer_bytes = 0;
    server_answers_left(c->server);
}

/* Handlers that park requests hear that nobody waits for them any more; they may answer at once. */
static void tell_gone(struct kafka_conn *c) {
    bool again = true;

    list_for_each_safe(link, &c->requests) {
        struct api_request *request = list_entry(link, struct api_request, order);

        request->public.gone = true;
        if (request->answered) {
            finish_request(c, request);
        }
    }
    while (again) {
        again = false;
        list_for_each(link, &c->requests) {
            struct api_request *request = list_entry(link, struct api_request, order);
            void (*on_gone)(struct kafka_request *) = request->public.on_gone;

            if (on_gone) {
                request->public.on_gone = NULL;
                on_gone(&request->public); /* may free this request and others */
                again = true;
                break;
            }
        }
    }
}

/* Who has spoken Kafka, or has begun to: a stalled request is late, not a stranger's. */
static bool is_client(const struct kafka_conn *c) {
    size_t left = c->held_size - c->held_at;

    if (c->spoke) {
        return true;
    }
    if (c->large) {
        return dispatch_seems_kafka(c->server, c->large->data, c->large_got);
    }
    return left > HEADER_BYTES &&
           dispatch_seems_kafka(c->server, c->held + c->held_at + HEADER_BYTES,
                                left - HEADER_BYTES);
}

static void on_close(struct conn *conn, int reason) {
    struct kafka_conn *c = conn_userdata(conn);
    bool busy = c->busy;

    c->conn = NULL;
    c->closing = true;
    list_remove(&c->link);
    c->server->stats.connections--;
    if (reason == CONN_E_TIMEOUT && (c->large || c->held_size)) {
        server_bad_peer(c->server, peer_address(c), is_client(c),
                        c->due_ns ? "a request arrived too slowly while others wait for memory: "
                                    "its %d s are used up"
                                  : "a request did not arrive in full: no progress for %d s",
                        (int)(c->server->limits.progress_ms / 1000));
    }
    large_frame_drop(c);
    forget_answers(c);
    c->busy = true;
    tell_gone(c);
    c->busy = busy;
    server_check_stopped(c->server);
    free_if_done(c);
}

/* ---- answering ---- */

static void write_chunks(struct kafka_conn *c, struct fetch_chunks *chunks) {
    for (unsigned i = 0; i < chunks->count; i++) {
        struct read_chunk *chunk = &chunks->chunks[i];

        if (chunk->slice.buf) {
            c->answer_bytes += chunk->slice.size;
            c->server->broker.answer_bytes += chunk->slice.size;
            c->server->answer_bytes_peak =
                MAX(c->server->answer_bytes_peak, c->server->broker.answer_bytes);
            conn_write(c->conn, chunk->slice);
        } else {
            conn_write_file(c->conn, chunk->file, chunk->file_offset, chunk->size);
        }
    }
    chunks->count = 0; /* the references are the connection's now */
}

static void write_encoded(struct kafka_conn *c, struct kafka_encoded *encoded) {
    const char *data = encoded->text.data;
    size_t size = encoded->text.size;
    size_t from = 0;

    c->server->stats.bytes_out += size + encoded->foreign_bytes;
    for (size_t i = 0; i < encoded->splice_count; i++) {
        const struct kafka_splice *splice = &encoded->splices[i];

        conn_write_copy(c->conn, data + from, splice->at - from);
        write_chunks(c, (struct fetch_chunks *)(uintptr_t)splice->foreign);
        from = splice->at;
    }
    if (size - from <= COPY_MAX_BYTES) {
        conn_write_copy(c->conn, data + from, size - from);
    } else {
        struct buf *buf = text_steal_buf(&encoded->text);

        if (buf) {
            conn_write(c->conn, slice_of(buf, from, size - from));
        } else {
            kafka_conn_close_soon(c);
        }
    }
}

/* The body of an answer: one to be encoded, or bytes that are it already. */
struct answer_body {
    const void *body; /* NULL: @encoded */
    struct span encoded;
};

/*
 * Length, correlation id and, in flexible versions, an empty list of tags. Never for ApiVersions: a
 * client reads its answer before it knows whether the broker has flexible versions at all.
 */
static int encode_answer(const struct kafka_request *public, const struct answer_body *answer,
                         struct kafka_encoded *encoded) {
    enum { API_VERSIONS_KEY = 18 };
    bool flexible = public->version >= public->api->flexible_first;
    size_t header = HEADER_BYTES + 4 + (flexible && public->api->key != API_VERSIONS_KEY ? 1 : 0);
    char *start = text_reserve(&encoded->text, header);
    int r = 0;

    if (!start) {
        return err_origin(-ENOMEM);
    }
    memset(start, 0, header);
    encoded->text.size += header;
    if (answer->body) {
        r = kafka_encode(public->api->response, public->version, flexible, answer->body, encoded);
    } else {
        text_append(&encoded->text, answer->encoded.data, answer->encoded.size);
        r = text_failed(&encoded->text) ? err_origin(-ENOMEM) : 0;
    }
    if (r) {
        return err_trace(r);
    }
    put_be32(encoded->text.data,
             (uint32_t)(encoded->text.size + encoded->foreign_bytes - HEADER_BYTES));
    put_be32(encoded->text.data + HEADER_BYTES, (uint32_t) public->correlation_id);
    return 0;
}

static bool over_limits(const struct kafka_conn *c) {
    return c->fetch_count > 0 || c->waiting_bytes > UNSENT_MAX_BYTES ||
           (c->conn && conn_unsent_bytes(c->conn) > UNSENT_MAX_BYTES) ||
           c->request_count >= c->server->limits.connection_requests ||
           (c->inflight_bytes >= c->server->limits.connection_bytes && c->request_count > 0);
}

/* Answers were given, or have left: read on where too much was in flight, close where everything
 * was to end. */
static void after_answers(struct kafka_conn *c) {
    if (c->draining && c->request_count == 0) {
        kafka_conn_close_soon(c);
    } else if (c->paused && !c->busy && !c->resume_posted && !over_limits(c)) {
        c->resume_posted = true;
        loop_defer(c->server->config.loop, &c->resume_task);
    }
}

static void send_ready(struct kafka_conn *c) {
    while (!list_empty(&c->requests)) {
        struct api_request *first = list_entry(c->requests.next, struct api_request, order);

        if (!first->answered) {
            break;
        }
        if (!first->silent && !c->closing) {
            write_encoded(c, &first->encoded);
        }
        finish_request(c, first);
    }
    after_answers(c);
}

static int respond_with(struct kafka_request *public, const struct answer_body *answer) {
    struct api_request *request = api_request_of(public);
    struct kafka_conn *c = request->conn;
    bool first = c->requests.next == &request->order;
    struct kafka_encoded *encoded = first ? &c->server->encoded : &request->encoded;
    int r;

    if (c->closing) {
        finish_request(c, request);
        free_if_done(c);
        return 0;
    }
    kafka_encoded_clear(encoded);
    r = encode_answer(public, answer, encoded);
    if (r) {
        close_request(public, "the answer could not be encoded");
        return r < 0 ? r : -EPROTO;
    }
    if (!first) {
        request->answered = true;
        request->waiting_bytes = encoded->text.size;
        c->waiting_bytes += encoded->text.size;
        return 0;
    }
    write_encoded(c, encoded);
    finish_request(c, request);
    send_ready(c);
    return 0;
}

static int respond(struct kafka_request *public, const void *body) {
    return respond_with(public, &(struct answer_body){.body = body});
}

static int respond_encoded(struct kafka_request *public, struct span body) {
    return respond_with(public, &(struct answer_body){.encoded = body});
}

static void respond_none(struct kafka_request *public) {
    struct api_request *request = api_request_of(public);
    struct kafka_conn *c = request->conn;

    if (c->closing) {
        finish_request(c, request);
        free_if_done(c);
        return;
    }
    request->answered = request->silent = true;
    send_ready(c);
}

static bool park(struct kafka_request *public) {
    struct api_request *request = api_request_of(public);

    return server_park(request->conn->server, request);
}

static void close_request(struct kafka_request *public, const char *reason) {
    struct api_request *request = api_request_of(public);
    struct kafka_conn *c = request->conn;

    if (!c->closing && c->conn) {
        server_bad_peer(c->server, peer_address(c), true, "%s: %s", public->api->name, reason);
        kafka_conn_close_soon(c);
    }
    finish_request(c, request);
    free_if_done(c);
}

/* ---- receiving ---- */

/* @request has its frame. */
static void start_request(struct kafka_conn *c, struct api_request *request) {
    const struct kafka_listener *listener = c->listener;
    const struct buf *frame = request->public.frame;
    const char *reason = NULL;

    c->server->stats.requests_total++;
    request->conn = c;
    request->frame_bytes = frame->size;
    request->reserved = c->reserved;
    request->exempt = c->exempt;
    c->reserved = 0;
    c->exempt = false;
    request->public.ops = &request_ops;
    request->public.internal = listener->internal;
    request->public.peer_host = c->peer_host;
    request->public.local_host = c->local_host;
    request->public.advertised_host =
        listener->advertised_host ? listener->advertised_host : c->local_host;
    request->public.advertised_port =
        listener->advertised_port ? listener->advertised_port : c->local_port;
    request->is_fetch = frame->size >= 2 && get_be16(frame->data) == KEY_FETCH;
    c->fetch_count += request->is_fetch;
    list_push_back(&c->requests, &request->order);
    c->request_count++;
    c->inflight_bytes += request->frame_bytes;
    if (dispatch_frame(c->server, request, &reason)) {
        server_bad_peer(c->server, peer_address(c), c->spoke, "%s", reason);
        finish_request(c, request);
        kafka_conn_close_soon(c);
    } else {
        c->spoke = true;
    }
}

/* A small frame: its bytes are copied. */
static void start_small(struct kafka_conn *c, const uint8_t *data, size_t size) {
    struct api_request *request = api_request_new(c->server);

    if (!request || api_request_copy_frame(request, data, size)) {
        if (request) {
            api_request_free(c->server, request);
        }
        kafka_conn_close_soon(c);
        return;
    }
    start_request(c, request);
}

/* @frame is taken over. */
static void start_large(struct kafka_conn *c, struct buf *frame) {
    struct api_request *request = api_request_new(c->server);

    if (!request) {
        buf_unref(frame);
        kafka_conn_close_soon(c);
        return;
    }
    request->public.frame = frame;
    start_request(c, request);
}

void kafka_conn_set_deadline(struct kafka_conn *c, bool on) {
    int64_t delay_ms = c->server->limits.progress_ms;

    if (!c->conn || (!on && !c->has_deadline)) {
        return;
    }
    c->has_deadline = on;
    if (on && c->large && c->due_ns) {
        delay_ms = (c->due_ns - loop_now_ns(c->server->config.loop)) / NS_PER_MS;
    }
    conn_set_deadline(c->conn, on ? MAX(delay_ms, 1) : 0);
}

/* @name: what the peer seems to speak, where that is known. */
static void refuse_frame(struct kafka_conn *c, const char *name, uint32_t length) {
    static const char http_answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                                      "Connection: close\r\n\r\n"
                                      "This port speaks the Kafka protocol, not HTTP.\n";

    if (name) {
        server_bad_peer(c->server, peer_address(c), false,
                        "the peer seems to speak %s; this port speaks the Kafka protocol", name);
    } else {
        server_bad_peer(c->server, peer_address(c), c->spoke,
                        "a frame of %u bytes was announced (limit %zu)", length,
                        c->server->limits.request_max_bytes);
    }
    if (name && strcmp(name, "HTTP") == 0) {
        conn_write_copy(c->conn, http_answer, sizeof http_answer - 1);
    }
    kafka_conn_close_soon(c);
}

/* Keeps @size bytes that are no whole frame, or not wanted yet. */
static void hold(struct kafka_conn *c, const uint8_t *data, size_t size) {
    if (size == 0) {
        kafka_conn_set_deadline(c, false);
        return;
    }
    if (c->held) { /* where they are already */
        c->held_at = (size_t)(data - c->held);
    } else {
        c->held = malloc(size);
        if (!c->held) {
            kafka_conn_close_soon(c);
            return;
        }
        memcpy(c->held, data, size);
        c->held_at = 0;
        c->held_size = size;
    }
    if (!c->paused && !c->has_deadline) {
        kafka_conn_set_deadline(c, true);
    }
}

static void drop_held(struct kafka_conn *c) {
    free(c->held);
    c->held = NULL;
    c->held_at = c->held_size = 0;
}

static void pause_reading(struct kafka_conn *c) {
    if (!c->paused) {
        c->paused = true;
        kafka_conn_set_deadline(c, false);
        conn_pause_reading(c->conn);
    }
}

/* Takes all whole frames of @data, which may be what is held; keeps the rest. */
static void process(struct kafka_conn *c, const uint8_t *data, size_t size) {
    size_t at = 0;

    c->busy = true;
    while (!c->closing && size - at >= HEADER_BYTES) {
        uint32_t length = get_be32(data + at);
        size_t have = size - at - HEADER_BYTES;
        const char *stranger = c->spoke ? NULL : what_speaks(data + at, size - at);

        if (stranger || length > c->server->limits.request_max_bytes || length == 0) {
            refuse_frame(c, stranger, length);
            break;
        }
        if (over_limits(c)) {
            pause_reading(c);
            break;
        }
        if (have < length && length > FRAME_SMALL_BYTES) {
            large_frame_begin(c, length, data + at + HEADER_BYTES, have);
            at = size;
            break;
        }
        if (have < length) {
            break;
        }
        start_small(c, data + at + HEADER_BYTES, length);
        at += HEADER_BYTES + (size_t)length;
    }
    if (!c->closing && !c->large) {
        hold(c, data + at, size - at);
    }
    if (c->closing || c->large || at == size) {
        drop_held(c);
    }
    c->busy = false;
}

static void on_resume(struct loop_task *task) {
    struct kafka_conn *c = container_of(task, struct kafka_conn, resume_task);

    c->resume_posted = false;
    if (!c->closing && c->paused && !over_limits(c)) {
        c->paused = false;
        process(c, c->held + c->held_at, c->held_size - c->held_at);
        if (!c->closing && !c->paused && !c->starved) {
            conn_resume_reading(c->conn);
        }
    }
    free_if_done(c);
}

static void *on_space(struct conn *conn, size_t *ret_size) {
    struct kafka_conn *c = conn_userdata(conn);
    size_t scratch_size;
    uint8_t *scratch;
    size_t held;

    if (c->large) {
        return large_frame_space(c, ret_size);
    }
    scratch = loop_scratch(c->server->config.loop, &scratch_size);
    held = c->held_size - c->held_at;
    if (held) {
        memcpy(scratch, c->held + c->held_at, held);
    }
    *ret_size = scratch_size - held;
    return scratch + held;
}

static int on_bytes(struct conn *conn, size_t size) {
    struct kafka_conn *c = conn_userdata(conn);
    size_t scratch_size;
    struct buf *frame;

    c->server->stats.bytes_in += size;
    if (c->closing) {
        return 0;
    }
    if (c->large) {
        frame = large_frame_received(c, size);
        if (frame) {
            c->busy = true;
            start_large(c, frame);
            c->busy = false;
        }
    } else {
        size_t total = c->held_size - c->held_at + size;

        drop_held(c);
        process(c, loop_scratch(c->server->config.loop, &scratch_size), total);
    }
    if (!c->closing && c->draining && c->request_count == 0) {
        kafka_conn_close_soon(c);
    }
    free_if_done(c);
    return 0;
}

static void on_drained(struct conn *conn) {
    struct kafka_conn *c = conn_userdata(conn);

    forget_answers(c);
    after_answers(c);
}

/* ---- life ---- */

int kafka_conn_accept(struct kafka_listener *listener, int fd) {
    static const struct conn_events events = {
        .on_space = on_space, .on_bytes = on_bytes, .on_drained = on_drained, .on_close = on_close};
    struct kafka_server *server = listener->server;
    struct conn_config config = {.idle_ms = server->limits.idle_ms};
    struct kafka_conn *c;
    int r;

    if (server->stopping || server->stats.connections >= server->limits.connections_max) {
        server->stats.connections_refused++;
        if (!server->stopping && server->config.on_event) {
            server->config.on_event(server->config.userdata, KAFKA_SERVER_CROWDED, NULL, NULL);
        }
        return CONN_E_CLOSED;
    }
    c = calloc(1, sizeof *c);
    if (!c) {
        return err_origin(-ENOMEM);
    }
    c->server = server;
    c->listener = listener;
    list_init(&c->requests);
    c->resume_task.run = on_resume;
    r = conn_new(server->config.loop, fd, &config, &events, c, &c->conn);
    if (r) {
        free(c);
        return err_trace(r);
    }
    c->local_port = conn_local_port(c->conn);
    snprintf(c->local_host, sizeof c->local_host, "%s", conn_local_host(c->conn));
    snprintf(c->peer_host, sizeof c->peer_host, "%s", conn_peer_address(c->conn));
    if (strrchr(c->peer_host, ':')) { /* host alone, without brackets */
        c->peer_port = (uint16_t)atoi(strrchr(c->peer_host, ':') + 1);
        *strrchr(c->peer_host, ':') = '\0';
        if (c->peer_host[0] == '[') {
            size_t length = strlen(c->peer_host);

            memmove(c->peer_host, c->peer_host + 1, length - 2);
            c->peer_host[length - 2] = '\0';
        }
    }
    list_push_back(&server->connections, &c->link);
    server->stats.connections++;
    server->stats.connections_total++;
    return 0;
}

void kafka_conn_drain_all(struct kafka_server *server) {
    list_for_each_safe(link, &server->connections) {
        struct kafka_conn *c = list_entry(link, struct kafka_conn, link);

        c->draining = true;
        if (c->request_count == 0) {
            kafka_conn_close_soon(c);
        }
    }
}

void kafka_conn_abort_all(struct kafka_server *server) {
    list_for_each_safe(link, &server->connections) {
        conn_close(list_entry(link, struct kafka_conn, link)->conn);
    }
}
