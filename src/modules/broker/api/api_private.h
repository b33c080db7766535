/*
 * What the files of api/ share. A request walks: connection.c (a frame is complete) -> dispatch.c
 * (header, version, decode) -> handle_*.c -> kafka_respond() -> connection.c (to the peer, in
 * turn).
 */
#pragma once

#include "kafka_messages.h"
#include "kafka_server.h"

#include <eventbox/base/text.h>
#include <eventbox/loop/conn.h>
#include <eventbox/loop/listener.h>
#include <eventbox/loop/timer.h>

enum {
    API_KEYS_MAX = 128,
    API_LISTENERS_MAX = 4,
    REQUEST_POOL_MAX = 12288, /* idle request objects kept, of about 3 KiB, */
    REQUEST_POOL_KEPT = 256,  /* and so many even where they are not used (request_pool.c) */
    API_VERSIONS_COUNT = 5,   /* versions of ApiVersions itself, from 0 on */
};

/* What handlers of this folder get as userdata. Tests make one without a server. */
struct broker {
    struct loop *loop;
    struct clock *clock;
    struct topic_log *log;
    const char *cluster_id;
    int32_t node_id;
    bool auto_create_topics;
    int32_t default_partitions;
    size_t fetch_max_bytes;
    const struct kafka_server_config *config; /* callbacks; fields may be NULL */
    const struct kafka_handler *(*find_api)(void *server, int16_t key);
    void *server;
    struct config_store *configs; /* NULL in tests that have none */
    struct list fetches;          /* parked: struct fetch.link */
    unsigned fetch_count;
    struct fetch_sessions *sessions; /* NULL: none are kept */
    size_t answer_bytes;             /* memory of batches on their way to peers */
    size_t answer_bytes_max;
    struct list produces; /* waiting for the log: struct produce.link */
    struct timer produce_timer;
    struct list opens;     /* batches that are looked into: struct produce_open.link */
    struct worker *opener; /* NULL: in line */
    struct kafka_encoded api_versions[API_VERSIONS_COUNT]; /* answers by version; empty: not yet */
    bool draining;
};

extern const struct kafka_handler broker_handlers[];
extern const size_t broker_handlers_count;

/* ---- handlers; rows in api_table.c ---- */
void handle_api_versions(struct kafka_request *request);
void handle_metadata(struct kafka_request *request);
void handle_produce(struct kafka_request *request);
void handle_fetch(struct kafka_request *request);
void handle_list_offsets(struct kafka_request *request);
void handle_offset_for_leader_epoch(struct kafka_request *request);
void handle_init_producer_id(struct kafka_request *request);
void handle_find_coordinator(struct kafka_request *request);
void handle_create_topics(struct kafka_request *request);
void handle_delete_topics(struct kafka_request *request);
void handle_describe_configs(struct kafka_request *request);
void handle_describe_cluster(struct kafka_request *request);
void handle_create_partitions(struct kafka_request *request);
void handle_delete_records(struct kafka_request *request);
void handle_alter_configs(struct kafka_request *request);
void handle_incremental_alter_configs(struct kafka_request *request);
void handle_list_config_resources(struct kafka_request *request);
void handle_describe_log_dirs(struct kafka_request *request);
void handle_alter_replica_log_dirs(struct kafka_request *request);
void handle_elect_leaders(struct kafka_request *request);
void handle_alter_partition_reassignments(struct kafka_request *request);
void handle_list_partition_reassignments(struct kafka_request *request);
void handle_describe_quorum(struct kafka_request *request);
void handle_update_features(struct kafka_request *request);
void handle_unregister_broker(struct kafka_request *request);
void handle_describe_topic_partitions(struct kafka_request *request);

/** api_versions_deinit() - the kept answers of ApiVersions */
void api_versions_deinit(struct broker *broker);

/** produce_init() - list and timer of requests that wait for the log; produce_deinit() stops it */
void produce_init(struct broker *broker);
void produce_deinit(struct broker *broker);

/** fetch_drain() - answer every parked fetch now */
void fetch_drain(struct broker *broker);

/* ---- shared by handlers ---- */

/* Every handler that cannot build its answer ends here. */
static inline void out_of_memory(struct kafka_request *request) {
    kafka_request_close(request, "out of memory for the answer");
}
/* What Kafka says with error 42 where it has nothing better to say. */
#define KAFKA_INVALID_REQUEST_TEXT                                                                 \
    "This most likely occurs because of a request being malformed by the client library or the "   \
    "message was sent to an incompatible broker. See the broker logs for more details."
/** broker_event() - tell the module; no-op without a callback */
void broker_event(const struct broker *broker, enum kafka_server_event event,
                  const struct kafka_request *request, const char *format, ...) _printf_(4, 5);
/** topic_name_prohibited() - not made by clients: eventbox's own and __cluster_metadata */
bool topic_name_prohibited(struct span name);
/** topic_name_internal() - Kafka's own names, marked so even where there is no such topic */
bool topic_name_internal(struct span name);
/** topic_name_collides() - a topic exists that differs in . and _ only, which metrics confuse */
bool topic_name_collides(struct topic_log *log, struct span name);
/** leader_epoch_check() - error code for a client's current leader epoch; 0 when right, or -1 */
int16_t leader_epoch_check(const struct partition *partition, int32_t epoch);
/** topic_name_collision() - that topic; NULL when there is none */
const struct topic *topic_name_collision(struct topic_log *log, struct span name);
/** topic_name_reserved_ours() - eventbox's own names, as opposed to Kafka's */
bool topic_name_reserved_ours(struct span name);
/** topic_name_fault() - what is wrong with a name, in Kafka's words; NULL when it is valid */
const char *topic_name_fault(struct arena *arena, struct span name);
/** replicas_check() - 0, or error 39 with a message: replicas are of this node, once */
int16_t replicas_check(const struct kafka_request *request, const int32_t *nodes, int32_t count,
                       const char **ret_message);
enum { REPEAT_NONE, REPEAT_FIRST, REPEAT_LATER };
/**
 * repeats_find() - which of @count names come more than once
 * @first: the first name; the others follow @stride bytes apart. Return: an enum above for each, in
 * @arena; NULL without memory.
 */
uint8_t *repeats_find(struct arena *arena, const struct span *first, size_t stride, int32_t count);
/** repeats_any_single() - some name comes once alone: where none does, Kafka asks nothing of its
 * controller, and no time can run out */
bool repeats_any_single(const uint8_t *repeats, int32_t count);
/* REPEATS(arena, body->topics, name, count): by the column @name of rows, of which there may be
 * none */
#define REPEATS(arena, rows, name, count)                                                          \
    repeats_find(arena, (count) > 0 ? &(rows)->name : NULL, sizeof *(rows), count)
/** names_append() - both with @comma between them, or the name alone where @names is NULL; NULL
 * without memory */
const char *names_append(struct arena *arena, const char *names, const char *comma,
                         struct span name);
/** broker_log_dir() - the one folder, as clients are told */
const char *broker_log_dir(const struct broker *broker);

/* What ApiVersions says of features, and UpdateFeatures accepts. */
struct kafka_feature {
    const char *name;
    int16_t min, max, level;
};
extern const struct kafka_feature kafka_features[];
extern const size_t kafka_features_count;
const struct kafka_feature *kafka_feature_find(struct span name); /* NULL: none */

/* ---- requests ---- */

struct kafka_conn;

/* Batches of one partition on their way out: what struct kafka_records.foreign points to. */
struct fetch_chunks {
    unsigned count; /* 0 once they were handed to the connection */
    struct read_chunk chunks[];
};
/** fetch_chunks_drop() - the references of chunks that were not handed on; accepts NULL */
void fetch_chunks_drop(struct fetch_chunks *chunks);

/* One request with its place in the order of its connection. */
struct api_request {
    struct kafka_request public;
    struct list order; /* in kafka_conn.requests */
    struct kafka_conn *conn;
    struct arena arena;
    size_t frame_bytes; /* counted on the connection */
    size_t reserved;    /* of the server's account */
    bool exempt;        /* holds the server's exemption */
    size_t parked;      /* of the server's account of requests that wait */
    bool answered;      /* respond was called; waits for its turn */
    bool silent;        /* without an answer */
    bool is_fetch;
    size_t waiting_bytes;         /* of @encoded, then */
    struct buf *kept_frame;       /* for the next one; NULL: none */
    struct kafka_encoded encoded; /* while it waits for its turn */
};

static inline struct api_request *api_request_of(struct kafka_request *request) {
    return container_of(request, struct api_request, public);
}

struct kafka_listener {
    struct kafka_server *server;
    struct listener *listener;
    char *host;            /* that it is bound to */
    char *advertised_host; /* NULL: as reached */
    uint16_t advertised_port;
    bool internal;
};

/* What serves one API key. */
struct api_entry {
    const struct kafka_api *api;
    const struct kafka_handler *handler;
    void *userdata;
};

struct kafka_server {
    struct kafka_server_config config;
    struct kafka_limits limits;
    struct broker broker;
    struct api_entry entries[API_KEYS_MAX];
    struct kafka_listener *listeners[API_LISTENERS_MAX];
    unsigned listener_count;

    struct list connections; /* struct kafka_conn.link */
    struct list starved;     /* struct kafka_conn.starved_link, oldest frame first */
    uint64_t frames_begun;
    struct list receiving; /* struct kafka_conn.large_link */
    bool exemption_taken;
    size_t reserved_bytes;
    size_t parked_bytes; /* large requests that wait; at most limits.memory_bytes */

    struct list pool; /* struct api_request.order, the one used last first */
    unsigned pool_count;
    unsigned pool_idle; /* the least pool_count since the last look */
    struct timer pool_timer;
    struct kafka_encoded encoded; /* for answers that leave at once */

    struct kafka_server_stats stats;
    size_t answer_bytes_peak; /* since memory was given back last */
    struct timer trim_timer;
    bool stopping;
    struct timer drain_timer;
    struct loop_task stopped_task;
    bool stopped_posted;
    void (*on_stopped)(void *userdata);
    void *on_stopped_userdata;
};

/* ---- request_pool.c ---- */
void request_pool_init(struct kafka_server *server);
void request_pool_deinit(struct kafka_server *server); /* of what waits; none is in use any more */
struct api_request *api_request_new(struct kafka_server *server);
/** api_request_copy_frame() - its frame are the @size bytes at @data. Return: 0 or -ENOMEM */
int api_request_copy_frame(struct api_request *request, const void *data, size_t size);
void api_request_free(struct kafka_server *server, struct api_request *request);

/* ---- server.c ---- */
/** server_reserve() - take @bytes from the account; *exempt is set when that is beyond it */
bool server_reserve(struct kafka_server *server, size_t bytes, bool *exempt);
void server_release(struct kafka_server *server, size_t bytes, bool exempt);
/** server_park() - what @request has of the account counts as parked; false: that is full */
bool server_park(struct kafka_server *server, struct api_request *request);
/** server_answers_left() - answers were sent or dropped: memory goes back once much has */
void server_answers_left(struct kafka_server *server);
void server_check_stopped(struct kafka_server *server);
/** server_bad_peer() - tell why a connection ends; @client: it has spoken Kafka before */
void server_bad_peer(struct kafka_server *server, const char *peer, bool client, const char *format,
                     ...) _printf_(4, 5);

/* ---- connection.c ---- */
/**
 * kafka_conn_accept() - serve @fd, which is taken over
 * Return: 0; CONN_E_CLOSED when there are too many connections or the server stops; negative on
 * error
 */
int kafka_conn_accept(struct kafka_listener *listener, int fd);
/** kafka_conn_drain_all() - close each as soon as nothing is in flight; ..._abort_all() - now */
void kafka_conn_drain_all(struct kafka_server *server);
void kafka_conn_abort_all(struct kafka_server *server);

/* ---- large_frame.c ---- */
/** kafka_conn_feed() - memory was released: go on reading. Return false when it is not enough */
bool kafka_conn_feed(struct kafka_conn *conn);
/** kafka_conn_of_starved() - the connection of an entry of server.starved */
struct kafka_conn *kafka_conn_of_starved(struct list *link);

/* ---- dispatch.c ---- */
/**
 * dispatch_frame() - decode the request in @frame and call its handler
 * Return: 0, and the handler answers @request; -EPROTO when the connection must be closed:
 * @ret_reason says what was wrong (static until the next call), the request is still the caller's.
 */
int dispatch_frame(struct kafka_server *server, struct api_request *request,
                   const char **ret_reason);
/** dispatch_seems_kafka() - whether the first @size bytes of a frame are an api key that is served
 * and a version that may exist, even one to come */
bool dispatch_seems_kafka(const struct kafka_server *server, const uint8_t *frame, size_t size);

/* ---- stranger.c ---- */
/** what_speaks() - what a peer seems to speak whose first bytes are no Kafka frame, or NULL */
const char *what_speaks(const uint8_t *bytes, size_t size);
