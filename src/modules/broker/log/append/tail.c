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
 */
#include "tail.h"
#include "checkpoint/log_keeper.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "topics/partition.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

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

void tail_forget_unwritten(struct topic_log *log, struct tail_batch *batch) {
    log->unwritten_cost -= tail_batch_cost(batch);
    log->unwritten_count--;
    checkpoint_written(log, batch);
}

/* The first batch in memory, which no segment has and no flush job is about. */
static void drop_durable(struct topic_log *log, struct log_partition *partition) {
    struct tail_batch *batch = tail_at(partition, 0);
    partition->tail_durable--;
    partition->unflushed_bytes -= batch->batch.size;
    tail_forget_unwritten(log, batch);
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
    partition_segment_took(segment, batch->position, batch->batch.size, batch->max_timestamp_ms,
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
