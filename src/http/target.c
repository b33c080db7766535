/*
 * The target of a request: decoded once. A slash, a zero byte or another control byte that hides
 * behind percent signs, and bytes that are not UTF-8, are refused in the path: whoever stands in
 * front of us could have read another path. In the query they are values like others.
 */
#include "exchange.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <eventbox/base/utf8.h>
#include <string.h>

static int hex_value(char c) {
    char l = (char)(c | 32);
    return c >= '0' && c <= '9' ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* Value of "%41" at @at, -1 when it is none. */
static int percent_value(const char *at, const char *end) {
    if (end - at < 3) {
        return -1;
    }
    int high = hex_value(at[1]), low = hex_value(at[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static int path_decode(struct http_request *request, struct span raw) {
    if (!raw.size || !memchr(raw.data, '%', raw.size)) {
        request->path = raw;
        return 0;
    }
    char *out = arena_alloc(&request->arena, raw.size);
    if (!out) {
        return err_origin(-ENOMEM);
    }
    size_t size = 0;
    const char *end = (const char *)raw.data + raw.size;
    for (const char *at = raw.data; at < end; at++) {
        int c = (unsigned char)*at;
        if (c == '%') {
            c = percent_value(at, end);
            if (c < 0x20 || c == '/' || c == 0x7f) {
                return err_origin(HTTP_E_BAD_REQUEST);
            }
            at += 2;
        }
        out[size++] = (char)c;
    }
    request->path = span_of(out, size);
    return utf8_valid(out, size) ? 0 : err_origin(HTTP_E_BAD_REQUEST);
}

int target_decode(struct http_request *request) {
    struct span target = request->head.target;
    const char *data = target.data;
    const char *mark = memchr(data, '?', target.size);
    size_t path_size = mark ? (size_t)(mark - data) : target.size;
    request->query = mark ? span_of(mark + 1, target.size - path_size - 1) : SPAN_NULL;
    int rc = path_decode(request, span_of(data, path_size));
    if (rc) {
        return rc;
    }
    return router_split(request->path, &request->target) ? 0 : HTTP_E_NOT_FOUND;
}

/* A name or value of the query: '+' is a blank; a percent sign without two digits stands for
 * itself. */
static struct span query_decode(struct http_request *request, struct span raw) {
    if (!raw.size || (!memchr(raw.data, '%', raw.size) && !memchr(raw.data, '+', raw.size))) {
        return raw;
    }
    char *out = arena_alloc(&request->arena, raw.size);
    if (!out) {
        request->errors.failed = true;
        return span_of("", 0);
    }
    size_t size = 0;
    const char *end = (const char *)raw.data + raw.size;
    for (const char *at = raw.data; at < end; at++) {
        int value = *at == '%' ? percent_value(at, end) : -1;
        out[size++] = value >= 0 ? (char)value : *at == '+' ? ' ' : *at;
        at += value >= 0 ? 2 : 0;
    }
    if (utf8_valid(out, size)) {
        return span_of(out, size);
    }
    char *clean = arena_alloc(&request->arena, 3 * size);
    if (!clean) {
        request->errors.failed = true;
        return span_of("", 0);
    }
    return span_of(clean, utf8_clean(out, size, clean));
}

/* The last one of the same name counts, as in FastAPI. */
static struct span query_find(struct http_request *request, const char *name) {
    struct span wanted = span_text(name);
    struct span found = SPAN_NULL;
    bool any = false;
    const char *at = request->query.data;
    const char *end = at + request->query.size;
    while (at && at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        const char *name_end = equals ? equals : stop;
        if (span_equal(query_decode(request, span_of(at, (size_t)(name_end - at))), wanted)) {
            found = equals ? span_of(equals + 1, (size_t)(stop - equals - 1)) : span_of("", 0);
            any = true;
        }
        at = stop + 1;
    }
    return any ? query_decode(request, found) : SPAN_NULL;
}

void target_read_params(struct http_request *request) {
    for (const struct body_row *row = request->route->params; row && row->name; row++) {
        struct span value = router_param(request->router_path, &request->target, row->name);
        bool in_path = value.data != NULL;
        if (!in_path) {
            value = query_find(request, row->name);
        }
        rows_read_text(row, in_path ? "path" : "query", value, request->params, &request->errors);
    }
}
