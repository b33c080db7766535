/* Rules about topics that several handlers share. */
#include "api_private.h"

bool topic_name_reserved(struct span name) {
    static const struct span reserved[] = {
        SPAN_LITERAL("__consumer_offsets"),
        SPAN_LITERAL("__transaction_state"),
        SPAN_LITERAL("__share_group_state"),
        SPAN_LITERAL("__cluster_metadata"),
    };
    static const struct span ours = SPAN_LITERAL("__eventbox");

    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        if (span_equal(name, reserved[i])) {
            return true;
        }
    }
    return name.size >= ours.size && memcmp(name.data, ours.data, ours.size) == 0;
}

bool topic_name_internal(struct span name) {
    return span_equal(name, SPAN_LITERAL("__consumer_offsets")) ||
           span_equal(name, SPAN_LITERAL("__transaction_state")) ||
           span_equal(name, SPAN_LITERAL("__share_group_state"));
}

/* Metrics write both as "_", so Kafka refuses two topics that differ only there. */
static bool collide(struct span a, struct span b) {
    const char *x = a.data;
    const char *y = b.data;

    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if ((x[i] == '.' ? '_' : x[i]) != (y[i] == '.' ? '_' : y[i])) {
            return false;
        }
    }
    return true;
}

bool topic_name_collides(struct topic_log *log, struct span name) {
    size_t position = 0;
    struct topic *topic;

    if (!memchr(name.data, '.', name.size) && !memchr(name.data, '_', name.size)) {
        return false;
    }
    while ((topic = topic_log_next(log, &position))) {
        struct span other = span_text(topic->name);

        if (collide(name, other) && !span_equal(name, other)) {
            return true;
        }
    }
    return false;
}

int16_t leader_epoch_check(const struct partition *partition, int32_t epoch) {
    if (epoch == -1 || epoch == partition->leader_epoch) {
        return 0;
    }
    return epoch < partition->leader_epoch ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}
