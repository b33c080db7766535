/* Small rules of one partition: its segments, epochs, damage, waiters and guards. */
#include "partition.h"
#include "checkpoint/log_keeper.h"
#include "log_private.h"
#include "read/reader.h"
#include "retention/removal.h"

#include <errno.h>
#include <stdlib.h>

struct partition *partition_get(struct topic *topic, int32_t index) {
    return index >= 0 && index < topic->partition_count ? topic->partitions[index] : NULL;
}

int partition_segment_at(struct log_partition *partition, int64_t base_offset,
                         struct log_segment **ret_segment) {
    uint32_t count = partition->segment_count;
    while (count > 0 && partition->segments[count - 1].base_offset > base_offset) {
        count--;
    }
    if (count > 0 && partition->segments[count - 1].base_offset == base_offset) {
        *ret_segment = &partition->segments[count - 1];
        return 0;
    }
    if (partition->segment_count == partition->segment_capacity) {
        uint32_t capacity = partition->segment_capacity ? partition->segment_capacity * 2 : 1;
        void *grown = realloc(partition->segments, capacity * sizeof *partition->segments);
        if (!grown) {
            return err_origin(-ENOMEM);
        }
        partition->segments = grown;
        partition->segment_capacity = capacity;
    }
    struct log_segment *segment = &partition->segments[count];
    memmove(segment + 1, segment, (partition->segment_count - count) * sizeof *segment);
    *segment = (struct log_segment){.base_offset = base_offset,
                                    .max_timestamp_ms = -1,
                                    .first_timestamp_ms = -1,
                                    .created_ms = -1,
                                    .appended_ms = -1};
    partition->segment_count++;
    *ret_segment = segment;
    return 0;
}

int partition_segment_index(const struct log_partition *partition, int64_t offset) {
    int low = 0, high = (int)partition->segment_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (partition->segments[middle].base_offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

int64_t partition_segment_end(const struct log_partition *partition, uint32_t index) {
    return index + 1 < partition->segment_count ? partition->segments[index + 1].base_offset
                                                : partition->public.log_end_offset;
}

void partition_segment_took(struct log_segment *segment, uint64_t position, uint64_t bytes,
                            int64_t max_timestamp_ms, int64_t appended_ms) {
    if (position == 0) {
        segment->created_ms = appended_ms;
        segment->first_timestamp_ms = MIN(max_timestamp_ms, appended_ms);
    }
    segment->bytes = position + bytes;
    segment->max_timestamp_ms = MAX(segment->max_timestamp_ms, max_timestamp_ms);
    segment->appended_ms = appended_ms;
}

int64_t partition_keep(const struct log_partition *partition, int64_t offset) {
    if (offset >= partition->public.log_end_offset) {
        return offset; /* nothing is on its way, and what comes begins a segment */
    }
    int index = partition_segment_index(partition, offset);
    return index < 0 ? 0 : partition->segments[index].base_offset;
}

/* What is known of offsets below the log's start is of no use any more. */
static uint32_t keep_above(struct offset_range *ranges, uint32_t count, int64_t offset) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ranges[i].to > offset) {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

static void forget_below(struct log_partition *partition, int64_t offset) {
    partition->damage_count = keep_above(partition->damage, partition->damage_count, offset);
    partition->rot_count = keep_above(partition->rot, partition->rot_count, offset);
    uint32_t epochs = 0;
    while (epochs + 1 < partition->epoch_count &&
           partition->epochs[epochs + 1].start_offset <= offset) {
        epochs++;
    }
    if (epochs > 0) {
        partition->epoch_count -= epochs;
        memmove(partition->epochs, partition->epochs + epochs,
                partition->epoch_count * sizeof *partition->epochs);
    }
}

int partition_move_log_start(struct topic_log *log, struct log_partition *partition, int64_t offset,
                             int64_t keep, uint64_t sequence) {
    struct segment_id id = {partition->topic->public.number, partition->public.index, 0};
    uint32_t gone = 0;
    checkpoint_changes(log, partition);
    /* One that compaction has merged may begin below @keep and end behind it: it stays. */
    while (gone < partition->segment_count && partition->segments[gone].base_offset < keep &&
           (gone + 1 == partition->segment_count ||
            partition->segments[gone + 1].base_offset <= keep)) {
        id.base_offset = partition->segments[gone++].base_offset;
        struct pending_removal removal = {.number = id.topic,
                                          .partition = id.partition,
                                          .base_offset = id.base_offset,
                                          .sequence = sequence};
        int r = removal_add(log, &removal);
        if (r) {
            return err_trace(r);
        }
        reader_forget(log, &id);
    }
    if (gone > 0) {
        partition->segment_count -= gone;
        memmove(partition->segments, partition->segments + gone,
                partition->segment_count * sizeof *partition->segments);
    }
    if (offset > partition->public.log_start_offset) {
        partition->public.log_start_offset = offset;
        forget_below(partition, offset);
    }
    return 0;
}

int partition_epoch_raise(struct log_partition *partition, int64_t start_offset) {
    return partition_epoch_begin(partition, partition->public.leader_epoch + 1, start_offset);
}

int partition_epoch_begin(struct log_partition *partition, int32_t epoch, int64_t start_offset) {
    uint32_t count = partition->epoch_count;
    uint32_t grown_count = count ? count + 1 : 2;
    struct epoch_start *grown = realloc(partition->epochs, grown_count * sizeof *grown);
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    partition->epochs = grown;
    if (count == 0) {
        grown[count++] = (struct epoch_start){partition->public.leader_epoch, 0};
    }
    partition->public.leader_epoch = epoch;
    grown[count++] = (struct epoch_start){epoch, start_offset};
    partition->epoch_count = count;
    return 0;
}

int partition_epoch_learn(struct log_partition *partition, int32_t epoch, int64_t offset) {
    uint32_t count = partition->epoch_count, next = count;
    while (next > 1 && partition->epochs[next - 1].start_offset > offset) {
        next--;
    }
    /* Epochs rise: else the batch is not what it seems. */
    if (next == count || next == 0 || partition->epochs[next - 1].epoch >= epoch ||
        partition->epochs[next].epoch < epoch) {
        return 0;
    }
    if (partition->epochs[next].epoch == epoch) {
        partition->epochs[next].start_offset = offset;
        return 0;
    }
    struct epoch_start *grown = realloc(partition->epochs, (count + 1) * sizeof *grown);
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    memmove(grown + next + 1, grown + next, (count - next) * sizeof *grown);
    grown[next] = (struct epoch_start){epoch, offset};
    partition->epochs = grown;
    partition->epoch_count = count + 1;
    return 0;
}

bool topic_acknowledges_early(const struct topic_log *log, const struct topic *topic) {
    int64_t flush_ms = topic_config_int(log, topic, TOPIC_FLUSH_MS);
    return flush_ms >= 0 && flush_ms != INT64_MAX;
}

int partition_damage_add(struct log_partition *partition, int64_t from, int64_t to) {
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        if (partition->damage[i].from == from && partition->damage[i].to == to) {
            return 0;
        }
    }
    struct offset_range *grown =
        realloc(partition->damage, (partition->damage_count + 1) * sizeof *grown);
    if (!grown) {
        return err_origin(-ENOMEM);
    }
    grown[partition->damage_count++] = (struct offset_range){from, to};
    partition->damage = grown;
    return 0;
}

int partition_damage_remove(struct log_partition *partition, int64_t from, int64_t to) {
    for (uint32_t i = 0; i < partition->damage_count;) {
        struct offset_range range = partition->damage[i];
        if (range.from >= to || range.to <= from) {
            i++;
            continue;
        }
        partition->damage[i] = partition->damage[--partition->damage_count];
        int r = range.from < from ? partition_damage_add(partition, range.from, from) : 0;
        if (!r && range.to > to) {
            r = partition_damage_add(partition, to, range.to);
        }
        if (r) {
            return r;
        }
        i = 0; /* they have moved */
    }
    return 0;
}

void partition_epoch_end(struct topic_log *log, struct partition *public, int32_t epoch,
                         int32_t *ret_epoch, int64_t *ret_end_offset) {
    const struct log_partition *partition = log_partition_of(public);
    if (epoch >= public->leader_epoch) {
        *ret_epoch = epoch == public->leader_epoch ? epoch : -1;
        *ret_end_offset = epoch == public->leader_epoch ? public->high_watermark : -1;
        return;
    }
    *ret_epoch = -1;
    *ret_end_offset = -1;
    for (uint32_t i = 0; i + 1 < partition->epoch_count; i++) {
        if (partition->epochs[i].epoch <= epoch) {
            *ret_epoch = partition->epochs[i].epoch;
            *ret_end_offset = partition->epochs[i + 1].start_offset;
        }
    }
}

void partition_wait(struct partition *partition, struct partition_waiter *waiter) {
    list_push_back(&partition->waiters, &waiter->link);
}

void partition_unwait(struct partition_waiter *waiter) {
    list_remove(&waiter->link);
}

/* Waiters may unlink themselves or each other, or link new ones, while they are called. */
void partition_wake(struct log_partition *partition) {
    struct list waking;
    list_init(&waking);
    list_splice_back(&waking, &partition->public.waiters);
    topic_ref(&partition->topic->public);
    struct list *link;
    while ((link = list_pop_front(&waking)) != NULL) {
        list_push_back(&partition->public.waiters, link);
        struct partition_waiter *waiter = list_entry(link, struct partition_waiter, link);
        waiter->wake(waiter);
    }
    topic_unref(&partition->topic->public);
}

int partition_guard(struct topic_log *log, struct partition *public, const char *name,
                    int64_t offset) {
    struct log_partition *partition = log_partition_of(public);
    list_for_each(link, &partition->guards) {
        struct guard *guard = list_entry(link, struct guard, link);
        if (strcmp(guard->name, name) == 0) {
            if (offset == INT64_MAX && !guard->standing) {
                list_remove(link);
                free(guard);
            } else if (offset != INT64_MAX) {
                guard->offset = offset;
            }
            return 0;
        }
    }
    if (offset == INT64_MAX) {
        return 0;
    }
    size_t size = strlen(name) + 1;
    struct guard *guard = calloc(1, sizeof *guard + size);
    if (!guard) {
        return err_origin(-ENOMEM);
    }
    memcpy(guard->name, name, size);
    guard->offset = offset;
    list_push_back(&partition->guards, &guard->link);
    return 0;
}

int partition_guard_standing(struct topic_log *log, struct partition *public, const char *name) {
    struct log_partition *partition = log_partition_of(public);
    list_for_each(link, &partition->guards) {
        struct guard *guard = list_entry(link, struct guard, link);
        if (strcmp(guard->name, name) == 0) {
            guard->standing = true;
            return 0;
        }
    }
    int r = partition_guard(log, public, name, public->log_start_offset);
    if (r == 0) {
        list_entry(partition->guards.prev, struct guard, link)->standing = true;
    }
    return r;
}

const struct guard *partition_first_guard(const struct log_partition *partition) {
    const struct guard *first = NULL;
    list_for_each(link, &partition->guards) {
        const struct guard *guard = list_entry(link, struct guard, link);
        if (!first || guard->offset < first->offset) {
            first = guard;
        }
    }
    return first;
}
