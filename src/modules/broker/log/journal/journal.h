/*
 * The journal: frames in preallocated, recycled files.
 *
 * One frame is one group of appends, written by one write on a 4 KiB boundary and durable as a
 * whole or not at all. Little-endian:
 *
 *   frame header, 64 bytes                        entry, 40 bytes
 *    0 u32 magic "EBJF"                            0 u32 topic number
 *    4 u16 version                                 4 i32 partition
 *    6 u16 zero                                    8 i64 segment base offset
 *    8 16  journal uuid                           16 u64 position in the segment
 *   24 u64 sequence                               24 i64 base offset
 *   32 u64 synced through                         32 u32 body offset of the batch
 *   40 u32 entry count                            36 u32 bytes of the batch
 *   44 u32 body bytes
 *   48 u32 CRC-32C of the body
 *   52 u32 CRC-32C of bytes 0..51
 *   56 u32 frames behind the newest checkpoint, this one among them
 *   60 u32 CRC-32C of bytes 0..59
 *
 * The last two came without a new version: frames of older releases have zeros there, and older
 * releases look at neither. Zeros say that it is not known which frames a checkpoint had covered;
 * so they do where the distance takes more than 32 bits.
 *
 * The body is the entries and the batches after them, with zeros before those that are written from
 * where they lie in memory (frame_build.h); zeros fill the last 4 KiB. Files have no
 * header of their own: sequences, not names, give the order of frames across files. A recycled file
 * still holds old frames behind the new ones; their sequences are at or below the checkpoint's.
 *
 * The last 4 KiB of a file are its end mark, written with the zeros and never again:
 *
 *    0 u32 magic "EBJE"    4 u16 version    6 u16 zero    8 u64 bytes before the mark
 *   16 u32 CRC-32C of bytes 0..15
 *
 * A file that holds frames of version 2 or later and lacks its mark was cut short: what stood
 * behind is not a torn tail, which ends inside of a file. Files with frames of version 1 have none.
 *
 * What every version keeps, so that an older binary refuses a newer one's bytes instead of taking
 * them for none: the sizes of header and entry; magic, version, uuid and the CRC of bytes 0..51 in
 * the frame header; all of the end mark but its version.
 *
 * A file gets its name only when all of it is zeros on disk: it is prepared as journal/new and
 * renamed. So a name never stands for a half-made file.
 */
#pragma once

#include <eventbox/base/uuid.h>
#include <eventbox/loop/disk.h>

enum {
    FRAME_ALIGN = DISK_ALIGN,
    FRAME_HEADER_BYTES = 64,
    FRAME_ENTRY_BYTES = 40,
    FRAME_CHECKED_BYTES = 52, /* of the header, by the CRC behind them */
    FRAME_VERSION_OLDEST = 1, /* that is still read: in files without an end mark */
    FRAME_VERSION_MARKED = 2, /* since then files have one */
    FRAME_VERSION = 2,
    JOURNAL_NAME_SIZE = 32,
};

struct frame_header {
    unsigned version; /* out: as found; written is always FRAME_VERSION */
    struct uuid journal;
    uint64_t sequence;
    uint64_t synced_through;
    /* When this frame was written, a checkpoint covered all frames up to here, and no file with a
     * later one had been recycled. 0: not known. */
    uint64_t covered_through;
    uint32_t entry_count;
    uint32_t body_bytes;
    uint32_t body_crc;
};

struct frame_entry {
    uint32_t topic;
    int32_t partition;
    int64_t segment_base;
    uint64_t position;
    int64_t base_offset;
    uint32_t body_offset;
    uint32_t bytes;
};

/** frame_bytes(), frame_bytes_of_body() - what a frame occupies in the file */
static inline uint64_t frame_bytes_of_body(uint64_t body_bytes) {
    return (FRAME_HEADER_BYTES + body_bytes + FRAME_ALIGN - 1) & ~(uint64_t)(FRAME_ALIGN - 1);
}
static inline uint64_t frame_bytes(uint64_t entry_count, uint64_t batch_bytes) {
    return frame_bytes_of_body(entry_count * FRAME_ENTRY_BYTES + batch_bytes);
}

void frame_header_write(uint8_t *out, const struct frame_header *header);
/** frame_header_newer() - a whole header of a version that is not ours yet, which no one may pass
 * over */
bool frame_header_newer(const uint8_t *in, const struct uuid *journal);
/** frame_header_read() - false unless magic, version, header CRC and @journal match (NULL: any
 * journal) */
bool frame_header_read(const uint8_t *in, const struct uuid *journal,
                       struct frame_header *ret_header);
/** frame_body_valid() - whether @body matches its CRC and its entries stay inside */
bool frame_body_valid(const struct frame_header *header, const uint8_t *body);
void frame_entry_write(uint8_t *out, const struct frame_entry *entry);
void frame_entry_read(const uint8_t *in, struct frame_entry *ret_entry);

enum journal_state {
    JOURNAL_SPARE,   /* free: zeros, or frames that two checkpoints cover */
    JOURNAL_CURRENT, /* the log writer has it, now or next */
    JOURNAL_FULL,    /* needed by a restart until the older checkpoint covers last_sequence */
};

/* One file. The loop owns all but @file, which is the log writer's while CURRENT. */
struct journal_file {
    uint32_t id;
    enum journal_state state;
    uint64_t size;          /* for frames: without the end mark */
    bool marked;            /* the end mark is there */
    bool cut;               /* recovery's: it should be there and is not */
    uint64_t used;          /* CURRENT: end of the last durable frame. Else of no meaning: a start
                               sets it for one file, and a recycled one has that of its last round */
    uint64_t last_sequence; /* of the last durable frame in it; 0: none */
    struct disk_file *file;
    bool doomed; /* an unlink of it failed: perhaps it has no name any more. Never used again */
    uint8_t unlink_failures;
    int64_t unlink_due_ns; /* not before */
    bool buffered;         /* O_DIRECT was refused: fdatasync after each write */
};

void journal_name(uint32_t id, char out[JOURNAL_NAME_SIZE]);
/** journal_open() - for the log writer: past the page cache where the file system can */
int journal_open(struct disk *disk, struct journal_file *file);
/** journal_measure() - size and end mark of an open file. Return: 0; BROKER_E_NEWER: the mark is a
 * later version's; negative. */
int journal_measure(struct journal_file *file);
/** journal_prepare() - make file @file->id of @file->size zeros and the end mark, durable, and open
 * it. Thread: segment writer, recovery */
int journal_prepare(struct disk *disk, struct journal_file *file);
/**
 * journal_write() - write one frame at @position and make it durable
 * @parts: each aligned to FRAME_ALIGN in address and length; borrowed until return
 * Return: 0; DISK_E_FULL: the same again at the same place, later; else the journal has failed.
 */
int journal_write(struct journal_file *file, const struct iovec *parts, int count,
                  uint64_t position);
void journal_close(struct journal_file *file);
