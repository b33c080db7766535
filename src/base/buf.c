#include <eventbox/base/buf.h>
#include <stdlib.h>
#include <string.h>

struct buf *buf_new(size_t capacity) {
    struct buf *buf;

    if (capacity > SIZE_MAX - sizeof *buf) {
        return NULL;
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
