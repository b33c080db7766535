/*
 * The batches of a .log one behind the other. Small ones are read many at a time, over large ones
 * it hops from header to header. Thread: any, one at a time.
 */
#pragma once

#include "segment.h"

enum { WALK_BUFFER_BYTES = 64 << 10 };

struct segment_walk {
    struct disk_file *file;
    uint64_t end;
    uint8_t *buffer; /* WALK_BUFFER_BYTES */
    uint64_t buffer_at;
    size_t buffer_bytes;
    size_t last_total;
};

/** segment_walk_init() - over the first @end bytes. Return: 0; negative */
int segment_walk_init(struct segment_walk *walk, struct disk_file *file, uint64_t end);
void segment_walk_deinit(struct segment_walk *walk);
/** segment_walk_header() - of the batch at @position; BROKER_E_CORRUPT when none is there */
int segment_walk_header(struct segment_walk *walk, uint64_t position,
                        struct record_batch *ret_batch);
/** segment_walk_check() - whether that batch is right by its checksum; as segment_batch_check() */
int segment_walk_check(struct segment_walk *walk, uint64_t position,
                       const struct record_batch *batch);
