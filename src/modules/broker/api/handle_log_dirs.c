/* DescribeLogDirs and AlterReplicaLogDirs: there is one folder, and everything is in it. */
#include "places.h"

#include "api_private.h"
#include "merge_rows.h"

#include <eventbox/base/utf8.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FOLDER_NAME_MAX = 255 };

/* ---- DescribeLogDirs ---- */

/* The space of the disk is asked for off the loop; the request waits for it, or leaves. */
struct log_dirs {
    struct topic_log_space space;
    struct kafka_request *request;
    struct describe_log_dirs_response *answer;
};

static void add_partition(const struct topic *topic, int32_t index,
                          struct describe_log_dirs_response_topic *row) {
    struct describe_log_dirs_response_partition *column = &row->partitions[row->partitions_count];

    if (index >= 0 && index < topic->partition_count) { /* the others are on no disk */
        column->partition_index = index;
        column->partition_size = (int64_t)partition_bytes(topic->partitions[index]);
        row->partitions_count++;
    }
}

/* @wanted: NULL for all partitions. @last: of places_last(), where the topic's begin with @first.
 */
static bool add_topic(const struct kafka_request *request, const struct topic *topic,
                      const int32_t *wanted, int32_t count, const uint32_t *last, uint32_t first,
                      struct describe_log_dirs_response_result *result) {
    struct describe_log_dirs_response_topic *row = &result->topics[result->topics_count];

    row->partitions = KAFKA_NEW(request->arena, describe_log_dirs_response_partition,
                                (size_t)MAX(wanted ? count : topic->partition_count, 0));
    row->name =
        span_of(arena_dup(request->arena, topic->name, strlen(topic->name)), strlen(topic->name));
    if (!row->partitions || !row->name.data) {
        return false;
    }
    for (int32_t i = 0; i < (wanted ? count : topic->partition_count); i++) {
        if (!last || last[first + (uint32_t)i] == first + (uint32_t)i) {
            add_partition(topic, wanted ? wanted[i] : i, row);
        }
    }
    result->topics_count += row->partitions_count > 0;
    return true;
}

static bool add_all(const struct kafka_request *request,
                    struct describe_log_dirs_response_result *result) {
    const struct broker *broker = request->userdata;
    const struct topic *topic;
    size_t position = 0;
    size_t count = 0;
    bool ok;

    while (topic_log_next(broker->log, &position)) {
        count++;
    }
    result->topics = KAFKA_NEW(request->arena, describe_log_dirs_response_topic, count);
    ok = result->topics != NULL;
    position = 0;
    while (ok && (topic = topic_log_next(broker->log, &position))) {
        ok = add_topic(request, topic, NULL, 0, NULL, 0, result);
    }
    return ok;
}

static bool add_wanted(const struct kafka_request *request,
                       struct describe_log_dirs_response_result *result) {
    const struct describe_log_dirs_request *body = request->body;
    const struct broker *broker = request->userdata;
    uint32_t first = 0;
    uint32_t *last;
    bool ok;

    result->topics = KAFKA_NEW(request->arena, describe_log_dirs_response_topic,
                               (size_t)MAX(body->topics_count, 0));
    ok = result->topics != NULL && PLACES_LAST(request->arena, body->topics, body->topics_count,
                                               topic, partitions, 0, &last) == 0;
    for (int32_t i = 0; ok && i < body->topics_count; i++) {
        const struct topic *topic = topic_log_find(broker->log, body->topics[i].topic);
        int32_t count = MAX(body->topics[i].partitions_count, 0);

        ok = !topic || count == 0 ||
             add_topic(request, topic, body->topics[i].partitions, count, last, first, result);
        first += (uint32_t)count;
    }
    return ok &&
           !MERGE_ROWS(request->arena, result->topics, &result->topics_count, name, partitions);
}

static void on_space(struct topic_log_space *space, int status) {
    struct log_dirs *dirs = container_of(space, struct log_dirs, space);

    if (!status) {
        dirs->answer->results->total_bytes = (int64_t)space->total_bytes;
        dirs->answer->results->usable_bytes = (int64_t)space->free_bytes;
    }
    kafka_respond(dirs->request, dirs->answer);
}

void handle_describe_log_dirs(struct kafka_request *request) {
    const struct describe_log_dirs_request *body = request->body;
    const struct broker *broker = request->userdata;
    struct log_dirs *dirs = arena_alloc(request->arena, sizeof *dirs);
    struct describe_log_dirs_response *answer =
        KAFKA_NEW(request->arena, describe_log_dirs_response, 1);
    struct describe_log_dirs_response_result *result =
        KAFKA_NEW(request->arena, describe_log_dirs_response_result, 1);

    if (!dirs || !answer || !result ||
        !(body->topics_count < 0 ? add_all(request, result) : add_wanted(request, result))) {
        out_of_memory(request);
        return;
    }
    result->log_dir = span_text(broker_log_dir(broker));
    result->error_code = topic_log_failed(broker->log) ? KAFKA_STORAGE_ERROR : 0;
    answer->results = result;
    answer->results_count = 1;
    dirs->request = request;
    dirs->answer = answer;
    dirs->space.done = on_space;
    if (topic_log_space(broker->log, &dirs->space)) {
        kafka_respond(request, answer); /* the space stays unknown: -1 */
    }
}

/* ---- AlterReplicaLogDirs ---- */

/* A partition on its way to another folder has one of this name there, which may be too long. */
static bool future_name_fits(struct span topic, int32_t index) {
    char suffix[64];
    int size = snprintf(suffix, sizeof suffix, "-%d.%032d-future", index, 0);

    return utf8_count(topic.data, topic.size) + (size_t)size <= FOLDER_NAME_MAX;
}

static int16_t move(const struct kafka_request *request, const struct topic *topic,
                    struct span name, int32_t index, struct span path) {
    const struct broker *broker = request->userdata;

    if (!future_name_fits(name, index)) {
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (!span_equal(path, span_text(broker_log_dir(broker)))) {
        return KAFKA_LOG_DIR_NOT_FOUND;
    }
    return topic && index >= 0 && index < topic->partition_count ? 0 /* it is there already */
                                                                 : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* The partitions that a request names, of all topics in all folders. */
struct moves {
    struct place *places;
    uint32_t *last; /* of two folders for a partition the last one counts */
    uint32_t count;
    int32_t topics; /* lists of partitions that are not empty */
};

static bool list_moves(const struct kafka_request *request, struct moves *moves) {
    const struct alter_replica_log_dirs_request *body = request->body;
    uint32_t n = 0;

    *moves = (struct moves){0};
    for (int32_t d = 0; d < body->dirs_count; d++) {
        for (int32_t t = 0; t < body->dirs[d].topics_count; t++) {
            moves->count += (uint32_t)MAX(body->dirs[d].topics[t].partitions_count, 0);
            moves->topics += body->dirs[d].topics[t].partitions_count > 0;
        }
    }
    moves->places = arena_alloc(request->arena, moves->count * sizeof *moves->places);
    if (!moves->places) {
        return false;
    }
    for (int32_t d = 0; d < body->dirs_count; d++) {
        for (int32_t t = 0; t < body->dirs[d].topics_count; t++) {
            const struct alter_replica_log_dirs_request_topic *topic = &body->dirs[d].topics[t];

            for (int32_t p = 0; p < topic->partitions_count; p++) {
                moves->places[n++] = (struct place){topic->name, topic->partitions[p]};
            }
        }
    }
    return places_last(request->arena, moves->places, moves->count, &moves->last) == 0;
}

/* @first: the number of the topic's first partition among the moves */
static bool move_topic(const struct kafka_request *request, struct span path,
                       const struct alter_replica_log_dirs_request_topic *wanted,
                       const struct moves *moves, uint32_t first,
                       struct alter_replica_log_dirs_response_topic *row) {
    const struct broker *broker = request->userdata;
    const struct topic *topic = topic_log_find(broker->log, wanted->name);

    row->topic_name = wanted->name;
    row->partitions = KAFKA_NEW(request->arena, alter_replica_log_dirs_response_partition,
                                (size_t)wanted->partitions_count);
    for (int32_t p = 0; row->partitions && p < wanted->partitions_count; p++) {
        struct alter_replica_log_dirs_response_partition *part;

        if (moves->last && moves->last[first + (uint32_t)p] != first + (uint32_t)p) {
            continue;
        }
        part = &row->partitions[row->partitions_count++];
        part->partition_index = wanted->partitions[p];
        part->error_code = move(request, topic, wanted->name, wanted->partitions[p], path);
    }
    return row->partitions != NULL;
}

static bool move_all(const struct kafka_request *request,
                     struct alter_replica_log_dirs_response *answer) {
    const struct alter_replica_log_dirs_request *body = request->body;
    struct moves moves;
    uint32_t first = 0;
    bool ok = list_moves(request, &moves);

    if (ok) {
        answer->results =
            KAFKA_NEW(request->arena, alter_replica_log_dirs_response_topic, (size_t)moves.topics);
        ok = answer->results != NULL;
    }
    for (int32_t d = 0; ok && d < body->dirs_count; d++) {
        for (int32_t t = 0; ok && t < body->dirs[d].topics_count; t++) {
            const struct alter_replica_log_dirs_request_topic *wanted = &body->dirs[d].topics[t];

            if (wanted->partitions_count > 0) {
                ok = move_topic(request, body->dirs[d].path, wanted, &moves, first,
                                &answer->results[answer->results_count++]);
                first += (uint32_t)wanted->partitions_count;
            }
        }
    }
    return ok && !MERGE_ROWS(request->arena, answer->results, &answer->results_count, topic_name,
                             partitions);
}

void handle_alter_replica_log_dirs(struct kafka_request *request) {
    struct alter_replica_log_dirs_response *answer =
        KAFKA_NEW(request->arena, alter_replica_log_dirs_response, 1);

    if (!answer || !move_all(request, answer)) {
        out_of_memory(request);
        return;
    }
    kafka_respond(request, answer);
}
