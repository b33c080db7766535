/*
 * The guard in front of llhttp: what a request may look like at all. Pure: no I/O, no memory.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

enum {
    GUARD_FIELDS_MAX = 128,          /* struct guard_head holds no more; limits may say less */
    GUARD_HEAD_BYTES_MAX = 65535,    /* fields are kept as 16-bit positions */
    GUARD_EXTENSION_BYTES = 256,     /* chunk extensions of one message */
    GUARD_CHUNK_OVERHEAD = 16 * 1024 /* bytes of a chunked body that are not content */
};

/* Finds the end of a head byte by byte, so that a broken one is refused before it is complete. */
struct guard_scan {
    size_t at;         /* bytes looked at */
    size_t line_start; /* position of the current line */
    bool first_line_done;
    bool complete; /* the empty line has been seen; at is the size of the head */
};

struct guard_field {
    uint16_t name_at, name_size; /* lower case after guard_parse() */
    uint16_t value_at, value_size;
};

struct guard_head {
    const char *data;
    size_t size;
    int method; /* enum http_method; llhttp's names would clash with its header */
    struct span method_text;
    struct span target;
    int minor;              /* HTTP/1.minor */
    int64_t content_length; /* -1: none given */
    bool chunked;
    bool keep_alive;
    bool expect_continue;
    bool expect_other; /* an expectation that nobody knows */
    unsigned field_count;
    struct guard_field fields[GUARD_FIELDS_MAX];
};

struct guard_limits {
    size_t target_bytes;
    unsigned fields;
};

/**
 * guard_scan_feed() - look at the bytes of a head that have come since the last call
 * @head, @size: the whole head so far, from its first byte
 *
 * Return: 0 (see scan->complete); HTTP_E_BAD_REQUEST.
 */
int guard_scan_feed(struct guard_scan *scan, const char *head, size_t size);

/**
 * guard_parse() - take a complete, scanned head apart and hold it against the rules
 * @head: changed in place: field names become lower case
 *
 * Return: 0; HTTP_E_BAD_REQUEST, HTTP_E_URI_TOO_LONG, HTTP_E_HEAD_TOO_LARGE.
 */
int guard_parse(char *head, size_t size, const struct guard_limits *limits,
                struct guard_head *ret_head);

/** guard_field_find() - value of the first field @name (lower case); data NULL when absent */
struct span guard_field_find(const struct guard_head *head, const char *name);

/* Framing of a chunked body, followed beside llhttp. */
struct guard_chunks {
    int state;
    unsigned digits;
    uint64_t chunk_left;
    size_t extension_bytes;
    size_t overhead_bytes;
    bool complete;
};

/**
 * guard_chunks_feed() - how many of @size bytes belong to this body
 * Return: 0, chunks->complete at the end of the body; HTTP_E_BAD_REQUEST.
 */
int guard_chunks_feed(struct guard_chunks *chunks, const void *data, size_t size, size_t *ret_used);
