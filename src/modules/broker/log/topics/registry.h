/*
 * What the files of the registry share: registry.c (topics in memory), registry_config.c (their
 * configs), registry_records.c (bytes, replay), registry_changes.c (a change under way),
 * registry_state.c (the state as one record) and whoever else puts a record there.
 */
#pragma once

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
     * encoded behind it would have the old value and be replayed after it. So that waits
     * (registry_state.c), whether the change moves a file or not. */
    bool moves_files;
    /**
     * finished() - with 0: the record is durable, now memory follows it; a checkpoint is taken only
     * when all of its frame have. Return: what the request is told. May be NULL.
     */
    int (*finished)(struct registry_change *change, int status);
    /** destroy() - what the maker's part holds; called once, whatever happens. May be NULL. */
    void (*destroy)(struct registry_change *change);
};

/* ---- registry_records.c ---- */

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
