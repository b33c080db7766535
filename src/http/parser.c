/*
 * llhttp in strict mode, one message at a time: it is initialized anew for each, pauses at the end
 * of each, and no leniency is ever switched on. Only as many bytes are fed as the guard says belong
 * to the message; where the two disagree the connection ends.
 */
#include "parser.h"

#include <eventbox/base/error.h>
#include <llhttp.h>

/* The 8.x sources hold two parsers; the loose one takes CVE-2025-23167 and its family. */
#if LLHTTP_VERSION_MAJOR < 9 && (!defined(LLHTTP_STRICT_MODE) || !LLHTTP_STRICT_MODE)
#error "llhttp before version 9 must be compiled, and included, with LLHTTP_STRICT_MODE=1"
#endif

_Static_assert(sizeof(llhttp_t) <= PARSER_STATE_BYTES, "llhttp_t fits its place");

static llhttp_t *state_of(struct parser *parser) {
    return (llhttp_t *)(void *)parser->state;
}

static int on_value_complete(llhttp_t *state) {
    ((struct parser *)state->data)->field_count++;
    return 0;
}

static int on_headers_complete(llhttp_t *state) {
    struct parser *parser = state->data;
    parser->head_complete = true;
    state->upgrade = 0; /* Upgrade is ignored: the message is plain HTTP/1.1 */
    return 0;
}

static int on_body(llhttp_t *state, const char *at, size_t size) {
    struct parser *parser = state->data;
    parser->content_status = parser->on_content(parser->userdata, at, size);
    return parser->content_status ? HPE_USER : 0;
}

static int on_message_complete(llhttp_t *state) {
    ((struct parser *)state->data)->message_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings_get(void) {
    static llhttp_settings_t settings;
    if (!settings.on_message_complete) {
        llhttp_settings_init(&settings);
        settings.on_header_value_complete = on_value_complete;
        settings.on_headers_complete = on_headers_complete;
        settings.on_body = on_body;
        settings.on_message_complete = on_message_complete;
    }
    return &settings;
}

/* True when llhttp took all of @size bytes, and the message ended nowhere but behind them. */
static bool execute(struct parser *parser, const char *data, size_t size) {
    llhttp_t *state = state_of(parser);
    llhttp_errno_t status = llhttp_execute(state, data, size);
    if (status == HPE_PAUSED && parser->message_complete) {
        /* The position is that of the last byte of the message, or the one behind it. */
        const char *stop = llhttp_get_error_pos(state);
        return stop == data + size || stop == data + size - 1;
    }
    return status == HPE_OK && !parser->message_complete;
}

int parser_begin(struct parser *parser, const struct guard_head *head, parser_content_fn on_content,
                 void *userdata) {
    llhttp_t *state = state_of(parser);
    llhttp_init(state, HTTP_REQUEST, settings_get());
    state->data = parser;
    parser->on_content = on_content;
    parser->userdata = userdata;
    parser->field_count = 0;
    parser->content_status = 0;
    parser->head_complete = parser->message_complete = false;
    parser->chunked = head->chunked;
    parser->body_left = head->content_length > 0 ? head->content_length : 0;
    parser->chunks = (struct guard_chunks){0};
    bool has_body = parser->chunked || parser->body_left;
    bool agreed = execute(parser, head->data, head->size) && parser->head_complete &&
                  parser->message_complete == !has_body &&
                  parser->field_count == head->field_count &&
                  span_equal(head->method_text, span_text(llhttp_method_name(state->method))) &&
                  state->http_major == 1 && state->http_minor == head->minor;
    return agreed ? 0 : err_origin(HTTP_E_BAD_REQUEST);
}

int parser_feed(struct parser *parser, const void *data, size_t size, size_t *ret_used) {
    size_t used;
    bool complete;
    if (parser->chunked) {
        int rc = guard_chunks_feed(&parser->chunks, data, size, &used);
        if (rc) {
            return rc;
        }
        complete = parser->chunks.complete;
    } else {
        used = (size_t)MIN((uint64_t)parser->body_left, size);
        parser->body_left -= (int64_t)used;
        complete = parser->body_left == 0;
    }
    bool agreed = execute(parser, data, used);
    if (parser->content_status) {
        return parser->content_status;
    }
    if (!agreed || parser->message_complete != complete) {
        return err_origin(HTTP_E_BAD_REQUEST);
    }
    *ret_used = used;
    return 0;
}
