/*
 * What the files of recovery share: recovery.c (order of events), recovery_checkpoint.c,
 * recovery_scan.c (frames that there are), replay.h and its files (frames to state), rebuild.c,
 * open_ends.c (where the log goes on behind an end that nobody knows), recovery_misplaced.c (why a
 * start is refused).
 *
 * Thread: all of it is one job of the log keeper. Nothing else of the log runs meanwhile, so it has
 * the loop's state and the segment writer without a lock, and nobody is told or served anything
 * before it is over.
 */
#pragma once

#include "log_private.h"

enum { RECOVERY_REPORTS_MAX = 32, RECOVERY_FILES_MAX = 64 };

struct found_frame {
    struct frame_header header;
    struct journal_file *file;
    uint64_t position;
    bool valid; /* header and body; else the header alone */
};

struct recovery_report {
    enum topic_log_event event;
    char text[300];
};

/* Offsets before @to that were left out, or are lost. */
struct left_out {
    struct log_partition *partition;
    int64_t to;
};

struct recovery {
    struct topic_log *log;
    unsigned checkpoints_seen; /* files that are there, valid or not */
    bool have_checkpoint, marker_exists;
    unsigned increments;    /* of the checkpoint */
    bool any_journal;       /* no checkpoint tells the journal's uuid */
    uint64_t base_sequence; /* of the checkpoint */
    uint64_t sequence;      /* of the last frame replayed, or counted as lost */
    uint64_t synced_through;
    struct found_frame *frames; /* behind the checkpoint, by sequence */
    size_t frame_count, frame_capacity;
    const struct found_frame *last; /* the last whole one */
    const struct found_frame *torn; /* the unfinished one behind it */
    uint64_t unknown_sequence;      /* the last lost frame whose entries nobody can read; 0: none */
    bool overwritten;               /* right batches, by such that were put back */
    bool holes_expected;            /* no checkpoint tells where the journal begins, */
    uint64_t covered_through;       /* but frames do: those up to here may be missing */
    uint64_t recycled_through;      /* the last one of those that is; 0: none */
    uint64_t lost_through;          /* the last one that is missing all the same; 0: none */
    uint64_t registry_through;      /* the last frame that has a record of the registry */
    bool registry_open;             /* it has lost its end, and not all that stood there is known */
    struct left_out *left_out;      /* as long as frames may have some of it */
    uint32_t left_out_count;
    bool ends_passed;    /* partitions go on behind an end that nobody knows */
    bool changed;        /* something that the checkpoint does not say yet */
    bool raised_early;   /* epochs of topics with flush.ms, likewise */
    bool named_missing;  /* the file that was written to as of the checkpoint */
    uint32_t named_file; /* its id */
    bool moved;          /* the journal cannot go on in that one */
    bool clean;          /* the marker says that nothing is behind the checkpoint */
    uint8_t *memory;     /* that frames are read to */
    uint64_t memory_bytes;
    uint64_t kept_bytes;                 /* of frames whose batches wait */
    uint8_t *buffer;                     /* in it: the frame that was read last */
    bool read_ahead;                     /* frames are wanted in their order */
    struct {                             /* in it, too: what was read with a frame */
        const struct journal_file *file; /* NULL: nothing */
        uint64_t position, bytes;
        uint8_t *data;
    } ahead;
    struct replay_waiting *waiting; /* for their segments (replay_write.c) */
    unsigned waiting_count, waiting_capacity;
    struct segment_file *files[RECOVERY_FILES_MAX]; /* written to */
    unsigned file_count;
    bool need_syncfs;
    bool disk_full;                           /* what has come to no segment waits for room */
    uint64_t replayed_frames, replayed_bytes; /* of whole ones */
    unsigned raised_count; /* partitions in a new epoch for a frame that nobody can read */
    struct recovery_report reports[RECOVERY_REPORTS_MAX];
    unsigned report_count, unreported_count;
    int64_t producer_ids_end; /* rebuild's: behind every one that a batch has */
};

/** recovery_run() - bring memory and files to one state. Thread: keeper, before anything else runs
 */
int recovery_run(struct topic_log *log);
/** recovery_tell() - call on_event for what recovery found; frees @log->recovery */
void recovery_tell(struct topic_log *log);

void recovery_report(struct recovery *recovery, enum topic_log_event event, const char *format, ...)
    _printf_(3, 4);

/* ---- recovery_checkpoint.c ---- */

/** recovery_load_checkpoints() - *@image becomes what the start goes on from, if there is any */
int recovery_load_checkpoints(struct recovery *recovery, struct text *image);
/** recovery_confirm() - make durable what was found: checkpoints, marker, folders */
int recovery_confirm(struct recovery *recovery);
/** recovery_confirm_folders() - before a checkpoint names a file of the journal, that file's name
 * is durable: so one that is missing was taken away */
int recovery_confirm_folders(struct recovery *recovery);
/** recovery_write_checkpoint() - a full one at log->durable_sequence */
int recovery_write_checkpoint(struct recovery *recovery);

/* ---- recovery_scan.c ---- */

/** recovery_list_journal() - log->files become the files of the journal. Return: 0; BROKER_E_NEWER,
 * and *@ret_newer is the id of a file that a later version has made; negative. */
int recovery_list_journal(struct topic_log *log, uint32_t *ret_newer);
/** recovery_scan() - find frames behind the checkpoint, in order */
int recovery_scan(struct recovery *recovery);
/** recovery_reserve() - memory for frames of so many bytes; none is kept */
int recovery_reserve(struct recovery *recovery, uint64_t bytes);
/** recovery_has_room() - whether a frame fits beside those that are kept */
bool recovery_has_room(const struct recovery *recovery, const struct found_frame *frame);
/** recovery_keep() - the frame read last stays where it is as long as batches wait */
void recovery_keep(struct recovery *recovery, const struct found_frame *frame);
/** recovery_load() - read a frame into @recovery->buffer; *ret_bytes may be less than the frame
 * says. Where batches wait, it has room */
int recovery_load(struct recovery *recovery, const struct found_frame *frame, uint64_t *ret_bytes);

/* ---- recovery_misplaced.c ---- */

/** recovery_name_misplaced() - report folders in the place of files, files in that of folders, and
 * what can be opened as neither */
void recovery_name_misplaced(struct recovery *recovery);

/* ---- open_ends.c ---- */

/** open_ends_make() - behind the checkpoint: the empty segments of partitions that go on elsewhere
 */
int open_ends_make(struct recovery *recovery);

/** open_end_found() - the last segment of a partition; an empty one on a multiple of 2^32 says
 * where the log goes on */
void open_end_found(struct log_partition *partition, int64_t base, bool empty);
/** open_end_seen() - @offset may have been given out */
void open_end_seen(struct log_partition *partition, int64_t offset);
/** open_end_is_jump() - whether offsets may be left out before @offset, where an epoch begins */
bool open_end_is_jump(int64_t offset);
/** open_end() - whether offsets behind the log end may have been given out of which nothing is left
 */
bool open_end(const struct log_partition *partition);
/**
 * open_end_of_registry() - before recovery_fill_registry(), what is behind its end is looked at
 * Makes the empty segments that say it durable, as the next one. Return: also DISK_E_FULL.
 */
int open_end_of_registry(struct recovery *recovery);
/** open_ends_of_topics() - the same of all others, between the walk through segments and the replay
 */
int open_ends_of_topics(struct recovery *recovery);

/** open_end_left_out() - what is missing before a jump; frames may have some of it. Of the registry
 * nothing is */
int open_end_left_out(struct recovery *recovery, struct log_partition *partition, int64_t from,
                      int64_t to);
/** open_ends_pass_left_out() - behind the last frame: the rest is told, and no damage to a reader
 */
int open_ends_pass_left_out(struct recovery *recovery);

/* ---- recovery.c ---- */

/** recovery_touched() - @file must be synced before the checkpoint; takes over the reference */
int recovery_touched(struct recovery *recovery, struct segment_file *file);
/** recovery_checkpoint_follows() - whether this start, for all that is known yet, leaves its
 * checkpoint to the run */
bool recovery_checkpoint_follows(const struct recovery *recovery);
/** recovery_finish() - sync what was written, go on in the journal, write a checkpoint */
int recovery_finish(struct recovery *recovery, struct journal_file *current, uint64_t position);

/* ---- rebuild.c ---- */

/** recovery_rebuild() - no valid checkpoint: read every folder, then replay */
int recovery_rebuild(struct recovery *recovery);

/* ---- replay*.c; replay.h has what those share ---- */

/** recovery_replay() - apply the frames found, in order */
int recovery_replay(struct recovery *recovery);
/** recovery_take_over() - one batch, which is in its segment, into the state of its partition */
int recovery_take_over(struct log_partition *partition, int64_t segment_base, uint64_t position,
                       const struct record_batch *batch, int64_t now_ms);
/** recovery_pass_start() - the log end is not short of the log's start */
void recovery_pass_start(struct log_partition *partition);
/** recovery_pass_covered() - without checkpoint: frames before @sequence that one had covered may
 * be missing */
void recovery_pass_covered(struct recovery *recovery, uint64_t sequence);
/** recovery_fill_registry() - without checkpoint: what frames have of the registry goes to its
 * segments before they are read, since its records count in their order */
int recovery_fill_registry(struct recovery *recovery);
