/*
 * Growable bytes for building answers, log lines and messages. Always followed by a zero byte.
 * The first failed allocation sticks: later appends do nothing and text_failed() is true, so
 * callers check once at the end.
 */
#pragma once

#include <eventbox/base/buf.h>
#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

struct text {
    char *data; /* NULL while empty */
    size_t size;
    size_t capacity;
    bool failed;
};

void text_init(struct text *text);
void text_deinit(struct text *text);
void text_clear(struct text *text); /* keeps the memory */
void text_append(struct text *text, const void *data, size_t size);
void text_append_str(struct text *text, const char *str);
void text_append_char(struct text *text, char c);
void text_append_int(struct text *text, int64_t value);
void text_printf(struct text *text, const char *format, ...) _printf_(2, 3);
/** text_reserve() - pointer to @size writable bytes behind the end; NULL on failure; add to size
 * after */
char *text_reserve(struct text *text, size_t size);
/** text_steal_buf() - the content as a buf without copying; the text is empty afterwards; NULL on
 * failure */
struct buf *text_steal_buf(struct text *text);

static inline bool text_failed(const struct text *text) {
    return text->failed;
}
static inline struct span text_span(const struct text *text) {
    return span_of(text->data, text->size);
}
