/* What the relay does with the outbox's rows. Inside a transaction's body. */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/store/outbox.h>

struct outbox_row {
    int64_t id;
    int64_t created_ms;
    bool has_trace;
    struct trace trace;
    struct span records; /* encoded: records.h */
};

/**
 * outbox_read() - up to @max rows above @after in id order, at least one, and no more once
 * @bytes_max bytes are there Ownership: rows and bytes live in @arena. Return: 0 and *ret_count,
 * *ret_more (rows may follow); negative.
 */
int outbox_read(struct store_tx *tx, int64_t after, size_t max, size_t bytes_max,
                struct arena *arena, struct outbox_row **ret_rows, size_t *ret_count,
                bool *ret_more);
/** outbox_remove() - delete the rows up to and with @through */
int outbox_remove(struct store_tx *tx, int64_t through);
