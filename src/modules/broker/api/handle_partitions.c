/* CreatePartitions and DeleteRecords: what clients change in partitions. */
#include "changes.h"

#include <stdlib.h>

enum { PARTITIONS_PER_REQUEST_MAX = 10000 };

/* ---- CreatePartitions ---- */

static void refuse_partitions(struct create_partitions_response_topic *row, int16_t error,
                              const char *message) {
    row->error_code = error;
    row->error_message = message ? span_text(message) : SPAN_NULL;
}

static void fill_partitions(struct change *change, int16_t error, const char *message) {
    refuse_partitions(change->row, error, message);
}

/* A null list means that the broker chooses; an empty one is a list without what is needed. */
static int16_t check_new_replicas(const struct kafka_request *request,
                                  const struct create_partitions_request_topic *wanted,
                                  int32_t added, const char **ret_message) {
    int16_t error = 0;

    if (wanted->assignments_count < 0) {
        return 0;
    }
    if (wanted->assignments_count != added) {
        *ret_message = arena_printf(request->arena,
                                    "Attempted to add %d additional partition(s), but only %d "
                                    "assignment(s) were specified.",
                                    added, wanted->assignments_count);
        return KAFKA_INVALID_REPLICA_ASSIGNMENT;
    }
    for (int32_t i = 0; !error && i < wanted->assignments_count; i++) {
        error = replicas_check(request, wanted->assignments[i].broker_ids,
                               wanted->assignments[i].broker_ids_count, ret_message);
    }
    return error;
}

static int16_t check_partitions(const struct kafka_request *request,
                                const struct create_partitions_request_topic *wanted,
                                const struct topic *topic, const char **ret_message) {
    int32_t now = topic->partition_count;

    if (wanted->count == now) {
        *ret_message = arena_printf(request->arena, "Topic already has %d partition(s).", now);
        return KAFKA_INVALID_PARTITIONS;
    }
    if (wanted->count < now) {
        *ret_message = arena_printf(request->arena,
                                    "The topic %s currently has %d partition(s); %d would not be "
                                    "an increase.",
                                    topic->name, now, wanted->count);
        return KAFKA_INVALID_PARTITIONS;
    }
    if (wanted->count - now > PARTITIONS_PER_REQUEST_MAX) {
        *ret_message = "Excessively large number of partitions per request.";
        return KAFKA_POLICY_VIOLATION;
    }
    if (topic->declared) {
        *ret_message = "A module of eventbox declares this topic.";
        return KAFKA_POLICY_VIOLATION;
    }
    if (topic->internal) {
        *ret_message = "The topic is the broker's own.";
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    return check_new_replicas(request, wanted, wanted->count - now, ret_message);
}

static void add_partitions(struct changes *changes,
                           const struct create_partitions_request_topic *wanted,
                           struct create_partitions_response_topic *row) {
    const struct create_partitions_request *body = changes->request->body;
    struct topic_log *log = changes->broker->log;
    struct topic *topic = topic_log_find(log, wanted->name);
    const char *message = NULL;
    int16_t error = topic ? check_partitions(changes->request, wanted, topic, &message)
                          : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    struct change *change;
    int r;

    if (error || body->validate_only) {
        refuse_partitions(row, error, message);
        return;
    }
    change = changes_begin(changes, topic, row, fill_partitions);
    if (!change) {
        refuse_partitions(row, KAFKA_UNKNOWN_SERVER_ERROR, NULL);
        return;
    }
    r = topic_log_add_partitions(log, topic, wanted->count, &change->request);
    if (r) {
        changes_refused(change, r);
    }
}

void handle_create_partitions(struct kafka_request *request) {
    const struct create_partitions_request *body = request->body;
    struct create_partitions_response *answer =
        KAFKA_NEW(request->arena, create_partitions_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    int32_t count = MAX(body->topics_count, 0);
    uint8_t *repeats = REPEATS(request->arena, body->topics, name, count);

    if (changes) {
        answer->results = KAFKA_NEW(request->arena, create_partitions_response_topic, count);
    }
    if (!changes || !repeats || !answer->results) {
        free(changes);
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        struct create_partitions_response_topic *row = &answer->results[answer->results_count];

        if (repeats[i] == REPEAT_LATER) {
            continue;
        }
        answer->results_count++;
        row->name = body->topics[i].name;
        if (repeats[i] == REPEAT_FIRST) {
            refuse_partitions(row, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
        } else if (body->timeout_ms <= 0) {
            refuse_partitions(row, KAFKA_REQUEST_TIMED_OUT, NULL);
        } else {
            add_partitions(changes, &body->topics[i], row);
        }
    }
    changes_ready(changes, body->timeout_ms);
}

/* ---- DeleteRecords ---- */

static void fill_records(struct change *change, int16_t error, const char *message) {
    struct delete_records_response_partition *row = change->row;

    row->error_code = error;
    row->low_watermark = error ? -1 : partition_get(change->topic, change->index)->log_start_offset;
}

static int16_t check_records(const struct topic *topic, int32_t index) {
    if (!topic || index < 0 || index >= topic->partition_count) {
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    return topic->internal ? KAFKA_INVALID_TOPIC_EXCEPTION : 0;
}

static void delete_records(struct changes *changes, struct topic *topic,
                           const struct delete_records_request_partition *wanted,
                           struct delete_records_response_partition *row) {
    struct change *change = NULL;
    int r;

    row->partition_index = wanted->partition_index;
    row->low_watermark = -1;
    row->error_code = check_records(topic, wanted->partition_index);
    if (!row->error_code && wanted->offset < -1) {
        row->error_code = KAFKA_OFFSET_OUT_OF_RANGE;
    }
    if (row->error_code) {
        return;
    }
    change = changes_begin(changes, topic, row, fill_records);
    if (!change) {
        row->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
        return;
    }
    change->index = wanted->partition_index;
    r = topic_log_delete_records(changes->broker->log, partition_get(topic, change->index),
                                 wanted->offset, &change->request);
    if (r) {
        changes_refused(change, r);
    }
}

static bool delete_topic_records(struct changes *changes,
                                 const struct delete_records_request_topic *wanted,
                                 struct delete_records_response_topic *row) {
    int32_t count = MAX(wanted->partitions_count, 0);
    struct topic *topic = topic_log_find(changes->broker->log, wanted->name);

    row->name = wanted->name;
    row->partitions = KAFKA_NEW(changes->request->arena, delete_records_response_partition, count);
    for (int32_t i = 0; row->partitions && i < count; i++) {
        delete_records(changes, topic, &wanted->partitions[i],
                       &row->partitions[row->partitions_count++]);
    }
    return row->partitions != NULL;
}

/* With one replica nothing is to wait for but the disk, so a timeout of 0 is no error here. */
void handle_delete_records(struct kafka_request *request) {
    const struct delete_records_request *body = request->body;
    struct delete_records_response *answer = KAFKA_NEW(request->arena, delete_records_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    int32_t count = MAX(body->topics_count, 0);

    if (changes) {
        answer->topics = KAFKA_NEW(request->arena, delete_records_response_topic, count);
    }
    if (!changes || !answer->topics) {
        free(changes);
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        struct delete_records_response_topic *row = &answer->topics[answer->topics_count++];

        if (!delete_topic_records(changes, &body->topics[i], row)) {
            row->partitions_count = 0; /* without memory: an answer that lacks them */
        }
    }
    KAFKA_DROP_EMPTY(answer->topics, answer->topics_count, partitions);
    changes_ready(changes, MAX(body->timeout_ms, 1000));
}
