/* Groups by id, their committed offsets, and what the rest of the broker asks of them. */
#include "coordinator_private.h"

#include <eventbox/base/bytes.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As in Kafka, offsets.topic.segment.bytes: compaction leaves the segment that is written alone. */
enum { SEGMENT_BYTES = 100 << 20 };

static const struct span offsets_topic = {"__consumer_offsets", 18};

static void on_topic_created(struct topic_log_request *request, int status) {
    free(request); /* a failed log answers the appends that follow */
}

int coordinator_prepare(struct coordinator *coordinator) {
    if (topic_log_find(coordinator->config.log, offsets_topic)) {
        return 0;
    }
    const char *broker_bytes =
        topic_config_text(topic_log_defaults(coordinator->config.log), TOPIC_SEGMENT_BYTES);
    int64_t most = broker_bytes ? strtoll(broker_bytes, NULL, 10) : INT64_MAX;
    char bytes[24];
    snprintf(bytes, sizeof bytes, "%" PRId64, MIN(most, (int64_t)SEGMENT_BYTES));
    const struct topic_config_entry configs[] = {
        {"cleanup.policy", "compact"},
        {"compression.type", "producer"}, /* even where the broker has another */
        {"segment.bytes", bytes},
        {0}};
    struct topic_spec spec = {
        .name = offsets_topic,
        .partition_count = coordinator->config.offsets_partitions,
        .internal = true,
        .declared = true,
        .configs = configs,
    };
    struct topic_log_request *request = calloc(1, sizeof *request);
    if (!request) {
        return err_origin(-ENOMEM);
    }
    request->done = on_topic_created;
    int r = topic_log_create(coordinator->config.log, &spec, request);
    if (r != 0) {
        free(request);
    }
    return err_trace(r);
}

/* ---- offsets of one group ---- */

static size_t offset_key(struct span topic, int32_t partition, uint8_t *out) {
    memcpy(out, topic.data, topic.size);
    out[topic.size] = 0;
    put_be32(out + topic.size + 1, (uint32_t)partition);
    return topic.size + 5;
}

struct offset_entry *offset_entry_find(struct group_entry *group, struct span topic,
                                       int32_t partition) {
    uint8_t key[300];
    if (topic.size > 249) {
        return NULL;
    }
    return hashmap_find(&group->offsets, span_of(key, offset_key(topic, partition, key)));
}

static void offset_entry_free(struct group_entry *group, struct offset_entry *entry) {
    if (entry) {
        group_give(group->group, entry->counted_bytes);
        free(entry);
    }
}

/* With its place in the map, which is half empty, and what the allocator keeps for itself. */
static size_t offset_entry_bytes(size_t topic_and_metadata_bytes) {
    return sizeof(struct offset_entry) + topic_and_metadata_bytes + 96;
}

bool offset_entry_has_room(struct group_entry *group, size_t bytes, size_t *promised_bytes) {
    size_t more_bytes = *promised_bytes + offset_entry_bytes(bytes);
    bool room = group_budget_has_room(&group->coordinator->budget, more_bytes);
    *promised_bytes = room ? more_bytes : *promised_bytes;
    return room;
}

int offset_entry_put(struct group_entry *group, struct span topic, int32_t partition,
                     const struct committed_offset *committed) {
    size_t bytes = sizeof(struct offset_entry) + topic.size + 5 + committed->metadata.size;
    struct offset_entry *entry = malloc(bytes);
    if (!entry) {
        return err_origin(-ENOMEM);
    }
    entry->counted_bytes = offset_entry_bytes(topic.size + committed->metadata.size);
    entry->topic_size = topic.size;
    entry->partition = partition;
    entry->key_size = offset_key(topic, partition, entry->key);
    entry->committed = *committed;
    if (committed->metadata.size > 0) {
        memcpy(entry->key + entry->key_size, committed->metadata.data, committed->metadata.size);
    }
    entry->committed.metadata = span_of(entry->key + entry->key_size, committed->metadata.size);
    struct span key = span_of(entry->key, entry->key_size);
    /* The map borrows the key from its value, so the old value leaves before the new one enters. */
    offset_entry_free(group, hashmap_remove(&group->offsets, key));
    int r = hashmap_put(&group->offsets, key, entry, NULL);
    if (r < 0) {
        free(entry);
        return err_trace(r);
    }
    group_count(group->group, entry->counted_bytes); /* durable: whether it fits or not */
    return 0;
}

void offset_entry_remove(struct group_entry *group, struct span topic, int32_t partition) {
    struct offset_entry *entry = offset_entry_find(group, topic, partition);
    if (entry) {
        hashmap_remove(&group->offsets, span_of(entry->key, entry->key_size));
        offset_entry_free(group, entry);
    }
}

/* ---- groups ---- */

static void on_persist(struct group *group, uint64_t ticket);
static void on_state(struct group *group, enum group_state state);
static const struct group_hooks group_hooks = {on_persist, on_state};

/* With its place among the groups, a small map of offsets, and what the allocator keeps. */
static size_t group_entry_bytes(struct span id) {
    return sizeof(struct group_entry) + sizeof(struct group) + id.size + 512;
}

static void group_entry_free(struct group_entry *entry) {
    size_t position = 0;
    struct offset_entry *offset;
    while ((offset = hashmap_next(&entry->offsets, &position))) {
        offset_entry_free(entry, offset);
    }
    hashmap_deinit(&entry->offsets);
    if (entry->group) {
        group_give(entry->group, group_entry_bytes(span_text(entry->group->id)));
    }
    group_free(entry->group);
    free(entry);
}

struct group_entry *group_entry_find(struct coordinator *coordinator, struct span id) {
    return hashmap_find(&coordinator->groups, id);
}

static struct group_entry *group_entry_new(struct coordinator *coordinator, struct span id) {
    struct group_entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        return NULL;
    }
    entry->coordinator = coordinator;
    hashmap_init(&entry->offsets, random_u64(coordinator->config.random),
                 random_u64(coordinator->config.random));
    if (group_new(coordinator->config.loop, coordinator->config.random, &coordinator->config.limits,
                  &coordinator->budget, &group_hooks, entry, id, &entry->group) != 0) {
        group_entry_free(entry);
        return NULL;
    }
    group_count(entry->group, group_entry_bytes(id));
    if (hashmap_put(&coordinator->groups, span_text(entry->group->id), entry, NULL) != 0) {
        group_entry_free(entry);
        return NULL;
    }
    return entry;
}

bool group_entry_is_unused(const struct group_entry *entry) {
    return group_is_unused(entry->group) && !entry->recorded && entry->offsets.count == 0;
}

enum kafka_error group_entry_get(struct coordinator *coordinator, struct span id, size_t more_bytes,
                                 struct group_entry **ret_entry) {
    struct group_entry *entry = group_entry_find(coordinator, id);
    if (!entry &&
        !group_budget_has_room(&coordinator->budget, group_entry_bytes(id) + more_bytes)) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (!entry && !(entry = group_entry_new(coordinator, id))) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    *ret_entry = entry;
    return KAFKA_NONE;
}

void group_entry_record(struct group_entry *entry) {
    on_persist(entry->group, 0);
}

void group_entry_remove(struct group_entry *entry) {
    if (!entry->deleted) {
        entry->deleted = true;
        hashmap_remove(&entry->coordinator->groups, span_text(entry->group->id));
        group_mark_dead(entry->group);
    }
    if (entry->writes == 0) {
        group_entry_free(entry);
    }
}

static void on_generation_written(struct group_write *write, int status) {
    write->entry->recorded = write->entry->recorded || status == 0;
    if (!write->entry->deleted) {
        group_persisted(write->entry->group, write->ticket, status);
    }
}

static void on_persist(struct group *group, uint64_t ticket) {
    struct group_entry *entry = group->owner;
    struct group_write *write = group_write_new(entry);
    struct text key, value;
    if (!write) {
        group_persisted(group, ticket, -ENOMEM);
        return;
    }
    text_init(&key);
    text_init(&value);
    offset_record_put_group_key(&key, span_text(group->id));
    offset_record_put_group_value(&value, group);
    group_write_add(write, &key, &value);
    text_deinit(&key);
    text_deinit(&value);
    write->ticket = ticket;
    group_write_submit(write, on_generation_written);
}

static void on_state(struct group *group, enum group_state state) {
    struct coordinator *coordinator = ((struct group_entry *)group->owner)->coordinator;
    coordinator->stats.rebalances += state == GROUP_PREPARING_REBALANCE;
    if (coordinator->config.on_group && (state == GROUP_STABLE || state == GROUP_EMPTY)) {
        coordinator->config.on_group(coordinator->config.userdata, group);
    }
}

/* ---- memory that is full ---- */

static void on_refused(struct group_budget *budget) {
    struct coordinator *coordinator = container_of(budget, struct coordinator, budget);
    expiry_hurry(coordinator);
    if (coordinator->config.on_full) {
        coordinator->config.on_full(coordinator->config.userdata);
    }
}

const struct group *coordinator_largest(const struct coordinator *coordinator) {
    const struct group *largest = NULL;
    size_t position = 0;
    struct group_entry *entry;
    while ((entry = hashmap_next(&coordinator->groups, &position))) {
        if (!largest || entry->group->counted_bytes > largest->counted_bytes) {
            largest = entry->group;
        }
    }
    return largest;
}

/* ---- the coordinator ---- */

int coordinator_new(const struct coordinator_config *config, struct coordinator **ret_coordinator) {
    struct coordinator *coordinator = calloc(1, sizeof *coordinator);
    if (!coordinator) {
        return err_origin(-ENOMEM);
    }
    coordinator->config = *config;
    coordinator->budget.max_bytes = config->memory_bytes;
    coordinator->budget.on_refused = on_refused;
    hashmap_init(&coordinator->groups, random_u64(config->random), random_u64(config->random));
    *ret_coordinator = coordinator;
    return 0;
}

void coordinator_start(struct coordinator *coordinator) {
    if (topic_log_find(coordinator->config.log, offsets_topic)) {
        load_start(coordinator);
    } else {
        expiry_start(coordinator);
    }
}

void coordinator_free(struct coordinator *coordinator) {
    if (!coordinator) {
        return;
    }
    load_abandon(coordinator);
    expiry_stop(coordinator);
    size_t position = 0;
    struct group_entry *entry;
    while ((entry = hashmap_next(&coordinator->groups, &position))) {
        group_entry_free(entry);
    }
    hashmap_deinit(&coordinator->groups);
    free(coordinator);
}

enum kafka_error coordinator_check_member(struct coordinator *coordinator, struct span group_id) {
    return group_id.size == 0 ? KAFKA_INVALID_GROUP_ID : coordinator_check(coordinator);
}

enum kafka_error coordinator_check(const struct coordinator *coordinator) {
    if (coordinator->load) {
        return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    }
    return coordinator->load_failed ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE;
}

struct kafka_handlers coordinator_handlers(struct coordinator *coordinator) {
    return (struct kafka_handlers){coordinator_handler_rows, coordinator_handler_count,
                                   coordinator};
}

/* The offset that an in-process commit carries from its append to its map. */
struct mirror {
    struct committed_offset committed;
    int32_t partition;
    size_t topic_size;
    char topic[];
};

static void on_mirrored(struct group_write *write, int status) {
    struct mirror *mirror = write->userdata;
    if (status == 0 && !write->entry->deleted) {
        status = offset_entry_put(write->entry, span_of(mirror->topic, mirror->topic_size),
                                  mirror->partition, &mirror->committed);
        write->entry->coordinator->stats.commits += status == 0;
    }
    free(mirror);
}

int coordinator_commit(struct coordinator *coordinator, struct span group, struct span topic,
                       int32_t partition, int64_t offset) {
    struct group_entry *entry;
    if (coordinator_check_member(coordinator, group) != KAFKA_NONE ||
        group_entry_get(coordinator, group, 0, &entry) != KAFKA_NONE) {
        return err_origin(TOPIC_E_FULL);
    }
    struct mirror *mirror = malloc(sizeof *mirror + topic.size);
    struct group_write *write = mirror ? group_write_new(entry) : NULL;
    if (!write) {
        free(mirror);
        return err_origin(-ENOMEM);
    }
    const struct topic *there = topic_log_find(coordinator->config.log, topic);
    mirror->committed = (struct committed_offset){
        .offset = offset,
        .leader_epoch = -1,
        .commit_ms = group_write_clock_ms(entry),
        .expire_ms = -1,
        .topic_id = there ? there->id : (struct uuid){{0}},
        .metadata = span_of("", 0),
    };
    mirror->partition = partition;
    mirror->topic_size = topic.size;
    memcpy(mirror->topic, topic.data, topic.size);
    struct text key, value;
    text_init(&key);
    text_init(&value);
    offset_record_put_commit_key(&key, group, topic, partition);
    offset_record_put_commit_value(&value, &mirror->committed);
    group_write_add(write, &key, &value);
    text_deinit(&key);
    text_deinit(&value);
    write->userdata = mirror;
    group_write_submit(write, on_mirrored);
    return 0;
}

void coordinator_drop_topic(struct coordinator *coordinator, struct span topic) {
    size_t position = 0;
    struct group_entry *entry;
    if (coordinator->load) { /* its end finds that the topic is gone */
        load_look_again(coordinator);
        return;
    }
    while ((entry = hashmap_next(&coordinator->groups, &position))) {
        struct tombstones *tombstones = tombstones_new(entry);
        size_t at = 0;
        struct offset_entry *offset;
        while (tombstones && (offset = hashmap_next(&entry->offsets, &at))) {
            if (span_equal(offset_entry_topic(offset), topic)) {
                tombstones_add_offset(tombstones, topic, offset->partition);
            }
        }
        tombstones_submit(tombstones, NULL, NULL);
    }
}

void coordinator_stats(const struct coordinator *coordinator, struct coordinator_stats *ret_stats) {
    *ret_stats = coordinator->stats;
    ret_stats->groups = (unsigned)coordinator->groups.count;
    ret_stats->loading = coordinator->load != NULL;
    ret_stats->refused = coordinator->budget.refused;
    ret_stats->memory_bytes = coordinator->budget.used_bytes;
    ret_stats->memory_max_bytes = coordinator->config.memory_bytes;
}
