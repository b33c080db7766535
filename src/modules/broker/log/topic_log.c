/*
 * Life of the topic log: making it, starting its threads and recovery, the tick, failure, the stop.
 *
 * The tick runs once a second while something waits for time: batches for their segment, frames for
 * their checkpoint, a full disk for space. An idle log has no timer but those of retention and the
 * scrub.
 *
 * Failure: topic_log_fail() is the one door. From there on nothing is
 * acknowledged and nothing new is written; readers go on with what is durable.
 */
#include "cleaner.h"
#include "producer_snapshot.h"
#include "reader.h"
#include "scrub.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TICK_MS = 1000,
    IDLE_TICKS_TO_TRIM = 15,
    STOP_PATIENCE_MS = 10000, /* a stop on a full disk gives up; the journal has it all */
};

/* ---- messages ---- */

void log_job_init(struct topic_log *log, struct log_job *job, void (*done)(struct work *work),
                  void (*destroy)(struct log_job *job)) {
    job->log = log;
    job->work.done = done;
    job->destroy = destroy;
    list_push_back(&log->jobs, &job->link);
}

int log_job_submit(struct log_job *job, struct worker *worker) {
    int r = worker ? worker_submit(worker, &job->work) : WORK_E_STOPPED;
    if (r) {
        log_job_finish(job);
    }
    return r;
}

void log_job_finish(struct log_job *job) {
    list_remove(&job->link);
    job->destroy(job);
}

static void send_destroy(struct log_job *base) {
    free(container_of(base, struct writer_job, job));
}

static void send_done(struct work *work) {
    struct writer_job *job = container_of(work, struct writer_job, job.work);
    log_job_finish(&job->job);
}

int log_writer_send(struct topic_log *log, enum writer_kind kind, struct journal_file *file) {
    struct writer_job *job = calloc(1, sizeof *job);
    if (!job) {
        return err_origin(-ENOMEM);
    }
    job->kind = kind;
    job->covered = log->newest_sequence;
    job->file = file;
    list_init(&job->units);
    log_job_init(log, &job->job, send_done, send_destroy);
    return log_job_submit(&job->job, log->writer_worker);
}

void topic_log_report(struct topic_log *log, enum topic_log_event event, const char *format, ...) {
    if (!log->config.on_event) {
        return;
    }
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log->config.on_event(log->config.userdata, event, text);
}

static void wake_all(struct topic_log *log) {
    list_for_each_safe(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            partition_wake(topic_partition(topic, i));
        }
    }
}

void topic_log_fail(struct topic_log *log, const char *what, int code) {
    if (log->failed) {
        return;
    }
    log->failed = true;
    topic_log_report(log, TOPIC_LOG_FAILED,
                     "%s failed: %s; nothing is acknowledged until a restart", what,
                     err_text(code));
    if (log->state < LOG_STARTING || log->state == LOG_STOPPED) {
        return;
    }
    if (log->flush_again) {
        log->flush_again = false;
        log_job_finish(log->flush_job);
        log->flush_job = NULL;
    }
    (void)log_writer_send(log, WRITER_FAIL, NULL);
    append_flush_soon(log); /* ends what is pending, after the caller has unwound */
    append_admit_soon(log);
    wake_all(log);
}

bool topic_log_failed(const struct topic_log *log) {
    return log->failed;
}

/* While room is low: does a guard stand in retention's way? Told once each time it begins. */
static void look_for_holder(struct topic_log *log) {
    struct topic_log_holder holder;
    bool held = log->room == TOPIC_LOG_ROOM_LOW && topic_log_holder(log, &holder);
    if (held && !log->held) {
        topic_log_report(
            log, TOPIC_LOG_DISK_LOW,
            "produce is refused: consumer %s still needs %s-%d from offset %lld on and "
            "holds %llu bytes that retention would remove",
            holder.consumer, holder.partition->topic->name, (int)holder.partition->index,
            (long long)holder.offset, (unsigned long long)holder.bytes);
    }
    log->held = held;
}

bool topic_log_held(const struct topic_log *log, struct topic_log_holder *ret_holder) {
    return log->held && topic_log_holder(log, ret_holder);
}

void topic_log_set_room(struct topic_log *log, enum topic_log_room room) {
    log->room = room;
    if (room == TOPIC_LOG_ROOM_LOW) {
        topic_log_retain(log);
    }
    look_for_holder(log);
    append_admit_soon(log);
    if (log->state == LOG_READY && !log->failed) {
        journal_maintain(log); /* with room again, at once */
        log_tick_soon(log);
    }
}

/* ---- the tick ---- */

static bool anything_waits(const struct topic_log *log) {
    return log->unwritten_count > 0 || log->submits_in_flight > 0 || !list_empty(&log->pending) ||
           !list_empty(&log->throttled) || log->disk_full || log->journal_refused ||
           log->room == TOPIC_LOG_ROOM_LOW || removals_wait(log) ||
           log->durable_sequence > log->newest_sequence || log->checkpoint.under_way ||
           log->state == LOG_STOPPING || !log->trimmed || log->swap_again || log->cleaner.waits ||
           producer_snapshots_wait(log);
}

static void sweep_producers(struct topic_log *log) {
    int64_t before_ms = log_now_ms(log) - log->limits.producer_expiry_ms;
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            producers_expire(partition->producers, before_ms, partition->public.high_watermark);
        }
    }
}

/* After a while without appends memory goes back: the page cache has what readers may want. */
static void trim_when_idle(struct topic_log *log) {
    int64_t idle_ns = loop_now_ns(log->loop) - log->last_activity_ns;
    if (log->trimmed || idle_ns < IDLE_TICKS_TO_TRIM * TICK_MS * NS_PER_MS) {
        return;
    }
    log->trimmed = true;
    log->spread = log->spread_since_tick = 0;
    (void)log_writer_send(log, WRITER_TRIM, NULL);
    uint64_t tail_bytes = log->limits.tail_bytes;
    log->limits.tail_bytes = MIN(tail_bytes, MIB(1));
    tail_evict(log);
    log->limits.tail_bytes = tail_bytes;
    append_trim(log);
}

static void on_tick(struct timer *timer) {
    struct topic_log *log = container_of(timer, struct topic_log, tick);
    int64_t now_ns = loop_now_ns(log->loop);
    if (log->state == LOG_STOPPING && log->disk_full &&
        now_ns - log->stopping_since_ns >= STOP_PATIENCE_MS * NS_PER_MS) {
        topic_log_fail(log, "the stop, for want of disk space,", DISK_E_FULL);
    }
    if (!log->failed) {
        look_for_holder(log);
        tail_flush_again(log);
        checkpoint_go_on(log);
        swap_go_on(log);
        if (!list_empty(&log->pending)) {
            append_flush_soon(log);
        }
        if (log->submits_in_flight > 0) {
            (void)log_writer_send(log, WRITER_AGAIN, NULL);
        }
        journal_ask_again(log);
        journal_maintain(log);
        log->spread = log->spread_since_tick;
        log->spread_since_tick = 0;
        tail_flush(log, checkpoint_waits(log) || log->state == LOG_STOPPING);
        producer_snapshots_go_on(log);
        checkpoint_maybe(log);
        removals_maybe(log);
        append_admit_soon(log);
        if (now_ns >= log->sweep_due_ns) {
            log->sweep_due_ns = now_ns + PRODUCER_SWEEP_MS * NS_PER_MS;
            sweep_producers(log);
        }
        trim_when_idle(log);
    }
    log_stop_continue(log);
    if (log->state < LOG_STOPPED && !log->failed && anything_waits(log)) {
        timer_start_ms(&log->tick, TICK_MS);
    }
}

void log_tick_soon(struct topic_log *log) {
    log->last_activity_ns = loop_now_ns(log->loop);
    log->trimmed = false;
    if (!timer_running(&log->tick) && log->state >= LOG_STARTING && log->state < LOG_STOPPED) {
        timer_start_ms(&log->tick, TICK_MS);
    }
}

/* ---- making ---- */

int topic_log_new(const struct topic_log_config *config, struct topic_log **ret_log) {
    struct topic_log *log = calloc(1, sizeof *log);
    if (!log) {
        return err_origin(-ENOMEM);
    }
    log->config = *config;
    log->limits = config->limits;
    producer_limit_init(&log->producers, MAX(config->limits.producers_max, 1));
    log->loop = config->loop;
    log->disk = config->disk;
    list_init(&log->jobs);
    list_init(&log->topics_all);
    list_init(&log->topics_gone);
    list_init(&log->tail);
    list_init(&log->dirty);
    list_init(&log->views_lru);
    list_init(&log->changes);
    append_init(log);
    cleaner_init(log);
    timer_init(&log->tick, log->loop, on_tick);
    retention_init(log);
    producer_snapshots_init(log);
    log->trimmed = true;
    uint64_t seed[2];
    random_fill(config->random, seed, sizeof seed);
    hashmap_init(&log->by_name, seed[0], seed[1]);
    hashmap_init(&log->by_id, seed[1], seed[0]);
    hashmap_init(&log->by_number, seed[1] ^ seed[0], seed[1]);
    hashmap_init(&log->views, seed[0] ^ seed[1], seed[0]);
    checkpoint_keeper_init(log);
    int r = log_writer_new(log, &log->writer);
    if (!r) {
        uint32_t files = log->limits.open_files_max, reading = segment_views_max(&log->limits);
        r = segment_writer_new(log->disk, files > reading ? files - reading : 1, &log->segments);
    }
    if (!r) {
        r = registry_defaults_init(log);
    }
    if (!r) {
        r = registry_init(log);
    }
    if (r) {
        topic_log_free(log);
        return err_trace(r);
    }
    *ret_log = log;
    return 0;
}

void topic_log_free(struct topic_log *log) {
    if (!log) {
        return;
    }
    timer_stop(&log->tick);
    retention_stop(log);
    timer_stop(&log->cleaner.timer);
    list_remove(&log->flush_task.link);
    list_remove(&log->admit_task.link);
    struct list *link;
    while ((link = list_pop_front(&log->jobs)) != NULL) {
        struct log_job *job = list_entry(link, struct log_job, link);
        job->destroy(job);
    }
    scrub_free(log);
    append_deinit(log);
    producer_snapshots_deinit(log);
    registry_deinit(log);
    reader_deinit(log);
    list_splice_back(&log->topics_all, &log->topics_gone);
    while ((link = list_pop_front(&log->topics_all)) != NULL) {
        topic_free(list_entry(link, struct log_topic, link));
    }
    for (uint32_t i = 0; i < log->unsynced_count; i++) {
        segment_file_unref(log->unsynced[i]);
    }
    tail_blocks_deinit(&log->blocks);
    free(log->unsynced);
    for (unsigned i = 0; i < log->file_count; i++) {
        journal_close(log->files[i]);
        free(log->files[i]);
    }
    hashmap_deinit(&log->by_name);
    hashmap_deinit(&log->by_id);
    hashmap_deinit(&log->by_number);
    checkpoint_deinit(log);
    topic_config_deinit(&log->defaults);
    free(log->removals);
    free(log->recovery);
    segment_writer_free(log->segments);
    log_writer_free(log->writer);
    free(log);
}

/* ---- starting ---- */

struct start_job {
    struct log_job job;
    int status;
};

static void start_destroy(struct log_job *base) {
    free(container_of(base, struct start_job, job));
}

static void start_run(struct work *work) {
    struct start_job *job = container_of(work, struct start_job, job.work);
    job->status = recovery_run(job->job.log);
}

void log_started(struct topic_log *log, int status) {
    if (log->state == LOG_READY) {
        return; /* a full disk had it called before its record was durable */
    }
    if (status == 0) {
        log->state = LOG_READY;
        cleaner_start(log);
        log->sweep_due_ns = loop_now_ns(log->loop) + PRODUCER_SWEEP_MS * NS_PER_MS;
        journal_maintain(log);
        log_tick_soon(log);
        retention_start(log);
        scrub_start(log);
    } else {
        log->failed = true;
    }
    log->on_started(log->on_started_userdata, status);
}

static void start_done(struct work *work) {
    struct start_job *job = container_of(work, struct start_job, job.work);
    struct topic_log *log = job->job.log;
    int status = job->status;
    log_job_finish(&job->job);
    recovery_tell(log);
    log->state = log->state == LOG_RECOVERING ? LOG_STARTING : log->state;
    log->checkpoint_ns = loop_now_ns(log->loop);
    if (status == 0) {
        /* A new block of producer ids first: of the old one nobody knows how much was given out. */
        log->producer_next = log->producer_durable_end;
        status = registry_reserve_producers(log, log_started);
    }
    if (status) {
        log_started(log, status);
    }
}

static int start_worker(struct topic_log *log, const char *name, unsigned threads,
                        unsigned queue_max, int nice, struct worker **ret_worker) {
    struct worker_config config = {
        .name = name,
        .threads = threads,
        .queue_max = queue_max,
        .nice = nice,
    };
    if (ret_worker == &log->writer_worker) {
        config.batch_max = queue_max;
        config.run_batch = log_writer_run;
        config.userdata = log;
    }
    int r = worker_new(log->config.work, log->loop, &config, ret_worker);
    if (r) {
        *ret_worker = NULL;
        return err_trace(r);
    }
    log->workers_running++;
    return 0;
}

void topic_log_start(struct topic_log *log, void (*done)(void *userdata, int status),
                     void *userdata) {
    log->on_started = done;
    log->on_started_userdata = userdata;
    log->state = LOG_RECOVERING;
    struct start_job *job = calloc(1, sizeof *job);
    int r = job ? 0 : -ENOMEM;
    if (!r) {
        log_job_init(log, &job->job, start_done, start_destroy);
        job->job.work.run = start_run;
        r = start_worker(log, "log-writer", 1, 4096, 0, &log->writer_worker);
        log->writer_thread = log->writer_worker;
    }
    if (!r) {
        r = start_worker(log, "log-segments", 1, 64, 0, &log->segment_worker);
    }
    if (!r) {
        r = start_worker(log, "log-keeper", 1, 64, 0, &log->keeper_worker);
    }
    if (!r) {
        r = start_worker(log, "log-cleaner", 1, 4096, 10, &log->cleaner_worker);
    }
    if (!r) {
        r = start_worker(log, "log-reader", 2, 1024, 0, &log->reader_worker);
    }
    if (!r) {
        r = log_job_submit(&job->job, log->keeper_worker);
    }
    if (r) {
        log_started(log, r);
    }
}

/* ---- stopping ---- */

static void on_worker_stopped(void *userdata) {
    struct topic_log *log = userdata;
    if (--log->workers_running > 0) {
        return;
    }
    log->state = LOG_STOPPED;
    if (log->on_stopped) {
        log->on_stopped(log->on_stopped_userdata);
    }
}

static void stop_workers(struct topic_log *log) {
    struct worker **workers[] = {&log->writer_worker, &log->segment_worker, &log->keeper_worker,
                                 &log->cleaner_worker, &log->reader_worker};
    timer_stop(&log->tick);
    timer_stop(&log->checkpoint.timer);
    log->state = LOG_STOPPED;
    if (log->workers_running == 0) {
        log->workers_running = 1;
        on_worker_stopped(log);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        struct worker *worker = *workers[i];
        *workers[i] = NULL;
        if (worker) {
            worker_stop(worker, on_worker_stopped, log);
        }
    }
}

static void indexes_run(struct work *work) {
    struct start_job *job = container_of(work, struct start_job, job.work);
    job->status = segment_writer_flush_indexes(job->job.log->segments);
}

static void indexes_done(struct work *work) {
    struct start_job *job = container_of(work, struct start_job, job.work);
    struct topic_log *log = job->job.log;
    int status = job->status;
    log_job_finish(&job->job);
    log->stop_indexes = INDEXES_WRITTEN;
    if (status && status != DISK_E_FULL) { /* without space readers walk a little further */
        topic_log_fail(log, "writing an index", status);
    }
    log_stop_continue(log);
}

static void write_indexes(struct topic_log *log) {
    struct start_job *job = calloc(1, sizeof *job);
    log->stop_indexes = INDEXES_WRITTEN;
    if (job) {
        log_job_init(log, &job->job, indexes_done, start_destroy);
        job->job.work.run = indexes_run;
        log->stop_indexes = INDEXES_ON_THE_WAY;
        if (log_job_submit(&job->job, log->segment_worker)) {
            log->stop_indexes = INDEXES_WRITTEN;
        }
    }
}

/* Each step of a stop waits for the one before; every completion comes by here. */
void log_stop_continue(struct topic_log *log) {
    if (log->state != LOG_STOPPING || log->submits_in_flight > 0 || !list_empty(&log->pending) ||
        !list_empty(&log->throttled)) {
        return;
    }
    if (!log->failed) {
        if (log->unwritten_count > 0) {
            tail_flush(log, true);
            return;
        }
        if (log->stop_indexes == INDEXES_WAIT) {
            write_indexes(log);
            producer_snapshots_stop(log);
        }
        if (log->stop_indexes == INDEXES_ON_THE_WAY || log->checkpoint.under_way ||
            log->preparing || cleaner_busy(log) || producer_snapshots_wait(log) ||
            scrub_busy(log)) {
            return;
        }
        if (!log->clean) {
            checkpoint_begin(log, true);
            return;
        }
    } else if (log->flush_job || log->checkpoint.submitted || log->preparing ||
               log->stop_indexes == INDEXES_ON_THE_WAY || log->snapshots.busy || scrub_busy(log)) {
        return; /* their done() must still find us */
    }
    stop_workers(log);
}

void topic_log_stop(struct topic_log *log, void (*done)(void *userdata), void *userdata) {
    log->on_stopped = done;
    log->on_stopped_userdata = userdata;
    cleaner_stop(log);
    if (log->state < LOG_STARTING) {
        log->failed = true; /* never started: nothing to finish */
        stop_workers(log);
        return;
    }
    if (log->state == LOG_STARTING && !log->failed) {
        log->failed = true; /* no client was let in yet: give up what the start waits for */
        (void)log_writer_send(log, WRITER_FAIL, NULL);
        append_flush_soon(log);
    }
    log->state = LOG_STOPPING;
    retention_stop(log);
    scrub_stop(log);
    log->stopping_since_ns = loop_now_ns(log->loop);
    log_tick_soon(log);
    append_admit_soon(log);
    log_stop_continue(log);
}

/* ---- figures ---- */

void topic_log_stats(const struct topic_log *log, struct topic_log_stats *ret_stats) {
    struct topic_log_stats stats = log->stats;
    stats.journal_bytes_in_use = 0;
    for (unsigned i = 0; i < log->file_count; i++) {
        const struct journal_file *file = log->files[i];
        if (file == log->current) {
            stats.journal_bytes_in_use += file->used;
        } else if (file->state == JOURNAL_FULL && file->last_sequence > log->older_sequence) {
            stats.journal_bytes_in_use += file->size;
        }
    }
    stats.topics = (uint32_t)log->by_name.count;
    stats.partitions = log->partition_total;
    stats.open_files = log->unsynced_count + log->view_count + log->file_count;
    stats.producers = log->producers.count;
    stats.producers_forgotten = log->producers.forgotten;
    stats.segments = 0;
    list_for_each(link, &log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            stats.segments += topic_partition(topic, i)->segment_count;
        }
    }
    *ret_stats = stats;
}
