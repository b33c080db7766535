/*
 * JoinGroup: who may come in, who is told to come again, and whether a join changes anything.
 *
 * A join without a member id is a newcomer: a dynamic one gets an id to join with (KIP-394), a
 * static one takes the place that its instance id has (KIP-345). A join with a member id is a
 * member's. It rebalances when it changes what the leader would assign from: the leader's always
 * does, a follower's when its metadata is another.
 */
#include "group_private.h"

#include <stdlib.h>
#include <string.h>

enum kafka_error group_join_check(const struct group_limits *limits,
                                  const struct group_join *join) {
    size_t bytes = join->client_id.size + join->instance_id.size + join->protocol_type.size;
    if (join->session_timeout_ms < limits->session_min_ms ||
        join->session_timeout_ms > limits->session_max_ms) {
        return KAFKA_INVALID_SESSION_TIMEOUT;
    }
    for (size_t i = 0; i < join->protocol_count; i++) {
        bytes += join->protocols[i].name.size + join->protocols[i].metadata.size;
    }
    return bytes > limits->member_bytes_max || join->protocol_count > GROUP_PROTOCOLS_MAX
               ? KAFKA_GROUP_MAX_SIZE_REACHED
               : KAFKA_NONE;
}

/* A join fits when its type is the group's and some protocol of it is known to all members. */
static bool join_fits(const struct group *group, const struct group_join *join) {
    if (join->protocol_type.size == 0 || join->protocol_count == 0) {
        return false;
    }
    if (group->state == GROUP_EMPTY) {
        return true;
    }
    if (!group->protocol_type ||
        !span_equal(span_text(group->protocol_type), join->protocol_type)) {
        return false;
    }
    for (size_t i = 0; i < join->protocol_count; i++) {
        if (group_protocol_known_to_all(group, join->protocols[i].name)) {
            return true;
        }
    }
    return false;
}

/*
 * Is there room (KIP-389)? Who has joined the barrier has its place; in a barrier those who come
 * back late count as newcomers, so that a group that has become too large shrinks.
 */
static bool join_has_room(const struct group *group, const struct group_join *join,
                          const struct group_member *member) {
    unsigned max = group->limits->members_max;
    if (join->member_id.size == 0 && group->pending_count >= max) {
        return false; /* ids that were given out are bounded like the members */
    }
    switch (group->state) {
    case GROUP_EMPTY:
    case GROUP_DEAD:
        return true;
    case GROUP_PREPARING_REBALANCE:
        return (member && member->awaiting_join) || group->awaiting_join_count < max;
    case GROUP_COMPLETING_REBALANCE:
    case GROUP_STABLE:
        break;
    }
    return member || group->member_count < max;
}

/* ---- answers ---- */

/* @member_id: the id that the client said, or empty when it is of no use any more. */
static void join_refuse(struct group_call *call, struct span member_id, enum kafka_error error) {
    char *id = group_text(member_id);
    call->member_id = id ? id : "";
    call->answer(call, error);
    free(id);
}

static void join_answer_now(struct group_member *member, struct group_call *call) {
    group_member_heard(member);
    group_answer(&call, member, KAFKA_NONE);
}

static void join_park(struct group_member *member, struct group_call *call) {
    /* A client that asks again has given up on its former request. */
    group_answer(&member->join_call, member, KAFKA_REBALANCE_IN_PROGRESS);
    call->parked_at = member;
    member->join_call = call;
    group_member_set_awaiting(member, true);
    if (!member->is_new) {
        group_member_heard(member);
    }
}

/* ---- newcomers ---- */

static void join_add(struct group *group, const struct group_join *join, struct group_call *call) {
    struct group_member *member = group_member_add(group, join, join->member_id);
    if (!member) {
        join_refuse(call, join->member_id, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    member->is_new = true;
    timer_start_ms(&member->session, GROUP_NEW_MEMBER_JOIN_MS);
    group->joined_while_delayed = true;
    join_park(member, call);
    group_rebalance(group);
}

/*
 * In Stable a return goes unnoticed as long as the group would choose the same protocol: the member
 * has its old assignment, and the answer waits until the new id is durable, since the old one is
 * fenced from now on. During CompletingRebalance the leader may already assign to the old id, so
 * it must rebalance (KAFKA-9801).
 */
static void join_return_static(struct group *group, struct group_member *member,
                               const struct group_join *join, struct group_call *call) {
    char *leader = group->leader ? strdup(group->leader->member_id) : NULL;
    if (!group_member_update(member, join)) {
        free(leader);
        join_refuse(call, SPAN_NULL, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    group_answer(&member->join_call, member, KAFKA_FENCED_INSTANCE_ID);
    group_answer(&member->sync_call, member, KAFKA_FENCED_INSTANCE_ID);
    if (!group_member_rename(member)) {
        free(leader);
        join_refuse(call, SPAN_NULL, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    list_remove(&member->link);
    list_push_back(&group->members, &member->link);
    free(member->former_leader);
    member->former_leader = leader;
    join_park(member, call);
    if (group->state == GROUP_STABLE && span_equal(group_vote(group), span_text(group->protocol))) {
        member->join_ticket = ++group->last_ticket;
        group->hooks->persist(group, member->join_ticket);
    } else {
        group_rebalance(group);
    }
}

static void join_newcomer(struct group *group, const struct group_join *join,
                          struct group_call *call) {
    struct group_member *there =
        join->instance_id.data ? group_member_find_static(group, join->instance_id) : NULL;
    if (!join_fits(group, join)) {
        join_refuse(call, SPAN_NULL, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    } else if (there) {
        join_return_static(group, there, join, call);
    } else if (join->require_member_id && !join->instance_id.data) {
        group_pending_add(group, join, call);
    } else {
        join_add(group, join, call);
    }
}

/* ---- members ---- */

static bool same_protocols(const struct group_member *member, const struct group_join *join) {
    if (member->protocol_count != join->protocol_count) {
        return false;
    }
    for (size_t i = 0; i < join->protocol_count; i++) {
        if (!span_equal(member->protocols[i].name, join->protocols[i].name) ||
            !span_equal(member->protocols[i].metadata, join->protocols[i].metadata)) {
            return false;
        }
    }
    return true;
}

static void join_again(struct group *group, struct group_member *member,
                       const struct group_join *join, struct group_call *call) {
    bool unchanged = same_protocols(member, join);
    if (group->state == GROUP_EMPTY) { /* it must begin anew */
        join_refuse(call, join->member_id, KAFKA_UNKNOWN_MEMBER_ID);
    } else if ((group->state == GROUP_COMPLETING_REBALANCE && unchanged) ||
               (group->state == GROUP_STABLE && unchanged && !group_member_leads(member))) {
        join_answer_now(member, call); /* it may have missed the answer: nothing is new */
    } else if (!group_member_update(member, join)) {
        join_refuse(call, join->member_id, KAFKA_COORDINATOR_NOT_AVAILABLE);
    } else {
        join_park(member, call);
        group_rebalance(group);
    }
}

static void join_member(struct group *group, const struct group_join *join,
                        struct group_call *call) {
    struct group_member *member = NULL;
    bool pending = hashmap_find(&group->pending_by_id, join->member_id) != NULL;
    if (!join_fits(group, join)) {
        join_refuse(call, join->member_id, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    } else if (pending && join->instance_id.data) { /* that id was given to a dynamic member */
        join_refuse(call, SPAN_NULL, KAFKA_UNKNOWN_SERVER_ERROR);
    } else if (pending) {
        group_pending_take(group, join->member_id);
        join_add(group, join, call);
    } else {
        enum kafka_error error =
            group_member_check(group, join->member_id, join->instance_id, &member);
        if (error != KAFKA_NONE) {
            join_refuse(call, join->member_id, error);
        } else {
            join_again(group, member, join, call);
        }
    }
}

void group_handle_join(struct group *group, const struct group_join *join,
                       struct group_call *call) {
    struct group_member *member = group_member_find(group, join->member_id);
    call->parked_at = call->member = NULL;
    call->returned = false;
    if (group->state == GROUP_DEAD) {
        join_refuse(call, join->member_id, KAFKA_COORDINATOR_NOT_AVAILABLE);
    } else if (!join_has_room(group, join, member)) {
        if (member) {
            group_member_remove(group, member);
            group_membership_changed(group);
        }
        join_refuse(call, SPAN_NULL, KAFKA_GROUP_MAX_SIZE_REACHED);
    } else if (join->member_id.size == 0) {
        join_newcomer(group, join, call);
    } else {
        join_member(group, join, call);
    }
}
