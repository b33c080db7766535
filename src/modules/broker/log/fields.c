/* Numbers and texts of our own records: little-endian, one behind the other. */
#include "fields.h"
#include "log_private.h"

const uint8_t *fields_take(struct fields *in, size_t size) {
    static const uint8_t zeros[16];
    if (in->failed || (size_t)(in->end - in->at) < size) {
        in->failed = true;
        return size <= sizeof zeros ? zeros : NULL;
    }
    const uint8_t *at = in->at;
    in->at += size;
    return at;
}

uint64_t fields_get(struct fields *in, size_t bytes) {
    uint8_t le[8] = {0};
    memcpy(le, fields_take(in, bytes), bytes);
    return get_le64(le);
}

void fields_put(struct text *out, uint64_t value, size_t bytes) {
    uint8_t le[8];
    put_le64(le, value);
    text_append(out, le, bytes);
}

struct span fields_take_text(struct fields *in) {
    size_t size = fields_get(in, 2);
    const uint8_t *text = in->failed ? NULL : fields_take(in, size);
    return in->failed ? SPAN_NULL : span_of(text, size);
}

void fields_put_text(struct text *out, struct span text) {
    fields_put(out, text.size, 2);
    text_append(out, text.data, text.size);
}
