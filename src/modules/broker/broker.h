/* The state of the broker module: its settings and its parts. Private to this folder. */
#pragma once

#include "coordinator.h"
#include "kafka_server.h"
#include "topic_port.h"

#include <eventbox/host/log_limit.h>
#include <eventbox/host/module.h>

/* Filled by the host from the rows in settings.c. */
struct broker_settings {
    char *host;
    int64_t external_port, internal_port;
    char *external_advertised_host, *internal_advertised_host;
    int64_t external_advertised_port, internal_advertised_port;
    bool auto_create_topics;
    int64_t default_partitions, connections_max, connections_idle_ms, fetch_sessions_max;
    int64_t request_max_bytes, memory_bytes;
    int64_t journal_max_bytes, segment_bytes, message_max_bytes, partitions_max, open_files_max;
    int64_t producer_expiry_ms;
    int64_t retention_check_ms;
    int64_t cleaner_ms, cleaner_memory_bytes, cleaner_bytes_per_second;
    int64_t scrub_interval_ms, scrub_bytes_per_second;
    int64_t rebalance_delay_ms, session_min_ms, session_max_ms, members_max;
    int64_t group_memory_bytes, offsets_retention_ms, offsets_check_ms;
};

struct broker_module {
    struct broker_settings settings;
    struct module_context context;
    struct space_watcher space_watcher;
    struct log_limit bad_peers, crowds, full_groups; /* of the lines about them */
    struct topic_log *log;
    struct coordinator *coordinator;
    struct broker_topics *topics;
    struct kafka_server *server;
    struct kafka_handlers group_handlers;
    struct kafka_shown shown[14];
    char log_dir[4096];
    bool log_begun, started, draining;
    module_done_fn done; /* of the start or stop under way */
    void *done_userdata;
    char message[300]; /* why init or start failed */
};

extern const struct module broker_module;

/* settings.c */
extern const struct conf_row broker_conf_rows[];

/* limits.c: what the settings say to each part */
/* Of the descriptors that a process may have: for segment files, and for connections. */
struct broker_descriptors {
    uint32_t files;
    unsigned connections;
};
/** broker_descriptors() - how @limit descriptors are shared out; @limit: of the whole process */
struct broker_descriptors broker_descriptors(const struct broker_settings *settings,
                                             uint64_t limit);
void broker_limit_log(const struct broker_settings *settings, const struct space *space,
                      struct topic_log_limits *limits);
void broker_limit_groups(const struct broker_settings *settings, struct coordinator_config *config);
void broker_limit_server(const struct broker_settings *settings, struct kafka_limits *limits);
/** broker_show_settings() - those that Kafka has as well, for tools that ask for them */
void broker_show_settings(struct broker_module *broker);

/* report.c: callbacks of the parts, whose userdata is the broker, and of the host */
void broker_on_log_event(void *userdata, enum topic_log_event event, const char *text);
void broker_on_server_event(void *userdata, enum kafka_server_event event, const char *peer,
                            const char *text);
void broker_on_group(void *userdata, const struct group *group);
void broker_on_groups_full(void *userdata);
/** broker_limit_lines() - how often the lines come that a peer can cause; before anything starts */
void broker_limit_lines(struct broker_module *broker);
void broker_stop_lines(struct broker_module *broker);
void broker_health(void *state, struct module_health *ret_health);
void broker_describe(void *state, struct text *out);

/* metrics.c */
extern const struct metric_row broker_metric_rows[];
void broker_collect(void *state);
/** broker_collect_log() - what the log alone knows, into the metrics of the rows above */
void broker_collect_log(const struct topic_log *log, struct metric *metrics);
