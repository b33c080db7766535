/* Metrics, inside the host: sets of rows with their values, and their text. Thread: loop. */
#pragma once

#include <eventbox/base/list.h>
#include <eventbox/base/text.h>
#include <eventbox/host/metric.h>

/* The metrics of one owner. */
struct metric_set {
    struct list link;
    const struct metric_row *rows;
    struct metric *metrics;
    const char *labels; /* added to each row's: "service=\"user-service\""; NULL: none; borrowed */
    void (*collect)(void *userdata); /* brings gauges up to date; NULL: none */
    void *userdata;
};

struct metric_registry {
    struct list sets;
};

void metric_registry_init(struct metric_registry *registry);
/** metric_set_init() - values for @rows (may be NULL), all zero, entered into @registry. Return 0
 * or -ENOMEM */
int metric_set_init(struct metric_set *set, struct metric_registry *registry,
                    const struct metric_row *rows, const char *labels);
void metric_set_deinit(struct metric_set *set); /* accepts a zeroed one */
/** metric_registry_print() - Prometheus text format 0.0.4 of everything, after collecting */
void metric_registry_print(const struct metric_registry *registry, struct text *out);
