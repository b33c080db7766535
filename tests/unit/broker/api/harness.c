#include "harness.h"

#include "fetch_session.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

#include <stdio.h>
#include <stdlib.h>

static const struct kafka_handler *find_api(void *server, int16_t key) {
    for (size_t i = 0; i < broker_handlers_count; i++) {
        if (broker_handlers[i].key == key) {
            return &broker_handlers[i];
        }
    }
    return NULL;
}

static void on_event(void *userdata, enum kafka_server_event event, const char *peer,
                     const char *text) {
    struct harness *h = userdata;

    h->created += event == KAFKA_SERVER_TOPIC_CREATED;
    h->deleted += event == KAFKA_SERVER_TOPIC_DELETED;
}

void harness_init(struct harness *h) {
    *h = (struct harness){0};
    clock_manual_init(&h->clock, INT64_C(1700000000) * NS_PER_SEC);
    assert_int_equal(loop_new_simulated(&h->clock.clock, &h->loop), 0);
    h->log = fake_log_new(h->loop);
    h->config.on_event = on_event;
    h->config.userdata = h;
    h->broker = (struct broker){
        .loop = h->loop,
        .clock = &h->clock.clock,
        .log = h->log,
        .cluster_id = "ZXZlbnRib3gtdGVzdGluZw",
        .auto_create_topics = true,
        .default_partitions = 4,
        .fetch_max_bytes = MIB(55),
        .answer_bytes_max = MIB(64),
        .config = &h->config,
        .find_api = find_api,
    };
    list_init(&h->broker.fetches);
    produce_init(&h->broker);
    assert_int_equal(fetch_sessions_new(h->loop, 10, MIB(1), &h->broker.sessions), 0);
}

void harness_deinit(struct harness *h) {
    assert_int_equal(fake_log_leaks(h->log), 0);
    assert_int_equal(h->broker.answer_bytes, 0);
    produce_deinit(&h->broker);
    api_versions_deinit(&h->broker);
    fetch_sessions_free(h->broker.sessions);
    fake_log_free(h->log);
    loop_free(h->loop);
}

void harness_turn(struct harness *h) {
    while (loop_step(h->loop)) {
    }
}

static void on_topic(struct topic_log_request *request, int status) {
    assert_int_equal(status, 0);
}

struct topic *harness_topic(struct harness *h, const char *name, int32_t partitions) {
    struct topic_spec spec = {.name = span_text(name), .partition_count = partitions};
    struct topic_log_request request = {.done = on_topic};

    assert_int_equal(topic_log_create(h->log, &spec, &request), 0);
    harness_turn(h);
    return topic_log_find(h->log, spec.name);
}

/* ---- calls ---- */

static void append_chunks(struct text *wire, const struct fetch_chunks *chunks) {
    for (unsigned i = 0; i < chunks->count; i++) {
        assert_non_null(chunks->chunks[i].slice.buf); /* the harness reads memory only */
        text_append(wire, chunks->chunks[i].slice.data, chunks->chunks[i].slice.size);
    }
}

static void free_request(struct call *call) {
    call->done = true;
    if (call->request.on_free) {
        call->request.on_free(&call->request);
    }
    buf_unref(call->request.frame);
    arena_deinit(&call->arena);
}

/* What stands on the wire is an answer that can be read. */
static void take_answer(struct call *call) {
    const struct kafka_request *request = &call->request;
    bool flexible = request->version >= request->api->flexible_first;
    size_t size;

    call->answer = arena_alloc(&call->answer_arena, request->api->response->size);
    assert_int_equal(kafka_decode(request->api->response, request->version, flexible,
                                  text_span(&call->wire), &call->answer_arena, call->answer, &size),
                     0);
    assert_int_equal(size, call->wire.size);
    free_request(call);
}

static int respond(struct kafka_request *request, const void *body) {
    struct call *call = container_of(request, struct call, request);
    bool flexible = request->version >= request->api->flexible_first;
    struct kafka_encoded out;
    size_t from = 0;

    assert_false(call->done);
    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(request->api->response, request->version, flexible, body, &out),
                     0);
    for (size_t i = 0; i < out.splice_count; i++) {
        text_append(&call->wire, out.text.data + from, out.splices[i].at - from);
        append_chunks(&call->wire, out.splices[i].foreign);
        from = out.splices[i].at;
    }
    text_append(&call->wire, out.text.data + from, out.text.size - from);
    kafka_encoded_deinit(&out);
    take_answer(call);
    return 0;
}

static int respond_encoded(struct kafka_request *request, struct span body) {
    struct call *call = container_of(request, struct call, request);

    assert_false(call->done);
    text_append(&call->wire, body.data, body.size);
    take_answer(call);
    return 0;
}

static void respond_none(struct kafka_request *request) {
    struct call *call = container_of(request, struct call, request);

    call->silent = true;
    free_request(call);
}

static void close_request(struct kafka_request *request, const char *reason) {
    struct call *call = container_of(request, struct call, request);

    call->closed = true;
    snprintf(call->reason, sizeof call->reason, "%s", reason);
    free_request(call);
}

void call_start(struct harness *h, struct call *call, int16_t key, int16_t version,
                const void *body) {
    static const struct kafka_request_ops ops = {respond, respond_encoded, respond_none,
                                                 close_request};
    const struct kafka_api *api = kafka_api_find(key);
    bool flexible = version >= api->flexible_first;
    struct kafka_encoded out;
    void *decoded;

    *call = (struct call){0};
    arena_init(&call->arena, MIB(32));
    arena_init(&call->answer_arena, MIB(32));
    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(api->request, version, flexible, body, &out), 0);
    call->request = (struct kafka_request){
        .api = api,
        .version = version,
        .correlation_id = 7,
        .client_id = SPAN_LITERAL("test"),
        .peer_host = "127.0.0.1",
        .advertised_host = "broker.test",
        .advertised_port = 9092,
        .arena = &call->arena,
        .userdata = &h->broker,
        .ops = &ops,
        .frame = buf_copy(out.text.data ? out.text.data : "", out.text.size),
    };
    kafka_encoded_deinit(&out);
    decoded = arena_alloc(&call->arena, api->request->size);
    assert_int_equal(kafka_decode(api->request, version, flexible,
                                  span_of(call->request.frame->data, call->request.frame->size),
                                  &call->arena, decoded, NULL),
                     0);
    call->request.body = decoded;
    find_api(NULL, key)->handle(&call->request);
}

void *call_wait(struct harness *h, struct call *call) {
    harness_turn(h);
    assert_true(call->done);
    assert_non_null(call->answer);
    return call->answer;
}

void call_end(struct call *call) {
    assert_true(call->done);
    arena_deinit(&call->answer_arena);
    text_deinit(&call->wire);
}

/* ---- records ---- */

struct buf *batch_new(int count, int64_t timestamp_ms) {
    struct record_batch_builder builder;

    record_batch_builder_init(&builder);
    for (int i = 0; i < count; i++) {
        record_batch_builder_add(&builder, timestamp_ms, SPAN_NULL, SPAN_LITERAL("value"), NULL, 0);
    }
    return record_batch_builder_finish(&builder, 0);
}

struct buf *batch_with(size_t at, uint64_t value, size_t bytes) {
    struct buf *batch = batch_new(2, 1000);
    uint8_t number[8];

    put_be64(number, value);
    memcpy(batch->data + at, number + 8 - bytes, bytes);
    put_be32(batch->data + 17, crc32c(0, batch->data + 21, batch->size - 21));
    return batch;
}

static void on_appended(struct append *append, int status) {
    assert_int_equal(status, 0);
}

void append_records(struct harness *h, const char *name, int count, int64_t timestamp_ms) {
    struct topic *topic = topic_log_find(h->log, span_text(name));
    struct buf *batch = batch_new(count, timestamp_ms);
    struct append_part part = {.partition = partition_get(topic, 0),
                               .batch = slice_of(batch, 0, batch->size)};
    struct append append = {.parts = &part, .part_count = 1, .done = on_appended};

    assert_int_equal(topic_log_append(h->log, &append), 0);
    buf_unref(batch);
    harness_turn(h);
}
