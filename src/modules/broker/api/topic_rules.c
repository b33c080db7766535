/* Rules about topics that several handlers share. */
#include "api_private.h"
#include "java_text.h"

#include <stdlib.h>

bool topic_name_reserved_ours(struct span name) {
    static const struct span ours = SPAN_LITERAL("__eventbox");

    return name.size >= ours.size && memcmp(name.data, ours.data, ours.size) == 0;
}

bool topic_name_prohibited(struct span name) {
    return span_equal(name, SPAN_LITERAL("__cluster_metadata")) || topic_name_reserved_ours(name);
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

const struct topic *topic_name_collision(struct topic_log *log, struct span name) {
    size_t position = 0;
    struct topic *topic;

    if (!memchr(name.data, '.', name.size) && !memchr(name.data, '_', name.size)) {
        return NULL;
    }
    while ((topic = topic_log_next(log, &position))) {
        struct span other = span_text(topic->name);

        if (collide(name, other) && !span_equal(name, other)) {
            return topic;
        }
    }
    return NULL;
}

bool topic_name_collides(struct topic_log *log, struct span name) {
    return topic_name_collision(log, name) != NULL;
}

const char *topic_name_fault(struct arena *arena, struct span name) {
    const char *fault;

    if (topic_name_valid(name)) {
        return NULL;
    }
    if (name.size == 0) {
        return "Topic name is invalid: the empty string is not allowed";
    }
    if (java_text_length(name) > 249) {
        fault = arena_printf(arena,
                             "Topic name is invalid: the length of '%.*s' is longer than the max "
                             "allowed length 249",
                             (int)MIN(name.size, 1000U), (const char *)name.data);
    } else if (span_equal(name, SPAN_LITERAL(".")) || span_equal(name, SPAN_LITERAL(".."))) {
        fault = arena_printf(arena, "Topic name is invalid: '%.*s' is not allowed", (int)name.size,
                             (const char *)name.data);
    } else {
        fault = arena_printf(arena,
                             "Topic name is invalid: '%.*s' contains one or more characters other "
                             "than ASCII alphanumerics, '.', '_' and '-'",
                             (int)name.size, (const char *)name.data);
    }
    return fault ? fault : "Topic name is invalid";
}

/* Kafka looks at them in the order of their numbers, and tells the first fault. */
int16_t replicas_check(const struct kafka_request *request, const int32_t *nodes, int32_t count,
                       const char **ret_message) {
    const struct broker *broker = request->userdata;
    int64_t stranger = INT64_MAX; /* the lowest */
    int32_t own = 0;

    *ret_message = NULL;
    for (int32_t i = 0; i < count; i++) {
        own += nodes[i] == broker->node_id;
        stranger = nodes[i] == broker->node_id ? stranger : MIN(stranger, nodes[i]);
    }
    if (count <= 0) {
        *ret_message = "The manual partition assignment includes an empty replica list.";
    } else if (own > 1 && stranger > broker->node_id) {
        *ret_message =
            arena_printf(request->arena,
                         "The manual partition assignment includes the broker %d more than once.",
                         broker->node_id);
    } else if (stranger != INT64_MAX) {
        *ret_message = arena_printf(request->arena,
                                    "The manual partition assignment includes broker %d, but no "
                                    "such broker is registered.",
                                    (int32_t)stranger);
    }
    return *ret_message ? KAFKA_INVALID_REPLICA_ASSIGNMENT : 0;
}

/* ---- names that come twice ---- */

struct named {
    struct span name;
    int32_t index;
};

static int compare_named(const void *a, const void *b) {
    const struct named *x = a;
    const struct named *y = b;
    size_t shorter = MIN(x->name.size, y->name.size);
    int order = shorter ? memcmp(x->name.data, y->name.data, shorter) : 0;

    if (order == 0 && x->name.size != y->name.size) {
        order = x->name.size < y->name.size ? -1 : 1;
    }
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* By sorting: a peer chooses the names, and how many there are. */
uint8_t *repeats_find(struct arena *arena, const struct span *first, size_t stride, int32_t count) {
    uint8_t *repeats = arena_alloc(arena, (size_t)count + 1);
    struct named *sorted = arena_alloc(arena, ((size_t)count + 1) * sizeof *sorted);

    if (!repeats || !sorted) {
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        const void *at = (const uint8_t *)first + (size_t)i * stride;

        sorted[i] = (struct named){*(const struct span *)at, i};
    }
    qsort(sorted, (size_t)count, sizeof *sorted, compare_named);
    for (int32_t i = 1; i < count; i++) {
        if (span_equal(sorted[i - 1].name, sorted[i].name) &&
            !sorted[i - 1].name.data == !sorted[i].name.data) {
            repeats[sorted[i].index] = REPEAT_LATER;
            if (!repeats[sorted[i - 1].index]) {
                repeats[sorted[i - 1].index] = REPEAT_FIRST;
            }
        }
    }
    return repeats;
}

bool repeats_any_single(const uint8_t *repeats, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        if (repeats[i] == REPEAT_NONE) {
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

const char *broker_log_dir(const struct broker *broker) {
    return broker->config && broker->config->log_dir ? broker->config->log_dir : "data/topics";
}

const char *names_append(struct arena *arena, const char *names, const char *comma,
                         struct span name) {
    return arena_printf(arena, "%s%s%.*s", names ? names : "", names ? comma : "",
                        (int)MIN(name.size, 300U), name.size ? (const char *)name.data : "");
}
