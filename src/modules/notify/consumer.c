/*
 * From records to rows, one batch at a time:
 *
 *   position -> subscribe -> records -> decode -> T1 -> mirror the offset -> next
 *
 * The position lives in our own table, together with the topic's id, and moves in the transaction
 * that holds its effect; the mirror in the group of the log is for lag tools alone, and comes after
 * it: a start mirrors what it finds, since the process may have died between the two.
 *
 * Whatever fails - the log, the store, an unknown outcome - ends in the same place: wait a moment,
 * read the position again, go on from there.
 */
#include "notify.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BATCH_RECORDS = 256,
    BATCH_BYTES = 1 << 20,
    /* Copies of a batch: twice its bytes for text that needs cleaning, and one record may be larger
       than the batch. */
    BATCH_MEMORY_BYTES = 64 << 20,
    RETRY_MS = 500,
};

static void position_start(struct consumer *consumer);
static void ingest_submit(struct consumer *consumer);

static void ingest_free(struct ingest *ingest) {
    if (ingest) {
        arena_deinit(&ingest->arena);
        free(ingest);
    }
}

/* Begin again from the stored position, after a pause. The subscription may be calling: it ends
 * then. */
static void begin_again(struct consumer *consumer, int status) {
    consumer->failure = status;
    ingest_free(consumer->ingest);
    consumer->ingest = NULL;
    if (!consumer->stopping) {
        timer_start_ms(&consumer->retry, RETRY_MS);
    }
}

static void on_retry(struct timer *timer) {
    struct consumer *consumer = container_of(timer, struct consumer, retry);
    if (consumer->ingest) {
        ingest_submit(consumer);
    } else {
        position_start(consumer);
    }
}

/* While the log still loads its groups, and when it is short of memory, it takes none. */
static void mirror(struct consumer *consumer) {
    int status = topic_commit(consumer->notify->context.topics, NOTIFY_GROUP, consumer->topic, 0,
                              consumer->next_offset);
    if (status && !consumer->stopping) {
        timer_start_ms(&consumer->mirror_again, RETRY_MS);
    }
}

static void on_mirror_again(struct timer *timer) {
    mirror(container_of(timer, struct consumer, mirror_again));
}

/* ---- what was written, for log and metrics ---- */

static void log_poison(const struct ingest *ingest, const struct event *event) {
    const struct notify *notify = ingest->consumer->notify;
    metric_inc(&notify->context.metrics[NOTIFY_M_POISON]);
    log_emit(notify->context.log, LOG_NOTIFY_POISON, event->has_trace ? &event->trace : NULL,
             LOG_TEXT("topic", ingest->topic), LOG_INT("offset", event->offset),
             LOG_TEXT("error", event->error ? event->error
                                            : "the event's id was used with another content"));
}

static void log_accepted(const struct ingest *ingest, const struct event *event) {
    const struct notify *notify = ingest->consumer->notify;
    const struct trace *trace = event->has_trace ? &event->trace : NULL;
    bool foreign = event->action == EVENT_FOREIGN;
    bool sent = foreign || ingest->mail->same_transaction;
    metric_inc(&notify->context.metrics[NOTIFY_M_ACCEPTED]);
    if (foreign) {
        log_emit(notify->context.log, LOG_NOTIFY_FOREIGN, trace,
                 LOG_INT("notification_id", event->notification_id),
                 LOG_TEXT("topic", ingest->topic), LOG_INT("offset", event->offset));
    } else {
        log_emit(
            notify->context.log, LOG_NOTIFY_ACCEPTED, trace, LOG_INT("user_id", event->user_id),
            LOG_INT("notification_id", event->notification_id), LOG_TEXT("topic", ingest->topic),
            LOG_INT("offset", event->offset), LOG_TEXT("provider", ingest->mail->name));
    }
    if (!foreign && sent) {
        metric_inc(&notify->context.metrics[NOTIFY_M_SENT]);
        log_emit(notify->context.log, LOG_NOTIFY_SENT, trace, LOG_INT("user_id", event->user_id),
                 LOG_INT("notification_id", event->notification_id),
                 LOG_TEXT("provider", ingest->mail->name));
    }
}

static void log_ingest(const struct ingest *ingest) {
    struct metric *metrics = ingest->consumer->notify->context.metrics;
    metric_add(&metrics[NOTIFY_M_RECORDS], (int64_t)ingest->count);
    for (size_t i = 0; i < ingest->count; i++) {
        const struct event *event = &ingest->events[i];
        if (event->poisoned) {
            log_poison(ingest, event);
        } else if (event->notification_id) {
            log_accepted(ingest, event);
        } else if (event->action != EVENT_ADVANCE) {
            metric_inc(&metrics[NOTIFY_M_DUPLICATES]);
        }
    }
}

/* ---- T1 ---- */

static void on_ingested(struct store_job *job, int status) {
    struct ingest *ingest = container_of(job, struct ingest, job);
    struct consumer *consumer = ingest->consumer;
    struct notify *notify = consumer->notify;
    if (status) {
        begin_again(consumer, status);
    } else {
        log_ingest(ingest);
        consumer->failure = 0;
        consumer->next_offset = ingest->next_offset;
        consumer->ingest = NULL;
        ingest_free(ingest);
        mirror(consumer);
        if (!consumer->stopping) {
            topic_subscription_next(consumer->subscription, consumer->next_offset);
            sender_wake(&notify->sender);
        }
    }
    if (consumer->stopping) {
        notify_progress(notify);
    }
}

static void ingest_submit(struct consumer *consumer) {
    struct ingest *ingest = consumer->ingest;
    ingest->now_ms = clock_wall_ms(consumer->notify->context.clock);
    int status = store_write(consumer->notify->context.store, &ingest->job);
    if (status) {
        consumer->failure = status;
        timer_start_ms(&consumer->retry, RETRY_MS); /* the batch waits, and with it the topic */
    } else {
        ingest->in_store = true;
    }
}

static struct ingest *ingest_new(struct consumer *consumer, size_t count) {
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (!ingest) {
        return NULL;
    }
    arena_init(&ingest->arena, BATCH_MEMORY_BYTES);
    ingest->events = arena_alloc(&ingest->arena, count * sizeof *ingest->events);
    ingest->job.body = ingest_body;
    ingest->job.done = on_ingested;
    ingest->consumer = consumer;
    ingest->topic = consumer->topic;
    ingest->mail = consumer->notify->mail;
    ingest->expected_offset = consumer->next_offset;
    uuid_format(&consumer->topic_id, ingest->topic_id);
    if (!ingest->events) {
        ingest_free(ingest);
        return NULL;
    }
    return ingest;
}

static void on_records(void *userdata, const struct topic_message *messages, size_t count) {
    struct consumer *consumer = userdata;
    struct notify *notify = consumer->notify;
    const struct event_context context = {
        .topic = consumer->topic,
        .cloud_events = consumer->cloud_events,
        .topic_id = consumer->topic_id,
        .origin = notify->origin,
        .foreign_ids = notify->foreign_ids,
    };
    if (consumer->stopping || consumer->ingest) {
        return;
    }
    struct ingest *ingest = ingest_new(consumer, count);
    for (size_t i = 0; ingest && i < count; i++) {
        if (event_decode(&context, &messages[i], &ingest->arena, &ingest->events[i])) {
            /* Too much for one batch: the rest comes again. A first record always fits. */
            count = i;
            break;
        }
        ingest->count = i + 1;
        ingest->next_offset = messages[i].offset + 1;
    }
    if (!ingest || !ingest->count) {
        ingest_free(ingest);
        consumer->failure = -ENOMEM;
        timer_start_ms(&consumer->retry, RETRY_MS);
        return;
    }
    consumer->ingest = ingest;
    ingest_submit(consumer);
}

static void on_end(void *userdata) {
    struct consumer *consumer = userdata;
    struct topic_info info;
    if (topic_info(consumer->notify->context.topics, consumer->topic, 0, &info) == 0) {
        consumer->end_seen = info.high_watermark;
    }
}

static void on_error(void *userdata, int status) {
    struct consumer *consumer = userdata;
    if (consumer->ingest) {
        consumer->failure = status; /* the batch under way ends first; its next fetch fails again */
        return;
    }
    begin_again(consumer, status);
}

/* ---- position ---- */

static void subscribe(struct consumer *consumer) {
    const struct topic_subscription_config config = {
        .topic = consumer->topic,
        .partition = 0,
        .offset = consumer->next_offset,
        .consumer = NOTIFY_GROUP,
        .max_records = BATCH_RECORDS,
        .max_bytes = BATCH_BYTES,
        .on_records = on_records,
        .on_end = on_end,
        .on_error = on_error,
        .userdata = consumer,
    };
    int status =
        topic_subscribe(consumer->notify->context.topics, &config, &consumer->subscription);
    if (status) {
        begin_again(consumer, status);
        return;
    }
    consumer->failure = 0;
    if (consumer->next_offset > 0) {
        mirror(consumer);
    }
}

static void on_position(struct store_job *job, int status) {
    struct consumer_position *position = container_of(job, struct consumer_position, job);
    struct consumer *consumer = position->consumer;
    consumer->position_waits = false;
    if (consumer->stopping) {
        notify_progress(consumer->notify);
    } else if (status) {
        begin_again(consumer, status);
    } else {
        consumer->next_offset = position->next_offset;
        subscribe(consumer);
    }
}

static void position_start(struct consumer *consumer) {
    struct consumer_position *position = &consumer->position;
    const struct module_context *context = &consumer->notify->context;
    struct topic_info info;
    topic_unsubscribe(consumer->subscription);
    consumer->subscription = NULL;
    int status = topic_info(context->topics, consumer->topic, 0, &info);
    if (!status) {
        consumer->topic_id = info.id;
        consumer->end_seen = 0;
        uuid_format(&info.id, position->topic_id);
        position->consumer = consumer;
        position->topic = consumer->topic;
        position->log_start_offset = info.log_start_offset;
        position->now_ms = clock_wall_ms(context->clock);
        position->job.body = consumer_position_body;
        position->job.done = on_position;
        status = store_write(context->store, &position->job);
    }
    if (status) {
        begin_again(consumer, status);
        return;
    }
    consumer->position_waits = true;
}

/* ---- life ---- */

void consumer_init(struct consumer *consumer, struct notify *notify, const char *topic,
                   bool cloud_events) {
    *consumer = (struct consumer){.notify = notify, .topic = topic, .cloud_events = cloud_events};
    timer_init(&consumer->retry, notify->context.loop, on_retry);
    timer_init(&consumer->mirror_again, notify->context.loop, on_mirror_again);
}

void consumer_start(struct consumer *consumer) {
    position_start(consumer);
}

bool consumer_stop(struct consumer *consumer) {
    if (!consumer->notify) {
        return true; /* never begun */
    }
    consumer->stopping = true;
    timer_stop(&consumer->retry);
    timer_stop(&consumer->mirror_again);
    topic_unsubscribe(consumer->subscription);
    consumer->subscription = NULL;
    if (consumer->ingest && !consumer->ingest->in_store) {
        ingest_free(consumer->ingest); /* it was never in the store: it comes again */
        consumer->ingest = NULL;
    }
    return !consumer->ingest && !consumer->position_waits;
}

int64_t consumer_lag(const struct consumer *consumer) {
    struct topic_info info;
    if (!consumer->subscription ||
        topic_info(consumer->notify->context.topics, consumer->topic, 0, &info)) {
        return -1;
    }
    return MAX(info.high_watermark - MAX(consumer->next_offset, consumer->end_seen), (int64_t)0);
}
