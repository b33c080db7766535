/*
 * A pass over the raw text that accepts exactly RFC 8259, minus what C strings and doubles cannot
 * carry. It keeps one bit per open container instead of recursing, so its cost and its stack do not
 * depend on what a peer sends.
 *
 * A mistake is reported at the place, and in the words, that Python's decoder uses: clients of the
 * original service see them in the 422 answer. Two examples of what follows from it: a number is
 * the longest prefix that is one, so "1." is the number 1 and "Extra data"; an unterminated string
 * is reported where it starts.
 */
#include "json_scan.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <eventbox/base/utf8.h>
#include <stdlib.h>

struct scan {
    const uint8_t *in;
    size_t size;
    size_t at;
    struct json_limits limits;
    unsigned depth;
    unsigned nodes;
    uint8_t is_object[JSON_DEPTH_MAX / 8]; /* a bit for each open container */
    struct json_numbers *numbers;
    const char *message; /* of JSON_E_INVALID */
    size_t position;
};

void json_error_set(struct json_error *error, struct span text, size_t position,
                    const char *message) {
    *error = (struct json_error){
        .position = position,
        .characters = utf8_count(text.data, position),
        .text = message,
    };
}

static int invalid(struct scan *scan, size_t position, const char *message) {
    scan->position = position;
    scan->message = message;
    return err_origin(JSON_E_INVALID);
}

static int peek(const struct scan *scan) {
    return scan->at < scan->size ? scan->in[scan->at] : -1;
}

static void skip_space(struct scan *scan) {
    int c = peek(scan);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        scan->at++;
        c = peek(scan);
    }
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

/* Four hex digits at @at, or -1. */
static int hex4(const struct scan *scan, size_t at) {
    int value = 0;

    if (scan->size - at <= 4) { /* a string ends in a quote, so there is a fifth */
        return -1;
    }
    for (size_t i = at; i < at + 4; i++) {
        int c = scan->in[i];
        int lower = c | 0x20;
        if (is_digit(c)) {
            value = value << 4 | (c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value << 4 | (lower - 'a' + 10);
        } else {
            return -1;
        }
    }
    return value;
}

/* At the u of an escape; behind its digits afterwards. */
static int scan_unicode_escape(struct scan *scan) {
    size_t start = scan->at - 1;
    int unit = hex4(scan, scan->at + 1);

    if (unit < 0) {
        return invalid(scan, scan->at, "Invalid \\uXXXX escape");
    }
    scan->at += 5;
    if (unit == 0) {
        return invalid(scan, start, "Escape \\u0000 is not allowed");
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        return 0;
    }
    if (unit < 0xdc00 && scan->size - scan->at > 2 && scan->in[scan->at] == '\\' &&
        scan->in[scan->at + 1] == 'u') {
        int low = hex4(scan, scan->at + 2);
        if (low < 0) {
            return invalid(scan, scan->at + 1, "Invalid \\uXXXX escape");
        }
        if (low >= 0xdc00 && low <= 0xdfff) {
            scan->at += 6;
            return 0;
        }
    }
    return invalid(scan, start, "Lone surrogate in \\uXXXX escape");
}

/* At the opening quote; behind the closing one afterwards. */
static int scan_string(struct scan *scan) {
    size_t start = scan->at++;

    for (;;) {
        int c = peek(scan);
        if (c < 0) {
            return invalid(scan, start, "Unterminated string starting at");
        }
        if (c < 0x20) {
            return invalid(scan, scan->at, "Invalid control character at");
        }
        scan->at++;
        if (c == '"') {
            return 0;
        }
        if (c != '\\') {
            continue;
        }
        c = peek(scan);
        if (c < 0) {
            return invalid(scan, start, "Unterminated string starting at");
        }
        if (c == 'u') {
            int r = scan_unicode_escape(scan);
            if (r) {
                return r;
            }
        } else if (c == 0 || !strchr("\"\\/bfnrt", c)) {
            return invalid(scan, scan->at - 1, "Invalid \\escape");
        } else {
            scan->at++;
        }
    }
}

static int add_number(struct scan *scan, const struct json_number *number) {
    struct json_numbers *numbers = scan->numbers;

    if (numbers->count == numbers->capacity) {
        size_t capacity = MAX(numbers->capacity * 2, (size_t)16);
        struct json_number *items = realloc(numbers->items, capacity * sizeof *items);
        if (!items) {
            return err_origin(-ENOMEM);
        }
        numbers->items = items;
        numbers->capacity = capacity;
    }
    numbers->items[numbers->count++] = *number;
    return 0;
}

/* Steps over digits, or over nothing. */
static bool skip_digits(struct scan *scan) {
    size_t start = scan->at;
    while (is_digit(peek(scan))) {
        scan->at++;
    }
    return scan->at > start;
}

/* Steps over ".5", "e5", "e+5", or over nothing when digits are missing. */
static bool skip_tail(struct scan *scan, bool exponent) {
    size_t start = scan->at;
    int c = peek(scan);

    if (exponent ? (c != 'e' && c != 'E') : c != '.') {
        return false;
    }
    scan->at++;
    if (exponent && (peek(scan) == '+' || peek(scan) == '-')) {
        scan->at++;
    }
    if (skip_digits(scan)) {
        return true;
    }
    scan->at = start;
    return false;
}

/* Digits as an int64_t, built as a negative number because there is one more of them. */
static bool exact_integer(const uint8_t *digits, size_t count, bool negative, int64_t *ret) {
    int64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digits[i] - '0', &value)) {
            return false;
        }
    }
    if (!negative && __builtin_sub_overflow(INT64_C(0), value, &value)) {
        return false;
    }
    *ret = value;
    return true;
}

static int scan_number(struct scan *scan) {
    struct json_number number = {.position = scan->at};
    bool negative = peek(scan) == '-';
    size_t digits = scan->at + negative;
    size_t digits_end;
    bool fraction;
    bool exponent;

    scan->at = digits;
    if (peek(scan) == '0') {
        scan->at++;
    } else if (!skip_digits(scan)) {
        return invalid(scan, number.position, "Expecting value");
    }
    digits_end = scan->at;
    fraction = skip_tail(scan, false);
    exponent = skip_tail(scan, true);
    if (scan->at - number.position > JSON_NUMBER_MAX_BYTES) {
        return err_origin(JSON_E_LIMIT); /* cJSON would read a part of it */
    }
    number.is_integer =
        !fraction && !exponent &&
        exact_integer(scan->in + digits, digits_end - digits, negative, &number.integer);
    return add_number(scan, &number);
}

static bool skip_word(struct scan *scan, const char *word) {
    size_t length = strlen(word);
    if (scan->size - scan->at < length || memcmp(scan->in + scan->at, word, length) != 0) {
        return false;
    }
    scan->at += length;
    return true;
}

static bool in_object(const struct scan *scan) {
    unsigned top = scan->depth - 1;
    return scan->is_object[top / 8] >> (top % 8) & 1;
}

static int open_container(struct scan *scan, bool object) {
    unsigned top = scan->depth;
    uint8_t bit = (uint8_t)(1U << (top % 8));

    if (top >= scan->limits.depth || top >= JSON_DEPTH_MAX) {
        return err_origin(JSON_E_LIMIT);
    }
    scan->is_object[top / 8] =
        (uint8_t)(object ? scan->is_object[top / 8] | bit : scan->is_object[top / 8] & ~bit);
    scan->depth++;
    scan->at++;
    return 0;
}

/* One value; of a container only the opening bracket. */
static int scan_value(struct scan *scan) {
    int c = peek(scan);

    if (++scan->nodes > scan->limits.nodes) {
        return err_origin(JSON_E_LIMIT);
    }
    if (c == '"') {
        return scan_string(scan);
    }
    if (c == '{' || c == '[') {
        return open_container(scan, c == '{');
    }
    if (c == '-' || is_digit(c)) {
        return scan_number(scan);
    }
    if (skip_word(scan, "true") || skip_word(scan, "false") || skip_word(scan, "null")) {
        return 0;
    }
    return invalid(scan, scan->at, "Expecting value");
}

/* The name of a member and its colon, up to where its value begins. */
static int scan_name(struct scan *scan) {
    int r;

    if (peek(scan) != '"') {
        return invalid(scan, scan->at, "Expecting property name enclosed in double quotes");
    }
    r = scan_string(scan);
    if (r) {
        return r;
    }
    skip_space(scan);
    if (peek(scan) != ':') {
        return invalid(scan, scan->at, "Expecting ':' delimiter");
    }
    scan->at++;
    skip_space(scan);
    return 0;
}

/*
 * From behind a value or an opening bracket to the beginning of the next value, through any number
 * of closing brackets. Depth zero afterwards means that the document's value is complete.
 */
static int scan_between(struct scan *scan, bool opened) {
    while (scan->depth > 0) {
        bool object = in_object(scan);
        skip_space(scan);
        if (peek(scan) == (object ? '}' : ']')) {
            scan->at++;
            scan->depth--;
            opened = false;
            continue;
        }
        if (!opened) {
            if (peek(scan) != ',') {
                return invalid(scan, scan->at, "Expecting ',' delimiter");
            }
            scan->at++;
            skip_space(scan);
        }
        return object ? scan_name(scan) : 0;
    }
    return 0;
}

static int scan_document(struct scan *scan) {
    int r;

    skip_space(scan);
    do {
        unsigned depth = scan->depth;
        r = scan_value(scan);
        if (r) {
            return r;
        }
        r = scan_between(scan, scan->depth > depth);
        if (r) {
            return r;
        }
    } while (scan->depth > 0);
    skip_space(scan);
    if (scan->at < scan->size) {
        return invalid(scan, scan->at, "Extra data");
    }
    return 0;
}

int json_scan(struct span text, const struct json_limits *limits, struct json_numbers *ret_numbers,
              struct json_error *ret_error) {
    struct scan scan = {
        .in = text.data,
        .size = text.size,
        .limits = *limits,
        .numbers = ret_numbers,
    };
    size_t valid;
    int r;

    *ret_numbers = (struct json_numbers){0};
    if (text.size > limits->bytes) {
        return err_origin(JSON_E_LIMIT);
    }
    valid = utf8_prefix(text.data, text.size);
    if (valid < text.size) {
        r = invalid(&scan, valid, "Invalid UTF-8");
    } else {
        r = scan_document(&scan);
    }
    if (r == JSON_E_INVALID) {
        json_error_set(ret_error, text, scan.position, scan.message);
    }
    return r;
}
