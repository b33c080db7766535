/* GET /users/{user_id}: one row by its key; the path that must be fast. */
#include "users.h"

static int find(struct store_tx *tx, struct op *op) {
    struct get *get = container_of(users_op_of(op), struct get, base);
    const struct user_path *path = http_request_params(get->base.service.http.request);
    struct user user;
    if (!get->base.caller.open) {
        int status = caller_check(&get->base.caller, tx, HTTP_AUTH_OWNER, path->user_id.value);
        if (status) {
            return err_trace(status);
        }
    }
    int status = user_find(tx, path->user_id.value, &user);
    if (status) {
        return status;
    }
    user_keep(&user, &get->found);
    return 0;
}

static int step_find(struct op *op) {
    struct users_op *base = users_op_begin(op);
    return op_wait_store_read(op, base->users->context.store, &base->service.job, find);
}

static int step_respond(struct op *op) {
    struct users_op *base = users_op_of(op);
    users_op_respond_user(base, 200, &container_of(base, struct get, base)->found.user);
    return OP_NEXT;
}

const struct op_step users_get_steps[] = {
    {"find", step_find}, /* waits: store reader */
    {"respond", step_respond},
    {0},
};
