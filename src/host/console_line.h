/* One log record as a line of text, in a fixed space. */
#pragma once

#include <eventbox/host/log.h>

enum { CONSOLE_VALUE_MAX = 4096 };

/* Where a line is put; @full: it did not fit, the bytes from @begin on mean nothing. */
struct console_line {
    char *at;
    char *end;
    bool full;
};

/* The formatted second of the last line: formatting a date costs more than the rest of a line. */
struct console_time {
    int64_t second;
    char text[CLOCK_RFC3339_SIZE]; /* "2026-11-22T10:00:00" */
};

/** console_line_json() - the record as one JSON object in the field order of the original */
void console_line_json(struct console_line *line, struct console_time *time,
                       const struct log_record *record);
/** console_line_pretty() - time, level, service, message, fields; @colour adds escape sequences */
void console_line_pretty(struct console_line *line, struct console_time *time,
                         const struct log_record *record, bool colour);
