/*
 * A generation, from the first join to the durable assignment.
 *
 * The join barrier: everybody who is in the group has the longest rebalance timeout of the members
 * to join again. It ends when all have, or at the timeout without those who have not (static
 * members stay: their session decides). Then the generation rises, the protocol is chosen by vote,
 * and every parked join is answered, the leader's with the list of members.
 *
 * The sync barrier: followers wait until the leader brings the assignment, the assignment is
 * written to __consumer_offsets, and only after that is durable the group is Stable and the syncs
 * are answered. So a generation that any client has seen is never given out again.
 */
#include "group_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- choosing the protocol ---- */

static bool member_supports(const struct group_member *member, struct span protocol) {
    for (size_t i = 0; i < member->protocol_count; i++) {
        if (span_equal(member->protocols[i].name, protocol)) {
            return true;
        }
    }
    return false;
}

static bool all_support(const struct group *group, struct span protocol,
                        const struct group_member *but) {
    list_for_each(link, &group->members) {
        const struct group_member *member = list_entry(link, struct group_member, link);
        if (member != but && !member_supports(member, protocol)) {
            return false;
        }
    }
    return true;
}

/* A join fits when its type is the group's and some protocol of it is known to all others. */
static bool join_fits(const struct group *group, const struct group_join *join,
                      const struct group_member *self) {
    if (group->member_count == (self ? 1U : 0U)) {
        return true;
    }
    if (!group->protocol_type ||
        !span_equal(span_text(group->protocol_type), join->protocol_type)) {
        return false;
    }
    for (size_t i = 0; i < join->protocol_count; i++) {
        if (all_support(group, join->protocols[i].name, self)) {
            return true;
        }
    }
    return false;
}

static struct span member_vote(const struct group *group, const struct group_member *member) {
    for (size_t i = 0; i < member->protocol_count; i++) {
        if (all_support(group, member->protocols[i].name, NULL)) {
            return member->protocols[i].name;
        }
    }
    return SPAN_NULL;
}

/* Each member votes for the first of its protocols that all support; the first name with most votes
 * wins. */
static struct span group_vote(const struct group *group) {
    struct span winner = SPAN_NULL;
    unsigned winner_votes = 0;
    list_for_each(link, &group->members) {
        struct span candidate = member_vote(group, list_entry(link, struct group_member, link));
        unsigned votes = 0;
        list_for_each(other, &group->members) {
            votes += span_equal(candidate,
                                member_vote(group, list_entry(other, struct group_member, link)));
        }
        if (votes > winner_votes) {
            winner = candidate;
            winner_votes = votes;
        }
    }
    return winner;
}

/* ---- the join barrier ---- */

static int64_t rebalance_timeout_ms(const struct group *group) {
    int64_t longest = 0;
    list_for_each(link, &group->members) {
        longest = MAX(longest, list_entry(link, struct group_member, link)->rebalance_timeout_ms);
    }
    return longest;
}

static void prepare_rebalance(struct group *group) {
    bool first = group->state == GROUP_EMPTY;
    group->persist_ticket = 0; /* an assignment on its way to disk belongs to the past */
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (member->sync_call) {
            group_member_heard(member);
            group_answer(&member->sync_call, member, KAFKA_REBALANCE_IN_PROGRESS);
        }
    }
    group_set_state(group, GROUP_PREPARING_REBALANCE);
    if (first && group->limits->initial_rebalance_delay_ms > 0) {
        timer_start_ms(&group->rebalance, group->limits->initial_rebalance_delay_ms);
        return;
    }
    timer_start_ms(&group->rebalance, rebalance_timeout_ms(group));
    group_try_complete_join(group);
}

static bool all_joined(const struct group *group) {
    list_for_each(link, &group->members) {
        if (!list_entry(link, struct group_member, link)->awaiting_join) {
            return false;
        }
    }
    return group->pending_count == 0;
}

static void leader_set(struct group *group, const struct group_member *member) {
    char *leader = strdup(member->member_id);
    if (leader) {
        free(group->leader);
        group->leader = leader;
    }
}

static void group_become_empty(struct group *group) {
    timer_stop(&group->rebalance);
    free(group->protocol);
    free(group->leader);
    group->protocol = group->leader = NULL;
    group->generation++;
    group_set_state(group, GROUP_EMPTY);
    group->persist_ticket = 0;
    group->hooks->persist(group, 0);
}

static void complete_join(struct group *group) {
    bool leader_joined = false;
    list_for_each_safe(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (!member->awaiting_join && !member->instance_id) {
            group_member_remove(group, member);
        }
    }
    if (group->member_count == 0) {
        group_become_empty(group);
        return;
    }
    struct group_member *joined = NULL;
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        joined = !joined && member->awaiting_join ? member : joined;
        leader_joined |=
            member->awaiting_join && group->leader && strcmp(group->leader, member->member_id) == 0;
    }
    if (!joined) { /* only static members that are away: their sessions decide */
        timer_start_ms(&group->rebalance, rebalance_timeout_ms(group));
        return;
    }
    if (!leader_joined) {
        leader_set(group, joined);
    }
    struct span protocol = group_vote(group);
    free(group->protocol);
    group->protocol = strndup(protocol.data ? protocol.data : "", protocol.size);
    group->generation++;
    group_set_state(group, GROUP_COMPLETING_REBALANCE);
    timer_start_ms(&group->rebalance, rebalance_timeout_ms(group));
    list_for_each_safe(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        member->awaiting_join = false;
        group_member_heard(member);
        group_answer(&member->join_call, member, KAFKA_NONE);
    }
}

void group_try_complete_join(struct group *group) {
    bool delayed = group->generation == 0 && group->limits->initial_rebalance_delay_ms > 0;
    if (group->state == GROUP_PREPARING_REBALANCE && !delayed && all_joined(group)) {
        timer_stop(&group->rebalance);
        complete_join(group);
    }
}

void group_membership_changed(struct group *group) {
    switch (group->state) {
    case GROUP_STABLE:
    case GROUP_COMPLETING_REBALANCE:
        prepare_rebalance(group);
        break;
    case GROUP_PREPARING_REBALANCE:
        group_try_complete_join(group);
        break;
    case GROUP_EMPTY:
    case GROUP_DEAD:
        break;
    }
}

/* The barrier's end: those who have not joined are out; a leader that never synced takes its turn's
 * members along. */
void group_on_rebalance_timer(struct timer *timer) {
    struct group *group = container_of(timer, struct group, rebalance);
    if (group->state == GROUP_PREPARING_REBALANCE) {
        complete_join(group);
    } else if (group->state == GROUP_COMPLETING_REBALANCE && group->persist_ticket == 0) {
        list_for_each_safe(link, &group->members) {
            struct group_member *member = list_entry(link, struct group_member, link);
            if (!member->sync_call && !member->instance_id) {
                group_member_remove(group, member);
            }
        }
        prepare_rebalance(group);
    }
}

/* ---- JoinGroup ---- */

static void join_park(struct group_member *member, struct group_call *call) {
    call->group = member->group;
    /* A client that asks again has given up on its former request. */
    group_answer(&member->join_call, member, KAFKA_UNKNOWN_MEMBER_ID);
    timer_stop(&member->session);
    member->join_call = call;
    member->awaiting_join = true;
    group_member_heard(member);
}

static void join_answer_now(struct group_member *member, struct group_call *call) {
    call->group = member->group;
    group_member_heard(member);
    struct group_call *parked = call;
    group_answer(&parked, member, KAFKA_NONE);
}

static void join_refuse(struct group_call *call, const struct group_join *join,
                        enum kafka_error error) {
    char id[256];
    size_t size = MIN(join->member_id.size, sizeof id - 1);
    if (size > 0) {
        memcpy(id, join->member_id.data, size);
    }
    id[size] = 0;
    call->member = NULL;
    call->member_id = id;
    call->answer(call, error);
}

static void join_rebalance(struct group *group, struct group_member *member,
                           struct group_call *call) {
    join_park(member, call);
    if (group->state == GROUP_PREPARING_REBALANCE) {
        group_try_complete_join(group);
    } else {
        prepare_rebalance(group);
    }
}

static void join_new(struct group *group, const struct group_join *join, struct span member_id,
                     struct group_call *call) {
    if (group->member_count >= group->limits->members_max) {
        join_refuse(call, join, KAFKA_GROUP_MAX_SIZE_REACHED);
        return;
    }
    if (group->member_count == 0) { /* an empty group takes the type of its first member */
        free(group->protocol_type);
        group->protocol_type = NULL;
    }
    struct group_member *member = group_member_add(group, join, member_id);
    if (!member) {
        join_refuse(call, join, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    join_rebalance(group, member, call);
}

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

static bool is_leader(const struct group_member *member) {
    return member->group->leader && strcmp(member->group->leader, member->member_id) == 0;
}

/*
 * A static member came back under its instance id (KIP-345): it gets a new member id, the old one
 * is fenced. In Stable with unchanged metadata nothing else changes; during CompletingRebalance it
 * must rebalance (KAFKA-9801).
 */
static void join_replace_static(struct group *group, struct group_member *member,
                                const struct group_join *join, struct group_call *call) {
    bool was_leader = is_leader(member);
    bool unchanged = same_protocols(member, join);
    struct group_member *replacement;
    struct buf *assignment = member->assignment ? buf_ref(member->assignment) : NULL;
    group_answer(&member->join_call, member, KAFKA_FENCED_INSTANCE_ID);
    group_answer(&member->sync_call, member, KAFKA_FENCED_INSTANCE_ID);
    replacement = group_member_add(group, join, SPAN_NULL);
    if (!replacement) {
        buf_unref(assignment);
        join_refuse(call, join, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    replacement->assignment = assignment;
    replacement->awaiting_join = member->awaiting_join;
    if (was_leader) {
        leader_set(group, replacement);
    }
    group_member_remove(group, member);
    if (group->state == GROUP_STABLE && unchanged) {
        group->hooks->persist(group, 0); /* the new id is remembered; nobody waits for it */
        join_answer_now(replacement, call);
    } else {
        join_rebalance(group, replacement, call);
    }
}

static void join_again(struct group *group, struct group_member *member,
                       const struct group_join *join, struct group_call *call) {
    bool unchanged = same_protocols(member, join);
    if (!join_fits(group, join, member)) {
        join_refuse(call, join, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
        return;
    }
    if (!group_member_update(member, join)) {
        join_refuse(call, join, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    bool settled = (group->state == GROUP_COMPLETING_REBALANCE && unchanged) ||
                   (group->state == GROUP_STABLE && unchanged && !is_leader(member));
    if (settled) {
        join_answer_now(member, call);
    } else {
        join_rebalance(group, member, call);
    }
}

void group_handle_join(struct group *group, const struct group_join *join,
                       struct group_call *call) {
    call->group = NULL;
    call->member = NULL;
    struct group_member *member = NULL;
    if (group->state == GROUP_DEAD) {
        join_refuse(call, join, KAFKA_COORDINATOR_NOT_AVAILABLE);
    } else if (join->session_timeout_ms < group->limits->session_min_ms ||
               join->session_timeout_ms > group->limits->session_max_ms) {
        join_refuse(call, join, KAFKA_INVALID_SESSION_TIMEOUT);
    } else if (join->protocol_count == 0 || join->protocol_type.size == 0) {
        join_refuse(call, join, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    } else if (join->instance_id.data &&
               (member = group_member_find_static(group, join->instance_id))) {
        if (join->member_id.size > 0 &&
            !span_equal(span_text(member->member_id), join->member_id)) {
            join_refuse(call, join, KAFKA_FENCED_INSTANCE_ID);
        } else if (join->member_id.size > 0) {
            join_again(group, member, join, call);
        } else if (!join_fits(group, join, member)) {
            join_refuse(call, join, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
        } else {
            join_replace_static(group, member, join, call);
        }
    } else if (join->member_id.size > 0 && (member = group_member_find(group, join->member_id))) {
        join_again(group, member, join, call);
    } else if (!join_fits(group, join, NULL)) {
        join_refuse(call, join, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    } else if (join->member_id.size > 0 && !group_pending_take(group, join->member_id)) {
        join_refuse(call, join, KAFKA_UNKNOWN_MEMBER_ID);
    } else if (join->member_id.size == 0 && join->require_member_id && !join->instance_id.data) {
        if (group->member_count + group->pending_count >= group->limits->members_max) {
            join_refuse(call, join, KAFKA_GROUP_MAX_SIZE_REACHED);
        } else {
            group_pending_add(group, join, call);
        }
    } else {
        join_new(group, join, join->member_id, call);
    }
}

/* ---- SyncGroup ---- */

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
    if ((sync->protocol_type.data &&
         !span_equal(sync->protocol_type, span_text(group->protocol_type))) ||
        (sync->protocol_name.data &&
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

static void assignments_set(struct group *group, const struct group_sync *sync) {
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        buf_unref(member->assignment);
        member->assignment = NULL;
        for (size_t i = 0; i < sync->assignment_count; i++) {
            const struct group_assignment *given = &sync->assignments[i];
            if (span_equal(given->member_id, span_text(member->member_id))) {
                member->assignment = buf_copy(given->assignment.data, given->assignment.size);
                break;
            }
        }
    }
}

void group_handle_sync(struct group *group, const struct group_sync *sync,
                       struct group_call *call) {
    static uint64_t tickets;
    struct group_member *member = NULL;
    enum kafka_error error = sync_check(group, sync, &member);
    call->group = NULL;
    call->member = NULL;
    call->member_id = "";
    if (error != KAFKA_NONE) {
        call->answer(call, error);
        return;
    }
    call->group = group;
    group_member_heard(member);
    if (group->state == GROUP_STABLE) {
        struct group_call *parked = call;
        group_answer(&parked, member, KAFKA_NONE);
        return;
    }
    group_answer(&member->sync_call, member, KAFKA_UNKNOWN_MEMBER_ID);
    member->sync_call = call;
    if (is_leader(member) && group->persist_ticket == 0) {
        assignments_set(group, sync);
        group->persist_ticket = ++tickets;
        group->hooks->persist(group, group->persist_ticket);
    }
}

void group_persisted(struct group *group, uint64_t ticket, int status) {
    if (ticket == 0 || ticket != group->persist_ticket ||
        group->state != GROUP_COMPLETING_REBALANCE) {
        return;
    }
    group->persist_ticket = 0;
    enum kafka_error error = status == 0 ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (status == 0) {
        timer_stop(&group->rebalance);
        group_set_state(group, GROUP_STABLE);
    }
    list_for_each_safe(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        group_member_heard(member);
        group_answer(&member->sync_call, member, error);
    }
    if (status != 0) {
        prepare_rebalance(group);
    }
}
