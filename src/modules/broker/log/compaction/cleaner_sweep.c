/*
 * Files of compactions that a crash ended before their record: after a start that was not clean
 * the cleaner's thread looks through the folders of compacted topics, before the first run, and
 * removes them. No start waits for it.
 */
#include "cleaner.h"
#include "log_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEP_AT_ONCE = 64 };

struct sweep_job {
    struct log_job job;
    struct segment_id *folders; /* topic and partition */
    uint32_t count;
};

static void sweep_destroy(struct log_job *base) {
    struct sweep_job *job = container_of(base, struct sweep_job, job);
    free(job->folders);
    free(job);
}

struct leftovers {
    char names[SWEEP_AT_ONCE][SEGMENT_NAME_SIZE];
    unsigned count;
};

static int collect_leftover(void *userdata, const char *name, bool is_dir) {
    struct leftovers *leftovers = userdata;
    const char *end = strrchr(name, '.');
    if (is_dir || !end || strcmp(end, ".cleaned") != 0 || strlen(name) >= SEGMENT_NAME_SIZE) {
        return 0;
    }
    strcpy(leftovers->names[leftovers->count++], name);
    return leftovers->count == SWEEP_AT_ONCE;
}

static void sweep_folder(struct disk *disk, const struct segment_id *id) {
    struct leftovers leftovers;
    char folder[SEGMENT_NAME_SIZE];
    segment_folder(id->topic, id->partition, folder);
    do {
        leftovers.count = 0;
        (void)disk_list(disk, folder, collect_leftover, &leftovers);
        for (unsigned i = 0; i < leftovers.count; i++) {
            char path[2 * SEGMENT_NAME_SIZE];
            snprintf(path, sizeof path, "%s/%s", folder, leftovers.names[i]);
            if (disk_unlink(disk, path)) {
                return; /* some other start tries again */
            }
        }
    } while (leftovers.count == SWEEP_AT_ONCE);
}

static void sweep_run(struct work *work) {
    struct sweep_job *job = container_of(work, struct sweep_job, job.work);
    for (uint32_t i = 0; i < job->count; i++) {
        if (__atomic_load_n(&job->job.log->cleaner.stopping, __ATOMIC_ACQUIRE)) {
            break;
        }
        sweep_folder(job->job.log->disk, &job->folders[i]);
    }
}

static void sweep_done(struct work *work) {
    struct sweep_job *job = container_of(work, struct sweep_job, job.work);
    struct topic_log *log = job->job.log;
    log_job_finish(&job->job);
    cleaner_idle(log);
}

bool cleaner_sweep_begin(struct topic_log *log) {
    struct sweep_job *job = calloc(1, sizeof *job);
    if (!job) {
        return false;
    }
    job->folders = calloc(log->partition_total, sizeof *job->folders);
    log_job_init(log, &job->job, sweep_done, sweep_destroy);
    job->job.work.run = sweep_run;
    list_for_each(link, &log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (!job->folders || !topic_config_compacts(log, &topic->public)) {
            continue;
        }
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            if (topic_partition(topic, i)->segment_count > 0 && job->count < log->partition_total) {
                job->folders[job->count++] = (struct segment_id){topic->public.number, i, 0};
            }
        }
    }
    if (!job->folders || job->count == 0) {
        log_job_finish(&job->job);
        return false;
    }
    return log_job_submit(&job->job, log->cleaner_worker) == 0;
}
