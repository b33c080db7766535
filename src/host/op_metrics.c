/*
 * The set has rows for all operations that fit from its beginning, with their buckets; the row of
 * zeros that ends a table moves on by one when another operation is met. The last row but that is
 * "other".
 *
 * Names are literals of tables, so a pair of pointers finds its row without a look at the text; two
 * pairs with the same text (a step table used under equal names) share a row, since a family may
 * not have two lines with the same labels.
 */
#include "op_metrics.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <eventbox/loop/op.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEN_SLOTS = 512, LABELS_SIZE = 112, NAME_MAX_SHOWN = 40 };

struct seen {
    const char *op, *step; /* NULL: free */
    unsigned row;
};

struct op_metrics {
    struct metric_set set;
    struct metric_row rows[OP_METRICS_MAX + 2];
    char labels[OP_METRICS_MAX + 1][LABELS_SIZE];
    unsigned row_count;
    unsigned seen_count;
    struct seen seen[SEEN_SLOTS]; /* open addressing; filled to a half */
};

static struct op_metrics *observing;

static unsigned add_row(struct op_metrics *metrics, const char *labels) {
    unsigned row = metrics->row_count++;
    memcpy(metrics->labels[row], labels, LABELS_SIZE);
    metrics->rows[row].name = "eventbox_op_step_seconds";
    return row;
}

static unsigned row_of(struct op_metrics *metrics, const char *op, const char *step) {
    char labels[LABELS_SIZE];
    snprintf(labels, sizeof labels, "op=\"%.*s\",step=\"%.*s\"", NAME_MAX_SHOWN, op, NAME_MAX_SHOWN,
             step);
    for (unsigned i = 0; i < metrics->row_count; i++) {
        if (strcmp(metrics->labels[i], labels) == 0) {
            return i;
        }
    }
    if (metrics->row_count < OP_METRICS_MAX) {
        return add_row(metrics, labels);
    }
    if (metrics->row_count == OP_METRICS_MAX) {
        memset(labels, 0, sizeof labels);
        snprintf(labels, sizeof labels, "op=\"other\",step=\"other\"");
        return add_row(metrics, labels);
    }
    return OP_METRICS_MAX;
}

static unsigned find_row(struct op_metrics *metrics, const char *op, const char *step) {
    uintptr_t hash = ((uintptr_t)op * 31 + (uintptr_t)step) * UINT64_C(0x9E3779B97F4A7C15);
    size_t slot = (hash >> 32) % SEEN_SLOTS;
    for (; metrics->seen[slot].op; slot = (slot + 1) % SEEN_SLOTS) {
        const struct seen *seen = &metrics->seen[slot];
        if (seen->op == op && seen->step == step) {
            return seen->row;
        }
    }
    unsigned row = row_of(metrics, op, step);
    if (metrics->seen_count < SEEN_SLOTS / 2) {
        metrics->seen[slot] = (struct seen){op, step, row};
        metrics->seen_count++;
    }
    return row;
}

static void observe(const struct op *op, const char *step, int64_t duration_ns, int result) {
    unsigned row = find_row(observing, op->name, step);
    metric_observe_ns(&observing->set.metrics[row], duration_ns);
}

int op_metrics_new(struct metric_registry *registry, struct op_metrics **ret_metrics) {
    struct op_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics) {
        return err_origin(-ENOMEM);
    }
    for (unsigned i = 0; i <= OP_METRICS_MAX; i++) {
        metrics->rows[i] = (struct metric_row){"", METRIC_HISTOGRAM, metrics->labels[i],
                                               "Steps of operations, by their duration."};
    }
    int r = metric_set_init(&metrics->set, registry, metrics->rows, NULL);
    if (r) {
        free(metrics);
        return err_trace(r);
    }
    for (unsigned i = 0; i <= OP_METRICS_MAX; i++) {
        metrics->rows[i].name = NULL; /* until it is met */
    }
    observing = metrics;
    op_set_observer(observe);
    *ret_metrics = metrics;
    return 0;
}

void op_metrics_free(struct op_metrics *metrics) {
    if (!metrics) {
        return;
    }
    op_set_observer(NULL);
    observing = NULL;
    metric_set_deinit(&metrics->set);
    free(metrics);
}
