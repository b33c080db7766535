/*
 * The machine's file system below one folder.
 *
 * Every path is opened relative to a descriptor of that folder, held since the start: the folder
 * may be renamed meanwhile, and syncfs() reports write errors that happened since then. The last
 * part of a path is never a symbolic link that we follow, and ".." is refused.
 */
#include "disk_internal.h"

#include <eventbox/base/error.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FILE_MODE = 0600, DIR_MODE = 0700 };

struct disk_system {
    struct disk disk;
    int root_fd;
};

struct system_file {
    struct disk_file file;
    int fd;
    bool direct;
};

static struct disk_system *system_of(struct disk *disk) {
    return container_of(disk, struct disk_system, disk);
}

static struct system_file *file_of(struct disk_file *file) {
    return container_of(file, struct system_file, file);
}

/* The port's code for the errno of a failed call. */
static int failure(int number) {
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return err_origin(DISK_E_FULL);
    case ENOENT:
        return err_origin(DISK_E_NOT_FOUND);
    case EEXIST:
        return err_origin(DISK_E_EXISTS);
    default:
        return err_origin(-number);
    }
}

/* ---- files ---- */

/* O_NONBLOCK for the sake of a named pipe in a file's place, which nobody may wait at. */
static int open_flags(unsigned flags) {
    int out = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    if ((flags & DISK_READ) && (flags & DISK_WRITE)) {
        out |= O_RDWR;
    } else {
        out |= flags & DISK_WRITE ? O_WRONLY : O_RDONLY;
    }
    out |= flags & DISK_CREATE ? O_CREAT : 0;
    out |= flags & DISK_EXCLUSIVE ? O_EXCL : 0;
    out |= flags & DISK_TRUNCATE ? O_TRUNC : 0;
    out |= flags & DISK_DSYNC ? O_DSYNC : 0;
    return out;
}

/* O_DIRECT is asked for after the open: some file systems make the file first and refuse then, and
 * the caller's second try, without it, would find a file that nobody wanted. */
static int make_direct(struct disk_system *disk, int fd, const char *path, unsigned flags) {
    int status_flags = fcntl(fd, F_GETFL);
    if (status_flags >= 0 && fcntl(fd, F_SETFL, status_flags | O_DIRECT) == 0) {
        return 0;
    }
    int number = errno;
    if ((flags & DISK_CREATE) && (flags & DISK_EXCLUSIVE)) {
        unlinkat(disk->root_fd, path, 0);
    }
    return number == EINVAL ? err_origin(DISK_E_UNSUPPORTED) : failure(number);
}

/* Pipes, sockets and devices are no files of ours, whoever put them there. */
static int check_kind(int fd) {
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return failure(errno);
    }
    return S_ISREG(st.st_mode) ? 0 : failure(S_ISDIR(st.st_mode) ? EISDIR : ENXIO);
}

static int system_open(struct disk *base, const char *path, unsigned flags,
                       struct disk_file **ret_file) {
    struct disk_system *disk = system_of(base);
    if (!disk_path_valid(path)) {
        return err_origin(-EINVAL);
    }
    struct system_file *file = calloc(1, sizeof *file);
    if (!file) {
        return err_origin(-ENOMEM);
    }
    do {
        file->fd = openat(disk->root_fd, path, open_flags(flags), FILE_MODE);
    } while (file->fd < 0 && errno == EINTR);
    int r = file->fd < 0 ? failure(errno) : check_kind(file->fd);
    if (r == 0 && (flags & DISK_DIRECT)) {
        r = make_direct(disk, file->fd, path, flags);
    }
    if (r != 0) {
        if (file->fd >= 0) {
            close(file->fd);
        }
        free(file);
        return r;
    }
    file->file.disk = base;
    file->direct = flags & DISK_DIRECT;
    *ret_file = &file->file;
    return 0;
}

static void system_close(struct disk_file *base) {
    struct system_file *file = file_of(base);
    close(file->fd);
    free(file);
}

static int transfer_failure(const struct system_file *file, int number) {
    if (number == EINVAL && file->direct) {
        return err_origin(DISK_E_UNSUPPORTED); /* refused only now, as network file systems do */
    }
    return failure(number);
}

static int system_pread(struct disk_file *base, void *data, size_t size, uint64_t offset,
                        size_t *ret_size) {
    struct system_file *file = file_of(base);
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(file->fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return transfer_failure(file, errno);
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
        if (file->direct && done % DISK_ALIGN != 0) {
            break; /* only the end of the file is not aligned, and the rest could not be asked for
                    */
        }
    }
    *ret_size = done;
    return 0;
}

/* Writes some of @parts, whose first @skip bytes are done. */
static ssize_t write_some(int fd, const struct iovec *parts, int count, size_t skip,
                          uint64_t offset) {
    if (skip > 0) {
        return pwrite(fd, (const char *)parts->iov_base + skip, parts->iov_len - skip,
                      (off_t)offset);
    }
    return pwritev(fd, parts, MIN(count, IOV_MAX), (off_t)offset);
}

static int system_pwritev(struct disk_file *base, const struct iovec *parts, int count,
                          uint64_t offset) {
    struct system_file *file = file_of(base);
    size_t skip = 0; /* bytes of *parts that are written */
    for (;;) {
        while (count > 0 && skip >= parts->iov_len) {
            skip -= parts->iov_len;
            parts++;
            count--;
        }
        if (count <= 0) {
            return 0;
        }
        ssize_t n = write_some(file->fd, parts, count, skip, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return transfer_failure(file, n < 0 ? errno : EIO);
        }
        skip += (size_t)n;
        offset += (uint64_t)n;
    }
}

static int system_sync(struct disk_file *base) {
    int r;
    do {
        r = fdatasync(file_of(base)->fd);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? failure(errno) : 0;
}

static int system_allocate(struct disk_file *base, uint64_t size) {
    int r;
    do {
        r = fallocate(file_of(base)->fd, 0, 0, (off_t)size);
    } while (r < 0 && errno == EINTR);
    if (r < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
        return DISK_E_UNSUPPORTED;
    }
    return r < 0 ? failure(errno) : 0;
}

static int system_truncate(struct disk_file *base, uint64_t size) {
    int r;
    do {
        r = ftruncate(file_of(base)->fd, (off_t)size);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? failure(errno) : 0;
}

static int system_size(struct disk_file *base, uint64_t *ret_size) {
    struct stat st;
    if (fstat(file_of(base)->fd, &st) < 0) {
        return failure(errno);
    }
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int system_fd(struct disk_file *base) {
    return file_of(base)->fd;
}

/* ---- folders ---- */

static int system_unlink(struct disk *disk, const char *path) {
    if (!disk_path_valid(path)) {
        return err_origin(-EINVAL);
    }
    return unlinkat(system_of(disk)->root_fd, path, 0) < 0 ? failure(errno) : 0;
}

static int system_rename(struct disk *disk, const char *from, const char *to) {
    int root_fd = system_of(disk)->root_fd;
    if (!disk_path_valid(from) || !disk_path_valid(to)) {
        return err_origin(-EINVAL);
    }
    return renameat(root_fd, from, root_fd, to) < 0 ? failure(errno) : 0;
}

static int system_mkdir(struct disk *disk, const char *path) {
    if (!disk_path_valid(path)) {
        return err_origin(-EINVAL);
    }
    return mkdirat(system_of(disk)->root_fd, path, DIR_MODE) < 0 ? failure(errno) : 0;
}

static int system_rmdir(struct disk *disk, const char *path) {
    if (!disk_path_valid(path)) {
        return err_origin(-EINVAL);
    }
    return unlinkat(system_of(disk)->root_fd, path, AT_REMOVEDIR) < 0 ? failure(errno) : 0;
}

static int open_dir(struct disk *disk, const char *path) {
    int fd;
    if (!disk_path_valid(path)) {
        return err_origin(-EINVAL);
    }
    do {
        fd =
            openat(system_of(disk)->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static bool entry_is_dir(DIR *dir, const struct dirent *entry) {
    struct stat st;
    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type == DT_DIR;
    }
    return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int list_dir(DIR *dir, disk_list_fn each, void *userdata) {
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            return errno != 0 ? failure(errno) : 0;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        int r = each(userdata, entry->d_name, entry_is_dir(dir, entry));
        if (r != 0) {
            return r;
        }
    }
}

static int system_list(struct disk *disk, const char *path, disk_list_fn each, void *userdata) {
    int fd = open_dir(disk, path);
    if (fd < 0) {
        return fd == -1 ? failure(errno) : fd;
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int number = errno;
        close(fd);
        return failure(number);
    }
    int r = list_dir(dir, each, userdata);
    closedir(dir);
    return r;
}

static int system_sync_dir(struct disk *disk, const char *path) {
    int fd = open_dir(disk, path);
    if (fd < 0) {
        return fd == -1 ? failure(errno) : fd;
    }
    int r;
    do {
        r = fsync(fd);
    } while (r < 0 && errno == EINTR);
    int number = errno;
    close(fd);
    return r < 0 ? failure(number) : 0;
}

static int system_syncfs(struct disk *disk) {
    int r;
    do {
        r = syncfs(system_of(disk)->root_fd);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? failure(errno) : 0;
}

static int system_space(struct disk *disk, struct disk_space *ret_space) {
    struct statvfs st;
    int r;
    do {
        r = fstatvfs(system_of(disk)->root_fd, &st);
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        return failure(errno);
    }
    ret_space->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    ret_space->available_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    ret_space->total_files = st.f_files;
    ret_space->available_files = st.f_files > 0 ? st.f_favail : 0;
    return 0;
}

static void system_free(struct disk *base) {
    struct disk_system *disk = system_of(base);
    close(disk->root_fd);
    free(disk);
}

static const struct disk_ops system_ops = {
    .open = system_open,
    .close = system_close,
    .pread = system_pread,
    .pwritev = system_pwritev,
    .sync = system_sync,
    .allocate = system_allocate,
    .truncate = system_truncate,
    .size = system_size,
    .fd = system_fd,
    .unlink = system_unlink,
    .rename = system_rename,
    .mkdir = system_mkdir,
    .rmdir = system_rmdir,
    .list = system_list,
    .sync_dir = system_sync_dir,
    .syncfs = system_syncfs,
    .space = system_space,
    .free = system_free,
};

int disk_system_new(const char *root, struct disk **ret_disk) {
    if (mkdir(root, DIR_MODE) < 0 && errno != EEXIST) {
        return failure(errno);
    }
    struct disk_system *disk = calloc(1, sizeof *disk);
    if (!disk) {
        return err_origin(-ENOMEM);
    }
    disk->disk.ops = &system_ops;
    disk->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->root_fd < 0) {
        int number = errno;
        free(disk);
        return failure(number);
    }
    *ret_disk = &disk->disk;
    return 0;
}
