/* What the files of the user service share. The reading order is that of README.md. */
#pragma once

#include "password.h"

#include <eventbox/base/crypto.h>
#include <eventbox/host/module.h>
#include <eventbox/host/service_op.h>

/* ---- module state ---- */

enum users_notification_kinds { USERS_KINDS_CREATED, USERS_KINDS_ALL };

enum users_metric {
    USERS_M_CREATED,
    USERS_M_UPDATED,
    USERS_M_DELETED,
    USERS_M_LOGINS,
    USERS_M_LOGINS_FAILED,
    USERS_M_HASHES,
    USERS_M_HASHES_REFUSED,
    USERS_M_HASH_QUEUE,
    USERS_M_COUNT,
};

struct users {
    struct module_context context;

    /* settings */
    char *host;
    int64_t port;
    int notification_kinds;
    int64_t hash_threads; /* 0: one for each core */
    int64_t hash_queue_max;
    int64_t argon2_memory_kib, argon2_passes;
    int64_t session_idle_ms, session_absolute_ms;
    int64_t admin_session_idle_ms, admin_session_absolute_ms;

    struct password_params password_params;
    struct worker *hasher;
    bool running;
    module_done_fn stopped;
    void *stopped_userdata;
};

/* ---- user.c: a row, and how the world sees it ---- */

enum user_role { USER_ROLE_ADMIN, USER_ROLE_USER, USER_ROLE_GUEST };
extern const char *const user_role_names[]; /* by enum user_role; ends with NULL */

enum {
    USER_NAME_BYTES = 50,
    USER_EMAIL_BYTES = 254,
    USER_FULL_NAME_CHARS = 100,
    USER_FULL_NAME_BYTES = 4 * USER_FULL_NAME_CHARS,
};

/* One user; the spans are borrowed from a row, a request or a struct user_copy. */
struct user {
    int64_t id;
    struct span username, email;
    struct span full_name; /* data NULL: null */
    enum user_role role;
    bool has_age;
    int64_t age;
    int64_t version;
    int64_t created_ms, updated_ms;
};

/* A user that owns its bytes: a row is gone with the next step of its statement. */
struct user_copy {
    struct user user;
    char bytes[USER_NAME_BYTES + USER_EMAIL_BYTES + USER_FULL_NAME_BYTES];
};

/* Columns in the order that user_from_row() expects, beginning with column 0. */
#define USER_COLUMNS "id, username, email, full_name, role, age, version, created_at, updated_at"
enum { USER_COLUMN_COUNT = 9 };

void user_from_row(struct store_stmt *stmt, struct user *ret_user);
/** user_keep() - copy @user with its bytes; longer ones (a row that was tampered with) are cut */
void user_keep(const struct user *user, struct user_copy *ret_copy);
/** user_write_json() - the public user as an object; @name NULL in arrays and at the top */
void user_write_json(struct text *out, const char *name, const struct user *user);
/** user_key() - ASCII lower case of @text, by which names and addresses are unique; @out needs
 * text.size bytes */
struct span user_key(struct span text, char *out);
/* Both keys of a user; alive until the statement that they are bound to is done. */
struct user_keys {
    char username[USER_NAME_BYTES], email[USER_EMAIL_BYTES];
};
/** user_bind() - seven parameters from @first on: username, its key, email, its key, role, age,
 * full_name */
void user_bind(struct store_stmt *stmt, int first, const struct user *user, struct user_keys *keys);
/** user_find() - row @id. Return: 0 and *ret_user borrowed until the next statement;
 * USERS_E_NOT_FOUND; negative */
int user_find(struct store_tx *tx, int64_t id, struct user *ret_user);

/* ---- fields.c: body rows and what they cannot say ---- */

struct user_fields {
    struct body_string username, email, password, full_name;
    struct body_int role, age;
};
struct login_fields {
    struct body_string username, email, password;
};
struct user_path {
    struct body_int user_id;
};
struct list_query {
    struct body_int skip, limit;
};
extern const struct body_row user_create_rows[], user_update_rows[], login_rows[], user_path_rows[],
    list_query_rows[], user_schema_rows[], login_schema_rows[];

/** fields_respond_invalid() - a 422 answer with one item of FastAPI's shape */
void fields_respond_invalid(struct http_request *request, const char *field, const char *type,
                            const char *message);
/** fields_trim() - without spaces at both ends */
struct span fields_trim(struct span text);
/** fields_password_problem() - message when the password is too similar to a name; NULL: good */
const char *fields_password_problem(struct span password, struct span username, struct span email);

/* ---- session.c: opaque tokens ---- */

enum {
    SESSION_TOKEN_RANDOM_BYTES = 32,
    SESSION_TOKEN_SIZE = 4 + 43 + 6 + 1, /* "tts_", base64url, check characters, zero byte */
    SESSIONS_PER_USER = 50,
};

/** session_token_format() - the token of 32 random bytes */
void session_token_format(const uint8_t secret[SESSION_TOKEN_RANDOM_BYTES],
                          char out[SESSION_TOKEN_SIZE]);
/** session_token_digest() - SHA-256 of a well-formed token; false (no look-up needed) when it is
 * not one */
bool session_token_digest(struct span token, uint8_t ret_digest[SHA256_BYTES]);

struct session_new {
    char sid[UUID_TEXT_SIZE];
    uint8_t digest[SHA256_BYTES];
    int64_t user_id;
    int64_t now_ms, idle_expires_ms, absolute_expires_ms;
    int64_t idle_ms;
    const char *peer;
    struct span user_agent;
};
/** session_insert() - store one, drop the user's expired ones and the oldest beyond
 * SESSIONS_PER_USER */
int session_insert(struct store_tx *tx, const struct session_new *session);
/** session_delete_all() - of @user_id, except the one with @keep_digest (NULL: all) */
int session_delete_all(struct store_tx *tx, int64_t user_id, const uint8_t *keep_digest);

/*
 * Who asks. On loopback, and everywhere with insecure = yes, anonymous callers may use all routes
 * as in the original; anyone else needs a session. A token that comes along with an open request
 * tells who acts, and one that is not valid leaves the caller anonymous.
 */
struct caller {
    bool open;
    bool has_token;
    bool changes; /* the method is not GET */
    bool known;   /* session found: the two below are set */
    int64_t user_id;
    enum user_role role;
    uint8_t digest[SHA256_BYTES];
    char peer[64];
    int64_t now_ms;
};

/** caller_init() - from the request. Thread: loop */
void caller_init(struct caller *caller, const struct users *users, struct http_request *request);
/**
 * caller_check() - may the caller do what a route with @auth asks, to the user @target_id?
 * Return: 0; HTTP_E_UNAUTHORIZED, HTTP_E_FORBIDDEN; negative. Thread: body of a read or a write.
 */
int caller_check(struct caller *caller, struct store_tx *tx, enum http_auth auth,
                 int64_t target_id);
/**
 * caller_may_grant() - may the caller give a user the role @role?
 * @had: the role that the user has now; the same as @role for one that is being made
 *
 * Only an admin makes admins, once there is one; off loopback only an admin changes roles at all.
 * Return: 0; USERS_E_ROLE; negative.
 */
int caller_may_grant(const struct caller *caller, struct store_tx *tx, enum user_role had,
                     enum user_role role);
/** caller_touch() - move the idle end of the session that was used; at most once a minute. Write
 * bodies only */
int caller_touch(const struct caller *caller, struct store_tx *tx);

/* ---- events.c: what other programs learn ---- */

enum users_event {
    USERS_EVENT_CREATED,
    USERS_EVENT_UPDATED,
    USERS_EVENT_DELETED,
    USERS_EVENT_LOGGED_IN
};

/* Everything of an event that is not in the transaction; filled on the loop. */
struct event {
    enum users_event kind;
    struct uuid id;
    struct trace trace;
    int64_t now_ms;
    const char *cluster_id;
    bool all_kinds; /* updates and deletions go to `notification`, too */
};

void event_init(struct event *event, const struct users *users, enum users_event kind,
                const struct trace *trace);
/** event_add() - the records of one change as one outbox row; @session_id and @changed_json may be
 * NULL */
int event_add(struct store_tx *tx, const struct event *event, const struct caller *caller,
              const struct user *user, const char *session_id, struct span changed_json);
extern const struct topic_declaration users_topics[];

/* ---- operation.c: what the operations of this service share ---- */

struct users_op {
    struct service_op service;
    struct users *users;
    struct caller caller;
};

/** users_op_begin() - the first call of the first step */
struct users_op *users_op_begin(struct op *op);
static inline struct users_op *users_op_of(struct op *op) {
    return container_of(op, struct users_op, service.http.op);
}
/** users_op_hash() - run @run(op) on the hash threads; as op_wait_work(), with USERS_E_BUSY when
 * they are full */
int users_op_hash(struct op *op, int (*run)(struct op *op));
/** users_op_secret() - the bytes of a body's password; users_op_wipe() zeroes them where they lie
 */
static inline struct span users_op_secret(const struct body_string *password) {
    return span_of(password->data, password->size);
}
void users_op_wipe(const struct body_string *password);
/** users_op_respond_user() - answer with the public user */
void users_op_respond_user(struct users_op *base, int status, const struct user *user);

/* ---- one file a verb: its operation and its steps ---- */

struct create {
    struct users_op base;
    struct event event;
    uint8_t salt[PASSWORD_SALT_BYTES];
    char phc[PASSWORD_PHC_SIZE];
    struct user wanted; /* borrows from the request */
    struct user_copy saved;
};
struct get {
    struct users_op base;
    struct user_copy found;
};
struct list_op {
    struct users_op base;
};
struct update {
    struct users_op base;
    struct event event;
    uint8_t salt[PASSWORD_SALT_BYTES];
    char phc[PASSWORD_PHC_SIZE];
    bool similar; /* the new password resembles a name */
    bool changed;
    struct user_copy before, saved;
};
struct delete {
    struct users_op base;
    struct event event;
};
struct login {
    struct users_op base;
    struct event event;
    uint8_t salt[PASSWORD_SALT_BYTES];
    bool found, match, refused, rehash;
    struct user_copy user;
    char stored_phc[PASSWORD_PHC_SIZE], new_phc[PASSWORD_PHC_SIZE];
    size_t stored_phc_size;
    struct session_new session;
    char token[SESSION_TOKEN_SIZE];
};

/** users_create_insert() - the transaction of a registration: user and outbox row, or neither */
int users_create_insert(struct store_tx *tx, struct op *op);

extern const struct op_step users_create_steps[], users_get_steps[], users_list_steps[],
    users_update_steps[], users_delete_steps[], users_login_steps[];
