#include "fetch_session.h"

#include <errno.h>
#include <stdlib.h>

enum {
    EVICTION_S = 120, /* Kafka's min.incremental.fetch.session.eviction.ms */
    INDEX_BYTES = 64, /* of hash tables, for a part or a topic */
    KEY_BYTES = sizeof(void *) + sizeof(int32_t),
};

struct fetch_sessions {
    struct loop *loop;
    unsigned slots_max;
    size_t bytes_max;
    struct hashmap by_id;
    struct list lru; /* struct fetch_session.link */
    size_t bytes;    /* of the sessions in the cache */
    uint64_t partitions, evicted;
};

int fetch_sessions_new(struct loop *loop, unsigned slots_max, size_t bytes_max,
                       struct fetch_sessions **ret_sessions) {
    struct fetch_sessions *sessions = calloc(1, sizeof *sessions);

    if (!sessions) {
        return err_origin(-ENOMEM);
    }
    sessions->loop = loop;
    sessions->slots_max = slots_max;
    sessions->bytes_max = bytes_max;
    hashmap_init(&sessions->by_id, random_u64(random_system()), random_u64(random_system()));
    list_init(&sessions->lru);
    *ret_sessions = sessions;
    return 0;
}

void fetch_sessions_free(struct fetch_sessions *sessions) {
    if (!sessions) {
        return;
    }
    while (!list_empty(&sessions->lru)) {
        fetch_session_drop(sessions, list_entry(sessions->lru.next, struct fetch_session, link));
    }
    hashmap_deinit(&sessions->by_id);
    free(sessions);
}

void fetch_sessions_stats(const struct fetch_sessions *sessions,
                          struct fetch_session_stats *ret_stats) {
    *ret_stats = (struct fetch_session_stats){(unsigned)sessions->by_id.count, sessions->partitions,
                                              sessions->evicted};
}

/* ---- one session ---- */

struct fetch_session *fetch_session_new(struct fetch_sessions *sessions, bool by_id) {
    struct fetch_session *session = calloc(1, sizeof *session);

    if (!session) {
        return NULL;
    }
    session->refs = 1;
    session->by_id = by_id;
    session->bytes = sizeof *session;
    hashmap_init(&session->topics, sessions->by_id.seed[0], sessions->by_id.seed[1]);
    hashmap_init(&session->index, sessions->by_id.seed[0], sessions->by_id.seed[1]);
    list_init(&session->topic_list);
    list_init(&session->parts);
    return session;
}

struct fetch_session *fetch_session_ref(struct fetch_session *session) {
    session->refs++;
    return session;
}

static void free_topic(struct fetch_session_topic *topic) {
    free(topic->name);
    free(topic);
}

void fetch_session_unref(struct fetch_session *session) {
    struct list *link;

    if (!session || --session->refs > 0) {
        return;
    }
    while ((link = list_pop_front(&session->parts))) {
        free(list_entry(link, struct fetch_session_part, link));
    }
    while ((link = list_pop_front(&session->topic_list))) {
        free_topic(list_entry(link, struct fetch_session_topic, link));
    }
    hashmap_deinit(&session->index);
    hashmap_deinit(&session->topics);
    free(session);
}

/* A session outside of the cache counts for nobody. */
static void count_bytes(struct fetch_sessions *sessions, struct fetch_session *session,
                        size_t bytes) {
    session->bytes += bytes;
    if (session->cached) {
        sessions->bytes += bytes;
    }
}

static void count(struct fetch_sessions *sessions, struct fetch_session *session, int parts,
                  size_t size) {
    count_bytes(sessions, session, parts < 0 ? (size_t)0 - size - INDEX_BYTES : size + INDEX_BYTES);
}

static struct span topic_key(const struct fetch_session *session,
                             const struct fetch_session_topic *topic) {
    return session->by_id ? span_of(topic->id.bytes, sizeof topic->id.bytes)
                          : span_of(topic->name, topic->name_size);
}

static struct fetch_session_topic *find_topic(const struct fetch_session *session, struct span name,
                                              const struct uuid *id) {
    struct span key = session->by_id ? span_of(id->bytes, sizeof id->bytes) : name;

    return hashmap_find(&session->topics, key);
}

static bool keep_name(struct fetch_session_topic *topic, struct span name) {
    topic->name = name.size > 0 ? malloc(name.size) : NULL;
    if (topic->name) {
        memcpy(topic->name, name.data, name.size);
        topic->name_size = name.size;
    }
    return topic->name_size == name.size;
}

static struct fetch_session_topic *add_topic(struct fetch_sessions *sessions,
                                             struct fetch_session *session, struct span name,
                                             const struct uuid *id) {
    struct fetch_session_topic *topic = calloc(1, sizeof *topic);

    if (!topic) {
        return NULL;
    }
    if (session->by_id) {
        topic->id = *id;
    }
    if ((!session->by_id && !keep_name(topic, name)) ||
        hashmap_put(&session->topics, topic_key(session, topic), topic, NULL)) {
        free_topic(topic);
        return NULL;
    }
    list_push_back(&session->topic_list, &topic->link);
    count(sessions, session, 1, sizeof *topic + topic->name_size);
    return topic;
}

static void remove_topic(struct fetch_sessions *sessions, struct fetch_session *session,
                         struct fetch_session_topic *topic) {
    hashmap_remove(&session->topics, topic_key(session, topic));
    list_remove(&topic->link);
    count(sessions, session, -1, sizeof *topic + topic->name_size);
    free_topic(topic);
}

static struct fetch_session_part *find_part(const struct fetch_session *session,
                                            struct fetch_session_topic *topic, int32_t partition) {
    struct fetch_session_part wanted = {.key = {topic, partition}};

    return hashmap_find(&session->index, span_of(&wanted.key, KEY_BYTES));
}

static struct fetch_session_part *add_part(struct fetch_sessions *sessions,
                                           struct fetch_session *session,
                                           struct fetch_session_topic *topic, int32_t partition) {
    struct fetch_session_part *part = calloc(1, sizeof *part);

    if (!part) {
        return NULL;
    }
    part->key.topic = topic;
    part->key.partition = partition;
    part->high_watermark = part->log_start_offset = -1;
    if (hashmap_put(&session->index, span_of(&part->key, KEY_BYTES), part, NULL)) {
        free(part);
        return NULL;
    }
    list_push_back(&session->parts, &part->link);
    topic->part_count++;
    session->part_count++;
    sessions->partitions += session->cached;
    count(sessions, session, 1, sizeof *part);
    return part;
}

struct fetch_session_part *fetch_session_put(struct fetch_sessions *sessions,
                                             struct fetch_session *session, struct span name,
                                             const struct uuid *id, int32_t partition,
                                             const struct fetch_wanted *wanted) {
    struct fetch_session_topic *topic = find_topic(session, name, id);
    struct fetch_session_part *part;

    if (!topic) {
        topic = add_topic(sessions, session, name, id);
    }
    if (!topic) {
        return NULL;
    }
    part = find_part(session, topic, partition);
    if (!part && (session->cached ? sessions->bytes : session->bytes) <= sessions->bytes_max) {
        part = add_part(sessions, session, topic, partition);
    }
    if (part) {
        part->wanted = *wanted;
    } else if (topic->part_count == 0) {
        remove_topic(sessions, session, topic);
    }
    return part;
}

void fetch_session_know(struct fetch_sessions *sessions, struct fetch_session *session,
                        struct fetch_session_topic *topic, struct span name) {
    if (topic->name_size == 0 && keep_name(topic, name)) {
        count_bytes(sessions, session, topic->name_size);
    }
}

void fetch_session_forget(struct fetch_sessions *sessions, struct fetch_session *session,
                          struct span name, const struct uuid *id, int32_t partition) {
    struct fetch_session_topic *topic = find_topic(session, name, id);
    struct fetch_session_part *part = topic ? find_part(session, topic, partition) : NULL;

    if (!part) {
        return;
    }
    hashmap_remove(&session->index, span_of(&part->key, KEY_BYTES));
    list_remove(&part->link);
    free(part);
    session->part_count--;
    sessions->partitions -= session->cached;
    count(sessions, session, -1, sizeof *part);
    if (--topic->part_count == 0) {
        remove_topic(sessions, session, topic);
    }
}

/* ---- the cache ---- */

static struct span id_key(const struct fetch_session *session) {
    return span_of(&session->id, sizeof session->id);
}

struct fetch_session *fetch_session_find(struct fetch_sessions *sessions, int32_t id) {
    return hashmap_find(&sessions->by_id, span_of(&id, sizeof id));
}

void fetch_session_drop(struct fetch_sessions *sessions, struct fetch_session *session) {
    if (!session->cached) {
        return;
    }
    session->cached = false;
    sessions->bytes -= session->bytes;
    sessions->partitions -= session->part_count;
    hashmap_remove(&sessions->by_id, id_key(session));
    list_remove(&session->link);
    fetch_session_unref(session);
}

/* Of those that are old enough the smallest, where that is smaller than @session. */
static struct fetch_session *find_lesser(const struct fetch_sessions *sessions,
                                         const struct fetch_session *session, int64_t before_ns) {
    struct fetch_session *found = NULL;

    list_for_each(link, &sessions->lru) {
        struct fetch_session *other = list_entry(link, struct fetch_session, link);

        if (other->created_ns < before_ns && other->part_count < session->part_count &&
            (!found || other->part_count < found->part_count)) {
            found = other;
        }
    }
    return found;
}

static bool evict_one(struct fetch_sessions *sessions, const struct fetch_session *session) {
    int64_t before_ns = loop_now_ns(sessions->loop) - EVICTION_S * NS_PER_SEC;
    struct fetch_session *victim;

    if (list_empty(&sessions->lru)) {
        return false;
    }
    victim = list_entry(sessions->lru.next, struct fetch_session, link);
    if (victim->used_ns >= before_ns) {
        victim = find_lesser(sessions, session, before_ns);
    }
    if (!victim) {
        return false;
    }
    fetch_session_drop(sessions, victim);
    sessions->evicted++;
    return true;
}

bool fetch_session_keep(struct fetch_sessions *sessions, struct fetch_session *session) {
    if (sessions->slots_max == 0 || session->bytes > sessions->bytes_max) {
        return false;
    }
    while (sessions->by_id.count >= sessions->slots_max ||
           sessions->bytes + session->bytes > sessions->bytes_max) {
        if (!evict_one(sessions, session)) {
            return false;
        }
    }
    do {
        session->id = 1 + (int32_t)random_below(random_system(), INT32_MAX);
    } while (fetch_session_find(sessions, session->id));
    if (hashmap_put(&sessions->by_id, id_key(session), session, NULL)) {
        session->id = 0;
        return false;
    }
    session->epoch = 1;
    session->created_ns = session->used_ns = loop_now_ns(sessions->loop);
    session->cached = true;
    list_push_back(&sessions->lru, &session->link);
    sessions->bytes += session->bytes;
    sessions->partitions += session->part_count;
    fetch_session_ref(session);
    return true;
}

void fetch_session_touch(struct fetch_sessions *sessions, struct fetch_session *session) {
    session->used_ns = loop_now_ns(sessions->loop);
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    list_remove(&session->link);
    list_push_back(&sessions->lru, &session->link);
}
