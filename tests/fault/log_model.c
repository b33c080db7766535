#include "log_model_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { DELETE_RETENTION_MS = 200 }; /* of tombstones, in every topic */

static char problem[300];

const char *wrong(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    return problem;
}

void model_init(struct model *model, struct fixture *f, uint64_t seed) {
    memset(model, 0, sizeof *model);
    model->f = f;
    model->next_tag = 1;
    model->next_unit = 1;
    model->largest_producer_id = -1;
    random_seeded_init(&model->random, seed);
}

static void topic_free_model(struct model_topic *topic) {
    for (int32_t i = 0; i < MODEL_PARTITIONS_MAX; i++) { /* also of some that never came to be */
        free(topic->partitions[i].batches);
    }
    free(topic);
}

static void unit_release(struct model_unit *unit) {
    for (unsigned i = 0; i < unit->append.part_count; i++) {
        buf_unref(unit->parts[i].batch.buf);
    }
    unit->used = false;
    unit->model->in_flight--;
}

void model_deinit(struct model *model) {
    for (unsigned i = 0; i < MODEL_IN_FLIGHT; i++) {
        if (model->units[i].used) {
            unit_release(&model->units[i]);
        }
    }
    for (unsigned i = 0; i < model->topic_count; i++) {
        topic_free_model(model->topics[i]);
    }
}

uint64_t roll(struct model *model, uint64_t limit) {
    return random_below(&model->random.random, limit);
}

int64_t model_now_ms(const struct model *model) {
    return model->f->clock.wall_ns / NS_PER_MS;
}

/* ---- topics ---- */

static void on_request(struct topic_log_request *request, int status) {
    struct model_topic *topic = container_of(request, struct model_topic, request);
    if (status == 0) {
        topic->in_flight = false;
        topic->state = topic->state == MODEL_CREATING ? MODEL_CREATED : MODEL_DELETED;
    }
}

struct topic *live(struct model *model, struct model_topic *topic) {
    return topic->state == MODEL_CREATING || topic->state == MODEL_CREATED
               ? topic_log_find_id(model->f->log, &topic->id)
               : NULL;
}

static void create(struct model *model, const char *segment_bytes, unsigned keys,
                   bool short_lived) {
    struct topic_config_entry configs[8] = {{"segment.bytes", segment_bytes},
                                            {"min.cleanable.dirty.ratio", "0.1"},
                                            {"delete.retention.ms", "200"}};
    if (model->topic_count == MODEL_TOPICS_MAX) {
        return;
    }
    struct model_topic *topic = calloc(1, sizeof *topic);
    topic->model = model;
    topic->keys = keys;
    topic->early = model->early_topics && keys == 0 && roll(model, 4) == 0;
    topic->deletes = keys == 0;
    topic->retention_bytes = topic->retention_ms = -1;
    struct topic_config_entry *more = configs + 3;
    if (topic->early) {
        *more++ = (struct topic_config_entry){"flush.ms", "1000"};
    }
    if (short_lived) {
        front_config(model, topic, more);
    } else if (keys > 0) {
        *more++ = (struct topic_config_entry){"cleanup.policy", "compact"};
        if (roll(model, 2)) {
            *more = (struct topic_config_entry){"max.compaction.lag.ms", "300"};
        }
    }
    topic->partition_count = 1 + (int32_t)roll(model, MODEL_PARTITIONS_MAX - 1);
    topic->sure_count = topic->partition_count;
    snprintf(topic->name, sizeof topic->name, "t%u", (unsigned)roll(model, 5));
    topic->request.done = on_request;
    topic->in_flight = true;
    struct topic_spec spec = {.name = span_text(topic->name),
                              .partition_count = topic->partition_count,
                              .configs = configs};
    if (topic_log_create(model->f->log, &spec, &topic->request)) {
        topic_free_model(topic);
        return;
    }
    topic->id = topic->request.topic->id;
    model->topics[model->topic_count++] = topic;
}

void model_create(struct model *model, const char *segment_bytes) {
    create(model, segment_bytes, 0, false);
}

void model_create_compacted(struct model *model, const char *segment_bytes) {
    create(model, segment_bytes, 5, false);
}

void model_create_short_lived(struct model *model, const char *segment_bytes) {
    create(model, segment_bytes, roll(model, 2) ? 5 : 0, true);
}

struct model_topic *any_topic(struct model *model) {
    for (unsigned tries = 0; tries < 8 && model->topic_count > 0; tries++) {
        struct model_topic *topic = model->topics[roll(model, model->topic_count)];
        if (live(model, topic)) {
            return topic;
        }
    }
    return NULL;
}

void model_delete(struct model *model) {
    struct model_topic *topic = any_topic(model);
    if (!topic || topic->state != MODEL_CREATED) {
        return;
    }
    if (topic_log_delete(model->f->log, live(model, topic), &topic->request) == 0) {
        topic->state = MODEL_DELETING;
        topic->in_flight = true;
    }
}

/* ---- appends ---- */

static void remember(struct model_unit *unit, unsigned i, bool acked) {
    struct model_partition *partition = &unit->at[i].topic->partitions[unit->at[i].partition];
    int64_t offset = unit->parts[i].base_offset;
    size_t at = partition->count;
    while (at > 0 && partition->batches[at - 1].offset > offset) {
        at--;
    }
    assert_true(at == 0 ||
                partition->batches[at - 1].offset < offset); /* given out twice otherwise */
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity ? partition->capacity * 2 : 16;
        partition->batches =
            realloc(partition->batches, partition->capacity * sizeof *partition->batches);
    }
    memmove(partition->batches + at + 1, partition->batches + at,
            (partition->count - at) * sizeof *partition->batches);
    partition->batches[at] = (struct model_batch){.spec = unit->specs[i],
                                                  .offset = offset,
                                                  .unit = unit->number,
                                                  .frame = unit->append.frame_sequence,
                                                  .bytes = (uint32_t)unit->parts[i].batch.size,
                                                  .handed_ms = unit->handed_ms,
                                                  .acked = acked};
    partition->count++;
}

static struct model_producer *producer_of(struct model *model, int64_t id) {
    for (unsigned i = 0; id >= 0 && i < MODEL_PRODUCERS; i++) {
        if (model->producers[i].id == id && !uuid_is_zero(&model->producers[i].topic)) {
            return &model->producers[i];
        }
    }
    return NULL;
}

static void unit_finished(struct model_unit *unit, int status) {
    struct model *model = unit->model;
    for (unsigned i = 0; i < unit->append.part_count; i++) {
        struct model_producer *producer = producer_of(model, unit->specs[i].producer_id);
        if (producer && producer->in_flight > 0) {
            producer->in_flight--;
        }
        if (producer && status != 0) {
            memset(&producer->topic, 0, sizeof producer->topic); /* its sequence has a hole now */
        }
        if (status == 0 && unit->at[i].duplicate_of >= 0) {
            assert_true(unit->parts[i].duplicate);
            assert_int_equal(unit->parts[i].base_offset, unit->at[i].duplicate_of);
            model->duplicates++;
        } else if (unit->parts[i].base_offset >= 0 && !unit->parts[i].duplicate) {
            remember(unit, i, status == 0);
        }
    }
    model->acked += status == 0;
    unit_release(unit);
}

static void on_append(struct append *append, int status) {
    struct model_unit *unit = container_of(append, struct model_unit, append);
    for (unsigned i = 0; status == 0 && i < append->part_count; i++) {
        struct model_partition *partition = &unit->at[i].topic->partitions[unit->at[i].partition];
        struct partition *real = unit->parts[i].partition;
        partition->seen = MAX(partition->seen, real->high_watermark);
    }
    unit_finished(unit, status);
}

static void use_producer(struct model *model, struct model_unit *unit, unsigned i) {
    struct model_producer *producer = &model->producers[roll(model, MODEL_PRODUCERS)];
    struct model_topic *topic = unit->at[i].topic;
    if (uuid_is_zero(&producer->topic)) {
        int64_t id;
        if (topic_log_producer_id(model->f->log, &id)) {
            return;
        }
        assert_true(id > model->largest_producer_id);
        model->largest_producer_id = id;
        *producer = (struct model_producer){
            .id = id, .topic = topic->id, .partition = unit->at[i].partition};
    }
    if (memcmp(&producer->topic, &topic->id, sizeof topic->id) != 0 ||
        producer->partition != unit->at[i].partition || producer->in_flight >= PRODUCER_WINDOW) {
        if (!topic_log_find_id(model->f->log, &producer->topic)) {
            memset(&producer->topic, 0, sizeof producer->topic);
        }
        return;
    }
    for (unsigned other = 0; other < i; other++) {
        if (unit->specs[other].producer_id == producer->id) {
            return;
        }
    }
    unit->append.class = APPEND_CLIENT; /* a reserved one could overtake those that wait */
    unit->specs[i].producer_id = producer->id;
    unit->specs[i].sequence = producer->next_sequence;
    producer->next_sequence += (int32_t)unit->specs[i].records;
    producer->in_flight++;
}

static struct model_unit *new_unit(struct model *model) {
    for (unsigned i = 0; i < MODEL_IN_FLIGHT; i++) {
        if (!model->units[i].used) {
            struct model_unit *unit = &model->units[i];
            memset(unit, 0, sizeof *unit);
            unit->used = true;
            unit->model = model;
            unit->number = model->next_unit++;
            unit->append.parts = unit->parts;
            unit->append.done = on_append;
            unit->append.class = roll(model, 4) == 0 ? APPEND_RESERVED : APPEND_CLIENT;
            model->in_flight++;
            return unit;
        }
    }
    return NULL;
}

static void add_part(struct model *model, struct model_unit *unit, struct model_topic *topic,
                     int32_t partition, const struct batch_spec *spec) {
    unsigned i = unit->append.part_count++;
    unit->specs[i] = *spec;
    unit->at[i].topic = topic;
    unit->at[i].partition = partition;
    unit->at[i].duplicate_of = -1;
    unit->parts[i].base_offset = -1;
    unit->parts[i].partition = partition_get(live(model, topic), partition);
}

static void hand_over(struct model *model, struct model_unit *unit) {
    for (unsigned i = 0; i < unit->append.part_count; i++) {
        struct buf *buf = fixture_batch(&unit->specs[i]);
        unit->parts[i].batch = slice_of(buf, 0, buf->size);
    }
    unit->handed_ms = model_now_ms(model);
    int r = topic_log_append(model->f->log, &unit->append);
    model->appended++;
    if (r) {
        if (r != TOPIC_E_FULL && r != TOPIC_E_FAILED) {
            fprintf(stderr, "append answers %d, %s\n", r, err_text(r));
            abort();
        }
        model->refused++;
        unit_finished(unit, r);
    }
}

void model_append(struct model *model, unsigned parts, size_t value_bytes) {
    struct model_topic *topic = any_topic(model);
    struct model_unit *unit = topic ? new_unit(model) : NULL;
    if (!unit) {
        return;
    }
    while (parts-- > 0 && topic) {
        struct batch_spec spec = {
            .records = 1 + (unsigned)roll(model, 4),
            .value_bytes = value_bytes,
            .tag = model->next_tag,
            .timestamp_ms = topic->retention_ms >= 0 ? front_date(model)
                                                     : 1700000000000 + (int64_t)roll(model, 100000),
            .producer_id = -1,
            .keys = topic->keys,
            .tombstones = topic->keys > 0,
        };
        model->next_tag += spec.records;
        add_part(model, unit, topic, (int32_t)roll(model, (uint64_t)topic->partition_count), &spec);
        if (roll(model, 2) == 0) {
            use_producer(model, unit, unit->append.part_count - 1);
        }
        topic = any_topic(model);
    }
    hand_over(model, unit);
}

/* Sends one of the last five batches of a producer again. */
static bool repeat(struct model *model, struct model_topic *topic, int32_t partition,
                   size_t index) {
    const struct model_batch *batch = &topic->partitions[partition].batches[index];
    struct model_unit *unit = live(model, topic) ? new_unit(model) : NULL;
    if (!unit) {
        return false;
    }
    add_part(model, unit, topic, partition, &batch->spec);
    unit->at[0].duplicate_of = batch->offset;
    hand_over(model, unit);
    return true;
}

/* Whether the batch is among the last five of its producer, and the producer is known. */
static bool in_window(const struct model_partition *partition, size_t index) {
    unsigned later = 0;
    int64_t id = partition->batches[index].spec.producer_id;
    for (size_t i = index + 1; i < partition->count; i++) {
        later += partition->batches[i].spec.producer_id == id;
    }
    return id >= 0 && later < PRODUCER_WINDOW;
}

static void repeat_any(struct model *model) {
    struct model_topic *topic = any_topic(model);
    if (!topic) {
        return;
    }
    int32_t at = (int32_t)roll(model, (uint64_t)topic->partition_count);
    const struct model_partition *partition = &topic->partitions[at];
    for (size_t i = partition->count; i-- > 0 && i + 8 > partition->count;) {
        struct model_producer *producer =
            producer_of(model, partition->batches[i].spec.producer_id);
        if (producer && producer->in_flight == 0 && in_window(partition, i)) {
            producer->in_flight++;
            (void)(repeat(model, topic, at, i) || producer->in_flight--);
            return;
        }
    }
}

/* ---- reading ---- */

static const char *check_bytes(const struct model_batch *batch, const uint8_t *data, size_t size) {
    struct buf *expected = fixture_batch(&batch->spec);
    const char *problem_here = NULL;
    if (size < expected->size || (int64_t)get_be64(data) != batch->offset ||
        memcmp(data + 16, expected->data + 16, expected->size - 16) != 0) {
        problem_here = wrong("batch at offset %lld has other bytes", (long long)batch->offset);
    }
    buf_unref(expected);
    return problem_here;
}

const struct model_batch *batch_with(const struct model_partition *partition, int64_t offset) {
    for (size_t i = partition->count; i-- > 0;) {
        const struct model_batch *batch = &partition->batches[i];
        if (offset >= batch->offset && offset < batch->offset + batch->spec.records) {
            return batch;
        }
    }
    return NULL;
}

bool may_be_compacted(const struct model_topic *topic, const struct model_partition *partition,
                      size_t index, unsigned n) {
    const struct model_batch *batch = &partition->batches[index];
    uint64_t tag = batch->spec.tag + n;
    if (topic->keys == 0) {
        return false;
    }
    /* Its time begins with the first compaction that meets it. */
    bool gone = fixture_is_tombstone(&batch->spec, tag) &&
                model_now_ms(topic->model) - batch->handed_ms >= DELETE_RETENTION_MS;
    for (size_t i = index; i < partition->count && !gone; i++) {
        const struct batch_spec *later = &partition->batches[i].spec;
        for (unsigned k = i == index ? n + 1 : 0; k < later->records; k++) {
            gone |= (later->tag + k) % topic->keys == tag % topic->keys;
        }
    }
    return gone;
}

/* What compaction may leave of a batch: its header, and of its records some, as they were. */
static const char *check_compacted(const struct model_partition *partition, struct span data,
                                   bool *there, size_t there_count) {
    struct record_iterator it;
    struct record record;
    int r = record_batch_check_crc(data) ? record_iterator_init(&it, data) : BROKER_E_CORRUPT;
    if (r) {
        return wrong("a batch of a compacted topic is not readable");
    }
    const struct model_batch *batch = batch_with(partition, it.batch.base_offset);
    const char *bad = NULL;
    if (!batch || batch->offset != it.batch.base_offset ||
        it.batch.last_offset_delta != (int32_t)batch->spec.records - 1 ||
        it.batch.producer_id != batch->spec.producer_id) {
        bad = wrong("the header of the batch at %lld has changed", (long long)it.batch.base_offset);
    }
    while (!bad && (r = record_iterator_next(&it, &record)) == 1) {
        uint64_t tag = batch->spec.tag + (uint64_t)(record.offset - batch->offset);
        uint8_t key = (uint8_t)(tag % batch->spec.keys);
        bool null = fixture_is_tombstone(&batch->spec, tag);
        if (record.key.size != 1 || *(const uint8_t *)record.key.data != key ||
            (record.value.data == NULL) != null ||
            (!null && memcmp(record.value.data, &tag, sizeof tag) != 0) ||
            record.timestamp_ms != batch->spec.timestamp_ms + (record.offset - batch->offset)) {
            bad = wrong("the record at %lld has changed", (long long)record.offset);
        } else if ((size_t)record.offset < there_count) {
            there[record.offset] = true;
        }
    }
    bad = !bad && r ? wrong("a batch of a compacted topic has broken records") : bad;
    record_iterator_deinit(&it);
    return bad;
}

static const struct model_batch *batch_at(const struct model_partition *partition, int64_t offset) {
    for (size_t i = partition->count; i-- > 0;) {
        if (partition->batches[i].offset == offset) {
            return &partition->batches[i];
        }
    }
    return NULL;
}

/* Reads while segments are swapped: what comes begins with the first batch that ends behind the
 * offset, and all of it is as it was written, less what is superseded. */
static const char *check_compacted_read(const struct model_partition *partition, int64_t offset,
                                        const uint8_t *data, size_t size) {
    for (size_t done = 0; done < size;) {
        size_t bytes = (size_t)get_be32(data + done + 8) + 12;
        int64_t end = (int64_t)get_be64(data + done) + (int32_t)get_be32(data + done + 23) + 1;
        const char *bad = end <= offset
                              ? wrong("a read at %lld answers what ends at %lld", (long long)offset,
                                      (long long)end)
                              : check_compacted(partition, span_of(data + done, bytes), NULL, 0);
        if (bad) {
            return bad;
        }
        done += bytes;
        offset = end;
    }
    return NULL;
}

static void read_any(struct model *model) {
    struct model_topic *topic = any_topic(model);
    if (!topic) {
        return;
    }
    int32_t at = (int32_t)roll(model, (uint64_t)topic->partition_count);
    struct model_partition *partition = &topic->partitions[at];
    if (partition->count == 0) {
        return;
    }
    const struct model_batch *batch = &partition->batches[roll(model, partition->count)];
    uint8_t *data = NULL;
    struct topic *real = live(model, topic);
    if (batch->offset >= partition_get(real, at)->high_watermark || model->f->log->failed) {
        return;
    }
    struct model_batch wanted = *batch;
    bool below = wanted.offset < partition_get(real, at)->log_start_offset;
    topic_ref(real);
    ssize_t size = fixture_read(model->f, partition_get(real, at), wanted.offset,
                                1 + (size_t)roll(model, 20000), &data);
    if (size == -TOPIC_E_OUT_OF_RANGE &&
        wanted.offset < partition_get(real, at)->log_start_offset) {
        topic_unref(real); /* perhaps only since the read began */
        return;
    }
    if (size >= 0 && below) {
        fprintf(stderr, "a read below the start of the log answers %zd\n", size);
        abort();
    }
    if (size > 0) {
        const char *bad = topic->keys > 0
                              ? check_compacted_read(partition, wanted.offset, data, (size_t)size)
                              : check_bytes(&wanted, data, (size_t)size);
        if (bad) {
            fprintf(stderr, "read: %s\n", bad);
            abort();
        }
    } else if (size != -TOPIC_E_FULL && !(size == 0 && topic->keys > 0) &&
               !disk_sim_is_cut(model->f->disk) && !model->f->expect_failures) {
        fprintf(stderr, "read answers %zd\n", size);
        abort();
    }
    if (size >= 0) {
        free(data);
    }
    topic_unref(real);
}

void model_act(struct model *model) {
    uint64_t what = roll(model, 100);
    if (model->topic_count == 0 || what < 2) {
        static const char *const sizes[] = {"1500", "6000", "50000"};
        static void (*const kinds[])(struct model *, const char *) = {
            model_create, model_create_compacted, model_create_short_lived};
        const char *size = sizes[roll(model, 3)];
        kinds[roll(model, ARRAY_SIZE(kinds))](model, size);
    } else if (what < 3) {
        model_delete(model);
    } else if (what < 5) {
        model_delete_records(model);
    } else if (what < 6) {
        model_add_partitions(model);
    } else if (what < 60) {
        unsigned parts = roll(model, 4) == 0 ? 1 + (unsigned)roll(model, MODEL_PARTS_MAX) : 1;
        model_append(model, parts, roll(model, 20) == 0 ? 5000 : 8 + (size_t)roll(model, 300));
    } else if (what < 68) {
        repeat_any(model);
    } else if (what < 74) {
        read_any(model);
    } else if (what < 78) {
        model_lookup(model);
    } else {
        for (uint64_t n = roll(model, 30); n > 0 && !disk_sim_is_cut(model->f->disk); n--) {
            fixture_step(model->f);
        }
    }
}

static bool requests_in_flight(const struct model *model) {
    for (unsigned i = 0; i < model->topic_count; i++) {
        if (model->topics[i]->in_flight || front_in_flight(model->topics[i])) {
            return true;
        }
    }
    return false;
}

void model_settle(struct model *model) {
    fixture_until(model->f, (model->in_flight == 0 && !requests_in_flight(model)) ||
                                model->f->log->failed || disk_sim_is_cut(model->f->disk));
}

void model_crashed(struct model *model) {
    for (unsigned i = 0; i < MODEL_IN_FLIGHT; i++) {
        struct model_unit *unit = &model->units[i];
        if (unit->used) {
            unit_finished(unit,
                          TOPIC_E_FAILED); /* remembers what had offsets, as not acknowledged */
        }
    }
    for (unsigned i = 0; i < model->topic_count; i++) {
        front_crashed(model->topics[i]);
    }
}

/* ---- verifying ---- */

/* A compacted partition: of each key the last record is there, and nothing that was not written. */
static const char *verify_compacted(struct model *model, struct model_topic *topic, int32_t at,
                                    struct partition *real, size_t *ret_found) {
    struct model_partition *partition = &topic->partitions[at];
    size_t end = (size_t)real->high_watermark;
    bool *there = calloc(end + 1, sizeof *there);
    const char *bad = NULL;
    const int64_t start = real->log_start_offset;
    for (int64_t offset = start; offset < real->high_watermark && !bad;) {
        uint8_t *data = NULL;
        ssize_t size = fixture_read(model->f, real, offset, 1 + (size_t)roll(model, 30000), &data);
        if (size < 0) {
            bad = wrong("%s-%d: reading at %lld answers %zd", topic->name, at, (long long)offset,
                        size);
            break;
        }
        offset = size == 0 ? real->high_watermark : offset;
        for (size_t done = 0; done < (size_t)size && !bad;) {
            size_t bytes = (size_t)get_be32(data + done + 8) + 12;
            int64_t base = (int64_t)get_be64(data + done);
            int64_t next = base + (int32_t)get_be32(data + done + 23) + 1;
            bad = next <= offset
                      ? wrong("%s-%d: offsets go back to %lld", topic->name, at, (long long)base)
                      : check_compacted(partition, span_of(data + done, bytes), there, end);
            done += bytes;
            offset = next;
        }
        free(data);
    }
    size_t found = 0;
    while (found < partition->count && partition->batches[found].offset < real->high_watermark) {
        found++;
    }
    bool seen[16] = {0}, gone[16] = {0};
    for (int64_t offset = (int64_t)end - 1; offset >= start && !bad; offset--) {
        const struct model_batch *batch = batch_with(partition, offset);
        if (!batch) {
            bad = wrong("%s-%d: nothing was appended at %lld", topic->name, at, (long long)offset);
            break;
        }
        uint64_t tag = batch->spec.tag + (uint64_t)(offset - batch->offset);
        unsigned key = (unsigned)(tag % topic->keys);
        if (there[offset] && gone[key] && !fixture_is_tombstone(&batch->spec, tag)) {
            bad = wrong("%s-%d: key %u was deleted, and its record at %lld is back", topic->name,
                        at, key, (long long)offset);
        } else if (!there[offset] && !seen[key] && fixture_is_tombstone(&batch->spec, tag)) {
            gone[key] = true; /* its time is over; what it stands for must be gone as well */
            model->tombstones_gone++;
        } else if (!there[offset] && !seen[key]) {
            bad = wrong("%s-%d: the last record of key %u, at %lld, is lost", topic->name, at, key,
                        (long long)offset);
        }
        model->compacted += !there[offset];
        seen[key] = true;
    }
    free(there);
    if (!bad &&
        (partition->seen > real->high_watermark || real->high_watermark != real->log_end_offset)) {
        bad = wrong("%s-%d: high watermark %lld, log end %lld, seen %lld", topic->name, at,
                    (long long)real->high_watermark, (long long)real->log_end_offset,
                    (long long)partition->seen);
    }
    *ret_found = found;
    return bad;
}

/* Reads one partition from the start; *ret_found tells how many batches of the model are there. */
static const char *verify_partition(struct model *model, struct model_topic *topic, int32_t at,
                                    struct partition *real, size_t *ret_found) {
    struct model_partition *partition = &topic->partitions[at];
    const int64_t start = real->log_start_offset;
    const struct model_batch *first = batch_with(partition, start);
    int64_t offset = first ? first->offset : start;
    size_t found = front_count(partition, start);
    while (MAX(offset, start) < real->high_watermark) {
        uint8_t *data = NULL;
        ssize_t size =
            fixture_read(model->f, real, MAX(offset, start), 1 + (size_t)roll(model, 30000), &data);
        if (size <= 0) {
            return wrong("%s-%d: reading at %lld answers %zd", topic->name, at, (long long)offset,
                         size);
        }
        for (size_t done = 0; done < (size_t)size;) {
            const struct model_batch *batch = batch_at(partition, offset);
            const char *bad = batch ? check_bytes(batch, data + done, (size_t)size - done)
                                    : wrong("%s-%d: nothing was appended at %lld", topic->name, at,
                                            (long long)offset);
            if (bad) {
                free(data);
                return bad;
            }
            done += (size_t)get_be32(data + done + 8) + 12;
            offset += batch->spec.records;
            found++;
        }
        free(data);
    }
    if (MAX(offset, start) != real->high_watermark ||
        real->high_watermark != real->log_end_offset) {
        return wrong("%s-%d: high watermark %lld, log end %lld, batches to %lld", topic->name, at,
                     (long long)real->high_watermark, (long long)real->log_end_offset,
                     (long long)offset);
    }
    if (partition->seen > real->high_watermark) {
        return wrong("%s-%d: high watermark went back from %lld to %lld", topic->name, at,
                     (long long)partition->seen, (long long)real->high_watermark);
    }
    *ret_found = found;
    return NULL;
}

struct unit_parts {
    uint32_t present, absent;
};

static const char *verify_topic(struct model *model, struct model_topic *topic, struct topic *real,
                                struct unit_parts *units, uint32_t first_unit) {
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct model_partition *partition = &topic->partitions[i];
        size_t found = 0;
        struct partition *there = partition_get(real, i); /* NULL: it was not added after all */
        const char *bad = there ? front_check(model, topic, i, there) : NULL;
        if (!bad && there) {
            bad = (topic->keys > 0 ? verify_compacted : verify_partition)(model, topic, i, there,
                                                                          &found);
        }
        if (bad) {
            return bad;
        }
        bool may_lose = topic->early && (!there || there->leader_epoch > partition->epoch);
        int32_t epoch = partition->epoch;
        partition->epoch = there ? there->leader_epoch : 0;
        for (size_t n = 0; n < partition->count; n++) {
            struct model_batch *batch = &partition->batches[n];
            if (n >= found && batch->acked && may_lose) {
                model->lost_early++;
            } else if (n >= found && batch->acked) {
                return wrong("%s-%d: acknowledged batch at %lld is lost, log from %lld to %lld%s, "
                             "epoch %d after %d",
                             topic->name, i, (long long)batch->offset,
                             (long long)(there ? there->log_start_offset : -1),
                             (long long)(there ? there->high_watermark : -1),
                             topic->early ? ", flush.ms" : "", partition->epoch, epoch);
            }
            if (batch->unit >= first_unit) {
                struct unit_parts *unit = &units[batch->unit - first_unit];
                *(n < found ? &unit->present : &unit->absent) += 1;
                if (unit->present && unit->absent) {
                    return wrong("%s-%d: an atomic unit is there in part", topic->name, i);
                }
            }
            batch->unit = 0;
        }
        partition->count = found;
        model->verified += found;
        bad = there ? lookup_check(model, topic, i, there) : NULL;
        if (bad) {
            return bad;
        }
    }
    topic->partition_count = topic->sure_count = real->partition_count;
    return NULL;
}

static const char *verify_existence(struct model_topic *topic, struct topic *real) {
    bool must = topic->state == MODEL_CREATED;
    bool must_not = topic->state == MODEL_DELETED;
    if (must && !real) {
        return wrong("topic %s is gone", topic->name);
    }
    if (must_not && real) {
        return wrong("deleted topic %s is back", topic->name);
    }
    if (real && (real->partition_count < topic->sure_count ||
                 real->partition_count > topic->partition_count ||
                 !span_equal(span_text(real->name), span_text(topic->name)))) {
        return wrong("topic %s has changed", topic->name);
    }
    topic->state = real ? MODEL_CREATED : MODEL_DELETED;
    topic->in_flight = false;
    return NULL;
}

static const char *verify_producers(struct model *model) {
    for (unsigned p = 0; p < MODEL_PRODUCERS; p++) {
        memset(&model->producers[p].topic, 0, sizeof model->producers[p].topic);
    }
    for (unsigned t = 0; t < model->topic_count; t++) {
        struct model_topic *topic = model->topics[t];
        for (int32_t i = 0; live(model, topic) && i < topic->partition_count; i++) {
            size_t count = topic->partitions[i].count;
            for (size_t n = count > 12 ? count - 12 : 0; n < count; n++) {
                if (in_window(&topic->partitions[i], n)) {
                    fixture_until(model->f,
                                  model->in_flight < 8 || disk_sim_is_cut(model->f->disk));
                    (void)repeat(model, topic, i, n);
                }
            }
        }
    }
    fixture_until(model->f, model->in_flight == 0 || disk_sim_is_cut(model->f->disk));
    return NULL;
}

const char *model_verify(struct model *model) {
    uint32_t first_unit = UINT32_MAX;
    for (unsigned t = 0; t < model->topic_count; t++) {
        for (int32_t i = 0; i < model->topics[t]->partition_count; i++) {
            struct model_partition *partition = &model->topics[t]->partitions[i];
            for (size_t n = 0; n < partition->count; n++) {
                if (partition->batches[n].unit > 0) {
                    first_unit = MIN(first_unit, partition->batches[n].unit);
                }
            }
        }
    }
    size_t count = first_unit == UINT32_MAX ? 1 : model->next_unit - first_unit + 1;
    struct unit_parts *units = calloc(count, sizeof *units);
    const char *bad = NULL;
    for (unsigned t = 0; t < model->topic_count && !bad; t++) {
        struct model_topic *topic = model->topics[t];
        struct topic *real = topic_log_find_id(model->f->log, &topic->id);
        bad = verify_existence(topic, real);
        if (!bad && real) {
            bad = verify_topic(model, topic, real, units, first_unit);
        }
    }
    free(units);
    /* Nothing that was never made. */
    size_t position = 0;
    struct topic *real;
    while (!bad && (real = topic_log_next(model->f->log, &position)) != NULL) {
        bool known = real->number == 0;
        for (unsigned t = 0; t < model->topic_count; t++) {
            known |= memcmp(&model->topics[t]->id, &real->id, sizeof real->id) == 0;
        }
        bad = known ? NULL : wrong("topic %s was never made", real->name);
    }
    return bad ? bad : verify_producers(model);
}
