/* The client against a server that does exactly what a script says, on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <eventbox/base/error.h>
#include <eventbox/http/client.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum action { END, ACCEPT, READ, SEND, CLOSE, RESET, HOLD };

struct step {
    enum action action;
    const char *text; /* SEND */
};

struct script {
    const struct step *steps;
    int listener;
    uint16_t port;
    pthread_t thread;
    int requests; /* complete requests that the server has read */
    char last[65536];
};

/* One request, up to the end of its Content-Length. False at the end of the connection. */
static bool read_request(struct script *script, int fd) {
    size_t size = 0;
    for (;;) {
        script->last[size] = '\0';
        const char *blank = strstr(script->last, "\r\n\r\n");
        const char *length = strcasestr(script->last, "content-length: ");
        size_t body = length && length < blank ? strtoul(length + 16, NULL, 10) : 0;
        if (blank && size >= (size_t)(blank + 4 - script->last) + body) {
            __atomic_fetch_add(&script->requests, 1, __ATOMIC_RELEASE);
            return true;
        }
        ssize_t n = recv(fd, script->last + size, sizeof script->last - 1 - size, 0);
        if (n <= 0) {
            return false;
        }
        size += (size_t)n;
    }
}

static void finish(int *fd, bool reset) {
    if (*fd >= 0 && reset) {
        struct linger linger = {1, 0};
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static void *serve(void *userdata) {
    struct script *script = userdata;
    int fd = -1;
    for (const struct step *step = script->steps; step->action != END; step++) {
        char byte;
        switch (step->action) {
        case ACCEPT:
            finish(&fd, false);
            fd = accept(script->listener, NULL, NULL);
            break;
        case READ:
            read_request(script, fd);
            break;
        case SEND:
            send(fd, step->text, strlen(step->text), MSG_NOSIGNAL);
            break;
        case CLOSE:
        case RESET:
            finish(&fd, step->action == RESET);
            break;
        case HOLD: /* until the client gives up */
            while (recv(fd, &byte, 1, 0) > 0) {
            }
            break;
        case END:
            break;
        }
    }
    /* Whatever still comes is a request too many: count it. */
    shutdown(fd, SHUT_WR);
    struct pollfd ready = {fd >= 0 ? fd : script->listener, POLLIN, 0};
    if (fd < 0 && poll(&ready, 1, 100) > 0) {
        fd = accept(script->listener, NULL, NULL);
    }
    if (fd >= 0) {
        read_request(script, fd);
    }
    finish(&fd, false);
    return NULL;
}

static void script_start(struct script *script, const struct step *steps) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *script = (struct script){.steps = steps};
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(script->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(script->listener, 8), 0);
    getsockname(script->listener, (struct sockaddr *)&address, &size);
    script->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&script->thread, NULL, serve, script), 0);
}

static void script_stop(struct script *script) {
    shutdown(script->listener, SHUT_RDWR);
    pthread_join(script->thread, NULL);
    close(script->listener);
}

struct result {
    int done;
    enum http_client_outcome outcome;
    int status;
    char body[128];
    size_t body_size;
    char retry_after[32], message_id[32], ratelimit_reset[32];
    char error[256];
};

static void copy(char *out, size_t size, struct span span) {
    snprintf(out, size, "%.*s", (int)MIN(span.size, size - 1),
             span.data ? (const char *)span.data : "");
}

static void on_done(void *userdata, const struct http_client_answer *answer) {
    struct result *result = userdata;
    result->done++;
    result->outcome = answer->outcome;
    result->status = answer->status;
    result->body_size = answer->body.size;
    copy(result->body, sizeof result->body, answer->body);
    copy(result->retry_after, sizeof result->retry_after, answer->retry_after);
    copy(result->message_id, sizeof result->message_id, answer->message_id);
    copy(result->ratelimit_reset, sizeof result->ratelimit_reset, answer->ratelimit_reset);
    snprintf(result->error, sizeof result->error, "%s", answer->error);
}

struct rig {
    struct loop *loop;
    struct http_client *client;
    struct script script;
};

static void rig_start(struct rig *rig, const struct step *steps) {
    assert_int_equal(loop_new(clock_system(), &rig->loop), 0);
    assert_int_equal(http_client_new(rig->loop, &rig->client), 0);
    script_start(&rig->script, steps);
}

static void rig_stop(struct rig *rig) {
    http_client_free(rig->client);
    while (loop_step(rig->loop)) {
    }
    loop_free(rig->loop);
    script_stop(&rig->script);
}

static int send_to(struct rig *rig, const char *method, const char *url, const char *body,
                   int64_t total_ms, struct result *result) {
    const struct http_client_header headers[] = {{"Authorization", "Bearer SG.test"},
                                                 {"Content-Type", "application/json"}};
    const struct http_client_request request = {.method = method,
                                                .url = url,
                                                .headers = headers,
                                                .header_count = 2,
                                                .body = span_text(body),
                                                .connect_ms = 5000,
                                                .total_ms = total_ms,
                                                .done = on_done,
                                                .userdata = result};
    *result = (struct result){0};
    return http_client_send(rig->client, &request, NULL);
}

static void wait_done(struct rig *rig, struct result *result) {
    while (!result->done) {
        if (!loop_step(rig->loop)) {
            poll(NULL, 0, 1);
        }
    }
    assert_int_equal(result->done, 1);
}

static void post(struct rig *rig, const char *body, int64_t total_ms, struct result *result) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/v3/mail/send", rig->script.port);
    assert_int_equal(send_to(rig, "POST", url, body, total_ms, result), 0);
    assert_int_equal(result->done, 0);
    wait_done(rig, result);
}

#define ACCEPTED "HTTP/1.1 202 Accepted\r\nX-Message-Id: m-1\r\nContent-Length: 0\r\n\r\n"

static void test_client_send__answered(void **state) {
    static const struct step steps[] = {{ACCEPT}, {READ}, {SEND, ACCEPTED}, {HOLD}, {END}};
    struct rig rig;
    struct result result;
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* not ours */
    rig_start(&rig, steps);
    post(&rig, "{\"to\":1}", 5000, &result);
    assert_int_equal(result.outcome, HTTP_CLIENT_ANSWERED);
    assert_int_equal(result.status, 202);
    assert_string_equal(result.message_id, "m-1");
    assert_string_equal(result.error, "");
    assert_non_null(strstr(rig.script.last, "POST /v3/mail/send HTTP/1.1\r\n"));
    assert_non_null(strstr(rig.script.last, "Authorization: Bearer SG.test\r\n"));
    assert_non_null(strstr(rig.script.last, "\r\n\r\n{\"to\":1}"));
    assert_null(strstr(rig.script.last, "Expect"));
    rig_stop(&rig);
    unsetenv("http_proxy");
}

static void test_client_send__refusal_with_fields(void **state) {
    static const struct step steps[] = {
        {ACCEPT},
        {READ},
        {SEND,
         "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7 \r\nX-RateLimit-Reset: 1392815263\r\n"
         "Content-Length: 5\r\n\r\nerror"},
        {HOLD},
        {END}};
    struct rig rig;
    struct result result;
    rig_start(&rig, steps);
    post(&rig, "x", 5000, &result);
    assert_int_equal(result.outcome, HTTP_CLIENT_ANSWERED);
    assert_int_equal(result.status, 429);
    assert_string_equal(result.retry_after, "7");
    assert_string_equal(result.ratelimit_reset, "1392815263");
    assert_string_equal(result.body, "error");
    rig_stop(&rig);
}

/* One outcome for each way in which a server can fall silent. */
static void test_client_send__outcomes(void **state) {
    static const struct {
        const char *name;
        struct step steps[6];
        int64_t total_ms;
        enum http_client_outcome outcome;
        int status;
    } cases[] = {
        {"closed after the body", {{ACCEPT}, {READ}, {CLOSE}}, 5000, HTTP_CLIENT_UNKNOWN, 0},
        {"reset after the body", {{ACCEPT}, {READ}, {RESET}}, 5000, HTTP_CLIENT_UNKNOWN, 0},
        {"no answer", {{ACCEPT}, {READ}, {HOLD}}, 300, HTTP_CLIENT_UNKNOWN, 0},
        {"100 only",
         {{ACCEPT}, {READ}, {SEND, "HTTP/1.1 100 Continue\r\n\r\n"}, {HOLD}},
         300,
         HTTP_CLIENT_UNKNOWN,
         0},
        {"no HTTP",
         {{ACCEPT}, {READ}, {SEND, "220 smtp ready\r\n"}, {CLOSE}},
         5000,
         HTTP_CLIENT_UNKNOWN,
         0},
        {"status line cut",
         {{ACCEPT}, {READ}, {SEND, "HTTP/1.1 20"}, {CLOSE}},
         5000,
         HTTP_CLIENT_UNKNOWN,
         0},
        {"body of the answer cut",
         {{ACCEPT},
          {READ},
          {SEND, "HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nabc"},
          {CLOSE}},
         5000,
         HTTP_CLIENT_ANSWERED,
         202},
        {"body of the answer hangs",
         {{ACCEPT},
          {READ},
          {SEND, "HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nabc"},
          {HOLD}},
         300,
         HTTP_CLIENT_ANSWERED,
         202},
        {"redirect",
         {{ACCEPT},
          {READ},
          {SEND, "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
          {HOLD}},
         5000,
         HTTP_CLIENT_ANSWERED,
         302},
        {"server error",
         {{ACCEPT}, {READ}, {SEND, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"}, {HOLD}},
         5000,
         HTTP_CLIENT_ANSWERED,
         500},
        {"bad request",
         {{ACCEPT}, {READ}, {SEND, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"}, {HOLD}},
         5000,
         HTTP_CLIENT_ANSWERED,
         400},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct rig rig;
        struct result result;
        rig_start(&rig, cases[i].steps);
        post(&rig, "{\"a\":1}", cases[i].total_ms, &result);
        rig_stop(&rig);
        if (result.outcome != cases[i].outcome || result.status != cases[i].status ||
            rig.script.requests != 1) {
            fail_msg("%s: outcome %d, status %d, %d requests", cases[i].name, result.outcome,
                     result.status, rig.script.requests);
        }
        assert_true(result.outcome == HTTP_CLIENT_ANSWERED || result.error[0]);
    }
}

/* Without the refused rewind libcurl sends the body of the second request once more. */
static void check_reused(const struct step *steps, const char *body) {
    struct rig rig;
    struct result result;
    rig_start(&rig, steps);
    post(&rig, "first", 5000, &result);
    assert_int_equal(result.status, 202);
    post(&rig, body, 5000, &result);
    assert_int_equal(result.outcome, HTTP_CLIENT_UNKNOWN);
    assert_true(result.error[0] && !strstr(result.error, "callback")); /* people read it */
    rig_stop(&rig);
    assert_int_equal(rig.script.requests,
                     2); /* a further connection without a request is no harm */
}

static void test_client_send__never_twice_on_a_reused_connection(void **state) {
    static const struct step closes[] = {{ACCEPT}, {READ},  {SEND, ACCEPTED},
                                         {READ},   {CLOSE}, {END}};
    static const struct step resets[] = {{ACCEPT}, {READ},  {SEND, ACCEPTED},
                                         {READ},   {RESET}, {END}};
    check_reused(closes, "second");
    check_reused(resets, "second");
}

static void test_client_send__bodyless_post_has_its_own_connection(void **state) {
    static const struct step steps[] = {{ACCEPT}, {READ}, {SEND, ACCEPTED}, {ACCEPT}, {READ},
                                        {CLOSE},  {END}};
    check_reused(steps, "");
}

static void test_client_send__not_sent(void **state) {
    static const struct step nothing[] = {{END}};
    struct rig rig;
    struct result result;
    char url[64];
    rig_start(&rig, nothing);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", rig.script.port);
    script_stop(&rig.script); /* the port is closed from here on */
    assert_int_equal(send_to(&rig, "POST", url, "x", 5000, &result), 0);
    wait_done(&rig, &result);
    assert_int_equal(result.outcome, HTTP_CLIENT_NOT_SENT);
    assert_int_equal(send_to(&rig, "POST", "file:///etc/passwd", "x", 5000, &result), 0);
    wait_done(&rig, &result);
    assert_int_equal(result.outcome, HTTP_CLIENT_NOT_SENT);
    assert_int_equal(send_to(&rig, "POST", "no url at all", "x", 5000, &result), 0);
    wait_done(&rig, &result);
    assert_int_equal(result.outcome, HTTP_CLIENT_NOT_SENT);
    http_client_free(rig.client);
    while (loop_step(rig.loop)) {
    }
    loop_free(rig.loop);
}

/* A server that cannot have all of the body is proof that it acted on nothing. */
static void test_client_send__reset_inside_a_large_body(void **state) {
    static const struct step steps[] = {{ACCEPT}, {RESET}, {END}};
    struct rig rig;
    struct result result;
    size_t size = MIB(32);
    char *body = malloc(size + 1);
    memset(body, 'x', size);
    body[size] = '\0';
    rig_start(&rig, steps);
    post(&rig, body, 5000, &result);
    assert_int_equal(result.outcome, HTTP_CLIENT_NOT_SENT);
    rig_stop(&rig);
    free(body);
}

static void test_client_send__answer_is_cut_at_64_kib(void **state) {
    enum { SIZE = 200 * 1024 };
    static char answer[SIZE + 128];
    static const struct step steps[] = {{ACCEPT}, {READ}, {SEND, answer}, {CLOSE}, {END}};
    struct rig rig;
    struct result result;
    int head = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
    memset(answer + head, 'y', SIZE);
    rig_start(&rig, steps);
    post(&rig, "x", 5000, &result);
    assert_int_equal(result.status, 200);
    assert_int_equal(result.body_size, KIB(64));
    rig_stop(&rig);
}

static void test_client_send__get(void **state) {
    static const struct step steps[] = {
        {ACCEPT}, {READ}, {SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}, {HOLD}, {END}};
    struct rig rig;
    struct result result;
    char url[64];
    rig_start(&rig, steps);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/health", rig.script.port);
    assert_int_equal(send_to(&rig, "GET", url, "", 5000, &result), 0);
    wait_done(&rig, &result);
    assert_string_equal(result.body, "ok");
    assert_non_null(strstr(rig.script.last, "GET /health HTTP/1.1\r\n"));
    rig_stop(&rig);
}

static void test_client_send__line_break_in_a_header_is_refused(void **state) {
    static const struct step nothing[] = {{END}};
    struct rig rig;
    struct result result = {0};
    rig_start(&rig, nothing);
    const struct http_client_header header = {"X-A", "b\r\nX-C: d"};
    const struct http_client_request request = {.method = "GET",
                                                .url = "http://127.0.0.1:1/",
                                                .headers = &header,
                                                .header_count = 1,
                                                .connect_ms = 1000,
                                                .total_ms = 1000,
                                                .done = on_done,
                                                .userdata = &result};
    assert_int_equal(http_client_send(rig.client, &request, NULL), -EINVAL);
    rig_stop(&rig);
    assert_int_equal(result.done, 0);
}

static void test_client_free__ends_what_is_in_flight(void **state) {
    static const struct step steps[] = {{ACCEPT}, {READ}, {HOLD}, {END}};
    struct rig rig;
    struct result result;
    char url[64];
    rig_start(&rig, steps);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", rig.script.port);
    assert_int_equal(send_to(&rig, "POST", url, "x", 5000, &result), 0);
    http_client_free(rig.client); /* before the loop has turned: nothing has left */
    assert_int_equal(result.done, 1);
    assert_int_equal(result.outcome, HTTP_CLIENT_NOT_SENT);

    assert_int_equal(http_client_new(rig.loop, &rig.client), 0);
    assert_int_equal(send_to(&rig, "POST", url, "x", 5000, &result), 0);
    while (!__atomic_load_n(&rig.script.requests, __ATOMIC_ACQUIRE)) {
        loop_step(rig.loop);
    }
    http_client_free(rig.client);
    assert_int_equal(result.done, 1);
    assert_int_equal(result.outcome, HTTP_CLIENT_UNKNOWN);
    rig.client = NULL;
    rig_stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_send__answered),
        cmocka_unit_test(test_client_send__refusal_with_fields),
        cmocka_unit_test(test_client_send__outcomes),
        cmocka_unit_test(test_client_send__never_twice_on_a_reused_connection),
        cmocka_unit_test(test_client_send__bodyless_post_has_its_own_connection),
        cmocka_unit_test(test_client_send__not_sent),
        cmocka_unit_test(test_client_send__reset_inside_a_large_body),
        cmocka_unit_test(test_client_send__answer_is_cut_at_64_kib),
        cmocka_unit_test(test_client_send__get),
        cmocka_unit_test(test_client_send__line_break_in_a_header_is_refused),
        cmocka_unit_test(test_client_free__ends_what_is_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
