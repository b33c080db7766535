/* One entry of a frame: the partition that it names, and the batch, if it is whole and right. */
#include "replay.h"
#include "topics/registry.h"

struct log_partition *replay_partition_of(struct recovery *recovery,
                                          const struct frame_entry *entry) {
    struct log_topic *topic = registry_by_number(recovery->log, entry->topic);
    struct partition *public = topic ? partition_get(&topic->public, entry->partition) : NULL;
    return public ? log_partition_of(public) : NULL;
}

/* Whether the bytes at an entry are the batch that it names. */
static bool batch_holds(struct replayed *item, const uint8_t *data, uint32_t bytes) {
    struct span span = span_of(data, bytes);
#ifdef MUTANT_SALVAGE_CRC
    return record_batch_parse(span, &item->batch) == 0 && item->batch.total_bytes == bytes;
#endif
    return record_batch_parse(span, &item->batch) == 0 && item->batch.total_bytes == bytes &&
           item->batch.base_offset == item->entry.base_offset && record_batch_check_crc(span);
}

static bool batch_inside(const struct found_frame *frame, const struct frame_entry *entry) {
    return entry->body_offset <= frame->header.body_bytes &&
           entry->bytes <= frame->header.body_bytes - entry->body_offset;
}

uint32_t replay_entries(const struct found_frame *frame, uint64_t got) {
    uint64_t there = got > FRAME_HEADER_BYTES ? (got - FRAME_HEADER_BYTES) / FRAME_ENTRY_BYTES : 0;
    return (uint32_t)MIN((uint64_t)frame->header.entry_count, there);
}

bool replay_item(const struct recovery *recovery, const struct found_frame *frame, uint64_t got,
                 uint32_t index, struct replayed *ret_item) {
    const uint8_t *body = recovery->buffer + FRAME_HEADER_BYTES;
    *ret_item = (struct replayed){.order = index};
    struct frame_entry *entry = &ret_item->entry;
    frame_entry_read(body + (size_t)index * FRAME_ENTRY_BYTES, entry);
    if (batch_inside(frame, entry) &&
        FRAME_HEADER_BYTES + (uint64_t)entry->body_offset + entry->bytes <= got &&
        batch_holds(ret_item, body + entry->body_offset, entry->bytes)) {
        ret_item->data = body + entry->body_offset;
    }
    return ret_item->data != NULL;
}
