/*
 * Frames that are lost with all that they name: who may have lost something goes on where nobody
 * has been, and it is told.
 */
#include "log_private.h"
#include "replay.h"
#include "topics/partition.h"

#include <inttypes.h>

enum {
    NUMBERS_LEFT_OUT = 1 << 16,
    RAISED_NAMED_MAX = 16, /* partitions told by name; there may be thousands */
};

/* For what follows the last frame. */
static const struct frame_entry no_end = {.base_offset = INT64_MAX, .segment_base = -1};

/*
 * The registry's last records may be among what is lost: topics whose numbers, producers whose ids
 * somebody has. More topics than these there cannot be.
 */
static void leave_numbers(struct topic_log *log) {
    log->next_number = MIN(log->next_number, UINT32_MAX - NUMBERS_LEFT_OUT) + NUMBERS_LEFT_OUT;
    log->producer_durable_end = ((log->producer_durable_end >> 32) + 1) << 32;
}

static bool unproven(const struct recovery *recovery, const struct log_partition *partition) {
    return partition->proven_sequence <= recovery->unknown_sequence;
}

static void tell_raised(struct recovery *recovery) {
    unsigned count = 0;
    list_for_each(link, &recovery->log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            count += unproven(recovery, topic_partition(topic, i));
        }
    }
    if (recovery->sequence == 0) {
        recovery_report(recovery, TOPIC_LOG_DAMAGED,
                        "the journal is gone: %u partitions go on in a new leader epoch at the "
                        "next multiple of 2^32",
                        count);
        return;
    }
    recovery_report(recovery, TOPIC_LOG_DAMAGED,
                    "frame %" PRIu64
                    " of the journal is not readable: %u partitions go on in a new "
                    "leader epoch at the next multiple of 2^32",
                    recovery->unknown_sequence, count);
}

static int raise_partition(struct recovery *recovery, struct log_partition *partition) {
    int r = replay_fill(recovery, partition, &no_end);
    if (r) {
        return r;
    }
    int64_t end = partition->public.log_end_offset;
    r = open_end_pass(recovery, partition, true);
    r = r ? r : partition_epoch_raise(partition, partition->public.log_end_offset);
    if (r) {
        return r;
    }
    recovery->registry_open |=
        partition->topic == recovery->log->registry && partition->unread_from == end + 1;
    partition->unread_from = 0;
    if (recovery->raised_count++ < RAISED_NAMED_MAX) {
        open_end_tell(recovery, partition, end, partition->public.log_end_offset);
    }
    return 0;
}

/*
 * After frames were lost that nobody can read: partitions that a later frame names are proven
 * (their loss, if any, is known by offsets). All others may have lost batches that somebody has
 * seen. Their offsets up to where they go on are no damage to a reader: nothing may have been lost,
 * and who waits at the old end comes to the new one by itself.
 */
int replay_raise_unproven(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    tell_raised(recovery);
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            int r = unproven(recovery, partition) ? raise_partition(recovery, partition) : 0;
            if (r) {
                return r;
            }
            if (topic == log->registry && unproven(recovery, partition)) {
                leave_numbers(log);
            }
        }
    }
    recovery->changed = true;
    return 0;
}

/* Frames up to @until are missing although later ones know that they were durable. */
void replay_note_missing(struct recovery *recovery, uint64_t until) {
    recovery->unknown_sequence = until;
    recovery->changed = true;
    recovery_report(recovery, TOPIC_LOG_DAMAGED,
                    "frames %" PRIu64 " to %" PRIu64 " of the journal are missing",
                    recovery->sequence + 1, until);
}

/*
 * Without a checkpoint frames may be missing because their file was recycled: such ones that a
 * checkpoint had covered, and their batches are in the segments. Up to where, frames tell. Where
 * none does (older releases wrote them), all that is missing may be a loss.
 */
void recovery_pass_covered(struct recovery *recovery, uint64_t sequence) {
    recovery->sequence = MAX(recovery->sequence, MIN(recovery->covered_through, sequence - 1));
}

/* The newest frame in any other file, whether a checkpoint covers it or not. */
static uint64_t newest_elsewhere(const struct topic_log *log, const struct journal_file *file) {
    uint64_t newest = 0;
    for (unsigned i = 0; i < log->file_count; i++) {
        if (log->files[i] != file) {
            newest = MAX(newest, log->files[i]->last_sequence);
        }
    }
    return newest;
}

/*
 * A file that was cut short may have held frames behind the last one that is known. A tear ends
 * inside of a file, so these were durable, and somebody may have seen their offsets. It was not the
 * last one written to when another has a newer frame than what is left of it; that a checkpoint is
 * newer tells nothing.
 */
void replay_note_cut_files(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    for (unsigned i = 0; i < log->file_count; i++) {
        const struct journal_file *file = log->files[i];
        bool held_the_end =
            file->last_sequence == 0 || file->last_sequence > newest_elsewhere(log, file);
        if (!file->cut) {
            continue;
        }
        recovery->changed = true;
        recovery_report(recovery, held_the_end ? TOPIC_LOG_DAMAGED : TOPIC_LOG_MENDED,
                        "journal file %08" PRIu32 " is cut short: %s", file->id,
                        held_the_end ? "the last frames that it held are not known"
                                     : "what it held is known from others");
        if (held_the_end) {
            recovery->unknown_sequence = ++recovery->sequence;
        }
    }
}

/*
 * A checkpoint names the file that was written to as of its frame. That file's name was durable
 * before, and the file is not unlinked before a later frame stands in another one. So where it is
 * missing and no later frame is found, somebody took it away, with whatever stood behind.
 */
void replay_note_missing_file(struct recovery *recovery) {
    if (!recovery->named_missing || recovery->clean ||
        recovery->sequence > recovery->base_sequence) {
        return;
    }
    recovery_report(recovery, TOPIC_LOG_DAMAGED,
                    "journal file %08" PRIu32
                    " is missing: the frames behind the checkpoint that it held are not known",
                    recovery->named_file);
    recovery->unknown_sequence = ++recovery->sequence;
}
