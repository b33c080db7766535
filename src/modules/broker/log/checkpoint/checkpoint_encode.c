/*
 * The state of the loop as bytes of a checkpoint, exactly as of one frame although it takes several
 * turns of the loop: with 10,000 partitions a turn must not pay for all of them.
 *
 * checkpoint_encode_begin() runs between two frames and encodes what is small. Topics and
 * partitions follow in parts, while later frames become durable. Whoever is about to change one
 * calls checkpoint_changes() first: one that is not encoded yet is encoded then and there, as it
 * still is, so what a later frame does never gets into this checkpoint. A frame thus pays at most
 * for the partitions that it names itself.
 *
 * The same call marks what has changed. Each checkpoint begins a turn, a number that rises;
 * changed_turn of a partition is the last in which it changed, encoded_turn the last in which it
 * was encoded, or found to have nothing to say. What a file has is everything that changed before
 * slot.turn, so its next increment holds what has changed_turn >= slot.turn. Those partitions are
 * in the list `changed`. An increment moves the whole list to `todo` and takes it from there one by
 * one; what the other file lacks, too, goes back to `changed`.
 *
 * Changes of producers that are in flight, and of what no checkpoint holds, need no call: only what
 * is durable is encoded (producer_durable()).
 */
#include "checkpoint.h"
#include "compaction/swap_run.h"
#include "fields.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "retention/removal.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdlib.h>

/* ---- bytes ---- */

static void encode_journal(const struct topic_log *log, struct text *out) {
    fields_put(out, log->current ? log->current->id : UINT32_MAX, 4);
    fields_put(out, log->current ? log->current->used : 0, 8);
    fields_put(out, log->file_count, 4);
    for (unsigned i = 0; i < log->file_count; i++) {
        fields_put(out, log->files[i]->id, 4);
        fields_put(out, log->files[i]->size, 8);
        fields_put(out, log->files[i]->last_sequence, 8);
    }
}

static void encode_removals(const struct topic_log *log, struct text *out) {
    fields_put(out, log->removal_count, 4);
    for (uint32_t i = 0; i < log->removal_count; i++) {
        fields_put(out, log->removals[i].number, 4);
        fields_put(out, (uint32_t)log->removals[i].partition, 4);
        fields_put(out, (uint64_t)log->removals[i].base_offset, 8);
        fields_put(out, log->removals[i].sequence, 8);
    }
}

static void encode_partition(const struct log_partition *partition, struct text *out) {
    const struct partition *public = &partition->public;
    fields_put(out, partition->topic->public.number, 4);
    fields_put(out, (uint32_t) public->index, 4);
    fields_put(out, (uint64_t) public->log_start_offset, 8);
    fields_put(out, (uint64_t) public->high_watermark, 8);
    fields_put(out, (uint32_t) public->leader_epoch, 4);
    fields_put(out, partition->segment_count, 4);
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        fields_put(out, (uint64_t)segment->base_offset, 8);
        fields_put(out, segment->bytes, 8);
        fields_put(out, (uint64_t)segment->max_timestamp_ms, 8);
        fields_put(out, (uint64_t)segment->first_timestamp_ms, 8);
        fields_put(out, (uint64_t)segment->created_ms, 8);
        fields_put(out, (uint64_t)segment->appended_ms, 8);
    }
    fields_put(out, partition->epoch_count, 4);
    for (uint32_t i = 0; i < partition->epoch_count; i++) {
        fields_put(out, (uint32_t)partition->epochs[i].epoch, 4);
        fields_put(out, (uint64_t)partition->epochs[i].start_offset, 8);
    }
    fields_put(out, partition->damage_count, 4);
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        fields_put(out, (uint64_t)partition->damage[i].from, 8);
        fields_put(out, (uint64_t)partition->damage[i].to, 8);
    }
    bool compacted = partition->cleaned_to > 0;
    fields_put(out, compacted, 1);
    if (compacted) {
        fields_put(out, (uint64_t)partition->cleaned_to, 8);
        fields_put(out, (uint64_t)partition->tombstones_due_ms, 8);
    }
    (void)producers_encode(partition->producers, public->high_watermark, out);
}

/* ---- one at a time ---- */

/* A change that is not durable yet belongs to a later frame. */
static bool topic_counts(const struct log_topic *topic) {
    return topic->created_durable && !topic->deleted_durable && topic->public.number != 0;
}

static void encode_topic_once(struct topic_log *log, struct log_topic *topic) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    if (topic->encoded_turn == checkpoint->turn) {
        return;
    }
    topic->encoded_turn = checkpoint->turn;
    if (topic_counts(topic)) {
        registry_topic_encode(&checkpoint->body.topics, &topic->public, topic->durable_partitions,
                              &topic->public.config);
        checkpoint->topic_count++;
    }
}

static void encode_partition_once(struct topic_log *log, struct log_partition *partition) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    const struct log_topic *topic = partition->topic;
    if (partition->encoded_turn == checkpoint->turn) {
        return;
    }
    partition->encoded_turn = checkpoint->turn;
    bool counts = topic_counts(topic) || topic == log->registry;
    bool tells = partition->public.high_watermark > 0 || partition->epoch_count > 0;
    if (counts && tells && partition->public.index < topic->durable_partitions) {
        encode_partition(partition, &checkpoint->body.partitions);
    }
}

/* ---- who changes ---- */

/* Whether an increment to the file in turn has to hold what has changed last in @changed_turn. */
static bool is_missing(const struct topic_log *log, uint32_t changed_turn) {
    return changed_turn >= log->checkpoint.slots[log->next_slot].turn;
}

static bool is_due(const struct topic_log *log, const struct list *link, uint32_t changed_turn) {
    const struct checkpoint_state *checkpoint = &log->checkpoint;
    return checkpoint->encoding &&
           (checkpoint->full || (list_linked(link) && is_missing(log, changed_turn)));
}

void checkpoint_partition_changes(struct topic_log *log, struct log_partition *partition) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    if (partition->topic->deleted_durable) {
        return;
    }
#ifndef MUTANT_CHECKPOINT_FRAME
    if (checkpoint->encoding) {
        if (is_due(log, &partition->changed_link, partition->changed_turn)) {
            encode_partition_once(log, partition);
        }
        partition->encoded_turn = checkpoint->turn; /* from here on it is that of a later frame */
    }
#endif
    partition->changed_turn = checkpoint->turn;
    list_remove(&partition->changed_link);
    list_push_back(&checkpoint->changed, &partition->changed_link);
}

void checkpoint_topic_changes(struct topic_log *log, struct log_topic *topic) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    if (topic->changed_turn == checkpoint->turn) {
        return;
    }
    if (checkpoint->encoding) {
        if (is_due(log, &topic->changed_link, topic->changed_turn)) {
            encode_topic_once(log, topic);
        }
        topic->encoded_turn = checkpoint->turn;
    }
    topic->changed_turn = checkpoint->turn;
    list_remove(&topic->changed_link);
    list_push_back(&checkpoint->changed_topics, &topic->changed_link);
}

static void note_gone(struct topic_log *log, uint32_t number) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    if (checkpoint->gone_count == checkpoint->gone_capacity) {
        uint32_t capacity = checkpoint->gone_capacity ? checkpoint->gone_capacity * 2 : 16;
        void *grown = realloc(checkpoint->gone, capacity * sizeof *checkpoint->gone);
        if (!grown) {
            /* What cannot be said in an increment is said by a full one. */
            checkpoint->slots[0].appendable = checkpoint->slots[1].appendable = false;
            return;
        }
        checkpoint->gone = grown;
        checkpoint->gone_capacity = capacity;
    }
    checkpoint->gone[checkpoint->gone_count++] = (struct checkpoint_gone){number, checkpoint->turn};
}

void checkpoint_topic_goes(struct topic_log *log, struct log_topic *topic) {
    if (log->checkpoint.encoding) {
        if (is_due(log, &topic->changed_link, topic->changed_turn)) {
            encode_topic_once(log, topic);
        }
        for (int32_t i = 0; i < topic->durable_partitions; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            if (is_due(log, &partition->changed_link, partition->changed_turn)) {
                encode_partition_once(log, partition);
            }
        }
    }
    note_gone(log, topic->public.number);
}

void checkpoint_topic_forgotten(struct topic_log *log, struct log_topic *topic) {
    if (log->checkpoint.next_topic == topic) {
        struct list *next = topic->link.next;
        log->checkpoint.next_topic =
            next == &log->topics_all ? NULL : list_entry(next, struct log_topic, link);
        log->checkpoint.next_partition = 0;
    }
    list_remove(&topic->changed_link);
    for (int32_t i = 0; i < topic->public.partition_count; i++) {
        list_remove(&topic_partition(topic, i)->changed_link);
    }
}

/* ---- in parts ---- */

static void encode_head(struct topic_log *log) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    struct text *out = &checkpoint->body.head;
    encode_journal(log, out);
    fields_put(out, log->next_number, 4);
    fields_put(out, (uint64_t)log->producer_durable_end, 8);
    encode_removals(log, out);
    swap_encode_pending(log, out);
    uint32_t gone = 0;
    size_t count_at = out->size;
    fields_put(out, 0, 4);
    for (uint32_t i = 0; i < checkpoint->gone_count && !checkpoint->full; i++) {
        if (is_missing(log, checkpoint->gone[i].turn)) {
            fields_put(out, checkpoint->gone[i].number, 4);
            gone++;
        }
    }
    if (!text_failed(out)) {
        put_le32(out->data + count_at, gone);
    }
    fields_put(out, 0, 4); /* topics, when they are counted */
}

static void clear_body(struct checkpoint_body *body) {
    text_deinit(&body->head);
    text_deinit(&body->topics);
    text_deinit(&body->partitions);
    text_init(&body->head);
    text_init(&body->topics);
    text_init(&body->partitions);
}

void checkpoint_encode_begin(struct topic_log *log, bool full) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    clear_body(&checkpoint->body);
    checkpoint->turn++;
    checkpoint->full = full;
    checkpoint->topic_count = 0;
    checkpoint->encoding = true;
    encode_head(log);
    if (full) {
        checkpoint->next_topic = list_empty(&log->topics_all)
                                     ? NULL
                                     : list_entry(log->topics_all.next, struct log_topic, link);
        checkpoint->next_partition = 0;
    } else {
        list_splice_back(&checkpoint->todo, &checkpoint->changed);
        list_splice_back(&checkpoint->todo_topics, &checkpoint->changed_topics);
    }
}

/* How much of a part is left. */
struct part {
    unsigned partitions;
    size_t bytes_until;
};

static size_t encoded_bytes(const struct checkpoint_body *body) {
    return body->topics.size + body->partitions.size;
}

static bool take_one(const struct topic_log *log, struct part *part) {
    if (part->partitions == 0 || encoded_bytes(&log->checkpoint.body) >= part->bytes_until) {
        return false;
    }
    part->partitions--;
    return true;
}

/* A full one: all topics in their order. */
static void encode_all(struct topic_log *log, struct part *part) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    while (checkpoint->next_topic && take_one(log, part)) {
        struct log_topic *topic = checkpoint->next_topic;
        encode_topic_once(log, topic);
        if (checkpoint->next_partition < topic->durable_partitions) {
            encode_partition_once(log, topic_partition(topic, checkpoint->next_partition++));
        }
        if (checkpoint->next_partition >= topic->durable_partitions) {
            struct list *next = topic->link.next;
            checkpoint->next_topic =
                next == &log->topics_all ? NULL : list_entry(next, struct log_topic, link);
            checkpoint->next_partition = 0;
        }
    }
    checkpoint->encoding = checkpoint->next_topic != NULL;
}

/* Whether the file that is not in turn lacks what has changed last in @changed_turn. */
static bool other_lacks(const struct topic_log *log, uint32_t changed_turn) {
    const struct checkpoint_slot *other = &log->checkpoint.slots[log->next_slot ^ 1];
    return other->appendable && changed_turn >= other->turn;
}

/* An increment: what is in the lists. */
static void encode_changed(struct topic_log *log, struct part *part) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    while (!list_empty(&checkpoint->todo_topics) && take_one(log, part)) {
        struct log_topic *topic =
            list_entry(list_pop_front(&checkpoint->todo_topics), struct log_topic, changed_link);
        if (is_missing(log, topic->changed_turn)) {
            encode_topic_once(log, topic);
        }
        if (other_lacks(log, topic->changed_turn)) {
            list_push_back(&checkpoint->changed_topics, &topic->changed_link);
        }
    }
    while (!list_empty(&checkpoint->todo) && take_one(log, part)) {
        struct log_partition *partition =
            list_entry(list_pop_front(&checkpoint->todo), struct log_partition, changed_link);
        if (is_missing(log, partition->changed_turn)) {
            encode_partition_once(log, partition);
        }
        if (other_lacks(log, partition->changed_turn)) {
            list_push_back(&checkpoint->changed, &partition->changed_link);
        }
    }
    checkpoint->encoding = !list_empty(&checkpoint->todo_topics) || !list_empty(&checkpoint->todo);
}

int checkpoint_encode_some(struct topic_log *log, unsigned partitions, size_t bytes) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    struct checkpoint_body *body = &checkpoint->body;
    struct part part = {partitions, bytes < SIZE_MAX / 2 ? encoded_bytes(body) + bytes : bytes};
    if (checkpoint->full) {
        encode_all(log, &part);
    } else {
        encode_changed(log, &part);
    }
    if (text_failed(&body->head) || text_failed(&body->topics) || text_failed(&body->partitions)) {
        return err_origin(-ENOMEM);
    }
    if (!checkpoint->encoding) {
        put_le32(body->head.data + body->head.size - 4, checkpoint->topic_count);
    }
    return 0;
}

int checkpoint_encode_all(struct topic_log *log) {
    checkpoint_encode_begin(log, true);
    int r = 0;
    while (!r && log->checkpoint.encoding) {
        r = checkpoint_encode_some(log, UINT32_MAX, SIZE_MAX);
    }
    if (r) {
        checkpoint_give_up(log);
    }
    return r;
}

/* ---- the end of one ---- */

/* What neither file has to be told of. */
static void prune_gone(struct checkpoint_state *checkpoint) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < checkpoint->gone_count; i++) {
        bool wanted = false;
        for (unsigned slot = 0; slot < 2; slot++) {
            wanted |= checkpoint->slots[slot].appendable &&
                      checkpoint->gone[i].turn >= checkpoint->slots[slot].turn;
        }
        if (wanted) {
            checkpoint->gone[kept++] = checkpoint->gone[i];
        }
    }
    checkpoint->gone_count = kept;
}

void checkpoint_give_up(struct topic_log *log) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    checkpoint->under_way = checkpoint->encoding = false;
    checkpoint->slots[log->next_slot].appendable = false;
    checkpoint->next_topic = NULL;
    list_splice_back(&checkpoint->changed, &checkpoint->todo);
    list_splice_back(&checkpoint->changed_topics, &checkpoint->todo_topics);
    clear_body(&checkpoint->body);
}

void checkpoint_taken(struct topic_log *log, const struct checkpoint_chain *chain) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    checkpoint->slots[log->next_slot] =
        (struct checkpoint_slot){.appendable = true, .turn = checkpoint->turn, .chain = *chain};
    log->older_sequence = log->newest_sequence;
    log->newest_sequence = chain->sequence;
    /* One of the frame that the start has ended at: the other file may say the same and be loaded.
     */
    log->early_waits &= chain->sequence <= log->recovered_sequence;
#ifdef MUTANT_INCREMENT_SLOT
    log->next_slot ^= checkpoint->full;
#else
    log->next_slot ^= 1;
#endif
    log->stats.checkpoints++;
    log->stats.checkpoint_increments += !checkpoint->full;
    log->stats.checkpoint_bytes += encoded_bytes(&checkpoint->body) + checkpoint->body.head.size;
    prune_gone(checkpoint);
    checkpoint->under_way = false;
    clear_body(&checkpoint->body);
}

void checkpoint_init(struct topic_log *log) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    checkpoint->turn = 1; /* nothing has changed in this one yet */
    list_init(&checkpoint->changed);
    list_init(&checkpoint->changed_topics);
    list_init(&checkpoint->todo);
    list_init(&checkpoint->todo_topics);
}

void checkpoint_deinit(struct topic_log *log) {
    timer_stop(&log->checkpoint.timer);
    clear_body(&log->checkpoint.body);
    free(log->checkpoint.gone);
}
