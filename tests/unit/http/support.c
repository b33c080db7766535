#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct user_params {
    struct body_int user_id;
};
struct list_params {
    struct body_int skip, limit;
    struct body_string q;
};
struct user_body {
    struct body_string username, email, password;
    struct body_int role, age;
};

static const struct body_row user_params_rows[] = {
    {.name = "user_id",
     .type = BODY_INT,
     .offset = offsetof(struct user_params, user_id),
     .flags = BODY_REQUIRED,
     .min = 1,
     .max = INT64_MAX},
    {0},
};
static const struct body_row list_params_rows[] = {
    {.name = "skip",
     .type = BODY_INT,
     .offset = offsetof(struct list_params, skip),
     .max = INT64_MAX,
     .default_json = "0"},
    {.name = "limit",
     .type = BODY_INT,
     .offset = offsetof(struct list_params, limit),
     .min = 1,
     .max = 1000,
     .default_json = "100"},
    {.name = "q", .type = BODY_STRING, .offset = offsetof(struct list_params, q)},
    {0},
};
static const char *const roles[] = {"admin", "user", "guest", NULL};
static const struct body_row user_rows[] = {
    {.name = "username",
     .type = BODY_STRING,
     .offset = offsetof(struct user_body, username),
     .flags = BODY_REQUIRED,
     .min = 3,
     .max = 50,
     .example_json = "\"john_doe\""},
    {.name = "email",
     .type = BODY_EMAIL,
     .offset = offsetof(struct user_body, email),
     .flags = BODY_REQUIRED},
    {.name = "password",
     .type = BODY_STRING,
     .offset = offsetof(struct user_body, password),
     .flags = BODY_REQUIRED | BODY_SECRET | BODY_BYTES,
     .min = 8,
     .max = 256},
    {.name = "role",
     .type = BODY_ENUM,
     .offset = offsetof(struct user_body, role),
     .choices = roles,
     .default_json = "\"user\""},
    {.name = "age",
     .type = BODY_INT,
     .offset = offsetof(struct user_body, age),
     .flags = BODY_NULLABLE,
     .max = 150},
    {0},
};

static void handle_root(struct http_request *request) {
    http_respond_static(request, 200, "application/json", SPAN_LITERAL("{\"status\":\"ok\"}"));
}

static void handle_list(struct http_request *request) {
    const struct list_params *params = http_request_params(request);
    struct text text;
    text_init(&text);
    json_write_object(&text, NULL);
    json_write_int(&text, "skip", params->skip.value);
    json_write_int(&text, "limit", params->limit.value);
    json_write_string(&text, "q", span_of(params->q.data, params->q.size));
    json_write_object_end(&text);
    http_respond_json(request, 200, &text);
}

static void handle_user(struct http_request *request) {
    const struct user_params *params = http_request_params(request);
    struct text text;
    text_init(&text);
    json_write_object(&text, NULL);
    json_write_int(&text, "id", params->user_id.value);
    json_write_object_end(&text);
    http_respond_json(request, 200, &text);
}

static void handle_create(struct http_request *request) {
    const struct user_body *body = http_request_body(request);
    struct text text;
    text_init(&text);
    json_write_object(&text, NULL);
    json_write_string(&text, "username", span_of(body->username.data, body->username.size));
    json_write_string(&text, "email", span_of(body->email.data, body->email.size));
    json_write_int(&text, "role", body->role.value);
    if (body->age.null) {
        json_write_null(&text, "age");
    } else if (body->age.present) {
        json_write_int(&text, "age", body->age.value);
    }
    json_write_object_end(&text);
    http_respond_json(request, 201, &text);
}

static void handle_drain(struct http_request *request) {
    http_respond_text(request, 200, "text/plain", SPAN_LITERAL("drained"));
}

static void handle_parked(struct http_request *request) {
    struct rig *rig = http_request_userdata(request);
    assert_true(rig->parked_count < ARRAY_SIZE(rig->parked));
    rig->parked[rig->parked_count++] = request;
}

static void handle_large(struct http_request *request) {
    static char large[300 * 1024];
    memset(large, 'x', sizeof large);
    http_respond_static(request, 200, "text/plain", span_of(large, sizeof large));
}

static void handle_missing(struct http_request *request) {
    http_respond_error(request, USERS_E_NOT_FOUND);
}

static void handle_login(struct http_request *request) {
    http_respond_error(request, USERS_E_CREDENTIALS);
}

static void handle_busy(struct http_request *request) {
    http_respond_error(request, USERS_E_BUSY);
}

static void cancel_wait(struct op *op) {
    struct http_op *http_op = container_of(op, struct http_op, op);
    ((struct rig *)http_request_userdata(http_op->request))->cancels++;
    op_resume(op, 0);
}

static int step_wait(struct op *op) {
    struct http_op *http_op = container_of(op, struct http_op, op);
    struct rig *rig = http_request_userdata(http_op->request);
    rig->operation = http_op;
    return op_wait(op, cancel_wait);
}

static int step_respond(struct op *op) {
    struct http_op *http_op = container_of(op, struct http_op, op);
    http_respond_text(http_op->request, 200, "text/plain", SPAN_LITERAL("operated"));
    return OP_NEXT;
}

static const struct op_step operation_steps[] = {
    {"wait", step_wait},
    {"respond", step_respond},
    {0},
};

static const struct http_route routes[] = {
    {.method = HTTP_GET, .path = "/", .handle = handle_root, .op_name = "root"},
    {.method = HTTP_POST, .path = "/", .handle = handle_drain, .op_name = "drain"},
    {.method = HTTP_GET,
     .path = "/users/",
     .handle = handle_list,
     .params = list_params_rows,
     .params_size = sizeof(struct list_params),
     .op_name = "users.list"},
    {.method = HTTP_POST,
     .path = "/users/",
     .handle = handle_create,
     .body = user_rows,
     .body_size = sizeof(struct user_body),
     .op_name = "users.create",
     .summary = "Register"},
    {.method = HTTP_POST, .path = "/users/login", .handle = handle_login, .op_name = "users.login"},
    {.method = HTTP_GET,
     .path = "/users/{user_id}",
     .handle = handle_user,
     .params = user_params_rows,
     .params_size = sizeof(struct user_params),
     .op_name = "users.get"},
    {.method = HTTP_DELETE,
     .path = "/users/{user_id}",
     .handle = handle_missing,
     .params = user_params_rows,
     .params_size = sizeof(struct user_params),
     .op_name = "users.delete"},
    {.method = HTTP_GET, .path = "/parked", .handle = handle_parked, .op_name = "parked"},
    {.method = HTTP_GET,
     .path = "/operation",
     .steps = operation_steps,
     .op_size = sizeof(struct http_op),
     .op_name = "operation"},
    {.method = HTTP_GET, .path = "/large", .handle = handle_large, .op_name = "large"},
    {.method = HTTP_GET, .path = "/busy", .handle = handle_busy, .op_name = "busy"},
    {0},
};

static void on_answer(void *userdata, struct http_request *request, int status,
                      int64_t duration_ns) {
    struct rig *rig = userdata;
    rig->answers++;
    rig->last_status = status;
}

static void on_reject(void *userdata, const char *peer, int code) {
    struct rig *rig = userdata;
    rig->rejects++;
    rig->last_reject = code;
}

static struct http_service service;

static void on_tick(struct timer *timer) {
}

void rig_start(struct rig *rig, const struct http_limits *limits) {
    *rig = (struct rig){.limits = limits ? *limits : HTTP_LIMITS_DEFAULT};
    clock_manual_init(&rig->clock, 1764000000 * NS_PER_SEC);
    random_seeded_init(&rig->random, 1);
    service = (struct http_service){.name = "test",
                                    .title = "Test",
                                    .version = "1",
                                    .routes = routes,
                                    .userdata = rig,
                                    .common_userdata = rig,
                                    .on_answer = on_answer,
                                    .on_reject = on_reject};
    assert_int_equal(loop_new(&rig->clock.clock, &rig->loop), 0);
    timer_init(&rig->tick, rig->loop, on_tick);
    struct listener_config listen = {"127.0.0.1", 0, 16};
    assert_int_equal(http_server_open(rig->loop, &rig->random.random, &service, &listen,
                                      &rig->limits, &rig->server),
                     0);
}

static void on_stopped(void *userdata) {
    ((struct rig *)userdata)->stopped = true;
}

void rig_settle(struct rig *rig) {
    for (int quiet = 0; quiet < 2;) {
        quiet = loop_step(rig->loop) ? 0 : quiet + 1;
    }
}

void rig_advance(struct rig *rig, int64_t ms) {
    /* libuv was told to wait in real time. A timer that is due before the clock turns is the first
     * of all, wakes the loop at once, and takes with it whatever is due after the turn. */
    timer_start(&rig->tick, 0);
    clock_manual_advance(&rig->clock, ms * NS_PER_MS);
    while (timer_running(&rig->tick)) {
        loop_step(rig->loop);
    }
    rig_settle(rig);
}

void rig_stop(struct rig *rig) {
    http_server_stop(rig->server, 1000, on_stopped, rig);
    rig_settle(rig);
    if (!rig->stopped) {
        rig_advance(rig, 5000);
    }
    assert_true(rig->stopped);
    loop_free(rig->loop);
}

void peer_open(struct rig *rig, struct peer *peer) {
    int fds[2];
    *peer = (struct peer){.fd = -1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    if (connection_accept(rig->server, fds[1])) {
        close(fds[1]);
    }
    peer->fd = fds[0];
}

void peer_close(struct rig *rig, struct peer *peer) {
    close(peer->fd);
    text_deinit(&peer->in);
    rig_settle(rig);
}

void peer_receive(struct rig *rig, struct peer *peer) {
    char bytes[4096];
    for (;;) {
        rig_settle(rig);
        ssize_t n = recv(peer->fd, bytes, sizeof bytes, 0);
        if (n <= 0) {
            peer->closed |= n == 0 || errno != EAGAIN;
            return;
        }
        text_append(&peer->in, bytes, (size_t)n);
    }
}

void peer_send(struct rig *rig, struct peer *peer, const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t n = send(peer->fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            peer_receive(rig, peer);
            continue;
        }
        if (n < 0) {
            break; /* closed by the server: what came before is still to be read */
        }
        at += n;
        size -= (size_t)n;
    }
    peer_receive(rig, peer);
}

void peer_send_str(struct rig *rig, struct peer *peer, const char *text) {
    peer_send(rig, peer, text, strlen(text));
}

/* Heads are found by their lengths, so that a body which looks like a head is not counted. */
static const char *response_at(const struct peer *peer, unsigned n) {
    const char *at = peer->in.data;
    const char *end = at + peer->in.size;
    while (at && at < end) {
        if (n-- == 0) {
            return at;
        }
        const char *blank = strstr(at, "\r\n\r\n");
        const char *length = strstr(at, "content-length: ");
        if (!blank) {
            return NULL;
        }
        at = blank + 4 + (length && length < blank ? strtol(length + 16, NULL, 10) : 0);
    }
    return NULL;
}

unsigned peer_responses(const struct peer *peer) {
    unsigned n = 0;
    while (response_at(peer, n)) {
        n++;
    }
    return n;
}

int peer_status(const struct peer *peer, unsigned n) {
    const char *at = response_at(peer, n);
    return at && strncmp(at, "HTTP/1.1 ", 9) == 0 ? (int)strtol(at + 9, NULL, 10) : 0;
}

bool peer_has(const struct peer *peer, const char *text) {
    return peer->in.data && strstr(peer->in.data, text);
}

const char *peer_body(const struct peer *peer) {
    const char *blank = peer->in.data ? strstr(peer->in.data, "\r\n\r\n") : NULL;
    return blank ? blank + 4 : "";
}
