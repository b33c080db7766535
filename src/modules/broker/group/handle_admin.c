/* DescribeGroups, ListGroups, DeleteGroups; and the table of all handlers of this folder. */
#include "handlers.h"

const struct kafka_handler coordinator_handler_rows[] = {
    {8, 2, 10, 0, handle_offset_commit},   {9, 1, 10, 0, handle_offset_fetch},
    {11, 0, 9, 0, handle_join_group},      {12, 0, 4, 0, handle_heartbeat},
    {13, 0, 5, 0, handle_leave_group},     {14, 0, 5, 0, handle_sync_group},
    {15, 0, 6, 0, handle_describe_groups}, {16, 0, 5, 0, handle_list_groups},
    {42, 0, 2, 0, handle_delete_groups},   {47, 0, 0, 0, handle_offset_delete},
};
const size_t coordinator_handler_count = ARRAY_SIZE(coordinator_handler_rows);

/* ---- DescribeGroups ---- */

static int describe_members(struct arena *arena, const struct group *group,
                            struct describe_groups_response_group *row) {
    bool settled = group->state == GROUP_STABLE;
    row->members = KAFKA_NEW(arena, describe_groups_response_member, group->member_count);
    row->members_count = 0;
    if (!row->members) {
        return -ENOMEM;
    }
    list_for_each(link, &group->members) {
        const struct group_member *member = list_entry(link, struct group_member, link);
        struct describe_groups_response_member *to = &row->members[row->members_count++];
        to->member_id = span_text(member->member_id);
        to->group_instance_id = span_text(member->instance_id);
        to->client_id = span_text(member->client_id);
        to->client_host = span_text(member->client_host);
        /* Bytes of the clients' own protocol, untouched. An assignment holds until the next one. */
        to->member_metadata = settled ? group_member_metadata(member) : span_of("", 0);
        to->member_assignment = group_member_assignment(member);
    }
    return 0;
}

/* What a client may do with a group while nobody has fewer rights than another: read (3), delete
 * (6), describe (8), describe its configs (10), alter them (11). */
enum { GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11 };

static int describe_group(struct kafka_request *request, struct span id,
                          struct describe_groups_response_group *row) {
    struct coordinator *coordinator = request->userdata;
    const struct describe_groups_request *body = request->body;
    struct group_entry *entry = group_entry_find(coordinator, id);
    row->group_id = id;
    row->group_state = span_of("", 0);
    row->protocol_type = row->protocol_data = span_of("", 0);
    row->members_count = 0;
    row->error_code = coordinator_check(coordinator);
    if (row->error_code != KAFKA_NONE) {
        return 0;
    }
    if (!entry) {
        row->group_state = SPAN_LITERAL("Dead");
        if (request->version >= 6) {
            row->error_code = KAFKA_GROUP_ID_NOT_FOUND;
            row->error_message = span_text(arena_printf(request->arena, "Group %.*s not found.",
                                                        (int)id.size, (const char *)id.data));
        } else if (body->include_authorized_operations) {
            row->authorized_operations = GROUP_OPERATIONS;
        }
        return 0;
    }
    if (body->include_authorized_operations) {
        row->authorized_operations = GROUP_OPERATIONS;
    }
    const struct group *group = entry->group;
    row->group_state = span_text(group_state_name(group->state));
    row->protocol_type = span_text(group->protocol_type ? group->protocol_type : "");
    row->protocol_data =
        span_text(group->state == GROUP_STABLE && group->protocol ? group->protocol : "");
    return describe_members(request->arena, group, row);
}

void handle_describe_groups(struct kafka_request *request) {
    const struct describe_groups_request *body = request->body;
    struct describe_groups_response *answer =
        KAFKA_NEW(request->arena, describe_groups_response, 1);
    int32_t count = MAX(body->groups_count, 0);
    int r = -ENOMEM;
    if (answer &&
        (answer->groups = KAFKA_NEW(request->arena, describe_groups_response_group, count))) {
        answer->groups_count = count;
        r = 0;
        for (int32_t g = 0; g < count && r == 0; g++) {
            r = describe_group(request, body->groups[g], &answer->groups[g]);
        }
    }
    if (r != 0) {
        kafka_request_close(request, "out of memory");
    } else {
        kafka_respond(request, answer);
    }
}

/* ---- ListGroups ---- */

static bool filter_has(const struct span *filter, int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++) {
        if (filter[i].size == strlen(name) &&
            strncasecmp(filter[i].data, name, filter[i].size) == 0) {
            return true;
        }
    }
    return count <= 0;
}

void handle_list_groups(struct kafka_request *request) {
    const struct list_groups_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct list_groups_response *answer = KAFKA_NEW(request->arena, list_groups_response, 1);
    if (!answer || !(answer->groups = KAFKA_NEW(request->arena, list_groups_response_group,
                                                coordinator->groups.count))) {
        kafka_request_close(request, "out of memory");
        return;
    }
    answer->error_code = coordinator_check(coordinator);
    answer->groups_count = 0;
    size_t position = 0;
    struct group_entry *entry;
    while (answer->error_code == KAFKA_NONE &&
           (entry = hashmap_next(&coordinator->groups, &position))) {
        const char *state = group_state_name(entry->group->state);
        if (!filter_has(body->states_filter, body->states_filter_count, state) ||
            !filter_has(body->types_filter, body->types_filter_count, "classic")) {
            continue;
        }
        struct list_groups_response_group *row = &answer->groups[answer->groups_count++];
        row->group_id = span_text(entry->group->id);
        row->protocol_type =
            span_text(entry->group->protocol_type ? entry->group->protocol_type : "");
        row->group_state = span_text(state);
        row->group_type = SPAN_LITERAL("classic");
    }
    kafka_respond(request, answer);
}

/* ---- DeleteGroups: one answer when the tombstones of all groups are durable ---- */

struct group_deletion {
    struct kafka_request *request;
    struct delete_groups_response *answer;
    int32_t under_way;
};

struct one_deletion {
    struct group_deletion *all;
    struct delete_groups_response_result *result;
};

static void deletion_step(struct group_deletion *deletion) {
    if (--deletion->under_way == 0) {
        kafka_respond(deletion->request, deletion->answer);
    }
}

static void on_group_deleted(void *userdata, int status) {
    struct one_deletion *one = userdata;
    if (status != 0) {
        one->result->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    deletion_step(one->all);
}

/* Somebody may join while the tombstones are on their way: then the group that was there is gone
 * all the same, and its next record revives it as the new one. */
static void delete_one(struct group_deletion *deletion, struct group_entry *entry,
                       struct delete_groups_response_result *result) {
    struct one_deletion *one = arena_alloc(deletion->request->arena, sizeof *one);
    struct tombstones *tombstones = one ? tombstones_new(entry) : NULL;
    if (!tombstones) {
        result->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    *one = (struct one_deletion){deletion, result};
    size_t position = 0;
    struct offset_entry *offset;
    while ((offset = hashmap_next(&entry->offsets, &position))) {
        tombstones_add_offset(tombstones, offset_entry_topic(offset), offset->partition);
    }
    tombstones_add_group(tombstones);
    deletion->under_way++;
    tombstones_submit(tombstones, on_group_deleted, one);
}

void handle_delete_groups(struct kafka_request *request) {
    const struct delete_groups_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct group_deletion *deletion = arena_alloc(request->arena, sizeof *deletion);
    struct delete_groups_response *answer = KAFKA_NEW(request->arena, delete_groups_response, 1);
    int32_t count = MAX(body->groups_names_count, 0);
    if (!deletion || !answer ||
        !(answer->results = KAFKA_NEW(request->arena, delete_groups_response_result, count))) {
        kafka_request_close(request, "out of memory");
        return;
    }
    answer->results_count = 0;
    *deletion = (struct group_deletion){request, answer, 1};
    struct hashmap seen; /* a name counts once */
    hashmap_init(&seen, random_u64(coordinator->config.random),
                 random_u64(coordinator->config.random));
    for (int32_t g = 0; g < count; g++) {
        void *before = NULL;
        if (hashmap_put(&seen, body->groups_names[g], coordinator, &before) == 0 && before) {
            continue;
        }
        struct delete_groups_response_result *result = &answer->results[answer->results_count++];
        struct group_entry *entry = group_entry_find(coordinator, body->groups_names[g]);
        result->group_id = body->groups_names[g];
        result->error_code = coordinator_check(coordinator);
        if (result->error_code != KAFKA_NONE) {
            continue;
        }
        if (!entry) {
            result->error_code = KAFKA_GROUP_ID_NOT_FOUND;
        } else if (entry->group->state != GROUP_EMPTY) {
            result->error_code = KAFKA_NON_EMPTY_GROUP;
        } else {
            delete_one(deletion, entry, result);
        }
    }
    hashmap_deinit(&seen);
    deletion_step(deletion);
}
