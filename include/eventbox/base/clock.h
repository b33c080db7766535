/* Port: time. Production reads the system; tests and simulation turn it by hand. */
#pragma once

#include <eventbox/base/defs.h>

struct clock {
    int64_t (*mono_ns)(struct clock *clock); /* never goes back; for timers and durations */
    int64_t (*wall_ns)(struct clock *clock); /* Unix time; for people and records */
};

static inline int64_t clock_mono_ns(struct clock *clock) {
    return clock->mono_ns(clock);
}
static inline int64_t clock_wall_ns(struct clock *clock) {
    return clock->wall_ns(clock);
}
static inline int64_t clock_wall_ms(struct clock *clock) {
    return clock->wall_ns(clock) / NS_PER_MS;
}

/** clock_system() - the machine's clock; static, any thread */
struct clock *clock_system(void);

struct clock_manual {
    struct clock clock;
    int64_t mono_ns;
    int64_t wall_ns;
};
void clock_manual_init(struct clock_manual *manual, int64_t wall_ns);
void clock_manual_advance(struct clock_manual *manual, int64_t ns); /* both times */

enum { CLOCK_RFC3339_SIZE = 32 };
/** clock_format_rfc3339() - "2026-11-22T10:00:00.123Z" with @digits (0, 3, 6, 9) of the second */
size_t clock_format_rfc3339(int64_t wall_ns, int digits, char out[CLOCK_RFC3339_SIZE]);
