/* The answer of a Fetch: which partitions stand in it, and what their session remembers of it. */
#include "fetch.h"

/* ---- what is told ---- */

/* A part of a session is told of when there is anything that the client does not know yet. */
static bool has_news(const struct fetch_part *part) {
    const struct fetch_session_part *cached = part->cached;

    return part->bytes > 0 || part->error || part->final ||
           cached->high_watermark != part->high_watermark ||
           cached->log_start_offset != part->log_start_offset;
}

/* One that was served goes behind all others, so that each has its turn at the bytes. */
static void remember(struct fetch *fetch, struct fetch_part *part) {
    struct fetch_session_part *cached = part->cached;

    cached->high_watermark = part->error ? -1 : part->high_watermark;
    cached->log_start_offset = part->log_start_offset;
    if (fetch->kind == FETCH_INCREMENTAL && part->bytes > 0) {
        list_remove(&cached->link);
        list_push_back(&fetch->session->parts, &cached->link);
    }
}

static bool same_topic(const struct fetch_part *a, const struct fetch_part *b) {
    return a->topic == b->topic || (span_equal(a->topic->name, b->topic->name) &&
                                    memcmp(&a->topic->id, &b->topic->id, sizeof a->topic->id) == 0);
}

/* The answer goes over the parts in rounds, as Kafka's does. NULL: the one at @place is of another
 * round. */
static struct fetch_part *part_at(const struct fetch *fetch, int32_t place) {
    struct fetch_part *part = &fetch->parts[place % fetch->part_count];

    return part->round == place / fetch->part_count ? part : NULL;
}

/* Marks the parts that are told, and counts them and the rows of topics that they need. */
static int32_t choose(struct fetch *fetch, int32_t *ret_topics) {
    const struct fetch_part *before = NULL;
    int32_t count = 0;

    *ret_topics = 0;
    for (int32_t i = 0; i < FETCH_ROUNDS * fetch->part_count; i++) {
        struct fetch_part *part = part_at(fetch, i);

        if (!part) {
            continue;
        }
        part->told = fetch->kind != FETCH_INCREMENTAL || has_news(part);
        if (part->told) {
            count++;
            *ret_topics += !before || !same_topic(before, part);
            before = part;
        }
    }
    return count;
}

/* From version 16 on, who asked the wrong one is told the right one (KIP-951): there is but one. */
static void tell_leader(const struct fetch_part *part, struct fetch_response_partition *row) {
    const struct fetch *fetch = part->fetch;
    const struct partition *partition =
        part->topic->topic ? partition_get(part->topic->topic, part->index) : NULL;

    if (partition && fetch->request->version >= FETCH_VERSION_LEADERS) {
        row->current_leader.leader_id = fetch->broker->node_id;
        row->current_leader.leader_epoch = partition->leader_epoch;
    }
}

static void fill_row(const struct fetch_part *part, struct fetch_response_partition *row) {
    const struct fetch_request *body = part->fetch->request->body;
    /* Kafka has no list where a batch is there but too large for what is left, or nothing is read;
     * where nothing is left at all, it has one. */
    bool cut = part->diverging_epoch >= 0 ||
               (!part->chunks && !part->starved && part->wanted.offset < part->last_stable_offset);
    bool lists = part->unknown || (body->isolation_level == READ_COMMITTED && !part->error && !cut);

    row->partition_index = part->index;
    row->error_code = part->error;
    row->high_watermark = part->high_watermark;
    row->last_stable_offset = part->last_stable_offset;
    row->log_start_offset = part->log_start_offset;
    if (part->error == KAFKA_NOT_LEADER_OR_FOLLOWER || part->error == KAFKA_FENCED_LEADER_EPOCH) {
        tell_leader(part, row);
    }
    row->diverging_epoch.epoch = part->diverging_epoch;
    row->diverging_epoch.end_offset = part->diverging_end;
    row->aborted_transactions_count = lists ? 0 : -1;
    row->records.span = SPAN_LITERAL("");
    if (part->chunks) {
        row->records =
            (struct kafka_records){.foreign = part->chunks, .foreign_bytes = part->bytes};
    }
}

static struct fetch_response *build(struct fetch *fetch) {
    struct arena *arena = fetch->request->arena;
    struct fetch_response *answer = KAFKA_NEW(arena, fetch_response, 1);
    struct fetch_response_partition *rows;
    struct fetch_response_topic *topic = NULL;
    const struct fetch_part *before = NULL;
    int32_t topics;
    int32_t count = choose(fetch, &topics);

    rows = KAFKA_NEW(arena, fetch_response_partition, count);
    if (answer) {
        answer->responses = KAFKA_NEW(arena, fetch_response_topic, topics);
    }
    if (!answer || !rows || !answer->responses) {
        return NULL;
    }
    for (int32_t i = 0; i < FETCH_ROUNDS * fetch->part_count; i++) {
        struct fetch_part *part = part_at(fetch, i);

        if (!part || !part->told) {
            continue;
        }
        if (!before || !same_topic(before, part)) {
            topic = &answer->responses[answer->responses_count++];
            topic->topic = part->topic->name;
            topic->topic_id = part->topic->id;
            topic->partitions = rows;
        }
        fill_row(part, rows++);
        topic->partitions_count++;
        before = part;
    }
    return answer;
}

/* ---- the session ---- */

static struct span name_of(const struct fetch_topic *topic) {
    return topic->topic ? span_text(topic->topic->name) : topic->name;
}

/* Everything that the request named, in a session of its own; false without memory for it. */
static bool fill_session(struct fetch *fetch, struct fetch_session *session) {
    struct fetch_sessions *sessions = fetch->broker->sessions;

    for (int32_t i = 0; i < fetch->part_count; i++) {
        struct fetch_part *part = &fetch->parts[i];

        part->cached = fetch_session_put(sessions, session, name_of(part->topic), &part->topic->id,
                                         part->index, &part->wanted);
        if (!part->cached) {
            return false;
        }
        fetch_session_know(sessions, session, part->cached->key.topic, name_of(part->topic));
        remember(fetch, part);
    }
    return true;
}

/* Return: the id of the new session; 0 when there is none. */
static int32_t make_session(struct fetch *fetch) {
    struct fetch_sessions *sessions = fetch->broker->sessions;
    struct fetch_session *session;
    int32_t id = 0;

    if (!sessions) {
        return 0;
    }
    session = fetch_session_new(sessions, fetch_by_id(fetch));
    if (session && fill_session(fetch, session) && fetch_session_keep(sessions, session)) {
        id = session->id;
    }
    fetch_session_unref(session);
    return id;
}

void fetch_answer(struct fetch *fetch) {
    struct kafka_request *request = fetch->request;
    struct fetch_response *answer;

    if (fetch->session && fetch->session->epoch != fetch->session_epoch) {
        /* Another request has gone on with the session: this one's parts may be gone from it. */
        fetch_refuse(request, KAFKA_INVALID_FETCH_SESSION_EPOCH);
        return;
    }
    answer = build(fetch);
    if (!answer) {
        out_of_memory(request);
        return;
    }
    if (fetch->kind == FETCH_FULL) {
        answer->session_id = make_session(fetch);
    } else if (fetch->kind == FETCH_INCREMENTAL) {
        answer->session_id = fetch->session->id;
        for (int32_t i = 0; i < fetch->part_count; i++) {
            if (fetch->parts[i].told) {
                remember(fetch, &fetch->parts[i]);
            }
        }
    }
    kafka_respond(request, answer);
}

void fetch_refuse(struct kafka_request *request, int16_t error) {
    const struct fetch_request *body = request->body;
    struct fetch_response *answer = KAFKA_NEW(request->arena, fetch_response, 1);

    if (!answer) {
        out_of_memory(request);
        return;
    }
    answer->error_code = error;
    if (error == KAFKA_UNKNOWN_SERVER_ERROR) { /* is found out late, when the session is known */
        answer->session_id = body->session_id;
    }
    kafka_respond(request, answer);
}
