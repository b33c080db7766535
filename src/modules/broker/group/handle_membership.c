/* JoinGroup, SyncGroup, Heartbeat, LeaveGroup: from the generated messages to the state machine and
 * back. */
#include "handlers.h"

#include <limits.h>

/* A JoinGroup or SyncGroup while it is parked at its group. */
struct parked {
    struct group_call call;
    struct kafka_request *request;
};

/* The member stays; its session decides. The request needs no answer any more. */
static void on_gone(struct kafka_request *request) {
    struct parked *parked = request->parked;
    group_cancel_call(&parked->call);
    kafka_respond_none(request);
}

static struct parked *park(struct kafka_request *request,
                           void (*answer)(struct group_call *, enum kafka_error)) {
    struct parked *parked = arena_alloc(request->arena, sizeof *parked);
    if (!parked) {
        kafka_request_close(request, "out of memory");
        return NULL;
    }
    parked->call.answer = answer;
    parked->request = request;
    request->parked = parked;
    request->on_gone = on_gone;
    return parked;
}

/* ---- JoinGroup ---- */

static struct span dup(struct arena *arena, struct span span) {
    return span.data ? span_of(arena_dup(arena, span.data, span.size), span.size) : SPAN_NULL;
}

static void fill_members(struct join_group_response *answer, struct arena *arena,
                         const struct group *group) {
    answer->members = KAFKA_NEW(arena, join_group_response_member, group->member_count);
    if (!answer->members) {
        return;
    }
    list_for_each(link, &group->members) {
        const struct group_member *member = list_entry(link, struct group_member, link);
        struct join_group_response_member *row = &answer->members[answer->members_count++];
        row->member_id = span_text(member->member_id);
        row->group_instance_id = span_text(member->instance_id);
        row->metadata = group_member_metadata(member);
    }
}

/*
 * The leader gets the members, unless it is a static member that came back while nothing changes:
 * it must not assign anew. JoinGroup 9 can say so (KIP-814); before it, it is told its old id as
 * the leader, so it takes somebody else to lead.
 */
static void fill_leader(struct join_group_response *answer, struct kafka_request *request,
                        const struct group_call *call) {
    const struct group *group = call->member->group;
    bool leads = group_member_leads(call->member);
    answer->leader = span_text(group->leader->member_id);
    if (call->returned && request->version < 9) {
        answer->leader = dup(request->arena, span_text(call->former_leader));
        return;
    }
    answer->skip_assignment = call->returned && leads;
    if (leads) {
        fill_members(answer, request->arena, group);
    }
}

static void answer_join(struct group_call *call, enum kafka_error error) {
    struct parked *parked = container_of(call, struct parked, call);
    struct kafka_request *request = parked->request;
    struct join_group_response *answer = KAFKA_NEW(request->arena, join_group_response, 1);
    if (!answer) {
        kafka_request_close(request, "out of memory");
        return;
    }
    answer->error_code = error;
    answer->generation_id = -1;
    answer->protocol_type = SPAN_NULL;
    answer->protocol_name = SPAN_NULL;
    answer->leader = span_of("", 0);
    answer->member_id = dup(request->arena, span_text(call->member_id));
    answer->members_count = 0;
    if (error == KAFKA_NONE) {
        const struct group *group = call->member->group;
        answer->generation_id = group->generation;
        answer->protocol_type = span_text(group->protocol_type);
        /* From 7 on, an empty name is none (KIP-559). */
        answer->protocol_name =
            request->version >= 7 && !*group->protocol ? SPAN_NULL : span_text(group->protocol);
        fill_leader(answer, request, call);
    }
    kafka_respond(request, answer);
}

static void refuse_join(struct kafka_request *request, struct parked *parked, struct span member_id,
                        enum kafka_error error) {
    parked->call.member_id = arena_dup(request->arena, member_id.data, member_id.size);
    parked->call.member_id = parked->call.member_id ? parked->call.member_id : "";
    answer_join(&parked->call, error);
}

static int join_of(struct kafka_request *request, struct group_join *ret_join) {
    const struct join_group_request *body = request->body;
    size_t count = (size_t)MAX(body->protocols_count, 0);
    struct group_protocol *protocols =
        arena_alloc(request->arena, sizeof *protocols * MAX(count, (size_t)1));
    char *host = arena_printf(request->arena, "/%s", request->peer_host);
    if (!protocols || !host) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        protocols[i] =
            (struct group_protocol){body->protocols[i].name, body->protocols[i].metadata};
    }
    *ret_join = (struct group_join){
        .member_id = body->member_id,
        .instance_id = body->group_instance_id,
        .client_id = request->client_id,
        .client_host = span_text(host),
        .protocol_type = body->protocol_type,
        .session_timeout_ms = body->session_timeout_ms,
        .rebalance_timeout_ms = request->version >= 1 && body->rebalance_timeout_ms != -1
                                    ? body->rebalance_timeout_ms
                                    : body->session_timeout_ms,
        .require_member_id = request->version >= 4,
        .protocols = protocols,
        .protocol_count = count,
    };
    return 0;
}

/* The group to join; one that nobody knows is made for newcomers only, and, as in Kafka, it is
 * there from then on, whatever becomes of the join. When its record is refused there is none. */
static enum kafka_error join_entry(struct coordinator *coordinator, struct span group_id,
                                   const struct group_join *join, struct group_entry **ret_entry) {
    enum kafka_error error = group_id.size == 0
                                 ? KAFKA_INVALID_GROUP_ID
                                 : group_join_check(&coordinator->config.limits, join);
    error = error ? error : coordinator_check(coordinator);
    if (error == KAFKA_NONE && join->member_id.size > 0 &&
        !group_entry_find(coordinator, group_id)) {
        error = KAFKA_UNKNOWN_MEMBER_ID;
    }
    bool is_new = error == KAFKA_NONE && !group_entry_find(coordinator, group_id);
    error =
        error ? error : group_entry_get(coordinator, group_id, group_join_bytes(join), ret_entry);
    if (is_new && error == KAFKA_NONE) {
        group_entry_record(*ret_entry);
        /* Where the log takes nothing the write has ended by now, and the group with it. */
        *ret_entry = group_entry_find(coordinator, group_id);
        error = *ret_entry ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    return error;
}

void handle_join_group(struct kafka_request *request) {
    const struct join_group_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct parked *parked = park(request, answer_join);
    struct group_entry *entry = NULL;
    struct group_join join;
    if (!parked) {
        return;
    }
    enum kafka_error error = join_of(request, &join) == 0
                                 ? join_entry(coordinator, body->group_id, &join, &entry)
                                 : KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (error != KAFKA_NONE) {
        refuse_join(request, parked, body->member_id, error);
    } else {
        group_handle_join(entry->group, &join, &parked->call);
    }
}

/* ---- SyncGroup ---- */

static void answer_sync(struct group_call *call, enum kafka_error error) {
    struct parked *parked = container_of(call, struct parked, call);
    struct sync_group_response *answer = KAFKA_NEW(parked->request->arena, sync_group_response, 1);
    if (!answer) {
        kafka_request_close(parked->request, "out of memory");
        return;
    }
    answer->error_code = error;
    answer->protocol_type = SPAN_NULL;
    answer->protocol_name = SPAN_NULL;
    answer->assignment = span_of("", 0);
    if (error == KAFKA_NONE) {
        answer->protocol_type = span_text(call->member->group->protocol_type);
        answer->protocol_name = span_text(call->member->group->protocol);
        answer->assignment = group_member_assignment(call->member);
    }
    kafka_respond(parked->request, answer);
}

void handle_sync_group(struct kafka_request *request) {
    const struct sync_group_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct parked *parked = park(request, answer_sync);
    if (!parked) {
        return;
    }
    /* From version 5 on protocol type and name must be said (KIP-559). */
    enum kafka_error error =
        request->version >= 5 && (!body->protocol_type.data || !body->protocol_name.data)
            ? KAFKA_INCONSISTENT_GROUP_PROTOCOL
            : coordinator_check_member(coordinator, body->group_id);
    struct group_entry *entry = group_entry_find(coordinator, body->group_id);
    size_t count = (size_t)MAX(body->assignments_count, 0);
    struct group_assignment *assignments =
        arena_alloc(request->arena, sizeof *assignments * MAX(count, 1));
    if (error == KAFKA_NONE && !entry) {
        error = KAFKA_UNKNOWN_MEMBER_ID;
    }
    if (error == KAFKA_NONE && !assignments) {
        error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (error != KAFKA_NONE) {
        answer_sync(&parked->call, error);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        assignments[i] = (struct group_assignment){body->assignments[i].member_id,
                                                   body->assignments[i].assignment};
    }
    struct group_sync sync = {
        .member_id = body->member_id,
        .instance_id = body->group_instance_id,
        .generation = body->generation_id,
        .protocol_type = body->protocol_type,
        .protocol_name = body->protocol_name,
        .assignments = assignments,
        .assignment_count = count,
    };
    group_handle_sync(entry->group, &sync, &parked->call);
}

/* ---- Heartbeat, LeaveGroup ---- */

void handle_heartbeat(struct kafka_request *request) {
    const struct heartbeat_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct heartbeat_response *answer = KAFKA_NEW(request->arena, heartbeat_response, 1);
    struct group_entry *entry = group_entry_find(coordinator, body->group_id);
    if (!answer) {
        kafka_request_close(request, "out of memory");
        return;
    }
    answer->error_code = coordinator_check_member(coordinator, body->group_id);
    if (answer->error_code == KAFKA_COORDINATOR_LOAD_IN_PROGRESS) {
        answer->error_code = KAFKA_NONE; /* as Kafka does: the member goes on while groups load */
    } else if (answer->error_code == KAFKA_NONE) {
        answer->error_code =
            entry ? group_handle_heartbeat(entry->group, body->member_id, body->group_instance_id,
                                           body->generation_id)
                  : KAFKA_UNKNOWN_MEMBER_ID;
    }
    kafka_respond(request, answer);
}

static void leave_one(struct group_entry *entry, const struct leave_group_request_member *leaving,
                      struct leave_group_response_member *row) {
    row->member_id = leaving->member_id;
    row->group_instance_id = leaving->group_instance_id;
    row->error_code =
        entry ? group_handle_leave(entry->group, leaving->member_id, leaving->group_instance_id)
              : KAFKA_UNKNOWN_MEMBER_ID;
}

/* Versions 0 to 2 tell one member's error at the top, later ones each member's in its row. */
void handle_leave_group(struct kafka_request *request) {
    const struct leave_group_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct leave_group_response *answer = KAFKA_NEW(request->arena, leave_group_response, 1);
    struct group_entry *entry = group_entry_find(coordinator, body->group_id);
    int32_t count = request->version >= 3 ? MAX(body->members_count, 0) : 0;
    if (!answer ||
        !(answer->members = KAFKA_NEW(request->arena, leave_group_response_member, count))) {
        kafka_request_close(request, "out of memory");
        return;
    }
    answer->members_count = 0;
    answer->error_code = coordinator_check_member(coordinator, body->group_id);
    if (answer->error_code == KAFKA_NONE && request->version < 3) {
        answer->error_code = entry ? group_handle_leave(entry->group, body->member_id, SPAN_NULL)
                                   : KAFKA_UNKNOWN_MEMBER_ID;
    } else if (answer->error_code == KAFKA_NONE) {
        answer->members_count = count;
        for (int32_t i = 0; i < count; i++) {
            leave_one(entry, &body->members[i], &answer->members[i]);
        }
    }
    kafka_respond(request, answer);
}
