/*
 * eventbox health: whether the server that these settings start works, for a container's health
 * check and for scripts. A process of its own that asks from outside, with blocking sockets: what
 * it finds is what a client would find.
 *
 * Services with HTTP are asked for /readyz. The broker's Kafka listener is connected to, no more.
 */
#include "cli.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_S = 2, ANSWER_MAX = 4096 };

/* Where one service listens, as its settings have it. */
struct place {
    const char *module;
    const char *host;
    const char *port;
    bool http;
};

static bool is_listed(const char *list, const char *name) {
    if (list[0] == '\0' || strcmp(list, "all") == 0) {
        return true;
    }
    while (*list) {
        list += strspn(list, ", \t");
        size_t size = strcspn(list, ", \t");
        if (size == strlen(name) && memcmp(list, name, size) == 0) {
            return true;
        }
        list += size;
    }
    return false;
}

/* The listener of @module; false when it has none. */
static bool find_place(const struct conf *conf, const struct module *module,
                       struct place *ret_place) {
    bool http = module->http.port_offset != module->http.host_offset;
    ret_place->module = module->name;
    ret_place->http = http;
    ret_place->host = conf_text(conf, module->name, "host");
    /* Another module's `port` may be that of a server elsewhere, as fluent's is. */
    ret_place->port = conf_text(conf, module->name, http ? "port" : "external_port");
    return ret_place->host && ret_place->port;
}

/* An address that means all of the machine is listened on, not connected to. */
static const char *reachable(const char *host) {
    if (strcmp(host, "0.0.0.0") == 0) {
        return "127.0.0.1";
    }
    return strcmp(host, "::") == 0 ? "::1" : host;
}

/* Return: a connected socket, or -1 */
static int connect_to(const struct place *place) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct addrinfo *found = NULL;
    int fd = -1;
    if (getaddrinfo(reachable(place->host), place->port, &hints, &found)) {
        return -1;
    }
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd < 0) {
            continue;
        }
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* connect's too */
        if (connect(fd, at->ai_addr, at->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* GET /readyz on @fd. @ret_answer: all of the answer that fits, ends with NUL. */
static void ask_ready(int fd, char ret_answer[static ANSWER_MAX]) {
    static const char question[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n"
                                   "Connection: close\r\n\r\n";
    size_t size = 0;
    ssize_t got = send(fd, question, sizeof question - 1, MSG_NOSIGNAL);
    while (got > 0 && size < ANSWER_MAX - 1) {
        got = recv(fd, ret_answer + size, ANSWER_MAX - 1 - size, 0);
        size += got > 0 ? (size_t)got : 0;
    }
    ret_answer[size] = '\0';
}

/* Prints one line when @place is not well. */
static bool is_well(const struct place *place) {
    char answer[ANSWER_MAX] = "";
    int fd = connect_to(place);
    if (fd < 0) {
        fprintf(stderr, "eventbox: %s: nothing answers at %s port %s\n", place->module,
                reachable(place->host), place->port);
        return false;
    }
    if (place->http) {
        ask_ready(fd, answer);
    }
    close(fd);
    if (!place->http || strncmp(answer, "HTTP/1.1 200 ", 13) == 0) {
        return true;
    }
    const char *body = strstr(answer, "\r\n\r\n");
    fprintf(stderr, "eventbox: %s: not ready: %s\n", place->module,
            body ? body + 4 : "no answer to GET /readyz");
    return false;
}

int cli_health(struct cli *cli, int argc, char **argv) {
    const char *listed = conf_text(cli->conf, CONF_HOST_SECTION, "modules");
    bool well = true;
    for (size_t i = 0; i < cli->module_count; i++) {
        struct place place;
        if (is_listed(listed ? listed : "all", cli->modules[i]->name) &&
            find_place(cli->conf, cli->modules[i], &place)) {
            well = is_well(&place) && well;
        }
    }
    return well ? 0 : 1;
}
