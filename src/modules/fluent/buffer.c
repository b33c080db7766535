#include "buffer.h"

#include <assert.h>
#include <eventbox/base/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_FIRST_BYTES = 64 * 1024, /* quiet services need no more; then four times as much */
    CHUNK_ROOM = ENCODE_HEADER_BYTES_MAX,
    PROBE_BYTES_MAX = 2048,
};

void fluent_buffer_init(struct fluent_buffer *buffer, struct random *random, size_t bytes_max,
                        size_t chunk_bytes) {
    *buffer = (struct fluent_buffer){
        .random = random,
        .bytes_max = bytes_max - PROBE_BYTES_MAX,
        .chunk_bytes = chunk_bytes,
    };
    encoder_init(&buffer->encoder);
    list_init(&buffer->queue);
}

static size_t capacity_max(const struct fluent_buffer *buffer) {
    return CHUNK_ROOM + buffer->chunk_bytes + ENCODE_RECORD_BYTES_MAX + ENCODE_TRAILER_BYTES_MAX;
}

static void drop_spare(struct fluent_buffer *buffer) {
    if (buffer->spare) {
        buffer->bytes -= buffer->spare->capacity;
        buf_unref(buffer->spare);
        buffer->spare = NULL;
    }
}

static void free_chunk(struct fluent_buffer *buffer, struct fluent_chunk *chunk) {
    struct buf *buf = chunk->buf;
    bool ours = __atomic_load_n(&buf->refs, __ATOMIC_ACQUIRE) == 1; /* no connection sends it */
    if (!buffer->spare && ours && buf->capacity == capacity_max(buffer)) {
        buffer->spare = buf;
    } else {
        buffer->bytes -= buf->capacity;
        buf_unref(buf);
    }
    free(chunk);
}

/* Memory of @capacity bytes, which was accounted for by the caller unless it is the spare. */
static struct buf *take_memory(struct fluent_buffer *buffer, size_t capacity) {
    struct buf *buf = buffer->spare;
    if (buf && buf->capacity == capacity) {
        buffer->spare = NULL;
        return buf;
    }
    buf = buf_new(capacity);
    if (buf) {
        buffer->bytes += capacity;
    }
    return buf;
}

void fluent_buffer_release(struct fluent_buffer *buffer, struct fluent_chunk *chunk) {
    free_chunk(buffer, chunk);
}

void fluent_buffer_lost(struct fluent_buffer *buffer, enum log_level level) {
    buffer->dropped_by_level[level]++;
    buffer->dropped++;
}

static void drop(struct fluent_buffer *buffer, struct fluent_chunk *chunk) {
    for (size_t i = 0; i < FLUENT_LEVELS; i++) {
        buffer->dropped_by_level[i] += chunk->events_by_level[i];
    }
    buffer->dropped += chunk->events;
    buffer->overflowed += chunk->events;
    free_chunk(buffer, chunk);
}

void fluent_buffer_deinit(struct fluent_buffer *buffer) {
    struct fluent_chunk *chunk;
    for (size_t i = 0; i < buffer->tag_count; i++) {
        if (buffer->open[i].chunk) {
            free_chunk(buffer, buffer->open[i].chunk);
        }
    }
    buffer->tag_count = 0;
    while ((chunk = fluent_buffer_take(buffer))) {
        free_chunk(buffer, chunk);
    }
    drop_spare(buffer);
}

struct fluent_chunk *fluent_buffer_take(struct fluent_buffer *buffer) {
    struct list *link = buffer->queue.next ? list_pop_front(&buffer->queue) : NULL;
    return link ? list_entry(link, struct fluent_chunk, link) : NULL;
}

void fluent_buffer_put_back(struct fluent_buffer *buffer, struct fluent_chunk *chunk) {
    list_push_front(&buffer->queue, &chunk->link);
}

void fluent_buffer_put_last(struct fluent_buffer *buffer, struct fluent_chunk *chunk) {
    list_push_back(&buffer->queue, &chunk->link);
}

bool fluent_buffer_empty(const struct fluent_buffer *buffer) {
    for (size_t i = 0; i < buffer->tag_count; i++) {
        if (buffer->open[i].chunk) {
            return false;
        }
    }
    return list_empty(&buffer->queue);
}

/* ---- sealing ---- */

void fluent_chunk_new_id(struct fluent_chunk *chunk, struct random *random) {
    uint8_t bytes[16];
    random_fill(random, bytes, sizeof bytes);
    base64_encode(bytes, sizeof bytes, chunk->id);
}

/* What stands in front of the entries and behind them. */
static void enclose(struct fluent_buffer *buffer, struct fluent_chunk *chunk, const char *tag) {
    uint8_t header[ENCODE_HEADER_BYTES_MAX];
    size_t size = encode_header(tag, (uint32_t)(chunk->end - CHUNK_ROOM), header);

    snprintf(chunk->tag, sizeof chunk->tag, "%s", tag);
    fluent_chunk_new_id(chunk, buffer->random);
    chunk->entries_start = CHUNK_ROOM;
    chunk->entries_end = chunk->end;
    chunk->start = CHUNK_ROOM - size;
    memcpy(chunk->buf->data + chunk->start, header, size);
    chunk->end += encode_trailer(chunk->id, chunk->events, chunk->buf->data + chunk->end);
}

static void seal(struct fluent_buffer *buffer, struct fluent_open_chunk *open) {
    enclose(buffer, open->chunk, open->tag);
    list_push_back(&buffer->queue, &open->chunk->link);
    open->chunk = NULL;
}

void fluent_buffer_seal(struct fluent_buffer *buffer) {
    for (size_t i = 0; i < buffer->tag_count; i++) {
        if (buffer->open[i].chunk) {
            seal(buffer, &buffer->open[i]);
            buffer->open[i].busy = false;
        }
    }
    drop_spare(buffer); /* a chunk that is sealed by time says that things are quiet */
}

/* ---- making room ---- */

/* Room for @size more bytes of memory, at the cost of the oldest lines. */
static bool make_room(struct fluent_buffer *buffer, size_t size) {
    if (buffer->bytes + size > buffer->bytes_max) {
        drop_spare(buffer);
    }
    while (buffer->bytes + size > buffer->bytes_max) {
        struct fluent_chunk *oldest = fluent_buffer_take(buffer);
        if (!oldest) {
            return false;
        }
        drop(buffer, oldest);
    }
    return true;
}

static size_t room_of(const struct fluent_chunk *chunk) {
    return chunk->buf->capacity - chunk->end - ENCODE_TRAILER_BYTES_MAX;
}

/* True when @capacity bytes are there to be taken. */
static bool has_memory(struct fluent_buffer *buffer, size_t capacity) {
    return (buffer->spare && buffer->spare->capacity == capacity) || make_room(buffer, capacity);
}

/* @capacity bytes, for which there is room. */
static struct fluent_chunk *chunk_of(struct fluent_buffer *buffer, size_t capacity) {
    struct fluent_chunk *chunk = calloc(1, sizeof *chunk);
    if (chunk) {
        chunk->buf = take_memory(buffer, capacity);
    }
    if (!chunk || !chunk->buf) {
        free(chunk);
        return NULL;
    }
    chunk->start = chunk->end = CHUNK_ROOM;
    return chunk;
}

static struct fluent_chunk *new_chunk(struct fluent_buffer *buffer, size_t size, bool busy) {
    size_t capacity = MAX((size_t)CHUNK_FIRST_BYTES, CHUNK_ROOM + size + ENCODE_TRAILER_BYTES_MAX);
    if (busy) {
        capacity = MAX(capacity, capacity_max(buffer));
    }
    return has_memory(buffer, capacity) ? chunk_of(buffer, capacity) : NULL;
}

static bool grow(struct fluent_buffer *buffer, struct fluent_chunk *chunk, size_t size) {
    size_t needed = chunk->end + size + ENCODE_TRAILER_BYTES_MAX;
    size_t capacity = MIN(MAX(chunk->buf->capacity * 4, needed), capacity_max(buffer));
    struct buf *buf;

    if (capacity < needed || !has_memory(buffer, capacity)) {
        return false;
    }
    buf = take_memory(buffer, capacity);
    if (!buf) {
        return false;
    }
    memcpy(buf->data, chunk->buf->data, chunk->end);
    buffer->bytes -= chunk->buf->capacity;
    buf_unref(chunk->buf);
    chunk->buf = buf;
    return true;
}

static struct fluent_open_chunk *open_of(struct fluent_buffer *buffer, const char *service) {
    struct fluent_open_chunk *open;
    for (size_t i = 0; i < buffer->tag_count; i++) {
        if (buffer->open[i].service == service) {
            return &buffer->open[i];
        }
    }
    for (size_t i = 0; i < buffer->tag_count; i++) {
        if (strncmp(buffer->open[i].tag, service, ENCODE_TAG_BYTES_MAX) == 0) {
            return &buffer->open[i];
        }
    }
    if (buffer->tag_count < FLUENT_TAGS_MAX) {
        open = &buffer->open[buffer->tag_count++];
    } else {
        open = &buffer->open[FLUENT_TAGS_MAX - 1]; /* more services than tags: they take turns */
        if (open->chunk) {
            seal(buffer, open);
        }
    }
    snprintf(open->tag, sizeof open->tag, "%s", service);
    open->service = service;
    return open;
}

bool fluent_buffer_add(struct fluent_buffer *buffer, const struct log_record *record) {
    struct fluent_open_chunk *open = open_of(buffer, record->service);
    size_t text_limit = 0, size = encode_bound(record, &text_limit);
    struct fluent_chunk *chunk = open->chunk;
    bool sealed = false;

    if (chunk && room_of(chunk) < size && !grow(buffer, chunk, size)) {
        seal(buffer, open);
        open->busy = sealed = true;
        chunk = NULL;
    }
    if (!chunk) {
        chunk = open->chunk = new_chunk(buffer, size, open->busy);
    }
    if (!chunk) {
        fluent_buffer_lost(buffer, record->level);
        buffer->overflowed++;
        return sealed;
    }
    chunk->end +=
        encode_record(&buffer->encoder, record, text_limit, chunk->buf->data + chunk->end);
    chunk->events++;
    chunk->events_by_level[record->level]++;
    if (chunk->end - CHUNK_ROOM >= buffer->chunk_bytes) {
        seal(buffer, open);
        open->busy = sealed = true;
    }
    return sealed;
}

struct fluent_chunk *fluent_buffer_new_probe(struct fluent_buffer *buffer,
                                             const struct log_record *record) {
    size_t text_limit = 0, size = encode_bound(record, &text_limit);
    size_t capacity = CHUNK_ROOM + size + ENCODE_TRAILER_BYTES_MAX;
    assert(capacity <= PROBE_BYTES_MAX);
    struct fluent_chunk *chunk = chunk_of(buffer, capacity);
    if (chunk) {
        chunk->kind = FLUENT_CHUNK_PROBE;
        chunk->end +=
            encode_record(&buffer->encoder, record, text_limit, chunk->buf->data + chunk->end);
        chunk->events = 1;
        enclose(buffer, chunk, record->service);
    }
    return chunk;
}
