#include "segment_index.h"

#include <eventbox/base/bytes.h>
#include <string.h>

void segment_index_header(enum segment_kind kind, uint8_t out[INDEX_HEADER_BYTES]) {
    memset(out, 0, INDEX_HEADER_BYTES);
    put_le32(out, kind == SEGMENT_INDEX ? INDEX_MAGIC : TIMEINDEX_MAGIC);
    put_le16(out + 4, INDEX_VERSION);
}

bool segment_indexer_pass(struct segment_indexer *indexer, int64_t base_offset, uint64_t position,
                          size_t bytes, int64_t max_timestamp_ms,
                          uint8_t index_entry[INDEX_ENTRY_BYTES],
                          uint8_t time_entry[TIME_ENTRY_BYTES]) {
    bool gap = position != indexer->end;
    bool due = position > 0 && (gap || position - indexer->index_position >= INDEX_STEP_BYTES);
    if (due) {
        put_le32(index_entry, (uint32_t)(base_offset - indexer->base_offset));
        put_le32(index_entry + 4, (uint32_t)position);
        put_le64(time_entry, (uint64_t)indexer->max_timestamp_ms);
        put_le32(time_entry + 8, (uint32_t)(base_offset - indexer->base_offset));
        indexer->index_position = position;
    }
    indexer->max_timestamp_ms = MAX(indexer->max_timestamp_ms, max_timestamp_ms);
    indexer->end = position + bytes;
    return due;
}
