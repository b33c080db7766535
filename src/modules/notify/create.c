/* POST /notifications: one notification by hand. 202 leaves when it is durable; the mail follows.
 */
#include "notify.h"

#include <stdio.h>

static struct span first_of(const struct body_string *one, const struct body_string *other) {
    const struct body_string *given = one->present && !one->null ? one : other;
    return given->present && !given->null ? span_of(given->data, given->size) : SPAN_NULL;
}

static bool missing(struct http_request *request, const char *field, struct span value) {
    if (value.size) {
        return false;
    }
    body_error_add(http_request_errors(request), "body", field, "missing", "Field required", NULL,
                   SPAN_NULL);
    return true;
}

static const char *subject_problem(struct span subject) {
    const unsigned char *in = subject.data;
    for (size_t i = 0; i < subject.size; i++) {
        if (in[i] < 0x20 || in[i] == 0x7f) {
            return "a subject is one line without control characters";
        }
    }
    return NULL;
}

static int step_validate(struct op *op) {
    struct notify_op *base = notify_op_begin(op);
    struct create *create = container_of(base, struct create, base);
    struct http_request *request = base->service.http.request;
    const struct notification_fields *fields = http_request_body(request);
    enum channel channel = (enum channel)fields->type.value;
    struct span to = first_of(&fields->to, &fields->recipient);
    struct span message = first_of(&fields->body, &fields->message);
    struct span subject = first_of(&fields->subject, &fields->subject);

    bool wrong = missing(request, "to", to);
    wrong |= missing(request, "body", message);
    if (channel == CHANNEL_EMAIL) {
        wrong |= missing(request, "subject", subject);
    }
    const char *problem = to.size ? recipient_problem(channel, to) : NULL;
    if (problem) {
        body_error_add(http_request_errors(request), "body", "to", "value_error", problem, NULL,
                       SPAN_NULL);
    }
    const char *unclean = subject_problem(subject);
    if (unclean) {
        body_error_add(http_request_errors(request), "body", "subject", "value_error", unclean,
                       NULL, SPAN_NULL);
    }
    if (wrong || problem || unclean) {
        http_respond_validation(request);
        return OP_DONE;
    }
    create->wanted = (struct notification_new){
        .kind = "manual",
        .channel = channel,
        .has_user_id = fields->user_id.present && !fields->user_id.null,
        .user_id = fields->user_id.value,
        .address = to,
        .subject = subject,
        .message = message,
        .trace = http_request_trace(request),
        .provider = notify_provider_of(base->notify, channel),
        .now_ms = clock_wall_ms(base->notify->context.clock),
    };
    return OP_NEXT;
}

static int insert(struct store_tx *tx, struct op *op) {
    struct notify_op *base = notify_op_of(op);
    struct create *create = container_of(base, struct create, base);
    text_clear(&base->service.json);
    int status = notification_insert(tx, &create->wanted, &create->id);
    return status ? err_trace(status)
                  : err_trace(notification_write_json(tx, create->id, &base->service.json));
}

static int step_insert(struct op *op) {
    struct notify_op *base = notify_op_of(op);
    base->service.job.job.grows = true;
    return op_wait_store_write(op, base->notify->context.store, &base->service.job, insert);
}

static void log_created(const struct create *create) {
    const struct notify *notify = create->base.notify;
    const struct notification_new *made = &create->wanted;
    struct log_field fields[4];
    size_t count = 0;
    if (made->has_user_id) {
        fields[count++] = LOG_INT("user_id", made->user_id);
    }
    fields[count++] = LOG_INT("notification_id", create->id);
    fields[count++] = LOG_TEXT("channel", channel_names[made->channel]);
    fields[count++] = LOG_TEXT("provider", made->provider->name);
    log_write(notify->context.log, LOG_NOTIFY_ACCEPTED, made->trace, fields, count);
    metric_inc(&notify->context.metrics[NOTIFY_M_ACCEPTED]);
    if (made->provider->same_transaction) {
        log_write(notify->context.log, LOG_NOTIFY_SENT, made->trace, fields, count);
        metric_inc(&notify->context.metrics[NOTIFY_M_SENT]);
    }
}

static int step_respond(struct op *op) {
    struct notify_op *base = notify_op_of(op);
    struct create *create = container_of(base, struct create, base);
    char location[48];
    log_created(create);
    sender_wake(&base->notify->sender);
    snprintf(location, sizeof location, "/notifications/%lld", (long long)create->id);
    http_respond_header(base->service.http.request, "Location", location);
    http_respond_json(base->service.http.request, 202, &base->service.json);
    return OP_NEXT;
}

const struct op_step notify_create_steps[] = {
    {"validate", step_validate},
    {"insert", step_insert}, /* waits: store writer */
    {"respond", step_respond},
    {0},
};
