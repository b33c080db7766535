/*
 * Appends on the loop: check, assign offsets, queue; and what follows when their frame is durable.
 *
 * Everything appended in one turn of the loop goes to the log writer in one message (or a few of
 * SUBMIT_BYTES). Offsets are assigned in the order of the queue, so the journal has them in order.
 *
 * Back pressure: client appends wait in @throttled, unchecked and without offsets, while memory or
 * journal is used up, and are refused when even that queue is full. Reserved ones pass them by, up
 * to a bound of their own, so that what frees space is never behind what fills it.
 */
#include "log_private.h"

#include <errno.h>
#include <stdlib.h>

/* What one part will be, found before anything is changed. */
struct checked {
    struct record_batch batch;
    int64_t original; /* base offset of the batch that it repeats; -1: none */
};
enum {
    PARTS_ON_STACK = 16,
    FREE_UNITS_MAX = 4096, /* kept for appends to come, 56 bytes each, until the log is idle */
};

static uint64_t append_bytes(const struct append *append) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < append->part_count; i++) {
        bytes += append->parts[i].batch.size;
    }
    return bytes;
}

static int check_producer(struct log_partition *partition, const struct record_batch *batch,
                          struct checked *ret) {
    if (batch->producer_id < 0) {
        return 0;
    }
    if (batch->base_sequence < 0) {
        return BROKER_E_INVALID_RECORD;
    }
    int32_t last = producer_sequence_last(batch->base_sequence, batch->record_count);
    const struct producer_batch *original;
    int r = producer_check(partition->producers, batch->producer_id, batch->producer_epoch,
                           batch->base_sequence, last, &original);
    if (original) {
        ret->original = original->base_offset;
    }
    if (r || original) {
        return r;
    }
    return producer_reserve(&partition->producers, &partition->topic->log->producers,
                            batch->producer_id, partition->public.high_watermark);
}

static int check_part(struct topic_log *log, const struct append *append,
                      const struct append_part *part, struct checked *ret) {
    struct log_partition *partition = log_partition_of(part->partition);
    const struct topic *topic = &partition->topic->public;
    ret->original = -1;
    if (topic->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    uint64_t max = (uint64_t)topic_config_int(log, topic, TOPIC_MAX_MESSAGE_BYTES);
    if (append->class == APPEND_CLIENT && part->batch.size > max) {
        return TOPIC_E_TOO_LARGE;
    }
    struct span data = span_of(part->batch.data, part->batch.size);
    int r = record_batch_parse(data, &ret->batch);
    if (r) {
        return r;
    }
    if (ret->batch.total_bytes != part->batch.size || !record_batch_check_crc(data)) {
        return BROKER_E_CORRUPT;
    }
    if (ret->batch.record_count < 1 ||
        ret->batch.last_offset_delta != ret->batch.record_count - 1) {
        return BROKER_E_INVALID_RECORD;
    }
    /* Without a producer no transaction can have it: then it is a batch as any other, as in Kafka.
     */
    if (append->class == APPEND_CLIENT &&
        (ret->batch.attributes & RECORD_BATCH_CONTROL ||
         (ret->batch.attributes & RECORD_BATCH_TRANSACTIONAL && ret->batch.producer_id >= 0))) {
        return BROKER_E_INVALID_RECORD;
    }
    return check_producer(partition, &ret->batch, ret);
}

/* ---- units ---- */

static struct append_unit *unit_new(struct topic_log *log) {
    struct list *link = list_pop_front(&log->free_units);
    struct append_unit *unit;
    if (!link) {
        return calloc(1, sizeof *unit);
    }
    log->free_unit_count--;
    unit = list_entry(link, struct append_unit, link);
    *unit = (struct append_unit){0};
    return unit;
}

static void unit_free(struct topic_log *log, struct append_unit *unit) {
    if (log->free_unit_count == FREE_UNITS_MAX) {
        free(unit);
        return;
    }
    list_push_front(&log->free_units, &unit->link);
    log->free_unit_count++;
}

void append_trim(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->free_units)) != NULL) {
        free(list_entry(link, struct append_unit, link));
    }
    log->free_unit_count = 0;
}

static struct tail_batch *batch_new(struct topic_log *log, const struct append_part *part) {
    struct tail_batch *batch = tail_batch_new(&log->blocks, &part->batch);
    if (!batch) {
        return NULL;
    }
    struct log_partition *partition = log_partition_of(part->partition);
    const struct topic *topic = &partition->topic->public;
    batch->partition = partition;
    batch->roll_bytes = (uint64_t)topic_config_int(log, topic, TOPIC_SEGMENT_BYTES);
    batch->roll_ms = topic_config_roll_ms(log, topic);
    if (tail_push(partition, batch)) {
        tail_batch_free(&log->blocks, batch);
        return NULL;
    }
    topic_ref(&partition->topic->public);
    return batch;
}

/* Undoes batch_new() for batches that are the last of their partitions. */
static void take_back(struct topic_log *log, struct append_unit *unit) {
    struct tail_batch *reversed = NULL;
    for (struct tail_batch *b = unit->first, *next; b; b = next) {
        next = b->next_in_unit;
        b->next_in_unit = reversed;
        reversed = b;
    }
    for (struct tail_batch *b = reversed, *next; b; b = next) {
        next = b->next_in_unit;
        b->partition->tail_count--;
        topic_unref(&b->partition->topic->public);
        tail_batch_free(&log->blocks, b);
    }
    unit_free(log, unit);
}

/* Memory first: after this nothing can fail. */
static int make_unit(struct topic_log *log, struct append *append, const struct checked *checked,
                     struct append_unit **ret_unit) {
    struct append_unit *unit = unit_new(log);
    if (!unit) {
        return err_origin(-ENOMEM);
    }
    unit->append = append;
    for (unsigned i = 0; i < append->part_count; i++) {
        if (checked[i].original >= 0) {
            continue;
        }
        struct tail_batch *batch = batch_new(log, &append->parts[i]);
        if (!batch) {
            take_back(log, unit);
            return err_origin(-ENOMEM);
        }
        if (unit->last) {
            unit->last->next_in_unit = batch;
        } else {
            unit->first = batch;
        }
        unit->last = batch;
        unit->entry_count++;
        unit->bytes += batch->batch.size;
    }
    *ret_unit = unit;
    return 0;
}

static void assign(struct topic_log *log, struct append_part *part, const struct record_batch *from,
                   struct tail_batch *batch) {
    struct log_partition *partition = batch->partition;
    struct partition *public = &partition->public;
    uint8_t *bytes = (uint8_t *)(uintptr_t)batch->batch.data;
    part->base_offset = public->log_end_offset;
    part->duplicate = false;
    part->log_append_time_ms = -1;
    batch->max_timestamp_ms = from->max_timestamp_ms;
    int64_t now_ms = clock_wall_ms(log->config.clock);
    batch->appended_ms = now_ms;
    if (topic_config_append_time(log, &partition->topic->public)) {
        record_batch_set_append_time(bytes, batch->batch.size, now_ms);
        part->log_append_time_ms = now_ms;
        batch->max_timestamp_ms = now_ms;
    }
    record_batch_assign(bytes, part->base_offset, public->leader_epoch);
    batch->base_offset = part->base_offset;
    batch->last_offset_delta = from->last_offset_delta;
    batch->roll = partition->roll_next;
    partition->roll_next = false;
    public->log_end_offset = tail_batch_end(batch);
    if (from->producer_id >= 0) {
        struct producer_batch remember = {
            .base_offset = part->base_offset,
            .last_offset_delta = from->last_offset_delta,
            .base_sequence = from->base_sequence,
            .last_sequence = producer_sequence_last(from->base_sequence, from->record_count),
            .epoch = from->producer_epoch,
        };
        (void)producer_push(&partition->producers, &log->producers, from->producer_id, &remember,
                            public->high_watermark, now_ms);
    }
}

/* What was there already. The time of its append is known for a producer's newest batch, which is
 * the one that is sent again. */
static void tell_original(const struct topic_log *log, struct append_part *part,
                          const struct checked *checked) {
    const struct log_partition *partition = log_partition_of(part->partition);

    part->base_offset = checked->original;
    part->duplicate = true;
    part->log_append_time_ms =
        topic_config_append_time(log, &partition->topic->public)
            ? producer_last_ms(partition->producers, checked->batch.producer_id)
            : -1;
}

static int append_checked(struct topic_log *log, struct append *append, struct checked *checked) {
    for (unsigned i = 0; i < append->part_count; i++) {
        int r = check_part(log, append, &append->parts[i], &checked[i]);
        if (r) {
            return r;
        }
    }
    struct append_unit *unit;
    int r = make_unit(log, append, checked, &unit);
    if (r) {
        return r;
    }
    struct tail_batch *batch = unit->first;
    for (unsigned i = 0; i < append->part_count; i++) {
        struct append_part *part = &append->parts[i];
        if (checked[i].original >= 0) {
            tell_original(log, part, &checked[i]);
            log->stats.duplicates++;
            continue;
        }
        assign(log, part, &checked[i].batch, batch);
        log->pending_cost += tail_batch_cost(batch);
        log->queued_cost += tail_batch_cost(batch);
        log->stats.queued_bytes += batch->batch.size;
        batch = batch->next_in_unit;
    }
    list_push_back(&log->pending, &unit->link);
    log->stats.appends += unit->entry_count;
    log->stats.append_bytes += unit->bytes;
    log->stats.queued_appends++;
    append_flush_soon(log);
    return 0;
}

static int append_now(struct topic_log *log, struct append *append) {
    uint64_t bytes = frame_bytes(append->part_count, append_bytes(append));
    if (bytes > log->limits.journal_max_bytes / 2 || bytes > UINT32_MAX / 2) {
        return TOPIC_E_TOO_LARGE;
    }
    struct checked on_stack[PARTS_ON_STACK];
    if (append->part_count <= PARTS_ON_STACK) {
        return append_checked(log, append, on_stack);
    }
    struct checked *checked = calloc(append->part_count, sizeof *checked);
    if (!checked) {
        return err_origin(-ENOMEM);
    }
    int r = append_checked(log, append, checked);
    free(checked);
    return r;
}

/* ---- back pressure ---- */

static bool has_room(const struct topic_log *log, uint64_t bytes, uint64_t journal_reserve) {
    uint64_t used = log->queued_cost + log->unwritten_cost;
    if (used > 0 && used + bytes > tail_limit(log)) {
        return false;
    }
    return journal_room(log) >= log->stats.queued_bytes + frame_bytes(1, bytes) + journal_reserve;
}

/* Waiting would not help: the host, or whoever holds the log, says when there is room. */
static bool must_refuse(const struct topic_log *log) {
    return log->room == TOPIC_LOG_ROOM_FULL || log->held;
}

static bool client_may_pass(const struct topic_log *log, uint64_t bytes) {
    return !log->disk_full && !must_refuse(log) &&
           has_room(log, bytes, log->limits.journal_max_bytes / 8);
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
    uint64_t bytes = append_bytes(append);
    if (append->class == APPEND_CLIENT) {
        if (!list_empty(&log->throttled) || !client_may_pass(log, bytes)) {
            return throttle(log, append, bytes);
        }
    } else {
        uint64_t used = log->queued_cost + log->unwritten_cost;
        if (used > 0 && used + bytes > log->limits.tail_bytes * 2 + tail_limit(log)) {
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
static void release_throttled(struct buf **bufs, struct topic **topics, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        buf_unref(bufs[i]);
        topic_unref(topics[i]);
    }
}

static void finish_throttled(struct topic_log *log, struct append *append, int status) {
    unsigned count = append->part_count;
    for (unsigned i = 0; i < count; i++) {
        struct buf *buf = append->parts[i].batch.buf;
        struct topic *topic = append->parts[i].partition->topic;
        release_throttled(&buf, &topic, 1);
    }
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
        finish_throttled(log, list_entry(link, struct append, link), TOPIC_E_UNKNOWN);
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
            if (!client_may_pass(log, append_bytes(append))) {
                return;
            }
            unthrottle(log, append);
            status = append_now(log, append);
        } else {
            unthrottle(log, append);
        }
        finish_throttled(log, append, status);
    }
    log_stop_continue(log);
}

void append_admit_soon(struct topic_log *log) {
    if (!list_empty(&log->throttled) && !log->admit_deferred) {
        log->admit_deferred = true;
        loop_defer(log->loop, &log->admit_task);
    }
}

/* ---- to the log writer and back ---- */

static void submit_destroy(struct log_job *base) {
    struct writer_job *job = container_of(base, struct writer_job, job);
    struct list *link;
    while ((link = list_pop_front(&job->units)) != NULL) {
        unit_free(job->job.log, list_entry(link, struct append_unit, link));
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
        unit_free(log, unit);
        if (append) { /* else it was answered when it went to the log writer */
            append->done(append, status);
        }
    }
}

static void wake_advanced(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->advanced)) != NULL) {
        partition_wake(list_entry(link, struct log_partition, advanced_link));
    }
}

static void on_submit_done(struct work *work) {
    struct writer_job *job = container_of(work, struct writer_job, job.work);
    struct topic_log *log = job->job.log;
    log->submits_in_flight--;
    log->queued_cost -= job->cost;
    log->stats.queued_bytes -= job->bytes;
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
    if (append->class != APPEND_CLIENT || !unit->first) {
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
        append_fail_waiting(log, TOPIC_E_FAILED);
    }
    log_tick_soon(log);
}

void append_flush_soon(struct topic_log *log) {
    if (!log->flush_deferred) {
        log->flush_deferred = true;
        loop_defer(log->loop, &log->flush_task);
    }
}

void append_fail_waiting(struct topic_log *log, int status) {
    struct list units;
    list_init(&units);
    list_splice_back(&units, &log->pending);
    list_for_each(link, &units) {
        struct append_unit *unit = list_entry(link, struct append_unit, link);
        log->stats.queued_appends--;
        for (struct tail_batch *b = unit->first; b; b = b->next_in_unit) {
            log->queued_cost -= tail_batch_cost(b);
            log->stats.queued_bytes -= b->batch.size;
        }
    }
    log->pending_cost = 0;
    finish_units(log, &units, status);
}

void append_init(struct topic_log *log) {
    list_init(&log->pending);
    list_init(&log->free_units);
    list_init(&log->throttled);
    list_init(&log->advanced);
    log->flush_task.run = on_flush;
    log->admit_task.run = on_admit;
}

/* An abandoned simulation: nobody is called. */
void append_deinit(struct topic_log *log) {
    struct list *link;
    while ((link = list_pop_front(&log->pending)) != NULL) {
        unit_free(log, list_entry(link, struct append_unit, link));
    }
    append_trim(log);
    while ((link = list_pop_front(&log->throttled)) != NULL) {
        struct append *append = list_entry(link, struct append, link);
        for (unsigned i = 0; i < append->part_count; i++) {
            buf_unref(append->parts[i].batch.buf);
            topic_unref(append->parts[i].partition->topic);
        }
    }
}
