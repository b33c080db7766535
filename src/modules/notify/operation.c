/* What every operation of this service begins and ends with. */
#include "notify.h"

/* Ours runs before the server's finish, which answers failures and frees the request. */
static void on_finish(struct op *op, int status) {
    struct notify_op *base = notify_op_of(op);
    int http_status = status ? error_row_get(status)->http_status : 0;
    if (http_status >= 500) {
        log_emit(base->notify->context.log, LOG_NOTIFY_ERROR,
                 http_request_trace(base->http.request), LOG_TEXT("operation", op->name),
                 LOG_TEXT("error", err_text(status)), LOG_INT("status", http_status));
    }
    text_deinit(&base->json);
    base->server_finish(op, status);
}

struct notify_op *notify_op_begin(struct op *op) {
    struct notify_op *base = notify_op_of(op);
    base->notify = http_request_userdata(base->http.request);
    base->server_finish = op->finish;
    op->finish = on_finish;
    text_init(&base->json);
    return base;
}
