/*
 * What a handler of a Kafka API sees: one decoded request and one way to answer. api/ reads and
 * writes connections and calls the handlers; handlers (api/, group/) know nothing of connections.
 *
 * A folder with handlers offers a table of struct kafka_handler; the module gives the tables to
 * api/, and what they list is what ApiVersions advertises and what is dispatched.
 *
 * Life of a request: it exists from the call of handle() until kafka_respond() or its sisters,
 * exactly one of which is called once, in handle() or any time later on the loop. A handler may
 * park a request for as long as it likes; later requests of the same connection may be handled
 * meanwhile, and their answers wait behind it. When the peer goes away, on_gone() is called if set,
 * and the request still exists: an answer to it is dropped. Everything in @arena and the spans of
 * @body die with the request: copy what must live longer.
 */
#pragma once

#include "codec_walk.h"
#include "kafka_error.h"

#include <eventbox/base/list.h>

struct kafka_request {
    const struct kafka_api *api;
    int16_t version;
    int32_t correlation_id;
    struct span client_id;  /* data NULL: null */
    const char *peer_host;  /* "127.0.0.1"; lives as long as the request */
    const char *local_host; /* that the client reached */
    /* Where this client is told to connect: as reached, unless the listener's setting says
     * otherwise. */
    const char *advertised_host;
    int32_t advertised_port;
    const void *body;    /* struct NAME_request of kafka_messages.h, decoded */
    struct arena *arena; /* for the response body; freed with the request */
    void *userdata;      /* of the handler's table */
    bool internal;       /* came in by the internal listener (9093) */
    bool gone;           /* the peer has left; answers are dropped */

    /* The handler's own while the request is parked. */
    struct list link;
    void *parked;
    void (*on_gone)(struct kafka_request *request);

    /* Optional: the answer was handed to the connection or dropped; @arena dies after it. */
    void (*on_free)(struct kafka_request *request);

    struct buf *frame; /* holds the spans of @body; record batches may be kept by a reference */
    const struct kafka_request_ops *ops; /* of api/, or of a test */
};

struct kafka_request_ops {
    int (*respond)(struct kafka_request *request, const void *body);
    int (*respond_encoded)(struct kafka_request *request, struct span body);
    void (*respond_none)(struct kafka_request *request);
    void (*close)(struct kafka_request *request, const char *reason);
    bool (*park)(struct kafka_request *request); /* NULL: always true */
};

/**
 * kafka_respond() - encode @body (struct NAME_response) at the request's version, send it in turn
 * The request must not be touched afterwards. Bodies come from KAFKA_NEW() or kafka_init(), so that
 * every field that the handler does not set has its default.
 * Return: 0; negative when it could not be encoded, and the connection is closed. Handlers may
 * ignore it.
 */
static inline int kafka_respond(struct kafka_request *request, const void *body) {
    return request->ops->respond(request, body);
}
/** kafka_respond_encoded() - the same with a body that kafka_encode() made for this version; copied
 */
static inline int kafka_respond_encoded(struct kafka_request *request, struct span body) {
    return request->ops->respond_encoded(request, body);
}
/** kafka_respond_none() - done without an answer (Produce with acks=0) */
static inline void kafka_respond_none(struct kafka_request *request) {
    request->ops->respond_none(request);
}
/** kafka_request_close() - close the connection instead of an answer (out of memory for one);
 * @reason is logged */
static inline void kafka_request_close(struct kafka_request *request, const char *reason) {
    request->ops->close(request, reason);
}

/**
 * kafka_request_park() - the request will wait for what may not come for long: its memory no longer
 * counts as that of requests under way, for which others wait
 * Return: false when requests that are parked hold as much already; then it is answered now.
 */
static inline bool kafka_request_park(struct kafka_request *request) {
    return !request->ops->park || request->ops->park(request);
}

/* KAFKA_DROP_EMPTY(rows, count, inner): leave out the rows whose array @inner is empty, as answers
 * of Kafka's do that are put together partition by partition. */
#define KAFKA_DROP_EMPTY(rows, count, inner)                                                       \
    do {                                                                                           \
        int32_t kept_ = 0;                                                                         \
        for (int32_t i_ = 0; i_ < (count); i_++) {                                                 \
            if ((rows)[i_].inner##_count > 0) {                                                    \
                (rows)[kept_++] = (rows)[i_];                                                      \
            }                                                                                      \
        }                                                                                          \
        (count) = kept_;                                                                           \
    } while (0)

/* One row of a handler table. */
struct kafka_handler {
    int16_t key;
    int16_t version_first; /* advertised */
    int16_t version_last;
    int16_t served_first; /* below it error 35 is answered; 0: as advertised */
    void (*handle)(struct kafka_request *request);
    const char *remark; /* for the README's table; NULL: nothing to say */
};

/* A table ends by count. @userdata becomes kafka_request.userdata. */
struct kafka_handlers {
    const struct kafka_handler *rows;
    size_t count;
    void *userdata;
};

/** kafka_error_of() - the Kafka code for a return value of either sign */
static inline int16_t kafka_error_of(int code) {
    return code == 0 ? 0 : (int16_t)error_row_get(code)->kafka_code;
}
