/*
 * Loading: __consumer_offsets is read from its start to the high watermark, partition by partition,
 * and the last record of each key wins. A group that was Stable is Stable again with its members,
 * each of which has a full session timeout to send its next heartbeat, so members go on without a
 * rebalance after a restart.
 */
#include "coordinator_private.h"

#include <eventbox/loop/op.h>
#include <stdlib.h>
#include <string.h>

struct load {
    struct coordinator *coordinator;
    struct topic *topic;
    int32_t partition;
    int64_t offset;
    int64_t read_end; /* high watermark when the read under way began */
    size_t position;  /* of the walk over the groups at the end */
    bool abandoned;   /* the coordinator is gone; free at the next chance */
    bool reading;
    struct partition_read read;
    struct timer next; /* the rest in a later turn: others are served meanwhile */
};

/* What a group's record, which is no larger than a batch may be, becomes in memory at the most. */
enum { LOAD_READ_BYTES = 1 << 20, RECORD_MEMORY_BYTES = 64 << 20 };

/* ---- applying records ---- */

static void restore_members(struct group *group, const struct group_metadata_value *record) {
    for (int32_t i = 0; i < record->members_count; i++) {
        const struct group_metadata_value_member *member = &record->members[i];
        struct group_protocol protocol = {record->protocol, member->subscription};
        struct group_join join = {
            .member_id = member->member_id,
            .instance_id = member->group_instance_id,
            .client_id = member->client_id,
            .client_host = member->client_host,
            .protocol_type = record->protocol_type,
            .session_timeout_ms = member->session_timeout,
            .rebalance_timeout_ms = member->rebalance_timeout,
            .protocols = &protocol,
            .protocol_count = record->protocol.data ? 1 : 0,
        };
        group_restore_member(group, &join, member->assignment);
    }
}

static void restore_group(struct coordinator *coordinator, struct span id,
                          const struct group_metadata_value *record) {
    struct group_entry *entry;
    if (group_entry_get(coordinator, id, 0, &entry) != KAFKA_NONE) {
        return;
    }
    struct group *group = entry->group;
    entry->recorded = true;
    while (!list_empty(&group->members)) { /* an older record of this group */
        group_forget_member(group, list_entry(group->members.next, struct group_member, link));
    }
    free(group->protocol);
    free(group->protocol_type);
    group->protocol =
        record->protocol.data ? strndup(record->protocol.data, record->protocol.size) : NULL;
    group->protocol_type = record->protocol_type.size > 0
                               ? strndup(record->protocol_type.data, record->protocol_type.size)
                               : NULL;
    group->generation = record->generation;
    restore_members(group, record);
    struct group_member *leader = group_member_find(group, record->leader);
    group->leader = leader ? leader : group->leader;
    group->state = group->member_count > 0 ? GROUP_STABLE : GROUP_EMPTY;
    group->state_since_ms = record->current_state_timestamp;
}

/* The group is gone; its offsets have records of their own. */
static void forget_group(struct group_entry *entry) {
    struct group *group = entry->group;
    while (!list_empty(&group->members)) {
        group_forget_member(group, list_entry(group->members.next, struct group_member, link));
    }
    if (entry->offsets.count == 0) {
        group_entry_remove(entry);
        return;
    }
    free(group->protocol);
    free(group->protocol_type);
    group->protocol = group->protocol_type = NULL;
    group->state = GROUP_EMPTY;
    entry->recorded = false;
}

static void apply_group(struct coordinator *coordinator, struct span id, struct span value) {
    struct group_metadata_value group;
    struct arena arena;
    arena_init(&arena, RECORD_MEMORY_BYTES);
    if (offset_record_get_group(value, &arena, &group) == 0) {
        restore_group(coordinator, id, &group);
    }
    arena_deinit(&arena);
}

static void apply_record(void *userdata, const struct record *record) {
    struct coordinator *coordinator = userdata;
    struct offset_record_key key;
    if (!record->key.data || offset_record_get_key(record->key, &key) != 0) {
        return; /* a form of a newer version: nothing of ours */
    }
    struct group_entry *entry = group_entry_find(coordinator, key.group);
    struct committed_offset committed;
    if (key.kind == OFFSET_RECORD_GROUP) {
        if (!record->value.data) {
            if (entry) {
                forget_group(entry);
            }
        } else {
            apply_group(coordinator, key.group, record->value);
        }
    } else if (!record->value.data) {
        if (entry) {
            offset_entry_remove(entry, key.topic, key.partition);
        }
    } else if (offset_record_get_commit(record->value, &committed) == 0 &&
               group_entry_get(coordinator, key.group, 0, &entry) == KAFKA_NONE) {
        (void)offset_entry_put(entry, key.topic, key.partition, &committed);
    }
}

/* ---- the end ---- */

/* A topic may have gone, or gone and come back under its name, before its tombstones were written.
 */
static void drop_offsets_of_gone_topics(struct group_entry *entry) {
    struct tombstones *tombstones = tombstones_new(entry);
    size_t position = 0;
    struct offset_entry *offset;
    while (tombstones && (offset = hashmap_next(&entry->offsets, &position))) {
        const struct uuid *id = &offset->committed.topic_id;
        const struct topic *topic =
            topic_log_find(entry->coordinator->config.log, offset_entry_topic(offset));
        if (!topic || (!uuid_is_zero(id) && memcmp(id, &topic->id, sizeof *id) != 0)) {
            tombstones_add_offset(tombstones, offset_entry_topic(offset), offset->partition);
        }
    }
    tombstones_submit(tombstones, NULL, NULL);
}

/* Offsets at which are looked in one turn of the loop. */
enum { SLICE_OFFSETS = 2000 };

static void load_end(struct load *load, int status) {
    struct coordinator *coordinator = load->coordinator;
    if (!load->abandoned) {
        coordinator->load = NULL;
        coordinator->load_failed = status != 0;
        coordinator->budget.max_bytes = coordinator->config.memory_bytes;
        if (status == 0) {
            expiry_start(coordinator);
        }
    }
    timer_stop(&load->next);
    topic_unref(load->topic);
    free(load);
}

/* All is read: the members' sessions begin, and what is left over goes. A slice of the groups in
 * each turn, while nobody else changes them. */
static void load_settle(struct timer *timer) {
    struct load *load = container_of(timer, struct load, next);
    struct coordinator *coordinator = load->coordinator;
    size_t seen = 0;
    struct group_entry *entry = NULL;
    while (seen < SLICE_OFFSETS && (entry = hashmap_next(&coordinator->groups, &load->position))) {
        seen += entry->offsets.count + 1;
        if (group_entry_is_unused(entry)) { /* known only by offsets that were removed since */
            group_entry_remove(entry);
        } else {
            group_restored(entry->group);
            drop_offsets_of_gone_topics(entry);
        }
    }
    if (entry) {
        timer_start(timer, 0);
    } else {
        load_end(load, 0);
    }
}

/* ---- reading ---- */

/* One partition at a time, one read at a time. */
static int load_apply(struct load *load) {
    int r = 0;
    if (load->read.bytes == 0) { /* offsets that damage has skipped: nothing up to the watermark */
        load->offset = load->read_end;
    }
    for (unsigned i = 0; i < load->read.chunk_count && r == 0; i++) {
        const struct slice *slice = &load->read.chunks[i].slice;
        r = record_batches_each(span_of(slice->data, slice->size), apply_record, load->coordinator,
                                &load->offset);
    }
    partition_read_release(&load->read);
    return r;
}

static void on_read(struct partition_read *read, int status) {
    struct load *load = container_of(read, struct load, read);
    load->reading = false;
    if (status == 0 && !load->abandoned) {
        status = load_apply(load);
    } else {
        partition_read_release(read);
    }
    if (status != 0 || load->abandoned) {
        load_end(load, status);
    } else {
        timer_start(&load->next, 0);
    }
}

static void load_next(struct timer *timer) {
    struct load *load = container_of(timer, struct load, next);
    while (load->partition < load->topic->partition_count) {
        struct partition *partition = partition_get(load->topic, load->partition);
        load->offset = MAX(load->offset, partition->log_start_offset);
        if (load->offset >= partition->high_watermark) {
            load->partition++;
            load->offset = 0;
            continue;
        }
        load->read = (struct partition_read){.partition = partition,
                                             .offset = load->offset,
                                             .max_bytes = LOAD_READ_BYTES,
                                             .min_one_batch = true,
                                             .memory_only = true,
                                             .done = on_read};
        load->read_end = partition->high_watermark;
        int r = partition_read(load->coordinator->config.log, &load->read);
        if (r == OP_WAIT) {
            load->reading = true;
            return;
        }
        r = r == 0 ? load_apply(load) : r;
        if (r != 0) {
            load_end(load, r);
        } else {
            timer_start(&load->next, 0);
        }
        return;
    }
    timer_init(&load->next, load->coordinator->config.loop, load_settle);
    load_settle(&load->next);
}

void load_start(struct coordinator *coordinator) {
    struct load *load = calloc(1, sizeof *load);
    if (!load) {
        coordinator->load_failed = true;
        return;
    }
    load->coordinator = coordinator;
    load->topic =
        topic_ref(topic_log_find(coordinator->config.log, SPAN_LITERAL("__consumer_offsets")));
    timer_init(&load->next, coordinator->config.loop, load_next);
    coordinator->load = load;
    coordinator->budget.max_bytes = SIZE_MAX; /* what is durable is not refused */
    load_next(&load->next);
}

void load_look_again(struct coordinator *coordinator) {
    coordinator->load->position = 0;
}

void load_abandon(struct coordinator *coordinator) {
    struct load *load = coordinator->load;
    if (!load) {
        return;
    }
    load->abandoned = true;
    coordinator->load = NULL;
    if (!load->reading) {
        load_end(load, 0);
    }
}
