/*
 * Files of the journal, and the frames in them, read past the page cache: one may begin at each
 * 4 KiB. Frames are read to one piece of memory. One whose batches wait for their segments stays
 * where it is until nothing waits (replay_write.c); then the next one that is read begins anew.
 */
#include "log_private.h"
#include "recovery.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { SCAN_BYTES = 1 << 20 };

/* ---- files of the journal ---- */

static int add_file(void *userdata, const char *name, bool is_dir) {
    struct topic_log *log = userdata;
    char *end;
    unsigned long id = strtoul(name, &end, 10);
    if (*end || end != name + 8) {
        return 0;
    }
    log->next_file_id = MAX(log->next_file_id, (uint32_t)id + 1); /* a folder has the name, too */
    if (is_dir || log->file_count >= JOURNAL_FILES_MAX) {
        return 0;
    }
    struct journal_file *file = calloc(1, sizeof *file);
    if (!file) {
        return -ENOMEM;
    }
    file->id = (uint32_t)id;
    file->state = JOURNAL_FULL;
    log->files[log->file_count++] = file;
    return 0;
}

int recovery_list_journal(struct topic_log *log, uint32_t *ret_newer) {
    int r = disk_list(log->disk, "journal", add_file, log);
    if (r == DISK_E_NOT_FOUND) {
        r = disk_mkdir(log->disk, "journal");
    }
    for (unsigned i = 0; i < log->file_count && !r; i++) {
        struct journal_file *file = log->files[i];
        r = journal_open(log->disk, file);
        if (!r) {
            r = journal_measure(file);
        }
        if (r == BROKER_E_NEWER) {
            *ret_newer = file->id;
        }
    }
    return r ? err_trace(r) : 0;
}

/* ---- scanning ---- */

static int note_frame(struct recovery *recovery, const struct found_frame *frame) {
    if (recovery->frame_count == recovery->frame_capacity) {
        size_t capacity = recovery->frame_capacity ? recovery->frame_capacity * 2 : 64;
        void *grown = realloc(recovery->frames, capacity * sizeof *recovery->frames);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        recovery->frames = grown;
        recovery->frame_capacity = capacity;
    }
    recovery->frames[recovery->frame_count++] = *frame;
    return 0;
}

int recovery_reserve(struct recovery *recovery, uint64_t bytes) {
    recovery->kept_bytes = 0;
    recovery->ahead.file = NULL;
    if (bytes <= recovery->memory_bytes) {
        return 0;
    }
    bytes = (bytes + SCAN_BYTES - 1) & ~(uint64_t)(SCAN_BYTES - 1);
    void *grown = aligned_alloc(DISK_ALIGN, bytes);
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    free(recovery->memory);
    recovery->memory = grown;
    recovery->memory_bytes = bytes;
    return 0;
}

/* Of a file that was cut short the last bytes may be less than a block. */
static uint64_t end_of(const struct journal_file *file) {
    return file->size + (file->cut ? FRAME_ALIGN : 0);
}

static uint64_t bytes_of(const struct found_frame *frame) {
    return MIN(frame_bytes_of_body(frame->header.body_bytes),
               end_of(frame->file) - frame->position);
}

bool recovery_has_room(const struct recovery *recovery, const struct found_frame *frame) {
    return recovery->waiting_count == 0 ||
           bytes_of(frame) <= recovery->memory_bytes - recovery->kept_bytes;
}

void recovery_keep(struct recovery *recovery, const struct found_frame *frame) {
    assert(frame->valid); /* so all of it is there */
    uint64_t end = (uint64_t)(recovery->buffer - recovery->memory) +
                   frame_bytes_of_body(frame->header.body_bytes);
    recovery->kept_bytes = MAX(recovery->kept_bytes, end);
}

/* What was read with an earlier frame may have all of it. */
static bool is_ahead(const struct recovery *recovery, const struct found_frame *frame,
                     uint64_t bytes) {
    uint64_t from = recovery->ahead.position;
    return recovery->ahead.file == frame->file && frame->position >= from &&
           frame->position + bytes <= from + recovery->ahead.bytes;
}

/* Small frames are read many at a time. */
static int read_ahead(struct recovery *recovery, const struct found_frame *frame, uint64_t bytes) {
    uint64_t room = recovery->memory_bytes - recovery->kept_bytes;
    uint64_t there = end_of(frame->file) - frame->position;
    uint64_t want = MAX(bytes, MIN(MIN(room, there), (uint64_t)SCAN_BYTES));
    size_t got = 0;
    int r = disk_pread(frame->file->file, recovery->buffer, want, frame->position, &got);
    recovery->ahead.file = r ? NULL : frame->file;
    recovery->ahead.position = frame->position;
    recovery->ahead.bytes = got;
    recovery->ahead.data = recovery->buffer;
    return r;
}

int recovery_load(struct recovery *recovery, const struct found_frame *frame, uint64_t *ret_bytes) {
    uint64_t bytes = bytes_of(frame);
    size_t got = bytes;
    *ret_bytes = bytes;
    if (is_ahead(recovery, frame, bytes)) {
        recovery->buffer = recovery->ahead.data + (frame->position - recovery->ahead.position);
        return 0;
    }
    recovery->ahead.file = NULL; /* it is overwritten */
    int r = recovery->waiting_count > 0 ? 0 : recovery_reserve(recovery, bytes);
    assert(r || bytes <= recovery->memory_bytes - recovery->kept_bytes);
    if (r) {
        return r;
    }
    recovery->buffer = recovery->memory + recovery->kept_bytes;
    if (recovery->read_ahead && read_ahead(recovery, frame, bytes) == 0) {
        *ret_bytes = MIN(bytes, recovery->ahead.bytes);
        return 0;
    }
    r = disk_pread(frame->file->file, recovery->buffer, bytes, frame->position, &got);
    *ret_bytes = got;
    return r;
}

/* A header was found: is the rest of the frame whole? @there: what has been read of it */
static int look_at(struct recovery *recovery, struct found_frame *frame, struct span there) {
    uint64_t need = FRAME_HEADER_BYTES + (uint64_t)frame->header.body_bytes;
    if (there.size < need) {
        uint64_t got = 0;
        int r = recovery_load(recovery, frame, &got);
        if (r) {
            return err_trace(r);
        }
        there = span_of(recovery->buffer, got);
    }
    frame->valid =
        there.size >= need &&
        frame_body_valid(&frame->header, (const uint8_t *)there.data + FRAME_HEADER_BYTES);
    return 0;
}

static int scan_file(struct recovery *recovery, struct journal_file *file) {
    uint8_t *chunk = aligned_alloc(DISK_ALIGN, SCAN_BYTES);
    if (!chunk) {
        return err_origin(-ENOMEM);
    }
    uint64_t position = 0, chunk_at = 0;
    size_t chunk_bytes = 0, chunk_got = 0; /* the latter without what a whole block lacks */
    int r = 0;
    while (!r && position + FRAME_ALIGN <= end_of(file)) {
        if (position < chunk_at || position + FRAME_ALIGN > chunk_at + chunk_bytes) {
            chunk_at = position;
            r = disk_pread(file->file, chunk, MIN((uint64_t)SCAN_BYTES, end_of(file) - position),
                           position, &chunk_bytes);
            chunk_got = chunk_bytes;
            while (chunk_bytes % FRAME_ALIGN) {
                chunk[chunk_bytes++] = 0;
            }
            if (r || chunk_bytes < FRAME_ALIGN) {
                break;
            }
        }
        struct found_frame frame = {.file = file, .position = position};
        const struct uuid *journal = recovery->any_journal ? NULL : &recovery->log->journal_uuid;
        if (!frame_header_read(chunk + (position - chunk_at), journal, &frame.header)) {
            if (frame_header_newer(chunk + (position - chunk_at), journal)) {
                recovery_report(recovery, TOPIC_LOG_FAILED,
                                "a frame of journal file %08" PRIu32
                                " was written by a newer eventbox; this one starts nothing on it",
                                file->id);
                r = BROKER_E_NEWER;
                break;
            }
            position += FRAME_ALIGN;
            continue;
        }
        file->last_sequence = MAX(file->last_sequence, frame.header.sequence);
        file->cut |= !file->marked && frame.header.version >= FRAME_VERSION_MARKED;
        if (frame.header.sequence <= recovery->base_sequence) {
            position += FRAME_ALIGN;
            continue;
        }
        uint64_t passed = position - chunk_at;
        r = look_at(recovery, &frame,
                    span_of(chunk + passed, chunk_got - MIN((uint64_t)chunk_got, passed)));
        if (!r) {
            r = note_frame(recovery, &frame);
        }
        position += frame.valid ? frame_bytes_of_body(frame.header.body_bytes) : FRAME_ALIGN;
    }
    free(chunk);
    return r ? err_trace(r) : 0;
}

/* By sequence; of two with the same one the whole one first. */
static int compare_frames(const void *a, const void *b) {
    const struct found_frame *left = a, *right = b;
    if (left->header.sequence != right->header.sequence) {
        return left->header.sequence < right->header.sequence ? -1 : 1;
    }
    return (int)right->valid - (int)left->valid;
}

int recovery_scan(struct recovery *recovery) {
    struct topic_log *log = recovery->log;
    for (unsigned i = 0; i < log->file_count; i++) {
        log->files[i]->last_sequence = 0;
        int r = scan_file(recovery, log->files[i]);
        if (r) {
            return r;
        }
    }
    if (recovery->frame_count > 0) {
        qsort(recovery->frames, recovery->frame_count, sizeof *recovery->frames, compare_frames);
    }
    /* That of a torn one counts as well: what it knew was so before it was written. */
    for (size_t i = 0; i < recovery->frame_count; i++) {
        recovery->synced_through =
            MAX(recovery->synced_through, recovery->frames[i].header.synced_through);
    }
    return 0;
}
