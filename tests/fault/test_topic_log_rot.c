/*
 * Rot: one place of one file of a stopped log becomes other bytes, and the log starts on it. Every
 * run is a function of its seed: a life of random appends over several topics, small ones and such
 * that go to the journal from where they lie, a clean stop, a kill or a power cut, then a flipped
 * bit, a zeroed block, two blocks exchanged or an end cut off, in any file of the folder.
 *
 * What must hold, whatever was hit:
 *
 *   - no reader ever gets bytes that were not appended at that offset, its base offset and leader
 *     epoch among them, which no checksum of the client's covers (batch_order.h);
 *   - what was acknowledged is readable, but for the batches that the changed bytes are of, and
 *     those of a frame whose header they hit (rot_cover.h): nothing good is lost;
 *   - a lookup by time finds the first record that is not older, or that none is newer; or it says
 *     BROKER_E_CORRUPT, where rot stands before what it would find. It passes over nothing but what
 *     the start has set aside, and what lies before all segments that are left when records of
 *     the registry are lost, since one may have moved the log's start;
 *   - what is not readable answers BROKER_E_CORRUPT, again after another start, and the log says
 *     so;
 *   - an offset that somebody may have seen is not given out again;
 *   - the very last frame is the one exception: its rot cannot be told from a write that was torn,
 *     or never came, so it may be cut off; of two blocks exchanged one may lie in the frame before;
 *   - where both checkpoints are gone as well, the start reads every folder, and the same holds,
 *     also where a frame's header is gone, so that its file looks like one that was recycled; only
 *     when that rot hides which topics there are, the start is refused;
 *   - rot in what is derived (indexes, a checkpoint or one of its increments, the marker of a
 *     clean stop) costs nothing. A snapshot of producers is asked only when both checkpoints are
 *     gone, so these are hit as well then, and every producer's last batch must still be known as a
 *     duplicate.
 *
 * In every other run the scrub goes over it all after the first look: what was readable must be so
 * after it as well, and more than once it must have found what readers had.
 *
 * EVENTBOX_ROT_RUNS sets how many places are hit (default 300), EVENTBOX_ROT_SEED the first seed;
 * with EVENTBOX_ROT_VERBOSE what the log tells is printed.
 */
#include "log_model.h"
#include "rot_cover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = 4096, FILES_MAX = 400, PATH_BYTES = 128 };

enum place {
    PLACE_JOURNAL,
    PLACE_CHECKPOINT,
    PLACE_INCREMENT, /* behind a full checkpoint, in its file */
    PLACE_SEGMENT,
    PLACE_INDEX,
    PLACE_SNAPSHOT,
    PLACE_MARKER,
    PLACES
};
static const char *const place_names[] = {"journal", "checkpoint", "increment", "segment",
                                          "index",   "snapshot",   "marker"};

enum kind { FLIP, ZERO, SWAP, CUT, KINDS };
static const char *const kind_names[] = {"flip", "zero", "swap", "cut"};

struct files {
    char paths[FILES_MAX][PATH_BYTES];
    unsigned count;
    const char *folder;
};

/* What all runs came to, to be printed: a run of nothing but harmless hits would prove nothing. */
static struct {
    uint64_t hits[PLACES][KINDS], set_aside, whole, told, duplicates, alone, refused, scrubbed;
    uint64_t lookups, lookups_corrupt;
} met;

static enum place place_of(const char *path) {
    if (strncmp(path, "journal/clean", 13) == 0) {
        return PLACE_MARKER;
    }
    if (strncmp(path, "journal/", 8) == 0) {
        return PLACE_JOURNAL;
    }
    if (strncmp(path, "checkpoint", 10) == 0) {
        return PLACE_CHECKPOINT;
    }
    return strstr(path, ".log")        ? PLACE_SEGMENT
           : strstr(path, ".snapshot") ? PLACE_SNAPSHOT
                                       : PLACE_INDEX;
}

static int collect(void *userdata, const char *name, bool is_dir) {
    struct files *files = userdata;
    if (!is_dir && files->count < FILES_MAX) {
        snprintf(files->paths[files->count++], PATH_BYTES, "%s%s%s", files->folder,
                 files->folder[0] ? "/" : "", name);
    }
    return 0;
}

struct folders {
    char names[FILES_MAX][64];
    unsigned count;
};

static int collect_folder(void *userdata, const char *name, bool is_dir) {
    struct folders *folders = userdata;
    if (is_dir && folders->count < FILES_MAX) {
        snprintf(folders->names[folders->count++], sizeof folders->names[0], "topics/%s", name);
    }
    return 0;
}

static void list_files(struct disk *disk, struct files *files) {
    static const char *const roots[] = {"", "journal"};
    struct folders folders = {.count = 0};
    files->count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        files->folder = roots[i];
        (void)disk_list(disk, roots[i][0] ? roots[i] : ".", collect, files);
    }
    (void)disk_list(disk, "topics", collect_folder, &folders);
    for (unsigned i = 0; i < folders.count; i++) {
        files->folder = folders.names[i];
        (void)disk_list(disk, folders.names[i], collect, files);
    }
}

/* ---- the hit ---- */

struct hit {
    char path[PATH_BYTES];
    enum place place;
    enum kind kind;
    uint64_t offset;   /* the block around it for ZERO and SWAP */
    uint64_t from, to; /* of a checkpoint: where it is hit */
    bool alone;        /* both checkpoints are gone as well */
};

static uint8_t *read_whole(struct disk *disk, const char *path, size_t *ret_size) {
    struct disk_file *file = NULL;
    uint64_t size = 0;
    assert_int_equal(disk_open(disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_size(file, &size), 0);
    uint8_t *data = malloc(size + 1);
    assert_int_equal(disk_pread(file, data, size, 0, ret_size), 0);
    disk_close(file);
    return data;
}

/* Writes what is to be found by the next start, and makes it durable, as rot is. */
static void overwrite(struct disk *disk, const char *path, const uint8_t *data, size_t size,
                      uint64_t offset) {
    struct disk_file *file = NULL;
    assert_int_equal(disk_open(disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, data, size, offset), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

static void cut_off(struct disk *disk, const char *path, uint64_t size) {
    struct disk_file *file = NULL;
    assert_int_equal(disk_open(disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_truncate(file, size), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

static bool any_set(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (data[i]) {
            return true;
        }
    }
    return false;
}

/* Increments share their blocks with the full one, so what is hit of them is smaller. */
static bool damage_increment(struct disk *disk, struct random *random, struct hit *hit,
                             uint8_t *data) {
    enum { PIECE = 64 };
    uint8_t before[PIECE];
    uint64_t length = MIN((uint64_t)PIECE, hit->to - hit->offset);
    uint64_t other = hit->from + random_below(random, hit->to - hit->from - length + 1);
    memcpy(before, data + hit->offset, length);
    if (hit->kind == ZERO) {
        memset(data + hit->offset, 0, length);
    } else if (other + length <= hit->offset || hit->offset + length <= other) {
        memcpy(data + hit->offset, data + other, length);
        overwrite(disk, hit->path, before, length, other);
    }
    overwrite(disk, hit->path, data + hit->offset, length, hit->offset);
    return memcmp(before, data + hit->offset, length) != 0;
}

static bool damage(struct disk *disk, struct random *random, struct hit *hit) {
    size_t size;
    uint8_t *data = read_whole(disk, hit->path, &size);
    bool changed = false;
    if (size > 0) {
        hit->offset = random_below(random, size);
        /* Journal files are mostly zeros that nobody has written: aim at what is used. */
        for (unsigned n = 0; n < 40 && !data[hit->offset]; n++) {
            hit->offset = random_below(random, size);
        }
        if (hit->alone && hit->place == PLACE_JOURNAL) { /* headers: only frames tell of frames */
            hit->offset = hit->offset / BLOCK * BLOCK + random_below(random, FRAME_CHECKED_BYTES);
        }
        if (hit->to > 0) {
            hit->offset = hit->from + random_below(random, hit->to - hit->from);
        }
        if (hit->place == PLACE_INCREMENT && (hit->kind == ZERO || hit->kind == SWAP)) {
            changed = damage_increment(disk, random, hit, data);
            free(data);
            return changed;
        }
        uint64_t block = hit->offset / BLOCK * BLOCK;
        uint64_t length = MIN((uint64_t)BLOCK, size - block);
        uint64_t other = random_below(random, size) / BLOCK * BLOCK;
        switch (hit->kind) {
        case FLIP:
            data[hit->offset] ^= (uint8_t)(1u << random_below(random, 8));
            overwrite(disk, hit->path, data + hit->offset, 1, hit->offset);
            changed = true;
            break;
        case ZERO:
            changed = any_set(data + block, length);
            memset(data + block, 0, length);
            overwrite(disk, hit->path, data + block, length, block);
            break;
        case SWAP:
            if (other != block && other + BLOCK <= size && block + BLOCK <= size &&
                memcmp(data + block, data + other, BLOCK) != 0) {
                overwrite(disk, hit->path, data + block, BLOCK, other);
                overwrite(disk, hit->path, data + other, BLOCK, block);
                changed = true;
            }
            break;
        case CUT:
            changed = any_set(data + hit->offset, size - hit->offset);
            cut_off(disk, hit->path, hit->offset);
            break;
        default:
            fail_msg("kind %u of damage is not done", (unsigned)hit->kind);
        }
    }
    free(data);
    return changed;
}

struct run {
    bool without_power; /* how its life ended */
    struct fixture f;
    struct model model;
    struct random_seeded random;
    struct files files;
};

/* ---- what is left ---- */

struct left {
    size_t readable, corrupt, gone;
    size_t torn; /* in the last frame, taken for a write that was never finished */
};

static uint64_t last_frame(const struct model *model) {
    uint64_t last = 0;
    for (unsigned t = 0; t < model->topic_count; t++) {
        const struct model_topic *topic = model->topics[t];
        for (int32_t i = 0; i < topic->partition_count; i++) {
            for (size_t n = 0; n < topic->partitions[i].count; n++) {
                last = MAX(last, topic->partitions[i].batches[n].frame);
            }
        }
    }
    return last;
}

static bool may_be_torn(const struct model *model, const struct model_batch *batch,
                        const struct hit *hit) {
    uint64_t frames = hit->kind == SWAP ? 2 : 1; /* two blocks may be of the last two frames */
    bool named = batch->has_copy && !batch->header_hit; /* to be looked for in its segment */
    return hit->place == PLACE_JOURNAL && batch->frame_hit && !named &&
           batch->frame + frames > last_frame(model);
}

/* All of it, what no checksum covers as well: base offset, length and leader epoch. */
static bool is_whole(const uint8_t *data, size_t size, const struct model_batch *batch) {
    struct buf *expected = fixture_batch(&batch->spec);
    bool whole = size >= expected->size && (int64_t)get_be64(data) == batch->offset &&
                 get_be32(data + 8) == expected->size - 12 && get_be32(data + 12) == 0 &&
                 memcmp(data + 16, expected->data + 16, expected->size - 16) == 0;
    buf_unref(expected);
    return whole;
}

/* By its id; or the one that stands in for it, where a lost frame had its creation. */
static struct topic *find_topic(const struct model *model, const struct model_topic *topic) {
    struct topic *real = topic_log_find_id(model->f->log, &topic->id);
    unsigned number = 1; /* as they were created */
    char name[32];
    while (model->topics[number - 1] != topic) {
        number++;
    }
    snprintf(name, sizeof name, "recovered-%u", number);
    return real ? real : topic_log_find(model->f->log, span_text(name));
}

enum fate { FATE_NONE, READABLE, CORRUPT, GONE, TORN };

/* What a read at its offset says of a batch. */
static enum fate fate_of(struct model *model, struct partition *real,
                         const struct model_batch *batch, const struct hit *hit, bool *ret_other) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(model->f, real, batch->offset, 1, &data);
    enum fate fate = size == -BROKER_E_CORRUPT                         ? CORRUPT
                     : size > 0 && is_whole(data, (size_t)size, batch) ? READABLE
                     : may_be_torn(model, batch, hit)                  ? TORN
                                                                       : GONE;
    /* Another one may have the offset of a torn one now; behind a gone one a reader is led on. */
    *ret_other = fate == GONE && size > 0 && (int64_t)get_be64(data) <= batch->offset;
    if (size >= 0) {
        free(data);
    }
    return fate;
}

static void count_fate(struct left *left, enum fate fate) {
    left->readable += fate == READABLE;
    left->corrupt += fate == CORRUPT;
    left->gone += fate == GONE;
    left->torn += fate == TORN;
}

static bool is_lost(const struct model_batch *batch, const struct hit *hit) {
    return batch->may_cost && (hit->place != PLACE_JOURNAL || !batch->has_copy);
}

/*
 * Whether the damaged place had to cost this batch. Its copy in a segment helps, but not between
 * two that are gone from both: there nothing tells that it is a batch of this partition, and not
 * bytes in the records of another.
 */
static bool had_to_go(const struct model_partition *partition, size_t at, const struct hit *hit) {
    bool before = false, behind = false;
    for (size_t n = 0; n < partition->count; n++) {
        bool lost = is_lost(&partition->batches[n], hit);
        before |= n < at && lost;
        behind |= n > at && lost;
    }
    const struct model_batch *batch = &partition->batches[at];
    return is_lost(batch, hit) || (batch->may_cost && before && behind);
}

static void look_at(struct model *model, uint64_t seed, const struct hit *hit,
                    const struct model_topic *topic, int32_t at, struct partition *real,
                    struct left *left) {
    const struct model_partition *partition = &topic->partitions[at];
    for (size_t n = 0; n < partition->count; n++) {
        struct model_batch *batch = &partition->batches[n];
        bool other = false;
        batch->fate = real ? fate_of(model, real, batch, hit, &other) : GONE;
        if (!batch->acked) {
            continue;
        }
        if (other) {
            fail_msg("seed %llu: %s of %s at %llu: other bytes at offset %lld of %s-%d",
                     (unsigned long long)seed, kind_names[hit->kind], hit->path,
                     (unsigned long long)hit->offset, (long long)batch->offset, topic->name, at);
        }
        if ((batch->fate == CORRUPT || batch->fate == GONE) && !had_to_go(partition, n, hit)) {
            fail_msg("seed %llu: %s of %s at %llu: it costs offset %lld of %s-%d (%s), of frame "
                     "%llu%s%s%s",
                     (unsigned long long)seed, kind_names[hit->kind], hit->path,
                     (unsigned long long)hit->offset, (long long)batch->offset, topic->name, at,
                     batch->fate == CORRUPT ? "damaged" : "gone", (unsigned long long)batch->frame,
                     batch->frame_hit ? ", which was hit" : "",
                     batch->may_cost ? ", so was it" : "",
                     batch->has_copy ? ", whole in its segment" : "");
        }
        count_fate(left, (enum fate)batch->fate);
    }
}

/* Reads every batch of the model by itself, since what stands before it may be damaged. */
static struct left look(struct model *model, uint64_t seed, const struct hit *hit) {
    struct left left = {0};
    for (unsigned t = 0; t < model->topic_count; t++) {
        struct model_topic *topic = model->topics[t];
        struct topic *real = find_topic(model, topic);
        for (int32_t i = 0; topic->state == MODEL_CREATED && i < topic->partition_count; i++) {
            look_at(model, seed, hit, topic, i, real ? partition_get(real, i) : NULL, &left);
        }
    }
    return left;
}

/* ---- by time ---- */

enum { LARGEST_MS = -3, LOOKUPS = 4 };

static bool is_set_aside(struct partition *real, const struct model_batch *batch) {
    const struct log_partition *partition = log_partition_of(real);
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        if (partition->damage[i].from <= batch->offset && batch->offset < partition->damage[i].to) {
            return true;
        }
    }
    return false;
}

/* Before all segments that are left, where a record that moved the log's start may be lost: nobody
 * knows whether anything is missing there. A read answers what comes first behind it, be it rot. */
static bool may_be_below_start(const struct run *run, struct partition *real,
                               const struct model_batch *batch) {
    const struct log_partition *partition = log_partition_of(real);
    return strstr(run->f.all_damage, "records of the registry are lost") != NULL &&
           (partition->segment_count == 0 || batch->offset < partition->segments[0].base_offset);
}

/* Whether a lookup may go past the batch without a word: it is no longer part of the log. */
static bool may_pass(const struct run *run, struct partition *real,
                     const struct model_batch *batch) {
    return !batch->acked || batch->fate == GONE || batch->fate == TORN ||
           (batch->fate == CORRUPT &&
            (is_set_aside(real, batch) || may_be_below_start(run, real, batch)));
}

static int64_t last_ms(const struct model_batch *batch) {
    return batch->spec.timestamp_ms + (int64_t)batch->spec.records - 1;
}

/* The last batch of the model that the answer passes over, or of which it should know better. */
static const struct model_batch *passed_over(const struct run *run,
                                             const struct model_partition *partition,
                                             struct partition *real, int64_t timestamp_ms,
                                             int64_t answer, int64_t answer_ms) {
    for (size_t i = 0; i < partition->count; i++) {
        const struct model_batch *batch = &partition->batches[i];
        bool wanted = timestamp_ms < 0 ? answer < 0 || last_ms(batch) > answer_ms
                                       : last_ms(batch) >= timestamp_ms;
        bool before = answer < 0 || timestamp_ms < 0 || batch->offset < answer;
        int64_t holds_to = batch->offset + (int64_t)batch->spec.records;
        if (answer >= batch->offset && answer < holds_to && timestamp_ms >= 0) {
            /* Within the batch: the record itself, and none before it. */
            int64_t first = MAX(timestamp_ms - batch->spec.timestamp_ms, 0);
            return answer == batch->offset + first ? NULL : batch;
        }
        if (wanted && before && !may_pass(run, real, batch)) {
            return batch;
        }
    }
    return NULL;
}

/* Rot that stands where the lookup may have to pass, or may be what it looks for. Exchanged blocks
 * may bring what is behind before it. */
static bool rot_explains(const struct model_partition *partition, const struct hit *hit,
                         int64_t timestamp_ms) {
    for (size_t i = 0; i < partition->count; i++) {
        const struct model_batch *batch = &partition->batches[i];
        if (batch->fate == CORRUPT) {
            return true;
        }
        if (hit->kind != SWAP && timestamp_ms >= 0 && batch->fate == READABLE &&
            last_ms(batch) >= timestamp_ms) {
            return false; /* it would have been found before */
        }
    }
    return false;
}

static void look_up(struct run *run, uint64_t seed, const struct hit *hit,
                    const struct model_topic *topic, int32_t at, struct partition *real) {
    const struct model_partition *partition = &topic->partitions[at];
    struct random *random = &run->random.random;
    for (unsigned n = 0; n < LOOKUPS && partition->count > 0; n++) {
        const struct model_batch *batch =
            &partition->batches[random_below(random, partition->count)];
        int64_t timestamp_ms = n == 0 ? LARGEST_MS
                                      : batch->spec.timestamp_ms +
                                            (int64_t)random_below(random, batch->spec.records + 1);
        struct partition_lookup lookup;
        int r = fixture_lookup_all(&run->f, real, timestamp_ms, &lookup);
        met.lookups++;
        met.lookups_corrupt += r == BROKER_E_CORRUPT;
        if (r == BROKER_E_CORRUPT && rot_explains(partition, hit, timestamp_ms)) {
            continue;
        }
        const struct model_batch *passed =
            r ? NULL
              : passed_over(run, partition, real, timestamp_ms, lookup.ret_offset,
                            lookup.ret_timestamp_ms);
        if (r || passed) {
            fail_msg("seed %llu: %s of %s at %llu: the lookup of %lld in %s-%d answers %d, offset "
                     "%lld with %lld; of the batch at %lld it should know (%d)",
                     (unsigned long long)seed, kind_names[hit->kind], hit->path,
                     (unsigned long long)hit->offset, (long long)timestamp_ms, topic->name, at, r,
                     (long long)lookup.ret_offset, (long long)lookup.ret_timestamp_ms,
                     (long long)(passed ? passed->offset : -1), passed ? passed->fate : 0);
        }
    }
}

static void look_up_everywhere(struct run *run, uint64_t seed, const struct hit *hit) {
    for (unsigned t = 0; t < run->model.topic_count; t++) {
        const struct model_topic *topic = run->model.topics[t];
        struct topic *real = find_topic(&run->model, topic);
        for (int32_t i = 0; real && topic->state == MODEL_CREATED && i < topic->partition_count;
             i++) {
            struct partition *partition = partition_get(real, i);
            if (partition) {
                look_up(run, seed, hit, topic, i, partition);
            }
        }
    }
}

/* No acknowledged offset is given to another batch. */
static void append_everywhere(struct model *model, uint64_t seed, const struct hit *hit) {
    for (unsigned t = 0; t < model->topic_count; t++) {
        struct model_topic *topic = model->topics[t];
        struct topic *real = find_topic(model, topic);
        for (int32_t i = 0; real && i < topic->partition_count; i++) {
            struct model_partition *partition = &topic->partitions[i];
            struct batch_spec spec = {.records = 1,
                                      .value_bytes = 30,
                                      .tag = 1,
                                      .producer_id = -1,
                                      .timestamp_ms = 1700000000000};
            struct partition *target = partition_get(real, i);
            if (!target) {
                continue; /* of a topic whose creation is lost, and nothing was written to it */
            }
            int64_t offset = fixture_append(model->f, target, &spec);
            for (size_t n = 0; n < partition->count; n++) {
                const struct model_batch *batch = &partition->batches[n];
                if (batch->acked && !may_be_torn(model, batch, hit) &&
                    offset < batch->offset + (int64_t)batch->spec.records) {
                    fail_msg("seed %llu: %s of %s at %llu: offset %lld is given out again",
                             (unsigned long long)seed, kind_names[hit->kind], hit->path,
                             (unsigned long long)hit->offset, (long long)offset);
                }
            }
        }
    }
}

/* The newest batch of each producer that was acknowledged, sent again. */
static void repeat_newest(struct model *model, uint64_t seed, const struct hit *hit,
                          const struct model_topic *topic, int32_t index) {
    const struct model_partition *partition = &topic->partitions[index];
    struct topic *real = find_topic(model, topic);
    for (size_t n = 0; n < partition->count; n++) {
        const struct model_batch *batch = &partition->batches[n];
        unsigned newer = 0, newer_acked = 0;
        for (size_t i = n + 1; i < partition->count; i++) {
            bool same = partition->batches[i].spec.producer_id == batch->spec.producer_id;
            newer += same;
            newer_acked += same && partition->batches[i].acked;
        }
        if (batch->spec.producer_id < 0 || !batch->acked || newer_acked > 0 ||
            newer >= PRODUCER_WINDOW) {
            continue;
        }
        int64_t offset = fixture_append(model->f, partition_get(real, index), &batch->spec);
        if (offset != batch->offset) {
            fail_msg("seed %llu: %s of %s: a duplicate of offset %lld gets %lld",
                     (unsigned long long)seed, kind_names[hit->kind], hit->path,
                     (long long)batch->offset, (long long)offset);
        }
        met.duplicates++;
    }
}

static void repeat_everywhere(struct model *model, uint64_t seed, const struct hit *hit) {
    for (unsigned t = 0; t < model->topic_count; t++) {
        const struct model_topic *topic = model->topics[t];
        for (int32_t i = 0; topic->state == MODEL_CREATED && i < topic->partition_count; i++) {
            repeat_newest(model, seed, hit, topic, i);
        }
    }
}

static size_t acked_batches(const struct model *model) {
    size_t count = 0;
    for (unsigned t = 0; t < model->topic_count; t++) {
        const struct model_topic *topic = model->topics[t];
        for (int32_t i = 0; topic->state == MODEL_CREATED && i < topic->partition_count; i++) {
            for (size_t n = 0; n < topic->partitions[i].count; n++) {
                count += topic->partitions[i].batches[n].acked;
            }
        }
    }
    return count;
}

/* ---- one run ---- */

static void live(struct run *run, uint64_t seed) {
    struct fixture *f = &run->f;
    fixture_init(f, seed);
    f->verbose = getenv("EVENTBOX_ROT_VERBOSE") != NULL;
    f->limits.journal_first_bytes = 32768;
    f->limits.journal_max_bytes = 262144;
    if (seed % 3 == 0) { /* a frame or two to a file */
        f->limits.journal_first_bytes = 4096;
        f->limits.journal_max_bytes = 65536;
    }
    f->limits.group_max_bytes = 16384;
    f->limits.gather_bytes = 8192;
    f->limits.tail_bytes = 8192;
    f->limits.segment_bytes = 20000;
    f->limits.replay_bytes = seed % 2 ? 8192 : 65536;
    f->limits.open_files_max = seed % 5 == 0 ? 4 : 512;
    f->limits.checkpoint_ms = 200 << random_below(&run->random.random, 6);
    model_init(&run->model, f, seed);
    assert_int_equal(fixture_start(f), 0);
    for (unsigned i = 0; i < 3; i++) {
        model_create(&run->model, i == 0 ? "6000" : "50000");
    }
    model_settle(&run->model);
    for (uint64_t n = 20 + random_below(&run->random.random, 80); n > 0; n--) {
        size_t most = n % 16 == 3 ? 4000 : 600;
        model_append(&run->model, 1 + n % 2, 40 + (size_t)random_below(&run->random.random, most));
        if (n % 8 == 0) {
            model_settle(&run->model);
        }
    }
    model_settle(&run->model);
    switch (random_below(&run->random.random, 4)) {
    case 0:
        fixture_stop(f); /* everything lies in segments, the journal says nothing */
        break;
    case 1:
        fixture_run_ms(f, 4000);
        model_crashed(&run->model);
        fixture_crash(f, false);
        break;
    default: /* the newest batches lie in the journal alone */
        model_crashed(&run->model);
        run->without_power = random_below(&run->random.random, 2) == 0;
        fixture_crash(f, run->without_power);
        break;
    }
}

/* Where in a checkpoint: in the full one, or in what is behind it. */
static void aim(struct run *run, struct hit *hit, bool increment) {
    struct checkpoint_header header;
    struct text image;
    text_init(&image);
    unsigned slot = hit->path[strlen(hit->path) - 1] == '1';
    if (checkpoint_read(run->f.disk, slot, &header, &image) == 0) {
        bool there = increment && header.increments > 0;
        hit->place = there ? PLACE_INCREMENT : PLACE_CHECKPOINT;
        hit->from = there ? header.full_bytes : 0;
        hit->to = there ? header.bytes : header.full_bytes;
    }
    text_deinit(&image);
}

static void choose(struct run *run, struct hit *hit) {
    struct random *random = &run->random.random;
    list_files(run->f.disk, &run->files);
    enum place wanted = (enum place)random_below(random, PLACES);
    for (unsigned tries = 0; tries < 200; tries++) {
        const char *path = run->files.paths[random_below(random, run->files.count)];
        snprintf(hit->path, sizeof hit->path, "%s", path);
        hit->place = place_of(path);
        hit->from = hit->to = 0;
        if (hit->place == PLACE_CHECKPOINT) {
            aim(run, hit, wanted == PLACE_INCREMENT);
        }
        if (hit->place == wanted) {
            break;
        }
    }
    hit->kind = (enum kind)random_below(random, KINDS);
    bool lasting = hit->place == PLACE_SEGMENT || hit->place == PLACE_JOURNAL;
    hit->alone = hit->place == PLACE_SNAPSHOT || (lasting && random_below(random, 4) == 0);
}

static void explain(uint64_t seed, const struct hit *hit, const struct left *left, size_t acked,
                    const char *what) {
    fail_msg("seed %llu: %s of %s at %llu: %s (%zu acknowledged, %zu readable, %zu set aside, %zu "
             "gone)",
             (unsigned long long)seed, kind_names[hit->kind], hit->path,
             (unsigned long long)hit->offset, what, acked, left->readable, left->corrupt,
             left->gone);
}

static void judge(struct run *run, uint64_t seed, const struct hit *hit) {
    size_t acked = acked_batches(&run->model);
    struct left left = look(&run->model, seed, hit);
    bool told = run->f.events[TOPIC_LOG_DAMAGED] > 0 || run->f.events[TOPIC_LOG_TORN_TAIL] > 0;
    if (left.corrupt + left.gone > 0 && !told) {
        explain(seed, hit, &left, acked, "nobody was told");
    }
    look_up_everywhere(run, seed, hit);
    if (hit->place == PLACE_SNAPSHOT) {
        repeat_everywhere(&run->model, seed, hit);
    }
    append_everywhere(&run->model, seed, hit);
    if (run->f.limits.scrub_interval_ms > 0) {
        fixture_until(&run->f, run->f.log->stats.scrub_ended_s > 0);
        met.scrubbed += run->f.log->stats.scrub_damaged > 0;
    }
    struct left again = look(&run->model, seed, hit);
    if (again.readable < left.readable) {
        explain(seed, hit, &again, acked, "another look finds something else");
    }
    fixture_stop(&run->f);
    if (fixture_start(&run->f) != 0) {
        explain(seed, hit, &left, acked, "the second start fails");
    }
    again = look(&run->model, seed, hit);
    if (again.readable < left.readable) {
        explain(seed, hit, &again, acked, "another start loses more");
    }
    met.set_aside += left.corrupt + left.gone > 0;
    met.whole += left.readable == acked;
    met.told += told;
    fixture_stop(&run->f);
}

static bool run_seed(uint64_t seed) {
    struct run *run = calloc(1, sizeof *run);
    struct hit hit = {.offset = 0};
    random_seeded_init(&run->random, seed * 7919 + 5);
    live(run, seed);
    choose(run, &hit);
    struct rot_cover cover = {.model = &run->model};
    uint8_t *before = read_whole(run->f.disk, hit.path, &cover.before_bytes);
    bool changed = damage(run->f.disk, &run->random.random, &hit);
    uint8_t *after = read_whole(run->f.disk, hit.path, &cover.after_bytes);
    cover.before = before;
    cover.after = after;
    rot_cover_mark(&cover, hit.path);
    rot_cover_copies(&run->model);
    free(before);
    free(after);
    if (changed) {
        met.hits[hit.place][hit.kind]++;
        if (hit.alone) {
            met.alone++;
            (void)disk_sim_corrupt(run->f.disk, "checkpoint.0", 70, 8, 1);
            (void)disk_sim_corrupt(run->f.disk, "checkpoint.1", 70, 8, 1);
        }
        run->f.expect_failures = true;
        run->f.limits.scrub_interval_ms = seed % 2 ? 60000 : 0;
        int r = fixture_start(&run->f);
        if (r == BROKER_E_CORRUPT && hit.alone && strncmp(hit.path, "topics/0-0/", 11) == 0 &&
            run->f.events[TOPIC_LOG_FAILED] > 0) {
            /* Nobody can tell which topics there are: better than a log without them. */
            met.refused++;
            fixture_deinit(&run->f);
            model_deinit(&run->model);
            free(run);
            return true;
        }
        if (r != 0) {
            fail_msg("seed %llu: %s of %s at %llu: the start fails with %d: %s",
                     (unsigned long long)seed, kind_names[hit.kind], hit.path,
                     (unsigned long long)hit.offset, r, run->f.last_event);
        }
        judge(run, seed, &hit);
    }
    fixture_deinit(&run->f);
    model_deinit(&run->model);
    free(run);
    return changed;
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_topic_log_rot__is_set_aside_and_the_rest_stays(void **state) {
    uint64_t runs = number_of("EVENTBOX_ROT_RUNS", 300);
    uint64_t seed = number_of("EVENTBOX_ROT_SEED", 1);
    for (uint64_t hits = 0; hits < runs; seed++) {
        hits += run_seed(seed);
    }
    for (unsigned place = 0; place < PLACES; place++) {
        print_message("%s:", place_names[place]);
        for (unsigned kind = 0; kind < KINDS; kind++) {
            print_message(" %s %llu", kind_names[kind], (unsigned long long)met.hits[place][kind]);
            /* Indexes, snapshots and the marker are smaller than two blocks. */
            bool possible = place < PLACE_INDEX || (place < PLACE_MARKER && kind != SWAP);
            assert_true(runs < 300 || !possible || met.hits[place][kind] > 0);
        }
        print_message("\n");
    }
    print_message("without checkpoints %llu, of which %llu refused\n",
                  (unsigned long long)met.alone, (unsigned long long)met.refused);
    print_message("looked up by time %llu, of which %llu were told of damage\n",
                  (unsigned long long)met.lookups, (unsigned long long)met.lookups_corrupt);
    print_message(
        "harmless %llu, set aside %llu, told %llu, duplicates known %llu, scrubbed %llu\n",
        (unsigned long long)met.whole, (unsigned long long)met.set_aside,
        (unsigned long long)met.told, (unsigned long long)met.duplicates,
        (unsigned long long)met.scrubbed);
    assert_true(runs < 300 || (met.set_aside > 0 && met.whole > 0 && met.duplicates > 0));
    assert_true(runs < 300 || (met.scrubbed > 0 && met.lookups_corrupt > 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_log_rot__is_set_aside_and_the_rest_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
