/*
 * The order of Java's hash maps. Of several faults in one request Kafka tells the one that it meets
 * first, and what it goes through is often such a map: its order is part of the answer.
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/span.h>

/** java_map_place() - where Java's hash map of @count names has @name */
uint32_t java_map_place(struct span name, int32_t count);

/**
 * java_map_order() - in which order Java goes through a map of @count names
 * @first: the first name; the rest follow @stride bytes apart
 * @others: names that are in the map besides
 *
 * Return: the indexes, each in the lower half of an entry, in @arena; NULL without memory. Names of
 * one place stay in their order.
 */
uint64_t *java_map_order(struct arena *arena, const struct span *first, size_t stride,
                         int32_t count, int32_t others);

/** java_map_sort() - entries of a rank in the upper half and an index in the lower, in order */
void java_map_sort(uint64_t *entries, int32_t count);
