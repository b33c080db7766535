/*
 * Rot that was seen, in a segment, is set aside for this run of the log: every later read of these
 * offsets gets BROKER_E_CORRUPT at once, also where the bytes are in the page cache and could be
 * sent without a look. What is beside them stays readable. The scrub finds it (scrub.h), a read
 * that comes by, or a lookup by time; whoever is first tells it.
 *
 * A mark takes offsets away from readers, so it covers none that a right batch may have. A read
 * knows one offset that it did not find. From there on, as the scrub does: what stands at that
 * place is read a second time; the next right batch behind it ends the range (segment_resync.h);
 * and a right batch that has some of the offsets, out of its place, takes them out again. The scrub
 * looks for these through all of the segment, a read as far as its own look for one goes and where
 * the index leads.
 *
 * The mark is the loop's. What a thread found counts only while the log still means this file by
 * that name: not when it was removed or replaced meanwhile. Bytes that a job looks at were written
 * before it began (written_bytes), so none of them is torn by a write under way. What the disk
 * refuses to read is no rot.
 */
#pragma once

#include "log_private.h"
#include "segment/segment_resync.h"

enum { ROT_MARKS_MAX = 1000 }; /* of a partition: each costs every read */

/**
 * rot_find() - how far the damage at @lost reaches that hides @offset
 * @in: file, end, base_offset, next_base and order are read
 * @lost: where a walk met it; the offset is where the batch before ends
 * @limit: bytes before and behind it that are looked through
 * @ret_range: contains @offset; empty: it cannot be confirmed
 * Thread: log reader.
 */
void rot_find(struct disk *disk, const struct segment_id *id, const struct segment_resync *in,
              const struct segment_cursor *lost, int64_t offset, uint64_t limit,
              struct offset_range *ret_range);

/** rot_is_set_aside() - all of it, here or by a start */
bool rot_is_set_aside(const struct log_partition *partition, int64_t from, int64_t to);
/**
 * rot_set_aside() - marks, counts and tells it; nothing where it is set aside already
 * @finder: who tells it
 * @told: in, out: lines that it has told; @told_max: with this one it ends; 0: no bound
 * Without memory, or beyond the bound, there is no mark: a read finds it as well.
 */
void rot_set_aside(struct topic_log *log, struct log_partition *partition,
                   const struct segment_id *id, struct offset_range range, const char *finder,
                   unsigned *told, unsigned told_max);
/**
 * rot_met() - a read or a lookup has found @range; nothing when it is empty, or of a file that the
 * log no longer names
 * Return: whether it is set aside now.
 */
bool rot_met(struct topic_log *log, struct log_partition *partition, const struct segment_id *id,
             struct offset_range range, const char *finder);
