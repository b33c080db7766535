/* Between group.c (members) and rebalance.c (generations). */
#pragma once

#include "group.h"

#include <errno.h>
#include <eventbox/base/buf.h>
#include <eventbox/base/error.h>

void group_set_state(struct group *group, enum group_state state);
/** group_answer() - answer and forget a parked call; nothing when none is parked */
void group_answer(struct group_call **call, struct group_member *member, enum kafka_error error);

bool group_pending_take(struct group *group, struct span member_id); /* false: was not given out */
void group_pending_add(struct group *group, const struct group_join *join, struct group_call *call);

struct group_member *group_member_add(struct group *group, const struct group_join *join,
                                      struct span member_id);
bool group_member_update(struct group_member *member, const struct group_join *join);
void group_member_remove(struct group *group, struct group_member *member);
void group_member_heard(struct group_member *member); /* its session begins anew */
struct group_member *group_member_find_static(struct group *group, struct span instance_id);
enum kafka_error group_member_check(struct group *group, struct span member_id,
                                    struct span instance_id, struct group_member **ret_member);

/** group_membership_changed() - a member is gone: rebalance those who stay, or end the barrier */
void group_membership_changed(struct group *group);
/** group_try_complete_join() - end the join barrier if everybody has joined */
void group_try_complete_join(struct group *group);
void group_on_rebalance_timer(struct timer *timer);
