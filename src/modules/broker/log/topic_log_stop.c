/*
 * The stop, a row of steps, each of which waits for the one before. Whatever completes in a log
 * that stops comes by log_stop_continue(), which looks what is left:
 *
 *   1. what is queued or throttled: to the journal, or refused
 *   2. batches in memory: to their segments
 *   3. entries of indexes, snapshots of producers
 *   4. the checkpoint of the end, and the marker of a clean stop
 *   5. the workers: told to stop, and joined
 *
 * A log that has failed begins none of 2 to 4, it only waits for what is under way; the next start
 * replays the journal. One that was never ready counts as failed, and so does in the end one whose
 * disk stays full (on_tick()).
 */
#include "append/append.h"
#include "append/tail.h"
#include "checkpoint/log_keeper.h"
#include "compaction/cleaner.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "retention/retention.h"
#include "scrub/scrub.h"

#include <stdlib.h>

static void on_worker_stopped(void *userdata) {
    struct topic_log *log = userdata;
    if (--log->workers_running > 0) {
        return;
    }
    log->state = LOG_STOPPED;
    if (log->on_stopped) {
        log->on_stopped(log->on_stopped_userdata);
    }
}

static void stop_workers(struct topic_log *log) {
    struct worker **workers[] = {&log->writer_worker, &log->segment_worker, &log->keeper_worker,
                                 &log->cleaner_worker, &log->reader_worker};
    timer_stop(&log->tick);
    timer_stop(&log->checkpoint.timer);
    log->state = LOG_STOPPED;
    if (log->workers_running == 0) {
        log->workers_running = 1;
        on_worker_stopped(log);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        struct worker *worker = *workers[i];
        *workers[i] = NULL;
        if (worker) {
            worker_stop(worker, on_worker_stopped, log);
        }
    }
}

struct indexes_job {
    struct log_job job;
    int status;
};

static void indexes_destroy(struct log_job *base) {
    free(container_of(base, struct indexes_job, job));
}

static void indexes_run(struct work *work) {
    struct indexes_job *job = container_of(work, struct indexes_job, job.work);
    job->status = segment_writer_flush_indexes(job->job.log->segment_writer);
}

static void indexes_done(struct work *work) {
    struct indexes_job *job = container_of(work, struct indexes_job, job.work);
    struct topic_log *log = job->job.log;
    int status = job->status;
    log_job_finish(&job->job);
    log->stop_indexes = INDEXES_WRITTEN;
    if (status && status != DISK_E_FULL) { /* without space readers walk a little further */
        topic_log_fail(log, "writing an index", status);
    }
    log_stop_continue(log);
}

static void write_indexes(struct topic_log *log) {
    struct indexes_job *job = calloc(1, sizeof *job);
    log->stop_indexes = INDEXES_WRITTEN;
    if (job) {
        log_job_init(log, &job->job, indexes_done, indexes_destroy);
        job->job.work.run = indexes_run;
        log->stop_indexes = INDEXES_ON_THE_WAY;
        if (log_job_submit(&job->job, log->segment_worker)) {
            log->stop_indexes = INDEXES_WRITTEN;
        }
    }
}

/* Each step of a stop waits for the one before; every completion comes by here. */
void log_stop_continue(struct topic_log *log) {
    if (log->state != LOG_STOPPING || log->submits_in_flight > 0 || !list_empty(&log->pending) ||
        !list_empty(&log->throttled)) {
        return;
    }
    if (!log->failed) {
        if (log->unwritten_count > 0) {
            tail_flush(log, true);
            return;
        }
        if (log->stop_indexes == INDEXES_WAIT) {
            write_indexes(log);
            producer_snapshots_stop(log);
        }
        if (log->stop_indexes == INDEXES_ON_THE_WAY || log->checkpoint.under_way ||
            log->preparing || log->indexes.busy || cleaner_busy(log) ||
            producer_snapshots_wait(log) || scrub_busy(log)) {
            return;
        }
        if (!log->clean) {
            checkpoint_begin(log, true);
            return;
        }
    } else if (log->flush_job || log->checkpoint.submitted || log->preparing || log->indexes.busy ||
               log->stop_indexes == INDEXES_ON_THE_WAY || log->snapshots.busy || scrub_busy(log)) {
        return; /* their done() must still find us */
    }
    stop_workers(log);
}

void topic_log_stop(struct topic_log *log, void (*done)(void *userdata), void *userdata) {
    log->on_stopped = done;
    log->on_stopped_userdata = userdata;
    cleaner_stop(log);
    if (log->state < LOG_STARTING) {
        log->failed = true; /* never started: nothing to finish */
        stop_workers(log);
        return;
    }
    if (log->state == LOG_STARTING && !log->failed) {
        log->failed = true; /* no client was let in yet: give up what the start waits for */
        log_give_up_flush(log);
        (void)log_writer_send(log, WRITER_FAIL, NULL);
        append_flush_soon(log);
    }
    log->state = LOG_STOPPING;
    retention_stop(log);
    scrub_stop(log);
    log->stopping_since_ns = loop_now_ns(log->loop);
    log_tick_soon(log);
    append_admit_soon(log);
    log_stop_continue(log);
}
