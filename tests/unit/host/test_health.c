/*
 * What /readyz answers, with the parts it asks faked: their figures are what a test says, and the
 * answer is kept instead of sent.
 */
#include "support.h"

#include "host_internal.h"

static struct store_stats store_now;
static struct relay_stats relay_now;
static struct space_stats space_now;
static struct module_health health_now;
static struct host host;
static int answered;
static struct text answer;

void store_stats(const struct store *store, struct store_stats *ret_stats) {
    *ret_stats = store_now;
}
void relay_stats(const struct relay *relay, struct relay_stats *ret_stats) {
    *ret_stats = relay_now;
}
void space_stats(const struct space *space, struct space_stats *ret_stats) {
    *ret_stats = space_now;
}
void console_stats(const struct console *console, struct console_stats *ret_stats) {
    *ret_stats = (struct console_stats){0};
}
void http_server_stats(const struct http_server *server, struct http_server_stats *ret_stats) {
    *ret_stats = (struct http_server_stats){0};
}
void *http_request_userdata(struct http_request *request) {
    return &host.modules[0];
}
void http_respond_json(struct http_request *request, int status, struct text *json) {
    answered = status;
    answer = *json; /* with its memory */
    text_init(json);
    text_append_char(&answer, '\0');
}
void http_respond_header(struct http_request *request, const char *name, const char *value) {
    assert_string_equal(name, "Retry-After");
}
void http_respond_static(struct http_request *request, int status, const char *type,
                         struct span body) {
    fail();
}
void http_respond_text(struct http_request *request, int status, const char *type,
                       struct span body) {
    fail();
}
void http_respond_error(struct http_request *request, int code) {
    fail();
}
const struct trace *http_request_trace(struct http_request *request) {
    return NULL;
}
struct span http_request_method(struct http_request *request) {
    return span_text("GET");
}
struct span http_request_path(struct http_request *request) {
    return span_text("/readyz");
}
const char *http_request_peer(struct http_request *request) {
    return "";
}

static void module_health(void *state, struct module_health *ret_health) {
    *ret_health = health_now;
}

static const struct module module = {.name = "box", .health = module_health};

/* Everything is well. */
static int setup(void **state) {
    store_now = (struct store_stats){0};
    relay_now = (struct relay_stats){0};
    space_now = (struct space_stats){.state = SPACE_OK};
    health_now = (struct module_health){.state = MODULE_OK};
    host = (struct host){.phase = HOST_READY, .needs_store = true, .relay_running = true};
    host.store = (void *)&store_now; /* only the fakes above get them */
    host.relay = (void *)&relay_now;
    host.topics = (void *)&answered;
    host.module_count = 1;
    host.modules[0] =
        (struct host_module){.host = &host, .module = &module, .phase = HOST_MODULE_STARTED};
    return 0;
}

/* The answer of /readyz, until the next one. */
static const char *ask(void) {
    const struct http_route *route = health_routes;
    while (strcmp(route->path, "/readyz") != 0) {
        route++;
    }
    text_deinit(&answer);
    route->handle(NULL);
    return answer.data;
}

static void assert_part(const char *part, const char *detail) {
    const char *text = ask();
    assert_int_equal(answered, 503);
    assert_contains(text, "\"status\":\"unavailable\"");
    assert_contains(text, part);
    assert_contains(text, detail);
    assert_null(strstr(strstr(text, "\"part\"") + 1, "\"part\"")); /* no other */
}

static void test_readyz__is_200_while_all_parts_are_well(void **state) {
    assert_string_equal(ask(), "{\"status\":\"ready\"}");
    assert_int_equal(answered, 200);
}

static void test_readyz__names_the_store(void **state) {
    store_now.failed = true;
    assert_part("\"part\":\"store\",\"state\":\"failed\"", "until a restart");
    host.store = NULL;
    assert_part("\"part\":\"store\",\"state\":\"starting\"", "being opened");
    host.needs_store = false;
    ask();
    assert_int_equal(answered, 200);
}

static void test_readyz__names_the_relay(void **state) {
    relay_now.failed = true;
    assert_part("\"part\":\"relay\",\"state\":\"failed\"", "cannot be published");
    relay_now.failed = false;
    relay_now.oldest_ns = 30 * NS_PER_SEC;
    ask();
    assert_int_equal(answered, 200);
    relay_now.oldest_ns = 31 * NS_PER_SEC;
    assert_part("\"part\":\"relay\",\"state\":\"behind\"", "has waited 31 s in the outbox");
}

static void test_readyz__names_a_full_disk(void **state) {
    space_now.state = SPACE_LOW;
    ask();
    assert_int_equal(answered, 200);
    space_now.state = SPACE_FULL;
    assert_part("\"part\":\"disk\",\"state\":\"failed\"", "the disk is full");
}

static void test_readyz__names_the_process_that_starts_or_drains(void **state) {
    host.phase = HOST_STARTING;
    assert_part("\"part\":\"eventbox\",\"state\":\"starting\"", "starting");
    host.phase = HOST_DRAINING;
    assert_part("\"part\":\"eventbox\",\"state\":\"draining\"", "in flight");
}

static void test_readyz__names_the_module_with_its_own_words(void **state) {
    static const struct {
        enum module_health_state state;
        const char *part;
    } cases[] = {
        {MODULE_STARTING, "\"part\":\"box\",\"state\":\"starting\""},
        {MODULE_BEHIND, "\"part\":\"box\",\"state\":\"behind\""},
        {MODULE_DRAINING, "\"part\":\"box\",\"state\":\"draining\""},
        {MODULE_FAILED, "\"part\":\"box\",\"state\":\"failed\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        health_now = (struct module_health){cases[i].state, "because"};
        assert_part(cases[i].part, "\"detail\":\"because\"");
    }
    health_now.state = MODULE_OK;
    host.modules[0].phase = HOST_MODULE_FAILED; /* its start did: it is not asked */
    assert_part("\"part\":\"box\",\"state\":\"failed\"", "");
    host.modules[0].phase = HOST_MODULE_STARTING;
    assert_part("\"part\":\"box\",\"state\":\"starting\"", "");
    host.modules[0].phase = HOST_MODULE_STOPPED;
    assert_part("\"part\":\"box\",\"state\":\"draining\"", "");
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(test_readyz__is_200_while_all_parts_are_well),
        T(test_readyz__names_the_store),
        T(test_readyz__names_the_relay),
        T(test_readyz__names_a_full_disk),
        T(test_readyz__names_the_process_that_starts_or_drains),
        T(test_readyz__names_the_module_with_its_own_words),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    text_deinit(&answer);
    return failed;
}
