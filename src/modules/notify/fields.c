/* Body, query and answer rows, and what is a recipient of each channel. */
#include "notify.h"

enum {
    SUBJECT_CHARS_MAX = 200,
    MESSAGE_CHARS_MAX = 10000,
    ADDRESS_BYTES_MAX = 254,
    LOCAL_PART_BYTES_MAX = 64,
    PHONE_DIGITS_MIN = 7,
    PHONE_DIGITS_MAX = 15, /* E.164 */
    DEVICE_BYTES_MAX = 4096,
    LIST_LIMIT_MAX = 1000,
};

#define TO_DOC                                                                                     \
    "Recipient by type: an address, a phone number with country code (+4915112345678), a "         \
    "device's "                                                                                    \
    "token."

const struct body_row notification_create_rows[] = {
    {.name = "type",
     .type = BODY_ENUM,
     .offset = offsetof(struct notification_fields, type),
     .flags = BODY_REQUIRED,
     .choices = channel_names,
     .doc = "email goes through the provider in force; sms and push to the local mailbox."},
    {.name = "to",
     .type = BODY_STRING,
     .offset = offsetof(struct notification_fields, to),
     .max = DEVICE_BYTES_MAX,
     .doc = TO_DOC,
     .example_json = "\"john@example.com\""},
    {.name = "recipient",
     .type = BODY_STRING,
     .offset = offsetof(struct notification_fields, recipient),
     .max = DEVICE_BYTES_MAX,
     .doc = "The same as to."},
    {.name = "subject",
     .type = BODY_STRING,
     .offset = offsetof(struct notification_fields, subject),
     .flags = BODY_NULLABLE,
     .max = SUBJECT_CHARS_MAX,
     .doc = "One line; required for email.",
     .example_json = "\"Hello\""},
    {.name = "body",
     .type = BODY_STRING,
     .offset = offsetof(struct notification_fields, body),
     .min = 1,
     .max = MESSAGE_CHARS_MAX,
     .doc = "The text.",
     .example_json = "\"It works.\""},
    {.name = "message",
     .type = BODY_STRING,
     .offset = offsetof(struct notification_fields, message),
     .min = 1,
     .max = MESSAGE_CHARS_MAX,
     .doc = "The same as body."},
    {.name = "user_id",
     .type = BODY_INT,
     .offset = offsetof(struct notification_fields, user_id),
     .flags = BODY_NULLABLE,
     .min = 1,
     .max = INT64_MAX,
     .doc = "The user whom it is for, to find it again by."},
    {0},
};

const struct body_row notification_path_rows[] = {
    {.name = "notification_id",
     .type = BODY_INT,
     .offset = offsetof(struct notification_path, notification_id),
     .flags = BODY_REQUIRED,
     .doc = "Number of the notification.",
     .example_json = "1"},
    {0},
};

const struct body_row notification_query_rows[] = {
    {.name = "state",
     .type = BODY_ENUM,
     .offset = offsetof(struct notification_query, state),
     .choices = delivery_state_names,
     .doc = "Only those with a delivery in this state."},
    {.name = "channel",
     .type = BODY_ENUM,
     .offset = offsetof(struct notification_query, channel),
     .choices = channel_names,
     .doc = "Only those of this type."},
    {.name = "user_id",
     .type = BODY_INT,
     .offset = offsetof(struct notification_query, user_id),
     .doc = "Only those for this user."},
    {.name = "limit",
     .type = BODY_INT,
     .offset = offsetof(struct notification_query, limit),
     .min = 1,
     .max = LIST_LIMIT_MAX,
     .default_json = "100",
     .doc = "Notifications to return at most."},
    {.name = "cursor",
     .type = BODY_INT,
     .offset = offsetof(struct notification_query, cursor),
     .doc = "From the Link header of the page before: only older ones than this."},
    {0},
};

/* Answers, for OpenAPI; rows.c and providers.c write them. */
const struct body_row notification_schema_rows[] = {
    {.name = "id", .type = BODY_INT, .flags = BODY_REQUIRED},
    {.name = "type", .type = BODY_ENUM, .flags = BODY_REQUIRED, .choices = channel_names},
    {.name = "kind",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .doc = "welcome, manual, or foreign: written to the topic by another program."},
    {.name = "user_id", .type = BODY_INT, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "subject", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "message", .type = BODY_STRING, .flags = BODY_REQUIRED},
    {.name = "source",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED | BODY_NULLABLE,
     .doc = "Where its event comes from."},
    {.name = "event_id", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "trace_id", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "created_at", .type = BODY_STRING, .flags = BODY_REQUIRED, .doc = "RFC 3339, UTC."},
    {.name = "state",
     .type = BODY_ENUM,
     .flags = BODY_REQUIRED,
     .choices = delivery_state_names,
     .doc =
         "Of its delivery. in_doubt: the provider may or may not have it; it is not sent again."},
    {.name = "reason", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "deliveries",
     .type = BODY_OBJECT,
     .flags = BODY_REQUIRED,
     .doc = "Array of Delivery: one channel and one address each."},
    {0},
};

const struct body_row delivery_schema_rows[] = {
    {.name = "id", .type = BODY_INT, .flags = BODY_REQUIRED},
    {.name = "channel", .type = BODY_ENUM, .flags = BODY_REQUIRED, .choices = channel_names},
    {.name = "address", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "state", .type = BODY_ENUM, .flags = BODY_REQUIRED, .choices = delivery_state_names},
    {.name = "provider", .type = BODY_STRING, .flags = BODY_REQUIRED},
    {.name = "attempts", .type = BODY_INT, .flags = BODY_REQUIRED},
    {.name = "reason", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "provider_message_id", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "trace_id", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "updated_at", .type = BODY_STRING, .flags = BODY_REQUIRED, .doc = "RFC 3339, UTC."},
    {0},
};

const struct body_row provider_schema_rows[] = {
    {.name = "channel", .type = BODY_ENUM, .flags = BODY_REQUIRED, .choices = channel_names},
    {.name = "provider",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .example_json = "\"mailbox\""},
    {.name = "reason",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .doc = "Why this one is in force."},
    {.name = "state",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .doc = "ok, or held with the cause."},
    {.name = "url", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "from", .type = BODY_STRING, .flags = BODY_REQUIRED | BODY_NULLABLE},
    {.name = "in_flight", .type = BODY_INT, .flags = BODY_REQUIRED},
    {0},
};

/* ---- recipients ---- */

static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 5322 dot-atom: what stands before the '@', without quotes and comments. */
static bool is_local_part(const char *text, size_t size) {
    if (size == 0 || size > LOCAL_PART_BYTES_MAX || text[0] == '.' || text[size - 1] == '.') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        bool dot = text[i] == '.';
        if (!dot && !is_alphanumeric(text[i]) && !strchr("!#$%&'*+/=?^_`{|}~-", text[i])) {
            return false;
        }
        if (text[i] == 0 || (dot && text[i + 1] == '.')) {
            return false;
        }
    }
    return true;
}

/* Two labels at least, of letters, digits and inner hyphens; the last begins with a letter. */
static bool is_domain(const char *text, size_t size) {
    size_t label = 0, labels = 1;
    if (size == 0) {
        return false;
    }
    for (size_t i = 0; i <= size; i++) {
        if (i == size || text[i] == '.') {
            size_t length = i - label;
            if (length == 0 || length > 63 || text[label] == '-' || text[i - 1] == '-') {
                return false;
            }
            if (i < size) {
                label = i + 1;
                labels++;
            }
        } else if (!is_alphanumeric(text[i]) && text[i] != '-') {
            return false;
        }
    }
    return labels >= 2 && !(text[label] >= '0' && text[label] <= '9');
}

static bool is_address(struct span text) {
    const char *at = text.size ? memchr(text.data, '@', text.size) : NULL;
    const char *begin = text.data, *end = begin + text.size;
    return at && text.size <= ADDRESS_BYTES_MAX && is_local_part(begin, (size_t)(at - begin)) &&
           is_domain(at + 1, (size_t)(end - at - 1));
}

static bool is_phone(struct span text) {
    const char *in = text.data;
    if (text.size < 1 + PHONE_DIGITS_MIN || text.size > 1 + PHONE_DIGITS_MAX || in[0] != '+' ||
        in[1] == '0') {
        return false;
    }
    for (size_t i = 1; i < text.size; i++) {
        if (in[i] < '0' || in[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool is_device(struct span text) {
    const char *in = text.data;
    for (size_t i = 0; i < text.size; i++) {
        if (in[i] <= ' ' || in[i] > '~') {
            return false;
        }
    }
    return text.size > 0 && text.size <= DEVICE_BYTES_MAX;
}

const char *recipient_problem(enum channel channel, struct span recipient) {
    switch (channel) {
    case CHANNEL_EMAIL:
        return is_address(recipient) ? NULL : "value is not a valid email address";
    case CHANNEL_SMS:
        return is_phone(recipient)
                   ? NULL
                   : "value is not a phone number with country code, such as +4915112345678";
    case CHANNEL_PUSH:
        return is_device(recipient) ? NULL
                                    : "value is not a device token: visible ASCII characters";
    }
    return "unknown type";
}
