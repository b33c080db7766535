/*
 * What one damaged place may cost, batch by batch, from the bytes that have changed:
 *
 *   in a segment             the batches that have one of them
 *   in a batch in a frame    that batch
 *   in an entry of a frame   the batch that it names
 *   in a frame's header      all batches of that frame: nobody can read it any more
 *   anywhere else            nothing: the gap behind a frame, an end mark, whatever is derived
 *
 * A batch whose copy in its segment is whole costs nothing, whatever became of its frame, unless it
 * stands between two that both have lost (one that begins a segment is proven by the name). Of the
 * very last frame that holds while its header can be read: without it nothing says that there was
 * one, and a start looks into no segment that the journal does not name.
 */
#pragma once

#include "log_model.h"

struct rot_cover {
    struct model *model;
    const uint8_t *before, *after; /* the file */
    size_t before_bytes, after_bytes;
};

/** rot_cover_mark() - marks in the model what the change of the file at @path may cost */
void rot_cover_mark(const struct rot_cover *cover, const char *path);
/** rot_cover_copies() - marks in the model which batches are whole in segments, as they are now */
void rot_cover_copies(struct model *model);
