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
 * Nothing here walks the members for each member: ids, instance ids and protocol names are found in
 * maps, and how many have joined or synced is counted, so a rebalance costs what its members cost.
 *
 * Source: KIP-62 (session and rebalance timeouts), KIP-134 (initial delay), KIP-345 (static
 * members), KIP-389 (size), KIP-394 (member id required), KIP-814 (returning leader); Kafka 4.3.1
 * answer by answer in tests/compat/test_group_protocol.py.
 */
#pragma once

#include "kafka_error.h"

#include <eventbox/base/buf.h>
#include <eventbox/base/hashmap.h>
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
    unsigned members_max;    /* of one group */
    size_t member_bytes_max; /* ids, protocols and their metadata of one member */
};
#define GROUP_LIMITS_DEFAULT                                                                       \
    ((struct group_limits){                                                                        \
        .session_min_ms = 6000,                                                                    \
        .session_max_ms = 1800000,                                                                 \
        .initial_rebalance_delay_ms = 0,                                                           \
        .members_max = INT32_MAX,                                                                  \
        .member_bytes_max = MIB(1),                                                                \
    })

/* Memory that all groups with their members and offsets share, whatever their number; what does not
 * fit is refused and counted. */
struct group_budget {
    size_t used_bytes, max_bytes;
    uint64_t refused;
    void (*on_refused)(struct group_budget *budget); /* optional; must not change any group */
};
/** group_budget_has_room() - false, and counted as a refusal, when @bytes would not fit */
bool group_budget_has_room(struct group_budget *budget, size_t bytes);

/* Protocols that one member may name. */
enum { GROUP_PROTOCOLS_MAX = 250 };

struct group;
struct group_member;

/* A parked JoinGroup or SyncGroup, embedded in its owner until answered or canceled. */
struct group_call {
    struct group_member *parked_at; /* NULL: nowhere */
    /* For answer(), valid during it: */
    struct group_member *member; /* in an answer without error */
    const char *member_id;       /* in an answer to a join: the id to tell the client */
    /* In an answer to a static member that came back while nothing changes: nobody is to assign
     * anew. JoinGroup 9 can say so (KIP-814); before it, the leader is told that somebody else
     * leads: @former_leader, the leader's id when the join came in. */
    bool returned;
    const char *former_leader;
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
    size_t counted_bytes;   /* taken from the budget */
    bool awaiting_join;     /* has joined the rebalance that is being prepared */
    bool is_new;            /* has never had an answer to its join: cannot send heartbeats */
    bool owes_sync;         /* has had the answer to its join, has not sent SyncGroup yet */
    struct group_call *join_call, *sync_call;
    uint64_t join_ticket; /* the join waits for this write (a static member came back); 0: none */
    char *former_leader;  /* for that answer */
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
    enum group_state state, previous_state;
    struct loop *loop;
    struct random *random;
    const struct group_limits *limits;
    struct group_budget *budget;
    size_t counted_bytes; /* all that is taken from the budget for this group */
    const struct group_hooks *hooks;
    void *owner; /* the coordinator */

    char *protocol_type;         /* NULL until the first join */
    char *protocol;              /* chosen by vote; NULL while Empty */
    struct group_member *leader; /* NULL while Empty */
    int32_t generation;          /* never goes back */
    int64_t state_since_ms;
    struct list members;
    struct hashmap members_by_id, members_by_instance;
    struct hashmap protocols; /* how many members support each name */
    struct list pending;      /* member ids given out with MEMBER_ID_REQUIRED */
    struct hashmap pending_by_id;
    unsigned member_count, pending_count, awaiting_join_count, owes_sync_count;
    struct timer rebalance;    /* end of the join barrier, or of the wait for everybody's sync */
    int64_t initial_left_ms;   /* how much longer the first barrier may grow */
    int64_t initial_step_ms;   /* of the delay under way */
    bool joined_while_delayed; /* somebody came in the delay under way */
    uint64_t persist_ticket;   /* of the write of an assignment under way; 0: none */
    uint64_t last_ticket;
};

int group_new(struct loop *loop, struct random *random, const struct group_limits *limits,
              struct group_budget *budget, const struct group_hooks *hooks, void *owner,
              struct span id, struct group **ret_group);
/** group_count() - @bytes more belong to the group, whether they fit or not */
void group_count(struct group *group, size_t bytes);
/** group_take() - the same, but false, and counted as a refusal, when they do not fit */
bool group_take(struct group *group, size_t bytes);
void group_give(struct group *group, size_t bytes);
/** group_is_unused() - it never had a member, nor gave out a member id that may still join */
bool group_is_unused(const struct group *group);
/** group_free() - answers what is parked with COORDINATOR_NOT_AVAILABLE; accepts NULL */
void group_free(struct group *group);

/** group_join_check() - what a join is refused for before there need be a group */
enum kafka_error group_join_check(const struct group_limits *limits, const struct group_join *join);
/** group_join_bytes() - what a new member with that join takes from the budget at the most */
size_t group_join_bytes(const struct group_join *join);
/* The protocol's requests. Joins and syncs answer through @call, maybe before the return. */
void group_handle_join(struct group *group, const struct group_join *join, struct group_call *call);
void group_handle_sync(struct group *group, const struct group_sync *sync, struct group_call *call);
enum kafka_error group_handle_heartbeat(struct group *group, struct span member_id,
                                        struct span instance_id, int32_t generation);
enum kafka_error group_handle_leave(struct group *group, struct span member_id,
                                    struct span instance_id);
/** group_check_commit() - may this member commit offsets now? Counts as a heartbeat */
enum kafka_error group_check_commit(struct group *group, struct span member_id,
                                    struct span instance_id, int32_t generation);
/** group_cancel_call() - the peer of a parked call is gone; the member stays until its session ends
 */
void group_cancel_call(struct group_call *call);
/** group_persisted() - the write that persist() began has ended; @status 0 when it is durable */
void group_persisted(struct group *group, uint64_t ticket, int status);
/** group_write_error() - what a client is told of a write with that end: that it may work later,
 * or, when it never will, that */
enum kafka_error group_write_error(int status);
/** group_mark_dead() - Dead: members and parked calls get UNKNOWN_MEMBER_ID */
void group_mark_dead(struct group *group);

/** group_restore_member() - after a restart: a member as it was. NULL without memory */
struct group_member *group_restore_member(struct group *group, const struct group_join *join,
                                          struct span assignment);
/** group_forget_member() - take a member out without a rebalance, for a later record of the same
 * group while loading */
void group_forget_member(struct group *group, struct group_member *member);
/** group_restored() - all records are read: each member has a full session timeout to be heard of;
 * a group that has become too large for its limit rebalances */
void group_restored(struct group *group);

struct group_member *group_member_find(struct group *group, struct span member_id);
/** group_member_metadata() - the member's metadata of the chosen protocol */
struct span group_member_metadata(const struct group_member *member);
struct span group_member_assignment(const struct group_member *member);
static inline bool group_member_leads(const struct group_member *member) {
    return member->group->leader == member;
}
const char *group_state_name(enum group_state state); /* "Stable", as Kafka's tools print it */
