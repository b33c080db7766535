/*
 * Indexes that a reader has found wrong, or without entries that still wait: the segment writer
 * makes them anew, or writes those.
 */
#include "compaction/swap_run.h"
#include "index_jobs.h"
#include "topics/registry.h"

#include <stdlib.h>

struct rebuild_job {
    struct log_job job;
    struct segment_id id;
    uint64_t end;
    int64_t next_base;
    bool waiting_only;
    struct batch_order order;
};

static void rebuild_run(struct work *work) {
    struct rebuild_job *job = container_of(work, struct rebuild_job, job.work);
    struct segment_writer *writer = job->job.log->segment_writer;
    (void)(job->waiting_only
               ? segment_writer_flush_index(writer, &job->id)
               : segment_writer_rebuild(writer, &job->id, job->end, job->next_base, &job->order));
    /* A hint: whether it succeeds shows at the next read. */
}

static void rebuild_destroy(struct log_job *base) {
    struct rebuild_job *job = container_of(base, struct rebuild_job, job);
    job->job.log->rebuilding = false;
    batch_order_deinit(&job->order);
    free(job);
}

static void rebuild_done(struct work *work) {
    struct rebuild_job *job = container_of(work, struct rebuild_job, job.work);
    log_job_finish(&job->job);
}

void index_rebuild_soon(struct topic_log *log, const struct segment_id *id, uint64_t end,
                        int64_t next_base, bool waiting_only) {
    struct log_topic *topic = registry_by_number(log, id->topic);
    if (!topic || log->rebuilding || log->state != LOG_READY ||
        swap_names(log, id->topic, id->partition)) {
        return; /* one at a time: the next read of the other one asks again */
    }
    struct rebuild_job *job = calloc(1, sizeof *job);
    if (!job || batch_order_copy(topic_partition(topic, id->partition), &job->order)) {
        free(job);
        return;
    }
    job->id = *id;
    job->end = end;
    job->next_base = next_base;
    job->waiting_only = waiting_only;
    log_job_init(log, &job->job, rebuild_done, rebuild_destroy);
    job->job.work.run = rebuild_run;
    log->rebuilding = true;
    (void)log_job_submit(&job->job, log->segment_worker);
}
