/*
 * A generation, from the first join to the durable assignment.
 *
 * The join barrier: everybody who is in the group has the longest rebalance timeout of the members
 * to join again. It ends when all have, or at the timeout without those who have not (static
 * members stay: their session decides). Then the generation rises, the protocol is chosen by vote,
 * and every parked join is answered, the leader's with the list of members. An empty group may be
 * told to wait a little for more members before its first generation (KIP-134); each that comes
 * extends that.
 *
 * The sync barrier (sync.c): followers wait until the leader brings the assignment, the assignment
 * is written to __consumer_offsets, and only after that is durable the group is Stable and the
 * syncs are answered. So a generation whose assignment anybody has is never given out again. Who
 * has not sent its sync by the rebalance timeout is out, the leader included.
 *
 * One timer serves both: there is a join barrier or people who owe their sync, never both.
 */
#include "group_private.h"
#include "java_map.h"

#include <stdlib.h>
#include <string.h>

/* ---- choosing the protocol ---- */

/* The first of the member's protocols that all know. */
static struct span member_vote(const struct group_member *member) {
    for (size_t i = 0; i < member->protocol_count; i++) {
        if (group_protocol_known_to_all(member->group, member->protocols[i].name)) {
            return member->protocols[i].name;
        }
    }
    return SPAN_NULL;
}

/* Every candidate is known to the first member, so its list is where the votes are counted. Of
 * equally many Kafka takes the one that a Java map of the names with a vote gives first. */
struct span group_vote(const struct group *group) {
    unsigned votes[GROUP_PROTOCOLS_MAX] = {0};
    int32_t names = 0;
    const struct group_member *first = list_entry(group->members.next, struct group_member, link);
    const struct group_protocol *protocols = first->protocols;
    size_t winner = 0;
    list_for_each(link, &group->members) {
        struct span choice = member_vote(list_entry(link, struct group_member, link));
        for (size_t i = 0; i < first->protocol_count; i++) {
            if (span_equal(protocols[i].name, choice)) {
                names += votes[i]++ == 0;
                break;
            }
        }
    }
    for (size_t i = 1; i < first->protocol_count; i++) {
        if (votes[i] > votes[winner] ||
            (votes[i] == votes[winner] && java_map_place(protocols[i].name, names) <
                                              java_map_place(protocols[winner].name, names))) {
            winner = i;
        }
    }
    return protocols[winner].name;
}

/* ---- the join barrier ---- */

static int64_t rebalance_timeout_ms(const struct group *group) {
    int64_t longest = 0;
    list_for_each(link, &group->members) {
        const struct group_member *member = list_entry(link, struct group_member, link);
        longest = MAX(longest, (int64_t)member->rebalance_timeout_ms);
    }
    return longest;
}

static bool all_joined(const struct group *group) {
    return group->member_count == group->awaiting_join_count && group->pending_count == 0;
}

static void become_empty(struct group *group) {
    timer_stop(&group->rebalance);
    free(group->protocol);
    group->protocol = NULL;
    group->generation++;
    group_set_state(group, GROUP_EMPTY);
    group->persist_ticket = 0;
    group->hooks->persist(group, 0);
}

/* The leader stays if it is here, else the first who is leads. false: nobody is here. */
static bool elect_leader(struct group *group) {
    if (group->leader->awaiting_join) {
        return true;
    }
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (member->awaiting_join) {
            group->leader = member;
            return true;
        }
    }
    return false;
}

static void answer_joins(struct group *group) {
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        group_member_set_awaiting(member, false);
        group_member_set_owes_sync(member, true);
        member->is_new = false;
        group_member_heard(member);
    }
    /* An answer that cannot be sent may cancel other calls, but takes nobody out. */
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        group_answer(&member->join_call, member, KAFKA_NONE);
    }
}

static void complete_join(struct group *group) {
    list_for_each_safe(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (!member->awaiting_join && !member->instance_id) {
            group_member_remove(group, member);
        }
    }
    if (group->member_count == 0) {
        become_empty(group);
        return;
    }
    struct span chosen = group_vote(group);
    char *protocol = strndup(chosen.data, chosen.size);
    if (!protocol || !elect_leader(group)) {
        /* Only static members that are away: their sessions decide. */
        free(protocol);
        timer_start_ms(&group->rebalance, rebalance_timeout_ms(group));
        return;
    }
    free(group->protocol);
    group->protocol = protocol;
    group->generation++;
    group_set_state(group, GROUP_COMPLETING_REBALANCE);
    timer_start_ms(&group->rebalance, rebalance_timeout_ms(group));
    answer_joins(group);
}

/* Whoever waits for an assignment that will not come is told to join again; what was assigned but
 * never handed out is forgotten. */
static void abandon_generation(struct group *group) {
    bool completing = group->state == GROUP_COMPLETING_REBALANCE;
    group->persist_ticket = 0; /* an assignment on its way to disk belongs to the past */
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        member->join_ticket = 0;
        if (completing) {
            buf_unref(member->assignment);
            member->assignment = NULL;
        }
        if (member->sync_call) {
            group_member_heard(member);
            group_answer(&member->sync_call, member, KAFKA_REBALANCE_IN_PROGRESS);
        }
    }
}

void group_prepare_rebalance(struct group *group) {
    int64_t delay_ms = group->limits->initial_rebalance_delay_ms;
    bool first = group->state == GROUP_EMPTY;
    abandon_generation(group);
    group_set_state(group, GROUP_PREPARING_REBALANCE);
    if (first && delay_ms > 0) {
        group->joined_while_delayed = false;
        group->initial_step_ms = delay_ms;
        group->initial_left_ms = MAX(rebalance_timeout_ms(group) - delay_ms, (int64_t)0);
        timer_start_ms(&group->rebalance, delay_ms);
    } else if (first || all_joined(group)) {
        complete_join(group);
    } else {
        timer_start_ms(&group->rebalance, rebalance_timeout_ms(group));
    }
}

void group_try_complete_join(struct group *group) {
    if (group->state == GROUP_PREPARING_REBALANCE && all_joined(group)) {
        complete_join(group);
    }
}

void group_rebalance(struct group *group) {
    if (group->state != GROUP_PREPARING_REBALANCE) {
        group_prepare_rebalance(group);
    } else if (group->previous_state != GROUP_EMPTY) { /* else the delay decides */
        group_try_complete_join(group);
    }
}

void group_membership_changed(struct group *group) {
    switch (group->state) {
    case GROUP_STABLE:
    case GROUP_COMPLETING_REBALANCE:
        group_prepare_rebalance(group);
        break;
    case GROUP_PREPARING_REBALANCE:
        group_try_complete_join(group);
        break;
    case GROUP_EMPTY:
    case GROUP_DEAD:
        break;
    }
}

/* ---- the ends of the waits ---- */

static void end_join_barrier(struct group *group) {
    if (group->previous_state == GROUP_EMPTY && group->joined_while_delayed &&
        group->initial_left_ms > 0) {
        int64_t step_ms = MIN(group->limits->initial_rebalance_delay_ms, group->initial_left_ms);
        group->initial_left_ms = MAX(group->initial_left_ms - group->initial_step_ms, (int64_t)0);
        group->initial_step_ms = step_ms;
        group->joined_while_delayed = false;
        timer_start_ms(&group->rebalance, step_ms);
    } else {
        complete_join(group);
    }
}

static void end_sync_barrier(struct group *group) {
    if (group->owes_sync_count == 0) {
        return;
    }
    list_for_each_safe(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (member->owes_sync) {
            group_member_remove(group, member);
        }
    }
    group_prepare_rebalance(group);
}

void group_on_rebalance_timer(struct timer *timer) {
    struct group *group = container_of(timer, struct group, rebalance);
    if (group->state == GROUP_PREPARING_REBALANCE) {
        end_join_barrier(group);
    } else if (group->state == GROUP_COMPLETING_REBALANCE || group->state == GROUP_STABLE) {
        end_sync_barrier(group);
    }
}
