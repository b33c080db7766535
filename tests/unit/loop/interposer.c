/* The linker puts these before the C library's functions (meson.build). */
#include "interposer.h"

#include <eventbox/base/defs.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PARTS_MAX = 1024 };

#define WRAP_PLAIN(name, parameters, arguments)                                                    \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters {                                                                 \
        return interposed_interrupt() ? -1 : __real_##name arguments;                              \
    }
WRAP_PLAIN(fdatasync, (int fd), (fd))
WRAP_PLAIN(fsync, (int fd), (fd))
WRAP_PLAIN(syncfs, (int fd), (fd))
WRAP_PLAIN(ftruncate64, (int fd, off_t size), (fd, size))
WRAP_PLAIN(fallocate64, (int fd, int mode, off_t from, off_t size), (fd, mode, from, size))
WRAP_PLAIN(fstatvfs64, (int fd, struct statvfs *out), (fd, out))
WRAP_PLAIN(openat64, (int fd, const char *path, int flags, mode_t mode), (fd, path, flags, mode))

ssize_t __real_pread64(int fd, void *data, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t offset) {
    ssize_t some = interposed_interrupt() ? -1 : interposed_allow(fd, size);
    return some <= 0 ? some : __real_pread64(fd, data, (size_t)some, offset);
}

ssize_t __real_pwrite64(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t offset) {
    ssize_t some = interposed_interrupt() ? -1 : interposed_allow(fd, size);
    return some <= 0 ? some : __real_pwrite64(fd, data, (size_t)some, offset);
}

ssize_t __real_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
    struct iovec some[PARTS_MAX];
    size_t size = 0;
    if (count > PARTS_MAX) {
        abort();
    }
    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    ssize_t left = interposed_interrupt() ? -1 : interposed_allow(fd, size);
    if (left <= 0) {
        return left;
    }
    for (int i = 0; i < count; i++) {
        some[i] = (struct iovec){parts[i].iov_base, MIN(parts[i].iov_len, (size_t)left)};
        left -= (ssize_t)some[i].iov_len;
    }
    return __real_pwritev64(fd, some, count, offset);
}
