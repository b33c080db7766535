/*
 * AlterConfigs and IncrementalAlterConfigs. The first says all that a resource sets, the second
 * changes single values; both become one list of operations on a copy of what is set, which is
 * checked as a whole and then made durable: a resource changes completely or not at all.
 */
#include "alter_private.h"
#include "java_map.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TEXT_BYTES_MAX = INT16_MAX,
    SET_BYTES_MAX = 256 << 10,
    GROUP_DEFAULTS = 11, /* that Kafka adds to what is set for a group before it looks at it */
};

int16_t alteration_say(struct alteration *alteration, int16_t error, const char *what,
                       struct span name, const char *rest) {
    alteration->message =
        arena_printf(alteration_arena(alteration), "%s%.*s%s", what, (int)MIN(name.size, 300U),
                     name.size ? (const char *)name.data : "", rest);
    return error;
}

static void fill_row(struct change *change, int16_t error, const char *message) {
    struct incremental_alter_configs_response_resource *row = change->row;

    row->error_code = error;
    row->error_message = message ? span_text(message) : SPAN_NULL;
}

/* ---- lists ---- */

static bool list_has(struct span list, struct span word) {
    const char *text = list.data;

    for (size_t at = 0, end; at < list.size; at = end + 1) {
        for (end = at; end < list.size && text[end] != ',';) {
            end++;
        }
        if (span_equal(span_of(text + at, end - at), word)) {
            return true;
        }
    }
    return false;
}

/* The words of @from that are not in @without, behind what @out has. */
static void list_add(struct text *out, struct span from, struct span without) {
    const char *text = from.data;

    for (size_t at = 0, end; at < from.size; at = end + 1) {
        struct span word;

        for (end = at; end < from.size && text[end] != ',';) {
            end++;
        }
        word = span_of(text + at, end - at);
        if (!list_has(without, word)) {
            if (out->size) {
                text_append_char(out, ',');
            }
            text_append(out, word.data, word.size);
        }
    }
}

struct span alteration_list(struct arena *arena, const char *now, struct span words, int8_t op) {
    struct text out;
    struct span before = span_text(now ? now : "");
    char *copy;
    size_t size;

    text_init(&out);
    if (op == OP_APPEND) {
        list_add(&out, before, SPAN_LITERAL(""));
        list_add(&out, words, before);
    } else {
        list_add(&out, before, words);
    }
    size = out.size;
    copy = arena_dup(arena, out.data, size);
    text_deinit(&out);
    return span_of(copy ? copy : "", copy ? size : 0);
}

/* ---- checks of every resource ---- */

static int16_t check_operations(struct alteration *alteration) {
    uint8_t *repeats =
        REPEATS(alteration_arena(alteration), alteration->operations, name, alteration->count);
    const char *nulls = NULL;

    for (int32_t i = 0; repeats && i < alteration->count; i++) {
        const struct config_operation *operation = &alteration->operations[i];

        if (repeats[i]) {
            return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                                  "Error due to duplicate config keys", SPAN_NULL, "");
        }
        if (!operation->value.data && operation->op != OP_DELETE) {
            nulls = names_append(alteration_arena(alteration), nulls, ", ", operation->name);
        }
    }
    if (nulls) {
        return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                              "Null value not supported for : ", span_text(nulls), "");
    }
    return repeats ? 0 : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* The value that @operation leaves; data NULL: none. */
static int16_t new_value(struct alteration *alteration, const struct config_operation *operation,
                         int type, const char *now, const char *fallback, struct span *ret_value) {
    *ret_value = operation->value;
    if (operation->op == OP_DELETE) {
        *ret_value = SPAN_NULL;
    } else if (operation->op != OP_SET && type != CONFIG_TYPE_LIST) {
        return alteration_say(alteration, KAFKA_INVALID_CONFIG,
                              operation->op == OP_APPEND ? "Can't APPEND to key "
                                                         : "Can't SUBTRACT to key ",
                              operation->name, " because its type is not LIST.");
    } else if (operation->op != OP_SET) {
        *ret_value = alteration_list(alteration_arena(alteration), now ? now : fallback,
                                     operation->value, operation->op);
    }
    return 0;
}

static bool is_list(const struct alteration *alteration, struct span name) {
    const struct topic_config_def *def;
    enum topic_config_key key;

    if (alteration->type == RESOURCE_TOPIC) {
        key = topic_config_find(name);
        return key != TOPIC_CONFIG_COUNT && topic_config_defs[key].type == CONFIG_TYPE_LIST;
    }
    def = resource_config_def(alteration->type, name);
    return def && def->type == CONFIG_TYPE_LIST;
}

/* Words are added to lists only; Kafka says so before it looks at the names and values that it has
 * of a topic or group, even at their own name. */
static int16_t check_list_operations(struct alteration *alteration) {
    const uint64_t *order =
        java_map_order(alteration_arena(alteration), &alteration->operations->name,
                       sizeof *alteration->operations, alteration->count, 0);
    struct span none;
    int16_t error = order ? 0 : KAFKA_UNKNOWN_SERVER_ERROR;

    for (int32_t i = 0; !error && i < alteration->count; i++) {
        const struct config_operation *operation = &alteration->operations[(uint32_t)order[i]];

        if (!is_list(alteration, operation->name)) {
            error = new_value(alteration, operation, CONFIG_TYPE_STRING, NULL, NULL, &none);
        }
    }
    return error;
}

/* ---- topics ---- */

static int16_t alter_topic_values(struct alteration *alteration, struct topic_config *config) {
    const struct topic_config *defaults = topic_log_defaults(alteration->changes->broker->log);
    int16_t error = 0;

    for (int32_t i = 0; !error && i < alteration->count; i++) {
        const struct config_operation *operation =
            &alteration->operations[(uint32_t)alteration->order[i]];
        enum topic_config_key key = topic_config_find(operation->name);
        struct span value = operation->value;

        if (key == TOPIC_CONFIG_COUNT && operation->op == OP_DELETE) {
            continue; /* as Kafka: what is not there is deleted already */
        }
        if (key != TOPIC_CONFIG_COUNT) {
            error =
                new_value(alteration, operation, topic_config_defs[key].type,
                          topic_config_text(config, key), topic_config_text(defaults, key), &value);
        }
        if (!error && !value.data) {
            topic_config_unset(config, key);
        } else if (!error) {
            error = topic_config_take(alteration_arena(alteration), config, operation->name, value,
                                      &alteration->message);
        }
    }
    return error
               ? error
               : topic_config_conflict(alteration->changes->request, config, &alteration->message);
}

/* Returns what the log says to the new configs; 0: the change is under way, or only a trial. */
static int put_topic(struct alteration *alteration, struct topic *topic,
                     const struct topic_config *config) {
    struct change *change;
    int r;

    if (alteration->validate_only) {
        return 0;
    }
    change = changes_begin(alteration->changes, topic, alteration->row, fill_row);
    if (!change) {
        return -ENOMEM;
    }
    r = topic_log_configure(alteration->changes->broker->log, topic, config, &change->request);
    if (r) {
        changes_refused(change, r);
    }
    return 0;
}

static int16_t alter_topic(struct alteration *alteration) {
    const struct broker *broker = alteration->changes->broker;
    struct topic *topic = topic_log_find(broker->log, alteration->name);
    struct topic_config config = {0};
    int16_t error;

    error = check_list_operations(alteration);
    if (error) {
        return error;
    }
    if (alteration->name.size == 0) {
        return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                              "Default topic resources are not allowed.", SPAN_NULL, "");
    }
    alteration->message = topic_name_fault(alteration_arena(alteration), alteration->name);
    if (alteration->message) {
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (!topic) { /* after its configs, which Kafka looks at first */
        error = alter_topic_values(alteration, &config);
        topic_config_deinit(&config);
        return error ? error
                     : alteration_say(alteration, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "The topic '",
                                      alteration->name, "' does not exist.");
    }
    if (topic->internal && topic_name_reserved_ours(alteration->name)) {
        return alteration_say(alteration, KAFKA_POLICY_VIOLATION, "The topic is the broker's own.",
                              SPAN_NULL, "");
    }
    if (!alteration->replace && topic_config_copy(&config, topic_log_config_latest(topic))) {
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    error = alter_topic_values(alteration, &config);
    if (!error && put_topic(alteration, topic, &config)) {
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    topic_config_deinit(&config);
    return error;
}

/* ---- the broker, groups, telemetry ---- */

static int16_t check_node(struct alteration *alteration, const char *unexpected) {
    const struct broker *broker = alteration->changes->broker;
    struct span name = alteration->name;
    int64_t node;

    if (!config_node(name, &node)) {
        return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                              "Node id must be an integer, but it is: ", name, "");
    }
    if (node != broker->node_id) {
        alteration->message =
            arena_printf(alteration_arena(alteration), "%s %d, but received %.*s", unexpected,
                         broker->node_id, (int)MIN(name.size, 100U), (const char *)name.data);
        return KAFKA_INVALID_REQUEST;
    }
    return 0;
}

static int16_t check_broker_name(struct alteration *alteration) {
    return alteration->name.size == 0 ? 0
                                      : check_node(alteration, "Unexpected broker id, expected");
}

static int16_t check_resource_name(struct alteration *alteration) {
    if (alteration->type == RESOURCE_BROKER) {
        return check_broker_name(alteration);
    }
    if (alteration->name.size == 0) {
        return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                              alteration->type == RESOURCE_GROUP
                                  ? "Default group resources are not allowed."
                                  : "Subscription name can't be empty",
                              SPAN_NULL, "");
    }
    return 0;
}

static const struct topic_config_def *find_def(struct alteration *alteration, struct span name,
                                               int16_t *ret_error) {
    const struct topic_config_def *def = resource_config_def(alteration->type, name);

    *ret_error = 0;
    if (!def) {
        *ret_error = alteration->type == RESOURCE_GROUP
                         ? alteration_say(alteration, KAFKA_INVALID_CONFIG,
                                          "Unknown group config name: ", name, "")
                         : alteration_say(alteration, KAFKA_INVALID_REQUEST,
                                          "Unknown client metrics configuration: ", name, "");
    }
    return def;
}

/* All names are looked at before any value is. */
static int16_t check_names(struct alteration *alteration) {
    int16_t error = 0;

    for (int32_t i = 0; !error && i < alteration->count; i++) {
        const struct config_operation *operation =
            &alteration->operations[(uint32_t)alteration->order[i]];

        if (operation->op != OP_DELETE) { /* as Kafka: what is not there is deleted already */
            (void)find_def(alteration, operation->name, &error);
        }
    }
    return error;
}

static int16_t alter_values(struct alteration *alteration, struct config_set *set) {
    int16_t error = check_names(alteration);

    for (int32_t i = 0; !error && i < alteration->count; i++) {
        const struct config_operation *operation =
            &alteration->operations[(uint32_t)alteration->order[i]];
        const struct topic_config_def *def = resource_config_def(alteration->type, operation->name);
        struct span value;

        if (!def) {
            continue;
        }
        error = new_value(alteration, operation, def->type, config_set_get(set, operation->name),
                          def->default_text, &value);
        if (!error && !value.data) {
            config_set_remove(set, operation->name);
        } else if (!error) {
            error = resource_config_check(alteration_arena(alteration), alteration->type, def,
                                          value, &alteration->message);
            if (!error && config_set_put(set, operation->name, value)) {
                error = KAFKA_UNKNOWN_SERVER_ERROR;
            }
        }
    }
    return error;
}

/* One record holds all that a resource sets. */
static int16_t check_size(struct alteration *alteration, const struct config_set *set) {
    size_t bytes = 0;

    for (unsigned i = 0; i < set->count; i++) {
        size_t value = strlen(set->pairs[i].value);

        bytes += strlen(set->pairs[i].name) + value;
        bytes = value > TEXT_BYTES_MAX ? SET_BYTES_MAX + 1 : bytes;
    }
    return bytes <= SET_BYTES_MAX
               ? 0
               : alteration_say(alteration, KAFKA_POLICY_VIOLATION,
                                "The configs of one resource take more than 256 KiB.", SPAN_NULL,
                                "");
}

static int16_t alter_stored(struct alteration *alteration) {
    struct broker *broker = alteration->changes->broker;
    const struct config_set *now =
        config_store_find(broker->configs, alteration->type, alteration->name);
    struct config_set set = {0};
    struct change *change;
    int16_t error = alteration->type == RESOURCE_BROKER ? 0 : check_list_operations(alteration);
    int r;

    error = error ? error : check_resource_name(alteration);
    if (!error && !alteration->replace && config_set_copy(&set, now)) {
        error = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    if (!error) {
        error = alteration->type == RESOURCE_BROKER ? alter_broker_values(alteration, &set)
                                                    : alter_values(alteration, &set);
    }
    error = error ? error : check_size(alteration, &set);
    if (!error && !alteration->validate_only) {
        change = broker->configs
                     ? changes_begin(alteration->changes, NULL, alteration->row, fill_row)
                     : NULL;
        r = change ? config_store_change(broker->configs, alteration->type, alteration->name, &set,
                                         &change->request)
                   : 0;
        if (r) {
            changes_refused(change, r);
        }
        error = change ? 0 : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    config_set_deinit(&set);
    return error;
}

/* Kafka's loggers are its classes, none of which is here. */
static int16_t alter_logger(struct alteration *alteration) {
    int16_t error;

    if (alteration->replace) {
        return alteration_say(alteration, KAFKA_INVALID_REQUEST, "Unknown resource type 8",
                              SPAN_NULL, "");
    }
    error = check_node(alteration, "Unexpected node id. Expected");
    if (error) {
        return error;
    }
    for (int32_t i = 0; i < alteration->count; i++) {
        const struct config_operation *operation = &alteration->operations[i];

        if (operation->op > OP_DELETE) {
            return alteration_say(alteration, KAFKA_INVALID_REQUEST,
                                  operation->op == OP_APPEND ? "APPEND" : "SUBTRACT", SPAN_NULL,
                                  " operation is not allowed for the BROKER_LOGGER resource");
        }
        return alteration_say(alteration, KAFKA_INVALID_CONFIG, "Logger ", operation->name,
                              " does not exist!");
    }
    return 0;
}

/* ---- both requests ---- */

/* Whether a strange operation is met, in Kafka's order, before a fault that ends the walk. */
static bool has_strange_op(const struct alteration *alteration) {
    const uint64_t *order =
        java_map_order(alteration_arena(alteration), &alteration->operations->name,
                       sizeof *alteration->operations, alteration->count, 0);

    for (int32_t i = 0; order && i < alteration->count; i++) {
        const struct config_operation *operation = &alteration->operations[(uint32_t)order[i]];

        if (operation->op < OP_SET || operation->op > OP_SUBTRACT) {
            return true;
        }
        if (operation->op > OP_DELETE && alteration->type != RESOURCE_BROKER &&
            alteration->type != RESOURCE_BROKER_LOGGER && !is_list(alteration, operation->name)) {
            return false;
        }
    }
    return false;
}

/* What is done to a value is looked at when it is clear whose value it is. A strange operation on
 * what Kafka's broker passes on to its controller spoils all that is passed on with it. */
static int16_t check_op(struct alteration *alteration) {
    int16_t error = alteration->type == RESOURCE_BROKER ? check_broker_name(alteration) : 0;
    bool spoiled = alteration->type == RESOURCE_BROKER_LOGGER ? has_strange_op(alteration)
                                                              : alteration->strange_ops;

    return error ? error : spoiled ? KAFKA_UNKNOWN_SERVER_ERROR : 0;
}

static bool is_resource_type(int8_t type) {
    return type == RESOURCE_TOPIC || type == RESOURCE_BROKER || type == RESOURCE_BROKER_LOGGER ||
           type == RESOURCE_GROUP || type == RESOURCE_CLIENT_METRICS;
}

static const uint64_t *order_of(const struct alteration *alteration) {
    const struct span *first = &alteration->operations->name;
    size_t stride = sizeof *alteration->operations;
    struct arena *arena = alteration_arena(alteration);

    return alteration->type == RESOURCE_TOPIC
               ? topic_config_order(arena, first, stride, alteration->count)
               : java_map_order(arena, first, stride, alteration->count,
                                alteration->type == RESOURCE_GROUP ? GROUP_DEFAULTS : 0);
}

static void alter(struct alteration *alteration, bool twice) {
    struct incremental_alter_configs_response_resource *row = alteration->row;
    int16_t error;

    row->resource_type = alteration->type;
    row->resource_name = alteration->name;
    if (twice) {
        error = alteration_say(alteration, KAFKA_INVALID_REQUEST,
                               "Each resource must appear at most once.", SPAN_NULL, "");
    } else {
        error = check_operations(alteration);
    }
    if (!error && is_resource_type(alteration->type)) {
        error = check_op(alteration);
    }
    if (!error) {
        alteration->order = order_of(alteration);
        error = alteration->order ? 0 : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    if (!error) {
        switch (alteration->type) {
        case RESOURCE_TOPIC:
            error = alter_topic(alteration);
            break;
        case RESOURCE_BROKER:
        case RESOURCE_GROUP:
        case RESOURCE_CLIENT_METRICS:
            error = alter_stored(alteration);
            break;
        case RESOURCE_BROKER_LOGGER:
            error = alter_logger(alteration);
            break;
        default:
            alteration->message = arena_printf(alteration_arena(alteration),
                                               "Unknown resource type %d", alteration->type);
            error = KAFKA_INVALID_REQUEST;
        }
    }
    if (error) { /* else the row is filled when the change is durable */
        row->error_code = error;
        row->error_message = alteration->message ? span_text(alteration->message) : SPAN_NULL;
    }
}

/* A resource is its type and name, as one text. */
static uint8_t *find_repeats(const struct kafka_request *request, const int8_t *type,
                             const struct span *name, size_t stride, int32_t count) {
    struct span *keys = arena_alloc(request->arena, ((size_t)count + 1) * sizeof *keys);

    for (int32_t i = 0; keys && i < count; i++) {
        const struct span *text = (const void *)((const uint8_t *)name + (size_t)i * stride);
        int8_t kind = *(const int8_t *)((const uint8_t *)type + (size_t)i * stride);
        char *key = arena_printf(request->arena, "%d:%.*s", kind, (int)MIN(text->size, 32767U),
                                 text->size ? (const char *)text->data : "");

        if (!key) {
            return NULL;
        }
        keys[i] = span_text(key);
    }
    return keys ? repeats_find(request->arena, keys, sizeof *keys, count) : NULL;
}

static struct alteration
incremental_alteration(struct changes *changes,
                       const struct incremental_alter_configs_request *body, int32_t index) {
    const struct incremental_alter_configs_request_resource *resource = &body->resources[index];
    int32_t count = MAX(resource->configs_count, 0);
    struct alteration alteration = {.changes = changes,
                                    .type = resource->resource_type,
                                    .name = resource->resource_name,
                                    .count = count,
                                    .validate_only = body->validate_only};

    alteration.operations =
        arena_alloc(changes->request->arena, ((size_t)count + 1) * sizeof *alteration.operations);
    for (int32_t c = 0; alteration.operations && c < count; c++) {
        alteration.operations[c] =
            (struct config_operation){resource->configs[c].name, resource->configs[c].value,
                                      resource->configs[c].config_operation};
    }
    return alteration;
}

/* What Kafka's broker has no fault to find with by itself. */
static bool is_passed_on(struct alteration *alteration) {
    return is_resource_type(alteration->type) && alteration->type != RESOURCE_BROKER_LOGGER &&
           check_operations(alteration) == 0 &&
           (alteration->type != RESOURCE_BROKER || check_broker_name(alteration) == 0);
}

/* Within what a client waits for an answer of AdminClient by default. */
enum { ALTER_TIMEOUT_MS = 30000 };

void handle_incremental_alter_configs(struct kafka_request *request) {
    const struct incremental_alter_configs_request *body = request->body;
    struct incremental_alter_configs_response *answer =
        KAFKA_NEW(request->arena, incremental_alter_configs_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    int32_t count = MAX(body->resources_count, 0);
    uint8_t *repeats =
        count > 0 ? find_repeats(request, &body->resources->resource_type,
                                 &body->resources->resource_name, sizeof *body->resources, count)
                  : arena_alloc(request->arena, 1);
    bool ok = changes && repeats;
    bool strange = false;

    if (ok) {
        answer->responses =
            KAFKA_NEW(request->arena, incremental_alter_configs_response_resource, count);
        ok = answer->responses != NULL;
    }
    for (int32_t i = 0; ok && i < count; i++) {
        struct alteration alteration = incremental_alteration(changes, body, i);

        ok = alteration.operations != NULL;
        strange = strange ||
                  (ok && !repeats[i] && is_passed_on(&alteration) && has_strange_op(&alteration));
    }
    for (int32_t i = 0; ok && i < count; i++) {
        struct alteration alteration = incremental_alteration(changes, body, i);

        alteration.row = &answer->responses[answer->responses_count++];
        alteration.row->error_message = SPAN_NULL;
        alteration.strange_ops = strange;
        alter(&alteration, repeats[i]);
    }
    if (!ok) {
        free(changes);
        out_of_memory(request);
        return;
    }
    changes_ready(changes, ALTER_TIMEOUT_MS);
}

/* The rows of both answers have the same columns and are filled as those of the newer one. */
_Static_assert(sizeof(struct alter_configs_response_resource) ==
                       sizeof(struct incremental_alter_configs_response_resource) &&
                   offsetof(struct alter_configs_response_resource, resource_name) ==
                       offsetof(struct incremental_alter_configs_response_resource, resource_name),
               "rows of AlterConfigs and IncrementalAlterConfigs differ");

void handle_alter_configs(struct kafka_request *request) {
    const struct alter_configs_request *body = request->body;
    struct alter_configs_response *answer = KAFKA_NEW(request->arena, alter_configs_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    int32_t count = MAX(body->resources_count, 0);
    uint8_t *repeats =
        count > 0 ? find_repeats(request, &body->resources->resource_type,
                                 &body->resources->resource_name, sizeof *body->resources, count)
                  : arena_alloc(request->arena, 1);
    bool ok = changes && repeats;

    if (ok) {
        answer->responses = KAFKA_NEW(request->arena, alter_configs_response_resource, count);
        ok = answer->responses != NULL;
    }
    for (int32_t i = 0; ok && i < count; i++) {
        const struct alter_configs_request_resource *resource = &body->resources[i];
        struct alteration alteration = {.changes = changes,
                                        .type = resource->resource_type,
                                        .name = resource->resource_name,
                                        .count = MAX(resource->configs_count, 0),
                                        .replace = true,
                                        .validate_only = body->validate_only,
                                        .row = (void *)&answer->responses[i]};

        answer->responses_count++;
        alteration.row->error_message = SPAN_NULL;
        alteration.operations = arena_alloc(request->arena, ((size_t)alteration.count + 1) *
                                                                sizeof *alteration.operations);
        for (int32_t c = 0; alteration.operations && c < alteration.count; c++) {
            alteration.operations[c] = (struct config_operation){
                resource->configs[c].name, resource->configs[c].value, OP_SET};
        }
        alter(&alteration, repeats[i]);
    }
    if (!ok) {
        free(changes);
        out_of_memory(request);
        return;
    }
    changes_ready(changes, ALTER_TIMEOUT_MS);
}
