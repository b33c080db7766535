/* DeleteTopics: by name, and from version 6 on by name or id. */
#include "changes.h"

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
    if (topic->internal) {
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

static void delete_one(struct changes *changes, int32_t timeout_ms, struct span name,
                       const struct uuid *id, bool twice,
                       struct delete_topics_response_result *row) {
    struct topic *topic = find(changes, name, id, row);

    if (twice) {
        refuse(row, KAFKA_INVALID_REQUEST,
               name.data ? "Duplicate topic name." : "Duplicate topic id.");
    } else if (timeout_ms <= 0 && row->error_code != KAFKA_INVALID_REQUEST) {
        refuse(row, KAFKA_REQUEST_TIMED_OUT, NULL);
    } else if (topic) {
        delete_topic(changes, topic, row);
    }
}

/* What the request names: a name, or an id, which is told from names by its zeros or length. */
static struct span key_of(const struct delete_topics_request *body, bool ids, int32_t index) {
    if (!ids) {
        return body->topic_names[index];
    }
    return body->topics[index].name.data ? body->topics[index].name
                                         : span_of(body->topics[index].topic_id.bytes, 16);
}

/* Which rows mean a topic that another row means by its other name: 0, REPEAT_FIRST or _LATER. */
static uint8_t *find_aliases(const struct kafka_request *request, const struct span *keys,
                             int32_t count) {
    const struct delete_topics_request *body = request->body;
    const struct broker *broker = request->userdata;
    struct span *topics = arena_alloc(request->arena, ((size_t)count + 1) * sizeof *topics);

    for (int32_t i = 0; topics && i < count; i++) {
        const struct topic *topic = body->topics[i].name.data
                                        ? topic_log_find(broker->log, keys[i])
                                        : topic_log_find_id(broker->log, &body->topics[i].topic_id);

        topics[i] = topic ? span_of(topic->id.bytes, 16) : keys[i];
    }
    return topics ? repeats_find(request->arena, topics, sizeof *topics, count) : NULL;
}

static void delete_all(struct changes *changes, const struct span *keys, const uint8_t *repeats,
                       const uint8_t *aliases, int32_t count) {
    const struct kafka_request *request = changes->request;
    const struct delete_topics_request *body = request->body;
    struct delete_topics_response *answer = changes->answer;
    bool ids = request->version >= VERSION_BY_ID;

    for (int32_t i = 0; i < count; i++) {
        struct delete_topics_response_result *row = &answer->responses[answer->responses_count];
        struct topic *topic;

        if (repeats[i] == REPEAT_LATER || (!repeats[i] && aliases[i] == REPEAT_LATER)) {
            continue;
        }
        answer->responses_count++;
        if (repeats[i] || !aliases[i]) {
            delete_one(changes, body->timeout_ms, ids ? body->topics[i].name : keys[i],
                       ids ? &body->topics[i].topic_id : NULL, repeats[i] == REPEAT_FIRST, row);
            continue;
        }
        topic = body->topics[i].name.data
                    ? topic_log_find(changes->broker->log, keys[i])
                    : topic_log_find_id(changes->broker->log, &body->topics[i].topic_id);
        row->name = span_of(arena_dup(request->arena, topic->name, strlen(topic->name)),
                            strlen(topic->name));
        row->topic_id = topic->id;
        refuse(row, KAFKA_INVALID_REQUEST,
               "The provided topic name maps to an ID that was already supplied.");
    }
}

void handle_delete_topics(struct kafka_request *request) {
    const struct delete_topics_request *body = request->body;
    struct delete_topics_response *answer = KAFKA_NEW(request->arena, delete_topics_response, 1);
    struct changes *changes = answer ? changes_new(request, answer) : NULL;
    bool ids = request->version >= VERSION_BY_ID;
    int32_t count = MAX(ids ? body->topics_count : body->topic_names_count, 0);
    struct span *keys = arena_alloc(request->arena, ((size_t)count + 1) * sizeof *keys);
    uint8_t *repeats = NULL;
    uint8_t *aliases = NULL;

    for (int32_t i = 0; keys && i < count; i++) {
        keys[i] = key_of(body, ids, i);
    }
    if (keys && changes) {
        repeats = repeats_find(request->arena, keys, sizeof *keys, count);
        aliases = ids ? find_aliases(request, keys, count)
                      : arena_alloc(request->arena, (size_t)count + 1);
        answer->responses = KAFKA_NEW(request->arena, delete_topics_response_result, count);
    }
    if (!repeats || !aliases || !answer->responses) {
        free(changes);
        out_of_memory(request);
        return;
    }
    delete_all(changes, keys, repeats, aliases, count);
    changes_ready(changes, body->timeout_ms);
}
