/*
 * Reads everything of a data folder's log and tells what is wrong, by topic, partition and offsets.
 *
 *   1. checkpoints: both are read; one damaged slot costs a longer replay, no record
 *   2. journal: what recovery found behind the checkpoint, in its words; and the frames between the
 *      two checkpoints, which a start needs only when the newer one is damaged
 *   3. partitions: every batch of every segment by its CRC, offsets in order, no gap that nobody
 *      knows of, log end and log start as the state has them
 *   4. indexes against the batches
 *   5. files that nobody names, and snapshots of producers
 *
 * Beside a server that goes on: 1, and of 3 what verify_live.c has proven.
 *
 * Three levels: a note; what mends itself (indexes, orphans, one checkpoint, a torn tail); loss.
 * What a kill leaves of a file that was being made, and no damage looks like, is a note: a journal
 * file in its making, what compaction was writing, a snapshot that ends early. A torn end of the
 * journal or of a checkpoint may as well be damage, and is told as that.
 */
#include "inspect.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "recovery/recovery.h"
#include "retention/removal.h"
#include "topics/registry.h"
#include "verify_live.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void tell(struct log_verify *verify, struct log_finding *finding, const char *format, ...)
    _printf_(3, 4);
static void tell(struct log_verify *verify, struct log_finding *finding, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    finding->text = text;
    verify->worst = MAX(verify->worst, finding->level);
    verify->findings[finding->level]++;
    verify->on_finding(verify->userdata, finding);
}

/* ---- checkpoints and journal ---- */

static void check_checkpoints(struct log_verify *verify) {
    static const char *const names[2] = {"checkpoint.0", "checkpoint.1"};
    const struct log_inspect *inspect = verify->inspect;
    bool any = false;
    for (int slot = 0; slot < 2; slot++) {
        any |= inspect->checkpoint_status[slot] != DISK_E_NOT_FOUND;
    }
    for (int slot = 0; slot < 2; slot++) {
        int status = inspect->checkpoint_status[slot];
        /* A server overwrites each in turn: it may be amid that, and damage does not outlast it. */
        struct log_finding finding = {.level = inspect->live ? FINDING_NOTE : FINDING_MENDS,
                                      .kind = "checkpoint",
                                      .from = 0,
                                      .to = -1,
                                      .file = names[slot]};
        if (status != 0 && (status != DISK_E_NOT_FOUND || (any && !inspect->have_checkpoint))) {
            tell(verify, &finding, "%s",
                 inspect->have_checkpoint
                     ? "damaged; a start uses the other one and replays more of the journal"
                     : "damaged, and there is no valid one: a start reads every folder");
        } else if (status == 0 && inspect->checkpoints[slot].cut) {
            tell(verify, &finding,
                 "behind %u increments lies one that was not finished or is damaged; a start uses "
                 "what is before it, or the other file",
                 inspect->checkpoints[slot].increments);
        }
    }
}

struct frame_scan {
    struct log_verify *verify;
    uint64_t older, newest;
    int status;
};

/* A frame that two checkpoints do not cover yet, and the newer one does. */
static void check_frame(struct frame_scan *scan, const char *name, struct disk_file *file,
                        uint64_t position, uint64_t size, const struct frame_header *header) {
    struct log_verify *verify = scan->verify;
    uint64_t bytes = frame_bytes_of_body(header->body_bytes);
    size_t got = 0;
    verify->frames++;
    if (header->sequence <= scan->older || header->sequence > scan->newest) {
        return; /* what is behind the checkpoint recovery has read, what is before may be reused */
    }
    uint8_t *frame = bytes <= size - position ? aligned_alloc(FRAME_ALIGN, bytes) : NULL;
    bool whole = frame && disk_pread(file, frame, bytes, position, &got) == 0 && got == bytes &&
                 frame_body_valid(header, frame + FRAME_HEADER_BYTES);
    free(frame);
    if (!whole) {
        struct log_finding finding = {.level = FINDING_MENDS,
                                      .kind = "journal",
                                      .from = 0,
                                      .to = -1,
                                      .file = name,
                                      .position = position,
                                      .bytes = bytes};
        tell(verify, &finding,
             "frame %" PRIu64 " is damaged; the newer checkpoint stands for it, so that nothing is "
             "lost while that one is valid",
             header->sequence);
    }
}

static int scan_journal_file(void *userdata, const char *name, bool is_dir) {
    struct frame_scan *scan = userdata;
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char path[JOURNAL_NAME_SIZE + 16], *end;
    uint64_t size = 0;
    size_t got = 0;
    if (is_dir || strtoul(name, &end, 10) > UINT32_MAX || *end || end != name + 8) {
        return 0;
    }
    snprintf(path, sizeof path, "journal/%.8s", name);
    struct disk *disk = scan->verify->inspect->folder;
    int r = disk_open(disk, path, DISK_READ | DISK_DIRECT, &file);
    if (r == DISK_E_UNSUPPORTED) {
        r = disk_open(disk, path, DISK_READ, &file);
    }
    uint8_t *block = aligned_alloc(FRAME_ALIGN, FRAME_ALIGN);
    r = r ? r : block ? disk_size(file, &size) : -ENOMEM;
    for (uint64_t at = 0; !r && at + FRAME_ALIGN <= size; at += FRAME_ALIGN) {
        struct frame_header header;
        r = disk_pread(file, block, FRAME_ALIGN, at, &got);
        if (!r && got == FRAME_ALIGN &&
            frame_header_read(block, &scan->verify->inspect->log->journal_uuid, &header)) {
            check_frame(scan, path, file, at, size, &header);
        }
    }
    free(block);
    scan->status = r;
    return r;
}

static int check_journal(struct log_verify *verify) {
    const struct log_inspect *inspect = verify->inspect;
    struct frame_scan scan = {.verify = verify};
    for (int slot = 0; slot < 2; slot++) {
        if (inspect->checkpoint_status[slot] == 0) {
            uint64_t sequence = inspect->checkpoints[slot].sequence;
            scan.older = scan.newest ? MIN(scan.newest, sequence) : 0;
            scan.newest = MAX(scan.newest, sequence);
        }
    }
    int r = disk_list(inspect->folder, "journal", scan_journal_file, &scan);
    return r == DISK_E_NOT_FOUND ? 0 : r;
}

/* ---- partitions ---- */

static bool damage_known(const struct log_partition *partition, int64_t from, int64_t to) {
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        if (partition->damage[i].from <= from && to < partition->damage[i].to) {
            return true;
        }
    }
    return false;
}

static struct log_finding records_finding(const struct log_partition *partition, int64_t from,
                                          int64_t to) {
    return (struct log_finding){.level = FINDING_LOSS,
                                .kind = "records",
                                .topic = partition->topic->public.name,
                                .partition = partition->public.index,
                                .from = from,
                                .to = to};
}

/* Offsets between two batches that follow one another in the file. */
static void check_gap(struct log_verify *verify, const struct log_partition *partition,
                      const char *name, int64_t from, int64_t next) {
    const struct batch_order order = batch_order_of(partition);
    if (batch_order_gap(&order, from, next)) {
        return;
    }
    from = MAX(from, order.log_start);
    struct log_finding finding = records_finding(partition, from, next - 1);
    finding.file = name;
    tell(verify, &finding, "these offsets are missing");
}

struct segment_check {
    struct log_verify *verify;
    struct log_partition *partition;
    struct segment_id id;
    char name[SEGMENT_NAME_SIZE];
    struct batch_walk walk;
    struct index_check index;
    int64_t expected; /* offset of the next batch */
};

/* A bad stretch: how many offsets it had shows at the batch behind it, else at @end_offset. */
static void check_bad(struct segment_check *check, int64_t next_offset) {
    const struct batch_walk *walk = &check->walk;
    int64_t from = MAX(check->expected, check->partition->public.log_start_offset);
    if (from < next_offset && damage_known(check->partition, from, next_offset - 1)) {
        return;
    }
    struct log_finding finding = records_finding(check->partition, from, next_offset - 1);
    finding.file = check->name;
    finding.position = walk->bad_position;
    finding.bytes = walk->bad_bytes;
    if (from >= next_offset) {
        finding.level = FINDING_MENDS;
        tell(check->verify, &finding, "bytes that are no batch, without any offset of their own");
    } else if (walk->patient.refused || walk->patient_cached.refused) {
        tell(check->verify, &finding, "the disk cannot read these records: %s", err_text(-EIO));
    } else {
        tell(check->verify, &finding, "these records do not match their checksum or header");
    }
}

static void check_good(struct segment_check *check, bool after_bad) {
    const struct record_batch *batch = &check->walk.batch;
    struct log_verify *verify = check->verify;
    if (after_bad) {
        check_bad(check, batch->base_offset);
    } else {
        check_gap(verify, check->partition, check->name, check->expected, batch->base_offset);
    }
    check->expected = record_batch_end(batch);
    verify->batches++;
    verify->records += (uint64_t)MAX(batch->record_count, 0);
    verify->bytes += batch->total_bytes;
    index_check_batch(&check->index, &check->id, check->walk.position - batch->total_bytes, batch);
}

static void check_index_result(struct segment_check *check) {
    struct log_verify *verify = check->verify;
    verify->index_entries += check->index.count;
    index_check_end(&check->index, check->walk.end);
    if (check->index.why[0] && !verify->inspect->live) {
        struct log_finding finding = records_finding(check->partition, 0, -1);
        finding.level = FINDING_MENDS;
        finding.kind = "index";
        finding.file = check->name;
        tell(verify, &finding,
             "its index is wrong, which costs no record: a reader that meets that has it made "
             "anew: %s",
             check->index.why);
    }
}

static int walk_segment(struct segment_check *check, int64_t end_offset) {
    bool bad = false;
    int r;
    while ((r = batch_walk_next(&check->walk)) > 0) {
        if (r == BATCH_GOOD) {
            check_good(check, bad);
        }
        bad = r == BATCH_BAD;
    }
    if (r == 0 && bad) {
        check_bad(check, end_offset);
        check->expected = MAX(check->expected, end_offset);
    }
    return r;
}

/* @end_offset: where the next segment, or the log, begins. */
static int check_segment(struct log_verify *verify, struct log_partition *partition,
                         const struct log_segment *segment, int64_t end_offset, int64_t *expected) {
    struct segment_check check = {
        .verify = verify,
        .partition = partition,
        .id = {partition->topic->public.number, partition->public.index, segment->base_offset},
        .expected = MAX(*expected, segment->base_offset)};
    segment_name(&check.id, SEGMENT_LOG, check.name);
    check_gap(verify, partition, check.name, *expected, segment->base_offset);
    verify->segments++;
    int r = batch_walk_open(&check.walk, verify->inspect->overlay, partition, segment);
    if (!r) {
        r = index_check_open(&check.index, verify->inspect->overlay, &check.id);
    }
    uint64_t there = check.walk.end;
    r = r ? r : walk_segment(&check, end_offset);
    if (r == 0) {
        check_index_result(&check);
    }
    batch_walk_close(&check.walk);
    index_check_close(&check.index);
    *expected = check.expected;
    bool short_file = there < segment->bytes;
    if (r && segment->bytes == 0) {
        /* Nothing was left for it to hold: compaction has taken all of its records. */
        struct log_finding finding = records_finding(partition, 0, -1);
        finding.level = FINDING_MENDS;
        finding.file = check.name;
        tell(verify, &finding, "%s; it had no records", err_text(r));
    } else if ((r || short_file) && check.expected < end_offset) {
        struct log_finding finding = records_finding(
            partition, MAX(check.expected, partition->public.log_start_offset), end_offset - 1);
        finding.file = check.name;
        finding.position = there;
        finding.bytes = segment->bytes - there;
        tell(verify, &finding, "%s",
             r ? err_text(r) : "the file is shorter than what was written to it");
        *expected = end_offset;
    }
    return r == -ENOMEM ? r : 0;
}

static void tell_known_damage(struct log_verify *verify, const struct log_partition *partition) {
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        struct log_finding finding =
            records_finding(partition, partition->damage[i].from, partition->damage[i].to - 1);
        if (partition->damage[i].to > partition->public.log_start_offset) {
            tell(verify, &finding, "lost with a damaged frame of the journal, and set aside");
        }
    }
}

int log_verify_partition(struct log_verify *verify, struct log_partition *partition) {
    const struct partition *public = &partition->public;
    int64_t expected = public->log_start_offset;
    verify->partitions++;
    tell_known_damage(verify, partition);
    if (partition->segment_count > 0) {
        expected = MIN(expected, partition->segments[0].base_offset);
    }
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        bool last = i + 1 == partition->segment_count;
        int64_t end = last ? public->high_watermark : partition->segments[i + 1].base_offset;
        int r = check_segment(verify, partition, &partition->segments[i], end, &expected);
        if (r) {
            return r;
        }
    }
    /* The end: what the last batch leaves out before it. */
    check_gap(verify, partition, NULL, expected, public->high_watermark);
    return 0;
}

static int check_partition(struct log_verify *verify, struct log_partition *partition,
                           struct live_suspects *suspects) {
    return verify->inspect->live ? live_check(verify, partition, suspects)
                                 : log_verify_partition(verify, partition);
}

static int check_partitions(struct log_verify *verify, struct live_suspects *suspects) {
    list_for_each(link, &verify->inspect->log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (topic->public.deleted ||
            (verify->topic && strcmp(verify->topic, topic->public.name) != 0)) {
            continue;
        }
        verify->topics++;
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            int r = verify->partition < 0 || verify->partition == i
                        ? check_partition(verify, log_partition_of(topic->public.partitions[i]),
                                          suspects)
                        : 0;
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

/* ---- orphans ---- */

struct orphan_search {
    struct log_verify *verify;
    const char *folder;
    struct log_partition *partition; /* whose folder it is */
    int status;
};

static void tell_orphan(struct log_verify *verify, const char *path, const char *why) {
    struct log_finding finding = {
        .level = FINDING_MENDS, .kind = "orphan", .from = 0, .to = -1, .file = path};
    tell(verify, &finding, "%s", why);
}

/* Of something that a kill has ended, and that begins anew. */
static void tell_leftover(struct log_verify *verify, const char *path, const char *why) {
    struct log_finding finding = {
        .level = FINDING_NOTE, .kind = "orphan", .from = 0, .to = -1, .file = path};
    tell(verify, &finding, "%s", why);
}

/* A segment of the partition, or one that only waits for its removal. */
static bool names_segment(const struct topic_log *log, const struct log_partition *partition,
                          const char *name) {
    int64_t base;
    enum segment_kind kind;
    if (!segment_name_parse(name, &kind, &base) || kind >= SEGMENT_KINDS) {
        return false;
    }
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        if (partition->segments[i].base_offset == base) {
            return true;
        }
    }
    for (uint32_t i = 0; i < log->removal_count; i++) {
        const struct pending_removal *removal = &log->removals[i];
        if (removal->number == partition->topic->public.number &&
            removal->partition == partition->public.index && removal->base_offset == base) {
            return true;
        }
    }
    return false;
}

/* An empty segment at a multiple of 2^32 says where the log goes on, or once went on
 * (open_ends.c). */
static bool says_where_to_go_on(const struct orphan_search *search, const char *path,
                                const char *name) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    enum segment_kind kind;
    uint64_t size = 0;
    int64_t base;
    return segment_name_parse(name, &kind, &base) && kind == SEGMENT_LOG &&
           open_end_is_jump(base) && base <= search->partition->public.log_end_offset &&
           disk_open(search->verify->inspect->folder, path, DISK_READ, &file) == 0 &&
           disk_size(file, &size) == 0 && size == 0;
}

static void check_snapshot(struct orphan_search *search, const char *path, int64_t offset) {
    const struct partition *partition = &search->partition->public;
    struct segment_id at = {partition->topic->number, partition->index, offset};
    struct producers *producers = NULL;
    int r = producer_snapshot_read(search->verify->inspect->folder, &at, &producers);
    bool beyond = offset > partition->high_watermark;
    bool cut =
        r == BROKER_E_CORRUPT && producer_snapshot_unfinished(search->verify->inspect->folder, &at);
    producers_free(producers);
    search->verify->snapshots++;
    if (r || beyond) {
        struct log_finding finding = records_finding(search->partition, 0, -1);
        finding.level = cut || r == BROKER_E_NEWER ? FINDING_NOTE : FINDING_MENDS;
        finding.kind = "snapshot";
        finding.file = path;
        tell(search->verify, &finding, "%s; a start without checkpoint reads the batches instead",
             cut                   ? "this snapshot of producers was being written at a kill"
             : r == BROKER_E_NEWER ? "written by a newer eventbox"
             : r                   ? "this snapshot of producers is damaged"
                                   : "this snapshot of producers is from behind the log end");
    }
}

/* <base offset>.<kind>.<run>.cleaned, see compact.h. */
static bool is_compaction(const char *name) {
    const char *ending = strrchr(name, '.');
    return strspn(name, "0123456789") == 20 && name[20] == '.' && ending &&
           strcmp(ending, ".cleaned") == 0;
}

/* The start that was played over the folder has moved or removed it: of a swap that a kill ended.
 */
static bool is_gone_at_start(const struct log_inspect *inspect, const char *path) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    return disk_open(inspect->overlay, path, DISK_READ, &file) == DISK_E_NOT_FOUND;
}

static int look_at_file(void *userdata, const char *name, bool is_dir) {
    struct orphan_search *search = userdata;
    char path[2 * DISK_NAME_MAX];
    int64_t offset;
    snprintf(path, sizeof path, "%.64s/%.200s", search->folder, name);
    if (!is_dir && producer_snapshot_name_parse(name, &offset)) {
        check_snapshot(search, path, offset);
    } else if (!is_dir && is_compaction(name)) {
        tell_leftover(search->verify, path,
                      "of a compaction under way at a kill, not used, and "
                      "removed by the cleaner of a later start");
    } else if (is_dir || (!names_segment(search->verify->inspect->log, search->partition, name) &&
                          !says_where_to_go_on(search, path, name))) {
        if (!is_dir && is_gone_at_start(search->verify->inspect, path)) {
            tell_leftover(search->verify, path,
                          "of a compaction that a kill ended at its last step, which a start does");
        } else {
            tell_orphan(search->verify, path, "no segment of its partition has this name");
        }
    }
    return 0;
}

static bool removal_pending(const struct topic_log *log, uint32_t number) {
    for (uint32_t i = 0; i < log->removal_count; i++) {
        if (log->removals[i].number == number && log->removals[i].partition < 0) {
            return true;
        }
    }
    return false;
}

static int look_at_folder(void *userdata, const char *name, bool is_dir) {
    struct orphan_search *search = userdata;
    struct log_verify *verify = search->verify;
    struct topic_log *log = verify->inspect->log;
    char path[2 * DISK_NAME_MAX], *dash, *end;
    unsigned long number = strtoul(name, &dash, 10);
    unsigned long index = *dash == '-' && dash > name ? strtoul(dash + 1, &end, 10) : 0;
    snprintf(path, sizeof path, "topics/%.200s", name);
    if (!is_dir || *dash != '-' || dash == name || *end || end == dash + 1 || number > UINT32_MAX ||
        index > INT32_MAX) {
        tell_orphan(verify, path, "no partition has this name");
        return 0;
    }
    struct log_topic *topic = registry_by_number(log, (uint32_t)number);
    struct partition *partition = topic ? partition_get(&topic->public, (int32_t)index) : NULL;
    if (!partition) {
        if (!removal_pending(log, (uint32_t)number)) {
            tell_orphan(verify, path, "it belongs to no topic that exists");
        }
        return 0;
    }
    struct orphan_search inside = {
        .verify = verify, .folder = path, .partition = log_partition_of(partition)};
    return disk_list(verify->inspect->folder, path, look_at_file, &inside);
}

static int look_at_journal(void *userdata, const char *name, bool is_dir) {
    struct orphan_search *search = userdata;
    char path[2 * DISK_NAME_MAX], *end;
    snprintf(path, sizeof path, "journal/%.200s", name);
    (void)strtoul(name, &end, 10);
    bool file = !is_dir && end == name + 8 && !*end;
    if (strncmp(name, "cut-", 4) == 0) {
        struct log_finding finding = {
            .level = FINDING_NOTE, .kind = "journal", .from = 0, .to = -1, .file = path};
        tell(search->verify, &finding, "the torn tail of an earlier crash, kept to be looked at");
    } else if (!is_dir && strcmp(name, "new") == 0) {
        tell_leftover(search->verify, path, "a journal file in its making at a kill");
    } else if (!file && strcmp(name, "clean") != 0) {
        tell_orphan(search->verify, path, "no file of the journal has this name");
    }
    return 0;
}

static int check_orphans(struct log_verify *verify) {
    struct orphan_search search = {.verify = verify};
    int r = disk_list(verify->inspect->folder, "topics", look_at_folder, &search);
    if (r == 0 || r == DISK_E_NOT_FOUND) {
        r = disk_list(verify->inspect->folder, "journal", look_at_journal, &search);
    }
    return r == DISK_E_NOT_FOUND ? 0 : r;
}

int log_verify_run(struct log_verify *verify) {
    bool all = !verify->topic;
    if (all) {
        check_checkpoints(verify);
    }
    int r = all && !verify->inspect->live ? check_journal(verify) : 0;
    struct live_suspects suspects = {0};
    r = r ? r : check_partitions(verify, &suspects);
    r = r ? r : live_check_again(verify, &suspects);
    free(suspects.at);
    if (!r && all && !verify->inspect->live) {
        r = check_orphans(verify);
    }
    return r ? err_trace(r) : 0;
}
