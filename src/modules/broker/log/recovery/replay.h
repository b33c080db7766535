/*
 * The parts of a replay (replay.c): what a frame has (replay_entry.c), records of the registry
 * (replay_registry.c), batches on their way to segments (replay_write.c), what is put back below
 * the log end (replay_holes.c), what segments have of frames that are lost (replay_segment.c), and
 * what is told and raised after losses (replay_losses.c). Thread: log keeper, at a start. Errors:
 * negative, or BROKER_E_ and DISK_E_ codes of what they call.
 */
#pragma once

#include "recovery.h"

/* One entry of a frame with what is known of its batch. */
struct replayed {
    struct frame_entry entry;
    uint32_t order;
    const uint8_t *data; /* NULL: lost */
    bool doubtful;       /* of a bad frame: nothing proves what the entry says of the place */
    struct record_batch batch;
};

/* ---- replay.c ---- */

/** replay_remember_producer() - a batch may be older than what is known of its producer */
int replay_remember_producer(struct log_partition *partition, const struct record_batch *batch,
                             int64_t now_ms);

/* ---- replay_entry.c ---- */

/** replay_partition_of() - the partition that an entry names; NULL when there is none */
struct log_partition *replay_partition_of(struct recovery *recovery,
                                          const struct frame_entry *entry);
/** replay_entries() - entries of a frame that are among its first @got bytes */
uint32_t replay_entries(const struct found_frame *frame, uint64_t got);
/**
 * replay_item() - entry @index of the frame in @recovery->buffer, of which @got bytes are there
 * @ret_item: its data is NULL unless the batch that the entry names is whole and right
 * Return: whether it is.
 */
bool replay_item(const struct recovery *recovery, const struct found_frame *frame, uint64_t got,
                 uint32_t index, struct replayed *ret_item);

/* ---- replay_registry.c ---- */

/**
 * replay_registry() - the changes of one batch of the registry, which is whole and right
 * Return: 0, also where it is told that one is not readable; BROKER_E_NEWER, told; negative.
 */
int replay_registry(struct recovery *recovery, struct span batch, uint64_t sequence);
/** replay_catch_up_registry() - apply records that segments have, from the registry's end on */
int replay_catch_up_registry(struct recovery *recovery);

typedef int replay_record_fn(struct recovery *recovery, const struct replayed *item,
                             uint64_t sequence, void *userdata);
/** replay_each_record() - @take for each right batch of the registry in whole frames; the first
 * code that is not 0 ends it */
int replay_each_record(struct recovery *recovery, replay_record_fn *take, void *userdata);

/* ---- replay_write.c ---- */

/**
 * replay_write_later() - a batch at the log end, which is in the state already
 * @piece: its bytes are of the frame that was read last, and stay with it (recovery_keep())
 * @sequence: of that frame
 */
int replay_write_later(struct recovery *recovery, struct log_partition *partition,
                       int64_t segment_base, const struct segment_piece *piece, uint64_t sequence);
/**
 * replay_make_room() - none waits any more: they are in their segments, or in the tail where these
 * do not exist yet, or the disk is full
 *
 * Frames that are kept stay where they are. Return: 0; negative: the state is ahead of the
 * segments, the start is over.
 */
int replay_make_room(struct recovery *recovery);
/**
 * replay_write() - all are in their segments, but on a full disk
 *
 * Whoever reads segments, or takes topics or segments away, calls it first, and the end of a start
 * that writes a checkpoint. Return: as above.
 */
int replay_write(struct recovery *recovery);

/* ---- replay_holes.c ---- */

/** replay_fill_hole() - puts a batch below the log end back, if it is missing there and its place
 * is proven */
int replay_fill_hole(struct recovery *recovery, struct log_partition *partition,
                     const struct replayed *item);
/** replay_fill_holes() - behind the last frame: what bad frames still have of what is missing */
int replay_fill_holes(struct recovery *recovery);

/* ---- replay_segment.c ---- */

/**
 * replay_segment_batch() - the batch at @position of a segment, if it is whole, right, and at
 * @base_offset
 * Return: its bytes, for free(); NULL when it is not there.
 */
uint8_t *replay_segment_batch(struct recovery *recovery, const struct segment_id *id,
                              uint64_t position, int64_t base_offset,
                              struct record_batch *ret_batch);
/**
 * replay_segment_next() - the batch at the log end, behind the last one or in a segment that begins
 * there
 * @ret_at: where it is; its offset is the base of the segment
 * Return: as above.
 */
uint8_t *replay_segment_next(struct recovery *recovery, const struct log_partition *partition,
                             struct segment_cursor *ret_at, struct record_batch *ret_batch);
/** replay_is_in_segment() - whether that is so of the batch that @entry names */
bool replay_is_in_segment(struct recovery *recovery, const struct frame_entry *entry);
/** replay_note_lost() - the batches from the log end to @until are gone: say which */
int replay_note_lost(struct recovery *recovery, struct log_partition *partition, int64_t until);
/** replay_fill() - take over what segments have, from the log end up to what @until names */
int replay_fill(struct recovery *recovery, struct log_partition *partition,
                const struct frame_entry *until);

/* ---- open_ends.c ---- */

/**
 * open_end_pass() - the log goes on at the next multiple of 2^32, or where an empty segment says
 * @frames_lost: that one may have got batches
 */
int open_end_pass(struct recovery *recovery, struct log_partition *partition, bool frames_lost);
/** open_end_tell() - that nobody knows what was from @from on, and that the log goes on at @to */
void open_end_tell(struct recovery *recovery, const struct log_partition *partition, int64_t from,
                   int64_t to);

/* ---- replay_losses.c ---- */

/** replay_raise_unproven() - a new epoch and offset for partitions that no later frame names */
int replay_raise_unproven(struct recovery *recovery);
/** replay_note_missing() - frames up to @until are missing although later ones knew them durable */
void replay_note_missing(struct recovery *recovery, uint64_t until);
void replay_note_cut_files(struct recovery *recovery);
void replay_note_missing_file(struct recovery *recovery);
