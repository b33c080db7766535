/*
 * The relay's cursor: the last record of topic __eventbox_relay under the store's uuid; its value
 * is the outbox id, in decimal digits, up to which everything is in the log.
 */
#pragma once

#include <eventbox/base/uuid.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/topic.h>

#define RELAY_CURSOR_TOPIC "__eventbox_relay"

struct relay_cursor {
    struct topic_port *topics;
    struct loop *loop;
    char key[UUID_TEXT_SIZE];
    /* Once, never from inside relay_cursor_read(). @id is 0 when there is none yet. */
    void (*done)(struct relay_cursor *cursor, int status, int64_t id);

    /* Private. */
    struct topic_subscription *subscription;
    struct loop_task task;
    int64_t id, last_offset;
    int status;
    bool found, scanning, finished;
};

/** relay_cursor_read() - declare the topic if need be and find the cursor; may be called again
 * after done() */
void relay_cursor_read(struct relay_cursor *cursor);
