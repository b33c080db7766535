/*
 * Configs that belong to no topic: of the broker, of groups, of telemetry subscriptions. What is
 * set while it runs lives in memory and as records of the internal topic __eventbox_configs,
 * the last of each key holds:
 *
 *   key     "<type>:<name>"      Kafka's number of the resource type, name of the resource
 *   value   pairs of u16 length and text, little-endian, name and value; null: nothing is set
 *
 * What is set for the broker becomes the default of topics at once.
 */
#pragma once

#include "config_view.h"

struct config_pair {
    char *name;
    char *value;
};
/* Names with values, in the order of their names. */
struct config_set {
    struct config_pair *pairs;
    unsigned count;
};
const char *config_set_get(const struct config_set *set, struct span name); /* NULL: not set */
int config_set_put(struct config_set *set, struct span name, struct span value);
void config_set_remove(struct config_set *set, struct span name);
int config_set_copy(struct config_set *to, const struct config_set *from);
void config_set_deinit(struct config_set *set);

struct config_resource {
    int8_t type;
    char *key;  /* of the record */
    char *name; /* within key */
    struct config_set set;
};

struct config_store;
int config_store_new(struct broker *broker, struct config_store **ret_store);
/** config_store_load() - read what the topic has; @done(userdata, status), perhaps at once */
void config_store_load(struct config_store *store, void (*done)(void *userdata, int status),
                       void *userdata);
void config_store_free(struct config_store *store); /* accepts NULL */

/** config_store_find() - NULL where nothing is set; so it answers for a NULL @store */
const struct config_set *config_store_find(const struct config_store *store, int8_t type,
                                           struct span name);
/** config_store_next() - every resource, in no order; start with *position = 0 */
const struct config_resource *config_store_next(const struct config_store *store, size_t *position);
/** config_store_static() - what topics fall back to by the settings alone */
const struct topic_config *config_store_static(const struct broker *broker);
/** broker_config_static() - of a config that requests change: by the settings, else @text */
const char *broker_config_static(const struct broker *broker, struct span name, const char *text);
/**
 * config_store_change() - @name has @set, which is taken over, and nothing else; it shows at once,
 * and done() tells when it is durable
 * Return: 0; what topic_log_append() returns, and nothing was changed; -ENOMEM.
 */
int config_store_change(struct config_store *store, int8_t type, struct span name,
                        struct config_set *set, struct topic_log_request *request);
