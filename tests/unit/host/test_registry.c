#include "support.h"

#include "host_internal.h"

static const char *const needs_store[] = {"store", NULL};
static const char *const needs_both[] = {"store", "topics", NULL};
static const char *const gives_topics[] = {"topics", NULL};

static const struct module sink = {.abi = MODULE_ABI, .name = "fluent", .service = "fluent"};
static const struct module users = {.abi = MODULE_ABI, .name = "users", .requires = needs_both};
static const struct module broker = {.abi = MODULE_ABI, .name = "broker", .provides = gives_topics};
static const struct module notes = {.abi = MODULE_ABI, .name = "notes", .requires = needs_store};
static const struct module *const modules[] = {&sink, &users, &broker, &notes};

/* Chooses as the setting @list says; the names in the order of starting, or the failure. */
static const char *choose(const char *list) {
    static char text[HOST_FAILURE_MAX];
    struct host *host = calloc(1, sizeof *host);
    struct host_config config = {.modules = modules, .module_count = ARRAY_SIZE(modules)};
    host->config = &config;
    assert_int_equal(host_conf_new(modules, ARRAY_SIZE(modules), &config.conf), 0);
    host->settings.modules = list;
    text[0] = '\0';
    if (registry_choose(host)) {
        snprintf(text, sizeof text, "%s", host->failure);
    } else {
        for (size_t i = 0; i < host->module_count; i++) {
            size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, "%s ", host->modules[i].module->name);
        }
        snprintf(text + strlen(text), 8, "%s", host->needs_store ? "+store" : "");
    }
    conf_free(config.conf);
    free(host);
    return text;
}

static void test_registry_choose__puts_providers_first(void **state) {
    (void)state;
    assert_string_equal(choose("all"), "fluent broker users notes +store");
    assert_string_equal(choose(""), "fluent broker users notes +store");
    assert_string_equal(choose("users,broker"), "broker users +store");
    assert_string_equal(choose(" notes , fluent,"), "fluent notes +store");
    assert_string_equal(choose("broker,broker"), "broker ");
}

static void test_registry_choose__names_what_is_missing(void **state) {
    (void)state;
    assert_contains(choose("users"), "users needs \"topics\"; add broker");
    assert_contains(choose("users,fluent"), "users needs \"topics\"; add broker");
    assert_contains(choose("nobody"), "nobody");
    assert_contains(choose(","), "no module");
}

static void test_conf_finish__refuses_modules_that_are_none(void **state) {
    (void)state;
    struct conf *conf = NULL;
    assert_int_equal(host_conf_new(modules, ARRAY_SIZE(modules), &conf), 0);
    conf_set_option(conf, "modules", "broker,uesrs,eventbox");
    conf_finish(conf);
    assert_contains(conf_mistakes(conf), "there is no module uesrs; did you mean users?");
    assert_contains(conf_mistakes(conf), "there is no module eventbox");
    conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry_choose__puts_providers_first),
        cmocka_unit_test(test_registry_choose__names_what_is_missing),
        cmocka_unit_test(test_conf_finish__refuses_modules_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
