/*
 * Metadata. Topics come into being here: a name asked for with the flag (implied before
 * version 4) is created, and the answer waits until that is durable; asking for all creates none.
 *
 * A request that names any topic by its id is about ids alone, as in Kafka; a topic that is named
 * twice is told once.
 */
#include "places.h"

#include "api_private.h"

#include <errno.h>

enum {
    VERSION_IDS = 10,          /* in the layout */
    VERSION_IDS_ANSWERED = 12, /* and as a question */
    OWN_TOPIC_PARTITIONS = 50, /* of Kafka's own topics */
    CLUSTER_OPERATIONS = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
    TOPIC_OPERATIONS = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
};

/* One topic being created for this request. */
struct creation {
    struct topic_log_request request;
    struct lookup *lookup;
    int32_t row;
};

/* A request that waits for creations. */
struct lookup {
    struct kafka_request *request;
    struct metadata_response *answer;
    unsigned pending;
    bool ready; /* every row was begun */
};

/* This node is leader, replica and in-sync replica of everything. */
static int32_t *replicas_of(const struct broker *broker) {
    return (int32_t *)(uintptr_t)&broker->node_id;
}

static bool fill_topic(struct lookup *lookup, struct metadata_response_topic *row,
                       const struct topic *topic) {
    const struct broker *broker = lookup->request->userdata;
    const struct metadata_request *body = lookup->request->body;
    struct metadata_response_partition *partitions =
        KAFKA_NEW(lookup->request->arena, metadata_response_partition, topic->partition_count);

    row->name = span_text(topic->name);
    row->topic_id = topic->id;
    row->is_internal = topic->internal;
    if (body->include_topic_authorized_operations) {
        row->topic_authorized_operations = TOPIC_OPERATIONS;
    }
    if (!partitions) {
        return false;
    }
    row->partitions = partitions;
    row->partitions_count = topic->partition_count;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        partitions[i].partition_index = i;
        partitions[i].leader_id = broker->node_id;
        partitions[i].leader_epoch = topic->partitions[i]->leader_epoch;
        partitions[i].replica_nodes = partitions[i].isr_nodes = replicas_of(broker);
        partitions[i].replica_nodes_count = partitions[i].isr_nodes_count = 1;
    }
    return true;
}

static void finish_if_ready(struct lookup *lookup) {
    if (lookup->ready && lookup->pending == 0) {
        kafka_respond(lookup->request, lookup->answer);
    }
}

static void on_created(struct topic_log_request *created, int status) {
    struct creation *creation = container_of(created, struct creation, request);
    struct lookup *lookup = creation->lookup;
    struct metadata_response_topic *row = &lookup->answer->topics[creation->row];

    if (status || !created->topic) {
        row->error_code = KAFKA_LEADER_NOT_AVAILABLE; /* the client asks again */
    } else {
        broker_event(lookup->request->userdata, KAFKA_SERVER_TOPIC_CREATED, lookup->request,
                     "%s with %d partitions, on first use", created->topic->name,
                     created->topic->partition_count);
        if (!fill_topic(lookup, row, created->topic)) {
            row->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
        }
    }
    lookup->pending--;
    finish_if_ready(lookup);
}

/* Kafka's own topics are made with the partitions and configs that it has for them. */
static struct topic_spec spec_of(const struct broker *broker, struct span name) {
    static const struct topic_config_entry transactions[] = {
        {"cleanup.policy", "compact"},
        {"compression.type", "uncompressed"},
        {"min.insync.replicas", "1"},
        {"segment.bytes", "104857600"},
        {"unclean.leader.election.enable", "false"},
        {0}};
    static const struct topic_config_entry shares[] = {
        {"cleanup.policy", "delete"},   {"compression.type", "producer"},
        {"min.insync.replicas", "1"},   {"retention.ms", "-1"},
        {"segment.bytes", "104857600"}, {0}};
    struct topic_spec spec = {.name = name, .partition_count = broker->default_partitions};

    if (topic_name_internal(name)) {
        spec.internal = true;
        spec.partition_count = OWN_TOPIC_PARTITIONS;
        spec.configs =
            span_equal(name, SPAN_LITERAL("__transaction_state")) ? transactions : shares;
    }
    return spec;
}

/* The name has to live until the topic is durable: the request's frame does. */
static int16_t create(struct lookup *lookup, struct span name, int32_t row) {
    const struct broker *broker = lookup->request->userdata;
    struct creation *creation = arena_alloc(lookup->request->arena, sizeof *creation);
    struct topic_spec spec = spec_of(broker, name);
    int r;

    if (!creation) {
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    creation->request.done = on_created;
    creation->lookup = lookup;
    creation->row = row;
    r = topic_log_create(broker->log, &spec, &creation->request);
    if (r) {
        return kafka_error_of(r);
    }
    lookup->pending++;
    return 0;
}

static bool may_create(const struct kafka_request *request, struct span name) {
    const struct broker *broker = request->userdata;
    const struct metadata_request *body = request->body;

    return broker->auto_create_topics && !topic_log_failed(broker->log) &&
           !topic_name_prohibited(name) &&
           (request->version < 4 || body->allow_auto_topic_creation);
}

static bool is_offsets_topic(struct span name) {
    return span_equal(name, SPAN_LITERAL("__consumer_offsets"));
}

/* The coordinator makes its topic itself. */
static struct topic *make_offsets_topic(const struct broker *broker, struct span name) {
    const struct kafka_server_config *config = broker->config;
    bool made = config && config->prepare_coordinator &&
                config->prepare_coordinator(config->group_userdata) == 0;

    return made ? topic_log_find(broker->log, name) : NULL;
}

static bool add_named(struct lookup *lookup, struct span name) {
    struct metadata_response *answer = lookup->answer;
    const struct broker *broker = lookup->request->userdata;
    const struct metadata_request *body = lookup->request->body;
    int32_t index = answer->topics_count++;
    struct metadata_response_topic *row = &answer->topics[index];
    struct topic *topic;

    row->name = name;
    row->is_internal = topic_name_internal(name);
    if (body->include_topic_authorized_operations) {
        row->topic_authorized_operations = TOPIC_OPERATIONS;
    }
    if (!topic_name_valid(name)) {
        row->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;
        return true;
    }
    topic = topic_log_find(broker->log, name);
    if (!topic && is_offsets_topic(name) && may_create(lookup->request, name)) {
        topic = make_offsets_topic(broker, name);
    }
    if (topic) {
        return fill_topic(lookup, row, topic);
    }
    if (is_offsets_topic(name) || !may_create(lookup->request, name)) {
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    } else if (topic_name_collides(broker->log, name)) {
        row->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;
    } else {
        row->error_code = create(lookup, name, index);
    }
    return true;
}

static bool add_by_id(struct lookup *lookup, const struct uuid *id) {
    struct metadata_response *answer = lookup->answer;
    const struct broker *broker = lookup->request->userdata;
    struct metadata_response_topic *row = &answer->topics[answer->topics_count++];
    struct topic *topic = topic_log_find_id(broker->log, id);

    if (topic) {
        return fill_topic(lookup, row, topic);
    }
    row->topic_id = *id;
    row->name = SPAN_NULL;
    row->error_code = KAFKA_UNKNOWN_TOPIC_ID;
    return true;
}

static bool add_all(struct lookup *lookup) {
    const struct broker *broker = lookup->request->userdata;
    struct metadata_response *answer = lookup->answer;
    size_t position = 0;
    size_t count = 0;
    struct topic *topic;

    while (topic_log_next(broker->log, &position)) {
        count++;
    }
    answer->topics = KAFKA_NEW(lookup->request->arena, metadata_response_topic, count);
    if (!answer->topics) {
        return false;
    }
    position = 0;
    while ((topic = topic_log_next(broker->log, &position))) {
        if (!fill_topic(lookup, &answer->topics[answer->topics_count++], topic)) {
            return false;
        }
    }
    return true;
}

static bool is_by_id(const struct metadata_request_topic *topic) {
    return !uuid_is_zero(&topic->topic_id);
}

/* Which topics are named again further on; NULL when none is. */
static int find_twins(const struct kafka_request *request, bool by_id, uint32_t **ret_last) {
    const struct metadata_request *body = request->body;
    uint32_t count = (uint32_t)body->topics_count;
    struct place *places = arena_alloc(request->arena, count * sizeof *places);

    if (!places) {
        return err_origin(-ENOMEM);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct metadata_request_topic *topic = &body->topics[i];

        places[i].topic =
            by_id ? span_of(topic->topic_id.bytes, sizeof topic->topic_id.bytes) : topic->name;
    }
    return places_last(request->arena, places, count, ret_last);
}

static bool add_requested(struct lookup *lookup) {
    const struct metadata_request *body = lookup->request->body;
    bool by_id = false;
    uint32_t *last;
    bool ok = true;

    for (int32_t i = 0; i < body->topics_count; i++) {
        by_id = by_id || is_by_id(&body->topics[i]);
    }
    lookup->answer->topics =
        KAFKA_NEW(lookup->request->arena, metadata_response_topic, body->topics_count);
    if (!lookup->answer->topics || find_twins(lookup->request, by_id, &last)) {
        return false;
    }
    for (int32_t i = 0; ok && i < body->topics_count; i++) {
        const struct metadata_request_topic *topic = &body->topics[i];

        if ((last && last[i] != (uint32_t)i) || (by_id && !is_by_id(topic))) {
            continue;
        }
        ok = by_id ? add_by_id(lookup, &topic->topic_id) : add_named(lookup, topic->name);
    }
    return ok;
}

/* A null name is a topic asked for by its id: from version 12 on, and with an id, but for one that
 * stands beside another with an id, when names do not count at all. */
static int16_t check_request(const struct kafka_request *request) {
    const struct metadata_request *body = request->body;
    bool by_id = false;
    bool nameless = false;

    for (int32_t i = 0; request->version >= VERSION_IDS && i < body->topics_count; i++) {
        if (request->version < VERSION_IDS_ANSWERED &&
            (!body->topics[i].name.data || is_by_id(&body->topics[i]))) {
            return KAFKA_INVALID_REQUEST;
        }
        by_id = by_id || is_by_id(&body->topics[i]);
        nameless = nameless || !body->topics[i].name.data;
    }
    return nameless && !by_id ? KAFKA_UNKNOWN_SERVER_ERROR : 0;
}

/* Nothing but the error, for every topic. */
static void refuse_request(struct kafka_request *request, int16_t error) {
    const struct metadata_request *body = request->body;
    struct metadata_response *answer = KAFKA_NEW(request->arena, metadata_response, 1);

    if (answer) {
        answer->topics = KAFKA_NEW(request->arena, metadata_response_topic, body->topics_count);
    }
    if (!answer || !answer->topics) {
        out_of_memory(request);
        return;
    }
    answer->error_code = error; /* from version 13 on */
    for (int32_t i = 0; i < body->topics_count; i++) {
        struct metadata_response_topic *row = &answer->topics[answer->topics_count++];

        row->error_code = error;
        row->name = body->topics[i].name.data ? body->topics[i].name : SPAN_LITERAL("");
        row->topic_id = body->topics[i].topic_id;
    }
    kafka_respond(request, answer);
}

void handle_metadata(struct kafka_request *request) {
    const struct broker *broker = request->userdata;
    const struct metadata_request *body = request->body;
    struct lookup *lookup = arena_alloc(request->arena, sizeof *lookup);
    struct metadata_response_broker *self = KAFKA_NEW(request->arena, metadata_response_broker, 1);
    struct metadata_response *answer = KAFKA_NEW(request->arena, metadata_response, 1);
    bool all = body->topics_count < 0 || (request->version == 0 && body->topics_count == 0);
    int16_t error = check_request(request);

    if (!lookup || !self || !answer) {
        out_of_memory(request);
        return;
    }
    if (error) {
        refuse_request(request, error);
        return;
    }
    lookup->request = request;
    lookup->answer = answer;
    self->node_id = broker->node_id;
    self->host = span_text(request->advertised_host);
    self->port = request->advertised_port;
    answer->brokers = self;
    answer->brokers_count = 1;
    answer->cluster_id = span_text(broker->cluster_id);
    answer->controller_id = broker->node_id;
    if (body->include_cluster_authorized_operations) {
        answer->cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    if (!(all ? add_all(lookup) : add_requested(lookup)) && lookup->pending == 0) {
        out_of_memory(request);
        return;
    }
    lookup->ready = true;
    finish_if_ready(lookup);
}
