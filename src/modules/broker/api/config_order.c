/*
 * Of several faults in one request Kafka tells the one that it meets first, so its order is part of
 * the answer: names come out of Java's hash maps, and the configs of a topic are then parsed in the
 * order in which Kafka defines them.
 */
#include "config_view.h"
#include "java_text.h"

#include <stdlib.h>

enum { PLACES_LEAST = 16, KNOWN_FROM = 1 << 20 };

static const uint8_t defined[] = {
    TOPIC_SEGMENT_BYTES,
    TOPIC_SEGMENT_MS,
    TOPIC_SEGMENT_JITTER_MS,
    TOPIC_SEGMENT_INDEX_BYTES,
    TOPIC_FLUSH_MESSAGES,
    TOPIC_FLUSH_MS,
    TOPIC_RETENTION_BYTES,
    TOPIC_RETENTION_MS,
    TOPIC_MAX_MESSAGE_BYTES,
    TOPIC_INDEX_INTERVAL_BYTES,
    TOPIC_DELETE_RETENTION_MS,
    TOPIC_MIN_COMPACTION_LAG_MS,
    TOPIC_MAX_COMPACTION_LAG_MS,
    TOPIC_FILE_DELETE_DELAY_MS,
    TOPIC_MIN_CLEANABLE_RATIO,
    TOPIC_CLEANUP_POLICY,
    TOPIC_UNCLEAN_ELECTION,
    TOPIC_MIN_INSYNC_REPLICAS,
    TOPIC_COMPRESSION_TYPE,
    TOPIC_COMPRESSION_GZIP_LEVEL,
    TOPIC_COMPRESSION_LZ4_LEVEL,
    TOPIC_COMPRESSION_ZSTD_LEVEL,
    TOPIC_PREALLOCATE,
    TOPIC_TIMESTAMP_TYPE,
    TOPIC_TIMESTAMP_BEFORE_MAX_MS,
    TOPIC_TIMESTAMP_AFTER_MAX_MS,
    TOPIC_LEADER_THROTTLED_REPLICAS,
    TOPIC_FOLLOWER_THROTTLED_REPLICAS,
    TOPIC_REMOTE_STORAGE_ENABLE,
    TOPIC_LOCAL_RETENTION_MS,
    TOPIC_LOCAL_RETENTION_BYTES,
    TOPIC_REMOTE_COPY_DISABLE,
    TOPIC_REMOTE_DELETE_ON_DISABLE,
    TOPIC_INTERNAL_SEGMENT_BYTES,
};
_Static_assert(ARRAY_SIZE(defined) == TOPIC_CONFIG_COUNT, "each config has its place");

uint32_t java_map_place(struct span name, int32_t count) {
    uint32_t hash = java_text_hash(name);
    uint32_t places = PLACES_LEAST;

    while ((uint32_t)count > places / 4 * 3) {
        places *= 2;
    }
    return (hash ^ hash >> 16) & (places - 1);
}

/* Unknown names come first: all names are looked at before any value is. */
static uint32_t rank_of(bool topic, struct span name, int32_t count) {
    enum topic_config_key key = topic ? topic_config_find(name) : TOPIC_CONFIG_COUNT;

    for (uint32_t i = 0; key != TOPIC_CONFIG_COUNT && i < ARRAY_SIZE(defined); i++) {
        if (defined[i] == key) {
            return KNOWN_FROM + i;
        }
    }
    return MIN(java_map_place(name, count), (uint32_t)KNOWN_FROM - 1);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Rank in the upper half, index in the lower: entries of one name stay in their order. */
uint64_t *config_order(struct arena *arena, bool topic, const struct span *first, size_t stride,
                       int32_t count, int32_t others) {
    uint64_t *order = arena_alloc(arena, ((size_t)count + 1) * sizeof *order);

    for (int32_t i = 0; order && i < count; i++) {
        const struct span *name = (const void *)((const uint8_t *)first + (size_t)i * stride);

        order[i] = (uint64_t)rank_of(topic, *name, count + others) << 32 | (uint32_t)i;
    }
    if (order && count > 1) {
        qsort(order, (size_t)count, sizeof *order, compare);
    }
    return order;
}
