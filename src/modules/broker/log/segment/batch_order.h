/*
 * Where a batch may stand in its partition.
 *
 * The checksum of a record batch covers neither its base offset nor its leader epoch: a broker sets
 * both after the client has made the rest. A flipped bit there leaves a batch that every client
 * takes for right, at offsets that are another's. But a log knows what it has given out. Each batch
 * begins where the one before it ends, but for three places: below the offset up to which the
 * partition was compacted; behind a range that is set aside; and where an epoch begins, since a
 * start may have left offsets out then. And an offset tells its epoch. What contradicts that is
 * rot.
 *
 * What this cannot tell: a base offset that rot moves to another place of a gap that compaction has
 * left around its batch; to just behind a range that is set aside, where some batch has to begin;
 * or into a range that is lost, unless the batch behind it lies in the same block
 * (segment_resync.c).
 */
#pragma once

#include <eventbox/base/defs.h>

struct log_partition;
struct record_batch;

struct epoch_start {
    int32_t epoch;
    int64_t start_offset;
};

struct offset_range {
    int64_t from, to; /* to is exclusive */
};

struct batch_order {
    int64_t log_start, cleaned_to; /* what lies below neither is known */
    int32_t leader_epoch;
    bool epochs_open; /* a later one may begin anywhere behind what is known */
    uint32_t damage_count, epoch_count;
    const struct offset_range *damage; /* the partition's, or copies */
    const struct epoch_start *epochs;
    void *copies;
};

/** batch_order_of() - as of now; borrows the lists of @partition */
struct batch_order batch_order_of(const struct log_partition *partition);
/** batch_order_copy() - the same with lists of its own, for a job. Return: 0; -ENOMEM */
int batch_order_copy(const struct log_partition *partition, struct batch_order *ret_order);
void batch_order_deinit(struct batch_order *order);

/** batch_order_gap() - whether no batch need have the offsets from @from up to @next */
bool batch_order_gap(const struct batch_order *order, int64_t from, int64_t next);
/** batch_order_admits() - whether @batch can be what follows a batch that ends at @expected */
bool batch_order_admits(const struct batch_order *order, int64_t expected,
                        const struct record_batch *batch);
/** batch_order_epoch() - whether @epoch is that of @offset, as far as is known */
bool batch_order_epoch(const struct batch_order *order, int64_t offset, int32_t epoch);
