/*
 * Memory that dies with a request: chunks from malloc, freed all at once.
 * Thread: one at a time. Every arena has a limit, since peers choose what fills it.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>
#include <stdarg.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t used_bytes;  /* handed out over all chunks */
    size_t limit_bytes; /* arena_alloc() fails beyond it */
    size_t chunk_bytes; /* size of the next chunk */
};

/** arena_init() - empty arena; takes no memory before the first arena_alloc() */
void arena_init(struct arena *arena, size_t limit_bytes);
/** arena_deinit() - frees everything; accepts a zeroed arena; the arena may be used again */
void arena_deinit(struct arena *arena);
/** arena_reset() - empty again, keeping one small chunk, so that a reused arena costs no malloc */
void arena_reset(struct arena *arena);

/** arena_alloc() - zeroed memory aligned for any type; NULL past the limit or without memory */
void *arena_alloc(struct arena *arena, size_t size);
/** arena_dup() - copy of @size bytes, followed by a zero byte that is not counted */
void *arena_dup(struct arena *arena, const void *data, size_t size);
char *arena_printf(struct arena *arena, const char *format, ...) _printf_(2, 3);
