/*
 * What a lost frame had and segments have: batches go to their segment only once they are durable,
 * so it may have been written before the frame was damaged. A batch behind a hole counts when right
 * ones lead from it to the end of the file or to what a frame names, or when it begins its segment.
 */
#include "log_private.h"
#include "replay.h"
#include "segment/segment_resync.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Reads the batch at @position of a segment into new memory, whole and right; NULL when it is not
 * there. */
uint8_t *replay_segment_batch(struct recovery *recovery, const struct segment_id *id,
                              uint64_t position, int64_t base_offset,
                              struct record_batch *ret_batch) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    assert(recovery->waiting_count == 0); /* it may be one of them */
    segment_name(id, SEGMENT_LOG, name);
    if (disk_open(recovery->log->disk, name, DISK_READ, &file) || disk_size(file, &size)) {
        return NULL;
    }
    uint8_t *data = segment_batch_read(file, position, size, ret_batch);
    if (data && ret_batch->base_offset != base_offset) {
        free(data);
        data = NULL;
    }
    return data;
}

uint8_t *replay_segment_next(struct recovery *recovery, const struct log_partition *partition,
                             struct segment_cursor *ret_at, struct record_batch *ret_batch) {
    const int64_t offset = partition->public.log_end_offset;
    struct segment_id id = {partition->topic->public.number, partition->public.index,
                            partition->writer_base};
    *ret_at = (struct segment_cursor){partition->writer_position, id.base_offset};
    uint8_t *data = id.base_offset < 0
                        ? NULL
                        : replay_segment_batch(recovery, &id, ret_at->position, offset, ret_batch);
    if (!data) { /* perhaps it rolled there */
        id.base_offset = offset;
        *ret_at = (struct segment_cursor){0, offset};
        data = replay_segment_batch(recovery, &id, 0, offset, ret_batch);
    }
    return data;
}

bool replay_is_in_segment(struct recovery *recovery, const struct frame_entry *entry) {
    const struct segment_id id = {entry->topic, entry->partition, entry->segment_base};
    struct record_batch batch;
    uint8_t *data =
        replay_segment_batch(recovery, &id, entry->position, entry->base_offset, &batch);
    free(data);
    return data != NULL;
}

/* The batches before @until are gone: say which, and go on behind them. */
int replay_note_lost(struct recovery *recovery, struct log_partition *partition, int64_t until) {
    int64_t from = partition->public.log_end_offset;
    if (!recovery->holes_expected) { /* else all that is lost is told at the end */
        recovery_report(recovery, TOPIC_LOG_DAMAGED,
                        "topic %s partition %" PRId32 ": offsets %" PRId64 " to %" PRId64
                        " were in a damaged frame of the journal and are lost",
                        partition->topic->public.name, partition->public.index, from, until - 1);
    }
    recovery->changed = true;
    return partition_damage_add(partition, from, until);
}

/* Where the right batches end that follow each other from @at, at the latest @until. */
static struct segment_cursor follow(struct disk_file *file, uint64_t size, struct segment_cursor at,
                                    const struct frame_entry *until) {
    struct record_batch batch;
    while (at.position < size && at.offset < until->base_offset &&
           segment_batch_check(file, at.position, size, &batch) == 0 &&
           batch.base_offset == at.offset) {
        at.position += batch.total_bytes;
        at.offset += batch.last_offset_delta + 1;
    }
    return at;
}

/*
 * The next batch behind @cursor to go on with. What only looks like a batch, in the records of one
 * that is lost, leads nowhere: the search goes on where it led, and the offsets that it claimed do
 * not count.
 */
static bool find_leading(const struct segment_resync *in, const struct frame_entry *until,
                         struct segment_cursor *cursor) {
    struct segment_cursor at = *cursor;
    while (at.position < in->end && segment_resync(in, NULL, &at, in->end) == 0) {
        struct segment_cursor end = follow(in->file, in->end, at, until);
        bool begins = at.position == 0 && at.offset == in->base_offset; /* so says its name */
        if (begins || end.position == in->end || end.offset == until->base_offset) {
            *cursor = at;
            return true;
        }
        at = (struct segment_cursor){end.position, cursor->offset};
    }
    return false;
}

static int pass_lost_in(struct recovery *recovery, struct log_partition *partition, int64_t base,
                        uint64_t position, const struct frame_entry *until, bool *ret_passed) {
    struct segment_id id = {partition->topic->public.number, partition->public.index, base};
    struct batch_order order = batch_order_of(partition);
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    order.epochs_open = true;
    segment_name(&id, SEGMENT_LOG, name);
    if (disk_open(recovery->log->disk, name, DISK_READ, &file) || disk_size(file, &size)) {
        return 0;
    }
    const struct segment_resync in = {file, size, base, -1, until->base_offset - 1, &order};
    struct segment_cursor at = {position, MAX(partition->public.log_end_offset, base)};
    if (!find_leading(&in, until, &at)) {
        return 0;
    }
    int r = replay_note_lost(recovery, partition, at.offset);
    partition->writer_base = base;
    partition->writer_position = at.position;
    partition->public.log_end_offset = partition->public.high_watermark = at.offset;
    *ret_passed = true;
    return r;
}

/* The segment that may have @from, behind the one at @above; else the first that begins behind it,
 * or INT64_MAX. */
static int64_t find_base(const struct segment_bases *bases, int64_t above, int64_t from) {
    int64_t holding = -1;
    for (size_t i = 0; i < bases->count; i++) {
        if (bases->offsets[i] >= from) {
            return holding >= 0 ? holding : bases->offsets[i];
        }
        holding = bases->offsets[i] > above ? bases->offsets[i] : holding;
    }
    return holding >= 0 ? holding : INT64_MAX;
}

/*
 * A batch that no segment has, and behind it such that one has: goes on with those. They may be in
 * a later segment, of which no frame that is left need say that it began; the log end may lie in
 * the midst of that where the log's start has moved.
 */
static int pass_lost(struct recovery *recovery, struct log_partition *partition,
                     const struct frame_entry *until, bool *ret_passed) {
    int64_t base = partition->writer_base, from = partition->public.log_end_offset;
    struct segment_bases bases = {0};
    int r = segment_bases_list(recovery->log->disk, partition->topic->public.number,
                               partition->public.index, &bases);
    *ret_passed = false;
    if (!r && base >= 0) {
        r = pass_lost_in(recovery, partition, base, partition->writer_position, until, ret_passed);
    } else if (partition->segment_count > 0) { /* that one has been read */
        base = partition->segments[partition->segment_count - 1].base_offset;
    }
    while (!r && !*ret_passed && (base = find_base(&bases, base, from)) < until->base_offset) {
        r = pass_lost_in(recovery, partition, base, 0, until, ret_passed);
        from = MAX(from, base + 1);
    }
    segment_bases_deinit(&bases);
    return r ? err_trace(r) : 0;
}

/* Batches that a lost frame had and the segment already has: from the log end up to @until. */
int replay_fill(struct recovery *recovery, struct log_partition *partition,
                const struct frame_entry *until) {
    while (partition->public.log_end_offset < until->base_offset) {
        struct segment_cursor at;
        struct record_batch batch;
        uint8_t *data = replay_segment_next(recovery, partition, &at, &batch);
        bool passed = false;
        int r = data ? recovery_take_over(partition, at.offset, at.position, &batch,
                                          clock_wall_ms(recovery->log->config.clock))
                     : pass_lost(recovery, partition, until, &passed);
        bool again = data || passed;
        free(data);
        if (r || !again) {
            return r;
        }
    }
    return 0;
}
