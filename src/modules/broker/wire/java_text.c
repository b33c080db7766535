#include "java_text.h"

#include <stdint.h>

/* The next code point; a byte that begins none is U+FFFD, as Java decodes it. */
static uint32_t next_code_point(struct span text, size_t *position) {
    const uint8_t *at = (const uint8_t *)text.data + *position;
    size_t left = text.size - *position;
    size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : 4;
    uint32_t point = size == 1 ? at[0] : at[0] & (0xffu >> (size + 1));
    bool wrong = (at[0] >= 0x80 && at[0] < 0xc0) || at[0] > 0xf7 || size > left;
    for (size_t i = 1; !wrong && i < size; i++) {
        wrong = (at[i] & 0xc0) != 0x80;
        point = point << 6 | (at[i] & 0x3f);
    }
    *position += wrong ? 1 : size;
    return wrong ? 0xfffd : point;
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
