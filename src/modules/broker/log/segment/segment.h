/*
 * Files of a partition, in topics/<topic number>-<partition>/, named by the segment's base offset
 * in 20 digits:
 *
 *   .log        Kafka's record batches from byte 0; Kafka's own dump tool reads it
 *   .index      header, then 8 bytes each: u32 offset less base, u32 position
 *   .timeindex  header, then 12 bytes each: i64 largest timestamp before, u32 offset less base
 *   .snapshot   producers as of that offset, of a segment or a clean stop (producer_snapshot.h)
 *   .txnindex   reserved: nothing writes it before there are transactions
 *
 * The header of an index is 16 bytes: magic ("EBIX", "EBTX"), u16 version, zeros. Entries stand for
 * batches at least 4 KiB apart, and for every batch that does not follow the one before it without
 * a gap. An index is a hint: entries are synced by nobody but the keeper, so what a crash leaves
 * may be short or zeros, and those of less than the last MiB may still wait in
 * memory (active_index.h). The reader believes an entry only if entries rise and a batch of that
 * offset begins there; else it walks from an earlier entry, at last from byte 0. By time it
 * believes one only if the entry before it and the batches between them say the same.
 *
 * Gap or rot in a .log: walking stops there with BROKER_E_CORRUPT. Reading goes on at the next
 * right batch, wherever it stands (segment_resync.h), so what is lost are the batches that rot hit.
 * Entries that still wait are written when a reader meets rot.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>
#include <eventbox/loop/disk.h>

struct batch_order;

enum {
    SEGMENT_NAME_SIZE = 64,
    INDEX_HEADER_BYTES = 16,
    INDEX_ENTRY_BYTES = 8,
    TIME_ENTRY_BYTES = 12,
    INDEX_STEP_BYTES = 4096,
    INDEX_PENDING_BYTES = 1 << 20, /* at the end of a .log, whose entries may not be written yet */
    SEGMENT_PIECES_MAX = 256,      /* batches in one write */
    INDEX_MAGIC = 0x58494245,      /* "EBIX" */
    TIMEINDEX_MAGIC = 0x58544245,  /* "EBTX" */
    INDEX_VERSION = 1,
};

enum segment_kind {
    SEGMENT_LOG,
    SEGMENT_INDEX,
    SEGMENT_TIMEINDEX,
    SEGMENT_KINDS, /* the files of one segment; the others are none */
    SEGMENT_SNAPSHOT = SEGMENT_KINDS,
    SEGMENT_TXNINDEX,
};

struct segment_id {
    uint32_t topic;
    int32_t partition;
    int64_t base_offset;
};

void segment_folder(uint32_t topic, int32_t partition, char out[SEGMENT_NAME_SIZE]);
void segment_name(const struct segment_id *id, enum segment_kind kind, char out[SEGMENT_NAME_SIZE]);
/** segment_name_parse() - whether @name, without its folder, is one of those above */
bool segment_name_parse(const char *name, enum segment_kind *ret_kind, int64_t *ret_base_offset);

/* Base offsets of the .log files in the folder of a partition, in order. */
struct segment_bases {
    int64_t *offsets;
    size_t count, capacity;
};
/** segment_bases_list() - @bases is empty. Return: 0, also when there is no folder; negative */
int segment_bases_list(struct disk *disk, uint32_t topic, int32_t partition,
                       struct segment_bases *bases);
void segment_bases_deinit(struct segment_bases *bases);

/** segment_unlink() - remove the files of a segment; those that are gone are fine. Again is
 * harmless. Return: 0; a code of the disk; negative */
int segment_unlink(struct disk *disk, const struct segment_id *id);

/* A segment open for writing. Shared by count: the segment writer's cache, and whoever must sync
 * it. */
struct segment_file {
    struct segment_id id;
    unsigned refs; /* atomic */
    struct disk_file *log;
    uint32_t *open_count; /* atomic: the segment writer's; NULL as long as it is not open */
    bool unsynced;        /* the loop's: listed for the next checkpoint */
    /* Its folder entries may not be durable. The segment writer sets both before anyone else sees
     * the file, and after a failed write again: new_folder first. */
    bool new_file; /* atomic; the keeper clears it */
    bool new_folder;
    /* The segment writer's. */
    struct segment_file *lru_next, *lru_prev;
    uint64_t used; /* when, counted in uses */
};
struct segment_file *segment_file_ref(struct segment_file *file);
void segment_file_unref(struct segment_file *file); /* accepts NULL; the last one closes */
/** segment_file_sync() - the data, and the folder entries when new. Thread: keeper */
int segment_file_sync(struct disk *disk, struct segment_file *file);

/* What the segment writer needs to know of one batch. */
struct segment_piece {
    struct span batch;
    uint64_t position;
    int64_t base_offset;
    int64_t max_timestamp_ms;
};

struct segment_writer;
/** segment_writer_new() - @files_max: of the cache, at least 1 */
int segment_writer_new(struct disk *disk, unsigned files_max, struct segment_writer **ret_writer);
/** segment_writer_free() - accepts NULL; after the last reference to a file of it */
void segment_writer_free(struct segment_writer *writer);
/** segment_writer_open_files() - in the cache, or with somebody who is to sync them. Thread: any */
uint32_t segment_writer_open_files(const struct segment_writer *writer);
/**
 * segment_writer_write() - write batches of one segment at their positions, and index them
 * @ret_file: with a reference
 * Thread: segment writer, or recovery. Writing the same again changes nothing.
 * Return: 0; DISK_E_FULL: nothing is known to be written, try all again; negative.
 */
int segment_writer_write(struct segment_writer *writer, const struct segment_id *id,
                         const struct segment_piece *pieces, unsigned count,
                         struct segment_file **ret_file);
/**
 * segment_writer_replay() - the same at a start, without gaps between the pieces
 * @make: the .log, if it is not there
 * Where it would have to learn what the index files hold, up to 64 KiB of a segment stay without
 * entries until the partition is next written to, or segment_writer_catch_up().
 * Return: also DISK_E_NOT_FOUND, with nothing changed: it is not there, and not to be made.
 */
int segment_writer_replay(struct segment_writer *writer, const struct segment_id *id, bool make,
                          const struct segment_piece *pieces, unsigned count,
                          struct segment_file **ret_file);
/** segment_writer_make() - the .log of a segment, empty unless it is there. As above, but for the
 * pieces */
int segment_writer_make(struct segment_writer *writer, const struct segment_id *id,
                        struct segment_file **ret_file);
/** segment_writer_rebuild() - write the index files anew from the first @end bytes of the .log; or
 * just the entries that still wait, if there are any */
int segment_writer_rebuild(struct segment_writer *writer, const struct segment_id *id, uint64_t end,
                           int64_t next_base, const struct batch_order *order);
/** segment_writer_flush_index() - write the entries of a segment that still wait */
int segment_writer_flush_index(struct segment_writer *writer, const struct segment_id *id);
/** segment_writer_catch_up() - entries for what a replay has left without, of at most so many
 * segments; *ret_more: there are others */
int segment_writer_catch_up(struct segment_writer *writer, unsigned most, bool *ret_more,
                            struct segment_id *ret_failed);
/** segment_writer_flush_indexes() - both of all segments, at a clean stop */
int segment_writer_flush_indexes(struct segment_writer *writer);
/** segment_writer_forget() - close what is open of a segment; of all of a topic when its partition
 * is -1 */
void segment_writer_forget(struct segment_writer *writer, const struct segment_id *id);

/* ---- reading ---- */

/* A place in a .log where a batch begins. */
struct segment_cursor {
    uint64_t position;
    int64_t offset; /* base offset of that batch */
};

/* What a seek looks for: the batch that holds an offset, or the first one at or after a timestamp.
 */
struct segment_target {
    int64_t offset; /* -1: by timestamp */
    int64_t timestamp_ms;
};

/**
 * segment_seek() - a batch at or before @target, as near as the index knows
 * @end: bytes of the .log that count
 * @ret_wrong: the index is missing or wrong and should be rebuilt; the cursor is right all the same
 */
int segment_seek(struct disk *disk, struct disk_file *log, const struct segment_id *id,
                 const struct segment_target *target, uint64_t end,
                 struct segment_cursor *ret_cursor, bool *ret_wrong);
struct record_batch;
/**
 * segment_header() - the header of the batch at @position
 * @bytes: its first RECORD_BATCH_HEADER_BYTES bytes. Return: 0; BROKER_E_CORRUPT when no batch that
 * ends by @end begins there.
 */
int segment_header(const uint8_t *bytes, uint64_t position, uint64_t end,
                   struct record_batch *ret_batch);
