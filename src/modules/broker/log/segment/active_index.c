/* Learning, extending and rebuilding the indexes of one segment; their bytes stand in segment.h. */
#include "active_index.h"
#include "record_batch.h"
#include "segment_resync.h"
#include "segment_walk.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/error.h>
#include <stdlib.h>

enum { TRIM_ENTRIES = 256, ENTRIES_AT_ONCE = 256 + INDEX_PENDING_MAX, PENDING_FIRST = 8 };

void active_index_init(struct active_index *index, const struct segment_id *id, size_t *total) {
    *index = (struct active_index){
        .id = *id, .total = total, .at = {.base_offset = id->base_offset, .max_timestamp_ms = -1}};
}

void active_index_deinit(struct active_index *index) {
    *index->total -= index->pending_capacity;
    free(index->pending);
    index->pending = NULL;
    index->pending_count = index->pending_capacity = 0;
}

static int open_file(const struct active_index *index, struct disk *disk, enum segment_kind kind,
                     unsigned create, struct disk_file **ret_file) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(&index->id, kind, name);
    return disk_open(disk, name, DISK_READ | DISK_WRITE | create, ret_file);
}

/* ---- adding ---- */

/* Entries that one call adds; collected first, so that a full disk leaves nothing half known. */
struct additions {
    struct index_entry entries[ENTRIES_AT_ONCE];
    unsigned count, most; /* @most may wait */
    bool at_once;         /* an entry behind a gap: readers must find it */
};

static void begin_additions(const struct active_index *index, struct additions *add) {
    add->count = index->pending_count;
    add->most = INDEX_PENDING_FEW;
    add->at_once = false;
    if (add->count > 0) {
        memcpy(add->entries, index->pending, add->count * sizeof add->entries[0]);
    }
}

/* Moves @at (a copy of what is known) past one batch, adding an entry where one is due. */
static void pass_batch(struct segment_indexer *at, struct additions *add, int64_t base_offset,
                       uint64_t position, size_t bytes, int64_t max_timestamp_ms) {
    struct index_entry *entry = &add->entries[add->count];
    bool gap = position != at->end;
    if (segment_indexer_pass(at, base_offset, position, bytes, max_timestamp_ms, entry->index,
                             entry->time)) {
        add->count++;
        add->at_once |= gap;
    }
}

static int write_file(const struct active_index *index, struct disk *disk, enum segment_kind kind,
                      const uint8_t *bytes, size_t size, uint64_t at) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = open_file(index, disk, kind, DISK_CREATE, &file);
    if (!r && at == 0) {
        r = disk_truncate(file, 0);
    }
    if (!r) {
        r = disk_pwrite(file, bytes, size, at);
    }
    return r ? err_trace(r) : 0;
}

/* Writes @count entries behind those on disk. */
static int write_entries(struct active_index *index, struct disk *disk,
                         const struct index_entry *entries, unsigned count) {
    uint8_t by_offset[INDEX_HEADER_BYTES + ENTRIES_AT_ONCE * INDEX_ENTRY_BYTES];
    uint8_t by_time[INDEX_HEADER_BYTES + ENTRIES_AT_ONCE * TIME_ENTRY_BYTES];
    size_t offset_size = 0, time_size = 0;
    if (index->index_bytes == 0) {
        segment_index_header(SEGMENT_INDEX, by_offset);
        segment_index_header(SEGMENT_TIMEINDEX, by_time);
        offset_size = time_size = INDEX_HEADER_BYTES;
    }
    for (unsigned i = 0; i < count; i++) {
        memcpy(by_offset + offset_size, entries[i].index, INDEX_ENTRY_BYTES);
        memcpy(by_time + time_size, entries[i].time, TIME_ENTRY_BYTES);
        offset_size += INDEX_ENTRY_BYTES;
        time_size += TIME_ENTRY_BYTES;
    }
    int r = write_file(index, disk, SEGMENT_INDEX, by_offset, offset_size, index->index_bytes);
    if (!r) {
        r = write_file(index, disk, SEGMENT_TIMEINDEX, by_time, time_size, index->timeindex_bytes);
    }
    if (!r) {
        index->index_bytes += offset_size;
        index->timeindex_bytes += time_size;
    }
    return r;
}

static bool keep_pending(struct active_index *index, const struct additions *add) {
    if (add->count > index->pending_capacity) {
        unsigned capacity = MAX(index->pending_capacity, (unsigned)PENDING_FIRST);
        while (capacity < add->count) {
            capacity *= 2;
        }
        void *grown = realloc(index->pending, capacity * sizeof *index->pending);
        if (!grown) {
            return false; /* without memory to wait in they are written */
        }
        *index->total += capacity - index->pending_capacity;
        index->pending = grown;
        index->pending_capacity = capacity;
    }
    if (add->count > index->pending_count) {
        memcpy(index->pending, add->entries, add->count * sizeof add->entries[0]);
        index->pending_count = add->count;
    }
    return true;
}

/* Writes what was collected, or keeps it; @next is what is known afterwards. */
static int commit_additions(struct active_index *index, struct disk *disk,
                            const struct segment_indexer *next, const struct additions *add) {
    uint64_t waits = add->count > 0 ? next->end - get_le32(add->entries[0].index + 4) : 0;
    bool due = add->at_once || add->count > add->most || waits >= INDEX_PENDING_BYTES;
    if (due || !keep_pending(index, add)) {
        int r = write_entries(index, disk, add->entries, add->count);
        if (r) {
            return r;
        }
        active_index_deinit(index);
    }
    index->at = *next;
    return 0;
}

int active_index_add(struct active_index *index, struct disk *disk,
                     const struct segment_piece *pieces, unsigned count, unsigned most) {
    struct segment_indexer next = index->at;
    struct additions add;
    begin_additions(index, &add);
    add.most = most;
    for (unsigned i = 0; i < count; i++) {
        pass_batch(&next, &add, pieces[i].base_offset, pieces[i].position, pieces[i].batch.size,
                   pieces[i].max_timestamp_ms);
    }
    return commit_additions(index, disk, &next, &add);
}

void active_index_pass(struct active_index *index, const struct segment_piece *pieces,
                       unsigned count) {
    index->at.end = pieces[count - 1].position + pieces[count - 1].batch.size;
    index->unindexed_bytes += index->at.end - pieces[0].position;
}

int active_index_flush(struct active_index *index, struct disk *disk) {
    if (index->pending_count == 0) {
        return 0;
    }
    int r = write_entries(index, disk, index->pending, index->pending_count);
    if (!r) {
        active_index_deinit(index);
    }
    return r;
}

/* ---- learning ---- */

static bool header_valid(struct disk_file *file, uint32_t magic) {
    uint8_t header[INDEX_HEADER_BYTES];
    size_t got = 0;
    return disk_pread(file, header, sizeof header, 0, &got) == 0 && got == sizeof header &&
           get_le32(header) == magic && get_le16(header + 4) == INDEX_VERSION;
}

/*
 * How many entries of an index are to be kept when the next batch goes to @position: those before
 * it. What a crash left at the end, zeros among it, goes; all do where the disk refuses some.
 */
static uint64_t keep_entries(struct disk_file *file, uint64_t count, uint64_t position,
                             uint64_t *ret_last) {
    uint8_t bytes[TRIM_ENTRIES * INDEX_ENTRY_BYTES];
    *ret_last = 0;
    while (count > 0) {
        uint64_t n = MIN(count, (uint64_t)TRIM_ENTRIES);
        size_t got = 0;
        if (disk_pread(file, bytes, n * INDEX_ENTRY_BYTES,
                       INDEX_HEADER_BYTES + (count - n) * INDEX_ENTRY_BYTES, &got)) {
            return 0;
        }
        for (uint64_t i = got / INDEX_ENTRY_BYTES; i > 0; i--) {
            uint32_t at = get_le32(bytes + (i - 1) * INDEX_ENTRY_BYTES + 4);
            if (at > 0 && at < position) {
                *ret_last = at;
                return count - n + i;
            }
        }
        count -= n;
    }
    return 0;
}

/* Whether the next batch goes on where @batch, at @position, ends; or nothing follows. */
static bool goes_on(struct disk_file *log, const struct record_batch *batch, uint64_t position,
                    uint64_t end) {
    uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
    struct record_batch next;
    size_t got = 0;
    position += batch->total_bytes;
    return position >= end || disk_pread(log, bytes, sizeof bytes, position, &got) ||
           got < sizeof bytes || segment_header(bytes, position, end, &next) ||
           next.base_offset == record_batch_end(batch);
}

/*
 * Entries for the batches from the last entry on disk up to @position, which a crash took. No
 * checksum covers a base offset: one that neither neighbour confirms gets no entry. The timestamp
 * has one, and is believed with it alone: entries behind a rotten one would tell a lookup that all
 * before them is older. That costs a reading of what is indexed, mostly INDEX_PENDING_BYTES.
 */
static int find_lost(struct active_index *index, struct disk *disk, struct disk_file *log,
                     uint64_t position) {
    struct additions add;
    struct segment_indexer next = index->at;
    uint64_t at = next.end = next.index_position;
    int64_t expected = -1;
    struct segment_walk walk;
    int r = segment_walk_init(&walk, log, position);
    begin_additions(index, &add);
    while (!r && at < position) {
        struct record_batch batch;
        if (segment_walk_header(&walk, at, &batch)) {
            next.max_timestamp_ms = INT64_MAX; /* as in rebuild_entries() */
            break; /* rot: what is written next is behind a gap, and gets an entry at once */
        }
        bool follows =
            expected < 0 || batch.base_offset == expected || goes_on(log, &batch, at, position);
        if (follows && segment_walk_check(&walk, at, &batch) == 0) {
            pass_batch(&next, &add, batch.base_offset, at, batch.total_bytes,
                       batch.max_timestamp_ms);
        } else {
            next.max_timestamp_ms = INT64_MAX;
        }
        at += batch.total_bytes;
        expected = record_batch_end(&batch);
        if (add.count == ENTRIES_AT_ONCE) {
            r = commit_additions(index, disk, &next, &add);
            begin_additions(index, &add);
        }
    }
    segment_walk_deinit(&walk);
    return r ? r : commit_additions(index, disk, &next, &add);
}

/* Entry @n of the two files; false where they contradict each other or the disk refuses them. */
static bool read_entry(struct disk_file *file, struct disk_file *timefile, uint64_t n,
                       uint64_t *ret_position, int64_t *ret_largest_ms) {
    uint8_t entry[INDEX_ENTRY_BYTES], time[TIME_ENTRY_BYTES];
    size_t got = 0, time_got = 0;
    if (disk_pread(file, entry, sizeof entry, INDEX_HEADER_BYTES + n * sizeof entry, &got) ||
        disk_pread(timefile, time, sizeof time, INDEX_HEADER_BYTES + n * sizeof time, &time_got) ||
        got < sizeof entry || time_got < sizeof time || get_le32(entry) != get_le32(time + 8)) {
        return false;
    }
    *ret_position = get_le32(entry + 4);
    *ret_largest_ms = (int64_t)get_le64(time);
    return true;
}

/*
 * The largest time before the last of @count entries. Rot may have made it smaller in that entry,
 * and every one added behind it would say the same, so that a lookup would find no contradiction:
 * the entry before and the batches between the two are asked, too. INT64_MAX where they do not
 * tell: it leads no lookup past anything.
 */
static int64_t largest_before_last(struct disk_file *file, struct disk_file *timefile,
                                   struct disk_file *log, uint64_t count) {
    uint64_t at = 0, end;
    int64_t largest_ms, before_ms = INT64_MIN;
    if (!read_entry(file, timefile, count - 1, &end, &largest_ms) ||
        (count > 1 && !read_entry(file, timefile, count - 2, &at, &before_ms))) {
        return INT64_MAX;
    }
    largest_ms = MAX(largest_ms, before_ms);
    struct segment_walk walk;
    if (segment_walk_init(&walk, log, end)) {
        return INT64_MAX;
    }
    while (at < end) {
        struct record_batch batch;
        if (segment_walk_header(&walk, at, &batch)) {
            largest_ms = INT64_MAX;
            break;
        }
        if (batch.max_timestamp_ms > largest_ms && segment_walk_check(&walk, at, &batch) == 0) {
            largest_ms = batch.max_timestamp_ms;
        }
        at += batch.total_bytes;
    }
    segment_walk_deinit(&walk);
    return largest_ms;
}

/* What the two files hold that lies before @position. */
static int learn_files(struct active_index *index, struct disk_file *file,
                       struct disk_file *timefile, struct disk_file *log, uint64_t position) {
    uint64_t index_size = 0, time_size = 0, count = 0;
    int r = disk_size(file, &index_size);
    if (r || (r = disk_size(timefile, &time_size)) != 0) {
        return err_trace(r);
    }
    if (header_valid(file, INDEX_MAGIC) && header_valid(timefile, TIMEINDEX_MAGIC)) {
        count = MIN((index_size - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES,
                    (time_size - INDEX_HEADER_BYTES) / TIME_ENTRY_BYTES);
        count = keep_entries(file, count, position, &index->at.index_position);
        index->index_bytes = INDEX_HEADER_BYTES + count * INDEX_ENTRY_BYTES;
        index->timeindex_bytes = INDEX_HEADER_BYTES + count * TIME_ENTRY_BYTES;
    }
    if (count > 0) {
        index->at.max_timestamp_ms = largest_before_last(file, timefile, log, count);
    }
    if (index_size > index->index_bytes) {
        r = disk_truncate(file, index->index_bytes);
    }
    if (!r && time_size > index->timeindex_bytes) {
        r = disk_truncate(timefile, index->timeindex_bytes);
    }
    return r ? err_trace(r) : 0;
}

/* A short segment has no index files, and a start would take long to make them for thousands. */
static int open_and_learn(struct active_index *index, struct disk *disk, struct disk_file *log,
                          uint64_t position) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    _cleanup_(disk_closep) struct disk_file *timefile = NULL;
    int r = open_file(index, disk, SEGMENT_INDEX, 0, &file);
    int time_r = open_file(index, disk, SEGMENT_TIMEINDEX, 0, &timefile);
    if (r == DISK_E_NOT_FOUND && time_r == DISK_E_NOT_FOUND) {
        return 0;
    }
    if (r == DISK_E_NOT_FOUND) {
        r = open_file(index, disk, SEGMENT_INDEX, DISK_CREATE, &file);
    }
    if (time_r == DISK_E_NOT_FOUND) {
        time_r = open_file(index, disk, SEGMENT_TIMEINDEX, DISK_CREATE, &timefile);
    }
    r = r ? r : time_r;
    return r ? r : learn_files(index, file, timefile, log, position);
}

int active_index_learn(struct active_index *index, struct disk *disk, struct disk_file *log,
                       uint64_t position) {
    struct segment_id id = index->id;
    active_index_deinit(index);
    active_index_init(index, &id, index->total);
    if (position == 0) {
        index->known = true; /* written from the start, over whatever is there */
        return 0;
    }
    int r = open_and_learn(index, disk, log, position);
    if (!r) {
        r = find_lost(index, disk, log, position);
    }
    if (r) {
        return err_trace(r);
    }
    index->known = true;
    return 0;
}

/* ---- rebuilding ---- */

/*
 * Passes every right batch of the .log; past rot as a reader does. Behind rot no entry says that
 * all before it is older than some time: a lookup has to begin before the rot, and meets it.
 */
static int rebuild_entries(struct active_index *index, struct disk *disk,
                           const struct segment_resync *in) {
    struct additions add;
    struct segment_indexer next = index->at;
    struct segment_cursor cursor = {0, index->id.base_offset}, before;
    bool have_before = false;
    int r = 0;
    begin_additions(index, &add);
    while (cursor.position < in->end && !r) {
        struct record_batch batch;
        bool here = segment_batch_check(in->file, cursor.position, in->end, &batch) == 0;
        if (!here || (batch.base_offset != cursor.offset &&
                      !batch_order_gap(in->order, cursor.offset, batch.base_offset))) {
            r = segment_resync(in, have_before ? &before : NULL, &cursor, in->end);
            have_before = false;
            next.max_timestamp_ms = INT64_MAX; /* what is lost may have had any */
            if (r == BROKER_E_CORRUPT) {
                cursor.position = in->end;
                r = 0;
            }
            continue;
        }
        pass_batch(&next, &add, batch.base_offset, cursor.position, batch.total_bytes,
                   batch.max_timestamp_ms);
        before = (struct segment_cursor){cursor.position, batch.base_offset};
        have_before = true;
        cursor.position += batch.total_bytes;
        cursor.offset = record_batch_end(&batch);
        if (add.count == ENTRIES_AT_ONCE) {
            r = commit_additions(index, disk, &next, &add);
            begin_additions(index, &add);
        }
    }
    next.end = in->end;
    add.at_once = add.count > 0; /* whoever asked for it reads the files */
    return r ? r : commit_additions(index, disk, &next, &add);
}

int active_index_rebuild(struct active_index *index, struct disk *disk, struct disk_file *log,
                         uint64_t end, int64_t next_base, const struct batch_order *order) {
    struct segment_id id = index->id;
    const struct segment_resync in = {.file = log,
                                      .end = end,
                                      .base_offset = id.base_offset,
                                      .next_base = next_base,
                                      .most_offset = INT64_MAX,
                                      .order = order};
    active_index_deinit(index);
    active_index_init(index, &id, index->total);
    int r = rebuild_entries(index, disk, &in); /* not known until all of it is there */
    index->known = r == 0;
    return r;
}
