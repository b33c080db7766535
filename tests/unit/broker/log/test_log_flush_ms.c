/* flush.ms: answers that leave before the sync, what is visible meanwhile, and the epoch that tells
 * of it after an unclean stop. */
#include "log_fixture.h"
#include "log_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct batch_spec one_record = {
    .records = 1, .value_bytes = 100, .timestamp_ms = 1700000000000, .producer_id = -1};

static void begin(struct fixture *f, uint64_t seed) {
    static const struct topic_config_entry configs[] = {{"flush.ms", "1000"}, {0}};
    fixture_init(f, seed);
    assert_int_equal(fixture_start(f), 0);
    fixture_topic(f, "early", 1, configs);
    fixture_topic(f, "synced", 1, NULL);
}

static int32_t epoch(struct fixture *f, const char *topic) {
    return fixture_partition(f, topic, 0)->leader_epoch;
}

static void test_log_flush_ms__answers_before_the_sync_and_shows_after_it(void **state) {
    struct fixture f;
    struct one early = {0}, synced = {0};
    begin(&f, 21);
    struct partition *partition = fixture_partition(&f, "early", 0);
    assert_int_equal(one_start(&f, &early, partition, &one_record), 0);
    assert_false(early.done);
    fixture_until(&f, early.done);
    assert_int_equal(early.status, 0);
    assert_int_equal(early.part.base_offset, 0);
    assert_int_equal(partition->log_end_offset, 1);
    assert_int_equal(partition->high_watermark, 0);
    fixture_until(&f, partition->high_watermark == 1);
    one_free(&early);
    partition = fixture_partition(&f, "synced", 0);
    assert_int_equal(one_start(&f, &synced, partition, &one_record), 0);
    fixture_until(&f, synced.done);
    assert_int_equal(partition->high_watermark, 1);
    one_free(&synced);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void on_unit(struct append *append, int status) {
    assert_int_equal(status, 0);
    container_of(append, struct one, append)->done = true;
}

static void test_log_flush_ms__a_unit_with_a_synced_topic_waits(void **state) {
    struct fixture f;
    begin(&f, 22);
    struct buf *bufs[2] = {fixture_batch(&one_record), fixture_batch(&one_record)};
    struct append_part parts[2] = {
        {.partition = fixture_partition(&f, "early", 0),
         .batch = slice_of(bufs[0], 0, bufs[0]->size)},
        {.partition = fixture_partition(&f, "synced", 0),
         .batch = slice_of(bufs[1], 0, bufs[1]->size)},
    };
    struct one unit = {.append = {.class = APPEND_CLIENT, .parts = parts, .part_count = 2}};
    unit.append.done = on_unit;
    assert_int_equal(topic_log_append(f.log, &unit.append), 0);
    fixture_until(&f, unit.done);
    assert_int_equal(parts[0].partition->high_watermark, 1);
    buf_unref(bufs[0]);
    buf_unref(bufs[1]);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_flush_ms__a_lost_offset_is_given_out_again_in_a_new_epoch(void **state) {
    struct fixture f;
    struct one lost = {0};
    begin(&f, 23);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "early", 0), &one_record), 0);
    fixture_until(&f, fixture_partition(&f, "early", 0)->high_watermark == 1);
    assert_int_equal(one_start(&f, &lost, fixture_partition(&f, "early", 0), &one_record), 0);
    fixture_until(&f, lost.done);
    assert_int_equal(lost.part.base_offset, 1);
    fixture_crash(&f, true);
    one_free(&lost);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_partition(&f, "early", 0);
    assert_int_equal(partition->log_end_offset, 1);
    assert_int_equal(partition->leader_epoch, 1);
    assert_int_equal(epoch(&f, "synced"), 0);
    assert_int_equal(fixture_append(&f, partition, &one_record), 1);
    int32_t found;
    int64_t end;
    partition_epoch_end(f.log, partition, 0, &found, &end);
    assert_int_equal(found, 0);
    assert_int_equal(end, 1);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_flush_ms__only_an_unclean_stop_raises_the_epoch(void **state) {
    struct fixture f;
    begin(&f, 24);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(epoch(&f, "early"), 0);
    for (int32_t kills = 1; kills <= 4; kills++) {
        fixture_crash(&f, false);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(epoch(&f, "early"), kills);
        assert_int_equal(epoch(&f, "synced"), 0);
        /* Nothing was appended in between: these epochs are one. */
        assert_in_range(log_partition_of(fixture_partition(&f, "early", 0))->epoch_count, 1, 2);
    }
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(epoch(&f, "early"), 4);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* The first start finds nothing to replay and leaves two checkpoints of one frame, in either order:
 * neither may bring back the epoch before. */
static void test_log_flush_ms__every_unclean_start_raises_the_epoch(void **state) {
    for (unsigned checkpoints = 1; checkpoints <= 4; checkpoints++) {
        struct fixture f;
        begin(&f, 29);
        for (unsigned n = 0; n < checkpoints; n++) {
            assert_int_equal(fixture_append(&f, fixture_partition(&f, "early", 0), &one_record), n);
            fixture_run_ms(&f, 30000);
        }
        for (int32_t round = 1; round <= 3; round++) {
            fixture_crash(&f, round % 2 == 0);
            assert_int_equal(fixture_start(&f), 0);
            assert_int_equal(epoch(&f, "early"), round);
            assert_int_equal(epoch(&f, "synced"), 0);
        }
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* The start writes more segments than it syncs, and leaves its checkpoint for later: not where that
 * one alone would say the epoch. */
static void test_log_flush_ms__of_many_segments_each_start_raises_the_epoch(void **state) {
    static const struct topic_config_entry configs[] = {{"flush.ms", "1000"}, {0}};
    for (uint64_t seed = 300; seed < 340; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        f.limits.open_files_max = 4;
        assert_int_equal(fixture_start(&f), 0);
        fixture_topic(&f, "early", 4, configs);
        for (int32_t i = 0; i < 4; i++) {
            assert_int_equal(fixture_append(&f, fixture_partition(&f, "early", i), &one_record), 0);
        }
        fixture_until(&f, fixture_partition(&f, "early", 0)->high_watermark == 1);
        for (int32_t kills = 1; kills <= 3; kills++) {
            fixture_crash(&f, kills % 2);
            assert_int_equal(fixture_start(&f), 0);
            assert_int_equal(epoch(&f, "early"), kills);
        }
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_flush_ms__answers_before_the_sync_and_shows_after_it),
        cmocka_unit_test(test_log_flush_ms__a_unit_with_a_synced_topic_waits),
        cmocka_unit_test(test_log_flush_ms__a_lost_offset_is_given_out_again_in_a_new_epoch),
        cmocka_unit_test(test_log_flush_ms__only_an_unclean_stop_raises_the_epoch),
        cmocka_unit_test(test_log_flush_ms__every_unclean_start_raises_the_epoch),
        cmocka_unit_test(test_log_flush_ms__of_many_segments_each_start_raises_the_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
