#include "support.h"

#include "host_internal.h"

#include <sys/stat.h>

struct fixture {
    char root[PATH_SIZE];
    char data[PATH_SIZE + 16];
    struct conf *conf;
    struct host_config config;
};

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->root, sizeof fixture->root, "/tmp/eventbox-test-XXXXXX");
    if (!mkdtemp(fixture->root) || host_conf_new(NULL, 0, &fixture->conf)) {
        return -1;
    }
    snprintf(fixture->data, sizeof fixture->data, "%s/a/data", fixture->root);
    fixture->config.conf = fixture->conf;
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    char command[PATH_SIZE + 16];
    snprintf(command, sizeof command, "rm -rf %s", fixture->root);
    int r = system(command);
    conf_free(fixture->conf);
    free(fixture);
    return r;
}

static struct host open_folder(struct fixture *fixture, int *ret_status) {
    struct host host = {.config = &fixture->config, .lock_fd = -1, .random = random_system()};
    host.settings.data = fixture->data;
    *ret_status = folder_open(&host);
    return host;
}

static void write_meta(struct fixture *fixture, const char *content) {
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/meta.json", fixture->data);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void test_folder_open__makes_a_private_folder_and_keeps_its_id(void **state) {
    struct fixture *fixture = *state;
    struct stat info;
    char id[UUID_BASE64_SIZE];
    int r;
    struct host host = open_folder(fixture, &r);
    assert_int_equal(r, 0);
    assert_int_equal(stat(fixture->data, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(strlen(host.cluster_id), 22);
    assert_true(host.cluster_id[0] != '-');
    memcpy(id, host.cluster_id, sizeof id);
    folder_close(&host);
    host = open_folder(fixture, &r);
    assert_int_equal(r, 0);
    assert_string_equal(host.cluster_id, id);
    folder_close(&host);
}

static void test_folder_open__refuses_a_folder_in_use(void **state) {
    struct fixture *fixture = *state;
    int r;
    struct host first = open_folder(fixture, &r);
    struct host second = open_folder(fixture, &r);
    assert_int_not_equal(r, 0);
    assert_contains(second.failure, "in use by another eventbox (process");
    assert_contains(second.failure, fixture->data);
    folder_close(&second);
    folder_close(&first);
    struct host third = open_folder(fixture, &r);
    assert_int_equal(r, 0);
    folder_close(&third);
}

static void test_folder_open__refuses_what_lies_below_a_file(void **state) {
    struct fixture *fixture = *state;
    int r;
    snprintf(fixture->data, sizeof fixture->data, "%s/file", fixture->root);
    fclose(fopen(fixture->data, "w"));
    strcat(fixture->data, "/data");
    struct host host = open_folder(fixture, &r);
    assert_int_not_equal(r, 0);
    assert_contains(host.failure, fixture->data);
    assert_contains(host.failure, "--data DIR");
    folder_close(&host);
}

static void test_folder_open__refuses_newer_and_damaged_meta(void **state) {
    struct fixture *fixture = *state;
    static const char *const contents[][2] = {
        {"{\"format\":2,\"cluster_id\":\"0123456789012345678901\"}", "format 2"},
        {"{\"format\":1,\"cluster_id\":\"short\"}", "damaged"},
        {"{\"format\":0,\"cluster_id\":\"0123456789012345678901\"}", "damaged"},
        {"{\"form", "damaged"},
        {"", "damaged"},
        {"[]", "damaged"},
    };
    int r;
    struct host host = open_folder(fixture, &r);
    folder_close(&host);
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        write_meta(fixture, contents[i][0]);
        host = open_folder(fixture, &r);
        assert_int_not_equal(r, 0);
        assert_contains(host.failure, contents[i][1]);
        folder_close(&host);
    }
}

static void test_folder_open__refuses_data_whose_meta_is_gone(void **state) {
    struct fixture *fixture = *state;
    static const char *const names[] = {"journal", "checkpoint.1", "eventbox.db"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[PATH_SIZE + 64];
        int r;
        struct host host = open_folder(fixture, &r);
        assert_int_equal(r, 0);
        folder_close(&host);
        snprintf(path, sizeof path, "%s/meta.json", fixture->data);
        assert_int_equal(unlink(path), 0);
        host = open_folder(fixture, &r);
        assert_int_equal(r, 0); /* what is there without data, the reserve, is no reason */
        folder_close(&host);
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof path, "%s/%s", fixture->data, names[i]);
        fclose(fopen(path, "w"));
        host = open_folder(fixture, &r);
        assert_int_not_equal(r, 0);
        assert_contains(host.failure, "meta.json is missing although there is data");
        folder_close(&host);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder_open__makes_a_private_folder_and_keeps_its_id,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_open__refuses_a_folder_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_open__refuses_what_lies_below_a_file, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_folder_open__refuses_data_whose_meta_is_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_folder_open__refuses_newer_and_damaged_meta, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
