#include "support.h"

#include "conf_sample.h"

static void read_env(struct conf *conf, const char *a, const char *b, const char *c) {
    char *environment[4] = {0};
    const char *entries[] = {a, b, c};
    for (size_t i = 0; i < ARRAY_SIZE(entries) && entries[i]; i++) {
        environment[i] = strdup(entries[i]);
    }
    conf_read_environment(conf, environment);
    for (size_t i = 0; i < ARRAY_SIZE(environment); i++) {
        free(environment[i]);
    }
}

static void test_conf_read_environment__bare_names_belong_to_the_first_section(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    read_env(conf, "PORT=8080", "DEBUG=True", "DATABASE_URL=sqlite:///./x.db");
    assert_int_equal(sample_users_of(conf).port, 8080);
    assert_true(sample_users_of(conf).debug);
    assert_int_equal(sample_notify_of(conf).port, 8001);
    assert_string_equal(sample_host_of(conf).database_url, "sqlite:///./x.db");
    conf_free(conf);
}

static void test_conf_read_environment__full_name_wins_over_bare_in_any_order(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    read_env(conf, "EVENTBOX_USERS_PORT=1", "PORT=2", NULL);
    assert_int_equal(sample_users_of(conf).port, 1);
    conf_free(conf);
}

static void test_conf_read_environment__empty_bare_name_is_unset(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    read_env(conf, "PORT=", "HOST=", NULL);
    assert_string_equal(conf_mistakes(conf), "");
    assert_int_equal(sample_users_of(conf).port, 8000);
    conf_free(conf);
}

static void test_conf_read_environment__unknown_name_is_a_mistake(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    read_env(conf, "EVENTBOX_USERS_PROT=1", "EVENTBOX_PORT_8000_TCP=tcp://10.0.0.1",
             "EVENTBOX_SERVICE_HOST=x");
    assert_string_equal(conf_mistakes(conf),
                        "environment variable EVENTBOX_USERS_PROT: unknown setting; did you "
                        "mean EVENTBOX_USERS_PORT?\n");
    conf_free(conf);
}

static void test_conf__precedence_whatever_is_read_first(void **state) {
    (void)state;
    char file[PATH_SIZE], env_file[PATH_SIZE];
    make_file(file, "[users]\nport = 1\n[eventbox]\ndrain_ms = 1\n");
    make_file(env_file, "PORT=2\n");
    struct conf *conf = sample_conf();
    conf_set_option(conf, "users.port", "4");
    read_env(conf, "PORT=3", "EVENTBOX_NOTIFY_PORT=3", NULL);
    conf_read_env_file(conf, "users", env_file);
    conf_read_env_file(conf, "notify", env_file);
    conf_read_file(conf, file);
    assert_int_equal(sample_users_of(conf).port, 4);
    assert_int_equal(sample_notify_of(conf).port, 3);
    assert_int_equal(sample_host_of(conf).drain_ms, 1);
    assert_string_equal(conf_describe(conf, "users", "port"),
                        "users.port, set by option --users.port");
    conf_free(conf);
    unlink(file);
    unlink(env_file);
}

static void test_conf_read_env_file__means_its_own_service(void **state) {
    (void)state;
    char users[PATH_SIZE], notify[PATH_SIZE];
    make_file(users,
              "# comment\n\nDEBUG=True\nexport PORT=8100\nDATABASE_URL=\"sqlite:///./test.db\"\n"
              "HOST=localhost # where\n");
    make_file(notify,
              "DEBUG=False\nPORT='8101'\nAPI_KEY=abc\nDATABASE_URL=sqlite:///./notification.db\n"
              "SOMETHING_ELSE=1\n");
    struct conf *conf = sample_conf();
    conf_read_env_file(conf, "users", users);
    conf_read_env_file(conf, "notify", notify);
    conf_finish(conf);
    assert_string_equal(conf_mistakes(conf), "");
    struct sample_service service = sample_users_of(conf);
    assert_int_equal(service.port, 8100);
    assert_true(service.debug);
    assert_string_equal(service.host, "localhost");
    service = sample_notify_of(conf);
    assert_int_equal(service.port, 8101);
    assert_false(service.debug);
    assert_string_equal(service.api_key, "abc");
    assert_string_equal(sample_host_of(conf).database_url, "sqlite:///./test.db");
    assert_contains(conf_warnings(conf), ":4: DATABASE_URL is not used");
    assert_contains(conf_warnings(conf), ":5: SOMETHING_ELSE means nothing");
    conf_free(conf);
    unlink(users);
    unlink(notify);
}

static void test_conf_read_env_file__says_nothing_of_the_same_database(void **state) {
    (void)state;
    char file[PATH_SIZE];
    make_file(file, "DATABASE_URL=sqlite:///./one.db\n");
    struct conf *conf = sample_conf();
    conf_read_env_file(conf, "notify", file);
    conf_read_env_file(conf, "users", file);
    conf_finish(conf);
    assert_string_equal(conf_warnings(conf), "");
    conf_free(conf);
    unlink(file);
}

static void test_conf_read_env_file__mistakes_name_file_and_line(void **state) {
    (void)state;
    char file[PATH_SIZE], place[PATH_SIZE + 64];
    make_file(file, "HOST=localhost\nPORT=many\nnonsense\n");
    struct conf *conf = sample_conf();
    conf_read_env_file(conf, "users", file);
    snprintf(place, sizeof place, "%s:2: users.port = many", file);
    assert_contains(conf_mistakes(conf), place);
    snprintf(place, sizeof place, "%s:3: not understood", file);
    assert_contains(conf_mistakes(conf), place);
    conf_read_env_file(conf, "nobody", file);
    assert_contains(conf_mistakes(conf), "no module nobody");
    conf_free(conf);
    unlink(file);
}

static void test_conf_read_env_file__takes_any_length_a_mark_and_comments(void **state) {
    (void)state;
    char file[PATH_SIZE], content[4096], place[PATH_SIZE + 64];
    snprintf(content, sizeof content,
             "\xEF\xBB\xBFPORT=8100\t# where\r\n# %02000d\nHOST=a#b # c\nPORT=x", 0);
    make_file(file, content);
    struct conf *conf = sample_conf();
    conf_read_env_file(conf, "users", file);
    assert_int_equal(sample_users_of(conf).port, 8100);
    assert_string_equal(sample_users_of(conf).host, "a#b");
    snprintf(place, sizeof place, "%s:4: users.port = x", file);
    assert_contains(conf_mistakes(conf), place);
    assert_string_equal(conf_warnings(conf), "");
    conf_free(conf);
    unlink(file);
}

static void test_conf_read_env_file__what_cannot_be_read_is_a_mistake(void **state) {
    (void)state;
    struct conf *conf = sample_conf();
    conf_read_env_file(conf, "users", "/");
    assert_contains(conf_mistakes(conf), "option --env users=/: the file cannot be read (Is a dir");
    conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf_read_environment__bare_names_belong_to_the_first_section),
        cmocka_unit_test(test_conf_read_environment__full_name_wins_over_bare_in_any_order),
        cmocka_unit_test(test_conf_read_environment__empty_bare_name_is_unset),
        cmocka_unit_test(test_conf_read_environment__unknown_name_is_a_mistake),
        cmocka_unit_test(test_conf__precedence_whatever_is_read_first),
        cmocka_unit_test(test_conf_read_env_file__means_its_own_service),
        cmocka_unit_test(test_conf_read_env_file__says_nothing_of_the_same_database),
        cmocka_unit_test(test_conf_read_env_file__mistakes_name_file_and_line),
        cmocka_unit_test(test_conf_read_env_file__takes_any_length_a_mark_and_comments),
        cmocka_unit_test(test_conf_read_env_file__what_cannot_be_read_is_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
