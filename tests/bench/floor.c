/*
 * What the machine takes for the same work, without a server: the floor under the figures.
 *
 *   floor sync DIR PACE_US COUNT        a frame of 4 KiB past the page cache and synced, as the
 *                                       journal's: p50 and p99 of the call, CPU of it
 *   floor fresh|again DIR MIB           MIB written through the page cache by 256 KiB, into pages
 *                                       that were not there before, or over the same ones
 *   floor scatter DIR FILES OPEN COUNT BYTES
 *                                       COUNT appends of BYTES (at most 256 KiB) to FILES files in
 *                                       turns: the first OPEN of them stay open, the others are
 *                                       opened and closed each time; microseconds for each 16 KiB
 *   floor sockets CONNECTIONS COUNT IN OUT
 *                                       requests of IN bytes that another process sends, answered
 *                                       with OUT bytes, one in flight on each connection: epoll,
 *                                       recv and sendmsg alone; CPU of the answering process
 *   floor relay DIR RATE COUNT          64 bytes from one thread over loopback to a second, which
 *                                       syncs a frame for what it received and sends it on to a
 *                                       third: p50 and p99 of the way; DIR "-": without the frame
 *   floor bulk DIR CONNECTIONS FILES MIB BYTES CLIENT GATHERED
 *                                       requests of BYTES from so many clients that take CLIENT
 *                                       CPU seconds a GiB: received, written to a journal,
 *                                       answered, appended to files by what GATHERED MiB of
 *                                       memory have room for (floor_bulk.c); CPU, MiB/s
 *
 * Prints figures of microseconds, or of CPU seconds a GiB for the second and the last.
 */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_BYTES = 4096,
    CHUNK_BYTES = 256 << 10,
    UNIT_BYTES = 16 << 10,
    MESSAGE_BYTES = 64,
    EVENTS_AT_ONCE = 1024, /* as libuv asks for */
    BUFFER_BYTES = 64 << 10,
};

_Noreturn void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double cpu_s(int who) {
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int open_in(const char *folder, const char *name, int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        die(path);
    }
    return fd;
}

void *aligned_bytes(size_t bytes) {
    void *memory =
        aligned_alloc(FLOOR_ALIGN, (bytes + FLOOR_ALIGN - 1) / FLOOR_ALIGN * FLOOR_ALIGN);
    if (!memory) {
        die("memory");
    }
    memset(memory, 1, bytes);
    return memory;
}

int open_journal(const char *folder) {
    char *bytes = aligned_bytes(1 << 20);
    int fd = open_in(folder, "journal", O_RDWR | O_CREAT | O_DIRECT);
    for (off_t at = 0; at < JOURNAL_BYTES; at += 1 << 20) {
        if (pwrite(fd, bytes, 1 << 20, at) != 1 << 20) {
            die("write");
        }
    }
    fsync(fd);
    free(bytes);
    return fd;
}

static void write_frame(int fd, char *frame, long number) {
    struct iovec part = {frame, FRAME_BYTES};
    if (pwritev2(fd, &part, 1, number * FRAME_BYTES % JOURNAL_BYTES, RWF_DSYNC) != FRAME_BYTES) {
        die("write");
    }
}

static void run_sync(const char *folder, unsigned pace_us, long count) {
    char *frame = aligned_bytes(FRAME_BYTES);
    int fd = open_journal(folder);
    double *took = calloc((size_t)count, sizeof *took);
    double cpu = cpu_s(RUSAGE_SELF);
    for (long i = 0; i < count; i++) {
        if (pace_us) {
            usleep(pace_us);
        }
        double begun = now_s();
        write_frame(fd, frame, i);
        took[i] = (now_s() - begun) * 1e6;
    }
    cpu = cpu_s(RUSAGE_SELF) - cpu;
    qsort(took, (size_t)count, sizeof *took, compare_double);
    printf("%.1f %.1f %.1f\n", took[count / 2], took[count * 99 / 100], cpu * 1e6 / (double)count);
}

static void run_cache(const char *folder, long mib, int again) {
    char *chunk = aligned_bytes(CHUNK_BYTES);
    double cpu = 0;
    for (int turn = 0; turn <= again; turn++) {
        int fd = open_in(folder, "pages", O_RDWR | O_CREAT | (turn ? 0 : O_TRUNC));
        double before = cpu_s(RUSAGE_SELF);
        for (long i = 0; i < mib * 4; i++) {
            if (write(fd, chunk, CHUNK_BYTES) != CHUNK_BYTES) {
                die("write");
            }
        }
        cpu = cpu_s(RUSAGE_SELF) - before;
        close(fd);
    }
    printf("%.3f\n", cpu * 1024 / (double)mib);
}

int open_numbered(const char *folder, long file) {
    char name[32];
    snprintf(name, sizeof name, "%ld", file);
    return open_in(folder, name, O_RDWR | O_CREAT);
}

static void run_scatter(const char *folder, long files, long open_files, long count, long bytes) {
    char *chunk = aligned_bytes(CHUNK_BYTES);
    int *fds = calloc((size_t)files, sizeof *fds);
    for (long i = 0; i < files; i++) { /* all are there, with a first block, before it counts */
        fds[i] = open_numbered(folder, i);
        if (pwrite(fds[i], chunk, 512, 0) != 512) {
            die("write");
        }
        if (i >= open_files) {
            close(fds[i]);
        }
    }
    double cpu = cpu_s(RUSAGE_SELF);
    for (long i = 0; i < count; i++) {
        long file = i % files;
        int fd = file < open_files ? fds[file] : open_numbered(folder, file);
        if (pwrite(fd, chunk, (size_t)bytes, 512 + i / files * bytes) != bytes) {
            die("write");
        }
        if (file >= open_files) {
            close(fd);
        }
    }
    cpu = cpu_s(RUSAGE_SELF) - cpu;
    printf("%.2f\n", cpu * 1e6 * UNIT_BYTES / ((double)count * (double)bytes));
}

struct listener listen_on_loopback(void) {
    struct listener listener = {
        .address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}},
        .fd = socket(AF_INET, SOCK_STREAM, 0),
    };
    struct sockaddr *address = (struct sockaddr *)&listener.address;
    socklen_t size = sizeof listener.address;
    if (bind(listener.fd, address, size) || listen(listener.fd, 4096) ||
        getsockname(listener.fd, address, &size)) {
        die("listen");
    }
    return listener;
}

int connect_to(const struct listener *listener) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&listener->address, sizeof listener->address)) {
        die("connect");
    }
    return fd;
}

static void connect_one(const struct listener *listener, int *ret_here, int *ret_there) {
    *ret_here = connect_to(listener);
    *ret_there = accept(listener->fd, NULL, NULL);
    if (*ret_there < 0) {
        die("accept");
    }
}

/* ---- requests and answers, of bytes that mean nothing ---- */

struct exchange {
    long connections, count;
    size_t in_bytes, out_bytes;
    struct listener listener;
    int go; /* a byte comes when every connection is there */
};

static void send_bytes(int fd, size_t size) {
    static char bytes[BUFFER_BYTES];
    struct iovec part = {bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)size) {
        die("send");
    }
}

static void receive_bytes(int fd, size_t size) {
    static char bytes[BUFFER_BYTES];
    if (recv(fd, bytes, sizeof bytes, 0) != (ssize_t)size) {
        die("receive");
    }
}

void watch(int poll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

/* The process whose CPU does not count. */
static _Noreturn void ask(const struct exchange *exchange) {
    struct epoll_event events[EVENTS_AT_ONCE];
    int *fds = calloc((size_t)exchange->connections, sizeof *fds);
    int poll = epoll_create1(0);
    long sent = 0;
    char byte;
    for (long i = 0; i < exchange->connections; i++) {
        fds[i] = connect_to(&exchange->listener);
        watch(poll, fds[i]);
    }
    if (read(exchange->go, &byte, 1) != 1) {
        die("go");
    }
    for (; sent < exchange->connections; sent++) {
        send_bytes(fds[sent], exchange->in_bytes);
    }
    for (long done = 0; done < exchange->count;) {
        int n = epoll_wait(poll, events, EVENTS_AT_ONCE, -1);
        for (int i = 0; i < n; i++, done++) {
            receive_bytes(events[i].data.fd, exchange->out_bytes);
            if (sent < exchange->count) {
                sent++;
                send_bytes(events[i].data.fd, exchange->in_bytes);
            }
        }
    }
    exit(0);
}

static void run_sockets(const struct exchange *given) {
    struct exchange exchange = *given;
    struct epoll_event events[EVENTS_AT_ONCE];
    int poll = epoll_create1(0);
    int go[2];
    if (exchange.in_bytes > BUFFER_BYTES || exchange.out_bytes > BUFFER_BYTES || pipe(go)) {
        die("sizes");
    }
    exchange.listener = listen_on_loopback();
    exchange.go = go[0];
    if (fork() == 0) {
        close(go[1]);
        ask(&exchange);
    }
    for (long i = 0; i < exchange.connections; i++) {
        int fd = accept(exchange.listener.fd, NULL, NULL);
        if (fd < 0) {
            die("accept");
        }
        watch(poll, fd);
    }
    double cpu = cpu_s(RUSAGE_SELF);
    if (write(go[1], "g", 1) != 1) {
        die("go");
    }
    for (long done = 0; done < exchange.count;) {
        int n = epoll_wait(poll, events, EVENTS_AT_ONCE, -1);
        for (int i = 0; i < n; i++, done++) {
            receive_bytes(events[i].data.fd, exchange.in_bytes);
            send_bytes(events[i].data.fd, exchange.out_bytes);
        }
    }
    printf("%.2f\n", (cpu_s(RUSAGE_SELF) - cpu) * 1e6 / (double)exchange.count);
}

/* ---- from one thread to another by way of a third ---- */

struct relay {
    int from_producer, to_producer, from_consumer, to_consumer; /* ends of two connections */
    int journal;                                                /* -1: none */
    long count;
    double rate;
};

static void *relay_on(void *arg) {
    const struct relay *relay = arg;
    char messages[64 << 10];
    char *frame = aligned_bytes(FRAME_BYTES);
    ssize_t n;
    for (long frames = 0; (n = recv(relay->from_producer, messages, sizeof messages, 0)) > 0;) {
        if (relay->journal >= 0) {
            write_frame(relay->journal, frame, frames++);
        }
        if (send(relay->to_consumer, messages, (size_t)n, MSG_NOSIGNAL) != n) {
            die("send");
        }
    }
    free(frame);
    return NULL;
}

static void *send_paced(void *arg) {
    const struct relay *relay = arg;
    char message[MESSAGE_BYTES] = "x";
    double begun = now_s();
    for (long i = 0; i < relay->count; i++) {
        double wait = begun + (double)i / relay->rate - now_s();
        if (wait > 0) {
            usleep((useconds_t)(wait * 1e6));
        }
        double at = now_s();
        memcpy(message, &at, sizeof at);
        if (send(relay->to_producer, message, sizeof message, MSG_NOSIGNAL) != MESSAGE_BYTES) {
            die("send");
        }
    }
    return NULL;
}

static void run_relay(const char *folder, double rate, long count) {
    bool synced = strcmp(folder, "-") != 0;
    struct listener listener = listen_on_loopback();
    struct relay relay = {.journal = -1, .count = count, .rate = rate};
    connect_one(&listener, &relay.to_producer, &relay.from_producer);
    connect_one(&listener, &relay.from_consumer, &relay.to_consumer);
    if (synced) {
        relay.journal = open_journal(folder);
    }
    double *took = calloc((size_t)count, sizeof *took);
    pthread_t producer, between;
    pthread_create(&between, NULL, relay_on, &relay);
    pthread_create(&producer, NULL, send_paced, &relay);
    for (long i = 0; i < count; i++) {
        char message[MESSAGE_BYTES];
        double at;
        if (recv(relay.from_consumer, message, sizeof message, MSG_WAITALL) != MESSAGE_BYTES) {
            die("receive");
        }
        memcpy(&at, message, sizeof at);
        took[i] = (now_s() - at) * 1e6;
    }
    qsort(took, (size_t)count, sizeof *took, compare_double);
    printf("%.1f %.1f\n", took[count / 2], took[count * 99 / 100]);
}

int main(int argc, char **argv) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "sync") == 0 && argc == 5) {
        run_sync(argv[2], (unsigned)atoi(argv[3]), atol(argv[4]));
    } else if ((strcmp(what, "fresh") == 0 || strcmp(what, "again") == 0) && argc == 4) {
        run_cache(argv[2], atol(argv[3]), strcmp(what, "again") == 0);
    } else if (strcmp(what, "scatter") == 0 && argc == 7 && atol(argv[6]) <= CHUNK_BYTES) {
        run_scatter(argv[2], atol(argv[3]), atol(argv[4]), atol(argv[5]), atol(argv[6]));
    } else if (strcmp(what, "sockets") == 0 && argc == 6) {
        run_sockets(&(struct exchange){.connections = atol(argv[2]),
                                       .count = atol(argv[3]),
                                       .in_bytes = (size_t)atol(argv[4]),
                                       .out_bytes = (size_t)atol(argv[5])});
    } else if (strcmp(what, "relay") == 0 && argc == 5) {
        run_relay(argv[2], atof(argv[3]), atol(argv[4]));
    } else if (strcmp(what, "bulk") == 0 && argc == 9 && atol(argv[4]) > 0 && atol(argv[6]) > 0) {
        run_bulk(&(struct bulk){.folder = argv[2],
                                .connections = atol(argv[3]),
                                .files = atol(argv[4]),
                                .mib = atol(argv[5]),
                                .request_bytes = (size_t)atol(argv[6]),
                                .client_s_gib = atof(argv[7]),
                                .gathered_bytes = (size_t)atol(argv[8]) << 20});
    } else {
        fprintf(stderr,
                "usage: floor sync|fresh|again|scatter|sockets|relay|bulk ... (see floor.c)\n");
        return 2;
    }
    return 0;
}
