/* DeleteTopics: by name, and from version 6 on by name or id. */
#include "changes.h"

#include <errno.h>
#include <stdlib.h>

enum { VERSION_BY_ID = 6 };

static void refuse(struct delete_topics_response_result *row, int16_t error, const char *message) {
    row->error_code = error;
    row->error_message = message ? span_text(message) : SPAN_NULL;
}

static void fill_row(struct change *change, int16_t error, const char *message) {
    refuse(change->row, error, message);
    if (!error) {
        broker_event(change->changes->broker, KAFKA_SERVER_TOPIC_DELETED, change->changes->request,
                     "%s", change->topic->name);
    }
}

static int16_t check_delete(const struct topic *topic, const char **ret_message) {
    if (topic->declared) {
        *ret_message = "A module of eventbox declares this topic.";
        return KAFKA_POLICY_VIOLATION;
    }
    if (topic_name_reserved_ours(span_text(topic->name))) {
        *ret_message = "The topic is the broker's own.";
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    return 0;
}

static void delete_topic(struct changes *changes, struct topic *topic,
                         struct delete_topics_response_result *row) {
    const struct broker *broker = changes->broker;
    const char *message = NULL;
    int16_t error = check_delete(topic, &message);
    struct change *change;
    int r;

    row->topic_id = topic->id;
    row->name = span_text(topic->name); /* until the topic goes: */
    row->name =
        span_of(arena_dup(changes->request->arena, row->name.data, row->name.size), row->name.size);
    change = error ? NULL : changes_begin(changes, topic, row, fill_row);
    if (!change) {
        refuse(row, error ? error : KAFKA_UNKNOWN_SERVER_ERROR, message);
        return;
    }
    r = topic_log_delete(broker->log, topic, &change->request);
    if (r) {
        changes_refused(change, r);
        return;
    }
    if (broker->config && broker->config->topic_deleted) { /* its committed offsets go too */
        broker->config->topic_deleted(broker->config->group_userdata, row->name);
    }
}

/* What the request names, with Kafka's words for what it does not. */
static struct topic *find(const struct changes *changes, struct span name, const struct uuid *id,
                          struct delete_topics_response_result *row) {
    struct topic_log *log = changes->broker->log;
    bool by_id = id && !uuid_is_zero(id);
    struct topic *topic = NULL;

    row->name = name;
    if (id) {
        row->topic_id = *id;
    }
    if (name.data && by_id) {
        refuse(row, KAFKA_INVALID_REQUEST, "You may not specify both topic name and topic id.");
    } else if (!name.data && !by_id) {
        refuse(row, KAFKA_INVALID_REQUEST, "Neither topic name nor id were specified.");
    } else if (by_id) {
        topic = topic_log_find_id(log, id);
        if (!topic) {
            refuse(row, KAFKA_UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
        }
    } else {
        topic = topic_log_find(log, name);
        if (!topic) {
            refuse(row, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                   "This server does not host this topic-partition.");
        }
    }
    return topic;
}

/* The names and ids that mean something, as the request has them; the others are refused. */
struct named {
    struct span *keys;
    int32_t *places; /* in the request */
    int32_t count;
    uint8_t *repeats; /* the same name, or the same id, twice */
    uint8_t *aliases; /* a name and an id of one topic */
};

/* A name without an id, or an id without a name. */
static bool is_named(const struct delete_topics_request *body, bool ids, int32_t index) {
    return !ids || !body->topics[index].name.data != uuid_is_zero(&body->topics[index].topic_id);
}

static struct span key_of(const struct delete_topics_request *body, bool ids, int32_t index) {
    if (!ids) {
        return body->topic_names[index];
    }
    return body->topics[index].name.data ? body->topics[index].name
                                         : span_of(body->topics[index].topic_id.bytes, 16);
}

static struct topic *topic_of(const struct kafka_request *request, int32_t index) {
    const struct delete_topics_request *body = request->body;
    const struct broker *broker = request->userdata;

    return body->topics[index].name.data
               ? topic_log_find(broker->log, body->topics[index].name)
               : topic_log_find_id(broker->log, &body->topics[index].topic_id);
}

/* Which rows mean a topic that another row means by its other name: 0, REPEAT_FIRST or _LATER. */
static uint8_t *find_aliases(const struct kafka_request *request, const struct named *named) {
    struct span *topics = arena_alloc(request->arena, ((size_t)named->count + 1) * sizeof *topics);

    for (int32_t i = 0; topics && i < named->count; i++) {
        const struct topic *topic = topic_of(request, named->places[i]);

        topics[i] = topic ? span_of(topic->id.bytes, 16) : named->keys[i];
    }
    return topics ? repeats_find(request->arena, topics, sizeof *topics, named->count) : NULL;
}

static int find_named(const struct kafka_request *request, int32_t count, struct named *named) {
    const struct delete_topics_request *body = request->body;
    struct arena *arena = request->arena;
    bool ids = request->version >= VERSION_BY_ID;

    named->keys = arena_alloc(arena, ((size_t)count + 1) * sizeof *named->keys);
    named->places = arena_alloc(arena, ((size_t)count + 1) * sizeof *named->places);
    if (!named->keys || !named->places) {
        return err_origin(-ENOMEM);
    }
    for (int32_t i = 0; i < count; i++) {
        if (is_named(body, ids, i)) {
            named->places[named->count] = i;
            named->keys[named->count++] = key_of(body, ids, i);
        }
    }
    named->repeats = repeats_find(arena, named->keys, sizeof *named->keys, named->count);
    named->aliases =
        ids ? find_aliases(request, named) : arena_alloc(arena, (size_t)named->count + 1);
    return named->repeats && named->aliases ? 0 : err_origin(-ENOMEM);
}

static void refuse_alias(const struct kafka_request *request, const struct topic *topic,
                         struct delete_topics_response_result *row) {
    row->name =
        span_of(arena_dup(request->arena, topic->name, strlen(topic->name)), strlen(topic->name));
    row->topic_id = topic->id;
    refuse(row, KAFKA_INVALID_REQUEST,
           "The provided topic name maps to an ID that was already supplied.");
}

/* @k: the place of it among the named ones, -1 for what names nothing. */
static void delete_one(struct changes *changes, const struct named *named, int32_t k, int32_t index,
                       struct delete_topics_response_result *row) {
    const struct kafka_request *request = changes->request;
    const struct delete_topics_request *body = request->body;
    bool ids = request->version >= VERSION_BY_ID;
    struct span name = ids ? body->topics[index].name : body->topic_names[index];
    struct topic *topic = find(changes, name, ids ? &body->topics[index].topic_id : NULL, row);

    if (k < 0) {
        return; /* find() has said why */
    }
    if (named->repeats[k]) {
        refuse(row, KAFKA_INVALID_REQUEST,
               name.data ? "Duplicate topic name." : "Duplicate topic id.");
    } else if (named->aliases[k]) {
        refuse_alias(request, topic, row);
    } else if (topic) {
        delete_topic(changes, topic, row);
    }
}

/* Kafka looks up what is named before it tells of anything; for that the time may be over. */
static void delete_all(struct changes *changes, const struct named *named, int32_t count) {
    const struct kafka_request *request = changes->request;
    const struct delete_topics_request *body = request->body;
    struct delete_topics_response *answer = changes->answer;
    bool late = body->timeout_ms <= 0 && repeats_any_single(named->repeats, named->count);
    bool ids = request->version >= VERSION_BY_ID;
    int32_t next = 0;

    for (int32_t i = 0; i < count; i++) {
        struct delete_topics_response_result *row = &answer->responses[answer->responses_count];
        int32_t k = next < named->count && named->places[next] == i ? next++ : -1;

        if (late) {
            row->name = ids ? body->topics[i].name : body->topic_names[i];
            row->topic_id = ids ? body->topics[i].topic_id : row->topic_id;
            refuse(row, KAFKA_REQUEST_TIMED_OUT, NULL);
        } else if (k >= 0 && (named->repeats[k] == REPEAT_LATER ||
                              (!named->repeats[k] && named->aliases[k] == REPEAT_LATER))) {
            continue;
        } else {
            delete_one(changes, named, k, i, row);
        }
        answer->responses_count++;
    }
}

void handle_delete_topics(struct kafka_request *request) {
    const struct delete_topics_request *body = request->body;
    struct delete_topics_response *answer = KAFKA_NEW(request->arena, delete_topics_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    bool ids = request->version >= VERSION_BY_ID;
    int32_t count = MAX(ids ? body->topics_count : body->topic_names_count, 0);
    struct named named = {0};

    if (changes) {
        answer->responses = KAFKA_NEW(request->arena, delete_topics_response_result, count);
    }
    if (!changes || !answer->responses || find_named(request, count, &named)) {
        free(changes);
        out_of_memory(request);
        return;
    }
    delete_all(changes, &named, count);
    changes_ready(changes, body->timeout_ms);
}
