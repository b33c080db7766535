/* The example module's state, and what one delivery becomes. */
#pragma once

#include <eventbox/host/module.h>

#define EXAMPLE_TOPIC_IN  "example.orders"   /* consumed */
#define EXAMPLE_TOPIC_OUT "example.receipts" /* published, one for each order */

enum { EXAMPLE_BATCH_MAX = 64, EXAMPLE_ITEM_MAX = 200 };

enum { EXAMPLE_M_ORDERS, EXAMPLE_M_SKIPPED };

struct example_order {
    int64_t offset;
    char item[EXAMPLE_ITEM_MAX + 1];
    size_t item_size;
    bool usable; /* else it is counted and passed by: the consumer never stands still for one record
                  */
    struct trace trace;
};

struct example {
    /* Settings. */
    const char *host;
    int64_t port;
    int64_t retry_ms;

    const struct module_context *context;
    struct topic_subscription *subscription;
    struct timer retry;
    module_done_fn done; /* of start() or stop() */
    void *done_userdata;
    bool stopping;
    int failed; /* why the subscription ended; 0: it has not */

    /* The one job of the consumer: it owns copies of what it stores. */
    struct store_job job;
    bool job_running;
    bool storing; /* the job stores a delivery; else it reads the position */
    struct example_order orders[EXAMPLE_BATCH_MAX];
    size_t order_count;
    int64_t next_offset; /* in: behind the delivery; out: as the database has it */
    int64_t stored, skipped;
};

/* consumer.c */
void example_consumer_start(struct example *example);
void example_consumer_stop(struct example *example);

/* routes.c */
extern const struct http_route example_routes[];
