#include "produce_answer.h"

enum { QUOTED_MAX = 3 };

/* Errors after which Kafka does not tell where the log begins, though the log was asked. */
static bool hides_log_start(int16_t error) {
    return error == KAFKA_CORRUPT_MESSAGE || error == KAFKA_MESSAGE_TOO_LARGE ||
           error == KAFKA_RECORD_LIST_TOO_LARGE || error == KAFKA_STORAGE_ERROR ||
           error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || error == KAFKA_UNKNOWN_TOPIC_ID;
}

void produce_row_refuse(struct produce_response_partition *row, int16_t error,
                        const struct partition *partition, const char *message) {
    row->error_code = error;
    row->base_offset = -1;
    row->log_append_time_ms = -1;
    row->log_start_offset = partition && !hides_log_start(error) ? partition->log_start_offset : -1;
    row->error_message = message ? span_text(message) : SPAN_NULL;
}

/* ---- single records ---- */

static const char *fault_text(struct arena *arena, const struct partition *partition,
                              const struct produce_rules *rules, const struct produce_fault *fault,
                              bool skipped) {
    switch (fault->kind) {
    case PRODUCE_FAULT_KEY:
        return arena_printf(
            arena, "Compacted topic cannot accept message without key in topic partition %s-%d",
            partition->topic->name, partition->index);
    case PRODUCE_FAULT_TIME:
        return arena_printf(
            arena,
            "Timestamp %lld of message with offset %lld is out of range. The timestamp should be "
            "within [%lld, %lld]",
            (long long)fault->timestamp_ms, (long long)fault->offset,
            (long long)((uint64_t)rules->now_ms - (uint64_t)rules->before_ms),
            (long long)((uint64_t)rules->now_ms + (uint64_t)rules->after_ms));
    case PRODUCE_FAULT_TIME_TYPE:
        break;
    }
    return arena_printf(arena,
                        "Invalid timestamp type in message %sDefaultRecord(offset=%lld, "
                        "timestamp=%lld, key=%d bytes, value=%d bytes). Producer should not set "
                        "timestamp type to LogAppendTime.",
                        skipped ? "Partial" : "", (long long)fault->offset,
                        (long long)fault->timestamp_ms,
                        skipped ? fault->key_bytes : MAX(fault->key_bytes, 0),
                        skipped ? fault->value_bytes : MAX(fault->value_bytes, 0));
}

/* Faults of keys are quoted in the text for the batch, the first three of them. */
static const char *batch_text(struct arena *arena, const struct produce_response_partition *row,
                              const struct produce_report *report) {
    const char *quoted = "";

    if (report->late) {
        return "One or more records have been rejected due to invalid timestamp";
    }
    for (int32_t i = 0; quoted && i < MIN(row->record_errors_count, QUOTED_MAX); i++) {
        const struct produce_response_record_error *error = &row->record_errors[i];

        quoted = arena_printf(arena, "%s%sRecordError(batchIndex=%d, message='%.*s')", quoted,
                              i ? ", " : "", error->batch_index,
                              (int)error->batch_index_error_message.size,
                              (const char *)error->batch_index_error_message.data);
    }
    return quoted ? arena_printf(arena,
                                 "One or more records have been rejected due to %d record errors "
                                 "in total, and only showing the first three errors at most: [%s]",
                                 report->count, quoted)
                  : NULL;
}

void produce_row_refuse_records(struct kafka_request *request,
                                struct produce_response_partition *row,
                                const struct partition *partition,
                                const struct produce_rules *rules,
                                const struct produce_report *report, bool skipped) {
    struct produce_response_record_error *errors =
        KAFKA_NEW(request->arena, produce_response_record_error, report->kept);

    row->record_errors = errors;
    for (int32_t i = 0; errors && i < report->kept; i++) {
        const struct produce_fault *fault = &report->faults[i];
        const char *text = fault_text(request->arena, partition, rules, fault, skipped);

        errors[i].batch_index = fault->index;
        errors[i].batch_index_error_message = text ? span_text(text) : SPAN_NULL;
        row->record_errors_count++;
    }
    produce_row_refuse(row, report->late ? KAFKA_INVALID_TIMESTAMP : KAFKA_INVALID_RECORD,
                       partition, batch_text(request->arena, row, report));
}
