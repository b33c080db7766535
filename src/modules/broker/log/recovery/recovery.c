/*
 * Recovery: one state out of checkpoint, journal and segments. Runs as one job before anything
 * else. recovery_checkpoint.c has what it does with checkpoints, recovery_scan.c finds frames,
 * replay.c applies them.
 *
 *   1. Of the two checkpoint files the one is loaded that stands, with those of its increments that
 *      are whole, for the later frame: the state as of frame N.
 *   2. After a clean stop that is all: the marker journal/clean names N and is taken back.
 *   3. Else every journal file is read past the page cache, for frames behind N: one may begin at
 *      each 4 KiB.
 *   4. Frames are replayed in order of their sequences: registry records change the topics, batches
 *      go to their segments at the position that the entry names. Doing it twice changes nothing.
 *   5. Segments and folders are synced and a checkpoint at the last frame is written. Only then
 *      does anyone see an offset, unless recovery_checkpoint_follows(): then checkpoint and journal
 *      of the run before stand for it a little longer. A cut during all this leads back to step 1.
 *
 * An empty folder begins with a checkpoint of nothing. Where there is data and no valid checkpoint
 * every folder is read instead (rebuild.c).
 *
 * A missing frame is damage when a later one was written with synced_through at or beyond it, else
 * the torn tail, which nobody was told of: it is kept as journal/cut-N. Of a bad frame whose header
 * is whole every batch is tried by its own CRC, first in the frame, then in its segment: for the
 * very last frame a batch in a segment proves that the frame was durable. What stays missing is
 * reported by offsets; where not even the offsets are known, the partition goes on at the next
 * multiple of 2^32 in a new leader epoch, so that no offset is given out twice.
 */
#include "append/tail.h"
#include "journal/log_writer.h"
#include "log_private.h"
#include "replay.h"
#include "topics/partition.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what a start needs on disk ---- */

/* Keeps the torn tail: what a person may want to look at is never just overwritten. */
static int keep_cut(struct recovery *recovery, const struct found_frame *frame) {
    struct topic_log *log = recovery->log;
    char name[JOURNAL_NAME_SIZE + 16];
    uint64_t bytes = 0;
    int r = recovery_load(recovery, frame, &bytes);
    if (r) {
        return err_trace(r);
    }
    snprintf(name, sizeof name, "journal/cut-%" PRIu64, frame->header.sequence);
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    r = disk_open(log->disk, name, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    if (!r) {
        r = disk_pwrite(file, recovery->buffer, bytes, 0);
    }
    if (!r && (r = disk_sync(file)) == 0) {
        r = disk_sync_dir(log->disk, "journal");
    }
    if (r == DISK_E_FULL) {
        (void)disk_unlink(log->disk, name);
        recovery_report(recovery, TOPIC_LOG_TORN_TAIL,
                        "a frame of %" PRIu64
                        " bytes at the end, unfinished as far as can be told, was cut off;"
                        " the full disk has no room to keep it",
                        bytes);
        return 0;
    }
    if (r) {
        return err_trace(r);
    }
    recovery_report(recovery, TOPIC_LOG_TORN_TAIL,
                    "a frame of %" PRIu64
                    " bytes at the end, unfinished as far as can be told, was cut off and "
                    "kept as %s",
                    bytes, name);
    return 0;
}

static int sync_touched(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    int r = 0;
    if (recovery->need_syncfs) {
        r = disk_syncfs(log->disk);
    }
    for (unsigned i = 0; i < recovery->file_count && !r && !recovery->need_syncfs; i++) {
        r = segment_file_sync(log->disk, recovery->files[i]);
    }
    return r ? err_trace(r) : 0;
}

int recovery_touched(struct recovery *recovery, struct segment_file *file) {
    for (unsigned i = recovery->file_count; i-- > 0;) {
        if (recovery->files[i] == file) {
            segment_file_unref(file);
            return 0;
        }
    }
    /* The entry of a file that was there may still not be durable: the crash came before its sync.
     */
    file->new_file = file->new_folder = true;
    /* The segment writer has the rest of what may be open: see topic_log_new(). */
    uint32_t most = recovery->log->limits.open_files_max / 4;
    if (recovery->file_count >= MIN(most, (uint32_t)RECOVERY_FILES_MAX)) {
        recovery->need_syncfs = true;
        segment_file_unref(file);
        return 0;
    }
    recovery->files[recovery->file_count++] = file;
    return 0;
}

static struct journal_file *find_file(struct topic_log *log, uint32_t id) {
    for (unsigned i = 0; i < log->file_count; i++) {
        if (log->files[i]->id == id) {
            return log->files[i];
        }
    }
    return NULL;
}

static int make_file(struct topic_log *log, struct journal_file **ret_file) {
    if (log->file_count >= JOURNAL_FILES_MAX) {
        return err_origin(-EMFILE);
    }
    struct journal_file *file = calloc(1, sizeof *file);
    if (!file) {
        return err_origin(-ENOMEM);
    }
    file->id = log->next_file_id++;
    file->size = (log->limits.journal_first_bytes + FRAME_ALIGN - 1) & ~(uint64_t)(FRAME_ALIGN - 1);
    int r = journal_prepare(log->disk, file);
    if (r) {
        free(file);
        return err_trace(r);
    }
    log->files[log->file_count++] = file;
    *ret_file = file;
    return 0;
}

static bool any_cut(const struct topic_log *log) {
    for (unsigned i = 0; i < log->file_count; i++) {
        if (log->files[i]->cut) {
            return true;
        }
    }
    return false;
}

/* Files that were cut short go: two checkpoints cover what could be read of them. */
static int drop_cut(struct topic_log *log) {
    unsigned kept = 0;
    int r = 0;
    for (unsigned i = 0; i < log->file_count; i++) {
        struct journal_file *file = log->files[i];
        char name[JOURNAL_NAME_SIZE];
        if (!file->cut || r) {
            log->files[kept++] = file;
            continue;
        }
        journal_name(file->id, name);
        journal_close(file);
        free(file);
        r = disk_unlink(log->disk, name);
    }
    log->file_count = kept;
    return r ? err_trace(r) : 0;
}

/* The journal goes on behind the last frame; without any, in a file that nothing needs any more. */
static int choose_current(struct topic_log *log, struct journal_file *current, uint64_t position) {
    if (current && !current->marked) {
        current = NULL; /* of version 1: frames of today would look as if its end were lost */
    }
    for (unsigned i = 0; i < log->file_count && !current; i++) {
        if (log->files[i]->marked && log->files[i]->last_sequence <= log->older_sequence) {
            current = log->files[i];
            position = 0;
        }
    }
    if (!current) {
        int r = make_file(log, &current);
        if (r) {
            return err_trace(r);
        }
        position = 0;
    }
    current->state = JOURNAL_CURRENT;
    current->used = position;
    log->current = current;
    return 0;
}

/* ---- fresh, clean, replaying; rebuild.c has the fourth ---- */

static int start_fresh(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    uuid_v4(log->config.random, &log->journal_uuid);
    int r = recovery_confirm_folders(recovery);
    r = r ? r : choose_current(log, NULL, 0);
    if (!r) {
        log->current->last_sequence = 0;
        r = recovery_write_checkpoint(recovery);
    }
    return r ? r : recovery_confirm(recovery);
}

/* Nothing is behind the checkpoint, so nothing of a file that was cut short is missed. It goes,
 * since the next start could not tell that. */
static int start_clean(struct recovery *recovery, struct journal_file *current, uint64_t position) {
    struct topic_log *log = recovery->log;
    const bool cut = any_cut(log);
    if (cut) {
        recovery_report(
            recovery, TOPIC_LOG_MENDED,
            "files of the journal are cut short: what they held is in the checkpoint of a "
            "clean stop");
    }
    int r = choose_current(log, current, position);
    for (unsigned i = 0; i < 2 && !r && (recovery->moved || cut); i++) {
        r = recovery_write_checkpoint(recovery);
    }
    r = r || !cut ? r : drop_cut(log);
    return r ? r : clean_marker_write(log->disk, &log->journal_uuid, 0);
}

/*
 * Frames that went through the page cache may be there alone: after a failed sync no later one
 * writes such pages. They are written once more, as checkpoint_confirm() does, since not every
 * start writes segments and a checkpoint that would stand for them.
 */
static int write_again(struct recovery *recovery) {
    int r = 0;
    for (size_t i = 0; i < recovery->frame_count && !r; i++) {
        const struct found_frame *frame = &recovery->frames[i];
        if (frame->valid && frame->file->buffered) {
            uint64_t bytes = 0;
            r = recovery_load(recovery, frame, &bytes);
            r = r ? r : disk_pwrite(frame->file->file, recovery->buffer, bytes, frame->position);
        }
    }
    return r ? err_trace(r) : 0;
}

static int sync_journal(struct recovery *recovery) {
    int r = write_again(recovery);
    if (r) {
        return err_trace(r);
    }
    for (unsigned i = 0; i < recovery->log->file_count; i++) {
        struct journal_file *file = recovery->log->files[i];
        if (file->last_sequence > recovery->base_sequence) {
            r = disk_sync(file->file); /* a killed process may have left it in a volatile cache */
            if (r) {
                return err_trace(r);
            }
        }
    }
    return 0;
}

/*
 * Where flush.ms is set, batches may have been acknowledged that no frame holds, and their offsets
 * will be given out again: in a new leader epoch, so that a client can tell. Epochs that begin at
 * the same offset are one.
 */
static int raise_early(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (!topic_acknowledges_early(log, &topic->public)) {
            continue;
        }
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct log_partition *partition = log_partition_of(topic->public.partitions[i]);
            int64_t end = partition->public.log_end_offset;
            uint32_t count = partition->epoch_count;
            recovery->raised_early = true;
            if (count > 0 && partition->epochs[count - 1].start_offset == end) {
                partition->epochs[count - 1].epoch = ++partition->public.leader_epoch;
                continue;
            }
            int r = partition_epoch_raise(partition, end);
            if (r) {
                return err_trace(r);
            }
        }
    }
    return 0;
}

static int start_replaying(struct recovery *recovery, struct journal_file *current,
                           uint64_t position) {
    recovery->log->cleaner.sweep = true;
    int r = recovery_confirm(recovery);
    if (!r) {
        r = recovery_scan(recovery);
    }
    if (!r) {
        r = sync_journal(recovery);
    }
    if (!r) {
        r = recovery_replay(recovery);
    }
    if (!r) {
        r = raise_early(recovery);
    }
    return r ? err_trace(r) : recovery_finish(recovery, current, position);
}

/*
 * To sync thousands of segments takes long, and the first checkpoint of this run does it anyway.
 * The one before stands until then, and after a crash the frames behind it are replayed again, with
 * what has come behind them: what is in the journal alone is as durable as ever. Not where the
 * start has found something that neither says.
 */
bool recovery_checkpoint_follows(const struct recovery *recovery) {
    return recovery->need_syncfs && !recovery->disk_full && !recovery->changed &&
           !recovery->raised_early && !recovery->moved && !any_cut(recovery->log);
}

static int write_checkpoints(struct recovery *recovery, bool cut) {
    struct topic_log *log = recovery->log;
    bool changed = recovery->changed || recovery->raised_early;
    /* Of two checkpoints of one frame nobody can tell which is newer: both have to say it. The
     * older one must not need what is cut either. */
    bool twice =
        cut || recovery->moved || (changed && log->durable_sequence == log->newest_sequence);
    if (!twice && !changed && log->durable_sequence == log->newest_sequence) {
        return 0;
    }
    int r = tail_recovered_count(log) > 0 ? DISK_E_FULL : recovery_write_checkpoint(recovery);
    if (!r && twice) {
        r = recovery_write_checkpoint(recovery);
    }
    if (r == DISK_E_FULL && !cut && !recovery->moved && !recovery->changed) {
        /* The checkpoint before stands, and this replay is done again after a crash: with the same
         * epochs, so that nothing may be answered early in them. */
        log->early_waits = recovery->raised_early;
        recovery_report(recovery, TOPIC_LOG_DISK_FULL,
                        "%" PRIu64 " batches wait in memory and in the journal for space%s",
                        log->unwritten_count,
                        log->early_waits ? "; topics with flush.ms answer after the sync until then"
                                         : "");
        return 0;
    }
    return r ? err_trace(r) : 0;
}

int recovery_finish(struct recovery *recovery, struct journal_file *current, uint64_t position) {
    struct topic_log *log = recovery->log;
    bool later = recovery_checkpoint_follows(recovery);
    int r = recovery->torn ? keep_cut(recovery, recovery->torn) : 0;
    if (!r && !later) {
        r = replay_write(recovery);
        r = r ? r : sync_touched(recovery);
    }
    if (r) {
        return err_trace(r);
    }
    if (recovery->last) {
        current = recovery->last->file;
        position =
            recovery->last->position + frame_bytes_of_body(recovery->last->header.body_bytes);
    }
    log->durable_sequence = recovery->sequence;
    bool cut = any_cut(log);
    if (cut) {
        position = 0;
        r = make_file(log, &current);
    }
    if (!r) {
        r = choose_current(log, current, position);
    }
    if (!r && later) {
        (void)tail_recovered_count(log);
        log->need_syncfs = true;
        log->bytes_since_checkpoint = log->limits.checkpoint_bytes; /* one is due */
    } else if (!r) {
        r = write_checkpoints(recovery, cut);
    }
    if (!r && cut) {
        r = drop_cut(log);
    }
    return r ? r : open_ends_make(recovery);
}

static int start_from_checkpoint(struct recovery *recovery, struct span image) {
    struct topic_log *log = recovery->log;
    uint32_t file_id;
    uint64_t position, clean = 0;
    int r = checkpoint_decode(log, image, &file_id, &position);
    if (!r) {
        r = clean_marker_read(log->disk, &log->journal_uuid, &clean, &recovery->marker_exists);
    }
    if (r == BROKER_E_NEWER) {
        recovery_report(recovery, TOPIC_LOG_FAILED,
                        "journal/clean was written by a newer eventbox");
    }
    if (r) {
        return err_trace(r);
    }
    recovery->base_sequence = recovery->sequence = log->durable_sequence = log->newest_sequence;
    struct journal_file *current = find_file(log, file_id);
    if (current && position > current->size) {
        current = NULL;
    }
    recovery->clean = clean > 0 && clean == log->newest_sequence;
    recovery->named_file = file_id;
    recovery->named_missing = file_id != UINT32_MAX && !find_file(log, file_id);
    recovery->moved = !current || !current->marked;
    if (recovery->clean && current) {
        return start_clean(recovery, current, position);
    }
    return start_replaying(recovery, current, position);
}

static int stop_listing(void *userdata, const char *name, bool is_dir) {
    return 1;
}

/*
 * Without a checkpoint: is there anything of an earlier run, or was even the first one interrupted?
 * A file of the journal is whole before its name is durable, and that is so before the first
 * checkpoint is written. So where one is cut short, or there is a checkpoint and no such file,
 * somebody took away what was there.
 */
static bool is_robbed(const struct recovery *recovery) {
    return any_cut(recovery->log) ||
           (recovery->checkpoints_seen > 0 && recovery->log->file_count == 0);
}

static int look_for_data(struct recovery *recovery, bool *ret_found) {
    recovery->any_journal = true;
    int r = recovery_scan(recovery);
    if (r) {
        return err_trace(r);
    }
    r = disk_list(recovery->log->disk, "topics", stop_listing, NULL);
    *ret_found = recovery->frame_count > 0 || r == 1 || is_robbed(recovery);
    return r == 1 || r == DISK_E_NOT_FOUND ? 0 : r;
}

static int run(struct recovery *recovery, struct text *image) {
    struct topic_log *log = recovery->log;
    int r = disk_mkdir(log->disk, "topics");
    if (!r || r == DISK_E_EXISTS) {
        r = recovery_load_checkpoints(recovery, image);
    }
    if (r) {
        return err_trace(r);
    }
    uint32_t newer = 0;
    r = recovery_list_journal(log, &newer);
    if (r == BROKER_E_NEWER) {
        recovery_report(recovery, TOPIC_LOG_FAILED,
                        "journal file %08" PRIu32
                        " was made by a newer eventbox; this one starts nothing on it",
                        newer);
    }
    if (r) {
        return err_trace(r);
    }
    if (recovery->have_checkpoint) {
        return start_from_checkpoint(recovery, text_span(image));
    }
    bool found = false;
    r = look_for_data(recovery, &found);
    if (r) {
        return err_trace(r);
    }
    return found ? recovery_rebuild(recovery) : start_fresh(recovery);
}

void recovery_report(struct recovery *recovery, enum topic_log_event event, const char *format,
                     ...) {
    if (recovery->report_count == RECOVERY_REPORTS_MAX) {
        recovery->unreported_count++;
        return;
    }
    struct recovery_report *report = &recovery->reports[recovery->report_count++];
    va_list args;
    va_start(args, format);
    report->event = event;
    vsnprintf(report->text, sizeof report->text, format, args);
    va_end(args);
}

int recovery_run(struct topic_log *log) {
    struct recovery *recovery = calloc(1, sizeof *recovery);
    if (!recovery) {
        return err_origin(-ENOMEM);
    }
    recovery->log = log;
    struct text image;
    text_init(&image);
    int64_t begin_ns = clock_mono_ns(log->config.clock);
    int r = run(recovery, &image);
    if (disk_is_misplaced(r)) {
        recovery_name_misplaced(recovery);
    }
    log->recovered_sequence = log->durable_sequence;
    producer_limit_sort(&log->producers);
    if (!r) {
        log_writer_resume(log->log_writer, &log->journal_uuid, log->durable_sequence, log->current,
                          log->current->used);
    }
    log->stats.recovery_ms = (clock_mono_ns(log->config.clock) - begin_ns) / NS_PER_MS;
    if (!r && recovery->replayed_frames > 0) {
        recovery_report(recovery, TOPIC_LOG_RECOVERED,
                        "replayed %" PRIu64 " frames, %.1f MiB, in %" PRId64 " ms",
                        recovery->replayed_frames, (double)recovery->replayed_bytes / MIB(1),
                        log->stats.recovery_ms);
    }
    for (unsigned i = 0; i < recovery->file_count; i++) {
        segment_file_unref(recovery->files[i]);
    }
    text_deinit(&image);
    free(recovery->frames);
    free(recovery->left_out);
    free(recovery->memory);
    free(recovery->waiting);
    log->recovery = recovery; /* its reports are told on the loop */
    return r;
}

void recovery_tell(struct topic_log *log) {
    for (unsigned i = 0; log->recovery && i < log->recovery->report_count; i++) {
        topic_log_report(log, log->recovery->reports[i].event, "%s",
                         log->recovery->reports[i].text);
    }
    if (log->recovery && log->recovery->unreported_count > 0) {
        topic_log_report(log, TOPIC_LOG_DAMAGED,
                         "the start had %u more findings than it can tell; eventbox log verify "
                         "names each",
                         log->recovery->unreported_count);
    }
    free(log->recovery);
    log->recovery = NULL;
}
