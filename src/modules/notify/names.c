/* Names of channels, states and outcomes, as they stand in rows and answers. */
#include "notify.h"

const char *const channel_names[] = {"email", "sms", "push", NULL};
const char *const delivery_state_names[] = {"queued", "sending",  "sent", "retrying",
                                            "failed", "in_doubt", "dead", NULL};
const char *const outcome_class_names[] = {"accepted",  "permanent",       "transient",
                                           "throttled", "provider_config", "ambiguous"};
