/*
 * The front of logs: DeleteRecords, retention by size and by age, and partitions that are added.
 *
 * The start of a log never goes back once it was confirmed. It is beyond what DeleteRecords has
 * asked for only where retention says so: what is left is at least retention.bytes, or everything
 * that is gone was old enough.
 */
#include "log_model_private.h"

#include <string.h>

enum { RETENTION_BYTES = 3000, RETENTION_MS = 400, VARINT_BYTES = 10 };

/* ---- acts ---- */

void front_config(struct model *model, struct model_topic *topic,
                  struct topic_config_entry *configs) {
    topic->deletes = true;
    if (topic->keys > 0) {
        *configs++ = (struct topic_config_entry){"cleanup.policy", "compact,delete"};
    }
    if (roll(model, 2) == 0) {
        topic->retention_bytes = RETENTION_BYTES;
        *configs = (struct topic_config_entry){"retention.bytes", "3000"};
    } else {
        topic->retention_ms = RETENTION_MS;
        *configs = (struct topic_config_entry){"retention.ms", "400"};
    }
}

int64_t front_date(struct model *model) {
    switch (roll(model, 6)) {
    case 0:
        return model_now_ms(model) - (int64_t)roll(model, 2000);
    case 1:
        return model_now_ms(model) + (int64_t)roll(model, 3000000);
    default:
        return model_now_ms(model);
    }
}

static void must_be_known(const char *act, int r) {
    if (r != TOPIC_E_FULL && r != TOPIC_E_FAILED) {
        fprintf(stderr, "%s answers %d, %s\n", act, r, err_text(r));
        abort();
    }
}

static void on_start(struct topic_log_request *request, int status) {
    struct model_partition *partition = container_of(request, struct model_partition, start_change);
    partition->start_in_flight = false;
    if (status == 0) {
        partition->start_sure = MAX(partition->start_sure, partition->start_wanted);
        partition->starts++;
    }
}

void model_delete_records(struct model *model) {
    struct model_topic *topic = any_topic(model);
    if (!topic || !topic->deletes) {
        return;
    }
    int32_t at = (int32_t)roll(model, (uint64_t)topic->partition_count);
    struct model_partition *partition = &topic->partitions[at];
    struct partition *real = partition_get(live(model, topic), at);
    if (partition->start_in_flight) {
        return;
    }
    int64_t offset =
        roll(model, 4) == 0 ? -1 : (int64_t)roll(model, (uint64_t)real->high_watermark + 1);
    partition->start_wanted = offset < 0 ? real->high_watermark : offset;
    partition->start_change.done = on_start;
    partition->start_in_flight = true;
    int r = topic_log_delete_records(model->f->log, real, offset, &partition->start_change);
    if (r) {
        partition->start_in_flight = false;
        must_be_known("DeleteRecords", r);
        return;
    }
    partition->start_asked = MAX(partition->start_asked, partition->start_wanted);
}

static void on_widened(struct topic_log_request *request, int status) {
    struct model_topic *topic = container_of(request, struct model_topic, widening);
    topic->is_widening = false;
    if (status == 0) {
        topic->sure_count = topic->partition_count;
        topic->model->widened++;
    }
}

void model_add_partitions(struct model *model) {
    struct model_topic *topic = any_topic(model);
    if (!topic || topic->is_widening || topic->partition_count == MODEL_PARTITIONS_MAX) {
        return;
    }
    topic->widening.done = on_widened;
    topic->is_widening = true;
    int r = topic_log_add_partitions(model->f->log, live(model, topic), topic->partition_count + 1,
                                     &topic->widening);
    if (r) {
        topic->is_widening = false;
        must_be_known("adding partitions", r);
        return;
    }
    topic->partition_count++;
}

bool front_in_flight(const struct model_topic *topic) {
    bool any = topic->is_widening;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        any |= topic->partitions[i].start_in_flight;
    }
    return any;
}

void front_crashed(struct model_topic *topic) {
    topic->is_widening = false;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        topic->partitions[i].start_in_flight = false;
    }
}

/* ---- checks ---- */

size_t front_count(const struct model_partition *partition, int64_t start) {
    size_t count = 0;
    while (count < partition->count &&
           partition->batches[count].offset + partition->batches[count].spec.records <= start) {
        count++;
    }
    return count;
}

/* When the newest record of a batch was written that compaction cannot have taken; INT64_MIN
 * without one. A date in the future counts as the moment when the log got it. */
static int64_t newest_left_ms(const struct model_topic *topic,
                              const struct model_partition *partition, size_t index) {
    const struct model_batch *batch = &partition->batches[index];
    int64_t newest_ms = INT64_MIN;
    for (unsigned n = 0; n < batch->spec.records; n++) {
        if (!may_be_compacted(topic, partition, index, n)) {
            newest_ms = MIN(batch->spec.timestamp_ms + n, batch->handed_ms);
        }
    }
    return newest_ms;
}

static bool retention_says_so(const struct model *model, const struct model_topic *topic,
                              const struct model_partition *partition, int64_t start) {
    size_t gone = front_count(partition, start);
    uint64_t left = 0;
    for (size_t i = gone; i < partition->count; i++) {
        const struct model_batch *batch = &partition->batches[i];
        /* A delete horizon in a batch makes the timestamps of its records longer. */
        left += batch->bytes + (topic->keys > 0 ? batch->spec.records * VARINT_BYTES : 0);
    }
    if (topic->retention_bytes >= 0 && left >= (uint64_t)topic->retention_bytes) {
        return true;
    }
    /* What DeleteRecords has asked for may be as young as it likes. */
    for (size_t i = front_count(partition, partition->start_asked);
         i < gone && topic->retention_ms >= 0; i++) {
        /* A segment is as old as the newest record that is left of it. */
        int64_t newest_ms = newest_left_ms(topic, partition, i);
        if (newest_ms != INT64_MIN && model_now_ms(model) - newest_ms <= topic->retention_ms) {
            return false;
        }
    }
    return topic->retention_ms >= 0;
}

const char *front_check(struct model *model, struct model_topic *topic, int32_t at,
                        struct partition *real) {
    struct model_partition *partition = &topic->partitions[at];
    int64_t start = real->log_start_offset;
    if (start < partition->start_sure || start > real->high_watermark) {
        return wrong("%s-%d: the log starts at %lld, not from %lld to %lld", topic->name, at,
                     (long long)start, (long long)partition->start_sure,
                     (long long)real->high_watermark);
    }
    if (start > partition->start_asked) {
        if (!retention_says_so(model, topic, partition, start)) {
            return wrong("%s-%d: the log starts at %lld, and only %lld was asked for", topic->name,
                         at, (long long)start, (long long)partition->start_asked);
        }
        model->expired++;
    }
    if (start > 0) {
        uint8_t *data = NULL;
        ssize_t size =
            fixture_read(model->f, real, (int64_t)roll(model, (uint64_t)start), 1000, &data);
        if (size >= 0) {
            free(data);
        }
        if (size != -TOPIC_E_OUT_OF_RANGE) {
            return wrong("%s-%d: reading below the start answers %zd", topic->name, at, size);
        }
    }
    model->starts += partition->starts;
    partition->starts = 0;
    partition->start_sure = partition->start_asked = MAX(start, real->log_start_offset);
    return NULL;
}
