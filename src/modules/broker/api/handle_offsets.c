/* ListOffsets and OffsetForLeaderEpoch: from times and epochs to offsets. */
#include "places.h"

#include "api_private.h"
#include "merge_rows.h"

#include <eventbox/loop/op.h>

#include <errno.h>

enum { READ_UNCOMMITTED = 0, READ_COMMITTED = 1 };

/* Marks of entries in place of an index. */
#define TWIN_LAST        (UINT32_MAX - 1)
#define TWIN_BEFORE_LAST UINT32_MAX

/* Timestamps with a meaning of their own. */
enum {
    AT_LATEST = -1,
    AT_EARLIEST = -2,
    AT_MAX_TIMESTAMP = -3,
    AT_EARLIEST_LOCAL = -4,
    AT_LATEST_TIERED = -5,
    AT_EARLIEST_PENDING_UPLOAD = -6,
};

/* A request on its way through its partitions; those by time may have to wait for the disk. */
struct listing {
    struct kafka_request *request;
    struct list_offsets_response *answer;
    int32_t topic, partition; /* next to look at */
    uint32_t *last;           /* of places_last(): partitions that are named twice */
    uint32_t entry;           /* of topic and partition */
    struct topic *held;       /* with a reference during the lookup */
    struct partition_lookup lookup;
};

/* The epoch that the record at @offset was, or will be, written in. */
static int32_t epoch_at(struct topic_log *log, struct partition *partition, int64_t offset) {
    for (int32_t epoch = 0; epoch < partition->leader_epoch; epoch++) {
        int32_t found;
        int64_t end;

        partition_epoch_end(log, partition, epoch, &found, &end);
        if (found == epoch && end > offset) {
            return epoch;
        }
    }
    return partition->leader_epoch;
}

static bool is_served(int64_t timestamp_ms, int16_t version) {
    static const int16_t first[] = {[-AT_LATEST] = 1,        [-AT_EARLIEST] = 1,
                                    [-AT_MAX_TIMESTAMP] = 7, [-AT_EARLIEST_LOCAL] = 8,
                                    [-AT_LATEST_TIERED] = 9, [-AT_EARLIEST_PENDING_UPLOAD] = 11};

    return timestamp_ms >= 0 ||
           (timestamp_ms >= AT_EARLIEST_PENDING_UPLOAD && version >= first[-timestamp_ms]);
}

/* As Fetch answers: what is damaged stays so, anything else another try may mend. */
static int16_t lookup_error(int status) {
    switch (status) {
    case TOPIC_E_UNKNOWN:
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case BROKER_E_CORRUPT:
        return KAFKA_CORRUPT_MESSAGE;
    default:
        return KAFKA_STORAGE_ERROR;
    }
}

static void take_lookup(struct list_offsets_response_partition *row,
                        const struct partition_lookup *lookup, int status) {
    if (status) {
        row->error_code = lookup_error(status);
    } else if (lookup->ret_offset >= 0) { /* otherwise the defaults: -1 and no error */
        row->offset = lookup->ret_offset;
        row->timestamp = lookup->ret_timestamp_ms;
        row->leader_epoch = lookup->ret_leader_epoch;
    }
}

static void go_on(struct listing *listing);

static void on_lookup(struct partition_lookup *lookup, int status) {
    struct listing *listing = container_of(lookup, struct listing, lookup);

    struct list_offsets_response_topic *row = &listing->answer->topics[listing->topic];

    take_lookup(&row->partitions[row->partitions_count - 1], lookup, status);
    topic_unref(listing->held);
    go_on(listing);
}

static bool level_is_known(int8_t level) {
    return level == READ_UNCOMMITTED || level == READ_COMMITTED;
}

static int16_t check_one(const struct listing *listing,
                         const struct list_offsets_request_partition *wanted,
                         const struct partition *partition) {
    int16_t error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;

    if (!is_served(wanted->timestamp, listing->request->version)) {
        return KAFKA_UNSUPPORTED_VERSION;
    }
    if (partition) {
        error = leader_epoch_check(partition, wanted->current_leader_epoch);
    }
    return error;
}

/* Return false when on_lookup() follows. */
static bool list_one(struct listing *listing, const struct list_offsets_request_topic *topic,
                     const struct list_offsets_request_partition *wanted,
                     struct list_offsets_response_partition *row) {
    const struct list_offsets_request *body = listing->request->body;
    const struct broker *broker = listing->request->userdata;
    struct topic *found = topic_log_find(broker->log, topic->name);
    struct partition *partition = found ? partition_get(found, wanted->partition_index) : NULL;
    int r;

    row->partition_index = wanted->partition_index;
    row->error_code = check_one(listing, wanted, partition);
    if (row->error_code) {
        return true;
    }
    switch (wanted->timestamp) {
    case AT_LATEST:
        row->offset = body->isolation_level == READ_COMMITTED
                          ? partition_last_stable_offset(partition)
                          : partition->high_watermark;
        row->leader_epoch = partition->leader_epoch;
        return true;
    case AT_EARLIEST:
    case AT_EARLIEST_LOCAL:
        row->offset = partition->log_start_offset;
        row->leader_epoch = epoch_at(broker->log, partition, partition->log_start_offset);
        return true;
    case AT_LATEST_TIERED:
    case AT_EARLIEST_PENDING_UPLOAD:
        return true; /* there is no second tier */
    default:
        break;
    }
    listing->lookup = (struct partition_lookup){
        .partition = partition, .timestamp_ms = wanted->timestamp, .done = on_lookup};
    r = partition_lookup(broker->log, &listing->lookup);
    if (r == OP_WAIT) {
        listing->held = topic_ref(found);
        return false;
    }
    take_lookup(row, &listing->lookup, r);
    return true;
}

static void go_on(struct listing *listing) {
    const struct list_offsets_request *body = listing->request->body;

    for (; listing->topic < body->topics_count; listing->topic++, listing->partition = 0) {
        const struct list_offsets_request_topic *topic = &body->topics[listing->topic];
        struct list_offsets_response_topic *row = &listing->answer->topics[listing->topic];

        while (listing->partition < topic->partitions_count) {
            int32_t index = listing->partition++;
            uint32_t entry = listing->entry++;
            struct list_offsets_response_partition *to;

            if (listing->last && listing->last[entry] == TWIN_BEFORE_LAST) {
                continue;
            }
            to = &row->partitions[row->partitions_count++];
            if (listing->last && listing->last[entry] == TWIN_LAST) {
                to->partition_index = topic->partitions[index].partition_index;
                to->error_code = KAFKA_INVALID_REQUEST;
            } else if (!list_one(listing, topic, &topic->partitions[index], to)) {
                return;
            }
        }
    }
    KAFKA_DROP_EMPTY(listing->answer->topics, listing->answer->topics_count, partitions);
    if (MERGE_ROWS(listing->request->arena, listing->answer->topics, &listing->answer->topics_count,
                   name, partitions)) {
        out_of_memory(listing->request);
        return;
    }
    kafka_respond(listing->request, listing->answer);
}

/* Marks the entries of partitions that are named twice: neither of them is looked at. */
static int find_twins(struct listing *listing, uint32_t count) {
    const struct list_offsets_request *body = listing->request->body;
    int r = PLACES_LAST(listing->request->arena, body->topics, body->topics_count, name, partitions,
                        offsetof(struct list_offsets_request_partition, partition_index),
                        &listing->last);

    for (uint32_t i = 0; r == 0 && listing->last && i < count; i++) {
        if (listing->last[i] < TWIN_LAST && listing->last[i] != i) {
            listing->last[listing->last[i]] = TWIN_LAST;
            listing->last[i] = TWIN_BEFORE_LAST;
        }
    }
    return r;
}

/* A level that there is not fails the request: each entry says so, also one that is there twice. */
static void refuse_level(struct listing *listing) {
    const struct list_offsets_request *body = listing->request->body;

    for (int32_t i = 0; i < body->topics_count; i++) {
        struct list_offsets_response_topic *row = &listing->answer->topics[i];

        for (int32_t p = 0; p < body->topics[i].partitions_count; p++) {
            row->partitions[p].partition_index = body->topics[i].partitions[p].partition_index;
            row->partitions[p].error_code = KAFKA_UNKNOWN_SERVER_ERROR;
            row->partitions_count++;
        }
    }
    kafka_respond(listing->request, listing->answer);
}

void handle_list_offsets(struct kafka_request *request) {
    const struct list_offsets_request *body = request->body;
    struct listing *listing = arena_alloc(request->arena, sizeof *listing);
    struct list_offsets_response *answer = KAFKA_NEW(request->arena, list_offsets_response, 1);
    int32_t topics = MAX(body->topics_count, 0);
    uint32_t count = 0;

    if (answer) {
        answer->topics = KAFKA_NEW(request->arena, list_offsets_response_topic, topics);
    }
    if (!listing || !answer || !answer->topics) {
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < topics; i++) {
        struct list_offsets_response_topic *row = &answer->topics[i];
        int32_t partitions = MAX(body->topics[i].partitions_count, 0);

        row->name = body->topics[i].name;
        row->partitions = KAFKA_NEW(request->arena, list_offsets_response_partition, partitions);
        if (!row->partitions) {
            out_of_memory(request);
            return;
        }
        count += (uint32_t)partitions;
    }
    answer->topics_count = topics;
    listing->request = request;
    listing->answer = answer;
    if (!level_is_known(body->isolation_level)) {
        refuse_level(listing);
        return;
    }
    if (count > 1 && find_twins(listing, count)) {
        out_of_memory(request);
        return;
    }
    go_on(listing);
}

/* ---- OffsetForLeaderEpoch ---- */

static void find_epoch_end(const struct kafka_request *request,
                           const struct offset_for_leader_epoch_request_topic *topic,
                           const struct offset_for_leader_epoch_request_partition *wanted,
                           struct offset_for_leader_epoch_response_partition *row) {
    const struct broker *broker = request->userdata;
    struct topic *found = topic_log_find(broker->log, topic->topic);
    struct partition *partition = found ? partition_get(found, wanted->partition) : NULL;

    row->partition = wanted->partition;
    if (!partition) {
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    row->error_code = leader_epoch_check(partition, wanted->current_leader_epoch);
    /* What never was is told by -1 and -1: the epoch -1 itself, and one that is yet to come. */
    if (row->error_code || wanted->leader_epoch == -1 ||
        wanted->leader_epoch > partition->leader_epoch) {
        return;
    }
    if (wanted->leader_epoch < 0) { /* before all epochs: nothing of it is in the log */
        row->leader_epoch = wanted->leader_epoch;
        row->end_offset = partition->log_start_offset;
    } else {
        partition_epoch_end(broker->log, partition, wanted->leader_epoch, &row->leader_epoch,
                            &row->end_offset);
    }
}

void handle_offset_for_leader_epoch(struct kafka_request *request) {
    const struct offset_for_leader_epoch_request *body = request->body;
    struct offset_for_leader_epoch_response *answer =
        KAFKA_NEW(request->arena, offset_for_leader_epoch_response, 1);
    int32_t count = MAX(body->topics_count, 0);

    if (answer) {
        answer->topics = KAFKA_NEW(request->arena, offset_for_leader_epoch_response_topic, count);
    }
    if (!answer || !answer->topics) {
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        const struct offset_for_leader_epoch_request_topic *topic = &body->topics[i];
        struct offset_for_leader_epoch_response_topic *row = &answer->topics[i];

        row->topic = topic->topic;
        row->partitions_count = MAX(topic->partitions_count, 0);
        row->partitions = KAFKA_NEW(request->arena, offset_for_leader_epoch_response_partition,
                                    row->partitions_count);
        if (!row->partitions) {
            out_of_memory(request);
            return;
        }
        for (int32_t p = 0; p < row->partitions_count; p++) {
            find_epoch_end(request, topic, &topic->partitions[p], &row->partitions[p]);
        }
    }
    answer->topics_count = count;
    kafka_respond(request, answer);
}
