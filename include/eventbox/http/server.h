/*
 * HTTP/1.1 server (RFC 9110, RFC 9112) on llhttp with the guard in front. One http_service per
 * port. Limits: struct http_limits and the README; every hit is counted.
 */
#pragma once

#include <eventbox/base/random.h>
#include <eventbox/http/route.h>
#include <eventbox/loop/listener.h>
#include <eventbox/loop/loop.h>

struct http_limits {
    size_t head_bytes;
    unsigned head_fields;
    size_t target_bytes;
    size_t body_bytes;
    unsigned pipelined_requests; /* parsed and unanswered on one connection */
    unsigned connections;        /* of one service */
    int64_t head_ms;             /* from the first byte of a head to its end */
    int64_t body_ms;
    int64_t idle_ms;             /* keep-alive */
    size_t request_memory_bytes; /* arena of one request */
};
#define HTTP_LIMITS_DEFAULT                                                                        \
    ((struct http_limits){                                                                         \
        .head_bytes = KIB(16),                                                                     \
        .head_fields = 100,                                                                        \
        .target_bytes = KIB(4),                                                                    \
        .body_bytes = KIB(64),                                                                     \
        .pipelined_requests = 16,                                                                  \
        .connections = 20000,                                                                      \
        .head_ms = 10000,                                                                          \
        .body_ms = 30000,                                                                          \
        .idle_ms = 60000,                                                                          \
        .request_memory_bytes = MIB(4),                                                            \
    })

/* What stands behind one port. All members borrowed for the life of the service. */
struct http_service {
    const char *name;  /* "user-service" */
    const char *title; /* OpenAPI */
    const char *version;
    const struct http_route *routes;        /* the module's */
    const struct http_route *common_routes; /* the host's: /, /healthz, /readyz, /metrics */
    const struct http_schema *schemas;
    void *userdata;        /* for routes */
    void *common_userdata; /* for common_routes */
    /* Optional: after each answer, for the access log and metrics. Thread: loop. */
    void (*on_answer)(void *common_userdata, struct http_request *request, int status,
                      int64_t duration_ns);
    /* Optional: a connection ended for a framing error or a limit; @code of tbl/errors.h. */
    void (*on_reject)(void *common_userdata, const char *peer, int code);
};

struct http_server;

struct http_server_stats {
    uint64_t connections_opened, connections_refused, connections_now;
    uint64_t requests, rejected, bytes_in, bytes_out;
};

/**
 * http_server_open() - bind and listen; /openapi.json, /docs and /redoc are served beside
 * @service's routes Return: as listener_open(); -EINVAL for a route table that contradicts itself
 * or limits out of range.
 */
int http_server_open(struct loop *loop, struct random *random, const struct http_service *service,
                     const struct listener_config *listen, const struct http_limits *limits,
                     struct http_server **ret_server);
/**
 * http_server_stop() - stop listening, finish what is in flight within @deadline_ms, close the
 * rest, free the server, then call @on_stopped on the loop. Idle connections close at once
 */
void http_server_stop(struct http_server *server, int64_t deadline_ms,
                      void (*on_stopped)(void *userdata), void *userdata);
uint16_t http_server_port(const struct http_server *server);
void http_server_stats(const struct http_server *server, struct http_server_stats *ret_stats);
/** http_openapi() - OpenAPI 3.1 of a service as JSON text */
int http_openapi(const struct http_service *service, struct text *out);
