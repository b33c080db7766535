/*
 * Requests name partitions in lists, and nothing stops a client from naming one twice. Kafka keeps
 * such lists in maps, so the last entry counts; ListOffsets refuses both. This finds the twins, in
 * time that grows with the list even where a peer has chosen the names.
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/uuid.h>

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

/* Where a row of a request has the key of a topic and its list of partitions; PLACES_LAST() fills
 * it. */
struct places_layout {
    size_t row_bytes, key_offset;
    bool key_is_uuid; /* else a span */
    size_t list_offset, count_offset, element_bytes, partition_offset;
};

/** places_last_of_rows() - places_last() of the entries of @count rows, in their order */
int places_last_of_rows(struct arena *arena, const struct places_layout *layout, const void *rows,
                        int32_t count, uint32_t **ret_last) _must_check_;

/* PLACES_LAST(arena, body->topics, body->topics_count, name, partitions, OFFSET, &last); OFFSET: of
 * the partition's number in an element of the list. */
#define PLACES_LAST(arena, rows, count, key, list, offset, ret_last)                               \
    places_last_of_rows((arena),                                                                   \
                        &(const struct places_layout){                                             \
                            sizeof *(rows),                                                        \
                            offsetof(typeof(*(rows)), key),                                        \
                            _Generic((rows)->key, struct uuid                                      \
                                     : true, struct span                                           \
                                     : false),                                                     \
                            offsetof(typeof(*(rows)), list),                                       \
                            offsetof(typeof(*(rows)), list##_count),                               \
                            sizeof *(rows)->list,                                                  \
                            (offset),                                                              \
                        },                                                                         \
                        (rows), (count), (ret_last))
