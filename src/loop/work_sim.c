/*
 * Workers in simulation: nothing runs until work_sim_step() picks, by the port's random source, one
 * worker with waiting jobs, how many of them make a batch, and, where the worker stands for
 * several threads, which ones. done() goes through the loop as it does in production.
 */
#include "work_internal.h"

#include <eventbox/base/error.h>

#include <errno.h>
#include <stdlib.h>

struct work_sim {
    struct work_port port;
    struct random *random;
    struct list workers; /* struct worker_sim.link */
};

struct worker_sim {
    struct worker worker;
    struct list link;
    struct work_sim *sim;
    struct loop_task task;
    struct list queue;
    struct list finished;
    unsigned silent_count;
    unsigned unfinished_count;
    bool stopping;
    struct worker_stats stats;
    void (*on_stopped)(void *userdata);
    void *stopped_userdata;
};

static struct worker_sim *sim_of(const struct worker *worker) {
    return container_of((struct worker *)(uintptr_t)worker, struct worker_sim, worker);
}

static void on_progress(struct loop_task *task) {
    struct worker_sim *self = container_of(task, struct worker_sim, task);
    struct list finished = LIST_INIT(finished);
    list_splice_back(&finished, &self->finished);
    unsigned count = self->silent_count;
    self->silent_count = 0;
    count += worker_call_done(&finished);
    self->stats.completed_count += count;
    self->unfinished_count -= count;
    if (self->stopping && self->unfinished_count == 0) {
        void (*on_stopped)(void *) = self->on_stopped;
        void *userdata = self->stopped_userdata;
        loop_unpost(self->worker.loop, task);
        list_remove(&self->link);
        free(self);
        if (on_stopped) {
            on_stopped(userdata);
        }
    }
}

static int sim_submit(struct worker *worker, struct work *work) {
    struct worker_sim *self = sim_of(worker);
    if (self->stopping || self->stats.queued >= worker->config.queue_max) {
        self->stats.refused_count++;
        return err_origin(self->stopping ? WORK_E_STOPPED : WORK_E_FULL);
    }
    work->submitted_ns = loop_now_ns(worker->loop);
    list_push_back(&self->queue, &work->link);
    self->stats.queued++;
    self->stats.submitted_count++;
    self->unfinished_count++;
    return 0;
}

static void sim_complete(struct worker *worker, struct work *work) {
    struct worker_sim *self = sim_of(worker);
    if (work->done) {
        list_push_back(&self->finished, &work->link);
    } else {
        self->silent_count++;
    }
    loop_post(worker->loop, &self->task);
}

static void sim_stop(struct worker *worker, void (*on_stopped)(void *), void *userdata) {
    struct worker_sim *self = sim_of(worker);
    if (!self->stopping) {
        self->stopping = true;
        self->on_stopped = on_stopped;
        self->stopped_userdata = userdata;
        loop_post(worker->loop, &self->task);
    }
}

static void sim_stats(const struct worker *worker, struct worker_stats *ret_stats) {
    *ret_stats = sim_of(worker)->stats;
}

static const struct work_port_ops sim_ops;

static int sim_worker_new(struct work_port *port, struct loop *loop,
                          const struct worker_config *config, struct worker **ret_worker) {
    struct work_sim *sim = container_of(port, struct work_sim, port);
    struct worker_sim *self = calloc(1, sizeof *self);
    if (!self) {
        return err_origin(-ENOMEM);
    }
    worker_init(&self->worker, &sim_ops, loop, config);
    self->sim = sim;
    self->task.run = on_progress;
    list_init(&self->queue);
    list_init(&self->finished);
    list_push_back(&sim->workers, &self->link);
    *ret_worker = &self->worker;
    return 0;
}

static const struct work_port_ops sim_ops = {
    .worker_new = sim_worker_new,
    .submit = sim_submit,
    .complete = sim_complete,
    .stop = sim_stop,
    .stats = sim_stats,
};

struct work_port *work_port_sim_new(struct random *random) {
    struct work_sim *sim = calloc(1, sizeof *sim);
    if (!sim) {
        return NULL;
    }
    sim->port.ops = &sim_ops;
    sim->random = random;
    list_init(&sim->workers);
    return &sim->port;
}

/* With one thread the queue is first in, first out; with N any of the first N may be next. */
static struct list *take_one(struct worker_sim *self) {
    unsigned reach = MIN(self->worker.config.threads, self->stats.queued);
    uint64_t skip = reach > 1 ? random_below(self->sim->random, reach) : 0;
    struct list *link = self->queue.next;
    for (; skip > 0; skip--) {
        link = link->next;
    }
    list_remove(link);
    self->stats.queued--;
    return link;
}

static struct worker_sim *pick_worker(struct work_sim *sim) {
    unsigned ready_count = 0;
    list_for_each(link, &sim->workers) {
        ready_count += list_entry(link, struct worker_sim, link)->stats.queued > 0;
    }
    if (ready_count == 0) {
        return NULL;
    }
    uint64_t skip = random_below(sim->random, ready_count);
    list_for_each(link, &sim->workers) {
        struct worker_sim *self = list_entry(link, struct worker_sim, link);
        if (self->stats.queued > 0 && skip-- == 0) {
            return self;
        }
    }
    return NULL;
}

bool work_sim_step(struct work_port *port) {
    struct work_sim *sim = container_of(port, struct work_sim, port);
    struct worker_sim *self = pick_worker(sim);
    if (!self) {
        return false;
    }
    struct list batch = LIST_INIT(batch);
    uint64_t most = MIN(self->worker.config.batch_max, self->stats.queued);
    for (uint64_t n = 1 + random_below(sim->random, most); n > 0; n--) {
        list_push_back(&batch, take_one(self));
    }
    self->silent_count += worker_run_batch(&self->worker, &batch, &self->finished);
    if (self->silent_count > 0 || !list_empty(&self->finished)) {
        loop_post(self->worker.loop, &self->task);
    }
    return true;
}

void work_sim_abandon(struct work_port *port) {
    if (!port) {
        return;
    }
    struct work_sim *sim = container_of(port, struct work_sim, port);
    struct list *link;
    while ((link = list_pop_front(&sim->workers))) {
        struct worker_sim *self = list_entry(link, struct worker_sim, link);
        loop_unpost(self->worker.loop, &self->task);
        free(self);
    }
    free(sim);
}
