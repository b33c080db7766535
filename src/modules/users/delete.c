/* DELETE /users/{user_id}: the row and its sessions go; the number is never given out again. */
#include "users.h"

static int delete_row(struct store_tx *tx, int64_t id) {
    struct store_stmt *stmt;
    int status = store_prepare(tx, "DELETE FROM users_user WHERE id = $1", &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, id);
    return err_trace(store_run(stmt, NULL));
}

static int delete_body(struct store_tx *tx, struct op *op) {
    struct delete *delete = container_of(users_op_of(op), struct delete, base);
    struct caller *caller = &delete->base.caller;
    const struct user_path *path = http_request_params(delete->base.service.http.request);
    struct user row;
    struct user_copy gone;
    int status = caller_check(caller, tx, HTTP_AUTH_OWNER, path->user_id.value);
    if (!status) {
        status = user_find(tx, path->user_id.value, &row);
    }
    if (status) {
        return status;
    }
    user_keep(&row, &gone);
    status = delete_row(tx, gone.user.id);
    if (!status) {
        status = session_delete_all(tx, gone.user.id, NULL);
    }
    if (!status) {
        status = event_add(tx, &delete->event, caller, &gone.user, NULL, SPAN_NULL);
    }
    return err_trace(status);
}

static int step_delete(struct op *op) {
    struct users_op *base = users_op_begin(op);
    struct delete *delete = container_of(base, struct delete, base);
    event_init(&delete->event, base->users, USERS_EVENT_DELETED,
               http_request_trace(base->service.http.request));
    return op_wait_store_write(op, base->users->context.store, &base->service.job, delete_body);
}

static int step_respond(struct op *op) {
    struct users_op *base = users_op_of(op);
    const struct user_path *path = http_request_params(base->service.http.request);
    metric_inc(&base->users->context.metrics[USERS_M_DELETED]);
    log_emit(base->users->context.log, LOG_USERS_DELETED,
             http_request_trace(base->service.http.request),
             LOG_INT("user_id", path->user_id.value));
    http_respond_empty(base->service.http.request, 204);
    return OP_NEXT;
}

const struct op_step users_delete_steps[] = {
    {"delete", step_delete}, /* waits: store writer */
    {"respond", step_respond},
    {0},
};
