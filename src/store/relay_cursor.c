/*
 * Usually the last record of the topic is ours: one record is read. It may belong to another store
 * (the database was replaced), or there may be none (damage raised the log end); then the whole
 * topic, which is compacted, is read for our last one.
 */
#include "relay_cursor.h"

#include <errno.h>
#include <eventbox/base/error.h>

static void on_finished(struct loop_task *task) {
    struct relay_cursor *cursor = container_of(task, struct relay_cursor, task);
    topic_unsubscribe(cursor->subscription);
    cursor->subscription = NULL;
    cursor->done(cursor, cursor->status, cursor->id);
}

/* Unsubscribes outside of the subscription's own callback. */
static void finish(struct relay_cursor *cursor, int status) {
    if (!cursor->finished) {
        cursor->finished = true;
        cursor->status = status;
        cursor->task.run = on_finished;
        loop_defer(cursor->loop, &cursor->task);
    }
}

static int parse_id(struct span value, int64_t *ret_id) {
    const char *digits = value.data;
    int64_t id = 0;
    if (value.size == 0 || value.size > 18) {
        return err_origin(-EBADMSG);
    }
    for (size_t i = 0; i < value.size; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return err_origin(-EBADMSG);
        }
        id = id * 10 + (digits[i] - '0');
    }
    *ret_id = id;
    return 0;
}

static void on_records(void *userdata, const struct topic_message *messages, size_t count) {
    struct relay_cursor *cursor = userdata;
    int r = 0;

    if (cursor->finished) {
        return;
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        if (span_equal(messages[i].key, span_text(cursor->key)) && messages[i].value.data) {
            r = parse_id(messages[i].value, &cursor->id);
            cursor->found = r == 0;
        }
    }
    int64_t offset = count > 0 ? messages[count - 1].offset : cursor->last_offset;
    if (r != 0 || (offset >= cursor->last_offset && (cursor->found || cursor->scanning))) {
        finish(cursor, r);
    } else if (!cursor->scanning && offset >= cursor->last_offset) {
        struct topic_info info;
        cursor->scanning = true;
        r = topic_info(cursor->topics, RELAY_CURSOR_TOPIC, 0, &info);
        if (r != 0) {
            finish(cursor, r);
        } else {
            topic_subscription_next(cursor->subscription, info.log_start_offset);
        }
    } else {
        topic_subscription_next(cursor->subscription, offset + 1);
    }
}

/* No record where the last one should be: offsets before the watermark were skipped after damage.
 */
static void on_end(void *userdata) {
    struct relay_cursor *cursor = userdata;
    struct topic_info info;
    if (cursor->finished) {
        return;
    }
    int r = cursor->scanning ? 0 : topic_info(cursor->topics, RELAY_CURSOR_TOPIC, 0, &info);
    if (cursor->scanning || r != 0) {
        finish(cursor, r);
        return;
    }
    cursor->scanning = true;
    topic_subscription_next(cursor->subscription, info.log_start_offset);
}

static void on_error(void *userdata, int status) {
    finish(userdata, status);
}

static int subscribe(struct relay_cursor *cursor, int64_t offset) {
    struct topic_subscription_config config = {
        .topic = RELAY_CURSOR_TOPIC,
        .partition = 0,
        .offset = offset,
        .consumer = "relay",
        .max_records = 1000,
        .max_bytes = KIB(64),
        .on_records = on_records,
        .on_end = on_end,
        .on_error = on_error,
        .userdata = cursor,
    };
    return topic_subscribe(cursor->topics, &config, &cursor->subscription);
}

static void on_declared(void *userdata, int status) {
    struct relay_cursor *cursor = userdata;
    struct topic_info info = {0};
    int r = status == TOPIC_E_EXISTS ? 0 : status;

    if (r == 0) {
        r = topic_info(cursor->topics, RELAY_CURSOR_TOPIC, 0, &info);
    }
    if (r != 0 || info.high_watermark <= info.log_start_offset) {
        finish(cursor, r);
        return;
    }
    cursor->last_offset = info.high_watermark - 1;
    r = subscribe(cursor, cursor->last_offset);
    if (r != 0) {
        finish(cursor, r);
    }
}

void relay_cursor_read(struct relay_cursor *cursor) {
    static const struct topic_config_entry configs[] = {{"cleanup.policy", "compact"}, {0}};
    static const struct topic_declaration declaration = {
        .name = RELAY_CURSOR_TOPIC,
        .partitions = 1,
        .configs = configs,
        .summary = "the relay's position in the outbox",
    };
    cursor->id = 0;
    cursor->found = cursor->scanning = cursor->finished = false;
    cursor->status = 0;
    int r = topic_declare(cursor->topics, &declaration, on_declared, cursor);
    if (r != 0) {
        finish(cursor, r);
    }
}
