/* From a parsed head to the handler: what a request goes through on its way in. */
#include "exchange.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <stdlib.h>
#include <string.h>

struct http_request *request_new(struct http_server *server, struct http_connection *connection) {
    struct list *spare = list_pop_front(&server->spare_requests);
    struct http_request *request;
    if (spare) {
        request = list_entry(spare, struct http_request, link);
        server->spare_request_count--;
    } else {
        request = malloc(sizeof *request);
        if (!request) {
            return NULL;
        }
    }
    memset(request, 0, offsetof(struct http_request, head_inline));
    memset(&request->head, 0, offsetof(struct guard_head, fields));
    request->server = server;
    request->connection = connection;
    request->loopback = connection->loopback;
    request->started_ns = clock_mono_ns(loop_clock(server->loop));
    arena_init(&request->arena, server->limits.request_memory_bytes);
    body_errors_init(&request->errors, &request->arena);
    server->requests_alive++;
    return request;
}

void request_free(struct http_request *request) {
    struct http_server *server = request->server;
    list_remove(&request->settle_task.link);
    json_free(request->json);
    text_deinit(&request->content);
    text_deinit(&request->response.text);
    text_deinit(&request->response.fields);
    arena_deinit(&request->arena);
    server->requests_alive--;
    if (server->spare_request_count < REQUESTS_SPARE_MAX && !server->stopping) {
        list_push_front(&server->spare_requests, &request->link);
        server->spare_request_count++;
    } else {
        free(request);
    }
    server_connection_gone(server);
}

/* A request id of the peer is taken over when it is harmless in a header and a log line. */
static bool id_valid(struct span id) {
    const char *data = id.data;
    if (!id.size || id.size > REQUEST_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < id.size; i++) {
        char c = data[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!alnum && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return true;
}

static void trace_begin(struct http_request *request) {
    struct random *random = &request->server->random.random;
    struct trace parent;
    struct span header = guard_field_find(&request->head, "traceparent");
    if (header.data && trace_parse(header, &parent)) {
        trace_child(random, &parent, &request->trace);
    } else {
        trace_new(random, &request->trace);
    }
    request->request_id = guard_field_find(&request->head, "x-request-id");
    if (!id_valid(request->request_id)) {
        trace_format_id(&request->trace, request->id_text);
        request->request_id = span_of(request->id_text, TRACE_ID_SIZE - 1);
    }
}

int request_head(struct http_request *request, const char *head, size_t size) {
    struct http_limits *limits = &request->server->limits;
    struct guard_limits guard_limits = {limits->target_bytes, limits->head_fields};
    char *copy = request->head_inline;
    if (size > sizeof request->head_inline) {
        copy = arena_alloc(&request->arena, size);
        if (!copy) {
            return err_origin(HTTP_E_UNAVAILABLE);
        }
    }
    memcpy(copy, head, size);
    int rc = guard_parse(copy, size, &guard_limits, &request->head);
    request->head_valid = rc == 0;
    trace_begin(request);
    return rc;
}

static bool span_is_json_type(struct span type) {
    char text[128];
    size_t size = 0;
    const char *data = type.data;
    for (; size < type.size && size < sizeof text - 1 && data[size] != ';'; size++) {
        text[size] = (char)(data[size] >= 'A' && data[size] <= 'Z' ? data[size] | 32 : data[size]);
    }
    while (size && (text[size - 1] == ' ' || text[size - 1] == '\t')) {
        size--;
    }
    text[size] = '\0';
    return strcmp(text, "application/json") == 0 ||
           (strncmp(text, "application/", 12) == 0 && size > 17 &&
            strcmp(text + size - 5, "+json") == 0);
}

static bool has_content(const struct http_request *request) {
    return request->head.chunked || request->head.content_length > 0;
}

static int find_route(struct http_request *request) {
    bool asterisk = *(const char *)request->head.target.data == '*';
    int rc = asterisk ? 0 : target_decode(request);
    if (rc < 0) {
        return HTTP_E_UNAVAILABLE;
    }
    if (rc || asterisk) {
        return rc;
    }
    return router_find(&request->server->router, (enum http_method)request->head.method,
                       &request->target, &request->router_path, &request->route,
                       &request->userdata);
}

void request_plan(struct http_request *request) {
    const struct guard_head *head = &request->head;
    request->close = !head->keep_alive;
    request->early_code = find_route(request);
    if (head->expect_other) {
        request->early_code = HTTP_E_EXPECTATION;
    }
    if (head->content_length > (int64_t)request->server->limits.body_bytes) {
        request->early_code = HTTP_E_TOO_LARGE;
    }
    if (request->early_code || !request->route || !request->route->body) {
        return;
    }
    struct span encoding = guard_field_find(head, "content-encoding");
    if (encoding.data && !span_equal(encoding, SPAN_LITERAL("identity"))) {
        request->early_code = HTTP_E_MEDIA_TYPE; /* no decompression, no bombs */
        return;
    }
    struct span type = guard_field_find(head, "content-type");
    request->content_type_wrong = has_content(request) && !span_is_json_type(type);
    request->content_wanted = !request->content_type_wrong;
}

int request_content(void *userdata, const void *data, size_t size) {
    struct http_request *request = userdata;
    request->content_bytes += size;
    if (request->content_bytes > request->server->limits.body_bytes) {
        return HTTP_E_TOO_LARGE;
    }
    if (request->content_wanted && !request->early_code) {
        text_append(&request->content, data, size);
        return text_failed(&request->content) ? HTTP_E_UNAVAILABLE : 0;
    }
    return 0;
}

/* Return: 0, items or a document; a code that ends the request. */
static int parse_json(struct http_request *request) {
    struct json_limits limits = {request->server->limits.body_bytes, 16, 10000};
    struct json_error error = {0, 0, "Invalid JSON"};
    int rc = json_parse(text_span(&request->content), &limits, &request->json, &error);
    if (rc == JSON_E_DUPLICATE_KEY) {
        error.text = "Duplicate name in an object";
    } else if (rc != JSON_E_INVALID) {
        return rc;
    }
    struct text ctx;
    text_init(&ctx);
    json_write_object(&ctx, NULL);
    json_write_string(&ctx, "error", span_text(error.text));
    json_write_object_end(&ctx);
    body_error_add_at(&request->errors, "body", (int64_t)error.characters, "json_invalid",
                      "JSON decode error", ctx.data, SPAN_LITERAL("{}"));
    text_deinit(&ctx);
    return 0;
}

static bool prefers_strict(const struct http_request *request) {
    struct span prefer = guard_field_find(&request->head, "prefer");
    return prefer.data && memmem(prefer.data, prefer.size, "handling=strict", 15);
}

static void add_no_object(struct http_request *request, struct span input) {
    body_error_add(&request->errors, "body", NULL, "model_attributes_type",
                   "Input should be a valid dictionary or object to extract fields from",
                   request->content_type_wrong
                       ? "{\"reason\":\"Content-Type must be application/json\"}"
                       : NULL,
                   input);
}

static int read_body(struct http_request *request) {
    const struct http_route *route = request->route;
    if (request->content_type_wrong) {
        add_no_object(request, SPAN_NULL);
        return 0;
    }
    if (!request->content.size) {
        body_error_add(&request->errors, "body", NULL, "missing", "Field required", NULL,
                       SPAN_NULL);
        return 0;
    }
    int rc = parse_json(request);
    if (rc || !request->json) {
        return rc;
    }
    enum json_type type = json_type_of(request->json);
    if (type != JSON_OBJECT) {
        struct text input;
        text_init(&input);
        if (type != JSON_ARRAY && !rows_have_secret(route->body)) {
            json_convert(request->json, &input);
        }
        add_no_object(request, text_span(&input));
        text_deinit(&input);
        return 0;
    }
    rows_read_object(route->body, request->json, request->body, &request->errors,
                     prefers_strict(request));
    return 0;
}

/* Fills params and body. Return: 0; HTTP_E_VALIDATION or another code to answer with. */
static int validate(struct http_request *request) {
    const struct http_route *route = request->route;
    if (route->params) {
        request->params = arena_alloc(&request->arena, route->params_size);
        if (!request->params) {
            return HTTP_E_UNAVAILABLE;
        }
        target_read_params(request);
    }
    if (route->body) {
        request->body = arena_alloc(&request->arena, MAX(route->body_size, (size_t)1));
        if (!request->body) {
            return HTTP_E_UNAVAILABLE;
        }
        int rc = read_body(request);
        text_deinit(&request->content);
        if (rc) {
            return rc < 0 ? HTTP_E_UNAVAILABLE : rc;
        }
    }
    if (request->errors.failed) {
        return HTTP_E_UNAVAILABLE;
    }
    return request->errors.count ? HTTP_E_VALIDATION : 0;
}

/* Hands a complete request on: to the socket in its turn, or to the free list when nobody waits. */
static void settle(struct http_request *request) {
    if (!request_complete(request)) {
        return;
    }
    if (request->connection) {
        connection_answered(request);
    } else {
        request_free(request);
    }
}

static void on_settle(struct loop_task *task) {
    settle(container_of(task, struct http_request, settle_task));
}

void request_answered(struct http_request *request) {
    if (request_complete(request)) {
        /* An answer from a callback: its caller may still use the request. */
        request->settle_task.run = on_settle;
        loop_defer(request->server->loop, &request->settle_task);
    }
}

static void on_op_finish(struct op *op, int status) {
    struct http_request *request = container_of(op, struct http_op, op)->request;
    if (!request->response.answered) {
        problem_respond(request, status ? status : ERROR_INTERNAL, NULL);
    }
    request->operation = NULL;
    settle(request);
}

static void start_operation(struct http_request *request) {
    const struct http_route *route = request->route;
    struct http_op *operation = arena_alloc(&request->arena, route->op_size);
    if (!operation) {
        problem_respond(request, HTTP_E_UNAVAILABLE, NULL);
        return;
    }
    operation->request = request;
    operation->op.trace = request->trace;
    request->operation = operation;
    op_start(&operation->op, request->server->loop, route->op_name, route->steps, on_op_finish);
}

static void answer_options(struct http_request *request) {
    http_respond_header(request, "allow",
                        request->router_path ? request->router_path->allow
                                             : "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
    http_respond_empty(request, 204);
}

static void handle(struct http_request *request) {
    if (!request->early_code && !request->route) {
        answer_options(request);
        return;
    }
    int code = request->early_code ? request->early_code : validate(request);
    if (code) {
        if (code == HTTP_E_METHOD) {
            http_respond_header(request, "allow", request->router_path->allow);
        }
        problem_respond(request, code, NULL);
    } else if (request->route->steps) {
        start_operation(request);
    } else {
        request->route->handle(request);
    }
}

void request_dispatch(struct http_request *request) {
    request->handling = true;
    request->server->stats.requests++;
    handle(request);
    request->handling = false;
    settle(request);
}

void request_abandon(struct http_request *request) {
    const char *peer = request->connection->peer;
    request->peer = arena_dup(&request->arena, peer, strlen(peer));
    request->connection = NULL;
    if (request->operation && !request->response.answered) {
        op_cancel(&request->operation->op, CONN_E_CLOSED); /* may end it, and free the request */
    } else {
        settle(request);
    }
}
