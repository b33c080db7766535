/*
 * Outgoing HTTP on libcurl's multi interface, driven by the loop. libcurl is initialized at first
 * use. Bodies go out through a read callback whose seek refuses, so that libcurl cannot silently
 * send a body twice on a reused connection that died: that becomes HTTP_CLIENT_UNKNOWN.
 * Redirects, proxies, netrc and cookies are off. Thread: loop.
 */
#pragma once

#include <eventbox/base/span.h>
#include <eventbox/loop/loop.h>

struct http_client;

enum http_client_outcome {
    HTTP_CLIENT_ANSWERED, /* a final status line came, whatever happened after it */
    HTTP_CLIENT_NOT_SENT, /* proven: the peer cannot have the whole request */
    HTTP_CLIENT_UNKNOWN,  /* all bytes were handed over, no answer: it may have been processed */
    HTTP_CLIENT_TLS,      /* the peer's certificate was refused; nothing was sent */
};

struct http_client_header {
    const char *name;
    const char *value;
};

struct http_client_answer {
    enum http_client_outcome outcome;
    int status;                  /* ANSWERED only */
    struct span body;            /* the first 64 KiB */
    struct span retry_after;     /* header fields; data NULL when absent */
    struct span message_id;      /* X-Message-Id */
    struct span ratelimit_reset; /* X-RateLimit-Reset */
    const char *error;           /* text of the failure, "" when ANSWERED */
};

typedef void (*http_client_done_fn)(void *userdata, const struct http_client_answer *answer);

struct http_client_request {
    const char *method;
    const char *url; /* http or https */
    const struct http_client_header *headers;
    size_t header_count;
    struct span body; /* copied */
    int64_t connect_ms, total_ms;
    http_client_done_fn done; /* exactly once, never from http_client_send() itself */
    void *userdata;
};

struct http_client_call;

int http_client_new(struct loop *loop, struct http_client **ret_client);
/** http_client_free() - aborts what is in flight: done() with NOT_SENT or UNKNOWN as it stands */
void http_client_free(struct http_client *client);
/**
 * http_client_send() - everything of @request is copied; @ret_call may be NULL
 * The first call of a process loads libcurl, which takes some milliseconds.
 * Return: 0; -ELIBACC when libcurl.so.4 is not there; -EINVAL for a line break in a header;
 * -ENOMEM.
 */
int http_client_send(struct http_client *client, const struct http_client_request *request,
                     struct http_client_call **ret_call);
