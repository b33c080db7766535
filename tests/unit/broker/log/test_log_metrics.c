/* What /metrics tells of the log's queues and files, under the names that it has there. */
#include "broker.h"
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { VALUE_BYTES = 1000, ROWS_MAX = 200, APPENDS_MAX = 200 };

static int64_t shown(const struct fixture *f, const char *name) {
    struct metric metrics[ROWS_MAX] = {0};
    size_t count = 0, at = ROWS_MAX;
    for (const struct metric_row *row = broker_metric_rows; row->name; row++, count++) {
        at = strcmp(row->name, name) == 0 ? count : at;
    }
    assert_true(count <= ROWS_MAX);
    assert_true(at < count);
    broker_collect_log(f->log, metrics);
    return metrics[at].value;
}

static struct batch_spec spec_of(uint64_t tag) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = VALUE_BYTES,
                               .tag = tag,
                               .timestamp_ms = 1700000000000,
                               .producer_id = -1};
}

static void test_log_metrics__appends_that_are_queued_and_those_that_wait_for_room(void **state) {
    struct fixture f;
    fixture_init(&f, 91);
    f.limits.tail_bytes = 16384;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    struct one *ones = calloc(APPENDS_MAX, sizeof *ones);
    assert_int_equal(shown(&f, "eventbox_log_queued_appends"), 0);
    assert_int_equal(shown(&f, "eventbox_log_throttled_bytes"), 0);
    unsigned taken = 0;
    while (taken < APPENDS_MAX) {
        struct batch_spec spec = spec_of(taken);
        if (one_start(&f, &ones[taken], partition, &spec)) {
            break;
        }
        taken++;
    }
    /* Those with an offset are queued, the others wait; the one behind them is refused. */
    assert_int_equal(ones[taken].status, TOPIC_E_FULL);
    int64_t queued = partition->log_end_offset;
    int64_t batch_bytes = (int64_t)ones[0].buf->size;
    assert_in_range(queued, 1, taken - 1);
    assert_int_equal(shown(&f, "eventbox_log_queued_appends"), queued);
    assert_int_equal(shown(&f, "eventbox_log_queued_bytes"), queued * batch_bytes);
    assert_int_equal(shown(&f, "eventbox_log_throttled_bytes"), (taken - queued) * batch_bytes);
    assert_int_equal(shown(&f, "eventbox_log_refused_total"), 1);
    one_free(&ones[taken]);
    fixture_until(&f, ones[taken - 1].done);
    for (unsigned i = 0; i < taken; i++) {
        one_free(&ones[i]);
    }
    assert_int_equal(shown(&f, "eventbox_log_queued_appends"), 0);
    assert_int_equal(shown(&f, "eventbox_log_throttled_bytes"), 0);
    free(ones);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_metrics__segment_files_that_are_open(void **state) {
    enum { PARTITIONS = 20, FILES_MAX = 8 };
    struct fixture f;
    fixture_init(&f, 92);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "wide", PARTITIONS, NULL);
    fixture_until(&f, f.log->unwritten_count == 0); /* the registry's records are in its segment */
    int64_t before = shown(&f, "eventbox_log_open_files");
    for (int32_t i = 0; i < PARTITIONS; i++) {
        struct batch_spec spec = spec_of((uint64_t)i);
        assert_int_equal(fixture_append(&f, topic->partitions[i], &spec), 0);
    }
    fixture_until(&f, f.log->unwritten_count == 0);
    assert_int_equal(shown(&f, "eventbox_log_open_files"), before + PARTITIONS);
    assert_int_equal(fixture_delete(&f, topic), 0);
    fixture_until(&f, shown(&f, "eventbox_log_open_files") == before);
    fixture_stop(&f);

    /* A file that leaves the cache stays open until its sync: then no more than fit are. */
    f.limits.open_files_max = FILES_MAX;
    assert_int_equal(fixture_start(&f), 0);
    topic = fixture_topic(&f, "again", PARTITIONS, NULL);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        struct batch_spec spec = spec_of((uint64_t)i);
        assert_int_equal(fixture_append(&f, topic->partitions[i], &spec), 0);
    }
    fixture_until(&f, f.log->unwritten_count == 0 && f.log->unsynced_count == 0);
    assert_int_equal(shown(&f, "eventbox_log_open_files"), FILES_MAX - FILES_MAX / 4);
    fixture_stop(&f);

    /* Memory has nothing now: each of these is read from its file, and some of them stay open. */
    assert_int_equal(fixture_start(&f), 0);
    before = shown(&f, "eventbox_log_open_files");
    for (int32_t i = 0; i < PARTITIONS; i++) {
        uint8_t *data = NULL;
        assert_true(fixture_read(&f, fixture_partition(&f, "again", i), 0, 1, &data) > 0);
        free(data);
    }
    assert_int_equal(shown(&f, "eventbox_log_open_files"), before + FILES_MAX / 4);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void on_read(struct partition_read *read, int status) {
    assert_int_equal(status, 0);
    partition_read_release(read);
    read->partition = NULL;
}

static void test_log_metrics__reads_refused_since_too_many_wait_for_the_disk(void **state) {
    enum { WAIT_MAX = 1024 };
    struct fixture f;
    fixture_init(&f, 93);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    struct batch_spec spec = spec_of(1);
    assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 0);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0); /* memory has nothing of it now */
    struct partition *partition = fixture_partition(&f, "t", 0);
    struct partition_read *reads = calloc(WAIT_MAX + 1, sizeof *reads);
    for (unsigned i = 0; i < WAIT_MAX + 1; i++) {
        reads[i] = (struct partition_read){
            .partition = partition, .max_bytes = MIB(1), .memory_only = true, .done = on_read};
    }
    for (unsigned i = 0; i < WAIT_MAX; i++) {
        assert_int_equal(partition_read(f.log, &reads[i]), OP_WAIT);
    }
    assert_int_equal(shown(&f, "eventbox_log_reads_refused_total"), 0);
    assert_int_equal(partition_read(f.log, &reads[WAIT_MAX]), TOPIC_E_FULL);
    assert_int_equal(shown(&f, "eventbox_log_reads_refused_total"), 1);
    struct partition_lookup lookup = {.partition = partition, .timestamp_ms = 1};
    assert_int_equal(partition_lookup(f.log, &lookup), TOPIC_E_FULL);
    assert_int_equal(shown(&f, "eventbox_log_reads_refused_total"), 2);
    for (unsigned i = 0; i < WAIT_MAX; i++) {
        fixture_until(&f, reads[i].partition == NULL);
    }
    free(reads);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_metrics__appends_that_are_queued_and_those_that_wait_for_room),
        cmocka_unit_test(test_log_metrics__segment_files_that_are_open),
        cmocka_unit_test(test_log_metrics__reads_refused_since_too_many_wait_for_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
