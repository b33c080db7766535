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

/* ---- start ---- */

static int broker_init(void *state, const struct module_context *context,
                       const char **ret_message) {
    struct broker_module *broker = state;
    broker->context = *context;
    broker_limit_lines(broker);
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

static int on_prepare_coordinator(void *userdata) {
    struct broker_module *broker = userdata;
    return err_trace(coordinator_prepare(broker->coordinator));
}

static void on_topic_deleted(void *userdata, struct span topic) {
    struct broker_module *broker = userdata;
    coordinator_drop_topic(broker->coordinator, topic);
}

static int start_parts(struct broker_module *broker) {
    const struct module_context *context = &broker->context;
    const struct broker_settings *settings = &broker->settings;
    broker_show_settings(broker);
    struct coordinator_config groups = {
        .loop = context->loop,
        .random = context->random,
        .log = broker->log,
        .offsets_partitions = 50,
        .metadata_max = 4096,
        .on_group = broker_on_group,
        .on_full = broker_on_groups_full,
        .userdata = broker,
    };
    broker_limit_groups(settings, &groups);
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
        .on_event = broker_on_server_event,
        .userdata = broker,
    };
    broker_limit_server(settings, &config.limits);
    return err_trace(kafka_server_new(&config, &broker->server));
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
        bool full = status == DISK_E_FULL || status == -ENOSPC || status == -EDQUOT;
        snprintf(broker->message, sizeof broker->message,
                 "the topic log in %s could not be opened: %s; %s", broker->context.data_path,
                 err_text(status),
                 full ? "make room on its disk and start again: nothing is lost"
                      : "nothing was changed, restore the folder");
        finish_start(broker, status);
        return;
    }
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
        .on_event = broker_on_log_event,
        .userdata = broker,
    };
    broker_limit_log(&broker->settings, context->space, &config.limits);
    broker->done = done;
    broker->done_userdata = userdata;
    int r = topic_log_new(&config, &broker->log);
    if (r != 0) {
        on_log_started(broker, r);
        return;
    }
    broker->log_begun = true;
    topic_log_start(broker->log, on_log_started, broker);
}

/* ---- stop ---- */

static void on_log_stopped(void *userdata) {
    struct broker_module *broker = userdata;
    broker->log_begun = false;
    space_unwatch(&broker->space_watcher);
    broker->done(broker->done_userdata, 0);
}

static void on_server_stopped(void *userdata) {
    struct broker_module *broker = userdata;
    broker_stop_lines(broker);
    if (broker->log_begun) { /* also where the start failed: threads may be at work for it */
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

/* ---- what the module is ---- */

static struct topic_port *broker_topic_port(void *state) {
    struct broker_module *broker = state;
    return broker_topics_port(broker->topics);
}

static const char *broker_failure(void *state) {
    struct broker_module *broker = state;
    return broker->message[0] ? broker->message : NULL;
}

static const char *const provides[] = {"topics", NULL};

const struct module broker_module = {
    .abi = MODULE_ABI,
    .name = "broker",
    .service = "broker",
    .summary = "append-only topic log, spoken to in the Kafka protocol",
    .provides = provides,
    .conf = broker_conf_rows,
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
