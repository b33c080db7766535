/*
 * A response: set by exactly one of the http_respond_* functions, written when its turn has come.
 * The head is built in one buffer of the server, the date once a second. Small content is copied
 * behind the head, so that answers of one turn leave in one piece; large content travels by
 * reference.
 */
#include "exchange.h"

#include <assert.h>
#include <eventbox/base/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { CONTENT_COPY_MAX = 8 * 1024 };

#define FIELDS_FIXED                                                                               \
    "x-content-type-options: nosniff\r\n"                                                          \
    "referrer-policy: no-referrer\r\n"                                                             \
    "cross-origin-resource-policy: same-origin\r\n"

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {507, "Insufficient Storage"},
};

static const char *reason_of(int status) {
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

static bool harmless(const char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 && *text != '\t') {
            return false;
        }
    }
    return true;
}

void http_respond_header(struct http_request *request, const char *name, const char *value) {
    struct http_response *response = &request->response;
    if (response->answered || !harmless(name) || !harmless(value)) {
        return; /* a line break would begin another field */
    }
    response->own_cache_control |= strcasecmp(name, "cache-control") == 0;
    response->own_content_security |= strcasecmp(name, "content-security-policy") == 0;
    text_append_str(&response->fields, name);
    text_append_str(&response->fields, ": ");
    text_append_str(&response->fields, value);
    text_append_str(&response->fields, "\r\n");
}

/* False for a second answer, which only a defect in a handler gives. */
static bool answer(struct http_request *request, int status, const char *content_type) {
    assert(!request->response.answered);
    if (request->response.answered) {
        return false;
    }
    request->response.answered = true;
    request->response.status = status;
    request->response.content_type = content_type;
    request_answered(request);
    return true;
}

void http_respond_json(struct http_request *request, int status, struct text *json) {
    if (answer(request, status, "application/json")) {
        request->response.text = *json;
        text_init(json);
    }
    text_deinit(json);
}

void http_respond_text(struct http_request *request, int status, const char *content_type,
                       struct span body) {
    if (answer(request, status, content_type)) {
        text_append(&request->response.text, body.data, body.size);
    }
}

void http_respond_static(struct http_request *request, int status, const char *content_type,
                         struct span body) {
    if (answer(request, status, content_type)) {
        request->response.fixed = body;
    }
}

void http_respond_empty(struct http_request *request, int status) {
    answer(request, status, NULL);
}

/* IMF-fixdate, RFC 9110 5.6.7. */
static const char *date_get(struct http_server *server) {
    int64_t second = clock_wall_ns(loop_clock(server->loop)) / NS_PER_SEC;
    if (second != server->date_second) {
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        time_t time = (time_t)second;
        struct tm tm;
        gmtime_r(&time, &tm);
        snprintf(server->date, sizeof server->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                 days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon,
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        server->date_second = second;
    }
    return server->date;
}

#define APPEND_LITERAL(text, literal) text_append((text), (literal), sizeof(literal) - 1)

static void write_status(struct http_request *request, struct text *out) {
    int status = request->response.status;
    if (status == 200) {
        APPEND_LITERAL(out, "HTTP/1.1 200 OK\r\ndate: ");
    } else {
        text_printf(out, "HTTP/1.1 %d %s\r\ndate: ", status, reason_of(status));
    }
    text_append_str(out, date_get(request->server));
    APPEND_LITERAL(out, "\r\nserver: eventbox\r\n");
}

static void write_fields(struct http_request *request, size_t content_size, struct text *out) {
    struct http_response *response = &request->response;
    char parent[TRACE_PARENT_SIZE];
    bool no_content = response->status == 204 || response->status == 304;
    if (response->content_type) {
        APPEND_LITERAL(out, "content-type: ");
        text_append_str(out, response->content_type);
        APPEND_LITERAL(out, "\r\n");
    }
    if (!no_content) {
        APPEND_LITERAL(out, "content-length: ");
        text_append_int(out, (int64_t)content_size);
        APPEND_LITERAL(out, "\r\n");
    }
    APPEND_LITERAL(out, "x-request-id: ");
    text_append(out, request->request_id.data, request->request_id.size);
    APPEND_LITERAL(out, "\r\ntraceparent: ");
    trace_format(&request->trace, parent);
    text_append(out, parent, TRACE_PARENT_SIZE - 1);
    APPEND_LITERAL(out, "\r\n" FIELDS_FIXED);
    if (!response->own_cache_control) {
        APPEND_LITERAL(out, "cache-control: no-store\r\n");
    }
    if (!response->own_content_security) {
        APPEND_LITERAL(out,
                       "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n");
    }
    text_append(out, response->fields.data, response->fields.size);
    if (request->close) {
        APPEND_LITERAL(out, "connection: close\r\n");
    } else if (request->head.minor == 0) {
        APPEND_LITERAL(out, "connection: keep-alive\r\n");
    }
    APPEND_LITERAL(out, "\r\n");
}

static void release_fixed(struct buf *buf) {
    free(buf);
}

/* Content that lives for ever, as a buf. */
static struct buf *fixed_buf(struct span fixed) {
    struct buf *buf = calloc(1, sizeof *buf);
    if (buf) {
        *buf = (struct buf){.data = (uint8_t *)(uintptr_t)fixed.data,
                            .size = fixed.size,
                            .capacity = fixed.size,
                            .refs = 1,
                            .release = release_fixed};
    }
    return buf;
}

void response_write(struct http_request *request) {
    struct http_response *response = &request->response;
    struct http_server *server = request->server;
    struct conn *conn = request->connection->conn;
    struct text *out = &server->head;
    if (text_failed(&response->text) || text_failed(&response->fields)) {
        response->status = 500; /* no memory for the content: say so in no words */
        response->fixed = SPAN_NULL;
        response->content_type = NULL;
        text_deinit(&response->text);
        text_deinit(&response->fields);
    }
    bool is_fixed = response->fixed.data != NULL;
    struct span content = is_fixed ? response->fixed : text_span(&response->text);
    bool no_body = request->head_valid && request->head.method == HTTP_HEAD;
    text_clear(out);
    write_status(request, out);
    write_fields(request, content.size, out);
    bool by_copy = content.size <= CONTENT_COPY_MAX;
    if (!no_body && by_copy) {
        text_append(out, content.data, content.size);
    }
    if (text_failed(out)) {
        conn_close(conn);
        return;
    }
    server->stats.bytes_out += out->size;
    conn_write_copy(conn, out->data, out->size);
    if (!no_body && !by_copy) {
        struct buf *buf = is_fixed ? fixed_buf(content) : text_steal_buf(&response->text);
        if (!buf) {
            conn_close(conn);
            return;
        }
        server->stats.bytes_out += content.size;
        conn_write(conn, slice_of(buf, 0, content.size));
    }
}

void response_continue(struct http_connection *connection) {
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    conn_write_copy(connection->conn, line, sizeof line - 1);
}
