#include "fake_log.h"

#include <eventbox/loop/op.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TOPICS_MAX = 64, BATCHES_MAX = 4096 };

struct fake_partition {
    struct partition public;
    struct slice batches[BATCHES_MAX];
    unsigned count;
};

struct topic_log {
    struct loop *loop;
    struct topic_config defaults;
    struct topic *topics[TOPICS_MAX];
    unsigned topic_count;
    struct list appends;  /* struct append.link */
    struct list requests; /* struct topic_log_request.link */
    struct loop_task settle;
    bool settling, held, slow, files;
    int refuse, lookup_status, no_producers;
    int64_t next_producer;
    uint64_t reads, file_chunks;
    struct partition_read *waiting_read;
    struct partition_lookup *waiting_lookup;
    unsigned files_open;
};

static void settle(struct topic_log *log, int status) {
    struct list *link;
    struct list requests = LIST_INIT(requests);

    while ((link = list_pop_front(&log->appends))) {
        struct append *append = list_entry(link, struct append, link);
        struct partition *partition = append->parts[0].partition;
        struct record_batch batch;

        if (status == 0 && !append->parts[0].duplicate) {
            struct fake_partition *fake = container_of(partition, struct fake_partition, public);

            record_batch_parse(span_of(append->parts[0].batch.data, append->parts[0].batch.size),
                               &batch);
            fake->batches[fake->count] = append->parts[0].batch;
            fake->count++;
            partition->high_watermark = append->parts[0].base_offset + batch.last_offset_delta + 1;
        } else {
            buf_unref(append->parts[0].batch.buf);
        }
        append->done(append, status);
        list_for_each_safe(waiter, &partition->waiters) {
            struct partition_waiter *w = list_entry(waiter, struct partition_waiter, link);

            w->wake(w);
        }
    }
    list_splice_back(&requests, &log->requests);
    while ((link = list_pop_front(&requests))) {
        struct topic_log_request *request = list_entry(link, struct topic_log_request, link);

        request->done(request, status);
    }
}

static void on_settle(struct loop_task *task) {
    struct topic_log *log = container_of(task, struct topic_log, settle);

    log->settling = false;
    if (!log->held) {
        settle(log, 0);
    }
}

static void settle_soon(struct topic_log *log) {
    if (!log->settling && !log->held) {
        log->settling = true;
        loop_post(log->loop, &log->settle);
    }
}

struct topic_log *fake_log_new(struct loop *loop) {
    struct topic_log *log = calloc(1, sizeof *log);

    log->loop = loop;
    log->settle.run = on_settle;
    log->next_producer = 1000;
    if (topic_config_init_defaults(&log->defaults)) {
        abort();
    }
    list_init(&log->appends);
    list_init(&log->requests);
    return log;
}

static void free_topic(struct topic *topic) {
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct fake_partition *fake =
            container_of(topic->partitions[i], struct fake_partition, public);

        for (unsigned b = 0; b < fake->count; b++) {
            buf_unref(fake->batches[b].buf);
        }
        free(fake);
    }
    topic_config_deinit(&topic->config);
    free(topic->partitions);
    free(topic);
}

void fake_log_free(struct topic_log *log) {
    topic_config_deinit(&log->defaults);
    for (unsigned i = 0; i < log->topic_count; i++) {
        free_topic(log->topics[i]);
    }
    free(log);
}

void fake_log_hold(struct topic_log *log, bool hold) {
    log->held = hold;
}

void fake_log_release(struct topic_log *log, int status) {
    log->held = false;
    settle(log, status);
}

void fake_log_slow_reads(struct topic_log *log, bool slow) {
    log->slow = slow;
}

void fake_log_refuse(struct topic_log *log, int code) {
    log->refuse = code;
}

void fake_log_fail_lookups(struct topic_log *log, int status) {
    log->lookup_status = status;
}

void fake_log_refuse_producers(struct topic_log *log, int code) {
    log->no_producers = code;
}

void fake_log_serve_files(struct topic_log *log, bool files) {
    log->files = files;
}

uint64_t fake_log_reads(const struct topic_log *log) {
    return log->reads;
}

uint64_t fake_log_file_chunks(const struct topic_log *log) {
    return log->file_chunks;
}

/* Batches that came in one request share its frame. */
static unsigned batches_in(const struct topic_log *log, const struct buf *buf) {
    unsigned count = 0;

    for (unsigned i = 0; i < log->topic_count; i++) {
        for (int32_t p = 0; p < log->topics[i]->partition_count; p++) {
            const struct fake_partition *fake =
                container_of(log->topics[i]->partitions[p], struct fake_partition, public);

            for (unsigned b = 0; b < fake->count; b++) {
                count += fake->batches[b].buf == buf;
            }
        }
    }
    return count;
}

unsigned fake_log_leaks(struct topic_log *log) {
    unsigned leaks = log->files_open;

    for (unsigned i = 0; i < log->topic_count; i++) {
        for (int32_t p = 0; p < log->topics[i]->partition_count; p++) {
            struct fake_partition *fake =
                container_of(log->topics[i]->partitions[p], struct fake_partition, public);

            for (unsigned b = 0; b < fake->count; b++) {
                leaks += fake->batches[b].buf->refs != batches_in(log, fake->batches[b].buf);
            }
        }
    }
    return leaks;
}

/* ---- topic_log.h ---- */

bool topic_log_failed(const struct topic_log *log) {
    return false;
}

struct topic *topic_log_find(struct topic_log *log, struct span name) {
    for (unsigned i = 0; i < log->topic_count; i++) {
        if (!log->topics[i]->deleted && span_equal(span_text(log->topics[i]->name), name)) {
            return log->topics[i];
        }
    }
    return NULL;
}

struct topic *topic_log_find_id(struct topic_log *log, const struct uuid *id) {
    for (unsigned i = 0; i < log->topic_count; i++) {
        if (!log->topics[i]->deleted && memcmp(&log->topics[i]->id, id, sizeof *id) == 0) {
            return log->topics[i];
        }
    }
    return NULL;
}

struct topic *topic_log_next(struct topic_log *log, size_t *position) {
    while (*position < log->topic_count) {
        struct topic *topic = log->topics[(*position)++];

        if (!topic->deleted) {
            return topic;
        }
    }
    return NULL;
}

struct topic *topic_ref(struct topic *topic) {
    topic->refs++;
    return topic;
}

void topic_unref(struct topic *topic) {
    if (topic) {
        topic->refs--;
    }
}

bool topic_name_valid(struct span name) {
    const char *text = name.data;

    for (size_t i = 0; i < name.size; i++) {
        if (text[i] <= ' ' || text[i] == '/' || text[i] == '!') {
            return false;
        }
    }
    return name.size > 0 && name.size < 250;
}

static struct partition *fake_partition_new(struct topic *topic, int32_t index) {
    struct fake_partition *fake = calloc(1, sizeof *fake);

    fake->public.topic = topic;
    fake->public.index = index;
    list_init(&fake->public.waiters);
    return &fake->public;
}

struct topic_config *fake_log_defaults(struct topic_log *log) {
    return &log->defaults;
}

int topic_log_create(struct topic_log *log, const struct topic_spec *spec,
                     struct topic_log_request *request) {
    struct topic *topic;

    if (topic_log_find(log, spec->name)) {
        return TOPIC_E_EXISTS;
    }
    topic = calloc(1, sizeof *topic);
    for (const struct topic_config_entry *c = spec->configs; c && c->name; c++) {
        enum topic_config_key key = topic_config_find(span_text(c->name));

        if (key == TOPIC_CONFIG_COUNT ||
            topic_config_set(&topic->config, key, span_text(c->value))) {
            topic_config_deinit(&topic->config);
            free(topic);
            return BROKER_E_CONFIG;
        }
    }
    memcpy(topic->name, spec->name.data, spec->name.size);
    topic->internal = spec->internal;
    topic->declared = spec->declared;
    topic->partition_count = spec->partition_count;
    topic->id.bytes[0] = 0x77;
    topic->id.bytes[15] = (uint8_t)(log->topic_count + 1);
    topic->partitions = calloc((size_t)spec->partition_count, sizeof(struct partition *));
    for (int32_t i = 0; i < spec->partition_count; i++) {
        topic->partitions[i] = fake_partition_new(topic, i);
    }
    log->topics[log->topic_count++] = topic;
    request->topic = topic;
    list_push_back(&log->requests, &request->link);
    settle_soon(log);
    return 0;
}

int topic_log_delete(struct topic_log *log, struct topic *topic,
                     struct topic_log_request *request) {
    topic->deleted = true;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        list_for_each_safe(link, &topic->partitions[i]->waiters) {
            struct partition_waiter *w = list_entry(link, struct partition_waiter, link);

            w->wake(w);
        }
    }
    list_push_back(&log->requests, &request->link);
    settle_soon(log);
    return 0;
}

const struct topic_config *topic_log_defaults(const struct topic_log *log) {
    return &log->defaults;
}

const struct topic_config *topic_log_config_latest(const struct topic *topic) {
    return &topic->config;
}

int topic_log_configure(struct topic_log *log, struct topic *topic,
                        const struct topic_config *config, struct topic_log_request *request) {
    struct topic_config copy;

    if (topic_config_copy(&copy, config)) {
        abort();
    }
    topic_config_deinit(&topic->config);
    topic->config = copy;
    request->topic = topic;
    list_push_back(&log->requests, &request->link);
    settle_soon(log);
    return 0;
}

int topic_log_set_default(struct topic_log *log, enum topic_config_key key, struct span value) {
    return topic_config_set(&log->defaults, key, value);
}

int topic_log_add_partitions(struct topic_log *log, struct topic *topic, int32_t count,
                             struct topic_log_request *request) {
    topic->partitions = realloc(topic->partitions, (size_t)count * sizeof *topic->partitions);
    for (int32_t i = topic->partition_count; i < count; i++) {
        topic->partitions[i] = fake_partition_new(topic, i);
    }
    topic->partition_count = count;
    request->topic = topic;
    list_push_back(&log->requests, &request->link);
    settle_soon(log);
    return 0;
}

int topic_log_delete_records(struct topic_log *log, struct partition *partition, int64_t offset,
                             struct topic_log_request *request) {
    offset = offset == -1 ? partition->high_watermark : offset;
    if (offset > partition->high_watermark) {
        return TOPIC_E_OUT_OF_RANGE;
    }
    partition->log_start_offset = MAX(partition->log_start_offset, offset);
    list_push_back(&log->requests, &request->link);
    settle_soon(log);
    return 0;
}

uint64_t partition_bytes(const struct partition *partition) {
    const struct fake_partition *fake = (const struct fake_partition *)(const void *)partition;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < fake->count; i++) {
        bytes += fake->batches[i].size;
    }
    return bytes;
}

int topic_log_space(struct topic_log *log, struct topic_log_space *space) {
    space->total_bytes = 1000;
    space->free_bytes = 400;
    space->done(space, 0);
    return 0;
}

struct partition *partition_get(struct topic *topic, int32_t index) {
    return index >= 0 && index < topic->partition_count ? topic->partitions[index] : NULL;
}

void partition_wait(struct partition *partition, struct partition_waiter *waiter) {
    list_push_back(&partition->waiters, &waiter->link);
}

void partition_unwait(struct partition_waiter *waiter) {
    list_remove(&waiter->link);
}

int topic_log_append(struct topic_log *log, struct append *append) {
    struct append_part *part = &append->parts[0];
    struct record_batch batch;
    int code = log->refuse;

    log->refuse = 0;
    if (code) {
        return code;
    }
    if (record_batch_parse(span_of(part->batch.data, part->batch.size), &batch) ||
        !record_batch_check_crc(span_of(part->batch.data, part->batch.size))) {
        return BROKER_E_CORRUPT;
    }
    if (batch.total_bytes > 1048588) {
        return TOPIC_E_TOO_LARGE;
    }
    part->base_offset = part->partition->log_end_offset;
    part->log_append_time_ms = -1;
    part->partition->log_end_offset += batch.last_offset_delta + 1;
    record_batch_assign((uint8_t *)(uintptr_t)part->batch.data, part->base_offset,
                        part->partition->leader_epoch);
    buf_ref(part->batch.buf);
    list_push_back(&log->appends, &append->link);
    settle_soon(log);
    return 0;
}

int topic_log_producer_id(struct topic_log *log, int64_t *ret_producer_id) {
    if (log->no_producers) {
        return log->no_producers;
    }
    *ret_producer_id = log->next_producer++;
    return 0;
}

/* ---- reading ---- */

static void file_closed(void *userdata) {
    struct topic_log *log = userdata;

    log->files_open--;
}

static struct read_chunk as_file(struct topic_log *log, struct slice slice) {
    int fd = memfd_create("batch", 0);
    struct read_chunk chunk = {.size = slice.size, .file_offset = 3};

    if (pwrite(fd, slice.data, slice.size, 3) != (ssize_t)slice.size) {
        abort();
    }
    log->files_open++;
    log->file_chunks++;
    chunk.file = conn_file_new(fd, file_closed, log);
    return chunk;
}

static int read_now(struct topic_log *log, struct partition_read *read) {
    struct fake_partition *fake = container_of(read->partition, struct fake_partition, public);

    for (unsigned i = 0; i < fake->count && read->chunk_count < READ_CHUNKS_MAX; i++) {
        struct slice slice = fake->batches[i];
        struct record_batch batch;

        record_batch_parse(span_of(slice.data, slice.size), &batch);
        if (batch.base_offset + batch.last_offset_delta < read->offset) {
            continue;
        }
        if (read->bytes + slice.size > read->max_bytes &&
            !(read->bytes == 0 && read->min_one_batch)) {
            break;
        }
        if (log->files && !read->memory_only) {
            read->chunks[read->chunk_count++] = as_file(log, slice);
        } else {
            buf_ref(slice.buf);
            read->chunks[read->chunk_count++] =
                (struct read_chunk){.slice = slice, .size = slice.size};
        }
        read->bytes += slice.size;
    }
    return 0;
}

int partition_read(struct topic_log *log, struct partition_read *read) {
    log->reads++;
    read->chunk_count = 0;
    read->bytes = 0;
    if (log->slow) {
        log->waiting_read = read;
        return OP_WAIT;
    }
    return read_now(log, read);
}

void fake_log_read(struct topic_log *log) {
    struct partition_read *read = log->waiting_read;
    struct partition_lookup *lookup = log->waiting_lookup;

    log->waiting_read = NULL;
    log->waiting_lookup = NULL;
    if (read) {
        read->done(read, read_now(log, read));
    }
    if (lookup) {
        lookup->done(lookup, log->lookup_status);
    }
}

void partition_read_release(struct partition_read *read) {
    for (unsigned i = 0; i < read->chunk_count; i++) {
        buf_unref(read->chunks[i].slice.buf);
        if (read->chunks[i].file) {
            conn_file_unref(read->chunks[i].file);
        }
    }
    read->chunk_count = 0;
}

int partition_lookup(struct topic_log *log, struct partition_lookup *lookup) {
    struct fake_partition *fake = container_of(lookup->partition, struct fake_partition, public);

    lookup->ret_offset = lookup->ret_timestamp_ms = -1;
    lookup->ret_leader_epoch = -1;
    for (unsigned i = 0; i < fake->count; i++) {
        struct record_batch batch;

        record_batch_parse(span_of(fake->batches[i].data, fake->batches[i].size), &batch);
        if (batch.max_timestamp_ms >= lookup->timestamp_ms) {
            lookup->ret_offset = batch.base_offset;
            lookup->ret_timestamp_ms = batch.max_timestamp_ms;
            lookup->ret_leader_epoch = batch.leader_epoch;
            if (lookup->timestamp_ms >= 0) {
                break;
            }
        }
    }
    if (log->slow) {
        log->waiting_lookup = lookup;
        return OP_WAIT;
    }
    return log->lookup_status;
}

void partition_epoch_end(struct topic_log *log, struct partition *partition, int32_t epoch,
                         int32_t *ret_epoch, int64_t *ret_end_offset) {
    *ret_epoch = epoch < 0 ? -1 : MIN(epoch, partition->leader_epoch);
    *ret_end_offset = epoch < 0 ? -1 : partition->log_end_offset;
}
