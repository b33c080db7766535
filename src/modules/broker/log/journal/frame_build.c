/* Frames from batches; frame_build.h says how they lie in memory. */
#include "frame_build.h"
#include "record_batch.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/error.h>
#include <stdlib.h>

enum {
    MEMORY_MIN_BYTES = 64 << 10,
    MEMORY_KEEP_BYTES = 256 << 10, /* what an idle writer keeps at most */
    CONCAT_LEAST_BYTES = 8 << 10,  /* of smaller ones it is quicker to read the bytes */
};

/* How a batch lies on the multiples of FRAME_ALIGN. */
struct placement {
    size_t zeros; /* before it, so that place and address agree */
    size_t head;  /* up to the first multiple in it */
    size_t tail;  /* behind the last */
};

static struct placement placement_of(const struct frame_build *build, const uint8_t *batch,
                                     size_t size) {
    uintptr_t address = (uintptr_t)batch;
    return (struct placement){
        .zeros = (address - FRAME_HEADER_BYTES - build->at) % FRAME_ALIGN,
        .head = -address % FRAME_ALIGN,
        .tail = (address + size) % FRAME_ALIGN,
    };
}

void frame_build_plan(struct frame_build *build, uint32_t entry_count, uint64_t batch_bytes,
                      uint64_t room) {
    build->entry_count = entry_count;
    build->at = (uint64_t)entry_count * FRAME_ENTRY_BYTES;
    build->copied = FRAME_HEADER_BYTES + build->at;
    build->slack = room - frame_bytes(entry_count, batch_bytes);
    build->part_count = 1;
}

bool frame_build_plan_batch(struct frame_build *build, const uint8_t *batch, size_t size) {
    struct placement placement = placement_of(build, batch, size);
    bool gathered = size >= build->gather_bytes && placement.head + placement.tail < size &&
                    placement.zeros <= build->slack && build->part_count + 2 <= FRAME_PARTS_MAX;
    if (gathered) {
        build->slack -= placement.zeros;
        build->at += placement.zeros;
        build->copied += placement.zeros + placement.head + placement.tail;
        build->part_count += 2;
    } else {
        build->copied += size;
    }
    build->at += size;
    return gathered;
}

int frame_build_plan_end(struct frame_build *build) {
    size_t wanted = build->copied + FRAME_ALIGN; /* and the zeros behind the last batch */
    if (wanted <= build->capacity) {
        return 0;
    }
    size_t capacity = MAX(build->capacity, (size_t)MEMORY_MIN_BYTES);
    while (capacity < wanted) {
        capacity *= 2;
    }
    void *grown = aligned_alloc(FRAME_ALIGN, capacity);
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    free(build->memory);
    build->memory = grown;
    build->capacity = capacity;
    return 0;
}

void frame_build_begin(struct frame_build *build) {
    build->at = (uint64_t)build->entry_count * FRAME_ENTRY_BYTES;
    build->copied = FRAME_HEADER_BYTES + build->at;
    build->entry = build->memory + FRAME_HEADER_BYTES;
    build->part_at = 0;
    build->part_count = 0;
    build->crc = 0;
}

static void copy(struct frame_build *build, const uint8_t *data, size_t size) {
    memcpy(build->memory + build->copied, data, size);
    build->copied += size;
}

static void add_zeros(struct frame_build *build, size_t size) {
    memset(build->memory + build->copied, 0, size);
    build->copied += size;
}

static void add_part(struct frame_build *build, const uint8_t *data, size_t size) {
    if (size > 0) {
        build->parts[build->part_count++] = (struct iovec){(void *)(uintptr_t)data, size};
    }
}

static void close_part(struct frame_build *build) {
    add_part(build, build->memory + build->part_at, build->copied - build->part_at);
    build->part_at = build->copied;
}

static void gather(struct frame_build *build, const struct placement *placement,
                   const uint8_t *batch, size_t size) {
    copy(build, batch, placement->head);
    close_part(build);
    add_part(build, batch + placement->head, size - placement->head - placement->tail);
    copy(build, batch + size - placement->tail, placement->tail);
}

/*
 * Goes on over a batch. What its own checksum covers, which was checked when it was appended, need
 * not be read again, and the frame's tells if memory changed since.
 */
static uint32_t crc_of_batch(uint32_t crc, const uint8_t *batch, size_t size) {
    if (size < CONCAT_LEAST_BYTES) {
        return crc32c(crc, batch, size);
    }
    crc = crc32c(crc, batch, RECORD_BATCH_AT_ATTRIBUTES);
    return crc32c_concat(crc, get_be32(batch + RECORD_BATCH_AT_CRC),
                         size - RECORD_BATCH_AT_ATTRIBUTES);
}

void frame_build_add(struct frame_build *build, struct frame_entry *entry, const uint8_t *batch,
                     bool gathered) {
    struct placement placement = placement_of(build, batch, entry->bytes);
    if (gathered) {
        add_zeros(build, placement.zeros);
        build->crc =
            crc32c(build->crc, build->memory + build->copied - placement.zeros, placement.zeros);
        build->at += placement.zeros;
        gather(build, &placement, batch, entry->bytes);
    } else {
        copy(build, batch, entry->bytes);
    }
    build->crc = crc_of_batch(build->crc, batch, entry->bytes);
    entry->body_offset = (uint32_t)build->at;
    build->at += entry->bytes;
    frame_entry_write(build->entry, entry);
    build->entry += FRAME_ENTRY_BYTES;
}

void frame_build_end(struct frame_build *build, struct frame_header *header) {
    uint32_t entries = build->entry_count * FRAME_ENTRY_BYTES;
    uint32_t entries_crc = crc32c(0, build->memory + FRAME_HEADER_BYTES, entries);
    header->entry_count = build->entry_count;
    header->body_bytes = (uint32_t)build->at;
    header->body_crc = crc32c_concat(entries_crc, build->crc, build->at - entries);
    frame_header_write(build->memory, header);
    build->bytes = frame_bytes_of_body(build->at);
    add_zeros(build, (size_t)(build->bytes - FRAME_HEADER_BYTES - build->at));
    close_part(build);
}

void frame_build_trim(struct frame_build *build) {
    if (build->capacity > MEMORY_KEEP_BYTES) {
        frame_build_deinit(build);
    }
}

void frame_build_deinit(struct frame_build *build) {
    free(build->memory);
    build->memory = NULL;
    build->capacity = 0;
}
