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
 *
 * A client may name any producer id, so those of all partitions together have a bound. Beyond it
 * the one that has been silent longest is forgotten for each that is new, in whatever partition it
 * is: it may go on, since an unknown one may start anywhere, but what it sends again is not known
 * as a duplicate any more.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/hashmap.h>
#include <eventbox/base/list.h>

enum { PRODUCER_WINDOW = 5 };

struct producer_batch {
    int64_t base_offset;
    int32_t last_offset_delta;
    int32_t base_sequence;
    int32_t last_sequence;
    int16_t epoch;
};

struct producers;
struct producer {
    int64_t id; /* key of the map */
    struct producers *owner;
    struct list link; /* in the order of its limit */
    int64_t last_ms;
    uint16_t count, capacity;
    struct producer_batch *batches; /* oldest first */
};

/* What all producers of a log share; counted as often as there are partitions that they write to.
 */
struct producer_limit {
    struct list order; /* struct producer.link, silent longest first */
    uint32_t count, max;
    uint64_t forgotten;
};
void producer_limit_init(struct producer_limit *limit, uint32_t max);
/** producer_limit_sort() - by when they were last heard of: a start reads them in no order. Where
 * memory is short the order stays */
void producer_limit_sort(struct producer_limit *limit);

/* All producers of a partition; made with the first one. */
struct producers {
    struct hashmap map;
    struct producer_limit *limit; /* NULL: bound by nothing, as of a file that is looked at */
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
/**
 * producer_reserve() - room for one batch more, so that the next producer_push() cannot fail
 * @limit: of the table, should it be made now; one that is there keeps its own
 */
int producer_reserve(struct producers **producers, struct producer_limit *limit, int64_t id,
                     int64_t durable_end);
/**
 * producer_push() - remember a batch. @durable_end: offsets below it are durable.
 * Return: 0 or -ENOMEM, and nothing has changed.
 */
int producer_push(struct producers **producers, struct producer_limit *limit, int64_t id,
                  const struct producer_batch *batch, int64_t durable_end, int64_t now_ms);
/** producers_adopt() - @producers, which no limit bounds yet, count for @limit from now on; accepts
 * NULL */
void producers_adopt(struct producers *producers, struct producer_limit *limit);
/** producer_durable() - the range of @producer->batches that a checkpoint at @durable_end holds */
void producer_durable(const struct producer *producer, int64_t durable_end, unsigned *ret_first,
                      unsigned *ret_count);
/** producers_expire() - forget producers without a batch since @before_ms. Return how many */
unsigned producers_expire(struct producers *producers, int64_t before_ms, int64_t durable_end);
void producers_free(struct producers *producers); /* accepts NULL */
