/*
 * Whose file is it? A database of ours carries our application id in its first page from the moment
 * it has a name: it is built beside its place under "<name>.eventbox-new", synced, and renamed. So
 * the first 100 bytes, read with a plain read(2), tell our file from a foreign one, and a foreign
 * one is left alone to the byte: SQLite never opens it, no -wal or -shm appears beside it.
 *
 * Is it free? We hold flock(2) on it as long as we run. SQLite's own locks are fcntl(2) locks,
 * which do not meet flock's; but closing any descriptor of the file would drop them, so the
 * descriptor with our lock is closed after SQLite's.
 */
#include "sqlite.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* SQLite file format, "The Database Header". */
enum { HEADER_BYTES = 100, AT_USER_VERSION = 60, AT_APPLICATION_ID = 68 };
static const char HEADER_MAGIC[16] = "SQLite format 3";

static const char NEW_SUFFIX[] = ".eventbox-new";

/* Resolves the folder, which must exist, and the file itself where it exists. */
static int resolve(const char *location, char path[PATH_MAX]) {
    char folder[PATH_MAX], resolved[PATH_MAX];
    const char *slash = strrchr(location, '/');
    const char *name = slash ? slash + 1 : location;
    int n;

    if (realpath(location, path)) {
        return 0;
    }
    if (errno != ENOENT) {
        int error = errno;
        store_say("the database file %s cannot be reached: %s; check DATABASE_URL", location,
                  strerror(error));
        return err_origin(-error);
    }
    n = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(name - location) : 1,
                 slash ? location : ".");
    if (n >= (int)sizeof folder || name[0] == '\0') {
        store_say("the database file %.200s is a folder or its name is too long; name a file",
                  location);
        return err_origin(-ENAMETOOLONG);
    }
    if (!realpath(folder, resolved)) {
        int error = errno;
        store_say("the database file %s cannot be made, folder %s: %s; make the folder or choose "
                  "another with DATABASE_URL",
                  location, folder, strerror(error));
        return err_origin(-error);
    }
    n = snprintf(path, PATH_MAX, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name);
    if (n >= PATH_MAX - 32) {
        store_say("the path of the database file %.200s is too long", location);
        return err_origin(-ENAMETOOLONG);
    }
    return 0;
}

static int refuse(const char *path, const char *why) {
    store_say("the file %s %s; it was left untouched; choose another with "
              "DATABASE_URL=sqlite:///path",
              path, why);
    return err_origin(STORE_E_FOREIGN);
}

/* Reads the header with plain reads; *ret_size is 0 for an empty file. */
static int read_header(const char *path, uint8_t header[HEADER_BYTES], size_t *ret_size) {
    struct stat stat_of_file;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int r = 0;

    if (fd < 0 || fstat(fd, &stat_of_file) < 0) {
        r = -errno;
    } else if (!S_ISREG(stat_of_file.st_mode)) {
        close(fd);
        return refuse(path, "is not a regular file");
    } else {
        got = pread(fd, header, HEADER_BYTES, 0);
        r = got < 0 ? -errno : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (r != 0) {
        store_say("the database file %s cannot be read: %s; check its owner and mode", path,
                  strerror(-r));
        return err_origin(r);
    }
    *ret_size = (size_t)got;
    return 0;
}

static int check_header(const char *path, const uint8_t *header, size_t size) {
    if (size < HEADER_BYTES || memcmp(header, HEADER_MAGIC, sizeof HEADER_MAGIC) != 0) {
        return refuse(path, "is not an SQLite database");
    }
    if (get_be32(header + AT_APPLICATION_ID) != SQLITE_FILE_APPLICATION_ID) {
        return refuse(path, "is a database of another program");
    }
    if (get_be32(header + AT_USER_VERSION) > SQLITE_FILE_FORMAT) {
        store_say("the database file %s has format %u, this eventbox knows up to %d; start the "
                  "newer eventbox that wrote it",
                  path, get_be32(header + AT_USER_VERSION), SQLITE_FILE_FORMAT);
        return err_origin(STORE_E_NEWER);
    }
    return 0;
}

static int lock(const char *path, int flags, int *ret_fd) {
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    int error = errno;

    if (fd < 0) {
        store_say("the database file %s cannot be written: %s; check the owner and mode of the "
                  "file and its folder, or choose another with DATABASE_URL",
                  path, strerror(error));
        return err_origin(error == ENOSPC || error == EDQUOT ? STORE_E_FULL : -error);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        error = errno;
        close(fd);
        store_say("the database file %s is in use by another process; stop that one or choose "
                  "another file with DATABASE_URL",
                  path);
        return err_origin(-error);
    }
    *ret_fd = fd;
    return 0;
}

/* After a failed sync the page cache may hold WAL pages that never reached the disk. */
static void forget_cached_wal(const char *path) {
    char wal[PATH_MAX + 8];
    snprintf(wal, sizeof wal, "%s-wal", path);
    int fd = open(wal, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

/* A -wal without its database: SQLite would take its pages into the new file, or delete it. */
static int check_no_orphan(const char *path) {
    static const char *const suffixes[] = {"-wal", "-journal"};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        char orphan[PATH_MAX + 16];
        struct stat stat_of_file;
        snprintf(orphan, sizeof orphan, "%s%s", path, suffixes[i]);
        if (stat(orphan, &stat_of_file) == 0 && stat_of_file.st_size > 0) {
            store_say("%s is there without its database %s; put the database back, or move the "
                      "former away to begin with an empty one",
                      orphan, path);
            return err_origin(STORE_E_FOREIGN);
        }
    }
    return 0;
}

int sqlite_file_find(const char *location, struct sqlite_file *ret_file) {
    uint8_t header[HEADER_BYTES];
    size_t size = 0;
    int r;

    *ret_file = (struct sqlite_file){.lock_fd = -1};
    r = resolve(location, ret_file->path);
    if (r != 0) {
        return err_trace(r);
    }
    if (access(ret_file->path, F_OK) == 0) {
        r = read_header(ret_file->path, header, &size);
        if (r != 0) {
            return err_trace(r);
        }
    }
    if (size == 0) {
        ret_file->absent = true;
        r = check_no_orphan(ret_file->path);
        return r == 0 ? 0 : err_trace(r);
    }
    r = check_header(ret_file->path, header, size);
    if (r == 0) {
        r = lock(ret_file->path, 0, &ret_file->lock_fd);
    }
    if (r != 0) {
        return err_trace(r);
    }
    forget_cached_wal(ret_file->path);
    return 0;
}

static int say_write_failure(const char *path, int error) {
    bool full = error == ENOSPC || error == EDQUOT;
    store_say("the database file %s cannot be made: %s; %s", path, strerror(error),
              full ? "free some space" : "check the folder, or choose another with DATABASE_URL");
    return err_origin(full ? STORE_E_FULL : -error);
}

static int sync_folder(const char *path) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path + 1), path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return r;
}

/* One transaction without journal or sync: until the rename, nobody knows the file. */
static int build(const char *path, struct store *store, const struct store_config *config) {
    struct sqlite_conn *conn = NULL;
    int r = sqlite_conn_open(store, path, SQLITE_CONN_BUILDER, &conn);
    if (r != 0) {
        return err_trace(r);
    }
    r = sqlite_conn_exec(conn, "BEGIN EXCLUSIVE");
    if (r == SQLITE_OK) {
        r = sqlite_migrate_new(conn, config, path);
        if (r == 0) {
            r = sqlite_conn_exec(conn, "COMMIT");
            /* The header says WAL from the start, so that the first opening has nothing to turn. */
            r = r == SQLITE_OK ? sqlite_conn_exec(conn, "PRAGMA journal_mode = WAL") : r;
            r = r == SQLITE_OK ? 0 : sqlite_conn_error(conn, r);
        }
    } else {
        r = sqlite_conn_error(conn, r);
    }
    if (r == STORE_E_FULL) {
        store_say("the database file %s cannot be made: the disk is full; free some space", path);
    }
    sqlite_conn_close(conn);
    return r == 0 ? 0 : err_trace(r);
}

int sqlite_file_make(struct sqlite_file *file, struct store *store,
                     const struct store_config *config) {
    char fresh[PATH_MAX + sizeof NEW_SUFFIX];
    struct stat stat_of_file;
    int r;

    snprintf(fresh, sizeof fresh, "%s%s", file->path, NEW_SUFFIX);
    r = lock(fresh, O_CREAT | O_NOFOLLOW, &file->lock_fd);
    if (r != 0) {
        return err_trace(r);
    }
    /* Another process may have been quicker between our look and our lock. */
    if (stat(file->path, &stat_of_file) == 0 && stat_of_file.st_size > 0) {
        unlink(fresh);
        store_say("the database file %s was made by another process just now; start again",
                  file->path);
        return err_origin(-EEXIST);
    }
    if (ftruncate(file->lock_fd, 0) < 0) {
        return say_write_failure(file->path, errno);
    }
    r = build(fresh, store, config);
    if (r != 0) {
        unlink(fresh);
        return err_trace(r);
    }
    if (fdatasync(file->lock_fd) < 0 || rename(fresh, file->path) < 0) {
        r = errno;
        unlink(fresh);
        return say_write_failure(file->path, r);
    }
    r = sync_folder(file->path);
    return r == 0 ? 0 : say_write_failure(file->path, -r);
}

void sqlite_file_release(struct sqlite_file *file) {
    if (file->lock_fd >= 0) {
        close(file->lock_fd);
        file->lock_fd = -1;
    }
}
