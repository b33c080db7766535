#include "broker_config.h"

static const struct broker_config_def *const tables[] = {
    broker_configs_general, broker_configs_groups, broker_configs_cluster, broker_configs_security};

#define RATE(name)                                                                                 \
    { name, NULL, "", .type = CONFIG_TYPE_LONG, .max = INT64_MAX }

/* What kafka-reassign-partitions sets while it copies; there is nothing to copy. Shown, without
 * documentation as in Kafka, only where it is set. */
static const struct topic_config_def throttles[] = {
    RATE("leader.replication.throttled.rate"),
    RATE("follower.replication.throttled.rate"),
    RATE("replica.alter.log.dirs.io.max.bytes.per.second"),
};

const struct broker_config_def *broker_config_at(size_t index) {
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        for (const struct broker_config_def *def = tables[t]; def->name; def++) {
            if (index-- == 0) {
                return def;
            }
        }
    }
    return NULL;
}

size_t broker_config_count(void) {
    size_t count = 0;

    while (broker_config_at(count)) {
        count++;
    }
    return count;
}

/* The row of what topics fall back to; any of them may be changed while the broker runs. */
static const struct topic_config_def *find_fallback(struct span name) {
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const char *broker_name = topic_config_defs[key].broker_name;

        if (broker_name && span_equal(name, span_text(broker_name))) {
            return &topic_config_defs[key];
        }
    }
    return NULL;
}

uint8_t broker_config_type(struct span name, const char **ret_default) {
    const struct topic_config_def *fallback = find_fallback(name);
    const struct broker_config_def *def;

    if (fallback) {
        *ret_default = fallback->default_text;
        return fallback->type;
    }
    for (size_t i = 0; (def = broker_config_at(i)); i++) {
        if (span_equal(name, span_text(def->name))) {
            *ret_default = def->default_text;
            return def->type;
        }
    }
    return 0;
}

bool broker_config_known(struct span name) {
    const char *text;

    return broker_config_type(name, &text) != 0;
}

bool broker_config_kept(struct span name, struct topic_config_def *ret_def) {
    const struct topic_config_def *fallback = find_fallback(name);
    const struct broker_config_def *def;

    if (fallback) {
        *ret_def = *fallback;
        ret_def->name = fallback->broker_name;
        if (!fallback->broker_default && fallback->type == CONFIG_TYPE_LONG) {
            ret_def->min = INT64_MIN; /* of times that may be null Kafka's broker checks no range */
        }
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(throttles); i++) {
        if (span_equal(name, span_text(throttles[i].name))) {
            *ret_def = throttles[i];
            return true;
        }
    }
    for (size_t i = 0; (def = broker_config_at(i)); i++) {
        if (def->kept && span_equal(name, span_text(def->name))) {
            *ret_def = (struct topic_config_def){
                .name = def->name,
                .default_text = def->default_text,
                .documentation = def->documentation,
                .type = def->type,
                .min = def->least == INT32_MIN ? INT64_MIN : def->least,
                .max = def->type == CONFIG_TYPE_INT ? INT32_MAX : INT64_MAX};
            return true;
        }
    }
    return false;
}
