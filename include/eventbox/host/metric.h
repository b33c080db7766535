/*
 * Metrics as rows; Prometheus text at /metrics. A module's table and the index enum beside it are
 * one: metrics[USERS_M_CREATED]. Values are plain int64 on the loop; gauges of other layers are
 * read by a collect function when somebody asks.
 */
#pragma once

#include <eventbox/base/defs.h>

enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,       /* of durations */
    METRIC_HISTOGRAM_BYTES, /* of sizes */
};

struct metric_row {
    const char *name; /* "eventbox_users_created_total"; NULL ends a table */
    enum metric_kind kind;
    const char *labels; /* "reason=\"full\"" or NULL; rows of one name stand together */
    const char *doc;    /* with the unit */
};

/* Bucket n of a histogram holds what is up to 2^n units, the one behind them all the rest. */
enum { METRIC_BUCKETS = 24, METRIC_UNIT_NS = 1000, METRIC_UNIT_BYTES = 64 };

struct metric {
    int64_t value;     /* counter, gauge; sum of a histogram, in ns or bytes */
    uint64_t *buckets; /* of a histogram, METRIC_BUCKETS and one beyond; NULL otherwise */
};

/* A histogram of a layer that knows no metrics; metric_set_histogram() copies it into one. */
struct metric_histogram {
    int64_t sum;
    uint64_t buckets[METRIC_BUCKETS + 1];
};

static inline unsigned metric_bucket(int64_t value, int64_t unit) {
    uint64_t units = value > 0 ? ((uint64_t)value + (uint64_t)unit - 1) / (uint64_t)unit : 0;
    unsigned bucket = units <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(units - 1);
    return MIN(bucket, (unsigned)METRIC_BUCKETS);
}
static inline void metric_histogram_ns(struct metric_histogram *histogram, int64_t duration_ns) {
    histogram->sum += duration_ns;
    histogram->buckets[metric_bucket(duration_ns, METRIC_UNIT_NS)]++;
}
static inline void metric_histogram_bytes(struct metric_histogram *histogram, int64_t bytes) {
    histogram->sum += bytes;
    histogram->buckets[metric_bucket(bytes, METRIC_UNIT_BYTES)]++;
}
static inline void metric_set_histogram(struct metric *metric,
                                        const struct metric_histogram *histogram) {
    metric->value = histogram->sum;
    for (unsigned i = 0; metric->buckets && i <= METRIC_BUCKETS; i++) {
        metric->buckets[i] = histogram->buckets[i];
    }
}

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
