/*
 * The parts of a replay (replay.c): what segments have of frames that are lost (replay_segment.c),
 * and what is told and raised after losses (replay_losses.c). Thread: log keeper, at a start.
 * Errors: negative, or BROKER_E_ and DISK_E_ codes of what they call.
 */
#pragma once

#include "recovery.h"

/* ---- replay_segment.c ---- */

/**
 * replay_segment_batch() - the batch at @position of a segment, if it is whole, right, and at
 * @base_offset
 * Return: its bytes, for free(); NULL when it is not there.
 */
uint8_t *replay_segment_batch(struct recovery *recovery, const struct segment_id *id,
                              uint64_t position, int64_t base_offset,
                              struct record_batch *ret_batch);
/** replay_note_lost() - the batches from the log end to @until are gone: say which */
int replay_note_lost(struct recovery *recovery, struct log_partition *partition, int64_t until);
/** replay_fill() - take over what segments have, from the log end up to what @until names */
int replay_fill(struct recovery *recovery, struct log_partition *partition,
                const struct frame_entry *until);
/** replay_catch_up_registry() - apply records that segments have, from the registry's end on */
int replay_catch_up_registry(struct recovery *recovery);

/* ---- replay_losses.c ---- */

/** replay_raise_unproven() - a new epoch and offset for partitions that no later frame names */
int replay_raise_unproven(struct recovery *recovery);
/** replay_note_missing() - frames up to @until are missing although later ones knew them durable */
void replay_note_missing(struct recovery *recovery, uint64_t until);
void replay_note_cut_files(struct recovery *recovery);
void replay_note_missing_file(struct recovery *recovery);
