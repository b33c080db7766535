/*
 * What a replay writes to segments. A small batch costs about as many system calls as a large one,
 * and with thousands of partitions each frame has few batches of each. So batches wait in the
 * memory that their frames were read to, while it has room, and those of one partition are written
 * at once. Whoever reads a segment during a replay, or changes which topics and segments there are,
 * has them written first.
 */
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

/*
 * A start on a full disk: the journal has these batches durable, so memory may hold them until
 * their segment has room, just as it held them before the crash.
 */
static int keep_run(struct recovery *recovery, const struct replay_waiting *first, unsigned count) {
    int r = 0;
    for (unsigned i = 0; i < count && !r; i++) {
        r = tail_recovered(recovery->log, first[i].partition, first[i].segment_base,
                           &first[i].piece, first[i].sequence);
    }
    return r;
}

static int write_run(struct recovery *recovery, const struct replay_waiting *first,
                     unsigned count) {
    struct log_partition *partition = first->partition;
    struct segment_piece pieces[SEGMENT_PIECES_MAX];
    struct segment_id id = {partition->topic->public.number, partition->public.index,
                            first->segment_base};
    struct segment_file *file;
    assert(count > 0);
    for (unsigned i = 0; i < count; i++) {
        pieces[i] = first[i].piece;
    }
    /* Behind a batch that is in memory alone the next ones are, too: their order is the tail's. */
    int r = partition->tail_count > 0
                ? DISK_E_FULL
                : segment_writer_replay(recovery->log->segments, &id, pieces, count, &file);
    if (r == DISK_E_FULL) {
        return keep_run(recovery, first, count);
    }
    return r ? err_trace(r) : recovery_touched(recovery, file);
}

int replay_write(struct recovery *recovery) {
    unsigned total = recovery->waiting_count;
    int r = 0;
    if (total > 1) {
        qsort(recovery->waiting, total, sizeof recovery->waiting[0], by_place);
    }
    for (unsigned i = 0; i < total && !r;) {
        unsigned count = count_run(&recovery->waiting[i], total - i);
        r = write_run(recovery, &recovery->waiting[i], count);
        i += count;
    }
    recovery->waiting_count = 0;
    return r;
}

int replay_write_later(struct recovery *recovery, struct log_partition *partition,
                       int64_t segment_base, const struct segment_piece *piece, uint64_t sequence) {
    uint64_t most = recovery->log->limits.replay_bytes / BYTES_PER_WAITING;
    int r = recovery->waiting_count >= MAX(most, (uint64_t)1) ? replay_write(recovery) : 0;
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
