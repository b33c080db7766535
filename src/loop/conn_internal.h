/* The inside of a connection, shared by its files: conn.c (life, reading, deadlines), conn_write.c
 * (the write queue), conn_connect.c (outgoing connections). */
#pragma once

#include "loop_internal.h"

#include <eventbox/loop/conn.h>

#include <netinet/in.h>

enum conn_state {
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_FINISHING, /* reading has ended for good; the queue is still sent */
    CONN_LINGERING, /* our end is said; what the peer still sends is thrown away until its own end
                     */
    CONN_CLOSED,    /* descriptor gone; on_close() at the end of this turn */
};

enum conn_out_kind { CONN_OUT_CHUNK, CONN_OUT_SLICE, CONN_OUT_FILE };

/* One piece of a write queue. */
struct conn_out {
    struct conn_out *next;
    size_t size; /* unsent bytes */
    enum conn_out_kind kind;
    uint32_t room; /* chunk: free bytes behind the unsent ones */
    union {
        const uint8_t *data; /* chunk and slice: the first unsent byte */
        uint64_t offset;     /* file: of the first unsent byte */
    };
    union {
        struct buf *buf;
        struct conn_file *file;
        enum conn_piece_size size_class; /* chunk: says how long bytes[] is */
    };
    uint8_t bytes[]; /* chunk */
};

struct conn_file {
    int fd;
    unsigned refs; /* atomic */
    void (*release)(void *userdata);
    void *userdata;
};

/* The libuv handle lives longer than the connection: until libuv calls back that it is closed. */
struct conn_poll {
    uv_poll_t uv;
    struct conn *conn; /* NULL: detached */
};

struct conn {
    struct loop *loop;
    const struct conn_events *events;
    void *userdata;
    struct conn_poll *poll; /* NULL before there is a socket, and after */
    struct conn_connect *connect;

    struct conn_out *out_first;
    struct conn_out *out_last;
    size_t unsent_bytes;
    size_t high_bytes;

    struct loop_task task; /* what is left to do at the end of the turn */
    struct timer timer;    /* one for all deadlines, see conn_arm() */
    int64_t active_ns;     /* last byte either way */
    int64_t progress_ns;   /* last byte sent, or when the queue began */
    int64_t deadline_ns;   /* 0: none */
    int64_t idle_ns;       /* 0: never */
    int64_t stall_ns;

    int fd;
    int reason;
    uint8_t state;       /* enum conn_state */
    uint8_t poll_events; /* what libuv watches now */
    bool paused;         /* by conn_pause_reading() */
    bool full;           /* more unsent than high_bytes, until half of that is left */
    bool blocked;        /* the socket takes no more now */
    bool had_unsent;     /* on_drained() is due when the queue is empty */
    bool peer_ended;     /* its end was read: nothing to linger for */
    bool peer_half;      /* its end is there, but unread bytes are before it */
};

/** conn_fail() - close at once; the first reason counts. Nothing else of @conn may be called back
 * but on_close() */
void conn_fail(struct conn *conn, int reason);
/** conn_attach() - watch @fd from now on. Return 0 or negative; @fd is the caller's then */
int conn_attach(struct conn *conn, int fd);
/** conn_detach() - stop watching and close the descriptor */
void conn_detach(struct conn *conn);
/** conn_update_poll() - watch what is wanted now and not watched yet */
void conn_update_poll(struct conn *conn);
/** conn_arm() - make sure that the timer fires no later than the first deadline */
void conn_arm(struct conn *conn);
struct conn *conn_alloc(struct loop *loop, const struct conn_config *config,
                        const struct conn_events *events, void *userdata);
/** conn_opened() - the socket can be read and written from now on */
void conn_opened(struct conn *conn);

/* conn_write.c */
/** conn_flush() - send what the socket takes; may fail the connection */
void conn_flush(struct conn *conn);
void conn_drop_queue(struct conn *conn);

/* conn_connect.c */
/** conn_connect_ready() - the socket of an attempt is writable or has failed */
void conn_connect_ready(struct conn *conn);
void conn_connect_free(struct conn *conn);
