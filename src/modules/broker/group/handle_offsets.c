/* OffsetCommit, OffsetFetch, OffsetDelete. */
#include "handlers.h"

#include <eventbox/base/bytes.h>
#include <stdlib.h>
#include <string.h>

/* ---- OffsetCommit ---- */

struct commit {
    struct kafka_request *request;
    struct offset_commit_response *answer;
    int64_t commit_ms;
};

static struct committed_offset committed_of(const struct commit *commit,
                                            const struct offset_commit_request_partition *asked) {
    return (struct committed_offset){
        .offset = asked->committed_offset,
        .leader_epoch = commit->request->version >= 6 ? asked->committed_leader_epoch : -1,
        .commit_ms = commit->commit_ms,
        .metadata = asked->committed_metadata.data ? asked->committed_metadata : span_of("", 0),
    };
}

static void on_committed(struct group_write *write, int status) {
    struct commit *commit = write->userdata;
    const struct offset_commit_request *body = commit->request->body;
    for (int32_t t = 0; t < body->topics_count; t++) {
        struct offset_commit_response_topic *topic = &commit->answer->topics[t];
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            if (topic->partitions[p].error_code != KAFKA_NONE) {
                continue;
            }
            struct committed_offset committed =
                committed_of(commit, &body->topics[t].partitions[p]);
            if (status != 0) {
                topic->partitions[p].error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
            } else if (!write->entry->deleted) {
                status = offset_entry_put(write->entry, topic->name,
                                          topic->partitions[p].partition_index, &committed);
                write->entry->coordinator->stats.commits++;
            }
        }
    }
    kafka_respond(commit->request, commit->answer);
}

/* What one partition of a commit is answered before anything is written. */
static enum kafka_error check_partition(const struct coordinator *coordinator, struct topic *topic,
                                        const struct offset_commit_request_partition *asked,
                                        bool by_id) {
    if (!topic) {
        return by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (!partition_get(topic, asked->partition_index)) {
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    return asked->committed_metadata.size > coordinator->config.metadata_bytes_max
               ? KAFKA_OFFSET_METADATA_TOO_LARGE
               : KAFKA_NONE;
}

/* Lays out the answer and, where the commit is good, adds its record. Returns the number of
 * records, -1 without memory. */
static int fill_topic(struct commit *commit, struct coordinator *coordinator,
                      enum kafka_error error, int32_t index, struct group_write *write) {
    const struct offset_commit_request *body = commit->request->body;
    const struct offset_commit_request_topic *asked = &body->topics[index];
    struct offset_commit_response_topic *row = &commit->answer->topics[index];
    bool by_id = commit->request->version >= 10;
    struct topic *topic = by_id ? topic_log_find_id(coordinator->config.log, &asked->topic_id)
                                : topic_log_find(coordinator->config.log, asked->name);
    struct text key, value;
    int records = 0;
    row->topic_id = asked->topic_id;
    row->name = by_id && topic
                    ? span_of(arena_dup(commit->request->arena, topic->name, strlen(topic->name)),
                              strlen(topic->name))
                    : asked->name;
    row->partitions = KAFKA_NEW(commit->request->arena, offset_commit_response_partition,
                                asked->partitions_count);
    if (!row->partitions) {
        return -1;
    }
    row->partitions_count = MAX(asked->partitions_count, 0);
    text_init(&key);
    text_init(&value);
    for (int32_t p = 0; p < row->partitions_count; p++) {
        const struct offset_commit_request_partition *wanted = &asked->partitions[p];
        enum kafka_error own = error ? error : check_partition(coordinator, topic, wanted, by_id);
        row->partitions[p].partition_index = wanted->partition_index;
        row->partitions[p].error_code = own;
        if (own == KAFKA_NONE) {
            struct committed_offset committed = committed_of(commit, wanted);
            offset_record_put_commit_key(&key, body->group_id, row->name, wanted->partition_index);
            offset_record_put_commit_value(&value, &committed);
            group_write_add(write, &key, &value);
            records++;
        }
    }
    text_deinit(&key);
    text_deinit(&value);
    return records;
}

static enum kafka_error commit_check(struct coordinator *coordinator,
                                     const struct offset_commit_request *body,
                                     struct group_entry **ret_entry) {
    enum kafka_error error = coordinator_check(coordinator, body->group_id);
    if (error != KAFKA_NONE) {
        return error;
    }
    if (!group_entry_find(coordinator, body->group_id) &&
        body->generation_id_or_member_epoch >= 0) {
        return KAFKA_ILLEGAL_GENERATION;
    }
    error = group_entry_get(coordinator, body->group_id, ret_entry);
    return error ? error
                 : group_check_commit((*ret_entry)->group, body->member_id, body->group_instance_id,
                                      body->generation_id_or_member_epoch);
}

void handle_offset_commit(struct kafka_request *request) {
    const struct offset_commit_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct group_entry *entry = NULL;
    struct group_write *write = NULL;
    int32_t topic_count = MAX(body->topics_count, 0);
    int records = 0;
    struct commit *commit = arena_alloc(request->arena, sizeof *commit);
    struct offset_commit_response *answer = KAFKA_NEW(request->arena, offset_commit_response, 1);
    if (!commit || !answer ||
        !(answer->topics = KAFKA_NEW(request->arena, offset_commit_response_topic, topic_count))) {
        kafka_request_close(request, "out of memory");
        return;
    }
    *commit = (struct commit){request, answer, clock_wall_ms(loop_clock(coordinator->config.loop))};
    answer->topics_count = topic_count;
    enum kafka_error error = commit_check(coordinator, body, &entry);
    if (error == KAFKA_NONE && !(write = group_write_new(entry))) {
        error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    for (int32_t t = 0; t < topic_count && records >= 0; t++) {
        int added = fill_topic(commit, coordinator, error, t, write);
        records = added < 0 ? -1 : records + added;
    }
    if (records > 0) {
        write->userdata = commit;
        group_write_submit(write, on_committed);
        return;
    }
    group_write_discard(write);
    if (records < 0) {
        kafka_request_close(request, "out of memory");
    } else {
        kafka_respond(request, answer);
    }
}

/* ---- OffsetFetch ---- */

static void fetch_one(struct group_entry *entry, struct span topic, int32_t partition,
                      struct offset_fetch_response_group_partition *row) {
    struct offset_entry *found = entry ? offset_entry_find(entry, topic, partition) : NULL;
    row->partition_index = partition;
    row->committed_offset = found ? found->committed.offset : -1;
    row->committed_leader_epoch = found ? found->committed.leader_epoch : -1;
    row->metadata = found ? found->committed.metadata : span_of("", 0);
    row->error_code = KAFKA_NONE;
}

static int compare_offsets(const void *a, const void *b) {
    const struct offset_entry *left = *(struct offset_entry *const *)a;
    const struct offset_entry *right = *(struct offset_entry *const *)b;
    int order =
        strcmp((const char *)left->key, (const char *)right->key); /* a zero byte ends the topic */
    return order ? order
                 : (left->partition > right->partition) - (left->partition < right->partition);
}

/* Null topics: everything that the group has committed, one row for each topic. */
static int fetch_all(struct arena *arena, struct group_entry *entry,
                     struct offset_fetch_response_group *row) {
    size_t count = entry ? entry->offsets.count : 0;
    struct offset_entry **sorted = arena_alloc(arena, sizeof(void *) * MAX(count, (size_t)1));
    row->topics = KAFKA_NEW(arena, offset_fetch_response_group_topic, count);
    row->topics_count = 0;
    if (!sorted || !row->topics) {
        return -ENOMEM;
    }
    size_t position = 0, filled = 0;
    struct offset_entry *offset;
    while (entry && filled < count && (offset = hashmap_next(&entry->offsets, &position))) {
        sorted[filled++] = offset;
    }
    qsort(sorted, filled, sizeof(void *), compare_offsets);
    struct offset_fetch_response_group_partition *partitions =
        KAFKA_NEW(arena, offset_fetch_response_group_partition, filled);
    if (!partitions) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < filled; i++) {
        struct span topic = offset_entry_topic(sorted[i]);
        struct offset_fetch_response_group_topic *last =
            row->topics_count ? &row->topics[row->topics_count - 1] : NULL;
        if (!last || !span_equal(last->name, topic)) {
            last = &row->topics[row->topics_count++];
            last->name = topic;
            last->partitions = &partitions[i];
            last->partitions_count = 0;
        }
        fetch_one(entry, topic, sorted[i]->partition, &last->partitions[last->partitions_count++]);
    }
    return 0;
}

static void name_or_id(struct coordinator *coordinator,
                       struct offset_fetch_response_group_topic *row, bool by_id) {
    struct topic *topic = by_id ? topic_log_find_id(coordinator->config.log, &row->topic_id)
                                : topic_log_find(coordinator->config.log, row->name);
    if (by_id) {
        row->name = topic ? span_text(topic->name) : SPAN_NULL;
    } else if (topic) {
        row->topic_id = topic->id;
    }
}

static int fetch_group(struct kafka_request *request,
                       const struct offset_fetch_request_group *asked,
                       struct offset_fetch_response_group *row) {
    struct coordinator *coordinator = request->userdata;
    struct group_entry *entry = group_entry_find(coordinator, asked->group_id);
    bool by_id = request->version >= 10;
    row->group_id = asked->group_id;
    row->error_code = coordinator_check(coordinator, asked->group_id);
    row->topics_count = 0;
    if (row->error_code != KAFKA_NONE) {
        return 0;
    }
    if (asked->topics_count < 0) {
        int r = fetch_all(request->arena, entry, row);
        for (int32_t t = 0; r == 0 && by_id && t < row->topics_count; t++) {
            name_or_id(coordinator, &row->topics[t], false);
        }
        return r;
    }
    row->topics = KAFKA_NEW(request->arena, offset_fetch_response_group_topic, asked->topics_count);
    if (!row->topics) {
        return -ENOMEM;
    }
    row->topics_count = asked->topics_count;
    for (int32_t t = 0; t < asked->topics_count; t++) {
        const struct offset_fetch_request_group_topic *wanted = &asked->topics[t];
        struct offset_fetch_response_group_topic *topic = &row->topics[t];
        int32_t count = MAX(wanted->partition_indexes_count, 0);
        topic->name = wanted->name;
        topic->topic_id = wanted->topic_id;
        if (by_id) {
            name_or_id(coordinator, topic, true);
        }
        topic->partitions = KAFKA_NEW(request->arena, offset_fetch_response_group_partition, count);
        if (!topic->partitions) {
            return -ENOMEM;
        }
        topic->partitions_count = count;
        for (int32_t p = 0; p < count; p++) {
            fetch_one(entry, topic->name, wanted->partition_indexes[p], &topic->partitions[p]);
            if (by_id && !topic->name.data) {
                topic->partitions[p].error_code = KAFKA_UNKNOWN_TOPIC_ID;
            }
        }
    }
    return 0;
}

/* Versions below 8 ask for one group, with the same rows one level higher. */
static int fetch_single(struct kafka_request *request, struct offset_fetch_response *answer) {
    const struct offset_fetch_request *body = request->body;
    struct offset_fetch_request_group asked = {.group_id = body->group_id,
                                               .topics_count = body->topics_count};
    struct offset_fetch_response_group row = {0};
    int32_t count = MAX(body->topics_count, 0);
    asked.topics = KAFKA_NEW(request->arena, offset_fetch_request_group_topic, count);
    if (!asked.topics) {
        return -ENOMEM;
    }
    for (int32_t t = 0; t < count; t++) {
        asked.topics[t].name = body->topics[t].name;
        asked.topics[t].partition_indexes = body->topics[t].partition_indexes;
        asked.topics[t].partition_indexes_count = body->topics[t].partition_indexes_count;
    }
    int r = fetch_group(request, &asked, &row);
    answer->error_code = row.error_code;
    answer->topics_count = row.topics_count;
    answer->topics = KAFKA_NEW(request->arena, offset_fetch_response_topic, row.topics_count);
    if (r != 0 || !answer->topics) {
        return -ENOMEM;
    }
    for (int32_t t = 0; t < row.topics_count; t++) {
        const struct offset_fetch_response_group_topic *from = &row.topics[t];
        struct offset_fetch_response_topic *to = &answer->topics[t];
        to->name = from->name;
        to->partitions_count = from->partitions_count;
        to->partitions =
            KAFKA_NEW(request->arena, offset_fetch_response_partition, from->partitions_count);
        for (int32_t p = 0; to->partitions && p < from->partitions_count; p++) {
            to->partitions[p].partition_index = from->partitions[p].partition_index;
            to->partitions[p].committed_offset = from->partitions[p].committed_offset;
            to->partitions[p].committed_leader_epoch = from->partitions[p].committed_leader_epoch;
            to->partitions[p].metadata = from->partitions[p].metadata;
            to->partitions[p].error_code = from->partitions[p].error_code;
        }
        if (!to->partitions) {
            return -ENOMEM;
        }
    }
    return 0;
}

void handle_offset_fetch(struct kafka_request *request) {
    const struct offset_fetch_request *body = request->body;
    struct offset_fetch_response *answer = KAFKA_NEW(request->arena, offset_fetch_response, 1);
    int r = answer ? 0 : -ENOMEM;
    if (r == 0 && request->version < 8) {
        r = fetch_single(request, answer);
    } else if (r == 0) {
        int32_t count = MAX(body->groups_count, 0);
        answer->groups = KAFKA_NEW(request->arena, offset_fetch_response_group, count);
        r = answer->groups ? 0 : -ENOMEM;
        answer->groups_count = count;
        for (int32_t g = 0; g < count && r == 0; g++) {
            r = fetch_group(request, &body->groups[g], &answer->groups[g]);
        }
    }
    if (r != 0) {
        kafka_request_close(request, "out of memory");
    } else {
        kafka_respond(request, answer);
    }
}

/* ---- OffsetDelete ---- */

/* Whether a member's subscription (consumer protocol: int16 version, array of topic names, ...)
 * names @topic. */
static bool subscription_names(struct span subscription, struct span topic) {
    const uint8_t *at = subscription.data;
    size_t left = subscription.size;
    if (left < 6) {
        return false;
    }
    int32_t count = (int32_t)get_be32(at + 2);
    at += 6;
    left -= 6;
    for (int32_t i = 0; i < count && left >= 2; i++) {
        size_t size = get_be16(at);
        if (size > left - 2) {
            return false;
        }
        if (span_equal(span_of(at + 2, size), topic)) {
            return true;
        }
        at += 2 + size;
        left -= 2 + size;
    }
    return false;
}

static bool group_subscribes(const struct group *group, struct span topic) {
    list_for_each(link, &group->members) {
        const struct group_member *member = list_entry(link, struct group_member, link);
        for (size_t i = 0; i < member->protocol_count; i++) {
            if (subscription_names(member->protocols[i].metadata, topic)) {
                return true;
            }
        }
    }
    return false;
}

struct offset_deletion {
    struct kafka_request *request;
    struct offset_delete_response *answer;
};

static void on_deleted(struct group_write *write, int status) {
    struct offset_deletion *deletion = write->userdata;
    for (int32_t t = 0; t < deletion->answer->topics_count; t++) {
        struct offset_delete_response_topic *topic = &deletion->answer->topics[t];
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            if (status != 0 && topic->partitions[p].error_code == KAFKA_NONE) {
                topic->partitions[p].error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
            } else if (topic->partitions[p].error_code == KAFKA_NONE && !write->entry->deleted) {
                offset_entry_remove(write->entry, topic->name,
                                    topic->partitions[p].partition_index);
            }
        }
    }
    kafka_respond(deletion->request, deletion->answer);
}

static int delete_topic(struct kafka_request *request, struct group_entry *entry,
                        struct group_write *write, const struct offset_delete_request_topic *asked,
                        struct offset_delete_response_topic *row) {
    bool subscribed = group_subscribes(entry->group, asked->name);
    struct text key;
    int records = 0;
    row->name = asked->name;
    row->partitions_count = MAX(asked->partitions_count, 0);
    row->partitions =
        KAFKA_NEW(request->arena, offset_delete_response_partition, row->partitions_count);
    text_init(&key);
    for (int32_t p = 0; row->partitions && p < row->partitions_count; p++) {
        row->partitions[p].partition_index = asked->partitions[p].partition_index;
        if (subscribed) {
            row->partitions[p].error_code = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
        } else if (offset_entry_find(entry, asked->name, asked->partitions[p].partition_index)) {
            offset_record_put_commit_key(&key, span_text(entry->group->id), asked->name,
                                         asked->partitions[p].partition_index);
            group_write_add(write, &key, NULL);
            records++;
        }
    }
    text_deinit(&key);
    return row->partitions ? records : -ENOMEM;
}

void handle_offset_delete(struct kafka_request *request) {
    const struct offset_delete_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct group_entry *entry = group_entry_find(coordinator, body->group_id);
    struct offset_deletion *deletion = arena_alloc(request->arena, sizeof *deletion);
    struct offset_delete_response *answer = KAFKA_NEW(request->arena, offset_delete_response, 1);
    int32_t count = MAX(body->topics_count, 0);
    if (!deletion || !answer ||
        !(answer->topics = KAFKA_NEW(request->arena, offset_delete_response_topic, count))) {
        kafka_request_close(request, "out of memory");
        return;
    }
    answer->error_code = coordinator_check(coordinator, body->group_id);
    if (answer->error_code == KAFKA_NONE && !entry) {
        answer->error_code = KAFKA_GROUP_ID_NOT_FOUND;
    } else if (answer->error_code == KAFKA_NONE && entry->group->member_count > 0 &&
               !span_equal(span_text(entry->group->protocol_type), SPAN_LITERAL("consumer"))) {
        answer->error_code = KAFKA_NON_EMPTY_GROUP; /* who knows what such members read */
    }
    struct group_write *write = answer->error_code == KAFKA_NONE ? group_write_new(entry) : NULL;
    int records = 0;
    if (!write) {
        kafka_respond(request, answer);
        return;
    }
    *deletion = (struct offset_deletion){request, answer};
    answer->topics_count = count;
    for (int32_t t = 0; t < count && records >= 0; t++) {
        int added = delete_topic(request, entry, write, &body->topics[t], &answer->topics[t]);
        records = added < 0 ? -1 : records + added;
    }
    if (records > 0) {
        write->userdata = deletion;
        group_write_submit(write, on_deleted);
        return;
    }
    group_write_discard(write);
    if (records < 0) {
        kafka_request_close(request, "out of memory");
    } else {
        kafka_respond(request, answer);
    }
}
