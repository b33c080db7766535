/*
 * What the files of the registry share: registry.c (topics in memory), registry_config.c (their
 * configs), registry_records.c (bytes, replay), registry_changes.c (a change under way),
 * registry_state.c (the state as one record) and whoever else puts a record there.
 */
#pragma once

#include "fields.h"
#include "log_private.h"

enum registry_type {
    REGISTRY_TOPIC_CREATED = 1,
    REGISTRY_TOPIC_DELETED,
    REGISTRY_PRODUCER_IDS,
    REGISTRY_TOPIC_CONFIGURED,
    REGISTRY_PARTITIONS_ADDED,
    REGISTRY_LOG_START,
    REGISTRY_SEGMENTS_SWAPPED,
    REGISTRY_STATE,
};
enum { REGISTRY_VERSION = 1 };

/* A record on its way to the journal; the first member of what its maker wants to remember. */
struct registry_change {
    struct append append;
    struct append_part part;
    struct list link; /* in log->changes */
    struct topic_log *log;
    struct topic_log_request *request; /* NULL: nobody waits */
    struct log_topic *topic;           /* with a reference; may be NULL */
    /* What it will change shows only when it is durable: a record with the whole state that is
     * encoded behind it would have the old value and be replayed after it. So that one waits
     * (registry_state.c). */
    bool delays_state;
    /**
     * finished() - with 0: the record is durable, now memory follows it; a checkpoint is taken only
     * when all of its frame have. Return: what the request is told. May be NULL.
     */
    int (*finished)(struct registry_change *change, int status);
    /** destroy() - what the maker's part holds; called once, whatever happens. May be NULL. */
    void (*destroy)(struct registry_change *change);
};

/* ---- registry.c ---- */

int registry_init(struct topic_log *log);
struct log_topic *topic_new(struct topic_log *log, struct span name, const struct uuid *id,
                            uint32_t number, int32_t partition_count);
void topic_free(struct log_topic *topic);
/** topic_reserve() - room for partitions up to @count; topic_grow() makes them part of the topic */
int topic_reserve(struct log_topic *topic, int32_t count, struct partition_block **ret_block);
void topic_grow(struct log_topic *topic, struct partition_block *block);
int registry_insert(struct topic_log *log, struct log_topic *topic);
void registry_remove(struct topic_log *log,
                     struct log_topic *topic); /* from the maps by name and id */
/** registry_forget() - the log's own reference ends: the deletion is durable, or the creation never
 * was */
void registry_forget(struct topic_log *log, struct log_topic *topic);
struct log_topic *registry_by_number(struct topic_log *log, uint32_t number);

/* ---- registry_config.c ---- */

int registry_defaults_init(struct topic_log *log);
void registry_config_encode(struct text *out, const struct topic_config *config);
/** registry_config_decode() - names that this version does not know are passed over */
int registry_config_decode(struct fields *in, struct topic_config *config);
/** registry_config_apply() - the body of a record topic_configured, in replay */
int registry_config_apply(struct topic_log *log, struct span body);

/* ---- registry_records.c ---- */

void registry_topic_encode(struct text *out, const struct topic *topic, int32_t partition_count,
                           const struct topic_config *config);
int registry_topic_decode(struct topic_log *log, struct fields *fields,
                          struct log_topic **ret_topic);
/** registry_takes_away() - whether @batch, of the registry, may remove a topic or segments, or put
 * others in their place */
bool registry_takes_away(struct span batch);
/** registry_apply() - apply one record batch of the registry in replay. Thread: recovery */
int registry_apply(struct topic_log *log, struct span batch, uint64_t sequence);
/** registry_widen() - the topic has @count partitions at least. Thread: recovery */
int registry_widen(struct topic_log *log, struct log_topic *topic, int32_t count);

/* ---- registry_state.c ---- */

/** registry_state_maybe() - write the whole state when the registry's log has grown; after each
 * change */
void registry_state_maybe(struct topic_log *log);
/** registry_state_apply() - the fields of such a record, whose batch is at @offset. Thread:
 * recovery
 */
int registry_state_apply(struct topic_log *log, struct fields *in, int64_t offset,
                         uint64_t sequence);

/* ---- registry_changes.c ---- */

/** registry_record_begin() - type and version; the fields follow */
void registry_record_begin(struct text *value, enum registry_type type);
/**
 * registry_change_send() - put a record on its way; @value is used up
 * @change: from calloc(), as part of whatever begins with it; NULL is -ENOMEM. Freed at the end, or
 * here on error. Return: 0, and finished() follows; else nothing has happened.
 */
int registry_change_send(struct topic_log *log, struct registry_change *change,
                         enum registry_type type, struct text *value);
void registry_deinit(struct topic_log *log);
int registry_reserve_producers(struct topic_log *log,
                               void (*done)(struct topic_log *log, int status));
/**
 * registry_move_log_start() - the log of @partition begins at @offset, which is at most its high
 * watermark, and at @keep its first segment; the log end, with nothing on its way: no segment stays
 */
int registry_move_log_start(struct topic_log *log, struct log_partition *partition, int64_t offset,
                            int64_t keep, struct topic_log_request *request);
