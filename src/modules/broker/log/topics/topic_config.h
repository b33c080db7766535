/*
 * Configs of topics: one table of all that Apache Kafka 4.3 knows, what a topic sets, and what
 * holds where it sets nothing. A topic keeps the text that it was given, as DescribeConfigs shows
 * it, and the number that it means, as everybody else asks for it. Texts are stored by name in the
 * registry, so the order of the enum below is free.
 */
#pragma once

#include <eventbox/base/span.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topic;
struct topic_log;

enum topic_config_key {
    TOPIC_CLEANUP_POLICY,
    TOPIC_COMPRESSION_GZIP_LEVEL,
    TOPIC_COMPRESSION_LZ4_LEVEL,
    TOPIC_COMPRESSION_TYPE,
    TOPIC_COMPRESSION_ZSTD_LEVEL,
    TOPIC_DELETE_RETENTION_MS,
    TOPIC_FILE_DELETE_DELAY_MS,
    TOPIC_FLUSH_MESSAGES,
    TOPIC_FLUSH_MS,
    TOPIC_FOLLOWER_THROTTLED_REPLICAS,
    TOPIC_INDEX_INTERVAL_BYTES,
    TOPIC_INTERNAL_SEGMENT_BYTES, /* segment.bytes without a least value, for tests */
    TOPIC_LEADER_THROTTLED_REPLICAS,
    TOPIC_LOCAL_RETENTION_BYTES,
    TOPIC_LOCAL_RETENTION_MS,
    TOPIC_MAX_COMPACTION_LAG_MS,
    TOPIC_MAX_MESSAGE_BYTES,
    TOPIC_TIMESTAMP_AFTER_MAX_MS,
    TOPIC_TIMESTAMP_BEFORE_MAX_MS,
    TOPIC_TIMESTAMP_TYPE,
    TOPIC_MIN_CLEANABLE_RATIO,
    TOPIC_MIN_COMPACTION_LAG_MS,
    TOPIC_MIN_INSYNC_REPLICAS,
    TOPIC_PREALLOCATE,
    TOPIC_REMOTE_COPY_DISABLE,
    TOPIC_REMOTE_DELETE_ON_DISABLE,
    TOPIC_REMOTE_STORAGE_ENABLE,
    TOPIC_RETENTION_BYTES,
    TOPIC_RETENTION_MS,
    TOPIC_SEGMENT_BYTES,
    TOPIC_SEGMENT_INDEX_BYTES,
    TOPIC_SEGMENT_JITTER_MS,
    TOPIC_SEGMENT_MS,
    TOPIC_UNCLEAN_ELECTION,
    TOPIC_CONFIG_COUNT,
};

/* Kafka's ConfigType, as DescribeConfigs numbers it. */
enum config_type {
    CONFIG_TYPE_BOOLEAN = 1,
    CONFIG_TYPE_STRING = 2,
    CONFIG_TYPE_INT = 3,
    CONFIG_TYPE_SHORT = 4,
    CONFIG_TYPE_LONG = 5,
    CONFIG_TYPE_DOUBLE = 6,
    CONFIG_TYPE_LIST = 7,
    CONFIG_TYPE_CLASS = 8,
    CONFIG_TYPE_PASSWORD = 9,
};

/* One row of the table. */
struct topic_config_def {
    const char *name;
    const char *broker_name;  /* the broker's config that it falls back to */
    const char *default_text; /* without any setting */
    const char *acts;         /* what it does here; NULL: taken and shown, without effect */
    const char *documentation;
    const char *const *words; /* of a string or a list: what it may be; ends with NULL */
    int64_t min, max;         /* of a number, as Kafka checks them */
    uint8_t type;             /* enum config_type */
    bool broker_default;      /* the broker's config has a default of its own, shown as a synonym */
    bool internal;            /* described where it is set only */
};
extern const struct topic_config_def topic_config_defs[TOPIC_CONFIG_COUNT];

/* What is set, and nothing else: the values in the order of their keys. */
struct topic_config_value {
    union {
        int64_t number; /* of a string or list: bits or the index of its words */
        double real;
    };
    char *text;
};
struct topic_config {
    uint64_t set; /* bit of each key that has a value */
    struct topic_config_value *values;
};

/** topic_config_find() - the key of @name; TOPIC_CONFIG_COUNT when there is none */
enum topic_config_key topic_config_find(struct span name);
/**
 * topic_config_check() - whether Kafka would take @value for @key
 * @ret_message: why not, in its words; of @size bytes, may be NULL with 0
 * Return: 0; BROKER_E_CONFIG.
 */
int topic_config_check(enum topic_config_key key, struct span value, char *ret_message,
                       size_t size);
/** config_def_check() - the same for a row of another table; *ret_number: what a number is */
int config_def_check(const struct topic_config_def *def, struct span value, int64_t *ret_number,
                     char *ret_message, size_t size);
/** config_def_parse() - the number that @value is by @def's type alone. Return 0; BROKER_E_CONFIG
 */
int config_def_parse(const struct topic_config_def *def, struct span value, int64_t *ret_number);
/**
 * topic_config_set() - keep a copy of @value, which must be of the key's type. Its range is not
 * looked at: what is stored stays readable when ranges change, and modules may go below them.
 * Return: 0; BROKER_E_CONFIG; negative without memory, and nothing was changed.
 */
int topic_config_set(struct topic_config *config, enum topic_config_key key, struct span value);
void topic_config_unset(struct topic_config *config, enum topic_config_key key);
/** topic_config_init_defaults() - every key with its built-in default */
int topic_config_init_defaults(struct topic_config *config);
int topic_config_copy(struct topic_config *to, const struct topic_config *from);
void topic_config_deinit(struct topic_config *config);
/** topic_config_text() - what is set; NULL when nothing is */
const char *topic_config_text(const struct topic_config *config, enum topic_config_key key);

/* ---- what holds for a topic: its own, else the broker's, else the built-in default ---- */

int64_t topic_config_int(const struct topic_log *log, const struct topic *topic,
                         enum topic_config_key key);
double topic_config_double(const struct topic_log *log, const struct topic *topic,
                           enum topic_config_key key);
/** topic_config_deletes() - old segments go by time and size; topic_config_compacts(): by key */
bool topic_config_deletes(const struct topic_log *log, const struct topic *topic);
bool topic_config_compacts(const struct topic_log *log, const struct topic *topic);
/** topic_config_roll_ms() - age at which a segment is full: segment.ms, or in a compacted topic
 * max.compaction.lag.ms when that is less */
int64_t topic_config_roll_ms(const struct topic_log *log, const struct topic *topic);
/** topic_config_codec() - that batches are stored with; -1: as the producer sent them */
int topic_config_codec(const struct topic_log *log, const struct topic *topic);
/** topic_config_append_time() - timestamps are those of the append */
bool topic_config_append_time(const struct topic_log *log, const struct topic *topic);
