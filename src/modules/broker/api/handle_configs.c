/*
 * DescribeConfigs: every config of a topic or of the broker, with its default and where it
 * comes from. The rows below are Kafka's names; what this broker does not do stands at the value
 * that describes what happens here.
 */
#include "api_private.h"

#include <errno.h>

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { SOURCE_TOPIC = 1, SOURCE_STATIC_BROKER = 4, SOURCE_DEFAULT = 5 };
enum {
    TYPE_BOOLEAN = 1,
    TYPE_STRING = 2,
    TYPE_INT = 3,
    TYPE_LONG = 5,
    TYPE_DOUBLE = 6,
    TYPE_LIST = 7,
};

struct config_row {
    const char *name;
    const char *default_text;
    int8_t type;
    uint16_t offset; /* of an int64_t in struct topic_config where it can be set; 0: fixed */
    const char *documentation;
};

/* struct topic_config begins with retention_ms: so offsets are counted from 1. */
#define FIELD(name) ((uint16_t)(offsetof(struct topic_config, name) + 1))

static const struct config_row topic_rows[] = {
    {"cleanup.policy", "delete", TYPE_LIST, 0,
     "Whether old records go by time and size, or by key."},
    {"compression.type", "producer", TYPE_STRING, 0, "Batches are stored as they come."},
    {"delete.retention.ms", "86400000", TYPE_LONG, 0, "How long tombstones stay after compaction."},
    {"file.delete.delay.ms", "60000", TYPE_LONG, 0,
     "Pause before the files of a deleted segment go."},
    {"flush.messages", "9223372036854775807", TYPE_LONG, 0, "Unused: every group is synced."},
    {"flush.ms", "9223372036854775807", TYPE_LONG, FIELD(flush_ms),
     "Where set, answers leave before the sync."},
    {"index.interval.bytes", "4096", TYPE_INT, 0, "Distance of entries in the offset index."},
    {"max.compaction.lag.ms", "9223372036854775807", TYPE_LONG, 0, "Longest wait for compaction."},
    {"max.message.bytes", "1048588", TYPE_INT, FIELD(max_message_bytes), "Largest record batch."},
    {"message.timestamp.after.max.ms", "9223372036854775807", TYPE_LONG, 0,
     "How far in the future a timestamp may lie."},
    {"message.timestamp.before.max.ms", "9223372036854775807", TYPE_LONG, 0,
     "How far in the past a timestamp may lie."},
    {"message.timestamp.type", "CreateTime", TYPE_STRING, 0, "Whose clock the timestamps show."},
    {"min.cleanable.dirty.ratio", "0.5", TYPE_DOUBLE, 0, "When compaction begins."},
    {"min.compaction.lag.ms", "0", TYPE_LONG, 0, "Shortest wait for compaction."},
    {"min.insync.replicas", "1", TYPE_INT, 0, "There is one replica."},
    {"preallocate", "false", TYPE_BOOLEAN, 0, "Segments grow as they are written."},
    {"retention.bytes", "-1", TYPE_LONG, FIELD(retention_bytes),
     "Size of a partition; -1: no limit."},
    {"retention.ms", "604800000", TYPE_LONG, FIELD(retention_ms), "Age of records; -1: no limit."},
    {"segment.bytes", "1073741824", TYPE_INT, FIELD(segment_bytes), "Size of a segment file."},
    {"segment.index.bytes", "10485760", TYPE_INT, 0, "Largest offset index."},
    {"segment.jitter.ms", "0", TYPE_LONG, 0, "Spread of rolling by time."},
    {"segment.ms", "604800000", TYPE_LONG, 0, "Age at which a segment rolls."},
    {"unclean.leader.election.enable", "false", TYPE_BOOLEAN, 0, "There is one replica."},
};

/* The number of @row in @config as text; null when it is not set there. */
static struct span config_number(struct arena *arena, const struct config_row *row,
                                 const struct topic_config *config) {
    int64_t value;
    char *text;

    if (row->offset == 0) {
        return SPAN_NULL;
    }
    memcpy(&value, (const uint8_t *)config + row->offset - 1, sizeof value);
    if (value <= 0) {
        return SPAN_NULL;
    }
    text = arena_printf(arena, "%lld", (long long)value);
    return span_text(text ? text : "");
}

/* What @topic itself sets; null when nothing. */
static struct span topic_value(struct arena *arena, const struct config_row *row,
                               const struct topic *topic) {
    if (strcmp(row->name, "cleanup.policy") == 0 && topic->config.compact) {
        return SPAN_LITERAL("compact");
    }
    if (strcmp(row->name, "message.timestamp.type") == 0 && topic->config.log_append_time) {
        return SPAN_LITERAL("LogAppendTime");
    }
    return config_number(arena, row, &topic->config);
}

int topic_config_rows(const struct broker *broker, struct arena *arena, const struct topic *topic,
                      struct topic_config_row **ret_rows, int32_t *ret_count) {
    struct topic_config_row *rows = arena_alloc(arena, ARRAY_SIZE(topic_rows) * sizeof *rows);

    if (!rows) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < ARRAY_SIZE(topic_rows); i++) {
        const struct config_row *row = &topic_rows[i];
        struct span set = topic_value(arena, row, topic);
        struct span broker_set = SPAN_NULL;

        if (broker->config) {
            broker_set = config_number(arena, row, &broker->config->topic_defaults);
        }
        rows[i] = (struct topic_config_row){
            .name = row->name,
            .broker_default = broker_set.data ? broker_set : span_text(row->default_text),
            .default_source = broker_set.data ? SOURCE_STATIC_BROKER : SOURCE_DEFAULT,
            .type = row->type,
            .documentation = row->documentation,
        };
        rows[i].value = set.data ? set : rows[i].broker_default;
        rows[i].source = set.data ? SOURCE_TOPIC : rows[i].default_source;
    }
    *ret_rows = rows;
    *ret_count = (int32_t)ARRAY_SIZE(topic_rows);
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

/* The broker's value of a topic config under its own name. */
static const char *topic_default(const struct broker *broker, struct arena *arena,
                                 const char *name) {
    for (size_t i = 0; i < ARRAY_SIZE(topic_rows); i++) {
        const struct config_row *row = &topic_rows[i];

        if (strcmp(row->name, name) == 0) {
            struct span set = broker->config
                                  ? config_number(arena, row, &broker->config->topic_defaults)
                                  : SPAN_NULL;
            return set.data ? set.data : row->default_text;
        }
    }
    return "";
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
                   SOURCE_STATIC_BROKER, TYPE_STRING, "Where clients connect."),
        broker_row("auto.create.topics.enable", broker->auto_create_topics ? "true" : "false",
                   SOURCE_STATIC_BROKER, TYPE_BOOLEAN,
                   "Whether topics come into being on first use."),
        broker_row("broker.id", node, SOURCE_STATIC_BROKER, TYPE_INT, "The one node."),
        broker_row("default.replication.factor", "1", SOURCE_DEFAULT, TYPE_INT,
                   "There is one replica."),
        broker_row("log.retention.ms", topic_default(broker, arena, "retention.ms"), SOURCE_DEFAULT,
                   TYPE_LONG, "Default of retention.ms."),
        broker_row("log.segment.bytes", topic_default(broker, arena, "segment.bytes"),
                   SOURCE_DEFAULT, TYPE_INT, "Default of segment.bytes."),
        broker_row("message.max.bytes", topic_default(broker, arena, "max.message.bytes"),
                   SOURCE_DEFAULT, TYPE_INT, "Default of max.message.bytes."),
        broker_row("min.insync.replicas", "1", SOURCE_DEFAULT, TYPE_INT, "There is one replica."),
        broker_row("node.id", node, SOURCE_STATIC_BROKER, TYPE_INT, "The one node."),
        broker_row("num.partitions", arena_printf(arena, "%d", broker->default_partitions),
                   SOURCE_STATIC_BROKER, TYPE_INT, "Of topics made on first use."),
        broker_row("offsets.topic.num.partitions", "50", SOURCE_DEFAULT, TYPE_INT,
                   "Of __consumer_offsets."),
        broker_row("offsets.topic.replication.factor", "1", SOURCE_DEFAULT, TYPE_INT,
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
