/* Frames, order and bad peers over real sockets on loopback. */
#include "api_private.h"
#include "fake_log.h"
#include "kafka_messages.h"
#include "kafka_server.h"

#include <eventbox/base/bytes.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct topic_log *log_;
static struct kafka_server *server;
static struct kafka_server_config config;
static char last_event[300];
static enum kafka_server_event last_kind;
static char last_peer[64];
static struct kafka_request *parked[4];
static unsigned parked_count, gone_count;
static bool stopped;

#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        for (int tries = 0; !(condition); tries++) {                                               \
            assert_true(tries < 20000);                                                            \
            if (!loop_step(loop)) {                                                                \
                usleep(100);                                                                       \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static void on_event(void *userdata, enum kafka_server_event event, const char *peer,
                     const char *text) {
    if (event == KAFKA_SERVER_BAD_PEER || event == KAFKA_SERVER_CLIENT_ENDED) {
        last_kind = event;
        snprintf(last_event, sizeof last_event, "%s", text);
        snprintf(last_peer, sizeof last_peer, "%s", peer);
    }
}

/* Heartbeat stands for a handler that parks its requests. */
static void on_gone(struct kafka_request *request) {
    gone_count++;
    kafka_respond_none(request);
}

static void handle_parking(struct kafka_request *request) {
    request->on_gone = on_gone;
    parked[parked_count++] = request;
}

static void release(struct kafka_request *request) {
    struct heartbeat_response *answer = KAFKA_NEW(request->arena, heartbeat_response, 1);

    request->on_gone = NULL;
    answer->error_code = 27;
    kafka_respond(request, answer);
}

static const struct kafka_handler parking_rows[] = {{12, 0, 4, 0, handle_parking}};
static const struct kafka_handlers parking = {parking_rows, 1, NULL};

static void start(void) {
    struct kafka_listener_config listener = {.host = "127.0.0.1"};

    assert_int_equal(kafka_server_new(&config, &server), 0);
    assert_int_equal(kafka_server_listen(server, &listener), 0);
}

static int setup(void **state) {
    assert_int_equal(loop_new(clock_system(), &loop), 0);
    log_ = fake_log_new(loop);
    config = (struct kafka_server_config){
        .loop = loop,
        .clock = clock_system(),
        .log = log_,
        .limits = KAFKA_LIMITS_DEFAULT,
        .cluster_id = "ZXZlbnRib3gtdGVzdGluZw",
        .auto_create_topics = true,
        .default_partitions = 1,
        .handlers = &parking,
        .handlers_count = 1,
        .on_event = on_event,
    };
    last_event[0] = '\0';
    parked_count = gone_count = 0;
    stopped = false;
    return 0;
}

static void on_stopped(void *userdata) {
    stopped = true;
}

static int teardown(void **state) {
    if (!stopped) {
        kafka_server_stop(server, 0, on_stopped, NULL);
    }
    RUN_UNTIL(stopped);
    kafka_server_free(server);
    assert_int_equal(fake_log_leaks(log_), 0);
    fake_log_free(log_);
    loop_free(loop);
    return 0;
}

/* ---- a client ---- */

static int dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(kafka_server_port(server, 0)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void send_all(int fd, const void *data, size_t size) {
    const char *at = data;

    for (int tries = 0; size > 0; tries++) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

        assert_true(tries < 20000);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
            tries = 0;
        } else if (!loop_step(loop)) {
            usleep(100);
        }
    }
}

/* The frame of a request with a body that is already encoded. */
static void put_frame(struct text *out, int16_t key, int16_t version, int32_t correlation_id,
                      bool flexible, struct span body) {
    uint8_t header[4 + 8 + 2 + 4];
    size_t size = sizeof header - 4 + flexible + body.size;

    put_be32(header, (uint32_t)size);
    put_be16(header + 4, (uint16_t)key);
    put_be16(header + 6, (uint16_t)version);
    put_be32(header + 8, (uint32_t)correlation_id);
    put_be16(header + 12, 4);
    memcpy(header + 14, "test", 4);
    text_append(out, header, sizeof header);
    if (flexible) {
        text_append_char(out, 0);
    }
    text_append(out, body.data, body.size);
}

static void put_request(struct text *out, int16_t key, int16_t version, int32_t correlation_id,
                        const void *body) {
    const struct kafka_api *api = kafka_api_find(key);
    bool flexible = version >= api->flexible_first;
    struct kafka_encoded encoded;

    kafka_encoded_init(&encoded);
    assert_int_equal(kafka_encode(api->request, version, flexible, body, &encoded), 0);
    put_frame(out, key, version, correlation_id, flexible, text_span(&encoded.text));
    kafka_encoded_deinit(&encoded);
}

static void send_text(int fd, struct text *text) {
    send_all(fd, text->data, text->size);
    text_deinit(text);
}

/* Bytes from the server: all of @size, or an end. Return what came. */
static size_t receive(int fd, uint8_t *out, size_t size) {
    size_t got = 0;

    for (int tries = 0; got < size; tries++) {
        ssize_t n = recv(fd, out + got, size - got, 0);

        assert_true(tries < 20000);
        if (n > 0) {
            got += (size_t)n;
            tries = 0;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        } else if (!loop_step(loop)) {
            usleep(100);
        }
    }
    return got;
}

/* One answer: its bytes behind the length. */
static struct buf *receive_answer(int fd) {
    uint8_t length[4];
    struct buf *answer;

    assert_int_equal(receive(fd, length, 4), 4);
    answer = buf_new(get_be32(length));
    assert_int_equal(receive(fd, answer->data, answer->size), answer->size);
    return answer;
}

static void expect_answer(int fd, int32_t correlation_id) {
    _cleanup_(buf_unrefp) struct buf *answer = receive_answer(fd);

    assert_int_equal((int32_t)get_be32(answer->data), correlation_id);
}

static void expect_end(int fd) {
    uint8_t byte;

    assert_int_equal(receive(fd, &byte, 1), 0);
}

static void put_api_versions(struct text *out, int16_t version, int32_t correlation_id) {
    struct api_versions_request body = {SPAN_LITERAL("test"), SPAN_LITERAL("1")};

    put_request(out, 18, version, correlation_id, &body);
}

static void put_heartbeat(struct text *out, int32_t correlation_id) {
    struct heartbeat_request body;

    kafka_init(&kafka_heartbeat_request_type, &body, 1);
    put_request(out, 12, 4, correlation_id, &body);
}

static unsigned requests_in_flight(void) {
    struct kafka_server_stats stats;

    kafka_server_stats(server, &stats);
    return stats.requests_in_flight;
}

/* ---- tests ---- */

static void test_connection__answers_api_versions_with_header_v0(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_api_versions(&out, 3, 77);
    send_text(fd, &out);
    _cleanup_(buf_unrefp) struct buf *answer = receive_answer(fd);
    assert_int_equal(get_be32(answer->data), 77);
    assert_int_equal(get_be16(answer->data + 4), 0); /* the error code, no byte of tags before it */
    /* a compact array of our rows and Heartbeat */
    assert_int_equal(answer->data[6], broker_handlers_count + 1 + 1);
    close(fd);
}

static void test_connection__answers_an_unknown_api_versions_in_version_0(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_frame(&out, 18, 99, 5, true, SPAN_LITERAL("whatever comes"));
    put_api_versions(&out, 0, 6);
    send_text(fd, &out);
    _cleanup_(buf_unrefp) struct buf *answer = receive_answer(fd);
    assert_int_equal(get_be32(answer->data), 5);
    assert_int_equal(get_be16(answer->data + 4), KAFKA_UNSUPPORTED_VERSION);
    assert_int_equal(get_be32(answer->data + 6), 1); /* a row, in an array of version 0: KIP-511 */
    assert_int_equal(get_be16(answer->data + 10), 18);
    assert_int_equal(get_be16(answer->data + 14), 4);
    expect_answer(fd, 6); /* the connection goes on */
    close(fd);
}

static void test_connection__takes_frames_in_any_pieces(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    for (int i = 0; i < 20; i++) {
        put_api_versions(&out, (int16_t)(i % 5), i);
    }
    for (size_t at = 0; at < out.size; at += 7) {
        send_all(fd, out.data + at, MIN((size_t)7, out.size - at));
        loop_step(loop);
    }
    text_deinit(&out);
    for (int i = 0; i < 20; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

static void test_connection__keeps_the_order_behind_a_parked_request(void **state) {
    struct text out = {0};
    uint8_t byte;
    int fd;

    start();
    fd = dial();
    put_api_versions(&out, 0, 1);
    put_heartbeat(&out, 2);
    put_api_versions(&out, 0, 3);
    put_heartbeat(&out, 4);
    put_api_versions(&out, 0, 5);
    send_text(fd, &out);
    expect_answer(fd, 1);
    RUN_UNTIL(parked_count == 2);
    release(parked[1]); /* too early: waits for the first */
    for (int i = 0; i < 10; i++) {
        loop_step(loop);
    }
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    release(parked[0]);
    for (int32_t id = 2; id <= 5; id++) {
        expect_answer(fd, id);
    }
    close(fd);
}

static void test_connection__tells_parked_handlers_that_the_peer_is_gone(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_heartbeat(&out, 1);
    put_api_versions(&out, 0, 2);
    put_heartbeat(&out, 3);
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 2);
    close(fd);
    RUN_UNTIL(gone_count == 2);
}

static void test_connection__goes_on_after_too_many_requests_in_flight(void **state) {
    struct text out = {0};
    int fd;

    config.limits.connection_requests = 3;
    start();
    fd = dial();
    put_heartbeat(&out, 1);
    for (int i = 2; i <= 200; i++) {
        put_api_versions(&out, 0, i);
    }
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 1);
    for (int i = 0; i < 20; i++) {
        loop_step(loop);
    }
    release(parked[0]);
    for (int i = 1; i <= 200; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

/* ---- large requests and answers ---- */

static struct kafka_server_stats stats_now(void) {
    struct kafka_server_stats stats;

    kafka_server_stats(server, &stats);
    return stats;
}

static void put_produce(struct text *out, int32_t correlation_id, const void *value, size_t size) {
    struct record_batch_builder builder;
    struct produce_request_partition partition;
    struct produce_request_topic topic;
    struct produce_request body;
    struct buf *batch;

    record_batch_builder_init(&builder);
    record_batch_builder_add(&builder, 1000, SPAN_NULL, span_of(value, size), NULL, 0);
    batch = record_batch_builder_finish(&builder, 0);
    kafka_init(&kafka_produce_request_type, &body, 1);
    kafka_init(&kafka_produce_request_topic_type, &topic, 1);
    kafka_init(&kafka_produce_request_partition_type, &partition, 1);
    body.acks = -1;
    body.topic_data = &topic;
    body.topic_data_count = 1;
    topic.name = SPAN_LITERAL("t");
    topic.partition_data = &partition;
    topic.partition_data_count = 1;
    partition.records.span = span_of(batch->data, batch->size);
    put_request(out, 0, 8, correlation_id, &body);
    buf_unref(batch);
}

/* @padding: bytes more, in topics to be forgotten: without a session nobody looks at them. */
static void put_large_fetch(struct text *out, int32_t correlation_id, int32_t max_wait_ms,
                            size_t padding) {
    static const char name[32000];
    struct fetch_request_forgotten_topic forgotten[8];
    struct fetch_request_partition partition;
    struct fetch_request_topic topic;
    struct fetch_request body;

    kafka_init(&kafka_fetch_request_type, &body, 1);
    kafka_init(&kafka_fetch_request_topic_type, &topic, 1);
    kafka_init(&kafka_fetch_request_partition_type, &partition, 1);
    body.max_wait_ms = max_wait_ms;
    body.min_bytes = 1;
    body.topics = &topic;
    body.topics_count = 1;
    topic.topic = SPAN_LITERAL("t");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    partition.partition_max_bytes = 100 << 20;
    for (size_t left = padding; left > 0; left -= MIN(left, sizeof name)) {
        struct fetch_request_forgotten_topic *one = &forgotten[body.forgotten_topics_data_count++];

        kafka_init(&kafka_fetch_request_forgotten_topic_type, one, 1);
        one->topic = span_of(name, MIN(left, sizeof name));
    }
    body.forgotten_topics_data = forgotten;
    put_request(out, 1, 11, correlation_id, &body);
}

static void put_fetch(struct text *out, int32_t correlation_id, int32_t max_wait_ms) {
    put_large_fetch(out, correlation_id, max_wait_ms, 0);
}

static void on_topic(struct topic_log_request *request, int status) {
}

static void make_topic(void) {
    struct topic_spec spec = {.name = SPAN_LITERAL("t"), .partition_count = 1};
    static struct topic_log_request request;

    request.done = on_topic;
    assert_int_equal(topic_log_create(log_, &spec, &request), 0);
}

static void produce_and_fetch(bool files) {
    enum { SIZE = 900000, COUNT = 4 };
    uint8_t *value = malloc(SIZE);
    struct text out = {0};
    struct fetch_response answer;
    struct record_iterator it;
    struct record record;
    struct arena arena;
    size_t at = 0;
    int fd;

    for (size_t i = 0; i < SIZE; i++) {
        value[i] = (uint8_t)(i * 31 + i / 1000);
    }
    make_topic();
    fake_log_serve_files(log_, files);
    start();
    fd = dial();
    for (int i = 0; i < COUNT; i++) {
        put_produce(&out, i, value, SIZE);
    }
    put_api_versions(&out, 0, COUNT);
    send_text(fd, &out);
    for (int i = 0; i <= COUNT; i++) {
        expect_answer(fd, i);
    }
    put_fetch(&out, 50, 0);
    put_api_versions(&out, 0, 51);
    send_text(fd, &out);
    _cleanup_(buf_unrefp) struct buf *bytes = receive_answer(fd);
    expect_answer(fd, 51);
    arena_init(&arena, MIB(1));
    assert_int_equal(kafka_decode(&kafka_fetch_response_type, 11, false,
                                  span_of(bytes->data + 4, bytes->size - 4), &arena, &answer, NULL),
                     0);
    for (int i = 0; i < COUNT; i++) {
        struct span all = answer.responses[0].partitions[0].records.span;

        assert_int_equal(
            record_iterator_init(&it, span_of((const uint8_t *)all.data + at, all.size - at)), 0);
        assert_int_equal(record_iterator_next(&it, &record), 1);
        assert_int_equal(record.offset, i);
        assert_memory_equal(record.value.data, value, SIZE);
        at += it.batch.total_bytes;
        record_iterator_deinit(&it);
    }
    arena_deinit(&arena);
    free(value);
    close(fd);
}

static void test_connection__carries_large_batches_from_memory(void **state) {
    produce_and_fetch(false);
}

static void test_connection__carries_large_batches_from_files(void **state) {
    produce_and_fetch(true);
}

static void test_connection__serves_large_requests_beyond_the_account_in_turn(void **state) {
    enum { SIZE = 700000, CLIENTS = 5 };
    char *value = calloc(1, SIZE);
    int fds[CLIENTS];
    struct text out = {0};
    struct kafka_server_stats stats;
    size_t half;

    make_topic();
    config.limits.memory_bytes = 1000000;
    start();
    put_produce(&out, 9, value, SIZE);
    half = out.size / 2;
    for (int i = 0; i < CLIENTS;
         i++) { /* all begin, so that together they want more than there is */
        fds[i] = dial();
        send_all(fds[i], out.data, 200000);
    }
    for (int i = 0; i < 50; i++) {
        loop_step(loop);
    }
    kafka_server_stats(server, &stats);
    assert_true(stats.reserved_bytes <= 1000000 + SIZE + 1000);
    for (int i = CLIENTS - 1; i >= 0; i--) {
        send_all(fds[i], out.data + 200000, half - 200000);
    }
    for (int i = 0; i < CLIENTS; i++) {
        send_all(fds[i], out.data + half, out.size - half);
    }
    for (int i = 0; i < CLIENTS; i++) {
        expect_answer(fds[i], 9);
        close(fds[i]);
    }
    kafka_server_stats(server, &stats);
    assert_int_equal(stats.reserved_bytes, 0);
    assert_int_equal(stats.connections_starved, 0);
    text_deinit(&out);
    free(value);
}

/* Their memory is not what requests under way wait for. As much may be parked as may be under way.
 */
static void test_connection__requests_that_are_parked_hold_up_no_large_one(void **state) {
    enum { FETCH = 150000, PARKED = 4 };
    char *value = calloc(1, FETCH);
    struct text out = {0};
    struct kafka_server_stats stats;
    int fds[PARKED], late, producer;

    make_topic();
    config.limits.memory_bytes = PARKED * (FETCH + 1000);
    start();
    for (int i = 0; i < PARKED; i++) {
        fds[i] = dial();
        put_large_fetch(&out, i, 600000, FETCH);
        send_all(fds[i], out.data, out.size);
        text_clear(&out);
        RUN_UNTIL(stats_now().fetches_parked == (unsigned)i + 1);
    }
    kafka_server_stats(server, &stats);
    assert_int_equal(stats.reserved_bytes, 0);
    assert_true(stats.parked_bytes >= PARKED * FETCH);
    late = dial();
    put_large_fetch(&out, 8, 600000, FETCH);
    send_all(late, out.data, out.size);
    expect_answer(late, 8); /* at once, with nothing */
    text_clear(&out);
    producer = dial();
    put_produce(&out, 9, value, FETCH);
    send_all(producer, out.data, out.size);
    expect_answer(producer, 9);
    for (int i = 0; i < PARKED; i++) {
        expect_answer(fds[i], i);
        close(fds[i]);
    }
    close(late);
    close(producer);
    kafka_server_stats(server, &stats);
    assert_int_equal(stats.reserved_bytes + stats.parked_bytes, 0);
    text_deinit(&out);
    free(value);
}

/* One byte now and then is progress, as long as nobody waits for the memory that it holds. */
static void test_connection__lets_trickling_peers_go_when_others_wait(void **state) {
    enum { SIZE = 700000, TRICKLERS = 4 };
    static uint8_t start_of_frame[5000] = {0, 0x10, 0, 0, 0x7f}; /* 1 MiB announced, no API */
    char *value = calloc(1, SIZE);
    struct text out = {0};
    int tricklers[TRICKLERS];
    uint8_t length[4];
    ssize_t n = -1;
    int fd;

    make_topic();
    config.limits.memory_bytes = 600000;
    config.limits.progress_ms = 300;
    start();
    for (int i = 0; i < TRICKLERS; i++) {
        tricklers[i] = dial();
        send_all(tricklers[i], start_of_frame, sizeof start_of_frame);
        loop_step(loop);
    }
    fd = dial();
    put_produce(&out, 9, value, SIZE);
    for (size_t at = 0, turns = 0; n < 0; turns++) {
        assert_true(turns < 200000);
        for (int i = 0; i < TRICKLERS && turns % 100 == 0; i++) {
            send(tricklers[i], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        if (at < out.size) {
            ssize_t sent = send(fd, out.data + at, out.size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            at += sent > 0 ? (size_t)sent : 0;
        }
        if (!loop_step(loop)) {
            usleep(100);
        }
        n = recv(fd, length, 4, MSG_DONTWAIT);
    }
    assert_int_equal(n, 4);
    assert_non_null(strstr(last_event, "too slowly"));
    assert_int_equal(last_kind, KAFKA_SERVER_BAD_PEER); /* nobody knows what they wanted to say */
    for (int i = 0; i < TRICKLERS; i++) {
        close(tricklers[i]);
    }
    close(fd);
    text_deinit(&out);
    free(value);
}

/* Of two that wait the one that began first goes on, although it came to wait later: who stalls and
 * begins again never gets in front. */
static void test_connection__serves_the_older_of_two_starved_requests_first(void **state) {
    enum { SIZE = 700000, STEP = 262144, BEGUN = 100000, HELD = BEGUN - 4 + STEP };
    static uint8_t endless[300000] = {0, 0x20, 0, 0}; /* 2 MiB announced, and never sent */
    char *value = calloc(1, SIZE);
    struct text out = {0};
    uint8_t byte;
    int older, younger, stalled;

    make_topic();
    config.limits.memory_bytes = 2 * HELD; /* not a byte is left: who goes on needs the exemption */
    start();
    put_produce(&out, 9, value, SIZE);
    older = dial();
    send_all(older, out.data, BEGUN);
    RUN_UNTIL(stats_now().reserved_bytes == HELD);
    younger = dial();
    send_all(younger, out.data, BEGUN);
    RUN_UNTIL(stats_now().reserved_bytes == 2 * HELD);
    stalled = dial();
    send_all(stalled, endless, sizeof endless);
    RUN_UNTIL(stats_now().reserved_bytes > 3 * HELD);
    send_all(younger, out.data + BEGUN, out.size - BEGUN);
    RUN_UNTIL(stats_now().connections_starved == 1);
    send_all(older, out.data + BEGUN, out.size - BEGUN);
    RUN_UNTIL(stats_now().connections_starved == 2);
    close(stalled);
    RUN_UNTIL(recv(older, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1 ||
              recv(younger, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1);
    assert_int_equal(recv(older, &byte, 1, MSG_DONTWAIT | MSG_PEEK), 1);
    expect_answer(older, 9);
    expect_answer(younger, 9);
    close(older);
    close(younger);
    text_deinit(&out);
    free(value);
}

/* ---- answers that nobody reads ---- */

static void test_connection__handles_one_fetch_at_a_time(void **state) {
    struct kafka_server_stats stats;
    struct text out = {0};
    int fd;

    make_topic();
    start();
    fd = dial();
    for (int i = 0; i < 5; i++) {
        put_fetch(&out, i, 50);
    }
    put_api_versions(&out, 0, 5);
    send_text(fd, &out);
    RUN_UNTIL((kafka_server_stats(server, &stats), stats.fetches_parked > 0));
    for (int i = 0; i < 20; i++) {
        loop_step(loop);
        kafka_server_stats(server, &stats);
        assert_true(stats.fetches_parked <= 1);
    }
    for (int i = 0; i <= 5; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

static void test_connection__begins_nothing_while_answers_are_unread(void **state) {
    enum { SIZE = 900000, FETCHES = 40 };
    char *value = calloc(1, SIZE);
    struct kafka_server_stats stats;
    struct text out = {0};
    size_t most = 0;
    int fd;

    make_topic();
    start();
    fd = dial();
    for (int i = 0; i < 2; i++) {
        put_produce(&out, i, value, SIZE);
    }
    send_text(fd, &out);
    expect_answer(fd, 0);
    expect_answer(fd, 1);
    for (int i = 0; i < FETCHES; i++) {
        put_fetch(&out, i, 0);
    }
    send_text(fd, &out);
    for (int i = 0; i < 200; i++) {
        loop_step(loop);
        kafka_server_stats(server, &stats);
        most = MAX(most, stats.answer_bytes);
    }
    assert_true(most > SIZE);
    assert_true(most < 4 * SIZE + (8 << 20)); /* two batches a fetch, and what the socket took */
    for (int i = 0; i < FETCHES; i++) {
        expect_answer(fd, i);
    }
    RUN_UNTIL((kafka_server_stats(server, &stats), stats.answer_bytes == 0));
    close(fd);
    free(value);
}

static void test_connection__waits_where_answers_wait_for_their_turn(void **state) {
    struct text out = {0};
    unsigned handled;
    int fd;

    for (int i = 0; i < 40; i++) { /* so that Metadata of all is long */
        char name[200];
        struct topic_spec spec = {.partition_count = 200};
        static struct topic_log_request requests[40];

        snprintf(name, sizeof name, "a-topic-%d", i);
        spec.name = span_text(name);
        requests[i].done = on_topic;
        assert_int_equal(topic_log_create(log_, &spec, &requests[i]), 0);
    }
    config.limits.connection_requests = 100000;
    start();
    fd = dial();
    put_heartbeat(&out, 0); /* keeps the others back */
    for (int i = 1; i <= 60; i++) {
        struct metadata_request body;

        kafka_init(&kafka_metadata_request_type, &body, 1);
        body.topics_count = -1;
        put_request(&out, 3, 1, i, &body);
    }
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 1);
    for (int i = 0; i < 50; i++) {
        loop_step(loop);
    }
    handled = requests_in_flight();
    assert_true(handled > 2 && handled < 50);
    release(parked[0]);
    for (int i = 0; i <= 60; i++) {
        expect_answer(fd, i);
    }
    close(fd);
}

static void test_connection__gives_memory_back_when_a_peer_breaks_off(void **state) {
    uint8_t head[200000] = {0, 0x10, 0, 0}; /* 1 MiB announced */
    struct kafka_server_stats stats;
    int fd;

    start();
    fd = dial();
    send_all(fd, head, sizeof head);
    do {
        loop_step(loop);
        kafka_server_stats(server, &stats);
    } while (stats.reserved_bytes == 0);
    close(fd);
    RUN_UNTIL((kafka_server_stats(server, &stats), stats.connections == 0));
    assert_int_equal(stats.reserved_bytes, 0);
}

/* ---- bad peers ---- */

static void test_connection__says_what_the_peer_seems_to_speak(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, "HTTP"},
        {"\0\0\0\x0a\0\x11\0\1\0\0\0\1\xff\xff", 14, "wants SASL"},
        {"\xff\xff\xff\xff", 4, "frame of 4294967295 bytes"},
        {"\x06\x40\x00\x01", 4, "frame of 104857601 bytes"},
        {"\0\0\0\0", 4, "frame of 0 bytes"},
        {"\0\0\0\x0a\0\3\0\1\0\0\0\1\0\x50", 14, "header is damaged"},
        {"\0\0\0\x0a\0\x63\0\0\0\0\0\1\xff\xff", 14,
         "api key 99 version 0 of client '' is not served"},
        {"\0\0\0\x0a\0\3\0\x63\0\0\0\1\xff\xff", 14, "Metadata version 99"},
        {"\0\0\0\x0c\0\x63\0\0\0\0\0\1\0\2\n\x1b", 16, "of client '?\?' is not served"},
        {"\0\0\0\x0c\0\3\0\1\0\0\0\1\xff\xff\0\1", 16,
         "Metadata version 1 of client '' cannot be decoded"},
    };

    start();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char answer[300];
        int fd = dial();
        size_t got;

        last_event[0] = '\0';
        send_all(fd, rows[i].bytes, rows[i].size);
        got = receive(fd, (uint8_t *)answer, sizeof answer);
        assert_true(got < sizeof answer); /* ended */
        if (!strstr(last_event, rows[i].expected)) {
            fail_msg("'%s' lacks '%s'", last_event, rows[i].expected);
        }
        assert_int_equal(got > 0 && memcmp(answer, "HTTP/1.1 400", 12) == 0, i == 0);
        assert_int_equal(last_kind, KAFKA_SERVER_BAD_PEER);
        close(fd);
    }
}

static void test_connection__refuses_beyond_the_limit(void **state) {
    int fds[3];
    struct text out = {0};

    config.limits.connections_max = 2;
    start();
    for (int i = 0; i < 2; i++) {
        fds[i] = dial();
        put_api_versions(&out, 0, i);
        send_text(fds[i], &out);
        expect_answer(fds[i], i);
    }
    fds[2] = dial();
    expect_end(fds[2]);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
}

static void test_connection__ends_one_that_makes_no_progress(void **state) {
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;
    char name[64];
    int fd;

    config.limits.progress_ms = 20;
    start();
    fd = dial();
    send_all(fd, "\0\0\1", 3);
    expect_end(fd);
    assert_non_null(strstr(last_event, "no progress"));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &size), 0);
    snprintf(name, sizeof name, "127.0.0.1:%u", (unsigned)ntohs(own.sin_port));
    assert_string_equal(last_peer, name); /* its socket is closed by now */
    assert_int_equal(last_kind, KAFKA_SERVER_BAD_PEER);
    close(fd);
}

/* A Produce stalls, of 100 bytes, 40 KB and 16 MB. */
static void test_connection__names_a_client_whose_first_request_stalls(void **state) {
    config.limits.progress_ms = 20;
    start();
    for (uint32_t size = 100; size < 99 << 20; size *= 400) {
        uint8_t bytes[] = {0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff};
        int fd = dial();
        put_be32(bytes, size);
        send_all(fd, bytes, sizeof bytes);
        expect_end(fd);
        assert_int_equal(last_kind, KAFKA_SERVER_CLIENT_ENDED);
        close(fd);
    }
}

/* A client that has spoken Kafka is not told to be something else. */
static void test_connection__names_a_client_that_spoke_before(void **state) {
    struct api_versions_request body;
    struct text out = {0};
    int fd;

    config.limits.progress_ms = 20;
    start();
    fd = dial();
    kafka_init(&kafka_api_versions_request_type, &body, 1);
    put_request(&out, 18, 0, 7, &body);
    send_all(fd, out.data, out.size);
    expect_answer(fd, 7);
    send_all(fd, out.data, out.size - 1);
    expect_end(fd);
    assert_non_null(strstr(last_event, "no progress"));
    assert_int_equal(last_kind, KAFKA_SERVER_CLIENT_ENDED);
    close(fd);
    text_deinit(&out);
}

static void test_server_stop__lets_requests_in_flight_finish(void **state) {
    struct text out = {0};
    int fd;

    start();
    fd = dial();
    put_heartbeat(&out, 1);
    send_text(fd, &out);
    RUN_UNTIL(parked_count == 1);
    kafka_server_stop(server, 60000, on_stopped, NULL);
    for (int i = 0; i < 10; i++) {
        loop_step(loop);
    }
    assert_false(stopped);
    release(parked[0]);
    expect_answer(fd, 1);
    expect_end(fd);
    close(fd);
    RUN_UNTIL(stopped);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_connection__answers_api_versions_with_header_v0),
        TEST(test_connection__answers_an_unknown_api_versions_in_version_0),
        TEST(test_connection__takes_frames_in_any_pieces),
        TEST(test_connection__keeps_the_order_behind_a_parked_request),
        TEST(test_connection__tells_parked_handlers_that_the_peer_is_gone),
        TEST(test_connection__goes_on_after_too_many_requests_in_flight),
        TEST(test_connection__carries_large_batches_from_memory),
        TEST(test_connection__carries_large_batches_from_files),
        TEST(test_connection__serves_large_requests_beyond_the_account_in_turn),
        TEST(test_connection__requests_that_are_parked_hold_up_no_large_one),
        TEST(test_connection__lets_trickling_peers_go_when_others_wait),
        TEST(test_connection__serves_the_older_of_two_starved_requests_first),
        TEST(test_connection__handles_one_fetch_at_a_time),
        TEST(test_connection__begins_nothing_while_answers_are_unread),
        TEST(test_connection__waits_where_answers_wait_for_their_turn),
        TEST(test_connection__gives_memory_back_when_a_peer_breaks_off),
        TEST(test_connection__says_what_the_peer_seems_to_speak),
        TEST(test_connection__names_a_client_whose_first_request_stalls),
        TEST(test_connection__refuses_beyond_the_limit),
        TEST(test_connection__ends_one_that_makes_no_progress),
        TEST(test_connection__names_a_client_that_spoke_before),
        TEST(test_server_stop__lets_requests_in_flight_finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
