/* Rot that was seen: how far it reaches, and the marks that keep readers from it (rot.h). */
#include "rot.h"
#include "log_private.h"
#include "reader.h"
#include "topics/partition.h"

#include <inttypes.h>
#include <stdlib.h>

enum { INDEX_ASKED_MAX = 64 };

/* ---- how far it reaches ---- */

/* Takes out of @range what a right batch has, but for @offset. */
static void leave_out(struct offset_range *range, int64_t offset, int64_t from, int64_t to) {
    if (to <= offset) {
        range->from = MAX(range->from, to);
    } else if (from > offset) {
        range->to = MIN(range->to, from);
    } else {
        range->to = range->from; /* there it is */
    }
}

static int leave_out_strays(struct segment_resync in, uint64_t from, uint64_t to, int64_t offset,
                            struct offset_range *range) {
    int r = 0;
    in.most_offset = INT64_MAX;
    in.wanted = range;
    in.wanted_count = 1;
    in.all_wanted = in.alone = true;
    while (r == 0 && range->from < range->to) {
        struct segment_cursor stray;
        int64_t end;
        r = segment_stray(&in, from, to, &stray, &end);
        if (r == 0) {
            leave_out(range, offset, stray.offset, end);
            from = stray.position + 1;
        }
    }
    return r == BROKER_E_CORRUPT ? 0 : r;
}

/* The index may lead a read of an offset behind @offset to a right batch far away. */
static int leave_out_indexed(struct disk *disk, const struct segment_id *id,
                             const struct segment_resync *in, int64_t offset,
                             struct offset_range *range) {
    int64_t below = range->to;
    for (unsigned n = 0; below > offset + 1; n++) {
        struct segment_target target = {.offset = below - 1};
        struct segment_cursor at;
        struct record_batch batch;
        bool wrong;
        if (n == INDEX_ASKED_MAX) {
            range->to = offset + 1;
            break;
        }
        int r = segment_seek(disk, in->file, id, &target, in->end, &at, &wrong);
        if (r) {
            return r;
        }
        if (at.offset <= offset) {
            break;
        }
        if (segment_batch_check(in->file, at.position, in->end, &batch) == 0) {
            leave_out(range, offset, batch.base_offset, record_batch_end(&batch));
        }
        below = MIN(at.offset, range->to);
    }
    return 0;
}

void rot_find(struct disk *disk, const struct segment_id *id, const struct segment_resync *in,
              const struct segment_cursor *lost, int64_t offset, uint64_t limit,
              struct offset_range *ret_range) {
    const struct segment_resync all = {.file = in->file,
                                       .end = in->end,
                                       .base_offset = in->base_offset,
                                       .next_base = in->next_base,
                                       .most_offset = INT64_MAX,
                                       .order = in->order};
    struct offset_range range = {lost->offset, in->next_base};
    struct segment_cursor next = *lost;
    *ret_range = (struct offset_range){0, 0};
    int r = segment_resync(&all, NULL, &next, limit);
    if (r == 0) {
        range.to = MIN(range.to, next.offset);
    } else if (r == BROKER_E_CORRUPT) {
        bool to_the_end = in->end - MIN(in->end, lost->position) <= limit;
        range.to = to_the_end ? range.to : MIN(range.to, offset + 1);
        r = 0;
    }
    if (r || offset < range.from || offset >= range.to) {
        return;
    }
    uint64_t from = lost->position - MIN(lost->position, limit);
    r = leave_out_strays(all, from, MIN(in->end, lost->position + limit), offset, &range);
    r = r ? r : leave_out_indexed(disk, id, &all, offset, &range);
    if (r == 0 && offset >= range.from && offset < range.to) {
        *ret_range = range;
    }
}

/* ---- marks ---- */

bool rot_is_set_aside(const struct log_partition *partition, int64_t from, int64_t to) {
    uint32_t i = 0, count = partition->damage_count + partition->rot_count;
    while (from < to && i < count) {
        const struct offset_range *range = i < partition->damage_count
                                               ? &partition->damage[i]
                                               : &partition->rot[i - partition->damage_count];
        if (range->from <= from && from < range->to) {
            from = range->to;
            i = 0; /* they are in no order */
        } else {
            i++;
        }
    }
    return from >= to;
}

/* One that overlaps another makes it larger: a reader may find the parts of a range. */
static void mark(struct log_partition *partition, int64_t from, int64_t to) {
    for (uint32_t i = 0; i < partition->rot_count; i++) {
        struct offset_range *range = &partition->rot[i];
        if (from < range->to && range->from < to) {
            range->from = MIN(range->from, from);
            range->to = MAX(range->to, to);
            return;
        }
    }
    struct offset_range *grown =
        partition->rot_count < ROT_MARKS_MAX
            ? realloc(partition->rot, (partition->rot_count + 1) * sizeof *grown)
            : NULL;
    if (grown) {
        grown[partition->rot_count++] = (struct offset_range){from, to};
        partition->rot = grown;
    }
}

void rot_set_aside(struct topic_log *log, struct log_partition *partition,
                   const struct segment_id *id, struct offset_range range, const char *finder,
                   unsigned *told, unsigned told_max) {
    int64_t from = MAX(range.from, partition->public.log_start_offset);
    if (rot_is_set_aside(partition, from, range.to)) {
        return;
    }
    log->stats.scrub_damaged++;
    ++*told;
    if (told_max == 0 || *told <= told_max) {
        topic_log_report(log, TOPIC_LOG_DAMAGED,
                         "%s-%" PRId32 ": %s found offsets %" PRId64 " to %" PRId64
                         " damaged on disk; reads of them get CORRUPT_MESSAGE, a consumer goes on "
                         "when it seeks behind them%s",
                         partition->topic->public.name, partition->public.index, finder, from,
                         range.to - 1,
                         *told == told_max ? "; more damage in this segment is not told" : "");
    }
    mark(partition, from, range.to);
    reader_forget(log, id); /* it may know boundaries on the far side */
}

bool rot_met(struct topic_log *log, struct log_partition *partition, const struct segment_id *id,
             struct offset_range range, const char *finder) {
    int index = partition_segment_index(partition, id->base_offset);
    unsigned told = 0;
    if (range.from >= range.to || partition->topic->public.deleted || partition->swap_broken ||
        index < 0 || partition->segments[index].base_offset != id->base_offset) {
        return false;
    }
    if (partition->rot_count < ROT_MARKS_MAX) { /* else each read would count and tell it anew */
        rot_set_aside(log, partition, id, range, finder, &told, 0);
    }
    return rot_is_set_aside(partition, MAX(range.from, partition->public.log_start_offset),
                            range.to);
}
