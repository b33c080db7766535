/*
 * A disk that reads another and keeps what is written to itself in memory: whoever inspects a data
 * folder can run the very code that a start runs, and the folder stays as it was, to the byte.
 *
 * A node stands for one path that was opened or changed:
 *
 *   below      path in the disk below that the first bytes come from; empty: it is new here
 *   below_end  how many of them still count; a truncation lowers it for good
 *   size       what the file has now
 *   pages      4 KiB each, whole, over the bytes from below
 *   absent     the path was removed here, whatever is below
 *
 * Nodes without a change go when the last file of theirs is closed, so that reading ten thousand
 * segments keeps none. A path that is removed or renamed over leaves its node to the files that are
 * still open, as a file system does. Thread: one at a time.
 */
#include "disk_internal.h"

#include <eventbox/base/error.h>
#include <eventbox/base/hashmap.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = DISK_ALIGN };

struct page {
    uint64_t index;
    uint8_t bytes[PAGE_BYTES];
};

struct node {
    char *path;
    char *below;
    uint64_t below_end, size;
    struct hashmap pages; /* struct page by index */
    unsigned refs;        /* files, and one while it is in the map */
    bool is_dir, absent, changed;
};

struct overlay {
    struct disk disk;
    struct disk *below;
    struct hashmap nodes; /* by path */
};

struct overlay_file {
    struct disk_file file;
    struct node *node;
    struct disk_file *below; /* NULL: nothing of it is below */
};

static struct overlay *overlay_of(struct disk *disk) {
    return container_of(disk, struct overlay, disk);
}

static struct overlay_file *file_of(struct disk_file *file) {
    return container_of(file, struct overlay_file, file);
}

/* ---- nodes ---- */

static void node_unref(struct node *node) {
    if (!node || --node->refs > 0) {
        return;
    }
    size_t position = 0;
    struct page *page;
    while ((page = hashmap_next(&node->pages, &position)) != NULL) {
        free(page);
    }
    hashmap_deinit(&node->pages);
    free(node->below);
    free(node->path);
    free(node);
}

static struct node *node_find(const struct overlay *overlay, const char *path) {
    return hashmap_find(&overlay->nodes, span_of(path, strlen(path)));
}

static void node_forget(struct overlay *overlay, struct node *node) {
    if (node) {
        hashmap_remove(&overlay->nodes, span_of(node->path, strlen(node->path)));
        node_unref(node);
    }
}

/* Puts @node at @path; whatever stood there goes. */
static int node_enter(struct overlay *overlay, struct node *node, const char *path) {
    char *copy = strdup(path);
    if (!copy) {
        return err_origin(-ENOMEM);
    }
    node_forget(overlay, node_find(overlay, path));
    free(node->path);
    node->path = copy;
    return hashmap_put(&overlay->nodes, span_of(copy, strlen(copy)), node, NULL);
}

static int node_new(struct overlay *overlay, const char *path, struct node **ret_node) {
    struct node *node = calloc(1, sizeof *node);
    if (!node) {
        return err_origin(-ENOMEM);
    }
    node->refs = 1;
    hashmap_init(&node->pages, 1, 2); /* nobody outside chooses these keys, nor those of nodes */
    int r = node_enter(overlay, node, path);
    if (r) {
        node_unref(node);
        return err_trace(r);
    }
    *ret_node = node;
    return 0;
}

static int end_listing(void *userdata, const char *name, bool is_dir) {
    return 1;
}

/* Whether @path is below: 0 with what it is, DISK_E_NOT_FOUND, or what went wrong. */
static int look_below(struct overlay *overlay, const char *path, bool *ret_is_dir,
                      uint64_t *ret_size) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_list(overlay->below, path, end_listing, NULL);
    if (r == 0 || r == 1) {
        *ret_is_dir = true;
        return 0;
    }
    *ret_is_dir = false;
    r = disk_open(overlay->below, path, DISK_READ, &file);
    return r ? r : disk_size(file, ret_size);
}

/* The node of @path, made from what is below; DISK_E_NOT_FOUND when there is nothing. */
static int node_get(struct overlay *overlay, const char *path, struct node **ret_node) {
    struct node *node = node_find(overlay, path);
    if (node) {
        *ret_node = node;
        return node->absent ? DISK_E_NOT_FOUND : 0;
    }
    bool is_dir = false;
    uint64_t size = 0;
    int r = look_below(overlay, path, &is_dir, &size);
    if (r || (r = node_new(overlay, path, &node)) != 0) {
        return r;
    }
    node->is_dir = is_dir;
    node->size = node->below_end = size;
    node->below = strdup(path);
    if (!node->below) {
        node_forget(overlay, node);
        return err_origin(-ENOMEM);
    }
    *ret_node = node;
    return 0;
}

/* What is below at @path counts no more. */
static int node_hide(struct overlay *overlay, const char *path) {
    struct node *node = NULL;
    int r = node_new(overlay, path, &node);
    if (!r) {
        node->absent = node->changed = true;
    }
    return r;
}

/* ---- files ---- */

static int create_node(struct overlay *overlay, const char *path, struct node **ret_node) {
    const char *slash = strrchr(path, '/');
    if (slash) {
        char folder[DISK_NAME_MAX + 1];
        struct node *parent;
        if ((size_t)(slash - path) >= sizeof folder) {
            return err_origin(-ENAMETOOLONG);
        }
        memcpy(folder, path, (size_t)(slash - path));
        folder[slash - path] = '\0';
        int r = node_get(overlay, folder, &parent);
        if (r) {
            return r;
        }
    }
    int r = node_new(overlay, path, ret_node);
    if (!r) {
        (*ret_node)->changed = true;
    }
    return r;
}

static void cut_pages(struct node *node, uint64_t size) {
    size_t position = 0;
    struct page *page;
    while ((page = hashmap_next(&node->pages, &position)) != NULL) {
        uint64_t begin = page->index * PAGE_BYTES;
        if (begin >= size) {
            hashmap_remove(&node->pages, span_of(&page->index, sizeof page->index));
            free(page);
        } else if (begin + PAGE_BYTES > size) {
            memset(page->bytes + (size - begin), 0, (size_t)(begin + PAGE_BYTES - size));
        }
    }
    node->below_end = MIN(node->below_end, size);
    node->size = size;
    node->changed = true;
}

static int overlay_open(struct disk *base, const char *path, unsigned flags,
                        struct disk_file **ret_file) {
    struct overlay *overlay = overlay_of(base);
    struct node *node = NULL;
    if (!disk_path_valid(path)) {
        return err_origin(-EINVAL);
    }
    int r = node_get(overlay, path, &node);
    if (!r && (flags & DISK_CREATE) && (flags & DISK_EXCLUSIVE)) {
        return err_origin(DISK_E_EXISTS);
    }
    if (r == DISK_E_NOT_FOUND && (flags & DISK_CREATE)) {
        r = create_node(overlay, path, &node);
    }
    if (r) {
        return r;
    }
    if (node->is_dir) {
        return err_origin(-EISDIR);
    }
    struct overlay_file *file = calloc(1, sizeof *file);
    if (!file) {
        return err_origin(-ENOMEM);
    }
    if (flags & DISK_TRUNCATE) {
        cut_pages(node, 0);
    }
    if (node->below) {
        r = disk_open(overlay->below, node->below, DISK_READ | (flags & DISK_DIRECT), &file->below);
        if (r) {
            free(file);
            return r;
        }
    }
    node->refs++;
    file->file.disk = base;
    file->node = node;
    *ret_file = &file->file;
    return 0;
}

static void overlay_close(struct disk_file *base) {
    if (!base) {
        return;
    }
    struct overlay_file *file = file_of(base);
    struct overlay *overlay = overlay_of(base->disk);
    struct node *node = file->node;
    disk_close(file->below);
    free(file);
    bool in_map = node_find(overlay, node->path) == node;
    node_unref(node);
    if (in_map && node->refs == 1 && !node->changed) {
        node_forget(overlay, node);
    }
}

/* Bytes from below, zeros behind their end. */
static int read_below(const struct overlay_file *file, uint8_t *data, size_t size,
                      uint64_t offset) {
    size_t got = 0, counts = 0;
    if (file->below && offset < file->node->below_end) {
        counts = (size_t)MIN((uint64_t)size, file->node->below_end - offset);
        int r = disk_pread(file->below, data, size, offset, &got);
        if (r) {
            return err_trace(r);
        }
        got = MIN(got, counts);
    }
    memset(data + got, 0, size - got);
    return 0;
}

static int overlay_pread(struct disk_file *base, void *data, size_t size, uint64_t offset,
                         size_t *ret_size) {
    struct overlay_file *file = file_of(base);
    struct node *node = file->node;
    *ret_size = 0;
    if (offset >= node->size || size == 0) {
        return 0;
    }
    int r = read_below(file, data, size, offset);
    size = (size_t)MIN((uint64_t)size, node->size - offset);
    uint64_t end = offset + size;
    for (uint64_t index = offset / PAGE_BYTES; !r && node->pages.count > 0; index++) {
        uint64_t begin = index * PAGE_BYTES;
        if (begin >= end) {
            break;
        }
        const struct page *page = hashmap_find(&node->pages, span_of(&index, sizeof index));
        if (page) {
            uint64_t from = MAX(begin, offset), to = MIN(begin + PAGE_BYTES, end);
            memcpy((uint8_t *)data + (from - offset), page->bytes + (from - begin),
                   (size_t)(to - from));
        }
    }
    *ret_size = size;
    return r;
}

static int get_page(struct overlay_file *file, uint64_t index, bool whole, struct page **ret_page) {
    struct node *node = file->node;
    struct page *page = hashmap_find(&node->pages, span_of(&index, sizeof index));
    if (page) {
        *ret_page = page;
        return 0;
    }
    page = calloc(1, sizeof *page);
    if (!page) {
        return err_origin(-ENOMEM);
    }
    page->index = index;
    int r = whole ? 0 : read_below(file, page->bytes, PAGE_BYTES, index * PAGE_BYTES);
    if (!r) {
        r = hashmap_put(&node->pages, span_of(&page->index, sizeof page->index), page, NULL);
    }
    if (r) {
        free(page);
        return err_trace(r);
    }
    *ret_page = page;
    return 0;
}

static int write_part(struct overlay_file *file, const uint8_t *data, size_t size,
                      uint64_t offset) {
    while (size > 0) {
        struct page *page;
        size_t at = (size_t)(offset % PAGE_BYTES), count = MIN(PAGE_BYTES - at, size);
        int r = get_page(file, offset / PAGE_BYTES, count == PAGE_BYTES, &page);
        if (r) {
            return r;
        }
        memcpy(page->bytes + at, data, count);
        data += count;
        offset += count;
        size -= count;
    }
    return 0;
}

static int overlay_pwritev(struct disk_file *base, const struct iovec *parts, int count,
                           uint64_t offset) {
    struct overlay_file *file = file_of(base);
    file->node->changed = true;
    for (int i = 0; i < count; i++) {
        int r = write_part(file, parts[i].iov_base, parts[i].iov_len, offset);
        if (r) {
            return err_trace(r);
        }
        offset += parts[i].iov_len;
    }
    file->node->size = MAX(file->node->size, offset);
    return 0;
}

static int overlay_sync(struct disk_file *base) {
    return 0;
}

static int overlay_truncate(struct disk_file *base, uint64_t size) {
    cut_pages(file_of(base)->node, size);
    return 0;
}

static int overlay_size(struct disk_file *base, uint64_t *ret_size) {
    *ret_size = file_of(base)->node->size;
    return 0;
}

static int overlay_fd(struct disk_file *base) {
    return -1;
}

/* ---- names ---- */

static int overlay_unlink(struct disk *base, const char *path) {
    struct node *node;
    int r = node_get(overlay_of(base), path, &node);
    return r ? r : node_hide(overlay_of(base), path);
}

static int overlay_rename(struct disk *base, const char *from, const char *to) {
    struct overlay *overlay = overlay_of(base);
    struct node *node;
    int r = node_get(overlay, from, &node);
    if (r) {
        return r;
    }
    hashmap_remove(&overlay->nodes, span_of(node->path, strlen(node->path)));
    node->changed = true;
    r = node_enter(overlay, node, to);
    return r ? err_trace(r) : node_hide(overlay, from);
}

static int overlay_mkdir(struct disk *base, const char *path) {
    struct node *node;
    int r = node_get(overlay_of(base), path, &node);
    if (r != DISK_E_NOT_FOUND) {
        return r ? r : err_origin(DISK_E_EXISTS);
    }
    r = create_node(overlay_of(base), path, &node);
    if (!r) {
        node->is_dir = true;
    }
    return r;
}

struct listing {
    struct overlay *overlay;
    const char *path;
    disk_list_fn each;
    void *userdata;
};

static int list_below(void *userdata, const char *name, bool is_dir) {
    const struct listing *listing = userdata;
    char path[2 * DISK_NAME_MAX];
    bool top = strcmp(listing->path, ".") == 0;
    size_t size = top ? 0 : strlen(listing->path);
    if (size + strlen(name) + 2 > sizeof path) {
        return err_origin(-ENAMETOOLONG);
    }
    memcpy(path, listing->path, size);
    path[size] = '/';
    strcpy(path + size + !top, name);
    const struct node *node = node_find(listing->overlay, path);
    /* What was made or moved here stands in the map and is told from there. */
    return node && (node->absent || node->changed) ? 0
                                                   : listing->each(listing->userdata, name, is_dir);
}

static int overlay_list(struct disk *base, const char *path, disk_list_fn each, void *userdata) {
    struct overlay *overlay = overlay_of(base);
    struct listing listing = {overlay, path, each, userdata};
    const struct node *folder = node_find(overlay, path);
    bool top = strcmp(path, ".") == 0;
    if (folder && folder->absent) {
        return err_origin(DISK_E_NOT_FOUND);
    }
    int r = disk_list(overlay->below, path, list_below, &listing);
    if (r && !(r == DISK_E_NOT_FOUND && folder)) {
        return r;
    }
    size_t position = 0, size = top ? 0 : strlen(path) + 1;
    const struct node *node;
    while ((node = hashmap_next(&overlay->nodes, &position)) != NULL) {
        bool inside =
            top || (strncmp(node->path, path, size - 1) == 0 && node->path[size - 1] == '/');
        if (!inside || node->absent || !node->changed || strchr(node->path + size, '/')) {
            continue;
        }
        r = each(userdata, node->path + size, node->is_dir);
        if (r) {
            return r;
        }
    }
    return 0;
}

static int overlay_sync_dir(struct disk *base, const char *path) {
    return 0;
}

static int overlay_syncfs(struct disk *base) {
    return 0;
}

static int overlay_space(struct disk *base, struct disk_space *ret_space) {
    return disk_space(overlay_of(base)->below, ret_space);
}

static void overlay_free(struct disk *base) {
    struct overlay *overlay = overlay_of(base);
    size_t position = 0;
    struct node *node;
    while ((node = hashmap_next(&overlay->nodes, &position)) != NULL) {
        node_forget(overlay, node);
    }
    hashmap_deinit(&overlay->nodes);
    free(overlay);
}

static const struct disk_ops overlay_ops = {
    .open = overlay_open,
    .close = overlay_close,
    .pread = overlay_pread,
    .pwritev = overlay_pwritev,
    .sync = overlay_sync,
    .truncate = overlay_truncate,
    .size = overlay_size,
    .fd = overlay_fd,
    .unlink = overlay_unlink,
    .rename = overlay_rename,
    .mkdir = overlay_mkdir,
    .rmdir = overlay_unlink,
    .list = overlay_list,
    .sync_dir = overlay_sync_dir,
    .syncfs = overlay_syncfs,
    .space = overlay_space,
    .free = overlay_free,
};

int disk_overlay_new(struct disk *below, struct disk **ret_disk) {
    struct overlay *overlay = calloc(1, sizeof *overlay);
    if (!overlay) {
        return err_origin(-ENOMEM);
    }
    overlay->disk.ops = &overlay_ops;
    overlay->below = below;
    hashmap_init(&overlay->nodes, 3, 4);
    *ret_disk = &overlay->disk;
    return 0;
}
