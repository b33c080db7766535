/*
 * What the simulated disk stores: a tree of inodes, each with a visible and a durable state, and
 * the changes that lead from the one to the other. disk_sim.c puts the port's calls on top.
 * Without memory the simulation ends: it is a test.
 */
#pragma once

#include <eventbox/base/list.h>
#include <eventbox/base/random.h>

enum { DISK_SECTOR = 512 };

struct disk_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

struct disk_entry {
    char *name;
    struct disk_inode *inode; /* one reference */
};

struct disk_dir {
    struct disk_entry *rows; /* by name */
    size_t count;
    size_t capacity;
};

/* A write or a truncation that no sync has covered. */
struct disk_change {
    struct list link; /* of the inode, in order of the calls */
    uint64_t order;   /* over the whole disk */
    bool is_truncate; /* to offset; size is 0 */
    uint64_t offset;
    size_t size;
    uint8_t data[];
};

struct disk_inode {
    unsigned refs;
    bool is_dir;
    struct disk_bytes visible, durable;
    struct list changes; /* struct disk_change.link */
    struct disk_dir visible_dir, durable_dir;
};

/* One entry set to an inode, or removed. */
struct disk_edit {
    struct disk_inode *dir;
    char *name;
    struct disk_inode *inode; /* NULL: removed */
};

/* A change of folders that no sync has covered; a rename has two edits and is never torn. */
struct disk_entry_change {
    struct list link;
    uint64_t order;
    struct disk_inode *inode; /* that moves, comes or goes */
    struct disk_edit edits[2];
    unsigned edit_count;
    bool marked;
};

struct disk_image {
    struct disk_inode *root;
    struct list entry_changes; /* in order of the calls */
    uint64_t next_order;
};

void disk_image_init(struct disk_image *image);
void disk_image_deinit(struct disk_image *image);

struct disk_inode *disk_inode_new(bool is_dir);
struct disk_inode *disk_inode_ref(struct disk_inode *inode);
void disk_inode_unref(struct disk_inode *inode);
struct disk_inode *disk_dir_find(const struct disk_dir *dir, const char *name, size_t size);

/* Changes are seen at once if @visible, and pending in any case. */
void disk_image_write(struct disk_image *image, struct disk_inode *inode, bool visible,
                      const void *data, size_t size, uint64_t offset);
void disk_image_truncate(struct disk_image *image, struct disk_inode *inode, bool visible,
                         uint64_t size);
void disk_image_link(struct disk_image *image, bool visible, struct disk_inode *dir,
                     const char *name, struct disk_inode *inode);
void disk_image_unlink(struct disk_image *image, bool visible, struct disk_inode *dir,
                       const char *name, struct disk_inode *inode);
void disk_image_move(struct disk_image *image, bool visible, struct disk_inode *from_dir,
                     const char *from, struct disk_inode *to_dir, const char *to,
                     struct disk_inode *inode);

/** disk_image_sync() - all changes of a file's content are durable */
void disk_image_sync(struct disk_inode *inode);
/** disk_image_sync_last() - the last write of @inode is durable, with those before it that it
 * touches */
void disk_image_sync_last(struct disk_inode *inode);
/** disk_image_sync_failed() - as after a failed sync: each write durable now or never, by chance */
void disk_image_sync_failed(struct disk_inode *inode, struct random *random);
/** disk_image_sync_dir() - all changes of @dir's entries are durable, and what they build on */
void disk_image_sync_dir(struct disk_image *image, struct disk_inode *dir);
void disk_image_sync_all(struct disk_image *image);
/** disk_image_sync_all_failed() - as disk_image_sync_failed(), for every file and folder */
void disk_image_sync_all_failed(struct disk_image *image, struct random *random);

/** disk_image_cut() - the power is gone: every pending change is kept, dropped or torn */
void disk_image_cut(struct disk_image *image, struct random *random);
uint64_t disk_image_digest(const struct disk_image *image);
uint64_t disk_image_visible_bytes(const struct disk_image *image);
/** disk_image_visible_files() - files and folders, without the root */
uint64_t disk_image_visible_files(const struct disk_image *image);
