/*
 * Each request for memory fails once, one after the other: what base answers then, and (with the
 * address sanitizer) that nothing is lost. The linker routes base's calls through __wrap_malloc()
 * and its siblings; a library behind a door keeps the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <eventbox/base/arena.h>
#include <eventbox/base/hashmap.h>
#include <eventbox/base/json.h>
#include <eventbox/base/text.h>
#include <limits.h>
#include <stdio.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static int requests_left = INT_MAX; /* the one that brings it to -1 fails, once */

void *__wrap_malloc(size_t size) {
    return requests_left-- == 0 ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return requests_left-- == 0 ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return requests_left-- == 0 ? NULL : __real_realloc(old, size);
}

/* Runs @attempt with request 0, 1, 2, ... failing, until none fails; it returns true on success. */
static void fail_each_request(bool (*attempt)(void), int requests_min) {
    int count = 0;
    bool succeeded;

    for (;; count++) {
        requests_left = count;
        succeeded = attempt();
        if (requests_left >= 0) {
            break;
        }
        requests_left = INT_MAX;
        assert_false(succeeded);
    }
    requests_left = INT_MAX;
    assert_true(succeeded);
    assert_true(count >= requests_min);
}

static bool parse_json(void) {
    static char text[1024];
    struct json_limits limits = JSON_LIMITS_DEFAULT;
    struct json *json = NULL;
    size_t used = 0;
    int r;

    for (int i = 0; i < 40; i++) { /* enough numbers and names for arrays and maps to grow */
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s\"n%d\":%d", i ? "," : "{", i, i);
    }
    text[used++] = '}';
    r = json_parse(span_of(text, used), &limits, &json, NULL);
    if (r) {
        assert_int_equal(r, -ENOMEM);
        assert_null(json);
        return false;
    }
    json_free(json);
    return true;
}

static void test_json_parse__survives_each_failed_request(void **state) {
    fail_each_request(parse_json, 4);
}

static bool write_text(void) {
    struct text text;
    struct buf *buf;
    bool failed;

    text_init(&text);
    json_write_array(&text, NULL);
    for (int i = 0; i < 50; i++) {
        json_write_string(&text, NULL, SPAN_LITERAL("invalid \xff"));
        text_printf(&text, "%100d", i);
    }
    json_write_array_end(&text);
    buf = text_steal_buf(&text);
    failed = !buf;
    assert_int_equal(text_failed(&text), failed);
    buf_unref(buf);
    text_deinit(&text);
    return !failed;
}

static void test_text__survives_each_failed_request(void **state) {
    fail_each_request(write_text, 10);
}

static bool fill_map(void) {
    static char names[100][8];
    struct hashmap map;
    bool complete = true;

    hashmap_init(&map, 1, 2);
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        complete = hashmap_put(&map, span_text(names[i]), names[i], NULL) == 0 && complete;
    }
    for (int i = 0; i < 100; i++) { /* what was put before and after the failure is there */
        void *found = hashmap_find(&map, span_text(names[i]));
        assert_true(found == names[i] || !found);
    }
    assert_true(map.count >= 99);
    hashmap_deinit(&map);
    return complete;
}

static void test_hashmap__survives_each_failed_request(void **state) {
    fail_each_request(fill_map, 4);
}

static bool fill_arena(void) {
    struct arena arena;
    bool complete = true;

    arena_init(&arena, MIB(1));
    for (int i = 0; i < 50; i++) {
        complete = arena_alloc(&arena, 500) && complete;
        complete = arena_alloc(&arena, i % 10 == 0 ? 50000 : 1) && complete;
    }
    arena_deinit(&arena);
    return complete;
}

static void test_arena__survives_each_failed_request(void **state) {
    fail_each_request(fill_arena, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_parse__survives_each_failed_request),
        cmocka_unit_test(test_text__survives_each_failed_request),
        cmocka_unit_test(test_hashmap__survives_each_failed_request),
        cmocka_unit_test(test_arena__survives_each_failed_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
