/*
 * Shared bytes: refcounted, immutable once published. Record batches travel in them from the
 * socket to the journal, to fetch responses and to local subscribers without a copy.
 * Thread: ref and unref from any (the count is atomic); writing only before publication.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

struct buf {
    uint8_t *data;
    size_t size;     /* bytes in use; the owner may shrink it before publication */
    size_t capacity; /* bytes behind data */
    unsigned refs;   /* atomic */
    /* Frees the bytes and the struct itself after the last unref; NULL: both are one block. */
    void (*release)(struct buf *buf);
};

/** buf_new() - @capacity uninitialized bytes, one reference, size = capacity; NULL without memory
 */
struct buf *buf_new(size_t capacity);
/** buf_copy() - as buf_new(), filled from @data */
struct buf *buf_copy(const void *data, size_t size);
struct buf *buf_ref(struct buf *buf);
void buf_unref(struct buf *buf); /* accepts NULL */
DEFINE_CLEANUP(struct buf *, buf_unref)
/** buf_trim() - give back the memory that is kept for large bufs to come (at most 3 MiB) */
void buf_trim(void);
size_t buf_kept_bytes(void); /* what is kept for them now */

/* A range of a buf; holds one reference when its owner says so. */
struct slice {
    struct buf *buf;
    const uint8_t *data;
    size_t size;
};

static inline struct slice slice_of(struct buf *buf, size_t offset, size_t size) {
    return (struct slice){buf, buf->data + offset, size};
}
