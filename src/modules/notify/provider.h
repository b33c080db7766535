/*
 * A provider is an adapter with two pure functions: what request says this, and what does that
 * answer mean. Everything with a state - claims, retries, lanes - is in sender.c and the same for
 * all.
 */
#pragma once

#include <eventbox/base/text.h>
#include <eventbox/http/client.h>

/* What an attempt came to; README.md says what follows from each. */
enum outcome_class {
    OUTCOME_ACCEPTED,  /* the provider has it */
    OUTCOME_PERMANENT, /* refused for good */
    OUTCOME_TRANSIENT, /* proven not taken: try again */
    OUTCOME_THROTTLED, /* not taken: nothing leaves before a given time; the attempt is not counted
                        */
    OUTCOME_PROVIDER_CONFIG, /* our settings are refused: hold the lane; the attempt is not counted
                              */
    OUTCOME_AMBIGUOUS,       /* it may have been taken: nobody may send it again */
};
extern const char *const outcome_class_names[];

struct outcome {
    enum outcome_class class;
    int http_status;      /* 0: none came */
    int64_t hold_ms;      /* THROTTLED: how long nothing may leave */
    char reason[256];     /* for people; cleaned text of the provider where there is some */
    const char *remedy;   /* PROVIDER_CONFIG: what the operator can do; static */
    char message_id[256]; /* ACCEPTED: the provider's own; "" when it gave none */
};

/* One delivery, ready to leave. */
struct outgoing {
    int64_t notification_id;
    const char *attempt_id;
    struct span address;
    struct span subject;
    struct span message;
};

enum { PROVIDER_HEADERS_MAX = 4 };

struct provider_request {
    struct text url, body, authorization;
    struct http_client_header headers[PROVIDER_HEADERS_MAX];
    size_t header_count;
};
void provider_request_deinit(struct provider_request *request);

enum provider_5xx { PROVIDER_5XX_DOUBT, PROVIDER_5XX_TRANSIENT };

/* What adapters need to know; borrowed from the module's settings. */
struct provider_settings {
    const char *url;
    const char *api_key;
    const char *from_address, *from_name; /* name may be "" */
    int on_5xx;
};

struct provider {
    const char *name;
    /* Deliveries are done in the transaction that accepts them; build and classify are absent. */
    bool same_transaction;
    /* Fills @ret_request, which the caller deinits. Return: 0; -ENOMEM. */
    int (*build)(const struct provider_settings *settings, const struct outgoing *outgoing,
                 struct provider_request *ret_request);
    void (*classify)(const struct provider_settings *settings,
                     const struct http_client_answer *answer, int64_t now_ms,
                     struct outcome *ret_outcome);
};

extern const struct provider provider_sendgrid, provider_mailbox;
