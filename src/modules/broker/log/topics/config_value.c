#include "config_value.h"
#include "topic_log.h"

#include <ctype.h>
#include <errno.h>
#include <eventbox/base/error.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { REAL_CHARS_MAX = 400, SHOWN_MAX = 300 };

_printf_(2, 3) int config_value_refuse(struct config_value *value, const char *format, ...) {
    if (value->message_size > 0) {
        va_list args;
        va_start(args, format);
        vsnprintf(value->message, value->message_size, format, args);
        va_end(args);
    }
    return BROKER_E_CONFIG;
}

/* @shown: of a wrong type the value as it was sent, of a wrong range what was made of it. */
static int wrong(struct config_value *value, const struct topic_config_def *def, struct span shown,
                 const char *why) {
    return config_value_refuse(value, "Invalid value %.*s for configuration %s: %s",
                               (int)MIN(shown.size, (size_t)SHOWN_MAX),
                               shown.size ? (const char *)shown.data : "", def->name, why);
}

/* As String.trim(): spaces and every control character. */
static struct span trimmed(struct span value) {
    const unsigned char *text = value.data;
    size_t from = 0;
    size_t to = value.size;
    while (from < to && text[from] <= ' ') {
        from++;
    }
    while (to > from && text[to - 1] <= ' ') {
        to--;
    }
    return from < to ? span_of(text + from, to - from) : SPAN_LITERAL("");
}

/* ---- numbers ---- */

/* Where the digits of other scripts begin, of those that Java keeps in one char. */
static const uint16_t zeros[] = {
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66,
    0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10};

/* The digit at *@position, which moves past it; -1 for anything else. */
static int next_digit(struct span text, size_t *position) {
    const unsigned char *at = (const unsigned char *)text.data + *position;
    size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : 4;
    uint32_t point = at[0] & (0xffu >> (size + 1));
    if (size == 1) {
        *position += 1;
        return isdigit(at[0]) ? at[0] - '0' : -1;
    }
    if (size > 3 || size > text.size - *position) {
        return -1;
    }
    for (size_t i = 1; i < size; i++) {
        point = point << 6 | (at[i] & 0x3f);
    }
    *position += size;
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++) {
        if (point >= zeros[i] && point < zeros[i] + 10U) {
            return (int)(point - zeros[i]);
        }
    }
    return -1;
}

/* As Long.parseLong(): a sign, digits, nothing else. */
static bool read_integer(struct span text, int64_t *ret_number) {
    const char *digits = text.data;
    bool negative = text.size > 0 && digits[0] == '-';
    size_t at = text.size > 0 && (digits[0] == '-' || digits[0] == '+');
    int64_t number = 0; /* below zero, where there is one more of them */
    if (at == text.size) {
        return false;
    }
    while (at < text.size) {
        int digit = next_digit(text, &at);
        if (digit < 0 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, digit, &number)) {
            return false;
        }
    }
    if (!negative && number == INT64_MIN) {
        return false;
    }
    *ret_number = negative ? number : -number;
    return true;
}

static int parse_integer(const struct topic_config_def *def, struct span raw,
                         struct config_value *value) {
    bool narrow = def->type == CONFIG_TYPE_INT;
    if (read_integer(trimmed(raw), &value->number) &&
        (!narrow || (int32_t)value->number == value->number)) {
        return 0;
    }
    return wrong(value, def, raw,
                 narrow ? "Not a number of type INT" : "Not a number of type LONG");
}

/* Whether all of @text, behind its sign, is what Double.parseDouble() takes: digits with a point
 * somewhere, an exponent, a letter d or f; hexadecimal ones must have an exponent. */
static bool is_java_double(const char *text) {
    bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789";
    if (strcmp(text, "NaN") == 0 || strcmp(text, "Infinity") == 0) {
        return true;
    }
    text += hexadecimal ? 2 : 0;
    size_t count = strspn(text, digits);
    text += count;
    if (*text == '.') {
        size_t more = strspn(++text, digits);
        text += more;
        count += more;
    }
    bool exponent = *text && strchr(hexadecimal ? "pP" : "eE", *text);
    if (exponent) {
        text++;
        text += *text == '+' || *text == '-';
        size_t more = strspn(text, "0123456789");
        text += more;
        exponent = more > 0;
        count = exponent ? count : 0;
    }
    text += *text && strchr("dDfF", *text);
    return count > 0 && !*text && (exponent || !hexadecimal);
}

static int parse_double(const struct topic_config_def *def, struct span raw,
                        struct config_value *value) {
    char text[REAL_CHARS_MAX];
    struct span inner = trimmed(raw);
    bool fine = inner.size > 0 && inner.size < sizeof text && !memchr(inner.data, 0, inner.size);
    if (fine) {
        memcpy(text, inner.data, inner.size);
        text[inner.size] = 0;
        fine = is_java_double(text + (text[0] == '+' || text[0] == '-'));
    }
    if (!fine) {
        return wrong(value, def, raw, "Not a number of type DOUBLE");
    }
    value->real = strtod(text, NULL);
    return 0;
}

/* The fewest digits that give @value again. */
static int shortest(double value, char *text, size_t size) {
    int precision = 0;
    do {
        snprintf(text, size, "%.*e", precision, value);
    } while (strtod(text, NULL) != value && ++precision < 17);
    return precision + 1;
}

void java_double_text(double value, char ret_text[JAVA_DOUBLE_SIZE]) {
    char digits[JAVA_DOUBLE_SIZE - 6]; /* room for an exponent */
    double size = fabs(value);
    if (isnan(value) || isinf(value)) {
        snprintf(ret_text, JAVA_DOUBLE_SIZE, "%s",
                 isnan(value) ? "NaN"
                 : value > 0  ? "Infinity"
                              : "-Infinity");
        return;
    }
    int count = shortest(value, digits, sizeof digits);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (size == 0 || (size >= 1e-3 && size < 1e7)) {
        snprintf(ret_text, JAVA_DOUBLE_SIZE, "%.*f", MAX(count - 1 - exponent, 1), value);
    } else {
        snprintf(digits, sizeof digits, "%.*e", MAX(count - 1, 1), value);
        *strchr(digits, 'e') = 0;
        snprintf(ret_text, JAVA_DOUBLE_SIZE, "%.25sE%hd", digits, (short)exponent);
    }
}

/* ---- words and lists ---- */

static int parse_boolean(const struct topic_config_def *def, struct span raw,
                         struct config_value *value) {
    struct span word = trimmed(raw);
    bool yes = word.size == 4 && strncasecmp(word.data, "true", 4) == 0;
    bool no = word.size == 5 && strncasecmp(word.data, "false", 5) == 0;
    value->number = yes;
    return yes || no ? 0 : wrong(value, def, raw, "Expected value to be either true or false");
}

/* The index of @word among those that @def allows; with a message when it is none of them. */
static int parse_word(const struct topic_config_def *def, struct span word,
                      struct config_value *value) {
    char why[200] = "String must be one of: ";
    for (int i = 0; def->words && def->words[i]; i++) {
        if (span_equal(word, span_text(def->words[i]))) {
            value->number = i;
            return 0;
        }
        size_t used = strlen(why);
        snprintf(why + used, sizeof why - used, "%s%s", i ? ", " : "", def->words[i]);
    }
    return def->words ? wrong(value, def, word, why) : 0;
}

/* Nothing, or a pair such as 0:1. */
static bool is_replica(struct span word) {
    const char *text = word.data;
    size_t colons = 0;
    for (size_t i = 0; i < word.size; i++) {
        bool colon = text[i] == ':' && i > 0 && i + 1 < word.size;
        colons += colon;
        if (!colon && !isdigit((unsigned char)text[i])) {
            return false;
        }
    }
    return word.size == 0 || colons == 1;
}

/* A list is split at commas, with the blanks around them; an empty text is an empty list. Call
 * again with *@position until it is false; begin with 0. */
static bool next_word(struct span list, size_t *position, struct span *ret_word) {
    const char *text = list.data;
    size_t at = *position;
    size_t end = at;
    if (list.size == 0 || at > list.size) {
        return false;
    }
    while (end < list.size && text[end] != ',') {
        end++;
    }
    *position = end + 1;
    *ret_word = trimmed(span_of(text + at, end - at));
    return true;
}

static int parse_words(const struct topic_config_def *def, struct span list,
                       struct config_value *value) {
    int64_t bits = 0;
    struct span word;
    for (size_t at = 0; next_word(list, &at, &word);) {
        if (word.size == 0) {
            return config_value_refuse(value, "Configuration '%s' values must not be empty.",
                                       def->name);
        }
        if (parse_word(def, word, value)) {
            return BROKER_E_CONFIG;
        }
        bits |= INT64_C(1) << value->number;
    }
    value->number = bits;
    return 0;
}

/* Pairs of partition and broker, or one "*" and nothing. */
static int parse_replicas(const struct topic_config_def *def, struct span list,
                          struct config_value *value) {
    char shown[SHOWN_MAX] = "";
    size_t words = 0, stars = 0, others = 0, used = 0;
    struct span word;
    for (size_t at = 0; next_word(list, &at, &word); words++) {
        bool star = span_equal(word, SPAN_LITERAL("*"));
        stars += star;
        others += !star && word.size > 0;
        if (!star && !is_replica(word)) {
            stars += 2; /* neither the one nor the other */
        }
        int size = snprintf(shown + used, sizeof shown - used, "%s%.*s", words ? ", " : "",
                            (int)MIN(word.size, (size_t)SHOWN_MAX), (const char *)word.data);
        used = MIN(used + (size_t)MAX(size, 0), sizeof shown - 1);
    }
    if (stars == 0 || (stars == 1 && others == 0)) {
        return 0;
    }
    return config_value_refuse(value,
                               "Invalid value [%s] for configuration %s: %s must be the literal "
                               "'*' or a list of replicas in the following format: "
                               "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                               shown, def->name, def->name);
}

int config_value_parse(const struct topic_config_def *def, struct span text,
                       struct config_value *ret_value) {
    if (text.size > 0 && memchr(text.data, 0, text.size)) { /* kept as C strings */
        return config_value_refuse(
            ret_value, "Invalid value for configuration %s: it holds a zero byte", def->name);
    }
    switch (def->type) {
    case CONFIG_TYPE_BOOLEAN:
        return parse_boolean(def, text, ret_value);
    case CONFIG_TYPE_DOUBLE:
        return parse_double(def, text, ret_value);
    case CONFIG_TYPE_STRING:
        return parse_word(def, trimmed(text), ret_value);
    case CONFIG_TYPE_LIST:
        return def->words ? parse_words(def, trimmed(text), ret_value)
                          : parse_replicas(def, trimmed(text), ret_value);
    default:
        return parse_integer(def, text, ret_value);
    }
}

/* ---- ranges ---- */

int config_value_check(const struct topic_config_def *def, struct span text,
                       struct config_value *ret_value) {
    char why[80] = "";
    char shown[JAVA_DOUBLE_SIZE];
    bool integer = def->type == CONFIG_TYPE_INT || def->type == CONFIG_TYPE_LONG;
    bool real = def->type == CONFIG_TYPE_DOUBLE;
    int r = config_value_parse(def, text, ret_value);
    if (r) {
        return r;
    }
    if ((integer && ret_value->number < def->min) || (real && ret_value->real < (double)def->min)) {
        snprintf(why, sizeof why, "Value must be at least %lld", (long long)def->min);
    } else if ((integer && ret_value->number > def->max) ||
               (real && def->max != INT64_MAX && ret_value->real > (double)def->max)) {
        snprintf(why, sizeof why, "Value must be no more than %lld", (long long)def->max);
    }
    if (strcmp(def->name, "compression.gzip.level") == 0 && ret_value->number != -1 &&
        (ret_value->number < 1 || ret_value->number > 9)) {
        snprintf(why, sizeof why, "Value must be between 1 and 9 or equal to -1");
    }
    if (real) {
        java_double_text(ret_value->real, shown);
    } else {
        snprintf(shown, sizeof shown, "%lld", (long long)ret_value->number);
    }
    return why[0] ? wrong(ret_value, def, span_text(shown), why) : 0;
}
