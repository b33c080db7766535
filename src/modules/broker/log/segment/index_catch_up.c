/*
 * Entries for what a start has put into segments without any: a hundred segments with each tick,
 * behind whatever else the segment writer has to do. A clean stop makes the rest. Until then
 * readers walk a little further.
 */
#include "index_jobs.h"
#include "log_private.h"

#include <stdlib.h>

enum { SEGMENTS_AT_ONCE = 100 };

struct catch_up_job {
    struct log_job job;
    int status;
    bool more;
    struct segment_id at; /* where it failed */
};

static void catch_up_destroy(struct log_job *base) {
    free(container_of(base, struct catch_up_job, job));
}

static void catch_up_run(struct work *work) {
    struct catch_up_job *job = container_of(work, struct catch_up_job, job.work);
    job->status = segment_writer_catch_up(job->job.log->segment_writer, SEGMENTS_AT_ONCE,
                                          &job->more, &job->at);
}

static void catch_up_done(struct work *work) {
    struct catch_up_job *job = container_of(work, struct catch_up_job, job.work);
    struct topic_log *log = job->job.log;
    log->indexes.busy = false;
    log->indexes.behind = job->status == DISK_E_FULL || job->more; /* then the next tick goes on */
    if (job->status && job->status != DISK_E_FULL) {
        topic_log_fail_segment(log, &job->at, job->status);
    }
    log_job_finish(&job->job);
    log_stop_continue(log);
}

void index_catch_up_go_on(struct topic_log *log) {
    if (!log->indexes.behind || log->indexes.busy || log->state != LOG_READY) {
        return;
    }
    struct catch_up_job *job = calloc(1, sizeof *job);
    if (job) {
        log_job_init(log, &job->job, catch_up_done, catch_up_destroy);
        job->job.work.run = catch_up_run;
        log->indexes.busy = log_job_submit(&job->job, log->segment_worker) == 0;
    }
}
