/*
 * What keeps the journal short: checkpoints and recycling.
 *
 * A checkpoint at frame N in three steps:
 *   1. the loop encodes its state between two frames, what is large of it in later turns, all the
 *      same exactly as of N (checkpoint_encode.c);
 *   2. every batch of frames up to N goes to its segment (flushes are forced and counted);
 *   3. the keeper's thread syncs those segments and their folders, then writes and syncs the
 *      checkpoint to the file that stands for the older frame: an increment behind what that file
 *      has, or a full one over it (checkpoint.c).
 * A journal file is free again when the older of the two valid checkpoints covers its last frame;
 * the same holds for files that are removed (removal.c). So whatever survives a crash, one
 * checkpoint is valid, and all frames behind it are there.
 *
 * On a full disk what is to be removed makes room: then checkpoints follow at once until the older
 * one covers it, instead of when they are due.
 */
#include "log_private.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TURN_BYTES = 64 << 10,      /* encoded in one turn of the loop, */
    TURN_MS = 1,                /* and the next part so much later */
    UNLINK_TRIES = 8,           /* of a journal file */
    INCREMENTS_LEAST = 1 << 10, /* the increments of a small full one may come to this */
};

#define UNLINK_WAIT_MS INT64_C(1000)

/* ---- journal files ---- */

static bool is_free(const struct topic_log *log, const struct journal_file *file) {
    if (file->doomed) {
        return false;
    }
#ifdef MUTANT_RECYCLE
    if (file->state == JOURNAL_FULL && file->last_sequence <= log->newest_sequence) {
        return true;
    }
#endif
    return file->state == JOURNAL_SPARE ||
           (file->state == JOURNAL_FULL && file->last_sequence <= log->older_sequence);
}

static uint64_t total_bytes(const struct topic_log *log) {
    uint64_t total = 0;
    for (unsigned i = 0; i < log->file_count; i++) {
        total += log->files[i]->size;
    }
    return total;
}

uint64_t journal_room(const struct topic_log *log) {
    uint64_t room = 0, total = total_bytes(log);
    for (unsigned i = 0; i < log->file_count; i++) {
        const struct journal_file *file = log->files[i];
        if (file == log->current) {
            room += file->size - file->used;
        } else if (file->state == JOURNAL_CURRENT || is_free(log, file)) {
            room += file->size;
        }
    }
    if (log->journal_refused) {
        return room; /* what the limit would allow, the disk does not have */
    }
    return room +
           (log->limits.journal_max_bytes > total ? log->limits.journal_max_bytes - total : 0);
}

struct prepare_job {
    struct log_job job;
    struct journal_file *file;
    struct journal_file *remove[JOURNAL_FILES_MAX]; /* too small: they make room */
    unsigned remove_count;
    int status;
};

static void prepare_destroy(struct log_job *base) {
    struct prepare_job *job = container_of(base, struct prepare_job, job);
    for (unsigned i = 0; i < job->remove_count; i++) {
        journal_close(job->remove[i]);
        free(job->remove[i]);
    }
    if (job->file) {
        journal_close(job->file);
        free(job->file);
    }
    free(job);
}

static void prepare_run(struct work *work) {
    struct prepare_job *job = container_of(work, struct prepare_job, job.work);
    job->status = 0;
    unsigned left = 0;
    for (unsigned i = 0; i < job->remove_count; i++) {
        struct journal_file *file = job->remove[i];
        char name[JOURNAL_NAME_SIZE];
        journal_name(file->id, name);
        int r = disk_unlink(job->job.log->disk, name);
        if (r && r != DISK_E_NOT_FOUND) {
            job->remove[left++] = file;
        } else {
            journal_close(file);
            free(file);
        }
    }
    job->remove_count = left; /* some KiB more for a while: no reason to keep clients waiting */
    job->status = journal_prepare(job->job.log->disk, job->file);
}

/* What could not be unlinked: later, each time after twice the wait, then by the next start. */
static void keep_doomed(struct topic_log *log, struct prepare_job *job) {
    while (job->remove_count > 0 && log->file_count < JOURNAL_FILES_MAX) {
        struct journal_file *file = job->remove[--job->remove_count];
        log->stats.removals_failed++;
        file->doomed = true;
        file->unlink_due_ns =
            loop_now_ns(log->loop) + (UNLINK_WAIT_MS << file->unlink_failures++) * NS_PER_MS;
        log->files[log->file_count++] = file;
    }
}

/* The tick tries again. Who waits for this very file needs the reserve; growth ahead of need does
 * not. */
static void prepare_refused(struct topic_log *log) {
    bool needed = log->submits_in_flight > 0 || log->state == LOG_STARTING;
    if (!log->journal_refused) {
        topic_log_report(log, needed ? TOPIC_LOG_DISK_FULL : TOPIC_LOG_DISK_LOW,
                         "no space for another journal file");
    }
    log->journal_refused = true;
    log_tick_soon(log);
    if (log->state == LOG_STARTING) {
        log_started(log, 0); /* readers need not wait for what the disk refuses */
    }
}

static void prepare_done(struct work *work) {
    struct prepare_job *job = container_of(work, struct prepare_job, job.work);
    struct topic_log *log = job->job.log;
    log->preparing = false;
    if (job->status == 0) {
        job->file->state = JOURNAL_SPARE;
        log->files[log->file_count++] = job->file;
        job->file = NULL;
        log->journal_refused = false;
    } else if (job->status == DISK_E_FULL) {
        prepare_refused(log);
    } else {
        topic_log_fail(log, "preparing a journal file", job->status);
    }
    keep_doomed(log, job);
    bool refused = job->status == DISK_E_FULL;
    log_job_finish(&job->job);
    if (!log->failed && !refused) {
        journal_maintain(log);
        append_admit_soon(log);
    }
    log_stop_continue(log);
}

/* Starts making a file of at least @needed bytes; small free ones go when they are in the way. */
static void prepare_file(struct topic_log *log, uint64_t needed) {
    uint64_t largest = 0, total = total_bytes(log), max = log->limits.journal_max_bytes;
    for (unsigned i = 0; i < log->file_count; i++) {
        largest = MAX(largest, log->files[i]->size);
    }
    uint64_t size = MIN(largest * 4, max / 8);
    if (log->room != TOPIC_LOG_ROOM_OK || log->journal_refused) {
        size = 0; /* what is needed, and no more */
    }
    size = MAX(size, log->limits.journal_first_bytes);
    size = (MAX(size, needed) + FRAME_ALIGN - 1) & ~(uint64_t)(FRAME_ALIGN - 1);
    struct prepare_job *job = calloc(1, sizeof *job);
    struct journal_file *file = calloc(1, sizeof *file);
    if (!job || !file) {
        free(job);
        free(file);
        return;
    }
    job->file = file;
    log_job_init(log, &job->job, prepare_done, prepare_destroy);
    job->job.work.run = prepare_run;
    unsigned kept = 0;
    for (unsigned i = 0; i < log->file_count; i++) {
        struct journal_file *other = log->files[i];
        bool in_the_way = total + size > max || log->file_count >= JOURNAL_FILES_MAX;
        bool useless = (in_the_way && other->size < needed) || !other->marked;
        bool again = other->doomed && other->unlink_failures < UNLINK_TRIES &&
                     loop_now_ns(log->loop) >= other->unlink_due_ns;
        if (again || (useless && other != log->current && is_free(log, other))) {
            total -= other->size;
            job->remove[job->remove_count++] = other;
        } else {
            log->files[kept++] = other;
        }
    }
    log->file_count = kept;
    if (total + size > max && total < max) {
        size = MAX(MAX(needed, log->limits.journal_first_bytes), (max - total) & ~(uint64_t)4095);
    }
    /* What the log writer holds cannot be taken back. Where no checkpoint could free more, one
     * large message goes beyond the limit rather than never. */
    bool beyond = total + size > max && log->older_sequence < log->durable_sequence;
    if (beyond || log->file_count >= JOURNAL_FILES_MAX) {
        /* Not now: a checkpoint frees files first. Those taken out so far are put back. */
        while (job->remove_count > 0) {
            log->files[log->file_count++] = job->remove[--job->remove_count];
        }
        log_job_finish(&job->job);
        log->journal_pressed = true;
        return;
    }
    log->journal_pressed = false;
    file->id = log->next_file_id++;
    file->size = size;
    log->preparing = true;
    if (log_job_submit(&job->job, log->segment_worker)) {
        log->preparing = false; /* the tick tries again */
    }
}

void journal_maintain(struct topic_log *log) {
    if (log->failed || log->state == LOG_STOPPED) {
        return;
    }
    uint64_t needed = MAX(log->needed_file_bytes, (uint64_t)FRAME_ALIGN);
    uint64_t left = log->current ? log->current->size - log->current->used : 0;
    struct journal_file *best = NULL;
    for (unsigned i = 0; i < log->file_count; i++) {
        struct journal_file *file = log->files[i];
        if (file->state == JOURNAL_CURRENT && file != log->current && file->size >= needed) {
            return; /* the log writer has one to go on with */
        }
        if (is_free(log, file) && file->marked && file->size >= needed &&
            (!best || file->size > best->size)) {
            best = file;
        }
    }
    if (log->current && left >= log->current->size / 2 && left >= needed) {
        return;
    }
    if (best) {
        best->state = JOURNAL_CURRENT;
        if (log_writer_send(log, WRITER_FILE, best)) {
            best->state = JOURNAL_SPARE;
        }
    } else if (!log->preparing) {
        prepare_file(log, needed);
    }
}

/* The log writer may have files to go on with and clients wait all the same: after a refusal only
 * what exists counts as room, and that may be less than what is kept back for reserved appends. */
void journal_ask_again(struct topic_log *log) {
    if (log->journal_refused && !list_empty(&log->throttled) && !log->preparing) {
        prepare_file(log, MAX(log->needed_file_bytes, (uint64_t)FRAME_ALIGN));
    }
}

/* ---- checkpoints ---- */

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
    /* A journal that fills up needs two checkpoints, however new they are. */
    bool pressed =
        older && (log->journal_pressed || journal_room(log) < log->limits.journal_max_bytes / 2);
    if (due || pressed || (older && room_waits(log))) {
        checkpoint_begin(log, false);
    }
}
