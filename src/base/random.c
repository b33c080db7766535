#include <errno.h>
#include <eventbox/base/crypto.h>
#include <eventbox/base/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

uint64_t random_u64(struct random *random) {
    uint64_t value;
    random_fill(random, &value, sizeof value);
    return value;
}

uint64_t random_below(struct random *random, uint64_t limit) {
    /* Values at the top that do not fill a whole range would favour small answers: draw again. */
    uint64_t excess = (UINT64_MAX % limit + 1) % limit;
    uint64_t value;

    do {
        value = random_u64(random);
    } while (value > UINT64_MAX - excess);
    return value % limit;
}

static void fill_from_kernel(void *out, size_t size) {
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* secrets without randomness are worse than no service */
        }
        at += got;
        size -= (size_t)got;
    }
}

/* Most callers ask for 8 or 16 bytes: one system call serves many. A byte is given away once. */
static void system_fill(struct random *random, void *out, size_t size) {
    static _Thread_local struct {
        uint8_t bytes[256];
        size_t left;
    } pool;
    uint8_t *from;

    if (size > sizeof pool.bytes / 4) {
        fill_from_kernel(out, size);
        return;
    }
    if (pool.left < size) {
        fill_from_kernel(pool.bytes, sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
    }
    from = pool.bytes + pool.left - size;
    memcpy(out, from, size);
    crypto_wipe(from, size);
    pool.left -= size;
}

struct random *random_system(void) {
    static struct random system = {.fill = system_fill};
    return &system;
}

static inline uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

/* xoshiro256**, Blackman and Vigna */
static uint64_t seeded_next(uint64_t state[4]) {
    uint64_t result = rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;

    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return result;
}

static void seeded_fill(struct random *random, void *out, size_t size) {
    struct random_seeded *seeded = container_of(random, struct random_seeded, random);
    uint8_t *at = out;

    while (size > 0) {
        uint64_t word = seeded_next(seeded->state);
        size_t part = MIN(size, sizeof word);
        memcpy(at, &word, part);
        at += part;
        size -= part;
    }
}

void random_seeded_init(struct random_seeded *seeded, uint64_t seed) {
    *seeded = (struct random_seeded){.random = {.fill = seeded_fill}};
    for (int i = 0; i < 4; i++) { /* SplitMix64, so that similar seeds give unlike states */
        uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        seeded->state[i] = z ^ z >> 31;
    }
}
