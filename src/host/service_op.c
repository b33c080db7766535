#include <eventbox/base/error.h>
#include <eventbox/host/service_op.h>

/*
 * The server's own finish answers failures from tbl/errors.h and frees the request. Ours runs
 * before it: what the operation has outside of the request's arena goes away however it ends.
 */
static void on_finish(struct op *op, int status) {
    struct service_op *service = service_op_of(op);
    int http_status = status ? error_row_get(status)->http_status : 0;
    if (http_status >= 500) {
        log_emit(service->log, service->failure, http_request_trace(service->http.request),
                 LOG_TEXT("operation", op->name), LOG_TEXT("error", err_text(status)),
                 LOG_INT("status", http_status));
    }
    text_deinit(&service->json);
    service->server_finish(op, status);
}

void service_op_begin(struct service_op *service, struct logger *log, enum log_event failure) {
    service->log = log;
    service->failure = failure;
    service->server_finish = service->http.op.finish;
    service->http.op.finish = on_finish;
    text_init(&service->json);
}
