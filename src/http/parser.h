/*
 * The only door to llhttp. It sees a head that guard.c has passed, says whether it agrees, and
 * decodes the body.
 */
#pragma once

#include "guard.h"

enum { PARSER_STATE_BYTES = 128 };

typedef int (*parser_content_fn)(void *userdata, const void *data, size_t size);

struct parser {
    _Alignas(void *) unsigned char state[PARSER_STATE_BYTES];
    parser_content_fn on_content;
    void *userdata;
    unsigned field_count;
    int content_status; /* what on_content() refused with */
    bool head_complete;
    bool message_complete;
    bool chunked;
    int64_t body_left; /* of a body with Content-Length */
    struct guard_chunks chunks;
};

/**
 * parser_begin() - a new message: feed its whole head
 * Return: 0, parser->message_complete when there is no body; HTTP_E_BAD_REQUEST when llhttp does
 * not agree with @head.
 */
int parser_begin(struct parser *parser, const struct guard_head *head, parser_content_fn on_content,
                 void *userdata);

/**
 * parser_feed() - more bytes of the body
 * @ret_used: bytes that belong to this message
 *
 * Return: 0; HTTP_E_BAD_REQUEST; what on_content() returned.
 */
int parser_feed(struct parser *parser, const void *data, size_t size, size_t *ret_used);
