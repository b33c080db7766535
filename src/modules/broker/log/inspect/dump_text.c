/*
 * The two forms of everything that can be dumped.
 *
 * Bytes come from peers and go to a terminal: control characters, also those of U+0080..U+009F, are
 * escaped. In JSON a value that is not UTF-8 stands in base64 under its name with "_base64".
 */
#include "dump_text.h"

#include <eventbox/base/crypto.h>
#include <eventbox/base/json.h>
#include <eventbox/base/utf8.h>
#include <inttypes.h>
#include <stdio.h>

void dump_escaped(struct text *out, struct span bytes) {
    if (!bytes.data) {
        text_append_str(out, "null");
        return;
    }
    const uint8_t *data = bytes.data;
    text_append_char(out, '"');
    for (size_t i = 0; i < bytes.size;) {
        size_t left = bytes.size - i;
        size_t length = data[i] < 0x80 ? 1 : data[i] < 0xe0 ? 2 : data[i] < 0xf0 ? 3 : 4;
        bool control = data[i] < 0x20 || data[i] == 0x7f ||
                       (data[i] == 0xc2 && left > 1 && data[i + 1] < 0xa0);
        if (data[i] == '"' || data[i] == '\\') {
            text_append_char(out, '\\');
            text_append_char(out, (char)data[i++]);
        } else if (!control && length <= left && utf8_valid(data + i, length)) {
            text_append(out, data + i, length);
            i += length;
        } else {
            text_printf(out, "\\x%02x", data[i++]);
        }
    }
    text_append_char(out, '"');
}

static void json_bytes(struct text *out, const char *name, struct span bytes) {
    char encoded_name[32];
    if (!bytes.data) {
        json_write_null(out, name);
    } else if (utf8_valid(bytes.data, bytes.size)) {
        json_write_string(out, name, bytes);
    } else {
        struct text encoded;
        text_init(&encoded);
        char *room = text_reserve(&encoded, bytes.size / 3 * 4 + 5);
        snprintf(encoded_name, sizeof encoded_name, "%s_base64", name);
        if (room) {
            encoded.size = base64_encode(bytes.data, bytes.size, room);
        }
        json_write_string(out, encoded_name, text_span(&encoded));
        text_deinit(&encoded);
    }
}

static void json_begin(struct text *out, const char *kind, const struct log_partition *partition) {
    json_write_object(out, NULL);
    json_write_string(out, "kind", span_text(kind));
    if (partition) {
        json_write_string(out, "topic", span_text(partition->topic->public.name));
        json_write_int(out, "partition", partition->public.index);
    }
}

static void json_end(struct text *out) {
    json_write_object_end(out);
    text_append_char(out, '\n');
}

static const char *time_text(int64_t time_ms, char out[CLOCK_RFC3339_SIZE]) {
    /* What a client may write, and no calendar has: told as the number it is. */
    if (time_ms < 0 || time_ms > INT64_C(253402300799999)) {
        snprintf(out, CLOCK_RFC3339_SIZE, "%" PRId64 " ms", time_ms);
    } else {
        clock_format_rfc3339(time_ms * NS_PER_MS, 3, out);
    }
    return out;
}

/* ---- state ---- */

void dump_partition_state(struct text *out, bool json, const struct log_partition *partition) {
    const struct partition *public = &partition->public;
    size_t producers = partition->producers ? partition->producers->map.count : 0;
    if (json) {
        json_begin(out, "partition", partition);
        json_write_int(out, "number", partition->topic->public.number);
        json_write_int(out, "log_start_offset", public->log_start_offset);
        json_write_int(out, "log_end_offset", public->high_watermark);
        json_write_int(out, "leader_epoch", public->leader_epoch);
        json_write_int(out, "producers", (int64_t)producers);
        json_write_array(out, "segments");
        for (uint32_t i = 0; i < partition->segment_count; i++) {
            json_write_object(out, NULL);
            json_write_int(out, "base_offset", partition->segments[i].base_offset);
            json_write_int(out, "bytes", (int64_t)partition->segments[i].bytes);
            json_write_object_end(out);
        }
        json_write_array_end(out);
        json_end(out);
        return;
    }
    text_printf(out,
                "%s-%" PRId32 " (folder %" PRIu32 "-%" PRId32 "): offsets %" PRId64 " to %" PRId64
                ", epoch %" PRId32 ", %zu producers, %" PRIu32 " segments\n",
                partition->topic->public.name, public->index, partition->topic->public.number,
                public->index, public->log_start_offset, public->high_watermark,
                public->leader_epoch, producers, partition->segment_count);
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        text_printf(out, "  segment %" PRId64 ": %" PRIu64 " bytes\n",
                    partition->segments[i].base_offset, partition->segments[i].bytes);
    }
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        text_printf(out, "  lost: offsets %" PRId64 " to %" PRId64 "\n", partition->damage[i].from,
                    partition->damage[i].to - 1);
    }
}

static void json_snapshot_producers(struct text *out, const struct producers *producers) {
    size_t position = 0;
    const struct producer *producer;
    json_write_array(out, "producers");
    while (producers && (producer = hashmap_next(&producers->map, &position)) != NULL) {
        const struct producer_batch *newest = &producer->batches[producer->count - 1];
        json_write_object(out, NULL);
        json_write_int(out, "producer_id", producer->id);
        json_write_int(out, "producer_epoch", newest->epoch);
        json_write_int(out, "last_sequence", newest->last_sequence);
        json_write_int(out, "last_offset", newest->base_offset + newest->last_offset_delta);
        json_write_int(out, "last_used_ms", producer->last_ms);
        json_write_int(out, "batches", producer->count);
        json_write_object_end(out);
    }
    json_write_array_end(out);
}

void dump_snapshot(struct text *out, bool json, const struct log_partition *partition,
                   int64_t offset, int status, const struct producers *producers) {
    const char *state = status == 0                ? "valid"
                        : status == BROKER_E_NEWER ? "of a newer format"
                                                   : "damaged";
    size_t position = 0;
    const struct producer *producer;
    if (json) {
        json_begin(out, "snapshot", partition);
        json_write_int(out, "offset", offset);
        json_write_string(out, "state", span_text(state));
        json_snapshot_producers(out, producers);
        json_end(out);
        return;
    }
    text_printf(out, "  snapshot %" PRId64 ": %s, %zu producers\n", offset, state,
                producers ? producers->map.count : 0);
    while (producers && (producer = hashmap_next(&producers->map, &position)) != NULL) {
        const struct producer_batch *newest = &producer->batches[producer->count - 1];
        text_printf(out,
                    "    producer %" PRId64
                    ": epoch %d, %u batches, the last with sequence %" PRId32 " at offset %" PRId64
                    "\n",
                    producer->id, newest->epoch, (unsigned)producer->count, newest->last_sequence,
                    newest->base_offset + newest->last_offset_delta);
    }
}

/* ---- journal ---- */

void dump_frame_header(struct text *out, bool json, const char *path, uint64_t position,
                       const struct frame_header *header, bool whole) {
    if (json) {
        json_begin(out, "frame", NULL);
        json_write_string(out, "file", span_text(path));
        json_write_int(out, "position", (int64_t)position);
        json_write_int(out, "sequence", (int64_t)header->sequence);
        json_write_int(out, "synced_through", (int64_t)header->synced_through);
        json_write_int(out, "covered_through", (int64_t)header->covered_through);
        json_write_int(out, "entries", header->entry_count);
        json_write_int(out, "bytes", header->body_bytes);
        json_write_bool(out, "valid", whole);
        json_end(out);
        return;
    }
    text_printf(out,
                "frame %" PRIu64 " in %s at %" PRIu64 ": %" PRIu32 " entries, %" PRIu32
                " bytes, synced through %" PRIu64 ", covered through %" PRIu64 "%s\n",
                header->sequence, path, position, header->entry_count, header->body_bytes,
                header->synced_through, header->covered_through, whole ? "" : ", DAMAGED");
}

void dump_frame_entry(struct text *out, bool json, uint64_t sequence,
                      const struct frame_entry *entry, const char *topic) {
    if (json) {
        json_begin(out, "entry", NULL);
        json_write_int(out, "sequence", (int64_t)sequence);
        json_write_int(out, "number", entry->topic);
        if (topic) {
            json_write_string(out, "topic", span_text(topic));
        }
        json_write_int(out, "partition", entry->partition);
        json_write_int(out, "base_offset", entry->base_offset);
        json_write_int(out, "segment", entry->segment_base);
        json_write_int(out, "position", (int64_t)entry->position);
        json_write_int(out, "bytes", entry->bytes);
        json_end(out);
        return;
    }
    text_printf(out,
                "  %s-%" PRId32 " (folder %" PRIu32 "-%" PRId32 ") from offset %" PRId64
                ": %" PRIu32 " bytes to segment %" PRId64 " at %" PRIu64 "\n",
                topic ? topic : "?", entry->partition, entry->topic, entry->partition,
                entry->base_offset, entry->bytes, entry->segment_base, entry->position);
}

/* ---- segments ---- */

void dump_segment_header(struct text *out, bool json, const struct log_partition *partition,
                         const struct log_segment *segment, const char *name) {
    if (json) {
        json_begin(out, "segment", partition);
        json_write_string(out, "file", span_text(name));
        json_write_int(out, "base_offset", segment->base_offset);
        json_write_int(out, "bytes", (int64_t)segment->bytes);
        json_end(out);
        return;
    }
    text_printf(out, "%s-%" PRId32 ": %s, %" PRIu64 " bytes\n", partition->topic->public.name,
                partition->public.index, name, segment->bytes);
}

static const char *codec_name(int16_t attributes) {
    static const char *const names[8] = {"none", "gzip", "snappy", "lz4", "zstd", "5", "6", "7"};
    return names[attributes & RECORD_BATCH_CODEC_MASK];
}

static void json_batch(struct text *out, const struct log_partition *partition,
                       const struct record_batch *batch, uint64_t position) {
    json_begin(out, "batch", partition);
    json_write_int(out, "base_offset", batch->base_offset);
    json_write_int(out, "last_offset", batch->base_offset + batch->last_offset_delta);
    json_write_int(out, "position", (int64_t)position);
    json_write_int(out, "bytes", (int64_t)batch->total_bytes);
    json_write_int(out, "records", batch->record_count);
    json_write_string(out, "codec", span_text(codec_name(batch->attributes)));
    json_write_int(out, "leader_epoch", batch->leader_epoch);
    json_write_int(out, "base_timestamp_ms", batch->base_timestamp_ms);
    json_write_int(out, "max_timestamp_ms", batch->max_timestamp_ms);
    json_write_bool(out, "log_append_time", batch->attributes & RECORD_BATCH_LOG_APPEND_TIME);
    json_write_bool(out, "transactional", batch->attributes & RECORD_BATCH_TRANSACTIONAL);
    json_write_bool(out, "control", batch->attributes & RECORD_BATCH_CONTROL);
    json_write_int(out, "producer_id", batch->producer_id);
    json_write_int(out, "producer_epoch", batch->producer_epoch);
    json_write_int(out, "base_sequence", batch->base_sequence);
    json_end(out);
}

void dump_batch(struct text *out, bool json, const struct log_partition *partition,
                const struct record_batch *batch, uint64_t position) {
    char time[CLOCK_RFC3339_SIZE];
    if (json) {
        json_batch(out, partition, batch, position);
        return;
    }
    text_printf(out,
                "  batch %" PRId64 " to %" PRId64 " at %" PRIu64 ": %zu bytes, %" PRId32
                " records, codec %s, epoch %" PRId32 ", largest time %s%s",
                batch->base_offset, batch->base_offset + batch->last_offset_delta, position,
                batch->total_bytes, batch->record_count, codec_name(batch->attributes),
                batch->leader_epoch, time_text(batch->max_timestamp_ms, time),
                batch->attributes & RECORD_BATCH_LOG_APPEND_TIME ? " (of append)" : "");
    if (batch->producer_id >= 0) {
        text_printf(out, ", producer %" PRId64 " epoch %d sequence %" PRId32, batch->producer_id,
                    batch->producer_epoch, batch->base_sequence);
    }
    text_append_str(out, batch->attributes & RECORD_BATCH_TRANSACTIONAL ? ", transactional" : "");
    text_append_str(out, batch->attributes & RECORD_BATCH_CONTROL ? ", control\n" : "\n");
}

static void json_record(struct text *out, const struct log_partition *partition,
                        const struct record *record) {
    struct record_header header;
    size_t position = 0;
    json_begin(out, "record", partition);
    json_write_int(out, "offset", record->offset);
    json_write_int(out, "timestamp_ms", record->timestamp_ms);
    json_bytes(out, "key", record->key);
    json_bytes(out, "value", record->value);
    json_write_array(out, "headers");
    while (record_header_next(record, &position, &header) == 1) {
        json_write_object(out, NULL);
        json_bytes(out, "key", header.key);
        json_bytes(out, "value", header.value);
        json_write_object_end(out);
    }
    json_write_array_end(out);
    json_end(out);
}

void dump_record(struct text *out, bool json, const struct log_partition *partition,
                 const struct record *record, bool control) {
    struct record_header header;
    char time[CLOCK_RFC3339_SIZE];
    size_t position = 0;
    if (json) {
        json_record(out, partition, record);
        return;
    }
    text_printf(out, "    %" PRId64 " %s%s key ", record->offset,
                time_text(record->timestamp_ms, time), control ? " marker" : "");
    dump_escaped(out, record->key);
    text_append_str(out, " value ");
    dump_escaped(out, record->value);
    while (record_header_next(record, &position, &header) == 1) {
        text_append_str(out, " header ");
        dump_escaped(out, header.key);
        text_append_char(out, '=');
        dump_escaped(out, header.value);
    }
    text_append_char(out, '\n');
}

void dump_bad(struct text *out, bool json, bool live, const struct log_partition *partition,
              const char *name, uint64_t position, uint64_t bytes) {
    if (json) {
        json_begin(out, live ? "unproven" : "damage", partition);
        json_write_string(out, "file", span_text(name));
        json_write_int(out, "position", (int64_t)position);
        json_write_int(out, "bytes", (int64_t)bytes);
        json_end(out);
        return;
    }
    text_printf(out, "  %s: %" PRIu64 " bytes at %" PRIu64 " of %s are no batch%s\n",
                live ? "NOT READ" : "DAMAGED", bytes, position, name,
                live ? ", or a compaction has replaced it just now: log verify --live tells" : "");
}

void dump_unreadable(struct text *out, bool json, const struct log_partition *partition,
                     int64_t base_offset) {
    if (json) {
        json_begin(out, "unreadable", partition);
        json_write_int(out, "base_offset", base_offset);
        json_end(out);
        return;
    }
    text_printf(out, "    the records of the batch at offset %" PRId64 " cannot be decoded\n",
                base_offset);
}
