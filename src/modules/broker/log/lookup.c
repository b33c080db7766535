/*
 * By timestamp: the first record at or after a time, and the record with the largest one.
 *
 * The loop knows the largest timestamp of each segment and so which segment to look in; the time
 * index, the batch headers and the records are a reader thread's to read. A batch that is in memory
 * only, since its segment is not written yet, goes along as a slice.
 */
#include "reader.h"

#include <errno.h>
#include <stdlib.h>

struct lookup_job {
    struct log_job job;
    struct partition_lookup *lookup;
    struct log_topic *topic;
    struct segment_id id;
    uint64_t end; /* 0: not in a file */
    int64_t timestamp_ms;
    struct slice memory; /* the first batch in memory that has it; with a reference */
    /* out */
    int status;
    int64_t offset, found_ms;
    int32_t leader_epoch;
};

static void lookup_destroy(struct log_job *base) {
    struct lookup_job *job = container_of(base, struct lookup_job, job);
    buf_unref(job->memory.buf);
    topic_unref(&job->topic->public);
    free(job);
}

/* The record in @data, one batch, that has the timestamp. */
static int search_batch(struct lookup_job *job, struct span data) {
    struct record_iterator it;
    struct record record;
    int r = record_iterator_init(&it, data);
    if (r) {
        return r;
    }
    bool append_time = it.batch.attributes & RECORD_BATCH_LOG_APPEND_TIME;
    while ((r = record_iterator_next(&it, &record)) == 1) {
        int64_t timestamp_ms = append_time ? it.batch.max_timestamp_ms : record.timestamp_ms;
        if (timestamp_ms >= job->timestamp_ms) {
            job->offset = record.offset;
            job->found_ms = timestamp_ms;
            job->leader_epoch = it.batch.leader_epoch;
            r = 0;
            break;
        }
    }
    record_iterator_deinit(&it);
    return r;
}

static int search_segment(struct lookup_job *job, struct disk_file *file) {
    struct segment_target target = {.offset = -1, .timestamp_ms = job->timestamp_ms};
    struct segment_cursor cursor;
    struct segment_walk walk;
    bool wrong;
    int r = segment_seek(job->job.log->disk, file, &job->id, &target, job->end, &cursor, &wrong);
    if (r || (r = segment_walk_init(&walk, file, job->end)) != 0) {
        return r;
    }
    uint64_t position = cursor.position;
    while (!r && job->offset < 0 && position < job->end) {
        struct record_batch batch;
        r = segment_walk_header(&walk, position, &batch);
        if (!r && batch.max_timestamp_ms >= job->timestamp_ms) {
            uint8_t *data = malloc(batch.total_bytes);
            size_t got = 0;
            r = data ? disk_pread(file, data, batch.total_bytes, position, &got)
                     : err_origin(-ENOMEM);
            if (!r) {
                r = got == batch.total_bytes ? search_batch(job, span_of(data, got))
                                             : BROKER_E_CORRUPT;
            }
            free(data);
        }
        position += r ? 0 : batch.total_bytes;
    }
    segment_walk_deinit(&walk);
    return r;
}

static void lookup_run(struct work *work) {
    struct lookup_job *job = container_of(work, struct lookup_job, job.work);
    int r = 0;
    if (job->end > 0) {
        _cleanup_(disk_closep) struct disk_file *file = NULL;
        char name[SEGMENT_NAME_SIZE];
        segment_name(&job->id, SEGMENT_LOG, name);
        r = disk_open(job->job.log->disk, name, DISK_READ, &file);
        r = r ? (r == DISK_E_NOT_FOUND ? BROKER_E_CORRUPT : r) : search_segment(job, file);
    }
    if (!r && job->offset < 0 && job->memory.buf) {
        r = search_batch(job, span_of(job->memory.data, job->memory.size));
    }
    job->status = r;
}

static void lookup_done(struct work *work) {
    struct lookup_job *job = container_of(work, struct lookup_job, job.work);
    struct partition_lookup *lookup = job->lookup;
    int status = job->status;
    lookup->gate = NULL;
    lookup->ret_offset = job->offset;
    lookup->ret_timestamp_ms = job->offset >= 0 ? job->found_ms : -1;
    lookup->ret_leader_epoch = job->offset >= 0 ? job->leader_epoch : -1;
    log_job_finish(&job->job);
    lookup->done(lookup, status);
}

static const struct log_segment *choose(const struct log_partition *partition,
                                        int64_t timestamp_ms) {
    const struct log_segment *chosen = NULL;
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        if (timestamp_ms >= 0) {
            if (segment->max_timestamp_ms >= timestamp_ms) {
                return segment;
            }
        } else if (segment->bytes > 0 &&
                   (!chosen || segment->max_timestamp_ms > chosen->max_timestamp_ms)) {
            chosen = segment;
        }
    }
    return chosen;
}

int partition_lookup(struct topic_log *log, struct partition_lookup *lookup) {
    struct log_partition *partition = log_partition_of(lookup->partition);
    lookup->ret_offset = lookup->ret_timestamp_ms = -1;
    lookup->ret_leader_epoch = -1;
    lookup->gate = NULL;
    if (partition->topic->public.deleted) {
        return TOPIC_E_UNKNOWN;
    }
    const struct log_segment *segment = choose(partition, lookup->timestamp_ms);
    if (!segment) {
        return 0;
    }
    struct lookup_job *job = calloc(1, sizeof *job);
    if (!job) {
        return err_origin(-ENOMEM);
    }
    job->lookup = lookup;
    job->topic = partition->topic;
    job->offset = -1;
    job->timestamp_ms =
        lookup->timestamp_ms >= 0 ? lookup->timestamp_ms : segment->max_timestamp_ms;
    job->id = (struct segment_id){partition->topic->public.number, partition->public.index,
                                  segment->base_offset};
    job->end = segment->written_bytes;
    uint32_t end = partition->tail_written + partition->tail_flushing + partition->tail_durable;
    for (uint32_t i = partition->tail_written; i < end; i++) {
        const struct tail_batch *batch = tail_at(partition, i);
        if (batch->max_timestamp_ms >= job->timestamp_ms) {
            job->memory = batch->batch;
            buf_ref(batch->batch.buf);
            break;
        }
    }
    topic_ref(&job->topic->public);
    log_job_init(log, &job->job, lookup_done, lookup_destroy);
    job->job.work.run = lookup_run;
    if (log_job_submit(&job->job, log->reader_worker)) {
        return TOPIC_E_FULL;
    }
    lookup->gate = job;
    return OP_WAIT;
}
