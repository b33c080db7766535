/* OffsetFetch, OffsetDelete. */
#include "handlers.h"
#include "merge_rows.h"

#include <stdlib.h>
#include <string.h>

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
    row->error_code = coordinator_check(coordinator);
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
            /* A null name: an id that nobody has. */
            fetch_one(topic->name.data ? entry : NULL, topic->name, wanted->partition_indexes[p],
                      &topic->partitions[p]);
            if (by_id && !topic->name.data) {
                topic->partitions[p].error_code = KAFKA_UNKNOWN_TOPIC_ID;
            }
        }
    }
    return 0;
}

/* Version 1 has no error of the whole: each partition says it. */
static int refuse_partitions(struct kafka_request *request, struct offset_fetch_response *answer,
                             int16_t error) {
    const struct offset_fetch_request *body = request->body;
    answer->topics_count = MAX(body->topics_count, 0);
    answer->topics = KAFKA_NEW(request->arena, offset_fetch_response_topic, answer->topics_count);
    for (int32_t t = 0; answer->topics && t < answer->topics_count; t++) {
        struct offset_fetch_response_topic *row = &answer->topics[t];
        row->name = body->topics[t].name;
        row->partitions_count = MAX(body->topics[t].partition_indexes_count, 0);
        row->partitions =
            KAFKA_NEW(request->arena, offset_fetch_response_partition, row->partitions_count);
        if (!row->partitions) {
            return -ENOMEM;
        }
        for (int32_t p = 0; p < row->partitions_count; p++) {
            row->partitions[p].partition_index = body->topics[t].partition_indexes[p];
            row->partitions[p].committed_offset = -1;
            row->partitions[p].metadata = span_of("", 0);
            row->partitions[p].error_code = error;
        }
    }
    return answer->topics ? 0 : -ENOMEM;
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
    if (row.error_code != KAFKA_NONE && request->version < 2) {
        return refuse_partitions(request, answer, row.error_code);
    }
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

struct offset_deletion {
    struct kafka_request *request;
    struct offset_delete_response *answer;
};

static void on_deleted(void *userdata, int status) {
    struct offset_deletion *deletion = userdata;
    struct offset_delete_response *answer = deletion->answer;
    for (int32_t t = 0; status != 0 && t < answer->topics_count; t++) {
        for (int32_t p = 0; p < answer->topics[t].partitions_count; p++) {
            if (answer->topics[t].partitions[p].error_code == KAFKA_NONE) {
                answer->topics[t].partitions[p].error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
            }
        }
    }
    kafka_respond(deletion->request, answer);
}

/* Sets *ret_unknown where there is no such topic or partition, and leaves it else. */
static int delete_topic(struct kafka_request *request, struct group_entry *entry, bool subscribed,
                        struct tombstones *tombstones, bool *ret_unknown,
                        const struct offset_delete_request_topic *asked,
                        struct offset_delete_response_topic *row) {
    struct topic *topic = topic_log_find(entry->coordinator->config.log, asked->name);
    row->name = asked->name;
    *ret_unknown = *ret_unknown || !topic;
    row->partitions_count = MAX(asked->partitions_count, 0);
    row->partitions =
        KAFKA_NEW(request->arena, offset_delete_response_partition, row->partitions_count);
    for (int32_t p = 0; row->partitions && p < row->partitions_count; p++) {
        int32_t index = asked->partitions[p].partition_index;
        row->partitions[p].partition_index = index;
        if (!topic || !partition_get(topic, index)) {
            row->partitions[p].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            *ret_unknown = true;
        } else if (subscribed) {
            row->partitions[p].error_code = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
        } else if (offset_entry_find(entry, asked->name, index)) {
            tombstones_add_offset(tombstones, asked->name, index);
        }
    }
    return row->partitions ? 0 : -ENOMEM;
}

static int delete_all(struct kafka_request *request, struct group_entry *entry,
                      struct tombstones *tombstones, struct offset_delete_response *answer) {
    const struct offset_delete_request *body = request->body;
    struct consumer_topics subscribed;
    bool unknown =
        false; /* then a topic that is named twice has one row, as where offsets are committed */
    int r = consumer_topics_collect(entry->group, &subscribed);
    if (r != 0) {
        return err_trace(r);
    }
    for (int32_t t = 0; t < body->topics_count && r == 0; t++) {
        const struct offset_delete_request_topic *asked = &body->topics[t];
        bool has = consumer_topics_has(&subscribed, entry->group, asked->name);
        if (asked->partitions_count <= 0 &&
            topic_log_find(entry->coordinator->config.log, asked->name)) {
            continue; /* has no row: only a topic that is missing has an empty one */
        }
        r = delete_topic(request, entry, has, tombstones, &unknown, asked,
                         &answer->topics[answer->topics_count++]);
    }
    consumer_topics_deinit(&subscribed);
    if (r == 0 && unknown) {
        r = MERGE_ROWS(request->arena, answer->topics, &answer->topics_count, name, partitions);
    }
    return r;
}

static enum kafka_error delete_check(struct coordinator *coordinator, struct span group_id,
                                     struct group_entry *entry) {
    enum kafka_error error = coordinator_check_member(coordinator, group_id);
    if (error == KAFKA_NONE && !entry) {
        error = KAFKA_GROUP_ID_NOT_FOUND;
    } else if (error == KAFKA_NONE && entry->group->state != GROUP_EMPTY &&
               !group_is_consumers(entry->group)) {
        error = KAFKA_NON_EMPTY_GROUP; /* who knows what such members read */
    }
    return error;
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
    answer->topics_count = 0;
    answer->error_code = delete_check(coordinator, body->group_id, entry);
    if (answer->error_code != KAFKA_NONE) {
        kafka_respond(request, answer);
        return;
    }
    *deletion = (struct offset_deletion){request, answer};
    struct tombstones *tombstones = tombstones_new(entry);
    if (!tombstones || delete_all(request, entry, tombstones, answer) != 0) {
        tombstones_discard(tombstones);
        kafka_request_close(request, "out of memory");
        return;
    }
    tombstones_submit(tombstones, on_deleted, deletion);
}
