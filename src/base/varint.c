#include <eventbox/base/varint.h>

static inline uint64_t zigzag(int64_t value) {
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static inline int64_t unzigzag(uint64_t value) {
    return (int64_t)(value >> 1 ^ -(value & 1));
}

size_t varint_put_u64(uint8_t *out, uint64_t value) {
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

size_t varint_put_i64(uint8_t *out, int64_t value) {
    return varint_put_u64(out, zigzag(value));
}

size_t varint_size_u64(uint64_t value) {
    unsigned bits = 64U - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

size_t varint_size_i64(int64_t value) {
    return varint_size_u64(zigzag(value));
}

size_t varint_get_u64(const uint8_t *in, size_t size, uint64_t *ret_value) {
    uint64_t value = 0;
    size_t limit = MIN(size, (size_t)VARINT_MAX_BYTES);

    for (size_t i = 0; i < limit; i++) {
        uint64_t bits = in[i] & 0x7f;
        if (i == VARINT_MAX_BYTES - 1 && in[i] > 1) {
            return 0; /* nine bytes carry 63 bits: only one is left */
        }
        value |= bits << (7 * i);
        if (in[i] < 0x80) {
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

size_t varint_get_i64(const uint8_t *in, size_t size, int64_t *ret_value) {
    uint64_t value;
    size_t used = varint_get_u64(in, size, &value);
    if (used > 0) {
        *ret_value = unzigzag(value);
    }
    return used;
}

size_t varint_get_u32(const uint8_t *in, size_t size, uint32_t *ret_value) {
    uint64_t value;
    size_t used = varint_get_u64(in, MIN(size, (size_t)5), &value);
    if (used == 0 || value > UINT32_MAX) {
        return 0;
    }
    *ret_value = (uint32_t)value;
    return used;
}

size_t varint_get_i32(const uint8_t *in, size_t size, int32_t *ret_value) {
    uint32_t value;
    size_t used = varint_get_u32(in, size, &value);
    if (used > 0) {
        *ret_value = (int32_t)unzigzag(value);
    }
    return used;
}
