/*
 * The reader threads' side: find the batch, read it and what follows, check every batch, and tell
 * the boundaries ahead. Damage ends the read before it; a read that would begin with it is told so.
 *
 * Rot on the way to the batch is stepped over (segment_resync.h); what a checksum does not cover is
 * held against what the log has given out (batch_order.h).
 */
#include "cached.h"
#include "reader.h"
#include "rot.h"

#include <errno.h>
#include <stdlib.h>

enum {
    LONG_WALK_BYTES = 2 * INDEX_PENDING_BYTES,
    LARGE_READ_BYTES = 256 << 10, /* whoever asks for so much is told of fewer boundaries, */
    LARGE_STEP_BYTES = 64 << 10,  /* so far apart, */
    FAR_AHEAD_BYTES = 12 << 20,   /* and of more of what is cached */
    RESYNC_BYTES = 4 << 20,       /* how far a whole batch is looked for behind rot */
};

/* ---- one read ---- */

static void add_waypoint(struct read_job *job, int64_t offset, uint64_t position, bool force) {
    unsigned n = job->waypoint_count;
    if (n == WAYPOINTS_MAX) {
        return;
    }
    uint64_t step = job->max_bytes >= LARGE_READ_BYTES ? LARGE_STEP_BYTES : WAYPOINT_STEP_BYTES;
    if (n == 0 || force || position - job->waypoints[n - 1].position >= step) {
        job->waypoints[job->waypoint_count++] = (struct waypoint){offset, position, false};
    }
}

/*
 * Steps over rot at @cursor: to the next right batch that does not begin behind the offset that is
 * wanted. @before: see segment_resync(). Return: 0; BROKER_E_CORRUPT when there is none.
 */
static int step_over(struct read_job *job, const struct segment_cursor *before,
                     struct segment_cursor *cursor) {
    const struct segment_resync in = {.file = &job->patient.file,
                                      .end = job->end,
                                      .base_offset = job->id.base_offset,
                                      .next_base = job->next_base,
                                      .most_offset = job->offset,
                                      .order = &job->order};
    int r = segment_resync(&in, before, cursor, RESYNC_BYTES);
    job->index_wrong |= r == 0; /* one that is made anew leads past the rot */
    return r;
}

/* Walks from @cursor to the first batch that ends behind the offset. */
static int walk_to_batch(struct read_job *job, struct segment_walk *walk,
                         struct segment_cursor *cursor) {
    uint64_t begin = cursor->position;
    struct segment_cursor before;
    unsigned hops = 0, since_rot = 0;
    while (cursor->position < job->end) {
        struct record_batch batch;
        job->met = *cursor;
        int r = segment_walk_header(walk, cursor->position, &batch);
        if (!r && !batch_order_admits(&job->order, cursor->offset, &batch)) {
            r = BROKER_E_CORRUPT;
        }
        if (r == BROKER_E_CORRUPT) {
            r = step_over(job, since_rot > 0 ? &before : NULL, cursor);
            since_rot = 0;
            if (r == 0) {
                continue;
            }
        }
        if (r) {
            return r;
        }
        if (record_batch_end(&batch) > job->offset) {
            cursor->offset = batch.base_offset;
            /* The index should have led nearer. */
            job->index_wrong |= hops > 2 && cursor->position - begin > LONG_WALK_BYTES;
            return 0;
        }
        before = (struct segment_cursor){cursor->position, batch.base_offset};
        cursor->position += batch.total_bytes;
        cursor->offset = record_batch_end(&batch);
        hops++;
        since_rot++;
    }
    job->nothing = true;
    return 0;
}

static int find_batch(struct read_job *job, struct segment_walk *walk,
                      struct segment_cursor *ret_cursor) {
    if (job->start_known) {
        *ret_cursor = job->start;
        int r = walk_to_batch(job, walk, ret_cursor);
        job->index_wrong = false; /* it was not asked */
        if (r != BROKER_E_CORRUPT && !job->nothing) {
            return r;
        }
        /* Rot lies between the boundary and the offset, and the index may know one behind it; or
         * the boundary is that of a block in another's place. */
        job->nothing = false;
    }
    struct segment_target target = {.offset = job->offset};
    int r = segment_seek(job->job.log->disk, walk->file, &job->id, &target, job->end, ret_cursor,
                         &job->index_wrong);
    return r ? r : walk_to_batch(job, walk, ret_cursor);
}

/*
 * The last resort: a right batch with the offset, a little before or behind where the way to it
 * ended. Blocks that stand in each other's place may have led the walk past it, and which way it
 * took depends on what is known of the segment by chance. One that has offsets of the batch before,
 * too, says a wrong base offset.
 */
static int find_stray(struct read_job *job, struct segment_cursor *cursor) {
    const struct offset_range wanted = {job->offset, job->offset + 1};
    const struct segment_resync in = {.file = &job->patient.file,
                                      .end = job->end,
                                      .base_offset = job->id.base_offset,
                                      .next_base = job->next_base,
                                      .most_offset = job->offset,
                                      .order = &job->order,
                                      .wanted = &wanted,
                                      .wanted_count = 1,
                                      .least_offset = MIN(cursor->offset, job->offset)};
    uint64_t at = cursor->position;
    int64_t end;
    return segment_stray(&in, at - MIN(at, (uint64_t)RESYNC_BYTES), at + RESYNC_BYTES, cursor,
                         &end);
}

/* How many bytes of whole batches from the front of @data are right. @ret_damaged: what ends them
 * is a whole one that is not. */
static size_t check_batches(struct read_job *job, const uint8_t *data, size_t size,
                            uint64_t position, int64_t *ret_next, bool *ret_damaged) {
    size_t good = 0;
    *ret_damaged = false;
    while (size - good >= RECORD_BATCH_HEADER_BYTES) {
        struct record_batch batch;
        struct span rest = span_of(data + good, size - good);
        if (record_batch_parse(rest, &batch)) {
            break;
        }
        if (
#ifndef MUTANT_READ_CRC
            !record_batch_check_crc(span_of(rest.data, batch.total_bytes)) ||
#endif
            (good > 0 && !batch_order_admits(&job->order, *ret_next, &batch))) {
            *ret_damaged = true;
            break;
        }
        add_waypoint(job, batch.base_offset, position + good, false);
        good += batch.total_bytes;
        *ret_next = record_batch_end(&batch);
    }
    return good;
}

/* How far boundaries are told from @position on. Headers that the disk would have to bring take
 * long: beyond what is usual only those that are there already. */
static uint64_t ahead_until(const struct read_job *job, struct disk_file *file, uint64_t position) {
    uint64_t far = MIN(job->end, position + FAR_AHEAD_BYTES);
    if (job->max_bytes >= LARGE_READ_BYTES && disk_fd(file) >= 0 && far > position &&
        range_cached(disk_fd(file), position, far - position)) {
        return far;
    }
    return MIN(job->end, position + LOOK_AHEAD_BYTES);
}

static int read_batches(struct read_job *job, struct segment_walk *walk,
                        const struct segment_cursor *cursor) {
    struct record_batch first;
    int r = segment_walk_header(walk, cursor->position, &first);
    if (r) {
        return r;
    }
    size_t want = MIN(job->max_bytes, job->end - cursor->position);
    if (first.total_bytes > want) {
        if (!job->min_one_batch) {
            return 0; /* no room even for one: an empty answer */
        }
        if (first.total_bytes > SEGMENT_BATCH_TRUSTED_BYTES) {
            r = segment_batch_check(walk->file, cursor->position, job->end, &first);
        }
        if (r) {
            return r;
        }
        want = first.total_bytes;
    }
    job->buf = buf_new(want);
    if (!job->buf) {
        return err_origin(-ENOMEM);
    }
    size_t got = 0;
    r = disk_pread(walk->file, job->buf->data, want, cursor->position, &got);
    if (r) {
        return err_trace(r);
    }
    int64_t next = first.base_offset;
    bool damaged;
    job->bytes = check_batches(job, job->buf->data, got, cursor->position, &next, &damaged);
    if (job->bytes == 0) {
        return BROKER_E_CORRUPT;
    }
    uint64_t position = cursor->position + job->bytes;
    add_waypoint(job, next, position, true);
    /* Not past damage by headers alone: whoever asks for it would get it from the page cache. */
    uint64_t limit = job->look_ahead && !damaged ? ahead_until(job, walk->file, position) : 0;
    while (position < limit && disk_fd(walk->file) >= 0) {
        struct record_batch batch;
        if (segment_walk_header(walk, position, &batch) ||
            !batch_order_admits(&job->order, next, &batch)) {
            break;
        }
        position += batch.total_bytes;
        next = record_batch_end(&batch);
        add_waypoint(job, next, position, false);
    }
    return 0;
}

static int open_log(struct read_job *job) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(&job->id, SEGMENT_LOG, name);
    int r = disk_open(job->job.log->disk, name, DISK_READ, &job->opened);
    if (!r) {
        job->file = job->opened;
    }
    return r ? err_trace(r) : 0;
}

static void find_rot(struct read_job *job) {
    const struct segment_resync in = {.file = &job->patient.file,
                                      .end = job->end,
                                      .base_offset = job->id.base_offset,
                                      .next_base = job->next_base,
                                      .order = &job->order};
    rot_find(job->job.log->disk, &job->id, &in, &job->met, job->offset, RESYNC_BYTES, &job->rot);
}

static int read_segment(struct read_job *job) {
    if (!job->file) {
        int r = open_log(job);
        if (r == DISK_E_NOT_FOUND) {
            job->rot = (struct offset_range){job->id.base_offset, job->next_base};
            return BROKER_E_CORRUPT;
        }
        if (r) {
            return r;
        }
    }
    struct segment_walk walk;
    struct segment_cursor cursor = {0};
    job->met = (struct segment_cursor){0, job->id.base_offset};
    patient_file_init(&job->patient, job->file, REFUSALS_MAX);
    int r = segment_walk_init(&walk, &job->patient.file, job->end);
    if (!r) {
        r = find_batch(job, &walk, &cursor);
    }
    while (!r && !job->nothing) {
        r = read_batches(job, &walk, &cursor);
        if (r != BROKER_E_CORRUPT) {
            break;
        }
        /* What it says of its own end is not to be believed either: perhaps the offset is that of
         * the next one. */
        buf_unref(job->buf);
        job->buf = NULL;
        job->waypoint_count = 0;
        cursor.offset++;
        r = step_over(job, NULL, &cursor);
        r = r ? r : walk_to_batch(job, &walk, &cursor);
    }
    if (r == BROKER_E_CORRUPT && find_stray(job, &cursor) == 0) {
        job->index_wrong = true;
        r = read_batches(job, &walk, &cursor);
    }
    if (r == BROKER_E_CORRUPT && !job->patient.refused) {
        find_rot(job);
    }
    segment_walk_deinit(&walk);
    if (job->patient.refused) {
        job->index_wrong = false; /* to make it anew all of the segment would have to be read */
        r = r == BROKER_E_CORRUPT ? err_origin(-EIO) : r;
        job->rot = (struct offset_range){0, 0};
    }
    return r;
}

void read_run(struct work *work) {
    struct read_job *job = container_of(work, struct read_job, job.work);
    job->status = read_segment(job);
    job->index_waits = job->status == BROKER_E_CORRUPT; /* an entry behind the rot may wait */
    if (job->status != 0) {
        buf_unref(job->buf);
        job->buf = NULL;
        job->waypoint_count = 0;
    }
}
