/*
 * The indexes of the segment that a partition is written to. Entries are collected in memory and
 * written some at a time, so that a small batch of one of thousands of partitions costs one write
 * and not three files more: at most INDEX_PENDING_MAX entries, and less than INDEX_PENDING_BYTES of
 * the .log, wait. Where the entries of all partitions would come to more than the segment writer
 * has room for, fewer of each wait. A reader walks that far at most. What a crash takes is found
 * again by a walk when the partition is next written to.
 *
 * Thread: segment writer, or recovery.
 */
#pragma once

#include "batch_order.h"
#include "segment_index.h"

enum {
    INDEX_PENDING_MAX = 64,
    INDEX_PENDING_FEW = 16, /* that may always wait */
};

struct index_entry {
    uint8_t index[INDEX_ENTRY_BYTES];
    uint8_t time[TIME_ENTRY_BYTES];
};

struct active_index {
    struct segment_id id;
    uint64_t unindexed_bytes;  /* written by a replay while not known: at.end alone is right */
    bool known;                /* all fields below */
    struct segment_indexer at; /* behind the last batch; entries written or waiting */
    uint64_t index_bytes, timeindex_bytes;
    unsigned pending_count, pending_capacity;
    struct index_entry *pending;
    size_t *total; /* what all indexes have room for, counted */
};

/** active_index_init() - nothing known. @total: counts entries that there is room for; outlives it
 */
void active_index_init(struct active_index *index, const struct segment_id *id, size_t *total);
void active_index_deinit(struct active_index *index); /* what waits is forgotten */
/** active_index_learn() - know what is on disk up to @position, cutting off what lies behind it */
int active_index_learn(struct active_index *index, struct disk *disk, struct disk_file *log,
                       uint64_t position);
/** active_index_add() - entries for batches that are in the .log. On failure nothing is changed
 * @most: that may wait, at most INDEX_PENDING_MAX */
int active_index_add(struct active_index *index, struct disk *disk,
                     const struct segment_piece *pieces, unsigned count, unsigned most);
/** active_index_pass() - batches that are in the .log, while the index is not known */
void active_index_pass(struct active_index *index, const struct segment_piece *pieces,
                       unsigned count);
/** active_index_flush() - write what waits */
int active_index_flush(struct active_index *index, struct disk *disk);
/** active_index_rebuild() - write the files anew from the first @end bytes of the .log
 * @next_base: where what follows them begins; INT64_MAX: not known, and a batch that only that
 * would confirm gets no entry */
int active_index_rebuild(struct active_index *index, struct disk *disk, struct disk_file *log,
                         uint64_t end, int64_t next_base, const struct batch_order *order);
