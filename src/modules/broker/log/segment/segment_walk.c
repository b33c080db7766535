#include "segment_walk.h"
#include "segment_resync.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <stdlib.h>

enum { SMALL_BATCH_BYTES = 4096 };

int segment_walk_init(struct segment_walk *walk, struct disk_file *file, uint64_t end) {
    *walk = (struct segment_walk){.file = file, .end = end};
    walk->buffer = malloc(WALK_BUFFER_BYTES);
    return walk->buffer ? 0 : err_origin(-ENOMEM);
}

void segment_walk_deinit(struct segment_walk *walk) {
    free(walk->buffer);
}

int segment_walk_header(struct segment_walk *walk, uint64_t position,
                        struct record_batch *ret_batch) {
    if (walk->end < position || walk->end - position < RECORD_BATCH_HEADER_BYTES) {
        return BROKER_E_CORRUPT;
    }
    bool inside = position >= walk->buffer_at &&
                  position + RECORD_BATCH_HEADER_BYTES <= walk->buffer_at + walk->buffer_bytes;
    if (!inside) {
        /* Large batches are hopped over; small ones are read many at a time. */
        size_t want =
            walk->last_total >= SMALL_BATCH_BYTES ? RECORD_BATCH_HEADER_BYTES : WALK_BUFFER_BYTES;
        want = MIN(want, walk->end - position);
        walk->buffer_at = position;
        int r = disk_pread(walk->file, walk->buffer, want, position, &walk->buffer_bytes);
        if (r) {
            walk->buffer_bytes = 0;
            return err_trace(r);
        }
        if (walk->buffer_bytes < RECORD_BATCH_HEADER_BYTES) {
            return BROKER_E_CORRUPT;
        }
    }
    int r =
        segment_header(walk->buffer + (position - walk->buffer_at), position, walk->end, ret_batch);
    walk->last_total = r ? 0 : ret_batch->total_bytes;
    return r;
}

int segment_walk_check(struct segment_walk *walk, uint64_t position,
                       const struct record_batch *batch) {
    struct record_batch parsed;
    if (position < walk->buffer_at ||
        position + batch->total_bytes > walk->buffer_at + walk->buffer_bytes) {
        return segment_batch_check(walk->file, position, walk->end, &parsed);
    }
    struct span data = span_of(walk->buffer + (position - walk->buffer_at), batch->total_bytes);
    return record_batch_check_crc(data) && record_batch_parse(data, &parsed) == 0
               ? 0
               : BROKER_E_CORRUPT;
}
