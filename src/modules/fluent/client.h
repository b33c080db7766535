/*
 * The connection to one forward server, and what is on its way there. Thread: loop.
 */
#pragma once

#include "buffer.h"
#include "reader.h"
#include "trial.h"

#include <eventbox/loop/conn.h>
#include <eventbox/loop/timer.h>

enum fluent_client_state { FLUENT_IDLE, FLUENT_WAITING, FLUENT_CONNECTING, FLUENT_CONNECTED };

struct fluent_client_config {
    struct loop *loop;
    struct clock *clock; /* of the probe's time */
    struct random *random;
    const char *host;
    uint16_t port;
    int64_t connect_timeout_ms, ack_timeout_ms, flush_ms;
    void (*on_connected)(void *userdata);
    void (*on_disconnected)(void *userdata, int reason); /* also after a failed attempt */
    /* A chunk was acknowledged after @duration_ns; the buffer may have news about drops. */
    void (*on_acked)(void *userdata, int64_t duration_ns);
    /* A line was given up; @line is borrowed. */
    void (*on_refused)(void *userdata, const struct fluent_entry *line,
                       enum fluent_refusal refusal);
    void *userdata;
};

struct fluent_client_stats {
    uint64_t events_acked, events_refused[FLUENT_REFUSALS];
    uint64_t probes_sent;
    uint64_t chunks_sent, chunks_resent, chunks_acked, chunks_refused, acks_unknown;
    uint64_t connects, connect_failures, protocol_errors, ack_timeouts;
};

struct fluent_client {
    struct fluent_client_config config;
    struct fluent_buffer *buffer;
    enum fluent_client_state state;
    struct conn *conn; /* until its on_close(), also while it closes */
    bool closing;
    enum fluent_refusal end; /* what the end of the connection says, unless it is the server's */
    struct ack_reader reader;
    struct fluent_trial trial;
    bool well;          /* something was acknowledged on this connection, and nothing tried since */
    struct list window; /* chunks on the connection, in the order sent */
    unsigned window_count;
    size_t window_bytes;
    unsigned failures; /* attempts since the last ack */
    bool flush_due;    /* open chunks are old enough to go when there is room */
    struct timer retry_timer, ack_timer, flush_timer, drain_timer;
    struct loop_task pump_task, drained_task;
    bool draining;
    void (*drained)(void *userdata);
    void *drained_userdata;
    void (*stopped)(void *userdata);
    void *stopped_userdata;
    struct fluent_client_stats stats;
};

void fluent_client_init(struct fluent_client *client, struct fluent_buffer *buffer,
                        const struct fluent_client_config *config);
void fluent_client_start(struct fluent_client *client);
/** fluent_client_added() - a record is in the buffer; @sealed: and a chunk is ready */
void fluent_client_added(struct fluent_client *client, bool sealed);
/** fluent_client_drain() - send what is there, then @drained; also at the deadline, or when nobody
 * listens */
void fluent_client_drain(struct fluent_client *client, int64_t deadline_ms,
                         void (*drained)(void *userdata), void *userdata);
/**
 * fluent_client_stop() - close the connection, then @stopped, once, maybe before the return
 * What was not acknowledged goes back to the buffer.
 */
void fluent_client_stop(struct fluent_client *client, void (*stopped)(void *userdata),
                        void *userdata);
