/*
 * What a small message costs on the loop: a client thread keeps PIPELINE requests of 64 bytes under
 * way on each of its connections, the server answers each with 64 bytes. Prints messages per second
 * and the CPU time of the server's thread per message, which is the figure that tells; and what an
 * idle connection takes.
 *
 * usage: conn_echo [connections] [pipeline] [seconds]
 */
#include <eventbox/base/clock.h>
#include <eventbox/loop/conn.h>
#include <eventbox/loop/listener.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, CONNECTIONS_MAX = 64, IDLE_CONNECTIONS = 1000 };

struct session {
    size_t partial; /* bytes of a message that has not come whole */
};

static struct loop *loop;
static uint64_t message_count;
static unsigned connection_count = 8, pipeline = 16, seconds = 3;
static uint16_t port;
static volatile bool stopping;
static struct loop_task stop_task;

static void *on_space(struct conn *conn, size_t *ret_size) {
    (void)conn;
    return loop_scratch(loop, ret_size);
}

static int on_bytes(struct conn *conn, size_t size) {
    static const uint8_t answer[MESSAGE];
    struct session *session = conn_userdata(conn);
    session->partial += size;
    for (; session->partial >= MESSAGE; session->partial -= MESSAGE) {
        conn_write_copy(conn, answer, MESSAGE);
        message_count++;
    }
    return 0;
}

static void on_close(struct conn *conn, int reason) {
    (void)reason;
    free(conn_userdata(conn));
}

static const struct conn_events events = {
    .on_space = on_space, .on_bytes = on_bytes, .on_close = on_close};

static int on_accept(void *userdata, int fd) {
    struct conn *conn;
    struct conn_config config = {.idle_ms = 60000};
    (void)userdata;
    return conn_new(loop, fd, &config, &events, calloc(1, sizeof(struct session)), &conn);
}

static int connect_server(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static void send_messages(int fd, size_t count) {
    static const uint8_t zeros[64 * MESSAGE];
    while (count > 0) {
        size_t part = MIN(count, (size_t)64);
        if (write(fd, zeros, part * MESSAGE) < 0) {
            return;
        }
        count -= part;
    }
}

static void *client_main(void *userdata) {
    struct pollfd polls[CONNECTIONS_MAX];
    size_t partial[CONNECTIONS_MAX] = {0};
    static uint8_t in[65536];
    (void)userdata;
    for (unsigned i = 0; i < connection_count; i++) {
        polls[i] = (struct pollfd){.fd = connect_server(), .events = POLLIN};
        send_messages(polls[i].fd, pipeline);
    }
    time_t end = time(NULL) + seconds;
    while (time(NULL) < end) {
        poll(polls, connection_count, 100);
        for (unsigned i = 0; i < connection_count; i++) {
            ssize_t n = polls[i].revents ? read(polls[i].fd, in, sizeof in) : 0;
            if (n > 0) {
                partial[i] += (size_t)n;
                send_messages(polls[i].fd, partial[i] / MESSAGE);
                partial[i] %= MESSAGE;
            }
        }
    }
    for (unsigned i = 0; i < connection_count; i++) {
        close(polls[i].fd);
    }
    stopping = true;
    loop_post(loop, &stop_task);
    return NULL;
}

static void on_stop(struct loop_task *task) {
    (void)task;
    loop_stop(loop);
}

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long resident_bytes(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2) {
        resident = 0;
    }
    if (file) {
        fclose(file);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

static void measure_idle(void) {
    static int fds[IDLE_CONNECTIONS];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    loop_step(loop);
    long before = resident_bytes();
    for (int i = 0; i < IDLE_CONNECTIONS; i++) {
        fds[i] = connect_server();
        loop_step(loop);
    }
    loop_step(loop);
    printf("idle connection: %ld bytes resident\n", (resident_bytes() - before) / IDLE_CONNECTIONS);
    for (int i = 0; i < IDLE_CONNECTIONS; i++) {
        close(fds[i]);
    }
    for (int i = 0; i < 100; i++) {
        loop_step(loop);
    }
}

int main(int argc, char **argv) {
    pthread_t client;
    struct listener *listener;
    struct listener_config config = {.host = "127.0.0.1"};
    connection_count = argc > 1 ? (unsigned)atoi(argv[1]) : connection_count;
    pipeline = argc > 2 ? (unsigned)atoi(argv[2]) : pipeline;
    seconds = argc > 3 ? (unsigned)atoi(argv[3]) : seconds;
    connection_count = MIN(connection_count, (unsigned)CONNECTIONS_MAX);
    if (loop_new(clock_system(), &loop) != 0 ||
        listener_open(loop, &config, on_accept, NULL, &listener) != 0) {
        return 1;
    }
    port = listener_port(listener);
    stop_task.run = on_stop;
    measure_idle();
    pthread_create(&client, NULL, client_main, NULL);
    double cpu = thread_seconds();
    loop_run(loop);
    cpu = thread_seconds() - cpu;
    pthread_join(client, NULL);
    printf("%u connections x %u: %.0f messages/s, %.3f us CPU of the server each\n",
           connection_count, pipeline, (double)message_count / seconds,
           cpu * 1e6 / (double)message_count);
    listener_close(listener);
    loop_run(loop);
    loop_free(loop);
    return 0;
}
