/*
 * Chunks: log lines on their way, bounded in bytes.
 *
 * Each tag has one open chunk, into which records are encoded. A chunk is sealed when it has
 * chunk_bytes, or when the client has room for it; sealed ones wait in one queue, oldest first. A
 * chunk begins with room for its header and ends with room for its trailer, so a sealed one is sent
 * as it lies, and again with the same id.
 *
 *     | room | header: array, tag, bin 32 | entries … | trailer: options | unused |
 *            ^ start                                                     ^ end
 *
 * When a new chunk would pass the bound, the oldest sealed one that is not on a connection goes,
 * and its events are counted by level. When there is none, the new event goes. The bound keeps
 * PROBE_BYTES_MAX for the one probe that may be under way.
 */
#pragma once

#include "encode.h"

#include <eventbox/base/buf.h>
#include <eventbox/base/list.h>
#include <eventbox/base/random.h>

enum { FLUENT_LEVELS = LOG_LEVEL_FATAL + 1, FLUENT_TAGS_MAX = 8 };

enum fluent_chunk_kind {
    FLUENT_CHUNK_LINES, /* the rule */
    FLUENT_CHUNK_PROBE, /* one harmless line, to learn whether the server takes anything */
    FLUENT_CHUNK_PART,  /* some of the lines of a chunk on trial: trial.h */
};

struct fluent_chunk {
    struct list link; /* of the queue or of the client's window */
    enum fluent_chunk_kind kind;
    struct buf *buf;
    size_t start, end;
    size_t entries_start, entries_end; /* lines that are not done with */
    char tag[ENCODE_TAG_BYTES_MAX + 1];
    uint32_t events;
    uint32_t events_by_level[FLUENT_LEVELS];
    char id[ENCODE_ID_SIZE];
    int64_t sent_ns;
    unsigned sends;
    unsigned refusals; /* how often the server did not take it; see client.c */
    bool silent;       /* ... and said nothing */
    bool cut;          /* some of its lines are done with */
};

struct fluent_open_chunk {
    char tag[ENCODE_TAG_BYTES_MAX + 1];
    const char *service; /* whose tag it is: the common case is found by address */
    struct fluent_chunk *chunk;
    bool busy; /* the last chunk was full: the next begins with all its memory */
};

struct fluent_buffer {
    struct random *random;
    size_t bytes_max, chunk_bytes;
    struct encoder encoder;
    struct fluent_open_chunk open[FLUENT_TAGS_MAX];
    size_t tag_count;
    struct list queue; /* sealed */
    struct buf *spare; /* memory of a full chunk, kept for the next: no page is touched anew */
    size_t bytes;      /* capacity of all chunks, those in the window and the spare too */
    uint64_t dropped_by_level[FLUENT_LEVELS];
    uint64_t dropped;    /* sum */
    uint64_t overflowed; /* of these, for want of room */
};

void fluent_buffer_init(struct fluent_buffer *buffer, struct random *random, size_t bytes_max,
                        size_t chunk_bytes);
void fluent_buffer_deinit(struct fluent_buffer *buffer);
/** fluent_buffer_add() - encode; never fails: what has no room is counted. True when a chunk was
 * sealed */
bool fluent_buffer_add(struct fluent_buffer *buffer, const struct log_record *record);
/** fluent_buffer_seal() - all open chunks with events */
void fluent_buffer_seal(struct fluent_buffer *buffer);
bool fluent_buffer_empty(const struct fluent_buffer *buffer); /* no event, open or sealed */
/** fluent_buffer_take() - the oldest sealed chunk, out of the queue; NULL when none */
struct fluent_chunk *fluent_buffer_take(struct fluent_buffer *buffer);
/** fluent_buffer_put_back() - to the front of the queue */
void fluent_buffer_put_back(struct fluent_buffer *buffer, struct fluent_chunk *chunk);
/** fluent_buffer_put_last() - to the end of the queue */
void fluent_buffer_put_last(struct fluent_buffer *buffer, struct fluent_chunk *chunk);
/** fluent_buffer_release() - a chunk that was taken and is done with */
void fluent_buffer_release(struct fluent_buffer *buffer, struct fluent_chunk *chunk);
/** fluent_buffer_lost() - one event of a chunk is given up: counted as dropped */
void fluent_buffer_lost(struct fluent_buffer *buffer, enum log_level level);
/** fluent_buffer_new_probe() - a chunk of its own of @record, as if it had been taken; NULL without
 * memory. At most one is alive */
struct fluent_chunk *fluent_buffer_new_probe(struct fluent_buffer *buffer,
                                             const struct log_record *record);

/** fluent_chunk_new_id() - 128 random bits; a repeat of the same lines keeps it */
void fluent_chunk_new_id(struct fluent_chunk *chunk, struct random *random);

static inline size_t fluent_chunk_bytes(const struct fluent_chunk *chunk) {
    return chunk->end - chunk->start;
}
