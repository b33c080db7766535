/* Between group.c (life, requests that only look), member.c (who is in it), join.c, sync.c and
 * rebalance.c (generations). */
#pragma once

#include "group.h"

#include <errno.h>
#include <eventbox/base/buf.h>
#include <eventbox/base/error.h>

/* A new member cannot send heartbeats before its join is answered, so it has this long instead. */
enum { GROUP_NEW_MEMBER_JOIN_MS = 300000 };

void group_set_state(struct group *group, enum group_state state);
/** group_answer() - answer and forget a parked call; nothing when none is parked */
void group_answer(struct group_call **call, struct group_member *member, enum kafka_error error);
char *group_text(struct span span); /* a copy with a zero byte; NULL without memory */

/* ---- member.c ---- */

bool group_pending_take(struct group *group, struct span member_id); /* false: was not given out */
void group_pending_add(struct group *group, const struct group_join *join, struct group_call *call);
void group_pending_clear(struct group *group);

/* NULL: without memory, or the budget is used up. */
struct group_member *group_member_add(struct group *group, const struct group_join *join,
                                      struct span member_id);
/** group_member_update() - takes over what a rejoin says; false when there is no memory for it, and
 * the member is unchanged */
bool group_member_update(struct group_member *member, const struct group_join *join);
/** group_member_rename() - a static member came back: a new id, the same place. false without
 * memory, and the member is unchanged */
bool group_member_rename(struct group_member *member);
void group_member_remove(struct group *group, struct group_member *member);
void group_member_heard(struct group_member *member); /* its session begins anew */
void group_member_set_awaiting(struct group_member *member, bool awaiting_join);
void group_member_set_owes_sync(struct group_member *member, bool owes_sync);
struct group_member *group_member_find_static(struct group *group, struct span instance_id);
/** group_protocol_known_to_all() - does every member support it? */
bool group_protocol_known_to_all(const struct group *group, struct span name);
enum kafka_error group_member_check(struct group *group, struct span member_id,
                                    struct span instance_id, struct group_member **ret_member);

/* ---- rebalance.c ---- */

/** group_membership_changed() - a member is gone: rebalance those who stay, or end the barrier */
void group_membership_changed(struct group *group);
/** group_rebalance() - begin a rebalance, or end the barrier of the one under way if all are there
 */
void group_rebalance(struct group *group);
void group_prepare_rebalance(struct group *group);
/** group_try_complete_join() - end the join barrier if everybody has joined */
void group_try_complete_join(struct group *group);
/** group_vote() - the protocol of the next generation; borrowed from a member */
struct span group_vote(const struct group *group);
void group_on_rebalance_timer(struct timer *timer);
