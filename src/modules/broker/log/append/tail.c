/*
 * Batches in memory. A partition holds them in a ring, oldest first, in four stretches:
 *
 *   | written | flushing | durable | queued |
 *     evict     segment    dirty     journal
 *               writer
 *
 * They only ever move to the left: the journal makes queued ones durable in order, one flush job at
 * a time takes durable ones of many partitions to their segments, and what is written leaves memory
 * when all batches together cost more than tail_limit(), the one written first leaving first.
 * tail_block.h tells where they live.
 * Readers take everything below the high watermark, which is all but the queued ones.
 *
 * How many wait. A write of 256 KiB to a segment takes the kernel less than half of what sixteen
 * writes of 16 KiB do. With few partitions limits.tail_bytes gathers that much of each. With a
 * hundred it would be one or two batches of each, so the tail grows with the partitions that are
 * written to, by limits.tail_spread_bytes at most. What counts is the flush job with the most
 * partitions of the last second or two, and the one under way, which may take longer where it makes
 * thousands of folders: single ones are due at other times than the rest.
 */
#include "producers/producer_snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { FLUSH_JOB_BATCHES = 32768, FLUSH_RUN_BATCHES = 256, SYNC_FILES_MAX = 16 };
enum { SPREAD_PARTITION_BYTES = 128 << 10 };

struct tail_batch *tail_at(const struct log_partition *partition, uint32_t index) {
    return partition->tail[(partition->tail_head + index) & (partition->tail_capacity - 1)];
}

struct segment_piece tail_piece(const struct tail_batch *batch) {
    return (struct segment_piece){
        .batch = span_of(batch->batch.data, batch->batch.size),
        .position = batch->position,
        .base_offset = batch->base_offset,
        .max_timestamp_ms = batch->max_timestamp_ms,
    };
}

int tail_push(struct log_partition *partition, struct tail_batch *batch) {
    if (partition->tail_count == partition->tail_capacity) {
        uint32_t capacity = partition->tail_capacity ? partition->tail_capacity * 2 : 4;
        struct tail_batch **grown = malloc(capacity * sizeof(*grown));
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        for (uint32_t i = 0; i < partition->tail_count; i++) {
            grown[i] = tail_at(partition, i);
        }
        free(partition->tail);
        partition->tail = grown;
        partition->tail_head = 0;
        partition->tail_capacity = capacity;
    }
    uint32_t at = (partition->tail_head + partition->tail_count) & (partition->tail_capacity - 1);
    partition->tail[at] = batch;
    partition->tail_count++;
    return 0;
}

uint32_t tail_find(const struct log_partition *partition, int64_t offset) {
    uint32_t low = 0, high = partition->tail_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (tail_batch_end(tail_at(partition, middle)) <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void batch_free(struct topic_log *log, struct tail_batch *batch) {
    struct topic *topic = &batch->partition->topic->public;
    list_remove(&batch->age_link);
    tail_batch_free(&log->blocks, batch);
    topic_unref(topic);
}

/* Takes the oldest batch of @partition out of memory. */
static void pop_front(struct topic_log *log, struct log_partition *partition) {
    struct tail_batch *batch = tail_at(partition, 0);
    partition->tail_head = (partition->tail_head + 1) & (partition->tail_capacity - 1);
    if (--partition->tail_count == 0) {
        free(partition->tail);
        partition->tail = NULL;
        partition->tail_head = partition->tail_capacity = 0;
    }
    if (batch->state != BATCH_QUEUED) {
        log->tail_cost -= tail_batch_cost(batch);
    }
    batch_free(log, batch);
}

static void set_dirty(struct topic_log *log, struct log_partition *partition) {
    if (!list_linked(&partition->dirty_link)) {
        partition->dirty_since_ns =
            clock_mono_ns(log->config.clock); /* the keeper comes here, too */
        list_push_back(&log->dirty, &partition->dirty_link);
    }
    if (partition->unflushed_bytes >= FLUSH_PARTITION_BYTES &&
        log->dirty.next != &partition->dirty_link) {
        list_remove(&partition->dirty_link);
        list_push_front(&log->dirty, &partition->dirty_link);
    }
}

static void forget_unwritten(struct topic_log *log, struct tail_batch *batch) {
    log->unwritten_cost -= tail_batch_cost(batch);
    log->unwritten_count--;
    checkpoint_written(log, batch);
}

/* The first batch in memory, which no segment has and no flush job is about. */
static void drop_durable(struct topic_log *log, struct log_partition *partition) {
    struct tail_batch *batch = tail_at(partition, 0);
    partition->tail_durable--;
    partition->unflushed_bytes -= batch->batch.size;
    forget_unwritten(log, batch);
    pop_front(log, partition);
}

static void awaits_flush(struct topic_log *log, struct tail_batch *batch) {
    batch->state = BATCH_DURABLE;
    batch->partition->tail_durable++;
    batch->partition->unflushed_bytes += batch->batch.size;
    log->unwritten_cost += tail_batch_cost(batch);
    log->unwritten_count++;
    log->tail_cost += tail_batch_cost(batch);
    set_dirty(log, batch->partition);
}

int tail_durable(struct topic_log *log, struct tail_batch *batch) {
    struct log_partition *partition = batch->partition;
    struct log_segment *segment;
    checkpoint_changes(log, partition);
    int r = partition_segment_at(partition, batch->segment_base, &segment);
    if (r) {
        return err_trace(r);
    }
    if (segment->bytes == 0 && partition->producers) {
        producer_snapshot_take(log, partition, batch->segment_base);
    }
    segment_took(segment, batch->position, batch->batch.size, batch->max_timestamp_ms,
                 batch->appended_ms);
    segment->last_sequence = batch->sequence;
    partition->public.high_watermark = tail_batch_end(batch);
    awaits_flush(log, batch);
    if (!list_linked(&partition->advanced_link)) {
        list_push_back(&log->advanced, &partition->advanced_link);
    }
    return 0;
}

int tail_recovered(struct topic_log *log, struct log_partition *partition, int64_t segment_base,
                   const struct segment_piece *piece, uint64_t sequence) {
    struct record_batch parsed;
    const struct slice bytes = {NULL, piece->batch.data, piece->batch.size};
    int r = record_batch_parse(piece->batch, &parsed);
    if (r) {
        return err_trace(r);
    }
    struct tail_batch *batch = tail_batch_new(&log->blocks, &bytes);
    r = batch ? tail_push(partition, batch) : err_origin(-ENOMEM);
    if (r) {
        if (batch) {
            tail_batch_free(&log->blocks, batch);
        }
        return err_trace(r);
    }
    batch->partition = partition;
    batch->base_offset = piece->base_offset;
    batch->last_offset_delta = parsed.last_offset_delta;
    batch->max_timestamp_ms = piece->max_timestamp_ms;
    batch->appended_ms = clock_wall_ms(log->config.clock);
    batch->segment_base = segment_base;
    batch->position = piece->position;
    batch->sequence = sequence;
    topic_ref(&partition->topic->public);
    if (partition->tail_count == 1) {
        log->spread++;
        log->spread_since_tick++;
    }
    awaits_flush(log, batch);
    return 0;
}

void tail_recovered_written(struct topic_log *log, struct log_partition *partition,
                            uint32_t count) {
    assert(count <= partition->tail_durable && partition->tail_durable == partition->tail_count);
    while (count-- > 0) {
        drop_durable(log, partition);
    }
    if (partition->tail_count == 0) {
        list_remove(&partition->dirty_link);
        log->spread--;
        log->spread_since_tick--;
    }
}

/* Bytes that a segment lacks begin with the first of its batches that is in memory. */
static void note_unwritten(struct log_partition *partition) {
    int64_t segment_base = -1;
    for (uint32_t i = 0; i < partition->tail_count; i++) {
        const struct tail_batch *batch = tail_at(partition, i);
        int index = partition_segment_index(partition, batch->base_offset);
        if (batch->segment_base != segment_base && index >= 0) {
            segment_base = batch->segment_base;
            partition->segments[index].written_bytes = batch->position;
        }
    }
}

uint64_t tail_recovered_count(struct topic_log *log) {
    list_for_each(link, &log->dirty) {
        note_unwritten(list_entry(link, struct log_partition, dirty_link));
    }
    return log->unwritten_count;
}

void tail_evict(struct topic_log *log) {
    while (log->tail_cost + log->blocks.dead_cost > tail_limit(log) && !list_empty(&log->tail)) {
        /* Written first of all written ones, so also the first that its partition has in memory. */
        struct tail_batch *oldest = list_entry(log->tail.next, struct tail_batch, age_link);
        oldest->partition->tail_written--;
        pop_front(log, oldest->partition);
    }
}

void tail_forget_written(struct topic_log *log, struct log_partition *partition, int64_t offset) {
    while (partition->tail_written > 0 && tail_batch_end(tail_at(partition, 0)) <= offset) {
        partition->tail_written--;
        pop_front(log, partition);
    }
}

void tail_drop_topic(struct topic_log *log, struct log_topic *topic) {
    for (int32_t i = 0; i < topic->public.partition_count; i++) {
        struct log_partition *partition = topic_partition(topic, i);
        if (partition->tail_flushing > 0) {
            continue; /* goes the usual way; its files are removed later than that */
        }
        while (partition->tail_written > 0) {
            partition->tail_written--;
            pop_front(log, partition);
        }
        while (partition->tail_durable > 0) {
            drop_durable(log, partition);
        }
        list_remove(&partition->dirty_link);
    }
}

void tail_free(struct log_partition *partition) {
    for (uint32_t i = 0; i < partition->tail_count; i++) {
        struct tail_batch *batch = tail_at(partition, i);
        list_remove(&batch->age_link);
        tail_batch_free(&partition->topic->log->blocks, batch);
    }
    free(partition->tail);
    partition->tail = NULL;
    partition->tail_count = partition->tail_capacity = partition->tail_head = 0;
}

/* ---- to the segments ---- */

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
        job->status = segment_writer_write(job->job.log->segments, &id, pieces, n, &file);
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
    forget_unwritten(log, batch);
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
