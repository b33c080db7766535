/* Memory for large bufs (buf.c). Thread: any. */
#pragma once

#include <stddef.h>

enum {
    BUF_LARGE_BYTES = 192 << 10,       /* from here on a buf is large */
    BUF_LARGE_KEPT_BYTES = 8 << 20,    /* at most so much is kept for later */
    BUF_LARGE_RANGE_BYTES = 256 << 20, /* of addresses; more have mappings of their own */
};

/** buf_large_alloc() - at least @wanted uninitialized bytes; NULL without memory */
void *buf_large_alloc(size_t wanted, size_t *ret_size);
void buf_large_free(void *data, size_t size);
size_t buf_large_kept_bytes(void);
/** buf_large_trim() - give back what is kept */
void buf_large_trim(void);
