/*
 * Workers on threads. One mutex a worker guards the queue on the way in and the list of finished
 * jobs on the way out. A thread takes up to batch_max jobs, runs them without the mutex and posts
 * one task to the loop for all that is finished by then, whatever thread finished it.
 *
 * unfinished_count is what keeps the loop running and a stopping worker alive: it rises on the loop
 * at submit and falls on the loop when done() has been called.
 */
#include "work_internal.h"

#include <eventbox/base/error.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACK_BYTES = 1024 * 1024 };

struct worker_threads {
    struct worker worker;
    struct loop_task task; /* posted when jobs finished or the last thread ended */

    pthread_mutex_t mutex; /* guards from here ... */
    pthread_cond_t wake;
    struct list queue;
    struct list finished;
    unsigned queued_count;
    unsigned silent_count; /* finished jobs without done() */
    unsigned sleeping_count;
    unsigned running_threads;
    bool stopping;
    uint64_t submitted_count, refused_count, completed_count; /* ... to here */

    unsigned unfinished_count; /* loop only, as all below */
    unsigned thread_count;
    void (*on_stopped)(void *userdata);
    void *stopped_userdata;
    pthread_t threads[];
};

static struct worker_threads *threads_of(const struct worker *worker) {
    return container_of((struct worker *)(uintptr_t)worker, struct worker_threads, worker);
}

static void take_batch(struct worker_threads *self, struct list *batch) {
    for (unsigned n = 0; n < self->worker.config.batch_max && self->queued_count > 0; n++) {
        list_push_back(batch, list_pop_front(&self->queue));
        self->queued_count--;
    }
}

/* As sched_setattr(2) has it, first version; of the C libraries not all know it. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns; /* the first: slice of a usual thread */
};

static void ask_for_slice(unsigned slice_us) {
    struct scheduling scheduling;
    const unsigned none = 0;
    if (syscall(SYS_sched_getattr, 0, &scheduling, (unsigned)sizeof scheduling, none) == 0) {
        scheduling.runtime_ns = (uint64_t)slice_us * 1000;
        (void)syscall(SYS_sched_setattr, 0, &scheduling, none); /* refused: as all others */
    }
}

static void thread_setup(struct worker_threads *self) {
    pthread_setname_np(pthread_self(), self->worker.name);
    if (self->worker.config.nice != 0) {
        id_t tid = (id_t)syscall(SYS_gettid);
        int niceness = getpriority(PRIO_PROCESS, tid) + self->worker.config.nice;
        setpriority(PRIO_PROCESS, tid, niceness); /* refused: as important as the rest, no harm */
    }
    if (self->worker.config.slice_us > 0) {
        ask_for_slice(self->worker.config.slice_us);
    }
}

static void *thread_main(void *userdata) {
    struct worker_threads *self = userdata;
    struct list batch = LIST_INIT(batch), finished = LIST_INIT(finished);
    thread_setup(self);
    pthread_mutex_lock(&self->mutex);
    for (;;) {
        while (self->queued_count == 0 && !self->stopping) {
            self->sleeping_count++;
            pthread_cond_wait(&self->wake, &self->mutex);
            self->sleeping_count--;
        }
        if (self->queued_count == 0) {
            break;
        }
        take_batch(self, &batch);
        pthread_mutex_unlock(&self->mutex);
        unsigned silent_count = worker_run_batch(&self->worker, &batch, &finished);
        bool post = silent_count > 0 || !list_empty(&finished);
        pthread_mutex_lock(&self->mutex);
        list_splice_back(&self->finished, &finished);
        self->silent_count += silent_count;
        if (post) {
            loop_post(self->worker.loop, &self->task);
        }
    }
    /* Posted under the mutex: once the loop has it, this thread touches nothing but its exit. */
    self->running_threads--;
    loop_post(self->worker.loop, &self->task);
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

static void threads_free(struct worker_threads *self) {
    for (unsigned i = 0; i < self->thread_count; i++) {
        pthread_join(self->threads[i], NULL);
    }
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

static void on_progress(struct loop_task *task) {
    struct worker_threads *self = container_of(task, struct worker_threads, task);
    struct loop *loop = self->worker.loop;
    struct list finished = LIST_INIT(finished);
    pthread_mutex_lock(&self->mutex);
    list_splice_back(&finished, &self->finished);
    unsigned count = self->silent_count;
    self->silent_count = 0;
    pthread_mutex_unlock(&self->mutex);

    count += worker_call_done(&finished);

    pthread_mutex_lock(&self->mutex);
    self->completed_count += count;
    bool ended = self->running_threads == 0;
    pthread_mutex_unlock(&self->mutex);
    for (unsigned i = 0; i < count; i++) {
        loop_release(loop);
    }
    self->unfinished_count -= count;
    if (ended && self->unfinished_count == 0) {
        void (*on_stopped)(void *) = self->on_stopped;
        void *userdata = self->stopped_userdata;
        loop_unpost(loop, task);
        threads_free(self);
        loop_release(loop);
        if (on_stopped) {
            on_stopped(userdata);
        }
    }
}

static int threads_submit(struct worker *worker, struct work *work) {
    struct worker_threads *self = threads_of(worker);
    work->submitted_ns = loop_now_ns(worker->loop);
    int r = 0;
    pthread_mutex_lock(&self->mutex);
    if (self->stopping) {
        r = WORK_E_STOPPED;
    } else if (self->queued_count >= worker->config.queue_max) {
        r = WORK_E_FULL;
    }
    if (r == 0) {
        list_push_back(&self->queue, &work->link);
        self->queued_count++;
        self->submitted_count++;
        if (self->sleeping_count > 0) {
            pthread_cond_signal(&self->wake);
        }
    } else {
        self->refused_count++;
    }
    pthread_mutex_unlock(&self->mutex);
    if (r != 0) {
        return err_origin(r);
    }
    self->unfinished_count++;
    loop_hold(worker->loop);
    return 0;
}

static void threads_complete(struct worker *worker, struct work *work) {
    struct worker_threads *self = threads_of(worker);
    pthread_mutex_lock(&self->mutex);
    if (work->done) {
        list_push_back(&self->finished, &work->link);
    } else {
        self->silent_count++;
    }
    loop_post(worker->loop, &self->task);
    pthread_mutex_unlock(&self->mutex);
}

static void threads_stop(struct worker *worker, void (*on_stopped)(void *), void *userdata) {
    struct worker_threads *self = threads_of(worker);
    pthread_mutex_lock(&self->mutex);
    bool first = !self->stopping;
    self->stopping = true;
    pthread_cond_broadcast(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    if (first) {
        self->on_stopped = on_stopped;
        self->stopped_userdata = userdata;
        loop_hold(worker->loop);
    }
}

static void threads_stats(const struct worker *worker, struct worker_stats *ret_stats) {
    struct worker_threads *self = threads_of(worker);
    pthread_mutex_lock(&self->mutex);
    *ret_stats = (struct worker_stats){
        .submitted_count = self->submitted_count,
        .refused_count = self->refused_count,
        .completed_count = self->completed_count,
        .queued = self->queued_count,
    };
    pthread_mutex_unlock(&self->mutex);
}

/* Signals are the loop's: the threads are born with all of them blocked. */
static int start_threads(struct worker_threads *self, unsigned count) {
    pthread_attr_t attr;
    sigset_t all, before;
    int r = pthread_attr_init(&attr);
    if (r != 0) {
        return err_origin(-r);
    }
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&self->mutex);
    while (r == 0 && self->thread_count < count) {
        r = pthread_create(&self->threads[self->thread_count], &attr, thread_main, self);
        if (r == 0) {
            self->thread_count++;
            self->running_threads++;
        }
    }
    pthread_mutex_unlock(&self->mutex);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return r == 0 ? 0 : err_origin(-r);
}

static const struct work_port_ops threads_ops;

static int threads_worker_new(struct work_port *port, struct loop *loop,
                              const struct worker_config *config, struct worker **ret_worker) {
    (void)port;
    unsigned count = MAX(config->threads, 1u);
    struct worker_threads *self = calloc(1, sizeof *self + count * sizeof self->threads[0]);
    if (!self) {
        return err_origin(-ENOMEM);
    }
    worker_init(&self->worker, &threads_ops, loop, config);
    self->task.run = on_progress;
    list_init(&self->queue);
    list_init(&self->finished);
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->wake, NULL);
    int r = start_threads(self, count);
    if (r != 0) {
        threads_stop(&self->worker, NULL, NULL);
        loop_release(loop);
        for (; self->thread_count > 0; self->thread_count--) {
            pthread_join(self->threads[self->thread_count - 1], NULL);
        }
        loop_unpost(loop, &self->task); /* what the threads said when they ended */
        threads_free(self);
        return err_trace(r);
    }
    *ret_worker = &self->worker;
    return 0;
}

static const struct work_port_ops threads_ops = {
    .worker_new = threads_worker_new,
    .submit = threads_submit,
    .complete = threads_complete,
    .stop = threads_stop,
    .stats = threads_stats,
};

struct work_port *work_port_threads(void) {
    static struct work_port port = {&threads_ops};
    return &port;
}
