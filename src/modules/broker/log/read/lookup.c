/*
 * By timestamp: the first record at or after a time, and the record with the largest one. The
 * former is never below the log's start; the latter is, as in Kafka, when DeleteRecords has passed
 * it and its segment is still there.
 *
 * The loop knows the largest timestamp of each segment and so which segment to look in; the time
 * index, the batch headers and the records are a reader thread's to read. A batch that is in memory
 * only, since its segment is not written yet, goes along as a slice.
 */
#include "append/tail.h"
#include "compaction/swap_run.h"
#include "log_private.h"
#include "reader.h"
#include "rot.h"
#include "segment/index_jobs.h"
#include "topics/partition.h"

#include <errno.h>
#include <stdlib.h>

enum { RESYNC_BYTES = 4 << 20 }; /* how far is looked for the end of rot */

struct lookup_job {
    struct log_job job;
    struct partition_lookup *lookup;
    struct log_topic *topic;
    struct swap_waiter wait;
    uint32_t swap_count; /* of the partition when the lookup began */
    struct segment_id id;
    uint64_t end;      /* 0: not in a file */
    int64_t next_base; /* where what follows these bytes begins */
    int64_t timestamp_ms;
    int64_t ceiling_ms;   /* of the largest: no segment that was looked in claimed more */
    int64_t least_offset; /* what lies below does not count */
    int64_t seen_end;     /* high watermark when the segment was looked in */
    struct batch_order order;
    struct segment_cursor met; /* the place that the walk is at; what it expects there */
    struct slice memory[2];    /* the first batches in memory that may have it; with references */
    /* out */
    int status;
    struct offset_range rot; /* with BROKER_E_CORRUPT: confirmed; empty: not so */
    int64_t offset, found_ms;
    int32_t leader_epoch;
    bool index_wrong;
};

static void lookup_destroy(struct log_job *base) {
    struct lookup_job *job = container_of(base, struct lookup_job, job);
    list_remove(&job->wait.link);
    batch_order_deinit(&job->order);
    buf_unref(job->memory[0].buf);
    buf_unref(job->memory[1].buf);
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
        if (timestamp_ms >= job->timestamp_ms && record.offset >= job->least_offset) {
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

static bool may_hold(const struct lookup_job *job, const struct record_batch *batch) {
    return batch->max_timestamp_ms >= job->timestamp_ms &&
           record_batch_end(batch) > job->least_offset;
}

/* What is missing where the walk is does not count, if all of it is below the log's start: a start
 * without checkpoint puts nothing back there. */
static int pass_below_start(struct lookup_job *job, struct disk_file *file) {
    const struct segment_resync in = {.file = file,
                                      .end = job->end,
                                      .base_offset = job->id.base_offset,
                                      .next_base = job->next_base,
                                      .most_offset = job->order.log_start,
                                      .order = &job->order};
    struct segment_cursor next = job->met;
    int r = segment_resync(&in, NULL, &next, RESYNC_BYTES);
    if (!r && next.position == job->met.position) {
        r = BROKER_E_CORRUPT; /* right, and not what was expected */
    }
    job->met = r ? job->met : next;
    return r;
}

static int search_file(struct lookup_job *job, struct disk_file *file) {
    struct segment_target target = {.offset = -1, .timestamp_ms = job->timestamp_ms};
    struct segment_cursor cursor;
    struct segment_walk walk;
    job->met = (struct segment_cursor){0, job->id.base_offset};
    int r = segment_seek(job->job.log->disk, file, &job->id, &target, job->end, &cursor,
                         &job->index_wrong);
    if (r || (r = segment_walk_init(&walk, file, job->end)) != 0) {
        return r;
    }
    uint64_t position = cursor.position;
    job->met = cursor;
    while (!r && job->offset < 0 && position < job->end) {
        struct record_batch batch;
        r = segment_walk_header(&walk, position, &batch);
        if (!r && !batch_order_admits(&job->order, job->met.offset, &batch)) {
            r = BROKER_E_CORRUPT; /* a block in another's place: what belongs here was not met */
        }
        if (!r && record_batch_end(&batch) > job->least_offset) {
            /* Also where it is passed over: rot that makes its timestamp smaller hides records. */
            r = segment_batch_check(file, position, job->end, &batch);
        }
        if (!r && may_hold(job, &batch)) {
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
        if (!r) {
            position += batch.total_bytes;
            job->met = (struct segment_cursor){position, record_batch_end(&batch)};
        } else if (r == BROKER_E_CORRUPT && job->met.offset < job->order.log_start) {
            r = pass_below_start(job, file);
            position = job->met.position;
        }
    }
    segment_walk_deinit(&walk);
    return r;
}

static int search_segment(struct lookup_job *job, struct disk_file *file) {
    struct patient_file patient;
    patient_file_init(&patient, file, REFUSALS_MAX);
    int r = search_file(job, &patient.file);
    if (r == BROKER_E_CORRUPT && !patient.refused) {
        const struct segment_resync in = {.file = &patient.file,
                                          .end = job->end,
                                          .base_offset = job->id.base_offset,
                                          .next_base = job->next_base,
                                          .order = &job->order};
        rot_find(job->job.log->disk, &job->id, &in, &job->met, job->met.offset, RESYNC_BYTES,
                 &job->rot);
    }
    if (r == BROKER_E_CORRUPT && patient.refused) {
        job->rot = (struct offset_range){0, 0};
        r = err_origin(-EIO);
    }
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
        if (r == DISK_E_NOT_FOUND) {
            job->rot = (struct offset_range){job->id.base_offset, job->next_base};
            r = BROKER_E_CORRUPT;
        } else if (r == 0) {
            r = search_segment(job, file);
        }
    }
    for (unsigned i = 0; i < 2 && !r && job->offset < 0; i++) {
        if (job->memory[i].buf) {
            r = search_batch(job, span_of(job->memory[i].data, job->memory[i].size));
        }
    }
    job->status = r;
}

/* Whether a segment comes after the one that had nothing: behind it, or of the largest ones with
 * the next lower claim. Compaction may leave a segment without records, dated all the same. */
static bool comes_after(const struct log_partition *partition, uint32_t at,
                        const struct lookup_job *last) {
    const struct log_segment *segment = &partition->segments[at];
    if (!last) {
        return true;
    }
    bool grown = partition_segment_end(partition, at) > last->seen_end;
    bool behind = segment->base_offset > last->id.base_offset;
    return last->lookup->timestamp_ms >= 0
               ? behind
               : segment->max_timestamp_ms > last->ceiling_ms ||
                     (grown && segment->max_timestamp_ms > last->timestamp_ms) ||
                     segment->max_timestamp_ms < last->timestamp_ms ||
                     (segment->max_timestamp_ms == last->timestamp_ms && behind);
}

/* The segment that may answer, after the one that @last has looked in: the first one with the
 * timestamp, or with the largest one. */
static const struct log_segment *choose(const struct log_partition *partition, int64_t timestamp_ms,
                                        const struct lookup_job *last) {
    const struct log_segment *chosen = NULL;
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        if (segment->bytes == 0 || !comes_after(partition, i, last)) {
            continue;
        }
        if (timestamp_ms >= 0) {
            if (segment->max_timestamp_ms >= timestamp_ms) {
                return segment;
            }
        } else if (!chosen || segment->max_timestamp_ms > chosen->max_timestamp_ms) {
            chosen = segment;
        }
    }
    return chosen;
}

/* What of the segment is in memory alone. The first batch may lie below the log's start with the
 * record that counts; then the one behind it answers. */
static void take_memory(struct lookup_job *job, const struct log_partition *partition) {
    uint32_t end = tail_readable(partition);
    unsigned taken = 0;
    for (uint32_t i = partition->tail_written; i < end && taken < 2; i++) {
        const struct tail_batch *batch = tail_at(partition, i);
        if (batch->segment_base == job->id.base_offset &&
            tail_batch_end(batch) > job->least_offset &&
            batch->max_timestamp_ms >= job->timestamp_ms) {
            job->memory[taken] = batch->batch;
            buf_ref(job->memory[taken++].buf);
        }
    }
}

/* As with reads: the segment is being replaced, or was meanwhile. */
static void begin_again(struct swap_waiter *waiter) {
    struct lookup_job *job = container_of(waiter, struct lookup_job, wait);
    struct partition_lookup *lookup = job->lookup;
    int status = partition_lookup(job->job.log, lookup);
    log_job_finish(&job->job);
    if (status != OP_WAIT) {
        lookup->done(lookup, status);
    }
}

static void lookup_done(struct work *work);

static int64_t next_base(const struct log_partition *partition, const struct log_segment *segment) {
    int64_t base = segment + 1 < partition->segments + partition->segment_count
                       ? segment[1].base_offset
                       : partition->public.high_watermark;
    return partition->tail_written < tail_readable(partition)
               ? MIN(base, tail_at(partition, partition->tail_written)->base_offset)
               : base;
}

/* Looks in one segment. OP_WAIT, or why not; @job is used up then. */
static int look_in(struct topic_log *log, struct lookup_job *job,
                   const struct log_segment *segment) {
    const struct log_partition *partition = log_partition_of(job->lookup->partition);
    bool largest = job->lookup->timestamp_ms < 0;
    job->least_offset = largest ? 0 : partition->public.log_start_offset;
    job->timestamp_ms = largest ? segment->max_timestamp_ms : job->lookup->timestamp_ms;
    job->ceiling_ms = MAX(job->ceiling_ms, segment->max_timestamp_ms);
    job->seen_end = partition->public.high_watermark;
    job->id = (struct segment_id){partition->topic->public.number, partition->public.index,
                                  segment->base_offset};
    job->end = segment->written_bytes;
    job->next_base = next_base(partition, segment);
    if (batch_order_copy(partition, &job->order)) {
        log_job_finish(&job->job);
        return err_origin(-ENOMEM);
    }
    take_memory(job, partition);
    job->swap_count = partition->swap_count;
    if (swap_window_open(log, partition)) {
        swap_hold(log, &job->wait);
        return OP_WAIT;
    }
    if (reader_submit(log, &job->job)) {
        return TOPIC_E_FULL;
    }
    return OP_WAIT;
}

static struct lookup_job *job_new(struct topic_log *log, struct partition_lookup *lookup) {
    struct lookup_job *job = calloc(1, sizeof *job);
    if (!job) {
        return NULL;
    }
    job->lookup = lookup;
    job->topic = log_partition_of(lookup->partition)->topic;
    job->offset = -1;
    job->ceiling_ms = INT64_MIN;
    topic_ref(&job->topic->public);
    log_job_init(log, &job->job, lookup_done, lookup_destroy);
    job->job.work.run = lookup_run;
    job->wait.resume = begin_again;
    return job;
}

/* Where else to look: behind a segment that had the time below the log's start only, or is gone. */
static const struct log_segment *look_further(struct lookup_job *job) {
    const struct log_partition *partition = log_partition_of(job->lookup->partition);
    bool removed =
        partition->segment_count == 0 || partition->segments[0].base_offset > job->id.base_offset;
    if (job->status == BROKER_E_CORRUPT && removed) {
        job->status = 0; /* its files went meanwhile */
    }
    if (job->status || partition->topic->public.deleted || job->offset >= 0) {
        return NULL;
    }
    return choose(partition, job->lookup->timestamp_ms, job);
}

static void lookup_done(struct work *work) {
    struct lookup_job *job = container_of(work, struct lookup_job, job.work);
    struct topic_log *log = job->job.log;
    struct partition_lookup *lookup = job->lookup;
    struct log_partition *partition = log_partition_of(lookup->partition);
    if (swap_came_between(log, partition, job->swap_count, &job->wait)) {
        return;
    }
    if (job->index_wrong && !log->failed) {
        index_rebuild_soon(log, &job->id, job->end, job->next_base, false);
    }
    const struct log_segment *next = look_further(job);
    if (job->status == BROKER_E_CORRUPT) {
        (void)rot_met(log, partition, &job->id, job->rot, "a lookup by time");
    }
    int status = job->status;
    lookup->ret_offset = job->offset;
    lookup->ret_timestamp_ms = job->offset >= 0 ? job->found_ms : -1;
    lookup->ret_leader_epoch = job->offset >= 0 ? job->leader_epoch : -1;
    struct lookup_job *again = next ? job_new(log, lookup) : NULL;
    if (again) {
        again->ceiling_ms = job->ceiling_ms;
    }
    log_job_finish(&job->job);
    if (next) {
        status = again ? look_in(log, again, next) : err_origin(-ENOMEM);
    }
    if (status != OP_WAIT) {
        lookup->done(lookup, status);
    }
}

int partition_lookup(struct topic_log *log, struct partition_lookup *lookup) {
    const struct log_partition *partition = log_partition_of(lookup->partition);
    lookup->ret_offset = lookup->ret_timestamp_ms = -1;
    lookup->ret_leader_epoch = -1;
    if (partition->topic->public.deleted) {
        return TOPIC_E_UNKNOWN;
    }
    const struct log_segment *segment = choose(partition, lookup->timestamp_ms, NULL);
    if (!segment) {
        return 0;
    }
    if (partition->swap_broken) {
        return err_origin(-EIO);
    }
    struct lookup_job *job = job_new(log, lookup);
    return job ? look_in(log, job, segment) : err_origin(-ENOMEM);
}
