/* The inside of the worker port: what both kinds of workers begin with. */
#pragma once

#include "loop_internal.h"

#include <eventbox/loop/work.h>

/* Both kinds of workers begin with this. */
struct worker {
    const struct work_port_ops *ops;
    struct loop *loop;
    struct worker_config config;
    char name[16];
};

struct work_port_ops {
    int (*worker_new)(struct work_port *port, struct loop *loop, const struct worker_config *config,
                      struct worker **ret_worker);
    int (*submit)(struct worker *worker, struct work *work);
    void (*complete)(struct worker *worker, struct work *work);
    void (*stop)(struct worker *worker, void (*on_stopped)(void *userdata), void *userdata);
    void (*stats)(const struct worker *worker, struct worker_stats *ret_stats);
};

/** worker_init() - the common part; copies the name, makes batch_max at least 1 */
void worker_init(struct worker *worker, const struct work_port_ops *ops, struct loop *loop,
                 const struct worker_config *config);
/**
 * worker_run_batch() - run all of @batch off the loop's state; what has a done() and is complete
 * ends up on @finished. Return: how many jobs without done() are complete.
 */
unsigned worker_run_batch(struct worker *worker, struct list *batch, struct list *finished);
/** worker_call_done() - done() of every job on @finished, which may grow meanwhile; returns their
 * number */
unsigned worker_call_done(struct list *finished);
