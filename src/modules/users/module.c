/* The user service: what it is, in tables, and how it begins and ends. Read README.md first. */
#include "users.h"

#include <unistd.h>

static const char *const requires[] = {"store", "topics", NULL};

static const char *const notification_kinds[] = {"created", "all", NULL};

static const struct conf_row conf[] = {
    {.name = "host",
     .type = CONF_STRING,
     .offset = offsetof(struct users, host),
     .default_text = "127.0.0.1",
     .env_alias = "HOST",
     .doc = "Address to listen on. Any but loopback needs insecure = yes until TLS is there."},
    {.name = "port",
     .type = CONF_INT,
     .offset = offsetof(struct users, port),
     .default_text = "8000",
     .max = 65535,
     .env_alias = "PORT",
     .doc = "TCP port of the user service; 0 takes a free one."},
    {.name = "notification_kinds",
     .type = CONF_ENUM,
     .offset = offsetof(struct users, notification_kinds),
     .default_text = "created",
     .choices = notification_kinds,
     .doc = "What goes to the topic notification: registrations only, as in the original, or "
            "updates and deletions too."},
    {.name = "hash_threads",
     .type = CONF_INT,
     .offset = offsetof(struct users, hash_threads),
     .default_text = "0",
     .max = 64,
     .unit = "threads",
     .doc = "Threads that hash passwords; 0: one for each core."},
    {.name = "hash_queue_max",
     .type = CONF_INT,
     .offset = offsetof(struct users, hash_queue_max),
     .default_text = "128",
     .min = 1,
     .max = 65536,
     .unit = "passwords",
     .doc = "Passwords that may wait to be hashed; beyond it the answer is 503 with Retry-After."},
    {.name = "argon2_memory_kib",
     .type = CONF_INT,
     .offset = offsetof(struct users, argon2_memory_kib),
     .default_text = "19456",
     .min = 8,
     .max = PASSWORD_MEMORY_KIB_MAX,
     .unit = "KiB",
     .doc = "Memory of one argon2id hash (m). Stored hashes are renewed at the next login."},
    {.name = "argon2_passes",
     .type = CONF_INT,
     .offset = offsetof(struct users, argon2_passes),
     .default_text = "2",
     .min = 1,
     .max = PASSWORD_PASSES_MAX,
     .unit = "passes",
     .doc = "Passes of one argon2id hash (t)."},
    {.name = "session_idle",
     .type = CONF_DURATION,
     .offset = offsetof(struct users, session_idle_ms),
     .flags = CONF_RELOADABLE,
     .default_text = "12h",
     .min = 1000,
     .max = INT64_C(366) * 86400000,
     .unit = "ms",
     .doc = "A session that is not used for so long ends."},
    {.name = "session_absolute",
     .type = CONF_DURATION,
     .offset = offsetof(struct users, session_absolute_ms),
     .flags = CONF_RELOADABLE,
     .default_text = "7d",
     .min = 1000,
     .max = INT64_C(366) * 86400000,
     .unit = "ms",
     .doc = "A session ends after so long in any case."},
    {.name = "admin_session_idle",
     .type = CONF_DURATION,
     .offset = offsetof(struct users, admin_session_idle_ms),
     .flags = CONF_RELOADABLE,
     .default_text = "30m",
     .min = 1000,
     .max = INT64_C(366) * 86400000,
     .unit = "ms",
     .doc = "The same for admins."},
    {.name = "admin_session_absolute",
     .type = CONF_DURATION,
     .offset = offsetof(struct users, admin_session_absolute_ms),
     .flags = CONF_RELOADABLE,
     .default_text = "12h",
     .min = 1000,
     .max = INT64_C(366) * 86400000,
     .unit = "ms",
     .doc = "The same for admins."},
    {0},
};

static const struct metric_row metrics[] = {
    [USERS_M_CREATED] = {"eventbox_users_created_total", METRIC_COUNTER, NULL, "Users registered."},
    [USERS_M_UPDATED] = {"eventbox_users_updated_total", METRIC_COUNTER, NULL, "Updates answered."},
    [USERS_M_DELETED] = {"eventbox_users_deleted_total", METRIC_COUNTER, NULL, "Users deleted."},
    [USERS_M_LOGINS] = {"eventbox_users_logins_total", METRIC_COUNTER, "result=\"ok\"",
                        "Logins by result."},
    [USERS_M_LOGINS_FAILED] = {"eventbox_users_logins_total", METRIC_COUNTER, "result=\"refused\"",
                               "Logins by result."},
    [USERS_M_HASHES] = {"eventbox_users_hashes_total", METRIC_COUNTER, "result=\"taken\"",
                        "Passwords given to the hash threads."},
    [USERS_M_HASHES_REFUSED] = {"eventbox_users_hashes_total", METRIC_COUNTER, "result=\"full\"",
                                "Passwords given to the hash threads."},
    [USERS_M_HASH_QUEUE] = {"eventbox_users_hash_queue", METRIC_GAUGE, NULL,
                            "Passwords waiting for a hash thread."},
    [USERS_M_COUNT] = {0},
};

/* AUTOINCREMENT: the number of a deleted user is never given out again. */
static const struct store_migration migrations[] = {
    {1, "CREATE TABLE users_user (\n"
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
        "  username TEXT NOT NULL,\n"
        "  username_key TEXT NOT NULL UNIQUE,\n"
        "  email TEXT NOT NULL,\n"
        "  email_key TEXT NOT NULL UNIQUE,\n"
        "  password TEXT NOT NULL,\n"
        "  role TEXT NOT NULL,\n"
        "  age INTEGER,\n"
        "  full_name TEXT,\n"
        "  version INTEGER NOT NULL,\n"
        "  created_at INTEGER NOT NULL,\n"
        "  updated_at INTEGER NOT NULL,\n"
        "  last_login_at INTEGER\n"
        ");\n"
        "CREATE INDEX users_user_admin ON users_user (id) WHERE role = 'admin';\n"
        "CREATE TABLE users_session (\n"
        "  sid TEXT PRIMARY KEY,\n"
        "  token_sha256 BLOB NOT NULL UNIQUE,\n"
        "  user_id INTEGER NOT NULL,\n"
        "  created_at INTEGER NOT NULL,\n"
        "  last_seen_at INTEGER NOT NULL,\n"
        "  idle_ms INTEGER NOT NULL,\n"
        "  idle_expires_at INTEGER NOT NULL,\n"
        "  absolute_expires_at INTEGER NOT NULL,\n"
        "  peer TEXT NOT NULL,\n"
        "  user_agent TEXT\n"
        ");\n"
        "CREATE INDEX users_session_user ON users_session (user_id, created_at);\n"},
    {0},
};

static const struct http_schema schemas[] = {
    {"User", user_schema_rows},
    {"Login", login_schema_rows},
    {0},
};

static const struct http_response_doc create_responses[] = {
    {201, "The user, registered", "User"},
    {403, "The role cannot be given here", NULL},
    {409, "Username or address is taken", NULL},
    {422, "Not valid", NULL},
    {503, "Too much waits", NULL},
    {0},
};
static const struct http_response_doc list_responses[] = {
    {200, "Users in the order of registration", "[]User"},
    {422, "Not valid", NULL},
    {0},
};
static const struct http_response_doc get_responses[] = {
    {200, "The user", "User"},
    {404, "No such user", NULL},
    {0},
};
static const struct http_response_doc update_responses[] = {
    {200, "The user, changed", "User"}, {403, "The role cannot be given here", NULL},
    {404, "No such user", NULL},        {409, "Username or address is taken", NULL},
    {422, "Not valid", NULL},           {0},
};
static const struct http_response_doc delete_responses[] = {
    {204, "Deleted", NULL},
    {404, "No such user", NULL},
    {0},
};
static const struct http_response_doc login_responses[] = {
    {200, "A session", "Login"},
    {401, "Refused; the reason is not told", NULL},
    {422, "Not valid", NULL},
    {503, "Too much waits", NULL},
    {0},
};

static const struct http_route routes[] = {
    {.method = HTTP_GET,
     .path = "/users/",
     .auth = HTTP_AUTH_ADMIN,
     .params = list_query_rows,
     .params_size = sizeof(struct list_query),
     .steps = users_list_steps,
     .op_size = sizeof(struct list_op),
     .op_name = "users.list",
     .responses = list_responses,
     .summary = "List users",
     .tag = "users"},
    {.method = HTTP_POST,
     .path = "/users/",
     .auth = HTTP_AUTH_NONE,
     .body = user_create_rows,
     .body_size = sizeof(struct user_fields),
     .steps = users_create_steps,
     .op_size = sizeof(struct create),
     .op_name = "users.create",
     .responses = create_responses,
     .summary = "Register a user",
     .tag = "users"},
    {.method = HTTP_POST,
     .path = "/users/login",
     .auth = HTTP_AUTH_NONE,
     .body = login_rows,
     .body_size = sizeof(struct login_fields),
     .steps = users_login_steps,
     .op_size = sizeof(struct login),
     .op_name = "users.login",
     .responses = login_responses,
     .summary = "Log in",
     .tag = "users"},
    {.method = HTTP_GET,
     .path = "/users/{user_id}",
     .auth = HTTP_AUTH_OWNER,
     .params = user_path_rows,
     .params_size = sizeof(struct user_path),
     .steps = users_get_steps,
     .op_size = sizeof(struct get),
     .op_name = "users.get",
     .responses = get_responses,
     .summary = "Get a user",
     .tag = "users"},
    {.method = HTTP_PUT,
     .path = "/users/{user_id}",
     .auth = HTTP_AUTH_OWNER,
     .params = user_path_rows,
     .params_size = sizeof(struct user_path),
     .body = user_update_rows,
     .body_size = sizeof(struct user_fields),
     .steps = users_update_steps,
     .op_size = sizeof(struct update),
     .op_name = "users.update",
     .responses = update_responses,
     .summary = "Change a user",
     .tag = "users"},
    {.method = HTTP_DELETE,
     .path = "/users/{user_id}",
     .auth = HTTP_AUTH_OWNER,
     .params = user_path_rows,
     .params_size = sizeof(struct user_path),
     .steps = users_delete_steps,
     .op_size = sizeof(struct delete),
     .op_name = "users.delete",
     .responses = delete_responses,
     .summary = "Delete a user",
     .tag = "users"},
    {0},
};

enum { HASH_NICE = 5 }; /* below the loop: a flood of logins must not delay anything else */

static int users_check(const void *settings, const char **ret_message) {
    const struct users *users = settings;
    if (users->session_idle_ms > users->session_absolute_ms ||
        users->admin_session_idle_ms > users->admin_session_absolute_ms) {
        *ret_message = "users.session_idle is longer than users.session_absolute (or the same of "
                       "admin_session): make the idle time the shorter one";
        return CONF_E_VALUE;
    }
    return 0;
}

static int users_init(void *state, const struct module_context *context, const char **ret_message) {
    struct users *users = state;
    users->context = *context;
    users->password_params = (struct password_params){
        .memory_kib = (uint32_t)users->argon2_memory_kib,
        .passes = (uint32_t)users->argon2_passes,
        .lanes = 1,
    };
    return 0;
}

static void users_start(void *state, module_done_fn done, void *userdata) {
    struct users *users = state;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const struct worker_config config = {
        .name = "argon2",
        .threads = users->hash_threads ? (unsigned)users->hash_threads : (unsigned)MAX(cores, 1),
        .queue_max = (unsigned)users->hash_queue_max,
        .nice = HASH_NICE,
    };
    int status = worker_new(users->context.work, users->context.loop, &config, &users->hasher);
    users->running = status == 0;
    done(userdata, err_trace(status));
}

static void on_hasher_stopped(void *userdata) {
    struct users *users = userdata;
    users->stopped(users->stopped_userdata, 0);
}

static void users_stop(void *state, module_done_fn done, void *userdata) {
    struct users *users = state;
    struct worker *hasher = users->hasher;
    users->running = false;
    users->hasher = NULL;
    if (!hasher) {
        done(userdata, 0);
        return;
    }
    users->stopped = done;
    users->stopped_userdata = userdata;
    worker_stop(hasher, on_hasher_stopped, users);
}

static void users_health(void *state, struct module_health *ret_health) {
    const struct users *users = state;
    ret_health->state = users->running ? MODULE_OK : MODULE_STARTING;
}

static void users_collect(void *state) {
    struct users *users = state;
    struct worker_stats stats;
    if (users->hasher) {
        worker_stats(users->hasher, &stats);
        metric_set(&users->context.metrics[USERS_M_HASH_QUEUE], stats.queued);
    }
}

static void users_describe(void *state, struct text *out) {
    const struct users *users = state;
    text_printf(out,
                "try\tcurl localhost:%lld/users/ -H 'content-type: application/json' -d "
                "'{\"username\":\"john_doe\",\"email\":\"john@example.com\","
                "\"password\":\"SecurePass123\"}'\n",
                (long long)users->port);
}

const struct module users_module = {
    .abi = MODULE_ABI,
    .name = "users",
    .service = "user-service",
    .summary = "REST service for users: register, read, update, delete, log in.",
    .requires = requires,
    .conf = conf,
    .metrics = metrics,
    .topics = users_topics,
    .migrations = migrations,
    .http = {.service = "user-service",
             .title = "User Service",
             .routes = routes,
             .schemas = schemas,
             .host_offset = offsetof(struct users, host),
             .port_offset = offsetof(struct users, port)},
    .state_size = sizeof(struct users),
    .check = users_check,
    .init = users_init,
    .start = users_start,
    .stop = users_stop,
    .health = users_health,
    .collect = users_collect,
    .describe = users_describe,
};
