#include "merge_rows.h"

#include <eventbox/base/error.h>
#include <eventbox/base/hashmap.h>
#include <eventbox/base/random.h>

#include <errno.h>
#include <string.h>

static void add_count(const struct row_layout *layout, uint8_t *row, int32_t more) {
    *(int32_t *)(void *)(row + layout->count_offset) += more;
}

static uint8_t **list_of(const struct row_layout *layout, uint8_t *row) {
    return (uint8_t **)(void *)(row + layout->list_offset);
}

/* Into firsts[i] the row that row i belongs to, into totals[] what the lists of each have. The keys
 * lie where the rows lie, so nothing may move before the map is done with. */
static int find_firsts(const struct row_layout *layout, uint8_t *rows, int32_t count,
                       uint32_t *firsts, size_t *totals) {
    struct hashmap seen;
    int r = 0;

    hashmap_init(&seen, random_u64(random_system()), random_u64(random_system()));
    for (int32_t i = 0; r == 0 && i < count; i++) {
        uint8_t *row = rows + (size_t)i * layout->row_bytes;
        uint8_t *first = hashmap_find(&seen, row_key(layout, row));

        if (!first) {
            r = hashmap_put(&seen, row_key(layout, row), row, NULL);
            first = row;
        }
        firsts[i] = (uint32_t)((size_t)(first - rows) / layout->row_bytes);
        totals[firsts[i]] += (size_t)row_count(layout, row);
    }
    hashmap_deinit(&seen);
    return r;
}

/* Room for all that a row gets, where that is more than it has. */
static int make_room(struct arena *arena, const struct row_layout *layout, uint8_t *rows,
                     int32_t count, const size_t *totals) {
    for (int32_t i = 0; i < count; i++) {
        uint8_t *row = rows + (size_t)i * layout->row_bytes;
        size_t own = (size_t)row_count(layout, row);
        uint8_t *list;

        if (totals[i] <= own) {
            continue;
        }
        list = arena_alloc(arena, totals[i] * layout->element_bytes);
        if (!list) {
            return err_origin(-ENOMEM);
        }
        if (own > 0) {
            memcpy(list, *list_of(layout, row), own * layout->element_bytes);
        }
        *list_of(layout, row) = list;
    }
    return 0;
}

int merge_rows(struct arena *arena, const struct row_layout *layout, void *rows, int32_t *count) {
    uint32_t *firsts;
    size_t *totals;
    int32_t kept = 0;
    int r;

    if (*count < 2) {
        return 0;
    }
    firsts = arena_alloc(arena, (size_t)*count * sizeof *firsts);
    totals = arena_alloc(arena, (size_t)*count * sizeof *totals);
    if (!firsts || !totals) {
        return err_origin(-ENOMEM);
    }
    r = find_firsts(layout, rows, *count, firsts, totals);
    r = r ? r : make_room(arena, layout, rows, *count, totals);
    if (r) {
        return err_trace(r);
    }
    for (int32_t i = 0; i < *count; i++) {
        uint8_t *row = (uint8_t *)rows + (size_t)i * layout->row_bytes;
        uint8_t *first = (uint8_t *)rows + (size_t)firsts[i] * layout->row_bytes;
        size_t more = (size_t)row_count(layout, row);

        if (first != row && more > 0) {
            memcpy(*list_of(layout, first) +
                       (size_t)row_count(layout, first) * layout->element_bytes,
                   *list_of(layout, row), more * layout->element_bytes);
            add_count(layout, first, (int32_t)more);
        }
    }
    for (int32_t i = 0; i < *count; i++) {
        if (firsts[i] == (uint32_t)i) {
            memmove((uint8_t *)rows + (size_t)kept++ * layout->row_bytes,
                    (uint8_t *)rows + (size_t)i * layout->row_bytes, layout->row_bytes);
        }
    }
    *count = kept;
    return 0;
}
