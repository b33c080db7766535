/*
 * One walker for every Kafka message. scripts/gen_kafka.py turns schema/ into C structs and into
 * the field tables below; kafka_decode() and kafka_encode() walk a table beside a struct, for any
 * version, flexible or not.
 *
 * How a schema type looks in C:
 *   bool, int8..int64, uint16, float64   the C type
 *   string, bytes                        struct span; data NULL is null
 *   uuid                                 struct uuid
 *   records                              struct kafka_records
 *   []T                                  T *name; int32_t name_count, -1 is null
 *   a struct                             the struct itself, embedded
 *   a struct that may be null            a pointer to the struct; NULL is null
 * A field that a version does not have is at its default after decoding and ignored in encoding.
 *
 * Decoding copies nothing: spans point into the input, arrays lie in the arena. A count is checked
 * against the bytes that are left (each element has a known least size) before memory is asked for.
 * Tagged fields that the schema does not know are skipped, and survive: the struct remembers the
 * section that holds them (unknown_tags, a span of the input as all others), and encoding it again
 * writes them in their places. Encoding writes into a text; records that the sender brings
 * itself (file ranges, shared slices) become splices, so that Fetch copies no record.
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/buf.h>
#include <eventbox/base/error.h>
#include <eventbox/base/text.h>
#include <eventbox/base/uuid.h>

/* A field of type records: bytes in memory, or (encoding only) bytes that the sender knows. */
struct kafka_records {
    struct span span;     /* data NULL and no foreign: null */
    const void *foreign;  /* handed back in the splice; NULL: use span */
    size_t foreign_bytes; /* what the splice will put in */
};

/* The bytes of @foreign belong in front of text offset @at. */
struct kafka_splice {
    size_t at;
    const void *foreign;
    size_t bytes;
};

/* What kafka_encode() makes. Reused between messages: clear with kafka_encoded_clear(). */
struct kafka_encoded {
    struct text text;
    struct kafka_splice *splices;
    size_t splice_count;
    size_t splice_capacity;
    size_t foreign_bytes; /* of all splices; the message has text.size + foreign_bytes */
};
void kafka_encoded_init(struct kafka_encoded *encoded);
void kafka_encoded_deinit(struct kafka_encoded *encoded);
void kafka_encoded_clear(struct kafka_encoded *encoded); /* keeps the memory */

enum kafka_type {
    KAFKA_BOOL,
    KAFKA_INT8,
    KAFKA_INT16,
    KAFKA_UINT16,
    KAFKA_INT32,
    KAFKA_UINT32,
    KAFKA_INT64,
    KAFKA_FLOAT64,
    KAFKA_UUID,
    KAFKA_STRING,
    KAFKA_BYTES,
    KAFKA_RECORDS,
    KAFKA_STRUCT,
    KAFKA_OPTIONAL, /* a struct behind a pointer, with a byte in front of it: -1 null, 1 there */
};

/* Versions first..last; first > last: none. */
struct kafka_versions {
    int16_t first;
    int16_t last;
};
static inline bool kafka_versions_has(struct kafka_versions versions, int16_t version) {
    return version >= versions.first && version <= versions.last;
}

struct kafka_struct;

struct kafka_field {
    const char *name; /* Kafka's */
    uint8_t type;     /* enum kafka_type: of the element for arrays */
    bool array;
    int16_t tag; /* -1: never tagged */
    uint32_t offset;
    uint32_t count_offset; /* of name_count, for arrays */
    struct kafka_versions versions;
    struct kafka_versions nullable;
    struct kafka_versions tagged;
    const struct kafka_struct *of; /* KAFKA_STRUCT, KAFKA_OPTIONAL */
    int64_t number;   /* default; 1 for a string, bytes or array that is null by default */
    const char *text; /* default of a string; NULL: empty */
};

struct kafka_struct {
    const char *name;
    uint32_t size; /* of the C struct */
    uint16_t field_count;
    const struct kafka_field *fields;
    uint32_t unknown_tags_offset; /* KAFKA_NO_TAGS: of a message that is never flexible */
};
enum { KAFKA_NO_TAGS = UINT32_MAX };

/* One API: a row of the generated table. */
struct kafka_api {
    int16_t key;
    const char *name; /* "Metadata" */
    const struct kafka_struct *request;
    const struct kafka_struct *response;
    struct kafka_versions versions; /* of the schema: what can be encoded and decoded */
    int16_t flexible_first;         /* INT16_MAX: never flexible */
};
/* What the key or value of a record holds: a row of a second table, in builds that have such. */
struct kafka_data {
    const char *name;
    const struct kafka_struct *type;
    struct kafka_versions versions;
    int16_t flexible_first;
};
/** kafka_api_find() - NULL for a key without a schema */
const struct kafka_api *kafka_api_find(int16_t key);

/** kafka_init() - @count structs of @type one after the other, every field at its default */
void kafka_init(const struct kafka_struct *type, void *structs, size_t count);
/** kafka_new() - as kafka_init(), in new memory of @arena; NULL past its limit */
void *kafka_new(struct arena *arena, const struct kafka_struct *type, size_t count);
/* KAFKA_NEW(arena, metadata_response_topic, 3): typed kafka_new(). */
#define KAFKA_NEW(arena, name, count)                                                              \
    ((struct name *)kafka_new((arena), &kafka_##name##_type, (size_t)(count)))

/**
 * kafka_clean_text() - make @text, as a peer sent it, UTF-8: what is none becomes U+FFFD
 * Return: 0; -ENOMEM past the arena's limit.
 */
int kafka_clean_text(struct arena *arena, struct span *text) _must_check_;

/**
 * kafka_decode() - read one struct; its strings are UTF-8, whatever the peer sent
 * @body:     type->size bytes, overwritten
 * @ret_size: bytes of @in that were read; may be NULL
 *
 * Return: 0; BROKER_E_MALFORMED when the bytes are not such a message; -ENOMEM past the arena's
 * limit.
 */
int kafka_decode(const struct kafka_struct *type, int16_t version, bool flexible, struct span in,
                 struct arena *arena, void *body, size_t *ret_size);
/* As large as a request may be. A few bytes can ask for a large thing thousands of times, and what
 * is referred to as often, without a copy, becomes bytes only here. Foreign records do not count.
 */
enum { KAFKA_ENCODED_MAX_BYTES = 100 << 20 };

/**
 * kafka_encode() - append one struct to @out
 * Null in a version that does not allow it is written as empty; tagged fields only when not at
 * their default. Return: 0; TOPIC_E_TOO_LARGE for a string beyond 32,767 bytes, for more than
 * KAFKA_ENCODED_MAX_BYTES, or more than 2 GiB with foreign records; -ENOMEM.
 */
int kafka_encode(const struct kafka_struct *type, int16_t version, bool flexible, const void *body,
                 struct kafka_encoded *out);
