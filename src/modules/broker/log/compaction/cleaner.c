/*
 * The cleaner: compactions of one partition after the other. Every limits.cleaner_ms it takes the
 * one that needs it most (cleaner_choose.c); one run at a time, on the cleaner's thread, which has
 * low priority and keeps to limits.cleaner_bytes_per_second. What a run has made is taken over by a
 * swap (swap_run.c).
 *
 * Before the first run files of runs that a crash ended are swept away (cleaner_sweep.c).
 */
#include "cleaner.h"
#include "checkpoint/log_keeper.h"
#include "compact.h"
#include "log_private.h"
#include "retention/retention.h"
#include "swap.h"
#include "swap_run.h"
#include "topics/partition.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { PACE_STEP_MS = 50 };

struct clean_job {
    struct log_job job;
    struct log_partition *partition;
    struct log_topic *topic; /* with a reference */
    struct compact_plan plan;
    struct compact_source *sources;
    struct compact_producer *producers;
    struct compact_result result;
    uint64_t bytes_per_second;
    int64_t begin_ns;
    bool *stopping; /* the log's; atomic */
    int status;
};

/* ---- the thread's side ---- */

static bool pace(void *userdata, uint64_t bytes) {
    struct clean_job *job = userdata;
    uint64_t rate = job->bytes_per_second;
    int64_t wait_ns = rate > 0 ? (int64_t)((double)bytes / (double)rate * (double)NS_PER_SEC) : 0;
    while (!__atomic_load_n(job->stopping, __ATOMIC_ACQUIRE)) {
        if (wait_ns <= 0) {
            return true;
        }
        struct timespec step = {.tv_nsec = MIN(wait_ns, PACE_STEP_MS * NS_PER_MS)};
        nanosleep(&step, NULL);
        wait_ns -= step.tv_nsec;
    }
    return false;
}

static void clean_run(struct work *work) {
    struct clean_job *job = container_of(work, struct clean_job, job.work);
    job->status = compact_run(&job->plan, &job->result);
}

/* ---- the loop's side ---- */

static void clean_destroy(struct log_job *base) {
    struct clean_job *job = container_of(base, struct clean_job, job);
    compact_result_deinit(&job->result);
    free(job->sources);
    free(job->producers);
    topic_unref(&job->topic->public);
    free(job);
}

void cleaner_idle(struct topic_log *log) {
    log->cleaner.busy = false;
    if (log->state == LOG_READY && !log->failed) {
        timer_start_ms(&log->cleaner.timer, MAX(log->limits.cleaner_ms, 1));
    }
    log_stop_continue(log);
}

static struct swap *swap_of(const struct clean_job *job) {
    const struct compact_result *result = &job->result;
    struct swap *swap = swap_new(result->target_count);
    if (!swap) {
        return NULL;
    }
    swap->topic = job->plan.topic;
    swap->partition = job->plan.partition;
    swap->run = job->plan.run;
    swap->cleaned_to = result->cleaned_to;
    swap->tombstones_due_ms =
        result->tombstones_due_ms == INT64_MAX ? 0 : result->tombstones_due_ms;
    for (uint32_t i = 0; i < result->target_count; i++) {
        const struct compact_target *from = &result->targets[i];
        struct swap_target *to = &swap->targets[i];
        to->bytes = from->bytes;
        to->max_timestamp_ms = from->max_timestamp_ms;
        to->bases = calloc(from->source_count, sizeof *to->bases);
        if (!to->bases) {
            swap_free(swap);
            return NULL;
        }
        for (; to->base_count < from->source_count; to->base_count++) {
            to->bases[to->base_count] =
                job->sources[from->first_source + to->base_count].base_offset;
        }
    }
    return swap;
}

static void count_run(struct topic_log *log, const struct clean_job *job) {
    const struct compact_result *result = &job->result;
    struct topic_log_stats *stats = &log->stats;
    stats->compactions++;
    stats->compaction_bytes_before += result->bytes_before;
    stats->compaction_bytes_after += result->bytes_after;
    stats->compaction_records_removed += result->records_removed;
    stats->compaction_ns_total += (uint64_t)(clock_mono_ns(log->config.clock) - job->begin_ns);
    stats->compaction_map_keys = result->keys;
    stats->compaction_map_bytes = result->key_bytes;
}

static void report_failure(struct topic_log *log, struct clean_job *job) {
    struct log_partition *partition = job->partition;
    const char *name = partition->topic->public.name;
    log->stats.compactions_failed++;
    if (job->status == BROKER_E_CORRUPT) {
        partition->damaged_from =
            job->sources[job->result.damaged_source].base_offset + 1; /* 0 says: none */
        topic_log_report(log, TOPIC_LOG_DAMAGED,
                         "%s-%" PRId32 ": compaction met damage at offset %" PRId64
                         "; the segment and what follows it is left as it is",
                         name, partition->public.index, job->result.damaged_offset);
    } else {
        topic_log_report(log, TOPIC_LOG_DISK_LOW, "%s-%" PRId32 ": compaction has to wait: %s",
                         name, partition->public.index, err_text(job->status));
    }
}

/* Only now is it certain that memory, journal and disk agree on what is to be replaced. */
static bool take_over(struct topic_log *log, struct clean_job *job) {
    struct swap *swap = swap_of(job);
    int r = swap ? 0 : -ENOMEM;
    bool wanted = !log->failed && log->state == LOG_READY && !job->topic->public.deleted;
#ifdef MUTANT_SWAP_RECORD
    (void)(r || swap_rename(log->disk, swap));
#endif
    if (!r && wanted) {
        r = swap_send(log, job->partition, swap);
        if (r == 0) {
            return true;
        }
    }
    if (swap) {
        swap_discard(log, job->partition, swap);
        return true; /* cleaner_idle() follows */
    }
    return false;
}

static void clean_done(struct work *work) {
    struct clean_job *job = container_of(work, struct clean_job, job.work);
    struct topic_log *log = job->job.log;
    struct log_partition *partition = job->partition;
    bool goes_on = false;
    if (job->status == 0) {
        count_run(log, job);
        if (job->result.target_count > 0) {
            goes_on = take_over(log, job);
        } else {
            checkpoint_changes(log, partition);
            partition->cleaned_to = job->result.cleaned_to;
            partition->tombstones_due_ms =
                job->result.tombstones_due_ms == INT64_MAX ? 0 : job->result.tombstones_due_ms;
        }
    } else if (job->status != -ECANCELED) {
        report_failure(log, job);
    }
    log_job_finish(&job->job);
    if (!goes_on) {
        cleaner_idle(log);
    }
}

static int compare_producers(const void *a, const void *b) {
    int64_t left = ((const struct compact_producer *)a)->id;
    int64_t right = ((const struct compact_producer *)b)->id;
    return (left > right) - (left < right);
}

static int list_producers(struct clean_job *job) {
    const struct log_partition *partition = job->partition;
    size_t position = 0;
    const struct producer *producer;
    if (!partition->producers || partition->producers->map.count == 0) {
        return 0;
    }
    job->producers = calloc(partition->producers->map.count, sizeof *job->producers);
    if (!job->producers) {
        return err_origin(-ENOMEM);
    }
    while ((producer = hashmap_next(&partition->producers->map, &position)) != NULL) {
        unsigned first, count;
        producer_durable(producer, partition->public.high_watermark, &first, &count);
        if (count > 0) {
            const struct producer_batch *last = &producer->batches[first + count - 1];
            job->producers[job->plan.producer_count++] = (struct compact_producer){
                producer->id, last->base_offset + last->last_offset_delta};
        }
    }
    if (job->plan.producer_count > 1) {
        qsort(job->producers, job->plan.producer_count, sizeof *job->producers, compare_producers);
    }
    job->plan.producers = job->producers;
    return 0;
}

static int fill_plan(struct topic_log *log, struct clean_job *job, uint32_t count) {
    struct log_partition *partition = job->partition;
    const struct topic *topic = &job->topic->public;
    job->sources = calloc(count, sizeof *job->sources);
    if (!job->sources) {
        return err_origin(-ENOMEM);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        job->sources[i] = (struct compact_source){
            segment->base_offset, partition_segment_end(partition, i), segment->bytes};
    }
    job->plan = (struct compact_plan){
        .disk = log->disk,
        .topic = topic->number,
        .partition = partition->public.index,
        .run = log->durable_sequence,
        .sources = job->sources,
        .source_count = count,
        .dirty_from = partition->cleaned_to,
        .segment_bytes = (uint64_t)topic_config_int(log, topic, TOPIC_SEGMENT_BYTES),
        .memory_bytes = log->limits.cleaner_memory_bytes,
        .now_ms = log_now_ms(log),
        .delete_retention_ms = topic_config_int(log, topic, TOPIC_DELETE_RETENTION_MS),
        .pace = pace,
        .userdata = job,
    };
    random_fill(log->config.random, job->plan.hash_key, sizeof job->plan.hash_key);
    return list_producers(job);
}

static bool begin_run(struct topic_log *log, const struct cleaner_candidate *candidate) {
    struct clean_job *job = calloc(1, sizeof *job);
    if (!job) {
        return false;
    }
    job->partition = candidate->partition;
    job->topic = candidate->partition->topic;
    topic_ref(&job->topic->public);
    job->bytes_per_second = log->limits.cleaner_bytes_per_second;
    job->begin_ns = clock_mono_ns(log->config.clock);
    job->stopping = &log->cleaner.stopping;
    log_job_init(log, &job->job, clean_done, clean_destroy);
    job->job.work.run = clean_run;
    if (fill_plan(log, job, candidate->count)) {
        log_job_finish(&job->job);
        return false;
    }
    /* What comes while the last one is compacted, and after that, belongs to another. */
    candidate->partition->roll_next |= candidate->count == candidate->partition->segment_count;
    return log_job_submit(&job->job, log->cleaner_worker) == 0;
}

/* ---- life ---- */

static void on_timer(struct timer *timer) {
    struct topic_log *log = container_of(timer, struct topic_log, cleaner.timer);
    struct cleaner_candidate best = {0};
    if (log->state != LOG_READY || log->failed || log->cleaner.busy) {
        return;
    }
    bool sweep = log->cleaner.sweep;
    log->cleaner.waits = false;
    log->cleaner.sweep = false;
    log->cleaner.busy = sweep && cleaner_sweep_begin(log);
    if (!log->cleaner.busy && cleaner_choose(log, log_now_ms(log), &best)) {
        log->cleaner.busy = begin_run(log, &best);
    }
    if (log->cleaner.waits) {
        log_tick_soon(log);
    }
    if (!log->cleaner.busy) {
        timer_start_ms(timer, MAX(log->limits.cleaner_ms, 1));
    }
}

void cleaner_init(struct topic_log *log) {
    list_init(&log->swap_held);
    timer_init(&log->cleaner.timer, log->loop, on_timer);
}

void cleaner_start(struct topic_log *log) {
    if (log->limits.cleaner_ms > 0) {
        timer_start_ms(&log->cleaner.timer, log->limits.cleaner_ms);
    }
}

void cleaner_stop(struct topic_log *log) {
    timer_stop(&log->cleaner.timer);
    __atomic_store_n(&log->cleaner.stopping, true, __ATOMIC_RELEASE);
}

bool cleaner_busy(const struct topic_log *log) {
    return log->cleaner.busy;
}
