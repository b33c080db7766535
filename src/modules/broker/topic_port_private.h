/* Between topic_port.c (appends, topics) and subscription.c. */
#pragma once

#include "topic_port.h"

struct broker_topics {
    struct topic_port port;
    struct loop *loop;
    struct topic_log *log;
    struct coordinator *coordinator;
};

int broker_topics_subscribe(struct topic_port *port, const struct topic_subscription_config *config,
                            struct topic_subscription **ret_subscription);
void broker_topics_next(struct topic_subscription *subscription, int64_t offset);
void broker_topics_unsubscribe(struct topic_subscription *subscription);
