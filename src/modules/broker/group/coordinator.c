/* Groups by id, their offsets, and the one way in which anything about them becomes durable. */
#include "coordinator_private.h"

#include <eventbox/base/bytes.h>
#include <stdlib.h>
#include <string.h>

static const struct span offsets_topic = {"__consumer_offsets", 18};

/* ---- where a group's records go ---- */

/* Java's String.hashCode() over the group id, as Kafka places groups; ids are ASCII in practice. */
static int32_t group_partition(struct span id, int32_t partition_count) {
    uint32_t hash = 0;
    const uint8_t *bytes = id.data;
    for (size_t i = 0; i < id.size; i++) {
        hash = 31 * hash + bytes[i];
    }
    return (int32_t)((hash & 0x7fffffff) % (uint32_t)partition_count);
}

static void on_topic_created(struct topic_log_request *request, int status) {
    free(request); /* a failed log answers the appends that follow */
}

int coordinator_prepare(struct coordinator *coordinator) {
    static const struct topic_config_entry configs[] = {{"cleanup.policy", "compact"}, {0}};
    if (topic_log_find(coordinator->config.log, offsets_topic)) {
        return 0;
    }
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

int offset_entry_put(struct group_entry *group, struct span topic, int32_t partition,
                     const struct committed_offset *committed) {
    void *old = NULL;
    struct offset_entry *entry = malloc(sizeof *entry + topic.size + 5 + committed->metadata.size);
    if (!entry) {
        return err_origin(-ENOMEM);
    }
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
    old = hashmap_remove(&group->offsets, key);
    free(old);
    int r = hashmap_put(&group->offsets, key, entry, NULL);
    if (r < 0) {
        free(entry);
    }
    return err_trace(r);
}

void offset_entry_remove(struct group_entry *group, struct span topic, int32_t partition) {
    struct offset_entry *entry = offset_entry_find(group, topic, partition);
    if (entry) {
        hashmap_remove(&group->offsets, span_of(entry->key, entry->key_size));
        free(entry);
    }
}

/* ---- groups ---- */

static void on_persist(struct group *group, uint64_t ticket);
static void on_state(struct group *group, enum group_state state);
static const struct group_hooks group_hooks = {on_persist, on_state};

static void group_entry_free(struct group_entry *entry) {
    size_t position = 0;
    struct offset_entry *offset;
    while ((offset = hashmap_next(&entry->offsets, &position))) {
        free(offset);
    }
    hashmap_deinit(&entry->offsets);
    group_free(entry->group);
    free(entry);
}

struct group_entry *group_entry_find(struct coordinator *coordinator, struct span id) {
    return hashmap_find(&coordinator->groups, id);
}

enum kafka_error group_entry_get(struct coordinator *coordinator, struct span id,
                                 struct group_entry **ret_entry) {
    struct group_entry *entry = group_entry_find(coordinator, id);
    if (entry) {
        *ret_entry = entry;
        return KAFKA_NONE;
    }
    if (coordinator->groups.count >= coordinator->config.limits.groups_max ||
        !(entry = calloc(1, sizeof *entry))) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    entry->coordinator = coordinator;
    hashmap_init(&entry->offsets, random_u64(coordinator->config.random),
                 random_u64(coordinator->config.random));
    if (group_new(coordinator->config.loop, coordinator->config.random, &coordinator->config.limits,
                  &group_hooks, entry, id, &entry->group) != 0 ||
        hashmap_put(&coordinator->groups, span_text(entry->group->id), entry, NULL) != 0) {
        group_entry_free(entry);
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    *ret_entry = entry;
    return KAFKA_NONE;
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

/* ---- durable writes ---- */

struct group_write *group_write_new(struct group_entry *entry) {
    struct group_write *write = calloc(1, sizeof *write);
    if (!write) {
        return NULL;
    }
    write->entry = entry;
    record_batch_builder_init(&write->builder);
    return write;
}

void group_write_add(struct group_write *write, struct text *key, struct text *value) {
    int64_t now_ms = clock_wall_ms(loop_clock(write->entry->coordinator->config.loop));
    record_batch_builder_add(&write->builder, now_ms, text_span(key),
                             value ? text_span(value) : SPAN_NULL, NULL, 0);
    text_clear(key);
    if (value) {
        text_clear(value);
    }
}

void group_write_discard(struct group_write *write) {
    if (write) {
        record_batch_builder_deinit(&write->builder);
        free(write);
    }
}

static void group_write_end(struct group_write *write, int status) {
    struct group_entry *entry = write->entry;
    if (write->done) {
        write->done(write, status);
    }
    group_write_discard(write);
    entry->writes--;
    if (entry->deleted && entry->writes == 0) {
        group_entry_free(entry);
    }
}

static void on_appended(struct append *append, int status) {
    group_write_end(container_of(append, struct group_write, append), status);
}

static int group_write_append(struct group_write *write) {
    struct coordinator *coordinator = write->entry->coordinator;
    int r = coordinator_prepare(coordinator);
    if (r != 0) {
        return err_trace(r);
    }
    struct topic *topic = topic_log_find(coordinator->config.log, offsets_topic);
    struct buf *batch = record_batch_builder_finish(&write->builder, 0);
    if (!batch || !topic) {
        buf_unref(batch);
        return err_origin(batch ? TOPIC_E_UNKNOWN : -ENOMEM);
    }
    struct span id = span_text(write->entry->group->id);
    write->part.partition = partition_get(topic, group_partition(id, topic->partition_count));
    write->part.batch = slice_of(batch, 0, batch->size);
    write->append.class = APPEND_RESERVED;
    write->append.parts = &write->part;
    write->append.part_count = 1;
    write->append.done = on_appended;
    r = topic_log_append(coordinator->config.log, &write->append);
    buf_unref(batch); /* the log has a reference of its own */
    return err_trace(r);
}

void group_write_submit(struct group_write *write,
                        void (*done)(struct group_write *write, int status)) {
    write->done = done;
    write->entry->writes++;
    int r = group_write_append(write);
    if (r != 0) {
        group_write_end(write, r);
    }
}

static void on_generation_written(struct group_write *write, int status) {
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

/* ---- the coordinator ---- */

int coordinator_new(const struct coordinator_config *config, struct coordinator **ret_coordinator) {
    struct coordinator *coordinator = calloc(1, sizeof *coordinator);
    if (!coordinator) {
        return err_origin(-ENOMEM);
    }
    coordinator->config = *config;
    hashmap_init(&coordinator->groups, random_u64(config->random), random_u64(config->random));
    *ret_coordinator = coordinator;
    return 0;
}

void coordinator_start(struct coordinator *coordinator) {
    if (topic_log_find(coordinator->config.log, offsets_topic)) {
        load_start(coordinator);
    }
}

void coordinator_free(struct coordinator *coordinator) {
    if (!coordinator) {
        return;
    }
    load_abandon(coordinator);
    size_t position = 0;
    struct group_entry *entry;
    while ((entry = hashmap_next(&coordinator->groups, &position))) {
        group_entry_free(entry);
    }
    hashmap_deinit(&coordinator->groups);
    free(coordinator);
}

enum kafka_error coordinator_check(struct coordinator *coordinator, struct span group_id) {
    if (group_id.size == 0) {
        return KAFKA_INVALID_GROUP_ID;
    }
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
    if (coordinator_check(coordinator, group) != KAFKA_NONE ||
        group_entry_get(coordinator, group, &entry) != KAFKA_NONE) {
        return err_origin(TOPIC_E_FULL);
    }
    struct mirror *mirror = malloc(sizeof *mirror + topic.size);
    struct group_write *write = mirror ? group_write_new(entry) : NULL;
    if (!write) {
        free(mirror);
        return err_origin(-ENOMEM);
    }
    mirror->committed = (struct committed_offset){
        offset, -1, clock_wall_ms(loop_clock(coordinator->config.loop)), span_of("", 0)};
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
    struct text key;
    text_init(&key);
    while ((entry = hashmap_next(&coordinator->groups, &position))) {
        struct group_write *write = NULL;
        size_t at = 0;
        struct offset_entry *offset;
        while ((offset = hashmap_next(&entry->offsets, &at))) {
            if (!span_equal(offset_entry_topic(offset), topic)) {
                continue;
            }
            if (write || (write = group_write_new(entry))) {
                offset_record_put_commit_key(&key, span_text(entry->group->id), topic,
                                             offset->partition);
                group_write_add(write, &key, NULL);
            }
            hashmap_remove(&entry->offsets, span_of(offset->key, offset->key_size));
            free(offset);
        }
        if (write) {
            group_write_submit(write, NULL);
        }
    }
    text_deinit(&key);
}

void coordinator_stats(const struct coordinator *coordinator, struct coordinator_stats *ret_stats) {
    *ret_stats = coordinator->stats;
    ret_stats->groups = (unsigned)coordinator->groups.count;
    ret_stats->loading = coordinator->load != NULL;
}
