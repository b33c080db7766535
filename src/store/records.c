#include "records.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <eventbox/base/varint.h>

enum { VERSION = 1, RECORD_BYTES_MIN = 6, HEADER_BYTES_MIN = 2 };

static void put_u(struct text *out, uint64_t value) {
    uint8_t bytes[VARINT_MAX_BYTES];
    text_append(out, bytes, varint_put_u64(bytes, value));
}

static void put_i(struct text *out, int64_t value) {
    uint8_t bytes[VARINT_MAX_BYTES];
    text_append(out, bytes, varint_put_i64(bytes, value));
}

static void put_nullable(struct text *out, struct span span) {
    put_u(out, span.data ? (uint64_t)span.size + 1 : 0);
    text_append(out, span.data, span.size);
}

void records_encode(const struct topic_record *records, size_t count, struct text *out) {
    text_append_char(out, VERSION);
    put_u(out, count);
    for (size_t i = 0; i < count; i++) {
        const struct topic_record *record = &records[i];
        size_t topic_size = strlen(record->topic);
        put_u(out, topic_size);
        text_append(out, record->topic, topic_size);
        put_i(out, record->partition);
        put_i(out, record->timestamp_ms);
        put_nullable(out, record->key);
        put_nullable(out, record->value);
        put_u(out, record->header_count);
        for (size_t h = 0; h < record->header_count; h++) {
            put_u(out, record->headers[h].name.size);
            text_append(out, record->headers[h].name.data, record->headers[h].name.size);
            put_nullable(out, record->headers[h].value);
        }
    }
}

/* ---- decoding: a cursor that remembers the first failure ---- */

struct reader {
    const uint8_t *at;
    size_t left;
    bool damaged;
};

static uint64_t get_u(struct reader *reader) {
    uint64_t value = 0;
    size_t size = varint_get_u64(reader->at, reader->left, &value);
    reader->damaged |= size == 0;
    reader->at += size;
    reader->left -= size;
    return size == 0 ? 0 : value;
}

static int64_t get_i(struct reader *reader) {
    int64_t value = 0;
    size_t size = varint_get_i64(reader->at, reader->left, &value);
    reader->damaged |= size == 0;
    reader->at += size;
    reader->left -= size;
    return size == 0 ? 0 : value;
}

static struct span get_bytes(struct reader *reader, uint64_t size) {
    if (size > reader->left) {
        reader->damaged = true;
        return SPAN_NULL;
    }
    struct span span = span_of(reader->at, (size_t)size);
    reader->at += size;
    reader->left -= (size_t)size;
    return span;
}

static struct span get_nullable(struct reader *reader) {
    uint64_t size = get_u(reader);
    return size == 0 ? SPAN_NULL : get_bytes(reader, size - 1);
}

static int get_headers(struct reader *reader, struct arena *arena, struct topic_record *record) {
    uint64_t count = get_u(reader);
    if (count > reader->left / HEADER_BYTES_MIN) {
        return err_origin(-EBADMSG);
    }
    if (count == 0) {
        return 0;
    }
    struct topic_header *headers = arena_alloc(arena, (size_t)count * sizeof *headers);
    if (!headers) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        headers[i].name = get_bytes(reader, get_u(reader));
        headers[i].value = get_nullable(reader);
    }
    record->headers = headers;
    record->header_count = (size_t)count;
    return 0;
}

static int get_record(struct reader *reader, struct arena *arena, struct topic_record *record) {
    struct span topic = get_bytes(reader, get_u(reader));
    int64_t partition = get_i(reader);
    if (reader->damaged || partition < -1 || partition > INT32_MAX) {
        return err_origin(-EBADMSG);
    }
    record->topic = arena_dup(arena, topic.data, topic.size);
    if (!record->topic) {
        return err_origin(-ENOMEM);
    }
    record->partition = (int32_t)partition;
    record->timestamp_ms = get_i(reader);
    record->key = get_nullable(reader);
    record->value = get_nullable(reader);
    return get_headers(reader, arena, record);
}

int records_decode(struct span bytes, struct arena *arena, struct topic_record **ret_records,
                   size_t *ret_count) {
    struct reader reader = {.at = bytes.data, .left = bytes.size};
    if (reader.left == 0 || *reader.at != VERSION) {
        return err_origin(-EBADMSG);
    }
    reader.at++;
    reader.left--;
    uint64_t count = get_u(&reader);
    if (reader.damaged || count > reader.left / RECORD_BYTES_MIN) {
        return err_origin(-EBADMSG);
    }
    struct topic_record *records = arena_alloc(arena, MAX((size_t)count, 1u) * sizeof *records);
    if (!records) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        int r = get_record(&reader, arena, &records[i]);
        if (r != 0) {
            return err_trace(r);
        }
    }
    if (reader.damaged || reader.left != 0) {
        return err_origin(-EBADMSG);
    }
    *ret_records = records;
    *ret_count = (size_t)count;
    return 0;
}
