/*
 * How long each step of each operation takes, as one histogram a step. Operations and steps become
 * known as they run; OP_METRICS_MAX of them have a row of their own, which bounds what /metrics
 * prints, and whatever comes later shares one. Thread: loop; one of them in a process.
 */
#pragma once

#include "metric_internal.h"

struct loop;
struct op_metrics;

enum { OP_METRICS_MAX = 160 };

/** op_metrics_new() - enter the set into @registry and observe operations. 0 or -ENOMEM */
int op_metrics_new(struct metric_registry *registry, struct op_metrics **ret_metrics);
void op_metrics_free(struct op_metrics *metrics); /* accepts NULL */
