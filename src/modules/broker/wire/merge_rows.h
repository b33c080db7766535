/*
 * Kafka puts many an answer together partition by partition, so that a topic that a request names
 * twice has one row. This makes one row of those of a topic, where the first of them stands.
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/uuid.h>

/* Where a row has its key and its list; MERGE_ROWS() fills it. */
struct merge_layout {
    size_t row_bytes, key_offset;
    bool key_is_uuid; /* else a span */
    size_t list_offset, count_offset, element_bytes;
};

/**
 * merge_rows() - *count rows at @rows become as many as there are keys
 * Return: 0, with the rows that are left at the front; -ENOMEM, with the rows as they were.
 */
int merge_rows(struct arena *arena, const struct merge_layout *layout, void *rows,
               int32_t *count) _must_check_;

/* MERGE_ROWS(arena, answer->topics, &answer->topics_count, name, partitions) */
#define MERGE_ROWS(arena, rows, count, key, list)                                                  \
    merge_rows((arena),                                                                            \
               &(const struct merge_layout){                                                       \
                   sizeof *(rows),                                                                 \
                   offsetof(typeof(*(rows)), key),                                                 \
                   _Generic((rows)->key, struct uuid                                               \
                            : true, struct span                                                    \
                            : false),                                                              \
                   offsetof(typeof(*(rows)), list),                                                \
                   offsetof(typeof(*(rows)), list##_count),                                        \
                   sizeof *(rows)->list,                                                           \
               },                                                                                  \
               (rows), (count))
