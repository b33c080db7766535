/*
 * Lookups by time against the model: of what can be read, the first record that is not older; or
 * one that none is newer than. Whoever begins to read there must miss nothing.
 *
 * A log that moves on meanwhile may answer as of any moment between question and answer. What
 * compaction may have removed need not be found, and may be.
 */
#include "log_model_private.h"

enum { LARGEST = -3 };

struct question {
    const struct model_topic *topic;
    const struct model_partition *partition;
    int64_t timestamp_ms;
    int64_t start_before, start_after, visible; /* of the log, around the lookup */
};

static int64_t time_of(const struct model_batch *batch, int64_t offset) {
    return batch->spec.timestamp_ms + (offset - batch->offset);
}

/* A record that had to be found instead; below 0: there is none. */
static int64_t passed_over(const struct question *question, int64_t answer, int64_t answer_ms) {
    bool largest = question->timestamp_ms < 0;
    int64_t end = answer >= 0 && !largest ? answer : question->visible;
    for (size_t i = 0; i < question->partition->count; i++) {
        const struct model_batch *batch = &question->partition->batches[i];
        for (unsigned n = 0; n < batch->spec.records; n++) {
            int64_t offset = batch->offset + n, ms = time_of(batch, offset);
            bool wanted = largest ? answer < 0 || ms > answer_ms : ms >= question->timestamp_ms;
            if (wanted && offset >= question->start_after && offset < end &&
                !may_be_compacted(question->topic, question->partition, i, n)) {
                return offset;
            }
        }
    }
    return -1;
}

static const char *judge(const struct question *question, const struct partition_lookup *lookup) {
    int64_t answer = lookup->ret_offset, ms = lookup->ret_timestamp_ms;
    const char *name = question->topic->name;
    const struct model_batch *batch = answer >= 0 ? batch_with(question->partition, answer) : NULL;
    if (answer >= 0 && (!batch || time_of(batch, answer) != ms)) {
        return wrong("%s: the lookup of %lld answers %lld with %lld, which was not appended there",
                     name, (long long)question->timestamp_ms, (long long)answer, (long long)ms);
    }
    if (answer >= 0 && question->timestamp_ms >= 0 &&
        (ms < question->timestamp_ms || answer < question->start_before)) {
        return wrong("%s: the lookup of %lld answers %lld with %lld, start %lld", name,
                     (long long)question->timestamp_ms, (long long)answer, (long long)ms,
                     (long long)question->start_before);
    }
    int64_t passed = passed_over(question, answer, ms);
    return passed < 0
               ? NULL
               : wrong("%s: the lookup of %lld answers %lld and passes %lld over", name,
                       (long long)question->timestamp_ms, (long long)answer, (long long)passed);
}

/* The time of a record or just behind it, of the newest one, of none. */
static int64_t any_time(struct model *model, const struct model_partition *partition) {
    uint64_t what = roll(model, 12);
    if (what < 2 || partition->count == 0) {
        return what == 0 ? 0 : LARGEST;
    }
    const struct model_batch *batch = &partition->batches[roll(model, partition->count)];
    return what == 2 ? INT64_MAX
                     : batch->spec.timestamp_ms + (int64_t)roll(model, batch->spec.records + 1);
}

/* *ret_status is that of the lookup; where it is not 0 nothing is judged. */
static const char *ask(struct model *model, struct model_topic *topic, int32_t at,
                       struct partition *real, int *ret_status) {
    struct model_partition *partition = &topic->partitions[at];
    struct question question = {.topic = topic,
                                .partition = partition,
                                .timestamp_ms = any_time(model, partition),
                                .start_before = real->log_start_offset,
                                .visible = real->high_watermark};
    struct partition_lookup lookup;
    topic_ref(real->topic);
    *ret_status = fixture_lookup_all(model->f, real, question.timestamp_ms, &lookup);
    question.start_after = real->log_start_offset;
    topic_unref(real->topic);
    model->lookups += *ret_status == 0;
    return *ret_status ? NULL : judge(&question, &lookup);
}

const char *lookup_check(struct model *model, struct model_topic *topic, int32_t at,
                         struct partition *real) {
    const char *bad = NULL;
    for (unsigned n = 0; n < 3 && !bad; n++) {
        int status;
        bad = ask(model, topic, at, real, &status);
        if (status && status != TOPIC_E_FULL) {
            bad = wrong("%s-%d: a lookup by time answers %d", topic->name, at, status);
        }
    }
    return bad;
}

void model_lookup(struct model *model) {
    struct model_topic *topic = any_topic(model);
    if (!topic || model->f->log->failed) {
        return;
    }
    int32_t at = (int32_t)roll(model, (uint64_t)topic->partition_count);
    int status;
    const char *bad = ask(model, topic, at, partition_get(live(model, topic), at), &status);
    bool known = status == 0 || status == TOPIC_E_FULL ||
                 (status == TOPIC_E_UNKNOWN && topic->state != MODEL_CREATED);
    if (bad || !(known || disk_sim_is_cut(model->f->disk) || model->f->expect_failures)) {
        fprintf(stderr, "seed %llu: lookup: %s, status %d\n",
                (unsigned long long)model->f->first_seed, bad ? bad : "fails", status);
        abort();
    }
}
