#include <eventbox/base/arena.h>
#include <stdio.h>
#include <stdlib.h>

/* Small requests pay for one small chunk; large ones soon reach chunks that malloc likes. */
enum { CHUNK_BYTES_FIRST = 2048, CHUNK_BYTES_MAX = 32768 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t size;
    alignas(max_align_t) uint8_t bytes[];
};

void arena_init(struct arena *arena, size_t limit_bytes) {
    *arena = (struct arena){.limit_bytes = limit_bytes, .chunk_bytes = CHUNK_BYTES_FIRST};
}

void arena_deinit(struct arena *arena) {
    struct arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    arena_init(arena, arena->limit_bytes);
}

void arena_reset(struct arena *arena) {
    struct arena_chunk *kept = NULL;
    struct arena_chunk *chunk = arena->chunks;

    while (chunk) {
        struct arena_chunk *next = chunk->next;
        if (!kept && chunk->size == CHUNK_BYTES_FIRST - sizeof *chunk) {
            kept = chunk;
        } else {
            free(chunk);
        }
        chunk = next;
    }
    arena_init(arena, arena->limit_bytes);
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
        arena->chunks = kept;
        arena->chunk_bytes = CHUNK_BYTES_FIRST * 2;
    }
}

/* The new chunk becomes the current one, unless it exists for one large block only. */
static struct arena_chunk *add_chunk(struct arena *arena, size_t size) {
    size_t payload =
        MAX(arena->chunk_bytes, (size_t)CHUNK_BYTES_FIRST) - sizeof(struct arena_chunk);
    bool large = size > payload / 2;
    struct arena_chunk *chunk;

    if (large) {
        payload = size;
    }
    chunk = malloc(sizeof *chunk + payload);
    if (!chunk) {
        return NULL;
    }
    chunk->used = 0;
    chunk->size = payload;
    if (large && arena->chunks) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    if (!large) {
        arena->chunk_bytes = MIN(arena->chunk_bytes * 2, (size_t)CHUNK_BYTES_MAX);
    }
    return chunk;
}

/* Memory with undefined content. */
static void *take(struct arena *arena, size_t size) {
    size_t rounded =
        (MAX(size, (size_t)1) + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct arena_chunk *chunk = arena->chunks;
    void *block;

    if (rounded < size ||
        rounded > arena->limit_bytes - MIN(arena->used_bytes, arena->limit_bytes)) {
        return NULL;
    }
    if (!chunk || chunk->size - chunk->used < rounded) {
        chunk = add_chunk(arena, rounded);
        if (!chunk) {
            return NULL;
        }
    }
    block = chunk->bytes + chunk->used;
    chunk->used += rounded;
    arena->used_bytes += rounded;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size) {
    void *block = take(arena, size);
    return block ? memset(block, 0, size) : NULL;
}

void *arena_dup(struct arena *arena, const void *data, size_t size) {
    char *copy = size < SIZE_MAX ? take(arena, size + 1) : NULL;
    if (!copy) {
        return NULL;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    copy[size] = '\0';
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args;
    char *text;
    int size;

    va_start(args, format);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) {
        return NULL;
    }
    text = take(arena, (size_t)size + 1);
    if (!text) {
        return NULL;
    }
    va_start(args, format);
    vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}
