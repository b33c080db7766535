/* What Produce asks of the bytes of one partition before their records are looked at. */
#pragma once

#include "api_private.h"

/* What begins the bytes of a partition. */
struct produce_peek {
    size_t size;    /* 0: no batch or message of any format */
    int attributes; /* of record batches */
    int64_t producer_id;
    int16_t producer_epoch;
};

/**
 * produce_batch_peek() - the head of @bytes, for what concerns a whole request
 * Return: 0; KAFKA_CORRUPT_MESSAGE with Kafka's text for what cannot be the head of anything.
 */
int16_t produce_batch_peek(struct arena *arena, struct span bytes, struct produce_peek *ret_peek,
                           const char **ret_message);
/** produce_peek_codec() - enum record_codec, or another number that nobody knows */
int produce_peek_codec(const struct produce_peek *peek);
/** produce_peek_is_transactional() - it claims to be part of a transaction */
bool produce_peek_is_transactional(const struct produce_peek *peek);

/**
 * produce_batch_find() - the one record batch of @bytes, as Kafka looks for it
 *
 * Old message sets, several batches and none are refused; bytes behind the batch that cannot be
 * another one are left out of @ret_batch. Return: a Kafka error code.
 */
int16_t produce_batch_find(int16_t version, struct span bytes, struct span *ret_batch);

/**
 * produce_batch_check() - the rules for the header of a batch that a client appends to @topic
 * Sequence numbers are the log's to check (topic_log_append), and so is the checksum of a batch
 * that is not refused here. Return: a Kafka error code.
 */
int16_t produce_batch_check(const struct broker *broker, const struct topic *topic,
                            struct span bytes, struct record_batch *ret_batch);
