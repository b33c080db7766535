/*
 * A start without a valid checkpoint: slow, and it says so.
 *
 * The journal's uuid is that of its newest frame. The registry is read from its own segments, which
 * begin with its state (registry_state.c), then every folder of a topic that it names is walked,
 * batch by batch with CRC, to find segments, log end, leader epochs and producers. What is missing
 * below the log end, by rot or because a power cut took it, is noted as damage; the journal,
 * replayed over that, fills in what it has, there and at the end of the log (replay_holes.c). What
 * then is still missing is set aside, and told. Of producers whose batches are gone the partition's
 * snapshot tells (producer_snapshot.h). Every partition with records goes on in a new epoch.
 *
 * Behind the last right batch of a partition there may be bytes that are none, and no frame that
 * has them: somebody may have seen those offsets, so the partition goes on at the next multiple of
 * 2^32. So does one whose snapshot tells of a later end; and one that has lost the end of its
 * segments, where frames behind the last one that names it were recycled (open_ends.c).
 *
 * Where records of the registry itself are lost, topics may be missing. If a folder is there that
 * belongs to no topic known, the start is refused: it would look as if the
 * topic had never been, and its next namesake would be empty. Else it goes on, and says what may be
 * older than it was; producer ids go on at the next multiple of 2^32.
 */
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "replay.h"
#include "retention/removal.h"
#include "segment/segment_resync.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What a start without checkpoint knows: epochs show in the batches alone. */
static struct batch_order order_of(const struct log_partition *partition) {
    struct batch_order order = batch_order_of(partition);
    order.epochs_open = true;
    return order;
}

/* Whether an epoch begins with @batch. */
static bool rises(const struct log_partition *partition, const struct record_batch *batch) {
    return batch->leader_epoch > partition->public.leader_epoch;
}

/*
 * Offsets from @from to @next, before @batch, are not where they should be. A frame may have them,
 * else they are lost; but compaction leaves offsets out, and no bytes that are no batch (@rotten),
 * and so does a log that has gone on elsewhere (open_ends.c).
 */
static int note_gap(struct recovery *recovery, struct log_partition *partition, int64_t from,
                    int64_t next, const struct record_batch *batch, bool rotten) {
    const struct batch_order order = order_of(partition);
    from = MAX(from, order.log_start);
    if (from >= next || (!rotten && batch_order_gap(&order, from, next))) {
        return 0;
    }
    bool left_out = !rotten && rises(partition, batch) && open_end_is_jump(next);
    return left_out ? open_end_left_out(recovery, partition, from, next)
                    : partition_damage_add(partition, from, next);
}

struct walked {
    struct recovery *recovery;
    struct log_partition *partition;
    struct segment_resync in;
    struct segment_cursor at;
};

/* The batch at the cursor, if it is right and follows; a later epoch may begin with it. */
static uint8_t *read_next(struct walked *walked, struct record_batch *ret_batch) {
    const struct batch_order order = order_of(walked->partition);
    uint8_t *data =
        segment_batch_read(walked->in.file, walked->at.position, walked->in.end, ret_batch);
    if (data && (rises(walked->partition, ret_batch) ||
                 !batch_order_admits(&order, walked->at.offset, ret_batch))) {
        free(data);
        data = NULL;
    }
    return data;
}

/* Where the next batch does not simply follow: rot, a gap, a new epoch. */
static uint8_t *read_behind(struct walked *walked, struct record_batch *ret_batch) {
    const struct batch_order order = order_of(walked->partition);
    struct segment_cursor next = walked->at;
    walked->in.order = &order;
    if (segment_resync(&walked->in, NULL, &next, walked->in.end)) {
        return NULL;
    }
    struct segment_cursor before = walked->at;
    walked->at = next;
    uint8_t *data = segment_batch_read(walked->in.file, next.position, walked->in.end, ret_batch);
    if (!data) {
        return NULL;
    }
    int r = note_gap(walked->recovery, walked->partition, before.offset, next.offset, ret_batch,
                     next.position > before.position);
    if (r) {
        free(data);
        return NULL;
    }
    return data;
}

static int take(struct walked *walked, const uint8_t *data, const struct record_batch *batch) {
    struct recovery *recovery = walked->recovery;
    struct topic_log *log = recovery->log;
    int r = recovery_take_over(walked->partition, walked->in.base_offset, walked->at.position,
                               batch, clock_wall_ms(log->config.clock));
    if (!r && walked->partition->topic == log->registry) {
        r = registry_apply(log, span_of(data, batch->total_bytes), 0);
        if (r > 0) {
            recovery_report(recovery, r == BROKER_E_NEWER ? TOPIC_LOG_FAILED : TOPIC_LOG_DAMAGED,
                            "the registry's record at offset %" PRId64 " %s", batch->base_offset,
                            r == BROKER_E_NEWER ? "was written by a newer eventbox"
                                                : "is not readable");
        }
        r = r == BROKER_E_NEWER || r < 0 ? r : 0;
    }
    walked->partition->unread_from = 0;
    recovery->producer_ids_end = MAX(recovery->producer_ids_end, batch->producer_id + 1);
    walked->at.position += batch->total_bytes;
    walked->at.offset = record_batch_end(batch);
    return r;
}

/* Where what is behind a segment begins: not known before a jump. */
static int64_t follower(int64_t next_base) {
    return open_end_is_jump(next_base) ? -1 : next_base;
}

/* @next_base: of the segment behind it; -1: not known, or it is the last one. */
static int walk_segment(struct recovery *recovery, struct log_partition *partition, int64_t base,
                        int64_t next_base) {
    struct segment_id id = {partition->topic->public.number, partition->public.index, base};
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    if (base < partition->public.log_end_offset) {
        return 0; /* compaction has merged it into the one before */
    }
    segment_name(&id, SEGMENT_LOG, name);
    int r = disk_open(recovery->log->disk, name, DISK_READ, &file);
    if (r || (r = disk_size(file, &size)) != 0) {
        return err_trace(r);
    }
    struct walked walked = {
        .recovery = recovery,
        .partition = partition,
        .in = {file, size, base, next_base, INT64_MAX, NULL},
        .at = {0, base},
    };
    int64_t end_before = partition->public.log_end_offset;
    while (walked.at.position < size && !r) {
        struct record_batch batch;
        uint8_t *data = read_next(&walked, &batch);
        data = data ? data : read_behind(&walked, &batch);
        if (!data) {
            partition->unread_from = partition->public.log_end_offset + 1;
            break;
        }
        if (end_before < base) { /* only now: else frames simply go on */
            r = note_gap(recovery, partition, end_before, base, &batch,
                         partition->unread_from == end_before + 1);
        }
        r = r ? r : take(&walked, data, &batch);
        end_before = base;
        free(data);
    }
    return r;
}

/* Files of segments that a record of the registry, read before, has removed. */
static int drop_below_start(struct topic_log *log, struct log_partition *partition) {
    int64_t start = partition->public.log_start_offset;
    int64_t keep = 0;
    for (uint32_t i = 1; i < partition->segment_count; i++) {
        if (partition->segments[i].base_offset <= start) {
            keep = partition->segments[i].base_offset;
        }
    }
    recovery_pass_start(partition);
    return partition_move_log_start(log, partition, start, keep, 0);
}

/* Whether the file of a segment has nothing in it. */
static int is_empty(struct disk *disk, const struct log_partition *partition, int64_t base,
                    bool *ret_empty) {
    struct segment_id id = {partition->topic->public.number, partition->public.index, base};
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    segment_name(&id, SEGMENT_LOG, name);
    int r = disk_open(disk, name, DISK_READ, &file);
    r = r ? r : disk_size(file, &size);
    *ret_empty = size == 0;
    return r ? err_trace(r) : 0;
}

/* Closed segments that compaction has left without a batch: nothing will ever go there. */
static int drop_empty(struct topic_log *log, struct log_partition *partition) {
    struct pending_removal removal = {.number = partition->topic->public.number,
                                      .partition = partition->public.index};
    struct segment_bases bases = {0};
    int r = segment_bases_list(log->disk, removal.number, removal.partition, &bases);
    for (size_t i = 0; i < bases.count && partition->segment_count > 0 && !r; i++) {
        int64_t base = bases.offsets[i];
        int at = partition_segment_index(partition, base);
        bool closed = base < partition->segments[partition->segment_count - 1].base_offset;
        bool empty = false;
        if (closed && (at < 0 || partition->segments[at].base_offset != base)) {
            r = is_empty(log->disk, partition, base, &empty);
        }
        if (!r && empty) {
            removal.base_offset = base;
            r = removal_add(log, &removal);
        }
    }
    segment_bases_deinit(&bases);
    return r ? err_trace(r) : 0;
}

static int walk_partition(struct recovery *recovery, struct log_partition *partition) {
    struct disk *disk = recovery->log->disk;
    struct segment_bases bases = {0};
    int r = snapshots_look(recovery, partition);
    r = r == DISK_E_NOT_FOUND ? 0 : r;
    r = r ? r
          : segment_bases_list(disk, partition->topic->public.number, partition->public.index,
                               &bases);
    for (size_t i = 0; i < bases.count && !r; i++) {
        r = walk_segment(recovery, partition, bases.offsets[i],
                         follower(i + 1 < bases.count ? bases.offsets[i + 1] : -1));
    }
    if (!r && bases.count > 0) {
        int64_t last = bases.offsets[bases.count - 1];
        bool empty;
        r = is_empty(disk, partition, last, &empty);
        open_end_found(partition, last, empty);
    }
    segment_bases_deinit(&bases);
    return r ? r : drop_below_start(recovery->log, partition);
}

static int walk_topics(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; topic != log->registry && i < topic->public.partition_count; i++) {
            int r = walk_partition(recovery, topic_partition(topic, i));
            if (r) {
                return err_trace(r);
            }
        }
    }
    return 0;
}

/* ---- what is lost ---- */

/* Whether records of the registry are missing, as far as is known. Its last ones may have been in a
 * frame that is lost, unless a later frame has one: a gap in their offsets would be damage. */
static bool registry_lacks(const struct recovery *recovery) {
    const struct log_partition *partition = topic_partition(recovery->log->registry, 0);
    return recovery->lost_through > recovery->registry_through || partition->damage_count > 0 ||
           partition->public.log_end_offset == 0 ||
           partition->unread_from == partition->public.log_end_offset + 1 ||
           recovery->registry_open;
}

/*
 * No compaction has touched what frames have that no checkpoint covers, nor their segments. Of a
 * bad frame those batches tell it that are right.
 */
static int expect_no_gaps_in(struct recovery *recovery, const struct found_frame *frame) {
    uint64_t got = 0;
    if (frame->header.sequence <= recovery->covered_through) {
        return 0;
    }
    int r = recovery_load(recovery, frame, &got);
    uint32_t count = r ? 0 : replay_entries(frame, got);
    for (uint32_t i = 0; i < count; i++) {
        struct replayed item;
        const struct frame_entry *entry = &item.entry;
        bool tells = replay_item(recovery, frame, got, i, &item) || frame->valid;
        struct log_partition *partition = replay_partition_of(recovery, entry);
        if (tells && partition && entry->topic != 0 && entry->segment_base >= 0) {
            partition->cleaned_to = MIN(partition->cleaned_to, entry->segment_base);
        }
    }
    return r;
}

/* Records that say how far a partition was compacted may be among them: gaps may be anywhere. */
static int expect_gaps(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    int r = 0;
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; topic != log->registry && i < topic->public.partition_count; i++) {
            topic_partition(topic, i)->cleaned_to = INT64_MAX;
        }
    }
    for (size_t i = 0; i < recovery->frame_count && !r; i++) {
        r = expect_no_gaps_in(recovery, &recovery->frames[i]);
    }
    return r ? err_trace(r) : 0;
}

struct unknown_folder {
    struct topic_log *log;
    char name[64];
};

static int look_for_unknown(void *userdata, const char *name, bool is_dir) {
    struct unknown_folder *unknown = userdata;
    char *dash;
    unsigned long number = strtoul(name, &dash, 10);
    bool known = !is_dir || *dash != '-' || number > UINT32_MAX ||
                 registry_by_number(unknown->log, (uint32_t)number);
    for (uint32_t i = 0; i < unknown->log->removal_count && !known; i++) {
        known = unknown->log->removals[i].number == number;
    }
    if (!known) {
        snprintf(unknown->name, sizeof unknown->name, "%s", name);
    }
    return !known;
}

static int check_registry(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    struct unknown_folder unknown = {.log = log};
    if (!registry_lacks(recovery)) {
        return 0;
    }
    int r = disk_list(log->disk, "topics", look_for_unknown, &unknown);
    if (r == 1) {
        recovery_report(recovery, TOPIC_LOG_FAILED,
                        "both checkpoints and records of the registry (topics/0-0) are damaged: "
                        "nothing tells which topic topics/%s belongs to. Restore the data folder "
                        "from a backup, or move that folder away to go on without it",
                        unknown.name);
        return err_origin(BROKER_E_CORRUPT);
    }
    recovery_report(recovery, TOPIC_LOG_DAMAGED,
                    /* the damage test looks for these words */
                    "records of the registry are lost: configs and log starts of topics may be "
                    "older ones, and topics that were deleted may be back");
    int64_t end = MAX(log->producer_durable_end, recovery->producer_ids_end);
    log->producer_durable_end = ((end >> 32) + 1) << 32;
    return r;
}

/*
 * The log goes on where nobody can have seen an offset. What is known to have been there is set
 * aside; where nothing need have been lost readers are led on, as in replay_losses.c.
 */
static int leave_unread(struct recovery *recovery, struct log_partition *partition) {
    int64_t end = partition->public.log_end_offset;
    bool unread = partition->unread_from == end + 1; /* else frames went on behind it, if any was */
    if (!unread && !open_end(partition)) {
        return 0;
    }
    int r = open_end_pass(recovery, partition, false);
    if (unread) {
        return r ? r : partition_damage_add(partition, end, partition->public.log_end_offset);
    }
    open_end_tell(recovery, partition, end, partition->public.log_end_offset);
    return r;
}

/* Nobody knows what earlier epochs there were: the new one is higher than any in a batch. */
static int raise_epoch(struct log_partition *partition) {
    int64_t end = partition->public.log_end_offset;
    partition->cleaned_to = MIN(partition->cleaned_to, end);
    return end > 0 ? partition_epoch_raise(partition, end) : 0;
}

/* Else a lookup by time would not look in here, no read so far, and an append would write over it.
 */
static void take_stray(struct log_partition *partition, struct log_segment *segment,
                       uint64_t file_end, const struct record_batch *batch) {
    segment->max_timestamp_ms = MAX(segment->max_timestamp_ms, batch->max_timestamp_ms);
    segment->end_offset = MAX(segment->end_offset, record_batch_end(batch));
    segment->bytes = segment->written_bytes = MAX(segment->bytes, file_end);
    if (partition->writer_base == segment->base_offset) {
        partition->writer_position = MAX(partition->writer_position, segment->bytes);
    }
}

static int keep_strays_in(struct recovery *recovery, struct log_partition *partition,
                          struct log_segment *segment, int64_t next_base) {
    struct batch_order order;
    struct segment_id id = {partition->topic->public.number, partition->public.index,
                            segment->base_offset};
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    struct segment_cursor at = {0};
    struct record_batch batch;
    int64_t end;
    segment_name(&id, SEGMENT_LOG, name);
    int r = disk_open(recovery->log->disk, name, DISK_READ, &file);
    uint64_t size = 0; /* the last ones may not have been believed before those behind were known */
    r = r ? r : disk_size(file, &size);
    struct segment_resync in = {.file = file,
                                .end = size,
                                .base_offset = segment->base_offset,
                                .next_base = next_base,
                                .most_offset = INT64_MAX,
                                .order = &order,
                                .all_wanted = true};
    for (uint64_t from = 0; !r && partition->damage_count > 0; from = at.position + 1) {
        order = order_of(partition); /* it borrows the damage, which moves */
        in.wanted = partition->damage;
        in.wanted_count = partition->damage_count;
        r = segment_stray(&in, from, in.end, &at, &end);
        r = r ? r : segment_batch_check(file, at.position, in.end, &batch);
        r = r ? r : partition_damage_remove(partition, at.offset, end);
        if (!r) {
            take_stray(partition, segment, at.position + batch.total_bytes, &batch);
        }
    }
    return r == BROKER_E_CORRUPT || r == DISK_E_NOT_FOUND ? 0 : r;
}

/*
 * What the walk did not meet and no frame had may be in a segment all the same, in blocks that
 * stand in another's place or between such: reads find it. Not of the registry, which has been read
 * in order and goes without.
 */
static int keep_strays(struct recovery *recovery, struct log_partition *partition) {
    int r = 0;
    for (uint32_t i = 0; partition->topic != recovery->log->registry &&
                         i < partition->segment_count && partition->damage_count > 0 && !r;
         i++) {
        struct log_segment *segment = &partition->segments[i];
        int64_t next_base =
            follower(i + 1 < partition->segment_count ? segment[1].base_offset : -1);
        bool hit = false;
        for (uint32_t n = 0; n < partition->damage_count; n++) {
            hit |= partition->damage[n].from < (next_base < 0 ? INT64_MAX : next_base) &&
                   partition->damage[n].to > segment->base_offset;
        }
        r = hit ? keep_strays_in(recovery, partition, segment, next_base) : 0;
    }
    return r ? err_trace(r) : 0;
}

static void tell_damage(struct recovery *recovery, const struct log_partition *partition) {
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        recovery_report(recovery, TOPIC_LOG_DAMAGED,
                        "topic %s partition %" PRId32 ": offsets %" PRId64 " to %" PRId64
                        " are neither in its segments nor in the journal, and are set aside",
                        partition->topic->public.name, partition->public.index,
                        partition->damage[i].from, partition->damage[i].to - 1);
    }
}

static int settle_partitions(struct recovery *recovery) {
    list_for_each(link, &recovery->log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            int r = keep_strays(recovery, partition);
            r = r ? r : leave_unread(recovery, partition);
            r = r ? r : raise_epoch(partition);
            r = r ? r : drop_empty(recovery->log, partition);
            if (r) {
                return r;
            }
            tell_damage(recovery, partition);
        }
    }
    return 0;
}

/*
 * The journal does not begin at frame 1, nor is it without gaps: what was recycled is in the
 * segments. All that is missing of the rest is lost (replay_segment.c tells).
 */
static void note_lost_frames(struct recovery *recovery) {
    uint64_t before = 0;
    for (size_t i = 0; i < recovery->frame_count; i++) {
        recovery->covered_through =
            MAX(recovery->covered_through, recovery->frames[i].header.covered_through);
    }
    for (size_t i = 0; i < recovery->frame_count; i++) {
        uint64_t sequence = recovery->frames[i].header.sequence;
        if (before < MIN(recovery->covered_through, sequence - 1)) {
            before = recovery->recycled_through = MIN(recovery->covered_through, sequence - 1);
        }
        if (sequence > before + 1) {
            recovery->lost_through = sequence - 1;
        }
        before = MAX(before, sequence);
    }
}

/* The newest journal is the one; frames of others are not looked at again. */
static void choose_journal(struct recovery *recovery) {
    const struct found_frame *newest = NULL;
    for (size_t i = 0; i < recovery->frame_count; i++) {
        if (recovery->frames[i].valid) {
            newest = &recovery->frames[i];
        }
    }
    if (newest) {
        recovery->log->journal_uuid = newest->header.journal;
    } else {
        uuid_v4(recovery->log->config.random, &recovery->log->journal_uuid);
    }
    size_t kept = 0;
    for (size_t i = 0; i < recovery->frame_count; i++) {
        if (memcmp(&recovery->frames[i].header.journal, &recovery->log->journal_uuid,
                   sizeof(struct uuid)) == 0) {
            recovery->frames[kept++] = recovery->frames[i];
        }
    }
    recovery->frame_count = kept;
    note_lost_frames(recovery);
}

static int note_number(void *userdata, const char *name, bool is_dir) {
    struct topic_log *log = userdata;
    unsigned long number = strtoul(name, NULL, 10);
    if (is_dir && number < UINT32_MAX) {
        log->next_number = MAX(log->next_number, (uint32_t)number + 1);
    }
    return 0;
}

int recovery_rebuild(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    recovery->changed = recovery->holes_expected = recovery->need_syncfs = true;
    log->cleaner.sweep = true;
    choose_journal(recovery);
    if (recovery->frame_count > 0) {
        recovery_report(recovery, TOPIC_LOG_MENDED,
                        "no valid checkpoint: every folder below topics/ is read");
    } else {
        /* Each topic was made by one: so they are gone, with whatever no segment had yet. */
        recovery_report(recovery, TOPIC_LOG_DAMAGED,
                        "no valid checkpoint, and no frame in the journal: every folder below "
                        "topics/ is read, what had not come to a segment is lost");
        recovery->lost_through = recovery->unknown_sequence = 1;
    }
    struct log_partition *registry = topic_partition(log->registry, 0);
    int r = open_end_of_registry(recovery);
    r = r ? r : recovery_fill_registry(recovery);
    r = r ? r : walk_partition(recovery, registry);
    recovery->registry_open = open_end(registry);
    if (!r && registry_lacks(recovery)) {
        r = expect_gaps(recovery);
    }
    if (!r) {
        r = walk_topics(recovery); /* topics known to the journal alone come with the replay */
    }
    if (!r) {
        r = disk_list(log->disk, "topics", note_number, log);
    }
    if (!r) {
        r = open_ends_of_topics(recovery);
    }
    if (!r) {
        r = recovery_replay(recovery);
    }
    if (!r) {
        r = check_registry(recovery);
    }
    if (!r) {
        snapshots_settle(recovery);
        r = open_ends_pass_left_out(recovery);
    }
    if (!r) {
        r = settle_partitions(recovery);
    }
    if (!r) {
        r = recovery_confirm_folders(recovery);
    }
    if (!r) {
        r = recovery_finish(recovery, NULL, 0);
    }
    if (!r) {
        r = snapshots_drop_beyond(recovery);
    }
    if (!r) {
        r = clean_marker_write(log->disk, &log->journal_uuid, 0); /* it may name this very frame */
    }
    if (!r) {
        r = disk_sync_dir(log->disk, "journal");
    }
    return r ? err_trace(r) : disk_sync_dir(log->disk, ".");
}
