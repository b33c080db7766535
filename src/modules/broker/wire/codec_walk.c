/* The tables of messages, and what every struct begins with: the defaults of its fields. */
#include "codec_private.h"

extern const struct kafka_api kafka_apis[];
extern const size_t kafka_api_count;

enum { KEYS_MAX = 128 };

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
size_t codec_element_bytes(const struct kafka_field *field) {
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

/* ---- defaults ---- */

static void init_struct(const struct kafka_struct *type, uint8_t *body);

void codec_init_field(const struct kafka_field *field, uint8_t *body) {
    void *at = body + field->offset;

    if (field->array) {
        memset(at, 0, sizeof(void *));
        *codec_count(field, body) = field->number ? -1 : 0;
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
        memset(at, 0, codec_element_bytes(field));
        break;
    }
}

void codec_init_tags(const struct kafka_struct *type, uint8_t *body) {
    struct span *unknown = codec_unknown_tags(type, body);

    if (unknown) {
        *unknown = SPAN_NULL;
    }
}

static void init_struct(const struct kafka_struct *type, uint8_t *body) {
    codec_init_tags(type, body);
    for (unsigned i = 0; i < type->field_count; i++) {
        codec_init_field(&type->fields[i], body);
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
    if (structs && count > 0) {
        init_struct(type, structs);
        for (size_t done = 1; done < count;) { /* the rest are copies, twice as many each time */
            size_t more = MIN(done, count - done);

            memcpy((uint8_t *)structs + done * type->size, structs, more * type->size);
            done += more;
        }
    }
    return structs;
}
static bool is_default_struct(const struct kafka_struct *type, const uint8_t *body);

bool codec_is_default(const struct kafka_field *field, const uint8_t *body) {
    static const struct uuid zero;
    const void *at = body + field->offset;
    const struct kafka_records *records = at;
    const struct span *span = at;

    if (field->array) {
        int32_t count = *codec_count(field, body);

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
    const struct span *unknown = codec_unknown_tags(type, body);

    for (unsigned i = 0; i < type->field_count; i++) {
        if (!codec_is_default(&type->fields[i], body)) {
            return false;
        }
    }
    return !unknown || unknown->size == 0;
}
