/*
 * Removal of files that nothing names any more: folders of deleted topics, segments below the
 * start of a log.
 *
 * A registry record says so first. Its frame stands in the list of removals, which is in every
 * checkpoint; when the older of the two valid checkpoints covers it, no replay can come by these
 * files again, and the cleaner's thread unlinks them. Every batch that belongs there has been
 * written by then, since a checkpoint waits for that, all but entries of an index that wait in the
 * segment writer: it forgets them first, else it would make the file again when it gets to them. An
 * entry leaves the list only when the folder is synced without them: cut at any instant, the next
 * start finds them in the list, or gone.
 *
 * An unlink that fails loses nothing but room: it is tried again, later each time, and after
 * TRIES_MAX times by the next start. So is one whose folder could not be synced, and at once:
 * nobody knows any more which of its entries are gone. What fails stands in nobody's way.
 */
#include "removal.h"
#include "compaction/swap_run.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "read/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAMES_AT_ONCE = 64, REMOVALS_AT_ONCE = 128, TRIES_MAX = 8, FIRST_WAIT_MS = 1000 };

/* ---- the list ---- */

int removal_add(struct topic_log *log, const struct pending_removal *removal) {
    if (log->removal_count == log->removal_capacity) {
        uint32_t capacity = log->removal_capacity ? log->removal_capacity * 2 : 8;
        void *grown = realloc(log->removals, capacity * sizeof *log->removals);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        log->removals = grown;
        log->removal_capacity = capacity;
    }
    log->removals[log->removal_count++] = *removal;
    return 0;
}

int removal_add_topic(struct topic_log *log, const struct log_topic *topic, uint64_t sequence) {
    struct pending_removal removal = {.number = topic->public.number,
                                      .partition = -1,
                                      .partition_count = topic->public.partition_count,
                                      .sequence = sequence};
    return removal_add(log, &removal);
}

/* In this run; the next start tries all of them. */
static bool is_left(const struct pending_removal *removal) {
    return removal->failures >= TRIES_MAX;
}

bool removals_wait(const struct topic_log *log) {
    for (uint32_t i = 0; i < log->removal_count; i++) {
        if (!log->removals[i].under_way && !is_left(&log->removals[i])) {
            return true;
        }
    }
    return false;
}

bool removals_uncovered(const struct topic_log *log) {
    for (uint32_t i = 0; i < log->removal_count; i++) {
        if (log->removals[i].sequence > log->older_sequence) {
            return true;
        }
    }
    return false;
}

/* ---- the cleaner's side ---- */

struct removal_job {
    struct log_job job;
    struct pending_removal *removals;
    uint32_t count;
    int failure; /* out: of the first that failed */
};

static void removal_destroy(struct log_job *base) {
    struct removal_job *job = container_of(base, struct removal_job, job);
    free(job->removals);
    free(job);
}

struct names {
    char (*names)[SEGMENT_NAME_SIZE];
    unsigned count;
};

static int collect_name(void *userdata, const char *name, bool is_dir) {
    struct names *names = userdata;
    if (is_dir || strlen(name) >= SEGMENT_NAME_SIZE) {
        return 0;
    }
    strcpy(names->names[names->count++], name);
    return names->count == NAMES_AT_ONCE ? 1 : 0;
}

static int gone(int r) {
    return r == DISK_E_NOT_FOUND ? 0 : r;
}

static int remove_folder(struct disk *disk, const char *folder) {
    char collected[NAMES_AT_ONCE][SEGMENT_NAME_SIZE];
    for (;;) {
        struct names names = {collected, 0};
        int r = disk_list(disk, folder, collect_name, &names);
        if (r == DISK_E_NOT_FOUND) {
            return 0;
        }
        if (r != 0 && r != 1) {
            return err_trace(r);
        }
        if (names.count == 0) {
            break;
        }
        for (unsigned i = 0; i < names.count; i++) {
            char path[2 * SEGMENT_NAME_SIZE];
            int length = snprintf(path, sizeof path, "%s/%s", folder, collected[i]);
            r = length < (int)sizeof path ? gone(disk_unlink(disk, path)) : -ENAMETOOLONG;
            if (r) {
                return err_trace(r);
            }
        }
    }
    return gone(disk_rmdir(disk, folder));
}

static int remove_topic(struct disk *disk, const struct pending_removal *removal) {
    for (int32_t i = 0; i < removal->partition_count; i++) {
        char folder[SEGMENT_NAME_SIZE];
        segment_folder(removal->number, i, folder);
        int r = remove_folder(disk, folder);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

static int remove_segment(struct disk *disk, const struct pending_removal *removal) {
    struct segment_id id = {removal->number, removal->partition, removal->base_offset};
    return segment_unlink(disk, &id);
}

static bool same_folder(const struct pending_removal *a, const struct pending_removal *b) {
    return a->number == b->number && a->partition == b->partition;
}

enum outcome { GONE, KEPT, UNKNOWN }; /* the last: unlinked, and the folder is not synced */

/* All of @first's folder that follow each other: one sync for all of them. */
static enum outcome remove_group(struct disk *disk, const struct pending_removal *first,
                                 uint32_t count, int *ret_code) {
    char folder[SEGMENT_NAME_SIZE];
    if (first->partition < 0) {
        *ret_code = remove_topic(disk, first);
        if (*ret_code == 0) {
            *ret_code = gone(disk_sync_dir(disk, "topics"));
            return *ret_code ? UNKNOWN : GONE;
        }
        return KEPT;
    }
    *ret_code = 0;
    for (uint32_t i = 0; i < count && *ret_code == 0; i++) {
        *ret_code = remove_segment(disk, &first[i]);
    }
    if (*ret_code) {
        return KEPT;
    }
    struct segment_id id = {first->number, first->partition, 0};
    *ret_code = producer_snapshot_drop(disk, &id, 0, first[count - 1].base_offset);
    if (*ret_code) {
        return KEPT;
    }
    segment_folder(first->number, first->partition, folder);
    *ret_code = gone(disk_sync_dir(disk, folder));
    return *ret_code ? UNKNOWN : GONE;
}

static void removal_run(struct work *work) {
    struct removal_job *job = container_of(work, struct removal_job, job.work);
    for (uint32_t i = 0, n; i < job->count; i += n) {
        struct pending_removal *first = &job->removals[i];
        int code = 0;
        for (n = 1; first->partition >= 0 && i + n < job->count && same_folder(first, first + n);) {
            n++;
        }
        enum outcome outcome = remove_group(job->job.log->disk, first, n, &code);
        for (uint32_t k = 0; k < n; k++) {
            first[k].under_way = outcome != GONE;
            first[k].failures = outcome == UNKNOWN ? TRIES_MAX : first[k].failures + 1;
        }
        job->failure = job->failure ? job->failure : code;
    }
}

/* At the segment writer, before: descriptors that it holds would keep the space, too. */
static void forget_run(struct work *work) {
    struct removal_job *job = container_of(work, struct removal_job, job.work);
    for (uint32_t i = 0; i < job->count; i++) {
        const struct pending_removal *removal = &job->removals[i];
        struct segment_id id = {removal->number, removal->partition, removal->base_offset};
        segment_writer_forget(job->job.log->segment_writer, &id);
    }
}

/* ---- the loop's side ---- */

static bool same_files(const struct pending_removal *a, const struct pending_removal *b) {
    return same_folder(a, b) && a->base_offset == b->base_offset && a->sequence == b->sequence;
}

/* What a job could not do waits, longer each time. */
static void put_back(struct topic_log *log, struct pending_removal *removal,
                     const struct removal_job *job, uint8_t failures) {
    int64_t wait_ms = (int64_t)FIRST_WAIT_MS << MIN(failures, TRIES_MAX);
    removal->under_way = false;
    removal->failures = failures;
    removal->due_ns = loop_now_ns(log->loop) + wait_ms * NS_PER_MS;
    log->stats.removals_failed++;
    if (is_left(removal)) {
        topic_log_report(log, TOPIC_LOG_DISK_LOW,
                         "files of topic %" PRIu32 " that are no longer needed cannot be removed, "
                         "the next start tries again: %s",
                         removal->number, err_text(job->failure));
    }
}

static void take_off(struct topic_log *log, const struct removal_job *job) {
    uint32_t kept = 0, next = 0;
    for (uint32_t i = 0; i < log->removal_count; i++) {
        /* Both are in the order of the list. */
        struct pending_removal *removal = &log->removals[i];
        if (next == job->count || !same_files(removal, &job->removals[next])) {
            log->removals[kept++] = *removal;
            continue;
        }
        const struct pending_removal *tried = &job->removals[next++];
        if (tried->under_way) {
            put_back(log, removal, job, tried->failures);
            log->removals[kept++] = *removal;
        } else {
            log->stats.segments_removed += removal->partition >= 0;
        }
    }
    log->removal_count = kept;
}

static void removal_done(struct work *work) {
    struct removal_job *job = container_of(work, struct removal_job, job.work);
    struct topic_log *log = job->job.log;
    take_off(log, job);
    log->removing = false;
    for (uint32_t i = 0; i < job->count; i++) {
        const struct pending_removal *removal = &job->removals[i];
        struct segment_id id = {removal->number, removal->partition, removal->base_offset};
        reader_forget(log, &id);
    }
    if (job->failure) {
        log_tick_soon(log);
    }
    log_job_finish(&job->job);
    removals_maybe(log);
    log_stop_continue(log);
}

static void forget_done(struct work *work) {
    struct removal_job *job = container_of(work, struct removal_job, job.work);
    struct topic_log *log = job->job.log;
    job->job.work = (struct work){.run = removal_run, .done = removal_done};
    if (log_job_submit(&job->job, log->cleaner_worker)) {
        log->removing = false; /* the next start goes on */
        log_stop_continue(log);
    }
}

void removals_maybe(struct topic_log *log) {
    if (log->removing) {
        return;
    }
    struct removal_job *job = NULL;
    int64_t now_ns = loop_now_ns(log->loop);
    for (uint32_t i = 0; i < log->removal_count; i++) {
        struct pending_removal *removal = &log->removals[i];
        if (removal->under_way || is_left(removal) || removal->due_ns > now_ns ||
            removal->sequence > log->older_sequence ||
            swap_names(log, removal->number, removal->partition)) {
            continue;
        }
        if (!job) {
            job = calloc(1, sizeof *job);
            void *list = calloc(MIN(log->removal_count, REMOVALS_AT_ONCE), sizeof *job->removals);
            if (!job || !list) {
                free(job);
                free(list);
                return; /* the tick tries again */
            }
            job->removals = list;
        }
        removal->under_way = true;
        job->removals[job->count++] = *removal;
        if (job->count == REMOVALS_AT_ONCE) {
            break;
        }
    }
    if (job) {
        log_job_init(log, &job->job, forget_done, removal_destroy);
        job->job.work.run = forget_run;
        log->removing = true;
        if (log_job_submit(&job->job, log->segment_worker)) {
            log->removing = false; /* as above */
        }
    }
}
