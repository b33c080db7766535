/*
 * The last offset of each key, in memory of a fixed size. A key is remembered by 128 bits of keyed
 * hash instead of its bytes: 24 bytes a key, whatever its length. The hash key is random for each
 * run, so that no producer can choose two keys with one hash, of which compaction would then drop
 * the older one; by chance that happens to one of 10^6 keys once in 10^26 runs.
 */
#pragma once

#include <eventbox/base/siphash.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_MAP_SLOT_BYTES = 24 };

struct key_map_slot {
    struct siphash128 hash;
    uint64_t offset_plus_1; /* 0: empty, as fresh memory is */
};

struct key_map {
    struct key_map_slot *slots;
    uint64_t capacity, count, count_max;
    uint8_t hash_key[16];
};

/**
 * key_map_init() - room for @keys keys, or for as many as @bytes_max hold
 * Return: 0, -ENOMEM.
 */
int key_map_init(struct key_map *map, uint64_t keys, size_t bytes_max, const uint8_t hash_key[16]);
void key_map_deinit(struct key_map *map);
/** key_map_put() - @key was written at @offset, which is above all before; false: no room for it */
bool key_map_put(struct key_map *map, struct span key, int64_t offset);
/** key_map_get() - the last offset of @key; -1: not there */
int64_t key_map_get(const struct key_map *map, struct span key);
static inline size_t key_map_bytes(const struct key_map *map) {
    return map->capacity * KEY_MAP_SLOT_BYTES;
}
