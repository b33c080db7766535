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
        .clock = clock_system(),
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
    WAIT(server_id_count == 5); /* and comes again, under its id; a probe is behind it */
    assert_string_equal(server_ids[3], server_ids[1]);
    assert_int_equal(client.stats.chunks_refused, 1);
    server_ack(3);
    WAIT(acked_count == 3);
    assert_int_equal(connected_count, 1);
    assert_int_equal(buffer.dropped, 0);
}

/*
 * A server that takes everything but chunks with a line of @poison in them. It answers one chunk
 * after the other, as they come.
 */
enum verdict { CLOSES, SAYS_NO, PASSES_OVER };
static int judged;
static const char *poison;
static int64_t taken[64]; /* user ids of the lines it took; 0: a probe */
static int taken_count, refused_count;

static size_t chunk_end[64]; /* where the id of each stands */

static void find_chunk_end(int id) {
    size_t from = id ? chunk_end[id - 1] : 0; /* repeats have the same id */
    char *at = memmem(server_bytes + from, server_used - from, server_ids[id], ID_BYTES);
    assert_non_null(at);
    chunk_end[id] = (size_t)(at + ID_BYTES - server_bytes);
}

static void note_taken(size_t from, size_t to) {
    static const char mark[] = "\xa7user_id";
    const char *at = server_bytes + from;
    bool any = false;
    while ((at = memmem(at, (size_t)(server_bytes + to - at), mark, sizeof mark - 1))) {
        at += sizeof mark - 1;
        taken[taken_count++] = *at;
        any = true;
    }
    if (!any) {
        taken[taken_count++] = 0;
    }
}

static void judge(enum verdict verdict) {
    int id = judged++;
    find_chunk_end(id);
    size_t from = id ? chunk_end[id - 1] : 0;
    if (!memmem(server_bytes + from, chunk_end[id] - from, poison, strlen(poison))) {
        note_taken(from, chunk_end[id]);
        server_ack(id);
        return;
    }
    refused_count++;
    if (verdict == CLOSES) {
        server_close();
        server_seen = server_used;
        judged = server_id_count; /* what came behind it is lost with the connection */
        for (int i = id + 1; i < judged; i++) {
            chunk_end[i] = server_used;
        }
        chunk_end[judged - 1] = server_used;
    } else if (verdict == SAYS_NO) {
        assert_int_equal(write(server_fd, "\x80", 1), 1);
    }
}

#define WAIT_JUDGING(verdict, condition)                                                           \
    while (!(condition)) {                                                                         \
        turn();                                                                                    \
        while (judged < server_id_count) {                                                         \
            judge(verdict);                                                                        \
        }                                                                                          \
    }

static char lost_action[32];
static enum fluent_refusal lost_how;
static int lost_count;

static void on_refused(void *userdata, const struct fluent_entry *line,
                       enum fluent_refusal refusal) {
    snprintf(lost_action, sizeof lost_action, "%.*s", (int)line->action.size,
             (const char *)line->action.data);
    lost_how = refusal;
    lost_count++;
}

static void add_named(const char *action, int64_t user_id) {
    struct log_record record = {
        .wall_ns = clock_wall_ns(clock_system()),
        .level = LOG_LEVEL_WARN,
        .service = "user-service",
        .action = action,
        .has_user_id = true,
        .user_id = user_id,
    };
    fluent_client_added(&client, fluent_buffer_add(&buffer, &record));
}

/* Eight lines in one chunk, of which one is refused in the way @verdict says. */
static void refuse_one_of_eight(enum verdict verdict, int64_t last, enum fluent_refusal expected) {
    judged = taken_count = refused_count = lost_count = 0;
    poison = "poison";
    client.config.on_refused = on_refused;
    for (int64_t i = 1; i <= 8; i++) {
        add_named(i == 6 ? "poison" : "harmless", i);
    }
    fluent_buffer_seal(&buffer);
    for (int64_t i = 9; i <= last; i++) {
        add_chunk(i);
    }
    fluent_client_start(&client);
    WAIT_JUDGING(verdict, client.stats.events_acked == (uint64_t)last - 1 && lost_count == 1);
    for (int64_t i = 1; i <= last; i++) {
        int times = 0;
        for (int n = 0; n < taken_count; n++) {
            times += taken[n] == i;
        }
        assert_int_equal(times, i != 6); /* each once, but for the one */
    }
    assert_string_equal(lost_action, "poison");
    assert_int_equal(lost_how, expected);
    assert_int_equal(client.stats.events_refused[expected], 1);
    assert_int_equal(buffer.dropped, 1);
    assert_int_equal(buffer.dropped_by_level[LOG_LEVEL_WARN], 1);
    assert_int_equal(buffer.overflowed, 0);
    WAIT_JUDGING(verdict, client.window_count == 0);
    assert_int_equal(buffer.bytes, 0);
}

static void test_fluent_client__a_line_that_ends_the_connection_goes_alone(void **state) {
    refuse_one_of_eight(CLOSES, 8, FLUENT_REFUSED_CLOSED);
    assert_int_equal(refused_count, 3 + 1 + 1 + 3); /* the chunk, whole on trial, two lines, one */
}

static void test_fluent_client__a_line_that_gets_a_no_goes_alone(void **state) {
    refuse_one_of_eight(SAYS_NO, 10, FLUENT_REFUSED_NEGATIVE);
    assert_int_equal(connected_count, 1);
}

static void test_fluent_client__a_line_that_is_passed_over_goes_alone(void **state) {
    refuse_one_of_eight(PASSES_OVER, 11, FLUENT_REFUSED_PASSED_OVER);
    assert_int_equal(connected_count, 1);
    assert_int_equal(client.stats.ack_timeouts, 0);
}

static void test_fluent_client__a_line_that_is_met_with_silence_goes_alone(void **state) {
    client.config.ack_timeout_ms = 30;
    refuse_one_of_eight(PASSES_OVER, 8, FLUENT_REFUSED_PASSED_OVER);
}

static void test_fluent_client__gives_nothing_up_to_a_server_that_is_ill(void **state) {
    judged = taken_count = refused_count = lost_count = 0;
    poison = "action"; /* every line has one */
    client.config.on_refused = on_refused;
    add_chunk(1);
    fluent_client_start(&client);
    /* Three times the chunk; behind that it would be lost at the sixth time, were it not probes. */
    WAIT_JUDGING(CLOSES, (client.failures = 0, refused_count >= 7)); /* without the back-off */
    assert_true(client.stats.probes_sent >= 4);
    assert_int_equal(lost_count, 0);
    assert_int_equal(buffer.dropped, 0);
    poison = "nothing"; /* and then it is well again */
    WAIT_JUDGING(CLOSES, client.stats.events_acked == 1);
    assert_int_equal(buffer.dropped, 0);
}

static void test_fluent_client__others_have_their_turn_between_two_refused_lines(void **state) {
    judged = taken_count = refused_count = lost_count = 0;
    poison = "poison";
    client.config.on_refused = on_refused;
    for (int64_t i = 1; i <= 3; i++) {
        add_named(i == 2 ? "harmless" : "poison", i);
    }
    fluent_buffer_seal(&buffer);
    fluent_client_start(&client);
    WAIT_JUDGING(SAYS_NO, client.trial.chunk);
    add_chunk(9);
    WAIT_JUDGING(SAYS_NO, lost_count == 2 && client.stats.events_acked == 2);
    /* The other chunk went out behind the first of the two, and before the second. */
    int at = 0;
    while (taken[at] != 9) {
        assert_true(++at < taken_count);
        assert_int_not_equal(taken[at], 2);
    }
}

static void test_fluent_client_stop__a_chunk_on_trial_goes_back(void **state) {
    judged = taken_count = refused_count = 0;
    poison = "action";
    add_chunk(1);
    fluent_client_start(&client);
    WAIT_JUDGING(CLOSES, client.trial.chunk);
    fluent_client_stop(&client, on_stopped, NULL);
    WAIT(stopped);
    assert_false(fluent_buffer_empty(&buffer));
    assert_null(client.trial.chunk);
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
        TEST(test_fluent_client__a_line_that_ends_the_connection_goes_alone),
        TEST(test_fluent_client__a_line_that_gets_a_no_goes_alone),
        TEST(test_fluent_client__a_line_that_is_passed_over_goes_alone),
        TEST(test_fluent_client__a_line_that_is_met_with_silence_goes_alone),
        TEST(test_fluent_client__gives_nothing_up_to_a_server_that_is_ill),
        TEST(test_fluent_client__others_have_their_turn_between_two_refused_lines),
        TEST(test_fluent_client_stop__a_chunk_on_trial_goes_back),
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
