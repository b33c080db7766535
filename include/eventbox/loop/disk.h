/*
 * Port: files of the data folder. Two implementations: the system's, and a seeded simulated disk
 * that keeps, drops, tears and reorders unsynced writes at a cut and can fail any call.
 *
 * Paths are relative to the root that the disk was made with. Every call is synchronous and runs on
 * a worker thread (or before the loop runs), never on the loop. Failures: ENOSPC and EDQUOT are
 * DISK_E_FULL; ENOENT DISK_E_NOT_FOUND; EEXIST DISK_E_EXISTS; a refused O_DIRECT
 * DISK_E_UNSUPPORTED; anything else is negative. EINTR and short transfers are handled inside.
 */
#pragma once

#include <errno.h>
#include <eventbox/base/defs.h>
#include <eventbox/base/random.h>
#include <sys/uio.h>

struct disk_file;

enum disk_open_flags {
    DISK_READ = 1,
    DISK_WRITE = 2,
    DISK_CREATE = 4,
    DISK_EXCLUSIVE = 8, /* with DISK_CREATE: fail if it exists */
    DISK_TRUNCATE = 16,
    DISK_DIRECT = 32, /* past the page cache; offsets, sizes and memory aligned to DISK_ALIGN */
    DISK_DSYNC = 64,  /* each write is durable when it returns */
};
enum { DISK_ALIGN = 4096, DISK_NAME_MAX = 255 };

struct disk_space {
    uint64_t total_bytes;
    uint64_t available_bytes;
    /* Files and folders (inodes) that it can have, and how many of them are left; a total of 0: as
     * many as the bytes allow. */
    uint64_t total_files;
    uint64_t available_files;
};

typedef int (*disk_list_fn)(void *userdata, const char *name,
                            bool is_dir); /* nonzero ends the listing with it */

struct disk {
    const struct disk_ops *ops;
};

struct disk_ops {
    int (*open)(struct disk *disk, const char *path, unsigned flags, struct disk_file **ret_file);
    void (*close)(struct disk_file *file); /* accepts NULL */
    /* Reads until @size or end of file; *ret_size < size means end of file. */
    int (*pread)(struct disk_file *file, void *data, size_t size, uint64_t offset,
                 size_t *ret_size);
    /* Writes everything or fails; after a failure any part may have been written. */
    int (*pwritev)(struct disk_file *file, const struct iovec *parts, int count, uint64_t offset);
    int (*sync)(struct disk_file *file); /* fdatasync */
    /* Give the file blocks of its own up to @size bytes, zeros where there were none. Optional:
     * disk_allocate() writes zeros instead. */
    int (*allocate)(struct disk_file *file, uint64_t size);
    int (*truncate)(struct disk_file *file, uint64_t size);
    int (*size)(struct disk_file *file, uint64_t *ret_size);
    /* For sendfile and page-cache probes; -1 where there is no descriptor (simulation). */
    int (*fd)(struct disk_file *file);
    int (*unlink)(struct disk *disk, const char *path);
    int (*rename)(struct disk *disk, const char *from, const char *to); /* replaces @to */
    int (*mkdir)(struct disk *disk, const char *path);
    int (*rmdir)(struct disk *disk, const char *path);
    int (*list)(struct disk *disk, const char *path, disk_list_fn each, void *userdata);
    int (*sync_dir)(struct disk *disk, const char *path);
    int (*syncfs)(struct disk *disk); /* everything of this file system, on the descriptor held
                                         since the start */
    int (*space)(struct disk *disk, struct disk_space *ret_space);
    void (*free)(struct disk *disk);
};

/* Wrappers, so that callers read as sentences: disk_open(disk, "journal/0", DISK_READ, &file). */
int disk_open(struct disk *disk, const char *path, unsigned flags, struct disk_file **ret_file);
void disk_close(struct disk_file *file);
DEFINE_CLEANUP(struct disk_file *, disk_close)
int disk_pread(struct disk_file *file, void *data, size_t size, uint64_t offset, size_t *ret_size);
int disk_pwrite(struct disk_file *file, const void *data, size_t size, uint64_t offset);
int disk_pwritev(struct disk_file *file, const struct iovec *parts, int count, uint64_t offset);
int disk_sync(struct disk_file *file);
/** disk_allocate() - what is written below @size from now on finds room, whatever others take */
int disk_allocate(struct disk_file *file, uint64_t size);
int disk_truncate(struct disk_file *file, uint64_t size);
int disk_size(struct disk_file *file, uint64_t *ret_size);
int disk_fd(struct disk_file *file);
int disk_unlink(struct disk *disk, const char *path);
int disk_rename(struct disk *disk, const char *from, const char *to);
int disk_mkdir(struct disk *disk, const char *path);
int disk_rmdir(struct disk *disk, const char *path);
int disk_list(struct disk *disk, const char *path, disk_list_fn each, void *userdata);
int disk_sync_dir(struct disk *disk, const char *path);
/** disk_is_misplaced() - whether the failure @status says that something else stands in the place
 * of a file or folder */
static inline bool disk_is_misplaced(int status) {
    return status == -EISDIR || status == -ENOTDIR || status == -ENXIO || status == -ELOOP;
}
int disk_syncfs(struct disk *disk);
int disk_space(struct disk *disk, struct disk_space *ret_space);
void disk_free(struct disk *disk);

/* Every file begins with this member, in both implementations. */
struct disk_file {
    struct disk *disk;
};

/** disk_system_new() - the folder @root (made with mode 0700 if absent) of the machine's file
 * system */
int disk_system_new(const char *root, struct disk **ret_disk);
/**
 * disk_overlay_new() - a disk that shows @below and keeps every change to itself in memory
 * Ownership: borrows @below, which nothing of this ever changes.
 */
int disk_overlay_new(struct disk *below, struct disk **ret_disk);
