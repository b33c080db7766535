#include "buf_large.h"

#include <eventbox/base/buf.h>
#include <stdlib.h>
#include <string.h>

struct large_buf {
    struct buf buf;
    size_t mapped;
};

static void free_large(struct buf *buf) {
    buf_large_free(buf, container_of(buf, struct large_buf, buf)->mapped);
}

static struct buf *new_large(size_t capacity) {
    size_t mapped;
    struct large_buf *large = buf_large_alloc(sizeof *large + capacity, &mapped);

    if (!large) {
        return NULL;
    }
    large->mapped = mapped;
    large->buf = (struct buf){
        .data = (uint8_t *)(large + 1),
        .size = capacity,
        .capacity = capacity,
        .refs = 1,
        .release = free_large,
    };
    return &large->buf;
}

struct buf *buf_new(size_t capacity) {
    struct buf *buf;

    if (capacity > SIZE_MAX / 2) {
        return NULL;
    }
    if (capacity >= BUF_LARGE_BYTES) {
        return new_large(capacity);
    }
    buf = malloc(sizeof *buf + capacity);
    if (!buf) {
        return NULL;
    }
    *buf = (struct buf){
        .data = (uint8_t *)(buf + 1),
        .size = capacity,
        .capacity = capacity,
        .refs = 1,
    };
    return buf;
}

struct buf *buf_copy(const void *data, size_t size) {
    struct buf *buf = buf_new(size);
    if (buf && size > 0) {
        memcpy(buf->data, data, size);
    }
    return buf;
}

struct buf *buf_ref(struct buf *buf) {
    /* Who holds a reference may take another; nothing has to be ordered with it. */
    __atomic_fetch_add(&buf->refs, 1, __ATOMIC_RELAXED);
    return buf;
}

void buf_unref(struct buf *buf) {
    /* Releases what this thread did with the bytes, acquires what the others did, before the end.
     */
    if (!buf || __atomic_fetch_sub(&buf->refs, 1, __ATOMIC_ACQ_REL) != 1) {
        return;
    }
    if (buf->release) {
        buf->release(buf);
    } else {
        free(buf);
    }
}

void buf_trim(void) {
    buf_large_trim();
}

size_t buf_kept_bytes(void) {
    return buf_large_kept_bytes();
}
