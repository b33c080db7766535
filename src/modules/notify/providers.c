/* GET /providers: who delivers what now, and why. */
#include "notify.h"

static const char *state_of(const struct notify *notify) {
    const struct sender *sender = &notify->sender;
    if (sender->config_refusals) {
        return "held: the provider refuses our settings; the log has the remedy";
    }
    return sender->held_until_ns > loop_now_ns(notify->context.loop)
               ? "held: the provider asked to wait"
               : "ok";
}

static void write_optional(struct text *out, const char *name, const char *value) {
    if (value) {
        json_write_string(out, name, span_text(value));
    } else {
        json_write_null(out, name);
    }
}

void notify_handle_providers(struct http_request *request) {
    const struct notify *notify = http_request_userdata(request);
    struct text json;
    text_init(&json);
    json_write_array(&json, NULL);
    for (int channel = 0; channel_names[channel]; channel++) {
        const struct provider *provider = notify_provider_of(notify, (enum channel)channel);
        bool remote = !provider->same_transaction;
        json_write_object(&json, NULL);
        json_write_string(&json, "channel", span_text(channel_names[channel]));
        json_write_string(&json, "provider", span_text(provider->name));
        json_write_string(&json, "reason",
                          span_text(channel == CHANNEL_EMAIL ? notify->engine_reason
                                                             : "no provider for this type yet"));
        json_write_string(&json, "state", span_text(remote ? state_of(notify) : "ok"));
        write_optional(&json, "url", remote ? notify->sendgrid_url : NULL);
        write_optional(&json, "from", remote ? notify->sendgrid_from : NULL);
        json_write_int(&json, "in_flight", remote ? (int64_t)notify->sender.flight_count : 0);
        json_write_object_end(&json);
    }
    json_write_array_end(&json);
    http_respond_json(request, 200, &json);
}
