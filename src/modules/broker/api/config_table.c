/*
 * Configs that belong to no topic: the values of the broker's that describe what happens here, and
 * the tables of groups and of telemetry subscriptions.
 */
#include "config_store.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the broker: the rows are in broker_config_*.c ---- */

/* Where clients are told to connect: to the listener that one came by, as Metadata tells; to
 * another by the address that was reached, since all are bound to the same, unless it has one set.
 */
static void advertised_at(const struct kafka_request *request,
                          const struct kafka_listener *listener, const char **ret_host,
                          int *ret_port) {
    if (listener->internal == request->internal) {
        *ret_host = request->advertised_host;
        *ret_port = request->advertised_port;
        return;
    }
    *ret_host = listener->advertised_host ? listener->advertised_host : request->local_host;
    *ret_port =
        listener->advertised_port ? listener->advertised_port : listener_port(listener->listener);
}

/* All listeners by name, comma between them; NULL without any, or without memory. */
static const char *listeners_text(const struct kafka_request *request, bool advertised) {
    const struct broker *broker = request->userdata;
    const struct kafka_server *server = broker->server;
    const char *text = NULL;

    for (unsigned i = 0; server && i < server->listener_count; i++) {
        const struct kafka_listener *listener = server->listeners[i];
        const char *host = listener->host;
        int port;
        bool v6;

        if (!listener->listener) {
            continue; /* closed, as the server is about to stop */
        }
        port = listener_port(listener->listener);
        if (advertised) {
            advertised_at(request, listener, &host, &port);
        }
        v6 = strchr(host, ':') != NULL;
        text = arena_printf(request->arena, "%s%s%s://%s%s%s:%d", text ? text : "", text ? "," : "",
                            listener->internal ? "internal" : "external", v6 ? "[" : "", host,
                            v6 ? "]" : "", port);
    }
    return text;
}

/* What this broker does; else what the module has set; NULL: the default. */
const char *broker_config_value(const struct kafka_request *request,
                                const struct broker_config_def *def) {
    static const struct {
        const char *name, *value;
    } fixed[] = {
        {"group.coordinator.rebalance.protocols", "classic"},
        {"listener.security.protocol.map", "external:PLAINTEXT,internal:PLAINTEXT"},
        {"num.io.threads", "1"},
        {"num.network.threads", "1"},
        {"offsets.topic.replication.factor", "1"},
        {"process.roles", "broker,controller"},
        {"transaction.state.log.replication.factor", "1"},
    };
    const struct broker *broker = request->userdata;
    const char *name = def->name;

    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        if (strcmp(name, fixed[i].name) == 0) {
            return fixed[i].value;
        }
    }
    for (const struct kafka_shown *s = broker->config ? broker->config->shown : NULL; s && s->name;
         s++) {
        if (strcmp(name, s->name) == 0) {
            return arena_printf(request->arena, "%lld", (long long)s->value);
        }
    }
    if (strcmp(name, "advertised.listeners") == 0 || strcmp(name, "listeners") == 0) {
        return listeners_text(request, name[0] == 'a');
    }
    if (strcmp(name, "broker.id") == 0 || strcmp(name, "node.id") == 0) {
        return arena_printf(request->arena, "%d", broker->node_id);
    }
    if (strcmp(name, "controller.quorum.voters") == 0) {
        return arena_printf(request->arena, "%d@%s:%d", broker->node_id, request->advertised_host,
                            request->advertised_port);
    }
    if (strcmp(name, "auto.create.topics.enable") == 0) {
        return broker->auto_create_topics ? "true" : "false";
    }
    if (strcmp(name, "num.partitions") == 0) {
        return arena_printf(request->arena, "%d", broker->default_partitions);
    }
    return strcmp(name, "log.dirs") == 0 || strcmp(name, "log.dir") == 0 ? broker_log_dir(broker)
                                                                         : NULL;
}

bool config_node(struct span name, int64_t *ret_node) {
    static const struct topic_config_def integer = {.name = "node", .type = CONFIG_TYPE_INT};
    const uint8_t *text = name.data;

    /* Blanks around it are those of a config, not of a node. */
    return name.size > 0 && text[0] > ' ' && text[name.size - 1] > ' ' &&
           config_def_parse(&integer, name, ret_node) == 0;
}

/* ---- groups: kept and shown; they act on protocols of groups that are not served yet ---- */

#define INT_OF(least, most) .type = CONFIG_TYPE_INT, .min = (least), .max = (most)
#define ANY_INT             .type = CONFIG_TYPE_INT, .min = 1, .max = INT32_MAX

static const char *const isolation_words[] = {"read_committed", "read_uncommitted", NULL};

static const struct topic_config_def group_defs[] = {
    {"consumer.assignment.interval.ms", "group.consumer.assignment.interval.ms", "1000", ANY_INT,
     .documentation = "Least time between two assignments of a consumer group."},
    {"consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms", "5000",
     INT_OF(5000, 15000), .documentation = "How often members of a consumer group report."},
    {"consumer.session.timeout.ms", "group.consumer.session.timeout.ms", "45000",
     INT_OF(45000, 60000), .documentation = "After which a silent member is gone."},
    {"share.assignment.interval.ms", "group.share.assignment.interval.ms", "1000", ANY_INT,
     .documentation = "Least time between two assignments of a share group."},
    {"share.auto.offset.reset", "share.auto.offset.reset", "latest", .type = CONFIG_TYPE_STRING,
     .documentation = "Where a share group begins: earliest, latest or by_duration:P1D."},
    {"share.delivery.count.limit", "group.share.delivery.count.limit", "5", INT_OF(2, 10),
     .documentation = "How often a record is offered to a share group."},
    {"share.heartbeat.interval.ms", "group.share.heartbeat.interval.ms", "5000",
     INT_OF(5000, 15000), .documentation = "How often members of a share group report."},
    {"share.isolation.level", "share.isolation.level", "read_uncommitted", .words = isolation_words,
     .type = CONFIG_TYPE_STRING,
     .documentation = "Whether a share group reads what transactions have not committed."},
    {"share.partition.max.record.locks", "group.share.partition.max.record.locks", "2000",
     INT_OF(100, 10000), .documentation = "Records of a partition that may be in work."},
    {"share.record.lock.duration.ms", "group.share.record.lock.duration.ms", "30000",
     INT_OF(15000, 60000), .documentation = "How long a record is one member's."},
    {"share.renew.acknowledge.enable", "share.renew.acknowledge.enable", "true",
     .type = CONFIG_TYPE_BOOLEAN, .documentation = "Whether a member may prolong that time."},
    {"share.session.timeout.ms", "group.share.session.timeout.ms", "45000", INT_OF(45000, 60000),
     .documentation = "After which a silent member is gone."},
    {"streams.assignment.interval.ms", "group.streams.assignment.interval.ms", "1000", ANY_INT,
     .documentation = "Least time between two assignments of a streams group."},
    {"streams.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms", "5000",
     INT_OF(5000, 15000), .documentation = "How often members of a streams group report."},
    {"streams.initial.rebalance.delay.ms", "group.streams.initial.rebalance.delay.ms", "3000",
     .type = CONFIG_TYPE_INT, .max = INT32_MAX,
     .documentation = "How long the first member of a streams group waits for more."},
    {"streams.num.standby.replicas", "group.streams.num.standby.replicas", "0", INT_OF(0, 2),
     .documentation = "Standby copies of each task."},
    {"streams.session.timeout.ms", "group.streams.session.timeout.ms", "45000",
     INT_OF(45000, 60000), .documentation = "After which a silent member is gone."},
};

static const struct topic_config_def metrics_defs[] = {
    {"interval.ms", NULL, "300000", INT_OF(100, 3600000),
     .documentation = "How often clients send the metrics."},
    {"match", NULL, "", .type = CONFIG_TYPE_LIST,
     .documentation = "Which clients: pairs such as client_id=regular expression."},
    {"metrics", NULL, "", .type = CONFIG_TYPE_LIST,
     .documentation = "Prefixes of the metrics that are wanted."},
};

const struct topic_config_def *resource_config_defs(int8_t type, size_t *ret_count) {
    *ret_count = type == RESOURCE_GROUP ? ARRAY_SIZE(group_defs) : ARRAY_SIZE(metrics_defs);
    return type == RESOURCE_GROUP ? group_defs : metrics_defs;
}

const struct topic_config_def *resource_config_def(int8_t type, struct span name) {
    size_t count;
    const struct topic_config_def *defs = resource_config_defs(type, &count);

    for (size_t i = 0; i < count; i++) {
        if (span_equal(name, span_text(defs[i].name))) {
            return &defs[i];
        }
    }
    return NULL;
}

/* The broker's limit of a group's config has "group." before and "min." or "max." inside. */
static const char *limit_fault(struct arena *arena, const struct topic_config_def *def,
                               int64_t value) {
    const char *dot = strchr(def->name, '.');
    const char *rest = strncmp(dot + 1, "num.", 4) == 0 ? dot + 5 : dot + 1;
    bool low = value < def->min;

    return arena_printf(arena, "%s must be %s than or equal to group.%.*s.%s.%s", def->name,
                        low ? "greater" : "less", (int)(dot - def->name), def->name,
                        low ? "min" : "max", rest);
}

static const char *group_fault(struct arena *arena, const struct topic_config_def *def,
                               struct span value) {
    char message[400] = "";
    int64_t number;
    struct topic_config_def loose = *def; /* of the type; the broker's limits come after it */

    if (strcmp(def->name, "share.auto.offset.reset") == 0) {
        static const struct span duration = SPAN_LITERAL("by_duration:P");

        return span_equal(value, SPAN_LITERAL("earliest")) ||
                       span_equal(value, SPAN_LITERAL("latest")) ||
                       (value.size > duration.size &&
                        memcmp(value.data, duration.data, duration.size) == 0)
                   ? NULL
                   : "Invalid value for configuration share.auto.offset.reset. The value must be "
                     "either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.";
    }
    loose.max = INT32_MAX;
    loose.min = MIN(def->min, 1);
    if (config_def_check(&loose, value, &number, message, sizeof message)) {
        return arena_dup(arena, message, strlen(message));
    }
    return def->type == CONFIG_TYPE_INT && (number < def->min || number > def->max)
               ? limit_fault(arena, def, number)
               : NULL;
}

/* Selectors of clients that a subscription may name. */
static bool pattern_valid(struct span value) {
    static const char *const names[] = {"client_instance_id=",    "client_id=",
                                        "client_software_name=",  "client_software_version=",
                                        "client_source_address=", "client_source_port="};
    const char *text = value.data;

    for (size_t at = 0, end; at < value.size; at = end + 1) {
        bool known = false;

        for (end = at; end < value.size && text[end] != ',';) {
            end++;
        }
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
            size_t size = strlen(names[i]);

            known |= end - at > size && memcmp(text + at, names[i], size) == 0;
        }
        if (!known) {
            return false;
        }
    }
    return true;
}

static int16_t metrics_check(struct arena *arena, const struct topic_config_def *def,
                             struct span value, const char **ret_message) {
    char message[400] = "";
    int64_t number;

    if (def->type == CONFIG_TYPE_INT &&
        config_def_check(def, value, &number, message, sizeof message)) {
        *ret_message =
            arena_printf(arena,
                         "Invalid value %.*s for interval.ms, interval must be between "
                         "100 and 3600000 (1 hour)",
                         (int)MIN(value.size, 100U), value.size ? (const char *)value.data : "");
        return KAFKA_INVALID_REQUEST;
    }
    if (strcmp(def->name, "match") == 0 && !pattern_valid(value)) {
        *ret_message = arena_printf(arena, "Illegal client matching pattern: %.*s",
                                    (int)MIN(value.size, 300U), (const char *)value.data);
        return KAFKA_INVALID_CONFIG;
    }
    return 0;
}

int16_t resource_config_check(struct arena *arena, int8_t type, const struct topic_config_def *def,
                              struct span value, const char **ret_message) {
    if (type == RESOURCE_CLIENT_METRICS) {
        return metrics_check(arena, def, value, ret_message);
    }
    *ret_message = group_fault(arena, def, value);
    return *ret_message ? KAFKA_INVALID_CONFIG : 0;
}
