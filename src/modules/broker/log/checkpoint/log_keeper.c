/*
 * What keeps the journal short: when a checkpoint is written.
 *
 * A checkpoint at frame N in three steps:
 *   1. the loop encodes its state between two frames, what is large of it in later turns, all the
 *      same exactly as of N (checkpoint_encode.c);
 *   2. every batch of frames up to N goes to its segment (flushes are forced and counted);
 *   3. the keeper's thread syncs those segments and their folders, then writes and syncs the
 *      checkpoint to the file that stands for the older frame: an increment behind what that file
 *      has, or a full one over it (checkpoint.c).
 * A journal file is free again when the older of the two valid checkpoints covers its last frame
 * (journal_files.c); the same holds for files that are removed (removal.c). So whatever survives a
 * crash, one checkpoint is valid, and all frames behind it are there.
 *
 * On a full disk what is to be removed makes room: then checkpoints follow at once until the older
 * one covers it, instead of when they are due.
 */
#include "log_keeper.h"
#include "append/append.h"
#include "append/tail.h"
#include "journal/journal_files.h"
#include "log_private.h"
#include "retention/removal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TURN_BYTES = 64 << 10,      /* encoded in one turn of the loop, */
    TURN_MS = 1,                /* and the next part so much later */
    INCREMENTS_LEAST = 1 << 10, /* the increments of a small full one may come to this */
};

struct keeper_job {
    struct log_job job;
    struct segment_file **files;
    uint32_t file_count;
    bool syncfs;
    unsigned slot;
    bool full, final;
    struct checkpoint_chain chain; /* of the slot: as it is, and in the end as it has become */
    int status;
};

static void keeper_destroy(struct log_job *base) {
    struct keeper_job *job = container_of(base, struct keeper_job, job);
    for (uint32_t i = 0; i < job->file_count; i++) {
        segment_file_unref(job->files[i]);
    }
    free(job->files);
    free(job);
}

static int sync_segments(struct keeper_job *job) {
    struct disk *disk = job->job.log->disk;
    if (job->syncfs) {
        int r = disk_syncfs(disk);
        return r == DISK_E_FULL ? -ENOSPC : r;
    }
    for (uint32_t i = 0; i < job->file_count; i++) {
        int r = segment_file_sync(disk, job->files[i]);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

static int write_checkpoint(struct keeper_job *job) {
    struct topic_log *log = job->job.log;
    const struct checkpoint_state *checkpoint = &log->checkpoint;
    return (job->full ? checkpoint_write
                      : checkpoint_append)(log->disk, job->slot, &log->journal_uuid,
                                           checkpoint->sequence, &checkpoint->body, &job->chain);
}

static void keeper_run(struct work *work) {
    struct keeper_job *job = container_of(work, struct keeper_job, job.work);
    struct topic_log *log = job->job.log;
#ifdef MUTANT_CHECKPOINT_ORDER
    job->status = write_checkpoint(job);
    job->status = job->status ? job->status : sync_segments(job);
#else
    job->status = sync_segments(job);
#endif
    for (uint32_t i = 0; i < job->file_count; i++) {
        segment_file_unref(job->files[i]);
    }
    job->file_count = 0; /* synced: should the disk be full now, only what follows is repeated */
    job->syncfs = false;
#ifndef MUTANT_CHECKPOINT_ORDER
    if (job->status == 0) {
        job->status = write_checkpoint(job);
    }
#endif
    if (job->status == 0 && job->final) {
        job->status = clean_marker_write(log->disk, &log->journal_uuid, log->checkpoint.sequence);
    }
}

static void keeper_done(struct work *work) {
    struct keeper_job *job = container_of(work, struct keeper_job, job.work);
    struct topic_log *log = job->job.log;
    struct checkpoint_state *checkpoint = &log->checkpoint;
    checkpoint->submitted = false;
    if (job->status == DISK_E_FULL && !log->failed) {
        if (!checkpoint->told_full) {
            topic_log_report(log, TOPIC_LOG_DISK_FULL, "the checkpoint waits for space");
        }
        checkpoint->told_full = true;
        checkpoint->again = &job->job;
        return;
    }
    checkpoint->told_full = false;
    if (job->status == 0) {
        checkpoint_taken(log, &job->chain);
        log->clean = job->final;
    } else {
        topic_log_fail(log, "a checkpoint", job->status);
        checkpoint_give_up(log);
    }
    log_job_finish(&job->job);
    if (!log->failed) {
        journal_maintain(log);
        removals_maybe(log);
        checkpoint_maybe(log);
        append_admit_soon(log);
    }
    log_stop_continue(log);
}

static void submit_keeper(struct topic_log *log) {
    struct keeper_job *job = calloc(1, sizeof *job);
    if (!job) {
        return; /* the tick tries again */
    }
    job->files = log->unsynced;
    job->file_count = log->unsynced_count;
    job->syncfs = log->need_syncfs;
    job->slot = log->next_slot;
    job->full = log->checkpoint.full;
    job->final = log->checkpoint.final;
    job->chain = log->checkpoint.slots[job->slot].chain;
    for (uint32_t i = 0; i < job->file_count; i++) {
        job->files[i]->unsynced = false; /* what is written from now on needs another sync */
    }
    log->unsynced = NULL;
    log->unsynced_count = log->unsynced_capacity = 0;
    log->need_syncfs = false;
    log_job_init(log, &job->job, keeper_done, keeper_destroy);
    job->job.work.run = keeper_run;
    log->checkpoint.submitted = true;
    if (log_job_submit(&job->job, log->keeper_worker)) {
        log->checkpoint.submitted = false;
        log->need_syncfs = true;
    }
}

void checkpoint_go_on(struct topic_log *log) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    if (log->failed || !checkpoint->under_way || checkpoint->submitted || checkpoint->encoding) {
        return;
    }
    if (checkpoint->again) {
        struct log_job *job = checkpoint->again;
        checkpoint->again = NULL;
        checkpoint->submitted = true;
        if (log_job_submit(job, log->keeper_worker)) {
            checkpoint->submitted = false;
        }
        return;
    }
    if (checkpoint->batches_left == 0) {
        submit_keeper(log);
    }
}

void checkpoint_written(struct topic_log *log, const struct tail_batch *batch) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    if (checkpoint->under_way && !checkpoint->submitted && !checkpoint->again &&
        batch->sequence <= checkpoint->sequence && checkpoint->batches_left > 0) {
        checkpoint->batches_left--;
    }
}

/* A full one where increments have come to half of it, or cannot be, or would want more room. */
static bool must_be_full(const struct topic_log *log) {
    const struct checkpoint_slot *slot = &log->checkpoint.slots[log->next_slot];
    uint64_t increments = slot->chain.end - slot->chain.full_bytes;
    return !slot->appendable || increments > MAX(slot->chain.full_bytes / 2, INCREMENTS_LEAST) ||
           log->room == TOPIC_LOG_ROOM_FULL || log->disk_full;
}

static void encode_on(struct topic_log *log) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    if (log->failed || !checkpoint->encoding) {
        return;
    }
    if (checkpoint_encode_some(log, log->limits.checkpoint_turn_partitions, TURN_BYTES)) {
        checkpoint_give_up(log); /* without memory now; later perhaps */
    } else if (checkpoint->encoding) {
        timer_start_ms(&checkpoint->timer, TURN_MS);
    } else {
        checkpoint_go_on(log);
    }
}

static void on_turn(struct timer *timer) {
    encode_on(container_of(timer, struct topic_log, checkpoint.timer));
}

void checkpoint_keeper_init(struct topic_log *log) {
    checkpoint_init(log);
    timer_init(&log->checkpoint.timer, log->loop, on_turn);
}

void checkpoint_begin(struct topic_log *log, bool final) {
    struct checkpoint_state *checkpoint = &log->checkpoint;
    checkpoint_encode_begin(log, final || must_be_full(log));
    checkpoint->under_way = true;
    checkpoint->final = final;
    checkpoint->sequence = log->durable_sequence;
    checkpoint->batches_left = log->unwritten_count;
    log->checkpoint_ns = loop_now_ns(log->loop);
    log->bytes_since_checkpoint = 0;
    tail_flush(log, true);
    encode_on(log);
}

/* Files of deleted topics and segments are room that the disk lacks: two checkpoints let them go.
 */
static bool room_waits(const struct topic_log *log) {
    bool short_of_room = log->room != TOPIC_LOG_ROOM_OK || log->disk_full || log->journal_refused;
    return short_of_room && removals_uncovered(log);
}

void checkpoint_maybe(struct topic_log *log) {
    /* A stop waits for appends that wait for room, which may be what a checkpoint makes. */
    bool running = log->state == LOG_STARTING || log->state == LOG_READY ||
                   (log->state == LOG_STOPPING &&
                    (!list_empty(&log->throttled) || log->submits_in_flight > 0));
    if (log->failed || !running || log->checkpoint.under_way || log->mid_frame) {
        return;
    }
    bool newer = log->durable_sequence > log->newest_sequence;
    bool older = log->durable_sequence > log->older_sequence;
    int64_t age_ms = (loop_now_ns(log->loop) - log->checkpoint_ns) / NS_PER_MS;
    bool removal = removals_wait(log) || log->cleaner.waits;
    bool due = (newer && log->bytes_since_checkpoint >= log->limits.checkpoint_bytes) ||
               ((newer || (removal && older)) && age_ms >= log->limits.checkpoint_ms);
    /* A journal that fills up, or a large append that waits for room in it, needs two checkpoints,
     * however new they are. */
    uint64_t wanted_bytes = MAX(log->limits.journal_max_bytes / 2, append_admit_wanted_bytes(log));
    bool pressed = older && (log->journal_pressed || journal_room(log) < wanted_bytes);
    if (due || pressed || (older && room_waits(log))) {
        checkpoint_begin(log, false);
    }
}
