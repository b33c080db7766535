/*
 * A connection's life:
 *
 *   CONNECTING -> OPEN -> FINISHING -> LINGERING -> CLOSED -> on_close(), freed
 *
 * Every state may go straight to CLOSED (conn_fail): there the descriptor is closed and the queue
 * dropped at once, while on_close() waits for the end of the turn, so that no caller's stack holds
 * a connection that is gone. FINISHING means that the queue is still sent and then our end is said.
 * LINGERING reads on for a while: closing a socket with unread bytes makes the kernel reset it, and
 * a reset overtakes the answer that we have just sent (a 413 to a large upload, for example).
 *
 * Changing what libuv watches costs two system calls, so it is done late: bits are added when
 * something is missing at the end of a turn, and taken away when an event comes that nobody wants.
 * A connection that pauses and resumes while its peer is silent costs none.
 *
 * Deadlines are checked lazily. The timer is only ever moved to an earlier time; when it fires, it
 * looks at what is really due and starts again for the rest. A busy connection touches the heap
 * once in an idle time, not once in a request.
 */
#include "conn_internal.h"

#include "address.h"

#include <eventbox/base/error.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BUDGET = 256 * 1024, /* a turn and connection */
    LINGER_MS = 2000,
    DEFAULT_STALL_MS = 30000,
};

/* ---- what libuv watches ---- */

static bool may_read(const struct conn *conn) {
    return conn->state == CONN_OPEN && !conn->paused && !conn->full;
}

static int wanted_events(const struct conn *conn) {
    switch ((enum conn_state)conn->state) {
    case CONN_CONNECTING:
        return UV_WRITABLE;
    case CONN_OPEN: {
        int quiet =
            conn->peer_half ? 0 : UV_DISCONNECT; /* whoever reads notices the end by itself */
        return (may_read(conn) ? UV_READABLE : quiet) | (conn->blocked ? UV_WRITABLE : 0);
    }
    case CONN_FINISHING:
        return conn->blocked ? UV_WRITABLE : 0;
    case CONN_LINGERING:
        return UV_READABLE;
    case CONN_CLOSED:
        break;
    }
    return 0;
}

static void on_poll(uv_poll_t *uv, int status, int events);

static void watch(struct conn *conn, int events) {
    int r =
        events ? uv_poll_start(&conn->poll->uv, events, on_poll) : uv_poll_stop(&conn->poll->uv);
    if (r != 0) {
        conn_fail(conn, err_origin(r));
        return;
    }
    conn->poll_events = (uint8_t)events;
}

void conn_update_poll(struct conn *conn) {
    int wanted = conn->poll ? wanted_events(conn) : 0;
    /* While bytes are watched for, the peer's end shows as readable too. */
    int covered = conn->poll_events & UV_READABLE ? UV_DISCONNECT : 0;
    if (wanted & ~(conn->poll_events | covered)) {
        watch(conn, wanted);
    }
}

static void on_poll_closed(uv_handle_t *handle) {
    free(container_of((uv_poll_t *)handle, struct conn_poll, uv));
}

int conn_attach(struct conn *conn, int fd) {
    struct conn_poll *poll = calloc(1, sizeof *poll);
    if (!poll) {
        return err_origin(-ENOMEM);
    }
    int r = uv_poll_init(&conn->loop->uv, &poll->uv, fd);
    if (r != 0) {
        free(poll);
        return err_origin(r);
    }
    poll->conn = conn;
    conn->poll = poll;
    conn->poll_events = 0;
    conn->fd = fd;
    return 0;
}

void conn_detach(struct conn *conn) {
    if (conn->poll) {
        conn->poll->conn = NULL;
        uv_close((uv_handle_t *)&conn->poll->uv, on_poll_closed);
        conn->poll = NULL;
        conn->poll_events = 0;
        close(conn->fd);
        conn->fd = -1;
    }
}

/* ---- closing ---- */

static void set_reason(struct conn *conn, int reason) {
    if (conn->state < CONN_FINISHING) {
        conn->reason = reason;
    }
}

void conn_fail(struct conn *conn, int reason) {
    if (conn->state == CONN_CLOSED) {
        return;
    }
    set_reason(conn, reason);
    conn->state = CONN_CLOSED;
    timer_stop(&conn->timer);
    conn_detach(conn);
    conn_connect_free(conn);
    conn_drop_queue(conn);
    loop_defer(conn->loop, &conn->task);
}

static void finish(struct conn *conn, int reason) {
    if (conn->state == CONN_CONNECTING) {
        conn_fail(conn, reason);
    } else if (conn->state == CONN_OPEN) {
        set_reason(conn, reason);
        conn->state = CONN_FINISHING;
        loop_defer(conn->loop, &conn->task);
    }
}

static void linger(struct conn *conn) {
    if (conn->peer_ended || shutdown(conn->fd, SHUT_WR) < 0) {
        conn_fail(conn, 0);
        return;
    }
    conn->state = CONN_LINGERING;
    conn->deadline_ns = loop_now_ns(conn->loop) + LINGER_MS * NS_PER_MS;
    conn_arm(conn);
}

void conn_close(struct conn *conn) {
    conn_fail(conn, 0);
}

void conn_close_after_write(struct conn *conn) {
    finish(conn, 0);
}

/* ---- the end of a turn ---- */

static void on_turn_end(struct loop_task *task) {
    struct conn *conn = container_of(task, struct conn, task);
    if (conn->state == CONN_OPEN || conn->state == CONN_FINISHING) {
        conn_flush(conn);
    }
    if (conn->state == CONN_OPEN && conn->had_unsent && conn->unsent_bytes == 0) {
        conn->had_unsent = false;
        if (conn->events->on_drained) {
            conn->events->on_drained(conn);
        }
    }
    if (conn->state == CONN_FINISHING && conn->unsent_bytes == 0) {
        linger(conn);
    }
    if (conn->state != CONN_CLOSED) {
        if (conn->blocked) {
            conn_arm(conn);
        }
        conn_update_poll(conn);
    }
    if (conn->state == CONN_CLOSED) {
        list_remove(&conn->task.link); /* it may have been deferred once more */
        conn->events->on_close(conn, conn->reason);
        free(conn);
    }
}

/* ---- reading ---- */

static void read_open(struct conn *conn) {
    size_t budget = READ_BUDGET;
    while (budget > 0 && may_read(conn)) {
        size_t size = 0;
        void *space = conn->events->on_space(conn, &size);
        if (conn->state != CONN_OPEN) {
            return;
        }
        if (!space || size == 0) {
            conn_fail(conn, 0);
            return;
        }
        ssize_t n = recv(conn->fd, space, size, 0);
        if (n == 0) {
            conn->peer_ended = true;
            finish(conn, 0);
            return;
        }
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                conn_fail(conn, err_origin(-errno));
            }
            return;
        }
        conn->active_ns = loop_now_ns(conn->loop);
        int r = conn->events->on_bytes(conn, (size_t)n);
        if (r != 0) {
            finish(conn, r);
            return;
        }
        if ((size_t)n < size) {
            return; /* the socket had no more: the next call would say only that */
        }
        budget -= MIN(budget, (size_t)n);
    }
}

static void read_lingering(struct conn *conn) {
    size_t size;
    void *scratch = loop_scratch(conn->loop, &size);
    ssize_t n = recv(conn->fd, scratch, size, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        conn_fail(conn, 0);
    }
}

/* Something came while nobody reads: the peer's end, or bytes that must wait. */
static void look_for_end(struct conn *conn) {
    char byte;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0) {
        conn->peer_ended = true;
        finish(conn, 0);
    } else if (n > 0) {
        conn->peer_half = conn->poll_events & UV_DISCONNECT;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        conn_fail(conn, err_origin(-errno));
    }
}

/* libuv has stopped watching: the socket has failed, or both ends have ended. */
static void on_poll_error(struct conn *conn) {
    int error = 0;
    socklen_t size = sizeof error;
    conn->poll_events = 0;
    if (may_read(conn)) {
        read_open(conn); /* what came before the failure counts, and the failure comes last */
    }
    if (conn->state == CONN_CLOSED) {
        return;
    }
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    conn_fail(conn, err_origin(error ? -error : -ECONNRESET));
}

/*
 * What the bytes of this turn were answered with at once leaves at once, while the connection is
 * at hand: with thousands of them ready in a turn, all would have to be fetched from memory a
 * second time at its end. Nothing more would come by then but answers that others make.
 */
static void answer_now(struct conn *conn) {
    if (conn->state == CONN_OPEN && conn->out_first && list_linked(&conn->task.link)) {
        list_remove(&conn->task.link);
        on_turn_end(&conn->task); /* which may free it */
    }
}

static void on_poll(uv_poll_t *uv, int status, int events) {
    struct conn *conn = container_of(uv, struct conn_poll, uv)->conn;
    if (!conn) {
        return;
    }
    conn->loop->ran_count++;
    if (conn->state == CONN_CONNECTING) {
        if (status < 0) {
            conn->poll_events = 0;
        }
        conn_connect_ready(conn);
        return;
    }
    if (status < 0) {
        on_poll_error(conn);
        return;
    }
    if ((events & UV_WRITABLE) && conn->blocked) {
        conn->blocked = false;
        loop_defer(conn->loop, &conn->task);
    }
    if (events & (UV_READABLE | UV_DISCONNECT)) {
        if (may_read(conn)) {
            read_open(conn);
        } else if (conn->state == CONN_LINGERING) {
            read_lingering(conn);
        } else if (conn->state == CONN_OPEN) {
            look_for_end(conn);
        }
    }
    if (conn->state == CONN_CLOSED) {
        return;
    }
    int wanted = wanted_events(conn);
    /* A flush at the end of this turn may block again: writability is dropped one event later. */
    int unwanted = events & ~wanted & ~(list_linked(&conn->task.link) ? UV_WRITABLE : 0);
    if (unwanted) {
        watch(conn, wanted);
    } else {
        conn_update_poll(conn);
    }
    answer_now(conn);
}

void conn_pause_reading(struct conn *conn) {
    conn->paused = true;
}

void conn_resume_reading(struct conn *conn) {
    conn->paused = false;
    conn->peer_half = false;
    if (conn->state == CONN_OPEN) {
        loop_defer(conn->loop, &conn->task);
    }
}

/* ---- deadlines ---- */

static int64_t first_deadline(const struct conn *conn) {
    int64_t due = conn->deadline_ns ? conn->deadline_ns : INT64_MAX;
    if (conn->state == CONN_OPEN && conn->idle_ns) {
        due = MIN(due, conn->active_ns + conn->idle_ns);
    }
    if (conn->state != CONN_CONNECTING && conn->unsent_bytes > 0) {
        due = MIN(due, conn->progress_ns + conn->stall_ns);
    }
    return due;
}

void conn_arm(struct conn *conn) {
    int64_t due = first_deadline(conn);
    if (due != INT64_MAX && !(timer_running(&conn->timer) && conn->timer.due_ns <= due)) {
        timer_start(&conn->timer, due - loop_now_ns(conn->loop));
    }
}

static void on_timer(struct timer *timer) {
    struct conn *conn = container_of(timer, struct conn, timer);
    if (first_deadline(conn) <= loop_now_ns(conn->loop)) {
        conn_fail(conn, CONN_E_TIMEOUT); /* while lingering an earlier reason stands */
    } else {
        conn_arm(conn);
    }
}

void conn_set_deadline(struct conn *conn, int64_t delay_ms) {
    if (conn->state != CONN_OPEN && conn->state != CONN_FINISHING) {
        return;
    }
    conn->deadline_ns = delay_ms > 0 ? loop_now_ns(conn->loop) + delay_ms * NS_PER_MS : 0;
    conn_arm(conn);
}

/* ---- making ---- */

struct conn *conn_alloc(struct loop *loop, const struct conn_config *config,
                        const struct conn_events *events, void *userdata) {
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        return NULL;
    }
    conn->loop = loop;
    conn->events = events;
    conn->userdata = userdata;
    conn->fd = -1;
    conn->high_bytes = config && config->write_high_bytes ? config->write_high_bytes : MIB(1);
    conn->idle_ns = config ? config->idle_ms * NS_PER_MS : 0;
    conn->stall_ns = config && config->write_stall_ms ? config->write_stall_ms : DEFAULT_STALL_MS;
    conn->stall_ns *= NS_PER_MS;
    conn->active_ns = loop_now_ns(loop);
    conn->task.run = on_turn_end;
    timer_init(&conn->timer, loop, on_timer);
    return conn;
}

void conn_opened(struct conn *conn) {
    int one = 1;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* refused by local sockets */
    conn->state = CONN_OPEN;
    conn->active_ns = loop_now_ns(conn->loop);
    conn_arm(conn);
    conn_update_poll(conn);
}

int conn_new(struct loop *loop, int fd, const struct conn_config *config,
             const struct conn_events *events, void *userdata, struct conn **ret_conn) {
    struct conn *conn = conn_alloc(loop, config, events, userdata);
    if (!conn) {
        return err_origin(-ENOMEM);
    }
    int r = conn_attach(conn, fd);
    if (r != 0) {
        free(conn);
        return err_trace(r);
    }
    conn_opened(conn);
    *ret_conn = conn;
    return 0;
}

void *conn_userdata(const struct conn *conn) {
    return conn->userdata;
}

/* ---- addresses ---- */

static union address ask(const struct conn *conn, bool peer) {
    union address address = {0};
    socklen_t size = sizeof address;
    int r = peer ? getpeername(conn->fd, &address.any, &size)
                 : getsockname(conn->fd, &address.any, &size);
    if (r < 0) {
        address.any.sa_family = AF_UNSPEC; /* closed, or the peer has gone */
    }
    return address;
}

const char *conn_peer_address(const struct conn *conn) {
    static char text[ADDRESS_TEXT_SIZE];
    union address address = ask(conn, true);
    address_format(&address, true, text);
    return text;
}

const char *conn_local_host(const struct conn *conn) {
    static char text[ADDRESS_TEXT_SIZE];
    union address address = ask(conn, false);
    address_format(&address, false, text);
    return text;
}

uint16_t conn_local_port(const struct conn *conn) {
    union address address = ask(conn, false);
    return address_port(&address);
}

bool conn_peer_is_loopback(const struct conn *conn) {
    union address address = ask(conn, true);
    return address_is_loopback(&address);
}
