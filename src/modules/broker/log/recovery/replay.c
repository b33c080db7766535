/*
 * Replay: frames in order of their sequences to topics, partitions and segments.
 *
 * Of a frame first the registry records are applied, then the batches, partition by partition. A
 * batch belongs at the log end of its partition. One before it is there already. One behind it
 * means that a damaged frame had batches of this partition: they are looked for in the segment,
 * where they may have been written before the damage, and counted as lost by offsets otherwise.
 */
#include "replay.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "retention/removal.h"
#include "segment/segment_resync.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTITIONS_OF_A_STAND_IN = 10000 };

static int compare_replayed(const void *a, const void *b) {
    const struct replayed *left = a, *right = b;
    if (left->entry.topic != right->entry.topic) {
        return left->entry.topic < right->entry.topic ? -1 : 1;
    }
    if (left->entry.partition != right->entry.partition) {
        return left->entry.partition < right->entry.partition ? -1 : 1;
    }
    return left->order < right->order ? -1 : 1;
}

/* Batches come in their order, but for those that fill a hole: what is behind them may be known. */
int replay_remember_producer(struct log_partition *partition, const struct record_batch *batch,
                             int64_t now_ms) {
    struct producer *known =
        partition->producers && batch->producer_id >= 0
            ? hashmap_find(&partition->producers->map,
                           span_of(&batch->producer_id, sizeof batch->producer_id))
            : NULL;
    if (batch->producer_id < 0 ||
        (known && known->count > 0 &&
         known->batches[known->count - 1].base_offset >= batch->base_offset)) {
        return 0;
    }
    struct producer_batch remember = {
        .base_offset = batch->base_offset,
        .last_offset_delta = batch->last_offset_delta,
        .base_sequence = batch->base_sequence,
        .last_sequence = producer_sequence_last(batch->base_sequence, batch->last_offset_delta + 1),
        .epoch = batch->producer_epoch,
    };
    return producer_push(&partition->producers, &partition->topic->log->producers,
                         batch->producer_id, &remember, partition->public.log_end_offset, now_ms);
}

/* Takes one batch into the state of its partition; its bytes are, or will be, in the segment. */
int recovery_take_over(struct log_partition *partition, int64_t segment_base, uint64_t position,
                       const struct record_batch *batch, int64_t now_ms) {
    struct log_segment *segment;
    int r = 0;
    if (batch->leader_epoch > partition->public.leader_epoch) {
        /* It began behind what the checkpoint tells of. */
        r = partition_epoch_begin(partition, batch->leader_epoch, batch->base_offset);
    }
    r = r ? r : partition_segment_at(partition, segment_base, &segment);
    if (r) {
        return err_trace(r);
    }
    partition_segment_took(segment, position, batch->total_bytes, batch->max_timestamp_ms, now_ms);
    segment->written_bytes = segment->bytes;
    partition->writer_base = segment_base;
    partition->writer_position = segment->bytes;
    partition->writer_created_ms = segment->created_ms;
    partition->writer_first_ms = segment->first_timestamp_ms;
    int64_t end = record_batch_end(batch);
    partition->public.log_end_offset = partition->public.high_watermark = end;
    segment->end_offset = end;
    snapshots_pass(partition, batch->base_offset);
    return replay_remember_producer(partition, batch, now_ms);
}

/*
 * Nothing below the log's start is missed. The log end can be short of it only where files are gone
 * that no checkpoint told of.
 */
void recovery_pass_start(struct log_partition *partition) {
    struct partition *public = &partition->public;
    if (public->log_end_offset < public->log_start_offset) {
        public->log_end_offset = public->high_watermark = public->log_start_offset;
        partition->writer_base = -1;
        partition->writer_position = 0;
    }
}

static bool is_removed(const struct topic_log *log, uint32_t number) {
    for (uint32_t i = 0; i < log->removal_count; i++) {
        if (log->removals[i].number == number && log->removals[i].partition < 0) {
            return true;
        }
    }
    return false;
}

/*
 * Batches of a topic whose creation was lost with a frame: they are kept under a name that says so,
 * since what the topic was called nobody knows. NULL: it was deleted, or is none.
 */
static int stand_in(struct recovery *recovery, const struct frame_entry *entry,
                    struct log_partition **ret_partition) {
    struct topic_log *log = recovery->log;
    struct log_topic *topic = registry_by_number(log, entry->topic);
    *ret_partition = NULL;
    if (recovery->unknown_sequence == 0 || entry->topic == 0 || entry->partition < 0 ||
        entry->partition >= PARTITIONS_OF_A_STAND_IN || is_removed(log, entry->topic)) {
        return 0;
    }
    if (!topic) {
        char name[48];
        struct uuid id;
        snprintf(name, sizeof name, "recovered-%" PRIu32, entry->topic);
        while (topic_log_find(log, span_text(name)) && strlen(name) + 1 < sizeof name) {
            strcat(name, "-"); /* somebody has called a topic so */
        }
        uuid_v4(log->config.random, &id);
        topic = topic_new(log, span_text(name), &id, entry->topic, entry->partition + 1);
        if (!topic) {
            return err_origin(-ENOMEM);
        }
        topic->created_durable = true;
        int r = registry_insert(log, topic);
        if (r) {
            topic_free(topic);
            return err_trace(r);
        }
        log->registry_state.wanted = true; /* no record of the registry has it */
        recovery_report(recovery, TOPIC_LOG_DAMAGED,
                        "the creation of topic number %" PRIu32
                        " was in a frame that is lost: its records are kept as topic %s",
                        entry->topic, name);
    }
    int r = registry_widen(log, topic, entry->partition + 1);
    if (!r) {
        *ret_partition = topic_partition(topic, entry->partition);
    }
    return r;
}

/* ---- one frame ---- */

/* What is missing before @item: segments may have it. */
static int replay_gap(struct recovery *recovery, struct log_partition *partition,
                      const struct replayed *item) {
    const struct frame_entry *entry = &item->entry;
    int r = replay_write(recovery);
    r = r ? r : replay_fill(recovery, partition, entry);
    int64_t end = partition->public.log_end_offset;
    bool left_out = recovery->holes_expected && open_end_is_jump(entry->base_offset) &&
                    item->batch.leader_epoch > partition->public.leader_epoch &&
                    partition->unread_from != end + 1;
    if (!r && end < entry->base_offset) {
        r = left_out ? open_end_left_out(recovery, partition, end, entry->base_offset)
                     : replay_note_lost(recovery, partition, entry->base_offset);
    }
    return r;
}

static int replay_batch(struct recovery *recovery, struct log_partition *partition,
                        const struct replayed *item, uint64_t sequence, int64_t now_ms) {
    const struct frame_entry *entry = &item->entry;
    int64_t end = partition->public.log_end_offset;
    int r = 0;
    if (!item->data || record_batch_end(&item->batch) <= end) {
        return item->data ? replay_fill_hole(recovery, partition, item) : 0;
    }
    if (entry->base_offset > end) {
        r = replay_gap(recovery, partition, item);
    }
    const struct segment_piece piece = {
        .batch = span_of(item->data, entry->bytes),
        .position = entry->position,
        .base_offset = entry->base_offset,
        .max_timestamp_ms = item->batch.max_timestamp_ms,
    };
    r = r ? r
          : recovery_take_over(partition, entry->segment_base, entry->position, &item->batch,
                               now_ms);
    return r ? r : replay_write_later(recovery, partition, entry->segment_base, &piece, sequence);
}

/* @items: of one partition, from a frame with @sequence, in their order */
static int replay_partition(struct recovery *recovery, const struct replayed *items, unsigned count,
                            uint64_t sequence) {
    struct log_partition *partition = replay_partition_of(recovery, &items[0].entry);
    int64_t now_ms = clock_wall_ms(recovery->log->config.clock);
    int r = 0;
    if (!partition && (r = stand_in(recovery, &items[0].entry, &partition)) != 0) {
        return r;
    }
    if (!partition) {
        return 0; /* deleted further on */
    }
    recovery_pass_start(partition);
    for (unsigned i = 0; i < count && !r; i++) {
        r = replay_batch(recovery, partition, &items[i], sequence, now_ms);
    }
    return r;
}

static int read_entries(struct recovery *recovery, const struct found_frame *frame, uint64_t got,
                        struct replayed *items) {
    for (uint32_t i = 0; i < frame->header.entry_count; i++) {
        struct replayed *item = &items[i];
        bool holds = replay_item(recovery, frame, got, i, item);
        const struct frame_entry *entry = &item->entry;
        recovery->log->next_number = MAX(recovery->log->next_number, entry->topic + 1);
        if (holds && entry->topic == 0) {
            const struct span batch = span_of(item->data, entry->bytes);
            int r = registry_takes_away(batch) ? replay_write(recovery) : 0;
            r = r ? r : replay_registry(recovery, batch, frame->header.sequence);
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

static int replay_frame(struct recovery *recovery, const struct found_frame *frame) {
    uint64_t got = 0;
    int r = recovery_has_room(recovery, frame) ? 0 : replay_make_room(recovery);
    r = r ? r : recovery_load(recovery, frame, &got);
    if (r) {
        return err_trace(r);
    }
    uint32_t count = frame->header.entry_count;
    struct replayed *items = calloc(MAX(count, 1u), sizeof *items);
    if (!items) {
        return err_origin(-ENOMEM);
    }
    r = read_entries(recovery, frame, got, items);
    if (!r && count > 1) {
        qsort(items, count, sizeof *items, compare_replayed);
    }
    for (uint32_t i = 0; i < count && !r;) {
        uint32_t n = 1;
        while (i + n < count && items[i + n].entry.topic == items[i].entry.topic &&
               items[i + n].entry.partition == items[i].entry.partition) {
            n++;
        }
        r = replay_partition(recovery, &items[i], n, frame->header.sequence);
        i += n;
    }
    free(items);
    recovery_keep(recovery, frame);
    recovery->replayed_frames++;
    recovery->replayed_bytes += frame_bytes_of_body(frame->header.body_bytes);
    return r;
}

/* ---- bad frames ---- */

/* Whether the segment has one of the batches that the bad last frame names: then it was durable. */
static bool proven_durable(struct recovery *recovery, const struct found_frame *frame) {
    uint64_t got = 0;
    if (recovery_load(recovery, frame, &got)) {
        return false;
    }
    for (uint32_t i = 0; i < frame->header.entry_count; i++) {
        uint64_t at = FRAME_HEADER_BYTES + (uint64_t)i * FRAME_ENTRY_BYTES;
        struct frame_entry entry;
        if (at + FRAME_ENTRY_BYTES > got) {
            break;
        }
        frame_entry_read(recovery->buffer + at, &entry);
        struct log_partition *partition = replay_partition_of(recovery, &entry);
        if (!partition || entry.base_offset != partition->public.log_end_offset) {
            continue;
        }
        if (replay_is_in_segment(recovery, &entry)) {
            return true;
        }
    }
    return false;
}

/*
 * The batch is proven by its checksum, the entry of a bad frame by nothing: where the batch goes on
 * at the log end, its place follows from the state. Both fields say it where it begins a segment;
 * where they contradict each other, one that names the place behind the last batch is believed, and
 * if none does, one that tells of a new segment.
 */
static void place_entry(const struct log_partition *partition, struct frame_entry *entry) {
    bool rolls = entry->segment_base == entry->base_offset;
    bool joins = entry->position == partition->writer_position && (entry->position > 0 || !rolls);
    bool begins = rolls || entry->position == 0;
    bool goes_on = partition->writer_base >= 0 &&
                   (entry->segment_base == partition->writer_base || joins || !begins);
    if (entry->base_offset == partition->public.log_end_offset) {
        entry->segment_base = goes_on ? partition->writer_base : entry->base_offset;
        entry->position = goes_on ? partition->writer_position : 0;
    }
}

/* What a bad frame that was durable still gives: from itself, then from the segments. */
static int salvage(struct recovery *recovery, const struct found_frame *frame) {
    uint64_t got = 0;
    int r = recovery_load(recovery, frame, &got);
    if (r) {
        return err_trace(r);
    }
    uint64_t need = FRAME_HEADER_BYTES + (uint64_t)frame->header.body_bytes;
    recovery_report(recovery, TOPIC_LOG_MENDED,
                    "frame %" PRIu64 " of the journal is damaged; its batches are taken one by one",
                    frame->header.sequence);
    recovery->changed = true;
    /* Entries may be damaged too: whatever is not found by them counts as unknown. */
    uint32_t count = replay_entries(frame, got);
    if (got < need) { /* cut off: what is left of it may be right */
        recovery->unknown_sequence = frame->header.sequence;
    }
    for (uint32_t i = 0; i < count && !r; i++) {
        struct replayed item;
        bool holds = replay_item(recovery, frame, got, i, &item);
        const struct frame_entry entry = item.entry;
        struct log_partition *partition = replay_partition_of(recovery, &entry);
        bool known = partition && entry.base_offset < partition->public.log_end_offset;
        if (partition && holds) {
            item.doubtful = got >= need;
            place_entry(partition, &item.entry);
            if (entry.topic == 0 && !known) {
                r = replay_registry(recovery, span_of(item.data, entry.bytes),
                                    frame->header.sequence);
            }
            r = r ? r : replay_partition(recovery, &item, 1, frame->header.sequence);
            r = r ? r : replay_write(recovery);
            continue;
        }
        if (!partition || known) {
            recovery->unknown_sequence = frame->header.sequence;
            continue;
        }
        struct segment_id id = {entry.topic, entry.partition, entry.segment_base};
        uint8_t *data =
            replay_segment_batch(recovery, &id, entry.position, entry.base_offset, &item.batch);
        if (data) {
            if (entry.topic == 0) {
                r = replay_registry(recovery, span_of(data, item.batch.total_bytes),
                                    frame->header.sequence);
            }
            r = r ? r
                  : recovery_take_over(partition, entry.segment_base, entry.position, &item.batch,
                                       clock_wall_ms(recovery->log->config.clock));
        } else {
            recovery->unknown_sequence = frame->header.sequence;
        }
        free(data);
    }
    return r;
}

/* The last frame of the replay stands for every partition that it names. */
static void note_proven(struct recovery *recovery, const struct found_frame *frame) {
    const uint8_t *body = recovery->buffer + FRAME_HEADER_BYTES;
    bool missing = recovery->unknown_sequence > 0 || recovery->holes_expected;
    for (uint32_t i = 0; missing && i < frame->header.entry_count; i++) {
        struct frame_entry entry;
        frame_entry_read(body + (size_t)i * FRAME_ENTRY_BYTES, &entry);
        struct log_partition *partition = replay_partition_of(recovery, &entry);
        if (partition) {
            partition->proven_sequence = frame->header.sequence;
        }
    }
}

static uint64_t bytes_of_frames(const struct recovery *recovery) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < recovery->frame_count; i++) {
        bytes += frame_bytes_of_body(recovery->frames[i].header.body_bytes);
    }
    return bytes;
}

int recovery_replay(struct recovery *recovery) {
    int r = recovery_reserve(recovery,
                             MIN(bytes_of_frames(recovery), recovery->log->limits.replay_bytes));
    recovery->read_ahead = true;
    for (size_t i = 0; i < recovery->frame_count && !r; i++) {
        const struct found_frame *frame = &recovery->frames[i];
        uint64_t sequence = frame->header.sequence;
        if (sequence <= recovery->sequence) {
            continue; /* a second copy */
        }
        bool durable = sequence <= recovery->synced_through || frame->file->cut;
        if (recovery->holes_expected) {
            recovery_pass_covered(recovery, sequence);
        }
        if (sequence > recovery->sequence + 1) {
            if (recovery->sequence + 1 > recovery->synced_through) {
                break; /* behind the torn tail: nobody was told of it */
            }
            replay_note_missing(recovery, sequence - 1);
            r = replay_write(recovery);
            r = r ? r : replay_catch_up_registry(recovery);
        }
        if (!r && !frame->valid) {
            r = replay_make_room(recovery);
        }
        if (r) {
            break;
        }
        if (frame->valid) {
            r = replay_frame(recovery, frame);
            if (!r) {
                note_proven(recovery, frame);
                recovery->last = frame;
            }
        } else if (durable || proven_durable(recovery, frame)) {
            r = replay_write(recovery);
            r = r ? r : salvage(recovery, frame);
            r = r ? r : replay_catch_up_registry(recovery);
        } else {
            recovery->torn = frame;
            break;
        }
        recovery->sequence = sequence;
    }
    r = r ? r : replay_make_room(recovery);
    if (!r && recovery->holes_expected) {
        r = replay_fill_holes(recovery);
    }
    if (!r) {
        replay_note_missing_file(recovery);
        replay_note_cut_files(recovery);
    }
    if (!r && recovery->unknown_sequence > 0) {
        r = replay_write(recovery);
        r = r ? r : replay_catch_up_registry(recovery);
        r = r ? r : replay_raise_unproven(recovery);
    }
    return r;
}
