/*
 * The server's walker as a process, for tests in other languages. One command a line, one line
 * back, "error ..." when it is refused:
 *
 *   encode NAME VERSION JSON    the body's bytes as hex
 *   decode NAME VERSION HEX     the body as JSON
 *   recode NAME VERSION HEX     decoded and encoded again, as hex: what is unknown must survive
 *
 * In the JSON a field has Kafka's name; bytes, records and the eight bytes of a float64 are hex,
 * uuids text, and what is absent is at its default.
 */
#include "kafka_messages_all.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/json.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct kafka_api kafka_apis[];
extern const size_t kafka_api_count;
extern const struct kafka_data kafka_datas[];
extern const size_t kafka_data_count;

static struct arena arena;

_Noreturn static void refuse_to_go_on(const char *what) {
    fprintf(stderr, "kafka_walk: %s\n", what);
    exit(1);
}

/* ---- hex ---- */

static int nibble(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct span from_hex(struct span hex) {
    const char *digits = hex.data;
    uint8_t *bytes = arena_alloc(&arena, hex.size / 2 + 1);

    if (!bytes || hex.size % 2) {
        refuse_to_go_on("hex");
    }
    for (size_t i = 0; i < hex.size / 2; i++) {
        int high = nibble(digits[2 * i]);
        int low = nibble(digits[2 * i + 1]);

        if (high < 0 || low < 0) {
            refuse_to_go_on("hex");
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return span_of(bytes, hex.size / 2);
}

static void to_hex(struct text *out, struct span bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        text_printf(out, "%02x", ((const uint8_t *)bytes.data)[i]);
    }
}

/* ---- JSON to struct ---- */

static void read_struct(const struct kafka_struct *type, const struct json *json, uint8_t *body);

static size_t element_bytes(const struct kafka_field *field) {
    static const size_t bytes[] = {1,
                                   1,
                                   2,
                                   2,
                                   4,
                                   4,
                                   8,
                                   8,
                                   sizeof(struct uuid),
                                   sizeof(struct span),
                                   sizeof(struct span),
                                   sizeof(struct kafka_records),
                                   0,
                                   sizeof(void *)};

    return field->type == KAFKA_STRUCT ? field->of->size : bytes[field->type];
}

static void read_text(const struct kafka_field *field, const struct json *json, void *at) {
    struct span text = json_string(json);
    char uuid[UUID_TEXT_SIZE] = "";

    switch (field->type) {
    case KAFKA_UUID:
        memcpy(uuid, text.data, MIN(text.size, sizeof uuid - 1));
        if (!uuid_parse(uuid, at)) {
            refuse_to_go_on("uuid");
        }
        break;
    case KAFKA_STRING:
        *(struct span *)at = text;
        break;
    case KAFKA_FLOAT64:
        *(uint64_t *)at = get_be64(from_hex(text).data);
        break;
    case KAFKA_RECORDS:
        ((struct kafka_records *)at)->span = from_hex(text);
        break;
    default:
        *(struct span *)at = from_hex(text);
        break;
    }
}

static void read_int(const struct kafka_field *field, int64_t value, void *at) {
    switch (field->type) {
    case KAFKA_INT8:
        *(int8_t *)at = (int8_t)value;
        break;
    case KAFKA_INT16:
    case KAFKA_UINT16:
        *(uint16_t *)at = (uint16_t)value;
        break;
    case KAFKA_INT32:
    case KAFKA_UINT32:
        *(uint32_t *)at = (uint32_t)value;
        break;
    default:
        *(int64_t *)at = value;
        break;
    }
}

static void read_value(const struct kafka_field *field, const struct json *json, void *at) {
    switch (json_type_of(json)) {
    case JSON_NULL:
        memset(at, 0, element_bytes(field));
        break;
    case JSON_BOOL:
        *(bool *)at = json_bool(json);
        break;
    case JSON_INT:
        read_int(field, json_int(json), at);
        break;
    case JSON_STRING:
        read_text(field, json, at);
        break;
    case JSON_OBJECT:
        if (field->type == KAFKA_OPTIONAL) {
            *(void **)at = kafka_new(&arena, field->of, 1);
            at = *(void **)at;
        }
        read_struct(field->of, json, at);
        break;
    default:
        refuse_to_go_on(field->name);
    }
}

static void read_array(const struct kafka_field *field, const struct json *json, uint8_t *body) {
    int32_t *count = (int32_t *)(void *)(body + field->count_offset);
    size_t stride = element_bytes(field);
    uint8_t *elements;

    *count = json_type_of(json) == JSON_NULL ? -1 : 0;
    for (const struct json *e = json_first(json); e; e = json_next(e)) {
        (*count)++;
    }
    elements = arena_alloc(&arena, (size_t)MAX(*count, 1) * stride);
    if (!elements) {
        refuse_to_go_on("memory");
    }
    *(uint8_t **)(void *)(body + field->offset) = elements;
    for (const struct json *e = json_first(json); e; e = json_next(e)) {
        read_value(field, e, elements);
        elements += stride;
    }
}

static void read_struct(const struct kafka_struct *type, const struct json *json, uint8_t *body) {
    kafka_init(type, body, 1);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];
        const struct json *value = json_member(json, field->name);

        if (value && field->array) {
            read_array(field, value, body);
        } else if (value) {
            read_value(field, value, body + field->offset);
        }
    }
}

/* ---- struct to JSON ---- */

static void write_struct(struct text *out, const char *name, const struct kafka_struct *type,
                         int16_t version, const uint8_t *body);

static void write_hex(struct text *out, const char *name, struct span bytes) {
    struct text hex;

    if (!bytes.data) {
        json_write_null(out, name);
        return;
    }
    text_init(&hex);
    to_hex(&hex, bytes);
    json_write_string(out, name, text_span(&hex));
    text_deinit(&hex);
}

static void write_value(struct text *out, const char *name, const struct kafka_field *field,
                        int16_t version, const void *at) {
    const struct span *span = at; /* a records field begins with its span */
    char uuid[UUID_TEXT_SIZE];
    uint8_t bits[8];

    switch (field->type) {
    case KAFKA_BOOL:
        json_write_bool(out, name, *(const bool *)at);
        break;
    case KAFKA_INT8:
        json_write_int(out, name, *(const int8_t *)at);
        break;
    case KAFKA_INT16:
        json_write_int(out, name, *(const int16_t *)at);
        break;
    case KAFKA_UINT16:
        json_write_int(out, name, *(const uint16_t *)at);
        break;
    case KAFKA_INT32:
        json_write_int(out, name, *(const int32_t *)at);
        break;
    case KAFKA_UINT32:
        json_write_int(out, name, *(const uint32_t *)at);
        break;
    case KAFKA_INT64:
        json_write_int(out, name, *(const int64_t *)at);
        break;
    case KAFKA_FLOAT64:
        put_be64(bits, *(const uint64_t *)at);
        write_hex(out, name, span_of(bits, sizeof bits));
        break;
    case KAFKA_UUID:
        uuid_format(at, uuid);
        json_write_string(out, name, span_text(uuid));
        break;
    case KAFKA_STRING:
        if (span->data) {
            json_write_string(out, name, *span);
        } else {
            json_write_null(out, name);
        }
        break;
    case KAFKA_OPTIONAL:
        if (*(const void *const *)at) {
            write_struct(out, name, field->of, version, *(const uint8_t *const *)at);
        } else {
            json_write_null(out, name);
        }
        break;
    case KAFKA_STRUCT:
        write_struct(out, name, field->of, version, at);
        break;
    default:
        write_hex(out, name, *span);
        break;
    }
}

static void write_array(struct text *out, const struct kafka_field *field, int16_t version,
                        const uint8_t *body) {
    const uint8_t *elements = *(uint8_t *const *)(const void *)(body + field->offset);
    int32_t count = *(const int32_t *)(const void *)(body + field->count_offset);

    if (count < 0) {
        json_write_null(out, field->name);
        return;
    }
    json_write_array(out, field->name);
    for (int32_t i = 0; i < count; i++) {
        write_value(out, NULL, field, version, elements + (size_t)i * element_bytes(field));
    }
    json_write_array_end(out);
}

static void write_struct(struct text *out, const char *name, const struct kafka_struct *type,
                         int16_t version, const uint8_t *body) {
    json_write_object(out, name);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];

        if (!kafka_versions_has(field->versions, version)) {
            continue;
        }
        if (field->array) {
            write_array(out, field, version, body);
        } else {
            write_value(out, field->name, field, version, body + field->offset);
        }
    }
    json_write_object_end(out);
}

/* ---- commands ---- */

static const struct kafka_struct *find_message(const char *name, int16_t *ret_flexible_first) {
    for (size_t i = 0; i < kafka_data_count; i++) {
        if (strcmp(kafka_datas[i].name, name) == 0) {
            *ret_flexible_first = kafka_datas[i].flexible_first;
            return kafka_datas[i].type;
        }
    }
    for (size_t i = 0; i < kafka_api_count; i++) {
        size_t length = strlen(kafka_apis[i].name);

        if (strncmp(kafka_apis[i].name, name, length) == 0) {
            *ret_flexible_first = kafka_apis[i].flexible_first;
            if (strcmp(name + length, "Request") == 0) {
                return kafka_apis[i].request;
            }
            if (strcmp(name + length, "Response") == 0) {
                return kafka_apis[i].response;
            }
        }
    }
    return NULL;
}

static void write_encoded(struct text *out, const struct kafka_struct *type, int16_t version,
                          bool flexible, const void *body) {
    struct kafka_encoded encoded;
    int r;

    kafka_encoded_init(&encoded);
    r = kafka_encode(type, version, flexible, body, &encoded);
    if (r) {
        text_printf(out, "error %d", r);
    } else {
        to_hex(out, text_span(&encoded.text));
    }
    kafka_encoded_deinit(&encoded);
}

static void encode(struct text *out, const struct kafka_struct *type, int16_t version,
                   bool flexible, struct span text) {
    static const struct json_limits limits = {MIB(8), 64, 1000000};
    struct json *json = NULL;
    uint8_t *body = kafka_new(&arena, type, 1);

    if (!body || json_parse(text, &limits, &json, NULL)) {
        text_append_str(out, "error JSON");
        return;
    }
    read_struct(type, json, body);
    write_encoded(out, type, version, flexible, body);
    json_free(json);
}

static void decode(struct text *out, const struct kafka_struct *type, int16_t version,
                   bool flexible, struct span in, bool again) {
    uint8_t *body = kafka_new(&arena, type, 1);
    size_t size = 0;
    int r = body ? kafka_decode(type, version, flexible, in, &arena, body, &size) : -1;

    if (r || size != in.size) {
        text_printf(out, r ? "error %d" : "error: bytes are left", r);
    } else if (again) {
        write_encoded(out, type, version, flexible, body);
    } else {
        write_struct(out, NULL, type, version, body);
    }
}

static void run(struct text *out, char *line) {
    char *rest = NULL;
    char *verb = strtok_r(line, " ", &rest);
    char *name = strtok_r(NULL, " ", &rest);
    char *version_text = strtok_r(NULL, " ", &rest);
    int16_t flexible_first = 0;
    const struct kafka_struct *type = name ? find_message(name, &flexible_first) : NULL;
    int16_t version;
    bool flexible;

    if (!type || !version_text) {
        text_append_str(out, "error command");
        return;
    }
    version = (int16_t)strtol(version_text, NULL, 10);
    flexible = version >= flexible_first;
    if (strcmp(verb, "encode") == 0) {
        encode(out, type, version, flexible, span_text(rest));
    } else {
        decode(out, type, version, flexible, from_hex(span_text(rest)),
               strcmp(verb, "recode") == 0);
    }
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    while ((size = getline(&line, &capacity, stdin)) > 0) {
        struct text out;

        line[size - 1] = '\0';
        arena_init(&arena, MIB(64));
        text_init(&out);
        run(&out, line);
        printf("%.*s\n", (int)out.size, out.size ? out.data : "");
        fflush(stdout);
        text_deinit(&out);
        arena_deinit(&arena);
    }
    free(line);
    return 0;
}
