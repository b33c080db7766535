/*
 * The topic port (eventbox/loop/topic.h) over our own topic log: in process, no socket. Records of
 * a set become one batch for each partition and one atomic append, in the reserved share of journal
 * and memory, since what modules append is what frees space.
 */
#pragma once

#include "coordinator.h"
#include "topic_log.h"

#include <eventbox/loop/topic.h>

struct broker_topics;

int broker_topics_new(struct loop *loop, struct broker_topics **ret_topics);
/** broker_topics_attach() - the log and the coordinator, once they are there; before it nobody uses
 * the port */
void broker_topics_attach(struct broker_topics *topics, struct topic_log *log,
                          struct coordinator *coordinator);
void broker_topics_free(
    struct broker_topics *topics); /* every subscription has ended; accepts NULL */
struct topic_port *broker_topics_port(struct broker_topics *topics);
/** broker_topics_partition() - where a keyed record goes: Java's murmur2, as stock producers do */
int32_t broker_topics_partition(struct span key, int32_t partition_count);
