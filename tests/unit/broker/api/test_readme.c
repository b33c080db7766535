/*
 * The tables of the READMEs are what is dispatched, what topics and the broker can be configured
 * with, and what is counted. With --write they are put there: scripts/tables does so.
 */
#include "api_private.h"
#include "broker.h"
#include "broker_config.h"
#include "coordinator.h"

#include <eventbox/base/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char **readme_paths;
static int readme_count;

static void read_file(const char *path, struct text *ret_text) {
    char block[4096];
    size_t size;
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text_init(ret_text);
    while ((size = fread(block, 1, sizeof block, file)) > 0) {
        text_append(ret_text, block, size);
    }
    text_append_char(ret_text, 0);
    fclose(file);
}

static int compare_rows(const void *a, const void *b) {
    const struct kafka_handler *const *x = a;
    const struct kafka_handler *const *y = b;

    return (*x)->key - (*y)->key;
}

static void print_apis(struct text *out) {
    struct kafka_handlers tables[] = {{broker_handlers, broker_handlers_count, NULL},
                                      coordinator_handlers(NULL)};
    const struct kafka_handler *rows[API_KEYS_MAX];
    size_t count = 0;

    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        for (size_t i = 0; i < tables[t].count; i++) {
            rows[count++] = &tables[t].rows[i];
        }
    }
    qsort(rows, count, sizeof rows[0], compare_rows);
    text_append_str(out, "| key | API | versions | remark |\n|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        const char *remark = rows[i]->remark;

        text_printf(out, "| %d | %s | %d", rows[i]->key, kafka_api_find(rows[i]->key)->name,
                    rows[i]->version_first);
        if (rows[i]->version_last != rows[i]->version_first) {
            text_printf(out, "–%d", rows[i]->version_last);
        }
        text_printf(out, " |%s%s |\n", remark ? " " : "", remark ? remark : "");
    }
}

static void print_configs(struct text *out) {
    text_append_str(out, "| config of a topic | default | what it does here |\n|---|---|---|\n");
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const struct topic_config_def *def = &topic_config_defs[key];

        text_printf(out, "| `%s` | %s | %s |\n", def->name,
                    def->default_text[0] && !def->internal ? def->default_text : "none",
                    def->acts ? def->acts : "without effect");
    }
}

/* A config of the broker as the README tells it. */
struct broker_row {
    const char *name, *value, *changes, *what; /* what: NULL without effect */
};

enum { BROKER_ROWS_MAX = 400 };

/* Those of the tables: what changes nothing and cannot be changed is not told. */
static size_t tabled_rows(struct broker_row *rows) {
    const struct broker_config_def *def;
    size_t count = 0;

    for (size_t i = 0; (def = broker_config_at(i)); i++) {
        if (def->kept || !def->idle) {
            rows[count++] =
                (struct broker_row){def->name, def->default_text, def->kept ? "yes" : "no",
                                    def->kept ? NULL : def->documentation};
        }
    }
    return count;
}

/* Those that topics fall back to, and rates that are shown once they are set. */
static size_t other_rows(struct broker_row *rows) {
    static const char *const rates[] = {"leader.replication.throttled.rate",
                                        "follower.replication.throttled.rate",
                                        "replica.alter.log.dirs.io.max.bytes.per.second"};
    struct topic_config_def def;
    size_t count = 0;

    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const struct topic_config_def *topic = &topic_config_defs[key];

        if (topic->broker_name) {
            rows[count++] = (struct broker_row){topic->broker_name, topic->default_text, "yes",
                                                topic->acts ? topic->name : NULL};
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        assert_true(broker_config_kept(span_text(rates[i]), &def));
        rows[count++] = (struct broker_row){rates[i], NULL, "yes", NULL};
    }
    return count;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct broker_row *)a)->name, ((const struct broker_row *)b)->name);
}

static void print_what(struct text *out, const struct broker_row *row) {
    enum topic_config_key key =
        row->what ? topic_config_find(span_text(row->what)) : TOPIC_CONFIG_COUNT;

    if (key != TOPIC_CONFIG_COUNT) {
        text_printf(out, "of topics without `%s`: %s", row->what, topic_config_defs[key].acts);
    } else {
        text_append_str(out, row->what ? row->what : "without effect");
    }
}

/* That the column "changes" is true: what requests may set. */
static void check_changes(const struct broker_row *row) {
    struct topic_config_def def;

    assert_int_equal(broker_config_kept(span_text(row->name), &def),
                     strcmp(row->changes, "yes") == 0);
}

static void print_broker_rows(struct text *out, bool acting) {
    struct broker_row rows[BROKER_ROWS_MAX];
    size_t count = tabled_rows(rows);

    count += other_rows(rows + count);
    qsort(rows, count, sizeof rows[0], compare_names);
    text_append_str(out, "| config of the broker | default | changes while it runs | what it does "
                         "here |\n|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(rows[i].name, rows[i - 1].name) == 0) {
            continue; /* two configs of topics fall back to it */
        }
        check_changes(&rows[i]);
        if (acting && (!rows[i].what || strcmp(rows[i].changes, "yes") != 0)) {
            continue;
        }
        text_printf(out, "| `%s` | %s | %s | ", rows[i].name,
                    rows[i].value && rows[i].value[0] ? rows[i].value : "none", rows[i].changes);
        print_what(out, &rows[i]);
        text_append_str(out, " |\n");
    }
}

static void print_broker_configs(struct text *out) {
    print_broker_rows(out, false);
}

/* Those alone that can be changed, and act. */
static void print_acting_configs(struct text *out) {
    print_broker_rows(out, true);
}

static void print_metrics(struct text *out) {
    static const char *const kinds[] = {"counter", "gauge", "histogram, s", "histogram, bytes"};

    text_append_str(out, "| metric | kind | what |\n|---|---|---|\n");
    for (const struct metric_row *row = broker_metric_rows; row->name; row++) {
        text_printf(out, "| `%s%s%s%s` | %s | %s |\n", row->name, row->labels ? "{" : "",
                    row->labels ? row->labels : "", row->labels ? "}" : "", kinds[row->kind],
                    row->doc);
    }
}

static const struct {
    const char *begin, *end;
    void (*print)(struct text *out);
} sections[] = {
    {"<!-- apis: written by scripts/tables -->\n", "<!-- end of apis -->", print_apis},
    {"<!-- configs: written by scripts/tables -->\n", "<!-- end of configs -->", print_configs},
    {"<!-- broker configs: written by scripts/tables -->\n", "<!-- end of broker configs -->",
     print_broker_configs},
    {"<!-- acting broker configs: written by scripts/tables -->\n",
     "<!-- end of acting broker configs -->", print_acting_configs},
    {"<!-- metrics: written by scripts/tables -->\n", "<!-- end of metrics -->", print_metrics},
};

/* The README with its tables as they should be; whether there was a place for any. */
static bool renew(const char *text, struct text *out) {
    bool any = false;

    text_init(out);
    while (*text) {
        bool copied = false;

        for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
            size_t size = strlen(sections[i].begin);

            if (strncmp(text, sections[i].begin, size) == 0) {
                const char *end = strstr(text, sections[i].end);

                assert_non_null(end);
                text_append(out, text, size);
                sections[i].print(out);
                text = end;
                copied = any = true;
            }
        }
        if (!copied) {
            text_append_char(out, *text++);
        }
    }
    return any;
}

static void test_readme__lists_what_is_served_and_what_acts(void **state) {
    for (int i = 0; i < readme_count; i++) {
        struct text now;
        struct text expected;

        read_file(readme_paths[i], &now);
        if (!renew((const char *)now.data, &expected)) {
            fail_msg("%s has no table", readme_paths[i]);
        }
        if (expected.size != now.size - 1 || memcmp(expected.data, now.data, expected.size) != 0) {
            fail_msg("the tables of %s are not those of the code: run scripts/tables",
                     readme_paths[i]);
        }
        text_deinit(&expected);
        text_deinit(&now);
    }
}

static int write_files(void) {
    for (int i = 0; i < readme_count; i++) {
        struct text now;
        struct text renewed;
        FILE *file;

        read_file(readme_paths[i], &now);
        renew((const char *)now.data, &renewed);
        file = fopen(readme_paths[i], "w");
        if (!file || fwrite(renewed.data, 1, renewed.size, file) != renewed.size ||
            fclose(file) != 0) {
            perror(readme_paths[i]);
            return 1;
        }
        text_deinit(&renewed);
        text_deinit(&now);
    }
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readme__lists_what_is_served_and_what_acts)};
    bool write = argc > 1 && strcmp(argv[1], "--write") == 0;

    if (argc < 2 + write) {
        fprintf(stderr, "usage: %s [--write] README...\n", argv[0]);
        return 2;
    }
    readme_paths = argv + 1 + write;
    readme_count = argc - 1 - write;
    return write ? write_files() : cmocka_run_group_tests(tests, NULL, NULL);
}
