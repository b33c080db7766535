/*
 * Batches to their segments, many partitions with one job of the segment writer, one job at a time.
 *
 * How many batches wait in memory. A write of 256 KiB to a segment takes the kernel less than half
 * of what sixteen writes of 16 KiB do. With few partitions limits.tail_bytes gathers that much of
 * each. With a hundred it would be one or two batches of each, so the tail grows with the
 * partitions that are written to, by limits.tail_spread_bytes at most. What counts is the flush job
 * with the most partitions of the last second or two, and the one under way, which may take longer
 * where it makes thousands of folders: single ones are due at other times than the rest.
 */
#include "append.h"
#include "checkpoint/log_keeper.h"
#include "log_private.h"
#include "tail.h"
#include "topics/partition.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FLUSH_JOB_BATCHES = 32768,
    FLUSH_RUN_BATCHES = 256,
    SYNC_FILES_MAX = 16,
    SPREAD_PARTITION_BYTES = 128 << 10,
};

/*
 * A flush job reads the batches themselves, not copies: a batch that is durable does not change,
 * and one in state BATCH_FLUSHING is not freed.
 */
struct flush_job {
    struct log_job job;
    struct tail_batch **batches;
    uint32_t count;
    struct segment_file **files; /* written to, a reference each */
    uint32_t file_count, file_capacity;
    bool need_syncfs; /* more were written to than may stay open */
    int status;
    struct segment_id at; /* where it failed */
};

static void flush_destroy(struct log_job *base) {
    struct flush_job *job = container_of(base, struct flush_job, job);
    for (uint32_t i = 0; i < job->file_count; i++) {
        segment_file_unref(job->files[i]);
    }
    free(job->files);
    free(job->batches);
    free(job);
}

/* One syncfs answers for more files than are worth a sync each. */
static bool too_many_files(const struct topic_log *log, uint32_t count) {
    return count >= MIN(log->limits.open_files_max / 4, (uint32_t)SYNC_FILES_MAX);
}

static int keep_file(struct flush_job *job, struct segment_file *file) {
    bool known = job->file_count > 0 && job->files[job->file_count - 1] == file;
    if (known || job->need_syncfs) {
        segment_file_unref(file);
        return 0;
    }
    if (too_many_files(job->job.log, job->file_count)) {
        job->need_syncfs = true;
        segment_file_unref(file);
        return 0;
    }
    if (job->file_count == job->file_capacity) {
        uint32_t capacity = job->file_capacity ? job->file_capacity * 2 : 8;
        void *grown = realloc(job->files, capacity * sizeof(*job->files));
        if (!grown) {
            segment_file_unref(file);
            return err_origin(-ENOMEM);
        }
        job->files = grown;
        job->file_capacity = capacity;
    }
    job->files[job->file_count++] = file;
    return 0;
}

static void flush_run(struct work *work) {
    struct flush_job *job = container_of(work, struct flush_job, job.work);
    struct segment_piece pieces[FLUSH_RUN_BATCHES];
    job->status = 0;
    uint32_t i = 0;
    while (i < job->count && job->status == 0) {
        const struct tail_batch *first = job->batches[i];
        unsigned n = 0;
        while (n < FLUSH_RUN_BATCHES && i < job->count &&
               job->batches[i]->partition == first->partition &&
               job->batches[i]->segment_base == first->segment_base) {
            pieces[n++] = tail_piece(job->batches[i++]);
        }
        struct segment_id id = {first->partition->topic->public.number,
                                first->partition->public.index, first->segment_base};
        struct segment_file *file = NULL;
        job->status = segment_writer_write(job->job.log->segment_writer, &id, pieces, n, &file);
        if (job->status == 0) {
            job->status = keep_file(job, file);
        } else {
            job->at = id;
        }
    }
}

/* The files just written to must be synced before a checkpoint may say so. */
static void note_unsynced(struct topic_log *log, struct flush_job *job) {
    log->need_syncfs |= job->need_syncfs;
    for (uint32_t i = 0; i < job->file_count; i++) {
        struct segment_file *file = job->files[i];
        if (log->need_syncfs || file->unsynced) {
            continue;
        }
        if (too_many_files(log, log->unsynced_count)) {
            log->need_syncfs = true;
            continue;
        }
        if (log->unsynced_count == log->unsynced_capacity) {
            uint32_t capacity = log->unsynced_capacity ? log->unsynced_capacity * 2 : 16;
            void *grown = realloc(log->unsynced, capacity * sizeof(*log->unsynced));
            if (!grown) {
                log->need_syncfs = true;
                continue;
            }
            log->unsynced = grown;
            log->unsynced_capacity = capacity;
        }
        file->unsynced = true;
        log->unsynced[log->unsynced_count++] = segment_file_ref(file);
    }
}

static void batch_written(struct topic_log *log, struct tail_batch *batch) {
    struct log_partition *partition = batch->partition;
    batch->state = BATCH_WRITTEN;
    list_push_back(&log->tail, &batch->age_link);
    partition->tail_flushing--;
    partition->tail_written++;
    int index = partition_segment_index(partition, batch->base_offset);
    if (index >= 0) {
        struct log_segment *segment = &partition->segments[index];
        segment->written_bytes = MAX(segment->written_bytes, batch->position + batch->batch.size);
    }
    tail_forget_unwritten(log, batch);
}

static void flush_done(struct work *work) {
    struct flush_job *job = container_of(work, struct flush_job, job.work);
    struct topic_log *log = job->job.log;
    note_unsynced(log, job);
    if (job->status == DISK_E_FULL && !log->failed) {
        if (!log->disk_full) {
            log->disk_full = true;
            topic_log_report(log, TOPIC_LOG_DISK_FULL, "segments wait for space");
            topic_log_retain(log); /* what is due makes room now */
        }
        log->flush_again = true; /* the tick submits it again */
        return;
    }
    log->flush_job = NULL;
    if (job->status != 0) {
        topic_log_fail_segment(log, &job->at, job->status);
    } else {
        if (log->disk_full) {
            log->disk_full = false;
            topic_log_report(log, TOPIC_LOG_DISK_AGAIN, "segments are written again");
        }
        for (uint32_t i = 0; i < job->count; i++) {
            batch_written(log, job->batches[i]);
        }
    }
    log_job_finish(&job->job);
    tail_evict(log);
    checkpoint_go_on(log);
    tail_flush(log, checkpoint_waits(log));
    append_admit_soon(log);
    log_stop_continue(log);
}

uint64_t tail_limit(const struct topic_log *log) {
    return log->limits.tail_bytes +
           MIN((uint64_t)log->spread * SPREAD_PARTITION_BYTES, log->limits.tail_spread_bytes);
}

/* Half of what may wait: appends go on while the segments are written. Counted with what a batch
 * costs, as the bound is: of small ones in thousands of partitions the bytes are the lesser part.
 */
static bool pressed(const struct topic_log *log) {
    return log->unwritten_cost >= tail_limit(log) / 2;
}

static bool flush_due(const struct topic_log *log, const struct log_partition *partition) {
    return partition->unflushed_bytes >= FLUSH_PARTITION_BYTES || pressed(log) ||
           loop_now_ns(log->loop) - partition->dirty_since_ns >= FLUSH_INTERVAL_MS * NS_PER_MS;
}

static void take_partition(struct topic_log *log, struct flush_job *job,
                           struct log_partition *partition) {
    uint32_t first = partition->tail_written + partition->tail_flushing;
    uint32_t count = MIN(partition->tail_durable, FLUSH_JOB_BATCHES - job->count);
    for (uint32_t i = 0; i < count; i++) {
        struct tail_batch *batch = tail_at(partition, first + i);
        batch->state = BATCH_FLUSHING;
        partition->unflushed_bytes -= batch->batch.size;
        job->batches[job->count++] = batch;
    }
    partition->tail_durable -= count;
    partition->tail_flushing += count;
    if (partition->tail_durable == 0) {
        list_remove(&partition->dirty_link);
    }
}

void tail_flush(struct topic_log *log, bool all) {
    if (log->flush_job || log->failed || list_empty(&log->dirty)) {
        return;
    }
    struct log_partition *oldest = list_entry(log->dirty.next, struct log_partition, dirty_link);
    if (!all && !flush_due(log, oldest)) {
        return;
    }
    struct flush_job *job = calloc(1, sizeof *job);
    uint32_t capacity = (uint32_t)MIN(log->unwritten_count, (uint64_t)FLUSH_JOB_BATCHES);
    if (job) {
        job->batches = malloc(capacity * sizeof(*job->batches));
    }
    if (!job || !job->batches) {
        free(job);
        return; /* the tick tries again */
    }
    bool everything = all || pressed(log);
    uint32_t partitions = 0;
    while (!list_empty(&log->dirty) && job->count < FLUSH_JOB_BATCHES) {
        oldest = list_entry(log->dirty.next, struct log_partition, dirty_link);
        if (!everything && !flush_due(log, oldest)) {
            break;
        }
        take_partition(log, job, oldest);
        partitions++;
    }
    log->spread_since_tick = MAX(log->spread_since_tick, partitions);
    log->spread = MAX(log->spread, partitions);
    log_job_init(log, &job->job, flush_done, flush_destroy);
    job->job.work.run = flush_run;
    log->flush_job = &job->job;
    log->flush_spread = partitions;
    if (log_job_submit(&job->job, log->segment_worker)) {
        log->flush_job = NULL;
        topic_log_fail(log, "queueing segment writes", -EAGAIN);
    }
}

void tail_flush_again(struct topic_log *log) {
    if (!log->flush_again) {
        return;
    }
    log->flush_again = false;
    if (log_job_submit(log->flush_job, log->segment_worker)) {
        log->flush_job = NULL;
        topic_log_fail(log, "queueing segment writes", -EAGAIN);
    }
}
