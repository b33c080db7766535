#include "support.h"

#include "conf_internal.h"
#include "conf_sample.h"

static void test_conf_apply__writes_defaults_of_every_type(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    struct sample_host host = sample_host_of(conf);
    assert_string_equal(host.database_url, "");
    assert_int_equal(host.level, 1);
    assert_int_equal(host.buffer_bytes, 65536);
    assert_int_equal(host.drain_ms, 10000);
    assert_int_equal(host.expiry_ms, 2 * 3600000);
    assert_int_equal(sample_notify_of(conf).port, 8001);
    conf_free(conf);
}

struct value_case {
    const char *option, *text;
    const char *mistake; /* NULL: taken */
};

static void test_conf_set_option__checks_type_and_range(void **state) {
    (void)state;
    static const struct value_case cases[] = {
        {"users.port", "0", NULL},
        {"users.port", "65535", NULL},
        {"users.port", "65536", "must be a whole number from 0 to 65535"},
        {"users.port", "-1", "must be"},
        {"users.port", "80a", "must be"},
        {"users.port", "", "must be"},
        {"users.port", " 80", "must be"},
        {"users.port", "99999999999999999999", "must be"},
        {"users.debug", "True", NULL},
        {"users.debug", "maybe", "must be yes or no"},
        {"log_level", "DEBUG", NULL},
        {"log_level", "loud", "must be one of debug, info"},
        {"buffer", "1MiB", NULL},
        {"buffer", "1 KiB", NULL},
        {"buffer", "2MiB", "must be a size"},
        {"buffer", "9223372036854775807GiB", "must be a size"},
        {"drain_ms", "2m", NULL},
        {"drain_ms", "2 weeks", "must be a duration"},
        {"users.prot", "1", "did you mean --users.port?"},
        {"nothing.like.it", "1", "conf print"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf *conf = sample_conf();
        conf_set_option(conf, cases[i].option, cases[i].text);
        if (cases[i].mistake) {
            assert_contains(conf_mistakes(conf), cases[i].mistake);
            assert_contains(conf_mistakes(conf), cases[i].option);
        } else {
            assert_string_equal(conf_mistakes(conf), "");
        }
        conf_free(conf);
    }
}

static void test_conf_mistake__never_shows_a_secret(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    conf_set_option(conf, "users.api_key", "hunter2hunter2");
    assert_contains(conf_mistakes(conf), "users.api_key");
    assert_null(strstr(conf_mistakes(conf), "hunter2"));
    conf_free(conf);
}

static void test_conf_read_file__tells_every_mistake_with_its_line(void **state) {
    (void)state;
    char path[PATH_SIZE], place[PATH_SIZE + 80];
    make_file(path, "early = 1\n"          /* 1: before any section */
                    "[users]\n"            /* 2 */
                    "port = 99999\n"       /* 3: out of range */
                    "prot = 1\n"           /* 4: unknown */
                    "  debug = yes\n"      /* 5: fine, indented */
                    "just words\n"         /* 6: not understood */
                    "[nonsense]\n"         /* 7 */
                    "a = 1\nb = 2\n"       /* 8: told once */
                    "[notify\n"            /* 10: no end */
                    "[notify]\n"           /* 11 */
                    "port = 1\nport = 2\n" /* 13: twice */
                    "; comment\n# comment\n\n"
                    "host = ::1 ; behind a value\n");
    struct conf *conf = sample_conf();
    conf_read_file(conf, path);
    static const char *const places[] = {":1: a setting before any",
                                         ":3: users.port = 99999",
                                         ":4: users.prot: unknown setting; did you mean port?",
                                         ":6: not understood",
                                         ":8: [nonsense]: unknown section",
                                         ":10: not understood",
                                         ":13: notify.port: set already in line 12"};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        snprintf(place, sizeof place, "%s%s", path, places[i]);
        assert_contains(conf_mistakes(conf), place);
    }
    size_t lines = 0;
    for (const char *c = conf_mistakes(conf); *c; c++) {
        lines += *c == '\n';
    }
    assert_int_equal(lines, ARRAY_SIZE(places));
    assert_true(sample_users_of(conf).debug);
    assert_string_equal(sample_notify_of(conf).host, "::1");
    conf_free(conf);
    unlink(path);
}

static void test_conf_read_file__refuses_long_lines_and_zero_bytes(void **state) {
    (void)state;
    char path[PATH_SIZE], content[400];
    memset(content, 'x', sizeof content);
    memcpy(content, "[users]\nhost = ", 15);
    content[sizeof content - 1] = '\0';
    make_file(path, content);
    struct conf *conf = sample_conf();
    conf_read_file(conf, path);
    assert_contains(conf_mistakes(conf), ":2: the line has");
    conf_free(conf);
    unlink(path);
}

static void test_conf_read_file__absent_file_is_a_mistake(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    conf_read_file(conf, "/nonexistent/eventbox.conf");
    assert_contains(conf_mistakes(conf), "/nonexistent/eventbox.conf: cannot be read");
    conf_free(conf);
}

static void test_conf_print__can_be_read_back(void **state) {
    (void)state;
    char path[PATH_SIZE];
    char *text = NULL;
    size_t size = 0;
    struct conf *conf = sample_conf(), *again = sample_conf();
    conf_set_option(conf, "users.port", "8080");
    conf_set_option(conf, "users.api_key", "hunter2");
    FILE *out = open_memstream(&text, &size);
    conf_print(conf, out);
    fclose(out);
    assert_contains(text, "\nport = 8080\n");
    assert_contains(text, "\n#port = 8001\n");
    assert_contains(text, "EVENTBOX_NOTIFY_API_KEY");
    assert_null(strstr(text, "hunter2"));
    make_file(path, text);
    conf_read_file(again, path);
    assert_string_equal(conf_mistakes(again), "");
    assert_int_equal(sample_users_of(again).port, 8080);
    conf_free(conf);
    conf_free(again);
    free(text);
    unlink(path);
}

static void test_conf_take_reloadable__leaves_the_rest_and_says_so(void **state) {
    (void)state;
    struct conf *conf = sample_conf(), *fresh = sample_conf();
    conf_set_option(fresh, "log_level", "debug");
    conf_set_option(fresh, "users.port", "9000");
    assert_int_equal(conf_take_reloadable(conf, fresh), 1);
    conf_free(fresh);
    assert_int_equal(sample_host_of(conf).level, 0);
    assert_int_equal(sample_users_of(conf).port, 8000);
    assert_contains(conf_warnings(conf), "users.port");
    conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf_apply__writes_defaults_of_every_type),
        cmocka_unit_test(test_conf_set_option__checks_type_and_range),
        cmocka_unit_test(test_conf_mistake__never_shows_a_secret),
        cmocka_unit_test(test_conf_read_file__tells_every_mistake_with_its_line),
        cmocka_unit_test(test_conf_read_file__refuses_long_lines_and_zero_bytes),
        cmocka_unit_test(test_conf_read_file__absent_file_is_a_mistake),
        cmocka_unit_test(test_conf_print__can_be_read_back),
        cmocka_unit_test(test_conf_take_reloadable__leaves_the_rest_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
