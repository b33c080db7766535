/* What the files of src/loop share: the loop's inside. libuv is seen from here on, and nowhere
 * else. */
#pragma once

#include <eventbox/loop/loop.h>
#include <eventbox/loop/timer.h>

#include <pthread.h>
#include <uv.h>

struct conn_out;

struct timer_heap {
    struct timer **rows; /* 1-based binary heap by (due_ns, order) */
    size_t count;
    size_t capacity;
    uint64_t next_order;
};

/* Of a piece of a write queue. Nodes refer to bytes elsewhere, the others have some of their own.
 */
enum conn_piece_size {
    CONN_PIECE_NODE,
    CONN_PIECE_TINY,
    CONN_PIECE_SMALL,
    CONN_PIECE_PAGE,
    CONN_PIECE_SIZES, /* and none of them */
};

/* Free pieces, kept so that a small answer costs no malloc. */
struct conn_pool {
    struct conn_out *free[CONN_PIECE_SIZES];
    unsigned counts[CONN_PIECE_SIZES];
};

struct loop {
    struct clock *clock;
    bool simulated;
    bool stopped;

    int64_t now_ns;
    bool now_valid;

    struct list deferred; /* loop thread only */
    struct list deferring;
    pthread_mutex_t mutex; /* guards the two lists below, the links on them, thread */
    pthread_t thread;
    struct list posted;
    struct list running;

    struct timer_heap timers;
    int64_t armed_ns; /* what uv_timer waits for; 0: not armed */

    unsigned hold_count; /* reasons to wait that libuv does not know of: jobs on threads */
    uint64_t ran_count;  /* callbacks so far, for loop_step() */
    struct conn_pool conn_pool;
    void *scratch;

    uv_loop_t uv;
    uv_async_t async;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_timer_t uv_timer;
};

/** loop_hold() - loop_run() goes on until loop_release(). Thread: loop */
void loop_hold(struct loop *loop);
void loop_release(struct loop *loop);
/** loop_unpost() - take back a posted task that has not run */
void loop_unpost(struct loop *loop, struct loop_task *task);

/** timers_run() - fire what was due when the call began */
void timers_run(struct loop *loop);
/** timers_next_ns() - when the first timer is due; -1 when none runs */
int64_t timers_next_ns(const struct loop *loop);
void timers_deinit(struct loop *loop);

void conn_pool_deinit(struct conn_pool *pool);
