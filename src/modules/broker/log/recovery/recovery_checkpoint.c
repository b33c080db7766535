/* Checkpoints at a start: which one counts, making it durable, writing the next one. */
#include "log_private.h"
#include "recovery.h"

/*
 * Loads both checkpoints. The one that stands for the later frame becomes the state; the frame of
 * the other one, if it is of the same journal, decides about recycling until this run has written
 * one. Which increments count, and why that is safe, tells checkpoint.c.
 */
int recovery_load_checkpoints(struct recovery *recovery, struct text *image) {
    struct topic_log *log = recovery->log;
    struct checkpoint_header headers[2];
    struct text images[2];
    int status[2];
    for (unsigned i = 0; i < 2; i++) {
        text_init(&images[i]);
        status[i] = checkpoint_read(log->disk, i, &headers[i], &images[i]);
        recovery->checkpoints_seen += status[i] != DISK_E_NOT_FOUND;
    }
    int best = -1;
    for (int i = 0; i < 2; i++) {
        if (status[i] == 0 && (best < 0 || headers[i].sequence > headers[best].sequence)) {
            best = i;
        }
    }
    if (best >= 0) {
        int other = best ^ 1;
        recovery->have_checkpoint = true;
        log->journal_uuid = headers[best].journal;
        log->newest_sequence = headers[best].sequence;
        log->next_slot = (unsigned)other;
        bool both = status[other] == 0 && memcmp(&headers[other].journal, &headers[best].journal,
                                                 sizeof headers[best].journal) == 0;
        log->older_sequence = both ? headers[other].sequence : 0;
        recovery->increments = headers[best].increments;
        *image = images[best];
        text_init(&images[best]);
    }
    text_deinit(&images[0]);
    text_deinit(&images[1]);
    for (unsigned i = 0; i < 2; i++) {
        if (status[i] == BROKER_E_NEWER) {
            recovery_report(recovery, TOPIC_LOG_FAILED,
                            "checkpoint.%u has format %u and was written by a newer eventbox; this "
                            "one reads formats up to %d",
                            i, headers[i].version, CHECKPOINT_VERSION);
            return err_trace(status[i]);
        }
        if (status[i] < 0) {
            return err_trace(status[i]);
        }
    }
    return 0;
}

/*
 * What a killed process leaves is not yet what a power cut leaves: entries of folders that no sync
 * covered, a checkpoint or a taken back marker whose sync failed, shown by the page cache alone.
 * Nothing may be built on that before it is durable.
 */
int recovery_confirm(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    int r = 0;
    for (unsigned slot = 0; slot < 2 && !r; slot++) {
        r = checkpoint_confirm(log->disk, slot);
    }
    if (!r && recovery->marker_exists) {
        r = clean_marker_write(log->disk, &log->journal_uuid, 0);
    }
    return r ? err_trace(r) : recovery_confirm_folders(recovery);
}

int recovery_confirm_folders(struct recovery *recovery) {
    int r = disk_sync_dir(recovery->log->disk, "journal");
    if (!r) {
        r = disk_sync_dir(recovery->log->disk, ".");
    }
    return r ? err_trace(r) : 0;
}

/* Always a full one: what a replay marks as changed counts from the next one on, and here nobody
 * waits. */
int recovery_write_checkpoint(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    struct checkpoint_chain chain;
    int r = checkpoint_encode_all(log);
    if (!r) {
        r = checkpoint_write(log->disk, log->next_slot, &log->journal_uuid, log->durable_sequence,
                             &log->checkpoint.body, &chain);
    }
    if (r) {
        checkpoint_give_up(log);
        return err_trace(r);
    }
    checkpoint_taken(log, &chain);
    return 0;
}
