/*
 * A stream connection that owns its socket through uv_poll, with readv, writev and sendfile
 * (libuv's own stream does not tell when a socket is writable, which sendfile needs).
 *
 * Reading: when bytes are there, on_space() says where to put them (loop_scratch() for protocols
 * that consume at once, so that an idle connection has no buffer), on_bytes() tells how many came.
 *
 * Writing: conn_write*() queue; the queue goes out in one writev at the end of the loop turn, and
 * what on_bytes() has queued when all that came in this turn was read. While
 * more than write_high_bytes are unsent the connection stops reading: a peer that does not read
 * gets nothing more done. on_drained() says that the queue is empty again.
 *
 * Closing is one path: conn_close(), a peer's end, an error or a deadline lead to exactly one
 * on_close(), after which the connection is freed by itself. A peer that has ended gets what was
 * queued before, and on_close() follows. Thread: loop.
 */
#pragma once

#include <eventbox/base/buf.h>
#include <eventbox/base/list.h>
#include <eventbox/base/span.h>
#include <eventbox/loop/loop.h>

struct conn;
struct conn_file; /* a refcounted file descriptor for conn_write_file() */

struct conn_events {
    void *(*on_space)(struct conn *conn, size_t *ret_size); /* *ret_size >= 1; NULL closes */
    int (*on_bytes)(struct conn *conn,
                    size_t size); /* nonzero: close with that reason after the queue is sent */
    void (*on_drained)(struct conn *conn); /* optional */
    void (*on_close)(
        struct conn *conn,
        int reason); /* 0: peer ended or conn_close(); CONN_E_TIMEOUT; negative errno */
    void (*on_connect)(struct conn *conn); /* outgoing connections only */
};

struct conn_config {
    size_t write_high_bytes; /* stop reading above (default 1 MiB when 0) */
    int64_t idle_ms;         /* close without any byte either way for so long; 0: never */
    int64_t write_stall_ms;  /* close when unsent bytes make no progress for so long; 0: 30 s */
};

/** conn_new() - take over @fd (accepted, non-blocking; TCP_NODELAY is set). On failure @fd stays
 * the caller's */
int conn_new(struct loop *loop, int fd, const struct conn_config *config,
             const struct conn_events *events, void *userdata, struct conn **ret_conn);
/** conn_connect() - resolve (libuv's pool) and connect within @timeout_ms; on_connect() or
 * on_close() follows */
int conn_connect(struct loop *loop, const char *host, uint16_t port, int64_t timeout_ms,
                 const struct conn_config *config, const struct conn_events *events, void *userdata,
                 struct conn **ret_conn);
void *conn_userdata(const struct conn *conn);

/** conn_write() - queue a slice; takes over one reference of slice.buf */
void conn_write(struct conn *conn, struct slice slice);
/** conn_write_copy() - queue a copy of @size bytes; small pieces are merged */
void conn_write_copy(struct conn *conn, const void *data, size_t size);
/** conn_write_file() - queue @size bytes of @file from @offset, sent by sendfile; takes over one
 * reference */
void conn_write_file(struct conn *conn, struct conn_file *file, uint64_t offset, size_t size);
size_t conn_unsent_bytes(const struct conn *conn);

/**
 * conn_close() - at once; conn_close_after_write() - when the queue is sent, reading stops now.
 * on_close() comes at the end of a turn, never from inside these calls; nothing else is called
 * before it.
 */
void conn_close(struct conn *conn);
void conn_close_after_write(struct conn *conn);
/** conn_pause_reading() - no on_bytes() until resumed; the peer's end is still noticed once nothing
 * unread is before it */
void conn_pause_reading(struct conn *conn);
void conn_resume_reading(struct conn *conn);
/** conn_set_deadline() - close with CONN_E_TIMEOUT in @delay_ms unless set again; 0 removes it */
void conn_set_deadline(struct conn *conn, int64_t delay_ms);

/** conn_peer_address() - "127.0.0.1:51234" or "[::1]:51234"; static until the next call */
const char *conn_peer_address(const struct conn *conn);
/** conn_local_address() - the address that the peer reached, host without port, and the port */
const char *conn_local_host(const struct conn *conn);
uint16_t conn_local_port(const struct conn *conn);
bool conn_peer_is_loopback(const struct conn *conn);

struct conn_file *conn_file_new(int fd, void (*release)(void *userdata),
                                void *userdata); /* one reference */
struct conn_file *conn_file_ref(struct conn_file *file);
void conn_file_unref(
    struct conn_file *file); /* the last one calls release, which owns the descriptor */
