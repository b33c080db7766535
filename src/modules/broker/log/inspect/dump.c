/*
 * Prints what a data folder's log holds: checkpoints, journal frames, batches and records, for
 * people (indented lines, everything not printable escaped) or as JSON, one object a line.
 */
#include "dump_text.h"
#include "inspect.h"
#include "log_private.h"
#include "producers/producer_snapshot.h"
#include "topics/registry.h"

#include <errno.h>
#include <eventbox/base/json.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLUSH_BYTES = 64 << 10 };

static int flush_text(struct log_dump *dump, size_t beyond) {
    if (text_failed(dump->out)) {
        return err_origin(-ENOMEM);
    }
    if (dump->out->size <= beyond) {
        return 0;
    }
    int r = dump->on_text(dump->userdata, dump->out);
    text_clear(dump->out);
    return r;
}

/* ---- checkpoints ---- */

static void dump_slot(struct log_dump *dump, int slot) {
    const struct log_inspect *inspect = dump->inspect;
    const struct checkpoint_header *header = &inspect->checkpoints[slot];
    int status = inspect->checkpoint_status[slot];
    const char *state = status == 0 ? "valid" : status == DISK_E_NOT_FOUND ? "absent" : "damaged";
    char journal[UUID_TEXT_SIZE] = "";
    if (status == 0) {
        uuid_format(&header->journal, journal);
    }
    if (dump->json) {
        json_write_object(dump->out, NULL);
        json_write_string(dump->out, "kind", SPAN_LITERAL("checkpoint"));
        json_write_int(dump->out, "slot", slot);
        json_write_string(dump->out, "state", span_text(state));
        if (status == 0) {
            json_write_string(dump->out, "journal", span_text(journal));
            json_write_int(dump->out, "sequence", (int64_t)header->sequence);
            json_write_int(dump->out, "bytes", (int64_t)header->bytes);
            json_write_int(dump->out, "increments", header->increments);
        }
        json_write_object_end(dump->out);
        text_append_char(dump->out, '\n');
        return;
    }
    text_printf(dump->out, "checkpoint.%d: %s", slot, state);
    if (status == 0) {
        text_printf(dump->out,
                    ", stands for frame %" PRIu64 " of journal %s, %" PRIu64 " bytes with %u "
                    "increments",
                    header->sequence, journal, header->bytes, header->increments);
    }
    text_append_char(dump->out, '\n');
}

static bool topic_wanted(const struct log_dump *dump, const struct log_topic *topic) {
    return !topic->public.deleted && (!dump->topic || strcmp(dump->topic, topic->public.name) == 0);
}

static bool partition_wanted(const struct log_dump *dump, int32_t index) {
    return dump->partition < 0 || dump->partition == index;
}

static void dump_snapshots(struct log_dump *dump, const struct log_partition *partition) {
    struct segment_id at = {partition->topic->public.number, partition->public.index, 0};
    struct disk *disk = dump->inspect->folder;
    int64_t offsets[PRODUCER_SNAPSHOTS_KEPT];
    int count = producer_snapshot_list(disk, &at, INT64_MAX, offsets);
    for (int i = 0; i < count; i++) {
        struct producers *producers = NULL;
        at.base_offset = offsets[i];
        int r = producer_snapshot_read(disk, &at, &producers);
        dump_snapshot(dump->out, dump->json, partition, offsets[i], r, producers);
        producers_free(producers);
    }
}

/* The state that a start would come to, partition by partition: checkpoint and journal together;
 * and the snapshots that stand beside it. */
static int dump_state(struct log_dump *dump) {
    int r = 0;
    for (int slot = 0; slot < 2; slot++) {
        dump_slot(dump, slot);
    }
    list_for_each(link, &dump->inspect->log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        for (int32_t i = 0; topic_wanted(dump, topic) && i < topic->public.partition_count; i++) {
            if (partition_wanted(dump, i)) {
                dump_partition_state(dump->out, dump->json,
                                     log_partition_of(topic->public.partitions[i]));
                dump_snapshots(dump, log_partition_of(topic->public.partitions[i]));
            }
            r = r ? r : flush_text(dump, FLUSH_BYTES);
        }
    }
    return r;
}

/* ---- journal ---- */

static bool entry_wanted(struct log_dump *dump, const struct frame_entry *entry,
                         const struct log_topic *topic) {
    bool named = !dump->topic || (topic && strcmp(topic->public.name, dump->topic) == 0);
    return named && partition_wanted(dump, entry->partition) && entry->base_offset <= dump->to;
}

static int dump_frame(struct log_dump *dump, const char *path, uint64_t position,
                      const struct frame_header *header, bool whole, const uint8_t *body) {
    uint32_t wanted = 0;
    for (uint32_t i = 0; whole && i < header->entry_count; i++) {
        struct frame_entry entry;
        frame_entry_read(body + (size_t)i * FRAME_ENTRY_BYTES, &entry);
        wanted += entry_wanted(dump, &entry, registry_by_number(dump->inspect->log, entry.topic));
    }
    if (wanted == 0 && dump->topic) {
        return 0;
    }
    dump_frame_header(dump->out, dump->json, path, position, header, whole);
    for (uint32_t i = 0; whole && i < header->entry_count; i++) {
        struct frame_entry entry;
        frame_entry_read(body + (size_t)i * FRAME_ENTRY_BYTES, &entry);
        const struct log_topic *topic = registry_by_number(dump->inspect->log, entry.topic);
        if (entry_wanted(dump, &entry, topic)) {
            dump_frame_entry(dump->out, dump->json, header->sequence, &entry,
                             topic ? topic->public.name : NULL);
        }
    }
    return flush_text(dump, FLUSH_BYTES);
}

static int dump_journal_frames(struct log_dump *dump, struct disk_file *file, const char *path,
                               uint64_t size) {
    uint8_t block[FRAME_HEADER_BYTES];
    int r = 0;
    for (uint64_t at = 0, next; !r && at + FRAME_ALIGN <= size; at = next) {
        struct frame_header header;
        size_t got = 0;
        next = at + FRAME_ALIGN;
        r = disk_pread(file, block, sizeof block, at, &got);
        if (r || got < sizeof block || !frame_header_read(block, NULL, &header)) {
            continue;
        }
        uint64_t bytes = frame_bytes_of_body(header.body_bytes);
        uint8_t *body =
            bytes <= size - at ? malloc(MAX((size_t)header.body_bytes, (size_t)1)) : NULL;
        bool whole =
            body && disk_pread(file, body, header.body_bytes, at + FRAME_HEADER_BYTES, &got) == 0 &&
            got == header.body_bytes && frame_body_valid(&header, body);
        r = dump_frame(dump, path, at, &header, whole, body);
        free(body);
        next = whole ? at + bytes : next;
    }
    return r;
}

static int dump_journal_file(void *userdata, const char *name, bool is_dir) {
    struct log_dump *dump = userdata;
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    char path[JOURNAL_NAME_SIZE + 16];
    uint64_t size = 0;
    if (is_dir || strspn(name, "0123456789") != 8 || name[8]) {
        return 0;
    }
    snprintf(path, sizeof path, "journal/%.8s", name);
    int r = disk_open(dump->inspect->folder, path, DISK_READ, &file);
    r = r ? r : disk_size(file, &size);
    return r ? r : dump_journal_frames(dump, file, path, size);
}

/* ---- batches and records ---- */

static int dump_records(struct log_dump *dump, const struct log_partition *partition,
                        const struct batch_walk *walk) {
    struct record_iterator it;
    struct record record;
    int r = record_iterator_init(&it, walk->bytes);
    while (r == 0 && (r = record_iterator_next(&it, &record)) == 1) {
        r = 0;
        if (record.offset >= dump->from && record.offset <= dump->to) {
            dump_record(dump->out, dump->json, partition, &record,
                        walk->batch.attributes & RECORD_BATCH_CONTROL);
            r = flush_text(dump, FLUSH_BYTES);
        }
    }
    record_iterator_deinit(&it);
    if (r > 0) {
        dump_unreadable(dump->out, dump->json, partition, walk->batch.base_offset);
        r = 0;
    }
    return r;
}

static int dump_segment(struct log_dump *dump, const struct log_partition *partition,
                        const struct log_segment *segment) {
    struct segment_id id = {partition->topic->public.number, partition->public.index,
                            segment->base_offset};
    struct batch_walk walk;
    char name[SEGMENT_NAME_SIZE];
    segment_name(&id, SEGMENT_LOG, name);
    int r = batch_walk_open(&walk, dump->inspect->overlay, partition, segment);
    if (!r && dump->from > segment->base_offset) {
        struct segment_target target = {.offset = dump->from};
        struct segment_cursor cursor;
        bool wrong;
        if (segment_seek(dump->inspect->overlay, walk.cached, &id, &target, walk.end, &cursor,
                         &wrong) == 0) {
            walk.position = cursor.position;
            walk.expected = cursor.offset;
        }
    }
    dump_segment_header(dump->out, dump->json, partition, segment, name);
    while (!r && (r = batch_walk_next(&walk)) > 0) {
        int64_t last = walk.batch.base_offset + walk.batch.last_offset_delta;
        if (r == BATCH_BAD) {
            dump_bad(dump->out, dump->json, dump->inspect->live, partition, name, walk.bad_position,
                     walk.bad_bytes);
        } else if (walk.batch.base_offset > dump->to) {
            r = 0;
            break;
        } else if (last >= dump->from) {
            dump_batch(dump->out, dump->json, partition, &walk.batch,
                       walk.position - walk.batch.total_bytes);
            r = dump->batches_only ? 0 : dump_records(dump, partition, &walk);
            r = r ? r : flush_text(dump, FLUSH_BYTES);
            if (r) {
                break;
            }
        }
        r = 0;
    }
    batch_walk_close(&walk);
    if (r > 0 || (r < 0 && r != -ENOMEM && r != -EPIPE)) {
        dump_bad(dump->out, dump->json, dump->inspect->live, partition, name, 0, segment->bytes);
        r = 0;
    }
    return r;
}

static int dump_partitions(struct log_dump *dump, const struct log_topic *topic) {
    int r = 0;
    for (int32_t p = 0; p < topic->public.partition_count && !r; p++) {
        const struct log_partition *partition = log_partition_of(topic->public.partitions[p]);
        for (uint32_t i = 0; i < partition->segment_count && partition_wanted(dump, p) && !r; i++) {
            bool behind = i + 1 < partition->segment_count &&
                          partition->segments[i + 1].base_offset <= dump->from;
            if (!behind && partition->segments[i].base_offset <= dump->to) {
                r = dump_segment(dump, partition, &partition->segments[i]);
            }
        }
    }
    return r;
}

int log_dump_run(struct log_dump *dump) {
    int r = dump->checkpoints ? dump_state(dump) : 0;
    if (!r && dump->journal) {
        r = disk_list(dump->inspect->folder, "journal", dump_journal_file, dump);
    }
    if (!r && !dump->journal && !dump->checkpoints) {
        list_for_each(link, &dump->inspect->log->topics_all) {
            const struct log_topic *topic = list_entry(link, struct log_topic, link);
            r = !r && topic_wanted(dump, topic) ? dump_partitions(dump, topic) : r;
        }
    }
    return r ? err_trace(r) : flush_text(dump, 0);
}
