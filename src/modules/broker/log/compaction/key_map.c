/* Linear probing; at most four of five slots are used, which keeps a search near a dozen slots. */
#include "key_map.h"

#include <errno.h>
#include <eventbox/base/defs.h>
#include <eventbox/base/error.h>
#include <stdlib.h>
#include <string.h>

int key_map_init(struct key_map *map, uint64_t keys, size_t bytes_max, const uint8_t hash_key[16]) {
    uint64_t most = MAX(bytes_max / KEY_MAP_SLOT_BYTES, (size_t)2);
    keys = MIN(keys, most);
    *map = (struct key_map){.capacity = MAX(MIN(keys + keys / 4 + 1, most), (uint64_t)2)};
    map->count_max = MAX(map->capacity * 4 / 5, (uint64_t)1);
    memcpy(map->hash_key, hash_key, sizeof map->hash_key);
    map->slots = calloc(map->capacity, sizeof *map->slots);
    return map->slots ? 0 : err_origin(-ENOMEM);
}

void key_map_deinit(struct key_map *map) {
    free(map->slots);
    map->slots = NULL;
    map->capacity = map->count = 0;
}

/* The slot of the key, or the empty one where it would go: there is always one. */
static struct key_map_slot *find(const struct key_map *map, struct span key,
                                 struct siphash128 *ret_hash) {
    struct siphash128 hash = siphash128(map->hash_key, key);
    uint64_t at = hash.low % map->capacity;
    struct key_map_slot *slot = &map->slots[at];
    while (slot->offset_plus_1 != 0 &&
           (slot->hash.low != hash.low || slot->hash.high != hash.high)) {
        at = at + 1 == map->capacity ? 0 : at + 1;
        slot = &map->slots[at];
    }
    *ret_hash = hash;
    return slot;
}

bool key_map_put(struct key_map *map, struct span key, int64_t offset) {
    struct siphash128 hash;
    struct key_map_slot *slot = find(map, key, &hash);
    if (slot->offset_plus_1 == 0) {
        if (map->count >= map->count_max) {
            return false;
        }
        slot->hash = hash;
        map->count++;
    }
    slot->offset_plus_1 = (uint64_t)offset + 1;
    return true;
}

int64_t key_map_get(const struct key_map *map, struct span key) {
    struct siphash128 hash;
    return (int64_t)find(map, key, &hash)->offset_plus_1 - 1;
}
