/*
 * The log writer: everything that has queued up becomes one frame, one write, one sync.
 *
 * Messages come in order. Submits wait in @held until a frame takes them; a frame takes whole
 * submits, as many as group_max_bytes and the rest of the file (or of the next one) allow, so the
 * loop sees a frame complete when it has seen its last submit. Positions are given when the frame
 * is built, after its place is certain.
 *
 * Each frame says which frames a checkpoint had covered before it. A file that is recycled comes
 * with a message that says so as well, and before the next frame: so no frame is ever missing that
 * the newest one does not know to be covered, and without any checkpoint a start can tell what was
 * recycled from what is lost.
 *
 * Without a file that has room the submits stay held until the loop sends one (WRITER_FILE). A full
 * disk holds the built frame; the loop's tick sends WRITER_AGAIN, and the same bytes are written
 * again at the same place. It borrows large batches (frame_build.h), so no submit of it completes
 * before it is written or the log has failed. Any other failure fails every submit from then on.
 */
#include "log_writer.h"
#include "frame_build.h"
#include "log_private.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

struct log_writer {
    struct topic_log *log; /* for clock and worker only */
    struct uuid journal;
    uint64_t group_max_bytes;
    uint64_t sequence; /* of the last durable frame */
    uint64_t covered;  /* by the newest checkpoint, as far as messages have told */
    struct journal_file *current;
    uint64_t position;
    struct journal_file *spares[JOURNAL_FILES_MAX];
    unsigned spare_count;
    struct list held; /* struct writer_job.held */
    struct frame_build frame;
    bool built; /* @frame waits to be written: perhaps for room on the disk */
    unsigned built_jobs;
    int failed;
    bool refused; /* atomic: the frame waits for room on the disk */
};

int log_writer_new(struct topic_log *log, struct log_writer **ret_writer) {
    struct log_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        return err_origin(-ENOMEM);
    }
    writer->log = log;
    writer->group_max_bytes = log->limits.group_max_bytes;
    writer->frame.gather_bytes = log->limits.gather_bytes;
    list_init(&writer->held);
    *ret_writer = writer;
    return 0;
}

void log_writer_resume(struct log_writer *writer, const struct uuid *journal, uint64_t sequence,
                       struct journal_file *current, uint64_t position) {
    writer->journal = *journal;
    writer->sequence = sequence;
    writer->covered = writer->log->newest_sequence;
    writer->current = current;
    writer->position = position;
}

bool log_writer_refused(const struct log_writer *writer) {
    return __atomic_load_n(&writer->refused, __ATOMIC_RELAXED);
}

void log_writer_free(struct log_writer *writer) {
    if (writer) {
        frame_build_deinit(&writer->frame);
        free(writer);
    }
}

static void complete(struct log_writer *writer, struct writer_job *job, int status) {
    list_remove(&job->held);
    job->status = status;
    worker_complete(writer->log->writer_thread, &job->job.work);
}

/* Room for at least @bytes: in the current file, else in the first spare that fits. */
static uint64_t find_room(struct log_writer *writer, uint64_t bytes, unsigned *ret_spare) {
    if (writer->current && writer->current->size - writer->position >= bytes) {
        *ret_spare = JOURNAL_FILES_MAX;
        return writer->current->size - writer->position;
    }
    for (unsigned i = 0; i < writer->spare_count; i++) {
        if (writer->spares[i]->size >= bytes) {
            *ret_spare = i;
            return writer->spares[i]->size;
        }
    }
    return 0;
}

/*
 * Whether the segment is too old for @batch: by the timestamps of the first batch and this one, as
 * Kafka counts, or by our own clock. A timestamp later than our clock counts as now, so that one
 * from 2100 neither rolls at once nor keeps the segment from ever rolling.
 */
static bool aged(const struct log_partition *partition, const struct tail_batch *batch) {
    int64_t timestamp_ms = MIN(batch->max_timestamp_ms, batch->appended_ms);
    bool dated = timestamp_ms >= 0 && partition->writer_first_ms >= 0;
    return (dated && timestamp_ms - partition->writer_first_ms > batch->roll_ms) ||
           batch->appended_ms - partition->writer_created_ms > batch->roll_ms;
}

/* Where a batch goes in its partition: rolls by bytes, age and the range of offsets. */
static void place(struct tail_batch *batch) {
    struct log_partition *partition = batch->partition;
    bool roll = partition->writer_base < 0 || batch->roll;
    if (!roll && partition->writer_position > 0) {
        uint64_t end = partition->writer_position + batch->batch.size;
        int64_t last = tail_batch_end(batch) - 1 - partition->writer_base;
        roll = end > batch->roll_bytes || end > UINT32_MAX || last > INT32_MAX ||
               aged(partition, batch);
    }
    if (roll) {
        partition->writer_base = batch->base_offset;
        partition->writer_position = 0;
        partition->writer_created_ms = batch->appended_ms;
        partition->writer_first_ms = MIN(batch->max_timestamp_ms, batch->appended_ms);
    }
    batch->segment_base = partition->writer_base;
    batch->position = partition->writer_position;
    partition->writer_position += batch->batch.size;
}

/* Each batch of the first @jobs held submits, in their order. */
static void each_batch(struct log_writer *writer, unsigned jobs,
                       void (*take)(struct log_writer *writer, struct tail_batch *batch)) {
#ifdef MUTANT_ATOMIC
    uint32_t left = writer->frame.entry_count;
#endif
    struct list *link = writer->held.next;
    for (unsigned n = 0; n < jobs; n++, link = link->next) {
        struct writer_job *job = list_entry(link, struct writer_job, held);
        list_for_each(unit_link, &job->units) {
            struct append_unit *unit = list_entry(unit_link, struct append_unit, link);
            for (struct tail_batch *b = unit->first; b; b = b->next_in_unit) {
#ifdef MUTANT_ATOMIC
                if (b->sequence > 0 || left == 0) {
                    continue; /* it went with the frame before, or goes with the next */
                }
                left--;
#endif
                take(writer, b);
            }
        }
    }
}

static void plan_batch(struct log_writer *writer, struct tail_batch *batch) {
    batch->gathered = frame_build_plan_batch(&writer->frame, batch->batch.data, batch->batch.size);
}

static void add_batch(struct log_writer *writer, struct tail_batch *batch) {
    place(batch);
    batch->sequence = writer->sequence + 1;
    struct frame_entry entry = {
        .topic = batch->partition->topic->public.number,
        .partition = batch->partition->public.index,
        .segment_base = batch->segment_base,
        .position = batch->position,
        .base_offset = batch->base_offset,
        .bytes = (uint32_t)batch->batch.size,
    };
    frame_build_add(&writer->frame, &entry, batch->batch.data, batch->gathered);
}

/* Builds one frame of the first @jobs held submits, which are planned. */
static void build(struct log_writer *writer, unsigned jobs) {
    frame_build_begin(&writer->frame);
    each_batch(writer, jobs, add_batch);
    struct frame_header header = {
        .journal = writer->journal,
        .sequence = writer->sequence + 1,
        .synced_through = writer->sequence,
        .covered_through = writer->covered,
    };
    frame_build_end(&writer->frame, &header);
    writer->built = true;
    writer->built_jobs = jobs;
}

#ifdef MUTANT_ATOMIC
/* The last batch of a unit that has several gets a frame of its own, behind that of the others. */
static bool leave_last(struct writer_job *job, uint32_t *entries, uint64_t *bytes) {
    struct tail_batch *last = list_entry(job->units.prev, struct append_unit, link)->first;
    if (!last || !last->next_in_unit || last->sequence > 0) {
        return false;
    }
    while (last->next_in_unit) {
        last = last->next_in_unit;
    }
    *entries -= 1;
    *bytes -= last->batch.size;
    job->entry_count = 1;
    job->bytes = last->batch.size;
    return true;
}
#endif

/* Chooses what the next frame takes and builds it. False: nothing can be written now. */
static bool take_group(struct log_writer *writer) {
    struct writer_job *first = list_entry(writer->held.next, struct writer_job, held);
    unsigned spare;
    uint64_t room = find_room(writer, frame_bytes(first->entry_count, first->bytes), &spare);
    if (room == 0) {
        return false;
    }
    uint64_t limit =
        MAX(MIN(room, writer->group_max_bytes), frame_bytes(first->entry_count, first->bytes));
    unsigned jobs = 0;
    uint32_t entries = 0;
    uint64_t batch_bytes = 0;
    list_for_each(link, &writer->held) {
        struct writer_job *job = list_entry(link, struct writer_job, held);
        uint64_t with = frame_bytes(entries + job->entry_count, batch_bytes + job->bytes);
        if (with > limit) {
            break;
        }
        entries += job->entry_count;
        batch_bytes += job->bytes;
        jobs++;
    }
#ifdef MUTANT_ATOMIC
    struct list *last = &writer->held;
    for (unsigned n = 0; n < jobs; n++) {
        last = last->next;
    }
    bool left = leave_last(list_entry(last, struct writer_job, held), &entries, &batch_bytes);
#endif
    frame_build_plan(&writer->frame, entries, batch_bytes, room);
    each_batch(writer, jobs, plan_batch);
    if (frame_build_plan_end(&writer->frame)) {
        writer->failed = -ENOMEM;
        return false;
    }
    if (spare < JOURNAL_FILES_MAX) {
        writer->current = writer->spares[spare];
        writer->position = 0;
        writer->spare_count--;
        memmove(writer->spares + spare, writer->spares + spare + 1,
                (writer->spare_count - spare) * sizeof writer->spares[0]);
    }
    build(writer, jobs);
#ifdef MUTANT_ATOMIC
    writer->built_jobs -= left;
#endif
    return true;
}

/* Writes the built frame. False: it waits for disk space, or the log has failed. */
static bool write_built(struct log_writer *writer) {
    struct clock *clock = writer->log->config.clock;
    int64_t begin = clock_mono_ns(clock);
    const struct frame_build *frame = &writer->frame;
    int r = journal_write(writer->current, frame->parts, frame->part_count, writer->position);
    __atomic_store_n(&writer->refused, r == DISK_E_FULL, __ATOMIC_RELAXED);
    if (r == DISK_E_FULL) {
        return false;
    }
    if (r) {
        writer->failed = r < 0 ? r : -EIO;
        return false;
    }
    int64_t took = clock_mono_ns(clock) - begin;
    writer->sequence++;
    writer->position += frame->bytes;
    writer->built = false;
    for (unsigned n = writer->built_jobs; n > 0; n--) {
        struct writer_job *job = list_entry(writer->held.next, struct writer_job, held);
        job->sequence = writer->sequence;
        job->last_of_frame = n == 1;
        job->ret_file = writer->current;
        job->file_end = writer->position;
        job->frame_bytes = n == 1 ? frame->bytes : 0;
        job->sync_ns = n == 1 ? took : 0;
        complete(writer, job, 0);
    }
    return true;
}

/* Submits of duplicates alone need no frame: what they wait for is durable already. */
static bool complete_empty(struct log_writer *writer) {
    struct writer_job *job = list_entry(writer->held.next, struct writer_job, held);
    if (job->entry_count > 0) {
        return false;
    }
    job->sequence = writer->sequence;
    job->last_of_frame = true;
    complete(writer, job, 0);
    return true;
}

static void write_held(struct log_writer *writer) {
    while (!writer->failed && !list_empty(&writer->held)) {
        if (!writer->built && complete_empty(writer)) {
            continue;
        }
        if (!writer->built && !take_group(writer)) {
            break;
        }
        if (!write_built(writer)) {
            break;
        }
    }
    if (writer->failed) {
        while (!list_empty(&writer->held)) {
            complete(writer, list_entry(writer->held.next, struct writer_job, held),
                     writer->failed);
        }
    }
}

void log_writer_run(void *userdata, struct list *works) {
    struct topic_log *log = userdata;
    struct log_writer *writer = log->log_writer;
    list_for_each_safe(link, works) {
        struct work *work = list_entry(link, struct work, link);
        struct writer_job *job = container_of(work, struct writer_job, job.work);
        writer->covered = MAX(writer->covered, job->covered);
        switch (job->kind) {
        case WRITER_SUBMIT:
            list_remove(link);
            list_push_back(&writer->held, &job->held);
            break;
        case WRITER_FILE:
            writer->spares[writer->spare_count++] = job->file;
            break;
        case WRITER_AGAIN:
            break;
        case WRITER_TRIM:
            if (!writer->built) {
                frame_build_trim(&writer->frame);
            }
            buf_trim();
            malloc_trim(0); /* a burst leaves many freed batches behind in the heap */
            break;
        case WRITER_FAIL:
            writer->failed = writer->failed ? writer->failed : -ECANCELED;
            break;
        }
    }
    write_held(writer);
}
