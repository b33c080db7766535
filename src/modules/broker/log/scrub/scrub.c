/* Rounds of the scrub: what comes next, the pace, what becomes of what a step finds (scrub.h). */
#include "scrub.h"
#include "compaction/swap_run.h"
#include "log_private.h"
#include "read/cached.h"
#include "read/rot.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    PARTITIONS_A_TURN = 1000,
    LEAST_BYTES = 16 << 10, /* that a step counts for: a small file costs the disk as much */
    SAVE_MS = 60000,
    LOOK_MS = 3600000, /* the wall clock may be set: whether a round is due is asked so often */
    RETRY_MS = 1000,
    RETRY_LATER_MS = 60000,
    TOLD_MAX = 16, /* lines for one segment */
};

struct scrub {
    struct topic_log *log;
    struct timer timer;
    struct scrub_place place;
    struct scrub_walk walk;
    /* The segment under way, with a reference to its topic; NULL: none. */
    struct log_topic *topic;
    struct log_partition *partition;
    struct segment_id id;
    uint32_t swap_count;
    unsigned told; /* of its damage */
    bool busy;     /* a job is under way; the walk is the job's as long */
    bool stopping;
    bool unsaved;    /* the place has moved */
    bool saved_amid; /* what is on disk says that a round is under way */
    bool save_failed;
    int64_t saved_ns;
};

struct scrub_job {
    struct log_job job;
    struct scrub *scrub;
    struct batch_order order;
    struct scrub_place place;
    struct scrub_step step;
    int status;
};

static void scrub_destroy(struct log_job *base) {
    struct scrub_job *job = container_of(base, struct scrub_job, job);
    batch_order_deinit(&job->order);
    free(job);
}

static struct scrub_job *job_new(struct scrub *scrub, void (*run)(struct work *work),
                                 void (*done)(struct work *work)) {
    struct scrub_job *job = calloc(1, sizeof *job);
    if (job) {
        job->scrub = scrub;
        log_job_init(scrub->log, &job->job, done, scrub_destroy);
        job->job.work.run = run;
    }
    return job;
}

static bool submit(struct scrub_job *job) {
    struct scrub *scrub = job->scrub;
    scrub->busy = log_job_submit(&job->job, scrub->log->reader_worker) == 0;
    return scrub->busy;
}

static bool may_go_on(const struct scrub *scrub) {
    const struct topic_log *log = scrub->log;
    return !scrub->stopping && !log->failed && log->state == LOG_READY;
}

static void wait_ms(struct scrub *scrub, int64_t ms) {
    if (may_go_on(scrub)) {
        timer_start_ms(&scrub->timer, MAX(ms, 1));
    }
}

static void put_down(struct scrub *scrub) {
    scrub_walk_end(&scrub->walk);
    disk_close(scrub->walk.file);
    scrub->walk.file = NULL;
    if (scrub->topic) {
        topic_unref(&scrub->topic->public);
    }
    scrub->topic = NULL;
    scrub->partition = NULL;
}

/* ---- where the round is, on disk ---- */

static void finish_stop(struct scrub *scrub) {
    if (scrub->stopping) {
        log_stop_continue(scrub->log);
    }
}

static void save_run(struct work *work) {
    struct scrub_job *job = container_of(work, struct scrub_job, job.work);
    struct topic_log *log = job->job.log;
    job->status = scrub_place_write(log->disk, &log->journal_uuid, &job->place);
}

static void save_done(struct work *work) {
    struct scrub_job *job = container_of(work, struct scrub_job, job.work);
    struct scrub *scrub = job->scrub;
    scrub->busy = false;
    scrub->unsaved |= job->status != 0;
    if (job->status && job->status != DISK_E_FULL && !scrub->save_failed) {
        scrub->save_failed = true;
        topic_log_report(scrub->log, TOPIC_LOG_MENDED,
                         "where the scrub is could not be written: %s; after a restart it begins "
                         "anew",
                         err_text(job->status));
    }
    log_job_finish(&job->job);
    finish_stop(scrub);
}

/* A full disk is no reason to wait: the next minute tries again. Return: whether it is under way,
 * beside the timer. */
static bool save(struct scrub *scrub) {
    struct topic_log *log = scrub->log;
    struct scrub_job *job = log->failed || log->room == TOPIC_LOG_ROOM_FULL
                                ? NULL
                                : job_new(scrub, save_run, save_done);
    scrub->saved_ns = loop_now_ns(log->loop);
    if (!job) {
        return false;
    }
    scrub->unsaved = false;
    scrub->saved_amid = scrub->place.under_way;
    job->place = scrub->place;
    return submit(job);
}

static void save_when_due(struct scrub *scrub) {
    int64_t age_ns = loop_now_ns(scrub->log->loop) - scrub->saved_ns;
    if (scrub->unsaved && (age_ns >= SAVE_MS * NS_PER_MS || !scrub->place.under_way)) {
        (void)save(scrub);
    }
}

/* ---- what a step found ---- */

static void set_aside(struct scrub *scrub, struct offset_range range) {
    rot_set_aside(scrub->log, scrub->partition, &scrub->id, range, "the scrub", &scrub->told,
                  TOLD_MAX);
}

static void set_losses_aside(struct scrub *scrub) {
    for (uint32_t i = 0; i < scrub->walk.loss_count; i++) {
        set_aside(scrub, scrub->walk.losses[i]);
    }
}

/* Marks that every batch of is right again, one behind the other. */
static void take_back(struct scrub *scrub) {
    struct topic_log *log = scrub->log;
    struct log_partition *partition = scrub->partition;
    const struct scrub_walk *walk = &scrub->walk;
    for (uint32_t i = partition->rot_count; i-- > 0;) {
        struct offset_range range = partition->rot[i];
        if (range.from < walk->solid_from || range.to > walk->expected) {
            continue;
        }
        partition->rot[i] = partition->rot[--partition->rot_count];
        topic_log_report(log, TOPIC_LOG_MENDED,
                         "%s-%" PRId32 ": offsets %" PRId64 " to %" PRId64
                         " were set aside and are right on disk now: they can be read again",
                         partition->topic->public.name, partition->public.index, range.from,
                         range.to - 1);
    }
}

static void tell_unreadable(struct scrub *scrub, int status) {
    const struct log_partition *partition = scrub->partition;
    scrub->log->stats.scrub_unreadable++;
    topic_log_report(scrub->log, TOPIC_LOG_DAMAGED,
                     "%s-%" PRId32 ": the scrub cannot read the segment of offset %" PRId64
                     " from offset %" PRId64 " on: %s; it goes on with the next one",
                     partition->topic->public.name, partition->public.index, scrub->id.base_offset,
                     scrub->walk.expected, err_text(status));
}

static const struct log_segment *find_segment(const struct log_partition *partition,
                                              int64_t base_offset) {
    int index = partition_segment_index(partition, base_offset);
    const struct log_segment *segment = index < 0 ? NULL : &partition->segments[index];
    return segment && segment->base_offset == base_offset ? segment : NULL;
}

/* Whether the log still means this file by that name. */
static bool is_still_there(const struct scrub *scrub) {
    return !scrub->topic->public.deleted && !scrub->partition->swap_broken &&
           scrub->swap_count == scrub->partition->swap_count &&
           find_segment(scrub->partition, scrub->id.base_offset);
}

static void end_segment(struct scrub *scrub) {
    scrub->place.base_offset = scrub->id.base_offset + 1;
    scrub->unsaved = true;
    put_down(scrub);
}

/* What the machine lacks now it may have later; that is nothing to hold against the disk. */
static bool is_want(int status) {
    return status == -ENOMEM || status == -EMFILE || status == -ENFILE;
}

/* Return: how long to wait beyond the pace. */
static int64_t judge(struct scrub *scrub, const struct scrub_job *job) {
    struct topic_log_stats *stats = &scrub->log->stats;
    if (!is_still_there(scrub)) {
        put_down(scrub);
        return 0;
    }
    if (job->status && is_want(job->status)) {
        put_down(scrub);
        return RETRY_LATER_MS;
    }
    if (job->status == DISK_E_NOT_FOUND) {
        set_aside(scrub, (struct offset_range){scrub->id.base_offset, scrub->walk.next_base});
        end_segment(scrub);
        return 0;
    }
    if (job->status) {
        set_losses_aside(scrub);
        tell_unreadable(scrub, job->status);
        end_segment(scrub);
        return 0;
    }
    take_back(scrub);
    if (job->step.ended) {
        set_losses_aside(scrub);
        stats->scrub_segments++;
        end_segment(scrub);
    }
    return 0;
}

/* ---- one step ---- */

static void step_run(struct work *work) {
    struct scrub_job *job = container_of(work, struct scrub_job, job.work);
    struct scrub *scrub = job->scrub;
    if (!scrub->walk.file) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(&scrub->id, SEGMENT_LOG, name);
        job->status = disk_open(job->job.log->disk, name, DISK_READ, &scrub->walk.file);
        if (job->status) {
            return;
        }
        if (disk_fd(scrub->walk.file) >= 0) {
            file_reads_apart(disk_fd(scrub->walk.file));
        }
    }
    job->status = scrub_walk_step(&scrub->walk, &job->order, &job->step);
}

static void step_done(struct work *work) {
    struct scrub_job *job = container_of(work, struct scrub_job, job.work);
    struct scrub *scrub = job->scrub;
    struct topic_log *log = scrub->log;
    uint64_t rate = MAX(log->limits.scrub_bytes_per_second, (uint64_t)1);
    uint64_t bytes = MAX(job->step.bytes, (uint64_t)LEAST_BYTES);
    scrub->busy = false;
    log->stats.scrub_bytes += job->step.bytes;
    int64_t more_ms = may_go_on(scrub) ? judge(scrub, job) : 0;
    log_job_finish(&job->job);
    if (!may_go_on(scrub)) {
        put_down(scrub);
        if (!scrub->stopping || !scrub->unsaved || !save(scrub)) {
            finish_stop(scrub);
        }
        return;
    }
    save_when_due(scrub);
    wait_ms(scrub, (int64_t)((bytes * 1000 + rate - 1) / rate) + more_ms);
}

static bool begin_step(struct scrub *scrub) {
    struct scrub_job *job = job_new(scrub, step_run, step_done);
    if (!job || batch_order_copy(scrub->partition, &job->order)) {
        if (job) {
            log_job_finish(&job->job);
        }
        return false;
    }
    return submit(job);
}

/* ---- rounds ---- */

/* The first one at or behind @base_offset that nothing is written to any more; -1: none. */
static int first_closed(const struct log_partition *partition, int64_t base_offset) {
    for (uint32_t i = 0; i + 1 < partition->segment_count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        if (segment->base_offset >= base_offset && segment->bytes > 0 &&
            segment->written_bytes == segment->bytes) {
            return (int)i;
        }
    }
    return -1;
}

static void take(struct scrub *scrub, struct log_partition *partition, int index) {
    const struct log_segment *segment = &partition->segments[index];
    scrub->partition = partition;
    scrub->topic = partition->topic;
    topic_ref(&scrub->topic->public);
    scrub->id = (struct segment_id){partition->topic->public.number, partition->public.index,
                                    segment->base_offset};
    scrub->swap_count = partition->swap_count;
    scrub->told = 0;
    scrub_walk_begin(&scrub->walk, segment->base_offset, partition->segments[index + 1].base_offset,
                     segment->written_bytes);
}

enum found { TAKEN, LATER, AT_THE_END };

static enum found take_next(struct scrub *scrub) {
    struct topic_log *log = scrub->log;
    struct scrub_place *place = &scrub->place;
    for (unsigned n = 0; n < PARTITIONS_A_TURN; n++) {
        /* Numbers only rise, so they stand for a place that no deletion takes away. */
        if (place->topic >= log->next_number) {
            return AT_THE_END;
        }
        struct log_topic *topic = registry_by_number(log, place->topic);
        if (!topic || topic->public.deleted || place->partition < 0 ||
            place->partition >= topic->public.partition_count) {
            place->topic++;
            place->partition = 0;
            place->base_offset = 0;
            continue;
        }
        struct log_partition *partition = topic_partition(topic, place->partition);
        int index = partition->swap_broken ? -1 : first_closed(partition, place->base_offset);
        if (index < 0) {
            place->partition++;
            place->base_offset = 0;
            continue;
        }
        if (swap_window_open(log, partition)) {
            return LATER;
        }
        take(scrub, partition, index);
        return TAKEN;
    }
    return LATER;
}

static void end_round(struct scrub *scrub) {
    struct topic_log *log = scrub->log;
    struct scrub_place *place = &scrub->place;
    place->topic = 0;
    place->partition = 0;
    place->base_offset = 0;
    place->under_way = false;
    place->ended_ms = clock_wall_ms(log->config.clock);
    log->stats.scrub_ended_s = place->ended_ms / 1000;
    free(scrub->walk.buffer);
    scrub->walk.buffer = NULL;
    scrub->unsaved |= scrub->saved_amid;
    save_when_due(scrub); /* not where nothing was to be read */
}

/* Rounds begin one interval apart, or one at the end of the other. Return: ms until the next. */
static int64_t until_due_ms(const struct scrub *scrub) {
    int64_t now_ms = clock_wall_ms(scrub->log->config.clock);
    int64_t began_ms = scrub->place.began_ms;
    if (began_ms == 0 || began_ms > now_ms) {
        return 0; /* none yet, or the clock was set back */
    }
    return MAX(began_ms + scrub->log->limits.scrub_interval_ms - now_ms, 0);
}

static void on_timer(struct timer *timer) {
    struct scrub *scrub = container_of(timer, struct scrub, timer);
    struct scrub_place *place = &scrub->place;
    if (!may_go_on(scrub)) {
        put_down(scrub);
        return;
    }
    if (scrub->busy) { /* the place is being written */
        wait_ms(scrub, RETRY_MS);
        return;
    }
    if (!place->under_way) {
        int64_t due_ms = until_due_ms(scrub);
        if (due_ms > 0) {
            wait_ms(scrub, MIN(due_ms, LOOK_MS));
            return;
        }
        place->under_way = true;
        place->began_ms = clock_wall_ms(scrub->log->config.clock);
        scrub->saved_ns = loop_now_ns(scrub->log->loop);
    }
    if (!scrub->walk.buffer && !(scrub->walk.buffer = malloc(SCRUB_BUFFER_BYTES))) {
        wait_ms(scrub, RETRY_LATER_MS);
        return;
    }
    if (scrub->topic && !is_still_there(scrub)) {
        put_down(scrub);
    }
    enum found found = scrub->topic ? TAKEN : take_next(scrub);
    if (found == AT_THE_END) {
        end_round(scrub);
        wait_ms(scrub, MIN(until_due_ms(scrub), LOOK_MS));
    } else if (found == LATER || !begin_step(scrub)) {
        wait_ms(scrub, RETRY_MS);
    }
}

/* ---- life ---- */

static void load_run(struct work *work) {
    struct scrub_job *job = container_of(work, struct scrub_job, job.work);
    struct topic_log *log = job->job.log;
    scrub_place_read(log->disk, &log->journal_uuid, &job->place);
}

static void load_done(struct work *work) {
    struct scrub_job *job = container_of(work, struct scrub_job, job.work);
    struct scrub *scrub = job->scrub;
    struct topic_log *log = scrub->log;
    scrub->busy = false;
    scrub->place = job->place;
    scrub->saved_amid = scrub->place.under_way;
    log->stats.scrub_ended_s = job->place.ended_ms / 1000;
    log_job_finish(&job->job);
    wait_ms(scrub, MIN(log->limits.scrub_interval_ms, (int64_t)SCRUB_FIRST_MS));
    finish_stop(scrub);
}

void scrub_start(struct topic_log *log) {
    struct scrub *scrub = log->limits.scrub_interval_ms > 0 ? calloc(1, sizeof *scrub) : NULL;
    if (!scrub) {
        return; /* off; or without memory for some words, and much else is the matter */
    }
    log->scrub = scrub;
    scrub->log = log;
    timer_init(&scrub->timer, log->loop, on_timer);
    struct scrub_job *job = job_new(scrub, load_run, load_done);
    if (!job || !submit(job)) {
        wait_ms(scrub, SCRUB_FIRST_MS);
    }
}

void scrub_stop(struct topic_log *log) {
    struct scrub *scrub = log->scrub;
    if (!scrub || scrub->stopping) {
        return;
    }
    scrub->stopping = true;
    timer_stop(&scrub->timer);
    if (!scrub->busy) {
        put_down(scrub);
        if (scrub->unsaved) {
            (void)save(scrub);
        }
    }
}

bool scrub_busy(const struct topic_log *log) {
    return log->scrub && log->scrub->busy;
}

void scrub_free(struct topic_log *log) {
    struct scrub *scrub = log->scrub;
    if (scrub) {
        timer_stop(&scrub->timer);
        put_down(scrub);
        free(scrub->walk.buffer);
        free(scrub);
        log->scrub = NULL;
    }
}
