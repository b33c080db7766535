/*
 * Writing JSON without a tree: compact, UTF-8 as it is, escapes as Python's encoder writes them.
 *
 * The writer has no state but the text. A comma belongs before a value exactly when the text ends
 * in a value, and the last byte tells: no value ends in one of { [ : , or white space, and every
 * value ends in one of the bytes of ends_value().
 */
#include <eventbox/base/json.h>
#include <eventbox/base/utf8.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool ends_value(char c) {
    return c == '"' || c == '}' || c == ']' || (c >= '0' && c <= '9') || c == 'e' || c == 'l';
}

static void escape(struct text *out, uint8_t c) {
    static const char letters[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char letter = c < 0x20 ? letters[c] : (char)c;

    if (letter) {
        text_append(out, (char[]){'\\', letter}, 2);
    } else {
        text_printf(out, "\\u%04x", c);
    }
}

static void append_escaped(struct text *out, const uint8_t *in, size_t size) {
    size_t start = 0;

    for (size_t i = 0; i < size; i++) {
        if (likely(in[i] >= 0x20 && in[i] != '"' && in[i] != '\\')) {
            continue;
        }
        text_append(out, in + start, i - start);
        escape(out, in[i]);
        start = i + 1;
    }
    text_append(out, in + start, size - start);
}

static void append_string(struct text *out, struct span value) {
    text_append_char(out, '"');
    if (likely(utf8_valid(value.data, value.size))) {
        append_escaped(out, value.data, value.size);
    } else {
        char *clean = value.size < SIZE_MAX / 3 ? malloc(3 * value.size) : NULL;
        if (clean) {
            size_t size = utf8_clean(value.data, value.size, clean);
            append_escaped(out, (const uint8_t *)clean, size);
            free(clean);
        } else {
            out->failed = true;
        }
    }
    text_append_char(out, '"');
}

/* What stands before a value: a comma and a name, or neither. */
static void begin(struct text *out, const char *name) {
    if (out->size > 0 && ends_value(out->data[out->size - 1])) {
        text_append_char(out, ',');
    }
    if (name) {
        append_string(out, span_text(name));
        text_append_char(out, ':');
    }
}

void json_write_object(struct text *out, const char *name) {
    begin(out, name);
    text_append_char(out, '{');
}

void json_write_object_end(struct text *out) {
    text_append_char(out, '}');
}

void json_write_array(struct text *out, const char *name) {
    begin(out, name);
    text_append_char(out, '[');
}

void json_write_array_end(struct text *out) {
    text_append_char(out, ']');
}

void json_write_string(struct text *out, const char *name, struct span value) {
    begin(out, name);
    append_string(out, value);
}

void json_write_int(struct text *out, const char *name, int64_t value) {
    begin(out, name);
    text_append_int(out, value);
}

void json_write_double(struct text *out, const char *name, double value) {
    int precision = fabs(value) < DBL_MIN ? 1 : 15; /* a subnormal has fewer digits */
    char digits[40];

    begin(out, name);
    if (!isfinite(value)) {
        text_append_str(out, "null");
        return;
    }
    if (value == floor(value) && fabs(value) < 1e16) {
        text_printf(out, "%.1f", value);
        return;
    }
    for (; precision <= 17; precision++) { /* the shortest that reads back equal */
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    text_append_str(out, digits);
}

void json_write_bool(struct text *out, const char *name, bool value) {
    begin(out, name);
    text_append_str(out, value ? "true" : "false");
}

void json_write_null(struct text *out, const char *name) {
    begin(out, name);
    text_append_str(out, "null");
}

void json_write_raw(struct text *out, const char *name, struct span json) {
    const char *in = json.data;
    size_t size = json.size;

    while (size > 0 && strchr(" \t\r\n", in[size - 1]) && in[size - 1]) {
        size--; /* so that the last byte tells the next comma */
    }
    begin(out, name);
    text_append(out, in, size);
}
