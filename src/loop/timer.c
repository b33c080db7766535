/*
 * One binary heap for all timers of the loop.
 *
 * Rows are ordered by (due_ns, order). order counts starts, so timers due at the same instant fire
 * in the order in which they were started, and one pass over the heap can tell the timers that
 * were there when it began from those that its callbacks started: the latter wait for the next
 * turn, even with a delay of zero on a clock that stands still.
 */
#include "loop_internal.h"

#include <assert.h>
#include <stdlib.h>

static bool timer_before(const struct timer *a, const struct timer *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_set(struct timer_heap *heap, size_t index, struct timer *timer) {
    heap->rows[index] = timer;
    timer->heap_index = index;
}

static void heap_up(struct timer_heap *heap, size_t index, struct timer *timer) {
    while (index > 1 && timer_before(timer, heap->rows[index / 2])) {
        heap_set(heap, index, heap->rows[index / 2]);
        index /= 2;
    }
    heap_set(heap, index, timer);
}

static void heap_down(struct timer_heap *heap, size_t index, struct timer *timer) {
    for (;;) {
        size_t child = 2 * index;
        if (child > heap->count) {
            break;
        }
        if (child < heap->count && timer_before(heap->rows[child + 1], heap->rows[child])) {
            child++;
        }
        if (!timer_before(heap->rows[child], timer)) {
            break;
        }
        heap_set(heap, index, heap->rows[child]);
        index = child;
    }
    heap_set(heap, index, timer);
}

static void heap_place(struct timer_heap *heap, size_t index, struct timer *timer) {
    if (index > 1 && timer_before(timer, heap->rows[index / 2])) {
        heap_up(heap, index, timer);
    } else {
        heap_down(heap, index, timer);
    }
}

static void heap_grow(struct timer_heap *heap) {
    size_t capacity = heap->capacity ? 2 * heap->capacity : 64;
    struct timer **rows = realloc(heap->rows, capacity * sizeof *rows);
    if (!rows) {
        abort(); /* a deadline that never fires would be worse */
    }
    heap->rows = rows;
    heap->capacity = capacity;
}

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer)) {
    *timer = (struct timer){.loop = loop, .fire = fire};
}

void timer_start(struct timer *timer, int64_t delay_ns) {
    struct timer_heap *heap = &timer->loop->timers;
    int64_t now = loop_now_ns(timer->loop);
    delay_ns = MAX(delay_ns, 0);
    timer->due_ns = delay_ns > INT64_MAX - now ? INT64_MAX : now + delay_ns;
    timer->order = heap->next_order++;
    if (timer->heap_index) {
        heap_place(heap, timer->heap_index, timer);
        return;
    }
    if (heap->count + 2 > heap->capacity) {
        heap_grow(heap);
    }
    heap_up(heap, ++heap->count, timer);
}

void timer_start_ms(struct timer *timer, int64_t delay_ms) {
    timer_start(timer, delay_ms > INT64_MAX / NS_PER_MS ? INT64_MAX : delay_ms * NS_PER_MS);
}

void timer_stop(struct timer *timer) {
    size_t index = timer->heap_index;
    if (!index) {
        return;
    }
    struct timer_heap *heap = &timer->loop->timers;
    assert(heap->rows[index] == timer);
    timer->heap_index = 0;
    struct timer *last = heap->rows[heap->count--];
    if (last != timer) {
        heap_place(heap, index, last);
    }
}

void timers_run(struct loop *loop) {
    struct timer_heap *heap = &loop->timers;
    uint64_t started_before = heap->next_order;
    int64_t now = loop_now_ns(loop);
    while (heap->count > 0) {
        struct timer *first = heap->rows[1];
        if (first->due_ns > now || first->order >= started_before) {
            break;
        }
        timer_stop(first);
        loop->ran_count++;
        first->fire(first);
    }
}

int64_t timers_next_ns(const struct loop *loop) {
    return loop->timers.count > 0 ? loop->timers.rows[1]->due_ns : -1;
}

void timers_deinit(struct loop *loop) {
    free(loop->timers.rows);
    loop->timers = (struct timer_heap){0};
}
