/* What the files of compaction share: compact.c (the two passes), compact_batch.c (one batch),
 * compact_txn.c (transactions seen so far), compact_file.c (reading and writing). */
#pragma once

#include "compact.h"
#include "key_map.h"
#include "record_batch.h"
#include "segment/segment_index.h"

/* ---- compact_txn.c: which batches belong to aborted transactions, which markers are spent ---- */

struct compact_open_txn {
    int64_t producer_id;
    bool aborted;
    bool batch_seen;
};
struct compact_txns {
    const struct compact_aborted *aborted;
    uint32_t aborted_count, next;
    struct compact_open_txn *open;
    uint32_t open_count, open_capacity;
};
void compact_txns_init(struct compact_txns *txns, const struct compact_plan *plan);
void compact_txns_deinit(struct compact_txns *txns);
int compact_txns_copy(struct compact_txns *to, const struct compact_txns *from);
/**
 * compact_txns_pass() - move past one batch
 * @ret_discard: a batch of an aborted transaction; a marker of one whose batches are all gone
 */
int compact_txns_pass(struct compact_txns *txns, struct span data, const struct record_batch *batch,
                      bool *ret_discard);

/* ---- compact_file.c ---- */

/* Reads a source batch by batch, each checked by its CRC. */
struct compact_reader {
    const struct compact_plan *plan;
    struct compact_result *result;
    struct disk_file *file;
    uint32_t source;
    uint64_t position, end; /* of the batch that comes next */
    int64_t next_offset;    /* no batch begins below it */
    uint8_t *buffer;
    size_t capacity, begin, bytes;
};
int compact_reader_open(struct compact_reader *reader, uint32_t source);
/** compact_reader_next() - 1 with the next batch, valid until the next call; 0 at the end */
int compact_reader_next(struct compact_reader *reader, struct span *ret_data,
                        struct record_batch *ret_batch);
void compact_reader_close(struct compact_reader *reader); /* keeps the buffer */
void compact_reader_deinit(struct compact_reader *reader);

struct compact_writer {
    const struct compact_plan *plan;
    struct compact_target *target;
    struct disk_file *files[3]; /* by enum segment_kind */
    struct text pending[3];
    uint64_t written[3];
    uint64_t unsynced_bytes;
    struct segment_indexer indexer;
    int64_t empty_timestamp_ms; /* largest of batches without records */
};
int compact_writer_open(struct compact_writer *writer, const struct compact_plan *plan,
                        struct compact_target *target);
int compact_writer_add(struct compact_writer *writer, struct span data,
                       const struct record_batch *batch);
int compact_writer_finish(struct compact_writer *writer);
void compact_writer_deinit(struct compact_writer *writer);

/* ---- compact_batch.c ---- */

struct compact_filter {
    const struct compact_plan *plan;
    struct compact_result *result;
    const struct key_map *map;
    int64_t horizon; /* records at or above are kept */
    struct text records, out;
};

enum compact_verdict { COMPACT_KEPT, COMPACT_CHANGED, COMPACT_DROPPED };

/**
 * compact_filter() - what is left of one batch
 * @discard: from compact_txns_pass()
 * @last: its last offset ends the range
 * @ret_data: with COMPACT_KEPT the batch itself, with COMPACT_CHANGED another, until the next call
 */
int compact_filter(struct compact_filter *filter, struct span data,
                   const struct record_batch *batch, bool discard, bool last,
                   enum compact_verdict *ret_verdict, struct span *ret_data);
void compact_filter_deinit(struct compact_filter *filter);
