/*
 * Open-addressing hash map from bytes to a pointer. Keys are borrowed and must live, unchanged, as
 * long as their entry: keep them inside the value. Hashes are seeded (SipHash-1-3), since peers
 * choose names.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

struct hashmap_slot;

struct hashmap {
    struct hashmap_slot *slots; /* NULL while empty */
    size_t capacity;            /* power of two */
    size_t count;
    size_t tombstones;
    uint64_t seed[2];
};

void hashmap_init(struct hashmap *map, uint64_t seed0, uint64_t seed1);
void hashmap_deinit(struct hashmap *map); /* the values stay the owner's */

/** hashmap_put() - insert or replace; *ret_old (may be NULL) is the value replaced. Return 0 or
 * -ENOMEM */
int hashmap_put(struct hashmap *map, struct span key, void *value, void **ret_old) _must_check_;
/** hashmap_find() - NULL when absent */
void *hashmap_find(const struct hashmap *map, struct span key);
/** hashmap_remove() - the value removed, NULL when absent */
void *hashmap_remove(struct hashmap *map, struct span key);
/**
 * hashmap_next() - iteration; start with *position = 0; NULL at the end. Values are not NULL.
 * Removing any entry meanwhile is allowed, putting is not.
 */
void *hashmap_next(const struct hashmap *map, size_t *position);
