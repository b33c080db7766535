/* Metrics: values beside rows, and the Prometheus text made of them. */
#include "metric_internal.h"

#include <errno.h>
#include <eventbox/base/clock.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKET_COUNT = METRIC_BUCKETS + 1 };

void metric_observe_ns(struct metric *metric, int64_t duration_ns) {
    metric->value += duration_ns;
    if (metric->buckets) {
        metric->buckets[metric_bucket(duration_ns, METRIC_UNIT_NS)]++;
    }
}

static bool is_histogram(const struct metric_row *row) {
    return row->kind == METRIC_HISTOGRAM || row->kind == METRIC_HISTOGRAM_BYTES;
}

void metric_registry_init(struct metric_registry *registry) {
    list_init(&registry->sets);
}

int metric_set_init(struct metric_set *set, struct metric_registry *registry,
                    const struct metric_row *rows, const char *labels) {
    size_t count = 0, histograms = 0;
    for (const struct metric_row *row = rows; row && row->name; row++) {
        count++;
        histograms += is_histogram(row);
    }
    set->rows = rows;
    set->labels = labels;
    /* One block: the values, then the buckets of the histograms among them. */
    size_t values_size = (count + 1) * sizeof *set->metrics;
    set->metrics = calloc(1, values_size + histograms * BUCKET_COUNT * sizeof(uint64_t));
    if (!set->metrics) {
        return -ENOMEM;
    }
    uint64_t *buckets = (uint64_t *)(void *)((char *)set->metrics + values_size);
    for (size_t i = 0; i < count; i++) {
        if (is_histogram(&rows[i])) {
            set->metrics[i].buckets = buckets;
            buckets += BUCKET_COUNT;
        }
    }
    list_push_back(&registry->sets, &set->link);
    return 0;
}

void metric_set_deinit(struct metric_set *set) {
    list_remove(&set->link);
    free(set->metrics);
    set->metrics = NULL;
}

/* ---- text ---- */

/* "{a="1",b="2",le="0.5"}" of the parts that are there. */
static void print_labels(struct text *out, const char *a, const char *b, const char *le) {
    const char *parts[] = {a, b};
    bool open = false;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (parts[i] && parts[i][0]) {
            text_append_char(out, open ? ',' : '{');
            text_append_str(out, parts[i]);
            open = true;
        }
    }
    if (le) {
        text_printf(out, "%cle=\"%s\"", open ? ',' : '{', le);
        open = true;
    }
    if (open) {
        text_append_char(out, '}');
    }
}

static void print_histogram(struct text *out, const struct metric_set *set,
                            const struct metric_row *row, const struct metric *metric) {
    bool sizes = row->kind == METRIC_HISTOGRAM_BYTES;
    uint64_t total = 0;
    for (int i = 0; i < BUCKET_COUNT; i++) {
        char le[32];
        uint64_t units = UINT64_C(1) << i;
        if (sizes) {
            snprintf(le, sizeof le, "%" PRIu64, units * METRIC_UNIT_BYTES);
        } else {
            snprintf(le, sizeof le, "%.9g", (double)units * METRIC_UNIT_NS / NS_PER_SEC);
        }
        total += metric->buckets[i];
        text_printf(out, "%s_bucket", row->name);
        print_labels(out, set->labels, row->labels, i < METRIC_BUCKETS ? le : "+Inf");
        text_printf(out, " %llu\n", (unsigned long long)total);
    }
    text_printf(out, "%s_sum", row->name);
    print_labels(out, set->labels, row->labels, NULL);
    if (sizes) {
        text_printf(out, " %" PRId64 "\n%s_count", metric->value, row->name);
    } else {
        text_printf(out, " %.9f\n%s_count", (double)metric->value / NS_PER_SEC, row->name);
    }
    print_labels(out, set->labels, row->labels, NULL);
    text_printf(out, " %llu\n", (unsigned long long)total);
}

static void print_row(struct text *out, const struct metric_set *set, size_t index) {
    const struct metric_row *row = &set->rows[index];
    const struct metric *metric = &set->metrics[index];
    if (is_histogram(row)) {
        print_histogram(out, set, row, metric);
        return;
    }
    text_append_str(out, row->name);
    print_labels(out, set->labels, row->labels, NULL);
    text_append_char(out, ' ');
    text_append_int(out, metric->value);
    text_append_char(out, '\n');
}

/* Whether a row of this name stands before (@set, @index): its family is printed already. */
static bool is_printed(const struct metric_registry *registry, const struct metric_set *set,
                       size_t index) {
    list_for_each(link, &registry->sets) {
        const struct metric_set *other = list_entry(link, struct metric_set, link);
        for (size_t i = 0; other->rows && other->rows[i].name; i++) {
            if (other == set && i == index) {
                return false;
            }
            if (strcmp(other->rows[i].name, set->rows[index].name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* All rows of one name, over all sets: the format wants a family in one piece. */
static void print_family(const struct metric_registry *registry, const struct metric_row *first,
                         struct text *out) {
    static const char *const kinds[] = {"counter", "gauge", "histogram", "histogram"};
    text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", first->name, first->doc ? first->doc : "",
                first->name, kinds[first->kind]);
    list_for_each(link, &registry->sets) {
        const struct metric_set *set = list_entry(link, struct metric_set, link);
        for (size_t i = 0; set->rows && set->rows[i].name; i++) {
            if (strcmp(set->rows[i].name, first->name) == 0) {
                print_row(out, set, i);
            }
        }
    }
}

void metric_registry_print(const struct metric_registry *registry, struct text *out) {
    list_for_each(link, &registry->sets) {
        const struct metric_set *set = list_entry(link, struct metric_set, link);
        if (set->collect) {
            set->collect(set->userdata);
        }
    }
    list_for_each(link, &registry->sets) {
        const struct metric_set *set = list_entry(link, struct metric_set, link);
        for (size_t i = 0; set->rows && set->rows[i].name; i++) {
            if (!is_printed(registry, set, i)) {
                print_family(registry, &set->rows[i], out);
            }
        }
    }
}
