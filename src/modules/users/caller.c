/*
 * Who asks, and what they may do. Rights are read from the user's row at each request, so a change
 * of role or the end of a session counts at once.
 */
#include "users.h"

#include <stdio.h>

enum { TOUCH_MS = 60 * 1000 };

/* The address without its port: "127.0.0.1:4711", "[::1]:4711". */
static void put_address(const char *peer, char *out, size_t capacity) {
    const char *port = strrchr(peer, ':'), *end = port ? port : peer + strlen(peer);
    if (peer[0] == '[' && end > peer + 1 && end[-1] == ']') {
        peer++;
        end--;
    }
    snprintf(out, capacity, "%.*s", (int)(end - peer), peer);
}

void caller_init(struct caller *caller, const struct users *users, struct http_request *request) {
    static const char scheme[] = "bearer ";
    struct span value = http_request_header(request, "authorization");
    *caller = (struct caller){
        .open = http_request_peer_is_loopback(request) || users->context.insecure,
        .changes = http_request_route(request)->method != HTTP_GET,
        .now_ms = clock_wall_ms(users->context.clock),
    };
    put_address(http_request_peer(request), caller->peer, sizeof caller->peer);
    if (value.size > sizeof scheme - 1 && strncasecmp(value.data, scheme, sizeof scheme - 1) == 0) {
        struct span token =
            span_of((const char *)value.data + sizeof scheme - 1, value.size - (sizeof scheme - 1));
        caller->has_token = session_token_digest(token, caller->digest);
    }
}

static int find_session(struct caller *caller, struct store_tx *tx) {
    struct store_stmt *stmt;
    struct user user;
    int status = store_prepare(
        tx,
        "SELECT " USER_COLUMNS " FROM users_user WHERE id = (SELECT user_id FROM users_session"
        " WHERE token_sha256 = $1 AND idle_expires_at > $2 AND absolute_expires_at > $2)",
        &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_blob(stmt, 1, span_of(caller->digest, SHA256_BYTES));
    store_bind_int(stmt, 2, caller->now_ms);
    status = store_step(stmt);
    caller->known = status == STORE_ROW;
    if (!caller->known) {
        return err_trace(status);
    }
    user_from_row(stmt, &user);
    caller->user_id = user.id;
    caller->role = user.role;
    return 0;
}

int caller_check(struct caller *caller, struct store_tx *tx, enum http_auth auth,
                 int64_t target_id) {
    caller->known = false;
    if (caller->has_token) {
        int status = find_session(caller, tx);
        if (status) {
            return err_trace(status);
        }
    }
    if (caller->open || auth == HTTP_AUTH_NONE) {
        return 0;
    }
    if (!caller->known) {
        return HTTP_E_UNAUTHORIZED;
    }
    if (caller->role == USER_ROLE_ADMIN) {
        return 0;
    }
    bool own = auth == HTTP_AUTH_OWNER && target_id == caller->user_id;
    return own && !(caller->changes && caller->role == USER_ROLE_GUEST) ? 0 : HTTP_E_FORBIDDEN;
}

static int find_admin(struct store_tx *tx, bool *ret_exists) {
    struct store_stmt *stmt;
    int status = store_prepare(tx, "SELECT 1 FROM users_user WHERE role = 'admin' LIMIT 1", &stmt);
    if (status) {
        return err_trace(status);
    }
    status = store_step(stmt);
    *ret_exists = status == STORE_ROW;
    return status == STORE_ROW ? 0 : err_trace(status);
}

int caller_may_grant(const struct caller *caller, struct store_tx *tx, enum user_role had,
                     enum user_role role) {
    bool admin_exists = false;
    if (caller->known && caller->role == USER_ROLE_ADMIN) {
        return 0;
    }
    if (!caller->open) {
        return had == role && role != USER_ROLE_ADMIN ? 0 : USERS_E_ROLE;
    }
    if (role != USER_ROLE_ADMIN) {
        return 0;
    }
    int status = find_admin(tx, &admin_exists);
    return status ? err_trace(status) : admin_exists ? USERS_E_ROLE : 0;
}

int caller_touch(const struct caller *caller, struct store_tx *tx) {
    struct store_stmt *stmt;
    if (!caller->known) {
        return 0;
    }
    int status = store_prepare(tx,
                               "UPDATE users_session SET last_seen_at = $2, idle_expires_at = $2 +"
                               " idle_ms WHERE token_sha256 = $1 AND last_seen_at <= $3",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_blob(stmt, 1, span_of(caller->digest, SHA256_BYTES));
    store_bind_int(stmt, 2, caller->now_ms);
    store_bind_int(stmt, 3, caller->now_ms - TOUCH_MS);
    return err_trace(store_run(stmt, NULL));
}
