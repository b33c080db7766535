/*
 * Visible and durable.
 *
 * A file has two contents, a folder two sets of entries. A call changes the visible one at once and
 * leaves a change behind; a sync applies changes to the durable one in the order of the calls. At a
 * power cut some changes that no sync covered are applied nevertheless, because a real kernel
 * writes back when it likes, in the order that it likes:
 *
 *   - writes are kept, dropped, or torn: a front part, or any of their 512-byte sectors, or their
 *     length without their bytes (a file that grew and reads as zeros);
 *   - truncations are kept or dropped;
 *   - changes of folders are kept or dropped, but one that builds on a dropped one (same name, same
 *     inode) goes with it, as file systems with a journal promise, and a rename is never halved.
 *
 * "In any order" needs no permutation: the outcome of a reordering that the cut interrupts is a
 * subset, applied in order. Some cuts keep or drop everything or a front part of all changes, since
 * those are frequent in life and rare by dice.
 *
 * Syncing a file does not make its entry durable; syncing its folder does.
 */
#include "disk_image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

static void *must(void *memory) {
    if (!memory) {
        abort();
    }
    return memory;
}

static void bytes_resize(struct disk_bytes *bytes, size_t size) {
    if (size > bytes->capacity) {
        size_t capacity = MAX(size, bytes->capacity * 2);
        bytes->data = must(realloc(bytes->data, capacity));
        bytes->capacity = capacity;
    }
    if (size > bytes->size) {
        memset(bytes->data + bytes->size, 0, size - bytes->size);
    }
    bytes->size = size;
}

static void bytes_write(struct disk_bytes *bytes, const void *data, size_t size, uint64_t offset) {
    if (size > 0) {
        bytes_resize(bytes, MAX(bytes->size, offset + size));
        memcpy(bytes->data + offset, data, size);
    }
}

static void bytes_deinit(struct disk_bytes *bytes) {
    free(bytes->data);
    *bytes = (struct disk_bytes){0};
}

/* ---- folders ---- */

static int name_compare(const char *name, const char *other, size_t other_size) {
    int order = strncmp(name, other, other_size);
    return order != 0 ? order : name[other_size] != '\0';
}

/* The row of @name, or where it belongs. */
static size_t dir_position(const struct disk_dir *dir, const char *name, size_t size) {
    size_t low = 0, high = dir->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (name_compare(dir->rows[middle].name, name, size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct disk_inode *disk_dir_find(const struct disk_dir *dir, const char *name, size_t size) {
    size_t at = dir_position(dir, name, size);
    bool found = at < dir->count && name_compare(dir->rows[at].name, name, size) == 0;
    return found ? dir->rows[at].inode : NULL;
}

static void dir_remove(struct disk_dir *dir, const char *name) {
    size_t at = dir_position(dir, name, strlen(name));
    if (at < dir->count && strcmp(dir->rows[at].name, name) == 0) {
        struct disk_entry row = dir->rows[at];
        memmove(&dir->rows[at], &dir->rows[at + 1], (--dir->count - at) * sizeof row);
        free(row.name);
        disk_inode_unref(row.inode);
    }
}

static void dir_set(struct disk_dir *dir, const char *name, struct disk_inode *inode) {
    disk_inode_ref(inode);
    dir_remove(dir, name);
    if (dir->count == dir->capacity) {
        dir->capacity = MAX(dir->capacity * 2, 8u);
        dir->rows = must(realloc(dir->rows, dir->capacity * sizeof *dir->rows));
    }
    size_t at = dir_position(dir, name, strlen(name));
    memmove(&dir->rows[at + 1], &dir->rows[at], (dir->count++ - at) * sizeof *dir->rows);
    dir->rows[at] = (struct disk_entry){must(strdup(name)), inode};
}

static void dir_deinit(struct disk_dir *dir) {
    for (size_t i = 0; i < dir->count; i++) {
        free(dir->rows[i].name);
        disk_inode_unref(dir->rows[i].inode);
    }
    free(dir->rows);
    *dir = (struct disk_dir){0};
}

static void dir_copy(struct disk_dir *to, const struct disk_dir *from) {
    for (size_t i = 0; i < from->count; i++) {
        dir_set(to, from->rows[i].name, from->rows[i].inode);
    }
}

/* ---- inodes ---- */

struct disk_inode *disk_inode_new(bool is_dir) {
    struct disk_inode *inode = must(calloc(1, sizeof *inode));
    inode->refs = 1;
    inode->is_dir = is_dir;
    list_init(&inode->changes);
    return inode;
}

struct disk_inode *disk_inode_ref(struct disk_inode *inode) {
    inode->refs++;
    return inode;
}

static void change_free(struct disk_change *change) {
    list_remove(&change->link);
    free(change);
}

void disk_inode_unref(struct disk_inode *inode) {
    struct list *link;
    if (!inode || --inode->refs > 0) {
        return;
    }
    while ((link = list_pop_front(&inode->changes))) {
        free(list_entry(link, struct disk_change, link));
    }
    bytes_deinit(&inode->visible);
    bytes_deinit(&inode->durable);
    dir_deinit(&inode->visible_dir);
    dir_deinit(&inode->durable_dir);
    free(inode);
}

/* ---- changes ---- */

static void change_add(struct disk_image *image, struct disk_inode *inode, bool is_truncate,
                       const void *data, size_t size, uint64_t offset) {
    struct disk_change *change = must(malloc(sizeof *change + size));
    *change = (struct disk_change){
        .order = image->next_order++, .is_truncate = is_truncate, .offset = offset, .size = size};
    if (size > 0) {
        memcpy(change->data, data, size);
    }
    list_push_back(&inode->changes, &change->link);
}

void disk_image_write(struct disk_image *image, struct disk_inode *inode, bool visible,
                      const void *data, size_t size, uint64_t offset) {
    if (visible) {
        bytes_write(&inode->visible, data, size, offset);
    }
    change_add(image, inode, false, data, size, offset);
}

void disk_image_truncate(struct disk_image *image, struct disk_inode *inode, bool visible,
                         uint64_t size) {
    if (visible) {
        bytes_resize(&inode->visible, size);
    }
    change_add(image, inode, true, NULL, 0, size);
}

static void edit_apply(const struct disk_edit *edit, struct disk_dir *dir) {
    if (edit->inode) {
        dir_set(dir, edit->name, edit->inode);
    } else {
        dir_remove(dir, edit->name);
    }
}

static struct disk_entry_change *entry_change_new(struct disk_image *image,
                                                  struct disk_inode *inode) {
    struct disk_entry_change *change = must(calloc(1, sizeof *change));
    change->order = image->next_order++;
    change->inode = disk_inode_ref(inode);
    list_push_back(&image->entry_changes, &change->link);
    return change;
}

static void entry_change_edit(struct disk_entry_change *change, bool visible,
                              struct disk_inode *dir, const char *name, struct disk_inode *inode) {
    struct disk_edit *edit = &change->edits[change->edit_count++];
    edit->dir = disk_inode_ref(dir);
    edit->name = must(strdup(name));
    edit->inode = inode ? disk_inode_ref(inode) : NULL;
    if (visible) {
        edit_apply(edit, &dir->visible_dir);
    }
}

static void entry_change_free(struct disk_entry_change *change) {
    list_remove(&change->link);
    for (unsigned i = 0; i < change->edit_count; i++) {
        disk_inode_unref(change->edits[i].dir);
        disk_inode_unref(change->edits[i].inode);
        free(change->edits[i].name);
    }
    disk_inode_unref(change->inode);
    free(change);
}

static void entry_change_apply(struct disk_entry_change *change) {
    for (unsigned i = 0; i < change->edit_count; i++) {
        edit_apply(&change->edits[i], &change->edits[i].dir->durable_dir);
    }
    entry_change_free(change);
}

void disk_image_link(struct disk_image *image, bool visible, struct disk_inode *dir,
                     const char *name, struct disk_inode *inode) {
    struct disk_entry_change *change = entry_change_new(image, inode);
    entry_change_edit(change, visible, dir, name, inode);
}

void disk_image_unlink(struct disk_image *image, bool visible, struct disk_inode *dir,
                       const char *name, struct disk_inode *inode) {
    struct disk_entry_change *change = entry_change_new(image, inode);
    entry_change_edit(change, visible, dir, name, NULL);
}

void disk_image_move(struct disk_image *image, bool visible, struct disk_inode *from_dir,
                     const char *from, struct disk_inode *to_dir, const char *to,
                     struct disk_inode *inode) {
    struct disk_entry_change *change = entry_change_new(image, inode);
    entry_change_edit(change, visible, from_dir, from, NULL);
    entry_change_edit(change, visible, to_dir, to, inode);
}

/* Whether the later of two changes builds on the earlier. */
static bool related(const struct disk_entry_change *a, const struct disk_entry_change *b) {
    if (a->inode == b->inode) {
        return true;
    }
    for (unsigned i = 0; i < a->edit_count; i++) {
        for (unsigned j = 0; j < b->edit_count; j++) {
            const struct disk_edit *x = &a->edits[i], *y = &b->edits[j];
            if (x->dir == y->dir && strcmp(x->name, y->name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* ---- syncs ---- */

static void change_apply(struct disk_inode *inode, struct disk_change *change) {
    if (change->is_truncate) {
        bytes_resize(&inode->durable, change->offset);
    } else {
        bytes_write(&inode->durable, change->data, change->size, change->offset);
    }
    change_free(change);
}

void disk_image_sync(struct disk_inode *inode) {
    list_for_each_safe(link, &inode->changes) {
        change_apply(inode, list_entry(link, struct disk_change, link));
    }
}

static bool touches(const struct disk_change *a, const struct disk_change *b) {
    return a->is_truncate || b->is_truncate ||
           (a->offset < b->offset + b->size && b->offset < a->offset + a->size);
}

void disk_image_sync_last(struct disk_inode *inode) {
    struct disk_change *last = list_entry(inode->changes.prev, struct disk_change, link);
    struct list *upto = &last->link;
    list_for_each(link, &inode->changes) {
        if (link != &last->link && touches(list_entry(link, struct disk_change, link), last)) {
            upto = link;
        }
    }
    /* All up to the last one that it touches: what it touches may build on what is before. */
    while (upto != &last->link && inode->changes.next != upto) {
        change_apply(inode, list_entry(inode->changes.next, struct disk_change, link));
    }
    if (upto != &last->link) {
        change_apply(inode, list_entry(upto, struct disk_change, link));
    }
    change_apply(inode, last);
}

void disk_image_sync_failed(struct disk_inode *inode, struct random *random) {
    list_for_each_safe(link, &inode->changes) {
        struct disk_change *change = list_entry(link, struct disk_change, link);
        if (random_below(random, 2) == 0) {
            change_apply(inode, change);
        } else if (!change->is_truncate) {
            change_free(change); /* the page counts as clean now: no later sync will write it */
        }
    }
}

static void apply_marked(struct disk_image *image) {
    list_for_each_safe(link, &image->entry_changes) {
        struct disk_entry_change *change = list_entry(link, struct disk_entry_change, link);
        if (change->marked) {
            entry_change_apply(change);
        }
    }
}

static bool in_dir(const struct disk_entry_change *change, const struct disk_inode *dir) {
    for (unsigned i = 0; i < change->edit_count; i++) {
        if (change->edits[i].dir == dir) {
            return true;
        }
    }
    return false;
}

void disk_image_sync_dir(struct disk_image *image, struct disk_inode *dir) {
    struct list *head = &image->entry_changes;
    /* From the last to the first, so that what a marked one builds on is seen after it. */
    for (struct list *link = head->prev; link != head; link = link->prev) {
        struct disk_entry_change *change = list_entry(link, struct disk_entry_change, link);
        change->marked = in_dir(change, dir);
        for (struct list *later = link->next; later != head && !change->marked;
             later = later->next) {
            struct disk_entry_change *other = list_entry(later, struct disk_entry_change, link);
            change->marked = other->marked && related(change, other);
        }
    }
    apply_marked(image);
}

typedef void (*visit_fn)(struct disk_inode *inode, void *userdata);

/* Every file that any name leads to, seen or durable; one that both see is visited twice. */
static void visit_files(struct disk_inode *inode, visit_fn visit, void *userdata) {
    if (!inode->is_dir) {
        visit(inode, userdata);
        return;
    }
    for (size_t i = 0; i < inode->visible_dir.count; i++) {
        visit_files(inode->visible_dir.rows[i].inode, visit, userdata);
    }
    for (size_t i = 0; i < inode->durable_dir.count; i++) {
        visit_files(inode->durable_dir.rows[i].inode, visit, userdata);
    }
}

static void visit_sync(struct disk_inode *inode, void *userdata) {
    (void)userdata;
    disk_image_sync(inode);
}

static void visit_sync_failed(struct disk_inode *inode, void *userdata) {
    disk_image_sync_failed(inode, userdata);
}

void disk_image_sync_all(struct disk_image *image) {
    visit_files(image->root, visit_sync, NULL);
    list_for_each_safe(link, &image->entry_changes) {
        entry_change_apply(list_entry(link, struct disk_entry_change, link));
    }
}

void disk_image_sync_all_failed(struct disk_image *image, struct random *random) {
    visit_files(image->root, visit_sync_failed, random);
    if (random_below(random, 2) == 0) {
        list_for_each_safe(link, &image->entry_changes) {
            entry_change_apply(list_entry(link, struct disk_entry_change, link));
        }
    }
}

/* ---- power cut ---- */

enum fate { KEPT, DROPPED, TORN };

struct dice {
    struct random *random;
    uint64_t mood;
    uint64_t front; /* mood 2: orders below are kept */
};

static enum fate roll(const struct dice *dice, uint64_t order) {
    switch (dice->mood) {
    case 0:
        return KEPT;
    case 1:
        return DROPPED;
    case 2:
        return order < dice->front ? KEPT : order == dice->front ? TORN : DROPPED;
    default: {
        uint64_t face = random_below(dice->random, 5);
        return face < 2 ? KEPT : face < 4 ? DROPPED : TORN;
    }
    }
}

static void tear(struct disk_inode *inode, const struct disk_change *change,
                 struct random *random) {
    uint64_t end = change->offset + change->size;
    uint64_t kind = random_below(random, 3);
    uint64_t front_end = change->offset + random_below(random, change->size + 1);
    if (kind == 2) { /* the length is there, the bytes are not */
        bytes_resize(&inode->durable, MAX(inode->durable.size, end));
        return;
    }
    for (uint64_t at = change->offset; at < end;) {
        uint64_t next = MIN(end, (at / DISK_SECTOR + 1) * DISK_SECTOR);
        bool kept = kind == 0 ? next <= front_end : random_below(random, 2) == 0;
        if (kept) {
            bytes_write(&inode->durable, change->data + (at - change->offset), next - at, at);
        }
        at = next;
    }
}

static void cut_file(struct disk_inode *inode, void *userdata) {
    const struct dice *dice = userdata;
    list_for_each_safe(link, &inode->changes) {
        struct disk_change *change = list_entry(link, struct disk_change, link);
        enum fate fate = roll(dice, change->order);
        if (fate == TORN && !change->is_truncate) {
            tear(inode, change, dice->random);
            change_free(change);
        } else if (fate == KEPT) {
            change_apply(inode, change);
        } else {
            change_free(change);
        }
    }
}

static void cut_entries(struct disk_image *image, const struct dice *dice) {
    struct list *head = &image->entry_changes;
    list_for_each(link, head) {
        struct disk_entry_change *change = list_entry(link, struct disk_entry_change, link);
        change->marked = roll(dice, change->order) == KEPT;
        for (struct list *before = head->next; before != link && change->marked;
             before = before->next) {
            struct disk_entry_change *other = list_entry(before, struct disk_entry_change, link);
            change->marked = other->marked || !related(other, change);
        }
    }
    apply_marked(image);
    list_for_each_safe(link, head) {
        entry_change_free(list_entry(link, struct disk_entry_change, link));
    }
}

static void visit_first_order(struct disk_inode *inode, void *userdata) {
    uint64_t *first = userdata;
    if (!list_empty(&inode->changes)) {
        *first = MIN(*first, list_entry(inode->changes.next, struct disk_change, link)->order);
    }
}

/* The order of the first change that still waits. */
static uint64_t first_order(struct disk_image *image) {
    uint64_t first = image->next_order;
    if (!list_empty(&image->entry_changes)) {
        first = list_entry(image->entry_changes.next, struct disk_entry_change, link)->order;
    }
    visit_files(image->root, visit_first_order, &first);
    return first;
}

/* What is seen after the start is what was durable. */
static void forget_visible(struct disk_inode *inode) {
    if (!inode->is_dir) {
        bytes_deinit(&inode->visible);
        bytes_write(&inode->visible, inode->durable.data, inode->durable.size, 0);
        return;
    }
    dir_deinit(&inode->visible_dir);
    dir_copy(&inode->visible_dir, &inode->durable_dir);
    for (size_t i = 0; i < inode->durable_dir.count; i++) {
        forget_visible(inode->durable_dir.rows[i].inode);
    }
}

void disk_image_cut(struct disk_image *image, struct random *random) {
    struct dice dice = {.random = random, .mood = random_below(random, 6)};
    uint64_t first = first_order(image);
    dice.front = first + random_below(random, image->next_order - first + 1);
    cut_entries(image, &dice);
    visit_files(image->root, cut_file, &dice);
    forget_visible(image->root);
}

/* ---- the whole ---- */

void disk_image_init(struct disk_image *image) {
    *image = (struct disk_image){.root = disk_inode_new(true)};
    list_init(&image->entry_changes);
}

void disk_image_deinit(struct disk_image *image) {
    list_for_each_safe(link, &image->entry_changes) {
        entry_change_free(list_entry(link, struct disk_entry_change, link));
    }
    disk_inode_unref(image->root);
    image->root = NULL;
}

static uint64_t mix(uint64_t hash, const void *data, size_t size) {
    const uint8_t *in = data;
    for (; size >= 8; size -= 8, in += 8) {
        uint64_t word;
        memcpy(&word, in, 8);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    for (; size > 0; size--) {
        hash = (hash ^ *in++) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static uint64_t digest_dir(uint64_t hash, const struct disk_inode *dir) {
    for (size_t i = 0; i < dir->durable_dir.count; i++) {
        const struct disk_entry *row = &dir->durable_dir.rows[i];
        const struct disk_inode *inode = row->inode;
        uint64_t head[2] = {inode->is_dir,
                            inode->is_dir ? inode->durable_dir.count : inode->durable.size};
        hash = mix(hash, row->name, strlen(row->name) + 1);
        hash = mix(hash, head, sizeof head);
        hash = inode->is_dir ? digest_dir(hash, inode)
                             : mix(hash, inode->durable.data, inode->durable.size);
    }
    return hash;
}

uint64_t disk_image_digest(const struct disk_image *image) {
    return digest_dir(UINT64_C(0xCBF29CE484222325), image->root);
}

static uint64_t visible_bytes(const struct disk_inode *inode) {
    uint64_t sum = inode->visible.size;
    for (size_t i = 0; i < inode->visible_dir.count; i++) {
        sum += visible_bytes(inode->visible_dir.rows[i].inode);
    }
    return sum;
}

uint64_t disk_image_visible_bytes(const struct disk_image *image) {
    return visible_bytes(image->root);
}

static uint64_t visible_files(const struct disk_inode *inode) {
    uint64_t sum = inode->visible_dir.count;
    for (size_t i = 0; i < inode->visible_dir.count; i++) {
        sum += visible_files(inode->visible_dir.rows[i].inode);
    }
    return sum;
}

uint64_t disk_image_visible_files(const struct disk_image *image) {
    return visible_files(image->root);
}
