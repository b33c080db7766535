/*
 * Requests name partitions in lists, and nothing stops a client from naming one twice. Kafka keeps
 * such lists in maps, so the last entry counts; ListOffsets refuses both. This finds the twins, in
 * time that grows with the list even where a peer has chosen the names.
 */
#pragma once

#include "row_layout.h"

#include <eventbox/base/arena.h>

struct place {
    struct span topic; /* name, or the bytes of its id */
    int32_t partition;
};

/**
 * places_last() - for each of @count entries the index of the last one that names the same
 * @ret_last: @count indexes in memory of @arena; NULL when no two are the same
 * Return: 0 or -ENOMEM.
 */
int places_last(struct arena *arena, const struct place *places, uint32_t count,
                uint32_t **ret_last) _must_check_;

/**
 * places_last_of_rows() - places_last() of the entries of @count rows, in their order
 * @partition_offset: of the partition's number in an element of a row's list
 */
int places_last_of_rows(struct arena *arena, const struct row_layout *layout,
                        size_t partition_offset, const void *rows, int32_t count,
                        uint32_t **ret_last) _must_check_;

/* PLACES_LAST(arena, body->topics, body->topics_count, name, partitions, OFFSET, &last); OFFSET: of
 * the partition's number in an element of the list. */
#define PLACES_LAST(arena, rows, count, key, list, offset, ret_last)                               \
    places_last_of_rows((arena), &ROW_LAYOUT(rows, key, list), (offset), (rows), (count),          \
                        (ret_last))
