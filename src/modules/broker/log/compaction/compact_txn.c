/*
 * Transactions as compaction meets them, in the order of offsets. An aborted one is known from its
 * first offset on; any other whose batches are met counts as committed. A marker whose transaction
 * has left no batch in the log has nothing more to tell.
 */
#include "compact_private.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <stdlib.h>
#include <string.h>

enum { MARKER_ABORT = 0, MARKER_COMMIT = 1 };

void compact_txns_init(struct compact_txns *txns, const struct compact_plan *plan) {
    *txns = (struct compact_txns){.aborted = plan->aborted, .aborted_count = plan->aborted_count};
}

void compact_txns_deinit(struct compact_txns *txns) {
    free(txns->open);
    txns->open = NULL;
}

int compact_txns_copy(struct compact_txns *to, const struct compact_txns *from) {
    *to = *from;
    to->open_capacity = from->open_count;
    to->open = from->open_count ? malloc(from->open_count * sizeof *to->open) : NULL;
    if (from->open_count && !to->open) {
        return err_origin(-ENOMEM);
    }
    if (from->open_count) {
        memcpy(to->open, from->open, from->open_count * sizeof *to->open);
    }
    return 0;
}

static struct compact_open_txn *find_open(struct compact_txns *txns, int64_t producer_id) {
    for (uint32_t i = 0; i < txns->open_count; i++) {
        if (txns->open[i].producer_id == producer_id) {
            return &txns->open[i];
        }
    }
    return NULL;
}

static int open_txn(struct compact_txns *txns, int64_t producer_id, bool aborted) {
    struct compact_open_txn *open = find_open(txns, producer_id);
    if (!open && txns->open_count == txns->open_capacity) {
        uint32_t capacity = txns->open_capacity ? txns->open_capacity * 2 : 8;
        void *grown = realloc(txns->open, capacity * sizeof *txns->open);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        txns->open = grown;
        txns->open_capacity = capacity;
    }
    open = open ? open : &txns->open[txns->open_count++];
    *open = (struct compact_open_txn){.producer_id = producer_id, .aborted = aborted};
    return 0;
}

/* The type of a marker, from the key of its one record; -1: none that we know. */
static int marker_type(struct span data) {
    struct record_iterator it;
    struct record record;
    int type = -1;
    int r = record_iterator_init(&it, data);
    if (!r && record_iterator_next(&it, &record) == 1 && record.key.size >= 4) {
        type = (int16_t)get_be16((const uint8_t *)record.key.data + 2);
    }
    record_iterator_deinit(&it);
    return type;
}

static bool pass_marker(struct compact_txns *txns, struct span data,
                        const struct record_batch *batch) {
    if (batch->record_count == 0) {
        return true; /* an earlier run has emptied it */
    }
    int type = marker_type(data);
    if (type != MARKER_ABORT && type != MARKER_COMMIT) {
        return false;
    }
    struct compact_open_txn *open = find_open(txns, batch->producer_id);
    if (!open) {
        return true;
    }
    /* Batches before an abort that nobody knows as aborted: nothing is concluded from them. */
    bool spent = open->aborted && !open->batch_seen;
    *open = txns->open[--txns->open_count];
    return spent;
}

int compact_txns_pass(struct compact_txns *txns, struct span data, const struct record_batch *batch,
                      bool *ret_discard) {
    int64_t last_offset = batch->base_offset + batch->last_offset_delta;
    *ret_discard = false;
    for (; txns->next < txns->aborted_count; txns->next++) {
        const struct compact_aborted *aborted = &txns->aborted[txns->next];
        if (aborted->first_offset > last_offset) {
            break;
        }
        /* One that ended before the first batch that is read says nothing about this one. */
        int r = aborted->last_offset < batch->base_offset
                    ? 0
                    : open_txn(txns, aborted->producer_id, true);
        if (r) {
            return r;
        }
    }
    if (batch->attributes & RECORD_BATCH_CONTROL) {
        *ret_discard = pass_marker(txns, data, batch);
        return 0;
    }
    if (!(batch->attributes & RECORD_BATCH_TRANSACTIONAL) || batch->producer_id < 0) {
        return 0; /* without a producer no marker will ever come for it */
    }
    struct compact_open_txn *open = find_open(txns, batch->producer_id);
    if (!open) {
        int r = open_txn(txns, batch->producer_id, false);
        if (r) {
            return r;
        }
        open = find_open(txns, batch->producer_id);
    }
    open->batch_seen = true;
    *ret_discard = open->aborted;
    return 0;
}
