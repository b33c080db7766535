/* A full disk: what is refused, what goes on, and a start in the middle of it. */
#include "log_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = 3000,
                               .tag = 1000 + n,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

static void assert_readable(struct fixture *f, const char *topic, int32_t index, unsigned batches) {
    for (unsigned n = 0; n < batches; n++) {
        uint8_t *data = NULL;
        ssize_t size = fixture_read(f, fixture_partition(f, topic, index), n, 1, &data);
        assert_true(size > 3000);
        assert_int_equal(get_be64(data), n);
        free(data);
    }
}

static void on_start(void *userdata, int status) {
    (void)status;
    ((struct fixture *)userdata)->started = true;
}

static int reserved_status;

static void on_reserved(struct append *append, int status) {
    (void)append;
    reserved_status = status;
}

static void test_log_full__clients_are_refused_and_reserved_appends_go_on(void **state) {
    struct fixture f;
    struct topic_log_request request = {0};
    fixture_init(&f, 21);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    struct partition *partition = partition_get(topic, 0);
    struct batch_spec spec = spec_of(0);
    assert_int_equal(fixture_append(&f, partition, &spec), 0);
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_FULL);
    assert_int_equal(fixture_append(&f, partition, &spec), -TOPIC_E_FULL);
    const struct topic_spec new_topic = {.name = SPAN_LITERAL("new"), .partition_count = 1};
    assert_int_equal(topic_log_create(f.log, &new_topic, &request), TOPIC_E_FULL);
    struct buf *buf = fixture_batch(&spec);
    struct append_part part = {.partition = partition, .batch = slice_of(buf, 0, buf->size)};
    struct append append = {
        .class = APPEND_RESERVED, .parts = &part, .part_count = 1, .done = on_reserved};
    reserved_status = -1;
    assert_int_equal(topic_log_append(f.log, &append), 0);
    fixture_until(&f, reserved_status >= 0);
    assert_int_equal(reserved_status, 0);
    buf_unref(buf);
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_OK);
    assert_int_equal(fixture_append(&f, partition, &spec), 2);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* An append that waited for room has no offset yet: it is told, not kept. */
static void test_log_full__appends_that_wait_are_refused(void **state) {
    enum { MANY = 60 };
    static struct one many[MANY];
    struct fixture f;
    unsigned refused = 0, durable = 0;
    fixture_init(&f, 22);
    f.limits.tail_bytes = 16 << 10;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    memset(many, 0, sizeof many);
    unsigned begun = 0;
    for (; begun < MANY; begun++) {
        struct batch_spec spec = spec_of(begun);
        if (one_start(&f, &many[begun], partition_get(topic, 0), &spec) != 0) {
            break;
        }
    }
    assert_false(list_empty(&f.log->throttled));
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_FULL);
    for (unsigned i = 0; i < begun; i++) {
        fixture_until(&f, many[i].done);
        refused += many[i].status == TOPIC_E_FULL;
        durable += many[i].status == 0;
        one_free(&many[i]);
    }
    assert_int_equal(refused + durable, begun);
    assert_true(refused > 0 && durable > 0);
    assert_readable(&f, "t", 0, durable);
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_OK);
    struct batch_spec spec = spec_of(999);
    assert_int_equal(fixture_append(&f, partition_get(topic, 0), &spec), durable);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Wherever a full disk is met once, nobody waits for ever: the disk is asked again. */
static void test_log_full__one_refusal_anywhere_only_delays(void **state) {
    enum { APPENDS = 40, BYTES = 4500 };
    uint64_t calls = 0;
    for (uint64_t call = 1; call == 1 || call <= calls; call++) {
        struct fixture f;
        fixture_init(&f, 23);
        f.limits.journal_first_bytes = 16 << 10;
        f.limits.journal_max_bytes = 256 << 10;
        f.limits.checkpoint_bytes = 16 << 10;
        f.expect_failures = true; /* also one of a sync, which nothing mends */
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
        uint64_t begin = disk_sim_calls(f.disk);
        disk_sim_fail_at(f.disk, begin + call, DISK_E_FULL);
        for (unsigned n = 0; n < APPENDS && !f.log->failed; n++) {
            struct batch_spec spec = spec_of(n);
            spec.value_bytes = BYTES;
            struct one one;
            while (one_start(&f, &one, partition, &spec) == TOPIC_E_FULL) {
                one_free(&one); /* as a client does */
                fixture_run_ms(&f, 100);
            }
            fixture_until(&f, one.done);
            assert_true(one.status == 0 || f.log->failed);
            one_free(&one);
        }
        calls = MAX(calls, disk_sim_calls(f.disk) - begin);
        fixture_crash(&f, false);
        fixture_deinit(&f);
    }
    assert_true(calls > 100);
}

/* A folder or file that was made before the refusal is durable with what comes to it later. */
static void test_log_full__what_was_written_after_a_refusal_outlives_a_power_cut(void **state) {
    for (uint64_t seed = 1; seed <= 6; seed++) {
        uint64_t calls = 1;
        for (uint64_t call = 1; call <= calls; call++) {
            struct fixture f;
            fixture_init(&f, seed * 1000 + call);
            f.expect_failures = true; /* also one of a sync, which nothing mends */
            assert_int_equal(fixture_start(&f), 0);
            struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
            struct batch_spec spec = spec_of(0);
            /* Else the registry's own folder, new as well, is synced with it. */
            fixture_until(&f, f.log->unwritten_count == 0 && !f.log->checkpoint.under_way &&
                                  f.log->newest_sequence == f.log->durable_sequence);
            uint64_t begin = disk_sim_calls(f.disk);
            disk_sim_fail_at(f.disk, begin + call, DISK_E_FULL);
            assert_int_equal(fixture_append(&f, partition, &spec), 0);
            fixture_until(&f, (f.log->unwritten_count == 0 && !f.log->checkpoint.under_way &&
                               f.log->newest_sequence == f.log->durable_sequence) ||
                                  f.log->failed);
            calls = disk_sim_calls(f.disk) - begin;
            disk_sim_fail_at(f.disk, 0, 0);
            fixture_crash(&f, true);
            assert_int_equal(fixture_start(&f), 0);
            assert_readable(&f, "t", 0, 1);
            fixture_stop(&f);
            fixture_deinit(&f);
        }
        assert_true(calls > 5);
    }
}

/* What the journal has and no segment has room for stays in memory, as before the crash. */
static void test_log_full__start_after_a_crash_without_a_byte_free(void **state) {
    enum { BATCHES = 40 };
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        f.limits.open_files_max =
            seed % 3 == 0 ? 4 : 512; /* more segments than it syncs one by one */
        assert_int_equal(fixture_start(&f), 0);
        struct topic *topic = fixture_topic(&f, "t", 2, NULL);
        for (uint64_t n = 0; n < BATCHES; n++) {
            struct batch_spec spec = spec_of(n);
            assert_int_equal(fixture_append(&f, partition_get(topic, (int32_t)(n % 2)), &spec),
                             n / 2);
        }
        fixture_limit_room(&f, 0);
        fixture_crash(&f, seed % 2 == 0);
        assert_int_equal(fixture_start(&f), 0);
        assert_true(f.log->unwritten_count > 0);
        assert_true(f.log->newest_sequence < f.log->durable_sequence); /* no checkpoint says so */
        assert_readable(&f, "t", 0, BATCHES / 2);
        assert_readable(&f, "t", 1, BATCHES / 2);
        fixture_crash(&f, seed % 4 == 0); /* and once more, still full */
        assert_int_equal(fixture_start(&f), 0);
        assert_readable(&f, "t", 0, BATCHES / 2);
        disk_sim_limit(f.disk, 0);
        struct batch_spec spec = spec_of(BATCHES);
        fixture_until(&f, f.log->unwritten_count == 0);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), BATCHES / 2);
        fixture_stop(&f);
        assert_int_equal(fixture_start(&f), 0);
        assert_readable(&f, "t", 0, BATCHES / 2 + 1);
        assert_readable(&f, "t", 1, BATCHES / 2);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/*
 * Answers that left before their sync need an epoch of their own after each unclean stop. As long
 * as there is no room for a checkpoint that says it, none leaves so: then none is missing either.
 */
static void test_log_full__start_with_flush_ms_answers_after_the_sync(void **state) {
    static const struct topic_config_entry configs[] = {{"flush.ms", "1000"}, {0}};
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct fixture f;
        struct one one = {0};
        struct batch_spec spec = spec_of(0);
        fixture_init(&f, seed);
        assert_int_equal(fixture_start(&f), 0);
        fixture_topic(&f, "t", 1, configs);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 0);
        fixture_until(&f, fixture_partition(&f, "t", 0)->high_watermark == 1);
        fixture_limit_room(&f, 0);
        for (int32_t kills = 1; kills <= 3; kills++) {
            fixture_crash(&f, seed % 2 == 0);
            assert_int_equal(fixture_start(&f), 0);
            struct partition *partition = fixture_partition(&f, "t", 0);
            assert_int_equal(partition->leader_epoch, kills);
            spec = spec_of((uint64_t)kills);
            assert_int_equal(one_start(&f, &one, partition, &spec), 0);
            fixture_until(&f, one.done);
            assert_int_equal(one.status, 0);
            assert_int_equal(partition->high_watermark, kills + 1);
            one_free(&one);
        }
        disk_sim_limit(f.disk, 0);
        fixture_until(&f, !f.log->early_waits);
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_partition(&f, "t", 0)->leader_epoch, 4);
        assert_readable(&f, "t", 0, 4);
        assert_int_equal(one_start(&f, &one, fixture_partition(&f, "t", 0), &spec), 0);
        fixture_until(&f, one.done);
        assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, 4); /* before the sync */
        one_free(&one);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* An append waits for a journal file that the disk has no room for, and nothing else does. */
static void test_log_full__stop_does_not_wait_for_a_journal_file_for_ever(void **state) {
    struct fixture f;
    fixture_init(&f, 28);
    f.expect_failures = true;
    f.limits.journal_first_bytes = 32 << 10;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = partition_get(fixture_topic(&f, "t", 1, NULL), 0);
    fixture_until(&f, f.log->unwritten_count == 0);
    fixture_limit_room(&f, 0);
    struct batch_spec spec = spec_of(0);
    spec.value_bytes = 64 << 10;
    struct buf *buf = fixture_batch(&spec);
    struct append_part part = {.partition = partition, .batch = slice_of(buf, 0, buf->size)};
    struct append append = {
        .class = APPEND_RESERVED, .parts = &part, .part_count = 1, .done = on_reserved};
    reserved_status = -1;
    assert_int_equal(topic_log_append(f.log, &append), 0);
    fixture_until(&f, f.log->journal_refused);
    fixture_run_ms(&f, 5000);
    assert_int_equal(reserved_status, -1); /* room may come */
    assert_false(f.log->disk_full);
    fixture_stop(&f);
    assert_int_equal(reserved_status, TOPIC_E_FAILED);
    buf_unref(buf);
    fixture_deinit(&f);
}

/* ---- a file system that copies on write: it refuses frames, too ---- */

static struct {
    struct disk_ops ops;
    const struct disk_ops *below;
    struct disk_file *journal;
    bool refuses;
} copying;

static int copying_open(struct disk *disk, const char *path, unsigned flags,
                        struct disk_file **ret_file) {
    int r = copying.below->open(disk, path, flags, ret_file);
    if (r == 0 && strcmp(path, "journal/00000000") == 0) {
        copying.journal = *ret_file;
    }
    return r;
}

static int copying_pwritev(struct disk_file *file, const struct iovec *parts, int count,
                           uint64_t offset) {
    return copying.refuses && file == copying.journal
               ? DISK_E_FULL
               : copying.below->pwritev(file, parts, count, offset);
}

static void test_log_full__stop_does_not_wait_for_a_frame_for_ever(void **state) {
    for (unsigned room = 0; room < 2; room++) {
        struct fixture f;
        struct one one = {0};
        struct batch_spec spec = spec_of(0);
        fixture_init(&f, 29);
        f.expect_failures = true;
        assert_int_equal(fixture_start(&f), 0);
        fixture_topic(&f, "t", 1, NULL);
        fixture_stop(&f);
        copying.below = f.disk->ops;
        copying.ops = *copying.below;
        copying.ops.open = copying_open;
        copying.ops.pwritev = copying_pwritev;
        f.disk->ops = &copying.ops;
        assert_int_equal(fixture_start(&f), 0);
        copying.refuses = true;
        assert_int_equal(one_start(&f, &one, fixture_partition(&f, "t", 0), &spec), 0);
        fixture_until(&f, f.events[TOPIC_LOG_DISK_FULL] == 1);
        fixture_run_ms(&f, 5000);
        assert_int_equal(f.events[TOPIC_LOG_DISK_FULL], 1);
        assert_false(one.done);
        if (room) {
            copying.refuses = false;
            fixture_until(&f, one.done && f.events[TOPIC_LOG_DISK_AGAIN] == 1);
        }
        fixture_stop(&f);
        copying.refuses = false;
        assert_int_equal(one.status, room ? 0 : TOPIC_E_FAILED);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, room);
        one_free(&one);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* A log with one batch, which is in its segment. */
static void start_with_one_batch(struct fixture *f) {
    struct batch_spec spec = spec_of(0);
    fixture_init(f, 28);
    f->expect_failures = true;
    assert_int_equal(fixture_start(f), 0);
    struct partition *partition = partition_get(fixture_topic(f, "t", 1, NULL), 0);
    assert_int_equal(fixture_append(f, partition, &spec), 0);
    fixture_until(f, f->log->unwritten_count == 0);
}

/* The segments have it all; the checkpoint of the end finds no room. */
static void test_log_full__stop_does_not_wait_for_its_checkpoint_for_ever(void **state) {
    struct fixture f;
    start_with_one_batch(&f);
    fixture_limit_room(&f, 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Whatever a stop could write of its marker, the next start takes it back, for which it may need
 * room that there is not. */
static void test_log_full__a_stop_does_not_spoil_the_next_start(void **state) {
    for (uint64_t room = 0; room < 70000; room += room < 300 ? 16 : 1024) {
        struct fixture f;
        start_with_one_batch(&f);
        fixture_limit_room(&f, room);
        fixture_stop(&f);
        fixture_limit_room(&f, 0);
        assert_int_equal(fixture_start(&f), 0);
        assert_readable(&f, "t", 0, 1);
        fixture_abandon(&f);
        fixture_deinit(&f);
    }
}

/* It stops before it was told to have started, while a flush waits for room. */
static void test_log_full__a_stop_amid_the_start_waits_for_no_flush(void **state) {
    unsigned waiting = 0;
    for (unsigned seed = 100; seed < 300; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        f.expect_failures = true;
        f.limits.journal_first_bytes = 32 << 10;
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = partition_get(fixture_topic(&f, "t", 1, NULL), 0);
        struct batch_spec spec = spec_of(0);
        assert_int_equal(fixture_append(&f, partition, &spec), 0);
        fixture_limit_room(&f, 0);
        fixture_crash(&f, false);
        fixture_open(&f);
        topic_log_start(f.log, on_start, &f);
        fixture_until(&f, f.log->state == LOG_STARTING || f.started);
        clock_manual_advance(&f.clock, 1100 * NS_PER_MS);
        for (unsigned n = 0; n < seed % 12 && !f.started && !f.log->flush_again; n++) {
            fixture_step(&f);
        }
        waiting += f.log->flush_again && !f.started;
        fixture_stop(&f);
        fixture_deinit(&f);
    }
    assert_true(waiting > 0);
}

/* Recovery is the keeper's, the loop's time is the loop's: it may be asked for on its thread alone.
 */
static void test_log_full__recovery_leaves_the_time_of_the_loop_alone(void **state) {
    struct fixture f;
    fixture_init(&f, 29);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = partition_get(fixture_topic(&f, "t", 1, NULL), 0);
    struct batch_spec spec = spec_of(0);
    assert_int_equal(fixture_append(&f, partition, &spec), 0);
    fixture_limit_room(&f, 0);
    fixture_crash(&f, false);
    fixture_open(&f);
    topic_log_start(f.log, NULL, NULL);
    while (loop_step(f.loop)) {
    }
    assert_true(work_sim_step(f.work)); /* the recovery, all of it */
    assert_true(f.log->unwritten_count > 0);
    clock_manual_advance(&f.clock, NS_PER_SEC);
    assert_int_equal(loop_now_ns(f.loop), f.clock.mono_ns); /* as if nobody had asked before */
    fixture_abandon(&f);
    fixture_deinit(&f);
}

/* The first record of a start fails while the disk refuses it another journal file. */
static void test_log_full__a_start_that_fails_says_so_once(void **state) {
    enum { CALLS = 60 };
    unsigned failed = 0;
    for (unsigned call = 1; call < CALLS; call++) {
        for (unsigned seed = 1; seed <= 40; seed++) {
            struct fixture f;
            fixture_init(&f, seed);
            f.expect_failures = true;
            f.limits.journal_first_bytes = 32 << 10;
            assert_int_equal(fixture_start(&f), 0);
            struct partition *partition = partition_get(fixture_topic(&f, "t", 1, NULL), 0);
            for (uint64_t n = 0; n < seed % 8; n++) {
                struct batch_spec spec = spec_of(n);
                assert_int_equal(fixture_append(&f, partition, &spec), n);
            }
            if (seed % 3 == 0) {
                fixture_until(&f, f.log->unwritten_count == 0);
            }
            fixture_limit_room(&f, 0);
            fixture_crash(&f, false);
            disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + call, -EIO);
            failed += fixture_start(&f) != 0;
            fixture_stop(&f); /* waits for what is under way, though it never was ready */
            assert_int_equal(f.started_count, 1);
            fixture_deinit(&f);
        }
    }
    assert_true(failed > CALLS);
}

/* The guard never yields: while room is low, whoever holds the log is named, and produce waits for
 * it to go on. */
static void test_log_full__consumer_that_holds_a_low_disk_is_named(void **state) {
    static const struct topic_config_entry configs[] = {{"retention.bytes", "1"}, {0}};
    struct fixture f;
    struct topic_log_holder holder;
    fixture_init(&f, 23);
    f.limits.segment_bytes = 8 << 10;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, configs);
    struct partition *partition = partition_get(topic, 0);
    assert_int_equal(partition_guard(f.log, partition, "reader", 0), 0);
    for (uint64_t n = 0; n < 12; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, partition, &spec), n);
    }
    struct batch_spec spec = spec_of(99);
    assert_false(topic_log_held(f.log, &holder)); /* with room enough nobody minds */
    topic_log_set_room(f.log, TOPIC_LOG_ROOM_LOW);
    assert_true(topic_log_held(f.log, &holder));
    assert_string_equal(holder.consumer, "reader");
    assert_true(strstr(f.last_event, "reader") && strstr(f.last_event, "t-0"));
    assert_int_equal(fixture_append(&f, partition, &spec), -TOPIC_E_FULL);
    assert_int_equal(partition_guard(f.log, partition, "reader", 12), 0);
    fixture_run_ms(&f, 3000);
    assert_false(topic_log_held(f.log, &holder));
    assert_int_equal(fixture_append(&f, partition, &spec), 12);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_full__clients_are_refused_and_reserved_appends_go_on),
        cmocka_unit_test(test_log_full__appends_that_wait_are_refused),
        cmocka_unit_test(test_log_full__one_refusal_anywhere_only_delays),
        cmocka_unit_test(test_log_full__what_was_written_after_a_refusal_outlives_a_power_cut),
        cmocka_unit_test(test_log_full__stop_does_not_wait_for_a_journal_file_for_ever),
        cmocka_unit_test(test_log_full__stop_does_not_wait_for_a_frame_for_ever),
        cmocka_unit_test(test_log_full__stop_does_not_wait_for_its_checkpoint_for_ever),
        cmocka_unit_test(test_log_full__a_stop_does_not_spoil_the_next_start),
        cmocka_unit_test(test_log_full__a_stop_amid_the_start_waits_for_no_flush),
        cmocka_unit_test(test_log_full__recovery_leaves_the_time_of_the_loop_alone),
        cmocka_unit_test(test_log_full__a_start_that_fails_says_so_once),
        cmocka_unit_test(test_log_full__consumer_that_holds_a_low_disk_is_named),
        cmocka_unit_test(test_log_full__start_after_a_crash_without_a_byte_free),
        cmocka_unit_test(test_log_full__start_with_flush_ms_answers_after_the_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
