#include "produce_open.h"

#include "codec.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>
#include <eventbox/base/error.h>
#include <eventbox/loop/op.h>

#include <errno.h>

enum { AT_LENGTH = 8, AT_CRC = 17, AT_ATTRIBUTES = 21, LENGTH_FROM = 12, NO_TIMESTAMP = -1 };

/* ---- what a topic demands ---- */

static int64_t before(int64_t now_ms, int64_t span_ms) {
    return span_ms >= now_ms ? INT64_MIN : now_ms - span_ms;
}

static int64_t after(int64_t now_ms, int64_t span_ms) {
    return span_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + span_ms;
}

bool produce_rules_of(const struct broker *broker, const struct topic *topic,
                      const struct record_batch *batch, struct produce_rules *ret_rules) {
    const struct topic_log *log = broker->log;
    int codec = topic_config_codec(log, topic);
    int64_t now_ms = clock_wall_ms(broker->clock);

    *ret_rules = (struct produce_rules){codec, INT64_MIN, INT64_MAX, INT64_MIN};
    if (codec == (batch->attributes & RECORD_BATCH_CODEC_MASK)) {
        ret_rules->codec = -1;
    }
    if (!topic_config_append_time(log, topic)) {
        int64_t before_ms = topic_config_int(log, topic, TOPIC_TIMESTAMP_BEFORE_MAX_MS);

        ret_rules->earliest_ms = before(now_ms, before_ms);
        ret_rules->earliest_told_ms = now_ms - before_ms;
        ret_rules->latest_ms =
            after(now_ms, topic_config_int(log, topic, TOPIC_TIMESTAMP_AFTER_MAX_MS));
    }
    /* The header has the latest timestamp of all, but not the earliest. */
    return ret_rules->codec >= 0 || ret_rules->earliest_ms != INT64_MIN ||
           batch->max_timestamp_ms > ret_rules->latest_ms;
}

/* ---- looking into a batch. Thread: any ---- */

static int check_times(struct produce_open *open, struct record_iterator *it) {
    const struct produce_rules *rules = &open->rules;
    struct record record;

    for (int32_t i = 0; i < it->batch.record_count; i++) {
        int r = record_iterator_next(it, &record);

        if (r != 1) {
            return r < 0 ? r : BROKER_E_INVALID_RECORD;
        }
        if (record.timestamp_ms == NO_TIMESTAMP || (record.timestamp_ms >= rules->earliest_ms &&
                                                    record.timestamp_ms <= rules->latest_ms)) {
            continue;
        }
        if (open->bad_count < PRODUCE_BAD_TIMES_MAX) {
            open->bad[open->bad_count] = (struct produce_bad_time){i, record.timestamp_ms};
        }
        open->bad_count++;
    }
    return 0;
}

/* The same header, the records by another codec. */
static int store_anew(struct produce_open *open, const struct record_iterator *it) {
    struct text out;
    int16_t attributes = it->batch.attributes;
    int r = 0;

    text_init(&out);
    text_append(&out, open->batch.data, RECORD_BATCH_HEADER_BYTES);
    if (open->rules.codec == RECORD_CODEC_NONE) {
        text_append(&out, it->records.data, it->records.size);
    } else {
        r = codec_deflate((enum record_codec)open->rules.codec, it->records, &out);
    }
    if (!r && !text_failed(&out)) {
        attributes = (int16_t)((attributes & ~RECORD_BATCH_CODEC_MASK) | open->rules.codec);
        put_be32(out.data + AT_LENGTH, (uint32_t)(out.size - LENGTH_FROM));
        put_be16(out.data + AT_ATTRIBUTES, (uint16_t)attributes);
        put_be32(out.data + AT_CRC, crc32c(0, out.data + AT_ATTRIBUTES, out.size - AT_ATTRIBUTES));
        open->buf = text_steal_buf(&out);
    }
    text_deinit(&out);
    return r ? r : open->buf ? 0 : -ENOMEM;
}

static void look_inside(struct produce_open *open) {
    struct span bytes = span_of(open->batch.data, open->batch.size);
    struct record_iterator it;

    if (!record_batch_check_crc(bytes)) { /* what is made anew would hide it */
        open->code = BROKER_E_CORRUPT;
        return;
    }
    open->code = record_iterator_init(&it, bytes);
    if (!open->code) {
        open->code = check_times(open, &it);
    }
    if (!open->code && open->bad_count == 0 && open->rules.codec >= 0) {
        open->code = store_anew(open, &it);
    }
    record_iterator_deinit(&it);
}

/* ---- the thread ---- */

static void on_run(struct work *work) {
    look_inside(container_of(work, struct produce_open, work));
}

static void on_done(struct work *work) {
    struct produce_open *open = container_of(work, struct produce_open, work);

    list_remove(&open->link);
    open->done(open);
}

bool produce_open_must_wait(const struct broker *broker, const struct partition *partition) {
    list_for_each(link, &broker->opens) {
        if (list_entry(link, struct produce_open, link)->partition == partition) {
            return true;
        }
    }
    return false;
}

int produce_open(struct broker *broker, struct produce_open *open) {
    const uint8_t *data = open->batch.data;
    bool plain = (data[AT_ATTRIBUTES + 1] & RECORD_BATCH_CODEC_MASK) == RECORD_CODEC_NONE &&
                 open->rules.codec < 0 && open->batch.size <= PRODUCE_INLINE_BYTES;
    int r;

    if (!broker->opener || (plain && !produce_open_must_wait(broker, open->partition))) {
        look_inside(open);
        return 0;
    }
    open->work.run = on_run;
    open->work.done = on_done;
    r = worker_submit(broker->opener, &open->work);
    if (r) {
        return r;
    }
    list_push_back(&broker->opens, &open->link);
    return OP_WAIT;
}

int produce_thread_start(struct broker *broker) {
    const struct worker_config config = {
        .name = "produce", .threads = 1, .queue_max = PRODUCE_QUEUE_MAX, .nice = 5};

    return broker->config->work
               ? err_trace(worker_new(broker->config->work, broker->loop, &config, &broker->opener))
               : 0;
}

void produce_thread_stop(struct broker *broker, void (*done)(void *userdata), void *userdata) {
    struct worker *worker = broker->opener;

    broker->opener = NULL;
    if (worker) {
        worker_stop(worker, done, userdata);
    } else {
        done(userdata);
    }
}
