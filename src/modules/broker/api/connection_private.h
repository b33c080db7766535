/*
 * What connection.c and large_frame.c share: one connection, and the large frame that it may be
 * receiving. Everything runs on the loop.
 */
#pragma once

#include "api_private.h"

enum { CONN_HOST_SIZE = 64 };

struct kafka_conn {
    struct conn *conn; /* NULL once closed */
    struct kafka_server *server;
    struct kafka_listener *listener;
    struct list link;

    struct list requests; /* struct api_request.order */
    unsigned request_count;
    size_t inflight_bytes;
    unsigned fetch_count; /* of the requests; the next one waits for it */
    size_t waiting_bytes; /* of answers that wait for their turn */
    size_t answer_bytes;  /* memory of record batches in the queue, until it is empty */

    uint8_t *held;  /* an incomplete frame, or frames beyond the limits in flight */
    size_t held_at; /* first byte that was not taken yet */
    size_t held_size;

    struct buf *large; /* the frame being received, NULL between large frames */
    size_t large_size;
    size_t large_got;
    size_t reserved;
    bool exempt;
    struct list starved_link; /* in server.starved while waiting for memory */
    struct list large_link;   /* in server.receiving while there is a large frame */
    uint64_t frame_number;    /* the lower, the earlier it began */
    int64_t due_ns;           /* while others are starved: without more bytes it ends then; or 0 */
    bool starved;

    bool spoke;   /* a request was understood: what comes is a Kafka client's */
    bool busy;    /* inside process(): it will look at the limits again itself */
    bool paused;  /* too much in flight */
    bool closing; /* nothing more is read or written */
    bool draining;
    bool has_deadline;
    struct loop_task resume_task;
    bool resume_posted;

    uint16_t local_port;
    uint16_t peer_port; /* kept: a closed socket cannot be asked any more */
    char peer_host[CONN_HOST_SIZE];
    char local_host[CONN_HOST_SIZE];
};

/* ---- connection.c ---- */
/** kafka_conn_close_soon() - nothing more is read; closed when what is queued has left */
void kafka_conn_close_soon(struct kafka_conn *c);
/**
 * kafka_conn_set_deadline() - the peer has to go on within progress_ms, or, while its large frame
 * is contended, as long as that has credit; with @on false it may take its time
 */
void kafka_conn_set_deadline(struct kafka_conn *c, bool on);

/* ---- large_frame.c ---- */
/**
 * large_frame_begin() - a frame of @size bytes (without its length) begins with the @got ones at
 * @data, which are copied. Without memory the connection closes, and c->large stays NULL.
 */
void large_frame_begin(struct kafka_conn *c, size_t size, const uint8_t *data, size_t got);
/** large_frame_space() - where its next bytes go, and how many; NULL without memory */
void *large_frame_space(struct kafka_conn *c, size_t *ret_size);
/**
 * large_frame_received() - @size bytes came into large_frame_space()
 * Return: the whole frame, the caller's from then on, as is what c->reserved holds of the account;
 * NULL while more is to come.
 */
struct buf *large_frame_received(struct kafka_conn *c, size_t size);
/** large_frame_drop() - the connection ends: frame, memory and place in the queue go; none is fine
 */
void large_frame_drop(struct kafka_conn *c);
