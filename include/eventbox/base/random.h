/* Port: randomness. getrandom(2) in production, a seeded generator (xoshiro256**) in tests. */
#pragma once

#include <eventbox/base/defs.h>

struct random {
    void (*fill)(struct random *random, void *out, size_t size);
};

static inline void random_fill(struct random *random, void *out, size_t size) {
    random->fill(random, out, size);
}
uint64_t random_u64(struct random *random);
/** random_below() - uniform in [0, limit); limit > 0 */
uint64_t random_below(struct random *random, uint64_t limit);

/** random_system() - the kernel's generator; static, any thread; never fails (aborts if the kernel
 * does) */
struct random *random_system(void);

struct random_seeded {
    struct random random;
    uint64_t state[4];
};
/** random_seeded_init() - the same @seed gives the same bytes, on every machine of one byte order
 */
void random_seeded_init(struct random_seeded *seeded, uint64_t seed);
