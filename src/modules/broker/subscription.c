/*
 * An in-process consumer of one partition.
 *
 * It is pulled: after a delivery nothing happens until topic_subscription_next() names the next
 * offset. Then it reads what lies between that offset and the high watermark (from memory, or by
 * the log's reader gate), or waits for the watermark to advance. While it lives, the retention
 * guard keeps what it has not taken.
 *
 *   idle --next()--> reading --records--> delivered --next()--> ...
 *                    reading --nothing there--> waiting --watermark--> reading
 */
#include "topic_port_private.h"

#include <errno.h>
#include <eventbox/base/arena.h>
#include <eventbox/loop/op.h>
#include <stdlib.h>
#include <string.h>

struct subscription {
    struct topic_subscription base; /* what the consumer holds */
    struct broker_topics *topics;
    struct topic_subscription_config config;
    char *consumer;
    struct topic *topic;
    struct partition *partition;
    int64_t position; /* next offset wanted */
    bool told_end;    /* on_end() was called since next() */
    int64_t read_end; /* high watermark when the read under way began */
    bool wanted;      /* next() was called, no delivery since */
    bool reading;     /* a read is at the gate */
    bool ended;       /* unsubscribed; freed when the read has come back */
    bool in_callback;
    struct partition_waiter waiter;
    struct partition_read read;
    struct loop_task pump;
    bool pump_queued;
};

static void queue_pump(struct subscription *subscription) {
    if (!subscription->pump_queued) {
        subscription->pump_queued = true;
        loop_defer(subscription->topics->loop, &subscription->pump);
    }
}

static void subscription_free(struct subscription *subscription) {
    if (subscription->reading || subscription->pump_queued || subscription->in_callback) {
        return; /* what is under way comes back here */
    }
    (void)partition_guard(subscription->topics->log, subscription->partition,
                          subscription->consumer, INT64_MAX);
    topic_unref(subscription->topic);
    free(subscription->consumer);
    free(subscription);
}

static void report(struct subscription *subscription, int status) {
    subscription->wanted = false;
    subscription->in_callback = true;
    if (subscription->config.on_error) {
        subscription->config.on_error(subscription->config.userdata, status);
    }
    subscription->in_callback = false;
}

/* ---- one delivery ---- */

struct delivery {
    struct arena arena;
    struct topic_message *messages;
    size_t count, capacity, bytes;
    int64_t next_offset; /* behind everything that was looked at */
};

static int collect_headers(struct delivery *delivery, const struct record *record,
                           struct topic_message *message) {
    struct record_header header;
    size_t position = 0, count = 0;
    int r = 0;
    struct topic_header *headers =
        arena_alloc(&delivery->arena, sizeof *headers * (size_t)MAX(record->header_count, 1));
    if (!headers) {
        return err_origin(-ENOMEM);
    }
    while (count < (size_t)record->header_count &&
           (r = record_header_next(record, &position, &header)) == 1) {
        headers[count++] = (struct topic_header){header.key, header.value};
    }
    message->headers = headers;
    message->header_count = count;
    return r > 1 || r < 0 ? r : 0;
}

static struct span copy_span(struct arena *arena, struct span span) {
    if (!span.data) {
        return SPAN_NULL;
    }
    return span_of(arena_dup(arena, span.data, span.size), span.size);
}

/* Inflated records die with their iterator, so those are copied; plain ones point into the log's
 * buffer. */
static int collect_record(struct delivery *delivery, const struct record *record, bool copy) {
    if (delivery->count == delivery->capacity) {
        return 0;
    }
    struct topic_message *message = &delivery->messages[delivery->count];
    struct record kept = *record;
    if (copy) {
        struct span headers =
            copy_span(&delivery->arena, span_of(record->headers, record->headers_size));
        kept.key = copy_span(&delivery->arena, record->key);
        kept.value = copy_span(&delivery->arena, record->value);
        kept.headers = headers.data;
    }
    *message = (struct topic_message){.offset = kept.offset,
                                      .timestamp_ms = kept.timestamp_ms,
                                      .key = kept.key,
                                      .value = kept.value};
    int r = collect_headers(delivery, &kept, message);
    if (r == 0) {
        delivery->count++;
        delivery->bytes += kept.key.size + kept.value.size;
        delivery->next_offset = kept.offset + 1;
    }
    return r;
}

/* All records at or behind @position until the delivery is full; false when it is. */
static int collect_batch(struct delivery *delivery, struct span bytes, int64_t position,
                         size_t max_bytes, size_t *ret_size) {
    struct record_iterator it;
    struct record record;
    int r = record_iterator_init(&it, bytes);
    if (r != 0) {
        return err_trace(r);
    }
    *ret_size = it.batch.total_bytes;
    bool control = it.batch.attributes & RECORD_BATCH_CONTROL;
    int64_t end = record_batch_end(&it.batch);
    bool full = false;
    while (!full && (r = record_iterator_next(&it, &record)) == 1) {
        if (record.offset < position || control) {
            continue;
        }
        full = delivery->count == delivery->capacity ||
               (delivery->count > 0 && delivery->bytes >= max_bytes);
        r = full ? 0 : collect_record(delivery, &record, it.inflated != NULL);
        if (r != 0) {
            break;
        }
    }
    record_iterator_deinit(&it);
    if (!full && r == 0) {
        delivery->next_offset = end;
    }
    return err_trace(r);
}

static int collect(struct subscription *subscription, struct delivery *delivery) {
    for (unsigned i = 0; i < subscription->read.chunk_count; i++) {
        struct span bytes = span_of(subscription->read.chunks[i].slice.data,
                                    subscription->read.chunks[i].slice.size);
        while (bytes.size > 0 && delivery->count < delivery->capacity) {
            size_t size = 0;
            int r = collect_batch(delivery, bytes, subscription->position,
                                  subscription->config.max_bytes, &size);
            if (r != 0) {
                return r;
            }
            bytes = span_of((const uint8_t *)bytes.data + size, bytes.size - size);
        }
    }
    return 0;
}

static void deliver(struct subscription *subscription) {
    struct delivery delivery = {.capacity = MAX(subscription->config.max_records, (size_t)1),
                                .next_offset = subscription->position};
    arena_init(&delivery.arena, MIB(64));
    delivery.messages = arena_alloc(&delivery.arena, delivery.capacity * sizeof *delivery.messages);
    int r = delivery.messages ? collect(subscription, &delivery) : err_origin(-ENOMEM);
    if (r != 0 && delivery.count == 0) {
        report(subscription, r);
    } else if (delivery.count == 0) {
        /* Only markers, or nothing up to the watermark of then (offsets that damage has skipped):
         * go on behind them. */
        subscription->position = delivery.next_offset > subscription->position
                                     ? delivery.next_offset
                                     : subscription->read_end;
        queue_pump(subscription);
    } else {
        subscription->wanted = false;
        subscription->in_callback = true;
        subscription->config.on_records(subscription->config.userdata, delivery.messages,
                                        delivery.count);
        subscription->in_callback = false;
    }
    partition_read_release(&subscription->read);
    arena_deinit(&delivery.arena);
}

/* ---- reading and waiting ---- */

static void on_read(struct partition_read *read, int status) {
    struct subscription *subscription = container_of(read, struct subscription, read);
    subscription->reading = false;
    if (subscription->ended) {
        partition_read_release(read);
    } else if (status != 0) {
        report(subscription, status);
    } else {
        deliver(subscription);
    }
    if (subscription->ended) {
        subscription_free(subscription);
    }
}

static void on_wake(struct partition_waiter *waiter) {
    struct subscription *subscription = container_of(waiter, struct subscription, waiter);
    partition_unwait(waiter);
    queue_pump(subscription);
}

static void pump_once(struct subscription *subscription) {
    struct partition *partition = subscription->partition;
    if (!subscription->wanted || subscription->reading) {
        return;
    }
    if (subscription->topic->deleted) {
        report(subscription, err_origin(TOPIC_E_UNKNOWN));
        return;
    }
    if (subscription->position < partition->log_start_offset ||
        subscription->position > partition->log_end_offset) {
        report(subscription, err_origin(TOPIC_E_OUT_OF_RANGE));
        return;
    }
    if (subscription->position >= partition->high_watermark) {
        partition_unwait(&subscription->waiter);
        partition_wait(partition, &subscription->waiter);
        if (subscription->config.on_end && !subscription->told_end) {
            subscription->told_end = true;
            subscription->in_callback = true;
            subscription->config.on_end(subscription->config.userdata);
            subscription->in_callback = false;
        }
        return;
    }
    subscription->read = (struct partition_read){.partition = partition,
                                                 .offset = subscription->position,
                                                 .max_bytes = subscription->config.max_bytes,
                                                 .min_one_batch = true,
                                                 .memory_only = true,
                                                 .done = on_read};
    subscription->read_end = partition->high_watermark;
    int r = partition_read(subscription->topics->log, &subscription->read);
    if (r == OP_WAIT) {
        subscription->reading = true;
    } else if (r != 0) {
        report(subscription, r);
    } else {
        deliver(subscription);
    }
}

static void on_pump(struct loop_task *task) {
    struct subscription *subscription = container_of(task, struct subscription, pump);
    subscription->pump_queued = false;
    if (!subscription->ended) {
        pump_once(subscription);
    }
    if (subscription->ended) {
        subscription_free(subscription);
    }
}

/* ---- the port's members ---- */

void broker_topics_next(struct topic_subscription *base, int64_t offset) {
    struct subscription *subscription = container_of(base, struct subscription, base);
    subscription->position = offset;
    subscription->wanted = true;
    subscription->told_end = false;
    (void)partition_guard(subscription->topics->log, subscription->partition,
                          subscription->consumer, offset);
    queue_pump(subscription);
}

void broker_topics_unsubscribe(struct topic_subscription *base) {
    struct subscription *subscription = container_of(base, struct subscription, base);
    subscription->ended = true;
    subscription->wanted = false;
    partition_unwait(&subscription->waiter);
    subscription_free(subscription);
}

int broker_topics_subscribe(struct topic_port *port, const struct topic_subscription_config *config,
                            struct topic_subscription **ret_subscription) {
    struct broker_topics *topics = container_of(port, struct broker_topics, port);
    struct topic *topic = topic_log_find(topics->log, span_text(config->topic));
    struct partition *partition = topic ? partition_get(topic, config->partition) : NULL;
    if (!partition) {
        return err_origin(TOPIC_E_UNKNOWN);
    }
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (!subscription || !(subscription->consumer = strdup(config->consumer))) {
        free(subscription);
        return err_origin(-ENOMEM);
    }
    subscription->topics = topics;
    subscription->config = *config;
    subscription->topic = topic_ref(topic);
    subscription->partition = partition;
    subscription->waiter.wake = on_wake;
    subscription->pump.run = on_pump;
    int64_t offset = config->offset == TOPIC_EARLIEST ? partition->log_start_offset
                     : config->offset == TOPIC_LATEST ? partition->high_watermark
                                                      : config->offset;
    subscription->base.port = port;
    broker_topics_next(&subscription->base, offset);
    *ret_subscription = &subscription->base;
    return 0;
}
