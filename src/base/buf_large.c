/*
 * Memory for large bufs: mappings of their own, so that frames of a megabyte that come and go in no
 * order do not tear the heap into pieces that nothing fits. Some mappings are kept for the next
 * buf, the one given back last first: it is still in the caches. What is kept is bounded, and a new
 * mapping takes the place of kept ones, so that what is kept never adds to the most that was in use
 * at once. The bound is what the log lets go of in one go: with less, the pages of every other
 * frame were given back to the kernel and taken from it again.
 *
 * To the address sanitizer what nobody asked for is out of bounds, as it would be with malloc.
 */
#include "buf_large.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <sys/mman.h>

enum {
    STEP_BYTES = 64 << 10, /* sizes are multiples of it */
    KEPT_MAX = 32,
};

struct mapping {
    void *data;
    size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping kept[KEPT_MAX]; /* given back last comes last */
static unsigned kept_count;
static size_t kept_bytes;

static struct mapping take_kept(unsigned index) {
    struct mapping taken = kept[index];

    kept_bytes -= taken.size;
    kept_count--;
    for (unsigned i = index; i < kept_count; i++) {
        kept[i] = kept[i + 1];
    }
    return taken;
}

/* At most a third of a kept mapping may be left over. */
static bool find_kept(size_t size, struct mapping *ret_mapping) {
    for (unsigned i = kept_count; i > 0; i--) {
        if (kept[i - 1].size >= size && kept[i - 1].size - size <= size / 2) {
            *ret_mapping = take_kept(i - 1);
            return true;
        }
    }
    return false;
}

/* Taken from what is kept, the oldest first; to be unmapped without the lock. */
struct taken {
    struct mapping mappings[KEPT_MAX];
    unsigned count;
};

static size_t take_oldest(struct taken *taken) {
    taken->mappings[taken->count] = take_kept(0);
    return taken->mappings[taken->count++].size;
}

static void unmap(void *data, size_t size) {
    ASAN_UNPOISON_MEMORY_REGION(data, size);
    munmap(data, size);
}

static void unmap_taken(const struct taken *taken) {
    for (unsigned i = 0; i < taken->count; i++) {
        unmap(taken->mappings[i].data, taken->mappings[i].size);
    }
}

void *buf_large_alloc(size_t wanted, size_t *ret_size) {
    struct mapping mapping = {.size = (wanted + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES};
    struct taken replaced;
    bool found;

    if (mapping.size < wanted) {
        return NULL;
    }
    replaced.count = 0;
    pthread_mutex_lock(&lock);
    found = find_kept(mapping.size, &mapping);
    for (size_t bytes = 0; !found && kept_count > 0 && bytes < mapping.size;) {
        bytes += take_oldest(&replaced);
    }
    pthread_mutex_unlock(&lock);
    if (!found) {
        unmap_taken(&replaced);
        mapping.data =
            mmap(NULL, mapping.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapping.data == MAP_FAILED) {
            return NULL;
        }
    }
    ASAN_UNPOISON_MEMORY_REGION(mapping.data, wanted);
    ASAN_POISON_MEMORY_REGION((char *)mapping.data + wanted, mapping.size - wanted);
    *ret_size = mapping.size;
    return mapping.data;
}

void buf_large_free(void *data, size_t size) {
    struct taken taken;

    taken.count = 0;
    pthread_mutex_lock(&lock);
    while (kept_count > 0 && (kept_count == KEPT_MAX || kept_bytes + size > BUF_LARGE_KEPT_BYTES)) {
        (void)take_oldest(&taken);
    }
    if (size <= BUF_LARGE_KEPT_BYTES) {
        ASAN_POISON_MEMORY_REGION(data, size);
        kept[kept_count++] = (struct mapping){data, size};
        kept_bytes += size;
        data = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (data) {
        unmap(data, size);
    }
    unmap_taken(&taken);
}

size_t buf_large_kept_bytes(void) {
    size_t bytes;

    pthread_mutex_lock(&lock);
    bytes = kept_bytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}

void buf_large_trim(void) {
    struct mapping mapping;

    do {
        pthread_mutex_lock(&lock);
        mapping = kept_count > 0 ? take_kept(kept_count - 1) : (struct mapping){0};
        pthread_mutex_unlock(&lock);
        if (mapping.data) {
            unmap(mapping.data, mapping.size);
        }
    } while (mapping.data);
}
