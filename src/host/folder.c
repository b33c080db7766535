/*
 * The data folder: made with mode 0700, held by a lock on `lock` for the life of the process, and
 * described by meta.json:
 *
 *   {"format":1,"cluster_id":"22 characters","store_uuid":"...","version":"0.1.0"}
 *
 * meta.json is written beside and renamed, so it is whole or absent. A format above ours is refused
 * untouched; an older one would be carried forward here.
 */
#include "host_internal.h"

#include <eventbox/base/json.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_FORMAT = 1, META_BYTES_MAX = 4096 };

#define META_NAME     "meta.json"
#define META_NEW_NAME "meta.json.new"

/* The message of everything that the file system refuses. */
static int refused(struct host *host, const char *what, int r) {
    bool full = r == DISK_E_FULL || r == -ENOSPC || r == -EDQUOT;
    return host_fail(host, r, "data folder %s (%s): %s: %s; %s", host->settings.data,
                     conf_describe(host->config->conf, CONF_HOST_SECTION, "data"), what,
                     r < 0 ? strerror(-r) : err_text(r),
                     full ? "make room on its disk, or choose a folder on another with --data DIR"
                          : "choose a folder that this user may write with --data DIR");
}

/* mkdir -p of what lies above the folder; the disk makes the folder itself. */
static int make_parents(const char *path) {
    char *copy = strdup(path);
    int r = copy ? 0 : -ENOMEM;
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash && !r;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) && errno != EEXIST) {
            r = -errno;
        }
        *slash = '/';
    }
    free(copy);
    return r;
}

static int take_lock(struct host *host) {
    char owner[32] = "";
    host->lock_fd = openat(AT_FDCWD, host->data_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int folder = host->lock_fd;
    host->lock_fd = openat(folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int r = host->lock_fd < 0 ? -errno : 0;
    if (folder >= 0) {
        close(folder);
    }
    if (r) {
        return refused(host, "lock", r);
    }
    if (flock(host->lock_fd, LOCK_EX | LOCK_NB)) {
        r = -errno;
        ssize_t size = pread(host->lock_fd, owner, sizeof owner - 1, 0);
        owner[MAX(size, 0)] = '\0';
        if (r != -EWOULDBLOCK) {
            return refused(host, "lock", r);
        }
        return host_fail(host, r,
                         "data folder %s is in use by another eventbox (process %d); stop that one "
                         "or choose another folder with --data DIR",
                         host->data_path, atoi(owner));
    }
    int size = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
    /* In place, then cut: a full disk need not give a block for it, and costs only the number. */
    if (pwrite(host->lock_fd, owner, (size_t)size, 0) < 0 || ftruncate(host->lock_fd, size)) {
        return errno == ENOSPC || errno == EDQUOT ? 0 : refused(host, "lock", -errno);
    }
    return 0;
}

/* ---- meta.json ---- */

static int write_meta(struct host *host) {
    struct text text;
    struct disk_file *file = NULL;
    text_init(&text);
    json_write_object(&text, NULL);
    json_write_int(&text, "format", FOLDER_FORMAT);
    json_write_string(&text, "cluster_id", span_text(host->cluster_id));
    if (!uuid_is_zero(&host->store_uuid)) {
        char uuid[UUID_TEXT_SIZE];
        uuid_format(&host->store_uuid, uuid);
        json_write_string(&text, "store_uuid", span_text(uuid));
    }
    json_write_string(&text, "version", span_text(EVENTBOX_VERSION));
    json_write_object_end(&text);
    text_append_char(&text, '\n');
    int r = text_failed(&text) ? -ENOMEM : 0;
    r = r ? r
          : disk_open(host->disk, META_NEW_NAME, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    r = r ? r : disk_pwrite(file, text.data, text.size, 0);
    r = r ? r : disk_sync(file);
    disk_close(file);
    r = r ? r : disk_rename(host->disk, META_NEW_NAME, META_NAME);
    r = r ? r : disk_sync_dir(host->disk, ".");
    text_deinit(&text);
    return r ? refused(host, META_NAME, r) : 0;
}

static bool copy_string(const struct json *value, char *out, size_t size) {
    struct span text = value && json_type_of(value) == JSON_STRING ? json_string(value) : SPAN_NULL;
    if (text.size + 1 != size) {
        return false;
    }
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return true;
}

static int damaged_meta(struct host *host) {
    return host_fail(host, -EINVAL,
                     "%s/" META_NAME " is damaged; restore it from a backup: it holds the cluster "
                     "id that clients know",
                     host->data_path);
}

/* The format that a meta.json names; 0: none. */
static int64_t format_of(const struct json *json) {
    const struct json *format = json ? json_member(json, "format") : NULL;
    bool named = format && json_type_of(format) == JSON_INT && json_int(format) >= 1;
    return named ? json_int(format) : 0;
}

#define NEWER_FORMAT                                                                               \
    "data folder %s has format %lld, this eventbox " EVENTBOX_VERSION                              \
    " knows formats up to %d; start the newer eventbox that wrote it"

static int check_meta(struct host *host, struct span content) {
    char uuid[UUID_TEXT_SIZE];
    struct json *json = NULL;
    if (json_parse(content, &JSON_LIMITS_DEFAULT, &json, NULL)) {
        return damaged_meta(host);
    }
    int64_t format = format_of(json);
    int r = 0;
    if (format == 0 ||
        !copy_string(json_member(json, "cluster_id"), host->cluster_id, sizeof host->cluster_id)) {
        r = damaged_meta(host);
    } else if (format > FOLDER_FORMAT) {
        r = host_fail(host, -EINVAL, NEWER_FORMAT, host->data_path, (long long)format,
                      FOLDER_FORMAT);
    } else if (copy_string(json_member(json, "store_uuid"), uuid, sizeof uuid)) {
        uuid_parse(uuid, &host->store_uuid);
    }
    json_free(json);
    return r;
}

/* A folder gets its meta.json before anything else: where these are without it, it was lost. */
static int note_data(void *userdata, const char *name, bool is_dir) {
    static const char *const names[] = {"journal", "checkpoint.0", "checkpoint.1", "eventbox.db"};
    bool *found = userdata;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        *found |= strcmp(name, names[i]) == 0;
    }
    return 0;
}

static int new_meta(struct host *host) {
    struct uuid uuid;
    bool has_data = false;
    int r = disk_list(host->disk, ".", note_data, &has_data);
    if (r) {
        return refused(host, "cannot be listed", r);
    }
    if (has_data) {
        return host_fail(host, -EINVAL,
                         "%s/" META_NAME " is missing although there is data; restore it from a "
                         "backup: it holds the cluster id that clients know",
                         host->data_path);
    }
    do {
        uuid_v4(host->random, &uuid);
        uuid_format_base64(&uuid, host->cluster_id);
    } while (host->cluster_id[0] == '-'); /* an option to every command line tool */
    return write_meta(host);
}

static int open_meta(struct host *host) {
    char content[META_BYTES_MAX];
    size_t size = 0;
    struct disk_file *file = NULL;
    int r = disk_open(host->disk, META_NAME, DISK_READ, &file);
    if (r == DISK_E_NOT_FOUND) {
        return new_meta(host);
    }
    r = r ? r : disk_pread(file, content, sizeof content, 0, &size);
    disk_close(file);
    return r ? refused(host, META_NAME, r) : check_meta(host, span_of(content, size));
}

int host_folder_check(const char *path) {
    char content[META_BYTES_MAX];
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = folder < 0 ? -1 : openat(folder, META_NAME, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : pread(fd, content, sizeof content, 0);
    struct json *json = NULL;
    int64_t format = 0;
    if (size > 0 &&
        json_parse(span_of(content, (size_t)size), &JSON_LIMITS_DEFAULT, &json, NULL) == 0) {
        format = format_of(json);
        json_free(json);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (folder >= 0) {
        close(folder);
    }
    if (format > FOLDER_FORMAT) {
        fprintf(stderr, "eventbox: " NEWER_FORMAT "\n", path, (long long)format, FOLDER_FORMAT);
        return 2;
    }
    return 0;
}

int folder_note_store(struct host *host) {
    const struct uuid *uuid = store_uuid(host->store);
    if (memcmp(uuid, &host->store_uuid, sizeof *uuid) == 0) {
        return 0;
    }
    if (!uuid_is_zero(&host->store_uuid)) {
        /* Ids of users and events would be given out again, and events of the old one read as
         * foreign. */
        const char *url = host->settings.database_url;
        return host_fail(host, -EINVAL,
                         "%s was made with another database than %s: that one was removed or "
                         "replaced; restore it, or start with a new data folder (--data)",
                         host->data_path, url[0] ? url : "the eventbox.db that is in it now");
    }
    host->store_uuid = *uuid;
    return write_meta(host);
}

/* The reserve is looked at first: on a full disk everything else needs what it gives back. */
static int open_space(struct host *host) {
    const struct space_config config = {
        .disk = host->disk,
        .low_bytes = (uint64_t)host->settings.disk_low_water_bytes,
        .reserve_bytes = (uint64_t)host->settings.disk_reserve_bytes,
        .on_change = health_space_changed,
        .userdata = host,
    };
    int r = space_open(&config, &host->space);
    return r ? refused(host, "free space", r) : 0;
}

int folder_open(struct host *host) {
    int r = make_parents(host->settings.data);
    r = r ? r : disk_system_new(host->settings.data, &host->disk);
    if (r) {
        return refused(host, "cannot be made", r);
    }
    host->data_path = realpath(host->settings.data, NULL);
    if (!host->data_path) {
        return refused(host, "cannot be found", -errno);
    }
    r = take_lock(host);
    r = r ? r : open_space(host);
    return r ? r : open_meta(host);
}

void folder_close(struct host *host) {
    space_free(host->space);
    if (host->disk) {
        disk_free(host->disk);
    }
    if (host->lock_fd >= 0) {
        close(host->lock_fd); /* and with it the lock */
    }
    free(host->data_path);
}
