#include <eventbox/base/bytes.h>
#include <eventbox/base/crypto.h>
#include <eventbox/base/uuid.h>

static void set_version(struct uuid *uuid, uint8_t version) {
    uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0f) | version << 4);
    uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3f) | 0x80);
}

void uuid_v4(struct random *random, struct uuid *ret_uuid) {
    random_fill(random, ret_uuid->bytes, sizeof ret_uuid->bytes);
    set_version(ret_uuid, 4);
}

void uuid_v7(struct random *random, struct clock *clock, struct uuid *ret_uuid) {
    int64_t now_ns = clock_wall_ns(clock);
    uint64_t ms = (uint64_t)(now_ns / NS_PER_MS);
    /* The part of the millisecond in the 12 bits behind it, so that ids of one thread mostly sort
     * as they were made (RFC 9562 6.2, method 3). */
    uint16_t part = (uint16_t)((uint64_t)(now_ns % NS_PER_MS) * 4096 / (uint64_t)NS_PER_MS);

    put_be64(ret_uuid->bytes, ms << 16 | part);
    random_fill(random, ret_uuid->bytes + 8, 8);
    set_version(ret_uuid, 7);
}

bool uuid_is_zero(const struct uuid *uuid) {
    static const struct uuid zero;
    return memcmp(uuid, &zero, sizeof zero) == 0;
}

/* Bytes before which the text form has a hyphen: 8-4-4-4-12 digits. */
static bool hyphen_before(size_t byte) {
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_format(const struct uuid *uuid, char out[UUID_TEXT_SIZE]) {
    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        if (hyphen_before(i)) {
            *out++ = '-';
        }
        hex_encode(&uuid->bytes[i], 1, out);
        out += 2;
    }
}

bool uuid_parse(const char *text, struct uuid *ret_uuid) {
    struct uuid uuid;

    if (strlen(text) != UUID_TEXT_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof uuid.bytes; i++) {
        if (hyphen_before(i) && *text++ != '-') {
            return false;
        }
        if (!hex_decode(span_of(text, 2), &uuid.bytes[i], 1)) {
            return false;
        }
        text += 2;
    }
    *ret_uuid = uuid;
    return true;
}

void uuid_format_base64(const struct uuid *uuid, char out[UUID_BASE64_SIZE]) {
    base64url_encode(uuid->bytes, sizeof uuid->bytes, out);
}
