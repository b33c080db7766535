/*
 * Looking at a data folder from outside: `eventbox log verify` and `eventbox log dump`.
 *
 * Nothing is written. A folder that no server holds is brought to one state by recovery itself, the
 * code that a start runs, over an overlay disk that keeps its changes in memory: so the inspection
 * sees what the next start would serve, the records that stand in the journal alone among it, and
 * tells the damage in that start's words. Of a folder in use the batches that the newest checkpoint
 * covers are looked at, in the files in which they are by now (inspect_live.c); later batches,
 * indexes and orphans are not.
 */
#pragma once

#include "log_private.h"
#include "read/patient_file.h"

struct log_inspect {
    struct disk *folder;  /* as it is; the caller's */
    struct disk *overlay; /* as a start would leave it; nothing is written below */
    struct loop *loop;    /* never run: the log wants one to be made */
    struct topic_log *log;
    bool live;
    bool have_checkpoint;
    int checkpoint_status[2]; /* 0, BROKER_E_CORRUPT, DISK_E_NOT_FOUND */
    struct checkpoint_header checkpoints[2];
    /* What recovery had to say; called during log_inspect_open(). */
    void (*on_event)(void *userdata, enum topic_log_event event, const char *text);
    void *userdata;
};

/**
 * log_inspect_open() - bring the log in @folder to one state, in memory
 * @inspect: zeroed but for folder, live, on_event and userdata
 * Return: 0; BROKER_E_CORRUPT: recovery cannot make sense of it; negative.
 */
int log_inspect_open(struct log_inspect *inspect);
void log_inspect_close(struct log_inspect *inspect); /* accepts one that was not opened */
/** log_inspect_follow() - inspect_live.c: @inspect->log is the state of @checkpoint; what the
 * journal tells of files since is applied to it */
int log_inspect_follow(struct log_inspect *inspect, const struct checkpoint_header *checkpoint);

/*
 * Walks the batches of one .log from a position where one begins. Reads past the page cache where
 * the file system can, so that rot on the disk is seen although memory has a good copy.
 */
struct batch_walk {
    struct disk_file *file, *cached; /* the same one; to look for the next batch behind rot */
    struct patient_file patient, patient_cached; /* over these two; not to be moved */
    struct batch_order order;
    uint64_t end; /* bytes that count */
    uint64_t position;
    int64_t base_offset; /* of the segment */
    int64_t next_base;   /* of what follows it */
    int64_t expected;    /* offset of the next batch; behind a gap it may be a later one */
    struct record_batch batch;
    struct span bytes; /* of the batch; borrowed until the next call */
    /* BATCH_BAD: where the damage begins and ends */
    uint64_t bad_position, bad_bytes;
    /* private */
    uint8_t *window;
    size_t window_bytes, window_capacity;
    uint64_t window_at;
};
enum batch_walk_result { BATCH_END, BATCH_GOOD, BATCH_BAD };

/** batch_walk_open() - @segment of @partition, which is not changed meanwhile */
int batch_walk_open(struct batch_walk *walk, struct disk *disk,
                    const struct log_partition *partition, const struct log_segment *segment);
void batch_walk_close(struct batch_walk *walk);
/** batch_walk_next() - an enum batch_walk_result, or negative when the file cannot be read */
int batch_walk_next(struct batch_walk *walk);

/* ---- verify.c ---- */

enum finding_level {
    FINDING_NOTE,  /* worth knowing, nothing is wrong */
    FINDING_MENDS, /* wrong, nothing is lost: a start or a read makes it anew */
    FINDING_LOSS,  /* records cannot be read any more */
};
struct log_finding {
    enum finding_level level;
    const char *kind;  /* "records", "index", "orphan", "journal", "checkpoint", "snapshot" */
    const char *topic; /* NULL: of none */
    int32_t partition;
    int64_t from, to; /* offsets, both inclusive; from > to: none */
    const char *file; /* NULL: of none */
    uint64_t position, bytes;
    const char *text;
};
struct log_verify {
    struct log_inspect *inspect;
    void (*on_finding)(void *userdata, const struct log_finding *finding);
    void *userdata;
    const char *topic; /* NULL: all */
    int32_t partition; /* below 0: all */
    /* out */
    enum finding_level worst;
    uint64_t findings[FINDING_LOSS + 1];
    uint64_t topics, partitions, segments, batches, records, bytes, frames, index_entries,
        snapshots;
    uint64_t unchecked; /* partitions that moved all the while; live */
};
/** log_verify_run() - read everything; negative only when nothing could be said at all */
int log_verify_run(struct log_verify *verify);
/** log_verify_partition() - for verify_live.c */
int log_verify_partition(struct log_verify *verify, struct log_partition *partition);
/* verify_index.c: what the two indexes of one segment say, held against its batches as
 * log_verify_run() walks by. */
struct index_check {
    uint8_t *entries[2]; /* .index, .timeindex */
    size_t size[2];
    uint64_t next, count;
    uint64_t last_position;
    int64_t largest_timestamp_ms;
    bool unreadable;
    char why[160]; /* "" while nothing is wrong */
};
int index_check_open(struct index_check *check, struct disk *disk, const struct segment_id *id);
void index_check_batch(struct index_check *check, const struct segment_id *id, uint64_t position,
                       const struct record_batch *batch);
/** index_check_end() - after the last batch; @end: bytes of the .log */
void index_check_end(struct index_check *check, uint64_t end);
void index_check_close(struct index_check *check);

/* ---- dump.c ---- */

struct log_dump {
    struct log_inspect *inspect;
    struct text *out; /* handed to on_text() now and then */
    int (*on_text)(void *userdata, struct text *text);
    void *userdata;
    bool json, batches_only, journal, checkpoints;
    const char *topic; /* NULL: all */
    int32_t partition; /* below 0: all */
    int64_t from, to;  /* offsets, inclusive */
};
int log_dump_run(struct log_dump *dump);
