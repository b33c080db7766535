/*
 * What every operation of a REST service with a table has: the request, a job in the store, JSON
 * that may be written off the loop, and one end. Embed it first; a module adds what its operations
 * share (struct users_op).
 *
 *   struct get { struct service_op service; ... };
 *
 * A step that returns a failure ends the operation: the server answers from the failure's row of
 * tbl/errors.h, and what is the server's own fault (5xx) becomes a log line. Thread: loop.
 */
#pragma once

#include <eventbox/base/text.h>
#include <eventbox/host/log.h>
#include <eventbox/http/route.h>
#include <eventbox/store/store.h>

struct service_op {
    struct http_op http;
    struct store_op_job job;
    struct text json; /* freed when the operation ends without an answer */
    struct logger *log;
    enum log_event failure; /* the line of a 5xx */
    op_finish_fn server_finish;
};

/** service_op_begin() - the first call of the first step */
void service_op_begin(struct service_op *service, struct logger *log, enum log_event failure);

static inline struct service_op *service_op_of(struct op *op) {
    return container_of(op, struct service_op, http.op);
}
