/* Batches in memory. */
#pragma once

#include "log_private.h"

/**
 * tail_recovered() - a batch that recovery has taken into the state and not to its segment: it is
 * durable in the journal, and goes there later. Thread: recovery, as for the next two
 */
int tail_recovered(struct topic_log *log, struct log_partition *partition, int64_t segment_base,
                   const struct segment_piece *piece, uint64_t sequence);
/** tail_recovered_written() - the first @count batches of @partition are in their segment after all
 */
void tail_recovered_written(struct topic_log *log, struct log_partition *partition, uint32_t count);
/** tail_recovered_count() - batches that are so; what they leave out of segments is noted now */
uint64_t tail_recovered_count(struct topic_log *log);
/** tail_piece() - @batch as the segment writer takes it */
struct segment_piece tail_piece(const struct tail_batch *batch);
int tail_push(struct log_partition *partition, struct tail_batch *batch);
struct tail_batch *tail_at(const struct log_partition *partition, uint32_t index);
/** tail_readable() - so many batches in memory are durable: the first ones */
static inline uint32_t tail_readable(const struct log_partition *partition) {
    return partition->tail_written + partition->tail_flushing + partition->tail_durable;
}
/** tail_find() - index of the first batch in memory that ends behind @offset; tail_count when none
 */
uint32_t tail_find(const struct log_partition *partition, int64_t offset);
/** tail_durable() - @batch has become durable: advance the high watermark and the segments */
int tail_durable(struct topic_log *log, struct tail_batch *batch);
/** tail_forget_unwritten() - @batch has come to its segment, or is dropped */
void tail_forget_unwritten(struct topic_log *log, struct tail_batch *batch);
void tail_evict(struct topic_log *log);
/** tail_forget_written() - batches that end at or before @offset; their segments have less now */
void tail_forget_written(struct topic_log *log, struct log_partition *partition, int64_t offset);
/** tail_drop_topic() - forget what memory holds of a topic whose deletion is durable */
void tail_drop_topic(struct topic_log *log, struct log_topic *topic);
void tail_free(struct log_partition *partition);

/* ---- tail_flush.c ---- */

/** tail_limit() - what batches in memory may cost now, in bytes: see tail_flush.c */
uint64_t tail_limit(const struct topic_log *log);
/** tail_flush() - hand what is due to the segment writer; @all: everything */
void tail_flush(struct topic_log *log, bool all);
void tail_flush_again(struct topic_log *log); /* after a full disk */
