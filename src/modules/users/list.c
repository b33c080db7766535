/* GET /users/: a bare array in the order of registration. */
#include "users.h"

#include <errno.h>

/* The JSON is written on the reader's thread, so that a thousand users do not hold up the loop. */
static int find(struct store_tx *tx, struct op *op) {
    struct users_op *base = users_op_of(op);
    const struct list_query *query = http_request_params(base->service.http.request);
    struct store_stmt *stmt;
    struct user user;
    int status = 0;
    text_clear(&base->service.json);
    if (!base->caller.open) {
        status = caller_check(&base->caller, tx, HTTP_AUTH_ADMIN, 0);
    }
    if (!status) {
        status = store_prepare(
            tx, "SELECT " USER_COLUMNS " FROM users_user ORDER BY id LIMIT $1 OFFSET $2", &stmt);
    }
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, query->limit.value);
    store_bind_int(stmt, 2, query->skip.value);
    json_write_array(&base->service.json, NULL);
    while ((status = store_step(stmt)) == STORE_ROW) {
        user_from_row(stmt, &user);
        user_write_json(&base->service.json, NULL, &user);
    }
    json_write_array_end(&base->service.json);
    return status ? err_trace(status) : text_failed(&base->service.json) ? err_origin(-ENOMEM) : 0;
}

static int step_find(struct op *op) {
    struct users_op *base = users_op_begin(op);
    return op_wait_store_read(op, base->users->context.store, &base->service.job, find);
}

static int step_respond(struct op *op) {
    struct users_op *base = users_op_of(op);
    http_respond_json(base->service.http.request, 200, &base->service.json);
    return OP_NEXT;
}

const struct op_step users_list_steps[] = {
    {"find", step_find}, /* waits: store reader */
    {"respond", step_respond},
    {0},
};
