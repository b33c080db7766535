/*
 * New segments in the place of old ones. Compaction has made .cleaned files, synced with their
 * names; from there:
 *
 *   1. a registry record, segments_swapped, goes through the journal. It is sent only when the
 *      older of the two valid checkpoints covers the last frame of every old segment, so no replay
 *      can ever write into a file that took an old one's name;
 *   2. at its frame the list of segments changes, in memory and hence in every checkpoint from
 *      there on, and the swap itself stands in those checkpoints until step 5;
 *   3. the segment writer closes what it has open of the old files, then the cleaner renames the
 *      new ones over them. Reads of the partition's files wait for the moment that this takes, and
 *      reads that were under way are done again;
 *   4. old files that have no successor of their name are unlinked, the folder is synced;
 *   5. the swap is done, and no checkpoint mentions it any more.
 *
 * A start finds the record behind its checkpoint, or the swap in it, and does 3 and 4 again: a name
 * that is not there has been moved already. Names of the new files carry the number of the run, so
 * they are never mistaken for those of another one. Files of a run whose record never became
 * durable are swept away (cleaner_sweep.c).
 *
 * Where an old segment is no longer in the list at the frame of the record, since the log's start
 * has passed it meanwhile, the record means nothing, then and in every replay.
 *
 * The record, behind type and version: u32 topic number, i32 partition, u64 run, i64 offset up to
 * which it is clean, i64 when the first tombstone may go (0: none), u32 new segments, each u64
 * bytes, i64 largest timestamp, u32 old segments, i64 base offset of each; the new one is named by
 * the first of them.
 */
#pragma once

#include "fields.h"
#include "log_private.h"

struct swap_target {
    uint64_t bytes;
    int64_t max_timestamp_ms;
    int64_t *bases; /* of the old segments */
    uint32_t base_count;
};

struct swap {
    uint32_t topic;
    int32_t partition;
    uint64_t run;
    int64_t cleaned_to, tombstones_due_ms;
    struct swap_target *targets;
    uint32_t target_count;
};

/** swap_new() - room for @target_count; NULL without memory */
struct swap *swap_new(uint32_t target_count);
void swap_free(struct swap *swap); /* accepts NULL */
void swap_encode(struct text *out, const struct swap *swap);
int swap_decode(struct fields *in, struct swap **ret_swap);
/**
 * swap_list() - change the list of segments
 * Return: 0; 1: the record means nothing; -ENOMEM.
 */
int swap_list(struct log_partition *partition, const struct swap *swap);
/** swap_rename(), swap_unlink() - steps 3 and 4; again is harmless. Thread: cleaner, recovery */
int swap_rename(struct disk *disk, const struct swap *swap);
int swap_unlink(struct disk *disk, const struct swap *swap);
/** swap_drop() - remove the new files, which are not wanted */
int swap_drop(struct disk *disk, const struct swap *swap);
/** swap_finish() - steps 3 and 4 at once */
int swap_finish(struct disk *disk, const struct swap *swap);
/** swap_apply() - the fields of a record, in replay. Thread: recovery */
int swap_apply(struct topic_log *log, struct fields *in);
