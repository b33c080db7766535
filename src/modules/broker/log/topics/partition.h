/* Small rules of one partition: segments, epochs, damage, guards, waiters. */
#pragma once

#include "log_private.h"

int partition_segment_at(struct log_partition *partition, int64_t base_offset,
                         struct log_segment **ret_segment);
/** partition_segment_index() - of the segment that would hold @offset; -1 when none */
int partition_segment_index(const struct log_partition *partition, int64_t offset);
/** partition_segment_end() - where what follows the segment at @index begins: the next one, or what
 * comes */
int64_t partition_segment_end(const struct log_partition *partition, uint32_t index);
/** partition_segment_took() - account one batch of @bytes at @position, appended at @appended_ms */
void partition_segment_took(struct log_segment *segment, uint64_t position, uint64_t bytes,
                            int64_t max_timestamp_ms, int64_t appended_ms);
/** partition_keep() - base of the first segment that is left when the log begins at @offset; the
 * log end when none is */
int64_t partition_keep(const struct log_partition *partition, int64_t offset);
/** partition_first_guard() - the guard that holds the most; NULL without guards */
const struct guard *partition_first_guard(const struct log_partition *partition);
/**
 * partition_move_log_start() - the log begins at @offset from now on, and segments below @keep are
 * gone: their files are removed when the older checkpoint covers @sequence
 */
int partition_move_log_start(struct topic_log *log, struct log_partition *partition, int64_t offset,
                             int64_t keep, uint64_t sequence);
int partition_epoch_raise(struct log_partition *partition, int64_t start_offset);
/** partition_epoch_begin() - the same with @epoch, which is a later one */
int partition_epoch_begin(struct log_partition *partition, int32_t epoch, int64_t start_offset);
/** partition_epoch_learn() - a batch of @epoch is at @offset, below the log end: it began no later
 */
int partition_epoch_learn(struct log_partition *partition, int32_t epoch, int64_t offset);
/** topic_acknowledges_early() - flush.ms is set: answers leave before the sync */
bool topic_acknowledges_early(const struct topic_log *log, const struct topic *topic);
int partition_damage_add(struct log_partition *partition, int64_t from, int64_t to);
/** partition_damage_remove() - these offsets are there again */
int partition_damage_remove(struct log_partition *partition, int64_t from, int64_t to);
void partition_wake(struct log_partition *partition);
