/*
 * Produce. Each partition is an append of its own, as in Kafka: one that is refused does not hold
 * the others back. The batch stays where the socket put it: the log takes a reference to the frame.
 * The answer leaves when the last append is durable, also for acks=1; acks=0 gets none.
 */
#include "api_private.h"

#include "codec.h"

enum { VERSION_ZSTD = 7, VERSION_TOPIC_IDS = 13, AT_MAGIC = 16 };

struct produce;

struct produce_append {
    struct append append;
    struct append_part part;
    struct produce *produce;
    struct produce_response_partition *row;
    struct topic *topic; /* with a reference */
};

struct produce {
    struct kafka_request *request;
    struct produce_response *answer;
    struct produce_append *appends; /* one for each partition of the request */
    int32_t append_count;
    unsigned pending;
    bool ready;  /* every append was begun */
    bool failed; /* some partition has an error */
};

static void finish_if_ready(struct produce *produce) {
    const struct produce_request *body = produce->request->body;
    struct kafka_request *request = produce->request;

    if (!produce->ready || produce->pending > 0) {
        return;
    }
    if (body->acks != 0) {
        kafka_respond(request, produce->answer);
    } else if (produce->failed) {
        kafka_request_close(request, "a record batch sent with acks=0 was refused");
    } else {
        kafka_respond_none(request);
    }
}

static void refuse(struct produce *produce, struct produce_response_partition *row, int16_t error,
                   const char *message) {
    produce->failed = true;
    row->error_code = error;
    row->base_offset = -1;
    row->log_append_time_ms = -1;
    row->log_start_offset = -1;
    row->error_message = message ? span_text(message) : SPAN_NULL;
}

static int16_t append_error(const struct kafka_request *request, int code) {
    return code == TOPIC_E_UNKNOWN && request->version >= VERSION_TOPIC_IDS ? KAFKA_UNKNOWN_TOPIC_ID
                                                                            : kafka_error_of(code);
}

static void on_durable(struct append *append, int status) {
    struct produce_append *item = container_of(append, struct produce_append, append);
    struct produce *produce = item->produce;

    if (status) {
        refuse(produce, item->row, append_error(produce->request, status),
               error_row_get(status)->text);
    } else {
        item->row->base_offset = item->part.base_offset;
        item->row->log_append_time_ms = item->part.log_append_time_ms;
        item->row->log_start_offset = item->part.partition->log_start_offset;
    }
    topic_unref(item->topic);
    produce->pending--;
    finish_if_ready(produce);
}

/* What only a key-less record of a compacted topic can be refused for needs a look inside. */
static int16_t check_keys(struct span bytes, struct kafka_request *request,
                          struct produce_response_partition *row) {
    struct record_iterator it;
    struct record record;
    int32_t index = 0;
    int16_t error = 0;
    int r = record_iterator_init(&it, bytes);

    while (r == 0 && (r = record_iterator_next(&it, &record)) == 1) {
        r = 0;
        if (!record.key.data) {
            error = KAFKA_INVALID_RECORD;
            row->record_errors = KAFKA_NEW(request->arena, produce_response_record_error, 1);
            if (row->record_errors) {
                row->record_errors_count = 1;
                row->record_errors->batch_index = index;
                row->record_errors->batch_index_error_message =
                    SPAN_LITERAL("A compacted topic takes no record without a key.");
            }
            break;
        }
        index++;
        if (index == it.batch.record_count) {
            break;
        }
    }
    record_iterator_deinit(&it);
    return r ? KAFKA_CORRUPT_MESSAGE : error;
}

/* The rules of the protocol; size, CRC and sequence are checked by the log. */
static int16_t check_batch(struct kafka_request *request, const struct topic *topic,
                           struct span bytes, struct record_batch *batch, const char **ret_message,
                           struct produce_response_partition *row) {
    const struct broker *broker = request->userdata;
    const uint8_t *data = bytes.data;
    int codec;

    *ret_message = NULL;
    if (bytes.size > AT_MAGIC && data[AT_MAGIC] != 2) {
        *ret_message = "Record batches must have magic 2.";
        return KAFKA_INVALID_RECORD;
    }
    if (record_batch_parse(bytes, batch)) {
        return KAFKA_CORRUPT_MESSAGE;
    }
    codec = batch->attributes & RECORD_BATCH_CODEC_MASK;
    if (codec > RECORD_CODEC_ZSTD ||
        (codec == RECORD_CODEC_ZSTD && request->version < VERSION_ZSTD)) {
        *ret_message = "This version of Produce does not know the compression of the batch.";
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    }
    if (batch->total_bytes != bytes.size) {
        *ret_message = "A partition takes exactly one record batch a request.";
        return KAFKA_INVALID_RECORD;
    }
    if (batch->record_count == 0 || batch->record_count - 1 != batch->last_offset_delta) {
        *ret_message = "The batch's record count does not match its offsets.";
        return KAFKA_INVALID_RECORD;
    }
    if (batch->attributes & RECORD_BATCH_CONTROL) {
        *ret_message = "Clients cannot write control batches.";
        return KAFKA_INVALID_RECORD;
    }
    if (batch->attributes & RECORD_BATCH_TRANSACTIONAL) {
        *ret_message = "Transactions are not served by this broker.";
        return KAFKA_INVALID_TXN_STATE;
    }
    /* Without a producer id the rest means nothing: kafkajs writes epoch and sequence 0 there. */
    if (batch->producer_id >= 0 && (batch->producer_epoch < 0 || batch->base_sequence < 0)) {
        *ret_message = "Producer id, epoch and sequence contradict one another.";
        return KAFKA_INVALID_RECORD;
    }
    return topic_config_compacts(broker->log, topic) ? check_keys(bytes, request, row) : 0;
}

static struct topic *find_topic(const struct kafka_request *request,
                                const struct produce_request_topic *wanted, int16_t *ret_error) {
    const struct broker *broker = request->userdata;
    struct topic *topic;

    if (request->version >= VERSION_TOPIC_IDS) {
        topic = topic_log_find_id(broker->log, &wanted->topic_id);
        *ret_error = KAFKA_UNKNOWN_TOPIC_ID;
    } else {
        topic = topic_log_find(broker->log, wanted->name);
        *ret_error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (topic && topic->internal) {
        *ret_error = KAFKA_INVALID_TOPIC_EXCEPTION;
        return NULL;
    }
    return topic;
}

static void append_partition(struct produce *produce, struct topic *topic, int16_t topic_error,
                             const struct produce_request_partition *wanted,
                             struct produce_response_partition *row) {
    const struct broker *broker = produce->request->userdata;
    struct span bytes = wanted->records.span;
    struct partition *partition = topic ? partition_get(topic, wanted->index) : NULL;
    struct produce_append *item;
    struct record_batch batch;
    const char *message;
    int16_t error;
    int r;

    row->index = wanted->index;
    if (!partition) {
        refuse(produce, row, topic ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : topic_error, NULL);
        return;
    }
    error = check_batch(produce->request, topic, bytes, &batch, &message, row);
    if (error) {
        refuse(produce, row, error, message);
        return;
    }
    item = &produce->appends[produce->append_count++];
    item->produce = produce;
    item->row = row;
    item->part.partition = partition;
    item->part.batch = (struct slice){produce->request->frame, bytes.data, bytes.size};
    item->append.class = APPEND_CLIENT;
    item->append.parts = &item->part;
    item->append.part_count = 1;
    item->append.done = on_durable;
    r = topic_log_append(broker->log, &item->append);
    if (r) {
        refuse(produce, row, append_error(produce->request, r),
               r > 0 ? error_row_get(r)->text : NULL);
        return;
    }
    item->topic = topic_ref(topic);
    produce->pending++;
}

/* One error for every partition: the whole request cannot be done. */
static int16_t check_request(const struct kafka_request *request) {
    const struct produce_request *body = request->body;

    if (request->version < 3) {
        return KAFKA_UNSUPPORTED_VERSION;
    }
    if (body->transactional_id.data) {
        return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    }
    return body->acks < -1 || body->acks > 1 ? KAFKA_INVALID_REQUIRED_ACKS : 0;
}

static bool append_topic(struct produce *produce, const struct produce_request_topic *wanted,
                         struct produce_response_topic *row, int16_t request_error) {
    struct produce_response_partition *partitions = KAFKA_NEW(
        produce->request->arena, produce_response_partition, MAX(wanted->partition_data_count, 0));
    struct topic *topic;
    int16_t error;

    if (!partitions) {
        return false;
    }
    row->name = wanted->name;
    row->topic_id = wanted->topic_id;
    row->partition_responses = partitions;
    row->partition_responses_count = MAX(wanted->partition_data_count, 0);
    topic = find_topic(produce->request, wanted, &error);
    for (int32_t i = 0; i < wanted->partition_data_count; i++) {
        if (request_error) {
            partitions[i].index = wanted->partition_data[i].index;
            refuse(produce, &partitions[i], request_error, NULL);
        } else {
            append_partition(produce, topic, error, &wanted->partition_data[i], &partitions[i]);
        }
    }
    return true;
}

void handle_produce(struct kafka_request *request) {
    const struct produce_request *body = request->body;
    struct produce *produce = arena_alloc(request->arena, sizeof *produce);
    struct produce_response *answer = KAFKA_NEW(request->arena, produce_response, 1);
    int16_t error = check_request(request);
    size_t partitions = 0;
    bool ok = true;

    for (int32_t i = 0; i < body->topic_data_count; i++) {
        partitions += (size_t)MAX(body->topic_data[i].partition_data_count, 0);
    }
    if (produce && answer) {
        produce->appends = arena_alloc(request->arena, partitions * sizeof *produce->appends);
        answer->responses =
            KAFKA_NEW(request->arena, produce_response_topic, MAX(body->topic_data_count, 0));
    }
    if (!produce || !answer || !produce->appends || !answer->responses) {
        out_of_memory(request);
        return;
    }
    produce->request = request;
    produce->answer = answer;
    for (int32_t i = 0; ok && i < body->topic_data_count; i++) {
        ok = append_topic(produce, &body->topic_data[i], &answer->responses[i], error);
        answer->responses_count += ok;
    }
    produce->ready = true;
    finish_if_ready(produce);
}
