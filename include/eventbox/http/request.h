/*
 * One request and its response. Memory: everything of a request lives in its arena until the last
 * byte of the response has been written. Thread: loop.
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/json.h>
#include <eventbox/base/span.h>
#include <eventbox/base/text.h>
#include <eventbox/base/trace.h>

struct http_request;
struct http_route;

struct arena *http_request_arena(struct http_request *request);
/** http_request_userdata() - what http_service.userdata says: the module's state */
void *http_request_userdata(struct http_request *request);
const struct trace *http_request_trace(struct http_request *request);
const struct http_route *http_request_route(struct http_request *request);
struct loop *http_request_loop(struct http_request *request);

/** http_request_params(), http_request_body() - the structs that the route's rows have filled */
const void *http_request_params(struct http_request *request);
const void *http_request_body(struct http_request *request);
/** http_request_body_json() - the parsed document, for what rows cannot say; NULL without a JSON
 * body */
const struct json *http_request_body_json(struct http_request *request);
/** http_request_header() - value of a header field, @name in lower case; data NULL when absent */
struct span http_request_header(struct http_request *request, const char *name);
struct span http_request_method(struct http_request *request);
struct span http_request_path(struct http_request *request); /* decoded, without query */
const char *http_request_peer(struct http_request *request);
bool http_request_peer_is_loopback(struct http_request *request);

/*
 * Answers: exactly one of these, once. The server adds Date, Content-Length, X-Request-Id,
 * traceparent (W3C Trace Context) and the security fields that response.c lists.
 */

/** http_respond_header() - add a field before answering; copied */
void http_respond_header(struct http_request *request, const char *name, const char *value);
/** http_respond_json() - @json is JSON text; its memory is taken over and the text is empty
 * afterwards */
void http_respond_json(struct http_request *request, int status, struct text *json);
void http_respond_text(struct http_request *request, int status, const char *content_type,
                       struct span body);
/** http_respond_static() - as _text, but @body lives for ever and is not copied */
void http_respond_static(struct http_request *request, int status, const char *content_type,
                         struct span body);
void http_respond_empty(struct http_request *request, int status);
/**
 * http_respond_error() - answer from the row of @code: FastAPI's {"detail": text}, or RFC 9457 when
 * Accept asks for application/problem+json; X-Error-Code, Retry-After (503) and WWW-Authenticate
 * (401)
 */
void http_respond_error(struct http_request *request, int code);
/** http_respond_detail() - the same with another text for people */
void http_respond_detail(struct http_request *request, int code, const char *detail);
/**
 * http_request_errors() - items of this request's 422 answer; a handler that finds more wrong than
 * its rows can say adds them by body_error_add(), then answers with http_respond_validation()
 */
struct body_errors;
struct body_errors *http_request_errors(struct http_request *request);
void http_respond_validation(struct http_request *request);
bool http_request_answered(struct http_request *request);
