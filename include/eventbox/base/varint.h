/* Base-128 varints: unsigned (Kafka flexible versions) and zig-zag signed (record format). */
#pragma once

#include <eventbox/base/defs.h>

enum { VARINT_MAX_BYTES = 10 };

/* Encoders return the bytes written to @out (at most VARINT_MAX_BYTES). */
size_t varint_put_u64(uint8_t *out, uint64_t value);
size_t varint_put_i64(uint8_t *out, int64_t value);
size_t varint_size_u64(uint64_t value);
size_t varint_size_i64(int64_t value);

/* Decoders return the bytes read, 0 when @size ends too early or the value has more than 64 bits
 * (32 for _u32/_i32). */
size_t varint_get_u64(const uint8_t *in, size_t size, uint64_t *ret_value);
size_t varint_get_i64(const uint8_t *in, size_t size, int64_t *ret_value);
size_t varint_get_u32(const uint8_t *in, size_t size, uint32_t *ret_value);
size_t varint_get_i32(const uint8_t *in, size_t size, int32_t *ret_value);
