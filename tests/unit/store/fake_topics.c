#include "fake_topics.h"

#include <eventbox/base/error.h>
#include <stdio.h>
#include <stdlib.h>

struct fake_subscription {
    struct topic_subscription subscription;
    struct fake_topics *fake;
    struct topic_subscription_config config;
    char topic[64];
    int64_t position;
    struct loop_task task;
    bool asked, gone;
};

static struct fake_topics *fake_of(struct topic_port *port) {
    return container_of(port, struct fake_topics, port);
}

struct fake_topic *fake_topics_find(struct fake_topics *fake, const char *name) {
    for (size_t i = 0; i < fake->topic_count; i++) {
        if (strcmp(fake->topics[i].name, name) == 0) {
            return &fake->topics[i];
        }
    }
    return NULL;
}

static struct fake_topic *make(struct fake_topics *fake, const char *name) {
    struct fake_topic *topic = fake_topics_find(fake, name);
    if (!topic) {
        topic = &fake->topics[fake->topic_count++];
        snprintf(topic->name, sizeof topic->name, "%s", name);
        topic->records = arena_alloc(&fake->arena, FAKE_RECORDS_MAX * sizeof *topic->records);
    }
    return topic;
}

static int fake_declare(struct topic_port *port, const struct topic_declaration *declaration,
                        void (*done)(void *, int), void *userdata) {
    make(fake_of(port), declaration->name);
    done(userdata, 0);
    return 0;
}

static struct span keep(struct fake_topics *fake, struct span span) {
    return span.data ? span_of(arena_dup(&fake->arena, span.data, span.size), span.size) : span;
}

static int64_t store_record(struct fake_topics *fake, const struct topic_record *record) {
    struct fake_topic *topic = make(fake, record->topic);
    struct topic_header *headers =
        arena_alloc(&fake->arena, (record->header_count + 1) * sizeof *headers);
    for (size_t i = 0; i < record->header_count; i++) {
        headers[i].name = keep(fake, record->headers[i].name);
        headers[i].value = keep(fake, record->headers[i].value);
    }
    topic->records[topic->end] = (struct topic_message){
        .offset = topic->end,
        .timestamp_ms = record->timestamp_ms,
        .key = keep(fake, record->key),
        .value = keep(fake, record->value),
        .headers = headers,
        .header_count = record->header_count,
    };
    return topic->end++;
}

static void answer_all(struct loop_task *task) {
    struct fake_topics *fake = container_of(task, struct fake_topics, task);
    struct list pending = LIST_INIT(pending);
    struct list *link;
    list_splice_back(&pending, &fake->pending);
    while ((link = list_pop_front(&pending))) {
        struct topic_append *append = list_entry(link, struct topic_append, link);
        append->done(append, (int)(intptr_t)append->port_data);
    }
}

void fake_topics_release(struct fake_topics *fake) {
    fake->hold = false;
    fake->task.run = answer_all;
    loop_defer(fake->loop, &fake->task);
}

void fake_foreign_record(struct fake_topics *fake, const char *topic, const char *key) {
    const struct topic_record record = {.topic = topic, .key = span_text(key)};
    (void)store_record(fake, &record);
}

static int fake_append(struct topic_port *port, struct topic_append *append) {
    struct fake_topics *fake = fake_of(port);
    int status = 0;
    fake->appends++;
    if (fake->refuse_count > 0) {
        fake->refuse_count--;
        return fake->refuse_status;
    }
    if (fake->records_max != 0 && append->record_count > fake->records_max) {
        return TOPIC_E_TOO_LARGE;
    }
    if (fake->fail_count > 0) {
        fake->fail_count--;
        status = TOPIC_E_FAILED;
    } else {
        for (size_t i = 0; i < append->record_count; i++) {
            int64_t offset = store_record(fake, &append->records[i]);
            if (append->ret_offsets) {
                append->ret_offsets[i] = offset;
            }
        }
    }
    if (fake->lose_answer_count > 0) {
        fake->lose_answer_count--;
        status = TOPIC_E_FAILED;
    }
    append->port_data = (void *)(intptr_t)status;
    list_push_back(&fake->pending, &append->link);
    if (!fake->hold) {
        fake_topics_release(fake);
    }
    return 0;
}

static void deliver(struct loop_task *task) {
    struct fake_subscription *self = container_of(task, struct fake_subscription, task);
    struct fake_topic *topic = fake_topics_find(self->fake, self->topic);
    if (self->gone) {
        free(self);
        return;
    }
    if (self->asked && self->position < topic->end) {
        self->asked = false;
        /* One at a time: a reader must not count on getting everything at once. */
        self->config.on_records(self->config.userdata, &topic->records[self->position], 1);
    }
}

static int fake_subscribe(struct topic_port *port, const struct topic_subscription_config *config,
                          struct topic_subscription **ret_subscription) {
    struct fake_topics *fake = fake_of(port);
    struct fake_subscription *self = calloc(1, sizeof *self);
    self->subscription.port = port;
    self->fake = fake;
    self->config = *config;
    snprintf(self->topic, sizeof self->topic, "%s", config->topic);
    self->position = config->offset == TOPIC_EARLIEST ? 0 : config->offset;
    self->asked = true;
    self->task.run = deliver;
    loop_defer(fake->loop, &self->task);
    *ret_subscription = &self->subscription;
    return 0;
}

static void fake_next(struct topic_subscription *subscription, int64_t offset) {
    struct fake_subscription *self =
        container_of(subscription, struct fake_subscription, subscription);
    self->position = offset;
    self->asked = true;
    loop_defer(self->fake->loop, &self->task);
}

static void fake_unsubscribe(struct topic_subscription *subscription) {
    struct fake_subscription *self =
        container_of(subscription, struct fake_subscription, subscription);
    self->gone = true;
    loop_defer(self->fake->loop, &self->task);
}

static int fake_info(struct topic_port *port, const char *name, int32_t partition,
                     struct topic_info *ret_info) {
    struct fake_topic *topic = fake_topics_find(fake_of(port), name);
    if (!topic) {
        return TOPIC_E_UNKNOWN;
    }
    *ret_info = (struct topic_info){.partition_count = 1, .high_watermark = topic->end};
    return 0;
}

static int fake_commit(struct topic_port *port, const char *group, const char *topic,
                       int32_t partition, int64_t offset) {
    return 0;
}

struct span fake_header(const struct topic_message *message, const char *name) {
    for (size_t i = 0; i < message->header_count; i++) {
        if (span_equal(message->headers[i].name, span_text(name))) {
            return message->headers[i].value;
        }
    }
    return SPAN_NULL;
}

void fake_topics_init(struct fake_topics *fake, struct loop *loop) {
    static const struct topic_port_ops ops = {
        .declare = fake_declare,
        .append = fake_append,
        .subscribe = fake_subscribe,
        .next = fake_next,
        .unsubscribe = fake_unsubscribe,
        .info = fake_info,
        .commit = fake_commit,
    };
    *fake = (struct fake_topics){.port.ops = &ops, .loop = loop};
    arena_init(&fake->arena, MIB(64));
    list_init(&fake->pending);
}

void fake_topics_deinit(struct fake_topics *fake) {
    arena_deinit(&fake->arena);
}
