/*
 * OffsetCommit. First what the topics say: a partition that does not exist is refused, whoever
 * asks. Then the group: may this one commit now? What is left is written as one batch, and
 * answered when it is durable.
 */
#include "handlers.h"
#include "merge_rows.h"

#include <string.h>

struct commit {
    struct kafka_request *request;
    struct offset_commit_response *answer;
    int64_t commit_ms;
    int64_t expire_ms;     /* -1: the broker's retention */
    size_t promised_bytes; /* to offsets that are new */
    bool unknown;          /* some topic or partition does not exist */
    bool full;             /* there was no room for some offset */
};

static struct committed_offset committed_of(const struct commit *commit, const struct topic *topic,
                                            const struct offset_commit_request_partition *asked) {
    return (struct committed_offset){
        .offset = asked->committed_offset,
        .leader_epoch = commit->request->version >= 6 ? asked->committed_leader_epoch : -1,
        .commit_ms = commit->commit_ms,
        .expire_ms = commit->expire_ms,
        .topic_id = topic ? topic->id : (struct uuid){{0}},
        .metadata = asked->committed_metadata.data ? asked->committed_metadata : span_of("", 0),
    };
}

static struct topic *commit_topic(const struct commit *commit,
                                  const struct offset_commit_request_topic *asked) {
    const struct coordinator *coordinator = commit->request->userdata;
    return commit->request->version >= 10
               ? topic_log_find_id(coordinator->config.log, &asked->topic_id)
               : topic_log_find(coordinator->config.log, asked->name);
}

/* ---- the answer ---- */

/* Every partition without an error so far gets this one. */
static void refuse_rest(struct offset_commit_response *answer, enum kafka_error error) {
    for (int32_t t = 0; t < answer->topics_count; t++) {
        for (int32_t p = 0; p < answer->topics[t].partitions_count; p++) {
            struct offset_commit_response_partition *row = &answer->topics[t].partitions[p];
            row->error_code = row->error_code ? row->error_code : (int16_t)error;
        }
    }
}

/*
 * A topic without partitions has a row only where it is the topic that is missing. Where something
 * is missing, Kafka puts the answer together by topics, and one that is named twice has one row.
 */
static void respond(struct commit *commit) {
    const struct offset_commit_request *body = commit->request->body;
    struct offset_commit_response *answer = commit->answer;
    int32_t kept = 0;
    for (int32_t t = 0; t < answer->topics_count; t++) {
        if (answer->topics[t].partitions_count > 0 || !commit_topic(commit, &body->topics[t])) {
            answer->topics[kept++] = answer->topics[t];
        }
    }
    answer->topics_count = kept;
    if (commit->unknown &&
        (commit->request->version >= 10 ? MERGE_ROWS(commit->request->arena, answer->topics,
                                                     &answer->topics_count, topic_id, partitions)
                                        : MERGE_ROWS(commit->request->arena, answer->topics,
                                                     &answer->topics_count, name, partitions))) {
        kafka_request_close(commit->request, "out of memory");
        return;
    }
    kafka_respond(commit->request, answer);
}

/* The topic may have gone since; then its id is left as it was written. */
static void keep(struct commit *commit, struct group_entry *entry, int32_t index) {
    const struct offset_commit_request *body = commit->request->body;
    const struct offset_commit_request_topic *asked = &body->topics[index];
    struct offset_commit_response_topic *row = &commit->answer->topics[index];
    const struct topic *topic = topic_log_find(entry->coordinator->config.log, row->name);
    for (int32_t p = 0; p < row->partitions_count; p++) {
        if (row->partitions[p].error_code == KAFKA_NONE) {
            struct committed_offset committed = committed_of(commit, topic, &asked->partitions[p]);
            (void)offset_entry_put(entry, row->name, row->partitions[p].partition_index,
                                   &committed);
            entry->coordinator->stats.commits++;
        }
    }
}

static void on_committed(struct group_write *write, int status) {
    struct commit *commit = write->userdata;
    for (int32_t t = 0; status == 0 && !write->entry->deleted && t < commit->answer->topics_count;
         t++) {
        keep(commit, write->entry, t);
    }
    refuse_rest(commit->answer, group_write_error(status));
    respond(commit);
}

/* ---- checks ---- */

/* Lays out a topic's rows; returns how many of its partitions exist, -1 without memory. */
static int32_t fill_topic(struct commit *commit, int32_t index) {
    const struct offset_commit_request *body = commit->request->body;
    const struct offset_commit_request_topic *asked = &body->topics[index];
    struct offset_commit_response_topic *row = &commit->answer->topics[index];
    struct topic *topic = commit_topic(commit, asked);
    bool by_id = commit->request->version >= 10;
    int32_t count = MAX(asked->partitions_count, 0), there = 0;
    row->topic_id = asked->topic_id;
    row->name = asked->name;
    if (by_id && topic) {
        size_t size = strlen(topic->name);
        row->name = span_of(arena_dup(commit->request->arena, topic->name, size), size);
    }
    row->partitions = KAFKA_NEW(commit->request->arena, offset_commit_response_partition, count);
    if (!row->partitions || (by_id && topic && !row->name.data)) {
        return -1;
    }
    row->partitions_count = count;
    commit->unknown = commit->unknown || !topic;
    for (int32_t p = 0; p < count; p++) {
        int32_t partition = asked->partitions[p].partition_index;
        bool known = topic && partition_get(topic, partition);
        row->partitions[p].partition_index = partition;
        row->partitions[p].error_code = known             ? KAFKA_NONE
                                        : by_id && !topic ? KAFKA_UNKNOWN_TOPIC_ID
                                                          : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        commit->unknown = commit->unknown || !known;
        there += known;
    }
    return there;
}

static enum kafka_error commit_check(const struct kafka_request *request,
                                     struct group_entry **ret_entry) {
    const struct offset_commit_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    enum kafka_error error = coordinator_check(coordinator);
    if (error != KAFKA_NONE) {
        return error;
    }
    if (!group_entry_find(coordinator, body->group_id) &&
        body->generation_id_or_member_epoch >= 0) {
        return request->version >= 9 ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_ILLEGAL_GENERATION;
    }
    error = group_entry_get(coordinator, body->group_id, 0, ret_entry);
    return error ? error
                 : group_check_commit((*ret_entry)->group, body->member_id, body->group_instance_id,
                                      body->generation_id_or_member_epoch);
}

/* ---- the write ---- */

static enum kafka_error check_offset(struct commit *commit, struct group_entry *entry,
                                     struct span topic,
                                     const struct offset_commit_request_partition *asked) {
    if (java_text_length(asked->committed_metadata) > entry->coordinator->config.metadata_max) {
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    }
    if (!offset_entry_find(entry, topic, asked->partition_index) &&
        !offset_entry_has_room(entry, topic.size + asked->committed_metadata.size,
                               &commit->promised_bytes)) {
        commit->full = true;
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    return KAFKA_NONE;
}

/* Adds the records of one topic; returns how many. */
static int32_t add_records(struct commit *commit, struct group_write *write, int32_t index) {
    const struct offset_commit_request *body = commit->request->body;
    const struct offset_commit_request_topic *asked = &body->topics[index];
    struct offset_commit_response_topic *row = &commit->answer->topics[index];
    const struct topic *topic = commit_topic(commit, asked);
    struct text key, value;
    int32_t records = 0;
    text_init(&key);
    text_init(&value);
    for (int32_t p = 0; p < row->partitions_count; p++) {
        const struct offset_commit_request_partition *wanted = &asked->partitions[p];
        if (row->partitions[p].error_code == KAFKA_NONE) {
            row->partitions[p].error_code =
                (int16_t)check_offset(commit, write->entry, row->name, wanted);
        }
        if (row->partitions[p].error_code == KAFKA_NONE) {
            struct committed_offset committed = committed_of(commit, topic, wanted);
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

static void commit_write(struct commit *commit, struct group_entry *entry) {
    struct group_write *write = group_write_new(entry);
    int32_t records = 0;
    if (!write) {
        refuse_rest(commit->answer, KAFKA_COORDINATOR_NOT_AVAILABLE);
        respond(commit);
        return;
    }
    for (int32_t t = 0; t < commit->answer->topics_count; t++) {
        records += add_records(commit, write, t);
    }
    if (records > 0) {
        write->userdata = commit;
        group_write_submit(write, on_committed);
        return;
    }
    group_write_discard(write);
    /* A group that had no room for what it was made for goes; where metadata was too large, it
     * stays until the next check, as in Kafka. */
    if (commit->full && entry->writes == 0 && group_entry_is_unused(entry)) {
        group_entry_remove(entry);
    }
    respond(commit);
}

void handle_offset_commit(struct kafka_request *request) {
    const struct offset_commit_request *body = request->body;
    struct coordinator *coordinator = request->userdata;
    struct group_entry *entry = NULL;
    int32_t count = MAX(body->topics_count, 0), there = 0;
    struct commit *commit = arena_alloc(request->arena, sizeof *commit);
    struct offset_commit_response *answer = KAFKA_NEW(request->arena, offset_commit_response, 1);
    if (!commit || !answer ||
        !(answer->topics = KAFKA_NEW(request->arena, offset_commit_response_topic, count))) {
        kafka_request_close(request, "out of memory");
        return;
    }
    int64_t now_ms = clock_wall_ms(loop_clock(coordinator->config.loop));
    bool expires = request->version <= 4 && body->retention_time_ms >= 0;
    *commit = (struct commit){
        .request = request,
        .answer = answer,
        .commit_ms = now_ms,
        .expire_ms = expires ? now_ms + MIN(body->retention_time_ms, INT64_MAX - now_ms) : -1,
    };
    for (int32_t t = 0; t < count; t++) {
        int32_t found = fill_topic(commit, t);
        if (found < 0) {
            kafka_request_close(request, "out of memory");
            return;
        }
        answer->topics_count++;
        there += found;
    }
    enum kafka_error error = there > 0 ? commit_check(request, &entry) : KAFKA_NONE;
    if (there == 0 || error != KAFKA_NONE) {
        refuse_rest(answer, error);
        respond(commit);
    } else {
        commit_write(commit, entry);
    }
}
