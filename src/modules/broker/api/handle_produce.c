/*
 * Produce. Each partition is an append of its own, as in Kafka: one that is refused does not hold
 * the others back. The batch stays where the socket put it: the log takes a reference to the frame.
 * The answer leaves when the last append is durable, also for acks=1; acks=0 gets none.
 *
 * An answer waits for timeout_ms at most: then what is not durable is answered with error 7, whose
 * outcome nobody knows. Its appends go on, so the memory that they live in, the request's arena, is
 * taken away from the request and outlives it. One lazy timer serves all requests.
 */
#include "places.h"
#include "produce_batch.h"
#include "produce_open.h"

#include <eventbox/loop/op.h>

#include <errno.h>
#include <stdlib.h>

enum {
    VERSION_FIRST = 3,
    VERSION_TOPIC_IDS = 13,
    /* A client that gives no time at all means the time of replicas, not that of a disk. */
    TIMEOUT_LEAST_MS = 1000,
};

struct produce;

struct produce_append {
    struct append append;
    struct append_part part;
    struct produce *produce;
    struct produce_response_partition *row;
    struct topic *topic; /* with a reference */
    int64_t max_timestamp_ms;
    bool pending;
    struct broker *broker;
    struct produce_open *open; /* while it is looked into */
    bool refused;              /* its row says why */
};

struct produce {
    struct kafka_request *request; /* NULL once it is gone and appends are left */
    struct produce_response *answer;
    struct produce_append *appends; /* one for each partition of the request */
    int32_t append_count;
    unsigned pending;
    bool ready;       /* every append was begun */
    bool failed;      /* some partition has an error */
    bool gave_up;     /* answered before every append was done */
    struct list link; /* in broker.produces while it waits */
    int64_t deadline_ns;
    struct arena arena; /* what this lives in, once @request is NULL */
};

static void finish_if_ready(struct produce *produce) {
    struct kafka_request *request = produce->request;
    const struct produce_request *body;

    if (!produce->ready || produce->pending > 0) {
        return;
    }
    if (produce->gave_up) {
        if (!request) {
            struct arena arena = produce->arena;

            arena_deinit(&arena);
        }
        return;
    }
    list_remove(&produce->link);
    body = request->body;
    if (body->acks != 0) {
        kafka_respond(request, produce->answer);
    } else if (produce->failed) {
        kafka_request_close(request, "a record batch sent with acks=0 was refused");
    } else {
        kafka_respond_none(request);
    }
}

/* Where the log itself refused the batch, Kafka tells the log start offset all the same. */
static void refuse(struct produce *produce, struct produce_response_partition *row, int16_t error,
                   const struct partition *partition, const char *message) {
    bool told = partition && error != KAFKA_CORRUPT_MESSAGE && error != KAFKA_MESSAGE_TOO_LARGE &&
                error != KAFKA_STORAGE_ERROR && error != KAFKA_UNKNOWN_SERVER_ERROR &&
                error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION && error != KAFKA_UNKNOWN_TOPIC_ID;

    produce->failed = true;
    row->error_code = error;
    row->base_offset = -1;
    row->log_append_time_ms = -1;
    row->log_start_offset = told ? partition->log_start_offset : -1;
    row->error_message = message ? span_text(message) : SPAN_NULL;
}

static int16_t append_error(const struct kafka_request *request, int code) {
    return code == TOPIC_E_UNKNOWN && request->version >= VERSION_TOPIC_IDS ? KAFKA_UNKNOWN_TOPIC_ID
                                                                            : kafka_error_of(code);
}

/* Kafka has no text for what the log refuses. Ours says what no code of Kafka's says: that there is
 * no room, or that the outcome is unknown. */
static const char *log_message(int status) {
    return status == TOPIC_E_FULL || status == TOPIC_E_FAILED ? error_row_get(status)->text : NULL;
}

static void fill_row(const struct produce_append *item) {
    item->row->base_offset = item->part.base_offset;
    item->row->log_start_offset = item->part.partition->log_start_offset;
    /* Of a batch that was there already, Kafka tells the time of the record. */
    item->row->log_append_time_ms =
        item->part.duplicate ? item->max_timestamp_ms : item->part.log_append_time_ms;
}

static void on_durable(struct append *append, int status) {
    struct produce_append *item = container_of(append, struct produce_append, append);
    struct produce *produce = item->produce;

    item->pending = false;
    if (status && !produce->gave_up && !item->refused) {
        refuse(produce, item->row, append_error(produce->request, status), item->part.partition,
               log_message(status));
    } else if (!status && !produce->gave_up) {
        fill_row(item);
    }
    topic_unref(item->topic);
    produce->pending--;
    finish_if_ready(produce);
}

/* ---- an answer that cannot wait any longer ---- */

/* The request ends before its appends: they keep the arena that they are in. */
static void on_free(struct kafka_request *request) {
    struct produce *produce = request->parked;

    if (produce->pending > 0) {
        produce->request = NULL;
        produce->arena = *request->arena;
        arena_init(request->arena, produce->arena.limit_bytes);
    }
}

static void give_up(struct produce *produce) {
    list_remove(&produce->link);
    produce->gave_up = true;
    for (int32_t i = 0; i < produce->append_count; i++) {
        if (produce->appends[i].pending) {
            refuse(produce, produce->appends[i].row, KAFKA_REQUEST_TIMED_OUT, NULL,
                   "The batch was not durable in time; whether it will be is not known.");
        }
    }
    kafka_respond(produce->request, produce->answer);
}

/* All that are overdue; then sleeps until the next one would be. */
static void on_produce_timer(struct timer *timer) {
    struct broker *broker = container_of(timer, struct broker, produce_timer);
    int64_t now = loop_now_ns(broker->loop);
    int64_t next = INT64_MAX;

    list_for_each_safe(link, &broker->produces) {
        struct produce *produce = list_entry(link, struct produce, link);

        if (produce->deadline_ns <= now) {
            give_up(produce);
        } else {
            next = MIN(next, produce->deadline_ns);
        }
    }
    if (next != INT64_MAX) {
        timer_start(timer, next - now);
    }
}

static void wait_for_log(struct produce *produce) {
    struct broker *broker = produce->request->userdata;
    const struct produce_request *body = produce->request->body;
    int64_t wait_ms = MAX(body->timeout_ms, TIMEOUT_LEAST_MS);
    struct timer *timer = &broker->produce_timer;

    if (body->acks == 0) {
        return;
    }
    produce->deadline_ns = loop_now_ns(broker->loop) + wait_ms * NS_PER_MS;
    list_push_back(&broker->produces, &produce->link);
    if (!timer_running(timer) || timer->due_ns > produce->deadline_ns) {
        timer_start_ms(timer, wait_ms);
    }
}

void produce_init(struct broker *broker) {
    list_init(&broker->produces);
    list_init(&broker->opens);
    timer_init(&broker->produce_timer, broker->loop, on_produce_timer);
}

void produce_deinit(struct broker *broker) {
    timer_stop(&broker->produce_timer);
}

/* ---- the partitions of a request ---- */

static struct topic *find_topic(const struct kafka_request *request,
                                const struct produce_request_topic *wanted, int16_t *ret_error) {
    const struct broker *broker = request->userdata;
    struct topic *topic;

    if (request->version >= VERSION_TOPIC_IDS) {
        topic = topic_log_find_id(broker->log, &wanted->topic_id);
        *ret_error = KAFKA_UNKNOWN_TOPIC_ID;
    } else {
        topic = topic_log_find(broker->log, wanted->name);
        *ret_error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (topic && topic->internal) {
        *ret_error = KAFKA_INVALID_TOPIC_EXCEPTION;
        return NULL;
    }
    return topic;
}

/* Hands the batch to the log; what the log refuses is answered. */
static void append(struct produce_append *item) {
    const struct broker *broker = item->broker;
    int r;

    item->append.class = APPEND_CLIENT;
    item->append.parts = &item->part;
    item->append.part_count = 1;
    item->append.done = on_durable;
    r = topic_log_append(broker->log, &item->append);
    if (r) {
        on_durable(&item->append, r);
    }
}

/* ---- batches that are looked into ---- */

static void refuse_times(struct produce_append *item) {
    const struct produce_open *open = item->open;
    struct kafka_request *request = item->produce->request;
    int32_t count = MIN(open->bad_count, PRODUCE_BAD_TIMES_MAX);
    struct produce_response_record_error *errors =
        KAFKA_NEW(request->arena, produce_response_record_error, (size_t)count);

    item->row->record_errors = errors;
    for (int32_t i = 0; errors && i < count; i++) {
        errors[i].batch_index = open->bad[i].index;
        errors[i].batch_index_error_message = span_text(arena_printf(
            request->arena,
            "Timestamp %lld of message with offset %d is out of range. The timestamp should be "
            "within [%lld, %lld]",
            (long long)open->bad[i].timestamp_ms, open->bad[i].index,
            (long long)open->rules.earliest_told_ms, (long long)open->rules.latest_ms));
        item->row->record_errors_count++;
    }
    refuse(item->produce, item->row, KAFKA_INVALID_TIMESTAMP, item->part.partition,
           "One or more records have been rejected due to invalid timestamp");
}

/* The batch was looked into: on to the log with it, or its answer is no. */
static void opened(struct produce_append *item) {
    struct produce_open *open = item->open;
    struct produce *produce = item->produce;

    if (open->code || open->bad_count > 0) {
        if (open->bad_count > 0 && !produce->gave_up) {
            refuse_times(item);
            item->refused = true;
        }
        on_durable(&item->append, open->code ? open->code : BROKER_E_INVALID_RECORD);
        return;
    }
    if (open->buf) { /* the log takes a reference of its own */
        item->part.batch = slice_of(open->buf, 0, open->buf->size);
    }
    append(item);
}

static void opened_free(struct produce_open *open) {
    buf_unref(open->buf);
    buf_unref(open->batch.buf);
    free(open);
}

static void on_opened(struct produce_open *open) {
    struct produce_append *item = open->owner;

    opened(item);
    opened_free(open);
}

static void look_inside(struct produce_append *item, struct produce_rules rules) {
    struct produce_open *open = calloc(1, sizeof *open);
    int r;

    if (!open) {
        on_durable(&item->append, -ENOMEM);
        return;
    }
    item->open = open;
    open->owner = item;
    open->partition = item->part.partition;
    open->batch = item->part.batch;
    buf_ref(open->batch.buf); /* the request may be gone before the thread is done */
    open->rules = rules;
    open->done = on_opened;
    r = produce_open(item->broker, open);
    if (r == 0) {
        on_opened(open);
    } else if (r != OP_WAIT) {
        opened_free(open);
        on_durable(&item->append, TOPIC_E_FULL);
    }
}

static void begin(struct produce *produce, struct topic *topic, struct partition *partition,
                  const struct record_batch *batch, struct span bytes,
                  struct produce_response_partition *row) {
    struct broker *broker = produce->request->userdata;
    struct produce_append *item = &produce->appends[produce->append_count++];
    struct produce_rules rules;

    item->produce = produce;
    item->broker = broker;
    item->row = row;
    item->part.partition = partition;
    item->part.batch = (struct slice){produce->request->frame, bytes.data, bytes.size};
    item->max_timestamp_ms = batch->max_timestamp_ms;
    item->topic = topic_ref(topic);
    item->pending = true;
    produce->pending++;
    if (produce_rules_of(broker, topic, batch, &rules) ||
        produce_open_must_wait(broker, partition)) {
        look_inside(item, rules);
    } else {
        append(item);
    }
}

static void append_partition(struct produce *produce, struct topic *topic, int16_t topic_error,
                             const struct produce_request_partition *wanted,
                             struct produce_response_partition *row) {
    struct partition *partition = topic ? partition_get(topic, wanted->index) : NULL;
    struct record_batch batch;
    struct span bytes;
    const char *message;
    int16_t error;

    row->index = wanted->index;
    if (!partition) {
        refuse(produce, row, topic ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : topic_error, NULL, NULL);
        return;
    }
    error = produce_batch_find(produce->request, wanted->records.span, &bytes, &message);
    if (error) {
        refuse(produce, row, error, NULL, message);
        return;
    }
    error = produce_batch_check(produce->request, topic, bytes, &batch, row, &message);
    if (error) {
        refuse(produce, row, error, partition, message);
        return;
    }
    begin(produce, topic, partition, &batch, bytes, row);
}

/* One error for every partition: the whole request cannot be done. */
static int16_t check_request(const struct kafka_request *request) {
    const struct produce_request *body = request->body;

    if (request->version < VERSION_FIRST) {
        return KAFKA_UNSUPPORTED_VERSION;
    }
    for (int32_t i = 0; i < body->topic_data_count; i++) {
        const struct produce_request_topic *topic = &body->topic_data[i];

        for (int32_t p = 0; p < topic->partition_data_count; p++) {
            if (produce_batch_is_transactional(topic->partition_data[p].records.span)) {
                return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
            }
        }
    }
    return body->acks < -1 || body->acks > 1 ? KAFKA_INVALID_REQUIRED_ACKS : 0;
}

static int find_twins(const struct kafka_request *request, uint32_t count, uint32_t **ret_last) {
    const struct produce_request *body = request->body;
    struct place *places;
    uint32_t n = 0;

    *ret_last = NULL;
    if (count < 2) {
        return 0;
    }
    places = arena_alloc(request->arena, count * sizeof *places);
    if (!places) {
        return err_origin(-ENOMEM);
    }
    for (int32_t i = 0; i < body->topic_data_count; i++) {
        const struct produce_request_topic *topic = &body->topic_data[i];
        struct span name = request->version >= VERSION_TOPIC_IDS
                               ? span_of(topic->topic_id.bytes, sizeof topic->topic_id.bytes)
                               : topic->name;

        for (int32_t p = 0; p < topic->partition_data_count; p++) {
            places[n++] = (struct place){name, topic->partition_data[p].index};
        }
    }
    return places_last(request->arena, places, count, ret_last);
}

/* @last: of find_twins(), beginning with this topic's; of two entries for a partition the last
 * counts. */
static bool append_topic(struct produce *produce, const struct produce_request_topic *wanted,
                         const uint32_t *last, uint32_t first, int16_t request_error) {
    struct produce_response_partition *partitions = KAFKA_NEW(
        produce->request->arena, produce_response_partition, MAX(wanted->partition_data_count, 0));
    struct produce_response_topic *row =
        &produce->answer->responses[produce->answer->responses_count];
    struct topic *topic;
    int16_t error;

    if (!partitions) {
        return false;
    }
    row->name = wanted->name;
    row->topic_id = wanted->topic_id;
    row->partition_responses = partitions;
    topic = find_topic(produce->request, wanted, &error);
    for (int32_t i = 0; i < wanted->partition_data_count; i++) {
        struct produce_response_partition *to = &partitions[row->partition_responses_count];

        if (last && last[first + (uint32_t)i] != first + (uint32_t)i) {
            continue;
        }
        row->partition_responses_count++;
        if (request_error) {
            to->index = wanted->partition_data[i].index;
            refuse(produce, to, request_error, NULL, NULL);
        } else {
            append_partition(produce, topic, error, &wanted->partition_data[i], to);
        }
    }
    produce->answer->responses_count += row->partition_responses_count > 0;
    return true;
}

static struct produce *produce_new(struct kafka_request *request, uint32_t partitions) {
    const struct produce_request *body = request->body;
    struct produce *produce = arena_alloc(request->arena, sizeof *produce);
    struct produce_response *answer = KAFKA_NEW(request->arena, produce_response, 1);

    if (!produce || !answer) {
        return NULL;
    }
    produce->request = request;
    produce->answer = answer;
    produce->appends = arena_alloc(request->arena, partitions * sizeof *produce->appends);
    answer->responses =
        KAFKA_NEW(request->arena, produce_response_topic, MAX(body->topic_data_count, 0));
    return produce->appends && answer->responses ? produce : NULL;
}

void handle_produce(struct kafka_request *request) {
    const struct produce_request *body = request->body;
    int16_t error = check_request(request);
    struct produce *produce;
    uint32_t partitions = 0;
    uint32_t *last;
    bool ok;

    for (int32_t i = 0; i < body->topic_data_count; i++) {
        partitions += (uint32_t)MAX(body->topic_data[i].partition_data_count, 0);
    }
    produce = produce_new(request, partitions);
    if (!produce || find_twins(request, partitions, &last)) {
        out_of_memory(request);
        return;
    }
    request->parked = produce;
    request->on_free = on_free;
    partitions = 0;
    ok = true;
    for (int32_t i = 0; ok && i < body->topic_data_count; i++) {
        ok = append_topic(produce, &body->topic_data[i], last, partitions, error);
        partitions += (uint32_t)MAX(body->topic_data[i].partition_data_count, 0);
    }
    produce->ready = true;
    if (produce->pending > 0) {
        wait_for_log(produce);
    }
    finish_if_ready(produce);
}
