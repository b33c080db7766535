/* CreatePartitions and DeleteRecords: what clients change in partitions. */
#include "places.h"

#include "changes.h"
#include "java_map.h"
#include "merge_rows.h"

#include <errno.h>
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

/* @left: partitions that the request may make yet. Kafka's controller fills its list up to there
 * with those of a topic that has more, and then has room for no other. */
static int16_t check_partitions(const struct kafka_request *request,
                                const struct create_partitions_request_topic *wanted,
                                const struct topic *topic, int32_t *left,
                                const char **ret_message) {
    int32_t now = topic->partition_count;
    int16_t error;

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
    if (topic->declared) {
        *ret_message = "A module of eventbox declares this topic.";
        return KAFKA_POLICY_VIOLATION;
    }
    if (topic_name_reserved_ours(span_text(topic->name))) {
        *ret_message = "The topic is the broker's own.";
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    error = check_new_replicas(request, wanted, wanted->count - now, ret_message);
    if (!error && wanted->count - now > *left) {
        *left = 0;
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    *left -= error ? 0 : wanted->count - now;
    return error;
}

static void add_partitions(struct changes *changes,
                           const struct create_partitions_request_topic *wanted, int32_t *left,
                           struct create_partitions_response_topic *row) {
    const struct create_partitions_request *body = changes->request->body;
    struct topic_log *log = changes->broker->log;
    struct topic *topic = topic_log_find(log, wanted->name);
    const char *message = NULL;
    int16_t error = topic ? check_partitions(changes->request, wanted, topic, left, &message)
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

/* Topic by topic in the order of Kafka's hash map, which decides who gets what is left. */
static void add_all(struct changes *changes, struct create_partitions_response *answer,
                    const uint64_t *order, const uint8_t *repeats, int32_t count) {
    const struct create_partitions_request *body = changes->request->body;
    bool late = body->timeout_ms <= 0 && repeats_any_single(repeats, count);
    int32_t left = PARTITIONS_PER_REQUEST_MAX;

    for (int32_t i = 0; i < count; i++) {
        const struct create_partitions_request_topic *wanted = &body->topics[(uint32_t)order[i]];
        uint8_t repeat = repeats[(uint32_t)order[i]];
        struct create_partitions_response_topic *row = &answer->results[answer->results_count];

        if (repeat == REPEAT_LATER && !late) {
            continue;
        }
        answer->results_count++;
        row->name = wanted->name;
        if (late) {
            refuse_partitions(row, KAFKA_REQUEST_TIMED_OUT, NULL);
        } else if (repeat == REPEAT_FIRST) {
            refuse_partitions(row, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
        } else {
            add_partitions(changes, wanted, &left, row);
        }
    }
}

void handle_create_partitions(struct kafka_request *request) {
    const struct create_partitions_request *body = request->body;
    struct create_partitions_response *answer =
        KAFKA_NEW(request->arena, create_partitions_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    int32_t count = MAX(body->topics_count, 0);
    uint8_t *repeats = REPEATS(request->arena, body->topics, name, count);
    uint64_t *order = java_map_order(request->arena, count ? &body->topics->name : NULL,
                                     sizeof *body->topics, count, 0);

    if (changes) {
        answer->results = KAFKA_NEW(request->arena, create_partitions_response_topic, count);
    }
    if (!changes || !repeats || !order || !answer->results) {
        free(changes);
        out_of_memory(request);
        return;
    }
    add_all(changes, answer, order, repeats, count);
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

/* @row: with the index, and with the offset in the place of the low watermark. */
static void delete_records(struct changes *changes, struct topic *topic,
                           struct delete_records_response_partition *row) {
    int64_t offset = row->low_watermark;
    struct change *change = NULL;
    int r;

    row->low_watermark = -1;
    row->error_code = check_records(topic, row->partition_index);
    if (!row->error_code && offset < -1) {
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
    change->index = row->partition_index;
    r = topic_log_delete_records(changes->broker->log, partition_get(topic, change->index), offset,
                                 &change->request);
    if (r) {
        changes_refused(change, r);
    }
}

/* One row for each topic and partition, before anything begins: what is under way knows its row. */
static int lay_out_rows(const struct kafka_request *request,
                        struct delete_records_response *answer) {
    const struct delete_records_request *body = request->body;
    struct arena *arena = request->arena;
    uint32_t entry = 0;
    uint32_t *last;

    answer->topics = KAFKA_NEW(arena, delete_records_response_topic, MAX(body->topics_count, 0));
    if (!answer->topics ||
        PLACES_LAST(arena, body->topics, body->topics_count, name, partitions,
                    offsetof(struct delete_records_request_partition, partition_index), &last)) {
        return err_origin(-ENOMEM);
    }
    for (int32_t i = 0; i < body->topics_count; i++) {
        const struct delete_records_request_topic *wanted = &body->topics[i];
        struct delete_records_response_topic *row = &answer->topics[answer->topics_count++];

        row->name = wanted->name;
        row->partitions =
            KAFKA_NEW(arena, delete_records_response_partition, MAX(wanted->partitions_count, 0));
        if (!row->partitions) {
            return err_origin(-ENOMEM);
        }
        for (int32_t p = 0; p < wanted->partitions_count; p++, entry++) {
            /* Of two entries for a partition the last counts. */
            if (!last || last[entry] == entry) {
                row->partitions[row->partitions_count].partition_index =
                    wanted->partitions[p].partition_index;
                row->partitions[row->partitions_count++].low_watermark =
                    wanted->partitions[p].offset;
            }
        }
    }
    KAFKA_DROP_EMPTY(answer->topics, answer->topics_count, partitions);
    return MERGE_ROWS(arena, answer->topics, &answer->topics_count, name, partitions);
}

/* With one replica nothing is to wait for but the disk, so a timeout of 0 is no error here. */
void handle_delete_records(struct kafka_request *request) {
    const struct delete_records_request *body = request->body;
    struct delete_records_response *answer = KAFKA_NEW(request->arena, delete_records_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;

    if (!changes || lay_out_rows(request, answer)) {
        free(changes);
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < answer->topics_count; i++) {
        struct delete_records_response_topic *row = &answer->topics[i];
        struct topic *topic = topic_log_find(changes->broker->log, row->name);

        for (int32_t p = 0; p < row->partitions_count; p++) {
            delete_records(changes, topic, &row->partitions[p]);
        }
    }
    changes_ready(changes, MAX(body->timeout_ms, 1000));
}
