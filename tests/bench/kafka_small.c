/*
 * One request, sent again and again on many connections: what a server costs for small requests.
 * It knows of the protocol that a frame begins with its length; the request comes from a file,
 * which the driver (connection_rows.py) writes. One thread, one epoll, no copies of answers.
 *
 *   kafka_small HOST PORT FILE COUNT CONNECTIONS DEPTH
 *
 * sends COUNT requests over all connections, DEPTH of them in flight on each. It says "open" when
 * all are open and begins at a line on its standard input, so that opening them is not measured.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct peer {
    int fd;
    uint8_t head[4]; /* of the answer that is coming */
    unsigned head_bytes;
    uint32_t body_left;
};

static uint8_t *requests; /* DEPTH times the same */
static size_t request_bytes;
static long count, depth, sent, answered;
static uint32_t answer_bytes; /* of the first answer; all others have to be as long */

static _Noreturn void die(const char *what) {
    fprintf(stderr, "kafka_small: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_request(const char *path) {
    static uint8_t one[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file) {
        die(path);
    }
    request_bytes = fread(one, 1, sizeof one, file);
    fclose(file);
    requests = malloc(request_bytes * (size_t)depth);
    for (long i = 0; i < depth; i++) {
        memcpy(requests + request_bytes * (size_t)i, one, request_bytes);
    }
}

static void dial(struct peer *peer, const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    inet_pton(AF_INET, host, &address.sin_addr);
    peer->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&address, sizeof address)) {
        die("connect");
    }
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* They are small, and no more of them are in flight than the peer's socket takes. */
static void send_some(struct peer *peer, long wanted) {
    long n = wanted < count - sent ? wanted : count - sent;
    size_t bytes = (size_t)n * request_bytes;
    sent += n;
    for (size_t at = 0; at < bytes;) {
        ssize_t r = send(peer->fd, requests + at, bytes - at, MSG_NOSIGNAL);
        if (r < 0) {
            die("send");
        }
        at += (size_t)r;
    }
}

/* Return: answers that have ended in these bytes. */
static long take_bytes(struct peer *peer, const uint8_t *data, size_t size) {
    long ended = 0;
    while (size > 0) {
        if (peer->head_bytes < sizeof peer->head) {
            peer->head[peer->head_bytes++] = *data++;
            size--;
            if (peer->head_bytes == sizeof peer->head) {
                memcpy(&peer->body_left, peer->head, sizeof peer->head);
                peer->body_left = ntohl(peer->body_left);
                answer_bytes = answer_bytes ? answer_bytes : peer->body_left;
                if (peer->body_left != answer_bytes) {
                    fprintf(stderr, "kafka_small: an answer of %u bytes after one of %u\n",
                            peer->body_left, answer_bytes);
                    exit(1);
                }
            }
            continue;
        }
        size_t n = size < peer->body_left ? size : peer->body_left;
        data += n;
        size -= n;
        peer->body_left -= (uint32_t)n;
        if (peer->body_left == 0) {
            peer->head_bytes = 0;
            ended++;
        }
    }
    return ended;
}

static void serve(struct peer *peer) {
    static uint8_t bytes[1 << 18];
    ssize_t n = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        die("the server closed the connection");
    }
    long ended = take_bytes(peer, bytes, (size_t)n);
    answered += ended;
    if (ended > 0) {
        send_some(peer, ended);
    }
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: kafka_small HOST PORT FILE COUNT CONNECTIONS DEPTH\n");
        return 2;
    }
    long connections = atol(argv[5]);
    struct peer *peers = calloc((size_t)connections, sizeof *peers);
    int poll = epoll_create1(0);
    count = atol(argv[4]);
    depth = atol(argv[6]);
    read_request(argv[3]);
    for (long i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peers[i]};
        dial(&peers[i], argv[1], atoi(argv[2]));
        epoll_ctl(poll, EPOLL_CTL_ADD, peers[i].fd, &event);
    }
    printf("open\n");
    fflush(stdout);
    (void)getchar();
    double begun = now_s();
    for (long i = 0; i < connections; i++) {
        send_some(&peers[i], depth);
    }
    while (answered < count) {
        struct epoll_event events[256];
        int n = epoll_wait(poll, events, 256, 30000);
        if (n <= 0) {
            die("no answer for 30 s");
        }
        for (int i = 0; i < n; i++) {
            serve(events[i].data.ptr);
        }
    }
    printf("small %.0f requests/s of %u bytes\n", (double)count / (now_s() - begun), answer_bytes);
    return 0;
}
