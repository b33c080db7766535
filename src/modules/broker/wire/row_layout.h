/*
 * Rows of a request or answer that have a topic, by name or id, and a list of its partitions: where
 * these lie in a row, for what is done with them in many APIs alike.
 */
#pragma once

#include <eventbox/base/span.h>
#include <eventbox/base/uuid.h>

#include <stddef.h>
#include <string.h>

struct row_layout {
    size_t row_bytes, key_offset;
    bool key_is_uuid; /* else a span */
    size_t list_offset, count_offset, element_bytes;
};

/* ROW_LAYOUT(body->topics, name, partitions) */
#define ROW_LAYOUT(rows, key, list)                                                                \
    ((struct row_layout){                                                                          \
        sizeof *(rows),                                                                            \
        offsetof(typeof(*(rows)), key),                                                            \
        _Generic((rows)->key, struct uuid                                                          \
                 : true, struct span                                                               \
                 : false),                                                                         \
        offsetof(typeof(*(rows)), list),                                                           \
        offsetof(typeof(*(rows)), list##_count),                                                   \
        sizeof *(rows)->list,                                                                      \
    })

static inline struct span row_key(const struct row_layout *layout, const uint8_t *row) {
    const void *key = row + layout->key_offset;
    return layout->key_is_uuid ? span_of(key, sizeof(struct uuid)) : *(const struct span *)key;
}

static inline int32_t row_count(const struct row_layout *layout, const uint8_t *row) {
    return *(const int32_t *)(const void *)(row + layout->count_offset);
}
