/* What a handler may ask of its request. */
#include "exchange.h"

struct arena *http_request_arena(struct http_request *request) {
    return &request->arena;
}

void *http_request_userdata(struct http_request *request) {
    return request->userdata;
}

const struct trace *http_request_trace(struct http_request *request) {
    return &request->trace;
}

const struct http_route *http_request_route(struct http_request *request) {
    return request->route;
}

struct loop *http_request_loop(struct http_request *request) {
    return request->server->loop;
}

const void *http_request_params(struct http_request *request) {
    return request->params;
}

const void *http_request_body(struct http_request *request) {
    return request->body;
}

const struct json *http_request_body_json(struct http_request *request) {
    return request->json;
}

struct span http_request_header(struct http_request *request, const char *name) {
    return guard_field_find(&request->head, name);
}

struct span http_request_method(struct http_request *request) {
    return request->head.method_text;
}

struct span http_request_path(struct http_request *request) {
    return request->path;
}

const char *http_request_peer(struct http_request *request) {
    if (request->connection) {
        return request->connection->peer;
    }
    return request->peer ? request->peer : "";
}

bool http_request_peer_is_loopback(struct http_request *request) {
    return request->loopback;
}

bool http_request_answered(struct http_request *request) {
    return request->response.answered;
}
