/* ListOffsets and OffsetForLeaderEpoch: from times and epochs to offsets. */
#include "api_private.h"

#include <eventbox/loop/op.h>

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

static void take_lookup(struct list_offsets_response_partition *row,
                        const struct partition_lookup *lookup, int status) {
    if (status) {
        row->error_code =
            status == TOPIC_E_UNKNOWN ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_STORAGE_ERROR;
    } else if (lookup->ret_offset >= 0) { /* otherwise the defaults: -1 and no error */
        row->offset = lookup->ret_offset;
        row->timestamp = lookup->ret_timestamp_ms;
        row->leader_epoch = lookup->ret_leader_epoch;
    }
}

static void go_on(struct listing *listing);

static void on_lookup(struct partition_lookup *lookup, int status) {
    struct listing *listing = container_of(lookup, struct listing, lookup);

    take_lookup(&listing->answer->topics[listing->topic].partitions[listing->partition], lookup,
                status);
    topic_unref(listing->held);
    listing->partition++;
    go_on(listing);
}

/* Return false when on_lookup() follows. */
static bool list_one(struct listing *listing, const struct list_offsets_request_topic *topic,
                     const struct list_offsets_request_partition *wanted,
                     struct list_offsets_response_partition *row) {
    const struct broker *broker = listing->request->userdata;
    struct topic *found = topic_log_find(broker->log, topic->name);
    struct partition *partition = found ? partition_get(found, wanted->partition_index) : NULL;
    int r;

    row->partition_index = wanted->partition_index;
    if (!partition) {
        row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return true;
    }
    row->error_code = leader_epoch_check(partition, wanted->current_leader_epoch);
    if (row->error_code == 0 && !is_served(wanted->timestamp, listing->request->version)) {
        row->error_code = KAFKA_UNSUPPORTED_VERSION;
    }
    if (row->error_code) {
        return true;
    }
    switch (wanted->timestamp) {
    case AT_LATEST: /* for both isolation levels: nothing is unstable without transactions */
        row->offset = partition->high_watermark;
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

        for (; listing->partition < topic->partitions_count; listing->partition++) {
            if (!list_one(listing, topic, &topic->partitions[listing->partition],
                          &row->partitions[listing->partition])) {
                return;
            }
        }
    }
    kafka_respond(listing->request, listing->answer);
}

void handle_list_offsets(struct kafka_request *request) {
    const struct list_offsets_request *body = request->body;
    struct listing *listing = arena_alloc(request->arena, sizeof *listing);
    struct list_offsets_response *answer = KAFKA_NEW(request->arena, list_offsets_response, 1);
    int32_t count = MAX(body->topics_count, 0);

    if (answer) {
        answer->topics = KAFKA_NEW(request->arena, list_offsets_response_topic, count);
    }
    if (!listing || !answer || !answer->topics) {
        out_of_memory(request);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        struct list_offsets_response_topic *row = &answer->topics[i];

        row->name = body->topics[i].name;
        row->partitions_count = MAX(body->topics[i].partitions_count, 0);
        row->partitions =
            KAFKA_NEW(request->arena, list_offsets_response_partition, row->partitions_count);
        if (!row->partitions) {
            out_of_memory(request);
            return;
        }
    }
    answer->topics_count = count;
    listing->request = request;
    listing->answer = answer;
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
    /* An epoch that never was, or is yet to come, is undefined: -1 and -1. */
    if (row->error_code == 0 && wanted->leader_epoch >= 0 &&
        wanted->leader_epoch <= partition->leader_epoch) {
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
