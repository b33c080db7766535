/*
 * Calls handlers without a connection: a request is encoded and decoded again at its version, its
 * answer too, so that a handler sees and a test reads only what that version can carry.
 */
#pragma once

#include "api_private.h"
#include "fake_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct call {
    struct kafka_request request;
    struct arena arena;        /* the request's */
    struct arena answer_arena; /* outlives it */
    struct text wire;          /* the answer's bytes, records of a Fetch in place */
    void *answer;              /* decoded; NULL before and without one */
    bool done, closed, silent;
    char reason[200];
};

struct harness {
    struct clock_manual clock;
    struct loop *loop; /* simulated */
    struct topic_log *log;
    struct broker broker;
    struct kafka_server_config config;
    unsigned created, deleted;
};

void harness_init(struct harness *h);
void harness_deinit(struct harness *h);
/** harness_turn() - run the loop until nothing is due */
void harness_turn(struct harness *h);
/** harness_topic() - a durable topic */
struct topic *harness_topic(struct harness *h, const char *name, int32_t partitions);

/** call_start() - hand @body to the handler of @key; the answer may come later */
void call_start(struct harness *h, struct call *call, int16_t key, int16_t version,
                const void *body);
/** call_wait() - turns until the answer is there; fails the test without one */
void *call_wait(struct harness *h, struct call *call);
void call_end(struct call *call);

/** batch_new() - one record batch with @count records "value" */
struct buf *batch_new(int count, int64_t timestamp_ms);
/** batch_with() - one of two records, a field of its header at byte @at changed, its CRC right */
struct buf *batch_with(size_t at, uint64_t value, size_t bytes);
/** append_records() - produce such a batch to partition 0 of @topic and let it become durable */
void append_records(struct harness *h, const char *topic, int count, int64_t timestamp_ms);
