#include "trial.h"

const char *const fluent_refusal_names[FLUENT_REFUSALS] = {
    [FLUENT_REFUSED_CLOSED] = "closed",     [FLUENT_REFUSED_NO_ACK] = "no_ack",
    [FLUENT_REFUSED_NEGATIVE] = "negative", [FLUENT_REFUSED_PASSED_OVER] = "passed_over",
    [FLUENT_REFUSED_NONSENSE] = "nonsense",
};

/* The entry at @at. Bytes that are none of ours cannot be there; they would be one entry. */
static struct fluent_entry entry_at(const struct fluent_chunk *chunk, size_t at) {
    size_t left = chunk->entries_end - at;
    struct fluent_entry entry;
    if (!fluent_entry_read(span_of(chunk->buf->data + at, left), &entry)) {
        entry = (struct fluent_entry){.size = left, .level = LOG_LEVEL_FATAL};
    }
    return entry;
}

static void choose(struct fluent_trial *trial, uint32_t events) {
    const struct fluent_chunk *chunk = trial->chunk;
    struct fluent_chunk *part = &trial->part;
    *part = (struct fluent_chunk){
        .kind = FLUENT_CHUNK_PART,
        .buf = chunk->buf,
        .start = chunk->entries_start,
        .end = chunk->entries_start,
        .events = events,
    };
    for (uint32_t i = 0; i < events && part->end < chunk->entries_end; i++) {
        part->end += entry_at(chunk, part->end).size;
    }
    fluent_chunk_new_id(part, trial->random);
    trial->refusals = 0;
}

static void choose_all(struct fluent_trial *trial) {
    trial->bad_events = 0;
    choose(trial, trial->chunk->events);
}

/* The first half of what was refused together; at the end that is the one line. */
static void choose_half(struct fluent_trial *trial) {
    choose(trial, (trial->bad_events + 1) / 2);
}

/* The lines of the part leave the chunk and its counts. */
static void done_with_part(struct fluent_trial *trial) {
    struct fluent_chunk *chunk = trial->chunk;
    chunk->cut = true;
    while (chunk->entries_start < trial->part.end) {
        struct fluent_entry entry = entry_at(chunk, chunk->entries_start);
        chunk->entries_start += entry.size;
        chunk->events--;
        chunk->events_by_level[entry.level]--;
    }
}

void fluent_trial_begin(struct fluent_trial *trial, struct fluent_chunk *chunk) {
    trial->chunk = chunk;
    choose_all(trial);
    if (!chunk->cut) {
        memcpy(trial->part.id, chunk->id, sizeof chunk->id); /* it is the same, once more */
    }
}

void fluent_trial_accepted(struct fluent_trial *trial) {
    done_with_part(trial);
    if (fluent_trial_is_over(trial)) {
        return;
    }
    if (trial->bad_events > trial->part.events) {
        trial->bad_events -= trial->part.events;
        choose_half(trial);
    } else {
        choose_all(trial); /* what was refused before is taken now */
    }
}

bool fluent_trial_refused(struct fluent_trial *trial, struct fluent_entry *ret_line) {
    if (trial->part.events > 1) {
        trial->bad_events = trial->part.events;
        choose_half(trial);
        return false;
    }
    if (++trial->refusals < REFUSALS_MAX) {
        return false;
    }
    *ret_line = entry_at(trial->chunk, trial->part.start);
    done_with_part(trial);
    if (!fluent_trial_is_over(trial)) {
        choose_all(trial);
    }
    return true;
}

struct fluent_chunk *fluent_trial_take_chunk(struct fluent_trial *trial) {
    struct fluent_chunk *chunk = trial->chunk;
    trial->chunk = NULL;
    return chunk;
}
