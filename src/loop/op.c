/*
 * The driver of operations: the only code that moves op->step.
 *
 * A step is in one of three places:
 *
 *   in_step   its function is on the stack. op_resume() only notes that the wait is over
 *             (resumed), op_cancel() only notes the reason.
 *   waiting   its function has returned OP_WAIT. op_resume() goes on at once, op_cancel() runs the
 *             cancel hook once; the hook makes the wait complete sooner, it does not complete it.
 *   complete  its result is known: the observer hears of it, and the next step runs or the
 *             operation ends.
 *
 * Once a reason to cancel is noted, the operation ends with it at the next completion, whatever the
 * result. finish() may free the operation, so nothing touches it after the call.
 */
#include <eventbox/loop/op.h>

#include <assert.h>
#include <errno.h>

static op_observe_fn observer;

void op_set_observer(op_observe_fn observe) {
    observer = observe;
}

static void observe(const struct op *op, int result) {
    if (observer) {
        observer(op, op->steps[op->step].name, loop_now_ns(op->loop) - op->step_started_ns, result);
    }
}

/* What a completed step means for the operation: true when it ends, with *ret_status. */
static bool complete(struct op *op, int result, int *ret_status) {
    if (op->cancel_reason != 0) {
        result = op->cancel_reason;
    } else if (result > OP_DONE && result < ERROR_FIRST) {
        result = err_origin(-EPROTO); /* a step's function returned what no step may */
    }
    observe(op, result == OP_NEXT || result == OP_DONE ? 0 : result);
    if (result == OP_NEXT) {
        op->step++;
        *ret_status = 0;
        return op->steps[op->step].run == NULL;
    }
    *ret_status = result == OP_DONE ? 0 : result;
    return true;
}

static void run_cancel_hook(struct op *op) {
    op_cancel_fn cancel = op->cancel;
    op->cancel = NULL;
    if (cancel) {
        cancel(op);
    }
}

/* Runs steps until one waits or the operation has ended. */
static void drive(struct op *op) {
    int status = 0;
    bool ended = op->steps[op->step].run == NULL;
    while (!ended) {
        op->in_step = true;
        op->waiting = false;
        op->resumed = false;
        op->wait_status = 0;
        op->cancel = NULL;
        op->step_started_ns = loop_now_ns(op->loop);
        int result = op->steps[op->step].run(op);
        op->in_step = false;
        if (result == OP_WAIT && !op->resumed) {
            op->waiting = true;
            if (op->cancel_reason != 0) {
                run_cancel_hook(op);
            }
            return;
        }
        if (result == OP_WAIT) {
            result = op->wait_status;
        }
        ended = complete(op, result, &status);
    }
    op->finish(op, status);
}

void op_start(struct op *op, struct loop *loop, const char *name, const struct op_step *steps,
              op_finish_fn finish) {
    op->name = name;
    op->steps = steps;
    op->step = 0;
    op->loop = loop;
    op->finish = finish;
    op->cancel = NULL;
    op->cancel_reason = 0;
    op->in_step = op->waiting = op->resumed = false;
    op->started_ns = op->step_started_ns = loop_now_ns(loop);
    drive(op);
}

int op_wait(struct op *op, op_cancel_fn cancel) {
    op->cancel = cancel;
    return OP_WAIT;
}

void op_resume(struct op *op, int status) {
    assert(op->in_step || op->waiting);
    assert(!op->resumed); /* a wait completes exactly once */
    op->resumed = true;
    op->wait_status = status;
    if (op->in_step) {
        return;
    }
    op->waiting = false;
    op->cancel = NULL;
    int end_status;
    if (complete(op, status, &end_status)) {
        op->finish(op, end_status);
    } else {
        drive(op);
    }
}

void op_cancel(struct op *op, int reason) {
    if (op->cancel_reason != 0) {
        return; /* the first reason counts */
    }
    op->cancel_reason = reason;
    if (op->waiting) {
        run_cancel_hook(op);
    }
}

/* ---- waits that every module needs ---- */

static void work_run(struct work *work) {
    struct op *op = container_of(work, struct op, work);
    op->work_status = op->work_run(op);
}

static void work_done(struct work *work) {
    struct op *op = container_of(work, struct op, work);
    op_resume(op, op->work_status);
}

int op_wait_work(struct op *op, struct worker *worker, int (*run)(struct op *op)) {
    op->work = (struct work){.run = work_run, .done = work_done};
    op->work_run = run;
    op->work_status = 0;
    int r = worker_submit(worker, &op->work);
    if (r != 0) {
        return err_trace(r);
    }
    return op_wait(op, NULL); /* a job that runs cannot be taken back */
}

static void on_timer(struct timer *timer) {
    op_resume(container_of(timer, struct op, timer), 0);
}

static void cancel_timer(struct op *op) {
    timer_stop(&op->timer);
    op_resume(op, 0);
}

int op_wait_ms(struct op *op, int64_t delay_ms) {
    timer_init(&op->timer, op->loop, on_timer);
    timer_start_ms(&op->timer, delay_ms);
    return op_wait(op, cancel_timer);
}
