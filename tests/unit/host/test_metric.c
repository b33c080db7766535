#include "support.h"

#include "metric_internal.h"

enum { M_TAKEN, M_REFUSED, M_SECONDS, M_SIZES };
static const struct metric_row rows[] = {
    [M_TAKEN] = {"box_jobs_total", METRIC_COUNTER, "result=\"taken\"", "Jobs."},
    [M_REFUSED] = {"box_jobs_total", METRIC_COUNTER, "result=\"full\"", "Jobs."},
    [M_SECONDS] = {"box_seconds", METRIC_HISTOGRAM, NULL, "Time."},
    [M_SIZES] = {"box_bytes", METRIC_HISTOGRAM_BYTES, NULL, "Sizes."},
    {0},
};

static void collect(void *userdata) {
    metric_set(userdata, 42);
}

static void test_metric_registry_print__keeps_a_family_together(void **state) {
    (void)state;
    struct metric_registry registry;
    struct metric_set one = {0}, two = {0}, none = {0};
    struct text text;
    text_init(&text);
    metric_registry_init(&registry);
    assert_int_equal(metric_set_init(&one, &registry, rows, "service=\"a\""), 0);
    assert_int_equal(metric_set_init(&two, &registry, rows, NULL), 0);
    assert_int_equal(metric_set_init(&none, &registry, NULL, NULL), 0);
    one.collect = collect;
    one.userdata = &one.metrics[M_TAKEN];
    metric_add(&two.metrics[M_REFUSED], 3);
    metric_registry_print(&registry, &text);
    static const char expected[] = "# HELP box_jobs_total Jobs.\n"
                                   "# TYPE box_jobs_total counter\n"
                                   "box_jobs_total{service=\"a\",result=\"taken\"} 42\n"
                                   "box_jobs_total{service=\"a\",result=\"full\"} 0\n"
                                   "box_jobs_total{result=\"taken\"} 0\n"
                                   "box_jobs_total{result=\"full\"} 3\n"
                                   "# HELP box_seconds Time.\n";
    assert_int_equal(strncmp(text.data, expected, strlen(expected)), 0);
    text_deinit(&text);
    metric_set_deinit(&one);
    metric_set_deinit(&two);
    metric_set_deinit(&none);
    metric_set_deinit(&none);
}

static void test_metric_observe_ns__counts_into_powers_of_two(void **state) {
    (void)state;
    struct metric_registry registry;
    struct metric_set set = {0};
    struct text text;
    text_init(&text);
    metric_registry_init(&registry);
    assert_int_equal(metric_set_init(&set, &registry, rows, NULL), 0);
    struct metric *metric = &set.metrics[M_SECONDS];
    static const int64_t durations_ns[] = {
        -5, 0, 1000, 1001, 2000, 4001, INT64_C(3600) * NS_PER_SEC};
    for (size_t i = 0; i < ARRAY_SIZE(durations_ns); i++) {
        metric_observe_ns(metric, durations_ns[i]);
    }
    assert_int_equal(metric->buckets[0], 3); /* up to 1 µs */
    assert_int_equal(metric->buckets[1], 2); /* up to 2 µs */
    assert_int_equal(metric->buckets[3], 1); /* up to 8 µs */
    assert_int_equal(metric->buckets[METRIC_BUCKETS], 1);
    metric_registry_print(&registry, &text);
    assert_contains(text.data, "box_seconds_bucket{le=\"1e-06\"} 3\n");
    assert_contains(text.data,
                    "box_seconds_bucket{le=\"8.388608\"} 6\nbox_seconds_bucket{le=\"+Inf\"} 7\n");
    assert_contains(text.data, "box_seconds_count 7\n");
    assert_contains(text.data, "box_seconds_sum 3600.000007997\n");
    text_deinit(&text);
    metric_set_deinit(&set);
}

static void test_metric_set_histogram__prints_sizes_in_bytes(void **state) {
    (void)state;
    struct metric_registry registry;
    struct metric_set set = {0};
    struct metric_histogram histogram = {0};
    struct text text;
    text_init(&text);
    metric_registry_init(&registry);
    assert_int_equal(metric_set_init(&set, &registry, rows, NULL), 0);
    static const int64_t sizes[] = {0, 64, 65, 4096, INT64_C(1) << 40};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        metric_histogram_bytes(&histogram, sizes[i]);
    }
    metric_set_histogram(&set.metrics[M_SIZES], &histogram);
    metric_registry_print(&registry, &text);
    text_append_char(&text, '\0');
    assert_contains(text.data, "# TYPE box_bytes histogram\n");
    assert_contains(text.data, "box_bytes_bucket{le=\"64\"} 2\n");
    assert_contains(text.data, "box_bytes_bucket{le=\"128\"} 3\n");
    assert_contains(text.data, "box_bytes_bucket{le=\"2048\"} 3\n");
    assert_contains(text.data, "box_bytes_bucket{le=\"4096\"} 4\n");
    assert_contains(text.data, "box_bytes_bucket{le=\"536870912\"} 4\n");
    assert_contains(text.data, "box_bytes_bucket{le=\"+Inf\"} 5\n");
    assert_contains(text.data, "box_bytes_sum 1099511632001\nbox_bytes_count 5\n");
    text_deinit(&text);
    metric_set_deinit(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metric_registry_print__keeps_a_family_together),
        cmocka_unit_test(test_metric_observe_ns__counts_into_powers_of_two),
        cmocka_unit_test(test_metric_set_histogram__prints_sizes_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
