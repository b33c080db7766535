/*
 * A checkpoint: all that a start needs to know, exactly as of one frame, so that only the frames
 * behind it are replayed. When it is written, every batch up to that frame is in a synced segment.
 *
 * checkpoint.0 and checkpoint.1 alternate; each is overwritten in place, so one of them is valid at
 * any time. Little-endian:
 *
 *   header, 64 bytes      0 u32 magic "EBCP"   4 u16 version   6 u16 zero   8 16 journal uuid
 *                        24 u64 sequence      32 u64 body bytes  40 u32 CRC of the body
 *                        44 u32 CRC of bytes 0..43, then zeros
 *   body
 *     journal     u32 current file, u64 position, u32 count, then u32 id, u64 size, u64 last
 * sequence registry    u32 next number, i64 end of producer ids, u32 count, then topics as in
 *                 registry_records.c
 *     removals    u32 count, then u32 number, i32 partition, i64 base offset, u64 sequence; of a
 *                 deleted topic the partition is -1 and its count stands for the offset
 *     swaps       u32 count, then as in swap.h: records whose files are not all in place
 *     partitions  until the end: u32 topic, i32 index, i64 log start, i64 log end, i32 epoch,
 *                 u32 segments (i64 base, u64 bytes, i64 largest timestamp, i64 first timestamp,
 *                 i64 created, i64 last append)
 *                 u32 epochs (i32, i64 start)   u32 damaged ranges (i64 from, i64 to)
 *                 u8 compacted before: 1, and then i64 clean up to, i64 first tombstone due
 *                 u32 producers (i64 id, i64 last used, u8 batches (i16 epoch, i32 first sequence,
 *                 i32 last sequence, i64 base offset, i32 last offset delta))
 *
 *   Version 1 had removals of topics alone (u32 number, i32 partitions, u64 sequence), and of a
 *   segment the first three fields. Version 2 knew nothing of compaction.
 *   partitions without anything to tell are left out.
 *
 * journal/clean, 64 bytes, is the marker of a clean stop: magic "EBCL", u16 version (0 in the first
 * ones), uuid at 8, the sequence of the last checkpoint, CRC of all that at 32. The start takes it
 * back before anything else is written.
 */
#include "log_private.h"

#include <errno.h>
#include <eventbox/base/crc32c.h>
#include <stdlib.h>

enum {
    CHECKPOINT_MAGIC = 0x50434245, /* "EBCP" */
    CLEAN_MAGIC = 0x4c434245,      /* "EBCL" */
    CHECKPOINT_HEADER_BYTES = 64,
    CHECKPOINT_CRC_AT = 44,
    CHECKPOINT_ROUND_BYTES = 64 << 10, /* files grow by this, so that most writes only overwrite */
    CLEAN_VERSION = 1,
    CLEAN_BYTES = 64,
};

/* ---- fields ---- */

const uint8_t *fields_take(struct fields *in, size_t size) {
    static const uint8_t zeros[16];
    if (in->failed || (size_t)(in->end - in->at) < size) {
        in->failed = true;
        return size <= sizeof zeros ? zeros : NULL;
    }
    const uint8_t *at = in->at;
    in->at += size;
    return at;
}

uint64_t fields_get(struct fields *in, size_t bytes) {
    uint8_t le[8] = {0};
    memcpy(le, fields_take(in, bytes), bytes);
    return get_le64(le);
}

void fields_put(struct text *out, uint64_t value, size_t bytes) {
    uint8_t le[8];
    put_le64(le, value);
    text_append(out, le, bytes);
}

struct span fields_take_text(struct fields *in) {
    size_t size = fields_get(in, 2);
    const uint8_t *text = in->failed ? NULL : fields_take(in, size);
    return in->failed ? SPAN_NULL : span_of(text, size);
}

void fields_put_text(struct text *out, struct span text) {
    fields_put(out, text.size, 2);
    text_append(out, text.data, text.size);
}

/* ---- encoding ---- */

static void encode_journal(const struct topic_log *log, struct text *out) {
    fields_put(out, log->current ? log->current->id : UINT32_MAX, 4);
    fields_put(out, log->current ? log->current->used : 0, 8);
    fields_put(out, log->file_count, 4);
    for (unsigned i = 0; i < log->file_count; i++) {
        fields_put(out, log->files[i]->id, 4);
        fields_put(out, log->files[i]->size, 8);
        fields_put(out, log->files[i]->last_sequence, 8);
    }
}

/* A change that is not durable yet belongs to a later frame. */
static bool topic_counts(const struct log_topic *topic) {
    return topic->created_durable && !topic->deleted_durable && topic->public.number != 0;
}

static void encode_registry(struct topic_log *log, struct text *out) {
    uint32_t count = 0;
    fields_put(out, log->next_number, 4);
    fields_put(out, (uint64_t)log->producer_durable_end, 8);
    size_t count_at = out->size;
    fields_put(out, 0, 4);
    list_for_each(link, &log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (topic_counts(topic)) {
            registry_topic_encode(out, &topic->public, topic->durable_partitions,
                                  &topic->public.config);
            count++;
        }
    }
    if (!text_failed(out)) {
        put_le32(out->data + count_at, count);
    }
    fields_put(out, log->removal_count, 4);
    for (uint32_t i = 0; i < log->removal_count; i++) {
        fields_put(out, log->removals[i].number, 4);
        fields_put(out, (uint32_t)log->removals[i].partition, 4);
        fields_put(out, (uint64_t)log->removals[i].base_offset, 8);
        fields_put(out, log->removals[i].sequence, 8);
    }
    swap_encode_pending(log, out);
}

static void encode_producers(const struct log_partition *partition, struct text *out) {
    int64_t end = partition->public.high_watermark;
    uint32_t count = 0;
    size_t count_at = out->size, position = 0;
    const struct producer *producer;
    fields_put(out, 0, 4);
    while (partition->producers &&
           (producer = hashmap_next(&partition->producers->map, &position)) != NULL) {
        unsigned first, batches;
        producer_durable(producer, end, &first, &batches);
        if (batches == 0) {
            continue;
        }
        count++;
        fields_put(out, (uint64_t)producer->id, 8);
        fields_put(out, (uint64_t)producer->last_ms, 8);
        fields_put(out, batches, 1);
        for (unsigned i = first; i < first + batches; i++) {
            const struct producer_batch *batch = &producer->batches[i];
            fields_put(out, (uint16_t)batch->epoch, 2);
            fields_put(out, (uint32_t)batch->base_sequence, 4);
            fields_put(out, (uint32_t)batch->last_sequence, 4);
            fields_put(out, (uint64_t)batch->base_offset, 8);
            fields_put(out, (uint32_t)batch->last_offset_delta, 4);
        }
    }
    if (!text_failed(out)) {
        put_le32(out->data + count_at, count);
    }
}

static void encode_partition(const struct log_partition *partition, struct text *out) {
    const struct partition *public = &partition->public;
    fields_put(out, partition->topic->public.number, 4);
    fields_put(out, (uint32_t) public->index, 4);
    fields_put(out, (uint64_t) public->log_start_offset, 8);
    fields_put(out, (uint64_t) public->high_watermark, 8);
    fields_put(out, (uint32_t) public->leader_epoch, 4);
    fields_put(out, partition->segment_count, 4);
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        const struct log_segment *segment = &partition->segments[i];
        fields_put(out, (uint64_t)segment->base_offset, 8);
        fields_put(out, segment->bytes, 8);
        fields_put(out, (uint64_t)segment->max_timestamp_ms, 8);
        fields_put(out, (uint64_t)segment->first_timestamp_ms, 8);
        fields_put(out, (uint64_t)segment->created_ms, 8);
        fields_put(out, (uint64_t)segment->appended_ms, 8);
    }
    fields_put(out, partition->epoch_count, 4);
    for (uint32_t i = 0; i < partition->epoch_count; i++) {
        fields_put(out, (uint32_t)partition->epochs[i].epoch, 4);
        fields_put(out, (uint64_t)partition->epochs[i].start_offset, 8);
    }
    fields_put(out, partition->damage_count, 4);
    for (uint32_t i = 0; i < partition->damage_count; i++) {
        fields_put(out, (uint64_t)partition->damage[i].from, 8);
        fields_put(out, (uint64_t)partition->damage[i].to, 8);
    }
    bool compacted = partition->cleaned_to > 0;
    fields_put(out, compacted, 1);
    if (compacted) {
        fields_put(out, (uint64_t)partition->cleaned_to, 8);
        fields_put(out, (uint64_t)partition->tombstones_due_ms, 8);
    }
    encode_producers(partition, out);
}

int checkpoint_encode(struct topic_log *log, struct text *out) {
    encode_journal(log, out);
    encode_registry(log, out);
    list_for_each(link, &log->topics_all) {
        const struct log_topic *topic = list_entry(link, struct log_topic, link);
        if (!topic_counts(topic) && topic != log->registry) {
            continue;
        }
        for (int32_t i = 0; i < topic->durable_partitions; i++) {
            const struct log_partition *partition = topic_partition(topic, i);
            if (partition->public.high_watermark > 0 || partition->epoch_count > 0) {
                encode_partition(partition, out);
            }
        }
    }
    return text_failed(out) ? err_origin(-ENOMEM) : 0;
}

/* ---- decoding ---- */

static int decode_journal(struct topic_log *log, struct fields *in, uint32_t *ret_file_id,
                          uint64_t *ret_position) {
    *ret_file_id = (uint32_t)fields_get(in, 4);
    *ret_position = fields_get(in, 8);
    uint32_t count = (uint32_t)fields_get(in, 4);
    if (count > JOURNAL_FILES_MAX) {
        return err_origin(BROKER_E_CORRUPT);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)fields_get(in, 4);
        (void)fields_get(in, 8); /* the size on disk is what counts */
        uint64_t last_sequence = fields_get(in, 8);
        for (unsigned f = 0; f < log->file_count; f++) {
            if (log->files[f]->id == id) {
                log->files[f]->last_sequence = last_sequence;
            }
        }
    }
    return 0;
}

/* Version 1 knew deleted topics alone. */
static int decode_removal(struct topic_log *log, unsigned version, struct fields *in) {
    struct pending_removal removal = {.number = (uint32_t)fields_get(in, 4), .partition = -1};
    if (version == 1) {
        removal.partition_count = (int32_t)fields_get(in, 4);
    } else {
        removal.partition = (int32_t)fields_get(in, 4);
        removal.base_offset = (int64_t)fields_get(in, 8);
    }
    removal.sequence = fields_get(in, 8);
    return in->failed ? err_origin(BROKER_E_CORRUPT) : removal_add(log, &removal);
}

static int decode_registry(struct topic_log *log, unsigned version, struct fields *in) {
    uint32_t next_number = (uint32_t)fields_get(in, 4);
    log->producer_durable_end = (int64_t)fields_get(in, 8);
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        struct log_topic *topic;
        int r = registry_topic_decode(log, in, &topic);
        if (r) {
            return r;
        }
        r = registry_insert(log, topic);
        if (r) {
            topic_free(topic);
            return err_trace(r);
        }
    }
    log->next_number = MAX(log->next_number, next_number);
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        int r = decode_removal(log, version, in);
        if (r) {
            return r;
        }
    }
    int r = version >= 3 ? swap_decode_pending(log, in) : 0;
    if (r) {
        return r;
    }
    return in->failed ? err_origin(BROKER_E_CORRUPT) : 0;
}

static int decode_producers(struct log_partition *partition, struct fields *in) {
    for (uint32_t n = (uint32_t)fields_get(in, 4); n > 0 && !in->failed; n--) {
        int64_t id = (int64_t)fields_get(in, 8);
        int64_t last_ms = (int64_t)fields_get(in, 8);
        for (unsigned batches = (unsigned)fields_get(in, 1); batches > 0; batches--) {
            struct producer_batch batch;
            batch.epoch = (int16_t)fields_get(in, 2);
            batch.base_sequence = (int32_t)fields_get(in, 4);
            batch.last_sequence = (int32_t)fields_get(in, 4);
            batch.base_offset = (int64_t)fields_get(in, 8);
            batch.last_offset_delta = (int32_t)fields_get(in, 4);
            int r = in->failed ? 0
                               : producer_push(&partition->producers, id, &batch,
                                               partition->public.high_watermark, last_ms);
            if (r) {
                return err_trace(r);
            }
        }
    }
    return 0;
}

/* How many elements of at least @bytes can still follow; a count beyond it is not believed. */
static uint32_t get_count(struct fields *in, size_t bytes) {
    uint64_t count = fields_get(in, 4);
    if (count * bytes > (size_t)(in->end - in->at)) {
        in->failed = true;
        return 0;
    }
    return (uint32_t)count;
}

static int decode_lists(struct log_partition *partition, unsigned version, struct fields *in) {
    for (uint32_t n = get_count(in, version == 1 ? 24 : 48); n > 0; n--) {
        struct log_segment *segment;
        int r = partition_segment_at(partition, (int64_t)fields_get(in, 8), &segment);
        if (r) {
            return r;
        }
        segment->bytes = segment->written_bytes = fields_get(in, 8);
        segment->max_timestamp_ms = (int64_t)fields_get(in, 8);
        if (version == 1) {
            /* Nobody wrote down when: counted from this start on. */
            segment->created_ms = segment->appended_ms =
                clock_wall_ms(partition->topic->log->config.clock);
            continue;
        }
        segment->first_timestamp_ms = (int64_t)fields_get(in, 8);
        segment->created_ms = (int64_t)fields_get(in, 8);
        segment->appended_ms = (int64_t)fields_get(in, 8);
    }
    uint32_t epochs = get_count(in, 12);
    partition->epochs = epochs ? calloc(epochs, sizeof *partition->epochs) : NULL;
    if (epochs && !partition->epochs) {
        return err_origin(-ENOMEM);
    }
    for (; partition->epoch_count < epochs; partition->epoch_count++) {
        int32_t epoch = (int32_t)fields_get(in, 4);
        partition->epochs[partition->epoch_count] =
            (struct epoch_start){epoch, (int64_t)fields_get(in, 8)};
    }
    for (uint32_t n = get_count(in, 16); n > 0; n--) {
        int64_t from = (int64_t)fields_get(in, 8);
        int r = partition_damage_add(partition, from, (int64_t)fields_get(in, 8));
        if (r) {
            return r;
        }
    }
    if (version >= 3 && fields_get(in, 1)) {
        partition->cleaned_to = (int64_t)fields_get(in, 8);
        partition->tombstones_due_ms = (int64_t)fields_get(in, 8);
    }
    return decode_producers(partition, in);
}

static int decode_partition(struct topic_log *log, unsigned version, struct fields *in) {
    struct log_topic *topic = registry_by_number(log, (uint32_t)fields_get(in, 4));
    struct partition *public =
        topic ? partition_get(&topic->public, (int32_t)fields_get(in, 4)) : NULL;
    if (!public) {
        return err_origin(BROKER_E_CORRUPT);
    }
    struct log_partition *partition = log_partition_of(public);
    public->log_start_offset = (int64_t)fields_get(in, 8);
    public->high_watermark = public->log_end_offset = (int64_t)fields_get(in, 8);
    public->leader_epoch = (int32_t)fields_get(in, 4);
    int r = decode_lists(partition, version, in);
    if (r) {
        return r;
    }
    if (partition->segment_count > 0) {
        const struct log_segment *last = &partition->segments[partition->segment_count - 1];
        partition->writer_base = last->base_offset;
        partition->writer_position = last->bytes;
        partition->writer_created_ms = last->created_ms;
        partition->writer_first_ms = last->first_timestamp_ms;
    }
    return 0;
}

int checkpoint_decode(struct topic_log *log, unsigned version, struct span body,
                      uint32_t *ret_file_id, uint64_t *ret_position) {
    struct fields in = fields_of(body);
    int r = decode_journal(log, &in, ret_file_id, ret_position);
    if (!r) {
        r = decode_registry(log, version, &in);
    }
    while (!r && !in.failed && in.at < in.end) {
        r = decode_partition(log, version, &in);
    }
    return r ? r : in.failed ? err_origin(BROKER_E_CORRUPT) : 0;
}

/* ---- files ---- */

static const char *slot_name(unsigned slot) {
    return slot == 0 ? "checkpoint.0" : "checkpoint.1";
}

int checkpoint_write(struct disk *disk, unsigned slot, unsigned version, const struct uuid *journal,
                     uint64_t sequence, struct span body) {
    uint8_t header[CHECKPOINT_HEADER_BYTES] = {0};
    put_le32(header, CHECKPOINT_MAGIC);
    put_le16(header + 4, (uint16_t)version);
    memcpy(header + 8, journal->bytes, sizeof journal->bytes);
    put_le64(header + 24, sequence);
    put_le64(header + 32, body.size);
    put_le32(header + 40, crc32c(0, body.data, body.size));
    put_le32(header + CHECKPOINT_CRC_AT, crc32c(0, header, CHECKPOINT_CRC_AT));
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, slot_name(slot), DISK_WRITE, &file);
    bool made = r == DISK_E_NOT_FOUND;
    if (made) {
        r = disk_open(disk, slot_name(slot), DISK_WRITE | DISK_CREATE, &file);
    }
    uint64_t size = 0;
    if (r || (r = disk_size(file, &size)) != 0) {
        return err_trace(r);
    }
    uint64_t bytes = sizeof header + body.size;
    struct iovec parts[3] = {{header, sizeof header}, {(void *)(uintptr_t)body.data, body.size}};
    int count = body.size > 0 ? 2 : 1;
    void *zeros = NULL;
    if (bytes > size) {
        uint64_t pad = CHECKPOINT_ROUND_BYTES - bytes % CHECKPOINT_ROUND_BYTES;
        zeros = calloc(1, pad);
        if (!zeros) {
            return err_origin(-ENOMEM);
        }
        parts[count++] = (struct iovec){zeros, pad};
    }
    r = disk_pwritev(file, parts, count, 0);
    free(zeros);
    if (!r) {
        r = disk_sync(file);
        r = r == DISK_E_FULL ? -ENOSPC : r;
    }
    if (!r && made) {
        r = disk_sync_dir(disk, ".");
    }
    return r ? err_trace(r) : 0;
}

int checkpoint_read(struct disk *disk, unsigned slot, struct checkpoint_header *ret_header,
                    struct text *ret_body) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, slot_name(slot), DISK_READ, &file);
    uint64_t size = 0;
    if (r || (r = disk_size(file, &size)) != 0) {
        return r;
    }
    uint8_t header[CHECKPOINT_HEADER_BYTES];
    size_t got = 0;
    r = disk_pread(file, header, sizeof header, 0, &got);
    if (r) {
        return err_trace(r);
    }
    if (got < sizeof header || get_le32(header) != CHECKPOINT_MAGIC || get_le16(header + 4) < 1 ||
        get_le32(header + CHECKPOINT_CRC_AT) != crc32c(0, header, CHECKPOINT_CRC_AT)) {
        return err_origin(BROKER_E_CORRUPT);
    }
    ret_header->version = get_le16(header + 4);
    if (ret_header->version > CHECKPOINT_VERSION) {
        return err_origin(BROKER_E_NEWER);
    }
    ret_header->sequence = get_le64(header + 24);
    ret_header->body_bytes = get_le64(header + 32);
    ret_header->body_crc = get_le32(header + 40);
    memcpy(ret_header->journal.bytes, header + 8, sizeof ret_header->journal.bytes);
    if (ret_header->body_bytes > size - sizeof header) {
        return err_origin(BROKER_E_CORRUPT);
    }
    char *body = text_reserve(ret_body, ret_header->body_bytes);
    if (!body) {
        return err_origin(-ENOMEM);
    }
    r = disk_pread(file, body, ret_header->body_bytes, sizeof header, &got);
    if (r) {
        return err_trace(r);
    }
    if (got < ret_header->body_bytes || crc32c(0, body, got) != ret_header->body_crc) {
        return err_origin(BROKER_E_CORRUPT);
    }
    ret_body->size += got;
    return 0;
}

int checkpoint_confirm(struct disk *disk, unsigned slot) {
    struct checkpoint_header header;
    struct text body;
    text_init(&body);
    int r = checkpoint_read(disk, slot, &header, &body);
    if (r == 0) {
        r = checkpoint_write(disk, slot, header.version, &header.journal, header.sequence,
                             text_span(&body));
    } else if (r > 0) {
        r = 0; /* nothing there that anyone would build on */
    }
    text_deinit(&body);
    return r ? err_trace(r) : 0;
}

int clean_marker_write(struct disk *disk, const struct uuid *journal, uint64_t sequence) {
    uint8_t bytes[CLEAN_BYTES] = {0};
    if (sequence > 0) {
        put_le32(bytes, CLEAN_MAGIC);
        put_le16(bytes + 4, CLEAN_VERSION);
        memcpy(bytes + 8, journal->bytes, sizeof journal->bytes);
        put_le64(bytes + 24, sequence);
        put_le32(bytes + 32, crc32c(0, bytes, 32));
    }
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, "journal/clean", DISK_WRITE | DISK_CREATE, &file);
    if (!r) {
        r = disk_pwrite(file, bytes, sizeof bytes, 0);
    }
    if (!r) {
        r = disk_sync(file);
        r = r == DISK_E_FULL ? -ENOSPC : r;
    }
    return r ? err_trace(r) : 0;
}

int clean_marker_read(struct disk *disk, const struct uuid *journal, uint64_t *ret_sequence,
                      bool *ret_exists) {
    *ret_sequence = 0;
    *ret_exists = false;
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(disk, "journal/clean", DISK_READ, &file);
    if (r == DISK_E_NOT_FOUND) {
        return 0;
    }
    *ret_exists = true;
    uint8_t bytes[CLEAN_BYTES];
    size_t got = 0;
    if (r || (r = disk_pread(file, bytes, sizeof bytes, 0, &got)) != 0) {
        return err_trace(r);
    }
    if (got == sizeof bytes && get_le32(bytes) == CLEAN_MAGIC &&
        memcmp(bytes + 8, journal->bytes, sizeof journal->bytes) == 0 &&
        get_le32(bytes + 32) == crc32c(0, bytes, 32)) {
        if (get_le16(bytes + 4) > CLEAN_VERSION) {
            return err_origin(BROKER_E_NEWER);
        }
        *ret_sequence = get_le64(bytes + 24);
    }
    return 0;
}
