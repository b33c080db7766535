/*
 * Fetch: from the request, and the session that it goes on with, to the list of partitions to read.
 * How they are read is in fetch_collect.c, what is answered in fetch_answer.c.
 *
 *   session epoch -1    no session; one that the request names is closed
 *   session epoch 0     every partition is named; the answer carries the id of a new session
 *   any other           goes on with a session: names what changes, and what is to be forgotten
 */
#include "fetch.h"
#include "places.h"

#include <errno.h>

enum { EPOCH_FINAL = -1, EPOCH_FIRST = 0 };

/* The request's last moment: what was not handed to the connection is given back. */
static void on_free(struct kafka_request *request) {
    struct fetch *fetch = request->parked;

    for (int32_t i = 0; i < fetch->part_count; i++) {
        fetch_drop_data(&fetch->parts[i]);
    }
    for (int32_t i = 0; i < fetch->topic_count; i++) {
        if (fetch->topics[i].topic) {
            topic_unref(fetch->topics[i].topic);
        }
    }
    fetch_session_unref(fetch->session);
}

/* ---- topics and parts ---- */

/* @known_as: the name that a topic of this id had when the session met it; empty: none. */
static struct fetch_topic *add_topic(struct fetch *fetch, struct span name, const struct uuid *id,
                                     struct span known_as) {
    struct topic_log *log = fetch->broker->log;
    struct fetch_topic *topic = &fetch->topics[fetch->topic_count++];
    struct topic *found =
        fetch_by_id(fetch) ? topic_log_find_id(log, id) : topic_log_find(log, name);

    *topic = (struct fetch_topic){.error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION};
    if (fetch_by_id(fetch)) {
        topic->id = *id;
    } else {
        topic->name = name;
    }
    if (found) {
        topic->topic = topic_ref(found);
    } else if (fetch_by_id(fetch) && known_as.size == 0) {
        topic->error = KAFKA_UNKNOWN_TOPIC_ID;
    } else if (fetch_by_id(fetch)) {
        topic->successor = topic_log_find(log, known_as);
    }
    return topic;
}

/* Brokers that copy from us: there are none. */
static bool is_replica(const struct fetch_request *body, int16_t version) {
    return (version < FETCH_VERSION_REPLICA_STATE ? body->replica_id
                                                  : body->replica_state.replica_id) >= 0;
}

/* One that knows the leader's epoch, but is no replica here, must know a later one. */
static int16_t replica_error(const struct partition *partition, int32_t epoch) {
    int16_t error = leader_epoch_check(partition, MAX(epoch, -1));

    return error ? error : epoch >= 0 ? KAFKA_UNKNOWN_LEADER_EPOCH : KAFKA_NOT_LEADER_OR_FOLLOWER;
}

static void set_unknown(struct fetch_part *part, int16_t error) {
    part->error = error;
    part->high_watermark = part->last_stable_offset = part->log_start_offset = -1;
    part->final = part->unknown = true;
}

static void set_part(struct fetch *fetch, struct fetch_part *part, struct fetch_topic *topic,
                     int32_t index, const struct fetch_wanted *wanted) {
    bool replica = is_replica(fetch->request->body, fetch->request->version);

    part->fetch = fetch;
    part->topic = topic;
    part->index = index;
    part->wanted = *wanted;
    part->diverging_epoch = -1;
    part->diverging_end = -1;
    part->partition = topic->topic ? partition_get(topic->topic, index) : NULL;
    fetch->readable++;
    if (topic->successor && partition_get(topic->successor, index)) {
        fetch_fail(part, KAFKA_INCONSISTENT_TOPIC_ID); /* other data under the same name */
    } else if (!part->partition) {
        fetch->readable--;
        set_unknown(part, topic->topic ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : topic->error);
        part->round = replica || part->error == KAFKA_UNKNOWN_TOPIC_ID ? 1 : 2;
    } else if (replica) {
        fetch_fail(part, replica_error(part->partition, wanted->current_leader_epoch));
        part->partition = NULL;
    }
    if (part->partition && !fetch->first) {
        fetch->first = part;
    }
}

static struct fetch_wanted wanted_of(const struct fetch_request_partition *partition) {
    return (struct fetch_wanted){partition->fetch_offset, partition->current_leader_epoch,
                                 partition->last_fetched_epoch, partition->partition_max_bytes};
}

static int allocate(struct fetch *fetch, size_t topics, size_t parts) {
    struct arena *arena = fetch->request->arena;

    fetch->topics = arena_alloc(arena, topics * sizeof *fetch->topics);
    fetch->parts = arena_alloc(arena, parts * sizeof *fetch->parts);
    return fetch->topics && fetch->parts ? 0 : err_origin(-ENOMEM);
}

/* ---- a request that names all ---- */

static int find_twins(const struct fetch *fetch, uint32_t **ret_last) {
    enum { AT_NUMBER = offsetof(struct fetch_request_partition, partition) };
    const struct fetch_request *body = fetch->request->body;
    struct arena *arena = fetch->request->arena;

    return fetch_by_id(fetch) ? PLACES_LAST(arena, body->topics, body->topics_count, topic_id,
                                            partitions, AT_NUMBER, ret_last)
                              : PLACES_LAST(arena, body->topics, body->topics_count, topic,
                                            partitions, AT_NUMBER, ret_last);
}

static const struct fetch_request_partition **list_entries(const struct fetch *fetch,
                                                           uint32_t count) {
    const struct fetch_request *body = fetch->request->body;
    const struct fetch_request_partition **entries =
        arena_alloc(fetch->request->arena, count * sizeof *entries);
    uint32_t n = 0;

    for (int32_t i = 0; entries && i < body->topics_count; i++) {
        for (int32_t p = 0; p < body->topics[i].partitions_count; p++) {
            entries[n++] = &body->topics[i].partitions[p];
        }
    }
    return entries;
}

/* Of two entries for a partition the first gives its place, the last what is wanted. */
static int list_request(struct fetch *fetch) {
    const struct fetch_request *body = fetch->request->body;
    const struct fetch_request_partition **entries = NULL; /* NULL each: was taken */
    uint32_t count = 0;
    uint32_t entry = 0;
    uint32_t *last;

    for (int32_t i = 0; i < body->topics_count; i++) {
        count += (uint32_t)MAX(body->topics[i].partitions_count, 0);
    }
    if (allocate(fetch, (size_t)MAX(body->topics_count, 0), count) || find_twins(fetch, &last) ||
        (last && !(entries = list_entries(fetch, count)))) {
        return err_origin(-ENOMEM);
    }
    for (int32_t i = 0; i < body->topics_count; i++) {
        const struct fetch_request_topic *wanted = &body->topics[i];
        struct fetch_topic *topic =
            wanted->partitions_count > 0
                ? add_topic(fetch, wanted->topic, &wanted->topic_id, SPAN_NULL)
                : NULL;

        for (int32_t p = 0; p < wanted->partitions_count; p++, entry++) {
            const struct fetch_request_partition *from = &wanted->partitions[p];
            struct fetch_wanted values;

            if (last) {
                from = entries[last[entry]];
                entries[last[entry]] = NULL;
            }
            if (!from) {
                continue;
            }
            values = wanted_of(from);
            set_part(fetch, &fetch->parts[fetch->part_count++], topic, from->partition, &values);
        }
    }
    return 0;
}

/* ---- a request that goes on with a session ---- */

static bool update_session(struct fetch *fetch) {
    const struct fetch_request *body = fetch->request->body;
    struct fetch_sessions *sessions = fetch->broker->sessions;
    struct fetch_session *session = fetch->session;

    for (int32_t i = 0; i < body->topics_count; i++) {
        const struct fetch_request_topic *topic = &body->topics[i];

        for (int32_t p = 0; p < topic->partitions_count; p++) {
            struct fetch_wanted wanted = wanted_of(&topic->partitions[p]);

            if (!fetch_session_put(sessions, session, topic->topic, &topic->topic_id,
                                   topic->partitions[p].partition, &wanted)) {
                return false;
            }
        }
    }
    for (int32_t i = 0; i < body->forgotten_topics_data_count; i++) {
        const struct fetch_request_forgotten_topic *topic = &body->forgotten_topics_data[i];

        for (int32_t p = 0; p < topic->partitions_count; p++) {
            fetch_session_forget(sessions, session, topic->topic, &topic->topic_id,
                                 topic->partitions[p]);
        }
    }
    return true;
}

static int list_session(struct fetch *fetch) {
    struct fetch_session *session = fetch->session;

    if (allocate(fetch, session->topics.count, session->part_count)) {
        return err_origin(-ENOMEM);
    }
    list_for_each(link, &session->topic_list) {
        struct fetch_session_topic *known = list_entry(link, struct fetch_session_topic, link);
        struct span name = span_of(known->name, known->name_size);
        struct fetch_topic *topic = add_topic(fetch, name, &known->id, name);

        if (topic->topic) {
            fetch_session_know(fetch->broker->sessions, session, known,
                               span_text(topic->topic->name));
        }
        known->scratch = topic;
    }
    list_for_each(link, &session->parts) {
        struct fetch_session_part *cached = list_entry(link, struct fetch_session_part, link);
        struct fetch_part *part = &fetch->parts[fetch->part_count++];

        set_part(fetch, part, cached->key.topic->scratch, cached->key.partition, &cached->wanted);
        part->cached = cached;
    }
    return 0;
}

/*
 * Return: a Kafka error for the whole request; -ENOMEM. A session that nothing is left in is
 * closed, and the request goes on without one.
 */
static int go_on_with_session(struct fetch *fetch) {
    const struct fetch_request *body = fetch->request->body;
    struct fetch_sessions *sessions = fetch->broker->sessions;
    struct fetch_session *session =
        sessions ? fetch_session_find(sessions, body->session_id) : NULL;

    if (!session) {
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (session->epoch != body->session_epoch) {
        return KAFKA_INVALID_FETCH_SESSION_EPOCH;
    }
    if (session->by_id != fetch_by_id(fetch)) {
        return KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    }
    fetch->session = fetch_session_ref(session);
    if (!update_session(fetch)) { /* it has outgrown the cache: the client begins anew */
        fetch_session_drop(sessions, session);
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (session->part_count == 0) {
        fetch_session_drop(sessions, session);
        fetch_session_unref(session);
        fetch->session = NULL;
        return list_request(fetch);
    }
    fetch_session_touch(sessions, session);
    fetch->session_epoch = session->epoch;
    fetch->kind = FETCH_INCREMENTAL;
    return list_session(fetch);
}

static int find_parts(struct fetch *fetch) {
    const struct fetch_request *body = fetch->request->body;
    struct fetch_sessions *sessions = fetch->broker->sessions;
    struct fetch_session *old;

    fetch->kind = FETCH_SESSIONLESS;
    if (fetch->request->version < FETCH_VERSION_SESSIONS) {
        return list_request(fetch);
    }
    if (body->session_epoch != EPOCH_FINAL && body->session_epoch != EPOCH_FIRST) {
        return go_on_with_session(fetch);
    }
    old = sessions ? fetch_session_find(sessions, body->session_id) : NULL;
    if (old) {
        fetch_session_drop(sessions, old);
    }
    if (body->session_epoch == EPOCH_FIRST) {
        fetch->kind = FETCH_FULL;
    }
    return list_request(fetch);
}

/* ---- the request ---- */

/*
 * Kafka compares each partition that it cannot serve with the one before it to put those of a topic
 * into one row. One that was asked for by the id zero has neither name nor id to compare with, and
 * so another one behind it spoils the request. For a replica all that it cannot serve come in one
 * round.
 */
static bool id_is_missed(const struct fetch *fetch) {
    bool missing = false;
    bool others = false; /* which come in the last round */

    for (int32_t i = 0; fetch_by_id(fetch) && i < fetch->part_count; i++) {
        const struct fetch_part *part = &fetch->parts[i];

        if (part->round == 1 && missing) {
            return true;
        }
        missing = missing || (part->round == 1 && uuid_is_zero(&part->topic->id));
        others = others || part->round == 2;
    }
    return missing && others;
}

static bool is_level(int8_t level) {
    return level == READ_UNCOMMITTED || level == READ_COMMITTED;
}

/*
 * A level that there is not is noticed where something is read. Kafka says so for the request, and
 * before topics had ids once more for each partition that it names.
 */
static void refuse_level(const struct fetch *fetch) {
    struct kafka_request *request = fetch->request;
    const struct fetch_request *body = request->body;
    struct fetch_response *answer = KAFKA_NEW(request->arena, fetch_response, 1);
    int32_t topics = fetch_by_id(fetch) ? 0 : MAX(body->topics_count, 0);

    if (answer) {
        answer->responses = KAFKA_NEW(request->arena, fetch_response_topic, topics);
    }
    if (!answer || !answer->responses) {
        out_of_memory(request);
        return;
    }
    answer->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    answer->session_id = body->session_id;
    for (int32_t i = 0; i < topics; i++) {
        struct fetch_response_topic *row = &answer->responses[answer->responses_count++];
        int32_t count = MAX(body->topics[i].partitions_count, 0);

        row->topic = body->topics[i].topic;
        row->partitions = KAFKA_NEW(request->arena, fetch_response_partition, count);
        for (int32_t p = 0; row->partitions && p < count; p++) {
            row->partitions[p].partition_index = body->topics[i].partitions[p].partition;
            row->partitions[p].error_code = KAFKA_UNKNOWN_SERVER_ERROR;
            row->partitions[p].high_watermark = -1;
            row->partitions[p].records.span = SPAN_LITERAL("");
            row->partitions_count++;
        }
    }
    kafka_respond(request, answer);
}

void handle_fetch(struct kafka_request *request) {
    const struct fetch_request *body = request->body;
    struct broker *broker = request->userdata;
    struct fetch *fetch = arena_alloc(request->arena, sizeof *fetch);
    bool wrong_level;
    int r;

    if (!fetch) {
        out_of_memory(request);
        return;
    }
    fetch->request = request;
    fetch->broker = broker;
    fetch->max_bytes = MIN((size_t)MAX(body->max_bytes, 0), broker->fetch_max_bytes);
    request->parked = fetch;
    request->on_free = on_free;
    r = find_parts(fetch);
    wrong_level = r == 0 && !is_level(body->isolation_level) && fetch->readable > 0;
    if (r < 0) {
        out_of_memory(request);
    } else if (r > 0) {
        fetch_refuse(request, (int16_t)r);
    } else if (wrong_level) {
        refuse_level(fetch);
    } else if (id_is_missed(fetch)) {
        fetch_refuse(request, KAFKA_UNKNOWN_SERVER_ERROR);
    } else {
        request->on_gone = fetch_on_gone;
        fetch_start(fetch);
    }
}
