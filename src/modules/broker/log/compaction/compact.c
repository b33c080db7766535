#include "compact_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct compaction {
    const struct compact_plan *plan;
    struct compact_result *result;
    struct key_map map;
    struct compact_reader reader;
    struct compact_filter filter;
    struct compact_txns txns;
    int64_t last_end; /* where the last batch of the range ends; -1: it has none */
};

/* ---- first pass: the map ---- */

/* The keys of one batch; false when the map is full: the range ends before that record. */
static int map_batch(struct compaction *run, struct span data, bool *ret_full) {
    struct record_iterator it;
    struct record record;
    int r = record_iterator_init(&it, data);
    while (!r && (r = record_iterator_next(&it, &record)) == 1) {
        r = 0;
        if (!record.key.data || record.offset < run->plan->dirty_from) {
            continue;
        }
        if (!key_map_put(&run->map, record.key, record.offset)) {
            run->result->cleaned_to = record.offset;
            *ret_full = true;
            break;
        }
    }
    record_iterator_deinit(&it);
    return r;
}

static int map_source(struct compaction *run, uint32_t source, bool *ret_full) {
    struct span data;
    struct record_batch batch;
    int r = compact_reader_open(&run->reader, source);
    while (!r && !*ret_full && (r = compact_reader_next(&run->reader, &data, &batch)) == 1) {
        bool discard;
        r = compact_txns_pass(&run->txns, data, &batch, &discard);
        int64_t end = run->reader.next_offset;
        if (r || end <= run->plan->dirty_from) {
            continue;
        }
        if (!discard && !(batch.attributes & RECORD_BATCH_CONTROL)) {
            r = map_batch(run, data, ret_full);
        }
        if (r == BROKER_E_CORRUPT) {
            run->result->damaged_source = source;
            run->result->damaged_offset = batch.base_offset;
        }
        if (!r && !*ret_full) {
            run->result->cleaned_to = run->last_end = end;
        }
    }
    compact_reader_close(&run->reader);
    if (!r && !*ret_full) {
        run->result->cleaned_to = run->plan->sources[source].end_offset;
    }
    return r;
}

/* Reads the dirty range into the map, as far as it fits: @result->cleaned_to is where it ends. */
static int build_map(struct compaction *run) {
    const struct compact_plan *plan = run->plan;
    const struct compact_source *last = &plan->sources[plan->source_count - 1];
    int64_t dirty = MAX(last->end_offset - plan->dirty_from, (int64_t)0);
    int r = key_map_init(&run->map, (uint64_t)dirty, plan->memory_bytes, plan->hash_key);
    bool full = false;
    run->result->cleaned_to = MAX(plan->dirty_from, plan->sources[0].base_offset);
    compact_txns_init(&run->txns, plan);
    for (uint32_t i = 0; i < plan->source_count && !r && !full; i++) {
        if (plan->sources[i].end_offset > plan->dirty_from) {
            r = map_source(run, i, &full);
        }
    }
    compact_txns_deinit(&run->txns);
    run->result->keys = run->map.count;
    run->result->key_bytes = key_map_bytes(&run->map);
    return r;
}

/* ---- second pass: the new segments ---- */

/* How many neighbours from @first on make one segment. */
static uint32_t group_size(const struct compaction *run, uint32_t first) {
    const struct compact_plan *plan = run->plan;
    const struct compact_source *begin = &plan->sources[first];
    uint64_t bytes = begin->bytes;
    uint32_t count = 1;
    for (uint32_t i = first + 1; i < plan->source_count; i++, count++) {
        const struct compact_source *source = &plan->sources[i];
        if (source->base_offset >= run->result->cleaned_to ||
            bytes + source->bytes > plan->segment_bytes ||
            source->end_offset - begin->base_offset > INT32_MAX) {
            break;
        }
        bytes += source->bytes;
    }
    return count;
}

/* Passes one source through the filter; @writer NULL: only to see whether anything would change. */
static int filter_source(struct compaction *run, uint32_t source, struct compact_writer *writer,
                         bool *ret_changed) {
    struct span data;
    struct record_batch batch;
    int r = compact_reader_open(&run->reader, source);
    while (!r && !(*ret_changed && !writer) &&
           (r = compact_reader_next(&run->reader, &data, &batch)) == 1) {
        enum compact_verdict verdict;
        bool discard, last = run->reader.next_offset == run->last_end;
        r = compact_txns_pass(&run->txns, data, &batch, &discard);
        if (!r) {
            r = compact_filter(&run->filter, data, &batch, discard, last, &verdict, &data);
        }
        if (r == BROKER_E_CORRUPT) {
            run->result->damaged_source = source;
            run->result->damaged_offset = batch.base_offset;
        }
        if (r) {
            break;
        }
        *ret_changed |= verdict != COMPACT_KEPT;
        if (writer && verdict != COMPACT_DROPPED) {
            r = record_batch_parse(data, &batch);
            r = r ? err_trace(r) : compact_writer_add(writer, data, &batch);
        }
    }
    compact_reader_close(&run->reader);
    return r;
}

static int write_group(struct compaction *run, struct compact_target *target) {
    struct compact_writer writer;
    bool changed = false;
    int r = compact_writer_open(&writer, run->plan, target);
    for (uint32_t i = 0; i < target->source_count && !r; i++) {
        r = filter_source(run, target->first_source + i, &writer, &changed);
    }
    if (!r) {
        r = compact_writer_finish(&writer);
    }
    compact_writer_deinit(&writer);
    return r;
}

/*
 * A segment alone may have lost nothing: then it is only read. Where something changes the reading
 * begins anew, with the files to write.
 */
static int would_change(struct compaction *run, uint32_t source, bool *ret_changed) {
    struct compact_result before = *run->result;
    struct compact_txns txns;
    int r = compact_txns_copy(&txns, &run->txns);
    *ret_changed = false;
    if (!r) {
        r = filter_source(run, source, NULL, ret_changed);
    }
    if (!r && *ret_changed) {
        uint64_t bytes_read = run->result->bytes_read;
        *run->result = before;
        run->result->bytes_read = bytes_read;
        compact_txns_deinit(&run->txns);
        run->txns = txns;
    } else {
        compact_txns_deinit(&txns);
    }
    return r;
}

static int compact_group(struct compaction *run, uint32_t first, uint32_t count) {
    const struct compact_source *sources = &run->plan->sources[first];
    struct compact_result *result = run->result;
    bool changes = true;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += sources[i].bytes;
    }
    int r = count == 1 ? would_change(run, first, &changes) : 0;
    if (!r && changes) {
        struct compact_target *target = &result->targets[result->target_count++];
        *target = (struct compact_target){.base_offset = sources->base_offset,
                                          .max_timestamp_ms = -1,
                                          .first_source = first,
                                          .source_count = count};
        r = write_group(run, target);
        bytes = target->bytes;
    }
    result->bytes_after += bytes;
    return r;
}

static int write_segments(struct compaction *run) {
    const struct compact_plan *plan = run->plan;
    int r = 0;
    run->result->targets = calloc(plan->source_count, sizeof *run->result->targets);
    if (!run->result->targets) {
        return err_origin(-ENOMEM);
    }
    run->filter.map = &run->map;
    run->filter.horizon = run->result->cleaned_to;
    compact_txns_init(&run->txns, plan);
    for (uint32_t i = 0; i < plan->source_count && !r;) {
        if (plan->sources[i].base_offset >= run->result->cleaned_to) {
            break;
        }
        uint32_t count = group_size(run, i);
        for (uint32_t n = i; n < i + count; n++) {
            run->result->bytes_before += plan->sources[n].bytes;
        }
        r = compact_group(run, i, count);
        i += count;
    }
    compact_txns_deinit(&run->txns);
    return r;
}

/* The entries of the new files become durable before any record names them. */
static int sync_names(const struct compaction *run) {
    char folder[SEGMENT_NAME_SIZE];
    if (run->result->target_count == 0) {
        return 0;
    }
    segment_folder(run->plan->topic, run->plan->partition, folder);
    int r = disk_sync_dir(run->plan->disk, folder);
    return r ? err_trace(r) : 0;
}

int compact_run(const struct compact_plan *plan, struct compact_result *ret_result) {
    struct compaction run = {.plan = plan, .result = ret_result, .last_end = -1};
    *ret_result = (struct compact_result){.tombstones_due_ms = INT64_MAX};
    run.reader.plan = run.filter.plan = plan;
    run.reader.result = run.filter.result = ret_result;
    int r = build_map(&run);
    if (!r) {
        r = write_segments(&run);
    }
    if (!r) {
        r = sync_names(&run);
    }
    key_map_deinit(&run.map);
    compact_reader_deinit(&run.reader);
    compact_filter_deinit(&run.filter);
    if (r) {
        (void)compact_drop(plan, ret_result);
        ret_result->target_count = 0;
    }
    return r;
}

void compact_result_deinit(struct compact_result *result) {
    free(result->targets);
    result->targets = NULL;
    result->target_count = 0;
}

int compact_drop(const struct compact_plan *plan, const struct compact_result *result) {
    int status = 0;
    for (uint32_t i = 0; i < result->target_count; i++) {
        struct segment_id id = {plan->topic, plan->partition, result->targets[i].base_offset};
        for (unsigned kind = SEGMENT_LOG; kind <= SEGMENT_TIMEINDEX; kind++) {
            char name[COMPACT_NAME_SIZE];
            compact_name(&id, (enum segment_kind)kind, plan->run, name);
            int r = disk_unlink(plan->disk, name);
            status = r && r != DISK_E_NOT_FOUND ? r : status;
        }
    }
    return status;
}
