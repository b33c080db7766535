/*
 * DescribeConfigs: every config of a topic or of the broker, with its default and where it
 * comes from. The rows below are Kafka's names; what this broker does not do stands at the value
 * that describes what happens here.
 */
#include "api_private.h"

#include <errno.h>

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { SOURCE_TOPIC = 1, SOURCE_STATIC_BROKER = 4, SOURCE_DEFAULT = 5 };
int topic_config_rows(const struct broker *broker, struct arena *arena, const struct topic *topic,
                      struct topic_config_row **ret_rows, int32_t *ret_count) {
    struct topic_config_row *rows = arena_alloc(arena, TOPIC_CONFIG_COUNT * sizeof *rows);
    const struct topic_config *defaults = topic_log_defaults(broker->log);
    int32_t count = 0;

    if (!rows) {
        return err_origin(-ENOMEM);
    }
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const struct topic_config_def *def = &topic_config_defs[key];
        const char *set = topic_config_text(&topic->config, key);
        const char *fallback = topic_config_text(defaults, key);
        bool built_in = strcmp(fallback, def->default_text) == 0;

        if (def->internal && !set) {
            continue;
        }
        set = set ? arena_dup(arena, set, strlen(set)) : NULL; /* the topic may change meanwhile */
        rows[count++] = (struct topic_config_row){
            .name = def->name,
            .value = span_text(set ? set : fallback),
            .broker_default = span_text(fallback),
            .source = set        ? SOURCE_TOPIC
                      : built_in ? SOURCE_DEFAULT
                                 : SOURCE_STATIC_BROKER,
            .default_source = built_in ? SOURCE_DEFAULT : SOURCE_STATIC_BROKER,
            .type = (int8_t)def->type,
            .documentation = def->documentation,
        };
    }
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

/* ---- the answer ---- */

static bool is_wanted(const struct describe_configs_request_resource *resource, const char *name) {
    for (int32_t i = 0; i < resource->configuration_keys_count; i++) {
        if (span_equal(resource->configuration_keys[i], span_text(name))) {
            return true;
        }
    }
    return resource->configuration_keys_count <= 0; /* null or none: all */
}

static void add_config(const struct kafka_request *request,
                       struct describe_configs_response_result *result,
                       const struct topic_config_row *row, bool read_only) {
    const struct describe_configs_request *body = request->body;
    struct describe_configs_response_config *config = &result->configs[result->configs_count++];
    struct describe_configs_response_synonym *synonyms;

    config->name = span_text(row->name);
    config->value = row->value;
    config->read_only = read_only;
    config->config_source = row->source;
    config->config_type = row->type;
    if (body->include_documentation) {
        config->documentation = span_text(row->documentation);
    }
    if (!body->include_synonyms) {
        return;
    }
    synonyms = KAFKA_NEW(request->arena, describe_configs_response_synonym, 2);
    config->synonyms = synonyms;
    if (synonyms && row->source != row->default_source) {
        synonyms[config->synonyms_count++] =
            (struct describe_configs_response_synonym){config->name, config->value, row->source};
    }
    if (synonyms) {
        synonyms[config->synonyms_count++] = (struct describe_configs_response_synonym){
            config->name, row->broker_default, row->default_source};
    }
}

static bool describe_topic(const struct kafka_request *request,
                           const struct describe_configs_request_resource *resource,
                           struct describe_configs_response_result *result) {
    const struct broker *broker = request->userdata;
    struct topic *topic = topic_log_find(broker->log, resource->resource_name);
    struct topic_config_row *rows;
    int32_t count;

    if (!topic) {
        result->error_code = topic_name_valid(resource->resource_name)
                                 ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                 : KAFKA_INVALID_TOPIC_EXCEPTION;
        return true;
    }
    if (topic_config_rows(broker, request->arena, topic, &rows, &count)) {
        return false;
    }
    result->configs = KAFKA_NEW(request->arena, describe_configs_response_config, count);
    for (int32_t i = 0; result->configs && i < count; i++) {
        if (is_wanted(resource, rows[i].name)) {
            add_config(request, result, &rows[i], false);
        }
    }
    return result->configs != NULL;
}

/* A setting of the broker as a row: set in its configuration, or as built in. */
static struct topic_config_row broker_row(const char *name, const char *value, int8_t source,
                                          int8_t type, const char *documentation) {
    struct span text = span_text(value ? value : "");

    return (struct topic_config_row){name, text, text, source, source, type, documentation};
}

static const char *topic_default(const struct broker *broker, enum topic_config_key key) {
    return topic_config_text(topic_log_defaults(broker->log), key);
}

static bool describe_broker(const struct kafka_request *request,
                            const struct describe_configs_request_resource *resource,
                            struct describe_configs_response_result *result) {
    const struct broker *broker = request->userdata;
    struct arena *arena = request->arena;
    char *node = arena_printf(arena, "%d", broker->node_id);
    const struct topic_config_row rows[] = {
        broker_row("advertised.listeners",
                   arena_printf(arena, "PLAINTEXT://%s:%d", request->advertised_host,
                                request->advertised_port),
                   SOURCE_STATIC_BROKER, CONFIG_TYPE_STRING, "Where clients connect."),
        broker_row("auto.create.topics.enable", broker->auto_create_topics ? "true" : "false",
                   SOURCE_STATIC_BROKER, CONFIG_TYPE_BOOLEAN,
                   "Whether topics come into being on first use."),
        broker_row("broker.id", node, SOURCE_STATIC_BROKER, CONFIG_TYPE_INT, "The one node."),
        broker_row("default.replication.factor", "1", SOURCE_DEFAULT, CONFIG_TYPE_INT,
                   "There is one replica."),
        broker_row("log.retention.ms", topic_default(broker, TOPIC_RETENTION_MS), SOURCE_DEFAULT,
                   CONFIG_TYPE_LONG, "Default of retention.ms."),
        broker_row("log.segment.bytes", topic_default(broker, TOPIC_SEGMENT_BYTES), SOURCE_DEFAULT,
                   CONFIG_TYPE_INT, "Default of segment.bytes."),
        broker_row("message.max.bytes", topic_default(broker, TOPIC_MAX_MESSAGE_BYTES),
                   SOURCE_DEFAULT, CONFIG_TYPE_INT, "Default of max.message.bytes."),
        broker_row("min.insync.replicas", "1", SOURCE_DEFAULT, CONFIG_TYPE_INT,
                   "There is one replica."),
        broker_row("node.id", node, SOURCE_STATIC_BROKER, CONFIG_TYPE_INT, "The one node."),
        broker_row("num.partitions", arena_printf(arena, "%d", broker->default_partitions),
                   SOURCE_STATIC_BROKER, CONFIG_TYPE_INT, "Of topics made on first use."),
        broker_row("offsets.topic.num.partitions", "50", SOURCE_DEFAULT, CONFIG_TYPE_INT,
                   "Of __consumer_offsets."),
        broker_row("offsets.topic.replication.factor", "1", SOURCE_DEFAULT, CONFIG_TYPE_INT,
                   "There is one replica."),
    };

    if (resource->resource_name.size && !span_equal(resource->resource_name, span_text(node))) {
        result->error_code = KAFKA_INVALID_REQUEST;
        result->error_message = SPAN_LITERAL("There is no such broker.");
        return true;
    }
    if (resource->resource_name.size == 0) {
        return true; /* dynamic defaults of the cluster: there are none */
    }
    result->configs = KAFKA_NEW(arena, describe_configs_response_config, ARRAY_SIZE(rows));
    for (size_t i = 0; result->configs && i < ARRAY_SIZE(rows); i++) {
        if (is_wanted(resource, rows[i].name)) {
            add_config(request, result, &rows[i], true);
        }
    }
    return result->configs != NULL;
}

void handle_describe_configs(struct kafka_request *request) {
    const struct describe_configs_request *body = request->body;
    struct describe_configs_response *answer =
        KAFKA_NEW(request->arena, describe_configs_response, 1);
    bool ok = answer != NULL;

    if (ok) {
        answer->results = KAFKA_NEW(request->arena, describe_configs_response_result,
                                    MAX(body->resources_count, 0));
        ok = answer->results != NULL;
    }
    for (int32_t i = 0; ok && i < body->resources_count; i++) {
        const struct describe_configs_request_resource *resource = &body->resources[i];
        struct describe_configs_response_result *result = &answer->results[i];

        result->resource_type = resource->resource_type;
        result->resource_name = resource->resource_name;
        result->error_message = SPAN_NULL;
        if (resource->resource_type == RESOURCE_TOPIC) {
            ok = describe_topic(request, resource, result);
        } else if (resource->resource_type == RESOURCE_BROKER) {
            ok = describe_broker(request, resource, result);
        } else {
            result->error_code = KAFKA_INVALID_REQUEST;
            result->error_message = SPAN_LITERAL("Configs of topics and brokers are served.");
        }
        answer->results_count++;
    }
    if (!ok) {
        out_of_memory(request);
        return;
    }
    kafka_respond(request, answer);
}
