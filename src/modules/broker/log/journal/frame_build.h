/*
 * A frame on its way to the journal: parts of memory, for one write past the page cache.
 *
 * Small batches are copied behind the entries. A large one is written from where it lies: to copy
 * it would cost more than all else that the log does with it before it is durable.
 *
 *   memory   [header, entries, small batches, zeros, head of A] [tail of A, small batches, zeros]
 *   parts     0 ─────────────────────────────────────────────    2 ────────────────────────────
 *   batch                                      [head of A] 1 ──── [tail of A]
 *
 * Such a write wants places, memory and lengths that are multiples of FRAME_ALIGN. So zeros in the
 * body move the batch to a place that agrees with its address, and its two ends, each less than
 * FRAME_ALIGN, are copied. Readers go by the body offset of an entry and know no difference.
 *
 * Use: frame_build_plan(), frame_build_plan_batch() for each, frame_build_plan_end(); then
 * frame_build_begin(), frame_build_add() for the same batches in the same order, frame_build_end().
 * Thread: the log writer.
 */
#pragma once

#include "journal.h"

#include <sys/uio.h>

/* 32 batches from where they lie, and the memory around each. */
enum { FRAME_PARTS_MAX = 65 };

/* Begins as zeros with @gather_bytes set. */
struct frame_build {
    uint64_t gather_bytes; /* in: batches of at least so many are written from where they lie */
    uint8_t *memory;       /* aligned; kept from frame to frame */
    size_t capacity;
    uint32_t entry_count;
    uint64_t slack; /* while planned: zeros that the room allows */
    size_t copied;  /* planned: bytes of @memory wanted; then: in use */
    size_t part_at; /* where the part of @memory that is not closed yet begins */
    uint64_t at;    /* bytes of the body so far */
    uint8_t *entry; /* the next one */
    uint32_t crc;   /* of the body behind the entries, so far */
    uint64_t bytes; /* out: of the frame */
    int part_count; /* out; what they point to is borrowed until the frame is written */
    struct iovec parts[FRAME_PARTS_MAX]; /* out; borrow batches until the frame is written */
};

/** frame_build_plan() - begin a frame of @entry_count batches, @batch_bytes together, in @room
 * bytes: at least frame_bytes() of both */
void frame_build_plan(struct frame_build *build, uint32_t entry_count, uint64_t batch_bytes,
                      uint64_t room);
/** frame_build_plan_batch() - return: whether frame_build_add() may leave the batch where it lies
 */
bool frame_build_plan_batch(struct frame_build *build, const uint8_t *batch, size_t size);
/** frame_build_plan_end() - memory for what is copied. Return: 0; negative: no memory, nothing
 * changed */
int frame_build_plan_end(struct frame_build *build);
/** frame_build_begin() - after frame_build_plan_end(), once the batches have their positions or
 * get them one by one */
void frame_build_begin(struct frame_build *build);
/**
 * frame_build_add() - the next batch
 * @entry: all but the body offset
 * @batch: @entry->bytes of a record batch whose own CRC holds; does not change until the frame is
 *         written
 * @gathered: what frame_build_plan_batch() said
 */
void frame_build_add(struct frame_build *build, struct frame_entry *entry, const uint8_t *batch,
                     bool gathered);
/** frame_build_end() - @header: all but entries, body and CRC. Then @build->parts are the frame */
void frame_build_end(struct frame_build *build, struct frame_header *header);
/** frame_build_trim() - give memory back beyond what small frames take; not while one is built */
void frame_build_trim(struct frame_build *build);
/** frame_build_deinit() - gives all memory back; may be used again */
void frame_build_deinit(struct frame_build *build);
