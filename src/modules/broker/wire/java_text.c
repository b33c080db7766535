#include "java_text.h"

#include <eventbox/base/utf8.h>

#include <stdint.h>
#include <string.h>

static bool continues(const uint8_t *in, size_t size, size_t at) {
    return at < size && (in[at] & 0xc0) == 0x80;
}

/* How much of what is no UTF-8 at @in Java replaces by one U+FFFD. */
static size_t mistake_bytes(const uint8_t *in, size_t size) {
    bool three = in[0] >> 4 == 14;
    bool four = in[0] >= 0xf0 && in[0] <= 0xf4;

    if ((!three && !four) || !continues(in, size, 1) || (in[0] == 0xe0 && in[1] < 0xa0) ||
        (in[0] == 0xf0 && in[1] < 0x90) || (in[0] == 0xf4 && in[1] > 0x8f)) {
        return 1;
    }
    return continues(in, size, 2) ? 3 : 2; /* three of three are a surrogate */
}

/* The next code point; U+FFFD for a mistake, of which Java sees as many. */
static uint32_t next_code_point(struct span text, size_t *position) {
    const uint8_t *at = (const uint8_t *)text.data + *position;
    size_t left = text.size - *position;
    size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : 4;
    uint32_t point = size == 1 ? at[0] : at[0] & (0xffu >> (size + 1));
    if (size > left || !utf8_valid(at, size)) {
        *position += mistake_bytes(at, left);
        return 0xfffd;
    }
    for (size_t i = 1; i < size; i++) {
        point = point << 6 | (at[i] & 0x3f);
    }
    *position += size;
    return point;
}

size_t java_text_clean(const void *data, size_t size, char *out) {
    const uint8_t *in = data;
    size_t used = 0;

    for (size_t i = 0; i < size;) {
        size_t good = utf8_prefix(in + i, size - i);

        memcpy(out + used, in + i, good);
        used += good;
        i += good;
        if (i < size) {
            memcpy(out + used, "\xef\xbf\xbd", 3);
            used += 3;
            i += mistake_bytes(in + i, size - i);
        }
    }
    return used;
}

size_t java_text_length(struct span text) {
    size_t position = 0, units = 0;
    while (position < text.size) {
        units += next_code_point(text, &position) > 0xffff ? 2 : 1;
    }
    return units;
}

uint32_t java_text_hash(struct span text) {
    uint32_t hash = 0;
    size_t position = 0;
    while (position < text.size) {
        uint32_t point = next_code_point(text, &position);
        if (point > 0xffff) {
            hash = 31 * hash + (0xd800 + ((point - 0x10000) >> 10));
            hash = 31 * hash + (0xdc00 + ((point - 0x10000) & 0x3ff));
        } else {
            hash = 31 * hash + point;
        }
    }
    return hash;
}

int32_t java_text_place(struct span text, int32_t count) {
    uint32_t hash = java_text_hash(text);
    /* Utils.abs() of Kafka: the one number without an absolute value becomes zero. */
    uint32_t absolute = hash >> 31 ? 0 - hash : hash;
    return absolute == 0x80000000u ? 0 : (int32_t)(absolute % (uint32_t)count);
}
