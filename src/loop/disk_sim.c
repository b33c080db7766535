/*
 * The disk port over an image in memory (disk_image.c tells what may survive a cut).
 *
 * Every call begins with enter(), which counts it, names it and says how it goes: as asked; failing
 * after a part of its work; or never coming back, because the power goes in its middle. In the
 * last case what it was about to change is still noted as pending, so that the next start may find
 * it done, half done or not done.
 */
#include "disk_image.h"
#include "disk_internal.h"

#include <eventbox/base/error.h>
#include <eventbox/loop/disk_sim.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIM_PATH_MAX = 512 };

enum course {
    AS_ASKED,
    FAILS,  /* sim->fail_error, after a part of the work */
    CUT,    /* -ENODEV; changes are noted, not seen */
    NO_MORE /* -ENODEV; the power is gone already */
};

struct disk_sim {
    struct disk disk;
    struct disk_image image;
    struct random_seeded random;
    struct list files; /* struct sim_file.link */
    uint64_t calls;
    uint64_t cut_at;
    uint64_t fail_at;
    int fail_error;
    uint64_t limit_bytes, limit_files;
    bool is_cut;
    bool refuses_direct;
    char last_call[2 * SIM_PATH_MAX + 16], failed_call[2 * SIM_PATH_MAX + 16];
};

struct sim_file {
    struct disk_file file;
    struct list link;
    struct disk_inode *inode;
    unsigned flags;
    char path[SIM_PATH_MAX];
};

static struct disk_sim *sim_of(struct disk *disk) {
    return container_of(disk, struct disk_sim, disk);
}

static struct sim_file *file_of(struct disk_file *file) {
    return container_of(file, struct sim_file, file);
}

static enum course enter(struct disk_sim *sim, const char *call, const char *path) {
    sim->calls++;
    if (sim->is_cut) {
        return NO_MORE; /* last_call stays the one that was cut */
    }
    snprintf(sim->last_call, sizeof sim->last_call, "%s %s", call, path);
    if (sim->calls == sim->cut_at) {
        sim->is_cut = true;
        return CUT;
    }
    if (sim->calls != sim->fail_at) {
        return AS_ASKED;
    }
    memcpy(sim->failed_call, sim->last_call, sizeof sim->failed_call);
    return FAILS;
}

static bool coin(struct disk_sim *sim) {
    return random_below(&sim->random.random, 2) == 0;
}

static int gone(void) {
    return err_origin(-ENODEV);
}

/* The end of a call that changes one thing: what it returns, and whether it happens, seen or not.
 */
static int settle(struct disk_sim *sim, enum course course, bool *ret_happens, bool *ret_visible) {
    *ret_visible = course != CUT;
    switch (course) {
    case AS_ASKED:
        *ret_happens = true;
        return 0;
    case FAILS: /* a full disk says so before anything happens, a broken one may not */
        *ret_happens = sim->fail_error < 0 && coin(sim);
        return err_origin(sim->fail_error);
    case CUT:
        *ret_happens = true;
        return gone();
    case NO_MORE:
        break;
    }
    *ret_happens = false;
    return gone();
}

/* ---- paths ---- */

/* The folder that holds the last part of @path. */
static int find_parent(struct disk_sim *sim, const char *path, struct disk_inode **ret_dir,
                       const char **ret_name) {
    struct disk_inode *dir = sim->image.root;
    if (!disk_path_valid(path) || strlen(path) >= SIM_PATH_MAX) {
        return err_origin(-EINVAL);
    }
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        dir = disk_dir_find(&dir->visible_dir, path, (size_t)(slash - path));
        if (!dir) {
            return err_origin(DISK_E_NOT_FOUND);
        }
        if (!dir->is_dir) {
            return err_origin(-ENOTDIR);
        }
    }
    *ret_dir = dir;
    *ret_name = path;
    return 0;
}

/* As find_parent(), and what is there now; *ret_inode is NULL when nothing is. */
static int look_up(struct disk_sim *sim, const char *path, struct disk_inode **ret_dir,
                   const char **ret_name, struct disk_inode **ret_inode) {
    int r = find_parent(sim, path, ret_dir, ret_name);
    if (r == 0) {
        *ret_inode = disk_dir_find(&(*ret_dir)->visible_dir, *ret_name, strlen(*ret_name));
    }
    return r;
}

static int find_dir(struct disk_sim *sim, const char *path, struct disk_inode **ret_dir) {
    struct disk_inode *parent, *inode;
    const char *name;
    if (strcmp(path, ".") == 0) {
        *ret_dir = sim->image.root;
        return 0;
    }
    int r = look_up(sim, path, &parent, &name, &inode);
    if (r != 0) {
        return r;
    }
    if (!inode) {
        return err_origin(DISK_E_NOT_FOUND);
    }
    *ret_dir = inode;
    return inode->is_dir ? 0 : err_origin(-ENOTDIR);
}

/* ---- files ---- */

static int open_existing(struct disk_sim *sim, struct disk_inode *inode, unsigned flags,
                         enum course course) {
    bool happens, visible;
    if ((flags & DISK_CREATE) && (flags & DISK_EXCLUSIVE)) {
        return err_origin(DISK_E_EXISTS);
    }
    if (inode->is_dir) {
        return err_origin(-EISDIR);
    }
    int r = settle(sim, course, &happens, &visible);
    if (happens && (flags & DISK_TRUNCATE) && inode->visible.size > 0) {
        disk_image_truncate(&sim->image, inode, visible, 0);
    }
    return r;
}

static uint64_t free_files(const struct disk_sim *sim) {
    if (sim->limit_files == 0) {
        return UINT64_MAX;
    }
    uint64_t used = disk_image_visible_files(&sim->image);
    return used < sim->limit_files ? sim->limit_files - used : 0;
}

static int open_new(struct disk_sim *sim, struct disk_inode *dir, const char *name,
                    enum course course, struct disk_inode **ret_inode) {
    bool happens, visible;
    if (course == AS_ASKED && free_files(sim) == 0) {
        return err_origin(DISK_E_FULL);
    }
    struct disk_inode *inode = disk_inode_new(false);
    int r = settle(sim, course, &happens, &visible);
    if (happens) {
        disk_image_link(&sim->image, visible, dir, name, inode);
    }
    *ret_inode = inode;
    disk_inode_unref(inode); /* the folder has it, or nobody: then r is not 0 */
    return r;
}

static int sim_open(struct disk *disk, const char *path, unsigned flags,
                    struct disk_file **ret_file) {
    struct disk_sim *sim = sim_of(disk);
    struct disk_inode *dir, *inode;
    const char *name;
    enum course course = enter(sim, "open", path);
    if (course == NO_MORE) {
        return gone();
    }
    int r = look_up(sim, path, &dir, &name, &inode);
    if (r != 0) {
        return r;
    }
    if ((flags & DISK_DIRECT) && sim->refuses_direct) {
        return err_origin(DISK_E_UNSUPPORTED);
    }
    if (inode) {
        r = open_existing(sim, inode, flags, course);
    } else if (flags & DISK_CREATE) {
        r = open_new(sim, dir, name, course, &inode);
    } else {
        r = err_origin(DISK_E_NOT_FOUND);
    }
    if (r != 0) {
        return r;
    }
    struct sim_file *file = calloc(1, sizeof *file);
    if (!file) {
        return err_origin(-ENOMEM);
    }
    file->file.disk = disk;
    file->inode = disk_inode_ref(inode);
    file->flags = flags;
    snprintf(file->path, sizeof file->path, "%s", path);
    list_push_back(&sim->files, &file->link);
    *ret_file = &file->file;
    return 0;
}

static void file_free(struct sim_file *file) {
    list_remove(&file->link);
    disk_inode_unref(file->inode);
    free(file);
}

static void sim_close(struct disk_file *base) {
    file_free(file_of(base));
}

static bool misaligned(const struct sim_file *file, const void *data, size_t size,
                       uint64_t offset) {
    uintptr_t bits = (uintptr_t)data | size | offset;
    return (file->flags & DISK_DIRECT) && bits % DISK_ALIGN != 0;
}

static int sim_pread(struct disk_file *base, void *data, size_t size, uint64_t offset,
                     size_t *ret_size) {
    struct sim_file *file = file_of(base);
    struct disk_sim *sim = sim_of(base->disk);
    const struct disk_bytes *bytes = &file->inode->visible;
    enum course course = enter(sim, "pread", file->path);
    if (course != AS_ASKED) {
        return course == FAILS ? err_origin(sim->fail_error) : gone();
    }
    if (!(file->flags & DISK_READ)) {
        return err_origin(-EBADF);
    }
    if (misaligned(file, data, size, offset)) {
        return err_origin(-EINVAL);
    }
    size_t part = offset >= bytes->size ? 0 : MIN(size, bytes->size - offset);
    if (part > 0) {
        memcpy(data, bytes->data + offset, part);
    }
    *ret_size = part;
    return 0;
}

static uint64_t free_bytes(const struct disk_sim *sim) {
    uint64_t used;
    if (sim->limit_bytes == 0) {
        return UINT64_MAX;
    }
    used = disk_image_visible_bytes(&sim->image);
    return used < sim->limit_bytes ? sim->limit_bytes - used : 0;
}

/* How many of @size bytes at @offset there is room for. */
static size_t room(const struct disk_sim *sim, const struct sim_file *file, size_t size,
                   uint64_t offset) {
    uint64_t length = file->inode->visible.size, end = offset + size;
    if (end <= length) {
        return size;
    }
    uint64_t available = free_bytes(sim);
    if (end - length <= available) {
        return size;
    }
    uint64_t last = length + available; /* where the file may end */
    return last > offset ? (size_t)(last - offset) : 0;
}

static void *join(const struct iovec *parts, int count, size_t *ret_size) {
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    char *data = malloc(size + 1);
    if (!data) {
        abort();
    }
    *ret_size = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > 0) {
            memcpy(data + *ret_size, parts[i].iov_base, parts[i].iov_len);
            *ret_size += parts[i].iov_len;
        }
    }
    return data;
}

static int write_joined(struct disk_sim *sim, struct sim_file *file, enum course course,
                        const void *data, size_t size, uint64_t offset) {
    struct disk_inode *inode = file->inode;
    size_t fits = room(sim, file, size, offset);
    if (course == FAILS) {
        size_t part = (size_t)random_below(&sim->random.random, size + 1);
        disk_image_write(&sim->image, inode, true, data, MIN(part, fits), offset);
        return err_origin(sim->fail_error);
    }
    disk_image_write(&sim->image, inode, course != CUT, data, fits, offset);
    if (course == CUT) {
        return gone();
    }
    if ((file->flags & DISK_DSYNC) && fits == size) {
        disk_image_sync_last(inode);
    }
    return fits == size ? 0 : err_origin(DISK_E_FULL);
}

static int sim_pwritev(struct disk_file *base, const struct iovec *parts, int count,
                       uint64_t offset) {
    struct sim_file *file = file_of(base);
    struct disk_sim *sim = sim_of(base->disk);
    enum course course = enter(sim, "pwritev", file->path);
    if (course == NO_MORE) {
        return gone();
    }
    if (!(file->flags & DISK_WRITE)) {
        return err_origin(-EBADF);
    }
    for (int i = 0; i < count; i++) {
        if (misaligned(file, parts[i].iov_base, parts[i].iov_len, offset)) {
            return err_origin(-EINVAL);
        }
    }
    size_t size;
    void *data = join(parts, count, &size);
    int r = size > 0 ? write_joined(sim, file, course, data, size, offset)
                     : (course == AS_ASKED ? 0
                        : course == FAILS  ? sim->fail_error
                                           : gone());
    free(data);
    return r;
}

static int sim_sync(struct disk_file *base) {
    struct sim_file *file = file_of(base);
    struct disk_sim *sim = sim_of(base->disk);
    switch (enter(sim, "sync", file->path)) {
    case AS_ASKED:
        disk_image_sync(file->inode);
        return 0;
    case FAILS:
        disk_image_sync_failed(file->inode, &sim->random.random);
        return err_origin(sim->fail_error);
    default:
        return gone();
    }
}

static int sim_truncate(struct disk_file *base, uint64_t size) {
    struct sim_file *file = file_of(base);
    struct disk_sim *sim = sim_of(base->disk);
    bool happens, visible;
    enum course course = enter(sim, "truncate", file->path);
    uint64_t length = file->inode->visible.size;
    if (course == AS_ASKED && !(file->flags & DISK_WRITE)) {
        return err_origin(-EINVAL);
    }
    if (course == AS_ASKED && size > length && size - length > free_bytes(sim)) {
        return err_origin(DISK_E_FULL);
    }
    int r = settle(sim, course, &happens, &visible);
    if (happens) {
        disk_image_truncate(&sim->image, file->inode, visible, size);
    }
    return r;
}

static int sim_size(struct disk_file *base, uint64_t *ret_size) {
    struct sim_file *file = file_of(base);
    struct disk_sim *sim = sim_of(base->disk);
    enum course course = enter(sim, "size", file->path);
    if (course != AS_ASKED) {
        return course == FAILS ? err_origin(sim->fail_error) : gone();
    }
    *ret_size = file->inode->visible.size;
    return 0;
}

static int sim_fd(struct disk_file *base) {
    (void)base;
    return -1;
}

/* ---- folders ---- */

static int remove_entry(struct disk_sim *sim, enum course course, const char *path, bool is_dir) {
    struct disk_inode *dir, *inode;
    const char *name;
    bool happens, visible;
    if (course == NO_MORE) {
        return gone();
    }
    int r = look_up(sim, path, &dir, &name, &inode);
    if (r != 0) {
        return r;
    }
    if (!inode) {
        return err_origin(DISK_E_NOT_FOUND);
    }
    if (inode->is_dir != is_dir) {
        return err_origin(is_dir ? -ENOTDIR : -EISDIR);
    }
    if (inode->visible_dir.count > 0) {
        return err_origin(-ENOTEMPTY);
    }
    r = settle(sim, course, &happens, &visible);
    if (happens) {
        disk_image_unlink(&sim->image, visible, dir, name, inode);
    }
    return r;
}

static int sim_unlink(struct disk *disk, const char *path) {
    struct disk_sim *sim = sim_of(disk);
    return remove_entry(sim, enter(sim, "unlink", path), path, false);
}

static int sim_rmdir(struct disk *disk, const char *path) {
    struct disk_sim *sim = sim_of(disk);
    return remove_entry(sim, enter(sim, "rmdir", path), path, true);
}

static int may_replace(const struct disk_inode *moved, const struct disk_inode *replaced) {
    if (!replaced) {
        return 0;
    }
    if (replaced->is_dir != moved->is_dir) {
        return err_origin(replaced->is_dir ? -EISDIR : -ENOTDIR);
    }
    return replaced->visible_dir.count > 0 ? err_origin(-ENOTEMPTY) : 0;
}

static bool is_below(const char *path, const char *dir) {
    size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 && path[size] == '/';
}

static int sim_rename(struct disk *disk, const char *from, const char *to) {
    struct disk_sim *sim = sim_of(disk);
    struct disk_inode *from_dir, *to_dir, *moved, *replaced;
    const char *from_name, *to_name;
    bool happens, visible;
    char both[2 * SIM_PATH_MAX];
    snprintf(both, sizeof both, "%s %s", from, to);
    enum course course = enter(sim, "rename", both);
    if (course == NO_MORE) {
        return gone();
    }
    int r = look_up(sim, from, &from_dir, &from_name, &moved);
    if (r == 0 && !moved) {
        r = err_origin(DISK_E_NOT_FOUND);
    }
    if (r == 0) {
        r = look_up(sim, to, &to_dir, &to_name, &replaced);
    }
    if (r == 0) {
        r = is_below(to, from) ? err_origin(-EINVAL) : may_replace(moved, replaced);
    }
    if (r != 0) {
        return r;
    }
    r = settle(sim, course, &happens, &visible);
    if (happens && moved != replaced) {
        disk_image_move(&sim->image, visible, from_dir, from_name, to_dir, to_name, moved);
    }
    return r;
}

static int sim_mkdir(struct disk *disk, const char *path) {
    struct disk_sim *sim = sim_of(disk);
    struct disk_inode *dir, *inode;
    const char *name;
    bool happens, visible;
    enum course course = enter(sim, "mkdir", path);
    if (course == NO_MORE) {
        return gone();
    }
    int r = look_up(sim, path, &dir, &name, &inode);
    if (r != 0 || inode) {
        return r != 0 ? r : err_origin(DISK_E_EXISTS);
    }
    if (course == AS_ASKED && free_files(sim) == 0) {
        return err_origin(DISK_E_FULL);
    }
    r = settle(sim, course, &happens, &visible);
    if (happens) {
        inode = disk_inode_new(true);
        disk_image_link(&sim->image, visible, dir, name, inode);
        disk_inode_unref(inode);
    }
    return r;
}

static int sim_list(struct disk *disk, const char *path, disk_list_fn each, void *userdata) {
    struct disk_sim *sim = sim_of(disk);
    struct disk_inode *dir;
    enum course course = enter(sim, "list", path);
    if (course != AS_ASKED) {
        return course == FAILS ? err_origin(sim->fail_error) : gone();
    }
    int r = find_dir(sim, path, &dir);
    if (r != 0) {
        return r;
    }
    /* The names as they are now: each() may remove what it is told of. */
    struct {
        char name[DISK_NAME_MAX + 1];
        bool is_dir;
    } *rows = malloc((dir->visible_dir.count + 1) * sizeof *rows);
    size_t count = dir->visible_dir.count;
    if (!rows) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        const struct disk_entry *row = &dir->visible_dir.rows[i];
        snprintf(rows[i].name, sizeof rows[i].name, "%s", row->name);
        rows[i].is_dir = row->inode->is_dir;
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        r = each(userdata, rows[i].name, rows[i].is_dir);
    }
    free(rows);
    return r;
}

static int sim_sync_dir(struct disk *disk, const char *path) {
    struct disk_sim *sim = sim_of(disk);
    struct disk_inode *dir;
    enum course course = enter(sim, "sync_dir", path);
    if (course == CUT || course == NO_MORE) {
        return gone();
    }
    int r = find_dir(sim, path, &dir);
    if (r != 0) {
        return r;
    }
    if (course == AS_ASKED || coin(sim)) {
        disk_image_sync_dir(&sim->image, dir);
    }
    return course == FAILS ? err_origin(sim->fail_error) : 0;
}

static int sim_syncfs(struct disk *disk) {
    struct disk_sim *sim = sim_of(disk);
    switch (enter(sim, "syncfs", ".")) {
    case AS_ASKED:
        disk_image_sync_all(&sim->image);
        return 0;
    case FAILS:
        disk_image_sync_all_failed(&sim->image, &sim->random.random);
        return err_origin(sim->fail_error);
    default:
        return gone();
    }
}

static int sim_space(struct disk *disk, struct disk_space *ret_space) {
    struct disk_sim *sim = sim_of(disk);
    enum course course = enter(sim, "space", ".");
    if (course != AS_ASKED) {
        return course == FAILS ? err_origin(sim->fail_error) : gone();
    }
    uint64_t total = sim->limit_bytes ? sim->limit_bytes : UINT64_C(1) << 40;
    uint64_t used = disk_image_visible_bytes(&sim->image);
    *ret_space = (struct disk_space){.total_bytes = total,
                                     .available_bytes = used < total ? total - used : 0,
                                     .total_files = sim->limit_files,
                                     .available_files = sim->limit_files ? free_files(sim) : 0};
    return 0;
}

static void sim_free(struct disk *disk) {
    struct disk_sim *sim = sim_of(disk);
    list_for_each_safe(link, &sim->files) {
        file_free(list_entry(link, struct sim_file, link));
    }
    if (sim->image.root) {
        disk_image_deinit(&sim->image);
    }
    free(sim);
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwritev = sim_pwritev,
    .sync = sim_sync,
    .truncate = sim_truncate,
    .size = sim_size,
    .fd = sim_fd,
    .unlink = sim_unlink,
    .rename = sim_rename,
    .mkdir = sim_mkdir,
    .rmdir = sim_rmdir,
    .list = sim_list,
    .sync_dir = sim_sync_dir,
    .syncfs = sim_syncfs,
    .space = sim_space,
    .free = sim_free,
};

/* ---- what tests turn ---- */

static struct disk_sim *sim_alloc(uint64_t seed) {
    struct disk_sim *sim = calloc(1, sizeof *sim);
    if (sim) {
        sim->disk.ops = &sim_ops;
        list_init(&sim->files);
        random_seeded_init(&sim->random, seed);
    }
    return sim;
}

int disk_sim_new(uint64_t seed, struct disk **ret_disk) {
    struct disk_sim *sim = sim_alloc(seed);
    if (!sim) {
        return err_origin(-ENOMEM);
    }
    disk_image_init(&sim->image);
    *ret_disk = &sim->disk;
    return 0;
}

uint64_t disk_sim_calls(struct disk *disk) {
    return sim_of(disk)->calls;
}

void disk_sim_cut_at(struct disk *disk, uint64_t call) {
    sim_of(disk)->cut_at = call;
}

bool disk_sim_is_cut(struct disk *disk) {
    return sim_of(disk)->is_cut;
}

void disk_sim_fail_at(struct disk *disk, uint64_t call, int error) {
    sim_of(disk)->fail_at = call;
    sim_of(disk)->fail_error = error;
}

void disk_sim_limit(struct disk *disk, uint64_t bytes) {
    sim_of(disk)->limit_bytes = bytes;
}

void disk_sim_limit_files(struct disk *disk, uint64_t files) {
    sim_of(disk)->limit_files = files;
}

void disk_sim_refuse_direct(struct disk *disk, bool refuses) {
    sim_of(disk)->refuses_direct = refuses;
}

int disk_sim_reboot(struct disk *disk, uint64_t seed, bool power_cut, struct disk **ret_disk) {
    struct disk_sim *old = sim_of(disk);
    struct disk_sim *sim = sim_alloc(seed);
    if (!sim) {
        return err_origin(-ENOMEM);
    }
    list_for_each_safe(link, &old->files) {
        file_free(list_entry(link, struct sim_file, link));
    }
    sim->image = old->image;
    list_init(&sim->image.entry_changes);
    list_splice_back(&sim->image.entry_changes, &old->image.entry_changes);
    sim->limit_bytes = old->limit_bytes;
    sim->limit_files = old->limit_files;
    sim->refuses_direct = old->refuses_direct;
    if (power_cut || old->is_cut) {
        disk_image_cut(&sim->image, &sim->random.random);
    }
    old->image.root = NULL;
    sim_free(disk);
    *ret_disk = &sim->disk;
    return 0;
}

uint64_t disk_sim_digest(struct disk *disk) {
    return disk_image_digest(&sim_of(disk)->image);
}

static void flip(struct disk_bytes *bytes, uint64_t offset, size_t size, uint64_t seed) {
    struct random_seeded random;
    random_seeded_init(&random, seed);
    for (uint64_t at = offset; at < offset + size && at < bytes->size; at++) {
        bytes->data[at] ^= (uint8_t)(1 + random_below(&random.random, 255));
    }
}

int disk_sim_corrupt(struct disk *disk, const char *path, uint64_t offset, size_t size,
                     uint64_t seed) {
    struct disk_inode *dir, *inode;
    const char *name;
    int r = look_up(sim_of(disk), path, &dir, &name, &inode);
    if (r != 0 || !inode) {
        return r != 0 ? r : err_origin(DISK_E_NOT_FOUND);
    }
    flip(&inode->durable, offset, size, seed);
    flip(&inode->visible, offset, size, seed);
    return 0;
}

const char *disk_sim_last_call(struct disk *disk) {
    return sim_of(disk)->last_call;
}

const char *disk_sim_failed_call(struct disk *disk) {
    return sim_of(disk)->failed_call;
}
