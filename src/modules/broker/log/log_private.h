/*
 * What the files of the topic log share: its state on the loop, and the messages between the loop
 * and its threads. Who may touch a field stands beside it; without a word it is the loop's.
 *
 *   log writer      frames, positions, rolling      journal/log_writer.c
 *   segment writer  segment files, their indexes    segment/segment_writer.c, active_index.c; jobs:
 *                                                   append/tail_flush.c, segment/index_*.c,
 *                                                   compaction/swap_run.c, topic_log_stop.c
 *                   the next journal file           journal/journal_files.c
 *                   snapshots of producers          producers/snapshot_run.c
 *   log keeper      checkpoints, segment syncs      checkpoint/checkpoint.c; jobs: log_keeper.c
 *   log cleaner     compaction, renames, unlinks    compaction/cleaner.c, cleaner_sweep.c,
 *                                                   swap_run.c, retention/removal.c
 *   log readers     what comes from the disk (two)  read/read_gate.c, lookup.c, scrub/scrub.c,
 *                                                   space.c
 *
 * A file with jobs has both sides: what runs on a thread is named ..._run, what follows on the loop
 * ..._done or on_.... log_writer.c, segment_writer.c and checkpoint.c are the threads' alone; the
 * first gets its messages from append/append_submit.c. A thread sees its job and what is marked as
 * the thread's; a config of a topic, say, it is told in the job. Before recovery is done one job of
 * the keeper owns everything (recovery/recovery.c).
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
struct pending_removal;
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

    bool roll_next;                 /* the next batch begins a segment */
    bool held_told;                 /* that a guard holds what retention would remove */
    unsigned start_moves_under_way; /* records log_start on their way */
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
    struct list changed_link;  /* with the two numbers: checkpoint_encode.c */
    uint32_t changed_turn, encoded_turn;
    uint64_t proven_sequence; /* recovery's: the last frame that names it, where some are missing */
    int64_t unread_from; /* rebuild's: log end, plus 1, where bytes that are no batch follow the
                            last one; 0: none do */
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
    struct list changed_link;   /* as in struct log_partition */
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

    void (*on_started)(void *userdata, int status); /* NULL: told */
    void *on_started_userdata;
    void (*on_stopped)(void *userdata);
    void *on_stopped_userdata;
    unsigned workers_running;

    /* NULL again once they are told to stop; the log writer completes its jobs on writer_thread. */
    struct worker *writer_thread;
    struct worker *writer_worker, *segment_worker, *keeper_worker, *cleaner_worker, *reader_worker;
    struct log_writer *log_writer;
    struct segment_writer *segment_writer;
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
    uint64_t queued_bytes, queued_cost; /* pending and submitted: of batches; of memory */
    struct list advanced;               /* struct log_partition.advanced_link */
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
/** log_sweep_producers() - forget those that were silent for too long, when that is due */
void log_sweep_producers(struct topic_log *log);
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
/** log_writer_send() - a message without appends to the log writer */
int log_writer_send(struct topic_log *log, enum writer_kind kind, struct journal_file *file);
