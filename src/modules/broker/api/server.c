#include "config_store.h"
#include "fetch_session.h"
#include "produce_open.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIM_BYTES = 16 << 20, TRIM_DELAY_MS = 2000 };

static int add_handlers(struct kafka_server *server, const struct kafka_handlers *handlers) {
    for (size_t i = 0; i < handlers->count; i++) {
        const struct kafka_handler *row = &handlers->rows[i];
        const struct kafka_api *api = kafka_api_find(row->key);

        if (!api || row->key >= API_KEYS_MAX || server->entries[row->key].handler ||
            row->version_first < api->versions.first || row->version_last > api->versions.last) {
            return err_origin(-EINVAL); /* a table that contradicts the schemas is a bug */
        }
        server->entries[row->key] = (struct api_entry){api, row, handlers->userdata};
    }
    return 0;
}

static const struct kafka_handler *find_api(void *userdata, int16_t key) {
    const struct kafka_server *server = userdata;

    return key >= 0 && key < API_KEYS_MAX ? server->entries[key].handler : NULL;
}

const struct kafka_handler *kafka_server_api(const struct kafka_server *server, int16_t key) {
    return key >= 0 && key < API_KEYS_MAX ? server->entries[key].handler : NULL;
}

static void on_drain_deadline(struct timer *timer) {
    kafka_conn_abort_all(container_of(timer, struct kafka_server, drain_timer));
}

/* The heap keeps what was freed in its middle; after a flood of answers that is a lot. */
static void on_trim(struct timer *timer) {
    struct kafka_server *server = container_of(timer, struct kafka_server, trim_timer);

    server->answer_bytes_peak = server->broker.answer_bytes;
    malloc_trim(1 << 20);
    buf_trim();
}

void server_answers_left(struct kafka_server *server) {
    if (server->answer_bytes_peak > server->broker.answer_bytes + TRIM_BYTES &&
        !timer_running(&server->trim_timer) && !server->stopping) {
        timer_start_ms(&server->trim_timer, TRIM_DELAY_MS);
    }
}

static void on_stopped_task(struct loop_task *task) {
    struct kafka_server *server = container_of(task, struct kafka_server, stopped_task);

    produce_thread_stop(&server->broker, server->on_stopped, server->on_stopped_userdata);
}

int kafka_server_new(const struct kafka_server_config *config, struct kafka_server **ret_server) {
    struct kafka_server *server = calloc(1, sizeof *server);
    int r;

    if (!server) {
        return err_origin(-ENOMEM);
    }
    server->config = *config;
    server->limits = config->limits;
    list_init(&server->connections);
    list_init(&server->starved);
    list_init(&server->receiving);
    request_pool_init(server);
    kafka_encoded_init(&server->encoded);
    timer_init(&server->drain_timer, config->loop, on_drain_deadline);
    timer_init(&server->trim_timer, config->loop, on_trim);
    server->stopped_task.run = on_stopped_task;
    server->broker = (struct broker){
        .loop = config->loop,
        .clock = config->clock,
        .log = config->log,
        .cluster_id = config->cluster_id,
        .node_id = config->node_id,
        .auto_create_topics = config->auto_create_topics,
        .default_partitions = config->default_partitions,
        .fetch_max_bytes = config->limits.fetch_max_bytes,
        .answer_bytes_max = config->limits.answer_bytes,
        .config = &server->config,
        .find_api = find_api,
        .server = server,
    };
    list_init(&server->broker.fetches);
    produce_init(&server->broker);

    r = config->limits.fetch_sessions
            ? fetch_sessions_new(config->loop, config->limits.fetch_sessions,
                                 config->limits.fetch_session_bytes, &server->broker.sessions)
            : 0;
    if (r) {
        kafka_server_free(server);
        return err_trace(r);
    }
    r = add_handlers(
        server, &(struct kafka_handlers){broker_handlers, broker_handlers_count, &server->broker});
    for (size_t i = 0; r == 0 && i < config->handlers_count; i++) {
        r = add_handlers(server, &config->handlers[i]);
    }
    if (!r) {
        r = produce_thread_start(&server->broker);
    }
    if (!r) {
        r = config_store_new(&server->broker, &server->broker.configs);
    }
    if (r) {
        kafka_server_free(server);
        return err_trace(r);
    }
    *ret_server = server;
    return 0;
}

void kafka_server_load(struct kafka_server *server, void (*done)(void *userdata, int status),
                       void *userdata) {
    config_store_load(server->broker.configs, done, userdata);
}

/* ---- listeners ---- */

static int on_accept(void *userdata, int fd) {
    return kafka_conn_accept(userdata, fd);
}

static void free_listener(struct kafka_listener *listener) {
    if (listener) {
        free(listener->host);
        free(listener->advertised_host);
        free(listener);
    }
}

int kafka_server_listen(struct kafka_server *server, const struct kafka_listener_config *config) {
    struct listener_config where = {config->host, config->port, 1024};
    struct kafka_listener *listener;
    int r;

    if (server->listener_count == API_LISTENERS_MAX) {
        return err_origin(-EINVAL);
    }
    listener = calloc(1, sizeof *listener);
    if (!listener || !(listener->host = strdup(config->host))) {
        free_listener(listener);
        return err_origin(-ENOMEM);
    }
    listener->server = server;
    listener->internal = config->internal;
    listener->advertised_port = config->advertised_port;
    if (config->advertised_host && *config->advertised_host) {
        listener->advertised_host = strdup(config->advertised_host);
        if (!listener->advertised_host) {
            free_listener(listener);
            return err_origin(-ENOMEM);
        }
    }
    r = listener_open(server->config.loop, &where, on_accept, listener, &listener->listener);
    if (r) {
        free_listener(listener);
        return err_trace(r);
    }
    server->listeners[server->listener_count++] = listener;
    return 0;
}

uint16_t kafka_server_port(const struct kafka_server *server, unsigned index) {
    return index < server->listener_count && server->listeners[index]->listener
               ? listener_port(server->listeners[index]->listener)
               : 0;
}

/* ---- stop ---- */

/* The answer to kafka_server_stop() comes when nobody needs the server any more. */
void server_check_stopped(struct kafka_server *server) {
    if (server->stopping && !server->stopped_posted && server->stats.connections == 0 &&
        server->stats.requests_in_flight == 0) {
        server->stopped_posted = true;
        timer_stop(&server->drain_timer);
        loop_defer(server->config.loop, &server->stopped_task);
    }
}

void kafka_server_stop(struct kafka_server *server, int64_t drain_ms, void (*done)(void *userdata),
                       void *userdata) {
    server->on_stopped = done;
    server->on_stopped_userdata = userdata;
    server->stopping = true;
    server->broker.draining = true;
    for (unsigned i = 0; i < server->listener_count; i++) {
        listener_close(server->listeners[i]->listener);
        server->listeners[i]->listener = NULL;
    }
    fetch_drain(&server->broker);
    kafka_conn_drain_all(server);
    timer_start_ms(&server->drain_timer, drain_ms);
    server_check_stopped(server);
}

void kafka_server_free(struct kafka_server *server) {
    if (!server) {
        return;
    }
    request_pool_deinit(server);
    for (unsigned i = 0; i < server->listener_count; i++) {
        if (server->listeners[i]->listener) {
            listener_close(server->listeners[i]->listener);
        }
        free_listener(server->listeners[i]);
    }
    timer_stop(&server->trim_timer);
    produce_deinit(&server->broker);
    api_versions_deinit(&server->broker);
    fetch_sessions_free(server->broker.sessions);
    kafka_encoded_deinit(&server->encoded);
    config_store_free(server->broker.configs);
    free(server);
}

void kafka_server_stats(const struct kafka_server *server, struct kafka_server_stats *ret_stats) {
    struct fetch_session_stats sessions = {0};

    if (server->broker.sessions) {
        fetch_sessions_stats(server->broker.sessions, &sessions);
    }
    *ret_stats = server->stats;
    ret_stats->answer_bytes = server->broker.answer_bytes;
    ret_stats->fetch_sessions = sessions.sessions;
    ret_stats->fetch_session_partitions = sessions.partitions;
    ret_stats->fetch_sessions_evicted = sessions.evicted;
    ret_stats->reserved_bytes = server->reserved_bytes;
    ret_stats->parked_bytes = server->parked_bytes;
    ret_stats->fetches_parked = server->broker.fetch_count;
}

/* ---- requests and their memory ---- */

bool server_reserve(struct kafka_server *server, size_t bytes, bool *exempt) {
    if (server->reserved_bytes + bytes > server->limits.memory_bytes && !*exempt) {
        if (server->exemption_taken) {
            return false;
        }
        server->exemption_taken = *exempt = true;
    }
    server->reserved_bytes += bytes;
    return true;
}

/* Whose frame began first goes on first; who does not get enough keeps its place. */
void server_release(struct kafka_server *server, size_t bytes, bool exempt) {
    server->reserved_bytes -= bytes;
    if (exempt) {
        server->exemption_taken = false;
    }
    while (!list_empty(&server->starved) &&
           kafka_conn_feed(kafka_conn_of_starved(server->starved.next))) {
    }
}

bool server_park(struct kafka_server *server, struct api_request *request) {
    size_t bytes = request->reserved;
    bool exempt = request->exempt;

    if (bytes == 0 && !exempt) {
        return true; /* parked already, or too small to be counted */
    }
    if (server->parked_bytes + bytes > server->limits.memory_bytes) {
        return false;
    }
    server->parked_bytes += bytes;
    request->parked += bytes;
    request->reserved = 0;
    request->exempt = false;
    server_release(server, bytes, exempt);
    return true;
}

/* ---- events ---- */

void server_bad_peer(struct kafka_server *server, const char *peer, bool client, const char *format,
                     ...) {
    char text[300];
    va_list args;

    server->stats.bad_peers++;
    if (server->config.on_event) {
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        for (char *c = text; *c; c++) { /* the peer chooses its client id */
            *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
        }
        server->config.on_event(server->config.userdata,
                                client ? KAFKA_SERVER_CLIENT_ENDED : KAFKA_SERVER_BAD_PEER, peer,
                                text);
    }
}

void broker_event(const struct broker *broker, enum kafka_server_event event,
                  const struct kafka_request *request, const char *format, ...) {
    char text[400];
    va_list args;

    if (broker->config && broker->config->on_event) {
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        broker->config->on_event(broker->config->userdata, event, request->peer_host, text);
    }
}
