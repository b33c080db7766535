/*
 * PUT /users/{user_id}: change the fields that the body names. A new password is compared with the
 * names that the user will have, which takes a look at the row before the hash; the row is read
 * again inside the write, where it counts.
 */
#include "users.h"

#include <errno.h>

static const struct user_fields *fields_of(struct update *update) {
    return http_request_body(update->base.service.http.request);
}

static bool given(bool present, bool null) {
    return present && !null;
}

static int step_validate(struct op *op) {
    struct users_op *base = users_op_begin(op);
    struct update *update = container_of(base, struct update, base);
    random_fill(base->users->context.random, update->salt, sizeof update->salt);
    event_init(&update->event, base->users, USERS_EVENT_UPDATED,
               http_request_trace(base->service.http.request));
    return OP_NEXT;
}

/* What the user looks like after the change; spans borrow from @before and the request. */
static struct user apply(struct update *update, const struct user *before) {
    const struct user_fields *fields = fields_of(update);
    struct user after = *before;
    if (given(fields->username.present, fields->username.null)) {
        after.username = span_of(fields->username.data, fields->username.size);
    }
    if (given(fields->email.present, fields->email.null)) {
        after.email = span_of(fields->email.data, fields->email.size);
    }
    if (given(fields->role.present, fields->role.null)) {
        after.role = (enum user_role)fields->role.value;
    }
    if (fields->age.present) {
        after.has_age = !fields->age.null;
        after.age = fields->age.value;
    }
    if (fields->full_name.present) {
        after.full_name = fields_trim(span_of(fields->full_name.data, fields->full_name.size));
        if (fields->full_name.null || !after.full_name.size) {
            after.full_name = SPAN_NULL;
        }
    }
    return after;
}

static int find(struct store_tx *tx, struct op *op) {
    struct update *update = container_of(users_op_of(op), struct update, base);
    const struct user_path *path = http_request_params(update->base.service.http.request);
    struct user before;
    int status = caller_check(&update->base.caller, tx, HTTP_AUTH_OWNER, path->user_id.value);
    if (!status) {
        status = user_find(tx, path->user_id.value, &before);
    }
    if (status) {
        return status;
    }
    struct user after = apply(update, &before);
    update->similar = fields_password_problem(users_op_secret(&fields_of(update)->password),
                                              after.username, after.email) != NULL;
    return 0;
}

static int step_find(struct op *op) {
    struct users_op *base = users_op_of(op);
    struct update *update = container_of(base, struct update, base);
    const struct body_string *password = &fields_of(update)->password;
    if (!given(password->present, password->null)) {
        return OP_NEXT;
    }
    return op_wait_store_read(op, base->users->context.store, &base->service.job, find);
}

static int hash(struct op *op) {
    struct update *update = container_of(users_op_of(op), struct update, base);
    const struct body_string *password = &fields_of(update)->password;
    int status = password_hash(&update->base.users->password_params, update->salt,
                               users_op_secret(password), update->phc);
    users_op_wipe(password);
    return err_trace(status);
}

static int step_hash(struct op *op) {
    struct users_op *base = users_op_of(op);
    struct update *update = container_of(base, struct update, base);
    const struct body_string *password = &fields_of(update)->password;
    if (!given(password->present, password->null)) {
        return OP_NEXT;
    }
    if (update->similar) {
        users_op_wipe(password);
        fields_respond_invalid(base->service.http.request, "password", "value_error",
                               "Value error, the password is too similar to the username or the "
                               "email address");
        return OP_DONE;
    }
    return users_op_hash(op, hash);
}

static void write_text_change(struct text *out, const char *name, struct span from,
                              struct span to) {
    json_write_object(out, name);
    if (from.data) {
        json_write_string(out, "from", from);
    } else {
        json_write_null(out, "from");
    }
    if (to.data) {
        json_write_string(out, "to", to);
    } else {
        json_write_null(out, "to");
    }
    json_write_object_end(out);
}

static void write_age(struct text *out, const char *name, const struct user *user) {
    if (user->has_age) {
        json_write_int(out, name, user->age);
    } else {
        json_write_null(out, name);
    }
}

/* The object `changed` of the event; false when nothing is. */
static bool write_changes(struct text *out, const struct user *before, const struct user *after,
                          bool password) {
    bool age_changed =
        before->has_age != after->has_age || (before->has_age && before->age != after->age);
    json_write_object(out, NULL);
    size_t empty_size = out->size;
    if (!span_equal(before->username, after->username)) {
        write_text_change(out, "username", before->username, after->username);
    }
    if (!span_equal(before->email, after->email)) {
        write_text_change(out, "email", before->email, after->email);
    }
    if (!span_equal(before->full_name, after->full_name)) {
        write_text_change(out, "full_name", before->full_name, after->full_name);
    }
    if (before->role != after->role) {
        write_text_change(out, "role", span_text(user_role_names[before->role]),
                          span_text(user_role_names[after->role]));
    }
    if (age_changed) {
        json_write_object(out, "age");
        write_age(out, "from", before);
        write_age(out, "to", after);
        json_write_object_end(out);
    }
    if (password) {
        json_write_string(out, "password", SPAN_LITERAL("changed"));
    }
    bool changed = out->size > empty_size;
    json_write_object_end(out);
    return changed;
}

static int write_row(struct store_tx *tx, const struct user *user, const char *phc) {
    struct user_keys keys;
    struct store_stmt *stmt;
    int status = store_prepare(tx,
                               "UPDATE users_user SET username = $2, username_key = $3, email = $4,"
                               " email_key = $5, role = $6, age = $7, full_name = $8, version = $9,"
                               " updated_at = $10, password = COALESCE($11, password)"
                               " WHERE id = $1",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, user->id);
    user_bind(stmt, 2, user, &keys);
    store_bind_int(stmt, 9, user->version);
    store_bind_int(stmt, 10, user->updated_ms);
    store_bind_text(stmt, 11, phc ? span_text(phc) : SPAN_NULL);
    status = store_run(stmt, NULL);
    return status == STORE_E_UNIQUE ? USERS_E_EXISTS : err_trace(status);
}

/* An open door must not lead to an admin's account: its password is changed by itself or by an
 * admin. */
static bool may_set_password(const struct caller *caller, const struct user *user) {
    return user->role != USER_ROLE_ADMIN ||
           (caller->known && (caller->role == USER_ROLE_ADMIN || caller->user_id == user->id));
}

static int change_row(struct store_tx *tx, struct update *update, struct text *changed) {
    struct caller *caller = &update->base.caller;
    const struct user_path *path = http_request_params(update->base.service.http.request);
    bool new_password = update->phc[0] != 0;
    struct user row;
    int status = caller_check(caller, tx, HTTP_AUTH_OWNER, path->user_id.value);
    if (!status) {
        status = user_find(tx, path->user_id.value, &row);
    }
    if (status) {
        return status;
    }
    user_keep(&row, &update->before);
    struct user after = apply(update, &update->before.user);
    if (after.role != update->before.user.role) {
        status = caller_may_grant(caller, tx, update->before.user.role, after.role);
    }
    if (!status && new_password && !may_set_password(caller, &update->before.user)) {
        status = HTTP_E_FORBIDDEN;
    }
    if (!status) {
        status = caller_touch(caller, tx);
    }
    if (status) {
        return err_trace(status);
    }
    update->changed = write_changes(changed, &update->before.user, &after, new_password);
    if (update->changed) {
        after.version++;
        after.updated_ms = update->event.now_ms;
        status = write_row(tx, &after, new_password ? update->phc : NULL);
    }
    if (!status && new_password) {
        status = session_delete_all(tx, after.id, caller->known ? caller->digest : NULL);
    }
    if (!status && update->changed) {
        status = event_add(tx, &update->event, caller, &after, NULL, text_span(changed));
    }
    user_keep(&after, &update->saved);
    return err_trace(status);
}

static int update_body(struct store_tx *tx, struct op *op) {
    struct text changed;
    text_init(&changed);
    int status = change_row(tx, container_of(users_op_of(op), struct update, base), &changed);
    text_deinit(&changed);
    return status;
}

static int step_update(struct op *op) {
    struct users_op *base = users_op_of(op);
    base->service.job.job.grows = true;
    return op_wait_store_write(op, base->users->context.store, &base->service.job, update_body);
}

static int step_respond(struct op *op) {
    struct users_op *base = users_op_of(op);
    struct update *update = container_of(base, struct update, base);
    metric_inc(&base->users->context.metrics[USERS_M_UPDATED]);
    log_emit(base->users->context.log, LOG_USERS_UPDATED,
             http_request_trace(base->service.http.request),
             LOG_INT("user_id", update->saved.user.id), LOG_BOOL("changed", update->changed),
             LOG_INT("version", update->saved.user.version));
    users_op_respond_user(base, 200, &update->saved.user);
    return OP_NEXT;
}

const struct op_step users_update_steps[] = {
    {"validate", step_validate},
    {"find", step_find},     /* waits: store reader; only with a new password */
    {"hash", step_hash},     /* waits: hash threads; only with a new password */
    {"update", step_update}, /* waits: store writer */
    {"respond", step_respond},
    {0},
};
