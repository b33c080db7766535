/*
 * One segment, some bytes at a step. Three states: batch after batch, header and then what its
 * checksum covers, as far as the buffer reaches; or lost, behind damage, where each step looks
 * through RESYNC_BYTES for the next right batch. What lies between is the damage, once it is known
 * where it ends. Last, where there was any, batches out of their place that have what is missing.
 */
#include "read/cached.h"
#include "scrub.h"
#include "segment/segment_resync.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/error.h>
#include <stdlib.h>

enum {
    RESYNC_BYTES = 1 << 20, /* looked through in a step */
    LOSSES_MAX = 1000,
    DOUBTS_MAX = 8, /* a disk that says now this, now that is none to go on with */
};

void scrub_walk_begin(struct scrub_walk *walk, int64_t base_offset, int64_t next_base,
                      uint64_t end) {
    *walk = (struct scrub_walk){.file = walk->file,
                                .buffer = walk->buffer,
                                .end = end,
                                .base_offset = base_offset,
                                .next_base = next_base,
                                .expected = base_offset,
                                .solid_from = base_offset};
}

void scrub_walk_end(struct scrub_walk *walk) {
    free(walk->losses);
    walk->losses = NULL;
    walk->loss_count = 0;
}

/* ---- losses ---- */

static int loss_add(struct scrub_walk *walk, int64_t from, int64_t to) {
    if (from >= to) {
        return 0;
    }
    if (walk->loss_count == LOSSES_MAX) {
        /* Those between that are right will be found, and taken out again. */
        struct offset_range *last = &walk->losses[walk->loss_count - 1];
        last->to = MAX(last->to, to);
        return 0;
    }
    struct offset_range *grown =
        realloc(walk->losses, (walk->loss_count + 1) * sizeof *walk->losses);
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    walk->losses = grown;
    grown[walk->loss_count++] = (struct offset_range){from, to};
    return 0;
}

/* Without memory for two halves one is left out: a read finds it as well. */
static void loss_remove(struct scrub_walk *walk, int64_t from, int64_t to) {
    for (uint32_t i = walk->loss_count; i-- > 0;) {
        struct offset_range loss = walk->losses[i];
        if (loss.from >= to || loss.to <= from) {
            continue;
        }
        walk->losses[i] = walk->losses[--walk->loss_count];
        (void)loss_add(walk, loss.from, from);
        (void)loss_add(walk, to, loss.to);
    }
}

static void end_walk(struct scrub_walk *walk, struct scrub_step *step) {
    step->ended = walk->loss_count == 0;
    walk->strays = !step->ended;
    walk->position = 0;
}

/* ---- batch after batch ---- */

static bool begin_batch(struct scrub_walk *walk, const struct batch_order *order,
                        const uint8_t *header) {
    if (segment_header(header, walk->position, walk->end, &walk->batch) ||
        !batch_order_admits(order, walk->expected, &walk->batch)) {
        return false;
    }
    walk->in_batch = true;
    walk->batch.crc = get_be32(header + RECORD_BATCH_AT_CRC);
    walk->batch_at = walk->position;
    walk->batch_left = walk->batch.total_bytes - RECORD_BATCH_HEADER_BYTES;
    walk->crc = crc32c(0, header + RECORD_BATCH_AT_ATTRIBUTES,
                       RECORD_BATCH_HEADER_BYTES - RECORD_BATCH_AT_ATTRIBUTES);
    walk->position += RECORD_BATCH_HEADER_BYTES;
    return true;
}

static bool end_batch(struct scrub_walk *walk) {
    const struct record_batch *batch = &walk->batch;
    walk->in_batch = false;
    if (walk->crc != batch->crc) {
        walk->position = walk->batch_at;
        return false;
    }
    if (batch->base_offset != walk->expected) {
        walk->solid_from = batch->base_offset;
    }
    walk->expected = record_batch_end(batch);
    return true;
}

/* Return: whether all of it is right. */
static bool look_at(struct scrub_walk *walk, const struct batch_order *order, size_t size) {
    const uint8_t *data = walk->buffer;
    for (;;) {
        if (walk->in_batch) {
            size_t n = (size_t)MIN((uint64_t)size, walk->batch_left);
            walk->crc = crc32c(walk->crc, data, n);
            walk->position += n;
            walk->batch_left -= n;
            data += n;
            size -= n;
            if (walk->batch_left > 0) {
                return true;
            }
            if (!end_batch(walk)) {
                return false;
            }
        }
        if (size < RECORD_BATCH_HEADER_BYTES) {
            /* The next step begins with it; of the last bytes none will be one. */
            return size == 0 || walk->end - walk->position >= RECORD_BATCH_HEADER_BYTES;
        }
        if (!begin_batch(walk, order, data)) {
            return false;
        }
        data += RECORD_BATCH_HEADER_BYTES;
        size -= RECORD_BATCH_HEADER_BYTES;
    }
}

static int damaged(struct scrub_walk *walk, int64_t to) {
    int r = loss_add(walk, walk->expected, to);
    walk->lost = false;
    walk->expected = walk->solid_from = MAX(to, walk->expected);
    return r;
}

static int read_on(struct scrub_walk *walk, const struct batch_order *order,
                   struct scrub_step *step) {
    size_t want = (size_t)MIN((uint64_t)SCRUB_BUFFER_BYTES, walk->end - walk->position), got = 0;
    int fd = disk_fd(walk->file);
    bool cached = fd < 0 || range_cached(fd, walk->position, want);
    uint64_t from = walk->position;
    int r = disk_pread(walk->file, walk->buffer, want, from, &got);
    if (!cached) {
        range_forget(fd, from, want);
    }
    if (r) {
        return err_trace(r);
    }
    step->bytes = got;
    if (!look_at(walk, order, got)) {
        walk->lost = true;
        walk->found = false;
        walk->lost_at = walk->position;
    } else if (got < want) { /* the file has lost its end */
        r = damaged(walk, walk->next_base);
        end_walk(walk, step);
    } else if (walk->position == walk->end) {
        end_walk(walk, step);
    }
    return r;
}

/* ---- lost ---- */

static void found(struct scrub_walk *walk, const struct segment_cursor *cursor) {
    walk->found = true;
    walk->best = *cursor;
    walk->position = cursor->position;
    walk->look_to = MIN(walk->end, cursor->position + SEGMENT_LOOK_BEHIND_BYTES);
}

static int settle(struct scrub_walk *walk, struct scrub_step *step) {
    int r = damaged(walk, walk->found ? walk->best.offset : walk->next_base);
    walk->position = walk->best.position;
    if (!walk->found) {
        end_walk(walk, step);
    }
    return r;
}

/*
 * The first right batch may have come from elsewhere, as blocks do that a disk has written to the
 * wrong place; what is readable between must not be set aside for its sake. So one with a lower
 * offset is looked for some way behind it, which must not come from elsewhere itself.
 */
static int look_for_batch(struct scrub_walk *walk, const struct batch_order *order,
                          struct scrub_step *step) {
    uint64_t checked = 0; /* of its length rot may claim what it likes: the pace knows it too */
    const struct segment_resync in = {.file = walk->file,
                                      .end = walk->end,
                                      .base_offset = walk->base_offset,
                                      .next_base = walk->next_base,
                                      .most_offset =
                                          walk->found ? walk->best.offset - 1 : INT64_MAX,
                                      .order = order,
                                      .firm = walk->found,
                                      .checked_bytes = &checked};
    struct segment_cursor cursor = {walk->position, walk->expected};
    uint64_t limit = walk->position + 1 + RESYNC_BYTES;
    int r = segment_resync(&in, NULL, &cursor, RESYNC_BYTES);
    if (r < 0) {
        return err_trace(r);
    }
    step->bytes = MIN(limit, walk->end) - walk->position + checked;
    if (r == 0) {
        bool again = cursor.position == walk->lost_at && cursor.offset == walk->expected;
        if (again && ++walk->doubts > DOUBTS_MAX) {
            return err_origin(-EIO);
        }
        found(walk, &cursor);
        if (cursor.offset == walk->expected) {
            return settle(walk, step);
        }
    } else if (limit >= (walk->found ? walk->look_to : walk->end)) {
        return settle(walk, step);
    } else {
        walk->position = limit - RECORD_BATCH_HEADER_BYTES; /* as far as there was a whole header */
    }
    return 0;
}

/* ---- strays ---- */

/* A reader may find what stands out of its place: no mark may take that from it. */
static int look_for_strays(struct scrub_walk *walk, const struct batch_order *order,
                           struct scrub_step *step) {
    uint64_t checked = 0, from = walk->position;
    uint64_t limit = MIN(walk->end, from + RESYNC_BYTES);
    struct segment_resync in = {.file = walk->file,
                                .end = walk->end,
                                .base_offset = walk->base_offset,
                                .next_base = walk->next_base,
                                .most_offset = INT64_MAX,
                                .order = order,
                                .checked_bytes = &checked,
                                .all_wanted = true,
                                .alone = true};
    int r = 0;
    while (r == 0 && walk->loss_count > 0) {
        struct segment_cursor stray;
        int64_t end;
        in.wanted = walk->losses;
        in.wanted_count = walk->loss_count;
        r = segment_stray(&in, walk->position, limit, &stray, &end);
        if (r == 0) {
            loss_remove(walk, stray.offset, end);
            walk->position = stray.position + 1;
        }
    }
    step->bytes = limit - from + checked;
    step->ended = limit == walk->end || walk->loss_count == 0;
    walk->position = MAX(walk->position, limit - MIN(limit, RECORD_BATCH_HEADER_BYTES - 1));
    return r < 0 ? err_trace(r) : 0;
}

int scrub_walk_step(struct scrub_walk *walk, const struct batch_order *order,
                    struct scrub_step *ret_step) {
    *ret_step = (struct scrub_step){0};
    return walk->strays ? look_for_strays(walk, order, ret_step)
           : walk->lost ? look_for_batch(walk, order, ret_step)
                        : read_on(walk, order, ret_step);
}
