/*
 * One turn of the loop, in libuv's order:
 *
 *   timers -> idle -> prepare -> wait and sockets -> closed handles -> next turn
 *
 * Posted and deferred tasks run in prepare, that is after all sockets and timers have been served
 * and before the loop may sleep: there the answers of a whole turn leave in one write. A task that
 * is still pending after prepare (tasks may start tasks for a while, see DRAIN_ROUNDS) keeps the
 * idle handle running, with which libuv does not sleep.
 *
 * The time of a turn is read at most once, at the first question after the loop woke up.
 *
 * In a simulated loop the same lists and the same timer heap are driven by loop_step() alone.
 */
#include "loop_internal.h"

#include <eventbox/base/error.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { SCRATCH_BYTES = 64 * 1024, DRAIN_ROUNDS = 8 };

int64_t loop_now_ns(struct loop *loop) {
    if (!loop->now_valid) {
        loop->now_ns = clock_mono_ns(loop->clock);
        loop->now_valid = true;
    }
    return loop->now_ns;
}

struct clock *loop_clock(struct loop *loop) {
    return loop->clock;
}

int64_t loop_next_timer_ns(const struct loop *loop) {
    return timers_next_ns(loop);
}

void *loop_scratch(struct loop *loop, size_t *ret_size) {
    *ret_size = SCRATCH_BYTES;
    return loop->scratch;
}

/* ---- tasks ---- */

void loop_post(struct loop *loop, struct loop_task *task) {
    bool wake = false;
    pthread_mutex_lock(&loop->mutex);
    if (!list_linked(&task->link)) {
        /* The loop's own thread looks at the list before it sleeps. */
        wake = list_empty(&loop->posted) && !pthread_equal(pthread_self(), loop->thread);
        list_push_back(&loop->posted, &task->link);
    }
    pthread_mutex_unlock(&loop->mutex);
    if (wake && !loop->simulated) {
        uv_async_send(&loop->async);
    }
}

void loop_unpost(struct loop *loop, struct loop_task *task) {
    pthread_mutex_lock(&loop->mutex);
    list_remove(&task->link);
    pthread_mutex_unlock(&loop->mutex);
}

void loop_defer(struct loop *loop, struct loop_task *task) {
    if (!list_linked(&task->link)) {
        list_push_back(&loop->deferred, &task->link);
    }
}

static void run_posted(struct loop *loop) {
    struct list *link;
    pthread_mutex_lock(&loop->mutex);
    list_splice_back(&loop->running, &loop->posted);
    /* One by one: another thread may look at the link of a task that has not run yet. */
    while ((link = list_pop_front(&loop->running))) {
        pthread_mutex_unlock(&loop->mutex);
        struct loop_task *task = list_entry(link, struct loop_task, link);
        loop->ran_count++;
        task->run(task);
        pthread_mutex_lock(&loop->mutex);
    }
    pthread_mutex_unlock(&loop->mutex);
}

static void run_deferred(struct loop *loop) {
    struct list *link;
    for (int round = 0; round < DRAIN_ROUNDS && !list_empty(&loop->deferred); round++) {
        list_splice_back(&loop->deferring, &loop->deferred);
        while ((link = list_pop_front(&loop->deferring))) {
            struct loop_task *task = list_entry(link, struct loop_task, link);
            loop->ran_count++;
            task->run(task);
        }
    }
}

/* Whoever runs the loop is its thread from now on. */
static void enter_thread(struct loop *loop) {
    pthread_mutex_lock(&loop->mutex);
    loop->thread = pthread_self();
    pthread_mutex_unlock(&loop->mutex);
    loop->now_valid = false;
}

static bool has_tasks(struct loop *loop) {
    pthread_mutex_lock(&loop->mutex);
    bool posted = !list_empty(&loop->posted);
    pthread_mutex_unlock(&loop->mutex);
    return posted || !list_empty(&loop->deferred);
}

static void drain(struct loop *loop) {
    run_posted(loop);
    run_deferred(loop);
}

/* ---- libuv ---- */

static void on_async(uv_async_t *async) {
    (void)async; /* it has woken the loop, prepare does the rest */
}

static void on_idle(uv_idle_t *idle) {
    uv_idle_stop(idle);
}

static void on_uv_timer(uv_timer_t *uv_timer) {
    struct loop *loop = uv_timer->data;
    loop->armed_ns = 0;
    loop->now_valid = false;
    timers_run(loop);
}

static void arm(struct loop *loop) {
    int64_t due = timers_next_ns(loop);
    if (due < 0) {
        if (loop->armed_ns) {
            uv_timer_stop(&loop->uv_timer);
            loop->armed_ns = 0;
        }
        return;
    }
    due = MAX(due, 1);
    if (due == loop->armed_ns) {
        return;
    }
    int64_t wait_ns = MAX(due - loop_now_ns(loop), 0);
    /* Rounded up; libuv counts from its own idea of now, so a wake-up may still come early: then
     * nothing is due and the rest is waited for again. */
    uint64_t wait_ms = (uint64_t)(wait_ns / NS_PER_MS) + (wait_ns % NS_PER_MS != 0);
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->uv_timer, on_uv_timer, wait_ms, 0);
    loop->armed_ns = due;
}

static void on_prepare(uv_prepare_t *prepare) {
    struct loop *loop = prepare->data;
    drain(loop);
    arm(loop);
    if (has_tasks(loop)) {
        uv_idle_start(&loop->idle, on_idle);
    }
    loop->now_valid = false; /* the loop may sleep now */
}

void loop_hold(struct loop *loop) {
    if (loop->hold_count++ == 0 && !loop->simulated) {
        uv_ref((uv_handle_t *)&loop->async);
    }
}

void loop_release(struct loop *loop) {
    assert(loop->hold_count > 0);
    if (--loop->hold_count == 0 && !loop->simulated) {
        uv_unref((uv_handle_t *)&loop->async);
    }
}

/* ---- life ---- */

static struct loop *loop_alloc(struct clock *clock, bool simulated) {
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        return NULL;
    }
    loop->scratch = malloc(SCRATCH_BYTES);
    if (!loop->scratch) {
        free(loop);
        return NULL;
    }
    loop->clock = clock;
    loop->simulated = simulated;
    loop->thread = pthread_self();
    list_init(&loop->deferred);
    list_init(&loop->deferring);
    list_init(&loop->posted);
    list_init(&loop->running);
    pthread_mutex_init(&loop->mutex, NULL);
    return loop;
}

static void loop_dealloc(struct loop *loop) {
    timers_deinit(loop);
    conn_pool_deinit(&loop->conn_pool);
    pthread_mutex_destroy(&loop->mutex);
    free(loop->scratch);
    free(loop);
}

int loop_new_simulated(struct clock *clock, struct loop **ret_loop) {
    struct loop *loop = loop_alloc(clock, true);
    if (!loop) {
        return err_origin(-ENOMEM);
    }
    *ret_loop = loop;
    return 0;
}

int loop_new(struct clock *clock, struct loop **ret_loop) {
    struct loop *loop = loop_alloc(clock, false);
    if (!loop) {
        return err_origin(-ENOMEM);
    }
    int r = uv_loop_init(&loop->uv);
    if (r != 0) {
        loop_dealloc(loop);
        return err_origin(r);
    }
    r = uv_async_init(&loop->uv, &loop->async, on_async);
    if (r != 0) {
        uv_loop_close(&loop->uv);
        loop_dealloc(loop);
        return err_origin(r);
    }
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->uv_timer);
    loop->prepare.data = loop->uv_timer.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_unref((uv_handle_t *)&loop->async);
    uv_unref((uv_handle_t *)&loop->prepare);
    /* A peer that has gone away is an error of one write, not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    *ret_loop = loop;
    return 0;
}

void loop_free(struct loop *loop) {
    if (!loop) {
        return;
    }
    if (!loop->simulated) {
        enter_thread(loop);
        for (int round = 0; round < DRAIN_ROUNDS && has_tasks(loop); round++) {
            drain(loop);
        }
        uv_close((uv_handle_t *)&loop->async, NULL);
        uv_close((uv_handle_t *)&loop->prepare, NULL);
        uv_close((uv_handle_t *)&loop->idle, NULL);
        uv_close((uv_handle_t *)&loop->uv_timer, NULL);
        while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0) {
            /* a loop_stop() between two turns ends the next run before it begins */
        }
        drain(loop);
        int r = uv_loop_close(&loop->uv);
        assert(r == 0);
        (void)r;
    }
    loop_dealloc(loop);
}

void loop_run(struct loop *loop) {
    loop->stopped = false;
    enter_thread(loop);
    do {
        if (loop->simulated) {
            if (!loop_step(loop)) {
                return;
            }
            continue;
        }
        drain(loop);
        arm(loop);
        loop->now_valid = false;
        if (!loop->stopped) {
            uv_run(&loop->uv, UV_RUN_DEFAULT);
            /* Closing the last handle may have deferred something: the last turn's end. */
            drain(loop);
            arm(loop);
        }
    } while (!loop->stopped && (loop->simulated || has_tasks(loop) || uv_loop_alive(&loop->uv)));
}

void loop_stop(struct loop *loop) {
    loop->stopped = true;
    if (!loop->simulated) {
        uv_stop(&loop->uv);
    }
}

bool loop_step(struct loop *loop) {
    uint64_t ran_before = loop->ran_count;
    enter_thread(loop);
    if (loop->simulated) {
        run_posted(loop);
        timers_run(loop);
        run_deferred(loop);
    } else {
        drain(loop);
        arm(loop);
        uv_run(&loop->uv, UV_RUN_NOWAIT);
        drain(loop);
        arm(loop);
    }
    loop->now_valid = false;
    return loop->ran_count != ran_before;
}

/* ---- signals ---- */

struct loop_signal {
    uv_signal_t uv;
    struct loop *loop;
    void (*on_signal)(void *userdata, int signum);
    void *userdata;
};

static void on_uv_signal(uv_signal_t *uv, int signum) {
    struct loop_signal *signal = uv->data;
    signal->loop->ran_count++;
    signal->on_signal(signal->userdata, signum);
}

int loop_signal_start(struct loop *loop, int signum, void (*on_signal)(void *userdata, int signum),
                      void *userdata, struct loop_signal **ret_signal) {
    struct loop_signal *signal = calloc(1, sizeof *signal);
    if (!signal) {
        return err_origin(-ENOMEM);
    }
    signal->loop = loop;
    signal->on_signal = on_signal;
    signal->userdata = userdata;
    signal->uv.data = signal;
    int r = uv_signal_init(&loop->uv, &signal->uv);
    if (r != 0) {
        free(signal);
        return err_origin(r);
    }
    r = uv_signal_start(&signal->uv, on_uv_signal, signum);
    if (r != 0) {
        loop_signal_stop(signal);
        return err_origin(r);
    }
    uv_unref((uv_handle_t *)&signal->uv); /* waiting for a signal alone is no reason to run on */
    *ret_signal = signal;
    return 0;
}

static void on_signal_closed(uv_handle_t *handle) {
    free(handle->data);
}

void loop_signal_stop(struct loop_signal *signal) {
    if (signal) {
        uv_close((uv_handle_t *)&signal->uv, on_signal_closed);
    }
}
