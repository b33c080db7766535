/* The loop's side of a swap: the record, the window in which reads wait, the jobs on the threads.
 * One swap at a time. */
#include "swap_run.h"
#include "append/tail.h"
#include "checkpoint/log_keeper.h"
#include "cleaner.h"
#include "fields.h"
#include "log_private.h"
#include "read/reader.h"
#include "swap.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdlib.h>

struct swap_run {
    struct log_job job;
    struct swap *swap;
    struct log_topic *topic; /* with a reference */
    struct log_partition *partition;
    bool renamed;
    int status;
};

static void run_destroy(struct log_job *base) {
    struct swap_run *run = container_of(base, struct swap_run, job);
    swap_free(run->swap);
    topic_unref(&run->topic->public);
    free(run);
}

static struct swap_run *run_new(struct topic_log *log, struct log_partition *partition,
                                struct swap *swap) {
    struct swap_run *run = calloc(1, sizeof *run);
    if (run) {
        run->swap = swap;
        run->topic = partition->topic;
        run->partition = partition;
        topic_ref(&run->topic->public);
        log_job_init(log, &run->job, NULL, run_destroy);
    }
    return run;
}

/* The same job goes from thread to thread. */
static void run_on(struct swap_run *run, struct worker *worker, void (*body)(struct work *work),
                   void (*done)(struct work *work)) {
    struct topic_log *log = run->job.log;
    run->job.work = (struct work){.run = body, .done = done};
    if (worker && worker_submit(worker, &run->job.work) == 0) {
        return;
    }
    /* The end of this run of the log: the record is durable, the next start goes on from it. */
    if (log->swap == run) {
        log->swap = NULL;
        swap_resume_held(log);
    }
    log_job_finish(&run->job);
}

/* ---- what reads see ---- */

bool swap_window_open(const struct topic_log *log, const struct log_partition *partition) {
    return log->swap && log->swap->partition == partition && !log->swap->renamed;
}

bool swap_names(const struct topic_log *log, uint32_t topic, int32_t partition) {
    return log->swap && log->swap->swap->topic == topic &&
           (partition < 0 || log->swap->swap->partition == partition);
}

void swap_hold(struct topic_log *log, struct swap_waiter *waiter) {
    list_push_back(&log->swap_held, &waiter->link);
}

bool swap_came_between(struct topic_log *log, const struct log_partition *partition,
                       uint32_t swap_count, struct swap_waiter *waiter) {
    if (swap_count == partition->swap_count) {
        return false;
    }
    if (swap_window_open(log, partition)) {
        swap_hold(log, waiter);
    } else {
        waiter->resume(waiter);
    }
    return true;
}

void swap_resume_held(struct topic_log *log) {
    struct list waiting;
    list_init(&waiting);
    list_splice_back(&waiting, &log->swap_held);
    struct list *link;
    while ((link = list_pop_front(&waiting)) != NULL) {
        struct swap_waiter *waiter = list_entry(link, struct swap_waiter, link);
        waiter->resume(waiter);
    }
}

void swap_encode_pending(const struct topic_log *log, struct text *out) {
#ifdef MUTANT_SWAP_PENDING
    bool pending = false;
#else
    bool pending = log->swap != NULL;
#endif
    fields_put(out, pending, 4);
    if (pending) {
        swap_encode(out, log->swap->swap);
    }
}

/* ---- the steps ---- */

static void ended(struct topic_log *log, struct swap_run *run) {
    log->swap = NULL;
    log_job_finish(&run->job);
    swap_resume_held(log);
    cleaner_idle(log);
}

/* The tick takes the same step again: twice is harmless. */
static bool waits_for_space(struct swap_run *run) {
    struct topic_log *log = run->job.log;
    if (run->status != DISK_E_FULL || log->failed || log->state != LOG_READY) {
        return false;
    }
    topic_log_report(log, TOPIC_LOG_DISK_LOW, "compacted segments wait for space");
    log->swap_again = true;
    return true;
}

static void unlink_run(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    run->status = swap_unlink(run->job.log->disk, run->swap);
}

static void on_unlinked(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    struct topic_log *log = run->job.log;
    if (waits_for_space(run)) {
        return;
    }
    if (run->status) {
        /* A sync of the folder that fails may have lost the new names. */
        topic_log_fail(log, "taking over compacted segments", run->status);
    }
    ended(log, run);
}

static void rename_run(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    run->status = swap_rename(run->job.log->disk, run->swap);
}

static void on_renamed(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    struct topic_log *log = run->job.log;
    if (waits_for_space(run)) {
        return;
    }
    if (run->status) {
        run->partition->swap_broken = true; /* the next start brings all of it in order */
        topic_log_fail(log, "renaming compacted segments", run->status);
        ended(log, run);
        return;
    }
    run->renamed = true;
    swap_resume_held(log);
    run_on(run, log->cleaner_worker, unlink_run, on_unlinked);
}

void swap_go_on(struct topic_log *log) {
    if (log->swap_again) {
        log->swap_again = false;
        struct swap_run *run = log->swap;
        run_on(run, log->cleaner_worker, run->renamed ? unlink_run : rename_run,
               run->renamed ? on_unlinked : on_renamed);
    }
}

/* Descriptors of old files, at the segment writer: what it has queued for them comes first. */
static void forget_run(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    const struct swap *swap = run->swap;
    for (uint32_t i = 0; i < swap->target_count; i++) {
        for (uint32_t n = 0; n < swap->targets[i].base_count; n++) {
            struct segment_id id = {swap->topic, swap->partition, swap->targets[i].bases[n]};
            segment_writer_forget(run->job.log->segment_writer, &id);
        }
    }
}

static void on_forgotten(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    run_on(run, run->job.log->cleaner_worker, rename_run, on_renamed);
}

static void drop_run(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    (void)swap_drop(run->job.log->disk, run->swap); /* what stays is swept away some day */
}

static void on_dropped(struct work *work) {
    struct swap_run *run = container_of(work, struct swap_run, job.work);
    struct topic_log *log = run->job.log;
    log_job_finish(&run->job);
    cleaner_idle(log);
}

/* ---- the record ---- */

struct swap_change {
    struct registry_change change; /* first */
    struct swap_run *run;
};

static void change_destroy(struct registry_change *base) {
    struct swap_change *change = container_of(base, struct swap_change, change);
    if (change->run) {
        log_job_finish(&change->run->job);
    }
}

static int on_swapped(struct registry_change *base, int status) {
    struct swap_change *change = container_of(base, struct swap_change, change);
    struct swap_run *run = change->run;
    struct topic_log *log = base->log;
    if (status) {
        cleaner_idle(log);
        return status; /* the log has failed; nobody knows whether the record is there */
    }
    change->run = NULL;
    list_push_back(&log->jobs, &run->job.link);
    checkpoint_changes(log, run->partition);
    int r = swap_list(run->partition, run->swap);
    if (r < 0 || r == 1 || run->topic->deleted_durable) {
        run_on(run, log->cleaner_worker, drop_run, on_dropped);
        return 0;
    }
    log->swap = run;
    run->partition->swap_count++;
    for (uint32_t i = 0; i < run->swap->target_count; i++) {
        for (uint32_t n = 0; n < run->swap->targets[i].base_count; n++) {
            struct segment_id id = {run->swap->topic, run->swap->partition,
                                    run->swap->targets[i].bases[n]};
            reader_forget(log, &id);
        }
    }
    tail_forget_written(log, run->partition, run->swap->cleaned_to);
    run_on(run, log->segment_worker, forget_run, on_forgotten);
    return 0;
}

void swap_discard(struct topic_log *log, struct log_partition *partition, struct swap *swap) {
    struct swap_run *run = run_new(log, partition, swap);
    if (!run) {
        swap_free(swap);
        cleaner_idle(log);
        return;
    }
    run_on(run, log->cleaner_worker, drop_run, on_dropped);
}

int swap_send(struct topic_log *log, struct log_partition *partition, struct swap *swap) {
    struct swap_change *change = calloc(1, sizeof *change);
    struct text value;
    if (!change) {
        return err_origin(-ENOMEM);
    }
    struct swap_run *run = run_new(log, partition, swap);
    if (!run) {
        free(change);
        return err_origin(-ENOMEM);
    }
    list_remove(&run->job.link); /* until its record is durable it goes with the change */
    registry_record_begin(&value, REGISTRY_SEGMENTS_SWAPPED);
    swap_encode(&value, swap);
    change->change.topic = partition->topic;
    change->change.finished = on_swapped;
    change->change.delays_state = true;
    change->run = run;
    int r = registry_change_send(log, &change->change, REGISTRY_SEGMENTS_SWAPPED, &value);
    if (r == 0) {
        change->change.destroy = change_destroy; /* not before: on error the swap is the caller's */
        return 0;
    }
    run->swap = NULL; /* stays the caller's */
    log_job_finish(&run->job);
    return r;
}
