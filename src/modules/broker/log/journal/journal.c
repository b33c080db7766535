/* Bytes of the journal; the format and its rules stand in journal.h. */
#include "journal.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/error.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FRAME_MAGIC = 0x464a4245, /* "EBJF" */
    END_MAGIC = 0x454a4245,   /* "EBJE" */
    END_VERSION = 1,
    END_CRC_AT = 16,
    FRAME_CRC_AT = FRAME_CHECKED_BYTES,
    COVER_AT = 56,
    COVER_CRC_AT = 60,
    PREPARE_BYTES = 256 << 10, /* zeros written at once */
};

void frame_header_write(uint8_t *out, const struct frame_header *header) {
    memset(out, 0, FRAME_HEADER_BYTES);
    put_le32(out, FRAME_MAGIC);
    put_le16(out + 4, FRAME_VERSION);
    memcpy(out + 8, header->journal.bytes, sizeof header->journal.bytes);
    put_le64(out + 24, header->sequence);
    put_le64(out + 32, header->synced_through);
    put_le32(out + 40, header->entry_count);
    put_le32(out + 44, header->body_bytes);
    put_le32(out + 48, header->body_crc);
    put_le32(out + FRAME_CRC_AT, crc32c(0, out, FRAME_CRC_AT));
    uint64_t behind = header->sequence - header->covered_through;
    put_le32(out + COVER_AT, behind <= UINT32_MAX ? (uint32_t)behind : 0);
    put_le32(out + COVER_CRC_AT, crc32c(0, out, COVER_CRC_AT));
}

/* A hint: where it is not whole, the frame is good all the same. */
static uint64_t covered_through(const uint8_t *in, uint64_t sequence) {
    uint32_t behind = get_le32(in + COVER_AT);
    bool known = behind > 0 && behind <= sequence &&
                 get_le32(in + COVER_CRC_AT) == crc32c(0, in, COVER_CRC_AT);
    return known ? sequence - behind : 0;
}

bool frame_header_newer(const uint8_t *in, const struct uuid *journal) {
    return get_le32(in) == FRAME_MAGIC && get_le16(in + 4) > FRAME_VERSION &&
           get_le32(in + FRAME_CRC_AT) == crc32c(0, in, FRAME_CRC_AT) &&
           (!journal || memcmp(in + 8, journal->bytes, sizeof journal->bytes) == 0);
}

bool frame_header_read(const uint8_t *in, const struct uuid *journal,
                       struct frame_header *ret_header) {
    unsigned version = get_le16(in + 4);
    if (get_le32(in) != FRAME_MAGIC || version < FRAME_VERSION_OLDEST || version > FRAME_VERSION) {
        return false;
    }
#ifndef MUTANT_CRC
    if (get_le32(in + FRAME_CRC_AT) != crc32c(0, in, FRAME_CRC_AT)) {
        return false;
    }
#endif
    if (journal && memcmp(in + 8, journal->bytes, sizeof journal->bytes) != 0) {
        return false;
    }
    struct frame_header header = {
        .version = version,
        .sequence = get_le64(in + 24),
        .synced_through = get_le64(in + 32),
        .covered_through = covered_through(in, get_le64(in + 24)),
        .entry_count = get_le32(in + 40),
        .body_bytes = get_le32(in + 44),
        .body_crc = get_le32(in + 48),
    };
    memcpy(header.journal.bytes, in + 8, sizeof header.journal.bytes);
    if ((uint64_t)header.entry_count * FRAME_ENTRY_BYTES > header.body_bytes) {
        return false;
    }
    *ret_header = header;
    return true;
}

bool frame_body_valid(const struct frame_header *header, const uint8_t *body) {
#ifndef MUTANT_CRC
    if (crc32c(0, body, header->body_bytes) != header->body_crc) {
        return false;
    }
#endif
    for (uint32_t i = 0; i < header->entry_count; i++) {
        struct frame_entry entry;
        frame_entry_read(body + (size_t)i * FRAME_ENTRY_BYTES, &entry);
        if (entry.body_offset > header->body_bytes ||
            entry.bytes > header->body_bytes - entry.body_offset) {
            return false;
        }
    }
    return true;
}

void frame_entry_write(uint8_t *out, const struct frame_entry *entry) {
    put_le32(out, entry->topic);
    put_le32(out + 4, (uint32_t)entry->partition);
    put_le64(out + 8, (uint64_t)entry->segment_base);
    put_le64(out + 16, entry->position);
    put_le64(out + 24, (uint64_t)entry->base_offset);
    put_le32(out + 32, entry->body_offset);
    put_le32(out + 36, entry->bytes);
}

void frame_entry_read(const uint8_t *in, struct frame_entry *ret_entry) {
    *ret_entry = (struct frame_entry){
        .topic = get_le32(in),
        .partition = (int32_t)get_le32(in + 4),
        .segment_base = (int64_t)get_le64(in + 8),
        .position = get_le64(in + 16),
        .base_offset = (int64_t)get_le64(in + 24),
        .body_offset = get_le32(in + 32),
        .bytes = get_le32(in + 36),
    };
}

void journal_name(uint32_t id, char out[JOURNAL_NAME_SIZE]) {
    snprintf(out, JOURNAL_NAME_SIZE, "journal/%08u", id);
}

int journal_open(struct disk *disk, struct journal_file *file) {
    char name[JOURNAL_NAME_SIZE];
    journal_name(file->id, name);
    unsigned flags = DISK_READ | DISK_WRITE | DISK_DIRECT;
#ifndef MUTANT_JOURNAL_SYNC
    flags |= DISK_DSYNC;
#endif
    file->buffered = false;
    int r = disk_open(disk, name, flags, &file->file);
    if (r == DISK_E_UNSUPPORTED) {
        file->buffered = true;
        r = disk_open(disk, name, DISK_READ | DISK_WRITE, &file->file);
    }
    return r ? err_trace(r) : 0;
}

static void end_mark_write(uint8_t out[FRAME_ALIGN], uint64_t size) {
    memset(out, 0, FRAME_ALIGN);
    put_le32(out, END_MAGIC);
    put_le16(out + 4, END_VERSION);
    put_le64(out + 8, size);
    put_le32(out + END_CRC_AT, crc32c(0, out, END_CRC_AT));
}

int journal_measure(struct journal_file *file) {
    uint64_t bytes = 0;
    size_t got = 0;
    int r = disk_size(file->file, &bytes);
    if (r) {
        return err_trace(r);
    }
    file->size = bytes & ~(uint64_t)(FRAME_ALIGN - 1);
    file->cut = file->size != bytes || bytes == 0; /* a name never stands for a half-made file */
    file->marked = false;
    if (file->cut || bytes < FRAME_ALIGN) {
        return 0;
    }
    uint8_t *block = aligned_alloc(DISK_ALIGN, FRAME_ALIGN);
    if (!block) {
        return err_origin(-ENOMEM);
    }
    r = disk_pread(file->file, block, FRAME_ALIGN, bytes - FRAME_ALIGN, &got);
    if (!r && got == FRAME_ALIGN && get_le32(block) == END_MAGIC &&
        get_le32(block + END_CRC_AT) == crc32c(0, block, END_CRC_AT) &&
        get_le64(block + 8) == bytes - FRAME_ALIGN) {
        file->marked = true;
        file->size = bytes - FRAME_ALIGN;
        r = get_le16(block + 4) > END_VERSION ? BROKER_E_NEWER : 0;
    }
    free(block);
    return r ? err_trace(r) : 0;
}

/*
 * Writes @size zeros and the end mark to a new file under a name that recovery ignores, and syncs
 * them. Past the page cache, piece by piece: a sync of many dirty pages at once would hold up the
 * frames that are written meanwhile, and the pages would only be in the way of the frames to come.
 */
static int write_zeros(struct disk *disk, const char *name, uint64_t size) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    unsigned flags = DISK_WRITE | DISK_CREATE | DISK_TRUNCATE;
    int r = disk_open(disk, name, flags | DISK_DIRECT, &file);
    if (r == DISK_E_UNSUPPORTED) {
        r = disk_open(disk, name, flags, &file);
    }
    if (r) {
        return err_trace(r);
    }
    size_t chunk = size < PREPARE_BYTES ? (size_t)size : PREPARE_BYTES;
    uint8_t *zeros = aligned_alloc(FRAME_ALIGN, chunk);
    if (!zeros) {
        return err_origin(-ENOMEM);
    }
    memset(zeros, 0, chunk);
    for (uint64_t at = 0; at < size && !r; at += chunk) {
        r = disk_pwrite(file, zeros, size - at < chunk ? (size_t)(size - at) : chunk, at);
    }
    if (!r) {
        end_mark_write(zeros, size);
        r = disk_pwrite(file, zeros, FRAME_ALIGN, size);
    }
    free(zeros);
    if (!r) {
        r = disk_sync(file);
        /* A sync that fails for want of space has lost pages: no back pressure undoes that. */
        r = r == DISK_E_FULL ? -ENOSPC : r;
    }
    return r ? err_trace(r) : 0;
}

int journal_prepare(struct disk *disk, struct journal_file *file) {
    char name[JOURNAL_NAME_SIZE];
    journal_name(file->id, name);
    file->marked = true;
    int r = write_zeros(disk, "journal/new", file->size);
    if (r == DISK_E_FULL) {
        (void)disk_unlink(disk, "journal/new"); /* give back what it took */
        return err_trace(r);
    }
    if (r || (r = disk_rename(disk, "journal/new", name)) != 0 ||
        (r = disk_sync_dir(disk, "journal")) != 0) {
        return err_trace(r);
    }
    return journal_open(disk, file);
}

int journal_write(struct journal_file *file, const struct iovec *parts, int count,
                  uint64_t position) {
    int r = disk_pwritev(file->file, parts, count, position);
    if (r) {
        return err_trace(r);
    }
#ifndef MUTANT_JOURNAL_SYNC
    if (file->buffered) {
        r = disk_sync(file->file);
        if (r) {
            return err_trace(r == DISK_E_FULL ? -ENOSPC : r);
        }
    }
#endif
    return 0;
}

void journal_close(struct journal_file *file) {
    disk_close(file->file);
    file->file = NULL;
}
