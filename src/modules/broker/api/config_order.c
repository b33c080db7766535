/* Names of a topic's configs come out of Java's hash maps (java_map.h), and are then parsed in the
 * order in which Kafka defines them. */
#include "config_view.h"
#include "java_map.h"

enum { KNOWN_FROM = 1 << 20 };

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

/* Unknown names come first: all names are looked at before any value is. */
static uint64_t rank_of(struct span name, uint64_t place) {
    enum topic_config_key key = topic_config_find(name);

    for (uint32_t i = 0; key != TOPIC_CONFIG_COUNT && i < ARRAY_SIZE(defined); i++) {
        if (defined[i] == key) {
            return KNOWN_FROM + i;
        }
    }
    return MIN(place, (uint64_t)KNOWN_FROM - 1);
}

uint64_t *topic_config_order(struct arena *arena, const struct span *first, size_t stride,
                             int32_t count) {
    uint64_t *order = java_map_order(arena, first, stride, count, 0);

    for (int32_t i = 0; order && i < count; i++) {
        uint32_t index = (uint32_t)order[i];
        const struct span *name = (const void *)((const uint8_t *)first + index * stride);

        order[i] = rank_of(*name, order[i] >> 32) << 32 | index;
    }
    if (order) {
        java_map_sort(order, count);
    }
    return order;
}
