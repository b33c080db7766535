/*
 * From the queue to the log writer, and what follows when a frame is durable.
 *
 * Everything appended in one turn of the loop goes to the log writer in one message (or a few of
 * SUBMIT_BYTES); the writer puts what waits for it into one frame with one sync, so the group is as
 * large as the disk is slow. A message comes back in the order in which it was sent, one frame in
 * one or several of them, and only with the last of its frame the state is that of a frame: until
 * then @mid_frame keeps checkpoints away.
 *
 * What the writer's queue refuses stays at the front of @pending; the next completion sends it.
 * What lacks memory for a message stays there, too, for the tick.
 */
#include "append.h"
#include "checkpoint/log_keeper.h"
#include "journal/journal_files.h"
#include "log_private.h"
#include "tail.h"
#include "topics/partition.h"

#include <stdlib.h>

static void submit_destroy(struct log_job *base) {
    struct writer_job *job = container_of(base, struct writer_job, job);
    struct list *link;
    while ((link = list_pop_front(&job->units)) != NULL) {
        append_unit_free(job->job.log, list_entry(link, struct append_unit, link));
    }
    free(job);
}

static void frame_durable(struct topic_log *log, const struct writer_job *job) {
    if (job->ret_file) {
        if (job->ret_file != log->current) {
            if (log->current) {
                log->current->state = JOURNAL_FULL;
            }
            log->current = job->ret_file;
        }
        log->current->used = job->file_end;
        log->current->last_sequence = job->sequence;
        log->stats.frames++;
        log->stats.frame_bytes += job->frame_bytes;
        metric_histogram_bytes(&log->stats.group_bytes, (int64_t)job->frame_bytes);
        metric_histogram_ns(&log->stats.sync_ns, job->sync_ns);
        metric_histogram_ns(&log->stats.group_ns,
                            clock_mono_ns(log->config.clock) - log->group_began_ns);
        log->bytes_since_checkpoint += job->frame_bytes;
    }
    log->durable_sequence = job->sequence;
}

static int advance_units(struct topic_log *log, struct writer_job *job) {
    list_for_each(link, &job->units) {
        struct append_unit *unit = list_entry(link, struct append_unit, link);
        if (unit->append) {
            unit->append->frame_sequence = job->sequence;
        }
        for (struct tail_batch *b = unit->first; b; b = b->next_in_unit) {
            int r = tail_durable(log, b);
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

static void finish_units(struct topic_log *log, struct list *units, int status) {
    struct list *link;
    while ((link = list_pop_front(units)) != NULL) {
        struct append_unit *unit = list_entry(link, struct append_unit, link);
        struct append *append = unit->append;
        append_unit_free(log, unit);
        if (append) { /* else it was answered when it went to the log writer */
            append->done(append, status);
        }
    }
}

/* Each partition of a group costs a start that replays it some microseconds, however few its bytes
 * are; the time is to be bounded as much as those. */
enum { PLACE_BYTES = 256 };

static void wake_advanced(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->advanced)) != NULL) {
        log->bytes_since_checkpoint += PLACE_BYTES;
        partition_wake(list_entry(link, struct log_partition, advanced_link));
    }
}

static void on_submit_done(struct work *work) {
    struct writer_job *job = container_of(work, struct writer_job, job.work);
    struct topic_log *log = job->job.log;
    log->submits_in_flight--;
    log->queued_cost -= job->cost;
    log->queued_bytes -= job->bytes;
    list_for_each(link, &job->units) {
        log->stats.queued_appends--;
    }
    if (log->submits_in_flight == 0) {
        log->needed_file_bytes = 0;
    }
    int status = job->status;
    if (status && !log->failed) {
        topic_log_fail(log, "writing the journal", status);
    }
    if (!log->failed && (status = advance_units(log, job)) != 0) {
        topic_log_fail(log, "taking over a frame", status);
    }
    struct list units;
    list_init(&units);
    list_splice_back(&units, &job->units);
    bool failed = log->failed;
    bool last = job->last_of_frame;
    if (!log->mid_frame) {
        log->group_began_ns = job->submitted_ns; /* the first of its frame is the oldest */
    }
    if (!failed && last) {
        frame_durable(log, job);
    }
    log_job_finish(&job->job);
    /* What a registry record changes it changes now: until all of the frame have, the state is not
     * that of a frame. */
    log->mid_frame = true;
    finish_units(log, &units, failed ? TOPIC_E_FAILED : 0);
    log->mid_frame = !failed && !last;
    wake_advanced(log);
    if (!log->failed) {
        journal_maintain(log);
        checkpoint_maybe(log);
        tail_flush(log, checkpoint_waits(log));
        tail_evict(log);
    }
    if (!list_empty(&log->pending)) {
        append_flush_soon(log);
    }
    append_admit_soon(log);
    log_tick_soon(log);
    log_stop_continue(log);
}

/* Takes units from the front of the queue into one message. */
static struct writer_job *next_submit(struct topic_log *log) {
    struct writer_job *job = calloc(1, sizeof *job);
    if (!job) {
        return NULL;
    }
    job->kind = WRITER_SUBMIT;
    job->covered = log->newest_sequence;
    list_init(&job->units);
    uint64_t most = MIN(MIN((uint64_t)SUBMIT_BYTES, log->limits.group_max_bytes),
                        log->limits.journal_max_bytes / 8);
    while (!list_empty(&log->pending)) {
        struct append_unit *unit = list_entry(log->pending.next, struct append_unit, link);
        if (job->bytes > 0 && job->bytes + unit->bytes > most) {
            break;
        }
        list_remove(&unit->link);
        list_push_back(&job->units, &unit->link);
        job->entry_count += unit->entry_count;
        job->bytes += unit->bytes;
        for (struct tail_batch *b = unit->first; b; b = b->next_in_unit) {
            job->cost += tail_batch_cost(b);
        }
    }
    log_job_init(log, &job->job, on_submit_done, submit_destroy);
    return job;
}

/*
 * flush.ms, where it is set for every topic of the unit: the answer leaves when the batches are
 * with the log writer, which puts them into its next frame. Nobody sees them before that is synced.
 * The record that made the topic, or set this, must be durable: a start has to know of it, since
 * after an unclean stop it raises the epoch of such partitions (recovery.c).
 */
static bool answers_early(const struct topic_log *log, const struct append_unit *unit) {
    const struct append *append = unit->append;
    if (append->class != APPEND_CLIENT || !unit->first || log->early_waits) {
        return false;
    }
    for (unsigned i = 0; i < append->part_count; i++) {
        const struct log_topic *topic = log_partition_of(append->parts[i].partition)->topic;
        if (!topic->created_durable || !topic_acknowledges_early(log, &topic->public)) {
            return false;
        }
    }
    return true;
}

/* The log writer reads the units meanwhile, and never who waits for them. */
static void answer_early(const struct topic_log *log, struct writer_job *job) {
    struct list early, *link;
    list_init(&early);
    list_for_each(unit_link, &job->units) {
        struct append_unit *unit = list_entry(unit_link, struct append_unit, link);
        if (answers_early(log, unit)) {
            list_push_back(&early, &unit->append->link);
            unit->append = NULL;
        }
    }
    while ((link = list_pop_front(&early)) != NULL) {
        struct append *append = list_entry(link, struct append, link);
        append->done(append, 0);
    }
}

static void fail_pending(struct topic_log *log, int status) {
    struct list units;
    list_init(&units);
    list_splice_back(&units, &log->pending);
    list_for_each(link, &units) {
        struct append_unit *unit = list_entry(link, struct append_unit, link);
        log->stats.queued_appends--;
        for (struct tail_batch *b = unit->first; b; b = b->next_in_unit) {
            log->queued_cost -= tail_batch_cost(b);
            log->queued_bytes -= b->batch.size;
        }
    }
    log->pending_cost = 0;
    finish_units(log, &units, status);
}

static void on_flush(struct loop_task *task) {
    struct topic_log *log = container_of(task, struct topic_log, flush_task);
    log->flush_deferred = false;
    while (!list_empty(&log->pending) && !log->failed) {
        struct writer_job *job = next_submit(log);
        if (!job) {
            break; /* the tick tries again */
        }
        job->submitted_ns = clock_mono_ns(log->config.clock);
        uint64_t bytes = frame_bytes(job->entry_count, job->bytes);
        log->needed_file_bytes = MAX(log->needed_file_bytes, bytes);
        log->pending_cost -= job->cost;
        if (!log->writer_worker || worker_submit(log->writer_worker, &job->job.work)) {
            list_splice_back(&job->units, &log->pending);
            list_splice_back(&log->pending, &job->units);
            log->pending_cost += job->cost;
            log_job_finish(&job->job);
            break; /* goes on when one of those in flight completes */
        }
        log->submits_in_flight++;
        journal_maintain(log);
        checkpoint_maybe(log); /* where the journal has no room for this */
        answer_early(log, job);
    }
    if (log->failed) {
        fail_pending(log, TOPIC_E_FAILED);
    }
    log_tick_soon(log);
}

void append_flush_soon(struct topic_log *log) {
    if (!log->flush_deferred) {
        log->flush_deferred = true;
        loop_defer(log->loop, &log->flush_task);
    }
}

void append_submit_init(struct topic_log *log) {
    list_init(&log->pending);
    list_init(&log->advanced);
    log->flush_task.run = on_flush;
}

void append_submit_deinit(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->pending)) != NULL) {
        append_unit_free(log, list_entry(link, struct append_unit, link));
    }
}
