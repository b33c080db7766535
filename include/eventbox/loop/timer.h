/*
 * Timers: one binary heap on the loop's clock, driven by one uv_timer. Embedded in their owner.
 * Thread: loop.
 */
#pragma once

#include <eventbox/loop/loop.h>

struct timer {
    int64_t due_ns;
    uint64_t order;    /* of the starts: equal times fire in this order */
    size_t heap_index; /* 1-based; 0: not running */
    struct loop *loop;
    void (*fire)(struct timer *timer);
};

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer));
/** timer_start() - (re)arm to fire once in @delay_ns; 0 fires in the next turn. Aborts only without
 * memory for the heap */
void timer_start(struct timer *timer, int64_t delay_ns);
void timer_start_ms(struct timer *timer, int64_t delay_ms);
void timer_stop(struct timer *timer); /* harmless when not running */
static inline bool timer_running(const struct timer *timer) {
    return timer->heap_index != 0;
}
