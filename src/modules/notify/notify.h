/* What the files of the notification service share. The reading order is that of README.md. */
#pragma once

#include "provider.h"

#include <eventbox/base/arena.h>
#include <eventbox/base/crypto.h>
#include <eventbox/host/module.h>
#include <eventbox/host/service_op.h>

struct notify;

/* ---- names ---- */

enum channel { CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_PUSH };
extern const char *const channel_names[]; /* by enum channel; ends with NULL */

/*
 * States of a delivery; README.md draws the edges. sent, failed, dead and in_doubt are final here:
 * no edge leaves them without a person.
 */
enum delivery_state {
    DELIVERY_QUEUED,
    DELIVERY_SENDING,
    DELIVERY_SENT,
    DELIVERY_RETRYING,
    DELIVERY_FAILED,
    DELIVERY_IN_DOUBT,
    DELIVERY_DEAD,
};
extern const char *const delivery_state_names[]; /* by enum delivery_state; ends with NULL */

enum notify_foreign_ids { NOTIFY_FOREIGN_LOCAL, NOTIFY_FOREIGN_TRUST };

#define NOTIFY_GROUP "notification-service"

/* ---- event.c: what a record asks for; pure ---- */

enum event_action {
    EVENT_ADVANCE, /* nothing but the offset */
    EVENT_WELCOME, /* a user of ours was registered: mail */
    EVENT_FOREIGN, /* another program's: an entry of the local mailbox, without an address */
    EVENT_POISON,  /* not understood: a dead letter with the raw bytes */
};

enum {
    EVENT_TEXT_BYTES_MAX = 16 * 1024,  /* of a foreign record's value */
    EVENT_RAW_BYTES_MAX = 1024 * 1024, /* kept of a poison record */
};

struct event {
    enum event_action action;
    int64_t offset;
    struct span source, event_id; /* the key of the inbox */
    bool weak;                    /* made of the offset: cannot catch a producer's duplicate */
    uint8_t digest[SHA256_BYTES]; /* of key and value */
    bool has_user_id;
    int64_t user_id;
    struct span address, subject, message;
    struct span dedupe_key; /* data NULL: none */
    bool has_trace;
    struct trace trace;
    const char *error;               /* POISON: static */
    struct span key, value, headers; /* POISON: raw; headers as JSON */

    /* Written by ingest_body(). */
    int64_t notification_id; /* 0: none was made */
    bool poisoned;
};

struct event_context {
    const char *topic;
    bool cloud_events; /* users.events: registrations are acted on; else every record is an entry */
    struct uuid topic_id;
    const char *origin; /* this store's uuid as text */
    int foreign_ids;
};

/**
 * event_decode() - judge one record
 * @arena: takes copies of everything that @ret_event refers to
 * Return: 0; -ENOMEM.
 */
int event_decode(const struct event_context *context, const struct topic_message *message,
                 struct arena *arena, struct event *ret_event);

/* ---- rows.c: notifications and deliveries in the store ---- */

struct notification_new {
    const char *kind; /* "welcome", "foreign", "manual" */
    enum channel channel;
    struct span source, event_id; /* data NULL: none */
    bool has_user_id;
    int64_t user_id;
    struct span address; /* data NULL: none */
    struct span subject, message;
    struct span dedupe_key;
    const struct trace *trace; /* NULL: none */
    const struct provider *provider;
    const char *reason; /* shown beside the state; NULL: none */
    int64_t now_ms;
};
/** notification_insert() - notification and delivery; *ret_id 0 when the dedupe key was there */
int notification_insert(struct store_tx *tx, const struct notification_new *notification,
                        int64_t *ret_id);

/** notification_write_json() - one notification with its deliveries. Return: 0; NOTIFY_E_NOT_FOUND;
 * negative */
int notification_write_json(struct store_tx *tx, int64_t id, struct text *out);

struct notification_query {
    struct body_int state, channel, user_id, limit, cursor;
};
/**
 * notification_write_list() - a page, newest first, as an array
 * @ret_next_cursor: cursor of the next page; 0: this is the last
 */
int notification_write_list(struct store_tx *tx, const struct notification_query *query,
                            struct text *out, int64_t *ret_next_cursor);

/* ---- consumer.c, ingest.c: records become rows ---- */

struct consumer;

/* One batch of records on its way into the store. */
struct ingest {
    struct store_job job;
    struct consumer *consumer;
    struct arena arena;
    struct event *events;
    size_t count;
    const char *topic;
    char topic_id[UUID_TEXT_SIZE];
    int64_t expected_offset, next_offset;
    bool in_store;               /* queued; else it waits to be tried again */
    const struct provider *mail; /* for welcomes */
    int64_t now_ms;
};
/**
 * ingest_body() - T1: offset, inbox, notifications and deliveries of one batch, all or nothing
 * Return: 0; -ESTALE when another consumer has moved the offset; negative.
 */
int ingest_body(struct store_tx *tx, struct store_job *job);

struct consumer_position {
    struct store_job job;
    struct consumer *consumer;
    const char *topic;
    char topic_id[UUID_TEXT_SIZE];
    int64_t log_start_offset;
    int64_t now_ms;
    int64_t next_offset; /* out */
};
/** consumer_position_body() - the stored offset; 0 for a topic made anew, never before the log's
 * start */
int consumer_position_body(struct store_tx *tx, struct store_job *job);

struct consumer {
    struct notify *notify;
    const char *topic;
    bool cloud_events;
    struct topic_subscription *subscription;
    struct uuid topic_id;
    int64_t next_offset;
    int64_t
        end_seen; /* nothing is left below; the log may leave offsets out, far behind the next */
    struct ingest *ingest; /* in the store, or waiting to be tried again */
    struct consumer_position position;
    bool position_waits;
    struct timer retry, mirror_again;
    int failure; /* status of the last failure; 0: none since */
    bool stopping;
};
void consumer_init(struct consumer *consumer, struct notify *notify, const char *topic,
                   bool cloud_events);
void consumer_start(struct consumer *consumer);
/** consumer_stop() - no new batch; true when none is in the store, else notify_progress() follows
 */
bool consumer_stop(struct consumer *consumer);
/** consumer_lag() - records behind the log's end; -1: not known */
int64_t consumer_lag(const struct consumer *consumer);

/* ---- claim.c: the three durable steps of an attempt ---- */

/* A delivery that is claimed: on its way out, or its outcome on the way into the store. */
struct flight {
    struct list link;
    struct notify *notify;
    int64_t delivery_id, notification_id;
    int64_t fence, attempts;
    char attempt_id[UUID_TEXT_SIZE];
    bool has_user_id;
    int64_t user_id;
    bool has_trace;
    struct trace trace;
    struct text address, subject, message;
    struct outcome outcome;

    struct store_job job; /* T3 */
    enum delivery_state next_state;
    int64_t next_attempts, next_at_ms, now_ms;
    struct timer retry; /* the store was busy: the outcome is kept here */
};
void flight_free(struct flight *flight); /* accepts NULL */

enum { CLAIM_MAX = 256 };

struct claim {
    struct store_job job;
    struct notify *notify;
    const char *provider;
    size_t limit;
    struct uuid attempt_ids[CLAIM_MAX];
    int64_t now_ms;
    struct list flights; /* out */
    size_t count;        /* out */
    int64_t next_due_ms; /* out; 0: nothing waits */
#ifdef MUTANT_CLAIM      /* the build without durable claims knows what is on its way from here */
    int64_t in_flight[CLAIM_MAX];
    size_t in_flight_count;
#endif
};
/** claim_body() - T2: due deliveries to sending, fence raised, an attempt begun. Nothing left
 * before this is durable */
int claim_body(struct store_tx *tx, struct store_job *job);
void claim_free(struct claim *claim);
/** outcome_body() - T3: what came of an attempt; a late one of an older fence changes nothing */
int outcome_body(struct store_tx *tx, struct store_job *job);

/* What was under way when the process ended. */
struct recovery {
    struct store_job job;
    struct notify *notify;
    int64_t now_ms;
    size_t count; /* out: how many became in_doubt */
    struct {
        int64_t notification_id, user_id;
        bool has_user_id, has_trace;
        struct trace trace;
    } found[CLAIM_MAX];
};
/** recovery_body() - every attempt without an outcome, and its delivery, becomes in_doubt */
int recovery_body(struct store_tx *tx, struct store_job *job);

/* ---- sender.c: from due to done ---- */

struct sender {
    struct notify *notify;
    struct http_client *client;
    struct claim *claim; /* in the store */
    bool wake_again;     /* something became due meanwhile */
    struct list flights;
    size_t flight_count;
    int64_t held_until_ns;    /* loop time; nothing leaves before */
    unsigned config_refusals; /* in a row; while not 0 one at a time leaves, to try */
    struct timer wake;
    bool stopping;
};
int sender_start(struct sender *sender, struct notify *notify);
/** sender_wake() - look for due deliveries now */
void sender_wake(struct sender *sender);
/** sender_stop() - no more claims; true when nothing is in flight, else notify_progress() follows
 */
bool sender_stop(struct sender *sender);
/** sender_abort() - the deadline has come: what is on the wire ends as unknown */
void sender_abort(struct sender *sender);
/** sender_deinit() - nothing is in flight */
void sender_deinit(struct sender *sender);
/** sender_backoff_ms() - full jitter: uniform in [0, min(cap, base * 2^(attempts-1))] */
int64_t sender_backoff_ms(struct random *random, int64_t base_ms, int64_t cap_ms, int64_t attempts);

/* ---- routes ---- */

struct notify_op {
    struct service_op service;
    struct notify *notify;
};
static inline struct notify_op *notify_op_of(struct op *op) {
    return container_of(op, struct notify_op, service.http.op);
}

struct notification_fields {
    struct body_int type;
    struct body_string to, recipient, subject, body, message;
    struct body_int user_id;
};
struct notification_path {
    struct body_int notification_id;
};
struct list_op {
    struct notify_op base;
    int64_t next_cursor;
};
struct create {
    struct notify_op base;
    struct notification_new wanted; /* borrows from the request */
    int64_t id;
};
extern const struct body_row notification_create_rows[], notification_path_rows[],
    notification_query_rows[], notification_schema_rows[], delivery_schema_rows[],
    provider_schema_rows[];
extern const struct op_step notify_create_steps[], notify_get_steps[], notify_list_steps[];
void notify_handle_providers(struct http_request *request);

enum { RECIPIENT_BYTES_MAX = 4096 }; /* of the longest kind, a device's token */

/** recipient_problem() - message when @recipient is none of @channel; NULL: good. Pure */
const char *recipient_problem(enum channel channel, struct span recipient);

/* ---- module.c: state ---- */

enum notify_metric {
    NOTIFY_M_RECORDS,
    NOTIFY_M_ACCEPTED,
    NOTIFY_M_DUPLICATES,
    NOTIFY_M_POISON,
    NOTIFY_M_SENT,
    NOTIFY_M_RETRIED,
    NOTIFY_M_FAILED,
    NOTIFY_M_IN_DOUBT,
    NOTIFY_M_IN_FLIGHT,
    NOTIFY_M_LAG,
    NOTIFY_M_COUNT,
};

enum { CONSUMER_EVENTS, CONSUMER_NOTIFICATION, CONSUMER_COUNT };

struct notify {
    struct module_context context;

    /* settings */
    char *host;
    int64_t port;
    char *sendgrid_api_key, *sendgrid_url, *sendgrid_from;
    int sendgrid_5xx;
    int64_t connect_timeout_ms, total_timeout_ms;
    int64_t retry_base_ms, retry_cap_ms, retry_max;
    int64_t in_flight_max;
    int foreign_ids;
    int64_t lag_max;

    const struct provider *mail; /* the engine in force for mail */
    const char *engine_reason;   /* why, for people */
    struct provider_settings provider_settings;
    char *from_address, *from_name;
    char origin[UUID_TEXT_SIZE];

    struct consumer consumers[CONSUMER_COUNT];
    struct sender sender;
    struct recovery *recovery;
    bool started, stopping;
    struct timer deadline;
    module_done_fn done; /* of start or stop */
    void *done_userdata;
    char failure[200];
};

/** notify_op_begin() - the first call of the first step */
static inline struct notify_op *notify_op_begin(struct op *op) {
    struct notify_op *base = notify_op_of(op);
    base->notify = http_request_userdata(base->service.http.request);
    service_op_begin(&base->service, base->notify->context.log, LOG_NOTIFY_ERROR);
    return base;
}

/** notify_progress() - something ended; ends the stop when nothing is left */
void notify_progress(struct notify *notify);
/** notify_provider_of() - who delivers @channel now */
const struct provider *notify_provider_of(const struct notify *notify, enum channel channel);
