/*
 * Configs as clients see them: of topics, of the broker, of groups and of telemetry. Each is a row
 * with its value, where that comes from, and everything else that would hold without it.
 */
#pragma once

#include "api_private.h"
#include "broker_config.h"

/* Kafka's ConfigResource.Type. */
enum config_resource_type {
    RESOURCE_TOPIC = 2,
    RESOURCE_BROKER = 4,
    RESOURCE_BROKER_LOGGER = 8,
    RESOURCE_CLIENT_METRICS = 16,
    RESOURCE_GROUP = 32,
};

/* Kafka's ConfigSource. */
enum config_source {
    SOURCE_TOPIC = 1,
    SOURCE_DYNAMIC_BROKER = 2,  /* of this node, changed while it runs */
    SOURCE_DYNAMIC_CLUSTER = 3, /* of every node */
    SOURCE_STATIC_BROKER = 4,   /* of the settings */
    SOURCE_DEFAULT = 5,
    SOURCE_CLIENT_METRICS = 7,
    SOURCE_GROUP = 8,
};

enum { CONFIG_SYNONYMS_MAX = 5 };

struct config_synonym {
    const char *name;
    struct span value;
    int8_t source;
};

struct config_view {
    const char *name;
    struct span value; /* data NULL: null */
    int8_t source;
    int8_t type;
    bool read_only;
    bool sensitive;
    bool idle; /* without effect here, which its documentation says */
    const char *documentation;
    struct config_synonym synonyms[CONFIG_SYNONYMS_MAX]; /* from what holds down to the default */
    int32_t synonym_count;
};

/* Texts are copied to @arena, since a config may change while an answer waits. Return 0; -ENOMEM */
int topic_config_views(const struct broker *broker, struct arena *arena,
                       const struct topic_config *config, struct config_view **ret_views,
                       int32_t *ret_count);
/** broker_config_views() - of this node; what only the request knows is its advertised address */
int broker_config_views(const struct kafka_request *request, struct config_view **ret_views,
                        int32_t *ret_count);
/** cluster_config_views() - what is set for every node while it runs */
int cluster_config_views(const struct kafka_request *request, struct config_view **ret_views,
                         int32_t *ret_count);
/** resource_config_views() - of the group or telemetry subscription @name */
int resource_config_views(const struct kafka_request *request, int8_t type, struct span name,
                          struct config_view **ret_views, int32_t *ret_count);

/* ---- tables ---- */

/** broker_config_value() - of this broker; NULL: the default */
const char *broker_config_value(const struct kafka_request *request,
                                const struct broker_config_def *def);
/** resource_config_defs() - of groups or telemetry subscriptions */
const struct topic_config_def *resource_config_defs(int8_t type, size_t *ret_count);

/** config_node() - the number that the name of a broker is, by Java's rules; false for none */
bool config_node(struct span name, int64_t *ret_node);

/* ---- changes ---- */

/** topic_config_order() - in which order Kafka looks at configs of a topic: as java_map_order() */
uint64_t *topic_config_order(struct arena *arena, const struct span *first, size_t stride,
                             int32_t count);

/**
 * topic_config_take() - check @value for @name and set it in @config
 * Return: 0 or Kafka's error code with *ret_message.
 */
int16_t topic_config_take(struct arena *arena, struct topic_config *config, struct span name,
                          struct span value, const char **ret_message);
/** topic_config_conflict() - values that exclude each other; 0 or the error code */
int16_t topic_config_conflict(const struct kafka_request *request,
                              const struct topic_config *config, const char **ret_message);
/** resource_config_def() - the row of @name for @type GROUP or CLIENT_METRICS; NULL when none */
const struct topic_config_def *resource_config_def(int8_t type, struct span name);
/** resource_config_check() - 0 or the error code for @value */
int16_t resource_config_check(struct arena *arena, int8_t type, const struct topic_config_def *def,
                              struct span value, const char **ret_message);
