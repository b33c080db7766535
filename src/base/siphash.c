#include <eventbox/base/bytes.h>
#include <eventbox/base/siphash.h>

struct sip {
    uint64_t v[4];
};

static inline uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static inline void rounds(struct sip *sip, unsigned count) {
    uint64_t *v = sip->v;
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

static inline struct sip begin(uint64_t k0, uint64_t k1) {
    return (struct sip){{
        k0 ^ UINT64_C(0x736f6d6570736575),
        k1 ^ UINT64_C(0x646f72616e646f6d),
        k0 ^ UINT64_C(0x6c7967656e657261),
        k1 ^ UINT64_C(0x7465646279746573),
    }};
}

static inline void take_word(struct sip *sip, uint64_t word, unsigned rounds_a_word) {
    sip->v[3] ^= word;
    rounds(sip, rounds_a_word);
    sip->v[0] ^= word;
}

/* All words, and the last with the bytes that are left and the size. */
static inline void take_all(struct sip *sip, struct span data, unsigned rounds_a_word) {
    const uint8_t *in = data.data;
    size_t words = data.size / 8;
    uint64_t last = (uint64_t)data.size << 56;
    for (size_t i = 0; i < words; i++) {
        take_word(sip, get_le64(in + i * 8), rounds_a_word);
    }
    for (size_t i = 0; i < data.size % 8; i++) {
        last |= (uint64_t)in[words * 8 + i] << (8 * i);
    }
    take_word(sip, last, rounds_a_word);
}

static inline uint64_t fold(const struct sip *sip) {
    return sip->v[0] ^ sip->v[1] ^ sip->v[2] ^ sip->v[3];
}

uint64_t siphash13(const uint64_t key[2], struct span data) {
    struct sip sip = begin(key[0], key[1]);
    take_all(&sip, data, 1);
    sip.v[2] ^= 0xff;
    rounds(&sip, 3);
    return fold(&sip);
}

struct siphash128 siphash128(const uint8_t key[16], struct span data) {
    struct sip sip = begin(get_le64(key), get_le64(key + 8));
    struct siphash128 hash;
    sip.v[1] ^= 0xee;
    take_all(&sip, data, 2);
    sip.v[2] ^= 0xee;
    rounds(&sip, 4);
    hash.low = fold(&sip);
    sip.v[1] ^= 0xdd;
    rounds(&sip, 4);
    hash.high = fold(&sip);
    return hash;
}
