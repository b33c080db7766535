/*
 * Linear probing over a power of two of slots. A slot's hash tells its state: HASH_EMPTY ends a
 * search, HASH_TOMBSTONE (removed) does not. Slots in use and tombstones together stay under 3/4,
 * so that every search meets an empty slot.
 */
#include <errno.h>
#include <eventbox/base/hashmap.h>
#include <eventbox/base/siphash.h>
#include <stdlib.h>

enum { HASH_EMPTY = 0, HASH_TOMBSTONE = 1, HASH_FIRST = 2 };
enum { CAPACITY_FIRST = 8 };

struct hashmap_slot {
    uint64_t hash;
    struct span key;
    void *value;
};

static uint64_t hash_key(const struct hashmap *map, struct span key) {
    uint64_t hash = siphash13(map->seed, key);
    return hash < HASH_FIRST ? hash + HASH_FIRST : hash;
}

void hashmap_init(struct hashmap *map, uint64_t seed0, uint64_t seed1) {
    *map = (struct hashmap){.seed = {seed0, seed1}};
}

void hashmap_deinit(struct hashmap *map) {
    free(map->slots);
    hashmap_init(map, map->seed[0], map->seed[1]);
}

static struct hashmap_slot *find_slot(const struct hashmap *map, struct span key, uint64_t hash) {
    size_t mask = map->capacity - 1;

    if (map->count == 0) {
        return NULL;
    }
    for (size_t i = hash & mask; map->slots[i].hash != HASH_EMPTY; i = (i + 1) & mask) {
        if (map->slots[i].hash == hash && span_equal(map->slots[i].key, key)) {
            return &map->slots[i];
        }
    }
    return NULL;
}

/* Into a table that does not have the key and has room. */
static void insert(struct hashmap *map, const struct hashmap_slot *entry) {
    size_t mask = map->capacity - 1;
    size_t i = entry->hash & mask;

    while (map->slots[i].hash >= HASH_FIRST) {
        i = (i + 1) & mask;
    }
    if (map->slots[i].hash == HASH_TOMBSTONE) {
        map->tombstones--;
    }
    map->slots[i] = *entry;
    map->count++;
}

/* Makes room for one more: twice the size, or the same size when tombstones are what fills it. */
static int make_room(struct hashmap *map) {
    struct hashmap old = *map;
    size_t capacity = MAX(map->capacity, (size_t)CAPACITY_FIRST);

    if (map->slots && (map->count + map->tombstones + 1) * 4 <= map->capacity * 3) {
        return 0;
    }
    if ((map->count + 1) * 2 > capacity) {
        capacity *= 2;
    }
    map->slots = calloc(capacity, sizeof *map->slots);
    if (!map->slots) {
        map->slots = old.slots;
        return -ENOMEM;
    }
    map->capacity = capacity;
    map->count = 0;
    map->tombstones = 0;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].hash >= HASH_FIRST) {
            insert(map, &old.slots[i]);
        }
    }
    free(old.slots);
    return 0;
}

int hashmap_put(struct hashmap *map, struct span key, void *value, void **ret_old) {
    struct hashmap_slot entry = {.hash = hash_key(map, key), .key = key, .value = value};
    struct hashmap_slot *slot = find_slot(map, key, entry.hash);
    void *old = NULL;

    if (slot) {
        old = slot->value;
        *slot = entry; /* the key as well: the old one lives in the old value */
    } else {
        int r = make_room(map);
        if (r) {
            return r;
        }
        insert(map, &entry);
    }
    if (ret_old) {
        *ret_old = old;
    }
    return 0;
}

void *hashmap_find(const struct hashmap *map, struct span key) {
    struct hashmap_slot *slot = map->count ? find_slot(map, key, hash_key(map, key)) : NULL;
    return slot ? slot->value : NULL;
}

void *hashmap_remove(struct hashmap *map, struct span key) {
    struct hashmap_slot *slot = map->count ? find_slot(map, key, hash_key(map, key)) : NULL;
    size_t mask = map->capacity - 1;
    size_t i;
    void *value;

    if (!slot) {
        return NULL;
    }
    value = slot->value;
    *slot = (struct hashmap_slot){.hash = HASH_TOMBSTONE};
    map->count--;
    map->tombstones++;
    /* At the end of its run of slots nobody searches past it: it and tombstones before it go. */
    i = (size_t)(slot - map->slots);
    if (map->slots[(i + 1) & mask].hash == HASH_EMPTY) {
        while (map->slots[i].hash == HASH_TOMBSTONE) {
            map->slots[i].hash = HASH_EMPTY;
            map->tombstones--;
            i = (i - 1) & mask;
        }
    }
    return value;
}

void *hashmap_next(const struct hashmap *map, size_t *position) {
    while (*position < map->capacity) {
        const struct hashmap_slot *slot = &map->slots[(*position)++];
        if (slot->hash >= HASH_FIRST) {
            return slot->value;
        }
    }
    return NULL;
}
