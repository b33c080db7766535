/*
 * Features of the cluster (KIP-584) that are what they are in Apache Kafka 4.3: the level of the
 * metadata. Those of protocols that are not served here are not listed, so no client tries them.
 */
#include "api_private.h"

const struct kafka_feature kafka_features[] = {
    {"metadata.version", 7, 30, 30},
};
const size_t kafka_features_count = ARRAY_SIZE(kafka_features);

const struct kafka_feature *kafka_feature_find(struct span name) {
    for (size_t i = 0; i < kafka_features_count; i++) {
        if (span_equal(name, span_text(kafka_features[i].name))) {
            return &kafka_features[i];
        }
    }
    return NULL;
}
