/*
 * What a partition remembers of idempotent producers: the last five durable batches of each, and
 * those in flight, so that a retry is answered with the first one's offset.
 *
 * Rules (KIP-98, KIP-360): an exact match of first and last sequence is a
 * duplicate; the next expected sequence is taken; else BROKER_E_SEQUENCE. An unknown producer id
 * may start anywhere. A higher epoch must start at 0; a lower one is BROKER_E_EPOCH. Sequences wrap
 * from 2^31-1 to 0. A producer whose epoch is -1 has none: duplicates are found, and otherwise its
 * sequences and the first one of its first epoch may be any, as in Kafka.
 *
 * A checkpoint stands for one frame, so the durable batches must still be there when newer ones are
 * in flight, also of a newer epoch: entries leave from the front only while they are durable and
 * more than five durable ones remain or follow.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/hashmap.h>

enum { PRODUCER_WINDOW = 5 };

struct producer_batch {
    int64_t base_offset;
    int32_t last_offset_delta;
    int32_t base_sequence;
    int32_t last_sequence;
    int16_t epoch;
};

struct producer {
    int64_t id; /* key of the map */
    int64_t last_ms;
    uint16_t count, capacity;
    struct producer_batch *batches; /* oldest first */
};

/* All producers of a partition; made with the first one. */
struct producers {
    struct hashmap map;
};

int32_t producer_sequence_next(int32_t sequence);
/** producer_sequence_last() - of a batch that begins with @base and has @count records */
int32_t producer_sequence_last(int32_t base, int32_t count);

/**
 * producer_check() - what an append of this batch would be
 * @producers: NULL when the partition has none
 * @ret_original: the earlier batch when this is a duplicate, else NULL
 * Return: 0, BROKER_E_SEQUENCE, BROKER_E_EPOCH.
 */
int producer_check(const struct producers *producers, int64_t id, int16_t epoch,
                   int32_t base_sequence, int32_t last_sequence,
                   const struct producer_batch **ret_original);
/** producer_last_ms() - when the newest batch of this producer came; -1 for one that is unknown */
int64_t producer_last_ms(const struct producers *producers, int64_t id);
/** producer_reserve() - room for one batch more, so that the next producer_push() cannot fail */
int producer_reserve(struct producers **producers, int64_t id, int64_t durable_end);
/**
 * producer_push() - remember a batch. @durable_end: offsets below it are durable.
 * Return: 0 or -ENOMEM, and nothing has changed.
 */
int producer_push(struct producers **producers, int64_t id, const struct producer_batch *batch,
                  int64_t durable_end, int64_t now_ms);
/** producer_durable() - the range of @producer->batches that a checkpoint at @durable_end holds */
void producer_durable(const struct producer *producer, int64_t durable_end, unsigned *ret_first,
                      unsigned *ret_count);
/** producers_expire() - forget producers without a batch since @before_ms. Return how many */
unsigned producers_expire(struct producers *producers, int64_t before_ms, int64_t durable_end);
void producers_free(struct producers *producers); /* accepts NULL */
