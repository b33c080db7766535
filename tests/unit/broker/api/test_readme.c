/* The table of APIs in the module's README is what is dispatched and advertised. */
#include "api_private.h"
#include "coordinator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *readme_path;

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 65536);

    assert_non_null(file);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

static unsigned count_rows(const char *text) {
    unsigned count = 0;

    for (const char *at = strstr(text, "| key | API |"); at && *at == '|';
         at = strchr(at, '\n') + 1) {
        count++;
    }
    return count - 2; /* head and rule */
}

static void test_readme__lists_what_is_served(void **state) {
    struct kafka_handlers tables[] = {{broker_handlers, broker_handlers_count, NULL},
                                      coordinator_handlers(NULL)};
    char *text = read_file(readme_path);
    unsigned count = 0;

    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        for (size_t i = 0; i < tables[t].count; i++) {
            const struct kafka_handler *row = &tables[t].rows[i];
            char expected[100];

            if (row->version_first == row->version_last) {
                snprintf(expected, sizeof expected, "| %d | %s | %d |", row->key,
                         kafka_api_find(row->key)->name, row->version_first);
            } else {
                snprintf(expected, sizeof expected, "| %d | %s | %d–%d |", row->key,
                         kafka_api_find(row->key)->name, row->version_first, row->version_last);
            }
            if (!strstr(text, expected)) {
                fail_msg("README lacks: %s", expected);
            }
            count++;
        }
    }
    assert_int_equal(count_rows(text), count);
    free(text);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_readme__lists_what_is_served)};

    if (argc < 2) {
        fprintf(stderr, "usage: %s README\n", argv[0]);
        return 2;
    }
    readme_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
