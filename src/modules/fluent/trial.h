/*
 * A chunk that the server refuses is tried in parts, so that the line it chokes on goes alone.
 *
 *     lines    ├── done with ──┼───── part ─────┼── refused ──┼── not tried ──┤
 *                              ^ entries_start  .             .               ^ entries_end
 *                              └──── bad_events, once known ──┘
 *
 *     part accepted             its lines are done with; half of what was refused is next
 *     part of many refused      its first half is next
 *     part of one refused       once more, and given up after REFUSALS_MAX; then all the rest is
 * next
 *
 * One line that is refused costs about log2(lines) + REFUSALS_MAX refusals. A part is sent as it
 * lies in the chunk's memory, with a header and a trailer of its own: a trial needs no memory
 * beside the chunk's. A part has an id of its own, because it has other lines than the whole;
 * repeated, it keeps it. The first part is the whole chunk under its id.
 *
 * Pure: what accepts and refuses is client.c. Thread: loop.
 */
#pragma once

#include "buffer.h"
#include "entry.h"

/* How a server shows that it does not take a chunk. */
enum fluent_refusal {
    FLUENT_REFUSED_CLOSED,      /* it ended the connection */
    FLUENT_REFUSED_NO_ACK,      /* nothing came in time */
    FLUENT_REFUSED_NEGATIVE,    /* a map without `ack` */
    FLUENT_REFUSED_PASSED_OVER, /* a later chunk was acknowledged */
    FLUENT_REFUSED_NONSENSE,    /* an answer that is none */
    FLUENT_REFUSALS,
};
extern const char *const fluent_refusal_names[FLUENT_REFUSALS]; /* of metrics and log lines */

enum { REFUSALS_MAX = 3 };

struct fluent_trial {
    struct random *random;
    struct fluent_chunk *chunk; /* owned while the trial goes on; NULL: none does */
    struct fluent_chunk part;   /* borrows chunk->buf: lines from start to end */
    uint32_t bad_events;        /* so many from the part's first on were refused together; or 0 */
    unsigned refusals;          /* of a part of one line */
};

/** fluent_trial_begin() - take over @chunk; the first part is all that is left of it */
void fluent_trial_begin(struct fluent_trial *trial, struct fluent_chunk *chunk);
/** fluent_trial_accepted() - the part is done with; the next is chosen, if lines are left */
void fluent_trial_accepted(struct fluent_trial *trial);
/**
 * fluent_trial_refused() - choose the next part
 * Return: true when a line was given up, which *ret_line tells (borrowed from the chunk).
 */
bool fluent_trial_refused(struct fluent_trial *trial, struct fluent_entry *ret_line);
/** fluent_trial_take_chunk() - end the trial; the chunk has the lines that are not done with */
struct fluent_chunk *fluent_trial_take_chunk(struct fluent_trial *trial);

static inline bool fluent_trial_is_over(const struct fluent_trial *trial) {
    return trial->chunk->entries_start == trial->chunk->entries_end;
}
