#include "codec.h"
#include "config_value.h"
#include "topic_log.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <stdlib.h>
#include <string.h>

enum { CLEANUP_COMPACT = 1, CLEANUP_DELETE = 2 };

enum topic_config_key topic_config_find(struct span name) {
    int key = 0;
    while (key < TOPIC_CONFIG_COUNT && !span_equal(name, span_text(topic_config_defs[key].name))) {
        key++;
    }
    return (enum topic_config_key)key;
}

int config_def_check(const struct topic_config_def *def, struct span value, int64_t *ret_number,
                     char *ret_message, size_t size) {
    struct config_value parsed = {.message = ret_message, .message_size = size};
    int r = config_value_check(def, value, &parsed);
    *ret_number = parsed.number;
    return r;
}

int config_def_parse(const struct topic_config_def *def, struct span value, int64_t *ret_number) {
    struct config_value parsed = {0};
    int r = config_value_parse(def, value, &parsed);
    *ret_number = parsed.number;
    return r;
}

int topic_config_check(enum topic_config_key key, struct span value, char *ret_message,
                       size_t size) {
    struct config_value parsed = {.message = ret_message, .message_size = size};
    int r = config_value_check(&topic_config_defs[key], value, &parsed);
    if (r == 0 && key == TOPIC_REMOTE_STORAGE_ENABLE && parsed.number) {
        r = config_value_refuse(&parsed,
                                "Tiered Storage functionality is disabled in the broker. Topic "
                                "cannot be configured with remote log storage.");
    }
    return r;
}

/* ---- what a topic sets ---- */

static bool is_set(const struct topic_config *config, enum topic_config_key key) {
    return config->set >> key & 1;
}

/* Where the value of @key stands, or would stand. */
static unsigned position_of(const struct topic_config *config, enum topic_config_key key) {
    uint64_t below = (UINT64_C(1) << key) - 1;
    /* Of the defaults every key is set; counting is dear where no instruction does it. */
    return (config->set & below) == below ? key
                                          : (unsigned)__builtin_popcountll(config->set & below);
}

static unsigned count_of(const struct topic_config *config) {
    return (unsigned)__builtin_popcountll(config->set);
}

static const struct topic_config_value *value_of(const struct topic_config *config,
                                                 enum topic_config_key key) {
    return is_set(config, key) ? &config->values[position_of(config, key)] : NULL;
}

int topic_config_set(struct topic_config *config, enum topic_config_key key, struct span value) {
    struct config_value parsed = {0};
    int r = config_value_parse(&topic_config_defs[key], value, &parsed);
    if (r) {
        return r;
    }
    struct topic_config_value new = {.number = parsed.number};
    if (topic_config_defs[key].type == CONFIG_TYPE_DOUBLE) {
        new.real = parsed.real;
    }
    new.text = strndup(value.size ? value.data : "", value.size);
    if (!new.text) {
        return err_origin(-ENOMEM);
    }
    unsigned at = position_of(config, key);
    if (is_set(config, key)) {
        free(config->values[at].text);
    } else {
        unsigned count = count_of(config);
        struct topic_config_value *grown =
            realloc(config->values, (count + 1) * sizeof *config->values);
        if (!grown) {
            free(new.text);
            return err_origin(-ENOMEM);
        }
        config->values = grown;
        memmove(grown + at + 1, grown + at, (count - at) * sizeof *grown);
        config->set |= UINT64_C(1) << key;
    }
    config->values[at] = new;
    return 0;
}

void topic_config_unset(struct topic_config *config, enum topic_config_key key) {
    if (!is_set(config, key)) {
        return;
    }
    unsigned at = position_of(config, key);
    unsigned count = count_of(config);
    free(config->values[at].text);
    memmove(config->values + at, config->values + at + 1,
            (count - at - 1) * sizeof *config->values);
    config->set &= ~(UINT64_C(1) << key);
}

int topic_config_copy(struct topic_config *to, const struct topic_config *from) {
    *to = (struct topic_config){0};
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const char *text = topic_config_text(from, key);
        int r = text ? topic_config_set(to, key, span_text(text)) : 0;
        if (r) {
            topic_config_deinit(to);
            return err_trace(r);
        }
    }
    return 0;
}

void topic_config_deinit(struct topic_config *config) {
    for (unsigned i = 0; i < count_of(config); i++) {
        free(config->values[i].text);
    }
    free(config->values);
    *config = (struct topic_config){0};
}

const char *topic_config_text(const struct topic_config *config, enum topic_config_key key) {
    const struct topic_config_value *value = value_of(config, key);
    return value ? value->text : NULL;
}

/* ---- what holds ---- */

int topic_config_init_defaults(struct topic_config *config) {
    *config = (struct topic_config){0};
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        int r = topic_config_set(config, key, span_text(topic_config_defs[key].default_text));
        if (r) {
            topic_config_deinit(config);
            return err_trace(r);
        }
    }
    return 0;
}

static const struct topic_config_value *
effective(const struct topic_log *log, const struct topic *topic, enum topic_config_key key) {
    const struct topic_config_value *value = value_of(&topic->config, key);
    return value ? value : value_of(topic_log_defaults(log), key);
}

int64_t topic_config_int(const struct topic_log *log, const struct topic *topic,
                         enum topic_config_key key) {
    if (key == TOPIC_SEGMENT_BYTES) {
        int64_t internal = effective(log, topic, TOPIC_INTERNAL_SEGMENT_BYTES)->number;
        if (internal > 0) {
            return internal;
        }
    }
    return effective(log, topic, key)->number;
}

double topic_config_double(const struct topic_log *log, const struct topic *topic,
                           enum topic_config_key key) {
    return effective(log, topic, key)->real;
}

bool topic_config_compacts(const struct topic_log *log, const struct topic *topic) {
    return topic_config_int(log, topic, TOPIC_CLEANUP_POLICY) & CLEANUP_COMPACT;
}

bool topic_config_deletes(const struct topic_log *log, const struct topic *topic) {
    return topic_config_int(log, topic, TOPIC_CLEANUP_POLICY) & CLEANUP_DELETE;
}

int64_t topic_config_roll_ms(const struct topic_log *log, const struct topic *topic) {
    int64_t roll_ms = topic_config_int(log, topic, TOPIC_SEGMENT_MS);
    int64_t lag_ms = topic_config_int(log, topic, TOPIC_MAX_COMPACTION_LAG_MS);
    return lag_ms < roll_ms && topic_config_compacts(log, topic) ? lag_ms : roll_ms;
}

int topic_config_codec(const struct topic_log *log, const struct topic *topic) {
    /* By the order of the words in the table: uncompressed, zstd, lz4, snappy, gzip, producer. */
    static const int codecs[] = {RECORD_CODEC_NONE,   RECORD_CODEC_ZSTD, RECORD_CODEC_LZ4,
                                 RECORD_CODEC_SNAPPY, RECORD_CODEC_GZIP, -1};
    return codecs[topic_config_int(log, topic, TOPIC_COMPRESSION_TYPE)];
}

bool topic_config_append_time(const struct topic_log *log, const struct topic *topic) {
    return topic_config_int(log, topic, TOPIC_TIMESTAMP_TYPE) == 1;
}
