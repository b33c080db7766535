/*
 * The consumer. A delivery is stored in one transaction: the orders, a receipt in the outbox for
 * each, and the offset to go on from. So a crash leaves all of it or nothing, and what is delivered
 * twice is stored once: the transaction itself looks where it stands and skips what lies below.
 *
 * There is one job at a time. The subscription delivers nothing more until it is asked to, so a
 * slow database slows the consumer down and nothing piles up.
 */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- off the loop ---- */

static int read_position(struct store_tx *tx, int64_t *ret_offset) {
    struct store_stmt *select;
    int r = store_prepare(tx, "SELECT next_offset FROM example_position WHERE id = 1", &select);
    r = r ? r : store_step(select);
    if (r != STORE_ROW) {
        return r ? r : err_origin(-ENOENT);
    }
    *ret_offset = store_column_int(select, 0);
    return 0;
}

static int store_position(struct store_tx *tx, int64_t offset) {
    struct store_stmt *update;
    int r = store_prepare(tx, "UPDATE example_position SET next_offset = $1 WHERE id = 1", &update);
    if (r) {
        return r;
    }
    store_bind_int(update, 1, offset);
    return store_run(update, NULL);
}

static int store_order(struct store_tx *tx, const struct example_order *order) {
    struct store_stmt *insert;
    char key[24];
    int r = store_prepare(tx, "INSERT INTO example_order (record_offset, item) VALUES ($1, $2)",
                          &insert);
    if (r) {
        return r;
    }
    store_bind_int(insert, 1, order->offset);
    store_bind_text(insert, 2, span_of(order->item, order->item_size));
    r = store_run(insert, NULL);
    if (r) {
        return r;
    }
    snprintf(key, sizeof key, "%lld", (long long)order->offset);
    struct topic_record receipt = {.topic = EXAMPLE_TOPIC_OUT,
                                   .partition = -1,
                                   .key = span_text(key),
                                   .value = span_of(order->item, order->item_size)};
    const struct trace *trace = trace_is_zero(&order->trace) ? NULL : &order->trace;
    return outbox_add(tx, trace, &receipt, 1, NULL);
}

/* May run twice: everything it gives back is set at its beginning. */
static int body_store(struct store_tx *tx, struct store_job *job) {
    struct example *example = container_of(job, struct example, job);
    int64_t position = 0;
    example->stored = example->skipped = 0;
    int r = read_position(tx, &position);
    for (size_t i = 0; i < example->order_count && !r; i++) {
        const struct example_order *order = &example->orders[i];
        if (order->offset < position) {
            continue; /* stored before, by a transaction whose outcome we did not learn */
        }
        example->stored += order->usable;
        example->skipped += !order->usable;
        r = order->usable ? store_order(tx, order) : 0;
    }
    return r ? r : store_position(tx, MAX(position, example->next_offset));
}

static int body_read_position(struct store_tx *tx, struct store_job *job) {
    return read_position(tx, &container_of(job, struct example, job)->next_offset);
}

/* ---- on the loop ---- */

static void on_job_done(struct store_job *job, int status);

static void finish_stop(struct example *example) {
    topic_unsubscribe(example->subscription);
    example->subscription = NULL;
    timer_stop(&example->retry);
    example->done(example->done_userdata, 0);
}

static void take_order(struct example *example, const struct topic_message *message) {
    struct example_order *order = &example->orders[example->order_count++];
    *order = (struct example_order){.offset = message->offset};
    for (size_t i = 0; i < message->header_count; i++) {
        if (span_equal(message->headers[i].name, SPAN_LITERAL("traceparent"))) {
            trace_parse(message->headers[i].value, &order->trace);
        }
    }
    order->usable =
        message->value.data && message->value.size > 0 && message->value.size <= EXAMPLE_ITEM_MAX;
    if (order->usable) {
        memcpy(order->item, message->value.data, message->value.size);
        order->item_size = message->value.size;
    }
    example->next_offset = message->offset + 1;
}

static void run_job(struct example *example) {
    example->job.body = body_store;
    example->job.done = on_job_done;
    example->job_running = true;
    int r = store_write(example->context->store, &example->job);
    if (r) {
        on_job_done(&example->job, r);
    }
}

static void on_records(void *userdata, const struct topic_message *messages, size_t count) {
    struct example *example = userdata;
    example->order_count = 0;
    for (size_t i = 0; i < MIN(count, (size_t)EXAMPLE_BATCH_MAX); i++) {
        take_order(example, &messages[i]);
    }
    run_job(example);
}

static void on_retry(struct timer *timer) {
    run_job(container_of(timer, struct example, retry));
}

/* Whatever the failure, also an unknown outcome: the same delivery again. Stored twice it cannot
 * be. */
static void on_job_done(struct store_job *job, int status) {
    struct example *example = container_of(job, struct example, job);
    example->job_running = false;
    if (example->stopping) {
        finish_stop(example);
    } else if (status) {
        timer_start_ms(&example->retry, example->retry_ms);
    } else {
        metric_add(&example->context->metrics[EXAMPLE_M_ORDERS], example->stored);
        metric_add(&example->context->metrics[EXAMPLE_M_SKIPPED], example->skipped);
        topic_commit(example->context->topics, "example", EXAMPLE_TOPIC_IN, 0,
                     example->next_offset);
        topic_subscription_next(example->subscription, example->next_offset);
    }
}

/*
 * The log start has passed our position, or the topic was made anew: go on with what is there. Any
 * other failure of the log lasts until a restart; /readyz says so.
 */
static void on_error(void *userdata, int status) {
    struct example *example = userdata;
    struct topic_info info;
    if (status == TOPIC_E_OUT_OF_RANGE &&
        topic_info(example->context->topics, EXAMPLE_TOPIC_IN, 0, &info) == 0) {
        topic_subscription_next(example->subscription, info.log_start_offset);
    } else {
        example->failed = status;
    }
}

static int subscribe(struct example *example) {
    struct topic_subscription_config config = {
        .topic = EXAMPLE_TOPIC_IN,
        .offset = example->next_offset,
        .consumer = "example",
        .max_records = EXAMPLE_BATCH_MAX,
        .max_bytes = KIB(256),
        .on_records = on_records,
        .on_error = on_error,
        .userdata = example,
    };
    return topic_subscribe(example->context->topics, &config, &example->subscription);
}

static void on_position(struct store_job *job, int status) {
    struct example *example = container_of(job, struct example, job);
    example->job_running = false;
    status = status ? status : subscribe(example);
    example->done(example->done_userdata, status);
}

void example_consumer_start(struct example *example) {
    timer_init(&example->retry, example->context->loop, on_retry);
    example->job = (struct store_job){.body = body_read_position, .done = on_position};
    example->job_running = true;
    int r = store_read(example->context->store, &example->job);
    if (r) {
        on_position(&example->job, r);
    }
}

void example_consumer_stop(struct example *example) {
    example->stopping = true;
    if (!example->job_running) {
        finish_stop(example);
    }
}
