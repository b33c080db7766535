/*
 * The segment writer: puts durable batches where the log writer has placed them.
 *
 * It owns the cache of segments open for writing, bounded, the one unused longest out first. A file
 * may leave the cache with unsynced bytes: whoever is to sync it holds a reference of its own, or a
 * syncfs answers for it.
 *
 * Everything here can be done twice: data goes to its fixed position, and the indexes are cut back
 * to what lies before it when a segment is opened.
 */
#include "record_batch.h"
#include "segment.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/hashmap.h>
#include <stdlib.h>

enum { PIECES_MAX = 256, TRIM_ENTRIES = 256, WALK_BYTES = 64 << 10 };

struct segment_writer {
    struct disk *disk;
    unsigned files_max;
    struct hashmap files;                 /* by struct segment_id */
    struct segment_file *newest, *oldest; /* by use */
};

int segment_writer_new(struct disk *disk, unsigned files_max, struct segment_writer **ret_writer) {
    struct segment_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        return err_origin(-ENOMEM);
    }
    writer->disk = disk;
    writer->files_max = files_max;
    hashmap_init(&writer->files, 1, 2); /* nobody outside chooses these keys */
    *ret_writer = writer;
    return 0;
}

/* ---- the cache ---- */

static void lru_remove(struct segment_writer *writer, struct segment_file *file) {
    *(file->lru_prev ? &file->lru_prev->lru_next : &writer->newest) = file->lru_next;
    *(file->lru_next ? &file->lru_next->lru_prev : &writer->oldest) = file->lru_prev;
    file->lru_next = file->lru_prev = NULL;
}

static void lru_push(struct segment_writer *writer, struct segment_file *file) {
    file->lru_next = writer->newest;
    *(writer->newest ? &writer->newest->lru_prev : &writer->oldest) = file;
    writer->newest = file;
}

static void cache_drop(struct segment_writer *writer, struct segment_file *file) {
    lru_remove(writer, file);
    hashmap_remove(&writer->files, span_of(&file->id, sizeof file->id));
    segment_file_unref(file);
}

void segment_writer_free(struct segment_writer *writer) {
    if (!writer) {
        return;
    }
    while (writer->newest) {
        cache_drop(writer, writer->newest);
    }
    hashmap_deinit(&writer->files);
    free(writer);
}

void segment_writer_forget(struct segment_writer *writer, const struct segment_id *id) {
    if (id->partition >= 0) {
        struct segment_file *file = hashmap_find(&writer->files, span_of(id, sizeof *id));
        if (file) {
            cache_drop(writer, file);
        }
        return;
    }
    for (struct segment_file *file = writer->newest, *next; file; file = next) {
        next = file->lru_next;
        if (file->id.topic == id->topic) {
            cache_drop(writer, file);
        }
    }
}

/* Opens the .log, making file and folders when they are not there yet. */
static int open_log(struct segment_writer *writer, struct segment_file *file) {
    char name[SEGMENT_NAME_SIZE], folder[SEGMENT_NAME_SIZE];
    struct disk *disk = writer->disk;
    segment_name(&file->id, SEGMENT_LOG, name);
    segment_folder(file->id.topic, file->id.partition, folder);
    unsigned flags = DISK_READ | DISK_WRITE;
    int r = disk_open(disk, name, flags, &file->log);
    if (r != DISK_E_NOT_FOUND) {
        return r;
    }
    file->new_file = true;
    r = disk_open(disk, name, flags | DISK_CREATE, &file->log);
    if (r != DISK_E_NOT_FOUND) {
        return r;
    }
    file->new_folder = true;
    r = disk_mkdir(disk, folder);
    if (r && r != DISK_E_EXISTS) {
        return r;
    }
    return disk_open(disk, name, flags | DISK_CREATE, &file->log);
}

static int cache_get(struct segment_writer *writer, const struct segment_id *id,
                     struct segment_file **ret_file) {
    struct segment_file *file = hashmap_find(&writer->files, span_of(id, sizeof *id));
    if (file) {
        lru_remove(writer, file);
        lru_push(writer, file);
        *ret_file = file;
        return 0;
    }
    file = calloc(1, sizeof *file);
    if (!file) {
        return err_origin(-ENOMEM);
    }
    file->id = *id;
    file->refs = 1;
    file->max_timestamp_ms = -1;
    int r = open_log(writer, file);
    if (!r) {
        r = hashmap_put(&writer->files, span_of(&file->id, sizeof file->id), file, NULL);
    }
    if (r) {
        segment_file_unref(file);
        return err_trace(r);
    }
    lru_push(writer, file);
    if (writer->files.count > writer->files_max) {
        cache_drop(writer, writer->oldest);
    }
    *ret_file = file;
    return 0;
}

/* ---- indexes ---- */

static int open_index(struct segment_writer *writer, const struct segment_file *file,
                      enum segment_kind kind, struct disk_file **ret_file) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(&file->id, kind, name);
    return disk_open(writer->disk, name, DISK_READ | DISK_WRITE | DISK_CREATE, ret_file);
}

static bool header_valid(struct disk_file *file, uint32_t magic) {
    uint8_t header[INDEX_HEADER_BYTES];
    size_t got = 0;
    return disk_pread(file, header, sizeof header, 0, &got) == 0 && got == sizeof header &&
           get_le32(header) == magic && get_le16(header + 4) == INDEX_VERSION;
}

/*
 * How many entries of an index are to be kept when the next batch goes to @position: those before
 * it. What a crash left at the end, zeros among it, goes.
 */
static int keep_entries(struct disk_file *index, uint64_t count, uint64_t position,
                        uint64_t *ret_count, uint64_t *ret_last) {
    uint8_t bytes[TRIM_ENTRIES * INDEX_ENTRY_BYTES];
    *ret_count = 0;
    *ret_last = 0;
    while (count > 0) {
        uint64_t n = MIN(count, (uint64_t)TRIM_ENTRIES);
        size_t got = 0;
        int r = disk_pread(index, bytes, n * INDEX_ENTRY_BYTES,
                           INDEX_HEADER_BYTES + (count - n) * INDEX_ENTRY_BYTES, &got);
        if (r) {
            return err_trace(r);
        }
        for (uint64_t i = got / INDEX_ENTRY_BYTES; i > 0; i--) {
            uint32_t at = get_le32(bytes + (i - 1) * INDEX_ENTRY_BYTES + 4);
            if (at > 0 && at < position) {
                *ret_count = count - n + i;
                *ret_last = at;
                return 0;
            }
        }
        count -= n;
    }
    return 0;
}

/* The largest timestamp of the batches from the last entry up to @position. */
static void walk_timestamps(struct segment_file *file, uint64_t from, uint64_t position) {
    uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
    struct record_batch batch;
    size_t got = 0;
    while (from < position && disk_pread(file->log, bytes, sizeof bytes, from, &got) == 0 &&
           got == sizeof bytes && segment_header(bytes, from, position, &batch) == 0) {
        file->max_timestamp_ms = MAX(file->max_timestamp_ms, batch.max_timestamp_ms);
        from += batch.total_bytes;
    }
}

/* Learns where the indexes of a segment end, cutting off what does not lie before @position. */
static int learn_index(struct segment_writer *writer, struct segment_file *file,
                       uint64_t position) {
    _cleanup_(disk_closep) struct disk_file *index = NULL;
    _cleanup_(disk_closep) struct disk_file *timeindex = NULL;
    uint64_t index_size = 0, time_size = 0, count = 0;
    file->end = position;
    file->index_position = file->index_bytes = file->timeindex_bytes = 0;
    file->max_timestamp_ms = -1;
    if (position == 0) {
        file->index_open = true; /* written from the start, over whatever is there */
        return 0;
    }
    int r = open_index(writer, file, SEGMENT_INDEX, &index);
    if (!r) {
        r = open_index(writer, file, SEGMENT_TIMEINDEX, &timeindex);
    }
    if (r || (r = disk_size(index, &index_size)) != 0 ||
        (r = disk_size(timeindex, &time_size)) != 0) {
        return err_trace(r);
    }
    if (header_valid(index, INDEX_MAGIC) && header_valid(timeindex, TIMEINDEX_MAGIC)) {
        count = MIN((index_size - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES,
                    (time_size - INDEX_HEADER_BYTES) / TIME_ENTRY_BYTES);
        r = keep_entries(index, count, position, &count, &file->index_position);
        if (r) {
            return r;
        }
        file->index_bytes = INDEX_HEADER_BYTES + count * INDEX_ENTRY_BYTES;
        file->timeindex_bytes = INDEX_HEADER_BYTES + count * TIME_ENTRY_BYTES;
    }
    if (count > 0) {
        uint8_t bytes[8];
        size_t got = 0;
        r = disk_pread(timeindex, bytes, sizeof bytes, file->timeindex_bytes - TIME_ENTRY_BYTES,
                       &got);
        if (r) {
            return err_trace(r);
        }
        file->max_timestamp_ms = (int64_t)get_le64(bytes);
    }
    if (index_size > file->index_bytes) {
        r = disk_truncate(index, file->index_bytes);
    }
    if (!r && time_size > file->timeindex_bytes) {
        r = disk_truncate(timeindex, file->timeindex_bytes);
    }
    if (r) {
        return err_trace(r);
    }
    walk_timestamps(file, file->index_position, position);
    file->index_open = true;
    return 0;
}

/* Entries that one write adds; collected first, so that a full disk leaves nothing half known. */
struct additions {
    uint8_t index[INDEX_HEADER_BYTES + PIECES_MAX * INDEX_ENTRY_BYTES];
    uint8_t timeindex[INDEX_HEADER_BYTES + PIECES_MAX * TIME_ENTRY_BYTES];
    size_t index_size, timeindex_size;
};

static void begin_additions(const struct segment_file *file, struct additions *add) {
    add->index_size = add->timeindex_size = 0;
    if (file->index_bytes == 0) {
        memset(add->index, 0, INDEX_HEADER_BYTES);
        memset(add->timeindex, 0, INDEX_HEADER_BYTES);
        put_le32(add->index, INDEX_MAGIC);
        put_le16(add->index + 4, INDEX_VERSION);
        put_le32(add->timeindex, TIMEINDEX_MAGIC);
        put_le16(add->timeindex + 4, INDEX_VERSION);
        add->index_size = add->timeindex_size = INDEX_HEADER_BYTES;
    }
}

/* Moves @file (a copy of what is known) past one batch, adding an entry where one is due. */
static void pass_batch(struct segment_file *file, struct additions *add, int64_t base_offset,
                       uint64_t position, size_t bytes, int64_t max_timestamp_ms) {
    bool gap = position != file->end;
    if (position > 0 && (gap || position - file->index_position >= INDEX_STEP_BYTES)) {
        uint8_t *entry = add->index + add->index_size;
        put_le32(entry, (uint32_t)(base_offset - file->id.base_offset));
        put_le32(entry + 4, (uint32_t)position);
        add->index_size += INDEX_ENTRY_BYTES;
        entry = add->timeindex + add->timeindex_size;
        put_le64(entry, (uint64_t)file->max_timestamp_ms);
        put_le32(entry + 8, (uint32_t)(base_offset - file->id.base_offset));
        add->timeindex_size += TIME_ENTRY_BYTES;
        file->index_position = position;
    }
    file->max_timestamp_ms = MAX(file->max_timestamp_ms, max_timestamp_ms);
    file->end = position + bytes;
}

static int write_index(struct segment_writer *writer, const struct segment_file *file,
                       enum segment_kind kind, const uint8_t *bytes, size_t size, uint64_t at) {
    _cleanup_(disk_closep) struct disk_file *index = NULL;
    int r = open_index(writer, file, kind, &index);
    if (!r && at == 0) {
        r = disk_truncate(index, 0);
    }
    if (!r) {
        r = disk_pwrite(index, bytes, size, at);
    }
    return r ? err_trace(r) : 0;
}

/* Writes what was collected; @next is what is known afterwards. */
static int commit_additions(struct segment_writer *writer, struct segment_file *file,
                            const struct segment_file *next, const struct additions *add) {
    bool only_header = add->index_size == INDEX_HEADER_BYTES && file->index_bytes == 0;
    bool entries = add->index_size > 0 && !only_header;
    if (entries) {
        int r = write_index(writer, file, SEGMENT_INDEX, add->index, add->index_size,
                            file->index_bytes);
        if (!r) {
            r = write_index(writer, file, SEGMENT_TIMEINDEX, add->timeindex, add->timeindex_size,
                            file->timeindex_bytes);
        }
        if (r) {
            return r;
        }
        file->index_bytes += add->index_size;
        file->timeindex_bytes += add->timeindex_size;
    }
    file->end = next->end;
    file->index_position = next->index_position;
    file->max_timestamp_ms = next->max_timestamp_ms;
    return 0;
}

/* ---- writing ---- */

static int write_data(struct segment_file *file, const struct segment_piece *pieces,
                      unsigned count) {
    struct iovec parts[PIECES_MAX];
    unsigned i = 0;
    while (i < count) {
        uint64_t begin = pieces[i].position, end = begin;
        int n = 0;
        while (i < count && pieces[i].position == end) {
            parts[n++] =
                (struct iovec){(void *)(uintptr_t)pieces[i].batch.data, pieces[i].batch.size};
            end += pieces[i].batch.size;
            i++;
        }
        int r = disk_pwritev(file->log, parts, n, begin);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

int segment_writer_write(struct segment_writer *writer, const struct segment_id *id,
                         const struct segment_piece *pieces, unsigned count,
                         struct segment_file **ret_file) {
    struct segment_file *file;
    struct additions add;
    int r = cache_get(writer, id, &file);
    if (r) {
        return err_trace(r);
    }
    /* A batch before the end: this is a replay over what was written already. */
    if (!file->index_open || pieces[0].position < file->end) {
        r = learn_index(writer, file, pieces[0].position);
        if (r) {
            return err_trace(r);
        }
    }
    r = write_data(file, pieces, count);
    if (r) {
        return err_trace(r);
    }
    struct segment_file next = *file;
    begin_additions(file, &add);
    for (unsigned i = 0; i < count; i++) {
        pass_batch(&next, &add, pieces[i].base_offset, pieces[i].position, pieces[i].batch.size,
                   pieces[i].max_timestamp_ms);
    }
    r = commit_additions(writer, file, &next, &add);
    if (r) {
        return err_trace(r);
    }
    *ret_file = segment_file_ref(file);
    return 0;
}

/* ---- rebuilding ---- */

/* Whether a whole and right batch begins at @position. */
static bool batch_holds(struct segment_file *file, uint64_t position, uint64_t end) {
    uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
    struct record_batch batch;
    size_t got = 0;
    if (disk_pread(file->log, bytes, sizeof bytes, position, &got) || got < sizeof bytes ||
        segment_header(bytes, position, end, &batch)) {
        return false;
    }
    size_t size = batch.total_bytes;
    uint8_t *data = malloc(size);
    bool holds = data && disk_pread(file->log, data, size, position, &got) == 0 && got == size &&
                 record_batch_check_crc(span_of(data, size));
    free(data);
    return holds;
}

/* Behind rot: the next byte where a batch begins whose offset and CRC are believable. */
static uint64_t find_next_batch(struct segment_file *file, uint64_t position, int64_t least_offset,
                                uint64_t end) {
    uint8_t *window = malloc(WALK_BYTES);
    while (window && position + RECORD_BATCH_HEADER_BYTES <= end) {
        size_t got = 0;
        if (disk_pread(file->log, window, MIN((uint64_t)WALK_BYTES, end - position), position,
                       &got) ||
            got < RECORD_BATCH_HEADER_BYTES) {
            break;
        }
        for (size_t i = 0; i + RECORD_BATCH_HEADER_BYTES <= got; i++) {
            struct record_batch batch;
            if (window[i + 16] == 2 && segment_header(window + i, position + i, end, &batch) == 0 &&
                batch.base_offset >= least_offset &&
                batch.base_offset - file->id.base_offset <= INT32_MAX &&
                batch_holds(file, position + i, end)) {
                free(window);
                return position + i;
            }
        }
        position += got - RECORD_BATCH_HEADER_BYTES + 1;
    }
    free(window);
    return end;
}

static int rebuild_entries(struct segment_writer *writer, struct segment_file *file, uint64_t end) {
    struct additions add;
    struct segment_file next = *file;
    int64_t least_offset = file->id.base_offset;
    uint64_t position = 0;
    int r = 0;
    begin_additions(file, &add);
    while (position < end) {
        uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
        struct record_batch batch;
        size_t got = 0;
        r = disk_pread(file->log, bytes, sizeof bytes, position, &got);
        if (r) {
            return err_trace(r);
        }
        if (got < sizeof bytes || segment_header(bytes, position, end, &batch) ||
            batch.base_offset < least_offset) {
            position = find_next_batch(file, position + 1, least_offset, end);
            continue;
        }
        pass_batch(&next, &add, batch.base_offset, position, batch.total_bytes,
                   batch.max_timestamp_ms);
        position += batch.total_bytes;
        least_offset = batch.base_offset + batch.last_offset_delta + 1;
        if (add.index_size + INDEX_ENTRY_BYTES > sizeof add.index) {
            r = commit_additions(writer, file, &next, &add);
            if (r) {
                return err_trace(r);
            }
            begin_additions(file, &add);
        }
    }
    next.end = end;
    return commit_additions(writer, file, &next, &add);
}

int segment_writer_rebuild(struct segment_writer *writer, const struct segment_id *id,
                           uint64_t end) {
    struct segment_file *file;
    int r = cache_get(writer, id, &file);
    if (r) {
        return err_trace(r);
    }
    end = MAX(end, file->index_open ? file->end : 0);
    file->index_bytes = file->timeindex_bytes = 0;
    file->index_position = file->end = 0;
    file->max_timestamp_ms = -1;
    file->index_open = false; /* until all of it is there */
    r = rebuild_entries(writer, file, end);
    file->index_open = r == 0;
    return r;
}
