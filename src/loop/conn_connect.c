/*
 * Outgoing connections: find the addresses of a name, try one after the other until one answers,
 * all within one deadline. Numeric addresses and "localhost" need no resolver; other names are
 * asked for on libuv's threads, whose only work in this program that is.
 */
#include "conn_internal.h"

#include "address.h"

#include <eventbox/base/error.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 8 };

struct conn_connect {
    struct conn *conn; /* NULL: given up while the resolver was still at work */
    struct loop_task begin;
    uv_getaddrinfo_t uv;
    bool resolving;
    int count, next;
    int failure; /* of the last attempt */
    union address addresses[ADDRESSES_MAX];
};

void conn_connect_free(struct conn *conn) {
    struct conn_connect *connect = conn->connect;
    conn->connect = NULL;
    if (!connect) {
        return;
    }
    list_remove(&connect->begin.link);
    if (connect->resolving) {
        connect->conn = NULL;
        uv_cancel((uv_req_t *)&connect->uv);
    } else {
        free(connect);
    }
}

static int attempt(struct conn *conn, const union address *address) {
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_origin(-errno);
    }
    int r;
    do {
        r = connect(fd, &address->any, address_size(address));
    } while (r < 0 && errno == EINTR);
    r = r < 0 && errno != EINPROGRESS ? err_origin(-errno) : conn_attach(conn, fd);
    if (r != 0) {
        close(fd);
        return r;
    }
    conn_update_poll(conn);
    return 0;
}

static void try_next(struct conn *conn) {
    struct conn_connect *connect = conn->connect;
    while (connect->next < connect->count) {
        int r = attempt(conn, &connect->addresses[connect->next++]);
        if (r == 0) {
            return;
        }
        connect->failure = r;
    }
    conn_fail(conn, connect->failure);
}

void conn_connect_ready(struct conn *conn) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    if (error != 0) {
        conn->connect->failure = err_origin(-error);
        conn_detach(conn);
        try_next(conn);
        return;
    }
    conn_connect_free(conn);
    conn->deadline_ns = 0;
    conn_opened(conn);
    if (conn->state != CONN_OPEN) {
        return;
    }
    if (conn->unsent_bytes > 0) {
        loop_defer(conn->loop, &conn->task);
    }
    if (conn->events->on_connect) {
        conn->events->on_connect(conn);
    }
}

static void on_resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *list) {
    struct conn_connect *connect = uv->data;
    struct conn *conn = connect->conn;
    connect->resolving = false;
    for (struct addrinfo *row = list; row && connect->count < ADDRESSES_MAX; row = row->ai_next) {
        if (row->ai_addrlen <= sizeof connect->addresses[0]) {
            memcpy(&connect->addresses[connect->count++], row->ai_addr, row->ai_addrlen);
        }
    }
    uv_freeaddrinfo(list);
    if (!conn) {
        free(connect);
        return;
    }
    connect->failure = err_origin(-EHOSTUNREACH); /* unless an attempt knows better */
    (void)status;
    try_next(conn);
}

/* Not before conn_connect() has returned: the caller must know its connection first. */
static void on_begin(struct loop_task *task) {
    struct conn_connect *connect = container_of(task, struct conn_connect, begin);
    try_next(connect->conn);
}

static int resolve(struct conn_connect *connect, const char *host, uint16_t port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    connect->uv.data = connect;
    int r =
        uv_getaddrinfo(&connect->conn->loop->uv, &connect->uv, on_resolved, host, service, &hints);
    if (r != 0) {
        return err_origin(r);
    }
    connect->resolving = true;
    return 0;
}

int conn_connect(struct loop *loop, const char *host, uint16_t port, int64_t timeout_ms,
                 const struct conn_config *config, const struct conn_events *events, void *userdata,
                 struct conn **ret_conn) {
    struct conn *conn = conn_alloc(loop, config, events, userdata);
    struct conn_connect *connect = calloc(1, sizeof *connect);
    if (!conn || !connect) {
        free(conn);
        free(connect);
        return err_origin(-ENOMEM);
    }
    conn->state = CONN_CONNECTING;
    conn->connect = connect;
    connect->conn = conn;
    connect->begin.run = on_begin;
    connect->count = address_parse(host, port, connect->addresses);
    if (connect->count > 0) {
        loop_defer(loop, &connect->begin);
    } else {
        int r = resolve(connect, host, port);
        if (r != 0) {
            free(connect);
            free(conn);
            return r;
        }
    }
    conn->deadline_ns = loop_now_ns(loop) + timeout_ms * NS_PER_MS;
    conn_arm(conn);
    *ret_conn = conn;
    return 0;
}
