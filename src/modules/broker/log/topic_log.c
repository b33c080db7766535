/*
 * Life of the topic log: making it, the tick, failure, room on the disk as the host tells it,
 * figures. topic_log_start.c and topic_log_stop.c have its begin and its end.
 *
 * The tick runs once a second while something waits for time: batches for their segment, frames for
 * their checkpoint, a full disk for space. An idle log has no timer but those of retention and the
 * scrub.
 *
 * Failure: topic_log_fail() is the one door. From there on nothing is
 * acknowledged and nothing new is written; readers go on with what is durable.
 */
#include "append/append.h"
#include "append/tail.h"
#include "checkpoint/log_keeper.h"
#include "compaction/cleaner.h"
#include "compaction/swap_run.h"
#include "journal/journal_files.h"
#include "journal/log_writer.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "read/reader.h"
#include "retention/removal.h"
#include "retention/retention.h"
#include "scrub/scrub.h"
#include "segment/index_jobs.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TICK_MS = 1000,
    IDLE_TICKS_TO_TRIM = 15,
    STOP_PATIENCE_MS = 10000, /* a stop on a full disk gives up; the journal has it all */
};

/* ---- failure, and room ---- */

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

void log_give_up_flush(struct topic_log *log) {
    if (log->flush_again) {
        log->flush_again = false;
        log_job_finish(log->flush_job);
        log->flush_job = NULL;
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
    log_give_up_flush(log);
    (void)log_writer_send(log, WRITER_FAIL, NULL);
    append_flush_soon(log); /* ends what is pending, after the caller has unwound */
    append_admit_soon(log);
    wake_all(log);
}

void topic_log_fail_segment(struct topic_log *log, const struct segment_id *id, int code) {
    char name[SEGMENT_NAME_SIZE], what[SEGMENT_NAME_SIZE + 32];
    segment_name(id, SEGMENT_LOG, name);
    snprintf(what, sizeof what, "writing %s or its indexes", name);
    topic_log_fail(log, what, code);
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
           log->frame_refused || log->room == TOPIC_LOG_ROOM_LOW || removals_wait(log) ||
           log->durable_sequence > log->newest_sequence || log->checkpoint.under_way ||
           log->state == LOG_STOPPING || !log->trimmed || log->swap_again || log->cleaner.waits ||
           producer_snapshots_wait(log) || log->indexes.behind;
}

void log_sweep_producers(struct topic_log *log) {
    const int64_t now_ns = loop_now_ns(log->loop);
    if (now_ns < log->sweep_due_ns) {
        return;
    }
    log->sweep_due_ns = now_ns + PRODUCER_SWEEP_MS * NS_PER_MS;
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

static void look_at_frames(struct topic_log *log) {
    bool refused = log_writer_refused(log->log_writer);
    if (refused && !log->frame_refused) {
        topic_log_report(log, TOPIC_LOG_DISK_FULL, "a frame of the journal waits for space");
    } else if (!refused && log->frame_refused) {
        topic_log_report(log, TOPIC_LOG_DISK_AGAIN, "frames of the journal are written again");
    }
    log->frame_refused = refused;
}

static void on_tick(struct timer *timer) {
    struct topic_log *log = container_of(timer, struct topic_log, tick);
    int64_t now_ns = loop_now_ns(log->loop);
    look_at_frames(log);
    bool short_of_room =
        log->disk_full || log->journal_refused || log->frame_refused || log->checkpoint.told_full;
    if (log->state == LOG_STOPPING && short_of_room &&
        now_ns - log->stopping_since_ns >= STOP_PATIENCE_MS * NS_PER_MS) {
        topic_log_fail(log, "the stop, for want of disk space,", DISK_E_FULL);
    }
    if (log->state == LOG_STARTING && !log->failed && log->journal_pressed && short_of_room) {
        log_started(log, 0); /* readers need not wait for what a full disk keeps from the journal */
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
        log->spread_since_tick = log->flush_job ? log->flush_spread : 0;
        tail_flush(log, checkpoint_waits(log) || log->state == LOG_STOPPING);
        producer_snapshots_go_on(log);
        index_catch_up_go_on(log);
        checkpoint_maybe(log);
        removals_maybe(log);
        append_admit_soon(log);
        log_sweep_producers(log);
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
    int r = log_writer_new(log, &log->log_writer);
    if (!r) {
        uint32_t files = log->limits.open_files_max, reading = segment_views_max(&log->limits);
        r = segment_writer_new(log->disk, files > reading ? files - reading : 1,
                               &log->segment_writer);
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
    segment_writer_free(log->segment_writer);
    log_writer_free(log->log_writer);
    free(log);
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
    stats.queued_bytes = log->queued_bytes;
    stats.throttled_bytes = log->throttled_bytes;
    stats.open_files = segment_writer_open_files(log->segment_writer) + log->view_count;
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
