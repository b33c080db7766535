/* A batch made anew with another codec, as Kafka's builder of batches would make it. */
#pragma once

#include "produce_records.h"

/**
 * produce_rewrite() - the records of a batch in one with the codec of @rules
 * @header:  of the batch that came
 * @records: of it, inflated, and found right by produce_records_check() with @report
 *
 * Offsets become 0, 1, 2 and so on, and the base timestamp that of the first record.
 * Thread: any. Return: 0; BROKER_E_INVALID_RECORD for what no batch can hold that Kafka makes: a
 * timestamp below -1, a transaction without a producer, a producer without epoch or sequence;
 * -ENOMEM.
 */
int produce_rewrite(const struct produce_rules *rules, const struct record_batch *batch,
                    const void *header, struct span records, const struct produce_report *report,
                    struct buf **ret_batch);
