/* What every operation of this service begins and ends with. */
#include "users.h"

/*
 * The server's own finish answers failures from tbl/errors.h and frees the request. Ours runs
 * before it: what the operation has outside of the request's arena goes away however it ends.
 */
static void on_finish(struct op *op, int status) {
    struct users_op *base = users_op_of(op);
    struct users *users = base->users;
    int http_status = status ? error_row_get(status)->http_status : 0;
    if (http_status >= 500) {
        log_emit(users->context.log, LOG_USERS_ERROR, http_request_trace(base->http.request),
                 LOG_TEXT("operation", op->name), LOG_TEXT("error", err_text(status)),
                 LOG_INT("status", http_status));
    }
    text_deinit(&base->json);
    base->server_finish(op, status);
}

struct users_op *users_op_begin(struct op *op) {
    struct users_op *base = users_op_of(op);
    base->users = http_request_userdata(base->http.request);
    base->server_finish = op->finish;
    op->finish = on_finish;
    text_init(&base->json);
    caller_init(&base->caller, base->users, base->http.request);
    return base;
}

int users_op_hash(struct op *op, int (*run)(struct op *op)) {
    struct users *users = users_op_of(op)->users;
    int status = op_wait_work(op, users->hasher, run);
    if (status == WORK_E_FULL) {
        metric_inc(&users->context.metrics[USERS_M_HASHES_REFUSED]);
        return USERS_E_BUSY;
    }
    metric_inc(&users->context.metrics[USERS_M_HASHES]);
    return status;
}

void users_op_wipe(const struct body_string *password) {
    /* The string is the operation's own copy in the request's arena. */
    crypto_wipe((char *)(uintptr_t)password->data, password->size);
}

void users_op_respond_user(struct users_op *base, int status, const struct user *user) {
    user_write_json(&base->json, NULL, user);
    http_respond_json(base->http.request, status, &base->json);
}
