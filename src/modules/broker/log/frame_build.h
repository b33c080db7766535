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
 * Use: frame_plan(), frame_plan_batch() for each, frame_plan_end(); then frame_begin(),
 * frame_add() for the same batches in the same order, frame_end(). Thread: the log writer.
 */
#pragma once

#include "journal.h"

#include <sys/uio.h>

enum { FRAME_PARTS_MAX = 65 };

struct frame_build {
    uint64_t gather_bytes; /* in: batches of at least so many are written from where they lie */
    uint8_t *memory;       /* aligned; kept from frame to frame */
    size_t capacity;
    uint32_t entry_count;
    uint64_t slack; /* while planned: zeros that the room allows */
    size_t copied;  /* bytes of @memory in use */
    size_t part_at; /* where the part of @memory that is not closed yet begins */
    uint64_t at;    /* bytes of the body so far */
    uint8_t *entry; /* the next one */
    uint32_t crc;   /* of the body behind the entries, so far */
    uint64_t bytes; /* out: of the frame */
    int part_count; /* out; what they point to is borrowed until the frame is written */
    struct iovec parts[FRAME_PARTS_MAX];
};

/** frame_plan() - begin a frame of @entry_count batches, @batch_bytes together, in @room bytes: at
 * least frame_bytes() of both */
void frame_plan(struct frame_build *build, uint32_t entry_count, uint64_t batch_bytes,
                uint64_t room);
/** frame_plan_batch() - return: whether frame_add() may leave the batch where it lies */
bool frame_plan_batch(struct frame_build *build, const uint8_t *batch, size_t size);
/** frame_plan_end() - memory for what is copied. Return: 0; negative: no memory, nothing changed */
int frame_plan_end(struct frame_build *build);
void frame_begin(struct frame_build *build);
/**
 * frame_add() - the next batch
 * @entry: all but the body offset
 * @batch: @entry->bytes of a record batch whose own CRC holds; does not change until the frame is
 *         written
 * @gathered: what frame_plan_batch() said
 */
void frame_add(struct frame_build *build, struct frame_entry *entry, const uint8_t *batch,
               bool gathered);
/** frame_end() - @header: all but entries, body and CRC. Then @build->parts are the frame */
void frame_end(struct frame_build *build, struct frame_header *header);
/** frame_build_trim() - give memory back beyond what small frames take; not while one is built */
void frame_build_trim(struct frame_build *build);
void frame_build_deinit(struct frame_build *build);
