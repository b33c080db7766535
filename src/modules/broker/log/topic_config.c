#include "codec.h"
#include "topic_log.h"

#include <ctype.h>
#include <errno.h>
#include <eventbox/base/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NUMBER_CHARS_MAX = 64, CLEANUP_COMPACT = 1, CLEANUP_DELETE = 2 };

/* A value while it is looked at: what it means, and what is wrong with it. */
struct parsed {
    int64_t number;
    double real;
    char *message;
    size_t message_size;
};

static _printf_(2, 3) int wrong(struct parsed *parsed, const char *format, ...) {
    if (parsed->message_size > 0) {
        va_list args;
        va_start(args, format);
        vsnprintf(parsed->message, parsed->message_size, format, args);
        va_end(args);
    }
    return BROKER_E_CONFIG;
}

static int wrong_value(struct parsed *parsed, const struct topic_config_def *def, struct span value,
                       const char *why) {
    return wrong(parsed, "Invalid value %.*s for configuration %s: %s", (int)MIN(value.size, 200U),
                 value.size ? (const char *)value.data : "", def->name, why);
}

/* Kafka's config classes do not mind blanks around a value. */
static struct span trimmed(struct span value) {
    const char *text = value.data;
    size_t from = 0;
    size_t to = value.size;
    while (from < to && isspace((unsigned char)text[from])) {
        from++;
    }
    while (to > from && isspace((unsigned char)text[to - 1])) {
        to--;
    }
    return from < to ? span_of(text + from, to - from) : SPAN_LITERAL("");
}

static bool copy_number(struct span value, char *ret_digits) {
    if (value.size == 0 || value.size >= NUMBER_CHARS_MAX || memchr(value.data, 0, value.size)) {
        return false;
    }
    memcpy(ret_digits, value.data, value.size);
    ret_digits[value.size] = 0;
    return true;
}

/* ---- by type ---- */

static int parse_integer(const struct topic_config_def *def, struct span value,
                         struct parsed *parsed) {
    char digits[NUMBER_CHARS_MAX];
    char *end = NULL;
    if (copy_number(value, digits)) {
        errno = 0;
        parsed->number = strtoll(digits, &end, 10);
    }
    if (!end || end == digits || *end || errno ||
        (def->type == CONFIG_TYPE_INT && (int32_t)parsed->number != parsed->number)) {
        return wrong_value(parsed, def, value,
                           def->type == CONFIG_TYPE_INT ? "Not a number of type INT"
                                                        : "Not a number of type LONG");
    }
    return 0;
}

/* As Java reads a double: a letter d or f may follow, and there is nothing hexadecimal in it. */
static int parse_double(const struct topic_config_def *def, struct span value,
                        struct parsed *parsed) {
    char digits[NUMBER_CHARS_MAX];
    char *end = NULL;
    bool fine = copy_number(value, digits) && strpbrk(digits, "xXpP") == NULL;
    if (fine) {
        parsed->real = strtod(digits, &end);
        fine = end != digits && (!*end || (strchr("dDfF", *end) && !end[1]));
    }
    return fine ? 0 : wrong_value(parsed, def, value, "Not a number of type DOUBLE");
}

static int parse_boolean(const struct topic_config_def *def, struct span value,
                         struct parsed *parsed) {
    bool yes = value.size == 4 && strncasecmp(value.data, "true", 4) == 0;
    bool no = value.size == 5 && strncasecmp(value.data, "false", 5) == 0;
    parsed->number = yes;
    return yes || no ? 0
                     : wrong_value(parsed, def, value, "Expected value to be either true or false");
}

/* The index of @word among those that @def allows; with a message when it is none of them. */
static int parse_word(const struct topic_config_def *def, struct span word, struct parsed *parsed) {
    char why[200] = "String must be one of: ";
    for (int i = 0; def->words[i]; i++) {
        if (span_equal(word, span_text(def->words[i]))) {
            parsed->number = i;
            return 0;
        }
        size_t used = strlen(why);
        snprintf(why + used, sizeof why - used, "%s%s", i ? ", " : "", def->words[i]);
    }
    return wrong_value(parsed, def, word, why);
}

/* "*", or pairs such as 0:1. */
static bool is_replica(struct span word) {
    const char *text = word.data;
    size_t colons = 0;
    for (size_t i = 0; i < word.size; i++) {
        bool colon = text[i] == ':' && i > 0 && i + 1 < word.size;
        colons += colon;
        if (!colon && !isdigit((unsigned char)text[i])) {
            return false;
        }
    }
    return colons == 1;
}

static int parse_list(const struct topic_config_def *def, struct span value,
                      struct parsed *parsed) {
    const char *text = value.data;
    int64_t bits = 0;
    for (size_t at = 0, end; value.size > 0 && at <= value.size; at = end + 1) {
        for (end = at; end < value.size && text[end] != ',';) {
            end++;
        }
        struct span word = trimmed(span_of(text + at, end - at));
        if (def->words) {
            if (word.size == 0) {
                return wrong(parsed, "Configuration '%s' values must not be empty.", def->name);
            }
            if (parse_word(def, word, parsed)) {
                return BROKER_E_CONFIG;
            }
            bits |= INT64_C(1) << parsed->number;
        } else if (!is_replica(word) && !span_equal(value, SPAN_LITERAL("*"))) {
            return wrong(parsed,
                         "Invalid value [%.*s] for configuration %s: %s must be the literal '*' or "
                         "a list of replicas in the following format: "
                         "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                         (int)MIN(value.size, 200U), text, def->name, def->name);
        }
    }
    parsed->number = bits;
    return 0;
}

static int parse(const struct topic_config_def *def, struct span raw, struct parsed *parsed) {
    struct span value = trimmed(raw);
    if (raw.size > 0 && memchr(raw.data, 0, raw.size)) {
        return wrong(parsed, "Invalid value for configuration %s: it holds a zero byte", def->name);
    }
    switch (def->type) {
    case CONFIG_TYPE_BOOLEAN:
        return parse_boolean(def, value, parsed);
    case CONFIG_TYPE_DOUBLE:
        return parse_double(def, value, parsed);
    case CONFIG_TYPE_STRING:
        return parse_word(def, value, parsed);
    case CONFIG_TYPE_LIST:
        return parse_list(def, value, parsed);
    default:
        return parse_integer(def, value, parsed);
    }
}

/* ---- ranges ---- */

static int check_range(const struct topic_config_def *def, struct span value,
                       const struct parsed *parsed, struct parsed *message) {
    char why[80] = "";
    bool integer = def->type == CONFIG_TYPE_INT || def->type == CONFIG_TYPE_LONG;
    bool real = def->type == CONFIG_TYPE_DOUBLE;
    if ((integer && parsed->number < def->min) || (real && parsed->real < (double)def->min)) {
        snprintf(why, sizeof why, "Value must be at least %lld", (long long)def->min);
    } else if ((integer && parsed->number > def->max) ||
               (real && def->max != INT64_MAX && parsed->real > (double)def->max)) {
        snprintf(why, sizeof why, "Value must be no more than %lld", (long long)def->max);
    }
    if (strcmp(def->name, "compression.gzip.level") == 0 && parsed->number != -1 &&
        (parsed->number < 1 || parsed->number > 9)) {
        snprintf(why, sizeof why, "Value must be between 1 and 9 or equal to -1");
    }
    return why[0] ? wrong_value(message, def, trimmed(value), why) : 0;
}

enum topic_config_key topic_config_find(struct span name) {
    int key = 0;
    while (key < TOPIC_CONFIG_COUNT && !span_equal(name, span_text(topic_config_defs[key].name))) {
        key++;
    }
    return (enum topic_config_key)key;
}

int config_def_check(const struct topic_config_def *def, struct span value, int64_t *ret_number,
                     char *ret_message, size_t size) {
    struct parsed parsed = {.message = ret_message, .message_size = size};
    int r = parse(def, value, &parsed);
    *ret_number = parsed.number;
    return r ? r : check_range(def, value, &parsed, &parsed);
}

int topic_config_check(enum topic_config_key key, struct span value, char *ret_message,
                       size_t size) {
    const struct topic_config_def *def = &topic_config_defs[key];
    int64_t number;
    int r = config_def_check(def, value, &number, ret_message, size);
    if (r == 0 && key == TOPIC_REMOTE_STORAGE_ENABLE && number) {
        struct parsed parsed = {.message = ret_message, .message_size = size};
        r = wrong(&parsed, "Tiered Storage functionality is disabled in the broker. Topic cannot "
                           "be configured with remote log storage.");
    }
    return r;
}

/* ---- what a topic sets ---- */

static bool is_set(const struct topic_config *config, enum topic_config_key key) {
    return config->set >> key & 1;
}

/* Where the value of @key stands, or would stand. */
static unsigned position_of(const struct topic_config *config, enum topic_config_key key) {
    return (unsigned)__builtin_popcountll(config->set & ((UINT64_C(1) << key) - 1));
}

static unsigned count_of(const struct topic_config *config) {
    return (unsigned)__builtin_popcountll(config->set);
}

static const struct topic_config_value *value_of(const struct topic_config *config,
                                                 enum topic_config_key key) {
    return is_set(config, key) ? &config->values[position_of(config, key)] : NULL;
}

int topic_config_set(struct topic_config *config, enum topic_config_key key, struct span value) {
    struct parsed parsed = {0};
    int r = parse(&topic_config_defs[key], value, &parsed);
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
