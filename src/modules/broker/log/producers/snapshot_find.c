/*
 * Producer snapshots in a start without checkpoint. The segments of a partition are read from the
 * front, then the journal; at the offset of a snapshot its producers take the place of those found
 * so far. Which one that is shows only when reading gets there: the newest at or before the log end
 * is the last that is passed.
 */
#include "log_private.h"
#include "producer_snapshot.h"
#include "recovery/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct snapshots_found {
    struct recovery *recovery;
    int64_t offsets[PRODUCER_SNAPSHOTS_KEPT]; /* rising */
    int count, passed;
};

int snapshots_look(struct recovery *recovery, struct log_partition *partition) {
    struct segment_id id = {partition->topic->public.number, partition->public.index, 0};
    struct snapshots_found found = {.recovery = recovery};
    found.count = producer_snapshot_list(recovery->log->disk, &id, INT64_MAX, found.offsets);
    if (found.count <= 0) {
        return found.count;
    }
    struct snapshots_found *kept = malloc(sizeof *kept);
    if (!kept) {
        return err_origin(-ENOMEM);
    }
    *kept = found;
    partition->snapshots = kept;
    return 0;
}

void snapshots_forget(struct log_partition *partition) {
    free(partition->snapshots);
    partition->snapshots = NULL;
}

/*
 * What the log itself has told of a producer must be in the window, or the producer in neither: it
 * may have expired. Offsets that were given out twice, after damage, would show here.
 */
static bool agrees(const struct producers *snapshot, const struct producers *read) {
    size_t position = 0;
    const struct producer *seen;
    while (read && (seen = hashmap_next(&read->map, &position)) != NULL) {
        const struct producer *kept =
            snapshot ? hashmap_find(&snapshot->map, span_of(&seen->id, sizeof seen->id)) : NULL;
        if (!kept || seen->count == 0) {
            continue;
        }
        const struct producer_batch *last = &seen->batches[seen->count - 1];
        const struct producer_batch *newest = &kept->batches[kept->count - 1];
        if (newest->base_offset < last->base_offset ||
            (newest->base_offset == last->base_offset &&
             (newest->epoch != last->epoch || newest->last_sequence != last->last_sequence))) {
            return false;
        }
    }
    return true;
}

static void adopt(struct log_partition *partition, int64_t offset) {
    struct recovery *recovery = partition->snapshots->recovery;
    struct segment_id at = {partition->topic->public.number, partition->public.index, offset};
    struct producers *producers = NULL;
    int r = producer_snapshot_read(recovery->log->disk, &at, &producers);
    const char *why = r == BROKER_E_NEWER ? "was written by a newer eventbox"
                      : r                 ? "is damaged"
                                          : "does not agree with the log";
    if (!r && agrees(producers, partition->producers)) {
        producers_free(partition->producers);
        partition->producers = producers;
        producers_adopt(producers, &recovery->log->producers);
        return;
    }
    producers_free(producers);
    char name[SEGMENT_NAME_SIZE];
    segment_name(&at, SEGMENT_SNAPSHOT, name);
    recovery_report(recovery, TOPIC_LOG_MENDED, "%s %s: producers are taken from the batches", name,
                    why);
}

void snapshots_pass(struct log_partition *partition, int64_t offset) {
    struct snapshots_found *found = partition->snapshots;
    while (found && found->passed < found->count && found->offsets[found->passed] <= offset) {
        adopt(partition, found->offsets[found->passed++]);
    }
}

/* The log has lost its end; somebody may have seen what was there. */
static void tell_beyond(struct recovery *recovery, struct log_partition *partition) {
    const struct snapshots_found *found = partition->snapshots;
    int64_t end = partition->public.log_end_offset;
    partition->unread_from = end + 1;
    open_end_seen(partition, found->offsets[found->count - 1]);
    recovery_report(recovery, TOPIC_LOG_DAMAGED,
                    "topic %s partition %" PRId32 ": the log ends at offset %" PRId64
                    ", a snapshot of its producers knew of %" PRId64,
                    partition->topic->public.name, partition->public.index, end,
                    found->offsets[found->count - 1]);
}

void snapshots_settle(struct recovery *recovery) {
    list_for_each(link, &recovery->log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            if (!partition->snapshots) {
                continue;
            }
            snapshots_pass(partition, partition->public.log_end_offset);
            if (partition->snapshots->passed < partition->snapshots->count) {
                tell_beyond(recovery, partition);
            } else {
                snapshots_forget(partition);
            }
        }
    }
}

int snapshots_drop_beyond(struct recovery *recovery) {
    int r = 0;
    list_for_each(link, &recovery->log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count && !r; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            struct segment_id id = {topic->public.number, i, 0};
            const struct snapshots_found *found = partition->snapshots;
            if (found) {
                r = producer_snapshot_drop(recovery->log->disk, &id, found->offsets[found->passed],
                                           INT64_MAX);
            }
            snapshots_forget(partition);
        }
    }
    return r ? err_trace(r) : 0;
}
