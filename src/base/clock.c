#include <eventbox/base/clock.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now); /* cannot fail for these two clocks */
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static int64_t system_mono_ns(struct clock *clock) {
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall_ns(struct clock *clock) {
    return read_clock(CLOCK_REALTIME);
}

struct clock *clock_system(void) {
    static struct clock system = {.mono_ns = system_mono_ns, .wall_ns = system_wall_ns};
    return &system;
}

static int64_t manual_mono_ns(struct clock *clock) {
    return container_of(clock, struct clock_manual, clock)->mono_ns;
}

static int64_t manual_wall_ns(struct clock *clock) {
    return container_of(clock, struct clock_manual, clock)->wall_ns;
}

void clock_manual_init(struct clock_manual *manual, int64_t wall_ns) {
    *manual = (struct clock_manual){
        .clock = {.mono_ns = manual_mono_ns, .wall_ns = manual_wall_ns},
        .mono_ns = NS_PER_SEC, /* not zero, which often means "never" */
        .wall_ns = wall_ns,
    };
}

void clock_manual_advance(struct clock_manual *manual, int64_t ns) {
    manual->mono_ns += ns;
    manual->wall_ns += ns;
}

size_t clock_format_rfc3339(int64_t wall_ns, int digits, char out[CLOCK_RFC3339_SIZE]) {
    time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
    int64_t fraction = wall_ns % NS_PER_SEC;
    struct tm tm;
    int used;

    if (fraction < 0) { /* before 1970 */
        fraction += NS_PER_SEC;
        seconds--;
    }
    gmtime_r(&seconds, &tm); /* an int64_t of nanoseconds ends in 2262 */
    used = snprintf(out, CLOCK_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (digits > 0) {
        for (int i = MIN(digits, 9); i < 9; i++) {
            fraction /= 10;
        }
        used += snprintf(out + used, CLOCK_RFC3339_SIZE - (size_t)used, ".%0*d", MIN(digits, 9),
                         (int)fraction);
    }
    used += snprintf(out + used, CLOCK_RFC3339_SIZE - (size_t)used, "Z");
    return (size_t)used;
}
