/*
 * The segment writer: puts durable batches where the log writer has placed them.
 *
 * It owns the cache of segments open for writing, bounded. A file may leave the cache with unsynced
 * bytes: whoever is to sync it holds a reference of its own, or a syncfs answers for it. What is
 * known of the indexes stays, one segment a partition: opening a file again is one system call,
 * however many partitions take turns.
 *
 * When the cache is full, a file that was not used for long goes. Where there is none, more files
 * than fit take turns: then the one used last goes, which is the one needed last of all, and the
 * others stay. To drop the one unused longest would drop each file just before its turn comes.
 *
 * A folder or file may be made and then the write refused by a full disk: the next try finds it and
 * does not know that its entry is not durable. So from then on every file that is opened counts as
 * new, which costs a sync of its folders once.
 *
 * A start with thousands of partitions has no time to learn what index files hold. What a replay
 * writes stays without entries, UNINDEXED_MAX of each segment at most, until the partition is next
 * written to or somebody has time for it (segment_writer_catch_up()): readers walk that far.
 *
 * Everything here can be done twice: data goes to its fixed position, and the indexes are cut back
 * to what lies before it when a segment is written to for the first time.
 */
#include "active_index.h"
#include "segment.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <eventbox/base/hashmap.h>
#include <limits.h>
#include <stdlib.h>

enum {
    PIECES_MAX = SEGMENT_PIECES_MAX,
    PENDING_ENTRIES = 128 << 10, /* of the indexes of all partitions; beyond, few of each wait */
    UNINDEXED_MAX = 64 << 10,    /* bytes of a segment that a replay leaves without entries */
    IDLE_TURNS = 8, /* unused for long: while so many times the cache's size were used */
};

struct segment_writer {
    struct disk *disk;
    unsigned files_max;
    uint64_t uses;                        /* of files, counted */
    struct hashmap files;                 /* by struct segment_id */
    size_t pending;                       /* room that entries of all indexes have */
    struct hashmap indexes;               /* struct active_index by topic and partition */
    struct segment_file *newest, *oldest; /* by use */
    bool unsure;         /* something was made for a write that failed: who syncs its entry? */
    uint32_t open_count; /* of files, also those that have left the cache; atomic */
};

int segment_writer_new(struct disk *disk, unsigned files_max, struct segment_writer **ret_writer) {
    struct segment_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        return err_origin(-ENOMEM);
    }
    writer->disk = disk;
    writer->files_max = files_max;
    hashmap_init(&writer->files, 1, 2); /* nobody outside chooses these keys */
    hashmap_init(&writer->indexes, 3, 4);
    *ret_writer = writer;
    return 0;
}

uint32_t segment_writer_open_files(const struct segment_writer *writer) {
    return __atomic_load_n(&writer->open_count, __ATOMIC_RELAXED);
}

/* ---- the cache ---- */

static void lru_remove(struct segment_writer *writer, struct segment_file *file) {
    *(file->lru_prev ? &file->lru_prev->lru_next : &writer->newest) = file->lru_next;
    *(file->lru_next ? &file->lru_next->lru_prev : &writer->oldest) = file->lru_prev;
    file->lru_next = file->lru_prev = NULL;
}

static void lru_push(struct segment_writer *writer, struct segment_file *file) {
    file->lru_next = writer->newest;
    *(writer->newest ? &writer->newest->lru_prev : &writer->oldest) = file;
    writer->newest = file;
}

static void cache_drop(struct segment_writer *writer, struct segment_file *file) {
    lru_remove(writer, file);
    hashmap_remove(&writer->files, span_of(&file->id, sizeof file->id));
    segment_file_unref(file);
}

static void cache_forget(struct segment_writer *writer, const struct segment_id *id) {
    struct segment_file *file = hashmap_find(&writer->files, span_of(id, sizeof *id));
    if (file) {
        cache_drop(writer, file);
    }
}

/* ---- indexes ---- */

enum { INDEX_KEY_BYTES = offsetof(struct segment_id, base_offset) }; /* topic and partition */

static void forget_index(struct segment_writer *writer, struct active_index *index) {
    hashmap_remove(&writer->indexes, span_of(&index->id, INDEX_KEY_BYTES));
    active_index_deinit(index);
    free(index);
}

/* Of a topic, or all. */
static void forget_indexes(struct segment_writer *writer, const uint32_t *topic) {
    size_t position = 0;
    struct active_index *index;
    while ((index = hashmap_next(&writer->indexes, &position)) != NULL) {
        if (!topic || index->id.topic == *topic) {
            forget_index(writer, index);
        }
    }
}

/* NULL when nothing is known of this segment. */
static struct active_index *index_find(struct segment_writer *writer, const struct segment_id *id) {
    struct active_index *index = hashmap_find(&writer->indexes, span_of(id, INDEX_KEY_BYTES));
    return index && index->id.base_offset == id->base_offset ? index : NULL;
}

void segment_writer_free(struct segment_writer *writer) {
    if (!writer) {
        return;
    }
    while (writer->newest) {
        cache_drop(writer, writer->newest);
    }
    forget_indexes(writer, NULL);
    hashmap_deinit(&writer->files);
    hashmap_deinit(&writer->indexes);
    free(writer);
}

void segment_writer_forget(struct segment_writer *writer, const struct segment_id *id) {
    if (id->partition >= 0) {
        cache_forget(writer, id);
        struct active_index *index = index_find(writer, id);
        if (index) {
            forget_index(writer, index);
        }
        return;
    }
    for (struct segment_file *file = writer->newest, *next; file; file = next) {
        next = file->lru_next;
        if (file->id.topic == id->topic) {
            cache_drop(writer, file);
        }
    }
    forget_indexes(writer, &id->topic);
}

/* Opens the .log; where @make, with file and folders when they are not there yet. */
static int open_log(struct segment_writer *writer, struct segment_file *file, bool make) {
    char name[SEGMENT_NAME_SIZE], folder[SEGMENT_NAME_SIZE];
    struct disk *disk = writer->disk;
    segment_name(&file->id, SEGMENT_LOG, name);
    segment_folder(file->id.topic, file->id.partition, folder);
    unsigned flags = DISK_READ | DISK_WRITE;
    int r = disk_open(disk, name, flags, &file->log);
    if (r != DISK_E_NOT_FOUND || !make) {
        return r;
    }
    file->new_file = true;
    r = disk_open(disk, name, flags | DISK_CREATE, &file->log);
    if (r != DISK_E_NOT_FOUND) {
        return r;
    }
    file->new_folder = true;
    r = disk_mkdir(disk, folder);
    if (r && r != DISK_E_EXISTS) {
        return r;
    }
    r = disk_open(disk, name, flags | DISK_CREATE, &file->log);
    /* Something is there that leads to no folder: a link to nowhere. */
    return r == DISK_E_NOT_FOUND ? err_origin(-ENOTDIR) : r;
}

/* Room for one more. */
static void cache_shrink(struct segment_writer *writer) {
    if (writer->files.count < writer->files_max) {
        return;
    }
    uint64_t unused = writer->uses - writer->oldest->used;
    bool idle = unused > (uint64_t)IDLE_TURNS * writer->files_max;
    cache_drop(writer, idle ? writer->oldest : writer->newest);
}

static int cache_get(struct segment_writer *writer, const struct segment_id *id, bool make,
                     struct segment_file **ret_file) {
    struct segment_file *file = hashmap_find(&writer->files, span_of(id, sizeof *id));
    writer->uses++;
    if (file) {
        file->used = writer->uses;
        lru_remove(writer, file);
        lru_push(writer, file);
        *ret_file = file;
        return 0;
    }
    file = calloc(1, sizeof *file);
    if (!file) {
        return err_origin(-ENOMEM);
    }
    file->id = *id;
    file->refs = 1;
    file->used = writer->uses;
    cache_shrink(writer);
    int r = open_log(writer, file, make);
    writer->unsure |= make && r != 0;
    if (writer->unsure) {
        file->new_file = file->new_folder = true;
    }
    if (!r) {
        file->open_count = &writer->open_count;
        __atomic_add_fetch(file->open_count, 1, __ATOMIC_RELAXED);
        r = hashmap_put(&writer->files, span_of(&file->id, sizeof file->id), file, NULL);
    }
    if (r) {
        segment_file_unref(file);
        return err_trace(r);
    }
    lru_push(writer, file);
    *ret_file = file;
    return 0;
}

/* ---- the index of the segment that is written to ---- */

static int learn(struct segment_writer *writer, struct active_index *index, uint64_t position) {
    struct segment_file *file;
    const uint64_t unindexed_bytes = index->unindexed_bytes, end = index->at.end;
    int r = cache_get(writer, &index->id, true, &file);
    r = r ? r : active_index_learn(index, writer->disk, file->log, position);
    if (r && unindexed_bytes > 0) { /* still so for whoever tries again */
        index->unindexed_bytes = unindexed_bytes;
        index->at.end = end;
    }
    return r ? err_trace(r) : 0;
}

int segment_writer_catch_up(struct segment_writer *writer, unsigned most, bool *ret_more,
                            struct segment_id *ret_failed) {
    size_t position = 0;
    struct active_index *index;
    int r = 0;
    *ret_more = false;
    while (!r && !*ret_more && (index = hashmap_next(&writer->indexes, &position)) != NULL) {
        if (index->unindexed_bytes == 0) {
            continue;
        }
        *ret_more = most == 0;
        r = *ret_more ? 0 : learn(writer, index, index->at.end);
        most -= !*ret_more;
        if (r) {
            *ret_failed = index->id;
        }
    }
    return r ? err_trace(r) : 0;
}

/* Of the segment that @id names; the one before it in this partition is complete with that. */
static int index_get(struct segment_writer *writer, const struct segment_id *id,
                     struct active_index **ret_index) {
    struct active_index *index = hashmap_find(&writer->indexes, span_of(id, INDEX_KEY_BYTES));
    if (index && index->id.base_offset != id->base_offset) {
        int r = index->unindexed_bytes > 0 ? learn(writer, index, index->at.end) : 0;
        r = r ? r : active_index_flush(index, writer->disk);
        if (r) {
            return err_trace(r);
        }
        cache_forget(writer, &index->id);
        active_index_init(index, id, &writer->pending);
    }
    if (!index) {
        index = malloc(sizeof *index);
        if (!index) {
            return err_origin(-ENOMEM);
        }
        active_index_init(index, id, &writer->pending);
        int r = hashmap_put(&writer->indexes, span_of(&index->id, INDEX_KEY_BYTES), index, NULL);
        if (r) {
            free(index);
            return err_trace(r);
        }
    }
    *ret_index = index;
    return 0;
}

/*
 * Knows the index up to where @pieces go, unless it may stay as it is. An index that is known may
 * end elsewhere: behind that, where a start has found the batches between in their places; before
 * it, where one writes again what was written.
 */
static int index_reach(struct segment_writer *writer, struct active_index *index,
                       const struct segment_piece *pieces, unsigned count, bool replay) {
    uint64_t position = pieces[0].position;
    uint64_t bytes = pieces[count - 1].position + pieces[count - 1].batch.size - position;
    bool later =
        replay && !index->known && position > 0 && index->unindexed_bytes + bytes <= UNINDEXED_MAX;
    bool goes_on = index->known && position == index->at.end;
    return later || goes_on ? 0 : learn(writer, index, position);
}

/* ---- writing ---- */

static int write_data(struct segment_file *file, const struct segment_piece *pieces,
                      unsigned count) {
    struct iovec parts[PIECES_MAX];
    unsigned i = 0;
    while (i < count) {
        uint64_t begin = pieces[i].position, end = begin;
        int n = 0;
        while (i < count && pieces[i].position == end) {
            parts[n++] =
                (struct iovec){(void *)(uintptr_t)pieces[i].batch.data, pieces[i].batch.size};
            end += pieces[i].batch.size;
            i++;
        }
        int r = disk_pwritev(file->log, parts, n, begin);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

static int write_pieces(struct segment_writer *writer, const struct segment_id *id,
                        const struct segment_piece *pieces, unsigned count, bool replay,
                        struct segment_file **ret_file) {
    struct segment_file *file = NULL;
    struct active_index *index;
    int r = index_get(writer, id, &index);
    r = r ? r : index_reach(writer, index, pieces, count, replay);
    r = r ? r : cache_get(writer, id, true, &file);
    r = r ? r : write_data(file, pieces, count);
    if (!r && index->known) {
        bool room = writer->pending < PENDING_ENTRIES;
        r = active_index_add(index, writer->disk, pieces, count,
                             room ? INDEX_PENDING_MAX : INDEX_PENDING_FEW);
    } else if (!r) {
        active_index_pass(index, pieces, count);
    }
    if (r) {
        writer->unsure = true;
        if (file) { /* and is used again, perhaps when there is room */
            file->new_folder = true;
            __atomic_store_n(&file->new_file, true, __ATOMIC_RELEASE);
        }
        return err_trace(r);
    }
    *ret_file = segment_file_ref(file);
    return 0;
}

int segment_writer_write(struct segment_writer *writer, const struct segment_id *id,
                         const struct segment_piece *pieces, unsigned count,
                         struct segment_file **ret_file) {
    return write_pieces(writer, id, pieces, count, false, ret_file);
}

int segment_writer_replay(struct segment_writer *writer, const struct segment_id *id, bool make,
                          const struct segment_piece *pieces, unsigned count,
                          struct segment_file **ret_file) {
    struct segment_file *file;
    int r = make ? 0 : cache_get(writer, id, false, &file);
    return r ? r : write_pieces(writer, id, pieces, count, true, ret_file);
}

int segment_writer_make(struct segment_writer *writer, const struct segment_id *id,
                        struct segment_file **ret_file) {
    struct segment_file *file;
    int r = cache_get(writer, id, true, &file);
    if (!r) {
        *ret_file = segment_file_ref(file);
    }
    return r;
}

int segment_writer_flush_index(struct segment_writer *writer, const struct segment_id *id) {
    struct active_index *index = index_find(writer, id);
    return index ? active_index_flush(index, writer->disk) : 0;
}

int segment_writer_flush_indexes(struct segment_writer *writer) {
    size_t position = 0;
    struct active_index *index;
    struct segment_id failed;
    bool more;
    int r = segment_writer_catch_up(writer, UINT_MAX, &more, &failed);
    while (!r && (index = hashmap_next(&writer->indexes, &position)) != NULL) {
        r = active_index_flush(index, writer->disk);
    }
    return r ? err_trace(r) : 0;
}

int segment_writer_rebuild(struct segment_writer *writer, const struct segment_id *id, uint64_t end,
                           int64_t next_base, const struct batch_order *order) {
    struct active_index *index = index_find(writer, id);
    if (index && index->pending_count > 0) {
        return active_index_flush(index, writer->disk); /* perhaps that was all it lacked */
    }
    struct segment_file *file;
    int r = cache_get(writer, id, true, &file);
    if (r) {
        return err_trace(r);
    }
    if (index) {
        bool grown = index->known && index->at.end > end;
        return active_index_rebuild(index, writer->disk, file->log, grown ? index->at.end : end,
                                    grown ? INT64_MAX : next_base, order);
    }
    struct active_index sealed;
    active_index_init(&sealed, id, &writer->pending);
    r = active_index_rebuild(&sealed, writer->disk, file->log, end, next_base, order);
    active_index_deinit(&sealed);
    return r;
}
