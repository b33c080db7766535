/* The wrappers of the disk port. */
#include "disk_internal.h"

#include <eventbox/base/error.h>
#include <string.h>

int disk_open(struct disk *disk, const char *path, unsigned flags, struct disk_file **ret_file) {
    return disk->ops->open(disk, path, flags, ret_file);
}

void disk_close(struct disk_file *file) {
    if (file) {
        file->disk->ops->close(file);
    }
}

int disk_pread(struct disk_file *file, void *data, size_t size, uint64_t offset, size_t *ret_size) {
    return file->disk->ops->pread(file, data, size, offset, ret_size);
}

int disk_pwrite(struct disk_file *file, const void *data, size_t size, uint64_t offset) {
    struct iovec part = {(void *)(uintptr_t)data, size};
    return file->disk->ops->pwritev(file, &part, 1, offset);
}

int disk_pwritev(struct disk_file *file, const struct iovec *parts, int count, uint64_t offset) {
    return file->disk->ops->pwritev(file, parts, count, offset);
}

int disk_sync(struct disk_file *file) {
    return file->disk->ops->sync(file);
}

static int write_zeros(struct disk_file *file, uint64_t size) {
    static const uint8_t zeros[64 << 10];
    uint64_t at = 0;
    int r = disk_size(file, &at);
    while (!r && at < size) {
        size_t count = MIN(sizeof zeros, (size_t)(size - at));
        r = disk_pwrite(file, zeros, count, at);
        at += count;
    }
    return r;
}

int disk_allocate(struct disk_file *file, uint64_t size) {
    int r = file->disk->ops->allocate ? file->disk->ops->allocate(file, size) : DISK_E_UNSUPPORTED;
    return r == DISK_E_UNSUPPORTED ? write_zeros(file, size) : r;
}

int disk_truncate(struct disk_file *file, uint64_t size) {
    return file->disk->ops->truncate(file, size);
}

int disk_size(struct disk_file *file, uint64_t *ret_size) {
    return file->disk->ops->size(file, ret_size);
}

int disk_fd(struct disk_file *file) {
    return file->disk->ops->fd(file);
}

int disk_unlink(struct disk *disk, const char *path) {
    return disk->ops->unlink(disk, path);
}

int disk_rename(struct disk *disk, const char *from, const char *to) {
    return disk->ops->rename(disk, from, to);
}

int disk_mkdir(struct disk *disk, const char *path) {
    return disk->ops->mkdir(disk, path);
}

int disk_rmdir(struct disk *disk, const char *path) {
    return disk->ops->rmdir(disk, path);
}

int disk_list(struct disk *disk, const char *path, disk_list_fn each, void *userdata) {
    return disk->ops->list(disk, path, each, userdata);
}

int disk_sync_dir(struct disk *disk, const char *path) {
    return disk->ops->sync_dir(disk, path);
}

int disk_syncfs(struct disk *disk) {
    return disk->ops->syncfs(disk);
}

int disk_space(struct disk *disk, struct disk_space *ret_space) {
    return disk->ops->space(disk, ret_space);
}

void disk_free(struct disk *disk) {
    if (disk) {
        disk->ops->free(disk);
    }
}

static bool part_valid(const char *part, size_t size) {
    if (size == 0 || size > DISK_NAME_MAX) {
        return false;
    }
    return !(part[0] == '.' && (size == 1 || (size == 2 && part[1] == '.')));
}

bool disk_path_valid(const char *path) {
    if (strcmp(path, ".") == 0) {
        return true;
    }
    for (;;) {
        size_t size = strcspn(path, "/");
        if (!part_valid(path, size)) {
            return false;
        }
        if (path[size] == '\0') {
            return true;
        }
        path += size + 1;
    }
}
