/*
 * What may be compacted, and which partition needs it most.
 *
 * Segments that may be compacted are those from the front of the log on, up to the first that
 *   - is being written, or not wholly in its file yet; one whose first record is older than
 *     max.compaction.lag.ms is closed for that, however idle its partition is: the next batch
 *     begins another;
 *   - the older of the two valid checkpoints does not cover (swap.h tells why);
 *   - an in-process consumer has not read to its end: a guard never yields;
 *   - is younger than min.compaction.lag.ms;
 *   - was found damaged.
 * A run is due when the part of them that no run has seen is more than min.cleanable.dirty.ratio
 * of their bytes, when something in it is older than max.compaction.lag.ms, or when tombstones that
 * an earlier run has kept may go.
 *
 * Runs that are due by time come first, and among equals the one with the largest such part.
 */
#include "cleaner.h"
#include "log_private.h"
#include "topics/partition.h"

/* When the first record of a segment was written. */
static int64_t first_time(const struct log_segment *segment) {
    return segment->first_timestamp_ms >= 0 ? segment->first_timestamp_ms : segment->created_ms;
}

/*
 * How many segments are closed. The one that is being written counts when it must not wait any
 * longer; with something on its way to it, it ends behind the last stable offset and stays out.
 */
static uint32_t count_closed(const struct topic_log *log, const struct log_partition *partition,
                             int64_t now_ms) {
    const struct partition *public = &partition->public;
    uint32_t count = partition->segment_count;
    if (count == 0) {
        return 0;
    }
    int64_t lag_ms = topic_config_int(log, &partition->topic->public, TOPIC_MAX_COMPACTION_LAG_MS);
    bool ends = public->log_end_offset > partition->cleaned_to &&
                lag_ms < now_ms - first_time(&partition->segments[count - 1]);
    return ends ? count : count - 1;
}

static uint32_t count_cleanable(struct topic_log *log, const struct log_partition *partition,
                                uint32_t closed, int64_t lag_ms, int64_t now_ms) {
    const struct guard *guard = partition_first_guard(partition);
    int64_t limit =
        MIN(guard ? guard->offset : INT64_MAX, partition_last_stable_offset(&partition->public));
    uint32_t count = 0;
    while (count < closed) {
        const struct log_segment *segment = &partition->segments[count];
        int64_t end = partition_segment_end(partition, count);
        bool dirty = end > partition->cleaned_to;
#ifndef MUTANT_SWAP_COVER
        if (MAX(segment->last_sequence, log->recovered_sequence) > log->older_sequence) {
            log->cleaner.waits = true;
            break;
        }
#endif
        if (segment->written_bytes < segment->bytes || end > limit ||
            (partition->damaged_from > 0 && end > partition->damaged_from - 1) ||
            (dirty && lag_ms > 0 && segment->max_timestamp_ms > now_ms - lag_ms)) {
            break;
        }
        count++;
    }
    return count;
}

static bool look_at(struct topic_log *log, struct log_partition *partition, int64_t now_ms,
                    struct cleaner_candidate *ret) {
    const struct topic *topic = &partition->topic->public;
    uint32_t closed = count_closed(log, partition, now_ms);
    if (closed == 0 || partition->start_moves_under_way > 0 ||
        partition_segment_end(partition, 0) <= partition->public.log_start_offset) {
        return false; /* nothing closed, or about to go as a whole */
    }
    uint32_t count = count_cleanable(
        log, partition, closed, topic_config_int(log, topic, TOPIC_MIN_COMPACTION_LAG_MS), now_ms);
    uint64_t dirty = 0, all = 0;
    int64_t oldest_ms = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        all += segment->bytes;
        if (partition_segment_end(partition, i) > partition->cleaned_to) {
            dirty += segment->bytes;
            oldest_ms = MIN(oldest_ms, first_time(segment));
        }
    }
    if (count == 0) {
        return false;
    }
    int64_t max_lag_ms = topic_config_int(log, topic, TOPIC_MAX_COMPACTION_LAG_MS);
    int64_t due_ms = partition->tombstones_due_ms;
    *ret = (struct cleaner_candidate){.partition = partition, .count = count};
    ret->ratio = all > 0 ? (double)dirty / (double)all : 0;
    ret->forced =
        (dirty > 0 && max_lag_ms < now_ms - oldest_ms) || (due_ms > 0 && due_ms <= now_ms);
    return ret->forced || ret->ratio > topic_config_double(log, topic, TOPIC_MIN_CLEANABLE_RATIO);
}

bool cleaner_choose(struct topic_log *log, int64_t now_ms, struct cleaner_candidate *ret_best) {
    bool found = false;
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (topic == log->registry || topic->public.deleted || !topic->created_durable ||
            !topic_config_compacts(log, &topic->public)) {
            continue;
        }
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct cleaner_candidate candidate;
            if (look_at(log, topic_partition(topic, i), now_ms, &candidate) &&
                (!found || (candidate.forced && !ret_best->forced) ||
                 (candidate.forced == ret_best->forced && candidate.ratio > ret_best->ratio))) {
                *ret_best = candidate;
                found = true;
            }
        }
    }
    return found;
}
