/*
 * Input: one byte of choices, then a record batch whose records are taken as they are, not
 * compressed. Bit 0: they are skipped through, as compressed ones that stay as they are; bits 1 and
 * 2: the topic is compacted, or gives the time itself.
 *
 * Whatever comes: a walk stays inside the records, and what it takes for good can be made anew; the
 * new batch is whole, every reader of ours can read it, it says the same, and made anew once more
 * it stays as it is.
 */
#include "codec.h"
#include "produce_records.h"
#include "produce_rewrite.h"

#include <eventbox/base/bytes.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICE_SKIPS = 1, CHOICE_KEYS = 2, CHOICE_APPEND_TIME = 4, NOW_MS = 1000000 };

static void require(bool condition) {
    if (!condition) {
        abort();
    }
}

/* Our other reader takes it too, and finds as many records. */
static void check_readable(struct span bytes, int32_t count) {
    struct record_iterator it;
    struct record record;
    int32_t found = 0;
    int r = record_iterator_init(&it, bytes);

    require(r == 0);
    while ((r = record_iterator_next(&it, &record)) == 1) {
        struct record_header header;
        size_t position = 0;

        while (record_header_next(&record, &position, &header) == 1) {
        }
        require(position == record.headers_size);
        require((uint64_t)record.offset == (uint64_t)it.batch.base_offset + (uint64_t)found++);
    }
    require(r == 0 && found == count);
    record_iterator_deinit(&it);
}

static void check_again(const struct produce_rules *rules, const struct buf *made,
                        const struct produce_report *first) {
    struct span bytes = span_of(made->data, made->size);
    struct produce_report report;
    struct record_batch batch;
    struct buf *again;

    require(record_batch_check_crc(bytes) && record_batch_parse(bytes, &batch) == 0);
    require(batch.total_bytes == made->size);
    check_readable(bytes, batch.record_count);
    require(produce_records_check(rules, &batch, batch.records, false, &report) == 0);
    require(report.in_order && report.max_timestamp_ms == first->max_timestamp_ms);
    require(produce_rewrite(rules, &batch, made->data, batch.records, &report, &again) == 0);
    require(span_equal(bytes, span_of(again->data, again->size)));
    produce_report_deinit(&report);
    buf_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct produce_rules rules = {
        .codec = RECORD_CODEC_NONE, .now_ms = NOW_MS, .before_ms = INT64_MAX, .after_ms = 3600000};
    struct produce_report report;
    struct record_batch batch;
    struct buf *made = NULL;
    bool skips;
    int r;

    if (size < 1 || record_batch_parse(span_of(data + 1, size - 1), &batch)) {
        return 0;
    }
    skips = data[0] & CHOICE_SKIPS;
    rules.keys = data[0] & CHOICE_KEYS;
    rules.append_time = data[0] & CHOICE_APPEND_TIME;
    r = produce_records_check(&rules, &batch, batch.records, skips, &report);
    require(r == 0 || r == BROKER_E_INVALID_RECORD || r == BROKER_E_MALFORMED);
    require(report.kept <= report.count && report.count <= batch.record_count);
    require(report.kept <= PRODUCE_FAULTS_MAX);
    if (r == 0 && !skips) {
        r = produce_rewrite(&rules, &batch, data + 1, batch.records, &report, &made);
        require(r == (made ? 0 : BROKER_E_INVALID_RECORD));
    }
    if (made) {
        check_again(&rules, made, &report);
    }
    buf_unref(made);
    produce_report_deinit(&report);
    return 0;
}
