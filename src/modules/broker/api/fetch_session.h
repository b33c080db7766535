/*
 * Fetch sessions (KIP-227): what a client fetches is remembered, so that it names only what has
 * changed, and is told only of partitions that have something new.
 *
 * A session is made by a full request (session epoch 0) when its answer is ready, and used by
 * requests that count its epoch up. It belongs to no connection: a client that connects anew goes
 * on with it. The cache has slots and bytes; when either is used up, a new session takes the place
 * of one that was not used for two minutes, else of one that is older than that and smaller; where
 * there is none, the client gets session id 0, which is legal: it goes on with full requests.
 */
#pragma once

#include "api_private.h"

#include <eventbox/base/hashmap.h>

struct fetch_sessions;

/* A topic of a session, by name or by id as the session's requests name it. */
struct fetch_session_topic {
    struct list link;    /* in fetch_session.topics */
    struct uuid id;      /* the key where the session goes by ids */
    uint32_t part_count; /* gone with the last */
    void *scratch;       /* of the request that is being handled */
    char *name;          /* of whatever length a client gives; counted in the session's bytes */
    size_t name_size;    /* 0: an id that no topic had so far */
};

struct fetch_wanted {
    int64_t offset;
    int32_t current_leader_epoch, last_fetched_epoch, max_bytes;
};

struct fetch_session_part {
    struct list
        link; /* in fetch_session.parts: the order of reading, least recently served first */
    struct {
        struct fetch_session_topic *topic;
        int32_t partition;
    } key;
    struct fetch_wanted wanted;
    int64_t high_watermark, log_start_offset; /* as told last */
};

struct fetch_session {
    struct list link; /* in the cache: least recently used first */
    unsigned refs;    /* the cache, and requests under way */
    bool cached;
    bool by_id;
    int32_t id;
    int32_t epoch; /* of the next request */
    int64_t created_ns, used_ns;
    struct hashmap topics; /* by name or id */
    struct hashmap index;  /* by key: topic and partition */
    struct list topic_list;
    struct list parts;
    uint32_t part_count;
    size_t bytes;
};

int fetch_sessions_new(struct loop *loop, unsigned slots_max, size_t bytes_max,
                       struct fetch_sessions **ret_sessions);
void fetch_sessions_free(struct fetch_sessions *sessions); /* no request under way; accepts NULL */

struct fetch_session_stats {
    unsigned sessions;
    uint64_t partitions, evicted;
};
void fetch_sessions_stats(const struct fetch_sessions *sessions,
                          struct fetch_session_stats *ret_stats);

/** fetch_session_find() - borrowed; NULL when there is none of that id */
struct fetch_session *fetch_session_find(struct fetch_sessions *sessions, int32_t id);
/** fetch_session_new() - an empty one outside of the cache, with one reference; NULL without memory
 */
struct fetch_session *fetch_session_new(struct fetch_sessions *sessions, bool by_id);
/**
 * fetch_session_keep() - give it an id and its place in the cache; its next epoch is 1
 * Return: false when there is no place for it.
 */
bool fetch_session_keep(struct fetch_sessions *sessions, struct fetch_session *session);
/** fetch_session_touch() - used now, and its epoch counts up */
void fetch_session_touch(struct fetch_sessions *sessions, struct fetch_session *session);
/** fetch_session_drop() - out of the cache; lives on while referenced */
void fetch_session_drop(struct fetch_sessions *sessions, struct fetch_session *session);
struct fetch_session *fetch_session_ref(struct fetch_session *session);
void fetch_session_unref(struct fetch_session *session); /* accepts NULL */

/**
 * fetch_session_put() - add a partition at the end, or change what is wanted of it
 * Return: the part; NULL without memory, also where the cache's bytes are used up.
 */
struct fetch_session_part *fetch_session_put(struct fetch_sessions *sessions,
                                             struct fetch_session *session, struct span name,
                                             const struct uuid *id, int32_t partition,
                                             const struct fetch_wanted *wanted);
/** fetch_session_know() - the name of a topic that the session knows by its id; kept where there is
 * memory for it */
void fetch_session_know(struct fetch_sessions *sessions, struct fetch_session *session,
                        struct fetch_session_topic *topic, struct span name);
/** fetch_session_forget() - harmless when the partition is not in it */
void fetch_session_forget(struct fetch_sessions *sessions, struct fetch_session *session,
                          struct span name, const struct uuid *id, int32_t partition);
