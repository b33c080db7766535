/* W3C Trace Context level 1: one trace id is born at a request and is on every line, row and record
 * after it. */
#pragma once

#include <eventbox/base/random.h>
#include <eventbox/base/span.h>

struct trace {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t flags;
};

enum { TRACE_PARENT_SIZE = 56, TRACE_ID_SIZE = 33 };

void trace_new(struct random *random, struct trace *ret_trace);
/** trace_child() - same trace id, new span id */
void trace_child(struct random *random, const struct trace *parent, struct trace *ret_trace);
/** trace_parse() - traceparent header; false on all-zero ids, version ff, wrong form. Higher
 * versions by their first four fields */
bool trace_parse(struct span header, struct trace *ret_trace);
void trace_format(const struct trace *trace, char out[TRACE_PARENT_SIZE]);
/** trace_format_id() - 32 hex digits */
void trace_format_id(const struct trace *trace, char out[TRACE_ID_SIZE]);
bool trace_is_zero(const struct trace *trace);
