/*
 * Failures as answers: FastAPI's {"detail": ...} by default; RFC 9457 for those who ask. Two
 * shapes, because detail is a string in the one and may be a list in the other.
 */
#include "exchange.h"

#include <eventbox/base/error.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Weight of @type in an Accept field, in thousandths; -1 when it is not named. */
static int accept_weight(struct span accept, const char *type) {
    const char *at = accept.data;
    const char *end = at + accept.size;
    size_t type_size = strlen(type);
    while (at && at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        while (at < stop && (*at == ' ' || *at == '\t')) {
            at++;
        }
        size_t size = (size_t)(stop - at);
        if (size >= type_size && strncasecmp(at, type, type_size) == 0 &&
            (size == type_size || strchr("; \t", at[type_size]))) {
            const char *q = memmem(at, size, "q=", 2);
            return q ? (int)(strtod(q + 2, NULL) * 1000) : 1000;
        }
        at = stop + 1;
    }
    return -1;
}

static bool wants_problem(struct http_request *request) {
    struct span accept = guard_field_find(&request->head, "accept");
    if (!accept.data) {
        return false;
    }
    char copy[512]; /* strtod needs an end */
    size_t size = MIN(accept.size, sizeof copy - 1);
    memcpy(copy, accept.data, size);
    copy[size] = '\0';
    int problem = accept_weight(span_of(copy, size), "application/problem+json");
    return problem > 0 && problem >= accept_weight(span_of(copy, size), "application/json");
}

static void write_problem(struct http_request *request, const struct error_row *row,
                          const char *detail, bool items, struct text *out) {
    json_write_object(out, NULL);
    struct text type;
    text_init(&type);
    text_printf(&type, "urn:eventbox:problem:%s", row->slug);
    json_write_string(out, "type", text_span(&type));
    text_deinit(&type);
    json_write_string(out, "title", span_text(row->text));
    json_write_int(out, "status", row->http_status);
    json_write_string(out, "detail", span_text(detail));
    json_write_string(out, "instance", request->path);
    json_write_string(out, "code", span_text(row->slug));
    json_write_string(out, "request_id", request->request_id);
    if (items) {
        body_errors_write_problem(&request->errors, out, "errors");
    }
    json_write_object_end(out);
}

void problem_respond(struct http_request *request, int code, const char *detail) {
    const struct error_row *row = error_row_get(code);
    bool items = code == HTTP_E_VALIDATION && request->errors.count;
    bool problem = wants_problem(request);
    struct text text;
    text_init(&text);
    if (problem) {
        write_problem(request, row, detail ? detail : row->text, items, &text);
    } else {
        json_write_object(&text, NULL);
        if (items) {
            body_errors_write(&request->errors, &text, "detail");
        } else {
            json_write_string(&text, "detail", span_text(detail ? detail : row->text));
        }
        json_write_object_end(&text);
    }
    request->response.code = code > 0 ? code : ERROR_INTERNAL;
    http_respond_header(request, "x-error-code", row->slug);
    if (row->http_status == 503) {
        http_respond_header(request, "retry-after", "1");
    } else if (row->http_status == 401) {
        http_respond_header(request, "www-authenticate", "Bearer");
    }
    http_respond_json(request, row->http_status, &text);
    if (problem) {
        request->response.content_type = "application/problem+json";
    }
}

void http_respond_error(struct http_request *request, int code) {
    problem_respond(request, code, NULL);
}

void http_respond_detail(struct http_request *request, int code, const char *detail) {
    problem_respond(request, code, detail);
}

struct body_errors *http_request_errors(struct http_request *request) {
    return &request->errors;
}

void http_respond_validation(struct http_request *request) {
    problem_respond(request, HTTP_E_VALIDATION, NULL);
}
