/*
 * SendGrid's v3 API: POST {url}/v3/mail/send, one mail a request, so that outcome and mail are one
 * to one. SendGrid has no key that would make a repeated request harmless. So whatever leaves room
 * for "it may have been taken" is AMBIGUOUS, 5xx included: SendGrid does not promise that a mail it
 * answered 5xx to was not queued.
 *
 * Our ids travel in custom_args, which come back in its event webhook: evidence for what is in
 * doubt.
 */
#include "provider.h"

#include <errno.h>
#include <eventbox/base/clock.h>
#include <eventbox/base/error.h>
#include <eventbox/base/json.h>
#include <eventbox/base/utf8.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THROTTLE_DEFAULT_MS = 60 * 1000, THROTTLE_MAX_MS = 60 * 60 * 1000 };

void provider_request_deinit(struct provider_request *request) {
    text_deinit(&request->url);
    text_deinit(&request->body);
    text_deinit(&request->authorization);
}

static void write_address(struct text *out, const char *name, struct span address,
                          const char *person) {
    json_write_object(out, name);
    json_write_string(out, "email", address);
    if (person[0]) {
        json_write_string(out, "name", span_text(person));
    }
    json_write_object_end(out);
}

static void write_body(struct text *out, const struct provider_settings *settings,
                       const struct outgoing *outgoing) {
    char notification_id[24];
    snprintf(notification_id, sizeof notification_id, "%lld", (long long)outgoing->notification_id);
    json_write_object(out, NULL);
    json_write_array(out, "personalizations");
    json_write_object(out, NULL);
    json_write_array(out, "to");
    write_address(out, NULL, outgoing->address, "");
    json_write_array_end(out);
    json_write_object(out, "custom_args");
    json_write_string(out, "nid", span_text(notification_id));
    json_write_string(out, "aid", span_text(outgoing->attempt_id));
    json_write_object_end(out);
    json_write_object_end(out);
    json_write_array_end(out);
    write_address(out, "from", span_text(settings->from_address), settings->from_name);
    json_write_string(out, "subject", outgoing->subject);
    json_write_array(out, "content");
    json_write_object(out, NULL);
    json_write_string(out, "type", SPAN_LITERAL("text/plain"));
    json_write_string(out, "value", outgoing->message);
    json_write_object_end(out);
    json_write_array_end(out);
    json_write_object_end(out);
}

static int build(const struct provider_settings *settings, const struct outgoing *outgoing,
                 struct provider_request *ret_request) {
    size_t url_size = strlen(settings->url);
    text_init(&ret_request->url);
    text_init(&ret_request->body);
    text_init(&ret_request->authorization);
    while (url_size && settings->url[url_size - 1] == '/') {
        url_size--;
    }
    text_append(&ret_request->url, settings->url, url_size);
    text_append_str(&ret_request->url, "/v3/mail/send");
    text_printf(&ret_request->authorization, "Bearer %s", settings->api_key);
    write_body(&ret_request->body, settings, outgoing);
    if (text_failed(&ret_request->url) || text_failed(&ret_request->authorization) ||
        text_failed(&ret_request->body)) {
        provider_request_deinit(ret_request);
        return err_origin(-ENOMEM);
    }
    ret_request->headers[0] =
        (struct http_client_header){"Authorization", ret_request->authorization.data};
    ret_request->headers[1] = (struct http_client_header){"Content-Type", "application/json"};
    /* Without Accept the API may answer 406. */
    ret_request->headers[2] = (struct http_client_header){"Accept", "application/json"};
    ret_request->header_count = 3;
    return 0;
}

/* Text of a peer as one line of clean UTF-8. */
static void put_line(struct span text, char *out, size_t capacity) {
    size_t size = MIN(text.size, capacity / 3 - 1);
    size = utf8_clean(text.data, size, out);
    out[size] = 0;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f) {
            out[i] = ' ';
        }
    }
}

/* SendGrid's own words: {"errors":[{"message":"...","field":"..."}]}. */
static void describe(const struct http_client_answer *answer, struct outcome *outcome) {
    const struct json_limits limits = {KIB(64), 8, 1000};
    struct json *json = NULL;
    char text[200] = "";
    if (answer->body.size && json_parse(answer->body, &limits, &json, NULL) == 0) {
        const struct json *errors = json_member(json, "errors");
        const struct json *first =
            errors && json_type_of(errors) == JSON_ARRAY ? json_first(errors) : NULL;
        const struct json *message = first ? json_member(first, "message") : NULL;
        if (message && json_type_of(message) == JSON_STRING) {
            put_line(json_string(message), text, sizeof text);
        }
    }
    json_free(json);
    snprintf(outcome->reason, sizeof outcome->reason, "SendGrid answered %d%s%s", answer->status,
             text[0] ? ": " : "", text);
}

/* Digits as a number; -1 for anything else. */
static int64_t number_of(struct span text) {
    const char *in = text.data;
    int64_t value = 0;
    if (text.size == 0 || text.size > 12) {
        return -1;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (in[i] < '0' || in[i] > '9') {
            return -1;
        }
        value = value * 10 + (in[i] - '0');
    }
    return value;
}

/* Retry-After (RFC 9110 10.2.3: seconds or a date) and X-RateLimit-Reset (epoch seconds): the later
 * one. */
static int64_t throttle_ms(const struct http_client_answer *answer, int64_t now_ms) {
    int64_t until_ms = 0, seconds = number_of(answer->retry_after);
    if (seconds >= 0) {
        until_ms = now_ms + seconds * 1000;
    } else if (answer->retry_after.size) {
        char date[40];
        struct tm tm = {0};
        snprintf(date, sizeof date, "%.*s", (int)MIN(answer->retry_after.size, sizeof date - 1),
                 (const char *)answer->retry_after.data);
        if (strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm)) {
            until_ms = (int64_t)timegm(&tm) * 1000;
        }
    }
    seconds = number_of(answer->ratelimit_reset);
    if (seconds >= 0) {
        until_ms = MAX(until_ms, seconds * 1000);
    }
    if (until_ms <= now_ms) {
        return answer->retry_after.size || answer->ratelimit_reset.size ? 1000
                                                                        : THROTTLE_DEFAULT_MS;
    }
    return MIN(until_ms - now_ms, (int64_t)THROTTLE_MAX_MS);
}

static const char *remedy_of(int status) {
    switch (status) {
    case 401:
        return "check notify.sendgrid_api_key (SENDGRID_API_KEY): it is not accepted, or its "
               "credits are used up";
    case 403:
        return "verify the sender notify.sendgrid_from (SENDGRID_FROM) at SendGrid, and that the "
               "key may send mail";
    default:
        return "check notify.sendgrid_url: this address does not serve SendGrid's v3 API";
    }
}

static enum outcome_class class_of_status(int status, int on_5xx) {
    if (status == 202) {
        return OUTCOME_ACCEPTED;
    }
    if (status >= 500) {
        return on_5xx == PROVIDER_5XX_TRANSIENT ? OUTCOME_TRANSIENT : OUTCOME_AMBIGUOUS;
    }
    switch (status) {
    case 401:
    case 403:
    case 404:
    case 405:
    case 406:
        return OUTCOME_PROVIDER_CONFIG;
    case 408: /* the request did not arrive as a whole */
        return OUTCOME_TRANSIENT;
    case 429:
        return OUTCOME_THROTTLED;
    default:
        break;
    }
    if (status >= 400) {
        return OUTCOME_PERMANENT;
    }
    /* 3xx is not followed: nothing was taken. 200 may be a captive portal or sandbox mode: who
     * knows. */
    return status >= 300 ? OUTCOME_PROVIDER_CONFIG : OUTCOME_AMBIGUOUS;
}

static void classify(const struct provider_settings *settings,
                     const struct http_client_answer *answer, int64_t now_ms,
                     struct outcome *ret_outcome) {
    *ret_outcome = (struct outcome){.class = OUTCOME_AMBIGUOUS};
    switch (answer->outcome) {
    case HTTP_CLIENT_ANSWERED:
        ret_outcome->http_status = answer->status;
        ret_outcome->class = class_of_status(answer->status, settings->on_5xx);
        break;
    case HTTP_CLIENT_NOT_SENT:
        ret_outcome->class = OUTCOME_TRANSIENT;
        break;
    case HTTP_CLIENT_TLS:
        ret_outcome->class = OUTCOME_PROVIDER_CONFIG;
        ret_outcome->remedy =
            "check notify.sendgrid_url and the machine's certificates: the server's was refused";
        break;
    case HTTP_CLIENT_UNKNOWN:
        break;
    }
    if (answer->outcome == HTTP_CLIENT_ANSWERED) {
        describe(answer, ret_outcome);
    } else {
        put_line(span_text(answer->error), ret_outcome->reason, sizeof ret_outcome->reason);
    }
    if (ret_outcome->class == OUTCOME_ACCEPTED) {
        ret_outcome->reason[0] = 0;
        put_line(answer->message_id, ret_outcome->message_id, sizeof ret_outcome->message_id);
    } else if (ret_outcome->class == OUTCOME_THROTTLED) {
        ret_outcome->hold_ms = throttle_ms(answer, now_ms);
    } else if (ret_outcome->class == OUTCOME_PROVIDER_CONFIG && !ret_outcome->remedy) {
        ret_outcome->remedy = remedy_of(answer->status);
    }
}

const struct provider provider_sendgrid = {
    .name = "sendgrid", .build = build, .classify = classify};
