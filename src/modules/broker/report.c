/*
 * What the broker says of itself: events of its parts as log lines, its health at /readyz, its
 * lines of the banner. Figures are in metrics.c.
 */
#include "broker.h"

#include <stdio.h>

/* ---- events of the parts, as log lines ---- */

void broker_on_log_event(void *userdata, enum topic_log_event event, const char *text) {
    static const enum log_event lines[] = {
        [TOPIC_LOG_RECOVERED] = LOG_BROKER_RECOVERED, [TOPIC_LOG_TORN_TAIL] = LOG_BROKER_TORN_TAIL,
        [TOPIC_LOG_DAMAGED] = LOG_BROKER_DAMAGED,     [TOPIC_LOG_MENDED] = LOG_BROKER_MENDED,
        [TOPIC_LOG_FAILED] = LOG_BROKER_FAILED,       [TOPIC_LOG_DISK_LOW] = LOG_BROKER_DISK,
        [TOPIC_LOG_DISK_FULL] = LOG_BROKER_DISK,      [TOPIC_LOG_DISK_AGAIN] = LOG_BROKER_DISK,
        [TOPIC_LOG_HELD] = LOG_BROKER_HELD,
    };
    struct broker_module *broker = userdata;
    log_emit(broker->context.log, lines[event], NULL, LOG_TEXT("what", text));
    if (event == TOPIC_LOG_DISK_FULL) {
        space_met_full(broker->context.space);
    }
}

/* ---- lines that a peer can cause, so many in a time ---- */

static void tell_bad_peers(struct log_limit *limit, uint64_t untold, int64_t seconds) {
    struct broker_module *broker = container_of(limit, struct broker_module, bad_peers);
    log_emit(broker->context.log, LOG_BROKER_BAD_PEERS, NULL,
             LOG_INT("connections", (int64_t)untold), LOG_INT("seconds", seconds));
}

static void tell_crowd(struct log_limit *limit, uint64_t untold, int64_t seconds) {
    struct broker_module *broker = container_of(limit, struct broker_module, crowds);
    log_emit(broker->context.log, LOG_BROKER_CROWDED, NULL, LOG_TEXT("what", "more of them"),
             LOG_INT("connections", (int64_t)untold), LOG_INT("seconds", seconds));
}

static void tell_full_groups(struct log_limit *limit, uint64_t untold, int64_t seconds) {
    struct broker_module *broker = container_of(limit, struct broker_module, full_groups);
    log_emit(broker->context.log, LOG_BROKER_GROUPS_FULL, NULL, LOG_TEXT("what", "more of it"),
             LOG_INT("refused", (int64_t)untold), LOG_INT("seconds", seconds));
}

void broker_limit_lines(struct broker_module *broker) {
    log_limit_init(&broker->bad_peers, broker->context.loop, tell_bad_peers);
    log_limit_init(&broker->crowds, broker->context.loop, tell_crowd);
    log_limit_init(&broker->full_groups, broker->context.loop, tell_full_groups);
    broker->crowds.lines_max = broker->full_groups.lines_max = 1; /* they would all say the same */
}

void broker_stop_lines(struct broker_module *broker) {
    log_limit_stop(&broker->bad_peers);
    log_limit_stop(&broker->crowds);
    log_limit_stop(&broker->full_groups);
}

static void report_crowd(struct broker_module *broker) {
    struct kafka_server_stats stats;
    char what[200];
    kafka_server_stats(broker->server, &stats);
    bool few_descriptors = stats.connections < broker->settings.connections_max;
    snprintf(what, sizeof what, "%u are open, the most that %s", (unsigned)stats.connections,
             few_descriptors ? "the descriptors of the process (ulimit -n) leave room for"
                             : "broker.connections_max allows");
    log_emit(broker->context.log, LOG_BROKER_CROWDED, NULL, LOG_TEXT("what", what),
             LOG_INT("open", stats.connections),
             LOG_INT("connections_max", broker->settings.connections_max));
}

void broker_on_groups_full(void *userdata) {
    struct broker_module *broker = userdata;
    struct coordinator_stats stats;
    if (!log_limit_take(&broker->full_groups)) {
        return;
    }
    const struct group *largest = coordinator_largest(broker->coordinator);
    coordinator_stats(broker->coordinator, &stats);
    log_emit(broker->context.log, LOG_BROKER_GROUPS_FULL, NULL,
             LOG_TEXT("what", "members or offsets do not fit into broker.group_memory: clients are "
                              "told to try again; delete groups, or raise it"),
             LOG_INT("group_memory_bytes", (int64_t)stats.memory_max_bytes),
             LOG_INT("used_bytes", (int64_t)stats.memory_bytes), LOG_INT("groups", stats.groups),
             LOG_TEXT("largest_group", largest ? largest->id : ""),
             LOG_INT("largest_group_bytes", largest ? (int64_t)largest->counted_bytes : 0));
}

void broker_on_server_event(void *userdata, enum kafka_server_event event, const char *peer,
                            const char *text) {
    static const enum log_event lines[] = {
        [KAFKA_SERVER_BAD_PEER] = LOG_BROKER_BAD_PEER,
        [KAFKA_SERVER_CLIENT_ENDED] = LOG_BROKER_CLIENT_ENDED,
        [KAFKA_SERVER_TOPIC_CREATED] = LOG_BROKER_TOPIC_CREATED,
        [KAFKA_SERVER_TOPIC_DELETED] = LOG_BROKER_TOPIC_DELETED,
    };
    struct broker_module *broker = userdata;
    if (event == KAFKA_SERVER_CROWDED) {
        if (log_limit_take(&broker->crowds)) {
            report_crowd(broker);
        }
        return;
    }
    bool ended = event == KAFKA_SERVER_BAD_PEER || event == KAFKA_SERVER_CLIENT_ENDED;
    if (ended && !log_limit_take(&broker->bad_peers)) {
        return;
    }
    log_emit(broker->context.log, lines[event], NULL, LOG_TEXT("peer", peer ? peer : ""),
             LOG_TEXT("what", text));
}

void broker_on_group(void *userdata, const struct group *group) {
    struct broker_module *broker = userdata;
    log_emit(broker->context.log, LOG_BROKER_GROUP, NULL, LOG_TEXT("group", group->id),
             LOG_TEXT("state", group_state_name(group->state)),
             LOG_INT("generation", group->generation), LOG_INT("members", group->member_count));
}

/* ---- what the host asks ---- */

void broker_health(void *state, struct module_health *ret_health) {
    struct broker_module *broker = state;
    struct coordinator_stats groups = {0};
    struct topic_log_holder holder;
    *ret_health = (struct module_health){.state = MODULE_OK};
    if (broker->coordinator) {
        coordinator_stats(broker->coordinator, &groups);
    }
    if (broker->draining) {
        ret_health->state = MODULE_DRAINING;
    } else if (broker->log && topic_log_failed(broker->log)) {
        ret_health->state = MODULE_FAILED;
        snprintf(ret_health->detail, sizeof ret_health->detail,
                 "the topic log has failed: reads go on, nothing is acknowledged until a restart");
    } else if (broker->log && topic_log_held(broker->log, &holder)) {
        ret_health->state = MODULE_FAILED;
        snprintf(ret_health->detail, sizeof ret_health->detail,
                 "the disk fills up and consumer %.40s holds %.60s-%d from offset %lld on: produce "
                 "is refused",
                 holder.consumer, holder.partition->topic->name, (int)holder.partition->index,
                 (long long)holder.offset);
    } else if (!broker->started) {
        ret_health->state = MODULE_STARTING;
        snprintf(ret_health->detail, sizeof ret_health->detail, "the topic log is recovering");
    } else if (groups.loading) {
        ret_health->state = MODULE_STARTING;
        snprintf(ret_health->detail, sizeof ret_health->detail, "consumer groups are loading");
    }
}

void broker_describe(void *state, struct text *out) {
    struct broker_module *broker = state;
    unsigned external = kafka_server_port(broker->server, 0);
    text_printf(out, "Kafka\tlocalhost:%u, and localhost:%u for programs inside\n", external,
                kafka_server_port(broker->server, 1));
    text_printf(out, "try\tkcat -b localhost:%u -C -t notification -e -f '%%k: %%s\\n'\n",
                external);
}
