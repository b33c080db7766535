#include "log_fixture.h"
#include "append/tail.h"

#include <errno.h>
#include <eventbox/base/crc32c.h>
#include <string.h>

void fixture_init(struct fixture *f, uint64_t seed) {
    memset(f, 0, sizeof *f);
    f->seed = f->first_seed = seed;
    f->limits = TOPIC_LOG_LIMITS_DEFAULT;
    clock_manual_init(&f->clock, INT64_C(1700000000) * NS_PER_SEC);
    random_seeded_init(&f->random, seed);
    assert(disk_sim_new(seed, &f->disk) == 0);
}

static bool is_cut(const struct fixture *f) {
    return !f->real_disk && disk_sim_is_cut(f->disk);
}

void fixture_use_real_disk(struct fixture *f, const char *root) {
    disk_free(f->disk);
    assert(disk_system_new(root, &f->disk) == 0);
    f->real_disk = true;
}

static void on_event(void *userdata, enum topic_log_event event, const char *text) {
    struct fixture *f = userdata;
    if ((f->expect_failures || is_cut(f)) &&
        (strstr(text, "the scrub cannot") || strstr(text, "the scrub is"))) {
        f->scrub_refused++;
        return;
    }
    if (f->expect_failures && strstr(text, "the disk cannot read")) {
        return; /* the call that was to fail was a read */
    }
    f->events[event]++;
    snprintf(f->last_event, sizeof f->last_event, "%s", text);
    if (event == TOPIC_LOG_DAMAGED) {
        size_t used = strlen(f->all_damage);
        snprintf(f->last_damage, sizeof f->last_damage, "%s", text);
        snprintf(f->all_damage + used, sizeof f->all_damage - used, "%s\n", text);
    }
    if (f->verbose) {
        fprintf(stderr, "event %d: %s\n", (int)event, text);
    }
}

void fixture_open(struct fixture *f) {
    f->started = f->stopped = false;
    f->started_count = 0;
    assert(loop_new_simulated(&f->clock.clock, &f->loop) == 0);
    f->work = work_port_sim_new(&f->random.random);
    struct topic_log_config config = {
        .loop = f->loop,
        .work = f->work,
        .disk = f->disk,
        .clock = &f->clock.clock,
        .random = &f->random.random,
        .limits = f->limits,
        .on_event = on_event,
        .userdata = f,
    };
    assert(topic_log_new(&config, &f->log) == 0);
}

static void on_started(void *userdata, int status) {
    struct fixture *f = userdata;
    f->started = true;
    f->started_count++;
    f->start_status = status;
}

int fixture_start(struct fixture *f) {
    fixture_open(f);
    topic_log_start(f->log, on_started, f);
    fixture_until(f, f->started || is_cut(f));
    return f->started ? f->start_status : -ENODEV;
}

void fixture_step(struct fixture *f) {
    bool loop_ran = false, work_ran = false;
    if (random_below(&f->random.random, 2) == 0) {
        loop_ran = loop_step(f->loop);
    } else {
        work_ran = work_sim_step(f->work);
    }
    if (!loop_ran && !work_ran && !loop_step(f->loop) && !work_sim_step(f->work)) {
        clock_manual_advance(&f->clock, 50 * NS_PER_MS);
    }
}

void fixture_run_ms(struct fixture *f, int64_t ms) {
    int64_t until_ns = f->clock.mono_ns + ms * NS_PER_MS;
    while (f->clock.mono_ns < until_ns) {
        fixture_step(f);
    }
}

static void on_stopped(void *userdata) {
    ((struct fixture *)userdata)->stopped = true;
}

void fixture_stop(struct fixture *f) {
    topic_log_stop(f->log, on_stopped, f);
    fixture_until(f, f->stopped || is_cut(f));
    if (!f->stopped) {
        return;
    }
    topic_log_free(f->log);
    work_sim_abandon(f->work);
    loop_free(f->loop);
    f->log = NULL;
}

void fixture_abandon(struct fixture *f) {
    if (f->log) {
        work_sim_abandon(f->work);
        topic_log_free(f->log);
        loop_free(f->loop);
        f->log = NULL;
    }
}

void fixture_crash(struct fixture *f, bool power_cut) {
    struct disk *next = NULL;
    fixture_abandon(f);
    f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
    assert(disk_sim_reboot(f->disk, f->seed, power_cut, &next) == 0);
    f->disk = next;
}

void fixture_deinit(struct fixture *f) {
    fixture_abandon(f);
    disk_free(f->disk);
    f->disk = NULL;
}

void fixture_limit_room(struct fixture *f, uint64_t bytes) {
    struct disk_space now;
    assert(disk_space(f->disk, &now) == 0);
    disk_sim_limit(f->disk, now.total_bytes - now.available_bytes + bytes);
}

/* ---- appends ---- */

struct placed_buf {
    struct buf buf;
    void *memory;
};

static void free_placed(struct buf *buf) {
    struct placed_buf *placed = container_of(buf, struct placed_buf, buf);
    free(placed->memory);
    free(placed);
}

/* A large batch goes to a place in its frame that agrees with its address (frame_build.h): so for
 * runs to be functions of their seeds the address within a block follows from the batch. */
static struct buf *place(struct buf *from, uint64_t tag) {
    struct placed_buf *placed = calloc(1, sizeof *placed);
    size_t lead = (size_t)(tag * 61 % FRAME_ALIGN);
    assert(placed && posix_memalign(&placed->memory, FRAME_ALIGN, lead + from->size) == 0);
    placed->buf = (struct buf){
        .data = (uint8_t *)placed->memory + lead,
        .size = from->size,
        .capacity = from->size,
        .refs = 1,
        .release = free_placed,
    };
    memcpy(placed->buf.data, from->data, from->size);
    buf_unref(from);
    return &placed->buf;
}

struct buf *fixture_batch(const struct batch_spec *spec) {
    struct record_batch_builder builder;
    size_t bytes = spec->value_bytes < 8 ? 8 : spec->value_bytes;
    uint8_t *value = malloc(bytes);
    record_batch_builder_init(&builder);
    for (unsigned i = 0; i < spec->records; i++) {
        memset(value, (int)(spec->tag + i), bytes);
        uint64_t tag = spec->tag + i;
        memcpy(value, &tag, sizeof tag);
        uint8_t key = spec->keys > 0 ? (uint8_t)(tag % spec->keys) : 0;
        record_batch_builder_add(
            &builder, spec->timestamp_ms + i, spec->keys > 0 ? span_of(&key, 1) : SPAN_NULL,
            fixture_is_tombstone(spec, tag) ? SPAN_NULL : span_of(value, bytes), NULL, 0);
    }
    free(value);
    struct buf *buf = record_batch_builder_finish(&builder, 0);
    record_batch_builder_deinit(&builder);
    if (spec->producer_id >= 0) {
        put_be64(buf->data + 43, (uint64_t)spec->producer_id);
        put_be16(buf->data + 51, (uint16_t)spec->epoch);
        put_be32(buf->data + 53, (uint32_t)spec->sequence);
        put_be32(buf->data + 17, crc32c(0, buf->data + 21, buf->size - 21));
    }
    return place(buf, spec->tag);
}

static void on_append(struct append *append, int status) {
    struct one *one = container_of(append, struct one, append);
    one->done = true;
    one->status = status;
}

static int start_buf(struct fixture *f, struct one *one, enum append_class class,
                     struct partition *partition, struct buf *buf) {
    memset(one, 0, sizeof *one);
    one->buf = buf;
    one->part.partition = partition;
    one->part.batch = slice_of(one->buf, 0, one->buf->size);
    one->append.class = class;
    one->append.parts = &one->part;
    one->append.part_count = 1;
    one->append.done = on_append;
    int r = topic_log_append(f->log, &one->append);
    if (r) {
        one->done = true;
        one->status = r;
    }
    return r;
}

int one_start_as(struct fixture *f, struct one *one, enum append_class class,
                 struct partition *partition, const struct batch_spec *spec) {
    return start_buf(f, one, class, partition, fixture_batch(spec));
}

int one_start(struct fixture *f, struct one *one, struct partition *partition,
              const struct batch_spec *spec) {
    return one_start_as(f, one, APPEND_CLIENT, partition, spec);
}

void one_free(struct one *one) {
    buf_unref(one->buf);
    one->buf = NULL;
}

int64_t fixture_append(struct fixture *f, struct partition *partition,
                       const struct batch_spec *spec) {
    return fixture_append_buf(f, partition, fixture_batch(spec));
}

int64_t fixture_append_buf(struct fixture *f, struct partition *partition, struct buf *buf) {
    struct one one;
    start_buf(f, &one, APPEND_CLIENT, partition, buf);
    fixture_until(f, one.done || is_cut(f));
    int64_t offset = one.part.base_offset;
    assert(one.done);
    one_free(&one);
    return one.status ? -one.status : offset;
}

struct waiting_request {
    struct topic_log_request request;
    bool done;
    int status;
};

static void on_request(struct topic_log_request *request, int status) {
    struct waiting_request *waiting = container_of(request, struct waiting_request, request);
    waiting->done = true;
    waiting->status = status;
}

struct topic *fixture_topic(struct fixture *f, const char *name, int32_t partitions,
                            const struct topic_config_entry *configs) {
    struct waiting_request waiting = {.request.done = on_request};
    struct topic_spec spec = {
        .name = span_text(name), .partition_count = partitions, .configs = configs};
    if (topic_log_create(f->log, &spec, &waiting.request)) {
        return NULL;
    }
    fixture_until(f, waiting.done);
    return waiting.status ? NULL : topic_log_find(f->log, span_text(name));
}

int fixture_delete(struct fixture *f, struct topic *topic) {
    struct waiting_request waiting = {.request.done = on_request};
    int r = topic_log_delete(f->log, topic, &waiting.request);
    if (r) {
        return r;
    }
    fixture_until(f, waiting.done);
    return waiting.status;
}

int fixture_add_partitions(struct fixture *f, struct topic *topic, int32_t count) {
    struct waiting_request waiting = {.request.done = on_request};
    int r = topic_log_add_partitions(f->log, topic, count, &waiting.request);
    if (r) {
        return r;
    }
    fixture_until(f, waiting.done);
    return waiting.status;
}

int fixture_delete_records(struct fixture *f, struct partition *partition, int64_t offset) {
    struct waiting_request waiting = {.request.done = on_request};
    int r = topic_log_delete_records(f->log, partition, offset, &waiting.request);
    if (r) {
        return r;
    }
    fixture_until(f, waiting.done);
    return waiting.status;
}

bool fixture_has_file(struct fixture *f, uint32_t topic, int32_t partition, int64_t base_offset,
                      enum segment_kind kind) {
    struct segment_id id = {topic, partition, base_offset};
    struct disk_file *file = NULL;
    char name[SEGMENT_NAME_SIZE];
    segment_name(&id, kind, name);
    int r = disk_open(f->disk, name, DISK_READ, &file);
    disk_close(file);
    return r == 0;
}

struct partition *fixture_partition(struct fixture *f, const char *name, int32_t index) {
    struct topic *topic = topic_log_find(f->log, span_text(name));
    return topic ? partition_get(topic, index) : NULL;
}

/* ---- reads ---- */

struct waiting_lookup {
    struct partition_lookup lookup;
    bool done;
    int status;
};

static void on_lookup(struct partition_lookup *lookup, int status) {
    struct waiting_lookup *waiting = container_of(lookup, struct waiting_lookup, lookup);
    waiting->done = true;
    waiting->status = status;
}

int fixture_lookup_all(struct fixture *f, struct partition *partition, int64_t timestamp_ms,
                       struct partition_lookup *ret_lookup) {
    struct waiting_lookup waiting = {
        .lookup = {.partition = partition, .timestamp_ms = timestamp_ms, .done = on_lookup}};
    int r = partition_lookup(f->log, &waiting.lookup);
    if (r == OP_WAIT) {
        fixture_until(f, waiting.done);
        r = waiting.status;
    }
    *ret_lookup = waiting.lookup;
    return r;
}

int64_t fixture_lookup(struct fixture *f, struct partition *partition, int64_t timestamp_ms) {
    struct partition_lookup lookup;
    int r = fixture_lookup_all(f, partition, timestamp_ms, &lookup);
    return r ? -(r < 0 ? -r : r) : lookup.ret_offset;
}

struct waiting_read {
    struct partition_read read;
    bool done;
    int status;
};

static void on_read(struct partition_read *read, int status) {
    struct waiting_read *waiting = container_of(read, struct waiting_read, read);
    waiting->done = true;
    waiting->status = status;
}

ssize_t fixture_read(struct fixture *f, struct partition *partition, int64_t offset, size_t max,
                     uint8_t **ret_data) {
    struct waiting_read waiting = {.read = {.partition = partition,
                                            .offset = offset,
                                            .max_bytes = max,
                                            .min_one_batch = true,
                                            .done = on_read}};
    int r = partition_read(f->log, &waiting.read);
    if (r == OP_WAIT) {
        fixture_until(f, waiting.done);
        r = waiting.status;
    }
    if (r) {
        return -(r < 0 ? -r : r);
    }
    uint8_t *data = malloc(waiting.read.bytes + 1);
    size_t at = 0;
    for (unsigned i = 0; i < waiting.read.chunk_count; i++) {
        const struct read_chunk *chunk = &waiting.read.chunks[i];
        assert(chunk->slice.buf);
        memcpy(data + at, chunk->slice.data, chunk->size);
        at += chunk->size;
    }
    assert(at == waiting.read.bytes);
    partition_read_release(&waiting.read);
    *ret_data = data;
    return (ssize_t)at;
}

void fixture_segment_path(struct fixture *f, int64_t base_offset, char path[SEGMENT_NAME_SIZE]) {
    const struct log_partition *partition = log_partition_of(fixture_partition(f, "t", 0));
    struct segment_id id = {partition->topic->public.number, 0, base_offset};
    segment_name(&id, SEGMENT_LOG, path);
}

uint64_t fixture_find_batch(struct fixture *f, const char *path, unsigned index) {
    struct disk_file *file;
    uint64_t at = 0;
    assert(disk_open(f->disk, path, DISK_READ, &file) == 0);
    while (index-- > 0) {
        uint8_t header[12];
        size_t got;
        assert(disk_pread(file, header, sizeof header, at, &got) == 0 && got == sizeof header);
        at += sizeof header + get_be32(header + 8);
    }
    disk_close(file);
    return at;
}

void fixture_forget_memory(struct fixture *f) {
    uint64_t tail_bytes = f->log->limits.tail_bytes;
    f->log->limits.tail_bytes = 0;
    tail_evict(f->log);
    f->log->limits.tail_bytes = tail_bytes;
}

uint8_t fixture_put_byte(struct fixture *f, enum segment_kind kind, uint64_t at, uint8_t byte) {
    struct segment_id id = {1, 0, 0};
    struct disk_file *file = NULL;
    char path[SEGMENT_NAME_SIZE];
    uint8_t before;
    size_t got;
    segment_name(&id, kind, path);
    if (disk_open(f->disk, path, DISK_READ | DISK_WRITE, &file) ||
        disk_pread(file, &before, 1, at, &got) || got != 1 || disk_pwrite(file, &byte, 1, at)) {
        abort();
    }
    disk_close(file);
    return before;
}

uint8_t fixture_flip(struct fixture *f, enum segment_kind kind, uint64_t at, unsigned bit) {
    uint8_t byte = fixture_put_byte(f, kind, at, 0);
    fixture_put_byte(f, kind, at, byte ^ (uint8_t)(1u << bit));
    return byte;
}

/* ---- the log from outside ---- */

static void tell_nobody(void *userdata, enum topic_log_event event, const char *text) {
}

void fixture_verify(struct fixture *f,
                    void (*on_finding)(void *userdata, const struct log_finding *finding),
                    void *userdata) {
    struct log_inspect inspect = {.folder = f->disk, .on_event = tell_nobody};
    struct log_verify verify = {
        .inspect = &inspect, .on_finding = on_finding, .userdata = userdata, .partition = -1};
    int r = log_inspect_open(&inspect);
    r = r ? r : log_verify_run(&verify);
    assert(r == 0);
    log_inspect_close(&inspect);
}

static void count_level(void *userdata, const struct log_finding *finding) {
    ++((unsigned *)userdata)[finding->level];
}

unsigned fixture_findings(struct fixture *f, enum finding_level level) {
    unsigned found[FINDING_LOSS + 1] = {0}, count = 0;
    fixture_verify(f, count_level, found);
    for (unsigned i = level; i <= FINDING_LOSS; i++) {
        count += found[i];
    }
    return count;
}
