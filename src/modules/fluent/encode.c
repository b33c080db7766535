/*
 * A log record as the original wrote it, plus message and trace id (forward protocol v1, "Entry"):
 *
 *     [EventTime, {"timestamp": "2026-11-22T10:00:00.123Z", "level": "INFO", "service": …,
 *                  "action": …, "user_id": 1 (absent when there is none), "details": {…},
 *                  "trace_id": 32 hex digits (absent …), "message": …}]
 *
 * A server never gets anything it could choke on: names are str, text is UTF-8, NaN and infinities
 * are nil (Fluentd resets the connection after half of such a chunk and every retry repeats it).
 */
#include "encode.h"

#include <eventbox/base/utf8.h>
#include <math.h>
#include <msgpack/pack.h>
#include <stdio.h>
#include <string.h>

struct output {
    uint8_t *at;
};

/* Room was made by encode_bound(). */
static int write_out(void *userdata, const char *bytes, size_t size) {
    struct output *output = userdata;
    memcpy(output->at, bytes, size);
    output->at += size;
    return 0;
}

static void pack_str(msgpack_packer *packer, const void *data, size_t size) {
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, data, size);
}

/*
 * Names and most values are short ASCII: 30 strings a record, of which the packer would make 60
 * calls through a pointer. They are copied and checked in one go, eight bytes at a time where there
 * are eight, the last word overlapping the one before.
 */
enum { FIXSTR_BYTES_MAX = 31 };

static uint64_t copy_word(uint8_t *to, const uint8_t *from) {
    uint64_t word;
    memcpy(&word, from, sizeof word);
    memcpy(to, &word, sizeof word);
    return word & UINT64_C(0x8080808080808080);
}

static bool put_short_ascii(struct output *output, const uint8_t *data, size_t size) {
    uint8_t *to = output->at + 1;
    uint64_t high = 0;
    if (size >= 8) {
        for (size_t i = 0; i + 8 <= size; i += 8) {
            high |= copy_word(to + i, data + i);
        }
        high |= copy_word(to + size - 8, data + size - 8);
    } else {
        for (size_t i = 0; i < size; i++) {
            to[i] = data[i];
            high |= data[i] & 0x80;
        }
    }
    if (high != 0) {
        return false; /* nothing was taken: at has not moved */
    }
    output->at[0] = (uint8_t)(0xa0 | size); /* fixstr */
    output->at = to + size;
    return true;
}

/* A name of ours with its fixstr header in front. */
#define PUT_LITERAL(output, literal)                                                               \
    do {                                                                                           \
        _Static_assert(sizeof(literal) - 1 <= FIXSTR_BYTES_MAX, "a fixstr");                       \
        *(output)->at++ = 0xa0 | (sizeof(literal) - 1);                                            \
        memcpy((output)->at, (literal), sizeof(literal) - 1);                                      \
        (output)->at += sizeof(literal) - 1;                                                       \
    } while (0)

static void pack_any_text(msgpack_packer *packer, const void *data, size_t size, size_t limit) {
    char clean[3 * ENCODE_TEXT_BYTES_MAX];
    if (size > limit) {
        size = utf8_cut(data, size, limit);
    }
    if (utf8_valid(data, size)) {
        pack_str(packer, data, size);
        return;
    }
    size = utf8_clean(data, size, clean);
    if (size > limit) {
        size = utf8_cut(clean, size, limit);
    }
    pack_str(packer, clean, size);
}

/* Cleans and cuts. */
static void pack_text(msgpack_packer *packer, const void *data, size_t size, size_t limit) {
    if (size > FIXSTR_BYTES_MAX || !put_short_ascii(packer->data, data, size)) {
        pack_any_text(packer, data, size, limit);
    }
}

static void pack_time(msgpack_packer *packer, int64_t wall_ns) {
    uint8_t bytes[8];
    uint64_t seconds = (uint64_t)(wall_ns / NS_PER_SEC);
    uint64_t nanoseconds = (uint64_t)(wall_ns % NS_PER_SEC);
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(seconds >> (24 - 8 * i));
        bytes[4 + i] = (uint8_t)(nanoseconds >> (24 - 8 * i));
    }
    msgpack_pack_ext(packer, sizeof bytes, 0); /* fixext 8, type 0: EventTime */
    msgpack_pack_ext_body(packer, bytes, sizeof bytes);
}

/* Formats the date once a second; the milliseconds each time. */
static void pack_timestamp(struct encoder *encoder, msgpack_packer *packer, int64_t wall_ns) {
    enum { AT_MILLISECONDS = 20, SIZE = 24 };
    int64_t second = wall_ns / NS_PER_SEC;
    int milliseconds = (int)(wall_ns % NS_PER_SEC / NS_PER_MS);

    if (encoder->second != second) {
        clock_format_rfc3339(wall_ns, 3, encoder->time_text);
        encoder->second = second;
    }
    encoder->time_text[AT_MILLISECONDS] = (char)('0' + milliseconds / 100);
    encoder->time_text[AT_MILLISECONDS + 1] = (char)('0' + milliseconds / 10 % 10);
    encoder->time_text[AT_MILLISECONDS + 2] = (char)('0' + milliseconds % 10);
    pack_str(packer, encoder->time_text, SIZE);
}

static void pack_field(msgpack_packer *packer, const struct log_field *field, size_t limit) {
    size_t name_size = strnlen(field->name, ENCODE_NAME_BYTES_MAX + 1);
    pack_text(packer, field->name, name_size, ENCODE_NAME_BYTES_MAX);
    switch (field->type) {
    case LOG_FIELD_INT:
        msgpack_pack_int64(packer, field->integer);
        return;
    case LOG_FIELD_TEXT:
        if (field->text.data) {
            pack_text(packer, field->text.data, field->text.size, limit);
        } else {
            msgpack_pack_nil(packer);
        }
        return;
    case LOG_FIELD_BOOL:
        if (field->boolean) {
            msgpack_pack_true(packer);
        } else {
            msgpack_pack_false(packer);
        }
        return;
    case LOG_FIELD_DOUBLE:
        if (isfinite(field->number)) {
            msgpack_pack_double(packer, field->number);
        } else {
            msgpack_pack_nil(packer);
        }
        return;
    }
    msgpack_pack_nil(packer);
}

static void pack_string(msgpack_packer *packer, const char *text, size_t limit) {
    pack_text(packer, text, strlen(text), limit);
}

void encoder_init(struct encoder *encoder) {
    encoder->second = INT64_MIN;
}

/* A str of @size bytes, which cleaning may make three times as long, but no longer than @limit. */
static size_t text_bound(size_t size, size_t limit) {
    return 5 + MIN(3 * MIN(size, limit), limit);
}

static size_t record_bound(const struct log_record *record, size_t limit) {
    size_t bound = 256; /* the names, the times, the numbers and the trace id */
    bound += text_bound(strlen(record->service), limit);
    bound += text_bound(strlen(record->action), limit);
    bound += text_bound(record->message ? strlen(record->message) : 0, limit);
    for (size_t i = 0; i < record->detail_count; i++) {
        const struct log_field *field = &record->details[i];
        bound += 5 + ENCODE_NAME_BYTES_MAX + 9; /* the name is not measured twice */
        if (field->type == LOG_FIELD_TEXT) {
            bound += text_bound(field->text.size, limit);
        }
    }
    return bound;
}

size_t encode_bound(const struct log_record *record, size_t *ret_text_limit) {
    size_t bound = record_bound(record, ENCODE_TEXT_BYTES_MAX);
    *ret_text_limit = ENCODE_TEXT_BYTES_MAX;
    if (bound > ENCODE_RECORD_BYTES_MAX) {
        bound = record_bound(record, ENCODE_SHORT_TEXT_BYTES_MAX);
        *ret_text_limit = ENCODE_SHORT_TEXT_BYTES_MAX;
    }
    return bound;
}

size_t encode_record(struct encoder *encoder, const struct log_record *record, size_t text_limit,
                     uint8_t *out) {
    struct output output = {out};
    msgpack_packer packer;
    size_t members = 5u + record->has_user_id + (record->trace != NULL) + (record->message != NULL);

    msgpack_packer_init(&packer, &output, write_out);
    msgpack_pack_array(&packer, 2);
    pack_time(&packer, record->wall_ns);
    msgpack_pack_map(&packer, members);
    PUT_LITERAL(&output, "timestamp");
    pack_timestamp(encoder, &packer, record->wall_ns);
    PUT_LITERAL(&output, "level");
    pack_string(&packer, log_level_name(record->level), text_limit);
    PUT_LITERAL(&output, "service");
    pack_string(&packer, record->service, text_limit);
    PUT_LITERAL(&output, "action");
    pack_string(&packer, record->action, text_limit);
    if (record->has_user_id) {
        PUT_LITERAL(&output, "user_id");
        msgpack_pack_int64(&packer, record->user_id);
    }
    PUT_LITERAL(&output, "details");
    msgpack_pack_map(&packer, record->detail_count);
    for (size_t i = 0; i < record->detail_count; i++) {
        pack_field(&packer, &record->details[i], text_limit);
    }
    if (record->trace) {
        char id[TRACE_ID_SIZE];
        trace_format_id(record->trace, id);
        PUT_LITERAL(&output, "trace_id");
        pack_str(&packer, id, sizeof id - 1);
    }
    if (record->message) {
        PUT_LITERAL(&output, "message");
        pack_string(&packer, record->message, text_limit);
    }
    return (size_t)(output.at - out);
}

size_t encode_header(const char *tag, uint32_t entries_bytes, uint8_t *out) {
    struct output output = {out};
    msgpack_packer packer;
    msgpack_packer_init(&packer, &output, write_out);
    msgpack_pack_array(&packer, 3);
    pack_text(&packer, tag, strlen(tag), ENCODE_TAG_BYTES_MAX);
    /* Always bin 32, whatever the size, so that the length of the header is known beforehand. */
    *output.at++ = 0xc6;
    for (int i = 0; i < 4; i++) {
        *output.at++ = (uint8_t)(entries_bytes >> (24 - 8 * i));
    }
    return (size_t)(output.at - out);
}

size_t encode_trailer(const char *id, uint32_t events, uint8_t *out) {
    struct output output = {out};
    msgpack_packer packer;
    msgpack_packer_init(&packer, &output, write_out);
    msgpack_pack_map(&packer, 2);
    PUT_LITERAL(&output, "chunk");
    pack_str(&packer, id, strlen(id));
    PUT_LITERAL(&output, "size");
    msgpack_pack_uint32(&packer, events);
    return (size_t)(output.at - out);
}
