/*
 * The append itself, on the loop: check, assign offsets, queue. Whether it may be done now tells
 * append_admit.c; how it becomes durable, append_submit.c.
 *
 * All parts are checked before anything is changed, and memory for all of them is taken before the
 * first offset is given out: an append happens as a whole or not at all. Offsets are assigned in
 * the order of the queue, so the journal has them in order.
 */
#include "append.h"
#include "log_private.h"
#include "tail.h"

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

uint64_t append_bytes(const struct append *append) {
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

void append_unit_free(struct topic_log *log, struct append_unit *unit) {
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
    append_unit_free(log, unit);
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
        log->queued_bytes += batch->batch.size;
        batch = batch->next_in_unit;
    }
    list_push_back(&log->pending, &unit->link);
    log->stats.appends += unit->entry_count;
    log->stats.append_bytes += unit->bytes;
    log->stats.queued_appends++;
    append_flush_soon(log);
    return 0;
}

int append_now(struct topic_log *log, struct append *append) {
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

void append_init(struct topic_log *log) {
    list_init(&log->free_units);
    append_admit_init(log);
    append_submit_init(log);
}

/* An abandoned simulation: nobody is called. */
void append_deinit(struct topic_log *log) {
    append_submit_deinit(log);
    append_admit_deinit(log);
    append_trim(log);
}
