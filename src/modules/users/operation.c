/* What the operations of this service share: who asks, passwords, the answer with a user. */
#include "users.h"

struct users_op *users_op_begin(struct op *op) {
    struct users_op *base = users_op_of(op);
    base->users = http_request_userdata(base->service.http.request);
    service_op_begin(&base->service, base->users->context.log, LOG_USERS_ERROR);
    caller_init(&base->caller, base->users, base->service.http.request);
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
    user_write_json(&base->service.json, NULL, user);
    http_respond_json(base->service.http.request, status, &base->service.json);
}
