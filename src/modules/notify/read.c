/* GET /notifications and GET /notifications/{notification_id}: what there is, and how it stands. */
#include "notify.h"

#include <errno.h>

static int find_one(struct store_tx *tx, struct op *op) {
    struct notify_op *base = notify_op_of(op);
    const struct notification_path *path = http_request_params(base->service.http.request);
    text_clear(&base->service.json);
    int status = notification_write_json(tx, path->notification_id.value, &base->service.json);
    return status ? status : text_failed(&base->service.json) ? err_origin(-ENOMEM) : 0;
}

static int step_find_one(struct op *op) {
    struct notify_op *base = notify_op_begin(op);
    return op_wait_store_read(op, base->notify->context.store, &base->service.job, find_one);
}

static int step_respond_one(struct op *op) {
    struct notify_op *base = notify_op_of(op);
    http_respond_json(base->service.http.request, 200, &base->service.json);
    return OP_NEXT;
}

const struct op_step notify_get_steps[] = {
    {"find", step_find_one}, /* waits: store reader */
    {"respond", step_respond_one},
    {0},
};

static int find_page(struct store_tx *tx, struct op *op) {
    struct list_op *list = container_of(notify_op_of(op), struct list_op, base);
    text_clear(&list->base.service.json);
    return notification_write_list(tx, http_request_params(list->base.service.http.request),
                                   &list->base.service.json, &list->next_cursor);
}

static int step_find_page(struct op *op) {
    struct notify_op *base = notify_op_begin(op);
    return op_wait_store_read(op, base->notify->context.store, &base->service.job, find_page);
}

/* The next page as a relative reference (RFC 8288) with the same filters. */
static void add_link(struct http_request *request, int64_t next_cursor) {
    const struct notification_query *query = http_request_params(request);
    struct text link;
    text_init(&link);
    text_printf(&link, "</notifications?cursor=%lld&limit=%lld", (long long)next_cursor,
                (long long)query->limit.value);
    if (query->state.present) {
        text_printf(&link, "&state=%s", delivery_state_names[query->state.value]);
    }
    if (query->channel.present) {
        text_printf(&link, "&channel=%s", channel_names[query->channel.value]);
    }
    if (query->user_id.present) {
        text_printf(&link, "&user_id=%lld", (long long)query->user_id.value);
    }
    text_append_str(&link, ">; rel=\"next\"");
    if (!text_failed(&link)) {
        http_respond_header(request, "Link", link.data);
    }
    text_deinit(&link);
}

static int step_respond_page(struct op *op) {
    struct list_op *list = container_of(notify_op_of(op), struct list_op, base);
    if (list->next_cursor) {
        add_link(list->base.service.http.request, list->next_cursor);
    }
    http_respond_json(list->base.service.http.request, 200, &list->base.service.json);
    return OP_NEXT;
}

const struct op_step notify_list_steps[] = {
    {"find", step_find_page}, /* waits: store reader */
    {"respond", step_respond_page},
    {0},
};
