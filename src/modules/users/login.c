/*
 * POST /users/login: a password for a session token.
 *
 * Whether a user exists must not show: both cases take one look-up and one hash with the same
 * parameters, and every refusal is the same 401. What was wrong stands in the log alone, and there
 * the name is a digest, since people type passwords into the wrong field.
 */
#include "users.h"

#define LOGIN_COLUMNS USER_COLUMNS ", password"

static int step_validate(struct op *op) {
    struct users_op *base = users_op_begin(op);
    struct login *login = container_of(base, struct login, base);
    const struct login_fields *fields = http_request_body(base->service.http.request);
    bool username = fields->username.present && !fields->username.null;
    bool email = fields->email.present && !fields->email.null;
    if (!username && !email) {
        fields_respond_invalid(base->service.http.request, "username", "missing", "Field required");
        return OP_DONE;
    }
    random_fill(base->users->context.random, login->salt, sizeof login->salt);
    event_init(&login->event, base->users, USERS_EVENT_LOGGED_IN,
               http_request_trace(base->service.http.request));
    return OP_NEXT;
}

static struct span identifier_of(struct login *login) {
    const struct login_fields *fields = http_request_body(login->base.service.http.request);
    const struct body_string *name =
        fields->username.present && !fields->username.null ? &fields->username : &fields->email;
    return span_of(name->data, name->size);
}

static int find(struct store_tx *tx, struct op *op) {
    struct login *login = container_of(users_op_of(op), struct login, base);
    struct span identifier = identifier_of(login);
    /* The row's bound counts characters, up to four bytes each. */
    char key[4 * USER_EMAIL_BYTES];
    struct store_stmt *stmt;
    struct user user;
    /* A username has no '@', so one field serves both. */
    const char *at = identifier.size ? memchr(identifier.data, '@', identifier.size) : NULL;
    int status =
        at ? store_prepare(tx, "SELECT " LOGIN_COLUMNS " FROM users_user WHERE email_key = $1",
                           &stmt)
           : store_prepare(tx, "SELECT " LOGIN_COLUMNS " FROM users_user WHERE username_key = $1",
                           &stmt);
    login->found = false;
    if (status) {
        return err_trace(status);
    }
    identifier.size = MIN(identifier.size, sizeof key);
    store_bind_text(stmt, 1, user_key(identifier, key));
    status = store_step(stmt);
    if (status != STORE_ROW) {
        return err_trace(status);
    }
    struct span phc = store_column_text(stmt, USER_COLUMN_COUNT);
    user_from_row(stmt, &user);
    user_keep(&user, &login->user);
    login->stored_phc_size = MIN(phc.size, sizeof login->stored_phc);
    memcpy(login->stored_phc, phc.data, login->stored_phc_size);
    login->found = true;
    return 0;
}

static int step_find(struct op *op) {
    struct users_op *base = users_op_of(op);
    return op_wait_store_read(op, base->users->context.store, &base->service.job, find);
}

static int verify(struct op *op) {
    struct login *login = container_of(users_op_of(op), struct login, base);
    const struct login_fields *fields = http_request_body(login->base.service.http.request);
    const struct password_params *params = &login->base.users->password_params;
    struct span password = users_op_secret(&fields->password);
    struct password_phc phc;
    bool usable =
        login->found && password_parse(span_of(login->stored_phc, login->stored_phc_size), &phc);
    login->refused = login->found && !usable;
    if (!usable) {
        password_unknown(params, &phc);
    }
    int status = password_verify(&phc, password, &login->match);
    login->match = login->match && usable;
    if (!status && login->match && !password_is_current(&phc, params)) {
        login->rehash = true;
        status = password_hash(params, login->salt, password, login->new_phc);
    }
    users_op_wipe(&fields->password);
    return err_trace(status);
}

static int step_verify(struct op *op) {
    return users_op_hash(op, verify);
}

static int refuse(struct login *login) {
    struct users *users = login->base.users;
    const struct trace *trace = http_request_trace(login->base.service.http.request);
    uint8_t digest[SHA256_BYTES];
    char identifier[2 * SHA256_BYTES + 1];
    crypto_sha256(identifier_of(login), digest);
    hex_encode(digest, sizeof digest, identifier);
    metric_inc(&users->context.metrics[USERS_M_LOGINS_FAILED]);
    if (!login->found) {
        log_emit(users->context.log, LOG_USERS_LOGIN_FAILED, trace, LOG_TEXT("cause", "unknown"),
                 LOG_TEXT("identifier_sha256", identifier));
    } else {
        log_emit(users->context.log, LOG_USERS_LOGIN_FAILED, trace,
                 LOG_INT("user_id", login->user.user.id),
                 LOG_TEXT("cause", login->refused ? "stored_hash_refused" : "password"),
                 LOG_TEXT("identifier_sha256", identifier));
    }
    return USERS_E_CREDENTIALS;
}

/* The password may have changed, or the user gone, since it was read: then nobody is logged in. */
static int mark_login(struct store_tx *tx, const struct login *login) {
    struct store_stmt *stmt;
    int64_t changes = 0;
    int status = store_prepare(tx,
                               "UPDATE users_user SET last_login_at = $2,"
                               " password = COALESCE($3, password) WHERE id = $1 AND password = $4",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, login->user.user.id);
    store_bind_int(stmt, 2, login->event.now_ms);
    store_bind_text(stmt, 3, login->rehash ? span_text(login->new_phc) : SPAN_NULL);
    store_bind_text(stmt, 4, span_of(login->stored_phc, login->stored_phc_size));
    status = store_run(stmt, &changes);
    return status ? err_trace(status) : changes ? 0 : USERS_E_CREDENTIALS;
}

/* A session that came along ends here, so that nobody can be logged in to a token known before. */
static int end_presented(struct store_tx *tx, const struct caller *caller) {
    struct store_stmt *stmt;
    int status = store_prepare(tx, "DELETE FROM users_session WHERE token_sha256 = $1", &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_blob(stmt, 1, span_of(caller->digest, SHA256_BYTES));
    return err_trace(store_run(stmt, NULL));
}

static int session_body(struct store_tx *tx, struct op *op) {
    struct login *login = container_of(users_op_of(op), struct login, base);
    struct caller *caller = &login->base.caller;
    int status = mark_login(tx, login);
    if (!status && caller->has_token) {
        status = end_presented(tx, caller);
    }
    if (!status) {
        status = session_insert(tx, &login->session);
    }
    if (!status) {
        status =
            event_add(tx, &login->event, caller, &login->user.user, login->session.sid, SPAN_NULL);
    }
    return err_trace(status);
}

static void make_session(struct login *login) {
    struct users *users = login->base.users;
    struct http_request *request = login->base.service.http.request;
    const struct user *user = &login->user.user;
    bool admin = user->role == USER_ROLE_ADMIN;
    struct session_new *session = &login->session;
    uint8_t secret[SESSION_TOKEN_RANDOM_BYTES];
    struct uuid sid;

    random_fill(users->context.random, secret, sizeof secret);
    session_token_format(secret, login->token);
    crypto_wipe(secret, sizeof secret);
    uuid_v7(users->context.random, users->context.clock, &sid);
    uuid_format(&sid, session->sid);
    session_token_digest(span_text(login->token), session->digest);
    session->user_id = user->id;
    session->now_ms = login->event.now_ms;
    session->idle_ms = admin ? users->admin_session_idle_ms : users->session_idle_ms;
    session->absolute_expires_ms =
        session->now_ms + (admin ? users->admin_session_absolute_ms : users->session_absolute_ms);
    session->idle_expires_ms =
        MIN(session->now_ms + session->idle_ms, session->absolute_expires_ms);
    session->peer = login->base.caller.peer;
    session->user_agent = http_request_header(request, "user-agent");
    session->user_agent.size = MIN(session->user_agent.size, (size_t)255);
    /* The event's actor is whoever logged in. */
    login->base.caller.known = true;
    login->base.caller.user_id = user->id;
    login->base.caller.role = user->role;
}

static int step_session(struct op *op) {
    struct users_op *base = users_op_of(op);
    struct login *login = container_of(base, struct login, base);
    if (!login->match) {
        return refuse(login);
    }
    make_session(login);
    return op_wait_store_write(op, base->users->context.store, &base->service.job, session_body);
}

static int step_respond(struct op *op) {
    struct users_op *base = users_op_of(op);
    struct login *login = container_of(base, struct login, base);
    const struct session_new *session = &login->session;
    struct text *json = &base->service.json;
    metric_inc(&base->users->context.metrics[USERS_M_LOGINS]);
    log_emit(base->users->context.log, LOG_USERS_LOGGED_IN,
             http_request_trace(base->service.http.request), LOG_INT("user_id", session->user_id),
             LOG_TEXT("session_id", session->sid), LOG_BOOL("rehashed", login->rehash));
    json_write_object(json, NULL);
    json_write_string(json, "token", span_text(login->token));
    json_write_string(json, "access_token", span_text(login->token));
    json_write_string(json, "token_type", SPAN_LITERAL("bearer"));
    json_write_int(json, "expires_in", (session->idle_expires_ms - session->now_ms) / 1000);
    json_write_string(json, "session_id", span_text(session->sid));
    user_write_json(json, "user", &login->user.user);
    json_write_string(json, "message", SPAN_LITERAL("Login successful"));
    json_write_object_end(json);
    crypto_wipe(login->token, sizeof login->token);
    http_respond_json(base->service.http.request, 200, json);
    return OP_NEXT;
}

const struct op_step users_login_steps[] = {
    {"validate", step_validate}, {"find", step_find}, /* waits: store reader */
    {"verify", step_verify},                          /* waits: hash threads */
    {"session", step_session},                        /* waits: store writer */
    {"respond", step_respond},   {0},
};
