/*
 * The life of a group, and the requests that only look at it: heartbeats, commits, leaving. Who is
 * in it is member.c, how it gets a new generation join.c, rebalance.c and sync.c.
 */
#include "group_private.h"

#include <stdlib.h>
#include <string.h>

const char *group_state_name(enum group_state state) {
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance",
                                        "Stable", "Dead"};
    return names[state];
}

char *group_text(struct span span) {
    return strndup(span.data ? span.data : "", span.size);
}

bool group_budget_has_room(struct group_budget *budget, size_t bytes) {
    if (bytes <= budget->max_bytes && budget->used_bytes <= budget->max_bytes - bytes) {
        return true;
    }
    budget->refused++;
    if (budget->on_refused) {
        budget->on_refused(budget);
    }
    return false;
}

void group_count(struct group *group, size_t bytes) {
    group->budget->used_bytes += bytes;
    group->counted_bytes += bytes;
}

bool group_take(struct group *group, size_t bytes) {
    bool room = group_budget_has_room(group->budget, bytes);
    group_count(group, room ? bytes : 0);
    return room;
}

void group_give(struct group *group, size_t bytes) {
    group->budget->used_bytes -= bytes;
    group->counted_bytes -= bytes;
}

bool group_is_unused(const struct group *group) {
    return group->state == GROUP_EMPTY && group->generation == 0 && !group->protocol_type &&
           group->pending_count == 0;
}

static void map_init(struct group *group, struct hashmap *map) {
    hashmap_init(map, random_u64(group->random), random_u64(group->random));
}

int group_new(struct loop *loop, struct random *random, const struct group_limits *limits,
              struct group_budget *budget, const struct group_hooks *hooks, void *owner,
              struct span id, struct group **ret_group) {
    struct group *group = calloc(1, sizeof *group);
    if (!group || !(group->id = group_text(id))) {
        free(group);
        return err_origin(-ENOMEM);
    }
    group->loop = loop;
    group->random = random;
    group->limits = limits;
    group->budget = budget;
    group->hooks = hooks;
    group->owner = owner;
    group->state_since_ms = clock_wall_ms(loop_clock(loop));
    list_init(&group->members);
    list_init(&group->pending);
    map_init(group, &group->members_by_id);
    map_init(group, &group->members_by_instance);
    map_init(group, &group->protocols);
    map_init(group, &group->pending_by_id);
    timer_init(&group->rebalance, loop, group_on_rebalance_timer);
    *ret_group = group;
    return 0;
}

void group_set_state(struct group *group, enum group_state state) {
    group->previous_state = group->state;
    group->state = state;
    group->state_since_ms = clock_wall_ms(loop_clock(group->loop));
    if (group->hooks->on_state) {
        group->hooks->on_state(group, state);
    }
}

void group_answer(struct group_call **call, struct group_member *member, enum kafka_error error) {
    struct group_call *answered = *call;
    if (!answered) {
        return;
    }
    *call = NULL;
    answered->parked_at = NULL;
    answered->member = error == KAFKA_NONE ? member : NULL;
    answered->member_id = member ? member->member_id : "";
    answered->answer(answered, error);
}

/* ---- requests that only look ---- */

enum kafka_error group_handle_heartbeat(struct group *group, struct span member_id,
                                        struct span instance_id, int32_t generation) {
    struct group_member *member;
    enum kafka_error error = group_member_check(group, member_id, instance_id, &member);
    if (error != KAFKA_NONE) {
        return error;
    }
    if (generation != group->generation) {
        return KAFKA_ILLEGAL_GENERATION;
    }
    group_member_heard(member);
    return group->state == GROUP_PREPARING_REBALANCE ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

/*
 * Who says neither generation nor member is a consumer that assigns its partitions itself, or an
 * admin tool: it may commit while nobody is in the group. While the group is Empty a generation of
 * -1 is enough, whatever else is said. A member commits with its generation; in
 * CompletingRebalance it must wait, in PreparingRebalance it may still give up its partitions
 * properly.
 */
enum kafka_error group_check_commit(struct group *group, struct span member_id,
                                    struct span instance_id, int32_t generation) {
    struct group_member *member;
    if (group->state == GROUP_DEAD) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (generation < 0 && group->state == GROUP_EMPTY) {
        return KAFKA_NONE;
    }
    if (generation < 0 && member_id.size == 0 && !instance_id.data) {
        return KAFKA_UNKNOWN_MEMBER_ID;
    }
    enum kafka_error error = group_member_check(group, member_id, instance_id, &member);
    if (error != KAFKA_NONE) {
        return error;
    }
    if (generation != group->generation) {
        return KAFKA_ILLEGAL_GENERATION;
    }
    if (group->state == GROUP_COMPLETING_REBALANCE) {
        return KAFKA_REBALANCE_IN_PROGRESS;
    }
    group_member_heard(member);
    return KAFKA_NONE;
}

enum kafka_error group_handle_leave(struct group *group, struct span member_id,
                                    struct span instance_id) {
    struct group_member *member = NULL;
    if (group->state == GROUP_DEAD) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (member_id.size == 0) { /* an admin removes a static member by its name alone */
        member = instance_id.data ? group_member_find_static(group, instance_id) : NULL;
        if (!member) {
            return KAFKA_UNKNOWN_MEMBER_ID;
        }
    } else if (group_pending_take(group, member_id)) {
        group_try_complete_join(group);
        return KAFKA_NONE;
    } else {
        enum kafka_error error = group_member_check(group, member_id, instance_id, &member);
        if (error != KAFKA_NONE) {
            return error;
        }
    }
    group_member_remove(group, member);
    group_membership_changed(group);
    return KAFKA_NONE;
}

void group_cancel_call(struct group_call *call) {
    struct group_member *member = call->parked_at;
    if (!member) {
        return;
    }
    if (member->join_call == call) {
        member->join_call = NULL;
        member->is_new = false; /* nobody waits for its answer: its session decides */
    }
    if (member->sync_call == call) {
        member->sync_call = NULL;
    }
    group_member_heard(member);
    call->parked_at = NULL;
}

/* ---- the end ---- */

static void group_drop_all(struct group *group, enum kafka_error error) {
    timer_stop(&group->rebalance);
    group_pending_clear(group);
    list_for_each_safe(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        group_answer(&member->join_call, member, error);
        group_answer(&member->sync_call, member, error);
        group_member_remove(group, member);
    }
}

void group_mark_dead(struct group *group) {
    group_drop_all(group, KAFKA_UNKNOWN_MEMBER_ID);
    group_set_state(group, GROUP_DEAD);
}

void group_free(struct group *group) {
    if (!group) {
        return;
    }
    group_drop_all(group, KAFKA_COORDINATOR_NOT_AVAILABLE);
    hashmap_deinit(&group->members_by_id);
    hashmap_deinit(&group->members_by_instance);
    hashmap_deinit(&group->protocols);
    hashmap_deinit(&group->pending_by_id);
    free(group->protocol);
    free(group->protocol_type);
    free(group->id);
    free(group);
}

/* ---- after a restart ---- */

struct group_member *group_restore_member(struct group *group, const struct group_join *join,
                                          struct span assignment) {
    struct group_member *member = group_member_add(group, join, join->member_id);
    if (!member) {
        return NULL;
    }
    if (assignment.size > 0) {
        member->assignment = buf_copy(assignment.data, assignment.size);
    }
    return member;
}

void group_forget_member(struct group *group, struct group_member *member) {
    group_member_remove(group, member);
}

void group_restored(struct group *group) {
    list_for_each(link, &group->members) {
        group_member_heard(list_entry(link, struct group_member, link));
    }
    if (group->member_count > group->limits->members_max) {
        group_prepare_rebalance(group);
    }
}
