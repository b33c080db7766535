/*
 * What the files of checkpoints share: checkpoint.c (the two files), checkpoint_encode.c (the state
 * as bytes, some in each turn of the loop), checkpoint_decode.c (bytes to a state), log_keeper.c
 * (when), recovery_checkpoint.c (at a start).
 */
#pragma once

#include <eventbox/base/list.h>
#include <eventbox/base/text.h>
#include <eventbox/base/uuid.h>
#include <eventbox/loop/disk.h>
#include <eventbox/loop/timer.h>

struct topic_log;
struct log_topic;
struct log_partition;
struct log_job;

enum { CHECKPOINT_VERSION = 4, CHECKPOINT_HEADER_BYTES = 64 };
/* Versions that brought something; checkpoint.c says what the earlier ones had. */
enum { CHECKPOINT_WITH_SWAPS = 3, CHECKPOINT_WITH_INCREMENTS = 4 };

/* ---- files: checkpoint.c ---- */

/* What one record says, in the order in which it is written. */
struct checkpoint_body {
    struct text head, topics, partitions;
};

/* How far a file counts, and what the next increment goes on from. */
struct checkpoint_chain {
    uint64_t sequence;   /* of its last record */
    uint64_t end;        /* bytes */
    uint64_t full_bytes; /* of its first record, the full one */
    uint32_t link;       /* the CRC in the header of its last record */
};

/* What a file was found to be. */
struct checkpoint_header {
    unsigned version;
    struct uuid journal;
    uint64_t sequence; /* of the frame that the file stands for, with all its increments */
    uint64_t full_bytes;
    uint64_t bytes;      /* with increments */
    unsigned increments; /* that belong to it */
    bool cut;            /* behind them lies what does not belong: unfinished or damaged */
};

/**
 * checkpoint_write() - a full one, over whatever is in @slot
 * @ret_chain: written on success
 * Thread: keeper, recovery. Return: 0; DISK_E_FULL: the slot may be damaged, do it again; negative.
 */
int checkpoint_write(struct disk *disk, unsigned slot, const struct uuid *journal,
                     uint64_t sequence, const struct checkpoint_body *body,
                     struct checkpoint_chain *ret_chain);
/** checkpoint_append() - an increment behind what @chain tells of @slot; @chain moves on success.
 * Thread and return as above; doing it again writes the same place. */
int checkpoint_append(struct disk *disk, unsigned slot, const struct uuid *journal,
                      uint64_t sequence, const struct checkpoint_body *body,
                      struct checkpoint_chain *chain);
/**
 * checkpoint_read() - the full one of @slot and the increments that belong to it
 * @ret_image: their bytes, appended; for checkpoint_decode()
 * Return: 0; BROKER_E_CORRUPT when not even the full one is valid; BROKER_E_NEWER;
 * DISK_E_NOT_FOUND; negative.
 */
int checkpoint_read(struct disk *disk, unsigned slot, struct checkpoint_header *ret_header,
                    struct text *ret_image);
/**
 * checkpoint_confirm() - make what is read from a slot durable, by writing the same bytes again,
 * and what does not belong to it is gone: after a failed sync the page cache shows what no later
 * sync writes
 */
int checkpoint_confirm(struct disk *disk, unsigned slot);
/**
 * checkpoint_record() - the record at *@at of an image, full one first; *@at moves behind it
 * @ret_body: without the link of an increment. Return: false at the end.
 */
bool checkpoint_record(struct span image, size_t *at, unsigned *ret_version, struct span *ret_body);

/* ---- the state as bytes: checkpoint_encode.c ---- */

struct checkpoint_gone {
    uint32_t number; /* of a topic */
    uint32_t turn;   /* when its deletion became durable */
};

/* What of this run is in a file. */
struct checkpoint_slot {
    bool appendable; /* this run has written its full one: increments may follow */
    uint32_t turn;   /* it has what changed before this one */
    struct checkpoint_chain chain;
};

struct checkpoint_state {
    bool under_way;
    bool final; /* at a clean stop */
    bool full;  /* else an increment */
    struct checkpoint_body body;
    uint64_t sequence;
    uint64_t batches_left; /* of frames up to sequence, not yet in their segments */
    bool submitted;
    bool told_full;
    struct log_job *again; /* the disk was full: the tick submits it again */

    struct checkpoint_slot slots[2];
    /* Encoding. A turn lasts from one checkpoint's frame to the next one's. */
    uint32_t turn;
    bool encoding;        /* something of the state at @sequence is not in @body yet */
    uint32_t topic_count; /* in body.topics */
    struct timer timer;   /* until the next part is encoded */
    struct list changed;  /* log_partition.changed_link: since the older slot with increments */
    struct list changed_topics;
    struct list todo, todo_topics; /* an increment: of those what is to be encoded */
    struct log_topic *next_topic;  /* a full one: what is to be encoded next; NULL: nothing */
    int32_t next_partition;
    struct checkpoint_gone *gone;
    uint32_t gone_count, gone_capacity;
};

void checkpoint_init(struct topic_log *log);
void checkpoint_deinit(struct topic_log *log);
/** checkpoint_encode_begin() - the state as of now, which is that of a whole frame, is what will be
 * encoded, whatever happens meanwhile */
void checkpoint_encode_begin(struct topic_log *log, bool full);
/**
 * checkpoint_encode_some() - encode on, @partitions at most, and about @bytes
 * Return: 0, and @log->checkpoint.encoding tells whether there is more; -ENOMEM: give it up.
 */
int checkpoint_encode_some(struct topic_log *log, unsigned partitions, size_t bytes);
/** checkpoint_encode_all() - a full one at once. Thread: recovery */
int checkpoint_encode_all(struct topic_log *log);
/** checkpoint_give_up() - what was begun is not written; the next one is full */
void checkpoint_give_up(struct topic_log *log);
/** checkpoint_taken() - it is durable in log->next_slot, which @chain tells of */
void checkpoint_taken(struct topic_log *log, const struct checkpoint_chain *chain);

/**
 * checkpoint_partition_changes() - call before anything changes that a checkpoint holds of
 * @partition; see also checkpoint_changes() in log_private.h
 */
void checkpoint_partition_changes(struct topic_log *log, struct log_partition *partition);
/** checkpoint_topic_changes() - the same of a topic: creation, configs, number of partitions */
void checkpoint_topic_changes(struct topic_log *log, struct log_topic *topic);
/** checkpoint_topic_goes() - the deletion of @topic is durable, and nothing was done about it yet
 */
void checkpoint_topic_goes(struct topic_log *log, struct log_topic *topic);
/** checkpoint_topic_forgotten() - @topic is about to leave log->topics_all */
void checkpoint_topic_forgotten(struct topic_log *log, struct log_topic *topic);

/* ---- bytes to a state: checkpoint_decode.c ---- */

/** checkpoint_decode() - an image into an empty log. Thread: recovery */
int checkpoint_decode(struct topic_log *log, struct span image, uint32_t *ret_file_id,
                      uint64_t *ret_position);

/* ---- clean_marker.c ---- */

/** clean_marker_write() - @sequence 0 takes it back */
int clean_marker_write(struct disk *disk, const struct uuid *journal, uint64_t sequence);
int clean_marker_read(struct disk *disk, const struct uuid *journal, uint64_t *ret_sequence,
                      bool *ret_exists);
