/*
 * An operation is a page read downwards: its own struct with struct op first, and a table of named
 * steps. The driver in op.c alone moves forward.
 *
 * A step returns OP_NEXT, OP_WAIT, OP_DONE (skip what is left) or an error of either sign. Before
 * OP_WAIT it starts something that calls op_resume() exactly once, on the loop. op_resume() may be
 * called before the step has returned: the driver then goes on after the return. A nonzero status
 * given to op_resume() fails the operation; steps that expect positive codes take them in their own
 * completion and call op_resume(op, 0).
 *
 * op_cancel() runs the cancel hook of the current wait, if any, and makes the operation end with
 * the reason as soon as its wait has completed: the memory of a running job is never pulled away.
 */
#pragma once

#include <eventbox/base/error.h>
#include <eventbox/base/trace.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/timer.h>
#include <eventbox/loop/work.h>

enum op_result { OP_NEXT = 0, OP_WAIT = 1, OP_DONE = 2 };

struct op;

struct op_step {
    const char *name; /* appears in traces and latency metrics */
    int (*run)(struct op *op);
};

typedef void (*op_finish_fn)(struct op *op, int status);
typedef void (*op_cancel_fn)(struct op *op);

struct op {
    const char *name;            /* "users.create" */
    const struct op_step *steps; /* ends with a row of zeros */
    unsigned step;
    struct loop *loop;
    struct trace trace; /* set by the caller before op_start() */
    op_finish_fn finish;
    op_cancel_fn cancel;
    int wait_status;
    int cancel_reason;
    bool in_step, waiting, resumed;
    int64_t started_ns, step_started_ns;
    struct work work; /* for op_wait_work() */
    int (*work_run)(struct op *op);
    int work_status;
    struct timer timer; /* for op_wait_ms() */
};

/**
 * op_start() - run the steps from the first; @finish is called exactly once, on the loop, with 0 or
 * the error, possibly before op_start() returns; it may free the memory of @op.
 */
void op_start(struct op *op, struct loop *loop, const char *name, const struct op_step *steps,
              op_finish_fn finish);
/** op_wait() - install the cancel hook (may be NULL) and return OP_WAIT, for `return op_wait(op,
 * hook)` */
int op_wait(struct op *op, op_cancel_fn cancel);
/** op_resume() - complete the wait. Thread: loop */
void op_resume(struct op *op, int status);
void op_cancel(struct op *op, int reason);

/** op_wait_work() - run @run(op) on @worker; its result resumes the op. WORK_E_FULL when the gate
 * is full */
int op_wait_work(struct op *op, struct worker *worker, int (*run)(struct op *op));
int op_wait_ms(struct op *op, int64_t delay_ms);

/* One observer for all operations, for metrics and traces; NULL to remove. */
typedef void (*op_observe_fn)(const struct op *op, const char *step, int64_t duration_ns,
                              int result);
void op_set_observer(op_observe_fn observe);
