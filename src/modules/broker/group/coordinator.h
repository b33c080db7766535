/*
 * The group coordinator: every group of this node, their committed offsets, and the topic
 * __consumer_offsets that both are kept in. Loads after the listeners are up and answers
 * COORDINATOR_LOAD_IN_PROGRESS meanwhile. All of it runs on the loop.
 *
 * Promise: an offset is answered as committed, and a generation's assignment is handed out, after
 * the frame with their record is durable; what OffsetFetch returns was durable.
 */
#pragma once

#include "group.h"
#include "handler.h"
#include "offset_records.h"
#include "topic_log.h"

struct coordinator;

struct coordinator_config {
    struct loop *loop;
    struct random *random;
    struct topic_log *log;
    struct group_limits limits;
    int32_t offsets_partitions; /* of __consumer_offsets when it is made: 50, as in Kafka */
    size_t metadata_max;        /* UTF-16 units of one committed offset's metadata: 4096 */
    size_t memory_bytes;        /* of groups, members and offsets together */
    int64_t retention_ms;       /* of offsets, after the group is Empty */
    int64_t retention_check_ms;
    /* A group has become Stable or Empty. Optional. */
    void (*on_group)(void *userdata, const struct group *group);
    /* Something was refused for want of memory; must not change any group. Optional. */
    void (*on_full)(void *userdata);
    void *userdata;
};

struct coordinator_stats {
    unsigned groups;
    uint64_t commits, rebalances, expired, refused;
    size_t memory_bytes, memory_max_bytes;
    bool loading;
};

int coordinator_new(const struct coordinator_config *config, struct coordinator **ret_coordinator);
/** coordinator_start() - begin to load; returns at once */
void coordinator_start(struct coordinator *coordinator);
/** coordinator_free() - parked requests are answered; appends under way must have ended (the log is
 * stopped) */
void coordinator_free(struct coordinator *coordinator);
/** coordinator_handlers() - JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch,
 *  DescribeGroups, ListGroups, DeleteGroups, OffsetDelete; for api/ */
struct kafka_handlers coordinator_handlers(struct coordinator *coordinator);
/** coordinator_prepare() - make __consumer_offsets if it is not there (FindCoordinator does so).
 * Return 0 or as topic_log_create() */
int coordinator_prepare(struct coordinator *coordinator);
/** coordinator_commit() - mirror an in-process consumer's position; best effort, errors are
 * returned and harmless */
int coordinator_commit(struct coordinator *coordinator, struct span group, struct span topic,
                       int32_t partition, int64_t offset);
/** coordinator_drop_topic() - a topic was deleted: forget its committed offsets, durably */
void coordinator_drop_topic(struct coordinator *coordinator, struct span topic);
/** coordinator_largest() - the group that takes the most memory, NULL when there is none. It looks
 * at all of them: for a line that is seldom written */
const struct group *coordinator_largest(const struct coordinator *coordinator);
void coordinator_stats(const struct coordinator *coordinator, struct coordinator_stats *ret_stats);
