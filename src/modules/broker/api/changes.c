#include "changes.h"

#include <stdlib.h>

struct changes *changes_new(struct kafka_request *request, void *answer) {
    struct broker *broker = request->userdata;
    struct changes *changes = calloc(1, sizeof *changes);

    if (changes) {
        changes->broker = broker;
        changes->request = request;
        changes->answer = answer;
        list_init(&changes->open);
        timer_init(&changes->timer, broker->loop, NULL);
    }
    return changes;
}

/* Answers when nothing is under way any more; frees when nobody needs it. */
static void settle(struct changes *changes) {
    if (!changes->ready || !list_empty(&changes->open)) {
        return;
    }
    timer_stop(&changes->timer);
    if (changes->request) {
        kafka_respond(changes->request, changes->answer);
    }
    free(changes);
}

static void change_free(struct change *change) {
    list_remove(&change->link);
    topic_unref(change->topic);
    free(change);
}

static void on_change(struct topic_log_request *request, int status) {
    struct change *change = container_of(request, struct change, request);
    struct changes *changes = change->changes;

    if (changes->request) {
        change->fill(change, status ? kafka_error_of(status) : 0,
                     status > 0 ? error_row_get(status)->text : NULL);
    }
    change_free(change);
    settle(changes);
}

struct change *changes_begin(struct changes *changes, struct topic *topic, void *row,
                             void (*fill)(struct change *change, int16_t error,
                                          const char *message)) {
    struct change *change = calloc(1, sizeof *change);

    if (change) {
        change->request.done = on_change;
        change->changes = changes;
        change->topic = topic ? topic_ref(topic) : NULL;
        change->row = row;
        change->fill = fill;
        list_push_back(&changes->open, &change->link);
    }
    return change;
}

void changes_refused(struct change *change, int code) {
    change->fill(change, kafka_error_of(code), code > 0 ? error_row_get(code)->text : NULL);
    change_free(change);
}

static void on_timeout(struct timer *timer) {
    struct changes *changes = container_of(timer, struct changes, timer);
    struct kafka_request *request = changes->request;

    list_for_each(link, &changes->open) {
        struct change *change = list_entry(link, struct change, link);

        change->fill(change, KAFKA_REQUEST_TIMED_OUT, NULL);
    }
    changes->request = NULL;
    kafka_respond(request, changes->answer);
}

void changes_ready(struct changes *changes, int32_t timeout_ms) {
    changes->ready = true;
    if (!list_empty(&changes->open)) {
        timer_init(&changes->timer, changes->broker->loop, on_timeout);
        timer_start_ms(&changes->timer, timeout_ms);
    }
    settle(changes);
}
