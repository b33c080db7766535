/* Messages from the loop to the threads: the log knows all that are in flight. */
#include "log_private.h"

#include <errno.h>
#include <stdlib.h>

void log_job_init(struct topic_log *log, struct log_job *job, void (*done)(struct work *work),
                  void (*destroy)(struct log_job *job)) {
    job->log = log;
    job->work.done = done;
    job->destroy = destroy;
    list_push_back(&log->jobs, &job->link);
}

int log_job_submit(struct log_job *job, struct worker *worker) {
    int r = worker ? worker_submit(worker, &job->work) : WORK_E_STOPPED;
    if (r) {
        log_job_finish(job);
    }
    return r;
}

void log_job_finish(struct log_job *job) {
    list_remove(&job->link);
    job->destroy(job);
}

static void send_destroy(struct log_job *base) {
    free(container_of(base, struct writer_job, job));
}

static void send_done(struct work *work) {
    struct writer_job *job = container_of(work, struct writer_job, job.work);
    log_job_finish(&job->job);
}

int log_writer_send(struct topic_log *log, enum writer_kind kind, struct journal_file *file) {
    struct writer_job *job = calloc(1, sizeof *job);
    if (!job) {
        return err_origin(-ENOMEM);
    }
    job->kind = kind;
    job->covered = log->newest_sequence;
    job->file = file;
    list_init(&job->units);
    log_job_init(log, &job->job, send_done, send_destroy);
    return log_job_submit(&job->job, log->writer_worker);
}
