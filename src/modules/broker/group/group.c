/*
 * Membership and the life of a group: who is in it, when a session ends, what a heartbeat answers.
 * The rebalance itself, from the join barrier to the durable assignment, is in rebalance.c.
 */
#include "group_private.h"

#include <eventbox/base/uuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *group_state_name(enum group_state state) {
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance",
                                        "Stable", "Dead"};
    return names[state];
}

static char *span_to_str(struct span span) {
    return strndup(span.data ? span.data : "", span.size);
}

int group_new(struct loop *loop, struct random *random, const struct group_limits *limits,
              const struct group_hooks *hooks, void *owner, struct span id,
              struct group **ret_group) {
    struct group *group = calloc(1, sizeof *group);
    if (!group || !(group->id = span_to_str(id))) {
        free(group);
        return err_origin(-ENOMEM);
    }
    group->loop = loop;
    group->random = random;
    group->limits = limits;
    group->hooks = hooks;
    group->owner = owner;
    list_init(&group->members);
    list_init(&group->pending);
    timer_init(&group->rebalance, loop, group_on_rebalance_timer);
    *ret_group = group;
    return 0;
}

void group_set_state(struct group *group, enum group_state state) {
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
    answered->member = error == KAFKA_NONE ? member : NULL;
    answered->member_id = member ? member->member_id : "";
    answered->answer(answered, error);
}

/* ---- member ids given out, not yet joined (KIP-394) ---- */

struct pending_member {
    struct list link;
    struct group *group;
    struct timer expiry;
    char member_id[];
};

static void pending_free(struct pending_member *pending) {
    timer_stop(&pending->expiry);
    list_remove(&pending->link);
    pending->group->pending_count--;
    free(pending);
}

static void on_pending_expired(struct timer *timer) {
    struct pending_member *pending = container_of(timer, struct pending_member, expiry);
    struct group *group = pending->group;
    pending_free(pending);
    group_try_complete_join(group);
}

static struct pending_member *pending_find(struct group *group, struct span member_id) {
    list_for_each(link, &group->pending) {
        struct pending_member *pending = list_entry(link, struct pending_member, link);
        if (span_equal(span_text(pending->member_id), member_id)) {
            return pending;
        }
    }
    return NULL;
}

bool group_pending_take(struct group *group, struct span member_id) {
    struct pending_member *pending = pending_find(group, member_id);
    if (pending) {
        pending_free(pending);
    }
    return pending != NULL;
}

/* "client-id-uuid", or "instance-id-uuid" for static members, as Kafka makes them. */
static char *member_id_new(struct group *group, struct span prefix) {
    struct uuid uuid;
    char text[UUID_TEXT_SIZE];
    char *id = NULL;
    uuid_v4(group->random, &uuid);
    uuid_format(&uuid, text);
    if (asprintf(&id, "%.*s-%s", (int)prefix.size, prefix.data ? (const char *)prefix.data : "",
                 text) < 0) {
        return NULL;
    }
    return id;
}

void group_pending_add(struct group *group, const struct group_join *join,
                       struct group_call *call) {
    char *id = member_id_new(group, join->client_id);
    struct pending_member *pending = id ? calloc(1, sizeof *pending + strlen(id) + 1) : NULL;
    if (!pending) {
        free(id);
        call->answer(call, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    strcpy(pending->member_id, id);
    free(id);
    pending->group = group;
    timer_init(&pending->expiry, group->loop, on_pending_expired);
    timer_start_ms(&pending->expiry, join->session_timeout_ms);
    list_push_back(&group->pending, &pending->link);
    group->pending_count++;
    call->member_id = pending->member_id;
    call->answer(call, KAFKA_MEMBER_ID_REQUIRED);
}

/* ---- members ---- */

static void member_free(struct group_member *member) {
    if (!member) {
        return;
    }
    timer_stop(&member->session);
    buf_unref(member->assignment);
    free(member->protocols);
    free(member->member_id);
    free(member->instance_id);
    free(member->client_id);
    free(member->client_host);
    free(member);
}

/* Copies the protocols into one allocation: the array, then the bytes. */
static struct group_protocol *protocols_copy(const struct group_protocol *from, size_t count) {
    size_t bytes = count * sizeof *from;
    for (size_t i = 0; i < count; i++) {
        bytes += from[i].name.size + from[i].metadata.size;
    }
    struct group_protocol *copy = malloc(bytes ? bytes : 1);
    uint8_t *at = (uint8_t *)(copy + count);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i].name = span_of(memcpy(at, from[i].name.data, from[i].name.size), from[i].name.size);
        at += from[i].name.size;
        if (from[i].metadata.size > 0) {
            memcpy(at, from[i].metadata.data, from[i].metadata.size);
        }
        copy[i].metadata = span_of(at, from[i].metadata.size);
        at += from[i].metadata.size;
    }
    return copy;
}

/* A member is awaited by its session only while nothing of it is parked here. */
static void on_session_expired(struct timer *timer) {
    struct group_member *member = container_of(timer, struct group_member, session);
    if (member->join_call || member->sync_call) {
        group_member_heard(member);
        return;
    }
    struct group *group = member->group;
    group_member_remove(group, member);
    group_membership_changed(group);
}

void group_member_heard(struct group_member *member) {
    timer_start_ms(&member->session, member->session_timeout_ms);
}

/* Takes over what a (re)join says; false without memory, the member unchanged. */
bool group_member_update(struct group_member *member, const struct group_join *join) {
    struct group_protocol *protocols = protocols_copy(join->protocols, join->protocol_count);
    char *client_id = span_to_str(join->client_id);
    char *client_host = span_to_str(join->client_host);
    if (!protocols || !client_id || !client_host) {
        free(protocols);
        free(client_id);
        free(client_host);
        return false;
    }
    free(member->protocols);
    free(member->client_id);
    free(member->client_host);
    member->protocols = protocols;
    member->protocol_count = join->protocol_count;
    member->client_id = client_id;
    member->client_host = client_host;
    member->session_timeout_ms = join->session_timeout_ms;
    member->rebalance_timeout_ms = join->rebalance_timeout_ms;
    return true;
}

struct group_member *group_member_add(struct group *group, const struct group_join *join,
                                      struct span member_id) {
    struct group_member *member = calloc(1, sizeof *member);
    if (!member) {
        return NULL;
    }
    bool is_static = join->instance_id.data != NULL;
    member->group = group;
    timer_init(&member->session, group->loop, on_session_expired);
    member->member_id = member_id.size > 0
                            ? span_to_str(member_id)
                            : member_id_new(group, is_static ? join->instance_id : join->client_id);
    member->instance_id = is_static ? span_to_str(join->instance_id) : NULL;
    if (!member->member_id || (is_static && !member->instance_id) ||
        !group_member_update(member, join)) {
        member_free(member);
        return NULL;
    }
    if (!group->protocol_type && !(group->protocol_type = span_to_str(join->protocol_type))) {
        member_free(member);
        return NULL;
    }
    list_push_back(&group->members, &member->link);
    group->member_count++;
    if (!group->leader) {
        group->leader = strdup(member->member_id);
    }
    return member;
}

void group_member_remove(struct group *group, struct group_member *member) {
    group_answer(&member->join_call, member, KAFKA_UNKNOWN_MEMBER_ID);
    group_answer(&member->sync_call, member, KAFKA_UNKNOWN_MEMBER_ID);
    list_remove(&member->link);
    group->member_count--;
    if (group->leader && strcmp(group->leader, member->member_id) == 0) {
        free(group->leader);
        group->leader = NULL;
        if (!list_empty(&group->members)) {
            group->leader =
                strdup(list_entry(group->members.next, struct group_member, link)->member_id);
        }
    }
    member_free(member);
}

struct group_member *group_member_find(struct group *group, struct span member_id) {
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (span_equal(span_text(member->member_id), member_id)) {
            return member;
        }
    }
    return NULL;
}

struct group_member *group_member_find_static(struct group *group, struct span instance_id) {
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (member->instance_id && span_equal(span_text(member->instance_id), instance_id)) {
            return member;
        }
    }
    return NULL;
}

/* KIP-345: an instance id names its member; another member id with it has been replaced. */
enum kafka_error group_member_check(struct group *group, struct span member_id,
                                    struct span instance_id, struct group_member **ret_member) {
    if (group->state == GROUP_DEAD) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (instance_id.data) {
        struct group_member *named = group_member_find_static(group, instance_id);
        if (!named) {
            return KAFKA_UNKNOWN_MEMBER_ID;
        }
        if (!span_equal(span_text(named->member_id), member_id)) {
            return KAFKA_FENCED_INSTANCE_ID;
        }
        *ret_member = named;
        return KAFKA_NONE;
    }
    *ret_member = group_member_find(group, member_id);
    return *ret_member ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
}

struct span group_member_metadata(const struct group_member *member) {
    const char *chosen = member->group->protocol;
    for (size_t i = 0; chosen && i < member->protocol_count; i++) {
        if (span_equal(member->protocols[i].name, span_text(chosen))) {
            return member->protocols[i].metadata;
        }
    }
    return span_of("", 0);
}

struct span group_member_assignment(const struct group_member *member) {
    return member->assignment ? span_of(member->assignment->data, member->assignment->size)
                              : span_of("", 0);
}

struct group_member *group_restore_member(struct group *group, const struct group_join *join,
                                          struct span assignment) {
    struct group_member *member = group_member_add(group, join, join->member_id);
    if (!member) {
        return NULL;
    }
    if (assignment.size > 0) {
        member->assignment = buf_copy(assignment.data, assignment.size);
    }
    group_member_heard(member);
    return member;
}

void group_forget_member(struct group *group, struct group_member *member) {
    group_member_remove(group, member);
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

enum kafka_error group_check_commit(struct group *group, struct span member_id,
                                    struct span instance_id, int32_t generation) {
    if (group->state == GROUP_DEAD) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (generation < 0 && member_id.size == 0 && !instance_id.data) {
        /* A consumer that assigns its partitions itself, or an admin tool. */
        return group->state == GROUP_EMPTY ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
    }
    struct group_member *member;
    enum kafka_error error = group_member_check(group, member_id, instance_id, &member);
    if (error != KAFKA_NONE) {
        return error;
    }
    if (generation != group->generation) {
        return KAFKA_ILLEGAL_GENERATION;
    }
    group_member_heard(member);
    return group->state == GROUP_COMPLETING_REBALANCE ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

enum kafka_error group_handle_leave(struct group *group, struct span member_id,
                                    struct span instance_id) {
    struct group_member *member = NULL;
    if (group->state == GROUP_DEAD) {
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (instance_id.data) {
        /* An admin removes a static member by its name alone; a member says its own id too. */
        member = group_member_find_static(group, instance_id);
        if (member && member_id.size > 0 && !span_equal(span_text(member->member_id), member_id)) {
            return KAFKA_FENCED_INSTANCE_ID;
        }
    } else {
        if (group_pending_take(group, member_id)) {
            group_try_complete_join(group);
            return KAFKA_NONE;
        }
        member = group_member_find(group, member_id);
    }
    if (!member) {
        return KAFKA_UNKNOWN_MEMBER_ID;
    }
    group_member_remove(group, member);
    group_membership_changed(group);
    return KAFKA_NONE;
}

void group_cancel_call(struct group_call *call) {
    struct group *group = call->group;
    if (!group) {
        return;
    }
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        if (member->join_call == call) {
            member->join_call = NULL;
            group_member_heard(member);
        }
        if (member->sync_call == call) {
            member->sync_call = NULL;
            group_member_heard(member);
        }
    }
    call->group = NULL;
}

static void group_drop_all(struct group *group, enum kafka_error error) {
    timer_stop(&group->rebalance);
    while (!list_empty(&group->pending)) {
        pending_free(list_entry(group->pending.next, struct pending_member, link));
    }
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
    free(group->leader);
    free(group->protocol);
    free(group->protocol_type);
    free(group->id);
    free(group);
}
