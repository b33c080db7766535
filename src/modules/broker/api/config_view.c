#include "config_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct span keep(struct arena *arena, const char *text) {
    size_t size = text ? strlen(text) : 0;
    const char *copy = text ? arena_dup(arena, text, size) : NULL;

    return copy ? span_of(copy, size) : SPAN_NULL;
}

static void add_synonym(struct arena *arena, struct config_view *view, const char *name,
                        const char *value, int8_t source) {
    if (view->synonym_count < CONFIG_SYNONYMS_MAX && name && value) {
        view->synonyms[view->synonym_count++] =
            (struct config_synonym){name, keep(arena, value), source};
    }
}

/* What was changed while it runs: of this node, then of all. */
static void add_changes(const struct broker *broker, struct arena *arena, const char *name,
                        struct config_view *view) {
    char node[16];

    snprintf(node, sizeof node, "%d", broker->node_id);
    add_synonym(arena, view, name,
                config_set_get(config_store_find(broker->configs, RESOURCE_BROKER, span_text(node)),
                               span_text(name)),
                SOURCE_DYNAMIC_BROKER);
    add_synonym(
        arena, view, name,
        config_set_get(config_store_find(broker->configs, RESOURCE_BROKER, SPAN_LITERAL("")),
                       span_text(name)),
        SOURCE_DYNAMIC_CLUSTER);
}

/* The config of a coarser unit that holds where this one is set nowhere: Kafka names it behind it.
 */
static void add_coarser(struct arena *arena, enum topic_config_key key, struct config_view *view) {
    static const struct {
        enum topic_config_key key;
        const char *name, *value;
    } coarser[] = {
        {TOPIC_FLUSH_MS, "log.flush.scheduler.interval.ms", "9223372036854775807"},
        {TOPIC_RETENTION_MS, "log.retention.hours", "168"},
        {TOPIC_SEGMENT_JITTER_MS, "log.roll.jitter.hours", "0"},
        {TOPIC_SEGMENT_MS, "log.roll.hours", "168"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(coarser); i++) {
        if (coarser[i].key == key) {
            add_synonym(arena, view, coarser[i].name, coarser[i].value, SOURCE_DEFAULT);
        }
    }
}

/* What a topic falls back to: this node's change, that of all nodes, the settings, the default. */
static void add_broker_synonyms(const struct broker *broker, struct arena *arena,
                                enum topic_config_key key, struct config_view *view) {
    const struct topic_config_def *def = &topic_config_defs[key];
    const char *name = def->broker_name;
    const char *fixed = topic_config_text(config_store_static(broker), key);
    int32_t before = view->synonym_count;

    if (name) {
        add_changes(broker, arena, name, view);
        if (strcmp(fixed, def->default_text) != 0) {
            add_synonym(arena, view, name, fixed, SOURCE_STATIC_BROKER);
        }
        if (def->broker_default) {
            add_synonym(arena, view, name, def->default_text, SOURCE_DEFAULT);
        } else if (view->synonym_count > before) {
            add_coarser(arena, key, view);
        }
    }
}

/* The first of the synonyms holds, else the default. */
static void settle(struct arena *arena, struct config_view *view, const char *default_text) {
    bool any = view->synonym_count > 0;

    view->value = any ? view->synonyms[0].value : keep(arena, default_text);
    view->source = any ? view->synonyms[0].source : SOURCE_DEFAULT;
}

int topic_config_views(const struct broker *broker, struct arena *arena,
                       const struct topic_config *config, struct config_view **ret_views,
                       int32_t *ret_count) {
    struct config_view *views = arena_alloc(arena, TOPIC_CONFIG_COUNT * sizeof *views);
    int32_t count = 0;

    if (!views) {
        return err_origin(-ENOMEM);
    }
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const struct topic_config_def *def = &topic_config_defs[key];
        struct config_view *view = &views[count];

        if (def->internal && !topic_config_text(config, (enum topic_config_key)key)) {
            continue;
        }
        count++;
        view->name = def->name;
        view->type = (int8_t)def->type;
        view->documentation = def->documentation;
        view->idle = !def->acts;
        add_synonym(arena, view, def->name, topic_config_text(config, (enum topic_config_key)key),
                    SOURCE_TOPIC);
        add_broker_synonyms(broker, arena, (enum topic_config_key)key, view);
        settle(arena, view, def->default_text);
    }
    *ret_views = views;
    *ret_count = count;
    return 0;
}

/* ---- the broker ---- */

static void add_row(const struct kafka_request *request, const struct broker_config_def *def,
                    struct config_view *view) {
    const struct broker *broker = request->userdata;
    struct arena *arena = request->arena;
    const char *value = def->idle ? NULL : broker_config_value(request, def);

    view->name = def->name;
    view->type = (int8_t)def->type;
    view->read_only = !def->kept;
    view->sensitive = def->type == CONFIG_TYPE_PASSWORD;
    view->documentation = def->documentation;
    view->idle = def->idle;
    if (def->kept) {
        add_changes(broker, arena, def->name, view);
    }
    if (value && (!def->default_text || strcmp(value, def->default_text) != 0)) {
        add_synonym(arena, view, def->name, value, SOURCE_STATIC_BROKER);
    }
    add_synonym(arena, view, def->name, def->default_text, SOURCE_DEFAULT);
    settle(arena, view, def->default_text);
}

/* A name that Kafka has no config of is shown without its value, which may be a secret. */
static void show_kept(struct config_view *view, struct span name) {
    struct topic_config_def def;

    if (broker_config_kept(name, &def)) {
        view->type = (int8_t)def.type;
        view->documentation = def.documentation;
        view->idle = !def.acts;
        return;
    }
    view->read_only = view->sensitive = true;
    view->value = SPAN_NULL;
    for (int32_t i = 0; i < view->synonym_count; i++) {
        view->synonyms[i].value = SPAN_NULL;
    }
}

/* What is set, and of no table: custom names and rates of copying. */
static int32_t add_custom(const struct kafka_request *request, const struct config_set *set,
                          const struct config_set *before, struct config_view *views) {
    const struct broker *broker = request->userdata;
    int32_t count = 0;

    for (unsigned i = 0; set && i < set->count; i++) {
        struct span name = keep(request->arena, set->pairs[i].name);
        struct config_view *view = &views[count];

        if (!name.data || broker_config_known(name) || config_set_get(before, name)) {
            continue;
        }
        view->name = name.data;
        add_changes(broker, request->arena, view->name, view);
        settle(request->arena, view, NULL);
        show_kept(view, name);
        count++;
    }
    return count;
}

static bool named_before(int key) {
    for (int i = 0; i < key; i++) {
        const char *name = topic_config_defs[i].broker_name;

        if (name && strcmp(name, topic_config_defs[key].broker_name) == 0) {
            return true;
        }
    }
    return false;
}

int broker_config_views(const struct kafka_request *request, struct config_view **ret_views,
                        int32_t *ret_count) {
    const struct broker *broker = request->userdata;
    const struct config_set *all =
        config_store_find(broker->configs, RESOURCE_BROKER, SPAN_LITERAL(""));
    char *node = arena_printf(request->arena, "%d", broker->node_id);
    const struct config_set *own =
        config_store_find(broker->configs, RESOURCE_BROKER, span_text(node ? node : "0"));
    size_t most = TOPIC_CONFIG_COUNT + broker_config_count() + (own ? own->count : 0) +
                  (all ? all->count : 0);
    struct config_view *views = arena_alloc(request->arena, most * sizeof *views);
    const struct broker_config_def *def;
    int32_t count = 0;

    if (!views) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; (def = broker_config_at(i)); i++) {
        add_row(request, def, &views[count++]);
    }
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const struct topic_config_def *fallback = &topic_config_defs[key];
        struct config_view *view = &views[count];

        if (!fallback->broker_name || named_before(key)) {
            continue;
        }
        count++;
        view->name = fallback->broker_name;
        view->type = (int8_t)fallback->type;
        view->documentation = fallback->documentation;
        view->idle = !fallback->acts;
        add_broker_synonyms(broker, request->arena, (enum topic_config_key)key, view);
        /* Where a coarser unit has the default, as log.retention.hours has, this one is null. */
        settle(request->arena, view, fallback->broker_default ? fallback->default_text : NULL);
    }
    count += add_custom(request, own, NULL, &views[count]);
    count += add_custom(request, all, own, &views[count]);
    *ret_views = views;
    *ret_count = count;
    return 0;
}

static int set_views(const struct kafka_request *request, const struct config_set *set,
                     int8_t source, struct config_view **ret_views, int32_t *ret_count) {
    int32_t count = set ? (int32_t)set->count : 0;
    struct config_view *views = arena_alloc(request->arena, ((size_t)count + 1) * sizeof *views);

    if (!views) {
        return err_origin(-ENOMEM);
    }
    for (int32_t i = 0; i < count; i++) {
        struct span name = keep(request->arena, set->pairs[i].name);

        views[i].name = name.data ? name.data : "";
        add_synonym(request->arena, &views[i], views[i].name, set->pairs[i].value, source);
        settle(request->arena, &views[i], NULL);
        show_kept(&views[i], name);
    }
    *ret_views = views;
    *ret_count = count;
    return 0;
}

int cluster_config_views(const struct kafka_request *request, struct config_view **ret_views,
                         int32_t *ret_count) {
    const struct broker *broker = request->userdata;

    return set_views(request, config_store_find(broker->configs, RESOURCE_BROKER, SPAN_LITERAL("")),
                     SOURCE_DYNAMIC_CLUSTER, ret_views, ret_count);
}

/* ---- groups and telemetry subscriptions ---- */

int resource_config_views(const struct kafka_request *request, int8_t type, struct span name,
                          struct config_view **ret_views, int32_t *ret_count) {
    const struct broker *broker = request->userdata;
    const struct config_set *set = config_store_find(broker->configs, type, name);
    size_t count;
    const struct topic_config_def *defs = resource_config_defs(type, &count);
    struct config_view *views = arena_alloc(request->arena, (count + 1) * sizeof *views);

    if (!views) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        views[i].name = defs[i].name;
        views[i].type = (int8_t)defs[i].type;
        views[i].documentation = defs[i].documentation;
        add_synonym(request->arena, &views[i], defs[i].name,
                    config_set_get(set, span_text(defs[i].name)),
                    type == RESOURCE_GROUP ? SOURCE_GROUP : SOURCE_CLIENT_METRICS);
        if (type == RESOURCE_GROUP) {
            add_synonym(request->arena, &views[i], defs[i].broker_name, defs[i].default_text,
                        SOURCE_DEFAULT);
        }
        settle(request->arena, &views[i], defs[i].default_text);
    }
    *ret_views = views;
    *ret_count = (int32_t)count;
    return 0;
}

/* ---- changes ---- */

int16_t topic_config_take(struct arena *arena, struct topic_config *config, struct span name,
                          struct span value, const char **ret_message) {
    enum topic_config_key key = topic_config_find(name);
    char message[500] = "";
    int r = 0;

    if (key == TOPIC_CONFIG_COUNT) {
        snprintf(message, sizeof message, "Unknown topic config name: %.*s",
                 (int)MIN(name.size, 300U), name.size ? (const char *)name.data : "");
    } else {
        r = topic_config_check(key, value, message, sizeof message);
        r = r ? r : topic_config_set(config, key, value);
    }
    if (message[0]) {
        *ret_message = arena_dup(arena, message, strlen(message));
    }
    return r || message[0] ? (r < 0 ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_INVALID_CONFIG) : 0;
}

int16_t topic_config_conflict(const struct kafka_request *request,
                              const struct topic_config *config, const char **ret_message) {
    const struct broker *broker = request->userdata;
    const struct topic_config *defaults = topic_log_defaults(broker->log);
    const char *least = topic_config_text(config, TOPIC_MIN_COMPACTION_LAG_MS);
    const char *most = topic_config_text(config, TOPIC_MAX_COMPACTION_LAG_MS);

    least = least ? least : topic_config_text(defaults, TOPIC_MIN_COMPACTION_LAG_MS);
    most = most ? most : topic_config_text(defaults, TOPIC_MAX_COMPACTION_LAG_MS);
    if (atoll(least) > atoll(most)) {
        *ret_message = arena_printf(request->arena,
                                    "conflict topic config setting min.compaction.lag.ms (%s) > "
                                    "max.compaction.lag.ms (%s)",
                                    least, most);
        return KAFKA_INVALID_CONFIG;
    }
    return 0;
}
