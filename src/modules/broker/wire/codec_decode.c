/*
 * Decoding: the bytes of a message beside the table of its fields. Whatever a peer says about sizes
 * and counts is held against the bytes that are there.
 */
#include "codec_private.h"
#include "java_text.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/utf8.h>
#include <eventbox/base/varint.h>

#include <errno.h>

static int malformed(void) {
    return err_origin(BROKER_E_MALFORMED);
}

static int take(struct codec_reader *in, size_t size, const uint8_t **ret_at) {
    if (size > in->left) {
        return malformed();
    }
    *ret_at = in->at;
    in->at += size;
    in->left -= size;
    return 0;
}

int codec_take_varint(struct codec_reader *in, uint32_t *ret_value) {
    size_t n = varint_get_u32(in->at, in->left, ret_value);

    if (n == 0) {
        return malformed();
    }
    in->at += n;
    in->left -= n;
    return 0;
}

/* A length or count, -1 for null: a varint of value + 1, or @bytes big-endian bytes. Below 0 all
 * are null, as Kafka reads them. */
static int take_length(struct codec_reader *in, unsigned bytes, int64_t *ret_length) {
    const uint8_t *at;
    uint32_t value;
    int r;

    if (in->flexible) {
        r = codec_take_varint(in, &value);
        *ret_length = r ? 0 : MAX((int32_t)(value - 1), -1);
        return r;
    }
    r = take(in, bytes, &at);
    if (r) {
        return r;
    }
    *ret_length = MAX(bytes == 2 ? (int16_t)get_be16(at) : (int32_t)get_be32(at), -1);
    return 0;
}

/* Where Kafka reads such bytes, each that is part of no character becomes U+FFFD: so it answers,
 * and so two names may be one. */
int kafka_clean_text(struct arena *arena, struct span *text) {
    char *clean;

    if (utf8_valid(text->data, text->size)) {
        return 0;
    }
    clean = arena_alloc(arena, 3 * text->size);
    if (!clean) {
        return err_origin(-ENOMEM);
    }
    *text = span_of(clean, java_text_clean(text->data, text->size, clean));
    return 0;
}

static int take_span(struct codec_reader *in, const struct kafka_field *field, bool nullable,
                     struct span *ret_span) {
    const uint8_t *at;
    int64_t size;
    int r = take_length(in, field->type == KAFKA_STRING ? 2 : 4, &size);

    if (r) {
        return r;
    }
    if (field->type == KAFKA_STRING && size > INT16_MAX) { /* as Kafka reads compact strings */
        return malformed();
    }
    if (size < 0) {
        *ret_span = SPAN_NULL;
        return nullable ? 0 : malformed();
    }
    r = take(in, (size_t)size, &at);
    if (r == 0) {
        *ret_span = span_of(at, (size_t)size);
        r = field->type == KAFKA_STRING ? kafka_clean_text(in->arena, ret_span) : 0;
    }
    return r;
}

static int decode_struct(const struct kafka_struct *type, struct codec_reader *in, uint8_t *body);

/* The least bytes that one value of @field, and one struct of @type, have on the wire. */
static size_t least_struct(const struct kafka_struct *type, const struct codec_reader *in);

static size_t least_value(const struct kafka_field *field, const struct codec_reader *in) {
    switch (field->type) {
    case KAFKA_BOOL:
    case KAFKA_INT8:
        return 1;
    case KAFKA_INT16:
    case KAFKA_UINT16:
        return 2;
    case KAFKA_INT32:
    case KAFKA_UINT32:
        return 4;
    case KAFKA_INT64:
    case KAFKA_FLOAT64:
        return 8;
    case KAFKA_UUID:
        return 16;
    case KAFKA_STRING:
        return in->flexible ? 1 : 2;
    case KAFKA_STRUCT:
        return least_struct(field->of, in);
    case KAFKA_OPTIONAL:
        return 1;
    default:
        return in->flexible ? 1 : 4;
    }
}

static size_t least_struct(const struct kafka_struct *type, const struct codec_reader *in) {
    size_t bytes = in->flexible ? 1 : 0;

    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];

        if (kafka_versions_has(field->versions, in->version) &&
            !codec_is_tagged(field, in->version)) {
            bytes += field->array ? (in->flexible ? 1 : 4) : least_value(field, in);
        }
    }
    return MAX(bytes, (size_t)1);
}

static int decode_optional(const struct kafka_field *field, struct codec_reader *in, void *out) {
    const uint8_t *there;
    void *inner = NULL;
    int r = take(in, 1, &there);

    if (r == 0 && (int8_t)*there >= 0) {
        inner = arena_alloc(in->arena, field->of->size);
        r = inner ? decode_struct(field->of, in, inner) : err_origin(-ENOMEM);
    }
    memcpy(out, &inner, sizeof inner);
    return r;
}

static int decode_value(const struct kafka_field *field, struct codec_reader *in, void *out) {
    bool nullable = !field->array && kafka_versions_has(field->nullable, in->version);
    const uint8_t *at = NULL;
    int r;

    if (field->type == KAFKA_STRING || field->type == KAFKA_BYTES) {
        return take_span(in, field, nullable, out);
    }
    if (field->type == KAFKA_RECORDS) {
        *(struct kafka_records *)out = (struct kafka_records){0};
        return take_span(in, field, nullable, &((struct kafka_records *)out)->span);
    }
    if (field->type == KAFKA_STRUCT) {
        return decode_struct(field->of, in, out);
    }
    if (field->type == KAFKA_OPTIONAL) {
        return decode_optional(field, in, out);
    }
    r = take(in, least_value(field, in), &at);
    if (r) {
        return r;
    }
    switch (field->type) {
    case KAFKA_BOOL:
        *(bool *)out = *at != 0;
        break;
    case KAFKA_INT8:
        *(int8_t *)out = (int8_t)*at;
        break;
    case KAFKA_INT16:
    case KAFKA_UINT16:
        *(uint16_t *)out = get_be16(at);
        break;
    case KAFKA_INT32:
    case KAFKA_UINT32:
        *(uint32_t *)out = get_be32(at);
        break;
    case KAFKA_UUID:
        memcpy(out, at, sizeof(struct uuid));
        break;
    default: /* int64, float64: the same bytes */
        *(uint64_t *)out = get_be64(at);
        break;
    }
    return 0;
}

static int decode_array(const struct kafka_field *field, struct codec_reader *in, uint8_t *body) {
    size_t stride = codec_element_bytes(field);
    uint8_t *elements;
    int64_t count;
    int r = take_length(in, 4, &count);

    if (r) {
        return r;
    }
    if (count < 0) {
        *codec_count(field, body) = -1;
        return kafka_versions_has(field->nullable, in->version) ? 0 : malformed();
    }
    /* The peer chooses the count: it must fit the bytes that are there before memory is taken. */
    if ((uint64_t)count > in->left / least_value(field, in)) {
        return malformed();
    }
    if (count == 0) {
        *codec_count(field, body) = 0;
        return 0;
    }
    elements = arena_alloc(in->arena, (size_t)count * stride);
    if (!elements) {
        return err_origin(-ENOMEM);
    }
    for (int64_t i = 0; i < count; i++) {
        r = decode_value(field, in, elements + (size_t)i * stride);
        if (r) {
            return r;
        }
    }
    memcpy(body + field->offset, &elements, sizeof elements);
    *codec_count(field, body) = (int32_t)count;
    return 0;
}

static int decode_field(const struct kafka_field *field, struct codec_reader *in, uint8_t *body) {
    return field->array ? decode_array(field, in, body)
                        : decode_value(field, in, body + field->offset);
}

const struct kafka_field *codec_find_tag(const struct kafka_struct *type, int16_t version,
                                         uint32_t tag) {
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];

        if (codec_is_tagged(field, version) && (uint32_t)field->tag == tag) {
            return field;
        }
    }
    return NULL;
}

int codec_take_tag(struct codec_reader *in, uint32_t *ret_tag, struct span *ret_value) {
    const uint8_t *at;
    uint32_t size;
    int r = codec_take_varint(in, ret_tag);

    r = r ? r : codec_take_varint(in, &size);
    r = r ? r : take(in, size, &at);
    if (r == 0) {
        *ret_value = span_of(at, size);
    }
    return r;
}

/* By the schema, whatever the version. */
static const struct kafka_field *find_any_tag(const struct kafka_struct *type, uint32_t tag) {
    for (unsigned i = 0; i < type->field_count; i++) {
        if (type->fields[i].tag >= 0 && (uint32_t)type->fields[i].tag == tag) {
            return &type->fields[i];
        }
    }
    return NULL;
}

/* As Kafka reads them: a tag that the schema has for other versions is an error, and where a field
 * ends it says itself, whatever the size in front of it. */
static int decode_tags(const struct kafka_struct *type, struct codec_reader *in, uint8_t *body) {
    const uint8_t *section = in->at;
    bool unknown = false;
    bool odd = false; /* some size is wrong: such a section is not kept */
    uint32_t count;
    int r = codec_take_varint(in, &count);

    /* A count beyond 2^31 is below 0 for Kafka: none. */
    for (int32_t i = 0; r == 0 && i < (int32_t)count; i++) {
        const struct kafka_field *field;
        const uint8_t *at;
        uint32_t tag;
        uint32_t size;

        r = codec_take_varint(in, &tag);
        r = r ? r : codec_take_varint(in, &size);
        if (r) {
            return r;
        }
        field = find_any_tag(type, tag);
        if (!field) { /* of a newer schema */
            unknown = true;
            r = take(in, size, &at);
        } else if (!codec_is_tagged(field, in->version)) {
            r = err_origin(BROKER_E_MALFORMED);
        } else {
            at = in->at;
            r = decode_field(field, in, body);
            odd = odd || (size_t)(in->at - at) != size;
        }
    }
    if (r == 0 && unknown && !odd) {
        *codec_unknown_tags(type, body) = span_of(section, (size_t)(in->at - section));
    }
    return r;
}

/* @body is zeroed: what the bytes have no value for is set to its default. */
static int decode_struct(const struct kafka_struct *type, struct codec_reader *in, uint8_t *body) {
    codec_init_tags(type, body);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];
        int r;

        if (!kafka_versions_has(field->versions, in->version) ||
            codec_is_tagged(field, in->version)) {
            codec_init_field(field, body);
            continue;
        }
        r = decode_field(field, in, body);
        if (r) {
            return r;
        }
    }
    return in->flexible ? decode_tags(type, in, body) : 0;
}

int kafka_decode(const struct kafka_struct *type, int16_t version, bool flexible, struct span in,
                 struct arena *arena, void *body, size_t *ret_size) {
    struct codec_reader reader = {in.data, in.size, version, flexible, arena};
    int r;

    memset(body, 0, type->size);
    r = decode_struct(type, &reader, body);
    if (r) {
        return err_trace(r);
    }
    if (ret_size) {
        *ret_size = in.size - reader.left;
    }
    return 0;
}
