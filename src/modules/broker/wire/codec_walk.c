#include "codec_walk.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/varint.h>

#include <errno.h>
#include <stdlib.h>

extern const struct kafka_api kafka_apis[];
extern const size_t kafka_api_count;

enum { KEYS_MAX = 128, VARINT32_BYTES = 5 };

const struct kafka_api *kafka_api_find(int16_t key) {
    static uint8_t index[KEYS_MAX]; /* row + 1 of each key */

    if (index[kafka_apis[0].key] == 0) {
        for (size_t i = 0; i < kafka_api_count; i++) {
            index[kafka_apis[i].key] = (uint8_t)(i + 1);
        }
    }
    return key >= 0 && key < KEYS_MAX && index[key] ? &kafka_apis[index[key] - 1] : NULL;
}

/* Bytes of one element in its C array. */
static size_t element_bytes(const struct kafka_field *field) {
    static const uint8_t bytes[] = {
        [KAFKA_BOOL] = sizeof(bool),
        [KAFKA_INT8] = 1,
        [KAFKA_INT16] = 2,
        [KAFKA_UINT16] = 2,
        [KAFKA_INT32] = 4,
        [KAFKA_UINT32] = 4,
        [KAFKA_INT64] = 8,
        [KAFKA_FLOAT64] = sizeof(double),
        [KAFKA_UUID] = sizeof(struct uuid),
        [KAFKA_STRING] = sizeof(struct span),
        [KAFKA_BYTES] = sizeof(struct span),
        [KAFKA_RECORDS] = sizeof(struct kafka_records),
        [KAFKA_OPTIONAL] = sizeof(void *),
    };
    return field->type == KAFKA_STRUCT ? field->of->size : bytes[field->type];
}

static bool is_tagged(const struct kafka_field *field, int16_t version) {
    return field->tag >= 0 && kafka_versions_has(field->tagged, version);
}

static struct span *unknown_tags_of(const struct kafka_struct *type, const void *body) {
    return type->unknown_tags_offset == KAFKA_NO_TAGS
               ? NULL
               : (struct span *)((uintptr_t)body + type->unknown_tags_offset);
}

static int32_t *count_of(const struct kafka_field *field, const void *body) {
    return (int32_t *)((uintptr_t)body + field->count_offset);
}

/* ---- defaults ---- */

static void init_struct(const struct kafka_struct *type, uint8_t *body);

static void init_field(const struct kafka_field *field, uint8_t *body) {
    void *at = body + field->offset;

    if (field->array) {
        memset(at, 0, sizeof(void *));
        *count_of(field, body) = field->number ? -1 : 0;
        return;
    }
    switch (field->type) {
    case KAFKA_BOOL:
        *(bool *)at = field->number != 0;
        break;
    case KAFKA_INT8:
        *(int8_t *)at = (int8_t)field->number;
        break;
    case KAFKA_INT16:
    case KAFKA_UINT16:
        *(int16_t *)at = (int16_t)field->number;
        break;
    case KAFKA_INT32:
    case KAFKA_UINT32:
        *(int32_t *)at = (int32_t)field->number;
        break;
    case KAFKA_INT64:
        *(int64_t *)at = field->number;
        break;
    case KAFKA_STRING:
    case KAFKA_BYTES:
        *(struct span *)at = field->number ? SPAN_NULL : span_text(field->text ? field->text : "");
        break;
    case KAFKA_STRUCT:
        init_struct(field->of, at);
        break;
    default: /* float64, uuid, records, optional */
        memset(at, 0, element_bytes(field));
        break;
    }
}

static void init_tags(const struct kafka_struct *type, uint8_t *body) {
    struct span *unknown = unknown_tags_of(type, body);

    if (unknown) {
        *unknown = SPAN_NULL;
    }
}

static void init_struct(const struct kafka_struct *type, uint8_t *body) {
    init_tags(type, body);
    for (unsigned i = 0; i < type->field_count; i++) {
        init_field(&type->fields[i], body);
    }
}

void kafka_init(const struct kafka_struct *type, void *structs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        memset((uint8_t *)structs + i * type->size, 0, type->size);
        init_struct(type, (uint8_t *)structs + i * type->size);
    }
}

void *kafka_new(struct arena *arena, const struct kafka_struct *type, size_t count) {
    void *structs;

    if (count > SIZE_MAX / 2 / type->size) {
        return NULL;
    }
    structs = arena_alloc(arena, MAX(count, (size_t)1) * type->size);
    for (size_t i = 0; structs && i < count; i++) {
        init_struct(type, (uint8_t *)structs + i * type->size);
    }
    return structs;
}

/* ---- decoding ---- */

struct reader {
    const uint8_t *at;
    size_t left;
    int16_t version;
    bool flexible;
    struct arena *arena;
};

static int malformed(void) {
    return err_origin(BROKER_E_MALFORMED);
}

static int take(struct reader *in, size_t size, const uint8_t **ret_at) {
    if (size > in->left) {
        return malformed();
    }
    *ret_at = in->at;
    in->at += size;
    in->left -= size;
    return 0;
}

static int take_varint(struct reader *in, uint32_t *ret_value) {
    size_t n = varint_get_u32(in->at, in->left, ret_value);

    if (n == 0) {
        return malformed();
    }
    in->at += n;
    in->left -= n;
    return 0;
}

/* A length or count, -1 for null: a varint of value + 1, or @bytes big-endian bytes. */
static int take_length(struct reader *in, unsigned bytes, int64_t *ret_length) {
    const uint8_t *at;
    uint32_t value;
    int r;

    if (in->flexible) {
        r = take_varint(in, &value);
        *ret_length = r ? 0 : (int64_t)value - 1;
        return r;
    }
    r = take(in, bytes, &at);
    if (r) {
        return r;
    }
    *ret_length = bytes == 2 ? (int16_t)get_be16(at) : (int32_t)get_be32(at);
    return *ret_length < -1 ? malformed() : 0;
}

static int take_span(struct reader *in, const struct kafka_field *field, bool nullable,
                     struct span *ret_span) {
    const uint8_t *at;
    int64_t size;
    int r = take_length(in, field->type == KAFKA_STRING ? 2 : 4, &size);

    if (r) {
        return r;
    }
    if (size < 0) {
        *ret_span = SPAN_NULL;
        return nullable ? 0 : malformed();
    }
    r = take(in, (size_t)size, &at);
    if (r == 0) {
        *ret_span = span_of(at, (size_t)size);
    }
    return r;
}

static int decode_struct(const struct kafka_struct *type, struct reader *in, uint8_t *body);

/* The least bytes that one value of @field, and one struct of @type, have on the wire. */
static size_t least_struct(const struct kafka_struct *type, const struct reader *in);

static size_t least_value(const struct kafka_field *field, const struct reader *in) {
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

static size_t least_struct(const struct kafka_struct *type, const struct reader *in) {
    size_t bytes = in->flexible ? 1 : 0;

    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];

        if (kafka_versions_has(field->versions, in->version) && !is_tagged(field, in->version)) {
            bytes += field->array ? (in->flexible ? 1 : 4) : least_value(field, in);
        }
    }
    return MAX(bytes, (size_t)1);
}

static int decode_optional(const struct kafka_field *field, struct reader *in, void *out) {
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

static int decode_value(const struct kafka_field *field, struct reader *in, void *out) {
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

static int decode_array(const struct kafka_field *field, struct reader *in, uint8_t *body) {
    size_t stride = element_bytes(field);
    uint8_t *elements;
    int64_t count;
    int r = take_length(in, 4, &count);

    if (r) {
        return r;
    }
    if (count < 0) {
        *count_of(field, body) = -1;
        return kafka_versions_has(field->nullable, in->version) ? 0 : malformed();
    }
    /* The peer chooses the count: it must fit the bytes that are there before memory is taken. */
    if ((uint64_t)count > in->left / least_value(field, in)) {
        return malformed();
    }
    if (count == 0) {
        *count_of(field, body) = 0;
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
    *count_of(field, body) = (int32_t)count;
    return 0;
}

static int decode_field(const struct kafka_field *field, struct reader *in, uint8_t *body) {
    return field->array ? decode_array(field, in, body)
                        : decode_value(field, in, body + field->offset);
}

static const struct kafka_field *find_tag(const struct kafka_struct *type, int16_t version,
                                          uint32_t tag) {
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];

        if (is_tagged(field, version) && (uint32_t)field->tag == tag) {
            return field;
        }
    }
    return NULL;
}

static int take_tag(struct reader *in, uint32_t *ret_tag, struct span *ret_value) {
    const uint8_t *at;
    uint32_t size;
    int r = take_varint(in, ret_tag);

    r = r ? r : take_varint(in, &size);
    r = r ? r : take(in, size, &at);
    if (r == 0) {
        *ret_value = span_of(at, size);
    }
    return r;
}

static int decode_tags(const struct kafka_struct *type, struct reader *in, uint8_t *body) {
    const uint8_t *section = in->at;
    bool unknown = false;
    uint32_t count;
    int r = take_varint(in, &count);

    for (uint32_t i = 0; r == 0 && i < count; i++) {
        const struct kafka_field *field;
        struct reader inner = *in;
        struct span value;
        uint32_t tag;

        r = take_tag(in, &tag, &value);
        if (r) {
            return r;
        }
        field = find_tag(type, in->version, tag);
        if (field) {
            inner.at = value.data;
            inner.left = value.size;
            r = decode_field(field, &inner, body);
        } else { /* of a newer schema */
            unknown = true;
        }
    }
    if (r == 0 && unknown) {
        *unknown_tags_of(type, body) = span_of(section, (size_t)(in->at - section));
    }
    return r;
}

static int decode_struct(const struct kafka_struct *type, struct reader *in, uint8_t *body) {
    init_tags(type, body);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];
        int r;

        init_field(field, body);
        if (!kafka_versions_has(field->versions, in->version) || is_tagged(field, in->version)) {
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
    struct reader reader = {in.data, in.size, version, flexible, arena};
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

/* ---- encoding ---- */

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
    count = *count_of(field, body);
    if (count < 0 && !kafka_versions_has(field->nullable, to->version)) {
        count = 0;
    }
    r = put_length(to, 4, count);
    stride = element_bytes(field);
    for (int32_t i = 0; r == 0 && i < count; i++) {
        r = encode_value(field, to, elements + (size_t)i * stride);
    }
    return r;
}

static bool is_default_struct(const struct kafka_struct *type, const uint8_t *body);

static bool is_default(const struct kafka_field *field, const uint8_t *body) {
    static const struct uuid zero;
    const void *at = body + field->offset;
    const struct kafka_records *records = at;
    const struct span *span = at;

    if (field->array) {
        int32_t count = *count_of(field, body);

        return field->number ? count < 0 : count == 0;
    }
    switch (field->type) {
    case KAFKA_BOOL:
        return *(const bool *)at == (field->number != 0);
    case KAFKA_INT8:
        return *(const int8_t *)at == field->number;
    case KAFKA_INT16:
        return *(const int16_t *)at == field->number;
    case KAFKA_UINT16:
        return *(const uint16_t *)at == field->number;
    case KAFKA_INT32:
        return *(const int32_t *)at == field->number;
    case KAFKA_UINT32:
        return *(const uint32_t *)at == field->number;
    case KAFKA_INT64:
        return *(const int64_t *)at == field->number;
    case KAFKA_FLOAT64:
        return *(const uint64_t *)at == 0;
    case KAFKA_UUID:
        return memcmp(at, &zero, sizeof zero) == 0;
    case KAFKA_STRING:
    case KAFKA_BYTES:
        return field->number ? !span->data : span_equal(*span, span_text(field->text));
    case KAFKA_RECORDS:
        return !records->foreign && records->span.size == 0;
    case KAFKA_OPTIONAL:
        return *(const void *const *)at == NULL;
    default:
        return is_default_struct(field->of, at);
    }
}

static bool is_default_struct(const struct kafka_struct *type, const uint8_t *body) {
    const struct span *unknown = unknown_tags_of(type, body);

    for (unsigned i = 0; i < type->field_count; i++) {
        if (!is_default(&type->fields[i], body)) {
            return false;
        }
    }
    return !unknown || unknown->size == 0;
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

        if (is_tagged(field, version) && field->tag > after && (!next || field->tag < next->tag) &&
            !is_default(field, body)) {
            next = field;
        }
    }
    return next;
}

/* The next tag of a section that decode_tags() has walked before and that @type does not know. */
static bool next_unknown(const struct kafka_struct *type, struct reader *section, uint32_t *ret_tag,
                         struct span *ret_value) {
    while (section->left) {
        if (take_tag(section, ret_tag, ret_value)) {
            return false;
        }
        if (!find_tag(type, section->version, *ret_tag)) {
            return true;
        }
    }
    return false;
}

static struct reader unknown_section(const struct kafka_struct *type, int16_t version,
                                     const uint8_t *body) {
    struct span section = *unknown_tags_of(type, body);
    struct reader reader = {section.data, section.size, version, true, NULL};
    uint32_t count;

    if (section.size) {
        take_varint(&reader, &count);
    }
    return reader;
}

static unsigned count_tags(const struct kafka_struct *type, int16_t version, const uint8_t *body) {
    struct reader unknown = unknown_section(type, version, body);
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
    struct reader unknown = unknown_section(type, to->version, body);
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
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];
        int r;

        if (!kafka_versions_has(field->versions, to->version) || is_tagged(field, to->version)) {
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
