/*
 * What a peer may do to a Kafka port, down to the bytes: frames that are split anywhere, lengths,
 * headers, client ids, tags of headers, requests, strangers, and large frames of connections that
 * share little memory. The server is the real one over a log in memory; sockets and time are
 * made here, so that a run is the same each time. The input is a list of steps:
 *
 *   0x00 to 0x7f   so many bytes and one more follow, and arrive at once
 *   0x80 to 0xbf   so many KiB and one more arrive, of the byte that follows
 *   0xc0           from now on it is the next of three connections
 *   0xc1           the connection's deadline passes, where it has one
 *   0xc2           the peer ends
 *   0xc3           the peer reads its answers, which have waited since the last time
 *   others         the loop turns
 *
 * Whatever comes: an ended connection hears nothing more, what is written is whole frames, one for
 * a request at most, and at the end nothing of all that was taken is held.
 */
#include "api_private.h"
#include "fake_log.h"

#include <eventbox/base/bytes.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS = 3, READ_MAX = 64 << 10 };

struct conn {
    const struct conn_events *events;
    void *userdata;
    struct text written;
    size_t unsent;
    bool paused, ending, closed, deadline;
};

static struct conn conns[PEERS];
static struct conn *next_conn;

static void require(bool condition) {
    if (!condition) {
        abort();
    }
}

/* ---- a connection without a socket, in place of loop/conn.c ---- */

int conn_new(struct loop *loop, int fd, const struct conn_config *config,
             const struct conn_events *events, void *userdata, struct conn **ret_conn) {
    (void)loop, (void)fd, (void)config;
    *next_conn = (struct conn){.events = events, .userdata = userdata};
    text_init(&next_conn->written);
    *ret_conn = next_conn;
    return 0;
}

void *conn_userdata(const struct conn *conn) {
    return conn->userdata;
}

void conn_write_copy(struct conn *conn, const void *data, size_t size) {
    require(!conn->closed);
    text_append(&conn->written, data, size);
    conn->unsent += size;
}

void conn_write(struct conn *conn, struct slice slice) {
    conn_write_copy(conn, slice.data, slice.size);
    buf_unref(slice.buf);
}

/* The log here is in memory. */
void conn_write_file(struct conn *conn, struct conn_file *file, uint64_t offset, size_t size) {
    (void)conn, (void)file, (void)offset, (void)size;
    abort();
}

void conn_file_unref(struct conn_file *file) {
    require(!file);
}

struct conn_file *conn_file_new(int fd, void (*release)(void *userdata), void *userdata) {
    (void)fd, (void)release, (void)userdata;
    return NULL;
}

struct conn_file *conn_file_ref(struct conn_file *file) {
    return file;
}

size_t conn_unsent_bytes(const struct conn *conn) {
    return conn->unsent;
}

void conn_close(struct conn *conn) {
    conn->ending = true;
}

void conn_close_after_write(struct conn *conn) {
    conn->ending = true;
}

void conn_pause_reading(struct conn *conn) {
    conn->paused = true;
}

void conn_resume_reading(struct conn *conn) {
    conn->paused = false;
}

void conn_set_deadline(struct conn *conn, int64_t delay_ms) {
    require(!conn->closed && delay_ms >= 0);
    conn->deadline = delay_ms > 0;
}

const char *conn_peer_address(const struct conn *conn) {
    (void)conn;
    return "[::1]:51234";
}

const char *conn_local_host(const struct conn *conn) {
    (void)conn;
    return "::1";
}

uint16_t conn_local_port(const struct conn *conn) {
    (void)conn;
    return 9092;
}

/* ---- the peers ---- */

static void turn(struct loop *loop) {
    while (loop_step(loop)) {
    }
}

static void end(struct conn *conn, int reason) {
    if (!conn->closed) {
        conn->closed = true;
        conn->events->on_close(conn, reason);
    }
}

/* A socket is read only while it may be; what does not fit waits in the kernel for the next time.
 */
static void deliver(struct loop *loop, struct conn *conn, const uint8_t *data, size_t size,
                    uint8_t filler) {
    while (size > 0 && !conn->closed && !conn->ending && !conn->paused) {
        size_t room = 0;
        uint8_t *space = conn->events->on_space(conn, &room);
        size_t now = MIN(MIN(room, size), (size_t)READ_MAX);

        if (!space) {
            end(conn, -1);
            return;
        }
        require(room > 0);
        if (data) {
            memcpy(space, data, now);
            data += now;
        } else {
            memset(space, filler, now);
        }
        size -= now;
        if (conn->events->on_bytes(conn, now)) {
            conn->ending = true;
        }
        turn(loop);
    }
    if (conn->ending) {
        end(conn, 0);
        turn(loop);
    }
}

static void read_answers(struct conn *conn) {
    if (conn->unsent && !conn->closed && !conn->ending) {
        conn->unsent = 0;
        conn->events->on_drained(conn);
    }
}

/* Whole frames, with a last one that is none where HTTP was answered. Return their number. */
static uint64_t count_answers(const struct conn *conn) {
    const uint8_t *at = (const uint8_t *)conn->written.data;
    size_t left = conn->written.size;
    uint64_t count = 0;

    while (left > 0 && !(left > 4 && memcmp(at, "HTTP", 4) == 0)) {
        size_t size;

        require(left >= 8);
        size = get_be32(at);
        require(size >= 4 && size <= left - 4);
        at += 4 + size;
        left -= 4 + size;
        count++;
    }
    return count;
}

/* ---- the server ---- */

struct port {
    struct clock_manual clock;
    struct loop *loop;
    struct topic_log *log;
    struct kafka_server *server;
    struct kafka_listener listener;
    bool stopped;
};

static void on_stopped(void *userdata) {
    *(bool *)userdata = true;
}

static void on_loaded(void *userdata, int status) {
    (void)userdata;
    require(status == 0);
}

static void open_port(struct port *port) {
    struct kafka_server_config config = {.cluster_id = "ZXZlbnRib3gtdGVzdGluZw",
                                         .auto_create_topics = true,
                                         .default_partitions = 2,
                                         .log_dir = "/data/topics"};

    *port = (struct port){0};
    clock_manual_init(&port->clock, INT64_C(1700000000) * NS_PER_SEC);
    require(loop_new_simulated(&port->clock.clock, &port->loop) == 0);
    port->log = fake_log_new(port->loop);
    config.loop = port->loop;
    config.clock = &port->clock.clock;
    config.log = port->log;
    config.limits = KAFKA_LIMITS_DEFAULT;
    config.limits.request_max_bytes = KIB(256);
    config.limits.memory_bytes = KIB(80); /* so that large frames are soon one too many */
    config.limits.admission_bytes = KIB(20);
    config.limits.connection_bytes = KIB(32);
    config.limits.connection_requests = 8;
    config.limits.arena_max_bytes = MIB(4);
    config.limits.fetch_sessions = 2;
    require(kafka_server_new(&config, &port->server) == 0);
    kafka_server_load(port->server, on_loaded, NULL);
    turn(port->loop);
    port->listener = (struct kafka_listener){.server = port->server};
    for (int i = 0; i < PEERS; i++) {
        next_conn = &conns[i];
        require(kafka_conn_accept(&port->listener, -1) == 0);
    }
}

static void close_port(struct port *port) {
    struct kafka_server_stats stats;
    uint64_t answers = 0;

    for (int i = 0; i < PEERS; i++) {
        end(&conns[i], 0);
        answers += count_answers(&conns[i]);
    }
    turn(port->loop);
    kafka_server_stop(port->server, 0, on_stopped, &port->stopped);
    turn(port->loop);
    kafka_server_stats(port->server, &stats);
    require(stats.connections == 0 && stats.requests_in_flight == 0);
    require(stats.reserved_bytes == 0 && stats.answer_bytes == 0);
    require(stats.connections_starved == 0 && stats.fetches_parked == 0);
    require(port->stopped);
    require(answers <= stats.requests_total);
    kafka_server_free(port->server);
    for (int i = 0; i < PEERS; i++) {
        text_deinit(&conns[i].written);
    }
    fake_log_free(port->log);
    loop_free(port->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct port port;
    struct conn *conn = &conns[0];
    size_t at = 0;

    open_port(&port);
    while (at < size) {
        uint8_t step = data[at++];

        if (step < 0x80) {
            size_t count = MIN((size_t)step + 1, size - at);

            deliver(port.loop, conn, data + at, count, 0);
            at += count;
        } else if (step < 0xc0 && at < size) {
            deliver(port.loop, conn, NULL, (size_t)(step - 0x7f) << 10, data[at++]);
        } else if (step == 0xc0) {
            conn = conn == &conns[PEERS - 1] ? conns : conn + 1;
        } else if (step == 0xc1 && conn->deadline) {
            end(conn, CONN_E_TIMEOUT);
        } else if (step == 0xc2) {
            end(conn, 0);
        } else if (step == 0xc3) {
            read_answers(conn);
        }
        turn(port.loop);
    }
    close_port(&port);
    return 0;
}
