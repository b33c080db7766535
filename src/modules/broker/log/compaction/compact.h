/*
 * Compaction of one partition: closed segments in, fewer and smaller ones out, in which of each key
 * the last record is left. Pure work on files: it knows neither the loop nor the journal. Who may
 * put the new files in the place of the old ones, and when, is swap.c's business.
 *
 * Two passes. The first reads the dirty range, from @dirty_from on, into a map from key to last
 * offset (key_map.h), until the range or the map's memory ends: that offset is the horizon of this
 * run. The second copies every segment that begins below the horizon into .cleaned files and leaves
 * out what the map supersedes. Neighbours that fit one segment together become one.
 *
 * What is kept, and how (Kafka's rules; KIP-98, KIP-354, KIP-534):
 *   - a record below the horizon is kept if no later one has its key; a record without key is not;
 *   - offsets do not move: a batch keeps base offset, last offset delta, leader epoch, producer id,
 *     epoch and sequence; records keep their bytes. New are record count, largest timestamp, CRC;
 *   - a compressed batch that loses records is compressed again with its codec;
 *   - a tombstone (null value) stays until its delete horizon. The first run that meets it writes
 *     the horizon, now + delete.retention.ms, into the batch: attribute bit 6, and the base
 *     timestamp is the horizon (the deltas of its records are made anew against it). A later run
 *     drops the tombstones of a batch whose horizon has passed;
 *   - the last batch of each live producer stays, without records if need be, because its sequence
 *     and epoch do; so does the last batch of the range, whose last offset ends it;
 *   - batches of aborted transactions lose their records. A marker gets a horizon in the first run
 *     that meets no batch of its transaction any more, and goes when that has passed.
 *
 * Names of the files being made: <base offset>.<kind>.<run>.cleaned beside the segments. A
 * run's number is never used for other content, so a file that a crash has left behind can never be
 * mistaken for one of another run.
 */
#pragma once

#include "segment/segment.h"

#include <eventbox/base/clock.h>

enum { COMPACT_NAME_SIZE = 2 * SEGMENT_NAME_SIZE };

/* A closed segment. */
struct compact_source {
    int64_t base_offset;
    int64_t end_offset; /* of the segment that follows */
    uint64_t bytes;
};

/* The newest durable batch of a producer that is remembered. */
struct compact_producer {
    int64_t id;
    int64_t last_offset;
};

struct compact_aborted {
    int64_t producer_id;
    int64_t first_offset, last_offset;
};

struct compact_plan {
    struct disk *disk;
    uint32_t topic;
    int32_t partition;
    uint64_t run;
    const struct compact_source *sources; /* all closed ones, in order */
    uint32_t source_count;
    int64_t dirty_from;     /* records below it were compared in an earlier run */
    uint64_t segment_bytes; /* of a merged segment at most */
    size_t memory_bytes;    /* of the key map at most */
    uint8_t hash_key[16];
    int64_t now_ms, delete_retention_ms;
    const struct compact_producer *producers; /* by id */
    uint32_t producer_count;
    const struct compact_aborted *aborted; /* by first offset */
    uint32_t aborted_count;
    /* Called after each piece of input and output: may wait; false ends the run. May be NULL. */
    bool (*pace)(void *userdata, uint64_t bytes);
    void *userdata;
};

/* A new segment in place of @source_count neighbours. */
struct compact_target {
    int64_t base_offset; /* of the first of them */
    uint64_t bytes;
    int64_t max_timestamp_ms;
    uint32_t first_source, source_count;
};

struct compact_result {
    struct compact_target *targets; /* only of segments that change */
    uint32_t target_count;
    int64_t cleaned_to;        /* the horizon: the next run's dirty_from */
    int64_t tombstones_due_ms; /* the first delete horizon still kept; INT64_MAX: none */
    uint64_t bytes_read, bytes_before, bytes_after;
    uint64_t records_read, records_removed;
    uint64_t keys, key_bytes; /* of the map: used, and its memory */
    /* With BROKER_E_CORRUPT: where. */
    uint32_t damaged_source;
    int64_t damaged_offset;
};

/**
 * compact_run() - make the .cleaned files, synced with their folder entries
 * @ret_result: to be given back with compact_result_deinit(), also after a failure
 * Thread: log cleaner.
 * Return: 0; BROKER_E_CORRUPT: damage in a source; DISK_E_FULL; -ECANCELED by @pace; negative. Then
 * no file is left behind, unless the disk refuses even that.
 */
int compact_run(const struct compact_plan *plan, struct compact_result *ret_result);
void compact_result_deinit(struct compact_result *result);
/** compact_drop() - remove the .cleaned files of @result */
int compact_drop(const struct compact_plan *plan, const struct compact_result *result);
/** compact_name() - of a file being made */
void compact_name(const struct segment_id *id, enum segment_kind kind, uint64_t run,
                  char out[COMPACT_NAME_SIZE]);
