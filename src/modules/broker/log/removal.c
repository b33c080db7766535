/*
 * Removal of files that nothing names any more: folders of deleted topics, segments below the
 * start of a log.
 *
 * A registry record says so first. Its frame stands in the list of removals, which is in every
 * checkpoint; when the older of the two valid checkpoints covers it, no replay can come by these
 * files again, and the cleaner's thread unlinks them. Every batch that belongs there has been
 * written by then, since a checkpoint waits for that. An entry leaves the list only when the folder
 * is synced without them: cut at any instant, the next start finds them in the list, or gone.
 */
#include "producer_snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAMES_AT_ONCE = 64, REMOVALS_AT_ONCE = 128 };

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

bool removals_wait(const struct topic_log *log) {
    for (uint32_t i = 0; i < log->removal_count; i++) {
        if (!log->removals[i].under_way) {
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
    uint32_t done; /* out: so many are gone for good */
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
    return gone(disk_sync_dir(disk, "topics"));
}

static int remove_segment(struct disk *disk, const struct pending_removal *removal) {
    struct segment_id id = {removal->number, removal->partition, removal->base_offset};
    for (unsigned kind = 0; kind < SEGMENT_KINDS; kind++) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(&id, (enum segment_kind)kind, name);
        int r = gone(disk_unlink(disk, name));
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

static bool same_folder(const struct pending_removal *a, const struct pending_removal *b) {
    return a->number == b->number && a->partition == b->partition;
}

/* Segments that follow each other are of one folder, mostly: one sync for all of them. */
static void removal_run(struct work *work) {
    struct removal_job *job = container_of(work, struct removal_job, job.work);
    struct disk *disk = job->job.log->disk;
    int r = 0;
    uint32_t i = 0;
    while (i < job->count && r == 0) {
        const struct pending_removal *first = &job->removals[i];
        if (first->partition < 0) {
            r = remove_topic(disk, first);
            i++;
        } else {
            for (; i < job->count && r == 0 && same_folder(first, &job->removals[i]); i++) {
                r = remove_segment(disk, &job->removals[i]);
            }
            char folder[SEGMENT_NAME_SIZE];
            segment_folder(first->number, first->partition, folder);
            struct segment_id id = {first->number, first->partition, 0};
            r = r ? r : producer_snapshot_drop(disk, &id, 0, job->removals[i - 1].base_offset);
            r = r ? r : gone(disk_sync_dir(disk, folder));
        }
        job->done = r ? job->done : i;
    }
}

/* Descriptors that the caches still hold would keep the space. */
static void forget_run(struct work *work) {
    struct removal_job *job = container_of(work, struct removal_job, job.work);
    for (uint32_t i = 0; i < job->count; i++) {
        const struct pending_removal *removal = &job->removals[i];
        struct segment_id id = {removal->number, removal->partition, removal->base_offset};
        segment_writer_forget(job->job.log->segments, &id);
    }
}

static void forget_done(struct work *work) {
    struct removal_job *job = container_of(work, struct removal_job, job.work);
    log_job_finish(&job->job);
}

/* ---- the loop's side ---- */

static bool same_files(const struct pending_removal *a, const struct pending_removal *b) {
    return same_folder(a, b) && a->base_offset == b->base_offset && a->sequence == b->sequence;
}

static void take_off(struct topic_log *log, const struct removal_job *job) {
    uint32_t kept = 0, next = 0;
    for (uint32_t i = 0; i < log->removal_count; i++) {
        /* Both are in the order of the list. */
        if (next < job->done && same_files(&log->removals[i], &job->removals[next])) {
            log->stats.segments_removed += log->removals[i].partition >= 0;
            next++;
        } else {
            log->removals[kept++] = log->removals[i];
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
    bool failed = job->done < job->count;
    /* The same list goes to the segment writer, whose cache it is. */
    job->job.work = (struct work){.run = forget_run, .done = forget_done};
    (void)log_job_submit(&job->job, log->segment_worker);
    /* A failed unlink loses nothing: the list is in the checkpoint, the next start tries again. */
    if (!failed) {
        removals_maybe(log);
    }
    log_stop_continue(log);
}

void removals_maybe(struct topic_log *log) {
    if (log->removing) {
        return;
    }
    struct removal_job *job = NULL;
    for (uint32_t i = 0; i < log->removal_count; i++) {
        struct pending_removal *removal = &log->removals[i];
        if (removal->under_way || removal->sequence > log->older_sequence ||
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
        log_job_init(log, &job->job, removal_done, removal_destroy);
        job->job.work.run = removal_run;
        log->removing = true;
        if (log_job_submit(&job->job, log->cleaner_worker)) {
            log->removing = false; /* the next start goes on */
        }
    }
}
