/*
 * journal/clean, the marker of a clean stop: the last checkpoint stands for everything, and no
 * frame is behind it. 64 bytes, little-endian: magic "EBCL", u16 version (0 in the first ones),
 * journal uuid at 8, the sequence of the last checkpoint at 24, CRC of all that at 32. The start
 * takes it back before anything else is written.
 */
#include "log_private.h"

#include <errno.h>
#include <eventbox/base/crc32c.h>

enum {
    CLEAN_MAGIC = 0x4c434245, /* "EBCL" */
    CLEAN_VERSION = 1,
    CLEAN_BYTES = 64,
};

int clean_marker_write(struct disk *disk, const struct uuid *journal, uint64_t sequence) {
    uint8_t bytes[CLEAN_BYTES] = {0};
    if (sequence > 0) {
        put_le32(bytes, CLEAN_MAGIC);
        put_le16(bytes + 4, CLEAN_VERSION);
        memcpy(bytes + 8, journal->bytes, sizeof journal->bytes);
        put_le64(bytes + 24, sequence);
        put_le32(bytes + 32, crc32c(0, bytes, 32));
    }
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, "journal/clean", DISK_WRITE | DISK_CREATE, &file);
    if (!r) {
        r = disk_pwrite(file, bytes, sizeof bytes, 0);
    }
    if (r == DISK_E_FULL && sequence == 0) { /* one that a stop could not fill: gone is as good */
        r = disk_unlink(disk, "journal/clean");
        r = r == 0 || r == DISK_E_NOT_FOUND ? disk_sync_dir(disk, "journal") : r;
    } else if (!r) {
        r = disk_sync(file);
        r = r == DISK_E_FULL ? -ENOSPC : r;
    }
    return r ? err_trace(r) : 0;
}

int clean_marker_read(struct disk *disk, const struct uuid *journal, uint64_t *ret_sequence,
                      bool *ret_exists) {
    *ret_sequence = 0;
    *ret_exists = false;
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, "journal/clean", DISK_READ, &file);
    if (r == DISK_E_NOT_FOUND) {
        return 0;
    }
    *ret_exists = true;
    uint8_t bytes[CLEAN_BYTES];
    size_t got = 0;
    if (r || (r = disk_pread(file, bytes, sizeof bytes, 0, &got)) != 0) {
        return err_trace(r);
    }
    if (got == sizeof bytes && get_le32(bytes) == CLEAN_MAGIC &&
        memcmp(bytes + 8, journal->bytes, sizeof journal->bytes) == 0 &&
        get_le32(bytes + 32) == crc32c(0, bytes, 32)) {
        if (get_le16(bytes + 4) > CLEAN_VERSION) {
            return err_origin(BROKER_E_NEWER);
        }
        *ret_sequence = get_le64(bytes + 24);
    }
    return 0;
}
