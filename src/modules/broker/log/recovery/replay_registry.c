/* Records of the registry: from frames, and from its segments where frames are lost. */
#include "replay.h"
#include "topics/registry.h"

#include <inttypes.h>
#include <stdlib.h>

int replay_registry(struct recovery *recovery, struct span batch, uint64_t sequence) {
    int r = registry_apply(recovery->log, batch, sequence);
    if (r == BROKER_E_NEWER) {
        recovery_report(recovery, TOPIC_LOG_FAILED,
                        "frame %" PRIu64
                        " has a registry record that only a newer eventbox understands",
                        sequence);
    } else if (r > 0) {
        recovery_report(recovery, TOPIC_LOG_DAMAGED,
                        "a registry record in frame %" PRIu64 " is not readable", sequence);
        r = 0;
    }
    return r ? err_trace(r) : 0;
}

/*
 * A frame that is lost may have had records of the registry, and later frames batches of topics
 * that they created. Its segment may have them: from the log end as far as it goes.
 */
int replay_catch_up_registry(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    struct log_partition *registry = topic_partition(log->registry, 0);
    int r = 0;
    while (!r) {
        struct segment_cursor at;
        struct record_batch batch;
        uint8_t *data = replay_segment_next(recovery, registry, &at, &batch);
        if (!data) {
            break;
        }
        r = replay_registry(recovery, span_of(data, batch.total_bytes), recovery->sequence);
        r = r ? r
              : recovery_take_over(registry, at.offset, at.position, &batch,
                                   clock_wall_ms(log->config.clock));
        free(data);
    }
    return r;
}

/* ---- before a start without checkpoint reads its segments ---- */

int replay_each_record(struct recovery *recovery, replay_record_fn *take, void *userdata) {
    int r = 0;
    for (size_t i = 0; i < recovery->frame_count && !r; i++) {
        const struct found_frame *frame = &recovery->frames[i];
        uint64_t got = 0;
        r = frame->valid ? recovery_load(recovery, frame, &got) : 0;
        for (uint32_t n = 0; frame->valid && n < frame->header.entry_count && !r; n++) {
            struct replayed item;
            if (replay_item(recovery, frame, got, n, &item) && item.entry.topic == 0) {
                r = take(recovery, &item, frame->header.sequence, userdata);
            }
        }
    }
    return r;
}

/* To its segment, unless that has it already. */
static int fill_record(struct recovery *recovery, const struct replayed *item, uint64_t sequence,
                       void *userdata) {
    topic_partition(recovery->log->registry, 0)->proven_sequence = sequence;
    recovery->registry_through = sequence;
    const struct frame_entry *entry = &item->entry;
    struct segment_id id = {entry->topic, entry->partition, entry->segment_base};
    struct segment_piece piece = {span_of(item->data, entry->bytes), entry->position,
                                  entry->base_offset, item->batch.max_timestamp_ms};
    struct segment_file *file;
    if (replay_is_in_segment(recovery, entry)) {
        return 0;
    }
    int r = segment_writer_write(recovery->log->segment_writer, &id, &piece, 1, &file);
    return r ? r : recovery_touched(recovery, file);
}

int recovery_fill_registry(struct recovery *recovery) {
    int r = replay_each_record(recovery, fill_record, NULL);
    return r == DISK_E_FULL ? 0 : r; /* then the replay knows them */
}
