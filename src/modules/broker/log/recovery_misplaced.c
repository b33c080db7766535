/*
 * A folder where a file should be, or a file where a folder should be: the start is refused, and
 * the disk's failure tells what is wrong but not where. So after it we look.
 */
#include "recovery.h"

#include <string.h>

enum kind { KIND_ANY, KIND_FILE, KIND_FOLDER };

struct look {
    struct recovery *recovery;
    const char *folder; /* "": the data folder */
    enum kind (*wanted)(const char *name);
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

static int look_at(void *userdata, const char *name, bool is_dir) {
    const struct look *look = userdata;
    enum kind wanted = look->wanted(name);
    if (wanted == (is_dir ? KIND_FILE : KIND_FOLDER)) {
        recovery_report(look->recovery, TOPIC_LOG_FAILED, "%s%s%s %s", look->folder,
                        *look->folder ? "/" : "", name,
                        is_dir ? "is a folder, and a file should be there"
                               : "is not a folder, and one should be there");
    }
    return 0;
}

void recovery_name_misplaced(struct recovery *recovery) {
    struct look looks[] = {
        {recovery, "", wanted_in_root},
        {recovery, "journal", wanted_in_journal},
        {recovery, "topics", wanted_in_topics},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(looks); i++) {
        const char *path = *looks[i].folder ? looks[i].folder : ".";
        (void)disk_list(recovery->log->disk, path, look_at, &looks[i]);
    }
}
