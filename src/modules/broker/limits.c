/*
 * From settings to the limits of the parts: the log's, which the disk bounds, the groups', the
 * server's. And the settings that Kafka has as well, under its names.
 *
 * Descriptors that the process may have (RLIMIT_NOFILE; the host raises it to the hard limit):
 *
 *   | store, HTTP, journal, ... | segment files        | Kafka connections                        |
 *     1,024, or half of few       open_files_max, at     connections_max, at most what is left
 *                                 most two fifths of
 *                                 the rest
 */
#include "broker.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { DESCRIPTORS_RESERVED = 1024 };

/*
 * The log keeps at most three times tail_bytes and tail_spread_bytes that are acknowledged and in
 * no segment yet: half of the reserve must be able to take them, the other half is the WAL's. And
 * on a small disk the journal, which is allocated ahead of need, may not crowd out what it is for.
 */
static void bound_by_disk(const struct space *space, struct topic_log_limits *limits) {
    uint64_t acknowledged = space_reserve_bytes(space) / 2;
    limits->tail_bytes = MIN(limits->tail_bytes, acknowledged / 3);
    limits->tail_spread_bytes =
        MIN(limits->tail_spread_bytes, acknowledged - 3 * limits->tail_bytes);
    limits->journal_max_bytes =
        MIN(limits->journal_max_bytes, MAX(space_total_bytes(space) / 8, (uint64_t)MIB(8)));
}

struct broker_descriptors broker_descriptors(const struct broker_settings *settings,
                                             uint64_t limit) {
    uint64_t rest = limit > 2 * DESCRIPTORS_RESERVED ? limit - DESCRIPTORS_RESERVED : limit / 2;
    uint64_t files = MIN((uint64_t)settings->open_files_max, rest / 5 * 2);
    return (struct broker_descriptors){
        .files = (uint32_t)files,
        .connections = (unsigned)MIN((uint64_t)settings->connections_max, rest - files),
    };
}

static uint64_t descriptors_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return INT64_MAX;
    }
    return limit.rlim_cur;
}

void broker_limit_log(const struct broker_settings *settings, const struct space *space,
                      struct topic_log_limits *limits) {
    limits->journal_max_bytes = (uint64_t)settings->journal_max_bytes;
    limits->segment_bytes = (uint64_t)settings->segment_bytes;
    limits->tail_bytes = (uint64_t)settings->memory_bytes / 3;
    limits->tail_spread_bytes = (uint64_t)settings->memory_bytes;
    limits->partitions_max = (uint32_t)settings->partitions_max;
    limits->max_message_bytes = (uint32_t)settings->message_max_bytes;
    limits->open_files_max = broker_descriptors(settings, descriptors_limit()).files;
    limits->producer_expiry_ms = settings->producer_expiry_ms;
    limits->retention_check_ms = settings->retention_check_ms;
    limits->cleaner_ms = settings->cleaner_ms;
    limits->cleaner_memory_bytes = (uint64_t)settings->cleaner_memory_bytes;
    limits->cleaner_bytes_per_second = (uint64_t)settings->cleaner_bytes_per_second;
    limits->scrub_interval_ms = settings->scrub_interval_ms;
    limits->scrub_bytes_per_second = (uint64_t)settings->scrub_bytes_per_second;
    bound_by_disk(space, limits);
}

void broker_limit_groups(const struct broker_settings *settings,
                         struct coordinator_config *config) {
    config->limits = (struct group_limits){
        .session_min_ms = settings->session_min_ms,
        .session_max_ms = settings->session_max_ms,
        .initial_rebalance_delay_ms = settings->rebalance_delay_ms,
        .members_max = (unsigned)settings->members_max,
        .member_bytes_max = GROUP_LIMITS_DEFAULT.member_bytes_max,
    };
    config->memory_bytes = (size_t)settings->group_memory_bytes;
    config->retention_ms = settings->offsets_retention_ms;
    config->retention_check_ms = settings->offsets_check_ms;
}

void broker_limit_server(const struct broker_settings *settings, struct kafka_limits *limits) {
    limits->request_max_bytes = (size_t)settings->request_max_bytes;
    limits->memory_bytes = (size_t)settings->memory_bytes * 2 / 3;
    limits->idle_ms = settings->connections_idle_ms;
    limits->fetch_sessions = (unsigned)settings->fetch_sessions_max;
    limits->connections_max = broker_descriptors(settings, descriptors_limit()).connections;
}

/* Settings that Kafka has as well, for tools that ask for them under its names. */
void broker_show_settings(struct broker_module *broker) {
    const struct broker_settings *settings = &broker->settings;
    const struct kafka_shown shown[] = {
        {"group.initial.rebalance.delay.ms", settings->rebalance_delay_ms},
        {"group.max.session.timeout.ms", settings->session_max_ms},
        {"group.max.size", settings->members_max},
        {"group.min.session.timeout.ms", settings->session_min_ms},
        {"connections.max.idle.ms", settings->connections_idle_ms},
        {"log.cleaner.backoff.ms", settings->cleaner_ms},
        {"log.retention.check.interval.ms", settings->retention_check_ms},
        {"max.connections", broker_descriptors(settings, descriptors_limit()).connections},
        {"max.incremental.fetch.session.cache.slots", settings->fetch_sessions_max},
        {"offsets.retention.check.interval.ms", settings->offsets_check_ms},
        {"offsets.retention.minutes", settings->offsets_retention_ms / 60000},
        {"producer.id.expiration.ms", settings->producer_expiry_ms},
        {"socket.request.max.bytes", settings->request_max_bytes},
        {0},
    };
    _Static_assert(sizeof shown <= sizeof broker->shown, "too many settings are shown");
    memcpy(broker->shown, shown, sizeof shown);
    snprintf(broker->log_dir, sizeof broker->log_dir, "%s/topics", broker->context.data_path);
}
