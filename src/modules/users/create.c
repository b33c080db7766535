/* POST /users/: register. */
#include "users.h"

#include <stdio.h>

static int step_validate(struct op *op) {
    struct users_op *base = users_op_begin(op);
    struct create *create = container_of(base, struct create, base);
    const struct user_fields *fields = http_request_body(base->service.http.request);
    struct span full_name = fields_trim(span_of(fields->full_name.data, fields->full_name.size));
    create->wanted = (struct user){
        .username = span_of(fields->username.data, fields->username.size),
        .email = span_of(fields->email.data, fields->email.size),
        .full_name = full_name.size ? full_name : SPAN_NULL,
        .role = (enum user_role)fields->role.value,
        .has_age = fields->age.present && !fields->age.null,
        .age = fields->age.value,
        .version = 1,
    };
    const char *problem = fields_password_problem(users_op_secret(&fields->password),
                                                  create->wanted.username, create->wanted.email);
    if (problem) {
        fields_respond_invalid(base->service.http.request, "password", "value_error", problem);
        return OP_DONE;
    }
    random_fill(base->users->context.random, create->salt, sizeof create->salt);
    event_init(&create->event, base->users, USERS_EVENT_CREATED,
               http_request_trace(base->service.http.request));
    return OP_NEXT;
}

static int hash(struct op *op) {
    struct create *create = container_of(users_op_of(op), struct create, base);
    const struct user_fields *fields = http_request_body(create->base.service.http.request);
    int status = password_hash(&create->base.users->password_params, create->salt,
                               users_op_secret(&fields->password), create->phc);
    users_op_wipe(&fields->password);
    return err_trace(status);
}

static int step_hash(struct op *op) {
    return users_op_hash(op, hash);
}

static int insert_user(struct store_tx *tx, const struct create *create, int64_t *ret_id) {
    const struct user *user = &create->wanted;
    struct user_keys keys;
    struct store_stmt *stmt;
    int status = store_prepare(
        tx,
        "INSERT INTO users_user (username, username_key, email, email_key, role, age, full_name,"
        " password, version, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9) RETURNING id",
        &stmt);
    if (status) {
        return err_trace(status);
    }
    user_bind(stmt, 1, user, &keys);
    store_bind_text(stmt, 8, span_text(create->phc));
    store_bind_int(stmt, 9, create->event.now_ms);
    status = store_step(stmt);
    if (status != STORE_ROW) {
        return status == STORE_E_UNIQUE ? USERS_E_EXISTS : err_trace(status);
    }
    *ret_id = store_column_int(stmt, 0);
    return err_trace(store_run(stmt, NULL));
}

int users_create_insert(struct store_tx *tx, struct op *op) {
    struct create *create = container_of(users_op_of(op), struct create, base);
    struct user user = create->wanted;
    int status = caller_check(&create->base.caller, tx, HTTP_AUTH_NONE, 0);
    if (!status) {
        status = caller_may_grant(&create->base.caller, tx, user.role, user.role);
    }
    if (!status) {
        status = caller_touch(&create->base.caller, tx);
    }
    if (!status) {
        status = insert_user(tx, create, &user.id);
    }
    if (status) {
        return err_trace(status);
    }
    user.created_ms = user.updated_ms = create->event.now_ms;
    user_keep(&user, &create->saved);
    return err_trace(event_add(tx, &create->event, &create->base.caller, &user, NULL, SPAN_NULL));
}

static int step_insert(struct op *op) {
    struct users_op *base = users_op_of(op);
    base->service.job.job.grows = true;
    return op_wait_store_write(op, base->users->context.store, &base->service.job,
                               users_create_insert);
}

static int step_respond(struct op *op) {
    struct users_op *base = users_op_of(op);
    const struct user *user = &container_of(base, struct create, base)->saved.user;
    char location[40];
    metric_inc(&base->users->context.metrics[USERS_M_CREATED]);
    log_emit(base->users->context.log, LOG_USERS_CREATED,
             http_request_trace(base->service.http.request), LOG_INT("user_id", user->id),
             LOG_SPAN("username", user->username), LOG_TEXT("role", user_role_names[user->role]));
    snprintf(location, sizeof location, "/users/%lld", (long long)user->id);
    http_respond_header(base->service.http.request, "Location", location);
    users_op_respond_user(base, 201, user);
    return OP_NEXT;
}

const struct op_step users_create_steps[] = {
    {"validate", step_validate}, {"hash", step_hash}, /* waits: hash threads */
    {"insert", step_insert},                          /* waits: store writer */
    {"respond", step_respond},   {0},
};
