/*
 * Log records as text.
 *
 * Texts come from peers: they are cleaned to UTF-8, cut at 4 KiB, and control characters are
 * escaped in both forms, so that nobody forges a line or reaches the terminal of the operator.
 */
#include "console_line.h"

#include <eventbox/base/utf8.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static inline __attribute__((always_inline)) void put(struct console_line *line, const void *data,
                                                      size_t size) {
    if ((size_t)(line->end - line->at) < size) {
        line->full = true;
        line->end = line->at;
        return;
    }
    memcpy(line->at, data, size);
    line->at += size;
}

static inline __attribute__((always_inline)) void put_str(struct console_line *line,
                                                          const char *text) {
    put(line, text, strlen(text));
}

static void put_char(struct console_line *line, char c) {
    put(line, &c, 1);
}

/* Room for @size bytes that the caller fills at once: one check for several pieces; NULL: none. */
static inline __attribute__((always_inline)) char *take(struct console_line *line, size_t size) {
    if ((size_t)(line->end - line->at) < size) {
        line->full = true;
        line->end = line->at;
        return NULL;
    }
    char *at = line->at;
    line->at += size;
    return at;
}

static size_t count_digits(uint64_t value) {
    size_t count = 1;
    for (; value >= 10000; value /= 10000) {
        count += 4;
    }
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

static void put_int(struct console_line *line, int64_t value) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    size_t digits = count_digits(rest);
    char *begin = take(line, digits + (value < 0));
    if (!begin) {
        return;
    }
    begin[0] = '-';
    char *at = begin + digits + (value < 0);
    for (; rest >= 100; rest /= 100) {
        at -= 2;
        memcpy(at, pairs + rest % 100 * 2, 2);
    }
    if (rest >= 10) {
        memcpy(at - 2, pairs + rest * 2, 2);
    } else {
        at[-1] = (char)('0' + rest);
    }
}

static void put_double(struct console_line *line, double value, const char *not_finite) {
    char digits[40];
    if (!isfinite(value)) {
        put_str(line, not_finite);
        return;
    }
    int size = snprintf(digits, sizeof digits, "%.17g", value);
    put(line, digits, (size_t)size);
}

/* The bytes of a JSON string without its quotes; @text is valid UTF-8. */
static void put_escaped(struct console_line *line, const char *text, size_t size) {
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        /* C1 controls (U+0080..U+009F) are escape sequences to some terminals. */
        bool c1 = c == 0xC2 && i + 1 < size && (unsigned char)text[i + 1] < 0xA0;
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F && !c1) {
            continue;
        }
        put(line, text + plain, i - plain);
        if (c1) {
            c = (unsigned char)text[++i];
        }
        plain = i + 1;
        if (c == '"' || c == '\\') {
            put(line, (char[]){'\\', (char)c}, 2);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            put(line, (char[]){'\\', c == '\n' ? 'n' : c == '\t' ? 't' : 'r'}, 2);
        } else {
            put(line, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        }
    }
    put(line, text + plain, size - plain);
}

/* True for printable ASCII without quote and backslash, eight bytes at a time: most texts are that.
 */
static bool is_plain(const char *text, size_t size) {
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones * 0x80;
    uint64_t odd = 0;
    for (; size >= 8; text += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, text, 8);
        uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\'),
                 del = word ^ (ones * 0x7F);
        odd |= word | (word - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones);
    }
    for (; size > 0; text++, size--) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') {
            return false;
        }
    }
    return !(odd & highs);
}

static void put_text(struct console_line *line, struct span text) {
    if (text.size > CONSOLE_VALUE_MAX) {
        text.size = utf8_cut(text.data, text.size, CONSOLE_VALUE_MAX);
    }
    if (is_plain(text.data, text.size)) {
        put(line, text.data, text.size);
        return;
    }
    if (utf8_valid(text.data, text.size)) {
        put_escaped(line, text.data, text.size);
        return;
    }
    char clean[3 * CONSOLE_VALUE_MAX];
    size_t size = utf8_clean(text.data, text.size, clean);
    put_escaped(line, clean, size);
}

static const char *second_text(struct console_time *time, int64_t wall_ns) {
    int64_t second = wall_ns / NS_PER_SEC;
    if (time->second != second || !time->text[0]) {
        clock_format_rfc3339(second * NS_PER_SEC, 0, time->text);
        time->text[19] = '\0'; /* without the Z */
        time->second = second;
    }
    return time->text;
}

static void put_millis(struct console_line *line, int64_t wall_ns) {
    int millis = (int)(wall_ns % NS_PER_SEC / NS_PER_MS);
    char digits[4] = {'.', (char)('0' + millis / 100), (char)('0' + millis / 10 % 10),
                      (char)('0' + millis % 10)};
    put(line, digits, sizeof digits);
}

/* ---- JSON ---- */

static void json_text(struct console_line *line, struct span text) {
    if (text.size <= CONSOLE_VALUE_MAX && is_plain(text.data, text.size)) {
        char *at = take(line, text.size + 2);
        if (at) {
            at[0] = '"';
            memcpy(at + 1, text.data, text.size);
            at[text.size + 1] = '"';
        }
        return;
    }
    put_char(line, '"');
    put_text(line, text);
    put_char(line, '"');
}

static void json_value(struct console_line *line, const struct log_field *field) {
    switch (field->type) {
    case LOG_FIELD_INT:
        put_int(line, field->integer);
        break;
    case LOG_FIELD_BOOL:
        put_str(line, field->boolean ? "true" : "false");
        break;
    case LOG_FIELD_DOUBLE:
        put_double(line, field->number, "null");
        break;
    case LOG_FIELD_TEXT:
        if (!field->text.data) {
            put_str(line, "null");
            break;
        }
        json_text(line, field->text);
        break;
    }
}

/* ,"name": */
static void json_name(struct console_line *line, const char *name, bool first) {
    size_t size = strlen(name);
    char *at = take(line, size + (first ? 3 : 4));
    if (at) {
        *at = ','; /* the quote takes its place where it is the first */
        at += !first;
        at[0] = '"';
        memcpy(at + 1, name, size);
        memcpy(at + 1 + size, "\":", 2);
    }
}

static void json_details(struct console_line *line, const struct log_record *record) {
    put(line, SPAN_LITERAL(",\"details\":{").data, 12);
    for (size_t i = 0; i < record->detail_count; i++) {
        json_name(line, record->details[i].name, i == 0);
        json_value(line, &record->details[i]);
    }
    put_char(line, '}');
}

static void json_trace(struct console_line *line, const struct trace *trace) {
    char id[TRACE_ID_SIZE];
    trace_format_id(trace, id);
    put_str(line, ",\"trace_id\":\"");
    put(line, id, TRACE_ID_SIZE - 1);
    put_char(line, '"');
}

void console_line_json(struct console_line *line, struct console_time *time,
                       const struct log_record *record) {
    put_str(line, "{\"timestamp\":\"");
    put_str(line, second_text(time, record->wall_ns));
    put_millis(line, record->wall_ns);
    put_str(line, "Z\",\"level\":\"");
    put_str(line, log_level_name(record->level));
    put_str(line, "\",\"service\":\"");
    put_str(line, record->service);
    put_str(line, "\",\"action\":\"");
    put_str(line, record->action);
    put_char(line, '"');
    if (record->has_user_id) {
        put_str(line, ",\"user_id\":");
        put_int(line, record->user_id);
    }
    json_details(line, record);
    put_str(line, ",\"message\":\"");
    put_str(line, record->message);
    put_char(line, '"');
    if (record->trace) {
        json_trace(line, record->trace);
    }
    put(line, "}\n", 2);
}

/* ---- for people ---- */

static const char *const level_colours[] = {"\033[2m",  "\033[36m", "\033[32m",
                                            "\033[33m", "\033[31m", "\033[1;31m"};

static void pretty_field(struct console_line *line, const struct log_field *field, bool colour) {
    put_str(line, colour ? "  \033[2m" : "  ");
    put_str(line, field->name);
    put_str(line, colour ? "=\033[0m" : "=");
    if (field->type != LOG_FIELD_TEXT || !field->text.data) {
        json_value(line, field);
        return;
    }
    bool quote = field->text.size == 0 || memchr(field->text.data, ' ', field->text.size);
    put_str(line, quote ? "\"" : "");
    put_text(line, field->text);
    put_str(line, quote ? "\"" : "");
}

/* @text filled up with spaces to @width columns. */
static void put_padded(struct console_line *line, const char *text, size_t width) {
    static const char spaces[] = "                                        ";
    size_t size = strlen(text);
    put(line, text, size);
    if (size < width) {
        put(line, spaces, width - size);
    }
}

void console_line_pretty(struct console_line *line, struct console_time *time,
                         const struct log_record *record, bool colour) {
    put_str(line, colour ? "\033[2m" : "");
    put_str(line, second_text(time, record->wall_ns) + 11); /* the time of day, in UTC */
    put_millis(line, record->wall_ns);
    put_str(line, colour ? "\033[0m " : " ");
    put_str(line, colour ? level_colours[record->level] : "");
    put_padded(line, log_level_name(record->level), 5);
    put_str(line, colour ? "\033[0m " : " ");
    put_padded(line, record->service, 20);
    put_char(line, ' ');
    put_padded(line, record->message, 28);
    if (record->has_user_id) {
        struct log_field user = LOG_INT("user_id", record->user_id);
        pretty_field(line, &user, colour);
    }
    for (size_t i = 0; i < record->detail_count; i++) {
        pretty_field(line, &record->details[i], colour);
    }
    if (record->trace) {
        char id[TRACE_ID_SIZE];
        trace_format_id(record->trace, id);
        struct log_field trace = LOG_TEXT("trace", id);
        pretty_field(line, &trace, colour);
    }
    put_char(line, '\n');
}
