/*
 * Retention: whole segments go from the front of a log when all in them is older than retention.ms,
 * or while the log is larger than retention.bytes. What is gone is a registry record first
 * (log_start), files later (removal.c).
 *
 * The age of a segment is that of its largest timestamp, but a clock of ours has the last word: a
 * record dated 2100 is as old as its append, and one without a timestamp too. A client whose clock
 * goes backwards changes nothing, since the largest one is kept.
 *
 * The segment that is being written goes only when everything in it may go and nothing is on its
 * way to it: the next batch begins another one then.
 *
 * Guards do not yield. A segment that an in-process consumer has not read to its end stays, however
 * old or large, and the consumer is named once; topic_log_holder() names it to whoever asks.
 *
 * A pass looks at all partitions, some in each turn of the loop, every limits.retention_check_ms.
 *
 * A clock that goes forward at once, by ten years because somebody set it or its battery is empty,
 * makes everything old. So what is old is told by log_now_ms(): the wall clock, unless it is more
 * than an hour ahead of what has passed since the last pass by the monotonic one. A jump is told,
 * and believed when it has lasted for a day; one back is believed at once, since it removes
 * nothing.
 */
#include "retention.h"
#include "log_private.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PARTITIONS_A_TURN = 1000, FIRST_PASS_MS = 30000 };

#define JUMP_MS     INT64_C(3600000)
#define BELIEVED_MS INT64_C(86400000)

/* What retention would do to one partition now. */
struct plan {
    uint32_t count; /* so many segments go from the front */
    const struct guard *holder;
    uint64_t held_bytes; /* what else would go without its guard */
};

int64_t retention_age_time(const struct log_segment *segment) {
    bool dated = segment->max_timestamp_ms >= 0;
    return dated && (segment->appended_ms < 0 || segment->max_timestamp_ms < segment->appended_ms)
               ? segment->max_timestamp_ms
               : segment->appended_ms;
}

static uint32_t count_expired(const struct log_partition *partition, int64_t retention_ms,
                              int64_t now_ms) {
    uint32_t count = 0;
    while (retention_ms >= 0 && count < partition->segment_count &&
           now_ms - retention_age_time(&partition->segments[count]) > retention_ms) {
        count++;
    }
    return count;
}

/* As in Kafka: the log stays at or above the limit. */
static uint32_t count_beyond(const struct log_partition *partition, int64_t retention_bytes) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        total += partition->segments[i].bytes;
    }
    if (retention_bytes < 0 || total < (uint64_t)retention_bytes) {
        return 0;
    }
    uint64_t surplus = total - (uint64_t)retention_bytes;
    uint32_t count = 0;
    while (count < partition->segment_count && partition->segments[count].bytes <= surplus) {
        surplus -= partition->segments[count++].bytes;
    }
    return count;
}

/* Below the start that DeleteRecords has set. */
static uint32_t count_below_start(const struct log_partition *partition) {
    uint32_t count = 0;
    while (count < partition->segment_count &&
           partition_segment_end(partition, count) <= partition->public.log_start_offset) {
        count++;
    }
    return count;
}

static struct plan plan_of(const struct topic_log *log, const struct log_partition *partition,
                           int64_t now_ms) {
    const struct topic *topic = &partition->topic->public;
    const struct partition *public = &partition->public;
    struct plan plan = {.count = count_below_start(partition)};
    if (topic->number != 0 && topic_config_deletes(log, topic)) {
        int64_t retention_ms = topic_config_int(log, topic, TOPIC_RETENTION_MS);
        int64_t retention_bytes = topic_config_int(log, topic, TOPIC_RETENTION_BYTES);
        plan.count = MAX(plan.count, count_expired(partition, retention_ms, now_ms));
        plan.count = MAX(plan.count, count_beyond(partition, retention_bytes));
    }
    bool queued = public->log_end_offset != public->high_watermark;
    if (plan.count == partition->segment_count && plan.count > 0 && queued) {
        plan.count--;
    }
    const struct guard *guard = partition_first_guard(partition);
    while (guard && plan.count > 0) {
        int64_t end = partition_segment_end(partition, plan.count - 1);
        if (end <= guard->offset || end <= public->log_start_offset) {
            break;
        }
        plan.held_bytes += partition->segments[--plan.count].bytes;
        plan.holder = guard;
    }
    return plan;
}

static void tell_holder(struct topic_log *log, struct log_partition *partition,
                        const struct plan *plan) {
    if (!plan->holder) {
        partition->held_told = false;
        return;
    }
    log->held_bytes += plan->held_bytes;
    if (!partition->held_told) {
        partition->held_told = true;
        topic_log_report(log, TOPIC_LOG_HELD,
                         "%s-%" PRId32 ": %" PRIu64
                         " bytes are beyond retention and stay, since %s has read to offset "
                         "%" PRId64 " of %" PRId64 " only",
                         partition->topic->public.name, partition->public.index, plan->held_bytes,
                         plan->holder->name, plan->holder->offset,
                         partition->public.high_watermark);
    }
}

static void look_at(struct topic_log *log, struct log_partition *partition, int64_t now_ms) {
    if (partition->segment_count == 0 || partition->start_moves_under_way > 0) {
        return;
    }
    struct plan plan = plan_of(log, partition, now_ms);
    tell_holder(log, partition, &plan);
    if (plan.count == 0) {
        return;
    }
    int64_t keep = partition_segment_end(partition, plan.count - 1);
    int64_t start = MAX(partition->public.log_start_offset, keep);
    /* Without room for the record the next pass comes by again. */
    (void)registry_move_log_start(log, partition, start, keep, NULL);
}

/* ---- our clock ---- */

static int64_t mono_ms(const struct topic_log *log) {
    return clock_mono_ns(log->config.clock) / NS_PER_MS;
}

/* Both clocks, read once: what is judged is what is remembered. */
struct moment {
    int64_t wall_ms, mono_ms;
};

static struct moment moment_of(const struct topic_log *log) {
    return (struct moment){clock_wall_ms(log->config.clock), mono_ms(log)};
}

static int64_t believed_ms(const struct topic_log *log, const struct moment *moment) {
    int64_t passed_ms = log->retention.wall_ms + moment->mono_ms - log->retention.mono_ms;
    return moment->wall_ms > passed_ms + JUMP_MS ? passed_ms : moment->wall_ms;
}

int64_t log_now_ms(const struct topic_log *log) {
    const struct moment moment = moment_of(log);
    return believed_ms(log, &moment);
}

static void believe_clock(struct topic_log *log, const struct moment *moment) {
    log->retention.wall_ms = moment->wall_ms;
    log->retention.mono_ms = moment->mono_ms;
    log->retention.jumped = false;
}

/* Once a pass: the clock of this moment is what the next one is compared with. */
static void follow_clock(struct topic_log *log) {
    const struct moment moment = moment_of(log);
    int64_t ahead_ms = moment.wall_ms - believed_ms(log, &moment);
    if (ahead_ms > 0 && !log->retention.jumped) {
        log->retention.jumped = true;
        log->retention.jumped_ms = moment.mono_ms;
        topic_log_report(log, TOPIC_LOG_HELD,
                         "the clock went forward by %" PRId64
                         " s at once: nothing is removed for its age until it is right again, or "
                         "has been so for a day",
                         ahead_ms / 1000);
    }
    if (ahead_ms == 0 || moment.mono_ms - log->retention.jumped_ms >= BELIEVED_MS) {
        believe_clock(log, &moment);
    }
}

/* ---- passes ---- */

static void end_pass(struct topic_log *log) {
    log->retention.number = 0;
    log->stats.held_bytes = log->held_bytes;
    log_sweep_producers(log); /* also of a log that is not written to, and so has no tick */
    if (log->state == LOG_READY) {
        timer_start_ms(&log->retention.timer, MAX(log->limits.retention_check_ms, 1));
    }
}

static void on_turn(struct loop_task *task) {
    struct topic_log *log = container_of(task, struct topic_log, retention.task);
    int64_t now_ms = log_now_ms(log);
    log->retention.deferred = false;
    if (log->failed || log->state != LOG_READY) {
        return;
    }
    for (unsigned n = 0; n < PARTITIONS_A_TURN; n++) {
        /* Numbers only rise, so they stand for a place that no deletion takes away. */
        if (log->retention.number >= log->next_number) {
            end_pass(log);
            return;
        }
        struct log_topic *topic = registry_by_number(log, log->retention.number);
        if (!topic || topic->public.deleted ||
            log->retention.partition >= topic->public.partition_count) {
            log->retention.number++;
            log->retention.partition = 0;
            continue;
        }
        look_at(log, topic_partition(topic, log->retention.partition++), now_ms);
    }
    log->retention.deferred = true;
    loop_defer(log->loop, &log->retention.task);
}

static void begin_pass(struct topic_log *log) {
    if (log->retention.deferred) {
        return;
    }
    timer_stop(&log->retention.timer);
    follow_clock(log);
    log->retention.number = 1;
    log->retention.partition = 0;
    log->held_bytes = 0;
    log->retention.deferred = true;
    loop_defer(log->loop, &log->retention.task);
}

static void on_due(struct timer *timer) {
    begin_pass(container_of(timer, struct topic_log, retention.timer));
}

void retention_init(struct topic_log *log) {
    timer_init(&log->retention.timer, log->loop, on_due);
    log->retention.task.run = on_turn;
    const struct moment moment = moment_of(log);
    believe_clock(log, &moment);
}

void retention_start(struct topic_log *log) {
    timer_start_ms(&log->retention.timer, MIN(log->limits.retention_check_ms, FIRST_PASS_MS));
}

void retention_stop(struct topic_log *log) {
    timer_stop(&log->retention.timer);
    list_remove(&log->retention.task.link);
    log->retention.deferred = false;
}

void topic_log_retain(struct topic_log *log) {
    if (log->state == LOG_READY && !log->failed) {
        begin_pass(log);
    }
}

bool topic_log_holder(const struct topic_log *log, struct topic_log_holder *ret_holder) {
    int64_t now_ms = log_now_ms(log);
    *ret_holder = (struct topic_log_holder){0};
    list_for_each(link, &log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; !topic->public.deleted && i < topic->public.partition_count; i++) {
            const struct log_partition *partition = topic_partition(topic, i);
            if (list_empty(&partition->guards)) {
                continue;
            }
            struct plan plan = plan_of(log, partition, now_ms);
            if (plan.held_bytes > ret_holder->bytes) {
                *ret_holder = (struct topic_log_holder){
                    .consumer = plan.holder->name,
                    .partition = &partition->public,
                    .offset = plan.holder->offset,
                    .bytes = plan.held_bytes,
                };
            }
        }
    }
    return ret_holder->consumer != NULL;
}
