/*
 * Produce. Each partition is an append of its own, as in Kafka: one that is refused does not hold
 * the others back. The batch stays where the socket put it: the log takes a reference to the frame.
 * The answer leaves when the last append is durable, also for acks=1; acks=0 gets none.
 *
 * An answer waits for timeout_ms at most: then what is not durable is answered with error 7, whose
 * outcome nobody knows. Its appends go on, so the memory that they live in, the request's arena, is
 * taken away from the request and outlives it. One lazy timer serves all requests.
 */
#include "codec.h"
#include "produce_answer.h"
#include "produce_open.h"
#include "produce_request.h"

#include <eventbox/loop/op.h>

#include <errno.h>
#include <stdlib.h>

enum {
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
    bool refused; /* its row says why */
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

static void refuse(struct produce *produce, struct produce_response_partition *row, int16_t error,
                   const struct partition *partition, const char *message) {
    produce->failed = true;
    produce_row_refuse(row, error, partition, message);
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
    item->row->log_append_time_ms = item->part.duplicate && item->part.log_append_time_ms < 0
                                        ? item->max_timestamp_ms
                                        : item->part.log_append_time_ms;
}

static bool is_told(const struct produce_append *item) {
    return item->refused || item->produce->gave_up;
}

static void on_durable(struct append *append, int status) {
    struct produce_append *item = container_of(append, struct produce_append, append);
    struct produce *produce = item->produce;

    item->pending = false;
    if (status && !is_told(item)) {
        refuse(produce, item->row, append_error(produce->request, status), item->part.partition,
               log_message(status));
    } else if (!is_told(item)) {
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
        if (produce->appends[i].pending && !produce->appends[i].refused) {
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

/* ---- the batches of a request ---- */

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

/* What is wrong with the batch was found before the log saw it. */
static void reject(struct produce_append *item, int16_t error) {
    if (!is_told(item)) {
        refuse(item->produce, item->row, error, item->part.partition, NULL);
    }
    item->refused = true;
    on_durable(&item->append, BROKER_E_INVALID_RECORD);
}

static void reject_records(struct produce_append *item, const struct produce_open *open) {
    if (!is_told(item)) {
        item->produce->failed = true;
        produce_row_refuse_records(item->produce->request, item->row, item->part.partition,
                                   &open->rules, &open->report, produce_open_skips(open));
    }
    item->refused = true;
    on_durable(&item->append, BROKER_E_INVALID_RECORD);
}

/* The header says what the records are: of a topic with timestamps of its producers the largest
 * one, and that it is one of theirs. Kafka sees to it, whatever the client has written there. */
static int16_t settle_header(struct produce_append *item, const struct produce_open *open) {
    struct span bytes = span_of(item->part.batch.data, item->part.batch.size);
    uint8_t *data = (uint8_t *)(uintptr_t)item->part.batch.data;

    if (open->rules.append_time ||
        record_batch_has_create_time(data, open->report.max_timestamp_ms)) {
        return 0;
    }
    if (!record_batch_check_crc(bytes)) { /* a new one would hide it */
        return KAFKA_CORRUPT_MESSAGE;
    }
    record_batch_set_create_time(data, bytes.size, open->report.max_timestamp_ms);
    return 0;
}

/* The batch was looked into: on to the log with it, or its answer is no. */
static void opened(struct produce_append *item, const struct produce_open *open) {
    const struct topic_log *log = item->broker->log;
    int16_t error = open->error;

    if (!error && open->report.count > 0) {
        reject_records(item, open);
        return;
    }
    if (!error && open->buf) { /* the log takes a reference of its own */
        item->part.batch = slice_of(open->buf, 0, open->buf->size);
    } else if (!error && !open->pass) {
        error = settle_header(item, open);
    }
    if (!open->pass) {
        item->max_timestamp_ms = open->report.max_timestamp_ms;
    }
    if (!error &&
        item->part.batch.size > (uint64_t)topic_config_int(log, item->topic, TOPIC_SEGMENT_BYTES)) {
        error = KAFKA_RECORD_LIST_TOO_LARGE;
    }
    if (error) {
        reject(item, error);
        return;
    }
    append(item);
}

static void on_opened(struct produce_open *open) {
    opened(open->owner, open);
    produce_report_deinit(&open->report);
    buf_unref(open->buf);
    buf_unref(open->batch.buf);
    free(open);
}

static void open_on_thread(struct produce_append *item, const struct produce_rules *rules,
                           bool pass) {
    struct produce_open *open = calloc(1, sizeof *open);
    int r;

    if (!open) {
        on_durable(&item->append, -ENOMEM);
        return;
    }
    open->owner = item;
    open->partition = item->part.partition;
    open->batch = item->part.batch;
    buf_ref(open->batch.buf); /* the request may be gone before the thread is done */
    open->rules = *rules;
    open->pass = pass;
    open->done = on_opened;
    r = produce_open(item->broker, open);
    if (r == 0) {
        on_opened(open);
    } else if (r != OP_WAIT) {
        buf_unref(open->batch.buf);
        free(open);
        on_durable(&item->append, TOPIC_E_FULL);
    }
}

static void begin(struct produce_append *item, const struct record_batch *batch) {
    int codec = batch->attributes & RECORD_BATCH_CODEC_MASK;
    struct produce_open open = {.batch = item->part.batch};
    bool must_open;

    produce_rules_of(item->broker, item->topic, codec, &open.rules);
    must_open = codec == RECORD_CODEC_NONE || produce_must_open(&open.rules, batch);
    if (produce_open_must_wait(item->broker, item->part.partition) || open.rules.codec >= 0 ||
        (must_open && codec != RECORD_CODEC_NONE)) {
        open_on_thread(item, &open.rules, !must_open);
        return;
    }
    open.pass = !must_open;
    produce_open_now(&open);
    opened(item, &open);
    produce_report_deinit(&open.report);
}

/* ---- the partitions of a request ---- */

static void append_entry(struct produce *produce, const struct produce_entry *entry) {
    struct broker *broker = produce->request->userdata;
    struct record_batch batch;
    struct produce_append *item;
    int16_t error = entry->error;

    if (entry->twin_error || error) {
        refuse(produce, entry->row, entry->twin_error ? entry->twin_error : error, NULL, NULL);
    }
    if (error) {
        return;
    }
    error = produce_batch_check(broker, entry->topic, entry->batch, &batch);
    if (error && !entry->twin_error) {
        refuse(produce, entry->row, error, entry->partition, NULL);
    }
    if (error) {
        return;
    }
    item = &produce->appends[produce->append_count++];
    item->produce = produce;
    item->broker = broker;
    item->row = entry->row;
    item->refused = entry->twin_error != 0;
    item->part.partition = entry->partition;
    item->part.batch =
        (struct slice){produce->request->frame, entry->batch.data, entry->batch.size};
    item->max_timestamp_ms = batch.max_timestamp_ms;
    item->topic = topic_ref(entry->topic);
    item->pending = true;
    produce->pending++;
    begin(item, &batch);
}

/* The row of each topic of the request, made with its first entry that has one. */
struct topic_row {
    struct produce_response_topic *row;
    uint32_t room; /* entries that may come into it */
};

static struct topic_row *topic_rows(const struct produce *produce, const struct produce_plan *plan,
                                    uint32_t topics) {
    struct topic_row *rows = arena_alloc(produce->request->arena, MAX(topics, 1u) * sizeof *rows);

    for (uint32_t i = 0; rows && i < plan->count; i++) {
        rows[produce_plan_topic(plan, &plan->entries[i])].room++;
    }
    return rows;
}

static struct produce_response_partition *
row_of(struct produce *produce, const struct produce_entry *entry, struct topic_row *topic) {
    const struct produce_request *body = produce->request->body;
    const struct produce_request_topic *wanted = &body->topic_data[entry->topic_data];
    struct produce_response_topic *row = topic->row;

    if (!row) {
        row = &produce->answer->responses[produce->answer->responses_count];
        row->name = wanted->name;
        row->topic_id = wanted->topic_id;
        row->partition_responses =
            KAFKA_NEW(produce->request->arena, produce_response_partition, topic->room);
        if (!row->partition_responses) {
            return NULL;
        }
        produce->answer->responses_count++;
        topic->row = row;
    }
    return &row->partition_responses[row->partition_responses_count++];
}

/* All rows before the first append, since without memory for them there is no answer. */
static bool make_rows(struct produce *produce, struct produce_plan *plan) {
    const struct produce_request *body = produce->request->body;
    struct topic_row *topics = topic_rows(produce, plan, (uint32_t)MAX(body->topic_data_count, 0));

    for (uint32_t i = 0; topics && i < plan->count; i++) {
        struct produce_entry *entry = &plan->entries[i];

        if (entry->dropped) {
            continue;
        }
        entry->row = row_of(produce, entry, &topics[produce_plan_topic(plan, entry)]);
        if (!entry->row) {
            return false;
        }
        entry->row->index = entry->data->index;
    }
    return topics;
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
    struct produce *produce;
    struct produce_plan plan;

    if (produce_plan_make(request, &plan)) {
        out_of_memory(request);
        return;
    }
    produce = produce_new(request, plan.count);
    if (!produce || !make_rows(produce, &plan)) {
        out_of_memory(request);
        return;
    }
    request->parked = produce;
    request->on_free = on_free;
    for (uint32_t i = 0; i < plan.count; i++) {
        if (!plan.entries[i].dropped && plan.error) {
            refuse(produce, plan.entries[i].row, plan.error, NULL, plan.message);
        } else if (!plan.entries[i].dropped) {
            append_entry(produce, &plan.entries[i]);
        }
    }
    produce->ready = true;
    if (produce->pending > 0) {
        wait_for_log(produce);
    }
    finish_if_ready(produce);
}
