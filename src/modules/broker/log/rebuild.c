/*
 * A start without a valid checkpoint: slow, and it says so.
 *
 * The journal's uuid is that of its newest frame. The registry is read from its own segments, which
 * begin with its state (registry_state.c), then every folder of a topic that it names is walked,
 * batch by batch with CRC, to find segments, log end and producers. A segment ends at the first
 * batch that is not whole; the journal, replayed over that, fills in what is missing at the end of
 * the log, and what a segment lacks before a later whole one, which a power cut can bring about
 * (replay.c; not in a topic that is compacted, whose batches move). Of producers whose batches are
 * gone the partition's snapshot tells (producer_snapshot.h). What was retained by
 * checkpoints alone (damage noted earlier, epochs) is lost: every partition with records goes on in
 * a new epoch.
 */
#include "producer_snapshot.h"
#include "recovery.h"
#include "segment_resync.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEGMENTS_MAX = 1 << 20 };

struct bases {
    int64_t *offsets;
    size_t count, capacity;
};

static int collect_base(void *userdata, const char *name, bool is_dir) {
    struct bases *bases = userdata;
    char *end;
    long long base = strtoll(name, &end, 10);
    if (is_dir || end != name + 20 || strcmp(end, ".log") != 0 || bases->count == SEGMENTS_MAX) {
        return 0;
    }
    if (bases->count == bases->capacity) {
        size_t capacity = bases->capacity ? bases->capacity * 2 : 16;
        void *grown = realloc(bases->offsets, capacity * sizeof *bases->offsets);
        if (!grown) {
            return -ENOMEM;
        }
        bases->offsets = grown;
        bases->capacity = capacity;
    }
    bases->offsets[bases->count++] = base;
    return 0;
}

static int compare_bases(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int walk_segment(struct recovery *recovery, struct log_partition *partition, int64_t base) {
    struct topic_log *log = recovery->log;
    struct segment_id id = {partition->topic->public.number, partition->public.index, base};
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0, position = 0;
    segment_name(&id, SEGMENT_LOG, name);
    int r = disk_open(log->disk, name, DISK_READ, &file);
    if (r || (r = disk_size(file, &size)) != 0) {
        return err_trace(r);
    }
    while (position < size && !r) {
        struct record_batch batch;
        uint8_t *data = segment_batch_read(file, position, size, &batch);
        if (!data || batch.base_offset < partition->public.log_end_offset) {
            free(data);
            break;
        }
        r = recovery_take_over(partition, base, position, &batch, clock_wall_ms(log->config.clock));
        if (!r && id.topic == 0) {
            r = registry_apply(log, span_of(data, batch.total_bytes), 0);
            r = r > 0 ? 0 : r;
        }
        free(data);
        position += batch.total_bytes;
    }
    return r;
}

/* Files of segments that a record of the registry, read before, has removed. */
static int drop_below_start(struct topic_log *log, struct log_partition *partition) {
    int64_t start = partition->public.log_start_offset;
    int64_t keep = 0;
    for (uint32_t i = 1; i < partition->segment_count; i++) {
        if (partition->segments[i].base_offset <= start) {
            keep = partition->segments[i].base_offset;
        }
    }
    recovery_pass_start(partition);
    return partition_log_start(log, partition, start, keep, 0);
}

/* Whether the file of a segment has nothing in it. */
static bool is_empty(struct disk *disk, const struct segment_id *id) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    segment_name(id, SEGMENT_LOG, name);
    return disk_open(disk, name, DISK_READ, &file) == 0 && disk_size(file, &size) == 0 && size == 0;
}

/* Closed segments that compaction has left without a batch: nothing will ever go there. */
static int drop_empty(struct topic_log *log, struct log_partition *partition,
                      const struct bases *bases) {
    struct pending_removal removal = {.number = partition->topic->public.number,
                                      .partition = partition->public.index};
    for (size_t i = 0; i < bases->count && partition->segment_count > 0; i++) {
        int64_t base = bases->offsets[i];
        int at = partition_segment_index(partition, base);
        struct segment_id id = {removal.number, removal.partition, base};
        if (base >= partition->segments[partition->segment_count - 1].base_offset ||
            (at >= 0 && partition->segments[at].base_offset == base) || !is_empty(log->disk, &id)) {
            continue;
        }
        removal.base_offset = base;
        int r = removal_add(log, &removal);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

static int walk_partition(struct recovery *recovery, struct log_partition *partition) {
    char folder[SEGMENT_NAME_SIZE];
    struct bases bases = {0};
    segment_folder(partition->topic->public.number, partition->public.index, folder);
    int r = snapshots_look(recovery, partition);
    r = r ? r : disk_list(recovery->log->disk, folder, collect_base, &bases);
    if (bases.count > 1) {
        qsort(bases.offsets, bases.count, sizeof *bases.offsets, compare_bases);
    }
    for (size_t i = 0; i < bases.count && !r; i++) {
        r = walk_segment(recovery, partition, bases.offsets[i]);
    }
    r = r ? r : drop_empty(recovery->log, partition, &bases);
    free(bases.offsets);
    return r == DISK_E_NOT_FOUND ? 0 : r ? r : drop_below_start(recovery->log, partition);
}

static int walk_topics(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    list_for_each(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; topic != log->registry && i < topic->public.partition_count; i++) {
            int r = walk_partition(recovery, topic_partition(topic, i));
            if (r) {
                return err_trace(r);
            }
        }
    }
    return 0;
}

/* Nobody knows what earlier epochs there were: the new one is higher than any in a batch. */
static int raise_all(struct recovery *recovery) {
    list_for_each(link, &recovery->log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; i < topic->public.partition_count; i++) {
            struct log_partition *partition = topic_partition(topic, i);
            int64_t end = partition->public.log_end_offset;
            partition->cleaned_to = MIN(partition->cleaned_to, end);
            int r = end > 0 ? partition_epoch_raise(partition, end) : 0;
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

/* The newest journal is the one; frames of others are not looked at again. */
static void choose_journal(struct recovery *recovery) {
    const struct found_frame *newest = NULL;
    for (size_t i = 0; i < recovery->frame_count; i++) {
        if (recovery->frames[i].valid) {
            newest = &recovery->frames[i];
        }
    }
    if (newest) {
        recovery->log->journal_uuid = newest->header.journal;
    } else {
        uuid_v4(recovery->log->config.random, &recovery->log->journal_uuid);
    }
    size_t kept = 0;
    for (size_t i = 0; i < recovery->frame_count; i++) {
        if (memcmp(&recovery->frames[i].header.journal, &recovery->log->journal_uuid,
                   sizeof(struct uuid)) == 0) {
            recovery->frames[kept++] = recovery->frames[i];
        }
    }
    recovery->frame_count = kept;
    /* The journal does not begin at frame 1: what was recycled is in the segments. */
    if (kept > 0) {
        recovery->sequence = recovery->frames[0].header.sequence - 1;
    }
}

static int note_number(void *userdata, const char *name, bool is_dir) {
    struct topic_log *log = userdata;
    unsigned long number = strtoul(name, NULL, 10);
    if (is_dir && number < UINT32_MAX) {
        log->next_number = MAX(log->next_number, (uint32_t)number + 1);
    }
    return 0;
}

int recovery_rebuild(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    recovery_report(recovery, TOPIC_LOG_MENDED,
                    "no valid checkpoint: every folder below topics/ is read");
    recovery->changed = recovery->holes_expected = recovery->need_syncfs = true;
    log->cleaner.sweep = true;
    choose_journal(recovery);
    int r = walk_partition(recovery, topic_partition(log->registry, 0));
    if (!r) {
        r = walk_topics(recovery); /* topics known to the journal alone come with the replay */
    }
    if (!r) {
        r = disk_list(log->disk, "topics", note_number, log);
    }
    if (!r) {
        r = recovery_replay(recovery);
    }
    if (!r) {
        r = snapshots_settle(recovery);
    }
    if (!r) {
        r = raise_all(recovery);
    }
    if (!r) {
        r = recovery_finish(recovery, NULL, 0);
    }
    if (!r) {
        r = clean_marker_write(log->disk, &log->journal_uuid, 0); /* it may name this very frame */
    }
    if (!r) {
        r = disk_sync_dir(log->disk, "journal");
    }
    return r ? err_trace(r) : disk_sync_dir(log->disk, ".");
}
