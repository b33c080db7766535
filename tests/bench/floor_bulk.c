/*
 * The way of a bulk produce without a server: requests received into memory of their own, written
 * from there to a journal past the page cache and synced, many at a time, then answered, then
 * appended to files by 256 KiB, or less where memory has no room for so much of each, which are
 * synced now and then. Three threads hand them on, as the loop, the log writer and the segment
 * writer do. Nobody looks into them. The clients copy
 * memory before each request until they have taken as much CPU time as those of the row do: so the
 * processors and their caches are as busy.
 */
#include "floor.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    ANSWER_BYTES = 64,
    GROUP_BYTES = 1 << 20,
    IN_FLIGHT_BYTES = 1 << 20, /* of a connection, but two requests */
    APPEND_BYTES = 256 << 10,
    SYNC_BYTES = 64 << 20,
    SYNCED_ALONE_MAX = 64, /* files; beyond, the whole file system is synced */
    GROUP_REQUESTS = 64,
    GATHERED_MAX = 64,
    VALUE_BYTES = 1 << 10,
    VALUES_BYTES = 1 << 20,
    COPIES_AT_ONCE = 64,
};

struct request {
    struct request *next;
    uint8_t *data;
    size_t got;
    int fd;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct request *first, **end;
};

struct server {
    const struct bulk *bulk;
    struct queue to_journal, to_answer, to_files, unused;
    int journal, answers;
    int *files;
    struct request **current; /* by descriptor */
};

static void queue_init(struct queue *queue) {
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    queue->end = &queue->first;
}

static void push(struct queue *queue, struct request *request) {
    request->next = NULL;
    pthread_mutex_lock(&queue->lock);
    *queue->end = request;
    queue->end = &request->next;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

/* Up to @most of them; waits for the first one. */
static struct request *pop(struct queue *queue, unsigned most, bool wait) {
    pthread_mutex_lock(&queue->lock);
    while (!queue->first && wait) {
        pthread_cond_wait(&queue->filled, &queue->lock);
    }
    struct request *first = queue->first, **last = &queue->first;
    for (unsigned i = 0; i < most && *last; i++) {
        last = &(*last)->next;
    }
    queue->first = *last;
    *last = NULL;
    if (!queue->first) {
        queue->end = &queue->first;
    }
    pthread_mutex_unlock(&queue->lock);
    return first == queue->first ? NULL : first;
}

static void *write_journal(void *arg) {
    struct server *server = arg;
    const size_t bytes = server->bulk->request_bytes;
    const size_t whole = (bytes + FLOOR_ALIGN / 2) / FLOOR_ALIGN * FLOOR_ALIGN;
    const size_t fit = bytes < GROUP_BYTES ? GROUP_BYTES / bytes : 1;
    const unsigned most = fit < GROUP_REQUESTS ? (unsigned)fit : GROUP_REQUESTS;
    off_t at = 0;
    for (;;) {
        struct iovec parts[GROUP_REQUESTS];
        struct request *request = pop(&server->to_journal, most, true), *next;
        int count = 0;
        for (next = request; next; next = next->next) {
            parts[count++] = (struct iovec){next->data, whole};
        }
        if (at + (off_t)whole * count > JOURNAL_BYTES) {
            at = 0;
        }
        if (pwritev2(server->journal, parts, count, at, RWF_DSYNC) != (ssize_t)whole * count) {
            die("journal");
        }
        at += (off_t)whole * count;
        for (; request; request = next) {
            next = request->next;
            push(&server->to_answer, request);
        }
        if (eventfd_write(server->answers, 1)) {
            die("wake");
        }
    }
    return NULL;
}

/* Requests are gathered for each file up to APPEND_BYTES, or to its share of the memory. */
static long gathered_most(const struct bulk *bulk) {
    const size_t share = bulk->gathered_bytes / (size_t)bulk->files;
    const size_t bytes = share < APPEND_BYTES ? share : APPEND_BYTES;
    const long most = (long)(bytes / bulk->request_bytes);
    return most < 1 ? 1 : most;
}

static void append(int fd, struct iovec *parts, int count, size_t bytes, off_t at) {
    if (pwritev(fd, parts, count, at) != (ssize_t)bytes) {
        die("append");
    }
}

/* One that is larger than APPEND_BYTES goes alone, in pieces. */
static void append_pieces(int fd, uint8_t *data, size_t bytes, off_t begin) {
    for (size_t at = 0, size; at < bytes; at += size) {
        size = bytes - at < APPEND_BYTES ? bytes - at : APPEND_BYTES;
        append(fd, &(struct iovec){data + at, size}, 1, size, begin + (off_t)at);
    }
}

static void append_gathered(int fd, const struct request *request, size_t bytes, off_t at) {
    struct iovec parts[GATHERED_MAX];
    int count = 0;
    for (; request; request = request->next) {
        parts[count++] = (struct iovec){request->data, bytes};
    }
    append(fd, parts, count, bytes * (size_t)count, at);
}

static void sync_all(const struct server *server) {
    if (server->bulk->files > SYNCED_ALONE_MAX) {
        syncfs(server->journal);
        return;
    }
    for (long i = 0; i < server->bulk->files; i++) {
        fdatasync(server->files[i]);
    }
}

static void *write_files(void *arg) {
    struct server *server = arg;
    const struct bulk *bulk = server->bulk;
    const size_t bytes = bulk->request_bytes;
    const long most = gathered_most(bulk);
    struct request **gathered = calloc((size_t)bulk->files, sizeof *gathered);
    size_t unsynced = 0;
    for (long i = 0;; i++) {
        struct request *request = pop(&server->to_files, 1, true), *next;
        const long file = i % bulk->files, turn = i / bulk->files;
        request->next = gathered[file];
        gathered[file] = request;
        if ((turn + 1) % most) {
            continue;
        }
        const off_t at = (turn + 1 - most) * (off_t)bytes;
        if (most == 1) {
            append_pieces(server->files[file], request->data, bytes, at);
        } else {
            append_gathered(server->files[file], request, bytes, at);
        }
        gathered[file] = NULL;
        for (; request; request = next) {
            next = request->next;
            push(&server->unused, request);
        }
        unsynced += bytes * (size_t)most;
        if (unsynced >= SYNC_BYTES) {
            sync_all(server);
        }
        unsynced %= SYNC_BYTES;
    }
    return NULL;
}

static void answer_all(struct server *server, long *done) {
    static const char answer[ANSWER_BYTES];
    eventfd_t count;
    eventfd_read(server->answers, &count);
    struct request *request = pop(&server->to_answer, UINT32_MAX, false), *next;
    for (; request; request = next, ++*done) {
        next = request->next;
        if (send(request->fd, answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) {
            die("answer");
        }
        push(&server->to_files, request);
    }
}

static void receive(struct server *server, int fd) {
    struct request *request = server->current[fd];
    if (!request) {
        request = server->current[fd] = pop(&server->unused, 1, true);
        request->got = 0;
        request->fd = fd;
    }
    ssize_t n =
        recv(fd, request->data + request->got, server->bulk->request_bytes - request->got, 0);
    if (n <= 0) {
        die("receive");
    }
    request->got += (size_t)n;
    if (request->got == server->bulk->request_bytes) {
        server->current[fd] = NULL;
        push(&server->to_journal, request);
    }
}

static long in_flight(const struct bulk *bulk) {
    return 2 + (long)(IN_FLIGHT_BYTES / bulk->request_bytes);
}

/* Values to the request, over and over, until this process has taken so much CPU time. */
static void work_until(double cpu_wanted_s, char *bytes, size_t size, const char *values) {
    for (size_t at = 0; cpu_s(RUSAGE_SELF) < cpu_wanted_s;) {
        for (unsigned i = 0; i < COPIES_AT_ONCE; i++) {
            at = at + VALUE_BYTES * 2 > size ? 0 : at + VALUE_BYTES;
            memcpy(bytes + at, values + at * 997 % (VALUES_BYTES - VALUE_BYTES), VALUE_BYTES);
        }
    }
}

/* A client: a process of its own, whose CPU does not count. */
static _Noreturn void ask(const struct bulk *bulk, const struct listener *listener, long count) {
    char answer[ANSWER_BYTES];
    char *bytes = aligned_bytes(bulk->request_bytes), *values = aligned_bytes(VALUES_BYTES);
    int fd = connect_to(listener);
    double each_s = bulk->client_s_gib * (double)bulk->request_bytes / (1 << 30);
    double begun_s = cpu_s(RUSAGE_SELF);
    for (long sent = 0, done = 0; done < count;) {
        if (sent < count && sent - done < in_flight(bulk)) {
            work_until(begun_s + each_s * (double)++sent, bytes, bulk->request_bytes, values);
            if (send(fd, bytes, bulk->request_bytes, MSG_NOSIGNAL) !=
                (ssize_t)bulk->request_bytes) {
                die("send");
            }
            continue;
        }
        if (recv(fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer) {
            die("answer");
        }
        done++;
    }
    sleep(60); /* until it is ended: who reads from it must not meet its end */
    exit(0);
}

void run_bulk(const struct bulk *bulk) {
    struct server server = {.bulk = bulk, .journal = open_journal(bulk->folder)};
    struct listener listener = listen_on_loopback();
    struct epoll_event events[64];
    const long count = (bulk->mib << 20) / (long)bulk->request_bytes / bulk->connections;
    const long requests = bulk->connections * in_flight(bulk) * 2 + GROUP_REQUESTS +
                          bulk->files * (gathered_most(bulk) - 1);
    const int poll = epoll_create1(0);
    pid_t *clients = calloc((size_t)bulk->connections, sizeof *clients);
    pthread_t thread;
    long done = 0;
    queue_init(&server.to_journal);
    queue_init(&server.to_answer);
    queue_init(&server.to_files);
    queue_init(&server.unused);
    server.current = calloc(65536, sizeof *server.current);
    server.answers = eventfd(0, EFD_NONBLOCK);
    server.files = calloc((size_t)bulk->files, sizeof *server.files);
    for (long i = 0; i < bulk->files; i++) {
        server.files[i] = open_numbered(bulk->folder, i);
    }
    for (long i = 0; i < requests; i++) {
        struct request *request = calloc(1, sizeof *request);
        request->data = aligned_bytes(bulk->request_bytes + FLOOR_ALIGN);
        push(&server.unused, request);
    }
    for (long i = 0; i < bulk->connections; i++) {
        if ((clients[i] = fork()) == 0) {
            ask(bulk, &listener, count);
        }
    }
    for (long i = 0; i < bulk->connections; i++) {
        watch(poll, accept(listener.fd, NULL, NULL));
    }
    watch(poll, server.answers);
    double cpu = cpu_s(RUSAGE_SELF), begun_s = now_s();
    pthread_create(&thread, NULL, write_journal, &server);
    pthread_create(&thread, NULL, write_files, &server);
    while (done < count * bulk->connections) {
        int n = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == server.answers) {
                answer_all(&server, &done);
            } else {
                receive(&server, events[i].data.fd);
            }
        }
    }
    double gib = (double)done * (double)bulk->request_bytes / (1 << 30);
    printf("%.3f %.0f\n", (cpu_s(RUSAGE_SELF) - cpu) / gib, gib * 1024 / (now_s() - begun_s));
    fflush(stdout);
    for (long i = 0; i < bulk->connections; i++) {
        kill(clients[i], SIGKILL);
    }
    _exit(0); /* the threads wait for more */
}
