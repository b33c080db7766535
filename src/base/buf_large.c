/*
 * Memory for large bufs: one range of addresses that is theirs, given out in granules of 64 KiB, so
 * that frames of a megabyte that come and go in no order do not tear the heap into pieces.
 *
 *   | used | used | warm | warm | used | warm | fresh | fresh | ...
 *                                             ^ top
 *
 * A warm granule is free and has its pages; the first touch of a fresh one faults for each. So a
 * buf goes where most granules are warm, however the bufs lay that left them, and of equal places
 * to the lowest. What is warm is bounded, and a buf that takes fresh granules gives as many warm
 * ones back to the kernel, those at the highest addresses: what is kept never adds to the most that
 * was in use at once, and what is in use stays together below. The bound is what the log lets go of
 * in one go: with less, the pages of every other frame were given back and taken again.
 *
 * A buf that finds no place has a mapping of its own. To the address sanitizer what nobody asked
 * for is out of bounds, as it would be with malloc.
 */
#include "buf_large.h"

#include <eventbox/base/defs.h>
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum {
    GRANULE_BYTES = 64 << 10,
    GRANULES = BUF_LARGE_RANGE_BYTES / GRANULE_BYTES,
    NOWHERE = GRANULES,
};

enum granule { FRESH, WARM, USED };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *range; /* NULL: not there yet, or the system refuses it */
static bool refused;
static uint8_t granules[GRANULES]; /* enum granule */
static unsigned top;               /* from here on all are fresh */
static unsigned warm_count;

static void *map(size_t size, int flags) {
    void *data =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return data == MAP_FAILED ? NULL : data;
}

static void have_range(void) {
    if (range || refused) {
        return;
    }
    range = map(BUF_LARGE_RANGE_BYTES, MAP_NORESERVE);
    refused = !range;
    if (range) {
        (void)madvise(range, BUF_LARGE_RANGE_BYTES, MADV_NOHUGEPAGE);
        ASAN_POISON_MEMORY_REGION(range, BUF_LARGE_RANGE_BYTES);
    }
}

/* Where @count granules are free and most of them warm, or NOWHERE. */
static unsigned find_place(unsigned count, unsigned *ret_warm) {
    unsigned place = NOWHERE, used = 0, warm = 0, last = MIN(top + count, (unsigned)GRANULES);
    *ret_warm = 0;
    for (unsigned end = 1; end <= last; end++) {
        used += granules[end - 1] == USED;
        warm += granules[end - 1] == WARM;
        if (end > count) {
            used -= granules[end - 1 - count] == USED;
            warm -= granules[end - 1 - count] == WARM;
        }
        if (end >= count && used == 0 && (place == NOWHERE || warm > *ret_warm)) {
            place = end - count;
            *ret_warm = warm;
        }
    }
    return place;
}

/* Gives @count warm granules back to the kernel, from the top. */
static void cool(unsigned count) {
    for (unsigned end = top; end > 0 && count > 0 && warm_count > 0; end--) {
        unsigned begin = end;
        while (begin > 0 && granules[begin - 1] == WARM && end - begin < count) {
            granules[--begin] = FRESH;
        }
        if (begin < end) {
            (void)madvise(range + (size_t)begin * GRANULE_BYTES,
                          (size_t)(end - begin) * GRANULE_BYTES, MADV_DONTNEED);
            warm_count -= end - begin;
            count -= end - begin;
            end = begin + 1;
        }
    }
    while (top > 0 && granules[top - 1] == FRESH) {
        top--;
    }
}

static void *take(size_t size) {
    unsigned count = (unsigned)(size / GRANULE_BYTES), warm;
    have_range();
    unsigned place = range && size <= BUF_LARGE_RANGE_BYTES ? find_place(count, &warm) : NOWHERE;
    if (place == NOWHERE) {
        return NULL;
    }
    memset(granules + place, USED, count);
    top = MAX(top, place + count);
    warm_count -= warm;
    cool(count - warm);
    return range + (size_t)place * GRANULE_BYTES;
}

void *buf_large_alloc(size_t wanted, size_t *ret_size) {
    if (wanted > SIZE_MAX - GRANULE_BYTES) {
        return NULL;
    }
    size_t size = (wanted + GRANULE_BYTES - 1) / GRANULE_BYTES * GRANULE_BYTES;
    pthread_mutex_lock(&lock);
    uint8_t *data = take(size);
    pthread_mutex_unlock(&lock);
    if (!data && !(data = map(size, 0))) {
        return NULL;
    }
    ASAN_UNPOISON_MEMORY_REGION(data, wanted);
    ASAN_POISON_MEMORY_REGION(data + wanted, size - wanted);
    *ret_size = size;
    return data;
}

void buf_large_free(void *data, size_t size) {
    pthread_mutex_lock(&lock);
    uintptr_t at = (uintptr_t)data - (uintptr_t)range;
    bool ours = range && at < BUF_LARGE_RANGE_BYTES;
    if (ours) {
        ASAN_POISON_MEMORY_REGION(data, size);
        memset(granules + at / GRANULE_BYTES, WARM, size / GRANULE_BYTES);
        warm_count += (unsigned)(size / GRANULE_BYTES);
        if (warm_count > BUF_LARGE_KEPT_BYTES / GRANULE_BYTES) {
            cool(warm_count - BUF_LARGE_KEPT_BYTES / GRANULE_BYTES);
        }
    }
    pthread_mutex_unlock(&lock);
    if (!ours) {
        ASAN_UNPOISON_MEMORY_REGION(data, size);
        munmap(data, size);
    }
}

size_t buf_large_kept_bytes(void) {
    pthread_mutex_lock(&lock);
    size_t bytes = (size_t)warm_count * GRANULE_BYTES;
    pthread_mutex_unlock(&lock);
    return bytes;
}

void buf_large_trim(void) {
    pthread_mutex_lock(&lock);
    cool(warm_count);
    pthread_mutex_unlock(&lock);
}
