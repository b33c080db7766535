/* DescribeCluster, FindCoordinator, InitProducerId: what this one node is. */
#include "api_private.h"

enum {
    VERSION_BATCHED = 4, /* FindCoordinator with several keys */
    KEY_TYPE_GROUP = 0,
    KEY_TYPE_TRANSACTION = 1,
    KEY_TYPE_SHARE = 2,
    ENDPOINT_BROKERS = 1,
    ENDPOINT_CONTROLLERS = 2,
    /* Bits of the operations that nobody is denied: 1 << Kafka's AclOperation. */
    CLUSTER_OPERATIONS = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
};

/* ---- DescribeCluster ---- */

void handle_describe_cluster(struct kafka_request *request) {
    const struct broker *broker = request->userdata;
    const struct describe_cluster_request *body = request->body;
    struct describe_cluster_response *answer =
        KAFKA_NEW(request->arena, describe_cluster_response, 1);
    struct describe_cluster_response_broker *self =
        KAFKA_NEW(request->arena, describe_cluster_response_broker, 1);

    if (!answer || !self) {
        out_of_memory(request);
        return;
    }
    if (body->endpoint_type != ENDPOINT_BROKERS) {
        bool controller = body->endpoint_type == ENDPOINT_CONTROLLERS;

        answer->error_code =
            controller ? KAFKA_MISMATCHED_ENDPOINT_TYPE : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
        answer->error_message =
            controller ? SPAN_LITERAL("The request was sent to an endpoint of type BROKER, but we "
                                      "wanted an endpoint of type CONTROLLER")
                       : span_text(arena_printf(request->arena, "Unsupported endpoint type %d",
                                                body->endpoint_type));
        answer->cluster_id = SPAN_LITERAL("");
        answer->controller_id = -1;
        kafka_respond(request, answer);
        return;
    }
    answer->cluster_id = span_text(broker->cluster_id);
    answer->controller_id = broker->node_id;
    self->broker_id = broker->node_id;
    self->host = span_text(request->advertised_host);
    self->port = request->advertised_port;
    answer->brokers = self;
    answer->brokers_count = 1;
    if (body->include_cluster_authorized_operations) {
        answer->cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    kafka_respond(request, answer);
}

/* ---- FindCoordinator ---- */

/*
 * Transactions are not served: 53 is the one code that every client takes as final at once, where
 * others retry until a timeout that tells nobody anything.
 */
static int16_t coordinator_error(struct broker *broker, int8_t key_type, int16_t version,
                                 struct span *ret_message) {
    int r = 0;

    /* So says Kafka where nothing is wrong. */
    *ret_message = version < VERSION_BATCHED ? SPAN_LITERAL("NONE") : SPAN_LITERAL("");
    if (key_type == KEY_TYPE_TRANSACTION) {
        *ret_message = SPAN_LITERAL("Transactions are not served by this broker.");
        return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    }
    if (key_type == KEY_TYPE_SHARE && version >= VERSION_BATCHED) {
        return KAFKA_INVALID_REQUEST; /* of a key that names no partition, Kafka says no more */
    }
    if (key_type != KEY_TYPE_GROUP) {
        *ret_message = span_text(KAFKA_INVALID_REQUEST_TEXT);
        return KAFKA_INVALID_REQUEST;
    }
    if (broker->config && broker->config->prepare_coordinator) {
        r = broker->config->prepare_coordinator(broker->config->group_userdata);
    }
    /* Whatever the log is like, this node is asked: groups are in memory. What cannot be kept in a
     * failed log, a commit or an assignment, is refused by itself. */
    if (r != 0 && r != TOPIC_E_FAILED) {
        *ret_message = SPAN_LITERAL("The topic of the offsets cannot be made now.");
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    return 0;
}

void handle_find_coordinator(struct kafka_request *request) {
    struct broker *broker = request->userdata;
    const struct find_coordinator_request *body = request->body;
    struct find_coordinator_response *answer =
        KAFKA_NEW(request->arena, find_coordinator_response, 1);
    struct find_coordinator_response_coordinator *rows =
        KAFKA_NEW(request->arena, find_coordinator_response_coordinator,
                  MAX(body->coordinator_keys_count, 1));
    struct span message;
    int16_t error = coordinator_error(broker, body->key_type, request->version, &message);

    if (!answer || !rows) {
        out_of_memory(request);
        return;
    }
    answer->error_code = error;
    answer->error_message = message;
    answer->node_id = error ? -1 : broker->node_id;
    answer->host = span_text(error ? "" : request->advertised_host);
    answer->port = error ? -1 : request->advertised_port;
    answer->coordinators = rows;
    for (int32_t i = 0; i < body->coordinator_keys_count; i++) {
        rows[i].key = body->coordinator_keys[i];
        rows[i].node_id = answer->node_id;
        rows[i].host = answer->host;
        rows[i].port = answer->port;
        rows[i].error_code = error;
        rows[i].error_message = message;
        answer->coordinators_count++;
    }
    kafka_respond(request, answer);
}

/* ---- InitProducerId ---- */

void handle_init_producer_id(struct kafka_request *request) {
    const struct broker *broker = request->userdata;
    const struct init_producer_id_request *body = request->body;
    struct init_producer_id_response *answer =
        KAFKA_NEW(request->arena, init_producer_id_response, 1);
    int64_t producer_id;
    int r;

    if (!answer) {
        out_of_memory(request);
        return;
    }
    answer->producer_epoch = -1;
    if (body->transactional_id.data) {
        answer->error_code = body->transactional_id.size
                                 ? KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                                 : KAFKA_INVALID_REQUEST;
    } else if ((body->producer_id == -1) != (body->producer_epoch == -1)) {
        answer->error_code = KAFKA_INVALID_REQUEST; /* both or none (KIP-360) */
    } else if ((r = topic_log_producer_id(broker->log, &producer_id)) != 0) {
        /* The next block of ids is on its way or waits for room; in a failed log it never comes. */
        answer->error_code =
            r == TOPIC_E_FAILED ? KAFKA_STORAGE_ERROR : KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    } else {
        answer->producer_id = producer_id;
        answer->producer_epoch = 0;
    }
    kafka_respond(request, answer);
}
