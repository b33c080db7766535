/*
 * Who is in a group: members, ids given out to members to come, sessions, and which protocols how
 * many of them support.
 *
 * A static member that comes back keeps its place and gets a new member id (KIP-345); whoever still
 * uses the old one is fenced.
 */
#include "group_private.h"

#include <eventbox/base/uuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Nobody is in most groups that are remembered, so an empty map keeps no memory. */
static void map_remove(struct hashmap *map, struct span key) {
    hashmap_remove(map, key);
    if (map->count == 0) {
        hashmap_deinit(map);
    }
}

/* ---- member ids given out, not yet joined (KIP-394) ---- */

struct pending_member {
    struct list link;
    struct group *group;
    struct timer expiry;
    size_t counted_bytes;
    char member_id[];
};

static void pending_free(struct pending_member *pending) {
    struct group *group = pending->group;
    timer_stop(&pending->expiry);
    list_remove(&pending->link);
    map_remove(&group->pending_by_id, span_text(pending->member_id));
    group->pending_count--;
    group_give(group, pending->counted_bytes);
    free(pending);
}

static void on_pending_expired(struct timer *timer) {
    struct pending_member *pending = container_of(timer, struct pending_member, expiry);
    struct group *group = pending->group;
    pending_free(pending);
    group_try_complete_join(group);
}

bool group_pending_take(struct group *group, struct span member_id) {
    struct pending_member *pending = hashmap_find(&group->pending_by_id, member_id);
    if (pending) {
        pending_free(pending);
    }
    return pending != NULL;
}

void group_pending_clear(struct group *group) {
    while (!list_empty(&group->pending)) {
        pending_free(list_entry(group->pending.next, struct pending_member, link));
    }
}

static struct pending_member *pending_new(struct group *group, struct span client_id) {
    char *id = member_id_new(group, client_id);
    size_t bytes = id ? sizeof(struct pending_member) + strlen(id) + 1 : 0;
    struct pending_member *pending = NULL;
    if (id && group_take(group, bytes)) {
        pending = calloc(1, bytes);
        if (!pending) {
            group_give(group, bytes);
        } else {
            strcpy(pending->member_id, id);
            pending->group = group;
            pending->counted_bytes = bytes;
        }
    }
    free(id);
    return pending;
}

void group_pending_add(struct group *group, const struct group_join *join,
                       struct group_call *call) {
    struct pending_member *pending = pending_new(group, join->client_id);
    if (pending &&
        hashmap_put(&group->pending_by_id, span_text(pending->member_id), pending, NULL) != 0) {
        group_give(group, pending->counted_bytes);
        free(pending);
        pending = NULL;
    }
    if (!pending) {
        call->member_id = "";
        call->answer(call, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    timer_init(&pending->expiry, group->loop, on_pending_expired);
    timer_start_ms(&pending->expiry, join->session_timeout_ms);
    list_push_back(&group->pending, &pending->link);
    group->pending_count++;
    call->member_id = pending->member_id;
    call->answer(call, KAFKA_MEMBER_ID_REQUIRED);
}

/* ---- protocols, and how many members support each ---- */

struct protocol_support {
    unsigned count;
    size_t size;
    char name[];
};

static bool support_add(struct group *group, struct span name) {
    struct protocol_support *support = hashmap_find(&group->protocols, name);
    if (!support) {
        support = malloc(sizeof *support + name.size);
        if (!support) {
            return false;
        }
        support->count = 0;
        support->size = name.size;
        memcpy(support->name, name.data, name.size);
        if (hashmap_put(&group->protocols, span_of(support->name, support->size), support, NULL) !=
            0) {
            free(support);
            return false;
        }
    }
    support->count++;
    return true;
}

static void support_drop(struct group *group, const struct group_protocol *protocols,
                         size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct protocol_support *support = hashmap_find(&group->protocols, protocols[i].name);
        if (--support->count == 0) {
            map_remove(&group->protocols, span_of(support->name, support->size));
            free(support);
        }
    }
}

bool group_protocol_known_to_all(const struct group *group, struct span name) {
    const struct protocol_support *support = hashmap_find(&group->protocols, name);
    return (support ? support->count : 0) == group->member_count;
}

static bool named_before(const struct group_protocol *protocols, size_t count, struct span name) {
    for (size_t i = 0; i < count; i++) {
        if (span_equal(protocols[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* Copies the protocols into one allocation: the array, then the bytes. A name counts once. */
static struct group_protocol *protocols_copy(const struct group_join *join, size_t *ret_count) {
    const struct group_protocol *from = join->protocols;
    size_t bytes = join->protocol_count * sizeof *from, count = 0;
    for (size_t i = 0; i < join->protocol_count; i++) {
        bytes += from[i].name.size + from[i].metadata.size;
    }
    struct group_protocol *copy = malloc(bytes ? bytes : 1);
    uint8_t *at = (uint8_t *)(copy + join->protocol_count);
    for (size_t i = 0; copy && i < join->protocol_count; i++) {
        if (named_before(copy, count, from[i].name)) {
            continue;
        }
        struct group_protocol *to = &copy[count++];
        to->name = span_of(memcpy(at, from[i].name.data, from[i].name.size), from[i].name.size);
        at += from[i].name.size;
        if (from[i].metadata.size > 0) {
            memcpy(at, from[i].metadata.data, from[i].metadata.size);
        }
        to->metadata = span_of(at, from[i].metadata.size);
        at += from[i].metadata.size;
    }
    *ret_count = count;
    return copy;
}

static size_t protocols_bytes(const struct group_join *join) {
    size_t bytes = 0;
    for (size_t i = 0; i < join->protocol_count; i++) {
        bytes += sizeof *join->protocols + join->protocols[i].name.size +
                 join->protocols[i].metadata.size;
    }
    return bytes;
}

/* The member's protocols become those of @join; false without memory, nothing changed. */
static bool protocols_set(struct group_member *member, const struct group_join *join) {
    struct group *group = member->group;
    size_t count = 0, counted = 0;
    struct group_protocol *protocols = protocols_copy(join, &count);
    while (protocols && counted < count && support_add(group, protocols[counted].name)) {
        counted++;
    }
    if (!protocols || counted < count) {
        if (protocols) {
            support_drop(group, protocols, counted);
        }
        free(protocols);
        return false;
    }
    if (member->protocols) {
        support_drop(group, member->protocols, member->protocol_count);
    }
    free(member->protocols);
    member->protocols = protocols;
    member->protocol_count = count;
    return true;
}

/* ---- sessions ---- */

void group_member_heard(struct group_member *member) {
    timer_start_ms(&member->session, member->session_timeout_ms);
}

/* A member is awaited by its session only while nothing of it is parked here; a new one that has
 * waited too long for its first answer is let go, or those who ask again and again would pile up.
 */
static void on_session_expired(struct timer *timer) {
    struct group_member *member = container_of(timer, struct group_member, session);
    struct group *group = member->group;
    if ((member->join_call || member->sync_call) && !member->is_new) {
        group_member_heard(member);
        return;
    }
    group_member_remove(group, member);
    group_membership_changed(group);
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
    free(member->former_leader);
    free(member);
}

static size_t member_bytes(const struct group_member *member, const struct group_join *join) {
    return sizeof *member + strlen(member->member_id) + strlen(member->client_id) +
           strlen(member->client_host) + protocols_bytes(join);
}

/* A uuid more than the client says, and the host. */
size_t group_join_bytes(const struct group_join *join) {
    return sizeof(struct group_member) + UUID_TEXT_SIZE + 2 * join->client_id.size +
           join->instance_id.size + join->member_id.size + join->client_host.size +
           protocols_bytes(join);
}

bool group_member_update(struct group_member *member, const struct group_join *join) {
    size_t bytes = member_bytes(member, join);
    if (!group_take(member->group, bytes)) {
        return false;
    }
    if (!protocols_set(member, join)) {
        group_give(member->group, bytes);
        return false;
    }
    group_give(member->group, member->counted_bytes);
    member->counted_bytes = bytes;
    member->session_timeout_ms = join->session_timeout_ms;
    member->rebalance_timeout_ms = join->rebalance_timeout_ms;
    return true;
}

void group_member_set_awaiting(struct group_member *member, bool awaiting_join) {
    member->group->awaiting_join_count += awaiting_join;
    member->group->awaiting_join_count -= member->awaiting_join;
    member->awaiting_join = awaiting_join;
}

void group_member_set_owes_sync(struct group_member *member, bool owes_sync) {
    member->group->owes_sync_count += owes_sync;
    member->group->owes_sync_count -= member->owes_sync;
    member->owes_sync = owes_sync;
}

static struct group_member *member_new(struct group *group, const struct group_join *join,
                                       struct span member_id) {
    struct group_member *member = calloc(1, sizeof *member);
    if (!member) {
        return NULL;
    }
    bool is_static = join->instance_id.data != NULL;
    member->group = group;
    timer_init(&member->session, group->loop, on_session_expired);
    member->member_id = member_id.size > 0
                            ? group_text(member_id)
                            : member_id_new(group, is_static ? join->instance_id : join->client_id);
    member->instance_id = is_static ? group_text(join->instance_id) : NULL;
    member->client_id = group_text(join->client_id);
    member->client_host = group_text(join->client_host);
    if (!member->member_id || (is_static && !member->instance_id) || !member->client_id ||
        !member->client_host) {
        member_free(member);
        return NULL;
    }
    return member;
}

/* Into the maps; false without memory, and it is in none. */
static bool member_index(struct group_member *member) {
    struct group *group = member->group;
    if (hashmap_put(&group->members_by_id, span_text(member->member_id), member, NULL) != 0) {
        return false;
    }
    if (member->instance_id && hashmap_put(&group->members_by_instance,
                                           span_text(member->instance_id), member, NULL) != 0) {
        hashmap_remove(&group->members_by_id, span_text(member->member_id));
        return false;
    }
    return true;
}

struct group_member *group_member_add(struct group *group, const struct group_join *join,
                                      struct span member_id) {
    struct group_member *member = member_new(group, join, member_id);
    if (!member || !member_index(member)) {
        member_free(member);
        return NULL;
    }
    list_push_back(&group->members, &member->link);
    group->member_count++;
    char *type = group->member_count == 1 ? group_text(join->protocol_type) : NULL;
    if ((group->member_count == 1 && !type) || !group_member_update(member, join)) {
        free(type);
        group_member_remove(group, member);
        return NULL;
    }
    if (type) { /* a group takes the type of its first member */
        free(group->protocol_type);
        group->protocol_type = type;
    }
    if (!group->leader) {
        group->leader = member;
    }
    return member;
}

bool group_member_rename(struct group_member *member) {
    struct group *group = member->group;
    char *id = member_id_new(group, span_text(member->instance_id));
    if (!id || hashmap_put(&group->members_by_id, span_text(id), member, NULL) != 0) {
        free(id);
        return false;
    }
    hashmap_remove(&group->members_by_id, span_text(member->member_id));
    free(member->member_id);
    member->member_id = id;
    return true;
}

void group_member_remove(struct group *group, struct group_member *member) {
    struct group_call *join_call = member->join_call;
    if (join_call) { /* its id is of no use any more */
        member->join_call = NULL;
        join_call->parked_at = NULL;
        join_call->member = NULL;
        join_call->member_id = "";
        join_call->answer(join_call, KAFKA_UNKNOWN_MEMBER_ID);
    }
    group_answer(&member->sync_call, member, KAFKA_UNKNOWN_MEMBER_ID);
    group_member_set_awaiting(member, false);
    group_member_set_owes_sync(member, false);
    map_remove(&group->members_by_id, span_text(member->member_id));
    if (member->instance_id) {
        map_remove(&group->members_by_instance, span_text(member->instance_id));
    }
    if (member->protocols) {
        support_drop(group, member->protocols, member->protocol_count);
    }
    list_remove(&member->link);
    group->member_count--;
    group_give(group, member->counted_bytes);
    if (group->leader == member) {
        group->leader = list_empty(&group->members)
                            ? NULL
                            : list_entry(group->members.next, struct group_member, link);
    }
    member_free(member);
}

struct group_member *group_member_find(struct group *group, struct span member_id) {
    return hashmap_find(&group->members_by_id, member_id);
}

struct group_member *group_member_find_static(struct group *group, struct span instance_id) {
    return hashmap_find(&group->members_by_instance, instance_id);
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
