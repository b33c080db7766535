/*
 * Listening sockets.
 *
 * When the process has no descriptor left, a pending connection keeps the listening socket readable
 * and the loop would spin. A reserve descriptor is given up for that moment: the connection is
 * accepted and closed, which its peer understands better than silence. Where even that fails, the
 * listener rests for a while.
 */
#include "loop_internal.h"

#include "address.h"

#include <eventbox/base/error.h>
#include <eventbox/loop/listener.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS_MAX = 8, ACCEPT_BATCH = 64, REST_MS = 100, PORT_TRIES = 16, DEFAULT_BACKLOG = 511 };

struct listener;

struct listener_socket {
    uv_poll_t uv;
    struct listener *listener;
    int fd;
};

struct listener {
    struct loop *loop;
    listener_accept_fn accept;
    void *userdata;
    struct timer rest;
    int reserve_fd;
    uint16_t port;
    bool closed;
    int socket_count; /* with an open libuv handle */
    struct listener_socket sockets[SOCKETS_MAX];
};

static void on_poll(uv_poll_t *uv, int status, int events);

/* ---- accepting ---- */

static void take_reserve(struct listener *listener) {
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left: turn the first waiting connection away. True when that worked. */
static bool turn_away(struct listener *listener, int listen_fd) {
    if (listener->reserve_fd < 0) {
        return false;
    }
    close(listener->reserve_fd);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    take_reserve(listener);
    return fd >= 0;
}

static void rest(struct listener *listener) {
    for (int i = 0; i < listener->socket_count; i++) {
        uv_poll_stop(&listener->sockets[i].uv);
    }
    timer_start_ms(&listener->rest, REST_MS);
}

static void on_rested(struct timer *timer) {
    struct listener *listener = container_of(timer, struct listener, rest);
    if (listener->reserve_fd < 0) {
        take_reserve(listener);
    }
    for (int i = 0; i < listener->socket_count; i++) {
        uv_poll_start(&listener->sockets[i].uv, UV_READABLE, on_poll);
    }
}

/* True when another connection may wait. */
static bool accept_one(struct listener *listener, int listen_fd) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (listener->accept(listener->userdata, fd) != 0) {
            close(fd);
        }
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EINTR:
    case ECONNABORTED: /* it has gone again, as has each of these, see accept(2) */
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    case EMFILE:
    case ENFILE:
        if (turn_away(listener, listen_fd)) {
            return true;
        }
        break;
    default:
        break;
    }
    rest(listener);
    return false;
}

static void on_poll(uv_poll_t *uv, int status, int events) {
    struct listener_socket *socket = container_of(uv, struct listener_socket, uv);
    struct listener *listener = socket->listener;
    (void)events;
    listener->loop->ran_count++;
    if (status < 0) {
        rest(listener);
        return;
    }
    for (int n = 0; n < ACCEPT_BATCH && !listener->closed; n++) {
        if (!accept_one(listener, socket->fd)) {
            return;
        }
    }
}

/* ---- opening ---- */

static int bind_one(const union address *address, unsigned backlog, int *ret_fd) {
    int one = 1, zero = 0;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_origin(-errno);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->any.sa_family == AF_INET6) {
        /* "::" means everybody, also where the system's default is narrower. */
        bool any = IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &zero : &one, sizeof one);
    }
    if (bind(fd, &address->any, address_size(address)) < 0 || listen(fd, (int)backlog) < 0) {
        int number = errno;
        close(fd);
        return err_origin(-number);
    }
    *ret_fd = fd;
    return 0;
}

static void close_all(int *fds, int count) {
    for (int i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static uint16_t bound_port(int fd) {
    union address address = {0};
    socklen_t size = sizeof address;
    getsockname(fd, &address.any, &size);
    return address_port(&address);
}

/* Binds all addresses to one port. Loopback may lack IPv6, as containers do: one address is enough.
 */
static int bind_all(union address *addresses, int count, unsigned backlog, int fds[SOCKETS_MAX]) {
    int failure = 0, bound_count = 0;
    uint16_t port = address_port(&addresses[0]);
    for (int i = 0; i < count; i++) {
        address_set_port(&addresses[i], port);
        fds[i] = -1;
        int r = bind_one(&addresses[i], backlog, &fds[i]);
        if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT) {
            failure = r;
        } else if (r != 0) {
            close_all(fds, i);
            return r;
        } else {
            bound_count++;
            port = bound_port(fds[i]);
        }
    }
    return bound_count > 0 ? 0 : failure;
}

static int find_addresses(const char *host, uint16_t port, union address addresses[SOCKETS_MAX]) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    int count = address_parse(host, port, addresses);
    if (count > 0 || getaddrinfo(host, NULL, &hints, &list) != 0) {
        return count;
    }
    for (struct addrinfo *row = list; row && count < SOCKETS_MAX; row = row->ai_next) {
        if (row->ai_addrlen <= sizeof addresses[0]) {
            memcpy(&addresses[count], row->ai_addr, row->ai_addrlen);
            address_set_port(&addresses[count++], port);
        }
    }
    freeaddrinfo(list);
    return count;
}

/* The kernel's choice for the first address may be taken on the second: then choose again. */
static int bind_host(const struct listener_config *config, int fds[SOCKETS_MAX], int *ret_count) {
    union address addresses[SOCKETS_MAX];
    unsigned backlog = config->backlog ? config->backlog : DEFAULT_BACKLOG;
    int count = find_addresses(config->host, config->port, addresses);
    if (count == 0) {
        return err_origin(-EADDRNOTAVAIL);
    }
    int r = -EADDRINUSE;
    for (int n = 0; n < (config->port ? 1 : PORT_TRIES) && r == -EADDRINUSE; n++) {
        address_set_port(&addresses[0], config->port);
        r = bind_all(addresses, count, backlog, fds);
    }
    *ret_count = count;
    return r == 0 ? 0 : err_trace(r);
}

/* Takes over *@fd, which is -1 afterwards, as soon as there is a handle to close it by. */
static int add_socket(struct listener *listener, int *fd) {
    struct listener_socket *socket = &listener->sockets[listener->socket_count];
    socket->listener = listener;
    socket->fd = *fd;
    int r = uv_poll_init(&listener->loop->uv, &socket->uv, *fd);
    if (r != 0) {
        return err_origin(r);
    }
    *fd = -1;
    listener->socket_count++;
    listener->port = bound_port(socket->fd);
    r = uv_poll_start(&socket->uv, UV_READABLE, on_poll);
    return r == 0 ? 0 : err_origin(r);
}

int listener_open(struct loop *loop, const struct listener_config *config,
                  listener_accept_fn accept, void *userdata, struct listener **ret_listener) {
    int fds[SOCKETS_MAX], count = 0;
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        return err_origin(-ENOMEM);
    }
    int r = bind_host(config, fds, &count);
    if (r != 0) {
        free(listener);
        return r;
    }
    listener->loop = loop;
    listener->accept = accept;
    listener->userdata = userdata;
    timer_init(&listener->rest, loop, on_rested);
    take_reserve(listener);
    for (int i = 0; i < count && r == 0; i++) {
        r = fds[i] >= 0 ? add_socket(listener, &fds[i]) : 0;
    }
    if (r != 0) {
        close_all(fds, count);
        listener_close(listener);
        return r;
    }
    *ret_listener = listener;
    return 0;
}

/* ---- closing ---- */

static void listener_free(struct listener *listener) {
    if (listener->reserve_fd >= 0) {
        close(listener->reserve_fd);
    }
    free(listener);
}

static void on_closed(uv_handle_t *handle) {
    struct listener *listener =
        container_of((uv_poll_t *)handle, struct listener_socket, uv)->listener;
    if (--listener->socket_count == 0) {
        listener_free(listener);
    }
}

void listener_close(struct listener *listener) {
    if (!listener || listener->closed) {
        return;
    }
    listener->closed = true;
    timer_stop(&listener->rest);
    if (listener->socket_count == 0) {
        listener_free(listener);
        return;
    }
    for (int i = 0; i < listener->socket_count; i++) {
        uv_close((uv_handle_t *)&listener->sockets[i].uv, on_closed);
        close(listener->sockets[i].fd);
    }
}

uint16_t listener_port(const struct listener *listener) {
    return listener->port;
}

bool listener_is_loopback(const char *host) {
    union address addresses[2];
    int count = address_parse(host, 0, addresses);
    for (int i = 0; i < count; i++) {
        if (!address_is_loopback(&addresses[i])) {
            return false;
        }
    }
    return count > 0;
}
