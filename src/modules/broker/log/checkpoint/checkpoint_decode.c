/*
 * Bytes of a checkpoint to a state: the full one, then each increment over it. What an increment
 * says of a topic or partition takes the place of what was known; of journal, numbers, removals and
 * swaps the last record alone counts, and only its swaps are carried out.
 */
#include "checkpoint.h"
#include "compaction/swap.h"
#include "compaction/swap_run.h"
#include "fields.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "retention/removal.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdlib.h>

/* The record in hand. */
struct record_in {
    struct fields in;
    unsigned version;
    bool last;
};

/* ---- journal, numbers, what is pending ---- */

static int decode_journal(struct topic_log *log, struct fields *in, uint32_t *ret_file_id,
                          uint64_t *ret_position) {
    *ret_file_id = (uint32_t)fields_get(in, 4);
    *ret_position = fields_get(in, 8);
    uint32_t count = (uint32_t)fields_get(in, 4);
    if (count > JOURNAL_FILES_MAX) {
        return err_origin(BROKER_E_CORRUPT);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)fields_get(in, 4);
        (void)fields_get(in, 8); /* the size on disk is what counts */
        uint64_t last_sequence = fields_get(in, 8);
        /* One that is missing stays missing: its name is not given to another. */
        log->next_file_id = MAX(log->next_file_id, id + 1);
        for (unsigned f = 0; f < log->file_count; f++) {
            if (log->files[f]->id == id) {
                log->files[f]->last_sequence = last_sequence;
            }
        }
    }
    return 0;
}

/* Version 1 knew deleted topics alone. */
static int decode_removal(struct topic_log *log, unsigned version, struct fields *in) {
    struct pending_removal removal = {.number = (uint32_t)fields_get(in, 4), .partition = -1};
    if (version == 1) {
        removal.partition_count = (int32_t)fields_get(in, 4);
    } else {
        removal.partition = (int32_t)fields_get(in, 4);
        removal.base_offset = (int64_t)fields_get(in, 8);
    }
    removal.sequence = fields_get(in, 8);
    return in->failed ? err_origin(BROKER_E_CORRUPT) : removal_add(log, &removal);
}

static int decode_numbers(struct topic_log *log, struct fields *in) {
    uint32_t next_number = (uint32_t)fields_get(in, 4);
    log->producer_durable_end = (int64_t)fields_get(in, 8);
    log->next_number = MAX(log->next_number, next_number);
    return 0;
}

static int decode_removals(struct topic_log *log, unsigned version, struct fields *in) {
    log->removal_count = 0;
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        int r = decode_removal(log, version, in);
        if (r) {
            return r;
        }
    }
    return 0;
}

/* Of an earlier record: files of its swaps may long be others. */
static int pass_swaps(struct fields *in) {
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        struct swap *swap;
        int r = swap_decode(in, &swap);
        if (r) {
            return r;
        }
        swap_free(swap);
    }
    return 0;
}

static int decode_swaps(struct topic_log *log, struct record_in *record) {
    if (record->version < CHECKPOINT_WITH_SWAPS) {
        return 0;
    }
    return record->last ? swap_decode_pending(log, &record->in) : pass_swaps(&record->in);
}

/* ---- topics ---- */

/* @now takes the place of @topic, which is the same one earlier. */
static int replace_topic(struct topic_log *log, struct log_topic *topic, struct log_topic *now) {
    struct topic_config before = topic->public.config;
    topic->public.config = now->public.config;
    now->public.config = before;
    topic->public.internal = now->public.internal;
    topic->public.declared = now->public.declared;
    return registry_widen(log, topic, now->public.partition_count);
}

static int decode_topics(struct topic_log *log, struct fields *in) {
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        struct log_topic *topic;
        int r = registry_topic_decode(log, in, &topic);
        if (r) {
            return r;
        }
        struct log_topic *known = registry_by_number(log, topic->public.number);
        r = known ? replace_topic(log, known, topic) : registry_insert(log, topic);
        if (known || r) {
            topic_free(topic);
        }
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

/* A topic that came and went between two records is not known here. */
static int decode_gone(struct topic_log *log, struct fields *in) {
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        struct log_topic *topic = registry_by_number(log, (uint32_t)fields_get(in, 4));
        if (topic && topic != log->registry && !in->failed) {
            registry_remove(log, topic);
            registry_forget(log, topic);
        }
    }
    return 0;
}

/* ---- partitions ---- */

static void forget_partition(struct log_partition *partition) {
    producers_free(partition->producers);
    free(partition->epochs);
    free(partition->damage);
    partition->producers = NULL;
    partition->epochs = NULL;
    partition->damage = NULL;
    partition->segment_count = partition->epoch_count = partition->damage_count = 0;
    partition->cleaned_to = partition->tombstones_due_ms = 0;
    partition->writer_base = -1;
    partition->writer_position = 0;
}

/* How many elements of at least @bytes can still follow; a count beyond it is not believed. */
static uint32_t get_count(struct fields *in, size_t bytes) {
    uint64_t count = fields_get(in, 4);
    if (count * bytes > (size_t)(in->end - in->at)) {
        in->failed = true;
        return 0;
    }
    return (uint32_t)count;
}

static int decode_lists(struct log_partition *partition, unsigned version, struct fields *in) {
    for (uint32_t n = get_count(in, version == 1 ? 24 : 48); n > 0; n--) {
        struct log_segment *segment;
        int r = partition_segment_at(partition, (int64_t)fields_get(in, 8), &segment);
        if (r) {
            return r;
        }
        segment->bytes = segment->written_bytes = fields_get(in, 8);
        segment->max_timestamp_ms = (int64_t)fields_get(in, 8);
        if (version == 1) {
            /* Nobody wrote down when: counted from this start on. */
            segment->created_ms = segment->appended_ms =
                clock_wall_ms(partition->topic->log->config.clock);
            continue;
        }
        segment->first_timestamp_ms = (int64_t)fields_get(in, 8);
        segment->created_ms = (int64_t)fields_get(in, 8);
        segment->appended_ms = (int64_t)fields_get(in, 8);
    }
    uint32_t epochs = get_count(in, 12);
    partition->epochs = epochs ? calloc(epochs, sizeof *partition->epochs) : NULL;
    if (epochs && !partition->epochs) {
        return err_origin(-ENOMEM);
    }
    for (; partition->epoch_count < epochs; partition->epoch_count++) {
        int32_t epoch = (int32_t)fields_get(in, 4);
        partition->epochs[partition->epoch_count] =
            (struct epoch_start){epoch, (int64_t)fields_get(in, 8)};
    }
    for (uint32_t n = get_count(in, 16); n > 0; n--) {
        int64_t from = (int64_t)fields_get(in, 8);
        int r = partition_damage_add(partition, from, (int64_t)fields_get(in, 8));
        if (r) {
            return r;
        }
    }
    if (version >= CHECKPOINT_WITH_SWAPS && fields_get(in, 1)) {
        partition->cleaned_to = (int64_t)fields_get(in, 8);
        partition->tombstones_due_ms = (int64_t)fields_get(in, 8);
    }
    return producers_decode(in, partition->public.high_watermark, &partition->topic->log->producers,
                            &partition->producers);
}

static int decode_partition(struct topic_log *log, unsigned version, struct fields *in) {
    struct log_topic *topic = registry_by_number(log, (uint32_t)fields_get(in, 4));
    struct partition *public =
        topic ? partition_get(&topic->public, (int32_t)fields_get(in, 4)) : NULL;
    if (!public) {
        return err_origin(BROKER_E_CORRUPT);
    }
    struct log_partition *partition = log_partition_of(public);
    forget_partition(partition);
    public->log_start_offset = (int64_t)fields_get(in, 8);
    public->high_watermark = public->log_end_offset = (int64_t)fields_get(in, 8);
    public->leader_epoch = (int32_t)fields_get(in, 4);
    int r = decode_lists(partition, version, in);
    if (r) {
        return r;
    }
    if (partition->segment_count > 0) {
        const struct log_segment *last = &partition->segments[partition->segment_count - 1];
        partition->writer_base = last->base_offset;
        partition->writer_position = last->bytes;
        partition->writer_created_ms = last->created_ms;
        partition->writer_first_ms = last->first_timestamp_ms;
    }
    return 0;
}

/* ---- a record, all records ---- */

static int decode_record(struct topic_log *log, struct record_in *record, uint32_t *ret_file_id,
                         uint64_t *ret_position) {
    struct fields *in = &record->in;
    bool old = record->version < CHECKPOINT_WITH_INCREMENTS;
    int r = decode_journal(log, in, ret_file_id, ret_position);
    r = r ? r : decode_numbers(log, in);
    r = r || !old ? r : decode_topics(log, in);
    r = r ? r : decode_removals(log, record->version, in);
    r = r ? r : decode_swaps(log, record);
    r = r || old ? r : decode_gone(log, in);
    r = r || old ? r : decode_topics(log, in);
    while (!r && !in->failed && in->at < in->end) {
        r = decode_partition(log, record->version, in);
    }
    return r ? r : in->failed ? err_origin(BROKER_E_CORRUPT) : 0;
}

int checkpoint_decode(struct topic_log *log, struct span image, uint32_t *ret_file_id,
                      uint64_t *ret_position) {
    struct record_in record;
    struct span body;
    size_t at = 0;
    int r = 0;
    while (!r && checkpoint_record(image, &at, &record.version, &body)) {
        record.in = fields_of(body);
        record.last = at >= image.size;
        r = decode_record(log, &record, ret_file_id, ret_position);
    }
    return r;
}
