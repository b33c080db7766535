/*
 * The cleaner: which partition of a compacted topic is compacted when. Every limits.cleaner_ms it
 * takes the one that needs it most; one run at a time, on the cleaner's thread, which has low
 * priority and keeps to limits.cleaner_bytes_per_second.
 *
 * Segments that may be compacted are those from the front of the log on, up to the first that
 *   - is being written, or not wholly in its file yet; one whose first record is older than
 *     max.compaction.lag.ms is closed for that, however idle its partition is: the next batch
 *     begins another;
 *   - the older of the two valid checkpoints does not cover (swap.h tells why);
 *   - an in-process consumer has not read to its end: a guard never yields;
 *   - is younger than min.compaction.lag.ms;
 *   - was found damaged.
 * A run is due when the part of them that no run has seen is more than min.cleanable.dirty.ratio
 * of their bytes, when something in it is older than max.compaction.lag.ms, or when tombstones that
 * an earlier run has kept may go.
 *
 * Files of runs that a crash ended are swept away in the background after a start that was not
 * clean, before the first run.
 */
#include "cleaner.h"

#include "compact.h"
#include "swap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SWEEP_AT_ONCE = 64, PACE_STEP_MS = 50 };

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

/* ---- what may be compacted ---- */

struct candidate {
    struct log_partition *partition;
    uint32_t count; /* segments from the front */
    double ratio;
    bool forced;
};

/* When the first record of a segment was written. */
static int64_t first_time(const struct log_segment *segment) {
    return segment->first_timestamp_ms >= 0 ? segment->first_timestamp_ms : segment->created_ms;
}

/*
 * How many segments are closed. The one that is being written counts when it must not wait any
 * longer; with something on its way to it, it ends behind the last stable offset and stays out.
 */
static uint32_t count_closed(const struct topic_log *log, const struct log_partition *partition,
                             int64_t now_ms) {
    const struct partition *public = &partition->public;
    uint32_t count = partition->segment_count;
    if (count == 0) {
        return 0;
    }
    int64_t lag_ms = topic_config_int(log, &partition->topic->public, TOPIC_MAX_COMPACTION_LAG_MS);
    bool ends = public->log_end_offset > partition->cleaned_to &&
                lag_ms < now_ms - first_time(&partition->segments[count - 1]);
    return ends ? count : count - 1;
}

static uint32_t count_cleanable(struct topic_log *log, const struct log_partition *partition,
                                uint32_t closed, int64_t lag_ms, int64_t now_ms) {
    const struct guard *guard = partition_first_guard(partition);
    int64_t limit =
        MIN(guard ? guard->offset : INT64_MAX, partition_last_stable_offset(&partition->public));
    uint32_t count = 0;
    while (count < closed) {
        const struct log_segment *segment = &partition->segments[count];
        int64_t end = partition_segment_end(partition, count);
        bool dirty = end > partition->cleaned_to;
#ifndef MUTANT_SWAP_COVER
        if (MAX(segment->last_sequence, log->recovered_sequence) > log->older_sequence) {
            log->cleaner.waits = true;
            break;
        }
#endif
        if (segment->written_bytes < segment->bytes || end > limit ||
            (partition->damaged_from > 0 && end > partition->damaged_from - 1) ||
            (dirty && lag_ms > 0 && segment->max_timestamp_ms > now_ms - lag_ms)) {
            break;
        }
        count++;
    }
    return count;
}

static bool look_at(struct topic_log *log, struct log_partition *partition, int64_t now_ms,
                    struct candidate *ret) {
    const struct topic *topic = &partition->topic->public;
    uint32_t closed = count_closed(log, partition, now_ms);
    if (closed == 0 || partition->starts_under_way > 0 ||
        partition_segment_end(partition, 0) <= partition->public.log_start_offset) {
        return false; /* nothing closed, or about to go as a whole */
    }
    uint32_t count = count_cleanable(
        log, partition, closed, topic_config_int(log, topic, TOPIC_MIN_COMPACTION_LAG_MS), now_ms);
    uint64_t dirty = 0, all = 0;
    int64_t oldest_ms = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        all += segment->bytes;
        if (partition_segment_end(partition, i) > partition->cleaned_to) {
            dirty += segment->bytes;
            oldest_ms = MIN(oldest_ms, first_time(segment));
        }
    }
    if (count == 0) {
        return false;
    }
    int64_t max_lag_ms = topic_config_int(log, topic, TOPIC_MAX_COMPACTION_LAG_MS);
    int64_t due_ms = partition->tombstones_due_ms;
    *ret = (struct candidate){.partition = partition, .count = count};
    ret->ratio = all > 0 ? (double)dirty / (double)all : 0;
    ret->forced =
        (dirty > 0 && max_lag_ms < now_ms - oldest_ms) || (due_ms > 0 && due_ms <= now_ms);
    return ret->forced || ret->ratio > topic_config_double(log, topic, TOPIC_MIN_CLEANABLE_RATIO);
}

static bool choose(struct topic_log *log, int64_t now_ms, struct candidate *ret_best) {
    bool found = false;
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (topic == log->registry || topic->public.deleted || !topic->created_durable ||
            !topic_config_compacts(log, &topic->public)) {
            continue;
        }
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct candidate candidate;
            if (look_at(log, topic_partition(topic, i), now_ms, &candidate) &&
                (!found || (candidate.forced && !ret_best->forced) ||
                 (candidate.forced == ret_best->forced && candidate.ratio > ret_best->ratio))) {
                *ret_best = candidate;
                found = true;
            }
        }
    }
    return found;
}

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

static bool begin_run(struct topic_log *log, const struct candidate *candidate) {
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

/* ---- leftovers ---- */

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

static bool begin_sweep(struct topic_log *log) {
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

/* ---- life ---- */

static void on_timer(struct timer *timer) {
    struct topic_log *log = container_of(timer, struct topic_log, cleaner.timer);
    struct candidate best = {0};
    if (log->state != LOG_READY || log->failed || log->cleaner.busy) {
        return;
    }
    bool sweep = log->cleaner.sweep;
    log->cleaner.waits = false;
    log->cleaner.sweep = false;
    log->cleaner.busy = sweep && begin_sweep(log);
    if (!log->cleaner.busy && choose(log, log_now_ms(log), &best)) {
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
