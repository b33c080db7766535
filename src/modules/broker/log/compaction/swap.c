#include "swap.h"
#include "compact.h"
#include "fields.h"
#include "log_private.h"
#include "swap_run.h"
#include "topics/partition.h"
#include "topics/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes ---- */

struct swap *swap_new(uint32_t target_count) {
    struct swap *swap = calloc(1, sizeof *swap);
    struct swap_target *targets = calloc(MAX(target_count, 1u), sizeof *targets);
    if (!swap || !targets) {
        free(swap);
        free(targets);
        return NULL;
    }
    swap->targets = targets;
    swap->target_count = target_count;
    return swap;
}

void swap_free(struct swap *swap) {
    if (!swap) {
        return;
    }
    for (uint32_t i = 0; i < swap->target_count; i++) {
        free(swap->targets[i].bases);
    }
    free(swap->targets);
    free(swap);
}

void swap_encode(struct text *out, const struct swap *swap) {
    fields_put(out, swap->topic, 4);
    fields_put(out, (uint32_t)swap->partition, 4);
    fields_put(out, swap->run, 8);
    fields_put(out, (uint64_t)swap->cleaned_to, 8);
    fields_put(out, (uint64_t)swap->tombstones_due_ms, 8);
    fields_put(out, swap->target_count, 4);
    for (uint32_t i = 0; i < swap->target_count; i++) {
        const struct swap_target *target = &swap->targets[i];
        fields_put(out, target->bytes, 8);
        fields_put(out, (uint64_t)target->max_timestamp_ms, 8);
        fields_put(out, target->base_count, 4);
        for (uint32_t n = 0; n < target->base_count; n++) {
            fields_put(out, (uint64_t)target->bases[n], 8);
        }
    }
}

/* A count that the bytes left cannot hold is not believed. */
static uint32_t take_count(struct fields *in, size_t bytes) {
    uint64_t count = fields_get(in, 4);
    if (count == 0 || count > (size_t)(in->end - in->at) / bytes) {
        in->failed = true;
        return 0;
    }
    return (uint32_t)count;
}

static int decode_target(struct fields *in, struct swap_target *target) {
    target->bytes = fields_get(in, 8);
    target->max_timestamp_ms = (int64_t)fields_get(in, 8);
    uint32_t count = take_count(in, 8);
    if (in->failed) {
        return err_origin(BROKER_E_CORRUPT);
    }
    target->bases = calloc(count, sizeof *target->bases);
    if (!target->bases) {
        return err_origin(-ENOMEM);
    }
    for (; target->base_count < count; target->base_count++) {
        target->bases[target->base_count] = (int64_t)fields_get(in, 8);
    }
    return 0;
}

int swap_decode(struct fields *in, struct swap **ret_swap) {
    struct swap head = {.topic = (uint32_t)fields_get(in, 4)};
    head.partition = (int32_t)fields_get(in, 4);
    head.run = fields_get(in, 8);
    head.cleaned_to = (int64_t)fields_get(in, 8);
    head.tombstones_due_ms = (int64_t)fields_get(in, 8);
    uint32_t count = take_count(in, 28);
    if (in->failed) {
        return err_origin(BROKER_E_CORRUPT);
    }
    struct swap *swap = swap_new(count);
    if (!swap) {
        return err_origin(-ENOMEM);
    }
    head.targets = swap->targets;
    head.target_count = count;
    *swap = head;
    for (uint32_t i = 0; i < count; i++) {
        int r = decode_target(in, &swap->targets[i]);
        if (r) {
            swap_free(swap);
            return r;
        }
    }
    *ret_swap = swap;
    return 0;
}

/* ---- the list ---- */

/* Where the old segments of @target stand, one behind the other; -1: not all are there. */
static int find_bases(const struct log_partition *partition, const struct swap_target *target) {
    int at = partition_segment_index(partition, target->bases[0]);
    if (at < 0 || (uint32_t)at + target->base_count > partition->segment_count) {
        return -1;
    }
    for (uint32_t n = 0; n < target->base_count; n++) {
        if (partition->segments[(uint32_t)at + n].base_offset != target->bases[n]) {
            return -1;
        }
    }
    return at;
}

static void replace(struct log_partition *partition, const struct swap_target *target, int at) {
    struct log_segment *first = &partition->segments[at];
    for (uint32_t n = 1; n < target->base_count; n++) {
        first->appended_ms = MAX(first->appended_ms, first[n].appended_ms);
        first->last_sequence = MAX(first->last_sequence, first[n].last_sequence);
    }
    first->bytes = first->written_bytes = target->bytes;
    first->max_timestamp_ms = target->max_timestamp_ms;
    uint32_t behind = (uint32_t)at + target->base_count;
    memmove(first + 1, partition->segments + behind,
            (partition->segment_count - behind) * sizeof *first);
    partition->segment_count -= target->base_count - 1;
}

int swap_list(struct log_partition *partition, const struct swap *swap) {
    for (uint32_t i = 0; i < swap->target_count; i++) {
        if (find_bases(partition, &swap->targets[i]) < 0) {
            return 1;
        }
    }
    for (uint32_t i = 0; i < swap->target_count; i++) {
        replace(partition, &swap->targets[i], find_bases(partition, &swap->targets[i]));
    }
    partition->cleaned_to = swap->cleaned_to;
    partition->tombstones_due_ms = swap->tombstones_due_ms;
    return 0;
}

/* ---- files ---- */

static int gone(int r) {
    return r == DISK_E_NOT_FOUND ? 0 : r;
}

/* Of what was written behind a segment that is being replaced nothing counts any more. */
static bool replaces(const struct swap *swap, int64_t base_offset) {
    for (uint32_t i = 0; i < swap->target_count; i++) {
        for (uint32_t n = 0; n < swap->targets[i].base_count; n++) {
            if (swap->targets[i].bases[n] == base_offset) {
                return true;
            }
        }
    }
    return false;
}

static void target_id(const struct swap *swap, uint32_t at, struct segment_id *ret_id) {
    *ret_id = (struct segment_id){swap->topic, swap->partition, swap->targets[at].bases[0]};
}

int swap_rename(struct disk *disk, const struct swap *swap) {
    for (uint32_t i = 0; i < swap->target_count; i++) {
        struct segment_id id;
        target_id(swap, i, &id);
        for (unsigned kind = SEGMENT_LOG; kind <= SEGMENT_TIMEINDEX; kind++) {
            char from[COMPACT_NAME_SIZE], to[SEGMENT_NAME_SIZE];
            compact_name(&id, (enum segment_kind)kind, swap->run, from);
            segment_name(&id, (enum segment_kind)kind, to);
            int r = gone(disk_rename(disk, from, to));
            if (r) {
                return err_trace(r);
            }
        }
    }
    return 0;
}

int swap_unlink(struct disk *disk, const struct swap *swap) {
    char folder[SEGMENT_NAME_SIZE];
    for (uint32_t i = 0; i < swap->target_count; i++) {
        const struct swap_target *target = &swap->targets[i];
        for (uint32_t n = 1; n < target->base_count; n++) {
            struct segment_id id = {swap->topic, swap->partition, target->bases[n]};
            int r = segment_unlink(disk, &id);
            if (r) {
                return err_trace(r);
            }
        }
    }
    segment_folder(swap->topic, swap->partition, folder);
    int r = gone(disk_sync_dir(disk, folder));
    r = r == DISK_E_FULL ? -ENOSPC : r; /* a sync that fails is no back pressure */
    return r ? err_trace(r) : 0;
}

int swap_drop(struct disk *disk, const struct swap *swap) {
    int status = 0;
    for (uint32_t i = 0; i < swap->target_count; i++) {
        struct segment_id id;
        target_id(swap, i, &id);
        for (unsigned kind = SEGMENT_LOG; kind <= SEGMENT_TIMEINDEX; kind++) {
            char name[COMPACT_NAME_SIZE];
            compact_name(&id, (enum segment_kind)kind, swap->run, name);
            int r = gone(disk_unlink(disk, name));
            status = status ? status : r;
        }
    }
    return status;
}

/* ---- in recovery ---- */

static struct log_partition *find_partition(struct topic_log *log, const struct swap *swap) {
    struct log_topic *topic = registry_by_number(log, swap->topic);
    struct partition *public = topic ? partition_get(&topic->public, swap->partition) : NULL;
    return public ? log_partition_of(public) : NULL;
}

int swap_finish(struct disk *disk, const struct swap *swap) {
    int r = swap_rename(disk, swap);
    return r ? r : swap_unlink(disk, swap);
}

int swap_apply(struct topic_log *log, struct fields *in) {
    struct swap *swap;
    int r = swap_decode(in, &swap);
    if (r) {
        return r;
    }
    struct log_partition *partition = find_partition(log, swap);
    if (partition && replaces(swap, partition->writer_base)) {
        partition->writer_base = -1; /* the next batch begins another one */
        partition->writer_position = 0;
    }
    if (partition && partition->segment_count == 0) {
        r = swap_finish(log->disk, swap); /* folders are read later: only the files count */
        partition->cleaned_to = MAX(partition->cleaned_to, swap->cleaned_to);
        partition->tombstones_due_ms = swap->tombstones_due_ms;
    } else if (partition) {
        r = swap_list(partition, swap);
        r = r == 0 ? swap_finish(log->disk, swap) : r == 1 ? swap_drop(log->disk, swap) : r;
    }
    swap_free(swap);
    return r > 0 ? -EIO : r;
}

int swap_decode_pending(struct topic_log *log, struct fields *in) {
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        struct swap *swap;
        int r = swap_decode(in, &swap);
        if (r) {
            return r;
        }
        /* The list in the checkpoint has changed already. */
        r = swap_finish(log->disk, swap);
        swap_free(swap);
        if (r) {
            return r > 0 ? err_origin(-EIO) : err_trace(r);
        }
    }
    return 0;
}
