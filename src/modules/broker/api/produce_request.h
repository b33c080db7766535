/*
 * What a Produce request asks for, one entry for each partition that it names, and what Kafka
 * answers before it comes to the logs. Some faults of one partition refuse the whole request, since
 * Kafka meets them while it looks over all of it; the order of its steps is kept here.
 */
#pragma once

#include "produce_batch.h"

struct produce_entry {
    const struct produce_request_partition *data;
    uint32_t topic_data; /* index in the request */
    bool dropped;        /* a later entry names the same partition, and has taken its place */
    int16_t error;       /* why it is not appended */
    int16_t twin_error;  /* of another entry for the partition: told whatever becomes of this one */
    struct topic *topic;
    struct partition *partition; /* NULL: unknown */
    struct span batch;
    struct produce_response_partition *row; /* of the answer, for whoever makes it */
};

struct produce_plan {
    struct produce_entry *entries;
    uint32_t count;
    uint32_t *topics; /* for each topic of the request the last one with its name; NULL: its own */
    int16_t error;    /* of every entry */
    const char *message;
};

/** produce_plan_topic() - the topic of the request that has the row of @entry */
static inline uint32_t produce_plan_topic(const struct produce_plan *plan,
                                          const struct produce_entry *entry) {
    return plan->topics ? plan->topics[entry->topic_data] : entry->topic_data;
}

/**
 * produce_plan_make() - look over a request
 * Ownership: everything is in the request's arena; topics are borrowed. Return: 0 or -ENOMEM.
 */
int produce_plan_make(struct kafka_request *request, struct produce_plan *ret_plan);
