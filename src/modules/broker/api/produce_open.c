#include "produce_open.h"

#include "codec.h"
#include "handler.h"
#include "kafka_error.h"
#include "produce_rewrite.h"

#include <eventbox/base/error.h>
#include <eventbox/loop/op.h>

#include <errno.h>

enum { AFTER_MAX_DEFAULT_MS = 3600000 };

/* ---- what a topic demands ---- */

void produce_rules_of(const struct broker *broker, const struct topic *topic, int codec,
                      struct produce_rules *ret_rules) {
    const struct topic_log *log = broker->log;
    int wanted = topic_config_codec(log, topic);

    *ret_rules = (struct produce_rules){
        .codec = wanted == codec ? -1 : wanted,
        .keys = topic_config_compacts(log, topic),
        .append_time = topic_config_append_time(log, topic),
        .now_ms = clock_wall_ms(broker->clock),
        .before_ms = topic_config_int(log, topic, TOPIC_TIMESTAMP_BEFORE_MAX_MS),
        .after_ms = topic_config_int(log, topic, TOPIC_TIMESTAMP_AFTER_MAX_MS),
    };
}

/*
 * Every topic has a limit for timestamps in the future, of an hour unless it is changed. To open
 * every batch for that is more than a config that nobody has set may demand, so the default is held
 * against what the header tells: the first timestamp and the largest. A limit that somebody has set
 * is held against every record, and so is one for the past, of which the header knows little.
 */
static bool limits_times(const struct produce_rules *rules, const struct record_batch *batch) {
    bool set = rules->before_ms != INT64_MAX ||
               (rules->after_ms != INT64_MAX && rules->after_ms != AFTER_MAX_DEFAULT_MS);

    return !rules->append_time && (set || produce_time_is_off(rules, batch->max_timestamp_ms) ||
                                   produce_time_is_off(rules, batch->base_timestamp_ms));
}

bool produce_must_open(const struct produce_rules *rules, const struct record_batch *batch) {
    return rules->codec >= 0 || rules->keys || limits_times(rules, batch) ||
           batch->attributes & RECORD_BATCH_LOG_APPEND_TIME; /* only the broker may claim that */
}

/* ---- looking into a batch. Thread: any ---- */

bool produce_open_skips(const struct produce_open *open) {
    const uint8_t *data = open->batch.data;

    return open->rules.codec < 0 && data[RECORD_BATCH_AT_ATTRIBUTES + 1] & RECORD_BATCH_CODEC_MASK;
}

static int16_t look(struct produce_open *open, const struct record_batch *batch,
                    struct span records) {
    struct produce_report *report = &open->report;
    bool skips = produce_open_skips(open);
    int r = produce_records_check(&open->rules, batch, records, skips, report);

    if (r == BROKER_E_MALFORMED) {
        return batch->attributes & RECORD_BATCH_CODEC_MASK ? KAFKA_INVALID_RECORD
                                                           : KAFKA_UNKNOWN_SERVER_ERROR;
    }
    if (r || report->count > 0) {
        return r ? kafka_error_of(r) : 0;
    }
    if (open->rules.codec >= 0) {
        r = produce_rewrite(&open->rules, batch, open->batch.data, records, report, &open->buf);
        return r == BROKER_E_INVALID_RECORD ? KAFKA_UNKNOWN_SERVER_ERROR : kafka_error_of(r);
    }
    /* Kafka would make it anew, from records that it has not kept, and fails at that. */
    return skips && !report->in_order ? KAFKA_UNKNOWN_SERVER_ERROR : 0;
}

/* Kafka reads the records as they come out of the stream: where that breaks off, it has not met
 * what may be wrong behind the break, but what was wrong before it has an error of its own. */
static int16_t look_at_part(struct produce_open *open, const struct record_batch *batch,
                            struct span records) {
    int r = produce_records_check(&open->rules, batch, records, produce_open_skips(open),
                                  &open->report);
    bool wrong = r == BROKER_E_MALFORMED || (r == BROKER_E_INVALID_RECORD && !open->report.ran_out);

    return wrong ? KAFKA_INVALID_RECORD : KAFKA_UNKNOWN_SERVER_ERROR;
}

static int16_t inflate_and_look(struct produce_open *open, const struct record_batch *batch) {
    enum record_codec codec = batch->attributes & RECORD_BATCH_CODEC_MASK;
    struct buf *inflated = NULL;
    int16_t error;
    int r = codec_inflate_part(codec, batch->records, CODEC_INFLATED_MAX_BYTES, &inflated);

    if (r == BROKER_E_CORRUPT) {
        error = look_at_part(open, batch, span_of(inflated->data, inflated->size));
    } else {
        error = r ? kafka_error_of(r) : look(open, batch, span_of(inflated->data, inflated->size));
    }
    buf_unref(inflated);
    return error;
}

void produce_open_now(struct produce_open *open) {
    struct span bytes = span_of(open->batch.data, open->batch.size);
    bool checked = open->rules.codec >= 0; /* what is made anew would hide it */
    struct record_batch batch;

    open->report = PRODUCE_REPORT_EMPTY;
    if (open->pass) {
        return;
    }
    if (record_batch_parse(bytes, &batch) || (checked && !record_batch_check_crc(bytes))) {
        open->error = KAFKA_CORRUPT_MESSAGE;
        return;
    }
    open->error = batch.attributes & RECORD_BATCH_CODEC_MASK ? inflate_and_look(open, &batch)
                                                             : look(open, &batch, batch.records);
    /* What came damaged is another matter than what was made wrong: it may be sent again. */
    if (!checked && (open->error || open->report.count > 0) && !record_batch_check_crc(bytes)) {
        open->error = KAFKA_CORRUPT_MESSAGE;
    }
}

/* ---- the thread ---- */

static void on_run(struct work *work) {
    struct produce_open *open = container_of(work, struct produce_open, work);

    produce_open_now(open);
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
    int r;

    if (!broker->opener) {
        produce_open_now(open);
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
