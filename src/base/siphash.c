#include <eventbox/base/bytes.h>
#include <eventbox/base/siphash.h>

static inline uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static inline void rounds(uint64_t v[4], unsigned count) {
    while (count-- > 0) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

struct siphash128 siphash128(const uint8_t key[16], struct span data) {
    const uint8_t *in = data.data;
    size_t words = data.size / 8;
    uint64_t k0 = get_le64(key), k1 = get_le64(key + 8);
    uint64_t v[4] = {
        k0 ^ UINT64_C(0x736f6d6570736575),
        k1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
        k0 ^ UINT64_C(0x6c7967656e657261),
        k1 ^ UINT64_C(0x7465646279746573),
    };
    uint64_t last = (uint64_t)data.size << 56;
    struct siphash128 hash;

    for (size_t i = 0; i < words; i++) {
        uint64_t word = get_le64(in + i * 8);
        v[3] ^= word;
        rounds(v, 2);
        v[0] ^= word;
    }
    for (size_t i = 0; i < data.size % 8; i++) {
        last |= (uint64_t)in[words * 8 + i] << (8 * i);
    }
    v[3] ^= last;
    rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xee;
    rounds(v, 4);
    hash.low = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    rounds(v, 4);
    hash.high = v[0] ^ v[1] ^ v[2] ^ v[3];
    return hash;
}
