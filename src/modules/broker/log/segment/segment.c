/* Names of segment files, and finding a place in one by its indexes; the format is in segment.h. */
#include "segment.h"
#include "record_batch.h"
#include "segment_resync.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/error.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void segment_folder(uint32_t topic, int32_t partition, char out[SEGMENT_NAME_SIZE]) {
    snprintf(out, SEGMENT_NAME_SIZE, "topics/%" PRIu32 "-%" PRId32, topic, partition);
}

static const char *const endings[] = {
    [SEGMENT_LOG] = "log",
    [SEGMENT_INDEX] = "index",
    [SEGMENT_TIMEINDEX] = "timeindex",
    [SEGMENT_SNAPSHOT] = "snapshot",
    [SEGMENT_TXNINDEX] = "txnindex",
};

bool segment_name_parse(const char *name, enum segment_kind *ret_kind, int64_t *ret_base_offset) {
    enum { DIGITS = 20 };
    char *end;
    if (strspn(name, "0123456789") != DIGITS || name[DIGITS] != '.') {
        return false;
    }
    long long base = strtoll(name, &end, 10);
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        if (strcmp(end + 1, endings[i]) == 0) {
            *ret_kind = (enum segment_kind)i;
            *ret_base_offset = base;
            return true;
        }
    }
    return false;
}

void segment_name(const struct segment_id *id, enum segment_kind kind,
                  char out[SEGMENT_NAME_SIZE]) {
    snprintf(out, SEGMENT_NAME_SIZE, "topics/%" PRIu32 "-%" PRId32 "/%020" PRId64 ".%s", id->topic,
             id->partition, id->base_offset, endings[kind]);
}

static int collect_base(void *userdata, const char *name, bool is_dir) {
    enum { BASES_MAX = 1 << 20 };
    struct segment_bases *bases = userdata;
    enum segment_kind kind;
    int64_t base;
    if (is_dir || !segment_name_parse(name, &kind, &base) || kind != SEGMENT_LOG ||
        bases->count == BASES_MAX) {
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

int segment_bases_list(struct disk *disk, uint32_t topic, int32_t partition,
                       struct segment_bases *bases) {
    char folder[SEGMENT_NAME_SIZE];
    segment_folder(topic, partition, folder);
    int r = disk_list(disk, folder, collect_base, bases);
    if (bases->count > 1) {
        qsort(bases->offsets, bases->count, sizeof *bases->offsets, compare_bases);
    }
    return r == DISK_E_NOT_FOUND ? 0 : r ? err_trace(r) : 0;
}

void segment_bases_deinit(struct segment_bases *bases) {
    free(bases->offsets);
    *bases = (struct segment_bases){0};
}

int segment_unlink(struct disk *disk, const struct segment_id *id) {
    for (unsigned kind = 0; kind < SEGMENT_KINDS; kind++) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(id, (enum segment_kind)kind, name);
        int r = disk_unlink(disk, name);
        if (r && r != DISK_E_NOT_FOUND) {
            return err_trace(r);
        }
    }
    return 0;
}

struct segment_file *segment_file_ref(struct segment_file *file) {
    __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
    return file;
}

void segment_file_unref(struct segment_file *file) {
    if (file && __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        disk_close(file->log);
        if (file->open_count) {
            __atomic_sub_fetch(file->open_count, 1, __ATOMIC_RELAXED);
        }
        free(file);
    }
}

static int sync_folder(struct disk *disk, const char *name) {
    int r = disk_sync_dir(disk, name);
    return r == DISK_E_NOT_FOUND ? 0 : r; /* of a topic deleted meanwhile */
}

int segment_file_sync(struct disk *disk, struct segment_file *file) {
    bool new_file = __atomic_load_n(&file->new_file, __ATOMIC_ACQUIRE);
    int r = disk_sync(file->log);
    if (!r && new_file) {
        char folder[SEGMENT_NAME_SIZE];
        segment_folder(file->id.topic, file->id.partition, folder);
        r = sync_folder(disk, folder);
        if (!r && file->new_folder) {
            r = sync_folder(disk, "topics");
        }
        if (!r) {
            __atomic_store_n(&file->new_file, false, __ATOMIC_RELEASE);
        }
    }
    if (r == DISK_E_FULL) {
        r = -ENOSPC; /* pages are lost: this is a failure, not back pressure */
    }
    return r ? err_trace(r) : 0;
}

int segment_header(const uint8_t *bytes, uint64_t position, uint64_t end,
                   struct record_batch *ret_batch) {
    int32_t length = (int32_t)get_be32(bytes + 8);
    int64_t base_offset = (int64_t)get_be64(bytes);
    if (bytes[16] != 2 || length < RECORD_BATCH_HEADER_BYTES - RECORD_BATCH_OVERHEAD_BYTES ||
        base_offset < 0 || end - position < (uint64_t)length + RECORD_BATCH_OVERHEAD_BYTES) {
        return BROKER_E_CORRUPT;
    }
    *ret_batch = (struct record_batch){
        .base_offset = base_offset,
        .length = length,
        .leader_epoch = (int32_t)get_be32(bytes + 12),
        .attributes = (int16_t)get_be16(bytes + 21),
        .last_offset_delta = (int32_t)get_be32(bytes + 23),
        .max_timestamp_ms = (int64_t)get_be64(bytes + 35),
        .total_bytes = (size_t)length + RECORD_BATCH_OVERHEAD_BYTES,
    };
    return ret_batch->last_offset_delta >= 0 ? 0 : BROKER_E_CORRUPT;
}

/* ---- seeking ---- */

struct index_reader {
    struct disk_file *index, *timeindex;
    uint64_t count;
    int64_t base_offset;
};

static int open_index(struct disk *disk, const struct segment_id *id, enum segment_kind kind,
                      size_t entry_bytes, struct disk_file **ret_file, uint64_t *ret_count) {
    char name[SEGMENT_NAME_SIZE];
    uint8_t header[INDEX_HEADER_BYTES];
    uint64_t size = 0;
    size_t got = 0;
    segment_name(id, kind, name);
    int r = disk_open(disk, name, DISK_READ, ret_file);
    if (r || (r = disk_size(*ret_file, &size)) != 0 ||
        (r = disk_pread(*ret_file, header, sizeof header, 0, &got)) != 0) {
        return r;
    }
    uint32_t magic = kind == SEGMENT_INDEX ? INDEX_MAGIC : TIMEINDEX_MAGIC;
    if (got < sizeof header || get_le32(header) != magic || get_le16(header + 4) != INDEX_VERSION) {
        return BROKER_E_CORRUPT;
    }
    *ret_count = (size - sizeof header) / entry_bytes;
    return 0;
}

static int read_entry(const struct index_reader *reader, uint64_t n,
                      struct segment_cursor *ret_cursor, int64_t *ret_timestamp_ms) {
    uint8_t bytes[TIME_ENTRY_BYTES];
    size_t got = 0;
    int r = disk_pread(reader->index, bytes, INDEX_ENTRY_BYTES,
                       INDEX_HEADER_BYTES + n * INDEX_ENTRY_BYTES, &got);
    if (r || got < INDEX_ENTRY_BYTES) {
        return r ? r : BROKER_E_CORRUPT;
    }
    ret_cursor->offset = reader->base_offset + get_le32(bytes);
    ret_cursor->position = get_le32(bytes + 4);
    if (ret_cursor->position == 0) {
        return BROKER_E_CORRUPT; /* no entry stands for byte 0: this is a hole */
    }
    if (reader->timeindex) {
        r = disk_pread(reader->timeindex, bytes, TIME_ENTRY_BYTES,
                       INDEX_HEADER_BYTES + n * TIME_ENTRY_BYTES, &got);
        if (r || got < TIME_ENTRY_BYTES) {
            return r ? r : BROKER_E_CORRUPT;
        }
        if (get_le32(bytes + 8) != (uint32_t)(ret_cursor->offset - reader->base_offset)) {
            return BROKER_E_CORRUPT; /* it stands for another batch */
        }
        *ret_timestamp_ms = (int64_t)get_le64(bytes);
    }
    return 0;
}

/* The last entry at or before the target; position 0 when there is none. */
static int search(const struct index_reader *reader, const struct segment_target *target,
                  uint64_t end, struct segment_cursor *ret_cursor, uint64_t *ret_entry) {
    uint64_t low = 0, high = reader->count;
    struct segment_cursor best = {0, reader->base_offset};
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct segment_cursor entry;
        int64_t timestamp_ms = 0;
        int r = read_entry(reader, middle, &entry, &timestamp_ms);
        if (r) {
            return r;
        }
        bool before = target->offset >= 0 ? entry.offset <= target->offset
                                          : timestamp_ms < target->timestamp_ms;
        if (before && entry.position < end) {
            best = entry;
            *ret_entry = middle;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_cursor = best;
    return 0;
}

/* Whether a batch with the offset that the entry names begins at its position. */
static bool entry_holds(struct disk_file *log, const struct segment_cursor *cursor, uint64_t end) {
    uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
    struct record_batch batch;
    size_t got = 0;
    return disk_pread(log, bytes, sizeof bytes, cursor->position, &got) == 0 &&
           got == sizeof bytes && segment_header(bytes, cursor->position, end, &batch) == 0 &&
           batch.base_offset == cursor->offset;
}

/*
 * Whether all before entry @n is older than the target, as it says: the entry before it and the
 * batches between the two must not contradict it. A timestamp that rot has made smaller would hide
 * records. Of batch and entry the one is believed that has a checksum, if it is right.
 */
static bool is_older(const struct index_reader *reader, uint64_t n, struct disk_file *log,
                     const struct segment_target *target, uint64_t to) {
    struct segment_cursor at = {0, reader->base_offset};
    int64_t largest_ms = INT64_MIN;
    if (n > 0 &&
        (read_entry(reader, n - 1, &at, &largest_ms) || largest_ms >= target->timestamp_ms)) {
        return false;
    }
    while (at.position < to) {
        uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
        struct record_batch batch;
        size_t got = 0;
        if (disk_pread(log, bytes, sizeof bytes, at.position, &got) || got < sizeof bytes ||
            segment_header(bytes, at.position, to, &batch)) {
            return true;
        }
        if (batch.max_timestamp_ms >= target->timestamp_ms &&
            segment_batch_check(log, at.position, to, &batch) == 0) {
            return false;
        }
        at.position += batch.total_bytes;
    }
    return true;
}

enum { ENTRIES_TO_TRY = 8 };

/* The nearest entry at or before the target that holds; those that do not are passed over. */
static int search_holding(const struct index_reader *reader, struct disk_file *log,
                          const struct segment_target *target, uint64_t end,
                          struct segment_cursor *ret_cursor, bool *ret_wrong) {
    struct segment_target nearer = *target;
    struct segment_cursor cursor;
    for (unsigned tries = 0; tries < ENTRIES_TO_TRY; tries++) {
        uint64_t entry = 0;
        int r = search(reader, &nearer, end, &cursor, &entry);
        if (r) {
            return r;
        }
        if (cursor.position == 0 ||
            (entry_holds(log, &cursor, end) &&
             (target->offset >= 0 || is_older(reader, entry, log, target, cursor.position)))) {
            *ret_cursor = cursor;
            return 0;
        }
        *ret_wrong = true;
        if (target->offset < 0) {
            return 0; /* from byte 0: the offset of what does not hold tells nothing of times */
        }
        nearer.offset = cursor.offset - 1;
    }
    return 0;
}

int segment_seek(struct disk *disk, struct disk_file *log, const struct segment_id *id,
                 const struct segment_target *target, uint64_t end,
                 struct segment_cursor *ret_cursor, bool *ret_wrong) {
    struct index_reader reader = {.base_offset = id->base_offset};
    *ret_cursor = (struct segment_cursor){0, id->base_offset};
    *ret_wrong = false;
    uint64_t time_count = UINT64_MAX;
    int r = open_index(disk, id, SEGMENT_INDEX, INDEX_ENTRY_BYTES, &reader.index, &reader.count);
    if (!r && target->offset < 0) {
        r = open_index(disk, id, SEGMENT_TIMEINDEX, TIME_ENTRY_BYTES, &reader.timeindex,
                       &time_count);
    }
    if (!r) {
        reader.count = MIN(reader.count, time_count);
        r = search_holding(&reader, log, target, end, ret_cursor, ret_wrong);
    }
    disk_close(reader.index);
    disk_close(reader.timeindex);
    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE) {
        return err_trace(r);
    }
    /* Whatever else is the matter with a hint, the disk refusing it included, costs a longer way.
     * A short segment has no entries, and so no index yet; of a longer one they may wait. */
    *ret_wrong |= r != 0 && !(r == DISK_E_NOT_FOUND && end <= INDEX_STEP_BYTES);
    return 0;
}
