/*
 * What handle_alter_configs.c and alter_broker.c share: the change of one resource, by AlterConfigs
 * or IncrementalAlterConfigs, as a list of operations.
 */
#pragma once

#include "changes.h"
#include "config_store.h"

enum config_op { OP_SET, OP_DELETE, OP_APPEND, OP_SUBTRACT };

struct config_operation {
    struct span name;
    struct span value;
    int8_t op;
};

/* One resource of either request, and its row of the answer. Both answers have the same columns. */
struct alteration {
    struct changes *changes;
    int8_t type;
    struct span name;
    struct config_operation *operations;
    int32_t count;
    const uint64_t *order; /* in which Kafka looks at them */
    bool replace;          /* AlterConfigs */
    bool strange_ops;      /* among all that is passed on to the controller */
    bool validate_only;
    struct incremental_alter_configs_response_resource *row;
    const char *message;
};

/** alteration_arena() - of its request */
static inline struct arena *alteration_arena(const struct alteration *alteration) {
    return alteration->changes->request->arena;
}
/** alteration_say() - @error, with a message of three parts */
int16_t alteration_say(struct alteration *alteration, int16_t error, const char *what,
                       struct span name, const char *rest);
/** alteration_list() - @now with @words added or, by @op, taken out */
struct span alteration_list(struct arena *arena, const char *now, struct span words, int8_t op);

/* ---- alter_broker.c ---- */
/** alter_broker_values() - do what is asked to @set, which has what is set now, and check it as
 * Kafka's broker does. Return 0 or the error code. */
int16_t alter_broker_values(struct alteration *alteration, struct config_set *set);
