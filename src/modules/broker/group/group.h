/*
 * One consumer group of the classic protocol: members, the join barrier, generations, assignments.
 *
 * The state machine knows no bytes of the protocol and no files: requests come as struct group_call
 * (parked until answered), and what must be durable goes through the one hook `persist`. All of it
 * runs on the loop; a group has one owner, so no request ever sees half a rebalance.
 *
 *   Empty --join--> PreparingRebalance --all joined--> CompletingRebalance --leader synced,
 * durable--> Stable any --join, leave or expiry that changes the membership--> PreparingRebalance
 *   PreparingRebalance --nobody left--> Empty        any --deleted--> Dead
 *
 * Source: research/kafka.md 2, G40 to G47; KIP-62, KIP-345 (static members), KIP-394 (member id
 * required), KIP-814 (returning leader).
 */
#pragma once

#include "kafka_error.h"

#include <eventbox/base/buf.h>
#include <eventbox/base/list.h>
#include <eventbox/base/random.h>
#include <eventbox/base/span.h>
#include <eventbox/loop/timer.h>

enum group_state {
    GROUP_EMPTY,
    GROUP_PREPARING_REBALANCE,
    GROUP_COMPLETING_REBALANCE,
    GROUP_STABLE,
    GROUP_DEAD,
};

/* Bounds and delays; settings of the broker. */
struct group_limits {
    int64_t session_min_ms, session_max_ms;
    int64_t initial_rebalance_delay_ms;
    unsigned members_max; /* of one group */
    unsigned groups_max;
};
#define GROUP_LIMITS_DEFAULT ((struct group_limits){6000, 1800000, 0, 500, 1000})

struct group;
struct group_member;

/* A parked JoinGroup or SyncGroup, embedded in its owner until answered or canceled. */
struct group_call {
    struct group *group;         /* where it is parked; NULL: nowhere */
    struct group_member *member; /* in an answer without error */
    const char
        *member_id; /* in an answer to a join: the id to tell the client; valid during answer() */
    void (*answer)(struct group_call *call, enum kafka_error error);
};

struct group_protocol {
    struct span name;
    struct span metadata;
};

/* What a JoinGroup says; borrowed for the call. */
struct group_join {
    struct span member_id, instance_id; /* instance_id.data NULL: a dynamic member */
    struct span client_id, client_host, protocol_type;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    bool require_member_id;                 /* JoinGroup 4 and later (KIP-394) */
    const struct group_protocol *protocols; /* in order of preference */
    size_t protocol_count;
};

struct group_assignment {
    struct span member_id;
    struct span assignment;
};

/* What a SyncGroup says; borrowed for the call. */
struct group_sync {
    struct span member_id, instance_id;
    int32_t generation;
    struct span protocol_type, protocol_name; /* data NULL: not said */
    const struct group_assignment *assignments;
    size_t assignment_count;
};

struct group_member {
    struct list link; /* in group.members, in order of joining */
    struct group *group;
    char *member_id;
    char *instance_id; /* NULL: dynamic */
    char *client_id;
    char *client_host;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct group_protocol *protocols; /* one allocation with its bytes */
    size_t protocol_count;
    struct buf *assignment; /* of the current generation; NULL: empty */
    bool awaiting_join;     /* has joined the rebalance that is being prepared */
    struct group_call *join_call, *sync_call;
    struct timer session;
};

struct group_hooks {
    /* Make the present generation durable, then call group_persisted() with @ticket (0: nobody
     * waits). */
    void (*persist)(struct group *group, uint64_t ticket);
    /* The group has reached a new state; for metrics and the log. Optional. */
    void (*on_state)(struct group *group, enum group_state state);
};

struct group {
    char *id;
    enum group_state state;
    struct loop *loop;
    struct random *random;
    const struct group_limits *limits;
    const struct group_hooks *hooks;
    void *owner; /* the coordinator */

    char *protocol_type; /* NULL until the first join */
    char *protocol;      /* chosen by vote; NULL while Empty */
    char *leader;        /* member id; NULL while Empty */
    int32_t generation;  /* never goes back */
    int64_t state_since_ms;
    struct list members;
    struct list pending; /* member ids given out with MEMBER_ID_REQUIRED */
    unsigned member_count, pending_count;
    struct timer rebalance;  /* end of the join barrier, or of the wait for the leader's sync */
    uint64_t persist_ticket; /* of the write under way; 0: none */
};

int group_new(struct loop *loop, struct random *random, const struct group_limits *limits,
              const struct group_hooks *hooks, void *owner, struct span id,
              struct group **ret_group);
/** group_free() - answers what is parked with COORDINATOR_NOT_AVAILABLE; accepts NULL */
void group_free(struct group *group);

/* The protocol's requests. Joins and syncs answer through @call, maybe before the return. */
void group_handle_join(struct group *group, const struct group_join *join, struct group_call *call);
void group_handle_sync(struct group *group, const struct group_sync *sync, struct group_call *call);
enum kafka_error group_handle_heartbeat(struct group *group, struct span member_id,
                                        struct span instance_id, int32_t generation);
enum kafka_error group_handle_leave(struct group *group, struct span member_id,
                                    struct span instance_id);
/** group_check_commit() - may this member commit offsets now (G43)? Counts as a heartbeat */
enum kafka_error group_check_commit(struct group *group, struct span member_id,
                                    struct span instance_id, int32_t generation);
/** group_cancel_call() - the peer of a parked call is gone; the member stays until its session ends
 */
void group_cancel_call(struct group_call *call);
/** group_persisted() - the write that persist() began has ended; @status 0 when it is durable */
void group_persisted(struct group *group, uint64_t ticket, int status);
/** group_mark_dead() - Dead: members and parked calls get UNKNOWN_MEMBER_ID */
void group_mark_dead(struct group *group);

/** group_restore_member() - after a restart: a member as it was, with a full session timeout to be
 * heard of */
struct group_member *group_restore_member(struct group *group, const struct group_join *join,
                                          struct span assignment);

/** group_forget_member() - take a member out without a rebalance, for a later record of the same
 * group while loading */
void group_forget_member(struct group *group, struct group_member *member);

struct group_member *group_member_find(struct group *group, struct span member_id);
/** group_member_metadata() - the member's metadata of the chosen protocol */
struct span group_member_metadata(const struct group_member *member);
struct span group_member_assignment(const struct group_member *member);
const char *group_state_name(enum group_state state); /* "Stable", as Kafka's tools print it */
