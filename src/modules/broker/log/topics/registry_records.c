/*
 * Records of the registry. A record's key names its type for people; its value, little-endian,
 * begins with u8 type, u8 version:
 *
 *   1 topic_created      u32 number, 16 uuid, u8 flags (1 internal, 2 declared), i32 partitions,
 *                        u16 length and name, configs: u16 count, then pairs of u16 length and text
 *   2 topic_deleted      u32 number
 *   3 producer_ids       i64 end: ids below it may have been given out
 *   4 topic_configured   u32 number, configs as in 1: all that the topic sets from here on
 *   5 partitions_added   u32 number, i32 partitions: how many there are from now on
 *   6 log_start          u32 number, i32 partition, i64 log start offset, i64 keep: segments that
 *                        begin below this offset are gone
 *   7 segments_swapped   swap.h
 *   8 registry_state     registry_state.c
 *
 * Applying a record twice changes nothing, but an earlier one after a later one would: a replay
 * passes over those that the registry's log has already. One that names a topic which is not there
 * is about a topic deleted further on, and is passed over.
 *
 * Files of a deleted topic, and of segments that are gone, stay until the older of two checkpoints
 * covers the frame of the record, since a replay from there may write them once more (removal.c).
 */
#include "compaction/swap.h"
#include "fields.h"
#include "log_private.h"
#include "partition.h"
#include "registry.h"
#include "retention/removal.h"

#include <errno.h>
#include <stdlib.h>

enum { TOPIC_INTERNAL = 1, TOPIC_DECLARED = 2, PARTITIONS_MAX = 1 << 20 };

void registry_topic_encode(struct text *out, const struct topic *topic, int32_t partition_count,
                           const struct topic_config *config) {
    fields_put(out, topic->number, 4);
    text_append(out, topic->id.bytes, sizeof topic->id.bytes);
    fields_put(out, (topic->internal ? TOPIC_INTERNAL : 0) | (topic->declared ? TOPIC_DECLARED : 0),
               1);
    fields_put(out, (uint32_t)partition_count, 4);
    fields_put_text(out, span_text(topic->name));
    registry_config_encode(out, config);
}

int registry_topic_decode(struct topic_log *log, struct fields *fields,
                          struct log_topic **ret_topic) {
    struct fields in = *fields;
    uint32_t number = get_le32(fields_take(&in, 4));
    struct uuid id;
    memcpy(id.bytes, fields_take(&in, sizeof id.bytes), sizeof id.bytes);
    unsigned flags = *fields_take(&in, 1);
    int32_t partition_count = (int32_t)get_le32(fields_take(&in, 4));
    struct span name = fields_take_text(&in);
    if (in.failed || !topic_name_valid(name) || partition_count < 1 ||
        partition_count > PARTITIONS_MAX) {
        return err_origin(BROKER_E_CORRUPT);
    }
    struct log_topic *topic = topic_new(log, name, &id, number, partition_count);
    if (!topic) {
        return err_origin(-ENOMEM);
    }
    topic->public.internal = flags & TOPIC_INTERNAL;
    topic->public.declared = flags & TOPIC_DECLARED;
    topic->created_durable = true;
    int r = registry_config_decode(&in, &topic->public.config);
    if (r) {
        topic_free(topic);
        return err_trace(r);
    }
    *fields = in;
    *ret_topic = topic;
    return 0;
}

static int apply_topic_created(struct topic_log *log, struct fields *in) {
    struct log_topic *topic;
    int r = registry_topic_decode(log, in, &topic);
    if (r) {
        return r;
    }
    /* Not by next_number: a checkpoint has it from creations that are still on their way. */
    if (registry_by_number(log, topic->public.number)) {
        topic_free(topic);
        return 0;
    }
    r = registry_insert(log, topic);
    if (r) {
        topic_free(topic);
    }
    return r;
}

static int apply_topic_deleted(struct topic_log *log, struct fields *in, uint64_t sequence) {
    struct log_topic *topic = registry_by_number(log, (uint32_t)fields_get(in, 4));
    if (!topic || in->failed) {
        return 0;
    }
    registry_remove(log, topic);
    int r = removal_add_topic(log, topic, sequence);
    registry_forget(log, topic);
    return r;
}

int registry_widen(struct topic_log *log, struct log_topic *topic, int32_t count) {
    if (count <= topic->public.partition_count) {
        return 0;
    }
    if (count > PARTITIONS_MAX) {
        return err_origin(BROKER_E_CORRUPT);
    }
    struct partition_block *block;
    int r = topic_reserve(topic, count, &block);
    if (r) {
        return err_trace(r);
    }
    log->partition_total += (uint32_t)block->count;
    topic_grow(topic, block);
    topic->durable_partitions = count;
    return 0;
}

static int apply_partitions_added(struct topic_log *log, struct fields *in) {
    struct log_topic *topic = registry_by_number(log, (uint32_t)fields_get(in, 4));
    int32_t count = (int32_t)fields_get(in, 4);
    return !topic || in->failed ? 0 : registry_widen(log, topic, count);
}

static int apply_log_start(struct topic_log *log, struct fields *in, uint64_t sequence) {
    struct log_topic *topic = registry_by_number(log, (uint32_t)fields_get(in, 4));
    int32_t index = (int32_t)fields_get(in, 4);
    int64_t offset = (int64_t)fields_get(in, 8);
    int64_t keep = (int64_t)fields_get(in, 8);
    struct partition *public = topic ? partition_get(&topic->public, index) : NULL;
    if (!public || in->failed) {
        return 0;
    }
    struct log_partition *partition = log_partition_of(public);
    if (partition->writer_base < keep) {
        partition->writer_base = -1; /* that segment is gone: the next batch begins another */
        partition->writer_position = 0;
    }
    return partition_move_log_start(log, partition, offset, keep, sequence);
}

static int apply_record(struct topic_log *log, struct span value, int64_t offset,
                        uint64_t sequence) {
    const uint8_t *bytes = value.data;
    if (value.size < 2 || bytes[0] == 0 || bytes[1] == 0) {
        return err_origin(BROKER_E_CORRUPT);
    }
    if (bytes[1] > REGISTRY_VERSION) {
        return err_origin(BROKER_E_NEWER);
    }
    struct fields in = fields_of(span_of(bytes + 2, value.size - 2));
    int r = 0;
    switch ((enum registry_type)bytes[0]) {
    case REGISTRY_TOPIC_CREATED:
        return apply_topic_created(log, &in);
    case REGISTRY_TOPIC_DELETED:
        r = apply_topic_deleted(log, &in, sequence);
        break;
    case REGISTRY_PRODUCER_IDS: {
        int64_t end = (int64_t)fields_get(&in, 8);
        log->producer_durable_end = MAX(log->producer_durable_end, end);
        break;
    }
    case REGISTRY_PARTITIONS_ADDED:
        r = apply_partitions_added(log, &in);
        break;
    case REGISTRY_LOG_START:
        r = apply_log_start(log, &in, sequence);
        break;
    case REGISTRY_TOPIC_CONFIGURED:
        return registry_config_apply(log, span_of(bytes + 2, value.size - 2));
    case REGISTRY_SEGMENTS_SWAPPED:
        return swap_apply(log, &in);
    case REGISTRY_STATE:
        return registry_state_apply(log, &in, offset, sequence);
    default:
        return err_origin(BROKER_E_NEWER); /* the batch's CRC is right: it is no rot */
    }
    return r ? r : in.failed ? err_origin(BROKER_E_CORRUPT) : 0;
}

static bool takes_away(struct span value) {
    const uint8_t *bytes = value.data;
    switch (value.size > 0 ? bytes[0] : 0) {
    case REGISTRY_TOPIC_CREATED:
    case REGISTRY_PRODUCER_IDS:
    case REGISTRY_PARTITIONS_ADDED:
    case REGISTRY_TOPIC_CONFIGURED:
        return false;
    default:
        return true;
    }
}

bool registry_takes_away(struct span batch) {
    struct record_iterator it;
    struct record record;
    bool found = false;
    int r = record_iterator_init(&it, batch);
    if (r) {
        return true;
    }
    while (!found && (r = record_iterator_next(&it, &record)) == 1) {
        found = takes_away(record.value);
    }
    record_iterator_deinit(&it);
    return found || r != 0;
}

int registry_apply(struct topic_log *log, struct span batch, uint64_t sequence) {
    struct record_iterator it;
    struct record record;
    int r = record_iterator_init(&it, batch);
    if (r) {
        return r;
    }
    /* A start without checkpoint has read the segments before it comes by the frames: an old record
     * would bring back what a later one has ended. */
    if (sequence > 0 &&
        it.batch.base_offset < log->registry->public.partitions[0]->log_end_offset) {
        record_iterator_deinit(&it);
        return 0;
    }
    while ((r = record_iterator_next(&it, &record)) == 1) {
        r = apply_record(log, record.value, it.batch.base_offset, sequence);
        if (r) {
            break;
        }
    }
    record_iterator_deinit(&it);
    return r;
}
