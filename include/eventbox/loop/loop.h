/*
 * The one event loop, over libuv. It owns all module state; other threads reach it by
 * loop_post() alone.
 *
 * A simulated loop has no libuv inside: loop_step() runs what is due on its manual clock, so that
 * the topic log can be driven through millions of crash states in one thread.
 */
#pragma once

#include <eventbox/base/clock.h>
#include <eventbox/base/defs.h>
#include <eventbox/base/list.h>

struct loop;

/* A message to the loop, embedded in its owner. Pending at most once. */
struct loop_task {
    struct list link;
    void (*run)(struct loop_task *task);
};

/** loop_new() - a loop on libuv. Return 0 or negative */
int loop_new(struct clock *clock, struct loop **ret_loop);
/** loop_new_simulated() - no libuv, no sockets: timers, tasks and simulated workers only */
int loop_new_simulated(struct clock *clock, struct loop **ret_loop);
/**
 * loop_free() - every handle must be closed; runs what closing left over. A simulated loop drops
 * its tasks and timers without running them: that is a crash. Accepts NULL
 */
void loop_free(struct loop *loop);

/** loop_run() - until loop_stop() or nothing is left to wait for */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/** loop_step() - run due timers and tasks once without waiting; true when something ran */
bool loop_step(struct loop *loop);
/** loop_next_timer_ns() - monotonic time of the first timer, where a simulation turns its clock to;
 * -1: none runs */
int64_t loop_next_timer_ns(const struct loop *loop);

struct clock *loop_clock(struct loop *loop);
/** loop_now_ns() - monotonic time cached for this turn of the loop */
int64_t loop_now_ns(struct loop *loop);

/** loop_post() - run @task on the loop; nothing if it is pending already. Thread: any. Wake-ups are
 * coalesced */
void loop_post(struct loop *loop, struct loop_task *task);
/**
 * loop_defer() - run @task at the end of this turn; nothing if it is pending already. For
 * coalescing and to unwind the stack. list_remove(&task->link) takes it back. Thread: loop
 */
void loop_defer(struct loop *loop, struct loop_task *task);

/** loop_scratch() - one shared buffer of @ret_size bytes (64 KiB) for reads that are consumed at
 * once */
void *loop_scratch(struct loop *loop, size_t *ret_size);

/* A signal, as a loop event. */
struct loop_signal;
int loop_signal_start(struct loop *loop, int signum, void (*on_signal)(void *userdata, int signum),
                      void *userdata, struct loop_signal **ret_signal);
void loop_signal_stop(struct loop_signal *signal); /* closes and frees */
