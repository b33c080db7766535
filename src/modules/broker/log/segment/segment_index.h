/*
 * When a batch gets an entry in the indexes of its segment, and the entry's bytes; the format is in
 * segment.h. Whoever writes a .log passes its batches through one of these, in order.
 */
#pragma once

#include "segment.h"

struct segment_indexer {
    int64_t base_offset;
    uint64_t end;             /* where a batch without gap would follow */
    uint64_t index_position;  /* of the last entry; 0: none */
    int64_t max_timestamp_ms; /* of all batches passed; -1: none */
};

/** segment_index_header() - the first bytes of an index of @kind */
void segment_index_header(enum segment_kind kind, uint8_t out[INDEX_HEADER_BYTES]);
/** segment_indexer_pass() - move past one batch; true: it gets the entries that were written */
bool segment_indexer_pass(struct segment_indexer *indexer, int64_t base_offset, uint64_t position,
                          size_t bytes, int64_t max_timestamp_ms,
                          uint8_t index_entry[INDEX_ENTRY_BYTES],
                          uint8_t time_entry[TIME_ENTRY_BYTES]);
