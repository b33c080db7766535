/*
 * What keeps the log of the registry short. Each topic that comes and goes leaves its records in
 * __eventbox_registry, and the start that has no checkpoint needs them (rebuild.c). So when its
 * segments have grown beyond limits.registry_bytes, and beyond three times what the last state
 * took, the registry writes its whole state as one record that begins a segment; once that is
 * durable the log begins there, and the older segments go as those of any other log do (removal.c).
 *
 * The state is that at the record's place in the queue: what earlier records on their way will have
 * brought about is in it. That is known at once of topics, partitions, configs and producer ids; of
 * a log start and of a swap only when they are durable, so it is not written while one is under
 * way.
 *
 * Read in order, the record changes nothing. Read first, or after older segments of which some are
 * gone, in whatever order an unlink became durable, it says all: a topic that it does not name is
 * none.
 *
 *   8 registry_state     u32 next number, i64 end of producer ids
 *                        u32 topics, each:
 *                            as in 1, with what it sets and has now
 *                            u32 partitions that have something to tell, each: i32 index,
 *                                i64 log start offset, i64 clean up to, i64 first tombstone due
 *                        u32 deleted topics whose files are there yet, each:
 *                            u32 number, i32 partitions
 */
#include "fields.h"
#include "log_private.h"
#include "partition.h"
#include "registry.h"
#include "retention/removal.h"

#include <errno.h>
#include <stdlib.h>

enum { STATE_SHARE = 3 };

/* ---- writing ---- */

static void encode_partitions(const struct log_topic *topic, struct text *out) {
    uint32_t count = 0;
    size_t count_at = out->size;
    fields_put(out, 0, 4);
    for (int32_t i = 0; i < topic->public.partition_count; i++) {
        const struct log_partition *partition = topic_partition(topic, i);
        if (partition->public.log_start_offset > 0 || partition->cleaned_to > 0) {
            fields_put(out, (uint32_t)i, 4);
            fields_put(out, (uint64_t)partition->public.log_start_offset, 8);
            fields_put(out, (uint64_t)partition->cleaned_to, 8);
            fields_put(out, (uint64_t)partition->tombstones_due_ms, 8);
            count++;
        }
    }
    if (!text_failed(out)) {
        put_le32(out->data + count_at, count);
    }
}

static void encode_topics(const struct topic_log *log, struct text *out) {
    uint32_t count = 0;
    size_t count_at = out->size;
    fields_put(out, 0, 4);
    list_for_each(link, &log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (topic != log->registry && !topic->public.deleted) {
            registry_topic_encode(out, &topic->public, topic->public.partition_count,
                                  topic_log_config_latest(&topic->public));
            encode_partitions(topic, out);
            count++;
        }
    }
    if (!text_failed(out)) {
        put_le32(out->data + count_at, count);
    }
}

static void encode_removals(const struct topic_log *log, struct text *out) {
    uint32_t count = 0;
    size_t count_at = out->size;
    fields_put(out, 0, 4);
    for (uint32_t i = 0; i < log->removal_count; i++) {
        if (log->removals[i].partition < 0) {
            fields_put(out, log->removals[i].number, 4);
            fields_put(out, (uint32_t)log->removals[i].partition_count, 4);
            count++;
        }
    }
    list_for_each(link, &log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (topic->public.deleted) { /* its record is on its way */
            fields_put(out, topic->public.number, 4);
            fields_put(out, (uint32_t)topic->public.partition_count, 4);
            count++;
        }
    }
    if (!text_failed(out)) {
        put_le32(out->data + count_at, count);
    }
}

/* The log of the registry begins with the batch at @offset, which begins a segment. */
static int begin_at(struct topic_log *log, int64_t offset, uint64_t sequence) {
    return partition_move_log_start(log, topic_partition(log->registry, 0), offset, offset,
                                    sequence);
}

static int on_state(struct registry_change *change, int status) {
    struct topic_log *log = change->log;
    log->registry_state.under_way = false;
    if (status == 0) {
        log->registry_state.bytes = change->part.batch.size;
        log->registry_state.wanted = false;
        log->stats.registry_states++;
        status = begin_at(log, change->part.base_offset, change->append.frame_sequence);
        if (status) {
            topic_log_fail(log, "remembering old segments of the registry", status);
        }
    }
    return status;
}

static bool is_due(const struct topic_log *log) {
    if (log->registry_state.wanted) {
        return true;
    }
    const struct log_partition *partition = topic_partition(log->registry, 0);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        bytes += partition->segments[i].bytes;
    }
    return bytes > MAX(log->limits.registry_bytes, STATE_SHARE * log->registry_state.bytes);
}

static bool must_wait(const struct topic_log *log) {
    bool wait = log->swap != NULL;
    list_for_each(link, &log->changes) {
        wait |= list_entry(link, struct registry_change, link)->delays_state;
    }
    return wait;
}

void registry_state_maybe(struct topic_log *log) {
    if (log->failed || log->state != LOG_READY || log->registry_state.under_way || !is_due(log) ||
        must_wait(log)) {
        return;
    }
    struct registry_change *change = calloc(1, sizeof *change);
    if (!change) {
        return; /* the next change comes by here again */
    }
    struct text value;
    registry_record_begin(&value, REGISTRY_STATE);
    fields_put(&value, log->next_number, 4);
    fields_put(&value, (uint64_t)MAX(log->producer_reserved_end, log->producer_durable_end), 8);
    encode_topics(log, &value);
    encode_removals(log, &value);
    change->finished = on_state;
    topic_partition(log->registry, 0)->roll_next = true;
    log->registry_state.under_way = registry_change_send(log, change, REGISTRY_STATE, &value) == 0;
}

/* ---- reading ---- */

struct stated {
    struct log_topic *topic; /* as decoded; NULL once the log has it */
    uint32_t number;
    struct fields partitions;
};

struct state {
    struct stated *topics; /* by number */
    uint32_t count;
};

static void state_free(struct state *state) {
    for (uint32_t i = 0; i < state->count; i++) {
        if (state->topics[i].topic) {
            topic_free(state->topics[i].topic);
        }
    }
    free(state->topics);
}

static int compare_stated(const void *a, const void *b) {
    const struct stated *left = a, *right = b;
    return (left->number > right->number) - (left->number < right->number);
}

static int decode_topics(struct topic_log *log, struct fields *in, struct state *state) {
    enum { TOPIC_BYTES_MIN = 34, PARTITION_BYTES = 28 };
    uint32_t count = (uint32_t)fields_get(in, 4);
    if (in->failed || count > (size_t)(in->end - in->at) / TOPIC_BYTES_MIN) {
        return err_origin(BROKER_E_CORRUPT);
    }
    state->topics = calloc(MAX(count, 1u), sizeof *state->topics);
    if (!state->topics) {
        return err_origin(-ENOMEM);
    }
    while (state->count < count) {
        struct stated *stated = &state->topics[state->count];
        int r = registry_topic_decode(log, in, &stated->topic);
        if (r) {
            return r;
        }
        state->count++;
        stated->number = stated->topic->public.number;
        stated->partitions = *in;
        uint64_t partitions = fields_get(in, 4);
        if (in->failed || partitions > (size_t)(in->end - in->at) / PARTITION_BYTES) {
            return err_origin(BROKER_E_CORRUPT);
        }
        (void)fields_take(in, (size_t)partitions * PARTITION_BYTES);
    }
    if (count > 1) {
        qsort(state->topics, count, sizeof *state->topics, compare_stated);
    }
    return 0;
}

/* Topics whose deletion stood in a record that is gone. Later ones have later numbers. */
static int drop_unnamed(struct topic_log *log, const struct state *state, uint32_t next_number,
                        uint64_t sequence) {
    list_for_each_safe(link, &log->topics_all) {
        struct log_topic *topic = list_entry(link, struct log_topic, link);
        struct stated wanted = {.number = topic->public.number};
        if (topic == log->registry || wanted.number >= next_number ||
            (state->count > 0 &&
             bsearch(&wanted, state->topics, state->count, sizeof wanted, compare_stated))) {
            continue;
        }
        int r = removal_add_topic(log, topic, sequence);
        if (r) {
            return err_trace(r);
        }
        registry_remove(log, topic);
        registry_forget(log, topic);
    }
    return 0;
}

static int apply_partitions(struct topic_log *log, struct log_topic *topic, struct fields in,
                            uint64_t sequence) {
    for (uint32_t n = (uint32_t)fields_get(&in, 4); n > 0; n--) {
        struct partition *public = partition_get(&topic->public, (int32_t)fields_get(&in, 4));
        int64_t start = (int64_t)fields_get(&in, 8);
        int64_t cleaned_to = (int64_t)fields_get(&in, 8);
        int64_t due_ms = (int64_t)fields_get(&in, 8);
        if (!public) {
            return err_origin(BROKER_E_CORRUPT);
        }
        struct log_partition *partition = log_partition_of(public);
        if (cleaned_to > partition->cleaned_to) {
            partition->cleaned_to = cleaned_to;
            partition->tombstones_due_ms = due_ms;
        }
        int r = partition_move_log_start(log, partition, start, 0, sequence);
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

/* A topic that is known already gets what the state says of it; another becomes known. */
static int apply_topic(struct topic_log *log, struct stated *stated, uint64_t sequence) {
    struct log_topic *known = registry_by_number(log, stated->number);
    int r = 0;
    if (!known) {
        r = registry_insert(log, stated->topic);
        if (r) {
            return err_trace(r);
        }
        known = stated->topic;
        stated->topic = NULL;
    } else {
        struct topic_config before = known->public.config;
        known->public.config = stated->topic->public.config;
        stated->topic->public.config = before;
        r = registry_widen(log, known, stated->topic->public.partition_count);
    }
    return r ? r : apply_partitions(log, known, stated->partitions, sequence);
}

static int apply_removals(struct topic_log *log, struct fields *in, uint64_t sequence) {
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0; n--) {
        struct pending_removal removal = {.number = (uint32_t)fields_get(in, 4), .partition = -1};
        removal.partition_count = (int32_t)fields_get(in, 4);
        removal.sequence = sequence;
        bool there = false;
        for (uint32_t i = 0; i < log->removal_count && !there; i++) {
            there = log->removals[i].number == removal.number && log->removals[i].partition < 0;
        }
        int r = in->failed ? err_origin(BROKER_E_CORRUPT) : there ? 0 : removal_add(log, &removal);
        if (r) {
            return r;
        }
    }
    return 0;
}

int registry_state_apply(struct topic_log *log, struct fields *in, int64_t offset,
                         uint64_t sequence) {
    struct state state = {0};
    uint32_t next_number = (uint32_t)fields_get(in, 4);
    int64_t producer_end = (int64_t)fields_get(in, 8);
    int r = decode_topics(log, in, &state);
    if (!r) {
        r = drop_unnamed(log, &state, next_number, sequence);
    }
    for (uint32_t i = 0; i < state.count && !r; i++) {
        r = apply_topic(log, &state.topics[i], sequence);
    }
    if (!r) {
        r = apply_removals(log, in, sequence);
    }
    state_free(&state);
    if (r) {
        return r;
    }
    log->next_number = MAX(log->next_number, next_number);
    log->producer_durable_end = MAX(log->producer_durable_end, producer_end);
    struct log_partition *partition = topic_partition(log->registry, 0);
    if (partition->writer_base < offset) {
        partition->writer_base = -1;
        partition->writer_position = 0;
    }
    return begin_at(log, offset, sequence);
}
