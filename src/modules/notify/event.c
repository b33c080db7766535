/*
 * What a record asks for. Nothing here touches the store or the network; everything a peer wrote is
 * copied into the batch's arena, since the record is gone when the subscription's callback returns.
 *
 * users.events carries CloudEvents in binary mode: ce_type says what happened, (ce_source, ce_id)
 * is the key by which a repeated event is known, and the value has the user with name and address.
 * Registrations of this store are acted on; all else moves the offset. `notification` carries the
 * original's sentences: ours are known by the relay's origin header and were acted on already, and
 * whatever another program writes there becomes an entry of the local mailbox. So another program's
 * user 1 never mails ours.
 */
#include "notify.h"

#include <errno.h>
#include <eventbox/base/utf8.h>
#include <stdio.h>

#define TYPE_SUFFIX_CREATED ".user_created"

static struct span header_of(const struct topic_message *message, const char *name) {
    for (size_t i = 0; i < message->header_count; i++) {
        if (span_equal(message->headers[i].name, span_text(name))) {
            return message->headers[i].value;
        }
    }
    return SPAN_NULL;
}

static struct span keep(struct arena *arena, struct span bytes) {
    return bytes.data ? span_of(arena_dup(arena, bytes.data, bytes.size), bytes.size) : SPAN_NULL;
}

/* One line of clean text: control characters become spaces. NULL when the arena is full. */
static struct span keep_line(struct arena *arena, struct span text, size_t max) {
    size_t size = utf8_cut(text.data, text.size, max);
    char *out = arena_alloc(arena, 3 * size + 1);
    if (!out) {
        return SPAN_NULL;
    }
    size = utf8_clean(text.data, size, out);
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f) {
            out[i] = ' ';
        }
    }
    return span_of(out, size);
}

static bool ends_with(struct span text, const char *suffix) {
    size_t size = strlen(suffix);
    return text.size >= size &&
           memcmp((const char *)text.data + text.size - size, suffix, size) == 0;
}

static void digest_of(const struct topic_message *message, struct event *event) {
    uint8_t digests[2][SHA256_BYTES];
    crypto_sha256(message->key, digests[0]);
    crypto_sha256(message->value, digests[1]);
    crypto_sha256(span_of(digests, sizeof digests), event->digest);
}

/* The inbox's key: the event's own id, or its place in the log. */
static void identify(const struct event_context *context, const struct topic_message *message,
                     struct arena *arena, struct event *event) {
    enum { ID_MAX = 256 };
    struct span source = header_of(message, "ce_source"), id = header_of(message, "ce_id");
    char topic_id[UUID_TEXT_SIZE];
    if (source.size && id.size && source.size <= ID_MAX && id.size <= ID_MAX &&
        utf8_valid(source.data, source.size) && utf8_valid(id.data, id.size)) {
        event->source = keep(arena, source);
        event->event_id = keep(arena, id);
        return;
    }
    event->weak = true;
    uuid_format(&context->topic_id, topic_id);
    event->source = span_text(arena_printf(arena, "log:%s:%s", context->topic, topic_id));
    event->event_id = span_text(arena_printf(arena, "%lld", (long long)message->offset));
}

static int poison(const struct topic_message *message, struct arena *arena, struct event *event,
                  const char *error) {
    struct text headers;
    event->action = EVENT_POISON;
    event->error = error;
    event->key = keep(arena, message->key);
    event->value = keep(
        arena, span_of(message->value.data, MIN(message->value.size, (size_t)EVENT_RAW_BYTES_MAX)));
    text_init(&headers);
    json_write_array(&headers, NULL);
    for (size_t i = 0; i < message->header_count; i++) {
        json_write_array(&headers, NULL);
        json_write_string(&headers, NULL, message->headers[i].name);
        json_write_string(&headers, NULL, message->headers[i].value);
        json_write_array_end(&headers);
    }
    json_write_array_end(&headers);
    event->headers = keep(arena, text_span(&headers));
    bool full = text_failed(&headers) || !event->headers.data ||
                (message->key.data && !event->key.data) ||
                (message->value.data && !event->value.data);
    text_deinit(&headers);
    return full ? err_origin(-ENOMEM) : 0;
}

/* The members that a welcome needs. */
struct registration {
    int64_t user_id;
    struct span username, full_name, address;
};

static const char *read_registration(const struct json *json,
                                     struct registration *ret_registration) {
    const struct json *user_id = json_member(json, "user_id"), *user = json_member(json, "user");
    const struct json *address = user ? json_member(user, "email") : NULL;
    const struct json *username = user ? json_member(user, "username") : NULL;
    const struct json *full_name = user ? json_member(user, "full_name") : NULL;
    if (!user_id || json_type_of(user_id) != JSON_INT || json_int(user_id) <= 0) {
        return "data has no user_id";
    }
    if (!username || json_type_of(username) != JSON_STRING) {
        return "data has no user.username";
    }
    if (!address || json_type_of(address) != JSON_STRING ||
        recipient_problem(CHANNEL_EMAIL, json_string(address))) {
        return "data has no user.email that mail can go to";
    }
    *ret_registration = (struct registration){
        .user_id = json_int(user_id),
        .username = json_string(username),
        .address = json_string(address),
    };
    if (full_name && json_type_of(full_name) == JSON_STRING && json_string(full_name).size) {
        ret_registration->full_name = json_string(full_name);
    }
    return NULL;
}

static int welcome(const struct event_context *context, const struct registration *registration,
                   bool ours, struct arena *arena, struct event *event) {
    struct span username = keep_line(arena, registration->username, 100);
    struct span name =
        registration->full_name.data ? keep_line(arena, registration->full_name, 400) : username;
    event->action =
        ours || context->foreign_ids == NOTIFY_FOREIGN_TRUST ? EVENT_WELCOME : EVENT_FOREIGN;
    event->has_user_id = event->action == EVENT_WELCOME;
    event->user_id = registration->user_id;
    if (!username.data || !name.data) {
        return err_origin(-ENOMEM);
    }
    event->subject =
        span_text(arena_printf(arena, "Welcome, %.*s", (int)name.size, (const char *)name.data));
    event->message = span_text(
        arena_printf(arena, "Hello %.*s,\n\nyour account %.*s has been created.\n", (int)name.size,
                     (const char *)name.data, (int)username.size, (const char *)username.data));
    if (event->action == EVENT_WELCOME) {
        event->address = keep(arena, registration->address);
        /* One welcome a user, whatever the number of events that tell of it. */
        event->dedupe_key =
            span_text(ours ? arena_printf(arena, "welcome:%lld", (long long)registration->user_id)
                           : arena_printf(arena, "welcome:%.*s:%lld", (int)event->source.size,
                                          (const char *)event->source.data,
                                          (long long)registration->user_id));
    }
    return event->subject.data && event->message.data &&
                   (event->action == EVENT_FOREIGN ||
                    (event->address.data && event->dedupe_key.data))
               ? 0
               : err_origin(-ENOMEM);
}

static int decode_cloud_event(const struct event_context *context,
                              const struct topic_message *message, bool ours, struct arena *arena,
                              struct event *event) {
    struct span type = header_of(message, "ce_type");
    struct registration registration;
    struct json *json = NULL;
    if (!type.size || event->weak) {
        return poison(message, arena, event,
                      "not a CloudEvent: ce_type, ce_source or ce_id is missing");
    }
    if (!ends_with(type, TYPE_SUFFIX_CREATED)) {
        event->action = EVENT_ADVANCE;
        return 0;
    }
    int status = json_parse(message->value, &JSON_LIMITS_DEFAULT, &json, NULL);
    if (status < 0) {
        return err_trace(status);
    }
    if (status > 0) {
        return poison(message, arena, event, "data is not JSON");
    }
    const char *error = read_registration(json, &registration);
    status = error ? poison(message, arena, event, error)
                   : welcome(context, &registration, ours, arena, event);
    json_free(json);
    return err_trace(status);
}

/* "User created with ID: 123": the number, when @foreign_ids says that it means a user here. */
static void read_sentence(const struct event_context *context, struct span value,
                          struct event *event) {
    const char *text = value.data;
    size_t digits = 0;
    int64_t id = 0, scale = 1;
    while (digits < value.size && digits < 18 && text[value.size - 1 - digits] >= '0' &&
           text[value.size - 1 - digits] <= '9') {
        id += scale * (text[value.size - 1 - digits] - '0');
        scale *= 10;
        digits++;
    }
    event->has_user_id = digits && context->foreign_ids == NOTIFY_FOREIGN_TRUST;
    event->user_id = event->has_user_id ? id : 0;
}

static int decode_sentence(const struct event_context *context, const struct topic_message *message,
                           bool ours, struct arena *arena, struct event *event) {
    if (ours) {
        event->action = EVENT_ADVANCE;
        return 0;
    }
    if (!message->value.data) {
        return poison(message, arena, event, "the value is null");
    }
    if (message->value.size > EVENT_TEXT_BYTES_MAX) {
        return poison(message, arena, event, "the value is too large for a notification");
    }
    if (!utf8_valid(message->value.data, message->value.size)) {
        return poison(message, arena, event, "the value is not UTF-8 text");
    }
    event->action = EVENT_FOREIGN;
    event->subject =
        message->key.size ? keep_line(arena, message->key, 200) : SPAN_LITERAL("notification");
    event->message = keep(arena, message->value);
    read_sentence(context, message->value, event);
    return event->subject.data && event->message.data ? 0 : err_origin(-ENOMEM);
}

int event_decode(const struct event_context *context, const struct topic_message *message,
                 struct arena *arena, struct event *ret_event) {
    bool ours = span_equal(header_of(message, "eventbox-origin"), span_text(context->origin));
    *ret_event = (struct event){.offset = message->offset};
    ret_event->has_trace = trace_parse(header_of(message, "traceparent"), &ret_event->trace);
    digest_of(message, ret_event);
    identify(context, message, arena, ret_event);
    if (!ret_event->source.data || !ret_event->event_id.data) {
        return err_origin(-ENOMEM);
    }
    return context->cloud_events ? decode_cloud_event(context, message, ours, arena, ret_event)
                                 : decode_sentence(context, message, ours, arena, ret_event);
}
