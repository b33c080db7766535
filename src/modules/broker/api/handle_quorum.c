/*
 * The controller's side of one node: DescribeQuorum, UpdateFeatures, UnregisterBroker. This node is
 * the one voter of the quorum; the log of the cluster's metadata is the registry of the topic log.
 */
#include "config_view.h"
#include "java_map.h"
#include "places.h"

#include <errno.h>

#define QUORUM_TOPIC   "__cluster_metadata"
#define REGISTRY_TOPIC "__eventbox_registry"

enum { VERSION_RESULTS = 2, UPGRADE = 1, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE };

/* ---- DescribeQuorum ---- */

static bool describe_voter(const struct kafka_request *request,
                           struct describe_quorum_response_partition *row) {
    const struct broker *broker = request->userdata;
    struct topic *registry = topic_log_find(broker->log, span_text(REGISTRY_TOPIC));
    struct partition *partition = registry ? partition_get(registry, 0) : NULL;
    struct describe_quorum_response_replica_state *voter =
        KAFKA_NEW(request->arena, describe_quorum_response_replica_state, 1);

    if (!voter) {
        return false;
    }
    row->leader_id = broker->node_id;
    row->leader_epoch = partition ? partition->leader_epoch : 0;
    row->high_watermark = partition ? partition->high_watermark : 0;
    voter->replica_id = broker->node_id;
    voter->log_end_offset = partition ? partition->log_end_offset : 0;
    voter->last_fetch_timestamp = clock_wall_ms(broker->clock);
    voter->last_caught_up_timestamp = voter->last_fetch_timestamp;
    row->current_voters = voter;
    row->current_voters_count = 1;
    return true;
}

static bool describe_nodes(const struct kafka_request *request,
                           struct describe_quorum_response *answer) {
    const struct broker *broker = request->userdata;
    struct describe_quorum_response_node *node =
        KAFKA_NEW(request->arena, describe_quorum_response_node, 1);
    struct describe_quorum_response_listener *listener =
        KAFKA_NEW(request->arena, describe_quorum_response_listener, 1);

    if (!node || !listener) {
        return false;
    }
    listener->name = SPAN_LITERAL("CONTROLLER");
    listener->host = span_text(request->advertised_host);
    listener->port = (uint16_t)request->advertised_port;
    node->node_id = broker->node_id;
    node->listeners = listener;
    node->listeners_count = 1;
    answer->nodes = node;
    answer->nodes_count = 1;
    return true;
}

/* Exactly the one partition of the metadata may be asked for; anything else is unknown. */
static bool names_the_quorum(const struct describe_quorum_request *body) {
    return body->topics_count == 1 &&
           span_equal(body->topics[0].topic_name, span_text(QUORUM_TOPIC)) &&
           body->topics[0].partitions_count == 1 &&
           body->topics[0].partitions[0].partition_index == 0;
}

static bool describe_quorum_topic(const struct kafka_request *request, bool known,
                                  const struct describe_quorum_request_topic *wanted,
                                  struct describe_quorum_response_topic *row) {
    int32_t count = MAX(wanted->partitions_count, 0);
    bool ok;

    row->topic_name = wanted->topic_name;
    row->partitions = KAFKA_NEW(request->arena, describe_quorum_response_partition, count);
    ok = row->partitions != NULL;
    for (int32_t i = 0; ok && i < count; i++) {
        struct describe_quorum_response_partition *partition = &row->partitions[i];

        partition->partition_index = wanted->partitions[i].partition_index;
        if (known) {
            partition->error_message = SPAN_LITERAL("");
            ok = describe_voter(request, partition);
        } else {
            partition->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            partition->error_message =
                SPAN_LITERAL("This server does not host this topic-partition.");
        }
        row->partitions_count++;
    }
    return ok;
}

void handle_describe_quorum(struct kafka_request *request) {
    const struct describe_quorum_request *body = request->body;
    struct describe_quorum_response *answer =
        KAFKA_NEW(request->arena, describe_quorum_response, 1);
    int32_t count = MAX(body->topics_count, 0);
    bool known = names_the_quorum(body);
    bool ok = answer != NULL;

    if (ok) {
        answer->error_message = SPAN_LITERAL("");
        answer->topics = KAFKA_NEW(request->arena, describe_quorum_response_topic, count);
        ok = answer->topics && (!known || describe_nodes(request, answer));
    }
    for (int32_t i = 0; ok && i < count; i++) {
        ok = describe_quorum_topic(request, known, &body->topics[i], &answer->topics[i]);
        answer->topics_count++;
    }
    if (!ok) {
        out_of_memory(request);
        return;
    }
    kafka_respond(request, answer);
}

/* ---- UpdateFeatures ---- */

/* Why @update cannot be; NULL when it asks for what is so already. */
static const char *feature_fault(const struct kafka_request *request,
                                 const struct update_features_request_feature *update) {
    const struct broker *broker = request->userdata;
    const struct kafka_feature *feature = kafka_feature_find(update->feature);
    struct arena *arena = request->arena;
    int type = request->version > 0 ? update->upgrade_type : UPGRADE; /* Kafka reads no other */
    char *what = arena_printf(arena, "Invalid update version %d for feature %.*s.",
                              update->max_version_level, (int)MIN(update->feature.size, 100U),
                              update->feature.size ? (const char *)update->feature.data : "");

    if (type < UPGRADE || type > UNSAFE_DOWNGRADE) {
        return arena_printf(arena, "%s The controller does not support the given upgrade type.",
                            what);
    }
    if (update->max_version_level < 0) {
        return arena_printf(arena, "%s A feature version cannot be less than 0.", what);
    }
    if (!feature && update->max_version_level == 0) {
        return arena_printf(arena, "%s Feature %.*s not found.", what,
                            (int)MIN(update->feature.size, 100U),
                            update->feature.size ? (const char *)update->feature.data : "");
    }
    if (!feature) {
        return arena_printf(arena, "%s Local controller %d does not support this feature.", what,
                            broker->node_id);
    }
    if (update->max_version_level > feature->max || update->max_version_level < feature->min) {
        return arena_printf(arena, "%s Local controller %d only supports versions %d-%d", what,
                            broker->node_id, feature->min, feature->max);
    }
    if (update->max_version_level < feature->level && type == UNSAFE_DOWNGRADE) {
        return arena_printf(arena,
                            "Unsupported %s downgrade from %d to %d. Unsafe metadata downgrade is "
                            "not supported in this version.",
                            feature->name, feature->level, update->max_version_level);
    }
    if (update->max_version_level < feature->level) {
        return type == UPGRADE
                   ? arena_printf(arena,
                                  "%s Can't downgrade the version of this feature without setting "
                                  "the upgrade type to either safe or unsafe downgrade.",
                                  what)
                   : arena_printf(arena,
                                  "Unsupported %s downgrade from %d to %d. Refusing to perform "
                                  "the requested downgrade because it might delete metadata "
                                  "information.",
                                  feature->name, feature->level, update->max_version_level);
    }
    return NULL;
}

/* The last update of each feature, which counts; NULL where none is named twice. */
static int find_last_updates(const struct kafka_request *request, int32_t count,
                             uint32_t **ret_last) {
    const struct update_features_request *body = request->body;
    struct place *places = arena_alloc(request->arena, MAX((size_t)count, 1u) * sizeof *places);

    if (!places) {
        return err_origin(-ENOMEM);
    }
    for (int32_t i = 0; i < count; i++) {
        places[i].topic = body->feature_updates[i].feature;
    }
    return places_last(request->arena, places, (uint32_t)count, ret_last);
}

/* Of several faults Kafka tells the first of a hash map; in one place of it, what came first. */
struct first_fault {
    const char *text; /* NULL: none */
    uint32_t place, index;
};

static void note_fault(struct first_fault *first, const char *text, uint32_t place,
                       uint32_t index) {
    if (text &&
        (!first->text || place < first->place || (place == first->place && index < first->index))) {
        *first = (struct first_fault){text, place, index};
    }
}

/* The rows of @answer, and what is wrong. @firsts: where a feature was named first, plus one. */
static void update_features(const struct kafka_request *request, const uint32_t *last,
                            uint32_t *firsts, int32_t count,
                            struct update_features_response *answer, struct first_fault *ret) {
    const struct update_features_request *body = request->body;

    for (int32_t i = 0; i < count; i++) {
        struct span feature = body->feature_updates[i].feature;
        uint32_t final = last ? last[i] : (uint32_t)i;

        firsts[final] = firsts[final] ? firsts[final] : (uint32_t)i + 1;
        if (final != (uint32_t)i) {
            continue;
        }
        note_fault(ret, feature_fault(request, &body->feature_updates[i]),
                   java_map_place(feature, count), firsts[i]);
        answer->results[answer->results_count].feature = feature;
        answer->results[answer->results_count++].error_message = SPAN_LITERAL("NONE");
    }
}

/* The levels are those that this binary serves: to ask for them is fine, to change them is not. */
void handle_update_features(struct kafka_request *request) {
    const struct update_features_request *body = request->body;
    struct update_features_response *answer =
        KAFKA_NEW(request->arena, update_features_response, 1);
    int32_t count = MAX(body->feature_updates_count, 0);
    uint32_t *firsts = arena_alloc(request->arena, MAX((size_t)count, 1u) * sizeof *firsts);
    struct first_fault fault = {0};
    uint32_t *last;

    if (answer) {
        answer->results = KAFKA_NEW(request->arena, update_features_response_result, count);
    }
    if (!answer || !answer->results || !firsts || find_last_updates(request, count, &last)) {
        out_of_memory(request);
        return;
    }
    answer->error_message = SPAN_NULL;
    update_features(request, last, firsts, count, answer, &fault);
    if (fault.text) {
        answer->error_code = KAFKA_INVALID_UPDATE_VERSION;
        answer->results_count = 0;
        answer->error_message = span_text(
            arena_printf(request->arena,
                         "The update failed for all features since the following feature had an "
                         "error: %s",
                         fault.text));
    } else if (request->version >= VERSION_RESULTS) {
        answer->results_count = 0;
    }
    kafka_respond(request, answer);
}

/* ---- UnregisterBroker ---- */

void handle_unregister_broker(struct kafka_request *request) {
    const struct broker *broker = request->userdata;
    const struct unregister_broker_request *body = request->body;
    struct unregister_broker_response *answer =
        KAFKA_NEW(request->arena, unregister_broker_response, 1);

    if (!answer) {
        out_of_memory(request);
        return;
    }
    if (body->broker_id == broker->node_id) {
        answer->error_code = KAFKA_POLICY_VIOLATION;
        answer->error_message = SPAN_LITERAL("The one broker of this cluster stays registered.");
    } else {
        answer->error_code = KAFKA_BROKER_ID_NOT_REGISTERED;
        answer->error_message = span_text(arena_printf(
            request->arena, "Broker ID %d is not currently registered", body->broker_id));
    }
    kafka_respond(request, answer);
}
