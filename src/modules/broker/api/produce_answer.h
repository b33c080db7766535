/* Rows of an answer to Produce, in Kafka's words. */
#pragma once

#include "api_private.h"
#include "produce_records.h"

/**
 * produce_row_refuse() - the row of a partition to which nothing is appended
 * @partition: where a log has refused the batch, since Kafka tells its start then; else NULL
 * @message:   NULL for none
 */
void produce_row_refuse(struct produce_response_partition *row, int16_t error,
                        const struct partition *partition, const char *message);

/**
 * produce_row_refuse_records() - the same for records that break rules, each named
 * @skipped: how the records were read, as produce_records_check() was told
 */
void produce_row_refuse_records(struct kafka_request *request,
                                struct produce_response_partition *row,
                                const struct partition *partition,
                                const struct produce_rules *rules,
                                const struct produce_report *report, bool skipped);
