/*
 * Back pressure: which append may be done now, which one waits, which one is refused.
 *
 *   | an append     | when                                      | then                          |
 *   | a client's    | room, and nobody waits                    | append_now()                  |
 *   |               | no room, or others wait                   | goes to @throttled            |
 *   |               | disk full, log held, or @throttled full   | TOPIC_E_FULL                  |
 *   | any           | its frame takes over half of the journal  | TOPIC_E_TOO_LARGE             |
 *   | one that      | room, and it is the first                 | append_now()                  |
 *   | waits         | its topic is deleted                      | TOPIC_E_UNKNOWN, wherever it  |
 *   |               |                                           | stands                        |
 *   |               | the host says full, or the log is held    | TOPIC_E_FULL                  |
 *   |               | the log failed                            | TOPIC_E_FAILED                |
 *   | a reserved    | memory below a bound of its own           | append_now(), past all others |
 *   | one           | beyond that                               | TOPIC_E_FULL                  |
 *
 * Room is memory and journal: what is queued or in no segment yet stays below tail_limit(), and the
 * journal can take all that is queued, or nothing is queued and no checkpoint could free more of
 * it: then one append goes beyond the limit. Client appends wait unchecked and without offsets, so
 * one that is refused after all has changed nothing. Reserved ones pass them by, so that what frees
 * space is never behind what fills it.
 *
 * Whatever may have made room calls append_admit_soon(): a frame that became durable, batches that
 * came to their segment, a journal file, a checkpoint, the host, the tick.
 */
#include "append.h"
#include "checkpoint/log_keeper.h"
#include "journal/journal_files.h"
#include "log_private.h"
#include "tail.h"

static uint64_t frame_of(const struct append *append) {
    return frame_bytes(append->part_count, append_bytes(append));
}

/* Of the journal. The eighth is for reserved appends, and for the zeros in frames. */
static uint64_t wanted_bytes(const struct topic_log *log, const struct append *append) {
    return log->queued_bytes + frame_of(append) + log->limits.journal_max_bytes / 8;
}

uint64_t append_admit_wanted_bytes(const struct topic_log *log) {
    bool waits = !list_empty(&log->throttled);
    return waits ? wanted_bytes(log, list_entry(log->throttled.next, struct append, link)) : 0;
}

static bool has_room(const struct topic_log *log, const struct append *append) {
    uint64_t used = log->queued_cost + log->unwritten_cost;
    if (used > 0 && used + append_bytes(append) > tail_limit(log)) {
        return false;
    }
    /* What is left of the current file may be too small for this append, and is no help then. So
     * where waiting would free no more, it may go beyond the limit. */
    bool most = log->queued_bytes == 0 && journal_is_freed(log);
    return most || journal_room(log) >= wanted_bytes(log, append);
}

/* Waiting would not help: the host, or whoever holds the log, says when there is room. */
static bool must_refuse(const struct topic_log *log) {
    return log->room == TOPIC_LOG_ROOM_FULL || log->held;
}

static bool client_may_pass(const struct topic_log *log, const struct append *append) {
    return !log->disk_full && !must_refuse(log) && has_room(log, append);
}

static int throttle(struct topic_log *log, struct append *append, uint64_t bytes) {
    if (log->disk_full || must_refuse(log) ||
        log->throttled_bytes + bytes > log->limits.tail_bytes * 4) {
        log->stats.refused_full++;
        return TOPIC_E_FULL;
    }
    for (unsigned i = 0; i < append->part_count; i++) {
        topic_ref(append->parts[i].partition->topic);
        buf_ref(append->parts[i].batch.buf);
    }
    log->throttled_bytes += bytes;
    list_push_back(&log->throttled, &append->link);
    checkpoint_maybe(log);
    tail_flush(log, false);
    return 0;
}

int topic_log_append(struct topic_log *log, struct append *append) {
    if (log->failed || (log->state != LOG_READY && log->state != LOG_STARTING)) {
        return TOPIC_E_FAILED;
    }
    uint64_t bytes = append_bytes(append), frame = frame_of(append);
    if (frame > log->limits.journal_max_bytes / 2 || frame > UINT32_MAX / 2) {
        return TOPIC_E_TOO_LARGE; /* there may never be room for it */
    }
    if (append->class == APPEND_CLIENT) {
        if (!list_empty(&log->throttled) || !client_may_pass(log, append)) {
            return throttle(log, append, bytes);
        }
    } else {
        uint64_t used = log->queued_cost + log->unwritten_cost;
        /* That of a start is small, and on a full disk what it has recovered may be more. */
        if (used > 0 && log->state == LOG_READY &&
            used + bytes > log->limits.tail_bytes * 2 + tail_limit(log)) {
            log->stats.refused_full++;
            return TOPIC_E_FULL;
        }
    }
    return append_now(log, append);
}

static void unthrottle(struct topic_log *log, struct append *append) {
    list_remove(&append->link);
    log->throttled_bytes -= append_bytes(append);
}

/* Gives back what throttle() took; afterwards the parts are the caller's alone. */
static void release_throttled(const struct append *append) {
    for (unsigned i = 0; i < append->part_count; i++) {
        struct topic *topic = append->parts[i].partition->topic;
        buf_unref(append->parts[i].batch.buf);
        topic_unref(topic);
    }
}

static void finish_throttled(struct append *append, int status) {
    release_throttled(append);
    if (status) {
        append->done(append, status);
    }
}

static bool names_deleted(const struct append *append) {
    for (unsigned i = 0; i < append->part_count; i++) {
        if (append->parts[i].partition->topic->deleted) {
            return true;
        }
    }
    return false;
}

/* What waits for a topic that is gone need not wait for room: it is refused, and at once. */
static void fail_deleted(struct topic_log *log) {
    struct list failed;
    list_init(&failed);
    list_for_each_safe(link, &log->throttled) {
        struct append *append = list_entry(link, struct append, link);
        if (names_deleted(append)) {
            unthrottle(log, append);
            list_push_back(&failed, &append->link);
        }
    }
    struct list *link;
    while ((link = list_pop_front(&failed)) != NULL) {
        finish_throttled(list_entry(link, struct append, link), TOPIC_E_UNKNOWN);
    }
}

static void on_admit(struct loop_task *task) {
    struct topic_log *log = container_of(task, struct topic_log, admit_task);
    log->admit_deferred = false;
    if (log->topic_deleted) {
        log->topic_deleted = false;
        fail_deleted(log);
    }
    while (!list_empty(&log->throttled)) {
        struct append *append = list_entry(log->throttled.next, struct append, link);
        int status = TOPIC_E_FAILED;
        if (!log->failed && must_refuse(log)) {
            unthrottle(log, append);
            log->stats.refused_full++;
            status = TOPIC_E_FULL; /* nothing was appended: no offset was given out yet */
        } else if (!log->failed) {
            if (!client_may_pass(log, append)) {
                return;
            }
            unthrottle(log, append);
            status = append_now(log, append);
        } else {
            unthrottle(log, append);
        }
        finish_throttled(append, status);
    }
    log_stop_continue(log);
}

void append_admit_soon(struct topic_log *log) {
    if (!list_empty(&log->throttled) && !log->admit_deferred) {
        log->admit_deferred = true;
        loop_defer(log->loop, &log->admit_task);
    }
}

void append_admit_init(struct topic_log *log) {
    list_init(&log->throttled);
    log->admit_task.run = on_admit;
}

void append_admit_deinit(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->throttled)) != NULL) {
        release_throttled(list_entry(link, struct append, link));
    }
}
