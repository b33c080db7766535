/*
 * What may be set for the broker while it runs, in the steps and words of Kafka's broker:
 *
 *   1. the operations are done, in their order; words are added to known lists only
 *   2. names: what Kafka never changes, what it changes for single listeners only
 *   3. types and ranges of all values
 *   4. what is a node's own is not set for all nodes
 *   5. what ours does not change although Kafka does: it would be relied on without acting
 *   6. requirements between values, as at Kafka's start
 *   7. what a running broker does not do: resize threads by more than a factor of two, and the like
 *
 * A name that Kafka does not know is taken, kept, and shown without its value: a plugin might want
 * it, and it might be a secret.
 */
#include "alter_private.h"

#include <stdio.h>

/* Set with the prefix of a listener only. */
static const char *const secrets[] = {
    "ssl.key.password",        "ssl.keystore.certificate.chain", "ssl.keystore.key",
    "ssl.keystore.location",   "ssl.keystore.password",          "ssl.keystore.type",
    "ssl.truststore.location", "ssl.truststore.certificates",    "ssl.truststore.password",
    "ssl.truststore.type",
};

/* Kafka changes these for one node, not for all at once; here none of them is changed. */
static const char *const of_a_node[] = {
    "cordoned.log.dirs",
    "listener.security.protocol.map",
    "listeners",
    "principal.builder.class",
    "sasl.enabled.mechanisms",
    "sasl.jaas.config",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal.to.local.rules",
    "sasl.kerberos.service.name",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.mechanism.inter.broker.protocol",
    "ssl.cipher.suites",
    "ssl.client.auth",
    "ssl.enabled.protocols",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.factory.class",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
};

/* Kafka changes these for all nodes, too; here none of them is changed. */
static const char *const not_here[] = {
    "config.providers",          "log.cleaner.backoff.ms", "max.connection.creation.rate",
    "max.connections",           "max.connections.per.ip", "max.connections.per.ip.overrides",
    "metric.reporters",          "num.io.threads",         "num.network.threads",
    "producer.id.expiration.ms",
};

static const char *const thread_counts[] = {
    "background.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
};

enum { MEBIBYTE = 1 << 20 };

static bool is_in(struct span name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (span_equal(name, span_text(names[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_of_listener(struct span name) {
    static const struct span prefix = SPAN_LITERAL("listener.name.");

    return name.size > prefix.size && memcmp(name.data, prefix.data, prefix.size) == 0;
}

/* ---- 1: operations ---- */

static int16_t change_words(struct alteration *alteration, const struct config_operation *operation,
                            const struct config_set *set, struct span *ret_value) {
    const char *what = operation->op == OP_APPEND
                           ? "Config value append is not allowed for config key: "
                           : "Config value subtract is not allowed for config key: ";
    const char *now = config_set_get(set, operation->name);
    const char *fallback = NULL;

    if (!broker_config_known(operation->name)) {
        return alteration_say(alteration, KAFKA_INVALID_CONFIG,
                              "Unknown config name: ", operation->name, "");
    }
    if (broker_config_type(operation->name, &fallback) != CONFIG_TYPE_LIST) {
        return alteration_say(alteration, KAFKA_INVALID_CONFIG, what, operation->name, "");
    }
    *ret_value = alteration_list(alteration_arena(alteration), now ? now : fallback,
                                 operation->value, operation->op);
    return 0;
}

static int16_t do_operations(struct alteration *alteration, struct config_set *set) {
    int16_t error = 0;

    for (int32_t i = 0; !error && i < alteration->count; i++) {
        const struct config_operation *operation = &alteration->operations[i];
        struct span value = operation->value;

        if (operation->op == OP_DELETE) {
            config_set_remove(set, operation->name);
            continue;
        }
        if (operation->op != OP_SET) {
            error = change_words(alteration, operation, set, &value);
        }
        if (!error &&
            ((value.size && memchr(value.data, 0, value.size)) ||
             (operation->name.size && memchr(operation->name.data, 0, operation->name.size)))) {
            error = alteration_say(alteration, KAFKA_INVALID_REQUEST, "A config holds a zero byte.",
                                   SPAN_NULL, "");
        }
        if (!error && config_set_put(set, operation->name, value)) {
            error = KAFKA_UNKNOWN_SERVER_ERROR;
        }
    }
    return error;
}

/* ---- 2, 4, 5: names ---- */

static bool is_secret(struct span name) {
    return is_in(name, secrets, ARRAY_SIZE(secrets));
}

static bool is_of_a_node(struct span name) {
    return is_of_listener(name) || is_in(name, of_a_node, ARRAY_SIZE(of_a_node));
}

static bool is_fixed(struct span name) {
    struct topic_config_def room;

    return broker_config_known(name) && !broker_config_kept(name, &room) && !is_secret(name) &&
           !is_of_a_node(name) && !is_in(name, not_here, ARRAY_SIZE(not_here));
}

static bool is_not_here(struct span name) {
    return is_of_a_node(name) || is_in(name, not_here, ARRAY_SIZE(not_here));
}

/* Refused when any name that is set @is of a kind; all of them are told. */
static int16_t refuse_names(struct alteration *alteration, bool (*is)(struct span name),
                            const char *what) {
    const char *names = NULL;

    for (int32_t i = 0; i < alteration->count; i++) {
        const struct config_operation *operation =
            &alteration->operations[(uint32_t)alteration->order[i]];

        if (operation->op != OP_DELETE && is(operation->name)) {
            names = names_append(alteration_arena(alteration), names, ", ", operation->name);
        }
    }
    return names ? alteration_say(alteration, KAFKA_INVALID_REQUEST, what, span_text(names), "]")
                 : 0;
}

/* ---- 3: values ---- */

static int16_t check_values(struct alteration *alteration, const struct config_set *set) {
    char message[400] = "";

    for (unsigned i = 0; i < set->count; i++) {
        struct topic_config_def def;
        int64_t number;

        if (broker_config_kept(span_text(set->pairs[i].name), &def) &&
            config_def_check(&def, span_text(set->pairs[i].value), &number, message,
                             sizeof message)) {
            alteration->message = arena_dup(alteration_arena(alteration), message, strlen(message));
            return KAFKA_INVALID_REQUEST;
        }
    }
    return 0;
}

/* ---- 6, 7: what values mean together ---- */

/* What holds for the broker of @name; with @set as it would be, or NULL: as it is. */
static int64_t number_of(const struct alteration *alteration, const struct config_set *set,
                         const char *name) {
    const struct broker *broker = alteration->changes->broker;
    bool all = alteration->name.size == 0;
    char node[16];
    const struct config_set *own, *common;
    const char *text;
    struct topic_config_def def;
    int64_t number = 0;

    snprintf(node, sizeof node, "%d", broker->node_id);
    own = set && !all ? set : config_store_find(broker->configs, RESOURCE_BROKER, span_text(node));
    common =
        set && all ? set : config_store_find(broker->configs, RESOURCE_BROKER, SPAN_LITERAL(""));
    text = config_set_get(own, span_text(name));
    text = text ? text : config_set_get(common, span_text(name));
    if (broker_config_kept(span_text(name), &def)) {
        text = text ? text : broker_config_static(broker, span_text(name), def.default_text);
        (void)config_def_parse(&def, span_text(text), &number);
    }
    return number;
}

static int16_t requirement(struct alteration *alteration, const char *what) {
    return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                          "requirement failed: ", span_text(what), "");
}

static int16_t check_requirements(struct alteration *alteration, const struct config_set *set) {
    int64_t threads = number_of(alteration, set, "log.cleaner.threads");

    if (number_of(alteration, set, "log.roll.ms") < 1) {
        return requirement(alteration, "log.roll.ms must be greater than or equal to 1");
    }
    if (number_of(alteration, set, "log.roll.jitter.ms") < 0) {
        return requirement(alteration, "log.roll.jitter.ms must be greater than or equal to 0");
    }
    if (number_of(alteration, set, "log.retention.ms") == 0) {
        return requirement(alteration, "log.retention.ms must be unlimited (-1) or, greater than "
                                       "or equal to 1");
    }
    if (threads == 0) {
        return alteration_say(alteration, KAFKA_INVALID_REQUEST, "/ by zero", SPAN_NULL, "");
    }
    if (number_of(alteration, set, "log.cleaner.dedupe.buffer.size") / threads <= MEBIBYTE) {
        return requirement(alteration, "log.cleaner.dedupe.buffer.size must be at least 1MB per "
                                       "cleaner thread.");
    }
    return 0;
}

/* The most of an interval between assignments is a config that is never changed. */
static int16_t check_intervals(struct alteration *alteration, const struct config_set *set) {
    static const char *const kinds[] = {"consumer", "share", "streams"};
    enum { INTERVAL_MAX_MS = 15000 };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        char *name =
            arena_printf(alteration_arena(alteration), "group.%s.assignment.interval.ms", kinds[i]);

        if (name && number_of(alteration, set, name) > INTERVAL_MAX_MS) {
            alteration->message =
                arena_printf(alteration_arena(alteration),
                             "%s must be less than or equal to group.%s.max.assignment.interval.ms",
                             name, kinds[i]);
            return KAFKA_INVALID_REQUEST;
        }
    }
    return 0;
}

/* As the message of one exception of Kafka's becomes the value of another. */
static int16_t cannot_be_done(struct alteration *alteration, const char *what) {
    return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                          "Invalid value org.apache.kafka.common.config.ConfigException: ",
                          span_text(what ? what : ""),
                          " for configuration Invalid dynamic configuration");
}

static int16_t check_threads(struct alteration *alteration, const struct config_set *set) {
    struct arena *arena = alteration_arena(alteration);

    for (size_t i = 0; i < ARRAY_SIZE(thread_counts); i++) {
        const char *name = thread_counts[i];
        long long next = number_of(alteration, set, name);
        long long now = number_of(alteration, NULL, name);

        if (next < now / 2 || next > now * 2) {
            return cannot_be_done(
                alteration,
                arena_printf(arena,
                             "Dynamic thread count update validation failed for %s=%lld, value "
                             "should %s the current value %lld",
                             name, next,
                             next < now ? "be at least half" : "not be greater than double", now));
        }
    }
    return 0;
}

static int16_t check_cleaner(struct alteration *alteration, const struct config_set *set) {
    long long next = number_of(alteration, set, "log.cleaner.threads");
    long long now = number_of(alteration, NULL, "log.cleaner.threads");

    if (next >= now / 2 && next <= now * 2) {
        return 0;
    }
    return cannot_be_done(
        alteration,
        arena_printf(
            alteration_arena(alteration), "Log cleaner threads cannot be %s the current value %lld",
            next < now ? "reduced to less than half" : "increased to more than double", now));
}

/* The local part of a log is no longer than all of it. */
static int16_t check_local(struct alteration *alteration, const struct config_set *set,
                           const char *local_name, const char *name) {
    long long local = number_of(alteration, set, local_name);
    long long all = number_of(alteration, set, name);

    if (all < 0 || local == -2 || (local != -1 && local <= all)) {
        return 0;
    }
    return cannot_be_done(
        alteration,
        local == -1
            ? arena_printf(alteration_arena(alteration),
                           "Invalid value -1 for configuration %s: Value must not be -1 as %s "
                           "value is set as %lld.",
                           local_name, name, all)
            : arena_printf(alteration_arena(alteration),
                           "Invalid value %lld for configuration %s: Value must not be more than "
                           "%s property value: %lld",
                           local, local_name, name, all));
}

/* The cluster always has min.insync.replicas, and its one node never one of its own (KIP-966). */
static int16_t check_insync(struct alteration *alteration, const struct config_set *set) {
    struct span name = SPAN_LITERAL("min.insync.replicas");

    if (alteration->name.size == 0) {
        return config_set_get(set, name)
                   ? 0
                   : alteration_say(alteration, KAFKA_INVALID_CONFIG, "Cluster-level ", name,
                                    " cannot be removed while ELR is enabled.");
    }
    for (int32_t i = 0; i < alteration->count; i++) {
        if (span_equal(alteration->operations[i].name, name)) {
            return alteration_say(alteration, KAFKA_INVALID_CONFIG, "Broker-level ", name,
                                  " cannot be altered while ELR is enabled.");
        }
    }
    return 0;
}

static int16_t check_meaning(struct alteration *alteration, const struct config_set *set) {
    int16_t error = check_requirements(alteration, set);

    error = error ? error : check_intervals(alteration, set);
    error = error ? error : check_threads(alteration, set);
    error =
        error ? error : check_local(alteration, set, "log.local.retention.ms", "log.retention.ms");
    error = error
                ? error
                : check_local(alteration, set, "log.local.retention.bytes", "log.retention.bytes");
    error = error ? error : check_cleaner(alteration, set);
    return error ? error : check_insync(alteration, set);
}

int16_t alter_broker_values(struct alteration *alteration, struct config_set *set) {
    static const char fixed[] = "Cannot update these configs dynamically: [";
    int16_t error = do_operations(alteration, set);

    error = error ? error : refuse_names(alteration, is_fixed, fixed);
    error = error ? error
                  : refuse_names(alteration, is_secret,
                                 "These security configs can be dynamically updated only "
                                 "per-listener using the listener prefix: [");
    error = error ? error : check_values(alteration, set);
    if (!error && alteration->name.size == 0) {
        error = refuse_names(alteration, is_of_a_node,
                             "Cannot update these configs at default cluster level, broker id "
                             "must be specified: [");
    }
    error = error ? error : refuse_names(alteration, is_not_here, fixed);
    return error ? error : check_meaning(alteration, set);
}
