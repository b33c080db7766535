/* The state of a data folder in memory, and a walk through the batches of a segment. */
#include "inspect.h"
#include "recovery/recovery.h"
#include "segment/segment_resync.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <limits.h>
#include <stdlib.h>

enum { WINDOW_BYTES = 1 << 20, LIVE_TRIES = 3 };

/* ---- one state ---- */

static void read_checkpoints(struct log_inspect *inspect, struct text *newest, int *ret_best) {
    *ret_best = -1;
    for (int slot = 0; slot < 2; slot++) {
        struct text image;
        text_init(&image);
        int r =
            checkpoint_read(inspect->folder, (unsigned)slot, &inspect->checkpoints[slot], &image);
        inspect->checkpoint_status[slot] = r;
        if (r == 0 && (*ret_best < 0 || inspect->checkpoints[slot].sequence >
                                            inspect->checkpoints[*ret_best].sequence)) {
            text_deinit(newest);
            *newest = image;
            text_init(&image);
            *ret_best = slot;
        }
        text_deinit(&image);
    }
    inspect->have_checkpoint = *ret_best >= 0;
}

static int open_live(struct log_inspect *inspect, int slot, struct span image) {
    uint32_t file_id;
    uint64_t position;
    if (slot < 0) {
        return err_origin(BROKER_E_CORRUPT);
    }
    int r = checkpoint_decode(inspect->log, image, &file_id, &position);
    return r ? r : log_inspect_follow(inspect, &inspect->checkpoints[slot]);
}

static int open_once(struct log_inspect *inspect) {
    struct text image;
    int best;
    text_init(&image);
    read_checkpoints(inspect, &image, &best);
    inspect->overlay = inspect->folder;
    int r = disk_overlay_new(inspect->folder, &inspect->overlay);
    if (!r) {
        r = loop_new_simulated(clock_system(), &inspect->loop);
    }
    if (!r) {
        struct topic_log_config config = {
            .loop = inspect->loop,
            .disk = inspect->overlay,
            .clock = clock_system(),
            .random = random_system(),
            .limits = TOPIC_LOG_LIMITS_DEFAULT,
            .on_event = inspect->on_event,
            .userdata = inspect->userdata,
        };
        config.limits.partitions_max = UINT32_MAX / 2;
        config.limits.tail_bytes = 0; /* segments get all that a start would leave to its run */
        r = topic_log_new(&config, &inspect->log);
    }
    if (!r) {
        r = inspect->live ? open_live(inspect, best, text_span(&image))
                          : recovery_run(inspect->log);
        recovery_tell(inspect->log);
    }
    text_deinit(&image);
    return r ? err_trace(r) : 0;
}

int log_inspect_open(struct log_inspect *inspect) {
    int r = open_once(inspect);
    /* A file of the journal that goes between its listing and its opening, and the like. */
    for (unsigned n = 1; r && inspect->live && n < LIVE_TRIES; n++) {
        log_inspect_close(inspect);
        r = open_once(inspect);
    }
    return r;
}

void log_inspect_close(struct log_inspect *inspect) {
    topic_log_free(inspect->log);
    loop_free(inspect->loop);
    if (inspect->overlay && inspect->overlay != inspect->folder) {
        disk_free(inspect->overlay);
    }
    inspect->log = NULL;
    inspect->loop = NULL;
    inspect->overlay = NULL;
}

/* ---- batches of a segment ---- */

int batch_walk_open(struct batch_walk *walk, struct disk *disk,
                    const struct log_partition *partition, const struct log_segment *segment) {
    const struct segment_id id = {partition->topic->public.number, partition->public.index,
                                  segment->base_offset};
    bool last = segment + 1 == partition->segments + partition->segment_count;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    *walk = (struct batch_walk){
        .order = batch_order_of(partition),
        .base_offset = id.base_offset,
        .expected = id.base_offset,
        .next_base = last ? partition->public.high_watermark : (segment + 1)->base_offset,
    };
    segment_name(&id, SEGMENT_LOG, name);
    int r = disk_open(disk, name, DISK_READ | DISK_DIRECT, &walk->file);
    if (r == DISK_E_UNSUPPORTED) {
        r = disk_open(disk, name, DISK_READ, &walk->file);
    }
    r = r ? r : disk_open(disk, name, DISK_READ, &walk->cached);
    if (!r) {
        patient_file_init(&walk->patient, walk->file, UINT_MAX);
        patient_file_init(&walk->patient_cached, walk->cached, UINT_MAX);
        r = disk_size(walk->file, &size);
    }
    walk->end = MIN(segment->bytes, size);
    return r;
}

void batch_walk_close(struct batch_walk *walk) {
    disk_close(walk->file);
    disk_close(walk->cached);
    free(walk->window);
    *walk = (struct batch_walk){0};
}

/* Brings @bytes at @position into the window; what the file does not have is not there. */
static int bring(struct batch_walk *walk, uint64_t position, size_t bytes) {
    if (position >= walk->window_at && position + bytes <= walk->window_at + walk->window_bytes) {
        return 0;
    }
    uint64_t at = position & ~(uint64_t)(DISK_ALIGN - 1);
    size_t size = (size_t)(position - at) + bytes;
    size = (MAX(size, (size_t)WINDOW_BYTES) + DISK_ALIGN - 1) & ~(size_t)(DISK_ALIGN - 1);
    if (size > walk->window_capacity) {
        free(walk->window);
        walk->window_capacity = walk->window_bytes = 0;
        walk->window = aligned_alloc(DISK_ALIGN, size);
        if (!walk->window) {
            return err_origin(-ENOMEM);
        }
        walk->window_capacity = size;
    }
    walk->window_bytes = 0;
    int r = disk_pread(&walk->patient.file, walk->window, size, at, &walk->window_bytes);
    walk->window_at = at;
    return r;
}

/* Whether a batch that says it is large is right, before there is memory for all of it. */
static int check_pieces(struct batch_walk *walk, uint64_t position) {
    uint64_t at = position + RECORD_BATCH_AT_ATTRIBUTES, end = position + walk->batch.total_bytes;
    uint32_t expected = get_be32(walk->window + (position - walk->window_at) + RECORD_BATCH_AT_CRC);
    uint32_t crc = 0;
    while (at < end) {
        size_t n = (size_t)MIN(end - at, (uint64_t)WINDOW_BYTES / 2);
        int r = bring(walk, at, n);
        if (r || at + n > walk->window_at + walk->window_bytes) {
            return r;
        }
        crc = crc32c(crc, walk->window + (at - walk->window_at), n);
        at += n;
    }
    return crc == expected;
}

/* 1 when the batch that belongs there begins at @position, whole and right. */
static int batch_at(struct batch_walk *walk, uint64_t position) {
    if (walk->end - position < RECORD_BATCH_HEADER_BYTES) {
        return 0;
    }
    int r = bring(walk, position, RECORD_BATCH_HEADER_BYTES);
    const uint8_t *at = walk->window + (position - walk->window_at);
    if (r || segment_header(at, position, walk->end, &walk->batch) ||
        walk->batch.base_offset - walk->base_offset > INT32_MAX ||
        !batch_order_admits(&walk->order, walk->expected, &walk->batch)) {
        return r;
    }
    size_t bytes = walk->batch.total_bytes;
    if (bytes > SEGMENT_BATCH_TRUSTED_BYTES && (r = check_pieces(walk, position)) <= 0) {
        return r;
    }
    r = bring(walk, position, bytes);
    if (r) {
        return r;
    }
    walk->bytes = span_of(walk->window + (position - walk->window_at), bytes);
    bool right = position + bytes <= walk->window_at + walk->window_bytes &&
                 record_batch_parse(walk->bytes, &walk->batch) == 0 &&
                 record_batch_check_crc(walk->bytes);
    return right ? 1 : 0;
}

static int good(struct batch_walk *walk) {
    walk->position += walk->bytes.size;
    walk->expected = record_batch_end(&walk->batch);
    return BATCH_GOOD;
}

int batch_walk_next(struct batch_walk *walk) {
    if (walk->position >= walk->end) {
        return BATCH_END;
    }
    int r = batch_at(walk, walk->position);
    if (r != 0) {
        return r < 0 ? r : good(walk);
    }
    const struct segment_resync in = {.file = &walk->patient_cached.file,
                                      .end = walk->end,
                                      .base_offset = walk->base_offset,
                                      .next_base = walk->next_base,
                                      .most_offset = INT64_MAX,
                                      .order = &walk->order};
    struct segment_cursor next = {walk->position, walk->expected};
    r = segment_resync(&in, NULL, &next, walk->end);
    if (r == 0 && next.position == walk->position) {
        /* It agrees with what is behind it: offsets before it are missing, and no bytes are bad. */
        walk->expected = next.offset;
        r = batch_at(walk, walk->position);
        if (r != 0) {
            return r < 0 ? r : good(walk);
        }
        next.position++; /* right in the page cache alone */
        next.offset++;
        r = segment_resync(&in, NULL, &next, walk->end);
    }
    walk->bad_position = walk->position;
    walk->position = r == 0 ? next.position : walk->end;
    walk->expected = r == 0 ? next.offset : walk->expected;
    walk->bad_bytes = walk->position - walk->bad_position;
    return r < 0 ? r : BATCH_BAD;
}
