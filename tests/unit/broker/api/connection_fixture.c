#include "connection_fixture.h"

#include <eventbox/base/bytes.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct loop *loop;
struct topic_log *log_;
struct kafka_server *server;
struct kafka_server_config config;
char last_event[300];
enum kafka_server_event last_kind;
char last_peer[64];
struct kafka_request *parked[4];
unsigned parked_count, gone_count;
bool stopped;

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

void release(struct kafka_request *request) {
    struct heartbeat_response *answer = KAFKA_NEW(request->arena, heartbeat_response, 1);

    request->on_gone = NULL;
    answer->error_code = 27;
    kafka_respond(request, answer);
}

static const struct kafka_handler parking_rows[] = {{12, 0, 4, 0, handle_parking}};
static const struct kafka_handlers parking = {parking_rows, 1, NULL};

void start(void) {
    struct kafka_listener_config listener = {.host = "127.0.0.1"};

    assert_int_equal(kafka_server_new(&config, &server), 0);
    assert_int_equal(kafka_server_listen(server, &listener), 0);
}

int setup(void **state) {
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

void on_stopped(void *userdata) {
    stopped = true;
}

int teardown(void **state) {
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

int dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(kafka_server_port(server, 0)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

void send_all(int fd, const void *data, size_t size) {
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
void put_frame(struct text *out, int16_t key, int16_t version, int32_t correlation_id,
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

void put_request(struct text *out, int16_t key, int16_t version, int32_t correlation_id,
                 const void *body) {
    const struct kafka_api *api = kafka_api_find(key);
    bool flexible = version >= api->flexible_first;
    struct kafka_encoded encoded;

    kafka_encoded_init(&encoded);
    assert_int_equal(kafka_encode(api->request, version, flexible, body, &encoded), 0);
    put_frame(out, key, version, correlation_id, flexible, text_span(&encoded.text));
    kafka_encoded_deinit(&encoded);
}

void send_text(int fd, struct text *text) {
    send_all(fd, text->data, text->size);
    text_deinit(text);
}

/* Bytes from the server: all of @size, or an end. Return what came. */
size_t receive(int fd, uint8_t *out, size_t size) {
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
struct buf *receive_answer(int fd) {
    uint8_t length[4];
    struct buf *answer;

    assert_int_equal(receive(fd, length, 4), 4);
    answer = buf_new(get_be32(length));
    assert_int_equal(receive(fd, answer->data, answer->size), answer->size);
    return answer;
}

void expect_answer(int fd, int32_t correlation_id) {
    _cleanup_(buf_unrefp) struct buf *answer = receive_answer(fd);

    assert_int_equal((int32_t)get_be32(answer->data), correlation_id);
}

void expect_end(int fd) {
    uint8_t byte;

    assert_int_equal(receive(fd, &byte, 1), 0);
}

void put_api_versions(struct text *out, int16_t version, int32_t correlation_id) {
    struct api_versions_request body = {SPAN_LITERAL("test"), SPAN_LITERAL("1")};

    put_request(out, 18, version, correlation_id, &body);
}

void put_heartbeat(struct text *out, int32_t correlation_id) {
    struct heartbeat_request body;

    kafka_init(&kafka_heartbeat_request_type, &body, 1);
    put_request(out, 12, 4, correlation_id, &body);
}

unsigned requests_in_flight(void) {
    struct kafka_server_stats stats;

    kafka_server_stats(server, &stats);
    return stats.requests_in_flight;
}

struct kafka_server_stats stats_now(void) {
    struct kafka_server_stats stats;

    kafka_server_stats(server, &stats);
    return stats;
}

void put_produce(struct text *out, int32_t correlation_id, const void *value, size_t size) {
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
void put_large_fetch(struct text *out, int32_t correlation_id, int32_t max_wait_ms,
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

void put_fetch(struct text *out, int32_t correlation_id, int32_t max_wait_ms) {
    put_large_fetch(out, correlation_id, max_wait_ms, 0);
}

void on_topic(struct topic_log_request *request, int status) {
}

void make_topic(void) {
    struct topic_spec spec = {.name = SPAN_LITERAL("t"), .partition_count = 1};
    static struct topic_log_request request;

    request.done = on_topic;
    assert_int_equal(topic_log_create(log_, &spec, &request), 0);
}
