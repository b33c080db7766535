/*
 * Ways to lose the end of a log: its checkpoints, frames, parts of segments. Of topics with one
 * partition each; "t" is topic 1.
 */
#pragma once

#include "log_fixture.h"

enum { BEFORE = 6 }; /* batches of two records each that lost_end_fill() appends to "t" */

struct batch_spec lost_end_spec(uint64_t n);
uint64_t lost_end_batch_bytes(void); /* of each */
/** lost_end_fill() - a log with "t" and its batches, all covered by a checkpoint */
void lost_end_fill(struct fixture *f);
/** lost_end_rot_frame() - other bytes in the frame, of journal file 0, with the batch at @offset */
void lost_end_rot_frame(struct fixture *f, uint32_t topic, int64_t offset, uint64_t from,
                        size_t bytes);
/** lost_end_recycle() - that frame looks as if its place had been written to anew */
void lost_end_recycle(struct fixture *f, uint32_t topic, int64_t offset);
void lost_end_lose_checkpoints(struct fixture *f);
/** lost_end_cut_segment() - to @bytes, durably */
void lost_end_cut_segment(struct fixture *f, uint32_t topic, int64_t base, uint64_t bytes);
/**
 * lost_end_lose() - both checkpoints are gone and the segment of "t" has lost its end; the log is
 * not started
 * What older frames put back of it need not be all: the frames of two more batches were recycled.
 * "u" has one batch. @proven: a frame behind those says where "t" goes on.
 */
void lost_end_lose(struct fixture *f, bool proven);
/** lost_end_rot_segment() - rot in records of the batch at byte @at of a segment of "t" */
void lost_end_rot_segment(struct fixture *f, int64_t base, uint64_t at);
/** lost_end_append() - a batch to a topic, and wait; its offset, or the negated error */
int64_t lost_end_append(struct fixture *f, const char *topic);
/** lost_end_reads() - whether a read at @offset of "t" begins with it */
bool lost_end_reads(struct fixture *f, int64_t offset);
int64_t lost_end_of(struct fixture *f); /* log end of "t" */
/** lost_end_fill_rolled() - as lost_end_fill(), three batches a segment, and an empty "u" */
void lost_end_fill_rolled(struct fixture *f);
/** lost_end_go_on() - batches to a topic whose frames stand for all before them */
void lost_end_go_on(struct fixture *f, const char *topic);
