/* Between coordinator.c (groups, offsets, durable writes), load.c and the handlers. */
#pragma once

#include "coordinator.h"

#include <errno.h>
#include <eventbox/base/hashmap.h>

struct group_entry;

/* One committed offset: the key of the map is "topic\0partition(be32)". */
struct offset_entry {
    struct committed_offset committed; /* metadata points behind the key */
    size_t topic_size;
    int32_t partition;
    size_t key_size;
    uint8_t key[]; /* topic, 0, partition, metadata */
};
static inline struct span offset_entry_topic(const struct offset_entry *entry) {
    return span_of(entry->key, entry->topic_size);
}

struct group_entry {
    struct coordinator *coordinator;
    struct group *group;
    struct hashmap offsets; /* struct offset_entry */
    unsigned writes;        /* appends under way that name this group */
    bool deleted;           /* not in the map any more; freed with the last write */
};

struct load;

struct coordinator {
    struct coordinator_config config;
    struct hashmap groups; /* struct group_entry by id */
    struct load *load;     /* NULL: loaded */
    bool load_failed;
    struct coordinator_stats stats;
};

/** group_entry_find() - NULL when absent */
struct group_entry *group_entry_find(struct coordinator *coordinator, struct span id);
/** group_entry_get() - find or make. KAFKA_NONE, or what to answer */
enum kafka_error group_entry_get(struct coordinator *coordinator, struct span id,
                                 struct group_entry **ret_entry);
/** group_entry_remove() - out of the map; freed when its last write has ended */
void group_entry_remove(struct group_entry *entry);

int offset_entry_put(struct group_entry *group, struct span topic, int32_t partition,
                     const struct committed_offset *committed);
struct offset_entry *offset_entry_find(struct group_entry *group, struct span topic,
                                       int32_t partition);
void offset_entry_remove(struct group_entry *group, struct span topic, int32_t partition);

/* A batch of records about one group on its way to disk. */
struct group_write {
    struct append append;
    struct append_part part;
    struct group_entry *entry;
    struct record_batch_builder builder;
    void (*done)(struct group_write *write, int status); /* then the write is freed */
    void *userdata;
    uint64_t ticket;
};
struct group_write *group_write_new(struct group_entry *entry);
/** group_write_add() - a record; @value.data NULL: tombstone. The texts are cleared by this call */
void group_write_add(struct group_write *write, struct text *key, struct text *value);
/** group_write_submit() - append; done() follows exactly once, maybe before the return when it
 * cannot be queued */
void group_write_submit(struct group_write *write,
                        void (*done)(struct group_write *write, int status));

/** group_write_discard() - drop a write that was not submitted; accepts NULL */
void group_write_discard(struct group_write *write);

/** coordinator_check() - may group requests be served now, is the id valid? */
enum kafka_error coordinator_check(struct coordinator *coordinator, struct span group_id);

/** load_start() - read __consumer_offsets; calls load_finished() */
void load_start(struct coordinator *coordinator);
void load_abandon(struct coordinator *coordinator);

extern const struct kafka_handler coordinator_handler_rows[];
extern const size_t coordinator_handler_count;
