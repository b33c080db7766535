/*
 * Routes as tables. From them come the router, the 404/405 answers with a complete Allow, body
 * validation, OpenAPI and /docs.
 *
 * A route is answered by handle() or by an operation (steps + op_size): the server allocates the
 * operation in the request's arena, starts it, and turns its failing status into the error answer
 * of tbl/errors.h. An operation begins with struct http_op and answers in one of its steps.
 */
#pragma once

#include <eventbox/http/body.h>
#include <eventbox/http/request.h>
#include <eventbox/loop/op.h>

enum http_method {
    HTTP_GET,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_HEAD,
    HTTP_OPTIONS
};

/* Who may call; enforced by the module until TLS and tokens come, documented already. */
enum http_auth { HTTP_AUTH_NONE, HTTP_AUTH_USER, HTTP_AUTH_OWNER, HTTP_AUTH_ADMIN };

struct http_op {
    struct op op;
    struct http_request *request;
};

struct http_response_doc {
    int status; /* 0 ends a table */
    const char *description;
    const char
        *schema; /* name in the service's schemas, "[]Name" for an array of it, NULL: no content */
};

struct http_route {
    enum http_method method;
    const char *path; /* "/users/{user_id}"; NULL ends a table; a trailing slash is equal to none */
    enum http_auth auth;
    const struct body_row *params; /* path and query; rows named in the path are path parameters */
    size_t params_size;            /* of the struct that params fill */
    const struct body_row *body;   /* JSON body; NULL: none is read */
    size_t body_size;
    void (*handle)(struct http_request *request);
    const struct op_step *steps;
    size_t op_size;
    const char *op_name; /* "users.create": OpenAPI operationId, metric label */
    const struct http_response_doc *responses;
    const char *summary;
    const char *tag;
    bool hidden; /* not in OpenAPI */
};

/* A named object in OpenAPI's components. */
struct http_schema {
    const char *name; /* NULL ends a table */
    const struct body_row *rows;
};
