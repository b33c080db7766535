/* Between coordinator.c (groups, offsets), group_write.c (durable writes), tombstones.c, expiry.c,
 * load.c and the handlers. */
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
    size_t counted_bytes; /* taken from the budget */
    uint8_t key[];        /* topic, 0, partition, metadata */
};
static inline struct span offset_entry_topic(const struct offset_entry *entry) {
    return span_of(entry->key, entry->topic_size);
}

struct group_entry {
    struct coordinator *coordinator;
    struct group *group;
    struct hashmap offsets; /* struct offset_entry */
    unsigned writes;        /* appends under way that name this group */
    bool recorded;          /* a record of the group itself is durable, not only of its offsets */
    bool deleted;           /* not in the map any more; freed with the last write */
    bool expire_later;      /* the retention check met a write under way: look again at its end */
};

struct load;

/* The retention check, a slice of the groups in each turn of the loop (expiry.c). */
struct expiry {
    struct timer timer;
    size_t position; /* of the walk under way over the groups */
    bool walking;
    bool hurried;     /* it comes earlier than the setting says */
    int64_t ended_ns; /* the last one, on the clock that never goes back */
};

struct coordinator {
    struct coordinator_config config;
    struct group_budget budget;
    struct hashmap groups; /* struct group_entry by id */
    struct expiry expiry;
    struct load *load; /* NULL: loaded */
    bool load_failed;
    struct coordinator_stats stats;
};

/** group_entry_find() - NULL when absent */
struct group_entry *group_entry_find(struct coordinator *coordinator, struct span id);
/** group_entry_get() - find or make; one is made only when @more_bytes fit into the memory beside
 * it. KAFKA_NONE, or what to answer */
enum kafka_error group_entry_get(struct coordinator *coordinator, struct span id, size_t more_bytes,
                                 struct group_entry **ret_entry);
/** group_entry_is_unused() - neither members nor offsets nor anything durable speak of it */
bool group_entry_is_unused(const struct group_entry *entry);
/** group_entry_record() - write that there is this group, which nobody has joined yet. A log that
 * takes nothing ends the write before the return, and @entry with it */
void group_entry_record(struct group_entry *entry);
/** group_entry_remove() - out of the map; freed when its last write has ended */
void group_entry_remove(struct group_entry *entry);

/** offset_entry_has_room() - may @bytes of topic and metadata be kept for an offset that is not
 * there yet, beside *@promised_bytes, to which it is added? Counts a refusal */
bool offset_entry_has_room(struct group_entry *group, size_t bytes, size_t *promised_bytes);
/** offset_entry_put() - keep what is durable; the budget was asked before it was written */
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
    bool failed;                                         /* a record could not be encoded */
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

/** group_write_clock() - the wall clock, as records carry it */
int64_t group_write_clock_ms(const struct group_entry *entry);

/*
 * Removals of offsets, and of the group itself, written in as many batches as they need. What a
 * batch removes is forgotten in memory when that batch is durable, so memory follows the log's
 * order.
 */
struct tombstones;
struct tombstones *tombstones_new(struct group_entry *entry); /* NULL without memory */
void tombstones_add_offset(struct tombstones *tombstones, struct span topic, int32_t partition);
/** tombstones_add_group() - last: the group goes too, unless somebody is in it by then */
void tombstones_add_group(struct tombstones *tombstones);
size_t tombstones_count(const struct tombstones *tombstones);
/** tombstones_submit() - write them; @done (may be NULL) exactly once, with 0 when all are durable,
 * maybe before the return. Frees @tombstones. With none in it, @done is called at once */
void tombstones_submit(struct tombstones *tombstones, void (*done)(void *userdata, int status),
                       void *userdata);
void tombstones_discard(struct tombstones *tombstones);

/** expiry_start() - check from now on; all groups are loaded */
void expiry_start(struct coordinator *coordinator);
/** expiry_hurry() - memory is full: check soon, which forgets groups that hold nothing */
void expiry_hurry(struct coordinator *coordinator);
void expiry_stop(struct coordinator *coordinator);
/** expiry_check_group() - write tombstones for what has outlived its retention */
void expiry_check_group(struct group_entry *entry);

/** coordinator_check() - may group requests be served now? */
enum kafka_error coordinator_check(const struct coordinator *coordinator);
/** coordinator_check_member() - and is the id one that members may use? Offsets may be kept for the
 * empty one */
enum kafka_error coordinator_check_member(struct coordinator *coordinator, struct span group_id);

/** load_start() - read __consumer_offsets; calls load_finished() */
void load_start(struct coordinator *coordinator);
/** load_look_again() - a topic was deleted while groups load */
void load_look_again(struct coordinator *coordinator);
void load_abandon(struct coordinator *coordinator);

extern const struct kafka_handler coordinator_handler_rows[];
extern const size_t coordinator_handler_count;
