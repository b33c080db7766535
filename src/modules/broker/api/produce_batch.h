/* What Produce asks of the bytes of one partition before the log sees them. */
#pragma once

#include "api_private.h"

/**
 * produce_batch_find() - the one record batch of @bytes, as Kafka looks for it
 *
 * Old message sets, several batches and none are refused; bytes behind the batch that cannot be
 * another one are left out of @ret_batch.
 * Return: a Kafka error code; *ret_message is Kafka's text for it, or NULL where it has none.
 */
int16_t produce_batch_find(const struct kafka_request *request, struct span bytes,
                           struct span *ret_batch, const char **ret_message);

/**
 * produce_batch_check() - the rules for a batch that a client appends to @topic
 * @row: gets the errors of single records
 *
 * Size, checksum and sequence are the log's to check (topic_log_append).
 * Return: as above.
 */
int16_t produce_batch_check(struct kafka_request *request, const struct topic *topic,
                            struct span bytes, struct record_batch *ret_batch,
                            struct produce_response_partition *row, const char **ret_message);

/** produce_batch_is_transactional() - by its header; false for what is no batch */
bool produce_batch_is_transactional(struct span bytes);
