/* What the log takes on its disk, and what that has left. */
#include "log_private.h"

#include <errno.h>
#include <stdlib.h>

uint64_t partition_bytes(const struct partition *public) {
    const struct log_partition *partition = (const struct log_partition *)(const void *)public;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        bytes += partition->segments[i].bytes;
    }
    return bytes;
}

struct space_job {
    struct log_job job;
    struct topic_log_space *space;
    struct disk_space found;
    int status;
};

static void space_destroy(struct log_job *base) {
    free(container_of(base, struct space_job, job));
}

static void space_run(struct work *work) {
    struct space_job *job = container_of(work, struct space_job, job.work);
    job->status = disk_space(job->job.log->disk, &job->found);
}

static void space_done(struct work *work) {
    struct space_job *job = container_of(work, struct space_job, job.work);
    struct topic_log_space *space = job->space;
    int status = job->status;
    space->total_bytes = job->found.total_bytes;
    space->free_bytes = job->found.available_bytes;
    log_job_finish(&job->job);
    space->done(space, status);
}

int topic_log_space(struct topic_log *log, struct topic_log_space *space) {
    struct space_job *job = calloc(1, sizeof *job);
    if (!job) {
        return err_origin(-ENOMEM);
    }
    job->space = space;
    job->job.work.run = space_run;
    log_job_init(log, &job->job, space_done, space_destroy);
    return log_job_submit(&job->job, log->reader_worker);
}
