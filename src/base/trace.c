#include <eventbox/base/crypto.h>
#include <eventbox/base/trace.h>

/* version "-" trace id "-" span id "-" flags */
enum { AT_TRACE_ID = 3, AT_SPAN_ID = 36, AT_FLAGS = 53, PARENT_LENGTH = 55 };
enum { FLAG_SAMPLED = 1 };

static bool all_zero(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void fill_nonzero(struct random *random, uint8_t *bytes, size_t size) {
    do {
        random_fill(random, bytes, size);
    } while (all_zero(bytes, size));
}

void trace_new(struct random *random, struct trace *ret_trace) {
    fill_nonzero(random, ret_trace->trace_id, sizeof ret_trace->trace_id);
    fill_nonzero(random, ret_trace->span_id, sizeof ret_trace->span_id);
    ret_trace->flags = FLAG_SAMPLED;
}

void trace_child(struct random *random, const struct trace *parent, struct trace *ret_trace) {
    *ret_trace = *parent;
    fill_nonzero(random, ret_trace->span_id, sizeof ret_trace->span_id);
}

bool trace_parse(struct span header, struct trace *ret_trace) {
    const char *text = header.data;
    struct trace trace;
    uint8_t version;

    if (header.size < PARENT_LENGTH || !hex_decode(span_of(text, 2), &version, 1) ||
        version == 0xff) {
        return false;
    }
    if (header.size > PARENT_LENGTH && (version == 0 || text[PARENT_LENGTH] != '-')) {
        return false;
    }
    for (size_t i = 0; i < PARENT_LENGTH; i++) {
        bool hyphen = i == AT_TRACE_ID - 1 || i == AT_SPAN_ID - 1 || i == AT_FLAGS - 1;
        if (hyphen ? text[i] != '-' : text[i] >= 'A' && text[i] <= 'F') {
            return false; /* only lower-case digits are allowed */
        }
    }
    if (!hex_decode(span_of(text + AT_TRACE_ID, 32), trace.trace_id, sizeof trace.trace_id) ||
        !hex_decode(span_of(text + AT_SPAN_ID, 16), trace.span_id, sizeof trace.span_id) ||
        !hex_decode(span_of(text + AT_FLAGS, 2), &trace.flags, 1)) {
        return false;
    }
    if (all_zero(trace.trace_id, sizeof trace.trace_id) ||
        all_zero(trace.span_id, sizeof trace.span_id)) {
        return false;
    }
    *ret_trace = trace;
    return true;
}

void trace_format(const struct trace *trace, char out[TRACE_PARENT_SIZE]) {
    memcpy(out, "00-", 3);
    hex_encode(trace->trace_id, sizeof trace->trace_id, out + AT_TRACE_ID);
    out[AT_SPAN_ID - 1] = '-';
    hex_encode(trace->span_id, sizeof trace->span_id, out + AT_SPAN_ID);
    out[AT_FLAGS - 1] = '-';
    hex_encode(&trace->flags, 1, out + AT_FLAGS);
}

void trace_format_id(const struct trace *trace, char out[TRACE_ID_SIZE]) {
    hex_encode(trace->trace_id, sizeof trace->trace_id, out);
}

bool trace_is_zero(const struct trace *trace) {
    return all_zero(trace->trace_id, sizeof trace->trace_id);
}
