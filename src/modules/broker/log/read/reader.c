/*
 * Reading. Three sources, in this order:
 *
 *   memory   batches of the tail, by reference (small ones are copied together)
 *   cache    a range of the segment file, sent by sendfile, when all of it is in the page cache
 *   gate     two reader threads bring it from the disk into memory
 *
 * A range of a file can only be served when its ends are known to be batch boundaries. The loop
 * reads no files; the gate, when it serves a read, tells the boundaries of the next stretch as
 * well, and a view of that segment keeps them: a consumer that reads on meets one where it left
 * off. So a sequential consumer passes the gate once in some MiB.
 */
#include "reader.h"
#include "append/tail.h"
#include "cached.h"
#include "compaction/swap_run.h"
#include "log_private.h"
#include "rot.h"
#include "segment/index_jobs.h"
#include "topics/partition.h"

#include <errno.h>
#include <stdlib.h>

enum {
    COPY_BELOW_BYTES = 1024, /* batches smaller than this are copied into one slice */
    COPY_SLICE_BYTES = 256 << 10,
};

/* ---- views of segments ---- */

static void view_destroy(struct segment_view *view) {
    disk_close(view->file);
    free(view);
}

void segment_view_unref(struct segment_view *view) {
    if (view && --view->refs == 0) {
        view_destroy(view);
    }
}

static void release_view(void *userdata) {
    segment_view_unref(userdata);
}

/* Out of the map; lives on while somebody sends from it. */
static void view_drop(struct topic_log *log, struct segment_view *view) {
    hashmap_remove(&log->views, span_of(&view->id, sizeof view->id));
    list_remove(&view->lru_link);
    log->view_count--;
    struct conn_file *conn = view->conn;
    view->conn = NULL;
    conn_file_unref(conn);
    segment_view_unref(view);
}

static struct segment_view *view_get(struct topic_log *log, const struct segment_id *id) {
    struct segment_view *view = hashmap_find(&log->views, span_of(id, sizeof *id));
    if (view) {
        list_remove(&view->lru_link);
        list_push_back(&log->views_lru, &view->lru_link);
        return view;
    }
    view = calloc(1, sizeof *view);
    if (!view) {
        return NULL;
    }
    view->id = *id;
    view->refs = 1;
    if (hashmap_put(&log->views, span_of(&view->id, sizeof view->id), view, NULL)) {
        free(view);
        return NULL;
    }
    list_push_back(&log->views_lru, &view->lru_link);
    if (++log->view_count > segment_views_max(&log->limits)) {
        view_drop(log, list_entry(log->views_lru.next, struct segment_view, lru_link));
    }
    return view;
}

/* The gate has opened the file: from now on the loop can serve ranges of it. */
void segment_view_adopt(struct segment_view *view, struct disk_file *file) {
    if (view->file || !list_linked(&view->lru_link)) {
        disk_close(file);
        return;
    }
    view->file = file;
    int fd = disk_fd(file);
    if (fd >= 0) {
        view->refs++;
        view->conn = conn_file_new(fd, release_view, view);
        if (!view->conn) {
            view->refs--;
        }
    }
}

void reader_forget(struct topic_log *log, const struct segment_id *id) {
    if (id->partition >= 0) {
        struct segment_view *view = hashmap_find(&log->views, span_of(id, sizeof *id));
        if (view) {
            view_drop(log, view);
        }
        return;
    }
    list_for_each_safe(link, &log->views_lru) {
        struct segment_view *view = list_entry(link, struct segment_view, lru_link);
        if (view->id.topic == id->topic) {
            view_drop(log, view);
        }
    }
}

void reader_deinit(struct topic_log *log) {
    while (!list_empty(&log->views_lru)) {
        view_drop(log, list_entry(log->views_lru.next, struct segment_view, lru_link));
    }
    hashmap_deinit(&log->views);
}

/* ---- from memory ---- */

/* Copies a run of small batches into one slice. Returns how many were taken. */
static uint32_t copy_run(struct partition_read *read, const struct log_partition *partition,
                         uint32_t index, uint32_t end) {
    size_t bytes = 0;
    uint32_t n = 0;
    while (index + n < end) {
        size_t size = tail_at(partition, index + n)->batch.size;
        bool fits =
            read->bytes + bytes + size <= read->max_bytes && bytes + size <= COPY_SLICE_BYTES;
        if (size >= COPY_BELOW_BYTES || !fits) {
            break;
        }
        bytes += size;
        n++;
    }
    struct buf *buf = n > 1 ? buf_new(bytes) : NULL;
    if (!buf) {
        return 0;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct tail_batch *batch = tail_at(partition, index + i);
        memcpy(buf->data + at, batch->batch.data, batch->batch.size);
        at += batch->batch.size;
    }
    read->chunks[read->chunk_count++] =
        (struct read_chunk){.slice = slice_of(buf, 0, bytes), .size = bytes};
    read->bytes += bytes;
    return n;
}

static int read_memory(struct topic_log *log, struct partition_read *read, uint32_t index) {
    const struct log_partition *partition = log_partition_of(read->partition);
    uint32_t end = tail_readable(partition);
    log->stats.reads_memory++;
    while (index < end && read->chunk_count < READ_CHUNKS_MAX) {
        uint32_t copied = copy_run(read, partition, index, end);
        if (copied > 0) {
            index += copied;
            continue;
        }
        const struct tail_batch *batch = tail_at(partition, index);
        bool first = read->bytes == 0 && read->min_one_batch;
        if (read->bytes + batch->batch.size > read->max_bytes && !first) {
            break;
        }
        buf_ref(batch->batch.buf);
        read->chunks[read->chunk_count++] =
            (struct read_chunk){.slice = batch->batch, .size = batch->batch.size};
        read->bytes += batch->batch.size;
        index++;
    }
    log->stats.read_bytes_memory += read->bytes;
    return 0;
}

/* ---- from the page cache ---- */

static int find_waypoint(const struct segment_view *view, int64_t offset) {
    int low = 0, high = (int)view->waypoint_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (view->waypoints[middle].offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

static int64_t first_behind(const struct offset_range *ranges, uint32_t count, int64_t offset) {
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (ranges[i].from > offset) {
            first = MIN(first, ranges[i].from);
        }
    }
    return first;
}

/* Where the next range that is set aside begins: boundaries behind it come from headers alone. */
static int64_t first_aside(const struct log_partition *partition, int64_t offset) {
    return MIN(first_behind(partition->damage, partition->damage_count, offset),
               first_behind(partition->rot, partition->rot_count, offset));
}

/* A range between two known boundaries, if it is all in the page cache. */
static bool read_cache(struct topic_log *log, struct partition_read *read,
                       struct segment_view *view, int at) {
    if (!view->conn || read->memory_only || at < 0 || view->waypoints[at].offset != read->offset) {
        return false;
    }
    int64_t aside = first_aside(log_partition_of(read->partition), read->offset);
    uint64_t begin = view->waypoints[at].position, end = begin;
    for (int i = at + 1; i < (int)view->waypoint_count; i++) {
        uint64_t position = view->waypoints[i].position;
        bool first = end == begin && read->min_one_batch;
        if ((position - begin > read->max_bytes && !(first && view->waypoints[i].single)) ||
            view->waypoints[i].offset > aside) {
            break;
        }
        end = position;
    }
    if (end == begin || !range_cached(disk_fd(view->file), begin, end - begin)) {
        return false;
    }
    read->chunks[0] = (struct read_chunk){
        .file = conn_file_ref(view->conn), .file_offset = begin, .size = end - begin};
    read->chunk_count = 1;
    read->bytes = end - begin;
    log->stats.reads_cache++;
    log->stats.read_bytes_cache += read->bytes;
    return true;
}

/* ---- through the gate ---- */

static void read_destroy(struct log_job *base) {
    struct read_job *job = container_of(base, struct read_job, job);
    list_remove(&job->wait.link);
    disk_close(job->opened);
    batch_order_deinit(&job->order);
    buf_unref(job->buf);
    segment_view_unref(job->view);
    topic_unref(&job->topic->public);
    free(job);
}

static int read_on(struct topic_log *log, struct partition_read *read, int64_t from);

/* Damage that no mark stands for (rot.h): a reader that asks again and again leaves one line. */
/* Blocks that it does not read, or something else in the place of the file. */
static bool is_of_the_disk(int status) {
    return status == -EIO || status == -EACCES || disk_is_misplaced(status);
}

static void report_damage(struct topic_log *log, const struct partition_read *read, int status) {
    const struct partition *partition = read->partition;
    if (log->damage_told_of == partition && log->damage_told_at == read->offset) {
        return;
    }
    log->damage_told_of = partition;
    log->damage_told_at = read->offset;
    if (status != BROKER_E_CORRUPT) {
        topic_log_report(log, TOPIC_LOG_DAMAGED,
                         "%s-%d: the disk cannot read the batch at offset %lld: %s; reads of it "
                         "get KAFKA_STORAGE_ERROR and try again, what is behind it stays readable",
                         partition->topic->name, (int)partition->index, (long long)read->offset,
                         err_text(status));
        return;
    }
    topic_log_report(log, TOPIC_LOG_DAMAGED,
                     "%s-%d: the batch at offset %lld is damaged on disk; reads of it get "
                     "CORRUPT_MESSAGE, a consumer goes on when it seeks behind it",
                     partition->topic->name, (int)partition->index, (long long)read->offset);
}

/* Its files are being replaced, or were, since it began: nothing of it counts. */
static void begin_again(struct swap_waiter *waiter) {
    struct read_job *job = container_of(waiter, struct read_job, wait);
    struct partition_read *read = job->read;
    int status = read_on(job->job.log, read, read->offset);
    log_job_finish(&job->job);
    if (status != OP_WAIT) {
        read->done(read, status);
    }
}

static void on_read_done(struct work *work) {
    struct read_job *job = container_of(work, struct read_job, job.work);
    struct topic_log *log = job->job.log;
    struct partition_read *read = job->read;
    struct segment_view *view = job->view;
    int status = job->status;
    struct log_partition *partition = log_partition_of(read->partition);
    if (swap_came_between(log, partition, job->swap_count, &job->wait)) {
        return;
    }
    if (job->opened) {
        segment_view_adopt(view, job->opened);
        job->opened = NULL;
    }
    if (job->waypoint_count > 0) {
        memcpy(view->waypoints, job->waypoints, job->waypoint_count * sizeof job->waypoints[0]);
        view->waypoint_count = job->waypoint_count;
    }
    if ((job->index_wrong || job->index_waits) && !log->failed) {
        index_rebuild_soon(log, &job->id, job->end, job->next_base, !job->index_wrong);
    }
    if (status == 0 && job->buf) {
        read->chunks[0] = (struct read_chunk){.slice = slice_of(job->buf, job->begin, job->bytes),
                                              .size = job->bytes};
        read->chunk_count = 1;
        read->bytes = job->bytes;
        log->stats.read_bytes_disk += job->bytes;
        job->buf = NULL;
    } else if (status == 0 && job->nothing) {
        /* No batch at or behind the offset in this segment: on with what follows. */
        status = read_on(log, read, job->next_base);
        if (status == OP_WAIT) {
            log_job_finish(&job->job);
            return;
        }
    }
    if (status != 0 && read->partition->topic->deleted) {
        status = TOPIC_E_UNKNOWN;
    } else if (status != 0 && read->offset < read->partition->log_start_offset) {
        status = TOPIC_E_OUT_OF_RANGE; /* its files went while the gate looked for them */
    } else if (is_of_the_disk(status) || (status == BROKER_E_CORRUPT &&
                                          !rot_met(log, partition, &job->id, job->rot, "a read"))) {
        report_damage(log, read, status);
    }
    log_job_finish(&job->job);
    read->done(read, status);
}

int reader_submit(struct topic_log *log, struct log_job *job) {
    int r = log_job_submit(job, log->reader_worker);
    log->stats.reads_refused += r == WORK_E_FULL;
    return r ? TOPIC_E_FULL : 0;
}

static int read_gate(struct topic_log *log, struct partition_read *read, struct segment_view *view,
                     const struct log_segment *segment, int64_t next_base, int at) {
    struct log_partition *partition = log_partition_of(read->partition);
    if (partition->swap_broken) {
        return err_origin(-EIO); /* what the names hold now would look like damage */
    }
    struct read_job *job = calloc(1, sizeof *job);
    if (!job || batch_order_copy(partition, &job->order)) {
        free(job);
        return err_origin(-ENOMEM);
    }
    job->read = read;
    job->id = view->id;
    job->end = segment->written_bytes;
    job->offset = read->offset;
    job->next_base = next_base;
    job->max_bytes = read->max_bytes;
    job->min_one_batch = read->min_one_batch;
    job->look_ahead = !read->memory_only;
    job->topic = partition->topic;
    job->view = view;
    job->file = view->file;
    view->refs++;
    topic_ref(&job->topic->public);
    if (at >= 0 && view->waypoints[at].offset <= read->offset) {
        job->start =
            (struct segment_cursor){view->waypoints[at].position, view->waypoints[at].offset};
        job->start_known = true;
    }
    job->wait.resume = begin_again;
    job->swap_count = partition->swap_count;
    log_job_init(log, &job->job, on_read_done, read_destroy);
    job->job.work.run = read_run;
    if (swap_window_open(log, partition)) {
        swap_hold(log, &job->wait);
        return OP_WAIT;
    }
    if (reader_submit(log, &job->job)) {
        return TOPIC_E_FULL;
    }
    log->stats.reads_disk++;
    return OP_WAIT;
}

/* Serves from the segment that begins at or before @from, or else from memory. */
static int read_on(struct topic_log *log, struct partition_read *read, int64_t from) {
    struct log_partition *partition = log_partition_of(read->partition);
    if (from >= partition->public.high_watermark) {
        return 0; /* no batch at or behind the offset: a gap that a lost frame left at the end */
    }
    uint32_t index = tail_find(partition, read->offset);
    uint32_t readable = tail_readable(partition);
    if (index < readable && (index > 0 || tail_at(partition, 0)->base_offset <= from)) {
        return read_memory(log, read, index);
    }
    int at = partition_segment_index(partition, from);
    at = at < 0 ? 0 : at;
    while (at < (int)partition->segment_count && partition->segments[at].written_bytes == 0) {
        at++;
    }
    bool in_memory_first =
        index < readable && at < (int)partition->segment_count &&
        partition->segments[at].base_offset >= tail_at(partition, index)->base_offset;
    if (at >= (int)partition->segment_count || in_memory_first) {
        return read_memory(log, read, index);
    }
    const struct log_segment *segment = &partition->segments[at];
    struct segment_id id = {partition->topic->public.number, partition->public.index,
                            segment->base_offset};
    struct segment_view *view = view_get(log, &id);
    if (!view) {
        return err_origin(-ENOMEM);
    }
    int waypoint = find_waypoint(view, read->offset);
    if (read_cache(log, read, view, waypoint)) {
        return 0;
    }
    bool last = at + 1 == (int)partition->segment_count;
    int64_t next_base =
        last ? partition->public.high_watermark : partition->segments[at + 1].base_offset;
    if (index < readable) {
        next_base = MIN(next_base, tail_at(partition, index)->base_offset);
    }
    return read_gate(log, read, view, segment, next_base, waypoint);
}

static bool is_aside(const struct offset_range *ranges, uint32_t count, int64_t offset) {
    for (uint32_t i = 0; i < count; i++) {
        if (offset >= ranges[i].from && offset < ranges[i].to) {
            return true;
        }
    }
    return false;
}

/* What is set aside on disk memory may have yet. */
static bool is_in_memory(const struct log_partition *partition, int64_t offset) {
    uint32_t index = tail_find(partition, offset);
    return index < tail_readable(partition) && tail_at(partition, index)->base_offset <= offset;
}

int partition_read(struct topic_log *log, struct partition_read *read) {
    struct log_partition *partition = log_partition_of(read->partition);
    const struct partition *public = &partition->public;
    read->chunk_count = 0;
    read->bytes = 0;
    if (public->topic->deleted) {
        return TOPIC_E_UNKNOWN;
    }
    if (read->offset < public->log_start_offset || read->offset > public->high_watermark) {
        return TOPIC_E_OUT_OF_RANGE;
    }
    if (read->offset == public->high_watermark) {
        return 0;
    }
    if (is_aside(partition->damage, partition->damage_count, read->offset) ||
        (is_aside(partition->rot, partition->rot_count, read->offset) &&
         !is_in_memory(partition, read->offset))) {
        return BROKER_E_CORRUPT;
    }
    return read_on(log, read, read->offset);
}

void partition_read_release(struct partition_read *read) {
    for (unsigned i = 0; i < read->chunk_count; i++) {
        buf_unref(read->chunks[i].slice.buf);
        if (read->chunks[i].file) {
            conn_file_unref(read->chunks[i].file);
        }
    }
    read->chunk_count = 0;
}
