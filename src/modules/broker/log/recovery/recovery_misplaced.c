/*
 * A folder where a file should be, a file where a folder should be, or what cannot be opened as
 * either (a link that leads nowhere, a pipe): the start is refused, and the disk's failure tells
 * what is wrong but not where. So after it we look.
 */
#include "log_private.h"
#include "recovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum kind { KIND_ANY, KIND_FILE, KIND_FOLDER };

struct look {
    struct recovery *recovery;
    const char *folder; /* "": the data folder */
    enum kind (*wanted)(const char *name);
    bool all;   /* each file must open, not those alone that have to be there */
    bool enter; /* folders are looked into as those of partitions */
};

static enum kind wanted_in_root(const char *name) {
    if (strcmp(name, "journal") == 0 || strcmp(name, "topics") == 0) {
        return KIND_FOLDER;
    }
    bool checkpoint = strcmp(name, "checkpoint.0") == 0 || strcmp(name, "checkpoint.1") == 0;
    return checkpoint ? KIND_FILE : KIND_ANY;
}

/* A folder in the place of frames is a file that is missing: that refuses nothing. */
static enum kind wanted_in_journal(const char *name) {
    bool ours =
        strcmp(name, "clean") == 0 || strcmp(name, "new") == 0 || strncmp(name, "cut-", 4) == 0;
    return ours ? KIND_FILE : KIND_ANY;
}

static enum kind wanted_in_topics(const char *name) {
    return strspn(name, "0123456789") > 0 ? KIND_FOLDER : KIND_ANY;
}

static enum kind wanted_in_partition(const char *name) {
    return strspn(name, "0123456789") == 20 && name[20] == '.' ? KIND_FILE : KIND_ANY;
}

static void tell(const struct look *look, const char *name, const char *what) {
    recovery_report(look->recovery, TOPIC_LOG_FAILED, "%s%s%s %s", look->folder,
                    *look->folder ? "/" : "", name, what);
}

static void try_open(const struct look *look, const char *name) {
    char path[SEGMENT_NAME_SIZE], what[80];
    struct disk_file *file;
    snprintf(path, sizeof path, "%s%s%s", look->folder, *look->folder ? "/" : "", name);
    int r = disk_open(look->recovery->log->disk, path, DISK_READ, &file);
    if (r == 0) {
        disk_close(file);
    } else if (r < 0) {
        snprintf(what, sizeof what, "cannot be opened: %s", err_text(r));
        tell(look, name, what);
    }
}

static int look_at(void *userdata, const char *name, bool is_dir) {
    const struct look *look = userdata;
    enum kind wanted = look->wanted(name);
    if (wanted == KIND_FILE && is_dir) {
        tell(look, name, "is a folder, and a file should be there");
    } else if (wanted == KIND_FOLDER && !is_dir) {
        tell(look, name, "is not a folder, and one should be there");
    } else if (!is_dir && (wanted == KIND_FILE || look->all)) {
        try_open(look, name);
    } else if (is_dir && look->enter) {
        char path[SEGMENT_NAME_SIZE];
        struct look inside = {look->recovery, path, wanted_in_partition};
        snprintf(path, sizeof path, "topics/%s", name);
        (void)disk_list(look->recovery->log->disk, path, look_at, &inside);
    }
    return 0;
}

void recovery_name_misplaced(struct recovery *recovery) {
    struct look looks[] = {
        {recovery, "", wanted_in_root, .all = false},
        {recovery, "journal", wanted_in_journal, .all = true},
        {recovery, "topics", wanted_in_topics, .enter = true},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(looks); i++) {
        const char *path = *looks[i].folder ? looks[i].folder : ".";
        (void)disk_list(recovery->log->disk, path, look_at, &looks[i]);
    }
}
