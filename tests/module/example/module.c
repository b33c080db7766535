/*
 * Example of a module, compiled against include/eventbox alone: it turns orders into receipts.
 *
 *   topic example.orders -> one transaction: order, position, outbox row -> topic example.receipts
 *
 * This file holds the tables; reading them answers "what is this module". CONTRIBUTING.md walks
 * through it.
 */
#include "example.h"

#include <stdio.h>

static const struct conf_row conf_rows[] = {
    {.name = "host",
     .type = CONF_STRING,
     .offset = offsetof(struct example, host),
     .default_text = "127.0.0.1",
     .doc = "Address of the example service."},
    {.name = "port",
     .type = CONF_INT,
     .offset = offsetof(struct example, port),
     .default_text = "8002",
     .max = 65535,
     .doc = "Port of the example service."},
    {.name = "retry_ms",
     .type = CONF_DURATION,
     .offset = offsetof(struct example, retry_ms),
     .flags = CONF_RELOADABLE,
     .default_text = "1s",
     .min = 1,
     .max = 60000,
     .unit = "ms",
     .doc = "Wait after a delivery that could not be stored."},
    {0},
};

static const struct metric_row metric_rows[] = {
    [EXAMPLE_M_ORDERS] = {"eventbox_example_orders_total", METRIC_COUNTER, NULL, "Orders stored."},
    [EXAMPLE_M_SKIPPED] = {"eventbox_example_skipped_total", METRIC_COUNTER, NULL,
                           "Records that are no order."},
    {0},
};

static const struct topic_declaration topics[] = {
    {EXAMPLE_TOPIC_IN, 1, NULL, "Orders: the value is the item's name.", "example"},
    {EXAMPLE_TOPIC_OUT, 1, NULL, "A receipt for each order, under the order's offset."},
    {0},
};

static const struct store_migration migrations[] = {
    {1, "CREATE TABLE example_order (record_offset BIGINT PRIMARY KEY, item TEXT NOT NULL);"
        "CREATE TABLE example_position (id INTEGER PRIMARY KEY, next_offset BIGINT NOT NULL);"
        "INSERT INTO example_position (id, next_offset) VALUES (1, 0);"},
    {0},
};

static const struct body_row order_rows[] = {
    {"record_offset", BODY_INT, 0, BODY_REQUIRED, .doc = "Offset in " EXAMPLE_TOPIC_IN},
    {"item", BODY_STRING, 0, BODY_REQUIRED, .doc = "What was ordered"},
    {0},
};
static const struct http_schema schemas[] = {{"Order", order_rows}, {0}};

static int init(void *state, const struct module_context *context, const char **ret_message) {
    struct example *example = state;
    example->context = context;
    return 0;
}

static void start(void *state, module_done_fn done, void *userdata) {
    struct example *example = state;
    example->done = done;
    example->done_userdata = userdata;
    example_consumer_start(example);
}

static void stop(void *state, module_done_fn done, void *userdata) {
    struct example *example = state;
    example->done = done;
    example->done_userdata = userdata;
    example_consumer_stop(example);
}

static void health(void *state, struct module_health *ret_health) {
    struct example *example = state;
    if (example->failed) {
        ret_health->state = MODULE_FAILED;
        snprintf(ret_health->detail, sizeof ret_health->detail,
                 "consumer of " EXAMPLE_TOPIC_IN ": %s", err_text(example->failed));
    } else if (timer_running(&example->retry)) {
        ret_health->state = MODULE_BEHIND;
        snprintf(ret_health->detail, sizeof ret_health->detail,
                 "consumer of " EXAMPLE_TOPIC_IN " waits to repeat a delivery");
    }
}

static void describe(void *state, struct text *out) {
    struct example *example = state;
    text_printf(out, "try\tcurl http://localhost:%d/orders\n", (int)example->port);
}

static const char *const required_ports[] = {"store", "topics", NULL};

const struct module example_module = {
    .abi = MODULE_ABI,
    .name = "example",
    .service = "example-service",
    .summary = "The example module: orders become receipts.",
    .requires = required_ports,
    .conf = conf_rows,
    .metrics = metric_rows,
    .topics = topics,
    .migrations = migrations,
    .http = {.service = "example-service",
             .title = "Example Service",
             .routes = example_routes,
             .schemas = schemas,
             .host_offset = offsetof(struct example, host),
             .port_offset = offsetof(struct example, port)},
    .state_size = sizeof(struct example),
    .init = init,
    .start = start,
    .stop = stop,
    .health = health,
    .describe = describe,
};
