#include <eventbox/base/text.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_CAPACITY_FIRST = 64 };

void text_init(struct text *text) {
    *text = (struct text){0};
}

void text_deinit(struct text *text) {
    free(text->data);
    text_init(text);
}

void text_clear(struct text *text) {
    text->size = 0;
    text->failed = false;
    if (text->data) {
        text->data[0] = '\0';
    }
}

/* Doubles, so that appending n bytes one by one copies O(n). The zero byte is part of capacity. */
static bool grow(struct text *text, size_t size) {
    size_t needed;
    size_t capacity = MAX(text->capacity, (size_t)TEXT_CAPACITY_FIRST);
    char *data;

    if (text->failed) {
        return false;
    }
    if (size >= SIZE_MAX / 2 - text->size) {
        text->failed = true;
        return false;
    }
    needed = text->size + size + 1;
    if (needed <= text->capacity) {
        return true;
    }
    while (capacity < needed) {
        capacity *= 2;
    }
    data = realloc(text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    data[text->size] = '\0';
    text->data = data;
    text->capacity = capacity;
    return true;
}

char *text_reserve(struct text *text, size_t size) {
    return grow(text, size) ? text->data + text->size : NULL;
}

void text_append(struct text *text, const void *data, size_t size) {
    if (size == 0 || !grow(text, size)) {
        return;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void text_append_str(struct text *text, const char *str) {
    text_append(text, str, strlen(str));
}

void text_append_char(struct text *text, char c) {
    text_append(text, &c, 1);
}

void text_append_int(struct text *text, int64_t value) {
    char digits[24];
    char *first = digits + sizeof digits;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--first = '-';
    }
    text_append(text, first, (size_t)(digits + sizeof digits - first));
}

void text_printf(struct text *text, const char *format, ...) {
    va_list args;
    size_t room;
    int size;

    if (!grow(text, TEXT_CAPACITY_FIRST)) {
        return;
    }
    room = text->capacity - text->size;
    va_start(args, format);
    size = vsnprintf(text->data + text->size, room, format, args);
    va_end(args);
    if (size >= 0 && (size_t)size >= room && grow(text, (size_t)size)) {
        va_start(args, format);
        size = vsnprintf(text->data + text->size, (size_t)size + 1, format, args);
        va_end(args);
    }
    if (size < 0 || text->failed) {
        text->failed = true;
        text->data[text->size] = '\0';
        return;
    }
    text->size += (size_t)size;
}

static void release_stolen(struct buf *buf) {
    free(buf->data);
    free(buf);
}

struct buf *text_steal_buf(struct text *text) {
    struct buf *buf;

    if (text->failed) {
        return NULL;
    }
    if (!text->data) {
        return buf_new(0);
    }
    buf = malloc(sizeof *buf);
    if (!buf) {
        text->failed = true;
        return NULL;
    }
    *buf = (struct buf){
        .data = (uint8_t *)text->data,
        .size = text->size,
        .capacity = text->capacity,
        .refs = 1,
        .release = release_stolen,
    };
    text_init(text);
    return buf;
}
