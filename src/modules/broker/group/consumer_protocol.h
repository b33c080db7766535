/*
 * What the members of a group of type "consumer" subscribe to. Their metadata is their own business
 * but for its beginning, which every version of Kafka's consumer protocol has: int16 version, array
 * of topic names.
 */
#pragma once

#include "group.h"

struct consumer_topics {
    struct hashmap names; /* values: the names themselves, as spans */
    bool known;           /* false: somebody speaks another protocol, or in a form we cannot read */
};

/** consumer_topics_collect() - of all members, by the chosen protocol; no members: known, none */
int consumer_topics_collect(const struct group *group, struct consumer_topics *topics);
void consumer_topics_deinit(struct consumer_topics *topics);
/** consumer_topics_has() - does somebody read @topic, or may somebody for all we know? */
bool consumer_topics_has(const struct consumer_topics *topics, const struct group *group,
                         struct span topic);
/** group_is_consumers() - is the group's type "consumer"? */
bool group_is_consumers(const struct group *group);
