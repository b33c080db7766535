/* Listening sockets on uv_poll. Accepts at most a batch a turn, keeps a reserve descriptor for
 * EMFILE. Thread: loop. */
#pragma once

#include <eventbox/loop/loop.h>

struct listener;

struct listener_config {
    /* Numeric address or "localhost" (127.0.0.1 and ::1). Other names are left to the system's
     * resolver, which may block: only at the start, for names of /etc/hosts. */
    const char *host;
    uint16_t port; /* 0: the kernel chooses */
    unsigned backlog;
};

/* @fd is non-blocking and the callee's; nonzero return closes it (a limit was reached). */
typedef int (*listener_accept_fn)(void *userdata, int fd);

/**
 * listener_open() - bind and listen on every address of @config->host
 * Return: 0; -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, ... as they are: the host makes the one-line
 * message.
 */
int listener_open(struct loop *loop, const struct listener_config *config,
                  listener_accept_fn accept, void *userdata, struct listener **ret_listener);
/** listener_close() - no accept after the call; memory is freed in the close callback */
void listener_close(struct listener *listener);
uint16_t listener_port(const struct listener *listener);
/** listener_is_loopback() - whether a host setting names loopback addresses only */
bool listener_is_loopback(const char *host);
