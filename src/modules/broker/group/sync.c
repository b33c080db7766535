/*
 * SyncGroup: the leader brings what each member is to do, everybody else waits for it; and what
 * happens when a write of the group's state has ended.
 */
#include "group_private.h"

#include <stdlib.h>

static enum kafka_error sync_check(struct group *group, const struct group_sync *sync,
                                   struct group_member **ret_member) {
    enum kafka_error error =
        group_member_check(group, sync->member_id, sync->instance_id, ret_member);
    if (error != KAFKA_NONE) {
        return error;
    }
    if (sync->generation != group->generation) {
        return KAFKA_ILLEGAL_GENERATION;
    }
    if ((sync->protocol_type.data && group->protocol_type &&
         !span_equal(sync->protocol_type, span_text(group->protocol_type))) ||
        (sync->protocol_name.data && group->protocol &&
         !span_equal(sync->protocol_name, span_text(group->protocol)))) {
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    }
    switch (group->state) {
    case GROUP_EMPTY:
    case GROUP_DEAD:
        return KAFKA_UNKNOWN_MEMBER_ID;
    case GROUP_PREPARING_REBALANCE:
        return KAFKA_REBALANCE_IN_PROGRESS;
    case GROUP_COMPLETING_REBALANCE:
    case GROUP_STABLE:
        break;
    }
    return KAFKA_NONE;
}

static void assignments_clear(struct group *group) {
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        buf_unref(member->assignment);
        member->assignment = NULL;
    }
}

/* Who is not named gets nothing; who is named twice, the last. false without memory. */
static bool assignments_set(struct group *group, const struct group_sync *sync) {
    assignments_clear(group);
    for (size_t i = 0; i < sync->assignment_count; i++) {
        const struct group_assignment *given = &sync->assignments[i];
        struct group_member *member = group_member_find(group, given->member_id);
        if (!member) {
            continue;
        }
        buf_unref(member->assignment);
        member->assignment = given->assignment.size > 0
                                 ? buf_copy(given->assignment.data, given->assignment.size)
                                 : NULL;
        if (given->assignment.size > 0 && !member->assignment) {
            return false;
        }
    }
    return true;
}

static void sync_received(struct group_member *member) {
    struct group *group = member->group;
    group_member_set_owes_sync(member, false);
    group_member_heard(member);
    if (group->owes_sync_count == 0) {
        timer_stop(&group->rebalance);
    }
}

void group_handle_sync(struct group *group, const struct group_sync *sync,
                       struct group_call *call) {
    struct group_member *member = NULL;
    enum kafka_error error = sync_check(group, sync, &member);
    call->parked_at = call->member = NULL;
    call->member_id = "";
    if (error != KAFKA_NONE) {
        call->answer(call, error);
        return;
    }
    sync_received(member);
    if (group->state == GROUP_STABLE) {
        group_answer(&call, member, KAFKA_NONE);
        return;
    }
    /* A client that asks again has given up on its former request. */
    group_answer(&member->sync_call, member, KAFKA_REBALANCE_IN_PROGRESS);
    call->parked_at = member;
    member->sync_call = call;
    if (group_member_leads(member) && group->persist_ticket == 0) {
        group->persist_ticket = ++group->last_ticket;
        if (assignments_set(group, sync)) {
            group->hooks->persist(group, group->persist_ticket);
        } else {
            group_persisted(group, group->persist_ticket, -ENOMEM);
        }
    }
}

/* ---- a write has ended ---- */

enum kafka_error group_write_error(int status) {
    switch (status) {
    case 0:
        return KAFKA_NONE;
    case TOPIC_E_TOO_LARGE:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    default:
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
}

static void assignment_written(struct group *group, int status) {
    group->persist_ticket = 0;
    if (status == 0) {
        group_set_state(group, GROUP_STABLE);
    } else {
        assignments_clear(group);
    }
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (member->sync_call) {
            group_member_heard(member);
            group_answer(&member->sync_call, member, group_write_error(status));
        }
    }
    if (status != 0) {
        group_prepare_rebalance(group);
    }
}

/* A static member's new id is durable, or will not be: then it joins again and gets another. */
static void return_written(struct group_member *member, int status) {
    struct group_call *call = member->join_call;
    member->join_ticket = 0;
    group_member_set_awaiting(member, false);
    if (call) {
        call->returned = true;
        call->former_leader = member->former_leader;
        group_answer(&member->join_call, status == 0 ? member : NULL, group_write_error(status));
    }
}

void group_persisted(struct group *group, uint64_t ticket, int status) {
    if (ticket == 0) {
        return;
    }
    if (ticket == group->persist_ticket) {
        if (group->state == GROUP_COMPLETING_REBALANCE) {
            assignment_written(group, status);
        }
        return;
    }
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (member->join_ticket == ticket) {
            return_written(member, status);
            return;
        }
    }
}
