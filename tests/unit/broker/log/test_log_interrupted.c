/*
 * Two lives of the log on a real file system: appends, rolls, DeleteRecords, a topic deleted, a
 * kill, a replay, a clean stop; compaction, retention, the scrub, a kill behind them. Each system
 * call of them in turn is interrupted (EINTR), and each that moves bytes does a part of its work.
 * Nobody may notice.
 */
#include "interposer.h"
#include "log_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 24, PARTITIONS = 2, KEEP_FROM = 4 };

/* ---- what the calls do ---- */

static enum { NOTHING, INTERRUPT, SHORTEN } what;
static uint64_t calls, chosen; /* the call that it happens to; counted from 1 */
static bool happened;

bool interposed_interrupt(void) {
    calls++;
    if (what != INTERRUPT || calls != chosen) {
        return false;
    }
    happened = true;
    errno = EINTR;
    return true;
}

ssize_t interposed_allow(int fd, size_t size) {
    size_t unit = fcntl(fd, F_GETFL) & O_DIRECT ? DISK_ALIGN : 1;
    size_t half = size / 2 / unit * unit;
    if (what != SHORTEN || calls != chosen || half == 0) {
        return (ssize_t)size;
    }
    happened = true;
    return (ssize_t)half;
}

/* ---- the life ---- */

static char root[64];

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = 900,
                               .tag = n * 16,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

static void append(struct fixture *f, uint64_t from, uint64_t to) {
    for (uint64_t n = from; n < to; n++) {
        struct batch_spec spec = spec_of(n);
        struct partition *partition = fixture_partition(f, "t", (int32_t)(n % PARTITIONS));
        assert_int_equal(fixture_append(f, partition, &spec), n / PARTITIONS * 2);
    }
}

static void read_back(struct fixture *f, uint64_t until) {
    for (uint64_t n = 0; n < until; n++) {
        struct batch_spec spec = spec_of(n);
        struct partition *partition = fixture_partition(f, "t", (int32_t)(n % PARTITIONS));
        struct buf *expected = fixture_batch(&spec);
        uint8_t *data = NULL;
        if (n % PARTITIONS != 0 || n / PARTITIONS * 2 >= KEEP_FROM) {
            ssize_t size = fixture_read(f, partition, (int64_t)(n / PARTITIONS * 2), 1, &data);
            assert_int_equal(size, expected->size);
            assert_memory_equal(data + 16, expected->data + 16, expected->size - 16);
        }
        free(data);
        buf_unref(expected);
    }
    assert_int_equal(fixture_partition(f, "t", 0)->log_start_offset, KEEP_FROM);
    assert_null(fixture_partition(f, "gone", 0));
}

static void start(struct fixture *f) {
    assert_int_equal(fixture_start(f), 0);
    assert_int_equal(f->events[TOPIC_LOG_FAILED] + f->events[TOPIC_LOG_DAMAGED], 0);
}

static void begin(struct fixture *f) {
    strcpy(root, "/tmp/eventbox-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    calls = 0;
    happened = false;
    fixture_init(f, 5);
    fixture_use_real_disk(f, root);
    f->limits.journal_first_bytes = 65536;
}

static void end(struct fixture *f) {
    char command[128];
    fixture_stop(f);
    assert_int_equal(f->events[TOPIC_LOG_FAILED] + f->events[TOPIC_LOG_DAMAGED], 0);
    fixture_deinit(f);
    uint64_t needed = calls;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
    calls = needed;
}

static void live(void) {
    struct fixture f;
    begin(&f);
    f.limits.segment_bytes = 8000;
    start(&f);
    assert_non_null(fixture_topic(&f, "t", PARTITIONS, NULL));
    struct topic *gone = fixture_topic(&f, "gone", 1, NULL);
    append(&f, 0, BATCHES / 2);
    fixture_run_ms(&f, 3000);
    assert_int_equal(fixture_delete_records(&f, fixture_partition(&f, "t", 0), KEEP_FROM), 0);
    assert_int_equal(fixture_delete(&f, gone), 0);
    fixture_run_ms(&f, 25000); /* two checkpoints: files go */
    append(&f, BATCHES / 2, BATCHES);
    fixture_abandon(&f);
    start(&f);
    read_back(&f, BATCHES);
    fixture_stop(&f);
    start(&f);
    read_back(&f, BATCHES);
    end(&f);
}

/* ---- the life of what nobody asks for ---- */

enum { KEYED = 24, KEYS = 3 };

static void append_to(struct fixture *f, const char *topic, unsigned count, unsigned keys) {
    for (uint64_t n = 0; n < count; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 200,
                                  .tag = n,
                                  .timestamp_ms = 1700000000000,
                                  .producer_id = -1,
                                  .keys = keys};
        assert_int_equal(fixture_append(f, fixture_partition(f, topic, 0), &spec), n);
    }
}

/* What is left of the keys but for the last segment: the newest, and offsets are what they were. */
static void read_newest(struct fixture *f) {
    struct partition *partition = fixture_partition(f, "keyed", 0);
    assert_int_equal(partition->high_watermark, KEYED);
    for (int64_t offset = KEYED - KEYS; offset < KEYED; offset++) {
        uint8_t *data = NULL;
        assert_true(fixture_read(f, partition, offset, 1, &data) > 0);
        assert_int_equal(get_be64(data), offset);
        free(data);
    }
}

static void live_maintained(void) {
    static const struct topic_config_entry compacted[] = {{"cleanup.policy", "compact"},
                                                          {"min.cleanable.dirty.ratio", "0"},
                                                          {"segment.bytes", "1000"},
                                                          {0}};
    static const struct topic_config_entry bounded[] = {
        {"retention.bytes", "1500"}, {"segment.bytes", "1000"}, {0}};
    struct fixture f;
    begin(&f);
    f.limits.checkpoint_ms = 500;
    f.limits.cleaner_ms = 1000;
    f.limits.retention_check_ms = 1000;
    f.limits.scrub_interval_ms = 60000;
    f.limits.scrub_bytes_per_second = MIB(16);
    start(&f);
    assert_non_null(fixture_topic(&f, "keyed", 1, compacted));
    assert_non_null(fixture_topic(&f, "bounded", 1, bounded));
    append_to(&f, "keyed", KEYED, KEYS);
    append_to(&f, "bounded", KEYED, 0);
    fixture_until(&f, f.log->stats.compactions > 0 && f.log->stats.scrub_ended_s > 0 &&
                          fixture_partition(&f, "bounded", 0)->log_start_offset > 0 &&
                          f.log->removal_count == 0);
    assert_true(f.log->stats.compaction_records_removed > 0);
    int64_t kept_from = fixture_partition(&f, "bounded", 0)->log_start_offset;
    read_newest(&f);
    fixture_abandon(&f);
    start(&f);
    read_newest(&f);
    assert_int_equal(fixture_partition(&f, "bounded", 0)->log_start_offset, kept_from);
    end(&f);
}

/* EVENTBOX_EACH_CALL: each call, not each of so many; a minute. */
static unsigned step(void) {
    return getenv("EVENTBOX_EACH_CALL") ? 1 : 9;
}

static void each_call(void (*life)(void), int kind, unsigned least) {
    unsigned count = 0;
    what = NOTHING;
    life();
    uint64_t all = calls;
    what = kind;
    for (chosen = 1; chosen <= all; chosen += step()) {
        life();
        count += happened;
    }
    assert_true(count * step() > least);
}

static void test_log_interrupted__each_call_in_turn_by_a_signal(void **state) {
    each_call(live, INTERRUPT, 200);
}

static void test_log_interrupted__each_transfer_in_turn_does_a_part(void **state) {
    each_call(live, SHORTEN, 60);
}

static void test_log_interrupted__each_call_of_maintenance_by_a_signal(void **state) {
    each_call(live_maintained, INTERRUPT, 300);
}

static void test_log_interrupted__each_transfer_of_maintenance_does_a_part(void **state) {
    each_call(live_maintained, SHORTEN, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_interrupted__each_call_in_turn_by_a_signal),
        cmocka_unit_test(test_log_interrupted__each_transfer_in_turn_does_a_part),
        cmocka_unit_test(test_log_interrupted__each_call_of_maintenance_by_a_signal),
        cmocka_unit_test(test_log_interrupted__each_transfer_of_maintenance_does_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
