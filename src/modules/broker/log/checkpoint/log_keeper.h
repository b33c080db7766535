/* When a checkpoint is written. Thread: loop. */
#pragma once

#include "log_private.h"

void checkpoint_maybe(struct topic_log *log);
void checkpoint_begin(struct topic_log *log, bool final);
void checkpoint_keeper_init(struct topic_log *log);
void checkpoint_written(struct topic_log *log, const struct tail_batch *batch);
void checkpoint_go_on(struct topic_log *log);

/**
 * checkpoint_waits() - whether a checkpoint waits for batches to reach their segments
 *
 * While it is synced and written nothing waits: what comes meanwhile gathers, so that a segment
 * gets many batches with one write.
 */
static inline bool checkpoint_waits(const struct topic_log *log) {
    return log->checkpoint.under_way && log->checkpoint.batches_left > 0;
}

/** checkpoint_changes() - call before anything changes that a checkpoint holds of @partition */
static inline void checkpoint_changes(struct topic_log *log, struct log_partition *partition) {
    if (partition->changed_turn != log->checkpoint.turn) {
        checkpoint_partition_changes(log, partition);
    }
}
