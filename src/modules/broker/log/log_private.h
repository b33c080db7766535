/*
 * What the files of the topic log share: its state on the loop, and the messages between the loop
 * and its threads. Who may touch a field stands beside it; without a word it is the loop's.
 *
 *   log writer      frames, positions, rolling             log_writer.c
 *   segment writer  segment files and their indexes,       segment_writer.c, active_index.c,
 *                   the next journal file, snapshots       journal.c, snapshot_run.c
 *   log keeper      segment syncs, writing checkpoints     log_keeper.c, checkpoint.c
 *   log cleaner     compaction, renames, unlinks           cleaner.c, cleaner_sweep.c, swap_run.c,
 *                                                          removal.c
 *   log readers     what must come from disk (two)         read_gate.c, lookup.c, scrub.c, space.c
 *
 * A file has both sides: what runs on a thread is named ..._run, what follows on the loop ..._done
 * or on_... A thread sees its job and what is marked as the thread's; a config of a topic, say, it
 * is told in the job. Before recovery is done one job of the keeper owns everything (recovery.c).
 */
#pragma once

#include "append/tail_block.h"
#include "checkpoint/checkpoint.h"
#include "journal/journal.h"
#include "producers/producer_state.h"
#include "segment/batch_order.h"
#include "segment/segment.h"
#include "topic_log.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/error.h>
#include <eventbox/base/text.h>
#include <eventbox/loop/timer.h>

#define REGISTRY_TOPIC "__eventbox_registry"

enum {
    FLUSH_PARTITION_BYTES = 256 << 10, /* a partition's batches go to its segment beyond this, */
    FLUSH_INTERVAL_MS = 1000,          /* or this late */
    SUBMIT_BYTES = 1 << 20,            /* of appends in one message to the log writer */
    PRODUCER_BLOCK = 1000,             /* producer ids reserved at once */
    PRODUCER_SWEEP_MS = 600000,
    JOURNAL_FILES_MAX = 64,
};

struct log_writer;
struct scrub;
struct swap_run;
struct recovery;
struct segment_writer;
struct segment_view;
struct snapshots_found;

/* One segment as the loop knows it. */
struct log_segment {
    int64_t base_offset;
    uint64_t bytes;         /* durable in journal or segment */
    uint64_t written_bytes; /* in the segment file, hence readable there */
    int64_t max_timestamp_ms;
    int64_t first_timestamp_ms; /* of the first batch, but not later than our clock; -1: none */
    int64_t created_ms, appended_ms; /* first and last append by our clock; -1: not known */
    uint64_t last_sequence;          /* the last frame of this run with a batch of it; 0: none */
    int64_t end_offset;              /* behind its last batch; a start alone knows it */
};

struct guard {
    struct list link;
    int64_t offset;
    bool standing; /* of a consumer that this run knows of, whether it reads now or not */
    char name[];
};

enum batch_state { BATCH_QUEUED, BATCH_DURABLE, BATCH_FLUSHING, BATCH_WRITTEN };

/* One batch from append to the moment when memory no longer holds it. Aligned, since several lie
 * side by side (tail_block.h); each field costs as much for every batch in memory. */
struct tail_batch {
    alignas(max_align_t) struct list age_link; /* in log->tail once it is written */
    struct tail_batch *next_in_unit;
    struct log_partition *partition;
    struct slice batch; /* with a reference */
    int64_t base_offset;
    int32_t last_offset_delta;
    uint8_t state;
    bool roll;     /* in: begins a segment */
    bool in_block; /* tail_block.c's */
    bool gathered; /* the log writer's: its frame takes it from where it lies */
    int64_t max_timestamp_ms;
    int64_t appended_ms; /* by our clock */
    /* in: how large and how old a segment becomes, by the topic's configs at the append */
    uint64_t roll_bytes;
    int64_t roll_ms;
    /* out, by the log writer */
    int64_t segment_base;
    uint64_t position;
    uint64_t sequence;
};

static inline int64_t tail_batch_end(const struct tail_batch *batch) {
    return batch->base_offset + batch->last_offset_delta + 1;
}

/* Memory that a batch of @bytes is counted with. */
static inline size_t tail_cost_of(size_t bytes) {
    return bytes + sizeof(struct tail_batch) + 128;
}
static inline size_t tail_batch_cost(const struct tail_batch *batch) {
    return tail_cost_of(batch->batch.size);
}

struct log_partition {
    struct partition public; /* first */
    struct log_topic *topic;
    /* The log writer's once recovery is done: where the next batch goes. base -1: no segment yet.
     */
    int64_t writer_base;
    uint64_t writer_position;
    int64_t writer_created_ms, writer_first_ms; /* of that segment, as in struct log_segment */

    bool roll_next;            /* the next batch begins a segment */
    bool held_told;            /* that a guard holds what retention would remove */
    unsigned starts_under_way; /* records log_start on their way */
    struct log_segment *segments;
    uint32_t segment_count, segment_capacity;
    uint32_t epoch_count, damage_count;
    struct epoch_start *epochs; /* empty while only epoch 0 ever was */
    struct offset_range *damage;
    /* What was found damaged in this run (rot.h). Apart, since no batch may be believed for its
     * sake: the bytes are there, and one of them may claim to stand just behind it (batch_order.h).
     */
    struct offset_range *rot;
    uint32_t rot_count;
    struct producers *producers;
    struct list guards;
    /* Compaction: offsets below are clean; when the first tombstone may go (0: none is kept);
     * base offset, plus 1, of a segment found damaged (0: none); how often segments were swapped.
     */
    int64_t cleaned_to, tombstones_due_ms, damaged_from;
    uint32_t swap_count;
    bool swap_broken; /* renaming has failed half-way: its files are no affair of this run any more
                       */

    /* Batches in memory, oldest first: written, being flushed, durable, queued. A ring. */
    struct tail_batch **tail;
    uint32_t tail_head, tail_count, tail_capacity;
    uint32_t tail_written, tail_flushing, tail_durable;
    uint64_t unflushed_bytes; /* durable, not yet handed to the segment writer */
    int64_t dirty_since_ns;
    struct list dirty_link;    /* in log->dirty while tail_durable > 0 */
    struct list advanced_link; /* its high watermark moved in this frame */
    struct list changed_link;  /* see checkpoint_encode.c, as for the two numbers */
    uint32_t changed_turn, encoded_turn;
    uint64_t proven_sequence; /* recovery's: the last frame that names it, where some are missing */
    int64_t unread_from; /* rebuild's: where no batch is behind its last one, plus 1; 0: nowhere */
    int64_t
        refilled_to; /* rebuild's, as the next ones (open_ends.c): up to where frames put it back */
    int64_t resume_offset; /* base of its empty last segment; 0: none */
    int64_t seen_to;       /* offsets up to here may have been given out, also behind the end */
    bool resume_found;     /* that segment was there */
    struct snapshots_found *snapshots; /* recovery's, without a checkpoint */
};

/* Partitions made together. They never move, so that the threads may keep pointers. */
struct partition_block {
    struct partition_block *next;
    int32_t count;
    struct log_partition partitions[];
};

struct log_topic {
    struct topic public; /* first */
    struct list link;    /* in log->topics_all */
    struct topic_log *log;
    bool created_durable, deleted_durable;
    struct topic_config coming; /* the newest of the changes under way */
    unsigned coming_count;
    int32_t durable_partitions; /* the others are on their way to the journal */
    struct list changed_link;   /* as in struct log_partition, with the two numbers */
    uint32_t changed_turn, encoded_turn;
    struct partition_block *blocks;
};

static inline struct log_partition *log_partition_of(struct partition *partition) {
    return container_of(partition, struct log_partition, public);
}
static inline struct log_topic *log_topic_of(struct topic *topic) {
    return container_of(topic, struct log_topic, public);
}
static inline struct log_partition *topic_partition(const struct log_topic *topic, int32_t index) {
    return log_partition_of(topic->public.partitions[index]);
}

/* A job in flight; the log knows all, so that an abandoned simulation can free them. */
struct log_job {
    struct work work;
    struct list link; /* in log->jobs */
    struct topic_log *log;
    void (*destroy)(struct log_job *job);
};

/* One append on its way through the journal. */
struct append_unit {
    struct list link;
    struct append *append; /* NULL: answered already (flush.ms) */
    struct tail_batch *first, *last;
    uint32_t entry_count;
    uint64_t bytes;
};

/* A message to the log writer. */
enum writer_kind {
    WRITER_SUBMIT,
    WRITER_FILE,  /* here is another file */
    WRITER_AGAIN, /* try again what the disk refused */
    WRITER_TRIM,  /* give back memory */
    WRITER_FAIL,
};
struct writer_job {
    struct log_job job;
    enum writer_kind kind;
    struct list held; /* the writer's */
    uint64_t covered; /* the newest checkpoint's frame, when this was sent */
    /* WRITER_FILE: the writer may roll into it. */
    struct journal_file *file;
    /* WRITER_SUBMIT */
    struct list units; /* struct append_unit.link */
    uint32_t entry_count;
    uint64_t bytes;
    uint64_t cost; /* memory counted as queued */
    int64_t submitted_ns;
    /* out */
    int status;
    bool last_of_frame;
    uint64_t sequence;
    struct journal_file *ret_file; /* that holds the frame; NULL without a frame */
    uint64_t file_end;
    uint64_t frame_bytes; /* on the last of the frame */
    int64_t sync_ns;
};

/* Files that nothing names any more; they wait for the checkpoint that allows their removal. */
struct pending_removal {
    uint32_t number;
    int32_t partition; /* -1: the topic, with all its folders */
    union {
        int64_t base_offset;     /* of the segment */
        int64_t partition_count; /* of the topic */
    };
    uint64_t sequence; /* of the frame that says so */
    bool under_way;
    uint8_t failures; /* of this run */
    int64_t due_ns;   /* not before, after a failure */
};

struct topic_log {
    struct topic_log_config config;
    struct topic_log_limits limits;
    struct topic_config defaults; /* every key */
    struct loop *loop;
    struct disk *disk;

    enum {
        LOG_NEW,
        LOG_RECOVERING, /* a job of the keeper owns everything */
        LOG_STARTING,   /* the first record of this run is on its way */
        LOG_READY,
        LOG_STOPPING,
        LOG_STOPPED,
    } state;
    bool failed;
    bool disk_full;           /* segments wait for space */
    enum topic_log_room room; /* as the host says */
    bool held;                /* room is low, and a guard keeps retention from making some */
    char failure[160];

    void (*on_started)(void *userdata, int status); /* NULL: told */
    void *on_started_userdata;
    void (*on_stopped)(void *userdata);
    void *on_stopped_userdata;
    unsigned workers_running;

    /* NULL again once they are told to stop; the log writer completes its jobs on writer_thread. */
    struct worker *writer_thread;
    struct worker *writer_worker, *segment_worker, *keeper_worker, *cleaner_worker, *reader_worker;
    struct log_writer *writer;
    struct segment_writer *segments;
    struct list jobs;
    struct recovery *recovery; /* with what it has to tell, until the loop told it */

    /* registry */
    struct hashmap by_name, by_id, by_number;
    struct list topics_all;  /* also those whose deletion is not yet durable */
    struct list topics_gone; /* deleted, and somebody still has a reference */
    struct log_topic *registry;
    struct list changes; /* registry records under way */
    struct {
        uint64_t bytes; /* of the last one of this run; 0: none yet */
        bool under_way;
        bool wanted; /* whatever its log has grown to */
    } registry_state;
    uint32_t next_number;
    uint32_t partition_total;
    /* Ids below durable_end may be given out by this run; a record for reserved_end may be under
     * way. */
    int64_t producer_next, producer_durable_end, producer_reserved_end;
    struct producer_limit producers;
    struct pending_removal *removals;
    uint32_t removal_count, removal_capacity;
    bool removing; /* a job of the cleaner is under way */

    /* appends */
    struct list pending; /* struct append_unit, not yet submitted */
    uint64_t pending_cost;
    struct list free_units; /* struct append_unit */
    uint32_t free_unit_count;
    struct list throttled; /* struct append.link: wait for memory or journal */
    uint64_t throttled_bytes;
    struct loop_task flush_task, admit_task;
    bool flush_deferred, admit_deferred;
    bool topic_deleted; /* since the last look at what waits */
    uint32_t submits_in_flight;
    uint64_t queued_cost; /* pending and submitted */
    struct list advanced; /* struct log_partition.advanced_link */
    uint64_t durable_sequence;
    bool mid_frame;         /* submits of a frame came, its last one not yet: no checkpoint now */
    int64_t group_began_ns; /* when the frame that is completing was handed over */

    /* memory */
    struct tail_blocks blocks;
    struct list tail;   /* struct tail_batch.age_link, written ones in the order of writing */
    uint64_t tail_cost; /* of all durable batches in memory */
    struct list dirty;
    uint32_t spread, spread_since_tick; /* partitions that one flush job took, the most of late */
    uint64_t unwritten_cost;            /* durable, not in a segment */
    uint64_t unwritten_count;
    struct log_job *flush_job; /* one at a time */
    uint32_t flush_spread;     /* partitions that it took */
    bool flush_again;          /* the disk was full: same job with the next tick */

    /* journal */
    struct uuid journal_uuid;
    struct journal_file *files[JOURNAL_FILES_MAX];
    unsigned file_count;
    uint32_t next_file_id;
    struct journal_file *current; /* that holds the last durable frame */
    uint64_t needed_file_bytes;   /* the largest single message that must fit a file */
    bool preparing;
    bool journal_pressed; /* a file was needed and there was no room for it */
    bool journal_refused; /* the disk had none for the last file asked for */
    bool frame_refused;   /* nor for the last frame, as the last tick saw it */

    /* checkpoints */
    struct checkpoint_state checkpoint;
    uint64_t newest_sequence, older_sequence; /* of the two valid ones */
    unsigned next_slot;
    int64_t checkpoint_ns; /* when the last one was begun */
    uint64_t bytes_since_checkpoint;
    struct segment_file **unsynced;
    uint32_t unsynced_count, unsynced_capacity;
    bool need_syncfs;
    enum { INDEXES_WAIT, INDEXES_ON_THE_WAY, INDEXES_WRITTEN } stop_indexes;
    struct {
        bool behind; /* a start has left batches without entries */
        bool busy;
    } indexes;
    bool clean; /* the marker of a clean stop was written */

    /* compaction */
    struct {
        struct timer timer; /* until the next look */
        bool busy;          /* a run, a swap or a sweep is under way */
        bool stopping;      /* atomic */
        bool sweep;         /* the last run of the log may have left files behind */
        bool waits;         /* for the older checkpoint to cover what could be compacted */
    } cleaner;
    struct swap_run *swap; /* from its frame until its files are in place */
    bool swap_again;       /* the disk was full: the tick renames again */
    struct list swap_held; /* struct swap_waiter.link */
    bool early_waits;      /* no checkpoint says the epochs that are for answers before the sync */
    uint64_t recovered_sequence; /* the last frame that the start has replayed: any segment may have
                                    batches of frames up to it */

    struct {
        struct list waiting; /* taken, not yet written (snapshot_run.c) */
        uint64_t bytes;
        bool busy; /* a job is under way */
    } snapshots;

    /* reading */
    struct hashmap views;
    struct list views_lru;
    unsigned view_count;
    const struct partition *damage_told_of; /* the last damage that a read met, told once */
    int64_t damage_told_at;
    bool rebuilding;

    struct {
        struct timer timer; /* until the next pass */
        struct loop_task task;
        bool deferred;
        uint32_t number; /* of the topic that comes next */
        int32_t partition;
        int64_t wall_ms, mono_ms; /* the clocks when they were last believed */
        int64_t jumped_ms;        /* @jumped: since then, by the monotonic one */
        bool jumped;
    } retention;
    uint64_t held_bytes; /* found by the pass so far */
    struct scrub *scrub; /* NULL: off, or not yet */

    struct timer tick;
    int64_t sweep_due_ns, last_activity_ns, stopping_since_ns;
    bool trimmed;
    struct topic_log_stats stats;
};

/* ---- topic_log.c ---- */
void topic_log_fail(struct topic_log *log, const char *what, int code);
/** topic_log_fail_segment() - by a write of the segment @id or of its indexes */
void topic_log_fail_segment(struct topic_log *log, const struct segment_id *id, int code);
void topic_log_report(struct topic_log *log, enum topic_log_event event, const char *format, ...)
    _printf_(3, 4);
/* A flush that waits for room is not tried again. */
void log_give_up_flush(struct topic_log *log);
void log_tick_soon(struct topic_log *log); /* something happened that the tick must follow up */

/* ---- topic_log_start.c ---- */
/** log_started() - ends the start; only the first call counts */
void log_started(struct topic_log *log, int status);

/* ---- topic_log_stop.c ---- */
void log_stop_continue(struct topic_log *log); /* something completed that a stop may wait for */

/* ---- log_job.c ---- */
void log_job_init(struct topic_log *log, struct log_job *job, void (*done)(struct work *work),
                  void (*destroy)(struct log_job *job));
/** log_job_submit() - queue @job on @worker. A refusal is a bug of a bound or the end: the job is
 * destroyed */
int log_job_submit(struct log_job *job, struct worker *worker);
void log_job_finish(struct log_job *job); /* unlinks and destroys */
/* ---- index_catch_up.c ---- */

/** index_catch_up_go_on() - with each tick, some of what a start has left */
void index_catch_up_go_on(struct topic_log *log);

/** log_writer_send() - a message without appends to the log writer */
int log_writer_send(struct topic_log *log, enum writer_kind kind, struct journal_file *file);

/* ---- append.c ---- */
void append_init(struct topic_log *log); /* with what follows of its parts */
void append_deinit(struct topic_log *log);
/** append_now() - topic_log_append() without a look at what there is room for */
int append_now(struct topic_log *log, struct append *append);
uint64_t append_bytes(const struct append *append); /* of its batches */
void append_unit_free(struct topic_log *log, struct append_unit *unit);
void append_trim(struct topic_log *log); /* gives back what is kept for appends to come */

/* ---- append_admit.c ---- */
void append_admit_init(struct topic_log *log);
void append_admit_deinit(struct topic_log *log);
void append_admit_soon(struct topic_log *log); /* there may be room for what waits */
/** append_admit_wanted_bytes() - journal_room() that the first append in wait needs; 0: none waits
 */
uint64_t append_admit_wanted_bytes(const struct topic_log *log);

/* ---- append_submit.c ---- */
void append_submit_init(struct topic_log *log);
void append_submit_deinit(struct topic_log *log);
void append_flush_soon(struct topic_log *log); /* something is queued for the log writer */

/* ---- tail.c ---- */
/**
 * tail_recovered() - a batch that recovery has taken into the state and not to its segment: it is
 * durable in the journal, and goes there later. Thread: recovery, as for the next two
 */
int tail_recovered(struct topic_log *log, struct log_partition *partition, int64_t segment_base,
                   const struct segment_piece *piece, uint64_t sequence);
/** tail_recovered_written() - the first @count batches of @partition are in their segment after all
 */
void tail_recovered_written(struct topic_log *log, struct log_partition *partition, uint32_t count);
/** tail_recovered_count() - batches that are so; what they leave out of segments is noted now */
uint64_t tail_recovered_count(struct topic_log *log);
/** tail_piece() - @batch as the segment writer takes it */
struct segment_piece tail_piece(const struct tail_batch *batch);
int tail_push(struct log_partition *partition, struct tail_batch *batch);
struct tail_batch *tail_at(const struct log_partition *partition, uint32_t index);
/** tail_readable() - so many batches in memory are durable: the first ones */
static inline uint32_t tail_readable(const struct log_partition *partition) {
    return partition->tail_written + partition->tail_flushing + partition->tail_durable;
}
/** tail_find() - index of the first batch in memory that ends behind @offset; tail_count when none
 */
uint32_t tail_find(const struct log_partition *partition, int64_t offset);
/** tail_durable() - @batch has become durable: advance the high watermark and the segments */
int tail_durable(struct topic_log *log, struct tail_batch *batch);
void tail_evict(struct topic_log *log);
/** tail_forget_written() - batches that end at or before @offset; their segments have less now */
void tail_forget_written(struct topic_log *log, struct log_partition *partition, int64_t offset);
/** tail_drop_topic() - forget what memory holds of a topic whose deletion is durable */
void tail_drop_topic(struct topic_log *log, struct log_topic *topic);
void tail_free(struct log_partition *partition);
/** tail_limit() - what batches in memory may cost now, in bytes: "How many wait" in tail.c */
uint64_t tail_limit(const struct topic_log *log);
/** tail_flush() - hand what is due to the segment writer; @all: everything */
void tail_flush(struct topic_log *log, bool all);
void tail_flush_again(struct topic_log *log); /* after a full disk */

/* ---- partition.c ---- */
int partition_segment_at(struct log_partition *partition, int64_t base_offset,
                         struct log_segment **ret_segment);
/** partition_segment_index() - of the segment that would hold @offset; -1 when none */
int partition_segment_index(const struct log_partition *partition, int64_t offset);
/** partition_segment_end() - where what follows the segment at @index begins: the next one, or what
 * comes */
int64_t partition_segment_end(const struct log_partition *partition, uint32_t index);
/** segment_took() - account one batch of @bytes at @position, appended at @appended_ms */
void segment_took(struct log_segment *segment, uint64_t position, uint64_t bytes,
                  int64_t max_timestamp_ms, int64_t appended_ms);
/** partition_keep() - base of the first segment that is left when the log begins at @offset; the
 * log end when none is */
int64_t partition_keep(const struct log_partition *partition, int64_t offset);
/** partition_first_guard() - the guard that holds the most; NULL without guards */
const struct guard *partition_first_guard(const struct log_partition *partition);
/**
 * partition_log_start() - the log begins at @offset from now on, and segments below @keep are gone:
 * their files are removed when the older checkpoint covers @sequence
 */
int partition_log_start(struct topic_log *log, struct log_partition *partition, int64_t offset,
                        int64_t keep, uint64_t sequence);
int partition_epoch_raise(struct log_partition *partition, int64_t start_offset);
/** partition_epoch_begin() - the same with @epoch, which is a later one */
int partition_epoch_begin(struct log_partition *partition, int32_t epoch, int64_t start_offset);
/** partition_epoch_learn() - a batch of @epoch is at @offset, below the log end: it began no later
 */
int partition_epoch_learn(struct log_partition *partition, int32_t epoch, int64_t offset);
/** topic_acknowledges_early() - flush.ms is set: answers leave before the sync */
bool topic_acknowledges_early(const struct topic_log *log, const struct topic *topic);
int partition_damage_add(struct log_partition *partition, int64_t from, int64_t to);
/** partition_damage_remove() - these offsets are there again */
int partition_damage_remove(struct log_partition *partition, int64_t from, int64_t to);
void partition_wake(struct log_partition *partition);

/* ---- bytes of our own records ---- */

/* Reads from the front; at the first lack of bytes everything sticks at zeros. */
struct fields {
    const uint8_t *at, *end;
    bool failed;
};
static inline struct fields fields_of(struct span bytes) {
    return (struct fields){bytes.data, (const uint8_t *)bytes.data + bytes.size, false};
}
/** fields_take() - @size bytes; zeros (for sizes up to 16) once bytes lack */
const uint8_t *fields_take(struct fields *in, size_t size);
/** fields_get() - a little-endian number of @bytes bytes */
uint64_t fields_get(struct fields *in, size_t bytes);
void fields_put(struct text *out, uint64_t value, size_t bytes);
/** fields_take_text() - u16 length and text; null once bytes lack */
struct span fields_take_text(struct fields *in);
void fields_put_text(struct text *out, struct span text);

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

/* ---- registry_changes.c ---- */
void registry_deinit(struct topic_log *log);
int registry_reserve_producers(struct topic_log *log,
                               void (*done)(struct topic_log *log, int status));
/**
 * registry_log_start() - the log of @partition begins at @offset, which is at most its high
 * watermark, and at @keep its first segment; the log end, with nothing on its way: no segment stays
 */
int registry_log_start(struct topic_log *log, struct log_partition *partition, int64_t offset,
                       int64_t keep, struct topic_log_request *request);

/* ---- retention.c ---- */
void retention_init(struct topic_log *log);
void retention_start(struct topic_log *log);
void retention_stop(struct topic_log *log);
/** log_now_ms() - Unix time by which things are old: a clock that jumps ahead is not believed */
int64_t log_now_ms(const struct topic_log *log);
/** segment_age_time() - when the newest of @segment was written, as retention counts */
int64_t segment_age_time(const struct log_segment *segment);

/* ---- removal.c ---- */
/** removal_add() - @removal's files go when the older checkpoint covers its sequence */
int removal_add(struct topic_log *log, const struct pending_removal *removal);
int removal_add_topic(struct topic_log *log, const struct log_topic *topic, uint64_t sequence);
void removals_maybe(struct topic_log *log);
/** removals_wait() - whether files are to go that no job is about */
bool removals_wait(const struct topic_log *log);
/** removals_uncovered() - whether a newer checkpoint would let files go */
bool removals_uncovered(const struct topic_log *log);

/* ---- log_writer.c ---- */
int log_writer_new(struct topic_log *log, struct log_writer **ret_writer);
/** log_writer_resume() - where the next frame goes. Before the first job */
void log_writer_resume(struct log_writer *writer, const struct uuid *journal, uint64_t sequence,
                       struct journal_file *current, uint64_t position);
/** log_writer_refused() - a file system that copies on write may refuse a frame, for all that the
 * journal's files are full of zeros. Thread: any */
bool log_writer_refused(const struct log_writer *writer);
void log_writer_free(struct log_writer *writer);
void log_writer_run(void *userdata, struct list *works); /* run_batch of the worker */

/* ---- journal_files.c ---- */
/** journal_maintain() - see to it that the log writer has a file to go on with */
void journal_maintain(struct topic_log *log);
/** journal_ask_again() - each tick: for a file that the disk has refused and clients wait for */
void journal_ask_again(struct topic_log *log);
/** journal_room() - bytes that the journal can still take without a checkpoint */
uint64_t journal_room(const struct topic_log *log);
/** journal_is_freed() - all but the current file is free, and the disk refuses none: no checkpoint
 * would free more */
bool journal_is_freed(const struct topic_log *log);

/* ---- log_keeper.c ---- */
void checkpoint_maybe(struct topic_log *log);
void checkpoint_begin(struct topic_log *log, bool final);
void checkpoint_keeper_init(struct topic_log *log);
void checkpoint_written(struct topic_log *log, const struct tail_batch *batch);
void checkpoint_go_on(struct topic_log *log);

/**
 * checkpoint_waits() - whether a checkpoint waits for batches to reach their segments
 *
 * While it is synced and written nothing waits: what comes meanwhile gathers, so that a segment
 * gets many batches with one write.
 */
static inline bool checkpoint_waits(const struct topic_log *log) {
    return log->checkpoint.under_way && log->checkpoint.batches_left > 0;
}

/** checkpoint_changes() - call before anything changes that a checkpoint holds of @partition */
static inline void checkpoint_changes(struct topic_log *log, struct log_partition *partition) {
    if (partition->changed_turn != log->checkpoint.turn) {
        checkpoint_partition_changes(log, partition);
    }
}

/* ---- recovery.c ---- */
/** recovery_run() - bring memory and files to one state. Thread: keeper, before anything else runs
 */
int recovery_run(struct topic_log *log);
/** recovery_tell() - call on_event for what recovery found; frees @log->recovery */
void recovery_tell(struct topic_log *log);

/* ---- swap_run.c ---- */

/* A read of files that are being replaced waits here. */
struct swap_waiter {
    struct list link;
    void (*resume)(struct swap_waiter *waiter); /* begin anew */
};
/** swap_window_open() - files of @partition must not be opened by name now */
bool swap_window_open(const struct topic_log *log, const struct log_partition *partition);
void swap_hold(struct topic_log *log, struct swap_waiter *waiter);
/** swap_came_between() - files of @partition were replaced, or are being, since its swap_count was
 * @swap_count: then @waiter begins anew, now or when they are in place */
bool swap_came_between(struct topic_log *log, const struct log_partition *partition,
                       uint32_t swap_count, struct swap_waiter *waiter);
void swap_resume_held(struct topic_log *log);
/** swap_names() - whether files of @partition (-1: any of the topic) are being replaced */
bool swap_names(const struct topic_log *log, uint32_t topic, int32_t partition);
void swap_go_on(struct topic_log *log); /* after a full disk */
void swap_encode_pending(const struct topic_log *log, struct text *out);
/** swap_decode_pending() - and finish them. Thread: recovery */
int swap_decode_pending(struct topic_log *log, struct fields *in);

/* ---- reader.c ---- */
/** reader_forget() - close what is open of a segment; of all of a topic when @partition is -1 */
void reader_forget(struct topic_log *log, const struct segment_id *id);
void reader_deinit(struct topic_log *log);
