/*
 * A value meets its row. Types, messages and ctx are pydantic 2's, word for word, because clients
 * match on them. Where we differ on purpose:
 *
 *   - true is no integer (pydantic takes it as 1);
 *   - input is null for secrets, for "missing" and for objects and arrays, so that a body with a
 *     password is never sent back;
 *   - integers are 64 bits wide: beyond that the row's own bound is named, or int_parsing_size.
 */
#include "rows.h"

#include <eventbox/base/utf8.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { CTX_SIZE = 96 };

/* One value on its way into one field. Exactly one of json and text is set. */
struct reading {
    const struct body_row *row;
    const char *in;
    const struct json *json;
    struct span text;
    void *field;
    struct body_errors *errors;
};

static void fail(struct reading *r, const char *type, const char *message, const char *ctx_json) {
    struct text input;
    text_init(&input);
    if (r->row->flags & BODY_SECRET) {
        /* stays null */
    } else if (!r->json) {
        json_write_string(&input, NULL, r->text);
    } else if (json_type_of(r->json) < JSON_ARRAY) {
        json_convert(r->json, &input);
    }
    body_error_add(r->errors, r->in, r->row->name, type, message, ctx_json, text_span(&input));
    text_deinit(&input);
}

static void fail_number(struct reading *r, const char *type, const char *format, const char *key,
                        int64_t number) {
    char message[CTX_SIZE], ctx[CTX_SIZE];
    snprintf(message, sizeof message, format, (long long)number, number == 1 ? "" : "s");
    snprintf(ctx, sizeof ctx, "{\"%s\":%lld}", key, (long long)number);
    fail(r, type, message, ctx);
}

static void run_check(struct reading *r) {
    const char *wrong = r->row->check ? r->row->check(r->row, r->field) : NULL;
    if (wrong) {
        char *message = arena_printf(r->errors->arena, "Value error, %s", wrong);
        fail(r, "value_error", message ? message : "Value error", "{\"error\":{}}");
    }
}

/* Strings. */

static bool length_fits(struct reading *r, struct span value) {
    bool bytes = r->row->flags & BODY_BYTES;
    int64_t length = (int64_t)(bytes ? value.size : utf8_count(value.data, value.size));
    if (length < r->row->min) {
        fail_number(r, "string_too_short", "String should have at least %lld character%s",
                    "min_length", r->row->min);
        return false;
    }
    if (r->row->max && length > r->row->max) {
        fail_number(r, "string_too_long",
                    bytes ? "String should have at most %lld byte%s"
                          : "String should have at most %lld character%s",
                    "max_length", r->row->max);
        return false;
    }
    return true;
}

static bool email_fits(struct reading *r, struct span value) {
    const char *reason = email_check(value);
    if (!reason) {
        return true;
    }
    char *message =
        arena_printf(r->errors->arena, "value is not a valid email address: %s", reason);
    char *ctx = arena_printf(r->errors->arena, "{\"reason\":\"%s\"}", reason);
    fail(r, "value_error", message ? message : reason, ctx);
    return false;
}

static void store_string(struct reading *r, struct span value) {
    struct body_string *field = r->field;
    if (value.size && memchr(value.data, 0, value.size)) {
        fail(r, "value_error", "Value error, null characters are not allowed", "{\"error\":{}}");
        return;
    }
    if ((r->row->type == BODY_EMAIL && !email_fits(r, value)) || !length_fits(r, value)) {
        return;
    }
    char *copy = arena_dup(r->errors->arena, value.data ? value.data : "", value.size);
    if (!copy) {
        r->errors->failed = true;
        return;
    }
    if (r->row->type == BODY_EMAIL) { /* domains have no case; pydantic normalizes so too */
        for (char *at = strchr(copy, '@'); at && *at; at++) {
            *at = *at >= 'A' && *at <= 'Z' ? (char)(*at | 32) : *at;
        }
    }
    *field = (struct body_string){copy, value.size, true, false};
    run_check(r);
}

static void store_enum(struct reading *r, struct span value) {
    struct body_int *field = r->field;
    for (int i = 0; r->row->choices[i]; i++) {
        if (span_equal(value, span_text(r->row->choices[i]))) {
            *field = (struct body_int){i, true, false};
            run_check(r);
            return;
        }
    }
    struct text expected, ctx;
    text_init(&expected);
    text_init(&ctx);
    for (int i = 0; r->row->choices[i]; i++) {
        const char *before = i == 0 ? "" : r->row->choices[i + 1] ? ", " : " or ";
        text_printf(&expected, "%s'%s'", before, r->row->choices[i]);
    }
    json_write_object(&ctx, NULL);
    json_write_string(&ctx, "expected", text_span(&expected));
    json_write_object_end(&ctx);
    char *message = arena_printf(r->errors->arena, "Input should be %s", expected.data);
    fail(r, "enum", message ? message : "Input should be another value", ctx.data);
    text_deinit(&expected);
    text_deinit(&ctx);
}

/* Numbers. */

static bool row_has_max(const struct body_row *row) {
    return (row->min || row->max) && row->max >= row->min;
}

static void fail_ge(struct reading *r) {
    fail_number(r, "greater_than_equal", "Input should be greater than or equal to %lld", "ge",
                r->row->min);
}

static void fail_le(struct reading *r) {
    fail_number(r, "less_than_equal", "Input should be less than or equal to %lld", "le",
                r->row->max);
}

static void store_int(struct reading *r, int64_t value) {
    struct body_int *field = r->field;
    if ((r->row->min || r->row->max) && value < r->row->min) {
        fail_ge(r);
    } else if (row_has_max(r->row) && value > r->row->max) {
        fail_le(r);
    } else {
        *field = (struct body_int){value, true, false};
        run_check(r);
    }
}

/* A number that 64 bits do not hold breaks the row's bound, if it has one. */
static void store_huge(struct reading *r, bool negative) {
    if (negative && (r->row->min || r->row->max)) {
        fail_ge(r);
    } else if (!negative && row_has_max(r->row) && r->row->max < INT64_MAX) {
        fail_le(r);
    } else {
        fail(r, "int_parsing_size",
             "Unable to parse input string as an integer, exceeded maximum size", NULL);
    }
}

static void store_double(struct reading *r, double value) {
    if (value >= -9223372036854775808.0 && value < 9223372036854775808.0) {
        int64_t whole = (int64_t)value;
        if ((double)whole == value) {
            store_int(r, whole);
        } else {
            fail(r, "int_from_float",
                 "Input should be a valid integer, got a number with a fractional part", NULL);
        }
    } else {
        store_huge(r, value < 0);
    }
}

/* Blanks around, a sign, digits, perhaps a fraction of zeros: what pydantic takes from text. */
static void store_int_text(struct reading *r, struct span text) {
    const char *at = text.data;
    const char *end = at + text.size;
    while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r'))) {
        at++;
    }
    while (end > at && (end[-1] == ' ' || (end[-1] >= '\t' && end[-1] <= '\r'))) {
        end--;
    }
    bool negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    const char *digits = at;
    int64_t value = 0;
    bool huge = false;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';
        huge |= __builtin_mul_overflow(value, 10, &value) ||
                (negative ? __builtin_sub_overflow(value, digit, &value)
                          : __builtin_add_overflow(value, digit, &value));
    }
    bool valid = at > digits;
    if (valid && at < end && *at == '.') {
        const char *fraction = ++at;
        while (at < end && *at == '0') {
            at++;
        }
        valid = at > fraction;
    }
    if (!valid || at != end) {
        fail(r, "int_parsing",
             "Input should be a valid integer, unable to parse string as an integer", NULL);
    } else if (huge) {
        store_huge(r, negative);
    } else {
        store_int(r, value);
    }
}

static void store_bool_text(struct reading *r, struct span text) {
    static const struct {
        const char *word;
        int value;
    } words[] = {
        {"true", 1}, {"false", 0}, {"1", 1}, {"0", 0}, {"on", 1}, {"off", 0},
        {"yes", 1},  {"no", 0},    {"t", 1}, {"f", 0}, {"y", 1},  {"n", 0},
    };
    struct body_int *field = r->field;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (text.size == strlen(words[i].word) &&
            strncasecmp(text.data, words[i].word, text.size) == 0) {
            *field = (struct body_int){words[i].value, true, false};
            return;
        }
    }
    fail(r, "bool_parsing", "Input should be a valid boolean, unable to interpret input", NULL);
}

/* JSON. */

static void read_json_int(struct reading *r) {
    switch (json_type_of(r->json)) {
    case JSON_INT:
        store_int(r, json_int(r->json));
        break;
    case JSON_DOUBLE:
        store_double(r, json_double(r->json));
        break;
    case JSON_STRING:
        store_int_text(r, json_string(r->json));
        break;
    default:
        fail(r, "int_type", "Input should be a valid integer", NULL);
    }
}

static void read_json_bool(struct reading *r) {
    struct body_int *field = r->field;
    switch (json_type_of(r->json)) {
    case JSON_BOOL:
        *field = (struct body_int){json_bool(r->json), true, false};
        break;
    case JSON_INT:
        if (json_int(r->json) == 0 || json_int(r->json) == 1) {
            *field = (struct body_int){json_int(r->json), true, false};
        } else {
            fail(r, "bool_parsing", "Input should be a valid boolean, unable to interpret input",
                 NULL);
        }
        break;
    case JSON_STRING:
        store_bool_text(r, json_string(r->json));
        break;
    default:
        fail(r, "bool_type", "Input should be a valid boolean", NULL);
    }
}

static void mark_null(struct reading *r) {
    switch (r->row->type) {
    case BODY_STRING:
    case BODY_EMAIL:
        *(struct body_string *)r->field = (struct body_string){.present = true, .null = true};
        break;
    case BODY_INT:
    case BODY_BOOL:
    case BODY_ENUM:
        *(struct body_int *)r->field = (struct body_int){.present = true, .null = true};
        break;
    case BODY_OBJECT:
        *(struct body_object *)r->field = (struct body_object){.present = true, .null = true};
        break;
    }
}

static void read_json(struct reading *r) {
    enum json_type type = json_type_of(r->json);
    if (type == JSON_NULL && r->row->flags & BODY_NULLABLE) {
        mark_null(r);
        return;
    }
    switch (r->row->type) {
    case BODY_STRING:
    case BODY_EMAIL:
        if (type == JSON_STRING) {
            store_string(r, json_string(r->json));
        } else {
            fail(r, "string_type", "Input should be a valid string", NULL);
        }
        break;
    case BODY_ENUM:
        store_enum(r, type == JSON_STRING ? json_string(r->json) : SPAN_NULL);
        break;
    case BODY_INT:
        read_json_int(r);
        break;
    case BODY_BOOL:
        read_json_bool(r);
        break;
    case BODY_OBJECT:
        if (type == JSON_OBJECT) {
            *(struct body_object *)r->field = (struct body_object){r->json, true, false};
            run_check(r);
        } else {
            fail(r, "dict_type", "Input should be a valid dictionary", NULL);
        }
        break;
    }
}

static void read_text(struct reading *r) {
    switch (r->row->type) {
    case BODY_STRING:
    case BODY_EMAIL:
        store_string(r, r->text);
        break;
    case BODY_ENUM:
        store_enum(r, r->text);
        break;
    case BODY_INT:
        store_int_text(r, r->text);
        break;
    case BODY_BOOL:
        store_bool_text(r, r->text);
        break;
    case BODY_OBJECT:
        fail(r, "dict_type", "Input should be a valid dictionary", NULL);
        break;
    }
}

/* A default is a literal of our own tables: a string without escapes, an integer, a boolean, null.
 */
static void read_absent(struct reading *r) {
    const char *literal = r->row->default_json;
    if (!literal) {
        if (r->row->flags & BODY_REQUIRED) {
            body_error_add(r->errors, r->in, r->row->name, "missing", "Field required", NULL,
                           SPAN_NULL);
        }
        return;
    }
    size_t size = strlen(literal);
    if (strcmp(literal, "null") == 0) {
        mark_null(r);
        return;
    }
    r->text = literal[0] == '"' ? span_of(literal + 1, size - 2) : span_of(literal, size);
    read_text(r);
}

static bool has_row(const struct body_row *rows, struct span name) {
    for (const struct body_row *row = rows; row->name; row++) {
        if (span_equal(name, span_text(row->name))) {
            return true;
        }
    }
    return false;
}

void rows_read_object(const struct body_row *rows, const struct json *object, void *target,
                      struct body_errors *errors, bool forbid_extra) {
    for (const struct body_row *row = rows; row->name; row++) {
        struct reading r = {
            row,   "body", json_member(object, row->name), SPAN_NULL, (char *)target + row->offset,
            errors};
        if (r.json) {
            read_json(&r);
        } else {
            read_absent(&r);
        }
    }
    if (!forbid_extra) {
        return;
    }
    for (const struct json *member = json_first(object); member; member = json_next(member)) {
        struct span name = json_name(member);
        if (!has_row(rows, name)) {
            char *copy = arena_dup(errors->arena, name.data, name.size);
            body_error_add(errors, "body", copy, "extra_forbidden",
                           "Extra inputs are not permitted", NULL, SPAN_NULL);
        }
    }
}

void rows_read_text(const struct body_row *row, const char *in, struct span value, void *target,
                    struct body_errors *errors) {
    struct reading r = {row, in, NULL, value, (char *)target + row->offset, errors};
    if (value.data) {
        read_text(&r);
    } else {
        read_absent(&r);
    }
}

bool rows_have_secret(const struct body_row *rows) {
    for (const struct body_row *row = rows; row->name; row++) {
        if (row->flags & BODY_SECRET) {
            return true;
        }
    }
    return false;
}
