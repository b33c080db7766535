/* What is a recipient of each channel. */
#include "notify.h"

enum {
    ADDRESS_BYTES_MAX = 254,
    LOCAL_PART_BYTES_MAX = 64,
    PHONE_DIGITS_MIN = 7,
    PHONE_DIGITS_MAX = 15, /* E.164 */
};

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
    return text.size > 0 && text.size <= RECIPIENT_BYTES_MAX;
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
