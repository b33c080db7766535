/*
 * The Kafka listeners: connections, requests in order, and the APIs that need no group. module.c
 * makes one server over the topic log and gives it the handler tables of group/.
 *
 * Bounds: struct kafka_limits. A request of admission_bytes or more takes its memory from one
 * account as it arrives; when the account is used up, reading pauses, except that one such request
 * at a time may always go on, so that somebody makes progress.
 */
#pragma once

#include "handler.h"
#include "topic_log.h"

struct kafka_server;

struct kafka_limits {
    size_t request_max_bytes;     /* of one frame */
    size_t memory_bytes;          /* of large requests together */
    size_t admission_bytes;       /* smaller requests pass by the account */
    size_t connection_bytes;      /* of small requests in flight on one connection */
    unsigned connection_requests; /* in flight on one connection */
    unsigned connections_max;
    size_t fetch_max_bytes; /* of one Fetch answer */
    size_t arena_max_bytes; /* of the decoded form of one request, and of its answer */
    int64_t idle_ms;
    int64_t progress_ms;        /* a frame that has begun must go on within this */
    unsigned fetch_sessions;    /* remembered at once; 0: none */
    size_t fetch_session_bytes; /* of all of them */
    size_t answer_bytes;        /* of batches in memory on their way out, before fetches shrink */
};
#define KAFKA_LIMITS_DEFAULT                                                                       \
    ((struct kafka_limits){                                                                        \
        .request_max_bytes = MIB(100),                                                             \
        .memory_bytes = MIB(24),                                                                   \
        .admission_bytes = KIB(64),                                                                \
        .connection_bytes = MIB(4),                                                                \
        .connection_requests = 1000,                                                               \
        .connections_max = 20000,                                                                  \
        .fetch_max_bytes = MIB(55),                                                                \
        .arena_max_bytes = MIB(32),                                                                \
        .idle_ms = 600000,                                                                         \
        .progress_ms = 10000,                                                                      \
        .fetch_sessions = 1000,                                                                    \
        .fetch_session_bytes = MIB(16),                                                            \
        .answer_bytes = MIB(64),                                                                   \
    })

enum kafka_server_event {
    KAFKA_SERVER_BAD_PEER,      /* text says what was wrong, or what the peer seems to speak */
    KAFKA_SERVER_CLIENT_ENDED,  /* of a client that spoke Kafka before; text says why */
    KAFKA_SERVER_CROWDED,       /* one more than connections_max came; no peer, no text */
    KAFKA_SERVER_TOPIC_CREATED, /* text names topic and partitions */
    KAFKA_SERVER_TOPIC_DELETED, /* text names the topic */
};

/* A setting of the module under the name that Kafka has for it. */
struct kafka_shown {
    const char *name;
    int64_t value;
};

struct kafka_server_config {
    struct loop *loop;
    struct clock *clock;
    struct topic_log *log;
    struct work_port *work; /* for batches that must be looked into; NULL: done in line */
    struct kafka_limits limits;
    const char *cluster_id; /* 22 characters; lives as long as the server */
    int32_t node_id;
    bool auto_create_topics;
    int32_t default_partitions;
    const char *log_dir;             /* shown by DescribeLogDirs; lives as long as the server */
    const struct kafka_shown *shown; /* shown by DescribeConfigs; ends with a row of zeros */
    const struct kafka_handlers *handlers; /* of group/; may be NULL with count 0 */
    size_t handlers_count;
    /* Optional, of group/: somebody looks for a coordinator; a topic is gone. */
    int (*prepare_coordinator)(void *userdata);
    void (*topic_deleted)(void *userdata, struct span topic);
    void *group_userdata;
    void (*on_event)(void *userdata, enum kafka_server_event event, const char *peer,
                     const char *text);
    void *userdata;
};

struct kafka_listener_config {
    const char *host;
    uint16_t port;               /* 0: the kernel chooses */
    const char *advertised_host; /* NULL or empty: as reached */
    uint16_t advertised_port;    /* 0: as reached */
    bool internal;               /* 9093 */
};

struct kafka_server_stats {
    uint64_t connections_total, connections_refused, bad_peers;
    uint64_t requests_total, bytes_in, bytes_out;
    uint64_t unsupported_versions;
    unsigned connections, requests_in_flight, fetches_parked, connections_starved;
    size_t reserved_bytes, parked_bytes, answer_bytes;
    unsigned fetch_sessions;
    uint64_t fetch_session_partitions, fetch_sessions_evicted;
};

int kafka_server_new(const struct kafka_server_config *config, struct kafka_server **ret_server);
/**
 * kafka_server_load() - read the configs that were changed while it ran; before it listens
 * @done(userdata, status) follows, perhaps at once. An error is negative or BROKER_E_CORRUPT.
 */
void kafka_server_load(struct kafka_server *server, void (*done)(void *userdata, int status),
                       void *userdata);
/** kafka_server_listen() - open one listener. Return as listener_open() */
int kafka_server_listen(struct kafka_server *server, const struct kafka_listener_config *config);
/** kafka_server_port() - of the @index-th listener, 0 when there is none */
uint16_t kafka_server_port(const struct kafka_server *server, unsigned index);
/**
 * kafka_server_stop() - accept no more, answer parked fetches, let requests finish within
 * @drain_ms, then close; @done on the loop, not before the return. Appends under way keep it
 * waiting.
 */
void kafka_server_stop(struct kafka_server *server, int64_t drain_ms, void (*done)(void *userdata),
                       void *userdata);
void kafka_server_free(struct kafka_server *server); /* stopped, or never listened; accepts NULL */
void kafka_server_stats(const struct kafka_server *server, struct kafka_server_stats *ret_stats);
/** kafka_server_api() - the row that serves @key, NULL when none; for tools that list what is
 * served */
const struct kafka_handler *kafka_server_api(const struct kafka_server *server, int16_t key);
