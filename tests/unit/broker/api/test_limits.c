/* How the descriptors of the process are shared out between segment files and connections, and what
 * of broker.memory the log may take. */
#include "broker.h"
#include "space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>
#include <eventbox/loop/disk_sim.h>

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

/* The figures of the README and of the setting's text. */
static void test_limits__half_of_the_reserve_bounds_what_of_the_memory_the_log_takes(void **state) {
    static const struct {
        int64_t memory_bytes;
        uint64_t tail_bytes, spread_bytes;
    } rows[] = {
        {MIB(12), MIB(4), MIB(12)},
        {MIB(16), MIB(16) / 3, MIB(16) + 1}, /* a third is rounded down */
        {MIB(24), MIB(8), MIB(8)},
        {MIB(32), MIB(32) / 3, 2},
        {MIB(1024), MIB(32) / 3, 2},
    };
    struct disk *disk;
    struct space *space;
    assert_int_equal(disk_sim_new(1, &disk), 0);
    disk_sim_limit(disk, UINT64_C(1) << 40);
    struct space_config config = {.disk = disk, .reserve_bytes = MIB(64)};
    assert_int_equal(space_open(&config, &space), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct broker_settings settings = {.memory_bytes = rows[i].memory_bytes};
        struct topic_log_limits limits = TOPIC_LOG_LIMITS_DEFAULT;
        broker_limit_log(&settings, space, &limits);
        assert_int_equal(limits.tail_bytes, rows[i].tail_bytes);
        assert_in_range(limits.tail_spread_bytes, rows[i].spread_bytes - 1, rows[i].spread_bytes);
    }
    space_free(space);
    disk_free(disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits__what_is_asked_for_where_the_limit_allows_it),
        cmocka_unit_test(test_limits__files_and_connections_never_come_to_more_than_the_limit),
        cmocka_unit_test(test_limits__tools_are_told_the_connections_that_descriptors_allow),
        cmocka_unit_test(test_limits__half_of_the_reserve_bounds_what_of_the_memory_the_log_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
