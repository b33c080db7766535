/*
 * Holes below the log end, which a start without checkpoint has found in the segments: what frames
 * have of them is put back.
 *
 * A whole frame proves where its batches stand. In a bad one a batch is proven by its checksum, but
 * nothing proves the place that its entry names. It is taken while frames are replayed where it
 * joins a right batch on either side. What is left waits until the last frame is through: then all
 * batches that whole frames have are in their places, and a place counts that contradicts none of
 * them. If what the entry says is wrong nevertheless, the batch stands between the right ones all
 * the same, behind a gap in bytes that was lost before; every walk passes over such.
 *
 * Where a disk has written a block to the place of another, the bytes that a batch is put back to
 * may be those of a right batch that the walk has met there, out of its place. What goes with them
 * is missing from then on, and put back where a frame has it, at last by another look through all.
 */
#include "log_private.h"
#include "replay.h"
#include "segment/segment_resync.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdlib.h>

enum { FILLS_MAX = 4 }; /* looks through all frames: each puts back what the one before overwrote */

/*
 * A start without checkpoint has walked the segments, and noted as damage what is missing there
 * below the log end: rot, or what a power cut took of one segment although a later one is whole. A
 * frame that has such a batch puts it back. Of segments that compaction has replaced frames tell no
 * places.
 */
static bool is_missing(const struct recovery *recovery, const struct log_partition *partition,
                       const struct replayed *item) {
    const struct frame_entry *entry = &item->entry;
    int64_t end = entry->base_offset + item->batch.last_offset_delta + 1;
    bool missing = false;
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        missing |=
            partition->damage[i].from <= entry->base_offset && end <= partition->damage[i].to;
    }
    return missing && recovery->holes_expected && entry->segment_base >= partition->cleaned_to;
}

/* Whether the batch fits where its entry says, without a gap, to what is before or behind it. */
static bool place_fits(const struct recovery *recovery, const struct replayed *item) {
    const struct frame_entry *entry = &item->entry;
    struct segment_id id = {entry->topic, entry->partition, entry->segment_base};
    struct segment_cursor at = {0, entry->segment_base};
    struct record_batch batch;
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    segment_name(&id, SEGMENT_LOG, name);
    if (disk_open(recovery->log->disk, name, DISK_READ, &file) || disk_size(file, &size)) {
        return entry->position == 0 && entry->segment_base == entry->base_offset;
    }
    while (at.position < entry->position &&
           segment_batch_check(file, at.position, size, &batch) == 0 &&
           batch.base_offset == at.offset) {
        at.position += batch.total_bytes;
        at.offset += batch.last_offset_delta + 1;
    }
    if (at.position == entry->position && at.offset == entry->base_offset) {
        return true;
    }
    at.position = entry->position + entry->bytes;
    return at.position < size && segment_batch_check(file, at.position, size, &batch) == 0 &&
           batch.base_offset == entry->base_offset + item->batch.last_offset_delta + 1;
}

/* Whether all of a place is zeros, or not there yet: what a power cut has left of it. */
static int is_blank(struct disk_file *file, uint64_t position, size_t bytes, bool *ret_blank) {
    uint8_t *data = malloc(bytes);
    size_t got = 0;
    int r = data ? disk_pread(file, data, bytes, position, &got) : err_origin(-ENOMEM);
    *ret_blank = true;
    for (size_t i = 0; i < got && !r && *ret_blank; i++) {
        *ret_blank = data[i] == 0;
    }
    free(data);
    return r;
}

/* Some of these may stand elsewhere as well: keep_strays() takes them out again. */
static int note_overwritten(struct recovery *recovery, struct log_partition *partition,
                            int64_t from, int64_t to) {
    bool noted = from < partition->public.log_start_offset || to > partition->public.log_end_offset;
    for (uint32_t i = 0; i < partition->damage_count && !noted; i++) {
        noted = partition->damage[i].from <= from && to <= partition->damage[i].to;
    }
    recovery->overwritten |= !noted;
    return noted ? 0 : partition_damage_add(partition, from, to);
}

/*
 * Right batches that have bytes of a place which is about to be written; but for the one that is
 * put back, with rot in its base offset. The registry has been read in order, and has what it needs
 * of them.
 */
static int note_what_stands_in(struct recovery *recovery, struct log_partition *partition,
                               const struct replayed *item) {
    const struct frame_entry *entry = &item->entry;
    struct segment_id id = {entry->topic, entry->partition, entry->segment_base};
    struct batch_order order;
    uint64_t end = entry->position + entry->bytes, size = 0;
    uint64_t from = entry->position - MIN(entry->position, (uint64_t)SEGMENT_BATCH_TRUSTED_BYTES);
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    bool blank = true;
    segment_name(&id, SEGMENT_LOG, name);
    int r = entry->topic == 0 ? DISK_E_NOT_FOUND
                              : disk_open(recovery->log->disk, name, DISK_READ, &file);
    r = r ? r : disk_size(file, &size);
    r = r ? r : is_blank(file, entry->position, entry->bytes, &blank);
    const struct segment_resync in = {.file = file,
                                      .end = size,
                                      .base_offset = entry->segment_base,
                                      .next_base = -1,
                                      .most_offset = INT64_MAX,
                                      .order = &order,
                                      .alone = true};
    while (!r && !blank) {
        /* Its header must end before the limit, the batch begin before the end of the place. */
        uint64_t limit = end + RECORD_BATCH_HEADER_BYTES - 1;
        struct segment_cursor at;
        struct record_batch batch;
        int64_t to;
        order = batch_order_of(partition); /* it borrows the damage, which moves */
        order.epochs_open = true;
        r = segment_stray(&in, from, limit, &at, &to);
        r = r ? r : segment_batch_check(file, at.position, size, &batch);
        bool same = !r && at.position == entry->position &&
                    batch.total_bytes == item->batch.total_bytes && batch.crc == item->batch.crc;
        if (!r && !same && at.position + batch.total_bytes > entry->position) {
            r = note_overwritten(recovery, partition, at.offset, to);
        }
        from = at.position + 1;
    }
    return r == BROKER_E_CORRUPT || r == DISK_E_NOT_FOUND ? 0 : r;
}

/* Puts a missing batch back. */
static int put_back(struct recovery *recovery, struct log_partition *partition,
                    const struct replayed *item) {
    const struct frame_entry *entry = &item->entry;
    struct segment_id id = {entry->topic, entry->partition, entry->segment_base};
    struct segment_piece piece = {
        .batch = span_of(item->data, entry->bytes),
        .position = entry->position,
        .base_offset = entry->base_offset,
        .max_timestamp_ms = item->batch.max_timestamp_ms,
    };
    struct segment_file *file;
    struct log_segment *segment;
    int64_t end = entry->base_offset + item->batch.last_offset_delta + 1;
    int r = note_what_stands_in(recovery, partition, item);
    r = r ? r : segment_writer_write(recovery->log->segment_writer, &id, &piece, 1, &file);
    r = r ? r : recovery_touched(recovery, file);
    r = r ? r : partition_segment_at(partition, entry->segment_base, &segment);
    if (r) {
        return err_trace(r);
    }
    uint64_t bytes = segment->bytes;
    int64_t now_ms = clock_wall_ms(recovery->log->config.clock);
    partition_segment_took(segment, entry->position, entry->bytes, item->batch.max_timestamp_ms,
                           now_ms);
    segment->bytes = segment->written_bytes = MAX(segment->bytes, bytes);
    segment->end_offset = MAX(segment->end_offset, end);
    if (entry->segment_base >= partition->writer_base && partition->writer_base >= 0) {
        /* Rot in the base offset of one before it took that one for the last. */
        partition->writer_base = entry->segment_base;
        partition->writer_position = segment->bytes;
    }
    r = replay_remember_producer(partition, &item->batch, now_ms);
    r = r ? r : partition_epoch_learn(partition, item->batch.leader_epoch, entry->base_offset);
    return r ? r : partition_damage_remove(partition, entry->base_offset, end);
}

int replay_fill_hole(struct recovery *recovery, struct log_partition *partition,
                     const struct replayed *item) {
    if (!is_missing(recovery, partition, item)) {
        return 0;
    }
    int r = replay_write(recovery);
    bool fills = !item->doubtful || place_fits(recovery, item);
    return !r && fills ? put_back(recovery, partition, item) : r;
}

/* ---- behind the last frame ---- */

/* Whether no right batch of the segment reaches into the place, nor stands on the wrong side. */
static bool bytes_are_free(struct recovery *recovery, const struct log_partition *partition,
                           const struct log_segment *segment, const struct replayed *item) {
    const struct frame_entry *entry = &item->entry;
    struct segment_id id = {entry->topic, entry->partition, entry->segment_base};
    struct batch_order order = batch_order_of(partition);
    struct segment_cursor at = {0, entry->segment_base};
    struct record_batch batch;
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    if (entry->position >= segment->bytes) {
        return segment->end_offset <= entry->base_offset;
    }
    order.epochs_open = true;
    segment_name(&id, SEGMENT_LOG, name);
    if (disk_open(recovery->log->disk, name, DISK_READ, &file)) {
        return false;
    }
    const struct segment_resync in = {.file = file,
                                      .end = segment->bytes,
                                      .base_offset = entry->segment_base,
                                      .next_base = -1,
                                      .most_offset = INT64_MAX,
                                      .order = &order};
    while (at.position < in.end && segment_resync(&in, NULL, &at, in.end) == 0 &&
           segment_batch_check(file, at.position, in.end, &batch) == 0) {
        if (at.position >= entry->position + entry->bytes) {
            return batch.base_offset >= record_batch_end(&item->batch);
        }
        at.position += batch.total_bytes;
        at.offset = record_batch_end(&batch);
        if (at.position > entry->position || at.offset > entry->base_offset) {
            return false;
        }
    }
    return true;
}

/* Whether the place that an entry names contradicts nothing that is known. */
static bool place_is_free(struct recovery *recovery, const struct log_partition *partition,
                          const struct replayed *item) {
    const struct frame_entry *entry = &item->entry;
    int at = partition_segment_index(partition, entry->base_offset);
    const struct log_segment *before = at < 0 ? NULL : &partition->segments[at];
    const struct log_segment *behind =
        at + 1 < (int)partition->segment_count ? &partition->segments[at + 1] : NULL;
    if (entry->segment_base < 0 || entry->segment_base > entry->base_offset ||
        (entry->position == 0) != (entry->segment_base == entry->base_offset) ||
        entry->position > INT32_MAX ||
        (behind && behind->base_offset < record_batch_end(&item->batch))) {
        return false;
    }
    if (!before || before->base_offset < entry->segment_base) {
        return !before || before->end_offset <= entry->segment_base;
    }
    return before->base_offset == entry->segment_base &&
           bytes_are_free(recovery, partition, before, item);
}

static int fill_from(struct recovery *recovery, const struct found_frame *frame) {
    uint64_t got = 0;
    int r = recovery_load(recovery, frame, &got);
    uint32_t count = r ? 0 : replay_entries(frame, got);
    for (uint32_t i = 0; i < count && !r; i++) {
        struct replayed item;
        bool holds = replay_item(recovery, frame, got, i, &item);
        struct log_partition *partition = replay_partition_of(recovery, &item.entry);
        if (holds && partition && item.entry.topic != 0 && partition->tail_count == 0 &&
            is_missing(recovery, partition, &item) &&
            (frame->valid || place_is_free(recovery, partition, &item))) {
            r = put_back(recovery, partition, &item);
        }
    }
    return r ? err_trace(r) : 0;
}

static int fill_once(struct recovery *recovery, bool whole_ones) {
    int r = 0;
    for (size_t i = 0; i < recovery->frame_count && !r; i++) {
        const struct found_frame *frame = &recovery->frames[i];
        if ((whole_ones || !frame->valid) && frame->header.sequence <= recovery->sequence) {
            r = fill_from(recovery, frame);
        }
    }
    return r;
}

int replay_fill_holes(struct recovery *recovery) {
    bool again = true;
    int r = 0;
    for (unsigned n = 0; n < FILLS_MAX && again && !r; n++) {
        bool whole_ones = recovery->overwritten;
        recovery->overwritten = false;
        r = fill_once(recovery, whole_ones);
        again = recovery->overwritten;
    }
    return r;
}
