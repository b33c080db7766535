/*
 * Configs of topics as bytes of the registry: u16 count, then pairs of u16 length and text, name
 * and value. A name that a newer version wrote is passed over.
 */
#include "fields.h"
#include "log_private.h"
#include "registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int registry_defaults_init(struct topic_log *log) {
    const struct {
        enum topic_config_key key;
        int64_t value;
    } settings[] = {
        {TOPIC_SEGMENT_BYTES, (int64_t)log->limits.segment_bytes},
        {TOPIC_MAX_MESSAGE_BYTES, (int64_t)log->limits.max_message_bytes},
    };
    int r = topic_config_init_defaults(&log->defaults);
    for (size_t i = 0; !r && i < ARRAY_SIZE(settings); i++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%lld", (long long)settings[i].value);
        r = topic_config_set(&log->defaults, settings[i].key, span_text(digits));
    }
    return r;
}

const struct topic_config *topic_log_defaults(const struct topic_log *log) {
    return &log->defaults;
}

int topic_log_set_default(struct topic_log *log, enum topic_config_key key, struct span value) {
    return topic_config_set(&log->defaults, key, value);
}

void registry_config_encode(struct text *out, const struct topic_config *config) {
    fields_put(out, (uint64_t)__builtin_popcountll(config->set), 2);
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const char *text = topic_config_text(config, key);
        if (text) {
            fields_put_text(out, span_text(topic_config_defs[key].name));
            fields_put_text(out, span_text(text));
        }
    }
}

int registry_config_decode(struct fields *in, struct topic_config *config) {
    for (uint64_t n = fields_get(in, 2); n > 0 && !in->failed; n--) {
        enum topic_config_key key = topic_config_find(fields_take_text(in));
        struct span value = fields_take_text(in);
        int r = 0;
        if (!in->failed && key != TOPIC_CONFIG_COUNT) {
            r = topic_config_set(config, key, value);
        }
        if (r < 0) {
            return err_trace(r);
        }
    }
    return in->failed ? err_origin(BROKER_E_CORRUPT) : 0;
}

int registry_config_apply(struct topic_log *log, struct span body) {
    struct fields in = fields_of(body);
    struct log_topic *topic = registry_by_number(log, (uint32_t)fields_get(&in, 4));
    struct topic_config config = {0};
    int r = registry_config_decode(&in, &config);
    if (!r && topic) {
        topic_config_deinit(&topic->public.config);
        topic->public.config = config;
    } else {
        topic_config_deinit(&config);
    }
    return r;
}

/* ---- changing them ---- */

struct config_change {
    struct registry_change change; /* first */
    struct topic_config config;
};

/* The change becomes what holds: it is durable, or the log has failed and it never was. */
static int on_configured(struct registry_change *base, int status) {
    struct config_change *change = container_of(base, struct config_change, change);
    struct log_topic *topic = base->topic;
    if (status == 0) {
        checkpoint_topic_changes(base->log, topic);
        struct topic_config before = topic->public.config;
        topic->public.config = change->config;
        change->config = before;
    }
    if (--topic->coming_count == 0) {
        topic_config_deinit(&topic->coming);
    }
    return status;
}

static void destroy_config(struct registry_change *base) {
    topic_config_deinit(&container_of(base, struct config_change, change)->config);
}

const struct topic_config *topic_log_config_latest(const struct topic *public) {
    const struct log_topic *topic = (const struct log_topic *)(const void *)public;
    return topic->coming_count > 0 ? &topic->coming : &public->config;
}

int topic_log_configure(struct topic_log *log, struct topic *public,
                        const struct topic_config *config, struct topic_log_request *request) {
    struct log_topic *topic = log_topic_of(public);
    struct topic_config coming = {0};
    if (public->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    struct config_change *change = calloc(1, sizeof *change);
    int r = change ? topic_config_copy(&change->config, config) : err_origin(-ENOMEM);
    if (!r) {
        r = topic_config_copy(&coming, config);
    }
    if (r) {
        if (change) {
            destroy_config(&change->change);
        }
        free(change);
        return r;
    }
    change->change.topic = topic;
    change->change.request = request;
    change->change.finished = on_configured;
    change->change.destroy = destroy_config;
    struct text value;
    registry_record_begin(&value, REGISTRY_TOPIC_CONFIGURED);
    fields_put(&value, public->number, 4);
    registry_config_encode(&value, config);
    r = registry_change_send(log, &change->change, REGISTRY_TOPIC_CONFIGURED, &value);
    if (r) {
        topic_config_deinit(&coming);
        return r;
    }
    topic_config_deinit(&topic->coming);
    topic->coming = coming;
    topic->coming_count++;
    return 0;
}
