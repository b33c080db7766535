#include "work_internal.h"

#include <stdio.h>

void worker_init(struct worker *worker, const struct work_port_ops *ops, struct loop *loop,
                 const struct worker_config *config) {
    worker->ops = ops;
    worker->loop = loop;
    worker->config = *config;
    snprintf(worker->name, sizeof worker->name, "%s", config->name);
    worker->config.name = worker->name;
    worker->config.batch_max = MAX(config->batch_max, 1u);
    worker->config.threads = MAX(config->threads, 1u);
}

unsigned worker_run_batch(struct worker *worker, struct list *batch, struct list *finished) {
    unsigned silent_count = 0;
    struct list *link;
    if (worker->config.run_batch) {
        worker->config.run_batch(worker->config.userdata, batch);
    }
    while ((link = list_pop_front(batch))) {
        struct work *work = list_entry(link, struct work, link);
        bool silent = !work->done;
        if (!worker->config.run_batch) {
            work->run(work); /* a silent job may be gone afterwards */
        }
        if (silent) {
            silent_count++;
        } else {
            list_push_back(finished, link);
        }
    }
    return silent_count;
}

unsigned worker_call_done(struct list *finished) {
    unsigned count = 0;
    struct list *link;
    while ((link = list_pop_front(finished))) {
        struct work *work = list_entry(link, struct work, link);
        count++;
        work->done(work);
    }
    return count;
}

int worker_new(struct work_port *port, struct loop *loop, const struct worker_config *config,
               struct worker **ret_worker) {
    return port->ops->worker_new(port, loop, config, ret_worker);
}

int worker_submit(struct worker *worker, struct work *work) {
    return worker->ops->submit(worker, work);
}

void worker_complete(struct worker *worker, struct work *work) {
    worker->ops->complete(worker, work);
}

void worker_stop(struct worker *worker, void (*on_stopped)(void *userdata), void *userdata) {
    worker->ops->stop(worker, on_stopped, userdata);
}

void worker_stats(const struct worker *worker, struct worker_stats *ret_stats) {
    worker->ops->stats(worker, ret_stats);
}
