/*
 * Looking into the records of a batch, and making it anew where it is stored with another codec.
 *
 * Records that are not compressed are always looked into, at once: it is one walk over bytes that
 * are at hand. Compressed ones are opened only where a config of their topic, or what their header
 * says, demands it, and then on one thread, as everything is that is compressed anew. Batches on
 * the thread are done in order, and those that come behind them wait there too, so that batches of
 * a partition never overtake one another. What waits there is bounded by the memory of requests.
 */
#pragma once

#include "api_private.h"
#include "produce_records.h"

#include <eventbox/loop/work.h>

enum { PRODUCE_QUEUE_MAX = 1024 };

/* One batch on its way through; it and @owner live until done(). */
struct produce_open {
    struct work work;
    struct list link;
    void *owner;
    struct partition *partition;
    struct slice batch; /* the owner keeps it alive */
    struct produce_rules rules;
    bool pass; /* nothing is looked at: it only keeps its place */
    void (*done)(struct produce_open *open);
    /* out */
    int16_t error; /* of Kafka; 0 also where @report has faults */
    struct produce_report report;
    struct buf *buf; /* the batch anew, the owner's; NULL: as it was */
};

/** produce_rules_of() - what @topic demands of a batch that comes with @codec */
void produce_rules_of(const struct broker *broker, const struct topic *topic, int codec,
                      struct produce_rules *ret_rules);
/** produce_must_open() - whether the records of @batch, which are compressed, must be looked at */
bool produce_must_open(const struct produce_rules *rules, const struct record_batch *batch);
/** produce_open_skips() - whether its records are only skipped through (produce_records.h) */
bool produce_open_skips(const struct produce_open *open);
/** produce_open_must_wait() - earlier batches of @partition are still on the thread */
bool produce_open_must_wait(const struct broker *broker, const struct partition *partition);

/** produce_open_now() - look into it at once, whatever it takes */
void produce_open_now(struct produce_open *open);
/**
 * produce_open() - look into it on the thread
 * Return: 0 and the result is there, where there is no thread; OP_WAIT, done() follows;
 * WORK_E_FULL.
 */
int produce_open(struct broker *broker, struct produce_open *open);

/** produce_thread_start() - needs the server's work port; without it everything is done in line */
int produce_thread_start(struct broker *broker);
/** produce_thread_stop() - @done when nothing is on the thread any more */
void produce_thread_stop(struct broker *broker, void (*done)(void *userdata), void *userdata);
