/* What reader.c (the loop's side of reading), read_gate.c (the threads' side) and lookup.c share.
 */
#pragma once

#include "compaction/swap_run.h"
#include "log_private.h"
#include "patient_file.h"
#include "segment/segment_walk.h"

#include <eventbox/loop/op.h>

enum {
    VIEWS_MAX = 256, /* of 6 KiB each */
    WAYPOINTS_MAX = 256,
    WAYPOINT_STEP_BYTES = 16 << 10,
    LOOK_AHEAD_BYTES = 4 << 20,
};

/* A known batch boundary of a segment. */
struct waypoint {
    int64_t offset;
    uint64_t position;
    bool single; /* one batch lies between the waypoint before and this one */
};

/* A segment that is being read: its descriptor and the stretch of boundaries last seen. */
struct segment_view {
    struct segment_id id; /* key in log->views */
    unsigned refs;
    struct list lru_link;
    struct disk_file *file;
    struct conn_file *conn; /* NULL in simulation */
    unsigned waypoint_count;
    struct waypoint waypoints[WAYPOINTS_MAX];
};
/** segment_views_max() - so many are kept; a quarter of the descriptors, where these are few */
static inline uint32_t segment_views_max(const struct topic_log_limits *limits) {
    return MIN(MAX(limits->open_files_max / 4, 1u), (uint32_t)VIEWS_MAX);
}
void segment_view_unref(struct segment_view *view);
void segment_view_adopt(struct segment_view *view, struct disk_file *file);

/**
 * reader_submit() - queue @job for the reader threads
 * Return: 0; TOPIC_E_FULL: too many wait, which is counted, or the log stops; the job is destroyed.
 */
int reader_submit(struct topic_log *log, struct log_job *job);

struct read_job {
    struct log_job job;
    struct partition_read *read;
    struct log_topic *topic;   /* with a reference, as the view */
    struct segment_view *view; /* the loop's; the threads use @file */
    struct swap_waiter wait;
    uint32_t swap_count;         /* of the partition when the read began */
    struct disk_file *file;      /* the view's, NULL: to be opened */
    struct patient_file patient; /* over it */
    struct segment_id id;
    uint64_t end;
    int64_t offset, next_base;
    size_t max_bytes;
    bool min_one_batch, look_ahead, start_known;
    struct batch_order order;
    struct segment_cursor start;
    struct segment_cursor met; /* the place that the walk is at; what it expects there */
    /* out */
    int status;
    struct offset_range rot; /* with BROKER_E_CORRUPT: confirmed; empty: not so */
    struct disk_file *opened;
    struct buf *buf;
    size_t begin, bytes;
    bool nothing; /* the segment has nothing at or behind the offset */
    bool index_wrong, index_waits;
    unsigned waypoint_count;
    struct waypoint waypoints[WAYPOINTS_MAX];
};
void read_run(struct work *work);

/* Blocks that the disk does not read, in one read or lookup; it may take long over each. */
enum { REFUSALS_MAX = 8 };

/** reader_forget() - close what is open of a segment; of all of a topic when @partition is -1 */
void reader_forget(struct topic_log *log, const struct segment_id *id);
void reader_deinit(struct topic_log *log);
