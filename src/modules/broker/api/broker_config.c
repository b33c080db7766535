#include "broker_config.h"

static const struct broker_config_def *const tables[] = {
    broker_configs_general, broker_configs_groups, broker_configs_cluster, broker_configs_security};

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

bool broker_config_kept(struct span name, struct topic_config_def *ret_def) {
    const struct topic_config_def *fallback = find_fallback(name);
    const struct broker_config_def *def;

    if (fallback) {
        *ret_def = *fallback;
        ret_def->name = fallback->broker_name;
        return true;
    }
    for (size_t i = 0; (def = broker_config_at(i)); i++) {
        if (def->kept && span_equal(name, span_text(def->name))) {
            *ret_def = (struct topic_config_def){.name = def->name,
                                                 .default_text = def->default_text,
                                                 .documentation = def->documentation,
                                                 .type = def->type,
                                                 .min = def->least,
                                                 .max = def->type == CONFIG_TYPE_INT ? INT32_MAX
                                                                                     : INT64_MAX};
            return true;
        }
    }
    return false;
}
