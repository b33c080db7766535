#include "support.h"

#include <errno.h>
#include <string.h>

static void handle(struct http_request *request) {
}

#define ROUTE(method_, path_, name)                                                                \
    { .method = method_, .path = path_, .handle = handle, .op_name = name }

static const struct http_route routes[] = {
    ROUTE(HTTP_GET, "/", "root"),
    ROUTE(HTTP_GET, "/users/", "list"),
    ROUTE(HTTP_POST, "/users/", "create"),
    ROUTE(HTTP_GET, "/users/{id}", "get"),
    ROUTE(HTTP_PUT, "/users/{id}", "update"),
    ROUTE(HTTP_DELETE, "/users/{id}", "delete"),
    ROUTE(HTTP_POST, "/users/login", "login"),
    ROUTE(HTTP_GET, "/users/{id}/events/{n}", "event"),
    ROUTE(HTTP_GET, "/users/me/events/{n}", "own_event"),
    {0},
};

static void test_router_find__table(void **state) {
    static const struct {
        enum http_method method;
        const char *path;
        int rc;
        const char *op_name; /* NULL: no route */
        const char *allow;
    } cases[] = {
        {HTTP_GET, "/", 0, "root", "GET, HEAD, OPTIONS"},
        {HTTP_GET, "/users/", 0, "list", "GET, POST, HEAD, OPTIONS"},
        {HTTP_GET, "/users", 0, "list", "GET, POST, HEAD, OPTIONS"},
        {HTTP_POST, "/users", 0, "create", "GET, POST, HEAD, OPTIONS"},
        {HTTP_HEAD, "/users/", 0, "list", "GET, POST, HEAD, OPTIONS"},
        {HTTP_GET, "/users/7", 0, "get", "GET, PUT, DELETE, HEAD, OPTIONS"},
        {HTTP_GET, "/users/7/", 0, "get", "GET, PUT, DELETE, HEAD, OPTIONS"},
        {HTTP_DELETE, "/users/7", 0, "delete", "GET, PUT, DELETE, HEAD, OPTIONS"},
        {HTTP_POST, "/users/7", HTTP_E_METHOD, NULL, "GET, PUT, DELETE, HEAD, OPTIONS"},
        {HTTP_POST, "/users/login", 0, "login", "POST, OPTIONS"},
        {HTTP_GET, "/users/login", HTTP_E_METHOD, NULL, "POST, OPTIONS"},
        {HTTP_HEAD, "/users/login", HTTP_E_METHOD, NULL, "POST, OPTIONS"},
        {HTTP_OPTIONS, "/users/login", 0, NULL, "POST, OPTIONS"},
        {HTTP_GET, "/users/9/events/3", 0, "event", "GET, HEAD, OPTIONS"},
        {HTTP_GET, "/users/me/events/3", 0, "own_event", "GET, HEAD, OPTIONS"},
        {HTTP_GET, "/Users/", HTTP_E_NOT_FOUND, NULL, NULL},
        {HTTP_GET, "/users/7/events", HTTP_E_NOT_FOUND, NULL, NULL},
        {HTTP_GET, "//", HTTP_E_NOT_FOUND, NULL, NULL},
        {HTTP_GET, "/users//", HTTP_E_NOT_FOUND, NULL, NULL},
        {HTTP_GET, "//users/", HTTP_E_NOT_FOUND, NULL, NULL},
        {HTTP_GET, "/users/7//", HTTP_E_NOT_FOUND, NULL, NULL},
        {HTTP_GET, "/x", HTTP_E_NOT_FOUND, NULL, NULL},
    };
    struct router router;
    router_init(&router);
    assert_int_equal(router_add(&router, routes, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct router_target target;
        const struct router_path *path = NULL;
        const struct http_route *route = NULL;
        void *userdata;
        assert_true(router_split(span_text(cases[i].path), &target));
        int rc = router_find(&router, cases[i].method, &target, &path, &route, &userdata);
        const char *name = rc == 0 && route ? route->op_name : NULL;
        bool same_name = !name == !cases[i].op_name && (!name || !strcmp(name, cases[i].op_name));
        if (rc != cases[i].rc || !same_name) {
            fail_msg("%s: %d, %s", cases[i].path, rc, name ? name : "no route");
        }
        if (cases[i].allow) {
            assert_string_equal(path->allow, cases[i].allow);
        }
    }
    router_deinit(&router);
}

static void test_router_param__by_name(void **state) {
    struct router router;
    struct router_target target;
    const struct router_path *path;
    const struct http_route *route;
    void *userdata;
    router_init(&router);
    assert_int_equal(router_add(&router, routes, &router), 0);
    assert_true(router_split(SPAN_LITERAL("/users/7/events/42/"), &target));
    assert_int_equal(router_find(&router, HTTP_GET, &target, &path, &route, &userdata), 0);
    assert_ptr_equal(userdata, &router);
    assert_true(span_equal(router_param(path, &target, "id"), SPAN_LITERAL("7")));
    assert_true(span_equal(router_param(path, &target, "n"), SPAN_LITERAL("42")));
    assert_null(router_param(path, &target, "x").data);
    router_deinit(&router);
}

static void test_router_split__refuses_too_many_segments(void **state) {
    struct router_target target;
    assert_true(router_split(SPAN_LITERAL("/1/2/3/4/5/6/7/8/9/a/b/c"), &target));
    assert_false(router_split(SPAN_LITERAL("/1/2/3/4/5/6/7/8/9/a/b/c/d"), &target));
}

static void check_refused(const struct http_route *table) {
    struct router router;
    router_init(&router);
    assert_int_equal(router_add(&router, table, NULL), -EINVAL);
    router_deinit(&router);
}

static void test_router_add__refuses_contradictions(void **state) {
    static const struct op_step steps[] = {{0}};
    const struct http_route twice[] = {
        ROUTE(HTTP_GET, "/a", "a"), ROUTE(HTTP_GET, "/a/", "b"), {0}};
    const struct http_route names[] = {
        ROUTE(HTTP_GET, "/{a}", "a"), ROUTE(HTTP_PUT, "/{b}", "b"), {0}};
    const struct http_route relative[] = {ROUTE(HTTP_GET, "a", "a"), {0}};
    const struct http_route brace[] = {ROUTE(HTTP_GET, "/a{b}", "a"), {0}};
    const struct http_route nothing[] = {{.method = HTTP_GET, .path = "/a"}, {0}};
    const struct http_route both[] = {
        {.method = HTTP_GET, .path = "/a", .handle = handle, .steps = steps, .op_size = 4096}, {0}};
    const struct http_route small[] = {
        {.method = HTTP_GET, .path = "/a", .steps = steps, .op_size = 1}, {0}};
    check_refused(twice);
    check_refused(names);
    check_refused(relative);
    check_refused(brace);
    check_refused(nothing);
    check_refused(both);
    check_refused(small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router_find__table),
        cmocka_unit_test(test_router_param__by_name),
        cmocka_unit_test(test_router_split__refuses_too_many_segments),
        cmocka_unit_test(test_router_add__refuses_contradictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
