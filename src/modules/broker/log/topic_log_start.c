/*
 * The start: five workers, recovery as one job of the keeper, then a first record of this run.
 *
 *   LOG_NEW ── topic_log_start() ──> LOG_RECOVERING ── recovery is done ──> LOG_STARTING
 *                                      the keeper owns everything              │
 *                                                            a block of producer ids is durable
 *                                                                              v
 *                                                                          LOG_READY
 *
 * Where a full disk refuses the journal file for that block the log is ready before it: readers
 * need not wait (journal_files.c). log_started() ends it either way, and counts once: where
 * something fails, the log has failed and stays in the state that it had come to.
 */
#include "compaction/cleaner.h"
#include "journal/journal_files.h"
#include "journal/log_writer.h"
#include "log_private.h"
#include "recovery/recovery.h"
#include "retention/retention.h"
#include "scrub/scrub.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdlib.h>

/* Of the log writer. It runs for some dozen microseconds between the disk and the loop, everything
 * acknowledged waits for it meanwhile, and on a busy machine it would wait for who runs. */
enum { WRITER_SLICE_US = 100 };

struct start_job {
    struct log_job job;
    int status;
};

static void start_destroy(struct log_job *base) {
    free(container_of(base, struct start_job, job));
}

static void start_run(struct work *work) {
    struct start_job *job = container_of(work, struct start_job, job.work);
    job->status = recovery_run(job->job.log);
}

void log_started(struct topic_log *log, int status) {
    void (*told)(void *userdata, int status) = log->on_started;
    if (!told) {
        return; /* told already: on a full disk, before the record was durable; or a failure */
    }
    log->on_started = NULL;
    if (status == 0 && log->state != LOG_STARTING) {
        status = TOPIC_E_FAILED; /* it stops already */
    }
    if (status == 0) {
        log->state = LOG_READY;
        cleaner_start(log);
        log->sweep_due_ns = loop_now_ns(log->loop) + PRODUCER_SWEEP_MS * NS_PER_MS;
        journal_maintain(log);
        log_tick_soon(log);
        retention_start(log);
        scrub_start(log);
    } else {
        log->failed = true;
    }
    told(log->on_started_userdata, status);
}

static void start_done(struct work *work) {
    struct start_job *job = container_of(work, struct start_job, job.work);
    struct topic_log *log = job->job.log;
    int status = job->status;
    log_job_finish(&job->job);
    recovery_tell(log);
    log->state = log->state == LOG_RECOVERING ? LOG_STARTING : log->state;
    log->checkpoint_ns = loop_now_ns(log->loop);
    if (status == 0) {
        /* A new block of producer ids first: of the old one nobody knows how much was given out. */
        log->producer_next = log->producer_durable_end;
        status = registry_reserve_producers(log, log_started);
    }
    if (status) {
        log_started(log, status);
    }
}

static int start_worker(struct topic_log *log, const char *name, unsigned threads,
                        unsigned queue_max, int nice, struct worker **ret_worker) {
    struct worker_config config = {
        .name = name,
        .threads = threads,
        .queue_max = queue_max,
        .nice = nice,
    };
    if (ret_worker == &log->writer_worker) {
        config.batch_max = queue_max;
        config.run_batch = log_writer_run;
        config.userdata = log;
        config.slice_us = WRITER_SLICE_US;
    }
    int r = worker_new(log->config.work, log->loop, &config, ret_worker);
    if (r) {
        *ret_worker = NULL;
        return err_trace(r);
    }
    log->workers_running++;
    return 0;
}

void topic_log_start(struct topic_log *log, void (*done)(void *userdata, int status),
                     void *userdata) {
    log->on_started = done;
    log->on_started_userdata = userdata;
    log->state = LOG_RECOVERING;
    struct start_job *job = calloc(1, sizeof *job);
    int r = job ? 0 : -ENOMEM;
    if (!r) {
        log_job_init(log, &job->job, start_done, start_destroy);
        job->job.work.run = start_run;
        r = start_worker(log, "log-writer", 1, 4096, 0, &log->writer_worker);
        log->writer_thread = log->writer_worker;
    }
    if (!r) {
        r = start_worker(log, "log-segments", 1, 64, 0, &log->segment_worker);
    }
    if (!r) {
        r = start_worker(log, "log-keeper", 1, 64, 0, &log->keeper_worker);
    }
    if (!r) {
        r = start_worker(log, "log-cleaner", 1, 4096, 10, &log->cleaner_worker);
    }
    if (!r) {
        r = start_worker(log, "log-reader", 2, 1024, 0, &log->reader_worker);
    }
    if (!r) {
        r = log_job_submit(&job->job, log->keeper_worker);
    }
    if (r) {
        log_started(log, r);
    }
}
