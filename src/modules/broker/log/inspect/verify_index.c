/*
 * Whether the indexes of a segment say the truth, entry by entry, while its batches go by.
 *
 * An index may be short: its entries are not synced with the data, and a reader walks where none
 * is. It must not be wrong: an entry has to stand for a batch that begins there with that offset,
 * and its timestamp may not be below one of an earlier batch, else a search by time skips it.
 */
#include "inspect.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { INDEX_BYTES_MAX = 64 << 20 };

static const size_t entry_bytes[2] = {INDEX_ENTRY_BYTES, TIME_ENTRY_BYTES};

static void wrong(struct index_check *check, const char *format, ...) _printf_(2, 3);
static void wrong(struct index_check *check, const char *format, ...) {
    if (check->why[0] == '\0') {
        va_list args;
        va_start(args, format);
        vsnprintf(check->why, sizeof check->why, format, args);
        va_end(args);
    }
}

static int read_whole(struct index_check *check, struct disk *disk, const struct segment_id *id,
                      int n) {
    static const uint32_t magics[2] = {INDEX_MAGIC, TIMEINDEX_MAGIC};
    static const char *const names[2] = {"the offset index", "the time index"};
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    segment_name(id, n == 0 ? SEGMENT_INDEX : SEGMENT_TIMEINDEX, name);
    int r = disk_open(disk, name, DISK_READ, &file);
    if (r == DISK_E_NOT_FOUND) {
        return 0; /* a short segment has none; index_check_end() tells */
    }
    if (r || (r = disk_size(file, &size)) != 0) {
        wrong(check, "%s cannot be read: %s", names[n], err_text(r));
        return 0;
    }
    if (size > INDEX_BYTES_MAX) {
        wrong(check, "%s is larger than any segment needs", names[n]);
        return 0;
    }
    check->entries[n] = malloc(MAX((size_t)size, (size_t)1));
    if (!check->entries[n]) {
        return err_origin(-ENOMEM);
    }
    r = disk_pread(file, check->entries[n], (size_t)size, 0, &check->size[n]);
    const uint8_t *bytes = check->entries[n];
    if (r) {
        wrong(check, "%s cannot be read: %s", names[n], err_text(r));
        check->size[n] = 0;
        return 0;
    }
    if (size > 0 && (check->size[n] < INDEX_HEADER_BYTES || get_le32(bytes) != magics[n] ||
                     get_le16(bytes + 4) != INDEX_VERSION)) {
        wrong(check, "%s does not begin with its header", names[n]);
        check->size[n] = 0;
    }
    return 0;
}

int index_check_open(struct index_check *check, struct disk *disk, const struct segment_id *id) {
    *check = (struct index_check){.largest_timestamp_ms = -1};
    uint64_t counts[2] = {0, 0};
    for (int n = 0; n < 2; n++) {
        int r = read_whole(check, disk, id, n);
        if (r) {
            return r;
        }
        counts[n] = check->size[n] > INDEX_HEADER_BYTES
                        ? (check->size[n] - INDEX_HEADER_BYTES) / entry_bytes[n]
                        : 0;
    }
    if (counts[0] != counts[1]) {
        wrong(check, "the offset index has %" PRIu64 " entries, the time index %" PRIu64, counts[0],
              counts[1]);
    }
    check->count = MIN(counts[0], counts[1]);
    return 0;
}

static const uint8_t *entry_at(const struct index_check *check, int n, uint64_t index) {
    return check->entries[n] + INDEX_HEADER_BYTES + index * entry_bytes[n];
}

void index_check_batch(struct index_check *check, const struct segment_id *id, uint64_t position,
                       const struct record_batch *batch) {
    while (check->next < check->count) {
        uint64_t index = check->next;
        const uint8_t *entry = entry_at(check, 0, index), *time = entry_at(check, 1, index);
        uint64_t at = get_le32(entry + 4);
        if (at > position) {
            break;
        }
        check->next++;
        int64_t offset = id->base_offset + get_le32(entry);
        if (at < position || offset != batch->base_offset) {
            wrong(check,
                  "entry %" PRIu64 " names offset %" PRId64 " at byte %" PRIu64
                  ", where no such batch begins",
                  index, offset, at);
        } else if ((int64_t)get_le64(time) < check->largest_timestamp_ms) {
            wrong(check,
                  "entry %" PRIu64 " of the time index is below the timestamp of an earlier batch",
                  index);
        } else if (get_le32(time + 8) != get_le32(entry)) {
            wrong(check, "entry %" PRIu64 " differs between offset index and time index", index);
        } else {
            check->last_position = at;
        }
    }
    check->largest_timestamp_ms = MAX(check->largest_timestamp_ms, batch->max_timestamp_ms);
}

void index_check_end(struct index_check *check, uint64_t end) {
    if (check->next < check->count) {
        wrong(check, "%" PRIu64 " entries point behind the last batch", check->count - check->next);
    }
    if (check->count == 0 && end > 2 * INDEX_PENDING_BYTES && check->why[0] == '\0') {
        wrong(check, "there is none although the segment has %" PRIu64 " bytes", end);
    }
}

void index_check_close(struct index_check *check) {
    free(check->entries[0]);
    free(check->entries[1]);
}
