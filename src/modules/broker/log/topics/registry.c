/*
 * The registry: which topics exist. It lives in memory; what changes it is a record of the internal
 * topic __eventbox_registry (number 0), which goes through the journal like any other batch
 * (registry_changes.c), and its whole state is in every checkpoint. Recovery applies the records
 * behind the checkpoint in order (registry_records.c).
 *
 * A number is never used again: next_number only rises, and stands in the checkpoint.
 */
#include "registry.h"
#include "append/tail.h"
#include "log_private.h"

#include <errno.h>
#include <stdlib.h>

/* ---- topics in memory ---- */

static const struct uuid registry_uuid = {
    {0x65, 0x62, 0x72, 0x65, 0x67, 0x69, 0x47, 0x74, 0x80, 0, 0, 0, 0, 0, 0, 1}};

struct log_topic *topic_new(struct topic_log *log, struct span name, const struct uuid *id,
                            uint32_t number, int32_t partition_count) {
    struct log_topic *topic = calloc(1, sizeof *topic);
    if (!topic) {
        return NULL;
    }
    memcpy(topic->public.name, name.data, name.size);
    topic->public.id = *id;
    topic->public.number = number;
    topic->public.refs = 1;
    topic->log = log;
    list_init(&topic->link);
    list_init(&topic->changed_link);
    struct partition_block *block;
    if (topic_reserve(topic, partition_count, &block)) {
        topic_free(topic);
        return NULL;
    }
    topic_grow(topic, block);
    topic->durable_partitions = partition_count;
    return topic;
}

static void partition_init(struct log_topic *topic, struct log_partition *partition,
                           int32_t index) {
    topic->public.partitions[index] = &partition->public;
    partition->topic = topic;
    partition->public.topic = &topic->public;
    partition->public.index = index;
    partition->writer_base = -1;
    list_init(&partition->public.waiters);
    list_init(&partition->guards);
    list_init(&partition->dirty_link);
    list_init(&partition->advanced_link);
    list_init(&partition->changed_link);
}

int topic_reserve(struct log_topic *topic, int32_t count, struct partition_block **ret_block) {
    size_t more = (size_t)(count - topic->public.partition_count);
    struct partition **grown =
        realloc(topic->public.partitions, (size_t)count * sizeof(*topic->public.partitions));
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    topic->public.partitions = grown;
    struct partition_block *block = calloc(1, sizeof *block + more * sizeof block->partitions[0]);
    if (!block) {
        return err_origin(-ENOMEM);
    }
    block->count = (int32_t)more;
    *ret_block = block;
    return 0;
}

void topic_grow(struct log_topic *topic, struct partition_block *block) {
    for (int32_t i = 0; i < block->count; i++) {
        partition_init(topic, &block->partitions[i], topic->public.partition_count++);
    }
    block->next = topic->blocks;
    topic->blocks = block;
}

void topic_free(struct log_topic *topic) {
    for (int32_t i = 0; i < topic->public.partition_count; i++) {
        struct log_partition *partition = topic_partition(topic, i);
        struct list *link;
        while ((link = list_pop_front(&partition->guards)) != NULL) {
            free(list_entry(link, struct guard, link));
        }
        list_remove(&partition->dirty_link);
        list_remove(&partition->advanced_link);
        list_remove(&partition->public.waiters); /* whoever still waits is not called again */
        tail_free(partition);
        producers_free(partition->producers);
        free(partition->segments);
        free(partition->epochs);
        free(partition->damage);
        free(partition->rot);
        free(partition->snapshots);
    }
    list_remove(&topic->link);
    topic_config_deinit(&topic->public.config);
    topic_config_deinit(&topic->coming);
    free(topic->public.partitions);
    while (topic->blocks) {
        struct partition_block *next = topic->blocks->next;
        free(topic->blocks);
        topic->blocks = next;
    }
    free(topic);
}

struct topic *topic_ref(struct topic *topic) {
    topic->refs++;
    return topic;
}

void topic_unref(struct topic *topic) {
    if (topic && --topic->refs == 0) {
        topic_free(log_topic_of(topic));
    }
}

bool topic_name_valid(struct span name) {
    const char *text = name.data;
    if (name.size == 0 || name.size > 249 || (name.size == 1 && text[0] == '.') ||
        (name.size == 2 && text[0] == '.' && text[1] == '.')) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        char c = text[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
        if (!fine) {
            return false;
        }
    }
    return true;
}

int registry_insert(struct topic_log *log, struct log_topic *topic) {
    struct topic *public = &topic->public;
    int r = hashmap_put(&log->by_name, span_text(public->name), topic, NULL);
    if (!r) {
        r = hashmap_put(&log->by_id, span_of(public->id.bytes, sizeof public->id.bytes), topic,
                        NULL);
        if (r) {
            hashmap_remove(&log->by_name, span_text(public->name));
        }
    }
    if (r) {
        return err_trace(r);
    }
    r = hashmap_put(&log->by_number, span_of(&public->number, sizeof public->number), topic, NULL);
    if (r) {
        hashmap_remove(&log->by_name, span_text(public->name));
        hashmap_remove(&log->by_id, span_of(public->id.bytes, sizeof public->id.bytes));
        return err_trace(r);
    }
    list_push_back(&log->topics_all, &topic->link);
    log->partition_total += (uint32_t) public->partition_count;
    log->next_number = MAX(log->next_number, public->number + 1);
    return 0;
}

void registry_remove(struct topic_log *log, struct log_topic *topic) {
    if (hashmap_find(&log->by_name, span_text(topic->public.name)) == topic) {
        hashmap_remove(&log->by_name, span_text(topic->public.name));
    }
    hashmap_remove(&log->by_id, span_of(topic->public.id.bytes, sizeof topic->public.id.bytes));
    log->partition_total -= (uint32_t)topic->public.partition_count;
    topic->public.deleted = true;
}

struct log_topic *registry_by_number(struct topic_log *log, uint32_t number) {
    return hashmap_find(&log->by_number, span_of(&number, sizeof number));
}

void registry_forget(struct topic_log *log, struct log_topic *topic) {
    uint32_t number = topic->public.number;
    hashmap_remove(&log->by_number, span_of(&number, sizeof number));
    checkpoint_topic_forgotten(log, topic);
    list_remove(&topic->link);
    list_push_back(&log->topics_gone, &topic->link);
    topic_unref(&topic->public);
}

int registry_init(struct topic_log *log) {
    struct log_topic *topic = topic_new(log, span_text(REGISTRY_TOPIC), &registry_uuid, 0, 1);
    if (!topic) {
        return err_origin(-ENOMEM);
    }
    topic->public.internal = true;
    topic->created_durable = true;
    int r = registry_insert(log, topic);
    if (r) {
        topic_free(topic);
        return err_trace(r);
    }
    log->registry = topic;
    return 0;
}

struct topic *topic_log_find(struct topic_log *log, struct span name) {
    struct log_topic *topic = hashmap_find(&log->by_name, name);
    return topic ? &topic->public : NULL;
}

struct topic *topic_log_find_id(struct topic_log *log, const struct uuid *id) {
    struct log_topic *topic = hashmap_find(&log->by_id, span_of(id->bytes, sizeof id->bytes));
    return topic ? &topic->public : NULL;
}

struct topic *topic_log_next(struct topic_log *log, size_t *position) {
    struct log_topic *topic = hashmap_next(&log->by_name, position);
    return topic ? &topic->public : NULL;
}
