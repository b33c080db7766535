/*
 * Kafka puts many an answer together partition by partition, so that a topic that a request names
 * twice has one row. This makes one row of those of a topic, where the first of them stands.
 */
#pragma once

#include "row_layout.h"

#include <eventbox/base/arena.h>

/**
 * merge_rows() - *count rows at @rows become as many as there are keys
 * Return: 0, with the rows that are left at the front; -ENOMEM, with the rows as they were.
 */
int merge_rows(struct arena *arena, const struct row_layout *layout, void *rows,
               int32_t *count) _must_check_;

/* MERGE_ROWS(arena, answer->topics, &answer->topics_count, name, partitions) */
#define MERGE_ROWS(arena, rows, count, key, list)                                                  \
    merge_rows((arena), &ROW_LAYOUT(rows, key, list), (rows), (count))
