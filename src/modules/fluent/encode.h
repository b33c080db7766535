/* The only door to msgpack-c, and only its packer: unpacking foreign bytes is reader.c. */
#pragma once

#include <eventbox/host/log.h>

enum {
    ENCODE_TEXT_BYTES_MAX = 4096,         /* a text field is cut here */
    ENCODE_NAME_BYTES_MAX = 64,           /* the name of a field */
    ENCODE_SHORT_TEXT_BYTES_MAX = 512,    /* ... or here, in a record that would be too large */
    ENCODE_RECORD_BYTES_MAX = 128 * 1024, /* no record is larger */
    ENCODE_HEADER_BYTES_MAX = 1 + 5 + 64 + 5,
    ENCODE_TAG_BYTES_MAX = 64,
    ENCODE_TRAILER_BYTES_MAX = 64,
    ENCODE_ID_SIZE = 25, /* base64 of 128 bits */
};

/* What stays the same from one record to the next. */
struct encoder {
    int64_t second; /* of the text below; starts as INT64_MIN */
    char time_text[CLOCK_RFC3339_SIZE];
};

void encoder_init(struct encoder *encoder);

/** encode_bound() - bytes that encode_record() needs at most; *ret_text_limit goes there */
size_t encode_bound(const struct log_record *record, size_t *ret_text_limit);
/**
 * encode_record() - one entry of a PackedForward chunk: [EventTime, {the original's record}]
 * Return: bytes written to @out.
 */
size_t encode_record(struct encoder *encoder, const struct log_record *record, size_t text_limit,
                     uint8_t *out);

/** encode_header() - what stands in front of the entries: [tag, bin of @entries_bytes */
size_t encode_header(const char *tag, uint32_t entries_bytes, uint8_t *out);
/** encode_trailer() - what follows them: {"chunk": id, "size": events}] */
size_t encode_trailer(const char *id, uint32_t events, uint8_t *out);
