/* CreateTopics: the checks are Kafka's, in its order and words. */
#include "places.h"

#include "changes.h"
#include "config_view.h"

#include <errno.h>
#include <stdlib.h>

enum { VERSION_CONFIGS = 5, PARTITIONS_PER_REQUEST_MAX = 10000 };

static void refuse(struct create_topics_response_topic *row, int16_t error, const char *message) {
    row->error_code = error;
    row->error_message = message ? span_text(message) : SPAN_NULL;
    row->num_partitions = row->replication_factor = -1;
}

/* The columns of version 5 and later: what the topic has become, or would become. */
static void fill_made(const struct kafka_request *request, struct create_topics_response_topic *row,
                      const struct topic_config *config, int32_t partition_count) {
    struct config_view *views;
    int32_t count;

    row->num_partitions = partition_count;
    row->replication_factor = 1;
    if (request->version < VERSION_CONFIGS ||
        topic_config_views(request->userdata, request->arena, config, &views, &count)) {
        return;
    }
    row->configs = KAFKA_NEW(request->arena, create_topics_response_config, count);
    for (int32_t i = 0; row->configs && i < count; i++) {
        row->configs[i].name = span_text(views[i].name);
        row->configs[i].value = views[i].value;
        row->configs[i].config_source = views[i].source;
        row->configs_count++;
    }
}

static void fill_row(struct change *change, int16_t error, const char *message) {
    struct kafka_request *request = change->changes->request;
    const struct topic *topic = change->request.topic;

    if (error || !topic) {
        refuse(change->row, error ? error : KAFKA_UNKNOWN_SERVER_ERROR, message);
        return;
    }
    ((struct create_topics_response_topic *)change->row)->topic_id = topic->id;
    fill_made(request, change->row, &topic->config, topic->partition_count);
    broker_event(change->changes->broker, KAFKA_SERVER_TOPIC_CREATED, request,
                 "%s with %d partitions", topic->name, topic->partition_count);
}

/* ---- checks ---- */

/* The first partition that the assignments name again, by the place of that entry; @count: none. */
static int32_t find_twin(const struct kafka_request *request,
                         const struct create_topics_request_topic *wanted) {
    int32_t count = wanted->assignments_count;
    struct place *places = arena_alloc(request->arena, (size_t)count * sizeof *places);
    bool *seen = arena_alloc(request->arena, (size_t)count); /* by the last entry of a partition */
    uint32_t *last;

    for (int32_t i = 0; places && i < count; i++) {
        places[i] = (struct place){SPAN_NULL, wanted->assignments[i].partition_index};
    }
    if (!places || !seen || places_last(request->arena, places, (uint32_t)count, &last)) {
        return -1;
    }
    for (int32_t i = 0; last && i < count; i++) {
        if (seen[last[i]]) {
            return i;
        }
        seen[last[i]] = true;
    }
    return count;
}

/* With assignments: each partition once, from 0 on, each on nodes of which one exists. */
static int16_t check_assignments(const struct kafka_request *request,
                                 const struct create_topics_request_topic *wanted,
                                 const char **ret_message) {
    int32_t count = wanted->assignments_count;
    bool *seen = arena_alloc(request->arena, (size_t)count);
    int32_t twin = find_twin(request, wanted);
    int16_t error = 0;

    if (wanted->replication_factor != -1) {
        *ret_message = "A manual partition assignment was specified, but replication factor was "
                       "not set to -1.";
        return KAFKA_INVALID_REQUEST;
    }
    if (wanted->num_partitions != -1) {
        *ret_message =
            "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return KAFKA_INVALID_REQUEST;
    }
    if (!seen || twin < 0) {
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    for (int32_t i = 0; !error && i < count; i++) {
        const struct create_topics_request_assignment *one = &wanted->assignments[i];

        if (i == twin) {
            *ret_message = arena_printf(request->arena,
                                        "Found multiple manual partition assignments for "
                                        "partition %d",
                                        one->partition_index);
            return KAFKA_INVALID_REPLICA_ASSIGNMENT;
        }
        if (one->partition_index >= 0 && one->partition_index < count) {
            seen[one->partition_index] = true;
        }
        error = replicas_check(request, one->broker_ids, one->broker_ids_count, ret_message);
    }
    for (int32_t i = 0; !error && i < count; i++) {
        if (!seen[i]) {
            *ret_message = "partitions should be a consecutive 0-based integer sequence";
            error = KAFKA_INVALID_REPLICA_ASSIGNMENT;
        }
    }
    return error;
}

/* Replicas can be asked for in any number, as clients' defaults do: there is one of each. */
static int16_t count_partitions(const struct kafka_request *request,
                                const struct create_topics_request_topic *wanted,
                                int32_t *ret_count, const char **ret_message) {
    const struct broker *broker = request->userdata;

    if (wanted->assignments_count > 0) {
        *ret_count = wanted->assignments_count;
        return check_assignments(request, wanted, ret_message);
    }
    if (wanted->replication_factor < -1 || wanted->replication_factor == 0) {
        *ret_message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return KAFKA_INVALID_REPLICATION_FACTOR;
    }
    if (wanted->num_partitions < -1 || wanted->num_partitions == 0) {
        *ret_message = "Number of partitions was set to an invalid non-positive value.";
        return KAFKA_INVALID_PARTITIONS;
    }
    *ret_count = wanted->num_partitions == -1 ? broker->default_partitions : wanted->num_partitions;
    return 0;
}

static int16_t check_name(const struct kafka_request *request, struct span name,
                          const char **ret_message) {
    const struct broker *broker = request->userdata;
    const struct topic *other;

    *ret_message = topic_name_fault(request->arena, name);
    if (*ret_message) {
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (topic_log_find(broker->log, name)) {
        *ret_message = arena_printf(request->arena, "Topic '%.*s' already exists.", (int)name.size,
                                    (const char *)name.data);
        return KAFKA_TOPIC_ALREADY_EXISTS;
    }
    if (topic_name_prohibited(name)) {
        *ret_message =
            arena_printf(request->arena, "Creation of internal topic %.*s is prohibited.",
                         (int)name.size, (const char *)name.data);
        return KAFKA_INVALID_REQUEST;
    }
    other = topic_name_collision(broker->log, name);
    if (other) {
        *ret_message = arena_printf(request->arena, "Topic '%.*s' collides with existing topic: %s",
                                    (int)name.size, (const char *)name.data, other->name);
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    return 0;
}

/* Into @config what the request sets; the last of two settings of one name holds. */
static int16_t read_configs(const struct kafka_request *request,
                            const struct create_topics_request_topic *wanted,
                            struct topic_config *config, const char **ret_message) {
    int32_t count = MAX(wanted->configs_count, 0);
    const uint64_t *order = topic_config_order(
        request->arena, count ? &wanted->configs->name : NULL, sizeof *wanted->configs, count);
    const char *nulls = NULL;
    int16_t error = order ? 0 : KAFKA_UNKNOWN_SERVER_ERROR;

    for (int32_t i = 0; i < wanted->configs_count; i++) {
        if (!wanted->configs[i].value.data) {
            nulls = names_append(request->arena, nulls, ",", wanted->configs[i].name);
        }
    }
    if (nulls) {
        *ret_message =
            arena_printf(request->arena, "Null value not supported for topic configs: %s", nulls);
        return KAFKA_INVALID_CONFIG;
    }
    for (int32_t i = 0; !error && i < count; i++) {
        const struct create_topics_request_config *one = &wanted->configs[(uint32_t)order[i]];

        if (i + 1 < count && span_equal(one->name, wanted->configs[(uint32_t)order[i + 1]].name)) {
            continue;
        }
        error = topic_config_take(request->arena, config, one->name, one->value, ret_message);
    }
    return error ? error : topic_config_conflict(request, config, ret_message);
}

static int16_t check(const struct kafka_request *request,
                     const struct create_topics_request_topic *wanted, int32_t *ret_count,
                     struct topic_config *config, const char **ret_message) {
    int16_t error = check_name(request, wanted->name, ret_message);

    error = error ? error : read_configs(request, wanted, config, ret_message);
    return error ? error : count_partitions(request, wanted, ret_count, ret_message);
}

/* ---- the topics ---- */

/* The configs as the log takes them: an array that ends with zeros. */
static struct topic_config_entry *config_entries(struct arena *arena,
                                                 const struct topic_config *config) {
    struct topic_config_entry *entries =
        arena_alloc(arena, (TOPIC_CONFIG_COUNT + 1) * sizeof *entries);
    int count = 0;

    for (int key = 0; entries && key < TOPIC_CONFIG_COUNT; key++) {
        const char *text = topic_config_text(config, key);

        if (text) {
            entries[count++] = (struct topic_config_entry){topic_config_defs[key].name, text};
        }
    }
    return entries;
}

static void make(struct changes *changes, const struct topic_spec *spec,
                 struct create_topics_response_topic *row) {
    struct change *change = changes_begin(changes, NULL, row, fill_row);
    int r;

    if (!change) {
        refuse(row, KAFKA_UNKNOWN_SERVER_ERROR, NULL);
        return;
    }
    r = spec->configs ? topic_log_create(changes->broker->log, spec, &change->request) : -ENOMEM;
    if (r) {
        changes_refused(change, r);
    }
}

static void create_topic(struct changes *changes, const struct create_topics_request_topic *wanted,
                         struct create_topics_response_topic *row) {
    struct kafka_request *request = changes->request;
    const struct create_topics_request *body = request->body;
    struct topic_spec spec = {.name = wanted->name};
    struct topic_config config = {0};
    const char *message = NULL;
    int16_t error = check(request, wanted, &spec.partition_count, &config, &message);

    row->error_message = SPAN_NULL;
    if (error) {
        refuse(row, error, message);
    } else if (body->validate_only) {
        uuid_v4(random_system(), &row->topic_id); /* of no topic, but clients want one */
        fill_made(request, row, &config, spec.partition_count);
    } else {
        spec.configs = config_entries(request->arena, &config);
        spec.internal = topic_name_internal(wanted->name);
        spec.declared = span_equal(wanted->name, SPAN_LITERAL("__consumer_offsets"));
        make(changes, &spec, row);
    }
    topic_config_deinit(&config);
}

/* Of all topics together: beyond what one record of Kafka's controller holds it makes none. */
static bool wants_too_many(const struct kafka_request *request, const uint8_t *repeats) {
    const struct create_topics_request *body = request->body;
    const struct broker *broker = request->userdata;
    int64_t total = 0;

    for (int32_t i = 0; i < body->topics_count; i++) {
        const struct create_topics_request_topic *wanted = &body->topics[i];

        if (repeats[i] != REPEAT_NONE) {
            continue;
        }
        if (wanted->assignments_count > 0) {
            total += wanted->assignments_count;
        } else {
            total += wanted->num_partitions == -1 ? broker->default_partitions
                                                  : MAX(wanted->num_partitions, 0);
        }
    }
    return total > PARTITIONS_PER_REQUEST_MAX;
}

/* What is wrong with the request as a whole, and so with each topic in it. */
static int16_t check_request(const struct kafka_request *request, const uint8_t *repeats,
                             int32_t count, const char **ret_message) {
    const struct create_topics_request *body = request->body;

    *ret_message = NULL;
    if (body->timeout_ms <= 0 && repeats_any_single(repeats, count)) {
        return KAFKA_REQUEST_TIMED_OUT;
    }
    if (wants_too_many(request, repeats)) {
        *ret_message = "Excessively large number of partitions per request.";
        return KAFKA_POLICY_VIOLATION;
    }
    return 0;
}

void handle_create_topics(struct kafka_request *request) {
    const struct create_topics_request *body = request->body;
    struct create_topics_response *answer = KAFKA_NEW(request->arena, create_topics_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    int32_t count = MAX(body->topics_count, 0);
    uint8_t *repeats = REPEATS(request->arena, body->topics, name, count);
    const char *message;
    int16_t error;

    if (changes) {
        answer->topics = KAFKA_NEW(request->arena, create_topics_response_topic, count);
    }
    if (!changes || !repeats || !answer->topics) {
        free(changes);
        out_of_memory(request);
        return;
    }
    error = check_request(request, repeats, count, &message);
    for (int32_t i = 0; i < count; i++) {
        struct create_topics_response_topic *row = &answer->topics[answer->topics_count];

        if (repeats[i] == REPEAT_LATER && !error) {
            continue;
        }
        answer->topics_count++;
        row->name = body->topics[i].name;
        if (error) {
            refuse(row, error, message);
        } else if (repeats[i] == REPEAT_FIRST) {
            refuse(row, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
        } else {
            create_topic(changes, &body->topics[i], row);
        }
    }
    changes_ready(changes, body->timeout_ms);
}
