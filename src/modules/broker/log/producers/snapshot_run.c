/*
 * The loop's side of producer snapshots: taken where the windows stand exactly at the offset, held
 * until everything before it is in its segment, then written by the segment writer's thread, one
 * job at a time. They are hints: what a full queue or a disk that refuses costs is counted, and
 * nothing else happens.
 */
#include "append/tail.h"
#include "log_private.h"
#include "producer_snapshot.h"

#include <errno.h>
#include <stdlib.h>

enum { WAITING_BYTES_MAX = 16 << 20 };

struct taken {
    struct list link;
    struct log_partition *partition;
    struct log_topic *topic; /* with a reference */
    int64_t offset;
    struct text bytes;
};

static void taken_free(struct taken *taken) {
    if (taken) {
        text_deinit(&taken->bytes);
        topic_unref(&taken->topic->public);
        free(taken);
    }
}

static void free_all(struct list *all) {
    struct list *link;
    while ((link = list_pop_front(all)) != NULL) {
        taken_free(list_entry(link, struct taken, link));
    }
}

void producer_snapshots_init(struct topic_log *log) {
    list_init(&log->snapshots.waiting);
}

void producer_snapshots_deinit(struct topic_log *log) {
    free_all(&log->snapshots.waiting);
}

/* ---- taking ---- */

static void take(struct topic_log *log, struct log_partition *partition, int64_t offset) {
    struct segment_id at = {partition->topic->public.number, partition->public.index, offset};
    struct taken *taken = calloc(1, sizeof *taken);
    if (!taken) {
        log->stats.snapshots_dropped++;
        return;
    }
    taken->partition = partition;
    taken->topic = partition->topic;
    taken->offset = offset;
    topic_ref(&taken->topic->public);
    text_init(&taken->bytes);
    int count = producer_snapshot_encode(partition->producers, &at, &taken->bytes);
    if (count <= 0) {
        log->stats.snapshots_dropped += count < 0;
        taken_free(taken);
        return;
    }
    log->snapshots.bytes += taken->bytes.size;
    list_push_back(&log->snapshots.waiting, &taken->link);
}

void producer_snapshot_take(struct topic_log *log, struct log_partition *partition,
                            int64_t offset) {
    if (log->snapshots.bytes >= WAITING_BYTES_MAX) {
        log->stats.snapshots_dropped++;
        return;
    }
    take(log, partition, offset);
}

void producer_snapshots_stop(struct topic_log *log) {
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; !topic->public.deleted && i < topic->public.partition_count; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            uint32_t count = partition->segment_count;
            if (partition->producers &&
                (count == 0 || partition->segments[count - 1].last_sequence > 0)) {
                take(log, partition, partition->public.high_watermark);
            }
        }
    }
    producer_snapshots_go_on(log);
}

/* ---- writing ---- */

struct snapshot_job {
    struct log_job job;
    struct list all; /* struct taken.link */
    unsigned written, refused;
};

static void job_destroy(struct log_job *base) {
    struct snapshot_job *job = container_of(base, struct snapshot_job, job);
    free_all(&job->all);
    free(job);
}

static void job_run(struct work *work) {
    struct snapshot_job *job = container_of(work, struct snapshot_job, job.work);
    list_for_each(link, &job->all) {
        const struct taken *taken = list_entry(link, struct taken, link);
        struct segment_id at = {taken->topic->public.number, taken->partition->public.index,
                                taken->offset};
        int r = producer_snapshot_write(job->job.log->disk, &at, text_span(&taken->bytes));
        job->written += r == 0;
        job->refused += r != 0;
    }
}

static void job_done(struct work *work) {
    struct snapshot_job *job = container_of(work, struct snapshot_job, job.work);
    struct topic_log *log = job->job.log;
    log->snapshots.busy = false;
    log->stats.snapshots_written += job->written;
    log->stats.snapshots_dropped += job->refused;
    log_job_finish(&job->job);
    producer_snapshots_go_on(log);
    log_stop_continue(log);
}

/* Every batch before the snapshot has left for its segment and arrived. */
static bool is_ready(const struct taken *taken) {
    const struct log_partition *partition = taken->partition;
    return partition->tail_written == partition->tail_count ||
           tail_at(partition, partition->tail_written)->base_offset >= taken->offset;
}

static void move_ready(struct topic_log *log, struct list *to) {
    list_for_each_safe(link, &log->snapshots.waiting) {
        struct taken *taken = list_entry(link, struct taken, link);
        bool gone = taken->topic->public.deleted;
        if (!gone && !is_ready(taken)) {
            continue;
        }
        list_remove(link);
        log->snapshots.bytes -= taken->bytes.size;
        if (gone) {
            taken_free(taken);
        } else {
            list_push_back(to, link);
        }
    }
}

void producer_snapshots_go_on(struct topic_log *log) {
    if (log->failed || log->snapshots.busy || list_empty(&log->snapshots.waiting)) {
        return;
    }
    struct snapshot_job *job = calloc(1, sizeof *job);
    if (!job) {
        return; /* the tick tries again */
    }
    list_init(&job->all);
    log_job_init(log, &job->job, job_done, job_destroy);
    job->job.work.run = job_run;
    move_ready(log, &job->all);
    if (list_empty(&job->all)) {
        log_job_finish(&job->job);
        return;
    }
    log->snapshots.busy = log_job_submit(&job->job, log->segment_worker) == 0;
}

bool producer_snapshots_wait(const struct topic_log *log) {
    return log->snapshots.busy || !list_empty(&log->snapshots.waiting);
}
