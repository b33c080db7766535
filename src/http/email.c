/* Addresses (RFC 5321, and a narrower set than it allows): ASCII, dot-atom local part, letters,
 * digits and hyphens in the domain. */
#include "rows.h"

#include <string.h>

enum { EMAIL_MAX = 254, EMAIL_LOCAL_MAX = 64, EMAIL_DOMAIN_MAX = 253, EMAIL_LABEL_MAX = 63 };

static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* RFC 5322 3.2.3 atext, or the dots between atoms. */
static bool local_valid(struct span local) {
    const char *data = local.data;
    for (size_t i = 0; i < local.size; i++) {
        if (!is_alnum(data[i]) && !(data[i] && strchr("!#$%&'*+-/=?^_`{|}~.", data[i]))) {
            return false;
        }
    }
    return true;
}

static bool domain_valid(struct span domain) {
    const char *data = domain.data;
    for (size_t i = 0; i < domain.size; i++) {
        if (!is_alnum(data[i]) && data[i] != '-' && data[i] != '.') {
            return false;
        }
    }
    return true;
}

static bool has_pair(struct span text, char a, char b) {
    const char *data = text.data;
    for (size_t i = 1; i < text.size; i++) {
        if (data[i - 1] == a && data[i] == b) {
            return true;
        }
    }
    return false;
}

static const char *local_check(struct span local) {
    const char *data = local.data;
    if (!local.size) {
        return "There must be something before the @-sign.";
    }
    if (local.size > EMAIL_LOCAL_MAX) {
        return "The email address is too long before the @-sign.";
    }
    if (!local_valid(local)) {
        return "The email address contains invalid characters before the @-sign.";
    }
    if (data[0] == '.') {
        return "An email address cannot start with a period.";
    }
    if (data[local.size - 1] == '.') {
        return "An email address cannot have a period immediately before the @-sign.";
    }
    return has_pair(local, '.', '.') ? "An email address cannot have two periods in a row." : NULL;
}

static bool labels_too_long(struct span domain) {
    const char *data = domain.data;
    size_t size = 0;
    for (size_t i = 0; i < domain.size; i++) {
        size = data[i] == '.' ? 0 : size + 1;
        if (size > EMAIL_LABEL_MAX) {
            return true;
        }
    }
    return false;
}

static const char *domain_check(struct span domain) {
    const char *data = domain.data;
    if (!domain.size) {
        return "There must be something after the @-sign.";
    }
    if (data[0] == '[') {
        return "A bracketed IP address after the @-sign is not allowed here.";
    }
    if (!domain_valid(domain)) {
        return "The part after the @-sign contains invalid characters.";
    }
    if (data[0] == '.') {
        return "An email address cannot have a period immediately after the @-sign.";
    }
    if (data[domain.size - 1] == '.') {
        return "An email address cannot end with a period.";
    }
    if (has_pair(domain, '.', '.')) {
        return "An email address cannot have two periods in a row.";
    }
    if (data[0] == '-') {
        return "An email address cannot have a hyphen immediately after the @-sign.";
    }
    if (data[domain.size - 1] == '-') {
        return "An email address cannot end with a hyphen.";
    }
    if (has_pair(domain, '.', '-') || has_pair(domain, '-', '.')) {
        return "An email address cannot have a period and a hyphen next to each other.";
    }
    if (domain.size > EMAIL_DOMAIN_MAX || labels_too_long(domain)) {
        return "The email address is too long after the @-sign.";
    }
    if (!memchr(data, '.', domain.size)) {
        return "The part after the @-sign is not valid. It should have a period.";
    }
    char last = data[domain.size - 1];
    if (!((last | 32) >= 'a' && (last | 32) <= 'z')) {
        return "The part after the @-sign is not valid. It is not within a valid top-level domain.";
    }
    return NULL;
}

const char *email_check(struct span email) {
    const char *at = email.size ? memchr(email.data, '@', email.size) : NULL;
    if (!at) {
        return "An email address must have an @-sign.";
    }
    struct span local = span_of(email.data, (size_t)(at - (const char *)email.data));
    struct span domain = span_of(at + 1, email.size - local.size - 1);
    const char *wrong = local_check(local);
    if (!wrong) {
        wrong = domain_check(domain);
    }
    if (!wrong && email.size > EMAIL_MAX) {
        wrong = "The email address is too long.";
    }
    return wrong;
}
