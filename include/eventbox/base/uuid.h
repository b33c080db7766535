/* UUIDs (RFC 9562) as 16 bytes. */
#pragma once

#include <eventbox/base/clock.h>
#include <eventbox/base/random.h>

struct uuid {
    uint8_t bytes[16];
};

enum { UUID_TEXT_SIZE = 37, UUID_BASE64_SIZE = 23 };

void uuid_v4(struct random *random, struct uuid *ret_uuid);
void uuid_v7(struct random *random, struct clock *clock, struct uuid *ret_uuid);
bool uuid_is_zero(const struct uuid *uuid);
void uuid_format(const struct uuid *uuid, char out[UUID_TEXT_SIZE]);
bool uuid_parse(const char *text, struct uuid *ret_uuid);
/** uuid_format_base64() - 22 characters of base64url, Kafka's way of writing topic and cluster ids
 */
void uuid_format_base64(const struct uuid *uuid, char out[UUID_BASE64_SIZE]);
