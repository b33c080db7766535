/*
 * The simulated disk: files in memory with two states each, what the process sees and what is
 * durable. Writes, truncations, creations, renames and unlinks are pending until a sync of the
 * file, its folder or the whole disk covers them. A cut decides by seed for each pending change:
 * kept, dropped or, for writes, torn at a 512-byte sector; in any order between syncs.
 *
 * Every call passes one counter. disk_sim_cut_at() ends the world at call N: that call and all
 * later ones return -ENODEV; what call N was about to change may or may not be found after the
 * reboot, later ones change nothing. disk_sim_fail_at() makes call N alone fail. The first call is
 * 1; closing and asking for the descriptor do not count.
 *
 * A failed sync loses writes: each that waited for it is durable or will never be, whatever later
 * syncs say, as with real kernels. Misaligned calls on a DISK_DIRECT file return -EINVAL.
 */
#pragma once

#include <eventbox/loop/disk.h>

int disk_sim_new(uint64_t seed, struct disk **ret_disk);
/** disk_sim_calls() - calls so far */
uint64_t disk_sim_calls(struct disk *disk);
/** disk_sim_cut_at() - power is cut in the middle of call @call (0: never) */
void disk_sim_cut_at(struct disk *disk, uint64_t call);
bool disk_sim_is_cut(struct disk *disk);
/** disk_sim_fail_at() - call @call returns @error (negative errno or a DISK_E_ code) after doing
 * part of its work by seed */
void disk_sim_fail_at(struct disk *disk, uint64_t call, int error);
/** disk_sim_limit() - DISK_E_FULL beyond @bytes of file content (0: no limit) */
void disk_sim_limit(struct disk *disk, uint64_t bytes);
/** disk_sim_limit_files() - DISK_E_FULL beyond @files files and folders, the root not counted (0:
 * no limit) */
void disk_sim_limit_files(struct disk *disk, uint64_t files);
/** disk_sim_refuse_direct() - whether opening with DISK_DIRECT is DISK_E_UNSUPPORTED, as on some
 * file systems */
void disk_sim_refuse_direct(struct disk *disk, bool refuses);
/**
 * disk_sim_reboot() - a new disk with what survived, chosen by @seed; the old one is freed, with
 * its open files: close them before, or never. May be called without a cut: a crash of the process
 * (@power_cut false) then keeps everything that was written, synced or not; after a cut power is
 * always lost. Limits and refusal stay, counters and planned failures do not.
 */
int disk_sim_reboot(struct disk *disk, uint64_t seed, bool power_cut, struct disk **ret_disk);
/** disk_sim_digest() - hash of all durable content, to count distinct crash states */
uint64_t disk_sim_digest(struct disk *disk);
/** disk_sim_corrupt() - rot, seen at once: each of @size bytes at @offset of @path becomes another
 * by seed */
int disk_sim_corrupt(struct disk *disk, const char *path, uint64_t offset, size_t size,
                     uint64_t seed);
/** disk_sim_last_call() - file:line-independent name of the last call, e.g. "pwritev
 * journal/00000000"; for coverage of call sites. After a cut: the call that was cut */
const char *disk_sim_last_call(struct disk *disk);
/** disk_sim_failed_call() - the same of the call that disk_sim_fail_at() made fail; "": none yet */
const char *disk_sim_failed_call(struct disk *disk);
