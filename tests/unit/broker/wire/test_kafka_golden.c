/* Replays tests/golden/kafka/messages.hex; the file says what an entry looks like. */
#include "kafka_messages_all.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

extern const struct kafka_api kafka_apis[];
extern const size_t kafka_api_count;
extern const struct kafka_data kafka_datas[];
extern const size_t kafka_data_count;

static const char *golden_path;
static struct arena arena;

/* ---- what a body means, as text ---- */

static void dump_struct(struct text *out, const struct kafka_struct *type, int16_t version,
                        const uint8_t *body);

static void dump_hex(struct text *out, struct span bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        text_printf(out, "%02x", ((const uint8_t *)bytes.data)[i]);
    }
}

static void dump_value(struct text *out, const struct kafka_field *field, int16_t version,
                       const void *at) {
    const struct span *span = at;
    char uuid[UUID_TEXT_SIZE];

    switch (field->type) {
    case KAFKA_BOOL:
        text_append_str(out, *(const bool *)at ? "true" : "false");
        break;
    case KAFKA_INT8:
        text_append_int(out, *(const int8_t *)at);
        break;
    case KAFKA_INT16:
        text_append_int(out, *(const int16_t *)at);
        break;
    case KAFKA_UINT16:
        text_append_int(out, *(const uint16_t *)at);
        break;
    case KAFKA_INT32:
        text_append_int(out, *(const int32_t *)at);
        break;
    case KAFKA_UINT32:
        text_append_int(out, *(const uint32_t *)at);
        break;
    case KAFKA_INT64:
        text_append_int(out, *(const int64_t *)at);
        break;
    case KAFKA_FLOAT64:
        text_printf(out, "%g", *(const double *)at);
        break;
    case KAFKA_UUID:
        uuid_format(at, uuid);
        text_append_str(out, uuid);
        break;
    case KAFKA_STRING:
        text_printf(out, span->data ? "\"%.*s\"" : "null", (int)span->size,
                    (const char *)span->data);
        break;
    case KAFKA_BYTES:
    case KAFKA_RECORDS:
        dump_hex(out, *span);
        break;
    case KAFKA_STRUCT:
        dump_struct(out, field->of, version, at);
        break;
    case KAFKA_OPTIONAL:
        if (*(const void *const *)at) {
            dump_struct(out, field->of, version, *(const uint8_t *const *)at);
        } else {
            text_append_str(out, "null");
        }
        break;
    default:
        fail_msg("%s: a type that is not known", field->name);
    }
}

static void dump_array(struct text *out, const struct kafka_field *field, int16_t version,
                       const uint8_t *body) {
    static const size_t strides[] = {1, 1, 2, 2, 4, 4, 8, 8, 16, sizeof(struct span)};
    const uint8_t *elements = *(uint8_t *const *)(const void *)(body + field->offset);
    int32_t count = *(const int32_t *)(const void *)(body + field->count_offset);
    size_t stride = field->type == KAFKA_STRUCT ? field->of->size : strides[field->type];

    text_append_str(out, count < 0 ? "null" : "[");
    for (int32_t i = 0; i < count; i++) {
        text_append_str(out, i ? "," : "");
        dump_value(out, field, version, elements + (size_t)i * stride);
    }
    text_append_str(out, count < 0 ? "" : "]");
}

static void dump_struct(struct text *out, const struct kafka_struct *type, int16_t version,
                        const uint8_t *body) {
    bool first = true;

    text_append_char(out, '{');
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];

        if (!kafka_versions_has(field->versions, version)) {
            continue;
        }
        text_printf(out, "%s%s:", first ? "" : ",", field->name);
        first = false;
        if (field->array) {
            dump_array(out, field, version, body);
        } else {
            dump_value(out, field, version, body + field->offset);
        }
    }
    text_append_char(out, '}');
}

/* ---- the entries ---- */

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
    fail_msg("no message %s", name);
    return NULL;
}

static void check_entry(const char *name, int16_t version, struct span bytes, const char *meaning) {
    int16_t flexible_first = 0;
    const struct kafka_struct *type = find_message(name, &flexible_first);
    bool flexible = version >= flexible_first;
    void *body = arena_alloc(&arena, type->size);
    struct kafka_encoded out;
    struct text text;
    size_t size = 0;

    if (kafka_decode(type, version, flexible, bytes, &arena, body, &size) != 0 ||
        size != bytes.size) {
        fail_msg("%s %d: not decoded to its end", name, version);
    }
    text_init(&text);
    dump_struct(&text, type, version, body);
    if (strcmp(text.data, meaning) != 0) {
        fail_msg("%s %d means\n%s", name, version, text.data);
    }
    text_deinit(&text);
    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(type, version, flexible, body, &out), 0);
    if (!span_equal(text_span(&out.text), bytes)) {
        text_init(&text);
        dump_hex(&text, text_span(&out.text));
        fail_msg("%s %d is encoded as\n%s", name, version, text.data);
    }
    kafka_encoded_deinit(&out);
    arena_deinit(&arena);
}

/* Appends the hex digits of a line, up to its comment. */
static void read_hex(struct text *bytes, const char *line) {
    while (*line && *line != '#') {
        if (isxdigit((unsigned char)line[0]) && isxdigit((unsigned char)line[1])) {
            char digits[3] = {line[0], line[1], 0};

            text_append_char(bytes, (char)strtol(digits, NULL, 16));
            line += 2;
        } else {
            line++;
        }
    }
}

static void test_kafka_messages__match_the_golden_bytes(void **state) {
    FILE *file = fopen(golden_path, "r");
    unsigned count = 0;
    struct text bytes;
    char line[2048];
    char name[64];
    int version = 0;

    assert_non_null(file);
    text_init(&bytes);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "message %63s %d", name, &version) == 2) {
            text_clear(&bytes);
        } else if (strncmp(line, "= ", 2) == 0) {
            check_entry(name, (int16_t)version, text_span(&bytes), line + 2);
            count++;
        } else {
            read_hex(&bytes, line);
        }
    }
    text_deinit(&bytes);
    fclose(file);
    assert_true(count >= 137);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kafka_messages__match_the_golden_bytes),
    };

    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    golden_path = argv[1];
    arena_init(&arena, MIB(1));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
