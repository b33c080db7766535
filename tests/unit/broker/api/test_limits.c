/* How the descriptors of the process are shared out between segment files and connections. */
#include "broker.h"

#include <setjmp.h>
#include <stdarg.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits__what_is_asked_for_where_the_limit_allows_it),
        cmocka_unit_test(test_limits__files_and_connections_never_come_to_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
