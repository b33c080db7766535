/*
 * Which journal file comes next: a free one, or one more, prepared ahead of need by the segment
 * writer's thread. A file is free again when the older of the two valid checkpoints covers its last
 * frame (log_keeper.c); journal.h has the bytes.
 */
#include "journal_files.h"
#include "append/append.h"
#include "log_private.h"

#include <stdlib.h>

enum { UNLINK_TRIES = 8 }; /* of a journal file */

#define UNLINK_WAIT_MS INT64_C(1000)

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

bool journal_is_freed(const struct topic_log *log) {
    for (unsigned i = 0; i < log->file_count; i++) {
        const struct journal_file *file = log->files[i];
        if (file->state == JOURNAL_FULL && !file->doomed && !is_free(log, file)) {
            return false;
        }
    }
    return !log->journal_refused;
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
    if (log->state == LOG_STARTING && !log->failed) {
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
