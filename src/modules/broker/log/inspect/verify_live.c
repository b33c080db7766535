/*
 * What is wrong with a partition, beside a server that goes on compacting it.
 *
 * Between the look at the state (inspect_live.c) and the look at the files a compaction may have
 * moved them. So a finding is not told when it is met. The partition is looked at anew:
 *
 *   - the names in its folder, .log and .cleaned, and then the state, its list of segments;
 *   - all of its batches against that.
 *
 * Findings are told when two such rounds in a row have them, and names and list were the same at
 * both, and once more behind the second. That they are real then follows from the order of a swap:
 * .cleaned files, durable record, renames. A swap between the first look and the last one would
 * show in the list; one that the first look knew already, and whose renames came after it had put
 * them into its overlay, has .cleaned names at the first look and none at the last one; and if
 * those were made after the first look at names, the second round has them from its beginning.
 *
 * What is behind the last segment as of the first look is left out of names and list, since a busy
 * partition always gets more. Where they do not come to rest in ROUNDS_MAX rounds nothing was
 * proven, and a note says so.
 */
#include "verify_live.h"
#include "topics/registry.h"

#include <errno.h>
#include <eventbox/base/siphash.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_MAX = 10 };

/* ---- findings that wait ---- */

struct held {
    struct log_finding finding;
    char *topic, *file, *text;
};

struct held_list {
    struct held *at;
    size_t count;
    bool failed; /* no memory */
};

static char *copy_of(const char *text, bool *failed) {
    char *copy = text ? strdup(text) : NULL;
    *failed |= text && !copy;
    return copy;
}

static void hold(void *userdata, const struct log_finding *finding) {
    struct held_list *list = userdata;
    struct held *grown = realloc(list->at, (list->count + 1) * sizeof *grown);
    if (!grown) {
        list->failed = true;
        return;
    }
    list->at = grown;
    struct held *held = &grown[list->count++];
    *held = (struct held){.finding = *finding};
    held->finding.topic = held->topic = copy_of(finding->topic, &list->failed);
    held->finding.file = held->file = copy_of(finding->file, &list->failed);
    held->finding.text = held->text = copy_of(finding->text, &list->failed);
}

static void held_clear(struct held_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->at[i].topic);
        free(list->at[i].file);
        free(list->at[i].text);
    }
    free(list->at);
    *list = (struct held_list){0};
}

static void held_tell(struct log_verify *verify, const struct held_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const struct log_finding *finding = &list->at[i].finding;
        verify->worst = MAX(verify->worst, finding->level);
        verify->findings[finding->level]++;
        verify->on_finding(verify->userdata, finding);
    }
}

/* Checks @partition; what it finds goes to @list and nowhere else. */
static int check_held(struct log_verify *verify, struct log_partition *partition,
                      struct held_list *list) {
    struct log_verify quiet = *verify;
    quiet.on_finding = hold;
    quiet.userdata = list;
    int r = log_verify_partition(&quiet, partition);
    if (!r && !list->failed && list->count == 0) {
        /* What was read of it counts once, and when it was right. */
        quiet.on_finding = verify->on_finding;
        quiet.userdata = verify->userdata;
        memcpy(quiet.findings, verify->findings, sizeof quiet.findings);
        quiet.worst = verify->worst;
        *verify = quiet;
    }
    return r ? r : list->failed ? err_origin(-ENOMEM) : 0;
}

/* ---- whether anything moves ---- */

struct look {
    uint64_t names, list;
};

struct listing {
    int64_t limit;
    uint64_t sum;
};

static uint64_t hash_of(const void *data, size_t size) {
    static const uint64_t key[2] = {1, 2}; /* nobody outside chooses what is hashed */
    return siphash13(key, span_of(data, size));
}

/* Added up: the order of a listing is no one's. */
static int add_name(void *userdata, const char *name, bool is_dir) {
    struct listing *listing = userdata;
    const char *dot = strrchr(name, '.');
    if (!is_dir && dot && (strcmp(dot, ".log") == 0 || strcmp(dot, ".cleaned") == 0) &&
        strtoll(name, NULL, 10) <= listing->limit) {
        listing->sum += hash_of(name, strlen(name));
    }
    return 0;
}

static int look_at_names(struct log_verify *verify, const struct live_suspect *suspect,
                         struct look *look) {
    char folder[SEGMENT_NAME_SIZE];
    struct listing listing = {.limit = suspect->limit};
    segment_folder(suspect->topic, suspect->partition, folder);
    int r = disk_list(verify->inspect->folder, folder, add_name, &listing);
    look->names = listing.sum;
    return r == DISK_E_NOT_FOUND ? 0 : r;
}

static void look_at_list(const struct log_partition *partition, const struct live_suspect *suspect,
                         struct look *look) {
    look->list = 0;
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        bool last = i + 1 == partition->segment_count; /* it grows */
        uint64_t row[2] = {(uint64_t)segment->base_offset, last ? 0 : segment->bytes};
        if (segment->base_offset <= suspect->limit) {
            look->list += hash_of(row, sizeof row);
        }
    }
}

static void no_event(void *userdata, enum topic_log_event event, const char *text) {
}

static int open_again(struct log_inspect *inspect) {
    log_inspect_close(inspect);
    inspect->on_event = no_event; /* it has told what there is */
    return log_inspect_open(inspect);
}

/* NULL: it is deleted, and whatever it had is nobody's loss. */
static struct log_partition *find(const struct log_verify *verify,
                                  const struct live_suspect *suspect) {
    struct log_topic *topic = registry_by_number(verify->inspect->log, suspect->topic);
    struct partition *found =
        topic && !topic->public.deleted ? partition_get(&topic->public, suspect->partition) : NULL;
    return found ? log_partition_of(found) : NULL;
}

/* ---- rounds ---- */

static void tell_moving(struct log_verify *verify, const struct log_partition *partition) {
    const struct log_finding finding = {
        .level = FINDING_NOTE,
        .kind = "records",
        .topic = partition->topic->public.name,
        .partition = partition->public.index,
        .from = 0,
        .to = -1,
        .text = "its files were being replaced all the while; it could not be checked"};
    verify->unchecked++;
    verify->findings[FINDING_NOTE]++;
    verify->on_finding(verify->userdata, &finding);
}

static int check_suspect(struct log_verify *verify, const struct live_suspect *suspect) {
    struct held_list list = {0};
    struct look before = {0};
    struct log_partition *partition = NULL;
    int r = 0;
    for (unsigned round = 0, same = 0; round < ROUNDS_MAX; round++) {
        struct look now = {0};
        r = look_at_names(verify, suspect, &now);
        r = r ? r : open_again(verify->inspect);
        partition = r ? NULL : find(verify, suspect);
        if (!partition) {
            break;
        }
        look_at_list(partition, suspect, &now);
        same = round > 0 && now.names == before.names && now.list == before.list ? same + 1 : 0;
        before = now;
        if (same == 2) {
            held_tell(verify, &list);
            held_clear(&list);
            return 0;
        }
        held_clear(&list);
        r = check_held(verify, partition, &list);
        if (r || list.count == 0) {
            break;
        }
    }
    if (!r && partition && list.count > 0) {
        tell_moving(verify, partition);
    }
    held_clear(&list);
    return r;
}

int live_check(struct log_verify *verify, struct log_partition *partition,
               struct live_suspects *suspects) {
    struct held_list list = {0};
    int r = check_held(verify, partition, &list);
    if (!r && list.count > 0) {
        struct live_suspect *grown = realloc(suspects->at, (suspects->count + 1) * sizeof *grown);
        if (grown) {
            uint32_t count = partition->segment_count;
            suspects->at = grown;
            grown[suspects->count++] = (struct live_suspect){
                .topic = partition->topic->public.number,
                .partition = partition->public.index,
                .limit = count > 0 ? partition->segments[count - 1].base_offset : -1};
        } else {
            r = err_origin(-ENOMEM);
        }
    }
    held_clear(&list);
    return r;
}

int live_check_again(struct log_verify *verify, struct live_suspects *suspects) {
    int r = 0;
    for (size_t i = 0; i < suspects->count && !r; i++) {
        r = check_suspect(verify, &suspects->at[i]);
    }
    return r ? err_trace(r) : 0;
}
