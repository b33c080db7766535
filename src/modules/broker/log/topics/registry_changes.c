/*
 * Changes of the registry: a record on its way to the journal, and what follows when it is durable.
 *
 * What a change does to memory it does in finished(), after its frame is durable: a checkpoint at
 * that frame has it, an earlier one does not. Two things are visible at once, because their records
 * precede every append that could follow: a new topic and new partitions. A deletion is visible at
 * once as well; should its record never become durable, the log has failed.
 */
#include "append/append.h"
#include "append/tail.h"
#include "fields.h"
#include "log_private.h"
#include "partition.h"
#include "registry.h"
#include "retention/removal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- any change ---- */

static void change_free(struct registry_change *change) {
    if (change->topic) {
        topic_unref(&change->topic->public);
    }
    buf_unref(change->part.batch.buf);
    if (change->destroy) {
        change->destroy(change);
    }
    free(change);
}

void registry_deinit(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->changes)) != NULL) {
        change_free(list_entry(link, struct registry_change, link));
    }
}

static void on_change(struct append *append, int status) {
    struct registry_change *change = container_of(append, struct registry_change, append);
    struct topic_log_request *request = change->request;
    list_remove(&change->link);
    if (change->finished) {
        status = change->finished(change, status);
    }
    if (request) {
        request->topic = change->topic ? &change->topic->public : NULL;
        request->done(request, status);
    }
    struct topic_log *log = change->log;
    change_free(change);
    registry_state_maybe(log);
}

void registry_record_begin(struct text *value, enum registry_type type) {
    text_init(value);
    text_append_char(value, (char)type);
    text_append_char(value, REGISTRY_VERSION);
}

static struct buf *record_new(struct topic_log *log, enum registry_type type,
                              const struct text *value) {
    static const char *const names[] = {
        [REGISTRY_TOPIC_CREATED] = "topic_created",
        [REGISTRY_TOPIC_DELETED] = "topic_deleted",
        [REGISTRY_PRODUCER_IDS] = "producer_ids",
        [REGISTRY_TOPIC_CONFIGURED] = "topic_configured",
        [REGISTRY_PARTITIONS_ADDED] = "partitions_added",
        [REGISTRY_LOG_START] = "log_start",
        [REGISTRY_SEGMENTS_SWAPPED] = "segments_swapped",
        [REGISTRY_STATE] = "registry_state",
    };
    struct record_batch_builder builder;
    record_batch_builder_init(&builder);
    record_batch_builder_add(&builder, clock_wall_ms(log->config.clock), span_text(names[type]),
                             text_span(value), NULL, 0);
    struct buf *buf = text_failed(value) ? NULL : record_batch_builder_finish(&builder, 0);
    record_batch_builder_deinit(&builder);
    return buf;
}

static int send_parts(struct topic_log *log, struct registry_change *change) {
    change->log = log;
    change->append.class = APPEND_RESERVED;
    change->append.parts = &change->part;
    change->append.done = on_change;
    if (change->topic) {
        topic_ref(&change->topic->public);
    }
    int r = topic_log_append(log, &change->append);
    if (r) {
        change_free(change);
        return r;
    }
    list_push_back(&log->changes, &change->link);
    return 0;
}

int registry_change_send(struct topic_log *log, struct registry_change *change,
                         enum registry_type type, struct text *value) {
    struct buf *buf = record_new(log, type, value);
    text_deinit(value);
    if (!change || !buf) {
        if (change && change->destroy) {
            change->destroy(change);
        }
        free(change);
        buf_unref(buf);
        return err_origin(-ENOMEM);
    }
    change->part.partition = log->registry->public.partitions[0];
    change->part.batch = slice_of(buf, 0, buf->size);
    change->append.part_count = 1;
    return send_parts(log, change);
}

static struct registry_change *
change_new(size_t size, struct log_topic *topic, struct topic_log_request *request,
           int (*finished)(struct registry_change *change, int status)) {
    struct registry_change *change = calloc(1, size);
    if (change) {
        change->topic = topic;
        change->request = request;
        change->finished = finished;
    }
    return change;
}

/* ---- topics ---- */

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

static int on_created(struct registry_change *change, int status) {
    if (status == 0) {
        checkpoint_topic_changes(change->log, change->topic);
        change->topic->created_durable = true;
    }
    return status;
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
    if (log->room == TOPIC_LOG_ROOM_FULL && !spec->internal && !spec->declared) {
        return TOPIC_E_FULL;
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
    registry_record_begin(&value, REGISTRY_TOPIC_CREATED);
    registry_topic_encode(&value, &topic->public, topic->public.partition_count,
                          &topic->public.config);
    r = registry_change_send(log,
                             change_new(sizeof(struct registry_change), topic, request, on_created),
                             REGISTRY_TOPIC_CREATED, &value);
    if (r) {
        registry_remove(log, topic);
        registry_forget(log, topic);
        return r;
    }
    request->topic = &topic->public;
    return 0;
}

static int on_deleted(struct registry_change *change, int status) {
    struct topic_log *log = change->log;
    struct log_topic *topic = change->topic;
    if (status) {
        return status;
    }
    checkpoint_topic_goes(log, topic);
    topic->deleted_durable = true;
    status = removal_add_topic(log, topic, change->append.frame_sequence);
    if (status) {
        topic_log_fail(log, "remembering a deleted topic", status);
    }
    tail_drop_topic(log, topic);
    registry_forget(log, topic);
    return status;
}

/* A module's topic, or one that the log itself or the broker writes. */
static bool is_kept(const struct topic *topic) {
    static const char ours[] = "__eventbox";
    return topic->declared || strncmp(topic->name, ours, sizeof ours - 1) == 0;
}

int topic_log_delete(struct topic_log *log, struct topic *public,
                     struct topic_log_request *request) {
    struct log_topic *topic = log_topic_of(public);
    if (public->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    if (is_kept(public)) {
        return BROKER_E_POLICY;
    }
    struct text value;
    registry_record_begin(&value, REGISTRY_TOPIC_DELETED);
    fields_put(&value, public->number, 4);
    int r = registry_change_send(
        log, change_new(sizeof(struct registry_change), topic, request, on_deleted),
        REGISTRY_TOPIC_DELETED, &value);
    if (r) {
        return r;
    }
    registry_remove(log, topic);
    for (int32_t i = 0; i < public->partition_count; i++) {
        partition_wake(topic_partition(topic, i));
    }
    log->topic_deleted = true;
    append_admit_soon(log);
    return 0;
}

/* ---- partitions ---- */

struct partitions_change {
    struct registry_change change; /* first */
    int32_t count;
};

static int on_partitions_added(struct registry_change *base, int status) {
    struct partitions_change *change = container_of(base, struct partitions_change, change);
    if (status == 0) {
        checkpoint_topic_changes(base->log, base->topic);
        base->topic->durable_partitions = MAX(base->topic->durable_partitions, change->count);
    }
    return status;
}

int topic_log_add_partitions(struct topic_log *log, struct topic *public, int32_t count,
                             struct topic_log_request *request) {
    struct log_topic *topic = log_topic_of(public);
    if (log->failed || log->state != LOG_READY) {
        return TOPIC_E_FAILED;
    }
    if (public->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    if (is_kept(public)) {
        return BROKER_E_POLICY;
    }
    if (count <= public->partition_count || log->partition_total > log->limits.partitions_max ||
        (uint32_t)(count - public->partition_count) >
            log->limits.partitions_max - log->partition_total) {
        return BROKER_E_PARTITIONS;
    }
    struct partition_block *block;
    int r = topic_reserve(topic, count, &block);
    if (r) {
        return err_trace(r);
    }
    struct text value;
    registry_record_begin(&value, REGISTRY_PARTITIONS_ADDED);
    fields_put(&value, public->number, 4);
    fields_put(&value, (uint32_t)count, 4);
    struct registry_change *change =
        change_new(sizeof(struct partitions_change), topic, request, on_partitions_added);
    if (change) {
        container_of(change, struct partitions_change, change)->count = count;
    }
    r = registry_change_send(log, change, REGISTRY_PARTITIONS_ADDED, &value);
    if (r) {
        free(block);
        return r;
    }
    log->partition_total += (uint32_t)(count - public->partition_count);
    topic_grow(topic, block);
    request->topic = public;
    return 0;
}

/* ---- where the log begins ---- */

struct start_change {
    struct registry_change change; /* first */
    struct log_partition *partition;
    int64_t offset, keep;
};

static int on_log_start(struct registry_change *base, int status) {
    struct start_change *change = container_of(base, struct start_change, change);
    change->partition->start_moves_under_way--;
    if (status == 0) {
        status = partition_move_log_start(base->log, change->partition, change->offset,
                                          change->keep, base->append.frame_sequence);
        if (status) {
            topic_log_fail(base->log, "remembering removed segments", status);
        }
    }
    return status;
}

int registry_move_log_start(struct topic_log *log, struct log_partition *partition, int64_t offset,
                            int64_t keep, struct topic_log_request *request) {
    struct start_change *change = calloc(1, sizeof *change);
    if (!change) {
        return err_origin(-ENOMEM);
    }
    struct partition *public = &partition->public;
    bool drops = partition->segment_count > 0 && partition->segments[0].base_offset < keep;
    change->change.topic = partition->topic;
    change->change.request = request;
    if (offset <= public->log_start_offset && !drops) {
        return send_parts(log, &change->change); /* an append of nothing: done() follows */
    }
    change->change.finished = on_log_start;
    change->change.delays_state = true;
    change->partition = partition;
    change->offset = offset;
    change->keep = keep;
    struct text value;
    registry_record_begin(&value, REGISTRY_LOG_START);
    fields_put(&value, partition->topic->public.number, 4);
    fields_put(&value, (uint32_t) public->index, 4);
    fields_put(&value, (uint64_t)offset, 8);
    fields_put(&value, (uint64_t)keep, 8);
    int r = registry_change_send(log, &change->change, REGISTRY_LOG_START, &value);
    if (r == 0) {
        partition->start_moves_under_way++;
        partition->roll_next |= keep == public->log_end_offset;
    }
    return r;
}

int topic_log_delete_records(struct topic_log *log, struct partition *public, int64_t offset,
                             struct topic_log_request *request) {
    struct log_partition *partition = log_partition_of(public);
    const struct topic *topic = &partition->topic->public;
    if (log->failed || log->state != LOG_READY) {
        return TOPIC_E_FAILED;
    }
    if (topic->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    if (topic->number == 0 || !topic_config_deletes(log, topic)) {
        return BROKER_E_POLICY;
    }
    offset = offset == -1 ? public->high_watermark : offset;
    if (offset < 0 || offset > public->high_watermark) {
        return TOPIC_E_OUT_OF_RANGE;
    }
    const struct guard *guard = partition_first_guard(partition);
    if (guard && offset > guard->offset && offset > public->log_start_offset) {
        return BROKER_E_POLICY;
    }
    return registry_move_log_start(log, partition, offset, partition_keep(partition, offset),
                                   request);
}

/* ---- producer ids ---- */

struct ids_change {
    struct registry_change change; /* first */
    int64_t end;
    void (*done)(struct topic_log *log, int status);
};

static int on_ids(struct registry_change *base, int status) {
    struct ids_change *change = container_of(base, struct ids_change, change);
    struct topic_log *log = base->log;
    if (status == 0) {
        if (log->producer_next >= log->producer_durable_end) {
            log->producer_next = change->end - PRODUCER_BLOCK;
        }
        log->producer_durable_end = change->end;
    }
    log->producer_reserved_end = log->producer_durable_end;
    if (change->done) {
        change->done(log, status);
    }
    return status;
}

int registry_reserve_producers(struct topic_log *log,
                               void (*done)(struct topic_log *log, int status)) {
    struct text value;
    int64_t end = log->producer_durable_end + PRODUCER_BLOCK;
    registry_record_begin(&value, REGISTRY_PRODUCER_IDS);
    fields_put(&value, (uint64_t)end, 8);
    struct ids_change *change = calloc(1, sizeof *change);
    if (change) {
        change->change.finished = on_ids;
        change->end = end;
        change->done = done;
    }
    int r =
        registry_change_send(log, change ? &change->change : NULL, REGISTRY_PRODUCER_IDS, &value);
    if (r) {
        return r;
    }
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
