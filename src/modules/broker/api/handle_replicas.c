/*
 * What a cluster does with replicas, answered as a cluster of one node: the leader is elected, each
 * partition is where it can be, and nothing moves. ElectLeaders, AlterPartitionReassignments,
 * ListPartitionReassignments.
 */
#include "api_private.h"

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1 };

/* ---- ElectLeaders ---- */

static void elect(const struct kafka_request *request, const struct topic *topic, struct span name,
                  int32_t index, struct elect_leaders_response_partition *row) {
    const struct elect_leaders_request *body = request->body;

    row->partition_id = index;
    if (body->timeout_ms <= 0) {
        row->error_code = KAFKA_REQUEST_TIMED_OUT;
        row->error_message = SPAN_NULL;
    } else if (body->election_type != ELECTION_PREFERRED &&
               body->election_type != ELECTION_UNCLEAN) {
        row->error_code = KAFKA_INVALID_REQUEST;
        row->error_message = span_text(
            arena_printf(request->arena, "Unknown election type %d", body->election_type));
    } else if (!topic) {
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        row->error_message = span_text(arena_printf(request->arena, "No such topic as %.*s",
                                                    (int)MIN(name.size, 300U),
                                                    name.size ? (const char *)name.data : ""));
    } else if (index < 0 || index >= topic->partition_count) {
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        row->error_message = span_text(
            arena_printf(request->arena, "No such partition as %s-%d", topic->name, index));
    } else {
        row->error_code = KAFKA_ELECTION_NOT_NEEDED;
        row->error_message = SPAN_LITERAL("Leader election not needed for topic partition.");
    }
}

static bool elect_named(const struct kafka_request *request,
                        const struct elect_leaders_request_topic *wanted,
                        struct elect_leaders_response_topic *row) {
    const struct broker *broker = request->userdata;
    const struct topic *topic = topic_log_find(broker->log, wanted->topic);
    int32_t count = MAX(wanted->partitions_count, 0);

    row->topic = wanted->topic;
    row->partition_result = KAFKA_NEW(request->arena, elect_leaders_response_partition, count);
    for (int32_t i = 0; row->partition_result && i < count; i++) {
        elect(request, topic, wanted->topic, wanted->partitions[i], &row->partition_result[i]);
        row->partition_result_count++;
    }
    return row->partition_result != NULL;
}

/* All topics, none of which needs an election: those are left out, as Kafka does it. */
static bool elect_all(const struct kafka_request *request, struct elect_leaders_response *answer) {
    const struct broker *broker = request->userdata;
    size_t position = 0;
    size_t count = 0;
    const struct topic *topic;

    while (topic_log_next(broker->log, &position)) {
        count++;
    }
    answer->replica_election_results =
        KAFKA_NEW(request->arena, elect_leaders_response_topic, count);
    position = 0;
    while (answer->replica_election_results && (topic = topic_log_next(broker->log, &position))) {
        struct elect_leaders_response_topic *row =
            &answer->replica_election_results[answer->replica_election_results_count++];

        row->topic = span_of(arena_dup(request->arena, topic->name, strlen(topic->name)),
                             strlen(topic->name));
    }
    return answer->replica_election_results != NULL;
}

void handle_elect_leaders(struct kafka_request *request) {
    const struct elect_leaders_request *body = request->body;
    struct elect_leaders_response *answer = KAFKA_NEW(request->arena, elect_leaders_response, 1);
    int32_t count = body->topic_partitions_count;
    bool ok = answer != NULL;

    if (ok && count != 0 && body->timeout_ms <= 0) {
        answer->error_code = KAFKA_REQUEST_TIMED_OUT; /* the time is over before it begins */
    } else if (ok && count != 0 && body->election_type != ELECTION_PREFERRED &&
               body->election_type != ELECTION_UNCLEAN) {
        answer->error_code = KAFKA_INVALID_REQUEST;
    }
    if (ok && count < 0) {
        ok = answer->error_code || elect_all(request, answer);
    } else if (ok) {
        answer->replica_election_results =
            KAFKA_NEW(request->arena, elect_leaders_response_topic, count);
        ok = answer->replica_election_results != NULL;
    }
    for (int32_t i = 0; ok && i < count; i++) {
        ok = elect_named(request, &body->topic_partitions[i], &answer->replica_election_results[i]);
        answer->replica_election_results_count++;
    }
    if (!ok) {
        out_of_memory(request);
        return;
    }
    kafka_respond(request, answer);
}

/* ---- AlterPartitionReassignments, ListPartitionReassignments ---- */

static void reassign(const struct kafka_request *request, const struct topic *topic,
                     struct span name,
                     const struct alter_partition_reassignments_request_partition *wanted,
                     struct alter_partition_reassignments_response_partition *row) {
    const struct alter_partition_reassignments_request *body = request->body;
    const char *message = NULL;

    row->partition_index = wanted->partition_index;
    if (body->timeout_ms <= 0) {
        row->error_code = KAFKA_REQUEST_TIMED_OUT;
    } else if (!topic) {
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        message = arena_printf(request->arena, "Unable to find a topic named %.*s.",
                               (int)MIN(name.size, 300U), name.size ? (const char *)name.data : "");
    } else if (wanted->partition_index < 0 || wanted->partition_index >= topic->partition_count) {
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        message = arena_printf(request->arena, "Unable to find partition %s:%d.", topic->name,
                               wanted->partition_index);
    } else if (wanted->replicas_count < 0) { /* null: call off what is under way */
        row->error_code = KAFKA_NO_REASSIGNMENT_IN_PROGRESS;
    } else {
        row->error_code =
            replicas_check(request, wanted->replicas, wanted->replicas_count, &message);
    }
    row->error_message = message ? span_text(message) : SPAN_NULL;
}

static bool reassign_topic(const struct kafka_request *request,
                           const struct alter_partition_reassignments_request_topic *wanted,
                           struct alter_partition_reassignments_response_topic *row) {
    const struct broker *broker = request->userdata;
    const struct topic *topic = topic_log_find(broker->log, wanted->name);
    int32_t count = MAX(wanted->partitions_count, 0);

    row->name = wanted->name;
    row->partitions =
        KAFKA_NEW(request->arena, alter_partition_reassignments_response_partition, count);
    for (int32_t i = 0; row->partitions && i < count; i++) {
        reassign(request, topic, wanted->name, &wanted->partitions[i], &row->partitions[i]);
        row->partitions_count++;
    }
    return row->partitions != NULL;
}

void handle_alter_partition_reassignments(struct kafka_request *request) {
    const struct alter_partition_reassignments_request *body = request->body;
    struct alter_partition_reassignments_response *answer =
        KAFKA_NEW(request->arena, alter_partition_reassignments_response, 1);
    int32_t count = MAX(body->topics_count, 0);
    bool ok = answer != NULL;

    if (ok) {
        answer->error_code = count && body->timeout_ms <= 0 ? KAFKA_REQUEST_TIMED_OUT : 0;
        answer->error_message = count ? SPAN_NULL : SPAN_LITERAL("");
        answer->allow_replication_factor_change =
            count == 0 || answer->error_code || body->allow_replication_factor_change;
        answer->responses =
            KAFKA_NEW(request->arena, alter_partition_reassignments_response_topic, count);
        ok = answer->responses != NULL;
    }
    for (int32_t i = 0; ok && i < count; i++) {
        ok = reassign_topic(request, &body->topics[i], &answer->responses[i]);
        answer->responses_count++;
    }
    if (!ok) {
        out_of_memory(request);
        return;
    }
    kafka_respond(request, answer);
}

/* Nothing ever moves. */
void handle_list_partition_reassignments(struct kafka_request *request) {
    struct list_partition_reassignments_response *answer =
        KAFKA_NEW(request->arena, list_partition_reassignments_response, 1);

    if (!answer) {
        out_of_memory(request);
        return;
    }
    answer->error_message = SPAN_NULL;
    kafka_respond(request, answer);
}
