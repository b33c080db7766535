/*
 * The topic log: topics, partitions, their durable order. The rest of the broker sees of log/ this
 * header, topics/topic_config.h and, for its commands, inspect/inspect.h. Everything here runs on
 * the loop; files are the business of the threads behind it; README.md has the way of a batch, the
 * invariants and what fails how.
 *
 * Promise: an append's done(0) comes after the journal frame with its batches is synced; only
 * where every topic of it has flush.ms it comes when the frame is about to be written. Readers see
 * nothing above the high watermark, which is the durable mark.
 */
#pragma once

#include "record_batch.h"
#include "topics/topic_config.h"

#include <eventbox/base/clock.h>
#include <eventbox/base/hashmap.h>
#include <eventbox/base/list.h>
#include <eventbox/base/random.h>
#include <eventbox/base/uuid.h>
#include <eventbox/host/metric.h>
#include <eventbox/loop/conn.h>
#include <eventbox/loop/disk.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/topic.h>
#include <eventbox/loop/work.h>

struct topic_log;

/* What happened that an operator should know; report.c of the broker turns it into log lines. */
enum topic_log_event {
    TOPIC_LOG_RECOVERED,  /* text: "replayed 12 frames, 3.1 MiB, in 8 ms" */
    TOPIC_LOG_TORN_TAIL,  /* text names the cut file and bytes */
    TOPIC_LOG_DAMAGED,    /* records are lost: text names topic, partition and offset range */
    TOPIC_LOG_MENDED,     /* something derived was damaged and is made anew; no record is lost */
    TOPIC_LOG_FAILED,     /* a write or sync failed: nothing is acknowledged until a restart */
    TOPIC_LOG_DISK_LOW,   /* room is short: text says what waits, fails or is refused for it */
    TOPIC_LOG_DISK_FULL,  /* what is acknowledged waits for room: the host gives up its reserve */
    TOPIC_LOG_DISK_AGAIN, /* it has been written */
    TOPIC_LOG_HELD,       /* retention waits for a consumer or a clock, which text names */
};

/* Bounds and intervals, as they stay for the life of the log; limits.c of the broker makes them of
 * its settings. */
struct topic_log_limits {
    uint64_t journal_first_bytes; /* size of the first journal file */
    uint64_t journal_max_bytes;   /* of all journal files together */
    uint64_t group_max_bytes;     /* of one frame but for zeros, unless one atomic unit is larger */
    uint64_t gather_bytes;        /* batches from here on are written to the journal uncopied */
    uint64_t segment_bytes;       /* roll beyond; default of segment.bytes */
    uint64_t tail_bytes; /* batches in memory, of all partitions; back pressure counts in it */
    uint64_t tail_spread_bytes; /* and at most so much more while many are written to */
    uint32_t partitions_max;
    uint32_t max_message_bytes; /* of one batch; default of max.message.bytes */
    uint32_t open_files_max;
    int64_t checkpoint_ms;
    uint64_t checkpoint_bytes;
    uint64_t replay_bytes; /* frames that a start has in memory, or one that is larger */
    int64_t producer_expiry_ms;
    uint32_t producers_max;        /* remembered, counted in each partition that they write to */
    int64_t retention_check_ms;    /* how often old segments are looked for */
    int64_t cleaner_ms;            /* how often it is looked what to compact; 0: never */
    uint64_t cleaner_memory_bytes; /* of the map of keys */
    uint64_t cleaner_bytes_per_second;   /* read and written; 0: no limit */
    uint64_t registry_bytes;             /* the registry writes its state anew beyond */
    unsigned checkpoint_turn_partitions; /* encoded for a checkpoint in one turn of the loop */
    int64_t scrub_interval_ms;           /* each closed segment is checked once in it; 0: never */
    uint64_t scrub_bytes_per_second;
};
#define TOPIC_LOG_LIMITS_DEFAULT                                                                   \
    ((struct topic_log_limits){                                                                    \
        .journal_first_bytes = MIB(1),                                                             \
        .journal_max_bytes = MIB(256),                                                             \
        .group_max_bytes = MIB(1),                                                                 \
        .gather_bytes = KIB(32),                                                                   \
        .segment_bytes = (uint64_t)1 << 30,                                                        \
        .tail_bytes = MIB(8),                                                                      \
        .tail_spread_bytes = 0,                                                                    \
        .partitions_max = 20000,                                                                   \
        .max_message_bytes = 1048588,                                                              \
        .open_files_max = 512,                                                                     \
        .checkpoint_ms = 10000,                                                                    \
        .checkpoint_bytes = MIB(64),                                                               \
        .replay_bytes = MIB(24),                                                                   \
        .producer_expiry_ms = INT64_C(86400000),                                                   \
        .producers_max = 100000,                                                                   \
        .retention_check_ms = 300000,                                                              \
        .cleaner_ms = 15000,                                                                       \
        .cleaner_memory_bytes = MIB(4),                                                            \
        .cleaner_bytes_per_second = 0,                                                             \
        .registry_bytes = MIB(1),                                                                  \
        .checkpoint_turn_partitions = 256,                                                         \
        .scrub_interval_ms = 0,                                                                    \
        .scrub_bytes_per_second = MIB(4),                                                          \
    })

/* All that is pointed to is borrowed for the life of the log. */
struct topic_log_config {
    struct loop *loop;
    struct work_port *work;
    struct disk *disk; /* rooted at the data folder */
    struct clock *clock;
    struct random *random;
    struct topic_log_limits limits;
    /* On the loop; @text is borrowed for the call. NULL: nobody wants to know. */
    void (*on_event)(void *userdata, enum topic_log_event event, const char *text);
    void *userdata;
};

/** topic_log_new() - a log that has touched no file yet; @config is copied. Return: 0; negative */
int topic_log_new(const struct topic_log_config *config, struct topic_log **ret_log);
/**
 * topic_log_start() - start the threads, recover off the loop, be ready
 * @done: once, with 0; BROKER_E_NEWER: a later version has written there; BROKER_E_CORRUPT:
 * on_event has said what stands in the way; any other code of the disk; negative. Before the return
 * where a thread cannot be started. After a failure nothing is appended; stop and free it.
 */
void topic_log_start(struct topic_log *log, void (*done)(void *userdata, int status),
                     void *userdata);
/**
 * topic_log_stop() - finish queued appends, write segments, checkpoint; afterwards a start replays
 * nothing. On a full disk it gives up after 10 s, and a start replays what the journal has.
 * @done: once, also when the log has failed; before the return where nothing was started.
 */
void topic_log_stop(struct topic_log *log, void (*done)(void *userdata), void *userdata);
/** topic_log_free() - one that is stopped or was never started; NULL. An abandoned simulation, too:
 * then nobody who waits is called */
void topic_log_free(struct topic_log *log);

/** topic_log_failed() - a write or sync has failed: nothing is acknowledged until a restart */
bool topic_log_failed(const struct topic_log *log);

/* Room on the disk, as the host watches it. */
enum topic_log_room { TOPIC_LOG_ROOM_OK, TOPIC_LOG_ROOM_LOW, TOPIC_LOG_ROOM_FULL };
/**
 * topic_log_set_room() - tell the log of a new state
 * While it is FULL, client appends and new topics of clients are refused with TOPIC_E_FULL, also
 * those that wait already; everything else goes on. While it is LOW, retention looks at once, and
 * as long as a consumer's guard keeps it from freeing what it would, client appends are refused
 * too: the guard never yields.
 */
void topic_log_set_room(struct topic_log *log, enum topic_log_room room);

/* ---- topics ---- */

struct partition;

struct topic {
    char name[250];
    struct uuid id;
    uint32_t number; /* 32-bit id of the folders, never used again */
    bool internal;   /* __consumer_offsets and ours: visible, not writable by clients */
    bool declared;   /* by a module: not to be deleted or widened (error 44) */
    bool deleted;    /* gone from the maps; freed with the last reference */
    unsigned refs;
    int32_t partition_count;
    struct partition **partitions;
    struct topic_config config;
};

/** topic_log_find() - NULL when absent. Borrowed until the loop goes on; topic_ref() keeps it */
struct topic *topic_log_find(struct topic_log *log, struct span name);
/** topic_log_find_id() - the same by id (KIP-516) */
struct topic *topic_log_find_id(struct topic_log *log, const struct uuid *id);
/** topic_log_next() - iteration in no order; start with *position = 0, NULL is the end. Nothing may
 * be made or deleted meanwhile */
struct topic *topic_log_next(struct topic_log *log, size_t *position);
struct topic *topic_ref(struct topic *topic);
void topic_unref(struct topic *topic); /* accepts NULL */
/** topic_name_valid() - [A-Za-z0-9._-]{1,249}, not . or .. */
bool topic_name_valid(struct span name);

/* What a topic is to be; borrowed for the call that makes it. */
struct topic_spec {
    struct span name;
    int32_t partition_count;
    bool internal, declared;
    const struct topic_config_entry *configs; /* ends with a row of zeros; NULL: none */
};

/*
 * A change of the registry under way; embedded in its owner, which keeps it until done(). That
 * follows once where the call returned 0, never before the return: with 0 when the registry's
 * record is durable, with TOPIC_E_FAILED when nobody knows whether it is.
 */
struct topic_log_request {
    struct list link; /* for whoever implements this header */
    void (*done)(struct topic_log_request *request, int status);
    struct topic *topic; /* out: that it is about, valid during done() */
};

/**
 * topic_log_create() - make a topic. It is found, and takes appends, as soon as this returns 0 (its
 * registry record precedes them in the journal); done() tells when that is durable. Ranges of
 * configs are not looked at: topic_config_check() does, for who has to.
 * Return: 0; TOPIC_E_EXISTS; TOPIC_E_NAME; BROKER_E_PARTITIONS: fewer than 1, or with the others
 * beyond limits.partitions_max; BROKER_E_CONFIG: no such config, or not of its type; TOPIC_E_FULL;
 * TOPIC_E_FAILED; negative.
 */
int topic_log_create(struct topic_log *log, const struct topic_spec *spec,
                     struct topic_log_request *request);
/**
 * topic_log_delete() - the name is free at once; parked waiters wake; files go when
 * two checkpoints cover the record
 *
 * Return: 0; TOPIC_E_UNKNOWN (deleted already); BROKER_E_POLICY (declared, or its name begins with
 * __eventbox); TOPIC_E_FULL; TOPIC_E_FAILED; negative.
 */
int topic_log_delete(struct topic_log *log, struct topic *topic, struct topic_log_request *request);

/** topic_log_defaults() - every topic config of the broker: what holds where a topic sets nothing.
 * Borrowed */
const struct topic_config *topic_log_defaults(const struct topic_log *log);
/** topic_log_set_default() - what topics without a value of their own fall back to from now on, in
 * this run: api/config_store.c keeps it. Return: 0; BROKER_E_CONFIG: not of its type; -ENOMEM */
int topic_log_set_default(struct topic_log *log, enum topic_config_key key, struct span value);
/** topic_log_config_latest() - of @topic, with changes that are still on their way to the disk;
 * borrowed until the loop goes on */
const struct topic_config *topic_log_config_latest(const struct topic *topic);
/**
 * topic_log_configure() - @topic sets what @config sets and nothing else, from the moment when that
 * is durable and done() tells so. @config is copied; build it on a copy of
 * topic_log_config_latest(), so that changes one after the other add up.
 * Return: 0; TOPIC_E_UNKNOWN, TOPIC_E_FULL, TOPIC_E_FAILED; negative.
 */
int topic_log_configure(struct topic_log *log, struct topic *topic,
                        const struct topic_config *config, struct topic_log_request *request);
/**
 * topic_log_add_partitions() - @topic has @count partitions from now on. They take appends as soon
 * as this returns 0, as with topic_log_create().
 * Return: 0; BROKER_E_PARTITIONS (not more than now, or beyond the limit), BROKER_E_POLICY
 * (as with topic_log_delete()), TOPIC_E_UNKNOWN (deleted), TOPIC_E_FULL, TOPIC_E_FAILED; negative.
 */
int topic_log_add_partitions(struct topic_log *log, struct topic *topic, int32_t count,
                             struct topic_log_request *request);

/* ---- partitions ---- */

/* As long as its topic; the log's to change. */
struct partition {
    struct topic *topic;
    int32_t index;
    int32_t leader_epoch;
    int64_t log_start_offset;
    int64_t log_end_offset; /* next to be assigned; not all below it is durable */
    int64_t high_watermark; /* durable mark */
    struct list waiters;    /* struct partition_waiter.link */
};

/** partition_last_stable_offset() - the first offset that read_committed must not see: the high
 * watermark, as long as there are no transactions */
static inline int64_t partition_last_stable_offset(const struct partition *partition) {
    return partition->high_watermark;
}
/** partition_get() - NULL when @index is out of range */
struct partition *partition_get(struct topic *topic, int32_t index);
/**
 * topic_log_delete_records() - the log of @partition begins at @offset; -1: at its high watermark.
 * By the time of done() log_start_offset says so, durably; it is what it was where that is more.
 * Segments wholly below go later. Source: KIP-107.
 * Return: 0; TOPIC_E_OUT_OF_RANGE (beyond the high watermark), BROKER_E_POLICY (compacted and not
 * deleted from, or an in-process consumer needs what would go), TOPIC_E_UNKNOWN, TOPIC_E_FULL,
 * TOPIC_E_FAILED.
 */
int topic_log_delete_records(struct topic_log *log, struct partition *partition, int64_t offset,
                             struct topic_log_request *request);

/* Wakes when the high watermark has advanced, or the topic is gone, or the log failed. Embedded in
 * its owner; stays linked until removed, which wake() may do with any. */
struct partition_waiter {
    struct list link; /* zeroed before its first use */
    void (*wake)(struct partition_waiter *waiter);
};
void partition_wait(struct partition *partition, struct partition_waiter *waiter);
void partition_unwait(struct partition_waiter *waiter); /* harmless when not linked */

/* ---- append ---- */

enum append_class {
    APPEND_CLIENT,   /* Produce: waits or is refused when journal or memory is used up */
    APPEND_RESERVED, /* registry, offset commits, relay, in-process consumers: has a share of its
                        own */
};

struct append_part {
    struct partition *partition;
    struct slice batch;  /* one record batch v2; base offset and epoch are written into it by the
                            log, or into a copy, so the buf must be the append's own; the log takes
                            a reference where it does not copy */
    int64_t base_offset; /* out: assigned, or that of the original for an exact duplicate */
    int64_t log_append_time_ms; /* out: -1 with CreateTime */
    bool duplicate;             /* out: appended before; done() waits until that is durable */
};

/* One atomic unit: all parts become durable in one frame, or none. Embedded in its owner, which
 * keeps it until done(). */
struct append {
    struct list link; /* the log's until done() */
    enum append_class class;
    struct append_part *parts;
    unsigned part_count;
    /* 0; TOPIC_E_FAILED: outcome unknown; for a client append that had to wait for room also what
     * topic_log_append() would have returned: nothing was appended then. */
    void (*done)(struct append *append, int status);
    uint64_t frame_sequence; /* out, with done(0): the frame; not where flush.ms answers early */
};

/**
 * topic_log_append() - check (header, CRC, size, producer sequence), assign offsets, queue for the
 * journal
 *
 * A client append waits, unchecked and without offsets, while journal or memory is used up; its
 * parts are filled in by the time of done(). Until then @append and its parts stay; of topics and
 * bufs the log takes references of its own.
 *
 * Return: 0, done() follows and never before the return; otherwise nothing was appended and done()
 * does not follow: BROKER_E_CORRUPT, BROKER_E_SEQUENCE, BROKER_E_EPOCH, BROKER_E_INVALID_RECORD,
 * TOPIC_E_TOO_LARGE (a client's batch beyond max.message.bytes; any append whose frame takes more
 * than half of journal_max_bytes), TOPIC_E_FULL, TOPIC_E_FAILED, TOPIC_E_UNKNOWN (deleted);
 * negative.
 */
int topic_log_append(struct topic_log *log, struct append *append);

/**
 * topic_log_producer_id() - a new producer id; ids are reserved in durable blocks and never given
 * out twice
 * Return: 0; TOPIC_E_FULL: the next block is on its way, try again; TOPIC_E_FAILED.
 */
int topic_log_producer_id(struct topic_log *log, int64_t *ret_producer_id);

/* ---- read ---- */

struct read_chunk {
    struct slice slice;     /* with a reference of its own; buf NULL: the file range below */
    struct conn_file *file; /* with a reference of its own */
    uint64_t file_offset;
    size_t size;
};

enum { READ_CHUNKS_MAX = 64 };

/* One read of one partition; embedded in its owner, which keeps it until done(). */
struct partition_read {
    struct partition *partition;
    int64_t offset;
    size_t max_bytes;
    bool min_one_batch; /* return the first batch even when it is larger than max_bytes (KIP-74) */
    bool memory_only;   /* chunks must be slices (in-process readers, TLS), never file ranges */
    void (*done)(struct partition_read *read, int status);
    /* out */
    struct read_chunk chunks[READ_CHUNKS_MAX];
    unsigned chunk_count;
    size_t bytes; /* whole batches; the first contains @offset */
};

/**
 * partition_read() - whole batches from the one that contains @offset, up to the high watermark;
 * none at the high watermark, nor where the first is larger than @max_bytes without min_one_batch
 *
 * Return: 0 and the result is there, done() is not called; OP_WAIT, done() follows on the loop (the
 * range must come from disk); TOPIC_E_OUT_OF_RANGE; BROKER_E_CORRUPT (damaged range);
 * TOPIC_E_UNKNOWN; TOPIC_E_FULL (too many reads wait for the disk); negative. done() gets the same.
 */
int partition_read(struct topic_log *log, struct partition_read *read);
/** partition_read_release() - drop the references of the chunks; of one that was handed on the
 * owner has cleared slice.buf and file */
void partition_read_release(struct partition_read *read);

/* First record with timestamp >= @timestamp_ms, as ListOffsets asks (KIP-79); also the record with
 * the largest timestamp (KIP-734). Embedded in its owner, which keeps it until done(). */
struct partition_lookup {
    struct partition *partition;
    int64_t timestamp_ms; /* -3: the record with the largest timestamp */
    void (*done)(struct partition_lookup *lookup, int status);
    int64_t ret_offset;       /* -1: none */
    int64_t ret_timestamp_ms; /* -1: none */
    int32_t ret_leader_epoch; /* -1: none */
};
/**
 * partition_lookup() - Return: 0 and the answer is there, done() is not called; OP_WAIT, done()
 * follows on the loop; TOPIC_E_UNKNOWN; TOPIC_E_FULL (too many reads wait for the disk); negative.
 * done() gets the same, and BROKER_E_CORRUPT: what was looked for may be in damaged batches.
 */
int partition_lookup(struct topic_log *log, struct partition_lookup *lookup);
/** partition_epoch_end() - end offset of the largest epoch <= @epoch (OffsetForLeaderEpoch,
 * KIP-101, KIP-320); -1, -1 when none */
void partition_epoch_end(struct topic_log *log, struct partition *partition, int32_t epoch,
                         int32_t *ret_epoch, int64_t *ret_end_offset);
/** partition_guard() - in-process consumer @name, which is copied, still needs records from @offset
 * on; INT64_MAX removes the guard. Return: 0; -ENOMEM */
int partition_guard(struct topic_log *log, struct partition *partition, const char *name,
                    int64_t offset);

/** partition_guard_standing() - @name is a consumer of this run: until its first partition_guard()
 * it needs all there is, and its guard stays where it is when it takes it away. Return: as above */
int partition_guard_standing(struct topic_log *log, struct partition *partition, const char *name);

/** topic_log_retain() - look for old segments now, not only when it is time */
void topic_log_retain(struct topic_log *log);

/* A consumer whose guard keeps what retention would remove. Valid until the loop goes on. */
struct topic_log_holder {
    const char *consumer;
    const struct partition *partition;
    int64_t offset; /* it needs what lies here and behind */
    uint64_t bytes; /* kept for its sake */
};
/** topic_log_holder() - the one that holds the most. Return: whether there is one */
bool topic_log_holder(const struct topic_log *log, struct topic_log_holder *ret_holder);

/** topic_log_held() - whether client appends are refused for the sake of a consumer's guard */
bool topic_log_held(const struct topic_log *log, struct topic_log_holder *ret_holder);

/* ---- figures ---- */

/** partition_bytes() - of its batches, in segments or on their way there */
uint64_t partition_bytes(const struct partition *partition);

/* How much the file system of the log holds and has left; embedded in its owner until done(). */
struct topic_log_space {
    void (*done)(struct topic_log_space *space, int status);
    uint64_t total_bytes, free_bytes; /* out */
};
/** topic_log_space() - ask the disk, off the loop; 0 and done() follows, or WORK_E_FULL and others
 */
int topic_log_space(struct topic_log *log, struct topic_log_space *space);

/* What is counted, since the start of this run; what is now; and the last of a kind. */
struct topic_log_stats {
    uint64_t frames, frame_bytes, appends, append_bytes, reads_memory, reads_cache, reads_disk;
    uint64_t read_bytes_memory, read_bytes_cache, read_bytes_disk;
    uint64_t refused_full, duplicates;
    uint64_t reads_refused; /* reads and lookups, where too many waited for the disk */
    /* Of a journal frame: its size; from its hand-over to the log writer until it is known to be
     * durable; the write with its sync alone. */
    struct metric_histogram group_bytes, group_ns, sync_ns;
    uint64_t journal_bytes_in_use, queued_appends, queued_bytes;
    uint64_t throttled_bytes; /* of client appends that wait for room */
    uint32_t topics, partitions, segments;
    uint32_t open_files; /* of segments: written to, to be synced, or kept for readers */
    uint64_t segments_removed, held_bytes;         /* the latter as of the last look at retention */
    uint64_t registry_states;                      /* how often its state was written anew */
    uint64_t snapshots_written, snapshots_dropped; /* of producers */
    uint32_t producers;           /* remembered, counted in each partition that they write to */
    uint64_t producers_forgotten; /* beyond limits.producers_max */
    uint64_t removals_failed;     /* unlinks of a segment or topic, each try */
    uint64_t checkpoints, checkpoint_increments; /* of all; those of them that are increments */
    uint64_t checkpoint_bytes;
    int64_t recovery_ms;
    uint64_t compactions, compactions_failed, compaction_bytes_before, compaction_bytes_after;
    uint64_t compaction_records_removed, compaction_ns_total;
    uint64_t compaction_map_keys, compaction_map_bytes; /* of the last run */
    uint64_t scrub_segments, scrub_bytes;               /* that the scrub has read */
    uint64_t scrub_damaged, scrub_unreadable;           /* ranges, by reads too; segments refused */
    int64_t scrub_ended_s;                              /* wall clock; 0: no whole round yet */
};
/** topic_log_stats() - walks all topics: for /metrics, not for each request */
void topic_log_stats(const struct topic_log *log, struct topic_log_stats *ret_stats);
