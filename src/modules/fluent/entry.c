#include "entry.h"

#include "unpack.h"

enum { EVENT_TIME_BYTES = 8 };

/* `details` is the one map inside a record, and holds scalars. */
static bool skip_details(struct unpack *in) {
    size_t members = 0;
    struct span name;
    if (unpack_map(in, &members) != 0) {
        return false;
    }
    for (size_t i = 0; i < members; i++) {
        if (unpack_str(in, &name) != 0 || unpack_skip(in) != 0) {
            return false;
        }
    }
    return true;
}

static enum log_level level_of(struct span name) {
    for (int level = LOG_LEVEL_TRACE; level < LOG_LEVEL_FATAL; level++) {
        if (span_equal(name, span_text(log_level_name((enum log_level)level)))) {
            return (enum log_level)level;
        }
    }
    return LOG_LEVEL_FATAL;
}

static bool read_member(struct unpack *in, struct fluent_entry *entry) {
    struct span name, level;
    if (unpack_str(in, &name) != 0) {
        return false;
    }
    if (span_equal(name, SPAN_LITERAL("details"))) {
        return skip_details(in);
    }
    if (span_equal(name, SPAN_LITERAL("service"))) {
        return unpack_str(in, &entry->service) == 0;
    }
    if (span_equal(name, SPAN_LITERAL("action"))) {
        return unpack_str(in, &entry->action) == 0;
    }
    if (!span_equal(name, SPAN_LITERAL("level"))) {
        return unpack_skip(in) == 0;
    }
    if (unpack_str(in, &level) != 0) {
        return false;
    }
    entry->level = level_of(level);
    return true;
}

bool fluent_entry_read(struct span bytes, struct fluent_entry *ret_entry) {
    static const uint8_t begin[] = {0x92, 0xd7, 0x00}; /* array of 2, fixext 8 of type 0 */
    struct unpack in = {bytes.data, bytes.size, SIZE_MAX, SIZE_MAX};
    struct fluent_entry entry = {.level = LOG_LEVEL_FATAL};
    const uint8_t *head = NULL;
    size_t members = 0;

    if (unpack_bytes(&in, sizeof begin + EVENT_TIME_BYTES, &head) != 0 ||
        memcmp(head, begin, sizeof begin) != 0 || unpack_map(&in, &members) != 0) {
        return false;
    }
    for (size_t i = 0; i < members; i++) {
        if (!read_member(&in, &entry)) {
            return false;
        }
    }
    entry.size = bytes.size - in.left;
    *ret_entry = entry;
    return true;
}
