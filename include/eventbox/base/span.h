/* Borrowed bytes: a pointer and a length. Owns nothing. data NULL with size 0 is "null". */
#pragma once

#include <eventbox/base/defs.h>
#include <string.h>

struct span {
    const void *data;
    size_t size;
};

#define SPAN_LITERAL(text) ((struct span){(text), sizeof(text) - 1})
#define SPAN_NULL          ((struct span){NULL, 0})

static inline struct span span_of(const void *data, size_t size) {
    return (struct span){data, size};
}

static inline struct span span_text(const char *text) {
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
