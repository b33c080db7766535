/* GET /orders: how many orders are stored, and the last one. */
#include "example.h"

/* An operation is a page read downwards: its struct, its steps, its table. */
struct orders_op {
    struct http_op http;
    struct store_op_job job;
    int64_t count, last_offset;
};

static int body_count(struct store_tx *tx, struct op *op) {
    struct orders_op *orders = container_of(op, struct orders_op, http.op);
    struct store_stmt *select;
    int r = store_prepare(
        tx, "SELECT COUNT(*), COALESCE(MAX(record_offset), -1) FROM example_order", &select);
    r = r ? r : store_step(select);
    if (r != STORE_ROW) {
        return r;
    }
    orders->count = store_column_int(select, 0);
    orders->last_offset = store_column_int(select, 1);
    return 0;
}

static int step_count(struct op *op) {
    struct orders_op *orders = container_of(op, struct orders_op, http.op);
    struct example *example = http_request_userdata(orders->http.request);
    return op_wait_store_read(op, example->context->store, &orders->job, body_count);
}

static int step_respond(struct op *op) {
    struct orders_op *orders = container_of(op, struct orders_op, http.op);
    struct text json;
    text_init(&json);
    json_write_object(&json, NULL);
    json_write_int(&json, "count", orders->count);
    json_write_int(&json, "last_offset", orders->last_offset);
    json_write_object_end(&json);
    http_respond_json(orders->http.request, 200, &json);
    return OP_DONE;
}

static const struct op_step orders_steps[] = {
    {"count", step_count}, /* waits: store readers */
    {"respond", step_respond},
    {0},
};

static const struct http_response_doc orders_responses[] = {
    {200, "How many orders are stored", NULL},
    {0},
};

const struct http_route example_routes[] = {
    {HTTP_GET, "/orders", .steps = orders_steps, .op_size = sizeof(struct orders_op),
     .op_name = "example.orders", .responses = orders_responses, .summary = "Count the orders",
     .tag = "example"},
    {0},
};
