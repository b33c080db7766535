/*
 * A checkpoint: all that a start needs to know, exactly as of one frame, so that only the frames
 * behind it are replayed. When it is written, every batch up to that frame is in a synced segment.
 *
 * There are two files, checkpoint.0 and checkpoint.1, written in turns. Each holds a full
 * checkpoint and, behind it, increments: what has changed since the record before it *in this
 * file*. A file stands for the frame of its last increment that belongs to it.
 *
 *     checkpoint.0   full at 100 | increment to 140 | increment to 180
 *     checkpoint.1       full at 120 | increment to 160              <- the next one goes here
 *
 * Each file is complete without the other; what changed is written twice therefore, once to each.
 * That is what keeps the old proof: with N the frame of one file and O < N that of the other,
 *
 *   1. the next checkpoint is written to the file of O, and only there. Whatever a cut, a tear or a
 *      full disk does to that file, all of it at worst, the file of N is whole, and nothing that N
 *      needs is touched: journal frames behind O were kept, and those behind N are among them. An
 *      append even leaves the file as it was, at O, unless the sector is lost that both share;
 *   2. when its sync has returned, and no sooner, N is the older of two valid frames. Only now
 *      journal files that hold nothing behind N are free, and segments and folders that no frame
 *      behind N writes into may be replaced or unlinked;
 *   3. rot of one file, of its full record or any increment, leaves either an earlier frame of that
 *      file or nothing. The other file is whole, its frame is at or behind the one that recycling
 *      went by (2), so every frame that it needs is there. The start takes the file that stands for
 *      the later frame, and lets the other's frame, if there is any, decide about recycling until a
 *      checkpoint of its own is durable. An earlier frame makes that decide later, never sooner.
 *
 * Switching to a full one is the case of 1 in which the file is overwritten in place; increments of
 * the old full one may then lie behind the new one. Therefore
 *
 *   - an increment names its predecessor: the frame, and the CRC in the predecessor's header, which
 *     covers the CRC of its body. So it belongs to exactly one chain, of exactly that content;
 *   - behind each record that is written follow 64 zero bytes, in the same write;
 *   - a start never continues a file that it has found. A run appends to full ones of its own
 *     alone, so that increments build on what its memory knows to be there, not on what was read.
 *     What is read is written again as it was read before anything else happens
 *     (checkpoint_confirm()), and what lies behind it is gone with that.
 *
 * A full one is written when the increments of its file come to more than half of it (and 1 KiB),
 * at a clean stop, as the first of a run in each file, and on a full disk, since it needs no more
 * room than the file has.
 *
 * Layout, little-endian. A record:
 *
 *   header, 64 bytes      0 u32 magic "EBCP", of an increment "EBCI"   4 u16 version   6 u16 zero
 *                         8 16 journal uuid    24 u64 sequence    32 u64 body bytes
 *                        40 u32 CRC of the body    44 u32 CRC of bytes 0..43, then zeros
 *   of an increment, part of its body: u64 sequence of the record before it, u32 bytes 44..47 of it
 *   body
 *     journal     u32 current file, u64 position, u32 count, then u32 id, u64 size, u64 last
 *                 sequence
 *     numbers     u32 next topic number, i64 end of producer ids
 *     removals    u32 count, then u32 number, i32 partition, i64 base offset, u64 sequence; of a
 *                 deleted topic the partition is -1 and its count stands for the offset
 *     swaps       u32 count, then as in swap.h: records whose files are not all in place
 *     gone        u32 count, then u32 numbers of topics that an earlier record may have
 *     topics      u32 count, then as in registry_records.c; in place of what was known of them
 *     partitions  until the end, in place of what was known of them: u32 topic, i32 index,
 *                 i64 log start, i64 log end, i32 epoch,
 *                 u32 segments (i64 base, u64 bytes, i64 largest timestamp, i64 first timestamp,
 *                 i64 created, i64 last append)
 *                 u32 epochs (i32, i64 start)   u32 damaged ranges (i64 from, i64 to)
 *                 u8 compacted before: 1, and then i64 clean up to, i64 first tombstone due
 *                 u32 producers (i64 id, i64 last used, u8 batches (i16 epoch, i32 first sequence,
 *                 i32 last sequence, i64 base offset, i32 last offset delta))
 *
 *   A full one has every topic, and every partition with anything to tell; an increment those that
 *   have changed. Journal, numbers, removals and swaps are always whole: the last record's count.
 *
 *   Up to version 3 there were no increments, and a body was journal, numbers, topics, removals,
 *   swaps, partitions. Version 2 knew nothing of compaction, version 1 had removals of topics alone
 *   (u32 number, i32 partitions, u64 sequence), and of a segment the first three fields.
 */
#include "checkpoint.h"
#include "log_private.h"

#include <assert.h>
#include <errno.h>
#include <eventbox/base/crc32c.h>
#include <stdlib.h>

enum {
    FULL_MAGIC = 0x50434245,      /* "EBCP" */
    INCREMENT_MAGIC = 0x49434245, /* "EBCI" */
    CRC_AT = 44,
    LINK_BYTES = 12,
    ROUND_BYTES = 64 << 10, /* files grow by this, so that most writes only overwrite */
    PARTS_MAX = 6,
};

static const char *slot_name(unsigned slot) {
    return slot == 0 ? "checkpoint.0" : "checkpoint.1";
}

/* ---- writing ---- */

struct parts {
    struct iovec at[PARTS_MAX];
    int count;
    uint64_t bytes;
};

static void add_part(struct parts *parts, const void *data, size_t size) {
    if (size > 0) {
        parts->at[parts->count++] = (struct iovec){(void *)(uintptr_t)data, size};
        parts->bytes += size;
    }
}

static void make_header(uint8_t header[CHECKPOINT_HEADER_BYTES], uint32_t magic,
                        const struct uuid *journal, uint64_t sequence, const struct parts *parts) {
    uint32_t crc = 0;
    for (int i = 1; i < parts->count; i++) {
        crc = crc32c(crc, parts->at[i].iov_base, parts->at[i].iov_len);
    }
    put_le32(header, magic);
    put_le16(header + 4, CHECKPOINT_VERSION);
    memcpy(header + 8, journal->bytes, sizeof journal->bytes);
    put_le64(header + 24, sequence);
    put_le64(header + 32, parts->bytes - CHECKPOINT_HEADER_BYTES);
    put_le32(header + 40, crc);
    put_le32(header + CRC_AT, crc32c(0, header, CRC_AT));
}

/* Writes and syncs; behind the parts follow zeros, to the end of a round where the file grows. */
static int write_parts(struct disk *disk, unsigned slot, struct parts *parts, uint64_t at) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, slot_name(slot), at > 0 ? DISK_WRITE : DISK_WRITE | DISK_CREATE, &file);
    r = r == DISK_E_NOT_FOUND ? err_origin(-ENOENT) : r;
    uint64_t size = 0, end = at + parts->bytes + CHECKPOINT_HEADER_BYTES;
    if (r || (r = disk_size(file, &size)) != 0) {
        return err_trace(r);
    }
    uint64_t rounded = (end + ROUND_BYTES - 1) / ROUND_BYTES * ROUND_BYTES;
    size_t pad = CHECKPOINT_HEADER_BYTES + (end > size ? rounded - end : 0);
    void *zeros = calloc(1, pad);
    if (!zeros) {
        return err_origin(-ENOMEM);
    }
    add_part(parts, zeros, pad);
    r = disk_pwritev(file, parts->at, parts->count, at);
    free(zeros);
    if (!r) {
        r = disk_sync(file);
        r = r == DISK_E_FULL ? -ENOSPC : r;
    }
    /* Also where the file was there: what made it may have failed before it came to this. */
    if (!r && at == 0) {
        r = disk_sync_dir(disk, ".");
        r = r == DISK_E_FULL ? -ENOSPC : r;
    }
    return r ? err_trace(r) : 0;
}

static int write_record(struct disk *disk, unsigned slot, const struct uuid *journal,
                        uint64_t sequence, const struct checkpoint_body *body,
                        struct checkpoint_chain *chain) {
    uint8_t header[CHECKPOINT_HEADER_BYTES] = {0}, link[LINK_BYTES];
    struct parts parts = {.count = 0};
    bool full = chain->end == 0;
    add_part(&parts, header, sizeof header);
    if (!full) {
        put_le64(link, chain->sequence);
        put_le32(link + 8, chain->link);
        add_part(&parts, link, sizeof link);
    }
    add_part(&parts, body->head.data, body->head.size);
    add_part(&parts, body->topics.data, body->topics.size);
    add_part(&parts, body->partitions.data, body->partitions.size);
    make_header(header, full ? FULL_MAGIC : INCREMENT_MAGIC, journal, sequence, &parts);
    uint64_t bytes = parts.bytes;
    int r = write_parts(disk, slot, &parts, chain->end);
    if (r) {
        return r;
    }
    chain->sequence = sequence;
    chain->end += bytes;
    chain->full_bytes = full ? bytes : chain->full_bytes;
    chain->link = get_le32(header + CRC_AT);
    return 0;
}

int checkpoint_write(struct disk *disk, unsigned slot, const struct uuid *journal,
                     uint64_t sequence, const struct checkpoint_body *body,
                     struct checkpoint_chain *ret_chain) {
    struct checkpoint_chain chain = {.end = 0};
    int r = write_record(disk, slot, journal, sequence, body, &chain);
    if (r == 0) {
        *ret_chain = chain;
    }
    return r;
}

int checkpoint_append(struct disk *disk, unsigned slot, const struct uuid *journal,
                      uint64_t sequence, const struct checkpoint_body *body,
                      struct checkpoint_chain *chain) {
    return write_record(disk, slot, journal, sequence, body, chain);
}

/* ---- reading ---- */

/* Appends the record at the end of @image, header and body, when it is whole; else nothing. */
static int read_record(struct disk_file *file, uint64_t size, uint32_t magic, unsigned *ret_version,
                       struct text *image) {
    size_t at = image->size, got = 0;
    uint8_t header[CHECKPOINT_HEADER_BYTES];
    int r = disk_pread(file, header, sizeof header, at, &got);
    if (r) {
        return err_trace(r);
    }
    if (got < sizeof header || get_le32(header) != magic || get_le16(header + 4) < 1 ||
        get_le32(header + CRC_AT) != crc32c(0, header, CRC_AT)) {
        return BROKER_E_CORRUPT;
    }
    *ret_version = get_le16(header + 4);
    if (*ret_version > CHECKPOINT_VERSION) {
        return BROKER_E_NEWER;
    }
    uint64_t bytes = get_le64(header + 32);
    if (bytes > size - at - sizeof header) {
        return BROKER_E_CORRUPT;
    }
    char *room = text_reserve(image, sizeof header + bytes);
    if (!room) {
        return err_origin(-ENOMEM);
    }
    memcpy(room, header, sizeof header);
    r = disk_pread(file, room + sizeof header, bytes, at + sizeof header, &got);
    if (r) {
        return err_trace(r);
    }
    if (got < bytes || crc32c(0, room + sizeof header, got) != get_le32(header + 40)) {
        return BROKER_E_CORRUPT;
    }
    image->size += sizeof header + bytes;
    return 0;
}

/* Whether the increment at @next is one of the record at @before. */
static bool belongs(const char *before, const char *next) {
#ifdef MUTANT_INCREMENT_LINK
    return get_le64(next + 32) >= LINK_BYTES;
#endif
    const char *link = next + CHECKPOINT_HEADER_BYTES;
    return get_le64(next + 32) >= LINK_BYTES && get_le16(next + 4) == get_le16(before + 4) &&
           memcmp(next + 8, before + 8, sizeof(struct uuid)) == 0 &&
           get_le64(next + 24) > get_le64(before + 24) && get_le64(link) == get_le64(before + 24) &&
           get_le32(link + 8) == get_le32(before + CRC_AT);
}

/* Takes the increments of the full one that @image begins with. */
static int read_increments(struct disk_file *file, uint64_t size, struct checkpoint_header *header,
                           struct text *image) {
    size_t before = 0;
    int r = 0;
    while (r == 0) {
        unsigned version;
        size_t next = image->size;
        r = read_record(file, size, INCREMENT_MAGIC, &version, image);
        if (r == 0 && !belongs(image->data + before, image->data + next)) {
            image->size = next;
            break;
        }
        header->increments += r == 0;
        before = r == 0 ? next : before;
    }
    if (r < 0) {
        return r;
    }
    header->sequence = get_le64(image->data + before + 24);
    uint8_t behind[CHECKPOINT_HEADER_BYTES];
    size_t got = 0;
    r = disk_pread(file, behind, sizeof behind, image->size, &got);
    for (size_t i = 0; i < got; i++) {
        header->cut |= behind[i] != 0;
    }
    return r ? err_trace(r) : 0;
}

int checkpoint_read(struct disk *disk, unsigned slot, struct checkpoint_header *ret_header,
                    struct text *ret_image) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    uint64_t size = 0;
    *ret_header = (struct checkpoint_header){.version = 0};
    int r = disk_open(disk, slot_name(slot), DISK_READ, &file);
    if (r || (r = disk_size(file, &size)) != 0) {
        return r;
    }
    assert(ret_image->size == 0); /* places in it are places of the file */
    r = read_record(file, size, FULL_MAGIC, &ret_header->version, ret_image);
    if (r) {
        return r < 0 ? err_trace(r) : err_origin(r);
    }
    memcpy(ret_header->journal.bytes, ret_image->data + 8, sizeof ret_header->journal.bytes);
    ret_header->sequence = get_le64(ret_image->data + 24);
    ret_header->full_bytes = ret_image->size;
    if (ret_header->version >= CHECKPOINT_WITH_INCREMENTS) {
        r = read_increments(file, size, ret_header, ret_image);
    }
    ret_header->bytes = ret_image->size;
    return r ? err_trace(r) : 0;
}

bool checkpoint_record(struct span image, size_t *at, unsigned *ret_version,
                       struct span *ret_body) {
    if (*at >= image.size) {
        return false;
    }
    const uint8_t *record = (const uint8_t *)image.data + *at;
    size_t link = get_le32(record) == INCREMENT_MAGIC ? LINK_BYTES : 0;
    size_t bytes = get_le64(record + 32);
    *ret_version = get_le16(record + 4);
    *ret_body = span_of(record + CHECKPOINT_HEADER_BYTES + link, bytes - link);
    *at += CHECKPOINT_HEADER_BYTES + bytes;
    return true;
}

/* ---- at a start ---- */

int checkpoint_confirm(struct disk *disk, unsigned slot) {
    static const uint8_t zeros[CHECKPOINT_HEADER_BYTES];
    struct checkpoint_header header;
    struct text image;
    text_init(&image);
    int r = checkpoint_read(disk, slot, &header, &image);
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    uint64_t size = 0;
    if (r > 0) {
        text_deinit(&image);
        return 0; /* nothing there that anyone would build on */
    }
    if (!r && (r = disk_open(disk, slot_name(slot), DISK_WRITE, &file)) == 0) {
        r = disk_size(file, &size);
    }
    if (!r) {
        /* Not beyond the file: on a full disk a start only overwrites. */
        struct parts parts = {.count = 0};
        add_part(&parts, image.data, image.size);
        add_part(&parts, zeros, MIN(sizeof zeros, size - image.size));
        r = disk_pwritev(file, parts.at, parts.count, 0);
    }
    if (!r) {
        r = disk_sync(file);
        r = r == DISK_E_FULL ? -ENOSPC : r;
    }
    text_deinit(&image);
    return r ? err_trace(r) : 0;
}
