/*
 * The broker: topic log, consumer groups and the Kafka protocol on two listeners. It provides the
 * port "topics" to the other modules.
 *
 * Start: recover the topic log (off the loop), make coordinator and topic port, open the listeners;
 * groups load while clients connect. Stop: the listeners first, then the log with a checkpoint.
 */
#include "broker.h"

#include "log_commands.h"

#include <errno.h>
#include <eventbox/loop/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DESCRIPTORS_RESERVED = 1024 };

/* ---- tables ---- */

#define ROW(field) offsetof(struct broker_module, settings.field)

static const struct conf_row conf_rows[] = {
    {.name = "host",
     .type = CONF_STRING,
     .offset = ROW(host),
     .default_text = "localhost",
     .doc = "Address of both listeners. Off loopback it needs insecure = yes."},
    {.name = "external_port",
     .type = CONF_INT,
     .offset = ROW(external_port),
     .default_text = "9092",
     .max = 65535,
     .doc = "Port of the listener `external`. 0 lets the kernel choose."},
    {.name = "internal_port",
     .type = CONF_INT,
     .offset = ROW(internal_port),
     .default_text = "9093",
     .max = 65535,
     .doc = "Port of the listener `internal`. 0 lets the kernel choose."},
    {.name = "external_advertised_host",
     .type = CONF_STRING,
     .offset = ROW(external_advertised_host),
     .default_text = "",
     .doc = "Host that clients of `external` are told. Empty: the address they reached."},
    {.name = "external_advertised_port",
     .type = CONF_INT,
     .offset = ROW(external_advertised_port),
     .default_text = "0",
     .max = 65535,
     .doc = "Port that clients of `external` are told. 0: the port they reached."},
    {.name = "internal_advertised_host",
     .type = CONF_STRING,
     .offset = ROW(internal_advertised_host),
     .default_text = "",
     .doc = "Host that clients of `internal` are told. Empty: the address they reached."},
    {.name = "internal_advertised_port",
     .type = CONF_INT,
     .offset = ROW(internal_advertised_port),
     .default_text = "0",
     .max = 65535,
     .doc = "Port that clients of `internal` are told. 0: the port they reached."},
    {.name = "auto_create_topics",
     .type = CONF_BOOL,
     .offset = ROW(auto_create_topics),
     .default_text = "yes",
     .doc =
         "Make a topic when a client that allows it asks for metadata of one that does not exist."},
    {.name = "default_partitions",
     .type = CONF_INT,
     .offset = ROW(default_partitions),
     .default_text = "4",
     .min = 1,
     .max = 10000,
     .unit = "partitions",
     .doc = "Partitions of a topic that is made on first use."},
    {.name = "connections_max",
     .type = CONF_INT,
     .offset = ROW(connections_max),
     .default_text = "20000",
     .min = 1,
     .max = 1000000,
     .unit = "connections",
     .doc = "Kafka connections at once; more are closed at once. Never so many that descriptors "
            "for files would lack."},
    {.name = "connections_idle",
     .type = CONF_DURATION,
     .offset = ROW(connections_idle_ms),
     .default_text = "10m",
     .min = 1000,
     .max = INT64_C(31536000000),
     .unit = "ms",
     .doc = "Kafka connections without a byte either way for so long are closed."},
    {.name = "fetch_sessions_max",
     .type = CONF_INT,
     .offset = ROW(fetch_sessions_max),
     .default_text = "1000",
     .max = 1000000,
     .unit = "sessions",
     .doc = "Fetch sessions that are remembered at once. 0 keeps none."},
    {.name = "request_max",
     .type = CONF_SIZE,
     .offset = ROW(request_max_bytes),
     .default_text = "100MiB",
     .min = 65536,
     .max = 1 << 30,
     .unit = "bytes",
     .doc = "Largest Kafka request."},
    {.name = "memory",
     .type = CONF_SIZE,
     .offset = ROW(memory_bytes),
     .default_text = "24MiB",
     .min = 4 << 20,
     .max = INT64_C(1) << 40,
     .unit = "bytes",
     .doc = "Memory of large requests and of the log's tail together; a third is the tail's."},
    {.name = "journal_max",
     .type = CONF_SIZE,
     .offset = ROW(journal_max_bytes),
     .default_text = "256MiB",
     .min = 8 << 20,
     .max = INT64_C(1) << 36,
     .unit = "bytes",
     .doc = "All journal files together; bounds the time of a start after a crash."},
    {.name = "segment",
     .type = CONF_SIZE,
     .offset = ROW(segment_bytes),
     .default_text = "1GiB",
     .min = 1 << 20,
     .max = INT64_C(2147483647),
     .unit = "bytes",
     .doc = "Default of segment.bytes."},
    {.name = "message_max",
     .type = CONF_SIZE,
     .offset = ROW(message_max_bytes),
     .default_text = "1048588",
     .min = 1024,
     .max = 1 << 30,
     .unit = "bytes",
     .doc = "Default of max.message.bytes: the largest record batch."},
    {.name = "partitions_max",
     .type = CONF_INT,
     .offset = ROW(partitions_max),
     .default_text = "20000",
     .min = 100,
     .max = 1000000,
     .unit = "partitions",
     .doc = "Partitions of all topics together."},
    {.name = "open_files_max",
     .type = CONF_INT,
     .offset = ROW(open_files_max),
     .default_text = "512",
     .min = 16,
     .max = 100000,
     .unit = "files",
     .doc = "Segment files that are open at once."},
    {.name = "producer_expiry",
     .type = CONF_DURATION,
     .offset = ROW(producer_expiry_ms),
     .default_text = "1d",
     .min = 1000,
     .max = INT64_C(31536000000),
     .unit = "ms",
     .doc = "Idempotent producers are forgotten after so long."},
    {.name = "retention_check",
     .type = CONF_DURATION,
     .offset = ROW(retention_check_ms),
     .default_text = "5m",
     .min = 1,
     .max = INT64_C(86400000),
     .unit = "ms",
     .doc = "How often segments beyond retention.ms or retention.bytes are looked for."},
    {.name = "cleaner_interval",
     .type = CONF_DURATION,
     .offset = ROW(cleaner_ms),
     .default_text = "15s",
     .max = 86400000,
     .unit = "ms",
     .doc = "How often it is looked which compacted topic needs compaction; 0: never (Kafka's "
            "log.cleaner.backoff.ms)."},
    {.name = "cleaner_memory",
     .type = CONF_SIZE,
     .offset = ROW(cleaner_memory_bytes),
     .default_text = "4MiB",
     .min = 1024,
     .max = INT64_C(1) << 36,
     .unit = "bytes",
     .doc = "Memory for the keys of one compaction at most, 30 bytes each; what does not fit waits "
            "for the next one (Kafka's log.cleaner.dedupe.buffer.size)."},
    {.name = "cleaner_rate",
     .type = CONF_SIZE,
     .offset = ROW(cleaner_bytes_per_second),
     .default_text = "64MiB",
     .max = INT64_C(1) << 40,
     .unit = "bytes",
     .doc = "What compaction reads and writes a second at most; 0: no limit (Kafka's "
            "log.cleaner.io.max.bytes.per.second)."},
    {.name = "group_initial_rebalance_delay",
     .type = CONF_DURATION,
     .offset = ROW(rebalance_delay_ms),
     .default_text = "0ms",
     .max = 60000,
     .unit = "ms",
     .doc = "How long the first join of an empty group waits for more."},
    {.name = "group_min_session_timeout",
     .type = CONF_DURATION,
     .offset = ROW(session_min_ms),
     .default_text = "6s",
     .min = 1,
     .max = 86400000,
     .unit = "ms",
     .doc = "Shortest session timeout that a member may ask for."},
    {.name = "group_max_session_timeout",
     .type = CONF_DURATION,
     .offset = ROW(session_max_ms),
     .default_text = "30m",
     .min = 1000,
     .max = 86400000,
     .unit = "ms",
     .doc = "Longest session timeout that a member may ask for."},
    {.name = "group_members_max",
     .type = CONF_INT,
     .offset = ROW(members_max),
     .default_text = "500",
     .min = 1,
     .max = 100000,
     .unit = "members",
     .doc = "Members of one group."},
    {.name = "groups_max",
     .type = CONF_INT,
     .offset = ROW(groups_max),
     .default_text = "1000",
     .min = 1,
     .max = 1000000,
     .unit = "groups",
     .doc = "Consumer groups that are remembered."},
    {.name = "group_memory",
     .type = CONF_SIZE,
     .offset = ROW(group_memory_bytes),
     .default_text = "32MiB",
     .min = 1 << 20,
     .max = INT64_C(1) << 40,
     .unit = "bytes",
     .doc = "Members and committed offsets of all groups together; more are refused."},
    {.name = "offsets_retention",
     .type = CONF_DURATION,
     .offset = ROW(offsets_retention_ms),
     .default_text = "7d",
     .min = 60000,
     .max = INT64_C(315360000000),
     .unit = "ms",
     .doc = "Committed offsets live so long after their group has become empty."},
    {.name = "offsets_retention_check",
     .type = CONF_DURATION,
     .offset = ROW(offsets_check_ms),
     .default_text = "10m",
     .min = 10,
     .max = 86400000,
     .unit = "ms",
     .doc = "How often that is looked at."},
    {0},
};

static const char *const provides[] = {"topics", NULL};

/* ---- events of the parts, as log lines ---- */

static void on_log_event(void *userdata, enum topic_log_event event, const char *text) {
    static const enum log_event lines[] = {
        [TOPIC_LOG_RECOVERED] = LOG_BROKER_RECOVERED, [TOPIC_LOG_TORN_TAIL] = LOG_BROKER_TORN_TAIL,
        [TOPIC_LOG_DAMAGED] = LOG_BROKER_DAMAGED,     [TOPIC_LOG_FAILED] = LOG_BROKER_FAILED,
        [TOPIC_LOG_DISK_LOW] = LOG_BROKER_DISK,       [TOPIC_LOG_DISK_FULL] = LOG_BROKER_DISK,
        [TOPIC_LOG_DISK_AGAIN] = LOG_BROKER_DISK,     [TOPIC_LOG_HELD] = LOG_BROKER_HELD,
    };
    struct broker_module *broker = userdata;
    log_emit(broker->context.log, lines[event], NULL, LOG_TEXT("what", text));
    if (event == TOPIC_LOG_DISK_FULL) {
        space_met_full(broker->context.space);
    }
}

static void tell_space(struct broker_module *broker, enum space_state state) {
    static const enum topic_log_room rooms[] = {
        [SPACE_OK] = TOPIC_LOG_ROOM_OK,
        [SPACE_LOW] = TOPIC_LOG_ROOM_LOW,
        [SPACE_FULL] = TOPIC_LOG_ROOM_FULL,
    };
    topic_log_set_room(broker->log, rooms[state]);
}

static void on_space(struct space_watcher *watcher, enum space_state state) {
    tell_space(container_of(watcher, struct broker_module, space_watcher), state);
}

static void tell_bad_peers(struct log_limit *limit, uint64_t untold, int64_t seconds) {
    struct broker_module *broker = container_of(limit, struct broker_module, bad_peers);
    log_emit(broker->context.log, LOG_BROKER_BAD_PEERS, NULL,
             LOG_INT("connections", (int64_t)untold), LOG_INT("seconds", seconds));
}

static void on_server_event(void *userdata, enum kafka_server_event event, const char *peer,
                            const char *text) {
    static const enum log_event lines[] = {
        [KAFKA_SERVER_BAD_PEER] = LOG_BROKER_BAD_PEER,
        [KAFKA_SERVER_TOPIC_CREATED] = LOG_BROKER_TOPIC_CREATED,
        [KAFKA_SERVER_TOPIC_DELETED] = LOG_BROKER_TOPIC_DELETED,
    };
    struct broker_module *broker = userdata;
    if (event == KAFKA_SERVER_BAD_PEER && !log_limit_take(&broker->bad_peers)) {
        return;
    }
    log_emit(broker->context.log, lines[event], NULL, LOG_TEXT("peer", peer ? peer : ""),
             LOG_TEXT("what", text));
}

static void on_group(void *userdata, const struct group *group) {
    struct broker_module *broker = userdata;
    log_emit(broker->context.log, LOG_BROKER_GROUP, NULL, LOG_TEXT("group", group->id),
             LOG_TEXT("state", group_state_name(group->state)),
             LOG_INT("generation", group->generation), LOG_INT("members", group->member_count));
}

static int on_prepare_coordinator(void *userdata) {
    struct broker_module *broker = userdata;
    return err_trace(coordinator_prepare(broker->coordinator));
}

static void on_topic_deleted(void *userdata, struct span topic) {
    struct broker_module *broker = userdata;
    coordinator_drop_topic(broker->coordinator, topic);
}

/* ---- life ---- */

static int broker_init(void *state, const struct module_context *context,
                       const char **ret_message) {
    struct broker_module *broker = state;
    broker->context = *context;
    log_limit_init(&broker->bad_peers, context->loop, tell_bad_peers);
    if (!context->insecure && !listener_is_loopback(broker->settings.host)) {
        snprintf(broker->message, sizeof broker->message,
                 "broker.host = %s is not a loopback address: listeners off loopback have neither "
                 "TLS nor authentication "
                 "yet; set insecure = yes to open it all the same",
                 broker->settings.host);
        *ret_message = broker->message;
        return err_origin(CONF_E_VALUE);
    }
    return err_trace(broker_topics_new(context->loop, &broker->topics));
}

/* Settings that Kafka has as well, for tools that ask for them under its names. */
static void show_settings(struct broker_module *broker) {
    const struct broker_settings *settings = &broker->settings;
    const struct kafka_shown shown[] = {
        {"group.initial.rebalance.delay.ms", settings->rebalance_delay_ms},
        {"group.max.session.timeout.ms", settings->session_max_ms},
        {"group.max.size", settings->members_max},
        {"group.min.session.timeout.ms", settings->session_min_ms},
        {"connections.max.idle.ms", settings->connections_idle_ms},
        {"log.cleaner.backoff.ms", settings->cleaner_ms},
        {"log.retention.check.interval.ms", settings->retention_check_ms},
        {"max.connections", settings->connections_max},
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

/* Connections never take the descriptors that log, store and HTTP need. */
static unsigned connections_most(const struct broker_settings *settings) {
    struct rlimit limit;
    uint64_t reserve = (uint64_t)settings->open_files_max + DESCRIPTORS_RESERVED;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return (unsigned)settings->connections_max;
    }
    uint64_t most = limit.rlim_cur > 2 * reserve ? limit.rlim_cur - reserve : limit.rlim_cur / 2;
    return (unsigned)MIN((uint64_t)settings->connections_max, most);
}

static int start_parts(struct broker_module *broker) {
    const struct module_context *context = &broker->context;
    const struct broker_settings *settings = &broker->settings;
    show_settings(broker);
    struct coordinator_config groups = {
        .loop = context->loop,
        .random = context->random,
        .log = broker->log,
        .limits = {.session_min_ms = settings->session_min_ms,
                   .session_max_ms = settings->session_max_ms,
                   .initial_rebalance_delay_ms = settings->rebalance_delay_ms,
                   .members_max = (unsigned)settings->members_max,
                   .groups_max = (unsigned)settings->groups_max,
                   .member_bytes_max = GROUP_LIMITS_DEFAULT.member_bytes_max},
        .offsets_partitions = 50,
        .metadata_max = 4096,
        .memory_bytes = (size_t)settings->group_memory_bytes,
        .retention_ms = settings->offsets_retention_ms,
        .retention_check_ms = settings->offsets_check_ms,
        .on_group = on_group,
        .userdata = broker,
    };
    int r = coordinator_new(&groups, &broker->coordinator);
    if (r != 0) {
        return err_trace(r);
    }
    broker_topics_attach(broker->topics, broker->log, broker->coordinator);
    broker->group_handlers = coordinator_handlers(broker->coordinator);
    struct kafka_server_config config = {
        .loop = context->loop,
        .clock = context->clock,
        .log = broker->log,
        .work = context->work,
        .limits = KAFKA_LIMITS_DEFAULT,
        .cluster_id = context->cluster_id,
        .node_id = 0,
        .auto_create_topics = settings->auto_create_topics,
        .default_partitions = (int32_t)settings->default_partitions,
        .log_dir = broker->log_dir,
        .shown = broker->shown,
        .handlers = &broker->group_handlers,
        .handlers_count = 1,
        .prepare_coordinator = on_prepare_coordinator,
        .topic_deleted = on_topic_deleted,
        .group_userdata = broker,
        .on_event = on_server_event,
        .userdata = broker,
    };
    config.limits.request_max_bytes = (size_t)settings->request_max_bytes;
    config.limits.memory_bytes = (size_t)settings->memory_bytes * 2 / 3;
    config.limits.idle_ms = settings->connections_idle_ms;
    config.limits.fetch_sessions = (unsigned)settings->fetch_sessions_max;
    config.limits.connections_max = connections_most(settings);
    return err_trace(kafka_server_new(&config, &broker->server));
}

static int listen_one(struct broker_module *broker, const char *setting, int64_t port,
                      const char *advertised_host, int64_t advertised_port, bool internal) {
    struct kafka_listener_config config = {
        .host = broker->settings.host,
        .port = (uint16_t)port,
        .advertised_host = advertised_host,
        .advertised_port = (uint16_t)advertised_port,
        .internal = internal,
    };
    int r = kafka_server_listen(broker->server, &config);
    if (r == -EADDRINUSE) {
        snprintf(broker->message, sizeof broker->message,
                 "port %d (broker.%s) is in use on %s: stop what listens there, or set broker.%s "
                 "to a free port",
                 (int)port, setting, config.host, setting);
    } else if (r != 0) {
        snprintf(broker->message, sizeof broker->message,
                 "cannot listen on %s port %d (broker.host, broker.%s): %s; choose an address of "
                 "this machine",
                 config.host, (int)port, setting, err_text(r));
    }
    return r;
}

static void finish_start(struct broker_module *broker, int status) {
    module_done_fn done = broker->done;
    broker->done = NULL;
    broker->started = status == 0;
    done(broker->done_userdata, status);
}

static void on_configs_loaded(void *userdata, int status) {
    struct broker_module *broker = userdata;
    const struct broker_settings *settings = &broker->settings;
    if (status != 0) {
        snprintf(broker->message, sizeof broker->message, "the configs in %s could not be read: %s",
                 broker->context.data_path, err_text(status));
        finish_start(broker, status);
        return;
    }
    coordinator_start(broker->coordinator);
    status =
        listen_one(broker, "external_port", settings->external_port,
                   settings->external_advertised_host, settings->external_advertised_port, false);
    if (status == 0) {
        status = listen_one(broker, "internal_port", settings->internal_port,
                            settings->internal_advertised_host, settings->internal_advertised_port,
                            true);
    }
    if (status == 0) {
        log_emit(broker->context.log, LOG_BROKER_READY, NULL,
                 LOG_INT("external_port", kafka_server_port(broker->server, 0)),
                 LOG_INT("internal_port", kafka_server_port(broker->server, 1)));
    }
    finish_start(broker, status);
}

static void on_log_started(void *userdata, int status) {
    struct broker_module *broker = userdata;
    if (status != 0) {
        snprintf(broker->message, sizeof broker->message,
                 "the topic log in %s could not be opened: %s; nothing was changed, restore the "
                 "folder or free its disk",
                 broker->context.data_path, err_text(status));
        finish_start(broker, status);
        return;
    }
    broker->log_started = true;
    broker->space_watcher.changed = on_space;
    space_watch(broker->context.space, &broker->space_watcher);
    tell_space(broker, space_state(broker->context.space));
    status = start_parts(broker);
    if (status == 0) {
        kafka_server_load(broker->server, on_configs_loaded, broker);
    } else {
        finish_start(broker, status);
    }
}

/*
 * The log keeps at most three times tail_bytes that are acknowledged and in no segment yet: half of
 * the reserve must be able to take them, the other half is the WAL's. And on a small disk the
 * journal, which is allocated ahead of need, may not crowd out what it is for.
 */
static void bound_by_disk(const struct broker_module *broker, struct topic_log_limits *limits) {
    const struct space *space = broker->context.space;
    limits->tail_bytes = MIN(limits->tail_bytes, space_reserve_bytes(space) / 6);
    limits->journal_max_bytes =
        MIN(limits->journal_max_bytes, MAX(space_total_bytes(space) / 8, (uint64_t)MIB(8)));
}

static void broker_start(void *state, module_done_fn done, void *userdata) {
    struct broker_module *broker = state;
    const struct module_context *context = &broker->context;
    struct topic_log_config config = {
        .loop = context->loop,
        .work = context->work,
        .disk = context->disk,
        .clock = context->clock,
        .random = context->random,
        .limits = TOPIC_LOG_LIMITS_DEFAULT,
        .on_event = on_log_event,
        .userdata = broker,
    };
    config.limits.journal_max_bytes = (uint64_t)broker->settings.journal_max_bytes;
    config.limits.segment_bytes = (uint64_t)broker->settings.segment_bytes;
    config.limits.tail_bytes = (uint64_t)broker->settings.memory_bytes / 3;
    config.limits.partitions_max = (uint32_t)broker->settings.partitions_max;
    config.limits.max_message_bytes = (uint32_t)broker->settings.message_max_bytes;
    config.limits.open_files_max = (uint32_t)broker->settings.open_files_max;
    config.limits.producer_expiry_ms = broker->settings.producer_expiry_ms;
    config.limits.retention_check_ms = broker->settings.retention_check_ms;
    config.limits.cleaner_ms = broker->settings.cleaner_ms;
    config.limits.cleaner_memory_bytes = (uint64_t)broker->settings.cleaner_memory_bytes;
    config.limits.cleaner_bytes_per_second = (uint64_t)broker->settings.cleaner_bytes_per_second;
    bound_by_disk(broker, &config.limits);
    broker->done = done;
    broker->done_userdata = userdata;
    int r = topic_log_new(&config, &broker->log);
    if (r != 0) {
        on_log_started(broker, r);
        return;
    }
    topic_log_start(broker->log, on_log_started, broker);
}

static void on_log_stopped(void *userdata) {
    struct broker_module *broker = userdata;
    broker->log_started = false;
    space_unwatch(&broker->space_watcher);
    broker->done(broker->done_userdata, 0);
}

static void on_server_stopped(void *userdata) {
    struct broker_module *broker = userdata;
    log_limit_stop(&broker->bad_peers);
    if (broker->log_started) {
        topic_log_stop(broker->log, on_log_stopped, broker);
    } else {
        broker->done(broker->done_userdata, 0);
    }
}

static void broker_stop(void *state, module_done_fn done, void *userdata) {
    struct broker_module *broker = state;
    broker->draining = true;
    broker->done = done;
    broker->done_userdata = userdata;
    if (broker->server) {
        kafka_server_stop(broker->server, broker->context.drain_ms, on_server_stopped, broker);
    } else {
        on_server_stopped(broker);
    }
}

static void broker_fini(void *state) {
    struct broker_module *broker = state;
    kafka_server_free(broker->server);
    broker_topics_free(broker->topics);
    coordinator_free(broker->coordinator);
    if (broker->log) {
        topic_log_free(broker->log);
    }
}

/* ---- what the host asks ---- */

static void broker_health(void *state, struct module_health *ret_health) {
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

static struct topic_port *broker_topic_port(void *state) {
    struct broker_module *broker = state;
    return broker_topics_port(broker->topics);
}

static const char *broker_failure(void *state) {
    struct broker_module *broker = state;
    return broker->message[0] ? broker->message : NULL;
}

static void broker_describe(void *state, struct text *out) {
    struct broker_module *broker = state;
    unsigned external = kafka_server_port(broker->server, 0);
    text_printf(out, "Kafka\tlocalhost:%u, and localhost:%u for programs inside\n", external,
                kafka_server_port(broker->server, 1));
    text_printf(out, "try\tkcat -b localhost:%u -C -t notification -e -f '%%k: %%s\\n'\n",
                external);
}

const struct module broker_module = {
    .abi = MODULE_ABI,
    .name = "broker",
    .service = "broker",
    .summary = "append-only topic log, spoken to in the Kafka protocol",
    .provides = provides,
    .conf = conf_rows,
    .metrics = broker_metric_rows,
    .commands = log_commands,
    .state_size = sizeof(struct broker_module),
    .init = broker_init,
    .start = broker_start,
    .stop = broker_stop,
    .fini = broker_fini,
    .health = broker_health,
    .collect = broker_collect,
    .topic_port = broker_topic_port,
    .failure = broker_failure,
    .describe = broker_describe,
};
