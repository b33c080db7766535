/*
 * The private side of server, connection, request and response.
 *
 *   bytes -> connection.c (guard, parser) -> exchange.c (route, rows, handler) -> response.c
 *
 * A connection keeps its requests in order of arrival; answers leave in that order, whatever order
 * they come in. A request is freed when its answer has been handed to the socket (or the peer has
 * gone) and neither its handler nor its operation runs.
 */
#pragma once

#include "guard.h"
#include "parser.h"
#include "router.h"
#include "rows.h"

#include <eventbox/base/list.h>
#include <eventbox/http/server.h>
#include <eventbox/loop/conn.h>
#include <eventbox/loop/timer.h>

enum {
    REQUEST_HEAD_INLINE = 1024, /* most heads need no memory beside the request */
    REQUESTS_SPARE_MAX = 32,
    REQUEST_ID_MAX = 128,
    CONNECTION_PEER_SIZE = 64,
    RANDOM_POOL_BYTES = 768,       /* one system call for 32 requests; span ids are no secrets */
    UNSENT_BYTES_MAX = 256 * 1024, /* no further pipelined request is begun above */
};

struct random_pool {
    struct random random;
    struct random *source;
    size_t used;
    uint8_t bytes[RANDOM_POOL_BYTES];
};

struct http_server {
    struct loop *loop;
    struct random_pool random;
    const struct http_service *service;
    struct http_limits limits;
    struct router router;
    struct listener *listener;
    struct list connections;
    struct list spare_requests;
    unsigned spare_request_count;
    unsigned requests_alive;
    struct http_server_stats stats;
    struct text head; /* the head being written; reused */
    int64_t date_second;
    char date[40];
    struct text openapi; /* written at the first request for it */
    bool stopping;
    struct timer stop_timer;
    struct loop_task stopped_task;
    void (*on_stopped)(void *userdata);
    void *stopped_userdata;
};

enum connection_phase {
    CONNECTION_HEAD,    /* waiting for a head, or inside one */
    CONNECTION_BODY,    /* reading the body of incoming */
    CONNECTION_CLOSING, /* what the peer still sends is not looked at */
};

enum connection_deadline { DEADLINE_NONE, DEADLINE_IDLE, DEADLINE_HEAD, DEADLINE_BODY };

struct http_connection {
    struct conn *conn; /* NULL after its on_close */
    struct http_server *server;
    struct list link;
    struct list requests;
    unsigned request_count;
    struct http_request *incoming; /* the last of requests while its body is being read */
    struct guard_scan scan;
    struct parser parser;
    struct text held; /* a partial head, or input behind too many unanswered requests */
    struct timer timer;
    int64_t deadline_ns;
    enum connection_phase phase;
    enum connection_deadline deadline;
    unsigned busy; /* frames of connection.c on the stack: the memory must stay */
    bool paused;
    bool loopback;
    char peer[CONNECTION_PEER_SIZE]; /* "" before the first request */
};

struct http_response {
    bool answered;
    int status;
    const char *content_type;
    struct text text; /* the content, unless it is static */
    struct span fixed;
    struct text fields; /* "name: value\r\n" each */
    bool own_cache_control, own_content_security;
    int code; /* of tbl/errors.h, 0 for none */
};

struct http_request {
    struct list link;
    struct http_connection *connection; /* NULL when the peer has gone */
    struct http_server *server;
    struct arena arena;
    struct trace trace;
    struct span request_id;
    struct span path; /* decoded */
    struct span query;
    struct router_target target;
    const struct router_path *router_path;
    const struct http_route *route;
    void *userdata;
    void *params, *body;
    struct json *json;
    struct body_errors errors;
    struct text content;
    size_t content_bytes;
    struct http_response response;
    int early_code; /* the answer is known before the body has been read */
    bool head_valid;
    bool close; /* answer with connection: close */
    bool content_wanted;
    bool content_type_wrong;
    bool dispatched; /* complete; handler, operation or rejection has taken it */
    bool handling;   /* its handler is on the stack */
    bool loopback;
    struct http_op *operation; /* while it runs */
    struct loop_task settle_task;
    int64_t started_ns;
    const char *peer;
    char id_text[TRACE_ID_SIZE];
    char head_inline[REQUEST_HEAD_INLINE];
    struct guard_head head; /* last: its fields are not cleared */
};

/* server.c */
void server_connection_gone(struct http_server *server);

/* connection.c */
int connection_accept(struct http_server *server, int fd);
/** connection_answered() - @request is complete: write what is in order */
void connection_answered(struct http_request *request);
void connection_drain(struct http_connection *connection); /* the server stops: close when idle */

/* exchange.c: from a parsed head to the handler */
struct http_request *request_new(struct http_server *server, struct http_connection *connection);
void request_free(struct http_request *request);
/** request_head() - copy and parse a head. Return: 0, or the code to reject the connection with */
int request_head(struct http_request *request, const char *head, size_t size);
/** request_plan() - find the route and see what becomes of the body; sets early_code */
void request_plan(struct http_request *request);
/** request_content() - a piece of the body, as parser_content_fn */
int request_content(void *request, const void *data, size_t size);
/** request_dispatch() - the message is complete: validate, then call the handler or start the
 * operation */
void request_dispatch(struct http_request *request);
/** request_answered() - the response is set; goes on as soon as nothing of the module is on the
 * stack */
void request_answered(struct http_request *request);
/** request_abandon() - the peer has gone: cancel, and free when nothing runs any more */
void request_abandon(struct http_request *request);

static inline bool request_complete(const struct http_request *request) {
    return request->response.answered && !request->operation && !request->handling;
}

/* target.c */
/** target_decode() - path and query of the target; HTTP_E_BAD_REQUEST, -ENOMEM */
int target_decode(struct http_request *request);
/** target_read_params() - the route's params from path and query */
void target_read_params(struct http_request *request);

/* problem.c */
/** problem_respond() - answer with @code; @detail NULL: the row's text; with the collected items
 * when HTTP_E_VALIDATION */
void problem_respond(struct http_request *request, int code, const char *detail);

/* response.c */
void response_write(struct http_request *request);
/** response_continue() - 100 Continue */
void response_continue(struct http_connection *connection);

/* docs.c: routes that every service has */
extern const struct http_route docs_routes[];
