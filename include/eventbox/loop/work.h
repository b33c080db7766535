/*
 * Port: threads. A worker is one queue behind one gate, served by one or more threads. A job owns
 * copies of its inputs and touches nothing else; its done() runs on the loop.
 *
 * In production a worker is threads; in simulation its batches run in line, in an order that a seed
 * chooses, when work_sim_step() is called.
 *
 * Batches: a thread takes up to batch_max waiting jobs at once, which is how the journal and the
 * store group commits, and how one wake-up answers many jobs.
 */
#pragma once

#include <eventbox/base/list.h>
#include <eventbox/base/random.h>
#include <eventbox/loop/loop.h>

struct worker;

/* One job, embedded in its owner, which must keep it until done(). */
struct work {
    struct list link;
    void (*run)(
        struct work *work); /* on the worker's thread; unused when the worker has run_batch */
    void (*done)(struct work *work); /* on the loop, exactly once; NULL: fire and forget, run() may
                                        free it */
    int64_t submitted_ns;            /* loop time, for the wait metric */
};

struct worker_config {
    const char *name;   /* thread name and metric label, at most 15 characters */
    unsigned threads;   /* >= 1 */
    unsigned queue_max; /* jobs waiting, beyond which worker_submit() returns WORK_E_FULL */
    unsigned batch_max; /* jobs a thread takes at once; 0 or 1: one */
    int nice;           /* added to the thread's niceness */
    /* Turns on a processor, in microseconds: who asks for short ones is let in sooner when it has
     * something to do, for the same share of time. 0: the system's. A hint: Linux before 6.12
     * ignores it, and takes 100 to 100,000. */
    unsigned slice_us;
    /* Optional: handles all of @works at once (list of struct work.link). Jobs still on the list
     * when it returns are complete; it may unlink jobs and complete them later by
     * worker_complete(). */
    void (*run_batch)(void *userdata, struct list *works);
    void *userdata;
};

struct worker_stats {
    uint64_t submitted_count;
    uint64_t refused_count;
    uint64_t completed_count;
    unsigned queued; /* now waiting */
};

struct work_port {
    const struct work_port_ops *ops;
};

/** work_port_threads() - production: real threads; static */
struct work_port *work_port_threads(void);

int worker_new(struct work_port *port, struct loop *loop, const struct worker_config *config,
               struct worker **ret_worker);
/**
 * worker_submit() - queue @work
 * Thread: loop. Return: 0; WORK_E_FULL; WORK_E_STOPPED.
 */
int worker_submit(struct worker *worker, struct work *work);
/** worker_complete() - finish a job that run_batch unlinked. Thread: any */
void worker_complete(struct worker *worker, struct work *work);
/**
 * worker_stop() - refuse new jobs, let the queued ones run and their done() be called, join the
 * threads, then call @on_stopped on the loop and free the worker. Idempotent: a second call does
 * nothing. In simulation the queued jobs still wait for work_sim_step().
 */
void worker_stop(struct worker *worker, void (*on_stopped)(void *userdata), void *userdata);
void worker_stats(const struct worker *worker, struct worker_stats *ret_stats);

/* Simulation. */
struct work_port *work_port_sim_new(struct random *random);
/** work_sim_step() - run one batch of one worker with waiting jobs; false when none waits */
bool work_sim_step(struct work_port *port);
/** work_sim_abandon() - a crash: drop all queued jobs and workers without calling anything, free
 * the port. Before loop_free() */
void work_sim_abandon(struct work_port *port);
