/* Request objects that wait for the next request: what they keep, how many wait, and for how long.
 */
#include "api_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct clock_manual manual;
static struct kafka_server *server;

static int setup(void **state) {
    clock_manual_init(&manual, INT64_C(1700000000) * NS_PER_SEC);
    server = calloc(1, sizeof *server);
    assert_int_equal(loop_new_simulated(&manual.clock, &server->config.loop), 0);
    server->limits.arena_max_bytes = 1 << 20;
    request_pool_init(server);
    return 0;
}

static int teardown(void **state) {
    request_pool_deinit(server);
    assert_int_equal(server->pool_count, 0);
    loop_free(server->config.loop);
    free(server);
    return 0;
}

static void pass_seconds(int seconds) {
    for (int i = 0; i < seconds * 10; i++) {
        clock_manual_advance(&manual, 100 * NS_PER_MS);
        loop_step(server->config.loop);
    }
}

static void use(unsigned count) {
    struct api_request **requests = calloc(count, sizeof(struct api_request *));

    for (unsigned i = 0; i < count; i++) {
        requests[i] = api_request_new(server);
        assert_int_equal(api_request_copy_frame(requests[i], "frame", 5), 0);
    }
    assert_int_equal(server->stats.requests_in_flight, count);
    for (unsigned i = 0; i < count; i++) {
        api_request_free(server, requests[i]);
    }
    assert_int_equal(server->stats.requests_in_flight, 0);
    free(requests);
}

static void test_request_pool__the_next_request_has_the_memory_of_the_last(void **state) {
    struct api_request *first = api_request_new(server);
    struct buf *frame;
    void *block;

    assert_int_equal(api_request_copy_frame(first, "0123456789", 10), 0);
    frame = first->public.frame;
    assert_memory_equal(frame->data, "0123456789", 10);
    block = arena_alloc(&first->arena, 100);
    first->public.correlation_id = 7;
    first->is_fetch = true;
    api_request_free(server, first);

    assert_ptr_equal(api_request_new(server), first);
    assert_int_equal(first->public.correlation_id, 0);
    assert_false(first->is_fetch);
    assert_null(first->public.frame);
    assert_int_equal(api_request_copy_frame(first, "abc", 3), 0);
    assert_ptr_equal(first->public.frame, frame);
    assert_int_equal(frame->size, 3);
    assert_memory_equal(frame->data, "abc", 3);
    assert_ptr_equal(arena_alloc(&first->arena, 100), block);
    api_request_free(server, first);
}

static void test_request_pool__a_frame_that_somebody_refers_to_is_not_used_again(void **state) {
    struct api_request *request = api_request_new(server);
    struct buf *frame;

    assert_int_equal(api_request_copy_frame(request, "first", 5), 0);
    frame = buf_ref(request->public.frame);
    api_request_free(server, request);
    request = api_request_new(server);
    assert_int_equal(api_request_copy_frame(request, "other", 5), 0);
    assert_ptr_not_equal(request->public.frame, frame);
    assert_int_equal(frame->refs, 1);
    assert_memory_equal(frame->data, "first", 5);
    buf_unref(frame);
    api_request_free(server, request);
}

static void test_request_pool__a_large_frame_is_not_kept(void **state) {
    static const uint8_t bytes[5000] = {1};
    struct api_request *request = api_request_new(server);

    assert_int_equal(api_request_copy_frame(request, bytes, sizeof bytes), 0);
    assert_int_equal(request->public.frame->size, sizeof bytes);
    assert_memory_equal(request->public.frame->data, bytes, sizeof bytes);
    api_request_free(server, request);
    assert_ptr_equal(api_request_new(server), request);
    assert_null(request->kept_frame);
    api_request_free(server, request);
}

static void test_request_pool__has_a_bound(void **state) {
    use(REQUEST_POOL_MAX + 10);
    assert_int_equal(server->pool_count, REQUEST_POOL_MAX);
}

static void test_request_pool__what_is_not_used_goes_and_what_is_used_stays(void **state) {
    use(3000);
    assert_int_equal(server->pool_count, 3000);
    for (int i = 0; i < 10; i++) { /* as many as before, every second */
        pass_seconds(1);
        assert_int_equal(server->pool_count, 3000);
        use(3000);
    }
    for (int i = 0; i < 10; i++) {
        pass_seconds(1);
        use(1000);
    }
    assert_int_equal(server->pool_count, 1000);
    pass_seconds(10);
    assert_int_equal(server->pool_count, REQUEST_POOL_KEPT);
    assert_false(timer_running(&server->pool_timer));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_request_pool__the_next_request_has_the_memory_of_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_request_pool__a_frame_that_somebody_refers_to_is_not_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_pool__a_large_frame_is_not_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_request_pool__has_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_request_pool__what_is_not_used_goes_and_what_is_used_stays, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
