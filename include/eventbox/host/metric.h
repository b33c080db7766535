/*
 * Metrics as rows; Prometheus text at /metrics. A module's table and the index enum beside it are
 * one: metrics[USERS_M_CREATED]. Values are plain int64 on the loop; gauges of other layers are
 * read by a collect function when somebody asks.
 */
#pragma once

#include <eventbox/base/defs.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_row {
    const char *name; /* "eventbox_users_created_total"; NULL ends a table */
    enum metric_kind kind;
    const char *labels; /* "reason=\"full\"" or NULL; rows of one name stand together */
    const char *doc;    /* with the unit */
};

enum { METRIC_BUCKETS = 24 };

struct metric {
    int64_t value;     /* counter, gauge; sum of a histogram in ns */
    uint64_t *buckets; /* histogram of durations: 1 µs * 2^n, METRIC_BUCKETS and one beyond; NULL
                          otherwise */
};

static inline void metric_add(struct metric *metric, int64_t value) {
    metric->value += value;
}
static inline void metric_inc(struct metric *metric) {
    metric->value++;
}
static inline void metric_set(struct metric *metric, int64_t value) {
    metric->value = value;
}
/** metric_observe_ns() - one duration into a histogram */
void metric_observe_ns(struct metric *metric, int64_t duration_ns);
