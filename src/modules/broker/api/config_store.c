#include "config_store.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/loop/op.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIGS_TOPIC "__eventbox_configs"

enum { LOAD_READ_BYTES = 1 << 20, KEY_BYTES_MAX = 1024 };

struct config_store {
    struct broker *broker;
    struct topic_config settings; /* the broker's defaults of topics before any change */
    struct hashmap resources;     /* struct config_resource by key */
    struct list changes;          /* struct store_change.link */
    struct partition_read read;   /* while it loads */
    int64_t offset;
    void (*loaded)(void *userdata, int status);
    void *loaded_userdata;
};

/* ---- sets ---- */

static int compare(const char *a, struct span b) {
    size_t size = strlen(a);
    int order = b.size ? memcmp(a, b.data, MIN(size, b.size)) : 0;

    return order ? order : (size > b.size) - (size < b.size);
}

/* Where @name stands, or would. */
static unsigned position_of(const struct config_set *set, struct span name, bool *ret_found) {
    unsigned at = 0;
    int order = 1;

    while (at < set->count && (order = compare(set->pairs[at].name, name)) < 0) {
        at++;
    }
    *ret_found = at < set->count && order == 0;
    return at;
}

const char *config_set_get(const struct config_set *set, struct span name) {
    bool found = false;
    unsigned at = set ? position_of(set, name, &found) : 0;

    return found ? set->pairs[at].value : NULL;
}

int config_set_put(struct config_set *set, struct span name, struct span value) {
    bool found;
    unsigned at = position_of(set, name, &found);
    char *text = strndup(value.size ? value.data : "", value.size);
    char *copy = found ? NULL : strndup(name.size ? name.data : "", name.size);
    struct config_pair *grown = set->pairs;

    if (!found) {
        grown = realloc(set->pairs, (set->count + 1) * sizeof *grown);
        set->pairs = grown ? grown : set->pairs;
    }
    if (!text || !grown || (!found && !copy)) {
        free(text);
        free(copy);
        return err_origin(-ENOMEM);
    }
    if (found) {
        free(grown[at].value);
    } else {
        memmove(grown + at + 1, grown + at, (set->count - at) * sizeof *grown);
        grown[at].name = copy;
        set->count++;
    }
    grown[at].value = text;
    return 0;
}

void config_set_remove(struct config_set *set, struct span name) {
    bool found;
    unsigned at = position_of(set, name, &found);

    if (found) {
        free(set->pairs[at].name);
        free(set->pairs[at].value);
        set->count--;
        memmove(set->pairs + at, set->pairs + at + 1, (set->count - at) * sizeof *set->pairs);
    }
}

int config_set_copy(struct config_set *to, const struct config_set *from) {
    int r = 0;

    *to = (struct config_set){0};
    for (unsigned i = 0; from && !r && i < from->count; i++) {
        r = config_set_put(to, span_text(from->pairs[i].name), span_text(from->pairs[i].value));
    }
    if (r) {
        config_set_deinit(to);
    }
    return r;
}

void config_set_deinit(struct config_set *set) {
    for (unsigned i = 0; i < set->count; i++) {
        free(set->pairs[i].name);
        free(set->pairs[i].value);
    }
    free(set->pairs);
    *set = (struct config_set){0};
}

/* ---- what is set ---- */

static int make_key(int8_t type, struct span name, char *ret_key, size_t size) {
    int length = snprintf(ret_key, size, "%d:%.*s", type, (int)MIN(name.size, (size_t)INT32_MAX),
                          name.size ? (const char *)name.data : "");

    return length > 0 && (size_t)length < size ? 0 : BROKER_E_CONFIG;
}

static struct config_resource *find(const struct config_store *store, int8_t type,
                                    struct span name) {
    char key[KEY_BYTES_MAX];

    return make_key(type, name, key, sizeof key) ? NULL
                                                 : hashmap_find(&store->resources, span_text(key));
}

static void resource_free(struct config_resource *resource) {
    config_set_deinit(&resource->set);
    free(resource->key);
    free(resource);
}

/* What the broker's configs make of the defaults of topics: node before cluster before settings. */
static void apply_defaults(struct config_store *store) {
    char node[16];
    const struct config_set *own;
    const struct config_set *all = config_store_find(store, RESOURCE_BROKER, SPAN_LITERAL(""));

    snprintf(node, sizeof node, "%d", store->broker->node_id);
    own = config_store_find(store, RESOURCE_BROKER, span_text(node));
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const char *name = topic_config_defs[key].broker_name;
        const char *text = name ? config_set_get(own, span_text(name)) : NULL;

        text = text || !name ? text : config_set_get(all, span_text(name));
        text = text ? text : topic_config_text(&store->settings, (enum topic_config_key)key);
        (void)topic_log_set_default(store->broker->log, (enum topic_config_key)key,
                                    span_text(text));
    }
}

/* @key holds @set from now on, which is taken over. */
static int put_set(struct config_store *store, const char *key, struct config_set *set) {
    struct config_resource *resource = hashmap_find(&store->resources, span_text(key));
    const char *colon = strchr(key, ':');

    if (!colon) {
        return BROKER_E_CORRUPT;
    }
    if (!resource && set->count > 0) {
        resource = calloc(1, sizeof *resource);
        if (!resource || !(resource->key = strdup(key)) ||
            hashmap_put(&store->resources, span_text(resource->key), resource, NULL)) {
            if (resource) {
                free(resource->key);
            }
            free(resource);
            return err_origin(-ENOMEM);
        }
        resource->type = (int8_t)atoi(key);
        resource->name = resource->key + (colon - key) + 1;
    }
    if (resource) {
        config_set_deinit(&resource->set);
        resource->set = *set;
        if (set->count == 0) {
            hashmap_remove(&store->resources, span_text(key));
            resource_free(resource);
        }
    }
    *set = (struct config_set){0};
    if (atoi(key) == RESOURCE_BROKER) {
        apply_defaults(store);
    }
    return 0;
}

int config_store_new(struct broker *broker, struct config_store **ret_store) {
    struct config_store *store = calloc(1, sizeof *store);

    if (!store || topic_config_copy(&store->settings, topic_log_defaults(broker->log))) {
        free(store);
        return err_origin(-ENOMEM);
    }
    store->broker = broker;
    list_init(&store->changes);
    hashmap_init(&store->resources, 0x65627363, 0x6f6e6673); /* names that an administrator chose */
    *ret_store = store;
    return 0;
}

const struct config_set *config_store_find(const struct config_store *store, int8_t type,
                                           struct span name) {
    const struct config_resource *resource = store ? find(store, type, name) : NULL;

    return resource ? &resource->set : NULL;
}

const struct config_resource *config_store_next(const struct config_store *store,
                                                size_t *position) {
    return store ? hashmap_next(&store->resources, position) : NULL;
}

const struct topic_config *config_store_static(const struct broker *broker) {
    return broker->configs ? &broker->configs->settings : topic_log_defaults(broker->log);
}

const char *broker_config_static(const struct broker *broker, struct span name, const char *text) {
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const char *broker_name = topic_config_defs[key].broker_name;

        if (broker_name && span_equal(name, span_text(broker_name))) {
            return topic_config_text(config_store_static(broker), (enum topic_config_key)key);
        }
    }
    return text;
}

/* ---- changes ---- */

struct store_change {
    struct append append;
    struct append_part part;
    struct list link;
    struct topic_log_request *request;
    struct topic_log_request creation; /* of the topic; the append follows it in the journal */
};

static void on_created(struct topic_log_request *request, int status) {
}

static void change_free(struct store_change *change) {
    list_remove(&change->link);
    buf_unref(change->part.batch.buf);
    free(change);
}

static void on_durable(struct append *append, int status) {
    struct store_change *change = container_of(append, struct store_change, append);
    struct topic_log_request *request = change->request;

    change_free(change);
    request->done(request, status);
}

static void put_text(struct text *out, const char *text) {
    uint8_t size[2];

    put_le16(size, (uint16_t)strlen(text));
    text_append(out, size, sizeof size);
    text_append_str(out, text);
}

static struct buf *make_batch(const struct config_store *store, const char *key,
                              const struct config_set *set) {
    struct record_batch_builder builder;
    struct text value;
    struct buf *buf = NULL;

    text_init(&value);
    for (unsigned i = 0; i < set->count; i++) {
        put_text(&value, set->pairs[i].name);
        put_text(&value, set->pairs[i].value);
    }
    if (!text_failed(&value)) {
        record_batch_builder_init(&builder);
        record_batch_builder_add(&builder, clock_wall_ms(store->broker->clock), span_text(key),
                                 set->count ? text_span(&value) : SPAN_NULL, NULL, 0);
        buf = record_batch_builder_finish(&builder, 0);
        record_batch_builder_deinit(&builder);
    }
    text_deinit(&value);
    return buf;
}

/* The topic is made with the first change. */
static int configs_topic(struct config_store *store, struct store_change *change,
                         struct topic **ret_topic) {
    static const struct topic_config_entry configs[] = {{"cleanup.policy", "compact"}, {0}};
    struct topic_log *log = store->broker->log;
    struct topic_spec spec = {.name = span_text(CONFIGS_TOPIC),
                              .partition_count = 1,
                              .internal = true,
                              .configs = configs};
    int r = 0;

    *ret_topic = topic_log_find(log, spec.name);
    if (!*ret_topic) {
        change->creation.done = on_created;
        r = topic_log_create(log, &spec, &change->creation);
        *ret_topic = topic_log_find(log, spec.name);
    }
    return r;
}

int config_store_change(struct config_store *store, int8_t type, struct span name,
                        struct config_set *set, struct topic_log_request *request) {
    char key[KEY_BYTES_MAX];
    struct store_change *change = calloc(1, sizeof *change);
    struct topic *topic;
    int r = change ? make_key(type, name, key, sizeof key) : err_origin(-ENOMEM);

    if (r) {
        free(change);
        return r;
    }
    list_push_back(&store->changes, &change->link);
    r = configs_topic(store, change, &topic);
    if (!r) {
        struct buf *buf = make_batch(store, key, set);

        change->request = request;
        change->part.batch = buf ? slice_of(buf, 0, buf->size) : (struct slice){0};
        change->part.partition = partition_get(topic, 0);
        change->append = (struct append){
            .class = APPEND_RESERVED, .parts = &change->part, .part_count = 1, .done = on_durable};
        r = buf ? topic_log_append(store->broker->log, &change->append) : err_origin(-ENOMEM);
    }
    if (r) {
        change_free(change);
        return r;
    }
    return put_set(store, key, set);
}

/* ---- loading ---- */

static int apply_record(struct config_store *store, const struct record *record) {
    struct config_set set = {0};
    const uint8_t *at = record->value.data;
    size_t left = record->value.size;
    struct span texts[2];
    char key[KEY_BYTES_MAX];
    int r = 0;

    if (!record->key.data || record->key.size >= sizeof key) {
        return BROKER_E_CORRUPT;
    }
    memcpy(key, record->key.data, record->key.size);
    key[record->key.size] = 0;
    for (unsigned i = 0; !r && left >= 2; i++) {
        size_t size = get_le16(at);

        if (size > left - 2) {
            r = BROKER_E_CORRUPT;
            break;
        }
        texts[i & 1] = span_of(at + 2, size);
        at += 2 + size;
        left -= 2 + size;
        r = i & 1 ? config_set_put(&set, texts[0], texts[1]) : 0;
    }
    r = r ? r : put_set(store, key, &set);
    config_set_deinit(&set);
    return r;
}

/* A form of a newer version is passed over: nothing of ours. */
static void on_record(void *userdata, const struct record *record) {
    (void)apply_record(userdata, record);
}

static int apply_chunk(struct config_store *store, const struct read_chunk *chunk) {
    return record_batches_each(span_of(chunk->slice.data, chunk->slice.size), on_record, store,
                               &store->offset);
}

/* As in a new Kafka 4: the cluster has a min.insync.replicas of its own from the beginning. */
static int set_insync(struct config_store *store) {
    const char *name = topic_config_defs[TOPIC_MIN_INSYNC_REPLICAS].broker_name;
    const char *value = topic_config_text(&store->settings, TOPIC_MIN_INSYNC_REPLICAS);
    const struct config_set *all = config_store_find(store, RESOURCE_BROKER, SPAN_LITERAL(""));
    struct config_set set;
    char key[16];
    int r;

    if (config_set_get(all, span_text(name))) {
        return 0;
    }
    r = make_key(RESOURCE_BROKER, SPAN_LITERAL(""), key, sizeof key);
    r = r ? r : config_set_copy(&set, all);
    if (!r) {
        r = config_set_put(&set, span_text(name), span_text(value));
        r = r ? r : put_set(store, key, &set);
        config_set_deinit(&set);
    }
    return err_trace(r);
}

static void finish_load(struct config_store *store, int status) {
    void (*loaded)(void *userdata, int status) = store->loaded;

    status = status ? status : set_insync(store);
    store->loaded = NULL;
    loaded(store->loaded_userdata, status);
}

static void on_read(struct partition_read *read, int status);

static void load_more(struct config_store *store) {
    struct partition *partition = store->read.partition;
    int r = 0;

    while (r == 0 && store->offset < partition->high_watermark) {
        store->read.offset = store->offset;
        store->read.max_bytes = LOAD_READ_BYTES;
        store->read.min_one_batch = store->read.memory_only = true;
        store->read.done = on_read;
        r = partition_read(store->broker->log, &store->read);
        if (r == OP_WAIT) {
            return;
        }
        for (unsigned i = 0; r == 0 && i < store->read.chunk_count; i++) {
            r = apply_chunk(store, &store->read.chunks[i]);
        }
        if (r == 0 && store->read.chunk_count == 0) {
            break;
        }
        partition_read_release(&store->read);
    }
    finish_load(store, r);
}

static void on_read(struct partition_read *read, int status) {
    struct config_store *store = container_of(read, struct config_store, read);

    for (unsigned i = 0; status == 0 && i < read->chunk_count; i++) {
        status = apply_chunk(store, &read->chunks[i]);
    }
    partition_read_release(read);
    if (status) {
        finish_load(store, status);
    } else {
        load_more(store);
    }
}

void config_store_load(struct config_store *store, void (*done)(void *userdata, int status),
                       void *userdata) {
    struct topic *topic = topic_log_find(store->broker->log, span_text(CONFIGS_TOPIC));

    store->loaded = done;
    store->loaded_userdata = userdata;
    if (!topic) {
        finish_load(store, 0);
        return;
    }
    store->read.partition = partition_get(topic, 0);
    store->offset = store->read.partition->log_start_offset;
    load_more(store);
}

void config_store_free(struct config_store *store) {
    size_t position = 0;
    struct config_resource *resource;
    struct list *link;

    if (!store) {
        return;
    }
    while ((link = list_pop_front(&store->changes))) {
        change_free(list_entry(link, struct store_change, link));
    }
    while ((resource = hashmap_next(&store->resources, &position))) {
        resource_free(resource);
    }
    hashmap_deinit(&store->resources);
    topic_config_deinit(&store->settings);
    free(store);
}
