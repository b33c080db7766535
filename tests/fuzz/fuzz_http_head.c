/*
 * Guard and parser over any bytes. Beside memory: a head is judged alike in one piece and byte by
 * byte, what the guard passes lies inside the head, and a body gives out no more than came in.
 */
#include "guard.h"
#include "parser.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) {
        abort();
    }
}

static int count_content(void *userdata, const void *data, size_t size) {
    *(size_t *)userdata += size;
    return 0;
}

/* Return: size of the head, 0 when there is none. */
static size_t scan(const char *data, size_t size) {
    struct guard_scan whole = {0}, bytes = {0};
    int whole_rc = guard_scan_feed(&whole, data, size);
    int rc = 0;
    for (size_t part = 1; part <= size && !rc && !bytes.complete; part++) {
        rc = guard_scan_feed(&bytes, data, part);
    }
    must(whole_rc == rc && whole.complete == bytes.complete && whole.at == bytes.at);
    return rc || !whole.complete ? 0 : whole.at;
}

static void check_fields(const struct guard_head *head) {
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct guard_field *field = &head->fields[i];
        must(field->name_size > 0 && field->name_at + field->name_size < field->value_at + 1u);
        must((size_t)field->value_at + field->value_size <= head->size - 4);
    }
    must(!(head->chunked && head->content_length >= 0));
}

static void feed_body(struct parser *parser, const char *data, size_t size, size_t piece) {
    size_t content = 0, at = 0;
    parser->userdata = &content;
    while (at < size && !parser->message_complete) {
        size_t used = 0;
        if (parser_feed(parser, data + at, MIN(piece, size - at), &used)) {
            break;
        }
        must(used > 0 && used <= size - at);
        at += used;
    }
    must(content <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct guard_limits limits = {4096, 100};
    const char *text = (const char *)data;
    size_t head_size = scan(text, size);
    if (!head_size || head_size > GUARD_HEAD_BYTES_MAX) {
        return 0;
    }
    char *copy = malloc(head_size);
    must(copy != NULL);
    memcpy(copy, data, head_size);
    struct guard_head head;
    if (guard_parse(copy, head_size, &limits, &head) == 0) {
        size_t none = 0;
        struct parser parser;
        check_fields(&head);
        for (size_t piece = 1; piece <= 64; piece += 63) {
            if (parser_begin(&parser, &head, count_content, &none) == 0) {
                feed_body(&parser, text + head_size, size - head_size, piece);
            }
        }
    }
    free(copy);
    return 0;
}
