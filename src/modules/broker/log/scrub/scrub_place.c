/*
 * The file `scrub`: where a round is. 64 bytes, little-endian:
 *
 *    0  u32 magic "EBSC"   u16 version   u16 flags (1: a round is under way)
 *    8  uuid of the journal
 *   24  u32 topic number   i32 partition   i64 base offset: what comes next
 *   40  i64 ms: when the newest round began   i64 ms: when the newest whole one ended; 0: none
 *   56  zeros   60  u32 CRC of all that
 *
 * Written beside, synced, renamed: a crash leaves the old one or the new one, and it does not
 * matter much which. Nothing but the scrub reads it, and nothing is lost with it but time.
 */
#include "scrub.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/error.h>
#include <string.h>

enum {
    PLACE_MAGIC = 0x43534245, /* "EBSC" */
    PLACE_VERSION = 1,
    PLACE_BYTES = 64,
    PLACE_CRC = 60,
    FLAG_UNDER_WAY = 1,
};

static const char name[] = "scrub", name_new[] = "scrub.new";

int scrub_place_write(struct disk *disk, const struct uuid *journal,
                      const struct scrub_place *place) {
    uint8_t bytes[PLACE_BYTES] = {0};
    put_le32(bytes, PLACE_MAGIC);
    put_le16(bytes + 4, PLACE_VERSION);
    put_le16(bytes + 6, place->under_way ? FLAG_UNDER_WAY : 0);
    memcpy(bytes + 8, journal->bytes, sizeof journal->bytes);
    put_le32(bytes + 24, place->topic);
    put_le32(bytes + 28, (uint32_t)place->partition);
    put_le64(bytes + 32, (uint64_t)place->base_offset);
    put_le64(bytes + 40, (uint64_t)place->began_ms);
    put_le64(bytes + 48, (uint64_t)place->ended_ms);
    put_le32(bytes + PLACE_CRC, crc32c(0, bytes, PLACE_CRC));
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, name_new, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    r = r ? r : disk_pwrite(file, bytes, sizeof bytes, 0);
    r = r ? r : disk_sync(file);
    r = r ? r : disk_rename(disk, name_new, name);
    return r ? r : disk_sync_dir(disk, ".");
}

static bool is_valid(const uint8_t *bytes, const struct uuid *journal) {
    return get_le32(bytes) == PLACE_MAGIC && get_le16(bytes + 4) == PLACE_VERSION &&
           memcmp(bytes + 8, journal->bytes, sizeof journal->bytes) == 0 &&
           get_le32(bytes + PLACE_CRC) == crc32c(0, bytes, PLACE_CRC);
}

void scrub_place_read(struct disk *disk, const struct uuid *journal,
                      struct scrub_place *ret_place) {
    uint8_t bytes[PLACE_BYTES];
    size_t got = 0;
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    *ret_place = (struct scrub_place){0};
    if (disk_open(disk, name, DISK_READ, &file) || disk_pread(file, bytes, sizeof bytes, 0, &got) ||
        got < sizeof bytes || !is_valid(bytes, journal)) {
        return;
    }
    *ret_place = (struct scrub_place){
        .topic = get_le32(bytes + 24),
        .partition = (int32_t)get_le32(bytes + 28),
        .base_offset = (int64_t)get_le64(bytes + 32),
        .under_way = get_le16(bytes + 6) & FLAG_UNDER_WAY,
        .began_ms = (int64_t)get_le64(bytes + 40),
        .ended_ms = (int64_t)get_le64(bytes + 48),
    };
}
