/*
 * A Fetch under way; what handle_fetch.c (the request and its session), fetch_collect.c (reading,
 * waiting) and fetch_answer.c (the answer) share.
 */
#pragma once

#include "fetch_session.h"

enum {
    FETCH_VERSION_SESSIONS = 7,
    FETCH_VERSION_TOPIC_IDS = 13,
    FETCH_VERSION_REPLICA_STATE = 15,
    FETCH_VERSION_LEADERS = 16,
    READ_UNCOMMITTED = 0,
    READ_COMMITTED = 1,
    /* What was read; what an unknown id names; what is unknown of a known topic, or by name. A
     * replica is told of both at once. */
    FETCH_ROUNDS = 3,
};

/* A topic as the request, or its session, names it. */
struct fetch_topic {
    struct span name;
    struct uuid id;
    struct topic *topic; /* with a reference; NULL when there is none */
    int16_t error;       /* then */
    /* Has the name that a topic of this id had when the session met it; borrowed for the turn.
     * Kafka finds that out while it reads, everything else before. */
    struct topic *successor;
};

struct fetch_part {
    struct partition_waiter waiter;
    struct fetch *fetch;
    struct fetch_topic *topic;
    struct partition *partition;       /* NULL: not to be read */
    struct fetch_session_part *cached; /* NULL without a session */
    int32_t index;
    struct fetch_wanted wanted;
    /* what the answer says */
    int16_t error;
    bool final;    /* that is all there is: an error or a diverging epoch */
    bool unknown;  /* found before reading: Kafka lists no transactions as an empty list then */
    bool starved;  /* no byte was left for it */
    bool told;     /* stands in the answer */
    uint8_t round; /* of FETCH_ROUNDS, in which it stands there */
    int32_t diverging_epoch;
    int64_t diverging_end;
    int64_t high_watermark, last_stable_offset, log_start_offset;
    struct fetch_chunks *chunks; /* NULL: nothing was read */
    size_t bytes;
    size_t memory_bytes; /* of these, what is no file; counted in broker.answer_bytes */
};

enum fetch_kind { FETCH_SESSIONLESS, FETCH_FULL, FETCH_INCREMENTAL };

struct fetch {
    struct list link; /* in broker.fetches while parked */
    struct kafka_request *request;
    struct broker *broker;
    enum fetch_kind kind;
    struct fetch_session *session; /* of an incremental one, with a reference */
    int32_t session_epoch;         /* that the session must still have at the answer */
    struct fetch_topic *topics;
    int32_t topic_count;
    struct fetch_part *parts;
    int32_t part_count;
    const struct fetch_part *first; /* that is there; NULL: none */
    int32_t readable; /* parts of which reading tells more than that they are unknown */
    int32_t next;     /* part to read next */
    size_t bytes;     /* collected */
    size_t max_bytes;
    int64_t deadline_ns;
    struct timer timer;
    struct loop_task again; /* collect at the end of the turn */
    bool again_posted;
    bool parked;
    bool waiting;         /* its waiters are linked */
    bool reading;         /* waits for the disk */
    size_t reading_bytes; /* counted in broker.answer_bytes meanwhile */
    bool woken;           /* while reading */
    bool ended;           /* the deadline has passed, or the server drains */
    bool at_once;         /* some part has something that the client should know now */
    bool gone;
    struct partition_read read; /* of parts[next] */
};

static inline bool fetch_by_id(const struct fetch *fetch) {
    return fetch->request->version >= FETCH_VERSION_TOPIC_IDS;
}

/* ---- fetch_collect.c ---- */
/** fetch_start() - read, wait, answer; from now on the request is the fetch's */
void fetch_start(struct fetch *fetch);
/** fetch_fail() - @part has an error that reading found: the answer does not wait */
void fetch_fail(struct fetch_part *part, int16_t error);
void fetch_on_gone(struct kafka_request *request);
/** fetch_drop_data() - gives back what was read of @part */
void fetch_drop_data(struct fetch_part *part);

/* ---- fetch_answer.c ---- */
/** fetch_answer() - encode what was collected, and remember it in the session */
void fetch_answer(struct fetch *fetch);
/** fetch_refuse() - an answer that is an error for the whole request */
void fetch_refuse(struct kafka_request *request, int16_t error);
