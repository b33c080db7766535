/*
 * The registry: which topics exist. It lives in memory; what changes it is a record of the internal
 * topic __eventbox_registry (number 0), which goes through the journal like any other batch, and
 * its whole state is in every checkpoint. Recovery applies the records behind the checkpoint in
 * order.
 *
 * A record's key names its type for people; its value, little-endian, begins with u8 type, u8
 * version:
 *
 *   1 topic_created   u32 number, 16 uuid, u8 flags (1 internal, 2 declared), i32 partitions,
 *                     u16 length and name, configs: u16 count, then pairs of u16 length and text
 *   2 topic_deleted   u32 number
 *   3 producer_ids    i64 end: ids below it may have been given out
 *   4 topic_configured  u32 number, configs as in 1: all that the topic sets from here on
 *
 * A number is never used again: next_number only rises, and stands in the checkpoint. Files of a
 * deleted topic stay until the older of two checkpoints covers the frame of its deletion, since a
 * replay from there may write them once more.
 */
#include "log_private.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REGISTRY_TOPIC_CREATED = 1,
    REGISTRY_TOPIC_DELETED,
    REGISTRY_PRODUCER_IDS,
    REGISTRY_TOPIC_CONFIGURED,
};
enum { REGISTRY_VERSION = 1, TOPIC_INTERNAL = 1, TOPIC_DECLARED = 2 };

/* A record on its way to the journal. */
struct registry_change {
    struct append append;
    struct append_part part;
    struct list link; /* in log->changes */
    struct topic_log *log;
    struct topic_log_request *request;
    struct log_topic *topic; /* with a reference */
    int type;
    struct topic_config config; /* of topic_configured */
    int64_t producer_end;
    void (*reserved)(struct topic_log *log, int status);
};

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
    topic->storage = calloc((size_t)partition_count, sizeof *topic->storage);
    topic->public.partitions = calloc((size_t)partition_count, sizeof(*topic->public.partitions));
    if (!topic->storage || !topic->public.partitions) {
        topic_free(topic);
        return NULL;
    }
    topic->public.partition_count = partition_count;
    for (int32_t i = 0; i < partition_count; i++) {
        struct log_partition *partition = &topic->storage[i];
        topic->public.partitions[i] = &partition->public;
        partition->topic = topic;
        partition->public.topic = &topic->public;
        partition->public.index = i;
        partition->writer_base = -1;
        list_init(&partition->public.waiters);
        list_init(&partition->guards);
        list_init(&partition->dirty_link);
        list_init(&partition->advanced_link);
    }
    return topic;
}

void topic_free(struct log_topic *topic) {
    for (int32_t i = 0; i < topic->public.partition_count; i++) {
        struct log_partition *partition = &topic->storage[i];
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
    }
    list_remove(&topic->link);
    topic_config_deinit(&topic->public.config);
    topic_config_deinit(&topic->coming);
    free(topic->public.partitions);
    free(topic->storage);
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

/* The log's own reference ends: the deletion is durable, or the creation never was. */
static void forget_topic(struct topic_log *log, struct log_topic *topic) {
    uint32_t number = topic->public.number;
    hashmap_remove(&log->by_number, span_of(&number, sizeof number));
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

void registry_deinit(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->changes)) != NULL) {
        struct registry_change *change = list_entry(link, struct registry_change, link);
        buf_unref(change->part.batch.buf);
        topic_config_deinit(&change->config);
        if (change->topic) {
            topic_unref(&change->topic->public);
        }
        free(change);
    }
}

int registry_add_removal(struct topic_log *log, const struct log_topic *topic, uint64_t sequence) {
    if (log->removal_count == log->removal_capacity) {
        uint32_t capacity = log->removal_capacity ? log->removal_capacity * 2 : 8;
        void *grown = realloc(log->removals, capacity * sizeof *log->removals);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        log->removals = grown;
        log->removal_capacity = capacity;
    }
    log->removals[log->removal_count++] =
        (struct pending_removal){.number = topic->public.number,
                                 .partition_count = topic->public.partition_count,
                                 .sequence = sequence};
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

/* ---- records ---- */

void registry_topic_encode(struct text *out, const struct topic *topic) {
    fields_put(out, topic->number, 4);
    text_append(out, topic->id.bytes, sizeof topic->id.bytes);
    fields_put(out, (topic->internal ? TOPIC_INTERNAL : 0) | (topic->declared ? TOPIC_DECLARED : 0),
               1);
    fields_put(out, (uint32_t)topic->partition_count, 4);
    fields_put_text(out, span_text(topic->name));
    registry_config_encode(out, &topic->config);
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
        (uint32_t)partition_count > (uint32_t)1 << 20) {
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

static int apply_record(struct topic_log *log, struct span value, uint64_t sequence) {
    const uint8_t *bytes = value.data;
    if (value.size < 2 || bytes[1] != REGISTRY_VERSION) {
        return err_origin(BROKER_E_CORRUPT);
    }
    struct span rest = span_of(bytes + 2, value.size - 2);
    if (bytes[0] == REGISTRY_TOPIC_CREATED) {
        struct log_topic *topic;
        struct fields fields = fields_of(rest);
        int r = registry_topic_decode(log, &fields, &topic);
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
    if (bytes[0] == REGISTRY_TOPIC_DELETED && rest.size >= 4) {
        struct log_topic *topic = registry_by_number(log, get_le32(rest.data));
        if (topic) {
            registry_remove(log, topic);
            int r = registry_add_removal(log, topic, sequence);
            forget_topic(log, topic);
            return r;
        }
        return 0;
    }
    if (bytes[0] == REGISTRY_PRODUCER_IDS && rest.size >= 8) {
        log->producer_durable_end = MAX(log->producer_durable_end, (int64_t)get_le64(rest.data));
        return 0;
    }
    if (bytes[0] == REGISTRY_TOPIC_CONFIGURED) {
        return registry_config_apply(log, rest);
    }
    return err_origin(BROKER_E_CORRUPT);
}

int registry_apply(struct topic_log *log, struct span batch, uint64_t sequence) {
    struct record_iterator it;
    struct record record;
    int r = record_iterator_init(&it, batch);
    if (r) {
        return r;
    }
    while ((r = record_iterator_next(&it, &record)) == 1) {
        r = apply_record(log, record.value, sequence);
        if (r) {
            break;
        }
    }
    record_iterator_deinit(&it);
    return r;
}

/* ---- changes ---- */

/* The change becomes what holds: it is durable, or the log has failed and it never was. */
static void config_done(struct log_topic *topic, struct topic_config *config, int status) {
    if (status == 0) {
        struct topic_config before = topic->public.config;
        topic->public.config = *config;
        *config = before;
    }
    topic_config_deinit(config);
    if (--topic->coming_count == 0) {
        topic_config_deinit(&topic->coming);
    }
}

static void change_done(struct append *append, int status) {
    struct registry_change *change = container_of(append, struct registry_change, append);
    struct topic_log *log = change->log;
    struct log_topic *topic = change->topic;
    struct topic_log_request *request = change->request;
    list_remove(&change->link);
    if (status == 0 && change->type == REGISTRY_TOPIC_CREATED) {
        topic->created_durable = true;
    }
    if (status == 0 && change->type == REGISTRY_TOPIC_DELETED) {
        topic->deleted_durable = true;
        status = registry_add_removal(log, topic, append->frame_sequence);
        if (status) {
            topic_log_fail(log, "remembering a deleted topic", status);
        }
        tail_drop_topic(log, topic);
        forget_topic(log, topic);
    }
    if (status == 0 && change->type == REGISTRY_PRODUCER_IDS) {
        if (log->producer_next < log->producer_durable_end) {
            log->producer_durable_end = change->producer_end;
        } else {
            log->producer_next = change->producer_end - PRODUCER_BLOCK;
            log->producer_durable_end = change->producer_end;
        }
    }
    if (change->type == REGISTRY_PRODUCER_IDS) {
        log->producer_reserved_end = log->producer_durable_end;
        if (change->reserved) {
            change->reserved(log, status);
        }
    }
    if (change->type == REGISTRY_TOPIC_CONFIGURED) {
        config_done(topic, &change->config, status);
    }
    if (request) {
        request->topic = topic ? &topic->public : NULL;
        request->done(request, status);
    }
    if (topic) {
        topic_unref(&topic->public);
    }
    buf_unref(change->part.batch.buf);
    free(change);
}

/* Puts one record on its way; @value is used up. */
static int change_start(struct topic_log *log, int type, struct text *value,
                        struct log_topic *topic, struct topic_log_request *request,
                        struct registry_change **ret_change) {
    static const char *const names[] = {"", "topic_created", "topic_deleted", "producer_ids",
                                        "topic_configured"};
    struct registry_change *change = calloc(1, sizeof *change);
    struct record_batch_builder builder;
    record_batch_builder_init(&builder);
    record_batch_builder_add(&builder, clock_wall_ms(log->config.clock), span_text(names[type]),
                             text_span(value), NULL, 0);
    struct buf *buf = text_failed(value) ? NULL : record_batch_builder_finish(&builder, 0);
    record_batch_builder_deinit(&builder);
    text_deinit(value);
    if (!change || !buf) {
        free(change);
        buf_unref(buf);
        return err_origin(-ENOMEM);
    }
    change->log = log;
    change->type = type;
    change->topic = topic;
    change->request = request;
    change->part.partition = &log->registry->storage[0].public;
    change->part.batch = slice_of(buf, 0, buf->size);
    change->append.class = APPEND_RESERVED;
    change->append.parts = &change->part;
    change->append.part_count = 1;
    change->append.done = change_done;
    int r = topic_log_append(log, &change->append);
    if (r) {
        buf_unref(buf);
        free(change);
        return r;
    }
    if (topic) {
        topic_ref(&topic->public);
    }
    list_push_back(&log->changes, &change->link);
    *ret_change = change;
    return 0;
}

static void begin_record(struct text *value, int type) {
    text_init(value);
    text_append_char(value, (char)type);
    text_append_char(value, REGISTRY_VERSION);
}

static int make_topic(struct topic_log *log, const struct topic_spec *spec,
                      struct log_topic **ret_topic) {
    struct uuid id;
    uuid_v4(log->config.random, &id);
    struct log_topic *topic =
        topic_new(log, spec->name, &id, log->next_number, spec->partition_count);
    if (!topic) {
        return err_origin(-ENOMEM);
    }
    topic->public.internal = spec->internal;
    topic->public.declared = spec->declared;
    for (const struct topic_config_entry *c = spec->configs; c && c->name; c++) {
        enum topic_config_key key = topic_config_find(span_text(c->name));
        int r = key == TOPIC_CONFIG_COUNT
                    ? BROKER_E_CONFIG
                    : topic_config_set(&topic->public.config, key, span_text(c->value));
        if (r) {
            topic_free(topic);
            return r;
        }
    }
    *ret_topic = topic;
    return 0;
}

int topic_log_create(struct topic_log *log, const struct topic_spec *spec,
                     struct topic_log_request *request) {
    if (log->failed || log->state != LOG_READY) {
        return TOPIC_E_FAILED;
    }
    if (!topic_name_valid(spec->name)) {
        return TOPIC_E_NAME;
    }
    if (topic_log_find(log, spec->name)) {
        return TOPIC_E_EXISTS;
    }
    if (spec->partition_count < 1 || log->partition_total > log->limits.partitions_max ||
        (uint32_t)spec->partition_count > log->limits.partitions_max - log->partition_total) {
        return BROKER_E_PARTITIONS;
    }
    struct log_topic *topic;
    int r = make_topic(log, spec, &topic);
    if (r) {
        return r;
    }
    r = registry_insert(log, topic);
    if (r) {
        topic_free(topic);
        return err_trace(r);
    }
    struct text value;
    begin_record(&value, REGISTRY_TOPIC_CREATED);
    registry_topic_encode(&value, &topic->public);
    struct registry_change *change;
    r = change_start(log, REGISTRY_TOPIC_CREATED, &value, topic, request, &change);
    if (r) {
        registry_remove(log, topic);
        forget_topic(log, topic);
        return r;
    }
    request->topic = &topic->public;
    return 0;
}

int topic_log_delete(struct topic_log *log, struct topic *public,
                     struct topic_log_request *request) {
    struct log_topic *topic = log_topic_of(public);
    if (public->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    if (public->internal || public->declared) {
        return BROKER_E_POLICY;
    }
    struct text value;
    begin_record(&value, REGISTRY_TOPIC_DELETED);
    fields_put(&value, public->number, 4);
    struct registry_change *change;
    int r = change_start(log, REGISTRY_TOPIC_DELETED, &value, topic, request, &change);
    if (r) {
        return r;
    }
    registry_remove(log, topic);
    for (int32_t i = 0; i < public->partition_count; i++) {
        partition_wake(&topic->storage[i]);
    }
    return 0;
}

const struct topic_config *topic_log_config_latest(const struct topic *public) {
    const struct log_topic *topic = (const struct log_topic *)(const void *)public;
    return topic->coming_count > 0 ? &topic->coming : &public->config;
}

int topic_log_configure(struct topic_log *log, struct topic *public,
                        const struct topic_config *config, struct topic_log_request *request) {
    struct log_topic *topic = log_topic_of(public);
    struct topic_config copy = {0};
    struct topic_config coming = {0};
    if (public->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    int r = topic_config_copy(&copy, config);
    if (!r) {
        r = topic_config_copy(&coming, config);
    }
    struct registry_change *change = NULL;
    if (!r) {
        struct text value;
        begin_record(&value, REGISTRY_TOPIC_CONFIGURED);
        fields_put(&value, public->number, 4);
        registry_config_encode(&value, config);
        r = change_start(log, REGISTRY_TOPIC_CONFIGURED, &value, topic, request, &change);
    }
    if (r) {
        topic_config_deinit(&copy);
        topic_config_deinit(&coming);
        return r;
    }
    change->config = copy;
    topic_config_deinit(&topic->coming);
    topic->coming = coming;
    topic->coming_count++;
    return 0;
}

/* ---- producer ids ---- */

int registry_reserve_producers(struct topic_log *log,
                               void (*done)(struct topic_log *log, int status)) {
    struct text value;
    int64_t end = log->producer_durable_end + PRODUCER_BLOCK;
    begin_record(&value, REGISTRY_PRODUCER_IDS);
    fields_put(&value, (uint64_t)end, 8);
    struct registry_change *change;
    int r = change_start(log, REGISTRY_PRODUCER_IDS, &value, NULL, NULL, &change);
    if (r) {
        return r;
    }
    change->producer_end = end;
    change->reserved = done;
    log->producer_reserved_end = end;
    return 0;
}

int topic_log_producer_id(struct topic_log *log, int64_t *ret_producer_id) {
    if (log->failed) {
        return TOPIC_E_FAILED;
    }
    int64_t left = log->producer_durable_end - log->producer_next;
    if (left < PRODUCER_BLOCK / 2 && log->producer_reserved_end == log->producer_durable_end) {
        (void)registry_reserve_producers(log, NULL);
    }
    if (left <= 0) {
        return TOPIC_E_FULL;
    }
    *ret_producer_id = log->producer_next++;
    return 0;
}
