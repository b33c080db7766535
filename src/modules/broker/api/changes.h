/*
 * What a request changes in the log: each change succeeds or fails by itself, and the answer leaves
 * when the last one is durable, so that what was acknowledged survives a crash. Where the request's
 * timeout comes first, the changes still under way are answered with error 7; they go on.
 */
#pragma once

#include "api_private.h"

/* Everything here is of malloc, since it may outlive the request. */
struct changes {
    struct broker *broker;
    struct kafka_request *request; /* NULL once it is answered */
    void *answer;
    struct list open; /* struct change.link */
    struct timer timer;
    bool ready; /* every change was begun */
};

struct change {
    struct topic_log_request request;
    struct list link;
    struct changes *changes;
    struct topic *topic; /* with a reference; NULL for a creation */
    int32_t index;       /* of a partition */
    void *row;           /* of the answer */
    /* The row's columns: @code is a return value of the log, or KAFKA_REQUEST_TIMED_OUT. */
    void (*fill)(struct change *change, int16_t error, const char *message);
};

/** changes_new() - NULL without memory */
struct changes *changes_new(struct kafka_request *request, void *answer);
/**
 * changes_begin() - what topic_log_create() and its sisters are given: a change of @topic for @row
 * @fill is called once: with the outcome, with error 7, or by changes_refused()
 */
struct change *changes_begin(struct changes *changes, struct topic *topic, void *row,
                             void (*fill)(struct change *change, int16_t error,
                                          const char *message));
/** changes_refused() - the log did not take it: fill the row with what @code means */
void changes_refused(struct change *change, int code);
/** changes_ready() - every change was begun: answer when the last is done, or after @timeout_ms */
void changes_ready(struct changes *changes, int32_t timeout_ms);
