/*
 * A head is held until its empty line and looked at here before llhttp sees a byte of it.
 *
 * Request smuggling lives on two parsers that disagree about where a message ends. llhttp 8.1
 * takes a CR alone as the end of a line, folded lines, empty field names and more, so these rules
 * are ours (RFC 9112, 2 to 7; tests/unit/http and tests/e2e/test_06_wrong_input.py hold them):
 *
 *   bytes    CR only before LF, LF only behind CR, no control bytes, no line that begins with a
 *            blank, nothing above 0x7E and no TAB in the request line
 *   line     METHOD SP target SP HTTP/1.0 or HTTP/1.1; the seven methods of the routes;
 *            the target begins with '/', or is '*' for OPTIONS; no fragment
 *   fields   a token, a colon right behind it, a value; one Host of valid form (none is fine on
 *            1.0); at most one Content-Length of digits; Transfer-Encoding is exactly "chunked",
 *            on 1.1 only, never beside Content-Length
 *   chunks   hexadecimal sizes of at most 15 digits, extensions of at most 256 bytes a message,
 *            CRLF behind each chunk, no trailer
 *
 * parser.c feeds what has passed to llhttp, and a request is served only when both agree on
 * method, fields and end.
 */
#include "guard.h"

#include <eventbox/base/error.h>
#include <eventbox/http/route.h>
#include <string.h>

enum { CLASS_TOKEN = 1, CLASS_TARGET = 2, CLASS_VALUE = 4 };

/* RFC 9110 5.6.2 tchar; visible ASCII without '#'; field content. */
static uint8_t class_of(unsigned char c) {
    static const char marks[] = "!#$%&'*+-.^_`|~";
    uint8_t class = 0;
    bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (alnum || (c && strchr(marks, c))) {
        class |= CLASS_TOKEN;
    }
    if (c > 0x20 && c < 0x7f && c != '#') {
        class |= CLASS_TARGET;
    }
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) {
        class |= CLASS_VALUE;
    }
    return class;
}

static uint8_t classes[256];

__attribute__((constructor)) static void classes_fill(void) {
    for (unsigned c = 0; c < 256; c++) {
        classes[c] = class_of((unsigned char)c);
    }
}

static bool all_of(struct span span, uint8_t class) {
    const unsigned char *data = span.data;
    for (size_t i = 0; i < span.size; i++) {
        if (!(classes[data[i]] & class)) {
            return false;
        }
    }
    return true;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

/* @text is in lower case. */
static bool span_is(struct span span, const char *text) {
    const char *data = span.data;
    for (size_t i = 0; i < span.size; i++) {
        if (!text[i] || lower(data[i]) != text[i]) {
            return false;
        }
    }
    return !text[span.size];
}

static struct span trimmed(struct span span) {
    const char *data = span.data;
    while (span.size && (*data == ' ' || *data == '\t')) {
        data++;
        span.size--;
    }
    while (span.size && (data[span.size - 1] == ' ' || data[span.size - 1] == '\t')) {
        span.size--;
    }
    return span_of(data, span.size);
}

int guard_scan_feed(struct guard_scan *scan, const char *head, size_t size) {
    const unsigned char *data = (const unsigned char *)head;
    while (scan->at < size && !scan->complete) {
        size_t at = scan->at;
        unsigned char c = data[at];
        bool after_cr = at > 0 && data[at - 1] == '\r';
        scan->at++;
        if (likely(c > 0x20 && c < 0x7f && !after_cr)) {
            if (unlikely(c == ':' && at == scan->line_start)) {
                return err_origin(HTTP_E_BAD_REQUEST);
            }
            continue;
        }
        if ((c == '\n') != after_cr) {
            return err_origin(HTTP_E_BAD_REQUEST);
        }
        if (c == '\n') {
            bool empty = at - scan->line_start == 1;
            if (empty && !scan->first_line_done) {
                return err_origin(HTTP_E_BAD_REQUEST);
            }
            scan->complete = empty;
            scan->first_line_done = true;
            scan->line_start = at + 1;
        } else if (c == ' ' || c == '\t') {
            if (at == scan->line_start || (c == '\t' && !scan->first_line_done)) {
                return err_origin(HTTP_E_BAD_REQUEST);
            }
        } else if (c != '\r' && (!(classes[c] & CLASS_VALUE) || !scan->first_line_done)) {
            return err_origin(HTTP_E_BAD_REQUEST);
        }
    }
    return 0;
}

static bool method_parse(struct span text, int *ret_method) {
    static const struct {
        struct span name;
        enum http_method method;
    } methods[] = {
        {{"GET", 3}, HTTP_GET},         {{"POST", 4}, HTTP_POST}, {{"PUT", 3}, HTTP_PUT},
        {{"PATCH", 5}, HTTP_PATCH},     {{"HEAD", 4}, HTTP_HEAD}, {{"DELETE", 6}, HTTP_DELETE},
        {{"OPTIONS", 7}, HTTP_OPTIONS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (span_equal(text, methods[i].name)) {
            *ret_method = methods[i].method;
            return true;
        }
    }
    return false;
}

static int parse_request_line(struct span line, const struct guard_limits *limits,
                              struct guard_head *head) {
    const char *data = line.data;
    const char *end = data + line.size;
    const char *target = memchr(data, ' ', line.size);
    if (!target) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    head->method_text = span_of(data, (size_t)(target - data));
    target++;
    const char *version = memchr(target, ' ', (size_t)(end - target));
    if (!version || !method_parse(head->method_text, &head->method)) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    head->target = span_of(target, (size_t)(version - target));
    version++;
    if (end - version != 8 || memcmp(version, "HTTP/1.", 7) != 0 ||
        (version[7] != '0' && version[7] != '1')) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    head->minor = version[7] - '0';
    if (head->target.size > limits->target_bytes) {
        return err_origin(HTTP_E_URI_TOO_LONG);
    }
    bool asterisk = head->target.size == 1 && *target == '*' && head->method == HTTP_OPTIONS;
    if (!head->target.size || (*target != '/' && !asterisk) ||
        !all_of(head->target, CLASS_TARGET)) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    return 0;
}

/* A name, an IPv4 address or an IPv6 address in brackets, then perhaps a port. */
static bool host_valid(struct span host) {
    const char *data = host.data;
    size_t at = 0;
    if (host.size && data[0] == '[') {
        for (at = 1; at < host.size && data[at] != ']'; at++) {
            char c = lower(data[at]);
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.')) {
                return false;
            }
        }
        if (at >= host.size || at == 1) {
            return false;
        }
        at++;
    } else {
        for (; at < host.size && data[at] != ':'; at++) {
            char c = lower(data[at]);
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' ||
                  c == '_')) {
                return false;
            }
        }
        if (!at) {
            return false;
        }
    }
    if (at == host.size) {
        return true;
    }
    size_t digits = host.size - at - 1;
    if (data[at] != ':' || digits > 5) {
        return false;
    }
    for (size_t i = at + 1; i < host.size; i++) {
        if (data[i] < '0' || data[i] > '9') {
            return false;
        }
    }
    return true;
}

static int length_parse(struct span value, int64_t *ret_length) {
    const char *data = value.data;
    if (!value.size || value.size > 18) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    int64_t length = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (data[i] < '0' || data[i] > '9') {
            return err_origin(HTTP_E_BAD_REQUEST);
        }
        length = length * 10 + (data[i] - '0');
    }
    *ret_length = length;
    return 0;
}

/* The options of all Connection fields; "close" wins. */
static void connection_parse(struct span value, bool *close, bool *keep_alive) {
    const char *at = value.data;
    const char *end = at + value.size;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        struct span option = trimmed(span_of(at, (size_t)(stop - at)));
        *close |= span_is(option, "close");
        *keep_alive |= span_is(option, "keep-alive");
        at = stop + 1;
    }
}

struct framing {
    unsigned hosts, encodings;
    bool close, keep_alive;
};

/* What a field means for the framing of the message. */
static int field_weigh(struct guard_head *head, struct framing *framing, struct span name,
                       struct span value) {
    switch (name.size) {
    case 4:
        if (span_is(name, "host")) {
            if (framing->hosts++ || !host_valid(value)) {
                return err_origin(HTTP_E_BAD_REQUEST);
            }
        }
        return 0;
    case 6:
        if (span_is(name, "expect")) {
            bool known = span_is(value, "100-continue");
            head->expect_continue |= known;
            head->expect_other |= !known;
        }
        return 0;
    case 10:
        if (span_is(name, "connection")) {
            connection_parse(value, &framing->close, &framing->keep_alive);
        }
        return 0;
    case 14:
        if (span_is(name, "content-length")) {
            if (head->content_length >= 0) {
                return err_origin(HTTP_E_BAD_REQUEST);
            }
            return length_parse(value, &head->content_length);
        }
        return 0;
    case 17:
        if (span_is(name, "transfer-encoding")) {
            if (framing->encodings++ || !span_is(value, "chunked")) {
                return err_origin(HTTP_E_BAD_REQUEST);
            }
            head->chunked = true;
        }
        return 0;
    default:
        return 0;
    }
}

static int parse_field(char *head_data, size_t at, size_t size, struct guard_head *head,
                       struct framing *framing) {
    char *line = head_data + at;
    char *colon = memchr(line, ':', size);
    if (!colon || colon == line) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    struct span name = span_of(line, (size_t)(colon - line));
    for (size_t i = 0; i < name.size; i++) {
        line[i] = lower(line[i]);
    }
    struct span value = trimmed(span_of(colon + 1, size - name.size - 1));
    if (!all_of(name, CLASS_TOKEN) || !all_of(value, CLASS_VALUE)) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    head->fields[head->field_count++] = (struct guard_field){
        (uint16_t)at,
        (uint16_t)name.size,
        (uint16_t)((const char *)value.data - head_data),
        (uint16_t)value.size,
    };
    return field_weigh(head, framing, name, value);
}

int guard_parse(char *data, size_t size, const struct guard_limits *limits,
                struct guard_head *head) {
    if (size > GUARD_HEAD_BYTES_MAX || size < 4) {
        return err_origin(HTTP_E_HEAD_TOO_LARGE);
    }
    memset(head, 0, offsetof(struct guard_head, fields));
    head->data = data;
    head->size = size;
    head->content_length = -1;
    struct framing framing = {0};
    size_t at = 0;
    while (at < size - 2) {
        char *cr = memchr(data + at, '\r', size - at);
        size_t line_size = (size_t)(cr - data) - at;
        int rc;
        if (at == 0) {
            rc = parse_request_line(span_of(data, line_size), limits, head);
        } else if (head->field_count == MIN(limits->fields, (unsigned)GUARD_FIELDS_MAX)) {
            rc = err_origin(HTTP_E_HEAD_TOO_LARGE);
        } else {
            rc = parse_field(data, at, line_size, head, &framing);
        }
        if (rc) {
            return rc;
        }
        at += line_size + 2;
    }
    if ((head->minor == 1 && framing.hosts != 1) ||
        (head->chunked && (head->minor == 0 || head->content_length >= 0))) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    head->keep_alive = !framing.close && (head->minor == 1 || framing.keep_alive);
    return 0;
}

struct span guard_field_find(const struct guard_head *head, const char *name) {
    size_t size = strlen(name);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct guard_field *field = &head->fields[i];
        if (field->name_size == size && memcmp(head->data + field->name_at, name, size) == 0) {
            return span_of(head->data + field->value_at, field->value_size);
        }
    }
    return SPAN_NULL;
}

enum chunk_state {
    CHUNK_SIZE,      /* digits of a size */
    CHUNK_EXTENSION, /* from ';' to CR */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_END_CR, /* behind the last chunk: no trailer */
    CHUNK_END_LF,
};

static int digit_value(unsigned char c) {
    unsigned char l = (unsigned char)lower((char)c);
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* One byte of framing. False: refuse. */
static bool chunk_step(struct guard_chunks *chunks, unsigned char c) {
    int digit = digit_value(c);
    switch ((enum chunk_state)chunks->state) {
    case CHUNK_SIZE:
        if (digit >= 0) {
            chunks->chunk_left = chunks->chunk_left << 4 | (unsigned)digit;
            return ++chunks->digits <= 15;
        }
        chunks->state = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
        return chunks->digits && (c == ';' || c == '\r');
    case CHUNK_EXTENSION:
        if (c == '\r') {
            chunks->state = CHUNK_SIZE_LF;
            return true;
        }
        return classes[c] & CLASS_VALUE && c < 0x7f &&
               ++chunks->extension_bytes <= GUARD_EXTENSION_BYTES;
    case CHUNK_SIZE_LF:
        chunks->state = chunks->chunk_left ? CHUNK_DATA : CHUNK_END_CR;
        return c == '\n';
    case CHUNK_DATA_CR:
        chunks->state = CHUNK_DATA_LF;
        return c == '\r';
    case CHUNK_DATA_LF:
        chunks->state = CHUNK_SIZE;
        chunks->digits = 0;
        return c == '\n';
    case CHUNK_END_CR:
        chunks->state = CHUNK_END_LF;
        return c == '\r';
    case CHUNK_END_LF:
        chunks->complete = true;
        return c == '\n';
    case CHUNK_DATA:
        break;
    }
    return false;
}

int guard_chunks_feed(struct guard_chunks *chunks, const void *data, size_t size,
                      size_t *ret_used) {
    const unsigned char *bytes = data;
    size_t at = 0;
    while (at < size && !chunks->complete) {
        if (chunks->state == CHUNK_DATA) {
            size_t part = (size_t)MIN(chunks->chunk_left, size - at);
            at += part;
            chunks->chunk_left -= part;
            if (!chunks->chunk_left) {
                chunks->state = CHUNK_DATA_CR;
            }
            continue;
        }
        if (!chunk_step(chunks, bytes[at]) || ++chunks->overhead_bytes > GUARD_CHUNK_OVERHEAD) {
            return err_origin(HTTP_E_BAD_REQUEST);
        }
        at++;
    }
    *ret_used = at;
    return 0;
}
