/* One topic after the other, from its first record to the high watermark of the moment. */
#include "relay_ids.h"

#include <errno.h>
#include <eventbox/base/error.h>

static void next_source(struct relay_ids *ids);

/* Outside of the subscription's own callbacks: it may be taken down here. */
static void on_source_done(struct loop_task *task) {
    struct relay_ids *ids = container_of(task, struct relay_ids, task);
    topic_unsubscribe(ids->subscription);
    ids->subscription = NULL;
    ids->source++;
    if (ids->status != 0 || ids->source >= ids->source_count) {
        ids->done(ids, ids->status);
    } else {
        next_source(ids);
    }
}

static void finish_source(struct relay_ids *ids, int status) {
    if (!ids->finished) {
        ids->finished = true;
        ids->status = status;
        ids->task.run = on_source_done;
        loop_defer(ids->loop, &ids->task);
    }
}

/* What another program writes to the topic names no row of ours. */
static bool is_ours(const struct relay_ids *ids, const struct topic_message *message) {
    for (size_t i = 0; i < message->header_count; i++) {
        const struct topic_header *header = &message->headers[i];
        if (span_equal(header->name, SPAN_LITERAL("eventbox-origin"))) {
            return span_equal(header->value, span_text(ids->origin));
        }
    }
    return false;
}

static int64_t id_of(struct span key) {
    const char *digits = key.data;
    int64_t id = 0;
    if (key.size == 0 || key.size > 18) {
        return 0;
    }
    for (size_t i = 0; i < key.size; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return 0;
        }
        id = id * 10 + (digits[i] - '0');
    }
    return id;
}

static void on_records(void *userdata, const struct topic_message *messages, size_t count) {
    struct relay_ids *ids = userdata;
    if (ids->finished) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t id = is_ours(ids, &messages[i]) ? id_of(messages[i].key) : 0;
        ids->largest[ids->source] = MAX(ids->largest[ids->source], id);
    }
    int64_t next = count > 0 ? messages[count - 1].offset + 1 : ids->end_offset;
    if (next >= ids->end_offset) {
        finish_source(ids, 0);
    } else {
        topic_subscription_next(ids->subscription, next);
    }
}

static void on_end(void *userdata) {
    finish_source(userdata, 0);
}

static void on_error(void *userdata, int status) {
    finish_source(userdata, status);
}

static void next_source(struct relay_ids *ids) {
    const char *topic = ids->sources[ids->source].topic;
    struct topic_info info = {0};
    ids->finished = false;
    int r = topic_info(ids->topics, topic, 0, &info);
    if (r == TOPIC_E_UNKNOWN || (r == 0 && info.high_watermark <= info.log_start_offset)) {
        finish_source(ids, 0);
        return;
    }
    const struct topic_subscription_config config = {
        .topic = topic,
        .partition = 0,
        .offset = info.log_start_offset,
        .consumer = "relay",
        .max_records = 1000,
        .max_bytes = KIB(256),
        .on_records = on_records,
        .on_end = on_end,
        .on_error = on_error,
        .userdata = ids,
    };
    ids->end_offset = info.high_watermark;
    r = r ? r : topic_subscribe(ids->topics, &config, &ids->subscription);
    if (r) {
        finish_source(ids, r);
    }
}

void relay_ids_read(struct relay_ids *ids) {
    ids->source = 0;
    ids->status = 0;
    for (size_t i = 0; i < ids->source_count; i++) {
        ids->largest[i] = 0;
    }
    if (ids->source_count > 0) {
        next_source(ids);
    } else {
        ids->finished = false;
        finish_source(ids, 0);
    }
}
