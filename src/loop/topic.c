/* The thin wrappers of the topic log's port. */
#include <eventbox/loop/topic.h>

int topic_declare(struct topic_port *port, const struct topic_declaration *declaration,
                  void (*done)(void *userdata, int status), void *userdata) {
    return port->ops->declare(port, declaration, done, userdata);
}

int topic_append(struct topic_port *port, struct topic_append *append) {
    return port->ops->append(port, append);
}

int topic_subscribe(struct topic_port *port, const struct topic_subscription_config *config,
                    struct topic_subscription **ret_subscription) {
    return port->ops->subscribe(port, config, ret_subscription);
}

void topic_subscription_next(struct topic_subscription *subscription, int64_t offset) {
    subscription->port->ops->next(subscription, offset);
}

void topic_unsubscribe(struct topic_subscription *subscription) {
    if (subscription) {
        subscription->port->ops->unsubscribe(subscription);
    }
}

int topic_info(struct topic_port *port, const char *topic, int32_t partition,
               struct topic_info *ret_info) {
    return port->ops->info(port, topic, partition, ret_info);
}

int topic_commit(struct topic_port *port, const char *group, const char *topic, int32_t partition,
                 int64_t offset) {
    return port->ops->commit(port, group, topic, partition, offset);
}
