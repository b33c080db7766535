/*
 * Where offsets behind a partition's log end may have been given out that nothing tells of any
 * more, it goes on at a multiple of 2^32 behind all that is known. The segment that begins there is
 * made at once, empty: so this is known as long as the folder is there, also to a start that has no
 * checkpoint. It is made when the checkpoint that says so stands; a full disk may refuse it.
 *
 * A start without checkpoint puts back what a segment has lost of its end. Where frames behind the
 * last one that names the partition were recycled, that need not be all. The next start would find
 * the batches where they belong, and take them for all there was: so then the empty segment is
 * durable before the first of them is written.
 *
 * Such a segment may have got batches since. Where frames are lost they may have been in those, and
 * the log goes on behind it, else there.
 *
 * What lies before such a segment a start without checkpoint takes for missing, as far as frames
 * have it; the rest was left out, or nobody knows.
 */
#include "log_private.h"
#include "replay.h"
#include "segment/segment_resync.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static int64_t next_resume_offset(int64_t end) {
    return ((end >> 32) + 1) << 32;
}

bool open_end_is_jump(int64_t offset) {
    return offset > 0 && (offset & UINT32_MAX) == 0;
}

void open_end_seen(struct log_partition *partition, int64_t offset) {
    if (offset < INT64_MAX / 2) { /* a name that somebody made up must not use offsets up */
        partition->seen_to = MAX(partition->seen_to, offset);
    }
}

void open_end_found(struct log_partition *partition, int64_t base, bool empty) {
    if (empty && open_end_is_jump(base) && base < INT64_MAX / 2) {
        partition->resume_offset = base;
        partition->resume_found = true;
    } else {
        open_end_seen(partition, base);
    }
}

bool open_end(const struct log_partition *partition) {
    return partition->resume_offset > partition->public.log_end_offset;
}

/* A start from a checkpoint may be that from the older one, which knows of no later jump. */
static int look_at_folder(struct recovery *recovery, struct log_partition *partition) {
    struct segment_bases bases = {0};
    int r = segment_bases_list(recovery->log->disk, partition->topic->public.number,
                               partition->public.index, &bases);
    for (size_t i = 0; i < bases.count && !r; i++) {
        open_end_seen(partition, bases.offsets[i]);
    }
    segment_bases_deinit(&bases);
    return r;
}

int open_end_pass(struct recovery *recovery, struct log_partition *partition, bool frames_lost) {
    int r = frames_lost && recovery->have_checkpoint ? look_at_folder(recovery, partition) : 0;
    if (frames_lost && partition->resume_found) {
        open_end_seen(partition, partition->resume_offset);
    }
    int64_t known = MAX(partition->public.log_end_offset, partition->seen_to);
    partition->resume_offset = MAX(partition->resume_offset, next_resume_offset(known));
    partition->public.log_end_offset = partition->public.high_watermark = partition->resume_offset;
    partition->writer_base = -1;
    partition->writer_position = 0;
    recovery->ends_passed = true;
    return r;
}

void open_end_tell(struct recovery *recovery, const struct log_partition *partition, int64_t from,
                   int64_t to) {
    recovery_report(recovery, TOPIC_LOG_DAMAGED,
                    "topic %s partition %" PRId32 ": whether anything was lost from offset %" PRId64
                    " on is not known; it goes on at %" PRId64,
                    partition->topic->public.name, partition->public.index, from, to);
}

static int make_segment(struct recovery *recovery, const struct log_partition *partition) {
    struct segment_id id = {partition->topic->public.number, partition->public.index,
                            partition->resume_offset};
    struct segment_file *file;
    int r = segment_writer_make(recovery->log->segment_writer, &id, &file);
    return r ? r : recovery_touched(recovery, file);
}

int open_ends_make(struct recovery *recovery) {
    int r = 0;
    list_for_each(link, &recovery->log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; recovery->ends_passed && !r && i < topic->public.partition_count; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            bool passed = partition->resume_offset > 0 &&
                          partition->resume_offset == partition->public.log_end_offset;
            r = passed ? make_segment(recovery, partition) : 0;
        }
    }
    if (r && r != DISK_E_FULL) {
        return err_trace(r);
    }
    return recovery->ends_passed ? disk_syncfs(recovery->log->disk) : 0;
}

/* ---- before a start without checkpoint puts anything back ---- */

/* Makes the empty segment of a partition that frames put back up to @end. */
static int leave_open(struct recovery *recovery, struct log_partition *partition, int64_t end) {
    int64_t known = MAX(end, partition->seen_to);
    partition->resume_offset = MAX(partition->resume_offset, next_resume_offset(known));
    return make_segment(recovery, partition);
}

/* How many of the frames found, from the first on, recovery_replay() will take: by its rules. */
static size_t frames_to_replay(const struct recovery *recovery) {
    uint64_t before = 0;
    size_t i = 0;
    for (; i < recovery->frame_count; i++) {
        const struct found_frame *frame = &recovery->frames[i];
        uint64_t sequence = frame->header.sequence;
        before = MAX(before, MIN(recovery->covered_through, sequence - 1));
        bool durable = sequence <= recovery->synced_through || frame->file->cut;
        if ((sequence > before + 1 && before + 1 > recovery->synced_through) ||
            (!frame->valid && !durable)) {
            break;
        }
        before = MAX(before, sequence);
    }
    return i;
}

/* Registry: whether its segments have a batch from @offset on. */
static int has_batch_from(struct recovery *recovery, int64_t offset, bool *ret_has) {
    const struct log_partition *registry = topic_partition(recovery->log->registry, 0);
    const struct offset_range wanted = {offset, INT64_MAX};
    struct batch_order order = batch_order_of(registry);
    struct segment_bases bases = {0};
    int r = segment_bases_list(recovery->log->disk, 0, 0, &bases);
    order.epochs_open = true;
    *ret_has = false;
    for (size_t i = 0; i < bases.count && !r && !*ret_has; i++) {
        struct segment_id id = {0, 0, bases.offsets[i]};
        _cleanup_(disk_closep) struct disk_file *file = NULL;
        char name[SEGMENT_NAME_SIZE];
        struct segment_cursor at;
        uint64_t size = 0;
        int64_t end;
        segment_name(&id, SEGMENT_LOG, name);
        r = disk_open(recovery->log->disk, name, DISK_READ, &file);
        r = r ? r : disk_size(file, &size);
        const struct segment_resync in = {.file = file,
                                          .end = size,
                                          .base_offset = id.base_offset,
                                          .next_base = -1,
                                          .most_offset = INT64_MAX,
                                          .order = &order,
                                          .wanted = &wanted,
                                          .wanted_count = 1,
                                          .alone = true};
        r = r ? r : segment_stray(&in, 0, size, &at, &end);
        *ret_has = r == 0;
        r = r == BROKER_E_CORRUPT ? 0 : r;
    }
    segment_bases_deinit(&bases);
    return r;
}

struct last_record {
    int64_t end;       /* of the last record that its segment lacks */
    uint64_t sequence; /* of the last frame that has one */
};

static int note_record(struct recovery *recovery, const struct replayed *item, uint64_t sequence,
                       void *userdata) {
    struct last_record *last = userdata;
    if (!replay_is_in_segment(recovery, &item->entry)) {
        last->end = record_batch_end(&item->batch);
    }
    last->sequence = sequence;
    return 0;
}

int open_end_of_registry(struct recovery *recovery) {
    struct log_partition *registry = topic_partition(recovery->log->registry, 0);
    struct last_record last = {0};
    bool more = false;
    int r = replay_each_record(recovery, note_record, &last);
    if (r || last.end == 0 || last.sequence > recovery->recycled_through) {
        return r;
    }
    r = has_batch_from(recovery, last.end, &more);
    if (!r && !more) {
        r = leave_open(recovery, registry, last.end);
        r = r ? r : disk_syncfs(recovery->log->disk);
    }
    return r ? err_trace(r) : 0;
}

/* What a frame has behind the log end: up to where one puts it back, behind which frames were
 * recycled; nothing, where a later one tells of the end. */
static int look_at_frame(struct recovery *recovery, const struct found_frame *frame) {
    bool proves = frame->header.sequence > recovery->recycled_through;
    uint64_t got = 0;
    int r = recovery_load(recovery, frame, &got);
    uint32_t count = r ? 0 : replay_entries(frame, got);
    for (uint32_t i = 0; i < count; i++) {
        struct replayed item;
        bool holds = replay_item(recovery, frame, got, i, &item);
        struct log_partition *partition = replay_partition_of(recovery, &item.entry);
        int64_t end = holds ? record_batch_end(&item.batch) : 0;
        if (!partition || item.entry.topic == 0) {
            continue;
        }
        bool behind = end > partition->public.log_end_offset;
        if (proves && (frame->valid || behind)) {
            partition->refilled_to = 0;
        } else if (!proves && behind) {
            partition->refilled_to = MAX(partition->refilled_to, end);
        }
    }
    return r;
}

int open_ends_of_topics(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    size_t count = recovery->recycled_through > 0 ? frames_to_replay(recovery) : 0;
    bool made = false;
    int r = 0;
    for (size_t i = 0; i < count && !r; i++) {
        r = look_at_frame(recovery, &recovery->frames[i]);
    }
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count && !r; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            if (partition->refilled_to > 0) {
                r = leave_open(recovery, partition, partition->refilled_to);
                made = true;
            }
        }
    }
    return r ? err_trace(r) : made ? disk_syncfs(log->disk) : 0;
}

/* ---- offsets left out ---- */

int open_end_left_out(struct recovery *recovery, struct log_partition *partition, int64_t from,
                      int64_t to) {
    if (partition->topic == recovery->log->registry) {
        return 0; /* it has what frames have, and behind a jump its whole state */
    }
    struct left_out *grown =
        realloc(recovery->left_out, (recovery->left_out_count + 1) * sizeof *grown);
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    recovery->left_out = grown;
    grown[recovery->left_out_count++] = (struct left_out){partition, to};
    return partition_damage_add(partition, from, to);
}

int open_ends_pass_left_out(struct recovery *recovery) {
    int r = 0;
    for (uint32_t i = 0; i < recovery->left_out_count && !r; i++) {
        struct log_partition *partition = recovery->left_out[i].partition;
        int64_t to = recovery->left_out[i].to;
        for (uint32_t n = 0; n < partition->damage_count && !r; n++) {
            struct offset_range range = partition->damage[n];
            if (range.to == to) {
                open_end_tell(recovery, partition, range.from, to);
                r = partition_damage_remove(partition, range.from, to);
                break;
            }
        }
    }
    return r;
}
