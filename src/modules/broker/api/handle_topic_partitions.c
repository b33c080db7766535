/*
 * DescribeTopicPartitions: topics in the order of their names, at most so many partitions an
 * answer, and a cursor where the rest begins. Java's describeTopics() asks by it.
 */
#include "api_private.h"

#include <stdlib.h>

enum {
    PARTITIONS_MAX = 2000, /* of Kafka's max.request.partition.size.limit */
    TOPIC_OPERATIONS = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
};

static int compare_names(const void *a, const void *b) {
    const struct span *x = a;
    const struct span *y = b;
    size_t shorter = MIN(x->size, y->size);
    int order = shorter ? memcmp(x->data, y->data, shorter) : 0;

    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* The names asked for, or all, sorted, each once, from the cursor's on. */
static struct span *names_of(const struct kafka_request *request, int32_t *ret_count) {
    const struct describe_topic_partitions_request *body = request->body;
    const struct broker *broker = request->userdata;
    const struct topic *topic;
    size_t position = 0;
    size_t count = (size_t)MAX(body->topics_count, 0);
    bool all = count == 0;
    struct span *names;
    int32_t kept = 0;

    while (all && topic_log_next(broker->log, &position)) {
        count++;
    }
    names = arena_alloc(request->arena, (count + 1) * sizeof *names);
    position = 0;
    for (size_t i = 0; names && i < count; i++) {
        if (!all) {
            names[i] = body->topics[i].name;
        } else if ((topic = topic_log_next(broker->log, &position))) {
            names[i] = span_of(arena_dup(request->arena, topic->name, strlen(topic->name)),
                               strlen(topic->name));
        }
    }
    if (names) {
        qsort(names, count, sizeof *names, compare_names);
    }
    for (size_t i = 0; names && i < count; i++) {
        bool repeated = kept > 0 && span_equal(names[kept - 1], names[i]);
        bool before = body->cursor && compare_names(&names[i], &body->cursor->topic_name) < 0;

        if (!repeated && !before) {
            names[kept++] = names[i];
        }
    }
    *ret_count = kept;
    return names;
}

static bool fill_partition(const struct kafka_request *request, const struct partition *partition,
                           struct describe_topic_partitions_response_partition *row) {
    const struct broker *broker = request->userdata;
    int32_t *node = arena_alloc(request->arena, sizeof *node);

    if (!node) {
        return false;
    }
    *node = broker->node_id;
    row->partition_index = partition->index;
    row->leader_id = broker->node_id;
    row->leader_epoch = partition->leader_epoch;
    row->replica_nodes = row->isr_nodes = node;
    row->replica_nodes_count = row->isr_nodes_count = 1;
    row->eligible_leader_replicas_count = row->last_known_elr_count = 0;
    return true;
}

static bool set_cursor(const struct kafka_request *request,
                       struct describe_topic_partitions_response *answer, struct span name,
                       int32_t index) {
    answer->next_cursor = KAFKA_NEW(request->arena, describe_topic_partitions_response_cursor, 1);
    if (answer->next_cursor) {
        answer->next_cursor->topic_name = name;
        answer->next_cursor->partition_index = index;
    }
    return answer->next_cursor != NULL;
}

/* Adds the topic's partitions from @first on, of which *left still fit. */
static bool add_topic(const struct kafka_request *request, const struct topic *topic, int32_t first,
                      int32_t *left, struct describe_topic_partitions_response *answer,
                      struct describe_topic_partitions_response_topic *row) {
    int32_t count = MIN(MAX(topic->partition_count - first, 0), *left);
    bool ok;

    row->topic_id = topic->id;
    row->is_internal = topic->internal && !topic_name_reserved_ours(row->name);
    row->partitions =
        KAFKA_NEW(request->arena, describe_topic_partitions_response_partition, (size_t)count);
    ok = row->partitions != NULL;
    for (int32_t i = 0; ok && i < count; i++) {
        ok = fill_partition(request, topic->partitions[first + i], &row->partitions[i]);
        row->partitions_count++;
    }
    *left -= count;
    if (ok && first + count < topic->partition_count) {
        ok = set_cursor(request, answer, row->name, first + count);
    }
    return ok;
}

static bool add_topics(const struct kafka_request *request, const struct span *names, int32_t count,
                       struct describe_topic_partitions_response *answer) {
    const struct describe_topic_partitions_request *body = request->body;
    const struct broker *broker = request->userdata;
    int32_t left = MIN(MAX(body->response_partition_limit, 1), PARTITIONS_MAX);
    bool ok = true;

    for (int32_t i = 0; ok && !answer->next_cursor && i < count; i++) {
        struct describe_topic_partitions_response_topic *row;
        const struct topic *topic = topic_log_find(broker->log, names[i]);
        bool resumed = body->cursor && span_equal(names[i], body->cursor->topic_name);

        if (left == 0) {
            return set_cursor(request, answer, names[i], 0);
        }
        row = &answer->topics[answer->topics_count++];
        row->name = names[i];
        row->topic_authorized_operations = TOPIC_OPERATIONS;
        if (topic) {
            ok = add_topic(request, topic, resumed ? body->cursor->partition_index : 0, &left,
                           answer, row);
        } else {
            row->error_code = topic_name_valid(names[i]) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                         : KAFKA_INVALID_TOPIC_EXCEPTION;
        }
    }
    return ok;
}

/*
 * A cursor stands in a topic that is asked for, and not before its first partition. Kafka takes a
 * request without one for one that goes on at the empty name, and fails where that is asked for.
 */
static int16_t check_cursor(const struct describe_topic_partitions_request *body) {
    struct span first = body->cursor ? body->cursor->topic_name : SPAN_LITERAL("");
    bool named = false;

    for (int32_t i = 0; i < body->topics_count; i++) {
        named = named || span_equal(body->topics[i].name, first);
    }
    if (!body->cursor) {
        return named ? KAFKA_UNKNOWN_SERVER_ERROR : 0;
    }
    named = named || body->topics_count <= 0;
    return !named || body->cursor->partition_index < 0 ? KAFKA_INVALID_REQUEST : 0;
}

/* The error is the request's: each topic asked for says so. */
static bool refuse_topics(const struct kafka_request *request, int16_t error,
                          struct describe_topic_partitions_response *answer) {
    const struct describe_topic_partitions_request *body = request->body;

    answer->topics = KAFKA_NEW(request->arena, describe_topic_partitions_response_topic,
                               (size_t)MAX(body->topics_count, 0));
    for (int32_t i = 0; answer->topics && i < body->topics_count; i++) {
        answer->topics[i].name = body->topics[i].name;
        answer->topics[i].error_code = error;
        answer->topics_count++;
    }
    return answer->topics != NULL;
}

void handle_describe_topic_partitions(struct kafka_request *request) {
    const struct describe_topic_partitions_request *body = request->body;
    struct describe_topic_partitions_response *answer =
        KAFKA_NEW(request->arena, describe_topic_partitions_response, 1);
    int32_t count;
    struct span *names;
    int16_t error = check_cursor(body);
    bool ok = answer != NULL;

    if (ok && error) {
        ok = refuse_topics(request, error, answer);
    } else if (ok) {
        names = names_of(request, &count);
        answer->topics = names ? KAFKA_NEW(request->arena, describe_topic_partitions_response_topic,
                                           (size_t)count)
                               : NULL;
        ok = answer->topics && add_topics(request, names, count, answer);
    }
    if (!ok) {
        out_of_memory(request);
        return;
    }
    kafka_respond(request, answer);
}
