/* Windows of idempotent producers; the rules stand in producer_state.h. */
#include "producer_state.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <stdlib.h>
#include <string.h>

enum { NO_EPOCH = -1 };

int32_t producer_sequence_next(int32_t sequence) {
    return sequence == INT32_MAX ? 0 : sequence + 1;
}

int32_t producer_sequence_last(int32_t base, int32_t count) {
    int64_t last = (int64_t)base + count - 1;
    return (int32_t)(last > INT32_MAX ? last - INT32_MAX - 1 : last);
}

static struct producer *find(const struct producers *producers, int64_t id) {
    return producers ? hashmap_find(&producers->map, span_of(&id, sizeof id)) : NULL;
}

int producer_check(const struct producers *producers, int64_t id, int16_t epoch,
                   int32_t base_sequence, int32_t last_sequence,
                   const struct producer_batch **ret_original) {
    *ret_original = NULL;
    const struct producer *producer = find(producers, id);
    if (!producer || producer->count == 0) {
        return epoch < NO_EPOCH ? BROKER_E_EPOCH : 0;
    }
    const struct producer_batch *newest = &producer->batches[producer->count - 1];
    if (epoch < newest->epoch) {
        return BROKER_E_EPOCH;
    }
    if (epoch > newest->epoch) {
        return base_sequence == 0 || newest->epoch == NO_EPOCH ? 0 : BROKER_E_SEQUENCE;
    }
    unsigned oldest = producer->count > PRODUCER_WINDOW ? producer->count - PRODUCER_WINDOW : 0;
    for (unsigned i = producer->count; i-- > oldest;) {
        const struct producer_batch *batch = &producer->batches[i];
        if (batch->epoch == epoch && batch->base_sequence == base_sequence &&
            batch->last_sequence == last_sequence) {
            *ret_original = batch;
            return 0;
        }
    }
    if (epoch == NO_EPOCH) {
        return 0;
    }
    return base_sequence == producer_sequence_next(newest->last_sequence) ? 0 : BROKER_E_SEQUENCE;
}

int64_t producer_last_ms(const struct producers *producers, int64_t id) {
    const struct producer *producer = find(producers, id);

    return producer ? producer->last_ms : -1;
}

/* ---- the bound ---- */

static void forget(struct producer *producer) {
    struct producer_limit *limit = producer->owner->limit;
    hashmap_remove(&producer->owner->map, span_of(&producer->id, sizeof producer->id));
    if (limit) {
        list_remove(&producer->link);
        limit->count--;
    }
    free(producer->batches);
    free(producer);
}

static void enlist(struct producer *producer) {
    struct producer_limit *limit = producer->owner->limit;
    if (!limit) {
        return;
    }
    while (limit->count >= limit->max && !list_empty(&limit->order)) {
        forget(list_entry(limit->order.next, struct producer, link));
        limit->forgotten++;
    }
    list_push_back(&limit->order, &producer->link);
    limit->count++;
}

void producer_limit_init(struct producer_limit *limit, uint32_t max) {
    *limit = (struct producer_limit){.max = max};
    list_init(&limit->order);
}

static int compare_last(const void *a, const void *b) {
    int64_t left = (*(struct producer *const *)a)->last_ms;
    int64_t right = (*(struct producer *const *)b)->last_ms;
    return (left > right) - (left < right);
}

void producer_limit_sort(struct producer_limit *limit) {
    struct producer **sorted = limit->count > 1 ? malloc(limit->count * sizeof(*sorted)) : NULL;
    if (!sorted) {
        return;
    }
    uint32_t count = 0;
    list_for_each(link, &limit->order) {
        sorted[count++] = list_entry(link, struct producer, link);
    }
    qsort(sorted, count, sizeof(*sorted), compare_last);
    for (uint32_t i = 0; i < count; i++) {
        list_remove(&sorted[i]->link);
        list_push_back(&limit->order, &sorted[i]->link);
    }
    free(sorted);
}

void producers_adopt(struct producers *producers, struct producer_limit *limit) {
    size_t position = 0;
    struct producer *producer;
    if (!producers) {
        return;
    }
    producers->limit = limit;
    while ((producer = hashmap_next(&producers->map, &position)) != NULL) {
        enlist(producer);
    }
}

/* ---- windows ---- */

static struct producer *make(struct producers **producers, struct producer_limit *limit,
                             int64_t id) {
    if (!*producers) {
        struct producers *made = calloc(1, sizeof *made);
        if (!made) {
            return NULL;
        }
        /* Ids are given out by us; a client that makes up its own hurts its own partition only. */
        hashmap_init(&made->map, 0x9e3779b97f4a7c15, (uint64_t)id);
        made->limit = limit;
        *producers = made;
    }
    struct producer *producer = calloc(1, sizeof *producer);
    if (!producer) {
        return NULL;
    }
    producer->id = id;
    producer->owner = *producers;
    void *old = NULL;
    if (hashmap_put(&(*producers)->map, span_of(&producer->id, sizeof producer->id), producer,
                    &old)) {
        free(producer);
        return NULL;
    }
    enlist(producer);
    return producer;
}

/* How many leave from the front so that five durable ones, or five in all, are left. */
static unsigned surplus(const struct producer *producer, int64_t durable_end) {
    unsigned durable = 0;
    while (durable < producer->count && producer->batches[durable].base_offset < durable_end) {
        durable++;
    }
    return durable > PRODUCER_WINDOW ? durable - PRODUCER_WINDOW : 0;
}

/* Finds or makes the producer and room for one batch more. */
static int room(struct producers **producers, struct producer_limit *limit, int64_t id,
                int64_t durable_end, struct producer **ret_producer) {
    struct producer *producer = find(*producers, id);
    if (!producer) {
        producer = make(producers, limit, id);
        if (!producer) {
            return err_origin(-ENOMEM);
        }
    }
    unsigned drop = surplus(producer, durable_end);
    if (drop > 0) {
        producer->count = (uint16_t)(producer->count - drop);
        memmove(producer->batches, producer->batches + drop,
                producer->count * sizeof *producer->batches);
    }
    if (producer->count == producer->capacity) {
        if (producer->capacity >= UINT16_MAX / 2) {
            return err_origin(-ENOMEM);
        }
        unsigned capacity = producer->capacity ? producer->capacity * 2u : 2u;
        void *grown = realloc(producer->batches, capacity * sizeof *producer->batches);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        producer->batches = grown;
        producer->capacity = (uint16_t)capacity;
    }
    *ret_producer = producer;
    return 0;
}

int producer_reserve(struct producers **producers, struct producer_limit *limit, int64_t id,
                     int64_t durable_end) {
    struct producer *producer;
    return room(producers, limit, id, durable_end, &producer);
}

int producer_push(struct producers **producers, struct producer_limit *limit, int64_t id,
                  const struct producer_batch *batch, int64_t durable_end, int64_t now_ms) {
    struct producer *producer;
    int r = room(producers, limit, id, durable_end, &producer);
    if (r) {
        return r;
    }
    producer->batches[producer->count++] = *batch;
    producer->last_ms = now_ms;
    if (producer->owner->limit) {
        list_remove(&producer->link);
        list_push_back(&producer->owner->limit->order, &producer->link);
    }
    return 0;
}

void producer_durable(const struct producer *producer, int64_t durable_end, unsigned *ret_first,
                      unsigned *ret_count) {
    unsigned durable = 0;
    while (durable < producer->count && producer->batches[durable].base_offset < durable_end) {
        durable++;
    }
    *ret_first = durable > PRODUCER_WINDOW ? durable - PRODUCER_WINDOW : 0;
    *ret_count = durable - *ret_first;
}

unsigned producers_expire(struct producers *producers, int64_t before_ms, int64_t durable_end) {
    unsigned count = 0;
    size_t position = 0;
    struct producer *producer;
    while (producers && (producer = hashmap_next(&producers->map, &position)) != NULL) {
        bool in_flight = producer->count > 0 &&
                         producer->batches[producer->count - 1].base_offset >= durable_end;
        if (producer->last_ms < before_ms && !in_flight) {
            forget(producer);
            count++;
        }
    }
    return count;
}

void producers_free(struct producers *producers) {
    if (!producers) {
        return;
    }
    size_t position = 0;
    struct producer *producer;
    while ((producer = hashmap_next(&producers->map, &position)) != NULL) {
        forget(producer);
    }
    hashmap_deinit(&producers->map);
    free(producers);
}
