#include "log_private.h"

#include <stdlib.h>

struct tail_block {
    struct buf buf;       /* of all its slices; one reference is for its batches together */
    uint32_t front, back; /* between them it is free */
    uint32_t live;        /* batches */
    uint64_t dead_cost;
    alignas(max_align_t) uint8_t bytes[];
};

enum {
    BLOCK_BYTES = 16 << 10, /* with malloc's own word */
    BLOCK_ROOM = (BLOCK_BYTES - 16 - sizeof(struct tail_block)) & ~(alignof(max_align_t) - 1),
};

static void block_free(struct buf *buf) {
    free(container_of(buf, struct tail_block, buf));
}

static struct tail_block *block_new(struct tail_blocks *blocks) {
    struct tail_block *block = malloc(sizeof *block + BLOCK_ROOM);

    if (block) {
        *block = (struct tail_block){
            .buf = {.data = block->bytes,
                    .size = BLOCK_ROOM,
                    .capacity = BLOCK_ROOM,
                    .refs = 1,
                    .release = block_free},
            .back = BLOCK_ROOM,
        };
        blocks->count++;
    }
    return block;
}

/* No batch of it is left, and none will come. */
static void block_end(struct tail_blocks *blocks, struct tail_block *block) {
    blocks->dead_cost -= block->dead_cost;
    blocks->count--;
    buf_unref(&block->buf);
}

static struct tail_block *block_with_room(struct tail_blocks *blocks, size_t bytes) {
    struct tail_block *block = blocks->current;

    if (block && block->back - block->front >= bytes) {
        return block;
    }
    if (block && block->live == 0) {
        block_end(blocks, block);
    }
    blocks->current = block_new(blocks);
    return blocks->current;
}

static struct tail_batch *copy_small(struct tail_blocks *blocks, const struct slice *batch) {
    struct tail_block *block = block_with_room(blocks, batch->size + sizeof(struct tail_batch));
    struct tail_batch *made;

    if (!block) {
        return NULL;
    }
    block->back -= (uint32_t)sizeof *made;
    made = (struct tail_batch *)(void *)(block->bytes + block->back);
    *made = (struct tail_batch){
        .batch = slice_of(&block->buf, block->front, batch->size),
        .in_block = true,
    };
    memcpy(block->bytes + block->front, batch->data, batch->size);
    block->front += (uint32_t)batch->size;
    block->live++;
    return made;
}

struct tail_batch *tail_batch_new(struct tail_blocks *blocks, const struct slice *batch) {
    struct tail_batch *made;
    struct buf *buf;

    if (batch->size <= TAIL_SMALL_BYTES) {
        return copy_small(blocks, batch);
    }
    made = calloc(1, sizeof *made);
    buf = made ? (batch->buf ? buf_ref(batch->buf) : buf_copy(batch->data, batch->size)) : NULL;
    if (!buf) {
        free(made);
        return NULL;
    }
    made->batch = (struct slice){buf, batch->buf ? batch->data : buf->data, batch->size};
    return made;
}

void tail_batch_free(struct tail_blocks *blocks, struct tail_batch *batch) {
    struct tail_block *block;
    uint64_t cost = tail_batch_cost(batch);

    if (!batch->in_block) {
        buf_unref(batch->batch.buf);
        free(batch);
        return;
    }
    block = container_of(batch->batch.buf, struct tail_block, buf);
    block->dead_cost += cost;
    blocks->dead_cost += cost;
    if (--block->live == 0 && block != blocks->current) {
        block_end(blocks, block);
    }
}

void tail_blocks_deinit(struct tail_blocks *blocks) {
    struct tail_block *block = blocks->current;

    blocks->current = NULL;
    if (block && block->live == 0) {
        block_end(blocks, block);
    }
}
