/*
 * DescribeConfigs and ListConfigResources: every config of topics, the broker, its loggers, groups
 * and telemetry subscriptions, with its default and where it comes from. The rows come from
 * config_view.c.
 */
#include "config_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- DescribeConfigs ---- */

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
                       const struct config_view *view) {
    const struct describe_configs_request *body = request->body;
    struct describe_configs_response_config *config = &result->configs[result->configs_count++];
    struct describe_configs_response_synonym *synonyms;

    config->name = span_text(view->name);
    config->value = view->value;
    config->read_only = view->read_only;
    config->is_sensitive = view->sensitive;
    config->config_source = view->source;
    config->config_type = view->type;
    config->documentation = SPAN_NULL;
    if (body->include_documentation && view->documentation) {
        const char *text = view->idle ? arena_printf(request->arena, "%s Without effect here.",
                                                     view->documentation)
                                      : view->documentation;

        config->documentation = text ? span_text(text) : SPAN_NULL;
    }
    if (!body->include_synonyms) {
        return;
    }
    synonyms =
        KAFKA_NEW(request->arena, describe_configs_response_synonym, (size_t)view->synonym_count);
    config->synonyms = synonyms;
    for (int32_t i = 0; synonyms && i < view->synonym_count; i++) {
        synonyms[i].name = span_text(view->synonyms[i].name);
        synonyms[i].value = view->synonyms[i].value;
        synonyms[i].source = view->synonyms[i].source;
        config->synonyms_count++;
    }
}

static int refuse(struct describe_configs_response_result *result, int16_t error,
                  const char *message) {
    result->error_code = error;
    result->error_message = span_text(message ? message : "");
    return 0;
}

static int describe_topic(const struct kafka_request *request, struct span name,
                          struct describe_configs_response_result *result,
                          struct config_view **ret_views, int32_t *ret_count) {
    const struct broker *broker = request->userdata;
    struct topic *topic = topic_log_find(broker->log, name);
    const char *fault = topic_name_fault(request->arena, name);

    if (fault) {
        return refuse(result, KAFKA_INVALID_TOPIC_EXCEPTION, fault);
    }
    if (!topic) {
        return refuse(result, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL);
    }
    return topic_config_views(broker, request->arena, &topic->config, ret_views, ret_count);
}

/* NULL, or what is wrong with the name of a node. */
static const char *node_fault(const struct kafka_request *request, struct span name,
                              const char *expected) {
    const struct broker *broker = request->userdata;
    int size = (int)MIN(name.size, 100U);
    const char *text = name.size ? name.data : "";
    int64_t node;

    if (!config_node(name, &node)) {
        return arena_printf(request->arena, "Broker id must be an integer, but it is: %.*s", size,
                            text);
    }
    return node == broker->node_id
               ? NULL
               : arena_printf(request->arena,
                              "Unexpected broker id, expected %d%s but received %.*s",
                              broker->node_id, expected, size, text);
}

static int describe_broker(const struct kafka_request *request, struct span name,
                           struct describe_configs_response_result *result,
                           struct config_view **ret_views, int32_t *ret_count) {
    const char *fault = name.size ? node_fault(request, name, " or empty string,") : NULL;

    if (fault) {
        return refuse(result, KAFKA_INVALID_REQUEST, fault);
    }
    return name.size ? broker_config_views(request, ret_views, ret_count)
                     : cluster_config_views(request, ret_views, ret_count);
}

/* Kafka's loggers are its classes; there are none here: the log has one level, a setting. */
static int describe_loggers(const struct kafka_request *request, struct span name,
                            struct describe_configs_response_result *result) {
    const char *fault = name.size ? node_fault(request, name, "") : "Broker id must not be empty";

    return fault ? refuse(result, KAFKA_INVALID_REQUEST, fault) : 0;
}

static int describe_resource(const struct kafka_request *request, int8_t type, struct span name,
                             struct describe_configs_response_result *result,
                             struct config_view **ret_views, int32_t *ret_count) {
    if (name.size == 0) {
        return refuse(result, KAFKA_INVALID_REQUEST,
                      type == RESOURCE_GROUP
                          ? "Group name must not be empty"
                          : "Client metrics subscription name must not be empty");
    }
    return resource_config_views(request, type, name, ret_views, ret_count);
}

static int describe(const struct kafka_request *request,
                    const struct describe_configs_request_resource *resource,
                    struct describe_configs_response_result *result) {
    struct span name = resource->resource_name;
    struct config_view *views = NULL;
    int32_t count = 0;
    int r = 0;

    switch (resource->resource_type) {
    case RESOURCE_TOPIC:
        r = describe_topic(request, name, result, &views, &count);
        break;
    case RESOURCE_BROKER:
        r = describe_broker(request, name, result, &views, &count);
        break;
    case RESOURCE_BROKER_LOGGER:
        r = describe_loggers(request, name, result);
        break;
    case RESOURCE_GROUP:
    case RESOURCE_CLIENT_METRICS:
        r = describe_resource(request, resource->resource_type, name, result, &views, &count);
        break;
    default:
        break;
    }
    result->configs = KAFKA_NEW(request->arena, describe_configs_response_config, (size_t)count);
    for (int32_t i = 0; r == 0 && result->configs && i < count; i++) {
        if (is_wanted(resource, views[i].name)) {
            add_config(request, result, &views[i]);
        }
    }
    return r || result->configs ? r : -ENOMEM;
}

/* One resource of a type that has no configs spoils the request, as with Kafka: NULL, or why. */
static const char *type_fault(const struct kafka_request *request) {
    const struct describe_configs_request *body = request->body;

    for (int32_t i = 0; i < body->resources_count; i++) {
        int8_t type = body->resources[i].resource_type;

        if (type != RESOURCE_TOPIC && type != RESOURCE_BROKER && type != RESOURCE_BROKER_LOGGER &&
            type != RESOURCE_GROUP && type != RESOURCE_CLIENT_METRICS) {
            return KAFKA_INVALID_REQUEST_TEXT;
        }
    }
    return NULL;
}

void handle_describe_configs(struct kafka_request *request) {
    const struct describe_configs_request *body = request->body;
    struct describe_configs_response *answer =
        KAFKA_NEW(request->arena, describe_configs_response, 1);
    const char *fault = type_fault(request);
    int r = answer ? 0 : -ENOMEM;

    if (!r) {
        answer->results = KAFKA_NEW(request->arena, describe_configs_response_result,
                                    MAX(body->resources_count, 0));
        r = answer->results ? 0 : -ENOMEM;
    }
    for (int32_t i = 0; !r && i < body->resources_count; i++) {
        const struct describe_configs_request_resource *resource = &body->resources[i];
        struct describe_configs_response_result *result = &answer->results[i];

        result->resource_type = resource->resource_type;
        result->resource_name = resource->resource_name;
        result->error_message = SPAN_LITERAL("");
        r = fault ? refuse(result, KAFKA_INVALID_REQUEST, fault)
                  : describe(request, resource, result);
        answer->results_count++;
    }
    if (r) {
        out_of_memory(request);
        return;
    }
    kafka_respond(request, answer);
}

/* ---- ListConfigResources ---- */

struct listing {
    const struct kafka_request *request;
    struct list_config_resources_response_resource *rows;
    int32_t count;
    bool counting; /* the first of two rounds only counts */
};

static void list_one(struct listing *listing, int8_t type, const char *name) {
    if (!listing->counting) {
        struct list_config_resources_response_resource *row = &listing->rows[listing->count];
        size_t size = strlen(name);
        const char *copy = arena_dup(listing->request->arena, name, size);

        row->resource_type = type;
        row->resource_name = span_of(copy ? copy : "", copy ? size : 0);
    }
    listing->count++;
}

/* Of version 0 and without types everything; brokers and their loggers are this node. */
static void list_type(struct listing *listing, int8_t type) {
    const struct broker *broker = listing->request->userdata;
    const struct config_resource *resource;
    const struct topic *topic;
    size_t position = 0;
    char node[16];

    if (type == RESOURCE_TOPIC) {
        while ((topic = topic_log_next(broker->log, &position))) {
            list_one(listing, type, topic->name);
        }
    } else if (type == RESOURCE_BROKER || type == RESOURCE_BROKER_LOGGER) {
        snprintf(node, sizeof node, "%d", broker->node_id);
        list_one(listing, type, node);
    } else {
        while ((resource = config_store_next(broker->configs, &position))) {
            if (resource->type == type) {
                list_one(listing, type, resource->name);
            }
        }
    }
}

static const int8_t all_types[] = {RESOURCE_BROKER_LOGGER, RESOURCE_BROKER, RESOURCE_TOPIC,
                                   RESOURCE_CLIENT_METRICS, RESOURCE_GROUP};

static bool type_wanted(const struct kafka_request *request, int8_t type) {
    const struct list_config_resources_request *body = request->body;

    if (request->version == 0) {
        return type == RESOURCE_CLIENT_METRICS; /* all that this version knew */
    }
    for (int32_t i = 0; i < body->resource_types_count; i++) {
        if (body->resource_types[i] == type) {
            return true;
        }
    }
    return body->resource_types_count <= 0;
}

static bool types_known(const struct list_config_resources_request *body) {
    for (int32_t i = 0; i < body->resource_types_count; i++) {
        if (!memchr(all_types, body->resource_types[i], sizeof all_types)) {
            return false;
        }
    }
    return true;
}

static void list_all(struct listing *listing) {
    listing->count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(all_types); i++) {
        if (type_wanted(listing->request, all_types[i])) {
            list_type(listing, all_types[i]);
        }
    }
}

void handle_list_config_resources(struct kafka_request *request) {
    struct list_config_resources_response *answer =
        KAFKA_NEW(request->arena, list_config_resources_response, 1);
    struct listing listing = {.request = request, .counting = true};

    if (answer && request->version > 0 && !types_known(request->body)) {
        answer->error_code = KAFKA_UNSUPPORTED_VERSION;
        kafka_respond(request, answer);
        return;
    }
    list_all(&listing);
    listing.rows =
        KAFKA_NEW(request->arena, list_config_resources_response_resource, (size_t)listing.count);
    if (!answer || !listing.rows) {
        out_of_memory(request);
        return;
    }
    listing.counting = false;
    list_all(&listing);
    answer->config_resources = listing.rows;
    answer->config_resources_count = listing.count;
    kafka_respond(request, answer);
}
