/*
 * What a replay writes to segments. A small batch costs about as many system calls as a large one,
 * and with thousands of partitions each frame has few batches of each. So batches wait in the
 * memory that their frames were read to, while it has room, and those of one partition are written
 * at once. Whoever reads a segment during a replay, or takes topics or segments away, has them
 * written first.
 *
 * To make thousands of files and folders takes longer than all else of a start. What would need
 * them, because the run before was killed in the midst of that, stays in memory, as it was then,
 * where the start need not write a checkpoint. So it does on a full disk.
 */
#include "append/tail.h"
#include "log_private.h"
#include "replay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    WAITING_FIRST = 1 << 10,
    BYTES_PER_WAITING = 384, /* of replay_bytes: a waiting batch takes a fifth of that more */
};

struct replay_waiting {
    struct log_partition *partition;
    int64_t segment_base;
    uint64_t sequence; /* of its frame */
    struct segment_piece piece;
};

/* Two are never equal: the offsets of a partition rise from one that waits to the next. */
static int by_place(const void *a, const void *b) {
    const struct replay_waiting *left = a, *right = b;
    uint32_t topics[2] = {left->partition->topic->public.number,
                          right->partition->topic->public.number};
    int32_t indexes[2] = {left->partition->public.index, right->partition->public.index};
    if (topics[0] != topics[1]) {
        return topics[0] < topics[1] ? -1 : 1;
    }
    if (indexes[0] != indexes[1]) {
        return indexes[0] < indexes[1] ? -1 : 1;
    }
    return left->piece.base_offset < right->piece.base_offset ? -1 : 1;
}

static bool goes_on(const struct replay_waiting *before, const struct replay_waiting *next) {
    return next->partition == before->partition && next->segment_base == before->segment_base &&
           next->piece.position == before->piece.position + before->piece.batch.size;
}

/* The batches from @first on that one write takes. */
static unsigned count_run(const struct replay_waiting *first, unsigned most) {
    unsigned count = 1;
    while (count < MIN(most, (unsigned)SEGMENT_PIECES_MAX) &&
           goes_on(&first[count - 1], &first[count])) {
        count++;
    }
    return count;
}

/* The journal has these batches durable, so memory may hold them, just as before the crash. */
static int keep_run(struct recovery *recovery, const struct replay_waiting *first, unsigned count) {
    int r = 0;
    for (unsigned i = 0; i < count && !r; i++) {
        r = tail_recovered(recovery->log, first[i].partition, first[i].segment_base,
                           &first[i].piece, first[i].sequence);
    }
    return r;
}

/* The first batches of @partition that are in memory, as many as one write takes. */
static unsigned kept_run(const struct log_partition *partition, struct segment_id *ret_id,
                         struct segment_piece *pieces) {
    const struct tail_batch *first = tail_at(partition, 0), *next = first;
    uint64_t end = first->position;
    unsigned count = 0;
    while (next && next->segment_base == first->segment_base && next->position == end) {
        pieces[count++] = tail_piece(next);
        end += next->batch.size;
        bool more = count < MIN(partition->tail_count, (uint32_t)SEGMENT_PIECES_MAX);
        next = more ? tail_at(partition, count) : NULL;
    }
    *ret_id = (struct segment_id){partition->topic->public.number, partition->public.index,
                                  first->segment_base};
    return count;
}

static int replay_to_segment(struct recovery *recovery, const struct segment_id *id, bool make,
                             const struct segment_piece *pieces, unsigned count,
                             struct segment_file **ret_file) {
    struct topic_log *log = recovery->log;
    int r = segment_writer_replay(log->segment_writer, id, make, pieces, count, ret_file);
    log->indexes.behind |= r == 0; /* it may have left entries out */
    return r;
}

/* What is kept of @partition goes to its segments after all. */
static int write_kept(struct recovery *recovery, struct log_partition *partition) {
    int r = 0;
    while (partition->tail_count > 0 && !r) {
        struct segment_piece pieces[SEGMENT_PIECES_MAX];
        struct segment_id id;
        struct segment_file *file;
        unsigned count = kept_run(partition, &id, pieces);
        r = replay_to_segment(recovery, &id, true, pieces, count, &file);
        if (!r) {
            tail_recovered_written(recovery->log, partition, count);
            r = recovery_touched(recovery, file);
        }
    }
    return r;
}

/* Where batches are kept, their partition waits for a flush as in a run. */
static int write_all_kept(struct recovery *recovery) {
    const struct list *dirty = &recovery->log->dirty;
    int r = 0;
    while (!list_empty(dirty) && !r) {
        r = write_kept(recovery, list_entry(dirty->next, struct log_partition, dirty_link));
    }
    return r;
}

/* What is left of the bound on batches in memory is for the appends that come before they are
 * written. */
static bool may_keep(const struct recovery *recovery, const struct replay_waiting *first,
                     unsigned count) {
    const struct topic_log *log = recovery->log;
    uint64_t cost = log->unwritten_cost;
    for (unsigned i = 0; i < count; i++) {
        cost += tail_cost_of(first[i].piece.batch.size);
    }
    return recovery_checkpoint_follows(recovery) && cost <= tail_limit(log) / 8 * 7;
}

static int write_run(struct recovery *recovery, const struct replay_waiting *first, unsigned count,
                     bool all) {
    struct log_partition *partition = first->partition;
    struct segment_piece pieces[SEGMENT_PIECES_MAX];
    struct segment_id id = {partition->topic->public.number, partition->public.index,
                            first->segment_base};
    struct segment_file *file;
    bool keep = recovery->disk_full || (!all && may_keep(recovery, first, count));
    int r = 0;
    assert(count > 0);
    for (unsigned i = 0; i < count; i++) {
        pieces[i] = first[i].piece;
    }
    /* Behind a batch that is in memory alone the next ones are, too: their order is the tail's. */
    if (partition->tail_count > 0) {
        r = keep ? DISK_E_NOT_FOUND : write_kept(recovery, partition);
    }
    r = r ? r : replay_to_segment(recovery, &id, !keep, pieces, count, &file);
    recovery->disk_full |= r == DISK_E_FULL;
    if (r == DISK_E_FULL || (keep && r == DISK_E_NOT_FOUND)) {
        return keep_run(recovery, first, count);
    }
    return r ? err_trace(r) : recovery_touched(recovery, file);
}

static int write_waiting(struct recovery *recovery, bool all) {
    unsigned total = recovery->waiting_count;
    int r = 0;
    if (total > 1) {
        qsort(recovery->waiting, total, sizeof recovery->waiting[0], by_place);
    }
    for (unsigned i = 0; i < total && !r;) {
        unsigned count = count_run(&recovery->waiting[i], total - i);
        r = write_run(recovery, &recovery->waiting[i], count, all);
        i += count;
    }
    recovery->waiting_count = 0;
    return r;
}

int replay_make_room(struct recovery *recovery) {
    return write_waiting(recovery, false);
}

int replay_write(struct recovery *recovery) {
    int r = recovery->disk_full ? 0 : write_all_kept(recovery);
    if (r == DISK_E_FULL) {
        recovery->disk_full = true;
        r = 0;
    }
    return r ? r : write_waiting(recovery, true);
}

int replay_write_later(struct recovery *recovery, struct log_partition *partition,
                       int64_t segment_base, const struct segment_piece *piece, uint64_t sequence) {
    uint64_t most = recovery->log->limits.replay_bytes / BYTES_PER_WAITING;
    int r = recovery->waiting_count >= MAX(most, (uint64_t)1) ? replay_make_room(recovery) : 0;
    if (!r && recovery->waiting_count == recovery->waiting_capacity) {
        unsigned capacity = MAX(recovery->waiting_capacity * 2, (unsigned)WAITING_FIRST);
        void *grown = realloc(recovery->waiting, capacity * sizeof *recovery->waiting);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        recovery->waiting = grown;
        recovery->waiting_capacity = capacity;
    }
    if (!r) {
        recovery->waiting[recovery->waiting_count++] = (struct replay_waiting){
            .partition = partition,
            .segment_base = segment_base,
            .sequence = sequence,
            .piece = *piece,
        };
    }
    return r;
}
