/* Encoding: a struct beside the table of its fields. Tagged fields are written in the order of
 * their tags, those that a newer schema brought in between. */
#include "codec_private.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/varint.h>

#include <errno.h>
#include <stdlib.h>

void kafka_encoded_init(struct kafka_encoded *encoded) {
    *encoded = (struct kafka_encoded){0};
    text_init(&encoded->text);
}

void kafka_encoded_deinit(struct kafka_encoded *encoded) {
    text_deinit(&encoded->text);
    free(encoded->splices);
    *encoded = (struct kafka_encoded){0};
}

void kafka_encoded_clear(struct kafka_encoded *encoded) {
    text_clear(&encoded->text);
    encoded->splice_count = 0;
    encoded->foreign_bytes = 0;
}

struct writer {
    struct kafka_encoded *out;
    int16_t version;
    bool flexible;
};

/* Room for @size bytes at the end, already counted; NULL (and the text has failed) without memory.
 */
static uint8_t *put(struct writer *to, size_t size) {
    uint8_t *at = (uint8_t *)text_reserve(&to->out->text, size);

    to->out->text.size += at ? size : 0;
    return at;
}

static void put_varint(struct writer *to, uint64_t value) {
    uint8_t bytes[VARINT_MAX_BYTES];

    text_append(&to->out->text, bytes, varint_put_u64(bytes, value));
}

static int put_length(struct writer *to, unsigned bytes, int64_t length) {
    uint8_t *at;

    if (length > (bytes == 2 ? INT16_MAX : INT32_MAX)) {
        return err_origin(TOPIC_E_TOO_LARGE);
    }
    if (to->flexible) {
        put_varint(to, (uint64_t)(length + 1));
        return 0;
    }
    at = put(to, bytes);
    if (at && bytes == 2) {
        put_be16(at, (uint16_t)length);
    } else if (at) {
        put_be32(at, (uint32_t)length);
    }
    return 0;
}

static int put_span(struct writer *to, unsigned bytes, bool nullable, struct span value) {
    int r = put_length(to, bytes, value.data || !nullable ? (int64_t)value.size : -1);

    if (r == 0 && value.size) {
        text_append(&to->out->text, value.data, value.size);
    }
    return r;
}

static int put_foreign(struct writer *to, const struct kafka_records *records) {
    struct kafka_encoded *out = to->out;
    int r = put_length(to, 4, (int64_t)records->foreign_bytes);

    if (r || records->foreign_bytes == 0) {
        return r;
    }
    if (out->splice_count == out->splice_capacity) {
        size_t capacity = MAX(out->splice_capacity * 2, (size_t)16);
        struct kafka_splice *grown = reallocarray(out->splices, capacity, sizeof *grown);

        if (!grown) {
            return err_origin(-ENOMEM);
        }
        out->splices = grown;
        out->splice_capacity = capacity;
    }
    out->splices[out->splice_count++] =
        (struct kafka_splice){out->text.size, records->foreign, records->foreign_bytes};
    out->foreign_bytes += records->foreign_bytes;
    return 0;
}

static int encode_struct(const struct kafka_struct *type, struct writer *to, const uint8_t *body);

static int encode_optional(const struct kafka_field *field, struct writer *to, const void *value) {
    const uint8_t *inner;
    uint8_t *there = put(to, 1);

    memcpy(&inner, value, sizeof inner);
    if (there) {
        *there = inner ? 1 : UINT8_MAX;
    }
    return inner ? encode_struct(field->of, to, inner) : 0;
}

static int encode_value(const struct kafka_field *field, struct writer *to, const void *value) {
    bool nullable = !field->array && kafka_versions_has(field->nullable, to->version);
    const struct kafka_records *records = value;
    uint8_t *at;

    switch (field->type) {
    case KAFKA_STRING:
        return put_span(to, 2, nullable, *(const struct span *)value);
    case KAFKA_BYTES:
        return put_span(to, 4, nullable, *(const struct span *)value);
    case KAFKA_RECORDS:
        return records->foreign ? put_foreign(to, records)
                                : put_span(to, 4, nullable, records->span);
    case KAFKA_STRUCT:
        return encode_struct(field->of, to, value);
    case KAFKA_OPTIONAL:
        return encode_optional(field, to, value);
    case KAFKA_BOOL:
    case KAFKA_INT8:
        if ((at = put(to, 1))) {
            *at = *(const uint8_t *)value;
        }
        return 0;
    case KAFKA_INT16:
    case KAFKA_UINT16:
        if ((at = put(to, 2))) {
            put_be16(at, *(const uint16_t *)value);
        }
        return 0;
    case KAFKA_INT32:
    case KAFKA_UINT32:
        if ((at = put(to, 4))) {
            put_be32(at, *(const uint32_t *)value);
        }
        return 0;
    case KAFKA_UUID:
        text_append(&to->out->text, value, sizeof(struct uuid));
        return 0;
    default: /* int64, float64: the same bytes */
        if ((at = put(to, 8))) {
            put_be64(at, *(const uint64_t *)value);
        }
        return 0;
    }
}

static int encode_field(const struct kafka_field *field, struct writer *to, const uint8_t *body) {
    const uint8_t *elements;
    size_t stride;
    int32_t count;
    int r;

    if (!field->array) {
        return encode_value(field, to, body + field->offset);
    }
    memcpy(&elements, body + field->offset, sizeof elements);
    count = *codec_count(field, body);
    if (count < 0 && !kafka_versions_has(field->nullable, to->version)) {
        count = 0;
    }
    r = put_length(to, 4, count);
    stride = codec_element_bytes(field);
    for (int32_t i = 0; r == 0 && i < count; i++) {
        r = encode_value(field, to, elements + (size_t)i * stride);
    }
    return r;
}

/* The size of a tagged field stands in front of it: written behind, then moved into its place. */
static int encode_tag(const struct kafka_field *field, struct writer *to, const uint8_t *body) {
    struct text *text = &to->out->text;
    uint8_t length[VARINT_MAX_BYTES];
    size_t start;
    size_t size;
    size_t n;
    int r;

    put_varint(to, (uint64_t)field->tag);
    start = text->size;
    r = encode_field(field, to, body);
    if (r || text_failed(text)) {
        return r;
    }
    size = text->size - start;
    n = varint_put_u64(length, size);
    if (put(to, n)) {
        memmove(text->data + start + n, text->data + start, size);
        memcpy(text->data + start, length, n);
    }
    return 0;
}

/* The next tag of those to be written that the schema knows: the least above @after. */
static const struct kafka_field *next_tag(const struct kafka_struct *type, int16_t version,
                                          const uint8_t *body, int32_t after) {
    const struct kafka_field *next = NULL;

    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];

        if (codec_is_tagged(field, version) && field->tag > after &&
            (!next || field->tag < next->tag) && !codec_is_default(field, body)) {
            next = field;
        }
    }
    return next;
}

/* The next tag of a section that decode_tags() has walked before and that @type does not know. */
static bool next_unknown(const struct kafka_struct *type, struct codec_reader *section,
                         uint32_t *ret_tag, struct span *ret_value) {
    while (section->left) {
        if (codec_take_tag(section, ret_tag, ret_value)) {
            return false;
        }
        if (!codec_find_tag(type, section->version, *ret_tag)) {
            return true;
        }
    }
    return false;
}

static struct codec_reader unknown_section(const struct kafka_struct *type, int16_t version,
                                           const uint8_t *body) {
    struct span section = *codec_unknown_tags(type, body);
    struct codec_reader reader = {section.data, section.size, version, true, NULL};
    uint32_t count;

    if (section.size) {
        codec_take_varint(&reader, &count);
    }
    return reader;
}

static unsigned count_tags(const struct kafka_struct *type, int16_t version, const uint8_t *body) {
    struct codec_reader unknown = unknown_section(type, version, body);
    const struct kafka_field *field = NULL;
    struct span value;
    unsigned count = 0;
    uint32_t tag;

    while ((field = next_tag(type, version, body, field ? field->tag : -1))) {
        count++;
    }
    while (next_unknown(type, &unknown, &tag, &value)) {
        count++;
    }
    return count;
}

/* Tags rise: those of the schema and the unknown ones, each where it belongs. */
static int encode_tags(const struct kafka_struct *type, struct writer *to, const uint8_t *body) {
    struct codec_reader unknown = unknown_section(type, to->version, body);
    const struct kafka_field *field = next_tag(type, to->version, body, -1);
    struct span value;
    uint32_t tag;
    int r = 0;

    if (!field && unknown.left == 0) {
        put_varint(to, 0);
        return 0;
    }
    put_varint(to, count_tags(type, to->version, body));
    while (next_unknown(type, &unknown, &tag, &value)) {
        for (; r == 0 && field && (uint32_t)field->tag < tag;
             field = next_tag(type, to->version, body, field->tag)) {
            r = encode_tag(field, to, body);
        }
        put_varint(to, tag);
        put_varint(to, value.size);
        text_append(&to->out->text, value.data, value.size);
    }
    for (; r == 0 && field; field = next_tag(type, to->version, body, field->tag)) {
        r = encode_tag(field, to, body);
    }
    return r;
}

static int encode_struct(const struct kafka_struct *type, struct writer *to, const uint8_t *body) {
    if (to->out->text.size > KAFKA_ENCODED_MAX_BYTES) {
        return err_origin(TOPIC_E_TOO_LARGE);
    }
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];
        int r;

        if (!kafka_versions_has(field->versions, to->version) ||
            codec_is_tagged(field, to->version)) {
            continue;
        }
        r = encode_field(field, to, body);
        if (r) {
            return r;
        }
    }
    return to->flexible ? encode_tags(type, to, body) : 0;
}

int kafka_encode(const struct kafka_struct *type, int16_t version, bool flexible, const void *body,
                 struct kafka_encoded *out) {
    struct writer writer = {out, version, flexible};
    int r = encode_struct(type, &writer, body);

    if (r) {
        return err_trace(r);
    }
    if (text_failed(&out->text)) {
        return err_origin(-ENOMEM);
    }
    return out->text.size + out->foreign_bytes > INT32_MAX ? err_origin(TOPIC_E_TOO_LARGE) : 0;
}
