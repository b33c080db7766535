/* How the descriptors of the process are shared out between segment files and connections. */
#include "broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static struct broker_descriptors share(uint64_t limit, int64_t files, int64_t connections) {
    struct broker_settings settings = {.open_files_max = files, .connections_max = connections};
    return broker_descriptors(&settings, limit);
}

static void test_limits__what_is_asked_for_where_the_limit_allows_it(void **state) {
    struct broker_descriptors it = share(524288, 32768, 20000);
    assert_int_equal(it.files, 32768);
    assert_int_equal(it.connections, 20000);
    it = share(INT64_MAX, 1000000, 1000000);
    assert_int_equal(it.files, 1000000);
    assert_int_equal(it.connections, 1000000);
}

static void test_limits__files_and_connections_never_come_to_more_than_the_limit(void **state) {
    static const uint64_t limits[] = {64, 256, 1024, 2048, 2049, 4096, 20000, 65536, 1048576};
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        uint64_t most = limits[i] > 2048 ? limits[i] - 1024 : limits[i] / 2;
        struct broker_descriptors it = share(limits[i], 2000000, 2000000);
        assert_in_range(it.files, limits[i] / 8, most * 2 / 5);
        assert_in_range(it.connections, it.files, most - it.files);
        it = share(limits[i], 16, 2000000); /* files that are not wanted are there for them */
        assert_int_equal(it.connections, most - it.files);
    }
}

static int64_t shown(const struct broker_module *broker, const char *name) {
    for (const struct kafka_shown *row = broker->shown; row->name; row++) {
        if (strcmp(row->name, name) == 0) {
            return row->value;
        }
    }
    fail_msg("%s is not shown", name);
    return 0;
}

static void test_limits__tools_are_told_the_connections_that_descriptors_allow(void **state) {
    static struct broker_module broker = {
        .settings = {.open_files_max = 100, .connections_max = 2000}};
    struct kafka_limits limits = KAFKA_LIMITS_DEFAULT;
    struct rlimit before, few;

    broker.context.data_path = "data";
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){1000, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    broker_show_settings(&broker);
    broker_limit_server(&broker.settings, &limits);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(limits.connections_max, 400);
    assert_int_equal(shown(&broker, "max.connections"), 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits__what_is_asked_for_where_the_limit_allows_it),
        cmocka_unit_test(test_limits__files_and_connections_never_come_to_more_than_the_limit),
        cmocka_unit_test(test_limits__tools_are_told_the_connections_that_descriptors_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
