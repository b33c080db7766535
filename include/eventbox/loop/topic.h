/*
 * Port: the append-only topic log, as modules see it. Embedded: modules/broker, in process. Later:
 * any Kafka cluster. Everything here runs on the loop.
 *
 * Promise: done(0) of an append means that its records are on disk; subscribers never see a record
 * above that mark; in-process and remote consumers see one order.
 */
#pragma once

#include <eventbox/base/list.h>
#include <eventbox/base/span.h>
#include <eventbox/base/uuid.h>
#include <eventbox/loop/loop.h>

struct topic_header {
    struct span name;
    struct span value;
};

struct topic_record {
    const char *topic;
    int32_t partition; /* -1: by key (Java's murmur2), 0 without key */
    struct span key;   /* data NULL: null */
    struct span value; /* data NULL: null (tombstone) */
    const struct topic_header *headers;
    size_t header_count;
    int64_t timestamp_ms; /* Unix time; 0: now */
};

/* A set of records for one or several topics that becomes durable as one, or not at all. */
struct topic_append {
    struct list link;
    const struct topic_record *records; /* borrowed until topic_append() returns */
    size_t record_count;
    int64_t *ret_offsets; /* record_count offsets, written before done(0); may be NULL */
    void (*done)(struct topic_append *append,
                 int status); /* exactly once, after topic_append() has returned */
    void *port_data;
};

/* What a subscription delivers: borrowed until on_records() returns. */
struct topic_message {
    int64_t offset;
    int64_t timestamp_ms;
    struct span key;
    struct span value;
    const struct topic_header *headers;
    size_t header_count;
};

/* Every subscription begins with this member, whatever port made it. */
struct topic_subscription {
    struct topic_port *port;
};

struct topic_subscription_config {
    const char *topic;
    int32_t partition;
    int64_t offset;       /* first offset wanted; TOPIC_EARLIEST, TOPIC_LATEST */
    const char *consumer; /* name in errors and in the retention guard */
    size_t max_records;   /* a delivery */
    size_t max_bytes;     /* a delivery, at least one record */
    /* Called when records are there; none follows until topic_subscription_next(). */
    void (*on_records)(void *userdata, const struct topic_message *messages, size_t count);
    /* Optional: the position is at the high watermark and nothing was delivered since next(). */
    void (*on_end)(void *userdata);
    /* The log start has passed the position, the topic was deleted or reading failed; @status says
     * which. */
    void (*on_error)(void *userdata, int status);
    void *userdata;
};

enum { TOPIC_LATEST = -1, TOPIC_EARLIEST = -2 };

struct topic_info {
    struct uuid id; /* changes when a topic is deleted and made again */
    int32_t partition_count;
    int64_t log_start_offset; /* of the partition asked for */
    int64_t high_watermark;
};

/* Topics that a module declares: they exist before the module starts. */
struct topic_config_entry {
    const char *name; /* Kafka's topic configs: "cleanup.policy" */
    const char *value;
};
struct topic_declaration {
    const char *name; /* NULL ends a table */
    int32_t partitions;
    const struct topic_config_entry *configs; /* ends with a row of zeros; may be NULL */
    const char *summary;
    /* Who of the module reads it, under the name that it subscribes with: retention keeps what it
     * has not read, from the declaration on, also while it is not subscribed. May be NULL. */
    const char *consumer;
    /* Keys are decimal ids of rows of this table of the module; may be NULL. */
    const char *id_table;
};

struct topic_port {
    const struct topic_port_ops *ops;
};

struct topic_port_ops {
    int (*declare)(struct topic_port *port, const struct topic_declaration *declaration,
                   void (*done)(void *userdata, int status), void *userdata);
    int (*append)(struct topic_port *port, struct topic_append *append);
    int (*subscribe)(struct topic_port *port, const struct topic_subscription_config *config,
                     struct topic_subscription **ret_subscription);
    void (*next)(struct topic_subscription *subscription, int64_t offset);
    void (*unsubscribe)(struct topic_subscription *subscription);
    int (*info)(struct topic_port *port, const char *topic, int32_t partition,
                struct topic_info *ret_info);
    int (*commit)(struct topic_port *port, const char *group, const char *topic, int32_t partition,
                  int64_t offset);
};

/** topic_declare() - make the topic if it is absent; done() may be called before the return */
int topic_declare(struct topic_port *port, const struct topic_declaration *declaration,
                  void (*done)(void *userdata, int status), void *userdata);
/**
 * topic_append() - append all records of @append as one
 * Return: 0, done() follows; TOPIC_E_UNKNOWN, TOPIC_E_FULL, TOPIC_E_FAILED, TOPIC_E_TOO_LARGE and
 * nothing was appended.
 */
int topic_append(struct topic_port *port, struct topic_append *append);
int topic_subscribe(struct topic_port *port, const struct topic_subscription_config *config,
                    struct topic_subscription **ret_subscription);
/** topic_subscription_next() - ready for more, from @offset on (also a seek) */
void topic_subscription_next(struct topic_subscription *subscription, int64_t offset);
void topic_unsubscribe(
    struct topic_subscription *subscription); /* frees; accepts NULL; no callback afterwards */
int topic_info(struct topic_port *port, const char *topic, int32_t partition,
               struct topic_info *ret_info);
/** topic_commit() - mirror a consumer's position (next offset) to group @group for lag tools; best
 * effort */
int topic_commit(struct topic_port *port, const char *group, const char *topic, int32_t partition,
                 int64_t offset);
