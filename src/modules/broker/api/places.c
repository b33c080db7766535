#include "places.h"

#include <eventbox/base/error.h>
#include <eventbox/base/random.h>
#include <eventbox/base/siphash.h>

#include <errno.h>
#include <string.h>

enum { PAIRWISE_MAX = 16 }; /* below it, comparing all is cheaper than hashing any */

static bool same(const struct place *a, const struct place *b) {
    return a->partition == b->partition && span_equal(a->topic, b->topic);
}

/* Memory for the answer only when there is one to give. */
static int note(struct arena *arena, uint32_t count, uint32_t from, uint32_t to,
                uint32_t **ret_last) {
    if (!*ret_last) {
        *ret_last = arena_alloc(arena, count * sizeof **ret_last);
        if (!*ret_last) {
            return err_origin(-ENOMEM);
        }
        for (uint32_t i = 0; i < count; i++) {
            (*ret_last)[i] = i;
        }
    }
    (*ret_last)[from] = to;
    return 0;
}

static int compare_pairs(struct arena *arena, const struct place *places, uint32_t count,
                         uint32_t **ret_last) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i + 1 < count; i++) {
        for (uint32_t j = count - 1; j > i; j--) {
            if (same(&places[i], &places[j])) {
                r = note(arena, count, i, j, ret_last);
                break;
            }
        }
    }
    return r;
}

static uint64_t hash_of(const uint8_t key[16], const struct place *place) {
    struct siphash128 hash = siphash128(key, place->topic);

    /* The name is mixed well already; an odd factor spreads the numbers of its partitions. */
    return hash.low ^ ((hash.high | 1) * (uint32_t)place->partition);
}

/* From the back, so that the first entry met is the last one of its name. */
static int compare_hashes(struct arena *arena, const struct place *places, uint32_t count,
                          uint32_t **ret_last) {
    uint8_t key[16];
    size_t capacity = 64;
    uint32_t *slots; /* index + 1; 0: free */
    int r = 0;

    while (capacity < (size_t)count * 2) {
        capacity *= 2;
    }
    slots = arena_alloc(arena, capacity * sizeof *slots);
    if (!slots) {
        return err_origin(-ENOMEM);
    }
    random_fill(random_system(), key, sizeof key);
    for (uint32_t i = count; r == 0 && i-- > 0;) {
        size_t at = hash_of(key, &places[i]) & (capacity - 1);

        while (slots[at] && !same(&places[slots[at] - 1], &places[i])) {
            at = (at + 1) & (capacity - 1);
        }
        if (slots[at]) {
            r = note(arena, count, i, slots[at] - 1, ret_last);
        } else {
            slots[at] = i + 1;
        }
    }
    return r;
}

int places_last(struct arena *arena, const struct place *places, uint32_t count,
                uint32_t **ret_last) {
    *ret_last = NULL;
    return count <= PAIRWISE_MAX ? compare_pairs(arena, places, count, ret_last)
                                 : compare_hashes(arena, places, count, ret_last);
}

static void add_row(const struct row_layout *layout, size_t partition_offset, const uint8_t *row,
                    struct place *places) {
    const uint8_t *list;

    memcpy(&list, row + layout->list_offset, sizeof list);
    for (int32_t i = 0; i < row_count(layout, row); i++) {
        places[i].topic = row_key(layout, row);
        memcpy(&places[i].partition, list + (size_t)i * layout->element_bytes + partition_offset,
               sizeof places[i].partition);
    }
}

int places_last_of_rows(struct arena *arena, const struct row_layout *layout,
                        size_t partition_offset, const void *rows, int32_t count,
                        uint32_t **ret_last) {
    const uint8_t *row = rows;
    struct place *places;
    uint32_t total = 0;

    *ret_last = NULL;
    for (int32_t i = 0; i < count; i++) {
        total += (uint32_t)MAX(row_count(layout, row + (size_t)i * layout->row_bytes), 0);
    }
    if (total < 2) {
        return 0;
    }
    places = arena_alloc(arena, total * sizeof *places);
    if (!places) {
        return err_origin(-ENOMEM);
    }
    total = 0;
    for (int32_t i = 0; i < count; i++, row += layout->row_bytes) {
        add_row(layout, partition_offset, row, places + total);
        total += (uint32_t)MAX(row_count(layout, row), 0);
    }
    return places_last(arena, places, total, ret_last);
}
