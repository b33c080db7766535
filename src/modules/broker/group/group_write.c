/*
 * The one way in which anything about a group becomes durable: a batch of records in the partition
 * of __consumer_offsets that the group's id names. Whatever waits for it waits for its done().
 */
#include "coordinator_private.h"
#include "java_text.h"
#include "topics/topic_config.h"

#include <stdlib.h>

int64_t group_write_clock_ms(const struct group_entry *entry) {
    return clock_wall_ms(loop_clock(entry->coordinator->config.loop));
}

struct group_write *group_write_new(struct group_entry *entry) {
    struct group_write *write = calloc(1, sizeof *write);
    if (!write) {
        return NULL;
    }
    write->entry = entry;
    record_batch_builder_init(&write->builder);
    return write;
}

void group_write_add(struct group_write *write, struct text *key, struct text *value) {
    write->failed = write->failed || text_failed(key) || (value && text_failed(value));
    record_batch_builder_add(&write->builder, group_write_clock_ms(write->entry), text_span(key),
                             value ? text_span(value) : SPAN_NULL, NULL, 0);
    text_clear(key);
    if (value) {
        text_clear(value);
    }
}

void group_write_discard(struct group_write *write) {
    if (write) {
        record_batch_builder_deinit(&write->builder);
        free(write);
    }
}

static void group_write_end(struct group_write *write, int status) {
    struct group_entry *entry = write->entry;
    if (write->done) {
        write->done(write, status);
    }
    group_write_discard(write);
    entry->writes--;
    if (entry->deleted || (status != 0 && entry->writes == 0 && group_entry_is_unused(entry))) {
        group_entry_remove(entry); /* freed with the last write; or nothing of it came to be */
    } else if (entry->expire_later && entry->writes == 0) {
        entry->expire_later = false;
        expiry_check_group(entry);
    }
}

static void on_appended(struct append *append, int status) {
    group_write_end(container_of(append, struct group_write, append), status);
}

static int group_write_append(struct group_write *write) {
    struct coordinator *coordinator = write->entry->coordinator;
    int r = write->failed ? -ENOMEM : coordinator_prepare(coordinator);
    if (r != 0) {
        return err_trace(r);
    }
    struct topic *topic =
        topic_log_find(coordinator->config.log, SPAN_LITERAL("__consumer_offsets"));
    struct buf *batch = record_batch_builder_finish(&write->builder, 0);
    if (!batch || !topic) {
        buf_unref(batch);
        return err_origin(batch ? TOPIC_E_UNKNOWN : -ENOMEM);
    }
    if (batch->size >
        (size_t)topic_config_int(coordinator->config.log, topic, TOPIC_MAX_MESSAGE_BYTES)) {
        buf_unref(batch); /* the log would take it: our own appends have no such bound */
        return err_origin(TOPIC_E_TOO_LARGE);
    }
    struct span id = span_text(write->entry->group->id);
    write->part.partition = partition_get(topic, java_text_place(id, topic->partition_count));
    write->part.batch = slice_of(batch, 0, batch->size);
    write->append.class = APPEND_RESERVED;
    write->append.parts = &write->part;
    write->append.part_count = 1;
    write->append.done = on_appended;
    r = topic_log_append(coordinator->config.log, &write->append);
    buf_unref(batch); /* the log has a reference of its own */
    return err_trace(r);
}

void group_write_submit(struct group_write *write,
                        void (*done)(struct group_write *write, int status)) {
    write->done = done;
    write->entry->writes++;
    int r = group_write_append(write);
    if (r != 0) {
        group_write_end(write, r);
    }
}
