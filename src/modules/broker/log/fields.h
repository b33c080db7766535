/* Numbers and texts of our own records: little-endian, without padding. */
#pragma once

#include <eventbox/base/bytes.h>
#include <eventbox/base/text.h>

/* Reads from the front; at the first lack of bytes everything sticks at zeros. */
struct fields {
    const uint8_t *at, *end;
    bool failed;
};
static inline struct fields fields_of(struct span bytes) {
    return (struct fields){bytes.data, (const uint8_t *)bytes.data + bytes.size, false};
}
/** fields_take() - @size bytes; zeros (for sizes up to 16) once bytes lack */
const uint8_t *fields_take(struct fields *in, size_t size);
/** fields_get() - a little-endian number of @bytes bytes */
uint64_t fields_get(struct fields *in, size_t bytes);
void fields_put(struct text *out, uint64_t value, size_t bytes);
/** fields_take_text() - u16 length and text; null once bytes lack */
struct span fields_take_text(struct fields *in);
void fields_put_text(struct text *out, struct span text);
