/*
 * Batches that a config of their topic demands to look into: records whose timestamps may be too
 * far from the broker's clock, and batches that are stored with another codec. Small ones that are
 * not compressed are looked into at once; the others on one thread, in order, so that batches of a
 * partition never overtake one another. What waits there is bounded by the memory of requests.
 */
#pragma once

#include "api_private.h"

#include <eventbox/loop/work.h>

enum { PRODUCE_BAD_TIMES_MAX = 100, PRODUCE_INLINE_BYTES = 16 << 10, PRODUCE_QUEUE_MAX = 1024 };

/* What a topic demands. */
struct produce_rules {
    int codec; /* -1: as it comes */
    int64_t earliest_ms, latest_ms;
    int64_t earliest_told_ms; /* as clients are told it: the plain difference, like Kafka's */
};

struct produce_bad_time {
    int32_t index;
    int64_t timestamp_ms;
};

/* One batch on its way through; it and @owner live until done(). */
struct produce_open {
    struct work work;
    struct list link;
    void *owner;
    struct partition *partition;
    struct slice batch; /* the owner keeps it alive */
    struct produce_rules rules;
    void (*done)(struct produce_open *open);
    /* out */
    int code;        /* 0; BROKER_E_CORRUPT and others of the log; -ENOMEM */
    struct buf *buf; /* the batch anew, the owner's; NULL: as it was */
    struct produce_bad_time bad[PRODUCE_BAD_TIMES_MAX];
    int32_t bad_count; /* of all that are out of range, some without a place above */
};

/** produce_rules_of() - for @batch of @topic; false when nothing needs a look inside */
bool produce_rules_of(const struct broker *broker, const struct topic *topic,
                      const struct record_batch *batch, struct produce_rules *ret_rules);
/** produce_open_must_wait() - earlier batches of @partition are still on the thread */
bool produce_open_must_wait(const struct broker *broker, const struct partition *partition);
/**
 * produce_open() - look into the batch, by the rules
 * Return: 0 and the result is there; OP_WAIT, done() follows; WORK_E_FULL.
 */
int produce_open(struct broker *broker, struct produce_open *open);

/** produce_thread_start() - needs the server's work port; without it everything is done in line */
int produce_thread_start(struct broker *broker);
/** produce_thread_stop() - @done when nothing is on the thread any more */
void produce_thread_stop(struct broker *broker, void (*done)(void *userdata), void *userdata);
