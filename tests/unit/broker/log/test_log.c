/* The topic log through its header: appends, reads, restarts. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct batch_spec spec_of(uint64_t tag) {
    return (struct batch_spec){.records = 3,
                               .value_bytes = 100,
                               .tag = tag * 100,
                               .timestamp_ms = 1700000000000 + (int64_t)tag * 10,
                               .producer_id = -1};
}

static void check_batch(struct fixture *f, struct partition *partition, int64_t offset,
                        uint64_t tag) {
    uint8_t *data;
    ssize_t size = fixture_read(f, partition, offset, 1, &data);
    struct batch_spec spec = spec_of(tag);
    struct buf *expected = fixture_batch(&spec);
    assert_int_equal(size, expected->size);
    assert_int_equal(get_be64(data), offset);
    assert_memory_equal(data + 16, expected->data + 16, expected->size - 16);
    buf_unref(expected);
    free(data);
}

static void test_log__append_is_read_back(void **state) {
    struct fixture f;
    fixture_init(&f, 1);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", 2, NULL);
    assert_non_null(topic);
    struct partition *partition = partition_get(topic, 1);
    for (uint64_t i = 0; i < 50; i++) {
        struct batch_spec spec = spec_of(i);
        assert_int_equal(fixture_append(&f, partition, &spec), i * 3);
    }
    assert_int_equal(partition->high_watermark, 150);
    for (uint64_t i = 0; i < 50; i++) {
        check_batch(&f, partition, (int64_t)i * 3, i);
    }
    uint8_t *data;
    assert_int_equal(fixture_read(&f, partition, 150, 100, &data), 0);
    free(data);
    assert_int_equal(fixture_read(&f, partition, 151, 100, &data), -TOPIC_E_OUT_OF_RANGE);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void restart_keeps(bool clean, bool power_cut, int64_t wait_ms) {
    struct fixture f;
    fixture_init(&f, 2);
    f.limits.tail_bytes = 4096;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", 3, NULL);
    for (uint64_t i = 0; i < 60; i++) {
        struct batch_spec spec = spec_of(i);
        assert_int_equal(fixture_append(&f, partition_get(topic, (int32_t)(i % 3)), &spec),
                         i / 3 * 3);
    }
    fixture_run_ms(&f, wait_ms);
    for (unsigned round = 0; round < 3; round++) {
        if (clean) {
            fixture_stop(&f);
        } else {
            fixture_crash(&f, power_cut);
        }
        assert_int_equal(fixture_start(&f), 0);
        topic = topic_log_find(f.log, SPAN_LITERAL("users"));
        assert_non_null(topic);
        assert_int_equal(topic->partition_count, 3);
        for (uint64_t i = 0; i < 60; i++) {
            check_batch(&f, partition_get(topic, (int32_t)(i % 3)), (int64_t)(i / 3 * 3), i);
        }
        struct batch_spec spec = spec_of(1000 + round);
        assert_int_equal(fixture_append(&f, partition_get(topic, 0), &spec), 60 + round * 3);
        check_batch(&f, partition_get(topic, 0), 60 + round * 3, 1000 + round);
    }
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log__clean_restart_keeps_everything(void **state) {
    restart_keeps(true, false, 0);
    restart_keeps(true, false, 30000);
}

static void test_log__kill_keeps_everything(void **state) {
    restart_keeps(false, false, 0);
    restart_keeps(false, false, 1500);
    restart_keeps(false, false, 30000);
}

static void test_log__power_cut_keeps_everything(void **state) {
    restart_keeps(false, true, 0);
    restart_keeps(false, true, 1500);
    restart_keeps(false, true, 30000);
}

/* A frame's checksum takes that of a large batch from the batch: a start believes only right ones.
 */
static void test_log__frames_of_large_and_small_batches_are_replayed(void **state) {
    enum { BATCHES = 12 };
    static const size_t sizes[] = {10, 8100, 20000, 8191, 70000, 9000};
    struct fixture f;
    fixture_init(&f, 4);
    f.limits.group_max_bytes = MIB(1);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", 1, NULL);
    struct one ones[BATCHES] = {0};
    for (uint64_t i = 0; i < BATCHES; i++) {
        struct batch_spec spec = spec_of(i);
        spec.value_bytes = sizes[i % ARRAY_SIZE(sizes)];
        assert_int_equal(one_start(&f, &ones[i], partition_get(topic, 0), &spec), 0);
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        fixture_until(&f, ones[i].done);
        assert_int_equal(ones[i].status, 0);
        one_free(&ones[i]);
    }
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    topic = topic_log_find(f.log, SPAN_LITERAL("users"));
    assert_int_equal(partition_get(topic, 0)->high_watermark,
                     partition_get(topic, 0)->log_end_offset);
    assert_int_equal(partition_get(topic, 0)->log_end_offset,
                     ones[BATCHES - 1].part.base_offset + spec_of(BATCHES - 1).records);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log__clean_start_replays_nothing(void **state) {
    struct fixture f;
    fixture_init(&f, 3);
    assert_int_equal(fixture_start(&f), 0);
    fixture_topic(&f, "users", 1, NULL);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_RECOVERED], 0);
    fixture_crash(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_RECOVERED], 1);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static int (*open_below)(struct disk *, const char *, unsigned, struct disk_file **);
static unsigned opened;

static int open_counting_segments(struct disk *disk, const char *path, unsigned flags,
                                  struct disk_file **ret_file) {
    opened += strncmp(path, "topics/", 7) == 0;
    return open_below(disk, path, flags, ret_file);
}

/* Whatever the log's size: after a stop none, after a kill those that frames behind the checkpoint
 * name. */
static void test_log__start_opens_no_segment_that_the_journal_does_not_name(void **state) {
    enum { PARTITIONS = 30 };
    struct fixture f;
    fixture_init(&f, 5);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", PARTITIONS, NULL);
    for (uint64_t i = 0; i < 3 * PARTITIONS; i++) {
        struct batch_spec spec = spec_of(i);
        fixture_append(&f, partition_get(topic, (int32_t)(i % PARTITIONS)), &spec);
    }
    fixture_stop(&f);
    struct disk_ops ops = *f.disk->ops;
    open_below = ops.open;
    ops.open = open_counting_segments;
    f.disk->ops = &ops;
    opened = 0;
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(opened, 0);
    topic = topic_log_find(f.log, SPAN_LITERAL("users"));
    struct batch_spec spec = spec_of(3 * PARTITIONS);
    fixture_append(&f, partition_get(topic, 7), &spec);
    fixture_crash(&f, false);
    f.disk->ops = &ops;
    opened = 0;
    assert_int_equal(fixture_start(&f), 0);
    assert_in_range(opened, 1, 6); /* three files each of that partition and of the registry */
    fixture_stop(&f);
    fixture_deinit(&f);
}

static int (*sync_below)(struct disk *);
static void (*close_below)(struct disk_file *);
static int open_now, open_most;

static int open_counting(struct disk *disk, const char *path, unsigned flags,
                         struct disk_file **ret_file) {
    int r = open_below(disk, path, flags, ret_file);
    open_now += r == 0;
    open_most = MAX(open_most, open_now);
    return r;
}

static void close_counting(struct disk_file *file) {
    open_now -= file != NULL;
    close_below(file);
}

static int syncfs_counting(struct disk *disk) {
    opened++;
    return sync_below(disk);
}

/* What a replay writes to has to be synced, but not by keeping each of it open. */
static void test_log__start_after_a_kill_keeps_to_the_limit_of_open_files(void **state) {
    enum { PARTITIONS = 100, OPEN_FILES = 24, OTHERS = 6 }; /* a journal file, an index, ... */
    struct fixture f;
    fixture_init(&f, 6);
    f.limits.open_files_max = OPEN_FILES;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", PARTITIONS, NULL);
    for (uint64_t i = 0; i < PARTITIONS; i++) {
        struct batch_spec spec = spec_of(i);
        fixture_append(&f, partition_get(topic, (int32_t)i), &spec);
    }
    fixture_crash(&f, false);
    struct disk_ops ops = *f.disk->ops;
    open_below = ops.open;
    close_below = ops.close;
    sync_below = ops.syncfs;
    ops.open = open_counting;
    ops.close = close_counting;
    ops.syncfs = syncfs_counting;
    f.disk->ops = &ops;
    open_now = open_most = 0;
    opened = 0;
    assert_int_equal(fixture_start(&f), 0);
    fixture_until(&f, f.log->newest_sequence >= f.log->recovered_sequence);
    assert_in_range(open_most, OPEN_FILES / 2, OPEN_FILES + OTHERS);
    assert_in_range(opened, 1, 3); /* one sync for all of them */
    for (uint64_t i = 0; i < PARTITIONS; i++) {
        check_batch(&f, fixture_partition(&f, "users", (int32_t)i), 0, i);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log__duplicate_gets_first_offset_also_after_restart(void **state) {
    struct fixture f;
    fixture_init(&f, 4);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", 1, NULL);
    int64_t id;
    assert_int_equal(topic_log_producer_id(f.log, &id), 0);
    struct batch_spec spec = spec_of(0);
    spec.producer_id = id;
    for (int32_t i = 0; i < 8; i++) {
        spec.sequence = i * 3;
        assert_int_equal(fixture_append(&f, partition_get(topic, 0), &spec), i * 3);
    }
    for (unsigned round = 0; round < 4; round++) {
        struct partition *partition = fixture_partition(&f, "users", 0);
        for (int32_t i = 4; i < 8; i++) {
            spec.sequence = i * 3;
            assert_int_equal(fixture_append(&f, partition, &spec), i * 3);
        }
        spec.sequence = 27;
        assert_int_equal(fixture_append(&f, partition, &spec), -BROKER_E_SEQUENCE);
        spec.sequence = 0;
        assert_int_equal(fixture_append(&f, partition, &spec), -BROKER_E_SEQUENCE);
        int64_t other;
        assert_int_equal(topic_log_producer_id(f.log, &other), 0);
        assert_true(other > id);
        if (round == 2) {
            fixture_stop(&f);
        } else {
            fixture_crash(&f, round == 1);
        }
        assert_int_equal(fixture_start(&f), 0);
    }
    spec.sequence = 24;
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "users", 0), &spec), 24);
    spec.epoch = 1;
    spec.sequence = 5;
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "users", 0), &spec),
                     -BROKER_E_SEQUENCE);
    spec.sequence = 0;
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "users", 0), &spec), 27);
    spec.epoch = 0;
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "users", 0), &spec), -BROKER_E_EPOCH);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* A client may name any number of producers: those that were heard of last are remembered, through
 * a kill, a power cut, a clean stop and the loss of both checkpoints. */
static void test_log__producers_have_a_bound(void **state) {
    struct fixture f;
    fixture_init(&f, 6);
    f.limits.producers_max = 10;
    f.expect_failures = true;
    assert_int_equal(fixture_start(&f), 0);
    fixture_topic(&f, "users", 2, NULL);
    struct topic_log_stats stats;
    for (int32_t n = 0; n < 40; n++) {
        struct batch_spec spec = spec_of((uint64_t)n);
        spec.producer_id = 5000 + n;
        assert_true(fixture_append(&f, fixture_partition(&f, "users", n % 2), &spec) >= 0);
    }
    topic_log_stats(f.log, &stats);
    assert_int_equal(stats.producers, 10);
    assert_int_equal(stats.producers_forgotten, 30);
    for (unsigned round = 0; round < 4; round++) {
        uint64_t duplicates = f.log->stats.duplicates;
        for (int32_t n = 30; n < 40; n++) {
            struct batch_spec spec = spec_of((uint64_t)n);
            spec.producer_id = 5000 + n;
            (void)fixture_append(&f, fixture_partition(&f, "users", n % 2), &spec);
        }
        assert_int_equal(f.log->stats.duplicates, duplicates + 10);
        if (round < 2) {
            fixture_crash(&f, round == 1);
        } else {
            fixture_stop(&f);
        }
        if (round == 3) {
            (void)disk_sim_corrupt(f.disk, "checkpoint.0", 70, 8, 1);
            (void)disk_sim_corrupt(f.disk, "checkpoint.1", 70, 8, 1);
        }
        assert_int_equal(fixture_start(&f), 0);
        topic_log_stats(f.log, &stats);
        assert_int_equal(stats.producers, 10);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log__deleted_topic_stays_deleted_and_its_files_go(void **state) {
    struct fixture f;
    fixture_init(&f, 5);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", 1, NULL);
    struct batch_spec spec = spec_of(1);
    assert_int_equal(fixture_append(&f, partition_get(topic, 0), &spec), 0);
    char folder[SEGMENT_NAME_SIZE];
    segment_folder(topic->number, 0, folder);
    struct uuid id = topic->id;
    fixture_run_ms(&f, 2000);
    assert_int_equal(fixture_delete(&f, topic), 0);
    assert_null(topic_log_find(f.log, SPAN_LITERAL("users")));
    assert_null(topic_log_find_id(f.log, &id));
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    assert_null(topic_log_find(f.log, SPAN_LITERAL("users")));
    topic = fixture_topic(&f, "users", 1, NULL);
    assert_int_equal(topic->partitions[0]->log_end_offset, 0);
    assert_int_equal(fixture_append(&f, partition_get(topic, 0), &spec), 0);
    fixture_run_ms(&f, 60000);
    struct disk_file *file;
    char name[SEGMENT_NAME_SIZE * 2];
    snprintf(name, sizeof name, "%s/00000000000000000000.log", folder);
    assert_int_equal(disk_open(f.disk, name, DISK_READ, &file), DISK_E_NOT_FOUND);
    check_batch(&f, partition_get(topic, 0), 0, 1);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log__small_journal_is_recycled_under_load(void **state) {
    struct fixture f;
    fixture_init(&f, 6);
    f.limits.journal_first_bytes = 16384;
    f.limits.journal_max_bytes = 131072;
    f.limits.tail_bytes = 32768;
    static const struct topic_config_entry configs[] = {{"segment.bytes", "20000"}, {0}};
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", 2, configs);
    assert_non_null(topic);
    for (uint64_t i = 0; i < 1000; i++) {
        struct batch_spec spec = spec_of(i);
        assert_int_equal(fixture_append(&f, partition_get(topic, (int32_t)(i & 1)), &spec),
                         i / 2 * 3);
    }
    struct topic_log_stats stats;
    topic_log_stats(f.log, &stats);
    assert_true(stats.frame_bytes > 2 * f.limits.journal_max_bytes);
    assert_true(stats.segments > 10);
    for (uint64_t i = 0; i < 1000; i += 7) {
        check_batch(&f, partition_get(topic, (int32_t)(i & 1)), (int64_t)(i / 2 * 3), i);
    }
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    topic = topic_log_find(f.log, SPAN_LITERAL("users"));
    for (uint64_t i = 0; i < 1000; i++) {
        check_batch(&f, partition_get(topic, (int32_t)(i & 1)), (int64_t)(i / 2 * 3), i);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void on_flag(void *userdata) {
    *(bool *)userdata = true;
}

static void on_start_status(void *userdata, int status) {
    *(int *)userdata = status;
}

/* A stop may come at any step of a start. */
static void test_log__stop_during_start_ends_cleanly(void **state) {
    for (unsigned steps = 0; steps < 40; steps++) {
        struct fixture f;
        fixture_init(&f, 7);
        fixture_open(&f);
        int status = INT32_MIN;
        bool stopped = false;
        topic_log_start(f.log, on_start_status, &status);
        for (unsigned i = 0; i < steps; i++) {
            fixture_step(&f);
        }
        topic_log_stop(f.log, on_flag, &stopped);
        fixture_until(&f, stopped);
        assert_int_not_equal(status, INT32_MIN);
        fixture_crash(&f, false);
        assert_int_equal(fixture_start(&f), 0);
        assert_non_null(fixture_topic(&f, "users", 1, NULL));
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__append_is_read_back),
        cmocka_unit_test(test_log__clean_restart_keeps_everything),
        cmocka_unit_test(test_log__kill_keeps_everything),
        cmocka_unit_test(test_log__power_cut_keeps_everything),
        cmocka_unit_test(test_log__frames_of_large_and_small_batches_are_replayed),
        cmocka_unit_test(test_log__clean_start_replays_nothing),
        cmocka_unit_test(test_log__start_opens_no_segment_that_the_journal_does_not_name),
        cmocka_unit_test(test_log__start_after_a_kill_keeps_to_the_limit_of_open_files),
        cmocka_unit_test(test_log__duplicate_gets_first_offset_also_after_restart),
        cmocka_unit_test(test_log__producers_have_a_bound),
        cmocka_unit_test(test_log__deleted_topic_stays_deleted_and_its_files_go),
        cmocka_unit_test(test_log__stop_during_start_ends_cleanly),
        cmocka_unit_test(test_log__small_journal_is_recycled_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
