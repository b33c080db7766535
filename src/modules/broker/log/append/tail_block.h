/*
 * Where batches in memory live. A batch of a few hundred bytes would cost two blocks of the heap
 * that are taken and given back by the hundred thousand a second, each of them cold by then. So
 * small ones are copied into blocks of 16 KiB, one behind the other:
 *
 *   | bytes | bytes | bytes | ...  free  ... | struct | struct | struct |
 *
 * Their bytes grow from the front, so that batches appended one after the other are one range, and
 * their structs from the end. A larger batch stays in the buf that it came in, with a struct of its
 * own.
 *
 * A block goes when the last of its batches goes, which is soon, since the oldest leave first. But
 * one that stays keeps its block: what its neighbours took counts as dead_cost until then, and the
 * bound of tail_bytes holds for both together. Thread: loop; recovery before it.
 */
#pragma once

#include <eventbox/base/buf.h>
#include <eventbox/base/defs.h>

struct tail_batch;

enum { TAIL_SMALL_BYTES = 512 }; /* larger batches are not copied */

struct tail_blocks {
    struct tail_block *current; /* NULL: the next batch begins one */
    uint64_t dead_cost;         /* of batches that have left, while their block has not */
    uint32_t count;             /* of blocks */
};

/**
 * tail_batch_new() - a zeroed one with the bytes of @batch
 * @batch: copied where it is small or has no buf, else referenced
 * Return: NULL without memory.
 */
struct tail_batch *tail_batch_new(struct tail_blocks *blocks, const struct slice *batch);
/** tail_batch_free() - it, and its bytes unless somebody else has a reference to their buf */
void tail_batch_free(struct tail_blocks *blocks, struct tail_batch *batch);
/** tail_blocks_deinit() - every batch is gone already; more may follow all the same */
void tail_blocks_deinit(struct tail_blocks *blocks);
