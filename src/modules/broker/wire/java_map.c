#include "java_map.h"

#include "java_text.h"

#include <stdlib.h>

enum { PLACES_LEAST = 16 };

uint32_t java_map_place(struct span name, int32_t count) {
    uint32_t hash = java_text_hash(name);
    uint32_t places = PLACES_LEAST;

    while ((uint32_t)count > places / 4 * 3) {
        places *= 2;
    }
    return (hash ^ hash >> 16) & (places - 1);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void java_map_sort(uint64_t *entries, int32_t count) {
    if (count > 1) {
        qsort(entries, (size_t)count, sizeof *entries, compare);
    }
}

uint64_t *java_map_order(struct arena *arena, const struct span *first, size_t stride,
                         int32_t count, int32_t others) {
    uint64_t *order = arena_alloc(arena, ((size_t)count + 1) * sizeof *order);

    for (int32_t i = 0; order && i < count; i++) {
        const struct span *name = (const void *)((const uint8_t *)first + (size_t)i * stride);

        order[i] = (uint64_t)java_map_place(*name, count + others) << 32 | (uint32_t)i;
    }
    if (order) {
        java_map_sort(order, count);
    }
    return order;
}
