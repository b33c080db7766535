#include "support.h"

#include <eventbox/loop/conn.h>
#include <eventbox/loop/listener.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SPACE = 1000 };

struct probe {
    struct conn *conn;
    char in[SPACE];

    size_t got_size;
    int bytes_calls, drained_count, close_count, connect_count;
    int close_reason;
    int result;          /* of on_bytes */
    bool close_on_bytes; /* conn_close() from on_bytes */
    bool close_on_drained;
    bool close_on_space;
    bool no_space;
    bool echo;
    size_t answer_bytes; /* written per on_bytes */
    size_t space;        /* offered for a read; SPACE when 0 */
};

static struct loop *loop;
static struct probe probe;
static int peer = -1;
static int released_count;

static void settle(void) {
    for (int i = 0; i < 5; i++) {
        loop_step(loop);
    }
}

static void *on_space(struct conn *conn, size_t *ret_size) {
    struct probe *self = conn_userdata(conn);
    if (self->close_on_space) {
        conn_close(conn);
        return NULL;
    }
    *ret_size = self->space ? self->space : SPACE;
    return self->no_space ? NULL : self->in;
}

static int on_bytes(struct conn *conn, size_t size) {
    struct probe *self = conn_userdata(conn);
    self->bytes_calls++;
    self->got_size += size;
    if (self->echo) {
        conn_write_copy(conn, self->in, size);
    }
    if (self->answer_bytes) {
        struct buf *buf = buf_new(self->answer_bytes);
        memset(buf->data, 'a', self->answer_bytes);
        conn_write(conn, slice_of(buf, 0, self->answer_bytes));
    }
    if (self->close_on_bytes) {
        conn_close(conn);
    }
    return self->result;
}

static void on_drained(struct conn *conn) {
    struct probe *self = conn_userdata(conn);
    self->drained_count++;
    if (self->close_on_drained) {
        conn_close(conn);
    }
}

static void on_close(struct conn *conn, int reason) {
    struct probe *self = conn_userdata(conn);
    self->close_count++;
    self->close_reason = reason;
    self->conn = NULL;
}

static void on_connect(struct conn *conn) {
    struct probe *self = conn_userdata(conn);
    self->connect_count++;
}

static const struct conn_events events = {on_space, on_bytes, on_drained, on_close, on_connect};

static int setup(void **state) {
    (void)state;
    memset(&probe, 0, sizeof probe);
    released_count = 0;
    peer = -1;
    return loop_new(clock_system(), &loop);
}

static int teardown(void **state) {
    (void)state;
    if (probe.conn) {
        conn_close(probe.conn);
    }
    if (peer >= 0) {
        close(peer);
    }
    loop_run(loop);
    assert_int_equal(probe.close_count, 1);
    loop_free(loop);
    return 0;
}

static void start(const struct conn_config *config) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peer = fds[1];
    assert_int_equal(conn_new(loop, fds[0], config, &events, &probe, &probe.conn), 0);
}

/* A pair of TCP sockets, whose small buffers fill quickly. */
static void start_tcp(const struct conn_config *config) {
    int listen_fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listen_fd, 1), 0);
    getsockname(listen_fd, (struct sockaddr *)&address, &size);
    peer = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
    fcntl(peer, F_SETFL, O_NONBLOCK);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    close(listen_fd);
    assert_int_equal(conn_new(loop, fd, config, &events, &probe, &probe.conn), 0);
}

static void say(const char *text) {
    assert_int_equal(write(peer, text, strlen(text)), strlen(text));
}

/* Steps the loop and reads the peer's side until @size bytes or the end came. */
static size_t hear(char *out, size_t size) {
    size_t done = 0;
    for (int tries = 0; done < size; tries++) {
        assert_true(tries < 200000);
        loop_step(loop);
        ssize_t n = read(peer, out + done, size - done);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            break;
        }
        if (n > 0) {
            done += (size_t)n;
        } else {
            usleep(100);
        }
    }
    return done;
}

static bool peer_sees_end(void) {
    char byte;
    return recv(peer, &byte, 1, MSG_PEEK) == 0;
}

/* ---- reading and writing ---- */

static void test_conn__echoes(void **state) {
    (void)state;
    char back[16];
    probe.echo = true;
    start(NULL);
    say("hello");
    assert_int_equal(hear(back, 5), 5);
    assert_memory_equal(back, "hello", 5);
    RUN_UNTIL(probe.drained_count == 1);
    assert_int_equal(probe.close_count, 0);
}

static void test_conn__reads_on_when_the_space_was_filled(void **state) {
    (void)state;
    char block[10 * SPACE] = {0};
    start(NULL);
    assert_int_equal(write(peer, block, sizeof block), sizeof block);
    loop_step(loop); /* one turn */
    loop_step(loop);
    assert_int_equal(probe.got_size, sizeof block);
}

static void test_conn_write__keeps_the_order_of_copies_and_slices(void **state) {
    (void)state;
    size_t total = 0;
    struct random_seeded random;
    random_seeded_init(&random, 5);
    start_tcp(&(struct conn_config){.write_high_bytes = MIB(64)});
    uint8_t *sent = malloc(MIB(2)), *heard = malloc(MIB(2));
    while (total < MIB(1)) {
        uint64_t kind = random_below(&random.random, 3);
        size_t size = random_below(&random.random, kind == 0 ? 60 : kind == 1 ? 3000 : 20000);
        random_fill(&random.random, sent + total, size);
        if (random_below(&random.random, 2)) {
            conn_write_copy(probe.conn, sent + total, size);
        } else {
            struct buf *buf = buf_copy(sent + total, size);
            conn_write(probe.conn, slice_of(buf, 0, size));
        }
        total += size;
        if (random_below(&random.random, 50) == 0) {
            loop_step(loop); /* partial writes in between */
        }
    }
    assert_true(conn_unsent_bytes(probe.conn) > 0);
    assert_int_equal(hear((char *)heard, total), total);
    assert_memory_equal(heard, sent, total);
    RUN_UNTIL(conn_unsent_bytes(probe.conn) == 0);
    free(sent);
    free(heard);
}

static void release_file(void *userdata) {
    released_count++;
    fclose(userdata);
}

static void test_conn_write_file__between_copies(void **state) {
    (void)state;
    enum { BYTES = 3 * 1024 * 1024 };
    FILE *stream = tmpfile();
    uint8_t *content = malloc(BYTES), *heard = malloc(BYTES);
    struct random_seeded random;
    random_seeded_init(&random, 6);
    random_fill(&random.random, content, BYTES);
    assert_int_equal(fwrite(content, 1, BYTES, stream), BYTES);
    fflush(stream);
    start_tcp(&(struct conn_config){.write_high_bytes = MIB(64)});
    struct conn_file *file = conn_file_new(fileno(stream), release_file, stream);
    conn_write_copy(probe.conn, "head", 4);
    conn_write_file(probe.conn, conn_file_ref(file), 100, 2500000);
    conn_write_copy(probe.conn, "middle", 6);
    conn_write_file(probe.conn, file, 7, 9);
    conn_write_copy(probe.conn, "tail", 4);
    assert_int_equal(hear((char *)heard, 2500023), 2500023);
    assert_memory_equal(heard, "head", 4);
    assert_memory_equal(heard + 4, content + 100, 2500000);
    assert_memory_equal(heard + 2500004, "middle", 6);
    assert_memory_equal(heard + 2500010, content + 7, 9);
    assert_memory_equal(heard + 2500019, "tail", 4);
    RUN_UNTIL(conn_unsent_bytes(probe.conn) == 0);
    assert_int_equal(released_count, 1);
    free(content);
    free(heard);
}

static void test_conn_write_file__that_is_too_short_closes(void **state) {
    (void)state;
    FILE *stream = tmpfile();
    fputs("short", stream);
    fflush(stream);
    start(NULL);
    conn_write_file(probe.conn, conn_file_new(fileno(stream), release_file, stream), 0, 100);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, -EIO);
    assert_int_equal(released_count, 1);
}

/* A peer that sends requests and reads no answers gets nothing more done. */
static void test_conn__stops_reading_while_too_much_is_unsent(void **state) {
    (void)state;
    char *heard = malloc(MIB(8));
    probe.answer_bytes = 20000;
    probe.space = 1; /* one request a read */
    start(&(struct conn_config){.write_high_bytes = 100000});
    enum { REQUESTS = 150 };
    for (int i = 0; i < REQUESTS; i++) {
        say("r");
        loop_step(loop);
    }
    assert_in_range(conn_unsent_bytes(probe.conn), 100000, 120000);
    assert_true(probe.got_size < REQUESTS / 2);
    assert_int_equal(hear(heard, REQUESTS * 20000),
                     REQUESTS * 20000); /* it reads, the rest is done */
    assert_int_equal(probe.got_size, REQUESTS);
    free(heard);
}

static void test_conn_pause_reading__until_resumed(void **state) {
    (void)state;
    start(NULL);
    conn_pause_reading(probe.conn);
    say("abc");
    settle();
    assert_int_equal(probe.got_size, 0);
    conn_resume_reading(probe.conn);
    RUN_UNTIL(probe.got_size == 3);
}

static void test_conn_pause_reading__still_notices_the_end(void **state) {
    (void)state;
    start(NULL);
    conn_pause_reading(probe.conn);
    settle();
    close(peer);
    peer = -1;
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, 0);
}

static void test_conn_pause_reading__loses_no_bytes_before_the_end(void **state) {
    (void)state;
    start_tcp(NULL);
    conn_pause_reading(probe.conn);
    say("last words");
    shutdown(peer, SHUT_WR);
    for (int i = 0; i < 50; i++) {
        settle();
        usleep(100);
    }
    assert_false(loop_step(loop)); /* and does not spin meanwhile */
    assert_int_equal(probe.close_count, 0);
    conn_resume_reading(probe.conn);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.got_size, 10);
    assert_int_equal(probe.close_reason, 0);
}

/* ---- closing ---- */

static void test_conn__peer_ends(void **state) {
    (void)state;
    start(NULL);
    say("x");
    close(peer);
    peer = -1;
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.got_size, 1);
    assert_int_equal(probe.close_reason, 0);
}

static void test_conn__peer_that_ended_gets_its_answer(void **state) {
    (void)state;
    char back[8];
    probe.echo = true;
    start_tcp(NULL);
    say("bye");
    shutdown(peer, SHUT_WR);
    assert_int_equal(hear(back, sizeof back), 3);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, 0);
}

static void test_conn__peer_resets(void **state) {
    (void)state;
    struct linger hard = {.l_onoff = 1};
    start_tcp(NULL);
    settle();
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(peer);
    peer = -1;
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, -ECONNRESET);
}

static void test_conn__write_to_a_gone_peer_is_no_signal(void **state) {
    (void)state;
    start(NULL);
    conn_pause_reading(probe.conn);
    close(peer);
    peer = -1;
    conn_write_copy(probe.conn, "x", 1);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, -EPIPE);
}

static void test_conn_close__at_each_step(void **state) {
    (void)state;
    for (int step = 0; step < 7; step++) {
        memset(&probe, 0, sizeof probe);
        start(NULL);
        probe.echo = step == 3;
        switch (step) {
        case 0: /* before anything happened */
            conn_close(probe.conn);
            assert_int_equal(probe.close_count, 0); /* not inside the call */
            break;
        case 1:
            probe.close_on_space = true;
            break;
        case 2:
            probe.close_on_bytes = true;
            probe.result = -EPROTO;
            break;
        case 3:
            probe.close_on_drained = true;
            break;
        case 4: /* with unsent bytes */
            conn_write(probe.conn, slice_of(buf_new(5000), 0, 5000));
            conn_close(probe.conn);
            conn_write(probe.conn, slice_of(buf_new(5000), 0, 5000));
            conn_write_copy(probe.conn, "x", 1);
            break;
        case 5: /* twice, and with every other call behind it */
            conn_close(probe.conn);
            conn_close(probe.conn);
            conn_close_after_write(probe.conn);
            conn_pause_reading(probe.conn);
            conn_resume_reading(probe.conn);
            conn_set_deadline(probe.conn, 10);
            break;
        case 6:
            probe.no_space = true;
            break;
        default:
            break;
        }
        (void)!write(peer, "x", 1);
        RUN_UNTIL(probe.close_count == 1);
        assert_int_equal(probe.close_reason, 0);
        assert_true(peer_sees_end() || errno == ECONNRESET || probe.echo);
        settle();
        assert_int_equal(probe.close_count, 1);
        close(peer);
        peer = -1;
    }
}

static void test_conn_close_after_write__sends_all_and_lingers(void **state) {
    (void)state;
    char *heard = malloc(MIB(1));
    start_tcp(&(struct conn_config){.write_high_bytes = MIB(64)});
    for (int i = 0; i < 50; i++) {
        conn_write(probe.conn, slice_of(buf_new(10000), 0, 10000));
    }
    conn_close_after_write(probe.conn);
    conn_write_copy(probe.conn, "never", 5);
    (void)!write(peer, "unread upload", 13);
    assert_int_equal(hear(heard, MIB(1)),
                     500000); /* and no reset although nobody read the upload */
    assert_true(peer_sees_end());
    (void)!write(peer, "more", 4);
    settle();
    assert_int_equal(probe.close_count, 0);
    close(peer);
    peer = -1;
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, 0);
    assert_int_equal(probe.got_size, 0);
    free(heard);
}

static void test_conn__on_bytes_closes_with_its_reason_after_the_answer(void **state) {
    (void)state;
    char back[8];
    probe.echo = true;
    probe.result = HTTP_E_BAD_REQUEST;
    start(NULL);
    say("bad");
    assert_int_equal(hear(back, sizeof back), 3);
    close(peer);
    peer = -1;
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, HTTP_E_BAD_REQUEST);
    assert_int_equal(probe.bytes_calls, 1);
}

/* ---- deadlines ---- */

static void test_conn__idle_deadline_counts_from_the_last_byte(void **state) {
    (void)state;
    start(&(struct conn_config){.idle_ms = 60});
    for (int i = 0; i < 10; i++) {
        say("x");
        RUN_UNTIL(probe.got_size == (size_t)i + 1);
        usleep(10000);
    }
    assert_int_equal(probe.close_count, 0);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, CONN_E_TIMEOUT);
}

static void test_conn__stall_deadline_of_a_peer_that_does_not_read(void **state) {
    (void)state;
    start(&(struct conn_config){.write_stall_ms = 30, .write_high_bytes = MIB(64)});
    conn_write(probe.conn, slice_of(buf_new(MIB(8)), 0, MIB(8)));
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, CONN_E_TIMEOUT);
}

static void test_conn_set_deadline__may_be_moved_and_removed(void **state) {
    (void)state;
    start(NULL);
    conn_set_deadline(probe.conn, 20);
    conn_set_deadline(probe.conn, 0);
    usleep(30000);
    settle();
    assert_int_equal(probe.close_count, 0);
    conn_set_deadline(probe.conn, 100000);
    conn_set_deadline(probe.conn, 10);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, CONN_E_TIMEOUT);
}

/* ---- connecting ---- */

static struct probe server;

static int accept_server(void *userdata, int fd) {
    (void)userdata;
    return conn_new(loop, fd, NULL, &events, &server, &server.conn);
}

static void test_conn_connect__exchanges_bytes(void **state) {
    (void)state;
    struct listener *listener;
    struct listener_config config = {.host = "localhost"};
    memset(&server, 0, sizeof server);
    server.echo = true;
    assert_int_equal(listener_open(loop, &config, accept_server, NULL, &listener), 0);
    assert_int_equal(conn_connect(loop, "localhost", listener_port(listener), 5000, NULL, &events,
                                  &probe, &probe.conn),
                     0);
    conn_write_copy(probe.conn, "early", 5); /* waits for the connection */
    RUN_UNTIL(probe.got_size == 5);
    assert_int_equal(probe.connect_count, 1);
    assert_string_equal(conn_local_host(server.conn), "127.0.0.1");
    assert_int_equal(conn_local_port(server.conn), listener_port(listener));
    assert_true(conn_peer_is_loopback(server.conn));
    assert_memory_equal(conn_peer_address(server.conn), "127.0.0.1:", 10);
    listener_close(listener);
    conn_close(probe.conn);
    RUN_UNTIL(server.close_count == 1);
}

static void test_conn_connect__refused(void **state) {
    (void)state;
    struct listener *listener; /* for a port that nobody listens on a moment later */
    struct listener_config config = {.host = "127.0.0.1"};
    assert_int_equal(listener_open(loop, &config, accept_server, NULL, &listener), 0);
    uint16_t port = listener_port(listener);
    listener_close(listener);
    assert_int_equal(
        conn_connect(loop, "localhost", port, 5000, NULL, &events, &probe, &probe.conn), 0);
    assert_int_equal(probe.close_count, 0);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, -ECONNREFUSED);
    assert_int_equal(probe.connect_count, 0);
}

static void test_conn_connect__closed_before_it_began(void **state) {
    (void)state;
    assert_int_equal(conn_connect(loop, "127.0.0.1", 9, 5000, NULL, &events, &probe, &probe.conn),
                     0);
    conn_close(probe.conn);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.connect_count, 0);
}

static void test_conn_connect__closed_while_resolving(void **state) {
    (void)state;
    assert_int_equal(
        conn_connect(loop, "name.invalid", 9, 5000, NULL, &events, &probe, &probe.conn), 0);
    conn_close(probe.conn);
    RUN_UNTIL(probe.close_count == 1);
    assert_int_equal(probe.close_reason, 0);
}

/* ---- several connections ---- */

enum { SEVERAL = 3 };

struct several {
    struct conn *conns[SEVERAL];
    int peers[SEVERAL];
    unsigned asked, answered_before, closed;
};

static int on_bytes_of_several(struct conn *conn, size_t size) {
    struct several *self = conn_userdata(conn);
    char byte;
    for (unsigned i = 0; i < SEVERAL; i++) {
        self->answered_before += recv(self->peers[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    }
    self->asked++;
    conn_write_copy(conn, "a", 1);
    return 0;
}

static void *on_space_of_several(struct conn *conn, size_t *ret_size) {
    static char bytes[SPACE];
    (void)conn;
    *ret_size = sizeof bytes;
    return bytes;
}

static void on_close_of_several(struct conn *conn, int reason) {
    struct several *self = conn_userdata(conn);
    (void)reason;
    self->closed++;
}

static void test_conn__an_answer_does_not_wait_for_what_others_ask(void **state) {
    static const struct conn_events several_events = {.on_space = on_space_of_several,
                                                      .on_bytes = on_bytes_of_several,
                                                      .on_close = on_close_of_several};
    struct conn_config config = {0};
    struct several several = {0};
    start(&config);
    for (unsigned i = 0; i < SEVERAL; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        several.peers[i] = fds[1];
        assert_int_equal(
            conn_new(loop, fds[0], &config, &several_events, &several, &several.conns[i]), 0);
        assert_int_equal(write(fds[1], "q", 1), 1);
    }
    loop_step(loop);
    unsigned asked_at_once = several.asked;
    for (unsigned i = 0; i < SEVERAL; i++) {
        close(several.peers[i]);
    }
    settle();
    assert_int_equal(several.closed, SEVERAL);
    assert_int_equal(asked_at_once, SEVERAL); /* in one turn */
    assert_int_equal(several.answered_before, 0 + 1 + 2);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_conn__echoes),
        T(test_conn__reads_on_when_the_space_was_filled),
        T(test_conn_write__keeps_the_order_of_copies_and_slices),
        T(test_conn_write_file__between_copies),
        T(test_conn_write_file__that_is_too_short_closes),
        T(test_conn__stops_reading_while_too_much_is_unsent),
        T(test_conn_pause_reading__until_resumed),
        T(test_conn_pause_reading__still_notices_the_end),
        T(test_conn_pause_reading__loses_no_bytes_before_the_end),
        T(test_conn__peer_ends),
        T(test_conn__peer_that_ended_gets_its_answer),
        T(test_conn__peer_resets),
        T(test_conn__write_to_a_gone_peer_is_no_signal),
        T(test_conn_close__at_each_step),
        T(test_conn_close_after_write__sends_all_and_lingers),
        T(test_conn__on_bytes_closes_with_its_reason_after_the_answer),
        T(test_conn__idle_deadline_counts_from_the_last_byte),
        T(test_conn__stall_deadline_of_a_peer_that_does_not_read),
        T(test_conn_set_deadline__may_be_moved_and_removed),
        T(test_conn_connect__exchanges_bytes),
        T(test_conn_connect__refused),
        T(test_conn_connect__closed_before_it_began),
        T(test_conn_connect__closed_while_resolving),
        T(test_conn__an_answer_does_not_wait_for_what_others_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
