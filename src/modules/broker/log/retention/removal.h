/* Files of deleted topics and of segments below the log's start. */
#pragma once

#include "log_private.h"

/* Files that nothing names any more; they wait for the checkpoint that allows their removal. */
struct pending_removal {
    uint32_t number;
    int32_t partition; /* -1: the topic, with all its folders */
    union {
        int64_t base_offset;     /* of the segment */
        int64_t partition_count; /* of the topic */
    };
    uint64_t sequence; /* of the frame that says so */
    bool under_way;
    uint8_t failures; /* of this run */
    int64_t due_ns;   /* not before, after a failure */
};

/** removal_add() - @removal's files go when the older checkpoint covers its sequence */
int removal_add(struct topic_log *log, const struct pending_removal *removal);
int removal_add_topic(struct topic_log *log, const struct log_topic *topic, uint64_t sequence);
void removals_maybe(struct topic_log *log);
/** removals_wait() - whether files are to go that no job is about */
bool removals_wait(const struct topic_log *log);
/** removals_uncovered() - whether a newer checkpoint would let files go */
bool removals_uncovered(const struct topic_log *log);
