/*
 * CreateTopics and DeleteTopics. Each topic of a request succeeds or fails by itself; the answer
 * leaves when the last change is durable, so that what was acknowledged survives a crash.
 */
#include "api_private.h"

enum { VERSION_DEFAULTS = 4, VERSION_CONFIGS = 5, VERSION_BY_ID = 6 };

/* One topic being created or deleted for a request. */
struct change {
    struct topic_log_request request;
    struct changes *changes;
    void *row;          /* of the answer */
    struct topic *held; /* of a deletion, with a reference */
};

struct changes {
    struct kafka_request *request;
    void *answer;
    unsigned pending;
    bool ready; /* every change was begun */
};

static void finish_if_ready(struct changes *changes) {
    if (changes->ready && changes->pending == 0) {
        kafka_respond(changes->request, changes->answer);
    }
}

static struct change *change_new(struct changes *changes, void *row,
                                 void (*done)(struct topic_log_request *request, int status)) {
    struct change *change = arena_alloc(changes->request->arena, sizeof *change);

    if (change) {
        change->request.done = done;
        change->changes = changes;
        change->row = row;
    }
    return change;
}

static struct changes *changes_new(struct kafka_request *request, void *answer) {
    struct changes *changes = arena_alloc(request->arena, sizeof *changes);

    if (changes) {
        changes->request = request;
        changes->answer = answer;
    }
    return changes;
}

/* ---- CreateTopics ---- */

static void refuse_create(struct create_topics_response_topic *row, int16_t error,
                          const char *message) {
    row->error_code = error;
    row->error_message = message ? span_text(message) : SPAN_NULL;
    row->num_partitions = row->replication_factor = -1;
    row->configs_count = -1;
}

/* The columns of version 5 and later: what the topic has become. */
static void fill_created(const struct kafka_request *request,
                         struct create_topics_response_topic *row, const struct topic *topic) {
    struct topic_config_row *rows;
    int32_t count;

    row->topic_id = topic->id;
    row->num_partitions = topic->partition_count;
    row->replication_factor = 1;
    if (request->version < VERSION_CONFIGS ||
        topic_config_rows(request->userdata, request->arena, topic, &rows, &count)) {
        return;
    }
    row->configs = KAFKA_NEW(request->arena, create_topics_response_config, count);
    for (int32_t i = 0; row->configs && i < count; i++) {
        row->configs[i].name = span_text(rows[i].name);
        row->configs[i].value = rows[i].value;
        row->configs[i].config_source = rows[i].source;
        row->configs_count++;
    }
}

static void on_created(struct topic_log_request *created, int status) {
    struct change *change = container_of(created, struct change, request);
    struct changes *changes = change->changes;

    if (status || !created->topic) {
        refuse_create(change->row, status ? kafka_error_of(status) : KAFKA_UNKNOWN_SERVER_ERROR,
                      NULL);
    } else {
        fill_created(changes->request, change->row, created->topic);
        broker_event(changes->request->userdata, KAFKA_SERVER_TOPIC_CREATED, changes->request,
                     "%s with %d partitions", created->topic->name,
                     created->topic->partition_count);
    }
    changes->pending--;
    finish_if_ready(changes);
}

/* Replicas can be asked for in any number and on any node: there is one of each. */
static int16_t count_partitions(const struct kafka_request *request,
                                const struct create_topics_request_topic *wanted,
                                int32_t *ret_count, const char **ret_message) {
    const struct broker *broker = request->userdata;

    *ret_count = wanted->num_partitions;
    if (wanted->assignments_count > 0) {
        if (wanted->num_partitions != -1 || wanted->replication_factor != -1) {
            *ret_message = "With assignments, partition count and replication factor must be -1.";
            return KAFKA_INVALID_REQUEST;
        }
        *ret_count = wanted->assignments_count;
        for (int32_t i = 0; i < wanted->assignments_count; i++) {
            if (wanted->assignments[i].partition_index < 0 ||
                wanted->assignments[i].partition_index >= wanted->assignments_count ||
                wanted->assignments[i].broker_ids_count < 1) {
                *ret_message = "Assignments must name each partition from 0 on, with a replica.";
                return KAFKA_INVALID_REPLICA_ASSIGNMENT;
            }
        }
        return 0;
    }
    if (wanted->replication_factor < -1 || wanted->replication_factor == 0) {
        *ret_message = "The replication factor must be larger than 0, or -1 for the default.";
        return KAFKA_INVALID_REPLICATION_FACTOR;
    }
    if (wanted->num_partitions == -1 && request->version >= VERSION_DEFAULTS) {
        *ret_count = broker->default_partitions;
    } else if (wanted->num_partitions < 1) {
        *ret_message = "The number of partitions must be larger than 0.";
        return KAFKA_INVALID_PARTITIONS;
    }
    return 0;
}

static int16_t check_name(const struct kafka_request *request,
                          const struct create_topics_request *body, int32_t index,
                          const char **ret_message) {
    const struct broker *broker = request->userdata;
    struct span name = body->topics[index].name;

    for (int32_t i = 0; i < body->topics_count && body->topics_count <= 1000; i++) {
        if (i != index && span_equal(body->topics[i].name, name)) {
            *ret_message = "The request names this topic more than once.";
            return KAFKA_INVALID_REQUEST;
        }
    }
    if (!topic_name_valid(name)) {
        *ret_message = "A topic name has 1 to 249 letters, digits, dots, underscores and dashes.";
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (topic_log_find(broker->log, name)) {
        *ret_message = "The topic exists already.";
        return KAFKA_TOPIC_ALREADY_EXISTS;
    }
    if (topic_name_reserved(name)) {
        *ret_message = "The name is reserved for the broker.";
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (topic_name_collides(broker->log, name)) {
        *ret_message = "A topic exists that differs only in dots and underscores.";
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    return 0;
}

static char *dup_text(struct arena *arena, struct span span) {
    return span.data && !memchr(span.data, 0, span.size) ? arena_dup(arena, span.data, span.size)
                                                         : NULL;
}

/* The configs as the log takes them; NULL without memory or with a null value. */
static struct topic_config_entry *copy_configs(struct arena *arena,
                                               const struct create_topics_request_topic *wanted) {
    struct topic_config_entry *configs =
        arena_alloc(arena, ((size_t)MAX(wanted->configs_count, 0) + 1) * sizeof *configs);

    for (int32_t i = 0; configs && i < wanted->configs_count; i++) {
        configs[i].name = dup_text(arena, wanted->configs[i].name);
        configs[i].value = dup_text(arena, wanted->configs[i].value);
        if (!configs[i].name || !configs[i].value) {
            return NULL;
        }
    }
    return configs;
}

static void create_topic(struct changes *changes, int32_t index,
                         struct create_topics_response_topic *row) {
    const struct create_topics_request *body = changes->request->body;
    const struct create_topics_request_topic *wanted = &body->topics[index];
    const struct broker *broker = changes->request->userdata;
    struct topic_spec spec = {.name = wanted->name};
    const char *message = NULL;
    struct change *change;
    int16_t error;
    int r;

    row->name = wanted->name;
    row->error_message = SPAN_NULL;
    error = check_name(changes->request, body, index, &message);
    error =
        error ? error : count_partitions(changes->request, wanted, &spec.partition_count, &message);
    if (error) {
        refuse_create(row, error, message);
        return;
    }
    spec.configs = copy_configs(changes->request->arena, wanted);
    change = change_new(changes, row, on_created);
    if (!spec.configs || !change) {
        refuse_create(row, KAFKA_INVALID_CONFIG, "A config needs a name and a value.");
        return;
    }
    if (body->validate_only) {
        row->num_partitions = spec.partition_count;
        row->replication_factor = 1;
        return;
    }
    r = topic_log_create(broker->log, &spec, &change->request);
    if (r) {
        refuse_create(row, kafka_error_of(r), r > 0 ? error_row_get(r)->text : NULL);
        return;
    }
    changes->pending++;
}

void handle_create_topics(struct kafka_request *request) {
    const struct create_topics_request *body = request->body;
    struct create_topics_response *answer = KAFKA_NEW(request->arena, create_topics_response, 1);
    struct changes *changes = changes_new(request, answer);

    if (answer) {
        answer->topics =
            KAFKA_NEW(request->arena, create_topics_response_topic, MAX(body->topics_count, 0));
    }
    if (!answer || !changes || !answer->topics) {
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < body->topics_count; i++) {
        create_topic(changes, i, &answer->topics[answer->topics_count++]);
    }
    changes->ready = true;
    finish_if_ready(changes);
}

/* ---- DeleteTopics ---- */

static void on_deleted(struct topic_log_request *deleted, int status) {
    struct change *change = container_of(deleted, struct change, request);
    struct changes *changes = change->changes;
    struct delete_topics_response_result *row = change->row;

    if (status) {
        row->error_code = kafka_error_of(status);
    } else {
        broker_event(changes->request->userdata, KAFKA_SERVER_TOPIC_DELETED, changes->request, "%s",
                     change->held->name);
    }
    topic_unref(change->held);
    changes->pending--;
    finish_if_ready(changes);
}

static int16_t check_delete(const struct topic *topic, struct span *ret_message) {
    if (topic->declared) {
        *ret_message = SPAN_LITERAL("A module of eventbox declares this topic.");
        return KAFKA_POLICY_VIOLATION;
    }
    if (topic->internal) {
        *ret_message = SPAN_LITERAL("The topic is the broker's own.");
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    return 0;
}

static void delete_topic(struct changes *changes, struct topic *topic,
                         struct delete_topics_response_result *row) {
    const struct broker *broker = changes->request->userdata;
    struct change *change;
    int r;

    row->name = span_text(topic->name);
    row->topic_id = topic->id;
    row->error_code = check_delete(topic, &row->error_message);
    if (row->error_code) {
        return;
    }
    change = change_new(changes, row, on_deleted);
    if (!change) {
        row->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
        return;
    }
    change->held = topic_ref(topic);
    row->name = span_of(arena_dup(changes->request->arena, topic->name, strlen(topic->name)),
                        strlen(topic->name));
    r = topic_log_delete(broker->log, topic, &change->request);
    if (r) {
        row->error_code = kafka_error_of(r);
        topic_unref(topic);
        return;
    }
    changes->pending++;
    if (broker->config && broker->config->topic_deleted) { /* its committed offsets go too */
        broker->config->topic_deleted(broker->config->group_userdata, row->name);
    }
}

static void delete_by_name(struct changes *changes, struct span name,
                           struct delete_topics_response_result *row) {
    const struct broker *broker = changes->request->userdata;
    struct topic *topic = topic_log_find(broker->log, name);

    if (topic) {
        delete_topic(changes, topic, row);
    } else {
        row->name = name;
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
}

static void delete_by_id(struct changes *changes, const struct uuid *id,
                         struct delete_topics_response_result *row) {
    const struct broker *broker = changes->request->userdata;
    struct topic *topic = topic_log_find_id(broker->log, id);

    if (topic) {
        delete_topic(changes, topic, row);
    } else {
        row->topic_id = *id;
        row->error_code = KAFKA_UNKNOWN_TOPIC_ID;
    }
}

void handle_delete_topics(struct kafka_request *request) {
    const struct delete_topics_request *body = request->body;
    struct delete_topics_response *answer = KAFKA_NEW(request->arena, delete_topics_response, 1);
    struct changes *changes = changes_new(request, answer);
    int32_t count =
        request->version >= VERSION_BY_ID ? body->topics_count : body->topic_names_count;

    if (answer) {
        answer->responses = KAFKA_NEW(request->arena, delete_topics_response_result, MAX(count, 0));
    }
    if (!answer || !changes || !answer->responses) {
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        struct delete_topics_response_result *row = &answer->responses[answer->responses_count++];

        if (request->version < VERSION_BY_ID) {
            delete_by_name(changes, body->topic_names[i], row);
        } else if (body->topics[i].name.data) {
            delete_by_name(changes, body->topics[i].name, row);
        } else {
            delete_by_id(changes, &body->topics[i].topic_id, row);
        }
    }
    changes->ready = true;
    finish_if_ready(changes);
}
