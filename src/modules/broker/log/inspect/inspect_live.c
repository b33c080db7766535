/*
 * The state of a folder that a server holds: its newest checkpoint, and what the journal says of
 * files since.
 *
 * The checkpoint alone would not do. What it covers is synced, but its files do not stand still
 * until the next one: a compaction whose record is durable renames new segments over the ones that
 * the checkpoint names, and unlinks others (swap.h). That record, though, is in a frame behind the
 * checkpoint before any file moves, and old segments are all covered by it. So the records of the
 * registry behind the checkpoint are applied to it, in order and all of them: a swap means nothing
 * where the log's start has passed its segments, or the topic is gone. Batches behind the
 * checkpoint are not looked at.
 *
 * Of the renames each may have happened or not yet: what applies a swap does the missing ones, on
 * an overlay disk, where the server never sees them. Nothing else takes a file away before a
 * checkpoint covers it (removal.c).
 *
 * The server goes on while this reads, so the state may be an old one at once, and a segment that
 * it names not be there. What is wrong with files is therefore told by a rule of its own:
 * verify_live.c.
 */
#include "inspect.h"
#include "log_private.h"
#include "recovery/recovery.h"
#include "recovery/replay.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdlib.h>

static int apply_frame(struct recovery *recovery, const struct found_frame *frame) {
    uint64_t got = 0;
    int r = recovery_load(recovery, frame, &got);
    for (uint32_t i = 0; i < frame->header.entry_count && !r; i++) {
        struct replayed item;
        if (replay_item(recovery, frame, got, i, &item) && item.entry.topic == 0) {
            r = registry_apply(recovery->log, span_of(item.data, item.entry.bytes),
                               frame->header.sequence);
        }
    }
    return r;
}

/* Up to the first frame that is not whole: it is being written. A hole is one that was recycled
 * just now, since there is a newer checkpoint. */
static int apply_frames(struct recovery *recovery) {
    uint64_t sequence = recovery->base_sequence;
    int r = 0;
    for (size_t i = 0; i < recovery->frame_count && !r; i++) {
        const struct found_frame *frame = &recovery->frames[i];
        if (frame->header.sequence <= sequence) {
            continue;
        }
        if (!frame->valid || frame->header.sequence != sequence + 1) {
            break;
        }
        sequence++;
        r = apply_frame(recovery, frame);
    }
    return r;
}

int log_inspect_follow(struct log_inspect *inspect, const struct checkpoint_header *checkpoint) {
    struct recovery *recovery = calloc(1, sizeof *recovery);
    if (!recovery) {
        return err_origin(-ENOMEM);
    }
    recovery->log = inspect->log;
    recovery->base_sequence = checkpoint->sequence;
    inspect->log->journal_uuid = checkpoint->journal;
    uint32_t newer;
    int r = recovery_list_journal(inspect->log, &newer);
    r = r ? r : recovery_scan(recovery);
    r = r ? r : apply_frames(recovery);
    free(recovery->frames);
    free(recovery->memory);
    free(recovery);
    return r ? err_trace(r) : 0;
}
