/* The client against a server of a few lines on a real socket. */
#include "support.h"

#include <arpa/inet.h>
#include <client.h>
#include <fcntl.h>
#include <sys/socket.h>

enum { SERVER_BYTES_MAX = 32 << 20, ID_BYTES = 24 };

static struct loop *loop;
static struct fluent_buffer buffer;
static struct fluent_client client;
static struct fluent_client_config config;
static int connected_count, disconnected_count, acked_count;
static bool drained, stopped;

/* The server: what it got, and the ids of the chunks in it. */
static int listen_fd, server_fd;
static char *server_bytes;
static size_t server_used, server_seen;
static char server_ids[64][ID_BYTES + 1];
static int server_id_count;
static bool server_reads;

static void server_listen(uint16_t port, uint16_t *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof address;
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listen_fd, 8), 0);
    getsockname(listen_fd, (struct sockaddr *)&address, &size);
    *ret_port = ntohs(address.sin_port);
}

static void server_close(void) {
    if (server_fd >= 0) {
        close(server_fd);
        server_fd = -1;
    }
}

static void server_find_ids(void) {
    static const char mark[] = "\x82\xa5"
                               "chunk\xb8";
    while (server_used - server_seen >= sizeof mark - 1 + ID_BYTES) {
        char *at =
            memmem(server_bytes + server_seen, server_used - server_seen, mark, sizeof mark - 1);
        if (!at || (size_t)(server_bytes + server_used - at) < sizeof mark - 1 + ID_BYTES) {
            return;
        }
        at += sizeof mark - 1;
        assert_true(server_id_count < 64);
        memcpy(server_ids[server_id_count++], at, ID_BYTES);
        server_seen = (size_t)(at + ID_BYTES - server_bytes);
    }
}

static void server_turn(void) {
    if (server_fd < 0 && listen_fd >= 0) {
        server_fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    if (server_fd >= 0 && server_reads) {
        ssize_t got = read(server_fd, server_bytes + server_used, SERVER_BYTES_MAX - server_used);
        if (got > 0) {
            server_used += (size_t)got;
            server_find_ids();
        } else if (got == 0) {
            server_close();
        }
    }
}

static void turn(void) {
    server_turn();
    if (!loop_step(loop)) {
        usleep(100);
    }
}

#define WAIT(condition)                                                                            \
    while (!(condition)) {                                                                         \
        turn();                                                                                    \
    }

static void server_ack(int id) {
    char answer[6 + ID_BYTES] = "\x81\xa3"
                                "ack\xb8";
    memcpy(answer + 6, server_ids[id], ID_BYTES);
    assert_int_equal(write(server_fd, answer, sizeof answer), sizeof answer);
}

static void on_connected(void *userdata) {
    connected_count++;
}
static void on_disconnected(void *userdata, int reason) {
    disconnected_count++;
}
static void on_acked(void *userdata, int64_t duration_ns) {
    acked_count++;
}
static void on_drained(void *userdata) {
    drained = true;
}
static void on_stopped(void *userdata) {
    stopped = true;
}

static int setup(void **state) {
    uint16_t port = 0;
    assert_int_equal(loop_new(clock_system(), &loop), 0);
    server_bytes = malloc(SERVER_BYTES_MAX);
    server_used = server_seen = 0;
    server_id_count = 0;
    server_fd = -1;
    server_reads = true;
    connected_count = disconnected_count = acked_count = 0;
    drained = stopped = false;
    server_listen(0, &port);
    fluent_buffer_init(&buffer, random_system(), MIB(16), KIB(64));
    config = (struct fluent_client_config){
        .loop = loop,
        .random = random_system(),
        .host = "127.0.0.1",
        .port = port,
        .connect_timeout_ms = 3000,
        .ack_timeout_ms = 60000,
        .flush_ms = 1,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_acked = on_acked,
    };
    fluent_client_init(&client, &buffer, &config);
    return 0;
}

static int teardown(void **state) {
    if (!stopped) {
        fluent_client_stop(&client, on_stopped, NULL);
    }
    WAIT(stopped);
    for (int i = 0; i < 5; i++) {
        turn();
    }
    fluent_buffer_deinit(&buffer);
    assert_int_equal(buffer.bytes, 0);
    server_close();
    if (listen_fd >= 0) {
        close(listen_fd);
    }
    free(server_bytes);
    loop_free(loop);
    return 0;
}

static void add(const char *service, int64_t user_id) {
    struct log_record record = {
        .wall_ns = clock_wall_ns(clock_system()),
        .level = LOG_LEVEL_INFO,
        .service = service,
        .action = "test",
        .has_user_id = true,
        .user_id = user_id,
    };
    fluent_client_added(&client, fluent_buffer_add(&buffer, &record));
}

/* One chunk of its own, on the connection. */
static void add_chunk(int64_t n) {
    add("user-service", n);
    fluent_buffer_seal(&buffer);
    fluent_client_added(&client, true);
}

static void test_fluent_client__sends_at_the_flush_time_and_takes_the_ack(void **state) {
    add("user-service", 1);
    add("broker", 2);
    add("user-service", 3);
    fluent_client_start(&client);
    WAIT(server_id_count == 2); /* a chunk for each tag */
    assert_int_equal(client.window_count, 2);
    server_ack(0);
    server_ack(1);
    WAIT(acked_count == 2);
    assert_int_equal(client.stats.events_acked, 3);
    assert_int_equal(client.window_count, 0);
    assert_int_equal(buffer.bytes, 0);
}

static void test_fluent_client__takes_an_ack_split_at_every_byte(void **state) {
    fluent_client_start(&client);
    for (size_t cut = 1; cut < 6 + ID_BYTES; cut++) {
        char answer[6 + ID_BYTES] = "\x81\xa3"
                                    "ack\xb8";
        server_id_count = 0;
        add_chunk((int64_t)cut);
        WAIT(server_id_count == 1);
        memcpy(answer + 6, server_ids[0], ID_BYTES);
        assert_int_equal(write(server_fd, answer, cut), cut);
        for (int i = 0; i < 3; i++) {
            turn();
        }
        assert_int_equal(acked_count, (int)cut - 1);
        assert_int_equal(write(server_fd, answer + cut, sizeof answer - cut), sizeof answer - cut);
        WAIT(acked_count == (int)cut);
    }
    assert_int_equal(connected_count, 1);
    assert_int_equal(client.stats.chunks_resent, 0);
}

static void test_fluent_client__has_eight_chunks_in_flight(void **state) {
    fluent_client_start(&client);
    for (int i = 0; i < 12; i++) {
        add_chunk(i);
    }
    WAIT(server_id_count == 8);
    for (int i = 0; i < 5; i++) {
        turn();
    }
    assert_int_equal(server_id_count, 8);
    for (int i = 0; i < 12; i++) {
        WAIT(server_id_count > i);
        server_ack(i);
    }
    WAIT(acked_count == 12);
}

static void test_fluent_client__an_ack_of_a_later_chunk_refuses_the_earlier(void **state) {
    fluent_client_start(&client);
    for (int i = 0; i < 3; i++) {
        add_chunk(i);
    }
    WAIT(server_id_count == 3);
    server_ack(0);
    server_ack(2);              /* the middle one was refused */
    WAIT(server_id_count == 4); /* and comes again, under its id */
    assert_string_equal(server_ids[3], server_ids[1]);
    assert_int_equal(client.stats.chunks_refused, 1);
    server_ack(3);
    WAIT(acked_count == 3);
    assert_int_equal(connected_count, 1);
    assert_int_equal(buffer.dropped, 0);
}

static void test_fluent_client__gives_a_chunk_up_after_three_refusals(void **state) {
    fluent_client_start(&client);
    add_chunk(1);
    for (int i = 0; i < 3; i++) {
        WAIT(server_id_count == i + 1);
        assert_string_equal(server_ids[i], server_ids[0]);
        assert_int_equal(write(server_fd, "\x80", 1), 1); /* a map without `ack` */
    }
    WAIT(client.stats.events_refused == 1);
    assert_int_equal(buffer.dropped_by_level[LOG_LEVEL_INFO], 1);
    add_chunk(2);
    WAIT(server_id_count == 4);
    server_ack(3);
    WAIT(acked_count == 1);
}

static void test_fluent_client__an_unknown_ack_changes_nothing(void **state) {
    fluent_client_start(&client);
    add_chunk(1);
    WAIT(server_id_count == 1);
    assert_int_equal(write(server_fd,
                           "\x81\xa3"
                           "ack\xa1x",
                           7),
                     7);
    WAIT(client.stats.acks_unknown == 1);
    assert_int_equal(client.window_count, 1);
    server_ack(0);
    WAIT(acked_count == 1);
}

static void test_fluent_client__sends_again_under_the_same_ids_after_a_reconnect(void **state) {
    fluent_client_start(&client);
    for (int i = 0; i < 3; i++) {
        add_chunk(i);
    }
    WAIT(server_id_count == 3);
    server_ack(0);
    WAIT(acked_count == 1);
    server_close();
    WAIT(server_id_count == 5);
    assert_string_equal(server_ids[3], server_ids[1]);
    assert_string_equal(server_ids[4], server_ids[2]);
    server_ack(3);
    server_ack(4);
    WAIT(acked_count == 3);
    assert_int_equal(connected_count, 2);
    assert_int_equal(disconnected_count, 1);
    assert_int_equal(client.stats.chunks_resent, 2);
}

static void test_fluent_client__makes_a_new_connection_when_no_ack_comes(void **state) {
    client.config.ack_timeout_ms = 20;
    fluent_client_start(&client);
    add_chunk(1);
    WAIT(server_id_count >= 2);
    assert_string_equal(server_ids[1], server_ids[0]);
    assert_true(client.stats.ack_timeouts >= 1);
    client.config.ack_timeout_ms = 60000;
    int last = server_id_count;
    WAIT(client.state == FLUENT_CONNECTED);
    if (client.window_count == 0) {
        WAIT(server_id_count > last);
    }
    server_ack(0);
    WAIT(acked_count == 1);
}

static void test_fluent_client__an_answer_that_is_none_ends_the_connection(void **state) {
    fluent_client_start(&client);
    add_chunk(1);
    WAIT(server_id_count == 1);
    assert_int_equal(write(server_fd, "{\"ack\"", 6), 6);
    WAIT(server_id_count == 2);
    assert_int_equal(client.stats.protocol_errors, 1);
    assert_string_equal(server_ids[1], server_ids[0]);
}

static void test_fluent_client__a_server_that_never_reads_stops_nobody(void **state) {
    server_reads = false;
    fluent_client_start(&client);
    WAIT(client.state == FLUENT_CONNECTED);
    for (int64_t i = 0; i < 400000; i++) {
        add("user-service", i);
        if (i % 1000 == 0) {
            turn();
        }
        assert_true(buffer.bytes <= MIB(16));
        assert_true(client.window_bytes <= 8000000);
    }
    assert_true(buffer.dropped > 0);
}

static void test_fluent_client__without_a_server_lines_wait_and_then_arrive(void **state) {
    uint16_t port = config.port;
    close(listen_fd);
    listen_fd = -1;
    fluent_client_start(&client);
    add_chunk(1);
    WAIT(disconnected_count >= 1);
    assert_int_equal(client.window_count, 0);
    server_listen(port, &port);
    WAIT(server_id_count == 1);
    server_ack(0);
    WAIT(acked_count == 1);
}

static void test_fluent_client_drain__waits_for_the_last_ack(void **state) {
    client.config.flush_ms = 60000;
    fluent_client_start(&client);
    add("user-service", 1);
    fluent_client_drain(&client, 10000, on_drained, NULL);
    WAIT(server_id_count == 1);
    assert_false(drained);
    server_ack(0);
    WAIT(drained);
    assert_int_equal(acked_count, 1);
}

static void test_fluent_client_drain__ends_at_its_deadline(void **state) {
    fluent_client_start(&client);
    add("user-service", 1);
    fluent_client_drain(&client, 30, on_drained, NULL);
    WAIT(drained);
    assert_int_equal(acked_count, 0);
}

static void test_fluent_client_drain__does_not_wait_where_nobody_listens(void **state) {
    close(listen_fd);
    listen_fd = -1;
    fluent_client_start(&client);
    WAIT(disconnected_count == 1);
    add("user-service", 1);
    fluent_client_drain(&client, 600000, on_drained, NULL);
    WAIT(drained);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_fluent_client__sends_at_the_flush_time_and_takes_the_ack),
        TEST(test_fluent_client__takes_an_ack_split_at_every_byte),
        TEST(test_fluent_client__has_eight_chunks_in_flight),
        TEST(test_fluent_client__an_ack_of_a_later_chunk_refuses_the_earlier),
        TEST(test_fluent_client__gives_a_chunk_up_after_three_refusals),
        TEST(test_fluent_client__an_unknown_ack_changes_nothing),
        TEST(test_fluent_client__sends_again_under_the_same_ids_after_a_reconnect),
        TEST(test_fluent_client__makes_a_new_connection_when_no_ack_comes),
        TEST(test_fluent_client__an_answer_that_is_none_ends_the_connection),
        TEST(test_fluent_client__a_server_that_never_reads_stops_nobody),
        TEST(test_fluent_client__without_a_server_lines_wait_and_then_arrive),
        TEST(test_fluent_client_drain__waits_for_the_last_ack),
        TEST(test_fluent_client_drain__ends_at_its_deadline),
        TEST(test_fluent_client_drain__does_not_wait_where_nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
