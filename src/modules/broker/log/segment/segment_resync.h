/*
 * Past rot in a .log: where the next right batch begins.
 *
 * First it is looked where the header of the damaged one says, since rot is mostly in records, then
 * byte by byte. A batch counts when its checksum is right and its place agrees with what follows
 * it: with the next batch, or with where the next segment begins. So of two neighbours that
 * contradict each other the one goes that contradicts the third as well.
 *
 * A walk by headers trusts the last offset of each batch that it passes, which only the checksum of
 * that batch proves. So where a batch is not where it is expected, the one before it is looked at
 * first: perhaps it is that one which is damaged.
 *
 * A disk may also have written a block to the place of another. Its batches are right, and follow
 * one another, but for the one that ends with the block; taken for what comes next they would cost
 * all that lies between. So a walk through everything believes a batch at once only if more than a
 * block follows it without a mistake; else one that is so, stands behind it and has a lower offset
 * goes before it.
 *
 * A walk has one way through such a segment, and where the exchanged blocks are near each other no
 * way is the right one by what is in it. So what a walk did not meet is not lost for that: before
 * offsets count as lost, or a read of one is refused, a right batch that has them is looked for
 * wherever it stands (segment_stray()). How much it has to prove depends on who asks:
 *
 *   a start without checkpoint   all offsets wanted, what follows agrees
 *   scrub, marks of rot          all offsets wanted
 *   a read                       one offset wanted, what follows agrees, none below the way's
 *   what frames put back         any right batch, since it may have to give way
 */
#pragma once

#include "batch_order.h"
#include "record_batch.h"
#include "segment.h"

struct segment_resync {
    struct disk_file *file;
    uint64_t end;        /* bytes of the .log that count */
    int64_t base_offset; /* of the segment */
    int64_t next_base;   /* where what follows these bytes begins; -1: not known */
    int64_t most_offset; /* batches that begin behind it are passed over; INT64_MAX: a walk through
                            everything */
    const struct batch_order *order;
    bool firm;               /* only one that more than a block follows without a mistake */
    uint64_t *checked_bytes; /* out: what was read to check batches is added; NULL: not wanted */
    /* Only batches that have one of these offsets; without a count any. */
    const struct offset_range *wanted;
    uint32_t wanted_count;
    bool all_wanted; /* each of its offsets must be wanted, not only one: rot in its base offset,
                        which no checksum covers, may claim some of a batch that is right, or some
                        that are lost */
    int64_t least_offset; /* of a stray */
    bool alone;           /* what follows need not agree */
};

enum {
    /* A batch that says it is larger is looked at piece by piece before there is memory for it: of
     * its length rot may claim what it likes, up to the end of the segment. */
    SEGMENT_BATCH_TRUSTED_BYTES = 2 << 20,
    /* How far behind a right batch one is looked for that belongs before it, by a walk at once and
     * by the scrub some bytes at a step. */
    SEGMENT_LOOK_BEHIND_BYTES = 4 << 20,
};

/**
 * segment_batch_check() - whether the batch at @position is right by its checksum, in bounded
 * memory
 * @ret_batch: without its records
 * Return: 0; BROKER_E_CORRUPT; negative.
 */
int segment_batch_check(struct disk_file *file, uint64_t position, uint64_t end,
                        struct record_batch *ret_batch);
/** segment_batch_read() - the batch at @position in new memory, right by its checksum; NULL when
 * there is none */
uint8_t *segment_batch_read(struct disk_file *file, uint64_t position, uint64_t end,
                            struct record_batch *ret_batch);
/**
 * segment_resync() - the next right batch
 * @before: the one before @cursor, passed by its header alone; NULL when it is known to be right
 * @cursor: in: what is no batch, or not the one expected. Out: the right one, which may be the same
 * @limit: not looked for beyond so many bytes
 * Return: 0; BROKER_E_CORRUPT when there is none, and @cursor is as it was; negative.
 */
int segment_resync(const struct segment_resync *in, const struct segment_cursor *before,
                   struct segment_cursor *cursor, uint64_t limit);
/**
 * segment_stray() - the first right batch with a wanted offset, in order or not, that begins from
 * byte @from on and whose header ends at or before @limit
 * @ret_end: the offset behind it
 * Return: 0; BROKER_E_CORRUPT when there is none; negative.
 */
int segment_stray(const struct segment_resync *in, uint64_t from, uint64_t limit,
                  struct segment_cursor *ret_cursor, int64_t *ret_end);
