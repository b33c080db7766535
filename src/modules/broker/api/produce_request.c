#include "produce_request.h"

#include "codec.h"
#include "places.h"

#include <eventbox/base/error.h>

#include <errno.h>

enum {
    VERSION_FIRST = 3,
    VERSION_ZSTD = 7,
    VERSION_TOPIC_IDS = 13,
    /* Kafka looks for the producer of every batch, and shorter ones have no room for it. */
    UP_TO_PRODUCER_EPOCH = 51,
};

static struct span name_of(const struct kafka_request *request,
                           const struct produce_request_topic *topic) {
    return request->version >= VERSION_TOPIC_IDS
               ? span_of(topic->topic_id.bytes, sizeof topic->topic_id.bytes)
               : topic->name;
}

/* ---- the entries ---- */

static void resolve(struct produce_entry *entry, struct topic *topic, bool by_id) {
    entry->topic = topic;
    entry->partition = topic ? partition_get(topic, entry->data->index) : NULL;
    if (!topic) {
        entry->error = by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    } else if (!entry->partition) {
        entry->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
}

static int list_entries(struct kafka_request *request, struct produce_plan *plan) {
    const struct broker *broker = request->userdata;
    const struct produce_request *body = request->body;
    bool by_id = request->version >= VERSION_TOPIC_IDS;

    for (int32_t i = 0; i < body->topic_data_count; i++) {
        plan->count += (uint32_t)MAX(body->topic_data[i].partition_data_count, 0);
    }
    plan->entries = arena_alloc(request->arena, MAX(plan->count, 1u) * sizeof *plan->entries);
    if (!plan->entries) {
        return err_origin(-ENOMEM);
    }
    plan->count = 0;
    for (int32_t i = 0; i < body->topic_data_count; i++) {
        const struct produce_request_topic *wanted = &body->topic_data[i];
        struct topic *topic = by_id ? topic_log_find_id(broker->log, &wanted->topic_id)
                                    : topic_log_find(broker->log, wanted->name);

        for (int32_t p = 0; p < wanted->partition_data_count; p++) {
            struct produce_entry *entry = &plan->entries[plan->count++];

            *entry = (struct produce_entry){.data = &wanted->partition_data[p],
                                            .topic_data = (uint32_t)i};
            resolve(entry, topic, by_id);
        }
    }
    return 0;
}

/* Topics that are named twice have one row in the answer. */
static int join_topics(struct kafka_request *request, struct produce_plan *plan) {
    const struct produce_request *body = request->body;
    struct place *places;

    if (body->topic_data_count < 2) {
        return 0;
    }
    places = arena_alloc(request->arena, (size_t)body->topic_data_count * sizeof *places);
    if (!places) {
        return err_origin(-ENOMEM);
    }
    for (int32_t i = 0; i < body->topic_data_count; i++) {
        places[i] = (struct place){name_of(request, &body->topic_data[i]), 0};
    }
    return places_last(request->arena, places, (uint32_t)body->topic_data_count, &plan->topics);
}

/* ---- Kafka's steps ---- */

/* Before anything else it looks for transactions, in all batches. */
static int16_t check_heads(struct kafka_request *request, const struct produce_plan *plan,
                           const char **ret_message) {
    const struct produce_request *body = request->body;

    for (uint32_t i = 0; i < plan->count; i++) {
        struct produce_peek peek;
        int16_t error = produce_batch_peek(request->arena, plan->entries[i].data->records.span,
                                           &peek, ret_message);

        if (error) {
            return error;
        }
        if (produce_peek_is_transactional(&peek) && !body->transactional_id.data) {
            return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        }
    }
    return 0;
}

/* Then it finds the one batch of each partition that exists. */
static int16_t find_batches(struct kafka_request *request, struct produce_plan *plan) {
    for (uint32_t i = 0; i < plan->count; i++) {
        struct produce_entry *entry = &plan->entries[i];
        struct produce_peek peek;
        const char *message;

        if (entry->error) {
            continue;
        }
        (void)produce_batch_peek(request->arena, entry->data->records.span, &peek, &message);
        if (request->version < VERSION_ZSTD && produce_peek_codec(&peek) > RECORD_CODEC_ZSTD) {
            return KAFKA_UNKNOWN_SERVER_ERROR;
        }
        entry->error =
            produce_batch_find(request->version, entry->data->records.span, &entry->batch);
    }
    return 0;
}

/*
 * Of two entries for a partition the last counts. But what can be appended and what cannot are kept
 * apart: of each the last one counts, the one is appended, and the other is what the answer tells.
 */
static void take_place(struct produce_entry *entry, struct produce_entry *last) {
    entry->dropped = true;
    if (last->twin_error || !last->error == !entry->error) {
        return;
    }
    last->twin_error = last->error ? last->error : entry->error;
    if (last->error) {
        last->batch = entry->batch;
        last->error = 0;
    }
}

static int settle_twins(struct kafka_request *request, struct produce_plan *plan) {
    enum { AT_NUMBER = offsetof(struct produce_request_partition, index) };
    const struct produce_request *body = request->body;
    uint32_t *last;
    int r = request->version >= VERSION_TOPIC_IDS
                ? PLACES_LAST(request->arena, body->topic_data, body->topic_data_count, topic_id,
                              partition_data, AT_NUMBER, &last)
                : PLACES_LAST(request->arena, body->topic_data, body->topic_data_count, name,
                              partition_data, AT_NUMBER, &last);

    for (uint32_t i = r == 0 && last ? plan->count : 0; i-- > 0;) {
        if (last[i] != i) {
            take_place(&plan->entries[i], &plan->entries[last[i]]);
        }
    }
    return r;
}

/*
 * Then it asks the coordinator of the transactions about the batches of a transactional producer;
 * a request may have one such producer. No producer has a transaction here, so what it would say
 * is known; batches without a producer id are of no transaction, whatever they claim.
 */
static int16_t check_transactions(struct kafka_request *request, struct produce_plan *plan,
                                  const char **ret_message) {
    const struct produce_request *body = request->body;
    struct produce_peek first = {0};

    for (uint32_t i = 0; i < plan->count; i++) {
        struct produce_entry *entry = &plan->entries[i];
        struct produce_peek peek;

        if (entry->error || entry->dropped) {
            continue;
        }
        if (entry->batch.size < UP_TO_PRODUCER_EPOCH) {
            return KAFKA_UNKNOWN_SERVER_ERROR;
        }
        (void)produce_batch_peek(request->arena, entry->batch, &peek, ret_message);
        if (!produce_peek_is_transactional(&peek) || peek.producer_id < 0) {
            continue;
        }
        if (first.size > 0 && (first.producer_id != peek.producer_id ||
                               first.producer_epoch != peek.producer_epoch)) {
            *ret_message = "Transactional records contained more than one producer ID";
            return KAFKA_INVALID_PRODUCER_ID_MAPPING;
        }
        first = peek;
        entry->error = body->transactional_id.size > 0 ? KAFKA_INVALID_PRODUCER_ID_MAPPING
                                                       : KAFKA_INVALID_REQUEST;
    }
    return 0;
}

/* Then it looks at acks, and last of all whether the topic is its own. */
static void check_rest(const struct kafka_request *request, struct produce_plan *plan) {
    const struct produce_request *body = request->body;

    for (uint32_t i = 0; i < plan->count; i++) {
        struct produce_entry *entry = &plan->entries[i];

        if (!entry->error && (body->acks < -1 || body->acks > 1)) {
            entry->error = KAFKA_INVALID_REQUIRED_ACKS;
        } else if (!entry->error && entry->topic->internal) {
            entry->error = KAFKA_INVALID_TOPIC_EXCEPTION;
        }
    }
}

int produce_plan_make(struct kafka_request *request, struct produce_plan *ret_plan) {
    struct produce_plan plan = {0};
    int r = list_entries(request, &plan);

    r = r ? r : join_topics(request, &plan);
    if (r) {
        return err_trace(r);
    }
    plan.error = request->version < VERSION_FIRST ? KAFKA_UNSUPPORTED_VERSION
                                                  : check_heads(request, &plan, &plan.message);
    if (!plan.error) {
        plan.error = find_batches(request, &plan);
    }
    r = settle_twins(request, &plan);
    if (r) {
        return err_trace(r);
    }
    if (!plan.error) {
        plan.error = check_transactions(request, &plan, &plan.message);
    }
    if (!plan.error) {
        check_rest(request, &plan);
    }
    *ret_plan = plan;
    return 0;
}
